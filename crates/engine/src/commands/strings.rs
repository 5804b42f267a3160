//! Commands on strings.

use respire_datatypes::integer::parse_i64;
use respire_keyspace::{EntryRef, NewValue, Ttl, ValueRef};
use respire_resp::{Args, Out};

use crate::command::{Flags, Group, KeySpec, Row};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

pub(crate) const ROWS: &[Row] = &[
    Row::new("get", 2, get)
        .flags(Flags::READONLY.union(Flags::FAST))
        .keys(&[KeySpec::one(1, "RO access")])
        .docs(Group::String, "1.0.0", "O(1)", "Returns the string at a key.", "key"),
    Row::new("set", -3, set)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .keys(&[KeySpec::one(1, "RW access update variable_flags")])
        .docs(Group::String, "1.0.0", "O(1)", "Sets the string at a key.", "key value"),
    Row::new("mget", -2, mget)
        .flags(Flags::READONLY.union(Flags::FAST))
        .keys(&[KeySpec::rest(1, 1, "RO access")])
        .docs(Group::String, "1.0.0", "O(N)", "Returns the strings at keys.", "key [key ...]"),
    Row::new("incr", 2, incr)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST))
        .keys(&[KeySpec::one(1, "RW access update")])
        .docs(Group::String, "1.0.0", "O(1)", "Adds one to an integer.", "key"),
];

/// Argument `i` as a value: an integer if it looks like one, else its bytes, or the allocation that it came in.
#[inline]
pub(crate) fn value_of<'a>(args: &Args<'a>, i: usize) -> NewValue<'a> {
    let bytes = args.get(i);
    if bytes.len() <= 20
        && let Some(value) = parse_i64(bytes)
    {
        return NewValue::Int(value);
    }
    match args.share(i) {
        Some(shared) => NewValue::Shared(shared),
        None => NewValue::Bytes(bytes),
    }
}

/// Writes the string of an entry.
#[inline]
pub(crate) fn reply_value(out: &mut Out, entry: EntryRef<'_>) {
    match entry.value() {
        ValueRef::Int(value) => out.bulk_int(value),
        ValueRef::Bytes(data) if data.len() < Out::SPLICE => out.bulk(data),
        ValueRef::Bytes(data) => match entry.share() {
            Some(shared) => out.bulk_shared(&shared, 0, shared.len()),
            None => out.bulk(data),
        },
    }
}

fn get(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    match ctx.data.read(&key) {
        Some(entry) => reply_value(ctx.out, entry),
        None => ctx.out.null(),
    }
    Ok(())
}

fn set(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let value = value_of(&ctx.args, 2);
    ctx.data.set(&key, value, Ttl::Clear);
    ctx.out.ok();
    Ok(())
}

fn mget(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.array(ctx.args.len() - 1);
    for i in 1..ctx.args.len() {
        let key = ctx.key(i);
        match ctx.data.read(&key) {
            Some(entry) => reply_value(ctx.out, entry),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

fn incr(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let next = match ctx.data.write(&key) {
        Some(mut entry) => {
            let value = match entry.get().value() {
                ValueRef::Int(value) => value,
                ValueRef::Bytes(data) => parse_i64(data).ok_or(Error::NOT_INTEGER)?,
            };
            let next = value.checked_add(1).ok_or(Error::OVERFLOW)?;
            entry.set(NewValue::Int(next), Ttl::Keep);
            next
        }
        None => {
            ctx.data.set(&key, NewValue::Int(1), Ttl::Clear);
            1
        }
    };
    ctx.out.int(next);
    Ok(())
}
