//! Keeps memory below `maxmemory`: before a command runs, keys are evicted until what is in use fits, or there is
//! nothing left that may go, and the command is refused if it could need more.
//!
//! Which key goes is a guess, as in Redis: a few keys are looked at for each that is evicted, and the best of all that
//! were seen lately goes. Every thread has its own list of those, so that none waits for another. The keys looked at are
//! those of whole buckets at a place chosen at random, in a shard chosen at random: each key has the same chance, and it
//! costs one cache miss less for each key than choosing them one by one. A candidate that was used since it was seen is
//! spared, which Redis does not do.
//!
//! Invariant: no shard is held on entry, and one at a time within. What goes is told to everybody as a deletion is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use respire_datatypes::access;
use respire_datatypes::table::mapped_bytes;
use respire_keyspace::{Db, EntryMut, EntryRef, Key, Mode};

use crate::client::{ClientInfo, ClientKind};
use crate::command::{Command, Flags, Lock};
use crate::config::{MaxmemoryPolicy, Settings};
use crate::ctx::Access;
use crate::engine::Engine;
use crate::notify::Classes;
use crate::session::Session;
use crate::worker::{Delivery, Message, Worker};

/// Candidates that are kept from one eviction to the next.
const KEPT: usize = 16;
/// How often a candidate may turn out to be gone or in use before the time is looked at again.
const TRIES: usize = 64;
/// Evictions between two looks at the clock.
const UNTIMED: usize = 16;
/// While something large is being freed, nothing is evicted for an excess of up to this part of the limit.
const FREEING_PART: u64 = 16;

/// Between two looks at what is being freed, where nothing else can go.
const FREEING_WAIT: Duration = Duration::from_micros(50);

/// A key that could go.
#[derive(Debug)]
struct Candidate {
    /// The higher, the better to go.
    score: u64,
    db: usize,
    key: Box<[u8]>,
}

/// The best candidates that a thread has seen lately, the best last.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    list: Vec<Candidate>,
    /// What the scores mean.
    policy: Option<MaxmemoryPolicy>,
}

impl Candidates {
    fn add(&mut self, score: u64, db: usize, key: &[u8]) {
        if self.list.len() == KEPT && self.list[0].score >= score {
            return;
        }
        if self.list.iter().any(|known| known.db == db && *known.key == *key) {
            return;
        }
        if self.list.len() == KEPT {
            self.list.remove(0);
        }
        let at = self.list.partition_point(|known| known.score <= score);
        self.list.insert(at, Candidate { score, db, key: key.into() });
    }
}

/// What there is below the limit, after evictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// The time for evictions is up, or memory is about to be freed.
    Soon,
    /// Nothing may go.
    None,
}

/// How long memory has been above its limit.
#[derive(Debug, Default)]
pub(crate) struct Eviction {
    /// Monotonic nanoseconds; 0 while it is not.
    since_ns: AtomicU64,
    /// Of the times before.
    total_ns: AtomicU64,
}

impl Eviction {
    fn note(&self, exceeded: bool, now_ns: u64) {
        let now_ns = now_ns.max(1);
        if exceeded {
            let _ = self.since_ns.compare_exchange(0, now_ns, Ordering::Relaxed, Ordering::Relaxed);
        } else {
            let since = self.since_ns.swap(0, Ordering::Relaxed);
            if since > 0 {
                self.total_ns.fetch_add(now_ns.saturating_sub(since), Ordering::Relaxed);
            }
        }
    }

    /// Milliseconds above the limit: in all, and of the time that lasts.
    pub(crate) fn exceeded_ms(&self, now_ns: u64) -> (u64, u64) {
        let current = match self.since_ns.load(Ordering::Relaxed) {
            0 => 0,
            since => now_ns.saturating_sub(since),
        };
        let total = self.total_ns.load(Ordering::Relaxed) + current;
        (total / 1_000_000, current / 1_000_000)
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&self) {
        self.since_ns.store(0, Ordering::Relaxed);
        self.total_ns.store(0, Ordering::Relaxed);
    }
}

/// How long evictions may hold up one command, nanoseconds: in even steps up to the default, then growing by 15 % each.
fn patience_ns(tenacity: u8) -> u64 {
    const STEP: u64 = 50_000;
    match tenacity {
        0..=10 => STEP * u64::from(tenacity),
        11..=99 => (10.0 * STEP as f64 * 1.15_f64.powi(i32::from(tenacity) - 10)) as u64,
        _ => u64::MAX,
    }
}

/// How good it would be to evict an entry.
fn score(entry: EntryRef<'_>, policy: MaxmemoryPolicy, access: Access) -> u64 {
    if policy == MaxmemoryPolicy::VolatileTtl {
        return u64::MAX - entry.expire().unwrap_or(i64::MAX).max(0) as u64;
    }
    match access {
        Access::Lru { clock } => access::lru_idle_fine(entry.access(), clock).into(),
        Access::Lfu { minutes, fraction, decay, .. } => {
            let counter = access::lfu_decayed(entry.access(), minutes, decay);
            // Of two that are used as rarely, the one that was used longer ago.
            let now = access::lfu_pack(minutes, 0) | fraction;
            let idle = access::lfu_idle_fine(entry.access(), now);
            u64::from(u8::MAX - counter) << 24 | u64::from(idle)
        }
    }
}

/// Looks at some entries, at least `wanted` if there are so many.
fn look_at(
    db: &Db,
    policy: MaxmemoryPolicy,
    wanted: usize,
    rng: &mut fastrand::Rng,
    mut f: impl FnMut(EntryRef<'_>),
) {
    let (mut position, mut seen, mut wrapped) = (rng.u64(..) >> 16, 0, false);
    while seen < wanted {
        let visit = |entry: EntryRef<'_>| {
            seen += 1;
            f(entry);
        };
        let next = if policy.is_volatile() {
            db.visit_expiring(position, visit)
        } else {
            db.visit(position, visit)
        };
        match next {
            Some(next) => position = next,
            None if wrapped => return,
            None => (position, wrapped) = (0, true),
        }
    }
}

fn eligible(db: &Db, policy: MaxmemoryPolicy) -> usize {
    if policy.is_volatile() { db.expiring() } else { db.len() }
}

impl Engine {
    /// Bytes in use beyond the limit.
    #[inline]
    fn excess(&self, limit: u64) -> u64 {
        let used = self.host.allocated() + mapped_bytes() as u64;
        if used <= limit {
            return 0;
        }
        used.saturating_sub(self.host.memory_apart()).saturating_sub(limit)
    }

    /// Whether a command is refused because memory is full. Evicts what it can first. Memory must be limited.
    #[inline]
    pub(crate) fn refuses_for_memory(
        &self,
        worker: &mut Worker,
        session: &Session,
        command: &Command,
    ) -> bool {
        if self.is_busy() {
            return false;
        }
        worker.out_of_memory = self.make_room(worker) == Room::None;
        worker.out_of_memory && may_need_memory(session, command)
    }

    /// Evicts until what is in use is below the limit, if there is one.
    #[inline]
    pub(crate) fn make_room(&self, worker: &mut Worker) -> Room {
        let limit = worker.settings.maxmemory;
        let settled = self.eviction.since_ns.load(Ordering::Relaxed) == 0;
        if limit == 0 || (self.excess(limit) == 0 && settled) {
            return Room::Enough;
        }
        self.evict(worker)
    }

    #[cold]
    fn evict(&self, worker: &mut Worker) -> Room {
        let settings = Arc::clone(&worker.settings);
        let start = self.clock.monotonic_ns();
        let room = self.evict_within(worker, &settings, start);
        let now = self.clock.monotonic_ns();
        self.eviction.note(room != Room::Enough, now);
        self.spike(&settings, "eviction-cycle", worker, now - start);
        room
    }

    /// Notes for the latency monitor what took long.
    pub(crate) fn spike(
        &self,
        settings: &Settings,
        event: &'static str,
        worker: &Worker,
        nanos: u64,
    ) {
        let threshold = settings.latency_monitor_threshold;
        if threshold > 0 && nanos / 1_000_000 >= threshold {
            self.latency.add(event, worker.now_ms / 1000, nanos / 1_000_000);
        }
    }

    fn evict_within(&self, worker: &mut Worker, settings: &Settings, start: u64) -> Room {
        let limit = settings.maxmemory;
        let patience = patience_ns(settings.maxmemory_eviction_tenacity);
        // What clients are told of the evictions takes memory, too, until it is sent. It must not be what evictions are for: with
        // many clients that track, each would call for the next, until nothing is left.
        let (mut seen, mut told) = (worker.outbox.len(), 0);
        for done in 1.. {
            told += Delivery::size_of_all(&worker.outbox[seen..]);
            seen = worker.outbox.len();
            let excess = self.excess(limit).saturating_sub(told);
            // During a pause the data must stand still; what is loaded is there in full first.
            if excess == 0 || self.is_loading() || self.pause.current(worker.now_ms).is_some() {
                return Room::Enough;
            }
            if settings.maxmemory_policy == MaxmemoryPolicy::NoEviction {
                return Room::None;
            }
            let freeing = self.host.is_freeing();
            if freeing && excess <= limit / FREEING_PART {
                return Room::Soon;
            }
            if !self.evict_one(worker, settings) {
                // What is being freed may be enough; it is not waited for any longer than for evictions.
                if !freeing || self.clock.monotonic_ns() - start > patience {
                    return Room::None;
                }
                self.host.sleep(FREEING_WAIT);
            } else if done % UNTIMED == 0 && self.clock.monotonic_ns() - start > patience {
                return Room::Soon;
            }
        }
        unreachable!("the loop has no end")
    }

    /// Evicts a key, if there is one that may go.
    fn evict_one(&self, worker: &mut Worker, settings: &Settings) -> bool {
        let policy = settings.maxmemory_policy;
        let random =
            matches!(policy, MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom);
        for _ in 0..TRIES {
            let candidate = if random {
                self.any_candidate(worker, policy)
            } else {
                self.best_candidate(worker, settings)
            };
            let Some(candidate) = candidate else { return false };
            if self.evict_key(worker, settings, &candidate) {
                break;
            }
        }
        true
    }

    /// A key chosen at random.
    fn any_candidate(&self, worker: &mut Worker, policy: MaxmemoryPolicy) -> Option<Candidate> {
        self.in_some_db(worker, policy, |worker, number, db| {
            let random = || worker.rng.u64(..);
            let entry =
                if policy.is_volatile() { db.sample_expiring(random) } else { db.sample(random) };
            entry.map(|entry| Candidate { score: 0, db: number, key: entry.key().into() })
        })
        .flatten()
    }

    /// The best of what was seen lately and of some keys more.
    fn best_candidate(&self, worker: &mut Worker, settings: &Settings) -> Option<Candidate> {
        let policy = settings.maxmemory_policy;
        let mut candidates = std::mem::take(&mut worker.candidates);
        if candidates.policy != Some(policy) {
            candidates = Candidates { policy: Some(policy), ..Candidates::default() };
        }
        self.in_some_db(worker, policy, |worker, number, db| {
            let access = worker.access;
            let wanted = settings.maxmemory_samples as usize;
            look_at(db, policy, wanted, &mut worker.rng, |entry| {
                candidates.add(score(entry, policy, access), number, entry.key());
            });
        });
        let best = candidates.list.pop();
        worker.candidates = candidates;
        best
    }

    /// Calls `f` with a database that has keys which may go, chosen with the chance of a key to be in it.
    fn in_some_db<R>(
        &self,
        worker: &mut Worker,
        policy: MaxmemoryPolicy,
        f: impl FnOnce(&mut Worker, usize, &Db) -> R,
    ) -> Option<R> {
        let shards = self.keyspace.shard_count() as u32;
        let first = worker.rng.u32(..shards);
        for i in 0..shards {
            let number = (first + i) % shards;
            let Some(held) = self.keyspace.hold_one_unless_busy(number, Mode::Read) else {
                continue;
            };
            let shard = held.shard(number);
            let databases = 0..self.keyspace.databases();
            let total: usize = databases.clone().map(|db| eligible(shard.db(db), policy)).sum();
            if total == 0 {
                continue;
            }
            let mut nth = worker.rng.usize(..total);
            for db in databases {
                let here = eligible(shard.db(db), policy);
                if nth < here {
                    return Some(f(worker, db, shard.db(db)));
                }
                nth -= here;
            }
        }
        None
    }

    /// Evicts a candidate, unless it is gone or was used since it was seen.
    fn evict_key(&self, worker: &mut Worker, settings: &Settings, candidate: &Candidate) -> bool {
        let timed = settings.latency_monitor_threshold > 0;
        let start = if timed { self.clock.monotonic_ns() } else { 0 };
        let Candidate { db, .. } = *candidate;
        let key = self.keyspace.key(&candidate.key);
        let Some(mut held) = self.keyspace.hold_one_unless_busy(key.shard, Mode::Write) else {
            return false;
        };
        let shard = held.shard_mut(key.shard);
        if shard.must_wait(db, &key) {
            return false;
        }
        let expired = shard.expire_if_due(db, &key, worker.now_ms);
        let policy = settings.maxmemory_policy;
        let access = worker.access;
        let may_go = |entry: EntryRef<'_>| {
            (!policy.is_volatile() || entry.expire().is_some())
                && (candidate.score == 0 || score(entry, policy, access) >= candidate.score)
        };
        let entry = shard.entry(db, &key, worker.now_ms);
        let evicted = entry.filter(|entry| may_go(entry.get())).map(EntryMut::remove).is_some();
        if evicted && self.journal.is_on() {
            worker.effects.add(db, [b"DEL".as_slice(), key.bytes].into_iter());
        }
        self.seal(worker, &mut held);
        self.tell_gone(settings, db, &key, expired, evicted);
        // Freed here, so that what it gives back is known before another key goes for it.
        let values = if settings.lazyfree_lazy_eviction { Vec::new() } else { held.take_garbage() };
        let leftovers = held.has_leftovers();
        drop(held);
        drop(values);
        if leftovers {
            self.clear_up_shard(worker, key.shard);
        }
        worker.stats.counters.evicted_keys.add(evicted.into());
        if timed && evicted {
            self.spike(settings, "eviction-del", worker, self.clock.monotonic_ns() - start);
        }
        expired || evicted
    }

    fn tell_gone(
        &self,
        settings: &Settings,
        db: usize,
        key: &Key<'_>,
        expired: bool,
        evicted: bool,
    ) {
        let classes = settings.notify_keyspace_events;
        if expired && classes.contains(Classes::EXPIRED) {
            self.notify(Classes::EXPIRED, "expired", db, key.bytes);
        }
        if evicted && classes.contains(Classes::EVICTED) {
            self.notify(Classes::EVICTED, "evicted", db, key.bytes);
        }
    }

    /// Ends the connections of the clients that hold most, if all hold more than `maxmemory-clients` allows. Whose thread
    /// `worker` is delivers its outbox.
    #[inline]
    pub fn limit_clients(&self, worker: &mut Worker) {
        if let Some(limit) = worker.settings.client_memory_limit()
            && self.clients.memory() > limit
        {
            self.evict_clients(worker, limit);
        }
    }

    #[cold]
    fn evict_clients(&self, worker: &mut Worker, limit: u64) {
        let held_by = |client: &ClientInfo| client.usage.total.load(Ordering::Relaxed);
        let mut clients = self.clients.list();
        // Those that are about to go hold what they hold for a moment more.
        let mut sum: u64 = clients.iter().map(|client| held_by(client)).sum();
        clients.retain(|client| {
            matches!(client.kind(), ClientKind::Normal | ClientKind::Pubsub)
                && !client.no_evict.load(Ordering::Relaxed)
        });
        clients.sort_by_key(|client| held_by(client));
        while sum > limit
            && let Some(client) = clients.pop()
        {
            if client.closing.swap(true, Ordering::Relaxed) {
                continue;
            }
            sum = sum.saturating_sub(held_by(&client));
            log::info!("Evicting client: id={} addr={}", client.id, client.addr);
            worker.stats.counters.evicted_clients.add(1);
            let message = Message::Kill;
            worker.outbox.push(Delivery { thread: client.thread, client: client.id, message });
        }
    }

    /// Says so if a new limit is below what is in use.
    pub(crate) fn warn_of_limit(&self, limit: u64) {
        let used = self.used_memory();
        if limit > 0 && used > limit {
            log::warn!(
                "WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller than the current memory usage \
                 ({used}). This will result in key eviction and/or the inability to accept new write commands depending \
                 on the maxmemory-policy."
            );
        }
    }
}

/// Whether a command may need memory. What is queued needs some, whatever it is.
fn may_need_memory(session: &Session, command: &Command) -> bool {
    let row = command.row;
    if row.lock == Lock::Exec {
        return session.transaction.needs_memory();
    }
    let queues =
        session.transaction.is_open() && !matches!(command.full_name, "discard" | "reset" | "quit");
    queues || row.has(Flags::DENYOOM)
}

#[cfg(test)]
mod tests;
