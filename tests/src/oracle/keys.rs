//! Generators for the commands on keys, whatever their values.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::strings::noticed;
use super::words::Words;

/// Two servers answer the same request at slightly different moments.
pub const SECONDS: Norm = Norm::Within(30);
pub const MILLIS: Norm = Norm::Within(30_000);

pub const ROWS: &[Row] = &[
    Row { weight: 8, names: &["COPY"], damage: Damage::Any, make: copy },
    Row { weight: 8, names: &["DEL"], damage: Damage::Any, make: |w| some_keys(w, "DEL") },
    Row { weight: 5, names: &["EXISTS"], damage: Damage::Any, make: |w| some_keys(w, "EXISTS") },
    Row { weight: 4, names: &["TOUCH"], damage: Damage::Any, make: |w| some_keys(w, "TOUCH") },
    Row { weight: 4, names: &["UNLINK"], damage: Damage::Any, make: |w| some_keys(w, "UNLINK") },
    Row {
        weight: 8,
        names: &["EXPIRE"],
        damage: Damage::KeepTimes,
        make: |w| expire(w, "EXPIRE", Some(1)),
    },
    Row {
        weight: 6,
        names: &["PEXPIRE"],
        damage: Damage::KeepTimes,
        make: |w| expire(w, "PEXPIRE", Some(1000)),
    },
    Row {
        weight: 6,
        names: &["EXPIREAT"],
        damage: Damage::KeepTimes,
        make: |w| expire(w, "EXPIREAT", None),
    },
    Row {
        weight: 6,
        names: &["PEXPIREAT"],
        damage: Damage::KeepTimes,
        make: |w| expire(w, "PEXPIREAT", None),
    },
    row!(5, Any, "EXPIRETIME", |w, s| s.arg(w.key()).norm(SECONDS)),
    row!(5, Any, "PEXPIRETIME", |w, s| s.arg(w.key()).norm(MILLIS)),
    row!(8, Any, "TTL", |w, s| s.arg(w.key()).norm(SECONDS)),
    row!(8, Any, "PTTL", |w, s| s.arg(w.key()).norm(MILLIS)),
    row!(5, Any, "PERSIST", |w, s| s.arg(w.key())),
    row!(5, Any, "KEYS", |w, s| s.arg(w.pattern()).norm(Norm::Unordered)),
    row!(6, Any, "MOVE", |w, s| s.arg(w.key()).arg(w.database())),
    row!(8, Any, "OBJECT ENCODING", |w, s| s.arg(w.key()).norm(Norm::Encoding)),
    // Which small integers are shared objects in Redis depends on how they came about.
    row!(3, Any, "OBJECT REFCOUNT", |w, s| s.arg(w.key()).norm(Norm::SameShape)),
    // An error, unless the policy is LFU; then a counter that grows by chance.
    row!(2, Any, "OBJECT FREQ", |w, s| s.arg(w.key()).norm(Norm::Within(255))),
    // Small integers are one object in Redis, which may not have been used since the start.
    row!(2, Any, "OBJECT IDLETIME", |w, s| s.arg(w.key()).norm(Norm::Within(3600))),
    row!(1, None, "OBJECT HELP", |w, s| s.norm(Norm::SameShape)),
    row!(1, Any, "OBJECT", |w, s| s.arg(w.nonsense()).arg(w.key()).norm(Norm::SameShape)),
    Row { weight: 3, names: &["RANDOMKEY"], damage: Damage::None, make: randomkey },
    row!(6, Any, "RENAME", |w, s| s.arg(w.key()).arg(w.key())),
    row!(5, Any, "RENAMENX", |w, s| s.arg(w.key()).arg(w.key())),
    Row { weight: 5, names: &["SCAN"], damage: Damage::None, make: scan },
    row!(5, Any, "TYPE", |w, s| s.arg(w.key())),
];

fn copy(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "COPY").arg(w.key()).arg(w.key());
    for _ in 0..w.below(3) {
        step = if w.chance(1, 2) {
            step.arg(w.cased("DB")).arg(w.database())
        } else {
            step.arg(w.cased("REPLACE"))
        };
    }
    vec![step]
}

fn some_keys(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut step = Step::new(w, name);
    for _ in 0..w.pick(&[1, 1, 1, 2, 3]) {
        step = step.arg(w.key());
    }
    vec![step]
}

/// `unit` is what a relative time is multiplied with; the absolute commands have none.
fn expire(w: &mut Words, name: &'static str, unit: Option<u64>) -> Vec<Step> {
    let time = match unit {
        _ if w.chance(1, 5) => w.odd_time(),
        Some(unit) => (w.far_seconds() * unit).to_string().into_bytes(),
        None if name == "EXPIREAT" => w.unix_seconds(),
        None => w.unix_millis(),
    };
    let mut step = Step::new(w, name).arg(w.key()).arg(time);
    for _ in 0..w.pick(&[0, 0, 1, 1, 2]) {
        let option = w.pick(&["NX", "XX", "GT", "LT", "GT", "LT"]);
        step = step.arg(w.cased(option));
    }
    noticed(w, step)
}

/// Which key comes is the server's choice; that it exists is checked right behind it, outside transactions.
fn randomkey(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "RANDOMKEY").norm(Norm::AnyKey).last();
    vec![if w.chance(1, 10) { step.arg(w.nonsense()) } else { step }]
}

/// A scan that the runner follows to its end on both servers, or one that must fail. Inside a transaction only the
/// latter: its cursor is the server's own.
fn scan(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "SCAN");
    if w.in_multi || w.chance(1, 3) {
        let bad: &[&[&str]] = &[
            &["abc"],
            &["-1x"],
            &["0", "COUNT", "0"],
            &["0", "COUNT", "-1"],
            &["0", "COUNT", "abc"],
            &["0", "MATCH"],
            &["0", "FOO", "1"],
            &["0", "COUNT"],
            &["0", "TYPE"],
            &["18446744073709551616"],
            &[],
            &["0", "COUNT", "9223372036854775808"],
            &["0", "NOVALUES"],
            &["1.5"],
            &["0", "count", "1", "x"],
        ];
        return vec![step.args(w.pick(bad))];
    }
    let mut step = step.arg("0");
    for _ in 0..w.below(3) {
        step = match w.below(3) {
            0 => step.arg(w.cased("MATCH")).arg(w.pattern()),
            1 => step.arg(w.cased("COUNT")).arg(w.pick(&[
                "1",
                "2",
                "10",
                "1000",
                "9223372036854775807",
            ])),
            _ => {
                let name = w.pick(&["string", "STRING", "list", "stream", "hash", "zset"]);
                step.arg(w.cased("TYPE")).arg(name)
            }
        };
    }
    vec![step.norm(Norm::Scan).last()]
}
