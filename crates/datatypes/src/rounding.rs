//! Rounds exact binary magnitudes to a floating-point format, to nearest with ties to even, as IEEE 754 does.

/// A binary format: a finite value is `mantissa * 2^exponent` with at most `bits` bits of mantissa.
pub(crate) struct Format {
    pub bits: i32,
    /// Exponent of the smallest subnormal.
    pub min_exponent: i32,
    /// Exponent of the largest value, whose mantissa has all bits set.
    pub max_exponent: i32,
}

/// A finite magnitude, `mantissa * 2^exponent`; zero has mantissa zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Magnitude {
    pub mantissa: u64,
    pub exponent: i32,
}

impl Magnitude {
    pub const ZERO: Self = Self { mantissa: 0, exponent: 0 };
}

/// Rounds `mantissa * 2^exponent`, to which `sticky` adds something above zero and below one unit of the mantissa;
/// with `sticky` the mantissa must be at least two bits longer than the format's. `None` is infinity.
pub(crate) fn round(
    mut mantissa: u128,
    mut exponent: i32,
    mut sticky: bool,
    format: &Format,
) -> Option<Magnitude> {
    if mantissa == 0 {
        return Some(Magnitude::ZERO);
    }
    let length = |mantissa: u128| 128 - mantissa.leading_zeros() as i32;
    if length(mantissa) > 96 {
        sticky |= mantissa & 0xffff_ffff != 0;
        mantissa >>= 32;
        exponent = exponent.saturating_add(32);
    }
    if exponent > format.max_exponent.saturating_add(format.bits) {
        return None;
    }
    let drop = (length(mantissa) - format.bits).max(format.min_exponent.saturating_sub(exponent));
    if drop >= 127 {
        // Less than a millionth of the smallest subnormal.
        return Some(Magnitude::ZERO);
    }
    if drop > 0 {
        let rest = mantissa & ((1 << drop) - 1);
        let half = 1 << (drop - 1);
        mantissa >>= drop;
        exponent += drop;
        if rest > half || rest == half && (sticky || mantissa & 1 == 1) {
            mantissa += 1;
        }
        if length(mantissa) > format.bits {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    if length(mantissa) + exponent > format.bits + format.max_exponent {
        return None;
    }
    if mantissa == 0 {
        return Some(Magnitude::ZERO);
    }
    Some(Magnitude { mantissa: mantissa as u64, exponent })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Format = Format { bits: 4, min_exponent: -6, max_exponent: 3 };

    fn rounded(mantissa: u128, exponent: i32, sticky: bool) -> Option<(u64, i32)> {
        round(mantissa, exponent, sticky, &TINY).map(|m| (m.mantissa, m.exponent))
    }

    #[test]
    fn ties_go_to_even() {
        assert_eq!(rounded(0b10101, 0, false), Some((0b1010, 1)));
        assert_eq!(rounded(0b10111, 0, false), Some((0b1100, 1)));
        assert_eq!(rounded(0b101010, 0, true), Some((0b1011, 2)));
        assert_eq!(rounded(0b101001, 0, true), Some((0b1010, 2)));
        assert_eq!(rounded(0b11111, 0, false), Some((0b1000, 2)));
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_eq!(rounded(0b1111, 3, false), Some((15, 3)));
        assert_eq!(rounded(0b11111, 2, false), None);
        assert_eq!(rounded(0b111101, 1, false), Some((15, 3)));
        assert_eq!(rounded(1, i32::MAX, false), None);
        assert_eq!(rounded(1, i32::MIN, false), Some((0, 0)));
        assert_eq!(rounded(0b11, -8, false), Some((1, -6)));
        assert_eq!(rounded(0b10, -8, false), Some((0, 0)));
        assert_eq!(rounded(1 << 127, -127 - 6, false), Some((1, -6)));
        assert_eq!(rounded((1 << 127) | 1, -127 - 7, false), Some((1, -6)));
        assert_eq!(rounded(1 << 127, -127 - 7, false), Some((0, 0)));
    }
}
