//! Drives the engine in-process for the tests that stand beside the handlers: a clock that only moves when told, fixed
//! randomness, any number of clients on one thread, replies as raw bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use respire_keyspace::Mode;
use respire_resp::{Out, OwnedArgs};

use crate::client::ClientInfo;
use crate::config::{Config, Settings};
use crate::dispatch::Flow;
use crate::engine::Engine;
use crate::host::{Clock, NoHost};
use crate::session::Session;
use crate::worker::{Message, Worker};

/// Unix time at which every harness starts, milliseconds.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// A clock that stands still between calls of [`Harness::advance_ms`].
struct StillClock(Arc<AtomicI64>);

impl Clock for StillClock {
    fn unix_us(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_ns(&self) -> u64 {
        (self.unix_us() - START_MS * 1000) as u64 * 1000
    }
}

/// An engine with one thread and its clients. Client 0 is there from the start.
pub(crate) struct Harness {
    pub(crate) engine: Engine,
    pub(crate) worker: Worker,
    pub(crate) sessions: Vec<Session>,
    now_us: Arc<AtomicI64>,
    pub(crate) host: NoHost,
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::with_settings(|_| {})
    }

    /// A harness whose settings `change` has set.
    pub(crate) fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        let defaults = Settings::new(1, "/");
        let mut settings = defaults.clone();
        change(&mut settings);
        let now_us = Arc::new(AtomicI64::new(START_MS * 1000));
        let clock = Box::new(StillClock(Arc::clone(&now_us)));
        let config = Config::new(defaults, settings);
        let host = NoHost::default();
        let engine = Engine::new(config, clock, Box::new(host.clone()), [1, 2, 3, 4]);
        let worker = Worker::new(&engine, 0, 42);
        let mut this = Self { engine, worker, sessions: Vec::new(), now_us, host };
        this.connect();
        this
    }

    /// Connects one more client; returns its index for [`Self::run_as`]. Its `addr` is `127.0.0.1:<50000 + index>`.
    pub(crate) fn connect(&mut self) -> usize {
        let index = self.sessions.len();
        let info = ClientInfo::new(
            self.engine.clients.next_id(),
            format!("127.0.0.1:{}", 50_000 + index),
            "127.0.0.1:6379".into(),
            8 + index as i32,
            false,
            self.now_us.load(Ordering::Relaxed) / 1000,
        );
        self.sessions.push(Session::new(&self.engine, Arc::new(info)));
        index
    }

    /// Changes so far, in all shards.
    pub(crate) fn changes(&self) -> u64 {
        let held = self.engine.keyspace.hold_all(Mode::Read);
        (0..self.engine.keyspace.shard_count() as u32).map(|i| held.shard(i).changes()).sum()
    }

    pub(crate) fn advance_ms(&mut self, ms: i64) {
        self.now_us.fetch_add(ms * 1000, Ordering::Relaxed);
    }

    /// Executes a command as client 0. Returns the reply as it would be sent; bytes that are not UTF-8 are replaced.
    pub(crate) fn run(&mut self, parts: &[&str]) -> String {
        self.run_as(0, parts)
    }

    /// Executes a command, given as words between blanks, as client 0.
    pub(crate) fn line(&mut self, line: &str) -> String {
        let parts: Vec<&str> = line.split_ascii_whitespace().collect();
        self.run(&parts)
    }

    pub(crate) fn run_as(&mut self, client: usize, parts: &[&str]) -> String {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        String::from_utf8_lossy(&self.run_bytes(client, &parts)).into_owned()
    }

    /// Executes a command of any bytes as a batch of its own. Panics if a pause holds it back: see [`Self::attempt`].
    pub(crate) fn run_bytes(&mut self, client: usize, parts: &[&[u8]]) -> Vec<u8> {
        let (reply, flow) = self.attempt(client, parts);
        assert_eq!(flow, Flow::Done, "the client would have to wait");
        reply
    }

    /// Executes a command unless a pause holds it back.
    pub(crate) fn attempt(&mut self, client: usize, parts: &[&[u8]]) -> (Vec<u8>, Flow) {
        let mut out = Out::default();
        self.worker.begin_batch(&self.engine);
        let args = OwnedArgs::from_parts(parts);
        let mut hashes = Vec::new();
        let session = &mut self.sessions[client];
        let prepared = self.engine.prepare(&args.as_args(), session.db(), &mut hashes);
        let flow = self.engine.execute(
            &mut self.worker,
            session,
            args.as_args(),
            &prepared,
            &hashes,
            &mut out,
        );
        self.worker.end_batch(&self.engine);
        (out.to_vec(), flow)
    }

    /// What was published since the last call: the number of each client that gets it, and the bytes.
    pub(crate) fn published(&mut self) -> Vec<(u64, String)> {
        let mut told = Vec::new();
        for (_, message) in self.host.take_published() {
            for client in self.worker.receivers(&message) {
                let session = self.sessions.iter().find(|session| session.info.id == *client);
                let bytes = message.encoded(session.expect("listeners are connected").proto);
                told.push((*client, String::from_utf8_lossy(bytes).into_owned()));
            }
        }
        told
    }

    /// What other clients are to be told since the last call: the number of each and the bytes, or None for a Kill.
    pub(crate) fn deliveries(&mut self) -> Vec<(u64, Option<String>)> {
        let left = self.worker.outbox.drain(..).map(|delivery| (delivery.client, delivery.message));
        let all: Vec<(u64, Message)> = self.host.take_delivered().into_iter().chain(left).collect();
        let deliveries = all.into_iter().map(|(client, message)| match message {
            Message::Push(bytes) | Message::Monitor(bytes) => {
                (client, Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Message::Unblocked(bytes) => {
                let mut sessions = self.sessions.iter_mut();
                let session = sessions.find(|session| session.info.id == client);
                session.expect("it waits").unblocked();
                (client, Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Message::Recheck => (client, Some("recheck".into())),
            Message::Kill => (client, None),
        });
        deliveries.collect()
    }
}

#[test]
fn replies_come_back_and_time_stands_still() {
    let mut h = Harness::new();
    assert_eq!(h.run(&["SET", "k", "a b"]), "+OK\r\n");
    let other = h.connect();
    assert_eq!(h.run_as(other, &["GET", "k"]), "$3\r\na b\r\n");
    assert_eq!(h.line("INCR n"), ":1\r\n");
    assert_eq!(h.worker.now_ms, START_MS);
    h.advance_ms(5);
    h.line("PING");
    assert_eq!(h.worker.now_ms, START_MS + 5);
}
