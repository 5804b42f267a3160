//! What is known of the sizes of replies, and what becomes of the buffers that they are made in: CLIENT LIST's `rbp`, and
//! DEBUG REPLYBUFFER.
//!
//! A buffer belongs to a thread and serves one connection after the other. What a client has of its own is a figure: the
//! most bytes of replies that one batch of its requests has had lately.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::client::Usage;

/// For how long the largest batch counts, milliseconds, unless DEBUG REPLYBUFFER PEAK-RESET-TIME says otherwise.
const PEAK_KEPT_MS: i64 = 5000;

/// What DEBUG REPLYBUFFER decides.
#[derive(Debug)]
pub struct ReplyBuffers {
    /// Negative: for ever.
    peak_kept_ms: AtomicI64,
    fixed: AtomicBool,
}

impl Default for ReplyBuffers {
    fn default() -> Self {
        Self { peak_kept_ms: AtomicI64::new(PEAK_KEPT_MS), fixed: AtomicBool::new(false) }
    }
}

impl ReplyBuffers {
    /// Sets for how many milliseconds the largest batch counts; negative is for ever, `None` as long as by default.
    pub(crate) fn keep_peaks(&self, ms: Option<i64>) {
        self.peak_kept_ms.store(ms.unwrap_or(PEAK_KEPT_MS), Ordering::Relaxed);
    }

    pub(crate) fn set_resizing(&self, on: bool) {
        self.fixed.store(!on, Ordering::Relaxed);
    }

    /// Whether a buffer that has become large gives its memory back when it is empty.
    pub fn are_resized(&self) -> bool {
        !self.fixed.load(Ordering::Relaxed)
    }

    /// Notes that a batch had replies of so many bytes.
    #[inline]
    pub fn note(&self, usage: &Usage, bytes: usize, now_ms: i64) {
        let bytes = bytes as u64;
        if bytes >= self.peak(usage, now_ms) {
            usage.reply_peak.store(bytes, Ordering::Relaxed);
            usage.reply_peak_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// The most bytes of replies that a batch has had lately.
    #[inline]
    pub(crate) fn peak(&self, usage: &Usage, now_ms: i64) -> u64 {
        let kept = self.peak_kept_ms.load(Ordering::Relaxed);
        let age = now_ms - usage.reply_peak_ms.load(Ordering::Relaxed);
        if kept >= 0 && age > kept { 0 } else { usage.reply_peak.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_for_its_time_and_gives_way_to_a_larger_one() {
        let (replies, usage) = (ReplyBuffers::default(), Usage::default());
        replies.note(&usage, 300, 1000);
        replies.note(&usage, 100, 2000);
        assert_eq!(replies.peak(&usage, 6000), 300);
        assert_eq!(replies.peak(&usage, 6001), 0);
        replies.note(&usage, 100, 6001);
        assert_eq!(replies.peak(&usage, 6001), 100);
        replies.keep_peaks(Some(-1));
        assert_eq!(replies.peak(&usage, i64::MAX), 100);
        replies.keep_peaks(Some(10));
        assert_eq!(replies.peak(&usage, 6012), 0);
        replies.keep_peaks(None);
        assert_eq!(replies.peak(&usage, 6012), 100);
    }
}
