//! The listeners: sockets of both families, accepted in one place and handed to the loop with the fewest connections.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::{Interest, Registry, Token};
use respire_engine::config::Settings;
use respire_engine::{ClientInfo, Engine};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::stream::Stream;
use super::tls::{self, Acceptor, TlsStream};
use super::{Mail, Mailbox};
use crate::startup::reason;

/// A connection on its way to an event loop.
pub(crate) struct NewConnection {
    pub(crate) stream: Stream,
    pub(crate) info: ClientInfo,
}

enum Listener {
    Tcp(mio::net::TcpListener),
    Tls(mio::net::TcpListener),
    Unix(mio::net::UnixListener, String),
}

/// An event loop as the listeners see it.
pub(crate) struct Loop {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) load: Arc<AtomicUsize>,
}

/// All listening sockets.
pub(crate) struct Listeners {
    sockets: Vec<Listener>,
    /// What the TCP sockets were asked to be: names as in the settings, and the ports.
    bind: Vec<String>,
    port: u16,
    tls_port: u16,
    /// What encrypted connections are accepted with, while there is a port for them.
    acceptor: Option<Acceptor>,
}

const DENIED: &[u8] = b"-DENIED Respire is running in protected mode: no password is set, so only connections from this \
machine are served. To let others in, set a password (requirepass), or turn protected-mode off if the network is safe.\r\n";

impl Listeners {
    /// Opens the sockets that the settings name.
    pub(crate) fn open(settings: &Settings) -> Result<Self, String> {
        let mut sockets = Vec::new();
        let acceptor = match settings.tls_port {
            0 => None,
            _ => Some(tls::acceptor(settings).map_err(|why| {
                log::warn!("{why}");
                "Failed to configure TLS. Check logs for more info."
            })?),
        };
        open_tcp(settings, &mut sockets)?;
        if !settings.unixsocket.is_empty() {
            let path = &settings.unixsocket;
            let opened = open_unix(path, settings.unixsocketperm);
            let listener =
                opened.map_err(|e| format!("Could not open Unix socket {path}: {}", reason(&e)))?;
            sockets.push(Listener::Unix(listener, path.clone()));
        }
        if sockets.is_empty() {
            return Err("Configured to not listen anywhere, exiting.".into());
        }
        let (port, tls_port) = (settings.port, settings.tls_port);
        Ok(Self { sockets, bind: settings.bind.clone(), port, tls_port, acceptor })
    }

    /// Opens one TCP socket on 127.0.0.1, on a port that the system chooses.
    pub(crate) fn open_ephemeral(settings: &Settings) -> Result<Self, String> {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), settings.tcp_backlog as i32)
            .map_err(|error| format!("Could not create a listening socket: {error}"))?;
        let port = listener.local_addr().map_or(0, |address| address.port());
        let bind = vec![Ipv4Addr::LOCALHOST.to_string()];
        let sockets = vec![Listener::Tcp(listener)];
        Ok(Self { sockets, bind, port, tls_port: 0, acceptor: None })
    }

    /// From now on, encrypted connections are accepted with this.
    pub(crate) fn accept_with(&mut self, acceptor: Acceptor) {
        self.acceptor = Some(acceptor);
    }

    /// Replaces the TCP sockets by those that `new` names. If that fails, those of `old` are opened again.
    pub(crate) fn reopen_tcp(
        &mut self,
        old: &Settings,
        new: &Settings,
        registry: &Registry,
    ) -> Result<(), String> {
        // The old sockets must go first: their addresses may be among the new ones.
        self.sockets.retain(|socket| matches!(socket, Listener::Unix(..)));
        let opened = self.open_more_tcp(new);
        if opened.is_err() {
            self.open_more_tcp(old)
                .inspect_err(|error| log::error!("The former listeners are lost: {error}"))
                .ok();
        }
        let registered = self.register_anew(registry);
        opened.and(registered.map_err(|error| format!("Could not poll the listeners: {error}")))
    }

    fn open_more_tcp(&mut self, settings: &Settings) -> Result<(), String> {
        let mut sockets = Vec::new();
        open_tcp(settings, &mut sockets)?;
        self.sockets.extend(sockets);
        self.bind.clone_from(&settings.bind);
        (self.port, self.tls_port) = (settings.port, settings.tls_port);
        Ok(())
    }

    fn register_anew(&mut self, registry: &Registry) -> io::Result<()> {
        for socket in &mut self.sockets {
            if let Listener::Unix(listener, _) = socket {
                registry.deregister(listener)?;
            }
        }
        self.register(registry)
    }

    /// Closes all sockets, and removes the file of the Unix socket.
    pub(crate) fn close(&mut self) {
        for socket in self.sockets.drain(..) {
            if let Listener::Unix(_, path) = socket {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The addresses of the TCP sockets that are not encrypted.
    pub(crate) fn tcp_addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.sockets.iter().filter_map(|socket| match socket {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Tls(_) | Listener::Unix(..) => None,
        });
        addresses.collect()
    }

    /// The sockets as INFO shows them.
    pub(crate) fn describe(&self) -> Vec<String> {
        let bind = self.bind.iter().map(|name| format!("bind={name},")).collect::<String>();
        let mut lines = Vec::new();
        if self.sockets.iter().any(|socket| matches!(socket, Listener::Tcp(_))) {
            lines.push(format!("name=tcp,{bind}port={}", self.port));
        }
        lines.extend(self.sockets.iter().filter_map(|socket| match socket {
            Listener::Tcp(_) | Listener::Tls(_) => None,
            Listener::Unix(_, path) => Some(format!("name=unix,bind={path}")),
        }));
        if self.sockets.iter().any(|socket| matches!(socket, Listener::Tls(_))) {
            lines.push(format!("name=tls,{bind}port={}", self.tls_port));
        }
        lines
    }

    /// Registers socket `i` as `Token(i)`.
    pub(crate) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (i, socket) in self.sockets.iter_mut().enumerate() {
            match socket {
                Listener::Tcp(listener) | Listener::Tls(listener) => {
                    registry.register(listener, Token(i), Interest::READABLE)?
                }
                Listener::Unix(listener, _) => {
                    registry.register(listener, Token(i), Interest::READABLE)?;
                }
            }
        }
        Ok(())
    }

    /// Accepts everything that waits on socket `i`.
    pub(crate) fn accept(&self, i: usize, engine: &Engine, loops: &[Loop]) {
        let Some(socket) = self.sockets.get(i) else { return };
        loop {
            let accepted = match socket {
                Listener::Tcp(listener) => {
                    listener.accept().map(|(stream, peer)| accept_tcp(stream, peer, engine, None))
                }
                Listener::Tls(listener) => {
                    let acceptor = self.acceptor.as_ref();
                    let accepted = listener.accept();
                    accepted.map(|(stream, peer)| accept_tcp(stream, peer, engine, acceptor))
                }
                Listener::Unix(listener, path) => {
                    listener.accept().map(|(stream, _)| Some(accept_unix(stream, path, engine)))
                }
            };
            match accepted {
                Ok(Some(new)) => hand_over(new, engine, loops),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    log::warn!("Accepting client connection: {error}");
                    // Out of file descriptors, most likely: the queue is still there when one is free again.
                    std::thread::sleep(Duration::from_millis(10));
                    return;
                }
            }
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens the sockets of both TCP ports.
fn open_tcp(settings: &Settings, sockets: &mut Vec<Listener>) -> Result<(), String> {
    if settings.port != 0 {
        open_port(settings, settings.port, Listener::Tcp, sockets)?;
    }
    if settings.tls_port != 0 {
        open_port(settings, settings.tls_port, Listener::Tls, sockets)?;
    }
    Ok(())
}

fn open_port(
    settings: &Settings,
    port: u16,
    listener: fn(mio::net::TcpListener) -> Listener,
    sockets: &mut Vec<Listener>,
) -> Result<(), String> {
    for bind in &settings.bind {
        let (name, optional) = match bind.strip_prefix('-') {
            Some(name) => (name, true),
            None => (bind.as_str(), false),
        };
        for address in resolve(name, port)? {
            match listen(address, settings.tcp_backlog as i32) {
                Ok(socket) => sockets.push(listener(socket)),
                Err(error) if optional && is_missing(&error) => {}
                Err(error) => {
                    return Err(format!(
                        "Could not create server TCP listening socket {name}:{port}: bind: {}",
                        reason(&error)
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Whether the machine simply has no such address.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32)
}

fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    match name {
        "*" => Ok(vec![(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).into()]),
        "::*" => Ok(vec![(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port).into()]),
        name => match (name, port).to_socket_addrs() {
            Ok(found) => Ok(found.take(1).collect()),
            Err(error) => Err(format!("Could not resolve the address {name}: {error}")),
        },
    }
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<mio::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

fn open_unix(path: &str, mode: u32) -> io::Result<mio::net::UnixListener> {
    // A socket file that an earlier server left behind is in the way.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    if mode != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.listen(511)?;
    socket.set_nonblocking(true)?;
    Ok(mio::net::UnixListener::from_std(socket.into()))
}

/// Prepares a TCP connection, encrypted if there is an acceptor; refuses strangers in protected mode.
fn accept_tcp(
    stream: mio::net::TcpStream,
    peer: SocketAddr,
    engine: &Engine,
    acceptor: Option<&Acceptor>,
) -> Option<NewConnection> {
    let settings = engine.config.load();
    let mut stream = stream;
    if settings.protected_mode
        && settings.requirepass.is_empty()
        && !peer.ip().to_canonical().is_loopback()
    {
        // Whoever waits for a handshake could not read it.
        refuse(&mut stream, if acceptor.is_none() { DENIED } else { b"" }, engine);
        return None;
    }
    // Failures here are those of a connection that is gone already.
    let _ = stream.set_nodelay(true);
    if settings.tcp_keepalive > 0 {
        let every = Duration::from_secs(u64::from(settings.tcp_keepalive));
        let probe = every.div_f64(3.0).max(Duration::from_secs(1));
        let keepalive = TcpKeepalive::new().with_time(every).with_interval(probe).with_retries(3);
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    }
    let laddr = stream.local_addr().map(|a| a.to_string()).unwrap_or_default();
    let stream = match acceptor {
        None => Stream::Tcp(stream),
        Some(acceptor) => {
            let stream = TlsStream::new(stream, acceptor);
            let failed = |error| log::warn!("Error accepting a client connection: {error}");
            Stream::Tls(Box::new(stream.map_err(failed).ok()?))
        }
    };
    let info = client_info(engine, peer.to_string(), laddr, stream.fd(), false);
    Some(NewConnection { stream, info })
}

fn accept_unix(stream: mio::net::UnixStream, path: &str, engine: &Engine) -> NewConnection {
    let stream = Stream::Unix(stream);
    let info = client_info(engine, format!("{path}:0"), format!("{path}:0"), stream.fd(), true);
    NewConnection { stream, info }
}

fn refuse(stream: &mut impl Write, why: &[u8], engine: &Engine) {
    // Best effort, and nothing before a handshake: whoever it is gets the reason if the socket takes it at once.
    let _ = stream.write(why);
    engine.rejected_connections.fetch_add(1, Ordering::Relaxed);
}

fn client_info(
    engine: &Engine,
    addr: String,
    laddr: String,
    fd: i32,
    unix_socket: bool,
) -> ClientInfo {
    let now_ms = engine.clock.unix_us() / 1000;
    ClientInfo::new(engine.clients.next_id(), addr, laddr, fd, unix_socket, now_ms)
}

/// Gives the connection to the loop that has the fewest, unless there are too many already.
fn hand_over(mut new: NewConnection, engine: &Engine, loops: &[Loop]) {
    let connected: usize = loops.iter().map(|l| l.load.load(Ordering::Relaxed)).sum();
    if connected >= engine.config.load().maxclients as usize {
        const FULL: &[u8] = b"-ERR max number of clients reached\r\n";
        match &mut new.stream {
            Stream::Tcp(stream) => refuse(stream, FULL, engine),
            Stream::Unix(stream) => refuse(stream, FULL, engine),
            Stream::Tls(stream) => refuse(stream.socket_mut(), b"", engine),
        }
        return;
    }
    let (thread, least) = (loops.iter().enumerate())
        .min_by_key(|(_, l)| l.load.load(Ordering::Relaxed))
        .expect("there is at least one loop");
    new.info.thread = thread;
    least.load.fetch_add(1, Ordering::Relaxed);
    if let Err(error) = least.mailbox.post(Mail::Connection(Box::new(new))) {
        log::error!("Waking an event loop failed: {error}");
        least.load.fetch_sub(1, Ordering::Relaxed);
    }
}
