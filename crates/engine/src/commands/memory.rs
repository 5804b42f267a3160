//! MEMORY: where the server's memory is.

use respire_datatypes::float::format_f64;
use respire_datatypes::integer::parse_i64;
use respire_resp::Out;

use crate::command::{Flags, Group, KeySpec, Lock, Row};
use crate::commands::info::{MemoryFigures, Tables, ratio};
use crate::commands::reply_help;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

const SPECIAL: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

pub(crate) const ROWS: &[Row] = &[Row::container(
    "memory",
    &[
        Row::new("doctor", 2, doctor).lock(Lock::Walk).tips(SPECIAL).docs(
            Group::Server,
            "4.0.0",
            "O(S) with the number of shards",
            "Says in words how the memory is used.",
            "",
        ),
        Row::new("help", 2, help).flags(Flags::LOADING.union(Flags::STALE)).docs(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Explains the subcommands.",
            "",
        ),
        Row::new("malloc-stats", 2, malloc_stats).tips(SPECIAL).docs(
            Group::Server,
            "4.0.0",
            "Depends on the allocator's state",
            "Returns the allocator's own report.",
            "",
        ),
        Row::new("purge", 2, purge)
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .docs(
                Group::Server,
                "4.0.0",
                "Depends on the allocator's state",
                "Gives memory that is not in use back to the system.",
                "",
            ),
        Row::new("stats", 2, stats).lock(Lock::Walk).tips(SPECIAL).docs(
            Group::Server,
            "4.0.0",
            "O(S) with the number of shards",
            "Returns figures of the memory in use.",
            "",
        ),
        Row::new("usage", -3, usage).flags(Flags::READONLY).keys(&[KeySpec::one(2, "RO")]).docs(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Returns how many bytes a key and its value take.",
            "key [SAMPLES count]",
        ),
    ],
)
.docs(Group::Server, "4.0.0", "Depends on the subcommand", "Tells about memory.", "")];

fn usage(ctx: &mut Ctx<'_, '_>) -> Outcome {
    for i in (3..ctx.args.len()).step_by(2) {
        let (option, value) = (ctx.args.get(i), ctx.args.try_get(i + 1));
        let Some(value) = value.filter(|_| option.eq_ignore_ascii_case(b"samples")) else {
            return Err(Error::SYNTAX);
        };
        // A string has nothing to be sampled, but the number must be one.
        if parse_i64(value).ok_or(Error::NOT_INTEGER)? < 0 {
            return Err(Error::SYNTAX);
        }
    }
    let key = ctx.key(2);
    let db = ctx.data.held.shard(key.shard).db(ctx.data.db);
    match db.find(&key, ctx.data.now_ms).live() {
        Some(entry) => {
            let (keys, expires) = db.stats();
            let mut bytes = entry.memory() + keys.memory / db.len().max(1);
            if entry.expire().is_some() {
                bytes += expires.memory / db.expiring().max(1);
            }
            ctx.out.int(bytes as i64);
        }
        None => ctx.out.null(),
    }
    Ok(())
}

fn stats(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (engine, held) = (ctx.engine, &*ctx.data.held);
    let figures = MemoryFigures::of(engine, held, engine.used_memory());
    let MemoryFigures { used, startup, peak, overhead, clients, keys, process, .. } = figures;
    let sum = |db: usize, expires: bool| {
        engine.sum_shards(held, |shard| {
            let (of_keys, of_expires) = shard.db(db).stats();
            (if expires { of_expires.memory } else { of_keys.memory }) as u64
        })
    };
    let dbs: Vec<(usize, u64, u64)> = (0..engine.keyspace.databases())
        .filter(|db| engine.sum_shards(held, |shard| shard.db(*db).len() as u64) > 0)
        .map(|db| (db, sum(db, false), sum(db, true)))
        .collect();
    let tables = Tables::of(engine, held);
    let out = &mut *ctx.out;
    out.map(30 + dbs.len());
    let bytes = |out: &mut Out, name: &str, value: u64| {
        out.bulk(name.as_bytes());
        out.int(value as i64);
    };
    let share = |out: &mut Out, name: &str, value: f64| {
        out.bulk(name.as_bytes());
        out.double(&format_f64(value));
    };
    bytes(out, "peak.allocated", peak);
    bytes(out, "total.allocated", used);
    bytes(out, "startup.allocated", startup);
    bytes(out, "replication.backlog", 0);
    bytes(out, "clients.slaves", 0);
    bytes(out, "clients.normal", clients);
    bytes(out, "cluster.links", 0);
    bytes(out, "aof.buffer", 0);
    bytes(out, "lua.caches", engine.scripting.cache.memory() as u64);
    bytes(out, "functions.caches", engine.scripting.libraries.memory() as u64);
    for (db, main, expires) in dbs {
        out.bulk(format!("db.{db}").as_bytes());
        out.map(2);
        bytes(out, "overhead.hashtable.main", main);
        bytes(out, "overhead.hashtable.expires", expires);
    }
    bytes(out, "overhead.db.hashtable.lut", tables.memory);
    bytes(out, "overhead.db.hashtable.rehashing", tables.growing);
    bytes(out, "overhead.total", overhead);
    bytes(out, "db.dict.rehashing.count", tables.resizes);
    bytes(out, "keys.count", keys);
    bytes(out, "keys.bytes-per-key", used.saturating_sub(startup).checked_div(keys).unwrap_or(0));
    bytes(out, "dataset.bytes", figures.dataset());
    share(out, "dataset.percentage", figures.dataset_percentage());
    share(out, "peak.percentage", ratio(used, peak) * 100.0);
    bytes(out, "allocator.allocated", process.allocated);
    bytes(out, "allocator.active", process.active);
    bytes(out, "allocator.resident", process.resident);
    share(out, "allocator-fragmentation.ratio", ratio(process.active, process.allocated));
    bytes(out, "allocator-fragmentation.bytes", process.active.wrapping_sub(process.allocated));
    share(out, "allocator-rss.ratio", ratio(process.resident, process.active));
    bytes(out, "allocator-rss.bytes", process.resident.wrapping_sub(process.active));
    share(out, "rss-overhead.ratio", ratio(process.rss, process.resident));
    bytes(out, "rss-overhead.bytes", process.rss.wrapping_sub(process.resident));
    share(out, "fragmentation", ratio(process.rss, used));
    bytes(out, "fragmentation.bytes", process.rss.wrapping_sub(used));
    Ok(())
}

/// Below this a report would say more about the server's start than about its data.
const DOCTOR_FROM: u64 = 5 * 1024 * 1024;

fn doctor(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let figures = MemoryFigures::of(ctx.engine, ctx.data.held, ctx.engine.used_memory());
    let MemoryFigures { used, peak, clients, process, .. } = figures;
    let connected = ctx.engine.clients.len().max(1) as u64;
    let mut text = String::new();
    if used < DOCTOR_FROM {
        text.push_str("There is too little in memory to say anything about its use.\n");
    } else {
        if ratio(peak, used) > 1.5 {
            text.push_str(&format!(
                "The most that was ever in use, {peak} bytes, is much more than the {used} bytes of now; the system \
                 may still count it. MEMORY PURGE gives back what is not in use.\n"
            ));
        }
        if ratio(process.active, process.allocated) > 1.1
            && process.active - process.allocated > 10 << 20
        {
            text.push_str(
                "Pages are only partly filled: values of many sizes came and went. New values fill them up.\n",
            );
        }
        if ratio(process.resident, process.active) > 1.1
            && process.resident - process.active > 10 << 20
        {
            text.push_str("The allocator holds many empty pages. MEMORY PURGE gives them back.\n");
        }
        if clients / connected > 200 * 1024 {
            text.push_str(
                "Clients hold more than 200 kB each on average: CLIENT LIST tells which read too slowly.\n",
            );
        }
        if text.is_empty() {
            text.push_str("Nothing is wrong with the use of memory.\n");
        }
    }
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn purge(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.engine.host.purge_memory();
    ctx.out.ok();
    Ok(())
}

fn malloc_stats(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let report = ctx.engine.host.allocator_report();
    let report = report.map_err(|why| Error::text(format!("ERR {why}")))?;
    ctx.out.verbatim("txt", report.as_bytes());
    Ok(())
}

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "DOCTOR",
            "    Say in words how the memory is used.",
            "MALLOC-STATS",
            "    Show the allocator's own report.",
            "PURGE",
            "    Give memory that is not in use back to the system.",
            "STATS",
            "    Show figures of the memory in use.",
            "USAGE <key> [SAMPLES <count>]",
            "    Show how many bytes a key takes with its value. Of a value of many elements,",
            "    <count> are looked at (5 unless told, all for 0).",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn usage_counts_key_and_value() {
        let mut h = Harness::new();
        assert_eq!(h.line("MEMORY USAGE none"), "$-1\r\n");
        h.line("SET small 1");
        h.run(&["SET", "large", &"x".repeat(100_000)]);
        let bytes = |reply: String| reply[1..reply.len() - 2].parse::<usize>().unwrap();
        let small = bytes(h.line("MEMORY USAGE small"));
        let large = bytes(h.line("MEMORY USAGE large SAMPLES 0"));
        assert!((10..2000).contains(&small), "{small}");
        // What the allocator hands out for 100,000 bytes, key and head.
        assert!((102_400..102_700).contains(&large), "{large}");
        for (line, error) in [
            ("MEMORY USAGE none SAMPLES -1", "syntax error"),
            ("MEMORY USAGE none SAMPLES", "syntax error"),
            ("MEMORY USAGE none OTHER 1", "syntax error"),
            ("MEMORY USAGE none SAMPLES x", "value is not an integer or out of range"),
        ] {
            assert_eq!(h.line(line), format!("-ERR {error}\r\n"), "{line}");
        }
    }

    #[test]
    fn stats_have_a_map_per_database_in_use() {
        let mut h = Harness::new();
        assert!(h.line("MEMORY STATS").starts_with("*60\r\n"));
        h.line("SET k v");
        let stats = h.line("MEMORY STATS");
        assert!(stats.starts_with("*62\r\n"), "{stats}");
        assert!(stats.contains("db.0\r\n*4\r\n$23\r\noverhead.hashtable.main\r\n"), "{stats}");
        assert!(stats.contains("keys.count\r\n:1\r\n"), "{stats}");
        h.line("MULTI");
        h.line("MEMORY STATS");
        h.line("MEMORY DOCTOR");
        assert!(h.line("EXEC").starts_with("*2\r\n*62\r\n"));
    }
}
