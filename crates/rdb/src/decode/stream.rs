//! Streams, of all three versions: nodes of entries, then what is known of the whole, then the groups.

use std::collections::BTreeMap;

use respire_datatypes::listpack::{Item, Iter};
use respire_datatypes::stream::{Group, NodeBuilder, Pending, Stream, StreamId};

use super::listpack;
use crate::cursor::Cursor;
use crate::error::RdbError;
use crate::format::{kind, stream_flag};

const CORRUPT: RdbError = RdbError::Corrupt("Stream listpack");

pub(super) fn decode(cursor: &mut Cursor<'_>, kind: u8) -> Result<Stream, RdbError> {
    let mut stream = Stream::new();
    let mut entries = EntryReader::default();
    for _ in 0..cursor.length()? {
        let first = cursor.bytes()?;
        let first = raw_id(&first[..].try_into().map_err(|_| CORRUPT)?);
        let pack = listpack(&cursor.bytes()?, "Stream listpack")?;
        let node = entries.read_node(first, pack.iter())?;
        stream.push_node(node).map_err(|_| CORRUPT)?;
    }
    let len = cursor.length()?;
    let last_id = id(cursor)?;
    if len != stream.len() as u64 || last_id < stream.last_id() {
        return Err(CORRUPT);
    }
    stream.set_last_id(last_id);
    if kind == kind::STREAM {
        stream.set_added(len);
    } else {
        // The first id is where the entries start.
        id(cursor)?;
        stream.set_max_deleted(id(cursor)?);
        stream.set_added(cursor.length()?);
    }
    for _ in 0..cursor.length()? {
        let name = cursor.bytes()?;
        let group = group(cursor, kind, &stream)?;
        if !stream.add_group(&name, group) {
            return Err(CORRUPT);
        }
    }
    Ok(stream)
}

fn id(cursor: &mut Cursor<'_>) -> Result<StreamId, RdbError> {
    Ok(StreamId { ms: cursor.length()?, seq: cursor.length()? })
}

fn raw_id(raw: &[u8; 16]) -> StreamId {
    let number = u128::from_be_bytes(*raw);
    StreamId { ms: (number >> 64) as u64, seq: number as u64 }
}

/// Texts of an entry, kept together.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, item: Item<'_>) {
        item.write_to(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, i: usize) -> &[u8] {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[i]]
    }
}

#[derive(Default)]
struct EntryReader {
    names: Texts,
    texts: Texts,
}

fn number(items: &mut Iter<'_>) -> Result<i64, RdbError> {
    match items.next() {
        Some(Item::Int(value)) => Ok(value),
        _ => Err(CORRUPT),
    }
}

fn texts(items: &mut Iter<'_>, count: i64, texts: &mut Texts) -> Result<(), RdbError> {
    texts.clear();
    for _ in 0..u64::try_from(count).map_err(|_| CORRUPT)? {
        texts.push(items.next().ok_or(CORRUPT)?);
    }
    Ok(())
}

impl EntryReader {
    fn read_node(&mut self, first: StreamId, mut items: Iter<'_>) -> Result<NodeBuilder, RdbError> {
        let items = &mut items;
        let (live, deleted) = (number(items)?, number(items)?);
        let count = number(items)?;
        texts(items, count, &mut self.names)?;
        if number(items)? != 0 {
            return Err(CORRUPT);
        }
        let mut node = NodeBuilder::default();
        let mut found = [0, 0];
        while let Some(flags) = items.next() {
            let Item::Int(flags) = flags else { return Err(CORRUPT) };
            let is_deleted = flags & stream_flag::DELETED != 0;
            let id = StreamId {
                ms: first.ms.wrapping_add(number(items)? as u64),
                seq: first.seq.wrapping_add(number(items)? as u64),
            };
            if id == StreamId::MIN {
                return Err(CORRUPT);
            }
            self.read_fields(items, flags)?;
            let (names, texts) = (&self.names, &self.texts);
            let added = if flags & stream_flag::SAME_NAMES != 0 {
                let fields = (0..names.len()).flat_map(|i| [names.get(i), texts.get(i)]);
                node.append(id, fields, is_deleted)
            } else {
                node.append(id, (0..texts.len()).map(|i| texts.get(i)), is_deleted)
            };
            added.map_err(|_| CORRUPT)?;
            found[usize::from(is_deleted)] += 1;
        }
        if found == [live, deleted] { Ok(node) } else { Err(CORRUPT) }
    }

    /// The fields of an entry, and behind them how many elements it has.
    fn read_fields(&mut self, items: &mut Iter<'_>, flags: i64) -> Result<(), RdbError> {
        let elements = if flags & stream_flag::SAME_NAMES != 0 {
            let count = self.names.len() as i64;
            texts(items, count, &mut self.texts)?;
            count + 3
        } else {
            let count = number(items)?;
            let twice = count.checked_mul(2).ok_or(CORRUPT)?;
            texts(items, twice, &mut self.texts)?;
            twice + 4
        };
        if number(items)? == elements { Ok(()) } else { Err(CORRUPT) }
    }
}

fn group(cursor: &mut Cursor<'_>, kind: u8, stream: &Stream) -> Result<Group, RdbError> {
    let last_id = id(cursor)?;
    let read = if kind == kind::STREAM {
        stream.added_up_to(last_id)
    } else {
        Some(cursor.length()?).filter(|read| *read != u64::MAX)
    };
    let mut group = Group::new(last_id, read);
    // What is pending comes without the consumers, and then their shares of it.
    let mut pending = BTreeMap::new();
    for _ in 0..cursor.length()? {
        let entry = raw_id(&cursor.array()?);
        let delivered = (cursor.i64()?, cursor.length()?);
        if pending.insert(entry, delivered).is_some() {
            return Err(CORRUPT);
        }
    }
    for _ in 0..cursor.length()? {
        let name = cursor.bytes()?;
        if group.find_consumer(&name).is_some() {
            return Err(RdbError::Corrupt("Stream: Duplicate stream consumer detected"));
        }
        let seen_ms = cursor.i64()?;
        let consumer = group.add_consumer(&name, seen_ms);
        let active_ms = if kind == kind::STREAM_3 { cursor.i64()? } else { seen_ms };
        group.consumer_mut(consumer).active_ms = Some(active_ms).filter(|at| *at != -1);
        for _ in 0..cursor.length()? {
            let entry = raw_id(&cursor.array()?);
            let (delivered_ms, deliveries) = pending.remove(&entry).ok_or(CORRUPT)?;
            group.set_pending(entry, Pending { consumer, delivered_ms, deliveries });
        }
    }
    // What is left is pending with nobody.
    if pending.is_empty() { Ok(group) } else { Err(CORRUPT) }
}
