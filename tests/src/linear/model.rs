//! Operations on a handful of keys, and a state that carries them out one at a time.
//!
//! Owns what a single client would be answered; knows nothing of time. A key is a number below [`KEYS`].

use std::collections::BTreeMap;

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
            Op::Watch(list) => keys("WATCH", list),
            Op::Exec(_) => vec!["EXEC".into()],
        }
    }
}

/// What the keys hold, and what clients watch. Small, because the search keeps many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    values: [Option<Vec<u8>>; KEYS.len()],
    /// Of each client that watches: its keys, and whether one of them has changed since.
    watches: BTreeMap<usize, (Vec<usize>, bool)>,
}

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn number(n: impl Into<i64>) -> Value {
    Value::Integer(n.into())
}

impl State {
    /// Carries an operation out. Returns the reply.
    pub fn apply(&mut self, client: usize, op: &Op) -> Value {
        match op {
            Op::Set(k, v) => {
                self.set(*k, v);
                ok()
            }
            Op::SetNx(k, v) => number(self.set_all_new(&[(*k, *v)])),
            Op::Get(k) => self.bulk(*k),
            Op::GetSet(k, v) => {
                let old = self.bulk(*k);
                self.set(*k, v);
                old
            }
            Op::GetDel(k) => {
                let old = self.bulk(*k);
                self.delete(*k);
                old
            }
            Op::Incr(k) => self.increment(*k),
            Op::Append(k, v) => {
                let mut value = self.values[*k].clone().unwrap_or_default();
                value.extend_from_slice(v.to_string().as_bytes());
                let len = value.len() as i64;
                self.put(*k, value);
                number(len)
            }
            Op::Del(list) => number(list.iter().map(|k| i64::from(self.delete(*k))).sum::<i64>()),
            Op::ExpirePast(k) => number(self.delete(*k)),
            Op::MSet(list) => {
                list.iter().for_each(|(k, v)| self.set(*k, v));
                ok()
            }
            Op::MSetNx(list) => number(self.set_all_new(list)),
            Op::MGet(list) => Value::Array(list.iter().map(|k| self.bulk(*k)).collect()),
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
        }
    }

    fn bulk(&self, k: usize) -> Value {
        self.values[k].clone().map_or(Value::NullBulk, Value::Bulk)
    }

    fn put(&mut self, k: usize, value: Vec<u8>) {
        self.values[k] = Some(value);
        self.changed(k);
    }

    fn set(&mut self, k: usize, v: &i64) {
        self.put(k, v.to_string().into_bytes());
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

    fn increment(&mut self, k: usize) -> Value {
        let text = self.values[k].as_deref().unwrap_or(b"0");
        let text = String::from_utf8_lossy(text);
        // Only what an integer is written as counts as one: no zeros in front.
        let value = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
        match value.and_then(|value| value.checked_add(1)) {
            Some(next) => {
                self.set(k, &next);
                number(next)
            }
            None => Value::Error(b"ERR value is not an integer or out of range".to_vec()),
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
