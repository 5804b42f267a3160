//! Values, in the form that redis-server 7.0 writes for the same value, byte for byte where that is given by the value.

use respire_datatypes::collection::Collection;
use respire_datatypes::hashes::{Form, Hash};
use respire_datatypes::list::{List, Node};
use respire_datatypes::listpack::Listpack;
use respire_datatypes::set::Set;
use respire_datatypes::stream::{self, Group, Stream, StreamId};
use respire_datatypes::zset::ZSet;

use crate::ValueRef;
use crate::format::{VERSION, VERSION_FIELD_EXPIRY, container, kind, stream_flag};
use crate::write::{Options, int, item, length, string};

/// The version of a file that has this value in it.
pub fn needs_version(value: ValueRef<'_>) -> u16 {
    match value {
        ValueRef::Collection(Collection::Hash(hash)) if is_timed(hash) => VERSION_FIELD_EXPIRY,
        _ => VERSION,
    }
}

/// Whether the form of hashes with expiries is needed.
fn is_timed(hash: &Hash) -> bool {
    match hash.form() {
        Form::Pack(_) => false,
        Form::Timed(_) => true,
        Form::Table => hash.next_due().is_some(),
    }
}

/// Appends a value and returns its kind.
pub(crate) fn put_value(out: &mut Vec<u8>, value: ValueRef<'_>, options: Options) -> u8 {
    match value {
        ValueRef::Int(value) => {
            int(out, value);
            kind::STRING
        }
        ValueRef::Bytes(text) => {
            string(out, text, options);
            kind::STRING
        }
        ValueRef::Collection(collection) => match collection {
            Collection::List(list) => put_list(out, list, options),
            Collection::Set(set) => put_set(out, set, options),
            Collection::Hash(hash) => put_hash(out, hash, options),
            Collection::ZSet(zset) => put_zset(out, zset, options),
            Collection::Stream(stream) => put_stream(out, stream, options),
        },
    }
}

fn put_list(out: &mut Vec<u8>, list: &List, options: Options) -> u8 {
    /// What does not fit a listpack is a node of its own, as it is.
    const MAX_PACKED: usize = 1 << 30;
    length(out, list.nodes() as u64);
    let mut listpack = Vec::new();
    list.for_each_node(|node| {
        let mut large = Listpack::new();
        let (elements, count) = match node {
            Node::Packed { elements, count } => (elements, count),
            Node::Large(text) if text.len() < MAX_PACKED - 16 => {
                large.push_back(text);
                length(out, container::PACKED);
                return string(out, large.as_bytes(), options);
            }
            Node::Large(text) => {
                length(out, container::PLAIN);
                return string(out, text, options);
            }
        };
        listpack.clear();
        listpack.extend_from_slice(&(elements.len() as u32 + 7).to_le_bytes());
        listpack.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
        listpack.extend_from_slice(elements);
        listpack.push(0xff);
        length(out, container::PACKED);
        string(out, &listpack, options);
    });
    kind::LIST_QUICKLIST_2
}

fn put_set(out: &mut Vec<u8>, set: &Set, options: Options) -> u8 {
    if let Some(ints) = set.as_intset() {
        string(out, ints.as_bytes(), options);
        return kind::SET_INTSET;
    }
    length(out, set.len() as u64);
    set.each(|member| item(out, member, options));
    kind::SET
}

fn put_zset(out: &mut Vec<u8>, zset: &ZSet, options: Options) -> u8 {
    if let Some(pack) = zset.as_listpack() {
        string(out, pack.as_bytes(), options);
        return kind::ZSET_LISTPACK;
    }
    length(out, zset.len() as u64);
    for (member, score) in zset.iter().rev() {
        item(out, member, options);
        out.extend_from_slice(&score.to_le_bytes());
    }
    kind::ZSET_2
}

fn put_hash(out: &mut Vec<u8>, hash: &Hash, options: Options) -> u8 {
    // The earliest expiry comes first, 0 for none; those of the fields are told from it.
    let min = hash.next_due();
    match hash.form() {
        Form::Pack(pack) => {
            string(out, pack.as_bytes(), options);
            kind::HASH_LISTPACK
        }
        Form::Timed(pack) => {
            out.extend_from_slice(&min.unwrap_or(0).to_le_bytes());
            string(out, pack.as_bytes(), options);
            kind::HASH_LISTPACK_EX
        }
        Form::Table => {
            if let Some(min) = min {
                out.extend_from_slice(&min.to_le_bytes());
            }
            length(out, hash.len() as u64);
            hash.each_field(|field, value, expiry| {
                if let Some(min) = min {
                    length(out, expiry.map_or(0, |at| (at - min) as u64 + 1));
                }
                item(out, field, options);
                item(out, value, options);
            });
            if min.is_some() { kind::HASH_META } else { kind::HASH }
        }
    }
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    length(out, id.ms);
    length(out, id.seq);
}

/// An id as a key that sorts as it does.
fn raw_id(id: StreamId) -> [u8; 16] {
    let mut raw = [0; 16];
    raw[..8].copy_from_slice(&id.ms.to_be_bytes());
    raw[8..].copy_from_slice(&id.seq.to_be_bytes());
    raw
}

fn put_stream(out: &mut Vec<u8>, stream: &Stream, options: Options) -> u8 {
    length(out, stream.blocks() as u64);
    stream.for_each_node(|node| {
        string(out, &raw_id(node.first_id()), options);
        string(out, node_listpack(node).as_bytes(), options);
    });
    length(out, stream.len() as u64);
    put_id(out, stream.last_id());
    put_id(out, stream.first_id());
    put_id(out, stream.max_deleted());
    length(out, stream.added());
    length(out, stream.groups().len() as u64);
    for (name, group) in stream.groups() {
        string(out, name, options);
        put_id(out, group.last_id);
        length(out, group.entries_read.unwrap_or(u64::MAX));
        put_pending(out, group, options);
    }
    kind::STREAM_2
}

fn put_pending(out: &mut Vec<u8>, group: &Group, options: Options) {
    length(out, group.pending().len() as u64);
    for (id, pending) in group.pending() {
        out.extend_from_slice(&raw_id(*id));
        out.extend_from_slice(&pending.delivered_ms.to_le_bytes());
        length(out, pending.deliveries);
    }
    length(out, group.consumers().len() as u64);
    for consumer in group.consumers() {
        string(out, consumer.name(), options);
        out.extend_from_slice(&consumer.seen_ms.to_le_bytes());
        length(out, consumer.pending().len() as u64);
        for id in consumer.pending() {
            out.extend_from_slice(&raw_id(*id));
        }
    }
}

/// A node as a listpack: counts and the names of the first entry, then the entries, each with its number of elements at
/// its end.
fn node_listpack(node: stream::Node<'_>) -> Listpack {
    let mut pack = Listpack::new();
    pack.push_back_int(node.len() as i64);
    pack.push_back_int(node.deleted() as i64);
    pack.push_back_int(node.names().len() as i64);
    for name in node.names() {
        pack.push_back_item(name);
    }
    pack.push_back_int(0);
    let first = node.first_id();
    for found in node.entries() {
        let (entry, count) = (found.entry, found.entry.len() as i64);
        let mut flags = 0;
        if found.deleted {
            flags |= stream_flag::DELETED;
        }
        if found.same_names {
            flags |= stream_flag::SAME_NAMES;
        }
        pack.push_back_int(flags);
        pack.push_back_int(entry.id.ms.wrapping_sub(first.ms) as i64);
        pack.push_back_int(entry.id.seq.wrapping_sub(first.seq) as i64);
        let elements = if found.same_names {
            for (_, value) in entry.fields() {
                pack.push_back_item(value);
            }
            count + 3
        } else {
            pack.push_back_int(count);
            for (name, value) in entry.fields() {
                pack.push_back_item(name);
                pack.push_back_item(value);
            }
            2 * count + 4
        };
        pack.push_back_int(elements);
    }
    pack
}
