//! What the tests of the codec share: values of all types, what is seen of a value, and bytes in all encodings, old ones
//! included, made from what is known of the format.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::ops::ControlFlow;

use respire_datatypes::collection::Collection;
use respire_datatypes::hash::Hasher;
use respire_datatypes::hashes::{FieldTtl, Hash, HashLimits};
use respire_datatypes::list::{End, List, NewElement};
use respire_datatypes::listpack::Listpack;
use respire_datatypes::set::Set;
use respire_datatypes::stream::{Group, Pending, Stream, StreamId, StreamLimits};
use respire_datatypes::zset::ZSet;
use respire_rdb::{DecodeOptions, Loaded, ValueRef};

/// The seed of a random test: printed if the test fails, taken from `RESPIRE_SEED` to replay it.
pub struct Seed(pub u64);

impl Seed {
    pub fn new() -> Self {
        let given = std::env::var("RESPIRE_SEED").ok();
        Self(given.map_or_else(
            || fastrand::u64(..),
            |text| text.parse().unwrap_or_else(|_| panic!("RESPIRE_SEED is no number: {text}")),
        ))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with RESPIRE_SEED={}", self.0);
        }
    }
}

/// How much longer than usual the random tests run: `RESPIRE_FUZZ`, 1 by default.
pub fn effort() -> usize {
    std::env::var("RESPIRE_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

pub fn hasher() -> Hasher {
    Hasher::new([1, 2, 3, 4])
}

/// Everything that clients can see of a value, in an order that is given by the value.
pub fn describe(value: ValueRef<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    match value {
        ValueRef::Int(value) => lines.push(format!("{:?}", value.to_string())),
        ValueRef::Bytes(text) => lines.push(shown(text)),
        ValueRef::Collection(Collection::List(list)) => list.for_each(0, |element| {
            lines.push(shown(&element.to_vec()));
            ControlFlow::Continue(())
        }),
        ValueRef::Collection(Collection::Set(set)) => {
            set.each(|member| lines.push(shown(&member.to_vec())));
            lines.sort_unstable();
        }
        ValueRef::Collection(Collection::Hash(hash)) => {
            hash.each_field(|field, value, expiry| {
                let (field, value) = (shown(&field.to_vec()), shown(&value.to_vec()));
                lines.push(format!("{field}={value} {expiry:?}"));
            });
            lines.sort_unstable();
        }
        ValueRef::Collection(Collection::ZSet(zset)) => {
            lines.extend(zset.iter().map(|(m, score)| format!("{} {score:?}", shown(&m.to_vec()))));
        }
        ValueRef::Collection(Collection::Stream(stream)) => describe_stream(stream, &mut lines),
    }
    lines
}

fn shown(text: &[u8]) -> String {
    format!("\"{}\"", text.escape_ascii())
}

fn describe_stream(stream: &Stream, lines: &mut Vec<String>) {
    let (last, deleted, added) = (stream.last_id(), stream.max_deleted(), stream.added());
    let (len, first) = (stream.len(), stream.first_id());
    lines.push(format!("{len} from {first:?} to {last:?}, {deleted:?} deleted, {added} added"));
    stream.for_each(StreamId::MIN, StreamId::MAX, |entry| {
        let fields = entry
            .fields()
            .map(|(name, value)| format!(" {}={}", shown(&name.to_vec()), shown(&value.to_vec())));
        lines.push(format!("{:?}{}", entry.id, fields.collect::<String>()));
        ControlFlow::Continue(())
    });
    for (name, group) in stream.groups() {
        lines.push(format!("{} {:?} {:?}", shown(name), group.last_id, group.entries_read));
        for (id, pending) in group.pending() {
            let consumer = shown(group.consumer(pending.consumer).name());
            lines
                .push(format!("{id:?} {consumer} {} {}", pending.delivered_ms, pending.deliveries));
        }
        for consumer in group.consumers() {
            let (name, pending) = (shown(consumer.name()), consumer.pending());
            lines.push(format!("{name} seen {} has {pending:?}", consumer.seen_ms));
        }
    }
}

/// A text as values have them: numbers at the edges of the encodings, texts short and long, compressible or not.
pub fn text(rng: &mut fastrand::Rng) -> Vec<u8> {
    match rng.u8(..8) {
        0 => {
            let edge = 1_i64 << rng.u8(..63);
            (edge - rng.i64(0..2)).wrapping_mul(if rng.bool() { 1 } else { -1 }).to_string().into()
        }
        1 => rng.choice(["", "0", "-1", "007", "-0", "+1", "12", "13"]).unwrap().into(),
        2 => (0..rng.usize(..80)).map(|_| rng.u8(..)).collect(),
        3 => b"abc".repeat(rng.usize(1..60)),
        4 if rng.u8(..10) == 0 => vec![rng.u8(..); rng.usize(..20_000)],
        5 => vec![b'x'; *rng.choice(&[20, 21, 63, 64, 65]).unwrap()],
        _ => format!("v{}", rng.u32(..1000)).into(),
    }
}

/// A value of any type and of many sizes, some of whose ways lead through deletions. Never an empty collection.
pub fn value(rng: &mut fastrand::Rng, hasher: &Hasher) -> Loaded<'static> {
    let options = DecodeOptions::with_default_limits(hasher);
    let n = *rng.choice(&[1, 2, 3, 10, 60, 128, 129, 300]).unwrap();
    Loaded::Collection(match rng.u8(..8) {
        0 => {
            let text = text(rng);
            return match respire_datatypes::integer::parse_i64(&text) {
                Some(value) => Loaded::Int(value),
                None => Loaded::Bytes(text.into()),
            };
        }
        1 => {
            let mut list = List::new();
            for _ in 0..n {
                let end = if rng.bool() { End::Front } else { End::Back };
                list.push(end, NewElement::Bytes(&text(rng)), options.list);
            }
            if n > 4 {
                list.pop(End::Front, options.list);
                list.pop(End::Back, options.list);
            }
            Collection::List(list)
        }
        2 => {
            let mut set = Set::new();
            for _ in 0..n {
                set.add(&text(rng), &options.set);
            }
            Collection::Set(set)
        }
        3 => {
            let mut set = Set::new();
            let shift = rng.u32(..64);
            for _ in 0..2 * n {
                set.add((rng.i64(..) >> shift).to_string().as_bytes(), &options.set);
            }
            Collection::Set(set)
        }
        4 => Collection::Hash(hash(rng, n, &options.hash)),
        5 => {
            let mut zset = ZSet::new();
            for _ in 0..n {
                let score = match rng.u8(..6) {
                    0 => f64::INFINITY,
                    1 => f64::NEG_INFINITY,
                    2 => rng.f64() * 1e10,
                    _ => f64::from(rng.i8(..)),
                };
                zset.update(&text(rng), &options.zset, |_| Some(score));
            }
            Collection::ZSet(zset)
        }
        _ => Collection::Stream(stream(rng, n)),
    })
}

fn hash(rng: &mut fastrand::Rng, n: usize, limits: &HashLimits<'_>) -> Hash {
    let mut hash = Hash::new();
    let timed = rng.bool();
    for _ in 0..n {
        let ttl = match rng.u8(..3) {
            0 if timed => FieldTtl::At(rng.i64(1..1 << 47)),
            _ => FieldTtl::Clear,
        };
        hash.set(&text(rng), &text(rng), ttl, 0, limits);
    }
    hash
}

fn stream(rng: &mut fastrand::Rng, n: usize) -> Stream {
    let mut stream = Stream::new();
    let limits = StreamLimits { node_bytes: 4096, node_entries: rng.u64(1..120) };
    let mut ids = Vec::new();
    let mut id = StreamId { ms: rng.u64(..1 << 45), seq: rng.u64(1..9) };
    for _ in 0..n {
        let texts: Vec<Vec<u8>> = match rng.u8(..3) {
            0 => (0..2 * rng.usize(1..4)).map(|_| text(rng)).collect(),
            _ => vec![b"name".into(), text(rng), b"x".into(), text(rng)],
        };
        stream.append(id, texts.iter().map(Vec::as_slice), limits).unwrap();
        ids.push(id);
        match rng.u8(..3) {
            0 => id = StreamId { ms: id.ms + rng.u64(1..1000), seq: rng.u64(..3) },
            _ => id.seq += 1 + (rng.u64(..1 << 40) >> rng.u8(..41)),
        }
    }
    for id in &ids {
        if rng.u8(..8) == 0 {
            stream.delete(*id);
        }
    }
    for name in 0..rng.u8(..3) {
        let read = rng.bool().then(|| rng.u64(..100));
        let mut group = Group::new(*rng.choice(&ids).unwrap(), read);
        for consumer in 0..rng.u8(..3) {
            let consumer = group.add_consumer(&[b'c', consumer], rng.i64(0..1 << 45));
            let seen = group.consumer(consumer).seen_ms;
            group.consumer_mut(consumer).active_ms = Some(seen);
            for id in &ids {
                if rng.u8(..5) == 0 {
                    let (delivered_ms, deliveries) = (rng.i64(0..1 << 45), rng.u64(..20_000));
                    group.set_pending(*id, Pending { consumer, delivered_ms, deliveries });
                }
            }
        }
        stream.add_group(&[b'g', name], group);
    }
    stream
}

/// A length as the format writes it.
pub fn length(n: usize) -> Vec<u8> {
    match n {
        0..64 => vec![n as u8],
        64..16_384 => vec![0x40 | (n >> 8) as u8, n as u8],
        _ => [&[0x80][..], &(n as u32).to_be_bytes()].concat(),
    }
}

/// A string as its plain bytes.
pub fn string(text: &[u8]) -> Vec<u8> {
    [length(text.len()), text.to_vec()].concat()
}

pub fn strings(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| string(text.as_bytes())).collect()
}

/// A listpack, as a string.
pub fn listpack(texts: &[&str]) -> Vec<u8> {
    let mut pack = Listpack::new();
    for text in texts {
        pack.push_back(text.as_bytes());
    }
    string(pack.as_bytes())
}

/// A ziplist, as a string.
pub fn ziplist(texts: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0; 10];
    let (mut before, mut tail) = (0_usize, 10);
    for text in texts {
        tail = bytes.len();
        if before < 254 {
            bytes.push(before as u8);
        } else {
            bytes.push(254);
            bytes.extend((before as u32).to_le_bytes());
        }
        ziplist_element(&mut bytes, text);
        before = bytes.len() - tail;
    }
    bytes.push(255);
    let total = (bytes.len() as u32).to_le_bytes();
    bytes[..4].copy_from_slice(&total);
    bytes[4..8].copy_from_slice(&(tail as u32).to_le_bytes());
    bytes[8..10].copy_from_slice(&(texts.len() as u16).to_le_bytes());
    string(&bytes)
}

fn ziplist_element(bytes: &mut Vec<u8>, text: &str) {
    match respire_datatypes::integer::parse_i64(text.as_bytes()).ok_or(()) {
        Ok(n @ 0..=12) => bytes.push(0xf1 + n as u8),
        Ok(n @ -0x80..=0x7f) => bytes.extend([0xfe, n as u8]),
        Ok(n @ -0x8000..=0x7fff) => {
            bytes.push(0xc0);
            bytes.extend((n as i16).to_le_bytes());
        }
        Ok(n @ -0x80_0000..=0x7f_ffff) => {
            bytes.push(0xf0);
            bytes.extend(&n.to_le_bytes()[..3]);
        }
        Ok(n @ -0x8000_0000..=0x7fff_ffff) => {
            bytes.push(0xd0);
            bytes.extend((n as i32).to_le_bytes());
        }
        Ok(n) => {
            bytes.push(0xe0);
            bytes.extend(n.to_le_bytes());
        }
        Err(()) => {
            match text.len() {
                len @ 0..64 => bytes.push(len as u8),
                len @ 64..16_384 => bytes.extend([0x40 | (len >> 8) as u8, len as u8]),
                len => {
                    bytes.push(0x80);
                    bytes.extend((len as u32).to_be_bytes());
                }
            }
            bytes.extend(text.as_bytes());
        }
    }
}

/// A zipmap, as a string; the values have some room behind them.
pub fn zipmap(texts: &[&str]) -> Vec<u8> {
    let mut bytes = vec![(texts.len() / 2).min(254) as u8];
    let put_length = |bytes: &mut Vec<u8>, len: usize| match len {
        0..254 => bytes.push(len as u8),
        _ => {
            bytes.push(254);
            bytes.extend((len as u32).to_le_bytes());
        }
    };
    for (i, pair) in texts.chunks(2).enumerate() {
        put_length(&mut bytes, pair[0].len());
        bytes.extend(pair[0].as_bytes());
        put_length(&mut bytes, pair[1].len());
        let room = i % 3;
        bytes.push(room as u8);
        bytes.extend(pair[1].as_bytes());
        bytes.extend(vec![b'?'; room]);
    }
    bytes.push(255);
    string(&bytes)
}

/// An intset, as a string.
pub fn intset(numbers: &[i64], width: usize) -> Vec<u8> {
    let mut bytes = (width as u32).to_le_bytes().to_vec();
    bytes.extend((numbers.len() as u32).to_le_bytes());
    numbers.iter().for_each(|n| bytes.extend(&n.to_le_bytes()[..width]));
    string(&bytes)
}

/// A file of the parts between head and end, in which the checksum is right.
pub fn file(head: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = head.as_bytes().to_vec();
    bytes.extend(parts.concat());
    bytes.push(0xff);
    let checksum = respire_rdb::Checksum::of(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

/// A key with its value.
pub fn entry(kind: u8, key: &str, payload: &[u8]) -> Vec<u8> {
    [vec![kind], string(key.as_bytes()), payload.to_vec()].concat()
}
