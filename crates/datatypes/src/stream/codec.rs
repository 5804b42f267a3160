//! How numbers and texts are written in the blocks of a stream: read only forwards, so that a short text costs a single
//! byte more than itself.
//!
//! ```text
//! 0x00..=0x7f  a text of so many bytes, which follow
//! 0x80..=0xbf  a number, 0 to 63
//! 0xc0..=0xdf  a number, 64 to 8255: 13 bits, upper ones first
//! 0xe1..=0xe8  a number in 1 to 8 bytes, little-endian, two's complement
//! 0xf0         a text; its length as a varint and its bytes follow
//! ```

use crate::listpack::Item;

const SMALL_NUMBERS: i64 = 64;
const MEDIUM_NUMBERS: i64 = SMALL_NUMBERS + (1 << 13);
const LONG_TEXT: u8 = 0xf0;

/// Seven bits a byte, the lowest first; all but the last have the top bit set.
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[inline]
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

pub(super) fn put_item(bytes: &mut Vec<u8>, item: Item<'_>) {
    match item {
        Item::Int(value @ 0..SMALL_NUMBERS) => bytes.push(0x80 | value as u8),
        Item::Int(value @ SMALL_NUMBERS..MEDIUM_NUMBERS) => {
            let value = value - SMALL_NUMBERS;
            bytes.extend([0xc0 | (value >> 8) as u8, value as u8]);
        }
        Item::Int(value) => {
            // The sign needs a bit of its own.
            let significant = 65 - if value < 0 { !value } else { value }.leading_zeros() as usize;
            let len = significant.div_ceil(8);
            bytes.push(0xe0 | len as u8);
            bytes.extend_from_slice(&value.to_le_bytes()[..len]);
        }
        Item::Bytes(text) => {
            if text.len() < 0x80 {
                bytes.push(text.len() as u8);
            } else {
                bytes.push(LONG_TEXT);
                put_varint(bytes, text.len() as u64);
            }
            bytes.extend_from_slice(text);
        }
    }
}

/// The item at `at`, which moves behind it.
#[inline]
pub(super) fn item<'a>(bytes: &'a [u8], at: &mut usize) -> Item<'a> {
    let first = bytes[*at];
    *at += 1;
    let len = match first {
        0..0x80 => usize::from(first),
        0x80..0xc0 => return Item::Int(i64::from(first & 0x3f)),
        0xc0..0xe0 => {
            let value = i64::from(first & 0x1f) << 8 | i64::from(bytes[*at]);
            *at += 1;
            return Item::Int(value + SMALL_NUMBERS);
        }
        LONG_TEXT => varint(bytes, at) as usize,
        _ => {
            let len = usize::from(first & 0x0f);
            let number = &bytes[*at..*at + len];
            *at += len;
            let mut wide = [if number[len - 1] & 0x80 == 0 { 0 } else { 0xff }; 8];
            wide[..len].copy_from_slice(number);
            return Item::Int(i64::from_le_bytes(wide));
        }
    };
    let text = &bytes[*at..*at + len];
    *at += len;
    Item::Bytes(text)
}

/// Moves `at` behind the item that starts there.
#[inline]
pub(super) fn skip(bytes: &[u8], at: &mut usize) {
    let first = bytes[*at];
    *at += 1;
    *at += match first {
        0..0x80 => usize::from(first),
        0x80..0xc0 => 0,
        0xc0..0xe0 => 1,
        LONG_TEXT => varint(bytes, at) as usize,
        _ => usize::from(first & 0x0f),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_back() {
        let long = vec![b'x'; 70_000];
        let mut texts: Vec<Vec<u8>> = vec![vec![], b"a".to_vec(), vec![7; 127], vec![7; 128], long];
        let edges = [0, 63, 64, 8255, 8256, 127, 128, 32767, 32768, 1 << 23, i64::MAX - 1];
        for edge in edges {
            for value in [edge, edge + 1, -edge, -edge - 1] {
                texts.push(value.to_string().into_bytes());
            }
        }
        texts.push(i64::MIN.to_string().into_bytes());
        let mut bytes = Vec::new();
        for text in &texts {
            put_item(&mut bytes, Item::of(text));
        }
        let (mut at, mut skipped) = (0, 0);
        for text in &texts {
            assert!(item(&bytes, &mut at).eq_bytes(text), "{:?}", &text[..text.len().min(20)]);
            skip(&bytes, &mut skipped);
            assert_eq!(at, skipped);
        }
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn short_things_are_short() {
        for (text, len) in
            [("0", 1), ("63", 1), ("64", 2), ("8255", 2), ("-1", 2), ("8256", 3), ("abc", 4)]
        {
            let mut bytes = Vec::new();
            put_item(&mut bytes, Item::of(text.as_bytes()));
            assert_eq!(bytes.len(), len, "{text}");
        }
    }

    #[test]
    fn varints_come_back() {
        for value in [0, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut at = 0;
            assert_eq!(varint(&bytes, &mut at), value);
            assert_eq!(at, bytes.len());
        }
    }
}
