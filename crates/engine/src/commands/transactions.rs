//! MULTI EXEC DISCARD WATCH UNWATCH.

use crate::command::{Flags, Group, KeySpec, Lock, Row};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

const ALWAYS: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST);

pub(crate) const ROWS: &[Row] = &[
    Row::new("multi", 1, multi)
        .flags(ALWAYS.union(Flags::ALLOW_BUSY).union(Flags::NOT_QUEUED))
        .docs(Group::Transactions, "1.2.0", "O(1)", "Begins a transaction.", ""),
    // EXEC is done by the dispatcher, which alone can hold what the queue needs.
    Row::new("exec", 1, unreachable_exec)
        .flags(Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::SKIP_SLOWLOG))
        .lock(Lock::Exec)
        .docs(
            Group::Transactions,
            "1.2.0",
            "Depends on the queued commands",
            "Runs the queued commands as one atomic step.",
            "",
        ),
    Row::new("discard", 1, discard)
        .flags(ALWAYS.union(Flags::ALLOW_BUSY).union(Flags::NOT_QUEUED))
        .docs(
            Group::Transactions,
            "2.0.0",
            "O(N), where N is the number of queued commands",
            "Drops the queued commands.",
            "",
        ),
    Row::new("watch", -2, watch)
        .flags(ALWAYS.union(Flags::ALLOW_BUSY).union(Flags::NOT_QUEUED))
        .keys(&[KeySpec::rest(1, 1, "RO")])
        .lock(Lock::KeysExclusive)
        .docs(
            Group::Transactions,
            "2.2.0",
            "O(1) for every key",
            "Makes the next transaction run only if the keys stay unchanged until then.",
            "key [key ...]",
        ),
    Row::new("unwatch", 1, unwatch).flags(ALWAYS.union(Flags::ALLOW_BUSY)).docs(
        Group::Transactions,
        "2.2.0",
        "O(1)",
        "Forgets all watched keys.",
        "",
    ),
];

fn multi(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.session.transaction.is_open() {
        return Err(Error::fixed("ERR MULTI calls can not be nested"));
    }
    ctx.session.transaction.begin();
    ctx.session.publish_transaction();
    ctx.out.ok();
    Ok(())
}

fn unreachable_exec(_: &mut Ctx<'_, '_>) -> Outcome {
    Err(Error::fixed("ERR EXEC without MULTI"))
}

fn discard(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if !ctx.session.transaction.is_open() {
        return Err(Error::fixed("ERR DISCARD without MULTI"));
    }
    ctx.session.discard(ctx.engine);
    ctx.out.ok();
    Ok(())
}

fn watch(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.session.transaction.is_open() {
        return Err(Error::fixed("ERR WATCH inside MULTI is not allowed"));
    }
    for i in 1..ctx.args.len() {
        let key = ctx.key(i);
        let (db, now) = (ctx.data.db, ctx.data.now_ms);
        let shard = ctx.data.held.shard_mut(key.shard);
        let existed = shard.db(db).find(&key, now).live().is_some();
        if let Some(flag) = ctx.session.transaction.watch(db, key.bytes, existed) {
            shard.watch(db, key.bytes, &flag, existed);
        }
    }
    ctx.session.publish_transaction();
    ctx.out.ok();
    Ok(())
}

fn unwatch(ctx: &mut Ctx<'_, '_>) -> Outcome {
    // Inside EXEC there is nothing left to forget: the transaction itself has.
    if !ctx.session.in_exec {
        ctx.session.unwatch(ctx.engine);
    }
    ctx.session.publish_transaction();
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn what_had_expired_before_it_was_watched_may_go() {
        let mut h = Harness::new();
        h.line("SET x v PX 1");
        h.advance_ms(5);
        h.line("WATCH x");
        assert_eq!(h.line("EXISTS x"), ":0\r\n");
        h.line("MULTI");
        assert_eq!(h.line("EXEC"), "*0\r\n");
        h.line("SET x v PX 1");
        h.line("WATCH x");
        h.advance_ms(5);
        h.line("EXISTS x");
        h.line("MULTI");
        assert_eq!(h.line("EXEC"), "*-1\r\n");
        h.line("SET x v PX 1");
        h.advance_ms(5);
        h.line("SELECT 1");
        h.line("WATCH x");
        h.line("SWAPDB 0 1");
        h.line("MULTI");
        assert_eq!(h.line("EXEC"), "*0\r\n", "an expired key has come to where there was none");
    }
}
