//! Trimming: the oldest entries go.

use super::{Stream, StreamId};
use crate::sequence::{Counted, End};

/// What is trimmed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrimBy {
    /// So many entries may stay.
    MaxLen(u64),
    /// No entry with a smaller id may stay.
    MinId(StreamId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    pub by: TrimBy,
    /// Only whole blocks go.
    pub approximate: bool,
    /// No more entries than this go; 0 is no limit.
    pub limit: u64,
}

impl Stream {
    /// Deletes entries from the front. Returns how many, and the blocks that were cut off, as a stream of them: freeing
    /// it may take a while.
    pub fn trim(&mut self, trim: Trim) -> (u64, Option<Self>) {
        let cut = self.whole_blocks(trim);
        let blocks = &mut self.state.blocks;
        let rest = blocks.split_off(cut);
        let front = std::mem::replace(blocks, rest);
        let gone = (!front.is_empty()).then(|| {
            let mut gone = Self::new();
            gone.state.blocks = front;
            gone
        });
        let mut deleted = cut as u64;
        if !trim.approximate && trim.limit == 0 {
            // The first that stays is in the first block.
            let len = blocks.count() as u64;
            let more = blocks.edit_edge(End::Front, |block| {
                block.delete_front(|id, gone| match trim.by {
                    TrimBy::MaxLen(max) => len - gone > max,
                    TrimBy::MinId(min) => id < min,
                })
            });
            deleted += more.unwrap_or(0);
        }
        (deleted, gone)
    }

    /// The number of entries in the blocks at the front that go as a whole.
    fn whole_blocks(&self, trim: Trim) -> usize {
        let blocks = &self.state.blocks;
        // The number of entries in front of the block of the entry number `index`.
        let before = |index: usize| match blocks.locate(index) {
            Some((_, offset)) => index - offset,
            None => blocks.count(),
        };
        let cut = match trim.by {
            TrimBy::MaxLen(max) => {
                let excess = (blocks.count() as u64).saturating_sub(max);
                before(usize::try_from(excess).unwrap_or(usize::MAX))
            }
            TrimBy::MinId(min) => match blocks.seek(|block| block.first < min) {
                Some(at) => {
                    let (last, _) = blocks.locate(at).expect("it was found");
                    if last.last < min { at + last.count() } else { at }
                }
                None => 0,
            },
        };
        match usize::try_from(trim.limit) {
            Ok(limit @ 1..) if limit < cut => before(limit),
            _ => cut,
        }
    }
}
