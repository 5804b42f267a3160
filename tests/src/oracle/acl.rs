//! Generators for ACL: random rules for a few users whom nobody is logged in as, and what may be asked of them. What the
//! servers show of command rules differs (see `docs/decisions/0017-acl-rules-as-given.md`): here it is compared by what
//! it allows, with ACL DRYRUN; [`rules`] is used by `tests/acl.rs` as well, which compares it in full.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 14, names: &["ACL SETUSER"], damage: Damage::None, make: setuser },
    Row { weight: 14, names: &["ACL DRYRUN"], damage: Damage::None, make: dryrun },
    row!(5, None, "ACL GETUSER", |w, s| {
        let user = user(w);
        match w.below(12) {
            0 => s.arg("nobody"),
            1 => s,
            2 => s.arg(user).arg("x"),
            _ => s.arg(user).norm(Norm::Rules),
        }
    }),
    row!(3, None, "ACL LIST", |w, s| if w.chance(1, 9) { s.arg("x") } else { s.norm(Norm::Rules) }),
    row!(2, None, "ACL USERS", |w, s| if w.chance(1, 9) { s.arg("x") } else { s }),
    row!(2, None, "ACL DELUSER", |w, s| match w.below(9) {
        0 => s,
        1 => s.arg("default"),
        2 => s.arg("nobody").arg(user(w)).arg("default"),
        3 => s.arg("nobody").arg(user(w)).arg(user(w)),
        _ => s.arg(user(w)),
    }),
    row!(2, None, "ACL CAT", |w, s| {
        let forms: &[&[&str]] =
            &[&[], &["nosuch"], &["@read"], &["read", "x"], &[""], &["TRANSACTION"], &["bitmap"]];
        let form = w.pick(forms);
        // The order is that of a hash table.
        let norm = if form.is_empty() { Norm::Exact } else { Norm::Unordered };
        s.args(form).norm(norm)
    }),
    row!(1, None, "ACL WHOAMI", |w, s| if w.chance(1, 9) { s.arg("x") } else { s }),
    row!(1, None, "ACL GENPASS", |w, s| {
        let good: &[&[&str]] = &[&[], &["1"], &["5"], &["4096"]];
        let bad: &[&[&str]] = &[&["0"], &["4097"], &["-1"], &["x"], &["5", "5"], &[""]];
        if w.chance(1, 2) {
            s.args(w.pick(good)).norm(Norm::SameShape)
        } else {
            s.args(w.pick(bad))
        }
    }),
    row!(1, None, "ACL LOG", |w, s| {
        let good: &[&[&str]] = &[&[], &["3"], &["-1"], &["0"]];
        let rest: &[&[&str]] = &[&["x"], &["RESET"], &["reset", "x"], &["1", "2"], &["1.5"]];
        if w.chance(1, 2) {
            s.args(w.pick(good)).norm(Norm::SameShape)
        } else {
            s.args(w.pick(rest))
        }
    }),
    row!(1, None, "ACL LOAD", |w, s| if w.chance(1, 2) { s.arg("x") } else { s }),
    row!(1, None, "ACL SAVE", |w, s| if w.chance(1, 2) { s.arg("x") } else { s }),
    row!(1, None, "ACL HELP", |_w, s| s.norm(Norm::SameShape)),
    row!(1, None, "ACL", |w, s| if w.chance(1, 2) { s } else { s.arg("NOSUCH").arg("x") }),
];

fn user(w: &mut Words) -> &'static str {
    w.pick(&["u1", "u2", "u3", "x*"])
}

fn setuser(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "ACL SETUSER");
    if w.chance(1, 30) {
        let bad: &[&[&str]] = &[&[], &["a b"], &["a\0b", "on"], &["a\tb", "+nosuch"]];
        return vec![step.args(w.pick(bad))];
    }
    let (user, count) = (user(w), w.below(7));
    let rules: Vec<Vec<u8>> = (0..count).map(|_| rule(w)).collect();
    vec![step.arg(user).args(rules)]
}

const COMMANDS: &[&str] = &[
    "get",
    "set",
    "mget",
    "del",
    "copy",
    "rename",
    "sort",
    "config",
    "config|get",
    "config|set",
    "client",
    "client|kill",
    "client|list",
    "object|encoding",
    "xread",
    "zunionstore",
    "bitfield",
    "publish",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "spublish",
    "acl",
    "acl|whoami",
    "acl|list",
    "memory|usage",
    "select",
    "keys",
    "flushall",
    "multi",
    "exec",
    "auth",
    "reset",
    "lpush",
    "blpop",
    "smove",
    "exists",
    "getex",
    "command",
    "info",
    "ping",
    "debug",
    "sort_ro",
    "geosearchstore",
    "pfmerge",
    "watch",
    "xlen",
    "role",
    "cluster|info",
    "eval",
];

const CATEGORIES: &[&str] = &[
    "all",
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

const PATTERNS: &[&str] = &["*", "a", "a*", "[ab]*", "?", "key:*", "b", "", "\"a\"", "\\*"];

const BAD: &[&str] = &[
    "+nosuch",
    "-nosuch",
    "+@nosuch",
    "+@",
    "+",
    "-",
    "foo",
    "on ",
    "-get|x",
    "+config|nosuch",
    "-config|nosuch",
    "+config|get|x",
    "+get|x|y",
    "+config|",
    "+select|",
    "%",
    "%~a",
    "%X~a",
    "%RR~a",
    "%Rx",
    "~a b",
    "&a b",
    "~a\nb",
    "#abc",
    "!abc",
    "<never",
    "(+get",
    "+get)",
    "(on)",
    "(nopass)",
    "(+nosuch)",
    "((+get))",
    "(>p)",
    "!2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4882",
    "~a\0b",
    "foo\0bar",
    "#2D711642B726B04401627CA9FBAC32F5C8530FB1903CC4DB02258717921A4881",
];

/// A rule, right or wrong.
fn rule(w: &mut Words) -> Vec<u8> {
    if w.chance(1, 30) {
        return w.pick(BAD).into();
    }
    if w.chance(1, 12) {
        let count = w.below(5);
        let inner: Vec<Vec<u8>> = (0..count).map(|_| selector_rule(w)).collect();
        return [b"(", &inner.join(&b' ')[..], b")"].concat();
    }
    if w.chance(1, 3) {
        const PLAIN: &[&str] = &[
            "on",
            "off",
            "nopass",
            "resetpass",
            ">p",
            ">q",
            "<p",
            "<q",
            "clearselectors",
            "",
            "sanitize-payload",
            "skip-sanitize-payload",
            "reset",
            "#2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
            "!2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        ];
        let plain = w.pick(PLAIN);
        return if plain.starts_with(['>', '<']) { plain.into() } else { w.cased(plain) };
    }
    selector_rule(w)
}

/// A rule about commands, keys or channels.
fn selector_rule(w: &mut Words) -> Vec<u8> {
    let sign = |w: &mut Words| if w.chance(2, 3) { "+" } else { "-" };
    match w.below(12) {
        0..4 => {
            let text = format!("{}{}", sign(w), w.pick(COMMANDS));
            w.cased(&text)
        }
        4..6 => {
            let text = format!("{}@{}", sign(w), w.pick(CATEGORIES));
            w.cased(&text)
        }
        6 => w.pick(&["+select|0", "+select|1", "+get|a", "+publish|news", "+lpush|b"]).into(),
        7 => {
            let rule = w.pick(&["allcommands", "nocommands", "+@all", "-@all"]);
            w.cased(rule)
        }
        8..10 => match (w.pick(&["~", "%R~", "%W~", "%r~", "%RW~", "%wr~"]), w.pick(PATTERNS)) {
            // Redis shows it as all keys, and keeps it as a pattern.
            (sign, "*") if sign != "~" => format!("{sign}x"),
            (sign, pattern) => format!("{sign}{pattern}"),
        }
        .into_bytes(),
        10 => format!("&{}", w.pick(PATTERNS)).into_bytes(),
        _ => {
            let rule = w.pick(&["allkeys", "resetkeys", "allchannels", "resetchannels"]);
            w.cased(rule)
        }
    }
}

/// Some rules for `tests/acl.rs`.
pub fn rules(w: &mut Words) -> Vec<Vec<u8>> {
    let count = 1 + w.below(8);
    (0..count).map(|_| rule(w)).collect()
}

const CALLS: &[&str] = &[
    "get K",
    "set K v",
    "set K v GET",
    "set K v ex 5 get",
    "mget K K K",
    "del K",
    "del K K",
    "copy K K",
    "rename K K",
    "sort K",
    "sort K by K",
    "sort K get K",
    "sort K by nosort store K",
    "config get x",
    "config set x y",
    "client list",
    "client kill x",
    "object encoding K",
    "xread streams K K 0 0",
    "xread count 1 streams K 0",
    "zunionstore K 2 K K",
    "bitfield K get u8 0",
    "bitfield K set u8 0 1",
    "bitfield K overflow sat incrby u8 0 1",
    "bitfield K",
    "bitfield_ro K get u8 0",
    "publish K m",
    "subscribe K K",
    "psubscribe K K*",
    "ssubscribe K",
    "spublish K m",
    "unsubscribe K",
    "acl whoami",
    "acl list",
    "memory usage K",
    "select 0",
    "select 1",
    "SELECT 00",
    "keys *",
    "flushall",
    "multi",
    "exec",
    "auth p",
    "hello",
    "quit",
    "reset",
    "lpush K x",
    "blpop K K 0",
    "smove K K x",
    "exists K K",
    "getex K",
    "command",
    "command count",
    "info",
    "ping",
    "debug sleep 0",
    "sort_ro K by K",
    "geosearchstore K K fromlonlat 0 0 bybox 1 1 m",
    "georadius K 0 0 1 m store K",
    "georadius K 0 0 1 m storedist K",
    "pfmerge K K",
    "pfcount K",
    "watch K",
    "xlen K",
    "lmpop 1 K left",
    "blmpop 0 2 K K left",
    "sintercard 1 K",
    "zadd K 1 a",
    "hset K a b",
    "hget K a",
    "getdel K",
    "expire K 1",
    "ttl K",
    "touch K",
    "type K",
    "dump K",
    "append K x",
    "setrange K 0 x",
    "strlen K",
    "incr K",
    "lpop K",
    "rpoplpush K K",
    "sinter K K",
    "sdiffstore K K K",
    "xadd K * a b",
    "xinfo stream K",
    "xgroup create K g 0",
    "xreadgroup group g c streams K >",
    "zrangestore K K 0 1",
    "bitop and K K K",
    "object freq K",
    "get",
    "get K K",
    "nosuch K",
    "config",
    "config nosuch",
    "xread K",
    "lcs K K",
    "getset K v",
    "msetnx K v K v",
    "substr K 0 1",
    "move K 1",
    "randomkey",
    "scan 0",
    "dbsize",
    "swapdb 0 1",
    "pubsub channels",
    "slowlog get",
    "latency reset",
    "monitor",
    "shutdown nosave nosave",
];

/// A call of a command that both servers have. Where it counts its keys wrongly, Redis looks at none of them and Respire at
/// those that it can tell: such calls fail in any case, and are left out.
pub fn call(w: &mut Words) -> Vec<Vec<u8>> {
    let words = w.pick(CALLS).split(' ');
    let mut call: Vec<Vec<u8>> = Vec::new();
    for word in words {
        let key = w.pick(&["a", "b", "ab", "key:1", "x", "*", "", "a*", "news"]);
        call.push(word.replace('K', key).into_bytes());
    }
    call[0] = w.cased(&String::from_utf8_lossy(&call[0]));
    call
}

fn dryrun(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "ACL DRYRUN");
    vec![match w.below(30) {
        0 => step.arg("nobody").args(call(w)),
        1 => step.arg("u1"),
        2 => step,
        3 => step.arg("default").args(call(w)).norm(Norm::Refusal),
        _ => {
            let user = user(w);
            step.arg(user).args(call(w)).norm(Norm::Refusal)
        }
    }]
}
