//! FCALL FCALL_RO FUNCTION. What runs a function is in `crate::scripting`.
//!
//! What changes the libraries holds all shards: so the journal has the changes in their order, and a snapshot has either
//! all of one or nothing.

use std::sync::atomic::Ordering;

use respire_datatypes::glob::matches;
use respire_rdb::write::Options;
use respire_rdb::{RdbError, dump_functions, restore_functions};

use crate::command::{Flags, Group, KeySpec, Lock, Row};
use crate::commands::reply_help;
use crate::commands::scripting::{RUNS, RUNS_READING, check_flush_mode, unreachable_script};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::scripting::{Library, Policy};

const CHANGES: Flags = Flags::WRITE.union(Flags::NOSCRIPT);
const SYNTAX: &str = "function numkeys [key ...] [arg ...]";
const DEPENDS: &str = "Depends on the function";

pub(crate) const ROWS: &[Row] = &[
    Row::new("fcall", -3, unreachable_script)
        .flags(RUNS)
        .keys(&[KeySpec::counted(2, "RW access update")
            .notes("We cannot tell how the keys will be used so we assume the worst")])
        .lock(Lock::Script)
        .docs(Group::Scripting, "7.0.0", DEPENDS, "Calls a function of a library.", SYNTAX),
    Row::new("fcall_ro", -3, unreachable_script)
        .flags(RUNS_READING)
        .keys(&[KeySpec::counted(2, "RO access")
            .notes("We cannot tell how the keys will be used so we assume the worst")])
        .lock(Lock::Script)
        .docs(
            Group::Scripting,
            "7.0.0",
            DEPENDS,
            "Calls a function of a library that does not write.",
            SYNTAX,
        ),
    Row::container("function", FUNCTION).docs(
        Group::Scripting,
        "7.0.0",
        "Depends on the subcommand",
        "Keeps libraries of functions.",
        "",
    ),
];

const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

const fn docs(
    row: Row,
    complexity: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> Row {
    row.docs(Group::Scripting, "7.0.0", complexity, summary, syntax)
}

const FUNCTION: &[Row] = &[
    docs(
        Row::new("delete", 3, delete).flags(CHANGES).lock(Lock::All).tips(ALL_SHARDS),
        "O(1)",
        "Deletes a library.",
        "library-name",
    ),
    docs(
        Row::new("dump", 2, dump).flags(Flags::NOSCRIPT),
        "O(N) with the libraries",
        "Returns all libraries in one value.",
        "",
    ),
    docs(
        Row::new("flush", -2, flush).flags(CHANGES).lock(Lock::All).tips(ALL_SHARDS),
        "O(N) with the libraries",
        "Deletes all libraries.",
        "[ASYNC | SYNC]",
    ),
    docs(
        Row::new("help", 2, help).flags(Flags::LOADING.union(Flags::STALE)),
        "O(1)",
        "Explains the subcommands.",
        "",
    ),
    docs(
        Row::new("kill", 2, kill)
            .flags(Flags::NOSCRIPT.union(Flags::ALLOW_BUSY))
            .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
        "O(1)",
        "Stops a function that runs for too long.",
        "",
    ),
    docs(
        Row::new("list", -2, list).flags(Flags::NOSCRIPT).tips(&["nondeterministic_output_order"]),
        "O(N) with the functions",
        "Tells about the libraries and their functions.",
        "[LIBRARYNAME library-name-pattern] [WITHCODE]",
    ),
    docs(
        Row::new("load", -3, load)
            .flags(CHANGES.union(Flags::DENYOOM))
            .lock(Lock::All)
            .tips(ALL_SHARDS),
        "O(N) with the length of the code",
        "Adds a library.",
        "[REPLACE] function-code",
    ),
    docs(
        Row::new("restore", -3, restore)
            .flags(CHANGES.union(Flags::DENYOOM))
            .lock(Lock::All)
            .tips(ALL_SHARDS),
        "O(N) with the libraries",
        "Adds the libraries in a value that FUNCTION DUMP returned.",
        "serialized-value [FLUSH | APPEND | REPLACE]",
    ),
    docs(
        Row::new("stats", 2, stats).flags(Flags::NOSCRIPT.union(Flags::ALLOW_BUSY)).tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ]),
        "O(1)",
        "Tells which function runs, and counts what is there.",
        "",
    ),
];

fn load(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let last = ctx.args.len() - 1;
    let mut replace = false;
    for i in 2..last {
        if !ctx.args.get(i).eq_ignore_ascii_case(b"replace") {
            return Err(Error::quoting("ERR Unknown option given: ", ctx.args.get(i), ""));
        }
        replace = true;
    }
    let libraries = &ctx.engine.scripting.libraries;
    let refuse = |name: &[u8]| if replace { Ok(()) } else { libraries.refuse_taken(name) };
    let library = ctx.worker.interpreters.inspect_library(ctx.args.get(last), refuse)?;
    let name = library.name.clone();
    ctx.engine.scripting.libraries.add(library, replace)?;
    ctx.effect_as_asked();
    ctx.out.bulk(&name);
    Ok(())
}

fn delete(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if !ctx.engine.scripting.libraries.delete(ctx.args.get(2)) {
        return Err(Error::fixed("ERR Library not found"));
    }
    ctx.effect_as_asked();
    ctx.out.ok();
    Ok(())
}

fn flush(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() > 3 {
        return Err(Error::subcommand_syntax("function", ctx.args.get(1)));
    }
    check_flush_mode(ctx, Error::fixed("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"))?;
    ctx.engine.scripting.libraries.flush();
    ctx.effect_as_asked();
    ctx.out.ok();
    Ok(())
}

fn kill(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.engine.scripting.busy.kill(true)?;
    ctx.out.ok();
    Ok(())
}

fn list(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (mut pattern, mut with_code) = (None, false);
    let mut i = 2;
    while let Some(option) = ctx.args.try_get(i) {
        if !with_code && option.eq_ignore_ascii_case(b"withcode") {
            with_code = true;
        } else if pattern.is_none() && option.eq_ignore_ascii_case(b"libraryname") {
            i += 1;
            pattern = Some(
                ctx.args
                    .try_get(i)
                    .ok_or(Error::fixed("ERR library name argument was not given"))?,
            );
        } else {
            return Err(Error::quoting("ERR Unknown argument ", option, ""));
        }
        i += 1;
    }
    let mut libraries = ctx.engine.scripting.libraries.all();
    if let Some(pattern) = pattern {
        libraries.retain(|library| matches(pattern, &library.name, true));
    }
    ctx.out.array(libraries.len());
    libraries.iter().for_each(|library| describe(ctx, library, with_code));
    Ok(())
}

fn describe(ctx: &mut Ctx<'_, '_>, library: &Library, with_code: bool) {
    let out = &mut *ctx.out;
    out.map(3 + usize::from(with_code));
    out.bulk(b"library_name");
    out.bulk(&library.name);
    out.bulk(b"engine");
    out.bulk(b"LUA");
    out.bulk(b"functions");
    out.array(library.functions.len());
    for function in &library.functions {
        out.map(3);
        out.bulk(b"name");
        out.bulk(&function.name);
        out.bulk(b"description");
        match &function.description {
            Some(description) => out.bulk(description),
            None => out.null(),
        }
        out.bulk(b"flags");
        let flags = function.flags.names();
        out.set(flags.clone().count());
        flags.for_each(|flag| out.simple(flag));
    }
    if with_code {
        out.bulk(b"library_code");
        out.bulk(&library.code);
    }
}

fn dump(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let libraries = ctx.engine.scripting.libraries.all();
    let codes = libraries.iter().map(|library| &*library.code);
    ctx.out.bulk(&dump_functions(codes, Options { compress: true }));
    Ok(())
}

fn restore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() > 4 {
        return Err(Error::subcommand_syntax("function", ctx.args.get(1)));
    }
    let policy = match ctx.args.try_get(3) {
        None => Policy::Append,
        Some(word) if word.eq_ignore_ascii_case(b"append") => Policy::Append,
        Some(word) if word.eq_ignore_ascii_case(b"replace") => Policy::Replace,
        Some(word) if word.eq_ignore_ascii_case(b"flush") => Policy::Flush,
        Some(_) => {
            return Err(Error::fixed(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let verify = !ctx.engine.skip_checksums.load(Ordering::Relaxed);
    let codes = restore_functions(ctx.args.get(2), verify).map_err(|error| match error {
        RdbError::Version(_) | RdbError::Checksum { .. } | RdbError::Truncated => {
            Error::DUMP_PAYLOAD
        }
        _ => Error::fixed("ERR given type is not a function"),
    })?;
    let mut libraries = Vec::new();
    for code in codes {
        libraries.push(ctx.worker.interpreters.inspect_library(&code, |_| Ok(()))?);
    }
    ctx.engine.scripting.libraries.restore(libraries, policy)?;
    ctx.effect_as_asked();
    ctx.out.ok();
    Ok(())
}

fn stats(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let engine = ctx.engine;
    let (libraries, functions) = engine.scripting.libraries.count();
    let running = engine.scripting.busy.function();
    if running.is_none() && engine.is_busy() {
        return Err(engine.busy_error());
    }
    let out = &mut *ctx.out;
    out.map(2);
    out.bulk(b"running_script");
    match running {
        None => out.null(),
        Some(slow) => {
            out.map(3);
            out.bulk(b"name");
            out.bulk(&slow.name);
            out.bulk(b"command");
            out.array(slow.command.len());
            slow.command.iter().for_each(|part| out.bulk(part));
            out.bulk(b"duration_ms");
            let nanos = engine.clock.monotonic_ns().saturating_sub(slow.began_ns);
            out.int((nanos / 1_000_000) as i64);
        }
    }
    out.bulk(b"engines");
    out.map(1);
    out.bulk(b"LUA");
    out.map(2);
    out.bulk(b"libraries_count");
    out.int(libraries as i64);
    out.bulk(b"functions_count");
    out.int(functions as i64);
    Ok(())
}

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "DELETE <library>",
            "    Delete a library.",
            "DUMP",
            "    Return all libraries in one value.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all libraries.",
            "KILL",
            "    Stop the function that runs for too long, if it has not written.",
            "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
            "    Tell about the libraries and their functions.",
            "LOAD [REPLACE] <code>",
            "    Add a library. Its first line is #!lua name=<name>.",
            "RESTORE <value> [FLUSH|APPEND|REPLACE]",
            "    Add the libraries in a value of DUMP.",
            "STATS",
            "    Tell which function runs, and count what is there.",
        ],
    );
    Ok(())
}

#[cfg(test)]
#[path = "functions_tests.rs"]
mod tests;
