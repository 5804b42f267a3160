//! Operations on a handful of keys, and a state that carries them out one at a time.
//!
//! Owns what a single client would be answered; knows nothing of time. A key is a number below [`KEYS`].

use std::collections::{BTreeMap, BTreeSet};

use super::collection::Collection;
use crate::Value;

/// The keys of a history: so few that operations meet.
pub const KEYS: &[&str] = &["a", "b", "c", "d", "e"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Set(usize, i64),
    SetNx(usize, i64),
    Get(usize),
    GetSet(usize, i64),
    GetDel(usize),
    Incr(usize),
    Append(usize, i64),
    Del(Vec<usize>),
    /// An expiry in the past, which deletes.
    ExpirePast(usize),
    MSet(Vec<(usize, i64)>),
    MSetNx(Vec<(usize, i64)>),
    MGet(Vec<usize>),
    Exists(Vec<usize>),
    /// From one key to another.
    Rename(usize, usize),
    RenameNx(usize, usize),
    Copy(usize, usize),
    CopyReplace(usize, usize),
    Flush,
    Collection(Collection),
    Watch(Vec<usize>),
    /// MULTI, the operations and EXEC. Takes effect as EXEC does.
    Exec(Vec<Op>),
}

/// An operation with its reply. It took effect between `begin` and `end`.
#[derive(Debug, Clone)]
pub struct Event {
    pub client: usize,
    pub op: Op,
    pub reply: Value,
    pub begin: u64,
    pub end: u64,
}

impl Op {
    /// The words of the request. Of a transaction, those of EXEC.
    pub fn request(&self) -> Vec<String> {
        let key = |k: &usize| KEYS[*k].to_string();
        let keys = |name: &str, list: &[usize]| {
            [name.to_string()].into_iter().chain(list.iter().map(key)).collect::<Vec<_>>()
        };
        let one = |name: &str, k: &usize| vec![name.to_string(), key(k)];
        let with = |name: &str, k: &usize, v: &i64| vec![name.to_string(), key(k), v.to_string()];
        let pairs = |name: &str, list: &[(usize, i64)]| {
            let words = list.iter().flat_map(|(k, v)| [key(k), v.to_string()]);
            [name.to_string()].into_iter().chain(words).collect::<Vec<_>>()
        };
        match self {
            Op::Set(k, v) => with("SET", k, v),
            Op::SetNx(k, v) => with("SETNX", k, v),
            Op::Get(k) => one("GET", k),
            Op::GetSet(k, v) => with("GETSET", k, v),
            Op::GetDel(k) => one("GETDEL", k),
            Op::Incr(k) => one("INCR", k),
            Op::Append(k, v) => with("APPEND", k, v),
            Op::Del(list) => keys("DEL", list),
            Op::ExpirePast(k) => with("EXPIRE", k, &-1),
            Op::MSet(list) => pairs("MSET", list),
            Op::MSetNx(list) => pairs("MSETNX", list),
            Op::MGet(list) => keys("MGET", list),
            Op::Exists(list) => keys("EXISTS", list),
            Op::Rename(from, to) => keys("RENAME", &[*from, *to]),
            Op::RenameNx(from, to) => keys("RENAMENX", &[*from, *to]),
            Op::Copy(from, to) => keys("COPY", &[*from, *to]),
            Op::CopyReplace(from, to) => {
                let mut words = keys("COPY", &[*from, *to]);
                words.push("REPLACE".into());
                words
            }
            Op::Flush => vec!["FLUSHALL".into()],
            Op::Collection(op) => op.request(),
            Op::Watch(list) => keys("WATCH", list),
            Op::Exec(_) => vec!["EXEC".into()],
        }
    }

    /// The reply in the form in which [`State::apply`] gives it.
    pub fn settle(&self, reply: Value) -> Value {
        match (self, reply) {
            (Op::Collection(op), reply) => op.settle(reply),
            (Op::Exec(ops), Value::Array(list)) if ops.len() == list.len() => {
                Value::Array(ops.iter().zip(list).map(|(op, reply)| op.settle(reply)).collect())
            }
            (_, reply) => reply,
        }
    }
}

/// A value of any type. Collections are not empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Data {
    Text(Vec<u8>),
    List(Vec<i64>),
    Set(BTreeSet<i64>),
    /// Members with their scores.
    ZSet(BTreeMap<i64, i64>),
}

/// What the keys hold, and what clients watch. Small, because the search keeps many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    values: [Option<Data>; KEYS.len()],
    /// Of each client that watches: its keys, and whether one of them has changed since.
    watches: BTreeMap<usize, (Vec<usize>, bool)>,
}

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

pub(super) fn number(n: impl Into<i64>) -> Value {
    Value::Integer(n.into())
}

fn wrong_type() -> Value {
    let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
    Value::Error(text.as_bytes().to_vec())
}

impl State {
    /// Carries an operation out. Returns the reply.
    pub fn apply(&mut self, client: usize, op: &Op) -> Value {
        self.try_apply(client, op).unwrap_or_else(|refusal| refusal)
    }

    /// `Err` is the reply of one that changes nothing because of what a key holds.
    fn try_apply(&mut self, client: usize, op: &Op) -> Result<Value, Value> {
        Ok(match op {
            Op::Set(k, v) => {
                self.set(*k, v);
                ok()
            }
            Op::SetNx(k, v) => number(self.set_all_new(&[(*k, *v)])),
            Op::Get(k) => self.bulk(*k)?,
            Op::GetSet(k, v) => {
                let old = self.bulk(*k)?;
                self.set(*k, v);
                old
            }
            Op::GetDel(k) => {
                let old = self.bulk(*k)?;
                self.delete(*k);
                old
            }
            Op::Incr(k) => self.increment(*k)?,
            Op::Append(k, v) => {
                let mut value = self.text_of(*k)?.unwrap_or_default();
                value.extend_from_slice(v.to_string().as_bytes());
                let len = value.len() as i64;
                self.put(*k, Data::Text(value));
                number(len)
            }
            Op::Del(list) => number(list.iter().map(|k| i64::from(self.delete(*k))).sum::<i64>()),
            Op::ExpirePast(k) => number(self.delete(*k)),
            Op::MSet(list) => {
                list.iter().for_each(|(k, v)| self.set(*k, v));
                ok()
            }
            Op::MSetNx(list) => number(self.set_all_new(list)),
            Op::MGet(list) => {
                let each = |k: &usize| self.bulk(*k).unwrap_or(Value::NullBulk);
                Value::Array(list.iter().map(each).collect())
            }
            Op::Exists(list) => {
                number(list.iter().filter(|k| self.values[**k].is_some()).count() as i64)
            }
            Op::Rename(from, to) => match self.rename(*from, *to) {
                true => ok(),
                false => Value::Error(b"ERR no such key".to_vec()),
            },
            Op::RenameNx(from, to) if self.values[*from].is_some() => {
                number(self.values[*to].is_none() && self.rename(*from, *to))
            }
            Op::RenameNx(..) => Value::Error(b"ERR no such key".to_vec()),
            Op::Copy(from, to) => number(self.values[*to].is_none() && self.copy(*from, *to)),
            Op::CopyReplace(from, to) => number(self.copy(*from, *to)),
            Op::Flush => {
                for k in 0..KEYS.len() {
                    self.delete(k);
                }
                ok()
            }
            Op::Collection(op) => self.apply_collection(op)?,
            Op::Watch(list) => {
                let watch = self.watches.entry(client).or_default();
                watch.0.extend(list);
                watch.0.sort_unstable();
                watch.0.dedup();
                ok()
            }
            Op::Exec(list) => match self.watches.remove(&client) {
                Some((_, true)) => Value::NullArray,
                _ => Value::Array(list.iter().map(|op| self.apply(client, op)).collect()),
            },
        })
    }

    fn text_of(&self, k: usize) -> Result<Option<Vec<u8>>, Value> {
        match &self.values[k] {
            None => Ok(None),
            Some(Data::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong_type()),
        }
    }

    pub(super) fn list_of(&self, k: usize) -> Result<Vec<i64>, Value> {
        match &self.values[k] {
            None => Ok(Vec::new()),
            Some(Data::List(list)) => Ok(list.clone()),
            Some(_) => Err(wrong_type()),
        }
    }

    pub(super) fn set_of(&self, k: usize) -> Result<BTreeSet<i64>, Value> {
        match &self.values[k] {
            None => Ok(BTreeSet::new()),
            Some(Data::Set(set)) => Ok(set.clone()),
            Some(_) => Err(wrong_type()),
        }
    }

    pub(super) fn zset_of(&self, k: usize) -> Result<BTreeMap<i64, i64>, Value> {
        match &self.values[k] {
            None => Ok(BTreeMap::new()),
            Some(Data::ZSet(zset)) => Ok(zset.clone()),
            Some(_) => Err(wrong_type()),
        }
    }

    fn bulk(&self, k: usize) -> Result<Value, Value> {
        Ok(self.text_of(k)?.map_or(Value::NullBulk, Value::Bulk))
    }

    fn put(&mut self, k: usize, value: Data) {
        self.values[k] = Some(value);
        self.changed(k);
    }

    /// Stores a collection that has changed; an empty one deletes the key.
    pub(super) fn keep(&mut self, k: usize, value: Data) {
        let empty = match &value {
            Data::Text(_) => false,
            Data::List(list) => list.is_empty(),
            Data::Set(set) => set.is_empty(),
            Data::ZSet(zset) => zset.is_empty(),
        };
        if empty {
            self.delete(k);
        } else {
            self.put(k, value);
        }
    }

    fn set(&mut self, k: usize, v: &i64) {
        self.put(k, Data::Text(v.to_string().into_bytes()));
    }

    fn delete(&mut self, k: usize) -> bool {
        let was = self.values[k].take().is_some();
        if was {
            self.changed(k);
        }
        was
    }

    fn changed(&mut self, k: usize) {
        for (keys, dirty) in self.watches.values_mut() {
            *dirty |= keys.contains(&k);
        }
    }

    fn set_all_new(&mut self, list: &[(usize, i64)]) -> bool {
        let free = list.iter().all(|(k, _)| self.values[*k].is_none());
        if free {
            list.iter().for_each(|(k, v)| self.set(*k, v));
        }
        free
    }

    fn increment(&mut self, k: usize) -> Result<Value, Value> {
        let text = self.text_of(k)?.unwrap_or_else(|| b"0".to_vec());
        let text = String::from_utf8_lossy(&text);
        // Only what an integer is written as counts as one: no zeros in front.
        let value = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
        match value.and_then(|value| value.checked_add(1)) {
            Some(next) => {
                self.set(k, &next);
                Ok(number(next))
            }
            None => Err(Value::Error(b"ERR value is not an integer or out of range".to_vec())),
        }
    }

    fn copy(&mut self, from: usize, to: usize) -> bool {
        let value = self.values[from].clone();
        value.map(|value| self.put(to, value)).is_some()
    }

    fn rename(&mut self, from: usize, to: usize) -> bool {
        self.copy(from, to) && self.delete(from)
    }
}
