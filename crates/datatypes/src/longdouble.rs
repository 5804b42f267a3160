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

const EXTENDED: Format = Format { bits: 64, min_exponent: -16_445, max_exponent: 16_320 };

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

/// Whether `text` reads as a number that is not infinite.
pub fn is_finite(text: &[u8]) -> bool {
    matches!(parse(text), Some(Extended::Finite { .. }))
}

#[derive(Debug, Clone, Copy)]
enum Extended {
    Infinite,
    Finite { negative: bool, magnitude: Magnitude },
}

fn parse(text: &[u8]) -> Option<Extended> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let number = scan(text)?;
    let (rounded, is_zero) = match number.magnitude {
        Written::Infinity => return Some(Extended::Infinite),
        Written::Hex { mantissa, exponent, sticky } => {
            (round(mantissa, exponent, sticky, &EXTENDED), mantissa == 0)
        }
        Written::Decimal { whole, fraction, exponent } => parse_decimal(whole, fraction, exponent),
    };
    // Overflow and underflow to zero are refused as no number at all.
    let magnitude = rounded?;
    if magnitude.mantissa == 0 && !is_zero {
        return None;
    }
    Some(Extended::Finite { negative: number.negative, magnitude })
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
    let value = digits.iter().fold(0_u128, |value, digit| value * 10 + u128::from(digit - b'0'));
    if scale >= 0 {
        return round(value * 10_u128.pow(scale.unsigned_abs()), 0, false, &EXTENDED);
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
    let (dividend, divisor) =
        if scale >= 0 { (value * power, BigUint::from(1_u32)) } else { (value, power) };
    // Brings the quotient to 99 or 100 bits.
    let shift = 100 - (dividend.bits() as i64 - divisor.bits() as i64);
    let (dividend, divisor) =
        if shift >= 0 { (dividend << shift, divisor) } else { (dividend, divisor << -shift) };
    let quotient = &dividend / &divisor;
    let sticky = &quotient * &divisor != dividend;
    let mantissa = u128::try_from(quotient).unwrap_or(u128::MAX);
    round(mantissa, -shift as i32, sticky, &EXTENDED)
}

impl Extended {
    /// `None` when the sum is infinite or not a number.
    fn plus(self, other: Self) -> Option<Self> {
        let (
            Self::Finite { negative: a_negative, magnitude: a },
            Self::Finite { negative: b_negative, magnitude: b },
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
        Some(Self::Finite { negative, magnitude: round(sum, high.1, false, &EXTENDED)? })
    }

    fn print(self) -> String {
        let Self::Finite { negative, magnitude } = self else {
            unreachable!("sums are finite");
        };
        let text = print_magnitude(magnitude);
        if negative && text != "0" { format!("-{text}") } else { text }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_redis() {
        // The answers of Redis 7.0.15 on x86-64.
        for (value, increment, expected) in [
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3", "-3", "0"),
            ("-0", "0", "0"),
            ("0.1", "0.2", "0.3"),
            ("2.5", "-2.75", "-0.25"),
            (".5", "5.", "5.5"),
            ("+1", "1", "2"),
            ("0x1.8p3", "1", "13"),
            ("3.0", "1.000000000000000005", "4.00000000000000001"),
            ("1.797", "0.0000000000000000001", "1.797"),
            ("1e19", "1", "10000000000000000001"),
            ("18446744073709551615", "0.5", "18446744073709551616"),
            ("18446744073709551617", "2", "18446744073709551618"),
            ("9007199254740993", "0", "9007199254740993"),
            ("123456789.123456789123456789", "0", "123456789.12345678912242875"),
            ("1e30", "-1", "1000000000000000000024696061952"),
            ("1e-17", "0", "0.00000000000000001"),
            ("5e-18", "0", "0"),
            ("5.1e-18", "0", "0.00000000000000001"),
            ("-4e-18", "0", "0"),
            ("1e-4950", "1", "1"),
            ("0e999999999999", "1", "1"),
        ] {
            let sum = incr_by(value.as_bytes(), increment.as_bytes());
            assert_eq!(sum.as_deref(), Ok(expected), "{value} {increment}");
        }
        let huge = incr_by(b"1e4932", b"0").unwrap();
        assert_eq!(huge.len(), 4933);
        assert!(huge.starts_with("100000000000000000000601894938"));
    }

    #[test]
    fn refuses_what_is_no_number() {
        let zeros = "0".repeat(MAX_TEXT);
        assert_eq!(incr_by(zeros.as_bytes(), b"2").as_deref(), Ok("2"));
        let too_long = "0".repeat(MAX_TEXT + 1);
        for text in [
            "",
            " 1",
            "1 ",
            "nan",
            "1e",
            ".",
            "0x",
            "1\0",
            "1e4933",
            "1e-4960",
            "1e999999999999",
            "0x1p16384",
            too_long.as_str(),
        ] {
            let text = text.as_bytes();
            assert!(!is_number(text));
            assert_eq!(incr_by(text, b"1"), Err(IncrError::ValueNotFloat));
            assert_eq!(incr_by(b"1", text), Err(IncrError::IncrementNotFloat));
        }
    }

    #[test]
    fn infinite_sums_are_refused() {
        let largest = b"1.18973149535723176502e4932";
        for (value, increment) in [
            (b"inf".as_slice(), b"1".as_slice()),
            (b"1", b"-inf"),
            (b"inf", b"-inf"),
            (largest, largest),
        ] {
            assert!(is_number(value));
            assert_eq!(incr_by(value, increment), Err(IncrError::NanOrInfinity));
        }
    }

    #[test]
    fn short_and_long_decimals_agree() {
        let seed = 0xf10a7_u64;
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 16
        };
        // The mantissa's trailing zeros are a matter of taste.
        let reduced = |magnitude: Option<Magnitude>| {
            magnitude.map(|m| {
                let zeros = m.mantissa.trailing_zeros();
                (m.mantissa >> zeros, m.exponent + zeros as i32)
            })
        };
        for round in 0..5_000 {
            let digits = (next() % 10_u64.pow((next() % 15) as u32 + 1) + 1).to_string();
            let scale = (next() % 38) as i32 - 18;
            assert_eq!(
                reduced(short_decimal(digits.as_bytes(), scale)),
                reduced(long_decimal(digits.as_bytes(), scale)),
                "seed {seed} round {round} {digits}e{scale}"
            );
        }
    }
}
