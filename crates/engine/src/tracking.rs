//! Client-side caching: which client has read which key, and who is told when the key changes.
//!
//! A key is remembered while its shard is still held by the command that read it, and a change reports its key while
//! it still holds the shard: no change is missed between a read and its being remembered. Keys are remembered by name
//! only, whatever their database, as clients expect.
//!
//! Lock order: the tables and the prefixes are taken under shards, one at a time, with nothing under them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use respire_keyspace::fnv1a;
use respire_resp::{Args, Out, Proto};

use crate::client::{ClientInfo, ClientKind};
use crate::command::{Flags, Row};
use crate::engine::Engine;
use crate::session::Session;
use crate::worker::{Delivery, Message};

/// The channel on which clients of the old protocol are told.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// What CLIENT TRACKING asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrackingMode {
    /// Keys are told by prefix, whoever has read them.
    pub(crate) broadcast: bool,
    pub(crate) prefixes: Vec<Box<[u8]>>,
    /// Only keys read by a command behind CLIENT CACHING YES are remembered.
    pub(crate) opt_in: bool,
    /// Keys read by a command behind CLIENT CACHING NO are not remembered.
    pub(crate) opt_out: bool,
    /// The client is not told of its own changes.
    pub(crate) no_loop: bool,
    /// The client that is told instead; 0 for none.
    pub(crate) redirect: u64,
    /// CLIENT CACHING was called: the next command counts, or does not.
    pub(crate) caching: bool,
}

impl TrackingMode {
    /// Bytes of memory that the prefixes take, here and in the table of all.
    pub(crate) fn memory(&self) -> usize {
        /// About what the table needs for each beside the name.
        const IN_TABLE: usize = 64;
        let names = self.prefixes.iter().map(|prefix| 2 * prefix.len());
        names.sum::<usize>() + self.prefixes.len() * (size_of::<Box<[u8]>>() + IN_TABLE)
    }
}

/// What others have to know of a client that tracks.
#[derive(Debug)]
struct Follower {
    info: Arc<ClientInfo>,
    no_loop: bool,
    broadcast: bool,
    redirect: u64,
}

/// Who has read a key: numbers of clients, which may be gone.
type Readers = Vec<u64>;

type Table = HashMap<Box<[u8]>, Readers, ahash::RandomState>;

const TABLES: usize = 16;

/// All that is tracked.
#[derive(Debug, Default)]
pub struct Tracking {
    followers: RwLock<HashMap<u64, Follower>>,
    tables: [Mutex<Table>; TABLES],
    keys: AtomicUsize,
    items: AtomicUsize,
    prefixes: RwLock<BTreeMap<Box<[u8]>, Vec<u64>>>,
    /// The table that gives up a key next where there are too many.
    next_victim: AtomicU64,
}

impl Tracking {
    /// Clients that track.
    pub(crate) fn clients(&self) -> usize {
        self.followers.read().len()
    }

    /// Keys that are remembered.
    pub(crate) fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Pairs of a key and a client that has read it.
    pub(crate) fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    pub(crate) fn prefixes(&self) -> usize {
        self.prefixes.read().len()
    }

    /// Begins to track for a client, or changes how. Returns whether it is the first.
    pub(crate) fn follow(&self, info: &Arc<ClientInfo>, mode: &TrackingMode) -> bool {
        let follower = Follower {
            info: Arc::clone(info),
            no_loop: mode.no_loop,
            broadcast: mode.broadcast,
            redirect: mode.redirect,
        };
        let mut followers = self.followers.write();
        followers.insert(info.id, follower);
        let first = followers.len() == 1;
        drop(followers);
        let mut prefixes = self.prefixes.write();
        for prefix in mode.prefixes.iter().filter(|_| mode.broadcast) {
            let clients = prefixes.entry(prefix.clone()).or_default();
            if !clients.contains(&info.id) {
                clients.push(info.id);
            }
        }
        first
    }

    /// Tracks for a client no longer. What it has read stays in the tables until it changes. Returns whether it was the
    /// last.
    pub(crate) fn unfollow(&self, client: u64) -> bool {
        self.prefixes.write().retain(|_, clients| {
            clients.retain(|of| *of != client);
            !clients.is_empty()
        });
        let mut followers = self.followers.write();
        let was = followers.remove(&client).is_some();
        let last = was && followers.is_empty();
        drop(followers);
        if last {
            self.forget_all();
        }
        last
    }

    fn forget_all(&self) {
        for table in &self.tables {
            table.lock().clear();
        }
        self.keys.store(0, Ordering::Relaxed);
        self.items.store(0, Ordering::Relaxed);
    }

    fn table(&self, key: &[u8]) -> &Mutex<Table> {
        &self.tables[fnv1a(key) as usize % TABLES]
    }

    /// Remembers that a client has read a key.
    fn remember(&self, key: &[u8], client: u64) {
        let mut table = self.table(key).lock();
        let readers = match table.get_mut(key) {
            Some(readers) => readers,
            None => {
                self.keys.fetch_add(1, Ordering::Relaxed);
                table.entry(key.into()).or_default()
            }
        };
        if !readers.contains(&client) {
            readers.push(client);
            self.items.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes those who have read a key.
    fn take(&self, key: &[u8]) -> Readers {
        let Some(readers) = self.table(key).lock().remove(key) else { return Readers::new() };
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.items.fetch_sub(readers.len(), Ordering::Relaxed);
        readers
    }

    /// Some key that is remembered.
    fn any_key(&self) -> Option<Box<[u8]>> {
        let start = self.next_victim.fetch_add(1, Ordering::Relaxed) as usize;
        let mut tables = (start..start + TABLES).map(|at| &self.tables[at % TABLES]);
        tables.find_map(|table| table.lock().keys().next().cloned())
    }

    /// Tells a client, or the one that it has redirected to, what the news are.
    fn tell(&self, engine: &Engine, outbox: &mut Vec<Delivery>, id: u64, news: &mut News<'_>) {
        let followers = self.followers.read();
        let Some(follower) = followers.get(&id) else { return };
        let mut to = Arc::clone(&follower.info);
        let redirected = follower.redirect != 0;
        if redirected {
            match engine.clients.get(follower.redirect) {
                Some(target) => to = target,
                None => {
                    let broken = broken_redirection(follower.redirect);
                    if follower.info.resp.load(Ordering::Relaxed) == 3 {
                        outbox.push(push(&follower.info, broken.to_vec().into()));
                    }
                    return;
                }
            }
        }
        let new_protocol = to.resp.load(Ordering::Relaxed) == 3;
        if new_protocol || (redirected && to.kind() == ClientKind::Pubsub) {
            outbox.push(push(&to, news.text(new_protocol)));
        }
    }

    /// Whether a client gets its messages by prefix: what it has read before it chose so no longer counts.
    fn broadcasts_to(&self, client: u64) -> bool {
        self.followers.read().get(&client).is_some_and(|own| own.broadcast)
    }

    fn skips(&self, client: u64, writer: u64) -> bool {
        client == writer && self.followers.read().get(&client).is_some_and(|own| own.no_loop)
    }
}

/// What clients are told: that some keys have changed, or that all may have if there is no list. However many are told, there is
/// one text for each protocol.
struct News<'a> {
    keys: Option<&'a [&'a [u8]]>,
    texts: [Option<Arc<[u8]>>; 2],
}

impl<'a> News<'a> {
    fn of(keys: Option<&'a [&'a [u8]]>) -> Self {
        Self { keys, texts: [None, None] }
    }

    fn text(&mut self, new_protocol: bool) -> Arc<[u8]> {
        let text = self.texts[usize::from(new_protocol)]
            .get_or_insert_with(|| invalidation(new_protocol, self.keys).to_vec().into());
        Arc::clone(text)
    }
}

fn push(to: &ClientInfo, text: Arc<[u8]>) -> Delivery {
    Delivery { thread: to.thread, client: to.id, message: Message::Push(text) }
}

fn broken_redirection(target: u64) -> Out {
    let mut out = Out::default();
    out.proto = Proto::Resp3;
    out.push(2);
    out.bulk(b"tracking-redir-broken");
    out.int(target as i64);
    out
}

fn invalidation(new_protocol: bool, keys: Option<&[&[u8]]>) -> Out {
    let mut out = Out::default();
    if new_protocol {
        out.proto = Proto::Resp3;
        out.push(2);
        out.bulk(b"invalidate");
    } else {
        out.array(3);
        out.bulk(b"message");
        out.bulk(CHANNEL);
    }
    match keys {
        Some(keys) => {
            out.array(keys.len());
            keys.iter().for_each(|key| out.bulk(key));
        }
        None => out.null(),
    }
    out
}

impl Engine {
    /// Remembers the keys of a command that has read them, for the client that tracks. The shards must still be held.
    #[cold]
    pub(crate) fn remember_keys(
        &self,
        session: &mut Session,
        outbox: &mut Vec<Delivery>,
        row: &Row,
        args: &Args<'_>,
    ) {
        let Some(mode) = &session.tracking else { return };
        let wanted = match (mode.opt_in, mode.opt_out) {
            (true, _) => mode.caching,
            (_, true) => !mode.caching,
            _ => true,
        };
        if mode.broadcast || !wanted || !row.has(Flags::READONLY) {
            return;
        }
        for spec in row.keys {
            for i in spec.positions(args) {
                self.tracking.remember(args.get(i), session.info.id);
            }
        }
        self.limit_tracking(outbox);
    }

    /// Forgets keys where more are remembered than configured, and tells of them.
    pub(crate) fn limit_tracking(&self, outbox: &mut Vec<Delivery>) {
        let max = self.config.load().tracking_table_max_keys as usize;
        while max > 0 && self.tracking.keys() > max {
            let Some(key) = self.tracking.any_key() else { break };
            let keys: [&[u8]; 1] = [&key];
            let mut news = News::of(Some(&keys));
            for client in self.tracking.take(&key) {
                self.tracking.tell(self, outbox, client, &mut news);
            }
        }
    }

    /// Tells of keys that a client has changed; 0 stands for nobody. The shards must still be held.
    #[cold]
    pub(crate) fn invalidate(&self, outbox: &mut Vec<Delivery>, keys: &[Box<[u8]>], writer: u64) {
        let tracking = &self.tracking;
        for key in keys {
            let keys: [&[u8]; 1] = [key];
            let mut news = News::of(Some(&keys));
            for client in tracking.take(key) {
                if !tracking.skips(client, writer) && !tracking.broadcasts_to(client) {
                    tracking.tell(self, outbox, client, &mut news);
                }
            }
        }
        for (prefix, clients) in tracking.prefixes.read().iter() {
            let matching: Vec<&[u8]> =
                keys.iter().map(|key| &**key).filter(|key| key.starts_with(prefix)).collect();
            let mut news = News::of(Some(&matching));
            for client in clients.iter().filter(|_| !matching.is_empty()) {
                if !tracking.skips(*client, writer) {
                    tracking.tell(self, outbox, *client, &mut news);
                }
            }
        }
    }

    /// Tells all clients that track that every key may have changed.
    pub(crate) fn invalidate_all(&self, outbox: &mut Vec<Delivery>) {
        let followers: Vec<u64> = self.tracking.followers.read().keys().copied().collect();
        let mut news = News::of(None);
        for client in followers {
            self.tracking.tell(self, outbox, client, &mut news);
        }
        self.tracking.forget_all();
    }
}
