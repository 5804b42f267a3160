//! The grammar of floating-point text: that of C's `strtod`, without blanks around it and without NaN.

/// A number as it is written, sign included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Number<'a> {
    pub negative: bool,
    pub magnitude: Written<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written<'a> {
    Infinity,
    /// The digits around the point, times a power of ten.
    Decimal {
        whole: &'a [u8],
        fraction: &'a [u8],
        exponent: i32,
    },
    /// `mantissa * 2^exponent`, and `sticky` when non-zero digits beyond the mantissa's 125 bits were left out.
    Hex {
        mantissa: u128,
        exponent: i32,
        sticky: bool,
    },
}

/// Exponents are cut here: far beyond every format, far from overflow in the sums they enter.
const EXPONENT_LIMIT: i32 = 1 << 29;

/// Scans the whole of `text`; `None` when it isn't a number.
pub(crate) fn scan(text: &[u8]) -> Option<Number<'_>> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let magnitude = match rest {
        [b'0', b'x' | b'X', digits @ ..] => scan_hex(digits)?,
        [b'0'..=b'9' | b'.', ..] => scan_decimal(rest)?,
        _ if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") => {
            Written::Infinity
        }
        _ => return None,
    };
    Some(Number { negative, magnitude })
}

fn scan_decimal(text: &[u8]) -> Option<Written<'_>> {
    let (whole, fraction, rest) = split_digits(text, u8::is_ascii_digit)?;
    let exponent = scan_exponent(rest, b'e')?;
    Some(Written::Decimal { whole, fraction, exponent })
}

fn scan_hex(text: &[u8]) -> Option<Written<'_>> {
    let (whole, fraction, rest) = split_digits(text, u8::is_ascii_hexdigit)?;
    let mut exponent = scan_exponent(rest, b'p')?;
    let mut mantissa = 0_u128;
    let mut sticky = false;
    for (index, &byte) in whole.iter().chain(fraction).enumerate() {
        let digit = (byte as char).to_digit(16).map_or(0, u128::from);
        let in_fraction = index >= whole.len();
        if mantissa >> 121 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent = exponent.saturating_sub(if in_fraction { 4 } else { 0 });
        } else {
            sticky |= digit != 0;
            exponent = exponent.saturating_add(if in_fraction { 0 } else { 4 });
        }
    }
    Some(Written::Hex { mantissa, exponent, sticky })
}

/// Splits `digits[.digits]rest`; at least one digit must be there.
fn split_digits(text: &[u8], is_digit: fn(&u8) -> bool) -> Option<(&[u8], &[u8], &[u8])> {
    let run = |text: &[u8]| text.iter().position(|b| !is_digit(b)).unwrap_or(text.len());
    let (whole, rest) = text.split_at(run(text));
    let (fraction, rest) = match rest {
        [b'.', after @ ..] => after.split_at(run(after)),
        _ => (&rest[..0], rest),
    };
    (!whole.is_empty() || !fraction.is_empty()).then_some((whole, fraction, rest))
}

fn scan_exponent(text: &[u8], marker: u8) -> Option<i32> {
    let (&first, rest) = match text.split_first() {
        None => return Some(0),
        Some(split) => split,
    };
    if !first.eq_ignore_ascii_case(&marker) {
        return None;
    }
    let (negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_i32, |value, digit| {
        (value.saturating_mul(10)).saturating_add(i32::from(digit - b'0')).min(EXPONENT_LIMIT)
    });
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_strtod_would_leave_over() {
        for text in [
            "",
            "+",
            "-",
            ".",
            "e5",
            ".e5",
            "1e",
            "1e+",
            "1e5x",
            " 1",
            "1 ",
            "1\0",
            "0x",
            "0x.",
            "0x1p",
            "0xg",
            "--1",
            "+-1",
            "infin",
            "infinityy",
            "nan",
            "NaN",
            "nan(1)",
            "-nan",
            "1.2.3",
            "1,5",
            "0b1",
            "1_000",
        ] {
            assert_eq!(scan(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn takes_every_spelling() {
        for text in [
            "1",
            "+1",
            "-1",
            "1.",
            ".5",
            "01",
            "1e5",
            "1E-5",
            "1.e+5",
            "inf",
            "-INF",
            "+Infinity",
            "0x1",
            "0X.8p1",
            "0x1.P-3",
        ] {
            assert!(scan(text.as_bytes()).is_some(), "{text:?}");
        }
    }

    #[test]
    fn huge_exponents_and_long_digits_are_cut() {
        let text = format!("1e{}", "9".repeat(1000));
        let Some(Number { magnitude: Written::Decimal { exponent, .. }, .. }) =
            scan(text.as_bytes())
        else {
            panic!("not a decimal");
        };
        assert_eq!(exponent, EXPONENT_LIMIT);

        let text = format!("0x{}1", "f".repeat(1000));
        let Some(Number { magnitude: Written::Hex { mantissa, exponent, sticky }, .. }) =
            scan(text.as_bytes())
        else {
            panic!("not hex");
        };
        assert_eq!((mantissa.leading_zeros(), exponent, sticky), (4, 4 * (1001 - 31), true));
    }
}
