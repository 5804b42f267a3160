//! What the engine asks of the program that it runs in: the clock, the process, the files. Everything outside comes
//! through these two traits, so that a test can drive the engine without any of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use respire_keyspace::{Db, Heap, Held};

use crate::config::Settings;
use crate::engine::Engine;
use crate::pubsub::Published;
use crate::saving::PersistenceInfo;
use crate::worker::Message;

/// Time. Both may be called at any moment from any thread.
pub trait Clock: Send + Sync {
    /// Unix time in microseconds; may jump.
    fn unix_us(&self) -> i64;
    /// Nanoseconds since some fixed moment; never goes back.
    fn monotonic_ns(&self) -> u64;
}

/// Things that take long to free.
#[derive(Default)]
pub struct Garbage {
    pub values: Vec<Heap>,
    pub dbs: Vec<Db>,
}

/// Memory figures of the process, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Asked for by the program and not freed.
    pub allocated: u64,
    /// In pages that hold allocations.
    pub active: u64,
    /// In pages that the allocator holds.
    pub resident: u64,
    /// Resident set size of the process.
    pub rss: u64,
    /// Memory of the machine.
    pub system_total: u64,
}

/// What INFO tells about the process.
#[derive(Debug, Clone, Default)]
pub struct HostInfo {
    pub executable: String,
    pub config_file: String,
    pub os: String,
    pub pid: u32,
    pub run_id: String,
    /// User and system time of the process, seconds.
    pub cpu_user: f64,
    pub cpu_sys: f64,
    /// User and system time of the thread that asks, seconds.
    pub cpu_user_main: f64,
    pub cpu_sys_main: f64,
    pub memory: Memory,
    pub allocator: String,
    /// Lines of INFO's `listenerN:` fields, without the field's name.
    pub listeners: Vec<String>,
}

/// What SHUTDOWN asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShutdownRequest {
    /// Save even where no save point is configured.
    pub save: bool,
    pub nosave: bool,
    pub now: bool,
    pub force: bool,
}

/// Why the configuration file was not rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteError {
    /// The program runs without one.
    NoFile,
    /// The reason, in words.
    Failed(String),
}

/// How DEBUG RELOAD loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// A snapshot is saved first.
    pub save: bool,
    /// Keys and libraries that are there already are replaced by those of the file; otherwise they are an error.
    pub merge: bool,
}

/// The program around the engine.
pub trait Host: Send + Sync {
    /// Begins to end the program; returns at once.
    fn shutdown(&self, engine: &Engine, request: ShutdownRequest) -> Result<(), String>;
    /// Takes back that the program is to end, unless it is ending already. Returns whether it was to.
    fn abort_shutdown(&self) -> bool;
    /// Carries out what changed settings mean outside the engine. An error names the directive and the reason, and
    /// leaves everything as it was. What the host makes of a value, such as the absolute path of a directory, it writes
    /// to `new`.
    fn apply(&self, old: &Settings, new: &mut Settings) -> Result<(), (String, String)>;
    /// These directives have changed, and are in force.
    fn settings_in_force(&self, changed: &[&'static str]);
    /// Replaces the text of the configuration file by what `rewrite` makes of it, or leaves it as it is.
    fn rewrite_config(&self, rewrite: &dyn Fn(&str) -> String) -> Result<(), RewriteError>;
    /// The text of the ACL file at `path`. An error is the reason, in words.
    fn read_users(&self, path: &str) -> Result<Vec<u8>, String>;
    /// Replaces the text of the ACL file at `path`, or leaves it as it is.
    fn write_users(&self, path: &str, text: &[u8]) -> Result<(), String>;
    /// Fills `bytes` with what nobody can guess.
    fn random(&self, bytes: &mut [u8]) -> Result<(), String>;
    /// Hands a message to a client of any thread, which gets it in the next turn of its thread. One to a client that is gone is
    /// dropped. May be called with shards held.
    fn deliver(&self, thread: usize, client: u64, message: Message);
    /// Hands a message to those clients of a thread that listen to its channel: see [`Worker::receivers`].
    ///
    /// [`Worker::receivers`]: crate::Worker::receivers
    fn publish(&self, thread: usize, message: Arc<Published>);
    /// Does with what the journal got what the settings ask for before anybody is told of it: hands it to the system, or has
    /// it made safe. If that takes a while, it returns the position that [`Self::journal_safe_to`] has to reach before.
    /// Called with nothing locked.
    fn flush_journal(&self) -> Option<u64>;
    /// The position up to which the journal is safe.
    fn journal_safe_to(&self) -> u64;
    /// Of addresses of allocated blocks, which lie where little else does, so that it pays to move them.
    fn lie_thinly(&self, blocks: &[usize]) -> Vec<bool>;
    /// SAVE, with all shards held for writing or none.
    fn save(&self, engine: &Engine, held: Option<&mut Held<'_>>) -> Result<(), String>;
    /// BGSAVE: the reply.
    fn save_in_background(&self, schedule: bool) -> Result<&'static str, &'static str>;
    /// All databases have been emptied. If `save` says so, a snapshot of what there is now follows.
    fn emptied(&self, save: bool);
    /// DEBUG AOF-FLUSH-SLEEP: handing the journal to the system takes longer from now on.
    fn delay_flushes(&self, micros: u64);
    /// BGREWRITEAOF: the reply.
    fn rewrite_log(&self) -> Result<&'static str, &'static str>;
    /// Makes safe what was appended to the log so far; `None` if there is no log. Called with nothing locked.
    fn sync_log(&self) -> Option<Result<(), String>>;
    /// DEBUG RELOAD, with all shards held for writing: saves, if it is to, calls `flush`, and loads.
    fn reload<'e>(
        &self,
        engine: &'e Engine,
        held: &mut Held<'e>,
        how: Reload,
        flush: &mut dyn FnMut(&mut Held<'e>),
    ) -> Result<(), String>;
    /// DEBUG LOADAOF, with all shards held for writing: calls `flush`, and loads the log.
    fn reload_log<'e>(
        &self,
        engine: &'e Engine,
        held: &mut Held<'e>,
        flush: &mut dyn FnMut(&mut Held<'e>),
    ) -> Result<(), String>;
    /// Figures of all this.
    fn persistence(&self) -> PersistenceInfo;
    /// Frees off the event loops.
    fn discard(&self, garbage: Garbage);
    /// Gives unused memory back to the system.
    fn purge_memory(&self);
    /// The allocator's report about itself. `Err` is the reason why there is none.
    fn allocator_report(&self) -> Result<String, String>;
    /// Halts the calling thread.
    fn sleep(&self, duration: Duration);
    /// Ends the process by the signal of a bad address. Whoever can't says why.
    fn segfault(&self) -> &'static str;
    /// Memory figures of the process. Called ten times a second.
    fn memory(&self) -> Memory;
    /// Bytes that are allocated, large tables apart: exact for what this thread did, and for others as of their last batch.
    /// Asked before every command where memory is limited, and after every batch.
    fn allocated(&self) -> u64;
    /// Bytes among them that a limit is not about: what is still to be written to files.
    fn memory_apart(&self) -> u64;
    /// Whether something that was handed to [`Host::discard`] is not freed yet.
    fn is_freeing(&self) -> bool;
    /// Figures of the process. Costs some system calls.
    fn info(&self) -> HostInfo;
}

/// What a host without files says.
const NO_FILES: &str = "this program keeps nothing in files";

/// A message and the thread whose listeners it is for.
type Letter = (usize, Arc<Published>);

/// A host for an engine without a server: nothing to end, no files. Its clones share what is published: the program
/// keeps one, and passes the messages on to its sessions.
#[derive(Debug, Default, Clone)]
pub struct NoHost {
    published: Arc<Mutex<Vec<Letter>>>,
    /// What was handed over for single clients.
    delivered: Arc<Mutex<Vec<(u64, Message)>>>,
    /// What [`Host::allocated`] answers next, and by how much less it answers each time.
    allocated: Arc<Mutex<(u64, u64)>>,
}

impl NoHost {
    /// Makes the engine believe that so many bytes are allocated, and `less` fewer each time that it asks.
    pub fn pretend_allocated(&self, bytes: u64, less: u64) {
        *self.allocated.lock() = (bytes, less);
    }

    /// The messages that were published since the last call, each with the thread whose listeners it is for.
    pub fn take_published(&self) -> Vec<Letter> {
        std::mem::take(&mut self.published.lock())
    }

    /// What was handed over for single clients since the last call, with the clients' numbers.
    pub fn take_delivered(&self) -> Vec<(u64, Message)> {
        std::mem::take(&mut self.delivered.lock())
    }
}

impl Host for NoHost {
    fn shutdown(&self, _: &Engine, _: ShutdownRequest) -> Result<(), String> {
        Err("there is no server to shut down".into())
    }

    fn apply(&self, _: &Settings, _: &mut Settings) -> Result<(), (String, String)> {
        Ok(())
    }

    fn rewrite_config(&self, _: &dyn Fn(&str) -> String) -> Result<(), RewriteError> {
        Err(RewriteError::NoFile)
    }

    fn read_users(&self, _: &str) -> Result<Vec<u8>, String> {
        Err(NO_FILES.into())
    }

    fn write_users(&self, _: &str, _: &[u8]) -> Result<(), String> {
        Err(NO_FILES.into())
    }

    fn random(&self, _: &mut [u8]) -> Result<(), String> {
        Err("the program has no source of randomness that can't be guessed".into())
    }

    fn deliver(&self, _: usize, client: u64, message: Message) {
        self.delivered.lock().push((client, message));
    }

    fn publish(&self, thread: usize, message: Arc<Published>) {
        self.published.lock().push((thread, message));
    }

    fn flush_journal(&self) -> Option<u64> {
        None
    }

    fn journal_safe_to(&self) -> u64 {
        u64::MAX
    }

    fn lie_thinly(&self, blocks: &[usize]) -> Vec<bool> {
        vec![false; blocks.len()]
    }

    fn save(&self, _: &Engine, _: Option<&mut Held<'_>>) -> Result<(), String> {
        Err(NO_FILES.into())
    }

    fn abort_shutdown(&self) -> bool {
        false
    }

    fn settings_in_force(&self, _: &[&'static str]) {}

    fn emptied(&self, _: bool) {}

    fn delay_flushes(&self, _: u64) {}

    fn save_in_background(&self, _: bool) -> Result<&'static str, &'static str> {
        Err(NO_FILES)
    }

    fn rewrite_log(&self) -> Result<&'static str, &'static str> {
        Err(NO_FILES)
    }

    fn sync_log(&self) -> Option<Result<(), String>> {
        None
    }

    fn reload<'e>(
        &self,
        _: &'e Engine,
        _: &mut Held<'e>,
        _: Reload,
        _: &mut dyn FnMut(&mut Held<'e>),
    ) -> Result<(), String> {
        Err(NO_FILES.into())
    }

    fn reload_log<'e>(
        &self,
        _: &'e Engine,
        _: &mut Held<'e>,
        _: &mut dyn FnMut(&mut Held<'e>),
    ) -> Result<(), String> {
        Err(NO_FILES.into())
    }

    fn persistence(&self) -> PersistenceInfo {
        PersistenceInfo::default()
    }

    fn discard(&self, garbage: Garbage) {
        drop(garbage);
    }

    fn purge_memory(&self) {}

    fn allocator_report(&self) -> Result<String, String> {
        Err("the program has no allocator that it knows of".into())
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn segfault(&self) -> &'static str {
        "ERR there is no server to crash"
    }

    fn memory(&self) -> Memory {
        Memory::default()
    }

    fn allocated(&self) -> u64 {
        let mut allocated = self.allocated.lock();
        let (now, less) = *allocated;
        allocated.0 = now.saturating_sub(less);
        now
    }

    fn memory_apart(&self) -> u64 {
        0
    }

    fn is_freeing(&self) -> bool {
        false
    }

    fn info(&self) -> HostInfo {
        HostInfo { pid: std::process::id(), ..HostInfo::default() }
    }
}
