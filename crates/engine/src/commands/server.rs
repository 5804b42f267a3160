//! Commands on whole databases and on the server: DBSIZE FLUSHALL FLUSHDB LOLWUT SHUTDOWN SWAPDB TIME.

use std::sync::atomic::Ordering;

use respire_datatypes::integer::parse_i64;

use crate::REDIS_VERSION;
use crate::command::{Flags, Group, Lock, Row};
use crate::config::find;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::host::{Garbage, ShutdownRequest};
use crate::pause::PauseKind;

const FLUSH: Flags = Flags::WRITE.union(Flags::DANGEROUS);

const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const KEYSPACE: &[&str] = &["keyspace"];

pub(crate) const ROWS: &[Row] = &[
    Row::new("dbsize", 1, dbsize)
        .flags(Flags::READONLY.union(Flags::FAST))
        .lock(Lock::AllShared)
        .extra_categories(KEYSPACE)
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .docs(Group::Server, "1.0.0", "O(1)", "Returns the number of keys in the database.", ""),
    Row::new("flushall", -1, flushall)
        .flags(FLUSH)
        .lock(Lock::All)
        .extra_categories(KEYSPACE)
        .tips(ALL_SHARDS)
        .docs(
            Group::Server,
            "1.0.0",
            "O(N), where N is the number of keys",
            "Deletes all keys of all databases.",
            "[ASYNC | SYNC]",
        ),
    Row::new("flushdb", -1, flushdb)
        .flags(FLUSH)
        .lock(Lock::All)
        .extra_categories(KEYSPACE)
        .tips(ALL_SHARDS)
        .docs(
            Group::Server,
            "1.0.0",
            "O(N), where N is the number of keys",
            "Deletes all keys of the database.",
            "[ASYNC | SYNC]",
        ),
    Row::new("lolwut", -1, lolwut).flags(Flags::READONLY.union(Flags::FAST)).docs(
        Group::Server,
        "5.0.0",
        "O(N) with the size of the picture",
        "Draws something, and tells the version.",
        "[VERSION version]",
    ),
    Row::new("shutdown", -1, shutdown)
        .flags(
            Flags::ADMIN
                .union(Flags::NOSCRIPT)
                .union(Flags::LOADING)
                .union(Flags::STALE)
                .union(Flags::NO_MULTI)
                .union(Flags::ALLOW_BUSY),
        )
        .docs(
            Group::Server,
            "1.0.0",
            "O(1)",
            "Ends the server.",
            "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
        ),
    Row::new("swapdb", 3, swapdb)
        .flags(Flags::WRITE.union(Flags::FAST).union(Flags::DANGEROUS))
        .lock(Lock::All)
        .extra_categories(KEYSPACE)
        .docs(
            Group::Server,
            "4.0.0",
            "O(S) with the number of shards, and O(W) with the keys that clients watch",
            "Exchanges two databases.",
            "index1 index2",
        ),
    Row::new("time", 1, time)
        .flags(Flags::LOADING.union(Flags::STALE).union(Flags::FAST))
        .tips(&["nondeterministic_output"])
        .docs(Group::Server, "2.6.0", "O(1)", "Returns the server's time.", ""),
];

fn dbsize(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let db = ctx.data.db;
    let keys = ctx.engine.sum_shards(ctx.data.held, |shard| shard.db(db).len() as u64);
    ctx.out.int(keys as i64);
    Ok(())
}

fn flushall(ctx: &mut Ctx<'_, '_>) -> Outcome {
    flush(ctx, 0..ctx.engine.keyspace.databases())?;
    // The last snapshot still holds what was meant to be gone.
    let save = find("save").is_some_and(|row| !row.get(ctx.settings).is_empty());
    ctx.engine.host.emptied(save);
    Ok(())
}

fn flushdb(ctx: &mut Ctx<'_, '_>) -> Outcome {
    flush(ctx, ctx.data.db..ctx.data.db + 1)
}

fn flush(ctx: &mut Ctx<'_, '_>, dbs: std::ops::Range<usize>) -> Outcome {
    // Both modes free in the background: to free on the event loop would keep its other clients waiting.
    match ctx.args.try_get(1) {
        None => {}
        Some(_) if ctx.args.len() > 2 => return Err(Error::SYNTAX),
        Some(mode) if mode.eq_ignore_ascii_case(b"sync") => {}
        Some(mode) if mode.eq_ignore_ascii_case(b"async") => {}
        Some(_) => return Err(Error::SYNTAX),
    }
    let (engine, now_ms) = (ctx.engine, ctx.data.now_ms);
    let (mut emptied, mut keys) = (Vec::new(), 0);
    for shard in 0..engine.keyspace.shard_count() as u32 {
        let shard = ctx.data.held.shard_mut(shard);
        for flushed in dbs.clone().map(|db| shard.flush(db, now_ms)) {
            keys += flushed.keys as u64;
            emptied.extend(flushed.db.filter(|db| !db.is_empty()));
        }
    }
    engine.invalidate_all(ctx.worker.outbox);
    if !ctx.session.in_exec {
        engine.lazily_freed.fetch_add(keys, Ordering::Relaxed);
    }
    engine.host.discard(Garbage { dbs: emptied, ..Garbage::default() });
    // Also where there was nothing: readers of the log rely on it.
    ctx.effect_as_asked();
    ctx.out.ok();
    Ok(())
}

fn swapdb(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let index = |i: usize, error| {
        let index = parse_i64(ctx.args.get(i)).filter(|n| i32::try_from(*n).is_ok());
        index.ok_or(Error::fixed(error))
    };
    let a = index(1, "ERR invalid first DB index")?;
    let b = index(2, "ERR invalid second DB index")?;
    let databases = ctx.engine.keyspace.databases();
    let valid = |index: i64| usize::try_from(index).ok().filter(|index| *index < databases);
    let (Some(a), Some(b)) = (valid(a), valid(b)) else { return Err(Error::DB_INDEX) };
    if a != b {
        let shards = ctx.engine.keyspace.shard_count() as u32;
        for shard in 0..shards {
            ctx.data.held.shard_mut(shard).swap(a, b, ctx.data.now_ms);
        }
        // One change, in however many parts.
        ctx.data.held.shard_mut(0).weigh(1 - i64::from(shards));
    }
    ctx.out.ok();
    Ok(())
}

fn time(ctx: &mut Ctx<'_, '_>) -> Outcome {
    // Within a script, time stands still.
    let in_script = ctx.session.in_script;
    let now_us = if in_script { ctx.data.clock_us } else { ctx.engine.clock.unix_us() };
    ctx.out.array(2);
    ctx.out.bulk_int(now_us.div_euclid(1_000_000));
    ctx.out.bulk_int(now_us.rem_euclid(1_000_000));
    Ok(())
}

fn shutdown(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut request = ShutdownRequest::default();
    let mut abort = false;
    for option in ctx.args.iter_from(1) {
        match option.to_ascii_lowercase().as_slice() {
            b"nosave" => request.nosave = true,
            b"save" => request.save = true,
            b"now" => request.now = true,
            b"force" => request.force = true,
            b"abort" => abort = true,
            _ => return Err(Error::SYNTAX),
        }
    }
    if (abort && request != ShutdownRequest::default()) || (request.save && request.nosave) {
        return Err(Error::SYNTAX);
    }
    if abort {
        // That takes little time in which it could be: there are no replicas to wait for.
        if !ctx.engine.host.abort_shutdown() {
            return Err(Error::fixed("ERR No shutdown in progress."));
        }
        ctx.out.ok();
        return Ok(());
    }
    if ctx.engine.is_busy() {
        if !request.nosave {
            return Err(ctx.engine.busy_error());
        }
        ctx.engine.scripting.busy.abandon_all();
    }
    // Nothing takes effect any more; requests wait for the end.
    ctx.engine.pause.begin(PauseKind::All, i64::MAX, ctx.data.now_ms);
    if let Err(why) = ctx.engine.host.shutdown(ctx.engine, request) {
        ctx.engine.pause.end();
        return Err(Error::text(format!("ERR {why}")));
    }
    Ok(())
}

/// The same picture for every VERSION: a breath that spreads over still water, never twice the same.
fn lolwut(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() > 2 && ctx.args.get(1).eq_ignore_ascii_case(b"version") {
        parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    }
    const WIDTH: usize = 64;
    const HEIGHT: usize = 16;
    // From where no ring passes to the crest of one.
    const SHADES: &[u8] = b"  .:-=o";
    let rng = &mut *ctx.data.rng;
    let drops: Vec<(f64, f64, f64)> = (0..rng.usize(2..5))
        .map(|_| (rng.f64() * WIDTH as f64, rng.f64() * HEIGHT as f64, 1.5 + rng.f64() * 2.5))
        .collect();
    let mut text = String::with_capacity((WIDTH + 1) * HEIGHT + 64);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let height: f64 = (drops.iter())
                .map(|(cx, cy, length)| {
                    // A character is twice as high as it is wide.
                    let distance = (x as f64 - cx).hypot((y as f64 - cy) * 2.0);
                    (distance / length).cos() / (1.0 + distance / 12.0)
                })
                .sum();
            let shade = (height.clamp(0.0, 0.999) * SHADES.len() as f64) as usize;
            text.push(char::from(SHADES[shade]));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    let version = env!("CARGO_PKG_VERSION");
    text.push_str(&format!("\nRings on water. Redis ver. {REDIS_VERSION} (Respire {version})\n"));
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn flushing_empties_one_database_or_all() {
        let mut h = Harness::new();
        for n in 0..100 {
            h.line(&format!("SET key:{n} v"));
        }
        let other = h.connect();
        h.run_as(other, &["MULTI"]);
        h.run_as(other, &["DBSIZE"]);
        assert_eq!(h.line("DBSIZE"), ":100\r\n");
        assert_eq!(h.line("SWAPDB 0 3"), "+OK\r\n");
        assert_eq!(h.line("DBSIZE"), ":0\r\n");
        assert_eq!(h.line("FLUSHDB"), "+OK\r\n");
        h.line("SWAPDB 3 0");
        assert_eq!(h.line("DBSIZE"), ":100\r\n");
        assert_eq!(h.line("FLUSHDB sync"), "+OK\r\n");
        assert_eq!(h.run_as(other, &["EXEC"]), "*1\r\n:0\r\n");
        h.line("SET a b");
        assert_eq!(h.line("SWAPDB 0 3"), "+OK\r\n");
        assert_eq!(h.line("FLUSHALL ASYNC"), "+OK\r\n");
        h.line("SWAPDB 0 3");
        assert_eq!(h.line("DBSIZE"), ":0\r\n");
        assert!(h.line("INFO stats memory").contains("lazyfreed_objects:101\r"));
        for wrong in ["FLUSHALL now", "FLUSHDB SYNC ASYNC", "FLUSHALL SYNC SYNC"] {
            assert_eq!(h.line(wrong), "-ERR syntax error\r\n", "{wrong}");
        }
    }

    #[test]
    fn flushing_is_a_change_to_those_who_watch() {
        let mut h = Harness::new();
        h.line("SET k v");
        for (flush, reply) in [("FLUSHALL", "*-1\r\n"), ("FLUSHALL", "*1\r\n+PONG\r\n")] {
            let watcher = h.connect();
            h.run_as(watcher, &["WATCH", "k"]);
            h.run_as(watcher, &["MULTI"]);
            h.run_as(watcher, &["PING"]);
            h.line(flush);
            assert_eq!(h.run_as(watcher, &["EXEC"]), reply);
        }
    }

    #[test]
    fn databases_to_swap_must_exist() {
        let mut h = Harness::new();
        for (line, error) in [
            ("SWAPDB x 0", "invalid first DB index"),
            ("SWAPDB 0 99999999999", "invalid second DB index"),
            ("SWAPDB 0 16", "DB index is out of range"),
            ("SWAPDB -1 0", "DB index is out of range"),
        ] {
            assert_eq!(h.line(line), format!("-ERR {error}\r\n"));
        }
    }

    #[test]
    fn shutdown_refuses_what_it_can_not_do() {
        let mut h = Harness::new();
        for (line, reply) in [
            ("SHUTDOWN SAVE NOSAVE", "-ERR syntax error\r\n"),
            ("SHUTDOWN NOW ABORT", "-ERR syntax error\r\n"),
            ("SHUTDOWN LATER", "-ERR syntax error\r\n"),
            ("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n"),
            ("SHUTDOWN", "-ERR there is no server to shut down\r\n"),
        ] {
            assert_eq!(h.line(line), reply);
        }
        assert_eq!(h.line("PING"), "+PONG\r\n");
    }

    #[test]
    fn time_is_seconds_and_microseconds() {
        let mut h = Harness::new();
        h.advance_ms(1234);
        assert_eq!(h.line("TIME"), "*2\r\n$10\r\n1700000001\r\n$6\r\n234000\r\n");
    }

    #[test]
    fn lolwut_ends_with_the_version() {
        let mut h = Harness::new();
        assert!(h.line("LOLWUT VERSION 5 1 2 3").contains("Redis ver. 7.4.0 (Respire "));
        assert_eq!(h.line("LOLWUT VERSION x"), "-ERR value is not an integer or out of range\r\n");
    }
}
