//! Layouts that Redis no longer writes: the ziplist, forerunner of the listpack, and the zipmap before it.

use respire_datatypes::listpack::{Item, Listpack};

use crate::cursor::Cursor;
use crate::error::RdbError;

const ZIPMAP: RdbError = RdbError::Corrupt("Zipmap");
/// Ends both.
const END: u8 = 0xff;
/// In both: the length is in the four bytes that follow.
const WIDE: u8 = 254;

/// The elements of a ziplist.
///
/// ```text
/// total bytes (u32) | offset of the last element (u32) | elements (u16, 65535 = count them) | element* | 0xff
/// element: bytes of the one before (u8, or 254 and a u32) | encoding and data
/// ```
pub(crate) fn ziplist(bytes: &[u8], what: &'static str) -> Result<Listpack, RdbError> {
    let corrupt = || RdbError::Corrupt(what);
    const HEADER: usize = 10;
    let mut cursor = Cursor::new(bytes);
    let mut field = || cursor.array().map_err(|_| corrupt());
    let (total, tail) = (field()?, field()?);
    let count = u16::from_le_bytes(cursor.array().map_err(|_| corrupt())?);
    if u32::from_le_bytes(total) as usize != bytes.len() || bytes.len() > Listpack::MAX_BYTES {
        return Err(corrupt());
    }
    let mut pack = Listpack::with_capacity(bytes.len());
    let (mut before, mut last, mut found) = (0, HEADER, 0_usize);
    loop {
        let at = bytes.len() - cursor.rest.len();
        let stated = match cursor.byte().map_err(|_| corrupt())? {
            END if cursor.is_empty() => break,
            END => return Err(corrupt()),
            WIDE => u32::from_le_bytes(cursor.array().map_err(|_| corrupt())?) as usize,
            stated => stated.into(),
        };
        if stated != before {
            return Err(corrupt());
        }
        pack.push_back_item(ziplist_element(&mut cursor).map_err(|_| corrupt())?);
        (last, before) = (at, bytes.len() - cursor.rest.len() - at);
        found += 1;
    }
    if last != u32::from_le_bytes(tail) as usize || count != u16::MAX && usize::from(count) != found
    {
        return Err(corrupt());
    }
    Ok(pack)
}

fn ziplist_element<'a>(cursor: &mut Cursor<'a>) -> Result<Item<'a>, RdbError> {
    let first = cursor.byte()?;
    let len = match first >> 6 {
        0 => usize::from(first),
        1 => usize::from(first & 0x3f) << 8 | usize::from(cursor.byte()?),
        2 => u32::from_be_bytes(cursor.array()?) as usize,
        _ => {
            return Ok(Item::Int(match first {
                0xc0 => i16::from_le_bytes(cursor.array()?).into(),
                0xd0 => i32::from_le_bytes(cursor.array()?).into(),
                0xe0 => i64::from_le_bytes(cursor.array()?),
                0xf0 => {
                    let [a, b, c] = cursor.array()?;
                    i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
                }
                0xfe => i8::from_le_bytes(cursor.array()?).into(),
                0xf1..=0xfd => i64::from(first & 0x0f) - 1,
                _ => return Err(RdbError::Corrupt("Ziplist")),
            }));
        }
    };
    Ok(Item::of(cursor.take(len)?))
}

/// The keys and values of a zipmap, in turn.
///
/// ```text
/// pairs (u8, 254 = count them) | (length | key | length | bytes of room behind the value (u8) | value | room)* | 0xff
/// length: u8 below 254, or 254 and a u32
/// ```
pub(crate) fn zipmap(bytes: &[u8]) -> Result<Listpack, RdbError> {
    let mut pack = Listpack::with_capacity(bytes.len());
    zipmap_pairs(bytes, &mut pack).map_err(|_| ZIPMAP)?;
    Ok(pack)
}

fn zipmap_pairs(bytes: &[u8], pack: &mut Listpack) -> Result<(), RdbError> {
    if bytes.len() > Listpack::MAX_BYTES / 2 {
        return Err(ZIPMAP);
    }
    let mut cursor = Cursor::new(bytes);
    let count = cursor.byte()?;
    let mut found = 0;
    while let Some(len) = zipmap_length(&mut cursor)? {
        let key = cursor.take(len)?;
        let len = zipmap_length(&mut cursor)?.ok_or(ZIPMAP)?;
        let room = cursor.byte()?;
        let value = cursor.take(len)?;
        cursor.take(room.into())?;
        pack.push_back(key);
        pack.push_back(value);
        found += 1;
    }
    // An empty one was never written.
    if found == 0 || !cursor.is_empty() || count < WIDE && usize::from(count) != found {
        return Err(ZIPMAP);
    }
    Ok(())
}

/// `None` at the end.
fn zipmap_length(cursor: &mut Cursor<'_>) -> Result<Option<usize>, RdbError> {
    Ok(match cursor.byte()? {
        END => None,
        WIDE => Some(u32::from_le_bytes(cursor.array()?) as usize),
        len => Some(len.into()),
    })
}
