//! BLPOP, BLMOVE and their kin: what the commands without the B do, as soon as there is an element.

use respire_datatypes::list::{End, List};
use smallvec::SmallVec;

use super::moving::{Taking, taking, try_move, try_take};
use super::{end_of, limits, notify_pop, reply_element};
use crate::blocking::{Wait, Wants, timeout_of_seconds};
use crate::ctx::Ctx;
use crate::error::Outcome;

pub(super) fn blpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, End::Front)
}

pub(super) fn brpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, End::Back)
}

/// Takes an element off the first list that has one.
fn pop(ctx: &mut Ctx<'_, '_>, end: End) -> Outcome {
    let last = ctx.args.len() - 1;
    let timeout_ms = timeout_of_seconds(ctx.args.get(last))?;
    let limits = limits(ctx);
    for i in ctx.ready_keys(1..last) {
        let key = ctx.key(i);
        let Some(mut editing) = ctx.data.edit::<List>(&key)? else { continue };
        ctx.out.array(2);
        ctx.out.bulk(key.bytes);
        let list = &mut *editing;
        if let Some(element) = list.edge(end) {
            reply_element(ctx.out, element);
        }
        list.pop(end, limits);
        let removed = editing.finish(true).removed;
        ctx.effect(&[if end == End::Front { b"LPOP" } else { b"RPOP" }, key.bytes]);
        notify_pop(ctx, end, &key, removed);
        return Ok(());
    }
    wait(ctx, (1..last).collect(), timeout_ms)
}

fn wait(ctx: &mut Ctx<'_, '_>, keys: SmallVec<[usize; 4]>, timeout_ms: Option<u64>) -> Outcome {
    ctx.block(Wait { keys, wants: Wants::List, timeout_ms, args: None })
}

pub(super) fn blmove(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (from, to) = (end_of(ctx.args.get(3))?, end_of(ctx.args.get(4))?);
    move_element(ctx, from, to)
}

pub(super) fn brpoplpush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    move_element(ctx, End::Back, End::Front)
}

fn move_element(ctx: &mut Ctx<'_, '_>, from: End, to: End) -> Outcome {
    let timeout_ms = timeout_of_seconds(ctx.args.get(ctx.args.len() - 1))?;
    if try_move(ctx, from, to)? {
        let word = |end: End| if end == End::Front { b"LEFT".as_slice() } else { b"RIGHT" };
        let (source, target) = (ctx.args.get(1), ctx.args.get(2));
        ctx.effect(&[b"LMOVE", source, target, word(from), word(to)]);
        return Ok(());
    }
    // Where it can't wait, the reply is the null of the element that it did not find.
    if ctx.session.in_exec {
        ctx.out.null();
        return Ok(());
    }
    wait(ctx, SmallVec::from_slice(&[1]), timeout_ms)
}

pub(super) fn blmpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let taking = taking(ctx, 2)?;
    let timeout_ms = timeout_of_seconds(ctx.args.get(1))?;
    let Taking { keys, .. } = &taking;
    for i in ctx.ready_keys(keys.clone()) {
        let key = ctx.key(i);
        if try_take(ctx, &key, &taking)? {
            return Ok(());
        }
    }
    wait(ctx, keys.clone().collect(), timeout_ms)
}
