//! Generators for HyperLogLog. The values themselves, which GET shows, are compared byte by byte with the state.

use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 50, names: &["PFADD"], damage: Damage::Any, make: pfadd },
    row!(30, Any, "PFCOUNT", |w, s| {
        let count = w.pick(&[1, 1, 1, 2, 3, 6]);
        s.args((0..count).map(|_| key(w)))
    }),
    row!(24, Any, "PFMERGE", |w, s| {
        let count = w.pick(&[1, 1, 2, 2, 3, 5]);
        s.args((0..count).map(|_| key(w)))
    }),
    row!(10, None, "GET", |w, s| s.arg(key(w))),
    row!(6, None, "STRLEN", |w, s| s.arg(key(w))),
    row!(8, None, "PFDEBUG", |w, s| {
        let what = w.pick(&["ENCODING", "ENCODING", "DECODE", "DECODE", "TODENSE", "NOSUCH"]);
        let s = s.arg(w.cased(what));
        if w.chance(1, 15) { s } else { s.arg(key(w)) }
    }),
    // Sixteen thousand numbers each time.
    row!(1, None, "PFDEBUG", |w, s| if w.chance(1, 6) {
        s.arg("GETREG").arg(key(w))
    } else {
        s.arg("GETREG").arg("no such key")
    }),
    // The test itself takes a second.
    row!(1, None, "PFSELFTEST", |_w, s| s.arg("x")),
    Row { weight: 6, names: &["SET"], damage: Damage::None, make: damaged },
    row!(5, None, "DEL", |w, s| s.arg(key(w))),
    row!(4, None, "SETBIT", |w, s| {
        let at = if w.chance(1, 2) { w.below(128) } else { w.below(1000) };
        s.arg(key(w)).arg(at.to_string()).arg(w.pick(&["0", "1"]))
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

fn element(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 5) { w.value() } else { format!("e{}", w.below(5000)).into_bytes() }
}

/// Something that begins like a HyperLogLog and is none, or one that is whole but made by hand.
fn damaged(w: &mut Words) -> Vec<Step> {
    let header = |form: u8| [b"HYLL", &[form, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]].concat();
    let value = match w.below(8) {
        0 => b"HYLL".to_vec(),
        1 => header(0),
        2 => header(1),
        3 => [header(1), vec![0x7f, 0xff]].concat(),
        4 => [header(1), vec![0x7f, 0xff, 0x80]].concat(),
        5 => [header(2), vec![0; 12_288]].concat(),
        6 => [header(0), vec![0x10; 12_288]].concat(),
        _ => [header(1), vec![0x84, 0x40]].concat(),
    };
    let step = Step::new(w, "SET").arg(key(w)).arg(value);
    vec![step]
}
