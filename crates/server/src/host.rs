//! What the engine asks of the process around it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use nix::sys::resource::UsageWho;
use parking_lot::Mutex;
use respire_engine::config::{Settings, directives};
use respire_engine::{
    Engine, Garbage, Host, HostInfo, Memory, Message, PersistenceInfo, Published, Reload,
    RewriteError, ShutdownRequest,
};
use respire_keyspace::Held;
use respire_persistence::Persistence;

use crate::net::{Acceptor, Listeners, Mail, Mailbox, acceptor};
use crate::process::OomScore;
use crate::startup::reason;
use crate::title::Title;
use crate::watchdog::Watchdog;
use crate::{crash, logging, memory, process};

/// The server's side of the engine's [`Host`].
pub(crate) struct ServerHost {
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    /// To the thread that frees what takes long to free.
    pub(crate) garbage: Mutex<Sender<Garbage>>,
    /// How much of it is not freed yet.
    pub(crate) freeing: Arc<AtomicUsize>,
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) listening: Arc<Listening>,
    pub(crate) run_id: String,
    pub(crate) stop: Arc<Stop>,
    pub(crate) files: Arc<Persistence>,
    pub(crate) oom_score: OomScore,
    pub(crate) title: Option<Title>,
    pub(crate) watchdog: Watchdog,
}

/// The listeners, accepted from by the main thread, and the means to replace them while it waits for them.
pub(crate) struct Listening {
    pub(crate) listeners: Mutex<Listeners>,
    pub(crate) registry: mio::Registry,
}

/// The request to end, and the bell of the main thread.
pub(crate) struct Stop {
    requested: AtomicBool,
    /// By the signal that a terminal sends.
    by_sigint: AtomicBool,
    saved: AtomicBool,
    over: AtomicBool,
    waker: mio::Waker,
}

impl Stop {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self {
            requested: AtomicBool::new(false),
            by_sigint: AtomicBool::new(false),
            saved: AtomicBool::new(false),
            over: AtomicBool::new(false),
            waker,
        }
    }

    pub(crate) fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("Waking the main thread failed: {error}");
        }
    }

    /// As [`Self::request`], by a signal. The log tells of it once it is so: whoever reads that may take it back.
    pub(crate) fn request_by(&self, sigint: bool) {
        self.by_sigint.store(sigint, Ordering::Relaxed);
        self.requested.store(true, Ordering::Release);
        let name = if sigint { "SIGINT" } else { "SIGTERM" };
        log::warn!("Received {name} scheduling shutdown...");
        self.wake();
    }

    /// The directive that says how the request is to be met.
    pub(crate) fn directive(&self) -> &'static str {
        let by_sigint = self.by_sigint.load(Ordering::Relaxed);
        if by_sigint { "shutdown-on-sigint" } else { "shutdown-on-sigterm" }
    }

    /// As [`Self::request`], where everything has been saved that is to be.
    pub(crate) fn request_after_saving(&self) {
        self.saved.store(true, Ordering::Release);
        self.request();
    }

    pub(crate) fn is_saved(&self) -> bool {
        self.saved.load(Ordering::Acquire)
    }

    /// Nothing is executed any more.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Takes the request back: the server goes on. Returns whether there was one.
    pub(crate) fn withdraw(&self) -> bool {
        self.requested.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

impl Host for ServerHost {
    fn shutdown(&self, engine: &Engine, request: ShutdownRequest) -> Result<(), String> {
        log::warn!("User requested shutdown...");
        let save = match request {
            ShutdownRequest { save: true, .. } => Some(true),
            ShutdownRequest { nosave: true, .. } => Some(false),
            _ => None,
        };
        if let Err(why) = self.files.before_end(engine, save, request.force)
            && !request.force
        {
            log::warn!("Error trying to save the DB, can't exit: {why}");
            return Err("Errors trying to SHUTDOWN. Check logs.".into());
        }
        self.stop.request_after_saving();
        Ok(())
    }

    fn abort_shutdown(&self) -> bool {
        let aborted = !self.stop.is_saved() && self.stop.withdraw();
        if aborted {
            log::warn!("Shutdown manually aborted.");
        }
        aborted
    }

    fn flush_journal(&self) -> Option<u64> {
        // A failure shows in the condition of the engine: writes are refused from then on.
        self.files.flush_or_ask().unwrap_or(None)
    }

    fn journal_safe_to(&self) -> u64 {
        self.files.safe_to()
    }

    fn lie_thinly(&self, blocks: &[usize]) -> Vec<bool> {
        memory::lie_thinly(blocks)
    }

    fn save(&self, engine: &Engine, held: Option<&mut Held<'_>>) -> Result<(), String> {
        self.files.save(engine, held)
    }

    fn save_in_background(&self, schedule: bool) -> Result<&'static str, &'static str> {
        self.files.save_in_background(schedule)
    }

    fn settings_in_force(&self, changed: &[&'static str]) {
        self.files.settings_in_force(changed);
    }

    fn emptied(&self, save: bool) {
        self.files.emptied(save);
    }

    fn delay_flushes(&self, micros: u64) {
        self.files.delay_flushes(micros);
    }

    fn rewrite_log(&self) -> Result<&'static str, &'static str> {
        self.files.rewrite_in_background()
    }

    fn sync_log(&self) -> Option<Result<(), String>> {
        self.files.sync_log().map(|synced| synced.map_err(|error| error.to_string()))
    }

    fn reload<'e>(
        &self,
        engine: &'e Engine,
        held: &mut Held<'e>,
        how: Reload,
        flush: &mut dyn FnMut(&mut Held<'e>),
    ) -> Result<(), String> {
        self.files.reload(engine, held, how, flush)
    }

    fn reload_log<'e>(
        &self,
        engine: &'e Engine,
        held: &mut Held<'e>,
        flush: &mut dyn FnMut(&mut Held<'e>),
    ) -> Result<(), String> {
        self.files.reload_log(engine, held, flush)
    }

    fn persistence(&self) -> PersistenceInfo {
        self.files.info()
    }

    fn apply(&self, old: &Settings, new: &mut Settings) -> Result<(), (String, String)> {
        if new.maxclients > old.maxclients {
            raise_maxclients(new.maxclients)?;
        }
        let acceptor = new_acceptor(old, new)?;
        self.apply_oom_score(old, new)?;
        // What can't fail any more comes after what can, so that nothing is left half done.
        if let Err(error) = self.move_to(old, new, acceptor) {
            let _ = self.apply_oom_score(new, old);
            return Err(error);
        }
        if new.loglevel != old.loglevel {
            logging::set_level(new.loglevel);
        }
        logging::set_reports(new);
        self.files.settings_changed(new);
        let watched =
            |settings: &Settings| (settings.text("watchdog-period").to_owned(), settings.hz);
        if watched(new) != watched(old) {
            self.watchdog.set(new, &self.mailboxes, &self.stop);
        }
        if new.process_title("", "") != old.process_title("", "") {
            self.show_title(new);
        }
        Ok(())
    }

    fn rewrite_config(&self, rewrite: &dyn Fn(&str) -> String) -> Result<(), RewriteError> {
        let path = self.config_file.as_deref().ok_or(RewriteError::NoFile)?;
        rewrite_file(path, rewrite).map_err(|error| RewriteError::Failed(reason(&error)))
    }

    fn read_users(&self, path: &str) -> Result<Vec<u8>, String> {
        fs::read(path).map_err(|error| reason(&error))
    }

    fn write_users(&self, path: &str, text: &[u8]) -> Result<(), String> {
        // A name without a directory is one in the working directory, which has to be named to be made safe.
        let path = std::path::absolute(path).map_err(|error| reason(&error))?;
        replace_file(&path, text).map_err(|error| reason(&error))
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), String> {
        getrandom::fill(bytes).map_err(|error| error.to_string())
    }

    fn deliver(&self, thread: usize, client: u64, message: Message) {
        if let Some(mailbox) = self.mailboxes.get(thread)
            && let Err(error) = mailbox.post(Mail::Message { client, message })
        {
            log::error!("Waking an event loop failed: {error}");
        }
    }

    fn publish(&self, thread: usize, message: Arc<Published>) {
        if let Err(error) = self.mailboxes[thread].post(Mail::Published(message)) {
            log::error!("Waking an event loop failed: {error}");
        }
    }

    fn discard(&self, garbage: Garbage) {
        self.freeing.fetch_add(1, Ordering::Release);
        // The other end is gone only when the process ends, and then the garbage goes with it.
        let _ = self.garbage.lock().send(garbage);
    }

    fn purge_memory(&self) {
        memory::purge();
    }

    fn allocator_report(&self) -> Result<String, String> {
        memory::report().map_err(|error| error.to_string())
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn segfault(&self) -> &'static str {
        crash::segfault()
    }

    fn memory(&self) -> Memory {
        memory::read()
    }

    fn allocated(&self) -> u64 {
        memory::allocated()
    }

    fn memory_apart(&self) -> u64 {
        self.files.log_waiting()
    }

    fn is_freeing(&self) -> bool {
        self.freeing.load(Ordering::Acquire) > 0
    }

    fn info(&self) -> HostInfo {
        let (cpu_user, cpu_sys) = process::cpu_times(UsageWho::RUSAGE_SELF);
        let (cpu_user_main, cpu_sys_main) = process::cpu_times(UsageWho::RUSAGE_THREAD);
        let executable = std::env::current_exe().unwrap_or_default();
        let config_file = self.config_file.clone().unwrap_or_default();
        HostInfo {
            executable: executable.display().to_string(),
            config_file: config_file.display().to_string(),
            os: process::os(),
            pid: std::process::id(),
            run_id: self.run_id.clone(),
            cpu_user,
            cpu_sys,
            cpu_user_main,
            cpu_sys_main,
            memory: memory::read(),
            allocator: memory::allocator(),
            listeners: self.listening.listeners.lock().describe(),
        }
    }
}

impl ServerHost {
    /// Has the system treat and show the process as the settings ask for. The server runs without it if need be.
    pub(crate) fn introduce(&self, settings: &Settings) {
        self.show_title(settings);
        self.watchdog.set(settings, &self.mailboxes, &self.stop);
        if let Err(error) = self.oom_score.apply(settings) {
            log::warn!("Unable to write oom_score_adj: {error}");
        }
    }

    /// Shows what the process is to be called.
    fn show_title(&self, settings: &Settings) {
        if let Some(title) = &self.title {
            title.show(settings, self.config_file.as_deref());
        }
    }

    /// Goes to another directory and listens elsewhere, or, if either fails, stays as it was.
    fn move_to(
        &self,
        old: &Settings,
        new: &mut Settings,
        acceptor: Option<Acceptor>,
    ) -> Result<(), (String, String)> {
        let left = if new.dir == old.dir { None } else { Some(change_directory(new)?) };
        self.listen_as(old, new, acceptor).inspect_err(|_| {
            if let Some(left) = left {
                let _ = std::env::set_current_dir(left);
            }
        })
    }

    fn apply_oom_score(&self, old: &Settings, new: &Settings) -> Result<(), (String, String)> {
        let names = ["oom-score-adj", "oom-score-adj-values"];
        let Some(name) = names.into_iter().find(|name| old.text(name) != new.text(name)) else {
            return Ok(());
        };
        self.oom_score.apply(new).map_err(|error| {
            log::warn!("Unable to write oom_score_adj: {error}");
            let why = "Failed to set current oom_score_adj. Check server logs.";
            (name.to_owned(), why.to_owned())
        })
    }

    /// Opens other ports if they are others, and accepts encrypted connections as is given. Nobody is accepted between.
    fn listen_as(
        &self,
        old: &Settings,
        new: &Settings,
        acceptor: Option<Acceptor>,
    ) -> Result<(), (String, String)> {
        let mut listeners = self.listening.listeners.lock();
        if (new.port, new.tls_port, &new.bind) != (old.port, old.tls_port, &old.bind) {
            let opened = listeners.reopen_tcp(old, new, &self.listening.registry);
            opened.map_err(|error| not_opened(&error, old, new))?;
        }
        if let Some(acceptor) = acceptor {
            listeners.accept_with(acceptor);
        }
        Ok(())
    }
}

/// Which directive is to blame, and what its user is told.
fn not_opened(error: &str, old: &Settings, new: &Settings) -> (String, String) {
    const TAKEN: &str = "Unable to listen on this port. Check server logs.";
    log::warn!("{error}");
    let (name, reason) = if new.port != old.port {
        ("port", TAKEN)
    } else if new.tls_port != old.tls_port {
        ("tls-port", TAKEN)
    } else {
        ("bind", "Failed to bind to specified addresses.")
    };
    (name.into(), reason.into())
}

/// What encrypted connections are accepted with from now on, if that changes.
fn new_acceptor(old: &Settings, new: &Settings) -> Result<Option<Acceptor>, (String, String)> {
    let differs =
        || directives().find(|row| row.name.starts_with("tls-") && row.get(old) != row.get(new));
    if new.tls_port == 0 || (new.files_named == old.files_named && differs().is_none()) {
        return Ok(None);
    }
    acceptor(new).map(Some).map_err(|why| {
        log::warn!("{why}");
        let name = differs().map_or("tls-cert-file", |row| row.name);
        (name.into(), "Unable to update TLS configuration. Check server logs.".into())
    })
}

fn raise_maxclients(maxclients: u32) -> Result<(), (String, String)> {
    let wanted = u64::from(maxclients);
    let possible = process::raise_file_limit(wanted);
    if possible >= wanted {
        return Ok(());
    }
    Err((
        "maxclients".into(),
        format!(
            "The operating system is not able to handle the specified number of clients, try with {possible}"
        ),
    ))
}

/// Goes to the new working directory; the settings get its absolute path. Returns the one before.
fn change_directory(new: &mut Settings) -> Result<PathBuf, (String, String)> {
    let changed = std::env::current_dir().and_then(|before| {
        new.dir = process::change_directory(&new.dir)?;
        Ok(before)
    });
    changed.map_err(|error| ("dir".into(), reason(&error)))
}

/// Replaces the text of a file by what `rewrite` makes of it.
fn rewrite_file(path: &Path, rewrite: &dyn Fn(&str) -> String) -> io::Result<()> {
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    replace_file(path, rewrite(&old).as_bytes())
}

/// Replaces the text of a file in one step that a crash can't interrupt: the new text is safe on disk before it takes the
/// old one's place.
fn replace_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!("{name}.{}.tmp", std::process::id()));
    let written = write_through(&temporary, text).and_then(|()| {
        if let Ok(metadata) = fs::metadata(path) {
            fs::set_permissions(&temporary, metadata.permissions())?;
        }
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    });
    if written.is_err() {
        // It is gone already if it has taken its place.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_through(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}
