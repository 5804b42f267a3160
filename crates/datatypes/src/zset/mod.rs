//! Sorted sets: members with scores, in the order of scores, and of the members' bytes where scores are equal. A score
//! is never NaN.
//!
//! - `packed`: the form of small ones, in one allocation
//! - `large`: the form of large ones, a tree and an index of members, each member (`member`) in an allocation of its own
//! - `tree`: an order-statistics B+tree
//! - `bounds`: intervals of scores and members

mod bounds;
#[cfg(test)]
mod fuzz;
mod large;
mod member;
mod packed;
mod tree;

use std::ops::Range;

use crate::collection::Ahead;
use crate::hash::Hasher;
use crate::listpack::{Corrupt, Item, Listpack};
pub use bounds::{LexRange, ScoreRange};
use large::{Items, Large};
use packed::{Packed, Pairs};

/// Up to what a sorted set is kept small, and the hash that the index of a large one uses.
#[derive(Debug, Clone, Copy)]
pub struct ZSetLimits<'a> {
    pub listpack_entries: usize,
    pub listpack_value: usize,
    pub hasher: &'a Hasher,
}

/// A sorted set.
#[derive(Clone)]
pub struct ZSet(Form);

#[derive(Clone)]
enum Form {
    Packed(Packed),
    Large(Box<Large>),
}

impl std::fmt::Debug for ZSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.range(0..self.len())).finish()
    }
}

impl Default for ZSet {
    fn default() -> Self {
        Self::new()
    }
}

impl ZSet {
    pub fn new() -> Self {
        Self(Form::Packed(Packed::new()))
    }

    /// A sorted set of these members, in any order but each only once.
    pub fn from_entries(entries: &mut [(impl AsRef<[u8]>, f64)], limits: &ZSetLimits<'_>) -> Self {
        entries.sort_unstable_by(|(a, a_score), (b, b_score)| {
            let order = a_score.partial_cmp(b_score).expect("no score is NaN");
            order.then_with(|| a.as_ref().cmp(b.as_ref()))
        });
        let in_order = entries.iter().map(|(member, score)| (member.as_ref(), *score));
        let longest = entries.iter().map(|(member, _)| member.as_ref().len()).max().unwrap_or(0);
        let small = entries.len() <= limits.listpack_entries && longest <= limits.listpack_value;
        let bytes = entries.iter().map(|(member, _)| member.as_ref().len() + 8).sum();
        if small && Packed::new().fits(bytes + entries.len() * 32) {
            Self(Form::Packed(Packed::from_sorted(in_order, bytes)))
        } else {
            Self(Form::Large(Box::new(Large::from_sorted(in_order, limits.hasher))))
        }
    }

    /// As [`Self::from_entries`], of what comes from outside: a member that comes twice or a score that is no number is an
    /// error.
    pub fn try_from_entries(
        entries: &mut [(impl AsRef<[u8]>, f64)],
        limits: &ZSetLimits<'_>,
    ) -> Result<Self, Corrupt> {
        if entries.iter().any(|(_, score)| score.is_nan()) {
            return Err(Corrupt);
        }
        let zset = Self::from_entries(entries, limits);
        let unique = match &zset.0 {
            Form::Packed(packed) => !packed.listpack().has_twice(1),
            Form::Large(large) => large.is_unique(),
        };
        if unique { Ok(zset) } else { Err(Corrupt) }
    }

    /// A sorted set of the members and scores that come in turn in a listpack, in any order.
    pub fn from_listpack(pack: Listpack, limits: &ZSetLimits<'_>) -> Result<Self, Corrupt> {
        let longest = pack.iter().step_by(2).map(|item| item.text_len()).max();
        let packed = Packed::of(pack)?;
        let small =
            packed.len() <= limits.listpack_entries && longest <= Some(limits.listpack_value);
        if small && packed.is_in_order() {
            return Ok(Self(Form::Packed(packed)));
        }
        let pairs = packed.range(0..packed.len());
        let mut entries: Vec<_> = pairs.map(|(item, score)| (item.to_vec(), score)).collect();
        Ok(Self::from_entries(&mut entries, limits))
    }

    /// The listpack of members and scores in turn, if that is how the sorted set is kept.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Form::Packed(packed) => Some(packed.listpack()),
            Form::Large(_) => None,
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Packed(packed) => packed.len(),
            Form::Large(large) => large.len(),
        }
    }

    /// The address of its only block, or of its head.
    pub(crate) fn block(&self) -> usize {
        match &self.0 {
            Form::Packed(packed) => packed.listpack().as_bytes().as_ptr().addr(),
            Form::Large(large) => std::ptr::from_ref(&**large).addr(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What OBJECT ENCODING calls the form that it has.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Form::Packed(_) => "listpack",
            Form::Large(_) => "skiplist",
        }
    }

    /// Bytes of memory behind this value.
    pub fn memory(&self) -> usize {
        match &self.0 {
            Form::Packed(packed) => packed.memory(),
            Form::Large(large) => large.memory(),
        }
    }

    /// How many allocations there are to free.
    pub fn effort(&self) -> usize {
        match &self.0 {
            Form::Packed(_) => 1,
            Form::Large(large) => large.allocations(),
        }
    }

    /// Takes a step towards loading the member with `hash`, and what is around it, into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, step: Ahead, hash: Option<u64>) {
        match &self.0 {
            Form::Packed(packed) => packed.prefetch(step),
            Form::Large(large) => large.prefetch(step, hash),
        }
    }

    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Form::Packed(packed) => packed.score(member),
            Form::Large(large) => large.score(member),
        }
    }

    /// How many members are in front of this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match &self.0 {
            Form::Packed(packed) => packed.rank(member),
            Form::Large(large) => large.rank(member),
        }
    }

    /// Gives a member the score that `f` makes of the one that it has, if it has one; a member that is missing is added.
    /// Nothing changes where `f` gives none. Returns the score before and the score after.
    #[inline]
    pub fn update(
        &mut self,
        member: &[u8],
        limits: &ZSetLimits<'_>,
        f: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Option<f64>, Option<f64>) {
        match &mut self.0 {
            Form::Large(large) => large.update(member, f),
            Form::Packed(packed) => match packed.update(member, f) {
                Ok(done) => done,
                Err(score) => {
                    self.insert(member, score, limits);
                    (None, Some(score))
                }
            },
        }
    }

    /// Adds a member that is not there to what may still be small.
    fn insert(&mut self, member: &[u8], score: f64, limits: &ZSetLimits<'_>) {
        let Form::Packed(packed) = &mut self.0 else { unreachable!("the large form adds itself") };
        let small = packed.len() < limits.listpack_entries
            && member.len() <= limits.listpack_value
            && packed.fits(member.len());
        if small {
            return packed.insert(member, score);
        }
        let entries: Vec<(Vec<u8>, f64)> =
            packed.range(0..packed.len()).map(|(item, score)| (item.to_vec(), score)).collect();
        let entries = entries.iter().map(|(member, score)| (member.as_slice(), *score));
        let mut large = Large::from_sorted(entries, limits.hasher);
        large.update(member, |_| Some(score));
        self.0 = Form::Large(Box::new(large));
    }

    /// Removes a member. Returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Form::Packed(packed) => packed.remove(member),
            Form::Large(large) => large.remove(member),
        }
    }

    /// Removes the members of some ranks, which end at the length at most. Of many, some of the work is left to
    /// [`Self::prune`] and to later changes.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        match &mut self.0 {
            Form::Packed(packed) => packed.remove_ranks(ranks),
            Form::Large(large) => large.remove_ranks(ranks),
        }
    }

    /// Whether removing members has left something to be done by [`Self::prune`].
    #[inline]
    pub fn needs_pruning(&self) -> bool {
        match &self.0 {
            Form::Packed(_) => false,
            Form::Large(large) => large.is_leaving(),
        }
    }

    /// Frees up to `most` members that were removed. What can be seen of the set does not change.
    pub fn prune(&mut self, most: usize) {
        if let Form::Large(large) = &mut self.0 {
            large.prune(most);
        }
    }

    /// The ranks of the scores in an interval.
    pub fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        match &self.0 {
            Form::Packed(packed) => packed.ranks_by_score(range),
            Form::Large(large) => large.ranks_by_score(range),
        }
    }

    /// The ranks of the members in an interval, which means something if all scores are the same. `reversed` says
    /// from which side they will be read.
    pub fn ranks_by_lex(&self, range: &LexRange<'_>, reversed: bool) -> Range<usize> {
        match &self.0 {
            Form::Packed(packed) => packed.ranks_by_lex(range, reversed),
            Form::Large(large) => large.ranks_by_lex(range),
        }
    }

    /// The members of some ranks and their scores, from either side.
    pub fn range(&self, ranks: Range<usize>) -> Entries<'_> {
        Entries(match &self.0 {
            Form::Packed(packed) => Side::Packed(packed.range(ranks)),
            Form::Large(large) => Side::Large(large.range(ranks)),
        })
    }

    pub fn iter(&self) -> Entries<'_> {
        self.range(0..self.len())
    }

    /// The member of a rank and its score.
    pub fn get(&self, rank: usize) -> Option<(Item<'_>, f64)> {
        self.range(rank..rank + 1).next()
    }

    /// Visits some members: those at `position` in the hash range, or all of a small set. Returns the next position. Who
    /// starts at 0 and goes on until there is none has seen every member that was there all the time.
    pub fn scan(&self, position: u64, mut f: impl FnMut(Item<'_>, f64)) -> Option<u64> {
        match &self.0 {
            Form::Packed(packed) => {
                packed.range(0..packed.len()).for_each(|(member, score)| f(member, score));
                None
            }
            Form::Large(large) => {
                large.scan(position, |member, score| f(Item::Bytes(member), score))
            }
        }
    }
}

/// Members and scores in order, from either side.
#[derive(Debug, Clone)]
pub struct Entries<'a>(Side<'a>);

#[derive(Debug, Clone)]
enum Side<'a> {
    Packed(Pairs<'a>),
    Large(Items<'a>),
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Item<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Side::Packed(pairs) => pairs.next(),
            Side::Large(items) => {
                let (member, score) = items.next()?.entry();
                Some((Item::Bytes(member), score))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Side::Packed(pairs) => pairs.size_hint(),
            Side::Large(items) => items.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Entries<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Side::Packed(pairs) => pairs.next_back(),
            Side::Large(items) => {
                let (member, score) = items.next_back()?.entry();
                Some((Item::Bytes(member), score))
            }
        }
    }
}

impl ExactSizeIterator for Entries<'_> {}
