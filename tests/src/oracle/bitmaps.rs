//! Generators for the commands on the bits of strings.
//!
//! Offsets stay small: one bit far away would cost both servers half a gigabyte.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    row!(40, Any, "SETBIT", |w, s| {
        let value = w.pick(&["0", "1", "1", "1", "1", "2", "-1", "x", ""]);
        s.arg(key(w)).arg(offset(w)).arg(value)
    }),
    row!(19, Any, "GETBIT", |w, s| {
        let far = w.pick(&["4294967295", "4294967296", "2147483647", "9223372036854775807"]);
        let s = s.arg(key(w));
        if w.chance(1, 10) { s.arg(far) } else { s.arg(offset(w)) }
    }),
    row!(27, Any, "BITCOUNT", |w, s| {
        let s = s.arg(key(w)).norm(Norm::MistakeFirst);
        if w.chance(1, 4) {
            s
        } else {
            let s = s.arg(w.edge());
            range(w, s)
        }
    }),
    row!(27, Any, "BITPOS", |w, s| {
        let bit = w.pick(&["0", "0", "0", "1", "1", "1", "2", "-1", "x"]);
        let s = s.arg(key(w)).arg(bit).norm(Norm::MistakeFirst);
        match w.below(4) {
            0 => s,
            1 => s.arg(w.edge()),
            _ => {
                let s = s.arg(w.edge());
                range(w, s)
            }
        }
    }),
    Row { weight: 32, names: &["BITOP"], damage: Damage::Any, make: bitop },
    Row { weight: 40, names: &["BITFIELD"], damage: Damage::Any, make: bitfield },
    Row { weight: 16, names: &["BITFIELD_RO"], damage: Damage::Any, make: bitfield_ro },
    // Strings of some length, with runs of equal bytes, where whole words are looked at at once.
    row!(6, None, "SET", |w, s| {
        let (long, byte) = (w.below(400) as usize, w.pick(&[0x00, 0xff, 0x55]));
        let mut text = vec![byte; long];
        for _ in 0..w.below(4) {
            if long > 0 {
                text[w.below(long as u64) as usize] = w.below(256) as u8;
            }
        }
        s.arg(key(w)).arg(text)
    }),
];

fn key(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 15) { w.key() } else { w.pick(&["b0", "b1", "b2", "b3", "b4"]).into() }
}

fn offset(w: &mut Words) -> Vec<u8> {
    match w.below(12) {
        0..=5 => w.below(64).to_string().into_bytes(),
        6..=9 => w.below(3000).to_string().into_bytes(),
        10 => w.below(40_000).to_string().into_bytes(),
        _ => w.pick(&["-1", "x", "", "4294967296", "9223372036854775808", "1.5", "007"]).into(),
    }
}

impl Words {
    /// An end of a range of bytes or bits.
    fn edge(&mut self) -> Vec<u8> {
        match self.below(10) {
            0..=3 => (self.below(20) as i64 - 10).to_string().into_bytes(),
            4..=8 => (self.below(1000) as i64 - 500).to_string().into_bytes(),
            _ => self.integer(),
        }
    }
}

/// The second end of a range, and often its unit.
fn range(w: &mut Words, step: Step) -> Step {
    let step = if w.chance(1, 20) { step } else { step.arg(w.edge()) };
    match w.below(6) {
        0 | 1 => step,
        2 => step.arg(w.cased("BYTE")),
        3 | 4 => step.arg(w.cased("BIT")),
        _ => step.arg(w.pick(&["BITS", "", "x"])),
    }
}

fn bitop(w: &mut Words) -> Vec<Step> {
    let operation = match w.below(15) {
        0 => w.pick(&["NAND", "", "ANDNOT"]).into(),
        _ => w.pick(&["AND", "OR", "XOR", "NOT"]).as_bytes().to_vec(),
    };
    let count = if operation == b"NOT" && w.chance(9, 10) { 1 } else { w.pick(&[1, 2, 2, 3, 6]) };
    let operation = w.cased(&String::from_utf8(operation).expect("made of text"));
    let step = Step::new(w, "BITOP").arg(operation).arg(key(w));
    vec![step.args((0..count).map(|_| key(w)))]
}

/// The type of a field, `i1` to `i64` or `u1` to `u63`.
fn kind(w: &mut Words) -> Vec<u8> {
    match w.below(20) {
        0 => w.pick(&["u64", "i65", "u0", "i0", "x8", "u", "", "i-1", "u8x", "I8"]).into(),
        1..=8 => w.pick(&["u8", "i8", "u16", "i16", "u32", "i32", "i64", "u63"]).into(),
        9..=13 => format!("u{}", 1 + w.below(63)).into_bytes(),
        _ => format!("i{}", 1 + w.below(64)).into_bytes(),
    }
}

fn place(w: &mut Words) -> Vec<u8> {
    match w.below(12) {
        0 => {
            w.pick(&["#-1", "-1", "#", "x", "#x", "", "4294967296", "#9223372036854775807"]).into()
        }
        1..=4 => format!("#{}", w.below(30)).into_bytes(),
        _ => w.below(600).to_string().into_bytes(),
    }
}

/// No number so small that Redis 7.0 takes it for one that is too large.
fn number(w: &mut Words) -> Vec<u8> {
    let number = match w.below(4) {
        0 => (w.below(512) as i64 - 256).to_string().into_bytes(),
        1 => (w.random.draw() as i64).to_string().into_bytes(),
        2 => ((w.random.draw() >> 32) as i64 - (1 << 31)).to_string().into_bytes(),
        _ => w.integer(),
    };
    let value = str::from_utf8(&number).ok().and_then(|text| text.parse::<i64>().ok());
    if value.is_some_and(|value| value < -(1 << 62)) {
        b"-4611686018427387904".to_vec()
    } else {
        number
    }
}

fn bitfield(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "BITFIELD").arg(key(w));
    for _ in 0..w.pick(&[0, 1, 1, 2, 2, 3, 5]) {
        step = match w.below(8) {
            0 | 1 => step.arg(w.cased("GET")).arg(kind(w)).arg(place(w)),
            2 | 3 => step.arg(w.cased("SET")).arg(kind(w)).arg(place(w)).arg(number(w)),
            4 | 5 => step.arg(w.cased("INCRBY")).arg(kind(w)).arg(place(w)).arg(number(w)),
            6 => {
                let how = w.pick(&["WRAP", "SAT", "SAT", "WRAP", "NONE"]);
                step.arg(w.cased("OVERFLOW")).arg(w.cased(how))
            }
            _ => {
                // Redis tells nobody that a string has become longer if nothing is written to it.
                let step = step.args(["SET", "u8", "700", "0"]);
                let how = w.pick(&["SAT", "FAIL"]);
                let step = step.args(["OVERFLOW", how, "INCRBY"]).arg(kind(w)).arg(place(w));
                step.arg(number(w))
            }
        };
    }
    vec![step]
}

fn bitfield_ro(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "BITFIELD_RO").arg(key(w));
    for _ in 0..w.pick(&[0, 1, 1, 2, 4]) {
        step = match w.below(12) {
            0 => step.arg("SET").arg(kind(w)).arg(place(w)).arg("1"),
            1 => step.args(["OVERFLOW", "SAT"]),
            _ => step.arg(w.cased("GET")).arg(kind(w)).arg(place(w)),
        };
    }
    vec![step]
}
