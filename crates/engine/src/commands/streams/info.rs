//! XINFO: streams, groups and consumers as they are.

use respire_datatypes::integer::parse_i64;
use respire_datatypes::stream::{Consumer, Group, Stream, StreamId};
use respire_resp::Out;

use super::range::{reply_one, reply_range};
use super::reply_id;
use crate::commands::reply_help;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

pub(super) fn stream(ctx: &mut Ctx<'_, '_>) -> Outcome {
    /// Entries of each list that FULL shows if no COUNT says otherwise.
    const SOME: i64 = 10;
    let (key, args) = (ctx.key(2), ctx.args);
    let stream = ctx.data.read_as::<Stream>(&key)?.ok_or(Error::NO_SUCH_KEY)?;
    let wrong = || Error::subcommand_syntax("xinfo", args.get(1));
    let is = |i: usize, word: &[u8]| args.get(i).eq_ignore_ascii_case(word);
    let limit = match args.len() {
        3 => {
            reply_stream(ctx.out, stream);
            return Ok(());
        }
        4 if is(3, b"FULL") => SOME,
        6 if is(3, b"FULL") && is(4, b"COUNT") => {
            parse_i64(args.get(5)).ok_or(Error::NOT_INTEGER)?
        }
        _ => return Err(wrong()),
    };
    let limit = match limit {
        0 => usize::MAX,
        ..0 => SOME as usize,
        limit => limit as usize,
    };
    reply_full(ctx.out, stream, limit);
    Ok(())
}

fn field_int(out: &mut Out, name: &str, value: i64) {
    out.bulk(name.as_bytes());
    out.int(value);
}

fn field_id(out: &mut Out, name: &str, id: StreamId) {
    out.bulk(name.as_bytes());
    reply_id(out, id);
}

fn field_known(out: &mut Out, name: &str, value: Option<i64>) {
    out.bulk(name.as_bytes());
    match value {
        Some(value) => out.int(value),
        None => out.null(),
    }
}

/// What XINFO STREAM tells with and without FULL: seven fields.
fn reply_common(out: &mut Out, stream: &Stream) {
    let blocks = stream.blocks() as i64;
    field_int(out, "length", stream.len() as i64);
    field_int(out, "radix-tree-keys", blocks);
    field_int(out, "radix-tree-nodes", blocks + 1);
    field_id(out, "last-generated-id", stream.last_id());
    field_id(out, "max-deleted-entry-id", stream.max_deleted());
    field_int(out, "entries-added", stream.added() as i64);
    field_id(out, "recorded-first-entry-id", stream.first_id());
}

fn reply_stream(out: &mut Out, stream: &Stream) {
    out.map(10);
    reply_common(out, stream);
    field_int(out, "groups", stream.groups().len() as i64);
    for (name, id) in [("first-entry", stream.first_id()), ("last-entry", stream.last_entry_id())] {
        out.bulk(name.as_bytes());
        if stream.is_empty() || !reply_one(out, stream, id) {
            out.null();
        }
    }
}

fn reply_full(out: &mut Out, stream: &Stream, limit: usize) {
    out.map(9);
    reply_common(out, stream);
    out.bulk(b"entries");
    reply_range(out, stream, StreamId::MIN, StreamId::MAX, limit, false);
    out.bulk(b"groups");
    out.array(stream.groups().len());
    for (name, group) in stream.groups() {
        out.map(7);
        reply_progress(out, stream, name, group);
        field_int(out, "pel-count", group.pending().len() as i64);
        out.bulk(b"pending");
        out.array(group.pending().len().min(limit));
        for (id, pending) in group.pending().iter().take(limit) {
            out.array(4);
            reply_id(out, *id);
            out.bulk(group.consumer(pending.consumer).name());
            out.int(pending.delivered_ms);
            out.int(pending.deliveries as i64);
        }
        out.bulk(b"consumers");
        out.array(group.consumers().len());
        for consumer in group.consumers() {
            reply_consumer_full(out, group, consumer, limit);
        }
    }
}

/// A group's name and how far it has read: four fields.
fn reply_progress(out: &mut Out, stream: &Stream, name: &[u8], group: &Group) {
    out.bulk(b"name");
    out.bulk(name);
    field_id(out, "last-delivered-id", group.last_id);
    field_known(out, "entries-read", group.entries_read.map(|read| read as i64));
    field_known(out, "lag", stream.lag(group));
}

fn reply_consumer_full(out: &mut Out, group: &Group, consumer: &Consumer, limit: usize) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(consumer.name());
    field_int(out, "seen-time", consumer.seen_ms);
    field_int(out, "active-time", consumer.active_ms.unwrap_or(-1));
    field_int(out, "pel-count", consumer.pending().len() as i64);
    out.bulk(b"pending");
    out.array(consumer.pending().len().min(limit));
    for id in consumer.pending().iter().take(limit) {
        let pending = group.pending()[id];
        out.array(3);
        reply_id(out, *id);
        out.int(pending.delivered_ms);
        out.int(pending.deliveries as i64);
    }
}

pub(super) fn groups(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    let stream = ctx.data.read_as::<Stream>(&key)?.ok_or(Error::NO_SUCH_KEY)?;
    let out = &mut *ctx.out;
    out.array(stream.groups().len());
    for (name, group) in stream.groups() {
        out.map(6);
        out.bulk(b"name");
        out.bulk(name);
        field_int(out, "consumers", group.consumers().len() as i64);
        field_int(out, "pending", group.pending().len() as i64);
        field_id(out, "last-delivered-id", group.last_id);
        field_known(out, "entries-read", group.entries_read.map(|read| read as i64));
        field_known(out, "lag", stream.lag(group));
    }
    Ok(())
}

pub(super) fn consumers(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (key, args, now_ms) = (ctx.key(2), ctx.args, ctx.data.now_ms);
    let stream = ctx.data.read_as::<Stream>(&key)?.ok_or(Error::NO_SUCH_KEY)?;
    let group = stream.group(args.get(3));
    let group = group.ok_or_else(|| Error::no_group(key.bytes, args.get(3)))?;
    let out = &mut *ctx.out;
    out.array(group.consumers().len());
    for consumer in group.consumers() {
        out.map(4);
        out.bulk(b"name");
        out.bulk(consumer.name());
        field_int(out, "pending", consumer.pending().len() as i64);
        field_int(out, "idle", (now_ms - consumer.seen_ms).max(0));
        field_int(out, "inactive", consumer.active_ms.map_or(-1, |at| (now_ms - at).max(0)));
    }
    Ok(())
}

pub(super) fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "CONSUMERS <key> <group>",
            "    The consumers of a group.",
            "GROUPS <key>",
            "    The groups of a stream.",
            "STREAM <key> [FULL [COUNT <number>]]",
            "    The stream itself; FULL shows entries, groups and consumers, too.",
        ],
    );
    Ok(())
}
