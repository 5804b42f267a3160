//! TLS: from the `tls-*` directives to what new connections are accepted with ([`acceptor`]), and the stream of a
//! connection that is encrypted ([`TlsStream`]).
//!
//! Only TLS 1.2 and 1.3 exist here, with the cipher suites of rustls. A connection keeps what it was accepted with: a
//! change of certificates is for those that come after.

mod acceptor;
mod ciphers;
mod sessions;
mod stream;

pub(crate) use acceptor::{Acceptor, acceptor};
pub(crate) use stream::TlsStream;
