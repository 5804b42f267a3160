//! Memory that is limited: the limit holds while several clients write, the keys that are used stay, and what is
//! reported agrees with the allocator.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use respire_tests::ask::wait_until;
use respire_tests::server::free_port;
use respire_tests::{Client, Kind, Server, Value, encode};

/// What memory may be above its limit at any moment: what threads hold in their caches and have not made known yet, and
/// the buffers of the clients at work.
const SLACK: u64 = 3 << 20;

fn info(client: &mut Client, section: &str, field: &str) -> u64 {
    let reply = client.roundtrip(&["INFO", section]).expect("a reply");
    let text = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.expect("the field").trim().parse().expect("a number")
}

fn number(client: &mut Client, args: &[&str]) -> i64 {
    match client.roundtrip(args).expect("a reply") {
        Value::Integer(number) => number,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn ok(client: &mut Client, args: &[&str]) {
    assert_eq!(client.roundtrip(args).expect("a reply"), Value::Simple(b"OK".to_vec()), "{args:?}");
}

/// Sends requests that `make` makes from their numbers, in batches, and returns how many were answered with errors.
fn send_all(client: &mut Client, count: usize, make: impl Fn(usize) -> Vec<String>) -> usize {
    const BATCH: usize = 500;
    let mut errors = 0;
    for from in (0..count).step_by(BATCH) {
        let to = count.min(from + BATCH);
        let mut bytes = Vec::new();
        (from..to).for_each(|i| encode(&mut bytes, &make(i)));
        client.send_raw(&bytes).expect("sent");
        for _ in from..to {
            errors += usize::from(client.read().expect("a reply").is_error());
        }
    }
    errors
}

#[test]
fn the_limit_holds_under_a_storm_of_writes() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let limit = 24 << 20;
    let limit_text = limit.to_string();
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-ttl"] {
        let args = ["--maxmemory", &limit_text, "--maxmemory-policy", policy, "--io-threads", "2"];
        let server = Server::start(Kind::Respire, &args);
        let done = AtomicBool::new(false);
        let mut watcher = server.client();
        let (mut most, mut looks) = (0, 0);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..4_u64)
                .map(|n| {
                    let mut client = server.client();
                    scope.spawn(move || {
                        let rng = std::cell::RefCell::new(fastrand::Rng::with_seed(seed ^ n));
                        let errors = send_all(&mut client, 40_000, |_| {
                            let mut rng = rng.borrow_mut();
                            let key = format!("key:{}", rng.u32(..200_000));
                            let value = "x".repeat(rng.usize(..4000));
                            match rng.u8(..4) {
                                0 => vec!["SETRANGE".into(), key, "0".into(), value],
                                _ => ["SET", &key, &value, "EX", "1000"].map(String::from).into(),
                            }
                        });
                        // A key may hold no expiry, and then may not go; memory then is not full for long.
                        assert!(errors == 0 || policy == "volatile-ttl", "{policy}: {errors}");
                    })
                })
                .collect();
            scope.spawn(|| {
                writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                most = most.max(info(&mut watcher, "memory", "used_memory"));
                looks += 1;
            }
        });
        assert!(most <= limit + SLACK, "{policy}: {most} bytes at most, in {looks} looks");
        assert!(info(&mut watcher, "stats", "evicted_keys") > 1000, "{policy}");
        let used = info(&mut watcher, "memory", "used_memory");
        assert!(used > limit / 2, "{policy}: only {used} bytes are left");
    }
}

/// What memory is used, as it is told to those who send no command: a command would have something evicted itself.
fn used_memory_unasked(port: u16) -> u64 {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let figure = answer.lines().find_map(|line| line.strip_prefix("respire_used_memory "));
    figure.expect("the figure").parse::<f64>().expect("a number") as u64
}

#[test]
fn a_lower_limit_evicts_without_a_request() {
    let port = free_port();
    let args = ["--maxmemory-policy", "allkeys-lru", "--metrics-port", &port.to_string()];
    let server = Server::start(Kind::Respire, &args);
    let mut client = server.client();
    let value = "x".repeat(1000);
    send_all(&mut client, 40_000, |i| vec!["SET".into(), format!("key:{i}"), value.clone()]);
    let used = info(&mut client, "memory", "used_memory");
    let limit = used / 2;
    ok(&mut client, &["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    assert!(server.log().contains("the new maxmemory value set via CONFIG SET"));
    wait_until("the limit", Duration::from_secs(60), || used_memory_unasked(port) <= limit + SLACK);
    assert!(number(&mut client, &["DBSIZE"]) > 10_000);
}

#[test]
fn refusals_are_those_of_redis() {
    let unchecked = "replies while memory is full";
    let Some((respire, redis)) = Server::start_pair(&[], unchecked) else { return };
    let script: &[&[&str]] = &[
        &["SET", "k", "v"],
        &["CONFIG", "SET", "maxmemory", "1"],
        &["SET", "k", "w"],
        &["GET", "k"],
        &["APPEND", "k", "w"],
        &["EXPIRE", "k", "100"],
        &["MULTI"],
        &["GET", "k"],
        &["PING"],
        &["EXEC"],
        &["MULTI"],
        &["DISCARD"],
        &["MULTI"],
        &["MULTI"],
        &["RESET"],
        &["DEL", "k"],
        &["CONFIG", "SET", "maxmemory", "0"],
        &["MULTI"],
        &["SET", "k", "v"],
        &["GET", "k"],
        &["CONFIG", "SET", "maxmemory", "1"],
        &["EXEC"],
        &["BLPOP", "k", "1"],
        &["RPUSH", "list", "x"],
        &["LPOP", "list"],
        &["SORT", "list", "STORE", "other"],
        &["FLUSHALL"],
        &["CONFIG", "SET", "maxmemory-policy", "volatile-lru"],
        &["SET", "k", "v"],
        &["CONFIG", "SET", "maxmemory", "0"],
        &["SET", "kept", "v"],
        &["SET", "goes", "v", "EX", "100"],
        &["CONFIG", "SET", "maxmemory", "1"],
        &["PING"],
        &["EXISTS", "kept", "goes"],
        &["SET", "k", "v"],
        &["CONFIG", "SET", "maxmemory-policy", "allkeys-random"],
        &["PING"],
        &["DBSIZE"],
    ];
    let (mut ours, mut theirs) = (respire.client(), redis.client());
    for (step, args) in script.iter().enumerate() {
        let reply = ours.roundtrip(args).expect("a reply");
        assert_eq!(reply, theirs.roundtrip(args).expect("a reply"), "{step}: {args:?}");
    }
}

/// Hits in a thousand of a cache of values of many sizes, read with keys of a Zipfian distribution and filled on a miss.
fn hits_per_mille(kind: Kind, policy: &str, seed: u64) -> u64 {
    const KEYS: usize = 300_000;
    const READS: usize = 400_000;
    const BATCH: usize = 100;
    let args = ["--maxmemory", "16mb", "--maxmemory-policy", policy, "--save", ""];
    let server = Server::start(kind, &args);
    let mut client = server.client();
    let mut sum = 0.0;
    let steps: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += 1.0 / (rank as f64).powf(0.9);
            sum
        })
        .collect();
    let mut rng = fastrand::Rng::with_seed(seed);
    let value = "x".repeat(300);
    let value_of = |key: &str| {
        let number = u32::from_str_radix(&key[4..], 16).expect("a name made below");
        &value[..(number / 977) as usize % value.len()]
    };
    let (mut hits, mut counted) = (0, 0);
    for batch in 0..READS / BATCH {
        let keys: Vec<String> = (0..BATCH)
            .map(|_| {
                let at = rng.f64() * sum;
                // Ranks are strewn over the names, so that neighbours have nothing in common.
                let rank = steps.partition_point(|step| *step < at);
                format!("key:{:08x}", (rank as u32).wrapping_mul(0x9e37_79b1))
            })
            .collect();
        let mut bytes = Vec::new();
        keys.iter().for_each(|key| encode(&mut bytes, &["GET", key]));
        client.send_raw(&bytes).expect("sent");
        let replies: Vec<Value> = keys.iter().map(|_| client.read().expect("a reply")).collect();
        bytes.clear();
        let mut missed = 0;
        for (key, reply) in keys.iter().zip(&replies) {
            if matches!(reply, Value::NullBulk) {
                encode(&mut bytes, &["SET", key, value_of(key)]);
                missed += 1;
            }
        }
        client.send_raw(&bytes).expect("sent");
        (0..missed).for_each(|_| drop(client.read().expect("a reply")));
        // The cache fills first.
        if batch > READS / BATCH / 3 {
            hits += (BATCH - missed) as u64;
            counted += BATCH as u64;
        }
    }
    hits * 1000 / counted
}

#[test]
fn more_reads_hit_than_with_redis() {
    if respire_tests::server::redis_path("the hit ratio of a limited cache").is_none() {
        return;
    }
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    for policy in ["allkeys-lru", "allkeys-lfu"] {
        let ours = hits_per_mille(Kind::Respire, policy, seed);
        let theirs = hits_per_mille(Kind::Redis, policy, seed);
        println!("{policy}: hits of a thousand: Respire {ours}, redis-server {theirs}");
        assert!(ours >= theirs, "{policy}: Respire {ours}, redis-server {theirs}");
    }
}

#[test]
fn the_greediest_client_is_closed() {
    let server = Server::start(Kind::Respire, &["--maxmemory-clients", "10mb"]);
    let mut admin = server.client();
    ok(&mut admin, &["CLIENT", "NO-EVICT", "ON"]);
    ok(&mut admin, &["SET", "large", &"x".repeat(1 << 20)]);
    let mut modest = server.client();
    ok(&mut modest, &["SET", "k", "v"]);
    let mut greedy = server.client();
    greedy.set_read_timeout(Duration::from_secs(60)).expect("set");
    // It reads none of its replies.
    let mut bytes = Vec::new();
    (0..64).for_each(|_| encode(&mut bytes, &["GET", "large"]));
    greedy.send_raw(&bytes).expect("sent");
    let start = Instant::now();
    while info(&mut admin, "stats", "evicted_clients") == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody was closed");
        thread::sleep(Duration::from_millis(10));
    }
    ok(&mut modest, &["SET", "k", "w"]);
    assert_eq!(info(&mut admin, "stats", "evicted_clients"), 1);
    // Large requests that are not whole yet count, too.
    let mut slow = server.client();
    slow.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000000\r\n").expect("sent");
    for _ in 0..16 {
        // It may be closed before the last.
        let _ = slow.send_raw(&vec![b'x'; 1 << 20]);
    }
    while info(&mut admin, "stats", "evicted_clients") == 1 {
        assert!(start.elapsed() < Duration::from_secs(120), "the second was not closed");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn telling_of_evictions_is_no_reason_for_more() {
    // Far more than what is counted a moment later, or is in buffers, can be about.
    const KEYS: i64 = 2000;
    const EXCESS: u64 = 40_000;
    let server = Server::start(Kind::Respire, &["--maxmemory-policy", "allkeys-lru"]);
    let mut admin = server.client();
    ok(&mut admin, &["CONFIG", "SET", "maxmemory-eviction-tenacity", "100"]);
    // Each key that goes makes ten messages of its size, which nobody reads.
    let mut trackers: Vec<Client> = (0..10).map(|_| server.client()).collect();
    for tracker in &mut trackers {
        tracker.roundtrip(&["HELLO", "3"]).expect("a reply");
        ok(tracker, &["CLIENT", "TRACKING", "ON"]);
    }
    for i in 0..KEYS {
        let key = format!("{i:1000}");
        ok(&mut admin, &["SET", &key, "x"]);
        for tracker in &mut trackers {
            tracker.roundtrip(&["GET", &key]).expect("a reply");
        }
    }
    let limit = info(&mut admin, "memory", "used_memory") - EXCESS;
    ok(&mut admin, &["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    let left = number(&mut admin, &["DBSIZE"]);
    assert!((KEYS / 2..KEYS).contains(&left), "{left} keys are left");
}

#[test]
fn what_a_client_may_not_hold_is_not_executed() {
    const LIMIT: usize = 3_000_000;
    let server = Server::start(Kind::Respire, &["--maxmemory-clients", &LIMIT.to_string()]);
    let mut admin = server.client();
    let mut client = server.client();
    ok(&mut client, &["CLIENT", "SETNAME", "large"]);
    // Of a request that is gathered, what has come is shown.
    let arg = 1_000_000;
    client.send_raw(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${arg}\r\n").as_bytes()).expect("sent");
    client.send_raw(&vec![b'x'; arg - 1]).expect("sent");
    let start = Instant::now();
    let shown = |admin: &mut Client| {
        let reply = admin.roundtrip(&["CLIENT", "LIST"]).expect("a reply");
        let list = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
        let line = list.lines().find(|line| line.contains(" name=large ")).expect("it is there");
        let query = line.split_once(" qbuf=").expect("the field").1;
        query.split(' ').next().expect("a number").parse::<usize>().expect("a number")
    };
    // The small arguments count as well.
    while shown(&mut admin) != arg - 1 + "SETk".len() {
        assert!(start.elapsed() < Duration::from_secs(60), "{} bytes", shown(&mut admin));
        thread::sleep(Duration::from_millis(5));
    }
    client.send_raw(b"x\r\n").expect("sent");
    assert_eq!(client.read().expect("a reply"), Value::Simple(b"OK".to_vec()));
    // All that came is too much, though it need never be held at once with anything else.
    let _ = client.send(&["SET", "k2", &"v".repeat(LIMIT)]);
    assert!(client.read().is_err(), "it is closed without a reply");
    assert_eq!(number(&mut admin, &["EXISTS", "k", "k2"]), 1);
    assert_eq!(info(&mut admin, "stats", "evicted_clients"), 1);
}

/// A shape of values: its name, the bytes of each part, the number of parts, and the request that makes one.
type Shape = (&'static str, fn(&str, usize) -> Vec<String>, &'static [usize]);

fn parts(command: &str, key: &str, parts: impl Iterator<Item = String>) -> Vec<String> {
    [command.to_owned(), key.to_owned()].into_iter().chain(parts).collect()
}

const SHAPES: &[Shape] = &[
    ("string", |key, n| vec!["SET".into(), key.into(), "x".repeat(n)], &[1, 20, 100, 1000, 5000]),
    ("set of integers", |key, n| parts("SADD", key, (0..n).map(|i| i.to_string())), &[5, 100]),
    ("set", |key, n| parts("SADD", key, (0..n).map(|i| format!("member:{i}"))), &[5, 100, 1000]),
    (
        "hash",
        |key, n| parts("HSET", key, (0..2 * n).map(|i| format!("{}:{}", ["f", "v"][i % 2], i / 2))),
        &[5, 100, 1000],
    ),
    (
        "sorted set",
        |key, n| {
            let pair =
                |i: usize| if i.is_multiple_of(2) { i.to_string() } else { format!("m:{i}") };
            parts("ZADD", key, (0..2 * n).map(pair))
        },
        &[5, 100, 1000],
    ),
    ("list", |key, n| parts("RPUSH", key, (0..n).map(|i| format!("item:{i}"))), &[5, 100, 3000]),
    (
        "stream",
        |key, n| parts("XADD", key, ["*".into(), "field".into(), "x".repeat(n)].into_iter()),
        &[10, 1000],
    ),
];

#[test]
fn memory_usage_agrees_with_the_allocator() {
    for (name, make, sizes) in SHAPES {
        for &size in *sizes {
            let server = Server::start(Kind::Respire, &["--io-threads", "1"]);
            let mut client = server.client();
            let before = info(&mut client, "memory", "used_memory");
            // So many that what the allocator keeps for the next request does not matter.
            let each =
                if matches!(*name, "string" | "stream") { size + 60 } else { size * 12 + 60 };
            let count = 25_000_000 / each;
            let failed = send_all(&mut client, count, |i| make(&format!("key:{i:08}"), size));
            assert_eq!(failed, 0, "{name}");
            let truth = info(&mut client, "memory", "used_memory").saturating_sub(before);
            let mut told = 0;
            let asked = count.min(500);
            for i in (0..asked).map(|i| i * (count / asked)) {
                let key = format!("key:{i:08}");
                told += number(&mut client, &["MEMORY", "USAGE", &key, "SAMPLES", "0"]) as u64;
            }
            told = told * count as u64 / asked as u64;
            println!(
                "{name} of {size}: {} bytes each, told {}",
                truth / count as u64,
                told / count as u64
            );
            let off = told.abs_diff(truth) as f64 / truth as f64;
            assert!(off <= 0.1, "{name} of {size}, {count} keys: {truth} bytes, told {told}");
        }
    }
}
