//! Members taken from the ends: ZPOPMIN, ZPOPMAX, ZMPOP, and the forms that wait for some.

use std::ops::Range;

use respire_datatypes::integer::parse_i64;
use respire_datatypes::zset::ZSet;
use respire_keyspace::Key;
use respire_resp::Proto;

use super::Members;
use super::range::owned;
use super::reply_score;
use crate::blocking::{Wait, Wants, timeout_of_seconds};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

/// An end of a sorted set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn command(self) -> &'static str {
        match self {
            Self::Min => "ZPOPMIN",
            Self::Max => "ZPOPMAX",
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Min => "zpopmin",
            Self::Max => "zpopmax",
        }
    }
}

pub(super) fn zpopmin(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, End::Min)
}

pub(super) fn zpopmax(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop(ctx, End::Max)
}

fn pop(ctx: &mut Ctx<'_, '_>, end: End) -> Outcome {
    let count = match ctx.args.try_get(2) {
        _ if ctx.args.len() > 3 => return Err(Error::SYNTAX),
        None => None,
        Some(text) => {
            let count = parse_i64(text).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(Error::MUST_BE_POSITIVE)?)
        }
    };
    let key = ctx.key(1);
    let popped = take(ctx, &key, end, count.unwrap_or(1))?.unwrap_or_default();
    if ctx.out.proto == Proto::Resp3 && count.is_some() {
        reply_pairs(ctx, &popped);
    } else {
        ctx.out.array(popped.len() * 2);
        for (member, score) in &popped {
            ctx.out.bulk(member);
            reply_score(ctx.out, *score);
        }
    }
    Ok(())
}

/// An array of arrays of member and score.
fn reply_pairs(ctx: &mut Ctx<'_, '_>, popped: &[(Vec<u8>, f64)]) {
    ctx.out.array(popped.len());
    for (member, score) in popped {
        ctx.out.array(2);
        ctx.out.bulk(member);
        reply_score(ctx.out, *score);
    }
}

/// Removes up to `count` members from one end, in the order from there. `None` if there is no such key.
fn take(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    end: End,
    count: usize,
) -> Result<Option<Members>, Error> {
    let Some(mut editing) = ctx.data.edit::<ZSet>(key)? else { return Ok(None) };
    let set: &mut ZSet = &mut editing;
    let len = set.len();
    let count = count.min(len);
    let ranks = if end == End::Min { 0..count } else { len - count..len };
    let mut popped = owned(set.range(ranks.clone()));
    if end == End::Max {
        popped.reverse();
    }
    set.remove_ranks(ranks);
    let prunes = set.needs_pruning();
    let finished = editing.finish(count > 0);
    if prunes && !finished.removed {
        ctx.data.prune_later(key);
    }
    if count > 0 {
        ctx.weigh(key, count);
        ctx.notify(Classes::ZSET, end.event(), key);
    }
    if finished.removed {
        ctx.notify(Classes::GENERIC, "del", key);
    }
    Ok(Some(popped))
}

/// What ZMPOP and BZMPOP are told: their keys, which end, how many members.
struct MultiPop {
    keys: Range<usize>,
    end: End,
    count: usize,
}

impl MultiPop {
    /// Reads the arguments from the number of keys on.
    fn parse(ctx: &Ctx<'_, '_>, number: usize) -> Result<Self, Error> {
        let args = ctx.args;
        let positive = |i: usize, error: &'static str| {
            let value = parse_i64(args.get(i)).filter(|n| *n > 0);
            value.ok_or(Error::fixed(error))
        };
        let keys = positive(number, "ERR numkeys should be greater than 0")?;
        let end_at = usize::try_from(keys).ok().and_then(|keys| keys.checked_add(number + 1));
        let end_at = end_at.filter(|at| *at < args.len()).ok_or(Error::SYNTAX)?;
        let end = match args.get(end_at) {
            word if word.eq_ignore_ascii_case(b"min") => End::Min,
            word if word.eq_ignore_ascii_case(b"max") => End::Max,
            _ => return Err(Error::SYNTAX),
        };
        let mut count = None;
        let mut i = end_at + 1;
        while i < args.len() {
            let is_count = args.get(i).eq_ignore_ascii_case(b"count");
            if count.is_some() || !is_count || i + 1 == args.len() {
                return Err(Error::SYNTAX);
            }
            count = Some(positive(i + 1, "ERR count should be greater than 0")? as usize);
            i += 2;
        }
        Ok(Self { keys: number + 1..end_at, end, count: count.unwrap_or(1) })
    }

    /// Pops from the first of the keys that there is, and replies. Returns whether there was one.
    fn run(&self, ctx: &mut Ctx<'_, '_>) -> Result<bool, Error> {
        for i in ctx.ready_keys(self.keys.clone()) {
            let key = ctx.key(i);
            if let Some(popped) = take(ctx, &key, self.end, self.count)? {
                ctx.effect_counted(self.end.command(), &key, popped.len());
                ctx.out.array(2);
                ctx.out.bulk(key.bytes);
                reply_pairs(ctx, &popped);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

pub(super) fn zmpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if !MultiPop::parse(ctx, 1)?.run(ctx)? {
        ctx.out.null_array();
    }
    Ok(())
}

pub(super) fn bzmpop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let pop = MultiPop::parse(ctx, 2)?;
    let timeout_ms = timeout_of_seconds(ctx.args.get(1))?;
    if pop.run(ctx)? { Ok(()) } else { wait(ctx, pop.keys, timeout_ms) }
}

pub(super) fn bzpopmin(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop_or_wait(ctx, End::Min)
}

pub(super) fn bzpopmax(ctx: &mut Ctx<'_, '_>) -> Outcome {
    pop_or_wait(ctx, End::Max)
}

fn pop_or_wait(ctx: &mut Ctx<'_, '_>, end: End) -> Outcome {
    let last = ctx.args.len() - 1;
    let timeout_ms = timeout_of_seconds(ctx.args.get(last))?;
    for i in ctx.ready_keys(1..last) {
        let key = ctx.key(i);
        if let Some(popped) = take(ctx, &key, end, 1)?
            && let [(member, score)] = &popped[..]
        {
            ctx.effect_counted(end.command(), &key, 1);
            ctx.out.array(3);
            ctx.out.bulk(key.bytes);
            ctx.out.bulk(member);
            reply_score(ctx.out, *score);
            return Ok(());
        }
    }
    wait(ctx, 1..last, timeout_ms)
}

fn wait(ctx: &mut Ctx<'_, '_>, keys: Range<usize>, timeout_ms: Option<u64>) -> Outcome {
    ctx.block(Wait { keys: keys.collect(), wants: Wants::SortedSet, timeout_ms, args: None })
}
