//! An order-statistics B+tree: items in order, found by rank as well as by a search, in O(log n).
//!
//! Owns nodes and nothing else: items are small `Copy` values, and what orders them is told per call, as predicates that
//! are true of a prefix of the items. Whoever inserts keeps that order.
//!
//! Every inner node holds, for each child, the child's first item and its number of items. Nodes are never empty.
//! A node that grows beyond its room is split in halves, unless it grows at the outer end of the tree: then it is left
//! full, so that items that come in order fill their leaves. A node that shrinks below a third is merged with a
//! neighbour if both fill three quarters of a node at most; any two neighbours of which one has shrunk therefore hold
//! more than three quarters of a node together. No operation touches more nodes than the tree is high, twice.

mod cut;

use crate::buffer::size_class;
use crate::rest::Rest;
use crate::table::{prefetch, prefetch_all, prefetch_bytes};

/// A tree with up to `LEAF` items in a leaf and up to `FAN` children in an inner node.
#[derive(Debug, Clone)]
pub(crate) struct Tree<T, const LEAF: usize, const FAN: usize> {
    root: Option<Node<T, LEAF, FAN>>,
    len: usize,
    nodes: Nodes,
}

/// How many nodes of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Nodes {
    leaves: usize,
    inners: usize,
}

#[derive(Debug, Clone)]
enum Node<T, const LEAF: usize, const FAN: usize> {
    Leaf(Box<Leaf<T, LEAF>>),
    Inner(Box<Inner<T, LEAF, FAN>>),
}

#[derive(Debug, Clone)]
struct Leaf<T, const LEAF: usize> {
    len: u16,
    items: [T; LEAF],
}

#[derive(Debug, Clone)]
struct Inner<T, const LEAF: usize, const FAN: usize> {
    len: u16,
    /// Items below each child.
    counts: [usize; FAN],
    /// The first item below each child.
    firsts: [T; FAN],
    children: [Option<Node<T, LEAF, FAN>>; FAN],
    /// Freeing the children takes a while.
    _rest: Rest,
}

/// Whether a node is at the left or right end of the tree.
#[derive(Clone, Copy)]
struct Edge {
    left: bool,
    right: bool,
}

/// Puts `value` at position `at` of the first `len` elements of `array`, which must have room for one more.
fn insert_at<T>(array: &mut [T], len: usize, at: usize, value: T) {
    array[len] = value;
    array[at..=len].rotate_right(1);
}

impl<T: Copy, const LEAF: usize> Leaf<T, LEAF> {
    /// A leaf with these items, of which there is at least one. It also fills the places behind them.
    fn of(items: &[T]) -> Box<Self> {
        let mut leaf = Box::new(Self { len: items.len() as u16, items: [items[0]; LEAF] });
        leaf.items[..items.len()].copy_from_slice(items);
        leaf
    }

    #[inline]
    fn items(&self) -> &[T] {
        &self.items[..self.len as usize]
    }

    fn insert(&mut self, at: usize, item: T) {
        let len = self.len as usize;
        self.items.copy_within(at..len, at + 1);
        self.items[at] = item;
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> T {
        let item = self.items[at];
        self.items.copy_within(at + 1..self.len as usize, at);
        self.len -= 1;
        item
    }
}

impl<T: Copy, const LEAF: usize, const FAN: usize> Inner<T, LEAF, FAN> {
    /// A node with these children, of which there is at least one.
    fn of(children: impl IntoIterator<Item = Node<T, LEAF, FAN>>) -> Box<Self> {
        let mut children = children.into_iter();
        let child = children.next().expect("a node has a child");
        let mut inner = Box::new(Self {
            len: 1,
            counts: [child.count(); FAN],
            firsts: [child.first(); FAN],
            children: [const { None }; FAN],
            _rest: Rest,
        });
        inner.children[0] = Some(child);
        for child in children {
            inner.insert(inner.len as usize, child);
        }
        inner
    }

    fn insert(&mut self, at: usize, child: Node<T, LEAF, FAN>) {
        let len = self.len as usize;
        insert_at(&mut self.counts, len, at, child.count());
        insert_at(&mut self.firsts, len, at, child.first());
        insert_at(&mut self.children, len, at, Some(child));
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> Node<T, LEAF, FAN> {
        let len = self.len as usize;
        self.counts[at..len].rotate_left(1);
        self.firsts[at..len].rotate_left(1);
        self.children[at..len].rotate_left(1);
        self.len -= 1;
        self.children[len - 1].take().expect("a child at each position below the length")
    }

    /// Moves the children from `at` on to a new node.
    fn split_off(&mut self, at: usize) -> Box<Self> {
        let len = self.len as usize;
        let moved = self.children[at..len].iter_mut().flat_map(Option::take);
        let right = Self::of(moved);
        self.len = at as u16;
        right
    }

    #[inline]
    fn child(&self, at: usize) -> &Node<T, LEAF, FAN> {
        self.children[at].as_ref().expect("a child at each position below the length")
    }

    #[inline]
    fn child_mut(&mut self, at: usize) -> &mut Node<T, LEAF, FAN> {
        self.children[at].as_mut().expect("a child at each position below the length")
    }

    /// The child below which the first item is that `before` is not true of, or the last item if it is true of all.
    #[inline]
    fn find(&self, before: &impl Fn(&T) -> bool) -> usize {
        self.firsts[..self.len as usize].partition_point(before).saturating_sub(1)
    }

    /// The child with the item of rank `rank`, and that rank below the child.
    #[inline]
    fn locate(&self, mut rank: usize) -> (usize, usize) {
        let mut at = 0;
        while rank >= self.counts[at] {
            rank -= self.counts[at];
            at += 1;
        }
        (at, rank)
    }
}

impl<T: Copy, const LEAF: usize, const FAN: usize> Node<T, LEAF, FAN> {
    #[inline]
    fn first(&self) -> T {
        match self {
            Self::Leaf(leaf) => leaf.items[0],
            Self::Inner(inner) => inner.firsts[0],
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len as usize,
            Self::Inner(inner) => inner.counts[..inner.len as usize].iter().sum(),
        }
    }

    /// Inserts an item in front of the first that `before` is not true of. Returns the right half if the node was
    /// split.
    fn insert(
        &mut self,
        item: T,
        before: &impl Fn(&T) -> bool,
        edge: Edge,
        nodes: &mut Nodes,
    ) -> Option<Self> {
        match self {
            Self::Leaf(leaf) => {
                let at = leaf.items().partition_point(before);
                let split = insert_in_leaf(leaf, at, item, edge);
                nodes.leaves += usize::from(split.is_some());
                split.map(Self::Leaf)
            }
            Self::Inner(inner) => {
                let at = inner.find(before);
                let last = inner.len as usize - 1;
                let inside = Edge { left: edge.left && at == 0, right: edge.right && at == last };
                let split = inner.child_mut(at).insert(item, before, inside, nodes);
                inner.counts[at] += 1;
                inner.firsts[at] = inner.child(at).first();
                let child = split?;
                inner.counts[at] -= child.count();
                let split = insert_in_inner(inner, at + 1, child, edge);
                nodes.inners += usize::from(split.is_some());
                split.map(Self::Inner)
            }
        }
    }

    /// Removes the item of rank `rank`. The node may be left empty or thin.
    fn remove(&mut self, rank: usize, nodes: &mut Nodes) -> T {
        match self {
            Self::Leaf(leaf) => leaf.remove(rank),
            Self::Inner(inner) => {
                let (at, rank) = inner.locate(rank);
                let item = inner.child_mut(at).remove(rank, nodes);
                inner.counts[at] -= 1;
                if inner.counts[at] == 0 {
                    nodes.forget(&inner.remove(at));
                } else {
                    inner.firsts[at] = inner.child(at).first();
                    inner.merge_thin(at, nodes);
                }
                item
            }
        }
    }

    /// Appends the content of the node to the right of this one.
    fn append(&mut self, right: Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => {
                let len = left.len as usize;
                left.items[len..len + right.len as usize].copy_from_slice(right.items());
                left.len += right.len;
            }
            (Self::Inner(left), Self::Inner(mut right)) => {
                let len = right.len as usize;
                for child in right.children[..len].iter_mut().flat_map(Option::take) {
                    left.insert(left.len as usize, child);
                }
            }
            _ => unreachable!("all leaves are at the same depth"),
        }
    }

    /// How full the node is, and how full it may be.
    fn fill(&self) -> (usize, usize) {
        match self {
            Self::Leaf(leaf) => (leaf.len as usize, LEAF),
            Self::Inner(inner) => (inner.len as usize, FAN),
        }
    }
}

fn insert_in_leaf<T: Copy, const LEAF: usize>(
    leaf: &mut Leaf<T, LEAF>,
    at: usize,
    item: T,
    edge: Edge,
) -> Option<Box<Leaf<T, LEAF>>> {
    if (leaf.len as usize) < LEAF {
        leaf.insert(at, item);
        return None;
    }
    if edge.right && at == LEAF {
        return Some(Leaf::of(&[item]));
    }
    if edge.left && at == 0 {
        let right = Leaf::of(leaf.items());
        leaf.items[0] = item;
        leaf.len = 1;
        return Some(right);
    }
    let half = LEAF.div_ceil(2);
    let mut right = Leaf::of(&leaf.items[half..]);
    leaf.len = half as u16;
    if at <= half {
        leaf.insert(at, item);
    } else {
        right.insert(at - half, item);
    }
    Some(right)
}

fn insert_in_inner<T: Copy, const LEAF: usize, const FAN: usize>(
    inner: &mut Inner<T, LEAF, FAN>,
    at: usize,
    child: Node<T, LEAF, FAN>,
    edge: Edge,
) -> Option<Box<Inner<T, LEAF, FAN>>> {
    if (inner.len as usize) < FAN {
        inner.insert(at, child);
        return None;
    }
    if edge.right && at == FAN {
        return Some(Inner::of([child]));
    }
    // The new child of a tree that grows to the left is the second: the first stays alone.
    let middle = if edge.left && at == 1 { 1 } else { FAN.div_ceil(2) };
    let mut right = inner.split_off(middle);
    if at <= middle && middle > 1 {
        inner.insert(at, child);
    } else {
        right.insert(at - middle, child);
    }
    Some(right)
}

impl<T: Copy, const LEAF: usize, const FAN: usize> Inner<T, LEAF, FAN> {
    /// Merges child `at` with a neighbour if it is thin and there is one with room.
    fn merge_thin(&mut self, at: usize, nodes: &mut Nodes) {
        let (fill, room) = self.child(at).fill();
        if fill * 3 >= room {
            return;
        }
        let fits = |other: usize| (fill + self.child(other).fill().0) * 4 <= room * 3;
        let left = if at > 0 && fits(at - 1) {
            at - 1
        } else if at + 1 < self.len as usize && fits(at + 1) {
            at
        } else {
            return;
        };
        let right = self.remove(left + 1);
        nodes.forget(&right);
        self.counts[left] += right.count();
        self.child_mut(left).append(right);
    }
}

impl Nodes {
    /// A node is about to be dropped.
    fn forget<T, const LEAF: usize, const FAN: usize>(&mut self, node: &Node<T, LEAF, FAN>) {
        match node {
            Node::Leaf(_) => self.leaves -= 1,
            Node::Inner(_) => self.inners -= 1,
        }
    }
}

impl<T: Copy, const LEAF: usize, const FAN: usize> Tree<T, LEAF, FAN> {
    /// Begins to load what a search reads first into the cache.
    #[inline]
    pub(crate) fn prefetch_root(&self) {
        /// Where the first items of about so many children are.
        const CHILDREN: usize = 12;
        match &self.root {
            Some(Node::Inner(inner)) => {
                prefetch(&raw const inner.len as *const u8);
                prefetch_bytes(inner.counts.as_ptr().cast(), CHILDREN * size_of::<usize>());
                prefetch_bytes(inner.firsts.as_ptr().cast(), CHILDREN * size_of::<T>());
                prefetch_bytes(inner.children.as_ptr().cast(), CHILDREN * size_of::<usize>());
            }
            Some(Node::Leaf(leaf)) => prefetch_all(&**leaf),
            None => {}
        }
    }

    pub(crate) const fn new() -> Self {
        Self { root: None, len: 0, nodes: Nodes { leaves: 0, inners: 0 } }
    }

    /// A tree of items that come in order, its nodes filled.
    pub(crate) fn from_sorted(items: &[T]) -> Self {
        let mut tree = Self::new();
        tree.len = items.len();
        let mut level: Vec<_> =
            items.chunks(LEAF).map(|items| Node::Leaf(Leaf::of(items))).collect();
        tree.nodes.leaves = level.len();
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len().div_ceil(FAN));
            let mut children = level.into_iter().peekable();
            while children.peek().is_some() {
                above.push(Node::Inner(Inner::of(children.by_ref().take(FAN))));
            }
            tree.nodes.inners += above.len();
            level = above;
        }
        tree.root = level.pop();
        tree
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all nodes.
    pub(crate) fn memory(&self) -> usize {
        self.nodes.leaves * size_class(size_of::<Leaf<T, LEAF>>())
            + self.nodes.inners * size_class(size_of::<Inner<T, LEAF, FAN>>())
    }

    /// How many allocations the nodes are.
    pub(crate) fn allocations(&self) -> usize {
        self.nodes.leaves + self.nodes.inners
    }

    /// The number of items at the front of the tree that `before` is true of. It must be true of none behind them.
    pub(crate) fn partition(&self, before: impl Fn(&T) -> bool) -> usize {
        let Some(mut node) = self.root.as_ref() else { return 0 };
        let mut rank = 0;
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.items().partition_point(&before),
                Node::Inner(inner) => {
                    let at = inner.find(&before);
                    rank += inner.counts[..at].iter().sum::<usize>();
                    node = inner.child(at);
                }
            }
        }
    }

    /// Inserts an item in front of the first that `before` is not true of.
    pub(crate) fn insert(&mut self, item: T, before: impl Fn(&T) -> bool) {
        self.len += 1;
        let Some(root) = &mut self.root else {
            self.nodes.leaves += 1;
            self.root = Some(Node::Leaf(Leaf::of(&[item])));
            return;
        };
        let edge = Edge { left: true, right: true };
        if let Some(right) = root.insert(item, &before, edge, &mut self.nodes) {
            let left = self.root.take().expect("the root that was split");
            self.nodes.inners += 1;
            self.root = Some(Node::Inner(Inner::of([left, right])));
        }
    }

    /// Removes the item of rank `rank`, which must be below the length.
    pub(crate) fn remove(&mut self, rank: usize) -> T {
        assert!(rank < self.len, "a rank within the tree");
        let root = self.root.as_mut().expect("a tree of some length has a root");
        let item = root.remove(rank, &mut self.nodes);
        self.len -= 1;
        if self.len == 0 {
            *self = Self::new();
        }
        while let Some(Node::Inner(root)) = &mut self.root
            && root.len == 1
        {
            self.nodes.inners -= 1;
            self.root = Some(root.remove(0));
        }
        item
    }

    /// Replaces the item of rank `rank`, which must be below the length; its place in the order must be the same.
    pub(crate) fn replace(&mut self, mut rank: usize, item: T) {
        let mut node = self.root.as_mut().expect("a tree of some length has a root");
        loop {
            match node {
                Node::Leaf(leaf) => {
                    leaf.items[rank] = item;
                    return;
                }
                Node::Inner(inner) => {
                    let (at, below) = inner.locate(rank);
                    if below == 0 {
                        inner.firsts[at] = item;
                    }
                    rank = below;
                    node = inner.child_mut(at);
                }
            }
        }
    }

    /// The items before and behind the one of rank `rank`, if they are in the same leaf as it.
    pub(crate) fn neighbours(&self, rank: usize) -> Option<(&T, &T)> {
        let (items, at) = self.leaf_of(rank)?;
        Some((items.get(at.checked_sub(1)?)?, items.get(at + 1)?))
    }

    /// The items of the leaf in which the one of rank `rank` is, and where it is there.
    fn leaf_of(&self, mut rank: usize) -> Option<(&[T], usize)> {
        if rank >= self.len {
            return None;
        }
        let mut node = self.root.as_ref()?;
        loop {
            match node {
                Node::Leaf(leaf) => return Some((leaf.items(), rank)),
                Node::Inner(inner) => {
                    let (at, below) = inner.locate(rank);
                    rank = below;
                    node = inner.child(at);
                }
            }
        }
    }

    /// The items of ranks `start` to `end` (exclusive, at most the length), from either side.
    pub(crate) fn range(&self, start: usize, end: usize) -> Range<'_, T, LEAF, FAN> {
        let end = end.min(self.len);
        Range { tree: self, start: start.min(end), end, front: &[], back: &[] }
    }
}

/// Items in order. It climbs down from the root once per leaf.
#[derive(Debug, Clone)]
pub(crate) struct Range<'a, T, const LEAF: usize, const FAN: usize> {
    tree: &'a Tree<T, LEAF, FAN>,
    start: usize,
    end: usize,
    /// Items from `start` on that are in the same leaf.
    front: &'a [T],
    /// Items in front of `end` that are in the same leaf.
    back: &'a [T],
}

impl<'a, T: Copy, const LEAF: usize, const FAN: usize> Iterator for Range<'a, T, LEAF, FAN> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        if self.start == self.end {
            return None;
        }
        if self.front.is_empty() {
            let (items, at) = self.tree.leaf_of(self.start)?;
            self.front = &items[at..];
        }
        self.start += 1;
        let (item, rest) = self.front.split_first()?;
        self.front = rest;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.start, Some(self.end - self.start))
    }
}

impl<T: Copy, const LEAF: usize, const FAN: usize> DoubleEndedIterator for Range<'_, T, LEAF, FAN> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.start == self.end {
            return None;
        }
        if self.back.is_empty() {
            let (items, at) = self.tree.leaf_of(self.end - 1)?;
            self.back = &items[..=at];
        }
        self.end -= 1;
        let (item, rest) = self.back.split_last()?;
        self.back = rest;
        Some(item)
    }
}

impl<T: Copy, const LEAF: usize, const FAN: usize> ExactSizeIterator for Range<'_, T, LEAF, FAN> {}

#[cfg(test)]
mod tests {
    use super::*;

    impl<T: Copy + Ord + std::fmt::Debug, const LEAF: usize, const FAN: usize> Tree<T, LEAF, FAN> {
        /// Panics unless every node is as the head of this file says.
        pub(super) fn check(&self) {
            let mut seen = Nodes::default();
            let mut depths = Vec::new();
            if let Some(root) = &self.root {
                let count = Self::check_node(root, 0, &mut seen, &mut depths);
                assert_eq!(count, self.len);
                if let Node::Inner(root) = root {
                    assert!(root.len > 1, "a root of one child");
                }
            } else {
                assert_eq!(self.len, 0);
            }
            assert_eq!(seen, self.nodes);
            assert!(depths.windows(2).all(|pair| pair[0] == pair[1]), "{depths:?}");
            let items: Vec<T> = self.range(0, self.len).copied().collect();
            assert!(items.is_sorted());
        }

        fn check_node(
            node: &Node<T, LEAF, FAN>,
            depth: usize,
            seen: &mut Nodes,
            depths: &mut Vec<usize>,
        ) -> usize {
            match node {
                Node::Leaf(leaf) => {
                    seen.leaves += 1;
                    depths.push(depth);
                    assert!(leaf.len > 0, "an empty leaf");
                    leaf.len.into()
                }
                Node::Inner(inner) => {
                    seen.inners += 1;
                    let len = inner.len as usize;
                    assert!(len > 0, "an empty inner node");
                    assert!(inner.children[len..].iter().all(Option::is_none));
                    for i in 0..len {
                        let child = inner.child(i);
                        assert_eq!(inner.firsts[i], child.first());
                        let count = Self::check_node(child, depth + 1, seen, depths);
                        assert_eq!(inner.counts[i], count);
                    }
                    inner.counts[..len].iter().sum()
                }
            }
        }
    }

    /// A random history against a sorted vector. `spread` decides how often keys come again.
    fn history<const LEAF: usize, const FAN: usize>(steps: usize, spread: u64) {
        let seed = crate::seed::Seed::new();
        let mut rng = fastrand::Rng::with_seed(seed.number());
        let mut tree: Tree<u64, LEAF, FAN> = Tree::new();
        let mut model: Vec<u64> = Vec::new();
        let (mut growing, mut top) = (true, 0);
        for step in 0..steps {
            if rng.usize(..steps / 8 + 1) == 0 {
                growing = !growing;
            }
            if model.is_empty() || rng.u8(..10) < if growing { 8 } else { 2 } {
                // In order, in reverse order, or anywhere.
                let key = match step * 4 / steps {
                    0 => {
                        top += 1;
                        (1 << 40) + top
                    }
                    1 => {
                        top += 1;
                        (1 << 40) - top
                    }
                    _ => rng.u64(..spread),
                };
                let at = model.partition_point(|other| *other < key);
                assert_eq!(tree.partition(|other| *other < key), at);
                tree.insert(key, |other| *other < key);
                model.insert(at, key);
            } else {
                let at = match rng.u8(..4) {
                    0 => 0,
                    1 => model.len() - 1,
                    _ => rng.usize(..model.len()),
                };
                assert_eq!(tree.remove(at), model.remove(at));
            }
            assert_eq!(tree.len(), model.len());
            if step % 64 == 0 {
                tree.check();
                assert!(tree.range(0, usize::MAX).eq(&model));
            }
            let (from, to) = (rng.usize(..=model.len()), rng.usize(..=model.len()));
            if from <= to {
                let to = to.min(from + 100);
                let range = tree.range(from, to);
                assert_eq!(range.len(), to - from);
                assert!(range.clone().eq(&model[from..to]));
                assert!(range.rev().eq(model[from..to].iter().rev()));
                both_ends(tree.range(from, to), &model[from..to], &mut rng);
            }
            assert_eq!(tree.range(from, from + 1).next(), model.get(from));
        }
        let bulk: Tree<u64, LEAF, FAN> = Tree::from_sorted(&model);
        bulk.check();
        assert!(bulk.range(0, usize::MAX).eq(&model));
        assert!(tree.clone().range(0, usize::MAX).eq(&model));
        while tree.len() > 0 {
            let at = rng.usize(..tree.len());
            assert_eq!(tree.remove(at), model.remove(at));
        }
        tree.check();
        assert_eq!((tree.allocations(), tree.memory()), (0, 0));
    }

    fn both_ends<'a>(
        mut range: impl DoubleEndedIterator<Item = &'a u64>,
        mut model: &'a [u64],
        rng: &mut fastrand::Rng,
    ) {
        while !model.is_empty() {
            if rng.bool() {
                assert_eq!(range.next(), Some(&model[0]));
                model = &model[1..];
            } else {
                assert_eq!(range.next_back(), model.last());
                model = &model[..model.len() - 1];
            }
        }
        assert_eq!((range.next(), range.next_back()), (None, None));
    }

    #[test]
    fn narrow_nodes() {
        history::<4, 4>(20_000, 1 << 41);
        history::<5, 3>(20_000, 50);
        history::<3, 5>(20_000, 2000);
        history::<2, 4>(20_000, 1 << 20);
    }

    #[test]
    fn wide_nodes() {
        history::<63, 50>(40_000, 1 << 41);
        history::<16, 8>(40_000, 300);
    }

    #[test]
    fn replaced_items_are_found() {
        let items: Vec<u64> = (0..1000).map(|i| i * 10).collect();
        let mut tree: Tree<u64, 4, 4> = Tree::from_sorted(&items);
        for rank in 0..1000 {
            tree.replace(rank, rank as u64 * 10 + 3);
            tree.check();
            assert_eq!(tree.partition(|item| *item < rank as u64 * 10 + 3), rank);
        }
    }

    #[test]
    fn items_in_order_fill_their_leaves() {
        for reversed in [false, true] {
            let mut tree: Tree<u64, 63, 50> = Tree::new();
            for i in 0..100_000 {
                let key = if reversed { 100_000 - i } else { i };
                tree.insert(key, |other| *other < key);
            }
            tree.check();
            assert_eq!(tree.nodes.leaves, 100_000_usize.div_ceil(63));
        }
    }

    #[test]
    fn removing_gives_memory_back() {
        let items: Vec<u64> = (0..100_000).collect();
        let mut tree: Tree<u64, 63, 50> = Tree::from_sorted(&items);
        let mut rng = fastrand::Rng::with_seed(1);
        while tree.len() > 1000 {
            tree.remove(rng.usize(..tree.len()));
        }
        tree.check();
        assert!(tree.nodes.leaves < 1000 / 63 * 3, "{:?}", tree.nodes);
    }
}
