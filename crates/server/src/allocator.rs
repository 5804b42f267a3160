//! The allocator of the process: jemalloc in steps of 8 bytes, with alignments of 16 kept.
//!
//! The bindings take for granted that jemalloc aligns everything to 16 bytes, and ask for nothing in particular up to
//! there. Built in steps of 8 it doesn't: 52 bytes get a place of 56, every other of which is not a multiple of 16. Sizes
//! that are multiples of 16 always are, since every class up to 64 bytes is exact and every larger one a multiple of 16.
//!
//! `unsafe` is here because that is what an allocator is made of.

use std::alloc::{GlobalAlloc, Layout};

use tikv_jemallocator::Jemalloc;

/// Where all memory comes from.
pub struct Allocator;

/// The layout that is asked of jemalloc in the place of `layout`.
#[inline]
fn asked(layout: Layout) -> Layout {
    if layout.align() == 16 { layout.pad_to_align() } else { layout }
}

// SAFETY: every call is handed on to jemalloc with a layout that is at least as large and as strictly aligned, and the
// same one for a block's whole life.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, as above.
        unsafe { Jemalloc.alloc(asked(layout)) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, as above.
        unsafe { Jemalloc.alloc_zeroed(asked(layout)) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract, as above.
        unsafe { Jemalloc.dealloc(block, asked(layout)) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let new_size = if layout.align() == 16 { new_size.next_multiple_of(16) } else { new_size };
        // SAFETY: the caller's contract, as above; a valid size stays one when it is rounded up to its alignment.
        unsafe { Jemalloc.realloc(block, asked(layout), new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alignment_is_kept() {
        let mut blocks = Vec::new();
        for align in [1, 2, 4, 8, 16, 32, 64, 128] {
            for size in (1..300).chain([1000, 4097, 20_000]) {
                let layout = Layout::from_size_align(size, align).expect("a layout");
                // SAFETY: blocks are grown with the layout that they were made with, and freed below with the new one.
                let block = unsafe {
                    let block = Allocator.alloc(layout);
                    assert!(block.addr().is_multiple_of(align), "{size} bytes by {align}");
                    Allocator.realloc(block, layout, size + 20)
                };
                assert!(block.addr().is_multiple_of(align), "{size} + 20 bytes by {align}");
                blocks.push((block, Layout::from_size_align(size + 20, align).expect("a layout")));
            }
        }
        for (block, layout) in blocks {
            // SAFETY: as above, each once.
            unsafe { Allocator.dealloc(block, layout) }
        }
    }
}
