//! PING and friends.

use crate::command::{Flags, Group, Row};
use crate::ctx::Ctx;
use crate::error::Outcome;

pub(crate) const ROWS: &[Row] = &[Row::new("ping", -1, ping).flags(Flags::FAST).docs(
    Group::Connection,
    "1.0.0",
    "O(1)",
    "Answers PONG, or the given message.",
    "[message]",
)];

fn ping(ctx: &mut Ctx<'_, '_>) -> Outcome {
    match ctx.args.try_get(1) {
        Some(message) => ctx.out.bulk(message),
        None => ctx.out.simple("PONG"),
    }
    Ok(())
}
