//! EVAL, EVALSHA, FCALL and their read-only forms: from the request to the reply.
//!
//! The dispatcher asks first which shards to hold: those of the keys that are declared, or all for a script that is known to
//! reach out. Then the script runs under them, and where it has to, runs again under all.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use respire_datatypes::integer::parse_i64;
use respire_journal::Effects;
use respire_keyspace::{Hashed, Held, Mode};
use respire_resp::{Args, Out, Proto};
use smallvec::SmallVec;

use super::cache::{read_sha, sha_of};
use super::guard::Given;
use super::interpreter::{End, add_place};
use super::random::Random;
use super::running::{Rules, Running, Stop};
use super::shebang::{self, ScriptFlags};
use super::threads::{Interpreters, broken};
use crate::command::{Command, Flags, Lock};
use crate::dispatch::KeyHashes;
use crate::engine::Engine;
use crate::error::Error;
use crate::session::Session;
use crate::worker::Worker;

/// Where a request names its script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Digest,
    Function,
}

fn form_of(command: &Command) -> Form {
    match command.row.name.as_bytes() {
        [b'f', ..] => Form::Function,
        [b'e', b'v', b'a', b'l', b's', ..] => Form::Digest,
        _ => Form::Text,
    }
}

const NO_SCRIPT: Error = Error::fixed("NOSCRIPT No matching script. Please use EVAL.");

/// What calls a script, and the hashes of the keys in it.
#[derive(Clone, Copy)]
struct Request<'a> {
    args: &'a Args<'a>,
    declared: &'a [Hashed],
}

/// What is called: a function that this thread has compiled.
#[derive(Debug, Clone, Copy)]
struct Callee<'n> {
    is_function: bool,
    number: i64,
    /// What it says of itself; `None` for a script without a shebang, which is judged command by command.
    flags: Option<ScriptFlags>,
    /// What errors call it.
    name: &'n [u8],
}

/// How many of the arguments are keys.
fn key_count(args: &Args<'_>, form: Form) -> Result<usize, Error> {
    let wrong = match form {
        Form::Function => Error::fixed("ERR Bad number of keys provided"),
        _ => Error::NOT_INTEGER,
    };
    let count = parse_i64(args.get(2)).ok_or(wrong)?;
    if count > args.len() as i64 - 3 {
        return Err(Error::fixed("ERR Number of keys can't be greater than number of args"));
    }
    usize::try_from(count).map_err(|_| Error::fixed("ERR Number of keys can't be negative"))
}

/// The session in which a script runs on behalf of a client: with its own protocol, and its own view of the database. It is
/// that of the script before, if that had the same client.
fn session_for(caller: &mut Session, last: Option<Box<Session>>) -> Box<Session> {
    let mut own = match last {
        Some(last)
            if Arc::ptr_eq(&last.info, &caller.info) && Arc::ptr_eq(&last.user, &caller.user) =>
        {
            last
        }
        _ => {
            let (info, user) = (caller.info.clone(), caller.user.clone());
            let mut own = Session::standing_in(info, Proto::Resp2, caller.db(), user);
            own.in_exec = true;
            own.in_script = true;
            Box::new(own)
        }
    };
    own.proto = Proto::Resp2;
    own.select(caller.db());
    own.unlogged = false;
    own.no_touch = caller.no_touch;
    own.free_at = caller.free_at;
    own.tracking = caller.tracking.take();
    own
}

impl Engine {
    /// Whether a call may write. A script that says of itself that it does not may not.
    pub(crate) fn may_write(&self, command: &Command, args: &Args<'_>) -> bool {
        let writes = command.row.flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE);
        let is_script = command.row.lock == Lock::Script;
        writes && !(is_script && self.declared(command, args).contains(ScriptFlags::NO_WRITES))
    }

    /// What the script that is called says of itself.
    fn declared(&self, command: &Command, args: &Args<'_>) -> ScriptFlags {
        let Some(name) = args.try_get(1) else { return ScriptFlags::default() };
        let flags = match form_of(command) {
            Form::Function => self.scripting.libraries.find(name).map(|found| found.function.flags),
            Form::Digest => read_sha(name)
                .and_then(|sha| self.scripting.cache.find(&sha))
                .and_then(|script| script.flags),
            Form::Text => shebang::of_script(name).ok().flatten().map(|(flags, _)| flags),
        };
        flags.unwrap_or_default()
    }

    /// The shards with which a script begins; `None` while another one keeps some of them for too long.
    pub(crate) fn hold_for_script<'e>(
        &'e self,
        worker: &mut Worker,
        command: &'static Command,
        args: &Args<'_>,
        keys: KeyHashes<'_>,
    ) -> Option<Held<'e>> {
        let known = match form_of(command) {
            Form::Function => {
                worker.interpreters.peek_function(&self.scripting.libraries, args.get(1))
            }
            form => {
                let sha = match form {
                    Form::Text => Some(sha_of(args.get(1))),
                    _ => read_sha(args.get(1)),
                };
                worker.script_sha = sha;
                sha.and_then(|sha| worker.interpreters.peek_script(&self.scripting.cache, &sha))
            }
        };
        // What can't be found is refused, or compiled, under the locks.
        let (reaches_out, flags) = known.unwrap_or_default();
        let reads = command.row.has(Flags::READONLY) || flags.contains(ScriptFlags::NO_WRITES);
        let mode = if reads { Mode::Read } else { Mode::Write };
        match keys.all() {
            _ if reaches_out => self.keyspace.hold_all_unless_busy(mode),
            [only] => self.keyspace.hold_one_unless_busy(only.shard, mode),
            several => {
                let shards: SmallVec<[u32; 16]> = several.iter().map(|key| key.shard).collect();
                self.keyspace.hold_unless_busy(shards, mode)
            }
        }
    }

    /// Runs the script that a request names, and writes its reply. Returns whether it came upon a key past its time that it
    /// could not delete.
    #[allow(clippy::too_many_arguments)] // the whole situation of a call
    pub(crate) fn script<'e>(
        &'e self,
        worker: &mut Worker,
        session: &mut Session,
        held: &mut Held<'e>,
        command: &'static Command,
        args: &Args<'_>,
        declared: KeyHashes<'_>,
        out: &mut Out,
    ) -> Result<bool, Error> {
        if self.clients.has_monitors() {
            self.tell_monitors(worker, session, command.row, args, out);
        }
        let mut interpreters = std::mem::replace(&mut worker.interpreters, Interpreters::NONE);
        let request = Request { args, declared: declared.all() };
        let result =
            self.run_script(&mut interpreters, worker, session, held, command, request, out);
        let (scripts, functions) = interpreters.memory();
        worker.stats.lua_scripts.set(scripts);
        worker.stats.lua_functions.set(functions);
        worker.interpreters = interpreters;
        result
    }

    #[allow(clippy::too_many_arguments)] // the whole situation of a call
    fn run_script<'e>(
        &'e self,
        interpreters: &mut Interpreters,
        worker: &mut Worker,
        session: &mut Session,
        held: &mut Held<'e>,
        command: &'static Command,
        request: Request<'_>,
        out: &mut Out,
    ) -> Result<bool, Error> {
        let (form, args) = (form_of(command), request.args);
        let sha = worker.script_sha.take();
        // Each thread begins anywhere, so that no two of them make the same numbers.
        let random = interpreters.random.unwrap_or_else(|| Random::seeded(worker.rng.i32(..)));
        if form == Form::Function {
            let functions = interpreters.functions()?;
            let found = functions.find(&self.scripting.libraries, args.get(1))?;
            let (number, found) = found.ok_or(Error::fixed("ERR Function not found"))?;
            let keys = key_count(args, form)?;
            let function = &found.function;
            let callee = Callee {
                is_function: true,
                number,
                flags: Some(function.flags),
                name: &function.name,
            };
            let rules = self.rules(worker, command, &callee)?;
            let mut situation = Situation { engine: self, worker, session, held, rules, random };
            let ended = situation.run(&functions.interpreter, &callee, keys, request, out);
            interpreters.random = Some(situation.random);
            let ended = ended?;
            return situation.finish(ended, &callee, &found.function.class, command, out);
        }
        let keys = key_count(args, form)?;
        let cache = &self.scripting.cache;
        let sha = sha.or_else(|| match form {
            Form::Text => Some(sha_of(args.get(1))),
            _ => read_sha(args.get(1)),
        });
        let sha = sha.ok_or(NO_SCRIPT)?;
        let mut found = interpreters.scripts()?.find(cache, &sha)?;
        if found.is_none() && form == Form::Text {
            interpreters.add_script(cache, sha, args.get(1), worker.now_ms)?;
            found = interpreters.scripts()?.find(cache, &sha)?;
        }
        let found = found.ok_or(NO_SCRIPT)?;
        let script = &found.script;
        script.touch(worker.now_ms);
        let callee = Callee {
            is_function: false,
            number: found.number,
            flags: script.flags,
            name: &script.sha,
        };
        let rules = self.rules(worker, command, &callee)?;
        let mut situation = Situation { engine: self, worker, session, held, rules, random };
        let interpreter = &interpreters.scripts()?.interpreter;
        let ended = situation.run(interpreter, &callee, keys, request, out);
        interpreters.random = Some(situation.random);
        let ended = ended?;
        situation.finish(ended, &callee, &script.class, command, out)
    }

    /// What a script may do now, or why it may not run.
    fn rules(
        &self,
        worker: &Worker,
        command: &'static Command,
        callee: &Callee<'_>,
    ) -> Result<Rules, Error> {
        let read_only_command = command.row.has(Flags::READONLY);
        let short_of_memory = worker.settings.maxmemory > 0 && worker.out_of_memory;
        let Some(flags) = callee.flags else {
            return Ok(Rules { read_only: read_only_command, out_of_memory: short_of_memory });
        };
        let no_writes = flags.contains(ScriptFlags::NO_WRITES);
        if !no_writes {
            if read_only_command {
                return Err(Error::fixed(
                    "ERR Can not execute a script with write flag using *_ro command.",
                ));
            }
            self.check_writable()?;
        }
        if short_of_memory && !flags.intersects(ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM) {
            return Err(Error::fixed(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            ));
        }
        Ok(Rules { read_only: no_writes, out_of_memory: false })
    }
}

/// What a script runs in.
struct Situation<'a, 'e> {
    engine: &'e Engine,
    worker: &'a mut Worker,
    session: &'a mut Session,
    held: &'a mut Held<'e>,
    rules: Rules,
    /// The random numbers go on where those of the script before ended.
    random: Random,
}

/// How a script ended, and what is left to do.
struct Ended {
    end: End,
    saw_expired: bool,
    /// It had to run again with all shards.
    again: bool,
}

impl Situation<'_, '_> {
    /// Runs a script, and writes its reply if it has one.
    fn run(
        &mut self,
        interpreter: &super::interpreter::Interpreter,
        callee: &Callee<'_>,
        keys: usize,
        request: Request<'_>,
        out: &mut Out,
    ) -> Result<Ended, Error> {
        let Request { args, declared } = request;
        let (db, in_exec) = (self.session.db(), self.session.in_exec);
        let mut own = session_for(self.session, self.worker.stand_in.take());
        let mark = out.mark();
        let mut again = false;
        let given = Given { number: callee.number, request: *args, keys };
        let result = loop {
            let mut running = Running {
                engine: self.engine,
                worker: self.worker,
                session: &mut own,
                held: self.held,
                rules: self.rules,
                // A request that lies about the number of its keys declares none.
                declared: if declared.len() == keys { declared } else { &[] },
                hashes: SmallVec::new(),
                random: self.random,
                wrote: false,
                stop: None,
                request: *args,
                is_function: callee.is_function,
                began_ns: 0,
                slow: None,
                place: None,
                saw_expired: false,
            };
            let end = interpreter.call(&mut running, &given, callee.name, out);
            let (saw_expired, mode, random) = (running.saw_expired, running.mode(), running.random);
            drop(running);
            self.random = random;
            match end {
                Ok(End::Stopped(Stop::Again, _)) => {
                    out.rewind(mark);
                    self.held.hold_all_instead(mode);
                    own.proto = Proto::Resp2;
                    own.select(db);
                    again = true;
                }
                Ok(end) => break Ok(Ended { end, saw_expired, again }),
                Err(error) => {
                    out.rewind(mark);
                    break Err(broken(error));
                }
            }
        };
        self.session.tracking = own.tracking.take();
        self.session.select(db);
        // With commands that scripts don't usually get, anything may have become of it.
        if !self.engine.scripts_call_all.load(Ordering::Relaxed) {
            self.worker.stand_in = Some(own);
        }
        if !in_exec {
            self.worker.effects.end_unit();
        }
        result
    }

    /// Counts and writes errors.
    fn finish(
        self,
        ended: Ended,
        callee: &Callee<'_>,
        class: &super::class::Class,
        command: &'static Command,
        out: &mut Out,
    ) -> Result<bool, Error> {
        if ended.again {
            class.note_reaching_out();
        }
        let stats = &self.worker.stats;
        match ended.end {
            End::Replied(returned) => {
                if let Some(text) = returned.error {
                    stats.command(command.id).failed.add(1);
                    if !returned.counted {
                        stats.count_error(code_of(&text));
                    }
                }
            }
            End::Failed { text, counted } => {
                out.error(&text);
                stats.command(command.id).failed.add(1);
                if !counted {
                    stats.count_error(code_of(&text));
                }
            }
            End::Stopped(stop, place) => {
                if stop == Stop::Abandoned {
                    self.worker.effects = Effects::default();
                }
                stats.command(command.id).failed.add(1);
                stats.count_error(b"ERR");
                out.error(&killed_text(callee.name, place));
            }
        }
        Ok(ended.saw_expired)
    }
}

/// What the caller of a script is told that was killed, and where that was.
fn killed_text(name: &[u8], place: Option<(Vec<u8>, i64)>) -> Vec<u8> {
    let mut text = b"ERR Script killed by user with SCRIPT KILL...".to_vec();
    if let Some((source, line)) = place {
        add_place(&mut text, name, &source, line);
    }
    text
}

/// The code of an error that a script made up, by which it is counted.
fn code_of(text: &[u8]) -> &[u8] {
    /// A code is not longer than this.
    const LONGEST: usize = 32;
    let head = &text[..text.len().min(LONGEST)];
    match head.iter().position(|byte| *byte == b' ') {
        Some(end) => &head[..end],
        None => b"ERR",
    }
}
