//! Figures per second, and the peak of memory: the counters of all threads as they were in the last moments.

use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::engine::Engine;
use crate::stats::Totals;

/// Samples that an average is taken over: about the last second and a half.
const SAMPLES: usize = 16;

/// What happens per second.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    pub commands: u64,
    /// Bytes.
    pub net_in: u64,
    pub net_out: u64,
    /// Turns of the event loops.
    pub turns: u64,
    /// Nanoseconds that they took, waiting left out.
    pub turn_ns: u64,
}

#[derive(Debug, Default)]
struct State {
    /// When the last sample was taken (monotonic nanoseconds) and what the counters were.
    last: Option<(u64, Totals)>,
    ring: [Rates; SAMPLES],
    next: usize,
    startup_memory: u64,
    peak_memory: u64,
}

/// The samples of an engine.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    state: Mutex<State>,
}

impl Samples {
    /// Averages over the last samples.
    pub(crate) fn rates(&self) -> Rates {
        let ring = self.state.lock().ring;
        let mean = |of: fn(&Rates) -> u64| ring.iter().map(of).sum::<u64>() / SAMPLES as u64;
        Rates {
            commands: mean(|sample| sample.commands),
            net_in: mean(|sample| sample.net_in),
            net_out: mean(|sample| sample.net_out),
            turns: mean(|sample| sample.turns),
            turn_ns: mean(|sample| sample.turn_ns),
        }
    }

    /// Notes how much memory is in use now. Returns what was used at the start, and the most that was ever used.
    pub(crate) fn note_memory(&self, used: u64) -> (u64, u64) {
        let mut state = self.state.lock();
        if state.startup_memory == 0 {
            state.startup_memory = used;
        }
        state.peak_memory = state.peak_memory.max(used);
        (state.startup_memory, state.peak_memory)
    }

    fn add(&self, now_ns: u64, totals: Totals) {
        let mut state = self.state.lock();
        if let Some((then, before)) = state.last.replace((now_ns, totals)) {
            let nanos = now_ns.saturating_sub(then).max(1);
            // Counters go back when statistics are reset.
            let rate = |now: u64, before: u64| {
                (u128::from(now.saturating_sub(before)) * 1_000_000_000 / u128::from(nanos)) as u64
            };
            let next = state.next;
            state.ring[next] = Rates {
                commands: rate(totals.commands, before.commands),
                net_in: rate(totals.net_in, before.net_in),
                net_out: rate(totals.net_out, before.net_out),
                turns: rate(totals.turns, before.turns),
                turn_ns: rate(totals.turn_ns, before.turn_ns),
            };
            state.next = (next + 1) % SAMPLES;
        }
    }

    /// Forgets the rates.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        state.last = None;
        state.ring = Default::default();
    }
}

impl Engine {
    /// Takes a sample of the counters, and frees what need not be counted any more. To be called about ten times a second,
    /// from any thread that holds no shard.
    pub fn sample(&self) {
        self.samples.add(self.clock.monotonic_ns(), self.stats.totals());
        self.samples.note_memory(self.used_memory());
        self.lazily_freed.fetch_add(self.stats.free_codes() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_averages_and_survive_a_reset_of_the_counters() {
        let samples = Samples::default();
        for i in 0..=SAMPLES as u64 {
            let (turns, turn_ns) = (i, i * 4_000);
            let totals =
                Totals { commands: i * 50, net_in: i * 10, turns, turn_ns, ..Totals::default() };
            samples.add(i * 100_000_000, totals);
        }
        assert_eq!((samples.rates().commands, samples.rates().net_in), (500, 100));
        assert_eq!((samples.rates().turns, samples.rates().turn_ns), (10, 40_000));
        samples.add(5_000_000_000, Totals::default());
        assert!(samples.rates().commands < 500);
        samples.reset();
        assert_eq!(samples.rates().commands, 0);
        assert_eq!(samples.note_memory(10), (10, 10));
        assert_eq!(samples.note_memory(7), (10, 10));
        assert_eq!(samples.note_memory(20), (10, 20));
    }
}
