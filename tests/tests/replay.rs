//! What the journal keeps makes the same keyspace again: random commands of every group run in an engine, and what its
//! journal got is executed in another, for which time stands still. Then both must hold the same, expiries, groups and
//! pending entries included.
//!
//! `REPLAY_SEED` replays a failure, `REPLAY_COMMANDS` sets how many commands there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use respire_engine::config::{Config, Settings, parse_file};
use respire_engine::{Clock, Engine, Flow, NoHost, Session, Worker};
use respire_resp::{Args, Limits, Out, OwnedArgs, Parsed, Parser};
use respire_tests::oracle::generate::Generator;

const START_MS: i64 = 1_700_000_000_000;
/// Those who send commands, and those that only listen in other tests with the same generator.
const CONNECTIONS: usize = 8;
const DATABASES: usize = 16;
/// Commands between two comparisons.
const STRETCH: u64 = 3000;
/// Commands that others execute before the time of one that waits is over.
const PATIENCE: u32 = 20;

struct SetClock {
    unix_ms: Arc<AtomicI64>,
    looks: AtomicU64,
}

impl Clock for SetClock {
    fn unix_us(&self) -> i64 {
        self.unix_ms.load(Ordering::Relaxed) * 1000
    }

    fn monotonic_ns(&self) -> u64 {
        self.looks.fetch_add(1, Ordering::Relaxed) * 1000
    }
}

struct Program {
    engine: Engine,
    worker: Worker,
    sessions: Vec<Session>,
    /// For how many commands each session has waited.
    waited: Vec<u32>,
    unix_ms: Arc<AtomicI64>,
}

impl Program {
    fn new(seed: u64, replays: bool) -> Self {
        let mut settings = Settings::new(1, "/");
        let mut no_include = |_: &str| unreachable!("nothing is included");
        parse_file("enable-debug-command yes", "", &mut settings, &mut no_include).unwrap();
        let config = Config::new(settings.clone(), settings);
        let unix_ms = Arc::new(AtomicI64::new(START_MS));
        let clock = SetClock { unix_ms: Arc::clone(&unix_ms), looks: AtomicU64::new(0) };
        // Different secrets: the order inside tables must not matter.
        let secret = std::array::from_fn(|i| seed.rotate_left(i as u32 * 16 + u32::from(replays)));
        let engine = Engine::new(config, Box::new(clock), Box::new(NoHost::default()), secret);
        let worker = if replays {
            Worker::replaying(&engine, 0, seed)
        } else {
            Worker::new(&engine, 0, seed)
        };
        let sessions = (0..CONNECTIONS).map(|_| Session::local(&engine, &worker)).collect();
        Self { engine, worker, sessions, waited: vec![0; CONNECTIONS], unix_ms }
    }

    fn run(&mut self, user: usize, command: &[Vec<u8>]) -> Vec<u8> {
        let args = OwnedArgs::from_parts(command);
        let args = args.as_args();
        let (mut out, mut hashes) = (Out::default(), Vec::new());
        let session = &mut self.sessions[user];
        self.worker.begin_batch(&self.engine);
        let prepared = self.engine.prepare(&args, session.db(), &mut hashes);
        let worker = &mut self.worker;
        let flow = self.engine.execute(worker, session, args, &prepared, &hashes, &mut out);
        self.waited[user] = 0;
        assert!(!matches!(flow, Flow::Paused(_)));
        self.worker.end_batch(&self.engine);
        for delivery in std::mem::take(&mut self.worker.outbox) {
            let mut sessions = self.sessions.iter_mut();
            if let Some(session) = sessions.find(|session| session.info.id == delivery.client)
                && session.is_blocked()
            {
                session.unblocked();
            }
        }
        out.to_vec()
    }

    fn ask(&mut self, line: &str) -> Vec<u8> {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        self.run(0, &words)
    }

    /// Ends every wait, and every transaction.
    fn settle(&mut self) {
        for user in 0..CONNECTIONS {
            if self.sessions[user].is_blocked() {
                let session = &mut self.sessions[user];
                assert!(self.engine.time_out(&mut self.worker, session, &mut Out::default()));
            }
            self.run(user, &[b"RESET".to_vec()]);
        }
    }

    /// Deletes everything whose time has passed.
    fn expire(&mut self) {
        for _ in 0..3 {
            self.worker.begin_batch(&self.engine);
            for shard in 0..self.engine.keyspace.shard_count() as u32 {
                while self.engine.upkeep(&mut self.worker, shard, u64::MAX) {}
            }
        }
    }

    /// All that can be seen of the keyspace, without the moments at which consumers were last seen.
    fn show(&mut self) -> Vec<String> {
        let mut shown = vec![self.ask("DEBUG DIGEST").escape_ascii().to_string()];
        for db in 0..DATABASES {
            self.ask(&format!("SELECT {db}"));
            let mut keys = parts(&self.ask("KEYS *"));
            keys.sort();
            for key in keys {
                let ask = |program: &mut Self, words: &[&[u8]]| {
                    let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
                    program.run(0, &words)
                };
                let mut lines = ask(self, &[b"PEXPIRETIME", &key]).escape_ascii().to_string();
                if ask(self, &[b"TYPE", &key]) == b"+stream\r\n" {
                    let full = ask(self, &[b"XINFO", b"STREAM", &key, b"FULL", b"COUNT", b"0"]);
                    lines += &without_visits(&full);
                }
                shown.push(format!("{db} {}: {lines}", key.escape_ascii()));
            }
        }
        shown
    }
}

/// The bulk strings of a flat array.
fn parts(reply: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let line_end = |at: usize| at + reply[at..].windows(2).position(|w| w == b"\r\n").unwrap();
    let mut at = line_end(0) + 2;
    while at < reply.len() {
        let end = line_end(at);
        let len: usize = std::str::from_utf8(&reply[at + 1..end]).unwrap().parse().unwrap();
        parts.push(reply[end + 2..end + 2 + len].to_vec());
        at = end + 2 + len + 2;
    }
    parts
}

/// XINFO without when consumers were seen and how the entries lie in blocks.
fn without_visits(reply: &[u8]) -> String {
    let text = reply.escape_ascii().to_string();
    let mut lines: Vec<&str> = text.split("\\r\\n").collect();
    for i in 0..lines.len() {
        let behind = ["seen-time", "active-time", "radix-tree-keys", "radix-tree-nodes"];
        if behind.contains(&lines[i]) && i + 1 < lines.len() {
            lines[i + 1] = "";
        }
    }
    lines.join(" ")
}

/// Who executes what the journal got; what else is asked comes from another session, with a database of its own.
const REPLAYER: usize = 1;

/// Executes what the journal got.
fn replay(program: &mut Program, bytes: &mut [u8]) {
    let parser = Parser { limits: Limits { max_bulk: i64::MAX, authenticated: true } };
    let (mut at, mut spans) = (0, Vec::new());
    while at < bytes.len() {
        spans.clear();
        let Ok(Parsed::Request { end }) = parser.parse(bytes, at, &mut spans) else {
            panic!("not a request: {}", bytes[at..].escape_ascii());
        };
        at = end;
        let args = Args::new(bytes, &spans);
        let command: Vec<Vec<u8>> = args.iter_from(0).map(<[u8]>::to_vec).collect();
        let reply = program.run(REPLAYER, &command);
        let shown = || command.iter().map(|w| w.escape_ascii().to_string()).collect::<Vec<_>>();
        assert!(!reply.starts_with(b"-"), "{:?}: {}", shown(), reply.escape_ascii());
        assert!(!program.sessions[REPLAYER].is_blocked(), "{:?} waits", shown());
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Commands that are about the server rather than its data, or that would end the test.
fn is_left_out(name: &str) -> bool {
    const OUT: &[&str] =
        &["CLIENT", "CONFIG", "HELLO", "QUIT", "EXIT", "MONITOR", "RESET", "DEBUG", "AUTH"];
    OUT.contains(&name.split(' ').next().unwrap_or(name))
}

fn compare(seed: u64, original: &mut Program, copy: &mut Program, journal: &mut [u8]) {
    copy.unix_ms.store(original.unix_ms.load(Ordering::Relaxed), Ordering::Relaxed);
    replay(copy, journal);
    let (wanted, got) = (original.show(), copy.show());
    for (wanted, got) in wanted.iter().zip(&got).skip(1) {
        assert_eq!(wanted, got, "REPLAY_SEED={seed}");
    }
    assert_eq!(wanted, got, "REPLAY_SEED={seed}");
}

#[test]
fn the_journal_makes_the_same_keyspace_again() {
    let seed = number("REPLAY_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("REPLAY_SEED={seed}");
    let commands = number("REPLAY_COMMANDS").unwrap_or(30_000);
    let (mut original, mut copy) = (Program::new(seed, false), Program::new(seed, true));
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut generator = Generator::new(seed, 2, 4);
    let reader = original.engine.subscribe();
    let mut journal = Vec::new();
    let mut done = 0;
    let mut next = STRETCH;
    while done < commands {
        let user = generator.connection();
        let steps = generator.pipeline(user);
        if original.sessions[user].is_blocked() {
            original.waited[user] += 1;
            if original.waited[user] < PATIENCE {
                continue;
            }
            let session = &mut original.sessions[user];
            original.engine.time_out(&mut original.worker, session, &mut Out::default());
        }
        for step in steps {
            if is_left_out(step.name) || original.sessions[user].is_blocked() {
                continue;
            }
            original.run(user, &step.args);
            done += 1;
        }
        original.unix_ms.fetch_add(rng.i64(0..50), Ordering::Relaxed);
        if done >= next {
            next += STRETCH;
            let mut taken = Vec::new();
            // What waits and what has expired is part of it.
            original.settle();
            original.expire();
            reader.take(&mut taken);
            journal.append(&mut taken);
            compare(seed, &mut original, &mut copy, &mut journal);
            journal.clear();
        }
    }
}
