//! XLEN, XRANGE and XREVRANGE.

use std::ops::ControlFlow;

use respire_datatypes::integer::parse_i64;
use respire_datatypes::stream::{Entry, Stream, StreamId};
use respire_resp::Out;

use super::{end_of, reply_entry, start_of};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

pub(super) fn xlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let len = ctx.data.read_as::<Stream>(&key)?.map_or(0, Stream::len);
    ctx.out.int(len as i64);
    Ok(())
}

pub(super) fn xrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    range(ctx, [2, 3], false)
}

pub(super) fn xrevrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    range(ctx, [3, 2], true)
}

/// `bounds` are the positions of the smaller and of the greater id.
fn range(ctx: &mut Ctx<'_, '_>, bounds: [usize; 2], back: bool) -> Outcome {
    let start = start_of(ctx.args.get(bounds[0]))?;
    let end = end_of(ctx.args.get(bounds[1]))?;
    let mut count = None;
    for i in (4..ctx.args.len()).step_by(2) {
        let value = ctx.args.try_get(i + 1).ok_or(Error::SYNTAX)?;
        if !ctx.args.get(i).eq_ignore_ascii_case(b"COUNT") {
            return Err(Error::SYNTAX);
        }
        count = Some(parse_i64(value).ok_or(Error::NOT_INTEGER)?.max(0) as usize);
    }
    let key = ctx.key(1);
    match (ctx.data.read_as::<Stream>(&key)?, count) {
        (None, _) => ctx.out.array(0),
        (Some(_), Some(0)) => ctx.out.null_array(),
        (Some(stream), count) => {
            reply_range(ctx.out, stream, start, end, count.unwrap_or(usize::MAX), back);
        }
    }
    Ok(())
}

/// Replies with up to `limit` entries from `start` to `end`, both included.
pub(super) fn reply_range(
    out: &mut Out,
    stream: &Stream,
    start: StreamId,
    end: StreamId,
    limit: usize,
    back: bool,
) {
    let whole = start <= stream.first_id() && end >= stream.last_id();
    let count = if whole { stream.len().min(limit) } else { count(stream, start, end, limit) };
    out.array(count);
    let mut left = count;
    if left == 0 {
        return;
    }
    let each = |entry: Entry<'_>| {
        reply_entry(out, entry);
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    if back {
        stream.for_each_back(start, end, each);
    } else {
        stream.for_each(start, end, each);
    }
}

/// The number of entries from `start` to `end`, or `limit` if there are more.
fn count(stream: &Stream, start: StreamId, end: StreamId, limit: usize) -> usize {
    let mut count = 0;
    if limit > 0 {
        stream.for_each(start, end, |_| {
            count += 1;
            if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    count
}

/// Replies with one entry. Returns whether it is there; if not, nothing is written.
pub(super) fn reply_one(out: &mut Out, stream: &Stream, id: StreamId) -> bool {
    let mut found = false;
    stream.for_each(id, id, |entry| {
        reply_entry(out, entry);
        found = true;
        ControlFlow::Break(())
    });
    found
}
