//! What the blocks of a long list are: packed elements, or a single large one in an allocation of its own.

use std::sync::Arc;

use super::block::Block;
use super::{Element, ListLimits, NewElement};
use crate::listpack::{Encoded, Item};
use crate::sequence::{Counted, End};

#[derive(Clone)]
pub(super) enum Chunk {
    Packed(Block),
    Large(Arc<Vec<u8>>),
}

impl Default for Chunk {
    fn default() -> Self {
        Self::Packed(Block::default())
    }
}

impl Counted for Chunk {
    fn count(&self) -> usize {
        match self {
            Self::Packed(block) => block.count(),
            Self::Large(_) => 1,
        }
    }
}

impl ListLimits {
    /// Whether an element of `bytes` bytes, encoded, may be added to a block.
    #[inline]
    pub(super) fn admit(&self, block: &Block, bytes: usize) -> bool {
        block.used() + bytes <= self.bytes && block.count() < self.entries
    }
}

/// An element on its way into a list.
pub(super) enum Incoming<'a> {
    Packed(Encoded<'a>),
    Large(Arc<Vec<u8>>),
}

impl<'a> Incoming<'a> {
    #[inline]
    pub(super) fn new(element: NewElement<'a>, limits: ListLimits) -> Self {
        let text: &[u8] = match element {
            NewElement::Shared(text) if text.len() > limits.bytes || text.len() >= limits.apart => {
                return Self::Large(Arc::clone(text));
            }
            NewElement::Shared(text) => text,
            NewElement::Bytes(text) => text,
        };
        let packed = Encoded::new(Item::of(text));
        if packed.total() > limits.bytes || text.len() >= limits.apart {
            return Self::Large(Arc::new(text.to_vec()));
        }
        Self::Packed(packed)
    }

    fn into_chunk(self) -> Chunk {
        match self {
            Self::Packed(element) => {
                let mut block = Block::default();
                block.push(End::Back, &element);
                Chunk::Packed(block)
            }
            Self::Large(text) => Chunk::Large(text),
        }
    }
}

impl Chunk {
    pub(super) fn get(&self, index: usize) -> Element<'_> {
        match self {
            Self::Packed(block) => block.get(index).into(),
            Self::Large(text) => Element::Shared(text),
        }
    }

    /// Bytes of memory that it owns.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Packed(block) => block.memory(),
            Self::Large(text) => text.capacity() + size_of::<Vec<u8>>() + 16,
        }
    }

    /// Removes `n` elements from number `index` on. It may be left with none.
    pub(super) fn remove(&mut self, index: usize, n: usize) {
        match self {
            Self::Packed(block) => block.remove(index, n),
            Self::Large(_) if n == 0 => {}
            Self::Large(_) => *self = Self::default(),
        }
    }

    /// Inserts an element in front of number `index` or at the end; what finds no room goes to `behind`.
    pub(super) fn insert(
        &mut self,
        index: usize,
        element: Incoming<'_>,
        limits: ListLimits,
        behind: &mut Vec<Self>,
    ) {
        if let (Self::Packed(block), Incoming::Packed(element)) = (&mut *self, &element)
            && limits.admit(block, element.total())
        {
            return block.insert(index, element);
        }
        let right = match self {
            Self::Packed(block) => Self::Packed(block.split_off(index)),
            Self::Large(_) if index == 0 => std::mem::take(self),
            Self::Large(_) => Self::default(),
        };
        let mut pieces = vec![std::mem::take(self)];
        match (&element, &mut pieces[0]) {
            (Incoming::Packed(element), Self::Packed(left))
                if left.count() > 0 && limits.admit(left, element.total()) =>
            {
                left.push(End::Back, element);
            }
            _ => pieces.push(element.into_chunk()),
        }
        pieces.push(right);
        let mut pieces = pieces.into_iter().filter(|piece| piece.count() > 0);
        *self = pieces.next().expect("the element is in one of them");
        behind.extend(pieces);
    }

    /// Replaces the element number `index`; what finds no room goes to `behind`.
    pub(super) fn replace(
        &mut self,
        index: usize,
        element: Incoming<'_>,
        limits: ListLimits,
        behind: &mut Vec<Self>,
    ) {
        match (&mut *self, element) {
            (Self::Packed(block), Incoming::Packed(element))
                if block.used() - block.bytes_of(index) + element.total() <= limits.bytes =>
            {
                block.replace(index, &element);
            }
            (Self::Large(text), Incoming::Large(new)) => *text = new,
            (_, element) => {
                self.remove(index, 1);
                self.insert(index, element, limits, behind);
            }
        }
    }

    /// Removes up to `limit` elements that equal `wanted`, from the given end. Returns how many were.
    pub(super) fn remove_equal(&mut self, wanted: &[u8], limit: usize, from: End) -> usize {
        match self {
            Self::Packed(block) => block.remove_equal(Item::of(wanted), limit, from),
            Self::Large(text) if &text[..] == wanted => {
                *self = Self::default();
                1
            }
            Self::Large(_) => 0,
        }
    }
}
