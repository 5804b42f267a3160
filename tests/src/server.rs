//! One server process for a test.
//!
//! Owns the process, its port and its directory, and gives all of them back on drop. A server that died on its own
//! fails the test; the log of a failed test's servers is printed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::outside;
use crate::value::Value;

/// Names the program under test; without it the test builds and takes the workspace's `respire`.
pub const SUBJECT: &str = "RESPIRE_SERVER";

/// How long a server may take to answer its first PING.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Which server to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The program under test.
    Respire,
    /// `redis-server` from the path: the oracle.
    Redis,
}

#[derive(Debug)]
pub struct Server {
    process: Child,
    address: SocketAddr,
    directory: PathBuf,
    name: &'static str,
    ended: bool,
    /// The directory belongs to the test, which starts another server in it.
    lent: bool,
}

/// A directory that is gone with the value.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(what: &str) -> Directory {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("respire-{what}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory for a test");
        Directory(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Both servers where there is a Redis, else only the one under test. `unchecked` says what is then not checked.
pub fn kinds(unchecked: &str) -> Vec<Kind> {
    match redis_path(unchecked) {
        Some(_) => vec![Kind::Respire, Kind::Redis],
        None => vec![Kind::Respire],
    }
}

/// The path of `redis-server`, or `None` after a loud message.
pub fn redis_path(unchecked: &str) -> Option<PathBuf> {
    outside::find("redis-server", "redis-server", unchecked)
}

impl Server {
    /// Starts a server with `extra` arguments behind the usual ones and waits until it answers.
    ///
    /// Panics when it doesn't; a missing `redis-server` is the caller's to find out with [`redis_path`].
    pub fn start(kind: Kind, extra: &[&str]) -> Server {
        Server::start_configured(kind, None, extra)
    }

    /// The same with a configuration file; what stands in `extra` wins over it.
    pub fn start_configured(kind: Kind, file: Option<&Path>, extra: &[&str]) -> Server {
        // Between finding a free port and binding it somebody else may take it.
        for attempt in 1.. {
            let mut server = Server::spawn(kind, file, extra);
            match server.wait_ready() {
                Ok(()) => return server,
                Err(why) if attempt == 3 => panic!("{} did not start: {why}", server.name),
                Err(_) => server.kill(),
            }
        }
        unreachable!("the third attempt returns or panics")
    }

    /// Starts a server in a directory that others were in before, and tells why where it does not start.
    pub fn try_start_in(
        kind: Kind,
        directory: &Directory,
        extra: &[&str],
    ) -> Result<Server, String> {
        let mut server = Server::spawn_in(kind, None, Some(directory.path()), extra);
        match server.wait_ready() {
            Ok(()) => Ok(server),
            Err(why) => {
                server.kill();
                Err(why)
            }
        }
    }

    /// The same, where it must start.
    pub fn start_in(kind: Kind, directory: &Directory, extra: &[&str]) -> Server {
        Server::try_start_in(kind, directory, extra).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Ends the process as a crash would.
    pub fn crash(mut self) {
        self.kill();
    }

    /// A Respire and a Redis with the same arguments, or `None` when there is no Redis here.
    pub fn start_pair(extra: &[&str], unchecked: &str) -> Option<(Server, Server)> {
        redis_path(unchecked)?;
        Some((Server::start(Kind::Respire, extra), Server::start(Kind::Redis, extra)))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The server's working directory; gone with the server.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A new connection; panics when refused.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
            .unwrap_or_else(|e| panic!("can't connect to {} on {}: {e}", self.name, self.address))
    }

    /// What the server has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// Waits until the server has ended by itself, as after SHUTDOWN.
    pub fn wait_exit(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.process.try_wait() {
                self.ended = true;
                return Some(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    fn spawn(kind: Kind, file: Option<&Path>, extra: &[&str]) -> Server {
        Server::spawn_in(kind, file, None, extra)
    }

    fn spawn_in(kind: Kind, file: Option<&Path>, lent: Option<&Path>, extra: &[&str]) -> Server {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (name, path) = match kind {
            Kind::Respire => ("respire", subject()),
            Kind::Redis => ("redis", PathBuf::from("redis-server")),
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = format!("respire-test-{}-{number}-{name}", std::process::id());
        let directory = lent.map_or_else(|| std::env::temp_dir().join(own), Path::to_path_buf);
        fs::create_dir_all(&directory).expect("a directory for the server");
        let port = free_port();
        let log = File::create(directory.join("log")).expect("a log file for the server");
        let process = Command::new(&path)
            .args(file)
            .args(["--port", &port.to_string(), "--dir"])
            .arg(&directory)
            .args(["--save", "", "--enable-debug-command", "yes", "--bind", "127.0.0.1"])
            .args(extra)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a second handle on the log"))
            .stdout(log)
            .spawn()
            .unwrap_or_else(|e| panic!("can't run {}: {e}", path.display()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Server { process, address, directory, name, ended: false, lent: lent.is_some() }
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if let Ok(Some(status)) = self.process.try_wait() {
                self.ended = true;
                return Err(format!("it ended with {status}\n{}", self.log()));
            }
            if let Ok(mut client) = Client::connect(self.address) {
                let answers = match client.roundtrip(&["PING"]) {
                    Ok(Value::Simple(pong)) => pong == b"PONG",
                    // Who is to show a password first is not told that the data is still being loaded; the log tells.
                    Ok(Value::Error(e)) => {
                        e.starts_with(b"NOAUTH")
                            && self.log().contains("Ready to accept connections")
                    }
                    _ => false,
                };
                // Somebody else may listen where this server could not.
                if answers && !self.log().contains("listening socket") {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                return Err(format!("no answer on {}\n{}", self.address, self.log()));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Ends the process. Returns how it had ended before that, if it had.
    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.ended = true;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let died = match self.process.try_wait() {
            Ok(Some(status)) if !self.ended => Some(status),
            _ => None,
        };
        self.kill();
        if thread::panicking() || died.is_some() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the end of the log of {} on {} ---", self.name, self.address);
            for line in &lines[lines.len().saturating_sub(60)..] {
                eprintln!("{line}");
            }
        }
        if !self.lent {
            let _ = fs::remove_dir_all(&self.directory);
        }
        if let Some(status) = died {
            // A second panic while unwinding would abort the whole test program.
            assert!(thread::panicking(), "{} ended during the test with {status}", self.name);
        }
    }
}

/// A port that nobody listens on. Below the range from which the system takes ports for outgoing connections, so that
/// none of those takes it before the server does; each process of tests begins at a place of its own.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = std::process::id().wrapping_mul(97).wrapping_add(number) % COUNT;
        let port = (FIRST + offset) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// The program under test.
pub fn subject() -> PathBuf {
    static SUBJECT_PATH: OnceLock<PathBuf> = OnceLock::new();
    SUBJECT_PATH
        .get_or_init(|| match std::env::var_os(SUBJECT) {
            Some(path) => PathBuf::from(path),
            None => build(),
        })
        .clone()
}

/// Builds `respire` in the profile of the running test, so that no test ever runs against a stale binary. With
/// nothing changed this takes a fraction of a second.
fn build() -> PathBuf {
    let this = std::env::current_exe().expect("the path of the test program");
    // target/<profile>/deps/<test>
    let profile_dir =
        this.parent().and_then(Path::parent).expect("a profile directory").to_path_buf();
    let profile = profile_dir.file_name().and_then(|n| n.to_str()).unwrap_or("debug").to_string();
    let target = profile_dir.parent().expect("a target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "respire", "--bin", "respire", "--profile"])
        .arg(if profile == "debug" { "dev" } else { &profile })
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "`cargo build -p respire` failed");
    profile_dir.join("respire")
}
