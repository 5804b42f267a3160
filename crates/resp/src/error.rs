//! What can be wrong with a request before it is one. The texts are those that Redis sends, since clients and test
//! suites match on them; the connection is closed after each of them.

use std::fmt;

/// A request that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolError {
    InvalidMultibulkLength,
    UnauthenticatedMultibulkLength,
    InvalidBulkLength,
    UnauthenticatedBulkLength,
    ExpectedDollar(u8),
    TooBigMbulkCount,
    TooBigBulkCount,
    TooBigInline,
    UnbalancedQuotes,
}

impl ProtocolError {
    /// The text of the error reply, code first.
    pub fn reply(&self) -> Vec<u8> {
        let text = match self {
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::ExpectedDollar(got) => {
                // Any byte but a line end, which the reply's writer replaces, is shown as it came.
                return [b"ERR Protocol error: expected '$', got '", &[*got][..], b"'"].concat();
            }
            Self::TooBigMbulkCount => "too big mbulk count string",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::TooBigInline => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
        };
        format!("ERR Protocol error: {text}").into_bytes()
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reply = self.reply();
        write!(f, "{}", reply.strip_prefix(b"ERR ").unwrap_or(&reply).escape_ascii())
    }
}

impl std::error::Error for ProtocolError {}
