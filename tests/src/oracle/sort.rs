//! Generators for SORT and SORT_RO, and for what they sort.
//!
//! Some keys are only written here: what one client sorts by must be there, and elements with the same weight in
//! alphabetic order come in an order that is the sort's own.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    row!(12, None, "RPUSH", |w, s| {
        let s = s.arg(w.pick(&["sl0", "sl1"]));
        elements(w, s)
    }),
    row!(8, None, "SADD", |w, s| {
        let s = s.arg(w.pick(&["ss0", "ss1"]));
        elements(w, s)
    }),
    Row { weight: 8, names: &["ZADD"], damage: Damage::None, make: zadd },
    row!(3, None, "DEL", |w, s| s.arg(w.pick(SORTED))),
    Row { weight: 10, names: &["SET"], damage: Damage::None, make: weight },
    Row { weight: 10, names: &["HSET"], damage: Damage::None, make: field },
    Row { weight: 180, names: &["SORT"], damage: Damage::Any, make: |w| sort(w, "SORT") },
    Row { weight: 90, names: &["SORT_RO"], damage: Damage::Any, make: |w| sort(w, "SORT_RO") },
];

const SORTED: &[&str] = &["sl0", "sl1", "ss0", "ss1", "sz0", "sz1"];

const ELEMENTS: &[&str] = &[
    "1", "2", "3", "10", "20", "100", "-1", "1.5", "0.1", "1e3", "0", "7", "42", "a", "b", "B",
    "foo", "",
];

fn elements(w: &mut Words, mut step: Step) -> Step {
    // Mostly numbers: one text makes a number of everything impossible.
    let texts = w.chance(1, 12);
    for _ in 0..1 + w.below(4) {
        let most = if texts { ELEMENTS.len() } else { 13 };
        step = step.arg(w.pick(&ELEMENTS[..most]));
    }
    step
}

fn zadd(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "ZADD").arg(w.pick(&["sz0", "sz1"]));
    for _ in 0..1 + w.below(4) {
        step = step.arg(w.below(10).to_string()).arg(w.pick(&ELEMENTS[..13]));
    }
    vec![step]
}

/// A string to sort by.
fn weight(w: &mut Words) -> Vec<Step> {
    let key = format!("w_{}", w.pick(ELEMENTS));
    let value = match w.below(20) {
        0 => w.pick(&["x", "", "1e400", " 5", "5 ", "nan", "inf", "0x10"]).to_string(),
        // All different, so that alphabetic order leaves nothing open.
        _ => w.below(1_000_000_000).to_string(),
    };
    vec![Step::new(w, "SET").arg(key).arg(value)]
}

/// A field to sort by.
fn field(w: &mut Words) -> Vec<Step> {
    let key = format!("o_{}", w.pick(ELEMENTS));
    let value = w.below(1_000_000_000).to_string();
    vec![Step::new(w, "HSET").arg(key).arg(w.pick(&["f", "g"])).arg(value)]
}

fn sort(w: &mut Words, name: &'static str) -> Vec<Step> {
    let key = if w.chance(1, 20) { w.key() } else { w.pick(SORTED).into() };
    let mut step = Step::new(w, name).arg(&key);
    let by = w.pick(&["", "", "w_*", "w_*", "o_*->f", "nosort", "*->", "w_*x", "w_*->f", "#"]);
    if !by.is_empty() {
        step = step.arg(w.cased("BY")).arg(by);
    }
    let stores = w.chance(1, 5);
    // Only numbers that are converted for certain are stored: see `Norm::Converted`.
    let alpha = by.is_empty() && stores || w.chance(1, 3) && (by.is_empty() || by == "nosort");
    if alpha {
        step = step.arg(w.cased("ALPHA"));
    }
    if w.chance(1, 3) {
        let order = w.pick(&["ASC", "DESC", "DESC"]);
        step = step.arg(w.cased(order));
    }
    if w.chance(1, 4) {
        let (offset, count) = (
            w.pick(&["0", "1", "2", "-1", "100", "x"]),
            w.pick(&["0", "1", "3", "-1", "100", "9223372036854775807", "-9223372036854775808"]),
        );
        step = step.arg(w.cased("LIMIT")).arg(offset).arg(count);
    }
    for _ in 0..w.pick(&[0, 0, 0, 1, 2]) {
        let pattern = w.pick(&["#", "w_*", "o_*->f", "o_*->g", "nokey", "o_*", "*"]);
        step = step.arg(w.cased("GET")).arg(pattern);
    }
    if stores && !by.contains('*') {
        step = step.arg(w.cased("STORE")).arg(w.pick(&["stored0", "stored1"]));
    }
    vec![step]
}

/// Sets the norm that suits the arguments, damaged or not. What may be a set in no order is the server's own.
pub fn settle(step: &mut Step) {
    let ordered =
        step.args.get(1).is_some_and(|key| key.starts_with(b"sl") || key.starts_with(b"sz"));
    let has = |word: &[u8]| step.args.iter().position(|arg| arg.eq_ignore_ascii_case(word));
    let by = has(b"by").and_then(|at| step.args.get(at + 1));
    step.norm = match by {
        Some(pattern) if !ordered && !pattern.contains(&b'*') => {
            if has(b"limit").is_some() {
                Norm::SameLength
            } else {
                Norm::Unordered
            }
        }
        _ => Norm::Converted,
    };
}
