//! A request too large for the read buffer, gathered piece by piece. Small arguments are copied together; each argument
//! of [`LARGE_BULK`] bytes or more gets the allocation that the keyspace may keep, and the socket is read straight
//! into it.

use crate::request::{INLINE_MAX, header, no_dollar};
use crate::{Args, Limits, OwnedArgs, ProtocolError};

/// Bytes from which an unfinished argument gets its own allocation.
pub const LARGE_BULK: usize = 32 * 1024;

/// Memory is committed in steps as the bytes arrive, so that announcing a large argument costs the sender, not us.
const RESERVE_STEP: usize = 1024 * 1024;

/// A request in the making.
#[derive(Debug)]
pub struct LargeRequest {
    limits: Limits,
    expected: usize,
    args: OwnedArgs,
    /// Bytes of an unfinished header line.
    line: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    /// Gathering into `line` a small argument of this length and its line end.
    Small(usize),
    /// Gathering a large argument: bytes still to come, without the line end.
    Large(usize),
    /// Passing over the line end of a large argument.
    LineEnd(usize),
}

impl LargeRequest {
    pub(crate) fn new(limits: Limits, expected: usize) -> Self {
        let args = OwnedArgs::default();
        Self { limits, expected, args, line: Vec::new(), state: State::Header }
    }

    pub(crate) fn begin_with(&mut self, arg: &[u8]) {
        self.args.push(arg);
    }

    /// Whether every argument has arrived.
    pub fn is_whole(&self) -> bool {
        self.state == State::Header && self.args.count() == self.expected
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.args.memory() + self.line.capacity()
    }

    /// Bytes of arguments that have arrived.
    pub fn arrived(&self) -> usize {
        self.args.bytes() + self.line.len()
    }

    /// The gathered arguments, once whole.
    pub fn args(&self) -> Args<'_> {
        self.args.as_args()
    }

    /// Where the socket may be read into directly, and how many bytes belong there; `None` if bytes must be fed.
    pub fn direct(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        match self.state {
            State::Large(missing) => {
                let target = self.args.last_large_mut();
                grow(target, missing);
                Some((target, missing))
            }
            _ => None,
        }
    }

    /// Tells that `count` bytes were read into the buffer that [`Self::direct`] gave.
    pub fn read_direct(&mut self, count: usize) {
        if let State::Large(missing) = self.state {
            self.state =
                if missing == count { State::LineEnd(2) } else { State::Large(missing - count) };
        }
    }

    /// Takes bytes of `data` until the request is whole. Returns how many it took.
    pub fn feed(&mut self, data: &[u8]) -> Result<usize, ProtocolError> {
        let mut pos = 0;
        while pos < data.len() && !self.is_whole() {
            pos += self.step(&data[pos..])?;
        }
        Ok(pos)
    }

    fn step(&mut self, data: &[u8]) -> Result<usize, ProtocolError> {
        match self.state {
            State::Header => self.header_line(data),
            State::Small(len) => {
                let take = (len + 2 - self.line.len()).min(data.len());
                self.line.extend_from_slice(&data[..take]);
                if self.line.len() == len + 2 {
                    self.args.push(&self.line[..len]);
                    self.line.clear();
                    self.state = State::Header;
                }
                Ok(take)
            }
            State::Large(missing) => {
                let take = missing.min(data.len());
                let target = self.args.last_large_mut();
                grow(target, missing);
                target.extend_from_slice(&data[..take]);
                self.read_direct(take);
                Ok(take)
            }
            State::LineEnd(missing) => {
                let take = missing.min(data.len());
                self.state =
                    if take == missing { State::Header } else { State::LineEnd(missing - take) };
                Ok(take)
            }
        }
    }

    fn header_line(&mut self, data: &[u8]) -> Result<usize, ProtocolError> {
        let had = self.line.len();
        let room = INLINE_MAX + 2 - had.min(INLINE_MAX);
        // No more than the line: what follows may be much, and the room that it took would be kept.
        let line = data.iter().take(room).position(|byte| *byte == b'\n').map_or(room, |at| at + 1);
        self.line.extend_from_slice(&data[..data.len().min(line)]);
        if self.line[0] != b'$' {
            return no_dollar(&self.line).map_or(Ok(self.line.len() - had), Err);
        }
        let Some((text, end)) = header(&self.line, 1) else {
            if self.line.len() > INLINE_MAX {
                return Err(ProtocolError::TooBigBulkCount);
            }
            return Ok(self.line.len() - had);
        };
        let len = self.limits.bulk_len(text)?;
        if len >= LARGE_BULK {
            self.args.push_large(Default::default());
            self.state = State::Large(len);
        } else {
            self.state = State::Small(len);
        }
        self.line.clear();
        Ok(end - had)
    }
}

/// Makes room for more of the `missing` bytes; the last step makes the allocation exact.
fn grow(target: &mut Vec<u8>, missing: usize) {
    if target.len() == target.capacity() {
        let step = missing.min(RESERVE_STEP.max(target.len()));
        target.reserve_exact(step);
    }
}
