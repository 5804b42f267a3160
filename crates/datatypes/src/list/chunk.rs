//! What the blocks of a long list are: packed elements, the same compressed, or a single large one in an allocation of its own.

use std::borrow::Cow;
use std::sync::Arc;

use super::block::Block;
use super::squeezed::Squeezed;
use super::{ListLimits, NewElement};
use crate::buffer::handed_out;
use crate::listpack::{Encoded, Item};
use crate::sequence::{Counted, End};

#[derive(Clone)]
pub(super) enum Chunk {
    Packed(Block),
    Squeezed(Squeezed),
    Large(Arc<Vec<u8>>),
}

/// A chunk as those see it who read.
pub(super) enum Shown<'a> {
    Packed(Cow<'a, Block>),
    Large(&'a Arc<Vec<u8>>),
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
            Self::Squeezed(block) => block.count(),
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
    pub(super) fn show(&self) -> Shown<'_> {
        match self {
            Self::Packed(block) => Shown::Packed(Cow::Borrowed(block)),
            Self::Squeezed(block) => Shown::Packed(Cow::Owned(block.restore())),
            Self::Large(text) => Shown::Large(text),
        }
    }

    /// Compresses packed elements, if that pays. Returns whether it does.
    pub(super) fn squeeze(&mut self) -> bool {
        let Self::Packed(block) = self else { return false };
        let squeezed = Squeezed::of(block);
        let pays = squeezed.is_some();
        if let Some(squeezed) = squeezed {
            *self = Self::Squeezed(squeezed);
        }
        pays
    }

    /// Restores what was compressed. Returns whether it was.
    pub(super) fn open(&mut self) -> bool {
        let Self::Squeezed(block) = self else { return false };
        *self = Self::Packed(block.restore());
        true
    }

    /// Calls `f` with what was compressed restored. It is compressed again afterwards, if lists still are.
    pub(super) fn edit_open<R>(&mut self, limits: ListLimits, f: impl FnOnce(&mut Self) -> R) -> R {
        let opened = self.open();
        let result = f(self);
        if opened && limits.open < usize::MAX && self.count() > 0 {
            self.squeeze();
        }
        result
    }

    /// Bytes of the elements, as they are when they are not compressed.
    pub(super) fn used(&self) -> usize {
        match self {
            Self::Packed(block) => block.used(),
            Self::Squeezed(block) => block.used(),
            Self::Large(text) => text.len(),
        }
    }

    /// Bytes of memory that it owns.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Packed(block) => block.memory(),
            Self::Squeezed(block) => block.memory(),
            Self::Large(text) => handed_out(text.capacity()) + size_of::<Vec<u8>>() + 16,
        }
    }

    /// Removes `n` elements from number `index` on. It may be left with none.
    pub(super) fn remove(&mut self, index: usize, n: usize) {
        self.open();
        match self {
            Self::Packed(block) => block.remove(index, n),
            _ if n == 0 => {}
            _ => *self = Self::default(),
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
        self.open();
        if let (Self::Packed(block), Incoming::Packed(element)) = (&mut *self, &element)
            && limits.admit(block, element.total())
        {
            return block.insert(index, element);
        }
        let right = match self {
            Self::Packed(block) => Self::Packed(block.split_off(index)),
            _ if index == 0 => std::mem::take(self),
            _ => Self::default(),
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
        self.open();
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
        self.open();
        match self {
            Self::Packed(block) => block.remove_equal(Item::of(wanted), limit, from),
            Self::Large(text) if &text[..] == wanted => {
                *self = Self::default();
                1
            }
            _ => 0,
        }
    }
}
