//! XREAD and XREADGROUP: what is new in several streams, to one client or to a group, now or as soon as there is some.

use std::ops::{Bound, ControlFlow, Range};

use respire_datatypes::integer::parse_i64;
use respire_datatypes::stream::{ConsumerId, Pending, Stream, StreamId};
use respire_keyspace::Key;
use respire_resp::{Args, Out, OwnedArgs, Proto};

use super::groups::tell_pending;
use super::range::{reply_one, reply_range};
use super::{reply_entry, reply_id, strict_id};
use crate::blocking::{Wait, Wants, timeout_of_millis};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

/// The arguments of XREAD and XREADGROUP.
struct Request {
    /// Entries of each stream at most.
    count: usize,
    /// Whether to wait, and how many milliseconds if not for ever.
    block: Option<Option<u64>>,
    /// The positions of the group and the consumer.
    group: Option<usize>,
    /// Entries do not become pending.
    no_ack: bool,
    /// The positions of the keys; the ids follow.
    keys: Range<usize>,
}

/// Which entries are wanted of a stream.
#[derive(Clone, Copy)]
enum Since {
    /// Those behind this one.
    Id(StreamId),
    /// Those that the group has not got.
    New,
}

/// Whether an XREAD may have to wait.
pub(super) fn may_wait(args: &Args<'_>) -> bool {
    args.iter_from(1).any(|arg| arg.eq_ignore_ascii_case(b"BLOCK"))
}

fn request(ctx: &Ctx<'_, '_>, grouped: bool) -> Result<Request, Error> {
    let args = &ctx.args;
    let mut found =
        Request { count: usize::MAX, block: None, group: None, no_ack: false, keys: 0..0 };
    let only_for_groups = |option: &str| {
        Error::text(format!(
            "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
        ))
    };
    let mut i = 1;
    loop {
        let option = args.try_get(i).ok_or(Error::SYNTAX)?;
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        let value = args.try_get(i + 1);
        match value {
            Some(value) if is(b"BLOCK") => {
                found.block = Some(timeout_of_millis(value, ctx.data.now_ms)?);
                i += 1;
            }
            Some(value) if is(b"COUNT") => {
                let count = parse_i64(value).ok_or(Error::NOT_INTEGER)?;
                found.count = if count <= 0 { usize::MAX } else { count as usize };
                i += 1;
            }
            Some(_) if is(b"STREAMS") => break,
            Some(_) if is(b"GROUP") && i + 2 < args.len() => {
                if !grouped {
                    return Err(only_for_groups("GROUP"));
                }
                found.group = Some(i + 1);
                i += 2;
            }
            _ if is(b"NOACK") => {
                if !grouped {
                    return Err(only_for_groups("NOACK"));
                }
                found.no_ack = true;
            }
            _ => return Err(Error::SYNTAX),
        }
        i += 1;
    }
    let first = i + 1;
    let count = args.len() - first;
    if !count.is_multiple_of(2) {
        return Err(Error::text(format!(
            "ERR Unbalanced '{}' list of streams: for each stream key an ID{} must be specified.",
            ctx.name(),
            if grouped { " or '>'" } else { ", '+', or '$'" }
        )));
    }
    if grouped && found.group.is_none() {
        return Err(Error::fixed("ERR Missing GROUP option for XREADGROUP"));
    }
    found.keys = first..first + count / 2;
    Ok(found)
}

impl Request {
    /// The position of the id of the key at `i`.
    fn id_at(&self, i: usize) -> usize {
        i + self.keys.len()
    }
}

/// Starts the reply, and the part of it that belongs to one stream.
fn reply_streams(out: &mut Out, count: usize) {
    match out.proto {
        Proto::Resp2 => out.array(count),
        Proto::Resp3 => out.map(count),
    }
}

fn reply_stream(out: &mut Out, key: &[u8]) {
    if out.proto == Proto::Resp2 {
        out.array(2);
    }
    out.bulk(key);
}

pub(super) fn xread(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let request = request(ctx, false)?;
    let mut since = Vec::with_capacity(request.keys.len());
    for i in request.keys.clone() {
        since.push(since_id(ctx, &request, i)?);
    }
    let mut ready = Vec::new();
    for (i, since) in request.keys.clone().zip(&since) {
        let key = ctx.key(i);
        if let Some(stream) = ctx.data.read_as::<Stream>(&key)?
            && stream.last_id() > *since
            && stream.last_entry_id() > *since
        {
            ready.push((key, *since));
        }
    }
    if ready.is_empty() {
        return wait(ctx, &request, Wants::Stream, Some(&since));
    }
    reply_streams(ctx.out, ready.len());
    for (key, since) in ready {
        if let Some(stream) = ctx.data.read_as::<Stream>(&key)? {
            reply_stream(ctx.out, key.bytes);
            let start = since.next().unwrap_or(StreamId::MAX);
            reply_range(ctx.out, stream, start, StreamId::MAX, request.count, false);
        }
    }
    Ok(())
}

/// The id behind which XREAD reads the stream at `i`.
fn since_id(ctx: &mut Ctx<'_, '_>, request: &Request, i: usize) -> Result<StreamId, Error> {
    let key = ctx.key(i);
    let stream = ctx.data.read_as::<Stream>(&key)?;
    match ctx.args.get(request.id_at(i)) {
        b"$" => Ok(stream.map_or(StreamId::MIN, Stream::last_id)),
        // Just the last entry, if there is one.
        b"+" => {
            Ok(stream.map_or(StreamId::MIN, |stream| match stream.last_entry_id().previous() {
                Some(before) if !stream.is_empty() => before,
                _ => stream.last_id(),
            }))
        }
        b">" => Err(Error::fixed(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        text => strict_id(text, 0),
    }
}

/// Waits, if that is asked for: with the ids that `since` has found for the words among them.
fn wait(
    ctx: &mut Ctx<'_, '_>,
    request: &Request,
    wants: Wants,
    since: Option<&[StreamId]>,
) -> Outcome {
    let Some(timeout_ms) = request.block else {
        ctx.out.null_array();
        return Ok(());
    };
    let args = since.map(|since| {
        let mut args = OwnedArgs::default();
        ctx.args.iter_from(0).take(request.keys.end).for_each(|arg| args.push(arg));
        since.iter().for_each(|id| args.push(id.to_string().as_bytes()));
        args
    });
    ctx.block(Wait { keys: request.keys.clone().collect(), wants, timeout_ms, args })
}

pub(super) fn xreadgroup(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let request = request(ctx, true)?;
    let mut wanted = Vec::with_capacity(request.keys.len());
    for i in request.keys.clone() {
        wanted.push(wanted_of_group(ctx, &request, i)?);
    }
    let mut ready = Vec::new();
    for (i, since) in request.keys.clone().zip(&wanted) {
        let key = ctx.key(i);
        let consumer = consumer(ctx, &key, &request)?;
        let group = ctx.args.get(request.group.unwrap_or_default());
        match since {
            Since::Id(id) => ready.push((key, consumer, Since::Id(*id))),
            Since::New => {
                // A stream that is named again goes on where the one before it ends.
                let before = ready.iter().filter(|(other, _, since)| {
                    other.bytes == key.bytes && matches!(since, Since::New)
                });
                let before = request.count.saturating_mul(before.count());
                let Some(stream) = ctx.data.read_as::<Stream>(&key)? else { continue };
                if has_more_than(stream, group, before) {
                    ready.push((key, consumer, Since::New));
                }
            }
        }
    }
    if ready.is_empty() {
        return wait(ctx, &request, Wants::Group, None);
    }
    reply_streams(ctx.out, ready.len());
    for (key, consumer, since) in ready {
        reply_stream(ctx.out, key.bytes);
        match since {
            Since::Id(id) => reply_pending(ctx, &key, consumer, &request, id)?,
            Since::New => deliver(ctx, &key, consumer, &request)?,
        }
    }
    Ok(())
}

/// Whether there are more than `count` entries that a group has not got.
fn has_more_than(stream: &Stream, group: &[u8], count: usize) -> bool {
    let Some(group) = stream.group(group) else { return false };
    if stream.last_id() <= group.last_id {
        return false;
    }
    if count == 0 {
        return stream.last_entry_id() > group.last_id;
    }
    let start = group.last_id.next().unwrap_or(StreamId::MAX);
    let mut left = count.saturating_add(1);
    stream.for_each(start, StreamId::MAX, |_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    left == 0
}

/// What XREADGROUP reads of the stream at `i`, whose group must be there.
fn wanted_of_group(ctx: &mut Ctx<'_, '_>, request: &Request, i: usize) -> Result<Since, Error> {
    let key = ctx.key(i);
    let group = ctx.args.get(request.group.unwrap_or_default());
    let found = ctx.data.read_as::<Stream>(&key)?.and_then(|stream| stream.group(group));
    if found.is_none() {
        return Err(Error::no_group_at(key.bytes, group, " in XREADGROUP with GROUP option"));
    }
    match ctx.args.get(request.id_at(i)) {
        b"$" => Err(Error::fixed(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer \
             by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty \
             result set.",
        )),
        b">" => Ok(Since::New),
        text => strict_id(text, 0).map(Since::Id),
    }
}

/// The consumer, which is made if it is not there. Its group must be.
fn consumer(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, request: &Request) -> Result<ConsumerId, Error> {
    let at = request.group.unwrap_or_default();
    let (group, name) = (ctx.args.get(at), ctx.args.get(at + 1));
    super::groups::heard_of(ctx, key, group, name)
}

/// Replies with entries that the group has not got, which it then has.
fn deliver(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    consumer: ConsumerId,
    request: &Request,
) -> Outcome {
    let name = ctx.args.get(request.group.unwrap_or_default());
    let now_ms = ctx.data.now_ms;
    let Some(mut stream) = ctx.data.edit::<Stream>(key)? else { return Ok(()) };
    let Some(group) = stream.group(name) else { return Ok(()) };
    let start = group.last_id.next().unwrap_or(StreamId::MAX);
    let mut ids = Vec::new();
    stream.for_each(start, StreamId::MAX, |entry| {
        ids.push(entry.id);
        if ids.len() == request.count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    ctx.out.array(ids.len());
    let mut left = ids.len();
    stream.for_each(start, StreamId::MAX, |entry| {
        reply_entry(ctx.out, entry);
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let pending =
        (!request.no_ack).then_some(Pending { consumer, delivered_ms: now_ms, deliveries: 1 });
    stream.deliver(name, consumer, &ids, pending);
    if let Some(group) = stream.group_mut(name) {
        group.consumer_mut(consumer).active_ms = Some(now_ms);
    }
    stream.finish(false);
    if !ids.is_empty() {
        ctx.count_change(key);
    }
    tell_pending(ctx, key, name, consumer, &ids);
    Ok(())
}

/// Replies with the entries behind `since` that are pending with the consumer, which count as delivered once more.
fn reply_pending(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    consumer: ConsumerId,
    request: &Request,
    since: StreamId,
) -> Outcome {
    let name = ctx.args.get(request.group.unwrap_or_default());
    let now_ms = ctx.data.now_ms;
    let Some(mut stream) = ctx.data.edit::<Stream>(key)? else { return Ok(()) };
    let Some(group) = stream.group(name) else { return Ok(()) };
    let pending = group.pending_of(consumer, Bound::Excluded(since)).take(request.count);
    let pending: Vec<_> = pending.collect();
    ctx.out.array(pending.len());
    let mut ids = Vec::new();
    for (id, pending) in pending {
        if !reply_one(ctx.out, &stream, id) {
            ctx.out.array(2);
            reply_id(ctx.out, id);
            ctx.out.null_array();
        } else if let Some(group) = stream.group_mut(name) {
            let deliveries = pending.deliveries + 1;
            group.set_pending(id, Pending { consumer, delivered_ms: now_ms, deliveries });
            ids.push(id);
        }
    }
    stream.finish(false);
    tell_pending(ctx, key, name, consumer, &ids);
    Ok(())
}
