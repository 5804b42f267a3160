//! Double-precision numbers as clients write and read them: scores, timeouts, RESP3 doubles.
//!
//! Accepts what Redis accepts: the spellings of C's `strtod`, hexadecimal and infinities included, but no NaN, no
//! blanks, and nothing that overflows to infinity or underflows to zero. Prints as Redis 7.2 and newer do: the
//! shortest digits that read back as the same double.

use crate::rounding::{Format, Magnitude, round};
use crate::scan::{Number, Written, scan};

const BINARY64: Format = Format { bits: 53, min_exponent: -1074, max_exponent: 971 };

/// Parses the whole of `text`; `None` when it isn't a double that may be used.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let number = scan(text)?;
    let value = value_of(&number, text)?;
    let (written_infinite, written_zero) = match number.magnitude {
        Written::Infinity => (true, false),
        Written::Decimal { whole, fraction, .. } => {
            (false, whole.iter().chain(fraction).all(|&digit| digit == b'0'))
        }
        Written::Hex { mantissa, .. } => (false, mantissa == 0),
    };
    let in_range = value.is_infinite() == written_infinite && (value == 0.0) == written_zero;
    in_range.then_some(value)
}

/// Parses the end of an interval, as C's `strtod` does when nothing may be left over: blanks in front are skipped,
/// what overflows is infinite, what underflows is zero, a zero byte ends the text, and no text at all is zero.
pub fn parse_bound(text: &[u8]) -> Option<f64> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let text = &text[..end];
    if text.is_empty() {
        return Some(0.0);
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | 9..=13)).count();
    let text = &text[blanks..];
    value_of(&scan(text)?, text)
}

/// The double nearest to a number that was written as `text`.
fn value_of(number: &Number<'_>, text: &[u8]) -> Option<f64> {
    let magnitude = match number.magnitude {
        Written::Infinity => f64::INFINITY,
        Written::Decimal { .. } => std::str::from_utf8(text).ok()?.parse::<f64>().ok()?.abs(),
        Written::Hex { mantissa, exponent, sticky } => {
            round(mantissa, exponent, sticky, &BINARY64).map_or(f64::INFINITY, to_f64)
        }
    };
    Some(if number.negative { -magnitude } else { magnitude })
}

/// Exact, for magnitudes rounded to this format.
fn to_f64(magnitude: Magnitude) -> f64 {
    let exponent = magnitude.exponent;
    let power_of_two = if exponent >= -1022 {
        f64::from_bits(((exponent + 1023) as u64) << 52)
    } else {
        f64::from_bits(1 << (exponent + 1074))
    };
    magnitude.mantissa as f64 * power_of_two
}

/// Prints a double: `3`, `1.5`, `1e+21`, `1e-7`, `inf`, `-inf`, `nan`, `-0`.
pub fn format_f64(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Whole numbers within half the range of a 64-bit integer print as integers.
    let integer = value as i64;
    if integer as f64 == value && value.abs() <= (i64::MAX / 2) as f64 {
        if integer == 0 && value.is_sign_negative() {
            return "-0".to_owned();
        }
        return integer.to_string();
    }
    lay_out(&format!("{value:e}"))
}

/// Prints a finite double with 17 digits, as C's `%.17g` does.
pub fn format_g17(value: f64) -> String {
    const DIGITS: i32 = 17;
    let text = format!("{value:.16e}");
    let (mantissa, exponent) = text.split_once('e').expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is an integer");
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        return trimmed(&format!("{value:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// Calls `f` with the text of a double, as [`format_f64`] makes it.
pub fn with_f64_text<R>(value: f64, f: impl FnOnce(&str) -> R) -> R {
    let integer = value as i64;
    let is_small = integer as f64 == value && integer.unsigned_abs() < 1 << 53;
    if is_small && (integer != 0 || value.is_sign_positive()) {
        let mut digits = [0; crate::integer::MAX_LEN];
        let digits = crate::integer::format_i64(integer, &mut digits);
        return f(std::str::from_utf8(digits).expect("digits are ASCII"));
    }
    f(&format_f64(value))
}

/// Turns the shortest scientific text, `d[.ddd]e[-]x`, into the form clients know.
fn lay_out(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let count = digits.len() as i32;
    // The value is digits * 10^scale.
    let scale = exponent - (count - 1);
    if scale >= 0 && exponent < count + 7 {
        return format!("{sign}{digits}{}", "0".repeat(scale as usize));
    }
    if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        let whole = count + scale;
        if whole <= 0 {
            return format!("{sign}0.{}{digits}", "0".repeat(-whole as usize));
        }
        let (whole, fraction) = digits.split_at(whole as usize);
        return format!("{sign}{whole}.{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}e{exponent:+}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_intervals_are_read_more_freely() {
        for (text, expected) in [
            (&b""[..], 0.0),
            (b" 1.5", 1.5),
            (b"\t-inf", f64::NEG_INFINITY),
            (b"1e400", f64::INFINITY),
            (b"-0x1p5000", f64::NEG_INFINITY),
            (b"1e-400", 0.0),
            (b"2\0x", 2.0),
            (b"\0", 0.0),
        ] {
            assert_eq!(parse_bound(text), Some(expected), "{text:?}");
        }
        for text in [&b" "[..], b"1 ", b"nan", b"1x", b"(1"] {
            assert_eq!(parse_bound(text), None, "{text:?}");
        }
    }

    #[test]
    fn parses_what_redis_parses() {
        for (text, expected) in [
            ("3", 3.0),
            ("+3.5", 3.5),
            ("-0.25", -0.25),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("007", 7.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x1p3", 8.0),
            ("-0x.8", -0.5),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1p-1074", 5e-324),
            ("0x1p1023", 8.98846567431158e307),
            ("1e-320", 1e-320),
            ("1.7976931348623157e308", f64::MAX),
            ("0e99999", 0.0),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), Some(expected), "{text}");
        }
        for text in [
            "",
            "nan",
            "-nan",
            "1e400",
            "-1e400",
            "1e-400",
            "0x1p1024",
            "0x1p-1076",
            " 1",
            "1 ",
            "1e",
            "0x",
            "abc",
            "1\0",
            "\u{663}",
        ] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn prints_shortest_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (1.5, "1.5"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (3.3, "3.3"),
            (3.25, "3.25"),
            (123456.789, "123456.789"),
            (1e15, "1000000000000000"),
            (1e18, "1000000000000000000"),
            (1e19, "1e+19"),
            (1e21, "1e+21"),
            (1.5e21, "1.5e+21"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-1.25e-10, "-1.25e-10"),
            (0.00123456789, "0.00123456789"),
            (12345678901234567890.0, "12345678901234567000"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(format_f64(value), expected);
        }
    }

    #[test]
    fn printing_and_parsing_are_inverse() {
        let seed = 0xd0b1e_u64;
        let mut state = seed;
        for round in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(state);
            if value.is_finite() {
                let text = format_f64(value);
                assert_eq!(
                    parse_f64(text.as_bytes()),
                    Some(value),
                    "seed {seed} round {round} {text}"
                );
            }
        }
    }

    #[test]
    fn seventeen_digits_as_c_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.1, "0.10000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456.789, "123456.789"),
            (1e-5, "1.0000000000000001e-05"),
            (0.0001, "0.0001"),
            (1.5e300, "1.5000000000000001e+300"),
        ] {
            assert_eq!(format_g17(value), text);
        }
    }
}
