//! Who waits for a key of this shard to change: the queues behind blocking commands. Guarded by the shard's lock, like
//! the keys.
//!
//! A client that waits has one [`Ticket`], which stands in the queue of each of its keys. All that happens to a ticket
//! happens while every shard that it names is held for writing; the client is served, or gives up, exactly once.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use smallvec::SmallVec;

/// A client's place in the queues.
pub struct Ticket {
    /// The shards of all keys that its command touches, ascending.
    shards: SmallVec<[u32; 4]>,
    over: AtomicBool,
    /// The client wants to know, too, when its key is deleted.
    on_no_key: bool,
    /// What the engine keeps with it.
    content: Box<dyn Any + Send + Sync>,
}

impl Ticket {
    /// `on_no_key` says that the client wants to know, too, when its key is deleted.
    pub fn new(
        shards: impl IntoIterator<Item = u32>,
        on_no_key: bool,
        content: impl Any + Send + Sync,
    ) -> Arc<Self> {
        let mut shards: SmallVec<[u32; 4]> = shards.into_iter().collect();
        shards.sort_unstable();
        shards.dedup();
        Arc::new(Self {
            shards,
            over: AtomicBool::new(false),
            on_no_key,
            content: Box::new(content),
        })
    }

    pub fn shards(&self) -> &[u32] {
        &self.shards
    }

    /// Whether the client has been served, or has given up.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Ends the wait. All its shards must be held for writing.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub fn content<T: Any>(&self) -> &T {
        self.content.downcast_ref().expect("one type of content is put in")
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("shards", &self.shards).finish_non_exhaustive()
    }
}

/// A key that has changed while somebody waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyKey {
    /// Ascends with the order of changes over all shards.
    pub order: u64,
    pub db: usize,
    pub key: Box<[u8]>,
}

/// Clients that wait for one key, the longest first.
type Queue = VecDeque<Arc<Ticket>>;

/// The queues of one shard.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queues: HashMap<(usize, Box<[u8]>), Queue>,
    ready: Vec<ReadyKey>,
    /// Tickets in the queues that name other shards, too.
    wide: usize,
    /// Shared by all shards: gives ready keys their order.
    order: Arc<AtomicU64>,
}

impl Waiting {
    pub(crate) fn new(order: &Arc<AtomicU64>) -> Self {
        Self { order: Arc::clone(order), ..Self::default() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    #[inline]
    pub(crate) fn is_wide(&self) -> bool {
        self.wide > 0
    }

    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn take_ready(&mut self) -> Vec<ReadyKey> {
        std::mem::take(&mut self.ready)
    }

    pub(crate) fn add(&mut self, db: usize, key: &[u8], ticket: &Arc<Ticket>) {
        self.wide += usize::from(ticket.shards.len() > 1);
        self.queues.entry((db, key.into())).or_default().push_back(Arc::clone(ticket));
    }

    pub(crate) fn remove(&mut self, db: usize, key: &[u8], ticket: &Arc<Ticket>) {
        let at = (db, key.into());
        let Some(queue) = self.queues.get_mut(&at) else { return };
        let before = queue.len();
        queue.retain(|other| !Arc::ptr_eq(other, ticket));
        let removed = before - queue.len();
        self.wide -= if ticket.shards.len() > 1 { removed } else { 0 };
        if queue.is_empty() {
            self.queues.remove(&at);
        }
    }

    /// Those who wait for a key, the longest first.
    pub(crate) fn queue(&self, db: usize, key: &[u8]) -> Vec<Arc<Ticket>> {
        self.queues.get(&(db, key.into())).into_iter().flatten().cloned().collect()
    }

    /// The shards that any ticket of these queues names.
    pub(crate) fn reach(&self) -> impl Iterator<Item = u32> {
        self.queues.values().flatten().flat_map(|ticket| ticket.shards.iter().copied())
    }

    /// Keys that are waited for, and those of them whose deletion is waited for, too.
    pub(crate) fn keys(&self) -> (usize, usize) {
        let on_no_key = |queue: &&Queue| queue.iter().any(|ticket| ticket.on_no_key);
        (self.queues.len(), self.queues.values().filter(on_no_key).count())
    }

    #[cold]
    pub(crate) fn changed(&mut self, db: usize, key: &[u8]) {
        let waited_for = self.queues.contains_key(&(db, key.into()));
        let noted = || self.ready.iter().any(|ready| ready.db == db && *ready.key == *key);
        if waited_for && !noted() {
            let order = self.order.fetch_add(1, Ordering::Relaxed);
            self.ready.push(ReadyKey { order, db, key: key.into() });
        }
    }

    /// Notes those keys of `db` that are waited for and that `affected` says to have changed.
    pub(crate) fn changed_where(&mut self, db: usize, mut affected: impl FnMut(&[u8]) -> bool) {
        let keys: Vec<Box<[u8]>> =
            self.queues.keys().filter(|(of, _)| *of == db).map(|(_, key)| key.clone()).collect();
        for key in keys.iter().filter(|key| affected(key)) {
            self.changed(db, key);
        }
    }
}
