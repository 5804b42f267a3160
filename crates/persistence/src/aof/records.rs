//! The requests of an append-only file, found one after the other. Stricter than what a client may send: requests are
//! arrays of strings and nothing else, each byte of the framing is looked at, and comments stand between requests.
//!
//! Nothing is reserved for a length before the bytes are there.

use std::io::{self, Read};

use respire_resp::{Args, Span};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Bytes that a header line may have: a sign and the digits of a 64-bit number.
const HEADER_MAX: usize = 20;
/// Arguments that a request may have.
const ARGS_MAX: u64 = 1024 * 1024;
/// Bytes that a comment may have.
const COMMENT_MAX: usize = 1024;

/// What is found at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// The spans of its arguments were added; it ends here.
    Request {
        end: usize,
    },
    Comment {
        end: usize,
    },
    /// It goes on behind what is there.
    Incomplete,
}

/// What [`Records`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Request,
    Comment,
    /// More has to be read to go on.
    Used,
}

/// Goes through the requests of a file, which is read as they are needed.
pub(crate) struct Records<'a> {
    source: &'a mut dyn Read,
    buffer: Vec<u8>,
    /// Where `buffer` begins in the file.
    start: u64,
    /// In `buffer`: where the last record began, and where the next one does.
    begin: usize,
    next: usize,
    spans: Vec<Span>,
}

impl<'a> Records<'a> {
    /// `buffer` has been read from `source` already, and is at `start` in the file.
    pub(crate) fn new(source: &'a mut dyn Read, buffer: Vec<u8>, start: u64) -> Self {
        Self { source, buffer, start, begin: 0, next: 0, spans: Vec::new() }
    }

    /// Goes to the next record. An error says what is wrong with it.
    pub(crate) fn step(&mut self) -> Result<Step, &'static str> {
        self.begin = self.next;
        self.spans.clear();
        match next(&self.buffer, self.begin, &mut self.spans)? {
            Record::Request { end } => {
                self.next = end;
                Ok(Step::Request)
            }
            Record::Comment { end } => {
                self.next = end;
                Ok(Step::Comment)
            }
            Record::Incomplete => Ok(Step::Used),
        }
    }

    /// Reads on. Returns whether there was more.
    pub(crate) fn refill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.next);
        self.start += self.next as u64;
        (self.begin, self.next) = (0, 0);
        let before = self.buffer.len();
        // More each time, so that a long argument is not looked at again and again.
        let piece = PIECE.max(before) as u64;
        (&mut *self.source).take(piece).read_to_end(&mut self.buffer)?;
        Ok(self.buffer.len() > before)
    }

    /// The arguments of the last request.
    pub(crate) fn args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.spans)
    }

    /// The Unix time in seconds that the last record tells, if it is a comment that does.
    pub(crate) fn timestamp(&self) -> Option<i64> {
        let text = self.buffer[self.begin..self.next].strip_prefix(b"#TS:")?;
        std::str::from_utf8(text).ok()?.trim_end().parse().ok()
    }

    /// Where in the file the last record began.
    pub(crate) fn place(&self) -> u64 {
        self.start + self.begin as u64
    }

    /// Where in the file the next record begins.
    pub(crate) fn position(&self) -> u64 {
        self.start + self.next as u64
    }

    /// Bytes that have been read and are no record yet.
    pub(crate) fn unfinished(&self) -> usize {
        self.buffer.len() - self.next
    }

    /// Reads to the end; returns the size of the file in bytes.
    pub(crate) fn size(self) -> io::Result<u64> {
        let rest = io::copy(self.source, &mut io::sink())?;
        Ok(self.start + self.buffer.len() as u64 + rest)
    }
}

/// What begins at `at`. An error says what is wrong with it.
pub(crate) fn next(
    buffer: &[u8],
    at: usize,
    spans: &mut Vec<Span>,
) -> Result<Record, &'static str> {
    match buffer.get(at) {
        None => return Ok(Record::Incomplete),
        Some(b'#') => return comment(buffer, at),
        Some(_) => {}
    }
    let Some((count, mut pos)) = header(buffer, at, b'*')? else { return Ok(Record::Incomplete) };
    if !(1..=ARGS_MAX).contains(&count) {
        return Err("a request with an impossible number of arguments");
    }
    let first = spans.len();
    for _ in 0..count {
        let Some((len, start)) = header(buffer, pos, b'$')? else {
            spans.truncate(first);
            return Ok(Record::Incomplete);
        };
        let end = start as u64 + len;
        if end - at as u64 >= u64::from(u32::MAX) - 2 {
            return Err("a request with an impossible length");
        }
        let end = end as usize;
        let behind = buffer.get(end..).unwrap_or_default();
        if behind.len() < 2 {
            if !b"\r\n".starts_with(behind) {
                return Err("an argument that is longer than it says");
            }
            spans.truncate(first);
            return Ok(Record::Incomplete);
        }
        if !behind.starts_with(b"\r\n") {
            return Err("an argument that is longer than it says");
        }
        spans.push(Span::new(start, len as usize));
        pos = end + 2;
    }
    Ok(Record::Request { end: pos })
}

fn comment(buffer: &[u8], at: usize) -> Result<Record, &'static str> {
    match memchr::memchr(b'\n', &buffer[at..]) {
        Some(len) => Ok(Record::Comment { end: at + len + 1 }),
        None if buffer.len() - at > COMMENT_MAX => Err("a comment without an end"),
        None => Ok(Record::Incomplete),
    }
}

/// A line of a marker and a number, and where the next one begins; `None` if it is not whole.
fn header(buffer: &[u8], at: usize, marker: u8) -> Result<Option<(u64, usize)>, &'static str> {
    let Some(found) = buffer.get(at) else { return Ok(None) };
    if *found != marker {
        return Err(if marker == b'*' { "no request" } else { "no argument" });
    }
    let mut number: u64 = 0;
    for (i, byte) in buffer[at + 1..].iter().enumerate() {
        match byte {
            b'0'..=b'9' if i < HEADER_MAX => {
                let digit = u64::from(byte - b'0');
                // More than any limit is enough.
                number = number.saturating_mul(10).saturating_add(digit).min(u64::from(u32::MAX));
            }
            b'\r' if i > 0 => {
                return match buffer.get(at + 2 + i) {
                    None => Ok(None),
                    Some(b'\n') => Ok(Some((number, at + 3 + i))),
                    Some(_) => Err("a line without an end"),
                };
            }
            _ => return Err("no number"),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_framing_counts() {
        let whole = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        let mut spans = Vec::new();
        assert_eq!(next(whole, 0, &mut spans), Ok(Record::Request { end: whole.len() }));
        assert_eq!(spans, [Span::new(8, 3), Span::new(17, 1)]);
        for len in 0..whole.len() {
            spans.clear();
            assert_eq!(next(&whole[..len], 0, &mut spans), Ok(Record::Incomplete), "{len}");
            assert!(spans.is_empty());
        }
        for at in 0..whole.len() {
            let mut other = whole.to_vec();
            other[at] ^= 0x80;
            let in_text = (8..11).contains(&at) || at == 17;
            assert_eq!(next(&other, 0, &mut spans).is_err(), !in_text, "{at}");
        }
        for bad in
            ["*0\r\n", "*-1\r\n", "*9999999\r\n", "*1\r\n$99999999999999999999\r\n", "PING\r\n"]
        {
            assert!(next(bad.as_bytes(), 0, &mut spans).is_err(), "{bad:?}");
        }
        assert_eq!(next(b"#TS:1\r\n*", 0, &mut spans), Ok(Record::Comment { end: 7 }));
    }
}
