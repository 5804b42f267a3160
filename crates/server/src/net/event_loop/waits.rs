//! Connections that wait: for an element, for a pause to end, for a script.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use respire_resp::{Args, Out, Span};

use super::{EventLoop, Request, tell_later};

/// The bytes of `range`, which are `requests` and what is no whole request behind them, such that they can be parsed
/// again: parsing has rewritten what was quoted in requests of one line.
pub(super) fn as_sent(
    buffer: &[u8],
    spans: &[Span],
    requests: &[Request],
    range: Range<usize>,
) -> Vec<u8> {
    let mut out = Out::default();
    let mut at = range.start;
    for request in requests {
        let spans = &spans[request.spans.0 as usize..request.spans.1 as usize];
        // Nothing of a line comes before its first word, but blanks.
        if buffer[request.start] == b'*' && spans[0].start as usize > request.start {
            out.raw(&buffer[request.start..request.end]);
        } else {
            let args = Args::new(buffer, spans);
            out.array(args.len());
            (0..args.len()).for_each(|i| out.bulk(args.get(i)));
        }
        at = request.end;
    }
    out.raw(&buffer[at..range.end]);
    out.to_vec()
}

impl EventLoop {
    /// Keeps the bytes of `range`, which begin with `requests`, to be read again when connection number `i` goes on.
    #[cold]
    pub(super) fn hold_back(&mut self, i: usize, requests: &[Request], range: Range<usize>) {
        let bytes = as_sent(&self.buffer, &self.spans, requests, range);
        if let Some(connection) = &mut self.connections[i] {
            connection.hold_back(bytes);
        }
    }

    /// Notes when a client has waited for long enough.
    pub(super) fn set_timer(&mut self, i: usize, timeout_ms: Option<u64>) {
        let Some(timeout_ms) = timeout_ms else { return };
        let connection = self.connections[i].as_mut().expect("the caller has it");
        let now = self.engine.clock.monotonic_ns();
        let at = now.saturating_add(timeout_ms.saturating_mul(1_000_000));
        connection.timer_ns = Some(at);
        self.timers.insert((at, i));
    }

    /// Ends the waits whose time is over.
    pub(super) fn ring_timers(&mut self) {
        if self.timers.is_empty() || self.engine.is_busy() {
            return;
        }
        let now = self.engine.clock.monotonic_ns();
        while let Some(&(at, i)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            let connection = self.connections[i].as_mut().expect("timers go with connections");
            connection.timer_ns = None;
            self.out.clear();
            if self.engine.time_out(&mut self.worker, &mut connection.session, &mut self.out) {
                self.send(i);
                self.note_readable(i, false);
            } else if self.engine.is_busy() {
                // Its shards could not be had: it is tried again when the script has ended.
                self.set_timer(i, Some(0));
                return;
            }
        }
    }

    /// Passes the reply of a command that has waited on, and lets its client go on.
    pub(super) fn unblock(&mut self, i: usize, reply: Arc<[u8]>) {
        let connection = self.connections[i].as_mut().expect("the caller has it");
        connection.session.unblocked();
        if let Some(at) = connection.timer_ns.take() {
            self.timers.remove(&(at, i));
        }
        if !reply.is_empty() {
            connection.output.push_message(reply);
            tell_later(&mut self.told, connection, i);
        }
        self.note_readable(i, false);
    }

    pub(super) fn pause(&mut self, i: usize) {
        let connection = self.connections[i].as_mut().expect("the caller has it");
        connection.paused = true;
        self.engine.pause.waiting.fetch_add(1, Ordering::Relaxed);
        self.paused.push(i);
    }

    /// Lets connections go on whose pause is over.
    pub(super) fn resume_paused(&mut self) {
        if self.paused.is_empty()
            || self.engine.pause.current(self.engine.clock.unix_us() / 1000).is_some()
        {
            return;
        }
        for i in std::mem::take(&mut self.paused) {
            if let Some(connection) = &mut self.connections[i] {
                connection.paused = false;
                self.engine.pause.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            self.note_readable(i, false);
        }
    }
}
