//! The commands, one file per group: rows, handlers and their tests side by side.

mod acl;
mod bitmaps;
mod client;
mod cluster;
mod command;
mod config;
mod connection;
mod debug;
mod digest;
mod elements;
mod functions;
mod geo;
mod hashes;
mod hyperloglog;
mod info;
mod keys;
mod latency;
mod listpacks;
mod lists;
mod memory;
mod modules;
mod monitor;
mod persistence;
mod pubsub;
mod scripting;
mod server;
mod sets;
mod slowlog;
mod sort;
mod streams;
pub(crate) mod strings;
mod transactions;
mod zsets;

pub(crate) use client::describe_client;
pub use keys::dump::{decode_options, value_of, with_new_value};

use crate::command::Row;
use crate::ctx::Ctx;
use crate::error::Error;

/// All groups, in the order in which COMMAND lists them.
pub(crate) const GROUPS: &[&[Row]] = &[
    strings::ROWS,
    bitmaps::ROWS,
    hyperloglog::ROWS,
    keys::ROWS,
    lists::ROWS,
    streams::ROWS,
    connection::ROWS,
    client::ROWS,
    acl::ROWS,
    command::ROWS,
    monitor::ROWS,
    transactions::ROWS,
    pubsub::ROWS,
    scripting::ROWS,
    functions::ROWS,
    server::ROWS,
    persistence::ROWS,
    config::ROWS,
    info::ROWS,
    slowlog::ROWS,
    latency::ROWS,
    memory::ROWS,
    debug::ROWS,
    sets::ROWS,
    hashes::ROWS,
    zsets::ROWS,
    sort::ROWS,
    geo::ROWS,
    cluster::ROWS,
    modules::ROWS,
];

/// The cursor of SCAN and its kin, read as C's `strtoul` does: signs, leading zeros and no digits at all are fine.
pub(crate) fn parse_cursor(text: &[u8]) -> Result<u64, Error> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let (negative, digits) = match &text[..end] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() && end > 0 {
        return Err(Error::INVALID_CURSOR);
    }
    let number = digits.iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    });
    let number = number.ok_or(Error::INVALID_CURSOR)?;
    Ok(if negative { number.wrapping_neg() } else { number })
}

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

#[test]
fn cursors_are_read_as_redis_reads_them() {
    let read = |text: &[u8]| parse_cursor(text).ok();
    assert_eq!(read(b"18446744073709551615"), Some(u64::MAX));
    assert_eq!((read(b"-1"), read(b"+007"), read(b"")), (Some(u64::MAX), Some(7), Some(0)));
    assert_eq!((read(b"5\0x"), read(b"\0")), (Some(5), Some(0)));
    for bad in [&b"x"[..], b" 1", b"1 ", b"-", b"--1", b"1.5", b"18446744073709551616"] {
        assert_eq!(read(bad), None);
    }
}
