//! What a value does, without keys, clients, clocks or the wire.
//!
//! - `integer`, `float`, `longdouble`: numbers as clients write and read them
//! - `geo`: positions on earth as scores, and the scores of an area
//! - `glob`: the pattern language of KEYS, SCAN, PSUBSCRIBE and CONFIG GET
//! - `bits`: strings as arrays of bits
//! - `hyperloglog`: how many different elements there were, estimated
//! - `lcs`: the longest common subsequence of two strings
//! - `listpack`, `intset`: the compact encodings of small collections
//! - `list`: texts in order, growing at both ends
//! - `stream`: a log of entries with ids, and its consumer groups
//! - `table`, `hash`: the hash table under the keyspace and under large collections, and its keyed hash
//! - `elements`: the elements of a large set or hash, in such a table that owns them
//! - `set`, `hashes`, `zset`: sets, hashes and sorted sets
//! - `compaction`: moving what lies thinly in memory
//! - `rest`: pauses while something large is freed
//! - `access`: how recently and how often a value was used, in 32 bits

pub mod access;
pub mod bits;
pub mod buffer;
pub mod collection;
pub mod compaction;
pub mod elements;
pub mod float;
pub mod geo;
pub mod glob;
pub mod hash;
pub mod hashes;
pub mod hyperloglog;
pub mod integer;
pub mod intset;
pub mod lcs;
pub mod list;
pub mod listpack;
pub mod longdouble;
mod region;
pub mod rest;
mod rounding;
mod scan;
#[cfg(test)]
mod seed;
mod sequence;
pub mod set;
pub mod stream;
pub mod table;
pub mod zset;
