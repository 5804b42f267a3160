//! `watchdog-period`: when an event loop has been at one thing for so long, the log shows what all threads are doing. Each time
//! that it hangs is told once. While the period is 0 there is no thread for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use respire_engine::config::Settings;

use crate::host::Stop;
use crate::net::Mailbox;
use crate::{server, stacks};

/// The shortest period, as in Redis.
const SHORTEST: Duration = Duration::from_millis(200);

/// Who watches the event loops.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    /// Raised by each change: who watches by an older one ends.
    generation: Arc<AtomicU64>,
}

impl Watchdog {
    /// Watches from now on as `settings` say.
    pub(crate) fn set(&self, settings: &Settings, mailboxes: &[Arc<Mailbox>], stop: &Arc<Stop>) {
        let own = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let period = settings.text("watchdog-period").parse().unwrap_or_default();
        if period == 0 {
            return;
        }
        // A loop that has nothing to do gives a sign of life once in a tick.
        let tick = Duration::from_secs(1) / settings.hz;
        let patience = Duration::from_millis(period).max(SHORTEST) + tick;
        let (generation, stop) = (Arc::clone(&self.generation), Arc::clone(stop));
        let mut loops: Vec<Watched> = mailboxes.iter().map(Watched::new).collect();
        let watch = move || {
            while generation.load(Ordering::SeqCst) == own && !stop.is_requested() {
                thread::sleep(SHORTEST / 4);
                loops.iter_mut().enumerate().for_each(|(i, watched)| watched.look(i, patience));
            }
        };
        if let Err(error) = server::spawn("respire-watch", watch) {
            log::warn!("{error}");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

/// An event loop as it was seen last.
struct Watched {
    mailbox: Arc<Mailbox>,
    beat: u64,
    /// Since when it has given no sign of life.
    since: Instant,
    told: bool,
}

impl Watched {
    fn new(mailbox: &Arc<Mailbox>) -> Self {
        let beat = mailbox.last_beat();
        Self { mailbox: Arc::clone(mailbox), beat, since: Instant::now(), told: false }
    }

    fn look(&mut self, number: usize, patience: Duration) {
        let beat = self.mailbox.last_beat();
        if beat != self.beat || beat == 0 {
            (self.beat, self.since, self.told) = (beat, Instant::now(), false);
        } else if self.since.elapsed() > patience && !self.told {
            self.told = true;
            log::warn!(
                "WATCHDOG TIMER EXPIRED: respire-io-{number} has been at one thing for {} ms\n{}",
                self.since.elapsed().as_millis(),
                stacks::of_all_threads()
            );
        }
    }
}
