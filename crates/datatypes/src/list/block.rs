//! A block of a list: elements one behind the other in one allocation, with room in front of them and behind, so that
//! both ends grow and shrink without moving the rest.
//!
//! The elements are encoded as in a listpack, which makes a listpack of a block by putting a head and an end to it.
//! Invariant: `start..end` are `count` valid elements, in the shortest form; there are at most [`Block::MAX_BYTES`]
//! bytes of them.

use crate::buffer::size_class;
use crate::listpack::{Encoded, Item, back_len, decode, encoded_len, read_back};
use crate::sequence::End;
use crate::table::prefetch;

/// Allocations up to this size are not shrunk.
const SMALL: usize = 64;

#[derive(Clone, Default)]
pub(super) struct Block {
    data: Box<[u8]>,
    start: u16,
    end: u16,
    count: u16,
}

impl Block {
    /// What all elements of a block may take.
    pub(super) const MAX_BYTES: usize = u16::MAX as usize;

    /// A block of `count` elements that come from a listpack, [`Self::MAX_BYTES`] at most.
    pub(super) fn of(elements: &[u8], count: u16) -> Self {
        let mut data = vec![0; Self::capacity(elements.len())].into_boxed_slice();
        data[..elements.len()].copy_from_slice(elements);
        Self { data, start: 0, end: elements.len() as u16, count }
    }

    /// The size of an allocation for so many bytes: one of the allocator's, within what `start` and `end` can tell.
    fn capacity(bytes: usize) -> usize {
        size_class(bytes).min(Self::MAX_BYTES)
    }

    pub(super) fn count(&self) -> usize {
        self.count.into()
    }

    /// Begins to load both ends into the cache: the first and last elements, and the room beside them.
    #[inline]
    pub(super) fn prefetch(&self) {
        let data = self.data.as_ptr();
        for end in [self.start, self.end] {
            prefetch(data.wrapping_add(usize::from(end).saturating_sub(32)));
            prefetch(data.wrapping_add(usize::from(end) + 32));
        }
    }

    pub(super) fn address(&self) -> usize {
        self.data.as_ptr().addr()
    }

    /// Bytes of the elements.
    pub(super) fn used(&self) -> usize {
        usize::from(self.end) - usize::from(self.start)
    }

    /// Bytes of memory allocated.
    pub(super) fn memory(&self) -> usize {
        self.data.len()
    }

    pub(super) fn elements(&self) -> &[u8] {
        &self.data[self.start.into()..self.end.into()]
    }

    /// Where the element at `offset` of `elements` ends, the length behind it included, and the element.
    #[inline]
    fn element_at(elements: &[u8], offset: usize) -> (Item<'_>, usize) {
        let len = encoded_len(&elements[offset..]).expect("an element starts here");
        (decode(&elements[offset..offset + len]), offset + len + back_len(len))
    }

    /// Where the element that ends at `offset` starts, and the element.
    #[inline]
    fn element_before(elements: &[u8], offset: usize) -> (Item<'_>, usize) {
        let len = read_back(elements, offset).expect("an element ends here");
        let start = offset - back_len(len) - len;
        (decode(&elements[start..start + len]), start)
    }

    /// The offset among the elements of the one number `index`, which may be one past the last.
    fn offset(&self, index: usize) -> usize {
        let elements = self.elements();
        if index <= self.count() / 2 {
            let mut offset = 0;
            for _ in 0..index {
                offset = Self::element_at(elements, offset).1;
            }
            offset
        } else {
            let mut offset = elements.len();
            for _ in index..self.count() {
                offset = Self::element_before(elements, offset).1;
            }
            offset
        }
    }

    /// The element number `index`, which must exist.
    pub(super) fn get(&self, index: usize) -> Item<'_> {
        Self::element_at(self.elements(), self.offset(index)).0
    }

    pub(super) fn edge(&self, end: End) -> Option<Item<'_>> {
        let elements = self.elements();
        match end {
            _ if elements.is_empty() => None,
            End::Front => Some(Self::element_at(elements, 0).0),
            End::Back => Some(Self::element_before(elements, elements.len()).0),
        }
    }

    /// The elements from number `index` on.
    pub(super) fn iter(&self, index: usize) -> impl Iterator<Item = Item<'_>> {
        let elements = self.elements();
        let mut offset = self.offset(index);
        std::iter::from_fn(move || {
            if offset == elements.len() {
                return None;
            }
            let (item, next) = Self::element_at(elements, offset);
            offset = next;
            Some(item)
        })
    }

    /// The elements in front of number `index`, the last one first.
    pub(super) fn iter_back(&self, index: usize) -> impl Iterator<Item = Item<'_>> {
        let elements = self.elements();
        let mut offset = self.offset(index);
        std::iter::from_fn(move || {
            if offset == 0 {
                return None;
            }
            let (item, start) = Self::element_before(elements, offset);
            offset = start;
            Some(item)
        })
    }

    /// Adds an element at an end. There must be room within [`Self::MAX_BYTES`].
    #[inline]
    pub(super) fn push(&mut self, end: End, element: &Encoded<'_>) {
        let extra = element.total();
        self.make_room(end, extra);
        let at = match end {
            End::Front => {
                self.start -= extra as u16;
                usize::from(self.start)
            }
            End::Back => {
                self.end += extra as u16;
                usize::from(self.end) - extra
            }
        };
        element.write(&mut self.data[at..at + extra]);
        self.count += 1;
    }

    #[inline]
    fn make_room(&mut self, end: End, extra: usize) {
        let room = match end {
            End::Front => self.start.into(),
            End::Back => self.data.len() - usize::from(self.end),
        };
        if room < extra {
            self.grow(end, extra);
        }
    }

    /// All the room goes to the end that grows.
    #[cold]
    fn grow(&mut self, end: End, extra: usize) {
        let used = self.used();
        let needed = used + extra;
        assert!(needed <= Self::MAX_BYTES, "a block is not filled beyond its limit");
        // Moving the elements within the block pays if that won't be needed again soon.
        if self.data.len() >= needed + used / 8 {
            let to = if end == End::Back { 0 } else { self.data.len() - used };
            self.data.copy_within(usize::from(self.start)..usize::from(self.end), to);
            self.start = to as u16;
            self.end = (to + used) as u16;
        } else {
            self.reallocate(Self::capacity(needed + used / 8), end);
        }
    }

    /// Moves the elements to an allocation of `capacity` bytes, with all the room at `end`.
    fn reallocate(&mut self, capacity: usize, end: End) {
        let used = self.used();
        let to = if end == End::Back { 0 } else { capacity - used };
        let data = std::mem::take(&mut self.data);
        self.data = if end == End::Back && self.start == 0 {
            // The allocator may be able to do it in place.
            let mut data = data.into_vec();
            data.truncate(used);
            data.shrink_to(capacity);
            data.reserve_exact(capacity - used);
            data.resize(capacity, 0);
            data.into_boxed_slice()
        } else {
            let mut new = vec![0; capacity].into_boxed_slice();
            new[to..to + used].copy_from_slice(&data[self.start.into()..self.end.into()]);
            new
        };
        self.start = to as u16;
        self.end = (to + used) as u16;
    }

    /// Gives back the memory that is not needed.
    pub(super) fn seal(&mut self) {
        let exact = Self::capacity(self.used());
        if self.data.len() > exact {
            self.reallocate(exact, End::Back);
        }
    }

    /// Gives memory back once most of it is not used.
    #[inline]
    fn relax(&mut self) {
        if self.data.len() > SMALL && self.used() < self.data.len() / 4 {
            self.reallocate(Self::capacity(self.used() * 2), End::Back);
        }
    }

    /// Removes the first or the last element, of which there must be one.
    #[inline]
    pub(super) fn pop(&mut self, end: End) {
        let elements = self.elements();
        match end {
            End::Front => self.start += Self::element_at(elements, 0).1 as u16,
            End::Back => {
                self.end = self.start + Self::element_before(elements, elements.len()).1 as u16;
            }
        }
        self.count -= 1;
        self.relax();
    }

    /// Removes `n` elements from number `index` on.
    pub(super) fn remove(&mut self, index: usize, n: usize) {
        let start = usize::from(self.start);
        let (from, to) = (start + self.offset(index), start + self.offset(index + n));
        if from == start {
            self.start = to as u16;
        } else {
            self.data.copy_within(to..self.end.into(), from);
            self.end -= (to - from) as u16;
        }
        self.count -= n as u16;
        self.relax();
    }

    /// Inserts an element in front of number `index`, or at the end. There must be room within [`Self::MAX_BYTES`].
    pub(super) fn insert(&mut self, index: usize, element: &Encoded<'_>) {
        let offset = self.offset(index);
        self.put(offset, 0, element);
        self.count += 1;
    }

    /// Replaces the element number `index`. There must be room within [`Self::MAX_BYTES`].
    pub(super) fn replace(&mut self, index: usize, element: &Encoded<'_>) {
        let offset = self.offset(index);
        let old = Self::element_at(self.elements(), offset).1 - offset;
        self.put(offset, old, element);
        self.relax();
    }

    /// Writes an element over the `old` bytes at `offset` of the elements.
    fn put(&mut self, offset: usize, old: usize, element: &Encoded<'_>) {
        let new = element.total();
        if new > old {
            self.make_room(End::Back, new - old);
        }
        let at = usize::from(self.start) + offset;
        self.data.copy_within(at + old..self.end.into(), at + new);
        self.end = (usize::from(self.end) + new - old) as u16;
        element.write(&mut self.data[at..at + new]);
    }

    /// Bytes that the element number `index` takes.
    pub(super) fn bytes_of(&self, index: usize) -> usize {
        let offset = self.offset(index);
        Self::element_at(self.elements(), offset).1 - offset
    }

    /// Cuts off the elements from number `index` on.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let at = usize::from(self.start) + self.offset(index);
        let right = Self::of(&self.data[at..self.end.into()], self.count - index as u16);
        self.end = at as u16;
        self.count = index as u16;
        self.relax();
        right
    }

    /// Appends all elements of another block. There must be room within [`Self::MAX_BYTES`].
    pub(super) fn append(&mut self, other: &Self) {
        let elements = other.elements();
        self.make_room(End::Back, elements.len());
        let end = usize::from(self.end);
        self.data[end..end + elements.len()].copy_from_slice(elements);
        self.end += elements.len() as u16;
        self.count += other.count;
    }

    /// Removes up to `limit` elements that equal `wanted`, from the given end. Returns how many were.
    pub(super) fn remove_equal(&mut self, wanted: Item<'_>, limit: usize, from: End) -> usize {
        let mut found: Vec<(usize, usize)> = Vec::new();
        let elements = self.elements();
        let mut offset = if from == End::Front { 0 } else { elements.len() };
        for _ in 0..self.count {
            let (item, next) = match from {
                End::Front => Self::element_at(elements, offset),
                End::Back => Self::element_before(elements, offset),
            };
            if item == wanted {
                found.push((offset.min(next), offset.max(next)));
                if found.len() == limit {
                    break;
                }
            }
            offset = next;
        }
        if from == End::Back {
            found.reverse();
        }
        let Some(&(first, _)) = found.first() else { return 0 };
        let (start, used) = (usize::from(self.start), self.used());
        let mut to = start + first;
        for (i, (_, end)) in found.iter().enumerate() {
            let next = found.get(i + 1).map_or(used, |(start, _)| *start);
            self.data.copy_within(start + end..start + next, to);
            to += next - end;
        }
        self.end = to as u16;
        self.count -= found.len() as u16;
        self.relax();
        found.len()
    }
}
