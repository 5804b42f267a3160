//! A bystander: one connection that sends a GET at fixed times while something else happens to the server.
//!
//! Invariant: probes go out at their times whether or not earlier ones are answered, and each one's latency counts
//! from the moment at which it should have been sent. So a slow reply delays no other probe by the prober's own fault,
//! and a stall shows in every probe that fell into it. One thread sends, one receives.

use crate::driver::new_histogram;
use crate::skip::Skipper;
use crate::target::{self, Address, Error, Stream, Target};
use hdrhistogram::Histogram;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A prober at work.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    sender: JoinHandle<Result<(), Error>>,
    receiver: JoinHandle<Result<Histogram<u64>, Error>>,
}

#[derive(Debug)]
struct Shared {
    address: Address,
    timeout: Duration,
    start: Instant,
    interval: Duration,
    stop: AtomicBool,
    /// How many probes there are in all; unknown (`u64::MAX`) until the last one is about to be sent.
    total: AtomicU64,
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
        let (sending, receiving) = target.connect()?.split()?;
        let request = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
        let shared = Arc::new(Shared {
            address: target.address.clone(),
            timeout: target.timeout,
            start: Instant::now(),
            interval,
            stop: AtomicBool::new(false),
            total: AtomicU64::new(u64::MAX),
        });
        let sender = spawn("bench-prober-tx", {
            let shared = Arc::clone(&shared);
            move || shared.send(sending, request.as_bytes())
        })?;
        let receiver = spawn("bench-prober-rx", {
            let shared = Arc::clone(&shared);
            move || {
                let result = shared.receive(receiving);
                // After a failure nobody reads: the sender has nothing more to do.
                shared.stop.store(true, Ordering::Relaxed);
                result
            }
        })?;
        Ok(Prober { shared, sender, receiver })
    }

    /// Ends the probing, waits for the last reply and tells what was seen.
    pub fn stop(self) -> Result<ProbeReport, Error> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let seen = self.receiver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let latency = seen?;
        sent?;
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

impl Shared {
    /// Nanoseconds after `start` at which a probe should be sent.
    fn intended(&self, probe: u64) -> u64 {
        (self.interval.as_nanos() as u64).saturating_mul(probe)
    }

    fn send(&self, mut stream: Stream, request: &[u8]) -> Result<(), Error> {
        exact_sleep();
        for probe in 0.. {
            let due = Duration::from_nanos(self.intended(probe));
            thread::sleep(due.saturating_sub(self.start.elapsed()));
            let last = self.stop.load(Ordering::Relaxed);
            if last {
                self.total.store(probe + 1, Ordering::Release);
            }
            stream.write_all(request).map_err(|error| self.lost(&error))?;
            if last {
                break;
            }
        }
        Ok(())
    }

    fn receive(&self, mut stream: Stream) -> Result<Histogram<u64>, Error> {
        let mut latency = new_histogram();
        let mut skipper = Skipper::default();
        let mut buffer = [0; 4096];
        let mut received = 0;
        while received < self.total.load(Ordering::Acquire) {
            let len = match stream.read(&mut buffer) {
                Ok(0) => return Err(target::closed(&self.address)),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.lost(&error)),
            };
            let now = self.start.elapsed().as_nanos() as u64;
            let replies = skipper
                .feed(&buffer[..len])
                .map_err(|error| Error(format!("{}: {error}", self.address)))?;
            for probe in received..received + replies {
                latency.saturating_record(now.saturating_sub(self.intended(probe)));
            }
            received += replies;
        }
        match skipper.first_error() {
            Some(text) => Err(Error(format!("{} refused a probe: {text}", self.address))),
            None => Ok(latency),
        }
    }

    fn lost(&self, error: &io::Error) -> Error {
        target::lost(&self.address, self.timeout, error)
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map_err(|error| Error(format!("no thread for the prober: {error}")))
}

/// Sleeps of this thread end when they should, not up to 50 µs later.
fn exact_sleep() {
    #[cfg(target_os = "linux")]
    {
        // The prober works without it; it is only less exact.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    }
}
