//! The form of small sorted sets: a listpack of members and scores in turn, in the order of scores.

use std::ops::Range;

use super::bounds::{LexRange, ScoreRange};
use crate::collection::Ahead;
use crate::float::with_f64_text;
use crate::listpack::{Corrupt, Item, Listpack, Pos};

#[derive(Debug, Clone)]
pub struct Packed(Listpack);

fn try_number(item: Item<'_>) -> Option<f64> {
    match item {
        Item::Int(value) => Some(value as f64),
        Item::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
    }
}

fn number(item: Item<'_>) -> f64 {
    try_number(item).expect("scores are numbers")
}

/// Calls `f` with a score as it is kept. Zero loses its sign here, as it does in Redis.
fn with_score_text<R>(score: f64, f: impl FnOnce(&[u8]) -> R) -> R {
    with_f64_text(score + 0.0, |text| f(text.as_bytes()))
}

fn is_before((member, score): (Item<'_>, f64), other: &[u8], other_score: f64) -> bool {
    score < other_score || score == other_score && member.with_bytes(|member| member < other)
}

impl Packed {
    pub(super) fn new() -> Self {
        Self(Listpack::new())
    }

    /// A listpack from outside: its members must be different and its scores numbers; their order is yet to be looked at.
    pub(super) fn of(pack: Listpack) -> Result<Self, Corrupt> {
        let mut scores = pack.iter().skip(1).step_by(2);
        let numbers = scores.all(|item| try_number(item).is_some_and(|score| !score.is_nan()));
        if !pack.len().is_multiple_of(2) || !numbers || pack.has_twice(1) {
            return Err(Corrupt);
        }
        Ok(Self(pack))
    }

    pub(super) fn is_in_order(&self) -> bool {
        self.range(0..self.len()).is_sorted_by(|(a, a_score), (b, b_score)| {
            b.with_bytes(|member| is_before((*a, *a_score), member, *b_score))
        })
    }

    pub(super) fn listpack(&self) -> &Listpack {
        &self.0
    }

    /// A sorted set of members that come in order, each once. `bytes` is about what they need.
    pub(super) fn from_sorted<'a>(
        entries: impl Iterator<Item = (&'a [u8], f64)>,
        bytes: usize,
    ) -> Self {
        let mut pack = Listpack::with_capacity(bytes);
        for (member, score) in entries {
            pack.push_back(member);
            with_score_text(score, |text| pack.push_back(text));
        }
        Self(pack)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len() / 2
    }

    #[inline]
    pub(super) fn prefetch(&self, step: Ahead) {
        self.0.prefetch(step);
    }

    pub(super) fn memory(&self) -> usize {
        self.0.memory()
    }

    /// Whether a member of `len` bytes may be added.
    pub(super) fn fits(&self, len: usize) -> bool {
        self.0.fits(len, 2)
    }

    fn find(&self, member: &[u8]) -> Option<(Pos, f64)> {
        let at = self.0.find(member, 1)?;
        Some((at, self.score_behind(at)))
    }

    fn score_pos(&self, member: Pos) -> Pos {
        self.0.next(member).expect("a score behind each member")
    }

    fn score_behind(&self, member: Pos) -> f64 {
        number(self.0.get(self.score_pos(member)))
    }

    fn entry(&self, member: Pos) -> (Item<'_>, f64) {
        (self.0.get(member), self.score_behind(member))
    }

    fn next(&self, member: Pos) -> Option<Pos> {
        self.0.next(self.score_pos(member))
    }

    fn prev(&self, member: Pos) -> Option<Pos> {
        self.0.prev(self.0.prev(member)?)
    }

    fn seek(&self, rank: usize) -> Option<Pos> {
        self.0.seek(rank as isize * 2)
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|(_, score)| score)
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let (at, score) = self.find(member)?;
        let (_, rank) = self.0.partition_pairs(|pos| pos < at);
        Some((rank, score))
    }

    /// Gives a member that is there the score that `f` makes of its own. See `ZSet::update`.
    pub(super) fn update(
        &mut self,
        member: &[u8],
        f: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Result<(Option<f64>, Option<f64>), f64> {
        let Some((at, old)) = self.find(member) else {
            return f(None).map_or(Ok((None, None)), Err);
        };
        let new = f(Some(old));
        if let Some(score) = new
            && score != old
        {
            self.change_score(at, member, score);
        }
        Ok((Some(old), new.or(Some(old))))
    }

    fn change_score(&mut self, at: Pos, member: &[u8], score: f64) {
        let follows = self.prev(at).is_none_or(|left| is_before(self.entry(left), member, score));
        let stays = follows
            && self.next(at).is_none_or(|right| !is_before(self.entry(right), member, score));
        if stays {
            let score_pos = self.score_pos(at);
            with_score_text(score, |text| self.0.replace(score_pos, text));
        } else {
            self.0.remove_range(at, 2);
            self.insert(member, score);
        }
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) {
        let (place, _) = self.0.partition_pairs(|at| {
            let found = self.score_behind(at);
            found < score || found == score && is_before(self.entry(at), member, score)
        });
        with_score_text(score, |text| match place {
            Some(at) => {
                let at = self.0.insert_before(at, member);
                self.0.insert_after(at, text);
            }
            None => {
                self.0.push_back(member);
                self.0.push_back(text);
            }
        });
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (at, score) = self.find(member)?;
        self.0.remove_range(at, 2);
        Some(score)
    }

    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>) {
        if let Some(at) = self.seek(ranks.start) {
            self.0.remove_range(at, ranks.len() * 2);
        }
    }

    pub(super) fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        let (_, start) = self.0.partition_pairs(|at| range.is_above(self.score_behind(at)));
        let (_, end) = self.0.partition_pairs(|at| range.reaches(self.score_behind(at)));
        start..end.max(start)
    }

    /// Members in the interval, which counts on all scores being the same. Where they are not, what is found is what a
    /// walk from the first member on finds, or from the last one on if `reversed`, as in Redis.
    pub(super) fn ranks_by_lex(&self, range: &LexRange<'_>, reversed: bool) -> Range<usize> {
        let len = self.len();
        let above = |item: &Item<'_>| item.with_bytes(|member| range.is_above(member));
        let reaches = |item: &Item<'_>| item.with_bytes(|member| range.reaches(member));
        let mut members = self.range(0..len).map(|(member, _)| member);
        // A quick look at both ends comes first.
        let (Some(first), Some(last)) = (members.next(), self.0.seek(-2)) else { return 0..0 };
        if above(&self.0.get(last)) || !reaches(&first) {
            return 0..0;
        }
        let members = || self.range(0..len).map(|(member, _)| member);
        if reversed {
            let skipped = members().rev().take_while(|member| !reaches(member)).count();
            let found = members().rev().skip(skipped).take_while(|member| !above(member)).count();
            len - skipped - found..len - skipped
        } else {
            let start = members().take_while(above).count();
            let found = members().skip(start).take_while(reaches).count();
            start..start + found
        }
    }

    pub(super) fn range(&self, ranks: Range<usize>) -> Pairs<'_> {
        let end = ranks.end.min(self.len());
        let left = end.saturating_sub(ranks.start);
        let (front, back) = match left {
            0 => (None, None),
            _ => (self.seek(ranks.start), None),
        };
        Pairs { packed: self, front, back, end, left }
    }
}

/// Members and scores from either side.
#[derive(Debug, Clone)]
pub(super) struct Pairs<'a> {
    packed: &'a Packed,
    front: Option<Pos>,
    /// The last one that is left, once somebody has asked for one from the back.
    back: Option<Pos>,
    /// The rank behind the last one that is left.
    end: usize,
    left: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Item<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let at = self.front?;
        let pack = &self.packed.0;
        let score_pos = self.packed.score_pos(at);
        self.front = pack.next(score_pos);
        self.left -= 1;
        Some((pack.get(at), number(pack.get(score_pos))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for Pairs<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let at = match self.back {
            Some(at) => at,
            None => self.packed.seek(self.end - 1)?,
        };
        self.back = self.packed.prev(at);
        self.left -= 1;
        Some(self.packed.entry(at))
    }
}

impl ExactSizeIterator for Pairs<'_> {}
