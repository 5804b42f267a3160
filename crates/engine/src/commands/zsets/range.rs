//! Members in order: ZRANGE with all that it can do, and the commands of which it took the place.

use std::ops::Range;

use respire_datatypes::collection::Kind as _;
use respire_datatypes::integer::parse_i64;
use respire_datatypes::zset::{Entries, LexRange, ScoreRange, ZSet};

use super::{limits, reply_entry, reply_members_head};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

/// What the ends of a range are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// The ends of a range.
enum Ends<'a> {
    Rank(i64, i64),
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

/// A range as a command asks for it.
struct Query<'a> {
    ends: Ends<'a>,
    reversed: bool,
    with_scores: bool,
    offset: i64,
    /// Negative is no limit.
    limit: i64,
}

pub(super) fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, Error> {
    ScoreRange::parse(min, max).ok_or(Error::fixed("ERR min or max is not a float"))
}

pub(super) fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>, Error> {
    LexRange::parse(min, max).ok_or(Error::fixed("ERR min or max not valid string range item"))
}

/// Ranks from `start` to `stop` (inclusive, negative from the end) of `len`.
pub(super) fn ranks(start: i64, stop: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let at = |rank: i64| if rank < 0 { rank + len } else { rank };
    let (start, stop) = (at(start).max(0), at(stop).min(len - 1));
    if start > stop { 0..0 } else { start as usize..stop as usize + 1 }
}

impl<'a> Query<'a> {
    /// Reads the arguments behind the key at `key`. What `by` and `reversed` leave open, options may say.
    fn parse(
        ctx: &Ctx<'a, '_>,
        key: usize,
        by: Option<By>,
        reversed: Option<bool>,
        stores: bool,
    ) -> Result<Self, Error> {
        let args = ctx.args;
        let (mut offset, mut limit) = (0, -1);
        let (mut found_by, mut found_reversed, mut with_scores) = (by, reversed, false);
        let mut i = key + 3;
        while i < args.len() {
            let option = args.get(i);
            if !stores && option.eq_ignore_ascii_case(b"withscores") {
                with_scores = true;
            } else if option.eq_ignore_ascii_case(b"limit") && i + 2 < args.len() {
                offset = parse_i64(args.get(i + 1)).ok_or(Error::NOT_INTEGER)?;
                limit = parse_i64(args.get(i + 2)).ok_or(Error::NOT_INTEGER)?;
                i += 2;
            } else if found_reversed.is_none() && option.eq_ignore_ascii_case(b"rev") {
                found_reversed = Some(true);
            } else if found_by.is_none() && option.eq_ignore_ascii_case(b"bylex") {
                found_by = Some(By::Lex);
            } else if found_by.is_none() && option.eq_ignore_ascii_case(b"byscore") {
                found_by = Some(By::Score);
            } else {
                return Err(Error::SYNTAX);
            }
            i += 1;
        }
        let (by, reversed) = (found_by.unwrap_or(By::Rank), found_reversed.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(Error::fixed(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Error::fixed(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (first, second) = (args.get(key + 1), args.get(key + 2));
        let (min, max) = if reversed { (second, first) } else { (first, second) };
        let ends = match by {
            By::Rank => Ends::Rank(
                parse_i64(first).ok_or(Error::NOT_INTEGER)?,
                parse_i64(second).ok_or(Error::NOT_INTEGER)?,
            ),
            By::Score => Ends::Score(score_range(min, max)?),
            By::Lex => Ends::Lex(lex_range(min, max)?),
        };
        Ok(Self { ends, reversed, with_scores, offset, limit })
    }

    /// The ranks that the range is, from the lowest score on.
    fn ranks(&self, set: &ZSet) -> Range<usize> {
        let found = match &self.ends {
            Ends::Rank(start, stop) => {
                let Range { start, end } = ranks(*start, *stop, set.len());
                let len = set.len();
                return if self.reversed && start < end {
                    len - end..len - start
                } else {
                    start..end
                };
            }
            Ends::Score(range) => set.ranks_by_score(range),
            Ends::Lex(range) => set.ranks_by_lex(range, self.reversed),
        };
        // A negative offset is beyond every end.
        let skipped = usize::try_from(self.offset).unwrap_or(usize::MAX).min(found.len());
        let len = usize::try_from(self.limit).unwrap_or(usize::MAX).min(found.len() - skipped);
        if self.reversed {
            found.end - skipped - len..found.end - skipped
        } else {
            found.start + skipped..found.start + skipped + len
        }
    }

    /// Writes the reply.
    fn reply(&self, ctx: &mut Ctx<'_, '_>, key: usize) -> Outcome {
        let key = ctx.key(key);
        let entries = match ctx.data.read_as::<ZSet>(&key)? {
            Some(set) => set.range(self.ranks(set)),
            None => {
                ctx.out.array(0);
                return Ok(());
            }
        };
        let (out, with_scores) = (&mut *ctx.out, self.with_scores);
        reply_members_head(out, entries.len(), with_scores);
        let reply = |(member, score)| reply_entry(out, member, score, with_scores);
        if self.reversed {
            entries.rev().for_each(reply)
        } else {
            entries.for_each(reply)
        }
        Ok(())
    }
}

fn reply(ctx: &mut Ctx<'_, '_>, by: Option<By>, reversed: Option<bool>) -> Outcome {
    Query::parse(ctx, 1, by, reversed, false)?.reply(ctx, 1)
}

pub(super) fn zrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, None, None)
}

pub(super) fn zrevrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Some(By::Rank), Some(true))
}

pub(super) fn zrangebyscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Some(By::Score), Some(false))
}

pub(super) fn zrevrangebyscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Some(By::Score), Some(true))
}

pub(super) fn zrangebylex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Some(By::Lex), Some(false))
}

pub(super) fn zrevrangebylex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Some(By::Lex), Some(true))
}

pub(super) fn zrangestore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let query = Query::parse(ctx, 2, None, None, true)?;
    let key = ctx.key(2);
    let found = match ctx.data.read_as::<ZSet>(&key)? {
        Some(set) => owned(set.range(query.ranks(set))),
        None => Vec::new(),
    };
    store(ctx, "zrangestore", found);
    Ok(())
}

pub(super) fn owned(entries: Entries<'_>) -> Vec<(Vec<u8>, f64)> {
    entries.map(|(member, score)| (member.to_vec(), score)).collect()
}

/// Stores members and scores as the sorted set of the first key, or deletes it if there are none. Replies how many.
pub(super) fn store(ctx: &mut Ctx<'_, '_>, event: &'static str, entries: Vec<(Vec<u8>, f64)>) {
    store_at(ctx, 1, event, entries);
}

/// As [`store`], for the key at argument `i`.
pub(crate) fn store_at(
    ctx: &mut Ctx<'_, '_>,
    i: usize,
    event: &'static str,
    mut entries: Vec<(Vec<u8>, f64)>,
) {
    let key = ctx.key(i);
    if !entries.is_empty() {
        let set = ZSet::from_entries(&mut entries, &limits(ctx));
        ctx.data.replace(&key, set.into_collection());
        ctx.notify(Classes::ZSET, event, &key);
    } else if ctx.data.remove(&key) {
        ctx.notify(Classes::GENERIC, "del", &key);
    }
    ctx.out.int(entries.len() as i64);
}
