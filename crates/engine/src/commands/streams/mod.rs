//! Commands on streams: the rows, and what their handlers share.

mod add;
mod groups;
mod info;
mod pending;
mod range;
mod read;
#[cfg(test)]
mod tests;

use respire_datatypes::listpack::Item;
use respire_datatypes::stream::{Entry, StreamId};
use respire_resp::Out;

use crate::command::{Flags, Group, Handler, KeySpec, Place, Row};
use crate::error::Error;

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const REMOVE: Flags = Flags::WRITE;
const FAST: Flags = Flags::FAST;
const WAITS: Flags = Flags::BLOCKING.union(Flags::MOVABLE_KEYS);
const HELP: Flags = Flags::LOADING.union(Flags::STALE);

const READS: &[KeySpec] = &[KeySpec::one(1, "RO access")];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, "RW update")];
const DELETES: &[KeySpec] = &[KeySpec::one(1, "RW delete")];
const SUB_READS: &[KeySpec] = &[KeySpec::one(2, "RO access")];
const SUB_INSERTS: &[KeySpec] = &[KeySpec::one(2, "RW insert")];
const SUB_DELETES: &[KeySpec] = &[KeySpec::one(2, "RW delete")];

const UNSURE: &[&str] = &["nondeterministic_output"];

const TRIMMING: &str = "O(N) with the number of entries that are trimmed, else O(1)";

/// A row of this group.
const fn row(
    name: &'static str,
    arity: i32,
    handler: Handler,
    flags: Flags,
    keys: &'static [KeySpec],
) -> Row {
    Row::new(name, arity, handler).flags(flags).keys(keys)
}

/// Completes a row of this group with its documentation.
const fn docs(row: Row, since: &'static str, cost: &'static str, text: [&'static str; 2]) -> Row {
    row.docs(Group::Stream, since, cost, text[0], text[1])
}

pub(crate) const ROWS: &[Row] = &[
    docs(
        row("xack", -4, groups::xack, REMOVE.union(FAST), UPDATES),
        "5.0.0",
        "O(log N) for each id, with the number of pending entries",
        ["Notes that entries which were delivered to a group are done with.", "key group id [id ...]"],
    ),
    docs(
        row(
            "xadd",
            -5,
            add::xadd,
            WRITE.union(FAST),
            &[KeySpec::one(1, "RW update")
                .notes("UPDATE instead of INSERT because of the optional trimming feature")],
        ),
        "5.0.0",
        TRIMMING,
        [
            "Adds an entry to a stream; a missing key counts as empty.",
            "key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
        ],
    )
    .tips(UNSURE),
    docs(
        row("xautoclaim", -6, pending::xautoclaim, REMOVE.union(FAST), DELETES),
        "6.2.0",
        "O(N log M) with the numbers of entries looked at and of pending ones",
        [
            "Gives the pending entries that were not heard of for some time to a consumer.",
            "key group consumer min-idle-time start [COUNT count] [JUSTID]",
        ],
    )
    .tips(UNSURE),
    docs(
        row("xclaim", -6, pending::xclaim, REMOVE.union(FAST), UPDATES),
        "5.0.0",
        "O(log N) for each id, with the number of pending entries",
        [
            "Gives pending entries to a consumer.",
            "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
        ],
    )
    .tips(UNSURE),
    docs(
        row("xdel", -3, add::xdel, REMOVE.union(FAST), DELETES),
        "5.0.0",
        "O(log N) for each id, with the number of entries",
        ["Deletes entries of a stream.", "key id [id ...]"],
    ),
    Row::container("xgroup", GROUP_ROWS).docs(
        Group::Stream,
        "5.0.0",
        "Depends on the subcommand",
        "Manages the consumer groups of a stream.",
        "",
    ),
    Row::container("xinfo", INFO_ROWS).docs(
        Group::Stream,
        "5.0.0",
        "Depends on the subcommand",
        "Tells about streams, their groups and consumers.",
        "",
    ),
    docs(
        row("xlen", 2, range::xlen, READ.union(FAST), &[KeySpec::one(1, "RO")]),
        "5.0.0",
        "O(1)",
        ["Returns the number of entries of a stream.", "key"],
    ),
    docs(
        row("xpending", -3, pending::xpending, READ, READS),
        "5.0.0",
        "O(N) with the number of entries returned or, with IDLE, looked at",
        [
            "Tells which entries of a group were delivered and not acknowledged.",
            "key group [[IDLE min-idle-time] start end count [consumer]]",
        ],
    )
    .tips(UNSURE),
    docs(
        row("xrange", -4, range::xrange, READ, READS),
        "5.0.0",
        "O(log N + M) with the numbers of entries in the stream and in the reply",
        ["Returns the entries between two ids.", "key start end [COUNT count]"],
    ),
    docs(
        row(
            "xread",
            -4,
            read::xread,
            READ.union(WAITS),
            &[KeySpec::at(Place::HalfBehind { word: "STREAMS", from: 1 }, "RO access")],
        )
        .waits(read::may_wait),
        "5.0.0",
        "O(log N + M) for each stream, with the numbers of entries in the stream and in the reply",
        [
            "Returns the entries of several streams behind given ids, and can wait until there are some.",
            "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
        ],
    ),
    docs(
        row(
            "xreadgroup",
            -7,
            read::xreadgroup,
            REMOVE.union(WAITS),
            &[KeySpec::at(Place::HalfBehind { word: "STREAMS", from: 4 }, "RO access")],
        ),
        "5.0.0",
        "O(log N + M) for each stream, with the numbers of entries in the stream and in the reply",
        [
            "Returns entries that no consumer of a group has got yet, or those that are pending with a consumer.",
            "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]",
        ],
    ),
    docs(
        row("xrevrange", -4, range::xrevrange, READ, READS),
        "5.0.0",
        "O(log N + M) with the numbers of entries in the stream and in the reply",
        ["Returns the entries between two ids, the last one first.", "key end start [COUNT count]"],
    ),
    docs(
        row("xsetid", -3, add::xsetid, WRITE.union(FAST), UPDATES),
        "5.0.0",
        "O(1)",
        [
            "Sets the last id of a stream, as replication needs it.",
            "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
        ],
    ),
    docs(
        row("xtrim", -4, add::xtrim, REMOVE, DELETES),
        "5.0.0",
        TRIMMING,
        [
            "Deletes the oldest entries of a stream.",
            "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]",
        ],
    )
    .tips(UNSURE),
];

const GROUP_ROWS: &[Row] = &[
    docs(
        row("create", -5, groups::create, WRITE, SUB_INSERTS),
        "5.0.0",
        "O(1)",
        [
            "Adds a consumer group to a stream.",
            "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
        ],
    ),
    docs(
        row("createconsumer", 5, groups::create_consumer, WRITE, SUB_INSERTS),
        "6.2.0",
        "O(1)",
        ["Adds a consumer to a group.", "key group consumer"],
    ),
    docs(
        row("delconsumer", 5, groups::delete_consumer, REMOVE, SUB_DELETES),
        "5.0.0",
        "O(N) with the number of entries pending with the consumer",
        ["Removes a consumer from a group, with what is pending with it.", "key group consumer"],
    ),
    docs(
        row("destroy", 4, groups::destroy, REMOVE, SUB_DELETES),
        "5.0.0",
        "O(N) with the number of the group's pending entries",
        ["Removes a consumer group.", "key group"],
    ),
    docs(row("help", 2, groups::help, HELP, &[]), "5.0.0", "O(1)", ["Lists the subcommands.", ""]),
    docs(
        row("setid", -5, groups::set_id, REMOVE, &[KeySpec::one(2, "RW update")]),
        "5.0.0",
        "O(1)",
        [
            "Sets the last id that was delivered to a group.",
            "key group <id | $> [ENTRIESREAD entries-read]",
        ],
    ),
];

const INFO_ROWS: &[Row] = &[
    docs(
        row("consumers", 4, info::consumers, READ, SUB_READS),
        "5.0.0",
        "O(N) with the number of consumers",
        ["Tells about the consumers of a group.", "key group"],
    )
    .tips(UNSURE),
    docs(
        row("groups", 3, info::groups, READ, SUB_READS),
        "5.0.0",
        "O(N) with the number of groups",
        ["Tells about the consumer groups of a stream.", "key"],
    ),
    docs(row("help", 2, info::help, HELP, &[]), "5.0.0", "O(1)", ["Lists the subcommands.", ""]),
    docs(
        row("stream", -3, info::stream, READ, SUB_READS),
        "5.0.0",
        "O(1), or O(N) with the size of what is returned",
        ["Tells about a stream.", "key [FULL [COUNT count]]"],
    ),
];

/// An id, in full or by its milliseconds.
fn strict_id(text: &[u8], missing_seq: u64) -> Result<StreamId, Error> {
    StreamId::parse(text, missing_seq).ok_or(Error::STREAM_ID)
}

/// The first id of an interval; `(` in front excludes the one that follows.
fn start_of(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            strict_id(rest, 0)?.next().ok_or(Error::fixed("ERR invalid start ID for the interval"))
        }
        _ => StreamId::parse_bound(text, 0).ok_or(Error::STREAM_ID),
    }
}

/// The last id of an interval.
fn end_of(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => strict_id(rest, u64::MAX)?
            .previous()
            .ok_or(Error::fixed("ERR invalid end ID for the interval")),
        _ => StreamId::parse_bound(text, u64::MAX).ok_or(Error::STREAM_ID),
    }
}

fn reply_id(out: &mut Out, id: StreamId) {
    out.bulk(id.format(&mut [0; StreamId::MAX_TEXT]));
}

fn reply_entry(out: &mut Out, entry: Entry<'_>) {
    out.array(2);
    reply_id(out, entry.id);
    out.array(2 * entry.len());
    for (name, value) in entry.fields() {
        reply_item(out, name);
        reply_item(out, value);
    }
}

fn reply_item(out: &mut Out, item: Item<'_>) {
    match item {
        Item::Int(value) => out.bulk_int(value),
        Item::Bytes(text) => out.bulk(text),
    }
}
