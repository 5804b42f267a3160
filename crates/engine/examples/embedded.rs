//! The engine as a library: a program that keeps its data in Respire, with no server, socket or thread of ours.
//!
//!     cargo run -p respire-engine --example embedded
//!
//! A program brings four things:
//!
//! - a [`Clock`], since the engine never asks the system for the time: expiry, LRU and statistics follow what it says;
//! - a `Host`, for what a server does beside commands (ending, configuration files, messages to other threads'
//!   clients); [`NoHost`] has none of it;
//! - a [`Worker`] for every thread that executes commands: any number may work on one [`Engine`] at the same time;
//! - a [`Session`] for every user: it remembers the selected database, the transaction and the protocol.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use respire_engine::config::{Config, Settings};
use respire_engine::{Clock, Engine, Flow, NoHost, Session, Worker};
use respire_resp::{Out, OwnedArgs};

/// The machine's time. A test would count by itself.
struct SystemClock {
    start: Instant,
}

impl Clock for SystemClock {
    fn unix_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.expect("the clock is set").as_micros() as i64
    }

    fn monotonic_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// Executes one command. Returns the reply as it would be sent to a client.
fn run(engine: &Engine, worker: &mut Worker, session: &mut Session, command: &[&str]) -> String {
    let args = OwnedArgs::from_parts(command);
    let args = args.as_args();
    let mut out = Out::default();
    // Time is read once for any number of commands: here, for one.
    worker.begin_batch(engine);
    // Looking commands up and hashing their keys is a step of its own, so that a server can do it for a whole batch.
    let mut hashes = Vec::new();
    let prepared = engine.prepare(&args, session.db(), &mut hashes);
    let flow = engine.execute(worker, session, args, &prepared, &hashes, &mut out);
    // Only CLIENT PAUSE makes a command wait.
    assert_eq!(flow, Flow::Done);
    worker.end_batch(engine);
    String::from_utf8_lossy(&out.to_vec()).into_owned()
}

fn main() {
    // Every directive of the configuration file is a field; `Settings::new` has the defaults.
    let defaults = Settings::new(1, ".");
    let mut settings = defaults.clone();
    settings.databases = 2;
    let config = Config::new(defaults, settings);
    let clock = Box::new(SystemClock { start: Instant::now() });
    // The secret keeps strangers from choosing keys that collide. Take it from the system's randomness where keys come
    // from strangers.
    let secret = [1, 2, 3, 4];
    let engine = Engine::new(config, clock, Box::new(NoHost::default()), secret);

    let mut worker = Worker::new(&engine, 0, 42);
    let mut session = Session::local(&engine, &worker);
    for line in [
        "SET greeting hello EX 60",
        "APPEND greeting !",
        "GET greeting",
        "TTL greeting",
        "INCR visits",
        "MULTI",
        "INCR visits",
        "GET visits",
        "EXEC",
        "NOSUCH command",
    ] {
        let command: Vec<&str> = line.split(' ').collect();
        let reply = run(&engine, &mut worker, &mut session, &command);
        println!("{line:26} {:?}", reply);
    }

    // A server does this some times a second: it deletes what has expired, and finishes what growing tables began.
    for shard in 0..engine.keyspace.shard_count() as u32 {
        while engine.upkeep(&mut worker, shard, 1_000_000) {}
    }
    session.end(&engine, &mut worker);
}
