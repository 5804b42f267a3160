//! Generators for HyperLogLog. The values themselves, which GET shows, are compared byte by byte with the state.

use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 90, names: &["PFADD"], damage: Damage::Any, make: pfadd },
    row!(54, Any, "PFCOUNT", |w, s| {
        let count = w.pick(&[1, 1, 1, 2, 3, 6]);
        s.args((0..count).map(|_| key(w)))
    }),
    row!(43, Any, "PFMERGE", |w, s| {
        let count = w.pick(&[1, 1, 2, 2, 3, 5]);
        s.args((0..count).map(|_| key(w)))
    }),
    row!(10, None, "GET", |w, s| s.arg(key(w))),
    row!(6, None, "STRLEN", |w, s| s.arg(key(w))),
    row!(14, None, "PFDEBUG", |w, s| {
        let what = w.pick(&["ENCODING", "ENCODING", "DECODE", "DECODE", "NOSUCH"]);
        let s = s.arg(w.cased(what));
        if w.chance(1, 15) { s } else { s.arg(key(w)) }
    }),
    Row { weight: 4, names: &["PFDEBUG"], damage: Damage::None, make: made_dense },
    // The test itself takes a second.
    row!(1, None, "PFSELFTEST", |_w, s| s.arg("x")),
    Row { weight: 6, names: &["SET"], damage: Damage::None, make: damaged },
    row!(5, None, "DEL", |w, s| s.arg(key(w))),
    // The estimate that is kept beside the registers.
    row!(4, None, "SETBIT", |w, s| {
        s.arg(key(w)).arg((64 + w.below(64)).to_string()).arg(w.pick(&["0", "1"]))
    }),
];

fn key(w: &mut Words) -> Vec<u8> {
    match w.below(30) {
        0 => w.key(),
        1 => b"h0".to_vec(),
        _ => w.pick(&["p0", "p1", "p2", "p3", "p4", "p5", "p6"]).into(),
    }
}

fn pfadd(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "PFADD").arg(key(w));
    // Enough at times to pass from the sparse to the dense form.
    if w.chance(1, 15) {
        let (from, count) = (w.below(100_000), 100 + w.below(1500));
        return vec![step.args((from..from + count).map(|n| format!("e{n}")))];
    }
    let count = w.pick(&[0, 1, 1, 2, 3, 8, 20]);
    vec![step.args((0..count).map(|_| element(w)))]
}

/// Made dense by its elements: of PFDEBUG TODENSE Redis tells nobody who tracks the key, and Respire does.
fn made_dense(w: &mut Words) -> Vec<Step> {
    let mut steps = pfadd(w);
    steps[0].args[1] = b"dense".to_vec();
    // Sixteen thousand numbers come with GETREG.
    let what = w.pick(&["ENCODING", "ENCODING", "ENCODING", "ENCODING", "GETREG"]);
    let key = w.pick(&["dense", "dense", "no such key"]);
    steps.push(Step::new(w, "PFDEBUG").arg(what).arg(key));
    steps.push(Step::new(w, "PFCOUNT").arg("dense"));
    if w.chance(1, 3) {
        steps.push(Step::new(w, "DEL").arg("dense"));
    }
    steps
}

fn element(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 5) { w.value() } else { format!("e{}", w.below(5000)).into_bytes() }
}

/// Values made by hand. What is no HyperLogLog has a key of its own, to which nothing is added: Redis 7.0 adds the
/// elements before the one that finds a value corrupt.
fn damaged(w: &mut Words) -> Vec<Step> {
    // Long enough to be kept in one form only, whatever is done to them.
    let header = |form: u8| [b"HYLL", &[form, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]].concat();
    let zeros = [[0x43, 0x1f].repeat(20), vec![0x41, 0x7f]].concat();
    let (whole, value) = match w.below(7) {
        0 => (false, b"HYLL".to_vec()),
        1 => (false, [header(1), vec![0; 40]].concat()),
        2 => (false, [header(2), vec![0; 12_288]].concat()),
        3 => (false, [header(1), zeros, vec![0x80]].concat()),
        4 => (false, [header(1), vec![0x84; 40]].concat()),
        5 => (true, [header(0), vec![0x10; 12_288]].concat()),
        _ => (true, [header(1), zeros].concat()),
    };
    let key = if whole { key(w) } else { b"q1".to_vec() };
    let set = Step::new(w, "SET").arg(&key).arg(value);
    let used = match w.below(4) {
        0 => Step::new(w, "PFADD").arg(&key).arg("x"),
        1 => Step::new(w, "PFCOUNT").arg("p0").arg(&key),
        2 => Step::new(w, "PFCOUNT").arg(&key),
        _ => Step::new(w, "PFMERGE").arg("p1").arg(&key).arg("p2"),
    };
    vec![set, used]
}
