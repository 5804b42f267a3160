//! Error replies by their code. Each thread counts in a map of its own; which codes there are, all threads know together,
//! and there are not more of them than [`MAX`]: scripts could make codes up without end. When one more comes, codes are
//! no longer counted at all, as in Redis 7.4, until the statistics are reset: an incomplete list would pass for a whole one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::privacy::for_log;

/// How many different codes are counted.
const MAX: usize = 128;

/// What is told in place of the codes when there were too many.
const DISABLED: &[u8] = b"ERRORSTATS_DISABLED";

pub(crate) type Counts = BTreeMap<Vec<u8>, u64>;

/// The codes that there are.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    known: Mutex<BTreeSet<Vec<u8>>>,
    /// There were too many. Changed with `known` locked.
    stopped: AtomicBool,
}

impl Codes {
    pub(crate) fn have_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Counts an error in the map of one thread.
    pub(crate) fn count(&self, counts: &Mutex<Counts>, code: &[u8]) {
        if self.have_stopped() {
            return;
        }
        // Nothing else is locked under the map: the codes are before it.
        if let Some(count) = counts.lock().get_mut(code) {
            *count += 1;
            return;
        }
        if self.admits(code) {
            *counts.lock().entry(code.to_vec()).or_default() += 1;
        }
    }

    /// Whether a code, which is new to a thread, is to be counted. Says so in the log if from now on none is.
    fn admits(&self, code: &[u8]) -> bool {
        let mut known = self.known.lock();
        if self.have_stopped() {
            return false;
        }
        if known.len() < MAX || known.contains(code) {
            known.insert(code.to_vec());
            return true;
        }
        self.stopped.store(true, Ordering::Relaxed);
        log::warn!(
            "Errorstats stopped adding new errors: there are more than {MAX} codes. None is counted until CONFIG RESETSTAT."
        );
        let show = |code: &Vec<u8>| for_log(code).escape_debug().to_string();
        let codes: Vec<String> = known.iter().map(show).collect();
        log::warn!("Current errors code list: {}", codes.join(", "));
        false
    }

    /// Frees what is not counted any more, of the maps of all threads. Returns how many codes that was.
    pub(crate) fn free<'a>(&self, all: impl Iterator<Item = &'a Mutex<Counts>>) -> usize {
        let mut known = self.known.lock();
        if !self.have_stopped() || known.is_empty() {
            return 0;
        }
        all.for_each(|counts| drop(std::mem::take(&mut *counts.lock())));
        std::mem::take(&mut *known).len()
    }

    /// What all threads have counted.
    pub(crate) fn sum<'a>(&self, all: impl Iterator<Item = &'a Mutex<Counts>>) -> Counts {
        if self.have_stopped() {
            return Counts::from([(DISABLED.to_vec(), 1)]);
        }
        let mut sum = Counts::new();
        for counts in all {
            for (code, count) in &*counts.lock() {
                *sum.entry(code.clone()).or_default() += count;
            }
        }
        sum
    }

    /// Begins anew.
    pub(crate) fn reset<'a>(&self, all: impl Iterator<Item = &'a Mutex<Counts>>) {
        let mut known = self.known.lock();
        known.clear();
        all.for_each(|counts| counts.lock().clear());
        self.stopped.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Harness;

    #[test]
    fn codes_without_end_are_not_counted() {
        let mut h = Harness::new();
        let raise = "return redis.error_reply(ARGV[1] .. ' of a script')";
        let fails = |h: &mut Harness, code: &str| {
            let reply = h.run(&["EVAL", raise, "0", code]);
            assert!(reply.starts_with(&format!("-{code} of a script")), "{reply}");
        };
        for code in 0..MAX {
            fails(&mut h, &format!("C{code}"));
        }
        fails(&mut h, "C0");
        let told = h.line("INFO errorstats");
        assert_eq!(told.matches("errorstat_").count(), MAX);
        assert!(told.contains("errorstat_C0:count=2\r\n"), "{told}");
        h.engine.sample();
        assert!(h.line("INFO memory").contains("lazyfreed_objects:0\r\n"));

        fails(&mut h, "ONEMORE");
        fails(&mut h, "C0");
        let told = h.line("INFO errorstats");
        assert_eq!(told.matches("errorstat_").count(), 1);
        assert!(told.contains("errorstat_ERRORSTATS_DISABLED:count=1\r\n"), "{told}");
        let stats = h.line("INFO stats");
        assert!(stats.contains(&format!("total_error_replies:{}\r\n", MAX + 3)), "{stats}");
        for _ in 0..2 {
            h.engine.sample();
            let freed = format!("lazyfreed_objects:{MAX}\r\n");
            assert!(h.line("INFO memory").contains(&freed), "what is not counted is freed once");
        }

        h.line("CONFIG RESETSTAT");
        fails(&mut h, "ONEMORE");
        let told = h.line("INFO errorstats");
        assert!(told.ends_with("errorstat_ONEMORE:count=1\r\n\r\n"), "{told}");
    }
}
