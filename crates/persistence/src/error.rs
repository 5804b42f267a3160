//! Why saving or loading failed, in words for the log and for the client who asked.

use std::fmt;
use std::io;
use std::path::Path;

use respire_rdb::RdbError;

/// A failure, and where.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        Self(format!("{what} {}: {error}", path.display()))
    }

    pub(crate) fn rdb(path: &Path, error: &RdbError) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// What an error says, in the words of the system where it has any.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.rfind(" (os error ")) {
        (Some(_), Some(end)) => text[..end].to_owned(),
        _ => text,
    }
}
