//! `cargo xtask bench`: the figures that Respire promises, measured beside redis-server.
//!
//! Owns: starting both servers on one core each in turn, the list of figures, and `docs/benchmarks.md`.
//! Invariant: both absolute values of a figure come from the same run, its rounds alternating between the servers,
//! and its ratio is taken from the medians.
//!
//! Options: `--rounds N` (5), `--quick` (a tenth of the requests and keys, writes no document), `--only TEXT` (figures
//! whose name holds TEXT, writes no document), `--respire PATH` (measures this binary and builds none).

mod collections;
mod encrypted;
mod persistence;
mod removals;

use respire_bench::{
    Address, IdleConnections, Load, ProbeReport, Prober, Report, ServerCpu, Target, Workload,
    median, raise_file_limit,
};
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const KEYS: u64 = 1_000_000;
const MEMORY_KEYS: u64 = 2_000_000;
const PROBED_KEYS: u64 = 10_000_000;
const KEY_AND_VALUE_BYTES: f64 = 16.0 + 32.0;
const IDLE_CONNECTIONS: usize = 10_000;
/// Room for the idle connections and for those of the measurement itself.
const MAX_CLIENTS: &str = "12000";
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";
const START_LIMIT: Duration = Duration::from_secs(20);
const DOCUMENT: &str = "docs/benchmarks.md";

/// Runs the figures, prints them, and writes the document.
pub fn run(args: &[String]) -> Result<(), String> {
    let options = Options::parse(args)?;
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err("two cores are needed: one for the server, one for the load".into());
    }
    let respire = match &options.respire {
        Some(path) => path.clone(),
        None => build()?,
    };
    let bench = Bench { options, respire };
    // Threads that start later inherit it.
    let own_pid = std::process::id().to_string();
    tool("taskset", &["-a", "-c", "-p", LOAD_CORE, &own_pid])?;
    let mut figures = Vec::new();
    for measure in [
        Bench::pipelined as fn(&Bench) -> Result<Vec<Figure>, String>,
        Bench::encrypted,
        Bench::two_threads,
        Bench::memory_of_keys,
        Bench::memory_of_connections,
        Bench::probed_load,
        Bench::collections,
        Bench::memory_of_collections,
        Bench::publishing,
        Bench::removals,
        Bench::persistence,
    ] {
        for figure in measure(&bench)? {
            println!("{}", figure.line());
            figures.push(figure);
        }
    }
    if bench.options.quick || bench.options.only.is_some() {
        return Ok(());
    }
    fs::write(DOCUMENT, document(&figures, bench.options.rounds)?)
        .map_err(|error| format!("cannot write {DOCUMENT}: {error}"))?;
    println!("written to {DOCUMENT}");
    Ok(())
}

struct Options {
    rounds: usize,
    quick: bool,
    only: Option<String>,
    respire: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options, String> {
        let mut options = Options { rounds: 5, quick: false, only: None, respire: None };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--quick" => options.quick = true,
                "--only" => options.only = Some(value()?.clone()),
                "--respire" => options.respire = Some(value()?.into()),
                "--rounds" => {
                    options.rounds = value()?
                        .parse()
                        .ok()
                        .filter(|rounds| (1..=1_000).contains(rounds))
                        .ok_or("--rounds needs a number from 1 to 1000")?;
                }
                _ => return Err(format!("xtask bench has no option {name}")),
            }
        }
        Ok(options)
    }
}

/// One line of the results.
struct Figure {
    what: &'static str,
    bound: Bound,
    measured: f64,
    redis: String,
    respire: String,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    fn verdict(&self) -> String {
        let (reached, by) = match self.bound {
            Bound::AtLeast(bound) => (self.measured >= bound, 1.0 - self.measured / bound),
            Bound::AtMost(bound) => (self.measured <= bound, self.measured / bound - 1.0),
        };
        match reached {
            true => "reached".into(),
            false => format!("missed by {:.0} %", by * 100.0),
        }
    }

    fn target(&self) -> String {
        match self.bound {
            Bound::AtLeast(bound) => format!("at least {bound}"),
            Bound::AtMost(bound) => format!("at most {bound}"),
        }
    }

    fn line(&self) -> String {
        format!(
            "{}: {:.2} ({}, {}); redis-server {}, Respire {}",
            self.what,
            self.measured,
            self.target(),
            self.verdict(),
            self.redis,
            self.respire
        )
    }
}

struct Bench {
    options: Options,
    respire: PathBuf,
}

impl Bench {
    fn wanted(&self, what: &str) -> bool {
        self.options.only.as_ref().is_none_or(|only| what.contains(only.as_str()))
    }

    fn scaled(&self, amount: u64) -> u64 {
        if self.options.quick { amount / 10 } else { amount }
    }

    fn redis(&self) -> Result<Server, String> {
        Server::start(Path::new("redis-server"), SERVER_CORE, &["--appendonly", "no"])
    }

    fn respire(&self) -> Result<Server, String> {
        Server::start(&self.respire, SERVER_CORE, &["--io-threads", "1"])
    }

    /// The CPU ratios of single commands, all on one pair of filled servers.
    fn pipelined(&self) -> Result<Vec<Figure>, String> {
        let rows = [
            ("GET, 10 clients, pipeline 100", 6.0, Workload::Get, 10, 100, 1_000_000),
            ("SET, 10 clients, pipeline 100", 4.0, Workload::Set, 10, 100, 1_000_000),
            ("INCR, 10 clients, pipeline 100", 4.0, Workload::Incr, 10, 100, 1_000_000),
            (
                "MGET of 10 keys, 10 clients, pipeline 100",
                4.0,
                Workload::MGet(10),
                10,
                100,
                100_000,
            ),
            ("GET, 50 clients, no pipeline", 1.15, Workload::Get, 50, 1, 100_000),
        ];
        if !rows.iter().any(|row| self.wanted(row.0)) {
            return Ok(Vec::new());
        }
        let servers = [self.redis()?, self.respire()?];
        for server in &servers {
            self.fill(server, KEYS)?;
        }
        let mut figures = Vec::new();
        for (what, bound, workload, connections, pipeline, requests) in rows {
            if !self.wanted(what) {
                continue;
            }
            let load = |server: &Server| Load {
                connections,
                pipeline,
                requests: Some(self.scaled(requests)),
                keyspace: self.scaled(KEYS),
                ..Load::new(server.target(), workload.clone())
            };
            let [redis, respire] = self.alternate(&servers, load)?;
            figures.push(Figure {
                what,
                bound: Bound::AtLeast(bound),
                measured: redis.cpu / respire.cpu,
                redis: redis.text(),
                respire: respire.text(),
            });
        }
        Ok(figures)
    }

    /// Total requests per CPU second with two event loops over the same with one.
    fn two_threads(&self) -> Result<Vec<Figure>, String> {
        let what = "pipelined GET, requests per CPU second, two threads over one";
        if !self.wanted(what) {
            return Ok(Vec::new());
        }
        let both_cores = format!("{SERVER_CORE},{LOAD_CORE}");
        let two = Server::start(&self.respire, &both_cores, &["--io-threads", "2"])?;
        let servers = [self.respire()?, two];
        for server in &servers {
            self.fill(server, KEYS)?;
        }
        let [one, two] = self.alternate(&servers, |server| Load {
            pipeline: 100,
            requests: Some(self.scaled(1_000_000)),
            keyspace: self.scaled(KEYS),
            ..Load::new(server.target(), Workload::Get)
        })?;
        Ok(vec![Figure {
            what,
            bound: Bound::AtLeast(0.9),
            measured: one.cpu / two.cpu,
            redis: "-".into(),
            respire: format!("one thread {}, two {}", one.text(), two.text()),
        }])
    }

    fn memory_of_keys(&self) -> Result<Vec<Figure>, String> {
        let what = "bytes per key above key and value, 2,000,000 keys";
        if !self.wanted(what) {
            return Ok(Vec::new());
        }
        let overhead = |server: Server| -> Result<f64, String> {
            let before = server.resident_bytes()?;
            self.fill(&server, MEMORY_KEYS)?;
            let grown = server.resident_bytes()? - before;
            Ok(grown / self.scaled(MEMORY_KEYS) as f64 - KEY_AND_VALUE_BYTES)
        };
        let (redis, respire) = (overhead(self.redis()?)?, overhead(self.respire()?)?);
        Ok(vec![bytes_figure(what, 24.0, redis, respire)])
    }

    fn memory_of_connections(&self) -> Result<Vec<Figure>, String> {
        let what = "bytes per idle connection that has sent a command";
        if !self.wanted(what) {
            return Ok(Vec::new());
        }
        let count = match raise_file_limit(IDLE_CONNECTIONS) {
            possible if possible >= IDLE_CONNECTIONS => IDLE_CONNECTIONS,
            _ => IDLE_CONNECTIONS / 2,
        };
        let cost = |server: Server| -> Result<f64, String> {
            let before = server.resident_bytes()?;
            let held = IdleConnections::open(&server.target(), count).map_err(text)?;
            // Work that a server does once after a connection has opened is part of its cost.
            thread::sleep(Duration::from_secs(1));
            let grown = server.resident_bytes()? - before;
            Ok(grown / held.len() as f64)
        };
        let (redis, respire) = (cost(self.redis()?)?, cost(self.respire()?)?);
        Ok(vec![bytes_figure(what, 2048.0, redis, respire)])
    }

    fn probed_load(&self) -> Result<Vec<Figure>, String> {
        let what =
            "worst latency of a 1 ms prober while 10,000,000 keys are loaded, over redis-server's";
        if !self.wanted(what) {
            return Ok(Vec::new());
        }
        // A load of 10 million keys is long and leaves a gigabyte: at most three rounds, on fresh servers.
        let mut worst = [Vec::new(), Vec::new()];
        let mut last = [String::new(), String::new()];
        for _ in 0..self.options.rounds.min(3) {
            for side in 0..2 {
                let server = if side == 0 { self.redis()? } else { self.respire()? };
                let seen = self.probe(&server)?;
                worst[side].push(seen.worst_us);
                last[side] = format!("p99 {:.0} µs, p99.9 {:.0} µs", seen.p99_us, seen.p999_us);
            }
        }
        let [redis, respire] = worst.map(|worst| median(worst).unwrap_or(f64::NAN));
        let [redis_last, respire_last] = last;
        Ok(vec![Figure {
            what,
            bound: Bound::AtMost(0.5),
            measured: respire / redis,
            redis: format!("worst {redis:.0} µs, {redis_last}"),
            respire: format!("worst {respire:.0} µs, {respire_last}"),
        }])
    }

    fn probe(&self, server: &Server) -> Result<ProbeReport, String> {
        let prober = Prober::start(&server.target(), "key:000000000000", Duration::from_millis(1))
            .map_err(text)?;
        // Prober and loader share a core: the loader steps back at once when the prober wakes, so that the prober
        // sees the server's stalls and not the loader's.
        let loaded = thread::scope(|scope| {
            scope
                .spawn(|| {
                    step_back()?;
                    self.fill(server, PROBED_KEYS)
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let seen = prober.stop().map_err(text)?;
        loaded.map(|()| seen)
    }

    fn fill(&self, server: &Server, keys: u64) -> Result<(), String> {
        let report = Load::fill(server.target(), self.scaled(keys)).run().map_err(text)?;
        no_errors(&report)
    }

    /// Runs a load on both servers in turns, after one round that is not counted.
    fn alternate(
        &self,
        servers: &[Server; 2],
        load: impl Fn(&Server) -> Load,
    ) -> Result<[Cost; 2], String> {
        let mut rounds = [Vec::new(), Vec::new()];
        for round in 0..=self.options.rounds {
            for (server, reports) in servers.iter().zip(&mut rounds) {
                let load = Load { seed: round as u64, ..load(server) };
                let cpu = Ok(ServerCpu::of_process(server.child.id()));
                let report = load.run_measured(&cpu, &|_| {}).map_err(text)?;
                no_errors(&report)?;
                if round > 0 {
                    reports.push(report);
                }
            }
        }
        let cost = |reports: &[Report]| {
            let joined = Report::join(reports).ok_or("no rounds")?;
            let cpu = joined.server_cpu_us_per_request.ok_or("a server's clock can't be read")?;
            Ok::<_, String>(Cost { cpu, per_second: joined.requests_per_second })
        };
        Ok([cost(&rounds[0])?, cost(&rounds[1])?])
    }
}

/// Medians of a load's rounds.
struct Cost {
    /// Microseconds of the server's processor time per request.
    cpu: f64,
    per_second: f64,
}

impl Cost {
    fn text(&self) -> String {
        format!("{:.3} µs ({:.2} M/s)", self.cpu, self.per_second / 1e6)
    }
}

fn bytes_figure(what: &'static str, bound: f64, redis: f64, respire: f64) -> Figure {
    Figure {
        what,
        bound: Bound::AtMost(bound),
        measured: respire,
        redis: format!("{redis:.1} bytes"),
        respire: format!("{respire:.1} bytes"),
    }
}

fn no_errors(report: &Report) -> Result<(), String> {
    match &report.first_error {
        Some(error) => Err(format!("{}: {error}", report.name)),
        None => Ok(()),
    }
}

fn text(error: respire_bench::Error) -> String {
    error.to_string()
}

/// A server that runs until it is dropped.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(program: &Path, cores: &str, options: &[&str]) -> Result<Server, String> {
        let cannot = |error| format!("cannot start {}: {error}", program.display());
        raise_file_limit(IDLE_CONNECTIONS * 2);
        // The port is free now; nothing else on a measuring machine should take it in between.
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(cannot)?;
        let child = Command::new("taskset")
            .args(["-c", cores])
            .arg(program)
            .args(["--port", &addr.port().to_string(), "--save", "", "--maxclients", MAX_CLIENTS])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(cannot)?;
        let mut server = Server { child, addr };
        let started = Instant::now();
        while server.target().connect().and_then(|mut client| client.call(&["PING"])).is_err() {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("{} ended at its start: {status}", program.display()));
            }
            if started.elapsed() > START_LIMIT {
                return Err(format!("{} does not answer", program.display()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn target(&self) -> Target {
        Target::new(Address::Tcp(self.addr))
    }

    fn resident_bytes(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .and_then(|kilobytes| kilobytes.trim().parse::<f64>().ok())
            .map(|kilobytes| kilobytes * 1024.0)
            .ok_or_else(|| format!("{path} has no VmRSS"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that is gone already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives the calling thread, and those that it starts, the lowest priority.
fn step_back() -> Result<(), String> {
    let link = fs::read_link("/proc/thread-self").map_err(|error| error.to_string())?;
    let thread = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
    tool("renice", &["-n", "19", "-p", &thread])
}

/// Gives the threads that `work` starts the core as soon as they want it, where the system allows that: what a prober waits for is
/// then the server, and not whatever else the machine does.
fn punctual<R>(work: impl FnOnce() -> R) -> R {
    let own_pid = std::process::id().to_string();
    // They inherit it from this one. Without the permission latencies are only less exact.
    let _ = tool("chrt", &["--rr", "--pid", "1", &own_pid]);
    let result = work();
    let _ = tool("chrt", &["--other", "--pid", "0", &own_pid]);
    result
}

fn tool(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Builds the release binary and returns its path.
pub fn build() -> Result<PathBuf, String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "-p",
            "respire",
            "--bin",
            "respire",
            "--message-format=json-render-diagnostics",
        ])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err("the release build failed".into());
    }
    // The only artifact with an executable is the one that was asked for.
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    messages
        .lines()
        .filter_map(|line| line.split_once("\"executable\":\"")?.1.split_once('"'))
        .map(|(path, _)| PathBuf::from(path))
        .next_back()
        .ok_or_else(|| "cargo named no executable".into())
}

fn document(figures: &[Figure], rounds: usize) -> Result<String, String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("an unnamed processor", |(_, name)| name.trim());
    let version = Command::new("redis-server")
        .arg("--version")
        .output()
        .map_err(|error| format!("cannot run redis-server: {error}"))?;
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("v="))
        .unwrap_or("of an unknown version");
    let mut page = format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench`. One server thread pinned to one core, the load on another; 1,000,000 random\n\
         16-byte keys, 32-byte values. The peer is redis-server {version}; the machine has {processor}.\n\
         Ratios of commands are redis-server's processor time (user and system) per request over Respire's, from the\n\
         medians of {rounds} rounds that alternate between the two. Latencies are counted from the moment at which a\n\
         probe should have been sent.\n\n\
         | what | target | measured | | redis-server | Respire |\n|---|---|---|---|---|---|\n"
    );
    for figure in figures {
        writeln!(
            page,
            "| {} | {} | {:.2} | {} | {} | {} |",
            figure.what,
            figure.target(),
            figure.measured,
            figure.verdict(),
            figure.redis,
            figure.respire
        )
        .expect("writing to a string succeeds");
    }
    Ok(page)
}
