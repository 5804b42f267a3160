//! What is known of where a script reaches: whether it keeps to the keys that it is given.

use std::sync::atomic::{AtomicBool, Ordering};

/// What running a script or function has shown. It starts as one that keeps to its keys.
#[derive(Debug, Default)]
pub(super) struct Class {
    reaches_out: AtomicBool,
}

impl Class {
    /// Whether it has needed more than the shards of its keys, and could not have them at once: it is given all shards from
    /// the start.
    #[inline]
    pub(super) fn reaches_out(&self) -> bool {
        self.reaches_out.load(Ordering::Relaxed)
    }

    pub(super) fn note_reaching_out(&self) {
        self.reaches_out.store(true, Ordering::Relaxed);
    }
}
