//! The commands, one file per group: rows, handlers and their tests side by side.

mod client;
mod command;
mod config;
mod connection;
mod debug;
mod elements;
mod hashes;
mod info;
mod keys;
mod latency;
mod memory;
mod monitor;
mod pubsub;
mod server;
mod sets;
mod slowlog;
mod strings;
mod transactions;

use crate::command::Row;
use crate::ctx::Ctx;

/// All groups, in the order in which COMMAND lists them.
pub(crate) const GROUPS: &[&[Row]] = &[
    strings::ROWS,
    keys::ROWS,
    connection::ROWS,
    client::ROWS,
    command::ROWS,
    monitor::ROWS,
    transactions::ROWS,
    pubsub::ROWS,
    server::ROWS,
    config::ROWS,
    info::ROWS,
    slowlog::ROWS,
    latency::ROWS,
    memory::ROWS,
    debug::ROWS,
    sets::ROWS,
    hashes::ROWS,
];

/// The reply of a HELP subcommand: `lines` between the usual first and last ones.
pub(crate) fn reply_help(ctx: &mut Ctx<'_, '_>, lines: &[&str]) {
    let container = ctx.args.get(0).to_ascii_uppercase();
    let container = String::from_utf8_lossy(&container);
    ctx.out.array(lines.len() + 3);
    ctx.out
        .simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        ctx.out.simple(line);
    }
    ctx.out.simple("HELP");
    ctx.out.simple("    Print this help.");
}
