//! Whether keys are there: DEL, EXISTS, TOUCH, TYPE.

use crate::ctx::Ctx;
use crate::error::Outcome;
use crate::notify::Classes;

pub(super) fn del(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut deleted = 0;
    for i in 1..ctx.args.len() {
        let key = ctx.key(i);
        if ctx.data.remove(&key) {
            deleted += 1;
            ctx.notify(Classes::GENERIC, "del", &key);
        }
    }
    ctx.out.int(deleted);
    Ok(())
}

pub(super) fn exists(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut found = 0;
    for i in 1..ctx.args.len() {
        let key = ctx.key(i);
        found += i64::from(ctx.data.inspect(&key).is_some());
    }
    ctx.out.int(found);
    Ok(())
}

pub(super) fn touch(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut found = 0;
    for i in 1..ctx.args.len() {
        let key = ctx.key(i);
        found += i64::from(ctx.data.touch(&key).is_some());
    }
    ctx.out.int(found);
    Ok(())
}

pub(super) fn type_of(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let name = ctx.data.inspect(&key).map_or("none", |entry| entry.type_name());
    ctx.out.simple(name);
    Ok(())
}
