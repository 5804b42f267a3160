//! A member with its score in one allocation, to which the tree and the index both point:
//!
//! ```text
//! score (f64) | length (u8, or 255 and a u32) | the member's bytes
//! ```
//!
//! This module is where sorted sets need `unsafe`: a [`Member`] is a raw pointer. The large form of a sorted set, its
//! only user, frees a member when it takes the last pointer to it out of the tree and the index, and borrows bytes only
//! through pointers that are in one of them.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::buffer::size_class;
use crate::table::Word;

const LEN_AT: usize = size_of::<f64>();
/// Where the bytes of a member with a short length start.
const SHORT: usize = LEN_AT + 1;
/// Where those of a longer one start.
const LONG: usize = SHORT + 4;
/// The length that says that the real one follows.
const IS_LONG: u8 = u8::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member(NonNull<u8>);

// SAFETY: a member is plain memory without ties to a thread; whoever owns its sorted set orders all access.
unsafe impl Send for Member {}
// SAFETY: shared access only reads.
unsafe impl Sync for Member {}

fn layout(len: usize) -> Layout {
    let start = if len < IS_LONG as usize { SHORT } else { LONG };
    Layout::from_size_align(start + len, 8).expect("members are limited by the protocol")
}

impl Member {
    pub(super) fn new(bytes: &[u8], score: f64) -> Self {
        assert!(bytes.len() < u32::MAX as usize, "members are limited by the protocol");
        let layout = layout(bytes.len());
        // SAFETY: the layout's size is not zero.
        let Some(ptr) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        // SAFETY: the allocation has room for the head and the bytes, as `layout` computes it.
        unsafe {
            ptr.cast::<f64>().write(score);
            let start = if bytes.len() < IS_LONG as usize {
                ptr.add(LEN_AT).write(bytes.len() as u8);
                SHORT
            } else {
                ptr.add(LEN_AT).write(IS_LONG);
                ptr.add(SHORT).cast::<u32>().write_unaligned(bytes.len() as u32);
                LONG
            };
            ptr.add(start).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
        Self(ptr)
    }

    /// The member behind a word made by [`Self::word`].
    #[inline]
    pub(super) fn of(word: Word) -> Self {
        Self(word.entry())
    }

    /// The slot of a table that points here.
    #[inline]
    pub(super) fn word(self, tag: u16) -> Word {
        Word::new(tag, self.0)
    }

    #[inline]
    pub(super) fn score(self) -> f64 {
        // SAFETY: a member in circulation points to a live allocation.
        unsafe { self.0.cast::<f64>().read() }
    }

    /// The caller has the only access to the sorted set.
    #[inline]
    pub(super) fn set_score(self, score: f64) {
        // SAFETY: a member in circulation points to a live allocation; nobody borrows its score.
        unsafe { self.0.cast::<f64>().write(score) }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: a member in circulation points to a live allocation, laid out as `new` has done it, whose bytes never
        // change.
        unsafe {
            let len = self.0.add(LEN_AT).read();
            let (start, len) = if len == IS_LONG {
                (LONG, self.0.add(SHORT).cast::<u32>().read_unaligned() as usize)
            } else {
                (SHORT, len as usize)
            };
            NonNull::slice_from_raw_parts(self.0.add(start), len).as_ref()
        }
    }

    /// Bytes of memory.
    pub(super) fn memory(self) -> usize {
        size_class(layout(self.bytes().len()).size())
    }

    /// Gives the memory back. No pointer to this member may be used afterwards.
    pub(super) fn free(self) {
        let layout = layout(self.bytes().len());
        // SAFETY: the allocation was made with this layout; by the contract this is the last use of it.
        unsafe { dealloc(self.0.as_ptr(), layout) }
    }
}

#[test]
fn members_of_every_length_come_back() {
    let bytes: Vec<u8> = (0..70_000_u32).map(|i| i as u8).collect();
    for len in [0, 1, 7, 8, 254, 255, 256, 65_535, 65_536, 70_000] {
        let member = Member::new(&bytes[..len], -0.5);
        assert_eq!((member.bytes(), member.score()), (&bytes[..len], -0.5));
        member.set_score(f64::INFINITY);
        let same = Member::of(member.word(0xffff));
        assert_eq!((same.bytes(), same.score()), (&bytes[..len], f64::INFINITY));
        assert!(member.memory() > len);
        member.free();
    }
}
