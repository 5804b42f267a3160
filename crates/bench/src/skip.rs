//! Counts replies without reading them.
//!
//! Owns: the position inside a stream of RESP2 or RESP3 replies that arrives in arbitrary pieces.
//! Refuses: values. A benchmark needs to know how many replies came, how many were errors and how many were
//! null, and what the first error said; everything else is stepped over.
//! Invariant: how a stream is cut into pieces never changes what is counted.
//!
//! A reply is finished when as many elements were seen as its headers announced, so nesting needs one counter
//! and no stack. Push messages (`>`) and attributes (`|`) belong to no request and are not counted.

use std::fmt;

/// The longest header that carries a number: a type byte, a sign, 19 digits, CR LF, with some room.
const MAX_HEADER: usize = 64;
/// How much of the first error's text is kept.
const MAX_ERROR_TEXT: usize = 256;

/// The stream is not RESP. Holds the reason, fit for a message.
#[derive(Debug, PartialEq, Eq)]
pub struct ProtocolError(pub String);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the reply is not RESP: {}", self.0)
    }
}

impl std::error::Error for ProtocolError {}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// At a header, of which `partial` may hold the beginning.
    Header,
    /// In the rest of a line whose text does not matter; `cr` says that the last byte was CR.
    Line { cr: bool },
    /// This many bytes of a bulk and its CR LF are to come.
    Body(u64),
}

/// Steps over replies; see the module's text.
#[derive(Debug)]
pub struct Skipper {
    state: State,
    /// Elements still to be seen before the reply at hand is finished; 0 between replies.
    pending: u64,
    /// The reply at hand is a push message.
    push: bool,
    /// Text of the line or body at hand goes to `first_error`.
    capture: bool,
    partial: Vec<u8>,
    error_text: Vec<u8>,
    /// Replies that were errors, also inside aggregates (a failed command of EXEC counts).
    pub errors: u64,
    /// Replies, or elements of them, that were null: the misses of GET and MGET.
    pub nulls: u64,
}

impl Default for Skipper {
    fn default() -> Self {
        Skipper {
            state: State::Header,
            pending: 0,
            push: false,
            capture: false,
            partial: Vec::new(),
            error_text: Vec::new(),
            errors: 0,
            nulls: 0,
        }
    }
}

impl Skipper {
    /// Takes the next piece of the stream and returns how many replies ended in it.
    pub fn feed(&mut self, input: &[u8]) -> Result<u64, ProtocolError> {
        let mut replies = 0;
        let mut at = 0;
        while at < input.len() {
            at = match self.state {
                State::Header => self.header(input, at, &mut replies)?,
                State::Line { cr } => self.line(input, at, cr, &mut replies)?,
                State::Body(rest) => self.body(input, at, rest, &mut replies)?,
            };
        }
        Ok(replies)
    }

    /// The first error's text, as far as it has arrived.
    pub fn first_error(&self) -> Option<String> {
        (self.errors > 0).then(|| String::from_utf8_lossy(&self.error_text).into_owned())
    }

    fn header(
        &mut self,
        input: &[u8],
        at: usize,
        replies: &mut u64,
    ) -> Result<usize, ProtocolError> {
        if self.partial.is_empty() {
            let kind = input[at];
            if self.pending == 0 {
                self.pending = 1;
                self.push = kind == b'>';
            }
            if matches!(kind, b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_') {
                self.simple(kind);
                return self.line(input, at + 1, false, replies);
            }
            return match read_number(&input[at + 1..])? {
                Some((value, used)) => {
                    self.sized(kind, value, replies)?;
                    let at = at + 1 + used;
                    match self.state {
                        State::Body(rest) if at < input.len() => {
                            self.body(input, at, rest, replies)
                        }
                        _ => Ok(at),
                    }
                }
                None => {
                    check_sized(kind)?;
                    self.partial.extend_from_slice(&input[at..]);
                    Ok(input.len())
                }
            };
        }
        self.partial.push(input[at]);
        if let Some((value, _)) = read_number(&self.partial[1..])? {
            let kind = self.partial[0];
            self.partial.clear();
            self.sized(kind, value, replies)?;
        }
        Ok(at + 1)
    }

    fn simple(&mut self, kind: u8) {
        match kind {
            b'-' => {
                self.capture = self.errors == 0;
                self.errors += 1;
            }
            b'_' => self.nulls += 1,
            _ => {}
        }
    }

    /// A header with a number was read: a bulk's length or an aggregate's size.
    fn sized(&mut self, kind: u8, value: i64, replies: &mut u64) -> Result<(), ProtocolError> {
        check_sized(kind)?;
        if value < 0 {
            if value != -1 || !matches!(kind, b'$' | b'*') {
                return Err(ProtocolError(format!("the length {value}")));
            }
            self.nulls += 1;
            self.element(replies);
            return Ok(());
        }
        let value = value as u64;
        let children = match kind {
            b'$' | b'=' | b'!' => {
                if kind == b'!' {
                    self.capture = self.errors == 0;
                    self.errors += 1;
                }
                self.state = State::Body(
                    value
                        .checked_add(2)
                        .ok_or_else(|| ProtocolError(format!("the length {value}")))?,
                );
                return Ok(());
            }
            b'%' | b'|' => value.checked_mul(2),
            _ => Some(value),
        };
        self.pending = children
            .and_then(|children| self.pending.checked_add(children))
            .ok_or_else(|| ProtocolError(format!("an aggregate of {value}")))?;
        // An attribute comes before an element and is none itself.
        if kind != b'|' {
            self.element(replies);
        }
        Ok(())
    }

    fn line(
        &mut self,
        input: &[u8],
        at: usize,
        cr: bool,
        replies: &mut u64,
    ) -> Result<usize, ProtocolError> {
        let rest = &input[at..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            self.keep(rest);
            self.state = State::Line { cr: rest.last().map_or(cr, |&last| last == b'\r') };
            return Ok(input.len());
        };
        let closed = if end == 0 { cr } else { rest[end - 1] == b'\r' };
        if !closed {
            return Err(ProtocolError("a line feed with no carriage return".into()));
        }
        self.keep(&rest[..end]);
        self.finish_text();
        self.element(replies);
        Ok(at + end + 1)
    }

    fn body(
        &mut self,
        input: &[u8],
        at: usize,
        rest: u64,
        replies: &mut u64,
    ) -> Result<usize, ProtocolError> {
        let piece = usize::try_from(rest).unwrap_or(usize::MAX).min(input.len() - at);
        let bytes = &input[at..at + piece];
        let left = rest - piece as u64;
        // The last two of the `rest` bytes are CR LF; either may be the one that this piece ends with.
        let sound = match (left, piece) {
            (0, 1) => bytes[0] == b'\n',
            (0, _) => bytes[piece - 2..] == *b"\r\n",
            (1, _) => bytes[piece - 1] == b'\r',
            _ => true,
        };
        if !sound {
            return Err(ProtocolError("a bulk that does not end where it said".into()));
        }
        if self.capture {
            self.keep(bytes);
        }
        if left == 0 {
            self.finish_text();
            self.element(replies);
        } else {
            self.state = State::Body(left);
        }
        Ok(at + piece)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.capture {
            let room = MAX_ERROR_TEXT.saturating_sub(self.error_text.len());
            self.error_text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn finish_text(&mut self) {
        if std::mem::take(&mut self.capture) {
            while self.error_text.last().is_some_and(u8::is_ascii_whitespace) {
                self.error_text.pop();
            }
        }
    }

    /// One announced element is over.
    fn element(&mut self, replies: &mut u64) {
        self.state = State::Header;
        self.pending -= 1;
        *replies += u64::from(self.pending == 0 && !self.push);
    }
}

fn check_sized(kind: u8) -> Result<(), ProtocolError> {
    match kind {
        b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'%' | b'|' => Ok(()),
        _ => Err(ProtocolError(format!("a type byte {:?}", char::from(kind)))),
    }
}

/// Reads digits and CR LF; returns the number and the bytes used, or `None` when the line is not all here.
fn read_number(input: &[u8]) -> Result<Option<(i64, usize)>, ProtocolError> {
    let bad = || ProtocolError("a length that is no number".into());
    let negative = input.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let first_digit = at;
    let mut value: i64 = 0;
    loop {
        let Some(&byte) = input.get(at) else {
            return if at > MAX_HEADER { Err(bad()) } else { Ok(None) };
        };
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(i64::from(digit)))
            .ok_or_else(bad)?;
        at += 1;
    }
    if at == first_digit || input[at] != b'\r' {
        return Err(bad());
    }
    match input.get(at + 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((if negative { -value } else { value }, at + 2))),
        Some(_) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    /// What the generator of random streams knows about the stream that it wrote.
    #[derive(Default, Debug, PartialEq, Clone)]
    struct Counts {
        replies: u64,
        errors: u64,
        nulls: u64,
        first_error: Option<String>,
    }

    fn text(rng: &mut SmallRng, binary: bool) -> Vec<u8> {
        let len = rng.random_range(0..12);
        (0..len)
            .map(|_| {
                if binary { *b"\r\n$*-_>|a\0".get(rng.random_range(0..10)).unwrap() } else { b'q' }
            })
            .collect()
    }

    fn element(rng: &mut SmallRng, depth: u32, out: &mut Vec<u8>, counts: &mut Counts) {
        let kinds = if depth < 4 { 18 } else { 12 };
        match rng.random_range(0..kinds) {
            0 => out.extend_from_slice(b"+OK\r\n"),
            1 => {
                let text = format!("ERR {}", rng.random_range(0..1000));
                out.extend_from_slice(format!("-{text}\r\n").as_bytes());
                counts.errors += 1;
                counts.first_error.get_or_insert(text);
            }
            2 => out.extend_from_slice(format!(":{}\r\n", rng.random::<i64>()).as_bytes()),
            3 => {
                out.extend_from_slice(if rng.random() { b"$-1\r\n" } else { b"*-1\r\n" });
                counts.nulls += 1;
            }
            4 => {
                out.extend_from_slice(b"_\r\n");
                counts.nulls += 1;
            }
            5 => out.extend_from_slice(b",-1.5e3\r\n"),
            6 => out.extend_from_slice(b"#t\r\n"),
            7 => out.extend_from_slice(b"(3492890328409238509324850943850943825024385\r\n"),
            8 => {
                let text = format!("SYNTAX {}", rng.random_range(0..1000));
                out.extend_from_slice(format!("!{}\r\n{text}\r\n", text.len()).as_bytes());
                counts.errors += 1;
                counts.first_error.get_or_insert(text);
            }
            9 => out.extend_from_slice(b"=7\r\ntxt:abc\r\n"),
            10 | 11 => {
                let body = text(rng, true);
                out.extend_from_slice(format!("${}\r\n", body.len()).as_bytes());
                out.extend_from_slice(&body);
                out.extend_from_slice(b"\r\n");
            }
            kind => {
                let children = rng.random_range(0..4);
                let (byte, count) = match kind {
                    12 | 13 => ('*', children),
                    14 | 15 => ('~', children),
                    16 => ('%', children * 2),
                    _ => ('|', children * 2),
                };
                out.extend_from_slice(format!("{byte}{children}\r\n").as_bytes());
                for _ in 0..count {
                    element(rng, depth + 1, out, counts);
                }
                if byte == '|' {
                    element(rng, depth + 1, out, counts);
                }
            }
        }
    }

    fn stream(rng: &mut SmallRng) -> (Vec<u8>, Counts) {
        let mut out = Vec::new();
        let mut counts = Counts::default();
        for _ in 0..rng.random_range(1..8) {
            if rng.random_range(0..5) == 0 {
                out.extend_from_slice(b">2\r\n+message\r\n");
                element(rng, 3, &mut out, &mut counts);
                continue;
            }
            element(rng, 0, &mut out, &mut counts);
            counts.replies += 1;
        }
        (out, counts)
    }

    fn skip<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Counts, ProtocolError> {
        let mut skipper = Skipper::default();
        let mut replies = 0;
        for piece in pieces {
            replies += skipper.feed(piece)?;
        }
        assert!(
            skipper.state == State::Header && skipper.pending == 0 && skipper.partial.is_empty(),
            "the stream ended inside a reply"
        );
        Ok(Counts {
            replies,
            errors: skipper.errors,
            nulls: skipper.nulls,
            first_error: skipper.first_error(),
        })
    }

    #[test]
    fn random_streams_count_the_same_at_every_split() {
        let seed = std::env::var("RESPIRE_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(rand::random::<u64>);
        println!("RESPIRE_SEED={seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        for _ in 0..300 {
            let (bytes, counts) = stream(&mut rng);
            assert_eq!(skip([&bytes[..]]).unwrap(), counts, "whole: {bytes:?}");
            assert_eq!(skip(bytes.chunks(1)).unwrap(), counts, "byte by byte: {bytes:?}");
            for split in 1..bytes.len() {
                let (head, tail) = bytes.split_at(split);
                assert_eq!(skip([head, tail]).unwrap(), counts, "split at {split}: {bytes:?}");
            }
            let size = rng.random_range(2..9);
            assert_eq!(skip(bytes.chunks(size)).unwrap(), counts, "by {size}: {bytes:?}");
        }
    }

    #[test]
    fn what_is_not_resp_is_refused_at_every_split() {
        for bytes in [
            &b"hello\r\n"[..],
            b"$x\r\n",
            b"$\r\n\r\n",
            b"$-2\r\n",
            b"%-1\r\n",
            b"$3\r\nabcd\r\n",
            b"$3\r\nabc\n\n",
            b"+OK\n",
            b"$3\rabc",
            b"*99999999999999999999999999\r\n",
            b"%9223372036854775807\r\n*9223372036854775807\r\n",
        ] {
            for split in 0..bytes.len() {
                let (head, tail) = bytes.split_at(split);
                let mut skipper = Skipper::default();
                let result = skipper.feed(head).and_then(|_| skipper.feed(tail));
                assert!(result.is_err(), "{:?} cut at {split}", String::from_utf8_lossy(bytes));
            }
        }
    }

    #[test]
    fn a_header_without_an_end_takes_no_memory() {
        let mut skipper = Skipper::default();
        skipper.feed(b"$").unwrap();
        let endless = (0..1_000).try_fold((), |(), _| skipper.feed(b"0").map(drop));
        assert!(endless.is_err());
        assert!(skipper.partial.len() < 100);
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut rng = SmallRng::seed_from_u64(7);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.random_range(1..40))
                .map(|_| b"$*!%|>~=+-:_019\r\n\r\n"[rng.random_range(0..19)])
                .collect();
            let mut skipper = Skipper::default();
            for piece in bytes.chunks(rng.random_range(1..6)) {
                if skipper.feed(piece).is_err() {
                    break;
                }
            }
        }
    }
}
