//! What is kept in files is there again: after a save, a restart, a crash, at redis-server's and from redis-server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use respire_tests::ask::{ask, field, text, wait_until};
use respire_tests::oracle::generate::Generator;
use respire_tests::server::{Directory, redis_path};
use respire_tests::{Client, Kind, Server, Value};

/// How long something may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

const APPEND: &[&str] = &["--appendonly", "yes"];

fn digest(server: &Server) -> String {
    text(&mut server.client(), "DEBUG DIGEST")
}

/// Values of all types and encodings, in two databases, some of which expire.
fn fill(client: &mut Client) {
    let mut send = |parts: &[&str]| {
        let reply = client.roundtrip(parts).unwrap();
        assert!(!reply.is_error(), "{parts:?}: {reply:?}");
    };
    for db in ["0", "7"] {
        send(&["SELECT", db]);
        send(&["SET", "int", "12345"]);
        send(&["SET", "text", "some text"]);
        send(&["SET", "long", &"many words ".repeat(3000)]);
        send(&["SET", "expiring", "soon", "EX", "100000"]);
        for (name, count) in [("small", 10), ("large", 2000)] {
            let items: Vec<String> = (0..count).map(|i| format!("item {i}")).collect();
            for item in &items {
                send(&["RPUSH", &format!("list:{name}"), item]);
                send(&["SADD", &format!("set:{name}"), item]);
                send(&["HSET", &format!("hash:{name}"), item, &item.repeat(3)]);
                send(&["ZADD", &format!("zset:{name}"), &format!("{}.5", item.len()), item]);
                send(&["SADD", &format!("intset:{name}"), &(item.len() * 7919).to_string()]);
                send(&["XADD", &format!("stream:{name}"), "*", "field", item]);
                send(&["PFADD", &format!("hll:{name}"), item]);
            }
        }
        send(&["XGROUP", "CREATE", "stream:small", "group", "0"]);
        send(&["XREADGROUP", "GROUP", "group", "me", "COUNT", "3", "STREAMS", "stream:small", ">"]);
        send(&["SETBIT", "bits", "70000", "1"]);
        send(&["GEOADD", "geo", "13.361389", "38.115556", "Palermo"]);
    }
}

/// Adds what random commands leave behind.
fn stir(server: &Server, seed: u64, commands: usize) {
    let mut client = server.client();
    let mut generator = Generator::new(seed, 2, 1);
    let mut done = 0;
    while done < commands {
        for step in generator.pipeline(0) {
            const OUT: &[&str] = &[
                "CLIENT",
                "CONFIG",
                "HELLO",
                "QUIT",
                "EXIT",
                "MONITOR",
                "RESET",
                "DEBUG",
                "AUTH",
                "SUBSCRIBE",
                "PSUBSCRIBE",
                "SSUBSCRIBE",
                "UNSUBSCRIBE",
                "PUNSUBSCRIBE",
                "SUNSUBSCRIBE",
            ];
            let blocks = step.name.starts_with('B') && step.name != "BITCOUNT";
            if OUT.contains(&step.name.split(' ').next().unwrap())
                || blocks
                || step.name.starts_with("XREAD")
            {
                continue;
            }
            client.roundtrip(&step.args).unwrap();
            done += 1;
        }
    }
    ask(&mut client, "DISCARD");
}

#[test]
fn a_snapshot_brings_everything_back() {
    let directory = Directory::new("snapshot");
    let server = Server::start_in(Kind::Respire, &directory, &[]);
    fill(&mut server.client());
    stir(&server, 1, 2000);
    let before = digest(&server);
    assert_eq!(text(&mut server.client(), "SAVE"), "OK");
    assert_eq!(field(&server, "rdb_changes_since_last_save"), "0");
    server.crash();
    let server = Server::start_in(Kind::Respire, &directory, &[]);
    assert_eq!(digest(&server), before);
    assert_eq!(text(&mut server.client(), "DEBUG RELOAD"), "OK");
    assert_eq!(digest(&server), before);
    // Whoever shuts down gets one, too, if there are save points.
    assert_eq!(text(&mut server.client(), "SET after 1"), "OK");
    ask(&mut server.client(), "CONFIG SET save 3600");
    let _ = server.client().roundtrip(&["CONFIG", "SET", "save", "3600 1"]);
    let after = digest(&server);
    let mut server = server;
    let _ = server.client().send(&["SHUTDOWN"]);
    assert!(server.wait_exit(Duration::from_secs(60)).is_some_and(|status| status.success()));
    let server = Server::start_in(Kind::Respire, &directory, &[]);
    assert_eq!(digest(&server), after);
}

#[test]
fn a_snapshot_is_loaded_beside_what_is_there() {
    let directory = Directory::new("merge");
    let server = Server::start_in(Kind::Respire, &directory, &[]);
    let mut client = server.client();
    let library = |name: &str| {
        format!(
            "#!lua name={name}\nredis.register_function('{name}', function() return '{name}' end)"
        )
    };
    let load = |client: &mut Client, name: &str| {
        let loaded = client.roundtrip(&["FUNCTION", "LOAD", &library(name)]).unwrap();
        assert!(!loaded.is_error(), "{loaded:?}");
    };
    ask(&mut client, "SET saved 1");
    ask(&mut client, "RPUSH list a b");
    load(&mut client, "saved");
    ask(&mut client, "SAVE");
    // What came after the snapshot stays, what it has too is as it was.
    ask(&mut client, "SET saved 2 EX 100");
    ask(&mut client, "SET list text");
    ask(&mut client, "SET later 1");
    load(&mut client, "later");
    assert_eq!(text(&mut client, "DEBUG RELOAD NOSAVE NOFLUSH MERGE"), "OK");
    assert_eq!(text(&mut client, "GET saved"), "1");
    assert_eq!(text(&mut client, "TTL saved"), "-1");
    assert_eq!(text(&mut client, "LLEN list"), "2");
    assert_eq!(text(&mut client, "GET later"), "1");
    assert_eq!(text(&mut client, "DBSIZE"), "3");
    assert_eq!(text(&mut client, "FCALL later 0"), "later");
    assert_eq!(text(&mut client, "FCALL saved 0"), "saved");
    // Without MERGE, a key or a library that is there already is an error.
    let refused = |client: &mut Client| {
        let reply = ask(client, "DEBUG RELOAD NOSAVE NOFLUSH");
        assert!(reply.is_error(), "{reply:?}");
    };
    refused(&mut client);
    ask(&mut client, "FLUSHALL");
    refused(&mut client);
    // And what is emptied before has no libraries left either.
    assert_eq!(text(&mut client, "DEBUG RELOAD NOSAVE"), "OK");
    assert_eq!(text(&mut client, "DBSIZE"), "2");
    assert!(ask(&mut client, "FCALL later 0").is_error());
    assert_eq!(text(&mut client, "FCALL saved 0"), "saved");
}

/// A request as it stands in a log.
fn logged(parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("${}\r\n{part}\r\n", part.len())).collect();
    format!("*{}\r\n{parts}", parts.matches("\r\n").count() / 2)
}

#[test]
fn a_log_of_old_may_have_scripts_in_it() {
    // Redis before 7 could write scripts instead of what they did, and those before 5 always did.
    let directory = Directory::new("scripts-in-log");
    let sum = "for i = 1, tonumber(ARGV[1]) do redis.call('INCR', KEYS[1]) end return redis.call('GET', KEYS[1])";
    let log = [
        logged(&["SELECT", "3"]),
        logged(&["EVAL", "redis.call('SELECT', 5) redis.call('SET', KEYS[1], 'five')", "1", "x"]),
        logged(&["SET", "y", "three"]),
        logged(&["MULTI"]),
        logged(&["EVAL", sum, "1", "n", "1000"]),
        // What fails did so the first time.
        logged(&[
            "EVAL",
            "redis.call('SET', KEYS[1], 1) return redis.call('LPUSH', KEYS[1], 1)",
            "1",
            "z",
        ]),
        logged(&["EXEC"]),
    ];
    fs::write(directory.path().join("appendonly.aof"), log.concat()).unwrap();
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    let mut client = server.client();
    for reload in [false, true] {
        if reload {
            assert_eq!(text(&mut client, "DEBUG LOADAOF"), "OK");
        }
        for (db, key, value) in
            [("5", "x", "five"), ("3", "y", "three"), ("3", "n", "1000"), ("3", "z", "1")]
        {
            ask(&mut client, &format!("SELECT {db}"));
            assert_eq!(text(&mut client, &format!("GET {key}")), value);
        }
    }
}

/// Saves a snapshot, and starts another server from a copy of it.
fn loaded_snapshot(server: &Server, directory: &Directory) -> (Directory, Server) {
    let saves: u64 = field(server, "rdb_saves").parse().unwrap();
    assert_eq!(text(&mut server.client(), "BGSAVE"), "Background saving started");
    wait_until("the snapshot", PATIENCE, || field(server, "rdb_saves") == (saves + 1).to_string());
    let copy = Directory::new("copy");
    fs::copy(directory.path().join("dump.rdb"), copy.path().join("dump.rdb")).unwrap();
    let loaded = Server::start_in(Kind::Respire, &copy, &[]);
    (copy, loaded)
}

#[test]
fn a_snapshot_is_of_one_moment_whatever_is_written_meanwhile() {
    let directory = Directory::new("moment");
    let server = Server::start_in(Kind::Respire, &directory, &["--io-threads", "2"]);
    let mut client = server.client();
    ask(&mut client, "DEBUG POPULATE 200000 key 50");
    // Each transaction moves one from an account to another: the sum stays the same.
    const ACCOUNTS: usize = 64;
    for i in 0..ACCOUNTS {
        ask(&mut client, &format!("SET account:{i} 1000"));
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut client = server.client();
                let mut rng = fastrand::Rng::with_seed(seed);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let (from, to) = (rng.usize(..ACCOUNTS), rng.usize(..ACCOUNTS));
                    for line in [
                        "MULTI".to_owned(),
                        format!("DECR account:{from}"),
                        format!("INCR account:{to}"),
                        "EXEC".to_owned(),
                        format!("SET key:{} other", rng.u32(..200_000)),
                        format!("DEL key:{}", rng.u32(..200_000)),
                    ] {
                        ask(&mut client, &line);
                    }
                }
            });
        }
        for _ in 0..3 {
            let (_copy, loaded) = loaded_snapshot(&server, &directory);
            let mut reader = loaded.client();
            let sum: i64 = (0..ACCOUNTS)
                .map(|i| text(&mut reader, &format!("GET account:{i}")).parse::<i64>().unwrap())
                .sum();
            assert_eq!(sum, 1000 * ACCOUNTS as i64);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// Collections that take a while to save, each of which a transaction gives the same number as all others, again and again.
#[test]
fn large_collections_are_of_the_same_moment_too() {
    const ELEMENTS: usize = 20_000;
    let directory = Directory::new("large");
    let server = Server::start_in(Kind::Respire, &directory, &["--io-threads", "2"]);
    let mut client = server.client();
    for first in (0..ELEMENTS).step_by(500) {
        let numbers: Vec<String> = (first..first + 500).map(|i| format!("e{i}")).collect();
        let plain = numbers.join(" ");
        let pairs: Vec<String> = numbers.iter().map(|n| format!("{n} {n}")).collect();
        let scored: Vec<String> = numbers.iter().map(|n| format!("1 {n}")).collect();
        for line in [
            format!("RPUSH list {plain}"),
            format!("SADD set {plain}"),
            format!("HSET hash {}", pairs.join(" ")),
            format!("ZADD zset {}", scored.join(" ")),
            format!("XADD stream {}-1 {}", first + 1, pairs.join(" ")),
        ] {
            assert!(!ask(&mut client, &line).is_error());
        }
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let is_over = || stop.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.client();
            for i in (1000..).take_while(|_| !is_over()) {
                for line in [
                    "MULTI".to_owned(),
                    format!("RPUSH list {i}"),
                    format!("SADD set {i}"),
                    format!("HSET hash now {i}"),
                    format!("SET number {i}"),
                    format!("ZADD zset {i} now"),
                    format!("XADD stream {ELEMENTS}{i}-1 now {i}"),
                    "EXEC".to_owned(),
                ] {
                    assert!(!ask(&mut client, &line).is_error(), "{line}");
                }
            }
        });
        scope.spawn(|| {
            // Beside it, the same keys by themselves, and by scripts.
            let mut client = server.client();
            let script = "redis.call('LSET', KEYS[1], 0, ARGV[1]) return redis.call('HDEL', KEYS[2], ARGV[1])";
            for i in (0..ELEMENTS).take_while(|_| !is_over()) {
                let number = i.to_string();
                let done = client.roundtrip(&["EVAL", script, "2", "list", "hash", &number]);
                assert!(!done.unwrap().is_error());
                ask(&mut client, &format!("ZREM zset e{i}"));
                ask(&mut client, &format!("SREM set e{i}"));
            }
        });
        for _ in 0..3 {
            let (_copy, loaded) = loaded_snapshot(&server, &directory);
            let mut reader = loaded.client();
            let Some(now) = ask(&mut reader, "GET number").text().map(<[u8]>::to_vec) else {
                assert!(ask(&mut reader, "HGET hash now").is_null());
                continue;
            };
            let now: u64 = String::from_utf8(now).unwrap().parse().unwrap();
            assert_eq!(text(&mut reader, "HGET hash now"), now.to_string());
            assert_eq!(text(&mut reader, "LINDEX list -1"), now.to_string());
            assert_eq!(text(&mut reader, "ZSCORE zset now"), now.to_string());
            assert_eq!(text(&mut reader, &format!("SISMEMBER set {now}")), "1");
            assert_eq!(text(&mut reader, &format!("SISMEMBER set {}", now + 1)), "0");
            let last = format!("{:?}", ask(&mut reader, "XREVRANGE stream + - COUNT 1"));
            assert!(last.contains(&format!("{ELEMENTS}{now}-1")), "{last} is not of {now}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn the_log_brings_everything_back() {
    let directory = Directory::new("log");
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    fill(&mut server.client());
    stir(&server, 2, 3000);
    let before = digest(&server);
    assert_eq!(text(&mut server.client(), "DEBUG LOADAOF"), "OK");
    assert_eq!(digest(&server), before);
    server.crash();
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    assert_eq!(digest(&server), before);
    // Through a rewrite under load.
    let rewrites = field(&server, "aof_rewrites");
    text(&mut server.client(), "BGREWRITEAOF");
    stir(&server, 3, 3000);
    wait_until("the rewrite", PATIENCE, || field(&server, "aof_rewrites") != rewrites);
    stir(&server, 4, 500);
    let after = digest(&server);
    server.crash();
    let files = fs::read_dir(directory.path().join("appendonlydir")).unwrap().count();
    assert_eq!(files, 3, "a base, an increment and the manifest");
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    assert_eq!(digest(&server), after);
    // Switched off, and on again, it begins anew.
    assert_eq!(text(&mut server.client(), "CONFIG SET appendonly no"), "OK");
    text(&mut server.client(), "SET unlogged 1");
    assert_eq!(text(&mut server.client(), "CONFIG SET appendonly yes"), "OK");
    wait_until("the log", PATIENCE, || {
        field(&server, "aof_enabled") == "1" && field(&server, "aof_rewrite_in_progress") == "0"
    });
    text(&mut server.client(), "SET logged 1");
    let last = digest(&server);
    server.crash();
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    assert_eq!(digest(&server), last);
}

/// Bases of the log as requests, which say everything that a snapshot does but the use of keys.
#[test]
fn a_base_may_consist_of_requests() {
    let options = [APPEND, &["--aof-use-rdb-preamble", "no"]].concat();
    let (directory, copy) = (Directory::new("requests"), Directory::new("copy"));
    let server = Server::start_in(Kind::Respire, &directory, &options);
    let mut client = server.client();
    stir(&server, 8, 3000);
    fill(&mut client);
    // A group that waits for an entry that is gone, one that waits for entries, and an empty stream.
    for line in [
        "SELECT 7",
        "XGROUP CREATE stream:large other 0",
        "XREADGROUP GROUP other you COUNT 2 STREAMS stream:large >",
        "XADD gone 1-1 a b",
        "XGROUP CREATE gone group 0",
        "XREADGROUP GROUP group me STREAMS gone >",
        "XDEL gone 1-1",
        "HSET timed a 1 b 2",
        "HPEXPIREAT timed 99999999999999 FIELDS 1 a",
    ] {
        ask(&mut client, line);
    }
    let before = field(&server, "aof_rewrites");
    text(&mut client, "BGREWRITEAOF");
    wait_until("the rewrite", PATIENCE, || field(&server, "aof_rewrites") != before);
    text(&mut client, "SET behind 1");
    let wanted = digest(&server);
    let details = |server: &Server| {
        let mut client = server.client();
        ask(&mut client, "SELECT 7");
        [
            "XINFO STREAM stream:small FULL COUNT 0",
            "XPENDING stream:large other",
            "XPENDING gone group",
            "HPEXPIRETIME timed FIELDS 2 a b",
            "PEXPIRETIME expiring",
        ]
        .map(|line| {
            let reply = ask(&mut client, line);
            assert!(!reply.is_error(), "{line}: {reply:?}");
            without_consumers(reply)
        })
    };
    let told = details(&server);
    server.crash();
    let base = directory.path().join("appendonlydir/appendonly.aof.2.base.aof");
    assert!(fs::read(&base).unwrap().starts_with(b"*"), "requests, and not an RDB file");
    copy_dir(&directory.path().join("appendonlydir"), &copy.path().join("appendonlydir"));
    let server = Server::start_in(Kind::Respire, &directory, &options);
    assert_eq!(digest(&server), wanted);
    assert_eq!(details(&server), told);
    // No server of that time has fields that expire.
    ask(&mut server.client(), "FLUSHALL");
    fill(&mut server.client());
    text(&mut server.client(), "BGREWRITEAOF");
    wait_until("the second rewrite", PATIENCE, || field(&server, "aof_rewrites") == "1");
    let wanted = digest(&server);
    server.crash();
    if redis_path("the append-only file is not exchanged with redis-server").is_none() {
        return;
    }
    let log = copy.path().join("appendonlydir");
    fs::remove_dir_all(&log).unwrap();
    copy_dir(&directory.path().join("appendonlydir"), &log);
    let other = Server::start_in(Kind::Redis, &copy, APPEND);
    assert_eq!(digest(&other), wanted);
}

/// A reply without the part about consumers of XINFO's, which says when they were last heard of.
fn without_consumers(reply: Value) -> Value {
    match reply {
        Value::Array(items) => {
            let at = items.iter().position(|item| item.text() == Some(b"consumers"));
            let cut = at.map_or(items.len(), |at| at);
            Value::Array(items.into_iter().take(cut).map(without_consumers).collect())
        }
        other => other,
    }
}

#[test]
fn the_log_is_switched_off_and_on_inside_transactions() {
    let directory = Directory::new("switched");
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    let mut client = server.client();
    for (value, enabled) in [("no", "0"), ("yes", "1")] {
        let switch = format!("CONFIG SET appendonly {value}");
        for line in ["MULTI", "SET a 1", "KEYS *", &switch] {
            ask(&mut client, line);
        }
        let Value::Array(replies) = ask(&mut client, "EXEC") else { panic!("no replies") };
        assert_eq!(replies[2], Value::Simple(b"OK".to_vec()));
        assert_eq!(field(&server, "aof_enabled"), enabled);
        assert_eq!(text(&mut client, &format!("SET {value} 1")), "OK");
    }
    wait_until("the log", PATIENCE, || {
        field(&server, "aof_rewrite_in_progress") == "0"
            && field(&server, "aof_rewrite_scheduled") == "0"
    });
    text(&mut client, "SET last 1");
    let wanted = digest(&server);
    server.crash();
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    assert_eq!(digest(&server), wanted);
}

/// Lets no file of the server grow beyond so many bytes: as good as a full disk.
fn limit_files(server: &Server, bytes: &str) {
    let status = std::process::Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), &format!("--fsize={bytes}:")])
        .status();
    assert!(status.expect("prlimit is part of util-linux").success());
}

fn error(client: &mut Client, line: &str) -> String {
    match ask(client, line) {
        Value::Error(text) => String::from_utf8(text).unwrap(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let directory = Directory::new("full");
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    let mut client = server.client();
    limit_files(&server, "20000");
    let value = "x".repeat(1000);
    // What was accepted before the log was found to be full waits for room, and is not lost.
    let refused = (0..100).find(|i| ask(&mut client, &format!("SET key:{i} {value}")).is_error());
    assert!(refused.is_some_and(|i| i >= 18), "{refused:?}");
    for line in ["SET other 1", "DEL key:0", "PING"] {
        assert_eq!(
            error(&mut client, line),
            "MISCONF Errors writing to the AOF file: File too large"
        );
    }
    assert_eq!(text(&mut client, "GET key:0"), value);
    assert_eq!(field(&server, "aof_last_write_status"), "err");
    limit_files(&server, "unlimited");
    wait_until("the log", PATIENCE, || !ask(&mut client, "SET other 1").is_error());
    assert_eq!(field(&server, "aof_last_write_status"), "ok");
    let wanted = digest(&server);
    server.crash();
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    assert_eq!(digest(&server), wanted);
}

#[test]
fn a_snapshot_that_finds_no_room_refuses_writes_and_leaves_the_old_one() {
    let directory = Directory::new("no-room");
    let server = Server::start_in(Kind::Respire, &directory, &["--save", "3600 1000000"]);
    let mut client = server.client();
    text(&mut client, "SET kept 1");
    text(&mut client, "SAVE");
    let before = fs::read(directory.path().join("dump.rdb")).unwrap();
    text(&mut client, "DEBUG POPULATE 10000 key 100");
    limit_files(&server, "20000");
    text(&mut client, "BGSAVE");
    wait_until("the failure", PATIENCE, || field(&server, "rdb_last_bgsave_status") == "err");
    assert!(error(&mut client, "SET a 1").starts_with("MISCONF Redis is configured to save RDB"));
    assert_eq!(text(&mut client, "GET kept"), "1");
    let names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("rdb"))
        .collect();
    assert_eq!(names, ["dump.rdb"], "nothing half done stays");
    assert_eq!(fs::read(directory.path().join("dump.rdb")).unwrap(), before);
    text(&mut client, "CONFIG SET stop-writes-on-bgsave-error no");
    wait_until("the setting", PATIENCE, || !ask(&mut client, "SET a 1").is_error());
    text(&mut client, "CONFIG SET stop-writes-on-bgsave-error yes");
    limit_files(&server, "unlimited");
    text(&mut client, "SAVE");
    assert_eq!(text(&mut client, "SET a 2"), "OK");
    assert_eq!(field(&server, "rdb_last_bgsave_status"), "ok");
}

/// Clients of several threads change the same few keys, with transactions, waiting clients and expiry in between; the order in
/// the log has to be the order in memory.
#[test]
fn the_order_of_the_log_is_that_of_the_changes() {
    let directory = Directory::new("order");
    for fsync in ["everysec", "always"] {
        let options = [APPEND, &["--appendfsync", fsync, "--io-threads", "2"]].concat();
        let server = Server::start_in(Kind::Respire, &directory, &options);
        std::thread::scope(|scope| {
            for seed in 0..6 {
                let server = &server;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(seed);
                    let mut client = server.client();
                    for _ in 0..300 {
                        let (a, b) = (rng.u8(..4), rng.u8(..4));
                        let line = match rng.u8(..14) {
                            0 => format!("APPEND s{a} {seed}"),
                            1 => format!("SET s{a} {seed} PX 3"),
                            2 => format!("RPUSH l{a} {seed}"),
                            3 => format!("LMOVE l{a} l{b} LEFT RIGHT"),
                            4 => format!("BLPOP l{a} l{b} 0.01"),
                            5 => format!("BLMOVE l{a} l{b} RIGHT LEFT 0.01"),
                            6 => format!("SADD t{a} {seed} {b}"),
                            7 => format!("SPOP t{a}"),
                            8 => format!("SMOVE t{a} t{b} {seed}"),
                            9 => format!("XADD x{a} * f {seed}"),
                            10 => format!("RENAME s{a} s{b}"),
                            11 => format!("ZADD z{a} {b} {seed}"),
                            12 => format!("ZPOPMIN z{a}"),
                            _ => {
                                ask(&mut client, "MULTI");
                                ask(&mut client, &format!("APPEND s{a} m{seed}"));
                                ask(&mut client, &format!("RPUSH l{b} m{seed}"));
                                "EXEC".to_owned()
                            }
                        };
                        ask(&mut client, &line);
                        if seed == 0 && rng.u8(..100) == 0 {
                            ask(&mut client, "BGREWRITEAOF");
                        }
                    }
                });
            }
        });
        // What was about to expire is gone.
        std::thread::sleep(Duration::from_millis(300));
        let wanted = digest(&server);
        server.crash();
        let server = Server::start_in(Kind::Respire, &directory, &options);
        assert_eq!(digest(&server), wanted, "{fsync}");
    }
}

#[test]
fn a_log_that_was_cut_is_good_up_to_there() {
    let directory = Directory::new("cut");
    let server = Server::start_in(Kind::Respire, &directory, APPEND);
    let mut client = server.client();
    text(&mut client, "SET a 1");
    for line in ["MULTI", "SET b 1", "SET c 1", "EXEC"] {
        ask(&mut client, line);
    }
    server.crash();
    let log = directory.path().join("appendonlydir/appendonly.aof.1.incr.aof");
    let whole = fs::read(&log).unwrap();
    let first = whole.windows(5).position(|part| part == b"MULTI").unwrap();
    for len in (0..whole.len()).rev().step_by(3) {
        fs::write(&log, &whole[..len]).unwrap();
        if len % 9 == 0 {
            let refused = Server::try_start_in(
                Kind::Respire,
                &directory,
                &[APPEND, &["--aof-load-truncated", "no"]].concat(),
            );
            let cut_between = len == 0 || len == first - 8 || whole[..len].ends_with(b"\r\n0\r\n");
            if !cut_between {
                assert!(refused.is_err_and(|why| why.contains("Unexpected end of file")), "{len}");
            }
        }
        let server = Server::start_in(Kind::Respire, &directory, APPEND);
        let mut client = server.client();
        let there: Vec<bool> =
            ["a", "b", "c"].map(|key| text(&mut client, &format!("EXISTS {key}")) == "1").into();
        assert!(!there[1] && !there[2], "half a transaction at {len}");
        assert_eq!(there[0], len + 8 >= first, "at {len}");
        // What follows is kept.
        text(&mut client, "SET d 1");
        let wanted = digest(&server);
        server.crash();
        let server = Server::start_in(Kind::Respire, &directory, APPEND);
        assert_eq!(digest(&server), wanted);
        server.crash();
        if len < first.saturating_sub(60) {
            break;
        }
    }
    // In the middle of the log, nothing may be missing.
    fs::write(&log, whole.iter().map(|b| if *b == b'*' { b'!' } else { *b }).collect::<Vec<u8>>())
        .unwrap();
    let refused = Server::try_start_in(Kind::Respire, &directory, APPEND);
    assert!(refused.is_err());
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let directory = Directory::new("damaged");
    let server = Server::start_in(Kind::Respire, &directory, &[]);
    fill(&mut server.client());
    text(&mut server.client(), "SAVE");
    server.crash();
    let path = directory.path().join("dump.rdb");
    let whole = fs::read(&path).unwrap();
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..6 {
        let mut damaged = whole.clone();
        if rng.bool() {
            damaged.truncate(rng.usize(..whole.len()));
        } else {
            damaged[rng.usize(..whole.len())] ^= 1 << rng.u8(..8);
        }
        fs::write(&path, &damaged).unwrap();
        let refused = Server::try_start_in(Kind::Respire, &directory, &[]);
        let why = refused.err().unwrap_or_else(|| panic!("it starts on a damaged file"));
        assert!(why.contains("Fatal error loading the DB"), "{why}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "the file is left as it is");
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn redis_server_loads_what_is_written_here_and_the_other_way() {
    if redis_path("files are not exchanged with redis-server").is_none() {
        return;
    }
    for (from, to) in [(Kind::Respire, Kind::Redis), (Kind::Redis, Kind::Respire)] {
        let (source, target) = (Directory::new("source"), Directory::new("target"));
        let server = Server::start_in(from, &source, &[]);
        fill(&mut server.client());
        stir(&server, 5, 4000);
        let mut client = server.client();
        // Nothing may expire between the two.
        let wanted = digest(&server);
        text(&mut client, "SAVE");
        fs::copy(source.path().join("dump.rdb"), target.path().join("dump.rdb")).unwrap();
        let other = Server::start_in(to, &target, &[]);
        assert_eq!(digest(&other), wanted, "{from:?} to {to:?}");
        compare_encodings(&server, &other);
    }
}

/// The names of encodings and the expiries of all keys.
fn compare_encodings(one: &Server, other: &Server) {
    let (mut one, mut other) = (one.client(), other.client());
    for db in ["0", "7"] {
        for client in [&mut one, &mut other] {
            ask(client, &format!("SELECT {db}"));
        }
        let Value::Array(keys) = ask(&mut one, "KEYS *") else { panic!("no keys") };
        for key in keys {
            let key = key.text().unwrap().to_vec();
            for command in [&[b"OBJECT".as_slice(), b"ENCODING", &key][..], &[b"PEXPIRETIME", &key]]
            {
                let (a, b) = (one.roundtrip(command).unwrap(), other.roundtrip(command).unwrap());
                // Lists and sets have one encoding more since 7.2.
                let newer = Value::Bulk(b"listpack".to_vec());
                let kind = one.roundtrip(&[b"TYPE".as_slice(), &key]).unwrap();
                let grew = [b"list".to_vec(), b"set".to_vec()].map(Value::Simple).contains(&kind);
                // A string that was changed in place is `raw` until it is loaded.
                let raw = Value::Bulk(b"raw".to_vec());
                // What a script stored in redis-server may be a number that was not recognised as one.
                let text = Value::Bulk(b"embstr".to_vec());
                // What was large and is small again is compact when it is loaded, in both servers.
                let large = [b"skiplist".to_vec(), b"hashtable".to_vec()].map(Value::Bulk);
                let shrank = large.contains(&a) && b == newer;
                if grew && (a == newer || b == newer) || shrank || a == raw || a == text {
                    continue;
                }
                assert_eq!(a, b, "{} of {}", command[0].escape_ascii(), key.escape_ascii());
            }
        }
    }
}

#[test]
fn the_log_is_exchanged_with_redis_server() {
    if redis_path("the append-only file is not exchanged with redis-server").is_none() {
        return;
    }
    for (from, to) in [(Kind::Respire, Kind::Redis), (Kind::Redis, Kind::Respire)] {
        let (source, target) = (Directory::new("source"), Directory::new("target"));
        // Redis keeps what it writes to itself for up to two seconds where the disk is slow, unless it is to be safe at once.
        let server =
            Server::start_in(from, &source, &[APPEND, &["--appendfsync", "always"]].concat());
        fill(&mut server.client());
        stir(&server, 6, 4000);
        let wanted = digest(&server);
        server.crash();
        let name = "appendonlydir";
        copy_dir(&source.path().join(name), &target.path().join(name));
        let other = Server::start_in(to, &target, APPEND);
        assert_eq!(digest(&other), wanted, "{from:?} to {to:?}");
    }
}
