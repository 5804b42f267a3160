//! The server under load: where it is, how to log in, and one blocking connection to it.
//!
//! Invariant: nothing here waits without a limit; a server that is silent for `timeout` is an error.

use crate::skip::Skipper;
use crate::tls::{Tls, TlsStream};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Why a run failed, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub(crate) String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

const SECOND_HAND: &str = "another thread of the load failed";

impl Error {
    /// A thread that stopped because another one failed.
    pub(crate) fn second_hand() -> Error {
        Error(SECOND_HAND.into())
    }

    pub(crate) fn is_second_hand(&self) -> bool {
        self.0 == SECOND_HAND
    }
}

impl From<String> for Error {
    fn from(text: String) -> Error {
        Error(text)
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(addr) => addr.fmt(f),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Address {
    /// Looks the host's name up and takes its first address that accepts a connection.
    pub fn resolve(host: &str, port: u16, timeout: Duration) -> Result<Address, Error> {
        let found = (host, port)
            .to_socket_addrs()
            .map_err(|error| Error(format!("cannot look up {host}: {error}")))?;
        let mut last = Error(format!("{host} has no address"));
        for addr in found {
            match TcpStream::connect_timeout(&addr, timeout) {
                Ok(_) => return Ok(Address::Tcp(addr)),
                Err(error) => last = cannot_connect(&addr, &error),
            }
        }
        Err(last)
    }

    /// Client and server share a machine, as far as the address tells.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(addr) => addr.ip().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

/// A server and how to enter it.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: Address,
    pub user: Option<String>,
    pub password: Option<String>,
    /// SELECT this database; 0 sends no SELECT.
    pub db: u32,
    /// Speak RESP3 (HELLO 3).
    pub resp3: bool,
    /// The longest wait for a connection, and for any reply.
    pub timeout: Duration,
    /// How connections are encrypted, if they are.
    pub tls: Option<Tls>,
}

impl Target {
    /// The server at `address`, with no login, database 0, RESP2 and a timeout of 10 seconds.
    pub fn new(address: Address) -> Target {
        Target {
            address,
            user: None,
            password: None,
            db: 0,
            resp3: false,
            timeout: Duration::from_secs(10),
            tls: None,
        }
    }

    /// Connects and logs in.
    pub fn connect(&self) -> Result<Client, Error> {
        let failed = |error: &io::Error| cannot_connect(&self.address, error);
        let stream = match &self.address {
            Address::Tcp(addr) => {
                let stream =
                    TcpStream::connect_timeout(addr, self.timeout).map_err(|e| failed(&e))?;
                stream.set_nodelay(true).map_err(|e| failed(&e))?;
                match &self.tls {
                    Some(tls) => Stream::Tls(Box::new(tls.wrap(stream)?)),
                    None => Stream::Tcp(stream),
                }
            }
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path).map_err(|e| failed(&e))?),
        };
        let mut client = Client {
            stream,
            address: self.address.clone(),
            timeout: self.timeout,
            skipper: Skipper::default(),
        };
        client.set_timeouts(Some(self.timeout)).map_err(|e| failed(&e))?;
        self.log_in(&mut client)?;
        Ok(client)
    }

    fn log_in(&self, client: &mut Client) -> Result<(), Error> {
        if let Some(password) = &self.password {
            match &self.user {
                Some(user) => client.call(&["AUTH", user, password])?,
                None => client.call(&["AUTH", password])?,
            };
        }
        if self.resp3 {
            client.call(&["HELLO", "3"])?;
        }
        if self.db != 0 {
            client.call(&["SELECT", &self.db.to_string()])?;
        }
        Ok(())
    }
}

fn cannot_connect(address: &dyn fmt::Display, error: &io::Error) -> Error {
    Error(format!("cannot connect to {address}: {error}"))
}

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One blocking connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    address: Address,
    timeout: Duration,
    skipper: Skipper,
}

impl Client {
    /// Sends one request and returns its reply's bytes as they came; an error reply is an error.
    pub fn call(&mut self, arguments: &[&str]) -> Result<Vec<u8>, Error> {
        let mut request = format!("*{}\r\n", arguments.len());
        for argument in arguments {
            request.push_str(&format!("${}\r\n{argument}\r\n", argument.len()));
        }
        let errors = self.skipper.errors;
        let reply = self.exchange(request.as_bytes())?;
        if self.skipper.errors > errors {
            let text = self.skipper.first_error().unwrap_or_default();
            return Err(Error(format!("{} refused {}: {text}", self.address, arguments[0])));
        }
        Ok(reply)
    }

    /// The text of INFO's section `server`.
    pub fn info_server(&mut self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.call(&["INFO", "server"])?).into_owned())
    }

    /// Sends one request's bytes and reads one reply.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>, Error> {
        let address = &self.address;
        let lost = |error: io::Error| lost(address, self.timeout, &error);
        self.stream.write_all(request).map_err(lost)?;
        let deadline = Instant::now() + self.timeout;
        let mut reply = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let len = self.stream.read(&mut piece).map_err(lost)?;
            if len == 0 {
                return Err(closed(address));
            }
            reply.extend_from_slice(&piece[..len]);
            let replies = self
                .skipper
                .feed(&piece[..len])
                .map_err(|error| Error(format!("{address}: {error}")))?;
            if replies > 0 {
                return Ok(reply);
            }
            // A server that sends a byte now and then never meets the socket's own timeout.
            if Instant::now() > deadline {
                return Err(silent(address, self.timeout));
            }
        }
    }

    /// The same connection twice, for a thread that writes and one that reads; both keep the timeouts.
    pub(crate) fn split(self) -> Result<(Stream, Stream), Error> {
        let twin = match &self.stream {
            Stream::Tcp(stream) => stream.try_clone().map(Stream::Tcp),
            Stream::Unix(stream) => stream.try_clone().map(Stream::Unix),
            Stream::Tls(_) => Err(io::Error::other("an encrypted stream has one end")),
        };
        let twin = twin.map_err(|error| cannot_connect(&self.address, &error))?;
        Ok((self.stream, twin))
    }

    /// The connection for an event loop: it never blocks.
    pub(crate) fn into_stream(self) -> Result<Stream, Error> {
        self.set_timeouts(None)
            .and_then(|()| match &self.stream {
                Stream::Tcp(stream) => stream.set_nonblocking(true),
                Stream::Unix(stream) => stream.set_nonblocking(true),
                Stream::Tls(stream) => stream.sock.set_nonblocking(true),
            })
            .map_err(|error| cannot_connect(&self.address, &error))?;
        Ok(self.stream)
    }

    fn set_timeouts(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.stream {
            Stream::Tls(stream) => {
                stream.sock.set_read_timeout(timeout)?;
                stream.sock.set_write_timeout(timeout)
            }
            Stream::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }
}

/// What a failed read or write of a stream with timeouts means.
pub(crate) fn lost(address: &Address, timeout: Duration, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => silent(address, timeout),
        _ => Error(format!("the connection to {address} failed: {error}")),
    }
}

pub(crate) fn silent(address: &Address, timeout: Duration) -> Error {
    Error(format!("{address} did not answer within {timeout:?}"))
}

pub(crate) fn closed(address: &Address) -> Error {
    Error(format!("{address} closed the connection before it had answered"))
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(buffer),
            Stream::Unix(stream) => stream.write(buffer),
            Stream::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
