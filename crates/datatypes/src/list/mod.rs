//! Lists: sequences of texts that grow and shrink at both ends.
//!
//! A short list is a single block (`block`), which Redis 7.2 calls a listpack; a longer one a deque of blocks (`deque`),
//! `quicklist` in Redis's words. Each block takes in what `list-max-listpack-size` says; an element larger than a
//! block has an allocation of its own (`chunk`), and blocks deep inside are compressed (`squeezed`). Elements are found
//! by number in as many steps as the tree of the blocks is high.

mod block;
mod chunk;
mod deque;
#[cfg(test)]
mod fuzz;
mod squeezed;

use std::ops::ControlFlow;
use std::sync::Arc;

use block::Block;
use chunk::{Chunk, Incoming, Shown};
use deque::Deque;

use crate::collection::Ahead;
use crate::integer::{MAX_LEN, format_i64};
use crate::listpack::{Item, Listpack};
use crate::sequence::Sequence;
use crate::table::prefetch_all;

pub use crate::sequence::End;

/// What a block takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLimits {
    /// Bytes of elements.
    bytes: usize,
    entries: usize,
    /// Bytes from which an element has a block of its own, however much room there is.
    apart: usize,
    /// Blocks at each end that are not compressed.
    open: usize,
}

impl ListLimits {
    const NONE: Self =
        Self { bytes: usize::MAX, entries: usize::MAX, apart: usize::MAX, open: usize::MAX };

    /// Of a positive number, so many elements, of 8 KiB in all; of -1 to -5, elements of 4 to 64 KiB, however many.
    pub fn new(list_max_listpack_size: i64) -> Self {
        const ALWAYS: usize = 8192;
        match list_max_listpack_size {
            size @ 0.. => {
                let entries = usize::try_from(size).unwrap_or(usize::MAX).max(1);
                Self { bytes: ALWAYS, entries, ..Self::NONE }
            }
            size => {
                let bytes = 4096 << (size.max(-5).unsigned_abs() - 1);
                Self { bytes: Block::MAX_BYTES.min(bytes), ..Self::NONE }
            }
        }
    }

    /// The same, but elements of at least so many bytes have a block of their own.
    pub fn with_apart(self, bytes: usize) -> Self {
        Self { apart: bytes, ..self }
    }

    /// The same, but blocks are compressed that lie deeper than so many from either end.
    pub fn with_open(self, blocks: usize) -> Self {
        Self { open: blocks, ..self }
    }
}

/// An element to be stored.
#[derive(Debug, Clone, Copy)]
pub enum NewElement<'a> {
    Bytes(&'a [u8]),
    /// An allocation that the list keeps if the text is large.
    Shared(&'a Arc<Vec<u8>>),
}

/// An element.
#[derive(Debug, Clone, Copy)]
pub enum Element<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Shared(&'a Arc<Vec<u8>>),
}

impl<'a> From<Item<'a>> for Element<'a> {
    #[inline]
    fn from(item: Item<'a>) -> Self {
        match item {
            Item::Int(value) => Self::Int(value),
            Item::Bytes(text) => Self::Bytes(text),
        }
    }
}

impl Element<'_> {
    /// Calls `f` with the text.
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Int(value) => f(format_i64(*value, &mut [0; MAX_LEN])),
            Self::Bytes(text) => f(text),
            Self::Shared(text) => f(text),
        }
    }

    /// Whether its text is that of an item.
    pub fn is(&self, item: Item<'_>) -> bool {
        match (self, item) {
            (Self::Int(a), Item::Int(b)) => *a == b,
            (Self::Bytes(a), Item::Bytes(b)) => *a == b,
            (Self::Shared(a), Item::Bytes(b)) => &a[..] == b,
            (Self::Shared(a), Item::Int(b)) => &a[..] == format_i64(b, &mut [0; MAX_LEN]),
            _ => false,
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }
}

/// A part of a list, for those who write it down.
#[derive(Debug, Clone, Copy)]
pub enum Node<'a> {
    /// Elements one behind the other as in a listpack, without its head and end.
    Packed { elements: &'a [u8], count: usize },
    /// A single element.
    Large(&'a [u8]),
}

#[derive(Clone)]
enum Form {
    One(Block),
    Many(Box<Deque>),
}

#[derive(Clone)]
pub struct List {
    form: Form,
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "List({} elements)", self.len())
    }
}

impl List {
    pub fn new() -> Self {
        Self { form: Form::One(Block::default()) }
    }

    /// The number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.form {
            Form::One(block) => block.count(),
            Form::Many(deque) => deque.len(),
        }
    }

    /// The address of its only block, or of its head.
    pub(crate) fn block(&self) -> usize {
        match &self.form {
            Form::One(block) => block.address(),
            Form::Many(deque) => std::ptr::from_ref(&**deque).addr(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a step towards loading both ends into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, step: Ahead) {
        match (&self.form, step) {
            (Form::One(block), Ahead::Content) => block.prefetch(),
            (Form::Many(deque), Ahead::Content) => prefetch_all(&**deque),
            (Form::Many(deque), Ahead::Bucket) => {
                deque.head.prefetch();
                deque.tail.prefetch();
            }
            _ => {}
        }
    }

    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::One(_) => "listpack",
            Form::Many(_) => "quicklist",
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        match &self.form {
            Form::One(block) => block.memory(),
            Form::Many(deque) => {
                let mut bytes = size_of::<Deque>() + deque.head.memory() + deque.tail.memory();
                bytes += deque.middle.node_bytes();
                deque.middle.for_each(|chunk| bytes += chunk.memory());
                bytes
            }
        }
    }

    /// About the number of allocations.
    pub fn effort(&self) -> usize {
        match &self.form {
            Form::One(_) => 1,
            Form::Many(deque) => 3 + deque.middle.blocks(),
        }
    }

    /// The limits for elements of this list: while it is one block, none is kept apart.
    #[inline]
    fn limits(&self, limits: ListLimits) -> ListLimits {
        match self.form {
            Form::One(_) => limits.with_apart(usize::MAX),
            Form::Many(_) => limits,
        }
    }

    #[inline]
    pub fn push(&mut self, end: End, element: NewElement<'_>, limits: ListLimits) {
        let element = Incoming::new(element, self.limits(limits));
        match &mut self.form {
            Form::Many(deque) => deque.push(end, element, limits),
            Form::One(block) => match &element {
                Incoming::Packed(packed) if limits.admit(block, packed.total()) => {
                    block.push(end, packed);
                }
                _ => self.make_many(end).push(end, element, limits),
            },
        }
    }

    /// Appends the elements of a listpack, as a block if they are no more than a block takes in.
    pub fn append_listpack(&mut self, pack: &Listpack, limits: ListLimits) {
        let elements = pack.elements();
        let len = pack.len();
        let fits = elements.len() <= limits.bytes && len <= limits.entries;
        match (u16::try_from(len), &mut self.form) {
            (Ok(_), _) if !fits => {}
            (Ok(count), Form::One(block)) if block.count() == 0 => {
                *block = Block::of(elements, count);
                return;
            }
            (Ok(count), _) => {
                return self.make_many(End::Back).append(Block::of(elements, count), limits);
            }
            (Err(_), _) => {}
        }
        for item in pack {
            item.with_bytes(|text| self.push(End::Back, NewElement::Bytes(text), limits));
        }
    }

    /// The number of nodes that [`Self::for_each_node`] finds.
    pub fn nodes(&self) -> usize {
        match &self.form {
            Form::One(block) => usize::from(block.count() > 0),
            Form::Many(deque) => {
                let ends = [&deque.head, &deque.tail];
                deque.middle.blocks() + ends.iter().filter(|block| block.count() > 0).count()
            }
        }
    }

    /// The number of them that are compressed.
    pub fn squeezed_nodes(&self) -> usize {
        let mut squeezed = 0;
        if let Form::Many(deque) = &self.form {
            deque
                .middle
                .for_each(|chunk| squeezed += usize::from(matches!(chunk, Chunk::Squeezed(_))));
        }
        squeezed
    }

    /// Bytes of the listpacks and large elements that the nodes are in Redis's terms.
    pub fn node_bytes(&self) -> usize {
        /// Head and end of a listpack.
        const AROUND: usize = 7;
        let of = |block: &Block| if block.count() > 0 { block.used() + AROUND } else { 0 };
        match &self.form {
            Form::One(block) => of(block),
            Form::Many(deque) => {
                let mut bytes = of(&deque.head) + of(&deque.tail);
                deque.middle.for_each(|chunk| {
                    bytes += match chunk {
                        Chunk::Large(text) => text.len(),
                        packed => packed.used() + AROUND,
                    }
                });
                bytes
            }
        }
    }

    /// Calls `f` with what the list is made of, in order.
    pub fn for_each_node(&self, mut f: impl FnMut(Node<'_>)) {
        fn packed(block: &Block, f: &mut impl FnMut(Node<'_>)) {
            if block.count() > 0 {
                f(Node::Packed { elements: block.elements(), count: block.count() });
            }
        }
        match &self.form {
            Form::One(block) => packed(block, &mut f),
            Form::Many(deque) => {
                packed(&deque.head, &mut f);
                deque.middle.for_each(|chunk| match chunk.show() {
                    Shown::Packed(block) => packed(&block, &mut f),
                    Shown::Large(text) => f(Node::Large(text)),
                });
                packed(&deque.tail, &mut f);
            }
        }
    }

    #[cold]
    fn make_many(&mut self, grows: End) -> &mut Deque {
        if let Form::One(block) = &mut self.form {
            let block = std::mem::take(block);
            self.form = Form::Many(Box::new(Deque::of(block, grows)));
        }
        match &mut self.form {
            Form::Many(deque) => deque,
            Form::One(_) => unreachable!("it has just been made one of many"),
        }
    }

    /// The first or the last element.
    #[inline]
    pub fn edge(&self, end: End) -> Option<Element<'_>> {
        match &self.form {
            Form::One(block) => block.edge(end).map(Element::from),
            Form::Many(deque) => deque.edge(end),
        }
    }

    /// Removes the first or the last element, of which there must be one.
    #[inline]
    pub fn pop(&mut self, end: End, limits: ListLimits) {
        match &mut self.form {
            Form::One(block) => block.pop(end),
            Form::Many(deque) => {
                deque.pop(end);
                if deque.middle.is_empty() {
                    self.settle(limits);
                }
            }
        }
    }

    /// Becomes a single block again once there are few elements left: half of what a block takes, so that a list does
    /// not change its form with every element.
    fn settle(&mut self, limits: ListLimits) {
        const FEW_BLOCKS: usize = 4;
        let Form::Many(deque) = &mut self.form else { return };
        if deque.middle.blocks() > FEW_BLOCKS || deque.len() > limits.entries / 2 {
            return;
        }
        let mut used = deque.head.used() + deque.tail.used();
        deque.middle.for_each(|chunk| {
            used += match chunk {
                Chunk::Large(_) => Block::MAX_BYTES,
                packed => packed.used(),
            }
        });
        if used > limits.bytes / 2 {
            return;
        }
        let mut all = std::mem::take(&mut deque.head);
        while let Some(chunk) = deque.middle.pop(End::Front) {
            if let Shown::Packed(block) = chunk.show() {
                all.append(&block);
            }
        }
        all.append(&deque.tail);
        self.form = Form::One(all);
    }

    /// Calls `f` with the element number `index`, if there is one.
    pub fn with<R>(&self, index: usize, f: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        match &self.form {
            Form::One(block) => (index < block.count()).then(|| f(block.get(index).into())),
            Form::Many(deque) => deque.with(index, f),
        }
    }

    /// Replaces the element number `index`, which must exist. As in Redis, a list that has no room for one more becomes
    /// one of many blocks for this, unless it is small afterwards.
    pub fn set(&mut self, index: usize, element: NewElement<'_>, limits: ListLimits) {
        let element = Incoming::new(element, self.limits(limits));
        if let (Form::One(block), Incoming::Packed(packed)) = (&mut self.form, &element)
            && limits.admit(block, packed.total())
        {
            return block.replace(index, packed);
        }
        let deque = self.make_many(End::Back);
        deque.edit(index, limits, |chunk, at, behind| chunk.replace(at, element, limits, behind));
        self.settle(limits);
    }

    /// Inserts an element in front of number `index`, which must exist or be one past the last.
    pub fn insert(&mut self, index: usize, element: NewElement<'_>, limits: ListLimits) {
        if index == self.len() {
            return self.push(End::Back, element, limits);
        }
        let element = Incoming::new(element, self.limits(limits));
        if let (Form::One(block), Incoming::Packed(packed)) = (&mut self.form, &element)
            && limits.admit(block, packed.total())
        {
            return block.insert(index, packed);
        }
        let deque = self.make_many(End::Back);
        deque.edit(index, limits, |chunk, at, behind| chunk.insert(at, element, limits, behind));
    }

    /// Calls `f` with the elements from number `from` on, until it breaks.
    pub fn for_each(&self, from: usize, mut f: impl FnMut(Element<'_>) -> ControlFlow<()>) {
        match &self.form {
            Form::One(block) if from < block.count() => {
                for item in block.iter(from) {
                    if f(item.into()).is_break() {
                        return;
                    }
                }
            }
            Form::One(_) => {}
            Form::Many(deque) => deque.for_each(from, f),
        }
    }

    /// Calls `f` with the elements in front of number `from`, the last one first, until it breaks.
    pub fn for_each_back(&self, from: usize, mut f: impl FnMut(Element<'_>) -> ControlFlow<()>) {
        let from = from.min(self.len());
        match &self.form {
            Form::One(block) => {
                for item in block.iter_back(from) {
                    if f(item.into()).is_break() {
                        return;
                    }
                }
            }
            Form::Many(deque) => deque.for_each_back(from, f),
        }
    }

    /// Removes `n` elements at an end, or all. Returns blocks that were cut off, as a list of them: freeing it may take a
    /// while.
    pub fn remove(&mut self, end: End, n: usize, limits: ListLimits) -> Option<Self> {
        let n = n.min(self.len());
        let dropped = match (&mut self.form, end) {
            (Form::One(block), End::Front) => {
                block.remove(0, n);
                Sequence::new()
            }
            (Form::One(block), End::Back) => {
                block.remove(block.count() - n, n);
                Sequence::new()
            }
            (Form::Many(deque), End::Front) => deque.remove_front(n),
            (Form::Many(deque), End::Back) => deque.remove_back(n),
        };
        self.settle(limits);
        let as_list = |dropped| Self { form: Form::Many(Box::new(Deque::of_dropped(dropped))) };
        (!dropped.is_empty()).then(|| as_list(dropped))
    }

    /// Removes up to `limit` elements that equal `text`, from the given end. Returns how many were.
    pub fn remove_equal(
        &mut self,
        text: &[u8],
        limit: usize,
        from: End,
        limits: ListLimits,
    ) -> usize {
        match &mut self.form {
            Form::One(block) => block.remove_equal(Item::of(text), limit, from),
            Form::Many(deque) => {
                let removed = deque.remove_equal(text, limit, from, limits);
                if removed > 0 {
                    self.settle(limits);
                    self.compact(limits);
                }
                removed
            }
        }
    }

    /// Packs the elements anew if many blocks have become small.
    fn compact(&mut self, limits: ListLimits) {
        const FEW_BLOCKS: usize = 8;
        let Form::Many(deque) = &self.form else { return };
        let (mut packed, mut used) = (0, 0);
        deque.middle.for_each(|chunk| {
            if !matches!(chunk, Chunk::Large(_)) {
                packed += 1;
                used += chunk.used();
            }
        });
        let full =
            limits.bytes.min(limits.entries.saturating_mul(used / deque.middle.count().max(1)));
        if packed <= FEW_BLOCKS || used > packed * full / 4 {
            return;
        }
        let mut new = Self::new();
        self.for_each(0, |element| {
            match element {
                Element::Shared(text) => new.push(End::Back, NewElement::Shared(text), limits),
                other => {
                    other.with_bytes(|text| new.push(End::Back, NewElement::Bytes(text), limits));
                }
            }
            ControlFlow::Continue(())
        });
        *self = new;
    }
}
