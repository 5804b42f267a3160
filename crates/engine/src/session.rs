//! The state of one connection, or of one in-process user of the engine. It belongs to one thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use respire_resp::Proto;

use crate::client::{ClientInfo, DEFAULT_USER};
use crate::engine::Engine;
use crate::multi::Transaction;
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
    /// The connection is to be closed once what was replied is sent.
    pub closing: bool,
    pub(crate) db: usize,
    pub(crate) reply: ReplyMode,
    pub(crate) no_touch: bool,
    pub(crate) transaction: Transaction,
    pub(crate) in_exec: bool,
}

impl Session {
    /// A session for a client that has just come. It needs no password if none is required.
    pub fn new(engine: &Engine, info: Arc<ClientInfo>) -> Self {
        engine.clients.add(&info);
        Self {
            authenticated: engine.config.load().requirepass.is_empty(),
            info,
            proto: Proto::Resp2,
            closing: false,
            db: 0,
            reply: ReplyMode::On,
            no_touch: false,
            transaction: Transaction::default(),
            in_exec: false,
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
    pub(crate) fn reset(&mut self, engine: &Engine) {
        self.discard(engine);
        engine.clients.set_monitor(&self.info, false);
        self.select(0);
        self.set_proto(Proto::Resp2);
        self.set_no_touch(false);
        self.info.no_evict.store(false, Ordering::Relaxed);
        self.reply = ReplyMode::On;
        self.authenticated = engine.config.load().requirepass.is_empty();
        let mut names = self.info.names.lock();
        names.name = Vec::new();
        names.user = DEFAULT_USER.to_vec();
    }

    pub(crate) fn set_no_touch(&mut self, on: bool) {
        self.no_touch = on;
        self.info.no_touch.store(on, Ordering::Relaxed);
    }

    /// Bytes of memory held beside the session itself.
    pub fn memory(&self) -> usize {
        self.transaction.memory()
    }

    /// Takes the client out of everything that it is in. Must be called when the client is gone.
    pub fn end(&mut self, engine: &Engine) {
        self.unwatch(engine);
        engine.clients.remove(&self.info);
    }
}
