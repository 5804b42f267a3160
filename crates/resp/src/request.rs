//! Finds whole requests in a buffer. Nothing is copied and nothing is remembered: a request that has not fully arrived
//! is simply parsed again when more has come. Where that would become costly (a large argument, or many), the caller is
//! told to gather it in a [`LargeRequest`], which does remember.

use crate::inline;
use crate::{LARGE_BULK, LargeRequest, ProtocolError, Span};

/// Arguments that one request may have.
pub const MAX_ARGS: i64 = 1024 * 1024;
/// Bytes that an inline request, or one header line, may have.
pub const INLINE_MAX: usize = 64 * 1024;
/// Bytes of an unfinished request that may be parsed again; a longer one is gathered.
pub const STRAGGLER_MAX: usize = 16 * 1024;

/// What a client may send.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `proto-max-bulk-len`, bytes.
    pub max_bulk: i64,
    /// Before authentication, a request is limited to 10 arguments of 16 KiB, so that strangers cost little.
    pub authenticated: bool,
}

impl Limits {
    const STRANGER_ARGS: i64 = 10;
    const STRANGER_BULK: i64 = 16 * 1024;

    /// The number of arguments that follow, from the text of a `*` line.
    pub(crate) fn arg_count(&self, text: &[u8]) -> Result<i64, ProtocolError> {
        match parse_length(text) {
            Some(n) if n > MAX_ARGS => Err(ProtocolError::InvalidMultibulkLength),
            Some(n) if n > Self::STRANGER_ARGS && !self.authenticated => {
                Err(ProtocolError::UnauthenticatedMultibulkLength)
            }
            Some(n) => Ok(n),
            None if is_too_long(text) => Err(ProtocolError::TooBigMbulkCount),
            None => Err(ProtocolError::InvalidMultibulkLength),
        }
    }

    /// The length of the argument that follows, from the text of a `$` line.
    pub(crate) fn bulk_len(&self, text: &[u8]) -> Result<usize, ProtocolError> {
        match parse_length(text) {
            Some(n) if n < 0 || n > self.max_bulk => Err(ProtocolError::InvalidBulkLength),
            Some(n) if n > Self::STRANGER_BULK && !self.authenticated => {
                Err(ProtocolError::UnauthenticatedBulkLength)
            }
            Some(n) => Ok(n as usize),
            None if is_too_long(text) => Err(ProtocolError::TooBigBulkCount),
            None => Err(ProtocolError::InvalidBulkLength),
        }
    }
}

/// Whether a header line with this text would have been refused before its end arrived, had it come byte by byte.
fn is_too_long(text: &[u8]) -> bool {
    text.len() + 2 > INLINE_MAX
}

/// What is wrong with a line that should be an argument's header but begins with something else than a dollar sign:
/// known once the line is whole, or too long. The line may be empty.
#[cold]
pub(crate) fn no_dollar(line: &[u8]) -> Option<ProtocolError> {
    match memchr::memchr(b'\r', line) {
        Some(end) if end + 1 < line.len() && is_too_long(&line[1.min(end)..end]) => {
            Some(ProtocolError::TooBigBulkCount)
        }
        Some(end) if end + 1 < line.len() => Some(ProtocolError::ExpectedDollar(line[0])),
        _ if line.len() > INLINE_MAX => Some(ProtocolError::TooBigBulkCount),
        _ => None,
    }
}

/// What was found at the head of the buffer.
#[derive(Debug)]
pub enum Parsed {
    /// A request: its spans were appended, and the next one starts at `end`.
    Request { end: usize },
    /// Something that asks for nothing (an empty line, an empty array); the next request starts at `end`.
    Nothing { end: usize },
    /// An unfinished request; parse again from the same place when more has arrived.
    Incomplete,
    /// An unfinished request that is gathered from here on; all of the buffer was taken.
    Large(Box<LargeRequest>),
}

/// Parses requests out of one buffer.
#[derive(Debug, Clone, Copy)]
pub struct Parser {
    pub limits: Limits,
}

impl Parser {
    /// Parses the request that starts at `start`. Appends the spans of its arguments, and only if it is whole.
    ///
    /// `buf` is changed only where a whole inline request has quoted arguments.
    #[inline]
    pub fn parse(
        &self,
        buf: &mut [u8],
        start: usize,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        match buf.get(start) {
            None => Ok(Parsed::Incomplete),
            Some(b'*') if self.limits.max_bulk >= COMMON_MAX => match common(buf, start, spans) {
                Some(end) => Ok(Parsed::Request { end }),
                None => self.multibulk(buf, start, spans),
            },
            Some(b'*') => self.multibulk(buf, start, spans),
            Some(_) => inline_request(buf, start, spans),
        }
    }

    #[inline]
    fn multibulk(
        &self,
        buf: &[u8],
        start: usize,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        let Some((line, mut pos)) = header(buf, start + 1) else {
            return unfinished_header(buf, start, ProtocolError::TooBigMbulkCount);
        };
        let count = self.limits.arg_count(line)?;
        if count <= 0 {
            return Ok(Parsed::Nothing { end: pos });
        }
        let first = spans.len();
        for _ in 0..count {
            let before = pos;
            match self.bulk(buf, pos)? {
                Bulk::Whole { at, len, end } => {
                    spans.push(Span::new(at, len));
                    pos = end;
                }
                Bulk::NoHeader => {
                    let stays = self.leave(buf, start, before, count, first, None, spans);
                    return Ok(stays);
                }
                Bulk::Part { at, len } => {
                    let part = Some((at, len));
                    return Ok(self.leave(buf, start, before, count, first, part, spans));
                }
            }
        }
        Ok(Parsed::Request { end: pos })
    }

    #[inline]
    fn bulk(&self, buf: &[u8], pos: usize) -> Result<Bulk, ProtocolError> {
        let Some(&marker) = buf.get(pos) else { return Ok(Bulk::NoHeader) };
        if marker != b'$' {
            return no_dollar(&buf[pos..]).map_or(Ok(Bulk::NoHeader), Err);
        }
        let Some((line, at)) = header(buf, pos + 1) else {
            if buf.len() - pos > INLINE_MAX {
                return Err(ProtocolError::TooBigBulkCount);
            }
            return Ok(Bulk::NoHeader);
        };
        let len = self.limits.bulk_len(line)?;
        let end = at + len + 2;
        if end <= buf.len() { Ok(Bulk::Whole { at, len, end }) } else { Ok(Bulk::Part { at, len }) }
    }

    /// An unfinished request: leaves it in the buffer if it is small, else begins to gather it.
    #[cold]
    #[allow(clippy::too_many_arguments)] // the whole state of an unfinished parse
    fn leave(
        &self,
        buf: &[u8],
        start: usize,
        bulk_at: usize,
        count: i64,
        first: usize,
        part: Option<(usize, usize)>,
        spans: &mut Vec<Span>,
    ) -> Parsed {
        let large_part = part.is_some_and(|(_, len)| len >= LARGE_BULK);
        if !large_part && buf.len() - start <= STRAGGLER_MAX {
            spans.truncate(first);
            return Parsed::Incomplete;
        }
        let mut large = LargeRequest::new(self.limits, count as usize);
        for span in &spans[first..] {
            large.begin_with(&buf[span.start as usize..(span.start + span.len) as usize]);
        }
        spans.truncate(first);
        large
            .feed(&buf[bulk_at..])
            .map(|used| debug_assert_eq!(used, buf.len() - bulk_at))
            .expect("what was parsed once parses again");
        Parsed::Large(Box::new(large))
    }
}

/// The longest argument of a request that [`common`] parses.
const COMMON_MAX: i64 = 999;

/// Parses a whole request of up to nine arguments of up to 999 bytes, which even strangers may send: nearly all that is sent. A
/// header is one load and one comparison then. `None`, and no spans, for anything else: [`Parser::multibulk`] decides.
#[inline]
fn common(buf: &[u8], start: usize, spans: &mut Vec<Span>) -> Option<usize> {
    let head: [u8; 4] = buf.get(start..start + 4)?.try_into().expect("four bytes");
    let [b'*', count @ b'1'..=b'9', b'\r', b'\n'] = head else { return None };
    let first = spans.len();
    let mut pos = start + 4;
    for _ in b'0'..count {
        match common_bulk(buf, pos) {
            Some((at, len)) if at + len + 2 <= buf.len() => {
                spans.push(Span::new(at, len));
                pos = at + len + 2;
            }
            _ => {
                spans.truncate(first);
                return None;
            }
        }
    }
    Some(pos)
}

/// Where the argument lies whose header is at `pos`, and its length, if that has up to three digits.
#[inline]
fn common_bulk(buf: &[u8], pos: usize) -> Option<(usize, usize)> {
    // An argument's header, its first bytes and the end of its line.
    let head = u64::from_le_bytes(buf.get(pos..pos + 8)?.try_into().expect("eight bytes"));
    let digit = |i: u32| (head >> (8 * i) & 0xff).wrapping_sub(u64::from(b'0'));
    let (ones, tens) = (digit(1), digit(2));
    if ones > 9 {
        return None;
    }
    if head & 0xffff_00ff == ONE_DIGIT {
        return Some((pos + 4, ones as usize));
    }
    if ones == 0 || tens > 9 {
        return None;
    }
    if head & 0xff_ff00_00ff == TWO_DIGITS {
        return Some((pos + 5, (ones * 10 + tens) as usize));
    }
    let hundreds = (ones, tens, digit(3));
    (head & 0xffff_0000_00ff == THREE_DIGITS && hundreds.2 <= 9)
        .then(|| (pos + 6, (hundreds.0 * 100 + hundreds.1 * 10 + hundreds.2) as usize))
}

/// `$?\r\n`, `$??\r\n` and `$???\r\n` as they are loaded, the digits left out.
const ONE_DIGIT: u64 = u64::from_le_bytes(*b"$\0\r\n\0\0\0\0");
const TWO_DIGITS: u64 = u64::from_le_bytes(*b"$\0\0\r\n\0\0\0");
const THREE_DIGITS: u64 = u64::from_le_bytes(*b"$\0\0\0\r\n\0\0");

enum Bulk {
    Whole { at: usize, len: usize, end: usize },
    Part { at: usize, len: usize },
    NoHeader,
}

/// The text up to the next CR, and the position behind its LF. `None` if the line is not whole.
#[inline]
pub(crate) fn header(buf: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let rest = buf.get(start..)?;
    // Lengths of one and two digits are nearly all there is, and looking for them is cheaper than a search.
    let at = match rest {
        [b'\r', ..] => 0,
        [_, b'\r', ..] => 1,
        [_, _, b'\r', ..] => 2,
        _ => memchr::memchr(b'\r', rest)?,
    };
    (at + 1 < rest.len()).then(|| (&rest[..at], start + at + 2))
}

#[cold]
fn unfinished_header(
    buf: &[u8],
    start: usize,
    too_big: ProtocolError,
) -> Result<Parsed, ProtocolError> {
    if buf.len() - start > INLINE_MAX { Err(too_big) } else { Ok(Parsed::Incomplete) }
}

#[cold]
fn inline_request(
    buf: &mut [u8],
    start: usize,
    spans: &mut Vec<Span>,
) -> Result<Parsed, ProtocolError> {
    let Some(at) = memchr::memchr(b'\n', &buf[start..]) else {
        return unfinished_header(buf, start, ProtocolError::TooBigInline);
    };
    if at > INLINE_MAX {
        return Err(ProtocolError::TooBigInline);
    }
    let next = start + at + 1;
    let mut end = start + at;
    if end > start && buf[end - 1] == b'\r' {
        end -= 1;
    }
    let first = spans.len();
    inline::split(buf, start, end, spans)?;
    if spans.len() == first {
        return Ok(Parsed::Nothing { end: next });
    }
    Ok(Parsed::Request { end: next })
}

/// A length as Redis reads it: strict decimal, no plus sign, no blanks, no leading zeros.
#[inline]
pub(crate) fn parse_length(text: &[u8]) -> Option<i64> {
    match text {
        [d @ b'0'..=b'9'] => return Some(i64::from(d - b'0')),
        [a @ b'1'..=b'9', b @ b'0'..=b'9'] => {
            return Some(i64::from(a - b'0') * 10 + i64::from(b - b'0'));
        }
        _ => {}
    }
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if !matches!(digits, [b'1'..=b'9', ..]) || digits.len() > 19 {
        return None;
    }
    let mut value: i64 = 0;
    for d in digits {
        let d = d.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i64::from(d))?;
    }
    Some(if negative { -value } else { value })
}
