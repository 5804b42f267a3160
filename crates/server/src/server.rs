//! Starts and ends the server: opens the sockets, builds the engine, runs the threads.
//!
//! Threads: `respire-main` accepts connections; `respire-io-N` are the event loops; `respire-free` frees what takes long
//! to free; `respire-signal` waits for SIGINT and SIGTERM.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use mio::{Events, Poll, Token, Waker};
use parking_lot::Mutex;
use respire_engine::config::{Config, Settings};
use respire_engine::{Engine, Worker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::clock::SystemClock;
use crate::host::{ServerHost, Stop};
use crate::net::{BELL, EventLoop, Listeners, Loop, Mail, Mailbox};
use crate::{logging, process};

/// What a server is started with.
pub struct Options {
    /// What directives are when nobody sets them, on this machine.
    pub defaults: Settings,
    pub settings: Settings,
    /// The file that CONFIG REWRITE writes.
    pub config_file: Option<PathBuf>,
}

/// A running server.
pub struct Server {
    stop: Arc<Stop>,
    addresses: Vec<SocketAddr>,
    main: JoinHandle<()>,
}

impl Server {
    /// Opens the sockets and starts all threads. On return, connections are being accepted.
    pub fn start(options: Options) -> Result<Self, String> {
        let Options { defaults, mut settings, config_file } = options;
        logging::start(&settings)?;
        let possible = process::raise_file_limit(u64::from(settings.maxclients));
        if possible < u64::from(settings.maxclients) {
            log::warn!(
                "The limit of open files allows {possible} clients, not {}; maxclients is lowered.",
                settings.maxclients
            );
            settings.maxclients = possible as u32;
        }
        let mut listeners = Listeners::open(&settings)?;
        let addresses = listeners.tcp_addresses();
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| format!("{what}: {error}")
        };
        let poll = Poll::new().map_err(failed("Could not create a poller"))?;
        let waker =
            Waker::new(poll.registry(), BELL).map_err(failed("Could not create a waker"))?;
        let stop = Arc::new(Stop::new(waker));
        listeners.register(poll.registry()).map_err(failed("Could not poll the listeners"))?;

        let mut polls = Vec::new();
        let mut loops = Vec::new();
        for _ in 0..settings.io_threads {
            let poll = Poll::new().map_err(failed("Could not create a poller"))?;
            let waker =
                Waker::new(poll.registry(), BELL).map_err(failed("Could not create a waker"))?;
            let mailbox = Arc::new(Mailbox::new(waker));
            loops.push(Loop { mailbox, load: Arc::new(AtomicUsize::new(0)) });
            polls.push(poll);
        }
        let (garbage, freed) = mpsc::channel();
        let host = ServerHost {
            mailboxes: loops.iter().map(|l| Arc::clone(&l.mailbox)).collect(),
            garbage: Mutex::new(garbage),
            config_file,
            listeners: listeners.describe(),
            run_id: run_id()?,
            stop: Arc::clone(&stop),
        };
        let secret = [random()?, random()?, random()?, random()?];
        let banner = banner(&settings);
        let config = Config::new(defaults, settings);
        let engine =
            Arc::new(Engine::new(config, Box::new(SystemClock::new()), Box::new(host), secret));

        spawn("respire-free", move || freed.iter().for_each(drop))?;
        let mut threads = Vec::new();
        for (i, poll) in polls.into_iter().enumerate() {
            let worker = Worker::new(&engine, i, random()?);
            let Loop { mailbox, load } = &loops[i];
            let event_loop = EventLoop::new(
                Arc::clone(&engine),
                worker,
                poll,
                Arc::clone(mailbox),
                Arc::clone(load),
            );
            threads.push(spawn(&format!("respire-io-{i}"), move || event_loop.run())?);
        }
        log::info!("{banner}");
        let accept = Accept { poll, listeners, engine, loops, threads, stop: Arc::clone(&stop) };
        let main = spawn("respire-main", move || accept.run())?;
        Ok(Self { stop, addresses, main })
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
    pub fn run_until_signal(self) -> ExitCode {
        let stop = Arc::clone(&self.stop);
        let signals = Signals::new([SIGINT, SIGTERM]);
        let watched = signals.map_err(|e| e.to_string()).and_then(|mut signals| {
            spawn("respire-signal", move || {
                for signal in signals.forever() {
                    let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
                    log::warn!("Received {name} scheduling shutdown...");
                    stop.request();
                }
            })
        });
        if let Err(error) = watched {
            log::error!("Signals cannot be handled: {error}");
            return ExitCode::FAILURE;
        }
        if self.main.join().is_err() {
            return ExitCode::FAILURE;
        }
        log::warn!("Respire is now ready to exit, bye bye...");
        ExitCode::SUCCESS
    }
}

/// The thread that accepts connections.
struct Accept {
    poll: Poll,
    listeners: Listeners,
    engine: Arc<Engine>,
    loops: Vec<Loop>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<Stop>,
}

impl Accept {
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        log::info!("Ready to accept connections");
        while !self.stop.is_requested() {
            if let Err(error) = self.poll.poll(&mut events, None)
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("Polling listeners failed: {error}");
                break;
            }
            for event in &events {
                let Token(i) = event.token();
                self.listeners.accept(i, &self.engine, &self.loops);
            }
        }
        for Loop { mailbox, .. } in &self.loops {
            if let Err(error) = mailbox.post(Mail::Stop) {
                log::error!("Waking an event loop failed: {error}");
            }
        }
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    let spawned = thread::Builder::new().name(name.into()).spawn(f);
    spawned.map_err(|error| format!("Could not start thread {name}: {error}"))
}

fn random() -> Result<u64, String> {
    getrandom::u64().map_err(|error| format!("The system gives no random numbers: {error}"))
}

/// Forty hexadecimal digits that tell this run from all others.
fn run_id() -> Result<String, String> {
    Ok(format!("{:016x}{:016x}{:08x}", random()?, random()?, random()? as u32))
}

fn banner(settings: &Settings) -> String {
    format!(
        "Respire {} starting: port {}, {} threads, {} shards, pid {}",
        env!("CARGO_PKG_VERSION"),
        settings.port,
        settings.io_threads,
        settings.shards,
        std::process::id()
    )
}
