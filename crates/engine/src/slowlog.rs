//! The slow log: the last commands that took longer than `slowlog-log-slower-than`.

use std::collections::VecDeque;

use parking_lot::Mutex;
use respire_resp::Args;

use crate::command::{REDACTED, Row};

/// Arguments kept of an entry, and bytes kept of an argument.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Debug, Clone)]
pub struct SlowEntry {
    pub id: u64,
    /// Unix time, seconds.
    pub time: i64,
    pub micros: u64,
    pub args: Vec<Vec<u8>>,
    pub addr: String,
    pub name: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

/// The log, newest first.
#[derive(Debug, Default)]
pub struct Slowlog {
    state: Mutex<State>,
}

impl Slowlog {
    /// Adds an entry and drops the oldest beyond `max`.
    pub fn add(&self, mut entry: SlowEntry, max: usize) {
        let mut state = self.state.lock();
        entry.id = state.next_id;
        state.next_id += 1;
        state.entries.push_front(entry);
        state.entries.truncate(max);
    }

    /// The newest `count` entries.
    pub fn newest(&self, count: usize) -> Vec<SlowEntry> {
        self.state.lock().entries.iter().take(count).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn reset(&self) {
        self.state.lock().entries.clear();
    }
}

/// The arguments as the log keeps them: without secrets, shortened, and saying by how much.
pub(crate) fn shorten(row: &Row, args: &Args<'_>) -> Vec<Vec<u8>> {
    let kept = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let shown = |i: usize| if (row.secret)(args, i) { REDACTED } else { args.get(i) };
    let mut out: Vec<Vec<u8>> = (0..kept).map(|i| shorten_one(shown(i))).collect();
    if kept < args.len() {
        out.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    out
}

fn shorten_one(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= ARG_BYTES_MAX {
        return arg.to_vec();
    }
    let mut short = arg[..ARG_BYTES_MAX].to_vec();
    short.extend_from_slice(format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX).as_bytes());
    short
}
