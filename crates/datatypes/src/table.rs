//! The hash table under the keyspace and under large collections: 64-byte buckets of 8-byte slots, each a pointer to an
//! entry with 16 bits of tag above it. It owns its buckets, never the entries: whoever owns the table frees them.
//!
//! Buckets divide the range of the upper 48 hash bits evenly: bucket `i` of `n` holds the hashes `h` with
//! `h * n / 2^48 == i`. The table therefore grows by any factor, always in hash order, and a position in the *hash
//! range* means the same in a table of any size: that is what SCAN's cursor is, and why it never misses a key.
//!
//! Growing and shrinking move one bucket per change from the old array to the new one, left to right. A hash whose old
//! bucket has been moved is found in the new array, any other in the old one. No operation pays for a whole table.
//!
//! A bucket that overflows keeps its first seven slots and turns the eighth into a link to an overflow bucket. Slots
//! are filled without gaps, so that the first empty slot ends every search.
//!
//! `unsafe` is here because slots are raw memory with links between them. The table never looks behind the entry
//! pointers: it is given closures for that.

use std::ptr::NonNull;

use crate::region::Region;
pub use crate::region::mapped_bytes;
use crate::rest;

const SLOTS: usize = 8;
const LINK: u64 = 1;
const POINTER: u64 = (1 << 48) - 1;
const TAG_SHIFT: u32 = 48;

/// Keys per bucket at which the table grows, in tenths. At this load a quarter of the buckets overflow, at the end of
/// growing a tenth: measured as the best trade of memory against extra cache misses.
const GROW_AT_TENTHS: usize = 64;
/// Keys per bucket at which the table shrinks, in tenths.
const SHRINK_AT_TENTHS: usize = 12;
/// Moved buckets after which the new array's part in use is told anew.
const REACH_STEP: usize = 256;
/// Buckets up to which the table doubles; beyond, it grows by a quarter, which keeps it better filled.
const DOUBLE_BELOW: usize = 1024;

/// One cache line of slots.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    slots: [u64; SLOTS],
}

/// The content of a slot: a pointer to an entry, and its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word(u64);

impl Word {
    /// `entry` must be 8-aligned.
    #[inline]
    pub fn new(tag: u16, entry: NonNull<u8>) -> Self {
        let bits = entry.as_ptr() as u64;
        debug_assert_eq!(bits & !POINTER, 0, "user-space addresses have 47 bits");
        debug_assert_eq!(bits & 7, 0, "entries are 8-aligned");
        Self(bits | u64::from(tag) << TAG_SHIFT)
    }

    #[inline]
    pub fn tag(self) -> u16 {
        (self.0 >> TAG_SHIFT) as u16
    }

    #[inline]
    pub fn entry(self) -> NonNull<u8> {
        // SAFETY: words are only made from pointers that are not null.
        unsafe { NonNull::new_unchecked((self.0 & POINTER) as *mut u8) }
    }
}

/// A bucket that is being loaded into the cache.
#[derive(Clone, Copy)]
pub struct BucketAhead<'t>(&'t Bucket);

impl BucketAhead<'_> {
    /// Loads the entries that may be the one with `hash` into the cache. Waits for the bucket. Returns whether the entry may
    /// be in an overflow bucket, which is being loaded then: [`Self::prefetch_overflow`] goes on from there.
    #[inline]
    pub fn prefetch_entry(self, hash: u64) -> bool {
        let slots = &self.0.slots;
        let found = Tagged::of(slots, hash as u16);
        let last = slots[SLOTS - 1];
        if found.0 == 0 && last & LINK != 0 {
            prefetch((last & !LINK) as *const u8);
            return true;
        }
        for i in found {
            // What is no entry, an empty slot or a link, does no harm: nothing is read.
            let entry = (slots[i] & POINTER) as *const u8;
            prefetch(entry);
            // An entry of a common size reaches into the next line unless it starts one.
            prefetch(entry.wrapping_add(63));
        }
        false
    }

    /// Loads the entries in overflow buckets that may be the one with `hash` into the cache.
    #[cold]
    pub fn prefetch_overflow(self, hash: u64) {
        let mut ahead = self;
        loop {
            let last = ahead.0.slots[SLOTS - 1];
            if last & LINK == 0 {
                return;
            }
            // SAFETY: links are live, and unchanged, while the table is borrowed, as `self` says that it is.
            ahead = Self(unsafe { &*((last & !LINK) as *const Bucket) });
            ahead.prefetch_entry(hash);
        }
    }
}

/// The slots of a bucket whose upper bits are a tag, one bit for each in the top bits of eight bytes: found with four
/// comparisons where the processor compares vectors.
struct Tagged(u64);

impl Tagged {
    #[inline]
    fn of(slots: &[u64; SLOTS], tag: u16) -> Self {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 belongs to the architecture, and the four loads are of the 64 bytes of the slots.
        let found = unsafe {
            use std::arch::x86_64::{
                __m128i, _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi16,
            };
            let wanted = _mm_set1_epi16(tag as i16);
            let pairs: *const __m128i = slots.as_ptr().cast();
            let equal = |i: usize| {
                let pair = _mm_loadu_si128(pairs.add(i));
                u64::from(_mm_movemask_epi8(_mm_cmpeq_epi16(pair, wanted)) as u32) << (16 * i)
            };
            equal(0) | equal(1) | equal(2) | equal(3)
        };
        #[cfg(not(target_arch = "x86_64"))]
        let found = (0..SLOTS)
            .filter(|i| (slots[*i] >> TAG_SHIFT) as u16 == tag)
            .fold(0, |found, i| found | 0x80 << (8 * i));
        Self(found & 0x8080_8080_8080_8080)
    }
}

impl Iterator for Tagged {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let i = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(i)
    }
}

/// Figures of a table, for DEBUG HTSTATS and MEMORY STATS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableStats {
    pub keys: usize,
    pub buckets: usize,
    /// Buckets of the array that a resize is moving to; 0 when none is under way.
    pub next_buckets: usize,
    pub overflow_buckets: usize,
    /// Bytes, overflow buckets included.
    pub memory: usize,
    /// Bytes of them that were mapped, past the allocator.
    pub mapped: usize,
}

/// A place in the table: a slot and the first bucket of its chain. Valid until the table changes.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    head: *mut Bucket,
    slot: *mut u64,
}

impl Place {
    #[inline]
    pub fn word(self) -> Word {
        // SAFETY: a place is used only while the table is borrowed and unchanged since the search that made it.
        Word(unsafe { *self.slot })
    }

    /// Replaces the word.
    ///
    /// # Safety
    /// The caller must have the only access to the table, unchanged since the search that made the place.
    #[inline]
    pub unsafe fn replace(self, word: Word) {
        // SAFETY: by the contract the slot is live.
        unsafe { *self.slot = word.0 }
    }
}

pub struct Table {
    main: Region,
    /// The array that a resize moves to; empty when none is under way.
    next: Region,
    /// Buckets of `main` that have been moved.
    moved: usize,
    len: usize,
    overflow: usize,
    grow_at: usize,
    shrink_at: usize,
}

// SAFETY: the table owns its buckets; the shard's lock orders all access.
unsafe impl Send for Table {}
// SAFETY: shared access only reads.
unsafe impl Sync for Table {}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

/// The bucket of `n` that `hash` falls in.
#[inline]
fn index(hash: u64, n: usize) -> usize {
    ((u128::from(hash & !0xffff) * n as u128) >> 64) as usize
}

/// The first hash (upper 48 bits, as a number) of bucket `i` of `n`.
fn range_start(i: usize, n: usize) -> u64 {
    (((i as u128) << 48).div_ceil(n as u128)) as u64
}

/// Hints the processor to load the cache line at `address`.
#[inline]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is without effect other than on the cache.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Begins to load all of `value` into the cache.
#[inline]
pub(crate) fn prefetch_all<T>(value: &T) {
    prefetch_bytes(std::ptr::from_ref(value).cast(), size_of::<T>());
}

/// Begins to load `len` bytes into the cache.
#[inline]
pub(crate) fn prefetch_bytes(start: *const u8, len: usize) {
    const LINE: usize = 64;
    // Counted from the start of the line, so that the last one is among them.
    let len = len + start.addr() % LINE;
    (0..len).step_by(LINE).for_each(|at| prefetch(start.wrapping_add(at)));
}

impl Table {
    pub const fn new() -> Self {
        Self {
            main: Region::EMPTY,
            next: Region::EMPTY,
            moved: 0,
            len: 0,
            overflow: 0,
            grow_at: 0,
            shrink_at: 0,
        }
    }

    /// An empty table that need not grow for so many words.
    pub fn with_room(words: usize) -> Self {
        let mut table = Self::new();
        table.begin_resize((words * 10).div_ceil(GROW_AT_TENTHS).max(1));
        table
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn is_resizing(&self) -> bool {
        self.next.len() > 0
    }

    pub fn stats(&self) -> TableStats {
        let overflow = self.overflow * size_of::<Bucket>();
        TableStats {
            keys: self.len,
            buckets: self.main.len(),
            next_buckets: self.next.len(),
            overflow_buckets: self.overflow,
            memory: self.main.memory() + self.next.memory() + overflow,
            mapped: self.main.mapped() + self.next.mapped(),
        }
    }

    /// The bucket that holds `hash`. The table must not be empty.
    #[inline]
    fn bucket(&self, hash: u64) -> *mut Bucket {
        let i = index(hash, self.main.len());
        if i >= self.moved {
            self.main.bucket(i)
        } else {
            self.next.bucket(index(hash, self.next.len()))
        }
    }

    /// Begins to load the bucket of `hash` into the cache; `None` where there is none.
    #[inline]
    pub fn ahead(&self, hash: u64) -> Option<BucketAhead<'_>> {
        if self.main.len() == 0 {
            return None;
        }
        let bucket = self.bucket(hash);
        prefetch(bucket.cast());
        // SAFETY: the bucket is live, and unchanged, while the table is borrowed.
        Some(BucketAhead(unsafe { &*bucket }))
    }

    /// A word with the tag of `hash` in the first bucket of its chain: most likely the one with that hash.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<Word> {
        if self.main.len() == 0 {
            return None;
        }
        // SAFETY: the bucket is live while the table is borrowed.
        let slots = unsafe { &(*self.bucket(hash)).slots };
        let mut words = Tagged::of(slots, hash as u16).map(|i| slots[i]);
        words.find(|word| word & LINK == 0 && *word != 0).map(Word)
    }

    /// Finds the word that `wanted` accepts among those of `hash`'s bucket that have the hash's tag, which is what the
    /// owner must have given it.
    #[inline]
    pub fn find_tagged(&self, hash: u64, mut wanted: impl FnMut(Word) -> bool) -> Option<Place> {
        if self.len == 0 {
            return None;
        }
        let head = self.bucket(hash);
        let mut at = head;
        loop {
            // SAFETY: buckets and their links are live while the table is borrowed, and nobody changes them meanwhile.
            let slots = unsafe { &(*at).slots };
            for i in Tagged::of(slots, hash as u16) {
                let word = slots[i];
                if word & LINK == 0 && word != 0 && wanted(Word(word)) {
                    // SAFETY: as above, and `i` is below the number of slots.
                    return Some(Place { head, slot: unsafe { &raw mut (*at).slots[i] } });
                }
            }
            let last = slots[SLOTS - 1];
            if last & LINK == 0 {
                return None;
            }
            at = (last & !LINK) as *mut Bucket;
        }
    }

    /// Finds the word that `wanted` accepts among those of `hash`'s bucket.
    #[inline]
    pub fn find(&self, hash: u64, mut wanted: impl FnMut(Word) -> bool) -> Option<Place> {
        if self.len == 0 {
            return None;
        }
        let head = self.bucket(hash);
        let mut at = head;
        // SAFETY: buckets and their links are live while the table is borrowed.
        unsafe {
            loop {
                let mut link = std::ptr::null_mut();
                for i in 0..SLOTS {
                    let slot = &raw mut (*at).slots[i];
                    let word = *slot;
                    if word == 0 {
                        return None;
                    }
                    if word & LINK != 0 {
                        link = (word & !LINK) as *mut Bucket;
                        break;
                    }
                    if wanted(Word(word)) {
                        return Some(Place { head, slot });
                    }
                }
                if link.is_null() {
                    return None;
                }
                at = link;
            }
        }
    }

    /// Adds a word that is not in the table yet. `hash_of` gives the hash of words that a resize moves.
    pub fn insert(&mut self, hash: u64, word: Word, hash_of: impl Fn(Word) -> u64) {
        if self.len >= self.grow_at && !self.is_resizing() {
            self.begin_growing();
        }
        self.step(&hash_of);
        self.len += 1;
        let bucket = self.bucket(hash);
        self.append(bucket, word);
    }

    /// Takes the word at `place` out.
    pub fn remove(&mut self, place: Place, hash_of: impl Fn(Word) -> u64) -> Word {
        let word = place.word();
        self.len -= 1;
        // SAFETY: the place comes from a search of this table, unchanged since. The last word of the chain fills the
        // gap; an overflow bucket that is left empty is freed, and the link to it cleared.
        unsafe {
            let (mut parent, mut last) = (std::ptr::null_mut::<u64>(), place.head);
            while (*last).slots[SLOTS - 1] & LINK != 0 {
                parent = &raw mut (*last).slots[SLOTS - 1];
                last = (*parent & !LINK) as *mut Bucket;
            }
            let used = (*last).slots.iter().take_while(|w| **w != 0).count();
            let filler = &raw mut (*last).slots[used - 1];
            *place.slot = *filler;
            *filler = 0;
            if used == 1 && !parent.is_null() {
                *parent = 0;
                drop(Box::from_raw(last));
                self.overflow -= 1;
            }
        }
        if self.len < self.shrink_at && !self.is_resizing() {
            self.begin_shrinking();
        }
        self.step(&hash_of);
        word
    }

    fn append(&mut self, bucket: *mut Bucket, word: Word) {
        let mut at = bucket;
        // SAFETY: `bucket` is a bucket of this table, its links are live.
        unsafe {
            loop {
                if let Some(free) = (*at).slots.iter_mut().find(|w| **w == 0) {
                    *free = word.0;
                    return;
                }
                let last = &raw mut (*at).slots[SLOTS - 1];
                if *last & LINK == 0 {
                    let mut slots = [0; SLOTS];
                    slots[0] = *last;
                    *last = Box::into_raw(Box::new(Bucket { slots })) as u64 | LINK;
                    self.overflow += 1;
                }
                at = (*last & !LINK) as *mut Bucket;
            }
        }
    }

    fn begin_growing(&mut self) {
        let n = self.main.len();
        let target = match n {
            0 => 1,
            _ if n < DOUBLE_BELOW => n * 2,
            _ => n + n / 4,
        };
        self.begin_resize(target);
    }

    fn begin_shrinking(&mut self) {
        // Half full afterwards, so that neither growing nor shrinking again is near.
        self.begin_resize((self.len * 10 / (GROW_AT_TENTHS / 2)).max(1));
    }

    fn begin_resize(&mut self, target: usize) {
        debug_assert!(!self.is_resizing());
        self.next = Region::new(target);
        self.moved = 0;
        if self.main.len() == 0 {
            self.finish_resize();
        }
    }

    fn finish_resize(&mut self) {
        self.main = std::mem::replace(&mut self.next, Region::EMPTY);
        self.moved = 0;
        let n = self.main.len();
        self.main.reach(n);
        self.grow_at = (n * GROW_AT_TENTHS / 10).max(SLOTS);
        self.shrink_at = if n > 4 { n * SHRINK_AT_TENTHS / 10 } else { 0 };
    }

    /// Moves one bucket, if a resize is under way. A shrinking table moves three: its new array is the smaller one and
    /// must not fill up before the old one is drained.
    #[inline]
    pub fn step(&mut self, hash_of: &impl Fn(Word) -> u64) {
        if self.is_resizing() {
            let steps = if self.next.len() < self.main.len() { 3 } else { 1 };
            self.move_buckets(steps, hash_of);
        }
    }

    /// Moves up to `steps` buckets of the resize under way.
    #[cold]
    pub fn move_buckets(&mut self, steps: usize, hash_of: &impl Fn(Word) -> u64) {
        for _ in 0..steps {
            if !self.is_resizing() {
                return;
            }
            self.move_one(hash_of);
        }
    }

    fn move_one(&mut self, hash_of: &impl Fn(Word) -> u64) {
        let from = self.main.bucket(self.moved);
        // Bucket and entries needed some steps from now are loaded meanwhile.
        if self.moved + 8 < self.main.len() {
            prefetch(self.main.bucket(self.moved + 8).cast());
        }
        if self.moved + 2 < self.main.len() {
            // SAFETY: a bucket of this table.
            for word in unsafe { &(*self.main.bucket(self.moved + 2)).slots } {
                prefetch((word & POINTER) as *const u8);
                prefetch(((word & POINTER) as *const u8).wrapping_add(31));
            }
        }
        self.moved += 1;
        let n = self.next.len();
        let mut at = from;
        // SAFETY: the chain is live; its overflow buckets are freed as they are left, and its head is zeroed, so that
        // nothing of it is reachable afterwards.
        unsafe {
            loop {
                let slots = std::mem::replace(&mut (*at).slots, [0; SLOTS]);
                if at != from {
                    drop(Box::from_raw(at));
                    self.overflow -= 1;
                }
                let mut link = None;
                for word in slots.into_iter().take_while(|w| *w != 0) {
                    if word & LINK != 0 {
                        link = Some((word & !LINK) as *mut Bucket);
                    } else {
                        let target = self.next.bucket(index(hash_of(Word(word)), n));
                        self.append(target, Word(word));
                    }
                }
                match link {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
        if self.moved.is_multiple_of(REACH_STEP) {
            let border = range_start(self.moved, self.main.len()).saturating_sub(1);
            self.next.reach(index(border << 16, n) + 1);
        }
        self.main.release_below(self.moved);
        if self.moved == self.main.len() {
            self.finish_resize();
        }
    }

    /// Visits the words of the bucket at `position` in the hash range (48 bits), and returns the position behind it;
    /// `None` after the last.
    pub fn visit(&self, position: u64, mut f: impl FnMut(Word)) -> Option<u64> {
        let n = self.main.len();
        if n == 0 {
            return None;
        }
        let hash = position << 16;
        let i = index(hash, n);
        let (bucket, end) = if i >= self.moved {
            (self.main.bucket(i), range_start(i + 1, n))
        } else {
            let j = index(hash, self.next.len());
            // A new bucket at the border holds only what has been moved; the rest is still in the old array.
            let border = range_start(self.moved, n);
            (self.next.bucket(j), range_start(j + 1, self.next.len()).min(border))
        };
        for_each_in_chain(bucket, &mut f);
        (end < 1 << 48).then_some(end)
    }

    /// A word chosen at random, every one with the same chance. `random` gives 64 random bits a call.
    pub fn sample(&self, mut random: impl FnMut() -> u64) -> Option<Word> {
        if self.len == 0 {
            return None;
        }
        let unmoved = self.main.len() - self.moved;
        let reached = if self.is_resizing() {
            // New buckets at or beyond the border hold nothing yet.
            index(range_start(self.moved, self.main.len()).saturating_sub(1) << 16, self.next.len())
                + 1
        } else {
            0
        };
        let total = unmoved + if self.moved == 0 { 0 } else { reached };
        loop {
            let pick = index(random(), total);
            let bucket = if pick < unmoved {
                self.main.bucket(self.moved + pick)
            } else {
                self.next.bucket(pick - unmoved)
            };
            // Each position of a long chain has the same chance as each of a short one: a position that is not
            // filled is thrown back. Chains longer than the range (one of 10^7 where keys fall by chance) are still
            // reachable.
            let mut words = 0;
            let mut reach = SLOTS * 3;
            for_each_in_chain(bucket, &mut |_| words += 1);
            while reach < words {
                reach *= 2;
            }
            let position = index(random(), reach);
            if position < words {
                let mut found = None;
                let mut at = 0;
                for_each_in_chain(bucket, &mut |word| {
                    if at == position {
                        found = Some(word);
                    }
                    at += 1;
                });
                return found;
            }
        }
    }

    /// Calls `f` with every word until it says `false`.
    pub fn each_while(&self, mut f: impl FnMut(Word) -> bool) {
        let old = (self.moved..self.main.len()).map(|i| self.main.bucket(i));
        let new = (0..self.next.len()).map(|i| self.next.bucket(i));
        let mut go_on = true;
        for bucket in old.chain(new) {
            for_each_in_chain(bucket, &mut |word| go_on = go_on && f(word));
            if !go_on {
                return;
            }
        }
    }

    /// Calls `f` with every word.
    pub fn for_each(&self, mut f: impl FnMut(Word)) {
        for i in self.moved..self.main.len() {
            for_each_in_chain(self.main.bucket(i), &mut f);
        }
        for i in 0..self.next.len() {
            for_each_in_chain(self.next.bucket(i), &mut f);
        }
    }
}

#[inline]
fn for_each_in_chain(bucket: *mut Bucket, f: &mut impl FnMut(Word)) {
    let mut at = bucket;
    // SAFETY: callers pass a bucket of a table that they borrow; links are live.
    unsafe {
        loop {
            let mut link = None;
            for word in (*at).slots.iter().take_while(|w| **w != 0) {
                if word & LINK != 0 {
                    link = Some((word & !LINK) as *mut Bucket);
                } else {
                    f(Word(*word));
                }
            }
            match link {
                Some(next) => at = next,
                None => return,
            }
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if self.overflow == 0 {
            return;
        }
        for region in [&self.main, &self.next] {
            for i in 0..region.len() {
                rest::step();
                // SAFETY: overflow buckets belong to their chain alone; after this nothing reads the table.
                unsafe {
                    let mut link = (*region.bucket(i)).slots[SLOTS - 1];
                    while link & LINK != 0 {
                        let bucket = Box::from_raw((link & !LINK) as *mut Bucket);
                        link = bucket.slots[SLOTS - 1];
                    }
                }
            }
        }
    }
}
