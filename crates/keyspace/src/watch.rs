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

/// Who watches a key.
#[derive(Debug)]
struct Watcher {
    flag: WatchFlag,
    /// The key existed when it was first watched. If not, that it expires is no change: it had, or it has changed before.
    existed: bool,
}

/// The watched keys of one shard.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    keys: HashMap<(usize, Box<[u8]>), Vec<Watcher>>,
}

impl Watches {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn add(&mut self, db: usize, key: &[u8], flag: &WatchFlag, existed: bool) {
        let watcher = Watcher { flag: flag.clone(), existed };
        self.keys.entry((db, key.into())).or_default().push(watcher);
    }

    pub(crate) fn remove(&mut self, db: usize, key: &[u8], flag: &WatchFlag) {
        let at = (db, key.into());
        if let Some(flags) = self.keys.get_mut(&at) {
            flags.retain(|watcher| !watcher.flag.is(flag));
            if flags.is_empty() {
                self.keys.remove(&at);
            }
        }
    }

    pub(crate) fn changed(&self, db: usize, key: &[u8]) {
        for watcher in self.keys.get(&(db, key.into())).into_iter().flatten() {
            watcher.flag.raise();
        }
    }

    /// A key was deleted because its time had passed.
    pub(crate) fn expired(&self, db: usize, key: &[u8]) {
        let watchers = self.keys.get(&(db, key.into())).into_iter().flatten();
        watchers.filter(|watcher| watcher.existed).for_each(|watcher| watcher.flag.raise());
    }

    /// Raises the flags of the watched keys of `db` that `exists` tells to be affected.
    pub(crate) fn changed_where(&self, db: usize, mut affected: impl FnMut(&[u8]) -> bool) {
        for ((watched_db, key), flags) in &self.keys {
            if *watched_db == db && affected(key) {
                flags.iter().for_each(|watcher| watcher.flag.raise());
            }
        }
    }
}
