//! Linearizability: whether what concurrent clients were answered could have come from one client after the other.
//!
//! | module | owns |
//! |---|---|
//! | [`model`] | operations, their requests, and what one after the other they would answer |
//! | [`collection`] | those of them on lists, sets and sorted sets |
//! | [`check`] | the search for an order of a history's operations that explains every reply |
//! | [`plan`] | random operations of a client |
//! | [`record`] | threads that carry plans out and note when each operation began and ended |
//!
//! A history is the list of operations with their replies and the moments, on one clock, between which each took effect.

pub mod check;
pub mod collection;
pub mod model;
pub mod plan;
pub mod record;

pub use check::{Verdict, check};
pub use collection::{Collection, End};
pub use model::{Event, Op};
pub use record::{Run, Subject, run, run_some};
