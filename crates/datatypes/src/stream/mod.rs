//! Streams: entries of fields in the order of their ids, which are only added at the end, and consumer groups that
//! share reading them.
//!
//! The entries are in blocks (`block`), which take in as many as the nodes of Redis do, since approximate trimming
//! shows where they end; the blocks are in a [`Sequence`], in which a block is found by its first id. Invariant: every
//! entry's id is at most `last_id`; blocks come in the order of their ids.

mod block;
mod codec;
#[cfg(test)]
mod fuzz;
mod group;
mod id;
mod node;
mod trim;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use block::Block;
pub use block::{Entry, Fields};
pub use group::{Consumer, ConsumerId, Group, Pending};
pub use id::{IdRequest, StreamId};
pub use node::{Node, NodeBuilder, NodeEntry};
pub use trim::{Trim, TrimBy};

use crate::collection::Ahead;
use crate::sequence::{Counted, End, Sequence};
use crate::table::prefetch_all;

/// When a block is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// In Redis's encoding; 0 is no limit.
    pub node_bytes: u64,
    /// Entries; 0 is no limit.
    pub node_entries: u64,
}

/// The entries of a request are too large for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

#[derive(Clone)]
struct State {
    blocks: Sequence<Block>,
    last_id: StreamId,
    max_deleted: StreamId,
    added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
}

#[derive(Clone)]
pub struct Stream {
    state: Box<State>,
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({} entries, last {})", self.len(), self.last_id())
    }
}

impl Stream {
    /// No entry, and no block, may be larger.
    pub const MAX_BYTES: usize = 1 << 30;

    pub fn new() -> Self {
        let state = State {
            blocks: Sequence::new(),
            last_id: StreamId::MIN,
            max_deleted: StreamId::MIN,
            added: 0,
            groups: BTreeMap::new(),
        };
        Self { state: Box::new(state) }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.state.blocks.count()
    }

    /// Whether it has no entries. Such a stream is a value all the same.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The address of its head.
    pub(crate) fn block(&self) -> usize {
        std::ptr::from_ref(&*self.state).addr()
    }

    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let mut bytes = size_of::<State>() + self.state.blocks.node_bytes();
        self.state.blocks.for_each(|block| bytes += block.memory());
        let groups = self.state.groups.iter();
        bytes + groups.map(|(name, group)| name.len() + 32 + group.memory()).sum::<usize>()
    }

    /// About the number of allocations.
    pub fn effort(&self) -> usize {
        1 + self.blocks() + self.state.groups.values().map(Group::effort).sum::<usize>()
    }

    /// The number of blocks.
    pub fn blocks(&self) -> usize {
        self.state.blocks.blocks()
    }

    /// Takes a step towards loading the end into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, step: Ahead) {
        let blocks = &self.state.blocks;
        match step {
            Ahead::Content => prefetch_all(&*self.state),
            Ahead::Bucket => blocks.edge(End::Back).into_iter().for_each(prefetch_all),
            Ahead::Element => blocks.edge(End::Back).into_iter().for_each(Block::prefetch),
        }
    }

    /// The greatest id that was ever added, or set.
    pub fn last_id(&self) -> StreamId {
        self.state.last_id
    }

    pub fn set_last_id(&mut self, id: StreamId) {
        self.state.last_id = id;
    }

    /// The greatest id that was ever deleted.
    pub fn max_deleted(&self) -> StreamId {
        self.state.max_deleted
    }

    pub fn set_max_deleted(&mut self, id: StreamId) {
        self.state.max_deleted = id;
    }

    /// How many entries were ever added.
    pub fn added(&self) -> u64 {
        self.state.added
    }

    pub fn set_added(&mut self, added: u64) {
        self.state.added = added;
    }

    /// The id that a request to add an entry leads to, which may not be beyond the last one. `None` when there are no
    /// more ids for it.
    pub fn resolve(&self, request: IdRequest, now_ms: i64) -> Option<StreamId> {
        let last = self.last_id();
        match request {
            IdRequest::Given(id) => Some(id),
            IdRequest::Auto => {
                let now = StreamId { ms: now_ms.max(0) as u64, seq: 0 };
                if now.ms > last.ms { Some(now) } else { last.next() }
            }
            IdRequest::AutoSeq(ms) if ms == last.ms => {
                last.seq.checked_add(1).map(|seq| StreamId { ms, seq })
            }
            IdRequest::AutoSeq(ms) => Some(StreamId { ms, seq: 0 }),
        }
    }

    /// Adds an entry. Its id must be greater than [`Self::last_id`]; `fields` alternates names and values.
    pub fn append<'a>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = &'a [u8]> + Clone,
        limits: StreamLimits,
    ) -> Result<(), TooLarge> {
        debug_assert!(id > self.last_id());
        let bytes: usize = fields.clone().map(<[u8]>::len).sum();
        if bytes > Self::MAX_BYTES {
            return Err(TooLarge);
        }
        let state = &mut *self.state;
        let max_bytes = match limits.node_bytes {
            0 => Self::MAX_BYTES,
            limit => Self::MAX_BYTES.min(usize::try_from(limit).unwrap_or(usize::MAX)),
        };
        let full = state.blocks.edge(End::Back).is_none_or(|last| {
            last.model_bytes() + bytes >= max_bytes
                || (limits.node_entries != 0 && last.entries() >= limits.node_entries)
        });
        if full {
            state.blocks.edit_edge(End::Back, Block::seal);
            let mut block = Block::new(id, fields.clone());
            block.append(id, fields);
            state.blocks.push(End::Back, block);
        } else {
            state.blocks.edit_edge(End::Back, |last| last.append(id, fields));
        }
        state.last_id = id;
        state.added += 1;
        Ok(())
    }

    /// Calls `f` with the entries from `start` to `end`, both included, in order, until it breaks.
    pub fn for_each(
        &self,
        start: StreamId,
        end: StreamId,
        mut f: impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) {
        let blocks = &self.state.blocks;
        let mut at = blocks.seek(|block| block.first <= start).unwrap_or(0);
        while let Some((block, _)) = blocks.locate(at) {
            if block.first > end {
                return;
            }
            if block.last >= start {
                for entry in block.iter().skip_while(|entry| entry.id < start) {
                    if entry.id > end || f(entry).is_break() {
                        return;
                    }
                }
            }
            at += block.count();
        }
    }

    /// As [`Self::for_each`], from the end to the start.
    pub fn for_each_back(
        &self,
        start: StreamId,
        end: StreamId,
        mut f: impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) {
        let blocks = &self.state.blocks;
        let Some(mut at) = blocks.seek(|block| block.first <= end) else { return };
        let mut entries = Vec::new();
        while let Some((block, offset)) = blocks.locate(at) {
            if block.last < start {
                return;
            }
            entries.clear();
            entries.extend(
                block
                    .iter()
                    .skip_while(|entry| entry.id < start)
                    .take_while(|entry| entry.id <= end),
            );
            if entries.iter().rev().any(|entry| f(*entry).is_break()) {
                return;
            }
            // The element in front of the block is the last of the block before.
            match (at - offset).checked_sub(1) {
                Some(before) => at = before,
                None => return,
            }
        }
    }

    pub fn contains(&self, id: StreamId) -> bool {
        let mut found = false;
        self.for_each(id, id, |_| {
            found = true;
            ControlFlow::Break(())
        });
        found
    }

    /// The id of the first entry; that of no entry, 0-0, if there is none.
    pub fn first_id(&self) -> StreamId {
        let first = self.state.blocks.edge(End::Front).and_then(|block| block.iter().next());
        first.map_or(StreamId::MIN, |entry| entry.id)
    }

    /// Deletes an entry. Returns whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let state = &mut *self.state;
        let Some(at) = state.blocks.seek(|block| block.first <= id) else { return false };
        let deleted = state.blocks.edit(at, |block, _, _| block.last >= id && block.delete(id));
        if deleted {
            state.max_deleted = state.max_deleted.max(id);
        }
        deleted
    }

    /// The groups, by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.state.groups.iter().map(|(name, group)| (&name[..], group))
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.state.groups.get(name)
    }

    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.state.groups.get_mut(name)
    }

    /// Adds a group. Returns whether its name was new.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let new = !self.state.groups.contains_key(name);
        if new {
            self.state.groups.insert(name.into(), group);
        }
        new
    }

    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        self.state.groups.remove(name).is_some()
    }

    /// The id of the last entry; that of no entry, 0-0, if there is none.
    pub fn last_entry_id(&self) -> StreamId {
        let last = self.state.blocks.edge(End::Back).and_then(|block| block.iter().last());
        last.map_or(StreamId::MIN, |entry| entry.id)
    }

    /// How many entries were ever added up to `id`, that included, if that can be told.
    pub fn added_up_to(&self, id: StreamId) -> Option<u64> {
        self.extent().rank(id)
    }

    fn extent(&self) -> Extent {
        Extent {
            len: self.len() as u64,
            first: self.first_id(),
            last: self.last_id(),
            max_deleted: self.max_deleted(),
            added: self.added(),
        }
    }

    /// How many entries a group has still to read, if that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let extent = self.extent();
        if self.is_empty() {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if extent.is_whole_from(group.last_id) => Some(read),
            _ => extent.rank(group.last_id),
        };
        read.map(|read| extent.added.wrapping_sub(read) as i64)
    }

    /// Notes that entries, in order, were delivered to a consumer of the group `name`: how far the group has read, and,
    /// unless that is not wanted, that they are pending.
    pub fn deliver(
        &mut self,
        name: &[u8],
        consumer: ConsumerId,
        ids: &[StreamId],
        pending: Option<Pending>,
    ) {
        let extent = self.extent();
        let Some(group) = self.group_mut(name) else { return };
        for id in ids {
            if *id > group.last_id {
                group.entries_read = match group.entries_read {
                    Some(read) if extent.is_whole_from(group.last_id) => Some(read + 1),
                    _ => extent.rank(*id),
                };
                group.last_id = *id;
            }
            if let Some(pending) = pending {
                group.set_pending(*id, Pending { consumer, ..pending });
            }
        }
    }
}

/// What is known of the entries of a stream without looking at them.
#[derive(Debug, Clone, Copy)]
struct Extent {
    len: u64,
    first: StreamId,
    last: StreamId,
    max_deleted: StreamId,
    added: u64,
}

impl Extent {
    /// Whether it is certain that no entry behind `id` was deleted but from the front.
    fn is_whole_from(&self, id: StreamId) -> bool {
        let has_gap = self.len > 0 && self.max_deleted != StreamId::MIN && id <= self.max_deleted;
        id >= self.first && !has_gap
    }

    /// How many entries were ever added up to `id`, that included, if that can be told.
    fn rank(&self, id: StreamId) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last || id == self.last {
            return Some(self.added);
        }
        if id > self.last {
            return None;
        }
        if self.max_deleted == StreamId::MIN || self.max_deleted < self.first {
            let before = self.added.wrapping_sub(self.len);
            if id < self.first {
                return Some(before);
            }
            if id == self.first {
                return Some(before.wrapping_add(1));
            }
        }
        None
    }
}
