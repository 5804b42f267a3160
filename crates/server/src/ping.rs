//! `respire ping`: whether a server answers, for health checks where there is no redis-cli.
//!
//! Asks once, over TCP or a Unix socket, without TLS. A server that wants a password answers, and is well; one that loads
//! its data is not ready, and one that says nothing in time is not well.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
Usage: respire ping [-h HOST] [-p PORT] [-s SOCKET] [-t SECONDS]

Asks a server whether it serves, by default the one on 127.0.0.1, port 6379, and waits up to 3 seconds. Ends with 0 if
it does, or wants a password first; with 1 if it does not.";

/// Bytes of a reply that is worth reading.
const REPLY_MAX: u64 = 512;

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    host: String,
    port: u16,
    socket: Option<PathBuf>,
    patience: Duration,
}

/// Runs `respire ping` with the arguments behind it.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    if args.iter().any(|arg| arg == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let Some(asked) = read_args(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match ask(&asked) {
        Ok(reply) if reply.starts_with("+PONG") || reply.starts_with("-NOAUTH") => {
            println!("{}", reply.trim_end());
            ExitCode::SUCCESS
        }
        Ok(reply) => fail(reply.trim_end()),
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

fn read_args(args: &[String]) -> Option<Asked> {
    let mut asked = Asked {
        host: "127.0.0.1".into(),
        port: 6379,
        socket: None,
        patience: Duration::from_secs(3),
    };
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let value = args.next()?;
        match option.as_str() {
            "-h" => asked.host.clone_from(value),
            "-p" => asked.port = value.parse().ok()?,
            "-s" => asked.socket = Some(value.into()),
            "-t" => asked.patience = Duration::from_secs(value.parse().ok().filter(|n| *n > 0)?),
            _ => return None,
        }
    }
    Some(asked)
}

fn ask(asked: &Asked) -> io::Result<String> {
    let patience = Some(asked.patience);
    if let Some(path) = &asked.socket {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(patience)?;
        stream.set_write_timeout(patience)?;
        return exchange(&stream, &stream);
    }
    let mut last = io::Error::other("the host has no address");
    for address in (asked.host.as_str(), asked.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, asked.patience) {
            Ok(stream) => {
                stream.set_read_timeout(patience)?;
                stream.set_write_timeout(patience)?;
                return exchange(&stream, &stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(mut to: impl Write, from: impl Read) -> io::Result<String> {
    to.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut reply = String::new();
    BufReader::new(from.take(REPLY_MAX)).read_line(&mut reply)?;
    if reply.ends_with('\n') { Ok(reply) } else { Err(io::Error::other("the server says nothing")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Asked> {
        read_args(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_mistakes_refused() {
        let asked = parse("-h ::1 -p 7 -t 9 -s /a").unwrap();
        assert_eq!((asked.host.as_str(), asked.port, asked.patience.as_secs()), ("::1", 7, 9));
        assert_eq!(asked.socket, Some("/a".into()));
        for wrong in ["-p", "-p x", "-t 0", "--port 7", "7"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_reply_is_one_line_that_ends() {
        let reply = |text: &'static [u8]| exchange(Vec::new(), text);
        assert_eq!(reply(b"+PONG\r\n+more\r\n").unwrap(), "+PONG\r\n");
        assert!(reply(b"").is_err());
        assert!(reply(b"+PON").is_err());
    }
}
