//! One connection: its socket, its session, what it has sent of an unfinished request, and what it is still to be sent.
//! Kept small: an idle connection holds none of the buffers.

use std::sync::atomic::Ordering;

use respire_engine::config::{OutputLimit, Settings};
use respire_engine::{Clients, ReplyBuffers, Session};
use respire_resp::LargeRequest;

use super::output::Output;
use super::stream::Stream;

pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) session: Session,
    /// Bytes of an unfinished request, or of requests that a pause holds back.
    pub(crate) pending: Vec<u8>,
    /// A request too large for the read buffer.
    pub(crate) large: Option<Box<LargeRequest>>,
    pub(crate) output: Output,
    /// A pause holds its requests back.
    pub(crate) paused: bool,
    /// More may be there to read than the last read gave.
    pub(crate) readable: bool,
    /// The peer has closed its side.
    pub(crate) read_closed: bool,
    /// When its client has waited for long enough, monotonic nanoseconds.
    pub(crate) timer_ns: Option<u64>,
    /// In the list of connections that messages have been queued for.
    pub(crate) told: bool,
    /// What is queued is sent when the journal is safe up to this position.
    pub(crate) held_until: u64,
    /// In the list of connections to be read this turn.
    pub(crate) listed: bool,
    /// The turn of the loop in which it was last read.
    pub(crate) read_in: u64,
    /// When the output first exceeded the soft limit, Unix milliseconds.
    soft_limit_since: Option<i64>,
}

/// Why a connection is closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    Output,
    Query,
}

impl Connection {
    pub(crate) fn new(stream: Stream, session: Session) -> Self {
        Self {
            stream,
            session,
            pending: Vec::new(),
            large: None,
            output: Output::default(),
            paused: false,
            readable: false,
            read_closed: false,
            timer_ns: None,
            told: false,
            held_until: 0,
            listed: false,
            read_in: 0,
            soft_limit_since: None,
        }
    }

    /// Keeps bytes that have been parsed already for later. They include what there is of a large request, which is then
    /// parsed anew, in its turn.
    pub(crate) fn hold_back(&mut self, bytes: Vec<u8>) {
        self.pending = bytes;
        self.large = None;
    }

    /// Whether the client has exceeded what it may have buffered.
    pub(crate) fn excess(&mut self, settings: &Settings, now_ms: i64) -> Option<Excess> {
        if self.arrived() as u64 > settings.client_query_buffer_limit {
            return Some(Excess::Query);
        }
        // A monitor gets what others do, as a replica does.
        let limit = settings.client_output_buffer_limit.of(self.session.info.kind());
        self.exceeds(limit, now_ms).then_some(Excess::Output)
    }

    /// Whether replies of `len` bytes are more than the client may have waiting, before any of them is sent.
    #[inline]
    pub(crate) fn is_too_much(&self, settings: &Settings, len: usize) -> bool {
        let limits = &settings.client_output_buffer_limit;
        let longest = limits.longest_reply(self.session.info.kind());
        (self.output.len() + len) as u64 >= longest
    }

    fn exceeds(&mut self, limit: OutputLimit, now_ms: i64) -> bool {
        let len = self.output.len() as u64;
        if limit.hard > 0 && len >= limit.hard {
            return true;
        }
        if limit.soft == 0 || len < limit.soft {
            self.soft_limit_since = None;
            return false;
        }
        let since = *self.soft_limit_since.get_or_insert(now_ms);
        now_ms - since > limit.soft_seconds as i64 * 1000
    }

    /// Bytes of requests that have arrived and are not executed yet. Room is made for more of them ahead.
    fn arrived(&self) -> usize {
        self.large.as_ref().map_or(0, |large| large.arrived()) + self.pending.len()
    }

    /// Bytes of memory held by requests that are not executed yet.
    pub(crate) fn query_bytes(&self) -> usize {
        self.pending.capacity() + self.large.as_ref().map_or(0, |large| large.memory())
    }

    /// Notes the size of replies, for what CLIENT LIST shows.
    #[inline]
    pub(crate) fn note_replies(&self, replies: &ReplyBuffers, bytes: usize, now_ms: i64) {
        replies.note(&self.session.info.usage, bytes, now_ms);
    }

    /// Publishes what CLIENT LIST shows.
    pub(crate) fn publish(&self, clients: &Clients, now_ms: i64) {
        let info = &self.session.info;
        let usage = &info.usage;
        let (query, output) = (self.query_bytes() as u64, self.output.len() as u64);
        let transaction = self.session.memory() as u64;
        info.active_ms.store(now_ms, Ordering::Relaxed);
        let arrived = self.arrived();
        usage.query.store(arrived as u64, Ordering::Relaxed);
        usage.query_free.store(query.saturating_sub(arrived as u64), Ordering::Relaxed);
        usage.output.store(output, Ordering::Relaxed);
        usage.output_list.store(self.output.piece_count() as u64, Ordering::Relaxed);
        usage.multi.store(transaction, Ordering::Relaxed);
        let own = (size_of::<Self>() + size_of_val(&**info)) as u64;
        clients.note_memory(info, own + query + output + transaction);
    }
}
