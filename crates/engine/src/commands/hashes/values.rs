//! Values as numbers: HINCRBY and HINCRBYFLOAT.

use respire_datatypes::hashes::{FieldTtl, Hash};
use respire_datatypes::integer::{self, MAX_LEN, parse_i64};
use respire_datatypes::listpack::Item;
use respire_datatypes::longdouble::{self, IncrError};

use super::{limits, purge};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

pub(super) fn hincrby(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let by = parse_i64(ctx.args.get(3)).ok_or(Error::NOT_INTEGER)?;
    let key = ctx.key(1);
    purge(ctx, &key)?;
    let (field, now_ms) = (ctx.args.get(2), ctx.data.now_ms);
    let limits = limits(ctx.settings, ctx.engine);
    let mut hash = ctx.data.edit_or_create(&key, Hash::new)?;
    let value = match hash.get(field, now_ms) {
        None => 0,
        Some(Item::Int(value)) => value,
        Some(Item::Bytes(text)) => {
            parse_i64(text).ok_or(Error::fixed("ERR hash value is not an integer"))?
        }
    };
    let sum = value.checked_add(by).ok_or(Error::OVERFLOW)?;
    let text = integer::format_i64(sum, &mut [0; MAX_LEN]).to_vec();
    hash.set(field, &text, FieldTtl::Keep, now_ms, &limits);
    hash.finish(true);
    ctx.notify(Classes::HASH, "hincrby", &key);
    ctx.out.int(sum);
    Ok(())
}

pub(super) fn hincrbyfloat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let by = ctx.args.get(3);
    if !longdouble::is_number(by) {
        return Err(Error::NOT_FLOAT);
    }
    if !longdouble::is_finite(by) {
        return Err(Error::fixed("ERR value is NaN or Infinity"));
    }
    let key = ctx.key(1);
    purge(ctx, &key)?;
    let (field, now_ms) = (ctx.args.get(2), ctx.data.now_ms);
    let limits = limits(ctx.settings, ctx.engine);
    let mut hash = ctx.data.edit_or_create(&key, Hash::new)?;
    let value = hash.get(field, now_ms).unwrap_or(Item::Int(0));
    let sum =
        value.with_bytes(|value| longdouble::incr_by(value, by)).map_err(|error| match error {
            IncrError::NanOrInfinity => Error::NAN_OR_INFINITY,
            _ => Error::fixed("ERR hash value is not a float"),
        })?;
    hash.set(field, sum.as_bytes(), FieldTtl::Keep, now_ms, &limits);
    hash.finish(true);
    ctx.notify(Classes::HASH, "hincrbyfloat", &key);
    ctx.out.bulk(sum.as_bytes());
    Ok(())
}
