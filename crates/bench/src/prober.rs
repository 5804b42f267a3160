//! A bystander: one connection that sends a GET at fixed times while something else happens to the server.
//!
//! Invariant: a probe's latency counts from the moment at which it should have been sent. While one probe waits the
//! later ones are late as well, and each records its own delay.

use crate::driver::new_histogram;
use crate::target::{Error, Target};
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A prober at work.
#[derive(Debug)]
pub struct Prober {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Histogram<u64>, Error>>,
}

/// What a prober saw, in microseconds.
#[derive(Debug, Clone)]
pub struct ProbeReport {
    pub probes: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub worst_us: f64,
}

impl Prober {
    /// Connects, then sends `GET key` every `interval` until [`Prober::stop`].
    pub fn start(target: &Target, key: &str, interval: Duration) -> Result<Prober, Error> {
        let mut client = target.connect()?;
        let request = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let body = move || {
            exact_sleep();
            let mut latency = new_histogram();
            let mut intended = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(intended.saturating_duration_since(Instant::now()));
                client.exchange(request.as_bytes())?;
                latency.saturating_record(intended.elapsed().as_nanos() as u64);
                intended += interval;
            }
            Ok(latency)
        };
        let thread = thread::Builder::new()
            .name("bench-prober".into())
            .spawn(body)
            .map_err(|error| Error(format!("no thread for the prober: {error}")))?;
        Ok(Prober { stop, thread })
    }

    /// Ends the probing and tells what was seen.
    pub fn stop(self) -> Result<ProbeReport, Error> {
        self.stop.store(true, Ordering::Relaxed);
        let latency = self
            .thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let quantile = |share| latency.value_at_quantile(share) as f64 / 1e3;
        Ok(ProbeReport {
            probes: latency.len(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            worst_us: latency.max() as f64 / 1e3,
        })
    }
}

/// Sleeps of this thread end when they should, not up to 50 µs later.
fn exact_sleep() {
    #[cfg(target_os = "linux")]
    {
        // The prober works without it; it is only less exact.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    }
}
