//! GETs in a row, which is what most pipelines of most clients are: they hold each shard once for all of them, and what
//! the short way of a command (`plain.rs`) asks for each is asked once.
//!
//! It owns no behaviour of its own: what can't be answered at once as `GET` answers it is left to the ways of all commands.

use std::sync::atomic::Ordering;

use respire_keyspace::{Found, Hashed, Key};
use respire_resp::{Args, Out};

use crate::commands::reply_value;
use crate::ctx::note_use;
use crate::dispatch::{Lookup, Prepared};
use crate::engine::Engine;
use crate::notify::Classes;
use crate::session::Session;
use crate::worker::Worker;

impl Prepared {
    /// Whether it is a GET of the right length.
    #[inline]
    pub fn is_get(&self) -> bool {
        matches!(self.lookup, Lookup::Known(command) if command.shows_string)
    }
}

impl Engine {
    /// Executes requests of a session, as many as are GETs that can be answered at once, until there are `full` bytes of
    /// replies. Returns how many that were. What comes next is executed by [`Self::execute`]. `hashes` are those of the
    /// batch.
    #[inline]
    pub fn execute_gets<'r>(
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
        let tells_misses = worker.settings.notify_keyspace_events.contains(Classes::KEY_MISS);
        let has_limit = worker.settings.maxmemory > 0;
        let (mut hits, mut misses, mut id) = (0, 0, 0);
        let held = self.keyspace.hold_now();
        for (args, prepared) in requests {
            let Lookup::Known(command) = prepared.lookup else { break };
            if !command.shows_string || args.len() != 2 || out.len() >= full {
                break;
            }
            if has_limit && hits + misses == 0 && self.refuses_for_memory(worker, session, command) {
                break;
            }
            let Some(key) = hashes.get(prepared.keys.0 as usize) else { break };
            let Some(shard) = held.shard(key.shard) else { break };
            let key = Key { bytes: args.get(1), hash: key.hash, shard: key.shard };
            match shard.db(session.db).find(&key, worker.now_ms) {
                Found::Live(entry) if entry.is_string() => {
                    hits += 1;
                    if !session.no_touch {
                        note_use(entry, worker.access, &mut worker.rng);
                    }
                    if reply_value(out, entry).is_err() {
                        break;
                    }
                }
                Found::Missing if !tells_misses => {
                    misses += 1;
                    out.null();
                }
                // What is past its time is to be deleted, and what is no string is an error.
                _ => break,
            }
            id = command.id;
        }
        drop(held);
        let count = hits + misses;
        if count > 0 {
            session.info.command.store(id.into(), Ordering::Relaxed);
            worker.stats.counters.hits.add(hits);
            worker.stats.counters.misses.add(misses);
            worker.timing.ran_in_a_row(id, count);
        }
        count as usize
    }
}
