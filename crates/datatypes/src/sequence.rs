//! A long sequence of blocks, each of which holds some elements: what large lists and streams are made of.
//!
//! A B+tree in which every inner node knows how many elements are below each of its children, so that the block of the
//! element number `i` is found in as many steps as the tree is high: 64 blocks to a leaf, 64 children to a node. Nodes
//! that are filled from one end stay full, as a node splits at the end that grows; nodes that were thinned out join a
//! neighbour. Cutting the sequence in two costs as many steps as the tree is high as well.
//!
//! Invariant: no block in the sequence is without elements, no node without children but for the root of an empty
//! sequence; all leaves are equally deep; every count is the sum of those below.

use crate::rest::Rest;

/// Blocks in a leaf and children of a node, at most.
const FAN: usize = 64;
/// A node this small joins a neighbour if it can.
const SMALL: usize = FAN / 4;

/// Something that holds elements.
pub(crate) trait Counted {
    /// The number of elements.
    fn count(&self) -> usize;
}

#[derive(Clone)]
enum Node<T> {
    Leaf(Vec<T>),
    Inner(Vec<Child<T>>),
}

#[derive(Clone)]
struct Child<T> {
    /// Elements below.
    count: usize,
    node: Node<T>,
    /// Freeing the blocks below takes a while.
    _rest: Rest,
}

#[derive(Clone)]
pub(crate) struct Sequence<T> {
    root: Node<T>,
    /// Elements.
    count: usize,
    blocks: usize,
}

/// What became of a subtree in which one block was edited.
struct Edited<T, R> {
    result: R,
    /// Elements more, or fewer, over the whole subtree: the part in `overflow` included.
    delta: isize,
    blocks: isize,
    /// What found no room, to stand behind the subtree.
    overflow: Option<Child<T>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Front,
    Back,
}

impl<T: Counted> Node<T> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(blocks) => blocks.len(),
            Self::Inner(children) => children.len(),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(blocks) => blocks.iter().map(Counted::count).sum(),
            Self::Inner(children) => children.iter().map(|child| child.count).sum(),
        }
    }

    fn blocks(&self) -> usize {
        match self {
            Self::Leaf(blocks) => blocks.len(),
            Self::Inner(children) => children.iter().map(|child| child.node.blocks()).sum(),
        }
    }

    fn push(&mut self, end: End, block: T) -> Option<Self> {
        match self {
            Self::Leaf(blocks) if blocks.len() == FAN => Some(Self::Leaf(vec![block])),
            Self::Leaf(blocks) => {
                put(blocks, end, block);
                None
            }
            Self::Inner(children) => {
                let count = block.count();
                let child = edge(children, end);
                let Some(node) = child.node.push(end, block) else {
                    child.count += count;
                    return None;
                };
                let new = Child { count, node, _rest: Rest };
                if children.len() == FAN {
                    return Some(Self::Inner(vec![new]));
                }
                put(children, end, new);
                None
            }
        }
    }

    fn pop(&mut self, end: End) -> T {
        match self {
            Self::Leaf(blocks) => take(blocks, end),
            Self::Inner(children) => {
                let child = edge(children, end);
                let block = child.node.pop(end);
                child.count -= block.count();
                if child.node.len() == 0 {
                    take(children, end);
                }
                block
            }
        }
    }

    fn edge(&self, end: End) -> &T {
        let mut node = self;
        loop {
            match (node, end) {
                (Self::Leaf(blocks), End::Front) => return &blocks[0],
                (Self::Leaf(blocks), End::Back) => return &blocks[blocks.len() - 1],
                (Self::Inner(children), End::Front) => node = &children[0].node,
                (Self::Inner(children), End::Back) => node = &children[children.len() - 1].node,
            }
        }
    }

    /// Edits the block of the element `index`; see [`Sequence::edit`].
    fn edit<R>(
        &mut self,
        index: usize,
        f: impl FnOnce(&mut T, usize, &mut Vec<T>) -> R,
    ) -> Edited<T, R> {
        let children = match self {
            Self::Leaf(blocks) => return edit_leaf(blocks, index, f),
            Self::Inner(children) => children,
        };
        let (at, before) = child_of(children, index);
        let child = &mut children[at];
        let mut edited = child.node.edit(index - before, f);
        let moved = edited.overflow.as_ref().map_or(0, |new| new.count);
        child.count = child.count.wrapping_add_signed(edited.delta) - moved;
        if let Some(new) = edited.overflow.take() {
            children.insert(at + 1, new);
            if children.len() > FAN {
                let right = Self::Inner(children.split_off(FAN / 2));
                edited.overflow = Some(Child { count: right.count(), node: right, _rest: Rest });
            }
        } else if edited.blocks < 0 {
            join_neighbours(children, at);
        }
        edited
    }

    fn edit_edge<R>(&mut self, end: End, f: impl FnOnce(&mut T) -> R) -> (R, isize) {
        match self {
            Self::Leaf(blocks) => {
                let at = if end == End::Front { 0 } else { blocks.len() - 1 };
                let old = blocks[at].count();
                let result = f(&mut blocks[at]);
                (result, blocks[at].count() as isize - old as isize)
            }
            Self::Inner(children) => {
                let child = edge(children, end);
                let (result, delta) = child.node.edit_edge(end, f);
                child.count = child.count.wrapping_add_signed(delta);
                (result, delta)
            }
        }
    }

    /// Cuts off what comes from the element `index` on, which is the first of its block and not the first of all.
    fn split_off(&mut self, index: usize) -> Self {
        match self {
            Self::Leaf(blocks) => {
                let mut before = 0;
                let at = blocks.iter().position(|block| {
                    let here = before == index;
                    before += block.count();
                    here
                });
                Self::Leaf(blocks.split_off(at.expect("the element is the first of its block")))
            }
            Self::Inner(children) => {
                let (at, before) = child_of(children, index);
                if before == index {
                    return Self::Inner(children.split_off(at));
                }
                let right = children[at].node.split_off(index - before);
                let right = Child { count: right.count(), node: right, _rest: Rest };
                children[at].count -= right.count;
                let mut rest = children.split_off(at + 1);
                rest.insert(0, right);
                Self::Inner(rest)
            }
        }
    }
}

fn put<X>(all: &mut Vec<X>, end: End, new: X) {
    match end {
        End::Front => all.insert(0, new),
        End::Back => all.push(new),
    }
}

fn take<X>(all: &mut Vec<X>, end: End) -> X {
    match end {
        End::Front => all.remove(0),
        End::Back => all.pop().expect("no node is empty"),
    }
}

fn edge<T>(children: &mut [Child<T>], end: End) -> &mut Child<T> {
    match end {
        End::Front => &mut children[0],
        End::Back => children.last_mut().expect("no node is empty"),
    }
}

/// The child in which the element `index` is, and the number of elements in front of it.
fn child_of<T>(children: &[Child<T>], index: usize) -> (usize, usize) {
    let mut before = 0;
    for (at, child) in children.iter().enumerate() {
        if index < before + child.count {
            return (at, before);
        }
        before += child.count;
    }
    unreachable!("the element exists")
}

fn edit_leaf<T: Counted, R>(
    blocks: &mut Vec<T>,
    index: usize,
    f: impl FnOnce(&mut T, usize, &mut Vec<T>) -> R,
) -> Edited<T, R> {
    let mut before = 0;
    let at = blocks.iter().position(|block| {
        before += block.count();
        index < before
    });
    let at = at.expect("the element exists");
    let old = blocks[at].count();
    let mut behind = Vec::new();
    let result = f(&mut blocks[at], index + old - before, &mut behind);
    let new = blocks[at].count() + behind.iter().map(Counted::count).sum::<usize>();
    let mut edited = Edited {
        result,
        delta: new as isize - old as isize,
        blocks: behind.len() as isize,
        overflow: None,
    };
    assert!(behind.len() <= FAN / 2, "an edit makes a few blocks at most");
    let gone = blocks[at].count() == 0;
    edited.blocks -= isize::from(gone);
    blocks.splice(at + usize::from(!gone)..at + 1, behind);
    if blocks.len() > FAN {
        let right = Node::Leaf(blocks.split_off(blocks.len() / 2));
        edited.overflow = Some(Child { count: right.count(), node: right, _rest: Rest });
    }
    edited
}

/// After the child `at` lost a block: drops it if it is empty, or joins it with a neighbour if it is small.
fn join_neighbours<T: Counted>(children: &mut Vec<Child<T>>, at: usize) {
    let len = children[at].node.len();
    if len == 0 {
        children.remove(at);
        return;
    }
    if len >= SMALL || children.len() == 1 {
        return;
    }
    let left = if at + 1 < children.len() { at } else { at - 1 };
    if children[left].node.len() + children[left + 1].node.len() > FAN {
        return;
    }
    let right = children.remove(left + 1);
    let left = &mut children[left];
    left.count += right.count;
    match (&mut left.node, right.node) {
        (Node::Leaf(left), Node::Leaf(right)) => left.extend(right),
        (Node::Inner(left), Node::Inner(right)) => left.extend(right),
        _ => unreachable!("all leaves are equally deep"),
    }
}

impl<T: Counted> Default for Sequence<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Counted> Sequence<T> {
    pub(crate) const fn new() -> Self {
        Self { root: Node::Leaf(Vec::new()), count: 0, blocks: 0 }
    }

    /// The number of elements.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Adds a block, which must hold something.
    pub(crate) fn push(&mut self, end: End, block: T) {
        debug_assert!(block.count() > 0);
        self.count += block.count();
        self.blocks += 1;
        if let Some(new) = self.root.push(end, block) {
            let old = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            let mut children = Vec::with_capacity(4);
            children.push(Child { count: old.count(), node: old, _rest: Rest });
            put(&mut children, end, Child { count: new.count(), node: new, _rest: Rest });
            self.root = Node::Inner(children);
        }
    }

    pub(crate) fn pop(&mut self, end: End) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let block = self.root.pop(end);
        self.count -= block.count();
        self.blocks -= 1;
        self.collapse();
        Some(block)
    }

    pub(crate) fn edge(&self, end: End) -> Option<&T> {
        (!self.is_empty()).then(|| self.root.edge(end))
    }

    /// The block of the element number `index`, and which of the block's elements it is.
    pub(crate) fn locate(&self, index: usize) -> Option<(&T, usize)> {
        if index >= self.count {
            return None;
        }
        let mut node = &self.root;
        let mut left = index;
        loop {
            match node {
                Node::Inner(children) => {
                    let (at, before) = child_of(children, left);
                    left -= before;
                    node = &children[at].node;
                }
                Node::Leaf(blocks) => {
                    for block in blocks {
                        match left.checked_sub(block.count()) {
                            Some(rest) => left = rest,
                            None => return Some((block, left)),
                        }
                    }
                    unreachable!("the element exists")
                }
            }
        }
    }

    /// The number of elements in the blocks in front of the last block for which `holds`, which must hold for some
    /// blocks at the front and none behind them. `None` when it holds for none.
    pub(crate) fn seek(&self, holds: impl Fn(&T) -> bool) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let mut node = &self.root;
        let mut before = 0;
        loop {
            match node {
                Node::Inner(children) => {
                    let at = children
                        .partition_point(|child| holds(child.node.edge(End::Front)))
                        .checked_sub(1)?;
                    before += children[..at].iter().map(|child| child.count).sum::<usize>();
                    node = &children[at].node;
                }
                Node::Leaf(blocks) => {
                    let at = blocks.partition_point(holds).checked_sub(1)?;
                    return Some(before + blocks[..at].iter().map(Counted::count).sum::<usize>());
                }
            }
        }
    }

    /// Edits the block of the element number `index`: `f` is given the block, which of its elements it is, and a list
    /// for blocks to be inserted behind it. A block without elements is taken out.
    pub(crate) fn edit<R>(
        &mut self,
        index: usize,
        f: impl FnOnce(&mut T, usize, &mut Vec<T>) -> R,
    ) -> R {
        assert!(index < self.count, "the element exists");
        let edited = self.root.edit(index, f);
        self.count = self.count.wrapping_add_signed(edited.delta);
        self.blocks = self.blocks.wrapping_add_signed(edited.blocks);
        if let Some(new) = edited.overflow {
            let old = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            let old = Child { count: old.count(), node: old, _rest: Rest };
            self.root = Node::Inner(vec![old, new]);
        }
        self.collapse();
        edited.result
    }

    /// Edits the first or last block, without the search of [`Self::edit`]. `None` when there is none.
    pub(crate) fn edit_edge<R>(&mut self, end: End, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let (result, delta) = self.root.edit_edge(end, f);
        self.count = self.count.wrapping_add_signed(delta);
        if self.root.edge(end).count() == 0 {
            self.pop(end);
        }
        Some(result)
    }

    /// Cuts off everything from the element number `index` on, which must be the first of its block or one past the
    /// last.
    pub(crate) fn split_off(&mut self, index: usize) -> Self {
        if index == self.count {
            return Self::new();
        }
        if index == 0 {
            return std::mem::take(self);
        }
        let root = self.root.split_off(index);
        let blocks = root.blocks();
        let mut right = Self { root, count: self.count - index, blocks };
        self.count = index;
        self.blocks -= blocks;
        self.collapse();
        right.collapse();
        right
    }

    /// Every block, from the front.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&T)) {
        fn walk<T>(node: &Node<T>, f: &mut impl FnMut(&T)) {
            match node {
                Node::Leaf(blocks) => blocks.iter().for_each(f),
                Node::Inner(children) => children.iter().for_each(|child| walk(&child.node, f)),
            }
        }
        walk(&self.root, &mut f);
    }

    /// Bytes of memory of the nodes, the blocks in them included but not what the blocks own.
    pub(crate) fn node_bytes(&self) -> usize {
        fn walk<T>(node: &Node<T>) -> usize {
            match node {
                Node::Leaf(blocks) => blocks.capacity() * size_of::<T>(),
                Node::Inner(children) => {
                    children.capacity() * size_of::<Child<T>>()
                        + children.iter().map(|child| walk(&child.node)).sum::<usize>()
                }
            }
        }
        walk(&self.root)
    }

    /// A root with a single child is no use.
    fn collapse(&mut self) {
        while let Node::Inner(children) = &mut self.root {
            match children.len() {
                0 => self.root = Node::Leaf(Vec::new()),
                1 => self.root = children.pop().expect("there is one").node,
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block that is its elements.
    #[derive(Debug, Clone, PartialEq)]
    struct Run(Vec<u32>);

    impl Counted for Run {
        fn count(&self) -> usize {
            self.0.len()
        }
    }

    fn check(sequence: &Sequence<Run>, model: &[Run]) {
        fn depth(node: &Node<Run>) -> usize {
            match node {
                Node::Leaf(_) => 0,
                Node::Inner(children) => {
                    let depths: Vec<usize> = children.iter().map(|c| depth(&c.node)).collect();
                    assert!(depths.iter().all(|d| *d == depths[0]));
                    for child in children {
                        assert_eq!(child.count, child.node.count());
                        assert!((1..=FAN).contains(&child.node.len()));
                    }
                    1 + depths[0]
                }
            }
        }
        depth(&sequence.root);
        let mut blocks = Vec::new();
        sequence.for_each(|block| blocks.push(block.clone()));
        assert_eq!(blocks, model);
        assert_eq!(sequence.blocks(), model.len());
        assert_eq!(sequence.count(), model.iter().map(Counted::count).sum::<usize>());
        assert_eq!(sequence.edge(End::Front), model.first());
        assert_eq!(sequence.edge(End::Back), model.last());
    }

    fn find(model: &[Run], index: usize) -> (usize, usize) {
        let mut left = index;
        for (at, block) in model.iter().enumerate() {
            if left < block.count() {
                return (at, left);
            }
            left -= block.count();
        }
        panic!("no element {index}");
    }

    fn history(seed: u64, steps: usize) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sequence = Sequence::new();
        let mut model: Vec<Run> = Vec::new();
        let mut next = 0;
        let mut run = |rng: &mut fastrand::Rng| {
            let run: Vec<u32> = (next..next + rng.u32(1..4)).collect();
            next += 4;
            Run(run)
        };
        // Growing and shrinking in turn.
        for step in 0..steps {
            let growing = (step / (steps / 6)).is_multiple_of(2);
            let total = sequence.count();
            match rng.u32(0..12) {
                0..=3 if growing => {
                    let end = if rng.bool() { End::Front } else { End::Back };
                    let block = run(&mut rng);
                    put(&mut model, end, block.clone());
                    sequence.push(end, block);
                }
                4 | 5 if !growing => {
                    let end = if rng.bool() { End::Front } else { End::Back };
                    let popped = sequence.pop(end);
                    let expected = (!model.is_empty()).then(|| take(&mut model, end));
                    assert_eq!(popped, expected);
                }
                7 if total > 0 => {
                    let end = if rng.bool() { End::Front } else { End::Back };
                    sequence.edit_edge(end, |block| block.0.pop());
                    let mut block = take(&mut model, end);
                    block.0.pop();
                    if !block.0.is_empty() {
                        put(&mut model, end, block);
                    }
                }
                6 if total > 0 && rng.u32(0..100) == 0 => {
                    let (at, _) = find(&model, rng.usize(0..total));
                    let index = model[..at].iter().map(Counted::count).sum();
                    let mut right = sequence.split_off(index);
                    let model_right = model.split_off(at);
                    check(&right, &model_right);
                    if rng.bool() {
                        std::mem::swap(&mut sequence, &mut right);
                        model = model_right;
                    }
                }
                _ if total > 0 => {
                    let index = rng.usize(0..total);
                    let (at, offset) = find(&model, index);
                    assert_eq!(sequence.locate(index), Some((&model[at], offset)));
                    let extra = if growing { rng.usize(0..3) } else { 0 };
                    let extra: Vec<Run> = (0..extra).map(|_| run(&mut rng)).collect();
                    let remove = !growing || rng.u32(0..4) == 0;
                    sequence.edit(index, |block, o, behind| {
                        assert_eq!(o, offset);
                        if remove {
                            block.0.remove(o);
                        }
                        behind.extend(extra.iter().cloned());
                    });
                    if remove {
                        model[at].0.remove(offset);
                    }
                    model.splice(at + 1..at + 1, extra);
                    if model[at].0.is_empty() {
                        model.remove(at);
                    }
                }
                _ => {}
            }
            if step % 97 == 0 {
                check(&sequence, &model);
            }
        }
        assert_eq!(sequence.locate(sequence.count()), None);
        check(&sequence, &model);
    }

    #[test]
    fn random_histories_match_a_vector() {
        for _ in 0..6 {
            let seed = fastrand::u64(..);
            println!("seed {seed}");
            history(seed, 12_000);
        }
    }

    #[test]
    fn seeking_finds_the_last_block_that_holds() {
        let mut sequence = Sequence::new();
        assert_eq!(sequence.seek(|_: &Run| true), None);
        for i in 0..10_000 {
            sequence.push(End::Back, Run(vec![i * 10, i * 10 + 5]));
        }
        assert_eq!(sequence.seek(|block| block.0[0] < 1), Some(0));
        assert_eq!(sequence.seek(|_| false), None);
        for id in [0, 5, 9, 10, 77_777, 99_999, 1_000_000] {
            let expected = (id / 10).min(9_999) as usize * 2;
            assert_eq!(sequence.seek(|block| block.0[0] <= id), Some(expected), "{id}");
        }
    }
}
