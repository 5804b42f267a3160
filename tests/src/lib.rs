//! What the integration tests share: servers to start, a client that keeps the raw bytes, and the oracle.
//!
//! | module | owns |
//! |---|---|
//! | [`server`] | one server process, Respire or Redis, in a directory of its own, killed at the end |
//! | [`ask`] | requests as people type them, and the text of the replies |
//! | [`client`] | a blocking connection that hands out raw replies as well as parsed ones |
//! | [`value`] | a reply in RESP2 or RESP3, parsed without loss |
//! | [`outside`] | programs that are not part of the project, and what happens when one is missing |
//! | [`linear`] | histories of concurrent clients, and whether they are linearizable |
//! | [`oracle`] | seeded command sequences, run against two servers, replies compared byte by byte |
//!
//! The parser here is on purpose not the one of `respire-resp`: a fault in that one must not hide itself.

pub mod ask;
pub mod client;
pub mod linear;
pub mod oracle;
pub mod outside;
pub mod server;
pub mod value;

pub use client::{Client, encode};
pub use server::{Kind, Server};
pub use value::Value;
