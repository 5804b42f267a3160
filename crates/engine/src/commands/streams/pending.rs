//! XPENDING, XCLAIM and XAUTOCLAIM: what was delivered and not acknowledged, and whose it is.

use respire_datatypes::integer::parse_i64;
use respire_datatypes::stream::{ConsumerId, Group, Pending, Stream, StreamId};
use respire_keyspace::Key;
use respire_resp::Out;

use super::groups::{heard_of, tell_pending};
use super::range::reply_one;
use super::{end_of, reply_id, start_of, strict_id};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

/// The entries that XPENDING is asked for.
struct Asked {
    start: StreamId,
    end: StreamId,
    count: usize,
    min_idle: i64,
    /// The position of the consumer.
    consumer: Option<usize>,
}

fn asked(ctx: &Ctx<'_, '_>) -> Result<Option<Asked>, Error> {
    let len = ctx.args.len();
    if len == 3 {
        return Ok(None);
    }
    if !(6..=9).contains(&len) {
        return Err(Error::SYNTAX);
    }
    let (mut at, mut min_idle) = (3, 0);
    if ctx.args.get(3).eq_ignore_ascii_case(b"IDLE") {
        min_idle = parse_i64(ctx.args.get(4)).ok_or(Error::NOT_INTEGER)?;
        if len < 8 {
            return Err(Error::SYNTAX);
        }
        at = 5;
    }
    let count = parse_i64(ctx.args.get(at + 2)).ok_or(Error::NOT_INTEGER)?.max(0) as usize;
    let start = start_of(ctx.args.get(at))?;
    let end = end_of(ctx.args.get(at + 1))?;
    let consumer = (at + 3 < len).then_some(at + 3);
    Ok(Some(Asked { start, end, count, min_idle, consumer }))
}

pub(super) fn xpending(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let asked = asked(ctx)?;
    let (key, args, now_ms) = (ctx.key(1), ctx.args, ctx.data.now_ms);
    let stream = ctx.data.read_as::<Stream>(&key)?;
    let group = stream.and_then(|stream| stream.group(args.get(2)));
    let group = group.ok_or_else(|| Error::no_group_at(key.bytes, args.get(2), ""))?;
    let Some(asked) = asked else {
        reply_summary(ctx.out, group);
        return Ok(());
    };
    let consumer = match asked.consumer.map(|i| group.find_consumer(args.get(i))) {
        Some(None) => {
            ctx.out.array(0);
            return Ok(());
        }
        Some(found) => found,
        None => None,
    };
    let found = select(group, &asked, consumer, now_ms);
    ctx.out.array(found.len());
    for (id, pending) in found {
        ctx.out.array(4);
        reply_id(ctx.out, id);
        ctx.out.bulk(group.consumer(pending.consumer).name());
        ctx.out.int((now_ms - pending.delivered_ms).max(0));
        ctx.out.int(pending.deliveries as i64);
    }
    Ok(())
}

fn select(
    group: &Group,
    asked: &Asked,
    consumer: Option<ConsumerId>,
    now_ms: i64,
) -> Vec<(StreamId, Pending)> {
    if asked.start > asked.end {
        return Vec::new();
    }
    let idle = |pending: &Pending| {
        asked.min_idle == 0 || now_ms.saturating_sub(pending.delivered_ms) >= asked.min_idle
    };
    let range = asked.start..=asked.end;
    match consumer {
        Some(consumer) => {
            let ids = group.consumer(consumer).pending().range(range);
            let all = ids.map(|id| (*id, group.pending()[id]));
            all.filter(|(_, pending)| idle(pending)).take(asked.count).collect()
        }
        None => {
            let all = group.pending().range(range).map(|(id, pending)| (*id, *pending));
            all.filter(|(_, pending)| idle(pending)).take(asked.count).collect()
        }
    }
}

fn reply_summary(out: &mut Out, group: &Group) {
    out.array(4);
    out.int(group.pending().len() as i64);
    let ends = group.pending().first_key_value().zip(group.pending().last_key_value());
    let Some(((first, _), (last, _))) = ends else {
        out.null();
        out.null();
        out.null_array();
        return;
    };
    reply_id(out, *first);
    reply_id(out, *last);
    let busy = || group.consumers().filter(|consumer| !consumer.pending().is_empty());
    out.array(busy().count());
    for consumer in busy() {
        out.array(2);
        out.bulk(consumer.name());
        out.bulk_int(consumer.pending().len() as i64);
    }
}

/// The options of XCLAIM.
struct Claim {
    min_idle: i64,
    /// The ids are the arguments from 5 to here.
    ids_end: usize,
    delivered_ms: i64,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

fn claim(ctx: &Ctx<'_, '_>) -> Result<Claim, Error> {
    let now_ms = ctx.data.clock_ms();
    let number = |text: &[u8], wrong: &'static str| parse_i64(text).ok_or(Error::fixed(wrong));
    let min_idle = number(ctx.args.get(4), "ERR Invalid min-idle-time argument for XCLAIM")?.max(0);
    let is_id = |i: &usize| StreamId::parse(ctx.args.get(*i), 0).is_some();
    let ids_end = 5 + (5..ctx.args.len()).take_while(is_id).count();
    let mut claim = Claim {
        min_idle,
        ids_end,
        delivered_ms: -1,
        deliveries: None,
        force: false,
        just_id: false,
        last_id: StreamId::MIN,
    };
    let mut i = ids_end;
    while i < ctx.args.len() {
        let option = ctx.args.get(i);
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        match ctx.args.try_get(i + 1) {
            _ if is(b"FORCE") => claim.force = true,
            _ if is(b"JUSTID") => claim.just_id = true,
            Some(value) => {
                if is(b"IDLE") {
                    let idle = number(value, "ERR Invalid IDLE option argument for XCLAIM")?;
                    claim.delivered_ms = now_ms.wrapping_sub(idle);
                } else if is(b"TIME") {
                    claim.delivered_ms =
                        number(value, "ERR Invalid TIME option argument for XCLAIM")?;
                } else if is(b"RETRYCOUNT") {
                    let count = number(value, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                    claim.deliveries = u64::try_from(count).ok();
                } else if is(b"LASTID") {
                    claim.last_id = strict_id(value, 0)?;
                } else {
                    return Err(unknown_option(option));
                }
                i += 1;
            }
            None => return Err(unknown_option(option)),
        }
        i += 1;
    }
    // A time that makes no sense is not worth an error: the client's clock may be a little ahead.
    if claim.delivered_ms < 0 || claim.delivered_ms > now_ms {
        claim.delivered_ms = now_ms;
    }
    Ok(claim)
}

fn unknown_option(option: &[u8]) -> Error {
    Error::quoting("ERR Unrecognized XCLAIM option '", option, "'")
}

/// Checks that the group at argument 2 of the stream at argument 1 is there.
fn check_group(ctx: &mut Ctx<'_, '_>, key: &Key<'_>) -> Result<(), Error> {
    let name = ctx.args.get(2);
    let found = ctx.data.read_as::<Stream>(key)?.and_then(|stream| stream.group(name));
    found.map(|_| ()).ok_or_else(|| Error::no_group_at(key.bytes, name, ""))
}

pub(super) fn xclaim(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (key, args, now_ms) = (ctx.key(1), ctx.args, ctx.data.clock_ms());
    check_group(ctx, &key)?;
    let claim = claim(ctx)?;
    let consumer = heard_of(ctx, &key, args.get(2), args.get(3))?;
    let Some(mut stream) = ctx.data.edit::<Stream>(&key)? else { return Ok(()) };
    let (mut claimed, mut gone) = (Vec::new(), Vec::new());
    for i in 5..claim.ids_end {
        let id = strict_id(args.get(i), 0)?;
        let exists = stream.contains(id);
        let Some(group) = stream.group_mut(args.get(2)) else { continue };
        group.last_id = group.last_id.max(claim.last_id);
        if !exists {
            // Nobody can be done with what is gone.
            if group.acknowledge(id) {
                gone.push(id);
            }
            continue;
        }
        let before = match group.pending().get(&id) {
            Some(pending) => *pending,
            None if claim.force => Pending { consumer, delivered_ms: i64::MIN, deliveries: 1 },
            None => continue,
        };
        if claim.min_idle > 0 && now_ms.saturating_sub(before.delivered_ms) < claim.min_idle {
            continue;
        }
        let more = before.deliveries + u64::from(!claim.just_id);
        let deliveries = claim.deliveries.unwrap_or(more);
        group.set_pending(id, Pending { consumer, delivered_ms: claim.delivered_ms, deliveries });
        group.consumer_mut(consumer).active_ms = Some(now_ms);
        claimed.push(id);
    }
    reply_claimed(ctx.out, &stream, &claimed, claim.just_id);
    stream.finish(false);
    if !claimed.is_empty() || !gone.is_empty() {
        ctx.count_change(&key);
        ctx.weigh(&key, claimed.len() + gone.len());
    }
    tell_claimed(ctx, &key, consumer, &claimed, &gone);
    Ok(())
}

fn reply_claimed(out: &mut Out, stream: &Stream, claimed: &[StreamId], just_id: bool) {
    out.array(claimed.len());
    for id in claimed {
        if just_id {
            reply_id(out, *id);
        } else {
            reply_one(out, stream, *id);
        }
    }
}

pub(super) fn xautoclaim(ctx: &mut Ctx<'_, '_>) -> Outcome {
    /// Pending entries that are looked at for each one that is wanted.
    const ATTEMPTS: usize = 10;
    let (key, args, now_ms) = (ctx.key(1), ctx.args, ctx.data.now_ms);
    let min_idle = parse_i64(args.get(4))
        .ok_or(Error::fixed("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?
        .max(0);
    let start = start_of(args.get(5))?;
    let (mut count, mut just_id) = (100, false);
    let mut i = 6;
    while i < args.len() {
        let option = args.get(i);
        match args.try_get(i + 1) {
            Some(value) if option.eq_ignore_ascii_case(b"COUNT") => {
                count = claim_count(value)?;
                i += 1;
            }
            _ if option.eq_ignore_ascii_case(b"JUSTID") => just_id = true,
            _ => return Err(Error::SYNTAX),
        }
        i += 1;
    }
    check_group(ctx, &key)?;
    let consumer = heard_of(ctx, &key, args.get(2), args.get(3))?;
    let Some(mut stream) = ctx.data.edit::<Stream>(&key)? else { return Ok(()) };
    let Some(group) = stream.group(args.get(2)) else { return Ok(()) };
    let (mut claimed, mut gone) = (Vec::new(), Vec::new());
    let mut pending = group.pending().range(start..);
    for (id, before) in pending.by_ref().take(count * ATTEMPTS) {
        if !stream.contains(*id) {
            gone.push(*id);
        } else if min_idle == 0 || now_ms.saturating_sub(before.delivered_ms) >= min_idle {
            claimed.push((*id, *before));
        }
        if claimed.len() + gone.len() == count {
            break;
        }
    }
    let next = pending.next().map_or(StreamId::MIN, |(id, _)| *id);
    if let Some(group) = stream.group_mut(args.get(2)) {
        for (id, before) in &claimed {
            let deliveries = before.deliveries + u64::from(!just_id);
            group.set_pending(*id, Pending { consumer, delivered_ms: now_ms, deliveries });
            group.consumer_mut(consumer).active_ms = Some(now_ms);
        }
        for id in &gone {
            group.acknowledge(*id);
        }
    }
    ctx.out.array(3);
    reply_id(ctx.out, next);
    let claimed: Vec<StreamId> = claimed.into_iter().map(|(id, _)| id).collect();
    reply_claimed(ctx.out, &stream, &claimed, just_id);
    ctx.out.array(gone.len());
    for id in &gone {
        reply_id(ctx.out, *id);
    }
    stream.finish(false);
    if !claimed.is_empty() || !gone.is_empty() {
        ctx.count_change(&key);
        ctx.weigh(&key, claimed.len() + gone.len());
    }
    tell_claimed(ctx, &key, consumer, &claimed, &gone);
    Ok(())
}

/// The effects of XCLAIM and XAUTOCLAIM.
fn tell_claimed(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    consumer: ConsumerId,
    claimed: &[StreamId],
    gone: &[StreamId],
) {
    let group = ctx.args.get(2);
    tell_pending(ctx, key, group, consumer, claimed);
    let gone: Vec<String> = gone.iter().map(StreamId::to_string).collect();
    let gone: Vec<&[u8]> = gone.iter().map(String::as_bytes).collect();
    ctx.effect_on_each(&[b"XACK", key.bytes, group], &gone);
}

fn claim_count(text: &[u8]) -> Result<usize, Error> {
    /// As many ids of 16 bytes as an address space has room for.
    const MOST: i64 = i64::MAX / 16;
    let count = parse_i64(text).filter(|count| (1..=MOST).contains(count));
    count.map(|count| count as usize).ok_or(Error::fixed("ERR COUNT must be > 0"))
}
