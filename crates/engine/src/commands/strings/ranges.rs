//! Parts of strings: APPEND, GETRANGE, SETRANGE, STRLEN.

use std::sync::Arc;

use respire_datatypes::integer::parse_i64;
use respire_keyspace::{NewValue, Ttl};

use super::value_of;
use crate::ctx::{Ctx, text_of};
use crate::error::{Error, Outcome};
use crate::notify::Classes;

pub(super) fn append(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let text = ctx.args.get(2);
    let max = ctx.settings.proto_max_bulk_len;
    let len = match ctx.data.write(&key) {
        Some(mut entry) => {
            let len = text_of(entry.get())?.len() + text.len();
            if len as u64 > max {
                return Err(Error::TOO_LONG);
            }
            entry.modify(|value| value.extend_from_slice(text));
            len
        }
        None => {
            let value = value_of(&ctx.args, 2);
            ctx.data.insert(&key, value, Ttl::Clear);
            text.len()
        }
    };
    ctx.notify(Classes::STRING, "append", &key);
    ctx.out.int(len as i64);
    Ok(())
}

pub(super) fn strlen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let len = match ctx.data.read(&key) {
        Some(entry) => text_of(entry)?.len(),
        None => 0,
    };
    ctx.out.int(len as i64);
    Ok(())
}

pub(super) fn getrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let start = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let end = parse_i64(ctx.args.get(3)).ok_or(Error::NOT_INTEGER)?;
    let key = ctx.key(1);
    let Some(entry) = ctx.data.read(&key) else {
        ctx.out.bulk(b"");
        return Ok(());
    };
    let text = text_of(entry)?;
    let Some((from, to)) = byte_range(start, end, text.len()) else {
        ctx.out.bulk(b"");
        return Ok(());
    };
    match entry.share() {
        Some(shared) => ctx.out.bulk_shared(&shared, from, to),
        None => text.with_bytes(|bytes| ctx.out.bulk(&bytes[from..to])),
    }
    Ok(())
}

/// The part from `start` to `end` (inclusive, negative from the end) of `len` bytes; `None` if it is empty.
fn byte_range(start: i64, end: i64, len: usize) -> Option<(usize, usize)> {
    let len = len as i64;
    // A range that ends before the string is empty, wherever it begins.
    let at = |position: i64| if position < 0 { position + len } else { position };
    let (start, end) = (at(start).max(0), at(end).min(len - 1));
    (start <= end).then(|| (start as usize, end as usize + 1))
}

pub(super) fn setrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let offset = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    if offset < 0 {
        return Err(Error::OFFSET);
    }
    let text = ctx.args.get(3);
    let end = (offset as u64).checked_add(text.len() as u64);
    let fits = end.is_some_and(|end| end <= ctx.settings.proto_max_bulk_len);
    let key = ctx.key(1);
    let offset = offset as usize;
    let len = match ctx.data.write(&key) {
        Some(entry) if text.is_empty() => text_of(entry.get())?.len(),
        None if text.is_empty() => 0,
        Some(entry) if !fits => return Err(text_of(entry.get()).err().unwrap_or(Error::TOO_LONG)),
        None if !fits => return Err(Error::TOO_LONG),
        Some(mut entry) => {
            text_of(entry.get())?;
            let mut len = 0;
            entry.modify(|value| {
                overwrite(value, offset, text);
                len = value.len();
            });
            len
        }
        None => {
            let mut value = Vec::new();
            overwrite(&mut value, offset, text);
            let len = value.len();
            let new = if len < 256 {
                NewValue::Modified(&value)
            } else {
                NewValue::Shared(Arc::new(value))
            };
            ctx.data.insert(&key, new, Ttl::Clear);
            len
        }
    };
    if !text.is_empty() {
        ctx.notify(Classes::STRING, "setrange", &key);
    }
    ctx.out.int(len as i64);
    Ok(())
}

fn overwrite(value: &mut Vec<u8>, offset: usize, text: &[u8]) {
    let end = offset + text.len();
    if value.len() < end {
        value.resize(end, 0);
    }
    value[offset..end].copy_from_slice(text);
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn ranges_are_clipped_to_the_string() {
        let mut h = Harness::new();
        h.line("SET k abcde");
        let mut range = |start: &str, end: &str| {
            let reply = h.line(&format!("GETRANGE k {start} {end}"));
            assert_eq!(h.line(&format!("SUBSTR k {start} {end}")), reply);
            reply.split("\r\n").nth(1).expect("a bulk").to_owned()
        };
        for (start, end, part) in [
            ("0", "-1", "abcde"),
            ("-99", "99", "abcde"),
            ("-2", "-1", "de"),
            ("3", "1", ""),
            ("5", "9", ""),
            ("0", "-5", "a"),
            ("0", "-6", ""),
            ("-9", "-6", ""),
            ("-9", "-9", ""),
            ("-9223372036854775808", "9223372036854775807", "abcde"),
            ("9223372036854775807", "-9223372036854775808", ""),
        ] {
            assert_eq!(range(start, end), part, "{start} {end}");
        }
        assert_eq!(h.line("GETRANGE none 0 -1"), "$0\r\n\r\n");
    }
}
