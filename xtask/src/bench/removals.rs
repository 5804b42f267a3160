//! How long a bystander waits while something very large is removed: collections of ten million elements, in every way in which
//! a value goes. The server has one core and one thread, so whatever frees the elements shares both with it.

use super::{Bench, Bound, Figure, SERVER_CORE, Server, no_errors, punctual, text};
use respire_bench::{KeyDistribution, Load, Prober, Workload, median};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const ELEMENTS: u64 = 10_000_000;
/// Elements that one command of a filler adds.
const CHUNK: u64 = 100;
const PROBE_EVERY: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// How long is probed when nothing happens, and after the memory has come back.
const CALM: Duration = Duration::from_secs(1);

/// A type: what adds an element to the key `big`, how many elements one command adds, and how many keys an element draws.
const TYPES: [(&str, &str, &str, u64, u64); 5] = [
    ("list", "RPUSH big", "__data__", CHUNK, 1),
    ("set", "SADD big", "__key__", CHUNK, 1),
    ("hash", "HSET big", "__key__ __data__", CHUNK, 1),
    ("sorted set", "ZADD big", "__number__ __key__", CHUNK, 2),
    ("stream", "XADD big *", "field __data__", 1, 1),
];

/// A way of removing, and its commands.
const WAYS: [(&str, &[&[&str]]); 6] = [
    ("DEL", &[&["DEL", "big"]]),
    ("UNLINK", &[&["UNLINK", "big"]]),
    ("expiry", &[&["PEXPIRE", "big", "1"]]),
    ("SET", &[&["SET", "big", "1"], &["DEL", "big"]]),
    ("RENAME", &[&["SET", "small", "1"], &["RENAME", "small", "big"], &["DEL", "big"]]),
    ("FLUSHALL", &[&["FLUSHALL"]]),
];

impl Bench {
    /// Every type goes in one way in each round, and in other ways in the next rounds.
    pub(super) fn removals(&self) -> Result<Vec<Figure>, String> {
        let what =
            "what the removal of 10,000,000 elements adds to the worst wait of a 1 ms prober, ms";
        if !self.wanted(what) {
            return Ok(Vec::new());
        }
        let mut calm = Vec::new();
        let mut worst: Vec<(f64, String)> = Vec::new();
        let rounds = self.options.rounds.min(3);
        for round in 0..rounds {
            for (number, kind) in TYPES.iter().enumerate() {
                let server = self.respire()?;
                calm.push(self.stall(&server, || Ok(()))?);
                for step in [0, 3] {
                    let way = WAYS[(number + round + step) % WAYS.len()];
                    self.grow(&server, kind)?;
                    let stall = self.stall(&server, || remove(&server, way.1))?;
                    println!("  {} by {}: {stall:.2} ms", kind.0, way.0);
                    worst.push((stall, format!("{} by {}", kind.0, way.0)));
                }
            }
        }
        let calm = median(calm).unwrap_or(f64::NAN);
        let half = median(worst.iter().map(|(stall, _)| *stall).collect()).unwrap_or(f64::NAN);
        worst.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (most, which) = worst.pop().ok_or("nothing was removed")?;
        let redis = Server::start(Path::new("redis-server"), SERVER_CORE, &[])?;
        self.grow(&redis, &TYPES[1])?;
        let blocked = self.stall(&redis, || remove(&redis, WAYS[0].1))?;
        Ok(vec![Figure {
            what,
            bound: Bound::AtMost(1.0),
            // Machines make everybody wait at times, whatever a server does.
            measured: (half - calm).max(0.0),
            redis: format!("set by DEL {blocked:.0} ms"),
            respire: format!(
                "median {half:.2} ms, {calm:.2} ms while nothing happens; the longest {most:.2} ms, {which}"
            ),
        }])
    }

    /// Fills the key `big`.
    fn grow(&self, server: &Server, kind: &(&str, &str, &str, u64, u64)) -> Result<(), String> {
        let (_, command, element, chunk, keys) = *kind;
        let mut line = command.to_owned();
        (0..chunk).for_each(|_| line = format!("{line} {element}"));
        let elements = self.scaled(ELEMENTS);
        let load = Load {
            pipeline: (200 / chunk) as usize,
            requests: Some(elements / chunk),
            keyspace: elements * keys,
            distribution: KeyDistribution::Sequential,
            ..Load::new(server.target(), Workload::Custom(line))
        };
        no_errors(&load.run().map_err(text)?)
    }

    /// The longest wait of a prober, in milliseconds, from before `work` until the memory has come back.
    fn stall(
        &self,
        server: &Server,
        work: impl FnOnce() -> Result<(), String>,
    ) -> Result<f64, String> {
        let probe = || Prober::start(&server.target(), "nothing", PROBE_EVERY);
        let prober = punctual(probe).map_err(text)?;
        thread::sleep(CALM / 10);
        let done = work();
        thread::sleep(CALM);
        let seen = prober.stop().map_err(text)?;
        done.map(|()| seen.worst_us / 1000.0)
    }
}

/// Removes the key `big`, and waits until its elements are freed.
fn remove(server: &Server, commands: &[&[&str]]) -> Result<(), String> {
    let mut client = server.target().connect().map_err(text)?;
    for command in commands {
        client.call(command).map_err(text)?;
    }
    let began = Instant::now();
    loop {
        let memory = client.call(&["INFO", "memory"]).map_err(text)?;
        let memory = String::from_utf8_lossy(&memory);
        let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:")?.parse().ok());
        match used {
            None => return Err("INFO has no used_memory".into()),
            Some(0..20_000_000_u64) => return Ok(()),
            Some(_) if began.elapsed() > PATIENCE => {
                return Err(format!("{commands:?} gives no memory back"));
            }
            Some(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
