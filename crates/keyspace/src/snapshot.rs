//! A snapshot: all that the databases hold at one moment, while they go on changing. Nothing is copied to begin with.
//!
//! A walk goes through each database in the order of its table, which is the order of the keys' hashes, and saves what it
//! finds, a few buckets at a time. Behind the walk's cursor everything is saved and may change freely. Ahead of it, an
//! entry is kept by whoever is about to change it (see [`Keeper`]), and is then marked: the walk passes it over. A key
//! that is created ahead of the cursor is marked, too, since it was not there when the snapshot began.
//!
//! Invariants: marks are only ahead of the cursor, so that none is left when the walk is through; every entry that was
//! there at the beginning is either saved by the walk or kept, once.
//!
//! A large collection is not saved under the lock: it is [`Pinned`], and read while everybody else may read it, too. Who is
//! about to change, free or move it waits until it is let go, which is what [`Pins`] is for.
//!
//! A database takes its cursor along when it is swapped with another, and when it is emptied: what is left of it is saved
//! apart from the keyspace.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use respire_datatypes::collection::Collection;

use crate::db::Db;
use crate::entry::{Entry, EntryRef};
use crate::hash::Key;
use crate::shard::Shard;

/// Who takes what is about to change.
pub trait Keeper: Send + Sync {
    /// Saves an entry of database number `db` as it is. Its shard is locked: this should not take long.
    fn keep(&self, db: usize, entry: EntryRef<'_>);
    /// Takes over a large collection that somebody waits to change. Its shard is locked.
    fn take(&self, pinned: Pinned);
    /// Takes over a database that was emptied while part of it was not saved.
    fn adopt(&self, rest: Unsaved);
}

/// A snapshot under way, as one database knows it.
pub(crate) struct Saving {
    /// The number that the database had when the snapshot began.
    db: usize,
    /// Where in the hash range, of 48 bits, the walk has come to.
    cursor: u64,
    /// The walk is through; what is pinned may still be read.
    walked: bool,
    keeper: Arc<dyn Keeper>,
    pins: Arc<Pins>,
}

/// The collections of a database that are being read without its lock, by where they are.
#[derive(Default)]
struct Pins {
    held: Mutex<Vec<usize>>,
    let_go: Condvar,
}

impl Pins {
    fn add(&self, address: usize) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(address);
    }

    fn remove(&self, address: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|other| *other != address);
        self.let_go.notify_all();
    }

    fn holds(&self, address: usize) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }

    fn is_empty(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn wait_for_all(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while !held.is_empty() {
            held = self.let_go.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wait_for(&self, address: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while held.contains(&address) {
            held = self.let_go.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A large collection as it was when the snapshot began; nobody changes or frees it before this is dropped.
pub struct Pinned {
    pub db: usize,
    pub key: Box<[u8]>,
    /// Unix time in milliseconds.
    pub expire: Option<i64>,
    pub access: u32,
    collection: *const Collection,
    pins: Arc<Pins>,
}

// SAFETY: the collection is only read through it, and collections may be read by several threads.
unsafe impl Send for Pinned {}

impl Pinned {
    pub fn collection(&self) -> &Collection {
        // SAFETY: it has a place of its own, apart from its entry. Whoever has the only access to the entry, and so could
        // change, free or replace the collection, first waits until it is in `pins` no more: see `Db::unpin`.
        unsafe { &*self.collection }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.pins.remove(self.collection as usize);
    }
}

/// What a step of the walk has left to do.
pub struct SaveStep {
    /// There is more to do in this shard, or will be when everything that is pinned has been let go.
    pub more: bool,
    /// Large collections, to be saved without the lock.
    pub pinned: Vec<Pinned>,
}

/// Buckets whose entries are asked for ahead of the next step, when the lock is about to be let go.
const AHEAD: u64 = 6;

/// Allocations, and bytes, from which a collection is not saved under the lock.
const LARGE_PARTS: usize = 256;
const LARGE_BYTES: usize = 64 * 1024;

/// What the keyspace has let go of, but the snapshot still needs.
pub struct Unsaved(Db);

impl Unsaved {
    /// Calls `save` with every entry that has not been saved, and with the number that its database had when the snapshot
    /// began. Gives the database back, to be freed.
    pub fn save(self, mut save: impl FnMut(usize, EntryRef<'_>)) -> Db {
        let mut db = self.0;
        // Nobody else has it: what is large is saved as it is, and nothing is pinned any more by who calls this.
        while db.saving.as_ref().is_some_and(|saving| !saving.walked) {
            db.save_bucket(&mut save, None);
        }
        db.await_pins();
        db.saving = None;
        db
    }
}

impl Saving {
    /// Has a large collection stay as it is until what this gives is dropped.
    fn pin(&self, entry: EntryRef<'_>, collection: &Collection) -> Pinned {
        let collection = std::ptr::from_ref(collection);
        self.pins.add(collection as usize);
        Pinned {
            db: self.db,
            key: entry.key().into(),
            expire: entry.expire(),
            access: entry.access(),
            collection,
            pins: Arc::clone(&self.pins),
        }
    }
}

fn position(hash: u64) -> u64 {
    hash >> 16
}

impl Db {
    /// Whether a key with this hash is ahead of a snapshot's walk.
    #[inline]
    pub(crate) fn saves_later(&self, hash: u64) -> bool {
        self.saving.as_ref().is_some_and(|saving| position(hash) >= saving.cursor)
    }

    /// Has an entry kept that is about to change, if the snapshot needs it and has not got it yet.
    #[cold]
    pub(crate) fn keep(&mut self, entry: Entry, hash: u64) {
        self.unpin(entry);
        // SAFETY: the caller found the entry in this table, and `&mut self` gives the only access to it.
        let seen = unsafe { entry.as_ref() };
        if let Some(saving) = &self.saving
            && position(hash) >= saving.cursor
            && !seen.is_marked()
        {
            saving.keeper.keep(saving.db, seen);
            // SAFETY: as above; `seen` is not used any more.
            unsafe { entry.mark(true) }
        }
    }

    /// See [`Shard::must_wait`].
    #[cold]
    fn keeps_still(&mut self, key: &Key<'_>) -> bool {
        let Some(saving) = &self.saving else { return false };
        let Some(place) = self.place(key) else { return false };
        let entry = Entry::in_word(place.word());
        // SAFETY: entries in the table are alive, and `&mut self` gives the only access to them.
        let seen = unsafe { entry.as_ref() };
        let Some(collection) = seen.collection() else { return false };
        if saving.pins.holds(std::ptr::from_ref(collection) as usize) {
            return true;
        }
        if position(key.hash) < saving.cursor || seen.is_marked() || !is_large(collection) {
            return false;
        }
        saving.keeper.take(saving.pin(seen, collection));
        // SAFETY: as above; `seen` is not used any more.
        unsafe { entry.mark(true) }
        true
    }

    /// Waits until nobody reads the collection of an entry without the lock. To be called before an entry is changed or freed
    /// while a snapshot is under way.
    pub(crate) fn unpin(&self, entry: Entry) {
        let Some(saving) = &self.saving else { return };
        // SAFETY: the caller found the entry in this table, and has the only access to it.
        let seen = unsafe { entry.as_ref() };
        if let Some(collection) = seen.collection() {
            saving.pins.wait_for(std::ptr::from_ref(collection) as usize);
        }
    }

    /// Saves the entries of the next bucket, or pins those that are large if there is a list for that. Returns how many
    /// entries were in it.
    fn save_bucket(
        &mut self,
        save: &mut impl FnMut(usize, EntryRef<'_>),
        mut pinned: Option<&mut Vec<Pinned>>,
    ) -> usize {
        let Some(saving) = self.saving.as_deref() else { return 0 };
        let (number, cursor) = (saving.db, saving.cursor);
        let mut seen = 0;
        let next = self.keys.visit(cursor, |word| {
            seen += 1;
            let entry = Entry::in_word(word);
            // SAFETY: entries in the table are alive, and `&mut self` gives the only access to them.
            let found = unsafe { entry.as_ref() };
            if found.is_marked() {
                // SAFETY: as above; `found` is not used any more.
                unsafe { entry.mark(false) }
            } else if position(self.hasher.hash(found.key())) >= cursor {
                // The bucket may begin before the cursor, if the table has another size than when that was set.
                match (found.collection().filter(|c| is_large(c)), pinned.as_deref_mut()) {
                    (Some(collection), Some(pinned)) => {
                        pinned.push(saving.pin(found, collection));
                    }
                    _ => save(number, found),
                }
            }
        });
        match (next, self.saving.as_mut()) {
            (Some(next), Some(saving)) => saving.cursor = next,
            (None, Some(saving)) => (saving.cursor, saving.walked) = (u64::MAX, true),
            (_, None) => {}
        }
        seen
    }

    /// Whether the walk has something to do in this database.
    fn saves_next(&self) -> bool {
        self.saving.as_ref().is_some_and(|saving| !saving.walked)
    }

    /// Has the entries of the next step loaded into the cache, and the buckets of the one after: while other shards are
    /// saved they arrive, and nobody waits for them under the lock.
    fn look_ahead(&self) {
        let Some(saving) = &self.saving else { return };
        let mut at = saving.cursor;
        for _ in 0..AHEAD {
            match self.keys.visit(at, |word| Entry::in_word(word).prefetch()) {
                Some(next) => at = next,
                None => return,
            }
        }
        let width = (at - saving.cursor) / AHEAD;
        for i in 0..AHEAD {
            let _ = self.keys.ahead((at + i * width) << 16);
        }
    }

    /// Waits until nothing of the database is pinned any more. Its entries must not be freed before.
    pub(crate) fn await_pins(&self) {
        if let Some(saving) = &self.saving {
            saving.pins.wait_for_all();
        }
    }

    /// Forgets the snapshot if it has got everything.
    fn end_saving(&mut self) {
        if self.saving.as_ref().is_some_and(|saving| saving.walked && saving.pins.is_empty()) {
            self.saving = None;
        }
    }
}

fn is_large(collection: &Collection) -> bool {
    collection.effort() >= LARGE_PARTS || collection.memory() >= LARGE_BYTES
}

impl Shard {
    /// Begins a snapshot of what the shard holds now. All shards must be held, and no snapshot be under way.
    pub fn begin_snapshot(&mut self, keeper: &Arc<dyn Keeper>) {
        for (number, db) in self.dbs.iter_mut().enumerate() {
            debug_assert!(db.saving.is_none(), "one snapshot at a time");
            db.saving = (!db.is_empty()).then(|| {
                let (keeper, pins) = (Arc::clone(keeper), Arc::default());
                Box::new(Saving { db: number, cursor: 0, walked: false, keeper, pins })
            });
        }
        self.note_saving();
    }

    /// Whether a snapshot is under way that needs something of this shard.
    #[inline]
    pub fn is_saving(&self) -> bool {
        self.saving
    }

    /// Whether the value of `key` has to stay as it is for now: it is large, and read for a snapshot without the lock. One that
    /// the snapshot needs and has not got yet is handed to it at this moment. Who is about to change it should let the
    /// shard go, and come again; else it waits with the shard locked, and everybody else with it.
    #[inline]
    pub fn must_wait(&mut self, db: usize, key: &Key<'_>) -> bool {
        self.saving && self.dbs[db].keeps_still(key)
    }

    /// Goes on with the walk: calls `save` with about `entries` entries, and the number that their database had when the
    /// snapshot began.
    pub fn save_step(
        &mut self,
        entries: usize,
        mut save: impl FnMut(usize, EntryRef<'_>),
    ) -> SaveStep {
        let mut seen = 0;
        let mut pinned = Vec::new();
        self.dbs.iter_mut().for_each(Db::end_saving);
        while seen < entries && pinned.is_empty() {
            let Some(db) = self.dbs.iter_mut().find(|db| db.saves_next()) else { break };
            // Buckets cost something even when nothing is in them.
            seen += db.save_bucket(&mut save, Some(&mut pinned)).max(1);
            db.end_saving();
        }
        self.note_saving();
        if let Some(db) = self.dbs.iter().find(|db| db.saves_next()) {
            db.look_ahead();
        }
        SaveStep { more: self.saving, pinned }
    }

    pub(crate) fn note_saving(&mut self) {
        self.saving = self.dbs.iter().any(|db| db.saving.is_some());
    }

    /// Hands a database that has left the keyspace to the snapshot, if that has not got all of it; else gives it back.
    pub(crate) fn detach(mut db: Db) -> Option<Db> {
        let Some(keeper) = db.saving.as_ref().map(|saving| Arc::clone(&saving.keeper)) else {
            return Some(db);
        };
        db.end_saving();
        if db.saving.is_none() {
            return Some(db);
        }
        keeper.adopt(Unsaved(db));
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use respire_datatypes::collection::Kind;
    use respire_datatypes::hash::Hasher;
    use respire_datatypes::list::{End, List, ListLimits, NewElement};

    use super::*;
    use crate::shard::Ttl;
    use crate::{Heap, NewValue};

    struct Nobody;

    impl Keeper for Nobody {
        fn keep(&self, _: usize, entry: EntryRef<'_>) {
            panic!("{:?} was kept", entry.key());
        }

        fn take(&self, pinned: Pinned) {
            panic!("{:?} was to be kept", pinned.key);
        }

        fn adopt(&self, rest: Unsaved) {
            let db = rest.save(|_, _| panic!("nothing is left to be saved"));
            drop(db);
        }
    }

    /// Whoever changes or deletes a collection, or empties its database, waits until nobody reads it; it does not expire meanwhile.
    #[test]
    fn what_is_pinned_is_neither_changed_nor_freed() {
        const LEN: usize = 20_000;
        let changes: [fn(&mut Shard, &Key<'_>); 3] = [
            |shard, key| assert!(shard.entry(0, key, 0).unwrap().collection_mut().is_some()),
            |shard, key| assert!(shard.remove(0, key, 0)),
            |shard, _| drop(shard.flush(0, 0)),
        ];
        for change in changes {
            let hasher = Hasher::new([1, 2, 3, 4]);
            let mut shard = Shard::new(1, &hasher);
            let key = Key { bytes: b"list", hash: hasher.hash(b"list"), shard: 0 };
            let (mut list, limits) = (List::new(), ListLimits::new(-2));
            for i in 0..LEN {
                list.push(End::Back, NewElement::Bytes(format!("element {i}").as_bytes()), limits);
            }
            let value = NewValue::Collection(Box::new(list.into_collection()));
            shard.set(0, &key, value, Ttl::At(1000), 0, 0);
            let keeper: Arc<dyn Keeper> = Arc::new(Nobody);
            shard.begin_snapshot(&keeper);
            let step = shard.save_step(100, |_, _| panic!("it is large"));
            assert!(step.more);
            let [pinned] = &step.pinned[..] else { panic!("one is pinned") };
            assert_eq!(&*pinned.key, b"list");
            assert!(shard.must_wait(0, &key));
            assert!(!shard.expire_if_due(0, &key, i64::MAX), "it stays for another moment");
            let released = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let (released, step) = (&released, step.pinned);
                scope.spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(30));
                    let list = List::of(step[0].collection()).expect("a list");
                    assert_eq!(list.len(), LEN);
                    released.store(true, Ordering::SeqCst);
                    drop(step);
                });
                change(&mut shard, &key);
                assert!(released.load(Ordering::SeqCst));
            });
            for heap in shard.take_garbage() {
                assert!(matches!(heap, Heap::Collection(_)));
            }
            assert!(!shard.save_step(100, |_, _| {}).more);
        }
    }
}
