//! Commands on sorted sets: the rows, and what their handlers share.

pub(super) mod add;
mod algebra;
mod pop;
pub(super) mod range;
mod read;
mod remove;
#[cfg(test)]
mod tests;

use respire_datatypes::float::{parse_f64, with_f64_text};
use respire_datatypes::listpack::Item;
use respire_datatypes::zset::ZSetLimits;
use respire_resp::{Out, Proto};

use crate::command::{Flags, Group, Handler, KeySpec, Row};
use crate::config::Settings;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::error::Error;

/// Members with their scores, taken out of a set.
type Members = Vec<(Vec<u8>, f64)>;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.union(Flags::FAST);
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.union(Flags::FAST);
const DELETE: Flags = Flags::WRITE;
const DELETE_FAST: Flags = DELETE.union(Flags::FAST);

const BLOCK: Flags = DELETE.union(Flags::BLOCKING);
const BLOCK_FAST: Flags = BLOCK.union(Flags::FAST);

const BLOCKS: &[KeySpec] = &[KeySpec::range(1, -2, 1, "RW access delete")];
const READS: &[KeySpec] = &[KeySpec::one(1, "RO access")];
const DELETES: &[KeySpec] = &[KeySpec::one(1, "RW delete")];
const POPS: &[KeySpec] = &[KeySpec::one(1, "RW access delete")];
const COUNTED: &[KeySpec] = &[KeySpec::counted(1, "RO access")];
const STORES_COUNTED: &[KeySpec] =
    &[KeySpec::one(1, "OW update"), KeySpec::counted(2, "RO access")];

/// A row of this group.
const fn row(
    name: &'static str,
    arity: i32,
    handler: Handler,
    flags: Flags,
    keys: &'static [KeySpec],
) -> Row {
    let movable = match keys[keys.len() - 1].place {
        crate::command::Place::Counted { .. } => Flags::MOVABLE_KEYS,
        _ => Flags::empty(),
    };
    Row::new(name, arity, handler).flags(flags.union(movable)).keys(keys)
}

/// Completes a row of this group with its documentation.
const fn docs(row: Row, since: &'static str, cost: &'static str, text: [&'static str; 2]) -> Row {
    row.docs(Group::SortedSet, since, cost, text[0], text[1])
}

pub(crate) const ROWS: &[Row] = &[
    docs(
        row("bzmpop", -5, pop::bzmpop, BLOCK, &[KeySpec::counted(2, "RW access delete")]),
        "7.0.0",
        "O(K) with the number of keys, and O(log(N)) for each member",
        [
            "Removes and returns the members with the lowest or highest scores of the first sorted set that has any, or waits for one.",
            "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
        ],
    ),
    docs(
        row("bzpopmax", -3, pop::bzpopmax, BLOCK_FAST, BLOCKS),
        "5.0.0",
        "O(log(N))",
        [
            "Removes and returns the member with the highest score of the first sorted set that has any, or waits for one.",
            "key [key ...] timeout",
        ],
    ),
    docs(
        row("bzpopmin", -3, pop::bzpopmin, BLOCK_FAST, BLOCKS),
        "5.0.0",
        "O(log(N))",
        [
            "Removes and returns the member with the lowest score of the first sorted set that has any, or waits for one.",
            "key [key ...] timeout",
        ],
    ),
    docs(
        row("zadd", -4, add::zadd, WRITE_FAST, &[KeySpec::one(1, "RW update")]).element(3),
        "1.2.0",
        "O(log(N)) for each member",
        [
            "Adds members with scores, or changes their scores.",
            "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
        ],
    ),
    docs(
        row("zcard", 2, read::zcard, READ_FAST, &[KeySpec::one(1, "RO")]),
        "1.2.0",
        "O(1)",
        ["Returns how many members a sorted set has.", "key"],
    ),
    docs(
        row("zcount", 4, read::zcount, READ_FAST, READS),
        "2.0.0",
        "O(log(N))",
        ["Counts the members with scores in an interval.", "key min max"],
    ),
    docs(
        row("zdiff", -3, algebra::zdiff, READ, COUNTED),
        "6.2.0",
        "O(L) with the members of all sets, and O(log(M)) for each of the result",
        [
            "Returns the members of the first sorted set that no other has.",
            "numkeys key [key ...] [WITHSCORES]",
        ],
    ),
    docs(
        row("zdiffstore", -4, algebra::zdiffstore, WRITE, STORES_COUNTED),
        "6.2.0",
        "O(L) with the members of all sets, and O(log(M)) for each of the result",
        [
            "Stores the members of the first sorted set that no other has.",
            "destination numkeys key [key ...]",
        ],
    ),
    docs(
        row("zincrby", 4, add::zincrby, WRITE_FAST, &[KeySpec::one(1, "RW access update")])
            .element(3),
        "1.2.0",
        "O(log(N))",
        ["Adds to the score of a member; a missing one counts as 0.", "key increment member"],
    ),
    docs(
        row("zinter", -3, algebra::zinter, READ, COUNTED),
        "6.2.0",
        "O(N*K) with the members of the smallest set and the number of sets, and O(log(M)) for each of the result",
        [
            "Returns the members that all sorted sets have.",
            "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
        ],
    ),
    docs(
        row("zintercard", -3, algebra::zintercard, READ, COUNTED),
        "7.0.0",
        "O(N*K) with the members of the smallest set and the number of sets",
        ["Counts the members that all sorted sets have.", "numkeys key [key ...] [LIMIT limit]"],
    ),
    docs(
        row("zinterstore", -4, algebra::zinterstore, WRITE, STORES_COUNTED),
        "2.0.0",
        "O(N*K) with the members of the smallest set and the number of sets, and O(log(M)) for each of the result",
        [
            "Stores the members that all sorted sets have.",
            "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
        ],
    ),
    docs(
        row("zlexcount", 4, read::zlexcount, READ_FAST, READS),
        "2.8.9",
        "O(log(N))",
        ["Counts the members in an interval, where all scores are the same.", "key min max"],
    ),
    docs(
        row("zmpop", -4, pop::zmpop, DELETE, &[KeySpec::counted(1, "RW access delete")]),
        "7.0.0",
        "O(K) with the number of keys, and O(log(N)) for each member",
        [
            "Removes and returns the members with the lowest or highest scores of the first sorted set that has any.",
            "numkeys key [key ...] <MIN | MAX> [COUNT count]",
        ],
    ),
    docs(
        row("zmscore", -3, read::zmscore, READ_FAST, READS).element(2),
        "6.2.0",
        "O(N) with the number of members asked for",
        ["Returns the scores of members.", "key member [member ...]"],
    ),
    docs(
        row("zpopmax", -2, pop::zpopmax, DELETE_FAST, POPS),
        "5.0.0",
        "O(log(N)) for each member",
        ["Removes and returns the members with the highest scores.", "key [count]"],
    ),
    docs(
        row("zpopmin", -2, pop::zpopmin, DELETE_FAST, POPS),
        "5.0.0",
        "O(log(N)) for each member",
        ["Removes and returns the members with the lowest scores.", "key [count]"],
    ),
    docs(
        row("zrandmember", -2, read::zrandmember, READ, READS),
        "6.2.0",
        "O(log(N)) for each member",
        ["Returns members chosen at random.", "key [count [WITHSCORES]]"],
    )
    .tips(&["nondeterministic_output"]),
    docs(
        row("zrange", -4, range::zrange, READ, READS),
        "1.2.0",
        "O(log(N)+M) with the number of members returned",
        [
            "Returns members by rank, score or text.",
            "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        ],
    ),
    docs(
        row("zrangebylex", -4, range::zrangebylex, READ, READS),
        "2.8.9",
        "O(log(N)+M) with the number of members returned",
        [
            "Returns the members in an interval, where all scores are the same.",
            "key min max [LIMIT offset count]",
        ],
    ),
    docs(
        row("zrangebyscore", -4, range::zrangebyscore, READ, READS),
        "1.0.5",
        "O(log(N)+M) with the number of members returned",
        [
            "Returns the members with scores in an interval.",
            "key min max [WITHSCORES] [LIMIT offset count]",
        ],
    ),
    docs(
        row(
            "zrangestore",
            -5,
            range::zrangestore,
            WRITE,
            &[KeySpec::one(1, "OW update"), KeySpec::one(2, "RO access")],
        ),
        "6.2.0",
        "O(log(N)+M) with the number of members stored",
        [
            "Stores members chosen by rank, score or text.",
            "destination source min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
        ],
    ),
    docs(
        row("zrank", -3, read::zrank, READ_FAST, READS).element(2),
        "2.0.0",
        "O(log(N))",
        ["Returns how many members come before one.", "key member [WITHSCORE]"],
    ),
    docs(
        row("zrem", -3, remove::zrem, DELETE_FAST, DELETES).element(2),
        "1.2.0",
        "O(log(N)) for each member",
        ["Removes members.", "key member [member ...]"],
    ),
    docs(
        row("zremrangebylex", 4, remove::zremrangebylex, DELETE, DELETES),
        "2.8.9",
        "O(log(N)) for each member",
        ["Removes the members in an interval, where all scores are the same.", "key min max"],
    ),
    docs(
        row("zremrangebyrank", 4, remove::zremrangebyrank, DELETE, DELETES),
        "2.0.0",
        "O(log(N)) for each member",
        ["Removes members by rank.", "key start stop"],
    ),
    docs(
        row("zremrangebyscore", 4, remove::zremrangebyscore, DELETE, DELETES),
        "1.2.0",
        "O(log(N)) for each member",
        ["Removes the members with scores in an interval.", "key min max"],
    ),
    docs(
        row("zrevrange", -4, range::zrevrange, READ, READS),
        "1.2.0",
        "O(log(N)+M) with the number of members returned",
        ["Returns members by rank, the highest score first.", "key start stop [WITHSCORES]"],
    ),
    docs(
        row("zrevrangebylex", -4, range::zrevrangebylex, READ, READS),
        "2.8.9",
        "O(log(N)+M) with the number of members returned",
        [
            "Returns the members in an interval in reverse order, where all scores are the same.",
            "key max min [LIMIT offset count]",
        ],
    ),
    docs(
        row("zrevrangebyscore", -4, range::zrevrangebyscore, READ, READS),
        "2.2.0",
        "O(log(N)+M) with the number of members returned",
        [
            "Returns the members with scores in an interval, the highest score first.",
            "key max min [WITHSCORES] [LIMIT offset count]",
        ],
    ),
    docs(
        row("zrevrank", -3, read::zrevrank, READ_FAST, READS).element(2),
        "2.0.0",
        "O(log(N))",
        ["Returns how many members come behind one.", "key member [WITHSCORE]"],
    ),
    docs(
        row("zscan", -3, read::zscan, READ, READS),
        "2.8.0",
        "O(1) for each call, O(N) for all of a sorted set",
        ["Walks over the members and their scores.", "key cursor [MATCH pattern] [COUNT count]"],
    )
    .tips(&["nondeterministic_output"]),
    docs(
        row("zscore", 3, read::zscore, READ_FAST, READS).element(2),
        "1.2.0",
        "O(1)",
        ["Returns the score of a member.", "key member"],
    ),
    docs(
        row("zunion", -3, algebra::zunion, READ, COUNTED),
        "6.2.0",
        "O(N) with the members of all sets, and O(log(M)) for each of the result",
        [
            "Returns the members that any of the sorted sets has.",
            "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
        ],
    ),
    docs(
        row("zunionstore", -4, algebra::zunionstore, WRITE, STORES_COUNTED),
        "2.0.0",
        "O(N) with the members of all sets, and O(log(M)) for each of the result",
        [
            "Stores the members that any of the sorted sets has.",
            "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
        ],
    ),
];

/// Up to what sorted sets are kept small.
pub(super) fn limits<'e>(ctx: &Ctx<'_, 'e>) -> ZSetLimits<'e> {
    limits_of(ctx.settings, ctx.engine)
}

pub(crate) fn limits_of<'e>(settings: &Settings, engine: &'e Engine) -> ZSetLimits<'e> {
    ZSetLimits {
        listpack_entries: settings.zset_max_listpack_entries as usize,
        listpack_value: settings.zset_max_listpack_value as usize,
        hasher: engine.keyspace.hasher(),
    }
}

/// A score as a client writes it.
#[inline]
pub(super) fn parse_score(text: &[u8]) -> Result<f64, Error> {
    parse_f64(text).ok_or(Error::NOT_FLOAT)
}

#[inline]
pub(super) fn reply_score(out: &mut Out, score: f64) {
    with_f64_text(score, |text| out.double(text));
}

#[inline]
pub(super) fn reply_member(out: &mut Out, member: Item<'_>) {
    match member {
        Item::Int(value) => out.bulk_int(value),
        Item::Bytes(bytes) => out.bulk(bytes),
    }
}

/// The head of a reply of `len` members, with their scores or without.
fn reply_members_head(out: &mut Out, len: usize, with_scores: bool) {
    out.array(if with_scores && out.proto == Proto::Resp2 { len * 2 } else { len });
}

/// A member of such a reply: RESP3 keeps member and score together.
#[inline]
fn reply_entry(out: &mut Out, member: Item<'_>, score: f64, with_scores: bool) {
    if with_scores && out.proto == Proto::Resp3 {
        out.array(2);
    }
    reply_member(out, member);
    if with_scores {
        reply_score(out, score);
    }
}
