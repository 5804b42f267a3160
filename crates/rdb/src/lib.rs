//! The RDB format: values and files of them as bytes, and back. It knows no files, no commands and not where keys live.
//!
//! - `format`: the numbers of the format
//! - `write`: the framing of a file; `value`: the values in it
//! - `scan`: finds the items of a file, without decoding values; `skip`: where a value ends
//! - `decode`: values of every encoding that Redis and Valkey ever wrote; `legacy`: the layouts of old ones
//! - `dump`: one value with version and checksum, as DUMP and RESTORE exchange them
//! - `cursor`: lengths and strings in a slice; `lzf`: the compression of strings; `checksum`: the CRC-64
//!
//! What is written is what redis-server 7.0 can load, in its own forms, unless a value needs more: see
//! [`needs_version`]. What is read comes from anywhere: every length and every layout is checked, and bad input is an
//! [`RdbError`].

pub mod checksum;
mod cursor;
pub mod decode;
pub mod dump;
mod error;
pub mod format;
mod legacy;
pub mod lzf;
pub mod scan;
mod skip;
mod value;
pub mod write;

use std::borrow::Cow;

use respire_datatypes::collection::Collection;

pub use checksum::Checksum;
pub use decode::{DecodeOptions, decode};
pub use dump::{dump, dump_functions, restore, restore_functions};
pub use error::RdbError;
pub use format::Family;
pub use scan::{Batch, Item, MAGIC_LEN, RawEntry, Scanner, is_rdb};
pub use value::needs_version;

/// A value to be written.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Collection(&'a Collection),
}

/// A value that was read.
#[derive(Debug, Clone)]
pub enum Loaded<'a> {
    Int(i64),
    /// Never the canonical spelling of an `i64`.
    Bytes(Cow<'a, [u8]>),
    Collection(Collection),
}

impl Loaded<'_> {
    /// The value, to be written again.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Int(value) => ValueRef::Int(*value),
            Self::Bytes(text) => ValueRef::Bytes(text),
            Self::Collection(collection) => ValueRef::Collection(collection),
        }
    }
}

/// When or how often a value was last used, as an eviction policy wants to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Seconds since it was used.
    Idle(u64),
    /// The logarithmic counter of uses.
    Freq(u8),
}
