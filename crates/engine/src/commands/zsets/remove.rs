//! Members removed: ZREM and the ZREMRANGEBY family.

use std::ops::Range;

use respire_datatypes::integer::parse_i64;
use respire_datatypes::zset::{LexRange, ScoreRange, ZSet};

use super::range::{self, lex_range, score_range};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

pub(super) fn zrem(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let args = ctx.args;
    remove(ctx, "zrem", |set| {
        let mut removed = 0;
        for member in args.iter_from(2) {
            removed += usize::from(set.remove(member).is_some());
            if set.is_empty() {
                break;
            }
        }
        removed
    })
}

pub(super) fn zremrangebyrank(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let start = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let stop = parse_i64(ctx.args.get(3)).ok_or(Error::NOT_INTEGER)?;
    remove_ranks(ctx, "zremrangebyrank", |set| range::ranks(start, stop, set.len()))
}

pub(super) fn zremrangebyscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let range: ScoreRange = score_range(ctx.args.get(2), ctx.args.get(3))?;
    remove_ranks(ctx, "zremrangebyscore", |set| set.ranks_by_score(&range))
}

pub(super) fn zremrangebylex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let range: LexRange<'_> = lex_range(ctx.args.get(2), ctx.args.get(3))?;
    remove_ranks(ctx, "zremrangebylex", |set| set.ranks_by_lex(&range, false))
}

fn remove_ranks(
    ctx: &mut Ctx<'_, '_>,
    event: &'static str,
    find: impl FnOnce(&ZSet) -> Range<usize>,
) -> Outcome {
    remove(ctx, event, |set| {
        let ranks = find(set);
        let len = ranks.len();
        set.remove_ranks(ranks);
        len
    })
}

/// Removes what `f` removes, tells of it, and replies the number that `f` returns.
fn remove(
    ctx: &mut Ctx<'_, '_>,
    event: &'static str,
    f: impl FnOnce(&mut ZSet) -> usize,
) -> Outcome {
    let key = ctx.key(1);
    let (mut removed, mut gone, mut prunes) = (0, false, false);
    if let Some(mut editing) = ctx.data.edit::<ZSet>(&key)? {
        removed = f(&mut editing);
        prunes = editing.needs_pruning();
        gone = editing.finish(removed > 0).removed;
    }
    if prunes && !gone {
        ctx.data.prune_later(&key);
    }
    if removed > 0 {
        ctx.weigh(&key, removed);
        ctx.notify(Classes::ZSET, event, &key);
    }
    if gone {
        ctx.notify(Classes::GENERIC, "del", &key);
    }
    ctx.out.int(removed as i64);
    Ok(())
}
