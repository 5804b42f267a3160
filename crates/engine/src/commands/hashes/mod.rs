//! Commands on hashes: the rows, and what their handlers share.

mod expiry;
mod fields;
mod random;
#[cfg(test)]
mod tests;
mod values;

use respire_datatypes::hashes::{Hash, HashLimits};
use respire_keyspace::Key;

use crate::command::{Flags, Group, Handler, KeySpec, Row};
use crate::config::Settings;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::error::Error;
use crate::notify::Classes;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const GROW_FAST: Flags = WRITE_FAST.union(Flags::DENYOOM);

const LOOKS: &[KeySpec] = &[KeySpec::one(1, "RO")];
const READS: &[KeySpec] = &[KeySpec::one(1, "RO access")];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, "RW update")];
const COUNTS: &[KeySpec] = &[KeySpec::one(1, "RW access update")];
const INSERTS: &[KeySpec] = &[KeySpec::one(1, "RW insert")];
const DELETES: &[KeySpec] = &[KeySpec::one(1, "RW delete")];
const TAKES: &[KeySpec] = &[KeySpec::one(1, "RW access delete")];

/// Tip: the elements may come in any order.
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
/// Tip: the same call may get another answer, though nobody wrote.
const CHANGING: &[&str] = &["nondeterministic_output"];

/// What most of these commands cost.
const EACH_FIELD: &str = "O(N) with the number of fields given";
const EVERY_FIELD: &str = "O(N) with the fields of the hash";

const fn row(
    name: &'static str,
    arity: i32,
    handler: Handler,
    flags: Flags,
    keys: &'static [KeySpec],
    docs: [&'static str; 4],
) -> Row {
    let row = Row::new(name, arity, handler).flags(flags).keys(keys);
    row.docs(Group::Hash, docs[0], docs[1], docs[2], docs[3])
}

pub(crate) const ROWS: &[Row] = &[
    row(
        "hdel",
        -3,
        fields::hdel,
        WRITE_FAST,
        DELETES,
        ["2.0.0", EACH_FIELD, "Removes fields from a hash.", "key field [field ...]"],
    )
    .element(2),
    row(
        "hexists",
        3,
        fields::hexists,
        READ_FAST,
        LOOKS,
        ["2.0.0", "O(1)", "Tells whether a hash has a field.", "key field"],
    )
    .element(2),
    row(
        "hexpire",
        -6,
        expiry::hexpire,
        GROW_FAST,
        UPDATES,
        [
            "7.4.0",
            EACH_FIELD,
            "Sets the time to live of fields in seconds.",
            "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ],
    ),
    row(
        "hexpireat",
        -6,
        expiry::hexpireat,
        GROW_FAST,
        UPDATES,
        [
            "7.4.0",
            EACH_FIELD,
            "Sets the moment at which fields expire, in seconds of Unix time.",
            "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ],
    ),
    row(
        "hexpiretime",
        -5,
        expiry::hexpiretime,
        READ_FAST,
        READS,
        [
            "7.4.0",
            EACH_FIELD,
            "Returns the moment at which fields expire, in seconds of Unix time.",
            "key FIELDS numfields field [field ...]",
        ],
    ),
    row(
        "hget",
        3,
        fields::hget,
        READ_FAST,
        READS,
        ["2.0.0", "O(1)", "Returns the value of a field.", "key field"],
    )
    .element(2),
    row(
        "hgetall",
        2,
        fields::hgetall,
        READ,
        READS,
        ["2.0.0", EVERY_FIELD, "Returns all fields of a hash with their values.", "key"],
    )
    .element(1)
    .tips(UNORDERED),
    row(
        "hgetdel",
        -5,
        fields::hgetdel,
        WRITE_FAST,
        TAKES,
        [
            "8.0.0",
            EACH_FIELD,
            "Returns the values of fields and removes the fields.",
            "key FIELDS numfields field [field ...]",
        ],
    ),
    row(
        "hgetex",
        -5,
        expiry::hgetex,
        WRITE_FAST,
        COUNTS,
        [
            "8.0.0",
            EACH_FIELD,
            "Returns the values of fields and sets or removes their expiry.",
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] \
             FIELDS numfields field [field ...]",
        ],
    ),
    row(
        "hincrby",
        4,
        values::hincrby,
        GROW_FAST,
        COUNTS,
        [
            "2.0.0",
            "O(1)",
            "Adds a number to the integer in a field; a missing field counts as 0.",
            "key field increment",
        ],
    )
    .element(2),
    row(
        "hincrbyfloat",
        4,
        values::hincrbyfloat,
        GROW_FAST,
        COUNTS,
        [
            "2.6.0",
            "O(1)",
            "Adds a decimal fraction to the number in a field; a missing field counts as 0.",
            "key field increment",
        ],
    )
    .element(2),
    row(
        "hkeys",
        2,
        fields::hkeys,
        READ,
        READS,
        ["2.0.0", EVERY_FIELD, "Returns the names of all fields of a hash.", "key"],
    )
    .tips(UNORDERED),
    row(
        "hlen",
        2,
        fields::hlen,
        READ_FAST,
        LOOKS,
        ["2.0.0", "O(1)", "Returns the number of fields of a hash.", "key"],
    ),
    row(
        "hmget",
        -3,
        fields::hmget,
        READ_FAST,
        READS,
        ["2.0.0", EACH_FIELD, "Returns the values of several fields.", "key field [field ...]"],
    )
    .element(2),
    row(
        "hmset",
        -4,
        fields::hmset,
        GROW_FAST,
        UPDATES,
        [
            "2.0.0",
            EACH_FIELD,
            "Sets fields of a hash; a missing key counts as an empty hash.",
            "key field value [field value ...]",
        ],
    )
    .element(2),
    row(
        "hpersist",
        -5,
        expiry::hpersist,
        WRITE_FAST,
        UPDATES,
        [
            "7.4.0",
            EACH_FIELD,
            "Removes the expiry of fields.",
            "key FIELDS numfields field [field ...]",
        ],
    ),
    row(
        "hpexpire",
        -6,
        expiry::hpexpire,
        GROW_FAST,
        UPDATES,
        [
            "7.4.0",
            EACH_FIELD,
            "Sets the time to live of fields in milliseconds.",
            "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ],
    ),
    row(
        "hpexpireat",
        -6,
        expiry::hpexpireat,
        GROW_FAST,
        UPDATES,
        [
            "7.4.0",
            EACH_FIELD,
            "Sets the moment at which fields expire, in milliseconds of Unix time.",
            "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ],
    ),
    row(
        "hpexpiretime",
        -5,
        expiry::hpexpiretime,
        READ_FAST,
        READS,
        [
            "7.4.0",
            EACH_FIELD,
            "Returns the moment at which fields expire, in milliseconds of Unix time.",
            "key FIELDS numfields field [field ...]",
        ],
    ),
    row(
        "hpttl",
        -5,
        expiry::hpttl,
        READ_FAST,
        READS,
        [
            "7.4.0",
            EACH_FIELD,
            "Returns the time to live of fields in milliseconds.",
            "key FIELDS numfields field [field ...]",
        ],
    )
    .tips(CHANGING),
    row(
        "hrandfield",
        -2,
        random::hrandfield,
        READ,
        READS,
        [
            "6.2.0",
            "O(N) with the count",
            "Returns fields chosen at random.",
            "key [count [WITHVALUES]]",
        ],
    )
    .tips(CHANGING),
    row(
        "hscan",
        -3,
        random::hscan,
        READ,
        READS,
        [
            "2.8.0",
            "O(1) a call, O(N) for a whole iteration",
            "Iterates over the fields of a hash.",
            "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        ],
    )
    .tips(CHANGING),
    row(
        "hset",
        -4,
        fields::hset,
        GROW_FAST,
        UPDATES,
        [
            "2.0.0",
            EACH_FIELD,
            "Sets fields of a hash; a missing key counts as an empty hash.",
            "key field value [field value ...]",
        ],
    )
    .element(2),
    row(
        "hsetex",
        -6,
        expiry::hsetex,
        GROW_FAST,
        UPDATES,
        [
            "8.0.0",
            EACH_FIELD,
            "Sets fields of a hash with their expiry, if none or all of them exist.",
            "key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]",
        ],
    ),
    row(
        "hsetnx",
        4,
        fields::hsetnx,
        GROW_FAST,
        INSERTS,
        ["2.0.0", "O(1)", "Sets a field if it is missing.", "key field value"],
    )
    .element(2),
    row(
        "hstrlen",
        3,
        fields::hstrlen,
        READ_FAST,
        LOOKS,
        ["3.2.0", "O(1)", "Returns the length of the value of a field.", "key field"],
    )
    .element(2),
    row(
        "httl",
        -5,
        expiry::httl,
        READ_FAST,
        READS,
        [
            "7.4.0",
            EACH_FIELD,
            "Returns the time to live of fields in seconds.",
            "key FIELDS numfields field [field ...]",
        ],
    )
    .tips(CHANGING),
    row(
        "hvals",
        2,
        fields::hvals,
        READ,
        READS,
        ["2.0.0", EVERY_FIELD, "Returns the values of all fields of a hash.", "key"],
    )
    .tips(UNORDERED),
];

/// Expired fields that a write removes before it does its own work.
const PURGE: usize = 64;

/// The limits of the encodings, as they are set.
pub(crate) fn limits<'a>(settings: &Settings, engine: &'a Engine) -> HashLimits<'a> {
    HashLimits {
        listpack_entries: settings.hash_max_listpack_entries as usize,
        listpack_value: settings.hash_max_listpack_value as usize,
        hasher: engine.keyspace.hasher(),
    }
}

/// Removes fields whose time has passed from a hash that is about to be written.
#[inline]
fn purge(ctx: &mut Ctx<'_, '_>, key: &Key<'_>) -> Result<(), Error> {
    if ctx.data.held.shard(key.shard).db(ctx.data.db).has_timed() {
        return purge_timed(ctx, key);
    }
    Ok(())
}

#[cold]
fn purge_timed(ctx: &mut Ctx<'_, '_>, key: &Key<'_>) -> Result<(), Error> {
    let now_ms = ctx.data.now_ms;
    let Some(mut hash) = ctx.data.edit::<Hash>(key)? else { return Ok(()) };
    let removed = hash.expire_due(now_ms, PURGE);
    let finished = hash.finish(!removed.is_empty());
    if !removed.is_empty() {
        let db = ctx.data.db;
        ctx.data.held.shard_mut(key.shard).elements_gone(db, key.bytes, &removed);
        notify_removal(ctx, "hexpired", key, finished.removed);
    }
    Ok(())
}

/// Publishes that fields left a hash, and its key with the last.
fn notify_removal(ctx: &mut Ctx<'_, '_>, event: &'static str, key: &Key<'_>, key_gone: bool) {
    ctx.notify(Classes::HASH, event, key);
    if key_gone {
        ctx.notify(Classes::GENERIC, "del", key);
    }
}
