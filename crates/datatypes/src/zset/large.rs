//! The form of large sorted sets: a tree in the order of scores, and an index of the members.
//!
//! Each member is one allocation, to which tree and index both point. The tree also holds the scores, so that a search
//! looks at members only where scores are equal. Invariant: tree and index hold the same members, each once, and the
//! score of an item in the tree is that of its member.

use std::cmp::Ordering;
use std::ops::Range;

use super::bounds::{LexRange, ScoreRange};
use super::member::Member;
use super::tree::{self, Tree};
use crate::collection::Ahead;
use crate::hash::Hasher;
use crate::table::{Place, Table, Word, prefetch_all};

/// Items of a leaf: with its length, 1 KiB.
const LEAF: usize = 63;
/// Children of an inner node: 2 KiB.
const FAN: usize = 50;

#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    score: f64,
    member: Member,
}

impl Item {
    #[inline]
    fn is_before(&self, score: f64, member: &[u8]) -> bool {
        match self.score.partial_cmp(&score) {
            Some(Ordering::Equal) => self.member.bytes() < member,
            order => order == Some(Ordering::Less),
        }
    }

    #[inline]
    pub(super) fn entry(&self) -> (&[u8], f64) {
        (self.member.bytes(), self.score)
    }
}

pub(super) type Items<'a> = tree::Range<'a, Item, LEAF, FAN>;

pub struct Large {
    tree: Tree<Item, LEAF, FAN>,
    index: Table,
    hasher: Hasher,
    /// Bytes of all members.
    members: usize,
}

fn hash_of(hasher: &Hasher) -> impl Fn(Word) -> u64 {
    |word| hasher.hash(Member::of(word).bytes())
}

impl Large {
    /// A sorted set of members that come in order, each once.
    pub(super) fn from_sorted<'a>(
        entries: impl Iterator<Item = (&'a [u8], f64)>,
        hasher: &Hasher,
    ) -> Self {
        let mut members = 0;
        let mut index = Table::with_room(entries.size_hint().0);
        let items: Vec<Item> = entries
            .map(|(bytes, score)| {
                let member = Member::new(bytes, score);
                members += member.memory();
                let hash = hasher.hash(bytes);
                index.insert(hash, member.word(hash as u16), hash_of(hasher));
                Item { score, member }
            })
            .collect();
        Self { tree: Tree::from_sorted(&items), index, hasher: hasher.clone(), members }
    }

    /// Whether every member is found by its bytes, as it is not if it is there twice.
    pub(super) fn is_unique(&self) -> bool {
        self.tree.range(0, self.tree.len()).all(|item| {
            let bytes = item.member.bytes();
            let found = self.find(self.hasher.hash(bytes), bytes);
            found.is_some_and(|place| Member::of(place.word()) == item.member)
        })
    }

    /// See `ZSet::prefetch`.
    #[inline]
    pub(super) fn prefetch(&self, step: Ahead, hash: Option<u64>) {
        match (step, hash) {
            (Ahead::Content, _) => prefetch_all(self),
            (Ahead::Bucket, _) => {
                self.tree.prefetch_root();
                if let Some(hash) = hash {
                    self.index.prefetch_bucket(hash);
                }
            }
            (Ahead::Element, Some(hash)) => self.index.prefetch_entry(hash),
            (Ahead::Element, None) => {}
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.tree.memory() + self.index.stats().memory + self.members
    }

    pub(super) fn allocations(&self) -> usize {
        self.tree.allocations() + self.len() + 1
    }

    #[inline]
    fn find(&self, hash: u64, member: &[u8]) -> Option<Place> {
        let tag = hash as u16;
        self.index.find(hash, |word| word.tag() == tag && Member::of(word).bytes() == member)
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        let place = self.find(self.hasher.hash(member), member)?;
        Some(Member::of(place.word()).score())
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.rank_of(member, score), score))
    }

    /// How many items are in front of this one.
    fn rank_of(&self, member: &[u8], score: f64) -> usize {
        self.tree.partition(|item| item.is_before(score, member))
    }

    /// See `ZSet::update`.
    pub(super) fn update(
        &mut self,
        member: &[u8],
        f: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Option<f64>, Option<f64>) {
        let hash = self.hasher.hash(member);
        let Some(place) = self.find(hash, member) else {
            let new = f(None);
            if let Some(score) = new {
                self.insert(hash, Member::new(member, score), score);
            }
            return (None, new);
        };
        let found = Member::of(place.word());
        let old = found.score();
        let new = f(Some(old));
        if let Some(score) = new
            && score != old
        {
            self.change_score(found, old, score);
        }
        (Some(old), new.or(Some(old)))
    }

    fn insert(&mut self, hash: u64, member: Member, score: f64) {
        self.members += member.memory();
        self.index.insert(hash, member.word(hash as u16), hash_of(&self.hasher));
        let bytes = member.bytes();
        self.tree.insert(Item { score, member }, |item| item.is_before(score, bytes));
    }

    fn change_score(&mut self, member: Member, old: f64, new: f64) {
        let bytes = member.bytes();
        let rank = self.rank_of(bytes, old);
        member.set_score(new);
        let item = Item { score: new, member };
        let stays = self.tree.neighbours(rank).is_some_and(|(left, right)| {
            left.is_before(new, bytes) && !right.is_before(new, bytes)
        });
        if stays {
            self.tree.replace(rank, item);
        } else {
            self.tree.remove(rank);
            self.tree.insert(item, |item| item.is_before(new, bytes));
        }
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let place = self.find(self.hasher.hash(member), member)?;
        let found = Member::of(self.index.remove(place, hash_of(&self.hasher)));
        let score = found.score();
        let rank = self.rank_of(member, score);
        self.tree.remove(rank);
        self.members -= found.memory();
        found.free();
        Some(score)
    }

    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        for _ in ranks.clone() {
            let member = self.tree.remove(ranks.start).member;
            let hash = self.hasher.hash(member.bytes());
            let place = self.index.find(hash, |word| Member::of(word) == member);
            let place = place.expect("a member of the tree is in the index");
            self.index.remove(place, hash_of(&self.hasher));
            self.members -= member.memory();
            member.free();
        }
    }

    pub(super) fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        let start = self.tree.partition(|item| range.is_above(item.score));
        let end = self.tree.partition(|item| range.reaches(item.score));
        start..end.max(start)
    }

    pub(super) fn ranks_by_lex(&self, range: &LexRange<'_>) -> Range<usize> {
        let start = self.tree.partition(|item| range.is_above(item.member.bytes()));
        let end = self.tree.partition(|item| range.reaches(item.member.bytes()));
        start..end.max(start)
    }

    pub(super) fn range(&self, ranks: Range<usize>) -> Items<'_> {
        self.tree.range(ranks.start, ranks.end)
    }

    /// See `ZSet::scan`.
    pub(super) fn scan(&self, position: u64, mut f: impl FnMut(&[u8], f64)) -> Option<u64> {
        // Positions have 48 bits: what is beyond them is behind the end.
        if position >> 48 != 0 {
            return None;
        }
        self.index.visit(position, |word| {
            let member = Member::of(word);
            f(member.bytes(), member.score());
        })
    }
}

impl Clone for Large {
    fn clone(&self) -> Self {
        Self::from_sorted(self.range(0..self.len()).map(Item::entry), &self.hasher)
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        for item in self.tree.range(0, self.tree.len()) {
            item.member.free();
        }
    }
}
