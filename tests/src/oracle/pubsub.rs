//! Generators for Pub/Sub and client-side caching.
//!
//! [`ROWS`] are for connections that speak: they publish, and ask who listens. [`LISTENING`] is all that connections
//! say that listen: whatever they are sent, replies and messages alike, is compared by [`super::listen`].

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

/// How many connections listen. The arguments of CLIENT TRACKING name them.
pub const LISTENERS: usize = 3;

pub const ROWS: &[Row] = &[
    row!(50, Any, "PUBLISH", |w, s| s.arg(channel(w)).arg(message(w))),
    row!(20, Any, "SPUBLISH", |w, s| s.arg(channel(w)).arg(message(w))),
    row!(4, None, "PUBSUB CHANNELS", |w, s| {
        let s = s.norm(Norm::Unordered);
        if w.chance(1, 2) { s } else { s.arg(pattern(w)) }
    }),
    row!(4, None, "PUBSUB SHARDCHANNELS", |w, s| {
        let s = s.norm(Norm::Unordered);
        if w.chance(1, 2) { s } else { s.arg(pattern(w)) }
    }),
    row!(4, Any, "PUBSUB NUMSUB", |w, s| {
        let count = w.below(4);
        s.args((0..count).map(|_| channel(w)))
    }),
    row!(4, Any, "PUBSUB SHARDNUMSUB", |w, s| {
        let count = w.below(4);
        s.args((0..count).map(|_| channel(w)))
    }),
    row!(4, None, "PUBSUB NUMPAT", |w, s| if w.chance(1, 10) { s.arg("x") } else { s }),
    row!(1, None, "PUBSUB HELP", |_w, s| s.norm(Norm::SameShape)),
    row!(1, None, "PUBSUB", |w, s| if w.chance(1, 2) { s } else { s.arg("NOSUCH") }),
];

pub const LISTENING: &[Row] = &[
    row!(20, Any, "SUBSCRIBE", |w, s| {
        let count = w.pick(&[1, 1, 2, 3]);
        s.args((0..count).map(|_| channel(w)))
    }),
    row!(12, Any, "PSUBSCRIBE", |w, s| {
        let count = w.pick(&[1, 1, 2]);
        s.args((0..count).map(|_| pattern(w)))
    }),
    row!(10, Any, "SSUBSCRIBE", |w, s| {
        let count = w.pick(&[1, 1, 2]);
        s.args((0..count).map(|_| channel(w)))
    }),
    row!(12, Any, "UNSUBSCRIBE", |w, s| {
        let count = w.pick(&[0, 1, 1, 2]);
        s.args((0..count).map(|_| channel(w)))
    }),
    row!(8, Any, "PUNSUBSCRIBE", |w, s| {
        let count = w.pick(&[0, 1, 1, 2]);
        s.args((0..count).map(|_| pattern(w)))
    }),
    row!(8, Any, "SUNSUBSCRIBE", |w, s| {
        let count = w.pick(&[0, 1, 1, 2]);
        s.args((0..count).map(|_| channel(w)))
    }),
    row!(8, Any, "PUBLISH", |w, s| s.arg(channel(w)).arg(message(w))),
    row!(4, Any, "SPUBLISH", |w, s| s.arg(channel(w)).arg(message(w))),
    row!(6, Any, "PING", |w, s| if w.chance(1, 2) { s } else { s.arg(w.value()) }),
    Row { weight: 30, names: &["CLIENT TRACKING"], damage: Damage::None, make: tracking },
    row!(4, None, "CLIENT TRACKINGINFO", |_w, s| s),
    row!(3, None, "CLIENT GETREDIR", |_w, s| s),
    Row { weight: 14, names: &["CLIENT CACHING"], damage: Damage::None, make: caching },
    Row { weight: 12, names: &["MULTI"], damage: Damage::None, make: transaction },
    row!(3, None, "RESET", |_w, s| s),
    row!(1, None, "QUIT", |_w, s| s.last()),
];

/// What listeners ask of the data, of rows of other groups whose replies are exact.
pub const ASKED: &[&str] = &[
    "GET",
    "MGET",
    "STRLEN",
    "EXISTS",
    "TYPE",
    "LRANGE",
    "LLEN",
    "HGET",
    "HLEN",
    "SCARD",
    "ZCARD",
    "SISMEMBER",
    "GETBIT",
    "SET",
    "INCR",
    "DEL",
    "APPEND",
    "LPUSH",
    "HSET",
    "SADD",
    "MSET",
];

fn channel(w: &mut Words) -> Vec<u8> {
    const CHANNELS: &[&[u8]] = &[
        b"c0",
        b"c1",
        b"c2",
        b"news.art",
        b"news.music",
        b"",
        b"\x00\r\n\xff",
        b"__redis__:invalidate",
        b"__keyspace@0__:k0",
        b"__keyevent@0__:del",
        b"__keyevent@1__:set",
    ];
    if w.chance(1, 2) { w.pick(&CHANNELS[..4]).to_vec() } else { w.pick(CHANNELS).to_vec() }
}

fn pattern(w: &mut Words) -> Vec<u8> {
    w.pick(&["c*", "c?", "news.*", "*", "c[01]", "", "__keyevent@?__:expire", "\\c0", "h?llo"])
        .into()
}

fn message(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 3) { w.value() } else { format!("message {}", w.rising()).into_bytes() }
}

fn tracking(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "CLIENT TRACKING");
    if w.chance(1, 12) {
        let bad: &[&[&str]] = &[
            &[],
            &["maybe"],
            &["on", "FOO"],
            &["on", "REDIRECT"],
            &["on", "PREFIX"],
            &["off", "x"],
        ];
        return vec![step.args(w.pick(bad))];
    }
    if w.chance(1, 4) {
        return vec![step.arg(w.cased("OFF"))];
    }
    let mut step = step.arg(w.cased("ON"));
    // One prefix at most: Redis 7.0 answers twice where those of one call overlap.
    let mut prefixed = false;
    for _ in 0..w.below(4) {
        step = match w.below(9) {
            0 | 1 => step.arg(w.cased("BCAST")),
            2 | 3 if prefixed => step,
            2 => step.arg(w.cased("BCAST")).arg(w.cased("PREFIX")).arg(prefix(w)),
            3 => step.arg(w.cased("PREFIX")).arg(prefix(w)),
            4 => step.arg(w.cased("OPTIN")),
            5 => step.arg(w.cased("OPTOUT")),
            6 => step.arg(w.cased("NOLOOP")),
            _ => {
                let to = w.pick(&[
                    "{id 0}",
                    "{id 1}",
                    "{id 2}",
                    "{id 0}",
                    "{id 1}",
                    "999999999",
                    "abc",
                    "0",
                ]);
                step.arg(w.cased("REDIRECT")).arg(to)
            }
        };
        prefixed |= step.args.iter().any(|arg| arg.eq_ignore_ascii_case(b"PREFIX"));
    }
    // In RESP2 another connection has to take the invalidations.
    if w.chance(1, 3) {
        step = step.arg("REDIRECT").arg(w.pick(&["{id 0}", "{id 1}", "{id 2}"]));
    }
    vec![step]
}

fn prefix(w: &mut Words) -> &'static str {
    w.pick(&["k", "k1", "K", "l", "x", "", "s0", "h"])
}

/// Asked for one command only, which follows.
fn caching(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "CLIENT CACHING");
    let caching = step.args(w.pick(&[&["yes"][..], &["yes"], &["no"], &["no"], &["maybe"], &[]]));
    vec![caching, Step::new(w, "GET").arg(w.key())]
}

/// A whole transaction with what is special about listening. Nothing in it causes a message to the client itself, which
/// Redis 7.0 puts into the reply of EXEC.
fn transaction(w: &mut Words) -> Vec<Step> {
    let mut steps = vec![Step::new(w, "MULTI")];
    for _ in 0..w.below(5) {
        let step = match w.below(6) {
            0 => Step::new(w, "SUBSCRIBE").arg(channel(w)),
            1 => Step::new(w, "UNSUBSCRIBE").arg(channel(w)),
            2 => Step::new(w, "CLIENT CACHING").arg(w.pick(&["yes", "no"])),
            3 => Step::new(w, "PING"),
            _ => Step::new(w, "GET").arg(w.key()),
        };
        steps.push(step);
    }
    let end = if w.chance(1, 6) { "DISCARD" } else { "EXEC" };
    steps.push(Step::new(w, end));
    steps
}
