//! A reply in RESP2 or RESP3, parsed without loss.
//!
//! Owns the reading of reply bytes for the tests. Refuses whatever is not well formed: a server that sends it
//! has failed the test. Invariant: `parse` consumes exactly the bytes of one reply, so that what lies between two
//! calls is the raw reply.

use std::fmt;

/// One reply. Doubles and big numbers keep their text, because the text is what the comparison is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    /// `$-1`, RESP2's missing string.
    NullBulk,
    /// `*-1`, RESP2's missing array.
    NullArray,
    /// `_`, RESP3's only null.
    Null,
    Double(Vec<u8>),
    Boolean(bool),
    BigNumber(Vec<u8>),
    BulkError(Vec<u8>),
    /// The three letters of the format, the colon and the text, as sent.
    Verbatim(Vec<u8>),
    Array(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Map(Vec<(Value, Value)>),
    /// Attributes and the reply that they stand before.
    Attributed(Vec<(Value, Value)>, Box<Value>),
}

/// The bytes are no reply; holds what was wrong and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Value {
    /// The text of a string of any sort, `None` for everything else.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(b) | Value::Bulk(b) | Value::Verbatim(b) => Some(b),
            _ => None,
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_) | Value::BulkError(_))
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null | Value::NullBulk | Value::NullArray)
    }

    /// The elements of an array, set or push.
    pub fn elements(&self) -> Option<&[Value]> {
        match self {
            Value::Array(v) | Value::Set(v) | Value::Push(v) => Some(v),
            _ => None,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |b: &[u8]| b.escape_ascii().to_string();
        match self {
            Value::Simple(b) => write!(f, "+{}", text(b)),
            Value::Error(b) => write!(f, "-{}", text(b)),
            Value::Integer(n) => write!(f, ":{n}"),
            Value::Bulk(b) => write!(f, "\"{}\"", text(b)),
            Value::NullBulk => write!(f, "$-1"),
            Value::NullArray => write!(f, "*-1"),
            Value::Null => write!(f, "_"),
            Value::Double(b) => write!(f, ",{}", text(b)),
            Value::Boolean(b) => write!(f, "#{b}"),
            Value::BigNumber(b) => write!(f, "({}", text(b)),
            Value::BulkError(b) => write!(f, "!{}", text(b)),
            Value::Verbatim(b) => write!(f, "={}", text(b)),
            Value::Array(v) => write!(f, "*{v:?}"),
            Value::Set(v) => write!(f, "~{v:?}"),
            Value::Push(v) => write!(f, ">{v:?}"),
            Value::Map(v) => write!(f, "%{v:?}"),
            Value::Attributed(a, v) => write!(f, "|{a:?} {v:?}"),
        }
    }
}

/// Parses the reply at the start of `buf`: the value and its length in bytes, or `None` when bytes are missing.
pub fn parse(buf: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let mut at = 0;
    Ok(one(buf, &mut at)?.map(|value| (value, at)))
}

/// The line at `at` without its end, moving `at` behind it.
fn line<'a>(buf: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = &buf[*at..];
    let end = rest.windows(2).position(|w| w == b"\r\n")?;
    *at += end + 2;
    Some(&rest[..end])
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|t| t.parse().ok())
        .ok_or_else(|| Malformed(format!("'{}' is no number", text.escape_ascii())))
}

/// The body of a bulk of `len` bytes and its line end.
fn bulk(buf: &[u8], at: &mut usize, len: i64) -> Result<Option<Vec<u8>>, Malformed> {
    let len = usize::try_from(len).map_err(|_| Malformed(format!("bulk of {len} bytes")))?;
    let Some(body) = buf.get(*at..*at + len + 2) else {
        return Ok(None);
    };
    if &body[len..] != b"\r\n" {
        return Err(Malformed(format!("bulk of {len} bytes doesn't end in a line end")));
    }
    *at += len + 2;
    Ok(Some(body[..len].to_vec()))
}

fn many(buf: &[u8], at: &mut usize, count: i64) -> Result<Option<Vec<Value>>, Malformed> {
    let count = usize::try_from(count).map_err(|_| Malformed(format!("{count} elements")))?;
    let mut values = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        match one(buf, at)? {
            Some(value) => values.push(value),
            None => return Ok(None),
        }
    }
    Ok(Some(values))
}

fn pairs(buf: &[u8], at: &mut usize, count: i64) -> Result<Option<Vec<(Value, Value)>>, Malformed> {
    let Some(flat) = many(buf, at, count.saturating_mul(2))? else {
        return Ok(None);
    };
    let mut flat = flat.into_iter();
    let mut out = Vec::new();
    while let (Some(k), Some(v)) = (flat.next(), flat.next()) {
        out.push((k, v));
    }
    Ok(Some(out))
}

fn one(buf: &[u8], at: &mut usize) -> Result<Option<Value>, Malformed> {
    let Some(head) = line(buf, at) else {
        return Ok(None);
    };
    let Some((&kind, rest)) = head.split_first() else {
        return Err(Malformed("empty line where a reply should start".into()));
    };
    Ok(match kind {
        b'+' => Some(Value::Simple(rest.to_vec())),
        b'-' => Some(Value::Error(rest.to_vec())),
        b':' => Some(Value::Integer(number(rest)?)),
        b',' => Some(Value::Double(rest.to_vec())),
        b'(' => Some(Value::BigNumber(rest.to_vec())),
        b'_' if rest.is_empty() => Some(Value::Null),
        b'#' if rest == b"t" => Some(Value::Boolean(true)),
        b'#' if rest == b"f" => Some(Value::Boolean(false)),
        b'$' if rest == b"-1" => Some(Value::NullBulk),
        b'*' if rest == b"-1" => Some(Value::NullArray),
        b'$' => bulk(buf, at, number(rest)?)?.map(Value::Bulk),
        b'!' => bulk(buf, at, number(rest)?)?.map(Value::BulkError),
        b'=' => bulk(buf, at, number(rest)?)?.map(Value::Verbatim),
        b'*' => many(buf, at, number(rest)?)?.map(Value::Array),
        b'~' => many(buf, at, number(rest)?)?.map(Value::Set),
        b'>' => many(buf, at, number(rest)?)?.map(Value::Push),
        b'%' => pairs(buf, at, number(rest)?)?.map(Value::Map),
        b'|' => match (pairs(buf, at, number(rest)?)?, one(buf, at)?) {
            (Some(attributes), Some(value)) => Some(Value::Attributed(attributes, Box::new(value))),
            _ => None,
        },
        _ => {
            return Err(Malformed(format!("a reply can't start with '{}'", head.escape_ascii())));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_parses_and_no_prefix_of_it_does() {
        let samples: &[(&[u8], Value)] = &[
            (b"+OK\r\n", Value::Simple(b"OK".to_vec())),
            (b":-12\r\n", Value::Integer(-12)),
            (b"$4\r\na\r\nb\r\n", Value::Bulk(b"a\r\nb".to_vec())),
            (b"$-1\r\n", Value::NullBulk),
            (b"*-1\r\n", Value::NullArray),
            (b"_\r\n", Value::Null),
            (b"#t\r\n", Value::Boolean(true)),
            (b",1.5\r\n", Value::Double(b"1.5".to_vec())),
            (b"=5\r\ntxt:a\r\n", Value::Verbatim(b"txt:a".to_vec())),
            (b"*2\r\n:1\r\n*0\r\n", Value::Array(vec![Value::Integer(1), Value::Array(vec![])])),
            (
                b"%1\r\n+a\r\n:1\r\n",
                Value::Map(vec![(Value::Simple(b"a".to_vec()), Value::Integer(1))]),
            ),
            (
                b"|1\r\n+a\r\n:1\r\n:2\r\n",
                Value::Attributed(
                    vec![(Value::Simple(b"a".to_vec()), Value::Integer(1))],
                    Box::new(Value::Integer(2)),
                ),
            ),
        ];
        for (bytes, value) in samples {
            assert_eq!(parse(bytes).unwrap(), Some((value.clone(), bytes.len())));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{}", bytes[..cut].escape_ascii());
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [&b"hello\r\n"[..], b"\r\n", b":x\r\n", b"$1\r\nabc", b"#x\r\n", b"*-2\r\n"] {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
