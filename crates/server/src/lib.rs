//! The server: a process around the engine. It owns the sockets, the threads, the files, the clock and the signals.

mod banner;
pub mod check;
mod clock;
mod crash;
mod host;
mod logging;
mod memory;
mod metrics;
mod net;
pub mod ping;
mod process;
mod server;
mod slice;
mod stacks;
mod startup;
mod supervise;
mod syslog;
mod title;
mod watchdog;

pub use crash::report_crashes;
pub use server::{Options, Server};
pub use startup::{Action, read_command_line};
pub use supervise::go_into_background;
pub use title::Title;
