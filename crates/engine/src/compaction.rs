//! Active defragmentation: entries and values that lie thinly in memory are moved together, slice by slice, so that the
//! allocator can give pages back. When it begins and how hard it works is as the `active-defrag-*` settings say.
//!
//! One thread does it, whose allocations should go past caches of its own: what was just freed must not be what is
//! allocated next. Each step holds one shard for some tens of microseconds.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use respire_datatypes::compaction::Moves;
use respire_keyspace::{CompactStep, Mode, Walk};

use crate::config::{Settings, find, parse_memory};
use crate::engine::Engine;
use crate::host::Memory;

/// How long a slice of the work takes, about.
const SLICE_NS: u64 = 500_000;
/// How often it is looked whether the work pays.
const JUDGED_EVERY_NS: u64 = 1_000_000_000;
/// How long to wait where there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);

/// Figures for INFO.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// Per cent of a processor that the work may take; 0 while none is done.
    pub(crate) effort: AtomicU32,
    pub(crate) moved: AtomicU64,
    pub(crate) stayed: AtomicU64,
    /// Nanoseconds since the work began, and of what was done before.
    pub(crate) began_ns: AtomicU64,
    pub(crate) total_ns: AtomicU64,
}

/// How far the work is: of the thread that does it.
#[derive(Debug, Default)]
pub struct Compacting {
    shard: u32,
    db: usize,
    walk: Walk,
    judged_ns: Option<u64>,
}

/// The settings of the work.
struct Limits {
    on: bool,
    ignored_bytes: u64,
    /// Per cent of what is allocated that is lost to thinly used pages.
    lower: u64,
    upper: u64,
    /// Per cent of a processor.
    least: u64,
    most: u64,
}

impl Limits {
    fn new(settings: &Settings) -> Self {
        let text = |name: &str| find(name).map_or_else(String::new, |row| row.get(settings));
        let number = |name: &str| text(name).parse().unwrap_or(0);
        Self {
            on: text("activedefrag") == "yes",
            ignored_bytes: parse_memory(&text("active-defrag-ignore-bytes")).unwrap_or(0),
            lower: number("active-defrag-threshold-lower"),
            upper: number("active-defrag-threshold-upper"),
            least: number("active-defrag-cycle-min"),
            most: number("active-defrag-cycle-max"),
        }
    }

    /// Per cent of a processor that the state of the memory is worth.
    fn effort(&self, memory: Memory) -> u64 {
        let lost = memory.active.saturating_sub(memory.allocated);
        let share = lost * 100 / memory.allocated.max(1);
        if !self.on || lost < self.ignored_bytes || share < self.lower {
            return 0;
        }
        let (least, most) = (self.least, self.most.max(self.least));
        let range = self.upper.saturating_sub(self.lower).max(1);
        least + (most - least) * (share - self.lower).min(range) / range
    }
}

impl Engine {
    /// Does a slice of the work, if there is any. Returns how long to wait before the next one.
    pub fn compact(&self, state: &mut Compacting) -> Duration {
        let begin = self.clock.monotonic_ns();
        if state.judged_ns.is_none_or(|at| begin - at >= JUDGED_EVERY_NS) {
            state.judged_ns = Some(begin);
            self.judge_memory(begin);
        }
        let effort = u64::from(self.compaction.effort.load(Ordering::Relaxed));
        if effort == 0 {
            *state = Compacting { judged_ns: state.judged_ns, ..Compacting::default() };
            return IDLE;
        }
        let mut spent = 0;
        while spent < SLICE_NS {
            if !self.compact_step(state) {
                return IDLE;
            }
            spent = self.clock.monotonic_ns() - begin;
        }
        Duration::from_nanos(spent * (100 - effort.min(99)) / effort)
    }

    /// Decides whether the work pays, and how much of it.
    fn judge_memory(&self, now_ns: u64) {
        let settings = self.config.load();
        let limits = Limits::new(&settings);
        let effort = if limits.on { limits.effort(self.host.memory()) as u32 } else { 0 };
        let state = &self.compaction;
        let before = state.effort.swap(effort, Ordering::Relaxed);
        if before == 0 && effort > 0 {
            state.began_ns.store(now_ns, Ordering::Relaxed);
            log::info!("Starting active defrag, using {effort}% of a processor");
        }
        if before > 0 && effort == 0 {
            let took = now_ns.saturating_sub(state.began_ns.load(Ordering::Relaxed));
            state.total_ns.fetch_add(took, Ordering::Relaxed);
            log::info!("Active defrag done in {} ms", took / 1_000_000);
        }
    }

    /// Milliseconds that the work has taken in all, and since it began the last time.
    pub(crate) fn compaction_ms(&self) -> (u64, u64) {
        let state = &self.compaction;
        let running = state.effort.load(Ordering::Relaxed) > 0;
        let since =
            self.clock.monotonic_ns().saturating_sub(state.began_ns.load(Ordering::Relaxed));
        let current = if running { since } else { 0 };
        ((state.total_ns.load(Ordering::Relaxed) + current) / 1_000_000, current / 1_000_000)
    }

    /// Looks at the next few entries. Returns whether that was possible.
    fn compact_step(&self, state: &mut Compacting) -> bool {
        let mut moves = Moves::default();
        let step = {
            let mut held = self.keyspace.hold_one(state.shard, Mode::Write);
            let shard = held.shard_mut(state.shard);
            let mut thinly = |blocks: &[usize]| self.host.lie_thinly(blocks);
            shard.compact_step(state.db, &mut state.walk, &mut thinly, &mut moves)
        };
        self.compaction.moved.fetch_add(moves.moved, Ordering::Relaxed);
        self.compaction.stayed.fetch_add(moves.stayed, Ordering::Relaxed);
        if step == CompactStep::Done {
            state.db += 1;
            if state.db == self.keyspace.databases() {
                state.db = 0;
                state.shard = (state.shard + 1) % self.keyspace.shard_count() as u32;
            }
        }
        step != CompactStep::NotNow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effort_follows_what_is_lost() {
        let limits =
            Limits { on: true, ignored_bytes: 100, lower: 10, upper: 100, least: 1, most: 25 };
        let effort =
            |allocated, active| limits.effort(Memory { allocated, active, ..Memory::default() });
        assert_eq!(effort(1000, 1090), 0, "too few bytes");
        assert_eq!(effort(10_000, 10_900), 0, "too small a share");
        assert_eq!(effort(10_000, 11_000), 1);
        assert_eq!(effort(10_000, 15_500), 13);
        assert_eq!(effort(10_000, 20_000), 25);
        assert_eq!(effort(10_000, 90_000), 25);
        assert_eq!(effort(0, 0), 0);
        let off = Limits { on: false, ..limits };
        assert_eq!(off.effort(Memory { allocated: 1, active: 1 << 30, ..Memory::default() }), 0);
    }
}
