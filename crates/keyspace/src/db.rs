//! One database of one shard: the table of its keys, and beside it a table of those that expire.
//!
//! The table of expiring keys holds the same entries, but with a coarse expiry time where the other has hash bits for a
//! tag: the active cycle reads it from end to end without touching a single entry that is not due.
//!
//! Elements of a collection may expire by themselves. Collections with such elements are listed in the order in which the
//! first of them expires. Invariant: the list holds exactly those collections, each with its present time, except while one
//! is being changed: whoever changes a collection tells the time that it had before.

use std::collections::BTreeSet;

use respire_datatypes::collection::Collection;
use respire_datatypes::hash::{Hasher, same};
use respire_datatypes::rest;
use respire_datatypes::table::{Place, Table, TableStats, Word};

use crate::entry::{Entry, EntryRef, Heap, NewValue};
use crate::hash::Key;
use crate::snapshot::Saving;

/// What a lookup found.
#[derive(Clone, Copy)]
pub enum Found<'a> {
    Live(EntryRef<'a>),
    /// The key is there, but its time has passed: for every command, it does not exist.
    Expired,
    Missing,
}

impl<'a> Found<'a> {
    pub fn live(self) -> Option<EntryRef<'a>> {
        match self {
            Self::Live(entry) => Some(entry),
            _ => None,
        }
    }
}

/// Coarse time of an expiry: units of 1,024 ms, modulo 2^16 (about 18 hours and a half).
#[inline]
pub(crate) fn coarse(ms: i64) -> u16 {
    (ms >> 10) as u16
}

/// The farthest coarse time that can be told from one that has passed, in units.
pub(crate) const COARSE_HORIZON: i64 = 1 << 14;

/// The tag of an expiry as seen at `now`: one beyond the horizon is looked at again when the horizon is reached.
pub(crate) fn expire_tag(expire: i64, now: i64) -> u16 {
    coarse(expire.clamp(now.saturating_sub(1024), now.saturating_add(COARSE_HORIZON << 10)))
}

/// One database of one shard.
pub struct Db {
    pub(crate) keys: Table,
    pub(crate) expires: Table,
    /// When the first element of a collection expires, and the collection's key.
    timed: BTreeSet<(i64, Box<[u8]>)>,
    /// The snapshot under way, if that has not got everything of this database yet.
    pub(crate) saving: Option<Box<Saving>>,
    pub(crate) hasher: Hasher,
}

impl Db {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self {
            keys: Table::new(),
            expires: Table::new(),
            timed: BTreeSet::new(),
            saving: None,
            hasher,
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.len() == 0
    }

    /// Makes room for keys that are about to be added, and for those of them that expire, if nothing is there yet.
    pub(crate) fn make_room(&mut self, keys: usize, expiring: usize) {
        for (table, words) in [(&mut self.keys, keys), (&mut self.expires, expiring)] {
            if table.is_empty() && !table.is_resizing() && words > 0 {
                *table = Table::with_room(words);
            }
        }
    }

    /// Keys that have an expiry.
    pub fn expiring(&self) -> usize {
        self.expires.len()
    }

    /// Whether elements of any collection expire.
    #[inline]
    pub fn has_timed(&self) -> bool {
        !self.timed.is_empty()
    }

    /// Collections with elements that expire.
    pub fn timed(&self) -> usize {
        self.timed.len()
    }

    /// The key of a collection with an element that has expired at `now`.
    pub(crate) fn first_timed(&self, now: i64) -> Option<Box<[u8]>> {
        let (at, key) = self.timed.first()?;
        (*at <= now).then(|| key.clone())
    }

    /// Notes that the first element of a collection expires at another time than `before`.
    pub(crate) fn retime(&mut self, key: &[u8], before: Option<i64>, after: Option<i64>) {
        if before == after {
            return;
        }
        if let Some(at) = before {
            let listed = self.timed.remove(&(at, key.into()));
            debug_assert!(listed, "collections with elements that expire are listed");
        }
        if let Some(at) = after {
            self.timed.insert((at, key.into()));
        }
    }

    /// Figures of the tables of keys and of expiring keys.
    pub fn stats(&self) -> (TableStats, TableStats) {
        (self.keys.stats(), self.expires.stats())
    }

    #[inline]
    pub(crate) fn place(&self, key: &Key<'_>) -> Option<Place> {
        self.keys.find_tagged(key.hash, |word| {
            // SAFETY: an entry in the table is alive while the table is borrowed.
            same(unsafe { Entry::in_word(word).as_ref() }.key(), key.bytes)
        })
    }

    /// Looks a key up as it is at `now`.
    #[inline]
    pub fn find(&self, key: &Key<'_>, now: i64) -> Found<'_> {
        let Some(place) = self.place(key) else { return Found::Missing };
        // SAFETY: as in `place`.
        let entry = unsafe { Entry::in_word(place.word()).as_ref() };
        match entry.expire() {
            Some(at) if at <= now => Found::Expired,
            _ => Found::Live(entry),
        }
    }

    /// The entry of the key with this hash, or of another one that looks like it; a guess that costs little.
    #[inline]
    pub(crate) fn likely(&self, hash: u64) -> Option<EntryRef<'_>> {
        // SAFETY: as in `place`.
        self.keys.likely(hash).map(|word| unsafe { Entry::in_word(word).as_ref() })
    }

    fn hash_of(hasher: &Hasher) -> impl Fn(Word) -> u64 {
        // SAFETY: words in a table have live entries.
        move |word| hasher.hash(unsafe { Entry::in_word(word).as_ref() }.key())
    }

    /// Adds an entry under a key that is not there.
    pub(crate) fn insert(&mut self, key: &Key<'_>, entry: Entry, expire: Option<i64>, now: i64) {
        // SAFETY: the entry was just made for this table.
        let due = next_due(unsafe { entry.as_ref() });
        if self.saves_later(key.hash) {
            // SAFETY: nobody else knows of it yet.
            unsafe { entry.mark(true) }
        }
        self.retime(key.bytes, None, due);
        let hash_of = Self::hash_of(&self.hasher);
        self.keys.insert(key.hash, entry.word(key.hash as u16), &hash_of);
        if let Some(at) = expire {
            self.expires.insert(key.hash, entry.word(expire_tag(at, now)), &hash_of);
        }
    }

    pub(crate) fn expire_place(&self, hash: u64, entry: Entry) -> Option<Place> {
        self.expires.find(hash, |word| Entry::in_word(word) == entry)
    }

    /// Takes the entry at `place` out and frees it. Gives back a heap value.
    pub(crate) fn remove(&mut self, place: Place, hash: u64) -> Option<Heap> {
        let entry = Entry::in_word(place.word());
        if self.saving.is_some() {
            self.unpin(entry);
        }
        // SAFETY: the entry is alive until it is freed below.
        let seen = unsafe { entry.as_ref() };
        self.retime(seen.key(), next_due(seen), None);
        let hash_of = Self::hash_of(&self.hasher);
        if let Some(expire) = self.expire_place(hash, entry) {
            self.expires.remove(expire, &hash_of);
        }
        self.keys.remove(place, &hash_of);
        // SAFETY: the entry is in no table any more, and `&mut self` proves that nobody else looks at it.
        unsafe { entry.free() }
    }

    /// Replaces the value at `place`, in place if it fits. Gives back the old heap value.
    #[inline]
    pub(crate) fn set_value(
        &mut self,
        place: Place,
        hash: u64,
        value: NewValue<'_>,
    ) -> Option<Heap> {
        // SAFETY: `&mut self` gives the only access to the entry.
        if unsafe { Entry::in_word(place.word()).rewrite(&value) } {
            return None;
        }
        self.replace_value(place, hash, value)
    }

    fn replace_value(&mut self, place: Place, hash: u64, value: NewValue<'_>) -> Option<Heap> {
        let entry = Entry::in_word(place.word());
        // SAFETY: the entry is alive, and not looked at any more once it changes.
        let seen = unsafe { entry.as_ref() };
        let after = match &value {
            NewValue::Collection(collection) => collection.next_due(),
            _ => None,
        };
        self.retime(seen.key(), next_due(seen), after);
        // SAFETY: `&mut self` gives the only access to the entry.
        match unsafe { entry.try_overwrite(value) } {
            Ok(heap) => heap,
            Err(value) => {
                // SAFETY: as above.
                let old = unsafe { entry.as_ref() };
                let new = Entry::new(old.key(), value, old.expire(), old.access());
                if old.is_marked() {
                    // SAFETY: nobody else knows of it yet.
                    unsafe { new.mark(true) }
                }
                self.swap_entry(place, hash, new)
            }
        }
    }

    /// Puts `new` in the place of another entry of the same key and expiry flag, and frees that one.
    fn swap_entry(&mut self, place: Place, hash: u64, new: Entry) -> Option<Heap> {
        let old = Entry::in_word(place.word());
        if let Some(expire) = self.expire_place(hash, old) {
            // SAFETY: `&mut self`, and the table is unchanged since the search.
            unsafe { expire.replace(new.word(expire.word().tag())) }
        }
        // SAFETY: as above; then no table holds the old entry any more.
        unsafe {
            place.replace(new.word(place.word().tag()));
            old.free()
        }
    }

    /// Sets or removes the expiry of the entry at `place`.
    #[inline]
    pub(crate) fn set_expire(&mut self, place: Place, hash: u64, expire: Option<i64>, now: i64) {
        // SAFETY: `&mut self` gives the only access to the entry.
        let old = unsafe { Entry::in_word(place.word()).as_ref() }.expire();
        if old.is_some() || expire.is_some() {
            self.change_expire(place, hash, expire, now);
        }
    }

    fn change_expire(&mut self, place: Place, hash: u64, expire: Option<i64>, now: i64) {
        let entry = Entry::in_word(place.word());
        // SAFETY: `&mut self` gives the only access to the entry.
        let old = unsafe { entry.as_ref() };
        match (old.expire(), expire) {
            (Some(_), Some(at)) => {
                // SAFETY: as above, and the entry has an expiry.
                unsafe { entry.set_expire(at) }
                let found = self.expire_place(hash, entry).expect("an expiring key is listed");
                // SAFETY: `&mut self`, and the table is unchanged since the search.
                unsafe { found.replace(entry.word(expire_tag(at, now))) }
            }
            (had, want) => {
                let hash_of = Self::hash_of(&self.hasher);
                if had.is_some() {
                    let found = self.expire_place(hash, entry).expect("an expiring key is listed");
                    self.expires.remove(found, &hash_of);
                }
                // SAFETY: `&mut self`; the old handle is replaced in the tables below.
                let new = unsafe { entry.with_expire(want) };
                if let Some(at) = want {
                    self.expires.insert(hash, new.word(expire_tag(at, now)), &hash_of);
                }
                // SAFETY: the table of keys is unchanged since the search.
                unsafe { place.replace(new.word(place.word().tag())) }
            }
        }
    }

    pub(crate) fn is_resizing(&self) -> bool {
        self.keys.is_resizing() || self.expires.is_resizing()
    }

    /// Moves up to `buckets` buckets of a resize under way in either table. Returns whether one is still under way.
    pub fn resize_step(&mut self, buckets: usize) -> bool {
        let hash_of = Self::hash_of(&self.hasher);
        self.keys.move_buckets(buckets, &hash_of);
        self.expires.move_buckets(buckets, &hash_of);
        self.is_resizing()
    }

    /// Visits the entries at `position` of the hash range; returns the next position, `None` after the last.
    pub fn visit(&self, position: u64, mut f: impl FnMut(EntryRef<'_>)) -> Option<u64> {
        // SAFETY: entries in the table are alive while it is borrowed.
        self.keys.visit(position, |word| f(unsafe { Entry::in_word(word).as_ref() }))
    }

    /// As [`Self::visit`], but only entries that expire.
    pub fn visit_expiring(&self, position: u64, mut f: impl FnMut(EntryRef<'_>)) -> Option<u64> {
        // SAFETY: as in `visit`.
        self.expires.visit(position, |word| f(unsafe { Entry::in_word(word).as_ref() }))
    }

    /// An entry chosen at random, every one with the same chance.
    pub fn sample(&self, random: impl FnMut() -> u64) -> Option<EntryRef<'_>> {
        // SAFETY: as in `visit`.
        self.keys.sample(random).map(|word| unsafe { Entry::in_word(word).as_ref() })
    }

    /// As [`Self::sample`], of the entries that expire.
    pub fn sample_expiring(&self, random: impl FnMut() -> u64) -> Option<EntryRef<'_>> {
        // SAFETY: as in `visit`.
        self.expires.sample(random).map(|word| unsafe { Entry::in_word(word).as_ref() })
    }

    /// The place of a word of the table of expiring keys, in the table of keys.
    pub(crate) fn place_of_entry(&self, hash: u64, entry: Entry) -> Option<Place> {
        self.keys.find_tagged(hash, |word| Entry::in_word(word) == entry)
    }
}

/// When the first element of a collection expires.
#[inline]
fn next_due(entry: EntryRef<'_>) -> Option<i64> {
    entry.collection().and_then(Collection::next_due)
}

impl Drop for Db {
    fn drop(&mut self) {
        self.await_pins();
        self.keys.for_each(|word| {
            // SAFETY: the tables are not used after this but to free their buckets.
            drop(unsafe { Entry::in_word(word).free() });
            rest::step();
        });
    }
}
