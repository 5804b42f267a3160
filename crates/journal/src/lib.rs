//! Who hears of a change: effects of commands, in the order in which they took place.
//!
//! A thread gathers the effects of what it executes in [`Effects`] and appends them to the [`Journal`] before it unlocks
//! the shards that they changed: so the order of the journal is the order in memory. A reader (the append-only file, a
//! replica's backlog) takes what was appended as a stream of requests, with SELECT, MULTI and EXEC where they belong.
//! The journal doesn't know what its readers do with it, nor do they know each other. Without a reader, a change costs
//! one branch.

mod effects;
mod journal;

pub use effects::{Effects, request};
pub use journal::{Journal, Reader};
