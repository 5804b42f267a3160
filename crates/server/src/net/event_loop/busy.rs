//! What an event loop does while a script of its runs for too long: it serves its other connections from within the
//! script, so that a client of this very thread can ask for the script's end.
//!
//! The engine calls back now and then ([`respire_engine::meanwhile`]), and the loop takes a turn of its own: it accepts,
//! reads, and executes, and nearly everything is refused. What the script's own turn is in the middle of stays as it is:
//! its buffers are put aside, and no slot of a closed connection is given to a new one. What it has read of other
//! connections and not executed is given back to them, as if it had not been read; the script's own is not read.

use std::sync::Arc;
use std::time::Duration;

use mio::Events;
use respire_engine::{Engine, Flow, Prepared, Session, Worker, meanwhile};
use respire_keyspace::Hashed;
use respire_resp::{Args, Out, Span};

use super::waits::as_sent;
use super::{EventLoop, Portion, READ_BUFFER, Request};
use crate::net::Mail;

/// What an event loop keeps for the time of a script.
pub(super) struct Aside {
    /// A second reference, so that executing a script needs no counting.
    engine: Option<Arc<Engine>>,
    /// The worker that serves others while the loop's own executes a script.
    spare: Option<Box<Worker>>,
    /// The loop takes a turn within a script.
    pub(super) serving: bool,
    /// What the script's turn had read of other connections, and not executed, has been given back to them: it goes on
    /// without. Turns within the script have nothing to do with it.
    pub(super) took_over: bool,
    /// The number of the turn, and of the one that executes a script, if there is one.
    pub(super) turn: u64,
    outer: Option<u64>,
    /// Connections that were not read because the script's turn has requests of theirs.
    skipped: Vec<usize>,
    /// Slots of connections that were closed.
    pub(super) freed: Vec<usize>,
    /// Letters that have to wait.
    pub(super) mail: Vec<Mail>,
}

/// A request as the engine takes it.
pub(super) struct Call<'a> {
    pub(super) args: Args<'a>,
    pub(super) prepared: &'a Prepared,
    pub(super) hashes: &'a [Hashed],
}

/// What a turn has read behind a script.
#[derive(Default)]
pub(super) struct Behind<'a> {
    pub(super) portions: &'a [Portion],
    /// All requests of the turn, and what they lie in.
    pub(super) requests: &'a [Request],
    pub(super) buffer: &'a [u8],
    pub(super) spans: &'a [Span],
}

impl Aside {
    pub(super) fn new(engine: &Arc<Engine>) -> Self {
        Self {
            engine: Some(Arc::clone(engine)),
            spare: None,
            serving: false,
            took_over: false,
            turn: 1,
            outer: None,
            skipped: Vec::new(),
            freed: Vec::new(),
            mail: Vec::new(),
        }
    }
}

impl EventLoop {
    /// Whether a connection that was last read in turn `read_in` has to wait for the script's turn to go on.
    #[inline]
    pub(super) fn must_wait(&mut self, i: usize, read_in: u64) -> bool {
        let waits = self.aside.outer == Some(read_in);
        if waits {
            self.aside.skipped.push(i);
        }
        waits
    }

    /// Executes a script of connection number `i`, whose box is out of the list. Whatever the request lies in must not be
    /// the loop's. `behind` is what was read with it.
    pub(super) fn execute_script(
        &mut self,
        i: usize,
        session: &mut Session,
        call: Call<'_>,
        behind: &Behind<'_>,
        out: &mut Out,
    ) -> Flow {
        let engine = self.aside.engine.take().expect("scripts don't execute scripts");
        let mut worker = self.aside.spare.take().unwrap_or_else(|| {
            Box::new(Worker::new(&engine, self.worker.thread, self.worker.rng.u64(..)))
        });
        // From here on this is the loop's own worker, and the loop has the spare one.
        std::mem::swap(&mut self.worker, &mut worker);
        let id = session.info.id;
        let flow = {
            let mut others = |busy: &mut Worker| self.serve_others(id, busy, behind);
            meanwhile(&mut others, || {
                let Call { args, prepared, hashes } = call;
                engine.execute(&mut worker, session, args, prepared, hashes, out)
            })
        };
        std::mem::swap(&mut self.worker, &mut worker);
        self.aside.spare = Some(worker);
        self.aside.engine = Some(engine);
        if self.aside.outer.take().is_some() {
            self.by_id.insert(id, i);
            for skipped in std::mem::take(&mut self.aside.skipped) {
                self.note_readable(skipped, false);
            }
            // Letters that came for the script's client, and what it sent meanwhile, were passed over.
            self.mailbox.ring();
        }
        flow
    }

    /// Executes a script, request number `at`, with what the window is in put aside, so that the loop can take turns meanwhile.
    pub(super) fn execute_script_in_window(
        &mut self,
        requests: &[Request],
        at: usize,
        portions: &[Portion],
    ) -> Flow {
        let request = &requests[at];
        let prepared = request.prepared.as_ref().expect("its window has been prepared");
        let i = request.connection;
        let mut connection = self.connections[i].take().expect("the caller has it");
        let (buffer, spans) = (std::mem::take(&mut self.buffer), std::mem::take(&mut self.spans));
        let (ahead, mut out) = (std::mem::take(&mut self.ahead), std::mem::take(&mut self.out));
        let filled = std::mem::take(&mut self.filled);
        let args = Args::new(&buffer, &spans[request.spans.0 as usize..request.spans.1 as usize]);
        let session = &mut connection.session;
        let call = Call { args, prepared, hashes: ahead.hashes() };
        let behind = Behind { portions, requests, buffer: &buffer, spans: &spans };
        let flow = self.execute_script(i, session, call, &behind, &mut out);
        (self.buffer, self.spans, self.ahead, self.out) = (buffer, spans, ahead, out);
        self.filled = filled;
        self.connections[i] = Some(connection);
        flow
    }

    /// A turn within the script of client `id`. `busy` is the worker that executes it.
    #[cold]
    fn serve_others(&mut self, id: u64, busy: &mut Worker, behind: &Behind<'_>) {
        if self.aside.outer.is_none() {
            self.aside.outer = Some(self.aside.turn);
            self.by_id.remove(&id);
            if self.buffer.len() < READ_BUFFER {
                self.buffer.resize(READ_BUFFER, 0);
            }
            self.give_back(behind);
        }
        // What was executed before the script is answered now.
        self.send_unsent();
        self.aside.serving = true;
        self.worker.swap_clients(busy);
        self.turn(&mut Events::with_capacity(64), Duration::ZERO);
        self.worker.swap_clients(busy);
        self.aside.serving = false;
    }

    /// Gives what was read together with a script back to the connections that it came from, as if it had not been read yet.
    fn give_back(&mut self, behind: &Behind<'_>) {
        for portion in behind.portions.iter().filter(|portion| portion.may_be_given_back()) {
            let requests = &behind.requests[portion.requests.clone()];
            let bytes = as_sent(behind.buffer, behind.spans, requests, portion.start..portion.end);
            if let Some(connection) = &mut self.connections[portion.connection] {
                connection.hold_back(bytes);
                connection.read_in = 0;
                self.note_readable(portion.connection, false);
            }
        }
        self.aside.took_over = true;
    }
}
