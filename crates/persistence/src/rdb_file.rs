//! RDB files: written beside the old one and put in its place when they are safe; loaded by several threads.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use parking_lot::Mutex;
use respire_datatypes::access;
use respire_engine::config::Settings;
use respire_engine::{Engine, REDIS_VERSION, decode_options, with_new_value};
use respire_keyspace::{Found, Held, Key, Mode, Shard, Ttl};
use respire_rdb::{Batch, Checksum, Item, Loaded, RdbError, Scanner, decode, format, write};

use crate::aof::restate;
use crate::disk::{Disk, Output, Temporary, replace_gently, temporary, write_all};
use crate::error::Failure;
use crate::pace::{Pace, Work};
use crate::settings::Files;
use crate::snapshot::{Form, Shards, Snapshot};

/// Bytes after which what is written is made safe, so that the end has little left to do.
const SYNC_EVERY: usize = 4 << 20;
/// Batches that wait for each loading thread.
const AHEAD: usize = 2;
/// Bytes that an entry has in a file at least.
const MIN_ENTRY: u64 = 3;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Snapshot,
    /// The base of an append-only file.
    Base(Form),
}

impl Purpose {
    pub(crate) fn form(self) -> Form {
        match self {
            Self::Snapshot => Form::Rdb,
            Self::Base(form) => form,
        }
    }

    /// What it is called while it is not finished.
    fn temporary(self) -> Temporary {
        match self {
            Self::Snapshot => Temporary::Snapshot,
            Self::Base(_) => Temporary::Base,
        }
    }
}

/// The error of what nobody wants any more.
#[derive(Debug)]
struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not wanted any more")
    }
}

impl std::error::Error for Cancelled {}

pub(crate) fn is_cancelled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
}

/// How a file is to be written.
pub(crate) struct Writing<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) settings: &'a Settings,
    pub(crate) purpose: Purpose,
    /// Bytes that are in use.
    pub(crate) used_memory: u64,
    /// Keys written so far.
    pub(crate) progress: &'a AtomicU64,
    /// Set when nobody wants the file any more.
    pub(crate) cancelled: &'a AtomicBool,
    /// The file that is not finished, for whoever ends the process.
    pub(crate) unfinished: &'a Mutex<Option<PathBuf>>,
}

impl Writing<'_> {
    /// Writes a snapshot to a file at `path`, in place of one that is there: either the old one or all of the new one is
    /// there afterwards, whatever happens. Returns its size in bytes.
    pub(crate) fn write(
        &self,
        engine: &Engine,
        snapshot: Snapshot,
        shards: Shards<'_, '_>,
        path: &Path,
    ) -> io::Result<u64> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let temp = temporary(dir, self.purpose.temporary());
        *self.unfinished.lock() = Some(temp.clone());
        let written = self.write_to(engine, snapshot, shards, &temp).and_then(|size| {
            replace_gently(self.disk, &temp, path)?;
            self.disk.sync_dir(dir)?;
            Ok(size)
        });
        if written.is_err() {
            // It is gone already if it has taken its place.
            let _ = self.disk.remove(&temp);
        }
        *self.unfinished.lock() = None;
        written
    }

    fn write_to(
        &self,
        engine: &Engine,
        snapshot: Snapshot,
        shards: Shards<'_, '_>,
        path: &Path,
    ) -> io::Result<u64> {
        let mut pace = Pace::new(engine, Work::Saving, self.cancelled);
        let created = self.disk.create(path);
        let mut out = match created {
            Ok(out) => out,
            Err(error) => {
                // The walk has to come to its end.
                let nowhere = |_: &[u8], _| Err(io::ErrorKind::Other.into());
                let _ = snapshot.write(engine, shards, &mut pace, nowhere);
                return Err(error);
            }
        };
        let is_rdb = self.purpose.form() == Form::Rdb;
        let mut file = Sums {
            out: &mut *out,
            checksum: (is_rdb && Files(self.settings).checksum()).then(Checksum::new),
            size: 0,
            unsynced: 0,
            sync: Files(self.settings).sync_as_written(self.purpose != Purpose::Snapshot),
        };
        let mut head = if is_rdb {
            self.head(engine, &snapshot)
        } else {
            self.head_of_requests(engine, &snapshot)
        };
        snapshot.write(engine, shards, &mut pace, |bytes, keys| {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(io::Error::other(Cancelled));
            }
            file.put(&std::mem::take(&mut head))?;
            self.progress.store(keys, Ordering::Relaxed);
            file.put(bytes)
        })?;
        // Nothing was there to be written.
        file.put(&head)?;
        if is_rdb {
            let mut end = Vec::new();
            write::eof(&mut end, file.checksum.take());
            file.put(&end)?;
        }
        let size = file.size;
        out.syncer().sync()?;
        if self.cancelled.load(Ordering::Relaxed) {
            Err(io::Error::other(Cancelled))
        } else {
            Ok(size)
        }
    }

    /// What stands in front of entries that are requests.
    fn head_of_requests(&self, engine: &Engine, snapshot: &Snapshot) -> Vec<u8> {
        let mut head = Vec::new();
        if Files(self.settings).timestamps() {
            head = format!("#TS:{}\r\n", engine.clock.unix_us() / 1_000_000).into_bytes();
        }
        snapshot.functions.iter().for_each(|code| restate::function(&mut head, code));
        head
    }

    /// What stands in front of the entries of an RDB file.
    fn head(&self, engine: &Engine, snapshot: &Snapshot) -> Vec<u8> {
        let mut head = Vec::new();
        let version = if snapshot.has_timed_fields {
            log::info!(
                "Fields of hashes expire: the file is one that Redis 7.4 and newer can load"
            );
            format::VERSION_FIELD_EXPIRY
        } else {
            format::VERSION
        };
        write::header(&mut head, version);
        let aux = |head: &mut Vec<u8>, name: &str, value: String| {
            write::aux(head, name.as_bytes(), value.as_bytes());
        };
        aux(&mut head, "redis-ver", REDIS_VERSION.into());
        aux(&mut head, "redis-bits", usize::BITS.to_string());
        aux(&mut head, "ctime", (engine.clock.unix_us() / 1_000_000).to_string());
        aux(&mut head, "used-mem", self.used_memory.to_string());
        aux(&mut head, "aof-base", u8::from(self.purpose != Purpose::Snapshot).to_string());
        for code in &snapshot.functions {
            write::function(&mut head, code, write::Options { compress: false });
        }
        for (db, (keys, expires)) in snapshot.sizes.iter().enumerate() {
            if *keys > 0 {
                write::select_db(&mut head, db as u64);
                write::resize_db(&mut head, *keys, *expires);
            }
        }
        head
    }
}

/// A file on its way, with the checksum so far.
struct Sums<'a> {
    out: &'a mut dyn Output,
    checksum: Option<Checksum>,
    size: u64,
    unsynced: usize,
    sync: bool,
}

impl Sums<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
        write_all(self.out, bytes)?;
        self.size += bytes.len() as u64;
        self.unsynced += bytes.len();
        if self.sync && self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            self.out.syncer().sync()?;
        }
        Ok(())
    }
}

/// What came out of loading a file.
#[derive(Debug, Default)]
pub(crate) struct LoadedFile {
    pub(crate) keys: u64,
    /// Keys that were left out because their time had passed.
    pub(crate) expired: u64,
    /// Collections that were left out because nothing was in them.
    empty: u64,
    pub(crate) functions: Vec<Vec<u8>>,
    /// Where the RDB part ends, and what of that which follows it was read already.
    pub(crate) end: u64,
    pub(crate) rest: Vec<u8>,
}

/// How a file is loaded.
pub(crate) struct Loading<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) path: &'a Path,
    /// Keys whose time had passed are left out: not where a log that follows says when they went.
    pub(crate) drop_expired: bool,
    /// Keys that are there already are replaced; otherwise the keyspace has to be empty.
    pub(crate) merge: bool,
    pub(crate) threads: usize,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Bytes read so far.
    pub(crate) progress: &'a AtomicU64,
    pub(crate) loaded_keys: &'a AtomicU64,
    /// Nobody cancels it.
    pub(crate) cancelled: AtomicBool,
}

impl Loading<'_> {
    /// Loads a file into the keyspace. Returns what follows it, too, with what is left to read of `source`.
    pub(crate) fn load<R: Read>(
        &self,
        source: R,
        held: Option<&mut Held<'_>>,
    ) -> Result<(LoadedFile, R), Failure> {
        let settings = self.engine.config.load();
        let verify = Files(&settings).checksum() && !self.engine.skips_checksums();
        let failed = |error: &RdbError| Failure::rdb(self.path, error);
        let mut scanner = Scanner::new(source, verify).map_err(|error| failed(&error))?;
        let sum = Mutex::new(LoadedFile::default());
        let scanned = match held {
            Some(held) => {
                let mut target = Target::Held(held);
                self.scan(&mut scanner, &sum, |batch| {
                    self.store(&batch, &settings, &mut target, &sum).map(|()| batch)
                })
            }
            None => self.load_in_parallel(&mut scanner, &settings, &sum),
        };
        scanned.map_err(|error| failed(&error))?;
        let end = scanner.offset();
        let (source, rest) = scanner.into_rest();
        let loaded = LoadedFile { end, rest, ..sum.into_inner() };
        log::info!(
            "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
            loaded.keys,
            loaded.expired,
            loaded.empty
        );
        Ok((loaded, source))
    }

    fn load_in_parallel<R: Read>(
        &self,
        scanner: &mut Scanner<R>,
        settings: &Settings,
        sum: &Mutex<LoadedFile>,
    ) -> Result<(), RdbError> {
        let (sender, receiver) = sync_channel::<Batch>(self.threads * AHEAD);
        let receiver: Mutex<Receiver<Batch>> = Mutex::new(receiver);
        // Batches go round: their memory need not be found anew.
        let used: Mutex<Vec<Batch>> = Mutex::default();
        thread::scope(|scope| {
            let work = || -> Result<(), RdbError> {
                let mut target = Target::InTurn;
                loop {
                    let next = receiver.lock().recv();
                    let Ok(batch) = next else { return Ok(()) };
                    if let Err(error) = self.store(&batch, settings, &mut target, sum) {
                        // Whoever reads on must not wait for somebody to take it.
                        while receiver.lock().recv().is_ok() {}
                        return Err(error);
                    }
                    used.lock().push(batch);
                }
            };
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            let scanned = self.scan(scanner, sum, |batch| {
                // The other end goes only with the workers, whose error is the one to tell.
                let _ = sender.send(batch);
                Ok(used.lock().pop().unwrap_or_default())
            });
            drop(sender);
            for worker in workers {
                worker.join().expect("a loading thread does not panic")?;
            }
            scanned
        })
    }

    /// Reads the file from end to end, and hands on what is in it. `hand_on` returns a batch to be filled next.
    fn scan<R: Read>(
        &self,
        scanner: &mut Scanner<R>,
        sum: &Mutex<LoadedFile>,
        mut hand_on: impl FnMut(Batch) -> Result<Batch, RdbError>,
    ) -> Result<(), RdbError> {
        let mut pace = Pace::new(self.engine, Work::Loading, &self.cancelled);
        let mut batch = Batch::new();
        loop {
            let more = scanner.fill(&mut batch)?;
            pace.delay(batch.len() as u64);
            self.progress.store(scanner.offset(), Ordering::Relaxed);
            for item in batch.items() {
                match item? {
                    Item::Function(code) => sum.lock().functions.push(code.into_owned()),
                    Item::FunctionPreGa { name } => log::warn!(
                        "Library '{}' of functions is in a form that no released server wrote; it is left out",
                        String::from_utf8_lossy(&name)
                    ),
                    Item::ModuleAux { module } => {
                        log::warn!("Data of module '{module}' is left out");
                    }
                    Item::Eof { checksum: Some((stored, computed)) } if stored != computed => {
                        return Err(RdbError::Checksum { stored, computed });
                    }
                    _ => {}
                }
            }
            batch = hand_on(batch)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Decodes the values of a batch and puts them where they belong.
    fn store(
        &self,
        batch: &Batch,
        settings: &Settings,
        target: &mut Target<'_, '_>,
        sum: &Mutex<LoadedFile>,
    ) -> Result<(), RdbError> {
        let keyspace = &self.engine.keyspace;
        let options = decode_options(settings, self.engine);
        let now_ms = self.engine.clock.unix_us() / 1000;
        let (mut keys, mut expired, mut empty) = (0, 0, 0);
        let mut by_shard: Vec<Vec<Ready<'_>>> = Vec::new();
        by_shard.resize_with(keyspace.shard_count(), Vec::new);
        let mut selected = None;
        for item in batch.items() {
            let raw = match item? {
                Item::Entry(raw) => raw,
                Item::SelectDb(db) => {
                    selected = Some(db);
                    continue;
                }
                Item::ResizeDb { keys, expires } => {
                    if let Some(db) = selected {
                        self.make_room(target, db, keys, expires);
                    }
                    continue;
                }
                _ => continue,
            };
            let db = usize::try_from(raw.db).ok().filter(|db| *db < keyspace.databases());
            let db = db.ok_or(RdbError::Corrupt("it needs more databases than there are"))?;
            if self.drop_expired && raw.expire_ms.is_some_and(|at| at <= now_ms) {
                expired += 1;
                continue;
            }
            let key = raw.key()?;
            let value = match decode(raw.kind, batch.family(), raw.payload, &options) {
                Err(RdbError::Empty) => {
                    let key = raw.key()?;
                    log::info!("RDB: skipping empty key: {}", respire_engine::for_log(&key));
                    empty += 1;
                    continue;
                }
                value => value?,
            };
            let access = access_of(settings, now_ms / 1000, raw.idle, raw.freq);
            let Key { hash, shard, .. } = keyspace.key(&key);
            let ready = Ready { db, hash, key, value, expire: raw.expire_ms, access };
            by_shard[shard as usize].push(ready);
            keys += 1;
        }
        for (number, ready) in by_shard.into_iter().enumerate().filter(|(_, r)| !r.is_empty()) {
            match target {
                Target::InTurn => {
                    let mut held = keyspace.hold_one(number as u32, Mode::Write);
                    self.insert(held.shard_mut(number as u32), number as u32, ready, now_ms)?;
                }
                Target::Held(held) => {
                    self.insert(held.shard_mut(number as u32), number as u32, ready, now_ms)?;
                }
            }
        }
        self.loaded_keys.fetch_add(keys, Ordering::Relaxed);
        let mut sum = sum.lock();
        sum.keys += keys;
        sum.expired += expired;
        sum.empty += empty;
        Ok(())
    }

    fn insert(
        &self,
        shard: &mut Shard,
        number: u32,
        ready: Vec<Ready<'_>>,
        now_ms: i64,
    ) -> Result<(), RdbError> {
        // No key is past its time while it is loaded.
        const NEVER: i64 = i64::MIN;
        // Keys whose buckets are on their way.
        const AHEAD: usize = 12;
        let places: Vec<_> = ready.iter().map(|ready| (ready.db, ready.hash)).collect();
        let mut ahead = places.into_iter();
        ahead.by_ref().take(AHEAD).for_each(|(db, hash)| shard.prefetch_new(db, hash));
        for Ready { db, key, hash, value, expire, access } in ready {
            if let Some((db, hash)) = ahead.next() {
                shard.prefetch_new(db, hash);
            }
            let key = Key { bytes: &key, hash, shard: number };
            if !matches!(shard.db(db).find(&key, NEVER), Found::Missing) {
                if !self.merge {
                    return Err(RdbError::Corrupt("Duplicate key: it is there already"));
                }
                shard.remove(db, &key, NEVER);
            }
            let ttl = expire.map_or(Ttl::Clear, Ttl::At);
            with_new_value(value, |value| {
                shard.insert_new(db, &key, value, ttl, access, now_ms);
            });
        }
        Ok(())
    }

    /// Makes room for the keys that the file says to hold.
    fn make_room(&self, target: &mut Target<'_, '_>, db: u64, keys: u64, expires: u64) {
        let keyspace = &self.engine.keyspace;
        let Some(db) = usize::try_from(db).ok().filter(|db| *db < keyspace.databases()) else {
            return;
        };
        // Nobody has checked that there are so many: the file would have to be as large.
        let most = self.size / MIN_ENTRY;
        let share = |count: u64| {
            let mean = count.min(most) / keyspace.shard_count() as u64;
            // Keys fall by chance.
            (mean + 4 * mean.isqrt()) as usize
        };
        for number in 0..keyspace.shard_count() as u32 {
            match target {
                Target::InTurn => {
                    let mut held = keyspace.hold_one(number, Mode::Write);
                    held.shard_mut(number).make_room(db, share(keys), share(expires));
                }
                Target::Held(held) => {
                    held.shard_mut(number).make_room(db, share(keys), share(expires));
                }
            }
        }
    }
}

/// An entry that is ready for its shard.
struct Ready<'a> {
    db: usize,
    key: std::borrow::Cow<'a, [u8]>,
    hash: u64,
    value: Loaded<'a>,
    expire: Option<i64>,
    access: u32,
}

enum Target<'a, 'e> {
    InTurn,
    Held(&'a mut Held<'e>),
}

/// The access data of a key that was used as a file says.
fn access_of(settings: &Settings, unix_s: i64, idle: Option<u64>, freq: Option<u8>) -> u32 {
    if settings.maxmemory_policy.is_lfu() {
        let minutes = access::lfu_minutes(unix_s as u64);
        return access::lfu_pack(minutes, freq.unwrap_or(access::LFU_INITIAL));
    }
    let clock = access::lru_clock(unix_s as u64);
    idle.map_or(clock, |idle| access::lru_clock_before(clock, idle))
}
