//! Pauses in long work on something large. To free ten million elements, or to write them, takes a second; a thread that does so
//! in the background must not keep its core from those who are woken there meanwhile.
//!
//! Such a thread names its pause to [`pausing`]. What goes over many elements calls [`step`] for each of them, or holds a
//! [`Rest`] for every few that it frees. For every other thread that is one comparison.

use std::cell::Cell;

thread_local! {
    static PAUSE: Cell<Option<fn()>> = const { Cell::new(None) };
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// Steps between two pauses.
const RUN: usize = 64;

/// Does `work`, and calls `pause` again and again meanwhile. Nothing may be locked that somebody could wait for.
pub fn pausing<R>(pause: fn(), work: impl FnOnce() -> R) -> R {
    let before = PAUSE.replace(Some(pause));
    let result = work();
    PAUSE.set(before);
    result
}

/// Whether the work at hand pauses.
#[inline]
pub(crate) fn is_wanted() -> bool {
    PAUSE.get().is_some()
}

/// Pauses, if the work at hand does so.
#[inline]
pub fn rest() {
    if let Some(pause) = PAUSE.get() {
        pause();
    }
}

/// An element is done: pauses after some dozens of them, if the work at hand does so.
#[inline]
pub fn step() {
    if let Some(pause) = PAUSE.get() {
        STEPS.set(STEPS.get() + 1);
        if STEPS.get().is_multiple_of(RUN) {
            pause();
        }
    }
}

/// Part of what holds some dozens of allocations: rests when that is freed.
#[derive(Debug, Clone)]
pub(crate) struct Rest;

impl Drop for Rest {
    #[inline]
    fn drop(&mut self) {
        rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::{Collection, Kind};
    use crate::hash::Hasher;
    use crate::list::{End, List, ListLimits, NewElement};
    use crate::sequence::{Counted, Sequence};
    use crate::set::{Set, SetLimits};
    use crate::zset::{ZSet, ZSetLimits};

    thread_local! {
        static PAUSES: Cell<usize> = const { Cell::new(0) };
    }

    /// Pauses while `value` is freed.
    fn pauses_of<T: Send + 'static>(value: T) -> usize {
        let freeing = std::thread::spawn(move || {
            pausing(|| PAUSES.set(PAUSES.get() + 1), || drop(value));
            PAUSES.get()
        });
        freeing.join().unwrap()
    }

    fn list(len: usize) -> Collection {
        let (mut list, limits) = (List::new(), ListLimits::new(1));
        for i in 0..len {
            list.push(End::Back, NewElement::Bytes(format!("{i}").as_bytes()), limits);
        }
        list.into_collection()
    }

    #[test]
    fn what_is_large_is_freed_with_pauses() {
        const LEN: usize = 20_000;
        let hasher = Hasher::new([1, 2, 3, 4]);
        let limits = SetLimits {
            intset_entries: 0,
            listpack_entries: 0,
            listpack_value: 0,
            hasher: &hasher,
        };
        let mut set = Set::new();
        for i in 0..LEN {
            set.add(format!("{i}").as_bytes(), &limits);
        }
        assert!(pauses_of(set.into_collection()) >= LEN / RUN);
        let blocks = list(LEN).effort();
        assert!(pauses_of(list(LEN)) >= blocks / RUN - 1, "{blocks} blocks");
        let mut entries: Vec<_> = (0..LEN).map(|i| (format!("{i}"), i as f64)).collect();
        let limits = ZSetLimits { listpack_entries: 0, listpack_value: 0, hasher: &hasher };
        let zset = ZSet::from_entries(&mut entries, &limits);
        assert!(pauses_of(zset.into_collection()) >= LEN / RUN);
    }

    #[test]
    fn nobody_else_pauses() {
        drop(list(20_000));
        assert_eq!(PAUSES.get(), 0);
    }

    struct One;

    impl Counted for One {
        fn count(&self) -> usize {
            1
        }
    }

    #[test]
    fn a_sequence_rests_once_for_each_of_its_leaves() {
        let mut blocks = Sequence::new();
        for _ in 0..64 * 64 {
            blocks.push(crate::sequence::End::Back, One);
        }
        assert!((63..=66).contains(&pauses_of(blocks)));
    }
}
