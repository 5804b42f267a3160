//! What a command handler is given: its arguments, the reply buffer, the session, and the keyspace as far as its row
//! allows.

use std::sync::Arc;

use respire_datatypes::access;
use respire_datatypes::collection::{Collection, Kind};
use respire_journal::Effects;
use respire_keyspace::{EntryMut, EntryRef, Found, Hashed, Heap, Held, Key, NewValue, StrRef, Ttl};
use respire_resp::{Args, Out};

use crate::command::Command;
use crate::config::Settings;
use crate::dispatch::KeyHashes;
use crate::editing::Editing;
use crate::engine::Engine;
use crate::error::Error;
use crate::notify::Classes;
use crate::session::Session;

/// How the use of a key is noted, for LRU and LFU.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    Lru { clock: u32 },
    Lfu { minutes: u16, fraction: u32, decay: u32, log_factor: u32 },
}

impl Access {
    pub(crate) fn new(settings: &Settings, unix_us: i64) -> Self {
        let (unix_us, unix_seconds) = (unix_us as u64, unix_us / 1_000_000);
        // Only evictions ask for more than whole seconds or minutes; else what is read again soon is not written to.
        let fraction = |whole: u64| match settings.maxmemory {
            0 => 0,
            _ => access::fraction(unix_us % whole, whole),
        };
        if settings.maxmemory_policy.is_lfu() {
            Self::Lfu {
                minutes: access::lfu_minutes(unix_seconds as u64),
                fraction: fraction(60_000_000),
                decay: settings.lfu_decay_time,
                log_factor: settings.lfu_log_factor,
            }
        } else {
            Self::Lru { clock: access::lru_clock(unix_seconds as u64) | fraction(1_000_000) }
        }
    }

    /// Access data of a key that is created now.
    #[inline]
    pub(crate) fn of_new(self) -> u32 {
        match self {
            Self::Lru { clock } => clock,
            Self::Lfu { minutes, fraction, .. } => {
                access::lfu_pack(minutes, access::LFU_INITIAL) | fraction
            }
        }
    }
}

/// The keyspace under the locks of one command.
pub(crate) struct Data<'a, 'e> {
    pub(crate) held: &'a mut Held<'e>,
    pub(crate) db: usize,
    /// The time by which keys live and die, milliseconds. It stands still while effects are executed again.
    pub(crate) now_ms: i64,
    /// The time that the clock shows, microseconds.
    pub(crate) clock_us: i64,
    pub(crate) access: Access,
    /// Reads do not count as uses: CLIENT NO-TOUCH.
    pub(crate) no_touch: bool,
    pub(crate) rng: &'a mut fastrand::Rng,
    pub(crate) hits: u32,
    pub(crate) misses: u32,
    pub(crate) engine: &'e Engine,
    /// Events of keys that are published.
    pub(crate) classes: Classes,
    /// A key was found to be past its time under a read lock: the shards in which to delete it afterwards.
    pub(crate) saw_expired: bool,
}

impl<'e> Data<'_, 'e> {
    /// The time that relative times count from, Unix time in milliseconds.
    #[inline]
    pub(crate) fn clock_ms(&self) -> i64 {
        self.clock_us / 1000
    }

    /// Looks a key up for reading: counts a hit or a miss, and notes the use.
    #[inline]
    pub(crate) fn read(&mut self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        let no_touch = self.no_touch;
        self.lookup(key, no_touch)
    }

    /// Looks a key up for a command that tells about it: counts a hit or a miss, but no use.
    pub(crate) fn inspect(&mut self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        self.lookup(key, true)
    }

    /// Looks a key up for TOUCH: counts a hit or a miss, and notes the use even where reads do not count as uses.
    pub(crate) fn touch(&mut self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        self.lookup(key, false)
    }

    /// The entry of a key that has been looked up before: nothing is counted or noted. Several may be held at once.
    #[inline]
    pub(crate) fn peek(&self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        match self.held.shard(key.shard).db(self.db).find(key, self.now_ms) {
            Found::Live(entry) => Some(entry),
            Found::Expired | Found::Missing => None,
        }
    }

    #[inline]
    fn lookup(&mut self, key: &Key<'_>, no_touch: bool) -> Option<EntryRef<'_>> {
        let found = self.held.shard(key.shard).db(self.db).find(key, self.now_ms);
        match found {
            Found::Live(entry) => {
                self.hits += 1;
                if !no_touch {
                    note_use(entry, self.access, self.rng);
                }
                Some(entry)
            }
            Found::Expired => {
                self.misses += 1;
                self.saw_expired = true;
                None
            }
            Found::Missing => {
                self.misses += 1;
                if self.classes.contains(Classes::KEY_MISS) {
                    self.engine.notify(Classes::KEY_MISS, "keymiss", self.db, key.bytes);
                }
                None
            }
        }
    }

    /// Tells that a key is gone because its time has passed, if that is to be published: before what comes next.
    #[inline]
    fn tell_expired(&mut self, db: usize, key: &Key<'_>) {
        if self.classes.contains(Classes::EXPIRED) {
            self.tell_if_expired(db, key);
        }
    }

    #[cold]
    fn tell_if_expired(&mut self, db: usize, key: &Key<'_>) {
        if self.held.shard_mut(key.shard).expire_if_due(db, key, self.now_ms) {
            self.engine.notify(Classes::EXPIRED, "expired", db, key.bytes);
        }
    }

    /// Tells of a new key, if that is to be published.
    #[inline]
    fn tell_new(&self, db: usize, key: &Key<'_>) {
        if self.classes.contains(Classes::NEW) {
            self.engine.notify(Classes::NEW, "new", db, key.bytes);
        }
    }

    /// The entry of a key, to be changed. Notes the use. The shard must be held for writing.
    #[inline]
    pub(crate) fn write<'b>(&'b mut self, key: &'b Key<'b>) -> Option<EntryMut<'b>> {
        self.write_in(self.db, key)
    }

    #[inline]
    pub(crate) fn write_in<'b>(&'b mut self, db: usize, key: &'b Key<'b>) -> Option<EntryMut<'b>> {
        self.tell_expired(db, key);
        let entry = self.held.shard_mut(key.shard).entry(db, key, self.now_ms)?;
        if !self.no_touch {
            note_use(entry.get(), self.access, self.rng);
        }
        Some(entry)
    }

    /// Stores a value, whatever the key held.
    #[inline]
    pub(crate) fn set(&mut self, key: &Key<'_>, value: NewValue<'_>, ttl: Ttl) {
        self.set_in(self.db, key, value, ttl);
    }

    #[inline]
    pub(crate) fn set_in(&mut self, db: usize, key: &Key<'_>, value: NewValue<'_>, ttl: Ttl) {
        self.tell_expired(db, key);
        let (access, now) = (self.access.of_new(), self.now_ms);
        if self.held.shard_mut(key.shard).set(db, key, value, ttl, access, now) {
            self.tell_new(db, key);
        }
    }

    /// Stores a value under a key that [`Self::write`] has just said to be missing.
    #[inline]
    pub(crate) fn insert(&mut self, key: &Key<'_>, value: NewValue<'_>, ttl: Ttl) {
        let (access, now) = (self.access.of_new(), self.now_ms);
        self.held.shard_mut(key.shard).insert_new(self.db, key, value, ttl, access, now);
        self.tell_new(self.db, key);
    }

    /// Looks a collection up for reading: counts a hit or a miss, and notes the use.
    #[inline]
    pub(crate) fn read_as<T: Kind>(&mut self, key: &Key<'_>) -> Result<Option<&T>, Error> {
        let Some(entry) = self.read(key) else { return Ok(None) };
        entry.collection().and_then(T::of).map(Some).ok_or(Error::WRONG_TYPE)
    }

    /// The collection of a key, to be changed. The shard must be held for writing.
    #[inline]
    pub(crate) fn edit<'b, T: Kind>(
        &'b mut self,
        key: &'b Key<'b>,
    ) -> Result<Option<Editing<'b, T>>, Error> {
        self.write(key).map(Editing::new).transpose()
    }

    /// As [`Self::edit`]; a key that is missing gets what `make` makes.
    #[inline]
    pub(crate) fn edit_or_create<'b, T: Kind>(
        &'b mut self,
        key: &'b Key<'b>,
        make: impl FnOnce() -> T,
    ) -> Result<Editing<'b, T>, Error> {
        self.tell_expired(self.db, key);
        if self.classes.contains(Classes::NEW)
            && self.held.shard(key.shard).db(self.db).find(key, self.now_ms).live().is_none()
        {
            self.tell_new(self.db, key);
        }
        let (access, now) = (self.access.of_new(), self.now_ms);
        let shard = self.held.shard_mut(key.shard);
        let entry = shard.entry_or_insert(self.db, key, || make().into_collection(), access, now);
        if !self.no_touch {
            note_use(entry.get(), self.access, self.rng);
        }
        Editing::new(entry)
    }

    /// Stores a collection, whatever the key held.
    pub(crate) fn replace(&mut self, key: &Key<'_>, collection: Collection) {
        self.set(key, NewValue::Collection(Box::new(collection)), Ttl::Clear);
    }

    /// Deletes a key. Returns whether it was there.
    pub(crate) fn remove(&mut self, key: &Key<'_>) -> bool {
        self.tell_expired(self.db, key);
        self.held.shard_mut(key.shard).remove(self.db, key, self.now_ms)
    }

    /// Notes that the value of a key has lost elements that are still to be freed.
    #[cold]
    pub(crate) fn prune_later(&mut self, key: &Key<'_>) {
        self.held.shard_mut(key.shard).prune_later(self.db, key.bytes);
    }

    /// Hands what the value of a key has cut off over to be freed.
    #[inline]
    pub(crate) fn discard<T: Kind>(&mut self, key: &Key<'_>, part: Option<T>) {
        if let Some(part) = part {
            let part = Heap::Collection(Box::new(part.into_collection()));
            self.held.shard_mut(key.shard).discard(Some(part));
        }
    }
}

/// The string of an entry, or the error for what is none.
#[inline]
pub(crate) fn text_of(entry: EntryRef<'_>) -> Result<StrRef<'_>, Error> {
    entry.string().ok_or(Error::WRONG_TYPE)
}

#[inline]
pub(crate) fn note_use(entry: EntryRef<'_>, access: Access, rng: &mut fastrand::Rng) {
    match access {
        Access::Lru { clock } => entry.set_access(clock),
        Access::Lfu { minutes, fraction, decay, log_factor } => {
            let old = entry.access();
            let touched = access::lfu_touched(old, minutes, decay, log_factor, rng.u32(..));
            entry.set_access(touched | fraction);
        }
    }
}

/// The context of one command.
pub struct Ctx<'a, 'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) args: Args<'a>,
    pub(crate) out: &'a mut Out,
    pub(crate) session: &'a mut Session,
    pub(crate) data: Data<'a, 'e>,
    pub(crate) settings: &'a Arc<Settings>,
    pub(crate) command: &'static Command,
    pub(crate) worker: CtxWorker<'a>,
    /// The hashes that were computed for the batch.
    pub(crate) keys: KeyHashes<'a>,
    /// Whether the journal wants to know what the command changes.
    pub(crate) journaled: bool,
}

/// The parts of the worker that a handler may use.
pub(crate) struct CtxWorker<'a> {
    pub(crate) outbox: &'a mut Vec<crate::worker::Delivery>,
    pub(crate) stats: &'a crate::stats::ThreadStats,
    pub(crate) listeners: &'a mut crate::pubsub::Listeners,
    /// Keys past their time that are to be deleted when nothing is held any more, each with its database.
    pub(crate) met_expired: &'a mut Vec<(usize, Box<[u8]>)>,
    pub(crate) interpreters: &'a mut crate::scripting::Interpreters,
    pub(crate) effects: &'a mut Effects,
}

impl<'a> Ctx<'a, '_> {
    /// Counts a change of which the watchers of the key are not told, as those of consumer groups: it is one to be saved.
    pub(crate) fn count_change(&mut self, key: &Key<'_>) {
        self.data.held.shard_mut(key.shard).count_change();
    }

    /// The change of a key counts as `count` changes, as Redis counts them: one for each element, say.
    #[inline]
    pub(crate) fn weigh(&mut self, key: &Key<'_>, count: usize) {
        if count != 1 {
            self.data.held.shard_mut(key.shard).weigh(count as i64 - 1);
        }
    }

    /// All that has changed since there were `before` changes counts as one, which is noted with this key.
    #[cold]
    pub(crate) fn count_as_one(&mut self, key: &Key<'_>, before: u64) {
        let counted = self.data.held.weighed_changes().wrapping_sub(before);
        self.data.held.shard_mut(key.shard).weigh(1 - counted as i64);
    }

    /// Argument `i` as a key.
    #[inline(always)] // half of its cost would be the call
    pub(crate) fn key(&self, i: usize) -> Key<'a> {
        let bytes = self.args.get(i);
        match self.keys.of(i) {
            Some(Hashed { hash, shard, .. }) => Key { bytes, hash: *hash, shard: *shard },
            None => self.engine.keyspace.key(bytes),
        }
    }

    /// Publishes an event of a key, if that is asked for. Called under the key's lock, so that the events of a key come
    /// in the order of its changes.
    #[inline]
    pub(crate) fn notify(&mut self, class: Classes, event: &'static str, key: &Key<'_>) {
        self.notify_in(self.data.db, class, event, key);
    }

    #[inline]
    pub(crate) fn notify_in(
        &mut self,
        db: usize,
        class: Classes,
        event: &'static str,
        key: &Key<'_>,
    ) {
        if self.data.classes.contains(class) {
            self.engine.notify(class, event, db, key.bytes);
        }
    }

    /// How long the reply may become before its client is closed instead: what is longer need not be made. A script's reply
    /// goes to the script.
    pub(crate) fn longest_reply(&self) -> usize {
        let limits = &self.settings.client_output_buffer_limit;
        match self.session.in_script {
            true => usize::MAX,
            false => usize::try_from(limits.longest_reply(self.session.info.kind()))
                .unwrap_or(usize::MAX),
        }
    }

    /// The name of the command, as in `client|kill`.
    pub(crate) fn name(&self) -> &'static str {
        self.command.full_name
    }
}
