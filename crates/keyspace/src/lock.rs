//! The shards behind their locks.
//!
//! Lock order: shards in ascending order, and nothing else is locked while they are held, except what
//! `docs/architecture.md` lists below them. A thread holds at most one [`Held`] at a time.
//!
//! `unsafe` is here because one command holds any number of shards, chosen at run time, for reading or for writing:
//! more than the borrow checker can follow. [`Held`] keeps the list of what is locked and checks every access to it.

use std::cell::UnsafeCell;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RawRwLock;
use parking_lot::lock_api::{RawRwLock as _, RawRwLockTimed as _};
use smallvec::SmallVec;

use crate::entry::Heap;
use crate::escalation::{Escalation, Turn, Way};
use crate::shard::{Gone, Shard};
use crate::waiting::ReadyKey;

/// How a command holds its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Read,
    Write,
}

/// One shard and its lock, on cache lines of its own.
#[repr(align(128))]
pub(crate) struct Cell {
    lock: RawRwLock,
    /// How often somebody had to wait for the lock. Who gets it at once does not touch this.
    waits: AtomicU64,
    shard: UnsafeCell<Shard>,
}

// SAFETY: the shard is reached only under its lock, as in any reader-writer lock; it is Send and Sync itself.
unsafe impl Sync for Cell {}

impl Cell {
    pub(crate) fn new(shard: Shard) -> Self {
        Self { lock: RawRwLock::INIT, waits: AtomicU64::new(0), shard: UnsafeCell::new(shard) }
    }

    #[inline]
    fn lock(&self, mode: Mode) {
        if !self.try_lock(mode) {
            self.wait(mode);
        }
    }

    #[cold]
    fn wait(&self, mode: Mode) {
        self.count_wait();
        match mode {
            Mode::Read => self.lock.lock_shared(),
            Mode::Write => self.lock.lock_exclusive(),
        }
    }

    fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    #[inline]
    fn try_lock(&self, mode: Mode) -> bool {
        match mode {
            Mode::Read => self.lock.try_lock_shared(),
            Mode::Write => self.lock.try_lock_exclusive(),
        }
    }

    fn try_lock_for(&self, mode: Mode, patience: Duration) -> bool {
        match mode {
            Mode::Read => self.lock.try_lock_shared_for(patience),
            Mode::Write => self.lock.try_lock_exclusive_for(patience),
        }
    }

    #[inline]
    fn unlock(&self, mode: Mode) {
        // SAFETY: only called by `Held`, for locks that it took in the same mode.
        unsafe {
            match mode {
                Mode::Read => self.lock.unlock_shared(),
                Mode::Write => self.lock.unlock_exclusive(),
            }
        }
    }
}

/// All shards, and who goes first among those who hold several.
pub(crate) struct Cells {
    cells: Box<[Cell]>,
    way: Way,
    /// Somebody holds shards for so long that others give up waiting.
    busy: AtomicBool,
}

impl Cells {
    pub(crate) fn new(cells: Box<[Cell]>) -> Self {
        Self { cells, way: Way::default(), busy: AtomicBool::new(false) }
    }

    pub(crate) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Release);
    }

    /// Locks a shard, unless others give up waiting. Returns whether it is locked.
    #[inline]
    fn lock_unless_busy(&self, shard: u32, mode: Mode) -> bool {
        let cell = &self.cells[shard as usize];
        cell.try_lock(mode) || self.wait_unless_busy(cell, mode)
    }

    #[cold]
    fn wait_unless_busy(&self, cell: &Cell, mode: Mode) -> bool {
        cell.count_wait();
        while !cell.try_lock_for(mode, PATIENCE * 5) {
            if self.busy.load(Ordering::Acquire) {
                return false;
            }
        }
        true
    }

    /// Locks shards, which are in ascending order. Whoever escalates goes first: what was locked is given back then, and
    /// locked again later. If `give_up` says so, nothing is locked where others give up waiting. Returns whether all are.
    fn lock_in_order(
        &self,
        shards: impl Iterator<Item = u32> + Clone,
        mode: Mode,
        give_up: bool,
    ) -> bool {
        'again: loop {
            for (locked, shard) in shards.clone().enumerate() {
                let cell = &self.cells[shard as usize];
                if cell.try_lock(mode) {
                    continue;
                }
                if locked == 0 && !give_up {
                    cell.wait(mode);
                    continue;
                }
                cell.count_wait();
                while !cell.try_lock_for(mode, PATIENCE) {
                    let gives_up = give_up && self.busy.load(Ordering::Acquire);
                    if !gives_up && (locked == 0 || !self.way.is_blocked()) {
                        continue;
                    }
                    for shard in shards.clone().take(locked) {
                        self.cells[shard as usize].unlock(mode);
                    }
                    if gives_up {
                        return false;
                    }
                    self.way.wait();
                    continue 'again;
                }
            }
            return true;
        }
    }
}

impl Deref for Cells {
    type Target = [Cell];

    #[inline]
    fn deref(&self) -> &[Cell] {
        &self.cells
    }
}

/// How long one waits for a shard before looking whether somebody escalates.
const PATIENCE: Duration = Duration::from_millis(1);

/// How many shards there may be.
pub const SHARDS_MAX: usize = 4096;

/// The shards that could be locked for reading without waiting. Each is tried when it is first asked for, and kept, so
/// that a row of reads locks each shard once. Whoever has one must not wait for a lock: nobody could tell in what order.
pub struct HeldNow<'k> {
    cells: &'k [Cell],
    /// What has become of 64 shards in each.
    tried: SmallVec<[std::cell::Cell<Tried>; 1]>,
}

/// Shards of 64, a bit for each.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    held: u64,
    refused: u64,
}

impl<'k> HeldNow<'k> {
    #[inline]
    pub(crate) fn new(cells: &'k [Cell]) -> Self {
        let mut tried = SmallVec::new();
        tried.push(std::cell::Cell::default());
        if cells.len() > 64 {
            tried.resize_with(cells.len().div_ceil(64), std::cell::Cell::default);
        }
        Self { cells, tried }
    }

    /// The shard; `None` if somebody writes to it, or did when it was first asked for.
    #[inline]
    pub fn shard(&self, shard: u32) -> Option<&Shard> {
        let (tried, bit) = (&self.tried[shard as usize / 64], 1 << (shard % 64));
        let cell = &self.cells[shard as usize];
        let mut known = tried.get();
        if (known.held | known.refused) & bit == 0 {
            let held = cell.lock.try_lock_shared();
            *(if held { &mut known.held } else { &mut known.refused }) |= bit;
            tried.set(known);
        }
        // SAFETY: the lock is held for reading until drop.
        (known.held & bit != 0).then(|| unsafe { &*cell.shard.get() })
    }
}

impl Drop for HeldNow<'_> {
    #[inline]
    fn drop(&mut self) {
        for (cells, tried) in self.cells.chunks(64).zip(&self.tried) {
            let mut held = tried.get().held;
            while held != 0 {
                // SAFETY: `shard` locked it.
                unsafe { cells[held.trailing_zeros() as usize].lock.unlock_shared() }
                held &= held - 1;
            }
        }
    }
}

#[derive(Debug)]
enum Which {
    Nothing,
    One(u32),
    /// Ascending, without repetition.
    Some(SmallVec<[u32; 16]>),
    All,
}

/// The shards that a command holds; they are unlocked when it is dropped.
pub struct Held<'k> {
    cells: &'k Cells,
    mode: Mode,
    which: Which,
    /// A shard could not be looked at: see [`Self::with`].
    gave_up: std::cell::Cell<bool>,
}

impl<'k> Held<'k> {
    pub(crate) fn nothing(cells: &'k Cells) -> Self {
        Self::holding(cells, Mode::Read, Which::Nothing)
    }

    #[inline]
    pub(crate) fn one(cells: &'k Cells, shard: u32, mode: Mode) -> Self {
        cells[shard as usize].lock(mode);
        Self::holding(cells, mode, Which::One(shard))
    }

    /// As [`Self::one`]; `None` where others give up waiting.
    #[inline]
    pub(crate) fn one_unless_busy(cells: &'k Cells, shard: u32, mode: Mode) -> Option<Self> {
        cells.lock_unless_busy(shard, mode).then(|| Self::holding(cells, mode, Which::One(shard)))
    }

    /// Calls `f` with one shard held, and with those that must be held, too: see [`Self::must_widen`]. `None` where others
    /// give up waiting.
    #[inline]
    pub(crate) fn with_one<R>(
        cells: &'k Cells,
        shard: u32,
        mode: Mode,
        f: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        if !cells.lock_unless_busy(shard, mode) {
            return None;
        }
        // Made and dropped in place: it is too large to be handed about for every command.
        let mut held = Self::holding(cells, mode, Which::One(shard));
        if held.must_widen() {
            held = held.widened()?;
        }
        Some(f(&mut held))
    }

    /// Calls `f` with one shard held for writing; `None` if it is not to be had without waiting.
    #[inline]
    pub(crate) fn with_one_now<R>(
        cells: &'k Cells,
        shard: u32,
        f: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        let locked = cells[shard as usize].try_lock(Mode::Write);
        locked.then(|| f(&mut Self::holding(cells, Mode::Write, Which::One(shard))))
    }

    #[inline]
    fn holding(cells: &'k Cells, mode: Mode, which: Which) -> Self {
        Self { cells, mode, which, gave_up: std::cell::Cell::new(false) }
    }

    /// As [`Self::some`]; `None` where others give up waiting.
    pub(crate) fn some_unless_busy(
        cells: &'k Cells,
        mut shards: SmallVec<[u32; 16]>,
        mode: Mode,
    ) -> Option<Self> {
        shards.sort_unstable();
        shards.dedup();
        cells
            .lock_in_order(shards.iter().copied(), mode, true)
            .then(|| Self::holding(cells, mode, Which::Some(shards)))
    }

    /// As [`Self::all`]; `None` where others give up waiting.
    pub(crate) fn all_unless_busy(cells: &'k Cells, mode: Mode) -> Option<Self> {
        cells
            .lock_in_order(0..cells.len() as u32, mode, true)
            .then(|| Self::holding(cells, mode, Which::All))
    }

    pub(crate) fn some(cells: &'k Cells, mut shards: SmallVec<[u32; 16]>, mode: Mode) -> Self {
        shards.sort_unstable();
        shards.dedup();
        cells.lock_in_order(shards.iter().copied(), mode, false);
        Self::holding(cells, mode, Which::Some(shards))
    }

    pub(crate) fn all(cells: &'k Cells, mode: Mode) -> Self {
        cells.lock_in_order(0..cells.len() as u32, mode, false);
        Self::holding(cells, mode, Which::All)
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether every shard is held.
    pub fn is_all(&self) -> bool {
        match &self.which {
            Which::All => true,
            Which::One(_) => self.cells.len() == 1,
            Which::Some(list) => list.len() == self.cells.len(),
            Which::Nothing => false,
        }
    }

    /// Whether no shard is held: then each may be locked by itself, one after the other.
    pub fn is_nothing(&self) -> bool {
        matches!(self.which, Which::Nothing)
    }

    pub fn shard_count(&self) -> usize {
        self.cells.len()
    }

    /// Whether a shard is held.
    #[inline]
    pub fn holds(&self, shard: u32) -> bool {
        // What most commands hold; a table of jumps would cost them more than all that follows.
        if let Which::One(only) = self.which {
            return only == shard;
        }
        self.holds_among(shard)
    }

    #[inline(never)]
    fn holds_among(&self, shard: u32) -> bool {
        match &self.which {
            Which::One(only) => *only == shard,
            Which::Some(list) => list.binary_search(&shard).is_ok(),
            Which::All => (shard as usize) < self.cells.len(),
            Which::Nothing => false,
        }
    }

    #[inline]
    fn check(&self, shard: u32) {
        assert!(
            self.holds(shard),
            "shard {shard} is not held: the command's key positions are wrong"
        );
    }

    #[inline]
    pub fn shard(&self, shard: u32) -> &Shard {
        self.check(shard);
        // SAFETY: the shard is locked, for reading at least, for as long as `self` lives; `&self` excludes `shard_mut`.
        unsafe { &*self.cells[shard as usize].shard.get() }
    }

    #[inline]
    pub fn shard_mut(&mut self, shard: u32) -> &mut Shard {
        self.check(shard);
        assert!(self.mode == Mode::Write, "a read-only command tried to change the keyspace");
        // SAFETY: the shard is locked for writing for as long as `self` lives, and `&mut self` makes this the only
        // reference to it.
        unsafe { &mut *self.cells[shard as usize].shard.get() }
    }

    /// Whether a change left something to do: see [`Shard::has_leftovers`]. Only meaningful for shards held for writing.
    #[inline]
    pub fn has_leftovers(&self) -> bool {
        self.mode == Mode::Write && self.any_shard(Shard::has_leftovers)
    }

    /// Whether somebody waits for keys of these shards with a command that needs shards which are not held.
    #[inline]
    pub fn must_widen(&self) -> bool {
        self.mode == Mode::Write && self.any_shard(Shard::reaches_out) && !self.is_closed()
    }

    #[cold]
    fn is_closed(&self) -> bool {
        self.reach().iter().all(|shard| self.holds(*shard))
    }

    /// The held shards, and those that anybody needs who waits for one of their keys.
    fn reach(&self) -> SmallVec<[u32; 16]> {
        let mut reach = self.held_shards();
        for shard in self.held_shards() {
            reach.extend(self.shard(shard).waiting.reach());
        }
        reach
    }

    /// Gives up what is held and holds, for writing, all shards that a change of these may touch by serving those who
    /// wait: theirs, and the ones of those who wait for what they change in turn. The keyspace may change in between.
    /// `None` where others give up waiting.
    #[cold]
    pub fn widened(self) -> Option<Self> {
        let mut held = self;
        loop {
            let (reach, cells) = (held.reach(), held.cells);
            if reach.iter().all(|shard| held.holds(*shard)) {
                return Some(held);
            }
            drop(held);
            held = Self::some_unless_busy(cells, reach, Mode::Write)?;
        }
    }

    /// Gives up what is held and holds all shards instead. The keyspace may change in between.
    pub fn hold_all_instead(&mut self, mode: Mode) {
        self.unlock();
        *self = Self::all(self.cells, mode);
    }

    /// Holds one more shard, or all, if nobody else has what is missing: without waiting, so in any order. If there is
    /// somebody, some of it may be held all the same.
    #[cold]
    pub fn try_widen(&mut self, shard: Option<u32>) -> bool {
        loop {
            let missing = self.missing(shard);
            if missing.is_empty() {
                return true;
            }
            for shard in missing {
                if !self.cells[shard as usize].try_lock(self.mode) {
                    return false;
                }
                self.add(shard);
            }
        }
    }

    /// As [`Self::try_widen`], but waits for whoever has what is missing, while holding what is held.
    #[cold]
    pub fn escalate(&mut self, shard: Option<u32>) -> Escalation {
        let way = &self.cells.way;
        loop {
            match way.ask(&self.missing(shard), |other| self.holds(other)) {
                Turn::Mine => break,
                Turn::Crossed => return Escalation::Crossed,
                Turn::Later if self.try_widen(shard) => return Escalation::Done,
                Turn::Later => std::thread::sleep(PATIENCE / 10),
            }
        }
        loop {
            let missing = self.missing(shard);
            if missing.is_empty() {
                way.end();
                return Escalation::Done;
            }
            way.want(&missing);
            for shard in missing {
                self.cells[shard as usize].lock(self.mode);
                self.add(shard);
            }
        }
    }

    /// What of this shard, or of all, is not held, with those of everybody who waits for a key of a held one.
    fn missing(&self, shard: Option<u32>) -> SmallVec<[u32; 16]> {
        let mut wanted = match shard {
            Some(shard) => SmallVec::from_slice(&[shard]),
            None => (0..self.cells.len() as u32).collect(),
        };
        if self.mode == Mode::Write {
            wanted.extend(self.reach());
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|shard| !self.holds(*shard));
        wanted
    }

    /// Notes that a shard, which was just locked, is held.
    fn add(&mut self, shard: u32) {
        let mut held = self.held_shards();
        let at = held.binary_search(&shard).unwrap_or_else(|at| at);
        held.insert(at, shard);
        self.which = Which::Some(held);
    }

    #[cold]
    fn unlock(&mut self) {
        match std::mem::replace(&mut self.which, Which::Nothing) {
            Which::Nothing => {}
            Which::One(shard) => self.cells[shard as usize].unlock(self.mode),
            Which::Some(list) => {
                list.iter().for_each(|s| self.cells[*s as usize].unlock(self.mode))
            }
            Which::All => self.cells.iter().for_each(|cell| cell.unlock(self.mode)),
        }
    }

    /// Changes made since the start in the shards that are held for writing.
    #[inline]
    pub fn changes(&self) -> u64 {
        match &self.which {
            Which::One(shard) => self.shard(*shard).changes(),
            _ => self.held_shards().into_iter().map(|shard| self.shard(shard).changes()).sum(),
        }
    }

    /// As [`Self::changes`], each with its weight. That of a single shard may be below zero, and wraps.
    pub fn weighed_changes(&self) -> u64 {
        let each = self.held_shards().into_iter().map(|shard| self.shard(shard).weighed_changes());
        each.fold(0, u64::wrapping_add)
    }

    /// What has gone from held shards since the last call because its time had passed.
    pub fn take_gone(&mut self) -> Vec<Gone> {
        if self.mode == Mode::Read || !self.any_shard(Shard::has_gone) {
            return Vec::new();
        }
        let held = self.held_shards();
        held.into_iter().flat_map(|shard| self.shard_mut(shard).take_gone()).collect()
    }

    /// The names of changed keys of held shards, each once: see [`Shard::report_changes`].
    pub fn take_reported(&mut self) -> Vec<Box<[u8]>> {
        // Who only reads, as a read-only script does, has changed nothing.
        if self.mode == Mode::Read {
            return Vec::new();
        }
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for shard in self.held_shards() {
            names.append(&mut self.shard_mut(shard).take_reported());
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The keys of held shards that have changed since the last call, and that somebody waits for, in the order of
    /// their changes.
    pub fn take_ready(&mut self) -> Vec<ReadyKey> {
        let mut ready = Vec::new();
        for shard in self.held_shards() {
            ready.append(&mut self.shard_mut(shard).take_ready());
        }
        ready.sort_unstable_by_key(|key| key.order);
        ready
    }

    /// Whether a snapshot is under way that needs something of a held shard.
    pub fn is_saving(&self) -> bool {
        self.held_shards().into_iter().any(|shard| self.shard(shard).is_saving())
    }

    /// The large values that changes set aside, of all held shards.
    pub fn take_garbage(&mut self) -> Vec<Heap> {
        let held = self.held_shards();
        held.into_iter().flat_map(|shard| self.shard_mut(shard).take_garbage()).collect()
    }

    #[inline]
    fn any_shard(&self, f: impl Fn(&Shard) -> bool) -> bool {
        if let Which::One(shard) = self.which {
            return f(self.shard(shard));
        }
        self.any_of_several(f)
    }

    #[inline(never)]
    fn any_of_several(&self, f: impl Fn(&Shard) -> bool) -> bool {
        self.held_shards().into_iter().any(|shard| f(self.shard(shard)))
    }

    fn held_shards(&self) -> SmallVec<[u32; 16]> {
        match &self.which {
            Which::Nothing => SmallVec::new(),
            Which::One(shard) => SmallVec::from_slice(&[*shard]),
            Which::Some(list) => list.clone(),
            Which::All => (0..self.cells.len() as u32).collect(),
        }
    }

    /// Calls `f` with a shard: the one that is held, or one locked for the call if nothing is held. Where others give up
    /// waiting, nothing is looked at, and [`Self::gave_up`] says so.
    pub fn with<R: Default>(&self, shard: u32, f: impl FnOnce(&Shard) -> R) -> R {
        if !self.is_nothing() {
            return f(self.shard(shard));
        }
        match Held::one_unless_busy(self.cells, shard, Mode::Read) {
            Some(held) => f(held.shard(shard)),
            None => {
                self.gave_up.set(true);
                R::default()
            }
        }
    }

    /// Whether a shard was not looked at because its holder takes too long: what was found is not all.
    pub fn gave_up(&self) -> bool {
        self.gave_up.get()
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        match self.which {
            Which::One(shard) => self.cells[shard as usize].unlock(self.mode),
            _ => self.unlock(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mode;
    use crate::keyspace::Keyspace;

    /// Whoever waits is counted with the shard, once; whoever gets it at once is not.
    #[test]
    fn waits_are_counted() {
        let keyspace = Keyspace::new(4, 1, [1, 2, 3, 4]);
        let waits = || (0..4).map(|shard| keyspace.lock_waits(shard)).collect::<Vec<_>>();
        drop(keyspace.hold_all(Mode::Write));
        drop((keyspace.hold_one(2, Mode::Read), keyspace.hold_one(2, Mode::Read)));
        assert_eq!(waits(), [0, 0, 0, 0]);
        for taken in [2, 3] {
            let held = keyspace.hold_one(taken, Mode::Write);
            let before = keyspace.lock_waits(taken);
            std::thread::scope(|scope| {
                scope.spawn(|| match taken {
                    2 => drop(keyspace.hold_one(2, Mode::Read)),
                    _ => drop(keyspace.hold_all(Mode::Write)),
                });
                while keyspace.lock_waits(taken) == before {
                    std::thread::yield_now();
                }
                drop(held);
            });
        }
        assert_eq!(waits(), [0, 0, 1, 1]);
        let held = keyspace.hold_one(1, Mode::Write);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(keyspace.hold_one_unless_busy(1, Mode::Write)));
            while keyspace.lock_waits(1) == 0 {
                std::thread::yield_now();
            }
            drop(held);
        });
        assert_eq!(waits(), [0, 1, 1, 1]);
    }
}
