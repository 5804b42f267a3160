//! A mailbox per event loop: what other threads have for its connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mio::Waker;
use parking_lot::Mutex;
use respire_engine::{Message, Published};

use super::NewConnection;

/// A letter to an event loop.
pub(crate) enum Mail {
    Connection(Box<NewConnection>),
    Message {
        client: u64,
        message: Message,
    },
    Published(Arc<Published>),
    /// The loop ends after this turn.
    Stop,
}

/// Letters and the bell that wakes the loop.
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Mail>>,
    waker: Waker,
    /// When the loop was last seen to turn, monotonic nanoseconds.
    pulse: AtomicU64,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { letters: Mutex::default(), waker, pulse: AtomicU64::new(0) }
    }

    /// Notes that the loop turns, from time to time.
    pub(crate) fn beat(&self, now_ns: u64) {
        self.pulse.store(now_ns, Ordering::Relaxed);
    }

    /// When the loop was last seen to turn, monotonic nanoseconds.
    pub(crate) fn last_beat(&self) -> u64 {
        self.pulse.load(Ordering::Relaxed)
    }

    /// Posts a letter. Rings only if the box was empty: else it has been rung already.
    pub(crate) fn post(&self, mail: Mail) -> io::Result<()> {
        let was_empty = {
            let mut letters = self.letters.lock();
            letters.push(mail);
            letters.len() == 1
        };
        if was_empty { self.waker.wake() } else { Ok(()) }
    }

    /// Wakes the loop without a letter.
    pub(crate) fn ring(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("Waking an event loop failed: {error}");
        }
    }

    /// Takes the published messages, and leaves the other letters. The bell may have rung for nothing then.
    pub(crate) fn collect_published(&self) -> Vec<Arc<Published>> {
        let mut letters = self.letters.lock();
        let mut published = Vec::new();
        letters.retain(|letter| match letter {
            Mail::Published(message) => {
                published.push(Arc::clone(message));
                false
            }
            _ => true,
        });
        published
    }

    /// Empties the box into `into`, which must be empty.
    pub(crate) fn collect(&self, into: &mut Vec<Mail>) {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut *self.letters.lock(), into);
    }
}
