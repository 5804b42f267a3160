//! The errors that clients see. The texts are Redis's, code first, since clients and tools match on them; each is made
//! here and nowhere else.

use std::borrow::Cow;

/// An error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Cow<'static, [u8]>);

/// What a command handler returns: its reply is written, or this error is to be.
pub type Outcome = Result<(), Error>;

impl Error {
    pub const LOADING: Self = Self::fixed("LOADING Redis is loading the dataset in memory");
    pub const SYNTAX: Self = Self::fixed("ERR syntax error");
    pub const NOT_INTEGER: Self = Self::fixed("ERR value is not an integer or out of range");
    pub const NOT_INT32: Self =
        Self::fixed("ERR value is out of range, value must between -2147483648 and 2147483647");
    pub const NOT_FLOAT: Self = Self::fixed("ERR value is not a valid float");
    pub const NOT_POSITIVE: Self = Self::fixed("ERR value is out of range, must be positive");
    pub const OUT_OF_RANGE: Self = Self::fixed("ERR value is out of range");
    pub const NOT_32_BITS: Self =
        Self::fixed("ERR value is out of range, value must between -2147483648 and 2147483647");
    pub const MUST_BE_POSITIVE: Self = Self::fixed("ERR value is out of range, must be positive");
    pub const OUT_OF_LONG_RANGE: Self = Self::fixed(
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
    pub const NO_SUCH_KEY: Self = Self::fixed("ERR no such key");
    pub const INDEX: Self = Self::fixed("ERR index out of range");
    pub const TIMEOUT_NEGATIVE: Self = Self::fixed("ERR timeout is negative");
    pub const TIMEOUT_TOO_LONG: Self = Self::fixed("ERR timeout is out of range");
    pub const STREAM_ID: Self =
        Self::fixed("ERR Invalid stream ID specified as stream command argument");
    pub const OVERFLOW: Self = Self::fixed("ERR increment or decrement would overflow");
    pub const DECREMENT_OVERFLOW: Self = Self::fixed("ERR decrement would overflow");
    pub const NAN_OR_INFINITY: Self = Self::fixed("ERR increment would produce NaN or Infinity");
    pub const TOO_LONG: Self =
        Self::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    pub const OFFSET: Self = Self::fixed("ERR offset is out of range");
    pub const DB_INDEX: Self = Self::fixed("ERR DB index is out of range");
    pub const SAME_OBJECT: Self = Self::fixed("ERR source and destination objects are the same");
    pub const OUT_OF_MEMORY: Self =
        Self::fixed("OOM command not allowed when used memory > 'maxmemory'.");
    pub const NOT_BUSY: Self = Self::fixed("NOTBUSY No scripts in execution right now.");
    pub const UNKILLABLE: Self = Self::fixed(
        "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the \
         script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
    );
    pub const NO_AUTH: Self = Self::fixed("NOAUTH Authentication required.");
    pub const WRONG_PASSWORD: Self =
        Self::fixed("WRONGPASS invalid username-password pair or user is disabled.");
    pub const NO_KEY_PERMISSION: Self = Self::fixed("NOPERM No permissions to access a key");
    pub const NO_CHANNEL_PERMISSION: Self =
        Self::fixed("NOPERM No permissions to access a channel");
    pub const SORT_BY_DENIED: Self =
        Self::fixed("ERR BY option of SORT denied due to insufficient ACL permissions.");
    pub const SORT_GET_DENIED: Self =
        Self::fixed("ERR GET option of SORT denied due to insufficient ACL permissions.");
    pub const NO_PROTOCOL: Self = Self::fixed("NOPROTO unsupported protocol version");
    pub const REPLICA_ONLY: Self = Self::fixed("ERR Replica can't interact with the keyspace");
    pub const EXEC_ABORT: Self =
        Self::fixed("EXECABORT Transaction discarded because of previous errors.");
    pub const NOT_IN_MULTI: Self = Self::fixed("ERR Command not allowed inside a transaction");
    pub const BUSY_KEY: Self = Self::fixed("BUSYKEY Target key name already exists.");
    pub const INVALID_TTL: Self = Self::fixed("ERR Invalid TTL value, must be >= 0");
    pub const INVALID_IDLE_TIME: Self = Self::fixed("ERR Invalid IDLETIME value, must be >= 0");
    pub const INVALID_FREQ: Self = Self::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255");
    pub const DUMP_PAYLOAD: Self = Self::fixed("ERR DUMP payload version or checksum are wrong");
    pub const BAD_DATA: Self = Self::fixed("ERR Bad data format");
    pub const WRONG_TYPE: Self =
        Self::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const UNBLOCKED: Self = Self::fixed("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    pub const INVALID_CURSOR: Self = Self::fixed("ERR invalid cursor");

    /// An error with a text that never changes.
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }

    /// An error made for the occasion.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Cow::Owned(text.into().into_bytes()))
    }

    /// An error that quotes bytes that a client sent.
    pub fn bytes(text: Vec<u8>) -> Self {
        Self(Cow::Owned(text))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first word, by which INFO counts errors.
    pub fn code(&self) -> &[u8] {
        self.0.split(|b| *b == b' ').next().unwrap_or_default()
    }

    /// A command was called with a number of arguments that it does not take. `name` as in `client|kill`.
    pub fn arity(name: &str) -> Self {
        Self::text(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// The user may not run a command. `name` as in `client|kill`.
    pub fn no_command_permission(user: &[u8], name: &str) -> Self {
        Self::quoting(
            "NOPERM User ",
            user,
            &format!(" has no permissions to run the '{name}' command"),
        )
    }

    /// A command that was allowed when it was queued is no longer.
    pub fn rules_changed(reason: &str) -> Self {
        Self::text(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
             command is no longer allowed for the following reason: {reason}"
        ))
    }

    /// A client that listens to channels asked for something else.
    pub fn only_listening(name: &str) -> Self {
        Self::text(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context"
        ))
    }

    /// The expiry of a command is not a time.
    pub fn invalid_expire(name: &str) -> Self {
        Self::text(format!("ERR invalid expire time in '{name}' command"))
    }

    /// A text that CLIENT LIST shows may not contain what would break its lines. `what` as in `Client names`.
    pub fn not_printable(what: &[u8]) -> Self {
        let mut text = b"ERR ".to_vec();
        text.extend_from_slice(what);
        text.extend_from_slice(b" cannot contain spaces, newlines or special characters.");
        Self::bytes(text)
    }

    /// An error that quotes an argument.
    pub fn quoting(before: &str, arg: &[u8], after: &str) -> Self {
        let mut text = before.as_bytes().to_vec();
        text.extend_from_slice(shown(arg, arg.len()));
        text.extend_from_slice(after.as_bytes());
        Self::bytes(text)
    }

    /// A stream or its group is not there, as most commands on groups say it; `what` goes on behind.
    pub fn no_group_at(key: &[u8], group: &[u8], what: &str) -> Self {
        let mut text = b"NOGROUP No such key '".to_vec();
        text.extend_from_slice(shown(key, key.len()));
        text.extend_from_slice(b"' or consumer group '");
        text.extend_from_slice(shown(group, group.len()));
        text.push(b'\'');
        text.extend_from_slice(what.as_bytes());
        Self::bytes(text)
    }

    /// A stream has no such group, as XGROUP and XINFO say it.
    pub fn no_group(key: &[u8], group: &[u8]) -> Self {
        let mut text = b"NOGROUP No such consumer group '".to_vec();
        text.extend_from_slice(shown(group, group.len()));
        text.extend_from_slice(b"' for key name '");
        text.extend_from_slice(shown(key, key.len()));
        text.push(b'\'');
        Self::bytes(text)
    }

    /// A subcommand is not known.
    pub fn unknown_subcommand(container: &str, got: &[u8]) -> Self {
        let container = container.to_ascii_uppercase();
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend_from_slice(shown(got, 128));
        text.extend_from_slice(format!("'. Try {container} HELP.").as_bytes());
        Self::bytes(text)
    }

    /// A subcommand is known but its arguments do not fit.
    pub fn subcommand_syntax(container: &str, got: &[u8]) -> Self {
        let container = container.to_ascii_uppercase();
        let mut text = b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
        text.extend_from_slice(shown(got, 128));
        text.extend_from_slice(format!("'. Try {container} HELP.").as_bytes());
        Self::bytes(text)
    }
}

/// As much of an argument as an error quotes: `max` bytes, and nothing from a zero byte on, as in Redis.
pub(crate) fn shown(arg: &[u8], max: usize) -> &[u8] {
    let arg = &arg[..arg.len().min(max)];
    let end = arg.iter().position(|b| *b == 0).unwrap_or(arg.len());
    &arg[..end]
}
