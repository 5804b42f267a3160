//! The active expiry cycle: keys whose time has passed are deleted even if nobody asks for them.
//!
//! A step works on one shard, under its lock, for a bounded number of buckets. It reads the coarse times in the table
//! of expiring keys and touches only entries that look due. The place where it stopped is kept, so that steps go round.
//!
//! Coarse times go in circles: one that passed half a circle ago looks like the future. Each entry is therefore looked
//! at several times in a circle; where the clock makes that impossible by jumping, a round looks at all entries.

use respire_datatypes::collection::Collection;
use respire_datatypes::table::Word;

use crate::db::{COARSE_HORIZON, Db, coarse, expire_tag};
use crate::entry::Entry;
use crate::hash::Key;
use crate::shard::Shard;

/// Where the next step begins.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ExpireCursor {
    db: usize,
    position: u64,
    /// When this round began and when its last step was, Unix time in milliseconds.
    round_ms: i64,
    step_ms: i64,
    /// This round takes no coarse time for granted.
    every: bool,
    /// Nor may the next one.
    every_next: bool,
}

/// Entries that are deleted together, about.
const TOGETHER: usize = 32;

/// A round that lasts longer, because nobody made steps or the clock jumped, is begun again.
const ROUND_MAX_MS: i64 = COARSE_HORIZON << 9;

impl ExpireCursor {
    /// Tells the time of the next step.
    fn note_time(&mut self, now: i64) {
        let back = now < self.step_ms.saturating_sub(1024);
        if back || now.saturating_sub(self.round_ms) > ROUND_MAX_MS {
            *self = Self { round_ms: now, every: true, ..Self::default() };
        }
        self.step_ms = now;
    }

    /// Tells that databases changed their places: what was before the cursor may be behind it, and this round does not
    /// see it.
    pub(crate) fn note_swap(&mut self) {
        self.every_next = true;
    }
}

/// What a step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpireStep {
    /// Keys deleted.
    pub expired: usize,
    /// Buckets looked at.
    pub buckets: usize,
    /// The step came to the end of the last database: all of the shard has been looked at since it was there before.
    pub wrapped: bool,
    /// The keys deleted, each with its database, if they are to be told of.
    pub names: Vec<(usize, Vec<u8>)>,
}

/// A collection that lost elements whose time had passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thinned {
    pub db: usize,
    pub key: Box<[u8]>,
    /// What it lost.
    pub elements: Vec<Vec<u8>>,
    /// They were the last, and the key is deleted.
    pub removed: bool,
}

impl Shard {
    /// No coarse time is taken for granted in the round at hand, nor in the next: they were noted at another time.
    pub fn distrust_times(&mut self) {
        self.expire_cursor.every = true;
        self.expire_cursor.every_next = true;
    }

    /// Whether elements of any collection of this shard expire.
    pub fn has_timed(&self) -> bool {
        self.dbs.iter().any(Db::has_timed)
    }

    /// Removes up to `max` elements whose time has passed from their collections. Returns what became of each of those.
    pub fn expire_elements(&mut self, now: i64, max: usize) -> Vec<Thinned> {
        let mut done = Vec::new();
        let mut left = max;
        for db in 0..self.dbs.len() {
            while left > 0
                && let Some(bytes) = self.dbs[db].first_timed(now)
            {
                let hash = self.hasher.hash(&bytes);
                let key = Key { bytes: &bytes, hash, shard: 0 };
                if self.must_wait(db, &key) {
                    break;
                }
                // The key may be past its own time: then all of it goes.
                if let Some(thinned) = self.expire_elements_of(db, &key, now, left) {
                    left -= thinned.elements.len().min(left);
                    done.push(thinned);
                }
            }
        }
        done
    }

    /// Removes up to `max` elements of one key whose time has passed. Returns what became of it if there were any.
    pub fn expire_elements_of(
        &mut self,
        db: usize,
        key: &Key<'_>,
        now: i64,
        max: usize,
    ) -> Option<Thinned> {
        if self.must_wait(db, key) {
            return None;
        }
        let mut entry = self.entry(db, key, now)?;
        let due = entry.next_due();
        let Some(Collection::Hash(fields)) = entry.collection_mut() else { return None };
        let elements = fields.expire_due(now, max);
        let removed = fields.is_empty();
        entry.retime(due);
        if removed {
            entry.remove();
        } else if !elements.is_empty() {
            entry.changed();
        }
        self.elements_gone(db, key.bytes, &elements);
        (!elements.is_empty()).then(|| Thinned { db, key: key.bytes.into(), elements, removed })
    }

    /// Whether any key of this shard has an expiry.
    pub fn has_expiring(&self) -> bool {
        self.dbs.iter().any(|db| db.expiring() > 0)
    }

    /// Looks at up to `buckets` buckets of expiring keys, and at most about `entries` of them that look due at `now`;
    /// deletes those that are. Their names are kept for the caller if it says so with `tell`.
    pub fn expire_step(
        &mut self,
        now: i64,
        buckets: usize,
        entries: usize,
        tell: bool,
    ) -> ExpireStep {
        self.expire_cursor.note_time(now);
        let mut done = ExpireStep::default();
        let mut due: Vec<Entry> = Vec::with_capacity(TOGETHER * 2);
        let mut hashes: Vec<u64> = Vec::with_capacity(TOGETHER * 2);
        let mut name = Vec::new();
        let mut seen = 0;
        while done.buckets < buckets && seen < entries && !done.wrapped {
            let db = self.expire_cursor.db;
            let at_end = self.gather_due(now, buckets, &mut done.buckets, &mut due);
            seen += due.len();
            // What the deletion of each would wait for is loaded for all of them side by side.
            due.iter().for_each(|entry| entry.prefetch());
            hashes.clear();
            for entry in &due {
                // SAFETY: the entry was just read from a table of this shard, which is borrowed mutably.
                let hash = self.hasher.hash(unsafe { entry.as_ref() }.key());
                self.dbs[db].keys.ahead(hash);
                hashes.push(hash);
            }
            for (entry, hash) in due.drain(..).zip(&hashes) {
                if self.expire_entry(db, entry, *hash, now, &mut name) {
                    done.expired += 1;
                    if tell {
                        done.names.push((db, name.clone()));
                    }
                }
            }
            if at_end {
                if db + 1 < self.dbs.len() {
                    self.expire_cursor.db += 1;
                    self.expire_cursor.position = 0;
                } else {
                    done.wrapped = true;
                    self.expire_cursor = ExpireCursor {
                        round_ms: now,
                        step_ms: now,
                        every: self.expire_cursor.every_next,
                        ..ExpireCursor::default()
                    };
                }
            }
        }
        done
    }

    /// Moves the cursor on in its database until some entries that look due are found, or `looked_at` has come to
    /// `buckets`. Returns whether the database has come to its end.
    fn gather_due(
        &mut self,
        now: i64,
        buckets: usize,
        looked_at: &mut usize,
        due: &mut Vec<Entry>,
    ) -> bool {
        let ExpireCursor { db, every, .. } = self.expire_cursor;
        let now_coarse = coarse(now);
        while due.len() < TOGETHER && *looked_at < buckets {
            let position = self.expire_cursor.position;
            let next = self.dbs[db].expires.visit(position, |word: Word| {
                // Not after now, on a circle: the other half of it is the future.
                if every || now_coarse.wrapping_sub(word.tag()) < 1 << 15 {
                    due.push(Entry::in_word(word));
                }
            });
            *looked_at += 1;
            match next {
                Some(position) => self.expire_cursor.position = position,
                None => return true,
            }
        }
        false
    }

    /// Deletes an entry that is due, and leaves its key in `name`; renews the coarse time of one that only looked so.
    /// Returns whether it is deleted.
    fn expire_entry(
        &mut self,
        db: usize,
        entry: Entry,
        hash: u64,
        now: i64,
        name: &mut Vec<u8>,
    ) -> bool {
        // SAFETY: the entry is in a table of this shard, which is borrowed mutably.
        let seen = unsafe { entry.as_ref() };
        let at = seen.expire().expect("entries in the table of expiring keys have an expiry");
        let place = self.dbs[db].place_of_entry(hash, entry).expect("both tables hold the entry");
        if at > now {
            self.db_mut(db).set_expire(place, hash, Some(at), now);
            debug_assert!(expire_tag(at, now) == coarse(now) || at > now);
            return false;
        }
        name.clear();
        name.extend_from_slice(seen.key());
        let key = Key { bytes: name, hash, shard: 0 };
        // What a snapshot reads stays until the next round.
        let goes = !self.must_wait(db, &key);
        if goes {
            self.expire_place(db, &key, place);
        }
        goes
    }
}

#[cfg(test)]
mod tests {
    use respire_datatypes::hash::Hasher;

    use super::*;
    use crate::entry::NewValue;
    use crate::shard::Ttl;

    /// A round that takes no coarse time for granted was under way in one database when another, which it had not seen
    /// yet, took the place of one that it had. Keys that had expired a day and a half before were then taken for keys of
    /// the future.
    #[test]
    fn a_database_that_is_swapped_behind_the_cursor_is_not_forgotten() {
        const DAY_AND_A_HALF: i64 = 119_201_940;
        let hasher = Hasher::new([1, 2, 3, 4]);
        let mut shard = Shard::new(2, &hasher);
        let start = 1_700_000_000_000;
        for i in 0..100 {
            let bytes = format!("key {i}").into_bytes();
            let key = Key { bytes: &bytes, hash: hasher.hash(&bytes), shard: 0 };
            shard.set(1, &key, NewValue::Int(i), Ttl::At(start + 1000), 0, start);
        }
        let now = start + 1000 + DAY_AND_A_HALF;
        shard.expire_step(now, 1, 1, false); // the empty database 0
        shard.swap(0, 1, now);
        let mut rounds = 0;
        while rounds < 2 {
            rounds += usize::from(shard.expire_step(now, 64, 64, false).wrapped);
        }
        assert_eq!(shard.db(0).len(), 0);
    }
}
