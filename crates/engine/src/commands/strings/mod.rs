//! Commands on strings: the rows, and what their handlers share.

pub(crate) mod counters;
mod lcs;
mod ranges;
mod set;

use respire_datatypes::integer::parse_i64;
use respire_keyspace::{EntryRef, NewValue, StrRef};
use respire_resp::{Args, Out};

use crate::command::{Flags, Group, KeySpec, Row};
use crate::ctx::text_of;
use crate::error::Outcome;

const READ: Flags = Flags::READONLY.union(Flags::FAST);
const READ_SLOW: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.union(Flags::FAST);

const READS: &[KeySpec] = &[KeySpec::one(1, "RO access")];
const READS_ALL: &[KeySpec] = &[KeySpec::rest(1, 1, "RO access")];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, "RW access update")];

/// A row of this group.
const fn row(
    name: &'static str,
    arity: i32,
    handler: crate::command::Handler,
    flags: Flags,
    keys: &'static [KeySpec],
) -> Row {
    Row::new(name, arity, handler).flags(flags).keys(keys)
}

/// Completes a row of this group with its documentation.
const fn docs(row: Row, since: &'static str, cost: &'static str, text: [&'static str; 2]) -> Row {
    row.docs(Group::String, since, cost, text[0], text[1])
}

pub(crate) const ROWS: &[Row] = &[
    docs(
        row("append", 3, ranges::append, WRITE_FAST, &[KeySpec::one(1, "RW insert")]),
        "2.0.0",
        "O(1) amortised",
        ["Adds text to the end of a string; a missing key counts as empty.", "key value"],
    ),
    docs(
        row("decr", 2, counters::decr, WRITE_FAST, UPDATES),
        "1.0.0",
        "O(1)",
        ["Subtracts one from an integer; a missing key counts as 0.", "key"],
    ),
    docs(
        row("decrby", 3, counters::decrby, WRITE_FAST, UPDATES),
        "1.0.0",
        "O(1)",
        ["Subtracts a number from an integer; a missing key counts as 0.", "key decrement"],
    ),
    docs(
        row(
            "delifeq",
            3,
            set::delifeq,
            Flags::WRITE.union(Flags::FAST),
            &[KeySpec::one(1, "RM delete")],
        ),
        "respire",
        "O(1)",
        ["Deletes a key if its string equals the given one.", "key value"],
    ),
    docs(
        row("get", 2, set::get, READ, READS),
        "1.0.0",
        "O(1)",
        ["Returns the string at a key.", "key"],
    ),
    docs(
        row(
            "getdel",
            2,
            set::getdel,
            Flags::WRITE.union(Flags::FAST),
            &[KeySpec::one(1, "RW access delete")],
        ),
        "6.2.0",
        "O(1)",
        ["Returns the string at a key and deletes the key.", "key"],
    ),
    docs(
        row(
            "getex",
            -2,
            set::getex,
            Flags::WRITE.union(Flags::FAST),
            &[KeySpec::one(1, "RW access update").notes("It writes the key's expiry")],
        ),
        "6.2.0",
        "O(1)",
        [
            "Returns the string at a key and sets or removes its expiry.",
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
        ],
    ),
    docs(
        row("getrange", 4, ranges::getrange, READ_SLOW, READS),
        "2.4.0",
        "O(N) with the length returned",
        ["Returns part of a string, by byte positions.", "key start end"],
    ),
    docs(
        row("getset", 3, set::getset, WRITE_FAST, UPDATES),
        "1.0.0",
        "O(1)",
        ["Sets a string and returns the one before.", "key value"],
    ),
    docs(
        row("incr", 2, counters::incr, WRITE_FAST, UPDATES),
        "1.0.0",
        "O(1)",
        ["Adds one to an integer; a missing key counts as 0.", "key"],
    ),
    docs(
        row("incrby", 3, counters::incrby, WRITE_FAST, UPDATES),
        "1.0.0",
        "O(1)",
        ["Adds a number to an integer; a missing key counts as 0.", "key increment"],
    ),
    docs(
        row("incrbyfloat", 3, counters::incrbyfloat, WRITE_FAST, UPDATES),
        "2.6.0",
        "O(1)",
        ["Adds a decimal fraction to a number; a missing key counts as 0.", "key increment"],
    ),
    docs(
        row("lcs", -3, lcs::lcs, READ_SLOW, &[KeySpec::range(1, 2, 1, "RO access")]),
        "7.0.0",
        "O(N*M) with the lengths of the strings",
        [
            "Finds the longest common subsequence of two strings.",
            "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
        ],
    ),
    docs(
        row("mget", -2, set::mget, READ, READS_ALL),
        "1.0.0",
        "O(N) with the number of keys",
        ["Returns the strings at several keys, as they are at one moment.", "key [key ...]"],
    )
    .tips(&["request_policy:multi_shard"]),
    docs(
        row("mset", -3, set::mset, WRITE, &[KeySpec::rest(1, 2, "OW update")]),
        "1.0.1",
        "O(N) with the number of keys",
        ["Sets the strings of several keys in one atomic step.", "key value [key value ...]"],
    )
    .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
    docs(
        row("msetnx", -3, set::msetnx, WRITE, &[KeySpec::rest(1, 2, "OW insert")]),
        "1.0.1",
        "O(N) with the number of keys",
        [
            "Sets the strings of several keys if none of the keys exists.",
            "key value [key value ...]",
        ],
    )
    .tips(&["request_policy:multi_shard", "response_policy:agg_min"]),
    docs(
        row("psetex", 4, set::psetex, WRITE, &[KeySpec::one(1, "OW update")]),
        "2.6.0",
        "O(1)",
        ["Sets a string and its time to live in milliseconds.", "key milliseconds value"],
    ),
    docs(
        row(
            "set",
            -3,
            set::set,
            WRITE,
            &[KeySpec::one(1, "RW access update variable_flags")
                .notes("It reads the key only where GET or IFEQ is given")],
        ),
        "1.0.0",
        "O(1)",
        [
            "Sets the string at a key, whatever the key held.",
            "key value [NX | XX | IFEQ comparison-value] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        ],
    ),
    docs(
        row("setex", 4, set::setex, WRITE, &[KeySpec::one(1, "OW update")]),
        "2.0.0",
        "O(1)",
        ["Sets a string and its time to live in seconds.", "key seconds value"],
    ),
    docs(
        row("setnx", 3, set::setnx, WRITE_FAST, &[KeySpec::one(1, "OW insert")]),
        "1.0.0",
        "O(1)",
        ["Sets a string if its key does not exist.", "key value"],
    ),
    docs(
        row("setrange", 4, ranges::setrange, WRITE, &[KeySpec::one(1, "RW update")]),
        "2.2.0",
        "O(1) if the string need not grow",
        [
            "Overwrites part of a string from a byte position on, filling up with zero bytes.",
            "key offset value",
        ],
    ),
    docs(
        row("strlen", 2, ranges::strlen, READ, &[KeySpec::one(1, "RO")]),
        "2.2.0",
        "O(1)",
        ["Returns the length of a string in bytes.", "key"],
    ),
    docs(
        row("substr", 4, ranges::getrange, READ_SLOW, READS),
        "1.0.0",
        "O(N) with the length returned",
        ["The old name of GETRANGE.", "key start end"],
    ),
];

/// Argument `i` as a value: an integer if it looks like one, else its bytes, or the allocation that it came in.
#[inline]
pub(crate) fn value_of<'a>(args: &Args<'a>, i: usize) -> NewValue<'a> {
    let bytes = args.get(i);
    if bytes.len() <= 20
        && let Some(value) = parse_i64(bytes)
    {
        return NewValue::Int(value);
    }
    match args.share(i) {
        Some(shared) => NewValue::Shared(shared),
        None => NewValue::Bytes(bytes),
    }
}

/// Writes the string of an entry.
#[inline]
pub(crate) fn reply_value(out: &mut Out, entry: EntryRef<'_>) -> Outcome {
    match text_of(entry)? {
        StrRef::Int(value) => out.bulk_int(value),
        StrRef::Bytes(data) if data.len() < Out::SPLICE => out.bulk(data),
        StrRef::Bytes(data) => match entry.share() {
            Some(shared) => out.bulk_shared(&shared, 0, shared.len()),
            None => out.bulk(data),
        },
    }
    Ok(())
}
