//! Blocks deep inside of long lists, compressed: hardly anybody looks there, and there is where most elements are.
//!
//! LZ4 takes some microseconds for a block of 8 KiB and a few to restore it, which is little beside the hundreds of pushes
//! and pops between two of them. Whoever reads gets the block as a copy; whoever changes it has it restored first.

use super::block::Block;
use crate::buffer::size_class;

/// A compressed block.
#[derive(Clone)]
pub(super) struct Squeezed {
    data: Box<[u8]>,
    used: u16,
    count: u16,
}

impl Squeezed {
    /// `None` if that would save less than a quarter of the memory.
    pub(super) fn of(block: &Block) -> Option<Self> {
        let mut data = lz4_flex::block::compress(block.elements());
        if size_class(data.len()) > block.memory() / 4 * 3 {
            return None;
        }
        data.shrink_to_fit();
        Some(Self {
            data: data.into_boxed_slice(),
            used: block.used() as u16,
            count: block.count() as u16,
        })
    }

    pub(super) fn restore(&self) -> Block {
        let elements = lz4_flex::block::decompress(&self.data, self.used.into());
        Block::of(&elements.expect("nobody else has written it"), self.count)
    }

    pub(super) fn count(&self) -> usize {
        self.count.into()
    }

    /// Bytes of the elements.
    pub(super) fn used(&self) -> usize {
        self.used.into()
    }

    /// Bytes of memory allocated.
    pub(super) fn memory(&self) -> usize {
        size_class(self.data.len())
    }
}
