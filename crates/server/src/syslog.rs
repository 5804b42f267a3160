//! `syslog-enabled`: the log, line by line, to the system's log daemon, as datagrams to `/dev/log`.
//!
//! The server never waits for the daemon: what it does not take at once is lost to syslog, as while it is not there, and is
//! in the log all the same. A message carries no time: the daemon notes when it came.

use std::fmt;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use log::Level;
use respire_engine::config::Settings;

const SOCKET: &str = "/dev/log";

pub(crate) struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    /// Times eight, as in a message's number.
    facility: u8,
    ident: String,
}

impl Syslog {
    /// What the settings ask for; `None` if nothing.
    pub(crate) fn of(settings: &Settings) -> io::Result<Option<Self>> {
        if settings.text("syslog-enabled") != "yes" {
            return Ok(None);
        }
        let (facility, ident) = (settings.text("syslog-facility"), settings.text("syslog-ident"));
        Self::open(Path::new(SOCKET), &facility, ident).map(Some)
    }

    fn open(path: &Path, facility: &str, ident: String) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // The directive allows `user` and `local0` to `local7`.
        let number = facility.strip_prefix("local").and_then(|n| n.parse::<u8>().ok());
        let facility = number.map_or(1, |n| 16 + n) * 8;
        Ok(Self { socket, path: path.into(), facility, ident })
    }

    pub(crate) fn log(&self, level: Level, text: &fmt::Arguments<'_>) {
        let severity = match level {
            Level::Error | Level::Warn => 4,
            Level::Info => 5,
            Level::Debug => 6,
            Level::Trace => 7,
        };
        let (number, pid) = (self.facility + severity, std::process::id());
        let message = format!("<{number}>{}[{pid}]: {text}", self.ident);
        // Nobody is there to be told of a failure but this log itself.
        let _ = self.socket.send_to(message.as_bytes(), &self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_arrives_with_facility_severity_and_name() {
        let path = std::env::temp_dir().join(format!("respire-syslog-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let syslog = Syslog::open(&path, "local3", "cache".into()).unwrap();
        // Nobody listens yet: that hurts nobody.
        syslog.log(Level::Info, &format_args!("lost"));
        let daemon = UnixDatagram::bind(&path).unwrap();
        let pid = std::process::id();
        for (level, number) in [(Level::Warn, 156), (Level::Info, 157), (Level::Trace, 159)] {
            syslog.log(level, &format_args!("full: {}", 7));
            let mut text = [0; 128];
            let len = daemon.recv(&mut text).unwrap();
            let expected = format!("<{number}>cache[{pid}]: full: 7");
            assert_eq!(str::from_utf8(&text[..len]).unwrap(), expected);
        }
        let user = Syslog::open(&path, "user", "x".into()).unwrap();
        user.log(Level::Warn, &format_args!("y"));
        let mut text = [0; 128];
        let len = daemon.recv(&mut text).unwrap();
        assert!(text[..len].starts_with(b"<12>x["));
        std::fs::remove_file(&path).unwrap();
    }
}
