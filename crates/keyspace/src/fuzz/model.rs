//! The model: what a shard should hold, in maps of the standard library, and the checks that compare the two.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::db::Found;
use crate::entry::EntryRef;
use crate::hash::Key;
use crate::shard::Shard;
use crate::watch::WatchFlag;
use respire_datatypes::hash::Hasher;

pub(super) const DATABASES: usize = 3;

/// What an entry should be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Want {
    pub text: Vec<u8>,
    pub encoding: &'static str,
    pub expire: Option<i64>,
    pub access: u32,
}

/// A client that watches a key.
pub(super) struct Watch {
    pub db: usize,
    pub key: Vec<u8>,
    pub flag: WatchFlag,
    pub raised: bool,
}

/// A walk over a database, as SCAN does it.
pub(super) struct Walk {
    pub db: usize,
    pub position: u64,
    /// Keys that have been there since the walk began, and have not been returned yet.
    pub missing: HashSet<Vec<u8>>,
    /// Keys that have been there at some time of the walk.
    pub allowed: HashSet<Vec<u8>>,
}

/// A shard and what it should hold. Keys whose time has passed are in the model until something deletes them.
pub(super) struct Run {
    pub shard: Shard,
    pub hasher: Hasher,
    pub rng: fastrand::Rng,
    /// How many different keys there are.
    pub keys: usize,
    pub now: i64,
    /// One in how many of the steps that change keys deletes one; changes from time to time.
    pub deletes: u32,
    pub want: Vec<HashMap<Vec<u8>, Want>>,
    /// Expiries with their database and key, in order.
    pub due: BTreeSet<(i64, usize, Vec<u8>)>,
    pub watches: Vec<Watch>,
    pub walk: Option<Walk>,
    pub snapshot: Option<Snapshot>,
    /// Values that replies still share, and what they were when the reply was made.
    pub replies: Vec<(Arc<Vec<u8>>, Vec<u8>)>,
    pub changes: u64,
    pub expired: u64,
}

/// The bytes of key `i`: the empty key, usual ones, and some too long for one byte of length.
pub(super) fn name(i: usize) -> Vec<u8> {
    match i {
        0 => Vec::new(),
        _ if i % 61 == 3 => format!("{i:0300}").into_bytes(),
        _ if i % 1009 == 5 => format!("{i:05000}").into_bytes(),
        _ => format!("key:{i}").into_bytes(),
    }
}

impl Run {
    pub fn new(hasher: Hasher, keys: usize, rng: fastrand::Rng) -> Self {
        Self {
            shard: Shard::new(DATABASES, &hasher),
            hasher,
            rng,
            keys,
            now: 1_700_000_000_000,
            deletes: 4,
            want: vec![HashMap::new(); DATABASES],
            due: BTreeSet::new(),
            watches: Vec::new(),
            walk: None,
            snapshot: None,
            replies: Vec::new(),
            changes: 0,
            expired: 0,
        }
    }

    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { bytes, hash: self.hasher.hash(bytes), shard: 0 }
    }

    /// Notes that a key has changed.
    pub fn changed(&mut self, db: usize, key: &[u8]) {
        self.changes += 1;
        for watch in &mut self.watches {
            watch.raised |= watch.db == db && watch.key == key;
        }
    }

    /// Puts an entry into the model.
    pub fn put(&mut self, db: usize, key: &[u8], want: Want) {
        let expire = want.expire;
        if let Some(Want { expire: Some(at), .. }) = self.want[db].insert(key.to_vec(), want) {
            self.due.remove(&(at, db, key.to_vec()));
        }
        if let Some(at) = expire {
            self.due.insert((at, db, key.to_vec()));
        }
        if let Some(walk) = &mut self.walk
            && walk.db == db
        {
            walk.allowed.insert(key.to_vec());
        }
        self.changed(db, key);
    }

    /// Takes an entry out of the model.
    pub fn take(&mut self, db: usize, key: &[u8]) -> Option<Want> {
        let want = self.want[db].remove(key)?;
        if let Some(at) = want.expire {
            self.due.remove(&(at, db, key.to_vec()));
        }
        if let Some(walk) = &mut self.walk
            && walk.db == db
        {
            walk.missing.remove(key);
        }
        self.changed(db, key);
        Some(want)
    }

    /// Deletes the key from the model if its time has passed, as every access for writing does.
    pub fn expire_on_access(&mut self, db: usize, key: &[u8]) -> bool {
        let past =
            self.want[db].get(key).is_some_and(|w| w.expire.is_some_and(|at| at <= self.now));
        if past {
            self.take(db, key);
            self.expired += 1;
        }
        past
    }

    /// The model's entry if its time has not passed.
    pub fn live(&self, db: usize, key: &[u8]) -> Option<&Want> {
        self.want[db].get(key).filter(|want| want.expire.is_none_or(|at| at > self.now))
    }

    fn check_entry(entry: EntryRef<'_>, key: &[u8], want: &Want) {
        assert_eq!(entry.key(), key);
        entry.string().unwrap().with_bytes(|text| assert!(text == want.text, "value of {key:?}"));
        assert_eq!(entry.string().unwrap().len(), want.text.len());
        assert_eq!(entry.expire(), want.expire, "expiry of {key:?}");
        assert_eq!(entry.encoding(), want.encoding, "encoding of {key:?}");
        assert_eq!(entry.access(), want.access, "access data of {key:?}");
        if let Some(shared) = entry.share() {
            assert!(*shared == want.text);
        }
    }

    /// Compares one key.
    pub fn check_key(&self, db: usize, bytes: &[u8]) {
        let found = self.shard.db(db).find(&self.key(bytes), self.now);
        match (found, self.want[db].get(bytes)) {
            (Found::Missing, None) => {}
            (Found::Live(entry), Some(want)) => {
                assert!(want.expire.is_none_or(|at| at > self.now), "{bytes:?} has expired");
                Self::check_entry(entry, bytes, want);
            }
            (Found::Expired, Some(want)) => {
                assert!(want.expire.is_some_and(|at| at <= self.now), "{bytes:?} has not expired");
            }
            (Found::Missing, Some(_)) => panic!("{bytes:?} of database {db} is lost"),
            (_, None) => panic!("{bytes:?} of database {db} should not be there"),
        }
    }

    /// Whether the key hangs in the table, be its time over or not.
    pub fn is_stored(&self, db: usize, bytes: &[u8]) -> bool {
        !matches!(self.shard.db(db).find(&self.key(bytes), i64::MIN), Found::Missing)
    }

    /// Compares what is cheap to compare, after every step.
    pub fn check_figures(&self) {
        for db in 0..DATABASES {
            assert_eq!(self.shard.db(db).len(), self.want[db].len(), "keys of database {db}");
        }
        let expiring: usize = (0..DATABASES).map(|db| self.shard.db(db).expiring()).sum();
        assert_eq!(expiring, self.due.len());
        assert_eq!(self.shard.has_expiring(), expiring > 0);
        assert_eq!(self.shard.changes(), self.changes, "changes counted");
        assert_eq!(self.shard.expired(), self.expired, "expired keys counted");
        for watch in &self.watches {
            assert_eq!(watch.flag.is_raised(), watch.raised, "watch of {:?}", watch.key);
        }
    }

    /// Compares everything.
    pub fn check_all(&self) {
        for db in 0..DATABASES {
            let mut seen = HashSet::new();
            let mut position = Some(0);
            while let Some(at) = position {
                position = self.shard.db(db).visit(at, |entry| {
                    let want = self.want[db].get(entry.key()).expect("a key that is there");
                    Self::check_entry(entry, entry.key(), want);
                    seen.insert(entry.key().to_vec());
                });
                assert!(position.is_none_or(|next| next > at), "a walk goes on");
            }
            assert_eq!(seen.len(), self.want[db].len(), "a walk finds every key");
            for key in self.want[db].keys() {
                self.check_key(db, key);
            }
        }
        for (reply, text) in &self.replies {
            assert!(**reply == *text, "a value changed under a reply");
        }
    }

    /// Deletes everything and checks that the memory goes with it.
    pub fn finish(mut self) {
        self.check_all();
        while self.snapshot.is_some() {
            self.save_some();
        }
        self.replies.clear();
        for db in 0..DATABASES {
            let keys: Vec<Vec<u8>> = self.want[db].keys().cloned().collect();
            for bytes in keys {
                let key = self.key(&bytes);
                let was_past = self.expire_on_access(db, &bytes);
                assert_eq!(self.shard.remove(db, &key, self.now), !was_past);
                self.take(db, &bytes);
            }
        }
        while self.shard.resize_step(64) {}
        self.check_figures();
        for db in 0..DATABASES {
            let (keys, expiring) = self.shard.db(db).stats();
            for stats in [keys, expiring] {
                assert_eq!((stats.keys, stats.overflow_buckets, stats.next_buckets), (0, 0, 0));
                assert!(stats.buckets <= 4, "an emptied table keeps {} buckets", stats.buckets);
                assert_eq!(stats.memory, stats.buckets * 64);
            }
        }
    }
}
