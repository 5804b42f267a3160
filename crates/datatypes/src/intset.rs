//! Small sets of integers: an ascending array in one allocation, in Redis's intset format.
//!
//! ```text
//! bytes of a number (u32: 2, 4 or 8) | numbers (u32) | number*
//! ```
//!
//! All little-endian. Every number is as wide as the widest that was ever in the set. Invariant: the numbers ascend
//! and none comes twice; [`Intset::from_bytes`] checks what comes from outside.

use crate::buffer::{reallocate, size_class};
use crate::listpack::Corrupt;

const HEADER: usize = 8;

/// A set of integers.
#[derive(Clone)]
pub struct Intset {
    /// The header says how much of it is used; the rest is room that the allocator would have given anyway.
    buffer: Box<[u8]>,
}

impl Default for Intset {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Intset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

impl Intset {
    pub fn new() -> Self {
        let mut buffer = vec![0; HEADER].into_boxed_slice();
        buffer[0] = 2;
        Self { buffer }
    }

    /// An intset from outside, checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Corrupt> {
        if bytes.len() < HEADER || !matches!(bytes[..4], [2 | 4 | 8, 0, 0, 0]) {
            return Err(Corrupt);
        }
        let mut buffer = vec![0; size_class(bytes.len())].into_boxed_slice();
        buffer[..bytes.len()].copy_from_slice(bytes);
        let set = Self { buffer };
        if set.bytes() != bytes.len() || !set.iter().is_sorted_by(|a, b| a < b) {
            return Err(Corrupt);
        }
        Ok(set)
    }

    /// The intset in its format.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.bytes()]
    }

    /// Bytes of the format.
    fn bytes(&self) -> usize {
        HEADER + self.len() * self.width()
    }

    /// Where the set begins.
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.buffer.as_ptr()
    }

    /// Bytes of memory that are allocated.
    pub fn memory(&self) -> usize {
        self.buffer.len()
    }

    #[inline]
    fn width(&self) -> usize {
        usize::from(self.buffer[0])
    }

    #[inline]
    pub fn len(&self) -> usize {
        u32::from_le_bytes(self.buffer[4..8].try_into().expect("four bytes")) as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn set_len(&mut self, len: usize) {
        self.buffer[4..8].copy_from_slice(&(len as u32).to_le_bytes());
    }

    /// The number of rank `i`, the smallest having rank 0. There must be one.
    #[inline]
    pub fn get(&self, i: usize) -> i64 {
        let width = self.width();
        let bytes = &self.buffer[HEADER + i * width..HEADER + (i + 1) * width];
        match *bytes {
            [a, b] => i16::from_le_bytes([a, b]).into(),
            [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
            _ => i64::from_le_bytes(bytes.try_into().expect("numbers have 2, 4 or 8 bytes")),
        }
    }

    fn put(&mut self, i: usize, width: usize, value: i64) {
        let at = HEADER + i * width;
        self.buffer[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The rank of `value`, or the one that it would have.
    fn search(&self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).cmp(&value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    pub fn contains(&self, value: i64) -> bool {
        width_of(value) <= self.width() && self.search(value).is_ok()
    }

    /// Returns whether the number is new.
    pub fn insert(&mut self, value: i64) -> bool {
        let len = self.len();
        if width_of(value) > self.width() {
            self.widen(width_of(value), len + 1);
            // It is wider than all others: it comes first or last.
            let rank = if value < 0 { 0 } else { len };
            self.insert_at(rank, value);
            return true;
        }
        // Numbers that come in order are frequent.
        let rank = if len > 0 && self.get(len - 1) < value {
            len
        } else {
            match self.search(value) {
                Ok(_) => return false,
                Err(rank) => rank,
            }
        };
        self.insert_at(rank, value);
        true
    }

    fn insert_at(&mut self, rank: usize, value: i64) {
        let (width, len, used) = (self.width(), self.len(), self.bytes());
        if used + width > self.buffer.len() {
            reallocate(&mut self.buffer, size_class(used + width));
        }
        let at = HEADER + rank * width;
        self.buffer.copy_within(at..used, at + width);
        self.put(rank, width, value);
        self.set_len(len + 1);
    }

    /// Gives every number `width` bytes, and makes room for `capacity` of them.
    fn widen(&mut self, width: usize, capacity: usize) {
        reallocate(&mut self.buffer, size_class(HEADER + capacity * width));
        for i in (0..self.len()).rev() {
            let value = self.get(i);
            self.put(i, width, value);
        }
        self.buffer[0] = width as u8;
    }

    /// Returns whether the number was there.
    pub fn remove(&mut self, value: i64) -> bool {
        if width_of(value) > self.width() {
            return false;
        }
        let Ok(rank) = self.search(value) else { return false };
        let (width, len, used) = (self.width(), self.len(), self.bytes());
        let at = HEADER + rank * width;
        self.buffer.copy_within(at + width..used, at);
        self.set_len(len - 1);
        let used = used - width;
        if size_class(used + used / 8) < self.buffer.len() {
            reallocate(&mut self.buffer, size_class(used));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::seed::Seed;

    #[test]
    fn the_format_is_redis_s() {
        let mut set = Intset::new();
        assert_eq!(set.as_bytes(), [2, 0, 0, 0, 0, 0, 0, 0]);
        for value in [5, -2, 300] {
            assert!(set.insert(value));
        }
        assert_eq!(set.as_bytes(), [2, 0, 0, 0, 3, 0, 0, 0, 0xfe, 0xff, 5, 0, 0x2c, 1]);
        assert!(set.insert(-40_000));
        let wide = [
            4, 0, 0, 0, 4, 0, 0, 0, 0xc0, 0x63, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 5, 0, 0, 0,
            0x2c, 1, 0, 0,
        ];
        assert_eq!(set.as_bytes(), wide);
        assert!(set.remove(-40_000));
        assert_eq!(set.as_bytes()[0], 4, "a set never becomes narrower");
    }

    #[test]
    fn corrupt_bytes_are_refused() {
        for bytes in [
            &b""[..],
            &[2, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 1, 0, 0, 0],
            &[2, 0, 0, 0, 1, 0, 0, 0, 5],
            &[2, 0, 0, 0, 0, 0, 0, 0, 5, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 5, 0, 5, 0],
            &[2, 0, 0, 0, 2, 0, 0, 0, 5, 0, 4, 0],
            &[8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 5, 0, 4, 0],
        ] {
            assert!(Intset::from_bytes(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn random_histories_match_a_set() {
        let seed = Seed::new();
        let mut rng = fastrand::Rng::with_seed(seed.number());
        for _ in 0..200 {
            let (mut set, mut model) = (Intset::new(), BTreeSet::new());
            let narrow = rng.u32(40..64);
            for _ in 0..200 {
                let shift = rng.u32(narrow..64);
                let value = match rng.u32(..8) {
                    0 => rng.choice([i64::MIN, i64::MAX, -32768, 32767, 32768]).unwrap_or(0),
                    _ => rng.i64(..) >> shift,
                };
                if rng.u32(..3) == 0 {
                    assert_eq!(set.remove(value), model.remove(&value));
                } else {
                    assert_eq!(set.insert(value), model.insert(value));
                }
                assert!(set.iter().eq(model.iter().copied()));
                let probe = rng.i64(..) >> shift;
                assert_eq!(set.contains(probe), model.contains(&probe));
                assert_eq!(set.contains(value), model.contains(&value));
                let copy = Intset::from_bytes(set.as_bytes()).expect("a valid set");
                assert_eq!(copy.as_bytes(), set.as_bytes());
                assert!(set.memory() >= set.as_bytes().len());
                assert!(set.memory() <= size_class(set.as_bytes().len() * 9 / 8));
            }
        }
    }
}
