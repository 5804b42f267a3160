//! Generators for the commands on positions.

use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 63, names: &["GEOADD"], damage: Damage::Any, make: geoadd },
    row!(17, Any, "GEODIST", |w, s| {
        let s = s.arg(key(w)).arg(member(w)).arg(member(w));
        if w.chance(1, 2) { s.arg(unit(w)) } else { s }
    }),
    row!(13, Any, "GEOHASH", |w, s| {
        let s = s.arg(key(w));
        members(w, s)
    }),
    row!(13, Any, "GEOPOS", |w, s| {
        let s = s.arg(key(w));
        members(w, s)
    }),
    Row {
        weight: 21,
        names: &["GEORADIUS"],
        damage: Damage::Any,
        make: |w| around(w, "GEORADIUS"),
    },
    Row {
        weight: 8,
        names: &["GEORADIUS_RO"],
        damage: Damage::Any,
        make: |w| around(w, "GEORADIUS_RO"),
    },
    Row {
        weight: 21,
        names: &["GEORADIUSBYMEMBER"],
        damage: Damage::Any,
        make: |w| around(w, "GEORADIUSBYMEMBER"),
    },
    Row {
        weight: 8,
        names: &["GEORADIUSBYMEMBER_RO"],
        damage: Damage::Any,
        make: |w| around(w, "GEORADIUSBYMEMBER_RO"),
    },
    Row {
        weight: 63,
        names: &["GEOSEARCH"],
        damage: Damage::Any,
        make: |w| search(w, "GEOSEARCH"),
    },
    Row {
        weight: 21,
        names: &["GEOSEARCHSTORE"],
        damage: Damage::Any,
        make: |w| search(w, "GEOSEARCHSTORE"),
    },
    row!(5, Any, "ZREM", |w, s| {
        let s = s.arg(key(w));
        members(w, s)
    }),
];

/// Keys that hold positions.
const KEYS: &[&[u8]] = &[b"g0", b"g1", b"g2"];

const BAD_POSITIONS: &[(&str, &str)] = &[
    ("180.1", "0"),
    ("0", "85.06"),
    ("x", "1"),
    ("1", ""),
    ("-181", "-90"),
    ("inf", "0"),
    ("nan", "nan"),
    ("1e10", "1"),
];

const EDGES: &[(&str, &str)] = &[
    ("0", "0"),
    ("180", "85"),
    ("-180", "-85.05112878"),
    ("-180", "85.05112878"),
    ("179.999", "-0.001"),
    ("-0.0001", "0.0001"),
    ("13.361389", "38.115556"),
    ("15.087269", "37.502669"),
    ("90", "66.5"),
    ("-122.27652", "37.805186"),
];

fn key(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 15) { w.key() } else { w.pick(KEYS).to_vec() }
}

fn member(w: &mut Words) -> Vec<u8> {
    format!("p{}", w.below(60)).into_bytes()
}

fn members(w: &mut Words, mut step: Step) -> Step {
    for _ in 0..1 + w.below(4) {
        step = step.arg(member(w));
    }
    step
}

fn unit(w: &mut Words) -> Vec<u8> {
    match w.below(12) {
        0 => w.pick(&["", "x", "metres"]).into(),
        _ => {
            let unit = w.pick(&["m", "km", "ft", "mi"]);
            w.cased(unit)
        }
    }
}

/// A position; no two are alike, lest equal distances come in an order that is the sort's own.
fn position(w: &mut Words) -> [Vec<u8>; 2] {
    let degrees = |w: &mut Words, most: u64, digits: u64| {
        let scale = 10_u64.pow(digits as u32);
        let value = w.below(2 * most * scale) as f64 / scale as f64 - most as f64;
        format!("{value}").into_bytes()
    };
    match w.below(20) {
        0 => {
            let (longitude, latitude) = w.pick(BAD_POSITIONS);
            [longitude.into(), latitude.into()]
        }
        1..=9 => [degrees(w, 180, 6), degrees(w, 85, 6)],
        // Crowded around one place.
        _ => [degrees(w, 2, 7), degrees(w, 3, 7)],
    }
}

/// The middle of an area.
fn middle(w: &mut Words) -> [Vec<u8>; 2] {
    if w.chance(1, 6) {
        let (longitude, latitude) = w.pick(EDGES);
        return [longitude.into(), latitude.into()];
    }
    position(w)
}

fn geoadd(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "GEOADD").arg(key(w));
    if w.chance(1, 4) {
        for _ in 0..1 + w.below(2) {
            let option = w.pick(&["NX", "XX", "CH"]);
            step = step.arg(w.cased(option));
        }
    }
    for _ in 0..if w.chance(1, 10) { 40 } else { 1 + w.below(4) } {
        step = step.args(position(w)).arg(member(w));
    }
    vec![step]
}

fn size(w: &mut Words) -> Vec<u8> {
    match w.below(12) {
        0 => w.pick(&["0", "-1", "x", "inf", "", "1e10", "0.00001", "1e308"]).into(),
        kind => {
            let exponent = (kind % 8) as u32;
            (w.below(1 + 10_u64.pow(exponent)) as f64 / 10.0).to_string().into_bytes()
        }
    }
}

/// Options of all these commands.
fn options(w: &mut Words, mut step: Step) -> Step {
    for _ in 0..w.below(4) {
        step = match w.below(9) {
            0 => step.arg(w.cased("WITHDIST")),
            1 => step.arg(w.cased("WITHHASH")),
            2 => step.arg(w.cased("WITHCOORD")),
            3 | 4 => step.arg(w.cased("ASC")),
            5 => step.arg(w.cased("DESC")),
            6 => step.arg(w.cased("ANY")),
            _ => {
                let step =
                    step.arg(w.cased("COUNT")).arg(w.pick(&["1", "2", "5", "30", "0", "-1", "x"]));
                if w.chance(1, 3) { step.arg(w.cased("ANY")) } else { step }
            }
        };
    }
    step
}

/// The GEORADIUS family.
fn around(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut step = Step::new(w, name).arg(key(w));
    step = if name.contains("MEMBER") { step.arg(member(w)) } else { step.args(middle(w)) };
    step = step.arg(size(w)).arg(unit(w));
    step = options(w, step);
    if w.chance(1, 4) {
        for _ in 0..1 + w.below(2) {
            let word = w.pick(&["STORE", "STOREDIST"]);
            step = step.arg(w.cased(word)).arg(key(w));
        }
    }
    vec![step]
}

fn search(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut step = Step::new(w, name).arg(key(w));
    if name.ends_with("STORE") {
        step = step.arg(key(w));
    }
    let center = |w: &mut Words, step: Step| {
        if w.chance(1, 2) {
            step.arg(w.cased("FROMMEMBER")).arg(member(w))
        } else {
            step.arg(w.cased("FROMLONLAT")).args(middle(w))
        }
    };
    let shape = |w: &mut Words, step: Step| {
        let step = if w.chance(1, 2) {
            step.arg(w.cased("BYRADIUS")).arg(size(w))
        } else {
            step.arg(w.cased("BYBOX")).arg(size(w)).arg(size(w))
        };
        step.arg(unit(w))
    };
    // In any order, and at times one too many or too few.
    if w.chance(19, 20) {
        step = center(w, step);
    }
    if w.chance(1, 3) {
        step = options(w, step);
    }
    if w.chance(19, 20) {
        step = shape(w, step);
    }
    if w.chance(1, 20) {
        step = center(w, step);
    }
    if w.chance(1, 20) {
        step = shape(w, step);
    }
    if w.chance(1, if name.ends_with("STORE") { 3 } else { 20 }) {
        step = step.arg(w.cased("STOREDIST"));
    }
    vec![options(w, step)]
}
