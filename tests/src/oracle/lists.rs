//! Generators for the commands on lists.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 16, names: &["LPUSH"], damage: Damage::Any, make: |w| push(w, "LPUSH") },
    Row { weight: 24, names: &["RPUSH"], damage: Damage::Any, make: |w| push(w, "RPUSH") },
    Row { weight: 4, names: &["LPUSHX"], damage: Damage::Any, make: |w| push(w, "LPUSHX") },
    Row { weight: 4, names: &["RPUSHX"], damage: Damage::Any, make: |w| push(w, "RPUSHX") },
    Row { weight: 10, names: &["LPOP"], damage: Damage::Any, make: |w| pop(w, "LPOP") },
    Row { weight: 10, names: &["RPOP"], damage: Damage::Any, make: |w| pop(w, "RPOP") },
    row!(10, Any, "LRANGE", |w, s| s.arg(key(w)).arg(w.index()).arg(w.index())),
    row!(8, Any, "LINDEX", |w, s| s.arg(key(w)).arg(w.index())),
    row!(8, Any, "LSET", |w, s| s.arg(key(w)).arg(w.index()).arg(element(w))),
    row!(8, Any, "LINSERT", |w, s| {
        let place = w.pick(&["BEFORE", "AFTER", "BEFORE", "AFTER", "after", "foo"]);
        s.arg(key(w)).arg(place).arg(element(w)).arg(element(w))
    }),
    row!(5, Any, "LLEN", |w, s| s.arg(key(w))),
    row!(8, Any, "LREM", |w, s| {
        let count = w.pick(&["0", "1", "2", "-1", "-2", "100", "x", "-9223372036854775808"]);
        s.arg(key(w)).arg(count).arg(element(w))
    }),
    row!(3, Any, "LTRIM", |w, s| s.arg(key(w)).arg(w.index()).arg(w.index())),
    Row { weight: 12, names: &["LPOS"], damage: Damage::None, make: lpos },
    row!(8, Any, "LMOVE", |w, s| s.arg(key(w)).arg(key(w)).arg(end(w)).arg(end(w))),
    row!(5, Any, "RPOPLPUSH", |w, s| s.arg(key(w)).arg(key(w))),
    row!(8, Any, "LMPOP", |w, s| some_of(w, s)),
    row!(4, None, "BLPOP", |w, s| some_keys(w, s).arg(timeout(w))),
    row!(4, None, "BRPOP", |w, s| some_keys(w, s).arg(timeout(w))),
    row!(3, None, "BLMOVE", |w, s| {
        s.arg(key(w)).arg(key(w)).arg(end(w)).arg(end(w)).arg(timeout(w))
    }),
    row!(3, None, "BRPOPLPUSH", |w, s| s.arg(key(w)).arg(key(w)).arg(timeout(w))),
    row!(3, None, "BLMPOP", |w, s| {
        let s = s.arg(timeout(w));
        some_of(w, s)
    }),
    row!(6, Any, "OBJECT ENCODING", |w, s| s.arg(key(w)).norm(Norm::Encoding)),
];

/// Keys that mostly hold lists.
const KEYS: &[&[u8]] = &[b"l0", b"l1", b"l2", b"l3"];

fn key(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 12) { w.key() } else { w.pick(KEYS).to_vec() }
}

fn element(w: &mut Words) -> Vec<u8> {
    match w.below(40) {
        0 => vec![b'l'; 4000 + w.below(6000) as usize],
        1 => vec![b'h'; w.below(20_000) as usize],
        2..=7 => w.value(),
        8..=20 => format!("element{}", w.below(12)).into_bytes(),
        _ => (w.below(30) as i64 - 5).to_string().into_bytes(),
    }
}

fn end(w: &mut Words) -> &'static str {
    w.pick(&["LEFT", "RIGHT", "LEFT", "RIGHT", "left", "Right", "foo"])
}

fn push(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut step = Step::new(w, name).arg(key(w));
    let count = match w.below(16) {
        0 => 200,
        1 => 30,
        _ => 1 + w.below(4),
    };
    for _ in 0..count {
        step = step.arg(element(w));
    }
    vec![step]
}

fn pop(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut step = Step::new(w, name).arg(key(w));
    if w.chance(1, 2) {
        step = step.arg(w.pick(&["0", "1", "2", "5", "50", "-1", "x", "9223372036854775807"]));
    }
    vec![step]
}

fn lpos(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "LPOS").arg(key(w)).arg(element(w));
    for _ in 0..w.below(4) {
        let (option, value) = match w.below(3) {
            0 => ("RANK", w.pick(&["1", "2", "-1", "-2", "3", "0", "x"])),
            1 => ("COUNT", w.pick(&["0", "1", "2", "10", "-1"])),
            _ => ("MAXLEN", w.pick(&["0", "1", "5", "20", "1000", "-1"])),
        };
        step = step.arg(w.cased(option)).arg(value);
    }
    if w.chance(1, 12) {
        step = step.arg(w.pick(&["foo", "RANK", ""]));
    }
    vec![step]
}

fn some_keys(w: &mut Words, mut step: Step) -> Step {
    for _ in 0..1 + w.below(3) {
        step = step.arg(key(w));
    }
    step
}

/// `numkeys key [key ...] <LEFT | RIGHT> [COUNT count]`.
fn some_of(w: &mut Words, step: Step) -> Step {
    let count = 1 + w.below(3);
    let said = if w.chance(1, 15) { w.integer() } else { count.to_string().into_bytes() };
    let mut step = step.arg(said);
    for _ in 0..count {
        step = step.arg(key(w));
    }
    step = step.arg(end(w));
    if w.chance(1, 2) {
        step = step.arg(w.cased("COUNT")).arg(w.pick(&["1", "2", "10", "0", "-1", "x"]));
    }
    step
}

/// Inside a transaction nothing waits; outside, not for long.
fn timeout(w: &mut Words) -> &'static str {
    let wrong = w.chance(1, 8);
    match wrong {
        true => w.pick(&["-1", "x", "", "-0.5", "1 ", "1.5x"]),
        false if w.in_multi => w.pick(&["0", "1", "0.001", "1e3", "0x10"]),
        false => w.pick(&["0.001", "1e-3", "0.002"]),
    }
}
