//! Generators for the string commands.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    row!(20, Any, "GET", |w, s| s.arg(w.key())),
    Row { weight: 40, names: &["SET"], damage: Damage::KeepTimes, make: set },
    row!(8, Any, "APPEND", |w, s| s.arg(w.key()).arg(w.value())),
    row!(6, Any, "DECR", |w, s| s.arg(w.key())),
    row!(6, Any, "DECRBY", |w, s| s.arg(w.key()).arg(w.integer())),
    row!(6, Any, "GETDEL", |w, s| s.arg(w.key())),
    Row { weight: 12, names: &["GETEX"], damage: Damage::KeepTimes, make: getex },
    row!(8, Any, "GETRANGE", |w, s| {
        s.arg(w.key()).arg(w.index()).arg(w.index()).norm(Norm::Part)
    }),
    row!(3, Any, "SUBSTR", |w, s| {
        s.arg(w.key()).arg(w.index()).arg(w.index()).norm(Norm::Part)
    }),
    row!(6, Any, "GETSET", |w, s| s.arg(w.key()).arg(w.value())),
    row!(10, Any, "INCR", |w, s| s.arg(w.key())),
    row!(10, Any, "INCRBY", |w, s| s.arg(w.key()).arg(w.integer())),
    row!(14, Any, "INCRBYFLOAT", |w, s| s.arg(w.key()).arg(w.float())),
    Row { weight: 8, names: &["LCS"], damage: Damage::Any, make: lcs },
    Row { weight: 6, names: &["MGET"], damage: Damage::Any, make: mget },
    Row { weight: 6, names: &["MSET"], damage: Damage::Any, make: |w| many_pairs(w, "MSET") },
    Row { weight: 5, names: &["MSETNX"], damage: Damage::Any, make: |w| many_pairs(w, "MSETNX") },
    Row {
        weight: 5,
        names: &["PSETEX"],
        damage: Damage::KeepTimes,
        make: |w| setex(w, "PSETEX", 1000),
    },
    Row { weight: 5, names: &["SETEX"], damage: Damage::KeepTimes, make: |w| setex(w, "SETEX", 1) },
    row!(6, Any, "SETNX", |w, s| s.arg(w.key()).arg(w.value())),
    Row { weight: 8, names: &["SETRANGE"], damage: Damage::None, make: setrange },
    row!(6, Any, "STRLEN", |w, s| s.arg(w.key())),
];

/// A time option with its value. The relative ones are far away; the absolute ones may be over.
fn expiry(w: &mut Words) -> Vec<Vec<u8>> {
    let (name, time) = match w.below(10) {
        0..=2 => ("EX", w.far_seconds().to_string().into_bytes()),
        3..=4 => ("PX", (w.far_seconds() * 1000).to_string().into_bytes()),
        5 => ("EXAT", w.unix_seconds()),
        6 => ("PXAT", w.unix_millis()),
        _ => (w.pick(&["EX", "PX", "EXAT", "PXAT"]), w.odd_time()),
    };
    vec![w.cased(name), time]
}

/// As [`expiry`], and never over: SET stores even what is, and when such a key goes depends on the moment.
fn far_expiry(w: &mut Words) -> Vec<Vec<u8>> {
    loop {
        let option = expiry(w);
        let over = matches!(option[1].as_slice(), b"100000" | b"1000000000" | b"1000000000000");
        if !over {
            return option;
        }
    }
}

/// `EXISTS` on the key: where the write made it expire at once, both servers now notice at the same step.
pub fn noticed(w: &mut Words, step: Step) -> Vec<Step> {
    let Some(key) = step.args.get(1).cloned() else {
        return vec![step];
    };
    let exists = Step::new(w, "EXISTS").arg(key);
    vec![step, exists]
}

fn set(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "SET").arg(w.key()).arg(w.value());
    // Half of them plain: the keyspace has to be full for the rest to mean something.
    if w.chance(1, 2) {
        return vec![step];
    }
    for _ in 0..w.below(4) {
        step = match w.below(5) {
            0 => step.arg(w.cased("NX")),
            1 => step.arg(w.cased("XX")),
            2 => step.arg(w.cased("GET")),
            3 => step.arg(w.cased("KEEPTTL")),
            _ => step.args(far_expiry(w)),
        };
    }
    noticed(w, step)
}

fn getex(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "GETEX").arg(w.key());
    for _ in 0..w.pick(&[0, 1, 1, 1, 2]) {
        step = if w.chance(1, 4) { step.arg(w.cased("PERSIST")) } else { step.args(expiry(w)) };
    }
    noticed(w, step)
}

fn setex(w: &mut Words, name: &'static str, unit: u64) -> Vec<Step> {
    let time = if w.chance(1, 3) {
        w.odd_time()
    } else {
        (w.far_seconds() * unit).to_string().into_bytes()
    };
    let step = Step::new(w, name).arg(w.key()).arg(time).arg(w.value());
    noticed(w, step)
}

fn lcs(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "LCS").arg(w.key()).arg(w.key());
    for _ in 0..w.below(4) {
        step = match w.below(5) {
            0 => step.arg(w.cased("LEN")),
            1 | 2 => step.arg(w.cased("IDX")),
            3 => step.arg(w.cased("WITHMATCHLEN")),
            _ => step.arg(w.cased("MINMATCHLEN")).arg(w.integer()),
        };
    }
    vec![step]
}

fn mget(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "MGET");
    for _ in 0..1 + w.below(5) {
        step = step.arg(w.key());
    }
    vec![step]
}

fn many_pairs(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut step = Step::new(w, name);
    for _ in 0..1 + w.below(4) {
        step = step.arg(w.key()).arg(w.value());
    }
    vec![step]
}

/// Offsets are small, negative, or so large that the result would be above 512 MB: both servers must refuse the
/// large ones before they allocate. In between lies nothing that a test should allocate.
fn setrange(w: &mut Words) -> Vec<Step> {
    let offset = match w.below(8) {
        0..=4 => w.below(40).to_string(),
        5 => w.below(1500).to_string(),
        6 => w
            .pick(&["-1", "-9223372036854775808", "abc", "", "9223372036854775808", "1.0"])
            .to_string(),
        _ => w
            .pick(&[
                "536870912",
                "536870913",
                "4294967296",
                "9223372036854775807",
                "9223372036854775800",
                "2147483648",
            ])
            .to_string(),
    };
    let step = Step::new(w, "SETRANGE").arg(w.key()).arg(offset);
    let step = match w.below(12) {
        0 => step,
        1 => step.arg(w.value()).arg(w.nonsense()),
        _ => step.arg(w.value()),
    };
    vec![step]
}
