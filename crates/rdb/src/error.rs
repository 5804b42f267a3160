//! What may be wrong with bytes from outside.

use std::fmt;
use std::io;

/// Why something could not be read.
#[derive(Debug)]
pub enum RdbError {
    /// It ends in the middle of something.
    Truncated,
    /// It is not what the format says. The text names it, or says what is wrong behind a colon.
    Corrupt(&'static str),
    /// A collection without elements, which no server keeps. What follows can be read.
    Empty,
    /// A value of a module, whose name it is. What follows can be read.
    Module(String),
    /// A kind of value, or an item of a file, that is not known: nobody can tell where it ends.
    Unknown { what: &'static str, number: u8 },
    /// It does not begin as such a file does.
    NotRdb,
    /// A version that is not known.
    Version(u16),
    /// The checksum is another one.
    Checksum { stored: u64, computed: u64 },
    /// Reading failed.
    Io(io::Error),
    /// Something of the above at this offset of a file, bytes.
    At { offset: u64, error: Box<Self> },
}

impl RdbError {
    pub(crate) fn at(self, offset: u64) -> Self {
        match self {
            Self::At { .. } => self,
            error => Self::At { offset, error: Box::new(error) },
        }
    }

    /// The error without its place.
    pub fn kind(&self) -> &Self {
        match self {
            Self::At { error, .. } => error.kind(),
            error => error,
        }
    }
}

impl fmt::Display for RdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("unexpected end"),
            Self::Corrupt(what) if what.contains(':') => f.write_str(what),
            // The words that Redis's log has.
            Self::Corrupt(what) => write!(f, "{what} integrity check failed"),
            Self::Empty => f.write_str("collection without elements"),
            Self::Module(name) => write!(f, "value of the module type '{name}'"),
            Self::Unknown { what, number } => write!(f, "unknown {what} {number}"),
            Self::NotRdb => f.write_str("not an RDB file"),
            Self::Version(version) => write!(f, "unknown RDB version {version}"),
            Self::Checksum { stored, computed } => {
                write!(f, "CRC error: it is {stored:016x} where {computed:016x} was computed")
            }
            Self::Io(error) => error.fmt(f),
            Self::At { offset, error } => write!(f, "{error} at offset {offset}"),
        }
    }
}

impl std::error::Error for RdbError {}

impl From<io::Error> for RdbError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
