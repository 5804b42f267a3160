//! Where a value lives and dies: entries, the table they hang in, shards and their locks, expiry, watches.
//!
//! Knows no commands, protocol, clients, files or clock: time comes in as a number. See `docs/architecture.md` for the
//! locks and their order.

mod compact;
mod db;
mod entry;
mod escalation;
mod expire;
#[cfg(test)]
mod fuzz;
mod hash;
mod keyspace;
mod lock;
mod prune;
mod shard;
mod snapshot;
mod waiting;
mod watch;

pub use compact::{CompactStep, Walk};
pub use db::{Db, Found};
pub use entry::{EntryRef, Heap, NewValue, StrRef, Value};
pub use escalation::Escalation;
pub use expire::{ExpireStep, Thinned};
pub use hash::{Key, fnv1a};
pub use keyspace::{Cursor, Hashed, Keyspace, Prefetch, Sought};
pub use lock::{Held, HeldNow, Mode};
pub use shard::{EntryMut, Flushed, Gone, Shard, Ttl};
pub use snapshot::{Keeper, Pinned, SaveStep, Unsaved};
pub use waiting::{ReadyKey, Ticket};
pub use watch::WatchFlag;
