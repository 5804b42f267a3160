//! Inline commands: one line, arguments separated by blanks, with the quoting that redis-cli and telnet users know.
//! Quoted arguments are unescaped in place: the result is never longer than its source.

use crate::{ProtocolError, Span};

/// Splits `buf[start..end]` (without its line end) into `spans`. A line that is refused stays as it was, as it may be
/// parsed again.
pub(crate) fn split(
    buf: &mut [u8],
    start: usize,
    end: usize,
    spans: &mut Vec<Span>,
) -> Result<(), ProtocolError> {
    let line = &buf[start..end];
    if memchr::memchr2(b'"', b'\'', line).is_none() {
        return split_in_place(buf, start, end, spans);
    }
    let copy = line.to_vec();
    split_in_place(buf, start, end, spans).inspect_err(|_| buf[start..end].copy_from_slice(&copy))
}

fn split_in_place(
    buf: &mut [u8],
    start: usize,
    end: usize,
    spans: &mut Vec<Span>,
) -> Result<(), ProtocolError> {
    let mut pos = start;
    loop {
        while pos < end && is_blank(buf[pos]) {
            pos += 1;
        }
        if pos == end {
            return Ok(());
        }
        let (next, span) = argument(buf, pos, end)?;
        spans.push(span);
        pos = next;
    }
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Reads one argument from `pos`, rewriting it in place. Returns the position behind it.
fn argument(buf: &mut [u8], start: usize, end: usize) -> Result<(usize, Span), ProtocolError> {
    let (mut read, mut write) = (start, start);
    while read < end {
        match buf[read] {
            // Redis's splitter works on C strings: a NUL ends the argument and is passed over as a blank.
            b if is_blank(b) || b == 0 => break,
            quote @ (b'"' | b'\'') => {
                (read, write) = quoted(buf, read + 1, write, end, quote)?;
                if read < end && !is_blank(buf[read]) {
                    return Err(ProtocolError::UnbalancedQuotes);
                }
                break;
            }
            b => {
                buf[write] = b;
                write += 1;
                read += 1;
            }
        }
    }
    let next = if read < end && buf[read] == 0 { read + 1 } else { read };
    Ok((next, Span::new(start, write - start)))
}

/// Unescapes up to the closing quote. Returns the positions behind what was read and what was written.
fn quoted(
    buf: &mut [u8],
    mut read: usize,
    mut write: usize,
    end: usize,
    quote: u8,
) -> Result<(usize, usize), ProtocolError> {
    while read < end {
        let b = buf[read];
        if b == quote {
            return Ok((read + 1, write));
        }
        let (value, used) = match b {
            b'\\' if quote == b'"' => double_quote_escape(&buf[read..end]),
            b'\\' if read + 1 < end && buf[read + 1] == b'\'' => (b'\'', 2),
            _ => (b, 1),
        };
        buf[write] = value;
        write += 1;
        read += used;
    }
    Err(ProtocolError::UnbalancedQuotes)
}

/// The byte that the escape at the head of `text` stands for, and how many bytes it took.
fn double_quote_escape(text: &[u8]) -> (u8, usize) {
    match text {
        [_, b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            (hex(*high) << 4 | hex(*low), 4)
        }
        [_, escaped, ..] => {
            let value = match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 0x08,
                b'a' => 0x07,
                other => *other,
            };
            (value, 2)
        }
        _ => (b'\\', 1),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_refused_stays_as_it_was() {
        for line in ["set \"a b\" 'c", "\"a\"b", "'it\\'s' \"open"] {
            let mut buf = line.as_bytes().to_vec();
            let end = buf.len();
            assert!(split(&mut buf, 0, end, &mut Vec::new()).is_err());
            assert_eq!(buf, line.as_bytes());
        }
    }

    fn words(line: &str) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut buf = line.as_bytes().to_vec();
        let mut spans = Vec::new();
        let end = buf.len();
        split(&mut buf, 0, end, &mut spans)?;
        Ok(spans
            .iter()
            .map(|s| buf[s.start as usize..(s.start + s.len) as usize].to_vec())
            .collect())
    }

    #[test]
    fn splits_and_unescapes() {
        assert_eq!(words("  set  a\tb ").unwrap(), [&b"set"[..], b"a", b"b"]);
        assert_eq!(
            words(r#"set "a b" '' 'it\'s' "\x41\n\q""#).unwrap(),
            [&b"set"[..], b"a b", b"", b"it's", b"A\nq"]
        );
        assert_eq!(words(r#"a"b c""#).unwrap(), [&b"ab c"[..]]);
        assert!(words("").unwrap().is_empty());
    }

    #[test]
    fn refuses_unbalanced_quotes() {
        for line in ["\"abc", "'abc", "\"a\"b", "'a'b", "\"abc\\"] {
            assert_eq!(words(line), Err(ProtocolError::UnbalancedQuotes), "{line}");
        }
    }
}
