//! From a request to its effect: find the command, check that the client may call it now, lock what it needs, run it,
//! count it. The steps are in Redis's order, which decides what error a doubly wrong request gets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use respire_keyspace::{Hashed, Held, Keyspace, Mode, Sought};
use respire_resp::{Args, Mark, Out, Span};
use smallvec::SmallVec;

use crate::client::ClientInfo;
use crate::command::{Command, Flags, KeySpec, Lock, REDACTED, Row, lookup, registry};
use crate::config::Permission;
use crate::ctx::{Access, Ctx, CtxWorker, Data};
use crate::engine::Engine;
use crate::error::{self, Error, Outcome};
use crate::journaling::note_effects;
use crate::pause::PauseKind;
use crate::session::{ReplyMode, Session};
use crate::slowlog::{SlowEntry, shorten};
use crate::worker::{Message, Worker};

/// What the caller does next with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The request took effect, or was refused; its reply is written.
    Done,
    /// The server is paused: the same request is to be executed again at this Unix time (milliseconds), or when the
    /// pause ends. So it is, soon, when a snapshot is at something large that the request changes.
    Paused(i64),
    /// The client waits, for this many milliseconds at most, or for ever. Its reply will come as
    /// [`Message::Unblocked`], or has to be asked for with [`Engine::time_out`]; until then, nothing more of it may be
    /// executed.
    Blocked(Option<u64>),
}

/// The command that a request names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lookup {
    Known(&'static Command),
    UnknownSubcommand(&'static Command),
    Unknown,
}

/// A request whose command has been looked up and whose keys have been hashed.
#[derive(Debug, Clone, Copy)]
pub struct Prepared {
    pub(crate) lookup: Lookup,
    /// Where the hashes of its keys are in the batch's list.
    pub(crate) keys: (u32, u32),
}

/// The hashes of the keys of a command's first key specification.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHashes<'a> {
    first: usize,
    step: usize,
    hashes: &'a [Hashed],
}

impl<'a> KeyHashes<'a> {
    pub(crate) const NONE: Self = Self { first: 0, step: 1, hashes: &[] };

    /// That of the only key, at `position`.
    #[inline]
    pub(crate) fn one(position: usize, hash: &'a Hashed) -> Self {
        Self { first: position, step: 1, hashes: std::slice::from_ref(hash) }
    }

    pub(crate) fn new(row: &Row, hashes: &'a [Hashed]) -> Self {
        match row.keys.first().and_then(KeySpec::fixed_start) {
            Some((first, step)) => Self { first, step, hashes },
            None => Self::NONE,
        }
    }

    /// The hashes of all keys.
    pub(crate) fn all(&self) -> &'a [Hashed] {
        self.hashes
    }

    /// The hashes of argument `i`, if it is a key that was hashed.
    #[inline]
    pub(crate) fn of(&self, i: usize) -> Option<&Hashed> {
        let offset = i.checked_sub(self.first)?;
        if self.step == 1 {
            return self.hashes.get(offset);
        }
        if offset % self.step == 0 { self.hashes.get(offset / self.step) } else { None }
    }
}

/// The requests of a window, prepared together: what they will touch is found side by side.
#[derive(Debug, Default)]
pub struct Batch {
    hashes: Vec<Hashed>,
    /// Where the keys are in the read buffer, for as long as their shards are not known.
    spans: Vec<Span>,
    /// The collections that are used, and what is looked for in each.
    elements: Vec<Sought>,
    /// The command before: most pipelines repeat one.
    last: Option<(&'static Command, ShortName)>,
}

/// A name of up to eight letters in one number, in any case; of names of other characters, more than one may be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ShortName(u64, usize);

impl ShortName {
    #[inline]
    fn new(name: &[u8]) -> Option<Self> {
        const SMALL: u64 = u64::from_ne_bytes([0x20; 8]);
        let half = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let word = match name.len() {
            // The halves overlap.
            4..=8 => u64::from(half(&name[..4])) | u64::from(half(&name[name.len() - 4..])) << 32,
            len @ 1..=3 => {
                let byte = |i: usize| u64::from(name[i]);
                byte(0) | byte(len / 2) << 8 | byte(len - 1) << 16
            }
            _ => return None,
        };
        Some(Self(word | SMALL, name.len()))
    }
}

/// Whether a name has only letters.
fn is_word(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_alphabetic)
}

impl Batch {
    /// The hashes of all keys of the window.
    pub fn hashes(&self) -> &[Hashed] {
        &self.hashes
    }

    /// The collections that commands of the window use, and the elements that they look for.
    pub fn elements(&self) -> &[Sought] {
        &self.elements
    }

    /// Adds the key that is argument `i`; its shard is to be filled in.
    #[inline(always)] // for the sake of the most frequent of its callers
    fn add_key(&mut self, keyspace: &Keyspace, args: &Args<'_>, i: usize, db: usize) {
        self.hashes.push(keyspace.half_hashed(args.get(i), db));
        self.spans.push(args.span(i));
    }

    pub fn clear(&mut self) {
        self.elements.clear();
        self.hashes.clear();
        self.spans.clear();
    }
}

/// The key specification whose keys are hashed before the command runs: the first, if its keys are where they always
/// are.
#[inline]
fn hashed_spec(row: &Row) -> Option<&'static KeySpec> {
    row.keys.first().filter(|spec| spec.fixed_start().is_some())
}

/// Where the keys are that are hashed before the command runs.
#[inline]
pub(crate) fn key_positions(row: &Row, args: &Args<'_>) -> impl Iterator<Item = usize> + use<> {
    hashed_spec(row).map(|spec| spec.positions(args)).into_iter().flatten()
}

/// Appends the hashes of the keys of a command's first key specification.
#[inline]
pub(crate) fn hash_keys(
    keyspace: &Keyspace,
    row: &Row,
    args: &Args<'_>,
    db: usize,
    hashes: &mut Vec<Hashed>,
) {
    let positions = key_positions(row, args);
    hashes.extend(positions.map(|i| keyspace.hashed(args.get(i), db)));
}

impl Prepared {
    /// Whether it changes what its client listens to. The reply is a message, which CLIENT REPLY does not switch off.
    #[inline]
    pub fn subscribes(&self) -> bool {
        let subscribing = Flags::PUBSUB.union(Flags::WHILE_LISTENING);
        matches!(self.lookup, Lookup::Known(command) if command.row.has(subscribing))
    }

    /// Whether it only reads or writes the value at one key: nothing of what follows is the case.
    #[inline]
    pub fn is_plain(&self) -> bool {
        matches!(self.lookup, Lookup::Known(command) if command.plain.is_some())
    }

    /// Whether it may take so long that others should not wait for its end.
    pub fn may_take_long(&self) -> bool {
        matches!(self.lookup, Lookup::Known(command) if !command.quick || command.row.has(Flags::ADMIN))
    }

    /// Whether it runs a script, which may take any time.
    #[inline]
    pub fn runs_script(&self) -> bool {
        matches!(self.lookup, Lookup::Known(command) if command.row.lock == Lock::Script)
    }

    /// The number of the command, for CLIENT LIST.
    #[inline]
    fn number(&self) -> u32 {
        match self.lookup {
            Lookup::Known(command) => command.id.into(),
            Lookup::UnknownSubcommand(_) | Lookup::Unknown => ClientInfo::NO_COMMAND,
        }
    }
}

/// Containers are resolved to their subcommand before anything is called.
pub(crate) fn unreachable_container(ctx: &mut Ctx<'_, '_>) -> Outcome {
    Err(Error::arity(ctx.name()))
}

impl Engine {
    /// Looks up the command of a request and appends the hashes of its keys to the batch's list, which is what
    /// `Keyspace::prefetch` takes and [`Self::execute`] is given again. `db` is where the keys will be looked up.
    #[inline]
    pub fn prepare(&self, args: &Args<'_>, db: usize, hashes: &mut Vec<Hashed>) -> Prepared {
        let lookup = self.resolve(args);
        let start = hashes.len() as u32;
        if let Lookup::Known(command) = lookup {
            hash_keys(&self.keyspace, command.row, args, db, hashes);
        }
        Prepared { lookup, keys: (start, hashes.len() as u32) }
    }

    #[inline]
    pub(crate) fn resolve(&self, args: &Args<'_>) -> Lookup {
        let name = args.get(0);
        let found = if self.renames.is_empty() { lookup(name) } else { self.renames.find(name) };
        let Some(command) = found else { return Lookup::Unknown };
        if command.subcommands.is_empty() || args.len() < 2 {
            return Lookup::Known(command);
        }
        match registry().subcommand(command, args.get(1)) {
            Some(subcommand) => Lookup::Known(subcommand),
            // COMMAND has a meaning of its own, but an argument is always a subcommand.
            None => Lookup::UnknownSubcommand(command),
        }
    }

    /// As [`Self::prepare`], for a request that lies in a buffer with the others of its batch. The hashes are complete
    /// after [`Self::complete`].
    #[inline]
    pub fn prepare_in(&self, batch: &mut Batch, args: &Args<'_>, db: usize) -> Prepared {
        let name = args.get(0);
        let lookup = match batch.last {
            Some((last, word)) if ShortName::new(name) == Some(word) => Lookup::Known(last),
            _ => self.resolve(args),
        };
        let start = batch.hashes.len() as u32;
        if let Lookup::Known(command) = lookup {
            if batch.last.is_none_or(|(last, _)| last.id != command.id) {
                let plain = command.parent.is_none() && command.subcommands.is_empty();
                let lasts = plain && self.renames.is_empty();
                let word = ShortName::new(name).filter(|_| lasts && is_word(name));
                batch.last = word.map(|word| (command, word));
            }
            match command.plain {
                Some(only) if usize::from(only) < args.len() => {
                    batch.add_key(&self.keyspace, args, only.into(), db);
                }
                _ => key_positions(command.row, args)
                    .for_each(|i| batch.add_key(&self.keyspace, args, i, db)),
            }
            if command.of_collections {
                let element = usize::from(command.row.element);
                let hash = (element > 0 && element < args.len())
                    .then(|| self.keyspace.hasher().hash(args.get(element)));
                let keys = start..batch.hashes.len() as u32;
                batch.elements.extend(keys.map(|key| Sought { key, hash }));
            }
        }
        Prepared { lookup, keys: (start, batch.hashes.len() as u32) }
    }

    /// Completes the hashes of a batch whose requests lie in `buffer`.
    pub fn complete(&self, batch: &mut Batch, buffer: &[u8]) {
        let spans = &batch.spans;
        self.keyspace.fill_shards(&mut batch.hashes, |i| spans[i].of(buffer));
    }

    /// Executes a request of `session`, and appends the reply to `out`. `hashes` is the list that [`Self::prepare`]
    /// appended to.
    #[inline]
    pub fn execute(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        args: Args<'_>,
        prepared: &Prepared,
        hashes: &[Hashed],
        out: &mut Out,
    ) -> Flow {
        out.proto = session.proto;
        if let Lookup::Known(command) = prepared.lookup
            && command.plain.is_some()
            && self.is_calm(worker, session)
            && let Some(key) = hashes.get(prepared.keys.0 as usize)
            && command.takes(args.len())
        {
            return self.execute_plain(worker, session, command, &args, key, out);
        }
        self.execute_any(worker, session, args, prepared, hashes, out)
    }

    /// Executes a request of which nothing is known yet.
    fn execute_any(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        args: Args<'_>,
        prepared: &Prepared,
        hashes: &[Hashed],
        out: &mut Out,
    ) -> Flow {
        let mut mark = out.mark();
        session.info.command.store(prepared.number(), Ordering::Relaxed);
        let mut flow = Flow::Done;
        match self.admit(worker, session, &args, prepared) {
            // What is refused is refused at once, pause or not.
            Ok(command) if let Some(until) = self.paused(worker, session, &args, command) => {
                return Flow::Paused(until);
            }
            Ok(command)
                if worker.settings.maxmemory > 0
                    && self.refuses_for_memory(worker, session, command) =>
            {
                tell_first(worker, session, out, &mut mark);
                self.reject(worker, session, prepared, &Error::OUT_OF_MEMORY, out);
            }
            Ok(command) => {
                if worker.settings.maxmemory > 0 && session.tracking.is_some() {
                    tell_first(worker, session, out, &mut mark);
                }
                let hashes = &hashes[prepared.keys.0 as usize..prepared.keys.1 as usize];
                let keys = KeyHashes::new(command.row, hashes);
                flow = self.admitted(worker, session, command, args, keys, out);
                if matches!(flow, Flow::Paused(_)) {
                    // Nothing has happened yet.
                    return flow;
                }
            }
            Err(_) if matches!(prepared.lookup, Lookup::Unknown) && is_http(args.get(0)) => {
                hang_up(session, out);
                return Flow::Done;
            }
            // Its user is gone: it learns nothing more.
            Err(_) if session.closing => {
                out.rewind(mark);
                return Flow::Done;
            }
            Err(error) => self.reject(worker, session, prepared, &error, out),
        }
        if session.tracking.is_some() {
            end_caching(session, prepared);
        }
        match session.reply {
            ReplyMode::On => {}
            _ if prepared.subscribes() => {}
            ReplyMode::Off => out.rewind(mark),
            ReplyMode::SkipNext => session.reply = ReplyMode::Skip,
            ReplyMode::Skip => {
                out.rewind(mark);
                session.reply = ReplyMode::On;
            }
        }
        flow
    }

    /// Until when a pause holds the request back.
    #[inline]
    fn paused(
        &self,
        worker: &Worker,
        session: &Session,
        args: &Args<'_>,
        command: &Command,
    ) -> Option<i64> {
        let (kind, until) = self.pause.current(worker.now_ms)?;
        let held_back = match kind {
            PauseKind::All => true,
            PauseKind::Write => {
                let exec = command.row.lock == Lock::Exec && session.transaction.writes(self);
                let queued = session.transaction.is_open() && command.row.lock != Lock::Exec;
                exec || (!queued && self.may_write(command, args))
            }
        };
        held_back.then_some(until)
    }

    /// Checks that the request is one, and that the client may make it.
    #[inline]
    fn admit(
        &self,
        worker: &Worker,
        session: &mut Session,
        args: &Args<'_>,
        prepared: &Prepared,
    ) -> Result<&'static Command, Error> {
        let command = match prepared.lookup {
            Lookup::Known(command) => command,
            Lookup::UnknownSubcommand(parent) => {
                return Err(Error::unknown_subcommand(parent.row.name, args.get(1)));
            }
            Lookup::Unknown => return Err(unknown_command(args)),
        };
        if !command.takes(args.len()) {
            return Err(Error::arity(command.full_name));
        }
        if command.row.has(Flags::PROTECTED) {
            self.allow_protected(session, command)?;
        }
        // Who may do everything passes by this.
        if session.free_at != worker.users_version {
            self.check_rights(worker, session, command, args)?;
        }
        // A monitor counts as a replica, which gets its data by another way.
        if self.clients.has_monitors()
            && session.is_monitor()
            && command.row.flags.intersects(Flags::READONLY | Flags::WRITE)
        {
            return Err(Error::REPLICA_ONLY);
        }
        if session.only_listens() && !command.row.has(Flags::WHILE_LISTENING) {
            return Err(Error::only_listening(command.full_name));
        }
        if session.transaction.is_open() && command.row.has(Flags::NO_MULTI) {
            return Err(Error::NOT_IN_MULTI);
        }
        self.check_condition(session, command)?;
        Ok(command)
    }

    /// Whether the settings let the client use DEBUG, or load modules.
    fn allow_protected(&self, session: &Session, command: &Command) -> Result<(), Error> {
        let settings = self.config.load();
        let is_debug = command.full_name == "debug";
        let permission = match settings.kept("enable-module-command") {
            _ if is_debug => settings.enable_debug_command,
            Some("yes") => Permission::Yes,
            Some("local") => Permission::Local,
            _ => Permission::No,
        };
        if permission.allows(is_local(&session.info)) {
            return Ok(());
        }
        let name = if is_debug { "debug" } else { "module" };
        Err(Error::text(format!(
            "ERR {} command not allowed. If the enable-{name}-command option is set to \"local\", you can run it from a \
             local connection, otherwise you need to set this option in the configuration file, and then restart the \
             server.",
            name.to_ascii_uppercase()
        )))
    }

    /// Locks what a command needs; `None` while a script keeps some of it for too long.
    #[inline]
    fn hold_for(
        &self,
        worker: &mut Worker,
        command: &'static Command,
        (lock, mode): (Lock, Mode),
        args: &Args<'_>,
        keys: KeyHashes<'_>,
    ) -> Option<Held<'_>> {
        let row = command.row;
        match (lock, row.keys, keys.hashes) {
            (Lock::Keys, [_], [only]) => self.keyspace.hold_one_unless_busy(only.shard, mode),
            (Lock::Keys | Lock::KeysExclusive, [], _) | (Lock::Walk | Lock::Exec, ..) => {
                Some(self.keyspace.hold_nothing())
            }
            (Lock::All, ..) => self.keyspace.hold_all_unless_busy(Mode::Write),
            (Lock::Script, ..) => self.hold_for_script(worker, command, args, keys),
            (Lock::AllShared, ..) => self.keyspace.hold_all_unless_busy(Mode::Read),
            (_, specs, hashes) => {
                let mut shards: SmallVec<[u32; 16]> = SmallVec::new();
                shards.extend(hashes.iter().map(|key| key.shard));
                for spec in &specs[usize::from(hashed_spec(row).is_some())..] {
                    let positions = spec.positions(args);
                    shards.extend(positions.map(|i| self.keyspace.shard_of(args.get(i))));
                }
                self.keyspace.hold_unless_busy(shards, mode)
            }
        }
    }

    #[inline]
    fn admitted(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        keys: KeyHashes<'_>,
        out: &mut Out,
    ) -> Flow {
        let row = command.row;
        if session.transaction.is_open() && !runs_inside_multi(row) {
            session.transaction.queue(command, args);
            session.publish_transaction();
            out.simple("QUEUED");
            return Flow::Done;
        }
        let lock = row.lock_for(&args);
        let mode = mode_of(row, lock);
        let held = self.hold_for(worker, command, (lock, mode), &args, keys);
        let Some(mut held) = held.and_then(closed) else {
            // A script holds what it needs, for too long.
            self.reject_command(worker, session, command, &self.busy_error(), out);
            return Flow::Done;
        };
        if held.mode() == Mode::Write
            && held.is_saving()
            && self.must_wait(&mut held, row, &args, session.db)
        {
            return Flow::Paused(worker.now_ms);
        }
        let mark = out.mark();
        let saw_expired = self.call(worker, session, &mut held, command, args, keys, out);
        if std::mem::take(&mut session.postponed) {
            return Flow::Paused(worker.now_ms);
        }
        let mut flow = Flow::Done;
        if row.has(Flags::BLOCKING)
            && let Some(wait) = session.wait.take()
        {
            flow = Flow::Blocked(self.begin_waiting(session, &mut held, command, args, *wait));
        }
        if held.has_leftovers() {
            self.clear_up(worker, &mut held, session.info.id);
        }
        self.seal(worker, &mut held);
        let (mode, gave_up) = (held.mode(), held.gave_up());
        drop(held);
        if gave_up {
            out.rewind(mark);
            // A script holds what it needs, for too long.
            self.reject_command(worker, session, command, &self.busy_error(), out);
        }
        if saw_expired && mode == Mode::Read && self.pause.current(worker.now_ms).is_none() {
            self.delete_expired(worker, session.db, row, &args);
        }
        if !worker.met_expired.is_empty() {
            self.delete_met(worker);
        }
        flow
    }

    /// Runs a command under the locks that it needs, and accounts for it. Returns whether it came upon a key past its
    /// time that it could not delete.
    #[inline]
    #[allow(clippy::too_many_arguments)] // the whole situation of a call
    pub(crate) fn call<'e>(
        &'e self,
        worker: &mut Worker,
        session: &mut Session,
        held: &mut Held<'e>,
        command: &'static Command,
        args: Args<'_>,
        keys: KeyHashes<'_>,
        out: &mut Out,
    ) -> bool {
        let row = command.row;
        let measured = !command.quick || worker.measures_all;
        let start = match row.lock {
            Lock::Script => worker.begin_script(self),
            _ if measured => worker.begin_measuring(self),
            _ => 0,
        };
        let mark = out.mark();
        let (outcome, saw_expired) = match row.lock {
            Lock::Exec => (self.exec(worker, session, out), false),
            Lock::Script => match self.script(worker, session, held, command, &args, keys, out) {
                Ok(saw_expired) => (Ok(()), saw_expired),
                Err(error) => (Err(error), false),
            },
            _ => run(self, worker, session, held, command, args, keys, out),
        };
        if session.postponed {
            return false;
        }
        // A script's client has read what its commands have read, and not the keys that it was given.
        if session.tracking.is_some() && row.lock != Lock::Script {
            self.after_tracked(worker, session, held, row, &args);
        }
        if let Err(error) = outcome {
            out.rewind(mark);
            self.answer_failure(worker, command, &error, out);
        }
        if measured && session.wait.is_none() {
            self.account(worker, session, command, &args, start, self.clock.monotonic_ns());
        } else if measured {
            // A command that waits is accounted for when it is served.
            worker.timing.begin(self.clock.monotonic_ns());
        } else {
            worker.timing.ran(command.id);
        }
        // After the command, as Redis does: monitors see the commands of a transaction before its EXEC.
        if self.clients.has_monitors() && !row.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN)
        {
            self.tell_monitors(worker, session, row, &args, out);
        }
        saw_expired
    }

    /// What follows a command of a client that tracks.
    #[cold]
    fn after_tracked(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        held: &mut Held<'_>,
        row: &Row,
        args: &Args<'_>,
    ) {
        // What the transaction has changed so far was changed before this command read it.
        if session.in_exec && row.has(Flags::READONLY) {
            let changed = held.take_reported();
            self.invalidate(&mut worker.outbox, &changed, session.info.id);
        }
        self.remember_keys(session, &mut worker.outbox, row, args);
    }

    /// Accounts for a command that was measured by itself, from `start` to `end`.
    #[allow(clippy::too_many_arguments)] // the whole situation of a call
    pub(crate) fn account(
        &self,
        worker: &mut Worker,
        session: &Session,
        command: &'static Command,
        args: &Args<'_>,
        start: u64,
        end: u64,
    ) {
        let nanos = end.saturating_sub(start);
        match command.row.lock {
            Lock::Script => worker.end_script(end),
            _ => worker.end_measuring(end),
        }
        worker.record(command.id, nanos, 1);
        if worker.renew_settings(self) {
            worker.access = Access::new(&worker.settings, worker.now_us);
        }
        let (micros, row) = (nanos / 1000, command.row);
        let settings = &worker.settings;
        let threshold = settings.slowlog_log_slower_than;
        let logged = !row.has(Flags::SKIP_SLOWLOG) && !session.in_script;
        if threshold >= 0 && micros >= threshold as u64 && logged {
            let entry = SlowEntry {
                id: 0,
                time: worker.now_ms / 1000,
                micros,
                args: shorten(row, args),
                addr: session.info.addr.clone(),
                name: session.info.names.lock().name.clone(),
            };
            self.slowlog.add(entry, settings.slowlog_max_len as usize);
        }
        let threshold = settings.latency_monitor_threshold;
        if threshold > 0 && micros / 1000 >= threshold {
            let event = if row.has(Flags::FAST) { "fast-command" } else { "command" };
            self.latency.add(event, worker.now_ms / 1000, micros / 1000);
        }
    }

    /// Executes a request that a journal has kept, with all shards held for writing. An error says why it is none.
    pub fn replay<'e>(
        &'e self,
        worker: &mut Worker,
        session: &mut Session,
        held: &mut Held<'e>,
        args: Args<'_>,
    ) -> Result<(), Error> {
        let command = match self.resolve(&args) {
            Lookup::Known(command) if command.row.lock != Lock::Exec => command,
            Lookup::UnknownSubcommand(parent) => {
                return Err(Error::unknown_subcommand(parent.row.name, args.get(1)));
            }
            Lookup::Known(_) | Lookup::Unknown => {
                let name = String::from_utf8_lossy(error::shown(args.get(0), 128)).into_owned();
                return Err(Error::text(format!("Unknown command '{name}'")));
            }
        };
        if !command.takes(args.len()) {
            return Err(Error::arity(command.full_name));
        }
        let mut out = Out::default();
        // An error is the reply that the command had when it was executed first.
        if command.row.lock == Lock::Script {
            // Redis before 7 could write scripts themselves rather than what they did.
            let _ = self.script(worker, session, held, command, &args, KeyHashes::NONE, &mut out);
        } else {
            let _ = run(self, worker, session, held, command, args, KeyHashes::NONE, &mut out);
        }
        session.wait = None;
        if held.has_leftovers() {
            self.clear_up(worker, held, 0);
        }
        worker.outbox.clear();
        Ok(())
    }

    /// Refuses a command.
    #[cold]
    pub(crate) fn reject_command(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        command: &'static Command,
        error: &Error,
        out: &mut Out,
    ) {
        let prepared = Prepared { lookup: Lookup::Known(command), keys: (0, 0) };
        self.reject(worker, session, &prepared, error, out);
    }

    /// Answers a command that has failed.
    #[cold]
    pub(crate) fn answer_failure(
        &self,
        worker: &Worker,
        command: &Command,
        error: &Error,
        out: &mut Out,
    ) {
        out.error(error.as_bytes());
        worker.stats.command(command.id).failed.add(1);
        worker.stats.count_error(error.code());
    }

    /// Refuses a request.
    #[cold]
    fn reject(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        prepared: &Prepared,
        error: &Error,
        out: &mut Out,
    ) {
        session.transaction.fail();
        worker.stats.count_error(error.code());
        if let Lookup::Known(command) = prepared.lookup {
            worker.stats.command(command.id).rejected.add(1);
            if command.row.lock == Lock::Exec {
                session.discard(self);
                let reason = error.as_bytes().strip_prefix(b"ERR ").unwrap_or(error.as_bytes());
                let mut text = b"EXECABORT Transaction discarded because of: ".to_vec();
                text.extend_from_slice(reason);
                return out.error(&text);
            }
        }
        out.error(error.as_bytes());
    }

    /// Shows a command to the clients that monitor.
    #[cold]
    pub(crate) fn tell_monitors(
        &self,
        worker: &mut Worker,
        session: &Session,
        row: &Row,
        args: &Args<'_>,
        out: &mut Out,
    ) {
        let line: Arc<[u8]> = monitor_line(worker.now_us, session, row, args).into();
        for client in self.clients.list() {
            if !client.monitor.load(Ordering::Relaxed) {
                continue;
            }
            if client.id == session.info.id && !session.in_exec {
                // A monitor's own line follows its reply, before the replies to what it sent next.
                out.raw(&line);
                continue;
            }
            // At once, under the locks of the command, and not with what the thread sends at the end of its turn: so commands
            // on one key are shown in their order, and one that waits before what is done because it does.
            let message = Message::Monitor(Arc::clone(&line));
            self.host.deliver(client.thread, client.id, message);
        }
    }
}

/// What is held, widened to where those reach who wait for its keys; `None` while a script keeps that for too long.
#[inline]
pub(crate) fn closed(held: Held<'_>) -> Option<Held<'_>> {
    if held.must_widen() { held.widened() } else { Some(held) }
}

#[inline]
#[allow(clippy::too_many_arguments)] // the whole situation of a call
pub(crate) fn run<'e>(
    engine: &'e Engine,
    worker: &mut Worker,
    session: &mut Session,
    held: &mut Held<'e>,
    command: &'static Command,
    args: Args<'_>,
    keys: KeyHashes<'_>,
    out: &mut Out,
) -> (Outcome, bool) {
    let db = session.db;
    let journaled = engine.journal.is_on()
        && !worker.is_replaying()
        && !session.unlogged
        && command.row.flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE);
    let before = if journaled { held.changes() } else { 0 };
    worker.effects.begin();
    let data = Data {
        held,
        db: session.db,
        now_ms: worker.now_ms,
        clock_us: worker.now_us,
        access: worker.access,
        no_touch: session.no_touch,
        rng: &mut worker.rng,
        hits: 0,
        misses: 0,
        engine,
        classes: worker.settings.notify_keyspace_events,
        saw_expired: false,
    };
    let mut ctx = Ctx {
        engine,
        args,
        out,
        session,
        data,
        settings: &worker.settings,
        command,
        worker: CtxWorker {
            outbox: &mut worker.outbox,
            stats: &worker.stats,
            listeners: &mut worker.listeners,
            met_expired: &mut worker.met_expired,
            interpreters: &mut worker.interpreters,
            effects: &mut worker.effects,
        },
        keys,
        journaled,
    };
    let outcome = (command.row.handler)(&mut ctx);
    let Data { hits, misses, saw_expired, .. } = ctx.data;
    if hits > 0 {
        worker.stats.counters.hits.add(hits.into());
    }
    if misses > 0 {
        worker.stats.counters.misses.add(misses.into());
    }
    if journaled {
        note_effects(&mut worker.effects, held, before, db, args);
    }
    (outcome, saw_expired)
}

/// Puts what a client is to be told of so far, as of keys evicted to make room for its command, before the reply, which
/// begins at `mark` then.
#[cold]
fn tell_first(worker: &mut Worker, session: &Session, out: &mut Out, mark: &mut Mark) {
    worker.outbox.retain(|delivery| match &delivery.message {
        Message::Push(bytes) if delivery.client == session.info.id => {
            out.raw(bytes);
            false
        }
        _ => true,
    });
    *mark = out.mark();
}

fn mode_of(row: &Row, lock: Lock) -> Mode {
    if lock == Lock::KeysExclusive { Mode::Write } else { row.mode() }
}

/// Commands that act at once even while a transaction is being queued.
fn runs_inside_multi(row: &Row) -> bool {
    row.lock == Lock::Exec || row.has(Flags::NOT_QUEUED)
}

/// What CLIENT CACHING asked for ends with the next command that is none of CLIENT's, whatever becomes of it, or with the
/// transaction that it opens.
#[cold]
fn end_caching(session: &mut Session, prepared: &Prepared) {
    let of_client = matches!(prepared.lookup, Lookup::Known(command) if command.full_name.starts_with("client|"));
    let ends = !of_client && !session.transaction.is_open();
    if let Some(mode) = session.tracking.as_mut().filter(|_| ends) {
        mode.caching = false;
    }
}

/// Whether an unknown command is a line that every HTTP request with a body has: a web page can make a browser send
/// one here, with commands in the body.
#[cold]
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Closes the connection of what sends HTTP, before it gets to its commands. It learns nothing: replies that have not
/// been sent are dropped.
#[cold]
fn hang_up(session: &mut Session, out: &mut Out) {
    log::warn!(
        "Closing client id={} addr={}: it speaks HTTP. A web page may have made a browser send commands.",
        session.info.id,
        session.info.addr
    );
    out.clear();
    session.closing = true;
}

fn unknown_command(args: &Args<'_>) -> Error {
    const SHOWN: usize = 128;
    let mut shown: Vec<u8> = Vec::new();
    for arg in args.iter_from(1) {
        if shown.len() >= SHOWN {
            break;
        }
        let room = SHOWN - shown.len();
        shown.push(b'\'');
        shown.extend_from_slice(error::shown(arg, room));
        shown.extend_from_slice(b"' ");
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(error::shown(args.get(0), SHOWN));
    text.extend_from_slice(b"', with args beginning with: ");
    text.extend_from_slice(&shown);
    Error::bytes(text)
}

pub(crate) fn is_local(info: &ClientInfo) -> bool {
    info.unix_socket || info.addr.starts_with("127.") || info.addr.starts_with("[::1]")
}

fn monitor_line(now_us: i64, session: &Session, row: &Row, args: &Args<'_>) -> Vec<u8> {
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    let from = if session.in_script {
        "lua".into()
    } else if session.info.unix_socket {
        // Redis names the socket's path here without the `:0` that stands for a port elsewhere.
        let path = session.info.laddr.strip_suffix(":0").unwrap_or(&session.info.laddr);
        format!("unix:{path}")
    } else {
        session.info.addr.clone()
    };
    let mut line = format!("+{seconds}.{micros:06} [{} {from}]", session.db).into_bytes();
    for (i, arg) in args.iter_from(0).enumerate() {
        line.push(b' ');
        quote(if (row.secret)(args, i) { REDACTED } else { arg }, &mut line);
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Appends `text` in double quotes, with what is not printable escaped.
pub(crate) fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for b in text {
        match b {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', *b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x20..=0x7e => out.push(*b),
            _ => out.extend_from_slice(format!("\\x{b:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}
