//! What the server does by itself: keys whose time has come go away unasked, memory comes back, connections are spread
//! over the threads, and where there is nothing to do nothing is done.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use respire_tests::{Client, Kind, Server, Value, encode};

const KEYS: usize = 1_000_000;
/// Requests that are sent before their replies are read.
const BATCH: usize = 10_000;
/// Far more than anything here may take: the checks also run on slow, busy machines.
const PATIENCE: Duration = Duration::from_secs(60);

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    now.as_millis() as u64
}

/// Sends `KEYS` requests, each made from its number, in batches. Every reply must be `reply`.
fn load(client: &mut Client, reply: &Value, request: impl Fn(usize) -> Vec<String>) {
    for batch in 0..KEYS / BATCH {
        let mut bytes = Vec::new();
        for i in batch * BATCH..(batch + 1) * BATCH {
            encode(&mut bytes, &request(i));
        }
        client.send_raw(&bytes).expect("sent");
        for _ in 0..BATCH {
            assert_eq!(client.read().expect("a reply"), *reply);
        }
    }
}

/// Loads keys that expire in the same second. Returns its beginning, which is still to come.
fn load_expiring(client: &mut Client) -> u64 {
    let ok = Value::Simple(b"OK".to_vec());
    for ahead in [6000, 30_000, 200_000] {
        let due = unix_ms() + ahead;
        load(client, &ok, |i| {
            let (key, at) = (format!("key:{i:012}"), due + i as u64 % 1000);
            vec!["SET".into(), key, "x".repeat(32), "PXAT".into(), at.to_string()]
        });
        // Counted before that second begins, all must be there.
        let keys = dbsize(client);
        if unix_ms() < due {
            assert_eq!(keys, KEYS);
            return due;
        }
        client.roundtrip(&["FLUSHALL"]).expect("a reply");
    }
    panic!("a machine too slow for this test");
}

fn dbsize(client: &mut Client) -> usize {
    match client.roundtrip(&["DBSIZE"]).expect("a reply") {
        Value::Integer(keys) => keys as usize,
        other => panic!("DBSIZE: {other:?}"),
    }
}

/// Asks `look` again until it is true; panics if that takes too long.
fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        sleep(Duration::from_millis(20));
    }
}

/// Resident memory, bytes.
fn resident(server: &Server) -> u64 {
    let path = format!("/proc/{}/status", server.pid());
    let status = fs::read_to_string(path).expect("the server's status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    let kib = line.split_ascii_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    kib.expect("a number") * 1024
}

#[test]
fn a_million_keys_of_the_same_second_go_away_unasked() {
    let server = Server::start(Kind::Respire, &["--io-threads", "2"]);
    let mut client = server.client();
    let due = load_expiring(&mut client);
    until("that second", || unix_ms() > due + 1000);
    let begun = Instant::now();
    until("their end", || dbsize(&mut client) == 0);
    println!("the last of a million keys was gone {:?} after its second", begun.elapsed());
}

/// Deleting shrinks the tables, too: they would keep a sixth of the memory.
#[test]
fn memory_comes_back_when_keys_are_deleted() {
    let server = Server::start(Kind::Respire, &["--io-threads", "1"]);
    let mut client = server.client();
    let before = resident(&server);
    let value = "x".repeat(32);
    let ok = Value::Simple(b"OK".to_vec());
    load(&mut client, &ok, |i| vec!["SET".into(), format!("key:{i:012}"), value.clone()]);
    let full = resident(&server);
    assert!(full - before > 40 * KEYS as u64, "{before} to {full}");
    load(&mut client, &Value::Integer(1), |i| vec!["DEL".into(), format!("key:{i:012}")]);
    assert_eq!(dbsize(&mut client), 0);
    until("the return of their memory", || {
        client.roundtrip(&["MEMORY", "PURGE"]).expect("a reply");
        resident(&server) < before + (full - before) / 8
    });
}

/// Four of five keys are deleted, at random, so that hardly a page is empty; clients go on meanwhile, and snapshots.
#[test]
fn what_lies_thinly_is_moved_together() {
    const KEYS: usize = 40_000;
    let server = Server::start(Kind::Respire, &["--active-defrag-ignore-bytes", "1mb"]);
    let mut client = server.client();
    let ask = |client: &mut Client, line: &str| {
        client.roundtrip(&line.split(' ').collect::<Vec<_>>()).expect("a reply")
    };
    let mut rng = fastrand::Rng::with_seed(1);
    for i in 0..KEYS {
        let text = "x".repeat(rng.usize(8..1200));
        let mut bytes = Vec::new();
        match i % 10 {
            0 => encode(&mut bytes, &["RPUSH", &format!("key:{i}"), &text, "b"]),
            1 => encode(&mut bytes, &["HSET", &format!("key:{i}"), "f", &text[..8], "g", "1"]),
            2 => encode(&mut bytes, &["HSET", "large", &format!("field:{i}"), &text]),
            _ => encode(&mut bytes, &["SET", &format!("key:{i}"), &text, "EX", "100000"]),
        }
        client.send_raw(&bytes).expect("sent");
        assert!(!client.read().expect("a reply").is_error());
    }
    for i in (0..KEYS).filter(|_| rng.u8(..5) > 0) {
        ask(&mut client, &format!("DEL key:{i}"));
        ask(&mut client, &format!("HDEL large field:{i}"));
    }
    let before = ask(&mut client, "DEBUG DIGEST");
    let figure = |name: &str| {
        let info = server.client().roundtrip(&["INFO"]).expect("a reply");
        let text = String::from_utf8_lossy(info.text().expect("a text")).into_owned();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.and_then(|text| text.parse::<u64>().ok()).expect("the figure")
    };
    let lost = || figure("allocator_frag_bytes");
    let thin = lost();
    ask(&mut client, "CONFIG SET activedefrag yes");
    until("the work", || {
        ask(&mut client, "APPEND other x");
        ask(&mut client, "BGSAVE");
        figure("active_defrag_hits") > 4000 && lost() < thin / 4
    });
    ask(&mut client, "CONFIG SET activedefrag no");
    until("the end", || figure("active_defrag_running") == 0);
    ask(&mut client, "DEL other");
    assert_eq!(ask(&mut client, "DEBUG DIGEST"), before);
}

/// Time that the server has worked, in ticks of a hundredth of a second.
fn ticks(server: &Server) -> u64 {
    let path = format!("/proc/{}/stat", server.pid());
    let stat = fs::read_to_string(path).expect("the server's figures");
    // The name in parentheses may hold blanks; user and system time are the 12th and 13th word behind it.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    [words[11], words[12]].iter().map(|n| n.parse::<u64>().expect("a number")).sum()
}

/// Half a per cent of three seconds is one tick and a half; one more for where ticks fall. On a busy machine its start may
/// take a while to be over, and a tick may be counted to whoever it meets: it is watched again then.
#[test]
fn an_idle_server_does_nothing() {
    let server = Server::start(Kind::Respire, &["--io-threads", "4"]);
    let mut clients: Vec<Client> = (0..10).map(|_| server.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.roundtrip(&["SET", &format!("k{i}"), "v", "EX", "1000"]).expect("a reply");
    }
    until("three seconds without work", || {
        let before = ticks(&server);
        sleep(Duration::from_secs(3));
        ticks(&server) - before <= 2
    });
}

#[test]
fn connections_are_spread_evenly_over_the_threads() {
    let server = Server::start(Kind::Respire, &["--io-threads", "2"]);
    // The connection that asked whether the server is up may still be on its way out.
    let mut first = server.client();
    until("being alone", || threads(&mut first).len() == 1);
    let mut others: Vec<Client> = (0..9).map(|_| server.client()).collect();
    for client in &mut others {
        client.roundtrip(&["PING"]).expect("a reply");
    }
    let mut seen = threads(&mut first);
    seen.sort_unstable();
    assert_eq!(seen, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    // Those that go make room for those that come.
    drop(others.drain(..));
    until("being alone", || threads(&mut first).len() == 1);
    others.extend((0..3).map(|_| server.client()));
    for client in &mut others {
        client.roundtrip(&["PING"]).expect("a reply");
    }
    let mut seen = threads(&mut first);
    seen.sort_unstable();
    assert_eq!(seen, [0, 0, 1, 1]);
}

/// The thread of each connection.
fn threads(client: &mut Client) -> Vec<u32> {
    let reply = client.roundtrip(&["CLIENT", "LIST"]).expect("a reply");
    let text = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
    let thread = |line: &str| {
        let field = line.split(' ').find_map(|field| field.strip_prefix("io-thread="));
        field.and_then(|n| n.parse().ok()).expect("a thread's number")
    };
    text.lines().map(thread).collect()
}
