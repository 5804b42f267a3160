//! The server: a process around the engine. It owns the sockets, the threads, the files, the clock and the signals.

mod banner;
pub mod check;
mod clock;
mod host;
mod logging;
mod memory;
mod metrics;
mod net;
mod process;
mod server;
mod startup;

pub use process::abort_on_panic;
pub use server::{Options, Server};
pub use startup::{Action, read_command_line};
