//! Replies, written straight into the buffer that is sent. One writer serves both protocol versions: a type that RESP2
//! lacks is written as what Redis sends to RESP2 clients in its place.

use std::sync::Arc;

/// The version of the protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proto {
    #[default]
    Resp2,
    Resp3,
}

impl Proto {
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// A reply buffer. Values of [`Out::SPLICE`] bytes or more are not copied: the buffer notes where they belong, and the
/// sender gathers the pieces.
#[derive(Debug, Default)]
pub struct Out {
    bytes: Vec<u8>,
    splices: Vec<Splice>,
    spliced: usize,
    pub proto: Proto,
}

/// A shared value that is sent between two parts of the buffer.
#[derive(Debug, Clone)]
pub struct Splice {
    /// The position in the buffer that it is sent in front of.
    pub at: usize,
    pub data: Arc<Vec<u8>>,
    /// The part of `data` that is sent.
    pub start: usize,
    pub end: usize,
}

impl Out {
    /// Bytes from which a shared value is spliced in and not copied.
    pub const SPLICE: usize = 16 * 1024;

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn splices(&self) -> &[Splice] {
        &self.splices
    }

    /// Bytes of the reply so far, spliced values included.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.spliced
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The reply in one piece, spliced values in their places.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        let mut from = 0;
        for splice in &self.splices {
            all.extend_from_slice(&self.bytes[from..splice.at]);
            all.extend_from_slice(&splice.data[splice.start..splice.end]);
            from = splice.at;
        }
        all.extend_from_slice(&self.bytes[from..]);
        all
    }

    /// Bytes of memory held for replies.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.splices.clear();
        self.spliced = 0;
    }

    /// Gives memory beyond `keep` bytes back; the buffer must be empty.
    pub fn shrink(&mut self, keep: usize) {
        self.bytes.shrink_to(keep);
    }

    /// A point to come back to with [`Self::rewind`].
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), splices: self.splices.len() }
    }

    /// Takes back everything written since `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        for splice in self.splices.drain(mark.splices..) {
            self.spliced -= splice.end - splice.start;
        }
    }

    /// Appends bytes that are already in wire format.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    pub fn simple(&mut self, text: &str) {
        self.bytes.push(b'+');
        self.line(text.as_bytes());
    }

    /// An error reply; `text` starts with its code. Line ends inside become blanks, as they would end the reply; at the
    /// end of the text they are dropped.
    pub fn error(&mut self, text: &[u8]) {
        let ends = text.iter().rev().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let text = &text[..text.len() - ends];
        self.bytes.push(b'-');
        self.bytes.extend(text.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }));
        self.raw(b"\r\n");
    }

    #[inline]
    pub fn bulk(&mut self, data: &[u8]) {
        self.bytes.reserve(data.len() + 24);
        self.head(b'$', data.len() as i64);
        self.bytes.extend_from_slice(data);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A bulk string of part of a shared value, which is not copied if it is large.
    pub fn bulk_shared(&mut self, data: &Arc<Vec<u8>>, start: usize, end: usize) {
        if end - start < Self::SPLICE {
            return self.bulk(&data[start..end]);
        }
        self.head(b'$', (end - start) as i64);
        self.splices.push(Splice { at: self.bytes.len(), data: Arc::clone(data), start, end });
        self.spliced += end - start;
        self.raw(b"\r\n");
    }

    /// A bulk string holding a number's decimal text.
    pub fn bulk_int(&mut self, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(value).as_bytes());
    }

    #[inline]
    pub fn int(&mut self, value: i64) {
        match value {
            0 => self.raw(b":0\r\n"),
            1 => self.raw(b":1\r\n"),
            _ => self.head(b':', value),
        }
    }

    #[inline]
    pub fn null(&mut self) {
        match self.proto {
            Proto::Resp2 => self.raw(b"$-1\r\n"),
            Proto::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// The null that stands in an array's place.
    pub fn null_array(&mut self) {
        match self.proto {
            Proto::Resp2 => self.raw(b"*-1\r\n"),
            Proto::Resp3 => self.raw(b"_\r\n"),
        }
    }

    pub fn array(&mut self, len: usize) {
        self.head(b'*', len as i64);
    }

    /// A map of `len` pairs; keys and values are written next, in turn.
    pub fn map(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.head(b'*', len as i64 * 2),
            Proto::Resp3 => self.head(b'%', len as i64),
        }
    }

    pub fn set(&mut self, len: usize) {
        self.head(if self.proto == Proto::Resp3 { b'~' } else { b'*' }, len as i64);
    }

    pub fn push(&mut self, len: usize) {
        self.head(if self.proto == Proto::Resp3 { b'>' } else { b'*' }, len as i64);
    }

    /// An attribute of `len` pairs in front of a reply. RESP3 only.
    pub fn attribute(&mut self, len: usize) {
        debug_assert_eq!(self.proto, Proto::Resp3);
        self.head(b'|', len as i64);
    }

    pub fn bool(&mut self, value: bool) {
        match (self.proto, value) {
            (Proto::Resp3, true) => self.raw(b"#t\r\n"),
            (Proto::Resp3, false) => self.raw(b"#f\r\n"),
            (Proto::Resp2, value) => self.int(i64::from(value)),
        }
    }

    /// A double, given as the text that stands for it.
    pub fn double(&mut self, text: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => {
                self.bytes.push(b',');
                self.line(text.as_bytes());
            }
        }
    }

    /// A number beyond 64 bits, given as decimal text.
    pub fn big_number(&mut self, text: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => {
                self.bytes.push(b'(');
                self.line(text.as_bytes());
            }
        }
    }

    /// Text with its format (`txt` or `mkd`), three letters.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                self.head(b'=', text.len() as i64 + 4);
                self.raw(format.as_bytes());
                self.raw(b":");
                self.raw(text);
                self.raw(b"\r\n");
            }
        }
    }

    fn line(&mut self, text: &[u8]) {
        self.raw(text);
        self.raw(b"\r\n");
    }

    #[inline(always)] // a call would cost as much as the usual lengths
    fn head(&mut self, kind: u8, value: i64) {
        if (0..10).contains(&value) {
            return self.raw(&[kind, b'0' + value as u8, b'\r', b'\n']);
        }
        if (10..100).contains(&value) {
            let (tens, ones) = (value as u8 / 10, value as u8 % 10);
            return self.raw(&[kind, b'0' + tens, b'0' + ones, b'\r', b'\n']);
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(digits.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// A point in an [`Out`].
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    bytes: usize,
    splices: usize,
}
