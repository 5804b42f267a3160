//! Scores set and changed: ZADD, ZINCRBY.

use respire_datatypes::zset::ZSet;
use smallvec::SmallVec;

use super::{limits, parse_score, reply_score};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

const NOT_A_NUMBER: Error = Error::fixed("ERR resulting score is not a number (NaN)");

/// How ZADD adds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Only new members.
    pub(crate) nx: bool,
    /// Only members that are there.
    pub(crate) xx: bool,
    /// Only scores higher than before.
    gt: bool,
    /// Only scores lower than before.
    lt: bool,
    /// Count the members that were changed, too.
    pub(crate) ch: bool,
    /// Add to the score that is there.
    incr: bool,
}

impl Options {
    /// Reads options from argument 2 on. Also returns where they end.
    fn parse(self, ctx: &Ctx<'_, '_>) -> (Self, usize) {
        let mut options = self;
        for (i, arg) in ctx.args.iter_from(2).enumerate() {
            let flag = match arg {
                _ if arg.len() > 4 => return (options, i + 2),
                _ if arg.eq_ignore_ascii_case(b"nx") => &mut options.nx,
                _ if arg.eq_ignore_ascii_case(b"xx") => &mut options.xx,
                _ if arg.eq_ignore_ascii_case(b"gt") => &mut options.gt,
                _ if arg.eq_ignore_ascii_case(b"lt") => &mut options.lt,
                _ if arg.eq_ignore_ascii_case(b"ch") => &mut options.ch,
                _ if arg.eq_ignore_ascii_case(b"incr") => &mut options.incr,
                _ => return (options, i + 2),
            };
            *flag = true;
        }
        (options, ctx.args.len())
    }

    fn check(&self, members: usize) -> Result<(), Error> {
        if self.nx && self.xx {
            return Err(Error::fixed("ERR XX and NX options at the same time are not compatible"));
        }
        if self.nx && (self.gt || self.lt) || self.gt && self.lt {
            return Err(Error::fixed(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.incr && members > 1 {
            return Err(Error::fixed("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// The score of a member that has `old` and is to have `new`; `None` if it is to be left as it is.
    #[inline]
    fn decide(&self, old: Option<f64>, new: f64) -> Result<Option<f64>, Error> {
        let Some(old) = old else { return Ok((!self.xx).then_some(new)) };
        if self.nx {
            return Ok(None);
        }
        let new = if self.incr { old + new } else { new };
        if new.is_nan() {
            return Err(NOT_A_NUMBER);
        }
        let stays = self.gt && new <= old || self.lt && new >= old;
        Ok((!stays).then_some(new))
    }
}

pub(super) fn zadd(ctx: &mut Ctx<'_, '_>) -> Outcome {
    add(ctx, Options::default())
}

/// Takes options in the place of the increment, as Redis does, but then lacks a member.
pub(super) fn zincrby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    add(ctx, Options { incr: true, ..Options::default() })
}

fn add(ctx: &mut Ctx<'_, '_>, options: Options) -> Outcome {
    let (options, first) = options.parse(ctx);
    let rest = ctx.args.len() - first;
    if rest == 0 || !rest.is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    options.check(rest / 2)?;
    let scores: Result<SmallVec<[f64; 8]>, Error> =
        (first..ctx.args.len()).step_by(2).map(|i| parse_score(ctx.args.get(i))).collect();
    put(ctx, options, first + 1, 2, &scores?)
}

/// Gives members their scores. The members are the arguments from `first` on, every `step`.
pub(crate) fn put(
    ctx: &mut Ctx<'_, '_>,
    options: Options,
    first: usize,
    step: usize,
    scores: &[f64],
) -> Outcome {
    let limits = limits(ctx);
    let args = ctx.args;
    let key = ctx.key(1);
    let (mut added, mut changed, mut last) = (0, 0, None);
    let mut add = |editing: &mut ZSet| -> Result<bool, Error> {
        for (i, score) in scores.iter().enumerate() {
            let mut decided = Ok(None);
            let member = args.get(first + i * step);
            let (old, _) = editing.update(member, &limits, |old| {
                decided = options.decide(old, *score);
                *decided.as_ref().unwrap_or(&None)
            });
            if let Some(new) = decided? {
                added += i64::from(old.is_none());
                changed += i64::from(old.is_some_and(|old| old != new));
                last = Some(new);
            }
        }
        Ok(added + changed > 0)
    };
    if !options.xx {
        let mut editing = ctx.data.edit_or_create::<ZSet>(&key, ZSet::new)?;
        let done = add(&mut editing)?;
        editing.finish(done);
    } else if let Some(mut editing) = ctx.data.edit::<ZSet>(&key)? {
        let done = add(&mut editing)?;
        editing.finish(done);
    }
    if added + changed > 0 {
        ctx.weigh(&key, (added + changed) as usize);
        ctx.notify(Classes::ZSET, if options.incr { "zincr" } else { "zadd" }, &key);
    }
    match last {
        _ if !options.incr => ctx.out.int(if options.ch { added + changed } else { added }),
        Some(score) => reply_score(ctx.out, score),
        None => ctx.out.null(),
    }
    Ok(())
}
