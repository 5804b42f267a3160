//! What makes two replies equal.
//!
//! Byte for byte, unless time or identity legitimately shows in the reply. Invariant: a norm only ever loosens the
//! part that it names. The type of the reply, and every error text, stay exact.

use crate::value::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// The same bytes.
    Exact,
    /// Two integers this close. Negative ones are answers such as "no such key" and must be equal.
    Within(i64),
    /// The same elements in any order.
    Unordered,
    /// A map, or a flat list of its keys and values in turn: the same pairs in any order.
    UnorderedPairs,
    /// The same bytes, but doubles, which Redis 7.0 writes with more digits, only have to be the same number.
    Doubles,
    /// The same elements in any order, doubles as numbers.
    UnorderedDoubles,
    /// The same bytes, or Redis says that some text is no number: it also does so when a number before, in whatever
    /// command, was too large.
    Converted,
    /// The same bytes, or a mistake where Redis 7.0 found first that there is no such key, or another type of value.
    MistakeFirst,
    /// The same bytes, or nothing where Redis 7.0 gives the first byte: a range that ends before the string begins is empty
    /// since Redis 8.
    Part,
    /// The same type and as many elements; which ones is chance.
    SameLength,
    /// The name of an encoding: small sets and short lists are listpacks since Redis 7.2, and were not before; SORT in
    /// Redis turns every sorted set that it sorts into a skiplist, and a command that only might change bits makes a
    /// short string raw.
    Encoding,
    /// What XINFO tells: without what Redis 7.0 does not know, or counts otherwise; times as they differ between two
    /// servers.
    StreamInfo,
    /// Users: without their rules about commands, which Redis 7.0 puts in a form of its own, and without the word that
    /// their payloads are looked at, which it leaves out as long as nobody has said so.
    Rules,
    /// Why a user may not do something, in words that name the user, as Redis 7.2 does and 7.0 does not.
    Refusal,
    /// Pending entries, which say how long ago they were delivered.
    PendingTimes,
    /// The same type; what is inside is the server's own.
    SameShape,
    /// A map of facts about server and connection: version and identity may differ.
    Hello,
    /// Any key, or none on both sides. The runner asks whether it exists.
    AnyKey,
    /// A cursor and some keys. The runner follows both scans to their ends and compares what they found.
    Scan,
}

/// Whether the reply of the server under test is as good as that of the oracle.
pub fn equal(norm: Norm, oracle: &Value, subject: &Value) -> bool {
    if oracle == subject {
        return true;
    }
    if norm == Norm::Converted {
        let stale = b"ERR One or more scores can't be converted into double";
        return matches!(oracle, Value::Error(text) if text == stale) && !subject.is_error();
    }
    if norm == Norm::MistakeFirst {
        let before = match oracle {
            Value::Integer(n) => *n <= 0,
            Value::Error(text) => text.starts_with(b"WRONGTYPE"),
            _ => false,
        };
        return before && matches!(subject, Value::Error(text) if text.starts_with(b"ERR"));
    }
    // No other error is ever loosened, on either side.
    if oracle.is_error() || subject.is_error() {
        return false;
    }
    match norm {
        Norm::Exact | Norm::Converted | Norm::MistakeFirst => false,
        Norm::Within(slack) => match (oracle, subject) {
            (Value::Integer(a), Value::Integer(b)) => {
                *a >= 0 && *b >= 0 && a.abs_diff(*b) <= slack.unsigned_abs()
            }
            _ => false,
        },
        Norm::Unordered => same_shape(oracle, subject) && sorted(oracle) == sorted(subject),
        Norm::UnorderedPairs => {
            same_shape(oracle, subject) && sorted_pairs(oracle) == sorted_pairs(subject)
        }
        Norm::Doubles => with_plain_doubles(oracle) == with_plain_doubles(subject),
        Norm::UnorderedDoubles => {
            let (a, b) = (with_plain_doubles(oracle), with_plain_doubles(subject));
            same_shape(&a, &b) && sorted(&a) == sorted(&b)
        }
        Norm::Part => match (oracle, subject) {
            (Value::Bulk(one), Value::Bulk(none)) => one.len() == 1 && none.is_empty(),
            _ => false,
        },
        Norm::SameLength => {
            let len = |value: &Value| value.elements().map(<[Value]>::len);
            same_shape(oracle, subject) && len(oracle) == len(subject)
        }
        Norm::Encoding => {
            let older: &[&[u8]] = &[b"hashtable", b"quicklist", b"skiplist"];
            match subject.text() {
                Some(b"listpack") => oracle.text().is_some_and(|name| older.contains(&name)),
                Some(b"embstr" | b"int") => oracle.text() == Some(b"raw"),
                _ => false,
            }
        }
        Norm::StreamInfo => same_times(&stream_info(oracle), &stream_info(subject)),
        Norm::Rules => without_commands(oracle) == without_commands(subject),
        Norm::Refusal => same_refusal(oracle, subject),
        Norm::PendingTimes => same_times(&ages_as_times(oracle), &ages_as_times(subject)),
        Norm::SameShape => same_shape(oracle, subject),
        Norm::Hello => same_hello(oracle, subject),
        Norm::AnyKey => matches!((oracle, subject), (Value::Bulk(_), Value::Bulk(_))),
        Norm::Scan => [oracle, subject]
            .iter()
            .all(|reply| matches!(reply.elements(), Some([Value::Bulk(_), Value::Array(_)]))),
    }
}

/// Whether both say the same of what a user may not do; the oracle does not say who that is.
fn same_refusal(oracle: &Value, subject: &Value) -> bool {
    let (Some(older), Some(newer)) = (oracle.text(), subject.text()) else { return false };
    let behind = |text: &[u8]| -> Option<usize> { text.iter().position(|byte| *byte == b' ') };
    let Some(named) = newer.strip_prefix(b"User ") else { return false };
    let told = older.strip_prefix(b"This user");
    told.is_some() && told == behind(named).map(|at| &named[at..])
}

/// The reply with all texts rid of the words that are rules about commands.
fn without_commands(value: &Value) -> Value {
    const LOOKED_AT: &[u8] = b"sanitize-payload";
    let looked_at = |value: &Value| value.text() == Some(LOOKED_AT);
    let all = |values: &[Value]| {
        values.iter().filter(|value| !looked_at(value)).map(without_commands).collect()
    };
    match value {
        Value::Bulk(text) => {
            let words = text.split(|byte| *byte == b' ').map(|word| match word {
                LOOKED_AT => &b""[..],
                [b'+' | b'-', .., b')'] => b")",
                [b'+' | b'-', ..] => &b""[..],
                word => word,
            });
            let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
            Value::Bulk(words.join(&b' '))
        }
        Value::Array(values) => Value::Array(all(values)),
        Value::Set(values) => Value::Set(all(values)),
        Value::Map(pairs) => {
            let both =
                |(key, value): &(Value, Value)| (without_commands(key), without_commands(value));
            Value::Map(pairs.iter().map(both).collect())
        }
        other => other.clone(),
    }
}

/// The reply with every text that may be a double in one form, however many digits it had.
pub fn with_plain_doubles(value: &Value) -> Value {
    let plain = |text: &[u8]| {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        // Whether zero keeps its sign in Redis depends on the encodings that it went through.
        number.map_or_else(|| text.to_vec(), |number| format!("{:e}", number + 0.0).into_bytes())
    };
    // Integers of less than 16 digits look the same in all versions.
    let long = |text: &[u8]| text.len() >= 16 || text.contains(&b'e') || text == b"-0";
    let all = |values: &[Value]| values.iter().map(with_plain_doubles).collect();
    match value {
        Value::Bulk(text) if long(text) || text.contains(&b'.') => Value::Bulk(plain(text)),
        Value::Double(text) => Value::Double(plain(text)),
        Value::Array(values) => Value::Array(all(values)),
        other => other.clone(),
    }
}

/// The fields of XINFO that Redis 7.0 does not have.
const NEWER_FIELDS: &[&[u8]] = &[b"active-time", b"inactive"];

/// The fields whose values are the server's own, or that Redis counts otherwise since 7.0.
const OWN_FIELDS: &[&[u8]] = &[b"radix-tree-nodes", b"entries-read", b"lag", b"idle", b"seen-time"];

/// What XINFO tells, as far as it can be compared.
fn stream_info(value: &Value) -> Value {
    let keep = |name: &Value| !NEWER_FIELDS.iter().any(|field| name.text() == Some(field));
    let own = |name: &Value| OWN_FIELDS.iter().any(|field| name.text() == Some(field));
    let pair = |name: &Value, value: &Value| {
        let value = if own(name) { Value::Null } else { stream_info(value) };
        (name.clone(), value)
    };
    match value {
        Value::Map(pairs) => {
            let pairs = pairs.iter().filter(|(name, _)| keep(name));
            Value::Map(pairs.map(|(name, value)| pair(name, value)).collect())
        }
        // In RESP2, maps are lists of names and values in turn.
        Value::Array(flat) if flat.len() % 2 == 0 && flat.iter().any(own) => {
            let pairs = flat.chunks(2).filter(|pair| keep(&pair[0]));
            let pairs = pairs.map(|both| pair(&both[0], &both[1]));
            Value::Array(pairs.flat_map(|(name, value)| [name, value]).collect())
        }
        Value::Array(flat) if flat.len() % 2 == 0 && flat.iter().any(|name| !keep(name)) => {
            let pairs = flat.chunks(2).filter(|pair| keep(&pair[0]));
            Value::Array(pairs.flatten().map(stream_info).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(stream_info).collect()),
        other => other.clone(),
    }
}

/// The entries of XPENDING with the moment of their delivery, seen from a moment in the far future, in place of its
/// age.
fn ages_as_times(value: &Value) -> Value {
    const FUTURE: i64 = UNIX_TIMES + 1_000_000_000;
    let entry = |value: &Value| match value.elements() {
        Some([id, consumer, Value::Integer(age), count]) if *age >= 0 => {
            let time = Value::Integer(FUTURE - age);
            Value::Array(vec![id.clone(), consumer.clone(), time, count.clone()])
        }
        _ => value.clone(),
    };
    match value {
        Value::Array(values) => Value::Array(values.iter().map(entry).collect()),
        other => other.clone(),
    }
}

/// Integers from here on are times, in milliseconds.
const UNIX_TIMES: i64 = 1_000_000_000_000;

/// Whether two replies are the same but for times, which are close.
fn same_times(a: &Value, b: &Value) -> bool {
    const SLACK: u64 = 30_000;
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) if *a >= UNIX_TIMES && *b >= UNIX_TIMES => {
            a.abs_diff(*b) <= SLACK
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_times(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let same = |((na, a), (nb, b)): (&(Value, Value), &(Value, Value))| {
                na == nb && same_times(a, b)
            };
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        _ => a == b,
    }
}

/// Compares a transaction's replies, each by the norm of the command that was queued.
pub fn equal_exec(norms: &[Norm], oracle: &Value, subject: &Value) -> bool {
    match (oracle, subject) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len()
                && a.len() == norms.len()
                && norms.iter().zip(a.iter().zip(b)).all(|(norm, (a, b))| equal(*norm, a, b))
        }
        _ => oracle == subject,
    }
}

fn same_shape(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn sorted(value: &Value) -> Vec<Value> {
    let mut elements = match value {
        Value::Map(pairs) => {
            pairs.iter().map(|(k, v)| Value::Array(vec![k.clone(), v.clone()])).collect::<Vec<_>>()
        }
        _ => value.elements().map(<[Value]>::to_vec).unwrap_or_default(),
    };
    elements.sort();
    elements
}

/// The pairs of a map or a flat list; of anything else, itself.
fn sorted_pairs(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(flat) if flat.len() % 2 == 0 => {
            let mut pairs: Vec<Value> =
                flat.chunks(2).map(|pair| Value::Array(pair.to_vec())).collect();
            pairs.sort();
            pairs
        }
        _ => sorted(value),
    }
}

/// The same fields in the same order, and the same values but for version and id.
fn same_hello(a: &Value, b: &Value) -> bool {
    let pairs = |value: &Value| -> Option<Vec<(Value, Value)>> {
        match value {
            Value::Map(pairs) => Some(pairs.clone()),
            Value::Array(flat) if flat.len() % 2 == 0 => {
                Some(flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            _ => None,
        }
    };
    let (Some(left), Some(right)) = (pairs(a), pairs(b)) else {
        return false;
    };
    same_shape(a, b)
        && left.len() == right.len()
        && left.iter().zip(&right).all(|((ka, va), (kb, vb))| {
            let own = matches!(ka.text(), Some(b"version" | b"id"));
            ka == kb && if own { same_shape(va, vb) } else { va == vb }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(n: i64) -> Value {
        Value::Integer(n)
    }

    fn bulk(s: &str) -> Value {
        Value::Bulk(s.into())
    }

    #[test]
    fn closeness_is_for_times_and_not_for_verdicts() {
        assert!(equal(Norm::Within(2), &int(100), &int(99)));
        assert!(!equal(Norm::Within(2), &int(100), &int(97)));
        assert!(!equal(Norm::Within(2), &int(-1), &int(-2)));
        assert!(!equal(Norm::Within(2), &int(-1), &int(0)));
        assert!(!equal(Norm::Exact, &int(100), &int(99)));
    }

    #[test]
    fn no_norm_forgives_an_error() {
        let wrong = Value::Error(b"ERR wrong".to_vec());
        let other = Value::Error(b"ERR other".to_vec());
        let all = [
            Norm::Exact,
            Norm::Within(9),
            Norm::Unordered,
            Norm::UnorderedPairs,
            Norm::SameShape,
            Norm::Hello,
            Norm::AnyKey,
            Norm::Scan,
        ];
        for norm in all {
            assert!(!equal(norm, &wrong, &other), "{norm:?}");
            assert!(!equal(norm, &wrong, &int(1)), "{norm:?}");
            assert!(!equal(norm, &Value::NullBulk, &bulk("")), "{norm:?}");
        }
    }

    #[test]
    fn order_is_forgiven_only_where_it_has_no_meaning() {
        let ab = Value::Array(vec![bulk("a"), bulk("b")]);
        let ba = Value::Array(vec![bulk("b"), bulk("a")]);
        let aa = Value::Array(vec![bulk("a"), bulk("a")]);
        assert!(equal(Norm::Unordered, &ab, &ba));
        assert!(!equal(Norm::Unordered, &ab, &aa));
        assert!(!equal(Norm::Exact, &ab, &ba));
        assert!(!equal(Norm::Unordered, &ab, &Value::Set(vec![bulk("a"), bulk("b")])));
    }

    #[test]
    fn pairs_stay_together() {
        let flat = |texts: [&str; 4]| Value::Array(texts.map(bulk).to_vec());
        let norm = Norm::UnorderedPairs;
        assert!(equal(norm, &flat(["a", "1", "b", "2"]), &flat(["b", "2", "a", "1"])));
        assert!(!equal(norm, &flat(["a", "1", "b", "2"]), &flat(["b", "1", "a", "2"])));
    }

    #[test]
    fn hello_may_differ_in_version_and_id_only() {
        let hello = |version: &str, id, mode: &str| {
            Value::Map(vec![
                (bulk("version"), bulk(version)),
                (bulk("id"), int(id)),
                (bulk("mode"), bulk(mode)),
            ])
        };
        assert!(equal(
            Norm::Hello,
            &hello("7.0.15", 3, "standalone"),
            &hello("7.4.0", 9, "standalone")
        ));
        assert!(!equal(
            Norm::Hello,
            &hello("7.0.15", 3, "standalone"),
            &hello("7.0.15", 3, "cluster")
        ));
    }

    #[test]
    fn a_transaction_is_compared_command_by_command() {
        let a = Value::Array(vec![int(100), bulk("x")]);
        let b = Value::Array(vec![int(101), bulk("x")]);
        let c = Value::Array(vec![int(100), bulk("y")]);
        let norms = [Norm::Within(5), Norm::Exact];
        assert!(equal_exec(&norms, &a, &b));
        assert!(!equal_exec(&norms, &a, &c));
        assert!(!equal_exec(&norms, &a, &Value::NullArray));
    }
}
