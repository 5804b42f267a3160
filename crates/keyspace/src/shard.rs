//! One shard: its part of every database, and what happens on each change: watchers are told, changes are counted,
//! large values are set aside to be freed elsewhere. Every change of the keyspace goes through here.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use respire_datatypes::collection::Collection;
use respire_datatypes::hash::Hasher;
use respire_datatypes::table::Place;

use crate::db::{Db, Found};
use crate::entry::{Entry, EntryRef, Heap, NewValue, Value};
use crate::hash::Key;
use crate::waiting::{ReadyKey, Ticket, Waiting};
use crate::watch::{WatchFlag, Watches};

/// What becomes of a key's expiry when its value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    Keep,
    Clear,
    /// Unix time in milliseconds.
    At(i64),
}

/// Something that is gone because its time has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    Key {
        db: usize,
        key: Box<[u8]>,
    },
    /// Elements of a collection; the key goes with the last of them.
    Elements {
        db: usize,
        key: Box<[u8]>,
        elements: Vec<Vec<u8>>,
    },
}

/// A database that was emptied.
pub struct Flushed {
    /// Keys that it held.
    pub keys: usize,
    /// What it held, to be dropped where that disturbs nobody; `None` if somebody else took it over.
    pub db: Option<Db>,
}

/// One shard of the keyspace.
pub struct Shard {
    pub(crate) dbs: Vec<Db>,
    pub(crate) watches: Watches,
    pub(crate) waiting: Waiting,
    garbage: Vec<Heap>,
    /// Whether anybody wants to know of changes: all that a change pays when nobody does.
    observed: bool,
    reports: bool,
    reported: Vec<Box<[u8]>>,
    /// Whether what goes because of its time is noted in `gone`.
    notes_gone: bool,
    gone: Vec<Gone>,
    /// Whether a snapshot is under way that has not got everything yet.
    pub(crate) saving: bool,
    changes: u64,
    /// What changes count for beyond one each.
    weight: i64,
    expired: u64,
    expired_elements: u64,
    pub(crate) hasher: Hasher,
    pub(crate) expire_cursor: crate::expire::ExpireCursor,
    pub(crate) pruning: crate::prune::Pruning,
}

impl Shard {
    #[cfg(test)]
    pub(crate) fn new(databases: usize, hasher: &Hasher) -> Self {
        Self::with_order(databases, hasher, &Arc::default())
    }

    /// A shard whose ready keys are put in order with those of other shards.
    pub(crate) fn with_order(databases: usize, hasher: &Hasher, order: &Arc<AtomicU64>) -> Self {
        Self {
            dbs: (0..databases).map(|_| Db::new(hasher.clone())).collect(),
            watches: Watches::default(),
            waiting: Waiting::new(order),
            garbage: Vec::new(),
            observed: false,
            reports: false,
            reported: Vec::new(),
            notes_gone: false,
            gone: Vec::new(),
            saving: false,
            changes: 0,
            weight: 0,
            expired: 0,
            expired_elements: 0,
            hasher: hasher.clone(),
            expire_cursor: Default::default(),
            pruning: Default::default(),
        }
    }

    #[inline]
    pub fn db(&self, db: usize) -> &Db {
        &self.dbs[db]
    }

    pub(crate) fn db_mut(&mut self, db: usize) -> &mut Db {
        &mut self.dbs[db]
    }

    /// Changes made since the start.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Changes made since the start, each with its weight: as many as elements were changed, say. What counts for less in
    /// sum than nothing wraps: another shard has what it lacks.
    pub fn weighed_changes(&self) -> u64 {
        self.changes.wrapping_add_signed(self.weight)
    }

    /// Makes the last changes count for so many more, or fewer.
    pub fn weigh(&mut self, more: i64) {
        self.weight += more;
    }

    /// Keys deleted since the start because their time had passed.
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// Elements of collections removed since the start because their time had passed.
    pub fn expired_elements(&self) -> u64 {
        self.expired_elements
    }

    /// Counts a change of which nobody else is told.
    pub fn count_change(&mut self) {
        self.changes += 1;
    }

    /// Whether large values wait to be dropped.
    #[inline]
    pub fn has_garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// Large values that were removed, to be dropped where that disturbs nobody.
    #[inline]
    pub fn take_garbage(&mut self) -> Vec<Heap> {
        if self.garbage.is_empty() { Vec::new() } else { std::mem::take(&mut self.garbage) }
    }

    /// Takes over a value, or a part of one, that was removed.
    #[inline]
    pub fn discard(&mut self, heap: Option<Heap>) {
        if let Some(heap) = heap
            && heap.is_large()
        {
            self.garbage.push(heap);
        }
    }

    #[inline]
    fn changed(&mut self, db: usize, key: &[u8]) {
        self.changes += 1;
        if self.observed {
            self.watches.changed(db, key);
            self.tell_changed(db, key);
        }
    }

    /// Tells those who want to know of a change, watchers apart.
    #[cold]
    fn tell_changed(&mut self, db: usize, key: &[u8]) {
        if !self.waiting.is_empty() {
            self.waiting.changed(db, key);
        }
        if self.reports && self.reported.last().is_none_or(|last| **last != *key) {
            self.reported.push(key.into());
        }
    }

    /// Those who wait for a key are to look at it again, though nobody else is told of a change.
    pub fn wake(&mut self, db: usize, key: &[u8]) {
        if !self.waiting.is_empty() {
            self.waiting.changed(db, key);
        }
    }

    fn note_observers(&mut self) {
        self.observed = self.reports || !self.watches.is_empty() || !self.waiting.is_empty();
    }

    /// Whether the names of changed keys are kept for [`Self::take_reported`].
    pub fn report_changes(&mut self, on: bool) {
        self.reports = on;
        self.reported = Vec::new();
        self.note_observers();
    }

    /// Whether what goes because its time has passed is kept for [`Self::take_gone`].
    pub fn note_gone(&mut self, on: bool) {
        self.notes_gone = on;
        self.gone = Vec::new();
    }

    /// What has gone since the last call because its time had passed, in that order.
    pub fn take_gone(&mut self) -> Vec<Gone> {
        std::mem::take(&mut self.gone)
    }

    /// Whether [`Self::take_gone`] would give anything.
    #[inline]
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Notes that elements of a collection went because their time had passed.
    pub fn elements_gone(&mut self, db: usize, key: &[u8], elements: &[Vec<u8>]) {
        self.expired_elements += elements.len() as u64;
        if self.notes_gone && !elements.is_empty() {
            let elements = elements.to_vec();
            self.gone.push(Gone::Elements { db, key: key.into(), elements });
        }
    }

    /// The names of the keys that have changed since the last call, some perhaps more than once.
    pub fn take_reported(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.reported)
    }

    /// Puts a ticket in the queue of a key.
    pub fn wait(&mut self, db: usize, key: &[u8], ticket: &Arc<Ticket>) {
        self.waiting.add(db, key, ticket);
        self.note_observers();
    }

    /// Takes a ticket out of the queue of a key.
    pub fn wait_no_longer(&mut self, db: usize, key: &[u8], ticket: &Arc<Ticket>) {
        self.waiting.remove(db, key, ticket);
        self.note_observers();
    }

    /// Those who wait for a key, the longest first.
    pub fn waiting_for(&self, db: usize, key: &[u8]) -> Vec<Arc<Ticket>> {
        self.waiting.queue(db, key)
    }

    /// Keys that are waited for, and those of them whose deletion is waited for, too.
    pub fn waited_for(&self) -> (usize, usize) {
        self.waiting.keys()
    }

    /// The keys that have changed since the last call, and that somebody waits for.
    pub fn take_ready(&mut self) -> Vec<ReadyKey> {
        self.waiting.take_ready()
    }

    /// Whether a change left something to do before the shard is unlocked: large values to be set aside, or clients
    /// that wait for what has changed.
    #[inline]
    pub fn has_leftovers(&self) -> bool {
        self.has_garbage() || (self.observed && self.owes())
    }

    #[cold]
    fn owes(&self) -> bool {
        self.waiting.has_ready() || !self.reported.is_empty()
    }

    /// Whether nobody is told of changes of keys of the shard, and no snapshot asks for what was before.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        !self.observed && !self.saving
    }

    /// Whether somebody waits whose command needs other shards, too.
    #[inline]
    pub fn reaches_out(&self) -> bool {
        self.waiting.is_wide()
    }

    /// Deletes a key whose time has passed. Returns whether it did: what a snapshot reads stays for another moment.
    pub fn expire_if_due(&mut self, db: usize, key: &Key<'_>, now: i64) -> bool {
        if !matches!(self.dbs[db].find(key, now), Found::Expired) || self.must_wait(db, key) {
            return false;
        }
        let place = self.dbs[db].place(key).expect("found above");
        self.expire_place(db, key, place);
        true
    }

    pub(crate) fn expire_place(&mut self, db: usize, key: &Key<'_>, place: Place) {
        let heap = self.dbs[db].remove(place, key.hash);
        self.discard(heap);
        self.expired += 1;
        self.changes += 1;
        if self.notes_gone {
            self.gone.push(Gone::Key { db, key: key.bytes.into() });
        }
        if self.observed {
            self.watches.expired(db, key.bytes);
            self.tell_changed(db, key.bytes);
        }
    }

    /// The entry of `key`, to be changed; `None` if there is none. An expired one is deleted on the way.
    #[inline]
    pub fn entry<'a>(&'a mut self, db: usize, key: &'a Key<'a>, now: i64) -> Option<EntryMut<'a>> {
        let place = self.live_place(db, key, now)?;
        Some(EntryMut { shard: self, db, key, place, now })
    }

    #[inline]
    fn live_place(&mut self, db: usize, key: &Key<'_>, now: i64) -> Option<Place> {
        let place = self.dbs[db].place(key)?;
        // SAFETY: an entry in the table is alive while the table is borrowed.
        let entry = unsafe { Entry::in_word(place.word()).as_ref() };
        if entry.expire().is_some_and(|at| at <= now) {
            self.expire_place(db, key, place);
            return None;
        }
        if self.saving {
            self.dbs[db].keep(Entry::in_word(place.word()), key.hash);
        }
        Some(place)
    }

    /// As [`Self::entry`]; a key that is missing gets the collection that `make` makes, and nobody is told of it yet.
    #[inline]
    pub fn entry_or_insert<'a>(
        &'a mut self,
        db: usize,
        key: &'a Key<'a>,
        make: impl FnOnce() -> Collection,
        access: u32,
        now: i64,
    ) -> EntryMut<'a> {
        let place = self.live_place(db, key, now).unwrap_or_else(|| {
            let entry = Entry::new(key.bytes, NewValue::Collection(Box::new(make())), None, access);
            self.dbs[db].insert(key, entry, None, now);
            self.dbs[db].place(key).expect("just inserted")
        });
        EntryMut { shard: self, db, key, place, now }
    }

    /// Stores `value` under `key`, whatever was there. `access` is the access data of a new entry. Returns whether the
    /// key is new.
    #[inline]
    pub fn set(
        &mut self,
        db: usize,
        key: &Key<'_>,
        value: NewValue<'_>,
        ttl: Ttl,
        access: u32,
        now: i64,
    ) -> bool {
        match self.entry(db, key, now) {
            Some(mut entry) => {
                entry.get().set_access(access);
                entry.set(value, ttl);
                false
            }
            None => {
                self.insert_new(db, key, value, ttl, access, now);
                true
            }
        }
    }

    /// Makes room in an empty database for keys that are about to be added, and for those of them that expire: its tables
    /// need not grow then.
    pub fn make_room(&mut self, db: usize, keys: usize, expiring: usize) {
        self.dbs[db].make_room(keys, expiring);
    }

    /// Loads what a key is going to touch into the cache, of keys that are not there.
    #[inline]
    pub fn prefetch_new(&self, db: usize, hash: u64) {
        let _ = self.dbs[db].keys.ahead(hash);
    }

    /// Stores `value` under a key that [`Self::entry`] just said to be missing.
    pub fn insert_new(
        &mut self,
        db: usize,
        key: &Key<'_>,
        value: NewValue<'_>,
        ttl: Ttl,
        access: u32,
        now: i64,
    ) {
        debug_assert!(self.dbs[db].place(key).is_none());
        let expire = match ttl {
            Ttl::At(at) => Some(at),
            Ttl::Keep | Ttl::Clear => None,
        };
        let entry = Entry::new(key.bytes, value, expire, access);
        self.dbs[db].insert(key, entry, expire, now);
        self.changed(db, key.bytes);
    }

    /// Deletes a key. Returns whether it was there.
    pub fn remove(&mut self, db: usize, key: &Key<'_>, now: i64) -> bool {
        self.entry(db, key, now).map(EntryMut::remove).is_some()
    }

    /// Tells `flag` when `key` changes, or is deleted, from now on.
    /// `existed` says whether it is there now.
    pub fn watch(&mut self, db: usize, key: &[u8], flag: &WatchFlag, existed: bool) {
        self.watches.add(db, key, flag, existed);
        self.note_observers();
    }

    pub fn unwatch(&mut self, db: usize, key: &[u8], flag: &WatchFlag) {
        self.watches.remove(db, key, flag);
        self.note_observers();
    }

    /// Empties a database.
    pub fn flush(&mut self, db: usize, now: i64) -> Flushed {
        let empty = Db::new(self.hasher.clone());
        let hasher = self.hasher.clone();
        let old = std::mem::replace(&mut self.dbs[db], empty);
        self.watches.changed_where(db, |key| exists(&old, &hasher, key, now));
        self.waiting.changed_where(db, |key| exists(&old, &hasher, key, now));
        self.changes += old.len() as u64;
        let keys = old.len();
        let db = Self::detach(old);
        self.note_saving();
        Flushed { keys, db }
    }

    /// Swaps two databases. Clients that watch a key which either holds are told.
    pub fn swap(&mut self, a: usize, b: usize, now: i64) {
        for db in [a, b] {
            let (this, that) = (&self.dbs[a], &self.dbs[b]);
            self.watches.changed_where(db, |key| {
                exists(this, &self.hasher, key, now) || exists(that, &self.hasher, key, now)
            });
        }
        self.dbs.swap(a, b);
        self.expire_cursor.note_swap();
        self.changes += 1;
        // Who waits for a group is told as well that its stream is gone.
        for (db, other) in [(a, b), (b, a)] {
            let (here, before) = (&self.dbs[db], &self.dbs[other]);
            self.waiting.changed_where(db, |key| {
                exists(here, &self.hasher, key, now) || exists(before, &self.hasher, key, now)
            });
        }
    }
}

fn exists(db: &Db, hasher: &Hasher, key: &[u8], now: i64) -> bool {
    let key = Key { bytes: key, hash: hasher.hash(key), shard: 0 };
    matches!(db.find(&key, now), Found::Live(_))
}

/// A live entry, to be changed.
pub struct EntryMut<'a> {
    shard: &'a mut Shard,
    db: usize,
    key: &'a Key<'a>,
    place: Place,
    now: i64,
}

impl EntryMut<'_> {
    #[inline]
    fn entry(&self) -> Entry {
        Entry::in_word(self.place.word())
    }

    #[inline]
    pub fn get(&self) -> EntryRef<'_> {
        // SAFETY: the entry is alive while the shard is borrowed.
        unsafe { self.entry().as_ref() }
    }

    /// Replaces the value and, as `ttl` says, the expiry.
    #[inline]
    pub fn set(&mut self, value: NewValue<'_>, ttl: Ttl) {
        let db = &mut self.shard.dbs[self.db];
        let heap = db.set_value(self.place, self.key.hash, value);
        match ttl {
            Ttl::Keep => {}
            Ttl::Clear => db.set_expire(self.place, self.key.hash, None, self.now),
            Ttl::At(at) => db.set_expire(self.place, self.key.hash, Some(at), self.now),
        }
        self.shard.discard(heap);
        self.shard.changed(self.db, self.key.bytes);
    }

    /// Sets or removes the expiry.
    pub fn set_expire(&mut self, expire: Option<i64>) {
        self.shard.dbs[self.db].set_expire(self.place, self.key.hash, expire, self.now);
        self.shard.changed(self.db, self.key.bytes);
    }

    /// Changes the string in place with `f`; its allocation grows as a `Vec` does, so that appending stays cheap.
    pub fn modify(&mut self, f: impl FnOnce(&mut Vec<u8>)) {
        // SAFETY: `&mut self` gives the only access to the entry.
        if let Some(heap) = unsafe { self.entry().heap_mut() } {
            f(heap);
        } else {
            let text = self.get().string().expect("only strings are modified as such");
            let mut data = text.with_bytes(<[u8]>::to_vec);
            f(&mut data);
            // A string that grows past what an entry comfortably holds will grow again: it moves to the heap.
            let value = match data.len() {
                0..=255 => NewValue::Modified(&data),
                _ => NewValue::Shared(Arc::new(data)),
            };
            let heap = self.shard.dbs[self.db].set_value(self.place, self.key.hash, value);
            debug_assert!(heap.is_none());
        }
        self.shard.changed(self.db, self.key.bytes);
    }

    /// The collection, to be changed in place; `None` if the value is a string. Whoever changes it tells so with
    /// [`Self::changed`].
    #[inline]
    pub fn collection_mut(&mut self) -> Option<&mut Collection> {
        // SAFETY: `&mut self` gives the only access to the entry.
        unsafe { self.entry().collection_mut() }
    }

    /// When the first element of the collection expires.
    #[inline]
    pub fn next_due(&self) -> Option<i64> {
        self.get().collection().and_then(Collection::next_due)
    }

    /// Notes that the first element of the collection, which has been changed in place, expired at `before`, and does now
    /// when it does.
    #[inline]
    pub fn retime(&mut self, before: Option<i64>) {
        let after = self.next_due();
        if before != after {
            self.shard.dbs[self.db].retime(self.key.bytes, before, after);
        }
    }

    /// Tells that the collection was changed in place.
    #[inline]
    pub fn changed(&mut self) {
        self.shard.changed(self.db, self.key.bytes);
    }

    /// Deletes the key, and gives its value.
    pub fn take(self) -> Value {
        let due = self.next_due();
        self.shard.dbs[self.db].retime(self.key.bytes, due, None);
        // SAFETY: `self` gives the only access to the entry, which leaves the table below.
        let value = match unsafe { self.entry().take_collection() } {
            Some(collection) => Value::Collection(collection),
            None => self.get().to_value(),
        };
        self.remove();
        value
    }

    /// Deletes the key.
    pub fn remove(mut self) {
        self.unlist();
        self.changed();
    }

    /// Deletes the key of a collection that nobody was told of.
    pub fn remove_unseen(mut self) {
        self.unlist();
    }

    fn unlist(&mut self) {
        let heap = self.shard.dbs[self.db].remove(self.place, self.key.hash);
        self.shard.discard(heap);
    }
}

impl Shard {
    /// Moves up to `buckets` buckets of each resize under way. Returns whether one is still under way.
    pub fn resize_step(&mut self, buckets: usize) -> bool {
        let mut more = false;
        for db in &mut self.dbs {
            if db.is_resizing() {
                more |= db.resize_step(buckets);
            }
        }
        more
    }
}
