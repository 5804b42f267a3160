//! The latency monitor: spikes of at least `latency-monitor-threshold` milliseconds, by event.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// Samples kept of each event.
const HISTORY: usize = 160;

/// The history of one event.
#[derive(Debug, Clone, Default)]
pub struct LatencyEvent {
    /// Unix time in seconds and latency in milliseconds, oldest first. One second has one sample, its worst.
    pub samples: VecDeque<(i64, u64)>,
    /// The worst since the last reset, milliseconds.
    pub max: u64,
}

/// Histories of all events.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    events: Mutex<BTreeMap<&'static str, LatencyEvent>>,
}

impl LatencyMonitor {
    /// Notes that `event` took `ms` milliseconds. The caller has compared it with the threshold.
    pub fn add(&self, event: &'static str, unix_seconds: i64, ms: u64) {
        let mut events = self.events.lock();
        let event = events.entry(event).or_default();
        event.max = event.max.max(ms);
        match event.samples.back_mut() {
            Some((time, worst)) if *time == unix_seconds => *worst = ms.max(*worst),
            _ => {
                if event.samples.len() == HISTORY {
                    event.samples.pop_front();
                }
                event.samples.push_back((unix_seconds, ms));
            }
        }
    }

    pub fn event(&self, name: &[u8]) -> Option<LatencyEvent> {
        self.events.lock().iter().find(|(n, _)| n.as_bytes() == name).map(|(_, e)| e.clone())
    }

    pub fn events(&self) -> Vec<(&'static str, LatencyEvent)> {
        self.events.lock().iter().map(|(name, event)| (*name, event.clone())).collect()
    }

    /// Forgets one event, or all. Returns how many there were to forget.
    pub fn reset(&self, name: Option<&[u8]>) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|n, _| name.is_some_and(|name| n.as_bytes() != name));
        before - events.len()
    }
}
