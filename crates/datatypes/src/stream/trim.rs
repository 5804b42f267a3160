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
    /// Deletes entries from the front. Returns how many.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let blocks = &mut self.state.blocks;
        let mut deleted = 0;
        loop {
            let len = blocks.count() as u64;
            let Some(block) = blocks.edge(End::Front) else { return deleted };
            let entries = block.count() as u64;
            let whole = match trim.by {
                TrimBy::MaxLen(max) if len <= max => return deleted,
                TrimBy::MaxLen(max) => len - entries >= max,
                TrimBy::MinId(min) => block.last < min,
            };
            if trim.limit != 0 && deleted + entries > trim.limit {
                return deleted;
            }
            if whole {
                blocks.pop(End::Front);
                deleted += entries;
                continue;
            }
            if trim.approximate {
                return deleted;
            }
            let gone = blocks.edit_edge(End::Front, |block| {
                block.delete_front(|id, gone| match trim.by {
                    TrimBy::MaxLen(max) => len - gone > max,
                    TrimBy::MinId(min) => id < min,
                })
            });
            // The first that stays is in this block.
            return deleted + gone.unwrap_or(0);
        }
    }
}
