//! LRANGE, LSET, LREM, LPOS and their kin: elements of one list, by position or by what they are.

use std::ops::ControlFlow;

use respire_datatypes::integer::parse_i64;
use respire_datatypes::list::{Element, End, List};
use respire_datatypes::listpack::Item;

use super::{element, limits, notify_removed, reply_element, span};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

pub(super) fn llen(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let len = ctx.data.read_as::<List>(&key)?.map_or(0, List::len);
    ctx.out.int(len as i64);
    Ok(())
}

pub(super) fn lindex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let Some(list) = ctx.data.read_as::<List>(&key)? else {
        ctx.out.null();
        return Ok(());
    };
    let index = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let out = &mut *ctx.out;
    let shown = position(index, list.len())
        .and_then(|index| list.with(index, |element| reply_element(out, element)));
    if shown.is_none() {
        out.null();
    }
    Ok(())
}

/// A position as Redis counts, negative ones from the end, if a list of `len` elements has it.
fn position(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index + len as i64 } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

pub(super) fn lrange(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let start = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let stop = parse_i64(ctx.args.get(3)).ok_or(Error::NOT_INTEGER)?;
    let key = ctx.key(1);
    let Some(list) = ctx.data.read_as::<List>(&key)? else {
        ctx.out.array(0);
        return Ok(());
    };
    let (from, count) = span(start, stop, list.len());
    let out = &mut *ctx.out;
    out.array(count);
    let mut left = count;
    if left > 0 {
        list.for_each(from, |element| {
            reply_element(out, element);
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    Ok(())
}

pub(super) fn lset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let limits = limits(ctx);
    let mut list = ctx.data.edit::<List>(&key)?.ok_or(Error::NO_SUCH_KEY)?;
    let index = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let index = position(index, list.len()).ok_or(Error::INDEX)?;
    list.set(index, element(&ctx.args, 3, &mut None), limits);
    list.finish(true);
    ctx.out.ok();
    ctx.notify(Classes::LIST, "lset", &key);
    Ok(())
}

pub(super) fn linsert(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let place = ctx.args.get(2);
    let behind = place.eq_ignore_ascii_case(b"AFTER");
    if !behind && !place.eq_ignore_ascii_case(b"BEFORE") {
        return Err(Error::SYNTAX);
    }
    let key = ctx.key(1);
    let limits = limits(ctx);
    let Some(mut list) = ctx.data.edit::<List>(&key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let pivot = Item::of(ctx.args.get(3));
    let mut index = 0;
    let mut found = false;
    list.for_each(0, |element| {
        found = element.is(pivot);
        index += usize::from(!found);
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if !found {
        ctx.out.int(-1);
        return Ok(());
    }
    list.insert(index + usize::from(behind), element(&ctx.args, 4, &mut None), limits);
    let len = list.len();
    list.finish(true);
    ctx.out.int(len as i64);
    ctx.notify(Classes::LIST, "linsert", &key);
    Ok(())
}

pub(super) fn lrem(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let count = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let key = ctx.key(1);
    let limits = limits(ctx);
    let Some(mut list) = ctx.data.edit::<List>(&key)? else {
        ctx.out.int(0);
        return Ok(());
    };
    let from = if count < 0 { End::Back } else { End::Front };
    let limit = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let gone = list.remove_equal(ctx.args.get(3), limit, from, limits);
    let removed = list.finish(gone > 0).removed;
    if gone > 0 {
        ctx.notify(Classes::LIST, "lrem", &key);
        notify_removed(ctx, &key, removed);
    }
    ctx.out.int(gone as i64);
    Ok(())
}

pub(super) fn ltrim(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let start = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let stop = parse_i64(ctx.args.get(3)).ok_or(Error::NOT_INTEGER)?;
    let key = ctx.key(1);
    let limits = limits(ctx);
    ctx.out.ok();
    let Some(mut list) = ctx.data.edit::<List>(&key)? else { return Ok(()) };
    let len = list.len();
    let (from, count) = span(start, stop, len);
    let removed = if count == 0 {
        // The value goes as a whole.
        drop(list);
        ctx.data.remove(&key)
    } else {
        let rest = [
            list.remove(End::Back, len - from - count, limits),
            list.remove(End::Front, from, limits),
        ];
        let removed = list.finish(true).removed;
        for rest in rest {
            ctx.data.discard(&key, rest);
        }
        removed
    };
    ctx.weigh(&key, len - count);
    ctx.notify(Classes::LIST, "ltrim", &key);
    notify_removed(ctx, &key, removed);
    Ok(())
}

/// What LPOS looks for.
struct Search {
    /// Of the matches, which is the first one to be returned, from 1.
    rank: u64,
    from: End,
    /// `None` for a single match, returned by itself; 0 for all.
    count: Option<usize>,
    /// Elements to compare at most; 0 for all.
    max: u64,
}

fn search(ctx: &Ctx<'_, '_>) -> Result<Search, Error> {
    let mut search = Search { rank: 1, from: End::Front, count: None, max: 0 };
    for i in (3..ctx.args.len()).step_by(2) {
        let (option, value) = (ctx.args.get(i), ctx.args.try_get(i + 1).ok_or(Error::SYNTAX)?);
        let number = |negative: &'static str| {
            let number = parse_i64(value).and_then(|number| u64::try_from(number).ok());
            number.ok_or(Error::fixed(negative))
        };
        if option.eq_ignore_ascii_case(b"RANK") {
            match parse_i64(value).ok_or(Error::NOT_INTEGER)? {
                i64::MIN => return Err(Error::OUT_OF_RANGE),
                0 => {
                    return Err(Error::fixed(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                         negative to start from the end of the list",
                    ));
                }
                rank => {
                    search.rank = rank.unsigned_abs();
                    search.from = if rank < 0 { End::Back } else { End::Front };
                }
            }
        } else if option.eq_ignore_ascii_case(b"COUNT") {
            search.count = Some(number("ERR COUNT can't be negative")? as usize);
        } else if option.eq_ignore_ascii_case(b"MAXLEN") {
            search.max = number("ERR MAXLEN can't be negative")?;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    Ok(search)
}

pub(super) fn lpos(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let search = search(ctx)?;
    let key = ctx.key(1);
    let wanted = Item::of(ctx.args.get(2));
    let found = ctx.data.read_as::<List>(&key)?.map(|list| find(list, wanted, &search));
    match (found, search.count) {
        (Some(found), Some(_)) => {
            ctx.out.array(found.len());
            for index in found {
                ctx.out.int(index as i64);
            }
        }
        (Some(found), None) if !found.is_empty() => ctx.out.int(found[0] as i64),
        (None, Some(_)) => ctx.out.array(0),
        (_, None) => ctx.out.null(),
    }
    Ok(())
}

fn find(list: &List, wanted: Item<'_>, search: &Search) -> Vec<usize> {
    let limit = match search.count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => count,
    };
    let (mut compared, mut matches) = (0, 0);
    let mut found = Vec::new();
    let each = |element: Element<'_>| {
        if element.is(wanted) {
            matches += 1;
            if matches >= search.rank {
                let at = compared as usize;
                found.push(if search.from == End::Front { at } else { list.len() - 1 - at });
            }
        }
        compared += 1;
        if found.len() == limit || compared == search.max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    match search.from {
        End::Front => list.for_each(0, each),
        End::Back => list.for_each_back(list.len(), each),
    }
    found
}
