//! What COMMAND tells clients about each command: arity, flags, keys, ACL categories, subcommands, documentation.
//!
//! Cluster clients route by it, redis-cli hints by it. Compared with redis-server 7.0.15 where it can vouch for it;
//! what a newer version or Respire itself has brought is only checked for being there.

use std::collections::BTreeMap;

use respire_tests::{Client, Server, Value};

/// Commands that both servers have. A container's subcommands come with it.
const SHARED: &[&str] = &[
    "asking",
    "cluster",
    "module",
    "readonly",
    "readwrite",
    "append",
    "decr",
    "decrby",
    "get",
    "getdel",
    "getex",
    "getrange",
    "getset",
    "incr",
    "incrby",
    "incrbyfloat",
    "lcs",
    "mget",
    "mset",
    "msetnx",
    "psetex",
    "set",
    "setex",
    "setnx",
    "setrange",
    "strlen",
    "substr",
    "copy",
    "del",
    "exists",
    "expire",
    "expireat",
    "expiretime",
    "keys",
    "move",
    "object",
    "persist",
    "pexpire",
    "pexpireat",
    "pexpiretime",
    "pttl",
    "randomkey",
    "rename",
    "renamenx",
    "scan",
    "touch",
    "ttl",
    "type",
    "unlink",
    "auth",
    "client",
    "echo",
    "hello",
    "ping",
    "quit",
    "reset",
    "select",
    "command",
    "config",
    "dbsize",
    "debug",
    "flushall",
    "flushdb",
    "info",
    "latency",
    "lolwut",
    "memory",
    "monitor",
    "shutdown",
    "slowlog",
    "swapdb",
    "time",
    "multi",
    "exec",
    "discard",
    "watch",
    "unwatch",
    "sadd",
    "scard",
    "sdiff",
    "sdiffstore",
    "sinter",
    "sintercard",
    "sinterstore",
    "sismember",
    "smembers",
    "smismember",
    "smove",
    "spop",
    "srandmember",
    "srem",
    "sscan",
    "sunion",
    "sunionstore",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hincrbyfloat",
    "hkeys",
    "hlen",
    "hmget",
    "hmset",
    "hrandfield",
    "hscan",
    "hset",
    "hsetnx",
    "hstrlen",
    "hvals",
    "zadd",
    "zcard",
    "zcount",
    "zdiff",
    "zdiffstore",
    "zincrby",
    "zinter",
    "zintercard",
    "zinterstore",
    "zlexcount",
    "zmpop",
    "zmscore",
    "zpopmax",
    "zpopmin",
    "zrandmember",
    "zrange",
    "zrangebylex",
    "zrangebyscore",
    "zrangestore",
    "zrank",
    "zrem",
    "zremrangebylex",
    "zremrangebyrank",
    "zremrangebyscore",
    "zrevrange",
    "zrevrangebylex",
    "zrevrangebyscore",
    "zrevrank",
    "zscan",
    "zscore",
    "zunion",
    "zunionstore",
    "bzmpop",
    "bzpopmax",
    "bzpopmin",
    "geoadd",
    "geodist",
    "geohash",
    "geopos",
    "georadius",
    "georadius_ro",
    "georadiusbymember",
    "georadiusbymember_ro",
    "geosearch",
    "geosearchstore",
    "sort",
    "sort_ro",
];

/// Commands that Redis 7.0 doesn't have.
const OURS: &[&str] = &[
    "delifeq",
    "exit",
    "hexpire",
    "hexpireat",
    "hexpiretime",
    "hgetdel",
    "hgetex",
    "hpersist",
    "hpexpire",
    "hpexpireat",
    "hpexpiretime",
    "hpttl",
    "hsetex",
    "httl",
];

/// Facts that differ on purpose: the command, the fact and the reason.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("command|getkeys", "arity", FROM_7_2),
    ("command|getkeysandflags", "arity", FROM_7_2),
    ("zrank", "arity", WITHSCORE),
    ("zrevrank", "arity", WITHSCORE),
    ("bzpopmin", "flags", IN_SCRIPTS),
    ("bzpopmax", "flags", IN_SCRIPTS),
    ("sort", "key specifications", "where STORE's key is can be told"),
];

const IN_SCRIPTS: &str = "since Redis 7.2 scripts may call what waits, and it answers at once";
const WITHSCORE: &str = "since Redis 7.2 it takes WITHSCORE";
const FROM_7_2: &str = "since Redis 7.2 it takes a command without arguments, too";

/// Name and fact, and what it is. Lists without an order are sorted.
type Facts = BTreeMap<(String, &'static str), String>;

fn sorted(value: &Value) -> String {
    let mut elements: Vec<String> =
        value.elements().unwrap_or_default().iter().map(|e| format!("{e:?}")).collect();
    elements.sort();
    elements.join(" ")
}

/// Key specifications whose notes are there, but not their words: those are our own.
fn without_wording(specs: &Value) -> Value {
    let Some(elements) = specs.elements() else { return specs.clone() };
    let mut elements: Vec<Value> = elements.iter().map(without_wording).collect();
    if let [name, notes, ..] = &mut elements[..]
        && name.text() == Some(b"notes")
    {
        assert!(notes.text().is_some_and(|text| !text.is_empty()), "empty notes");
        *notes = Value::Bulk(b"...".to_vec());
    }
    Value::Array(elements)
}

/// Adds the facts of one row of COMMAND INFO, and those of its subcommands.
fn collect(row: &Value, facts: &mut Facts) {
    let Some([name, arity, flags, first, last, step, categories, _tips, specs, subcommands]) =
        row.elements()
    else {
        panic!("not a row of ten columns: {row:?}");
    };
    let name = String::from_utf8_lossy(name.text().expect("a name")).into_owned();
    let fields = [
        ("arity", format!("{arity:?}")),
        ("flags", sorted(flags)),
        ("first, last and step", format!("{first:?} {last:?} {step:?}")),
        ("categories", sorted(categories)),
        ("key specifications", format!("{:?}", without_wording(specs))),
    ];
    for (fact, value) in fields {
        facts.insert((name.clone(), fact), value);
    }
    for row in subcommands.elements().unwrap_or_default() {
        collect(row, facts);
    }
}

fn facts(client: &mut Client) -> Facts {
    let args: Vec<&str> = ["COMMAND", "INFO"].iter().chain(SHARED).copied().collect();
    let reply = client.roundtrip(&args).expect("a reply");
    let rows = reply.elements().expect("an array");
    assert_eq!(rows.len(), SHARED.len());
    let mut facts = Facts::new();
    for (row, name) in rows.iter().zip(SHARED) {
        assert!(!row.is_null(), "COMMAND INFO doesn't know {name}");
        collect(row, &mut facts);
    }
    facts
}

#[test]
fn commands_are_described_as_by_redis() {
    let Some((respire, redis)) = Server::start_pair(&[], "that COMMAND INFO equals Redis's") else {
        return;
    };
    let ours = facts(&mut respire.client());
    let theirs = facts(&mut redis.client());
    let mut wrong = Vec::new();
    for ((name, fact), expected) in &theirs {
        if DIFFERENT.iter().any(|(n, f, _)| n == name && f == fact) {
            continue;
        }
        let got = ours.get(&(name.clone(), *fact)).map_or("(nothing)", String::as_str);
        if got != expected {
            wrong.push(format!("{name}, {fact}:\n  redis   {expected}\n  respire {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(DIFFERENT.iter().all(|(_, _, reason)| !reason.is_empty()));
}

/// The entries of a map, in either protocol.
fn entries(value: &Value) -> BTreeMap<String, Value> {
    let text = |value: &Value| {
        String::from_utf8_lossy(value.text().expect("a text for a key")).into_owned()
    };
    match value {
        Value::Map(pairs) => pairs.iter().map(|(k, v)| (text(k), v.clone())).collect(),
        _ => {
            let flat = value.elements().expect("a flat list of pairs");
            flat.chunks(2).map(|pair| (text(&pair[0]), pair[1].clone())).collect()
        }
    }
}

fn docs(client: &mut Client, names: &[&str]) -> BTreeMap<String, BTreeMap<String, Value>> {
    let args: Vec<&str> = ["COMMAND", "DOCS"].iter().chain(names).copied().collect();
    let reply = client.roundtrip(&args).expect("a reply");
    entries(&reply).into_iter().map(|(name, value)| (name, entries(&value))).collect()
}

#[test]
fn commands_are_documented() {
    let Some((respire, redis)) =
        Server::start_pair(&[], "that COMMAND DOCS says the same as Redis's")
    else {
        return;
    };
    for protocol in ["2", "3"] {
        let [mut subject, mut oracle] = [respire.client(), redis.client()];
        for client in [&mut subject, &mut oracle] {
            client.roundtrip(&["HELLO", protocol]).expect("a reply");
        }
        let ours = docs(&mut subject, SHARED);
        let theirs = docs(&mut oracle, SHARED);
        let mut wrong = Vec::new();
        for (name, expected) in &theirs {
            let Some(got) = ours.get(name) else {
                wrong.push(format!("{name}: not documented"));
                continue;
            };
            if got.get("summary").and_then(Value::text).is_none_or(<[u8]>::is_empty) {
                wrong.push(format!("{name}: no summary"));
            }
            for fact in ["since", "group"] {
                if got.get(fact) != expected.get(fact) {
                    wrong.push(format!(
                        "{name}, {fact}: {:?}, not {:?}",
                        got.get(fact),
                        expected.get(fact)
                    ));
                }
            }
            // Hints are made of these. Their wording is ours.
            for part in ["arguments", "subcommands"] {
                if got.contains_key(part) != expected.contains_key(part) {
                    wrong.push(format!("{name}: {part} on one side only"));
                }
            }
        }
        assert!(wrong.is_empty(), "RESP{protocol}\n{}", wrong.join("\n"));
    }
}

#[test]
fn what_redis_lacks_is_described_too() {
    // Redis itself, tried as the server under test, can't know them.
    if std::env::var(respire_tests::server::SUBJECT)
        .is_ok_and(|path| path.ends_with("redis-server"))
    {
        return;
    }
    let respire = Server::start(respire_tests::Kind::Respire, &[]);
    let mut client = respire.client();
    let documented = docs(&mut client, OURS);
    for name in OURS {
        let reply = client.roundtrip(&["COMMAND", "INFO", name]).expect("a reply");
        let mut facts = Facts::new();
        collect(&reply.elements().expect("an array")[0], &mut facts);
        assert!(
            documented.get(*name).is_some_and(|entry| entry.contains_key("summary")),
            "{name} has no summary"
        );
    }
}
