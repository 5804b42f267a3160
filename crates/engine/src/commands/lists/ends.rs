//! LPUSH, RPUSH, LPOP, RPOP and their kin: one list, at its ends.

use std::ops::ControlFlow;

use respire_datatypes::integer::parse_i64;
use respire_datatypes::list::{End, List, ListLimits};
use respire_keyspace::Key;
use respire_resp::{Args, Out};

use super::{element, limits, notify_pop, notify_push, reply_element};
use crate::ctx::Ctx;
use crate::editing::Editing;
use crate::error::{Error, Outcome};

pub(super) fn lpush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    push(ctx, End::Front)
}

pub(super) fn rpush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    push(ctx, End::Back)
}

pub(super) fn lpushx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    push_if_there(ctx, End::Front)
}

pub(super) fn rpushx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    push_if_there(ctx, End::Back)
}

fn push(ctx: &mut Ctx<'_, '_>, end: End) -> Outcome {
    let key = ctx.key(1);
    let limits = limits(ctx);
    let list = ctx.data.edit_or_create(&key, List::new)?;
    let len = push_all(list, &ctx.args, end, limits);
    ctx.weigh(&key, ctx.args.len() - 2);
    notify_push(ctx, end, &key);
    ctx.out.int(len as i64);
    Ok(())
}

fn push_if_there(ctx: &mut Ctx<'_, '_>, end: End) -> Outcome {
    let key = ctx.key(1);
    let limits = limits(ctx);
    let Some(list) = ctx.data.edit(&key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let len = push_all(list, &ctx.args, end, limits);
    ctx.weigh(&key, ctx.args.len() - 2);
    notify_push(ctx, end, &key);
    ctx.out.int(len as i64);
    Ok(())
}

/// Adds the elements behind the key, one after the other. Returns the length of the list.
#[inline]
fn push_all(
    mut editing: Editing<'_, List>,
    args: &Args<'_>,
    end: End,
    limits: ListLimits,
) -> usize {
    let list = &mut *editing;
    for i in 2..args.len() {
        list.push(end, element(args, i, &mut None), limits);
    }
    let len = list.len();
    editing.finish(true);
    len
}

pub(super) fn lpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, End::Front)
}

pub(super) fn rpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, End::Back)
}

fn pop(ctx: &mut Ctx<'_, '_>, end: End) -> Outcome {
    if ctx.args.len() > 3 {
        return Err(Error::arity(ctx.name()));
    }
    let key = ctx.key(1);
    let limits = limits(ctx);
    let Some(text) = ctx.args.try_get(2) else {
        let Some(mut editing) = ctx.data.edit::<List>(&key)? else {
            ctx.out.null();
            return Ok(());
        };
        let list = &mut *editing;
        if let Some(element) = list.edge(end) {
            reply_element(ctx.out, element);
        }
        list.pop(end, limits);
        let removed = editing.finish(true).removed;
        notify_pop(ctx, end, &key, removed);
        return Ok(());
    };
    let count = parse_i64(text).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(Error::NOT_POSITIVE)?;
    let Some(editing) = ctx.data.edit::<List>(&key)? else {
        ctx.out.null_array();
        return Ok(());
    };
    if count == 0 {
        ctx.out.array(0);
        return Ok(());
    }
    drop(editing);
    take(ctx, &key, end, count, limits)
}

/// Replies with up to `count` elements, at least one, from an end of a list, which must be there, and removes them.
pub(super) fn take(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    end: End,
    count: usize,
    limits: ListLimits,
) -> Outcome {
    let Some(mut editing) = ctx.data.edit::<List>(key)? else { return Ok(()) };
    let list = &mut *editing;
    let count = count.min(list.len());
    ctx.out.array(count);
    reply_edge(ctx.out, list, end, count);
    let rest = list.remove(end, count, limits);
    let removed = editing.finish(true).removed;
    ctx.data.discard(key, rest);
    ctx.weigh(key, count);
    notify_pop(ctx, end, key, removed);
    Ok(())
}

fn reply_edge(out: &mut Out, list: &List, end: End, count: usize) {
    let mut left = count;
    let each = |element: respire_datatypes::list::Element<'_>| {
        reply_element(out, element);
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    match end {
        End::Front => list.for_each(0, each),
        End::Back => list.for_each_back(list.len(), each),
    }
}
