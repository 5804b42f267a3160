//! LMOVE and LMPOP: elements that go from one list to another, or are taken from the first list that has some.

use std::sync::Arc;

use respire_datatypes::integer::parse_i64;
use respire_datatypes::list::{Element, End, List, NewElement};
use respire_keyspace::Key;
use smallvec::SmallVec;

use super::ends::take;
use super::{end_of, limits, notify_pop, notify_push, reply_element};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

/// An element between two lists.
enum Moving {
    Small(SmallVec<[u8; 64]>),
    Shared(Arc<Vec<u8>>),
}

impl Moving {
    fn new(element: Element<'_>) -> Self {
        match element {
            Element::Shared(text) => Self::Shared(Arc::clone(text)),
            other => Self::Small(other.with_bytes(SmallVec::from_slice)),
        }
    }

    fn as_new(&self) -> NewElement<'_> {
        match self {
            Self::Small(text) => NewElement::Bytes(text),
            Self::Shared(text) => NewElement::Shared(text),
        }
    }
}

pub(super) fn lmove(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (from, to) = (end_of(ctx.args.get(3))?, end_of(ctx.args.get(4))?);
    move_element(ctx, from, to)
}

pub(super) fn rpoplpush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    move_element(ctx, End::Back, End::Front)
}

/// Moves an element from the list at argument 1 to the one at argument 2, and replies with it, or with null.
fn move_element(ctx: &mut Ctx<'_, '_>, from: End, to: End) -> Outcome {
    if !try_move(ctx, from, to)? {
        ctx.out.null();
    }
    Ok(())
}

/// As `move_element`, but without a reply if there is nothing to move. Returns whether there was.
pub(super) fn try_move(ctx: &mut Ctx<'_, '_>, from: End, to: End) -> Result<bool, Error> {
    let (source, target) = (ctx.key(1), ctx.key(2));
    let limits = limits(ctx);
    let Some(list) = ctx.data.edit::<List>(&source)? else { return Ok(false) };
    let Some(element) = list.edge(from) else { return Ok(false) };
    let moving = Moving::new(element);
    drop(list);
    let mut removed = false;
    if source.bytes == target.bytes {
        let Some(mut list) = ctx.data.edit::<List>(&source)? else { return Ok(false) };
        list.pop(from, limits);
        list.push(to, moving.as_new(), limits);
        list.finish(true);
        notify_push(ctx, to, &target);
    } else {
        let mut list = ctx.data.edit_or_create(&target, List::new)?;
        list.push(to, moving.as_new(), limits);
        list.finish(true);
        notify_push(ctx, to, &target);
        if let Some(mut list) = ctx.data.edit::<List>(&source)? {
            list.pop(from, limits);
            removed = list.finish(true).removed;
        }
        // Two keys, one change.
        ctx.weigh(&source, 0);
    }
    notify_pop(ctx, from, &source, removed);
    match &moving {
        Moving::Small(text) => ctx.out.bulk(text),
        Moving::Shared(text) => reply_element(ctx.out, Element::Shared(text)),
    }
    Ok(true)
}

/// What LMPOP and its blocking form are asked for.
pub(super) struct Taking {
    /// The positions of the keys.
    pub(super) keys: std::ops::Range<usize>,
    pub(super) end: End,
    pub(super) count: usize,
}

/// Reads `numkeys key [key ...] <LEFT | RIGHT> [COUNT count]` from argument `at` on.
pub(super) fn taking(ctx: &Ctx<'_, '_>, at: usize) -> Result<Taking, Error> {
    const NUMKEYS: Error = Error::fixed("ERR numkeys should be greater than 0");
    const COUNT: Error = Error::fixed("ERR count should be greater than 0");
    let positive = |i: usize| {
        parse_i64(ctx.args.get(i)).filter(|number| *number > 0).map(|number| number as usize)
    };
    let number = positive(at).ok_or(NUMKEYS)?;
    let word =
        at.checked_add(1).and_then(|first| first.checked_add(number)).ok_or(Error::SYNTAX)?;
    let end = end_of(ctx.args.try_get(word).ok_or(Error::SYNTAX)?)?;
    let mut count = None;
    let mut i = word + 1;
    while i < ctx.args.len() {
        let named = ctx.args.get(i).eq_ignore_ascii_case(b"COUNT") && i + 1 < ctx.args.len();
        if !named || count.is_some() {
            return Err(Error::SYNTAX);
        }
        count = Some(positive(i + 1).ok_or(COUNT)?);
        i += 2;
    }
    Ok(Taking { keys: at + 1..word, end, count: count.unwrap_or(1) })
}

pub(super) fn lmpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let taking = taking(ctx, 1)?;
    for i in taking.keys.clone() {
        let key = ctx.key(i);
        if try_take(ctx, &key, &taking)? {
            return Ok(());
        }
    }
    ctx.out.null_array();
    Ok(())
}

/// Replies with the key and elements of its list, if there is one. Returns whether there is.
pub(super) fn try_take(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    taking: &Taking,
) -> Result<bool, Error> {
    if ctx.data.edit::<List>(key)?.is_none() {
        return Ok(false);
    }
    ctx.out.array(2);
    ctx.out.bulk(key.bytes);
    let limits = limits(ctx);
    take(ctx, key, taking.end, taking.count, limits)?;
    let command = if taking.end == End::Front { "LPOP" } else { "RPOP" };
    ctx.effect_counted(command, key, taking.count);
    Ok(true)
}
