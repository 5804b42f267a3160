//! Commands on keys, whatever they hold: the rows.

pub(crate) mod dump;
mod expiry;
mod moving;
mod object;
mod presence;
mod scan;

use crate::command::{Flags, Group, Handler, KeySpec, Lock, Row};

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);

const ONE: &[KeySpec] = &[KeySpec::one(1, "RO")];
const ONE_ACCESS: &[KeySpec] = &[KeySpec::one(1, "RO access")];
const UPDATE: &[KeySpec] = &[KeySpec::one(1, "RW update")];
const MANY: &[KeySpec] = &[KeySpec::rest(1, 1, "RO")];
const DELETE: &[KeySpec] = &[KeySpec::rest(1, 1, "RM delete")];
const FROM_TO: &[KeySpec] = &[KeySpec::one(1, "RW access delete"), KeySpec::one(2, "OW update")];
const FROM_TO_NEW: &[KeySpec] =
    &[KeySpec::one(1, "RW access delete"), KeySpec::one(2, "OW insert")];
const OVERWRITE: &[KeySpec] = &[KeySpec::one(1, "OW update")];
const COPY: &[KeySpec] = &[KeySpec::one(1, "RO access"), KeySpec::one(2, "OW update")];
const SECOND: &[KeySpec] = &[KeySpec::one(2, "RO")];

/// Tips: ask each shard for its keys and add the answers up.
const SUMMED: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
/// Tip: the same call may get another answer, though nobody wrote.
const CHANGING: &[&str] = &["nondeterministic_output"];

const fn row(
    name: &'static str,
    arity: i32,
    handler: Handler,
    flags: Flags,
    keys: &'static [KeySpec],
    docs: [&'static str; 4],
) -> Row {
    let row = Row::new(name, arity, handler).flags(flags).keys(keys);
    row.docs(Group::Generic, docs[0], docs[1], docs[2], docs[3])
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "copy",
        -3,
        moving::copy,
        WRITE.union(Flags::DENYOOM),
        COPY,
        [
            "6.2.0",
            "O(N) with the size of the value",
            "Copies a value, with its expiry, to another key.",
            "source destination [DB destination-db] [REPLACE]",
        ],
    ),
    row(
        "del",
        -2,
        presence::del,
        WRITE,
        DELETE,
        ["1.0.0", "O(N) with the number of keys", "Deletes keys.", "key [key ...]"],
    )
    .tips(SUMMED),
    row(
        "dump",
        2,
        dump::dump,
        READ,
        ONE_ACCESS,
        [
            "2.6.0",
            "O(N) with the size of the value",
            "Returns a value as bytes, to be restored here or elsewhere.",
            "key",
        ],
    )
    .tips(CHANGING),
    row(
        "exists",
        -2,
        presence::exists,
        READ_FAST,
        MANY,
        [
            "1.0.0",
            "O(N) with the number of keys",
            "Counts how many of the keys exist.",
            "key [key ...]",
        ],
    )
    .tips(SUMMED),
    row(
        "expire",
        -3,
        expiry::expire,
        WRITE_FAST,
        UPDATE,
        [
            "1.0.0",
            "O(1)",
            "Sets the time to live of a key in seconds.",
            "key seconds [NX | XX | GT | LT]",
        ],
    ),
    row(
        "expireat",
        -3,
        expiry::expireat,
        WRITE_FAST,
        UPDATE,
        [
            "1.2.0",
            "O(1)",
            "Sets the moment at which a key expires, in seconds of Unix time.",
            "key unix-time-seconds [NX | XX | GT | LT]",
        ],
    ),
    row(
        "expiretime",
        2,
        expiry::expiretime,
        READ_FAST,
        ONE_ACCESS,
        [
            "7.0.0",
            "O(1)",
            "Returns the moment at which a key expires, in seconds of Unix time.",
            "key",
        ],
    ),
    row(
        "keys",
        2,
        scan::keys,
        READ.union(Flags::DANGEROUS),
        &[],
        [
            "1.0.0",
            "O(N) with the number of keys in the database",
            "Returns the names of all keys that match a pattern.",
            "pattern",
        ],
    )
    .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
    .lock(Lock::Walk),
    row(
        "move",
        3,
        moving::move_key,
        WRITE_FAST,
        &[KeySpec::one(1, "RW access update")],
        ["1.0.0", "O(1)", "Moves a key to another database.", "key db"],
    ),
    Row::container("object", OBJECT).docs(
        Group::Generic,
        "2.2.3",
        "Depends on the subcommand",
        "Tells how a value is kept.",
        "",
    ),
    row(
        "persist",
        2,
        expiry::persist,
        WRITE_FAST,
        UPDATE,
        ["2.2.0", "O(1)", "Removes the expiry of a key.", "key"],
    ),
    row(
        "pexpire",
        -3,
        expiry::pexpire,
        WRITE_FAST,
        UPDATE,
        [
            "2.6.0",
            "O(1)",
            "Sets the time to live of a key in milliseconds.",
            "key milliseconds [NX | XX | GT | LT]",
        ],
    ),
    row(
        "pexpireat",
        -3,
        expiry::pexpireat,
        WRITE_FAST,
        UPDATE,
        [
            "2.6.0",
            "O(1)",
            "Sets the moment at which a key expires, in milliseconds of Unix time.",
            "key unix-time-milliseconds [NX | XX | GT | LT]",
        ],
    ),
    row(
        "pexpiretime",
        2,
        expiry::pexpiretime,
        READ_FAST,
        ONE_ACCESS,
        [
            "7.0.0",
            "O(1)",
            "Returns the moment at which a key expires, in milliseconds of Unix time.",
            "key",
        ],
    ),
    row(
        "pttl",
        2,
        expiry::pttl,
        READ_FAST,
        ONE_ACCESS,
        ["2.6.0", "O(1)", "Returns the time to live of a key in milliseconds.", "key"],
    )
    .tips(CHANGING),
    row(
        "randomkey",
        1,
        scan::randomkey,
        READ,
        &[],
        [
            "1.0.0",
            "O(S) with the number of shards",
            "Returns the name of a key chosen at random.",
            "",
        ],
    )
    .tips(&["request_policy:all_shards", "nondeterministic_output"])
    .lock(Lock::Walk),
    row(
        "rename",
        3,
        moving::rename,
        WRITE,
        FROM_TO,
        ["1.0.0", "O(1)", "Gives a key another name, in place of whatever had it.", "key newkey"],
    ),
    row(
        "renamenx",
        3,
        moving::renamenx,
        WRITE_FAST,
        FROM_TO_NEW,
        ["1.0.0", "O(1)", "Gives a key another name if no key has it.", "key newkey"],
    ),
    row(
        "restore",
        -4,
        dump::restore,
        WRITE.union(Flags::DENYOOM).union(Flags::DANGEROUS),
        OVERWRITE,
        [
            "2.6.0",
            "O(N) with the size of the value, O(N*log(N)) for a sorted set",
            "Makes a key of what DUMP returned.",
            "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        ],
    ),
    row(
        "scan",
        -2,
        scan::scan,
        READ,
        &[],
        [
            "2.8.0",
            "O(1) a call, O(N) for a whole iteration",
            "Iterates over the names of the keys in the database.",
            "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        ],
    )
    .tips(&["nondeterministic_output", "request_policy:special"])
    .lock(Lock::Walk),
    row(
        "touch",
        -2,
        presence::touch,
        READ_FAST,
        MANY,
        [
            "3.2.1",
            "O(N) with the number of keys",
            "Counts how many of the keys exist, and notes that they were used.",
            "key [key ...]",
        ],
    )
    .tips(SUMMED),
    row(
        "ttl",
        2,
        expiry::ttl,
        READ_FAST,
        ONE_ACCESS,
        ["1.0.0", "O(1)", "Returns the time to live of a key in seconds.", "key"],
    )
    .tips(CHANGING),
    row(
        "type",
        2,
        presence::type_of,
        READ_FAST,
        ONE,
        ["1.0.0", "O(1)", "Returns the type of the value at a key.", "key"],
    ),
    row(
        "unlink",
        -2,
        presence::del,
        WRITE_FAST,
        DELETE,
        [
            "4.0.0",
            "O(1) for each key",
            "Deletes keys; large values are freed in the background.",
            "key [key ...]",
        ],
    )
    .tips(SUMMED),
];

const OBJECT: &[Row] = &[
    row(
        "encoding",
        3,
        object::encoding,
        READ,
        SECOND,
        ["2.2.3", "O(1)", "Returns the name of the encoding of a value.", "key"],
    )
    .tips(CHANGING),
    row(
        "freq",
        3,
        object::freq,
        READ,
        SECOND,
        ["4.0.0", "O(1)", "Returns how often a key is used, as a logarithmic counter.", "key"],
    )
    .tips(CHANGING),
    row(
        "help",
        2,
        object::help,
        Flags::LOADING.union(Flags::STALE),
        &[],
        ["6.2.0", "O(1)", "Lists the subcommands.", ""],
    ),
    row(
        "idletime",
        3,
        object::idletime,
        READ,
        SECOND,
        ["2.2.3", "O(1)", "Returns the seconds since a key was last used.", "key"],
    )
    .tips(CHANGING),
    row(
        "refcount",
        3,
        object::refcount,
        READ,
        SECOND,
        ["2.2.3", "O(1)", "Returns the number of references to a value.", "key"],
    )
    .tips(CHANGING),
];

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    /// Freed by the calling thread, ten million elements would hold everybody up.
    #[test]
    fn a_large_collection_is_freed_by_another_thread_whatever_makes_it_go() {
        type Element = fn(usize) -> String;
        let fill: [(&str, Element); 5] = [
            ("SADD", |i| format!("member:{i}")),
            ("HSET", |i| format!("field:{i} value")),
            ("ZADD", |i| format!("{i} member:{i}")),
            ("RPUSH", |i| format!("element:{i}")),
            ("XADD", |_| String::new()),
        ];
        for (command, element) in fill {
            for way in [
                "DEL big",
                "SET big x",
                "RENAME small big",
                "COPY small big REPLACE",
                "SUNIONSTORE big none other",
                "SORT other BY nosort STORE big",
                "PEXPIRE big -1",
                "EXISTS big",
            ] {
                let mut h = Harness::new();
                h.line("SET small x");
                h.line("SADD other 1 2 3");
                if command == "XADD" {
                    (0..10_000).for_each(|_| drop(h.line("XADD big * field value")));
                } else {
                    let elements: Vec<String> = (0..50_000).map(element).collect();
                    h.line(&format!("{command} big {}", elements.join(" ")));
                }
                if way == "EXISTS big" {
                    h.line("PEXPIRE big 10");
                    h.advance_ms(20);
                }
                h.line(way);
                let info = h.line("INFO stats memory");
                assert!(info.contains("lazyfreed_objects:1\r"), "{command}, {way}");
            }
        }
    }
}
