//! A load generator and latency meter for any server that speaks RESP: `respire bench`, and the library under it.
//!
//! It knows nothing of Respire's internals and talks to servers over sockets only, encrypted or not.
//!
//! - [`run`]: the command line.
//! - [`Load`] → [`Report`]: one measurement, closed or open loop, with the server's CPU time per request.
//! - [`IdleConnections`]: many open connections that do nothing, for measuring their memory.
//! - [`Prober`]: one request at fixed times, for measuring what a stall does to a bystander.
//!
//! Reading order: `workload` (what is sent) and `keys`, `skip` (what comes back), `driver` (one thread's loop),
//! `load` (a run of all threads), `cli` with `args` and `show`.

mod args;
mod cli;
mod cpu;
mod driver;
mod idle;
mod keys;
mod load;
mod prober;
mod show;
mod skip;
mod target;
mod tls;
mod workload;

pub use cli::{Embedded, run};
pub use cpu::ServerCpu;
pub use idle::{IdleConnections, raise_file_limit};
pub use keys::KeyDistribution;
pub use load::{Load, Report, median};
pub use prober::{ProbeReport, Prober};
pub use target::{Address, Client, Error, Target};
pub use tls::Tls;
pub use workload::Workload;
