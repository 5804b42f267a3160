//! The framing of a file, and the strings and lengths in it, appended to a buffer of the caller.
//!
//! A file is [`header`], [`aux`] and [`function`] as wanted, for each database [`select_db`], [`resize_db`] and every
//! [`entry`], and [`eof`]. Nothing here can fail.

use respire_datatypes::integer::{self, MAX_LEN};
use respire_datatypes::listpack::Item;
use respire_datatypes::rest;

use crate::format::{encoding, opcode};
use crate::lzf;
use crate::value::put_value;
use crate::{Access, Checksum, ValueRef};

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Compress strings where that saves something.
    pub compress: bool,
}

/// The longest text that may be an integer.
const MAX_INT_TEXT: usize = 11;
/// Shorter strings are not compressed.
const MIN_COMPRESSED: usize = 21;

/// How every file begins. `version` is [`crate::format::VERSION`], unless a value needs more.
pub fn header(out: &mut Vec<u8>, version: u16) {
    out.extend_from_slice(format!("REDIS{version:04}").as_bytes());
}

/// Something about the file.
pub fn aux(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(opcode::AUX);
    string(out, name, Options { compress: false });
    string(out, value, Options { compress: false });
}

/// The entries that follow are of this database.
pub fn select_db(out: &mut Vec<u8>, db: u64) {
    out.push(opcode::SELECT_DB);
    length(out, db);
}

/// How many keys the database has, and how many of them expire.
pub fn resize_db(out: &mut Vec<u8>, keys: u64, expires: u64) {
    out.push(opcode::RESIZE_DB);
    length(out, keys);
    length(out, expires);
}

/// The code of a library of functions.
pub fn function(out: &mut Vec<u8>, code: &[u8], options: Options) {
    out.push(opcode::FUNCTION);
    string(out, code, options);
}

/// A key with its value, its expiry (Unix time in milliseconds) and its use.
pub fn entry(
    out: &mut Vec<u8>,
    key: &[u8],
    value: ValueRef<'_>,
    expire_ms: Option<i64>,
    access: Option<Access>,
    options: Options,
) {
    if let Some(at) = expire_ms {
        out.push(opcode::EXPIRE_MS);
        out.extend_from_slice(&at.to_le_bytes());
    }
    match access {
        Some(Access::Idle(seconds)) => {
            out.push(opcode::IDLE);
            length(out, seconds);
        }
        Some(Access::Freq(count)) => out.extend([opcode::FREQ, count]),
        None => {}
    }
    // The kind stands in front of the key, and is known when the value is.
    let at = out.len();
    out.push(0);
    string(out, key, options);
    out[at] = put_value(out, value, options);
}

/// Appends a value. Returns its kind.
pub fn value(out: &mut Vec<u8>, value: ValueRef<'_>, options: Options) -> u8 {
    put_value(out, value, options)
}

/// The end of a file, with the checksum of all bytes before; without, readers are told not to check.
pub fn eof(out: &mut Vec<u8>, before: Option<Checksum>) {
    out.push(opcode::EOF);
    let checksum = before.map_or(0, |mut checksum| {
        checksum.update(&[opcode::EOF]);
        checksum.value()
    });
    out.extend_from_slice(&checksum.to_le_bytes());
}

#[inline]
pub(crate) fn length(out: &mut Vec<u8>, value: u64) {
    if value < 1 << 6 {
        out.push(value as u8);
    } else if value < 1 << 14 {
        out.extend([0x40 | (value >> 8) as u8, value as u8]);
    } else if let Ok(value) = u32::try_from(value) {
        out.push(0x80);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// A string: as an integer if it is the spelling of one, compressed if that is wanted and saves something.
#[inline]
pub(crate) fn string(out: &mut Vec<u8>, text: &[u8], options: Options) {
    rest::step();
    if text.len() <= MAX_INT_TEXT
        && let Some(value) = integer::parse_i64(text)
        && put_int(out, value)
    {
        return;
    }
    if options.compress && text.len() >= MIN_COMPRESSED && compressed(out, text) {
        return;
    }
    length(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// The decimal text of an integer.
pub(crate) fn int(out: &mut Vec<u8>, value: i64) {
    if !put_int(out, value) {
        let mut buffer = [0; MAX_LEN];
        let text = integer::format_i64(value, &mut buffer);
        length(out, text.len() as u64);
        out.extend_from_slice(text);
    }
}

/// The text of an element.
pub(crate) fn item(out: &mut Vec<u8>, item: Item<'_>, options: Options) {
    rest::step();
    match item {
        Item::Int(value) => int(out, value),
        Item::Bytes(text) => string(out, text, options),
    }
}

/// Returns whether the format can hold it as an integer.
#[inline]
fn put_int(out: &mut Vec<u8>, value: i64) -> bool {
    const SPECIAL: u8 = 0xc0;
    if let Ok(value) = i8::try_from(value) {
        out.extend([SPECIAL | encoding::INT8, value as u8]);
    } else if let Ok(value) = i16::try_from(value) {
        let [a, b] = value.to_le_bytes();
        out.extend([SPECIAL | encoding::INT16, a, b]);
    } else if let Ok(value) = i32::try_from(value) {
        let [a, b, c, d] = value.to_le_bytes();
        out.extend([SPECIAL | encoding::INT32, a, b, c, d]);
    } else {
        return false;
    }
    true
}

/// Returns whether it was worth it.
fn compressed(out: &mut Vec<u8>, text: &[u8]) -> bool {
    const LZF: u8 = 0xc0 | encoding::LZF;
    // The compressed text moves behind its head, which tells its length.
    let start = out.len();
    if !lzf::compress(text, out) {
        return false;
    }
    let compressed = out.len() - start;
    out.push(LZF);
    length(out, compressed as u64);
    length(out, text.len() as u64);
    out[start..].rotate_left(compressed);
    true
}
