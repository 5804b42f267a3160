//! The process as the system sees it: its times, its limits, its directory, the file that tells its id.

use std::fs;
use std::io;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeVal;
use parking_lot::Mutex;
use respire_engine::config::Settings;

use crate::startup::reason;

/// User and system time, seconds, of the process or of the calling thread.
pub(crate) fn cpu_times(who: UsageWho) -> (f64, f64) {
    match getrusage(who) {
        Ok(usage) => (seconds(usage.user_time()), seconds(usage.system_time())),
        Err(_) => (0.0, 0.0),
    }
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

/// The name and version of the operating system.
pub(crate) fn os() -> String {
    let name = rustix::system::uname();
    let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    format!("{} {} {}", part(name.sysname()), part(name.release()), part(name.machine()))
}

/// File descriptors that the server needs beside those of its clients.
pub(crate) const RESERVED_FILES: u64 = 32;

/// Raises the limit of open files to what `clients` need. Returns how many clients there may be.
pub(crate) fn raise_file_limit(clients: u64) -> u64 {
    let wanted = clients + RESERVED_FILES;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return clients };
    if soft >= wanted {
        return clients;
    }
    // The hard limit can be raised by the superuser; if not, as far as it goes.
    for (soft, hard) in [(wanted, hard.max(wanted)), (hard, hard)] {
        if setrlimit(Resource::RLIMIT_NOFILE, soft, hard).is_ok() {
            return clients.min(soft - RESERVED_FILES);
        }
    }
    clients.min(soft.saturating_sub(RESERVED_FILES))
}

/// Goes to the directory that the settings name, if they do; they hold its absolute path afterwards.
pub(crate) fn enter_directory(settings: &mut Settings) -> Result<(), String> {
    if settings.is_explicit("dir") {
        settings.dir = change_directory(&settings.dir)
            .map_err(|error| format!("Can't chdir to '{}': {}", settings.dir, reason(&error)))?;
    }
    Ok(())
}

/// Makes `path` the working directory. Returns its absolute path.
pub(crate) fn change_directory(path: &str) -> io::Result<String> {
    std::env::set_current_dir(path)?;
    Ok(std::env::current_dir()?.to_string_lossy().into_owned())
}

/// Writes the id of the process to a file, unless its name is empty. The server runs without it if need be.
pub(crate) fn write_pidfile(path: &str) {
    if !path.is_empty()
        && let Err(error) = fs::write(path, format!("{}\n", std::process::id()))
    {
        log::warn!("Failed to write PID file {path}: {}", reason(&error));
    }
}

pub(crate) fn remove_pidfile(path: &str) {
    if !path.is_empty() {
        log::info!("Removing the pid file.");
        if let Err(error) = fs::remove_file(path) {
            log::warn!("Failed to remove PID file {path}: {}", reason(&error));
        }
    }
}

/// How much rather, or less, than others the process is ended by the system when memory runs out.
#[derive(Default)]
pub(crate) struct OomScore {
    /// What it was before the settings changed it, while they do.
    before: Mutex<Option<i64>>,
}

impl OomScore {
    const FILE: &'static str = "/proc/self/oom_score_adj";

    /// Brings it to what the settings ask for.
    pub(crate) fn apply(&self, settings: &Settings) -> io::Result<()> {
        let mode = settings.text("oom-score-adj");
        let values = settings.text("oom-score-adj-values");
        // The first is that of a master; there are no others.
        let value: i64 = values.split(' ').next().and_then(|v| v.parse().ok()).unwrap_or(0);
        let mut before = self.before.lock();
        if mode == "no" {
            if let Some(score) = before.take() {
                fs::write(Self::FILE, score.to_string())?;
            }
            return Ok(());
        }
        let base = match *before {
            Some(base) => base,
            None => fs::read_to_string(Self::FILE)?.trim().parse().map_err(io::Error::other)?,
        };
        let score = if mode == "absolute" { value } else { base + value };
        fs::write(Self::FILE, score.clamp(-1000, 1000).to_string())?;
        *before = Some(base);
        Ok(())
    }
}
