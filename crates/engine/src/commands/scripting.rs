//! EVAL EVALSHA EVAL_RO EVALSHA_RO SCRIPT. What runs a script is in `crate::scripting`.

use crate::command::{Flags, Group, KeySpec, Lock, Row};
use crate::commands::reply_help;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::scripting::read_sha;

/// Flags of commands that run a script.
pub(super) const RUNS: Flags = Flags::NOSCRIPT
    .union(Flags::STALE)
    .union(Flags::SKIP_MONITOR)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::MAY_REPLICATE)
    .union(Flags::MOVABLE_KEYS);

/// The same of those that only read.
pub(super) const RUNS_READING: Flags = RUNS.difference(Flags::MAY_REPLICATE).union(Flags::READONLY);

const WORST: &str = "We cannot tell how the keys will be used so we assume the worst";
const SYNTAX_TEXT: &str = "script numkeys [key ...] [arg ...]";
const SYNTAX_SHA: &str = "sha1 numkeys [key ...] [arg ...]";
const DEPENDS: &str = "Depends on the script";

pub(crate) const ROWS: &[Row] = &[
    Row::new("eval", -3, unreachable_script)
        .flags(RUNS)
        .keys(&[KeySpec::counted(2, "RW access update").notes(WORST)])
        .lock(Lock::Script)
        .docs(Group::Scripting, "2.6.0", DEPENDS, "Runs a Lua script.", SYNTAX_TEXT),
    Row::new("evalsha", -3, unreachable_script)
        .flags(RUNS)
        .keys(&[KeySpec::counted(2, "RW access update")])
        .lock(Lock::Script)
        .docs(
            Group::Scripting,
            "2.6.0",
            DEPENDS,
            "Runs a Lua script that is known by the SHA-1 of its text.",
            SYNTAX_SHA,
        ),
    Row::new("eval_ro", -3, unreachable_script)
        .flags(RUNS_READING)
        .keys(&[KeySpec::counted(2, "RO access").notes(WORST)])
        .lock(Lock::Script)
        .docs(
            Group::Scripting,
            "7.0.0",
            DEPENDS,
            "Runs a Lua script that may not write.",
            SYNTAX_TEXT,
        ),
    Row::new("evalsha_ro", -3, unreachable_script)
        .flags(RUNS_READING)
        .keys(&[KeySpec::counted(2, "RO access")])
        .lock(Lock::Script)
        .docs(
            Group::Scripting,
            "7.0.0",
            DEPENDS,
            "Runs a Lua script that is known by the SHA-1 of its text and may not write.",
            SYNTAX_SHA,
        ),
    Row::container("script", SCRIPT).docs(
        Group::Scripting,
        "2.6.0",
        "Depends on the subcommand",
        "Keeps Lua scripts for EVALSHA.",
        "",
    ),
];

const SCRIPT: &[Row] = &[
    Row::new("debug", 3, debug).flags(Flags::NOSCRIPT).docs(
        Group::Scripting,
        "3.2.0",
        "O(1)",
        "Would switch the debugger of scripts on, which is not there.",
        "<YES | SYNC | NO>",
    ),
    Row::new("exists", -3, exists)
        .flags(Flags::NOSCRIPT)
        .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
        .docs(
            Group::Scripting,
            "2.6.0",
            "O(N) with the digests",
            "Tells which scripts are kept.",
            "sha1 [sha1 ...]",
        ),
    Row::new("flush", -2, flush)
        .flags(Flags::NOSCRIPT)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs(
            Group::Scripting,
            "2.6.0",
            "O(N) with the scripts",
            "Forgets all scripts.",
            "[ASYNC | SYNC]",
        ),
    Row::new("help", 2, help).flags(Flags::LOADING.union(Flags::STALE)).docs(
        Group::Scripting,
        "5.0.0",
        "O(1)",
        "Explains the subcommands.",
        "",
    ),
    Row::new("kill", 2, kill)
        .flags(Flags::NOSCRIPT.union(Flags::ALLOW_BUSY))
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
        .docs(Group::Scripting, "2.6.0", "O(1)", "Stops a script that runs for too long.", ""),
    Row::new("load", 3, load)
        .flags(Flags::NOSCRIPT.union(Flags::STALE))
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs(
            Group::Scripting,
            "2.6.0",
            "O(N) with the length of the script",
            "Keeps a Lua script for EVALSHA.",
            "script",
        ),
];

/// Scripts are run by the dispatcher, which alone can hold what they need.
pub(super) fn unreachable_script(_: &mut Ctx<'_, '_>) -> Outcome {
    Err(Error::fixed("ERR scripts are run by the dispatcher"))
}

fn debug(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mode = ctx.args.get(2);
    if mode.eq_ignore_ascii_case(b"no") {
        ctx.out.ok();
        return Ok(());
    }
    if mode.eq_ignore_ascii_case(b"yes") || mode.eq_ignore_ascii_case(b"sync") {
        return Err(Error::fixed("ERR There is no debugger of scripts in this server"));
    }
    Err(Error::fixed("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

fn exists(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.array(ctx.args.len() - 2);
    for sha in ctx.args.iter_from(2) {
        let cache = &ctx.engine.scripting.cache;
        ctx.out.int(read_sha(sha).is_some_and(|sha| cache.contains(&sha)).into());
    }
    Ok(())
}

/// Reads `ASYNC` or `SYNC`, which make no difference: what is forgotten is freed by whoever used it last.
pub(super) fn check_flush_mode(ctx: &Ctx<'_, '_>, wrong: Error) -> Outcome {
    match ctx.args.try_get(2) {
        None => Ok(()),
        Some(mode) if ctx.args.len() > 3 || !is_flush_mode(mode) => Err(wrong),
        Some(_) => Ok(()),
    }
}

fn is_flush_mode(mode: &[u8]) -> bool {
    mode.eq_ignore_ascii_case(b"async") || mode.eq_ignore_ascii_case(b"sync")
}

fn flush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    check_flush_mode(ctx, Error::fixed("ERR SCRIPT FLUSH only support SYNC|ASYNC option"))?;
    ctx.engine.scripting.cache.flush();
    ctx.out.ok();
    Ok(())
}

fn kill(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.engine.scripting.busy.kill(false)?;
    ctx.out.ok();
    Ok(())
}

fn load(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (source, now) = (ctx.args.get(2), ctx.data.clock_ms());
    let sha = ctx.worker.interpreters.load_script(&ctx.engine.scripting.cache, source, now)?;
    ctx.out.bulk(&sha);
    Ok(())
}

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "DEBUG (YES|SYNC|NO)",
            "    There is no debugger: only NO is accepted.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Tell which scripts are kept.",
            "FLUSH [ASYNC|SYNC]",
            "    Forget all scripts.",
            "KILL",
            "    Stop the script that runs for too long, if it has not written.",
            "LOAD <script>",
            "    Keep a script for EVALSHA, and return its digest.",
        ],
    );
    Ok(())
}

#[cfg(test)]
#[path = "scripting_tests.rs"]
mod tests;
