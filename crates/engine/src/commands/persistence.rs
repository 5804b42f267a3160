//! SAVE BGSAVE LASTSAVE BGREWRITEAOF WAITAOF: what is kept in files. The host does the work.

use respire_datatypes::integer::parse_i64;

use crate::command::{Flags, Group, Lock, Row};
use crate::config::find;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING);

pub(crate) const ROWS: &[Row] = &[
    Row::new("bgrewriteaof", 1, bgrewriteaof).flags(ADMIN).docs(
        Group::Server,
        "1.0.0",
        "O(N) with the number of keys, in the background",
        "Begins to write a new base of the append-only file.",
        "",
    ),
    Row::new("bgsave", -1, bgsave).flags(ADMIN).docs(
        Group::Server,
        "1.0.0",
        "O(N) with the number of keys, in the background",
        "Begins to write a snapshot of all databases.",
        "[SCHEDULE]",
    ),
    Row::new("lastsave", 1, lastsave)
        .flags(Flags::LOADING.union(Flags::STALE).union(Flags::FAST))
        .extra_categories(&["admin", "dangerous"])
        .tips(&["nondeterministic_output"])
        .docs(Group::Server, "1.0.0", "O(1)", "Returns the Unix time of the last snapshot.", ""),
    Row::new("save", 1, save).flags(ADMIN.union(Flags::NO_MULTI)).lock(Lock::Walk).docs(
        Group::Server,
        "1.0.0",
        "O(N) with the number of keys",
        "Writes a snapshot of all databases, and replies when it is on disk.",
        "",
    ),
    Row::new("waitaof", 4, waitaof).lock(Lock::Walk).docs(
        Group::Generic,
        "7.2.0",
        "O(1)",
        "Replies when all writes of the client are safe in the append-only file.",
        "numlocal numreplicas timeout",
    ),
];

fn save(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let saved = ctx.engine.host.save(ctx.engine, None);
    match saved {
        Ok(()) => ctx.out.ok(),
        Err(why) if why.ends_with("in progress") => return Err(Error::text(format!("ERR {why}"))),
        // As in Redis, the log says why.
        Err(_) => return Err(Error::fixed("ERR")),
    }
    Ok(())
}

fn bgsave(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let schedule = match ctx.args.try_get(1) {
        None => false,
        Some(word) if ctx.args.len() == 2 && word.eq_ignore_ascii_case(b"schedule") => true,
        Some(_) => return Err(Error::SYNTAX),
    };
    let begun = ctx.engine.host.save_in_background(schedule);
    ctx.out.simple(begun.map_err(|why| Error::text(format!("ERR {why}")))?);
    Ok(())
}

fn bgrewriteaof(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let begun = ctx.engine.host.rewrite_log();
    ctx.out.simple(begun.map_err(|why| Error::text(format!("ERR {why}")))?);
    Ok(())
}

fn lastsave(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.int(ctx.engine.host.persistence().last_save_s);
    Ok(())
}

/// Makes the log safe here and now: whoever asks wants to wait for just that. There are no replicas to wait for.
fn waitaof(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let number = |i: usize| parse_i64(ctx.args.get(i)).ok_or(Error::NOT_INTEGER);
    let (local, replicas, timeout) = (number(1)?, number(2)?, number(3)?);
    if !(0..=1).contains(&local) {
        return Err(Error::fixed("ERR value is out of range, value must between 0 and 1"));
    }
    if replicas < 0 {
        return Err(Error::MUST_BE_POSITIVE);
    }
    if timeout < 0 {
        return Err(Error::TIMEOUT_NEGATIVE);
    }
    // Who may not wait is told how far things are.
    let waits = !ctx.session.in_exec && !ctx.session.in_script;
    if replicas > 0 && waits {
        return Err(Error::fixed(
            "ERR WAITAOF for replicas is not supported yet by this version of Respire: it has none",
        ));
    }
    // A log that was switched off a moment ago is none.
    let is_on = find("appendonly").is_some_and(|row| row.get(ctx.settings) == "yes");
    let synced = if is_on { ctx.engine.host.sync_log() } else { None };
    let done = match synced {
        None if local > 0 => {
            return Err(Error::fixed(
                "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
            ));
        }
        None => 0,
        Some(synced) => i64::from(synced.is_ok()),
    };
    ctx.out.array(2);
    ctx.out.int(done);
    ctx.out.int(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn who_may_not_wait_for_replicas_is_told_how_far_things_are() {
        let mut h = Harness::new();
        let none = "*2\r\n:0\r\n:0\r\n";
        assert_eq!(h.line("WAITAOF 0 0 0"), none);
        assert!(h.line("WAITAOF 0 1 0").starts_with("-ERR WAITAOF for replicas"));
        assert_eq!(h.run(&["EVAL", "return redis.call('WAITAOF', 0, 1, 0)", "0"]), none);
        h.line("MULTI");
        h.line("WAITAOF 0 1 0");
        assert_eq!(h.line("EXEC"), format!("*1\r\n{none}"));
        assert!(h.line("WAITAOF 1 0 0").contains("but appendonly is disabled."));
    }
}
