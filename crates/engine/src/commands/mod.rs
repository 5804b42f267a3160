//! The commands, one file per group: rows, handlers and their tests side by side.

mod config;
mod connection;
mod help;
mod info;
mod server;
mod strings;
mod transactions;

use crate::command::Row;

/// All groups, in the order in which COMMAND lists them.
pub(crate) const GROUPS: &[&[Row]] =
    &[strings::ROWS, connection::ROWS, transactions::ROWS, config::ROWS, info::ROWS, server::ROWS];
