//! Commands that are executed in rows do what each of them does by itself: two servers get the same pipelines, and one of them
//! measures every command, which makes it execute them one by one. `RESPIRE_SEED` repeats the pipelines of a failed run.

use std::collections::BTreeSet;
use std::time::Duration;

use respire_tests::ask::{ask, text};
use respire_tests::{Client, Kind, Server, Value};

const KEYS: usize = 12;
const ROUNDS: usize = 40;

/// A command of a pipeline. Most are such as make rows; the others end them, and leave all that a row may come upon.
fn command(rng: &mut fastrand::Rng) -> Vec<String> {
    let key = format!("key:{}", rng.usize(..KEYS));
    let value = match rng.u32(..6) {
        0 => "a text".to_owned(),
        1 => i64::MAX.to_string(),
        2 => "x".repeat(rng.usize(..40_000)),
        _ => rng.i32(-1000..1000).to_string(),
    };
    let words: &[&str] = match rng.u32(..29) {
        0..=9 => &["GET", &key],
        10..=16 => &["SET", &key, &value],
        17..=22 => &["INCR", &key],
        23 => &["SET", &key, &value, "XX", "GET"],
        24 => &["RPUSH", &key, &value],
        25 => &["DEL", &key],
        26 => &["GET", &key, &value],
        27 => &["APPEND", &key, "1"],
        _ => &["EXISTS", &key, "none"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What a server answers to a pipeline.
fn replies(client: &mut Client, pipeline: &[Vec<String>]) -> Vec<Value> {
    let mut bytes = Vec::new();
    pipeline.iter().for_each(|words| respire_tests::encode(&mut bytes, words));
    client.send_raw(&bytes).unwrap();
    pipeline.iter().map(|_| client.read().unwrap()).collect()
}

/// What the clients of one server see of a pipeline, and what it leaves behind.
#[derive(Debug, PartialEq)]
struct Seen {
    replies: Vec<Value>,
    /// What became of the transaction of one that watched a key.
    watched: Option<Value>,
    /// The keys that another one was told of.
    invalidated: BTreeSet<Vec<u8>>,
    digest: String,
    counted: Vec<String>,
}

struct Clients {
    client: Client,
    watcher: Client,
    tracker: Client,
}

impl Clients {
    fn new(server: &Server) -> Self {
        let mut client = server.client();
        text(&mut client, "DEBUG SET-ACTIVE-EXPIRE 0");
        let mut tracker = server.client();
        ask(&mut tracker, "HELLO 3");
        Self { client, watcher: server.client(), tracker }
    }

    /// What is seen of a pipeline, with others who want to know what it changes or without them.
    fn run(&mut self, pipeline: &[Vec<String>], observed: bool) -> Seen {
        if observed {
            text(&mut self.tracker, "CLIENT TRACKING ON BCAST");
            text(&mut self.watcher, "WATCH key:0");
        }
        let replies = replies(&mut self.client, pipeline);
        let mut watched = None;
        let mut invalidated = BTreeSet::new();
        if observed {
            text(&mut self.watcher, "MULTI");
            watched = Some(ask(&mut self.watcher, "EXEC"));
            text(&mut self.client, "SET last 1");
            while !invalidated.contains(&b"last"[..]) {
                invalidated.extend(invalidated_keys(self.tracker.read().unwrap()));
            }
            text(&mut self.tracker, "CLIENT TRACKING OFF");
        }
        let digest = text(&mut self.client, "DEBUG DIGEST");
        Seen { replies, watched, invalidated, digest, counted: self.counted() }
    }

    /// What the server has counted.
    fn counted(&mut self) -> Vec<String> {
        let info = text(&mut self.client, "INFO everything");
        let field =
            |name: &str| info.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let fields =
            ["keyspace_hits:", "keyspace_misses:", "expired_keys:", "rdb_changes_since_last_save:"];
        let mut counted: Vec<_> = fields.iter().map(|name| field(name).to_owned()).collect();
        for command in ["get", "set", "incr"] {
            let line = field(&format!("cmdstat_{command}:"));
            let times = line.split(',').filter(|part| !part.contains("usec"));
            counted.push(times.collect::<Vec<_>>().join(","));
        }
        counted
    }
}

/// The keys of a message that says that they have changed.
fn invalidated_keys(message: Value) -> Vec<Vec<u8>> {
    let Value::Push(mut parts) = message else { panic!("no message: {message:?}") };
    let Some(Value::Array(keys)) = parts.pop() else { panic!("no keys: {parts:?}") };
    let bytes = keys.into_iter().map(|key| match key {
        Value::Bulk(key) => key,
        other => panic!("no key: {other:?}"),
    });
    bytes.collect()
}

#[test]
fn rows_do_what_their_commands_do() {
    let seed = match std::env::var("RESPIRE_SEED") {
        Ok(seed) => seed.parse().expect("RESPIRE_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("RESPIRE_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    // Rows note what they hold in words of 64 shards.
    let shards = ["1", "16", "200"][rng.usize(..3)];
    let servers = ["10000", "0"].map(|slower_than| {
        let options = ["--slowlog-log-slower-than", slower_than, "--save", "", "--shards", shards];
        Server::start(Kind::Respire, &options)
    });
    let mut clients = servers.each_ref().map(Clients::new);
    for round in 0..ROUNDS {
        let pipeline: Vec<_> = (0..rng.usize(1..200)).map(|_| command(&mut rng)).collect();
        let observed = rng.bool();
        let [rows, single] = clients.each_mut().map(|clients| clients.run(&pipeline, observed));
        for (words, (one, other)) in pipeline.iter().zip(rows.replies.iter().zip(&single.replies)) {
            assert_eq!(one, other, "round {round}: {}", words.join(" "));
        }
        assert_eq!(rows, single, "round {round}");
        // The next one comes upon keys whose time has passed, and which are still there.
        let expiring = format!("PEXPIRE key:{} 1", rng.usize(..KEYS));
        for clients in &mut clients {
            text(&mut clients.client, &expiring);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}
