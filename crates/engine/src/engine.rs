//! The engine: the keyspace with everything that all threads share around it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use respire_datatypes::table::mapped_bytes;
use respire_journal::Journal;
use respire_keyspace::{Held, Keyspace, Mode, Shard, Thinned};

use crate::acl::Acl;
use crate::client::Clients;
use crate::command::Renames;
use crate::compaction::Compaction;
use crate::config::Config;
use crate::eviction::{Eviction, Room};
use crate::host::{Clock, Host};
use crate::latency::LatencyMonitor;
use crate::notify::Classes;
use crate::pause::Pause;
use crate::pubsub::PubSub;
use crate::replies::ReplyBuffers;
use crate::samples::Samples;
use crate::scripting::Scripting;
use crate::slowlog::Slowlog;
use crate::stats::Stats;
use crate::tracking::Tracking;
use crate::worker::Worker;

/// Buckets of expiring keys that one step of the active cycle looks at under one lock.
const EXPIRE_BUCKETS: usize = 256;
/// Keys that one step looks at closely, and mostly deletes: together some tens of microseconds.
const EXPIRE_ENTRIES: usize = 64;
/// Buckets of a resize that are moved in one step when nobody writes to the table.
const RESIZE_BUCKETS: usize = 128;
/// Elements that have left a collection and are freed in one step.
const PRUNED_ELEMENTS: usize = 256;

/// Everything that executing threads share.
///
/// Lock order: shards, ascending; then, one at a time and with nothing under them, the locks inside `clients`,
/// `stats`, `slowlog`, `latency` and the configuration. The locks of `pubsub` are taken under shards, too; the host's
/// mailboxes are below everything.
pub struct Engine {
    pub(crate) acl: Acl,
    pub keyspace: Keyspace,
    pub config: Config,
    pub clients: Clients,
    pub stats: Stats,
    pub slowlog: Slowlog,
    pub latency: LatencyMonitor,
    pub pause: Pause,
    pub pubsub: PubSub,
    pub replies: ReplyBuffers,
    pub(crate) tracking: Tracking,
    /// Who hears of every change.
    pub journal: Journal,
    pub clock: Box<dyn Clock>,
    pub host: Box<dyn Host>,
    /// Unix time, milliseconds.
    pub started_ms: i64,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// DEBUG QUICKLIST-PACKED-THRESHOLD: bytes from which elements of lists are kept apart; 0 leaves it to the lists.
    pub(crate) list_apart: AtomicUsize,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may call what is not meant for them.
    pub(crate) scripts_call_all: AtomicBool,
    /// DEBUG SET-SKIP-CHECKSUM-VALIDATION.
    pub(crate) skip_checksums: AtomicBool,
    /// Whether commands have to be refused: see `saving.rs`. 0 is the usual.
    pub(crate) condition: AtomicU8,
    /// Why the append-only file can't be written, while that is so.
    pub(crate) log_failure: Mutex<String>,
    /// DEBUG PAUSE-CRON.
    pub(crate) cron_paused: AtomicBool,
    /// Changes that had been made when the statistics were last reset, or a file was last saved.
    pub(crate) clean_changes: AtomicU64,
    /// Connections refused: too many, or strangers in protected mode.
    pub rejected_connections: AtomicU64,
    /// Keys that had expired when the statistics were last reset.
    pub(crate) expired_before: AtomicU64,
    /// The same of elements of collections.
    pub(crate) expired_elements_before: AtomicU64,
    /// Keys of databases that were flushed and left to be freed elsewhere.
    pub(crate) lazily_freed: AtomicU64,
    /// Clients that wait.
    pub(crate) blocked: AtomicU64,
    pub(crate) samples: Samples,
    pub(crate) scripting: Scripting,
    pub(crate) eviction: Eviction,
    pub(crate) compaction: Compaction,
    /// `rename-command`, fixed at the start.
    pub(crate) renames: Renames,
}

impl Engine {
    /// An engine with an empty keyspace. `secret` keys its inner hash, and should be random.
    pub fn new(
        config: Config,
        clock: Box<dyn Clock>,
        host: Box<dyn Host>,
        secret: [u64; 4],
    ) -> Self {
        let settings = config.load();
        let keyspace = Keyspace::new(settings.shards as usize, settings.databases as usize, secret);
        let engine = Self {
            keyspace,
            clients: Clients::default(),
            stats: Stats::default(),
            acl: Acl::new(&settings),
            slowlog: Slowlog::default(),
            latency: LatencyMonitor::default(),
            pause: Pause::default(),
            pubsub: PubSub::default(),
            replies: ReplyBuffers::default(),
            tracking: Tracking::default(),
            journal: Journal::default(),
            started_ms: clock.unix_us() / 1000,
            clock,
            host,
            active_expire: AtomicBool::new(true),
            list_apart: AtomicUsize::new(0),
            scripts_call_all: AtomicBool::new(false),
            skip_checksums: AtomicBool::new(false),
            condition: AtomicU8::new(0),
            log_failure: Mutex::default(),
            cron_paused: AtomicBool::new(false),
            clean_changes: AtomicU64::new(0),
            rejected_connections: AtomicU64::new(0),
            expired_before: AtomicU64::new(0),
            expired_elements_before: AtomicU64::new(0),
            lazily_freed: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            samples: Samples::default(),
            scripting: Scripting::default(),
            eviction: Eviction::default(),
            compaction: Compaction::default(),
            renames: Renames::new(&settings.rename_command),
            config,
        };
        engine.note_condition();
        engine
    }

    /// Does the upkeep of one shard until it is done or `budget_ns` have passed: deletes keys whose time has passed,
    /// moves on resizes that no write moves, and frees what collections have lost. Returns whether there is more to do
    /// at once.
    ///
    /// The shard is locked for some tens of microseconds at a time.
    pub fn upkeep(&self, worker: &mut Worker, number: u32, budget_ns: u64) -> bool {
        if self.cron_paused.load(Ordering::Relaxed) || self.is_busy() {
            return false;
        }
        self.catch_up(worker);
        if self.tracking.keys() > 0 {
            self.limit_tracking(&mut worker.outbox);
        }
        let evicting = self.make_room(worker) == Room::Soon;
        let start = self.clock.monotonic_ns();
        let now_ms = self.clock.unix_us() / 1000;
        let expire = self.active_expire.load(Ordering::Relaxed)
            && self.pause.current(now_ms).is_none()
            && !self.is_loading();
        let mut rounds = 0;
        loop {
            let Some(mut held) = self.keyspace.hold_one_unless_busy(number, Mode::Write) else {
                return false;
            };
            let shard = held.shard_mut(number);
            let mut more = false;
            if expire && shard.has_expiring() {
                let tell = worker.settings.notify_keyspace_events.contains(Classes::EXPIRED);
                let step = shard.expire_step(now_ms, EXPIRE_BUCKETS, EXPIRE_ENTRIES, tell);
                for (db, name) in &step.names {
                    self.notify(Classes::EXPIRED, "expired", *db, name);
                }
                rounds += usize::from(step.wrapped);
                more = rounds == 0;
            }
            if expire && shard.has_timed() {
                let thinned = shard.expire_elements(now_ms, EXPIRE_ENTRIES);
                more |=
                    thinned.iter().map(|one| one.elements.len()).sum::<usize>() >= EXPIRE_ENTRIES;
                thinned.iter().for_each(|one| self.notify_thinned(one));
            }
            more |= shard.resize_step(RESIZE_BUCKETS);
            more |= shard.prune_step(PRUNED_ELEMENTS);
            let leftovers = shard.has_leftovers();
            self.seal(worker, &mut held);
            drop(held);
            if leftovers {
                self.clear_up_shard(worker, number);
            }
            let spent = self.clock.monotonic_ns() - start;
            if !more || spent >= budget_ns {
                if expire {
                    let settings = worker.settings.clone();
                    self.spike(&settings, "expire-cycle", worker, spent);
                }
                worker.stats.counters.expire_cycle_ns.add(spent);
                worker.stats.counters.expire_cycle_capped.add(u64::from(more));
                return more || evicting;
            }
        }
    }

    /// Publishes that a collection lost elements whose time had passed.
    pub(crate) fn notify_thinned(&self, one: &Thinned) {
        self.notify(Classes::HASH, "hexpired", one.db, &one.key);
        if one.removed {
            self.notify(Classes::GENERIC, "del", one.db, &one.key);
        }
    }

    /// Sum over all shards. Where `held` holds nothing, each is locked for a moment.
    pub(crate) fn sum_shards(&self, held: &Held<'_>, f: impl Fn(&Shard) -> u64) -> u64 {
        let each = (0..self.keyspace.shard_count() as u32).map(|shard| held.with(shard, &f));
        each.fold(0, u64::wrapping_add)
    }

    /// Bytes in use: what is allocated, and the large tables, which are mapped.
    pub(crate) fn used_memory(&self) -> u64 {
        // The allocator's own figure has what threads keep to allocate it again, and comes and goes with that. What evictions
        // go by does not; it is put right when the allocator's figures are read.
        self.host.memory();
        self.host.allocated() + mapped_bytes() as u64
    }
}
