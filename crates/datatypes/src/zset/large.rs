//! The form of large sorted sets: a tree in the order of scores, and an index of the members.
//!
//! Each member is one allocation, to which tree and index both point. The tree also holds the scores, so that a search
//! looks at members only where scores are equal. Invariant: tree and index hold the same members, each once, and the
//! score of an item in the tree is that of its member.
//!
//! Many members that go together are cut out of the tree at once, but leave the index one after the other, with the
//! changes that follow or in steps of `prune`: till then the index holds more than the tree, and what it finds counts
//! only if the tree holds it too.

use std::cmp::Ordering;
use std::ops::Range;

use super::bounds::{LexRange, ScoreRange};
use super::member::Member;
use super::tree::{self, Tree};
use crate::collection::Ahead;
use crate::hash::{Hasher, same};
use crate::rest;
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

/// More members than this that are removed together leave the index later.
const AT_ONCE: usize = if cfg!(test) { 8 } else { 512 };
/// Members that leave the index with each change.
const WITH_CHANGE: usize = 8;

pub struct Large {
    tree: Tree<Item, LEAF, FAN>,
    index: Table,
    hasher: Hasher,
    /// Bytes of all members, of those that leave too.
    members: usize,
    /// What was cut out of the tree and is still in the index. No tree is empty.
    leaving: Vec<Tree<Item, LEAF, FAN>>,
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
        Self {
            tree: Tree::from_sorted(&items),
            index,
            hasher: hasher.clone(),
            members,
            leaving: Vec::new(),
        }
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
                    self.index.ahead(hash);
                }
            }
            (Ahead::Element, Some(hash)) => {
                self.index.ahead(hash).map(|bucket| bucket.prefetch_entry(hash));
            }
            (Ahead::Element, None) => {}
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(super) fn memory(&self) -> usize {
        let leaving = self.leaving.iter().map(Tree::memory).sum::<usize>();
        size_of::<Self>() + self.tree.memory() + leaving + self.index.stats().memory + self.members
    }

    pub(super) fn allocations(&self) -> usize {
        let trees = self.leaving.iter().chain([&self.tree]);
        trees.map(|tree| tree.allocations() + tree.len()).sum::<usize>() + 1
    }

    #[inline]
    fn find(&self, hash: u64, member: &[u8]) -> Option<Place> {
        self.index.find_tagged(hash, |word| {
            let found = Member::of(word);
            same(found.bytes(), member) && self.holds(found)
        })
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

    /// Whether a member of the index has not left the tree.
    #[inline]
    fn holds(&self, member: Member) -> bool {
        self.leaving.is_empty() || {
            let rank = self.rank_of(member.bytes(), member.score());
            self.tree.range(rank, rank + 1).next().is_some_and(|item| item.member == member)
        }
    }

    /// Whether members are still to leave the index.
    #[inline]
    pub(super) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Takes up to `most` members that are leaving out of the index, and frees them.
    #[cold]
    pub(super) fn prune(&mut self, most: usize) {
        for _ in 0..most {
            let Some(tree) = self.leaving.last_mut() else { return };
            let item = tree.remove(tree.len() - 1);
            if tree.len() == 0 {
                self.leaving.pop();
            }
            self.forget(item.member);
        }
    }

    /// Takes a member that the tree holds no more out of the index, and frees it.
    fn forget(&mut self, member: Member) {
        let hash = self.hasher.hash(member.bytes());
        let place = self.index.find_tagged(hash, |word| Member::of(word) == member);
        let place = place.expect("a member of the tree is in the index");
        self.index.remove(place, hash_of(&self.hasher));
        self.members -= member.memory();
        member.free();
    }

    /// A step of [`Self::prune`] with each change.
    #[inline]
    fn prune_with_change(&mut self) {
        if self.is_leaving() {
            self.prune(WITH_CHANGE);
        }
    }

    /// See `ZSet::update`.
    pub(super) fn update(
        &mut self,
        member: &[u8],
        f: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Option<f64>, Option<f64>) {
        self.prune_with_change();
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
        self.prune_with_change();
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
        self.prune_with_change();
        if ranks.len() > AT_ONCE {
            self.leaving.push(self.tree.cut(ranks));
            return;
        }
        for _ in ranks.clone() {
            let member = self.tree.remove(ranks.start).member;
            self.forget(member);
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
            if self.holds(member) {
                f(member.bytes(), member.score());
            }
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
        for tree in self.leaving.iter().chain([&self.tree]) {
            tree.range(0, tree.len()).for_each(|item| {
                item.member.free();
                rest::step();
            });
        }
    }
}
