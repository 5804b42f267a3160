//! Generators for the commands on streams.
//!
//! Ids rise over the whole run, so that most entries can be added whichever stream they go to. An id of the server's
//! own choice would differ between two servers: `*` only comes where the stream's last id is far in the future.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 70, names: &["XADD"], damage: Damage::None, make: xadd },
    Row { weight: 8, names: &["XADD"], damage: Damage::None, make: xadd_auto },
    row!(4, Any, "XADD", |w, s| s.arg(key(w)).arg(new_id(w)).arg("field").arg(w.value())),
    row!(10, Any, "XDEL", |w, s| {
        let s = s.arg(key(w));
        some_ids(w, s)
    }),
    row!(5, Any, "XLEN", |w, s| s.arg(key(w))),
    row!(8, Any, "XTRIM", |w, s| {
        let s = s.arg(key(w));
        trim(w, s)
    }),
    Row { weight: 12, names: &["XRANGE"], damage: Damage::Any, make: |w| range(w, "XRANGE") },
    Row { weight: 10, names: &["XREVRANGE"], damage: Damage::Any, make: |w| range(w, "XREVRANGE") },
    Row { weight: 12, names: &["XREAD"], damage: Damage::None, make: xread },
    Row { weight: 5, names: &["XSETID"], damage: Damage::Any, make: xsetid },
    Row { weight: 16, names: &["XGROUP CREATE"], damage: Damage::None, make: create },
    Row { weight: 4, names: &["XGROUP SETID"], damage: Damage::Any, make: set_id },
    row!(2, Any, "XGROUP DESTROY", |w, s| s.arg(key(w)).arg(group(w))),
    row!(4, Any, "XGROUP CREATECONSUMER", |w, s| s.arg(key(w)).arg(group(w)).arg(consumer(w))),
    row!(3, Any, "XGROUP DELCONSUMER", |w, s| s.arg(key(w)).arg(group(w)).arg(consumer(w))),
    row!(1, None, "XGROUP HELP", |w, s| s.norm(Norm::SameShape)),
    Row { weight: 30, names: &["XREADGROUP"], damage: Damage::None, make: xreadgroup },
    Row { weight: 3, names: &["XREADGROUP"], damage: Damage::None, make: wrong_xreadgroup },
    row!(12, Any, "XACK", |w, s| {
        let s = s.arg(key(w)).arg(group(w));
        some_ids(w, s)
    }),
    Row { weight: 16, names: &["XCLAIM"], damage: Damage::None, make: xclaim },
    Row { weight: 12, names: &["XAUTOCLAIM"], damage: Damage::None, make: xautoclaim },
    Row { weight: 12, names: &["XPENDING"], damage: Damage::Any, make: xpending },
    row!(6, Any, "XINFO STREAM", |w, s| {
        let s = s.arg(key(w));
        let s = match w.below(4) {
            0 => s,
            1 => s.arg(w.cased("FULL")),
            _ => s.arg("FULL").arg(w.cased("COUNT")).arg(w.pick(&["0", "1", "3", "-1", "x"])),
        };
        s.norm(Norm::StreamInfo)
    }),
    row!(4, Any, "XINFO GROUPS", |w, s| s.arg(key(w)).norm(Norm::StreamInfo)),
    row!(4, Any, "XINFO CONSUMERS", |w, s| { s.arg(key(w)).arg(group(w)).norm(Norm::StreamInfo) }),
    row!(1, None, "XINFO HELP", |w, s| s.norm(Norm::SameShape)),
];

/// Keys that mostly hold streams.
const KEYS: &[&[u8]] = &[b"x0", b"x1", b"x2"];

fn key(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 20) { w.key() } else { w.pick(KEYS).to_vec() }
}

fn group(w: &mut Words) -> &'static str {
    w.pick(&["g0", "g0", "g0", "g1", "g1", "STREAMS", ""])
}

fn consumer(w: &mut Words) -> &'static str {
    w.pick(&["c0", "c1", "alice", "STREAMS", ""])
}

const ODD_IDS: &[&str] = &[
    "0-0",
    "0-1",
    "0",
    "-",
    "+",
    "",
    "1-",
    "-1",
    "1-2-3",
    "x",
    "1-x",
    "(1",
    "18446744073709551616",
    "18446744073709551615-18446744073709551616",
    " 7-7",
    "007-+7",
    "7-7\0x",
    "$",
    ">",
];

/// The id of an entry that was probably added not long ago.
fn known_id(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 25) {
        return w.pick(ODD_IDS).into();
    }
    let back = w.below(60);
    let ms = w.last_rising().saturating_sub(back);
    match w.below(6) {
        0 => ms.to_string().into_bytes(),
        1 => format!("{ms}-1").into_bytes(),
        _ => format!("{ms}-0").into_bytes(),
    }
}

/// An id that can mostly be added to any stream.
fn new_id(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 30) {
        return w.pick(ODD_IDS).into();
    }
    let ms = w.rising();
    match w.below(8) {
        0 => format!("{ms}-*").into_bytes(),
        1 => format!("{ms}-1").into_bytes(),
        2 => format!("{ms}-{}", w.below(100_000)).into_bytes(),
        _ => format!("{ms}-0").into_bytes(),
    }
}

fn some_ids(w: &mut Words, mut step: Step) -> Step {
    for _ in 0..1 + w.below(3) {
        step = step.arg(known_id(w));
    }
    step
}

fn fields(w: &mut Words, mut step: Step) -> Step {
    let names: &[&str] = match w.below(10) {
        0 => &["other"],
        1 => &["field", "number", "3"],
        2 => &["number", "field"],
        _ => &["field", "number"],
    };
    for name in names {
        step = step.arg(name).arg(match w.below(12) {
            0 => vec![b'v'; w.below(2000) as usize],
            1 => w.value(),
            2..=6 => w.below(100_000).to_string().into_bytes(),
            _ => format!("value{}", w.below(50)).into_bytes(),
        });
    }
    step
}

fn xadd(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "XADD").arg(key(w));
    if w.chance(1, 12) {
        step = step.arg(w.cased("NOMKSTREAM"));
    }
    if w.chance(1, 6) {
        step = trim(w, step);
    }
    let step = step.arg(new_id(w));
    let mut step = fields(w, step);
    if w.chance(1, 40) {
        step.args.pop();
    }
    vec![step]
}

/// `*` behind an entry of the far future.
fn xadd_auto(w: &mut Words) -> Vec<Step> {
    let key = w.pick(&["far0", "far1"]);
    let first = Step::new(w, "XADD").arg(key).arg("5000000000000-*");
    let first = fields(w, first);
    let second = Step::new(w, "XADD").arg(key).arg("*");
    let second = fields(w, second);
    let trim = Step::new(w, "XTRIM").arg(key).arg("MAXLEN").arg("50");
    vec![first, second, trim]
}

fn trim(w: &mut Words, mut step: Step) -> Step {
    let by_len = w.chance(1, 2);
    step = step.arg(w.cased(if by_len { "MAXLEN" } else { "MINID" }));
    if w.chance(2, 3) {
        step = step.arg(w.pick(&["=", "~", "~"]));
    }
    step = match by_len {
        true if w.chance(1, 12) => step.arg(w.pick(&["-1", "x", "", "9223372036854775808"])),
        true => step.arg(w.pick(&["0", "1", "10", "50", "100", "150", "300"])),
        false => step.arg(known_id(w)),
    };
    if w.chance(1, 5) {
        step = step.arg(w.cased("LIMIT")).arg(w.pick(&["0", "1", "10", "100", "150", "-1", "x"]));
    }
    step
}

/// The end of an interval.
fn bound(w: &mut Words, word: &str) -> Vec<u8> {
    match w.below(6) {
        0 | 1 => word.into(),
        2 => [b"(".to_vec(), known_id(w)].concat(),
        _ => known_id(w),
    }
}

fn range(w: &mut Words, name: &'static str) -> Vec<Step> {
    let (first, second) = if name == "XRANGE" { ("-", "+") } else { ("+", "-") };
    let mut step = Step::new(w, name).arg(key(w)).arg(bound(w, first)).arg(bound(w, second));
    if w.chance(1, 2) {
        step = step.arg(w.cased("COUNT")).arg(w.pick(&["0", "1", "2", "10", "1000", "-1", "x"]));
    }
    vec![step]
}

fn count_and_block(w: &mut Words, mut step: Step) -> Step {
    if w.chance(1, 2) {
        step = step.arg(w.cased("COUNT")).arg(w.pick(&["0", "1", "2", "10", "-1", "x"]));
    }
    if w.chance(1, 10) {
        let wrong = w.chance(1, 4);
        step = step.arg(w.cased("BLOCK")).arg(match wrong {
            true => w.pick(&["-1", "x", "1.5"]),
            false if w.in_multi => w.pick(&["0", "1"]),
            false => "1",
        });
    }
    step
}

fn xread(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "XREAD");
    let mut step = count_and_block(w, step);
    if w.chance(1, 25) {
        step = step.arg(w.pick(&["NOACK", "GROUP", "foo"]));
    }
    let count = 1 + w.below(3);
    step = step.arg(w.cased("STREAMS"));
    for _ in 0..count {
        step = step.arg(key(w));
    }
    for _ in 0..count {
        step = if w.chance(1, 8) { step.arg("$") } else { step.arg(since(w)) };
    }
    // The text of this error is known to differ, but not where it is one of a transaction's replies.
    if !w.in_multi && w.chance(1, 25) {
        step = step.arg("0");
    }
    vec![step]
}

/// An id to read behind; `+` is newer than Redis 7.0.
fn since(w: &mut Words) -> Vec<u8> {
    match known_id(w) {
        plus if plus == b"+" => b"0".to_vec(),
        other => other,
    }
}

fn xsetid(w: &mut Words) -> Vec<Step> {
    // Greater than all ids so far: Redis 7.0 takes one that is smaller than that of a deleted entry. It must not run away
    // from what is added next, either.
    let before = w.last_rising();
    while w.rising() == before {}
    let id = w.last_rising().to_string();
    let mut step = Step::new(w, "XSETID").arg(key(w)).arg(id);
    for _ in 0..w.pick(&[0, 1, 2]) {
        step = if w.chance(1, 2) {
            step.arg(w.cased("ENTRIESADDED")).arg(w.pick(&["1000", "100000", "1", "-1", "x"]))
        } else {
            step.arg(w.cased("MAXDELETEDID")).arg(known_id(w))
        };
    }
    vec![step]
}

fn create(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "XGROUP CREATE").arg(key(w)).arg(group(w));
    step = match w.below(4) {
        0 => step.arg("$"),
        1 => step.arg(known_id(w)),
        _ => step.arg("0"),
    };
    if w.chance(2, 3) {
        step = step.arg(w.cased("MKSTREAM"));
    }
    if w.chance(1, 8) {
        step = step.arg(w.cased("ENTRIESREAD")).arg(w.pick(&["0", "5", "-1", "-2", "x"]));
    }
    vec![step]
}

fn set_id(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "XGROUP SETID").arg(key(w)).arg(group(w));
    step = if w.chance(1, 3) { step.arg("$") } else { step.arg(known_id(w)) };
    if w.chance(1, 4) {
        step = step.arg(w.cased("ENTRIESREAD")).arg(w.pick(&["0", "5", "-1", "-2", "x"]));
    }
    vec![step]
}

/// The consumer is made first: Redis 7.0 makes it only if there is something to read.
fn xreadgroup(w: &mut Words) -> Vec<Step> {
    let (group, consumer) = (group(w), consumer(w));
    let count = w.pick(&[1, 1, 1, 2]);
    let keys: Vec<Vec<u8>> = (0..count).map(|_| key(w)).collect();
    let mut steps = Vec::new();
    for key in &keys {
        let make = Step::new(w, "XGROUP CREATECONSUMER").arg(key).arg(group).arg(consumer);
        steps.push(make);
    }
    let step = Step::new(w, "XREADGROUP").arg(w.cased("GROUP")).arg(group).arg(consumer);
    let mut step = count_and_block(w, step);
    if w.chance(1, 6) {
        step = step.arg(w.cased("NOACK"));
    }
    step = step.arg(w.cased("STREAMS")).args(keys);
    for _ in 0..count {
        step = match w.below(3) {
            0 => step.arg(since(w)),
            _ => step.arg(">"),
        };
    }
    steps.push(step);
    steps
}

fn wrong_xreadgroup(w: &mut Words) -> Vec<Step> {
    let wrong: &[&[&str]] = &[
        &["GROUP", "g0", "c0", "STREAMS", "x0", "x1", ">"],
        &["GROUP", "g0", "c0", "COUNT", "5", "STREAMS", "x0"],
        &["COUNT", "1", "NOACK", "STREAMS", "x0", ">"],
        &["GROUP", "g0", "c0", "STREAMS", "x0", "$"],
        &["GROUP", "g0", "c0", "COUNT", "STREAMS", "x0"],
        &["GROUP", "g0", "c0", "FOO", "STREAMS", "x0", ">"],
        &["GROUP", "nosuch", "c0", "STREAMS", "x0", ">"],
        &["GROUP", "g0", "c0", "STREAMS", "nosuch", ">"],
        &["NOACK", "NOACK", "NOACK", "NOACK", "NOACK", "STREAMS"],
        &["GROUP", "g0"],
    ];
    let wrong = if w.in_multi { &wrong[2..] } else { wrong };
    vec![Step::new(w, "XREADGROUP").args(w.pick(wrong))]
}

/// Nothing is claimed for having been idle for seconds: that would depend on the moment.
fn min_idle(w: &mut Words) -> &'static str {
    w.pick(&["0", "0", "0", "0", "10000000", "-1", "x"])
}

fn xclaim(w: &mut Words) -> Vec<Step> {
    let (make, step) = claim(w, "XCLAIM");
    let mut step = some_ids(w, step);
    for _ in 0..w.below(4) {
        step = match w.below(7) {
            0 => step.arg(w.cased("IDLE")).arg(w.pick(&["0", "20000000", "-1", "x"])),
            1 => step.arg(w.cased("TIME")).arg(w.pick(&["1", "-1", "99999999999999", "x"])),
            2 => step.arg(w.cased("RETRYCOUNT")).arg(w.pick(&["0", "7", "-1", "x"])),
            3 | 4 => step.arg(w.cased("FORCE")),
            5 => step.arg(w.cased("JUSTID")),
            _ => step.arg(w.cased("LASTID")).arg(known_id(w)),
        };
    }
    if w.chance(1, 20) {
        step = step.arg("foo");
    }
    vec![make, step]
}

/// The beginning of a claim, and the step in front of it: Redis 7.0 makes the consumer only if it claims something.
fn claim(w: &mut Words, name: &'static str) -> (Step, Step) {
    let (key, group, consumer) = (key(w), group(w), consumer(w));
    let make = Step::new(w, "XGROUP CREATECONSUMER").arg(&key).arg(group).arg(consumer);
    let step = Step::new(w, name).arg(key).arg(group).arg(consumer).arg(min_idle(w));
    (make, step)
}

fn xautoclaim(w: &mut Words) -> Vec<Step> {
    let (make, step) = claim(w, "XAUTOCLAIM");
    let mut step = step.arg(bound(w, "-"));
    for _ in 0..w.below(3) {
        step = if w.chance(1, 3) {
            step.arg(w.cased("JUSTID"))
        } else {
            step.arg(w.cased("COUNT")).arg(w.pick(&["1", "2", "10", "100", "0", "-1", "x"]))
        };
    }
    vec![make, step]
}

fn xpending(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "XPENDING").arg(key(w)).arg(group(w));
    if w.chance(1, 3) {
        return vec![step];
    }
    if w.chance(1, 4) {
        step = step.arg(w.cased("IDLE")).arg(w.pick(&["0", "10000000", "-1", "x"]));
    }
    step = step.arg(bound(w, "-")).arg(bound(w, "+"));
    step = step.arg(w.pick(&["0", "1", "5", "100", "-1", "x"]));
    if w.chance(1, 3) {
        step = step.arg(consumer(w));
    }
    vec![step.norm(Norm::PendingTimes)]
}
