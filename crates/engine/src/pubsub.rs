//! Pub/Sub: who listens to what, and how a message finds its way.
//!
//! Two tables, so that a message costs one letter per thread and not one per subscriber. [`PubSub`], shared by all
//! threads, knows for each channel and pattern how many clients of each thread listen to it: that gives PUBLISH its
//! reply and the message its addressees. [`Listeners`], one for each thread, knows the clients. A message is encoded
//! once for each protocol version, whoever gets it.
//!
//! A message is handed over while the registry is locked for reading: the messages of one publisher, and the events of
//! one key, arrive in their order. A client that has just unsubscribed is no longer among its thread's listeners when
//! the letter is opened.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use respire_datatypes::glob;
use respire_resp::{Out, Proto};

use crate::engine::Engine;
use crate::host::Host;
use crate::notify::Classes;

/// What a client subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Channel = 0,
    Pattern = 1,
    Shard = 2,
}

impl Topic {
    pub(crate) const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];

    /// The first word of a message.
    fn message(self) -> &'static [u8] {
        match self {
            Self::Channel => b"message",
            Self::Pattern => b"pmessage",
            Self::Shard => b"smessage",
        }
    }
}

/// What is published, shared by the messages that it becomes.
#[derive(Debug)]
struct Content {
    channel: Box<[u8]>,
    message: Box<[u8]>,
}

/// A message for the listeners of one channel or pattern.
#[derive(Debug)]
pub struct Published {
    topic: Topic,
    /// The channel or pattern that was subscribed to.
    name: Box<[u8]>,
    content: Arc<Content>,
    encoded: [OnceLock<Arc<[u8]>>; 2],
}

impl Published {
    fn new(topic: Topic, name: &[u8], content: &Arc<Content>) -> Arc<Self> {
        let content = Arc::clone(content);
        Arc::new(Self { topic, name: name.into(), content, encoded: Default::default() })
    }

    /// Whether both are for the same clients, of any one thread.
    pub fn goes_with(&self, other: &Self) -> bool {
        self.topic == other.topic && self.name == other.name
    }

    /// About the bytes of the message in wire format.
    pub fn size(&self) -> usize {
        const AROUND: usize = 48;
        self.name.len() + self.content.channel.len() + self.content.message.len() + AROUND
    }

    /// Messages for the same clients, in wire format.
    pub fn joined(messages: &[Arc<Self>], proto: Proto) -> Arc<[u8]> {
        match messages {
            [only] => Arc::clone(only.encoded(proto)),
            _ => {
                let encoded: Vec<&[u8]> =
                    messages.iter().map(|message| &**message.encoded(proto)).collect();
                encoded.concat().into()
            }
        }
    }

    /// The message in wire format.
    pub fn encoded(&self, proto: Proto) -> &Arc<[u8]> {
        let version = usize::from(proto == Proto::Resp3);
        self.encoded[version].get_or_init(|| {
            let mut out = Out::default();
            out.proto = proto;
            out.push(if self.topic == Topic::Pattern { 4 } else { 3 });
            out.bulk(self.topic.message());
            if self.topic == Topic::Pattern {
                out.bulk(&self.name);
            }
            out.bulk(&self.content.channel);
            out.bulk(&self.content.message);
            out.to_vec().into()
        })
    }
}

/// How many clients of each thread listen, threads without any left out.
type Counts = Vec<(usize, usize)>;

fn clients(counts: &Counts) -> usize {
    counts.iter().map(|(_, clients)| clients).sum()
}

/// All channels and patterns that anybody listens to.
#[derive(Debug, Default)]
pub struct PubSub {
    /// By topic. In order, so that patterns match in an order that does not change.
    names: [RwLock<BTreeMap<Box<[u8]>, Counts>>; 3],
    /// Names in all three: one load is all that a publisher pays when nobody listens.
    used: AtomicUsize,
}

impl PubSub {
    /// Notes that one more client of `thread` listens.
    pub(crate) fn add(&self, topic: Topic, name: &[u8], thread: usize) {
        let mut names = self.names[topic as usize].write();
        let counts = names.entry(name.into()).or_insert_with(|| {
            self.used.fetch_add(1, Ordering::Relaxed);
            Counts::new()
        });
        match counts.iter_mut().find(|(of, _)| *of == thread) {
            Some((_, clients)) => *clients += 1,
            None => counts.push((thread, 1)),
        }
    }

    /// Notes that one client of `thread` less listens.
    pub(crate) fn remove(&self, topic: Topic, name: &[u8], thread: usize) {
        let mut names = self.names[topic as usize].write();
        let Some(counts) = names.get_mut(name) else { return };
        if let Some((_, clients)) = counts.iter_mut().find(|(of, _)| *of == thread) {
            *clients -= 1;
        }
        counts.retain(|(_, clients)| *clients > 0);
        if counts.is_empty() {
            names.remove(name);
            self.used.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sends a message to those who listen to `channel`, and to a pattern that matches it. Returns how many.
    pub(crate) fn publish(
        &self,
        host: &dyn Host,
        topic: Topic,
        channel: &[u8],
        message: &[u8],
    ) -> usize {
        if self.used.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let content = Arc::new(Content { channel: channel.into(), message: message.into() });
        let send = |topic, name: &[u8], counts: &Counts| {
            let published = Published::new(topic, name, &content);
            for (thread, _) in counts {
                host.publish(*thread, Arc::clone(&published));
            }
            clients(counts)
        };
        let mut receivers = 0;
        if let Some(counts) = self.names[topic as usize].read().get(channel) {
            receivers += send(topic, channel, counts);
        }
        if topic == Topic::Channel {
            let patterns = self.names[Topic::Pattern as usize].read();
            for (pattern, counts) in patterns.iter() {
                if glob::matches(pattern, channel, false) {
                    receivers += send(Topic::Pattern, pattern, counts);
                }
            }
        }
        receivers
    }

    /// The names that anybody listens to.
    pub(crate) fn names(&self, topic: Topic) -> Vec<Box<[u8]>> {
        self.names[topic as usize].read().keys().cloned().collect()
    }

    /// How many names anybody listens to.
    pub(crate) fn len(&self, topic: Topic) -> usize {
        self.names[topic as usize].read().len()
    }

    /// How many clients listen to a name.
    pub(crate) fn listeners(&self, topic: Topic, name: &[u8]) -> usize {
        self.names[topic as usize].read().get(name).map_or(0, clients)
    }
}

/// The clients of one thread that listen.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    names: [HashMap<Box<[u8]>, Vec<u64>, ahash::RandomState>; 3],
}

impl Listeners {
    pub(crate) fn add(&mut self, topic: Topic, name: &[u8], client: u64) {
        self.names[topic as usize].entry(name.into()).or_default().push(client);
    }

    pub(crate) fn remove(&mut self, topic: Topic, name: &[u8], client: u64) {
        let names = &mut self.names[topic as usize];
        let Some(clients) = names.get_mut(name) else { return };
        clients.retain(|of| *of != client);
        if clients.is_empty() {
            names.remove(name);
        }
    }

    /// The clients that a message is for.
    pub(crate) fn of(&self, published: &Published) -> &[u64] {
        let names = &self.names[published.topic as usize];
        names.get(&published.name).map_or(&[], Vec::as_slice)
    }
}

/// What one client listens to, in the order of its subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    names: [Vec<Box<[u8]>>; 3],
}

impl Subscriptions {
    pub(crate) fn len(&self, topic: Topic) -> usize {
        self.names[topic as usize].len()
    }

    /// What the reply to a subscription counts: sharded channels by themselves, the others together.
    pub(crate) fn counted(&self, topic: Topic) -> usize {
        match topic {
            Topic::Shard => self.len(topic),
            Topic::Channel | Topic::Pattern => self.len(Topic::Channel) + self.len(Topic::Pattern),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.iter().all(Vec::is_empty)
    }

    /// Returns whether the name is new.
    pub(crate) fn add(&mut self, topic: Topic, name: &[u8]) -> bool {
        let names = &mut self.names[topic as usize];
        let new = !names.iter().any(|known| **known == *name);
        if new {
            names.push(name.into());
        }
        new
    }

    /// Returns whether the name was there.
    pub(crate) fn remove(&mut self, topic: Topic, name: &[u8]) -> bool {
        let names = &mut self.names[topic as usize];
        let at = names.iter().position(|known| **known == *name);
        at.map(|at| names.remove(at)).is_some()
    }

    pub(crate) fn names(&self, topic: Topic) -> Vec<Box<[u8]>> {
        self.names[topic as usize].clone()
    }

    pub(crate) fn memory(&self) -> usize {
        let names = self.names.iter().flatten();
        names.map(|name| name.len() + size_of::<Box<[u8]>>()).sum()
    }
}

impl Engine {
    /// Publishes an event of a key.
    #[cold]
    pub(crate) fn notify(&self, class: Classes, event: &str, db: usize, key: &[u8]) {
        let wanted = self.config.load().notify_keyspace_events;
        if !wanted.contains(class) {
            return; // switched off a moment ago
        }
        let send = |kind: &str, about: &[u8], message: &[u8]| {
            let mut channel = format!("__{kind}@{db}__:").into_bytes();
            channel.extend_from_slice(about);
            self.pubsub.publish(&*self.host, Topic::Channel, &channel, message);
        };
        if wanted.contains(Classes::KEYSPACE) {
            send("keyspace", key, event.as_bytes());
        }
        if wanted.contains(Classes::KEYEVENT) {
            send("keyevent", event.as_bytes(), key);
        }
    }
}
