//! A stream socket of either family, encrypted or not.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsRawFd;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::tls::TlsStream;

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        // Edge-triggered, both directions at once: no further call is needed for the life of the connection.
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => registry.register(stream, token, both),
            Self::Unix(stream) => registry.register(stream, token, both),
            Self::Tls(stream) => registry.register(stream.socket_mut(), token, both),
        }
    }

    /// Ends the stream's part in polling. An encrypted one says that nothing follows.
    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // Closing the socket would do the same; a failure leaves nothing behind.
        let _ = match self {
            Self::Tcp(stream) => registry.deregister(stream),
            Self::Unix(stream) => registry.deregister(stream),
            Self::Tls(stream) => {
                stream.say_farewell();
                registry.deregister(stream.socket_mut())
            }
        };
    }

    pub(crate) fn fd(&self) -> i32 {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
            Self::Tls(stream) => stream.socket().as_raw_fd(),
        }
    }

    #[inline]
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    /// Whether something may be left to read though the last read did not fill its buffer, and no event will say so.
    #[inline]
    pub(crate) fn holds_more(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.holds_more(),
            _ => false,
        }
    }

    /// Whether the peer has yet to show that it can be talked to.
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.is_handshaking(),
            _ => false,
        }
    }

    /// Sends what the stream itself has to send, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.flush().map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Reads into the spare capacity of `buffer`.
    pub(crate) fn read_into(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        Ok(match self {
            Self::Tcp(stream) => rustix::io::read(stream, rustix::buffer::spare_capacity(buffer))?,
            Self::Unix(stream) => rustix::io::read(stream, rustix::buffer::spare_capacity(buffer))?,
            Self::Tls(stream) => stream.read_into(buffer)?,
        })
    }

    /// After `WouldBlock` the same bytes must be given again, with more behind them or not: an encrypted stream may have
    /// some of them on their way.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    pub(crate) fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(pieces),
            Self::Unix(stream) => stream.write_vectored(pieces),
            Self::Tls(stream) => stream.write_vectored(pieces),
        }
    }
}
