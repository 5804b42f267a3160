//! Collections that lost many elements at once, of which some are still to be freed: the keys are noted, and the work
//! is done in slices between commands.
//!
//! A note is a hint. The collection may be gone, or under another key by now: then what is left of it is freed with the
//! changes that it sees, or with the rest of it.

use std::collections::BTreeSet;

use respire_datatypes::collection::Collection;

use crate::hash::Key;
use crate::shard::Shard;

/// Keys whose collections are to be pruned, each with its database.
#[derive(Debug, Default)]
pub(crate) struct Pruning(BTreeSet<(usize, Box<[u8]>)>);

impl Shard {
    /// Notes that there may be something to prune under a key.
    pub fn prune_later(&mut self, db: usize, key: &[u8]) {
        self.pruning.0.insert((db, key.into()));
    }

    /// Frees up to `elements` elements of one collection that has lost them. Returns whether there is more to do at
    /// once: while a snapshot is taken there is not, since that would have to be handed what is about to change.
    pub fn prune_step(&mut self, elements: usize) -> bool {
        if self.saving {
            return false;
        }
        let Some((db, bytes)) = self.pruning.0.pop_first() else { return false };
        let hash = self.hasher.hash(&bytes);
        let key = Key { bytes: &bytes, hash, shard: 0 };
        let mut left = false;
        if let Some(mut entry) = self.entry(db, &key, i64::MIN)
            && let Some(Collection::ZSet(set)) = entry.collection_mut()
        {
            set.prune(elements);
            left = set.needs_pruning();
        }
        if left {
            self.pruning.0.insert((db, bytes));
        }
        !self.pruning.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use respire_datatypes::hash::Hasher;
    use respire_datatypes::zset::{ZSet, ZSetLimits};

    use super::*;
    use crate::entry::NewValue;
    use crate::shard::Ttl;

    #[test]
    fn what_is_noted_is_freed_in_slices() {
        let hasher = Hasher::new([1, 2, 3, 4]);
        let limits = ZSetLimits { listpack_entries: 8, listpack_value: 8, hasher: &hasher };
        let mut shard = Shard::new(2, &hasher);
        let key = Key { bytes: b"board", hash: hasher.hash(b"board"), shard: 0 };
        let mut entries: Vec<(Vec<u8>, f64)> =
            (0..10_000).map(|i| (format!("member {i}").into_bytes(), f64::from(i))).collect();
        let mut set = ZSet::from_entries(&mut entries, &limits);
        let before = set.memory();
        set.remove_ranks(100..10_000);
        assert!(set.needs_pruning());
        let boxed = Box::new(Collection::ZSet(set));
        shard.set(1, &key, NewValue::Collection(boxed), Ttl::Clear, 0, 0);
        shard.prune_later(1, b"board");
        shard.prune_later(0, b"gone");
        let mut steps = 1;
        while shard.prune_step(1000) {
            steps += 1;
        }
        assert_eq!(steps, 11, "ten slices, and the key that is gone");
        let entry = shard.entry(1, &key, 0).unwrap();
        let Some(Collection::ZSet(set)) = entry.get().collection() else { panic!("a sorted set") };
        assert!(!set.needs_pruning());
        assert_eq!(set.len(), 100);
        assert!(set.memory() < before / 10, "{} of {before} bytes", set.memory());
    }
}
