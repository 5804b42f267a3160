//! Commands that wait: a client that finds nothing takes a place in the queues of its keys, and whoever changes one of
//! them serves it, under the locks of that very change. Nobody sees what a waiting client was entitled to.
//!
//! A waiting command is executed again for each of its keys that changes, on behalf of its client. It takes from that key
//! only, and either replies, or says again that it has to wait. The longest waiter comes first.
//!
//! A change must hold every shard that serving may touch, which is why the dispatcher widens what it holds where
//! somebody waits with keys in several shards: see `Held::widened`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use respire_datatypes::float::parse_f64;
use respire_datatypes::integer::parse_i64;
use respire_keyspace::{EntryRef, Found, Held, Mode, ReadyKey, Ticket};
use respire_resp::{Args, Out, OwnedArgs, Proto};
use smallvec::SmallVec;

use crate::acl::User;
use crate::client::ClientInfo;
use crate::command::Command;
use crate::ctx::Ctx;
use crate::dispatch::{KeyHashes, run};
use crate::engine::Engine;
use crate::error::{Error, Outcome};
use crate::host::Garbage;
use crate::scripting::Forgotten;
use crate::session::{ReplyMode, Session};
use crate::stats::ThreadStats;
use crate::worker::{Delivery, Message, Worker};

/// What a waiting command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    List,
    SortedSet,
    Stream,
    /// A group of a stream: that the stream goes is of interest, too, since the command then fails.
    Group,
}

impl Wants {
    fn are_met_by(self, entry: Option<EntryRef<'_>>) -> bool {
        let found = entry.map(EntryRef::type_name);
        match self {
            Self::List => found == Some("list"),
            Self::SortedSet => found == Some("zset"),
            Self::Stream => found == Some("stream"),
            Self::Group => true,
        }
    }
}

/// How a command is to wait.
#[derive(Debug)]
pub(crate) struct Wait {
    /// The positions of the keys that it waits for. All of them must be held for writing.
    pub(crate) keys: SmallVec<[usize; 4]>,
    pub(crate) wants: Wants,
    /// Milliseconds; `None` waits for ever.
    pub(crate) timeout_ms: Option<u64>,
    /// What is executed when a key changes, if it is not the command as it came: relative positions made absolute.
    pub(crate) args: Option<OwnedArgs>,
}

/// A timeout in seconds, decimal, as milliseconds, rounded up; `None` for 0, which is for ever.
pub(crate) fn timeout_of_seconds(text: &[u8]) -> Result<Option<u64>, Error> {
    const NO_NUMBER: Error = Error::fixed("ERR timeout is not a float or out of range");
    let ms = (parse_f64(text).ok_or(NO_NUMBER)? * 1000.0).ceil();
    if ms < 0.0 {
        return Err(Error::TIMEOUT_NEGATIVE);
    }
    // More than fits makes no difference to who asks, but must not wrap around.
    if ms >= i64::MAX as f64 {
        return Err(Error::TIMEOUT_TOO_LONG);
    }
    Ok((ms > 0.0).then_some(ms as u64))
}

/// A timeout in milliseconds; `None` for 0, which is for ever.
pub(crate) fn timeout_of_millis(text: &[u8], now_ms: i64) -> Result<Option<u64>, Error> {
    const NO_NUMBER: Error = Error::fixed("ERR timeout is not an integer or out of range");
    let ms = parse_i64(text).ok_or(NO_NUMBER)?;
    let positive = u64::try_from(ms).map_err(|_| Error::TIMEOUT_NEGATIVE)?;
    ms.checked_add(now_ms).ok_or(Error::TIMEOUT_TOO_LONG)?;
    Ok((positive > 0).then_some(positive))
}

/// What is kept of a client that waits.
struct Waiter {
    info: Arc<ClientInfo>,
    user: Arc<User>,
    /// The version of the users at which it was found that the client may do everything.
    free_at: u64,
    command: &'static Command,
    args: OwnedArgs,
    keys: SmallVec<[usize; 4]>,
    wants: Wants,
    db: usize,
    proto: Proto,
    no_touch: bool,
    /// CLIENT REPLY had switched the reply off.
    silent: bool,
}

/// Why a client waits no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// As if the time were over.
    TimedOut,
    /// With an error.
    Unblocked,
}

impl Ctx<'_, '_> {
    /// Ends a command that has found nothing: its client waits. Inside a transaction, it replies as if its time were
    /// over. The reply must not have been begun.
    pub(crate) fn block(&mut self, wait: Wait) -> Outcome {
        self.no_effect();
        if self.session.in_exec {
            self.out.null_array();
        } else {
            self.session.wait = Some(Box::new(wait));
        }
        Ok(())
    }

    /// Those of the keys at `positions` that a blocking command may take from: all, or the one that has changed if the
    /// command was waiting for it.
    pub(crate) fn ready_keys(
        &self,
        positions: impl IntoIterator<Item = usize>,
    ) -> SmallVec<[usize; 4]> {
        let ready = self.session.ready_key;
        positions.into_iter().filter(|i| ready.is_none_or(|ready| ready == *i)).collect()
    }
}

impl Engine {
    /// Puts a client whose command has to wait into the queues.
    #[cold]
    pub(crate) fn begin_waiting(
        &self,
        session: &mut Session,
        held: &mut Held<'_>,
        command: &'static Command,
        args: Args<'_>,
        wait: Wait,
    ) -> Option<u64> {
        let args = wait.args.unwrap_or_else(|| args.to_owned_args());
        let given = args.as_args();
        let specs = command.row.keys.iter();
        let positions = specs.flat_map(|spec| spec.positions(&given));
        let shards: SmallVec<[u32; 8]> =
            positions.map(|i| self.keyspace.shard_of(given.get(i))).collect();
        let waiter = Waiter {
            info: Arc::clone(&session.info),
            user: Arc::clone(&session.user),
            free_at: session.free_at,
            command,
            args,
            keys: wait.keys,
            wants: wait.wants,
            db: session.db,
            proto: session.proto,
            no_touch: session.no_touch,
            silent: matches!(session.reply, ReplyMode::Off | ReplyMode::Skip),
        };
        let ticket = Ticket::new(shards, wait.wants == Wants::Group, waiter);
        let waiter: &Waiter = ticket.content();
        for i in &waiter.keys {
            let key = waiter.args.as_args().get(*i);
            held.shard_mut(self.keyspace.shard_of(key)).wait(waiter.db, key, &ticket);
        }
        *session.info.ticket.lock() = Some(Arc::clone(&ticket));
        session.ticket = Some(ticket);
        self.blocked.fetch_add(1, Ordering::Relaxed);
        wait.timeout_ms
    }

    /// Takes a ticket out of the queues. Its shards must be held for writing.
    fn end_waiting(&self, held: &mut Held<'_>, ticket: &Arc<Ticket>) {
        let waiter: &Waiter = ticket.content();
        for i in &waiter.keys {
            let key = waiter.args.as_args().get(*i);
            held.shard_mut(self.keyspace.shard_of(key)).wait_no_longer(waiter.db, key, ticket);
        }
        ticket.end();
        *waiter.info.ticket.lock() = None;
        self.blocked.fetch_sub(1, Ordering::Relaxed);
    }

    /// Serves those who wait for keys that `writer` (a client, 0 for nobody) has changed, tells those who track them, and sets aside what takes long to free. The shards must be held
    /// for writing, and widened.
    #[cold]
    pub(crate) fn clear_up<'e>(&'e self, worker: &mut Worker, held: &mut Held<'e>, writer: u64) {
        loop {
            let ready = held.take_ready();
            if ready.is_empty() {
                break;
            }
            // What was changed may have expired since the batch began.
            worker.set_time(self.clock.unix_us().max(worker.now_us));
            for key in ready {
                self.serve(worker, held, &key);
            }
        }
        let changed = held.take_reported();
        if !changed.is_empty() {
            self.invalidate(&mut worker.outbox, &changed, writer);
        }
        let values = held.take_garbage();
        if !values.is_empty() {
            self.lazily_freed.fetch_add(values.len() as u64, Ordering::Relaxed);
            self.host.discard(Garbage { values, ..Garbage::default() });
        }
    }

    /// Serves those who wait for keys of a shard that something else than a command has changed.
    #[cold]
    pub(crate) fn clear_up_shard(&self, worker: &mut Worker, shard: u32) {
        let held = self.keyspace.hold_one_unless_busy(shard, Mode::Write);
        let Some(mut held) = held.and_then(Held::widened) else { return };
        self.clear_up(worker, &mut held, 0);
        self.seal(worker, &mut held);
    }

    fn serve<'e>(&'e self, worker: &mut Worker, held: &mut Held<'e>, ready: &ReadyKey) {
        let key = self.keyspace.key(&ready.key);
        for ticket in held.shard(key.shard).waiting_for(ready.db, &ready.key) {
            let waiter: &Waiter = ticket.content();
            let found = match held.shard(key.shard).db(ready.db).find(&key, worker.now_ms) {
                Found::Live(entry) => Some(entry),
                Found::Expired | Found::Missing => None,
            };
            // It may have been served for another key meanwhile.
            if ticket.is_over() || !waiter.wants.are_met_by(found) {
                continue;
            }
            if let Some(reply) = self.try_again(worker, held, waiter, &ready.key) {
                self.end_waiting(held, &ticket);
                worker.outbox.push(delivery(waiter, &reply));
            }
        }
    }

    /// Executes a waiting command again. Returns its reply, `None` if it still has to wait.
    fn try_again<'e>(
        &'e self,
        worker: &mut Worker,
        held: &mut Held<'e>,
        waiter: &Waiter,
        key: &[u8],
    ) -> Option<Out> {
        let args = waiter.args.as_args();
        let (info, user) = (Arc::clone(&waiter.info), Arc::clone(&waiter.user));
        let mut session = Session::standing_in(info, waiter.proto, waiter.db, user);
        session.no_touch = waiter.no_touch;
        session.ready_key = waiter.keys.iter().copied().find(|i| args.get(*i) == key);
        let mut out = Out::default();
        out.proto = waiter.proto;
        let (command, session) = (waiter.command, &mut session);
        // What its user may do can have changed while it waited.
        if waiter.free_at != worker.users_version
            && let Err(error) = self.check_rights(worker, session, command, &args)
        {
            if session.closing {
                return None;
            }
            worker.stats.command(command.id).rejected.add(1);
            worker.stats.count_error(error.code());
            out.error(error.as_bytes());
            return Some(out);
        }
        let start = self.clock.monotonic_ns();
        worker.effects.end_unit();
        let (outcome, _) =
            run(self, worker, session, held, command, args, KeyHashes::NONE, &mut out);
        if session.wait.is_some() {
            return None;
        }
        self.account(worker, session, command, &args, start, self.clock.monotonic_ns());
        if let Err(error) = outcome {
            worker.stats.command(command.id).failed.add(1);
            out.clear();
            out.error(error.as_bytes());
            worker.stats.count_error(error.code());
        }
        Some(out)
    }

    /// Ends the wait of a client whose time is over, and replies. Returns whether it was still waiting; if not, its
    /// reply is on its way, or a script keeps what is needed for too long ([`Self::is_busy`]): then it is to be tried again.
    pub fn time_out(&self, worker: &mut Worker, session: &mut Session, out: &mut Out) -> bool {
        let Some(ticket) = session.ticket.clone() else { return false };
        let waiter: &Waiter = ticket.content();
        if self.cancel(&ticket) != Some(true) {
            return false;
        }
        session.ticket = None;
        worker.record(waiter.command.id, 0, 1);
        if !waiter.silent {
            out.proto = waiter.proto;
            out.null_array();
        }
        true
    }

    /// Takes a client that goes out of the queues.
    pub(crate) fn forget_waiting(&self, session: &mut Session) {
        if let Some(ticket) = session.ticket.take()
            && self.cancel(&ticket).is_none()
        {
            self.forget_later(Forgotten::Ticket(ticket));
        }
    }

    /// Ends a wait, locking the shards for it: none may be held. Returns whether it was not over yet; `None` if a script
    /// keeps a shard for too long, and nothing was done.
    pub(crate) fn cancel(&self, ticket: &Arc<Ticket>) -> Option<bool> {
        let shards = ticket.shards().iter().copied().collect();
        let mut held = self.keyspace.hold_unless_busy(shards, Mode::Write)?;
        Some(self.cancel_held(&mut held, ticket))
    }

    fn cancel_held(&self, held: &mut Held<'_>, ticket: &Arc<Ticket>) -> bool {
        let waiting = !ticket.is_over();
        if waiting {
            self.end_waiting(held, ticket);
        }
        waiting
    }

    /// CLIENT UNBLOCK: ends the wait of another client. `held` holds nothing, or everything. Returns whether the client
    /// was waiting. Its command counts as called then.
    pub(crate) fn unblock(
        &self,
        held: &mut Held<'_>,
        outbox: &mut Vec<Delivery>,
        stats: &ThreadStats,
        client: &ClientInfo,
        how: GivenUp,
    ) -> bool {
        let Some(ticket) = client.ticket.lock().clone() else { return false };
        let waiting = if held.is_nothing() {
            self.cancel(&ticket) == Some(true)
        } else {
            self.cancel_held(held, &ticket)
        };
        if waiting {
            let waiter: &Waiter = ticket.content();
            let mut out = Out::default();
            out.proto = waiter.proto;
            let counted = stats.command(waiter.command.id);
            counted.calls.add(1);
            stats.counters.commands.add(1);
            match how {
                GivenUp::TimedOut => out.null_array(),
                GivenUp::Unblocked => {
                    counted.failed.add(1);
                    stats.count_error(Error::UNBLOCKED.code());
                    out.error(Error::UNBLOCKED.as_bytes());
                }
            }
            outbox.push(delivery(waiter, &out));
        }
        waiting
    }
}

/// The reply of a command that has waited, on its way to its client.
fn delivery(waiter: &Waiter, reply: &Out) -> Delivery {
    let bytes = if waiter.silent { Vec::new() } else { reply.to_vec() };
    let message = Message::Unblocked(bytes.into());
    Delivery { thread: waiter.info.thread, client: waiter.info.id, message }
}
