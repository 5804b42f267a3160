//! Executes commands on the keyspace. No sockets, files, threads or clocks of its own: requests come in as arguments,
//! replies go out as bytes, time and randomness come with the [`Worker`], and what is meant for other clients leaves
//! through its outbox. A server drives it, and so can a program or a deterministic test.

mod acl;
mod blocking;
mod client;
mod command;
mod commands;
mod compaction;
pub mod config;
mod ctx;
mod dispatch;
mod editing;
mod engine;
mod error;
mod error_codes;
mod eviction;
mod expired;
mod expiry;
#[cfg(test)]
pub(crate) mod harness;
mod host;
mod journaling;
mod latency;
mod metrics;
mod multi;
mod notify;
mod pause;
mod plain;
mod privacy;
mod pubsub;
mod replies;
mod rows;
mod samples;
mod saving;
mod scripting;
mod session;
mod slowlog;
mod stats;
mod tracking;
mod worker;

/// The version of Redis whose behaviour the commands have; clients that look for one find this.
pub const REDIS_VERSION: &str = "7.4.0";

pub use acl::{Context, Denial, Missing};
pub use client::{ClientInfo, ClientKind, Clients, Usage};
pub use command::{Command, Flags, Row, lookup, registry};
pub use commands::{decode_options, value_of, with_new_value};
pub use compaction::Compacting;
pub use dispatch::{Batch, Flow, Prepared};
pub use engine::Engine;
pub use error::Error;
pub use host::{
    Clock, Garbage, Host, HostInfo, Memory, NoHost, Reload, RewriteError, ShutdownRequest,
};
pub use pause::{Pause, PauseKind};
pub use privacy::{for_log, hide_user_data, user_data_is_hidden};
pub use pubsub::Published;
pub use replies::ReplyBuffers;
pub use saving::{PersistenceInfo, Refusal};
pub use scripting::meanwhile;
pub use session::Session;
pub use worker::{Delivery, Message, Worker};
