//! Threads that carry plans out against a subject, and a clock that all of them share.
//!
//! Owns the course of a run: history after history, each begun by all threads together with no keys there, each checked
//! before the next. The first that is broken ends the run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};

use super::check::{Verdict, check};
use super::model::{Event, Op};
use super::plan::plan;
use crate::{Client, Value};

/// One client's way to what is being tested.
pub trait Subject: Send {
    /// Executes a request and waits for its reply. An error ends the run.
    fn call(&mut self, request: &[String]) -> Result<Value, String>;
}

impl Subject for Client {
    fn call(&mut self, request: &[String]) -> Result<Value, String> {
        self.roundtrip(request).map_err(|error| error.to_string())
    }
}

/// The size of a run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub seed: u64,
    pub histories: u64,
    /// Operations of each client in each history, about.
    pub operations: usize,
}

struct Shared {
    run: Run,
    wanted: fn(&Op) -> bool,
    /// Raised at every begin and end, so that its numbers are in the order of time.
    clock: AtomicU64,
    barrier: Barrier,
    /// Threads that have come to the start of a history, of all histories together.
    arrived: AtomicU64,
    events: Mutex<Vec<Event>>,
    failure: Mutex<Option<String>>,
    /// Operations that began before the one before them had ended.
    met: AtomicU64,
}

/// Lets one thread for each client carry out and check histories. Returns how many operations began while the one
/// before was under way. `Err` tells of the first history that went wrong.
pub fn run<S: Subject>(run: Run, clients: &mut [S]) -> Result<u64, String> {
    run_some(run, clients, |_| true)
}

/// The same with only those operations that `wanted` lets pass.
pub fn run_some<S: Subject>(
    run: Run,
    clients: &mut [S],
    wanted: fn(&Op) -> bool,
) -> Result<u64, String> {
    let shared = Shared {
        run,
        wanted,
        clock: AtomicU64::new(0),
        barrier: Barrier::new(clients.len()),
        arrived: AtomicU64::new(0),
        events: Mutex::default(),
        failure: Mutex::default(),
        met: AtomicU64::new(0),
    };
    let count = clients.len() as u64;
    std::thread::scope(|scope| {
        for (number, client) in clients.iter_mut().enumerate() {
            let shared = &shared;
            scope.spawn(move || shared.take_part(number, count, client));
        }
    });
    match shared.failure.into_inner().expect("no thread panicked") {
        Some(failure) => Err(failure),
        None => Ok(shared.met.into_inner()),
    }
}

impl Shared {
    fn fail(&self, why: String) {
        self.failure.lock().expect("no thread panicked").get_or_insert(why);
    }

    fn failed(&self) -> bool {
        self.failure.lock().expect("no thread panicked").is_some()
    }

    fn take_part<S: Subject>(&self, number: usize, clients: u64, subject: &mut S) {
        for history in 0..self.run.histories {
            if number == 0
                && let Err(why) = subject.call(&Op::Flush.request())
            {
                self.fail(why);
            }
            self.barrier.wait();
            // Read between two barriers, so that all threads leave at the same point.
            if self.failed() {
                return;
            }
            self.start_together(clients * (history + 1));
            match self.carry_out(history, number, subject) {
                Ok(events) => self.events.lock().expect("no thread panicked").extend(events),
                Err(why) => self.fail(format!("client {number}: {why}")),
            }
            self.barrier.wait();
            if number == 0 {
                self.judge(history);
            }
        }
    }

    /// Waits for all threads without sleeping: those that a barrier wakes come one after the other, and the first would
    /// be done before the last begins.
    fn start_together(&self, arrivals: u64) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        while self.arrived.load(Ordering::SeqCst) < arrivals {
            std::thread::yield_now();
        }
    }

    fn carry_out<S: Subject>(
        &self,
        history: u64,
        client: usize,
        subject: &mut S,
    ) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        let mut ops = plan(self.run.seed, history, client, self.run.operations);
        ops.retain(self.wanted);
        for op in ops {
            // Where cores are few, the others have to have their turn between two operations, and sometimes in one.
            std::thread::yield_now();
            if let Op::Exec(list) = &op {
                expect(subject.call(&["MULTI".into()])?, "OK")?;
                for queued in list {
                    expect(subject.call(&queued.request())?, "QUEUED")?;
                }
            }
            let request = op.request();
            let begin = self.clock.fetch_add(1, Ordering::SeqCst);
            if begin.is_multiple_of(4) {
                std::thread::yield_now();
            }
            let reply = op.settle(subject.call(&request)?);
            let end = self.clock.fetch_add(1, Ordering::SeqCst);
            events.push(Event { client, op, reply, begin, end });
        }
        Ok(events)
    }

    fn judge(&self, history: u64) {
        let mut events = std::mem::take(&mut *self.events.lock().expect("no thread panicked"));
        events.sort_by_key(|event| event.begin);
        let verdict = check(&events);
        let meet = |pair: &[Event]| pair[1].begin < pair[0].end;
        self.met.fetch_add(
            events.windows(2).filter(|pair| meet(pair)).count() as u64,
            Ordering::Relaxed,
        );
        // A history that takes too long to search says nothing; which ones those are is chance.
        if verdict == Verdict::Broken && !self.failed() {
            let lines: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
            let seed = self.run.seed;
            let lines = lines.join("\n");
            self.fail(format!("{verdict:?}: history {history} of seed {seed}\n{lines}"));
        }
    }
}

fn expect(reply: Value, text: &str) -> Result<(), String> {
    match reply {
        Value::Simple(got) if got == text.as_bytes() => Ok(()),
        other => Err(format!("{other:?} in place of {text}")),
    }
}
