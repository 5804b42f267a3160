//! Byte buffers that are allocated in the sizes that the allocator hands out anyway, so that growing within one costs
//! nothing and the bytes counted are the bytes held.

/// The bytes that the allocator hands out for a request of `n`: steps of 8 up to 64, then four for each doubling.
pub fn size_class(n: usize) -> usize {
    n.next_multiple_of((n.next_power_of_two() / 8).max(8))
}

/// What the allocator hands out for a text of so many bytes that has an allocation of its own: beyond 16 KiB, whole pages.
pub fn handed_out(bytes: usize) -> usize {
    const PAGE: usize = 4096;
    if bytes > 4 * PAGE { bytes.next_multiple_of(PAGE) } else { size_class(bytes) }
}

/// The greatest size that the allocator hands out of at most `n` bytes.
pub(crate) fn size_class_below(n: usize) -> usize {
    let step = (n.next_power_of_two() / 8).max(8);
    n - n % step
}

/// Cuts the buffer to `capacity` bytes or extends it with zeros.
pub(crate) fn reallocate(buffer: &mut Box<[u8]>, capacity: usize) {
    let mut bytes = std::mem::take(buffer).into_vec();
    if capacity < bytes.len() {
        bytes.truncate(capacity);
        bytes.shrink_to_fit();
    } else {
        bytes.reserve_exact(capacity - bytes.len());
        bytes.resize(capacity, 0);
    }
    *buffer = bytes.into_boxed_slice();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_allocator() {
        for (n, class) in [
            (0, 0),
            (1, 8),
            (8, 8),
            (9, 16),
            (57, 64),
            (65, 80),
            (128, 128),
            (129, 160),
            (1025, 1280),
            (4097, 5120),
        ] {
            assert_eq!(size_class(n), class, "{n}");
        }
        for n in 0..20_000 {
            let below = size_class_below(n);
            assert!(below <= n && size_class(below) == below, "{n}");
            assert_eq!(below == n, size_class(n) == n, "{n}");
            assert!((below + 1..=n).all(|m| size_class(m) != m), "{n}");
        }
    }
}
