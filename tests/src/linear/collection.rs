//! Operations on lists, sets and sorted sets, among them those that change two keys at once.
//!
//! Elements, members and scores are small integers, so that clients touch the same ones. What replies list in no
//! particular order is compared in ascending order: see [`Collection::settle`].

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Data, KEYS, State, number};
use crate::Value;

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// The first number is the key that is read or changed first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collection {
    SAdd(usize, i64),
    SRem(usize, i64),
    SMembers(usize),
    SCard(usize),
    /// A member from one key to another.
    SMove(usize, usize, i64),
    /// A score and a member.
    ZAdd(usize, i64, i64),
    ZRem(usize, i64),
    /// All members, with scores.
    ZRange(usize),
    /// The destination, and the sources.
    ZUnionStore(usize, Vec<usize>),
    Push(usize, End, i64),
    /// All elements.
    LRange(usize),
    LLen(usize),
    /// From an end of one key to an end of another, or of the same.
    LMove(usize, usize, End, End),
    /// The same, waiting for a moment if there is nothing.
    BLMove(usize, usize, End, End),
}

impl End {
    fn word(self) -> &'static str {
        match self {
            End::Left => "LEFT",
            End::Right => "RIGHT",
        }
    }
}

impl Collection {
    /// The words of the request.
    pub fn request(&self) -> Vec<String> {
        let key = |k: &usize| KEYS[*k].to_string();
        let one = |name: &str, k: &usize| vec![name.to_string(), key(k)];
        let with = |name: &str, k: &usize, v: &i64| vec![name.to_string(), key(k), v.to_string()];
        let all = |name: &str, k: &usize| vec![name.into(), key(k), "0".into(), "-1".into()];
        let moving = |name: &str, from: &usize, to: &usize, ends: [&End; 2]| {
            let ends = ends.map(|end| end.word().to_string());
            [name.to_string(), key(from), key(to)].into_iter().chain(ends).collect::<Vec<_>>()
        };
        match self {
            Self::SAdd(k, m) => with("SADD", k, m),
            Self::SRem(k, m) => with("SREM", k, m),
            Self::SMembers(k) => one("SMEMBERS", k),
            Self::SCard(k) => one("SCARD", k),
            Self::SMove(from, to, m) => vec!["SMOVE".into(), key(from), key(to), m.to_string()],
            Self::ZAdd(k, score, m) => {
                vec!["ZADD".into(), key(k), score.to_string(), m.to_string()]
            }
            Self::ZRem(k, m) => with("ZREM", k, m),
            Self::ZRange(k) => {
                let mut words = all("ZRANGE", k);
                words.push("WITHSCORES".into());
                words
            }
            Self::ZUnionStore(to, list) => {
                let mut words = with("ZUNIONSTORE", to, &(list.len() as i64));
                words.extend(list.iter().map(key));
                words
            }
            Self::Push(k, End::Left, v) => with("LPUSH", k, v),
            Self::Push(k, End::Right, v) => with("RPUSH", k, v),
            Self::LRange(k) => all("LRANGE", k),
            Self::LLen(k) => one("LLEN", k),
            Self::LMove(from, to, a, b) => moving("LMOVE", from, to, [a, b]),
            Self::BLMove(from, to, a, b) => {
                let mut words = moving("BLMOVE", from, to, [a, b]);
                words.push("0.001".into());
                words
            }
        }
    }

    /// The reply with everything taken out of it that the store is free to choose.
    pub fn settle(&self, reply: Value) -> Value {
        match (self, reply) {
            (Self::SMembers(_), Value::Array(mut list)) => {
                list.sort_by_key(|value| format!("{value:?}"));
                Value::Array(list)
            }
            // Having waited and not having waited differ, and only time decides.
            (Self::BLMove(..), Value::NullArray) => Value::NullBulk,
            (_, reply) => reply,
        }
    }
}

fn bulk(n: i64) -> Value {
    Value::Bulk(n.to_string().into_bytes())
}

fn bulks(list: impl IntoIterator<Item = i64>) -> Value {
    Value::Array(list.into_iter().map(bulk).collect())
}

/// Puts down a number at an end.
fn push(list: &mut Vec<i64>, end: End, v: i64) {
    match end {
        End::Left => list.insert(0, v),
        End::Right => list.push(v),
    }
}

impl State {
    /// Carries an operation out. `Err` is the reply of one that changes nothing because of what a key holds.
    pub(super) fn apply_collection(&mut self, op: &Collection) -> Result<Value, Value> {
        Ok(match op {
            Collection::SAdd(k, m) => self.change_set(*k, |set| set.insert(*m))?,
            Collection::SRem(k, m) => self.change_set(*k, |set| set.remove(m))?,
            Collection::SMembers(k) => bulks(self.set_of(*k)?),
            Collection::SCard(k) => number(self.set_of(*k)?.len() as i64),
            Collection::SMove(from, to, m) => self.move_member(*from, *to, *m)?,
            Collection::ZAdd(k, score, m) => {
                let mut zset = self.zset_of(*k)?;
                let old = zset.insert(*m, *score);
                if old != Some(*score) {
                    self.keep(*k, Data::ZSet(zset));
                }
                number(old.is_none())
            }
            Collection::ZRem(k, m) => {
                let mut zset = self.zset_of(*k)?;
                let was = zset.remove(m).is_some();
                if was {
                    self.keep(*k, Data::ZSet(zset));
                }
                number(was)
            }
            Collection::ZRange(k) => {
                let mut pairs: Vec<_> = self.zset_of(*k)?.into_iter().collect();
                pairs.sort_unstable_by_key(|(m, score)| (*score, *m));
                bulks(pairs.into_iter().flat_map(|(m, score)| [m, score]))
            }
            Collection::ZUnionStore(to, list) => self.store_union(*to, list)?,
            Collection::Push(k, end, v) => {
                let mut list = self.list_of(*k)?;
                push(&mut list, *end, *v);
                let len = list.len() as i64;
                self.keep(*k, Data::List(list));
                number(len)
            }
            Collection::LRange(k) => bulks(self.list_of(*k)?),
            Collection::LLen(k) => number(self.list_of(*k)?.len() as i64),
            Collection::LMove(from, to, a, b) | Collection::BLMove(from, to, a, b) => {
                self.move_element(*from, *to, *a, *b)?
            }
        })
    }

    fn change_set(
        &mut self,
        k: usize,
        change: impl Fn(&mut BTreeSet<i64>) -> bool,
    ) -> Result<Value, Value> {
        let mut set = self.set_of(k)?;
        let changed = change(&mut set);
        if changed {
            self.keep(k, Data::Set(set));
        }
        Ok(number(changed))
    }

    fn move_member(&mut self, from: usize, to: usize, m: i64) -> Result<Value, Value> {
        let mut source = self.set_of(from)?;
        // Where there is no source, nobody looks at the destination.
        if source.is_empty() {
            return Ok(number(false));
        }
        let mut destination = self.set_of(to)?;
        if from == to || !source.remove(&m) {
            return Ok(number(source.contains(&m)));
        }
        self.keep(from, Data::Set(source));
        if destination.insert(m) {
            self.keep(to, Data::Set(destination));
        }
        Ok(number(true))
    }

    /// Adds up the scores of each member; members of sets have 1.
    fn store_union(&mut self, to: usize, list: &[usize]) -> Result<Value, Value> {
        let mut union = BTreeMap::new();
        for k in list {
            let scores = match self.set_of(*k) {
                Ok(set) => set.into_iter().map(|m| (m, 1)).collect(),
                Err(_) => self.zset_of(*k)?,
            };
            for (m, score) in scores {
                *union.entry(m).or_default() += score;
            }
        }
        let len = union.len() as i64;
        self.keep(to, Data::ZSet(union));
        Ok(number(len))
    }

    fn move_element(&mut self, from: usize, to: usize, a: End, b: End) -> Result<Value, Value> {
        let mut source = self.list_of(from)?;
        if source.is_empty() {
            return Ok(Value::NullBulk);
        }
        let mut destination = self.list_of(to)?;
        let v = source.remove(if a == End::Left { 0 } else { source.len() - 1 });
        if from == to {
            destination = source;
        } else {
            self.keep(from, Data::List(source));
        }
        push(&mut destination, b, v);
        self.keep(to, Data::List(destination));
        Ok(bulk(v))
    }
}
