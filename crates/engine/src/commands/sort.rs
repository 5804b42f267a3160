//! SORT and SORT_RO: the elements of a list, set or sorted set in another order, by what they are or by what other keys
//! hold.

use std::cmp::Ordering;

use respire_datatypes::collection::{Collection, Kind as _};
use respire_datatypes::float::parse_f64;
use respire_datatypes::integer::parse_i64;
use respire_datatypes::list::{End, List, NewElement};
use respire_resp::Args;

use crate::command::{Flags, Group, KeySpec, Place, Row};
use crate::commands::lists::limits_of;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

const BY_PATTERN: KeySpec = KeySpec::at(Place::Unknown, "RO access")
    .notes("BY and GET make names of keys from the elements, which only the data tell");
const STORED: KeySpec = KeySpec::at(Place::Behind { word: "STORE", from: 2 }, "OW update")
    .notes("Only if the result is to be stored");
const COST: &str = "O(N+M*log(M)) with the number of elements and of those returned";

pub(crate) const ROWS: &[Row] = &[
    Row::new("sort", -2, sort)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS))
        .keys(&[KeySpec::one(1, "RO access"), BY_PATTERN, STORED])
        .reaches_out(looks_up)
        .extra_categories(DATA)
        .docs(
            Group::GenericData,
            "1.0.0",
            COST,
            "Sorts the elements of a list, a set or a sorted set, and returns or stores them.",
            "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
        ),
    Row::new("sort_ro", -2, sort_ro)
        .flags(Flags::READONLY.union(Flags::MOVABLE_KEYS))
        .keys(&[KeySpec::one(1, "RO access"), BY_PATTERN])
        .reaches_out(looks_up)
        .extra_categories(DATA)
        .docs(
            Group::GenericData,
            "7.0.0",
            COST,
            "Sorts the elements of a list, a set or a sorted set, and returns them.",
            "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]",
        ),
];

const DATA: &[&str] = &["set", "sortedset", "list", "dangerous"];

/// Whether a pattern among the arguments makes names of keys.
fn looks_up(args: &Args<'_>) -> bool {
    let is_option = |i: usize| {
        let word = args.get(i);
        word.eq_ignore_ascii_case(b"by") || word.eq_ignore_ascii_case(b"get")
    };
    (2..args.len() - 1).any(|i| is_option(i) && args.get(i + 1).contains(&b'*'))
}

/// Whether the client may read whatever keys the patterns come to name.
fn may_look_up(ctx: &Ctx<'_, '_>) -> bool {
    ctx.session.user.reads_everything_with(ctx.command, &ctx.args)
}

/// What the call asks for.
#[derive(Debug)]
struct Query<'a> {
    descending: bool,
    alphabetic: bool,
    offset: i64,
    /// Negative is no limit.
    limit: i64,
    by: Option<&'a [u8]>,
    gets: Vec<&'a [u8]>,
    /// The position of the key that the result is stored under.
    store: Option<usize>,
}

/// What an element is compared by.
#[derive(Debug, Clone)]
enum Weight {
    /// The number that it is or that its key holds.
    Number(f64),
    /// The text of its key; `None` if that is missing.
    Text(Option<Vec<u8>>),
    /// Its own text.
    Itself,
}

impl<'a> Query<'a> {
    fn parse(ctx: &Ctx<'a, '_>, stores: bool) -> Result<Self, Error> {
        let args = ctx.args;
        let mut query = Self {
            descending: false,
            alphabetic: false,
            offset: 0,
            limit: -1,
            by: None,
            gets: Vec::new(),
            store: None,
        };
        let mut i = 2;
        while i < args.len() {
            let behind = args.len() - i - 1;
            match args.get(i).to_ascii_lowercase().as_slice() {
                b"asc" => query.descending = false,
                b"desc" => query.descending = true,
                b"alpha" => query.alphabetic = true,
                b"limit" if behind >= 2 => {
                    query.offset = parse_i64(args.get(i + 1)).ok_or(Error::NOT_INTEGER)?;
                    query.limit = parse_i64(args.get(i + 2)).ok_or(Error::NOT_INTEGER)?;
                    i += 2;
                }
                b"store" if behind >= 1 && stores => {
                    query.store = Some(i + 1);
                    i += 1;
                }
                b"by" if behind >= 1 => {
                    let pattern = args.get(i + 1);
                    if pattern.contains(&b'*') && !may_look_up(ctx) {
                        return Err(Error::SORT_BY_DENIED);
                    }
                    query.by = Some(pattern);
                    i += 1;
                }
                b"get" if behind >= 1 => {
                    if !may_look_up(ctx) {
                        return Err(Error::SORT_GET_DENIED);
                    }
                    query.gets.push(args.get(i + 1));
                    i += 1;
                }
                _ => return Err(Error::SYNTAX),
            }
            i += 1;
        }
        Ok(query)
    }

    /// Whether the elements stay in the order that they have: BY something that names no key.
    fn keeps_order(&self) -> bool {
        self.by.is_some_and(|pattern| !pattern.contains(&b'*'))
    }

    /// The part of `len` elements that is asked for.
    fn part(&self, len: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(0).min(len);
        let count = usize::try_from(self.limit).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(len)
    }
}

/// All elements of a key, and whether their order means nothing.
fn elements(ctx: &mut Ctx<'_, '_>) -> Result<(Vec<Vec<u8>>, bool), Error> {
    let key = ctx.key(1);
    let Some(entry) = ctx.data.read(&key) else { return Ok((Vec::new(), false)) };
    let mut elements = Vec::new();
    match entry.collection() {
        Some(Collection::List(list)) => {
            list.for_each(0, |element| {
                elements.push(element.to_vec());
                std::ops::ControlFlow::Continue(())
            });
        }
        Some(Collection::Set(set)) => {
            set.each(|member| elements.push(member.to_vec()));
            return Ok((elements, true));
        }
        Some(Collection::ZSet(set)) => {
            elements.extend(set.iter().map(|(member, _)| member.to_vec()));
        }
        _ => return Err(Error::WRONG_TYPE),
    }
    Ok((elements, false))
}

/// What a pattern names for an element: the element itself, the string of a key, or a field of a hash.
fn look_up(ctx: &mut Ctx<'_, '_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let (before, behind) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = behind.windows(2).position(|pair| pair == b"->");
    // An arrow at the very end is part of the key.
    let arrow = arrow.filter(|at| at + 2 < behind.len());
    let (behind, field) = match arrow {
        Some(at) => (&behind[..at], Some(&behind[at + 2..])),
        None => (behind, None),
    };
    let name = [before, element, behind].concat();
    let key = ctx.engine.keyspace.key(&name);
    let now_ms = ctx.data.now_ms;
    let entry = ctx.data.read(&key)?;
    match (field, entry.collection()) {
        (Some(field), Some(Collection::Hash(hash))) => Some(hash.get(field, now_ms)?.to_vec()),
        (None, None) => entry.string().map(|text| text.with_bytes(<[u8]>::to_vec)),
        _ => None,
    }
}

/// Pairs the elements with what they are compared by.
fn weigh(
    ctx: &mut Ctx<'_, '_>,
    query: &Query<'_>,
    elements: Vec<Vec<u8>>,
) -> Result<Vec<(Weight, Vec<u8>)>, Error> {
    const NO_NUMBER: Error = Error::fixed("ERR One or more scores can't be converted into double");
    let number = |text: &[u8]| {
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        let text = text[..end].trim_ascii_start();
        if text.is_empty() { Ok(0.0) } else { parse_f64(text).ok_or(NO_NUMBER) }
    };
    let mut weighed = Vec::with_capacity(elements.len());
    for element in elements {
        let named = query.by.map(|pattern| look_up(ctx, pattern, &element));
        let weight = match named {
            Some(text) if query.alphabetic => Weight::Text(text),
            Some(None) => Weight::Number(0.0),
            Some(Some(text)) => Weight::Number(number(&text)?),
            None if query.alphabetic => Weight::Itself,
            None => Weight::Number(number(&element)?),
        };
        weighed.push((weight, element));
    }
    Ok(weighed)
}

fn order((a_weight, a): &(Weight, Vec<u8>), (b_weight, b): &(Weight, Vec<u8>)) -> Ordering {
    match (a_weight, b_weight) {
        (Weight::Number(x), Weight::Number(y)) => {
            // Not a matter of chance where numbers are the same.
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.cmp(b))
        }
        (Weight::Text(x), Weight::Text(y)) => x.cmp(y),
        _ => a.cmp(b),
    }
}

/// The elements that are asked for, in order.
fn sorted(ctx: &mut Ctx<'_, '_>, query: &mut Query<'_>) -> Result<Vec<Vec<u8>>, Error> {
    let (mut elements, unordered) = elements(ctx)?;
    let mut keeps_order = query.keeps_order();
    if keeps_order && unordered && (query.store.is_some() || ctx.session.in_script) {
        // What is stored, or what a script does with it, must not depend on the order of a hash table.
        keeps_order = false;
        query.alphabetic = true;
        query.by = None;
    }
    let part = query.part(elements.len());
    if keeps_order {
        if query.descending && !unordered {
            elements.reverse();
        }
    } else {
        let mut weighed = weigh(ctx, query, elements)?;
        if query.descending {
            weighed.sort_by(|a, b| order(b, a));
        } else {
            weighed.sort_by(order);
        }
        elements = weighed.into_iter().map(|(_, element)| element).collect();
    }
    elements.truncate(part.end);
    elements.drain(..part.start);
    Ok(elements)
}

fn sort(ctx: &mut Ctx<'_, '_>) -> Outcome {
    run(ctx, true)
}

fn sort_ro(ctx: &mut Ctx<'_, '_>) -> Outcome {
    run(ctx, false)
}

fn run(ctx: &mut Ctx<'_, '_>, stores: bool) -> Outcome {
    let mut query = Query::parse(ctx, stores)?;
    let elements = sorted(ctx, &mut query)?;
    let mut values: Vec<Option<Vec<u8>>> = Vec::new();
    if query.gets.is_empty() {
        values.extend(elements.into_iter().map(Some));
    } else {
        for element in &elements {
            for pattern in &query.gets {
                values.push(look_up(ctx, pattern, element));
            }
        }
    }
    if let Some(target) = query.store {
        store(ctx, target, &values);
        return Ok(());
    }
    ctx.out.array(values.len());
    for value in &values {
        match value {
            Some(text) => ctx.out.bulk(text),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

/// Stores the values as a list, the missing ones as empty texts, or deletes the key if there are none.
fn store(ctx: &mut Ctx<'_, '_>, target: usize, values: &[Option<Vec<u8>>]) {
    let key = ctx.key(target);
    if !values.is_empty() {
        let limits = limits_of(ctx.settings, ctx.engine);
        let mut list = List::new();
        for value in values {
            let text = value.as_deref().unwrap_or_default();
            list.push(End::Back, NewElement::Bytes(text), limits);
        }
        ctx.data.replace(&key, list.into_collection());
        ctx.weigh(&key, values.len());
        let texts: Vec<&[u8]> = values.iter().map(|v| v.as_deref().unwrap_or_default()).collect();
        ctx.effect_del(&key);
        ctx.effect_on_each(&[b"RPUSH", key.bytes], &texts);
        ctx.notify(Classes::LIST, "sortstore", &key);
    } else if ctx.data.remove(&key) {
        ctx.effect_del(&key);
        ctx.notify(Classes::GENERIC, "del", &key);
    }
    ctx.out.int(values.len() as i64);
}
