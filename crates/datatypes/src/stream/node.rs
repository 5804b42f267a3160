//! The blocks of a stream as nodes, the form in which streams are written down and read back: with the entries that were
//! deleted from them, which count where a node ends.

use super::block::{Block, Entries, Entry};
use super::{Stream, StreamId};
use crate::listpack::{Corrupt, Item};
use crate::sequence::{Counted, End};

/// A part of a stream.
#[derive(Clone, Copy)]
pub struct Node<'a>(&'a Block);

/// An entry of a node.
#[derive(Clone, Copy)]
pub struct NodeEntry<'a> {
    pub entry: Entry<'a>,
    pub deleted: bool,
    /// Whether the names of the fields are [`Node::names`].
    pub same_names: bool,
}

impl<'a> Node<'a> {
    /// The id of its first entry, deleted or not.
    pub fn first_id(self) -> StreamId {
        self.0.first
    }

    /// Entries that are not deleted.
    pub fn len(self) -> usize {
        self.0.count()
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Entries that are deleted.
    pub fn deleted(self) -> u64 {
        self.0.deleted()
    }

    /// The names of the first entry's fields.
    pub fn names(self) -> impl ExactSizeIterator<Item = Item<'a>> {
        self.0.names()
    }

    /// All entries, in order.
    pub fn entries(self) -> impl Iterator<Item = NodeEntry<'a>> {
        let mut entries: Entries<'a> = self.0.iter();
        std::iter::from_fn(move || {
            let (entry, deleted) = entries.any()?;
            Some(NodeEntry { entry, deleted, same_names: entry.has_same_names() })
        })
    }
}

/// A node that is being read.
#[derive(Default)]
pub struct NodeBuilder {
    block: Option<Block>,
    bytes: usize,
}

impl NodeBuilder {
    /// Appends an entry; `fields` alternates names and values. An error if its id does not follow the one before, or the
    /// node would become too large.
    pub fn append<'a>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = &'a [u8]> + Clone,
        deleted: bool,
    ) -> Result<(), Corrupt> {
        self.bytes += fields.clone().map(|text| text.len() + 16).sum::<usize>();
        if self.bytes > 2 * Stream::MAX_BYTES {
            return Err(Corrupt);
        }
        match &mut self.block {
            Some(block) if id <= block.last => return Err(Corrupt),
            Some(block) => block.append_old(id, fields, deleted),
            None => {
                let block = self.block.insert(Block::new(id, fields.clone()));
                block.append_old(id, fields, deleted);
            }
        }
        Ok(())
    }
}

impl Stream {
    /// Calls `f` with the parts of the stream, in order.
    pub fn for_each_node(&self, mut f: impl FnMut(Node<'_>)) {
        self.state.blocks.for_each(|block| f(Node(block)));
    }

    /// Appends a node, whose entries must be beyond those that are there. [`Self::last_id`] becomes that of its last
    /// entry. A node without entries that are not deleted leaves nothing behind.
    pub fn push_node(&mut self, node: NodeBuilder) -> Result<(), Corrupt> {
        let Some(mut block) = node.block else { return Ok(()) };
        let state = &mut *self.state;
        if state.blocks.edge(End::Back).is_some_and(|before| block.first <= before.last) {
            return Err(Corrupt);
        }
        if block.count() > 0 {
            state.last_id = block.last;
            block.seal();
            state.blocks.push(End::Back, block);
        }
        Ok(())
    }
}
