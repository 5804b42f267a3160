//! Moving entries and values that lie thinly in memory, in steps, so that pages become empty: see
//! [`respire_datatypes::compaction`].
//!
//! `unsafe` is here because entries are moved under the tables that name them. Invariant: an entry that has moved is
//! named by its new address in both tables before anything else is done. While a snapshot is under way nothing moves,
//! since it may have pinned values.

use respire_datatypes::collection::Collection;
use respire_datatypes::compaction::{Moves, Sparse};

use crate::db::Db;
use crate::entry::Entry;
use crate::hash::Key;
use crate::shard::Shard;

/// Buckets of the table of keys that are looked at in one step.
const BUCKETS: usize = 8;

/// How far a database of a shard has been compacted.
#[derive(Debug, Default)]
pub struct Walk {
    position: u64,
    /// All entries have been seen.
    ended: bool,
    /// Large collections among what was seen last, to be gone through step by step: the keys, and the position in the last.
    large: Vec<Box<[u8]>>,
    inside: u64,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompactStep {
    More,
    Done,
    /// A snapshot is under way: later.
    NotNow,
}

impl Shard {
    /// Moves what lies thinly of the next entries of a database, or of the next elements of a large collection: some tens of
    /// microseconds.
    pub fn compact_step(
        &mut self,
        db: usize,
        walk: &mut Walk,
        sparse: &mut Sparse<'_>,
        moves: &mut Moves,
    ) -> CompactStep {
        if self.saving {
            return CompactStep::NotNow;
        }
        let db = self.db_mut(db);
        if let Some(name) = walk.large.last() {
            match db.compact_collection(name, walk.inside, sparse, moves) {
                Some(next) => walk.inside = next,
                None => {
                    walk.large.pop();
                    walk.inside = 0;
                }
            }
            return CompactStep::More;
        }
        if walk.ended {
            *walk = Walk::default();
            return CompactStep::Done;
        }
        match db.compact_entries(walk.position, sparse, moves, &mut walk.large) {
            Some(next) => walk.position = next,
            None => walk.ended = true,
        }
        CompactStep::More
    }
}

impl Db {
    fn compact_collection(
        &mut self,
        name: &[u8],
        position: u64,
        sparse: &mut Sparse<'_>,
        moves: &mut Moves,
    ) -> Option<u64> {
        let key = Key { bytes: name, hash: self.hasher.hash(name), shard: 0 };
        let entry = Entry::in_word(self.place(&key)?.word());
        // SAFETY: `&mut self` gives the only access to the entry.
        let collection: &mut Collection = unsafe { entry.collection_mut() }?;
        collection.compact(position, sparse, moves)
    }

    /// Moves what lies thinly of the entries at `position`; notes the large collections. Returns the next position.
    fn compact_entries(
        &mut self,
        position: u64,
        sparse: &mut Sparse<'_>,
        moves: &mut Moves,
        large: &mut Vec<Box<[u8]>>,
    ) -> Option<u64> {
        let mut next = Some(position);
        // Blocks, and whose they are. The first of each entry is its own.
        let (mut entries, mut blocks, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..BUCKETS {
            let Some(at) = next else { break };
            next = self.keys.visit(at, |word| entries.push(Entry::in_word(word)));
        }
        for (i, entry) in entries.iter().enumerate() {
            blocks.push(entry.address());
            owners.push(i);
            // SAFETY: the entry is in the table, which is not changed yet.
            let seen = unsafe { entry.as_ref() };
            seen.blocks(|block| {
                blocks.push(block);
                owners.push(i);
            });
            if seen.collection().is_some_and(Collection::compacts_in_steps) {
                large.push(seen.key().into());
            }
        }
        let mut verdicts = vec![(false, false); entries.len()];
        let mut before = None;
        for (owner, sparse) in owners.into_iter().zip(sparse(&blocks)) {
            let verdict = &mut verdicts[owner];
            let is_entry = before.replace(owner) != Some(owner);
            if is_entry {
                verdict.0 = sparse;
            } else {
                verdict.1 |= sparse;
            }
            *(if sparse { &mut moves.moved } else { &mut moves.stayed }) += 1;
        }
        for (entry, (entry_sparse, value_sparse)) in entries.into_iter().zip(verdicts) {
            if value_sparse {
                // SAFETY: `&mut self` gives the only access to the entry.
                unsafe { entry.renew_heap() }
            }
            if entry_sparse {
                self.move_entry(entry);
            }
        }
        next
    }

    fn move_entry(&mut self, entry: Entry) {
        // SAFETY: the entry is in the table, and not looked at any more when it is moved.
        let hash = self.hasher.hash(unsafe { entry.as_ref() }.key());
        let place = self.place_of_entry(hash, entry).expect("it was just visited");
        let expire = self.expire_place(hash, entry);
        // SAFETY: `&mut self`, and the tables are unchanged since the searches; no word names the old entry afterwards.
        unsafe {
            let new = entry.moved();
            place.replace(new.word(place.word().tag()));
            if let Some(expire) = expire {
                expire.replace(new.word(expire.word().tag()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use respire_datatypes::hash::Hasher;
    use respire_datatypes::hashes::{FieldTtl, Hash, HashLimits};
    use respire_datatypes::list::{End, List, ListLimits, NewElement};

    use super::*;
    use crate::entry::NewValue;
    use crate::shard::Ttl;

    fn text(shard: &mut Shard, key: &Key<'_>) -> String {
        let entry = shard.entry(0, key, 0).expect("the key is there");
        let seen = entry.get();
        let value = match (seen.string(), seen.collection()) {
            (Some(text), _) => text.with_bytes(|text| String::from_utf8_lossy(text).into_owned()),
            (_, Some(Collection::Hash(hash))) => {
                let mut fields = BTreeMap::new();
                hash.each_field(|field, value, due| {
                    fields.insert(field.to_vec(), (value.to_vec(), due));
                });
                format!("{fields:?}")
            }
            (_, Some(Collection::List(list))) => {
                format!(
                    "{:?}",
                    (0..list.len()).map(|i| list.with(i, |e| e.to_vec())).collect::<Vec<_>>()
                )
            }
            _ => unreachable!("no other type is stored here"),
        };
        format!("{value} {:?} {}", seen.expire(), seen.access())
    }

    /// Everything is what it was, wherever it is; and what the tests' memory checker says of it is part of the test.
    #[test]
    fn what_moves_stays_what_it_is() {
        let hasher = Hasher::new([1, 2, 3, 4]);
        let limits = HashLimits { listpack_entries: 8, listpack_value: 8, hasher: &hasher };
        let mut shard = Shard::new(2, &hasher);
        let names: Vec<String> = (0..600).map(|i| format!("key:{i}")).collect();
        let key = |i: usize| {
            let bytes = names[i].as_bytes();
            Key { bytes, hash: hasher.hash(bytes), shard: 0 }
        };
        let shared = Arc::new(vec![b's'; 5000]);
        for (i, name) in names.iter().enumerate() {
            let fields = if i % 50 == 5 { 2000 } else { i % 20 + 1 };
            let value = match i % 6 {
                0 => NewValue::Int(i as i64),
                1 => NewValue::Bytes(name.as_bytes()),
                2 => NewValue::Bytes(&shared),
                3 => NewValue::Shared(Arc::clone(&shared)),
                4 => {
                    let mut list = List::new();
                    for n in 0..fields {
                        let element = format!("element {n}");
                        list.push(
                            End::Back,
                            NewElement::Bytes(element.as_bytes()),
                            ListLimits::new(-2),
                        );
                    }
                    NewValue::Collection(Box::new(Collection::List(list)))
                }
                _ => {
                    let mut hash = Hash::new();
                    for n in 0..fields {
                        let due = if n % 7 == 0 { FieldTtl::At(1 << 40) } else { FieldTtl::Clear };
                        hash.set(format!("f{n}").as_bytes(), b"value", due, 0, &limits);
                    }
                    NewValue::Collection(Box::new(Collection::Hash(hash)))
                }
            };
            let ttl = if i % 4 == 0 { Ttl::At(1 << 41) } else { Ttl::Clear };
            shard.set(0, &key(i), value, ttl, i as u32, 0);
        }
        let before: Vec<String> = (0..names.len()).map(|i| text(&mut shard, &key(i))).collect();
        for all in [true, false] {
            let mut moves = Moves::default();
            let mut walk = Walk::default();
            let mut some = 0;
            let mut sparse = |blocks: &[usize]| {
                let mut verdict = |_: &usize| {
                    some += 1;
                    all || some % 3 == 0
                };
                blocks.iter().map(&mut verdict).collect::<Vec<bool>>()
            };
            while shard.compact_step(0, &mut walk, &mut sparse, &mut moves) == CompactStep::More {}
            // Every entry, and the elements of the large hashes.
            assert!(moves.moved > if all { 9000 } else { 1000 }, "{moves:?}");
            assert_eq!(moves.stayed == 0, all);
            let after: Vec<String> = (0..names.len()).map(|i| text(&mut shard, &key(i))).collect();
            assert_eq!(before, after);
        }
        // Both tables know where everything is.
        assert_eq!(shard.db(0).expiring(), 150);
        for i in 0..names.len() {
            assert!(shard.remove(0, &key(i), 0));
        }
        assert_eq!((shard.db(0).len(), shard.db(0).expiring()), (0, 0));
        assert_eq!(shared.len(), 5000);
    }
}
