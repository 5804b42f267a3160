//! Consumer groups: how far a group has read, which entries were delivered and not acknowledged, and to whom.
//!
//! Invariant: every pending entry of a group is in the list of exactly one of its consumers, the one that it names, and
//! no consumer's list holds anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::StreamId;

/// The number of a consumer within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(u32);

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    pub consumer: ConsumerId,
    /// When it was last delivered, Unix milliseconds.
    pub delivered_ms: i64,
    /// How often it was.
    pub deliveries: u64,
}

#[derive(Debug, Clone)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it was last heard of, Unix milliseconds.
    pub seen_ms: i64,
    /// When it last got something; `None` if it never did.
    pub active_ms: Option<i64>,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What it has not acknowledged, in order.
    pub fn pending(&self) -> &BTreeSet<StreamId> {
        &self.pending
    }
}

#[derive(Debug, Clone, Default)]
pub struct Group {
    /// The last entry that was delivered to the group.
    pub last_id: StreamId,
    /// How many of the stream's entries the group has read, if that is known.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    names: BTreeMap<Box<[u8]>, ConsumerId>,
    /// By number; the numbers of removed consumers are given again.
    consumers: Vec<Option<Consumer>>,
}

impl Group {
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Self {
        Self { last_id, entries_read, ..Self::default() }
    }

    /// All pending entries, in order.
    pub fn pending(&self) -> &BTreeMap<StreamId, Pending> {
        &self.pending
    }

    /// The consumers, by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.names.values().map(|id| self.consumer(*id))
    }

    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerId> {
        self.names.get(name).copied()
    }

    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        self.consumers[id.0 as usize].as_ref().expect("a consumer's number is of one")
    }

    pub fn consumer_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        self.consumers[id.0 as usize].as_mut().expect("a consumer's number is of one")
    }

    /// Adds a consumer, whose name must be new.
    pub fn add_consumer(&mut self, name: &[u8], now_ms: i64) -> ConsumerId {
        debug_assert!(!self.names.contains_key(name));
        let mut at = self.consumers.len();
        if self.names.len() < at {
            at = self.consumers.iter().position(Option::is_none).unwrap_or(at);
        }
        let id = ConsumerId(u32::try_from(at).expect("memory ends before 2^32 consumers"));
        if at == self.consumers.len() {
            self.consumers.push(None);
        }
        self.consumers[at] = Some(Consumer {
            name: name.into(),
            seen_ms: now_ms,
            active_ms: None,
            pending: BTreeSet::new(),
        });
        self.names.insert(name.into(), id);
        id
    }

    /// Removes a consumer and what it has pending. Returns how much that was, or `None` if there is no such consumer.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let id = self.names.remove(name)?;
        let consumer = self.consumers[id.0 as usize].take().expect("a name is of a consumer");
        for entry in &consumer.pending {
            self.pending.remove(entry);
        }
        while let Some(None) = self.consumers.last() {
            self.consumers.pop();
        }
        Some(consumer.pending.len())
    }

    /// Makes `entry` pending with `pending.consumer`, whoever had it.
    pub fn set_pending(&mut self, entry: StreamId, pending: Pending) {
        if let Some(before) = self.pending.insert(entry, pending) {
            if before.consumer == pending.consumer {
                return;
            }
            self.consumer_mut(before.consumer).pending.remove(&entry);
        }
        self.consumer_mut(pending.consumer).pending.insert(entry);
    }

    /// The entry is done with. Returns whether it was pending.
    pub fn acknowledge(&mut self, entry: StreamId) -> bool {
        match self.pending.remove(&entry) {
            Some(pending) => self.consumer_mut(pending.consumer).pending.remove(&entry),
            None => false,
        }
    }

    /// The entries from `start` on that are pending with a consumer, in order.
    pub fn pending_of(
        &self,
        consumer: ConsumerId,
        start: Bound<StreamId>,
    ) -> impl Iterator<Item = (StreamId, Pending)> {
        let range = self.consumer(consumer).pending.range((start, Bound::Unbounded));
        range.map(|id| (*id, self.pending[id]))
    }

    /// Bytes of memory: an estimate, as trees do not tell theirs.
    pub(super) fn memory(&self) -> usize {
        const TREE_SLACK: usize = 3;
        let pending =
            self.pending.len() * (2 * size_of::<StreamId>() + size_of::<Pending>()) * TREE_SLACK
                / 2;
        let consumers = self.consumers().map(|c| 2 * c.name.len() + size_of::<Consumer>() + 64);
        size_of::<Self>() + pending + consumers.sum::<usize>()
    }

    /// About the number of allocations.
    pub(super) fn effort(&self) -> usize {
        1 + self.pending.len() / 4 + 3 * self.consumers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(consumer: ConsumerId) -> Pending {
        Pending { consumer, delivered_ms: 5, deliveries: 1 }
    }

    #[test]
    fn an_entry_is_pending_with_one_consumer() {
        let mut group = Group::new(StreamId::MIN, None);
        let (a, b) = (group.add_consumer(b"a", 1), group.add_consumer(b"b", 1));
        for seq in 0..10 {
            group.set_pending(StreamId::new(1, seq), pending(a));
        }
        group.set_pending(StreamId::new(1, 3), pending(b));
        group.set_pending(StreamId::new(1, 3), pending(b));
        assert_eq!((group.consumer(a).pending.len(), group.consumer(b).pending.len()), (9, 1));
        assert!(group.acknowledge(StreamId::new(1, 3)));
        assert!(!group.acknowledge(StreamId::new(1, 3)));
        assert_eq!(group.consumer(b).pending.len(), 0);
        let from = group.pending_of(a, Bound::Excluded(StreamId::new(1, 7)));
        assert_eq!(from.map(|(id, _)| id.seq).collect::<Vec<_>>(), [8, 9]);
        assert_eq!(group.remove_consumer(b"a"), Some(9));
        assert_eq!(group.remove_consumer(b"a"), None);
        assert!(group.pending().is_empty());
        assert_eq!(group.consumers().len(), 1);
    }

    #[test]
    fn numbers_of_removed_consumers_are_given_again() {
        let mut group = Group::new(StreamId::MIN, None);
        let a = group.add_consumer(b"a", 1);
        let b = group.add_consumer(b"b", 1);
        group.remove_consumer(b"a");
        assert_eq!(group.add_consumer(b"c", 2), a);
        assert_eq!(group.find_consumer(b"b"), Some(b));
        assert_eq!(group.consumer(a).name(), b"c");
    }
}
