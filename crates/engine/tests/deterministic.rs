//! The engine driven as a library, with a clock that the test moves and one seed for everything: the same seed gives
//! the same replies, whatever the machine does. Keys expire by that clock, which also jumps.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use respire_engine::config::{Config, Settings};
use respire_engine::{Clock, Engine, Flow, NoHost, Session, Worker};
use respire_resp::{Out, OwnedArgs};

const START_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// Wall time that the test sets. Monotonic time goes on by a microsecond with every look.
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

/// A program that uses the engine.
struct Program {
    engine: Engine,
    worker: Worker,
    sessions: Vec<Session>,
    unix_ms: Arc<AtomicI64>,
}

impl Program {
    fn new(seed: u64, users: usize) -> Self {
        let defaults = Settings::new(1, "/");
        let config = Config::new(defaults.clone(), defaults);
        let unix_ms = Arc::new(AtomicI64::new(START_MS));
        let clock = SetClock { unix_ms: Arc::clone(&unix_ms), looks: AtomicU64::new(0) };
        let secret = std::array::from_fn(|i| seed.rotate_left(i as u32 * 16));
        let engine = Engine::new(config, Box::new(clock), Box::new(NoHost::default()), secret);
        let worker = Worker::new(&engine, 0, seed);
        let sessions = (0..users).map(|_| Session::local(&engine, &worker)).collect();
        Self { engine, worker, sessions, unix_ms }
    }

    fn pass_ms(&self, ms: i64) {
        self.unix_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn run(&mut self, user: usize, command: &[String]) -> String {
        let args = OwnedArgs::from_parts(command);
        let args = args.as_args();
        let (mut out, mut hashes) = (Out::default(), Vec::new());
        let session = &mut self.sessions[user];
        self.worker.begin_batch(&self.engine);
        let prepared = self.engine.prepare(&args, session.db(), &mut hashes);
        let worker = &mut self.worker;
        let flow = self.engine.execute(worker, session, args, &prepared, &hashes, &mut out);
        assert_eq!(flow, Flow::Done);
        self.worker.end_batch(&self.engine);
        out.to_vec().escape_ascii().to_string()
    }

    fn line(&mut self, line: &str) -> String {
        let command: Vec<String> = line.split(' ').map(str::to_string).collect();
        self.run(0, &command)
    }

    fn upkeep(&mut self) {
        for shard in 0..self.engine.keyspace.shard_count() as u32 {
            while self.engine.upkeep(&mut self.worker, shard, 50_000) {}
        }
    }
}

/// A command of any sort on one of a few dozen keys.
fn command(rng: &mut fastrand::Rng) -> Vec<String> {
    const COMMANDS: &[&str] = &[
        "SET K V",
        "SET K V PX T",
        "SET K V KEEPTTL",
        "GET K",
        "GETEX K PX T",
        "GETDEL K",
        "INCR K",
        "INCRBYFLOAT K 1.5",
        "APPEND K V",
        "SETRANGE K 5 V",
        "GETRANGE K 0 3",
        "MSET K V K V",
        "MGET K K K",
        "MSETNX K V K V",
        "DEL K K",
        "EXISTS K K",
        "PEXPIRE K T",
        "PTTL K",
        "PEXPIRETIME K",
        "PERSIST K",
        "RENAME K K",
        "COPY K K REPLACE",
        "MOVE K 1",
        "SELECT 0",
        "SELECT 1",
        "RANDOMKEY",
        "SCAN 0 COUNT 50",
        "KEYS *",
        "DBSIZE",
        "TYPE K",
        "OBJECT ENCODING K",
        "WATCH K",
        "UNWATCH",
        "MULTI",
        "MULTI",
        "EXEC",
        "EXEC",
        "DISCARD",
        "SWAPDB 0 1",
        "FLUSHDB",
        "STRLEN K",
        "TOUCH K K",
        "PING",
        "NOSUCH",
        "GET",
    ];
    let template = rng.choice(COMMANDS).expect("not empty");
    // Emptying everything is rare, so that there is something to empty.
    let template = if *template == "FLUSHDB" && rng.u8(..10) > 0 { "INCR K" } else { template };
    let word = |word: &str| match word {
        "K" => format!("key:{}", rng.u32(..40)),
        "V" => rng.i64(-1000..1000).to_string(),
        "T" => rng.i64(1..20_000).to_string(),
        other => other.to_string(),
    };
    template.split(' ').map(word).collect()
}

/// What a seed's program prints: every command and its reply.
fn transcript(seed: u64, commands: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut program = Program::new(seed, 3);
    let mut text = String::new();
    for _ in 0..commands {
        let ms = match rng.u32(..200) {
            0 => rng.i64(-HOUR_MS..HOUR_MS),
            1 => rng.i64(0..HOUR_MS * 48),
            _ => rng.i64(0..50),
        };
        program.pass_ms(ms);
        if rng.u32(..20) == 0 {
            program.upkeep();
        }
        let user = rng.usize(..3);
        let command = command(&mut rng);
        let reply = program.run(user, &command);
        writeln!(text, "{user} {command:?} {reply}").expect("memory");
    }
    text
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    let seed = match std::env::var("RESPIRE_SEED") {
        Ok(text) => text.parse().expect("RESPIRE_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    let (one, two) = (transcript(seed, 20_000), transcript(seed, 20_000));
    for (number, (a, b)) in one.lines().zip(two.lines()).enumerate() {
        assert_eq!(a, b, "line {number}, RESPIRE_SEED={seed}");
    }
    assert_eq!(one.len(), two.len(), "RESPIRE_SEED={seed}");
    assert_ne!(one, transcript(seed ^ 1, 20_000), "the seed decides");
}

#[test]
fn keys_expire_by_the_programs_clock() {
    let mut program = Program::new(1, 1);
    program.line("SET k v PX 100");
    assert_eq!(program.line("PTTL k"), ":100\\r\\n");
    program.pass_ms(99);
    assert_eq!(program.line("GET k"), "$1\\r\\nv\\r\\n");
    program.pass_ms(1);
    assert_eq!(program.line("GET k"), "$-1\\r\\n");
    assert_eq!(program.line("DBSIZE"), ":0\\r\\n");
}

/// The active cycle needs nobody to ask for a key; a clock set back gives time, one set ahead takes it.
#[test]
fn upkeep_deletes_what_has_expired_wherever_the_clock_jumps() {
    let mut program = Program::new(2, 1);
    for i in 0..1000 {
        program.line(&format!("SET k{i} v EX {}", 1000 + i));
    }
    let dbsize = |program: &mut Program| {
        program.upkeep();
        program.line("DBSIZE")
    };
    assert_eq!(dbsize(&mut program), ":1000\\r\\n");
    program.pass_ms(-24 * HOUR_MS);
    assert_eq!(dbsize(&mut program), ":1000\\r\\n");
    program.pass_ms(24 * HOUR_MS + 1_499_000);
    assert_eq!(dbsize(&mut program), ":500\\r\\n");
    program.pass_ms(-2 * HOUR_MS);
    assert_eq!(dbsize(&mut program), ":500\\r\\n");
    // Ten hours: more than half of the circle that coarse times go round in.
    program.pass_ms(12 * HOUR_MS);
    assert_eq!(dbsize(&mut program), ":0\\r\\n");
}
