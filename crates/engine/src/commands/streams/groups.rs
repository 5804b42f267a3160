//! XGROUP and XACK: groups, their consumers, and what they are done with.

use respire_datatypes::collection::Kind;
use respire_datatypes::integer::parse_i64;
use respire_datatypes::stream::{ConsumerId, Group, Stream, StreamId};
use respire_keyspace::Key;

use super::strict_id;
use crate::commands::reply_help;
use crate::ctx::Ctx;
use crate::editing::Editing;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

const NO_STREAM: Error = Error::fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
     option to create an empty stream automatically.",
);

/// The consumer `name` of a group, which is made if it is not there; it has been heard of now.
pub(super) fn heard_of(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    group: &[u8],
    name: &[u8],
) -> Result<ConsumerId, Error> {
    let now_ms = ctx.data.clock_ms();
    let missing = || Error::no_group_at(key.bytes, group, "");
    let mut stream = ctx.data.edit::<Stream>(key)?.ok_or_else(missing)?;
    let found = stream.group_mut(group).ok_or_else(missing)?;
    let (consumer, new) = match found.find_consumer(name) {
        Some(consumer) => (consumer, false),
        None => (found.add_consumer(name, now_ms), true),
    };
    found.consumer_mut(consumer).seen_ms = now_ms;
    stream.finish(false);
    if new {
        ctx.count_change(key);
        ctx.effect(&[b"XGROUP", b"CREATECONSUMER", key.bytes, group, name]);
        ctx.notify(Classes::STREAM, "xgroup-createconsumer", key);
    }
    Ok(consumer)
}

/// The effects of entries that became pending with a consumer, as they are now, and of how far their group has got.
pub(super) fn tell_pending(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    group: &[u8],
    consumer: ConsumerId,
    ids: &[StreamId],
) {
    if !ctx.journaled {
        return;
    }
    let mut effects: Vec<Vec<Vec<u8>>> = Vec::new();
    let entry = ctx.data.peek(key);
    let Some(found) = entry
        .and_then(|entry| entry.collection())
        .and_then(Stream::of)
        .and_then(|stream| stream.group(group))
    else {
        return;
    };
    let name = found.consumer(consumer).name();
    let text = |part: &[u8]| part.to_vec();
    let last_id = found.last_id.to_string().into_bytes();
    for id in ids {
        let Some(pending) = found.pending().get(id) else { continue };
        let mut parts: Vec<Vec<u8>> = [b"XCLAIM", key.bytes, group, name, b"0"].map(text).into();
        parts.push(id.to_string().into_bytes());
        parts.extend([text(b"TIME"), pending.delivered_ms.to_string().into_bytes()]);
        parts.extend([text(b"RETRYCOUNT"), pending.deliveries.to_string().into_bytes()]);
        parts.extend([text(b"FORCE"), text(b"JUSTID"), text(b"LASTID"), last_id.clone()]);
        effects.push(parts);
    }
    let read = found.entries_read.map_or(-1, |read| read as i64);
    let mut parts: Vec<Vec<u8>> =
        [b"XGROUP", b"SETID".as_slice(), key.bytes, group].map(text).into();
    parts.extend([last_id, text(b"ENTRIESREAD"), read.to_string().into_bytes()]);
    effects.push(parts);
    for parts in effects {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        ctx.effect(&parts);
    }
}

/// What stands behind the id of CREATE and SETID.
struct Options {
    make: bool,
    entries_read: Option<u64>,
}

fn options(ctx: &Ctx<'_, '_>, creates: bool) -> Result<Options, Error> {
    let mut found = Options { make: false, entries_read: None };
    let mut i = 5;
    while i < ctx.args.len() {
        let option = ctx.args.get(i);
        match ctx.args.try_get(i + 1) {
            _ if creates && option.eq_ignore_ascii_case(b"MKSTREAM") => found.make = true,
            Some(value) if option.eq_ignore_ascii_case(b"ENTRIESREAD") => {
                found.entries_read = match parse_i64(value).ok_or(Error::NOT_INTEGER)? {
                    -1 => None,
                    number @ 0.. => Some(number as u64),
                    _ => {
                        return Err(Error::fixed(
                            "ERR value for ENTRIESREAD must be positive or -1",
                        ));
                    }
                };
                i += 1;
            }
            _ => return Err(wrong_form(ctx)),
        }
        i += 1;
    }
    // As many as each option takes once.
    let most = if creates { 8 } else { 7 };
    if ctx.args.len() > most { Err(wrong_form(ctx)) } else { Ok(found) }
}

fn wrong_form(ctx: &Ctx<'_, '_>) -> Error {
    Error::subcommand_syntax("xgroup", ctx.args.get(1))
}

pub(super) fn create(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let options = options(ctx, true)?;
    let key = ctx.key(2);
    let last_id = ctx.data.edit::<Stream>(&key)?.map(|stream| stream.last_id());
    if last_id.is_none() && !options.make {
        return Err(NO_STREAM);
    }
    let id = match ctx.args.get(4) {
        b"$" => last_id.unwrap_or(StreamId::MIN),
        text => strict_id(text, 0)?,
    };
    let mut stream = ctx.data.edit_or_create(&key, Stream::new)?;
    let new = stream.add_group(ctx.args.get(3), Group::new(id, options.entries_read));
    stream.finish(last_id.is_none());
    if new && last_id.is_some() {
        ctx.count_change(&key);
    }
    if !new {
        return Err(Error::fixed("BUSYGROUP Consumer Group name already exists"));
    }
    ctx.effect_as_asked();
    ctx.notify(Classes::STREAM, "xgroup-create", &key);
    ctx.out.ok();
    Ok(())
}

/// The stream at argument 2, and the name of its group, which must both be there.
fn with_group<'b>(
    ctx: &'b mut Ctx<'_, '_>,
    key: &'b Key<'b>,
) -> Result<Editing<'b, Stream>, Error> {
    let name = ctx.args.get(3);
    let stream = ctx.data.edit::<Stream>(key)?.ok_or(NO_STREAM)?;
    if stream.group(name).is_none() {
        return Err(Error::no_group(key.bytes, name));
    }
    Ok(stream)
}

pub(super) fn set_id(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let options = options(ctx, false)?;
    let (key, args) = (ctx.key(2), ctx.args);
    let mut stream = with_group(ctx, &key)?;
    let id = match args.get(4) {
        b"$" => stream.last_id(),
        text => StreamId::parse_bound(text, 0).ok_or(Error::STREAM_ID)?,
    };
    if let Some(group) = stream.group_mut(args.get(3)) {
        group.last_id = id;
        group.entries_read = options.entries_read;
    }
    stream.finish(false);
    ctx.count_change(&key);
    ctx.effect_as_asked();
    ctx.notify(Classes::STREAM, "xgroup-setid", &key);
    ctx.out.ok();
    Ok(())
}

pub(super) fn destroy(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    let mut stream = ctx.data.edit::<Stream>(&key)?.ok_or(NO_STREAM)?;
    let removed = stream.remove_group(ctx.args.get(3));
    stream.finish(false);
    if removed {
        ctx.count_change(&key);
        ctx.effect_as_asked();
        ctx.notify(Classes::STREAM, "xgroup-destroy", &key);
        // Those who wait for entries of the group wait for nothing now.
        ctx.data.held.shard_mut(key.shard).wake(ctx.data.db, key.bytes);
    }
    ctx.out.int(removed.into());
    Ok(())
}

pub(super) fn create_consumer(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (key, args, now_ms) = (ctx.key(2), ctx.args, ctx.data.clock_ms());
    let mut stream = with_group(ctx, &key)?;
    let mut new = false;
    if let Some(group) = stream.group_mut(args.get(3)) {
        new = group.find_consumer(args.get(4)).is_none();
        if new {
            group.add_consumer(args.get(4), now_ms);
        }
    }
    stream.finish(false);
    if new {
        ctx.count_change(&key);
        ctx.effect_as_asked();
        ctx.notify(Classes::STREAM, "xgroup-createconsumer", &key);
    }
    ctx.out.int(new.into());
    Ok(())
}

pub(super) fn delete_consumer(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (key, args) = (ctx.key(2), ctx.args);
    let mut stream = with_group(ctx, &key)?;
    let group = stream.group_mut(args.get(3));
    let pending = group.and_then(|group| group.remove_consumer(args.get(4)));
    stream.finish(false);
    if pending.is_some() {
        ctx.count_change(&key);
        ctx.effect_as_asked();
        ctx.notify(Classes::STREAM, "xgroup-delconsumer", &key);
    }
    ctx.out.int(pending.unwrap_or(0) as i64);
    Ok(())
}

pub(super) fn xack(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (key, args) = (ctx.key(1), ctx.args);
    let Some(mut stream) = ctx.data.edit::<Stream>(&key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let Some(group) = stream.group_mut(args.get(2)) else {
        ctx.out.int(0);
        return Ok(());
    };
    // All ids are checked before the first is acknowledged.
    for text in args.iter_from(3) {
        strict_id(text, 0)?;
    }
    let mut done = 0;
    for text in args.iter_from(3) {
        done += i64::from(group.acknowledge(strict_id(text, 0)?));
    }
    stream.finish(false);
    if done > 0 {
        ctx.count_change(&key);
        ctx.weigh(&key, done as usize);
        ctx.effect_as_asked();
    }
    ctx.out.int(done);
    Ok(())
}

pub(super) fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <number>]",
            "    Add a group that has got the entries up to an id.",
            "CREATECONSUMER <key> <group> <consumer>",
            "    Add a consumer to a group.",
            "DELCONSUMER <key> <group> <consumer>",
            "    Remove a consumer, with what is pending with it.",
            "DESTROY <key> <group>",
            "    Remove a group.",
            "SETID <key> <group> <id|$> [ENTRIESREAD <number>]",
            "    Say up to which id a group has got the entries.",
        ],
    );
    Ok(())
}
