//! A block of a stream: some entries one behind the other in one allocation, or two once it is full.
//!
//! ```text
//! names of the fields of the first entry: count, text*
//! entry: flags | milliseconds since the entry before (if flagged) | sequence (if flagged) | fields
//! fields: values, if the names are those of the first entry; else count, (name, value)*
//! ```
//!
//! An entry of the same millisecond as the one before stores how far its sequence is from the next one; any other
//! stores its sequence. Numbers and texts are those of `codec`. Deleted entries stay, flagged, until no entry of
//! the block is left. The sizes that an allocator hands out lie up to a quarter apart; a full block is cut, between two
//! entries, into a part that fills one of them and a small rest, where that saves memory. Invariant: the ids of the entries are in ascending order, between `first` and `last`.

use super::StreamId;
use super::codec::{item, put_item, put_varint, skip, varint};
use crate::buffer::{size_class, size_class_below};
use crate::listpack::{Encoded, Item};
use crate::sequence::Counted;
use crate::table::prefetch;

const DELETED: u8 = 1;
const SAME_NAMES: u8 = 2;
const HAS_MS: u8 = 4;
const HAS_SEQ: u8 = 8;

#[derive(Clone)]
pub(super) struct Block {
    bytes: Vec<u8>,
    rest: Rest,
    /// The id of the first entry that was ever in it.
    pub(super) first: StreamId,
    /// The id of the last one, deleted or not.
    pub(super) last: StreamId,
    live: u32,
    deleted: u32,
}

/// What comes behind `bytes`, and how large Redis's encoding of the block is, the two counts in its head aside:
/// `stream-node-max-bytes` is about that, and where a block ends shows in approximate trimming.
#[derive(Clone)]
enum Rest {
    /// Nothing yet.
    Open {
        /// Where the last entry starts that reaches beyond what the allocator has a size for: where a full block is
        /// cut; 0 for nowhere.
        cut: u32,
        model: u32,
    },
    /// Whole entries, and then the bytes of Redis's encoding, a little-endian `u32`.
    Cut(Box<[u8]>),
}

/// Bytes behind the entries of a rest.
const MODEL: usize = size_of::<u32>();

impl Counted for Block {
    fn count(&self) -> usize {
        self.live as usize
    }
}

/// An entry that is not deleted.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub id: StreamId,
    /// The names, if they are those of the block's first entry; else they are among the values.
    names: Option<&'a [u8]>,
    values: &'a [u8],
    len: usize,
}

/// The fields of an entry: names and values.
#[derive(Clone)]
pub struct Fields<'a> {
    names: Option<&'a [u8]>,
    values: &'a [u8],
    left: usize,
}

impl<'a> Entry<'a> {
    /// Whether its fields have the names of the first entry of its block.
    pub(super) fn has_same_names(&self) -> bool {
        self.names.is_some()
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn fields(&self) -> Fields<'a> {
        Fields { names: self.names, values: self.values, left: self.len }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = next_item(self.names.as_mut().unwrap_or(&mut self.values));
        Some((name, next_item(&mut self.values)))
    }
}

#[inline]
fn next_item<'a>(bytes: &mut &'a [u8]) -> Item<'a> {
    let mut at = 0;
    let item = item(bytes, &mut at);
    *bytes = &bytes[at..];
    item
}

/// Bytes of a number in Redis's encoding.
fn model_of_int(value: u64) -> usize {
    Encoded::new(Item::Int(value as i64)).total()
}

fn clip(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Block {
    /// An empty block whose first entry will have the id `first` and the names of `fields`, an alternation of names and
    /// values.
    pub(super) fn new<'a>(first: StreamId, fields: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut names = Vec::new();
        // Head, end and the mark behind the names.
        let mut model = 7 + 2;
        let mut count = 0;
        for name in fields.step_by(2) {
            let name = Item::of(name);
            put_item(&mut names, name);
            model += Encoded::new(name).total();
            count += 1;
        }
        model += model_of_int(count);
        let mut bytes = Vec::with_capacity(size_class(names.len() + 16));
        put_varint(&mut bytes, count);
        bytes.extend_from_slice(&names);
        let rest = Rest::Open { cut: 0, model: clip(model) };
        Self { bytes, rest, first, last: first, live: 0, deleted: 0 }
    }

    /// Begins to load the names, and the place of the next entry, into the cache.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(self.bytes.as_ptr());
        prefetch(self.bytes.as_ptr().wrapping_add(self.bytes.len()));
        prefetch(self.bytes.as_ptr().wrapping_add(self.bytes.len() + 48));
    }

    /// Entries, those that are deleted included.
    pub(super) fn entries(&self) -> u64 {
        u64::from(self.live) + u64::from(self.deleted)
    }

    /// Bytes in Redis's encoding.
    pub(super) fn model_bytes(&self) -> usize {
        let counts = model_of_int(self.live.into()) + model_of_int(self.deleted.into());
        self.model() as usize + counts
    }

    /// Whether the fields have the names that the block keeps.
    fn has_names<'a>(&self, fields: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut at = 0;
        let count = varint(&self.bytes, &mut at);
        let mut matched = 0;
        for name in fields.step_by(2) {
            if matched == count || !item(&self.bytes, &mut at).eq_bytes(name) {
                return false;
            }
            matched += 1;
        }
        matched == count
    }

    /// Appends an entry, with an id beyond `last`, or `first` if it is the first one. The block must have been found to
    /// have room: see `MAX_BYTES`.
    pub(super) fn append<'a>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = &'a [u8]> + Clone,
    ) {
        let names = self.has_names(fields.clone());
        let (cut, before) = self.open();
        self.make_room(fields.clone());
        let start = self.bytes.len();
        let mut flags = if names { SAME_NAMES } else { 0 };
        self.bytes.push(0);
        if self.entries() == 0 {
            debug_assert_eq!(id, self.first);
        } else if id.ms != self.last.ms {
            flags |= HAS_MS;
            put_varint(&mut self.bytes, id.ms - self.last.ms);
            if id.seq != 0 {
                flags |= HAS_SEQ;
                put_varint(&mut self.bytes, id.seq);
            }
        } else if id.seq - self.last.seq > 1 {
            flags |= HAS_SEQ;
            put_varint(&mut self.bytes, id.seq - self.last.seq - 1);
        }
        self.bytes[start] = flags;
        let mut model = 2 + model_of_int(id.ms - self.first.ms);
        model += model_of_int(id.seq.wrapping_sub(self.first.seq));
        let count = fields.clone().count() as u64 / 2;
        if names {
            for value in fields.skip(1).step_by(2) {
                model += self.put(value);
            }
            model += model_of_int(count + 3);
        } else {
            put_varint(&mut self.bytes, count);
            for text in fields {
                model += self.put(text);
            }
            model += model_of_int(count) + model_of_int(2 * count + 4);
        }
        let cut = if size_class_below(self.bytes.len()) >= start { clip(start) } else { cut };
        self.rest = Rest::Open { cut, model: before.saturating_add(clip(model)) };
        self.last = id;
        self.live += 1;
    }

    /// Appends a text. Returns its bytes in Redis's encoding.
    fn put(&mut self, text: &[u8]) -> usize {
        let item = Item::of(text);
        put_item(&mut self.bytes, item);
        Encoded::new(item).total()
    }

    /// Grows by more than is needed, so that appending seldom moves the block.
    fn make_room<'a>(&mut self, fields: impl Iterator<Item = &'a [u8]>) {
        let most: usize = fields.map(|text| text.len() + 11).sum::<usize>() + 31;
        let needed = self.bytes.len() + most;
        if needed > self.bytes.capacity() {
            let wanted = size_class(needed + needed / 2);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
    }

    /// As [`Self::append`], for an entry that may have been deleted since.
    pub(super) fn append_old<'a>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = &'a [u8]> + Clone,
        deleted: bool,
    ) {
        self.open();
        let at = self.bytes.len();
        self.append(id, fields);
        if deleted {
            self.flag_deleted(at);
        }
    }

    /// Entries that are deleted.
    pub(super) fn deleted(&self) -> u64 {
        self.deleted.into()
    }

    /// The names of the first entry's fields.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = Item<'_>> {
        let mut at = 0;
        let count = varint(&self.bytes, &mut at) as usize;
        (0..count).map(move |_| item(&self.bytes, &mut at))
    }

    /// Gives back the room for more entries.
    pub(super) fn seal(&mut self) {
        /// Saving less is not worth another allocation.
        const WORTHWHILE: usize = 48;
        if let Rest::Open { cut: cut @ 1.., model } = self.rest {
            let (len, cut) = (self.bytes.len(), cut as usize);
            let rest = len - cut + MODEL;
            if size_class(cut) + size_class(rest) + WORTHWHILE <= size_class(len) {
                let rest = [&self.bytes[cut..], &model.to_le_bytes()].concat();
                self.rest = Rest::Cut(rest.into());
                self.bytes.truncate(cut);
            }
        }
        self.bytes.shrink_to_fit();
    }

    /// Joins the parts of a block that was full, for more entries. Returns what [`Rest::Open`] tells.
    fn open(&mut self) -> (u32, u32) {
        match &self.rest {
            Rest::Open { cut, model } => (*cut, *model),
            Rest::Cut(_) => {
                let model = self.model();
                let rest = std::mem::replace(&mut self.rest, Rest::Open { cut: 0, model });
                if let Rest::Cut(rest) = rest {
                    self.bytes.extend_from_slice(&rest[..rest.len() - MODEL]);
                }
                (0, model)
            }
        }
    }

    fn model(&self) -> u32 {
        match &self.rest {
            Rest::Open { model, .. } => *model,
            Rest::Cut(rest) => {
                let model = rest.last_chunk().expect("it ends with it");
                u32::from_le_bytes(*model)
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.rest, Rest::Cut(_))
    }

    /// The bytes behind `bytes`.
    #[inline]
    fn rest(&self) -> &[u8] {
        match &self.rest {
            Rest::Open { .. } => &[],
            Rest::Cut(rest) => &rest[..rest.len() - MODEL],
        }
    }

    pub(super) fn memory(&self) -> usize {
        let rest = match &self.rest {
            Rest::Open { .. } => 0,
            Rest::Cut(rest) => rest.len(),
        };
        size_class(self.bytes.capacity()) + size_class(rest)
    }

    /// The entries that are not deleted, in order.
    pub(super) fn iter(&self) -> Entries<'_> {
        let (bytes, mut at) = (&self.bytes[..], 0);
        let len = varint(bytes, &mut at) as usize;
        let start = at;
        (0..len).for_each(|_| skip(bytes, &mut at));
        Entries { block: self, names: &bytes[start..at], len, at, id: None, flags_at: 0 }
    }

    /// Deletes the entries from the front on, as long as `gone` says so of an id and the number of entries that were
    /// deleted before it. Returns how many were.
    pub(super) fn delete_front(&mut self, mut gone: impl FnMut(StreamId, u64) -> bool) -> u64 {
        let mut entries = self.iter();
        let mut flagged = Vec::new();
        while let Some(entry) = entries.next() {
            if !gone(entry.id, flagged.len() as u64) {
                break;
            }
            flagged.push(entries.flags_at);
        }
        for at in &flagged {
            self.flag_deleted(*at);
        }
        flagged.len() as u64
    }

    /// Deletes an entry. Returns whether it was there.
    pub(super) fn delete(&mut self, id: StreamId) -> bool {
        let mut entries = self.iter();
        let found = entries.find(|entry| entry.id >= id).is_some_and(|entry| entry.id == id);
        let at = entries.flags_at;
        if found {
            self.flag_deleted(at);
        }
        found
    }

    fn flag_deleted(&mut self, at: usize) {
        let flags = match (at.checked_sub(self.bytes.len()), &mut self.rest) {
            (Some(at), Rest::Cut(rest)) => &mut rest[at],
            _ => &mut self.bytes[at],
        };
        *flags |= DELETED;
        self.live -= 1;
        self.deleted += 1;
    }
}

pub(super) struct Entries<'a> {
    block: &'a Block,
    /// The names of the first entry's fields, and how many they are.
    names: &'a [u8],
    len: usize,
    at: usize,
    /// The id of the entry before.
    id: Option<StreamId>,
    /// Where the flags of the entry before are.
    flags_at: usize,
}

impl<'a> Entries<'a> {
    /// The next entry, and whether it is deleted.
    #[inline]
    pub(super) fn any(&mut self) -> Option<(Entry<'a>, bool)> {
        let whole = &self.block.bytes[..];
        let (bytes, before) = match self.at.checked_sub(whole.len()) {
            None => (whole, 0),
            Some(at) if at == self.block.rest().len() => return None,
            Some(_) => (self.block.rest(), whole.len()),
        };
        self.flags_at = self.at;
        let mut at = self.at - before;
        let flags = bytes[at];
        at += 1;
        let id = match self.id {
            None => self.block.first,
            Some(before) if flags & HAS_MS != 0 => {
                let ms = before.ms + varint(bytes, &mut at);
                let seq = if flags & HAS_SEQ != 0 { varint(bytes, &mut at) } else { 0 };
                StreamId { ms, seq }
            }
            Some(before) => {
                let gap = if flags & HAS_SEQ != 0 { varint(bytes, &mut at) } else { 0 };
                StreamId { ms: before.ms, seq: before.seq + gap + 1 }
            }
        };
        self.id = Some(id);
        let (names, len) = if flags & SAME_NAMES != 0 {
            (Some(self.names), self.len)
        } else {
            (None, varint(bytes, &mut at) as usize)
        };
        let start = at;
        for _ in 0..if names.is_some() { len } else { 2 * len } {
            skip(bytes, &mut at);
        }
        self.at = before + at;
        Some((Entry { id, names, values: &bytes[start..at], len }, flags & DELETED != 0))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let (entry, false) = self.any()? {
                return Some(entry);
            }
        }
    }
}
