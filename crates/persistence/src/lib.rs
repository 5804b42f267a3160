//! What is kept on disk: snapshots (RDB files) and the append-only file, written without stopping anybody, and read
//! again at the start.
//!
//! - `disk`: files as the rest sees them, so that a test can make them fail
//! - `snapshot`: all that the keyspace holds at one moment, as the bytes of a file
//! - `rdb_file`: such a file, written safely and loaded by several threads
//! - `aof`: the append-only file: its manifest, writing, loading
//! - `check`: says what is in files, and mends them
//! - `pace`: how fast files are written and read
//! - `settings`: the directives about all this
//! - `service`: who saves, and when; what commands, INFO and the start of the server ask for

mod aof;
pub mod check;
pub mod disk;
mod error;
mod pace;
mod rdb_file;
mod service;
mod settings;
mod snapshot;

pub use disk::{Disk, RealDisk};
pub use error::{Failure, reason};
pub use pace::drop_slowly;
pub use service::Persistence;
