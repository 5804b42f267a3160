//! Strings as numbers: INCR and its kin.

use respire_datatypes::integer::parse_i64;
use respire_datatypes::longdouble;
use respire_keyspace::{EntryRef, NewValue, StrRef, Ttl};

use crate::ctx::{Ctx, text_of};
use crate::error::{Error, Outcome};
use crate::notify::Classes;

pub(super) fn incr(ctx: &mut Ctx<'_, '_>) -> Outcome {
    add(ctx, 1)
}

pub(super) fn decr(ctx: &mut Ctx<'_, '_>) -> Outcome {
    add(ctx, -1)
}

pub(super) fn incrby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let by = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    add(ctx, by)
}

pub(super) fn decrby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let by = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    add(ctx, by.checked_neg().ok_or(Error::DECREMENT_OVERFLOW)?)
}

fn add(ctx: &mut Ctx<'_, '_>, by: i64) -> Outcome {
    let key = ctx.key(1);
    let sum = match ctx.data.write(&key) {
        Some(mut entry) => {
            let sum = sum_of(entry.get(), by)?;
            entry.set(NewValue::Int(sum), Ttl::Keep);
            sum
        }
        None => {
            ctx.data.insert(&key, NewValue::Int(by), Ttl::Clear);
            by
        }
    };
    ctx.notify(Classes::STRING, "incrby", &key);
    ctx.out.int(sum);
    Ok(())
}

/// What the number at a key is, with `by` added.
#[inline]
pub(crate) fn sum_of(entry: EntryRef<'_>, by: i64) -> Result<i64, Error> {
    let value = match text_of(entry)? {
        StrRef::Int(value) => value,
        StrRef::Bytes(text) => parse_i64(text).ok_or(Error::NOT_INTEGER)?,
    };
    value.checked_add(by).ok_or(Error::OVERFLOW)
}

pub(super) fn incrbyfloat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let by = ctx.args.get(2);
    let add = |value: &[u8]| {
        longdouble::incr_by(value, by).map_err(|error| match error {
            longdouble::IncrError::NanOrInfinity => Error::NAN_OR_INFINITY,
            _ => Error::NOT_FLOAT,
        })
    };
    let sum = match ctx.data.write(&key) {
        Some(mut entry) => {
            let sum = text_of(entry.get())?.with_bytes(add)?;
            entry.set(NewValue::Bytes(sum.as_bytes()), Ttl::Keep);
            sum
        }
        None => {
            let sum = add(b"0")?;
            ctx.data.insert(&key, NewValue::Bytes(sum.as_bytes()), Ttl::Clear);
            sum
        }
    };
    ctx.effect_set(&key, sum.as_bytes(), Ttl::Keep);
    ctx.notify(Classes::STRING, "incrbyfloat", &key);
    ctx.out.bulk(sum.as_bytes());
    Ok(())
}
