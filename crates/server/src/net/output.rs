//! What a connection still has to send: only what the socket did not take at once.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use respire_resp::{Out, Splice};

use super::stream::Stream;

enum Piece {
    Bytes(Vec<u8>),
    /// Part of a shared value.
    Shared(Arc<Vec<u8>>, usize, usize),
    Message(Arc<[u8]>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Shared(data, start, end) => &data[*start..*end],
            Self::Message(bytes) => bytes,
        }
    }
}

/// Pieces that one system call sends at most.
const PIECES_PER_WRITE: usize = 64;
/// Messages of more bytes are shared with other connections, shorter ones copied.
const SHARED_FROM: usize = 1024;
/// A piece that small replies are gathered in is not extended beyond this.
const GATHER_MAX: usize = 64 * 1024;

/// A queue of bytes to be sent.
#[derive(Default)]
pub(crate) struct Output {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that have been sent.
    sent: usize,
    len: usize,
}

impl Output {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes still to be sent.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn piece_count(&self) -> usize {
        self.pieces.len()
    }

    /// Sends `out`, behind what is queued, and queues what the socket does not take. Returns the bytes sent.
    pub(crate) fn send(&mut self, stream: &mut Stream, out: &Out) -> io::Result<usize> {
        if !self.is_empty() {
            self.queue(out, 0);
            return self.flush(stream);
        }
        let sent = if out.splices().is_empty() {
            retry(|| stream.write(out.bytes()))?
        } else {
            let mut pieces = Vec::with_capacity(PIECES_PER_WRITE);
            for_each_piece(out, |bytes, _| {
                if pieces.len() < PIECES_PER_WRITE {
                    pieces.push(IoSlice::new(bytes));
                }
            });
            retry(|| stream.write_vectored(&pieces))?
        };
        if sent == out.len() {
            return Ok(sent);
        }
        self.queue(out, sent);
        Ok(sent + self.flush(stream)?)
    }

    /// Queues all of `out`.
    pub(crate) fn hold(&mut self, out: &Out) {
        self.queue(out, 0);
    }

    /// Queues what follows the first `skip` bytes of `out`.
    fn queue(&mut self, out: &Out, mut skip: usize) {
        for_each_piece(out, |bytes, splice| {
            let passed = skip.min(bytes.len());
            skip -= passed;
            if passed == bytes.len() {
                return;
            }
            self.len += bytes.len() - passed;
            match splice {
                Some(splice) => self.pieces.push_back(Piece::Shared(
                    Arc::clone(&splice.data),
                    splice.start + passed,
                    splice.end,
                )),
                None => self.push_bytes(&bytes[passed..]),
            }
        });
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        if let Some(Piece::Bytes(last)) = self.pieces.back_mut()
            && last.len() + bytes.len() <= GATHER_MAX
        {
            return last.extend_from_slice(bytes);
        }
        self.pieces.push_back(Piece::Bytes(bytes.to_vec()));
    }

    /// Queues a message that other connections share.
    pub(crate) fn push_message(&mut self, message: Arc<[u8]>) {
        self.len += message.len();
        // Many short pieces cost a system call more than their copies do.
        if message.len() <= SHARED_FROM {
            self.push_bytes(&message);
        } else {
            self.pieces.push_back(Piece::Message(message));
        }
    }

    /// Sends as much as the socket takes. Returns the bytes sent.
    pub(crate) fn flush(&mut self, stream: &mut Stream) -> io::Result<usize> {
        let mut total = 0;
        while !self.is_empty() {
            let sent = if let ([only], []) = self.pieces.as_slices() {
                retry(|| stream.write(&only.bytes()[self.sent..]))?
            } else {
                let mut skip = self.sent;
                let slices: Vec<IoSlice<'_>> = (self.pieces.iter().take(PIECES_PER_WRITE))
                    .map(|piece| IoSlice::new(&piece.bytes()[std::mem::take(&mut skip)..]))
                    .collect();
                retry(|| stream.write_vectored(&slices))?
            };
            if sent == 0 {
                break;
            }
            total += sent;
            self.advance(sent);
        }
        Ok(total)
    }

    fn advance(&mut self, sent: usize) {
        self.len -= sent;
        self.sent += sent;
        while let Some(first) = self.pieces.front() {
            let len = first.bytes().len();
            if self.sent < len {
                break;
            }
            self.sent -= len;
            self.pieces.pop_front();
        }
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }
}

/// Calls `f` with the parts of `out` in the order in which they are sent.
fn for_each_piece<'o>(out: &'o Out, mut f: impl FnMut(&'o [u8], Option<&'o Splice>)) {
    let mut from = 0;
    for splice in out.splices() {
        f(&out.bytes()[from..splice.at], None);
        f(&splice.data[splice.start..splice.end], Some(splice));
        from = splice.at;
    }
    f(&out.bytes()[from..], None);
}

/// Repeats an interrupted call; 0 if the socket takes nothing now.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            done => return done,
        }
    }
}
