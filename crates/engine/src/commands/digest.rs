//! DEBUG DIGEST: a number that two servers agree on if they hold the same data, whatever the order and the form that it
//! is kept in. The algorithm is that of Redis, so that the two can be compared.

use std::ops::ControlFlow;

use respire_datatypes::collection::Collection;
use respire_datatypes::float::{format_f64, format_g17};
use respire_datatypes::stream::StreamId;
use respire_keyspace::EntryRef;
use sha1::{Digest as _, Sha1};

use crate::ctx::Ctx;
use crate::error::Outcome;

/// 20 bytes, to which parts are added in any order, or mixed in one.
#[derive(Default)]
struct Sum([u8; 20]);

impl Sum {
    /// Adds a part whose place does not matter.
    fn add(&mut self, part: &[u8]) {
        let hash = Sha1::digest(part);
        self.0.iter_mut().zip(hash).for_each(|(byte, other)| *byte ^= other);
    }

    /// Adds a part whose place matters.
    fn mix(&mut self, part: &[u8]) {
        self.add(part);
        self.0 = Sha1::digest(self.0).into();
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Redis's number of the type.
fn type_number(entry: EntryRef<'_>) -> u32 {
    match entry.collection() {
        None => 0,
        Some(Collection::List(_)) => 1,
        Some(Collection::Set(_)) => 2,
        Some(Collection::ZSet(_)) => 3,
        Some(Collection::Hash(_)) => 4,
        Some(Collection::Stream(_)) => 6,
    }
}

/// Adds a value and its expiry.
fn add_value(sum: &mut Sum, entry: EntryRef<'_>, now_ms: i64) {
    sum.mix(&type_number(entry).to_be_bytes());
    if let Some(text) = entry.string() {
        text.with_bytes(|text| sum.mix(text));
    }
    if let Some(collection) = entry.collection() {
        add_collection(sum, collection, now_ms);
    }
    if entry.expire().is_some() {
        sum.add(b"!!expire!!");
    }
}

fn add_collection(sum: &mut Sum, collection: &Collection, now_ms: i64) {
    match collection {
        Collection::List(list) => list.for_each(0, |element| {
            element.with_bytes(|text| sum.mix(text));
            ControlFlow::Continue(())
        }),
        Collection::Set(set) => set.each(|member| member.with_bytes(|text| sum.add(text))),
        Collection::ZSet(set) => {
            for (member, score) in set.iter() {
                let mut part = Sum::default();
                member.with_bytes(|text| part.mix(text));
                part.mix(score_text(score).as_bytes());
                sum.add(&part.0);
            }
        }
        Collection::Hash(hash) => hash.each(now_ms, |field, value| {
            let mut part = Sum::default();
            field.with_bytes(|text| part.mix(text));
            value.with_bytes(|text| part.mix(text));
            sum.add(&part.0);
        }),
        Collection::Stream(stream) => stream.for_each(StreamId::MIN, StreamId::MAX, |entry| {
            sum.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
            for (name, value) in entry.fields() {
                name.with_bytes(|text| sum.mix(text));
                value.with_bytes(|text| sum.mix(text));
            }
            ControlFlow::Continue(())
        }),
    }
}

fn score_text(score: f64) -> String {
    if score.is_finite() { format_g17(score) } else { format_f64(score) }
}

/// DEBUG DIGEST.
pub(super) fn of_all(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (keyspace, now_ms) = (&ctx.engine.keyspace, ctx.data.now_ms);
    let mut sum = Sum::default();
    for db in 0..keyspace.databases() {
        let shards = 0..keyspace.shard_count() as u32;
        let parts = shards.map(|shard| ctx.data.held.shard(shard).db(db));
        if parts.clone().all(|part| part.is_empty()) {
            continue;
        }
        sum.mix(&(db as u32).to_be_bytes());
        for part in parts {
            let mut position = Some(0);
            while let Some(at) = position {
                position = part.visit(at, |entry| {
                    let mut own = Sum::default();
                    own.mix(entry.key());
                    add_value(&mut own, entry, now_ms);
                    sum.add(&own.0);
                });
            }
        }
    }
    ctx.out.simple(&sum.hex());
    Ok(())
}

/// DEBUG DIGEST-VALUE.
pub(super) fn of_values(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.array(ctx.args.len() - 2);
    for i in 2..ctx.args.len() {
        let key = ctx.key(i);
        let mut sum = Sum::default();
        let db = ctx.data.held.shard(key.shard).db(ctx.data.db);
        if let Some(entry) = db.find(&key, ctx.data.now_ms).live() {
            add_value(&mut sum, entry, ctx.data.now_ms);
        }
        ctx.out.simple(&sum.hex());
    }
    Ok(())
}
