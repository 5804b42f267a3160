//! The kinds of values that directives take: how each is read, refused and printed. The texts of refusals are those
//! that clients of Redis know.

/// A value read by [`Kind::parse`]; each kind yields one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Percent(u8),
    Text(String),
}

/// For values of the kind that the row itself declares.
impl Value {
    pub fn truth(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(value) => *value,
            Self::Percent(value) => i64::from(*value),
            Self::Bool(_) | Self::Text(_) => unreachable!("the row's kind yields numbers"),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => unreachable!("the row's kind yields text"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `yes` or `no`.
    Bool,
    Integer {
        min: i64,
        max: i64,
    },
    /// Permission bits, 0 to 777.
    Octal,
    /// Bytes, with units.
    Memory {
        min: i64,
    },
    /// Bytes with units, or a percentage.
    MemoryOrPercent,
    /// One of these names.
    Choice(&'static [&'static str]),
    Text,
    /// The name of a file without a path.
    FileName {
        may_be_empty: bool,
    },
}

pub(super) const INT_MAX: i64 = i32::MAX as i64;

pub(super) const WRONG_NUMBER: &str = "wrong number of arguments";
const NOT_INTEGER: &str = "argument couldn't be parsed into an integer";
const NOT_OCTAL: &str = "argument couldn't be parsed as an octal number";
const NOT_MEMORY: &str = "argument must be a memory value";
const NOT_MEMORY_OR_PERCENT: &str = "argument must be a memory or percent value";

impl Kind {
    pub fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Bool => parse_bool(text),
            Self::Integer { min, max } => {
                let value = parse_integer(text).ok_or(NOT_INTEGER)?;
                in_range(value, min, max)
            }
            Self::Octal => {
                let digits = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
                let value = digits.then(|| i64::from_str_radix(text, 8).ok()).flatten();
                match value.ok_or(NOT_OCTAL)? {
                    value if value > 0o777 => {
                        Err("argument must be between 0 and 777 inclusive".into())
                    }
                    value => Ok(Value::Integer(value)),
                }
            }
            Self::Memory { min } => {
                let value = parse_memory(text).ok_or(NOT_MEMORY)?;
                // No directive goes beyond the signed range, so that one bound serves all.
                match i64::try_from(value) {
                    Ok(value) => in_range(value, min, i64::MAX),
                    Err(_) => Err(out_of_range(min, i64::MAX)),
                }
            }
            Self::MemoryOrPercent => parse_memory_or_percent(text),
            Self::Choice(names) => names
                .iter()
                .find(|name| name.eq_ignore_ascii_case(text))
                .map(|&name| Value::Text(name.to_owned()))
                .ok_or_else(|| one_of(names)),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::FileName { may_be_empty: false } if text.is_empty() => {
                Err("argument can't be empty".into())
            }
            Self::FileName { .. } if text.contains(['/', '\\']) => {
                Err("argument can't be a path, just a filename".into())
            }
            Self::FileName { .. } => Ok(Value::Text(text.to_owned())),
        }
    }

    /// The text that CONFIG GET answers; reading it gives the same value.
    pub fn print(self, value: &Value) -> String {
        match value {
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            Value::Integer(value) if matches!(self, Self::Octal) => format!("{value:o}"),
            Value::Integer(value) => value.to_string(),
            Value::Percent(value) => format!("{value}%"),
            Value::Text(text) => text.clone(),
        }
    }
}

fn parse_bool(text: &str) -> Result<Value, String> {
    if text.eq_ignore_ascii_case("yes") {
        Ok(Value::Bool(true))
    } else if text.eq_ignore_ascii_case("no") {
        Ok(Value::Bool(false))
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

fn in_range(value: i64, min: i64, max: i64) -> Result<Value, String> {
    if (min..=max).contains(&value) {
        Ok(Value::Integer(value))
    } else {
        Err(out_of_range(min, max))
    }
}

fn out_of_range(min: i64, max: i64) -> String {
    format!("argument must be between {min} and {max} inclusive")
}

pub(super) fn one_of(names: &[&str]) -> String {
    format!("argument(s) must be one of the following: {}", names.join(", "))
}

pub(super) fn parse_integer(text: &str) -> Option<i64> {
    respire_datatypes::integer::parse_i64(text.as_bytes())
}

/// Bytes: digits and an optional unit in any case. `k`, `m`, `g` are powers of 1000; `kb`, `mb`, `gb` of 1024. No
/// digits at all are zero, as in Redis.
pub fn parse_memory(text: &str) -> Option<u64> {
    let digits = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    if number.is_empty() {
        return Some(0);
    }
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Bytes in the largest unit that divides them, as CONFIG REWRITE writes them.
pub(super) fn print_memory(bytes: i64) -> String {
    for (unit, size) in [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)] {
        if bytes > 0 && bytes % size == 0 {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

fn parse_memory_or_percent(text: &str) -> Result<Value, String> {
    let Some(number) = text.strip_suffix('%') else {
        return parse_memory(text)
            .and_then(|bytes| i64::try_from(bytes).ok())
            .map(Value::Integer)
            .ok_or_else(|| NOT_MEMORY_OR_PERCENT.into());
    };
    let percent = parse_integer(number).filter(|&percent| percent >= 0);
    match percent.ok_or(NOT_MEMORY_OR_PERCENT)? {
        percent @ 0..=100 => Ok(Value::Percent(percent as u8)),
        _ => Err("percentage argument must be less or equal to 100".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("2m", Some(2_000_000)),
            ("2mB", Some(2 << 20)),
            ("3g", Some(3_000_000_000)),
            ("3Gb", Some(3 << 30)),
            ("", Some(0)),
            ("kb", Some(0)),
            ("-1", None),
            ("1.5gb", None),
            ("1 kb", None),
            ("1tb", None),
            ("1gx", None),
            ("99999999999999999999", None),
            ("99999999999999gb", None),
        ] {
            assert_eq!(parse_memory(text), bytes, "{text}");
        }
        for (bytes, text) in
            [(0, "0"), (1000, "1000"), (1024, "1kb"), (5 << 20, "5mb"), (1 << 30, "1gb")]
        {
            assert_eq!(print_memory(bytes), text);
        }
    }

    #[test]
    fn refusals_read_as_in_redis() {
        let range = Kind::Integer { min: 1, max: 10 };
        for (kind, text, reason) in [
            (range, "0", "argument must be between 1 and 10 inclusive"),
            (range, "x", NOT_INTEGER),
            (range, "01", NOT_INTEGER),
            (Kind::Bool, "1", "argument must be 'yes' or 'no'"),
            (Kind::Octal, "999", NOT_OCTAL),
            (Kind::Octal, "1777", "argument must be between 0 and 777 inclusive"),
            (Kind::Octal, "+7", NOT_OCTAL),
            (Kind::Memory { min: 0 }, "x", NOT_MEMORY),
            (
                Kind::Memory { min: 5 },
                "4",
                "argument must be between 5 and 9223372036854775807 inclusive",
            ),
            (Kind::MemoryOrPercent, "-1", NOT_MEMORY_OR_PERCENT),
            (Kind::MemoryOrPercent, "101%", "percentage argument must be less or equal to 100"),
            (Kind::MemoryOrPercent, "%", NOT_MEMORY_OR_PERCENT),
            (
                Kind::Memory { min: 5 },
                "9223372036854775808",
                "argument must be between 5 and 9223372036854775807 inclusive",
            ),
            (Kind::Choice(&["a", "b"]), "c", "argument(s) must be one of the following: a, b"),
            (
                Kind::FileName { may_be_empty: true },
                "a/b",
                "argument can't be a path, just a filename",
            ),
        ] {
            assert_eq!(kind.parse(text), Err(reason.to_owned()), "{kind:?} {text}");
        }
    }

    #[test]
    fn values_print_in_canonical_form() {
        for (kind, text, printed) in [
            (Kind::Bool, "YES", "yes"),
            (Kind::Octal, "0755", "755"),
            (Kind::Memory { min: 0 }, "1kb", "1024"),
            (Kind::MemoryOrPercent, "5%", "5%"),
            (Kind::MemoryOrPercent, "1mb", "1048576"),
            (Kind::Choice(&["ip", "hostname"]), "IP", "ip"),
        ] {
            let value = kind.parse(text).unwrap();
            assert_eq!(kind.print(&value), printed);
            assert_eq!(kind.parse(printed), Ok(value));
        }
    }
}
