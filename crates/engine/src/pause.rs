//! CLIENT PAUSE: until when requests wait, and which.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

/// Which requests a pause holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PauseKind {
    Write = 1,
    All = 2,
}

/// The pause of a server. Read once per batch; off costs one load.
#[derive(Debug, Default)]
pub struct Pause {
    kind: AtomicU8,
    until_ms: AtomicI64,
    /// Clients with a request that it holds back.
    pub waiting: AtomicU64,
}

impl Pause {
    /// Pauses until `until_ms` (Unix time). A pause under way is never shortened nor weakened.
    pub fn begin(&self, kind: PauseKind, until_ms: i64, now_ms: i64) {
        let current = self.current(now_ms);
        let kind = current.map_or(kind, |(running, _)| running.max(kind));
        let until = current.map_or(until_ms, |(_, until)| until.max(until_ms));
        self.until_ms.store(until, Ordering::Relaxed);
        self.kind.store(kind as u8, Ordering::Release);
    }

    pub fn end(&self) {
        self.kind.store(0, Ordering::Release);
    }

    /// The pause in force at `now_ms` and its end.
    #[inline]
    pub fn current(&self, now_ms: i64) -> Option<(PauseKind, i64)> {
        let kind = match self.kind.load(Ordering::Acquire) {
            0 => return None,
            1 => PauseKind::Write,
            _ => PauseKind::All,
        };
        let until = self.until_ms.load(Ordering::Relaxed);
        (until > now_ms).then_some((kind, until))
    }
}
