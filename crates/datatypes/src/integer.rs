//! Integers as the protocol writes them.
//!
//! Owns the one strict spelling of a 64-bit integer: optional `-`, no leading zero, no `+`, no blank. A value
//! that parses prints back to the very same bytes, so a string may be kept as an integer without losing it.

/// The longest spelling of an `i64` or `u64`.
pub const MAX_LEN: usize = 20;

/// Parses a canonical signed integer; `None` for any other text, `-0` and out-of-range numbers included.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => {
            let magnitude = parse_u64(digits)?;
            if magnitude == 0 || magnitude > i64::MIN.unsigned_abs() {
                return None;
            }
            Some((magnitude as i64).wrapping_neg())
        }
        _ => i64::try_from(parse_u64(text)?).ok(),
    }
}

/// Parses a canonical unsigned integer; `None` for any other text.
#[inline]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let (&first, rest) = text.split_first()?;
    let mut value = u64::from(digit(first)?);
    if value == 0 {
        return rest.is_empty().then_some(0);
    }
    // Nineteen digits always fit, so only the twentieth needs a check.
    let (safe, last) = rest.split_at(rest.len().min(18));
    for &byte in safe {
        value = value * 10 + u64::from(digit(byte)?);
    }
    match last {
        [] => Some(value),
        [byte] => value.checked_mul(10)?.checked_add(u64::from(digit(*byte)?)),
        _ => None,
    }
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(value)
}

/// Writes `value` into the end of `buffer` and returns the bytes written.
#[inline]
pub fn format_i64(value: i64, buffer: &mut [u8; MAX_LEN]) -> &[u8] {
    let mut at = format_magnitude(value.unsigned_abs(), buffer);
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}

/// Writes `value` into the end of `buffer` and returns the bytes written.
#[inline]
pub fn format_u64(value: u64, buffer: &mut [u8; MAX_LEN]) -> &[u8] {
    let at = format_magnitude(value, buffer);
    &buffer[at..]
}

const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

#[inline]
fn format_magnitude(mut value: u64, buffer: &mut [u8; MAX_LEN]) -> usize {
    let mut at = MAX_LEN;
    while value >= 100 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value >= 10 {
        at -= 2;
        buffer[at..at + 2].copy_from_slice(&PAIRS[value as usize]);
    } else {
        at -= 1;
        buffer[at] = b'0' + value as u8;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_only_the_canonical_spelling() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1)),
            ("-1", Some(-1)),
            ("10", Some(10)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("18446744073709551615", None),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("100000000000000000000", None),
            ("", None),
            ("-", None),
            ("+1", None),
            ("-0", None),
            ("00", None),
            ("01", None),
            ("-01", None),
            (" 1", None),
            ("1 ", None),
            ("1\0", None),
            ("1a", None),
            ("--1", None),
            ("0x10", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        assert_eq!(parse_u64(b"-1"), None);
        assert_eq!(parse_u64(b"99999999999999999999"), None);
    }

    #[test]
    fn printing_and_parsing_are_inverse() {
        let mut samples = vec![0, i64::MAX, i64::MIN, i64::MIN + 1];
        for power in 0..19 {
            let ten = 10_i64.pow(power);
            samples.extend([ten, ten - 1, ten + 1, -ten, 1 - ten, -ten - 1]);
        }
        for value in samples {
            let mut buffer = [0; MAX_LEN];
            let text = format_i64(value, &mut buffer);
            assert_eq!(text, value.to_string().as_bytes());
            assert_eq!(parse_i64(text), Some(value));
            let mut buffer = [0; MAX_LEN];
            let unsigned = value as u64;
            let text = format_u64(unsigned, &mut buffer);
            assert_eq!(text, unsigned.to_string().as_bytes());
            assert_eq!(parse_u64(text), Some(unsigned));
        }
    }
}
