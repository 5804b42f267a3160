//! Generators for the commands on sorted sets.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 40, names: &["ZADD"], damage: Damage::Any, make: zadd },
    row!(4, Any, "ZCARD", |w, s| s.arg(key(w))),
    row!(6, Any, "ZCOUNT", |w, s| s.arg(key(w)).args(score_ends(w))),
    Row { weight: 5, names: &["ZDIFF"], damage: Damage::Any, make: |w| combine(w, "ZDIFF") },
    Row {
        weight: 5,
        names: &["ZDIFFSTORE"],
        damage: Damage::Any,
        make: |w| combine(w, "ZDIFFSTORE"),
    },
    row!(10, Any, "ZINCRBY", |w, s| s.arg(key(w)).arg(score(w)).arg(member(w)).norm(Norm::Doubles)),
    Row { weight: 6, names: &["ZINTER"], damage: Damage::Any, make: |w| combine(w, "ZINTER") },
    Row {
        weight: 5,
        names: &["ZINTERCARD"],
        damage: Damage::Any,
        make: |w| combine(w, "ZINTERCARD"),
    },
    Row {
        weight: 6,
        names: &["ZINTERSTORE"],
        damage: Damage::Any,
        make: |w| combine(w, "ZINTERSTORE"),
    },
    row!(5, None, "ZLEXCOUNT", |w, s| s.arg(lex_key(w)).args(lex_ends(w))),
    Row { weight: 8, names: &["ZADD"], damage: Damage::None, make: zadd_lex },
    Row { weight: 5, names: &["ZMPOP"], damage: Damage::Any, make: zmpop },
    row!(5, Any, "ZMSCORE", |w, s| {
        let s = s.arg(key(w));
        members(w, s).norm(Norm::Doubles)
    }),
    Row { weight: 4, names: &["ZPOPMAX"], damage: Damage::Any, make: |w| zpop(w, "ZPOPMAX") },
    Row { weight: 4, names: &["ZPOPMIN"], damage: Damage::Any, make: |w| zpop(w, "ZPOPMIN") },
    Row { weight: 6, names: &["ZRANDMEMBER"], damage: Damage::None, make: zrandmember },
    Row { weight: 8, names: &["ZRANGE"], damage: Damage::None, make: zrange_lex },
    Row { weight: 4, names: &["ZRANGESTORE"], damage: Damage::None, make: zrangestore_lex },
    Row { weight: 20, names: &["ZRANGE"], damage: Damage::Any, make: zrange },
    Row { weight: 8, names: &["ZRANGESTORE"], damage: Damage::Any, make: zrangestore },
    row!(5, None, "ZRANGEBYLEX", |w, s| {
        let s = s.arg(lex_key(w)).args(lex_ends(w));
        limit(w, s).norm(Norm::Doubles)
    }),
    row!(5, None, "ZREVRANGEBYLEX", |w, s| {
        let s = s.arg(lex_key(w)).args(lex_ends(w));
        limit(w, s).norm(Norm::Doubles)
    }),
    row!(6, Any, "ZRANGEBYSCORE", |w, s| {
        let s = s.arg(key(w)).args(score_ends(w));
        let s = with_scores(w, s);
        limit(w, s).norm(Norm::Doubles)
    }),
    row!(6, Any, "ZREVRANGEBYSCORE", |w, s| {
        let s = s.arg(key(w)).args(score_ends(w));
        let s = limit(w, s);
        with_scores(w, s).norm(Norm::Doubles)
    }),
    row!(5, Any, "ZREVRANGE", |w, s| {
        let s = s.arg(key(w)).arg(w.index()).arg(w.index());
        with_scores(w, s).norm(Norm::Doubles)
    }),
    Row { weight: 5, names: &["ZRANK"], damage: Damage::None, make: |w| zrank(w, "ZRANK") },
    Row { weight: 5, names: &["ZREVRANK"], damage: Damage::None, make: |w| zrank(w, "ZREVRANK") },
    row!(10, Any, "ZREM", |w, s| {
        let s = s.arg(key(w));
        members(w, s)
    }),
    row!(2, None, "ZREMRANGEBYLEX", |w, s| s.arg(lex_key(w)).args(lex_ends(w))),
    row!(2, Any, "ZREMRANGEBYRANK", |w, s| s.arg(key(w)).arg(w.index()).arg(w.index())),
    row!(2, Any, "ZREMRANGEBYSCORE", |w, s| s.arg(key(w)).args(score_ends(w))),
    Row { weight: 5, names: &["ZSCAN"], damage: Damage::None, make: zscan },
    row!(6, Any, "ZSCORE", |w, s| s.arg(key(w)).arg(member(w)).norm(Norm::Doubles)),
    Row { weight: 6, names: &["ZUNION"], damage: Damage::Any, make: |w| combine(w, "ZUNION") },
    Row {
        weight: 8,
        names: &["ZUNIONSTORE"],
        damage: Damage::Any,
        make: |w| combine(w, "ZUNIONSTORE"),
    },
    Row { weight: 2, names: &["BZPOPMIN"], damage: Damage::None, make: |w| bzpop(w, "BZPOPMIN") },
    Row { weight: 2, names: &["BZPOPMAX"], damage: Damage::None, make: |w| bzpop(w, "BZPOPMAX") },
    Row { weight: 3, names: &["BZMPOP"], damage: Damage::None, make: bzmpop },
    Row { weight: 3, names: &["OBJECT ENCODING"], damage: Damage::None, make: encoding },
];

/// Keys that mostly hold sorted sets.
const KEYS: &[&[u8]] = &[b"z0", b"z1", b"z2", b"z3", b"z4", b"z5"];

/// Keys of sorted sets in which all scores are the same: elsewhere BYLEX gives what the levels of Redis's list happen to
/// be. No other command changes them.
const LEX_KEYS: &[&[u8]] = &[b"same0", b"same1", b"same2"];

fn lex_key(w: &mut Words) -> Vec<u8> {
    w.pick(LEX_KEYS).to_vec()
}

const MEMBERS: &[&[u8]] = &[
    b"",
    b"a",
    b"aa",
    b"ab",
    b"b",
    b"B",
    b"c",
    b"foo",
    b"\x00",
    b"\xff\r\n",
    b"10",
    b"-1",
    b"007",
    b"3.5",
    b"9223372036854775807",
    b"9223372036854775808",
    b"a member longer than what a listpack takes by default, which is 64 bytes",
    b"twenty-one bytes long",
];

const SCORES: &[&str] = &[
    "0",
    "1",
    "1",
    "2",
    "2",
    "3",
    "-1",
    "10",
    "1.5",
    "2.25",
    "-0.5",
    "0.1",
    "0.2",
    "0.3",
    "1e3",
    "-0",
    "100",
    "inf",
    "-inf",
    "+inf",
    "1e20",
    "1e-7",
    "1.7976931348623157e308",
    "5e-324",
    "9007199254740993",
    "123456789012345678",
    "3.0",
    "0x10",
    "17",
    "1234567.125",
];

const BAD_SCORES: &[&str] = &[
    "nan", "NaN", "-nan", "", " 1", "1 ", "abc", "1.5x", "1,5", "--1", "1e", "1e400", "1e-400",
    "(1",
];

fn key(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 12) { w.key() } else { w.pick(KEYS).to_vec() }
}

fn member(w: &mut Words) -> Vec<u8> {
    match w.below(8) {
        0..=3 => w.pick(MEMBERS).to_vec(),
        4..=6 => format!("m{}", w.below(30)).into_bytes(),
        _ => w.below(40).to_string().into_bytes(),
    }
}

fn members(w: &mut Words, mut step: Step) -> Step {
    for _ in 0..1 + w.below(4) {
        step = step.arg(member(w));
    }
    step
}

fn score(w: &mut Words) -> Vec<u8> {
    match w.below(20) {
        0..=9 => w.pick(SCORES).into(),
        10 => w.pick(BAD_SCORES).into(),
        _ => w.below(12).to_string().into_bytes(),
    }
}

fn score_end(w: &mut Words) -> Vec<u8> {
    let mut end = match w.below(10) {
        0 => w.pick(&[" 1", "", "1e400", "nan", "(", "((1", "1\0x", "\t2", "0x5"]).into(),
        1..=2 => w.pick(&["-inf", "+inf", "inf"]).into(),
        _ => score(w),
    };
    if w.chance(1, 4) {
        end.insert(0, b'(');
    }
    end
}

/// Two ends, mostly in order.
fn score_ends(w: &mut Words) -> Vec<Vec<u8>> {
    match w.below(4) {
        0 => vec![w.cased("-inf"), w.cased("+inf")],
        _ => vec![score_end(w), score_end(w)],
    }
}

fn lex_end(w: &mut Words) -> Vec<u8> {
    match w.below(8) {
        0 => b"-".to_vec(),
        1 => b"+".to_vec(),
        2 => w.pick(&["", "a", "++", "-x", "[", "("]).into(),
        kind => {
            let mut end = member(w);
            end.insert(0, if kind < 6 { b'[' } else { b'(' });
            end
        }
    }
}

fn lex_ends(w: &mut Words) -> Vec<Vec<u8>> {
    match w.below(4) {
        0 => vec![b"-".to_vec(), b"+".to_vec()],
        _ => vec![lex_end(w), lex_end(w)],
    }
}

fn limit(w: &mut Words, step: Step) -> Step {
    if !w.chance(1, 3) {
        return step;
    }
    let offset = w.pick(&["0", "0", "1", "2", "5", "-1", "100", "9223372036854775807"]);
    let count = w.pick(&["0", "1", "2", "3", "10", "-1", "-2", "9223372036854775807", "x"]);
    step.arg(w.cased("LIMIT")).arg(offset).arg(count)
}

fn with_scores(w: &mut Words, step: Step) -> Step {
    if w.chance(1, 2) { step.arg(w.cased("WITHSCORES")) } else { step }
}

fn zadd(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "ZADD").arg(key(w));
    if w.chance(1, 3) {
        for _ in 0..1 + w.below(3) {
            let option = w.pick(&["NX", "XX", "GT", "LT", "CH", "INCR", "CH"]);
            step = step.arg(w.cased(option));
        }
    }
    let pairs = match w.below(12) {
        0 => 150,
        1..=2 => 20,
        _ => 1 + w.below(4),
    };
    // Now and then all scores are the same, which is what BYLEX is for.
    let same = w.chance(1, 4).then(|| b"0".to_vec());
    for i in 0..pairs {
        let score = match &same {
            Some(same) => same.clone(),
            None if pairs > 4 => w.below(8).to_string().into_bytes(),
            None => score(w),
        };
        let name = if pairs > 4 { format!("m{}", i + w.below(3)).into_bytes() } else { member(w) };
        step = step.arg(score).arg(name);
    }
    vec![step.norm(Norm::Doubles)]
}

fn keys(w: &mut Words, mut step: Step) -> Step {
    let count = 1 + w.below(4);
    let said = if w.chance(1, 15) { w.integer() } else { count.to_string().into_bytes() };
    step = step.arg(said);
    for _ in 0..count {
        step = step.arg(key(w));
    }
    step
}

/// ZUNION and its kin. Options come to the commands that take them, and to those that don't.
fn combine(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut step = Step::new(w, name);
    if name.ends_with("STORE") {
        step = step.arg(key(w));
    }
    step = keys(w, step);
    for _ in 0..w.pick(&[0, 0, 1, 1, 2]) {
        step = match (w.below(3), name) {
            (0, "ZINTERCARD") | (1, "ZINTERCARD") => {
                step.arg(w.cased("LIMIT")).arg(w.pick(&["0", "1", "2", "100", "-1", "x"]))
            }
            (0, _) => {
                let count = step.args.len() as u64 - 2;
                let mut step = step.arg(w.cased("WEIGHTS"));
                for _ in 0..count.min(4) {
                    step =
                        step.arg(w.pick(&["1", "2", "0", "-1", "0.5", "inf", "-inf", "x", "1.1"]));
                }
                step
            }
            (1, _) => step.arg(w.cased("AGGREGATE")).arg(w.pick(&["SUM", "min", "Max", "avg"])),
            _ => step.arg(w.cased("WITHSCORES")),
        };
    }
    vec![step.norm(Norm::Doubles)]
}

fn zmpop(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "ZMPOP");
    let step = keys(w, step).arg(w.pick(&["MIN", "max", "Max", "min", "mid"]));
    vec![count(w, step).norm(Norm::Doubles)]
}

fn count(w: &mut Words, step: Step) -> Step {
    match w.below(3) {
        0 => step,
        _ => step.arg(w.cased("COUNT")).arg(w.pick(&["1", "2", "3", "100", "0", "-1", "x"])),
    }
}

fn zpop(w: &mut Words, name: &'static str) -> Vec<Step> {
    let step = Step::new(w, name).arg(key(w));
    let step = match w.below(3) {
        0 => step,
        _ => step.arg(w.pick(&["1", "2", "3", "0", "-1", "x", "10", "9223372036854775807"])),
    };
    vec![step.norm(Norm::Doubles)]
}

/// So short that it makes no difference, or wrong.
fn timeout(w: &mut Words) -> Vec<u8> {
    w.pick(&["0.001", "0.0001", "1e-5", "-1", "x", "", "0.001x", "-0.5"]).into()
}

fn bzpop(w: &mut Words, name: &'static str) -> Vec<Step> {
    let mut step = Step::new(w, name);
    for _ in 0..1 + w.below(3) {
        step = step.arg(key(w));
    }
    vec![step.arg(timeout(w)).norm(Norm::Doubles)]
}

fn bzmpop(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "BZMPOP").arg(timeout(w));
    let step = keys(w, step).arg(w.pick(&["MIN", "max", "Max", "min", "mid"]));
    vec![count(w, step).norm(Norm::Doubles)]
}

fn zrandmember(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "ZRANDMEMBER").arg(key(w));
    vec![match w.below(8) {
        0 => step.norm(Norm::SameShape),
        1 => step.arg("1000").norm(Norm::UnorderedDoubles),
        2 => step.arg("1000").arg(w.cased("WITHSCORES")).norm(Norm::UnorderedDoubles),
        3 => step.arg(w.pick(&["-1", "-5", "1", "3", "0", "-60"])).norm(Norm::SameLength),
        4 => step
            .arg(w.pick(&["-1", "-5", "1", "3", "0", "-60"]))
            .arg(w.cased("WITHSCORES"))
            .norm(Norm::SameLength),
        5 => step.arg(w.pick(&["x", "", "-9223372036854775808", "9223372036854775808", "1.0"])),
        6 => step
            .arg(w.pick(&["4611686018427387904", "-4611686018427387904", "x"]))
            .arg(w.pick(&["WITHSCORES", "withscores", "WITHSCORE", ""])),
        _ => step.arg("1").arg("WITHSCORES").arg("x"),
    }]
}

/// The part of ZRANGE and ZRANGESTORE behind the keys.
fn range(w: &mut Words, mut step: Step) -> Step {
    let by_score = w.chance(1, 2);
    step = if by_score {
        step.args(score_ends(w)).arg(w.cased("BYSCORE"))
    } else {
        step.arg(w.index()).arg(w.index())
    };
    if w.chance(1, 3) {
        step = step.arg(w.cased("REV"));
    }
    if by_score || w.chance(1, 10) {
        step = limit(w, step);
    }
    step
}

fn lex_range(w: &mut Words, step: Step) -> Step {
    let mut step = step.args(lex_ends(w)).arg(w.cased("BYLEX"));
    if w.chance(1, 3) {
        step = step.arg(w.cased("REV"));
    }
    if w.chance(1, 12) {
        step = step.arg(w.pick(&["WITHSCORES", "BYSCORE", "x"]));
    }
    limit(w, step)
}

fn zrange_lex(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "ZRANGE").arg(lex_key(w));
    vec![lex_range(w, step)]
}

fn zrangestore_lex(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "ZRANGESTORE").arg(key(w)).arg(lex_key(w));
    vec![lex_range(w, step)]
}

/// Members that all have the same score.
fn zadd_lex(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "ZADD").arg(lex_key(w));
    let many = w.chance(1, 20);
    for i in 0..if many { 150 } else { 1 + w.below(4) } {
        step = step.arg("0");
        step = if many { step.arg(format!("m{i}")) } else { step.arg(member(w)) };
    }
    vec![step]
}

fn zrange(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "ZRANGE").arg(key(w));
    let step = range(w, step);
    vec![with_scores(w, step).norm(Norm::Doubles)]
}

fn zrangestore(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "ZRANGESTORE").arg(key(w)).arg(key(w));
    vec![range(w, step)]
}

/// Not with one argument too many: that is newer than Redis 7.0.
fn zrank(w: &mut Words, name: &'static str) -> Vec<Step> {
    let step = Step::new(w, name);
    vec![match w.below(12) {
        0 => step.arg(key(w)),
        _ => step.arg(key(w)).arg(member(w)),
    }]
}

fn zscan(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "ZSCAN").arg(key(w));
    if w.in_multi || w.chance(1, 4) {
        let bad: &[&[&str]] = &[
            &["x"],
            &["0", "MATCH"],
            &["0", "COUNT", "0"],
            &["0", "COUNT", "-1"],
            &["0", "COUNT", "x"],
            &["0", "TYPE", "zset"],
            &["0", "FOO"],
            &[],
        ];
        return vec![step.args(w.pick(bad))];
    }
    let mut step = step.arg("0");
    for _ in 0..w.below(3) {
        step = if w.chance(1, 2) {
            step.arg(w.cased("MATCH")).arg(w.pick(&["*", "m*", "m1?", "[a-f]*", "1*", "x"]))
        } else {
            step.arg(w.cased("COUNT")).arg(w.pick(&["1", "2", "10", "1000"]))
        };
    }
    vec![step.norm(Norm::Scan).last()]
}

fn encoding(w: &mut Words) -> Vec<Step> {
    let limit = match w.below(6) {
        0 => Some(("zset-max-listpack-entries", w.pick(&["0", "4", "16", "128"]))),
        1 => Some(("zset-max-listpack-value", w.pick(&["0", "5", "20", "64", "100"]))),
        _ => None,
    };
    let mut steps = vec![Step::new(w, "OBJECT ENCODING").arg(key(w)).norm(Norm::Encoding)];
    if let Some((name, value)) = limit {
        steps.insert(0, Step::new(w, "CONFIG SET").arg(name).arg(value));
    }
    steps
}
