//! What is done for requests ahead of their execution: commands are looked up, keys hashed, and what the requests will touch
//! is loaded into the cache, for a window of requests at a time. Each step reads what the one before has asked for.
//!
//! Invariant: what is loaded ahead is a hint. Nothing depends on whether it is still true when the request is executed.

use respire_engine::Batch;
use respire_keyspace::{Hashed, Prefetch};
use respire_resp::Args;

use super::{EventLoop, Request};

/// Requests whose keys are loaded into the cache side by side.
const WINDOW: usize = 64;
/// Keys that are loaded into the cache side by side at most: more would push each other out again.
const PREFETCH_MAX: usize = 1024;

/// The window of requests that are executed next.
#[derive(Default)]
pub(super) struct Ahead {
    batch: Batch,
    /// Where the window ends among the requests.
    end: usize,
}

impl Ahead {
    /// Where the requests end that have been prepared.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// The hashes of the keys of the window.
    #[inline]
    pub(super) fn hashes(&self) -> &[Hashed] {
        self.batch.hashes()
    }

    /// No request is prepared.
    pub(super) fn start(&mut self) {
        self.end = 0;
    }
}

impl EventLoop {
    /// Looks up the commands of the requests from number `at` on, hashes their keys and loads what they will touch into the
    /// cache.
    pub(super) fn look_ahead(&mut self, requests: &mut [Request], at: usize) {
        self.worker.work_between();
        let window = &mut requests[at..];
        let count = window.len().min(WINDOW);
        let batch = &mut self.ahead.batch;
        batch.clear();
        // Requests of a connection come in a row.
        let (mut last, mut db) = (usize::MAX, 0);
        for request in &mut window[..count] {
            let spans = &self.spans[request.spans.0 as usize..request.spans.1 as usize];
            let args = Args::new(&self.buffer, spans);
            if request.connection != last {
                last = request.connection;
                db = self.connections[last].as_ref().map_or(0, |c| c.session.db());
            }
            request.prepared = Some(self.engine.prepare_in(batch, &args, db));
        }
        self.engine.complete(batch, &self.buffer);
        self.ahead.end = at + count;
        if count > 1 {
            load(&self.ahead.batch, &self.engine.keyspace.prefetch());
        }
    }
}

/// Loads what the requests of a window will touch.
fn load(batch: &Batch, prefetch: &Prefetch<'_>) {
    let keys = &batch.hashes()[..batch.hashes().len().min(PREFETCH_MAX)];
    prefetch.keys(keys);
    let elements = batch.elements();
    prefetch.elements(keys, &elements[..elements.len().min(PREFETCH_MAX)]);
}
