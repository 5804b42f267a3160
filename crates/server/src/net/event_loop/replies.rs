//! What an event loop sends: the replies of a turn, messages for clients, and what had to wait for the journal.

use respire_resp::Out;

use super::{
    EventLoop, Portion, REPLIES_WAIT_NS, REPLY_FLUSH, SPARE_KEPT, SPARE_OUTS, UNSENT_MAX,
    tell_later,
};

impl EventLoop {
    /// Sends the replies of connections whose requests are executed if they have waited for long enough: it is asked now and
    /// then while those of other connections are executed.
    #[inline]
    pub(super) fn reply_in_time(&mut self) {
        if !self.unsent.is_empty() {
            let now = self.engine.clock.monotonic_ns();
            if now.saturating_sub(self.replied_ns) > REPLIES_WAIT_NS {
                self.worker.settle_timing(&self.engine);
                self.send_unsent();
                self.replied_ns = self.worker.begin_timing(&self.engine);
            }
        }
    }

    /// Sends to the connections that letters have left something for.
    pub(super) fn send_messages(&mut self) {
        if !self.told.is_empty()
            && self.engine.journal.is_on()
            && let Some(position) = self.flush_journal()
        {
            return self.hold_until(position);
        }
        for i in std::mem::take(&mut self.told) {
            if let Some(connection) = &mut self.connections[i] {
                connection.told = false;
                self.continue_sending(i);
            }
        }
    }

    /// As the host's, which is a call of the system: the time that it takes is counted.
    fn flush_journal(&self) -> Option<u64> {
        let began = self.engine.clock.monotonic_ns();
        let position = self.engine.host.flush_journal();
        let took = self.engine.clock.monotonic_ns().saturating_sub(began);
        self.worker.stats.counters.flush_ns.add(took);
        position
    }

    /// Keeps what is queued for connections until the journal is safe up to a position.
    pub(super) fn hold_until(&mut self, position: u64) {
        self.safe_to = self.engine.host.journal_safe_to();
        for i in std::mem::take(&mut self.told) {
            if let Some(connection) = &mut self.connections[i] {
                connection.told = false;
                connection.held_until = position;
                self.held.push_back((position, i));
            }
        }
    }

    /// Sends to connections what had to wait for the journal to be safe.
    pub(super) fn release_held(&mut self) {
        if self.held.is_empty() {
            return;
        }
        self.safe_to = self.engine.host.journal_safe_to();
        while let Some(&(position, i)) = self.held.front()
            && position <= self.safe_to
        {
            self.held.pop_front();
            self.continue_sending(i);
        }
    }

    /// Sends what is queued, as the socket takes more.
    pub(super) fn continue_sending(&mut self, i: usize) {
        let Some(Some(connection)) = self.connections.get_mut(i) else { return };
        if connection.held_until > self.safe_to {
            return;
        }
        if connection.stream.flush().is_err() {
            return self.close(i);
        }
        if connection.output.is_empty() {
            // What was to be sent may have been nothing but the end of the connection.
            return self.after_sending(i);
        }
        match connection.output.flush(&mut connection.stream) {
            Ok(sent) => {
                self.worker.stats.counters.net_out.add(sent as u64);
                self.after_sending(i);
            }
            Err(_) => self.close(i),
        }
    }

    /// Closes a connection that is done or that has too much buffered; lets one be read again that had.
    pub(super) fn after_sending(&mut self, i: usize) {
        let connection = self.connections[i].as_mut().expect("the caller has it");
        if connection.output.is_empty() && connection.session.closing {
            return self.close(i);
        }
        if connection.readable && !connection.listed && connection.output.len() < UNSENT_MAX {
            connection.listed = true;
            self.ready.push(i);
        }
        let now_ms = self.worker.now_ms;
        let connection = self.connections[i].as_mut().expect("the caller has it");
        match connection.excess(&self.worker.settings, now_ms) {
            // What a client leaves unread counts as its memory, whoever has sent it.
            None => connection.publish(&self.engine.clients, now_ms),
            Some(excess) => self.close_for_excess(i, excess),
        }
    }

    /// Leaves the replies of a connection to be sent at the end of the turn; answers and closes it if it sent something that
    /// is no request.
    pub(super) fn finish_portion(&mut self, portion: &Portion) {
        let i = portion.connection;
        let Some(connection) = self.connections[i].as_mut() else { return self.out.clear() };
        // All that was read of it is done: it may be read again, even while a script of this turn runs for too long.
        connection.read_in = 0;
        if let Some(error) = &portion.error {
            log::debug!("Client id={}: {error}", connection.session.info.id);
            self.out.error(&error.reply());
            self.worker.stats.count_error(b"ERR");
            connection.session.closing = true;
        }
        if self.engine.journal.is_on() {
            self.hold(i);
            return self.publish(i);
        }
        let spare = self.spare_outs.pop().unwrap_or_default();
        let out = std::mem::replace(&mut self.out, spare);
        let full = out.len() >= REPLY_FLUSH;
        self.unsent.push((i, out));
        if full {
            self.send_unsent();
        }
    }

    /// Sends the replies of all connections whose requests are executed.
    pub(super) fn send_unsent(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        self.post_to_others();
        let mut unsent = std::mem::take(&mut self.unsent);
        for (i, mut out) in unsent.drain(..) {
            if self.connections[i].is_some() {
                self.send_now(i, &out);
                self.publish(i);
            }
            self.empty(&mut out, SPARE_KEPT);
            if self.spare_outs.len() < SPARE_OUTS {
                self.spare_outs.push(out);
            }
        }
        self.unsent = unsent;
    }

    /// Publishes what a connection holds, if it is still there.
    pub(super) fn publish(&self, i: usize) {
        if let Some(connection) = &self.connections[i] {
            connection.publish(&self.engine.clients, self.worker.now_ms);
        }
    }

    /// Sends the reply buffer to a connection, and empties it.
    pub(super) fn send(&mut self, i: usize) {
        if self.engine.journal.is_on() {
            return self.hold(i);
        }
        self.send_buffer(i);
    }

    pub(super) fn send_buffer(&mut self, i: usize) {
        self.post_to_others();
        let mut out = std::mem::take(&mut self.out);
        self.send_now(i, &out);
        self.empty(&mut out, REPLY_FLUSH * 2);
        self.out = out;
    }

    /// Empties a buffer for replies, and gives back what it has beyond `kept` bytes.
    pub(super) fn empty(&self, out: &mut Out, kept: usize) {
        out.clear();
        if self.engine.replies.are_resized() {
            out.shrink(kept);
        }
    }

    /// Keeps the reply buffer for when the journal has been flushed, and empties it: nobody may hear of a change before.
    pub(super) fn hold(&mut self, i: usize) {
        if self.closed_for_length(i, self.out.len()) {
            return self.out.clear();
        }
        if self.out.len() >= REPLY_FLUSH && self.flush_journal().is_none() {
            return self.send_buffer(i);
        }
        let connection = self.connections[i].as_mut().expect("the caller has it");
        connection.note_replies(&self.engine.replies, self.out.len(), self.worker.now_ms);
        connection.output.hold(&self.out);
        self.out.clear();
        tell_later(&mut self.told, connection, i);
    }

    /// Sends replies to a connection.
    pub(super) fn send_now(&mut self, i: usize, out: &Out) {
        if self.closed_for_length(i, out.len()) {
            return;
        }
        let connection = self.connections[i].as_mut().expect("the caller has it");
        if !out.is_empty() {
            connection.note_replies(&self.engine.replies, out.len(), self.worker.now_ms);
            let counters = &self.worker.stats.counters;
            counters.writes.add(1);
            match connection.output.send(&mut connection.stream, out) {
                Ok(sent) => counters.net_out.add(sent as u64),
                Err(_) => return self.close(i),
            }
        }
        if connection.session.closing
            || !connection.output.is_empty()
            || !connection.pending.is_empty()
        {
            self.after_sending(i);
        }
    }

    /// Hands over the messages that commands left for clients of other threads. They are posted before a reply leaves: when
    /// somebody knows that a key has changed, whoever has read it hears so before the reply to what he asks next.
    fn post_to_others(&mut self) {
        let own = self.worker.thread;
        for delivery in self.worker.outbox.extract_if(.., |delivery| delivery.thread != own) {
            self.engine.host.deliver(delivery.thread, delivery.client, delivery.message);
        }
    }

    /// Hands over the messages that commands left for clients.
    pub(super) fn deliver(&mut self) {
        if self.worker.outbox.is_empty() {
            return;
        }
        self.post_to_others();
        for delivery in std::mem::take(&mut self.worker.outbox) {
            self.receive(delivery.client, delivery.message);
        }
        self.send_messages();
    }

    /// Sends the replies of a connection so far and passes on the messages that have been left meanwhile: a client that
    /// is told of what it does itself hears so behind the reply to it, and before the reply to what it did next.
    pub(super) fn catch_up(&mut self, i: usize) {
        let published = self.mailbox.collect_published();
        if published.is_empty() && self.worker.outbox.is_empty() {
            return;
        }
        self.send_unsent();
        if self.connections[i].is_some() {
            self.send(i);
        }
        published.into_iter().for_each(|message| self.pass_on(&mut vec![message]));
        self.deliver();
        self.send_messages();
    }
}
