//! An event loop: one thread with its poller and its connections.
//!
//! A turn reads every ready socket into one buffer, one after the other, and parses all whole requests; then it executes
//! them in order, while what the next ones will touch is loaded into the cache (`ahead.rs`). The replies of a connection
//! leave with one write, those of all connections of a turn one after the other.
//!
//! Nothing of a connection is shared with other threads but its mailbox and what it publishes.

mod ahead;
mod busy;
mod replies;
mod upkeep;
mod waits;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token};
use respire_engine::{Engine, Flow, Message, Prepared, Published, Session, Worker};
use respire_resp::{Args, LargeRequest, Limits, Out, Parsed, Parser, Proto, ProtocolError, Span};

use self::ahead::Ahead;
use self::busy::{Aside, Behind, Call};
use super::connection::{Connection, Excess};
use super::{Mail, Mailbox, NewConnection};

/// The token of the mailbox's bell.
pub(crate) const BELL: Token = Token(usize::MAX);

/// Bytes that one connection is read for at a time: some hundred requests, so that a client that sends as fast as it can
/// keeps the others waiting for tens of microseconds, not for milliseconds.
const READ_CHUNK: usize = 16 * 1024;
/// The read buffer: filled by as many connections as fit, then their requests are executed.
const READ_BUFFER: usize = 256 * 1024;
/// Argument spans that are kept room for between turns; a request may have many more.
const SPANS_KEPT: usize = 64 * 1024;
/// Bytes of replies that are gathered before they are sent, even within a batch.
const REPLY_FLUSH: usize = 1024 * 1024;
/// A connection with this many bytes still to be sent is not read any more until they are: a client that never reads
/// must not make the server hold its replies without bound. Far beyond what a client leaves unread by design.
const UNSENT_MAX: usize = 256 * 1024 * 1024;
/// Bytes of a large request that are read before other connections have their turn.
const LARGE_TURN: usize = 4 * 1024 * 1024;

/// How long replies may wait for those of the connections that follow in a turn, nanoseconds. Most turns are shorter.
const REPLIES_WAIT_NS: u64 = 250_000;
/// Buffers for replies that are kept between turns.
const SPARE_OUTS: usize = 32;
/// Bytes of each that are kept.
const SPARE_KEPT: usize = 16 * 1024;
/// Bytes of messages in a row for the same clients that are put together.
const JOINED_MAX: usize = 64 * 1024;

/// A whole request in the read buffer.
struct Request {
    connection: usize,
    /// Where it lies in the buffer.
    start: usize,
    end: usize,
    spans: (u32, u32),
    prepared: Option<Prepared>,
}

/// What a turn has read of one connection.
struct Portion {
    connection: usize,
    /// Its requests among those of the turn.
    requests: Range<usize>,
    /// Where its bytes lie in the buffer.
    start: usize,
    end: usize,
    /// Its last bytes are no request: the connection is closed after what came before is answered.
    error: Option<ProtocolError>,
}

impl Portion {
    /// Whether its bytes say all that there is to it, so that it can be read from them again.
    fn may_be_given_back(&self) -> bool {
        self.start < self.end
    }
}

/// What becomes of a connection's requests when one has been executed, or was to be.
enum Next {
    /// The next one is executed.
    Follows,
    /// The next one is executed when the connection may go on.
    FollowsLater,
    /// This one is, too.
    Waits,
    /// The connection is closed, or will be.
    Closes,
}

pub(crate) struct EventLoop {
    engine: Arc<Engine>,
    /// In a box, as a script's turn puts another in its place.
    worker: Box<Worker>,
    poll: Poll,
    mailbox: Arc<Mailbox>,
    /// How many connections this loop has, for the listener to balance by.
    load: Arc<AtomicUsize>,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    by_id: HashMap<u64, usize, ahash::RandomState>,
    /// Connections to be read this turn.
    ready: Vec<usize>,
    paused: Vec<usize>,
    /// When connections that wait have waited for long enough, monotonic nanoseconds.
    timers: BTreeSet<(u64, usize)>,
    /// Connections that messages have been queued for.
    told: Vec<usize>,
    /// Connections whose replies wait for the journal to be safe up to a position, in that order.
    held: VecDeque<(u64, usize)>,
    /// Up to where it was, when it was last looked at.
    safe_to: u64,
    buffer: Vec<u8>,
    filled: usize,
    spans: Vec<Span>,
    requests: Vec<Request>,
    portions: Vec<Portion>,
    ahead: Ahead,
    /// The replies to the connection whose requests are being executed.
    out: Out,
    /// Replies of connections whose requests of this turn are executed: they leave together, so that a client on the same
    /// machine is woken once a turn and not once for each of its connections.
    unsent: Vec<(usize, Out)>,
    /// When the replies of this turn left last, monotonic nanoseconds.
    replied_ns: u64,
    /// Buffers for replies, empty.
    spare_outs: Vec<Out>,
    next_upkeep_ns: u64,
    /// Where the next slice of upkeep goes on, if the last one had no time for all shards.
    upkeep_left_at: Option<usize>,
    next_check_ms: i64,
    stopping: bool,
    /// What is kept for the time of a script.
    aside: Aside,
}

impl EventLoop {
    pub(crate) fn new(
        engine: Arc<Engine>,
        worker: Worker,
        poll: Poll,
        mailbox: Arc<Mailbox>,
        load: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            aside: Aside::new(&engine),
            engine,
            worker: Box::new(worker),
            poll,
            mailbox,
            load,
            connections: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::default(),
            ready: Vec::new(),
            paused: Vec::new(),
            timers: BTreeSet::new(),
            told: Vec::new(),
            held: VecDeque::new(),
            safe_to: 0,
            // It grows with what comes in a turn: of few clients that is little.
            buffer: vec![0; 2 * READ_CHUNK],
            filled: 0,
            spans: Vec::new(),
            requests: Vec::new(),
            portions: Vec::new(),
            ahead: Ahead::default(),
            out: Out::default(),
            unsent: Vec::new(),
            replied_ns: 0,
            spare_outs: Vec::new(),
            next_upkeep_ns: 0,
            upkeep_left_at: None,
            next_check_ms: 0,
            stopping: false,
        }
    }

    /// Runs until the mailbox says to stop.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        while !self.stopping {
            self.free.append(&mut self.aside.freed);
            let timeout = self.timeout();
            self.turn(&mut events, timeout);
        }
    }

    /// Waits for something to do, for `timeout` at most, and does it.
    fn turn(&mut self, events: &mut Events, timeout: Duration) {
        self.aside.turn += 1;
        if let Err(error) = self.poll.poll(events, Some(timeout))
            && error.kind() != io::ErrorKind::Interrupted
        {
            log::error!("Polling sockets failed: {error}");
            self.stopping = true;
            return;
        }
        let idle = events.is_empty() && self.ready.is_empty();
        let mut rung = false;
        for event in &*events {
            if event.token() == BELL {
                rung = true;
                continue;
            }
            let i = event.token().0;
            if event.is_writable() {
                self.continue_sending(i);
            }
            if event.is_readable() || event.is_read_closed() {
                self.note_readable(i, event.is_read_closed());
            }
        }
        if rung {
            let mut mail = Vec::new();
            self.mailbox.collect(&mut mail);
            self.open_letters(&mut mail);
            self.send_messages();
        }
        self.ring_timers();
        self.resume_paused();
        self.serve_ready();
        self.release_held();
        self.upkeep(idle);
        self.send_messages();
    }

    fn timeout(&self) -> Duration {
        if !self.ready.is_empty() || self.upkeep_left_at.is_some() {
            return Duration::ZERO;
        }
        let now = self.engine.clock.monotonic_ns();
        let timer = self.timers.first().map_or(u64::MAX, |(at, _)| *at);
        let wait = Duration::from_nanos(self.next_upkeep_ns.min(timer).saturating_sub(now));
        let wait = wait.max(Duration::from_millis(1));
        if self.paused.is_empty() { wait } else { wait.min(Duration::from_millis(5)) }
    }

    fn note_readable(&mut self, i: usize, closed: bool) {
        if let Some(Some(connection)) = self.connections.get_mut(i) {
            connection.readable = true;
            connection.read_closed |= closed;
            if !connection.listed {
                connection.listed = true;
                self.ready.push(i);
            }
        }
    }

    fn open_letters(&mut self, letters: &mut Vec<Mail>) {
        if self.aside.serving {
            let waits = |letter: &mut Mail| !matches!(letter, Mail::Connection(_) | Mail::Stop);
            self.aside.mail.extend(letters.extract_if(.., waits));
        } else if !self.aside.mail.is_empty() {
            letters.splice(..0, std::mem::take(&mut self.aside.mail));
        }
        // Messages in a row for the same clients, and their size.
        let (mut row, mut size) = (Vec::new(), 0);
        for letter in letters.drain(..) {
            let Mail::Published(message) = letter else {
                self.pass_on(&mut row);
                self.open_letter(letter);
                continue;
            };
            let fits = row.first().is_none_or(|first: &Arc<Published>| first.goes_with(&message))
                && size + message.size() <= JOINED_MAX;
            if !fits {
                self.pass_on(&mut row);
                size = 0;
            }
            size += message.size();
            row.push(message);
        }
        self.pass_on(&mut row);
    }

    fn open_letter(&mut self, letter: Mail) {
        match letter {
            Mail::Connection(new) => self.welcome(*new),
            Mail::Message { client, message } => self.receive(client, message),
            Mail::Published(message) => self.pass_on(&mut vec![message]),
            Mail::Stop => self.stopping = true,
        }
    }

    fn welcome(&mut self, mut new: NewConnection) {
        let i = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        if let Err(error) = new.stream.register(self.poll.registry(), Token(i)) {
            log::warn!("Registering a connection failed: {error}");
            self.load.fetch_sub(1, Ordering::Relaxed);
            return self.free.push(i);
        }
        let info = Arc::new(new.info);
        self.by_id.insert(info.id, i);
        self.worker.stats.counters.connections.add(1);
        let session = Session::new(&self.engine, info);
        self.connections[i] = Some(Box::new(Connection::new(new.stream, session)));
    }

    fn receive(&mut self, client: u64, message: Message) {
        let Some(&i) = self.by_id.get(&client) else { return };
        let connection = self.connections[i].as_mut().expect("listed by id");
        match message {
            Message::Monitor(_) if !connection.session.is_monitor() => {}
            Message::Push(bytes) | Message::Monitor(bytes) => {
                connection.output.push_message(bytes);
                tell_later(&mut self.told, connection, i);
            }
            Message::Unblocked(reply) => self.unblock(i, reply),
            Message::Recheck => {
                if !self.engine.may_listen(&connection.session) {
                    self.close(i);
                }
            }
            Message::Kill => self.close(i),
        }
    }

    /// Queues messages for all connections that listen to their channel, and empties the list. They are sent to when all
    /// letters are read.
    fn pass_on(&mut self, messages: &mut Vec<Arc<Published>>) {
        let Some(first) = messages.first() else { return };
        // However many clients listen, the messages are put together once.
        let mut joined = [None, None];
        for client in self.worker.receivers(first) {
            let Some(&i) = self.by_id.get(client) else { continue };
            let connection = self.connections[i].as_mut().expect("listed by id");
            let proto = connection.session.proto;
            let bytes = joined[usize::from(proto == Proto::Resp3)]
                .get_or_insert_with(|| Published::joined(messages, proto));
            connection.output.push_message(Arc::clone(bytes));
            tell_later(&mut self.told, connection, i);
        }
        messages.clear();
    }

    fn close(&mut self, i: usize) {
        let Some(mut connection) = self.connections[i].take() else { return };
        connection.stream.deregister(self.poll.registry());
        // Whom nobody is shown any more is in nobody's way: neither of those that `maxclients` lets in, nor in the balance.
        self.load.fetch_sub(1, Ordering::Release);
        connection.session.end(&self.engine, &mut self.worker);
        self.by_id.remove(&connection.session.info.id);
        self.paused.retain(|p| *p != i);
        if connection.paused {
            self.engine.pause.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(at) = connection.timer_ns {
            self.timers.remove(&(at, i));
        }
        self.ready.retain(|r| *r != i);
        if self.aside.serving { self.aside.freed.push(i) } else { self.free.push(i) }
    }

    /// Reads and executes what ready connections have sent. One that has more waits for the next turn.
    fn serve_ready(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        self.worker.begin_batch(&self.engine);
        let mut ready = std::mem::take(&mut self.ready);
        for i in ready.drain(..) {
            if self.filled + READ_CHUNK * 2 > READ_BUFFER {
                self.execute();
            }
            self.read(i);
        }
        self.execute();
        // The list's allocation is kept; those that came meanwhile are few.
        ready.append(&mut self.ready);
        self.ready = ready;
        self.worker.end_batch(&self.engine);
    }

    fn read(&mut self, i: usize) {
        let Some(connection) = self.connections[i].as_mut() else { return };
        connection.listed = false;
        let read_in = std::mem::replace(&mut connection.read_in, self.aside.turn);
        if self.aside.serving && self.must_wait(i, read_in) {
            self.connections[i].as_mut().expect("still there").read_in = read_in;
            return;
        }
        let Some(connection) = self.connections[i].as_mut() else { return };
        if connection.session.is_blocked() && connection.read_closed {
            return self.close(i);
        }
        if connection.paused || connection.session.closing || connection.session.is_blocked() {
            return;
        }
        if connection.output.len() >= UNSENT_MAX {
            return; // stays marked readable; see `after_sending`
        }
        if connection.large.is_some() && !self.read_large(i) {
            // What has come of it so far counts as its client's.
            return self.publish(i);
        }
        let start = self.filled;
        let connection = self.connections[i].as_mut().expect("still there");
        // What is left of the last read goes in front. It is short, unless a pause has held requests back.
        let left = connection.pending.len();
        if start + left + READ_CHUNK > self.buffer.len() {
            self.buffer.resize(start + left + READ_CHUNK, 0);
        }
        self.buffer[start..start + left].copy_from_slice(&connection.pending);
        connection.pending = Vec::new();
        let from = start + left;
        let room = &mut self.buffer[from..from + READ_CHUNK];
        let got = match connection.stream.read(room) {
            Ok(0) => return self.close(i),
            Ok(got) => got,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => 0,
                _ => return self.close(i),
            },
        };
        let more = got == READ_CHUNK || (got > 0 && connection.stream.holds_more());
        connection.readable = more || (connection.read_closed && got > 0);
        // A reply to a large request may have listed it already; nobody is read twice in a turn.
        if connection.readable && !connection.listed {
            connection.listed = true;
            self.ready.push(i);
        }
        let counters = &self.worker.stats.counters;
        counters.net_in.add(got as u64);
        counters.reads.add(1);
        self.parse(i, start, from + got);
    }

    /// Parses the requests of a connection that lie in the buffer from `start` to `end`.
    fn parse(&mut self, i: usize, start: usize, end: usize) {
        use ProtocolError::{UnauthenticatedBulkLength, UnauthenticatedMultibulkLength};
        let connection = self.connections[i].as_mut().expect("the caller has it");
        let parser = Parser {
            limits: Limits {
                max_bulk: self.worker.settings.proto_max_bulk_len as i64,
                authenticated: connection.session.authenticated || self.engine.is_open(),
            },
        };
        let buffer = &mut self.buffer[..end];
        let first_request = self.requests.len();
        let mut at = start;
        let mut error = None;
        while at < end {
            let first = self.spans.len();
            // What comes before it may authenticate the client: it is judged again when that has been executed.
            let too_early = at > start && !parser.limits.authenticated;
            match parser.parse(buffer, at, &mut self.spans) {
                Ok(Parsed::Large(_))
                | Err(UnauthenticatedMultibulkLength | UnauthenticatedBulkLength)
                    if too_early =>
                {
                    self.spans.truncate(first);
                    connection.pending = buffer[at..].to_vec();
                    connection.readable = true;
                    if !connection.listed {
                        connection.listed = true;
                        self.ready.push(i);
                    }
                    break;
                }
                Ok(Parsed::Request { end: next }) => {
                    let spans = (first as u32, self.spans.len() as u32);
                    self.requests.push(Request {
                        connection: i,
                        start: at,
                        end: next,
                        spans,
                        prepared: None,
                    });
                    at = next;
                }
                Ok(Parsed::Nothing { end: next }) => at = next,
                Ok(Parsed::Incomplete) => {
                    connection.pending = buffer[at..].to_vec();
                    break;
                }
                Ok(Parsed::Large(large)) => {
                    connection.large = Some(large);
                    break;
                }
                Err(found) => {
                    self.spans.truncate(first);
                    error = Some(found);
                    break;
                }
            }
        }
        self.filled = end;
        let requests = first_request..self.requests.len();
        self.portions.push(Portion { connection: i, requests, start, end, error });
    }

    /// Reads on in a request that is being gathered; executes it when it is whole. Returns whether there may be
    /// requests behind it.
    fn read_large(&mut self, i: usize) -> bool {
        let mut taken = 0;
        loop {
            let connection = self.connections[i].as_mut().expect("the caller has it");
            let large = connection.large.as_mut().expect("the caller has checked");
            if large.is_whole() {
                return self.may_hold(i) && self.execute_large(i);
            }
            if taken >= LARGE_TURN {
                if !connection.listed {
                    connection.listed = true;
                    self.ready.push(i);
                }
                return false;
            }
            let got = match large.direct() {
                Some((target, missing)) => {
                    let before = target.len();
                    let got = connection.stream.read_into(target);
                    // Should the allocation have more room than was asked for, the socket may have filled it.
                    let rest = target.split_off(target.len().min(before + missing));
                    let arrived = target.len() - before;
                    large.read_direct(arrived);
                    got.map(|got| (got, rest))
                }
                None => {
                    let room = room(&mut self.buffer, self.filled);
                    let got = connection.stream.read(room);
                    got.map(|got| (got, room[..got].to_vec()))
                }
            };
            let (got, bytes) = match got {
                Ok((0, _)) => {
                    self.close(i);
                    return false;
                }
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.close(i);
                    }
                    return false;
                }
            };
            self.worker.stats.counters.net_in.add(got as u64);
            taken += got;
            match large.feed(&bytes) {
                Ok(used) => connection.pending.extend_from_slice(&bytes[used..]),
                Err(error) => {
                    connection.large = None;
                    self.portions.push(Portion {
                        connection: i,
                        requests: self.requests.len()..self.requests.len(),
                        start: self.filled,
                        end: self.filled,
                        error: Some(error),
                    });
                    return false;
                }
            }
            if connection.excess(&self.worker.settings, self.worker.now_ms).is_some() {
                self.close_for_excess(i, Excess::Query);
                return false;
            }
        }
    }

    fn execute_large(&mut self, i: usize) -> bool {
        let connection = self.connections[i].as_mut().expect("the caller has it");
        let large: Box<LargeRequest> = connection.large.take().expect("the caller has checked");
        let args = large.args();
        let session = &mut connection.session;
        let mut hashes = Vec::new();
        let prepared = self.engine.prepare(&args, session.db(), &mut hashes);
        self.out.clear();
        self.worker.begin_timing(&self.engine);
        let flow = if prepared.runs_script() && !self.aside.serving {
            let mut connection = self.connections[i].take().expect("it was just there");
            let mut out = std::mem::take(&mut self.out);
            let session = &mut connection.session;
            let call = Call { args, prepared: &prepared, hashes: &hashes };
            let flow = self.execute_script(i, session, call, &Behind::default(), &mut out);
            self.out = out;
            self.connections[i] = Some(connection);
            flow
        } else {
            let (worker, out) = (&mut self.worker, &mut self.out);
            self.engine.execute(worker, session, args, &prepared, &hashes, out)
        };
        match flow {
            Flow::Done => {
                self.worker.settle_timing(&self.engine);
                drop(large);
                self.send(i);
                self.deliver();
                self.connections[i].is_some()
            }
            Flow::Blocked(timeout_ms) => {
                self.worker.settle_timing(&self.engine);
                self.set_timer(i, timeout_ms);
                self.send(i);
                self.deliver();
                false
            }
            Flow::Paused(_) => {
                let connection = self.connections[i].as_mut().expect("the caller has it");
                connection.large = Some(large);
                self.pause(i);
                false
            }
        }
    }

    /// Executes all requests in the buffer and empties it.
    fn execute(&mut self) {
        let mut requests = std::mem::take(&mut self.requests);
        let mut portions = std::mem::take(&mut self.portions);
        if !requests.is_empty() {
            self.replied_ns = self.worker.begin_timing(&self.engine);
        }
        self.ahead.start();
        let serving = self.aside.serving;
        for n in 0..portions.len() {
            let (portion, behind) = portions[n..].split_first_mut().expect("one for each n");
            if self.aside.took_over && !serving && portion.may_be_given_back() {
                continue;
            }
            self.execute_portion(&mut requests, portion, behind);
            self.finish_portion(portion);
        }
        self.aside.took_over &= serving;
        // Sending is no part of what commands took.
        self.worker.settle_timing(&self.engine);
        self.send_unsent();
        requests.clear();
        portions.clear();
        self.requests = requests;
        self.portions = portions;
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT);
        self.filled = 0;
        if self.buffer.len() > READ_BUFFER {
            self.buffer.truncate(READ_BUFFER);
            self.buffer.shrink_to_fit();
        }
        self.engine.limit_clients(&mut self.worker);
        self.deliver();
        self.send_messages();
    }

    /// Executes the requests of one connection, or as many as may be executed now. `behind` are the portions that follow.
    #[inline]
    fn execute_portion(
        &mut self,
        requests: &mut [Request],
        portion: &mut Portion,
        behind: &[Portion],
    ) {
        self.out.clear();
        let mut at = portion.requests.start;
        while at < portion.requests.end {
            if at >= self.ahead.end() {
                self.reply_in_time();
                self.look_ahead(requests, at);
            }
            at += self.execute_row(&requests[at..self.ahead.end().min(portion.requests.end)]);
            if at >= self.ahead.end() || at == portion.requests.end {
                continue;
            }
            let held = match self.execute_one(requests, at, behind) {
                Next::Follows => {
                    at += 1;
                    continue;
                }
                Next::Closes => None,
                Next::Waits => Some((at, requests[at].start)),
                Next::FollowsLater => Some((at + 1, requests[at].end)),
            };
            if let Some((first, start)) = held {
                let held = &requests[first..portion.requests.end];
                self.hold_back(portion.connection, held, start..portion.end);
            }
            // What is wrong behind them is found when they are read again, if ever.
            portion.error = None;
            return;
        }
    }

    /// Executes the first of the requests of a connection, as many as make a row. Returns how many that are.
    #[inline]
    fn execute_row(&mut self, requests: &[Request]) -> usize {
        let Some(first) = requests.first() else { return 0 };
        let prepared = |request: &Request| request.prepared.expect("its window has been prepared");
        if !prepared(first).is_simple() {
            return 0;
        }
        let Some(connection) = self.connections[first.connection].as_mut() else { return 0 };
        let requests = requests.iter().map(|request| {
            let spans = &self.spans[request.spans.0 as usize..request.spans.1 as usize];
            let prepared = request.prepared.as_ref().expect("its window has been prepared");
            (Args::new(&self.buffer, spans), prepared)
        });
        let (worker, session) = (&mut self.worker, &mut connection.session);
        let (hashes, out) = (self.ahead.hashes(), &mut self.out);
        self.engine.execute_row(worker, session, requests, hashes, out, REPLY_FLUSH)
    }

    /// Executes request number `at`.
    #[inline]
    fn execute_one(&mut self, requests: &[Request], at: usize, behind: &[Portion]) -> Next {
        let request = &requests[at];
        let i = request.connection;
        let prepared = request.prepared.as_ref().expect("its window has been prepared");
        let plain = prepared.is_plain();
        if !plain {
            self.make_way(i, prepared);
        }
        let Some(connection) = self.connections[i].as_mut() else { return Next::Closes };
        let flow = if !plain && prepared.runs_script() && !self.aside.serving {
            self.execute_script_in_window(requests, at, behind)
        } else {
            let spans = &self.spans[request.spans.0 as usize..request.spans.1 as usize];
            let args = Args::new(&self.buffer, spans);
            let (worker, out) = (&mut self.worker, &mut self.out);
            let session = &mut connection.session;
            self.engine.execute(worker, session, args, prepared, self.ahead.hashes(), out)
        };
        let connection = self.connections[i].as_mut().expect("it was just there");
        match flow {
            Flow::Done => {
                if connection.session.hears() {
                    self.catch_up(i);
                }
                if self.out.len() >= REPLY_FLUSH && self.connections[i].is_some() {
                    self.send(i);
                }
                match &self.connections[i] {
                    Some(connection) if !connection.session.closing => Next::Follows,
                    _ => Next::Closes,
                }
            }
            Flow::Paused(_) => {
                self.pause(i);
                Next::Waits
            }
            Flow::Blocked(timeout_ms) => {
                self.set_timer(i, timeout_ms);
                Next::FollowsLater
            }
        }
    }

    /// Does what has to be done before a command of connection number `i` that is not a plain one.
    fn make_way(&mut self, i: usize, prepared: &Prepared) {
        if prepared.subscribes() {
            // Who listens from now on has nothing to do with what has been said before.
            self.catch_up(i);
        }
        // A script sends what has to be sent when it turns out to take long.
        if prepared.may_take_long() && !prepared.runs_script() {
            self.send_unsent();
        }
    }
}

/// Room for what is read next, from a place in the buffer on.
fn room(buffer: &mut Vec<u8>, from: usize) -> &mut [u8] {
    if buffer.len() < from + READ_CHUNK {
        buffer.resize(from + READ_CHUNK, 0);
    }
    &mut buffer[from..from + READ_CHUNK]
}

/// Remembers that something was queued for connection number `i`.
fn tell_later(told: &mut Vec<usize>, connection: &mut Connection, i: usize) {
    if !connection.told {
        connection.told = true;
        told.push(i);
    }
}
