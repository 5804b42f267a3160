//! The append-only file: a base and what was appended since, in several files that a manifest names.

pub(crate) mod load;
pub(crate) mod manifest;
pub(crate) mod records;
pub(crate) mod restate;
pub(crate) mod writer;
