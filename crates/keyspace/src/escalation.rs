//! How one who holds shards gets further ones, out of order, without a deadlock.
//!
//! Shards are locked in ascending order, so that nobody waits in a circle. A script that has changed something and then
//! turns out to need a lower shard can neither keep to that order nor give back what it holds. It *escalates*: while it
//! does, everybody who waits for a shard with others in hand gives those back and waits with empty hands, so the one who
//! escalates gets what it wants. Only one escalates at a time; a second one waits for its end, unless each wants
//! what the other has, which no order resolves.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

/// What became of an escalation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escalation {
    /// The shards are held.
    Done,
    /// Another one who escalates wants a shard that is held here: this one has to end.
    Crossed,
}

/// Who goes first.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Somebody escalates.
    blocked: AtomicBool,
    /// What they want.
    wanted: Mutex<Option<Vec<u32>>>,
    free: Condvar,
}

/// Whether one may begin to escalate.
pub(crate) enum Turn {
    Mine,
    /// Another one does, and wants nothing of what is held here.
    Later,
    Crossed,
}

impl Way {
    /// Whether those who hold something must not wait for more.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    /// Waits, with nothing in hand, until nobody escalates.
    #[cold]
    pub(crate) fn wait(&self) {
        let mut wanted = self.wanted.lock();
        while wanted.is_some() {
            self.free.wait(&mut wanted);
        }
    }

    /// Asks to escalate for `shards`; `holds` tells what is held meanwhile.
    pub(crate) fn ask(&self, shards: &[u32], holds: impl Fn(u32) -> bool) -> Turn {
        let mut wanted = self.wanted.lock();
        match &*wanted {
            Some(others) if others.iter().any(|shard| holds(*shard)) => Turn::Crossed,
            Some(_) => Turn::Later,
            None => {
                *wanted = Some(shards.to_vec());
                self.blocked.store(true, Ordering::Release);
                Turn::Mine
            }
        }
    }

    /// The one who escalates wants others now.
    pub(crate) fn want(&self, shards: &[u32]) {
        *self.wanted.lock() = Some(shards.to_vec());
    }

    /// The one who escalates has what it wanted.
    pub(crate) fn end(&self) {
        let mut wanted = self.wanted.lock();
        *wanted = None;
        self.blocked.store(false, Ordering::Release);
        self.free.notify_all();
    }
}
