//! `supervised` and `daemonize`: how the process stands to whoever started it.
//!
//! systemd is told over the socket that it names (sd_notify); upstart waits for the process to stop itself once. Who is
//! not there is not told, and nothing that goes wrong here keeps the server from serving. Going into the background is
//! done before any thread is started: a fork takes only the calling thread along.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::sys::signal::{self, Signal};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use respire_engine::config::Settings;

use crate::memory;

/// Whoever waits for the server to be ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Supervisor {
    None,
    /// Goes on when the process has stopped itself.
    Upstart,
    /// Reads the datagrams that come to this address.
    Systemd(OsString),
}

impl Supervisor {
    /// The one that the settings ask for, as far as the environment shows that it is there.
    pub(crate) fn of(settings: &Settings) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::choose(
            &settings.text("supervised"),
            variable("UPSTART_JOB"),
            variable("NOTIFY_SOCKET"),
        )
    }

    fn choose(asked: &str, job: Option<OsString>, socket: Option<OsString>) -> Self {
        match (asked, job, socket) {
            ("upstart" | "auto", Some(_), _) => Self::Upstart,
            ("systemd" | "auto", _, Some(socket)) => Self::Systemd(socket),
            _ => Self::None,
        }
    }

    /// Says what the settings ask for and the environment doesn't show.
    pub(crate) fn warn_if_missing(&self, settings: &Settings) {
        let missing = match settings.text("supervised").as_str() {
            "systemd" => "NOTIFY_SOCKET",
            "upstart" => "UPSTART_JOB",
            _ => return,
        };
        if *self == Self::None {
            log::warn!("Supervision is asked for, but {missing} is not set: nobody will be told.");
        }
    }

    pub(crate) fn starting(&self) {
        self.notify("STATUS=Loading the data");
    }

    pub(crate) fn ready(&self) {
        match self {
            Self::Upstart => {
                if let Err(error) = signal::raise(Signal::SIGSTOP) {
                    log::warn!("Telling upstart failed: {error}");
                }
            }
            _ => self.notify("READY=1\nSTATUS=Ready to accept connections"),
        }
    }

    pub(crate) fn stopping(&self) {
        self.notify("STOPPING=1\nSTATUS=Ending");
    }

    fn notify(&self, text: &str) {
        if let Self::Systemd(socket) = self
            && let Err(error) = send(socket, text)
        {
            log::warn!("Telling systemd failed: {error}");
        }
    }
}

/// Sends one datagram; an address that begins with `@` is one of the abstract namespace.
fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sent = UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)?;
    debug_assert_eq!(sent, text.len(), "a datagram is sent whole");
    Ok(())
}

/// Where Redis notes the id of a process in the background when it is not told a place.
const PIDFILE: &str = "/var/run/redis.pid";

/// Goes into the background if the settings say so: the calling process ends, and its child goes on without terminal, with
/// nothing on its standard streams. A supervisor wants its process in the foreground, and gets it.
///
/// Must be called before any thread is started.
pub fn go_into_background(settings: &mut Settings) -> Result<(), String> {
    if settings.text("daemonize") != "yes" || Supervisor::of(settings) != Supervisor::None {
        return Ok(());
    }
    // SAFETY: no thread of this program runs yet, so that the child is as whole as its parent. The thread that the
    // allocator has by then is its own: it prepares for forks, and is started again below.
    let forked = unsafe { fork() };
    match forked.map_err(|error| format!("Can't go into the background: {error}"))? {
        ForkResult::Parent { .. } => std::process::exit(0),
        ForkResult::Child => {}
    }
    memory::run_in_background();
    if settings.pidfile.is_empty() {
        PIDFILE.clone_into(&mut settings.pidfile);
    }
    detach().map_err(|error| format!("Can't go into the background: {error}"))
}

fn detach() -> io::Result<()> {
    setsid()?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_is_chosen_where_the_environment_shows_it() {
        let (job, socket) = (Some(OsString::from("job")), Some(OsString::from("/socket")));
        let systemd = Supervisor::Systemd("/socket".into());
        for (asked, job, socket, expected) in [
            ("no", &job, &socket, &Supervisor::None),
            ("auto", &None, &None, &Supervisor::None),
            ("auto", &None, &socket, &systemd),
            ("auto", &job, &socket, &Supervisor::Upstart),
            ("systemd", &job, &socket, &systemd),
            ("systemd", &job, &None, &Supervisor::None),
            ("upstart", &None, &socket, &Supervisor::None),
        ] {
            assert_eq!(
                &Supervisor::choose(asked, job.clone(), socket.clone()),
                expected,
                "{asked}"
            );
        }
    }

    #[test]
    fn systemd_is_told_by_path_and_by_abstract_name() {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("respire-notify-{id}"));
        let _ = std::fs::remove_file(&path);
        let name = format!("respire-notify-{id}");
        let by_path = (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}").into());
        for (socket, told) in [by_path, by_name] {
            Supervisor::Systemd(told).ready();
            let mut text = [0; 128];
            let len = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..len], b"READY=1\nSTATUS=Ready to accept connections");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
