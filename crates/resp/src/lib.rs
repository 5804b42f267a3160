//! The wire format: requests and replies of RESP2, RESP3 and inline commands.
//!
//! This crate turns bytes into argument spans and replies into bytes. It knows no keys, clients, sockets or clock.
//! Requests are borrowed from the buffer that they arrived in and never copied; only a request that is too large for
//! the buffer is gathered into storage of its own ([`LargeRequest`]).

mod args;
mod error;
mod inline;
mod large;
mod reply;
mod request;

pub use args::{Args, OwnedArgs, Span};
pub use error::ProtocolError;
pub use large::{LARGE_BULK, LargeRequest};
pub use reply::{Mark, Out, Proto, Splice};
pub use request::{INLINE_MAX, Limits, MAX_ARGS, Parsed, Parser, STRAGGLER_MAX};
