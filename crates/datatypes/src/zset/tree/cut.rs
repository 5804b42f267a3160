//! Cutting items out of a tree, however many they are, by a number of nodes that grows with its height: the tree is
//! split twice, and what is left of it joined again.
//!
//! Nodes beside a cut may be thin: they are merged when they shrink, or where the halves are joined.

use std::ops::Range;

use super::{Edge, Inner, Leaf, Node, Nodes, Tree, insert_in_inner};

/// A node that is the root of nothing else is split as one in the middle of a tree.
const INSIDE: Edge = Edge { left: false, right: false };

impl<T: Copy, const LEAF: usize, const FAN: usize> Node<T, LEAF, FAN> {
    fn height(&self) -> usize {
        let (mut node, mut height) = (self, 0);
        while let Self::Inner(inner) = node {
            node = inner.child(0);
            height += 1;
        }
        height
    }

    /// Counts the nodes, without a look at the leaves.
    fn census(&self, nodes: &mut Nodes) {
        let Self::Inner(inner) = self else {
            nodes.leaves += 1;
            return;
        };
        nodes.inners += 1;
        if let Self::Leaf(_) = inner.child(0) {
            nodes.leaves += inner.len as usize;
        } else {
            (0..inner.len as usize).for_each(|at| inner.child(at).census(nodes));
        }
    }

    /// Moves the items from rank `rank` on, which is neither the first nor behind the last, to a node as high as this.
    fn split_off(&mut self, rank: usize, nodes: &mut Nodes) -> Self {
        match self {
            Self::Leaf(leaf) => {
                let right = Leaf::of(&leaf.items()[rank..]);
                leaf.len = rank as u16;
                nodes.leaves += 1;
                Self::Leaf(right)
            }
            Self::Inner(inner) => {
                nodes.inners += 1;
                let (at, below) = inner.locate(rank);
                if below == 0 {
                    return Self::Inner(inner.split_off(at));
                }
                let child = inner.child_mut(at).split_off(below, nodes);
                inner.counts[at] = below;
                if at + 1 == inner.len as usize {
                    return Self::Inner(Inner::of([child]));
                }
                let mut right = inner.split_off(at + 1);
                right.insert(0, child);
                Self::Inner(right)
            }
        }
    }

    /// Takes a node that is less high in at its left or right end. Returns the right half if this one was split.
    fn attach(&mut self, node: Self, left: bool, levels: usize, nodes: &mut Nodes) -> Option<Self> {
        let Self::Inner(inner) = self else { unreachable!("what is higher than a node is none") };
        let last = inner.len as usize - 1;
        let split = if levels == 1 {
            let at = if left { 0 } else { last + 1 };
            insert_in_inner(inner, at, node, INSIDE)
        } else {
            let at = if left { 0 } else { last };
            let split = inner.child_mut(at).attach(node, left, levels - 1, nodes);
            inner.counts[at] = inner.child(at).count();
            inner.firsts[at] = inner.child(at).first();
            split.and_then(|child| insert_in_inner(inner, at + 1, child, INSIDE))
        };
        nodes.inners += usize::from(split.is_some());
        if split.is_none() {
            let at = if left { 0 } else { inner.len as usize - 1 };
            inner.merge_thin(at, nodes);
        }
        split.map(Self::Inner)
    }

    /// Without nodes at the top that have a single child.
    fn lowered(self, nodes: &mut Nodes) -> Self {
        let mut node = self;
        loop {
            match node {
                Self::Inner(mut inner) if inner.len == 1 => {
                    nodes.inners -= 1;
                    node = inner.remove(0);
                }
                other => return other,
            }
        }
    }

    /// The items of both, `right` behind `left`.
    fn joined(mut left: Self, mut right: Self, nodes: &mut Nodes) -> Self {
        let (high, low) = (left.height(), right.height());
        let (left, right) = if high == low {
            (left, right)
        } else if high > low {
            match left.attach(right, false, high - low, nodes) {
                Some(split) => (left, split),
                None => return left.lowered(nodes),
            }
        } else {
            match right.attach(left, true, low - high, nodes) {
                Some(split) => (right, split),
                None => return right.lowered(nodes),
            }
        };
        nodes.inners += 1;
        let mut root = Inner::of([left, right]);
        for at in [1, 0] {
            if at < root.len as usize {
                root.merge_thin(at, nodes);
            }
        }
        Self::Inner(root).lowered(nodes)
    }
}

type Halves<T, const LEAF: usize, const FAN: usize> =
    (Option<Node<T, LEAF, FAN>>, Option<Node<T, LEAF, FAN>>);

/// Splits a tree of `len` items at rank `rank`.
fn halves<T: Copy, const LEAF: usize, const FAN: usize>(
    root: Option<Node<T, LEAF, FAN>>,
    rank: usize,
    len: usize,
    nodes: &mut Nodes,
) -> Halves<T, LEAF, FAN> {
    if rank == 0 {
        return (None, root);
    }
    if rank == len {
        return (root, None);
    }
    let mut left = root.expect("a tree of some length has a root");
    let right = left.split_off(rank, nodes);
    (Some(left.lowered(nodes)), Some(right.lowered(nodes)))
}

impl<T: Copy, const LEAF: usize, const FAN: usize> Tree<T, LEAF, FAN> {
    /// Takes the items of some ranks, which end at the length at most, out. Returns them.
    pub(crate) fn cut(&mut self, ranks: Range<usize>) -> Self {
        let len = self.len;
        let mut all = self.nodes;
        let (rest, right) = halves(self.root.take(), ranks.end, len, &mut all);
        let (left, middle) = halves(rest, ranks.start, ranks.end, &mut all);
        self.root = match (left, right) {
            (Some(left), Some(right)) => Some(Node::joined(left, right, &mut all)),
            (left, right) => left.or(right),
        };
        let mut cut = Self { root: middle, len: ranks.len(), nodes: Nodes::default() };
        self.len -= cut.len;
        // The nodes of the smaller part are counted, the others are what remains.
        let (smaller, larger) =
            if self.len < cut.len { (self, &mut cut) } else { (&mut cut, self) };
        let mut counted = Nodes::default();
        if let Some(root) = &smaller.root {
            root.census(&mut counted);
        }
        smaller.nodes = counted;
        larger.nodes =
            Nodes { leaves: all.leaves - counted.leaves, inners: all.inners - counted.inners };
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history<const LEAF: usize, const FAN: usize>(rounds: usize, most: usize) {
        let seed = crate::seed::Seed::new();
        let mut rng = fastrand::Rng::with_seed(seed.number());
        for _ in 0..rounds {
            let mut model: Vec<u64> = (0..rng.u64(..most as u64)).map(|i| i * 8).collect();
            let mut tree: Tree<u64, LEAF, FAN> = Tree::from_sorted(&model);
            while !model.is_empty() {
                for _ in 0..rng.usize(..60) {
                    let key = rng.u64(..most as u64 * 8);
                    let at = model.partition_point(|other| *other < key);
                    model.insert(at, key);
                    tree.insert(key, |other| *other < key);
                }
                for _ in 0..rng.usize(..60.min(model.len())) {
                    let at = rng.usize(..model.len());
                    assert_eq!(tree.remove(at), model.remove(at));
                }
                let (a, b) = (rng.usize(..=model.len()), rng.usize(..=model.len()));
                let ranks = match rng.u8(..8) {
                    0 => 0..a,
                    1 => a..model.len(),
                    2 => a..a,
                    _ => a.min(b)..a.max(b),
                };
                let mut cut = tree.cut(ranks.clone());
                cut.check();
                tree.check();
                assert!(cut.range(0, usize::MAX).copied().eq(model.drain(ranks)));
                assert!(tree.range(0, usize::MAX).eq(&model));
                while cut.len() > 0 {
                    cut.remove(cut.len() - 1);
                }
                assert_eq!(cut.allocations(), 0);
            }
            tree.check();
        }
    }

    #[test]
    fn cut_out_and_joined() {
        history::<4, 4>(60, 3000);
        history::<5, 3>(60, 1000);
        history::<3, 5>(60, 500);
        history::<63, 50>(10, 30_000);
    }

    /// Cutting leaves thin nodes along the cut; they do not add up.
    #[test]
    fn many_cuts_leave_few_nodes() {
        let items: Vec<u64> = (0..200_000).collect();
        let mut tree: Tree<u64, 63, 50> = Tree::from_sorted(&items);
        let mut rng = fastrand::Rng::with_seed(1);
        while tree.len() > 2000 {
            let at = rng.usize(..tree.len() - 60);
            tree.cut(at..at + 60);
        }
        tree.check();
        assert!(tree.nodes.leaves < 2000 / 63 * 8, "{:?}", tree.nodes);
    }
}
