//! What belongs to one thread that executes commands: its view of the settings, its statistics, its randomness, the
//! time of the batch at hand, and the messages to other threads' clients that the batch leaves behind.

use std::sync::Arc;

use respire_datatypes::buffer::size_class;
use respire_journal::Effects;

use crate::config::Settings;
use crate::engine::Engine;
use crate::eviction::Candidates;
use crate::pubsub::{Listeners, Published};
use crate::scripting::{Interpreters, Sha};
use crate::session::Session;
use crate::stats::ThreadStats;

/// Something that happens to a client of any thread.
#[derive(Debug, Clone)]
pub enum Message {
    /// Bytes in wire format, to be sent after what was queued before.
    Push(Arc<[u8]>),
    /// A line for a monitor, in wire format. Of no use once the client monitors no more: it would be taken for a reply.
    Monitor(Arc<[u8]>),
    /// The reply of a command that has waited: see [`Session::unblocked`](crate::Session::unblocked).
    Unblocked(Arc<[u8]>),
    /// The users have changed: a client that listens to what it may listen to no longer is closed.
    Recheck,
    /// The connection is closed, pending replies dropped.
    Kill,
}

/// A message and its addressee.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub thread: usize,
    pub client: u64,
    pub message: Message,
}

impl Delivery {
    /// About the bytes of memory that deliveries take until they are sent. Those in a row may share a text.
    pub(crate) fn size_of_all(all: &[Self]) -> u64 {
        let mut last = None;
        let sizes = all.iter().map(|delivery| {
            let text = delivery.text().map(Arc::as_ptr);
            let shared = text.is_some() && std::mem::replace(&mut last, text) == text;
            delivery.size(shared)
        });
        sizes.sum()
    }

    fn text(&self) -> Option<&Arc<[u8]>> {
        match &self.message {
            Message::Push(text) | Message::Monitor(text) | Message::Unblocked(text) => Some(text),
            Message::Recheck | Message::Kill => None,
        }
    }

    fn size(&self, shared: bool) -> u64 {
        /// The counters of a shared text.
        const COUNTERS: usize = 2 * size_of::<usize>();
        let text = match self.text() {
            Some(text) if !shared => size_class(text.len() + COUNTERS),
            _ => 0,
        };
        // The list grows by doubling.
        (2 * size_of::<Self>() + text) as u64
    }
}

/// One executing thread.
pub struct Worker {
    pub thread: usize,
    pub settings: Arc<Settings>,
    pub(crate) settings_version: u64,
    /// Every command is timed by itself, quick ones too.
    pub(crate) measures_all: bool,
    /// The version of the users that sessions are checked against.
    pub(crate) users_version: u64,
    pub stats: Arc<ThreadStats>,
    pub rng: fastrand::Rng,
    /// Unix time of the batch, milliseconds.
    pub now_ms: i64,
    /// Unix time of the batch, microseconds.
    pub now_us: i64,
    /// Access data that a key gets when it is used now: the LRU clock, or what LFU starts from.
    pub(crate) access: crate::ctx::Access,
    /// Messages for clients, to be delivered after the batch.
    pub outbox: Vec<Delivery>,
    /// Keys past their time that a walk has come upon, each with its database.
    pub(crate) met_expired: Vec<(usize, Box<[u8]>)>,
    /// Clients of this thread that listen to channels.
    pub(crate) listeners: Listeners,
    pub(crate) timing: crate::stats::BatchTiming,
    /// When the turn of the event loop began that is not over, as far as it has done anything; monotonic.
    pub(crate) turn_began_ns: Option<u64>,
    /// What the last one took, nanoseconds, and how many commands had been counted when it ended.
    pub(crate) turn_ns: u64,
    pub(crate) commands_before: u64,
    /// What the commands at hand have changed, for the journal.
    pub(crate) effects: Effects,
    /// Keys to evict next.
    pub(crate) candidates: Candidates,
    /// The Lua states of the thread.
    pub(crate) interpreters: Interpreters,
    /// The digest of the script that comes next, if it is known.
    pub(crate) script_sha: Option<Sha>,
    /// The session in which the last script ran.
    pub(crate) stand_in: Option<Box<Session>>,
    /// There was too little memory when this was last asked.
    pub(crate) out_of_memory: bool,
    /// Executes effects of a journal, for which time stands still: see [`Self::replaying`].
    replaying: bool,
}

impl Worker {
    /// A worker of `engine` with the given number, whose randomness starts from `seed`.
    pub fn new(engine: &Engine, thread: usize, seed: u64) -> Self {
        let settings = engine.config.load();
        let mut worker = Self {
            thread,
            settings_version: engine.config.version(),
            measures_all: measures_every_command(&settings),
            users_version: engine.acl.version(),
            stats: engine.stats.add_thread(),
            rng: fastrand::Rng::with_seed(seed),
            now_ms: 0,
            now_us: 0,
            access: crate::ctx::Access::new(&settings, 0),
            settings,
            outbox: Vec::new(),
            met_expired: Vec::new(),
            listeners: Listeners::default(),
            timing: Default::default(),
            turn_began_ns: None,
            turn_ns: 0,
            commands_before: 0,
            effects: Effects::default(),
            candidates: Candidates::default(),
            interpreters: Interpreters::NONE,
            script_sha: None,
            stand_in: None,
            out_of_memory: false,
            replaying: false,
        };
        worker.begin_batch(engine);
        worker
    }

    /// A worker that executes the effects that a journal has kept. Nothing goes because its time has passed: the journal
    /// says when that happened.
    pub fn replaying(engine: &Engine, thread: usize, seed: u64) -> Self {
        let mut worker = Self { replaying: true, ..Self::new(engine, thread, seed) };
        worker.begin_batch(engine);
        worker
    }

    #[inline]
    pub(crate) fn is_replaying(&self) -> bool {
        self.replaying
    }

    /// Takes over the time, Unix time in microseconds.
    pub(crate) fn set_time(&mut self, now_us: i64) {
        self.now_us = now_us;
        self.now_ms = if self.replaying { 0 } else { now_us / 1000 };
    }

    /// Reads the clock and the settings for the requests that follow.
    pub fn begin_batch(&mut self, engine: &Engine) {
        self.renew_settings(engine);
        self.set_time(engine.clock.unix_us());
        self.access = crate::ctx::Access::new(&self.settings, self.now_us);
        self.begin_timing(engine);
    }

    /// The time of the next commands counts from here: what came since the batch began was spent on something else.
    /// Returns the time, monotonic nanoseconds.
    pub fn begin_timing(&mut self, engine: &Engine) -> u64 {
        self.settle_timing(engine);
        let now = engine.clock.monotonic_ns();
        self.turn_began_ns.get_or_insert(now);
        self.timing.begin(now);
        now
    }

    /// Takes over settings, and notices users, that have changed. Returns whether the settings had. Commands that change
    /// either are measured singly, so that this comes before whatever follows them.
    pub(crate) fn renew_settings(&mut self, engine: &Engine) -> bool {
        self.users_version = engine.acl.version();
        let version = engine.config.version();
        let old = version != self.settings_version;
        if old {
            self.settings = engine.config.load();
            self.settings_version = version;
            self.measures_all = measures_every_command(&self.settings);
        }
        old
    }

    /// The clients of this thread that a message is for.
    pub fn receivers(&self, message: &Published) -> &[u64] {
        self.listeners.of(message)
    }

    /// Takes over the clients of another worker of the same thread, and gives away its own.
    pub fn swap_clients(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.listeners, &mut other.listeners);
    }

    /// Accounts for the time of the batch.
    pub fn end_batch(&mut self, engine: &Engine) {
        self.settle_timing(engine);
        // Asking makes known to other threads what this one has allocated.
        engine.host.allocated();
    }
}

/// Whether a fast command could be one that the slow log or the latency monitor is to show.
fn measures_every_command(settings: &Settings) -> bool {
    const SHORT_US: i64 = 1000;
    (0..SHORT_US).contains(&settings.slowlog_log_slower_than)
        || settings.latency_monitor_threshold > 0
}
