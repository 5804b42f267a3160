//! Fields and their values: what sets, removes and returns them.

use respire_datatypes::collection::Kind;
use respire_datatypes::hashes::{FieldTtl, Hash};
use respire_datatypes::integer::MAX_LEN;
use respire_datatypes::listpack::Item;
use respire_resp::Out;

use super::expiry::named_fields;
use super::{limits, notify_removal, purge};
use crate::commands::elements;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

pub(super) fn hset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let added = set_all(ctx)?;
    ctx.out.int(added as i64);
    Ok(())
}

pub(super) fn hmset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_all(ctx)?;
    ctx.out.ok();
    Ok(())
}

/// Sets the fields that follow the key. Returns how many are new.
fn set_all(ctx: &mut Ctx<'_, '_>) -> Result<usize, Error> {
    if ctx.args.len() % 2 == 1 {
        return Err(Error::arity(ctx.name()));
    }
    let key = ctx.key(1);
    purge(ctx, &key)?;
    let (now_ms, args) = (ctx.data.now_ms, ctx.args);
    let limits = limits(ctx.settings, ctx.engine);
    let mut hash = ctx.data.edit_or_create(&key, Hash::new)?;
    // One long value makes a hash table at once: nothing is put in a listpack before.
    let longest = args.iter_from(2).map(<[u8]>::len).max();
    hash.expect(longest.unwrap_or(0), &limits);
    let mut added = 0;
    for i in (2..args.len()).step_by(2) {
        let (field, value) = (args.get(i), args.get(i + 1));
        added += usize::from(hash.set(field, value, FieldTtl::Clear, now_ms, &limits));
    }
    hash.finish(true);
    ctx.weigh(&key, (args.len() - 2) / 2);
    ctx.notify(Classes::HASH, "hset", &key);
    Ok(added)
}

pub(super) fn hsetnx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    purge(ctx, &key)?;
    let (field, value) = (ctx.args.get(2), ctx.args.get(3));
    let now_ms = ctx.data.now_ms;
    let limits = limits(ctx.settings, ctx.engine);
    let mut hash = ctx.data.edit_or_create(&key, Hash::new)?;
    let missing = hash.get(field, now_ms).is_none();
    if missing {
        hash.set(field, value, FieldTtl::Clear, now_ms, &limits);
    }
    hash.finish(missing);
    if missing {
        ctx.notify(Classes::HASH, "hset", &key);
    }
    ctx.out.int(i64::from(missing));
    Ok(())
}

pub(super) fn hdel(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    purge(ctx, &key)?;
    let now_ms = ctx.data.now_ms;
    let Some(mut hash) = ctx.data.edit::<Hash>(&key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let removed = ctx.args.iter_from(2).filter(|field| hash.remove(field, now_ms)).count();
    let finished = hash.finish(removed > 0);
    if removed > 0 {
        ctx.weigh(&key, removed);
        notify_removal(ctx, "hdel", &key, finished.removed);
    }
    ctx.out.int(removed as i64);
    Ok(())
}

pub(super) fn hgetdel(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let fields = named_fields(ctx, 2)?;
    purge(ctx, &key)?;
    let (now_ms, out) = (ctx.data.now_ms, &mut *ctx.out);
    let Some(mut hash) = ctx.data.edit::<Hash>(&key)? else {
        out.array(fields.len());
        fields.for_each(|_| out.null());
        return Ok(());
    };
    out.array(fields.len());
    let mut removed = false;
    for i in fields {
        let field = ctx.args.get(i);
        reply_or_null(out, hash.get(field, now_ms));
        removed |= hash.remove(field, now_ms);
    }
    let finished = hash.finish(removed);
    if removed {
        let fields: Vec<&[u8]> = ctx.args.iter_from(4).collect();
        ctx.effect_on_each(&[b"HDEL", key.bytes], &fields);
        notify_removal(ctx, "hdel", &key, finished.removed);
    }
    Ok(())
}

/// The hash at argument 1, as far as it is read.
fn read<'c>(ctx: &'c mut Ctx<'_, '_>) -> Result<(Option<&'c Hash>, &'c mut Out, i64), Error> {
    let key = ctx.key(1);
    let now_ms = ctx.data.now_ms;
    if ctx.data.held.shard(key.shard).db(ctx.data.db).has_timed() {
        // Fields past their time are deleted when the shard is no longer held for reading.
        let hash = ctx.data.peek(&key).and_then(|entry| entry.collection()).and_then(Hash::of);
        let due = hash.and_then(Hash::next_due);
        ctx.data.saw_expired |= due.is_some_and(|due| due <= now_ms);
    }
    Ok((ctx.data.read_as::<Hash>(&key)?, ctx.out, now_ms))
}

pub(super) fn reply_or_null(out: &mut Out, value: Option<Item<'_>>) {
    match value {
        Some(value) => elements::reply(out, value),
        None => out.null(),
    }
}

pub(super) fn hget(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let field = ctx.args.get(2);
    let (hash, out, now_ms) = read(ctx)?;
    reply_or_null(out, hash.and_then(|hash| hash.get(field, now_ms)));
    Ok(())
}

pub(super) fn hmget(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let args = ctx.args;
    let (hash, out, now_ms) = read(ctx)?;
    out.array(args.len() - 2);
    for field in args.iter_from(2) {
        reply_or_null(out, hash.and_then(|hash| hash.get(field, now_ms)));
    }
    Ok(())
}

pub(super) fn hexists(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let field = ctx.args.get(2);
    let (hash, out, now_ms) = read(ctx)?;
    out.int(i64::from(hash.is_some_and(|hash| hash.get(field, now_ms).is_some())));
    Ok(())
}

pub(super) fn hstrlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let field = ctx.args.get(2);
    let (hash, out, now_ms) = read(ctx)?;
    let value = hash.and_then(|hash| hash.get(field, now_ms));
    out.int(value.map_or(0, |value| value.text(&mut [0; MAX_LEN]).len()) as i64);
    Ok(())
}

pub(super) fn hlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (hash, out, now_ms) = read(ctx)?;
    out.int(hash.map_or(0, |hash| hash.live_len(now_ms)) as i64);
    Ok(())
}

pub(super) fn hgetall(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (hash, out, now_ms) = read(ctx)?;
    out.map(hash.map_or(0, |hash| hash.live_len(now_ms)));
    if let Some(hash) = hash {
        hash.each(now_ms, |field, value| {
            elements::reply(out, field);
            elements::reply(out, value);
        });
    }
    Ok(())
}

pub(super) fn hkeys(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_parts(ctx, |field, _| field)
}

pub(super) fn hvals(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_parts(ctx, |_, value| value)
}

fn reply_parts(ctx: &mut Ctx<'_, '_>, part: for<'i> fn(Item<'i>, Item<'i>) -> Item<'i>) -> Outcome {
    let (hash, out, now_ms) = read(ctx)?;
    out.array(hash.map_or(0, |hash| hash.live_len(now_ms)));
    if let Some(hash) = hash {
        hash.each(now_ms, |field, value| elements::reply(out, part(field, value)));
    }
    Ok(())
}
