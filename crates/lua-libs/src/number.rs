//! Numbers as C has them: conversions of doubles to integers, `%.14g`, and `strtod`.

use std::io::Write;

/// As a cast to a 64-bit integer does on the usual machines: what doesn't fit is the least one.
pub fn to_integer(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) { value as i64 } else { i64::MIN }
}

/// As a cast to an unsigned 64-bit integer does, negative numbers by way of a signed one.
pub fn to_unsigned(value: f64) -> u64 {
    const LIMIT: f64 = 18_446_744_073_709_551_616.0;
    if value < 0.0 || value.is_nan() {
        to_integer(value) as u64
    } else if value < LIMIT {
        value as u64
    } else {
        0
    }
}

/// Appends a finite number as C's `%.<precision>g`.
pub fn append_general(out: &mut Vec<u8>, value: f64, precision: usize) {
    let whole = value as i64;
    if whole as f64 == value && whole.unsigned_abs() < 10u64.pow(precision as u32) {
        if value.is_sign_negative() && whole == 0 {
            out.push(b'-');
        }
        write!(out, "{whole}").expect("memory takes it");
        return;
    }
    let rounded = format!("{value:.*e}", precision - 1);
    let (mantissa, exponent) = rounded.split_once('e').expect("an exponent");
    let exponent: i32 = exponent.parse().expect("digits");
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{}e{sign}{:02}", shortened(mantissa), exponent.abs())
    } else {
        let decimals = (precision as i32 - 1 - exponent) as usize;
        write!(out, "{}", shortened(&format!("{value:.decimals$}")))
    }
    .expect("memory takes it");
}

/// Without the zeros behind the last digit that counts.
fn shortened(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// The number that the text starts with and its length, as C's `strtod` finds it without leading white space.
pub fn parse(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let rest = &text[sign..];
    let (value, length) = if starts_with(rest, b"infinity") {
        (f64::INFINITY, 8)
    } else if starts_with(rest, b"inf") {
        (f64::INFINITY, 3)
    } else if starts_with(rest, b"nan") {
        (f64::NAN, 3)
    } else {
        hexadecimal(rest).or_else(|| decimal(rest))?
    };
    Some((if text[0] == b'-' { -value } else { value }, sign + length))
}

/// Without regard to case.
pub fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix)
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The length of an exponent with its letter, 0 if there is none.
fn exponent(text: &[u8], letter: u8) -> usize {
    if !text.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&letter)) {
        return 0;
    }
    let sign = usize::from(matches!(text.get(1), Some(b'+' | b'-')));
    match digits(&text[1 + sign..]) {
        0 => 0,
        count => 1 + sign + count,
    }
}

fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let whole = digits(text);
    let mut length = whole;
    if text.get(whole) == Some(&b'.') {
        let fraction = digits(&text[whole + 1..]);
        if whole + fraction > 0 {
            length += 1 + fraction;
        }
    }
    if length == 0 {
        return None;
    }
    length += exponent(&text[length..], b'e');
    let number = std::str::from_utf8(&text[..length]).expect("ASCII").parse().ok()?;
    Some((number, length))
}

fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    if !starts_with(text, b"0x") {
        return None;
    }
    let (mut mantissa, mut scale, mut seen, mut point) = (0u64, 0i32, false, false);
    let mut length = 2;
    for byte in &text[2..] {
        match (*byte as char).to_digit(16) {
            Some(digit) => {
                seen = true;
                if mantissa >> 60 == 0 {
                    mantissa = mantissa << 4 | u64::from(digit);
                    scale -= if point { 4 } else { 0 };
                } else {
                    // Beyond what a double holds: all that counts is whether something follows.
                    mantissa |= u64::from(digit != 0);
                    scale = scale.saturating_add(if point { 0 } else { 4 });
                }
            }
            None if *byte == b'.' && !point => point = true,
            None => break,
        }
        length += 1;
    }
    if !seen {
        return None;
    }
    let power = exponent(&text[length..], b'p');
    if power > 0 {
        let digits = std::str::from_utf8(&text[length + 1..length + power]).expect("ASCII");
        let limit = if digits.starts_with('-') { i32::MIN / 2 } else { i32::MAX / 2 };
        scale = scale.saturating_add(digits.parse().unwrap_or(limit));
        length += power;
    }
    // In two steps, since neither half may leave the range before the other is applied.
    let scale = scale.clamp(-4000, 4000);
    let half = scale / 2;
    Some((mantissa as f64 * power_of_two(half) * power_of_two(scale - half), length))
}

fn power_of_two(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn general(value: f64, precision: usize) -> String {
        let mut out = Vec::new();
        append_general(&mut out, value, precision);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_by_printf() {
        for (value, precision, expected) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (-17.0, 14, "-17"),
            (1e14, 14, "1e+14"),
            (99_999_999_999_999.5, 14, "1e+14"),
            (0.00001, 14, "1e-05"),
            (0.0001, 14, "0.0001"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (9.5, 1, "1e+01"),
            (8.5, 1, "8"),
            (f64::MIN_POSITIVE, 3, "2.23e-308"),
        ] {
            assert_eq!(general(value, precision), expected);
        }
    }

    #[test]
    fn the_longest_number_at_the_start_is_read() {
        for (text, value, length) in [
            ("12abc", 12.0, 2),
            ("1e", 1.0, 1),
            ("1e+", 1.0, 1),
            ("1.e2x", 100.0, 4),
            ("-.5", -0.5, 3),
            ("0x", 0.0, 1),
            ("0x.8p1", 1.0, 6),
            ("0x10p-4", 1.0, 7),
            ("0xfffffffffffffffff", 295_147_905_179_352_830_000.0, 19),
            ("-InfinityX", f64::NEG_INFINITY, 9),
            ("1e99999999999", f64::INFINITY, 13),
            ("0x1p-99999999999", 0.0, 16),
        ] {
            assert_eq!(parse(text.as_bytes()), Some((value, length)), "{text}");
        }
        for text in ["", "-", "+", ".", "-.", "e5", "x", "in"] {
            assert!(parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
