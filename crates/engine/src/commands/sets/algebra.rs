//! Several sets at once: intersections, unions and differences, replied, stored or counted.

use respire_datatypes::collection::{Collection, Kind};
use respire_datatypes::integer::{MAX_LEN, parse_i64};
use respire_datatypes::listpack::Item;
use respire_datatypes::set::{Probe, Set, SetLimits};
use respire_keyspace::Key;

use super::limits;
use crate::commands::elements;
use crate::ctx::{Ctx, Data};
use crate::error::{Error, Outcome};
use crate::notify::Classes;

pub(super) fn sinter(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keys = keys(ctx, 1, ctx.args.len());
    look_up(ctx, &keys)?;
    let mut common = Vec::new();
    if let Some(sets) = all_sets(&ctx.data, &keys) {
        intersect(sets, |member| {
            common.push(member);
            true
        });
    }
    ctx.out.set(common.len());
    common.into_iter().for_each(|member| elements::reply(ctx.out, member));
    Ok(())
}

pub(super) fn sintercard(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let count = parse_i64(ctx.args.get(1)).and_then(|count| usize::try_from(count).ok());
    let count = count
        .filter(|count| *count > 0)
        .ok_or(Error::fixed("ERR numkeys should be greater than 0"))?;
    if count > ctx.args.len() - 2 {
        return Err(Error::fixed("ERR Number of keys can't be greater than number of args"));
    }
    let limit = intersection_limit(ctx, count + 2)?;
    let keys = keys(ctx, 2, count + 2);
    look_up(ctx, &keys)?;
    let mut found = 0;
    if let Some(sets) = all_sets(&ctx.data, &keys) {
        intersect(sets, |_| {
            found += 1;
            found != limit
        });
    }
    ctx.out.int(found as i64);
    Ok(())
}

/// The LIMIT of SINTERCARD, whose options begin at argument `from`; 0 stands for none.
fn intersection_limit(ctx: &Ctx<'_, '_>, from: usize) -> Result<usize, Error> {
    let mut limit = 0;
    for i in (from..ctx.args.len()).step_by(2) {
        let value = ctx.args.try_get(i + 1).ok_or(Error::SYNTAX)?;
        if !ctx.args.get(i).eq_ignore_ascii_case(b"LIMIT") {
            return Err(Error::SYNTAX);
        }
        let number = parse_i64(value).and_then(|number| usize::try_from(number).ok());
        limit = number.ok_or(Error::fixed("ERR LIMIT can't be negative"))?;
    }
    Ok(limit)
}

pub(super) fn sinterstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keys = keys(ctx, 2, ctx.args.len());
    look_up(ctx, &keys)?;
    let limits = limits(ctx.settings, ctx.engine);
    let mut result = Set::new();
    if let Some(sets) = all_sets(&ctx.data, &keys) {
        intersect(sets, |member| {
            add(&mut result, member, &limits);
            true
        });
    }
    store(ctx, "sinterstore", result)
}

pub(super) fn sunion(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keys = keys(ctx, 1, ctx.args.len());
    look_up(ctx, &keys)?;
    let limits = limits(ctx.settings, ctx.engine);
    let union = unite(&sets(&ctx.data, &keys), &limits);
    reply(ctx, &union)
}

pub(super) fn sunionstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keys = keys(ctx, 2, ctx.args.len());
    look_up(ctx, &keys)?;
    let limits = limits(ctx.settings, ctx.engine);
    let union = unite(&sets(&ctx.data, &keys), &limits);
    store(ctx, "sunionstore", union)
}

pub(super) fn sdiff(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keys = keys(ctx, 1, ctx.args.len());
    look_up(ctx, &keys)?;
    let mut left = Vec::new();
    subtract(&sets(&ctx.data, &keys), |member| left.push(member));
    ctx.out.set(left.len());
    left.into_iter().for_each(|member| elements::reply(ctx.out, member));
    Ok(())
}

pub(super) fn sdiffstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keys = keys(ctx, 2, ctx.args.len());
    look_up(ctx, &keys)?;
    let limits = limits(ctx.settings, ctx.engine);
    let mut left = Set::new();
    subtract(&sets(&ctx.data, &keys), |member| add(&mut left, member, &limits));
    store(ctx, "sdiffstore", left)
}

fn keys<'a>(ctx: &Ctx<'a, '_>, from: usize, to: usize) -> Vec<Key<'a>> {
    (from..to).map(|i| ctx.key(i)).collect()
}

/// Counts hits and misses, and makes sure that every key holds a set or nothing.
fn look_up(ctx: &mut Ctx<'_, '_>, keys: &[Key<'_>]) -> Outcome {
    keys.iter().try_for_each(|key| ctx.data.read_as::<Set>(key).map(drop))
}

/// The sets at keys that were looked up; `None` for a missing one.
fn sets<'c>(data: &'c Data<'_, '_>, keys: &[Key<'_>]) -> Vec<Option<&'c Set>> {
    keys.iter().map(|key| data.peek(key)?.collection().and_then(Set::of)).collect()
}

/// The sets at keys that were looked up, if none is missing.
fn all_sets<'c>(data: &'c Data<'_, '_>, keys: &[Key<'_>]) -> Option<Vec<&'c Set>> {
    sets(data, keys).into_iter().collect()
}

/// Calls `f` with every member that all sets have, until it says `false`. Goes through the smallest set and looks its
/// members up in the others, the next smallest first.
fn intersect<'s>(mut sets: Vec<&'s Set>, mut f: impl FnMut(Item<'s>) -> bool) {
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    smallest.each_while(|member| {
        let mut digits = [0; MAX_LEN];
        let mut probe = Probe::new(member, member.text(&mut digits));
        !others.iter().all(|set| set.contains_probe(&mut probe)) || f(member)
    });
}

/// Calls `f` with every member of the first set that no other has.
fn subtract<'s>(sets: &[Option<&'s Set>], mut f: impl FnMut(Item<'s>)) {
    let Some((Some(first), others)) = sets.split_first() else { return };
    // Larger sets are likelier to have a member, so that the search ends sooner.
    let mut others: Vec<&Set> = others.iter().flatten().copied().collect();
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    first.each(|member| {
        let mut digits = [0; MAX_LEN];
        let mut probe = Probe::new(member, member.text(&mut digits));
        if !others.iter().any(|set| set.contains_probe(&mut probe)) {
            f(member);
        }
    });
}

fn unite(sets: &[Option<&Set>], limits: &SetLimits<'_>) -> Set {
    let mut union = Set::new();
    for set in sets.iter().flatten() {
        set.each(|member| add(&mut union, member, limits));
    }
    union
}

fn add(set: &mut Set, member: Item<'_>, limits: &SetLimits<'_>) {
    member.with_bytes(|text| set.add(text, limits));
}

fn reply(ctx: &mut Ctx<'_, '_>, set: &Set) -> Outcome {
    ctx.out.set(set.len());
    set.each(|member| elements::reply(ctx.out, member));
    Ok(())
}

/// Puts the result at the destination, argument 1; nothing is there afterwards if the result is empty.
fn store(ctx: &mut Ctx<'_, '_>, event: &'static str, result: Set) -> Outcome {
    let key = ctx.key(1);
    let count = result.len();
    if count > 0 {
        ctx.data.replace(&key, Collection::Set(result));
        ctx.notify(Classes::SET, event, &key);
    } else if ctx.data.remove(&key) {
        ctx.notify(Classes::GENERIC, "del", &key);
    }
    ctx.out.int(count as i64);
    Ok(())
}
