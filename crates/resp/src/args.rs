//! The arguments of one request: spans of the buffer that it arrived in, plus the few arguments that were too large
//! for that buffer and have an allocation of their own.

use std::sync::Arc;

/// Where an argument lies. For an argument with its own allocation, `len` is [`Span::LARGE`] and `start` its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    const LARGE: u32 = u32::MAX;

    /// A span of `len` bytes from `start`. Buffers are kept below 4 GiB by the query-buffer limit.
    #[inline]
    pub fn new(start: usize, len: usize) -> Self {
        debug_assert!(start < u32::MAX as usize && len < u32::MAX as usize);
        Self { start: start as u32, len: len as u32 }
    }

    /// The bytes of `buffer` that the span names.
    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.start as usize + self.len as usize]
    }

    pub(crate) fn large(number: usize) -> Self {
        Self { start: number as u32, len: Self::LARGE }
    }
}

/// Decimal digits of a number.
#[inline]
fn decimal_len(value: u32) -> usize {
    match value {
        0..10 => 1,
        10..100 => 2,
        100..1000 => 3,
        1000..10_000 => 4,
        _ => 1 + value.ilog10() as usize,
    }
}

/// The arguments of one request, the command's name first.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
    large: &'a [Arc<Vec<u8>>],
}

impl<'a> Args<'a> {
    /// Arguments that all lie in `buf`.
    #[inline]
    pub fn new(buf: &'a [u8], spans: &'a [Span]) -> Self {
        Self { buf, spans, large: &[] }
    }

    pub(crate) fn with_large(buf: &'a [u8], spans: &'a [Span], large: &'a [Arc<Vec<u8>>]) -> Self {
        Self { buf, spans, large }
    }

    #[inline]
    #[allow(clippy::len_without_is_empty)] // a request has at least its name
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Argument `i`; 0 is the command's name. Panics beyond the last one.
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        let span = self.spans[i];
        if span.len == Span::LARGE {
            return &self.large[span.start as usize];
        }
        span.of(self.buf)
    }

    /// Where argument `i` lies in the buffer; meaningless for one with its own allocation.
    #[inline]
    pub fn span(&self, i: usize) -> Span {
        self.spans[i]
    }

    /// Argument `i` if there is one.
    #[inline]
    pub fn try_get(&self, i: usize) -> Option<&'a [u8]> {
        (i < self.spans.len()).then(|| self.get(i))
    }

    /// The allocation of argument `i` if it has one of its own, for the keyspace to keep.
    #[inline]
    pub fn share(&self, i: usize) -> Option<Arc<Vec<u8>>> {
        let span = self.spans[i];
        (span.len == Span::LARGE).then(|| Arc::clone(&self.large[span.start as usize]))
    }

    /// The arguments as they came, `$3\r\nSET\r\n$1\r\na\r\n`, if they lie in the buffer side by side and just as this crate would
    /// write them.
    pub fn as_sent(&self) -> Option<&'a [u8]> {
        let head = |span: &Span| 3 + decimal_len(span.len);
        let first = self.spans.first().filter(|span| span.len != Span::LARGE)?;
        let start = (first.start as usize).checked_sub(head(first))?;
        let mut at = start;
        for span in self.spans {
            let text = at + head(span);
            let end = text + span.len as usize;
            let is_as_written = span.len != Span::LARGE
                && span.start as usize == text
                && self.buf.get(at) == Some(&b'$')
                && self.buf.get(text - 2..text) == Some(b"\r\n")
                && self.buf.get(end..end + 2) == Some(b"\r\n");
            if !is_as_written {
                return None;
            }
            at = end + 2;
        }
        self.buf.get(start..at)
    }

    /// The arguments from `from` on, with the command's name (or the subcommand's) in front of them.
    pub fn skip(&self, from: usize) -> Self {
        Self { spans: &self.spans[from..], ..*self }
    }

    /// The arguments from `from` on.
    pub fn iter_from(self, from: usize) -> impl ExactSizeIterator<Item = &'a [u8]> {
        (from..self.len()).map(move |i| self.get(i))
    }

    /// The bytes of all arguments together.
    pub fn total_bytes(&self) -> usize {
        self.iter_from(0).map(<[u8]>::len).sum()
    }

    /// A copy that outlives the buffer. Large arguments are shared.
    pub fn to_owned_args(&self) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        for i in 0..self.len() {
            match self.share(i) {
                Some(large) => owned.push_large(large),
                None => owned.push(self.get(i)),
            }
        }
        owned
    }
}

/// Arguments that own their bytes: a command queued by MULTI, or one made by the program.
#[derive(Debug, Default)]
pub struct OwnedArgs {
    buf: Vec<u8>,
    spans: Vec<Span>,
    large: Vec<Arc<Vec<u8>>>,
}

impl OwnedArgs {
    /// Copies `parts`, the command's name first.
    pub fn from_parts<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut owned = Self::default();
        for part in parts {
            owned.push(part.as_ref());
        }
        owned
    }

    /// Appends a copy of `arg`.
    pub fn push(&mut self, arg: &[u8]) {
        self.spans.push(Span::new(self.buf.len(), arg.len()));
        self.buf.extend_from_slice(arg);
    }

    pub(crate) fn push_large(&mut self, arg: Arc<Vec<u8>>) {
        self.spans.push(Span::large(self.large.len()));
        self.large.push(arg);
    }

    pub(crate) fn last_large_mut(&mut self) -> &mut Vec<u8> {
        let last = self.large.last_mut().expect("a large argument was begun");
        Arc::get_mut(last).expect("nobody else has it before the request is whole")
    }

    pub(crate) fn count(&self) -> usize {
        self.spans.len()
    }

    pub fn as_args(&self) -> Args<'_> {
        Args::with_large(&self.buf, &self.spans, &self.large)
    }

    /// Bytes of all arguments together.
    pub(crate) fn bytes(&self) -> usize {
        self.buf.len() + self.large.iter().map(|arg| arg.len()).sum::<usize>()
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        let large: usize = self.large.iter().map(|a| a.capacity()).sum();
        self.buf.capacity() + self.spans.capacity() * size_of::<Span>() + large
    }
}
