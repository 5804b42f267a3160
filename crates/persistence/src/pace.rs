//! How fast files are written and read. The walk of a snapshot gives way to whoever else wants its core, again and again
//! and never under a lock: a thread that computes without end is taken off its core only at the system's next tick,
//! milliseconds later, and until then requests would wait. Here are also Redis's testing aids, `rdb-key-save-delay` and
//! `key-load-delay`, and the end of what is not wanted any more.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use respire_datatypes::rest::pausing;
use respire_engine::Engine;
use respire_engine::config::Reader;

use crate::settings::Files;

/// How long the walk goes on before it gives way: at least, and at most, where others took its core for long before. So it
/// has about a fifth of a core that is always wanted.
const TURN: Duration = Duration::from_micros(50);
const TURN_MAX: Duration = Duration::from_micros(500);
/// The longest sleep that nothing ends.
const NAP: Duration = Duration::from_millis(10);

/// Gives way, if it is time to. Nothing is locked.
pub(crate) fn give_way() {
    thread_local! {
        static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    if SINCE.get().is_none_or(|since| now - since >= TURN) {
        thread::yield_now();
        SINCE.set(Some(Instant::now()));
    }
}

/// Drops what takes long to be freed, and gives way meanwhile.
pub fn drop_slowly<T>(value: T) {
    pausing(give_way, || drop(value));
}

/// What work on a file is slowed down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Saving,
    Loading,
}

/// The pace of one thread's work.
pub(crate) struct Pace<'a> {
    engine: &'a Engine,
    settings: Reader,
    work: Work,
    /// What the settings that were seen last, at this address and still held, say.
    delay_us: f64,
    seen: usize,
    cancelled: &'a AtomicBool,
    since: Instant,
    turn: Duration,
    /// There is more to do than may wait.
    pub(crate) is_urgent: bool,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(engine: &'a Engine, work: Work, cancelled: &'a AtomicBool) -> Self {
        let settings = Reader::new(&engine.config);
        let since = Instant::now();
        Self {
            engine,
            settings,
            work,
            delay_us: 0.0,
            seen: 0,
            cancelled,
            since,
            turn: TURN,
            is_urgent: false,
        }
    }

    /// Whether nobody wants the file any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Gives way, if it is time to. Nothing is locked.
    pub(crate) fn step(&mut self) {
        let now = Instant::now();
        if !self.is_urgent && now - self.since >= self.turn {
            thread::yield_now();
            self.since = Instant::now();
            self.turn = ((self.since - now) / 4).clamp(TURN, TURN_MAX);
        }
    }

    /// Microseconds that each key is to take longer than it has to.
    fn delay_us(&mut self) -> f64 {
        let settings = self.settings.get(&self.engine.config);
        let seen = Arc::as_ptr(settings) as usize;
        if seen != self.seen {
            let delay = match self.work {
                Work::Saving => Files(settings).save_delay(),
                Work::Loading => Files(settings).load_delay(),
            };
            // Of a negative number, so many keys take one microsecond.
            self.delay_us = if delay < 0 { -1.0 / delay as f64 } else { delay as f64 };
            self.seen = seen;
        }
        self.delay_us
    }

    pub(crate) fn is_delayed(&mut self) -> bool {
        self.delay_us() > 0.0
    }

    /// Takes the time that so many keys are to take. Ends early when that is not wanted any more.
    pub(crate) fn delay(&mut self, keys: u64) {
        let began = Instant::now();
        while !self.is_cancelled() {
            let whole = Duration::from_micros((self.delay_us() * keys as f64) as u64);
            match whole.checked_sub(began.elapsed()) {
                Some(left) if !left.is_zero() => thread::sleep(left.min(NAP)),
                _ => return,
            }
        }
    }
}
