//! INCRBYFLOAT: the sum of two numbers as Redis computes it, byte for byte.
//!
//! Redis on x86-64 adds in the 80-bit extended format (a 64-bit mantissa, a 15-bit exponent) and prints the sum with
//! 17 decimals, trailing zeros removed. Here each step, reading, adding and printing, is done exactly in integers
//! and rounded once to nearest, ties to even, which is what the processor and the C library do. The work
//! is bounded: the text is, and exponents beyond the format's range are decided without arithmetic.

use std::cmp::Ordering;

use num_bigint::BigUint;

use crate::rounding::{Format, Magnitude, round};
use crate::scan::{Written, scan};

/// Longer texts aren't numbers: Redis parses in a buffer of 5 KiB with a terminator.
const MAX_TEXT: usize = 5 * 1024 - 1;

const EXTENDED: Format = Format {
    bits: 64,
    min_exponent: -16_445,
    max_exponent: 16_320,
};

/// Powers of ten at which a decimal is surely infinite, or surely nothing but an underflow.
const DECIMAL_OVERFLOW: i64 = 4_940;
const DECIMAL_UNDERFLOW: i64 = -4_960;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncrError {
    /// The value held by the key isn't a number.
    ValueNotFloat,
    /// The increment isn't a number.
    IncrementNotFloat,
    /// The sum is infinite or not a number.
    NanOrInfinity,
}

/// The text of `value + increment`.
pub fn incr_by(value: &[u8], increment: &[u8]) -> Result<String, IncrError> {
    let value = parse(value).ok_or(IncrError::ValueNotFloat)?;
    let increment = parse(increment).ok_or(IncrError::IncrementNotFloat)?;
    let sum = value.plus(increment).ok_or(IncrError::NanOrInfinity)?;
    Ok(sum.print())
}

/// Whether `text` reads as a number, so that a caller can check an increment before it looks at the key.
pub fn is_number(text: &[u8]) -> bool {
    parse(text).is_some()
}

#[derive(Debug, Clone, Copy)]
enum Extended {
    Infinite,
    Finite {
        negative: bool,
        magnitude: Magnitude,
    },
}

fn parse(text: &[u8]) -> Option<Extended> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let number = scan(text)?;
    let (rounded, is_zero) = match number.magnitude {
        Written::Infinity => return Some(Extended::Infinite),
        Written::Hex {
            mantissa,
            exponent,
            sticky,
        } => (round(mantissa, exponent, sticky, &EXTENDED), mantissa == 0),
        Written::Decimal {
            whole,
            fraction,
            exponent,
        } => parse_decimal(whole, fraction, exponent),
    };
    // Overflow and underflow to zero are refused as no number at all.
    let magnitude = rounded?;
    if magnitude.mantissa == 0 && !is_zero {
        return None;
    }
    Some(Extended::Finite {
        negative: number.negative,
        magnitude,
    })
}

/// The magnitude, `None` for infinity, and whether the digits are all zeros.
fn parse_decimal(whole: &[u8], fraction: &[u8], exponent: i32) -> (Option<Magnitude>, bool) {
    let mut digits: Vec<u8> = whole.iter().chain(fraction).copied().collect();
    let leading = digits.iter().take_while(|&&digit| digit == b'0').count();
    digits.drain(..leading);
    let mut scale = i64::from(exponent) - fraction.len() as i64;
    while digits.last() == Some(&b'0') {
        digits.pop();
        scale += 1;
    }
    if digits.is_empty() {
        return (Some(Magnitude::ZERO), true);
    }
    // The value lies in [10^(top - 1), 10^top).
    let top = digits.len() as i64 + scale;
    if top > DECIMAL_OVERFLOW {
        return (None, false);
    }
    if top < DECIMAL_UNDERFLOW {
        return (Some(Magnitude::ZERO), false);
    }
    let magnitude = match u64::try_from(digits.len()) {
        Ok(..=19) if (-18..=19).contains(&scale) => short_decimal(&digits, scale as i32),
        _ => long_decimal(&digits, scale as i32),
    };
    (magnitude, false)
}

/// Up to 19 digits with a small scale: all in 128 bits.
fn short_decimal(digits: &[u8], scale: i32) -> Option<Magnitude> {
    let value = digits
        .iter()
        .fold(0_u128, |value, digit| value * 10 + u128::from(digit - b'0'));
    if scale >= 0 {
        return round(
            value * 10_u128.pow(scale.unsigned_abs()),
            0,
            false,
            &EXTENDED,
        );
    }
    let divisor = 10_u128.pow(scale.unsigned_abs());
    let shift = value.leading_zeros();
    let dividend = value << shift;
    // At least 2^127 / 10^18: 67 bits, enough for a sticky remainder.
    let sticky = dividend % divisor != 0;
    round(dividend / divisor, -(shift as i32), sticky, &EXTENDED)
}

/// Any number of digits and any scale of the format's range.
fn long_decimal(digits: &[u8], scale: i32) -> Option<Magnitude> {
    let value = BigUint::parse_bytes(digits, 10).unwrap_or_default();
    let power = BigUint::from(10_u32).pow(scale.unsigned_abs());
    let (dividend, divisor) = if scale >= 0 {
        (value * power, BigUint::from(1_u32))
    } else {
        (value, power)
    };
    // Brings the quotient to 99 or 100 bits.
    let shift = 100 - (dividend.bits() as i64 - divisor.bits() as i64);
    let (dividend, divisor) = if shift >= 0 {
        (dividend << shift, divisor)
    } else {
        (dividend, divisor << -shift)
    };
    let quotient = &dividend / &divisor;
    let sticky = &quotient * &divisor != dividend;
    let mantissa = u128::try_from(quotient).unwrap_or(u128::MAX);
    round(mantissa, -shift as i32, sticky, &EXTENDED)
}

impl Extended {
    /// `None` when the sum is infinite or not a number.
    fn plus(self, other: Self) -> Option<Self> {
        let (
            Self::Finite {
                negative: a_negative,
                magnitude: a,
            },
            Self::Finite {
                negative: b_negative,
                magnitude: b,
            },
        ) = (self, other)
        else {
            return None;
        };
        if a.mantissa == 0 {
            return Some(other);
        }
        if b.mantissa == 0 {
            return Some(self);
        }
        // Mantissas at bit 125, so that the sum fits and 61 bits are left to round on.
        let spread = |m: Magnitude| {
            let shift = m.mantissa.leading_zeros() as i32 + 62;
            (u128::from(m.mantissa) << shift, m.exponent - shift)
        };
        let (mut high, mut low) = (spread(a), spread(b));
        let (mut high_negative, mut low_negative) = (a_negative, b_negative);
        if high.1 < low.1 {
            std::mem::swap(&mut high, &mut low);
            std::mem::swap(&mut high_negative, &mut low_negative);
        }
        let distance = (high.1 - low.1) as u32;
        let aligned = low.0.checked_shr(distance).unwrap_or(0);
        // Bits shifted out only ever break ties: the lowest bit stands for all of them.
        let lost = aligned.checked_shl(distance).unwrap_or(0) != low.0;
        let aligned = aligned | u128::from(lost);
        let (sum, negative) = if high_negative == low_negative {
            (high.0 + aligned, high_negative)
        } else {
            match high.0.cmp(&aligned) {
                Ordering::Less => (aligned - high.0, low_negative),
                Ordering::Equal => (0, false),
                Ordering::Greater => (high.0 - aligned, high_negative),
            }
        };
        Some(Self::Finite {
            negative,
            magnitude: round(sum, high.1, false, &EXTENDED)?,
        })
    }

    fn print(self) -> String {
        let Self::Finite {
            negative,
            magnitude,
        } = self
        else {
            unreachable!("sums are finite");
        };
        let text = print_magnitude(magnitude);
        if negative && text != "0" {
            format!("-{text}")
        } else {
            text
        }
    }
}

/// 17 decimals, correctly rounded, without trailing zeros.
fn print_magnitude(magnitude: Magnitude) -> String {
    const DECIMALS: u128 = 100_000_000_000_000_000;
    let Magnitude { mantissa, exponent } = magnitude;
    if exponent >= 0 {
        if exponent <= 64 {
            return (u128::from(mantissa) << exponent).to_string();
        }
        return (BigUint::from(mantissa) << exponent).to_string();
    }
    // Below 2^121, so a shift by more than that leaves less than half a unit.
    let scaled = u128::from(mantissa) * DECIMALS;
    let shift = exponent.unsigned_abs();
    let units = if shift >= 127 {
        0
    } else {
        let rest = scaled & ((1 << shift) - 1);
        let half = 1 << (shift - 1);
        let down = scaled >> shift;
        down + u128::from(rest > half || rest == half && down & 1 == 1)
    };
    let (whole, fraction) = (units / DECIMALS, units % DECIMALS);
    if fraction == 0 {
        return whole.to_string();
    }
    let text = format!("{whole}.{fraction:017}");
    text.trim_end_matches('0').to_owned()
}
