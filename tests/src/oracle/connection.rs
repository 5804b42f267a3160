//! Generators for the commands on the connection itself, and for transactions.
//!
//! The rows here never suffer damage: which protocol a connection speaks, and whether a transaction is open, must
//! stay known. Their invalid forms are written out instead.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 3, names: &["AUTH"], damage: Damage::None, make: auth },
    row!(1, None, "CLIENT CACHING", |w, s| s.args(w.pick(&[
        &["yes"][..],
        &["no"],
        &["maybe"],
        &[]
    ]))),
    row!(5, None, "CLIENT GETNAME", |w, s| if w.chance(1, 20) { s.arg("x") } else { s }),
    row!(1, None, "CLIENT GETREDIR", |_w, s| s),
    row!(1, None, "CLIENT HELP", |_w, s| s.norm(Norm::SameShape)),
    row!(2, None, "CLIENT ID", |w, s| if w.chance(1, 5) {
        s.arg("x")
    } else {
        s.norm(Norm::SameShape)
    }),
    row!(1, None, "CLIENT INFO", |_w, s| s.norm(Norm::SameShape)),
    Row { weight: 3, names: &["CLIENT KILL"], damage: Damage::None, make: client_kill },
    row!(1, None, "CLIENT LIST", |w, s| {
        let options: &[&[&str]] = &[
            &[],
            &["TYPE", "normal"],
            &["TYPE", "pubsub"],
            &["TYPE", "foo"],
            &["ID", "1"],
            &["ID", "abc"],
            &["FOO"],
            &["ID"],
            &["TYPE"],
        ];
        s.args(w.pick(options)).norm(Norm::SameShape)
    }),
    row!(1, None, "CLIENT NO-EVICT", |w, s| s.args(w.pick(&[
        &["on"][..],
        &["off"],
        &["maybe"],
        &[],
        &["OFF"]
    ]))),
    row!(1, None, "CLIENT PAUSE", |w, s| {
        let bad: &[&[&str]] =
            &[&["abc"], &["-1"], &["0", "foo"], &[], &["1.5", "ALL"], &["9223372036854775808"]];
        s.args(w.pick(bad))
    }),
    row!(1, None, "CLIENT UNPAUSE", |w, s| if w.chance(1, 4) { s.arg("x") } else { s }),
    Row { weight: 3, names: &["CLIENT REPLY"], damage: Damage::None, make: client_reply },
    Row { weight: 4, names: &["CLIENT SETNAME"], damage: Damage::None, make: client_setname },
    row!(1, None, "CLIENT TRACKINGINFO", |_w, s| s),
    row!(1, None, "CLIENT UNBLOCK", |w, s| {
        let forms: &[&[&str]] = &[
            &["999999999"],
            &["999999999", "TIMEOUT"],
            &["999999999", "error"],
            &["1", "x"],
            &["abc"],
            &[],
        ];
        s.args(w.pick(forms))
    }),
    row!(1, None, "CLIENT", |w, s| if w.chance(1, 2) { s } else { s.arg("NOSUCH").arg("x") }),
    row!(4, Any, "ECHO", |w, s| s.arg(w.value())),
    Row { weight: 3, names: &["HELLO"], damage: Damage::None, make: hello },
    row!(5, Any, "PING", |w, s| if w.chance(1, 2) { s } else { s.arg(w.value()) }),
    row!(1, None, "QUIT", |w, s| if w.chance(1, 4) { s.arg("now").last() } else { s.last() }),
    row!(2, None, "RESET", |w, s| if w.chance(1, 5) { s.arg("x") } else { s }),
    row!(10, None, "SELECT", |w, s| {
        let s = if w.chance(1, 30) { s } else { s.arg(w.database()) };
        if w.chance(1, 30) { s.arg("x") } else { s }
    }),
    row!(12, None, "MULTI", |w, s| if w.chance(1, 30) { s.arg("x") } else { s }),
    row!(3, None, "EXEC", |w, s| if w.chance(1, 10) { s.arg("x") } else { s }),
    row!(2, None, "DISCARD", |w, s| if w.chance(1, 10) { s.arg("x") } else { s }),
    row!(3, None, "UNWATCH", |w, s| if w.chance(1, 10) { s.arg("x") } else { s }),
    Row { weight: 12, names: &["WATCH"], damage: Damage::None, make: watch },
    Row { weight: 8, names: &["(unknown)"], damage: Damage::None, make: unknown },
];

fn auth(w: &mut Words) -> Vec<Step> {
    let forms: &[&[&str]] = &[
        &["secret"],
        &["default", "anything"],
        &["nobody", "secret"],
        &[],
        &["a", "b", "c"],
        &[""],
        &["default", ""],
        &["nobody", ""],
    ];
    vec![Step::new(w, "AUTH").args(w.pick(forms))]
}

/// Filters that match nobody, and mistakes. Who is connected differs between the two servers.
fn client_kill(w: &mut Words) -> Vec<Step> {
    let forms: &[&[&str]] = &[
        &["ID", "999999999"],
        &["127.0.0.1:1"],
        &["ADDR", "127.0.0.1:1"],
        &["LADDR", "127.0.0.1:1"],
        &["ID", "abc"],
        &["ID", "0"],
        &["ID", "-1"],
        &["USER", "nobody"],
        &["TYPE", "foo"],
        &["TYPE", "pubsub", "ID", "999999999"],
        &["SKIPME", "maybe"],
        &["FOO", "bar"],
        &[],
        &["ID"],
        &["ID", "999999999", "SKIPME"],
        &["TYPE", "replica", "SKIPME", "yes"],
        &[
            "ID",
            "999999999",
            "ADDR",
            "127.0.0.1:1",
            "LADDR",
            "127.0.0.1:2",
            "TYPE",
            "normal",
            "SKIPME",
            "no",
        ],
        &["USER", "default", "ADDR", "1.2.3.4:5"],
    ];
    vec![Step::new(w, "CLIENT KILL").args(w.pick(forms))]
}

/// A silenced stretch, over before anything else happens. In a transaction only the mistakes.
fn client_reply(w: &mut Words) -> Vec<Step> {
    if w.in_multi || w.chance(1, 4) {
        let bad: &[&[&str]] = &[&[], &["maybe"], &["on", "off"]];
        return vec![Step::new(w, "CLIENT REPLY").args(w.pick(bad))];
    }
    if w.chance(1, 3) {
        let skip = Step::new(w, "CLIENT REPLY").arg(w.cased("SKIP")).unanswered();
        let skipped = Step::new(w, "INCR").arg(w.key()).unanswered();
        return vec![skip, skipped];
    }
    let mut steps = vec![Step::new(w, "CLIENT REPLY").arg(w.cased("OFF")).unanswered()];
    for _ in 0..w.below(4) {
        steps.push(match w.below(4) {
            0 => Step::new(w, "SET").arg(w.key()).arg(w.value()).unanswered(),
            1 => Step::new(w, "GET").arg(w.key()).unanswered(),
            2 => Step::new(w, "CLIENT REPLY").arg(w.cased("SKIP")).unanswered(),
            _ => Step::new(w, "INCRBY").arg(w.key()).arg(w.integer()).unanswered(),
        });
    }
    let on = Step::new(w, "CLIENT REPLY").arg(w.cased("ON"));
    steps.push(on);
    steps
}

fn client_setname(w: &mut Words) -> Vec<Step> {
    let names: &[&[u8]] = &[
        b"alice",
        b"bob",
        b"",
        b"with space",
        b"new\nline",
        b"\xff\xfe",
        b"a:b=c",
        b"tab\t",
        b"!~",
        b"a-quite-long-name-for-a-connection",
    ];
    let step = Step::new(w, "CLIENT SETNAME");
    vec![match w.below(20) {
        0 => step,
        1 => step.arg("a").arg("b"),
        _ => step.arg(w.pick(names)),
    }]
}

/// Switches only outside transactions. The runner repairs the protocol afterwards.
fn hello(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "HELLO").norm(Norm::Hello);
    let bad: &[&[&str]] = &[
        &["4"],
        &["1"],
        &["abc"],
        &["-3"],
        &["3", "FOO"],
        &["3", "AUTH", "default"],
        &["2", "SETNAME"],
        &["3", "AUTH", "nobody", "x"],
        &["3", "SETNAME", "a b"],
        &["9223372036854775808"],
        &[""],
        &["2", "AUTH", "nobody", "x", "SETNAME", "q"],
    ];
    let good: &[&[&str]] = &[
        &[],
        &["2"],
        &["3"],
        &["3", "SETNAME", "carol"],
        &["2", "AUTH", "default", "x"],
        &["3", "auth", "default", "x", "setname", "dave"],
    ];
    // In a transaction the mistakes are only found by EXEC.
    if w.in_multi || w.chance(1, 2) {
        vec![step.args(w.pick(bad))]
    } else {
        vec![step.args(w.pick(good))]
    }
}

fn watch(w: &mut Words) -> Vec<Step> {
    let mut step = Step::new(w, "WATCH");
    for _ in 0..w.pick(&[0, 1, 1, 1, 2, 3]) {
        step = step.arg(w.key());
    }
    vec![step]
}

fn unknown(w: &mut Words) -> Vec<Step> {
    let names: &[&[u8]] = &[
        b"NOSUCH", b"nosuch", b"", b"GETT", b"\x00\xff", b"with space", b"new\r\nline", b"'quoted'",
        b"a-name-that-goes-on-and-on-and-on-until-it-is-longer-than-the-one-hundred-and-twenty-eight-bytes-that-are-shown-of-it-in-the-error-text",
    ];
    let mut step = Step::new(w, "(unknown)");
    step.args = vec![w.pick(names).to_vec()];
    for _ in 0..w.below(5) {
        step = step.arg(w.value());
    }
    vec![step]
}
