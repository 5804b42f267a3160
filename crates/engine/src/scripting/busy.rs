//! Scripts that run for too long: longer than `busy-reply-threshold`. While one does, every client is told so, and may
//! only ask for its end; those who wait for a shard give up.
//!
//! A script can be stopped as long as it has changed nothing; after that, only SHUTDOWN NOSAVE ends it. What a client
//! left behind that goes meanwhile is cleared up when the script has ended, as that takes shards, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;
use respire_keyspace::{Mode, Ticket, WatchFlag};

use crate::engine::Engine;
use crate::error::Error;
use crate::saving::{BUSY_FUNCTION, BUSY_SCRIPT};
use crate::worker::Worker;

/// It has changed nothing.
const CLEAN: u8 = 0;
const WROTE: u8 = 1;
/// It has to stop, having changed nothing.
const KILLED: u8 = 2;
/// It has to stop, whatever it has done: the program ends without keeping anything.
const ABANDONED: u8 = 3;

/// A script that runs for too long.
#[derive(Debug)]
pub(crate) struct Slow {
    pub(crate) is_function: bool,
    /// Of a function.
    pub(crate) name: Vec<u8>,
    /// The request.
    pub(crate) command: Vec<Vec<u8>>,
    /// Monotonic nanoseconds.
    pub(crate) began_ns: u64,
    state: AtomicU8,
}

impl Slow {
    pub(super) fn new(
        is_function: bool,
        name: Vec<u8>,
        command: Vec<Vec<u8>>,
        began_ns: u64,
        wrote: bool,
    ) -> Self {
        let state = AtomicU8::new(if wrote { WROTE } else { CLEAN });
        Self { is_function, name, command, began_ns, state }
    }

    /// Tells the operator.
    pub(super) fn warn(&self, now_ns: u64) {
        log::warn!(
            "Slow script detected: still in execution after {} milliseconds. You can try killing the script using the \
             {} KILL command.",
            now_ns.saturating_sub(self.began_ns) / 1_000_000,
            if self.is_function { "FUNCTION" } else { "SCRIPT" }
        );
    }

    /// It is about to change something. Returns whether it still may.
    pub(super) fn begin_writing(&self) -> bool {
        let before = self.state.compare_exchange(CLEAN, WROTE, Ordering::AcqRel, Ordering::Acquire);
        matches!(before, Ok(_) | Err(WROTE))
    }

    /// Whether it has to stop, and if so, whether what it did is of no interest any more.
    pub(super) fn must_stop(&self) -> Option<bool> {
        match self.state.load(Ordering::Acquire) {
            KILLED => Some(false),
            ABANDONED => Some(true),
            _ => None,
        }
    }

    /// Returns whether it will stop.
    fn kill(&self) -> bool {
        let before =
            self.state.compare_exchange(CLEAN, KILLED, Ordering::AcqRel, Ordering::Acquire);
        matches!(before, Ok(_) | Err(KILLED | ABANDONED))
    }
}

/// Something that a client has left behind in shards.
#[derive(Debug)]
pub(crate) enum Forgotten {
    Watch { db: usize, key: Vec<u8>, flag: WatchFlag },
    Ticket(Arc<Ticket>),
}

/// The scripts that run for too long.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    slow: Mutex<Vec<Arc<Slow>>>,
    forgotten: Mutex<Vec<Forgotten>>,
    /// There is something in `forgotten`.
    left_behind: AtomicBool,
}

impl Busy {
    /// The function that runs for too long, if there is one.
    pub(crate) fn function(&self) -> Option<Arc<Slow>> {
        self.slow.lock().iter().find(|slow| slow.is_function).cloned()
    }

    /// SHUTDOWN NOSAVE: all scripts have to stop.
    pub(crate) fn abandon_all(&self) {
        for slow in &*self.slow.lock() {
            slow.state.store(ABANDONED, Ordering::Release);
        }
    }

    /// SCRIPT KILL, or FUNCTION KILL.
    pub(crate) fn kill(&self, functions: bool) -> Result<(), Error> {
        let slow = self.slow.lock();
        if slow.is_empty() {
            return Err(Error::NOT_BUSY);
        }
        let mut of_kind = slow.iter().filter(|slow| slow.is_function == functions).peekable();
        let none_wrote = slow.iter().all(|slow| slow.state.load(Ordering::Acquire) != WROTE);
        if of_kind.peek().is_none() && none_wrote {
            return Err(busy_text(!functions));
        }
        let mut killed = false;
        for slow in of_kind {
            killed |= slow.kill();
        }
        if killed { Ok(()) } else { Err(Error::UNKILLABLE) }
    }
}

/// What clients are told.
fn busy_text(by_function: bool) -> Error {
    Error::fixed(if by_function {
        "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
    } else {
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
    })
}

impl Engine {
    /// Whether a script runs for too long.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.condition.load(Ordering::Relaxed) & (BUSY_SCRIPT | BUSY_FUNCTION) != 0
    }

    pub(crate) fn busy_error(&self) -> Error {
        busy_text(self.condition.load(Ordering::Relaxed) & BUSY_SCRIPT == 0)
    }

    /// A script has run for too long.
    pub(super) fn begin_busy(&self, slow: &Arc<Slow>, now_ns: u64) {
        slow.warn(now_ns);
        let mut all = self.scripting.busy.slow.lock();
        all.push(Arc::clone(slow));
        self.set_condition(if slow.is_function { BUSY_FUNCTION } else { BUSY_SCRIPT }, true);
        self.keyspace.set_busy(true);
    }

    /// It has ended.
    pub(super) fn end_busy(&self, slow: &Arc<Slow>) {
        let mut all = self.scripting.busy.slow.lock();
        all.retain(|other| !Arc::ptr_eq(other, slow));
        self.set_condition(BUSY_SCRIPT, all.iter().any(|slow| !slow.is_function));
        self.set_condition(BUSY_FUNCTION, all.iter().any(|slow| slow.is_function));
        self.keyspace.set_busy(!all.is_empty());
    }

    /// Keeps for later what has to be taken out of shards that a script holds.
    #[cold]
    pub(crate) fn forget_later(&self, what: Forgotten) {
        let busy = &self.scripting.busy;
        busy.forgotten.lock().push(what);
        busy.left_behind.store(true, Ordering::Release);
    }

    /// Takes out of the shards what clients have left behind while scripts held them. No shard may be held.
    #[inline]
    pub(crate) fn catch_up(&self, _: &mut Worker) {
        if self.scripting.busy.left_behind.load(Ordering::Relaxed) {
            self.clear_forgotten();
        }
    }

    #[cold]
    fn clear_forgotten(&self) {
        let busy = &self.scripting.busy;
        busy.left_behind.store(false, Ordering::Release);
        for what in std::mem::take(&mut *busy.forgotten.lock()) {
            match what {
                Forgotten::Watch { db, key, flag } => {
                    let shard = self.keyspace.shard_of(&key);
                    match self.keyspace.hold_one_unless_busy(shard, Mode::Write) {
                        Some(mut held) => held.shard_mut(shard).unwatch(db, &key, &flag),
                        None => self.forget_later(Forgotten::Watch { db, key, flag }),
                    }
                }
                Forgotten::Ticket(ticket) => {
                    if self.cancel(&ticket).is_none() {
                        self.forget_later(Forgotten::Ticket(ticket));
                    }
                }
            }
        }
    }
}
