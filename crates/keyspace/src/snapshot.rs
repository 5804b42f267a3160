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
//! A database takes its cursor along when it is swapped with another, and when it is emptied: what is left of it is saved
//! apart from the keyspace.

use std::sync::Arc;

use crate::db::Db;
use crate::entry::{Entry, EntryRef};
use crate::shard::Shard;

/// Who takes what is about to change.
pub trait Keeper: Send + Sync {
    /// Saves an entry of database number `db` as it is. Its shard is locked: this should not take long.
    fn keep(&self, db: usize, entry: EntryRef<'_>);
    /// Takes over a database that was emptied while part of it was not saved.
    fn adopt(&self, rest: Unsaved);
}

/// A snapshot under way, as one database knows it.
pub(crate) struct Saving {
    /// The number that the database had when the snapshot began.
    db: usize,
    /// Where in the hash range, of 48 bits, the walk has come to.
    cursor: u64,
    keeper: Arc<dyn Keeper>,
}

/// What the keyspace has let go of, but the snapshot still needs.
pub struct Unsaved(Db);

impl Unsaved {
    /// Calls `save` with every entry that has not been saved, and with the number that its database had when the snapshot
    /// began. Gives the database back, to be freed.
    pub fn save(self, mut save: impl FnMut(usize, EntryRef<'_>)) -> Db {
        let mut db = self.0;
        while db.saving.is_some() {
            db.save_bucket(&mut save);
        }
        db
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

    /// Saves the entries of the next bucket. Returns how many entries were in it.
    fn save_bucket(&mut self, save: &mut impl FnMut(usize, EntryRef<'_>)) -> usize {
        let Some(Saving { db, cursor, .. }) = self.saving.as_deref() else { return 0 };
        let (number, cursor) = (*db, *cursor);
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
                save(number, found);
            }
        });
        match (next, self.saving.as_mut()) {
            (Some(next), Some(saving)) => saving.cursor = next,
            _ => self.saving = None,
        }
        seen
    }
}

impl Shard {
    /// Begins a snapshot of what the shard holds now. All shards must be held, and no snapshot be under way.
    pub fn begin_snapshot(&mut self, keeper: &Arc<dyn Keeper>) {
        for (number, db) in self.dbs.iter_mut().enumerate() {
            debug_assert!(db.saving.is_none(), "one snapshot at a time");
            db.saving = (!db.is_empty())
                .then(|| Box::new(Saving { db: number, cursor: 0, keeper: Arc::clone(keeper) }));
        }
        self.note_saving();
    }

    /// Goes on with the walk: calls `save` with about `entries` entries, and the number that their database had when the
    /// snapshot began. Returns whether there is more to do here.
    pub fn save_step(&mut self, entries: usize, mut save: impl FnMut(usize, EntryRef<'_>)) -> bool {
        let mut seen = 0;
        while seen < entries {
            let Some(db) = self.dbs.iter_mut().find(|db| db.saving.is_some()) else { break };
            // Buckets cost something even when nothing is in them.
            seen += db.save_bucket(&mut save).max(1);
        }
        self.note_saving();
        self.saving
    }

    pub(crate) fn note_saving(&mut self) {
        self.saving = self.dbs.iter().any(|db| db.saving.is_some());
    }

    /// Hands a database that has left the keyspace to the snapshot, if that has not got all of it; else gives it back.
    pub(crate) fn detach(mut db: Db) -> Option<Db> {
        let Some(keeper) = db.saving.as_ref().map(|saving| Arc::clone(&saving.keeper)) else {
            return Some(db);
        };
        if db.is_empty() {
            db.saving = None;
            return Some(db);
        }
        keeper.adopt(Unsaved(db));
        None
    }
}
