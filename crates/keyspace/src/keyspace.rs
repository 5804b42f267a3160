//! The keyspace as a whole: picks shards, locks them, prefetches for batches, and walks all of them for SCAN.

use std::sync::Arc;

use respire_datatypes::collection::Ahead;
use respire_datatypes::hash::Hasher;
use respire_datatypes::table::{BucketAhead, prefetch};
use smallvec::SmallVec;

use crate::entry::EntryRef;
use crate::hash::{Key, LANES, fnv1a, fnv1a_lanes};
use crate::lock::{Cell, Cells, Held, HeldNow, Mode, SHARDS_MAX};
use crate::shard::Shard;

/// All shards.
pub struct Keyspace {
    cells: Cells,
    hasher: Hasher,
    databases: usize,
    /// Shard count minus one if the count is a power of two: then a mask replaces the division.
    mask: Option<u32>,
}

/// The hashes of a key of a batch, computed before its command is executed.
#[derive(Debug, Clone, Copy)]
pub struct Hashed {
    pub hash: u64,
    pub shard: u32,
    /// The database that it is expected to be looked up in.
    pub db: u32,
}

impl Keyspace {
    /// A keyspace of `shards` shards (at least one) with `databases` databases, whose inner hash is keyed by `secret`.
    pub fn new(shards: usize, databases: usize, secret: [u64; 4]) -> Self {
        assert!((1..=SHARDS_MAX).contains(&shards) && databases > 0);
        let hasher = Hasher::new(secret);
        let order = Arc::default();
        let cells =
            (0..shards).map(|_| Cell::new(Shard::with_order(databases, &hasher, &order))).collect();
        let mask = shards.is_power_of_two().then(|| shards as u32 - 1);
        Self { cells: Cells::new(cells), hasher, databases, mask }
    }

    pub fn shard_count(&self) -> usize {
        self.cells.len()
    }

    /// The keyed hash, which large collections share.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    pub fn databases(&self) -> usize {
        self.databases
    }

    /// The shard of a key: FNV-1a modulo the number of shards.
    #[inline]
    pub fn shard_of(&self, bytes: &[u8]) -> u32 {
        self.shard_of_hash(fnv1a(bytes))
    }

    #[inline]
    fn shard_of_hash(&self, hash: u32) -> u32 {
        match self.mask {
            Some(mask) => hash & mask,
            None => hash % self.cells.len() as u32,
        }
    }

    /// Fills in the shards of `hashes`; `key` gives the bytes of each.
    #[inline]
    pub fn fill_shards<'k>(&self, hashes: &mut [Hashed], key: impl Fn(usize) -> &'k [u8]) {
        if let [only] = hashes {
            return only.shard = self.shard_of(key(0));
        }
        for (n, group) in hashes.chunks_mut(LANES).enumerate() {
            // Where there are not so many, the last one is taken again.
            let last = group.len() - 1;
            let lanes = fnv1a_lanes(std::array::from_fn(|lane| key(n * LANES + lane.min(last))));
            for (hashed, hash) in group.iter_mut().zip(lanes) {
                hashed.shard = self.shard_of_hash(hash);
            }
        }
    }

    /// The keyed hash of `bytes`, with a shard that [`Self::fill_shards`] will fill in.
    #[inline]
    pub fn half_hashed(&self, bytes: &[u8], db: usize) -> Hashed {
        Hashed { hash: self.hasher.hash(bytes), shard: 0, db: db as u32 }
    }

    /// `bytes` with its hashes.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { bytes, hash: self.hasher.hash(bytes), shard: self.shard_of(bytes) }
    }

    /// The hashes of `bytes`.
    #[inline]
    pub fn hashed(&self, bytes: &[u8], db: usize) -> Hashed {
        Hashed { hash: self.hasher.hash(bytes), shard: self.shard_of(bytes), db: db as u32 }
    }

    /// How often somebody had to wait for this shard, since the start.
    pub fn lock_waits(&self, shard: u32) -> u64 {
        self.cells[shard as usize].waits()
    }

    pub fn hold_nothing(&self) -> Held<'_> {
        Held::nothing(&self.cells)
    }

    #[inline]
    pub fn hold_one(&self, shard: u32, mode: Mode) -> Held<'_> {
        Held::one(&self.cells, shard, mode)
    }

    /// Holds a set of shards, locked in ascending order.
    pub fn hold(&self, shards: SmallVec<[u32; 16]>, mode: Mode) -> Held<'_> {
        Held::some(&self.cells, shards, mode)
    }

    pub fn hold_all(&self, mode: Mode) -> Held<'_> {
        Held::all(&self.cells, mode)
    }

    /// As [`Self::hold_one`]; `None` while others give up waiting: see [`Self::set_busy`].
    #[inline]
    pub fn hold_one_unless_busy(&self, shard: u32, mode: Mode) -> Option<Held<'_>> {
        Held::one_unless_busy(&self.cells, shard, mode)
    }

    /// Calls `f` with one shard held, and those of whoever waits for its keys; `None` while others give up waiting.
    #[inline]
    pub fn with_one_unless_busy<'k, R>(
        &'k self,
        shard: u32,
        mode: Mode,
        f: impl FnOnce(&mut Held<'k>) -> R,
    ) -> Option<R> {
        Held::with_one(&self.cells, shard, mode, f)
    }

    /// Calls `f` with one shard held for writing; `None` if it is not to be had without waiting.
    #[inline]
    pub fn with_one_now<'k, R>(
        &'k self,
        shard: u32,
        f: impl FnOnce(&mut Held<'k>) -> R,
    ) -> Option<R> {
        Held::with_one_now(&self.cells, shard, f)
    }

    /// As [`Self::hold`]; `None` while others give up waiting.
    pub fn hold_unless_busy(&self, shards: SmallVec<[u32; 16]>, mode: Mode) -> Option<Held<'_>> {
        Held::some_unless_busy(&self.cells, shards, mode)
    }

    /// As [`Self::hold_all`]; `None` while others give up waiting.
    pub fn hold_all_unless_busy(&self, mode: Mode) -> Option<Held<'_>> {
        Held::all_unless_busy(&self.cells, mode)
    }

    /// Whether somebody holds shards for so long that those who can do without give up waiting.
    pub fn set_busy(&self, busy: bool) {
        self.cells.set_busy(busy);
    }

    /// Holds for reading what can be had without waiting, each shard when it is asked for.
    #[inline]
    pub fn hold_now(&self) -> HeldNow<'_> {
        HeldNow::new(&self.cells)
    }

    /// Begins to load a batch's keys into the cache.
    pub fn prefetch(&self) -> Prefetch<'_> {
        Prefetch { held: self.hold_now() }
    }
}

/// Loads what a batch of keys will touch into the cache, all of it side by side. Shards that are being written are
/// passed over: this is a hint, and must not wait. The shards stay locked for reading until it is dropped.
pub struct Prefetch<'k> {
    held: HeldNow<'k>,
}

/// What a command looks for in the collection at a key.
#[derive(Debug, Clone, Copy)]
pub struct Sought {
    /// Which of the keys of the batch it is.
    pub key: u32,
    /// The hash of the element, if the command is about one.
    pub hash: Option<u64>,
}

impl Prefetch<'_> {
    /// Loads the way to elements of collections, once the entries of the keys have been asked for: the collections, what
    /// they begin with, and what is further in. Each step reads what the one before has asked for.
    pub fn elements(&self, keys: &[Hashed], sought: &[Sought]) {
        for sought in sought.chunks(SIDE_BY_SIDE) {
            let mut collections = [None; SIDE_BY_SIDE];
            for (one, collection) in sought.iter().zip(&mut collections) {
                if let Some(key) = keys.get(one.key as usize)
                    && let Some(shard) = self.held.shard(key.shard)
                    && let Some(entry) = shard.db(key.db as usize).likely(key.hash)
                    && let Some(found) = entry.collection()
                {
                    prefetch(std::ptr::from_ref(found).cast());
                    *collection = Some(found);
                }
            }
            for step in [Ahead::Content, Ahead::Bucket, Ahead::Element] {
                for (one, collection) in sought.iter().zip(&collections) {
                    if let Some(collection) = collection {
                        collection.prefetch(step, one.hash);
                    }
                }
            }
        }
    }

    /// Loads the entries of keys. All buckets are asked for before the first is read; the few entries in overflow buckets
    /// come last.
    #[inline]
    pub fn keys(&self, keys: &[Hashed]) {
        for keys in keys.chunks(SIDE_BY_SIDE) {
            let mut buckets = [None; SIDE_BY_SIDE];
            for (key, bucket) in keys.iter().zip(&mut buckets) {
                if let Some(shard) = self.held.shard(key.shard) {
                    *bucket = shard.db(key.db as usize).keys.ahead(key.hash);
                }
            }
            let mut further: SmallVec<[(BucketAhead<'_>, u64); SIDE_BY_SIDE]> = SmallVec::new();
            for (key, bucket) in keys.iter().zip(buckets) {
                if let Some(bucket) = bucket
                    && bucket.prefetch_entry(key.hash)
                {
                    further.push((bucket, key.hash));
                }
            }
            further.into_iter().for_each(|(bucket, hash)| bucket.prefetch_overflow(hash));
        }
    }
}

/// Keys whose buckets are asked for before the first is read.
const SIDE_BY_SIDE: usize = 64;

/// A place in a walk over all shards, as SCAN's cursor: 48 bits of hash range above 12 bits of shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor(u64);

const CURSOR_SHARD_BITS: u32 = 12;

impl Cursor {
    pub const START: Self = Self(0);

    /// The cursor that a client sent. Any number is one; a made-up one starts somewhere.
    pub fn from_number(number: u64) -> Self {
        Self(number & ((1 << (48 + CURSOR_SHARD_BITS)) - 1))
    }

    /// What a client is told; 0 stands for the start, and the end.
    pub fn number(self) -> u64 {
        self.0
    }

    fn at(shard: u32, position: u64) -> Self {
        Self(position << CURSOR_SHARD_BITS | u64::from(shard))
    }

    /// The shard that the walk has come to.
    pub fn shard(self) -> u32 {
        (self.0 & ((1 << CURSOR_SHARD_BITS) - 1)) as u32
    }

    fn position(self) -> u64 {
        self.0 >> CURSOR_SHARD_BITS
    }

    /// Visits the entries of one bucket of `db`; returns where to go on, `None` after the last shard.
    ///
    /// `shard` must be the shard that [`Self::shard`] tells.
    pub fn visit(
        self,
        shard: &Shard,
        shards: usize,
        db: usize,
        f: impl FnMut(EntryRef<'_>),
    ) -> Option<Self> {
        match shard.db(db).visit(self.position(), f) {
            Some(position) => Some(Self::at(self.shard(), position)),
            None => {
                let next = self.shard() + 1;
                ((next as usize) < shards).then(|| Self::at(next, 0))
            }
        }
    }
}
