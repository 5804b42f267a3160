//! A blocking connection for the tests.
//!
//! Owns one socket and the bytes read from it that no reply has claimed yet. Every read has a deadline, so that a
//! server that stays silent fails a test instead of hanging it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::value::{self, Value};

/// How long a reply may take. Generous: the checks also run on slow, busy machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request as an array of bulk strings, added to `out`.
pub fn encode<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where the unread part of `buffer` starts.
    start: usize,
}

impl Client {
    pub fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, buffer: Vec::new(), start: 0 })
    }

    pub fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))
    }

    /// Sends bytes as they are, whether or not they make a request.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut out = Vec::new();
        encode(&mut out, args);
        self.send_raw(&out)
    }

    /// A second handle on the socket, to write from another thread while this one reads.
    pub fn writer(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// The next reply, parsed, and its bytes.
    pub fn read_both(&mut self) -> io::Result<(Value, Vec<u8>)> {
        loop {
            let unread = &self.buffer[self.start..];
            match value::parse(unread) {
                Ok(Some((value, len))) => {
                    let raw = unread[..len].to_vec();
                    self.start += len;
                    if self.start == self.buffer.len() {
                        self.buffer.clear();
                        self.start = 0;
                    }
                    return Ok((value, raw));
                }
                Ok(None) => {
                    if self.fill()? == 0 {
                        let rest = self.buffer[self.start..].escape_ascii().to_string();
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            format!("connection closed, unfinished reply: '{rest}'"),
                        ));
                    }
                }
                Err(error) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error.0));
                }
            }
        }
    }

    /// The next reply, parsed.
    pub fn read(&mut self) -> io::Result<Value> {
        self.read_both().map(|(value, _)| value)
    }

    /// The next reply as it came.
    pub fn read_raw(&mut self) -> io::Result<Vec<u8>> {
        self.read_both().map(|(_, raw)| raw)
    }

    pub fn roundtrip<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.send(args)?;
        self.read()
    }

    pub fn roundtrip_raw(&mut self, args: &[&[u8]]) -> io::Result<Vec<u8>> {
        self.send(args)?;
        self.read_raw()
    }

    /// Everything until the server closes the connection.
    pub fn read_to_close(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                // A server that closes with requests still unread resets the connection; what it said counts.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        let rest = self.buffer.split_off(self.start);
        self.buffer.clear();
        self.start = 0;
        Ok(rest)
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "no reply in time"));
                }
                Err(error) => return Err(error),
            }
        }
    }
}
