//! What an event loop does between turns: upkeep of its share of the shards, and a look at its connections.

use std::sync::atomic::Ordering;

use respire_engine::ClientKind;

use super::EventLoop;
use crate::net::connection::Excess;

/// How long a slice of upkeep may take, and how long requests have the thread to themselves before the next one if
/// there is more to do: a fifth of the time, in steps too short to be noticed. While nobody asks for anything, slices
/// follow each other, with a look at the sockets in between.
const UPKEEP_SLICE_NS: u64 = 100_000;
const UPKEEP_REST_NS: u64 = 400_000;

/// How long a slice may take with an `active-expire-effort` of 1 to 10: from a fifth of the time to almost two.
fn slice_ns(effort: u8) -> u64 {
    UPKEEP_SLICE_NS + 16_000 * u64::from(effort.clamp(1, 10) - 1)
}

/// How long an encrypted connection may take to be established.
const HANDSHAKE_MS: i64 = 10_000;

impl EventLoop {
    /// Background work, in slices; and once a second a look at all connections. `idle` says that nobody has asked for
    /// anything.
    pub(super) fn upkeep(&mut self, idle: bool) {
        let now = self.engine.clock.monotonic_ns();
        self.worker.end_turn(now);
        if now < self.next_upkeep_ns && !(idle && self.upkeep_left_at.is_some()) {
            return;
        }
        self.mailbox.beat(now);
        self.worker.begin_batch(&self.engine);
        let threads = usize::from(self.worker.settings.io_threads);
        let slice = slice_ns(self.worker.settings.active_expire_effort);
        let mut shard = self.upkeep_left_at.take().unwrap_or(self.worker.thread);
        while shard < self.engine.keyspace.shard_count() {
            let spent = self.engine.clock.monotonic_ns() - now;
            let in_time = slice
                .checked_sub(spent)
                .is_some_and(|budget| !self.engine.upkeep(&mut self.worker, shard as u32, budget));
            if !in_time {
                // The next slice goes on here, so that every shard gets its turn.
                self.upkeep_left_at = Some(shard);
                break;
            }
            shard += threads;
        }
        self.engine.limit_clients(&mut self.worker);
        self.deliver();
        let rest = match self.upkeep_left_at {
            Some(_) => UPKEEP_REST_NS,
            None => 1_000_000_000 / u64::from(self.worker.settings.hz),
        };
        let end = self.engine.clock.monotonic_ns();
        self.worker.end_upkeep(end - now);
        self.next_upkeep_ns = end + rest;
        if self.worker.now_ms >= self.next_check_ms
            || self.next_check_ms > self.worker.now_ms + 2000
        {
            self.next_check_ms = self.worker.now_ms + 1000;
            self.check_connections();
        }
    }

    /// Closes connections that have been idle for too long, or over their soft limit.
    fn check_connections(&mut self) {
        let now_ms = self.worker.now_ms;
        let timeout_ms = i64::from(self.worker.settings.timeout) * 1000;
        for i in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[i] else { continue };
            let idle = now_ms - connection.session.info.active_ms.load(Ordering::Relaxed);
            if timeout_ms > 0
                && !connection.session.is_blocked()
                && idle > timeout_ms
                && connection.session.info.kind() == ClientKind::Normal
            {
                log::debug!("Closing idle client");
                self.close(i);
            } else if connection.stream.is_handshaking()
                && now_ms - connection.session.info.created_ms > HANDSHAKE_MS
            {
                log::debug!("Error accepting a client connection: it took too long");
                self.close(i);
            } else if let Some(excess) = connection.excess(&self.worker.settings, now_ms) {
                self.close_for_excess(i, excess);
            }
        }
    }

    /// Whether a connection is still there after a large request of its, which is whole, was counted as its client's: what all
    /// clients may hold is looked at before it is executed, for then it is gone.
    pub(super) fn may_hold(&mut self, i: usize) -> bool {
        if self.worker.settings.client_memory_limit().is_some() {
            self.publish(i);
            self.engine.limit_clients(&mut self.worker);
            self.deliver();
        }
        self.connections[i].is_some()
    }

    #[cold]
    pub(super) fn close_for_excess(&mut self, i: usize, excess: Excess) {
        let connection = self.connections[i].as_ref().expect("the caller has it");
        let (id, addr) = (connection.session.info.id, &connection.session.info.addr);
        let counters = &self.worker.stats.counters;
        match excess {
            Excess::Output => {
                log::warn!(
                    "Client id={id} addr={addr} closed for overcoming of output buffer limits."
                );
                counters.output_buffer_disconnections.add(1);
            }
            Excess::Query => {
                log::warn!(
                    "Closing client id={id} addr={addr} that reached max query buffer length"
                );
                counters.query_buffer_disconnections.add(1);
            }
        }
        self.close(i);
    }

    /// Closes a connection whose replies, of `len` bytes, are longer than may wait for its client. Returns whether it did.
    #[inline]
    pub(super) fn closed_for_length(&mut self, i: usize, len: usize) -> bool {
        let too_much = self.connections[i]
            .as_ref()
            .is_some_and(|connection| connection.is_too_much(&self.worker.settings, len));
        if too_much {
            self.close_for_excess(i, Excess::Output);
        }
        too_much
    }
}
