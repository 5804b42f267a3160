//! Single members: SADD, SREM, SMOVE, and what asks for them; SMEMBERS and SSCAN.

use respire_datatypes::set::Set;

use super::{limits, notify_removal};
use crate::commands::elements::{self, ScanOptions};
use crate::commands::parse_cursor;
use crate::ctx::Ctx;
use crate::error::Outcome;
use crate::notify::Classes;

pub(super) fn sadd(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let limits = limits(ctx.settings, ctx.engine);
    let (first, count) = (ctx.args.get(2), ctx.args.len() - 2);
    let mut set = ctx.data.edit_or_create(&key, || Set::with_expected(first, count, &limits))?;
    set.expect(count, &limits);
    let added = ctx.args.iter_from(2).filter(|member| set.add(member, &limits)).count();
    set.finish(added > 0);
    if added > 0 {
        ctx.weigh(&key, added);
        ctx.notify(Classes::SET, "sadd", &key);
    }
    ctx.out.int(added as i64);
    Ok(())
}

pub(super) fn srem(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let Some(mut set) = ctx.data.edit::<Set>(&key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let removed = ctx.args.iter_from(2).filter(|member| set.remove(member)).count();
    let finished = set.finish(removed > 0);
    if removed > 0 {
        ctx.weigh(&key, removed);
        notify_removal(ctx, "srem", &key, finished.removed);
    }
    ctx.out.int(removed as i64);
    Ok(())
}

pub(super) fn smove(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (from, to) = (ctx.key(1), ctx.key(2));
    let member = ctx.args.get(3);
    let limits = limits(ctx.settings, ctx.engine);
    let Some(source) = ctx.data.edit::<Set>(&from)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let there = source.contains(member);
    source.finish(false);
    // What is at the destination must be a set even if nothing is moved.
    if let Some(target) = ctx.data.edit::<Set>(&to)? {
        target.finish(false);
    }
    if from.bytes == to.bytes || !there {
        ctx.out.int(i64::from(there));
        return Ok(());
    }
    let mut source = ctx.data.edit::<Set>(&from)?.expect("it has a member");
    source.remove(member);
    let finished = source.finish(true);
    notify_removal(ctx, "srem", &from, finished.removed);
    let mut target = ctx.data.edit_or_create(&to, || Set::with_expected(member, 1, &limits))?;
    let added = target.add(member, &limits);
    target.finish(added);
    if added {
        ctx.notify(Classes::SET, "sadd", &to);
    }
    ctx.out.int(1);
    Ok(())
}

pub(super) fn scard(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let count = ctx.data.read_as::<Set>(&key)?.map_or(0, Set::len);
    ctx.out.int(count as i64);
    Ok(())
}

pub(super) fn sismember(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let member = ctx.args.get(2);
    let there = ctx.data.read_as::<Set>(&key)?.is_some_and(|set| set.contains(member));
    ctx.out.int(i64::from(there));
    Ok(())
}

pub(super) fn smismember(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let set = ctx.data.read_as::<Set>(&key)?;
    ctx.out.array(ctx.args.len() - 2);
    for member in ctx.args.iter_from(2) {
        ctx.out.int(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(())
}

pub(super) fn smembers(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let set = ctx.data.read_as::<Set>(&key)?;
    ctx.out.set(set.map_or(0, Set::len));
    if let Some(set) = set {
        set.each(|member| elements::reply(ctx.out, member));
    }
    Ok(())
}

pub(super) fn sscan(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let cursor = parse_cursor(ctx.args.get(2))?;
    let key = ctx.key(1);
    let Some(set) = ctx.data.read_as::<Set>(&key)? else {
        elements::reply_empty_scan(ctx.out);
        return Ok(());
    };
    let options = ScanOptions::parse(&ctx.args, false)?;
    let mut found = Vec::new();
    let next = options.walk(cursor, |position| {
        let mut seen = 0;
        let next = set.scan(position, |member| {
            seen += 1;
            if options.wants(member) {
                found.push(member.to_vec());
            }
        });
        (next, seen)
    });
    elements::reply_scan(ctx.out, next, &found);
    Ok(())
}
