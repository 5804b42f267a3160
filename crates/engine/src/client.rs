//! The clients of all threads, as CLIENT LIST shows them and CLIENT KILL finds them.
//!
//! A connection's thread owns its `Session`; what others may read of it is published here. Figures are published once
//! per batch, not per command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use respire_keyspace::Ticket;

/// The user that a client is until it says otherwise. It always exists.
pub(crate) const DEFAULT_USER: &[u8] = b"default";

/// What a client is, as CLIENT KILL TYPE and CLIENT LIST TYPE have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    Normal,
    Pubsub,
    Master,
    Replica,
}

/// Texts that a client may change.
#[derive(Debug, Default, Clone)]
pub struct Names {
    pub name: Vec<u8>,
    pub lib_name: Vec<u8>,
    pub lib_ver: Vec<u8>,
    pub user: Vec<u8>,
}

/// Memory and buffers of a connection, bytes. Published by its thread after each batch; `total` with
/// [`Clients::note_memory`].
#[derive(Debug, Default)]
pub struct Usage {
    pub query: AtomicU64,
    pub query_free: AtomicU64,
    pub output: AtomicU64,
    pub output_list: AtomicU64,
    pub multi: AtomicU64,
    pub total: AtomicU64,
    pub net_in: AtomicU64,
    pub net_out: AtomicU64,
    /// See `replies.rs`.
    pub(crate) reply_peak: AtomicU64,
    pub(crate) reply_peak_ms: AtomicI64,
}

/// What the whole server may know of a client.
#[derive(Debug)]
pub struct ClientInfo {
    pub id: u64,
    pub thread: usize,
    pub addr: String,
    pub laddr: String,
    pub fd: i32,
    pub unix_socket: bool,
    /// Unix time of the connection, milliseconds.
    pub created_ms: i64,
    pub active_ms: AtomicI64,
    pub names: Mutex<Names>,
    pub db: AtomicU32,
    pub resp: AtomicU32,
    /// Number of queued commands; -1 outside a transaction.
    pub multi: AtomicI64,
    pub watching: AtomicU32,
    /// The number of the last command; [`ClientInfo::NO_COMMAND`] before the first, and after one that does not exist.
    pub command: AtomicU32,
    /// Channels, patterns and sharded channels that it listens to.
    pub subscriptions: [AtomicU32; 3],
    /// The place in the queues of a client that waits.
    pub(crate) ticket: Mutex<Option<Arc<Ticket>>>,
    pub tracking: AtomicBool,
    pub monitor: AtomicBool,
    pub no_evict: AtomicBool,
    pub no_touch: AtomicBool,
    /// CLIENT KILL has hit it: it is about to go, and for other clients it is gone.
    pub closing: AtomicBool,
    pub usage: Usage,
}

impl ClientInfo {
    pub const NO_COMMAND: u32 = u32::MAX;

    /// A client that has just connected, numbered `id`. Its thread is 0 until someone says otherwise.
    pub fn new(
        id: u64,
        addr: String,
        laddr: String,
        fd: i32,
        unix_socket: bool,
        now_ms: i64,
    ) -> Self {
        Self {
            id,
            thread: 0,
            addr,
            laddr,
            fd,
            unix_socket,
            created_ms: now_ms,
            active_ms: AtomicI64::new(now_ms),
            names: Mutex::new(Names { user: DEFAULT_USER.to_vec(), ..Names::default() }),
            db: AtomicU32::new(0),
            resp: AtomicU32::new(2),
            multi: AtomicI64::new(-1),
            watching: AtomicU32::new(0),
            command: AtomicU32::new(Self::NO_COMMAND),
            subscriptions: Default::default(),
            ticket: Mutex::default(),
            tracking: AtomicBool::new(false),
            monitor: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            usage: Usage::default(),
        }
    }

    pub fn kind(&self) -> ClientKind {
        if self.monitor.load(Ordering::Relaxed) {
            ClientKind::Replica
        } else if self.subscriptions.iter().any(|count| count.load(Ordering::Relaxed) > 0) {
            ClientKind::Pubsub
        } else {
            ClientKind::Normal
        }
    }
}

/// All clients, by id.
///
/// Lock order: both the map's lock and a client's `names` may be taken under shard locks; `names` under the map's.
/// Nothing is locked under `names`, and no shard under either.
#[derive(Debug, Default)]
pub struct Clients {
    all: RwLock<BTreeMap<u64, Arc<ClientInfo>>>,
    next_id: AtomicU64,
    monitors: AtomicU32,
    /// Sum of the clients' totals.
    memory: AtomicU64,
}

impl Clients {
    /// What all clients hold together, bytes.
    #[inline]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Publishes what a client holds. Only its own thread may call this.
    #[inline]
    pub fn note_memory(&self, info: &ClientInfo, bytes: u64) {
        let before = info.usage.total.load(Ordering::Relaxed);
        if bytes != before {
            info.usage.total.store(bytes, Ordering::Relaxed);
            self.memory.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// A client's number: 1 for the first, never used again.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn add(&self, info: &Arc<ClientInfo>) {
        self.all.write().insert(info.id, Arc::clone(info));
    }

    pub fn remove(&self, info: &ClientInfo) {
        self.all.write().remove(&info.id);
        self.note_memory(info, 0);
        if info.monitor.swap(false, Ordering::Relaxed) {
            self.monitors.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A client that is not about to go.
    pub fn get(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.all.read().get(&id).filter(|info| !info.closing.load(Ordering::Relaxed)).cloned()
    }

    /// All clients that are not about to go, oldest first.
    pub fn list(&self) -> Vec<Arc<ClientInfo>> {
        let all = self.all.read();
        all.values().filter(|info| !info.closing.load(Ordering::Relaxed)).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.all.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any client monitors: one load, all that the hot path pays.
    #[inline]
    pub fn has_monitors(&self) -> bool {
        self.monitors.load(Ordering::Relaxed) > 0
    }

    pub fn set_monitor(&self, info: &ClientInfo, on: bool) {
        if info.monitor.swap(on, Ordering::Relaxed) != on {
            if on {
                self.monitors.fetch_add(1, Ordering::Relaxed);
            } else {
                self.monitors.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
