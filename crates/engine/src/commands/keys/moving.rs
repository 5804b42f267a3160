//! Values that change their key or their database: RENAME, MOVE, COPY.

use respire_datatypes::integer::parse_i64;
use respire_keyspace::{Ttl, Value};

use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

/// A value on its way, with its expiry.
struct Moving {
    value: Value,
    ttl: Ttl,
}

impl Moving {
    /// A copy of the value at argument `i`, in the session's database.
    fn copy(ctx: &mut Ctx<'_, '_>, i: usize) -> Option<Self> {
        let key = ctx.key(i);
        let entry = ctx.data.write(&key)?;
        let seen = entry.get();
        Some(Self { value: seen.to_value(), ttl: seen.expire().map_or(Ttl::Clear, Ttl::At) })
    }

    /// The value at argument `i`, taken out of the session's database.
    fn take(ctx: &mut Ctx<'_, '_>, i: usize) -> Option<Self> {
        let key = ctx.key(i);
        let entry = ctx.data.write(&key)?;
        let ttl = entry.get().expire().map_or(Ttl::Clear, Ttl::At);
        Some(Self { value: entry.take(), ttl })
    }

    fn store(self, ctx: &mut Ctx<'_, '_>, db: usize, i: usize) {
        let key = ctx.key(i);
        self.value.store(|value| ctx.data.set_in(db, &key, value, self.ttl));
    }
}

pub(super) fn rename(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if rename_to(ctx, true)? {
        ctx.out.ok();
    }
    Ok(())
}

pub(super) fn renamenx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let done = rename_to(ctx, false)?;
    ctx.out.int(i64::from(done));
    Ok(())
}

fn rename_to(ctx: &mut Ctx<'_, '_>, replace: bool) -> Result<bool, Error> {
    let (from, to) = (ctx.key(1), ctx.key(2));
    if ctx.data.write(&from).is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    if from.bytes == to.bytes {
        return Ok(replace);
    }
    if !replace && ctx.data.write(&to).is_some() {
        return Ok(false);
    }
    let before = ctx.data.held.weighed_changes();
    let moving = Moving::take(ctx, 1).expect("the key was just seen");
    ctx.data.remove(&to);
    let db = ctx.data.db;
    moving.store(ctx, db, 2);
    ctx.count_as_one(&from, before);
    ctx.notify(Classes::GENERIC, "rename_from", &from);
    ctx.notify(Classes::GENERIC, "rename_to", &to);
    Ok(true)
}

/// Argument `i` as the number of a database.
pub(crate) fn database(ctx: &Ctx<'_, '_>, i: usize) -> Result<usize, Error> {
    let number = parse_i64(ctx.args.get(i)).ok_or(Error::NOT_INTEGER)?;
    let number = i32::try_from(number).map_err(|_| Error::NOT_INT32)?;
    match usize::try_from(number) {
        Ok(db) if db < ctx.engine.keyspace.databases() => Ok(db),
        _ => Err(Error::DB_INDEX),
    }
}

pub(super) fn move_key(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let db = database(ctx, 2)?;
    if db == ctx.data.db {
        return Err(Error::SAME_OBJECT);
    }
    let key = ctx.key(1);
    let taken = ctx.data.write_in(db, &key).is_some();
    let before = ctx.data.held.weighed_changes();
    let moving = if taken { None } else { Moving::take(ctx, 1) };
    let done = moving.map(|moving| moving.store(ctx, db, 1)).is_some();
    if done {
        ctx.count_as_one(&key, before);
        ctx.notify(Classes::GENERIC, "move_from", &key);
        ctx.notify_in(db, Classes::GENERIC, "move_to", &key);
    }
    ctx.out.int(i64::from(done));
    Ok(())
}

pub(super) fn copy(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut db = ctx.data.db;
    let mut replace = false;
    let mut i = 3;
    while i < ctx.args.len() {
        let option = ctx.args.get(i);
        if option.eq_ignore_ascii_case(b"REPLACE") {
            replace = true;
        } else if option.eq_ignore_ascii_case(b"DB") && i + 1 < ctx.args.len() {
            i += 1;
            db = database(ctx, i)?;
        } else {
            return Err(Error::SYNTAX);
        }
        i += 1;
    }
    let (from, to) = (ctx.key(1), ctx.key(2));
    if from.bytes == to.bytes && db == ctx.data.db {
        return Err(Error::SAME_OBJECT);
    }
    let found = ctx.data.write(&from).is_some();
    let taken = found && ctx.data.write_in(db, &to).is_some();
    let moving = if taken && !replace { None } else { Moving::copy(ctx, 1) };
    let done = moving.map(|moving| moving.store(ctx, db, 2)).is_some();
    if done {
        ctx.notify_in(db, Classes::GENERIC, "copy_to", &to);
    }
    ctx.out.int(i64::from(done));
    Ok(())
}
