//! What is told of members: ZCARD, ZSCORE, ZRANK, ZCOUNT, ZRANDMEMBER, ZSCAN and their kin.

use respire_datatypes::float::with_f64_text;
use respire_datatypes::glob;
use respire_datatypes::integer::{self, parse_i64};
use respire_datatypes::zset::ZSet;

use super::range::{lex_range, score_range};
use super::{reply_entry, reply_member, reply_members_head, reply_score};
use crate::commands::parse_cursor;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

pub(super) fn zcard(ctx: &mut Ctx<'_, '_>) -> Outcome {
    count(ctx, ZSet::len)
}

pub(super) fn zcount(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let range = score_range(ctx.args.get(2), ctx.args.get(3))?;
    count(ctx, |set| set.ranks_by_score(&range).len())
}

pub(super) fn zlexcount(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let range = lex_range(ctx.args.get(2), ctx.args.get(3))?;
    count(ctx, |set| set.ranks_by_lex(&range, false).len())
}

fn count(ctx: &mut Ctx<'_, '_>, f: impl FnOnce(&ZSet) -> usize) -> Outcome {
    let key = ctx.key(1);
    let count = ctx.data.read_as::<ZSet>(&key)?.map_or(0, f);
    ctx.out.int(count as i64);
    Ok(())
}

pub(super) fn zscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let member = ctx.args.get(2);
    match ctx.data.read_as::<ZSet>(&key)?.and_then(|set| set.score(member)) {
        Some(score) => reply_score(ctx.out, score),
        None => ctx.out.null(),
    }
    Ok(())
}

pub(super) fn zmscore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let (args, out) = (ctx.args, &mut *ctx.out);
    let set = ctx.data.read_as::<ZSet>(&key)?;
    out.array(args.len() - 2);
    for member in args.iter_from(2) {
        match set.and_then(|set| set.score(member)) {
            Some(score) => reply_score(out, score),
            None => out.null(),
        }
    }
    Ok(())
}

pub(super) fn zrank(ctx: &mut Ctx<'_, '_>) -> Outcome {
    rank(ctx, false)
}

pub(super) fn zrevrank(ctx: &mut Ctx<'_, '_>) -> Outcome {
    rank(ctx, true)
}

fn rank(ctx: &mut Ctx<'_, '_>, reversed: bool) -> Outcome {
    let with_score = match ctx.args.try_get(3) {
        _ if ctx.args.len() > 4 => return Err(Error::arity(ctx.name())),
        Some(option) if option.eq_ignore_ascii_case(b"withscore") => true,
        Some(_) => return Err(Error::SYNTAX),
        None => false,
    };
    let key = ctx.key(1);
    let member = ctx.args.get(2);
    let found = ctx.data.read_as::<ZSet>(&key)?.and_then(|set| {
        let (rank, score) = set.rank(member)?;
        Some((if reversed { set.len() - 1 - rank } else { rank }, score))
    });
    match found {
        Some((rank, score)) if with_score => {
            ctx.out.array(2);
            ctx.out.int(rank as i64);
            reply_score(ctx.out, score);
        }
        Some((rank, _)) => ctx.out.int(rank as i64),
        None if with_score => ctx.out.null_array(),
        None => ctx.out.null(),
    }
    Ok(())
}

pub(super) fn zrandmember(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let Some(count) = ctx.args.try_get(2) else {
        let mut rng = ctx.data.rng.fork();
        match ctx.data.read_as::<ZSet>(&key)? {
            Some(set) => {
                let (member, _) = set.get(rng.usize(..set.len())).expect("a rank below the length");
                reply_member(ctx.out, member);
            }
            None => ctx.out.null(),
        }
        return Ok(());
    };
    let count = parse_i64(count).ok_or(Error::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err(Error::fixed(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with_scores = match ctx.args.try_get(3) {
        None => false,
        Some(option) if ctx.args.len() == 4 && option.eq_ignore_ascii_case(b"withscores") => true,
        Some(_) => return Err(Error::SYNTAX),
    };
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    let mut rng = ctx.data.rng.fork();
    let longest = ctx.longest_reply();
    let out = &mut *ctx.out;
    let Some(set) = ctx.data.read_as::<ZSet>(&key)? else {
        out.array(0);
        return Ok(());
    };
    let len = set.len();
    if count < 0 {
        // Members may come again.
        let count = count.unsigned_abs() as usize;
        reply_members_head(out, count, with_scores);
        for _ in 0..count {
            let (member, score) = set.get(rng.usize(..len)).expect("a rank below the length");
            reply_entry(out, member, score, with_scores);
            if out.len() > longest {
                break;
            }
        }
    } else {
        let ranks = distinct(count as usize, len, &mut rng);
        reply_members_head(out, ranks.len(), with_scores);
        for rank in ranks {
            let (member, score) = set.get(rank).expect("a rank below the length");
            reply_entry(out, member, score, with_scores);
        }
    }
    Ok(())
}

/// `count` different numbers below `len`, or all of them if it has no more; each choice with the same chance.
fn distinct(count: usize, len: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    if count >= len {
        return (0..len).collect();
    }
    if count > len / 3 {
        let mut all: Vec<usize> = (0..len).collect();
        for i in 0..count {
            all.swap(i, rng.usize(i..len));
        }
        all.truncate(count);
        return all;
    }
    let mut seen = std::collections::HashSet::with_capacity(count);
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let rank = rng.usize(..len);
        if seen.insert(rank) {
            chosen.push(rank);
        }
    }
    chosen
}

pub(super) fn zscan(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let cursor = parse_cursor(ctx.args.get(2))?;
    let key = ctx.key(1);
    let args = ctx.args;
    let set = ctx.data.read_as::<ZSet>(&key)?;
    let Some(set) = set else {
        ctx.out.array(2);
        ctx.out.bulk(b"0");
        ctx.out.array(0);
        return Ok(());
    };
    let (mut pattern, mut count) = (None, 10);
    for i in (3..args.len()).step_by(2) {
        let value = args.try_get(i + 1).ok_or(Error::SYNTAX)?;
        if args.get(i).eq_ignore_ascii_case(b"count") {
            let wanted = parse_i64(value).ok_or(Error::NOT_INTEGER)?;
            count = usize::try_from(wanted).ok().filter(|n| *n > 0).ok_or(Error::SYNTAX)?;
        } else if args.get(i).eq_ignore_ascii_case(b"match") {
            pattern = (value != b"*").then_some(value);
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let mut found: Vec<(Vec<u8>, f64)> = Vec::new();
    let mut seen = 0;
    let mut position = Some(cursor);
    let mut visits = count.saturating_mul(10);
    while let Some(at) = position
        && seen < count
        && visits > 0
    {
        visits -= 1;
        position = set.scan(at, |member, score| {
            seen += 1;
            if pattern.is_none_or(|p| member.with_bytes(|text| glob::matches(p, text, false))) {
                found.push((member.to_vec(), score));
            }
        });
    }
    let mut digits = [0; integer::MAX_LEN];
    ctx.out.array(2);
    ctx.out.bulk(integer::format_u64(position.unwrap_or(0), &mut digits));
    ctx.out.array(found.len() * 2);
    for (member, score) in found {
        ctx.out.bulk(&member);
        with_f64_text(score, |text| ctx.out.bulk(text.as_bytes()));
    }
    Ok(())
}
