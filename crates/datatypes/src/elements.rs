//! The elements of a large set or hash: a hash table that owns them, one allocation each.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | flags `STAMP` and `VALUE`, and the length of the key if it is at most 29 |
//! | 0, 1 or 4 | the length of the key, if it is longer: as a byte, or as a `u32` |
//! | 0, 1 or 5 | with `VALUE`: the value's length as a byte, or 255 and a `u32` |
//! | 0 or 8 | with `STAMP`: the time at which the element expires |
//! | … | the key, then the value |
//!
//! `unsafe` is here because an element is a raw pointer to that layout, which the table keeps with a tag in its upper
//! bits. Invariant: every word in the table points to an element that belongs to it alone. Everything outside sees
//! [`View`], whose lifetime is that of the table's borrow.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::buffer::size_class;
use crate::collection::Ahead;
use crate::compaction::{Moves, Sparse};
use crate::hash::{Hasher, same};
use crate::rest;
use crate::table::{Place, Table, Word, prefetch_all};

const STAMP: u8 = 1 << 5;
const VALUE: u8 = 1 << 6;
/// The low bits of the first byte: a length up to 29, or one of these.
const KEY_LEN: u8 = 31;
const KEY_BYTE: u8 = 30;
const KEY_WIDE: u8 = 31;
/// In place of a value's length: it follows, four bytes of it.
const VALUE_WIDE: u8 = 255;

/// Where the parts of an element are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    stamped: bool,
    valued: bool,
    key_len: usize,
    value_len: usize,
    /// Bytes in front of the stamp, or of the key if there is none.
    head: usize,
}

impl Shape {
    fn new(key: &[u8], value: Option<&[u8]>, stamp: Option<i64>) -> Self {
        let value_len = value.map_or(0, <[u8]>::len);
        assert!(key.len().max(value_len) <= u32::MAX as usize, "the protocol has such a limit");
        let key_head = match key.len() {
            0..30 => 1,
            30..256 => 2,
            _ => 5,
        };
        let value_head = match value {
            None => 0,
            Some(value) if value.len() < usize::from(VALUE_WIDE) => 1,
            Some(_) => 5,
        };
        Self {
            stamped: stamp.is_some(),
            valued: value.is_some(),
            key_len: key.len(),
            value_len,
            head: key_head + value_head,
        }
    }

    /// The bytes in front of the stamp, the first `head` of the array.
    fn to_head(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let flags = if self.stamped { STAMP } else { 0 } | if self.valued { VALUE } else { 0 };
        let (code, mut at) = match self.key_len {
            len @ 0..30 => (len as u8, 1),
            len @ 30..256 => {
                bytes[1] = len as u8;
                (KEY_BYTE, 2)
            }
            len => {
                bytes[1..5].copy_from_slice(&(len as u32).to_le_bytes());
                (KEY_WIDE, 5)
            }
        };
        bytes[0] = flags | code;
        if self.valued && at + 1 == self.head {
            bytes[at] = self.value_len as u8;
        } else if self.valued {
            bytes[at] = VALUE_WIDE;
            at += 1;
            bytes[at..at + 4].copy_from_slice(&(self.value_len as u32).to_le_bytes());
        }
        bytes
    }

    fn key_at(&self) -> usize {
        self.head + if self.stamped { 8 } else { 0 }
    }

    fn value_at(&self) -> usize {
        self.key_at() + self.key_len
    }

    /// Bytes of memory of the element.
    fn size(&self) -> usize {
        size_class(self.value_at() + self.value_len)
    }

    fn layout(&self) -> Layout {
        Layout::from_size_align(self.size(), 8).expect("elements are far smaller than isize::MAX")
    }
}

/// An element in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<'a> {
    pub key: &'a [u8],
    /// Empty in a set.
    pub value: &'a [u8],
    /// Unix time in milliseconds.
    pub stamp: Option<i64>,
}

/// A handle to an element.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Element(NonNull<u8>);

impl Element {
    fn new(key: &[u8], value: Option<&[u8]>, stamp: Option<i64>) -> Self {
        let shape = Shape::new(key, value, stamp);
        let layout = shape.layout();
        // SAFETY: a size class is never zero here, as the head has a byte at least.
        let Some(ptr) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let element = Self(ptr);
        // SAFETY: the allocation is as large as `shape` says, and nobody else knows of it yet.
        unsafe { element.write(shape, key, value, stamp) }
        element
    }

    /// # Safety
    /// The allocation must be of the shape's size, the caller must have the only access, and `key` and `value` must not
    /// lie in it.
    unsafe fn write(self, shape: Shape, key: &[u8], value: Option<&[u8]>, stamp: Option<i64>) {
        // SAFETY: every part lies inside the allocation, as `shape` was computed from the same parts.
        unsafe {
            let head = shape.to_head();
            self.0.copy_from_nonoverlapping(NonNull::from(&head).cast(), shape.head);
            if let Some(stamp) = stamp {
                self.0.add(shape.head).cast::<i64>().write_unaligned(stamp);
            }
            let key_at = self.0.add(shape.key_at());
            key_at.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            if let Some(value) = value {
                let value_at = self.0.add(shape.value_at());
                value_at.copy_from_nonoverlapping(NonNull::from(value).cast(), value.len());
            }
        }
    }

    #[inline]
    fn shape(self) -> Shape {
        // SAFETY: handles in circulation point to live elements, whose first bytes are as `Shape::to_head` wrote them.
        unsafe {
            let first = self.0.read();
            let (key_len, mut head) = match first & KEY_LEN {
                KEY_BYTE => (usize::from(self.0.add(1).read()), 2),
                KEY_WIDE => (self.0.add(1).cast::<u32>().read_unaligned() as usize, 5),
                len => (usize::from(len), 1),
            };
            let mut value_len = 0;
            if first & VALUE != 0 {
                value_len = usize::from(self.0.add(head).read());
                head += 1;
                if value_len == usize::from(VALUE_WIDE) {
                    value_len = self.0.add(head).cast::<u32>().read_unaligned() as usize;
                    head += 4;
                }
            }
            let (stamped, valued) = (first & STAMP != 0, first & VALUE != 0);
            Shape { stamped, valued, key_len, value_len, head }
        }
    }

    /// # Safety
    /// The element must be alive and unchanged for all of `'a`.
    #[inline]
    unsafe fn view<'a>(self) -> View<'a> {
        let shape = self.shape();
        // SAFETY: the parts lie in the live element.
        unsafe {
            let part = |at, len| std::slice::from_raw_parts(self.0.add(at).as_ptr(), len);
            View {
                key: part(shape.key_at(), shape.key_len),
                value: part(shape.value_at(), shape.value_len),
                stamp: shape.stamped.then(|| self.0.add(shape.head).cast::<i64>().read_unaligned()),
            }
        }
    }

    /// # Safety
    /// The element must be alive for all of `'a`.
    #[inline]
    unsafe fn key<'a>(self) -> &'a [u8] {
        // SAFETY: as the caller says.
        unsafe { self.view().key }
    }

    /// # Safety
    /// No copy of the handle may be used again.
    unsafe fn free(self) {
        let layout = self.shape().layout();
        // SAFETY: the element was allocated with this layout: changes in place keep it.
        unsafe { dealloc(self.0.as_ptr(), layout) }
    }
}

/// The elements of one collection.
pub struct Elements {
    table: Table,
    hasher: Hasher,
    /// Whether there are values, or only keys.
    valued: bool,
    /// Bytes of memory of the elements themselves.
    bytes: usize,
}

impl std::fmt::Debug for Elements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elements").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Elements {
    /// Elements that are only keys.
    pub fn of_keys(hasher: &Hasher) -> Self {
        Self::new(hasher, false)
    }

    /// Elements of a key and a value.
    pub fn of_pairs(hasher: &Hasher) -> Self {
        Self::new(hasher, true)
    }

    fn new(hasher: &Hasher, valued: bool) -> Self {
        Self { table: Table::new(), hasher: hasher.clone(), valued, bytes: 0 }
    }

    /// Makes room for the elements of what was a smaller form, and for as many again: a collection that has just become
    /// large is about to grow. Nothing may be in it yet.
    pub fn make_room(&mut self, elements: usize) {
        debug_assert!(self.is_empty());
        self.table = Table::with_room(elements * 2);
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory: this struct, the table and the elements.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.table.stats().memory + self.bytes
    }

    /// Takes a step towards loading the element with `hash` into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, step: Ahead, hash: Option<u64>) {
        match (step, hash) {
            (Ahead::Content, _) => prefetch_all(self),
            (Ahead::Bucket, Some(hash)) => {
                self.table.ahead(hash);
            }
            (Ahead::Element, Some(hash)) => {
                self.table.ahead(hash).map(|bucket| bucket.prefetch_entry(hash));
            }
            (_, None) => {}
        }
    }

    /// The hash that finds `key` in all collections of one keyspace.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    #[inline]
    fn place(&self, hash: u64, key: &[u8]) -> Option<Place> {
        self.table.find_tagged(hash, |word| {
            // SAFETY: what is in the table is alive while it is borrowed.
            same(unsafe { Element(word.entry()).key() }, key)
        })
    }

    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<View<'_>> {
        self.get_hashed(self.hash(key), key)
    }

    /// As [`Self::get`], with the hash of the key at hand.
    #[inline]
    pub fn get_hashed(&self, hash: u64, key: &[u8]) -> Option<View<'_>> {
        // SAFETY: as in `place`.
        self.place(hash, key).map(|place| unsafe { Element(place.word().entry()).view() })
    }

    /// Whether `wanted` accepts an element with this hash.
    pub fn any(&self, hash: u64, wanted: impl Fn(View<'_>) -> bool) -> bool {
        self.place_where(hash, wanted).is_some()
    }

    fn place_where(&self, hash: u64, wanted: impl Fn(View<'_>) -> bool) -> Option<Place> {
        self.table.find_tagged(hash, |word| {
            // SAFETY: as in `place`.
            let view = unsafe { Element(word.entry()).view() };
            wanted(view) && self.hash(view.key) == hash
        })
    }

    fn hash_of(hasher: &Hasher) -> impl Fn(Word) -> u64 + '_ {
        // SAFETY: the table asks only for words that it holds, whose elements are alive.
        |word| hasher.hash(unsafe { Element(word.entry()).key() })
    }

    fn kept<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        debug_assert!(self.valued || value.is_empty());
        self.valued.then_some(value)
    }

    /// Moves those elements of `buckets` buckets from `position` on whose blocks lie thinly. Returns the next position;
    /// `None` after the last.
    pub(crate) fn compact(
        &mut self,
        position: u64,
        buckets: usize,
        sparse: &mut Sparse<'_>,
        moves: &mut Moves,
    ) -> Option<u64> {
        let mut blocks = Vec::new();
        let mut next = Some(position);
        for _ in 0..buckets {
            let Some(at) = next else { break };
            next = self.table.visit(at, |word| blocks.push(word.entry()));
        }
        let addresses: Vec<usize> = blocks.iter().map(|block| block.as_ptr().addr()).collect();
        for (block, sparse) in blocks.into_iter().zip(sparse(&addresses)) {
            if !sparse {
                moves.stayed += 1;
                continue;
            }
            moves.moved += 1;
            let old = Element(block);
            // SAFETY: the element is in the table, which nobody changes but this loop, word by word; once its word names
            // the new one, no copy of the old handle is left but the one that is freed.
            unsafe {
                let view = old.view();
                let hash = self.hash(view.key);
                let place = self.table.find(hash, |word| word.entry() == block);
                let place = place.expect("it was just visited");
                let new = Element::new(view.key, self.kept(view.value), view.stamp);
                place.replace(Word::new(place.word().tag(), new.0));
                old.free();
            }
        }
        next
    }

    /// Adds an element whose key is not there yet; `hash` is that of the key.
    pub fn insert(&mut self, hash: u64, key: &[u8], value: &[u8], stamp: Option<i64>) {
        debug_assert!(self.place(hash, key).is_none());
        let element = Element::new(key, self.kept(value), stamp);
        self.bytes += element.shape().size();
        let word = Word::new(hash as u16, element.0);
        self.table.insert(hash, word, Self::hash_of(&self.hasher));
    }

    /// Gives the element of `key` another value, and the stamp that `stamp` makes of the present one. Returns the stamp
    /// that it had; `None`, and nothing is changed, if there is no such element.
    pub fn update(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        stamp: impl FnOnce(Option<i64>) -> Option<i64>,
    ) -> Option<Option<i64>> {
        let value = self.kept(value);
        let place = self.place(hash, key)?;
        let old = Element(place.word().entry());
        // SAFETY: the element is alive, and the view is not used after it has changed.
        let had = unsafe { old.view().stamp };
        let stamp = stamp(had);
        let (old_shape, new_shape) = (old.shape(), Shape::new(key, value, stamp));
        if old_shape.size() == new_shape.size() {
            // SAFETY: `&mut self` gives the only access to the element, so that neither `key` nor `value` lies in it.
            unsafe { old.write(new_shape, key, value, stamp) }
        } else {
            self.replace(place, Element::new(key, value, stamp));
        }
        Some(had)
    }

    /// Gives the element of `key` another stamp. Returns the one that it had; `None` if there is no such element.
    pub fn restamp(&mut self, hash: u64, key: &[u8], stamp: Option<i64>) -> Option<Option<i64>> {
        let place = self.place(hash, key)?;
        let old = Element(place.word().entry());
        // SAFETY: the element is alive until it is replaced below.
        let seen = unsafe { old.view() };
        let had = seen.stamp;
        if had != stamp {
            self.replace(place, Element::new(key, self.kept(seen.value), stamp));
        }
        Some(had)
    }

    /// Puts `new` in the place of another element with the same key, which is freed.
    fn replace(&mut self, place: Place, new: Element) {
        let old = Element(place.word().entry());
        self.bytes = self.bytes - old.shape().size() + new.shape().size();
        // SAFETY: `&mut self`, and the table is unchanged since the search; then nothing leads to the old element.
        unsafe {
            place.replace(Word::new(place.word().tag(), new.0));
            old.free();
        }
    }

    /// Removes an element. Returns the stamp that it had; `None` if there is no such element.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Option<i64>> {
        let place = self.place(hash, key)?;
        Some(self.take(place))
    }

    /// Removes an element with this hash that `wanted` accepts. Returns its key.
    pub fn take_where(&mut self, hash: u64, wanted: impl Fn(View<'_>) -> bool) -> Option<Vec<u8>> {
        let place = self.place_where(hash, wanted)?;
        // SAFETY: as in `place`.
        let key = unsafe { Element(place.word().entry()).view() }.key.to_vec();
        self.take(place);
        Some(key)
    }

    fn take(&mut self, place: Place) -> Option<i64> {
        let element = Element(place.word().entry());
        self.table.remove(place, Self::hash_of(&self.hasher));
        self.bytes -= element.shape().size();
        // SAFETY: the element has left the table, and `&mut self` proves that nobody else looks at it.
        unsafe {
            let stamp = element.view().stamp;
            element.free();
            stamp
        }
    }

    /// Visits the elements at `position` of the hash range; returns the next position, `None` after the last. Whoever
    /// visits from 0 on sees every element that is there all the time, however the table is changed meanwhile.
    pub fn visit<'a>(&'a self, position: u64, mut f: impl FnMut(View<'a>)) -> Option<u64> {
        // SAFETY: as in `place`.
        self.table.visit(position, |word| f(unsafe { Element(word.entry()).view() }))
    }

    /// Calls `f` with every element, until it says `false`.
    pub fn each_while<'a>(&'a self, mut f: impl FnMut(View<'a>) -> bool) {
        // SAFETY: as in `place`.
        self.table.each_while(|word| f(unsafe { Element(word.entry()).view() }));
    }

    /// An element chosen at random, every one with the same chance.
    pub fn sample(&self, rng: &mut fastrand::Rng) -> Option<View<'_>> {
        // SAFETY: as in `place`.
        self.table.sample(|| rng.u64(..)).map(|word| unsafe { Element(word.entry()).view() })
    }
}

impl Clone for Elements {
    fn clone(&self) -> Self {
        let mut copy = Self::new(&self.hasher, self.valued);
        self.each_while(|view| {
            copy.insert(copy.hash(view.key), view.key, view.value, view.stamp);
            true
        });
        copy
    }
}

impl Drop for Elements {
    fn drop(&mut self) {
        self.table.for_each(|word| {
            // SAFETY: the table frees only its buckets after this, without looking behind the words.
            unsafe { Element(word.entry()).free() }
            rest::step();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::seed::Seed;

    #[test]
    fn keeps_what_it_is_given() {
        let hasher = Hasher::new([1, 2, 3, 4]);
        let lengths = [0, 1, 29, 30, 254, 255, 256, 70_000];
        for (valued, stamp) in
            [(false, None), (true, None), (true, Some(i64::MAX)), (false, Some(-1))]
        {
            for key_len in lengths {
                for value_len in lengths {
                    let mut elements = Elements::new(&hasher, valued);
                    let (key, value) =
                        (vec![b'k'; key_len], vec![b'v'; if valued { value_len } else { 0 }]);
                    elements.insert(elements.hash(&key), &key, &value, stamp);
                    let seen = elements.get(&key).unwrap();
                    assert_eq!(seen, View { key: &key, value: &value, stamp });
                }
            }
        }
    }

    #[test]
    fn small_elements_have_small_heads() {
        assert_eq!(Shape::new(&[0; 29], None, None).key_at(), 1);
        assert_eq!(Shape::new(&[0; 16], Some(&[0; 32]), None).key_at(), 2);
        assert_eq!(Shape::new(&[0; 15], None, None).size(), 16);
        assert_eq!(Shape::new(&[0; 16], Some(&[0; 30]), Some(5)).size(), 56);
    }

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

    fn assert_same(elements: &Elements, model: &Model) {
        let mut seen = Model::new();
        elements.each_while(|view| {
            seen.insert(view.key.to_vec(), (view.value.to_vec(), view.stamp));
            true
        });
        assert_eq!(&seen, model);
        assert_eq!(elements.len(), model.len());
        let sizes = model.iter().map(|(key, (value, stamp))| {
            Shape::new(key, elements.valued.then_some(value), *stamp).size()
        });
        assert_eq!(elements.bytes, sizes.sum::<usize>());
    }

    fn step(rng: &mut fastrand::Rng, elements: &mut Elements, model: &mut Model, range: u32) {
        let key = format!("{:0width$}", rng.u32(..range), width = rng.choice([1, 31]).unwrap_or(1))
            .into_bytes();
        let hash = elements.hash(&key);
        assert_eq!(
            elements.get(&key).map(|view| view.value.to_vec()),
            model.get(&key).map(|(v, _)| v.clone())
        );
        let value = if elements.valued { vec![b'v'; rng.usize(..300)] } else { Vec::new() };
        let stamp = rng.bool().then(|| rng.i64(..100));
        match (rng.u32(..3), model.contains_key(&key)) {
            (0, there) => {
                let stamp = elements.remove(hash, &key);
                assert_eq!(stamp, model.remove(&key).map(|(_, stamp)| stamp));
                assert_eq!(stamp.is_some(), there);
            }
            (_, true) => {
                let had = model.get(&key).map(|(_, stamp)| *stamp);
                if rng.bool() {
                    assert_eq!(elements.update(hash, &key, &value, |_| stamp), had);
                    model.insert(key, (value, stamp));
                } else {
                    assert_eq!(elements.restamp(hash, &key, stamp), had);
                    model.entry(key).and_modify(|(_, old)| *old = stamp);
                }
            }
            (_, false) => {
                elements.insert(hash, &key, &value, stamp);
                model.insert(key, (value, stamp));
            }
        }
    }

    #[test]
    fn random_histories_match_a_map() {
        let seed = Seed::new();
        let mut rng = fastrand::Rng::with_seed(seed.number());
        for round in 0..20 {
            let hasher = Hasher::new([rng.u64(..); 4]);
            let mut elements = Elements::new(&hasher, round % 2 == 0);
            let mut model = Model::new();
            let range = 1 << rng.u32(1..10);
            for _ in 0..10 {
                for _ in 0..200 {
                    step(&mut rng, &mut elements, &mut model, range);
                }
                assert_same(&elements, &model);
                assert_same(&elements.clone(), &model);
                let sampled = elements.sample(&mut rng).map(|view| view.key.to_vec());
                assert_eq!(sampled.is_some(), !model.is_empty());
                assert!(sampled.is_none_or(|key| model.contains_key(&key)));
            }
        }
    }

    #[test]
    fn a_walk_sees_what_is_there_all_the_time() {
        let seed = Seed::new();
        let mut rng = fastrand::Rng::with_seed(seed.number());
        let hasher = Hasher::new([seed.number(); 4]);
        for _ in 0..20 {
            let mut elements = Elements::of_keys(&hasher);
            let mut all: Vec<Vec<u8>> =
                (0..rng.u32(1..2000)).map(|i| i.to_string().into_bytes()).collect();
            for key in &all {
                elements.insert(elements.hash(key), key, &[], None);
            }
            let (mut seen, mut position) = (std::collections::BTreeSet::new(), Some(0));
            let grows = rng.bool();
            while let Some(at) = position {
                position = elements.visit(at, |view| {
                    seen.insert(view.key.to_vec());
                });
                for _ in 0..rng.usize(..20) {
                    if grows {
                        let key = rng.u64(..).to_string().into_bytes();
                        elements.insert(elements.hash(&key), &key, &[], None);
                    } else if all.len() > 5 {
                        let key = all.swap_remove(rng.usize(..all.len()));
                        assert!(elements.remove(elements.hash(&key), &key).is_some());
                    }
                }
            }
            assert!(all.iter().all(|key| seen.contains(key)));
        }
    }
}
