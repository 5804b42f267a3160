//! The ids of stream entries: a time in milliseconds and a number within it, ordered by both.

use crate::integer::{MAX_LEN, format_u64, parse_u64};

/// The id of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Milliseconds, Unix time as a rule.
    pub ms: u64,
    /// Tells entries of the same millisecond apart.
    pub seq: u64,
}

/// An id as XADD takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdRequest {
    /// `*`: the next id, of now.
    Auto,
    /// `ms-*`: the next id within a millisecond.
    AutoSeq(u64),
    Given(StreamId),
}

impl StreamId {
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };
    /// The longest spelling.
    pub const MAX_TEXT: usize = 2 * MAX_LEN + 1;

    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The id right behind; `None` behind the last possible one.
    pub fn next(self) -> Option<Self> {
        match (self.ms, self.seq.checked_add(1)) {
            (ms, Some(seq)) => Some(Self { ms, seq }),
            (ms, None) => Some(Self { ms: ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The id right in front; `None` in front of the first.
    pub fn previous(self) -> Option<Self> {
        match (self.ms, self.seq.checked_sub(1)) {
            (ms, Some(seq)) => Some(Self { ms, seq }),
            (ms, None) => Some(Self { ms: ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// Reads `ms-seq`, or `ms` alone, which gets `missing_seq`.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        let text = as_c_string(text)?;
        match split(text) {
            (ms, Some(seq)) => Some(Self { ms: number(ms)?, seq: number(seq)? }),
            (ms, None) => Some(Self { ms: number(ms)?, seq: missing_seq }),
        }
    }

    /// As [`Self::parse`], and `-` for the smallest and `+` for the greatest id.
    pub fn parse_bound(text: &[u8], missing_seq: u64) -> Option<Self> {
        match text {
            b"-" => Some(Self::MIN),
            b"+" => Some(Self::MAX),
            _ => Self::parse(text, missing_seq),
        }
    }

    /// Reads an id as XADD takes it.
    pub fn parse_request(text: &[u8]) -> Option<IdRequest> {
        if text == b"*" {
            return Some(IdRequest::Auto);
        }
        match split(as_c_string(text)?) {
            (ms, Some(b"*")) => Some(IdRequest::AutoSeq(number(ms)?)),
            _ => Self::parse(text, 0).map(IdRequest::Given),
        }
    }

    /// Writes `ms-seq` into the end of `buffer` and returns the bytes written.
    pub fn format(self, buffer: &mut [u8; Self::MAX_TEXT]) -> &[u8] {
        let mut digits = [0; MAX_LEN];
        let mut at = buffer.len();
        let mut put = |text: &[u8]| {
            at -= text.len();
            buffer[at..at + text.len()].copy_from_slice(text);
        };
        put(format_u64(self.seq, &mut digits));
        put(b"-");
        put(format_u64(self.ms, &mut digits));
        &buffer[at..]
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// As Redis does, no more than 127 bytes are taken, and what comes after a zero byte is not seen.
fn as_c_string(text: &[u8]) -> Option<&[u8]> {
    if text.len() > 127 {
        return None;
    }
    text.split(|b| *b == 0).next()
}

fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|b| *b == b'-') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// A number in the spellings that Redis takes here: besides the canonical one, what C's `strtoull` reads to the end of
/// the text, that is, with white space and a sign in front and with leading zeros; a minus sign counts from 2^64 down.
fn number(text: &[u8]) -> Option<u64> {
    if let Some(value) = parse_u64(text) {
        return Some(value);
    }
    if crate::integer::parse_i64(text).is_some() {
        return None;
    }
    let start = text.iter().position(|b| !matches!(b, b' ' | b'\t'..=b'\r'))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(digit.into())
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        let id = |ms, seq| Some(StreamId { ms, seq });
        for (text, expected) in [
            ("5-7", id(5, 7)),
            ("5", id(5, 99)),
            ("18446744073709551615-18446744073709551615", Some(StreamId::MAX)),
            ("18446744073709551616-0", None),
            ("5-18446744073709551616", None),
            ("", None),
            ("-", None),
            ("+", None),
            ("5-", None),
            ("-5", None),
            ("5-7-9", None),
            ("5--1", None),
            ("5--01", id(5, u64::MAX)),
            ("+5- 007", id(5, 7)),
            ("5-7\0junk", id(5, 7)),
            ("0x5-1", None),
            ("5-*", None),
        ] {
            assert_eq!(StreamId::parse(text.as_bytes(), 99), expected, "{text:?}");
        }
        assert_eq!(StreamId::parse(&[b'0'; 128], 0), None);
        assert_eq!(StreamId::parse_bound(b"-", 0), Some(StreamId::MIN));
        assert_eq!(StreamId::parse_bound(b"+", 0), Some(StreamId::MAX));
        assert_eq!(StreamId::parse_request(b"*"), Some(IdRequest::Auto));
        assert_eq!(StreamId::parse_request(b"5-*"), Some(IdRequest::AutoSeq(5)));
        assert_eq!(StreamId::parse_request(b"5-**"), None);
        assert_eq!(StreamId::parse_request(b"5"), Some(IdRequest::Given(StreamId::new(5, 0))));
    }

    #[test]
    fn neighbours_carry_over_and_end() {
        assert_eq!(StreamId::new(1, u64::MAX).next(), Some(StreamId::new(2, 0)));
        assert_eq!(StreamId::new(2, 0).previous(), Some(StreamId::new(1, u64::MAX)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
    }

    #[test]
    fn ids_are_written_as_they_are_read() {
        for id in [StreamId::MIN, StreamId::MAX, StreamId::new(1_700_000_000_000, 12)] {
            let mut buffer = [0; StreamId::MAX_TEXT];
            let text = id.format(&mut buffer);
            assert_eq!(text, id.to_string().as_bytes());
            assert_eq!(StreamId::parse(text, 0), Some(id));
        }
    }
}
