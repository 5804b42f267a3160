//! Reads an append-only file again: executes what is in it, with time standing still.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use respire_engine::{Engine, Session, Worker};
use respire_keyspace::{Held, Mode};
use respire_resp::{Args, OwnedArgs};

use crate::aof::records::{Records, Step};
use crate::error::Failure;
use crate::pace::{Pace, Work};

/// How far a file could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// It ends in the middle of something; up to this offset it is good, bytes.
    CutAt(u64),
}

/// All shards, held for writing.
enum All<'h, 'e> {
    Lent(&'h mut Held<'e>),
    /// Let go of from time to time, for those who ask how far it is.
    Own(Option<Held<'e>>),
}

/// Executes requests.
pub(crate) struct Replay<'h, 'e> {
    engine: &'e Engine,
    worker: Worker,
    session: Session,
    held: All<'h, 'e>,
    /// The transaction that has begun.
    transaction: Option<Vec<OwnedArgs>>,
}

impl<'h, 'e> Replay<'h, 'e> {
    /// What executes requests in the engine, whose shards are all in `held`, or are held by nobody.
    pub(crate) fn new(engine: &'e Engine, held: Option<&'h mut Held<'e>>) -> Self {
        let worker = Worker::replaying(engine, 0, fastrand::u64(..));
        let session = Session::local(engine, &worker);
        let held = held.map_or(All::Own(None), All::Lent);
        Self { engine, worker, session, held, transaction: None }
    }

    /// Executes all of `source`, of which `rest` has been read already and is at `offset` in the file.
    pub(crate) fn run(
        &mut self,
        path: &Path,
        source: &mut dyn Read,
        rest: Vec<u8>,
        offset: u64,
        progress: &AtomicU64,
    ) -> Result<Extent, Failure> {
        let mut records = Records::new(source, rest, offset);
        let never = AtomicBool::new(false);
        let mut pace = Pace::new(self.engine, Work::Loading, &never);
        let mut executed = 0;
        // Up to where all is executed and no transaction is open.
        let mut good = offset;
        loop {
            match records.step() {
                Ok(Step::Request) => {
                    self.execute(&records.args(), path, records.place())?;
                    executed += 1;
                }
                Ok(Step::Comment) => {}
                Ok(Step::Used) => {
                    if let All::Own(held) = &mut self.held {
                        *held = None;
                    }
                    pace.delay(std::mem::take(&mut executed));
                    progress.store(records.position(), Ordering::Relaxed);
                    let more = records.refill();
                    if !more.map_err(|error| Failure::io("Can't read", path, &error))? {
                        break;
                    }
                }
                Err(error) => {
                    return Err(Failure::new(format!(
                        "Bad file format reading the append only file {}, offset {}: {error}. Make a backup of it, \
                         then look at it with: respire check FILE",
                        path.display(),
                        records.place()
                    )));
                }
            }
            if self.transaction.is_none() {
                good = records.position();
            }
        }
        let cut_transaction = self.transaction.take().is_some();
        if cut_transaction {
            log::warn!("{}: the last transaction is not complete; it is left out", path.display());
        }
        let whole = records.unfinished() == 0 && !cut_transaction;
        Ok(if whole { Extent::Whole } else { Extent::CutAt(good) })
    }

    fn execute(&mut self, args: &Args<'_>, path: &Path, place: u64) -> Result<(), Failure> {
        let is = |name: &[u8]| args.len() == 1 && args.get(0).eq_ignore_ascii_case(name);
        if is(b"MULTI") && self.transaction.is_some() {
            return Err(out_of_place(path, place, "a transaction inside of another"));
        }
        if is(b"EXEC") && self.transaction.is_none() {
            return Err(out_of_place(path, place, "the end of a transaction that never began"));
        }
        if is(b"MULTI") {
            self.transaction = Some(Vec::new());
            return Ok(());
        }
        if is(b"EXEC") {
            for queued in self.transaction.take().unwrap_or_default() {
                self.execute_now(queued.as_args(), path, place)?;
            }
            return Ok(());
        }
        if let Some(queue) = &mut self.transaction {
            queue.push(args.to_owned_args());
            return Ok(());
        }
        self.execute_now(*args, path, place)
    }

    fn execute_now(&mut self, args: Args<'_>, path: &Path, place: u64) -> Result<(), Failure> {
        let held = match &mut self.held {
            All::Lent(held) => &mut **held,
            All::Own(held) => {
                held.get_or_insert_with(|| self.engine.keyspace.hold_all(Mode::Write))
            }
        };
        let done = self.engine.replay(&mut self.worker, &mut self.session, held, args);
        done.map_err(|error| {
            Failure::new(format!(
                "{} reading the append only file {}, offset {place}",
                String::from_utf8_lossy(error.as_bytes()),
                path.display()
            ))
        })
    }

    /// The shards, if they were held before; else nobody holds any.
    pub(crate) fn lent(&mut self) -> Option<&mut Held<'e>> {
        match &mut self.held {
            All::Lent(held) => Some(held),
            All::Own(held) => {
                *held = None;
                None
            }
        }
    }

    /// Ends the session.
    pub(crate) fn end(mut self) {
        self.held = All::Own(None);
        self.session.end(self.engine, &mut self.worker);
    }
}

fn out_of_place(path: &Path, place: u64, what: &str) -> Failure {
    Failure::new(format!("{}, offset {place}: {what}", path.display()))
}
