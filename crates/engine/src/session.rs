//! The state of one connection, or of one in-process user of the engine. It belongs to one thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use respire_keyspace::{Held, Mode, Ticket};
use respire_resp::Proto;

use crate::acl::User;
use crate::blocking::Wait;
use crate::client::ClientInfo;
use crate::engine::Engine;
use crate::multi::Transaction;
use crate::pubsub::{Listeners, Subscriptions, Topic};
use crate::tracking::TrackingMode;
use crate::worker::Worker;

/// What CLIENT REPLY asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    On,
    Off,
    /// Nothing for this command and the next: CLIENT REPLY SKIP itself is not answered either.
    SkipNext,
    Skip,
}

/// One user of the engine.
pub struct Session {
    pub info: Arc<ClientInfo>,
    pub proto: Proto,
    pub authenticated: bool,
    /// Who the client is, as far as it has been noticed; see `user_version`.
    pub(crate) user: Arc<User>,
    /// The version of the users at which `user` was what it is; 0 if that is to be found out.
    pub(crate) user_version: u64,
    /// The version of the users at which the client was found to be allowed everything; 0 if it is not.
    pub(crate) free_at: u64,
    /// The connection is to be closed once what was replied is sent.
    pub closing: bool,
    pub(crate) db: usize,
    pub(crate) reply: ReplyMode,
    pub(crate) no_touch: bool,
    pub(crate) transaction: Transaction,
    /// Several commands are executed as one: by EXEC, or by a script.
    pub(crate) in_exec: bool,
    /// It is the session of a script.
    pub(crate) in_script: bool,
    /// What it does is not written to the append-only file: `redis.set_repl`.
    pub(crate) unlogged: bool,
    /// What the client listens to; `None` while that is nothing.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// How the client's keys are tracked, if they are.
    pub(crate) tracking: Option<Box<TrackingMode>>,
    /// The EXEC at hand is to be executed again, in a while: nothing has happened yet.
    pub(crate) postponed: bool,
    /// The command at hand has to wait.
    pub(crate) wait: Option<Box<Wait>>,
    /// The client's place in the queues, while it waits.
    pub(crate) ticket: Option<Arc<Ticket>>,
    /// The position of the key that has changed, where a command that was waiting is executed again.
    pub(crate) ready_key: Option<usize>,
}

impl Session {
    /// A session for a client that has just come. It needs no password if none is required.
    pub fn new(engine: &Engine, info: Arc<ClientInfo>) -> Self {
        engine.clients.add(&info);
        let mut session = Self::standing_in(info, Proto::Resp2, 0, engine.acl.default_user());
        session.authenticated = session.user.is_open();
        session
    }

    /// A session that executes one command on behalf of a client that is listed already, and is `user`.
    pub(crate) fn standing_in(
        info: Arc<ClientInfo>,
        proto: Proto,
        db: usize,
        user: Arc<User>,
    ) -> Self {
        Self {
            authenticated: true,
            user,
            user_version: 0,
            free_at: 0,
            info,
            proto,
            closing: false,
            db,
            reply: ReplyMode::On,
            no_touch: false,
            transaction: Transaction::default(),
            in_exec: false,
            in_script: false,
            unlogged: false,
            subscriptions: None,
            tracking: None,
            postponed: false,
            wait: None,
            ticket: None,
            ready_key: None,
        }
    }

    /// A session for a user inside this program, without a connection, on the thread of `worker`.
    pub fn local(engine: &Engine, worker: &Worker) -> Self {
        const NOWHERE: &str = "127.0.0.1:0";
        let id = engine.clients.next_id();
        let mut info =
            ClientInfo::new(id, NOWHERE.into(), NOWHERE.into(), -1, false, worker.now_ms);
        info.thread = worker.thread;
        Self::new(engine, Arc::new(info))
    }

    /// Whether the client waits for the reply to its last command, and must not be given another one.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        self.ticket.is_some()
    }

    /// Takes notice that the reply has come.
    pub fn unblocked(&mut self) {
        self.ticket = None;
    }

    pub fn db(&self) -> usize {
        self.db
    }

    pub(crate) fn select(&mut self, db: usize) {
        self.db = db;
        self.info.db.store(db as u32, Ordering::Relaxed);
    }

    pub(crate) fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
        self.info.resp.store(proto.number() as u32, Ordering::Relaxed);
    }

    /// Whether the client is shown what others do.
    pub fn is_monitor(&self) -> bool {
        self.info.monitor.load(Ordering::Relaxed)
    }

    /// RESET: as a client that has just come, but for the library that it says to be.
    pub(crate) fn reset(&mut self, engine: &Engine, listeners: &mut Listeners) {
        self.discard(engine);
        self.unsubscribe_all(engine, listeners);
        self.leave_tracking(engine);
        engine.clients.set_monitor(&self.info, false);
        self.select(0);
        self.set_proto(Proto::Resp2);
        self.set_no_touch(false);
        self.info.no_evict.store(false, Ordering::Relaxed);
        self.reply = ReplyMode::On;
        self.become_newcomer(engine);
        self.info.names.lock().name = Vec::new();
    }

    pub(crate) fn set_no_touch(&mut self, on: bool) {
        self.no_touch = on;
        self.info.no_touch.store(on, Ordering::Relaxed);
    }

    /// Bytes of memory held beside the session itself.
    pub fn memory(&self) -> usize {
        let subscriptions = self.subscriptions.as_ref().map_or(0, |own| own.memory());
        let tracking = self.tracking.as_ref().map_or(0, |mode| mode.memory());
        self.transaction.memory() + subscriptions + tracking
    }

    /// Whether the client may only change its subscriptions: in the old protocol, messages could not be told from
    /// replies otherwise.
    #[inline]
    pub(crate) fn only_listens(&self) -> bool {
        self.subscriptions.is_some() && self.proto == Proto::Resp2
    }

    /// Whether what the client does may cause a message to itself.
    #[inline]
    pub fn hears(&self) -> bool {
        self.subscriptions.is_some() || self.tracking.is_some()
    }

    /// Ends a subscription, if it is one.
    pub(crate) fn unsubscribe(
        &mut self,
        engine: &Engine,
        listeners: &mut Listeners,
        topic: Topic,
        name: &[u8],
    ) {
        if self.subscriptions.as_mut().is_some_and(|own| own.remove(topic, name)) {
            engine.pubsub.remove(topic, name, self.info.thread);
            listeners.remove(topic, name, self.info.id);
        }
    }

    /// As [`Self::track_no_longer`]. The caller must hold no shard.
    fn leave_tracking(&mut self, engine: &Engine) {
        if self.tracking.is_none() {
            return;
        }
        match engine.keyspace.hold_all_unless_busy(Mode::Write) {
            Some(mut held) => self.track_no_longer(engine, &mut held),
            None => {
                // Shards that report changes without need are no harm; who tracks next knows them so.
                self.tracking = None;
                self.info.tracking.store(false, Ordering::Relaxed);
                engine.tracking.unfollow(self.info.id);
            }
        }
    }

    /// Tracks keys no longer. `held` holds all shards, for writing.
    pub(crate) fn track_no_longer(&mut self, engine: &Engine, held: &mut Held<'_>) {
        if self.tracking.take().is_none() {
            return;
        }
        self.info.tracking.store(false, Ordering::Relaxed);
        if engine.tracking.unfollow(self.info.id) {
            for shard in 0..engine.keyspace.shard_count() as u32 {
                held.shard_mut(shard).report_changes(false);
            }
        }
    }

    fn unsubscribe_all(&mut self, engine: &Engine, listeners: &mut Listeners) {
        for topic in Topic::ALL {
            let names = self.subscriptions.as_ref().map_or_else(Vec::new, |own| own.names(topic));
            for name in names {
                self.unsubscribe(engine, listeners, topic, &name);
            }
        }
        self.publish_subscriptions();
    }

    /// Takes the client out of everything that it is in. Must be called when the client is gone.
    pub fn end(&mut self, engine: &Engine, worker: &mut Worker) {
        engine.forget_waiting(self);
        self.leave_tracking(engine);
        self.unwatch(engine);
        self.unsubscribe_all(engine, &mut worker.listeners);
        engine.clients.remove(&self.info);
    }
}
