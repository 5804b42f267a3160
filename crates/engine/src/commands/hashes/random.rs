//! Some fields of many: HRANDFIELD and HSCAN.

use respire_datatypes::hashes::Hash;
use respire_datatypes::listpack::Item;
use respire_resp::{Out, Proto};

use crate::commands::elements::{self, ScanOptions};
use crate::commands::parse_cursor;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

/// The largest count whose double, fields and values, is still a count.
const PAIRS_MAX: usize = i64::MAX as usize / 2;

pub(super) fn hrandfield(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let wanted = ctx.args.try_get(2).map(elements::random_count).transpose()?;
    let values = match ctx.args.try_get(3) {
        None => false,
        Some(option) if ctx.args.len() == 4 && option.eq_ignore_ascii_case(b"WITHVALUES") => true,
        Some(_) => return Err(Error::SYNTAX),
    };
    if values && wanted.is_some_and(|(count, _)| count > PAIRS_MAX) {
        return Err(Error::OUT_OF_RANGE);
    }
    let (key, now_ms) = (ctx.key(1), ctx.data.now_ms);
    let mut rng = ctx.data.rng.fork();
    let longest = ctx.longest_reply();
    let hash = ctx.data.read_as::<Hash>(&key)?.filter(|hash| hash.live_len(now_ms) > 0);
    let out = &mut *ctx.out;
    match (hash, wanted) {
        (None, None) => out.null(),
        (None, Some(_)) => out.array(0),
        (Some(hash), None) => match hash.sample(now_ms, &mut rng) {
            Some((field, _)) => elements::reply(out, field),
            None => out.null(),
        },
        (Some(hash), Some((count, true))) => {
            head(out, count, values);
            for _ in 0..count {
                let (field, value) = hash.sample(now_ms, &mut rng).expect("some fields are live");
                pair(out, field, value, values);
                if out.len() > longest {
                    break;
                }
            }
        }
        (Some(hash), Some((count, false))) => {
            head(out, count.min(hash.live_len(now_ms)), values);
            hash.sample_many(count, now_ms, &mut rng, |field, value| {
                pair(out, field, value, values);
            });
        }
    }
    Ok(())
}

fn head(out: &mut Out, count: usize, values: bool) {
    let flat = values && out.proto == Proto::Resp2;
    out.array(if flat { count * 2 } else { count });
}

fn pair(out: &mut Out, field: Item<'_>, value: Item<'_>, values: bool) {
    if values && out.proto == Proto::Resp3 {
        out.array(2);
    }
    elements::reply(out, field);
    if values {
        elements::reply(out, value);
    }
}

pub(super) fn hscan(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let cursor = parse_cursor(ctx.args.get(2))?;
    let (key, now_ms) = (ctx.key(1), ctx.data.now_ms);
    let Some(hash) = ctx.data.read_as::<Hash>(&key)? else {
        elements::reply_empty_scan(ctx.out);
        return Ok(());
    };
    let options = ScanOptions::parse(&ctx.args, true)?;
    let mut found = Vec::new();
    let next = options.walk(cursor, |position| {
        let mut seen = 0;
        let next = hash.scan(position, now_ms, |field, value| {
            seen += 1;
            if options.wants(field) {
                found.push(field.to_vec());
                if !options.novalues {
                    found.push(value.to_vec());
                }
            }
        });
        (next, seen)
    });
    elements::reply_scan(ctx.out, next, &found);
    Ok(())
}
