//! WATCH: who is told when a key of this shard changes. Guarded by the shard's lock, like the keys.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Raised when a key that a client watches has changed. Shared by the client and the shards of its keys.
#[derive(Debug, Clone, Default)]
pub struct WatchFlag(Arc<AtomicBool>);

impl WatchFlag {
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The watched keys of one shard.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    keys: HashMap<(usize, Box<[u8]>), Vec<WatchFlag>>,
}

impl Watches {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn add(&mut self, db: usize, key: &[u8], flag: &WatchFlag) {
        self.keys.entry((db, key.into())).or_default().push(flag.clone());
    }

    pub(crate) fn remove(&mut self, db: usize, key: &[u8], flag: &WatchFlag) {
        let at = (db, key.into());
        if let Some(flags) = self.keys.get_mut(&at) {
            flags.retain(|f| !f.is(flag));
            if flags.is_empty() {
                self.keys.remove(&at);
            }
        }
    }

    pub(crate) fn changed(&self, db: usize, key: &[u8]) {
        for flag in self.keys.get(&(db, key.into())).into_iter().flatten() {
            flag.raise();
        }
    }

    /// Raises the flags of the watched keys of `db` that `exists` tells to be affected.
    pub(crate) fn changed_where(&self, db: usize, mut affected: impl FnMut(&[u8]) -> bool) {
        for ((watched_db, key), flags) in &self.keys {
            if *watched_db == db && affected(key) {
                flags.iter().for_each(WatchFlag::raise);
            }
        }
    }
}
