//! The server: a process around the engine. It owns the sockets, the threads, the files, the clock and the signals.

mod clock;
mod host;
mod logging;
mod memory;
mod net;
mod process;
mod server;

pub use server::{Options, Server};
