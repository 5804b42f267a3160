//! Commands on lists: the rows, and what their handlers share.

mod blocking;
mod elements;
mod ends;
mod moving;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use respire_datatypes::list::{Element, End, ListLimits, NewElement};
use respire_keyspace::Key;
use respire_resp::{Args, Out};

use crate::command::{Flags, Group, Handler, KeySpec, Row};
use crate::config::Settings;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::error::Error;
use crate::notify::Classes;

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const REMOVE: Flags = Flags::WRITE;
const FAST: Flags = Flags::FAST;
const WAITS: Flags = Flags::BLOCKING;

const READS: &[KeySpec] = &[KeySpec::one(1, "RO access")];
const INSERTS: &[KeySpec] = &[KeySpec::one(1, "RW insert")];
const DELETES: &[KeySpec] = &[KeySpec::one(1, "RW delete")];
const TAKES: &[KeySpec] = &[KeySpec::one(1, "RW access delete")];
const TAKES_ANY: &[KeySpec] = &[KeySpec::range(1, -2, 1, "RW access delete")];
const MOVES: &[KeySpec] = &[KeySpec::one(1, "RW access delete"), KeySpec::one(2, "RW insert")];

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
    row.docs(Group::List, since, cost, text[0], text[1])
}

pub(crate) const ROWS: &[Row] = &[
    docs(
        row("blmove", 6, blocking::blmove, WRITE.union(WAITS), MOVES),
        "6.2.0",
        "O(1)",
        [
            "As LMOVE; waits while there is no element.",
            "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
        ],
    ),
    docs(
        row(
            "blmpop",
            -5,
            blocking::blmpop,
            REMOVE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
            &[KeySpec::counted(2, "RW access delete")],
        ),
        "7.0.0",
        "O(N+M) with the numbers of keys and of elements returned",
        [
            "As LMPOP; waits while there is no element.",
            "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        ],
    ),
    docs(
        row("blpop", -3, blocking::blpop, REMOVE.union(WAITS), TAKES_ANY),
        "2.0.0",
        "O(N) with the number of keys",
        [
            "Takes the first element off the first of several lists that has any; waits while none has.",
            "key [key ...] timeout",
        ],
    ),
    docs(
        row("brpop", -3, blocking::brpop, REMOVE.union(WAITS), TAKES_ANY),
        "2.0.0",
        "O(N) with the number of keys",
        [
            "Takes the last element off the first of several lists that has any; waits while none has.",
            "key [key ...] timeout",
        ],
    ),
    docs(
        row("brpoplpush", 4, blocking::brpoplpush, WRITE.union(WAITS), MOVES),
        "2.2.0",
        "O(1)",
        ["As RPOPLPUSH; waits while there is no element.", "source destination timeout"],
    ),
    docs(
        row("lindex", 3, elements::lindex, READ, READS),
        "1.0.0",
        "O(log N) with the length of the list",
        ["Returns the element at a position; negative positions count from the end.", "key index"],
    ),
    docs(
        row("linsert", 5, elements::linsert, WRITE, INSERTS),
        "2.2.0",
        "O(N) with the elements in front of the pivot",
        [
            "Inserts an element in front of another one, or behind it.",
            "key <BEFORE | AFTER> pivot element",
        ],
    ),
    docs(
        row("llen", 2, elements::llen, READ.union(FAST), &[KeySpec::one(1, "RO")]),
        "1.0.0",
        "O(1)",
        ["Returns the number of elements of a list.", "key"],
    ),
    docs(
        row("lmove", 5, moving::lmove, WRITE, MOVES),
        "6.2.0",
        "O(1)",
        [
            "Takes an element off one end of a list, adds it to an end of another list, and returns it.",
            "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
        ],
    ),
    docs(
        row(
            "lmpop",
            -4,
            moving::lmpop,
            REMOVE.union(Flags::MOVABLE_KEYS),
            &[KeySpec::counted(1, "RW access delete")],
        ),
        "7.0.0",
        "O(N+M) with the numbers of keys and of elements returned",
        [
            "Takes elements off one end of the first of several lists that has any.",
            "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        ],
    ),
    docs(
        row("lpop", -2, ends::lpop, REMOVE.union(FAST), TAKES),
        "1.0.0",
        "O(N) with the number of elements returned",
        ["Takes elements off the front of a list and returns them.", "key [count]"],
    ),
    docs(
        row("lpos", -3, elements::lpos, READ, READS),
        "6.0.6",
        "O(N) with the number of elements that are compared",
        [
            "Returns the positions of elements that equal the given one.",
            "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
        ],
    ),
    docs(
        row("lpush", -3, ends::lpush, WRITE.union(FAST), INSERTS),
        "1.0.0",
        "O(N) with the number of elements added",
        [
            "Adds elements to the front of a list, one after the other; a missing key counts as empty.",
            "key element [element ...]",
        ],
    ),
    docs(
        row("lpushx", -3, ends::lpushx, WRITE.union(FAST), INSERTS),
        "2.2.0",
        "O(N) with the number of elements added",
        ["Adds elements to the front of a list if there is one.", "key element [element ...]"],
    ),
    docs(
        row("lrange", 4, elements::lrange, READ, READS),
        "1.0.0",
        "O(log N + M) with the length of the list and the number of elements returned",
        ["Returns the elements between two positions, both included.", "key start stop"],
    ),
    docs(
        row("lrem", 4, elements::lrem, REMOVE, DELETES),
        "1.0.0",
        "O(N) with the length of the list",
        [
            "Removes elements that equal the given one: the first ones, the last ones if the count is negative, all if \
             it is 0.",
            "key count element",
        ],
    ),
    docs(
        row("lset", 4, elements::lset, WRITE, &[KeySpec::one(1, "RW update")]),
        "1.0.0",
        "O(log N) with the length of the list",
        ["Replaces the element at a position.", "key index element"],
    ),
    docs(
        row("ltrim", 4, elements::ltrim, REMOVE, DELETES),
        "1.0.0",
        "O(log N) with the length of the list; what is removed is freed in the background",
        ["Removes all elements but those between two positions.", "key start stop"],
    ),
    docs(
        row("rpop", -2, ends::rpop, REMOVE.union(FAST), TAKES),
        "1.0.0",
        "O(N) with the number of elements returned",
        ["Takes elements off the end of a list and returns them.", "key [count]"],
    ),
    docs(
        row("rpoplpush", 3, moving::rpoplpush, WRITE, MOVES),
        "1.2.0",
        "O(1)",
        [
            "Takes the last element of a list, adds it to the front of another list, and returns it.",
            "source destination",
        ],
    ),
    docs(
        row("rpush", -3, ends::rpush, WRITE.union(FAST), INSERTS),
        "1.0.0",
        "O(N) with the number of elements added",
        [
            "Adds elements to the end of a list; a missing key counts as empty.",
            "key element [element ...]",
        ],
    ),
    docs(
        row("rpushx", -3, ends::rpushx, WRITE.union(FAST), INSERTS),
        "2.2.0",
        "O(N) with the number of elements added",
        ["Adds elements to the end of a list if there is one.", "key element [element ...]"],
    ),
];

/// What the blocks of lists take in now.
#[inline]
fn limits(ctx: &Ctx<'_, '_>) -> ListLimits {
    limits_of(ctx.settings, ctx.engine)
}

#[inline]
pub(crate) fn limits_of(settings: &Settings, engine: &Engine) -> ListLimits {
    let limits = ListLimits::new(settings.list_max_listpack_size.into())
        .with_open(settings.list_compress.open_nodes());
    match engine.list_apart.load(Ordering::Relaxed) {
        0 => limits,
        bytes => limits.with_apart(bytes),
    }
}

/// Argument `i` as an element; if it came in an allocation of its own, `shared` keeps that meanwhile.
#[inline]
fn element<'a>(args: &Args<'a>, i: usize, shared: &'a mut Option<Arc<Vec<u8>>>) -> NewElement<'a> {
    *shared = args.share(i);
    match shared {
        Some(text) => NewElement::Shared(text),
        None => NewElement::Bytes(args.get(i)),
    }
}

#[inline]
fn reply_element(out: &mut Out, element: Element<'_>) {
    match element {
        Element::Int(value) => out.bulk_int(value),
        Element::Bytes(text) => out.bulk(text),
        Element::Shared(text) => out.bulk_shared(text, 0, text.len()),
    }
}

/// LEFT or RIGHT.
fn end_of(word: &[u8]) -> Result<End, Error> {
    if word.eq_ignore_ascii_case(b"LEFT") {
        Ok(End::Front)
    } else if word.eq_ignore_ascii_case(b"RIGHT") {
        Ok(End::Back)
    } else {
        Err(Error::SYNTAX)
    }
}

/// Publishes that elements were added.
fn notify_push(ctx: &mut Ctx<'_, '_>, end: End, key: &Key<'_>) {
    let event = if end == End::Front { "lpush" } else { "rpush" };
    ctx.notify(Classes::LIST, event, key);
}

/// Publishes that elements were taken off, and that this deleted the key if it did.
fn notify_pop(ctx: &mut Ctx<'_, '_>, end: End, key: &Key<'_>, removed: bool) {
    let event = if end == End::Front { "lpop" } else { "rpop" };
    ctx.notify(Classes::LIST, event, key);
    notify_removed(ctx, key, removed);
}

fn notify_removed(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, removed: bool) {
    if removed {
        ctx.notify(Classes::GENERIC, "del", key);
    }
}

/// The elements between two positions as Redis counts them, both included, as the first one and their number.
fn span(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_end =
        |position: i64| if position < 0 { position.saturating_add(len) } else { position };
    let start = from_end(start).max(0);
    let stop = from_end(stop).min(len - 1);
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}
