//! What a value does, without keys, clients, clocks or the wire.
//!
//! - `integer`, `float`, `longdouble`: numbers as clients write and read them
//! - `glob`: the pattern language of KEYS, SCAN, PSUBSCRIBE and CONFIG GET
//! - `lcs`: the longest common subsequence of two strings
//! - `list`: texts in order, growing at both ends
//! - `listpack`: the compact encoding of small collections
//! - `stream`: a log of entries with ids, and its consumer groups
//! - `table`, `hash`: the hash table under the keyspace and under large collections, and its keyed hash
//! - `zset`: sorted sets
//! - `access`: how recently and how often a value was used, in 24 bits

pub mod access;
pub mod collection;
pub mod float;
pub mod glob;
pub mod hash;
pub mod integer;
pub mod lcs;
pub mod list;
pub mod listpack;
pub mod longdouble;
mod region;
mod rounding;
mod scan;
#[cfg(test)]
mod seed;
mod sequence;
pub mod stream;
pub mod table;
pub mod zset;
