//! Starts and ends the server: opens the sockets, builds the engine, runs the threads.
//!
//! Threads: `respire-main` accepts connections; `respire-io-N` are the event loops; `respire-free` frees what takes long
//! to free; `respire-signal` waits for SIGINT and SIGTERM.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use parking_lot::Mutex;
use respire_engine::config::{Config, NotActing, Settings, not_acting};
use respire_engine::{Compacting, Engine, Garbage, PauseKind, Worker};
use respire_persistence::{Persistence, drop_slowly};
use signal_hook::consts::{SIGALRM, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::clock::SystemClock;
use crate::host::{Listening, ServerHost, Stop};
use crate::net::{BELL, EventLoop, Listeners, Loop, Mail, Mailbox};
use crate::supervise::Supervisor;
use crate::title::Title;
use crate::watchdog::Watchdog;
use crate::{banner, crash, logging, memory, metrics, process, slice, stacks};

/// What a server is started with.
#[derive(Clone)]
pub struct Options {
    /// What directives are when nobody sets them, on this machine.
    pub defaults: Settings,
    pub settings: Settings,
    /// The file that CONFIG REWRITE writes.
    pub config_file: Option<PathBuf>,
    /// Where the title of the process goes, if it has one.
    pub title: Option<Title>,
    purpose: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The process is there to be this server: its log, working directory and file of the process id are the server's.
    Service,
    /// A guest in another program: logs nothing, and listens on a port of 127.0.0.1 that the system chooses.
    Embedded,
}

impl Purpose {
    fn supervisor(self, settings: &Settings) -> Supervisor {
        match self {
            Self::Service => Supervisor::of(settings),
            Self::Embedded => Supervisor::None,
        }
    }

    /// From here on signals wait until somebody looks at them. It has to be so before anybody can know that the server is
    /// there: who has been answered may well send one at once, and the system's way of treating it would be the end.
    fn signals(self) -> Result<Option<Signals>, String> {
        if self == Self::Embedded {
            return Ok(None);
        }
        // A file that may not grow any more is a full disk: writing to it fails, and that must not end the process.
        let signals = Signals::new([SIGINT, SIGTERM, SIGALRM, SIGXFSZ]);
        signals.map(Some).map_err(failed("Signals cannot be handled"))
    }
}

impl Options {
    /// A server as its configuration says.
    pub fn new(defaults: Settings, settings: Settings, config_file: Option<PathBuf>) -> Self {
        Self { defaults, settings, config_file, title: None, purpose: Purpose::Service }
    }

    /// A server inside another program, with the defaults; its address is in [`Server::addresses`].
    pub fn embedded() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut settings = Settings::new(threads, ".");
        // A guest leaves no files behind.
        settings.set_unsaved();
        Self {
            defaults: settings.clone(),
            settings,
            config_file: None,
            title: None,
            purpose: Purpose::Embedded,
        }
    }
}

/// A running server.
pub struct Server {
    stop: Arc<Stop>,
    addresses: Vec<SocketAddr>,
    /// Empty for none.
    pidfile: String,
    files: Arc<Persistence>,
    /// Those that the process is sent; a guest leaves them to the program that it is in.
    signals: Option<Signals>,
    main: JoinHandle<()>,
}

impl Server {
    /// Opens the sockets and starts all threads. On return, connections are being accepted.
    pub fn start(options: Options) -> Result<Self, String> {
        let Options { defaults, mut settings, config_file, title, purpose } = options;
        if purpose == Purpose::Service {
            process::enter_directory(&mut settings)?;
            logging::start(&settings)?;
            log_settings(&settings, config_file.as_deref());
        }
        fit_file_limit(&mut settings);
        let signals = purpose.signals()?;
        let mut listeners = open_listeners(&settings, purpose)?;
        let addresses = listeners.tcp_addresses();
        let supervisor = purpose.supervisor(&settings);
        let (poll, waker) = poller()?;
        let stop = Arc::new(Stop::new(waker));
        listeners.register(poll.registry()).map_err(failed("Could not poll the listeners"))?;
        let registry = poll.registry().try_clone().map_err(failed("Could not share a poller"))?;
        let listening = Arc::new(Listening { listeners: Mutex::new(listeners), registry });

        let (loops, polls) = loops(&settings)?;
        let (garbage, freed) = mpsc::channel();
        let freeing = Arc::new(AtomicUsize::new(0));
        let files = Arc::new(Persistence::default());
        let host = ServerHost {
            mailboxes: loops.iter().map(|l| Arc::clone(&l.mailbox)).collect(),
            garbage: Mutex::new(garbage),
            freeing: Arc::clone(&freeing),
            config_file,
            listening: Arc::clone(&listening),
            run_id: run_id()?,
            stop: Arc::clone(&stop),
            files: Arc::clone(&files),
            oom_score: process::OomScore::default(),
            title,
            watchdog: Watchdog::default(),
        };
        host.introduce(&settings);
        let secret = [random()?, random()?, random()?, random()?];
        if purpose == Purpose::Service {
            announce(&settings, &supervisor);
        }
        let pidfile = settings.pidfile.clone();
        let config = Config::new(defaults, settings);
        let engine =
            Arc::new(Engine::new(config, Box::new(SystemClock::new()), Box::new(host), secret));
        engine.load_users()?;
        spawn("respire-free", move || free(freed, &freeing))?;
        files.attach(&engine);
        files.begin_loading(&engine);
        let threads = event_loops(&engine, &loops, polls)?;
        let mailboxes: Vec<_> = loops.iter().map(|l| Arc::clone(&l.mailbox)).collect();
        metrics::serve(&engine.config.load(), &engine, &mailboxes, &stop)?;
        engine.sample();
        log::info!("Server initialized");
        let mut keepers = keepers(&engine, &files, &loops, supervisor.clone())?;
        let (compacting, compacted) = (Arc::clone(&engine), Arc::clone(&stop));
        keepers.push(spawn("respire-compact", move || compact(&compacting, &compacted))?);
        let accept = Accept {
            poll,
            listening,
            engine,
            loops,
            threads,
            keepers,
            files: Arc::clone(&files),
            stop: Arc::clone(&stop),
            supervisor,
        };
        let main = spawn("respire-main", move || accept.run())?;
        Ok(Self { stop, addresses, pidfile, files, signals, main })
    }

    /// The TCP addresses that the server listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends the server and waits until it has ended.
    pub fn stop(self) {
        self.stop.request();
        let _ = self.main.join();
    }

    /// Waits until a signal or SHUTDOWN ends the server.
    pub fn run_until_signal(mut self) -> ExitCode {
        let (stop, files) = (Arc::clone(&self.stop), Arc::clone(&self.files));
        let watched = self.signals.take().map_or(Ok(()), |mut signals| {
            let watch = move || {
                for signal in signals.forever().filter(|signal| *signal != SIGXFSZ) {
                    if signal == SIGALRM {
                        log::warn!("Received SIGALRM\n{}", stacks::of_all_threads());
                        continue;
                    }
                    if signal == SIGINT && stop.is_requested() {
                        log::warn!("You insist... exiting now.");
                        files.drop_unfinished();
                        std::process::exit(1);
                    }
                    stop.request_by(signal == SIGINT);
                }
            };
            spawn("respire-signal", watch).map(drop)
        });
        if let Err(error) = watched {
            log::error!("Signals cannot be handled: {error}");
            return ExitCode::FAILURE;
        }
        if self.main.join().is_err() {
            return ExitCode::FAILURE;
        }
        process::remove_pidfile(&self.pidfile);
        log::warn!("Respire is now ready to exit, bye bye...");
        ExitCode::SUCCESS
    }
}

/// Makes known that the process is there: to the log, by the file of its id, to its supervisor.
fn announce(settings: &Settings, supervisor: &Supervisor) {
    log::info!("{}", banner::text(settings));
    process::write_pidfile(&settings.pidfile);
    supervisor.warn_if_missing(settings);
    supervisor.starting();
}

/// Frees what comes, and counts it off.
fn free(garbage: Receiver<Garbage>, freeing: &AtomicUsize) {
    for garbage in garbage {
        drop_slowly(garbage);
        // Makes known what has been freed.
        memory::allocated();
        freeing.fetch_sub(1, Ordering::Release);
    }
}

/// Moves together what lies thinly in memory, until the server stops.
fn compact(engine: &Engine, stop: &Stop) {
    memory::go_past_cache();
    let mut state = Compacting::default();
    while !stop.is_over() {
        thread::park_timeout(engine.compact(&mut state));
    }
}

/// The thread that accepts connections.
struct Accept {
    poll: Poll,
    listening: Arc<Listening>,
    engine: Arc<Engine>,
    loops: Vec<Loop>,
    threads: Vec<JoinHandle<()>>,
    /// Those that work on files.
    keepers: Vec<JoinHandle<()>>,
    files: Arc<Persistence>,
    stop: Arc<Stop>,
    supervisor: Supervisor,
}

fn open_listeners(settings: &Settings, purpose: Purpose) -> Result<Listeners, String> {
    let listeners = match purpose {
        Purpose::Service => Listeners::open(settings),
        Purpose::Embedded => Listeners::open_ephemeral(settings),
    };
    listeners.inspect_err(|_| {
        log::warn!("Failed listening on port {} (tcp), aborting.", settings.port);
    })
}

/// The mailboxes and pollers of the event loops.
fn loops(settings: &Settings) -> Result<(Vec<Loop>, Vec<Poll>), String> {
    let (mut loops, mut polls) = (Vec::new(), Vec::new());
    for _ in 0..settings.io_threads {
        let (poll, waker) = poller()?;
        let mailbox = Arc::new(Mailbox::new(waker));
        loops.push(Loop { mailbox, load: Arc::new(AtomicUsize::new(0)) });
        polls.push(poll);
    }
    Ok((loops, polls))
}

/// The threads that execute commands.
fn event_loops(
    engine: &Arc<Engine>,
    loops: &[Loop],
    polls: Vec<Poll>,
) -> Result<Vec<JoinHandle<()>>, String> {
    let mut threads = Vec::new();
    for (i, (Loop { mailbox, load }, poll)) in loops.iter().zip(polls).enumerate() {
        let worker = Worker::new(engine, i, random()?);
        let (mailbox, load) = (Arc::clone(mailbox), Arc::clone(load));
        let event_loop = EventLoop::new(Arc::clone(engine), worker, poll, mailbox, load);
        threads.push(spawn(&format!("respire-io-{i}"), move || {
            slice::shorten();
            event_loop.run();
        })?);
    }
    Ok(threads)
}

/// The threads that work on files, the first of which loads what there is.
fn keepers(
    engine: &Arc<Engine>,
    files: &Arc<Persistence>,
    loops: &[Loop],
    supervisor: Supervisor,
) -> Result<Vec<JoinHandle<()>>, String> {
    let (loading, saving, syncing) = (Arc::clone(engine), Arc::clone(files), Arc::clone(files));
    let save = move || {
        if let Err(failure) = saving.load(&loading) {
            // To go on without what was kept would be to lose it with the next snapshot.
            log::error!("Fatal error loading the DB: {failure}. Exiting.");
            std::process::exit(1);
        }
        drop(loading);
        log::info!("Ready to accept connections");
        supervisor.ready();
        saving.save_loop();
    };
    let mailboxes: Vec<_> = loops.iter().map(|l| Arc::clone(&l.mailbox)).collect();
    let sync = move || {
        // Clients wait for it, too.
        slice::shorten();
        let told = || mailboxes.iter().for_each(|mailbox| mailbox.ring());
        let lost = |error: &io::Error| {
            // What clients wait to be told is not safe, and can't be undone either.
            log::error!(
                "Can't recover from AOF write error when the AOF fsync policy is 'always': {error}. Exiting..."
            );
            std::process::exit(1);
        };
        syncing.sync_loop(&told, &lost);
    };
    Ok(vec![spawn("respire-save", save)?, spawn("respire-aof", sync)?])
}

/// How often the figures per second are sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

impl Accept {
    fn run(self) {
        let Self { mut poll, listening, engine, loops, threads, keepers, files, stop, supervisor } =
            self;
        let mut events = Events::with_capacity(64);
        let mut sample_at = Instant::now() + SAMPLE_EVERY;
        loop {
            if stop.is_requested() && (stop.is_saved() || !engine.is_cron_paused()) {
                if stop.is_saved() || save_before_end(&engine, &files, stop.directive()) {
                    break;
                }
                stop.withdraw();
            }
            let wait = sample_at.saturating_duration_since(Instant::now());
            if let Err(error) = poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("Polling listeners failed: {error}");
                break;
            }
            for event in &events {
                let Token(i) = event.token();
                listening.listeners.lock().accept(i, &engine, &loops);
            }
            if Instant::now() >= sample_at {
                engine.sample();
                sample_at = Instant::now() + SAMPLE_EVERY;
            }
        }
        supervisor.stopping();
        // First of all that clients notice, so that whoever sees a connection close may start another server on the same port.
        listening.listeners.lock().close();
        for Loop { mailbox, .. } in &loops {
            if let Err(error) = mailbox.post(Mail::Stop) {
                log::error!("Waking an event loop failed: {error}");
            }
        }
        files.stop();
        stop.end();
        keepers.iter().for_each(|keeper| keeper.thread().unpark());
        // What is being loaded goes with the process: nobody waits for the end of that.
        let keepers = if engine.is_loading() { Vec::new() } else { keepers };
        for thread in threads.into_iter().chain(keepers) {
            let _ = thread.join();
        }
    }
}

/// Saves what is to be saved when a signal ends the server. Returns whether it may end.
fn save_before_end(engine: &Engine, files: &Persistence, directive: &str) -> bool {
    let now_ms = engine.clock.unix_us() / 1000;
    engine.pause.begin(PauseKind::All, i64::MAX, now_ms);
    let options = engine.config.load();
    let option = |name: &str| options.text(directive).split(' ').any(|word| word == name);
    let save = match () {
        () if option("save") => Some(true),
        () if option("nosave") => Some(false),
        () => None,
    };
    let saved = files.before_end(engine, save, option("force"));
    if saved.is_err() && option("force") {
        return true;
    }
    if let Err(why) = &saved {
        log::warn!("Error trying to save the DB, can't exit: {why}");
        engine.pause.end();
    }
    saved.is_ok()
}

pub(crate) fn spawn(
    name: &str,
    f: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, String> {
    let prepared = || {
        crash::prepare_thread();
        f();
    };
    let spawned = thread::Builder::new().name(name.into()).spawn(prepared);
    spawned.map_err(|error| format!("Could not start thread {name}: {error}"))
}

pub(crate) fn random() -> Result<u64, String> {
    getrandom::u64().map_err(|error| format!("The system gives no random numbers: {error}"))
}

/// Forty hexadecimal digits that tell this run from all others.
fn run_id() -> Result<String, String> {
    Ok(format!("{:016x}{:016x}{:08x}", random()?, random()?, random()? as u32))
}

/// Explains an error of the system.
fn failed(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// A poller and what wakes it.
fn poller() -> Result<(Poll, Waker), String> {
    let poll = Poll::new().map_err(failed("Could not create a poller"))?;
    let waker = Waker::new(poll.registry(), BELL).map_err(failed("Could not create a waker"))?;
    Ok((poll, waker))
}

/// Raises the limit of open files to what `maxclients` needs, or lowers `maxclients` to what the system allows.
fn fit_file_limit(settings: &mut Settings) {
    let possible = process::raise_file_limit(u64::from(settings.maxclients));
    if possible < u64::from(settings.maxclients) {
        log::warn!(
            "The limit of open files allows {possible} clients, not {}; maxclients is lowered.",
            settings.maxclients
        );
        settings.maxclients = possible as u32;
    }
}

/// Says what the configuration asks for that will not happen.
fn log_settings(settings: &Settings, config_file: Option<&Path>) {
    match config_file {
        Some(path) => log::info!("Configuration loaded from {}", path.display()),
        None => log::info!("No configuration file: the defaults and the command line are in force"),
    }
    let NotActing { not_yet, meaningless, promises } = not_acting(settings);
    if !not_yet.is_empty() {
        log::info!("These directives have no effect yet: {}", not_yet.join(", "));
    }
    if !meaningless.is_empty() {
        log::info!("These directives mean nothing here: {}", meaningless.join(", "));
    }
    for name in promises {
        log::warn!(
            "WARNING: '{name}' IS CONFIGURED BUT NOT SUPPORTED YET BY THIS VERSION OF RESPIRE. What it promises \
             is NOT done: do not rely on it."
        );
    }
}
