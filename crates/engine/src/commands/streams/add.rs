//! XADD, XTRIM, XDEL and XSETID: the entries of a stream change.

use respire_datatypes::integer::parse_i64;
use respire_datatypes::stream::{IdRequest, Stream, StreamId, StreamLimits, Trim, TrimBy};
use respire_keyspace::Key;

use super::{reply_id, strict_id};
use crate::config::Settings;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

const TOO_LARGE: Error = Error::fixed("ERR Elements are too large to be stored");
const NOT_GREATER: Error = Error::fixed(
    "ERR The ID specified in XADD is equal or smaller than the target stream top item",
);

/// What stands in front of the fields of XADD, or behind the key of XTRIM.
struct Options {
    trim: Option<Trim>,
    make: bool,
    /// The position of the id, in XADD.
    id_at: usize,
    id: Option<IdRequest>,
}

fn limits(settings: &Settings) -> StreamLimits {
    StreamLimits {
        node_bytes: settings.stream_node_max_bytes,
        node_entries: settings.stream_node_max_entries,
    }
}

fn options(ctx: &Ctx<'_, '_>, adds: bool) -> Result<Options, Error> {
    const TWO: Error = Error::fixed(
        "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
    );
    let mut found = Options { trim: None, make: true, id_at: ctx.args.len(), id: None };
    let mut limit = None;
    let mut i = 2;
    while i < ctx.args.len() {
        let option = ctx.args.get(i);
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        let value = ctx.args.try_get(i + 1);
        match value {
            _ if adds && option == b"*" => {
                (found.id, found.id_at) = (Some(IdRequest::Auto), i);
                break;
            }
            Some(_) if is(b"MAXLEN") || is(b"MINID") => {
                if found.trim.is_some() {
                    return Err(TWO);
                }
                let (trim, used) = threshold(ctx, i + 1, is(b"MAXLEN"))?;
                found.trim = Some(trim);
                i += used;
            }
            Some(value) if is(b"LIMIT") => {
                let number = parse_i64(value).ok_or(Error::NOT_INTEGER)?;
                let wrong = Error::fixed("ERR The LIMIT argument must be >= 0.");
                limit = Some(u64::try_from(number).map_err(|_| wrong)?);
                i += 1;
            }
            _ if adds && is(b"NOMKSTREAM") => found.make = false,
            _ if adds => {
                let id = StreamId::parse_request(option).ok_or(Error::STREAM_ID)?;
                (found.id, found.id_at) = (Some(id), i);
                break;
            }
            _ => return Err(Error::SYNTAX),
        }
        i += 1;
    }
    found.trim = limited(found.trim, limit, ctx.settings, adds)?;
    Ok(found)
}

/// Reads `[= | ~] threshold` at `at`. Returns the number of arguments that it takes, too.
fn threshold(ctx: &Ctx<'_, '_>, at: usize, by_len: bool) -> Result<(Trim, usize), Error> {
    let marked = ctx.args.len() > at + 1 && matches!(ctx.args.get(at), b"~" | b"=");
    let approximate = marked && ctx.args.get(at) == b"~";
    let value = ctx.args.get(at + usize::from(marked));
    let by = if by_len {
        let number = parse_i64(value).ok_or(Error::NOT_INTEGER)?;
        let wrong = Error::fixed("ERR The MAXLEN argument must be >= 0.");
        TrimBy::MaxLen(u64::try_from(number).map_err(|_| wrong)?)
    } else {
        TrimBy::MinId(strict_id(value, 0)?)
    };
    Ok((Trim { by, approximate, limit: 0 }, 1 + usize::from(marked)))
}

/// Applies LIMIT, or what holds without it: approximate trimming does not do too much at once.
fn limited(
    trim: Option<Trim>,
    limit: Option<u64>,
    settings: &Settings,
    adds: bool,
) -> Result<Option<Trim>, Error> {
    let Some(mut trim) = trim else {
        if limit.is_some_and(|limit| limit > 0) {
            return Err(Error::fixed(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if !adds {
            return Err(Error::fixed(
                "ERR syntax error, XTRIM must be called with a trimming strategy",
            ));
        }
        if limit.is_some() {
            return Err(LIMIT_IS_EXACT);
        }
        return Ok(None);
    };
    match limit {
        Some(_) if !trim.approximate => return Err(LIMIT_IS_EXACT),
        Some(limit) => trim.limit = limit,
        None if trim.approximate => {
            trim.limit = match settings.stream_node_max_entries.saturating_mul(100) {
                0 => 10_000,
                limit => limit.min(1_000_000),
            };
        }
        None => {}
    }
    Ok(Some(trim))
}

const LIMIT_IS_EXACT: Error =
    Error::fixed("ERR syntax error, LIMIT cannot be used without the special ~ option");

pub(super) fn xadd(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let options = options(ctx, true)?;
    let first = options.id_at + 1;
    let count = ctx.args.len().saturating_sub(first);
    let Some(request) = options.id.filter(|_| count >= 2 && count.is_multiple_of(2)) else {
        return Err(Error::arity(ctx.name()));
    };
    if request == IdRequest::Given(StreamId::MIN) {
        return Err(Error::fixed("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let args = ctx.args;
    let fields = (first..args.len()).map(|i| args.get(i));
    let too_large = fields.clone().map(<[u8]>::len).sum::<usize>() > Stream::MAX_BYTES;
    let key = ctx.key(1);
    let clock_ms = ctx.data.clock_ms();
    let limits = limits(ctx.settings);
    let mut stream = if options.make && !too_large {
        ctx.data.edit_or_create(&key, Stream::new)?
    } else {
        match ctx.data.edit(&key)? {
            Some(stream) => stream,
            None if options.make => return Err(TOO_LARGE),
            None => {
                ctx.out.null();
                return Ok(());
            }
        }
    };
    if stream.last_id() == StreamId::MAX {
        return Err(Error::fixed(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let id = stream.resolve(request, clock_ms).filter(|id| *id > stream.last_id());
    let id = id.ok_or(NOT_GREATER)?;
    stream.append(id, fields, limits).map_err(|_| TOO_LARGE)?;
    let (trimmed, cut_off) = options.trim.map_or((0, None), |trim| stream.trim(trim));
    let len = stream.len();
    stream.finish(true);
    ctx.data.discard(&key, cut_off);
    if ctx.journaled {
        tell_added(ctx, &key, id, first, options.trim.map(|_| len));
    }
    reply_id(ctx.out, id);
    ctx.notify(Classes::STREAM, "xadd", &key);
    if trimmed > 0 {
        ctx.notify(Classes::STREAM, "xtrim", &key);
    }
    Ok(())
}

/// The effect of XADD: the id is no longer up to the stream, and what is trimmed not up to its blocks.
fn tell_added(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    id: StreamId,
    first: usize,
    trimmed_to: Option<usize>,
) {
    let (id, len) = (id.to_string(), trimmed_to.unwrap_or(0).to_string());
    let mut parts: Vec<&[u8]> = vec![b"XADD", key.bytes];
    if trimmed_to.is_some() {
        parts.extend([b"MAXLEN".as_slice(), b"=", len.as_bytes()]);
    }
    parts.push(id.as_bytes());
    parts.extend(ctx.args.iter_from(first));
    ctx.effect(&parts);
}

pub(super) fn xtrim(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let options = options(ctx, false)?;
    let key = ctx.key(1);
    let (mut trimmed, mut len, mut cut_off) = (0, 0, None);
    if let Some(mut stream) = ctx.data.edit::<Stream>(&key)? {
        (trimmed, cut_off) = options.trim.map_or((0, None), |trim| stream.trim(trim));
        len = stream.len();
        stream.finish(trimmed > 0);
    }
    ctx.data.discard(&key, cut_off);
    if trimmed > 0 {
        if ctx.journaled {
            let len = len.to_string();
            ctx.effect(&[b"XTRIM", key.bytes, b"MAXLEN", b"=", len.as_bytes()]);
        }
        ctx.weigh(&key, trimmed as usize);
        ctx.notify(Classes::STREAM, "xtrim", &key);
    }
    ctx.out.int(trimmed as i64);
    Ok(())
}

pub(super) fn xdel(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let Some(mut stream) = ctx.data.edit::<Stream>(&key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    // All ids are checked before the first entry goes.
    for text in ctx.args.iter_from(2) {
        strict_id(text, 0)?;
    }
    let mut deleted = 0;
    for text in ctx.args.iter_from(2) {
        deleted += i64::from(stream.delete(strict_id(text, 0)?));
    }
    stream.finish(deleted > 0);
    if deleted > 0 {
        ctx.weigh(&key, deleted as usize);
        ctx.notify(Classes::STREAM, "xdel", &key);
    }
    ctx.out.int(deleted);
    Ok(())
}

pub(super) fn xsetid(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let id = strict_id(ctx.args.get(2), 0)?;
    let (mut added, mut max_deleted) = (None, StreamId::MIN);
    for i in (3..ctx.args.len()).step_by(2) {
        let (option, value) = (ctx.args.get(i), ctx.args.try_get(i + 1).ok_or(Error::SYNTAX)?);
        if option.eq_ignore_ascii_case(b"ENTRIESADDED") {
            let number = parse_i64(value).ok_or(Error::NOT_INTEGER)?;
            let wrong = Error::fixed("ERR entries_added must be positive");
            added = Some(u64::try_from(number).map_err(|_| wrong)?);
        } else if option.eq_ignore_ascii_case(b"MAXDELETEDID") {
            max_deleted = strict_id(value, 0)?;
            if id < max_deleted {
                return Err(Error::fixed(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let key = ctx.key(1);
    let mut stream = ctx.data.edit::<Stream>(&key)?.ok_or(Error::NO_SUCH_KEY)?;
    if !stream.is_empty() {
        if id < stream.last_entry_id() {
            return Err(Error::fixed(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < stream.len() as u64) {
            return Err(Error::fixed(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    if id < stream.max_deleted() {
        return Err(Error::fixed(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    stream.set_last_id(id);
    if let Some(added) = added {
        stream.set_added(added);
    }
    if max_deleted != StreamId::MIN {
        stream.set_max_deleted(max_deleted);
    }
    stream.finish(false);
    ctx.count_change(&key);
    ctx.effect_as_asked();
    ctx.out.ok();
    ctx.notify(Classes::STREAM, "xsetid", &key);
    Ok(())
}
