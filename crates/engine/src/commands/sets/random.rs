//! Members chosen at random: SPOP and SRANDMEMBER.

use respire_datatypes::integer::parse_i64;
use respire_datatypes::set::Set;

use super::notify_removal;
use crate::commands::elements;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

pub(super) fn srandmember(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let wanted = ctx.args.try_get(2).map(elements::random_count).transpose()?;
    let key = ctx.key(1);
    let mut rng = ctx.data.rng.fork();
    let longest = ctx.longest_reply();
    let set = ctx.data.read_as::<Set>(&key)?;
    let out = &mut *ctx.out;
    match (set, wanted) {
        (None, None) => out.null(),
        (None, Some(_)) => out.array(0),
        (Some(set), None) => match set.sample(&mut rng) {
            Some(member) => elements::reply(out, member),
            None => out.null(),
        },
        (Some(set), Some((count, true))) => {
            out.array(count);
            for _ in 0..count {
                let member = set.sample(&mut rng).expect("keys of empty sets are deleted");
                elements::reply(out, member);
                if out.len() > longest {
                    break;
                }
            }
        }
        (Some(set), Some((count, false))) => {
            out.array(count.min(set.len()));
            set.sample_many(count, &mut rng, |member| elements::reply(out, member));
        }
    }
    Ok(())
}

pub(super) fn spop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    match ctx.args.len() {
        2 => pop_one(ctx),
        3 => pop_many(ctx),
        _ => Err(Error::SYNTAX),
    }
}

fn pop_one(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let mut rng = ctx.data.rng.fork();
    let Some(mut set) = ctx.data.edit::<Set>(&key)? else {
        ctx.out.null();
        return Ok(());
    };
    let member = set.sample(&mut rng).expect("keys of empty sets are deleted").to_vec();
    set.remove(&member);
    let finished = set.finish(true);
    ctx.effect(&[b"SREM", key.bytes, &member]);
    notify_removal(ctx, "spop", &key, finished.removed);
    ctx.out.bulk(&member);
    Ok(())
}

fn pop_many(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let count = parse_i64(ctx.args.get(2)).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(Error::MUST_BE_POSITIVE)?;
    let key = ctx.key(1);
    let mut rng = ctx.data.rng.fork();
    let Some(mut set) = ctx.data.edit::<Set>(&key)? else {
        ctx.out.set(0);
        return Ok(());
    };
    if count == 0 {
        ctx.out.set(0);
        return Ok(());
    }
    let out = &mut *ctx.out;
    let len = set.len();
    out.set(count.min(len));
    if count >= len {
        // All of it goes with the key, without removing one after the other.
        set.each(|member| elements::reply(out, member));
        drop(set);
        ctx.data.remove(&key);
        ctx.weigh(&key, len);
        ctx.effect_del(&key);
        notify_removal(ctx, "spop", &key, true);
        return Ok(());
    }
    let mut taken = Vec::with_capacity(count);
    set.sample_many(count, &mut rng, |member| taken.push(member.to_vec()));
    for member in &taken {
        out.bulk(member);
        set.remove(member);
    }
    set.finish(true);
    ctx.weigh(&key, count);
    let members: Vec<&[u8]> = taken.iter().map(Vec::as_slice).collect();
    ctx.effect_on_each(&[b"SREM", key.bytes], &members);
    notify_removal(ctx, "spop", &key, false);
    Ok(())
}
