//! The compact encoding of small collections: elements one behind the other in one allocation, in Redis's listpack
//! format, which dumps and snapshots carry as it is.
//!
//! ```text
//! total bytes (u32) | elements (u16, 65535 = count them) | element* | 0xff
//! element: encoding and data | length of that, readable from its end
//! ```
//!
//! Numbers are little-endian but for the 12-bit string length. Text that is the canonical spelling of a 64-bit integer
//! is kept as one, always in the shortest form; so equal elements have equal bytes, which makes searching a comparison
//! of bytes. Invariant: the bytes are a valid listpack of at most [`Listpack::MAX_BYTES`] bytes in that form;
//! [`Listpack::from_bytes`] checks what comes from outside, and rewrites what is valid but not in the shortest form.

mod tags;

use tags::Note;

use crate::buffer::{reallocate, size_class};
use crate::collection::Ahead;
use crate::integer::{self, MAX_LEN};
use crate::table::{prefetch, prefetch_bytes};

const HEADER: usize = 6;
const END: u8 = 0xff;
/// The count in the header that says to count.
const MANY: u16 = u16::MAX;

/// A position: the offset of an element. Valid until the listpack changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos(u32);

impl Pos {
    fn at(offset: usize) -> Self {
        Self(offset as u32)
    }

    fn offset(self) -> usize {
        self.0 as usize
    }
}

/// An element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    Int(i64),
    /// Never the canonical spelling of an `i64`.
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    /// What a listpack makes of `text`.
    pub fn of(text: &'a [u8]) -> Self {
        match integer::parse_i64(text) {
            Some(value) => Self::Int(value),
            None => Self::Bytes(text),
        }
    }

    pub fn eq_bytes(&self, text: &[u8]) -> bool {
        self.with_bytes(|bytes| bytes == text)
    }

    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(self.text(&mut [0; MAX_LEN]))
    }

    /// The text, for which a number needs `buffer`.
    pub fn text<'b>(&self, buffer: &'b mut [u8; MAX_LEN]) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Self::Int(value) => integer::format_i64(value, buffer),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Bytes of the text.
    pub fn text_len(&self) -> usize {
        match self {
            Self::Int(0) => 1,
            Self::Int(value) => {
                value.unsigned_abs().ilog10() as usize + 1 + usize::from(*value < 0)
            }
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    pub fn write_to(&self, target: &mut Vec<u8>) {
        self.with_bytes(|bytes| target.extend_from_slice(bytes));
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }
}

/// The bytes are not a listpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// An element as it is stored, its length at the end aside: a few bytes of encoding, then a string's text.
pub(crate) struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    text: &'a [u8],
}

impl<'a> Encoded<'a> {
    pub(crate) fn new(item: Item<'a>) -> Self {
        match item {
            Item::Int(value) => Self::int(value),
            Item::Bytes(text) => Self::string(text),
        }
    }

    fn with(first: u8, rest: &[u8], text: &'a [u8]) -> Self {
        let mut head = [0; 9];
        head[0] = first;
        head[1..=rest.len()].copy_from_slice(rest);
        Self { head, head_len: 1 + rest.len(), text }
    }

    fn int(value: i64) -> Self {
        let bytes = value.to_le_bytes();
        match value {
            0..=127 => Self::with(value as u8, &[], &[]),
            -4096..=4095 => {
                let bits = value as u16 & 0x1fff;
                Self::with(0xc0 | (bits >> 8) as u8, &[bits as u8], &[])
            }
            -0x8000..=0x7fff => Self::with(0xf1, &bytes[..2], &[]),
            -0x80_0000..=0x7f_ffff => Self::with(0xf2, &bytes[..3], &[]),
            -0x8000_0000..=0x7fff_ffff => Self::with(0xf3, &bytes[..4], &[]),
            _ => Self::with(0xf4, &bytes, &[]),
        }
    }

    fn string(text: &'a [u8]) -> Self {
        match text.len() {
            len @ 0..64 => Self::with(0x80 | len as u8, &[], text),
            len @ 64..4096 => Self::with(0xe0 | (len >> 8) as u8, &[len as u8], text),
            len => Self::with(0xf0, &(len as u32).to_le_bytes(), text),
        }
    }

    fn len(&self) -> usize {
        self.head_len + self.text.len()
    }

    /// Bytes of the whole element.
    pub(crate) fn total(&self) -> usize {
        self.len() + back_len(self.len())
    }

    pub(crate) fn write(&self, target: &mut [u8]) {
        let (head, rest) = target.split_at_mut(self.head_len);
        head.copy_from_slice(&self.head[..self.head_len]);
        let (text, back) = rest.split_at_mut(self.text.len());
        text.copy_from_slice(self.text);
        write_back(self.len(), back);
    }

    pub(crate) fn starts(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(&self.head[..self.head_len])
            && bytes[self.head_len..].starts_with(self.text)
    }
}

/// Bytes that the length behind an element of `len` bytes takes. The odd limits are the format's.
pub(crate) fn back_len(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16383 => 2,
        16383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Seven bits a byte, the lowest in the last; all but the first have the top bit set.
fn write_back(len: usize, target: &mut [u8]) {
    let mut rest = len;
    for (i, byte) in target.iter_mut().enumerate().rev() {
        *byte = (rest & 127) as u8 | if i == 0 { 0 } else { 128 };
        rest >>= 7;
    }
}

/// Reads the length that ends in front of `end`; `None` when it has more than five bytes or starts before the first.
pub(crate) fn read_back(bytes: &[u8], end: usize) -> Option<usize> {
    let mut len = 0;
    for i in 0..5 {
        let byte = *bytes.get(end.checked_sub(i + 1)?)?;
        len |= usize::from(byte & 127) << (7 * i);
        if byte & 128 == 0 {
            return Some(len);
        }
    }
    None
}

/// Bytes of encoding and data of the element at the start of `bytes`; `None` when the encoding is unknown or incomplete.
#[inline]
pub(crate) fn encoded_len(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    Some(match first {
        0..0x80 => 1,
        0x80..0xc0 => 1 + usize::from(first & 0x3f),
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 2 + (usize::from(first & 0x0f) << 8) + usize::from(*bytes.get(1)?),
        0xf0 => 5 + u32::from_le_bytes(bytes.get(1..5)?.try_into().ok()?) as usize,
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        _ => return None,
    })
}

/// The element whose encoding and data are exactly `bytes`.
#[inline]
pub(crate) fn decode(bytes: &[u8]) -> Item<'_> {
    let first = bytes[0];
    match first {
        0..0x80 => Item::Int(i64::from(first)),
        0x80..0xc0 => Item::Bytes(&bytes[1..]),
        0xc0..0xe0 => {
            let bits = u16::from(first & 0x1f) << 8 | u16::from(bytes[1]);
            Item::Int(i64::from((bits << 3) as i16 >> 3))
        }
        0xe0..0xf0 => Item::Bytes(&bytes[2..]),
        0xf0 => Item::Bytes(&bytes[5..]),
        _ => {
            let sign = if bytes[bytes.len() - 1] & 0x80 == 0 { 0 } else { 0xff };
            let mut wide = [sign; 8];
            wide[..bytes.len() - 1].copy_from_slice(&bytes[1..]);
            Item::Int(i64::from_le_bytes(wide))
        }
    }
}

/// A sequence of short strings and integers.
#[derive(Clone)]
pub struct Listpack {
    /// The header says how much of it is used; the rest is room that the allocator would have given anyway.
    buffer: Box<[u8]>,
}

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Listpack {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Listpack {}

impl std::fmt::Debug for Listpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Listpack {
    /// No listpack may become larger; ask [`Self::fits`] before adding much.
    pub const MAX_BYTES: usize = 1 << 30;

    /// What positions can tell; a node of a stream may be a little beyond [`Self::MAX_BYTES`].
    const FORMAT_MAX: usize = (1 << 31) - 1;

    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// Empty, with room for elements of `bytes` bytes in all.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = vec![0; size_class(HEADER + 1 + bytes)].into_boxed_slice();
        buffer[HEADER] = END;
        let mut new = Self { buffer };
        new.set_header(HEADER + 1, 0);
        new
    }

    /// A listpack from outside, checked to the last byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Corrupt> {
        let shortest = check(bytes).ok_or(Corrupt)?;
        let mut buffer = vec![0; size_class(bytes.len())].into_boxed_slice();
        buffer[..bytes.len()].copy_from_slice(bytes);
        let same = Self { buffer };
        if shortest {
            return Ok(same);
        }
        let mut rewritten = Self::with_capacity(bytes.len());
        for item in same.iter() {
            item.with_bytes(|text| rewritten.push_back(text));
        }
        rewritten.shrink();
        Ok(rewritten)
    }

    /// The listpack in its format.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.bytes()]
    }

    /// The elements without header and end.
    pub(crate) fn elements(&self) -> &[u8] {
        &self.buffer[HEADER..self.bytes() - 1]
    }

    /// Bytes of the format, header and end included.
    #[inline]
    pub fn bytes(&self) -> usize {
        u32::from_le_bytes(self.buffer[..4].try_into().expect("four bytes")) as usize
    }

    /// Begins to load the beginning of the listpack into the cache, where a walk starts, and then the end, where
    /// elements are added.
    #[inline]
    pub(crate) fn prefetch(&self, step: Ahead) {
        const BEGINNING: usize = 1024;
        match step {
            Ahead::Content => {
                prefetch_bytes(self.buffer.as_ptr(), self.buffer.len().min(BEGINNING));
            }
            Ahead::Bucket => prefetch(&raw const self.buffer[self.bytes() - 1]),
            Ahead::Element => {}
        }
    }

    /// Bytes of memory that are allocated.
    pub fn memory(&self) -> usize {
        self.buffer.len()
    }

    #[inline]
    fn count(&self) -> u16 {
        u16::from_le_bytes([self.buffer[4], self.buffer[5]])
    }

    /// The number of elements. From 65535 on they are counted.
    pub fn len(&self) -> usize {
        match self.count() {
            MANY => self.iter().count(),
            count => count.into(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes() == HEADER + 1
    }

    /// Whether elements of `text` bytes in all, `elements` of them, may be added.
    pub fn fits(&self, text: usize, elements: usize) -> bool {
        self.bytes().saturating_add(text).saturating_add(elements.saturating_mul(10))
            <= Self::MAX_BYTES
    }

    fn set_header(&mut self, bytes: usize, count: u16) {
        self.buffer[..4].copy_from_slice(&(bytes as u32).to_le_bytes());
        self.buffer[4..HEADER].copy_from_slice(&count.to_le_bytes());
    }

    fn pos(&self, offset: usize) -> Option<Pos> {
        (self.buffer[offset] != END).then(|| Pos::at(offset))
    }

    pub fn first(&self) -> Option<Pos> {
        self.pos(HEADER)
    }

    pub fn last(&self) -> Option<Pos> {
        self.before(self.bytes() - 1)
    }

    /// Bytes of encoding and data of the element at `offset`.
    #[inline]
    fn len_at(&self, offset: usize) -> usize {
        encoded_len(&self.buffer[offset..]).expect("a position is that of an element")
    }

    /// Where the element at `offset` ends.
    #[inline]
    fn end_of(&self, offset: usize) -> usize {
        let len = self.len_at(offset);
        offset + len + back_len(len)
    }

    fn before(&self, offset: usize) -> Option<Pos> {
        if offset == HEADER {
            return None;
        }
        let len = read_back(&self.buffer, offset).expect("an element ends here");
        Some(Pos::at(offset - back_len(len) - len))
    }

    #[inline]
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        self.pos(self.end_of(pos.offset()))
    }

    pub fn prev(&self, pos: Pos) -> Option<Pos> {
        self.before(pos.offset())
    }

    /// The element number `index`; negative numbers count from the last, which is -1.
    pub fn seek(&self, index: isize) -> Option<Pos> {
        let len = match self.count() {
            MANY if index < 0 => return self.seek_back(index.unsigned_abs() - 1),
            MANY => return self.seek_forward(index as usize),
            count => isize::from_ne_bytes(usize::from(count).to_ne_bytes()),
        };
        let index = if index < 0 { index + len } else { index };
        match index {
            _ if index < 0 || index >= len => None,
            _ if index <= len / 2 => self.seek_forward(index as usize),
            _ => self.seek_back((len - 1 - index) as usize),
        }
    }

    fn seek_forward(&self, steps: usize) -> Option<Pos> {
        let mut pos = self.first()?;
        for _ in 0..steps {
            pos = self.next(pos)?;
        }
        Some(pos)
    }

    fn seek_back(&self, steps: usize) -> Option<Pos> {
        let mut pos = self.last()?;
        for _ in 0..steps {
            pos = self.prev(pos)?;
        }
        Some(pos)
    }

    /// Where an element begins, and how many bytes it takes with its length behind it.
    pub fn place(&self, pos: Pos) -> (usize, usize) {
        (pos.offset(), self.end_of(pos.offset()) - pos.offset())
    }

    #[inline]
    pub fn get(&self, pos: Pos) -> Item<'_> {
        let at = pos.offset();
        decode(&self.buffer[at..at + self.len_at(at)])
    }

    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(self.first())
    }

    /// From the element at `pos` to the last.
    pub fn iter_from(&self, pos: Option<Pos>) -> Iter<'_> {
        Iter { listpack: self, at: pos.map_or(self.bytes() - 1, Pos::offset) }
    }

    /// The first element that equals `text`, of the first element and every one that comes `skip` elements behind one
    /// that was looked at: with a `skip` of 1, only the keys of keys and values in turn.
    pub fn find(&self, text: &[u8], skip: usize) -> Option<Pos> {
        self.find_from(self.first()?, text, skip)
    }

    /// As [`Self::find`], beginning with the element at `pos`.
    pub fn find_from(&self, pos: Pos, text: &[u8], skip: usize) -> Option<Pos> {
        let used = &self.buffer[..self.bytes()];
        let wanted = Encoded::new(Item::of(text));
        let probe = Probe::new(&wanted);
        match skip {
            0 => find::<1>(used, pos.offset(), &wanted, &probe),
            1 => find::<2>(used, pos.offset(), &wanted, &probe),
            2 => find::<3>(used, pos.offset(), &wanted, &probe),
            _ => unreachable!("elements come alone, in pairs or in threes"),
        }
    }

    /// Whether two elements are equal, of the first and every one that comes `skip` elements behind one of them.
    pub fn has_twice(&self, skip: usize) -> bool {
        let mut elements = Vec::with_capacity(self.len() / (skip + 1) + 1);
        let mut at = HEADER;
        for number in 0.. {
            if self.buffer[at] == END {
                break;
            }
            let end = self.end_of(at);
            if number % (skip + 1) == 0 {
                elements.push(&self.buffer[at..end]);
            }
            at = end;
        }
        elements.sort_unstable();
        elements.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Of elements in pairs, the first pair for which `before` is false, and how many come before it; it must be true
    /// for all pairs in front of that one, and false for those behind.
    pub fn partition_pairs(&self, mut before: impl FnMut(Pos) -> bool) -> (Option<Pos>, usize) {
        let used = &self.buffer[..self.bytes()];
        let (mut at, mut passed) = (HEADER, 0);
        while let Some(pair) = Group::<2>::read(used, at) {
            let mut count = 1;
            while pair.repeats(used, at + count * pair.size) {
                count += 1;
            }
            // Pairs of the same size lie like those of an array.
            let mut in_run = |i| before(Pos::at(at + i * pair.size));
            if !in_run(count - 1) {
                let (mut low, mut high) = (0, count - 1);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if in_run(middle) {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                return (Some(Pos::at(at + low * pair.size)), passed + low);
            }
            at += count * pair.size;
            passed += count;
        }
        (None, passed)
    }

    pub fn push_back(&mut self, text: &[u8]) -> Pos {
        self.put(self.bytes() - 1, 0, Item::of(text))
    }

    pub fn push_front(&mut self, text: &[u8]) -> Pos {
        self.put(HEADER, 0, Item::of(text))
    }

    /// Adds an element in front of the one at `pos`.
    pub fn insert_before(&mut self, pos: Pos, text: &[u8]) -> Pos {
        self.put(pos.offset(), 0, Item::of(text))
    }

    /// Adds an element behind the one at `pos`.
    pub fn insert_after(&mut self, pos: Pos, text: &[u8]) -> Pos {
        self.put(self.end_of(pos.offset()), 0, Item::of(text))
    }

    /// Replaces the element at `pos`; the new one is at the same position.
    pub fn replace(&mut self, pos: Pos, text: &[u8]) -> Pos {
        let old = self.end_of(pos.offset()) - pos.offset();
        self.put(pos.offset(), old, Item::of(text));
        self.shrink();
        pos
    }

    /// Appends an element that comes from another listpack.
    pub fn push_back_item(&mut self, item: Item<'_>) -> Pos {
        self.put(self.bytes() - 1, 0, item)
    }

    /// As [`Self::push_back`], for a number that is at hand.
    pub fn push_back_int(&mut self, value: i64) -> Pos {
        self.put(self.bytes() - 1, 0, Item::Int(value))
    }

    /// Puts an element in the place of the `old` bytes at `offset`, which are one element or nothing.
    fn put(&mut self, offset: usize, old: usize, item: Item<'_>) -> Pos {
        let new = Encoded::new(item);
        self.untag(offset);
        self.gap(offset, old, new.total());
        new.write(&mut self.buffer[offset..offset + new.total()]);
        if old == 0 {
            self.counted(1);
        }
        Pos::at(offset)
    }

    /// Counts elements that were added.
    fn counted(&mut self, more: u16) {
        if self.count() != MANY {
            let count = self.count().saturating_add(more);
            self.buffer[4..HEADER].copy_from_slice(&count.to_le_bytes());
        }
    }

    /// Which pairs have tags.
    fn note(&self) -> Note {
        Note::read(&self.buffer, self.bytes())
    }

    /// Forgets the tags of pairs from that at `offset` on.
    fn untag(&mut self, offset: usize) {
        let (used, note) = (self.bytes(), self.note());
        if offset < note.end {
            note.before(&self.buffer, offset).write(&mut self.buffer, used);
        }
    }

    /// Removes the element at `pos`. Returns the position of the one behind it.
    pub fn remove(&mut self, pos: Pos) -> Option<Pos> {
        self.remove_range(pos, 1)
    }

    /// Removes the element at `pos` and those behind it, `n` in all or as many as there are. Returns the position of
    /// the one behind them.
    pub fn remove_range(&mut self, pos: Pos, n: usize) -> Option<Pos> {
        let mut end = pos.offset();
        let mut removed = 0;
        while removed < n && self.buffer[end] != END {
            end = self.end_of(end);
            removed += 1;
        }
        self.untag(pos.offset());
        self.gap(pos.offset(), end - pos.offset(), 0);
        if self.count() != MANY {
            let count = self.count() - removed as u16;
            self.buffer[4..HEADER].copy_from_slice(&count.to_le_bytes());
        }
        self.shrink();
        self.pos(pos.offset())
    }

    /// Makes the `old` bytes at `offset` be `new` bytes, whose content is yet to be written.
    fn gap(&mut self, offset: usize, old: usize, new: usize) {
        let used = self.bytes();
        let total = used - old + new;
        assert!(total <= Self::FORMAT_MAX, "a listpack of {total} bytes");
        let mut note = self.note();
        let len = self.buffer.len();
        if total > len {
            let longer = size_class(total);
            note = note.within(&self.buffer, longer - total);
            reallocate(&mut self.buffer, longer);
            self.buffer.copy_within(len - note.bytes()..len, longer - note.bytes());
        } else {
            note = note.within(&self.buffer, len - total);
        }
        if old != new {
            self.buffer.copy_within(offset + old..used, offset + new);
            self.buffer[..4].copy_from_slice(&(total as u32).to_le_bytes());
            note.write(&mut self.buffer, total);
        }
    }

    /// Gives memory back, unless a few more bytes would need it again.
    fn shrink(&mut self) {
        let used = self.bytes();
        if size_class(used + used / 8) < self.buffer.len() {
            let (len, shorter) = (self.buffer.len(), size_class(used));
            let note = self.note().within(&self.buffer, shorter - used);
            self.buffer.copy_within(len - note.bytes()..len, shorter - note.bytes());
            note.write(&mut self.buffer, used);
            reallocate(&mut self.buffer, shorter);
        }
    }
}

/// Finds the first element that equals `wanted` among those at `at` and every `N` elements behind it. `used` ends with END.
///
/// Elements that have a run of equal sizes are compared without waiting for what says how large they are: the processor
/// looks at several at once, and a walk through a listpack that is not in the cache costs about one wait for memory
/// and not one for each line.
fn find<const N: usize>(
    used: &[u8],
    mut at: usize,
    wanted: &Encoded<'_>,
    probe: &Probe,
) -> Option<Pos> {
    /// What is loaded ahead of the walk, bytes.
    const AHEAD: usize = 1024;
    while let Some(group) = Group::<N>::read(used, at) {
        loop {
            prefetch(used.as_ptr().wrapping_add(at + AHEAD));
            if probe.matches(used, at) && wanted.starts(&used[at..]) {
                return Some(Pos::at(at));
            }
            at += group.size;
            if !group.repeats(used, at) {
                break;
            }
        }
    }
    None
}

/// The sizes of some elements in a row.
struct Group<const N: usize> {
    /// Of each element; 0 for a large one.
    sizes: [u8; N],
    /// The first byte of each, which says the same of an element that has it, too; END for a large one.
    firsts: [u8; N],
    /// Where each starts, from the first on.
    starts: [usize; N],
    /// Bytes of all of them.
    size: usize,
}

impl<const N: usize> Group<N> {
    /// The elements at `at`; `None` at the end. The last ones may be fewer.
    fn read(used: &[u8], at: usize) -> Option<Self> {
        if used[at] == END {
            return None;
        }
        let mut group = Self { sizes: [0; N], firsts: [END; N], starts: [0; N], size: 0 };
        for i in 0..N {
            let first = used[at + group.size];
            if first == END {
                break;
            }
            group.starts[i] = group.size;
            group.sizes[i] = SIZES[usize::from(first)];
            if group.sizes[i] != 0 {
                group.firsts[i] = first;
            }
            group.size += size_at(used, at + group.size);
        }
        Some(group)
    }

    /// Whether elements of the same sizes, all of them small, are at `at`.
    #[inline]
    fn repeats(&self, used: &[u8], at: usize) -> bool {
        (0..N).all(|i| {
            // No size is known at the end, where the last one looked at is; nor is it that of a large one.
            let first = used[at + self.starts[i]];
            let size = self.sizes[i];
            size != 0 && (first == self.firsts[i] || SIZES[usize::from(first)] == size)
        })
    }
}

/// The size of an element, the length behind it included, by its first byte; 0 where that does not tell it.
const SIZES: [u8; 256] = {
    let mut sizes = [0; 256];
    let mut first = 0;
    while first < 256 {
        sizes[first] = match first {
            0..0x80 => 2,
            0x80..0xc0 => 2 + (first as u8 & 0x3f),
            0xc0..0xe0 => 3,
            0xf1 => 4,
            0xf2 => 5,
            0xf3 => 6,
            0xf4 => 10,
            _ => 0,
        };
        first += 1;
    }
    sizes
};

/// The size of the element at `at`, the length behind it included.
#[inline]
fn size_at(used: &[u8], at: usize) -> usize {
    match SIZES[usize::from(used[at])] {
        0 => {
            let len = encoded_len(&used[at..]).expect("a position is that of an element");
            len + back_len(len)
        }
        size => size.into(),
    }
}

/// A cheap look at whether an element can be the wanted one: its first byte and the last ones, in which elements
/// that have a beginning in common differ.
struct Probe {
    first: u8,
    /// Where the last bytes are in the element.
    offset: usize,
    mask: u64,
    value: u64,
}

impl Probe {
    const BYTES: usize = 8;

    fn new(wanted: &Encoded<'_>) -> Self {
        let len = wanted.len().min(Self::BYTES);
        let mut bytes = [0; Self::BYTES];
        let (text, head) = (wanted.text, &wanted.head[..wanted.head_len]);
        let of_text = text.len().min(len);
        bytes[len - of_text..len].copy_from_slice(&text[text.len() - of_text..]);
        bytes[..len - of_text].copy_from_slice(&head[head.len() - (len - of_text)..]);
        Self {
            first: wanted.head[0],
            offset: wanted.len() - len,
            mask: u64::MAX >> (8 * (Self::BYTES - len)),
            value: u64::from_le_bytes(bytes),
        }
    }

    #[inline]
    fn matches(&self, used: &[u8], at: usize) -> bool {
        if used[at] != self.first {
            return false;
        }
        let from = at + self.offset;
        match used.get(from..from + Self::BYTES).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => u64::from_le_bytes(bytes) & self.mask == self.value,
            None => true, // too near the end for eight bytes
        }
    }
}

/// Whether `bytes` are a listpack: `Some(true)` if every element is in its shortest form.
fn check(bytes: &[u8]) -> Option<bool> {
    if bytes.len() <= HEADER || bytes.len() > Listpack::FORMAT_MAX || *bytes.last()? != END {
        return None;
    }
    let total = u32::from_le_bytes(bytes[..4].try_into().ok()?) as usize;
    let count = u16::from_le_bytes([bytes[4], bytes[5]]);
    if total != bytes.len() {
        return None;
    }
    let elements = &bytes[..total - 1];
    let (mut at, mut found, mut shortest) = (HEADER, 0_usize, true);
    while at < elements.len() {
        let len = encoded_len(&elements[at..])?;
        let element = elements.get(at..at.checked_add(len)?)?;
        let end = at + len + back_len(len);
        if end > elements.len() || read_back(elements, end)? != len {
            return None;
        }
        let mut buffer = [0; MAX_LEN];
        let wanted = Encoded::new(Item::of(decode(element).text(&mut buffer)));
        shortest &= wanted.len() == len && wanted.starts(element);
        found += 1;
        at = end;
    }
    (count == MANY || usize::from(count) == found).then_some(shortest)
}

/// Elements from a position on.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    listpack: &'a Listpack,
    at: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let buffer = &self.listpack.buffer[self.at..];
        if buffer[0] == END {
            return None;
        }
        let len = encoded_len(buffer).expect("positions are those of elements");
        self.at += len + back_len(len);
        Some(decode(&buffer[..len]))
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = Item<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

#[cfg(test)]
#[path = "listpack_tests.rs"]
mod tests;
