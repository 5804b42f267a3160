//! Commands on sets: the rows, and what their handlers share.

mod algebra;
mod members;
mod random;
#[cfg(test)]
mod tests;

use respire_datatypes::set::SetLimits;
use respire_keyspace::Key;

use crate::command::{Flags, Group, Handler, KeySpec, Row};
use crate::config::Settings;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::notify::Classes;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const STORE: Flags = Flags::WRITE.union(Flags::DENYOOM);

const LOOKS: &[KeySpec] = &[KeySpec::one(1, "RO")];
const READS: &[KeySpec] = &[KeySpec::one(1, "RO access")];
const READS_ALL: &[KeySpec] = &[KeySpec::rest(1, 1, "RO access")];
const COUNTED: &[KeySpec] = &[KeySpec::counted(1, "RO access")];
const TAKES: &[KeySpec] = &[KeySpec::one(1, "RW access delete")];
const STORES: &[KeySpec] = &[KeySpec::one(1, "OW update"), KeySpec::rest(2, 1, "RO access")];
const STORES_INTERSECTION: &[KeySpec] =
    &[KeySpec::one(1, "RW update"), KeySpec::rest(2, 1, "RO access")];
const MOVES: &[KeySpec] = &[KeySpec::one(1, "RW access delete"), KeySpec::one(2, "RW insert")];

/// Tip: the elements may come in any order.
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
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
    row.docs(Group::Set, docs[0], docs[1], docs[2], docs[3])
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "sadd",
        -3,
        members::sadd,
        WRITE_FAST.union(Flags::DENYOOM),
        &[KeySpec::one(1, "RW insert")],
        [
            "1.0.0",
            "O(N) with the number of members given",
            "Adds members to a set; a missing key counts as an empty set.",
            "key member [member ...]",
        ],
    )
    .element(2),
    row(
        "scard",
        2,
        members::scard,
        READ_FAST,
        LOOKS,
        ["1.0.0", "O(1)", "Returns the number of members of a set.", "key"],
    ),
    row(
        "sdiff",
        -2,
        algebra::sdiff,
        READ,
        READS_ALL,
        [
            "1.0.0",
            "O(N) with the members of all sets",
            "Returns the members of the first set that no other set has.",
            "key [key ...]",
        ],
    )
    .tips(UNORDERED),
    row(
        "sdiffstore",
        -3,
        algebra::sdiffstore,
        STORE,
        STORES,
        [
            "1.0.0",
            "O(N) with the members of all sets",
            "Stores the members of the first set that no other set has.",
            "destination key [key ...]",
        ],
    ),
    row(
        "sinter",
        -2,
        algebra::sinter,
        READ,
        READS_ALL,
        [
            "1.0.0",
            "O(N*M) with the members of the smallest set and the number of sets",
            "Returns the members that all sets have.",
            "key [key ...]",
        ],
    )
    .tips(UNORDERED),
    row(
        "sintercard",
        -3,
        algebra::sintercard,
        READ.union(Flags::MOVABLE_KEYS),
        COUNTED,
        [
            "7.0.0",
            "O(N*M) with the members of the smallest set and the number of sets",
            "Counts the members that all sets have, up to a limit.",
            "numkeys key [key ...] [LIMIT limit]",
        ],
    ),
    row(
        "sinterstore",
        -3,
        algebra::sinterstore,
        STORE,
        STORES_INTERSECTION,
        [
            "1.0.0",
            "O(N*M) with the members of the smallest set and the number of sets",
            "Stores the members that all sets have.",
            "destination key [key ...]",
        ],
    ),
    row(
        "sismember",
        3,
        members::sismember,
        READ_FAST,
        LOOKS,
        ["1.0.0", "O(1)", "Tells whether a set has a member.", "key member"],
    )
    .element(2),
    row(
        "smembers",
        2,
        members::smembers,
        READ,
        READS,
        ["1.0.0", "O(N) with the members", "Returns all members of a set.", "key"],
    )
    .tips(UNORDERED),
    row(
        "smismember",
        -3,
        members::smismember,
        READ_FAST,
        READS,
        [
            "6.2.0",
            "O(N) with the number of members given",
            "Tells of each of several members whether a set has it.",
            "key member [member ...]",
        ],
    ),
    row(
        "smove",
        4,
        members::smove,
        WRITE_FAST,
        MOVES,
        ["1.0.0", "O(1)", "Moves a member from one set to another.", "source destination member"],
    )
    .element(3),
    row(
        "spop",
        -2,
        random::spop,
        WRITE_FAST,
        TAKES,
        [
            "1.0.0",
            "O(N) with the count",
            "Removes members chosen at random and returns them.",
            "key [count]",
        ],
    )
    .tips(CHANGING),
    row(
        "srandmember",
        -2,
        random::srandmember,
        READ,
        READS,
        ["1.0.0", "O(N) with the count", "Returns members chosen at random.", "key [count]"],
    )
    .tips(CHANGING),
    row(
        "srem",
        -3,
        members::srem,
        WRITE_FAST,
        &[KeySpec::one(1, "RW delete")],
        [
            "1.0.0",
            "O(N) with the number of members given",
            "Removes members from a set.",
            "key member [member ...]",
        ],
    )
    .element(2),
    row(
        "sscan",
        -3,
        members::sscan,
        READ,
        READS,
        [
            "2.8.0",
            "O(1) a call, O(N) for a whole iteration",
            "Iterates over the members of a set.",
            "key cursor [MATCH pattern] [COUNT count]",
        ],
    )
    .tips(CHANGING),
    row(
        "sunion",
        -2,
        algebra::sunion,
        READ,
        READS_ALL,
        [
            "1.0.0",
            "O(N) with the members of all sets",
            "Returns the members that any of the sets has.",
            "key [key ...]",
        ],
    )
    .tips(UNORDERED),
    row(
        "sunionstore",
        -3,
        algebra::sunionstore,
        STORE,
        STORES,
        [
            "1.0.0",
            "O(N) with the members of all sets",
            "Stores the members that any of the sets has.",
            "destination key [key ...]",
        ],
    ),
];

/// The limits of the encodings, as they are set.
pub(crate) fn limits<'a>(settings: &Settings, engine: &'a Engine) -> SetLimits<'a> {
    SetLimits {
        intset_entries: settings.set_max_intset_entries as usize,
        listpack_entries: settings.set_max_listpack_entries as usize,
        listpack_value: settings.set_max_listpack_value as usize,
        hasher: engine.keyspace.hasher(),
    }
}

/// Publishes that members left a set, and its key with the last.
fn notify_removal(ctx: &mut Ctx<'_, '_>, event: &'static str, key: &Key<'_>, key_gone: bool) {
    ctx.notify(Classes::SET, event, key);
    if key_gone {
        ctx.notify(Classes::GENERIC, "del", key);
    }
}
