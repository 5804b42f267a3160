//! The commands, one file per group: rows, handlers and their tests side by side.

mod connection;
mod strings;
mod transactions;

use crate::command::Row;

/// All groups, in the order in which COMMAND lists them.
pub(crate) const GROUPS: &[&[Row]] = &[strings::ROWS, connection::ROWS, transactions::ROWS];
