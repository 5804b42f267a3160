//! Transactions: what MULTI queues and WATCH watches, and how EXEC runs it, atomic over all shards that it touches.

use std::sync::atomic::Ordering;

use respire_keyspace::{Found, Held, Mode, WatchFlag};
use respire_resp::{Args, Out, OwnedArgs};
use smallvec::SmallVec;

use crate::command::{Command, Flags, Lock};
use crate::dispatch::{KeyHashes, closed, hash_keys};
use crate::engine::Engine;
use crate::error::Error;
use crate::scripting::Forgotten;
use crate::session::Session;
use crate::worker::Worker;

/// A queued command.
#[derive(Debug)]
pub(crate) struct Queued {
    command: &'static Command,
    args: OwnedArgs,
}

#[derive(Debug)]
struct Watched {
    db: usize,
    key: Vec<u8>,
    /// The key existed when it was watched. If not, that it is past its time is no change.
    existed: bool,
}

/// The transaction of a session.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    open: bool,
    /// A command could not be queued: EXEC refuses.
    failed: bool,
    queue: Vec<Queued>,
    queued_bytes: usize,
    watched: Vec<Watched>,
    /// Bytes that are held because of them, here and with their shards.
    watched_bytes: usize,
    /// Made with the first watched key: sessions without any, such as those of scripts, come and go often.
    flag: Option<WatchFlag>,
}

/// About the bytes that a shard needs to know of a watched key, beside its name.
const WITH_SHARD: usize = 96;

impl Transaction {
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    pub(crate) fn begin(&mut self) {
        self.open = true;
    }

    /// Marks the transaction as not to be executed, if one is open.
    pub(crate) fn fail(&mut self) {
        self.failed |= self.open;
    }

    pub(crate) fn memory(&self) -> usize {
        self.queued_bytes + self.watched_bytes
    }

    pub(crate) fn queue(&mut self, command: &'static Command, args: Args<'_>) {
        let args = args.to_owned_args();
        self.queued_bytes += args.memory() + size_of::<Queued>();
        self.queue.push(Queued { command, args });
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn watching(&self) -> usize {
        self.watched.len()
    }

    /// Whether a queued command writes, for CLIENT PAUSE WRITE.
    pub(crate) fn writes(&self, engine: &Engine) -> bool {
        self.queue.iter().any(|queued| engine.may_write(queued.command, &queued.args.as_args()))
    }

    /// Whether a queued command may need memory.
    pub(crate) fn needs_memory(&self) -> bool {
        self.queue.iter().any(|queued| queued.command.row.has(Flags::DENYOOM))
    }

    /// Notes a key as watched, unless it is already. Returns the flag to be raised when it changes.
    pub(crate) fn watch(&mut self, db: usize, key: &[u8], existed: bool) -> Option<WatchFlag> {
        if self.watched.iter().any(|watched| watched.db == db && watched.key == key) {
            return None;
        }
        self.watched.push(Watched { db, key: key.to_vec(), existed });
        self.watched_bytes += size_of::<Watched>() + WITH_SHARD + 2 * key.len();
        Some(self.flag.get_or_insert_default().clone())
    }

    fn close(&mut self) {
        self.open = false;
        self.failed = false;
        self.queue = Vec::new();
        self.queued_bytes = 0;
    }
}

impl Session {
    /// Ends the transaction without executing it.
    pub(crate) fn discard(&mut self, engine: &Engine) {
        self.transaction.close();
        self.unwatch(engine);
        self.publish_transaction();
    }

    /// Watches nothing any more. Locks one shard after the other: the caller must hold none.
    pub(crate) fn unwatch(&mut self, engine: &Engine) {
        let Some(flag) = self.transaction.flag.take() else { return };
        self.transaction.watched_bytes = 0;
        for Watched { db, key, .. } in std::mem::take(&mut self.transaction.watched) {
            let shard = engine.keyspace.shard_of(&key);
            match engine.keyspace.hold_one_unless_busy(shard, Mode::Write) {
                Some(mut held) => {
                    held.shard_mut(shard).unwatch(db, &key, &flag);
                }
                None => engine.forget_later(Forgotten::Watch { db, key, flag: flag.clone() }),
            }
        }
    }

    pub(crate) fn publish_transaction(&self) {
        let transaction = &self.transaction;
        let queued = if transaction.open { transaction.queued() as i64 } else { -1 };
        self.info.multi.store(queued, Ordering::Relaxed);
        self.info.watching.store(transaction.watching() as u32, Ordering::Relaxed);
    }
}

impl Engine {
    /// EXEC: runs the queue with every shard held that it, or a watched key, is in.
    pub(crate) fn exec(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        out: &mut Out,
    ) -> Result<(), Error> {
        if !session.transaction.open {
            return Err(Error::fixed("ERR EXEC without MULTI"));
        }
        if session.transaction.failed {
            session.discard(self);
            return Err(Error::EXEC_ABORT);
        }
        let held = self.hold_transaction(&session.transaction).and_then(closed);
        let Some(mut held) = held else {
            session.discard(self);
            let mut text = b"EXECABORT Transaction discarded because of: ".to_vec();
            text.extend_from_slice(self.busy_error().as_bytes());
            return Err(Error::bytes(text));
        };
        if self.is_stale(&held, &session.transaction, worker.now_ms) {
            drop(held);
            session.discard(self);
            out.null_array();
            return Ok(());
        }
        if held.is_saving() && self.transaction_waits(&mut held, session) {
            session.postponed = true;
            return Ok(());
        }
        session.transaction.watched_bytes = 0;
        let Transaction { watched, flag, .. } = &mut session.transaction;
        if let Some(flag) = flag.take() {
            for Watched { db, key, .. } in watched.drain(..) {
                let shard = self.keyspace.shard_of(&key);
                held.shard_mut(shard).unwatch(db, &key, &flag);
            }
        }
        let queue = std::mem::take(&mut session.transaction.queue);
        session.transaction.close();
        session.in_exec = true;
        out.array(queue.len());
        let mut hashes = Vec::new();
        for queued in &queue {
            let args = queued.args.as_args();
            hashes.clear();
            hash_keys(&self.keyspace, queued.command.row, &args, session.db, &mut hashes);
            let keys = KeyHashes::new(queued.command.row, &hashes);
            // HELLO inside a transaction changes the protocol of the replies behind it.
            out.proto = session.proto;
            match self.check_in_exec(worker, session, queued.command, &args) {
                Ok(()) => {
                    self.call(worker, session, &mut held, queued.command, args, keys, out);
                }
                Err(error) => {
                    out.error(error.as_bytes());
                    worker.stats.count_error(error.code());
                    worker.stats.command(queued.command.id).rejected.add(1);
                }
            }
        }
        session.in_exec = false;
        worker.effects.end_unit();
        if held.has_leftovers() {
            self.clear_up(worker, &mut held, session.info.id);
        }
        self.seal(worker, &mut held);
        session.publish_transaction();
        Ok(())
    }

    /// `None` while a script keeps some of it for too long.
    fn hold_transaction(&self, transaction: &Transaction) -> Option<Held<'_>> {
        let mut shards: SmallVec<[u32; 16]> = SmallVec::new();
        for Queued { command, args } in &transaction.queue {
            let args = args.as_args();
            if !matches!(command.row.lock_for(&args), Lock::Keys | Lock::KeysExclusive) {
                return self.keyspace.hold_all_unless_busy(Mode::Write);
            }
            for spec in command.row.keys {
                let positions = spec.positions(&args);
                shards.extend(positions.map(|i| self.keyspace.shard_of(args.get(i))));
            }
        }
        shards.extend(transaction.watched.iter().map(|w| self.keyspace.shard_of(&w.key)));
        self.keyspace.hold_unless_busy(shards, Mode::Write)
    }

    /// Whether one of the commands must wait: see [`Engine::must_wait`].
    #[cold]
    fn transaction_waits(&self, held: &mut Held<'_>, session: &Session) -> bool {
        let queue = &session.transaction.queue;
        queue.iter().filter(|queued| queued.command.mode == Mode::Write).any(|queued| {
            self.must_wait(held, queued.command.row, &queued.args.as_args(), session.db)
        })
    }

    /// Whether a watched key has changed, or its time has passed since it was watched.
    fn is_stale(&self, held: &Held<'_>, transaction: &Transaction, now_ms: i64) -> bool {
        transaction.flag.as_ref().is_some_and(WatchFlag::is_raised)
            || transaction.watched.iter().filter(|watched| watched.existed).any(|watched| {
                let key = self.keyspace.key(&watched.key);
                let found = held.shard(key.shard).db(watched.db).find(&key, now_ms);
                matches!(found, Found::Expired)
            })
    }
}
