//! Sorted sets put together: ZUNION, ZINTER, ZDIFF, what stores their results, and ZINTERCARD. Plain sets take part as
//! sorted sets in which every score is 1.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use respire_datatypes::collection::Collection;
use respire_datatypes::integer::parse_i64;
use respire_datatypes::listpack::Item;
use respire_datatypes::set::Set;
use respire_datatypes::zset::ZSet;

use super::Members;
use super::{parse_score, range, reply_entry, reply_members_head};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the scores of a member that several sets have.
#[derive(Debug, Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn combine(self, sum: f64, score: f64) -> f64 {
        match self {
            // Both infinities together.
            Self::Sum if (sum + score).is_nan() => 0.0,
            Self::Sum => sum + score,
            Self::Min => {
                if score < sum {
                    score
                } else {
                    sum
                }
            }
            Self::Max => {
                if score > sum {
                    score
                } else {
                    sum
                }
            }
        }
    }
}

/// What a command asks for.
struct Query {
    keys: std::ops::Range<usize>,
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Of ZINTERCARD; 0 is none.
    limit: usize,
}

/// What a command does with the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Reply,
    Store,
    Count,
}

/// The keys, whose number is argument `number`.
fn keys(ctx: &Ctx<'_, '_>, number: usize) -> Result<std::ops::Range<usize>, Error> {
    let count = parse_i64(ctx.args.get(number)).ok_or(Error::NOT_INTEGER)?;
    if count < 1 {
        let name = ctx.name();
        return Err(Error::text(format!(
            "ERR at least 1 input key is needed for '{name}' command"
        )));
    }
    if count > (ctx.args.len() - number - 1) as i64 {
        return Err(Error::SYNTAX);
    }
    Ok(number + 1..number + 1 + count as usize)
}

impl Query {
    /// Reads the options, which follow the keys.
    fn parse(
        ctx: &Ctx<'_, '_>,
        keys: std::ops::Range<usize>,
        operation: Operation,
        purpose: Use,
    ) -> Result<Self, Error> {
        let args = ctx.args;
        let weighs = operation != Operation::Difference && purpose != Use::Count;
        let weights = vec![1.0; keys.len()];
        let mut query =
            Self { keys, weights, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        let mut i = query.keys.end;
        while i < args.len() {
            let (option, rest) = (args.get(i), args.len() - i - 1);
            if weighs && rest >= query.keys.len() && option.eq_ignore_ascii_case(b"weights") {
                for weight in &mut query.weights {
                    i += 1;
                    let text = args.get(i);
                    *weight = parse_score(text)
                        .map_err(|_| Error::fixed("ERR weight value is not a float"))?;
                }
            } else if weighs && rest >= 1 && option.eq_ignore_ascii_case(b"aggregate") {
                i += 1;
                query.aggregate = match args.get(i).to_ascii_lowercase().as_slice() {
                    b"sum" => Aggregate::Sum,
                    b"min" => Aggregate::Min,
                    b"max" => Aggregate::Max,
                    _ => return Err(Error::SYNTAX),
                };
            } else if purpose == Use::Reply && option.eq_ignore_ascii_case(b"withscores") {
                query.with_scores = true;
            } else if purpose == Use::Count && rest >= 1 && option.eq_ignore_ascii_case(b"limit") {
                i += 1;
                let limit = parse_i64(args.get(i)).and_then(|limit| usize::try_from(limit).ok());
                query.limit = limit.ok_or(Error::fixed("ERR LIMIT can't be negative"))?;
            } else {
                return Err(Error::SYNTAX);
            }
            i += 1;
        }
        Ok(query)
    }
}

/// What a key holds, as far as it has members.
#[derive(Debug, Clone, Copy)]
enum Holds<'a> {
    Nothing,
    ZSet(&'a ZSet),
    Set(&'a Set),
}

/// Something that has members with scores.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    holds: Holds<'a>,
    weight: f64,
    /// The first source that is the same set.
    same_as: usize,
}

impl<'a> Source<'a> {
    fn len(&self) -> usize {
        match self.holds {
            Holds::Nothing => 0,
            Holds::ZSet(set) => set.len(),
            Holds::Set(set) => set.len(),
        }
    }

    /// Calls `f` with members and scores, until it says `false`.
    fn each_while(&self, mut f: impl FnMut(Item<'a>, f64) -> bool) {
        match self.holds {
            Holds::Nothing => {}
            Holds::ZSet(set) => {
                set.iter().all(|(member, score)| f(member, score));
            }
            Holds::Set(set) => set.each_while(|member| f(member, 1.0)),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self.holds {
            Holds::Nothing => None,
            Holds::ZSet(set) => set.score(member),
            Holds::Set(set) => set.contains(member).then_some(1.0),
        }
    }

    /// A score of this source with its weight.
    fn weighed(&self, score: f64) -> f64 {
        // Nothing times infinity.
        let score = score * self.weight;
        if score.is_nan() { 0.0 } else { score }
    }
}

fn union(sources: &[Source<'_>], aggregate: Aggregate) -> Members {
    let mut found: HashMap<Vec<u8>, f64, ahash::RandomState> = HashMap::default();
    for source in sources {
        source.each_while(|member, score| {
            let score = source.weighed(score);
            match found.entry(member.to_vec()) {
                Entry::Occupied(mut entry) => {
                    let sum = entry.get_mut();
                    *sum = aggregate.combine(*sum, score);
                }
                Entry::Vacant(entry) => {
                    entry.insert(score);
                }
            }
            true
        });
    }
    found.into_iter().collect()
}

/// The score of a member of the first source if all have it.
fn common(sources: &[Source<'_>], member: &[u8], score: f64, aggregate: Aggregate) -> Option<f64> {
    let mut sum = sources[0].weighed(score);
    for source in &sources[1..] {
        let same = source.same_as == sources[0].same_as;
        let score = if same { score } else { source.score(member)? };
        sum = aggregate.combine(sum, score * source.weight);
    }
    Some(sum)
}

fn intersection(sources: &[Source<'_>], aggregate: Aggregate) -> Members {
    let mut members = Members::new();
    sources[0].each_while(|member, score| {
        member.with_bytes(|bytes| {
            let sum = common(sources, bytes, score, aggregate);
            members.extend(sum.map(|sum| (bytes.to_vec(), sum)));
        });
        true
    });
    members
}

fn intersection_len(sources: &[Source<'_>], limit: usize) -> usize {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut count = 0;
    sources[0].each_while(|member, _| {
        let everywhere = member.with_bytes(|bytes| {
            sources[1..]
                .iter()
                .all(|source| source.same_as == sources[0].same_as || source.score(bytes).is_some())
        });
        count += usize::from(everywhere);
        count < limit
    });
    count
}

fn difference(sources: &[Source<'_>]) -> Members {
    let others = &sources[1..];
    let mut members = Members::new();
    if others.iter().any(|other| other.same_as == sources[0].same_as) {
        return members;
    }
    sources[0].each_while(|member, score| {
        member.with_bytes(|bytes| {
            if others.iter().all(|other| other.score(bytes).is_none()) {
                members.push((bytes.to_vec(), score));
            }
        });
        true
    });
    members
}

/// Calls `f` with the sources of a query.
fn with_sources<R>(
    ctx: &mut Ctx<'_, '_>,
    query: &Query,
    operation: Operation,
    f: impl FnOnce(&[Source<'_>]) -> R,
) -> R {
    let keys: Vec<_> = query.keys.clone().map(|i| ctx.key(i)).collect();
    let mut sources = Vec::with_capacity(keys.len());
    for (i, key) in keys.iter().enumerate() {
        let same_as = keys.iter().position(|other| other.bytes == key.bytes).unwrap_or(i);
        let holds = match ctx.data.peek(key).and_then(|entry| entry.collection()) {
            Some(Collection::ZSet(set)) => Holds::ZSet(set),
            Some(Collection::Set(set)) => Holds::Set(set),
            _ => Holds::Nothing,
        };
        sources.push(Source { holds, weight: query.weights[i], same_as });
    }
    if operation != Operation::Difference {
        // Sums of fractions depend on their order, which is Redis's: the smallest set first.
        sources.sort_by_key(Source::len);
    }
    f(&sources)
}

/// Refuses keys that are neither sorted set nor set.
fn check_types(ctx: &mut Ctx<'_, '_>, keys: std::ops::Range<usize>) -> Result<(), Error> {
    for i in keys {
        let key = ctx.key(i);
        if let Some(entry) = ctx.data.read(&key) {
            match entry.collection() {
                Some(Collection::ZSet(_) | Collection::Set(_)) => {}
                _ => return Err(Error::WRONG_TYPE),
            }
        }
    }
    Ok(())
}

fn prepare(ctx: &mut Ctx<'_, '_>, operation: Operation, purpose: Use) -> Result<Query, Error> {
    let keys = keys(ctx, if purpose == Use::Store { 2 } else { 1 })?;
    check_types(ctx, keys.clone())?;
    Query::parse(ctx, keys, operation, purpose)
}

fn result(ctx: &mut Ctx<'_, '_>, query: &Query, operation: Operation) -> Members {
    with_sources(ctx, query, operation, |sources| match operation {
        Operation::Union => union(sources, query.aggregate),
        Operation::Intersection => intersection(sources, query.aggregate),
        Operation::Difference => difference(sources),
    })
}

fn reply(ctx: &mut Ctx<'_, '_>, operation: Operation) -> Outcome {
    let query = prepare(ctx, operation, Use::Reply)?;
    let mut members = result(ctx, &query, operation);
    members.sort_unstable_by(|(a, a_score), (b, b_score)| {
        a_score.partial_cmp(b_score).expect("no score is NaN").then_with(|| a.cmp(b))
    });
    reply_members_head(ctx.out, members.len(), query.with_scores);
    for (member, score) in &members {
        reply_entry(ctx.out, Item::Bytes(member), *score, query.with_scores);
    }
    Ok(())
}

fn store(ctx: &mut Ctx<'_, '_>, operation: Operation, event: &'static str) -> Outcome {
    let query = prepare(ctx, operation, Use::Store)?;
    let members = result(ctx, &query, operation);
    range::store(ctx, event, members);
    Ok(())
}

pub(super) fn zunion(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Operation::Union)
}

pub(super) fn zinter(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Operation::Intersection)
}

pub(super) fn zdiff(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply(ctx, Operation::Difference)
}

pub(super) fn zunionstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    store(ctx, Operation::Union, "zunionstore")
}

pub(super) fn zinterstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    store(ctx, Operation::Intersection, "zinterstore")
}

pub(super) fn zdiffstore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    store(ctx, Operation::Difference, "zdiffstore")
}

pub(super) fn zintercard(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let query = prepare(ctx, Operation::Intersection, Use::Count)?;
    let limit = query.limit;
    let operation = Operation::Intersection;
    let count = with_sources(ctx, &query, operation, |sources| intersection_len(sources, limit));
    ctx.out.int(count as i64);
    Ok(())
}
