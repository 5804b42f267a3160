//! Generators for the commands on hashes.

use super::compare::Norm;
use super::sets;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 40, names: &["HSET"], damage: Damage::Any, make: |w| hset(w, "HSET") },
    Row { weight: 8, names: &["HMSET"], damage: Damage::Any, make: |w| hset(w, "HMSET") },
    row!(10, Any, "HSETNX", |w, s| s.arg(key(w)).arg(field(w)).arg(value(w))),
    Row { weight: 16, names: &["HDEL"], damage: Damage::Any, make: |w| many(w, "HDEL") },
    row!(10, Any, "HEXISTS", |w, s| s.arg(key(w)).arg(field(w))),
    row!(14, Any, "HGET", |w, s| s.arg(key(w)).arg(field(w))),
    row!(10, Any, "HGETALL", |w, s| s.arg(key(w)).norm(Norm::UnorderedPairs)),
    row!(16, Any, "HINCRBY", |w, s| s.arg(key(w)).arg(field(w)).arg(w.integer())),
    row!(12, Any, "HINCRBYFLOAT", |w, s| s.arg(key(w)).arg(field(w)).arg(w.float())),
    row!(6, Any, "HKEYS", |w, s| s.arg(key(w)).norm(Norm::Unordered)),
    row!(6, Any, "HLEN", |w, s| s.arg(key(w))),
    Row { weight: 10, names: &["HMGET"], damage: Damage::Any, make: |w| many(w, "HMGET") },
    Row { weight: 10, names: &["HRANDFIELD"], damage: Damage::Any, make: hrandfield },
    Row {
        weight: 8,
        names: &["HSCAN"],
        damage: Damage::None,
        make: |w| sets::scan(w, "HSCAN", key),
    },
    row!(6, Any, "HSTRLEN", |w, s| s.arg(key(w)).arg(field(w))),
    row!(6, Any, "HVALS", |w, s| s.arg(key(w)).norm(Norm::Unordered)),
];

/// Mostly a key that other commands on hashes use too.
fn key(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 12) { w.key() } else { w.pick(&["h0", "h1", "h2", "h3", "h4"]).into() }
}

fn field(w: &mut Words) -> Vec<u8> {
    match w.below(12) {
        0..=7 => format!("f{}", w.below(12)).into_bytes(),
        8 | 9 => w.below(10).to_string().into_bytes(),
        10 => w.integer(),
        _ => w.value(),
    }
}

/// A value, mostly a short one: one that is too long ends the listpack.
fn value(w: &mut Words) -> Vec<u8> {
    match w.below(10) {
        0..=4 => w.integer(),
        5 | 6 => w.float(),
        7 | 8 => format!("v{}", w.below(1000)).into_bytes(),
        _ if w.chance(1, 3) => w.value(),
        _ => b"x".to_vec(),
    }
}

fn hset(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut step = Step::new(w, name).arg(key(w));
    let count = if w.chance(1, 30) { 40 + w.below(300) } else { w.pick(&[1, 1, 2, 3]) };
    for _ in 0..count {
        let name = if count > 10 { format!("f{}", w.below(1000)).into() } else { field(w) };
        step = step.arg(name).arg(value(w));
    }
    vec![step]
}

fn many(w: &mut Words, name: &'static str) -> Vec<Step> {
    let count = w.pick(&[1, 1, 2, 3, 10]);
    let step = Step::new(w, name).arg(key(w));
    vec![step.args((0..count).map(|_| field(w)))]
}

fn hrandfield(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "HRANDFIELD").arg(key(w)).norm(Norm::SameLength);
    let step = match w.below(4) {
        0 => return vec![step],
        // All of them: names alone, so that their order is all that may differ.
        1 => return vec![step.arg("1000000").norm(Norm::Unordered)],
        2 => step.arg(w.pick(&["1", "2", "5", "-1", "-3", "-20", "0"])),
        _ => step.arg(w.pick(&[
            "x",
            "9223372036854775808",
            "-9223372036854775808",
            "9223372036854775807",
            "4611686018427387904",
            "",
        ])),
    };
    vec![if w.chance(1, 2) { step.arg(w.cased("WITHVALUES")) } else { step }]
}
