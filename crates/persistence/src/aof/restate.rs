//! Says an entry again in requests that make it, for bases of the log that are not in the RDB format.
//!
//! A request has at most [`PER_REQUEST`] elements, so that nobody has to hold a large collection twice to read it. What
//! requests can't say (an entry that a group still waits for and the stream has lost) is restored as DUMP has it.

use std::ops::ControlFlow;

use respire_datatypes::collection::Collection;
use respire_datatypes::float::{format_f64, format_g17};
use respire_datatypes::hashes::Hash;
use respire_datatypes::list::List;
use respire_datatypes::listpack::Item;
use respire_datatypes::stream::{Group, Stream, StreamId};
use respire_journal::request;
use respire_rdb::ValueRef;
use respire_rdb::write::Options;

/// Elements that one request adds.
const PER_REQUEST: usize = 64;

/// Requests on their way to the file.
struct Requests<'a> {
    out: &'a mut Vec<u8>,
    key: &'a [u8],
}

impl Requests<'_> {
    fn put(&mut self, parts: &[&[u8]]) {
        request(self.out, parts.iter().copied());
    }
}

/// A request that gets its elements one after the other, and is followed by more of its kind.
struct Adding<'r, 'a> {
    requests: &'r mut Requests<'a>,
    command: &'static [u8],
    parts: Vec<Vec<u8>>,
    elements: usize,
}

impl<'r, 'a> Adding<'r, 'a> {
    fn new(requests: &'r mut Requests<'a>, command: &'static [u8]) -> Self {
        Self { requests, command, parts: Vec::new(), elements: 0 }
    }

    fn add(&mut self, parts: impl IntoIterator<Item = Vec<u8>>) {
        self.parts.extend(parts);
        self.elements += 1;
        if self.elements == PER_REQUEST {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.elements > 0 {
            let mut all = vec![self.command, self.requests.key];
            all.extend(self.parts.iter().map(Vec::as_slice));
            request(self.requests.out, all.into_iter());
        }
        self.parts.clear();
        self.elements = 0;
    }
}

/// What follows is in this database.
pub(crate) fn select(out: &mut Vec<u8>, db: usize) {
    request(out, [b"SELECT".as_slice(), db.to_string().as_bytes()].into_iter());
}

/// A library of functions.
pub(crate) fn function(out: &mut Vec<u8>, code: &[u8]) {
    request(out, [b"FUNCTION".as_slice(), b"LOAD", code].into_iter());
}

/// A key with its value and its expiry, Unix milliseconds.
pub(crate) fn entry(out: &mut Vec<u8>, key: &[u8], value: ValueRef<'_>, expire: Option<i64>) {
    let mut requests = Requests { out, key };
    match value {
        ValueRef::Int(value) => requests.put(&[b"SET", key, value.to_string().as_bytes()]),
        ValueRef::Bytes(text) => requests.put(&[b"SET", key, text]),
        ValueRef::Collection(collection) => self::collection(&mut requests, collection),
    }
    if let Some(at) = expire {
        requests.put(&[b"PEXPIREAT", key, at.to_string().as_bytes()]);
    }
}

fn collection(requests: &mut Requests<'_>, collection: &Collection) {
    match collection {
        Collection::List(list) => self::list(requests, list),
        Collection::Hash(hash) => self::hash(requests, hash),
        Collection::Set(set) => {
            let mut adding = Adding::new(requests, b"SADD");
            set.each(|member| adding.add([member.with_bytes(<[u8]>::to_vec)]));
            adding.end();
        }
        Collection::ZSet(set) => {
            let mut adding = Adding::new(requests, b"ZADD");
            for (member, score) in set.iter() {
                let score = if score.is_finite() { format_g17(score) } else { format_f64(score) };
                adding.add([score.into_bytes(), text(member)]);
            }
            adding.end();
        }
        Collection::Stream(stream) if stream.groups().any(|(_, group)| has_lost(stream, group)) => {
            let payload =
                respire_rdb::dump(ValueRef::Collection(collection), Options { compress: true });
            requests.put(&[b"RESTORE", requests.key, b"0", &payload]);
        }
        Collection::Stream(stream) => self::stream(requests, stream),
    }
}

fn text(item: Item<'_>) -> Vec<u8> {
    item.with_bytes(<[u8]>::to_vec)
}

fn list(requests: &mut Requests<'_>, list: &List) {
    let mut adding = Adding::new(requests, b"RPUSH");
    list.for_each(0, |element| {
        adding.add([element.to_vec()]);
        ControlFlow::Continue(())
    });
    adding.end();
}

fn hash(requests: &mut Requests<'_>, hash: &Hash) {
    let mut timed = Vec::new();
    let mut adding = Adding::new(requests, b"HMSET");
    hash.each_field(|field, value, expiry| {
        let field = text(field);
        if let Some(at) = expiry {
            timed.push((field.clone(), at));
        }
        adding.add([field, text(value)]);
    });
    adding.end();
    for (field, at) in timed {
        let at = at.to_string();
        requests.put(&[b"HPEXPIREAT", requests.key, at.as_bytes(), b"FIELDS", b"1", &field]);
    }
}

fn id_text(id: StreamId) -> Vec<u8> {
    id.format(&mut [0; StreamId::MAX_TEXT]).to_vec()
}

/// Whether a group waits for entries that the stream does not have any more.
fn has_lost(stream: &Stream, group: &Group) -> bool {
    group.pending().keys().any(|id| !stream.contains(*id))
}

fn stream(requests: &mut Requests<'_>, stream: &Stream) {
    let key = requests.key;
    if stream.is_empty() {
        // An entry that is trimmed away at once leaves the empty stream; no id is smaller.
        requests.put(&[b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"]);
    }
    stream.for_each(StreamId::MIN, StreamId::MAX, |entry| {
        let mut parts = vec![b"XADD".to_vec(), key.to_vec(), id_text(entry.id)];
        parts.extend(entry.fields().flat_map(|(name, value)| [text(name), text(value)]));
        request(requests.out, parts.iter().map(Vec::as_slice));
        ControlFlow::Continue(())
    });
    requests.put(&[
        b"XSETID",
        key,
        &id_text(stream.last_id()),
        b"ENTRIESADDED",
        stream.added().to_string().as_bytes(),
        b"MAXDELETEDID",
        &id_text(stream.max_deleted()),
    ]);
    for (name, group) in stream.groups() {
        self::group(requests, name, group);
    }
}

fn group(requests: &mut Requests<'_>, name: &[u8], group: &Group) {
    let key = requests.key;
    let read = group.entries_read.map_or_else(|| "-1".to_owned(), |read| read.to_string());
    let last = id_text(group.last_id);
    requests.put(&[b"XGROUP", b"CREATE", key, name, &last, b"ENTRIESREAD", read.as_bytes()]);
    for consumer in group.consumers() {
        requests.put(&[b"XGROUP", b"CREATECONSUMER", key, name, consumer.name()]);
    }
    for (id, pending) in group.pending() {
        requests.put(&[
            b"XCLAIM",
            key,
            name,
            group.consumer(pending.consumer).name(),
            b"0",
            &id_text(*id),
            b"TIME",
            pending.delivered_ms.to_string().as_bytes(),
            b"RETRYCOUNT",
            pending.deliveries.to_string().as_bytes(),
            b"JUSTID",
            b"FORCE",
        ]);
    }
}
