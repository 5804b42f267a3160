//! GET, SET and INCR in a row, which is what most pipelines of most clients are. What the short way of a command
//! (`plain.rs`) asks for each is asked once for all of them, and reads hold each shard once.
//!
//! It owns no behaviour of its own: what these commands can't do at once, with nobody to be told of it, is left to the ways of
//! all commands.

use std::sync::atomic::Ordering;

use respire_keyspace::{Found, Hashed, HeldNow, Key, NewValue, Shard, Ttl};
use respire_resp::{Args, Out};

use crate::command::{Command, Simple};
use crate::commands::strings::counters::sum_of;
use crate::commands::strings::{reply_value, value_of};
use crate::ctx::note_use;
use crate::dispatch::{Lookup, Prepared};
use crate::engine::Engine;
use crate::notify::Classes;
use crate::session::Session;
use crate::worker::Worker;

impl Prepared {
    /// Whether it may be one of a row.
    #[inline]
    pub fn is_simple(&self) -> bool {
        matches!(self.lookup, Lookup::Known(command) if command.simple.is_some())
    }
}

/// A row that is being executed.
struct Row<'e> {
    engine: &'e Engine,
    /// The shards that are held for reading. None is while anything is waited for, or written to.
    held: Option<HeldNow<'e>>,
    /// Nobody was to be told of changes when the row began, but those whom their shards know of.
    may_write: bool,
    tells_misses: bool,
    hits: u64,
    misses: u64,
}

impl Engine {
    /// Executes requests of a session, as many as can be executed in a row, until there are `full` bytes of replies. Returns
    /// how many that were. What comes next is executed by [`Self::execute`]. `hashes` are those of the batch.
    #[inline]
    pub fn execute_row<'r>(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        requests: impl Iterator<Item = (Args<'r>, &'r Prepared)>,
        hashes: &[Hashed],
        out: &mut Out,
        full: usize,
    ) -> usize {
        if worker.measures_all || !self.is_calm(worker, session) {
            return 0;
        }
        out.proto = session.proto;
        let classes = worker.settings.notify_keyspace_events;
        let mut row = Row {
            engine: self,
            held: None,
            may_write: classes.is_empty() && !self.journal.is_on(),
            tells_misses: classes.contains(Classes::KEY_MISS),
            hits: 0,
            misses: 0,
        };
        let mut count = 0;
        for (args, prepared) in requests {
            let Lookup::Known(command) = prepared.lookup else { break };
            let Some(simple) = command.simple.filter(|simple| simple.takes(args.len())) else {
                break;
            };
            let Some(hashed) = hashes.get(prepared.keys.0 as usize) else { break };
            let key = Key { bytes: args.get(1), hash: hashed.hash, shard: hashed.shard };
            let done = out.len() < full
                && match simple {
                    Simple::Get => row.get(worker, session, command, &key, out),
                    _ => row.change(worker, session, (command, simple), &args, &key, out),
                };
            if !done {
                break;
            }
            worker.timing.ran(command.id);
            session.info.command.store(command.id.into(), Ordering::Relaxed);
            count += 1;
        }
        if row.hits + row.misses > 0 {
            worker.stats.counters.hits.add(row.hits);
            worker.stats.counters.misses.add(row.misses);
        }
        count
    }
}

impl Row<'_> {
    /// Whether there is room for what a command may need. Nothing is held while it is made.
    #[inline]
    fn has_room(&mut self, worker: &mut Worker, session: &Session, command: &Command) -> bool {
        if worker.settings.maxmemory == 0 {
            return true;
        }
        self.held = None;
        !self.engine.refuses_for_memory(worker, session, command)
    }

    #[inline]
    fn get(
        &mut self,
        worker: &mut Worker,
        session: &Session,
        command: &Command,
        key: &Key<'_>,
        out: &mut Out,
    ) -> bool {
        if self.held.is_none() && !self.has_room(worker, session, command) {
            return false;
        }
        let held = self.held.get_or_insert_with(|| self.engine.keyspace.hold_now());
        let Some(shard) = held.shard(key.shard) else { return false };
        match shard.db(session.db()).find(key, worker.now_ms) {
            Found::Live(entry) if entry.is_string() => {
                self.hits += 1;
                if !session.no_touch {
                    note_use(entry, worker.access, &mut worker.rng);
                }
                reply_value(out, entry).is_ok()
            }
            Found::Missing if !self.tells_misses => {
                self.misses += 1;
                out.null();
                true
            }
            // What is past its time is to be deleted, and what is no string is an error.
            _ => false,
        }
    }

    #[inline]
    fn change(
        &mut self,
        worker: &mut Worker,
        session: &Session,
        (command, simple): (&Command, Simple),
        args: &Args<'_>,
        key: &Key<'_>,
        out: &mut Out,
    ) -> bool {
        self.held = None;
        if !self.may_write || !self.has_room(worker, session, command) {
            return false;
        }
        let done = self.engine.keyspace.with_one_now(key.shard, |held| {
            let shard = held.shard_mut(key.shard);
            // The journal may have begun within the row, but it does not begin while a shard is held; and who has been
            // told that writes pause counts on it.
            let done = shard.is_quiet()
                && !self.engine.journal.is_on()
                && self.engine.pause.current(worker.now_ms).is_none()
                && match simple {
                    Simple::Incr => increment(shard, worker, session, key, out),
                    _ => {
                        let (access, now) = (worker.access.of_new(), worker.now_ms);
                        shard.set(session.db(), key, value_of(args, 2), Ttl::Clear, access, now);
                        out.ok();
                        true
                    }
                };
            if held.has_leftovers() {
                self.engine.clear_up(worker, held, session.info.id);
            }
            done
        });
        done == Some(true)
    }
}

/// Adds one to the number at a key. What is no number, or the greatest, is left as it is.
#[inline]
fn increment(
    shard: &mut Shard,
    worker: &mut Worker,
    session: &Session,
    key: &Key<'_>,
    out: &mut Out,
) -> bool {
    let (db, now) = (session.db(), worker.now_ms);
    let sum = match shard.entry(db, key, now) {
        Some(mut entry) => {
            let Ok(sum) = sum_of(entry.get(), 1) else { return false };
            if !session.no_touch {
                note_use(entry.get(), worker.access, &mut worker.rng);
            }
            entry.set(NewValue::Int(sum), Ttl::Keep);
            sum
        }
        None => {
            let access = worker.access.of_new();
            shard.insert_new(db, key, NewValue::Int(1), Ttl::Clear, access, now);
            1
        }
    };
    out.int(sum);
    true
}

#[cfg(test)]
mod tests {
    use respire_resp::{Out, OwnedArgs};

    use crate::engine::Engine;
    use crate::harness::Harness;
    use crate::pause::PauseKind;

    /// How many of three SETs are executed in a row if `then` happens before the second.
    fn executed(then: impl FnOnce(&Engine)) -> usize {
        let mut h = Harness::new();
        h.line("PING"); // what the client may do is known then
        let Harness { engine, mut worker, mut sessions, .. } = h;
        let mut hashes = Vec::new();
        let requests = ["a", "b", "c"].map(|key| {
            let args = OwnedArgs::from_parts(["SET", key, "1"]);
            let prepared = engine.prepare(&args.as_args(), 0, &mut hashes);
            (args, prepared)
        });
        let mut then = Some(then);
        let row = requests.iter().enumerate().map(|(n, (args, prepared))| {
            if n == 1 {
                then.take().into_iter().for_each(|then| then(&engine));
            }
            (args.as_args(), prepared)
        });
        let mut out = Out::default();
        engine.execute_row(&mut worker, &mut sessions[0], row, &hashes, &mut out, usize::MAX)
    }

    #[test]
    fn a_row_ends_where_its_changes_are_for_the_journal() {
        assert_eq!(executed(|_| ()), 3);
        let mut reader = None;
        assert_eq!(executed(|engine| reader = Some(engine.subscribe())), 1);
    }

    #[test]
    fn a_row_ends_where_writes_pause() {
        assert_eq!(executed(|engine| engine.pause.begin(PauseKind::Write, i64::MAX, 0)), 1);
    }
}
