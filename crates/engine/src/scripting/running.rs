//! A script while it runs: what it works on, and how a command that it calls is checked, given its shards, and executed.
//!
//! A script begins with the shards of its keys, or with all. When it reaches out to another shard, that is locked on the
//! spot if nobody has it. If somebody has, a script that has changed nothing yet gives everything back and runs again with
//! all shards; nobody notices. One that has changed something waits for the shard with what it has ([`Held::escalate`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use respire_keyspace::{Escalation, Hashed, Held, Mode};
use respire_resp::{Args, Out};
use smallvec::SmallVec;

use super::busy::Slow;
use super::lend::serve_others;
use crate::acl::{Context, Denial, Missing};
use crate::command::{Command, Flags, KeySpec, Lock, Row};
use crate::config::{Settings, find};
use crate::dispatch::{KeyHashes, key_positions};
use crate::engine::Engine;
use crate::error::Error;
use crate::session::Session;
use crate::worker::Worker;

use super::random::Random;

/// Where the keys of a request that calls a script begin.
pub(super) const FIRST_KEY: usize = 3;

/// What a script may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Commands that write are refused.
    pub(super) read_only: bool,
    /// Commands that need memory are refused: there was too little when it began.
    pub(super) out_of_memory: bool,
}

/// Why a script stops here and now, whatever it thinks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It has changed nothing, and runs again with all shards.
    Again,
    /// SCRIPT KILL or FUNCTION KILL.
    Killed,
    /// SHUTDOWN NOSAVE: nothing of it is to be kept.
    Abandoned,
}

/// Why a command was not executed.
pub(super) enum Refusal {
    Error(Error),
    Stop,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A script that runs.
pub(super) struct Running<'a, 'e> {
    pub(super) engine: &'e Engine,
    pub(super) worker: &'a mut Worker,
    /// The script's own: it has a protocol and a database of its own.
    pub(super) session: &'a mut Session,
    pub(super) held: &'a mut Held<'e>,
    pub(super) rules: Rules,
    /// The hashes of the keys that it was given, which are the arguments of its request from the fourth on.
    pub(super) declared: &'a [Hashed],
    pub(super) hashes: SmallVec<[Hashed; 4]>,
    pub(super) random: Random,
    /// Something was changed or told that can't be taken back.
    pub(super) wrote: bool,
    pub(super) stop: Option<Stop>,
    /// Where its request is: what FUNCTION STATS tells.
    pub(super) request: Args<'a>,
    pub(super) is_function: bool,
    /// When it was first looked at, monotonic nanoseconds; 0 before.
    pub(super) began_ns: u64,
    /// It has run for too long.
    pub(super) slow: Option<Arc<Slow>>,
    /// Where it was stopped: the source and the line.
    pub(super) place: Option<(Vec<u8>, i64)>,
    /// A key past its time was found under a lock for reading.
    pub(super) saw_expired: bool,
}

const UNKNOWN: Error = Error::fixed("ERR Unknown Redis command called from script");
const ARITY: Error = Error::fixed("ERR Wrong number of args calling Redis command from script");
const NOT_ALLOWED: Error = Error::fixed("ERR This Redis command is not allowed from script");
const READ_ONLY: Error = Error::fixed("ERR Write commands are not allowed from read-only scripts.");
const CROSSED: Error = Error::fixed(
    "ERR Two scripts have each changed keys and want the other's, which they did not declare. This one stops here; \
     declare all keys that a script uses.",
);

impl Running<'_, '_> {
    /// Executes a command; its reply comes in `out`, also where it failed. What is refused is counted here.
    pub(super) fn command(
        &mut self,
        command: Option<&'static Command>,
        args: Args<'_>,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        if self.stop.is_some() {
            return Err(Refusal::Stop);
        }
        let Some(command) = command else {
            self.worker.stats.count_error(UNKNOWN.code());
            return Err(UNKNOWN.into());
        };
        if let Err(error) = self.admit(command, &args) {
            self.worker.stats.count_error(error.code());
            self.worker.stats.command(command.id).rejected.add(1);
            return Err(error.into());
        }
        self.hash(command.row, &args);
        self.secure(command.row, &args)?;
        let writes = command.row.flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE);
        if writes && self.slow.as_ref().is_some_and(|slow| !slow.begin_writing()) {
            self.look();
            return Err(Refusal::Stop);
        }
        let engine = self.engine;
        let keys = KeyHashes::new(command.row, &self.hashes);
        out.clear();
        out.proto = self.session.proto;
        let (worker, session) = (&mut *self.worker, &mut *self.session);
        self.saw_expired |= engine.call(worker, session, self.held, command, args, keys, out);
        self.wrote |= writes;
        Ok(())
    }

    /// Hashes the keys of a command's first key specification. Most often they are those that the script was given.
    #[inline]
    fn hash(&mut self, row: &'static Row, args: &Args<'_>) {
        /// So many of the declared keys are compared.
        const COMPARED: usize = 4;
        self.hashes.clear();
        let (keyspace, db) = (&self.engine.keyspace, self.session.db);
        let (declared, request) = (self.declared, self.request);
        let hashed = |key: &[u8]| {
            let mut declared = declared.iter().take(COMPARED).zip(FIRST_KEY..);
            match declared.find(|(_, at)| request.get(*at) == key) {
                Some((hashed, _)) => Hashed { db: db as u32, ..*hashed },
                None => keyspace.hashed(key, db),
            }
        };
        match row.keys {
            [spec] if spec.only().is_some_and(|at| at < args.len()) => {
                let at = spec.only().unwrap_or_default();
                self.hashes.push(hashed(args.get(at)));
            }
            _ => self.hashes.extend(key_positions(row, args).map(|i| hashed(args.get(i)))),
        }
    }

    /// Whether the script may call this command now.
    fn admit(&self, command: &'static Command, args: &Args<'_>) -> Result<(), Error> {
        let row = command.row;
        if !command.takes(args.len()) {
            return Err(ARITY);
        }
        let denied = row.flags.intersects(Flags::NOSCRIPT | Flags::PROTECTED);
        if denied && !self.engine.scripts_call_all.load(Ordering::Relaxed) {
            return Err(NOT_ALLOWED);
        }
        // Who may do everything passes by this.
        if self.session.free_at != self.worker.users_version {
            self.may(command, args).map_err(|denial| self.denied(command, args, denial))?;
        }
        let writes = row.flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE);
        if writes && self.rules.read_only {
            return Err(READ_ONLY);
        }
        if !self.worker.is_replaying() {
            self.engine.check_condition(self.session, command)?;
        }
        if row.has(Flags::DENYOOM) && self.rules.out_of_memory && !self.wrote {
            return Err(Error::OUT_OF_MEMORY);
        }
        Ok(())
    }

    /// Whether the user on whose behalf the script runs may call a command.
    pub(super) fn may(&self, command: &'static Command, args: &Args<'_>) -> Result<(), Denial> {
        self.engine.acl_check(self.session, command, args)
    }

    /// Notes a call that the user may not make; returns what the script is told.
    #[cold]
    fn denied(&self, command: &'static Command, args: &Args<'_>, denial: Denial) -> Error {
        let told = match denial.missing {
            Missing::Command => "run this command or subcommand",
            Missing::Key => "access at least one of the keys mentioned in the command arguments",
            Missing::Channel => "publish to the channel mentioned in the command",
        };
        let stats = &self.worker.stats;
        self.engine.note_denial(stats, self.session, Context::Lua, command, args, denial);
        Error::text(format!("ERR The user executing the script can't {told}"))
    }

    /// Sees to it that the shards which a command needs are held.
    #[inline]
    fn secure(&mut self, row: &'static Row, args: &Args<'_>) -> Result<(), Refusal> {
        if self.held.is_all() {
            return Ok(());
        }
        match row.lock_for(args) {
            Lock::Keys | Lock::KeysExclusive => {
                if row.keys.len() == 1 && !self.hashes.is_empty() {
                    for i in 0..self.hashes.len() {
                        let shard = self.hashes[i].shard;
                        if !self.held.holds(shard) {
                            self.widen(Some(shard))?;
                        }
                    }
                    return Ok(());
                }
                for i in row.keys.iter().flat_map(|spec: &KeySpec| spec.positions(args)) {
                    let shard = self.engine.keyspace.shard_of(args.get(i));
                    if !self.held.holds(shard) {
                        self.widen(Some(shard))?;
                    }
                }
                Ok(())
            }
            _ => self.widen(None),
        }
    }

    /// Holds a shard as well, or all.
    #[cold]
    fn widen(&mut self, shard: Option<u32>) -> Result<(), Refusal> {
        if self.held.try_widen(shard) {
            return Ok(());
        }
        if !self.wrote {
            self.stop = Some(Stop::Again);
            return Err(Refusal::Stop);
        }
        match self.held.escalate(shard) {
            Escalation::Done => Ok(()),
            Escalation::Crossed => Err(CROSSED.into()),
        }
    }

    /// Has a look at whether it has to stop, in the middle of its work.
    pub(super) fn look(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let now = self.engine.clock.monotonic_ns();
        if self.began_ns == 0 {
            self.began_ns = now;
        }
        if self.slow.is_none() {
            let Some(threshold_ms) = threshold_ms(&self.worker.settings) else { return };
            if now.saturating_sub(self.began_ns) < threshold_ms * 1_000_000 {
                return;
            }
            let name = if self.is_function { self.request.get(1).to_vec() } else { Vec::new() };
            let command = self.request.iter_from(0).map(<[u8]>::to_vec).collect();
            let slow =
                Arc::new(Slow::new(self.is_function, name, command, self.began_ns, self.wrote));
            if self.worker.is_replaying() {
                // While a log is loaded, clients are told just that, and there is nothing to be stopped.
                slow.warn(now);
                self.began_ns = u64::MAX;
                return;
            }
            self.engine.begin_busy(&slow, now);
            self.slow = Some(slow);
        }
        serve_others(self.worker);
        self.stop = self
            .slow
            .as_ref()
            .and_then(|slow| slow.must_stop())
            .map(|abandoned| if abandoned { Stop::Abandoned } else { Stop::Killed });
    }

    /// How all shards are held when it runs again.
    pub(super) fn mode(&self) -> Mode {
        if self.rules.read_only { Mode::Read } else { Mode::Write }
    }
}

/// After how many milliseconds a script has run for too long; `None` for never.
fn threshold_ms(settings: &Settings) -> Option<u64> {
    let text = find("busy-reply-threshold").map(|row| row.get(settings))?;
    text.parse().ok().filter(|threshold| *threshold > 0)
}

impl Drop for Running<'_, '_> {
    fn drop(&mut self) {
        if let Some(slow) = &self.slow {
            self.engine.end_busy(slow);
        }
    }
}
