//! Statistics. Each thread counts in a block of its own, which only it writes, so that counting never contends; INFO
//! adds the blocks up.
//!
//! Time is not measured per command: that would be two clock reads for work that takes less than one. Commands of
//! constant cost share the time that they took together; all others are measured singly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use crate::command::registry;
use crate::engine::Engine;
use crate::error_codes::{Codes, Counts};
use crate::worker::Worker;

/// A counter that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning thread may call this: it is a load and a store, not an atomic addition.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets a figure that is no sum. Only the owning thread may call this.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Raises a figure that is the most there ever was. Only the owning thread may call this.
    #[inline]
    fn raise(&self, value: u64) {
        if value > self.get() {
            self.set(value);
        }
    }

    fn reset(&self) {
        self.set(0);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What one thread counts.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter),* }

        /// Counters of all threads, added up.
        #[derive(Debug, Default, Clone, Copy)]
        pub struct Totals { $($(#[$doc])* pub $name: u64),* }

        impl Counters {
            fn add_to(&self, totals: &mut Totals) { $(totals.$name += self.$name.get();)* }
            fn reset(&self) { $(self.$name.reset();)* }
        }
    };
}

counters! {
    commands,
    hits,
    misses,
    /// Connections accepted.
    connections,
    net_in,
    net_out,
    reads,
    writes,
    error_replies,
    unexpected_errors,
    acl_denied_auth,
    acl_denied_cmd,
    acl_denied_key,
    acl_denied_channel,
    /// Nanoseconds spent in the active expiry cycle.
    expire_cycle_ns,
    /// Times that the active expiry cycle stopped because its time was up.
    expire_cycle_capped,
    evicted_keys,
    evicted_clients,
    /// Turns of the thread's event loop.
    turns,
    /// Nanoseconds of its turns, waiting left out.
    turn_ns,
    /// Nanoseconds of its upkeep, which are among them.
    upkeep_ns,
    /// Nanoseconds of handing the log to the system, likewise.
    flush_ns,
    /// Nanoseconds of which commands were executed.
    command_ns,
    query_buffer_disconnections,
    output_buffer_disconnections,
}

/// What is counted of one command by one thread.
#[derive(Debug, Default)]
pub struct CommandStats {
    pub calls: Counter,
    pub nanos: Counter,
    pub rejected: Counter,
    pub failed: Counter,
    latency: Mutex<Option<Box<Histogram<u64>>>>,
}

/// The counters of one thread.
#[derive(Debug)]
pub struct ThreadStats {
    pub counters: Counters,
    /// Bytes of memory of the Lua states of scripts and of functions.
    pub lua_scripts: Counter,
    pub lua_functions: Counter,
    /// The longest turn of the event loop in nanoseconds, and the most commands of one.
    longest_turn_ns: Counter,
    busiest_turn: Counter,
    commands: Box<[CommandStats]>,
    errors: Mutex<Counts>,
    codes: Arc<Codes>,
}

impl ThreadStats {
    fn new(codes: Arc<Codes>) -> Self {
        let commands = registry().all().iter().map(|_| CommandStats::default()).collect();
        Self {
            counters: Counters::default(),
            lua_scripts: Counter::default(),
            lua_functions: Counter::default(),
            longest_turn_ns: Counter::default(),
            busiest_turn: Counter::default(),
            commands,
            errors: Mutex::default(),
            codes,
        }
    }

    #[inline]
    pub fn command(&self, id: u16) -> &CommandStats {
        &self.commands[usize::from(id)]
    }

    /// Counts an error reply by its code.
    pub fn count_error(&self, code: &[u8]) {
        self.counters.error_replies.add(1);
        self.codes.count(&self.errors, code);
    }

    fn reset(&self) {
        self.counters.reset();
        self.longest_turn_ns.reset();
        self.busiest_turn.reset();
        for command in &self.commands {
            for counter in [&command.calls, &command.nanos, &command.rejected, &command.failed] {
                counter.reset();
            }
            *command.latency.lock() = None;
        }
    }
}

/// What is counted of one command by all threads.
#[derive(Debug, Default, Clone)]
pub struct CommandTotals {
    pub calls: u64,
    pub nanos: u64,
    pub rejected: u64,
    pub failed: u64,
    /// Nanoseconds.
    pub latency: Option<Histogram<u64>>,
}

/// The blocks of all threads.
///
/// Lock order: a block's inner locks are taken under the list's lock; neither is held while anything else is locked.
#[derive(Debug, Default)]
pub struct Stats {
    threads: RwLock<Vec<Arc<ThreadStats>>>,
    codes: Arc<Codes>,
}

impl Stats {
    pub(crate) fn add_thread(&self) -> Arc<ThreadStats> {
        let block = Arc::new(ThreadStats::new(Arc::clone(&self.codes)));
        self.threads.write().push(Arc::clone(&block));
        block
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.threads.read().iter().for_each(|block| block.counters.add_to(&mut totals));
        totals
    }

    pub fn command(&self, id: u16) -> CommandTotals {
        let mut totals = CommandTotals::default();
        for block in self.threads.read().iter() {
            let command = block.command(id);
            totals.calls += command.calls.get();
            totals.nanos += command.nanos.get();
            totals.rejected += command.rejected.get();
            totals.failed += command.failed.get();
            if let Some(histogram) = &*command.latency.lock() {
                match &mut totals.latency {
                    Some(sum) => sum.add(&**histogram).expect("it grows"),
                    None => totals.latency = Some((**histogram).clone()),
                }
            }
        }
        totals
    }

    /// Bytes of memory of all Lua states of scripts, and of functions.
    pub fn lua_memory(&self) -> (u64, u64) {
        let threads = self.threads.read();
        let sum = |of: fn(&ThreadStats) -> &Counter| threads.iter().map(|t| of(t).get()).sum();
        (sum(|thread| &thread.lua_scripts), sum(|thread| &thread.lua_functions))
    }

    /// The longest turn of any thread in nanoseconds, and the most commands in one.
    pub(crate) fn extreme_turns(&self) -> (u64, u64) {
        let threads = self.threads.read();
        let most = |of: fn(&ThreadStats) -> &Counter| threads.iter().map(|t| of(t).get()).max();
        let longest = most(|thread| &thread.longest_turn_ns).unwrap_or_default();
        (longest, most(|thread| &thread.busiest_turn).unwrap_or_default())
    }

    /// Error replies by code.
    pub(crate) fn errors(&self) -> Counts {
        self.codes.sum(self.threads.read().iter().map(|block| &block.errors))
    }

    /// Frees the codes of errors that are not counted any more. Returns how many there were.
    pub(crate) fn free_codes(&self) -> usize {
        if !self.codes.have_stopped() {
            return 0;
        }
        self.codes.free(self.threads.read().iter().map(|block| &block.errors))
    }

    /// CONFIG RESETSTAT. A thread that is counting at this moment may keep what it had.
    pub fn reset(&self) {
        let threads = self.threads.read();
        threads.iter().for_each(|block| block.reset());
        self.codes.reset(threads.iter().map(|block| &block.errors));
    }

    /// LATENCY RESET does not touch these; CONFIG RESETSTAT and this do.
    pub fn reset_latency(&self, id: u16) {
        for block in self.threads.read().iter() {
            *block.command(id).latency.lock() = None;
        }
    }
}

/// Latencies beyond this many nanoseconds are recorded as this many: 100 seconds.
const LATENCY_MAX: u64 = 100_000_000_000;

/// The fast commands of a batch that have not been accounted for.
#[derive(Debug, Default)]
pub(crate) struct BatchTiming {
    since: u64,
    /// Up to when time is counted as that of commands.
    counted_to: u64,
    /// Nothing but the end of a command that was timed by itself has happened since then.
    just_measured: bool,
    /// Command numbers with how many of them came in a row.
    runs: Vec<(u16, u64)>,
    count: u64,
    /// What came before scripts, and in them, and has its share of the time: command, how many, nanoseconds of all.
    shared: SmallVec<[(u16, u64, u64); 8]>,
}

impl BatchTiming {
    pub(crate) fn begin(&mut self, now: u64) {
        self.since = now;
        self.counted_to = now;
        self.just_measured = false;
    }

    #[inline]
    pub(crate) fn ran(&mut self, id: u16) {
        self.count += 1;
        match self.runs.last_mut() {
            Some((last, count)) if *last == id => *count += 1,
            _ => self.runs.push((id, 1)),
        }
    }

    /// Gives the commands that have run until `now` their shares of the time. They are accounted for with the batch: scripts
    /// call the same commands again and again.
    pub(crate) fn share(&mut self, now: u64) {
        if self.count == 0 {
            return;
        }
        let each = now.saturating_sub(self.since) / self.count;
        self.since = now;
        self.count = 0;
        for (id, count) in self.runs.drain(..) {
            match self.shared.iter_mut().find(|(known, ..)| *known == id) {
                Some((_, calls, nanos)) => {
                    *calls += count;
                    *nanos += each * count;
                }
                None => self.shared.push((id, count, each * count)),
            }
        }
    }
}

impl Worker {
    /// When a command begins that is timed by itself. Behind another such, that is where the other one ended: the clock is
    /// read once for each.
    #[inline]
    pub(crate) fn begin_measuring(&mut self, engine: &Engine) -> u64 {
        if self.timing.just_measured && self.timing.count == 0 && self.timing.shared.is_empty() {
            return self.timing.since;
        }
        let now = engine.clock.monotonic_ns();
        self.settle_timing_at(now);
        now
    }

    /// As [`Self::begin_measuring`], of a script: what ran before it is accounted for with the batch.
    #[inline]
    pub(crate) fn begin_script(&mut self, engine: &Engine) -> u64 {
        if !self.timing.just_measured || self.timing.count > 0 {
            let now = engine.clock.monotonic_ns();
            self.timing.share(now);
            self.timing.since = now;
        }
        self.timing.since
    }

    /// A script ends; the commands that it has called had its time.
    pub(crate) fn end_script(&mut self, now: u64) {
        self.timing.share(now);
        self.count_time_to(now);
        self.timing.since = now;
        self.timing.just_measured = true;
    }

    /// Counts the time up to now as that of commands. What a command spends on others that it calls is counted once.
    #[inline]
    fn count_time_to(&mut self, now: u64) {
        let before = std::mem::replace(&mut self.timing.counted_to, now);
        self.stats.counters.command_ns.add(now.saturating_sub(before));
    }

    /// A turn of the event loop ends, but for the upkeep.
    pub fn end_turn(&mut self, now: u64) {
        self.stats.counters.turns.add(1);
        let began = self.turn_began_ns.take().unwrap_or(now);
        self.turn_ns = now.saturating_sub(began);
        self.stats.counters.turn_ns.add(self.turn_ns);
        self.stats.longest_turn_ns.raise(self.turn_ns);
        let commands = self.stats.counters.commands.get();
        let before = std::mem::replace(&mut self.commands_before, commands);
        // Counters go back when statistics are reset.
        self.stats.busiest_turn.raise(commands.saturating_sub(before));
    }

    /// The turn that has just ended did upkeep for so many nanoseconds.
    pub fn end_upkeep(&mut self, nanos: u64) {
        self.turn_began_ns = None;
        self.stats.counters.turn_ns.add(nanos);
        self.stats.counters.upkeep_ns.add(nanos);
        self.stats.longest_turn_ns.raise(self.turn_ns + nanos);
    }

    /// Work is done between commands that is no part of either.
    #[inline]
    pub fn work_between(&mut self) {
        self.timing.just_measured = false;
    }

    /// A command ends that was timed by itself.
    pub(crate) fn end_measuring(&mut self, now: u64) {
        self.settle_timing_at(now);
        self.timing.since = now;
        self.timing.just_measured = true;
    }

    /// Shares the time since the last settlement among the commands that ran in it.
    pub fn settle_timing(&mut self, engine: &Engine) {
        self.work_between();
        if self.timing.count > 0 {
            self.settle_timing_at(engine.clock.monotonic_ns());
        } else if !self.timing.shared.is_empty() {
            self.settle_shared();
        }
    }

    /// As [`Self::settle_timing`], at a moment that the caller has just read from the clock.
    pub(crate) fn settle_timing_at(&mut self, now: u64) {
        self.count_time_to(now);
        if !self.timing.shared.is_empty() {
            self.timing.share(now);
            self.settle_shared();
        }
        if self.timing.count == 0 {
            return;
        }
        let each = now.saturating_sub(self.timing.since) / self.timing.count;
        self.timing.since = now;
        self.timing.count = 0;
        let mut runs = std::mem::take(&mut self.timing.runs);
        for (id, count) in runs.drain(..) {
            self.record(id, each, count);
        }
        self.timing.runs = runs;
    }

    #[cold]
    fn settle_shared(&mut self) {
        for (id, count, nanos) in std::mem::take(&mut self.timing.shared) {
            self.record(id, nanos / count, count);
        }
    }

    /// Counts `count` calls that took `nanos` each.
    pub(crate) fn record(&mut self, id: u16, nanos: u64, count: u64) {
        let command = self.stats.command(id);
        command.calls.add(count);
        command.nanos.add(nanos * count);
        self.stats.counters.commands.add(count);
        if self.settings.latency_tracking {
            let mut latency = command.latency.lock();
            // It grows with what is recorded: each thread has one for each command, and most commands are fast.
            let histogram = latency
                .get_or_insert_with(|| Box::new(Histogram::new(2).expect("two digits are valid")));
            let recorded = histogram.record_n(nanos.clamp(1, LATENCY_MAX), count);
            recorded.expect("a histogram that grows takes any value");
        }
    }
}
