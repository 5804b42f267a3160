//! Servers that are killed at random moments while clients write, and what the next one finds: all that was
//! acknowledged, transactions whole or not at all, nothing that nobody sent.
//!
//! `CRASH_SEED` replays the choices of a failure, `CRASH_ROUNDS` sets how often each test kills.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use respire_tests::client::encode;
use respire_tests::server::Directory;
use respire_tests::{Client, Kind, Server, Value};

/// Clients of each kind.
const CLIENTS: usize = 2;
/// Requests that a client sends at once, at most.
const DEPTH: usize = 24;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// What one client writes, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// A counter.
    Counter,
    /// The next number, at the end of a list.
    List,
    /// Two counters in one transaction, in two databases and most likely in two shards.
    Pair,
}

const WRITINGS: [Writing; 3] = [Writing::Counter, Writing::List, Writing::Pair];

/// How often a client has written.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    acknowledged: u64,
    sent: u64,
}

impl Writing {
    fn key(self, client: usize) -> String {
        format!("{self:?}:{client}")
    }

    /// Encodes the request that writes for the `number`th time. Returns how many replies come.
    fn encode(self, client: usize, number: u64, out: &mut Vec<u8>) -> usize {
        let key = self.key(client);
        match self {
            Self::Counter => encode(out, &["INCR", &key]),
            Self::List => encode(out, &["RPUSH", &key, &number.to_string()]),
            Self::Pair => {
                let other = format!("other:{key}");
                let requests: [&[&str]; 6] = [
                    &["MULTI"],
                    &["INCR", &key],
                    &["SELECT", "3"],
                    &["INCR", &other],
                    &["SELECT", "0"],
                    &["EXEC"],
                ];
                requests.iter().for_each(|request| encode(out, request));
                return requests.len();
            }
        }
        1
    }

    /// How often it was written, as the server tells it. Panics if that makes no sense.
    fn count(self, server: &mut Client, client: usize) -> u64 {
        let key = self.key(client);
        match self {
            Self::Counter => counter(server, &key),
            Self::List => {
                let items = server.roundtrip(&["LRANGE", &key, "0", "-1"]).unwrap();
                let items = items.elements().expect("a list").to_vec();
                for (i, item) in items.iter().enumerate() {
                    assert_eq!(item.text(), Some(i.to_string().as_bytes()), "item {i} of {key}");
                }
                items.len() as u64
            }
            Self::Pair => {
                let first = counter(server, &key);
                server.roundtrip(&["SELECT", "3"]).unwrap();
                let second = counter(server, &format!("other:{key}"));
                server.roundtrip(&["SELECT", "0"]).unwrap();
                assert_eq!(first, second, "half of a transaction of {key}");
                first
            }
        }
    }
}

fn counter(server: &mut Client, key: &str) -> u64 {
    match server.roundtrip(&["GET", key]).unwrap() {
        Value::Bulk(text) => String::from_utf8(text).unwrap().parse().unwrap(),
        Value::NullBulk => 0,
        other => panic!("{key}: {other:?}"),
    }
}

/// Writes until the server is gone.
fn write(
    address: SocketAddr,
    writing: Writing,
    client: usize,
    mut tally: Tally,
    seed: u64,
) -> Tally {
    let mut rng = fastrand::Rng::with_seed(seed);
    let Ok(mut connection) = Client::connect(address) else { return tally };
    loop {
        let mut out = Vec::new();
        let mut replies = Vec::new();
        for _ in 0..rng.usize(1..=DEPTH) {
            replies.push(writing.encode(client, tally.sent, &mut out));
            tally.sent += 1;
        }
        if connection.send_raw(&out).is_err() {
            return tally;
        }
        for count in replies {
            for _ in 0..count {
                match connection.read() {
                    Ok(reply) => assert!(!reply.is_error(), "{writing:?}: {reply:?}"),
                    Err(_) => return tally,
                }
            }
            tally.acknowledged += 1;
        }
    }
}

/// Asks for snapshots and rewrites until the server is gone.
fn disturb(address: SocketAddr, commands: &[&str], seed: u64, over: &AtomicBool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let Ok(mut client) = Client::connect(address) else { return };
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(rng.u64(..60)));
        // One that is under way already is an error, and as good.
        if client.roundtrip(&[rng.choice(commands).unwrap()]).is_err() {
            return;
        }
    }
}

/// Runs one server to its end. Returns what every client had written by then.
fn live(
    server: Server,
    rng: &mut fastrand::Rng,
    commands: &[&str],
    before: &[Tally],
) -> Vec<Tally> {
    let address = server.address();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut writers = Vec::new();
        for (i, tally) in before.iter().enumerate() {
            let (seed, writing) = (rng.u64(..), WRITINGS[i % WRITINGS.len()]);
            writers.push(scope.spawn(move || write(address, writing, i, *tally, seed)));
        }
        let (seed, over) = (rng.u64(..), &over);
        scope.spawn(move || disturb(address, commands, seed, over));
        thread::sleep(Duration::from_millis(rng.u64(5..250)));
        over.store(true, Ordering::Relaxed);
        server.crash();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    })
}

/// Kills servers again and again. With `log`, nothing that was acknowledged may be missing in the next one.
fn kill_again_and_again(name: &str, arguments: &[&str], commands: &[&str], log: bool) {
    let seed = number("CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
    let rounds = number("CRASH_ROUNDS").unwrap_or(10);
    println!("CRASH_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let directory = Directory::new(name);
    let mut tallies = vec![Tally::default(); CLIENTS * WRITINGS.len()];
    // What a snapshot is sure to hold.
    let mut kept = vec![0; tallies.len()];
    for round in 0..rounds {
        let server = Server::start_in(Kind::Respire, &directory, arguments);
        let mut client = server.client();
        for (i, tally) in tallies.iter_mut().enumerate() {
            let writing = WRITINGS[i % WRITINGS.len()];
            let found = writing.count(&mut client, i);
            let least = if log { tally.acknowledged } else { kept[i] };
            assert!(
                (least..=tally.sent).contains(&found),
                "{writing:?} {i}, round {round}: {found} found, {tally:?}, CRASH_SEED={seed}"
            );
            *tally = Tally { acknowledged: found, sent: found };
            kept[i] = found;
        }
        if round % 4 == 3 {
            // So that loading does not take longer and longer.
            assert_eq!(client.roundtrip(&["FLUSHALL"]).unwrap(), Value::Simple(b"OK".to_vec()));
            tallies.fill(Tally::default());
            kept.fill(0);
        }
        if !log {
            // The clients begin where the last snapshot did, but may not fall behind it.
            assert_eq!(client.roundtrip(&["SAVE"]).unwrap(), Value::Simple(b"OK".to_vec()));
        }
        tallies = live(server, &mut rng, commands, &tallies);
    }
}

#[test]
fn nothing_acknowledged_is_lost_with_always() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always", "--io-threads", "2"];
    kill_again_and_again("always", &arguments, &["BGREWRITEAOF", "BGREWRITEAOF", "BGSAVE"], true);
}

#[test]
fn nothing_acknowledged_is_lost_with_everysec() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "everysec", "--io-threads", "2"];
    kill_again_and_again("everysec", &arguments, &["BGREWRITEAOF", "BGREWRITEAOF", "BGSAVE"], true);
}

#[test]
fn a_snapshot_is_whole_whenever_the_server_ends() {
    kill_again_and_again("snapshots", &["--io-threads", "2"], &["BGSAVE"], false);
}
