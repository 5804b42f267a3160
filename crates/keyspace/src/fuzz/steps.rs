//! The steps of a history: each does one thing to the shard and the same to the model.

use std::collections::HashSet;
use std::sync::Arc;

use super::model::{DATABASES, Run, Walk, Want, Watch, name};
use crate::entry::NewValue;
use crate::shard::Ttl;
use crate::watch::WatchFlag;

/// Lengths of values on both sides of every border of the entry's layout.
const LENGTHS: &[usize] = &[
    0, 1, 7, 8, 9, 20, 30, 44, 45, 100, 200, 254, 255, 256, 300, 1000, 4000, 4095, 4096, 4097, 5000,
];
/// Of which shared values, and those of other sizes, are rare: copying them is all that a step would do.
const HUGE: usize = 300_000;
const WATCHES: usize = 8;
const REPLIES: usize = 8;
const HOUR: i64 = 3_600_000;

/// A value that can be stored any number of times.
enum Source {
    Int(i64),
    Bytes(Vec<u8>),
    Modified(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Source {
    fn random(rng: &mut fastrand::Rng) -> Self {
        let len = match rng.u32(..2000) {
            0 => HUGE + rng.usize(..100),
            1..400 => LENGTHS[rng.usize(..LENGTHS.len())],
            _ => rng.usize(..64),
        };
        let data = vec![rng.u8(..); len];
        match rng.u32(..10) {
            0 => Self::Int(*rng.choice(&[i64::MIN, -1, 0, 7, i64::MAX]).expect("not empty")),
            1 | 2 => Self::Int(rng.i64(..)),
            3 => Self::Modified(data),
            4 => Self::Shared(Arc::new(data)),
            _ => Self::Bytes(data),
        }
    }

    fn as_new(&self) -> NewValue<'_> {
        match self {
            Self::Int(value) => NewValue::Int(*value),
            Self::Bytes(data) => NewValue::Bytes(data),
            Self::Modified(data) => NewValue::Modified(data),
            Self::Shared(data) => NewValue::Shared(Arc::clone(data)),
        }
    }

    fn want(&self, expire: Option<i64>, access: u32) -> Want {
        let (text, encoding) = match self {
            Self::Int(value) => (value.to_string().into_bytes(), "int"),
            Self::Bytes(data) if data.len() <= 44 => (data.clone(), "embstr"),
            Self::Bytes(data) | Self::Modified(data) => (data.clone(), "raw"),
            Self::Shared(data) => (data.to_vec(), "raw"),
        };
        Want { text, encoding, expire, access }
    }
}

impl Run {
    pub fn step(&mut self) {
        let (db, bytes) = self.pick();
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.latest = snapshot.latest.max(self.now);
        }
        match self.rng.u32(..1000) {
            0..300 if self.rng.u32(..8) < self.deletes => self.remove(db, &bytes),
            0..450 => self.set(db, &bytes),
            450..540 => self.modify(db, &bytes),
            540..620 => self.set_expire(db, &bytes),
            620..660 => self.rename(db, &bytes),
            660..720 => self.check_key(db, &bytes),
            720..760 => self.expire_if_due(db, &bytes),
            760..800 => _ = self.expire_some(),
            800..830 => _ = self.shard.resize_step(self.rng.usize(..4)),
            830..880 => self.sample(db),
            880..920 => self.walk(db),
            920..940 => self.watch(db, &bytes),
            940..955 => self.unwatch(),
            955..975 => self.reply(db, &bytes),
            975..993 => self.pass_time(),
            993..995 if self.snapshot.is_some() => self.save_some(),
            995..998 => self.expire_all(),
            998 => self.deletes = self.rng.u32(..=8),
            _ => self.rare(db),
        }
        self.check_figures();
    }

    /// What costs as much as the table is large.
    fn rare(&mut self, db: usize) {
        match self.rng.u32(..16) {
            0 => self.flush(db),
            1 | 2 => self.swap(db),
            3..6 => drop(self.shard.take_garbage()),
            6 => self.check_all(),
            7..10 => self.save_some(),
            _ => {}
        }
    }

    fn pick(&mut self) -> (usize, Vec<u8>) {
        let db = if self.rng.u32(..4) > 0 { 0 } else { self.rng.usize(..DATABASES) };
        (db, name(self.rng.usize(..self.keys)))
    }

    fn random_expiry(&mut self) -> i64 {
        match self.rng.u32(..20) {
            0 => i64::MAX,
            1 => *self.rng.choice(&[i64::MIN + 1, -1, 0, 1]).expect("not empty"),
            2 => self.now,
            3 => self.now + self.rng.i64(0..HOUR * 24 * 30),
            4 | 5 => self.now + self.rng.i64(0..HOUR * 30),
            _ => self.now + self.rng.i64(-2000..20_000),
        }
    }

    fn set(&mut self, db: usize, bytes: &[u8]) {
        let source = Source::random(&mut self.rng);
        let ttl = match self.rng.u32(..4) {
            0 => Ttl::Keep,
            1 => Ttl::At(self.random_expiry()),
            _ => Ttl::Clear,
        };
        let access = self.rng.u32(..4);
        let key = self.key(bytes);
        self.shard.set(db, &key, source.as_new(), ttl, access, self.now);
        self.expire_on_access(db, bytes);
        let expire = match ttl {
            Ttl::Keep => self.want[db].get(bytes).and_then(|want| want.expire),
            Ttl::Clear => None,
            Ttl::At(at) => Some(at),
        };
        self.put(db, bytes, source.want(expire, access));
        self.check_key(db, bytes);
    }

    /// Appends, or changes bytes in the middle.
    fn modify(&mut self, db: usize, bytes: &[u8]) {
        let added = vec![self.rng.u8(..); LENGTHS[self.rng.usize(..LENGTHS.len())] / 8];
        let change = |data: &mut Vec<u8>| {
            data.extend_from_slice(&added);
            if let Some(first) = data.first_mut() {
                *first ^= 1;
            }
        };
        let key = self.key(bytes);
        let entry = self.shard.entry(db, &key, self.now);
        let found = entry.is_some();
        if let Some(mut entry) = entry {
            entry.modify(change);
        }
        self.expire_on_access(db, bytes);
        assert_eq!(found, self.live(db, bytes).is_some());
        if let Some(mut want) = self.live(db, bytes).cloned() {
            change(&mut want.text);
            want.encoding = "raw";
            self.put(db, bytes, want);
        }
        self.check_key(db, bytes);
    }

    fn set_expire(&mut self, db: usize, bytes: &[u8]) {
        let expire = (self.rng.u32(..3) > 0).then(|| self.random_expiry());
        let key = self.key(bytes);
        if let Some(mut entry) = self.shard.entry(db, &key, self.now) {
            entry.set_expire(expire);
        }
        self.expire_on_access(db, bytes);
        if let Some(mut want) = self.live(db, bytes).cloned() {
            want.expire = expire;
            self.put(db, bytes, want);
        }
        self.check_key(db, bytes);
    }

    fn remove(&mut self, db: usize, bytes: &[u8]) {
        let key = self.key(bytes);
        let removed = self.shard.remove(db, &key, self.now);
        self.expire_on_access(db, bytes);
        assert_eq!(self.take(db, bytes).is_some(), removed);
        self.check_key(db, bytes);
    }

    /// Moves a value with its expiry to another key and database, as RENAME and MOVE do.
    fn rename(&mut self, db: usize, bytes: &[u8]) {
        let (to_db, to) = self.pick();
        let key = self.key(bytes);
        let moved = self.shard.entry(db, &key, self.now).map(|entry| {
            let (expire, access) = (entry.get().expire(), entry.get().access());
            (entry.take(), expire, access)
        });
        self.expire_on_access(db, bytes);
        let Some((value, expire, access)) = moved else {
            return assert!(self.live(db, bytes).is_none());
        };
        let want = self.take(db, bytes).expect("the shard had it");
        let ttl = expire.map_or(Ttl::Clear, Ttl::At);
        let target = self.key(&to);
        value.store(|value| self.shard.set(to_db, &target, value, ttl, access, self.now));
        self.expire_on_access(to_db, &to);
        self.put(to_db, &to, want);
        self.check_key(db, bytes);
        self.check_key(to_db, &to);
    }

    fn expire_if_due(&mut self, db: usize, bytes: &[u8]) {
        let key = self.key(bytes);
        let expired = self.shard.expire_if_due(db, &key, self.now);
        assert_eq!(self.expire_on_access(db, bytes), expired);
    }

    /// One step of the active cycle: deletes some of those that are due, and no other key. Returns whether it came
    /// round.
    fn expire_some(&mut self) -> bool {
        let (buckets, deletions) = (self.rng.usize(1..64), self.rng.usize(1..32));
        let step = self.shard.expire_step(self.now, buckets, deletions, false);
        assert!(step.buckets <= buckets);
        let due = self.due.iter().take_while(|(at, ..)| *at <= self.now);
        let gone: Vec<_> = due.filter(|(_, db, key)| !self.is_stored(*db, key)).cloned().collect();
        assert_eq!(gone.len(), step.expired);
        for (_, db, key) in gone {
            assert!(self.expire_on_access(db, &key));
        }
        step.wrapped
    }

    /// Two rounds of the active cycle leave nothing that was due: the first may begin anywhere.
    fn expire_all(&mut self) {
        let mut rounds = 0;
        while rounds < 2 {
            rounds += usize::from(self.expire_some());
        }
        let left = self.due.first().filter(|(at, ..)| *at <= self.now);
        assert_eq!(left, None, "at {} this is due", self.now);
    }

    fn pass_time(&mut self) {
        self.now += match self.rng.u32(..40) {
            0 => self.rng.i64(0..HOUR * 24 * 3),
            1 => -self.rng.i64(0..HOUR * 24 * 3),
            2 => self.rng.i64(0..HOUR * 5),
            3 => -self.rng.i64(0..10_000),
            _ => self.rng.i64(0..3000),
        };
        // The cycle makes steps many times a second, and sees every jump of the clock.
        self.expire_some();
    }

    fn sample(&mut self, db: usize) {
        let rng = &mut self.rng;
        let sampled = self.shard.db(db).sample(|| rng.u64(..));
        match sampled {
            Some(entry) => assert!(self.want[db].contains_key(entry.key())),
            None => assert!(self.want[db].is_empty()),
        }
    }

    /// Begins a walk or goes on with the one under way.
    fn walk(&mut self, db: usize) {
        let Some(mut walk) = self.walk.take() else {
            let there: HashSet<Vec<u8>> = self.want[db].keys().cloned().collect();
            self.walk = Some(Walk { db, position: 0, missing: there.clone(), allowed: there });
            return;
        };
        let buckets = self.rng.usize(1..(self.keys / 16).min(200) + 2);
        for _ in 0..buckets {
            let next = self.shard.db(walk.db).visit(walk.position, |entry| {
                walk.missing.remove(entry.key());
                assert!(walk.allowed.contains(entry.key()), "a walk returned a ghost");
            });
            match next {
                Some(position) => {
                    assert!(position > walk.position, "a walk goes on");
                    walk.position = position;
                }
                None => return assert!(walk.missing.is_empty(), "missed {:?}", walk.missing),
            }
        }
        self.walk = Some(walk);
    }

    fn watch(&mut self, db: usize, bytes: &[u8]) {
        if self.watches.len() == WATCHES {
            return;
        }
        let flag = WatchFlag::default();
        self.shard.watch(db, bytes, &flag, true);
        self.watches.push(Watch { db, key: bytes.to_vec(), flag, raised: false });
    }

    fn unwatch(&mut self) {
        if self.watches.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.watches.len());
        let watch = self.watches.swap_remove(at);
        self.shard.unwatch(watch.db, &watch.key, &watch.flag);
    }

    /// Keeps a share of a value, as a reply does until it is sent.
    fn reply(&mut self, db: usize, bytes: &[u8]) {
        if self.replies.len() == REPLIES {
            let (reply, text) = self.replies.swap_remove(self.rng.usize(..REPLIES));
            assert!(*reply == text, "a value changed under a reply");
        }
        let found = self.shard.db(db).find(&self.key(bytes), self.now).live();
        if let Some(shared) = found.and_then(|entry| entry.share()) {
            let text = shared.to_vec();
            self.replies.push((shared, text));
        }
    }

    fn flush(&mut self, db: usize) {
        for watch in 0..self.watches.len() {
            let Watch { db: watched, key, .. } = &self.watches[watch];
            let touched = *watched == db && self.live(db, key).is_some();
            self.watches[watch].raised |= touched;
        }
        let old = self.shard.flush(db, self.now);
        assert_eq!(old.keys, self.want[db].len());
        self.changes += old.keys as u64;
        self.want[db].clear();
        self.due.retain(|(_, of, _)| *of != db);
        self.walk = None;
    }

    fn swap(&mut self, a: usize) {
        let b = (a + 1) % DATABASES;
        for watch in 0..self.watches.len() {
            let Watch { db, key, .. } = &self.watches[watch];
            let there = self.live(a, key).is_some() || self.live(b, key).is_some();
            self.watches[watch].raised |= there && (*db == a || *db == b);
        }
        self.shard.swap(a, b, self.now);
        self.changes += 1;
        self.want.swap(a, b);
        let swapped = std::mem::take(&mut self.due).into_iter().map(|(at, db, key)| {
            let db = if db == a {
                b
            } else if db == b {
                a
            } else {
                db
            };
            (at, db, key)
        });
        self.due = swapped.collect();
        self.walk = None;
    }

    /// Adds `count` keys one after the other, then deletes all but one, with walks, samples and expiry all the way.
    pub fn fill_and_empty(&mut self, count: usize) {
        let mut order: Vec<usize> = (0..count).collect();
        self.rng.shuffle(&mut order);
        for (done, i) in order.iter().enumerate() {
            self.set(0, &name(*i));
            self.amid(done);
        }
        self.check_all();
        self.rng.shuffle(&mut order);
        for (done, i) in order.iter().skip(1).enumerate() {
            self.remove(0, &name(*i));
            self.amid(done);
        }
        let (keys, _) = self.shard.db(0).stats();
        assert!(keys.buckets <= 16, "{} buckets are left for one key", keys.buckets);
    }

    fn amid(&mut self, done: usize) {
        if done.is_multiple_of(16) {
            self.walk(0);
            self.sample(0);
            self.check_figures();
        }
        if done.is_multiple_of(4096) {
            self.expire_some();
            self.now += 1;
        }
    }
}
