//! Memory for an array of buckets, zeroed. Small arrays come from the allocator; large ones are mapped, so that their
//! pages are committed as they are first written and can be given back as they are drained. Neither creating nor
//! draining a large array ever costs more than a few pages at a time.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{MmapMut, UncheckedAdvice};

use crate::rest;
use crate::table::Bucket;

/// Bytes that all regions of the process have mapped.
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// Bytes of tables that are mapped, past the allocator: those that were written to and have not been given back since.
pub fn mapped_bytes() -> usize {
    MAPPED.load(Ordering::Relaxed)
}

/// Buckets from which an array is mapped: 64 KiB.
const MAP_FROM: usize = 1024;
/// Buckets whose pages are given back together: 64 KiB, so that the system call is rare.
const RELEASE_STEP: usize = 1024;

/// Bytes whose pages are given back together by who drops an array and takes its time.
const DROP_STEP: usize = 256 * 1024;

/// An array of buckets.
pub(crate) struct Region {
    base: NonNull<Bucket>,
    len: usize,
    /// `None` for an array from the allocator.
    map: Option<MmapMut>,
    /// Bytes of the map that may have been written to, and those of them that were given back.
    reached: usize,
    given_back: usize,
}

// SAFETY: the region owns its memory and has no tie to a thread.
unsafe impl Send for Region {}
// SAFETY: shared access only reads.
unsafe impl Sync for Region {}

impl Region {
    /// An array of no buckets, without memory.
    pub(crate) const EMPTY: Self =
        Self { base: NonNull::dangling(), len: 0, map: None, reached: 0, given_back: 0 };

    /// An array whose buckets are reached from left to right: see [`Self::reach`].
    pub(crate) fn new(len: usize) -> Self {
        if len == 0 {
            return Self::EMPTY;
        }
        let layout = Self::layout(len);
        // Without an address space left there is no way on, as with any other allocation.
        if len >= MAP_FROM
            && let Ok(mut map) = MmapMut::map_anon(layout.size())
        {
            let base = NonNull::new(map.as_mut_ptr().cast()).expect("a map is not at null");
            return Self { base, len, map: Some(map), reached: 0, given_back: 0 };
        }
        // SAFETY: the size is not zero, as `len` is not.
        let Some(base) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        Self { base: base.cast(), len, map: None, reached: 0, given_back: 0 }
    }

    fn layout(len: usize) -> Layout {
        Layout::array::<Bucket>(len).expect("tables are far smaller than the address space")
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that are mapped, not allocated, and in use.
    pub(crate) fn mapped(&self) -> usize {
        self.reached - self.given_back
    }

    /// Bytes in use.
    pub(crate) fn memory(&self) -> usize {
        if self.map.is_some() { self.mapped() } else { self.len * size_of::<Bucket>() }
    }

    /// Tells that buckets below `end` may be written to from now on: only then do they take memory.
    pub(crate) fn reach(&mut self, end: usize) {
        let bytes = end.min(self.len) * size_of::<Bucket>();
        if self.map.is_some() && bytes > self.reached {
            MAPPED.fetch_add(bytes - self.reached, Ordering::Relaxed);
            self.reached = bytes;
        }
    }

    #[inline]
    pub(crate) fn bucket(&self, i: usize) -> *mut Bucket {
        debug_assert!(i < self.len);
        // SAFETY: `i` is below `len`, as every caller's index arithmetic ensures.
        unsafe { self.base.as_ptr().add(i) }
    }

    /// Tells that all buckets below `drained` are empty for good. Gives their pages back, in steps.
    pub(crate) fn release_below(&mut self, drained: usize) {
        if drained.is_multiple_of(RELEASE_STEP)
            && let Some(map) = &mut self.map
        {
            let size = RELEASE_STEP * size_of::<Bucket>();
            let from = (drained - RELEASE_STEP) * size_of::<Bucket>();
            // SAFETY: the pages hold only drained buckets, that is zeros, and read as zeros afterwards. A refusal
            // costs memory until the region is dropped, nothing else.
            let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, size) };
            self.given_back += size;
            MAPPED.fetch_sub(size, Ordering::Relaxed);
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        MAPPED.fetch_sub(self.mapped(), Ordering::Relaxed);
        if rest::is_wanted()
            && let Some(map) = &mut self.map
        {
            for from in (self.given_back..self.reached).step_by(DROP_STEP) {
                let size = DROP_STEP.min(self.reached - from);
                // SAFETY: nothing reads the pages any more. If it is refused, they go with the map.
                let _ =
                    unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, size) };
                rest::rest();
            }
        }
        if self.map.is_none() && self.len > 0 {
            // SAFETY: allocated in `new` with the same layout.
            unsafe { dealloc(self.base.as_ptr().cast(), Self::layout(self.len)) }
        }
    }
}
