//! Where a value ends. Nothing is decoded or kept; what is inside of strings is not looked at.

use crate::cursor::Cursor;
use crate::error::RdbError;
use crate::format::{Family, kind, module};

/// Moves behind a value.
pub(crate) fn skip_value(
    cursor: &mut Cursor<'_>,
    kind: u8,
    family: Family,
) -> Result<(), RdbError> {
    match kind {
        kind::STRING
        | kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::ZSET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::ZSET_LISTPACK
        | kind::SET_LISTPACK => cursor.skip_text(),
        kind::LIST | kind::SET | kind::LIST_QUICKLIST => each(cursor, Cursor::skip_text),
        kind::HASH => each(cursor, |cursor| {
            cursor.skip_text()?;
            cursor.skip_text()
        }),
        kind::ZSET => each(cursor, |cursor| {
            cursor.skip_text()?;
            skip_text_score(cursor)
        }),
        kind::ZSET_2 => each(cursor, |cursor| {
            cursor.skip_text()?;
            cursor.take(8).map(drop)
        }),
        kind::LIST_QUICKLIST_2 => each(cursor, |cursor| {
            cursor.length()?;
            cursor.skip_text()
        }),
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => skip_stream(cursor, kind),
        kind::MODULE_2 => {
            cursor.length()?;
            skip_module(cursor)
        }
        kind::HASH_META_PRE_GA_OR_VALKEY_HASH if family == Family::Valkey => {
            each(cursor, |cursor| {
                cursor.skip_text()?;
                cursor.skip_text()?;
                cursor.take(8).map(drop)
            })
        }
        kind::HASH_META_PRE_GA_OR_VALKEY_HASH if family == Family::Redis => {
            each(cursor, skip_timed_field)
        }
        kind::HASH_META if family == Family::Redis => {
            cursor.take(8)?;
            each(cursor, skip_timed_field)
        }
        kind::HASH_LISTPACK_EX_PRE_GA if family == Family::Redis => cursor.skip_text(),
        kind::HASH_LISTPACK_EX if family == Family::Redis => {
            cursor.take(8)?;
            cursor.skip_text()
        }
        _ => Err(RdbError::Unknown { what: "kind of value", number: kind }),
    }
}

/// A count, and as many things. Each thing has at least a byte, so that the count cannot outlast the input.
pub(crate) fn each<'a>(
    cursor: &mut Cursor<'a>,
    mut skip: impl FnMut(&mut Cursor<'a>) -> Result<(), RdbError>,
) -> Result<(), RdbError> {
    let count = cursor.length()?;
    for done in 0..count {
        if let Err(error) = skip(cursor) {
            cursor.missing = cursor.missing.saturating_add(count - done - 1);
            return Err(error);
        }
    }
    Ok(())
}

fn skip_timed_field(cursor: &mut Cursor<'_>) -> Result<(), RdbError> {
    cursor.length()?;
    cursor.skip_text()?;
    cursor.skip_text()
}

/// A score as text, whose length says more from 253 on.
fn skip_text_score(cursor: &mut Cursor<'_>) -> Result<(), RdbError> {
    match cursor.byte()? {
        253.. => Ok(()),
        len => cursor.take(len.into()).map(drop),
    }
}

fn skip_stream(cursor: &mut Cursor<'_>, kind: u8) -> Result<(), RdbError> {
    each(cursor, |cursor| {
        cursor.skip_text()?;
        cursor.skip_text()
    })?;
    // The number of entries and the last id; then the first and the last deleted id, and how many were added.
    for _ in 0..if kind >= kind::STREAM_2 { 8 } else { 3 } {
        cursor.length()?;
    }
    each(cursor, |cursor| {
        cursor.skip_text()?;
        for _ in 0..if kind >= kind::STREAM_2 { 3 } else { 2 } {
            cursor.length()?;
        }
        each(cursor, |cursor| {
            cursor.take(16 + 8)?;
            cursor.length().map(drop)
        })?;
        each(cursor, |cursor| {
            cursor.skip_text()?;
            cursor.take(if kind >= kind::STREAM_3 { 16 } else { 8 })?;
            each(cursor, |cursor| cursor.take(16).map(drop))
        })
    })
}

/// What a module wrote, to the end of it.
pub(crate) fn skip_module(cursor: &mut Cursor<'_>) -> Result<(), RdbError> {
    loop {
        match cursor.length()? {
            module::EOF => return Ok(()),
            module::SINT | module::UINT => drop(cursor.length()?),
            module::FLOAT => drop(cursor.take(4)?),
            module::DOUBLE => drop(cursor.take(8)?),
            module::STRING => cursor.skip_text()?,
            _ => return Err(RdbError::Corrupt("module value")),
        }
    }
}

/// The name in a module's id: nine characters of six bits, then ten bits of version.
pub(crate) fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|i| char::from(CHARACTERS[(id >> (58 - 6 * i)) as usize & 0x3f])).collect()
}
