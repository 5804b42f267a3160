//! Moving what is kept together, where much of what lay around it has gone: an allocator can give back only pages that
//! hold nothing. Who moves asks which blocks lie thinly; what is moved is allocated again, where the allocator fills up
//! others.

use crate::collection::Collection;

/// Tells of addresses of allocated blocks which of them lie where little else does.
pub type Sparse<'a> = dyn FnMut(&[usize]) -> Vec<bool> + 'a;

/// Blocks that were moved, and those that stayed where they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moves {
    pub moved: u64,
    pub stayed: u64,
}

impl Moves {
    pub fn add(&mut self, other: Self) {
        self.moved += other.moved;
        self.stayed += other.stayed;
    }
}

/// Allocations up to which a collection is copied as a whole.
const WHOLE: usize = 512;
/// Buckets of a large collection's table that are looked at in one step.
const BUCKETS: usize = 32;

impl Collection {
    /// The addresses of blocks that stand for the collection: its only one, or its head.
    pub fn blocks(&self, mut each: impl FnMut(usize)) {
        match self {
            Self::Set(set) => each(set.block()),
            Self::Hash(hash) => each(hash.block()),
            Self::ZSet(zset) => each(zset.block()),
            Self::List(list) => each(list.block()),
            Self::Stream(stream) => each(stream.block()),
        }
    }

    /// Whether it is too large to be copied as a whole: then [`Self::compact`] has to be called, step by step.
    pub fn compacts_in_steps(&self) -> bool {
        self.effort() > WHOLE
    }

    /// Moves those elements of a large set or hash at `position` whose blocks lie thinly. Returns the next position; `None`
    /// after the last.
    pub fn compact(
        &mut self,
        position: u64,
        sparse: &mut Sparse<'_>,
        moves: &mut Moves,
    ) -> Option<u64> {
        let elements = match self {
            Self::Set(set) => set.elements_mut()?,
            Self::Hash(hash) => hash.elements_mut()?,
            _ => return None,
        };
        elements.compact(position, BUCKETS, sparse, moves)
    }
}
