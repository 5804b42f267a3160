//! ACL LOG: the last refusals, newest first. What is refused again within a minute adds to its entry.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Refusals that are further apart than this many milliseconds get entries of their own.
const TOGETHER_MS: i64 = 60_000;
/// How many of the newest entries are looked at for one to add to.
const LOOKED_AT: usize = 10;

/// What was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Command,
    Key,
    Channel,
    /// The user could not prove to be who it said.
    Auth,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
            Self::Auth => "auth",
        }
    }
}

/// Where the refused command came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    Toplevel,
    Multi,
    /// Called by a script.
    Lua,
}

impl Context {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Toplevel => "toplevel",
            Self::Multi => "multi",
            Self::Lua => "lua",
        }
    }
}

/// A refusal, or several of the same.
#[derive(Debug, Clone)]
pub(crate) struct LogEntry {
    pub(crate) id: u64,
    pub(crate) count: u64,
    pub(crate) reason: Reason,
    pub(crate) context: Context,
    /// The command, key or channel.
    pub(crate) object: Vec<u8>,
    pub(crate) user: Vec<u8>,
    /// The line of CLIENT LIST about who was refused last.
    pub(crate) client: Vec<u8>,
    /// Unix times, milliseconds.
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

impl LogEntry {
    fn goes_with(&self, other: &Self) -> bool {
        self.reason == other.reason
            && self.context == other.context
            && (other.updated_ms - self.updated_ms).abs() <= TOGETHER_MS
            && self.object == other.object
            && self.user == other.user
    }
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<LogEntry>,
    next_id: u64,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct AclLog {
    state: Mutex<State>,
}

impl AclLog {
    /// Adds a refusal, whose `id` and `count` are the log's business, and drops the oldest entries beyond `max`.
    pub(crate) fn add(&self, mut entry: LogEntry, max: usize) {
        let mut state = self.state.lock();
        let newest = state.entries.iter().take(LOOKED_AT);
        match newest.into_iter().position(|known| known.goes_with(&entry)) {
            Some(at) => {
                let known = state.entries.remove(at).expect("it was found there");
                entry.id = known.id;
                entry.count = known.count + 1;
                entry.created_ms = known.created_ms;
            }
            None => {
                entry.id = state.next_id;
                entry.count = 1;
                state.next_id += 1;
            }
        }
        state.entries.push_front(entry);
        state.entries.truncate(max);
    }

    /// The newest `count` entries.
    pub(crate) fn newest(&self, count: usize) -> Vec<LogEntry> {
        self.state.lock().entries.iter().take(count).cloned().collect()
    }

    pub(crate) fn reset(&self) {
        self.state.lock().entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(object: &str, at_ms: i64) -> LogEntry {
        LogEntry {
            id: 0,
            count: 0,
            reason: Reason::Key,
            context: Context::Toplevel,
            object: object.into(),
            user: b"u".to_vec(),
            client: Vec::new(),
            created_ms: at_ms,
            updated_ms: at_ms,
        }
    }

    fn seen(log: &AclLog) -> Vec<(u64, u64, String)> {
        let entries = log.newest(100).into_iter();
        entries.map(|e| (e.id, e.count, String::from_utf8(e.object).unwrap())).collect()
    }

    #[test]
    fn the_same_within_a_minute_adds_up_and_comes_first() {
        let log = AclLog::default();
        log.add(refusal("a", 0), 10);
        log.add(refusal("b", 1), 10);
        log.add(refusal("a", 60_000), 10);
        assert_eq!(seen(&log), [(0, 2, "a".into()), (1, 1, "b".into())]);
        let newest = &log.newest(1)[0];
        assert_eq!((newest.created_ms, newest.updated_ms), (0, 60_000));
        log.add(refusal("a", 120_001), 10);
        assert_eq!(seen(&log)[0], (2, 1, "a".into()));
    }

    #[test]
    fn only_the_ten_newest_are_added_to_and_the_oldest_go() {
        let log = AclLog::default();
        log.add(refusal("x", 0), 100);
        (0..9).for_each(|i| log.add(refusal(&i.to_string(), 0), 100));
        log.add(refusal("x", 0), 100);
        assert_eq!((seen(&log).len(), &seen(&log)[0]), (10, &(0, 2, "x".into())));
        (0..10).for_each(|i| log.add(refusal(&format!("y{i}"), 0), 100));
        log.add(refusal("x", 0), 100);
        assert_eq!(seen(&log)[0], (20, 1, "x".into()));
        log.add(refusal("z", 0), 3);
        assert_eq!(seen(&log).len(), 3);
        log.add(refusal("z", 0), 0);
        assert_eq!(seen(&log).len(), 0);
    }
}
