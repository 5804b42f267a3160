//! One thread of load: its connections, its poller, its clock.
//!
//! Owns: sending batches, counting replies, and the latency of each reply.
//! Invariant: at most one batch of a connection is under way, so that a reply's send time is its batch's; and every
//! request that was sent is answered, or the run is an error that says what was missing.
//!
//! Closed loop: a connection sends its next batch when the last one is answered, and a reply's latency counts from
//! the moment its batch was handed to the kernel. Open loop: request `i` has a moment at which it *should* be sent,
//! fixed before the run; it goes out then on a free connection, or later on the first one that becomes free, and its
//! latency counts from that moment in both cases. A stall of the server thus shows in every request that it delayed.

use crate::cpu;
use crate::keys::KeySource;
use crate::skip::Skipper;
use crate::target::{self, Address, Error, Target};
use crate::tls::TlsStream;
use crate::workload::Batches;
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const READ_BUFFER: usize = 64 * 1024;
/// The longest sleep in the poller: how soon a deadline, a silent server or another thread's failure is noticed.
const TICK: Duration = Duration::from_millis(100);
/// Latencies above this are recorded as this.
const MAX_LATENCY_NS: u64 = 600_000_000_000;

/// A histogram of nanoseconds at three digits.
pub(crate) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3).expect("the bounds are constants that fit")
}

enum Stream {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
    Tls(Box<TlsStream<mio::net::TcpStream>>),
}

impl Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(buffer),
            Stream::Unix(stream) => stream.write(buffer),
            Stream::Tls(stream) => stream.write(buffer),
        }
    }

    /// Whether the stream itself has taken bytes that the kernel has not.
    fn holds_bytes(&self) -> bool {
        match self {
            Stream::Tls(stream) => stream.conn.wants_write(),
            _ => false,
        }
    }

    /// Hands the kernel what the stream holds, as far as it takes it.
    fn push(&mut self) -> io::Result<()> {
        let Stream::Tls(stream) = self else { return Ok(()) };
        match stream.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            pushed => pushed,
        }
    }

    /// Whether a read that did not fill its buffer has emptied the stream.
    fn is_plain(&self) -> bool {
        !matches!(self, Stream::Tls(_))
    }

    fn source(&mut self) -> &mut dyn mio::event::Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
            Stream::Tls(stream) => &mut stream.sock,
        }
    }
}

struct Connection {
    stream: Stream,
    skipper: Skipper,
    /// Requests of the batch under way that are not answered.
    outstanding: u64,
    /// Closed loop: when the batch was sent. Open loop: the number of its first unanswered request.
    origin: u64,
    /// When a reply last ended or the kernel last took bytes, for the timeout. Mere bytes of a reply do not count: a
    /// server could send them for ever.
    active_at: u64,
    /// What the kernel did not take of the batch.
    unsent: Vec<u8>,
}

impl Connection {
    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.stream.holds_bytes()
    }
}

/// When requests should be sent: number `i` of this thread at `first + i * interval`.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) first_ns: f64,
    pub(crate) interval_ns: f64,
}

impl Schedule {
    fn intended(&self, request: u64) -> u64 {
        (self.first_ns + request as f64 * self.interval_ns) as u64
    }

    /// How many requests should have been sent at `now`.
    fn due(&self, now: u64) -> u64 {
        let since = now as f64 - self.first_ns;
        if since < 0.0 { 0 } else { (since / self.interval_ns) as u64 + 1 }
    }
}

/// What one thread found.
pub(crate) struct Outcome {
    pub(crate) replies: u64,
    pub(crate) errors: u64,
    pub(crate) nulls: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) latency: Histogram<u64>,
    pub(crate) finished_at: Instant,
    pub(crate) client_cpu_ns: u64,
}

/// What all threads of a run share.
#[derive(Default)]
pub(crate) struct Shared {
    /// Replies so far, for a progress bar.
    pub(crate) progress: AtomicU64,
    /// A thread failed: the others stop, too.
    pub(crate) failed: AtomicBool,
}

pub(crate) struct Driver<'a> {
    poll: Poll,
    timer: timer::Timer,
    connections: Vec<Connection>,
    batches: Batches,
    keys: KeySource,
    pipeline: u64,
    /// Requests still to be sent; `u64::MAX` when only the deadline ends the run.
    remaining: u64,
    deadline_ns: u64,
    schedule: Option<Schedule>,
    sent: u64,
    replies: u64,
    /// Connections with nothing under way, in the order in which they became so (open loop).
    idle: VecDeque<usize>,
    latency: Histogram<u64>,
    shared: &'a Shared,
    address: Address,
    timeout: Duration,
    start: Instant,
}

pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) pipeline: u64,
    /// `None`: until the deadline.
    pub(crate) requests: Option<u64>,
    pub(crate) duration: Option<Duration>,
    pub(crate) schedule: Option<Schedule>,
}

impl<'a> Driver<'a> {
    /// Connects and logs in; nothing is sent before `run`.
    pub(crate) fn new(
        target: &Target,
        plan: Plan,
        batches: Batches,
        keys: KeySource,
        shared: &'a Shared,
    ) -> Result<Driver<'a>, Error> {
        let poll = Poll::new().map_err(no_poller)?;
        let timer =
            timer::Timer::new(poll.registry(), Token(plan.connections)).map_err(no_poller)?;
        let mut connections = Vec::with_capacity(plan.connections);
        for index in 0..plan.connections {
            let mut stream = match target.connect()?.into_stream()? {
                target::Stream::Tcp(stream) => Stream::Tcp(mio::net::TcpStream::from_std(stream)),
                target::Stream::Unix(stream) => {
                    Stream::Unix(mio::net::UnixStream::from_std(stream))
                }
                target::Stream::Tls(stream) => {
                    let TlsStream { conn, sock } = *stream;
                    let sock = mio::net::TcpStream::from_std(sock);
                    Stream::Tls(Box::new(TlsStream { conn, sock }))
                }
            };
            poll.registry()
                .register(stream.source(), Token(index), Interest::READABLE)
                .map_err(no_poller)?;
            connections.push(Connection {
                stream,
                skipper: Skipper::default(),
                outstanding: 0,
                origin: 0,
                active_at: 0,
                unsent: Vec::new(),
            });
        }
        Ok(Driver {
            poll,
            timer,
            idle: (0..connections.len()).collect(),
            connections,
            batches,
            keys,
            pipeline: plan.pipeline,
            remaining: plan.requests.unwrap_or(u64::MAX),
            deadline_ns: plan.duration.map_or(u64::MAX, |duration| duration.as_nanos() as u64),
            schedule: plan.schedule,
            sent: 0,
            replies: 0,
            latency: new_histogram(),
            shared,
            address: target.address.clone(),
            timeout: target.timeout,
            start: Instant::now(),
        })
    }

    /// Sends everything and waits for every reply.
    pub(crate) fn run(mut self, start: Instant) -> Result<Outcome, Error> {
        self.start = start;
        let cpu_before = cpu::own_thread_nanoseconds();
        let result = self.turns();
        if result.is_err() {
            self.shared.failed.store(true, Ordering::Relaxed);
        }
        result?;
        let finished_at = Instant::now();
        let skippers = || self.connections.iter().map(|connection| &connection.skipper);
        Ok(Outcome {
            replies: self.replies,
            errors: skippers().map(|skipper| skipper.errors).sum(),
            nulls: skippers().map(|skipper| skipper.nulls).sum(),
            first_error: skippers().find_map(Skipper::first_error),
            finished_at,
            client_cpu_ns: cpu::own_thread_nanoseconds() - cpu_before,
            latency: self.latency,
        })
    }

    fn turns(&mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER];
        let mut next_check = TICK.as_nanos() as u64;
        let mut published = 0;
        if self.schedule.is_none() {
            for index in 0..self.connections.len() {
                let now = self.now();
                self.send(index, now)?;
            }
        }
        loop {
            let timeout = self.dispatch()?;
            if self.sent == self.replies && (self.remaining == 0 || self.ended()) {
                return Ok(());
            }
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(no_poller(error));
                }
                _ => {}
            }
            for event in &events {
                let Token(index) = event.token();
                if index == self.connections.len() {
                    continue;
                }
                if event.is_writable() && self.connections[index].has_unsent() {
                    self.flush(index)?;
                }
                let ended = event.is_read_closed() || event.is_error();
                self.receive(index, &mut buffer, ended)?;
            }
            self.shared.progress.fetch_add(self.replies - published, Ordering::Relaxed);
            published = self.replies;
            let now = self.now();
            if now >= next_check {
                next_check = now + TICK.as_nanos() as u64;
                self.check(now)?;
            }
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// A closed loop whose time is over. An open loop sends all of its schedule, however late.
    fn ended(&self) -> bool {
        self.schedule.is_none() && self.now() >= self.deadline_ns
    }

    /// Open loop: sends what is due on free connections. Returns how long the poller may sleep.
    fn dispatch(&mut self) -> Result<Duration, Error> {
        let Some(schedule) = self.schedule.clone() else {
            return Ok(TICK);
        };
        loop {
            let now = self.now();
            let due = schedule.due(now).min(self.sent.saturating_add(self.remaining));
            while self.sent < due {
                let Some(index) = self.idle.pop_front() else {
                    return Ok(TICK);
                };
                let count = (due - self.sent).min(self.pipeline);
                self.connections[index].origin = self.sent;
                self.send_batch(index, count, now)?;
            }
            if self.remaining == 0 {
                return Ok(TICK);
            }
            let wait = schedule.intended(self.sent).saturating_sub(self.now());
            if wait > 0 {
                return self.timer.arm(Duration::from_nanos(wait), TICK).map_err(no_poller);
            }
        }
    }

    /// Closed loop: the connection's next batch, unless the run is over.
    fn send(&mut self, index: usize, now: u64) -> Result<(), Error> {
        let count = self.pipeline.min(self.remaining);
        if count == 0 || now >= self.deadline_ns {
            return Ok(());
        }
        self.connections[index].origin = now;
        self.send_batch(index, count, now)
    }

    fn send_batch(&mut self, index: usize, count: u64, now: u64) -> Result<(), Error> {
        self.remaining -= count;
        self.sent += count;
        let batch = self.batches.next(count as usize, &mut self.keys);
        let connection = &mut self.connections[index];
        connection.outstanding = count;
        connection.active_at = now;
        let taken = write(&mut connection.stream, batch, &self.address)?;
        connection.unsent.extend_from_slice(&batch[taken..]);
        if connection.has_unsent() {
            self.watch(index, Interest::READABLE | Interest::WRITABLE)?;
        }
        Ok(())
    }

    fn flush(&mut self, index: usize) -> Result<(), Error> {
        let now = self.now();
        let connection = &mut self.connections[index];
        let taken = write(&mut connection.stream, &connection.unsent, &self.address)?;
        connection.unsent.drain(..taken);
        if taken > 0 {
            connection.active_at = now;
        }
        if !connection.has_unsent() {
            self.watch(index, Interest::READABLE)?;
        }
        Ok(())
    }

    fn watch(&mut self, index: usize, interest: Interest) -> Result<(), Error> {
        let source = self.connections[index].stream.source();
        self.poll.registry().reregister(source, Token(index), interest).map_err(no_poller)
    }

    /// Reads until nothing is left, counts replies, and goes on with the next batch. `ended` says that the poller
    /// has seen the stream's end, of which it tells only once.
    fn receive(&mut self, index: usize, buffer: &mut [u8], ended: bool) -> Result<(), Error> {
        loop {
            let connection = &mut self.connections[index];
            let len = match connection.stream.read(buffer) {
                Ok(0) => return Err(self.closed(index)),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(self.closed(index));
                }
                Err(error) => {
                    return Err(Error(format!("cannot read from {}: {error}", self.address)));
                }
            };
            let replies = connection
                .skipper
                .feed(&buffer[..len])
                .map_err(|error| Error(format!("{}: {error}", self.address)))?;
            let now = self.start.elapsed().as_nanos() as u64;
            if replies > 0 {
                self.answered(index, replies, now)?;
            }
            // A short read has emptied the socket: the poller tells when there is more.
            if len < buffer.len() && !ended && self.connections[index].stream.is_plain() {
                return Ok(());
            }
        }
    }

    fn answered(&mut self, index: usize, replies: u64, now: u64) -> Result<(), Error> {
        let connection = &mut self.connections[index];
        let Some(outstanding) = connection.outstanding.checked_sub(replies) else {
            return Err(Error(format!("{} sent more replies than requests", self.address)));
        };
        connection.outstanding = outstanding;
        connection.active_at = now;
        self.replies += replies;
        match &self.schedule {
            None => {
                let latency = now - connection.origin;
                self.latency.saturating_record_n(latency, replies);
                if outstanding == 0 {
                    self.send(index, now)?;
                }
            }
            Some(schedule) => {
                for request in connection.origin..connection.origin + replies {
                    self.latency.saturating_record(now.saturating_sub(schedule.intended(request)));
                }
                connection.origin += replies;
                if outstanding == 0 {
                    self.idle.push_back(index);
                }
            }
        }
        Ok(())
    }

    fn closed(&self, index: usize) -> Error {
        let Error(mut text) = target::closed(&self.address);
        if let Some(last_words) = self.connections[index].skipper.first_error() {
            text.push_str(&format!("; it had said: {last_words}"));
        }
        Error(text)
    }

    /// Looks for silence and for failures of other threads.
    fn check(&self, now: u64) -> Result<(), Error> {
        if self.shared.failed.load(Ordering::Relaxed) {
            return Err(Error::second_hand());
        }
        let limit = self.timeout.as_nanos() as u64;
        let waits = |connection: &&Connection| {
            connection.outstanding > 0 && now.saturating_sub(connection.active_at) > limit
        };
        match self.connections.iter().find(waits) {
            Some(_) => Err(target::silent(&self.address, self.timeout)),
            None => Ok(()),
        }
    }
}

fn write(stream: &mut Stream, bytes: &[u8], address: &Address) -> Result<usize, Error> {
    stream.push().map_err(|error| Error(format!("cannot write to {address}: {error}")))?;
    let mut taken = 0;
    while taken < bytes.len() {
        match stream.write(&bytes[taken..]) {
            Ok(len) => taken += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The server may have said why before it closed; the read that follows finds it, or the end.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(Error(format!("cannot write to {address}: {error}"))),
        }
    }
    Ok(taken)
}

fn no_poller(error: io::Error) -> Error {
    Error(format!("the poller failed: {error}"))
}

/// A wake-up more exact than the poller's milliseconds.
#[cfg(target_os = "linux")]
mod timer {
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use rustix::fd::{AsRawFd, OwnedFd};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::io;
    use std::time::Duration;

    pub(super) struct Timer(OwnedFd);

    impl Timer {
        pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Timer(fd))
        }

        /// Wakes the poller after `wait`, or lets it sleep for `tick` if that is shorter.
        pub(super) fn arm(&self, wait: Duration, tick: Duration) -> io::Result<Duration> {
            if wait < tick {
                let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
                let it_value = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
                let once = Itimerspec { it_interval: zero, it_value };
                timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
            }
            Ok(tick)
        }
    }
}

/// Without such a timer the poller is asked again and again when a request is due soon.
#[cfg(not(target_os = "linux"))]
mod timer {
    use mio::{Registry, Token};
    use std::io;
    use std::time::Duration;

    pub(super) struct Timer;

    impl Timer {
        pub(super) fn new(_: &Registry, _: Token) -> io::Result<Timer> {
            Ok(Timer)
        }

        pub(super) fn arm(&self, wait: Duration, tick: Duration) -> io::Result<Duration> {
            let exact = Duration::from_millis(2);
            Ok(if wait < exact { Duration::ZERO } else { (wait - exact).min(tick) })
        }
    }
}
