//! The network: listeners, connections, encryption, event loops, and the mailboxes between them.

mod connection;
mod event_loop;
mod listener;
mod mailbox;
mod output;
mod stream;
mod tls;

pub(crate) use event_loop::{BELL, EventLoop};
pub(crate) use listener::{Listeners, Loop, NewConnection};
pub(crate) use mailbox::{Mail, Mailbox};
pub(crate) use tls::{Acceptor, acceptor};
