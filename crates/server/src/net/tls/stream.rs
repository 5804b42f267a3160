//! The stream of an encrypted connection, which reads and writes as a socket does.
//!
//! Between calls it holds no more than an unfinished record of the peer's, at most one read of what could not be
//! deciphered yet for want of room, and at most 64 KiB of what the socket has not taken. The event loop polls the
//! socket on edges, so a read goes on until the socket has nothing more, or the caller's buffer is full; then
//! [`TlsStream::holds_more`] says that there will be no further event.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};

/// Bytes that are read from a socket at a time: as many as the event loop wants of a connection in a turn.
const READ: usize = 16 * 1024;

/// What one thread reads into, from the socket and in clear, before it is put where it belongs.
struct Buffers {
    raw: Box<[u8]>,
    clear: Box<[u8]>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        raw: vec![0; READ].into(),
        clear: vec![0; READ].into(),
    });
}

pub(crate) struct TlsStream {
    socket: TcpStream,
    session: ServerConnection,
    /// Read from the socket, and still to be deciphered.
    ahead: Vec<u8>,
    /// The last read has left something to be read, in the socket or here.
    more: bool,
    /// How the stream has ended, to be told once what came before it has been read.
    ended: Option<Ended>,
    /// Bytes that have been taken and enciphered, but that the caller has not been told of, since the socket has not
    /// taken all of them yet.
    untold: usize,
}

#[derive(Clone, Copy)]
enum Ended {
    Closed,
    Failed(io::ErrorKind),
}

impl TlsStream {
    pub(crate) fn new(
        socket: TcpStream,
        config: &Arc<ServerConfig>,
    ) -> Result<Self, rustls::Error> {
        let session = ServerConnection::new(Arc::clone(config))?;
        Ok(Self { socket, session, ahead: Vec::new(), more: false, ended: None, untold: 0 })
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether there may be something to read without a further event of the socket.
    pub(crate) fn holds_more(&self) -> bool {
        self.more
    }

    /// Reads what the peer has said in clear. `WouldBlock` when there is nothing (else) yet, 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        BUFFERS.with_borrow_mut(|buffers| self.read_with(&mut buffers.raw, buffer))
    }

    /// Reads into the spare capacity of `buffer`.
    pub(crate) fn read_into(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        BUFFERS.with_borrow_mut(|buffers| {
            let room = (buffer.capacity() - buffer.len()).min(READ);
            let clear = &mut buffers.clear[..room];
            let got = self.read_with(&mut buffers.raw, clear)?;
            buffer.extend_from_slice(&clear[..got]);
            Ok(got)
        })
    }

    fn read_with(&mut self, raw: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        // A read that the socket did not fill has emptied it.
        let mut drained = false;
        self.more = true;
        loop {
            filled += self.take_clear(&mut buffer[filled..]);
            if filled == buffer.len() {
                return Ok(filled);
            }
            if !self.ahead.is_empty() {
                let ahead = std::mem::take(&mut self.ahead);
                filled += self.decipher(&ahead, &mut buffer[filled..]);
                continue;
            }
            match self.ended {
                Some(_) if filled > 0 => return Ok(filled),
                Some(Ended::Closed) => return Ok(0),
                Some(Ended::Failed(kind)) => return Err(kind.into()),
                None if drained => {
                    self.more = false;
                    let nothing = || io::ErrorKind::WouldBlock.into();
                    return if filled > 0 { Ok(filled) } else { Err(nothing()) };
                }
                None => {}
            }
            match self.socket.read(raw) {
                Ok(0) => self.ended = Some(self.end_of_socket()),
                Ok(got) => {
                    drained = got < raw.len();
                    filled += self.decipher(&raw[..got], &mut buffer[filled..]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => drained = true,
                Err(error) => self.ended = Some(Ended::Failed(error.kind())),
            }
        }
    }

    /// What has been deciphered already.
    fn take_clear(&mut self, buffer: &mut [u8]) -> usize {
        let mut taken = 0;
        while taken < buffer.len() {
            match self.session.reader().read(&mut buffer[taken..]) {
                Ok(0) => {
                    self.ended.get_or_insert(Ended::Closed);
                    break;
                }
                Ok(got) => taken += got,
                Err(_) => break,
            }
        }
        taken
    }

    /// Deciphers what was read, into the buffer as long as there is room. The rest is kept.
    fn decipher(&mut self, mut raw: &[u8], buffer: &mut [u8]) -> usize {
        let mut filled = 0;
        while !raw.is_empty() {
            if filled == buffer.len() {
                self.ahead = raw.to_vec();
                break;
            }
            match self.session.read_tls(&mut raw) {
                // What follows the peer's farewell is not read.
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    self.ended = Some(Ended::Failed(error.kind()));
                    break;
                }
            }
            let handshaking = self.session.is_handshaking();
            let processed = self.session.process_new_packets();
            // Before the peer hears of it: whoever has seen a client refused finds the reason in the log.
            if handshaking && let Err(error) = &processed {
                log::warn!("Error accepting a client connection: {error}");
            }
            // The answers of the handshake, or the alert that says what was wrong: to who speaks something else, it would
            // be a reply that makes no sense.
            let foreign = matches!(processed, Err(rustls::Error::InvalidMessage(_)));
            let pushed = if handshaking && foreign { Ok(true) } else { self.push() };
            if let Err(error) = processed {
                if !handshaking {
                    log::debug!("Error reading from an encrypted connection: {error}");
                }
                self.ended = Some(Ended::Failed(io::ErrorKind::InvalidData));
                break;
            }
            if let Err(error) = pushed {
                self.ended = Some(Ended::Failed(error.kind()));
                break;
            }
            filled += self.take_clear(&mut buffer[filled..]);
        }
        filled
    }

    fn end_of_socket(&self) -> Ended {
        if self.session.is_handshaking() {
            log::debug!("Error accepting a client connection: closed before it was encrypted");
        }
        Ended::Closed
    }

    /// Writes as [`Self::write_vectored`] does.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Enciphers and sends from the beginning of the pieces. After `WouldBlock` the same bytes, with more behind them or
    /// not, must be given again: some may be on their way already.
    pub(crate) fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.untold > 0 {
            return Ok(std::mem::take(&mut self.untold));
        }
        // The session takes 64 KiB at most.
        let taken = self.session.writer().write_vectored(pieces)?;
        if self.push()? {
            return Ok(taken);
        }
        self.untold = taken;
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Sends what waits for the socket. Returns whether nothing waits any more.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        if self.session.wants_write() { self.push() } else { Ok(true) }
    }

    fn push(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Tells the peer that no more follows, if the socket takes it at once.
    pub(crate) fn say_farewell(&mut self) {
        if !self.session.is_handshaking() {
            self.session.send_close_notify();
            let _ = self.push();
        }
    }
}
