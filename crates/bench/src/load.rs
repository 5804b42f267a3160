//! One measurement: a [`Load`] runs against a server and gives a [`Report`].
//!
//! Owns: the split of a load over threads and the sum of what they found.
//! Invariant: every request is in the report exactly once, in its counts and in its histogram.

use crate::cpu::ServerCpu;
use crate::driver::{Driver, Outcome, Plan, Schedule, Shared, new_histogram};
use crate::idle::raise_file_limit;
use crate::keys::{KeyDistribution, KeySource};
use crate::target::{Error, Target};
use crate::workload::{Batches, Workload};
use hdrhistogram::Histogram;
use std::sync::Barrier;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a watcher is told how far the run is.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// A load to be put on a server; [`Load::new`] has the defaults of the command line.
#[derive(Debug, Clone)]
pub struct Load {
    pub target: Target,
    pub workload: Workload,
    pub connections: usize,
    /// Threads of the client; never more than connections.
    pub threads: usize,
    /// Requests that a connection sends at once before it waits for the replies.
    pub pipeline: usize,
    /// The number of requests; `None` runs for `duration`. With both, whichever ends first.
    pub requests: Option<u64>,
    pub duration: Option<Duration>,
    /// Requests per second of an open loop; `None` is a closed loop.
    pub rate: Option<f64>,
    /// The number of different keys.
    pub keyspace: u64,
    /// Bytes of a key and of a value.
    pub key_size: usize,
    pub value_size: usize,
    pub distribution: KeyDistribution,
    pub seed: u64,
}

impl Load {
    /// 10 connections on 1 thread, no pipeline, 100,000 requests over 100,000 uniform keys of 16 bytes, values of 32.
    pub fn new(target: Target, workload: Workload) -> Load {
        Load {
            target,
            workload,
            connections: 10,
            threads: 1,
            pipeline: 1,
            requests: Some(100_000),
            duration: None,
            rate: None,
            keyspace: 100_000,
            key_size: 16,
            value_size: 32,
            distribution: KeyDistribution::Uniform,
            seed: 1,
        }
    }

    /// A load that SETs each of `keys` keys once, in order, by pipeline; the same keys that `Get` and `Set` draw.
    pub fn fill(target: Target, keys: u64) -> Load {
        Load {
            requests: Some(keys),
            keyspace: keys,
            pipeline: 100,
            distribution: KeyDistribution::Sequential,
            ..Load::new(target, Workload::Set)
        }
    }

    /// Runs the load to its end.
    pub fn run(&self) -> Result<Report, Error> {
        self.run_watched(&|_| {})
    }

    /// The same, and tells about ten times a second how many replies have come.
    pub fn run_watched(&self, watch: &dyn Fn(u64)) -> Result<Report, Error> {
        let cpu = ServerCpu::find(&self.target);
        self.run_measured(&cpu, watch)
    }

    /// The same, with the server's process already found (or the reason why not).
    pub fn run_measured(
        &self,
        cpu: &Result<ServerCpu, String>,
        watch: &dyn Fn(u64),
    ) -> Result<Report, Error> {
        self.check()?;
        let possible = raise_file_limit(self.connections);
        if possible < self.connections {
            return Err(Error(format!("the file limit allows {possible} connections")));
        }
        let shared = Shared::default();
        let threads = self.threads.clamp(1, self.connections);
        let drivers = (0..threads)
            .map(|thread| self.driver(thread, threads, &shared))
            .collect::<Result<Vec<_>, _>>()?;
        let barrier = Barrier::new(threads + 1);
        let start = OnceLock::new();
        let done = AtomicUsize::new(0);
        let main = thread::current();
        let (outcomes, cpu_ns) = thread::scope(|scope| {
            let running: Vec<_> = drivers
                .into_iter()
                .enumerate()
                .map(|(number, driver)| {
                    let body = || {
                        barrier.wait();
                        let outcome = driver.run(*start.get_or_init(Instant::now));
                        done.fetch_add(1, Ordering::Release);
                        main.unpark();
                        outcome
                    };
                    thread::Builder::new()
                        .name(format!("bench-{number}"))
                        .spawn_scoped(scope, body)
                        .expect("the system has room for a thread")
                })
                .collect();
            let clock = || cpu.as_ref().ok().and_then(ServerCpu::nanoseconds);
            let before = clock();
            barrier.wait();
            // A thread that panics counts itself out of `done`, but it does finish.
            while done.load(Ordering::Acquire) < threads
                && !running.iter().all(|thread| thread.is_finished())
            {
                thread::park_timeout(WATCH_INTERVAL);
                watch(shared.progress.load(Ordering::Relaxed));
            }
            let used = before.zip(clock()).map(|(before, after)| after.saturating_sub(before));
            let outcomes: Result<Vec<Outcome>, Error> = join(running);
            outcomes.map(|outcomes| (outcomes, used))
        })?;
        let start = *start.get().expect("every thread has set it");
        Ok(self.report(&outcomes, start, cpu_ns, cpu))
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error(text.into()));
        if self.connections == 0 || self.pipeline == 0 || self.keyspace == 0 {
            return refuse("connections, pipeline and key space begin at 1");
        }
        if self.requests.is_none() && self.duration.is_none() {
            return refuse("a load needs a number of requests or a duration");
        }
        match self.rate {
            Some(rate) if !(rate.is_finite() && rate > 0.0) => refuse("the rate must be above 0"),
            _ => Ok(()),
        }
    }

    fn driver<'a>(
        &self,
        thread: usize,
        threads: usize,
        shared: &'a Shared,
    ) -> Result<Driver<'a>, Error> {
        let share = |total: u64| {
            let cut = |at: usize| (u128::from(total) * at as u128 / threads as u128) as u64;
            cut(thread)..cut(thread + 1)
        };
        let length = |range: std::ops::Range<u64>| range.end - range.start;
        let schedule = self.rate.map(|rate| {
            // Threads take turns, so that the whole of them sends evenly.
            let interval_ns = 1e9 / rate;
            Schedule {
                first_ns: interval_ns * thread as f64,
                interval_ns: interval_ns * threads as f64,
            }
        });
        let planned = match (self.rate, self.duration) {
            (Some(rate), Some(duration)) => {
                let planned = (rate * duration.as_secs_f64()).ceil() as u64;
                Some(self.requests.map_or(planned, |requests| requests.min(planned)))
            }
            _ => self.requests,
        };
        let plan = Plan {
            connections: length(share(self.connections as u64)) as usize,
            pipeline: self.pipeline as u64,
            requests: planned.map(|requests| length(share(requests))),
            duration: self.duration,
            schedule,
        };
        let mut part = share(self.keyspace);
        if part.is_empty() {
            part = 0..self.keyspace;
        }
        // Seeds of threads are far apart in the generator's own expansion of a seed.
        let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(thread as u64);
        let keys = KeySource::new(self.distribution, self.keyspace, part, seed)?;
        let batches = Batches::new(
            &self.workload,
            self.pipeline,
            self.keyspace,
            self.key_size,
            self.value_size,
        )?;
        Driver::new(&self.target, plan, batches, keys, shared)
    }

    fn report(
        &self,
        outcomes: &[Outcome],
        start: Instant,
        cpu_ns: Option<u64>,
        cpu: &Result<ServerCpu, String>,
    ) -> Report {
        let mut latency = new_histogram();
        for outcome in outcomes {
            latency.add(&outcome.latency).expect("all histograms have the same bounds");
        }
        let requests: u64 = outcomes.iter().map(|outcome| outcome.replies).sum();
        let end = outcomes.iter().map(|outcome| outcome.finished_at).max().unwrap_or(start);
        let seconds = end.duration_since(start).as_secs_f64();
        let client_ns: u64 = outcomes.iter().map(|outcome| outcome.client_cpu_ns).sum();
        let each = |ns: u64| ns as f64 / 1e3 / requests.max(1) as f64;
        Report {
            name: self.workload.name(),
            pipeline: self.pipeline,
            requests,
            errors: outcomes.iter().map(|outcome| outcome.errors).sum(),
            first_error: outcomes.iter().find_map(|outcome| outcome.first_error.clone()),
            nulls: outcomes.iter().map(|outcome| outcome.nulls).sum(),
            seconds,
            requests_per_second: requests as f64 / seconds.max(1e-9),
            server_cpu_us_per_request: cpu_ns.map(each),
            no_cpu_because: cpu.as_ref().err().cloned(),
            client_cpu_us_per_request: each(client_ns),
            latency,
        }
    }
}

fn join(
    running: Vec<thread::ScopedJoinHandle<'_, Result<Outcome, Error>>>,
) -> Result<Vec<Outcome>, Error> {
    let results: Vec<_> = running
        .into_iter()
        .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        .collect();
    // The thread that failed first knows why; the others only know that one did.
    let mut errors = results.iter().filter_map(|result| result.as_ref().err());
    let told = errors.clone().find(|error| !error.is_second_hand()).or_else(|| errors.next());
    if let Some(error) = told {
        return Err(error.clone());
    }
    results.into_iter().collect()
}

/// What a load found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The workload's name.
    pub name: String,
    pub pipeline: usize,
    /// Requests that were answered, errors included.
    pub requests: u64,
    /// Replies that were errors, and the first one's text.
    pub errors: u64,
    pub first_error: Option<String>,
    /// Replies (or elements of them) that were null: keys that did not exist.
    pub nulls: u64,
    /// From the first request to the last reply.
    pub seconds: f64,
    pub requests_per_second: f64,
    /// User and system time of the server, in microseconds; `None` when it can't be known.
    pub server_cpu_us_per_request: Option<f64>,
    /// Why `server_cpu_us_per_request` is `None`.
    pub no_cpu_because: Option<String>,
    /// The same of the client's own threads: how far the client is from being the limit.
    pub client_cpu_us_per_request: f64,
    latency: Histogram<u64>,
}

impl Report {
    /// The latency in microseconds below which this share (0.0 to 1.0) of the requests was answered.
    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// The longest latency in microseconds.
    pub fn max_latency_us(&self) -> f64 {
        self.latency.max() as f64 / 1e3
    }

    pub fn mean_latency_us(&self) -> f64 {
        self.latency.mean() / 1e3
    }

    /// Joins rounds of one load: latencies and counts add up; speed and CPU are the median round's.
    pub fn join(rounds: &[Report]) -> Option<Report> {
        let (first, rest) = rounds.split_first()?;
        let mut joined = first.clone();
        for round in rest {
            joined.latency.add(&round.latency).expect("all histograms have the same bounds");
            joined.requests += round.requests;
            joined.errors += round.errors;
            joined.nulls += round.nulls;
            joined.seconds += round.seconds;
            joined.first_error = joined.first_error.or_else(|| round.first_error.clone());
        }
        let all = |figure: fn(&Report) -> Option<f64>| rounds.iter().filter_map(figure).collect();
        joined.requests_per_second = median(all(|round| Some(round.requests_per_second)))?;
        joined.client_cpu_us_per_request =
            median(all(|round| Some(round.client_cpu_us_per_request)))?;
        joined.server_cpu_us_per_request = median(all(|round| round.server_cpu_us_per_request));
        Some(joined)
    }
}

/// The middle value; of an even number the mean of both in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}
