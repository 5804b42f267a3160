//! Generators for the commands on sets.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 50, names: &["SADD"], damage: Damage::Any, make: sadd },
    row!(8, Any, "SCARD", |w, s| s.arg(key(w))),
    Row { weight: 8, names: &["SDIFF"], damage: Damage::Any, make: |w| algebra(w, "SDIFF") },
    Row { weight: 8, names: &["SINTER"], damage: Damage::Any, make: |w| algebra(w, "SINTER") },
    Row { weight: 8, names: &["SUNION"], damage: Damage::Any, make: |w| algebra(w, "SUNION") },
    Row {
        weight: 4,
        names: &["SDIFFSTORE"],
        damage: Damage::Any,
        make: |w| store(w, "SDIFFSTORE"),
    },
    Row {
        weight: 4,
        names: &["SINTERSTORE"],
        damage: Damage::Any,
        make: |w| store(w, "SINTERSTORE"),
    },
    Row {
        weight: 4,
        names: &["SUNIONSTORE"],
        damage: Damage::Any,
        make: |w| store(w, "SUNIONSTORE"),
    },
    Row { weight: 8, names: &["SINTERCARD"], damage: Damage::Any, make: sintercard },
    row!(12, Any, "SISMEMBER", |w, s| s.arg(key(w)).arg(member(w))),
    row!(10, Any, "SMEMBERS", |w, s| s.arg(key(w)).norm(Norm::Unordered)),
    Row { weight: 8, names: &["SMISMEMBER"], damage: Damage::Any, make: |w| many(w, "SMISMEMBER") },
    row!(10, Any, "SMOVE", |w, s| s.arg(key(w)).arg(key(w)).arg(member(w))),
    Row { weight: 6, names: &["SPOP"], damage: Damage::None, make: spop },
    Row { weight: 10, names: &["SRANDMEMBER"], damage: Damage::Any, make: srandmember },
    Row { weight: 20, names: &["SREM"], damage: Damage::Any, make: |w| many(w, "SREM") },
    Row { weight: 8, names: &["SSCAN"], damage: Damage::None, make: |w| scan(w, "SSCAN", key) },
];

/// Mostly a key that other commands on sets use too.
fn key(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 12) { w.key() } else { w.pick(&["s0", "s1", "s2", "s3", "s4"]).into() }
}

/// A member: sets of numbers stay sets of numbers for a while.
fn member(w: &mut Words) -> Vec<u8> {
    match w.below(20) {
        0..=11 => w.below(30).to_string().into_bytes(),
        12 => (w.below(100_000) as i64 * 50_000 - 1_000_000_000).to_string().into_bytes(),
        13..=16 => format!("m{}", w.below(20)).into_bytes(),
        17 => w.integer(),
        _ => w.value(),
    }
}

fn sadd(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "SADD").arg(key(w));
    // Different ones, so that what is expected and what is added agree: from 7.2 on the former decides the encoding.
    let (from, by, text) = (w.below(50), 1 + w.below(30), w.chance(1, 4));
    if w.chance(1, 10) {
        let numbers = (0..20 + w.below(100)).map(|i| from + i * by);
        return vec![if text {
            step.args(numbers.map(|n| format!("m{n}")))
        } else {
            step.args(numbers.map(|n| n.to_string()))
        }];
    }
    let count = w.pick(&[1, 1, 2, 3, 8]);
    vec![step.args((0..count).map(|_| member(w)))]
}

fn many(w: &mut Words, name: &'static str) -> Vec<Step> {
    let count = w.pick(&[1, 1, 2, 3, 10]);
    let step = Step::new(w, name).arg(key(w));
    vec![step.args((0..count).map(|_| member(w)))]
}

fn algebra(w: &mut Words, name: &'static str) -> Vec<Step> {
    let count = w.pick(&[1, 2, 2, 2, 3, 4]);
    let step = Step::new(w, name).norm(Norm::Unordered);
    vec![step.args((0..count).map(|_| key(w)))]
}

fn store(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut steps = algebra(w, name);
    steps[0].args.insert(1, key(w));
    steps[0].norm = Norm::Exact;
    steps
}

fn sintercard(w: &mut Words) -> Vec<Step> {
    let count = w.pick(&[1_usize, 2, 2, 3]);
    let said = if w.chance(1, 10) { w.integer() } else { count.to_string().into_bytes() };
    let step = Step::new(w, "SINTERCARD").arg(said);
    let mut step = step.args((0..count).map(|_| key(w)));
    if w.chance(1, 2) {
        let limit = w.pick(&["0", "1", "2", "5", "1000000", "-1", "x", "9223372036854775808"]);
        step = step.arg(w.cased("LIMIT")).arg(limit);
    }
    vec![step]
}

/// Only where chance decides nothing: sets of one member, counts that take everything, and mistakes.
fn spop(w: &mut Words) -> Vec<Step> {
    let set = key(w);
    match w.below(4) {
        0 => {
            let one = member(w);
            let filled = Step::new(w, "SADD").arg(&set).arg(one);
            let emptied = Step::new(w, "DEL").arg(&set);
            vec![emptied, filled, Step::new(w, "SPOP").arg(set)]
        }
        1 => {
            let count = w.pick(&["100000", "9223372036854775807"]);
            vec![Step::new(w, "SPOP").arg(set).arg(count).norm(Norm::Unordered)]
        }
        2 => vec![Step::new(w, "SPOP").arg(set).arg("0")],
        _ => {
            let bad: &[&[&str]] = &[
                &["-1"],
                &["x"],
                &["1", "2"],
                &["9223372036854775808"],
                &["-9223372036854775808"],
            ];
            vec![Step::new(w, "SPOP").arg(set).args(w.pick(bad))]
        }
    }
}

fn srandmember(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "SRANDMEMBER").arg(key(w)).norm(Norm::SameLength);
    vec![match w.below(4) {
        0 => step,
        1 => step.arg("1000000").norm(Norm::Unordered),
        2 => step.arg(w.pick(&["1", "2", "5", "-1", "-3", "-20", "0"])),
        _ => step.arg(w.pick(&["x", "9223372036854775808", "-9223372036854775808", ""])),
    }]
}

/// A scan of the elements of a key, followed to its end.
pub fn scan(w: &mut Words, name: &'static str, key: fn(&mut Words) -> Vec<u8>) -> Vec<Step> {
    let step = Step::new(w, name).arg(key(w));
    if w.in_multi || w.chance(1, 3) {
        let bad: &[&[&str]] = &[
            &["abc"],
            &["0", "COUNT", "0"],
            &["0", "COUNT", "x"],
            &["0", "MATCH"],
            &["0", "FOO", "1"],
            &["18446744073709551616"],
            &[],
            &["1.5"],
            &["0", "TYPE", "set"],
        ];
        return vec![step.args(w.pick(bad))];
    }
    let mut step = step.arg("0");
    for _ in 0..w.below(3) {
        step = if w.chance(1, 2) {
            let pattern = w.pick(&["*", "m*", "1*", "?", "[0-4]*", "f*"]);
            step.arg(w.cased("MATCH")).arg(pattern)
        } else {
            let count = w.pick(&["1", "2", "10", "1000", "9223372036854775807"]);
            step.arg(w.cased("COUNT")).arg(count)
        };
    }
    vec![step.norm(Norm::Scan).last()]
}
