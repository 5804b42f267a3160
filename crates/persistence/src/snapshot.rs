//! A snapshot as bytes: what the keyspace held when it began, in any order, each database's entries behind the number of
//! it. Two sources meet here: the walk over the shards, and what writers are about to change.
//!
//! Shards are locked for a few microseconds at a time. A long string is shared under the lock and written behind it. The
//! locks inside are taken under shards, and nothing is locked under them.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use respire_datatypes::rest::pausing;
use respire_engine::config::Settings;
use respire_engine::{Engine, value_of};
use respire_keyspace::{EntryRef, Held, Keeper, Mode, Pinned, Unsaved};
use respire_rdb::write::{self, Options};
use respire_rdb::{Access, ValueRef};

use crate::aof::restate;
use crate::pace::{Pace, give_way};
use crate::settings::Files;

/// Entries that are saved while a shard is locked.
const STEP: usize = 32;
/// Bytes that are handed on at once: what the system takes in a few tens of microseconds.
const CHUNK: usize = 64 * 1024;
/// Bytes that writers have kept, from which on the walk does not give way: they would grow.
const URGENT: usize = 1 << 20;
/// Strings of more bytes are written when their shard is no longer locked.
const LONG: usize = 16 * 1024;

/// A long string that is written later.
struct Later {
    db: usize,
    key: Vec<u8>,
    value: Arc<Vec<u8>>,
    expire: Option<i64>,
    access: Option<Access>,
}

/// Turns entries into bytes.
struct Encoder {
    bytes: Vec<u8>,
    db: Option<usize>,
    later: Vec<Later>,
    keys: u64,
    form: Form,
    options: Options,
    /// What is written of the use of a key.
    uses: Uses,
}

/// What entries are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Parts of an RDB file.
    Rdb,
    /// Requests that make them.
    Requests,
}

#[derive(Clone, Copy)]
enum Uses {
    Nothing,
    /// Against this clock.
    Idle(u32),
    Freq,
}

impl Encoder {
    fn new(settings: &Settings, form: Form, unix_s: u64) -> Self {
        let policy = settings.maxmemory_policy;
        let uses = if policy.is_lfu() {
            Uses::Freq
        } else if policy.is_lru() {
            Uses::Idle(respire_datatypes::access::lru_clock(unix_s))
        } else {
            Uses::Nothing
        };
        let options = Options { compress: Files(settings).compress() };
        Self { bytes: Vec::new(), db: None, later: Vec::new(), keys: 0, form, options, uses }
    }

    /// Exchanges what two hold, of which `self` holds nothing.
    fn swap_with(&mut self, other: &mut Self) {
        debug_assert!(self.bytes.is_empty() && self.later.is_empty() && self.keys == 0);
        self.db = None;
        std::mem::swap(self, other);
    }

    /// Takes over what `other` holds, which has its own database selected.
    fn append(&mut self, other: &mut Self) {
        self.bytes.extend_from_slice(&other.bytes);
        other.bytes.clear();
        other.bytes.shrink_to(URGENT);
        if let Some(db) = other.db.take() {
            self.db = Some(db);
        }
        self.later.append(&mut other.later);
        self.keys += std::mem::take(&mut other.keys);
    }

    fn select(&mut self, db: usize) {
        if self.db != Some(db) {
            match self.form {
                Form::Rdb => write::select_db(&mut self.bytes, db as u64),
                Form::Requests => restate::select(&mut self.bytes, db),
            }
            self.db = Some(db);
        }
    }

    fn put(
        &mut self,
        key: &[u8],
        value: ValueRef<'_>,
        expire: Option<i64>,
        access: Option<Access>,
    ) {
        match self.form {
            Form::Rdb => write::entry(&mut self.bytes, key, value, expire, access, self.options),
            Form::Requests => restate::entry(&mut self.bytes, key, value, expire),
        }
    }

    fn add(&mut self, db: usize, entry: EntryRef<'_>) {
        let access = self.access(entry.access());
        self.keys += 1;
        if let Some(value) = entry.share().filter(|value| value.len() > LONG) {
            let (key, expire) = (entry.key().to_vec(), entry.expire());
            return self.later.push(Later { db, key, value, expire, access });
        }
        self.select(db);
        self.put(entry.key(), value_of(entry), entry.expire(), access);
    }

    /// What is written of access data.
    fn access(&self, access: u32) -> Option<Access> {
        match self.uses {
            Uses::Nothing => None,
            Uses::Idle(clock) => {
                let idle = respire_datatypes::access::lru_idle_seconds(access, clock);
                Some(Access::Idle(idle.into()))
            }
            Uses::Freq => Some(Access::Freq(respire_datatypes::access::lfu_unpack(access).1)),
        }
    }

    /// Writes a large collection.
    fn add_pinned(&mut self, pinned: &Pinned) {
        self.select(pinned.db);
        self.keys += 1;
        let (value, access) =
            (ValueRef::Collection(pinned.collection()), self.access(pinned.access));
        self.put(&pinned.key, value, pinned.expire, access);
    }

    /// Writes a long string.
    fn add_late(&mut self, late: &Later) {
        self.select(late.db);
        self.put(&late.key, ValueRef::Bytes(&late.value), late.expire, late.access);
    }
}

/// What writers have kept for the snapshot.
struct Kept {
    encoder: Mutex<Encoder>,
    /// Large collections that somebody waits to change.
    pinned: Mutex<Vec<Pinned>>,
    rest: Mutex<Vec<Unsaved>>,
}

impl Keeper for Kept {
    fn keep(&self, db: usize, entry: EntryRef<'_>) {
        self.encoder.lock().add(db, entry);
    }

    fn take(&self, pinned: Pinned) {
        self.pinned.lock().push(pinned);
    }

    fn adopt(&self, rest: Unsaved) {
        self.rest.lock().push(rest);
    }
}

/// A snapshot that has begun, and has to be written to its end.
pub(crate) struct Snapshot {
    kept: Arc<Kept>,
    encoder: Encoder,
    /// Takes turns with the encoder in `kept`.
    spare: Encoder,
    /// Keys and, of these, expiring keys of each database when it began.
    pub(crate) sizes: Vec<(u64, u64)>,
    /// The code of the libraries of functions when it began.
    pub(crate) functions: Vec<Box<[u8]>>,
    /// Fields of hashes expire: the file needs a version that tells of that.
    pub(crate) has_timed_fields: bool,
    shards: u32,
}

/// How the walk gets at the shards.
pub(crate) enum Shards<'a, 'e> {
    /// One after the other, each for a moment.
    InTurn(&'e Engine),
    /// All are held for writing.
    Held(&'a mut Held<'e>),
}

impl Snapshot {
    /// Begins a snapshot of what there is now. All shards are held for writing.
    pub(crate) fn begin(engine: &Engine, held: &mut Held<'_>, form: Form) -> Self {
        let settings = engine.config.load();
        let unix_s = (engine.clock.unix_us() / 1_000_000) as u64;
        let kept = Arc::new(Kept {
            encoder: Mutex::new(Encoder::new(&settings, form, unix_s)),
            pinned: Mutex::default(),
            rest: Mutex::default(),
        });
        let keeper: Arc<dyn Keeper> = Arc::clone(&kept) as _;
        let shards = engine.keyspace.shard_count() as u32;
        let mut sizes = vec![(0, 0); engine.keyspace.databases()];
        let mut has_timed_fields = false;
        for number in 0..shards {
            let shard = held.shard_mut(number);
            for (db, size) in sizes.iter_mut().enumerate() {
                size.0 += shard.db(db).len() as u64;
                size.1 += shard.db(db).expiring() as u64;
                has_timed_fields |= shard.db(db).has_timed();
            }
            shard.begin_snapshot(&keeper);
        }
        let encoder = Encoder::new(&settings, form, unix_s);
        let spare = Encoder::new(&settings, form, unix_s);
        let functions = engine.function_codes();
        Self { kept, encoder, spare, sizes, functions, has_timed_fields, shards }
    }

    pub(crate) fn keys(&self) -> u64 {
        self.sizes.iter().map(|(keys, _)| keys).sum()
    }

    /// Hands the snapshot's bytes to `sink`, and the number of keys in them so far. Where that fails, the walk goes on to
    /// its end all the same, since it has marked entries.
    pub(crate) fn write(
        mut self,
        engine: &Engine,
        mut shards: Shards<'_, '_>,
        pace: &mut Pace<'_>,
        mut sink: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut result = Ok(());
        let (mut saved, mut before) = (0, 0);
        let mut open: Vec<u32> = (0..self.shards).collect();
        while !open.is_empty() {
            open.retain(|number| {
                let encoder = &mut self.encoder;
                let add = |db: usize, entry: EntryRef<'_>| encoder.add(db, entry);
                let step = match &mut shards {
                    Shards::InTurn(engine) => {
                        let mut held = engine.keyspace.hold_one(*number, Mode::Write);
                        held.shard_mut(*number).save_step(STEP, add)
                    }
                    Shards::Held(held) => held.shard_mut(*number).save_step(STEP, add),
                };
                // Nothing is locked any more.
                for pinned in step.pinned {
                    self.save_pinned(pinned, &mut saved, &mut sink, &mut result);
                }
                hand_on(&mut self.encoder, CHUNK, &mut saved, &mut sink, &mut result);
                pace.step();
                if pace.is_delayed() && result.is_ok() {
                    let keys = saved + self.encoder.keys;
                    pace.delay(keys - std::mem::replace(&mut before, keys));
                    result = sink(&[], keys);
                }
                step.more
            });
            // What writers have kept is taken away before it grows.
            let taken = self.take_kept(engine, &mut saved, &mut sink, &mut result);
            pace.is_urgent = taken >= URGENT;
        }
        self.take_kept(engine, &mut saved, &mut sink, &mut result);
        hand_on(&mut self.encoder, 0, &mut saved, &mut sink, &mut result);
        result.map(|()| saved)
    }

    /// Writes a large collection, and lets it go. Nothing is locked.
    fn save_pinned(
        &mut self,
        pinned: Pinned,
        saved: &mut u64,
        sink: &mut impl FnMut(&[u8], u64) -> io::Result<()>,
        result: &mut io::Result<()>,
    ) {
        if result.is_ok() {
            pausing(give_way, || self.encoder.add_pinned(&pinned));
        }
        drop(pinned);
        hand_on(&mut self.encoder, CHUNK, saved, sink, result);
    }

    /// Takes over what writers have kept. Returns how many bytes that was.
    fn take_kept(
        &mut self,
        engine: &Engine,
        saved: &mut u64,
        sink: &mut impl FnMut(&[u8], u64) -> io::Result<()>,
        result: &mut io::Result<()>,
    ) -> usize {
        let rest = std::mem::take(&mut *self.kept.rest.lock());
        // Those of an emptied database are among them, and have to be let go before it is.
        let pinned = std::mem::take(&mut *self.kept.pinned.lock());
        for pinned in pinned {
            self.save_pinned(pinned, saved, sink, result);
        }
        for unsaved in rest {
            let encoder = &mut self.encoder;
            let db = unsaved.save(|db, entry| {
                encoder.add(db, entry);
                hand_on(encoder, CHUNK, saved, sink, result);
            });
            engine.host.discard(respire_engine::Garbage { dbs: vec![db], ..Default::default() });
        }
        {
            let mut kept = self.kept.encoder.lock();
            if kept.keys == 0 {
                return 0;
            }
            // What was written before goes back as room for what comes next, so that writers need not make any.
            self.spare.swap_with(&mut kept);
        }
        let taken = self.spare.bytes.len();
        self.encoder.append(&mut self.spare);
        hand_on(&mut self.encoder, CHUNK, saved, sink, result);
        taken
    }
}

/// Hands on what an encoder holds if it is more than `from` bytes, or long strings.
fn hand_on(
    encoder: &mut Encoder,
    from: usize,
    saved: &mut u64,
    sink: &mut impl FnMut(&[u8], u64) -> io::Result<()>,
    result: &mut io::Result<()>,
) {
    let mut pass = |encoder: &mut Encoder, keys: u64| {
        if result.is_ok() && !encoder.bytes.is_empty() {
            *result = sink(&encoder.bytes, keys);
        }
        encoder.bytes.clear();
        // What a large collection took is given back.
        encoder.bytes.shrink_to(2 * CHUNK);
    };
    if encoder.bytes.len() > from {
        pass(encoder, *saved + encoder.keys);
    }
    for late in std::mem::take(&mut encoder.later) {
        encoder.add_late(&late);
        pass(encoder, *saved + encoder.keys);
    }
    *saved += std::mem::take(&mut encoder.keys);
}
