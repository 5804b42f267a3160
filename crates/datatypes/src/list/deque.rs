//! A list of several blocks. The blocks at both ends stand apart, with room to grow; those between are exact, and those
//! deep inside are compressed.
//!
//! Invariants: no block between the ends is empty, and the first and the last of them are not compressed. The blocks at the
//! ends may be empty.

use std::ops::ControlFlow;

use super::block::Block;
use super::chunk::{Chunk, Incoming, Shown};
use super::{Element, ListLimits};
use crate::listpack::Item;
use crate::sequence::{Counted, End, Sequence};

#[derive(Clone, Default)]
pub(super) struct Deque {
    pub(super) head: Block,
    pub(super) middle: Sequence<Chunk>,
    pub(super) tail: Block,
    /// How often in a row compressing a block was of no use, and how many blocks are left alone because of that.
    tough: u8,
    spared: u8,
}

/// After how many blocks in a row that compressing was of no use to no more of them are left alone: every 64th is tried.
const TOUGHEST: u8 = 6;

impl Deque {
    /// A deque that will grow at `end`, of what was a single block.
    pub(super) fn of(block: Block, grows: End) -> Self {
        let (head, tail) = match grows {
            End::Front => (Block::default(), block),
            End::Back => (block, Block::default()),
        };
        Self { head, tail, ..Self::default() }
    }

    /// Blocks that were cut off, as a deque of them.
    pub(super) fn of_dropped(middle: Sequence<Chunk>) -> Self {
        Self { middle, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.head.count() + self.middle.count() + self.tail.count()
    }

    #[inline]
    fn side(&mut self, end: End) -> &mut Block {
        match end {
            End::Front => &mut self.head,
            End::Back => &mut self.tail,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, end: End, element: Incoming<'_>, limits: ListLimits) {
        let element = match element {
            Incoming::Packed(element) => element,
            Incoming::Large(text) => {
                self.retire(end, limits);
                return self.middle.push(end, Chunk::Large(text));
            }
        };
        if !limits.admit(self.side(end), element.total()) {
            self.retire(end, limits);
        }
        self.side(end).push(end, &element);
    }

    /// Appends a block.
    pub(super) fn append(&mut self, block: Block, limits: ListLimits) {
        self.retire(End::Back, limits);
        self.tail = block;
    }

    /// Moves the block at an end among those between.
    #[cold]
    fn retire(&mut self, end: End, limits: ListLimits) {
        let mut block = std::mem::take(self.side(end));
        if block.count() > 0 {
            block.seal();
            let typical = block.count();
            self.middle.push(end, Chunk::Packed(block));
            if self.middle.blocks() / 2 > limits.open {
                self.squeeze_from(end, limits.open.max(1).saturating_mul(typical));
            }
        }
    }

    /// Compresses the block that is so many elements from an end, and the one behind it: where blocks hold different numbers
    /// of elements, one may have been passed over.
    fn squeeze_from(&mut self, end: End, reach: usize) {
        let count = self.middle.count();
        let mut at = reach;
        for _ in 0..2 {
            // As far from the other end, too.
            if at >= count.saturating_sub(reach) {
                return;
            }
            let index = if end == End::Front { at } else { count - 1 - at };
            let Some((Chunk::Packed(block), offset)) = self.middle.locate(index) else { return };
            // Where blocks differ much, this may be one of the outermost.
            if offset == index || index - offset + block.count() == count {
                return;
            }
            if let Some(left) = self.spared.checked_sub(1) {
                self.spared = left;
                return;
            }
            at += if end == End::Front { block.count() - offset } else { offset + 1 };
            if self.middle.edit(index, |chunk, _, _| chunk.squeeze()) {
                self.tough = 0;
            } else {
                self.tough = (self.tough + 1).min(TOUGHEST);
                self.spared = (1 << self.tough) - 1;
                return;
            }
        }
    }

    /// Restores the outermost block between the ends, if it is compressed: it is looked at next.
    #[inline]
    fn open_edge(&mut self, end: End) {
        if let Some(Chunk::Squeezed(_)) = self.middle.edge(end) {
            self.middle.edit_edge(end, Chunk::open);
        }
    }

    fn open_edges(&mut self) {
        self.open_edge(End::Front);
        self.open_edge(End::Back);
    }

    pub(super) fn edge(&self, end: End) -> Option<Element<'_>> {
        let (near, far) = match end {
            End::Front => (&self.head, &self.tail),
            End::Back => (&self.tail, &self.head),
        };
        if let Some(item) = near.edge(end) {
            return Some(item.into());
        }
        match self.middle.edge(end) {
            Some(Chunk::Packed(block)) => block.edge(end).map(Element::from),
            Some(Chunk::Large(text)) => Some(Element::Shared(text)),
            Some(Chunk::Squeezed(_)) => unreachable!("the outermost blocks are not compressed"),
            None => far.edge(end).map(Element::from),
        }
    }

    /// Removes the first or the last element, of which there must be one.
    pub(super) fn pop(&mut self, end: End) {
        if self.side(end).count() == 0 {
            let outermost = self.middle.pop(end);
            self.open_edge(end);
            match outermost {
                Some(Chunk::Packed(block)) => *self.side(end) = block,
                Some(Chunk::Squeezed(block)) => *self.side(end) = block.restore(),
                Some(Chunk::Large(_)) => return,
                None => {
                    let far = if end == End::Front { End::Back } else { End::Front };
                    return self.side(far).pop(end);
                }
            }
        }
        self.side(end).pop(end);
    }

    pub(super) fn with<R>(&self, index: usize, f: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let Some(index) = index.checked_sub(self.head.count()) else {
            return Some(f(self.head.get(index).into()));
        };
        if let Some((chunk, offset)) = self.middle.locate(index) {
            return Some(match chunk.show() {
                Shown::Packed(block) => f(block.get(offset).into()),
                Shown::Large(text) => f(Element::Shared(text)),
            });
        }
        let index = index - self.middle.count();
        (index < self.tail.count()).then(|| f(self.tail.get(index).into()))
    }

    /// Edits the block of the element `index`, wherever that is, as [`Sequence::edit`] does. One that was compressed is so
    /// again afterwards.
    pub(super) fn edit<R>(
        &mut self,
        index: usize,
        limits: ListLimits,
        f: impl FnOnce(&mut Chunk, usize, &mut Vec<Chunk>) -> R,
    ) -> R {
        let (head, middle) = (self.head.count(), self.middle.count());
        if (head..head + middle).contains(&index) {
            let result = self.middle.edit(index - head, |chunk, at, behind| {
                chunk.edit_open(limits, |chunk| f(chunk, at, behind))
            });
            self.open_edges();
            return result;
        }
        let (end, at) =
            if index < head { (End::Front, index) } else { (End::Back, index - head - middle) };
        let mut chunk = Chunk::Packed(std::mem::take(self.side(end)));
        let mut pieces = Vec::new();
        let result = f(&mut chunk, at, &mut pieces);
        pieces.insert(0, chunk);
        // The outermost piece is the new end, if it can be; the rest goes between.
        if end == End::Back {
            pieces.reverse();
        }
        let mut outermost = true;
        let mut between = Vec::new();
        for piece in pieces {
            match piece {
                Chunk::Packed(block) if outermost => *self.side(end) = block,
                other if other.count() > 0 => between.push(other),
                _ => {}
            }
            outermost = false;
        }
        for piece in between.into_iter().rev() {
            self.middle.push(end, piece);
        }
        result
    }

    /// Calls `f` with the elements from number `from` on, until it breaks.
    pub(super) fn for_each(&self, from: usize, mut f: impl FnMut(Element<'_>) -> ControlFlow<()>) {
        let head = self.head.count();
        if from < head && forwards(&self.head, from, &mut f).is_break() {
            return;
        }
        let mut at = from.saturating_sub(head);
        while let Some((chunk, offset)) = self.middle.locate(at) {
            let done = match chunk.show() {
                Shown::Packed(block) => forwards(&block, offset, &mut f),
                Shown::Large(text) => f(Element::Shared(text)),
            };
            if done.is_break() {
                return;
            }
            at += chunk.count() - offset;
        }
        at -= self.middle.count();
        if at < self.tail.count() {
            // Whatever it says, this was the last block.
            let _ = forwards(&self.tail, at, &mut f);
        }
    }

    /// Calls `f` with the elements in front of number `from`, the last one first, until it breaks.
    pub(super) fn for_each_back(
        &self,
        from: usize,
        mut f: impl FnMut(Element<'_>) -> ControlFlow<()>,
    ) {
        let (head, middle) = (self.head.count(), self.middle.count());
        if from > head + middle && backwards(&self.tail, from - head - middle, &mut f).is_break() {
            return;
        }
        let mut left = from.saturating_sub(head).min(middle);
        while left > 0 {
            let (chunk, offset) = self.middle.locate(left - 1).expect("it is among those between");
            let done = match chunk.show() {
                Shown::Packed(block) => backwards(&block, offset + 1, &mut f),
                Shown::Large(text) => f(Element::Shared(text)),
            };
            if done.is_break() {
                return;
            }
            left -= offset + 1;
        }
        // Whatever it says, this was the last block.
        let _ = backwards(&self.head, from.min(head), &mut f);
    }

    /// Removes the first `n` elements. Whole blocks are returned, to be freed when there is time.
    pub(super) fn remove_front(&mut self, n: usize) -> Sequence<Chunk> {
        let mut n = n - cut_front(&mut self.head, n);
        let mut dropped = Sequence::new();
        if let Some((_, offset)) = self.middle.locate(n) {
            if offset > 0 {
                self.middle.edit(n, |chunk, offset, _| chunk.remove(0, offset));
                n -= offset;
            }
            let rest = self.middle.split_off(n);
            let dropped = std::mem::replace(&mut self.middle, rest);
            self.open_edge(End::Front);
            return dropped;
        }
        n -= self.middle.count();
        std::mem::swap(&mut dropped, &mut self.middle);
        cut_front(&mut self.tail, n);
        dropped
    }

    /// Removes the last `n` elements. Whole blocks are returned, to be freed when there is time.
    pub(super) fn remove_back(&mut self, n: usize) -> Sequence<Chunk> {
        let n = n - cut_back(&mut self.tail, n);
        if n == 0 {
            return Sequence::new();
        }
        let Some(keep) = self.middle.count().checked_sub(n).filter(|keep| *keep > 0) else {
            let n = n - self.middle.count();
            cut_back(&mut self.head, n);
            return std::mem::take(&mut self.middle);
        };
        let (_, offset) = self.middle.locate(keep).expect("some of them go");
        if offset > 0 {
            self.middle.edit(keep, |chunk, offset, _| chunk.remove(offset, chunk.count() - offset));
        }
        let dropped = self.middle.split_off(keep);
        self.open_edge(End::Back);
        dropped
    }

    /// Removes up to `limit` elements that equal `wanted`, from the given end. Returns how many were.
    pub(super) fn remove_equal(
        &mut self,
        wanted: &[u8],
        limit: usize,
        from: End,
        limits: ListLimits,
    ) -> usize {
        let item = Item::of(wanted);
        let mut removed = 0;
        if from == End::Front {
            removed += self.head.remove_equal(item, limit, from);
        } else {
            removed += self.tail.remove_equal(item, limit, from);
        }
        let mut at = if from == End::Front { 0 } else { self.middle.count() };
        while removed < limit {
            // Blocks without such an element, which are most, are not touched.
            let index = if from == End::Front { Some(at) } else { at.checked_sub(1) };
            let Some((chunk, offset)) = index.and_then(|index| self.middle.locate(index)) else {
                break;
            };
            let (start, count) =
                (at - if from == End::Front { 0 } else { offset + 1 }, chunk.count());
            let has = match chunk.show() {
                Shown::Packed(block) => block.iter(0).any(|other| other == item),
                Shown::Large(text) => &text[..] == wanted,
            };
            let mut gone = 0;
            if has {
                let limit = limit - removed;
                gone = self.middle.edit(start, |chunk, _, _| {
                    chunk.edit_open(limits, |chunk| chunk.remove_equal(wanted, limit, from))
                });
                removed += gone;
            }
            at = if from == End::Front { start + count - gone } else { start };
        }
        if removed < limit {
            let far = if from == End::Front { &mut self.tail } else { &mut self.head };
            removed += far.remove_equal(item, limit - removed, from);
        }
        self.open_edges();
        removed
    }
}

fn forwards(
    block: &Block,
    from: usize,
    f: &mut impl FnMut(Element<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    block.iter(from).map(Element::from).try_for_each(f)
}

fn backwards(
    block: &Block,
    from: usize,
    f: &mut impl FnMut(Element<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    block.iter_back(from).map(Element::from).try_for_each(f)
}

/// Removes up to `n` elements and returns how many.
fn cut_front(block: &mut Block, n: usize) -> usize {
    let n = n.min(block.count());
    block.remove(0, n);
    n
}

fn cut_back(block: &mut Block, n: usize) -> usize {
    let n = n.min(block.count());
    block.remove(block.count() - n, n);
    n
}
