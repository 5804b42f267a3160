//! Tags of pairs, in the room behind a listpack: a search for a field reads a byte of each pair and not the pairs, which
//! for a hash of 100 fields are five thousand bytes of memory that nothing else has brought into the cache.
//!
//! ```text
//! elements | 0xff | note: pairs with tags (u16), where they end (u16) | ... | group 1 | group 0
//! group: the tags of 8 pairs | where the first of them starts (u16)
//! ```
//!
//! Owns the bytes between the end of the listpack and that of its buffer, which the allocator would have given anyway:
//! tags never make a buffer larger, and where there is no room for them the rest of the pairs is searched as without. They
//! are no part of the format. Invariant: where there is room for a note there is a true one; the pairs that it counts are
//! the first ones.

use super::{Encoded, HEADER, Item, Listpack, Pos, Probe, find, size_at};
use crate::collection::Ahead;
use crate::table::{prefetch, prefetch_bytes};

/// Bytes of the note.
pub(super) const NOTE: usize = 4;
/// Pairs of a group.
pub(super) const GROUP: usize = 8;
const GROUP_BYTES: usize = GROUP + 2;
/// Offsets that a group can tell end here.
pub(super) const REACH: usize = u16::MAX as usize;

/// Which pairs have tags: the first `pairs`, which end at the offset `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) pairs: usize,
    pub(super) end: usize,
}

impl Note {
    pub(super) const NONE: Self = Self { pairs: 0, end: HEADER };

    /// Of a listpack that takes the first `used` bytes of the buffer.
    #[inline]
    pub(super) fn read(buffer: &[u8], used: usize) -> Self {
        match buffer.get(used..used + NOTE) {
            Some(&[a, b, c, d]) if (a, b) != (0, 0) => Self {
                pairs: u16::from_le_bytes([a, b]).into(),
                end: u16::from_le_bytes([c, d]).into(),
            },
            _ => Self::NONE,
        }
    }

    /// Writes it down, if there is room.
    #[inline]
    pub(super) fn write(self, buffer: &mut [u8], used: usize) {
        if let Some(place) = buffer.get_mut(used..used + NOTE) {
            place[..2].copy_from_slice(&(self.pairs as u16).to_le_bytes());
            place[2..].copy_from_slice(&(self.end as u16).to_le_bytes());
        }
    }

    pub(super) fn groups(self) -> usize {
        self.pairs.div_ceil(GROUP)
    }

    /// Bytes at the end of the buffer.
    pub(super) fn bytes(self) -> usize {
        self.groups() * GROUP_BYTES
    }

    /// What remains of it where `room` bytes are left behind the listpack.
    pub(super) fn within(self, buffer: &[u8], room: usize) -> Self {
        let groups = room.saturating_sub(NOTE) / GROUP_BYTES;
        if groups >= self.groups() { self } else { self.cut(buffer, groups) }
    }

    /// What remains of it when pairs from the offset `offset` on are no longer what they were.
    pub(super) fn before(self, buffer: &[u8], offset: usize) -> Self {
        if offset >= self.end {
            return self;
        }
        // The group of the pair is the last that starts at or before it.
        let whole = (1..self.groups()).take_while(|g| start(buffer, *g) <= offset).count();
        self.cut(buffer, whole)
    }

    fn cut(self, buffer: &[u8], groups: usize) -> Self {
        match groups {
            0 => Self::NONE,
            _ => Self { pairs: groups * GROUP, end: start(buffer, groups) },
        }
    }
}

/// Where the group is in a buffer.
fn place(buffer: &[u8], group: usize) -> usize {
    buffer.len() - GROUP_BYTES * (group + 1)
}

/// Where the first pair of a group starts.
#[inline]
pub(super) fn start(buffer: &[u8], group: usize) -> usize {
    let at = place(buffer, group) + GROUP;
    u16::from_le_bytes([buffer[at], buffer[at + 1]]).into()
}

/// The pairs of a group that may have the tag: the lowest bit of byte `i` is that of pair `i`.
#[inline]
pub(super) fn candidates(buffer: &[u8], group: usize, tag: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let at = place(buffer, group);
    let tags = u64::from_le_bytes(buffer[at..at + GROUP].try_into().expect("eight tags"));
    let differing = tags ^ (ONES * u64::from(tag));
    // A byte that differs may be taken for an equal one where there is one below it; it is looked at, no more.
    (differing.wrapping_sub(ONES) & !differing) >> 7 & ONES
}

/// Notes the tag of the pair number `pair`, which starts at `offset`. Its group must have a place.
#[inline]
pub(super) fn set(buffer: &mut [u8], pair: usize, offset: usize, tag: u8) {
    let at = place(buffer, pair / GROUP);
    if pair.is_multiple_of(GROUP) {
        buffer[at + GROUP..at + GROUP_BYTES].copy_from_slice(&(offset as u16).to_le_bytes());
    }
    buffer[at + pair % GROUP] = tag;
}

/// Groups behind the one of `offset` start `from - to` bytes earlier. Returns the note, which ends earlier as well.
pub(super) fn shift(
    buffer: &mut [u8],
    note: Note,
    offset: usize,
    from: usize,
    to: usize,
) -> Option<Note> {
    let moved = |at: usize| Some(at + to - from).filter(|at| *at <= REACH);
    if offset >= note.end {
        return Some(note);
    }
    let end = moved(note.end)?;
    for group in (0..note.groups()).rev() {
        let old = start(buffer, group);
        if old <= offset {
            break;
        }
        let at = place(buffer, group) + GROUP;
        buffer[at..at + 2].copy_from_slice(&(moved(old)? as u16).to_le_bytes());
    }
    Some(Note { end, ..note })
}

/// Eight bits of a field: what it begins and ends with, mixed. Fields of equal tags cost a look each, so whoever makes
/// many of them is where he would be without tags.
#[inline]
pub(super) fn tag(item: Item<'_>) -> u8 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let word = |text: &[u8], at: usize| {
        u64::from_le_bytes(text[at..at + 8].try_into().expect("eight bytes"))
    };
    let half = |text: &[u8], at: usize| {
        u64::from(u32::from_le_bytes(text[at..at + 4].try_into().expect("four bytes")))
    };
    let mixed = match item {
        Item::Int(value) => value as u64,
        Item::Bytes(text) => match text.len() {
            0 => 0,
            len @ 1..4 => {
                u64::from(text[0]) << 16 | u64::from(text[len / 2]) << 8 | u64::from(text[len - 1])
            }
            len @ 4..8 => half(text, 0) << 32 | half(text, len - 4),
            len => word(text, 0).wrapping_mul(MIX).rotate_left(32) ^ word(text, len - 8),
        },
    };
    let mixed = mixed.wrapping_mul(MIX);
    ((mixed ^ mixed >> 29).wrapping_mul(MIX) >> 56) as u8
}

/// Pairs: of fields and their values.
impl Listpack {
    /// As [`Self::prefetch`], for pairs that are searched by their tags.
    #[inline]
    pub(crate) fn prefetch_pairs(&self, step: Ahead) {
        /// Loaded as a whole up to here, bytes.
        const SHORT: usize = 640;
        /// Of tags, bytes: those of 128 pairs.
        const TAGS: usize = 160;
        let (start, len) = (self.buffer.as_ptr(), self.buffer.len());
        match step {
            Ahead::Content if len <= SHORT => prefetch_bytes(start, len),
            Ahead::Content => {
                prefetch(start);
                prefetch_bytes(start.wrapping_add(len - TAGS), TAGS);
            }
            Ahead::Bucket if len <= SHORT => {}
            Ahead::Bucket => {
                let end = start.wrapping_add(self.bytes() - 1);
                prefetch(end);
                prefetch(end.wrapping_add(64));
            }
            Ahead::Element if len <= SHORT => {}
            Ahead::Element => {
                let (used, note) = (self.bytes(), self.note());
                prefetch_bytes(start.wrapping_add(note.end), (used - note.end).min(1024));
            }
        }
    }

    /// Of elements in pairs, the first of the pair whose first is `text`.
    pub fn find_pair(&self, text: &[u8]) -> Option<Pos> {
        let used = &self.buffer[..self.bytes()];
        let note = self.note();
        let item = Item::of(text);
        let wanted = Encoded::new(item);
        let probe = Probe::new(&wanted);
        let tag = tag(item);
        let mut left = note.pairs;
        for group in 0..note.groups() {
            let mut hits = candidates(&self.buffer, group, tag);
            if left < GROUP {
                hits &= (1 << (8 * left)) - 1;
            }
            left = left.saturating_sub(GROUP);
            let (mut at, mut passed) = (0, 0);
            while hits != 0 {
                if at == 0 {
                    at = start(&self.buffer, group);
                    prefetch_bytes(used.as_ptr().wrapping_add(at), 512);
                }
                let pair = hits.trailing_zeros() / 8;
                while passed < pair {
                    at += size_at(used, at);
                    at += size_at(used, at);
                    passed += 1;
                }
                if probe.matches(used, at) && wanted.starts(&used[at..]) {
                    return Some(Pos::at(at));
                }
                hits &= hits - 1;
            }
        }
        find::<2>(used, note.end, &wanted, &probe)
    }

    /// Gives tags to the pairs that have none, as far as there is room. All elements must come in pairs, then and
    /// until they are removed.
    pub fn tag_pairs(&mut self) {
        /// Shorter listpacks are searched as quickly without.
        const WORTHWHILE: usize = 384;
        let used = self.bytes();
        let mut note = self.note();
        if used < WORTHWHILE || note.end == used - 1 {
            return;
        }
        let room = (self.buffer.len() - used).saturating_sub(NOTE);
        while note.end < used - 1 {
            let more = Note { pairs: note.pairs + 1, end: note.end };
            let end = self.end_of(note.end);
            let end = self.end_of(end);
            if more.bytes() > room || end > REACH {
                break;
            }
            let tag = tag(self.get(Pos::at(note.end)));
            set(&mut self.buffer, note.pairs, note.end, tag);
            note = Note { end, ..more };
        }
        note.write(&mut self.buffer, used);
    }

    /// Adds a pair whose first is not there yet.
    pub fn push_pair(&mut self, first: &[u8], second: &[u8]) {
        let (first, second) = (Encoded::new(Item::of(first)), Encoded::new(Item::of(second)));
        let (at, middle) = (self.bytes() - 1, first.total());
        let total = middle + second.total();
        self.gap(at, 0, total);
        first.write(&mut self.buffer[at..at + middle]);
        second.write(&mut self.buffer[at + middle..at + total]);
        self.counted(2);
        self.tag_pairs();
    }

    /// Replaces the second of a pair, which is at `pos`; the new one is at the same position.
    pub fn replace_second(&mut self, pos: Pos, text: &[u8]) {
        let new = Encoded::new(Item::of(text));
        let (at, old) = (pos.offset(), self.end_of(pos.offset()) - pos.offset());
        if old != new.total() {
            self.gap(at, old, new.total());
            let note = self.note();
            let shifted = shift(&mut self.buffer, note, at, old, new.total());
            let used = self.bytes();
            shifted.unwrap_or(Note::NONE).write(&mut self.buffer, used);
        }
        new.write(&mut self.buffer[at..at + new.total()]);
        self.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    /// That the note is true of the pairs, and finds them all.
    fn assert_tagged(pack: &Listpack, model: &[(Vec<u8>, Vec<u8>)]) {
        let note = pack.note();
        let mut pos = pack.first();
        for (number, (first, second)) in model.iter().enumerate() {
            let at = pos.expect("a pair of the model");
            assert_eq!(number < note.pairs, at.offset() < note.end, "pair {number} of {note:?}");
            if number < note.pairs && number.is_multiple_of(GROUP) {
                assert_eq!(start(&pack.buffer, number / GROUP), at.offset());
            }
            assert_eq!(pack.find_pair(first), Some(at));
            let value = pack.next(at).expect("a value");
            assert!(pack.get(value).eq_bytes(second));
            pos = pack.next(value);
        }
        assert_eq!(pos, None);
        assert!(pack.bytes() + note.bytes() <= pack.buffer.len());
        assert_eq!(super::super::check(pack.as_bytes()), Some(true));
    }

    fn text(rng: &mut fastrand::Rng) -> Vec<u8> {
        match rng.u32(..8) {
            0 | 1 => rng.i64(-5000..5000).to_string().into_bytes(),
            2 | 3 => format!("field:{:05}", rng.u32(..300)).into_bytes(),
            // Their tags are equal.
            4 => format!("beginning{:03}the end!", rng.u32(..999)).into_bytes(),
            5 => vec![b'x'; rng.usize(..200)],
            _ => (0..rng.usize(..9)).map(|_| rng.u8(b'a'..b'd')).collect(),
        }
    }

    fn step(rng: &mut fastrand::Rng, pack: &mut Listpack, model: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let (first, second) = (text(rng), text(rng));
        let known = model.iter().position(|(known, _)| *known == first);
        assert_eq!(pack.find_pair(&first).is_some(), known.is_some());
        // Mostly one that is there.
        let chosen = known.or((rng.bool() && !model.is_empty()).then(|| rng.usize(..model.len())));
        let Some(chosen) = chosen else {
            pack.push_pair(&first, &second);
            return model.push((first, second));
        };
        let pos = pack.find_pair(&model[chosen].0).expect("it is in the model");
        match rng.u32(..16) {
            0 => {
                pack.remove_range(pos, 2);
                model.remove(chosen);
            }
            // As for other collections, which know nothing of tags.
            1 => {
                pack.insert_before(pos, b"a value");
                pack.insert_before(pos, b"put in front");
                if model.iter().any(|(known, _)| known == b"put in front") {
                    pack.remove_range(pos, 2);
                } else {
                    model.insert(chosen, (b"put in front".to_vec(), b"a value".to_vec()));
                }
            }
            2 => *pack = Listpack::from_bytes(pack.as_bytes()).expect("a listpack"),
            3 => *pack = pack.clone(),
            _ => {
                pack.replace_second(pack.next(pos).expect("a value"), &second);
                model[chosen].1 = second;
            }
        }
    }

    #[test]
    fn random_histories_of_pairs_match_a_vec() {
        let seed = Seed::new();
        let mut rng = fastrand::Rng::with_seed(seed.number());
        let (mut tagged, mut partly) = (0, 0);
        for _ in 0..60 {
            let (mut pack, mut model) = (Listpack::new(), Vec::new());
            for _ in 0..400 {
                step(&mut rng, &mut pack, &mut model);
                assert_tagged(&pack, &model);
                let pairs = pack.note().pairs;
                tagged += u32::from(pairs > 0 && pairs == model.len());
                partly += u32::from(pairs > 0 && pairs < model.len());
            }
        }
        assert!(tagged > 1000 && partly > 1000, "{tagged} wholly and {partly} partly tagged");
    }

    /// Offsets of groups are of two bytes.
    #[test]
    fn pairs_beyond_the_reach_of_offsets_are_found() {
        let mut pack = Listpack::new();
        let mut model = Vec::new();
        for number in 0..1000 {
            let (first, second) = (format!("field {number}").into_bytes(), vec![b'v'; 70]);
            pack.push_pair(&first, &second);
            model.push((first, second));
        }
        assert!(pack.note().pairs > 100 && pack.note().end <= REACH);
        assert_tagged(&pack, &model);
        // The tagged pairs are pushed beyond it.
        for number in 0..40 {
            let pos = pack.find_pair(&model[number].0).expect("it is there");
            model[number].1 = vec![b'w'; 4000];
            pack.replace_second(pack.next(pos).expect("a value"), &model[number].1);
            assert_tagged(&pack, &model);
        }
    }
}
