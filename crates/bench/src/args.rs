//! The options of `respire bench`, and the loads that they ask for.

use crate::keys::KeyDistribution;
use crate::load::Load;
use crate::target::{Address, Error, Target};
use crate::tls::{Tls, TlsArgs};
use crate::workload::Workload;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Measures a server that speaks RESP: requests per second, latencies, and the server's processor time per request.
///
/// Without --host, --port or --socket a server is started in this process and measured. Without --tests, --command,
/// --ratio or --pipeline three rows are measured: SET request by request, GET request by request, and SET in
/// batches of 100.
#[derive(Parser, Debug)]
#[command(name = "respire bench", bin_name = "respire bench", version)]
pub(crate) struct Args {
    /// The server's host name or address [default: 127.0.0.1]
    #[arg(long, help_heading = "Server")]
    pub host: Option<String>,
    /// The server's port [default: 6379]
    #[arg(short, long, help_heading = "Server")]
    pub port: Option<u16>,
    /// The server's Unix socket, in place of host and port
    #[arg(short, long, value_name = "PATH", conflicts_with_all = ["host", "port"], help_heading = "Server")]
    pub socket: Option<PathBuf>,
    /// The user to log in as
    #[arg(long, requires = "pass", help_heading = "Server")]
    pub user: Option<String>,
    /// The password to log in with
    #[arg(short = 'a', long, help_heading = "Server")]
    pub pass: Option<String>,
    /// The database to select
    #[arg(long, default_value_t = 0, help_heading = "Server")]
    pub db: u32,
    /// Speak RESP3
    #[arg(short = '3', long, help_heading = "Server")]
    pub resp3: bool,
    /// Seconds without a complete reply after which the run fails
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, help_heading = "Server")]
    pub timeout: Duration,
    /// Put the same load on this server as well (host:port or a socket's path), in turns, and print both with ratios
    #[arg(long, value_name = "HOST:PORT", help_heading = "Server")]
    pub against: Option<String>,

    #[command(flatten)]
    pub tls: TlsArgs,

    /// Connections
    #[arg(short, long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Load")]
    pub connections: u32,
    /// Threads of the client [default: half of the cores]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_024), help_heading = "Load")]
    pub threads: Option<u32>,
    /// Requests that a connection sends at once
    #[arg(short = 'P', long, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Load")]
    pub pipeline: Option<u32>,
    /// Requests per test [default: 100000, or no limit with --duration]
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Load")]
    pub requests: Option<u64>,
    /// Seconds per test
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "Load")]
    pub duration: Option<Duration>,
    /// Open loop: send this many requests per second in all, whether replies come or not
    ///
    /// Each request has a fixed moment at which it should be sent, and its latency is measured from that moment, also
    /// when it had to wait for a free connection: a stall of the server shows in every request that it delayed, so
    /// that the latencies are free of coordinated omission. The client's own wake-up (some ten microseconds) is in
    /// them, too.
    #[arg(long, value_name = "PER_SECOND", help_heading = "Load")]
    pub rate: Option<f64>,
    /// Rounds per test; speed and CPU are the median round's [default: 1, or 3 with --against]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000), help_heading = "Load")]
    pub rounds: Option<u32>,

    /// Tests to run: ping, set, get, incr, mget, mset (10 keys each), mixed (see --ratio)
    #[arg(short, long, value_delimiter = ',', ignore_case = true, help_heading = "Requests")]
    pub tests: Vec<Test>,
    /// A command of your own, such as "HSET __key__ field __data__"; may be given several times
    #[arg(long, value_name = "COMMAND", help_heading = "Requests")]
    pub command: Vec<String>,
    /// Reads and writes of the test `mixed` [default: 9:1]
    #[arg(long, value_name = "READS:WRITES", value_parser = ratio, help_heading = "Requests")]
    pub ratio: Option<(u32, u32)>,
    /// Number of different keys
    #[arg(short = 'r', long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Requests")]
    pub keyspace: u64,
    /// Bytes of a key
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Requests")]
    pub key_size: u32,
    /// Bytes of a value
    #[arg(short = 'd', long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..=536_870_912), help_heading = "Requests")]
    pub value_size: u32,
    /// How keys are drawn
    #[arg(long, value_enum, default_value_t = Distribution::Uniform, help_heading = "Requests")]
    pub distribution: Distribution,
    /// Skew of Zipfian keys
    #[arg(long, value_name = "THETA", default_value_t = 0.99, value_parser = theta, help_heading = "Requests")]
    pub zipf_theta: f64,
    /// SET every key of the key space once before the tests
    #[arg(long, help_heading = "Requests")]
    pub load: bool,
    /// Seed of the keys
    #[arg(long, default_value_t = 1, help_heading = "Requests")]
    pub seed: u64,

    /// Print the results as JSON on standard output and nothing else
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Print the table only: no progress, no notes
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    Ping,
    Set,
    Get,
    Incr,
    Mget,
    Mset,
    Mixed,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distribution {
    Uniform,
    Zipfian,
    Sequential,
}

const KEYS_OF_MULTI: usize = 10;
const DEFAULT_REQUESTS: u64 = 100_000;
const DEFAULT_RATIO: (u32, u32) = (9, 1);
const BATCH: usize = 100;

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    match duration >= Duration::from_millis(1) && seconds < 1e7 {
        true => Ok(duration),
        false => Err("not between 0.001 and 10,000,000 seconds".into()),
    }
}

fn theta(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(theta) if (0.0..=100.0).contains(&theta) => Ok(theta),
        _ => Err("not a number between 0 and 100".into()),
    }
}

fn ratio(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once(':').and_then(|(reads, writes)| {
        Some((reads.parse::<u16>().ok()?, writes.parse::<u16>().ok()?))
    });
    match parsed {
        Some((0, 0)) | None => Err("not two numbers such as 9:1".into()),
        Some((reads, writes)) => Ok((reads.into(), writes.into())),
    }
}

impl Args {
    /// No server was named: one is to be started in this process.
    pub(crate) fn wants_embedded(&self) -> bool {
        self.host.is_none() && self.port.is_none() && self.socket.is_none()
    }

    pub(crate) fn address(&self) -> Result<Address, Error> {
        match &self.socket {
            Some(path) => Ok(Address::Unix(path.clone())),
            None => Address::resolve(
                self.host.as_deref().unwrap_or("127.0.0.1"),
                self.port.unwrap_or(6379),
                self.timeout,
            ),
        }
    }

    pub(crate) fn against_address(&self) -> Result<Option<Address>, Error> {
        let Some(text) = &self.against else {
            return Ok(None);
        };
        if text.contains('/') {
            return Ok(Some(Address::Unix(text.into())));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host.trim_start_matches('[').trim_end_matches(']'), port),
            None => ("127.0.0.1", &text[..]),
        };
        let port = port.parse().map_err(|_| Error(format!("--against {text}: not a port")))?;
        Address::resolve(host, port, self.timeout).map(Some)
    }

    pub(crate) fn target(&self, address: Address) -> Result<Target, Error> {
        let tls = match (self.tls.tls, &address) {
            (false, _) => None,
            (true, _) if self.wants_embedded() => {
                return Err(Error("--tls needs a server: --port names one".into()));
            }
            (true, Address::Unix(_)) => {
                return Err(Error("--tls is for TCP, not for Unix sockets".into()));
            }
            (true, _) => Some(Tls::new(&self.tls, self.host.as_deref().unwrap_or("127.0.0.1"))?),
        };
        Ok(Target {
            address,
            user: self.user.clone(),
            password: self.pass.clone(),
            db: self.db,
            resp3: self.resp3,
            timeout: self.timeout,
            tls,
        })
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.against.is_some() { 3 } else { 1 })
    }

    /// Every test with its pipeline, in the order in which they run.
    pub(crate) fn loads(&self, target: &Target) -> Vec<Load> {
        let pipeline = self.pipeline.unwrap_or(1) as usize;
        let nothing_asked =
            self.tests.is_empty() && self.command.is_empty() && self.ratio.is_none();
        let mut tests: Vec<(Workload, usize)> = match (nothing_asked, self.pipeline) {
            (true, None) => vec![(Workload::Set, 1), (Workload::Get, 1), (Workload::Set, BATCH)],
            (true, Some(_)) => vec![(Workload::Set, pipeline), (Workload::Get, pipeline)],
            _ => self.tests.iter().map(|&test| (self.workload(test), pipeline)).collect(),
        };
        if self.ratio.is_some() && !self.tests.contains(&Test::Mixed) {
            tests.push((self.workload(Test::Mixed), pipeline));
        }
        let custom = self.command.iter().map(|line| (Workload::Custom(line.clone()), pipeline));
        tests.extend(custom);
        let base = self.base(target);
        tests
            .into_iter()
            .map(|(workload, pipeline)| Load { workload, pipeline, ..base.clone() })
            .collect()
    }

    /// What `--load` runs first.
    pub(crate) fn fill(&self, target: &Target) -> Load {
        let base = self.base(target);
        Load {
            connections: base.connections,
            threads: base.threads,
            key_size: base.key_size,
            value_size: base.value_size,
            ..Load::fill(target.clone(), self.keyspace)
        }
    }

    fn base(&self, target: &Target) -> Load {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Load {
            connections: self.connections as usize,
            threads: self.threads.map_or((cores / 2).max(1), |threads| threads as usize),
            requests: match (self.requests, self.duration) {
                (None, None) => Some(DEFAULT_REQUESTS),
                (requests, _) => requests,
            },
            duration: self.duration,
            rate: self.rate,
            keyspace: self.keyspace,
            key_size: self.key_size as usize,
            value_size: self.value_size as usize,
            distribution: match self.distribution {
                Distribution::Uniform => KeyDistribution::Uniform,
                Distribution::Zipfian => KeyDistribution::Zipfian { theta: self.zipf_theta },
                Distribution::Sequential => KeyDistribution::Sequential,
            },
            seed: self.seed,
            ..Load::new(target.clone(), Workload::Ping)
        }
    }

    fn workload(&self, test: Test) -> Workload {
        let (reads, writes) = self.ratio.unwrap_or(DEFAULT_RATIO);
        match test {
            Test::Ping => Workload::Ping,
            Test::Set => Workload::Set,
            Test::Get => Workload::Get,
            Test::Incr => Workload::Incr,
            Test::Mget => Workload::MGet(KEYS_OF_MULTI),
            Test::Mset => Workload::MSet(KEYS_OF_MULTI),
            Test::Mixed => Workload::Mixed { reads, writes },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("bench").chain(line.split_whitespace()))
    }

    fn tests(line: &str) -> Vec<(String, usize)> {
        let target = Target::new(Address::Unix("/nowhere".into()));
        let loads = parse(line).unwrap().loads(&target);
        loads.iter().map(|load| (load.workload.name(), load.pipeline)).collect()
    }

    #[test]
    fn the_default_is_the_table_of_three_rows() {
        let named = |rows: &[(&str, usize)]| -> Vec<(String, usize)> {
            rows.iter().map(|&(name, pipeline)| (name.to_owned(), pipeline)).collect()
        };
        assert_eq!(tests(""), named(&[("SET", 1), ("GET", 1), ("SET", 100)]));
        assert_eq!(tests("-P 16"), named(&[("SET", 16), ("GET", 16)]));
        assert_eq!(tests("-t get,INCR -P 2"), named(&[("GET", 2), ("INCR", 2)]));
        assert_eq!(tests("--ratio 1:3"), named(&[("GET:SET 1:3", 1)]));
        assert_eq!(tests("--command TIME"), named(&[("TIME", 1)]));
    }

    #[test]
    fn requests_and_duration_limit_each_other() {
        let target = Target::new(Address::Unix("/nowhere".into()));
        let limits = |line: &str| {
            let load = parse(line).unwrap().loads(&target).remove(0);
            (load.requests, load.duration)
        };
        assert_eq!(limits(""), (Some(100_000), None));
        assert_eq!(limits("--duration 1.5"), (None, Some(Duration::from_millis(1500))));
        assert_eq!(limits("-n 7 --duration 1"), (Some(7), Some(Duration::from_secs(1))));
    }

    #[test]
    fn bad_options_are_refused() {
        for line in [
            "-c 0",
            "-n 0",
            "-P 0",
            "-r 0",
            "--ratio 0:0",
            "--ratio 1",
            "--duration 0",
            "--timeout 0",
            "--timeout nan",
            "--zipf-theta -1",
            "-t unknown",
            "--user u",
            "--socket s --port 1",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
