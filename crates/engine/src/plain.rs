//! The short way of most requests: a command on one key, by a client of which there is nothing special to be minded.
//!
//! It owns no behaviour of its own. [`Engine::is_calm`] asks at once for all that the long way (`dispatch.rs`) looks at
//! step by step; where it says yes, each of those steps would have found nothing to do.

use std::sync::atomic::Ordering;

use respire_keyspace::{Hashed, Held, Mode};
use respire_resp::{Args, Out};

use crate::command::Command;
use crate::dispatch::{Flow, KeyHashes, run};
use crate::engine::Engine;
use crate::error::Error;
use crate::session::{ReplyMode, Session};
use crate::worker::Worker;

impl Session {
    /// Whether the client has asked for nothing that changes what becomes of its commands.
    #[inline]
    fn is_ordinary(&self) -> bool {
        !self.transaction.is_open()
            && self.reply == ReplyMode::On
            && self.subscriptions.is_none()
            && self.tracking.is_none()
    }
}

impl Engine {
    /// Whether a plain command of the session can only be executed: the client may do everything and is in no
    /// particular state, nor is the server.
    #[inline]
    pub(crate) fn is_calm(&self, worker: &Worker, session: &Session) -> bool {
        session.free_at == worker.users_version
            && session.is_ordinary()
            && self.condition.load(Ordering::Relaxed) == 0
            && self.pause.current(worker.now_ms).is_none()
            && !self.clients.has_monitors()
    }

    /// Executes a plain command. The session and the server must be calm, and the number of arguments right.
    #[inline(never)] // apart from the long way, whose variables would take its registers
    pub(crate) fn execute_plain(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        command: &'static Command,
        args: &Args<'_>,
        key: &Hashed,
        out: &mut Out,
    ) -> Flow {
        session.info.command.store(command.id.into(), Ordering::Relaxed);
        if worker.settings.maxmemory > 0 && self.refuses_for_memory(worker, session, command) {
            self.reject_command(worker, session, command, &Error::OUT_OF_MEMORY, out);
            return Flow::Done;
        }
        let mut postponed = false;
        let done = self.keyspace.with_one_unless_busy(key.shard, command.mode, |held| {
            if command.mode == Mode::Write
                && held.shard(key.shard).is_saving()
                && self.must_wait(held, command.row, args, session.db)
            {
                postponed = true;
                return false;
            }
            let saw_expired = self.call_plain(worker, session, held, command, args, key, out);
            if held.has_leftovers() {
                self.clear_up(worker, held, session.info.id);
            }
            self.seal(worker, held);
            saw_expired
        });
        match done {
            Some(false) if postponed => return Flow::Paused(worker.now_ms),
            Some(false) => {}
            Some(true) => self.delete_expired(worker, session.db, command.row, args),
            None => self.reject_command(worker, session, command, &self.busy_error(), out),
        }
        Flow::Done
    }

    /// Runs the command, and accounts for it. Returns whether it came upon a key past its time that is to be deleted.
    #[inline]
    #[allow(clippy::too_many_arguments)] // the whole situation of a call
    fn call_plain<'e>(
        &'e self,
        worker: &mut Worker,
        session: &mut Session,
        held: &mut Held<'e>,
        command: &'static Command,
        args: &Args<'_>,
        key: &Hashed,
        out: &mut Out,
    ) -> bool {
        let measured = !command.quick || worker.measures_all;
        let start = if measured { worker.begin_measuring(self) } else { 0 };
        let mark = out.mark();
        let keys = KeyHashes::one(command.plain.map_or(0, usize::from), key);
        let (outcome, saw_expired) = run(self, worker, session, held, command, *args, keys, out);
        if let Err(error) = outcome {
            out.rewind(mark);
            self.answer_failure(worker, command, &error, out);
        }
        if measured {
            self.account(worker, session, command, args, start, self.clock.monotonic_ns());
        } else {
            worker.timing.ran(command.id);
        }
        saw_expired && command.mode == Mode::Read
    }
}
