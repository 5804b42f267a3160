//! What the oracle test leaves out, each with its reason. Mirrors `docs/differences.md`.
//!
//! Three lists. [`COMMANDS`] holds whole commands that aren't generated: the coverage test demands that every other
//! command of the server is. [`LEFT_OUT`] holds what isn't generated of the others. [`KNOWN`] holds replies that differ
//! on purpose.

/// Something that isn't generated, and why.
#[derive(Debug, Clone, Copy)]
pub struct LeftOut {
    pub what: &'static str,
    pub reason: &'static str,
}

const fn out(what: &'static str, reason: &'static str) -> LeftOut {
    LeftOut { what, reason }
}

/// Whole commands, as COMMAND LIST names them.
const COMMANDS: &[LeftOut] = &[
    out("DUMP", "Respire writes the forms of its own version; tests/rdb.rs covers it"),
    out("RESTORE", "likewise"),
    out("SAVE", "writes a file; the tests of persistence cover it"),
    out("BGSAVE", "likewise"),
    out("BGREWRITEAOF", "likewise"),
    out("LASTSAVE", "likewise"),
    out("MEMORY|MALLOC-STATS", "the report of each server's own allocator"),
    out("WAITAOF", "newer than Redis 7.0"),
    out("SCRIPT|DEBUG", "there is no debugger"),
    out("FUNCTION|DUMP", "libraries come in any order; tests/scripts.rs covers it"),
    out("FUNCTION|RESTORE", "likewise"),
    out("DELIFEQ", "newer than Redis 7.0"),
    out("EXIT", "Respire's own; Redis has no such command"),
    out("CLIENT|NO-TOUCH", "newer than Redis 7.0"),
    out("CLIENT|SETINFO", "newer than Redis 7.0"),
    out("MONITOR", "what it shows depends on the moment; tests/redis_tools.rs covers it"),
    out("HEXPIRE", "newer than Redis 7.0"),
    out("HEXPIREAT", "newer than Redis 7.0"),
    out("HEXPIRETIME", "newer than Redis 7.0"),
    out("HPEXPIRE", "newer than Redis 7.0"),
    out("HPEXPIREAT", "newer than Redis 7.0"),
    out("HPEXPIRETIME", "newer than Redis 7.0"),
    out("HTTL", "newer than Redis 7.0"),
    out("HPTTL", "newer than Redis 7.0"),
    out("HPERSIST", "newer than Redis 7.0"),
    out("HGETDEL", "newer than Redis 7.0"),
    out("HGETEX", "newer than Redis 7.0"),
    out("HSETEX", "newer than Redis 7.0"),
];

pub const LEFT_OUT: &[LeftOut] = &[
    out(
        "os and math.random in scripts",
        "newer than Redis 7.0; random numbers start anew with each script",
    ),
    out("SET IFEQ", "newer than Redis 7.0"),
    out("CLIENT KILL MAXAGE", "newer than Redis 7.0"),
    out("CLIENT PAUSE", "only its mistakes: a real pause would only slow the test down"),
    out("SHUTDOWN", "only its mistakes: a real one ends the test"),
    out("DEBUG SET-ACTIVE-EXPIRE 0", "it would decide when DBSIZE notices an expired key"),
    out("DEBUG PROTOCOL push", "arrives beside the replies, not among them"),
    out("HELLO 2, HELLO 3 in MULTI", "switches the protocol in the middle of EXEC's reply"),
    out("SCAN in MULTI", "the cursor is the server's own, and EXEC gives no chance to follow it"),
    out("DEBUG STRINGMATCH-LEN", "newer than Redis 7.0"),
    out("DEBUG QUICKLIST-PACKED-THRESHOLD", "list-max-listpack-size decides here"),
    out(
        "DEBUG REPLYBUFFER",
        "what it changes is not in a reply, but in CLIENT LIST; tested by itself",
    ),
    out("COMMAND GETKEYS with one argument", "the arity is that of Redis 7.2"),
    out("the number of OBJECT REFCOUNT", "it depends on how a small integer came about"),
    out("XREAD with the id +", "newer than Redis 7.0"),
    out(
        "the form of short lists",
        "Redis 7.0 calls each list a quicklist; since 7.2 a short one is a listpack",
    ),
    out(
        "lag and entries-read of groups",
        "Redis 7.0 counts wrongly behind deleted and trimmed entries; Respire as Redis 7.4",
    ),
    out("XINFO's inactive and active-time", "newer than Redis 7.0"),
    out(
        "XINFO's idle and seen-time",
        "Redis 7.0 does not note attempts that got nothing; Respire, as Redis 7.2, does",
    ),
    out(
        "XREADGROUP, XCLAIM and XAUTOCLAIM of a consumer that is not there",
        "Redis 7.0 makes it only if it gets something; Respire, as Redis 7.2, always",
    ),
    out("SCAN with a TYPE that there is not", "an error since Redis 8"),
    out(
        "GETRANGE that ends before the string begins, but for the form of the reply",
        "Redis 7.0 gives the first byte; it is empty since Redis 8",
    ),
    out(
        "XSETID below the greatest id of a deleted entry",
        "Redis 7.0 takes it; an error since Redis 7.2",
    ),
    out("LPOS RANK -9223372036854775808", "Redis 7.0 takes it for -1; since 7.2 it is an error"),
    out("timeouts beyond 64 bits of milliseconds", "Redis 7.0 takes some of them for negative"),
    out("a command's name with a zero byte", "whether Redis finds it depends on its hash seed"),
    out("HSCAN NOVALUES", "newer than Redis 7.0"),
    out("SPOP of some of many", "chance decides what is left"),
    out(
        "SADD of many that are alike",
        "since Redis 7.2 the number of arguments decides the encoding",
    ),
];

/// Whether the whole command is left out.
pub fn left_out(command: &str) -> bool {
    COMMANDS.iter().any(|entry| entry.what == command)
}

/// The commands that are left out.
pub fn commands_left_out() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|entry| entry.what)
}

/// A pair of replies to one command that differ on purpose.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The step's name, as `CLIENT KILL`.
    pub command: &'static str,
    /// How the raw reply of Redis 7.0.15 begins.
    pub redis: &'static str,
    /// How that of Respire begins.
    pub respire: &'static str,
    pub reason: &'static str,
}

pub const KNOWN: &[Known] = &[
    Known {
        command: "XREAD",
        redis: "-ERR Unbalanced XREAD list",
        respire: "-ERR Unbalanced 'xread' list",
        reason: "the text is that of Redis 7.2",
    },
    Known {
        command: "XREADGROUP",
        redis: "-ERR Unbalanced XREAD list",
        respire: "-ERR Unbalanced 'xreadgroup' list",
        reason: "the text is that of Redis 7.2",
    },
];

/// Whether this pair of raw replies to the step `name` is a known difference.
pub fn known(name: &str, redis: &[u8], respire: &[u8]) -> bool {
    KNOWN.iter().any(|entry| {
        entry.command == name
            && redis.starts_with(entry.redis.as_bytes())
            && respire.starts_with(entry.respire.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_out_without_a_reason() {
        assert!(COMMANDS.iter().chain(LEFT_OUT).all(|entry| !entry.reason.is_empty()));
        assert!(KNOWN.iter().all(|entry| !entry.reason.is_empty()));
    }
}
