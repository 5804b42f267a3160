//! DEBUG: what tests of servers and clients use. All shards are held while it runs, so that the keyspace stands still.

use std::fmt::Write;
use std::time::Duration;

use respire_datatypes::access;
use respire_datatypes::collection::Collection;
use respire_datatypes::float::parse_f64;
use respire_datatypes::glob;
use respire_datatypes::integer::parse_i64;
use respire_datatypes::table::TableStats;
use respire_keyspace::{EntryRef, Held, NewValue, StrRef, Ttl};
use respire_resp::Proto;

use crate::command::{Flags, Group, Lock, Row};
use crate::commands::{config, digest, listpacks, reply_help};
use crate::config::parse_memory;
use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::error::{Error, Outcome};
use crate::host::{Garbage, Reload};

pub(crate) const ROWS: &[Row] = &[Row::new("debug", -2, debug)
    .flags(
        Flags::ADMIN
            .union(Flags::NOSCRIPT)
            .union(Flags::LOADING)
            .union(Flags::STALE)
            .union(Flags::PROTECTED),
    )
    .lock(Lock::All)
    .docs(
        Group::Server,
        "1.0.0",
        "Depends on the subcommand",
        "Serves tests of servers and clients.",
        "",
    )];

/// Subcommands of Redis on which tests rely, and that wait for what they are about.
const NOT_YET: &[&str] = &[
    "change-repl-id",
    "crash-and-recover",
    "dict-resizing",
    "quicklist",
    "replicate",
    "restart",
    "ziplist",
];

fn debug(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let name = ctx.args.get(1).to_ascii_lowercase();
    match (name.as_slice(), ctx.args.len()) {
        (b"help", 2) => help(ctx),
        (b"sleep", 3) => sleep(ctx),
        (b"object", 3 | 4) => object(ctx),
        (b"config-rewrite-force-all", 2) => config::rewrite_all(ctx),
        (b"set-active-expire", 3) => set_active_expire(ctx),
        (b"set-disable-deny-scripts", 3) => let_scripts_call_all(ctx),
        (b"set-skip-checksum-validation", 3) => skip_checksums(ctx),
        (b"reload", 2..) => reload(ctx),
        (b"loadaof", 2) => load_log(ctx),
        (b"pause-cron", 3) => pause_cron(ctx),
        (b"aof-flush-sleep", 3) => delay_flushes(ctx),
        (b"quicklist-packed-threshold", 3) => packed_threshold(ctx),
        (b"replybuffer", 4) => reply_buffers(ctx),
        (b"digest", 2) => digest::of_all(ctx),
        (b"digest-value", 2..) => digest::of_values(ctx),
        (b"populate", 3..=5) => populate(ctx),
        (b"protocol", 3) => protocol(ctx),
        (b"error", 3) => Err(Error::bytes(ctx.args.get(2).to_vec())),
        (b"log", 3) => {
            log::warn!("DEBUG LOG: {}", String::from_utf8_lossy(ctx.args.get(2)));
            ctx.out.ok();
            Ok(())
        }
        (b"stringmatch-len", 4) => string_match(ctx),
        (b"segfault", 2) => Err(Error::text(ctx.engine.host.segfault())),
        (b"panic", 2) => panic!("DEBUG PANIC asked for it"),
        (b"listpack", 3) => listpacks::show(ctx),
        (b"htstats", 3 | 4) => table_stats(ctx),
        (b"htstats-key", 3 | 4) => table_stats_of_key(ctx),
        _ if NOT_YET.iter().any(|known| known.as_bytes() == name) => {
            let name = String::from_utf8_lossy(&name).to_ascii_uppercase();
            Err(Error::text(format!(
                "ERR DEBUG {name} is not supported yet by this version of Respire"
            )))
        }
        _ => Err(Error::subcommand_syntax("debug", ctx.args.get(1))),
    }
}

fn sleep(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let seconds = parse_f64(ctx.args.get(2)).ok_or(Error::NOT_FLOAT)?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| Error::OUT_OF_RANGE)?;
    ctx.engine.host.sleep(duration);
    ctx.out.ok();
    Ok(())
}

fn reply_buffers(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (what, value) = (ctx.args.get(2), ctx.args.get(3));
    let replies = &ctx.engine.replies;
    if what.eq_ignore_ascii_case(b"PEAK-RESET-TIME") {
        if value.eq_ignore_ascii_case(b"NEVER") {
            replies.keep_peaks(Some(-1));
        } else if value.eq_ignore_ascii_case(b"RESET") {
            replies.keep_peaks(None);
        } else {
            let ms = parse_i64(value);
            replies.keep_peaks(Some(ms.ok_or(Error::NOT_INTEGER)?));
        }
    } else if what.eq_ignore_ascii_case(b"RESIZING") {
        replies.set_resizing(parse_i64(value).ok_or(Error::NOT_INTEGER)? != 0);
    } else {
        return Err(Error::subcommand_syntax("debug", ctx.args.get(1)));
    }
    ctx.out.ok();
    Ok(())
}

fn object(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    let db = ctx.data.held.shard(key.shard).db(ctx.data.db);
    // An entry is looked at even if its time has passed: as long as it is there, this says so.
    let entry = db.find(&key, i64::MIN).live().ok_or(Error::NO_SUCH_KEY)?;
    let now = access::lru_clock((ctx.data.now_ms / 1000) as u64);
    let lru = access::without_fraction(entry.access());
    let mut text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{lru} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        entry.encoding(),
        serialized_length(entry),
        access::lru_idle_seconds(lru, now)
    );
    if let Some(Collection::List(list)) = entry.collection()
        && list.encoding() == "quicklist"
    {
        let (nodes, bytes) = (list.nodes(), list.node_bytes());
        let _ = write!(
            text,
            " ql_nodes:{nodes} ql_avg_node:{:.2} ql_listpack_max:{} ql_compressed:{} ql_uncompressed_size:{bytes}",
            list.len() as f64 / nodes.max(1) as f64,
            ctx.settings.list_max_listpack_size,
            u8::from(ctx.settings.list_compress.depth != 0),
        );
    }
    ctx.out.simple(&text);
    Ok(())
}

/// Bytes of the value in an RDB file that is not compressed.
fn serialized_length(entry: EntryRef<'_>) -> usize {
    let Some(text) = entry.string() else {
        return entry.collection().map_or(0, Collection::memory);
    };
    match text {
        StrRef::Int(value) if i8::try_from(value).is_ok() => 2,
        StrRef::Int(value) if i16::try_from(value).is_ok() => 3,
        StrRef::Int(value) if i32::try_from(value).is_ok() => 5,
        value => {
            let len = value.len();
            let head = match len {
                0..64 => 1,
                64..16_384 => 2,
                _ if u32::try_from(len).is_ok() => 5,
                _ => 9,
            };
            head + len
        }
    }
}

fn pause_cron(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let on = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)? != 0;
    ctx.engine.cron_paused.store(on, std::sync::atomic::Ordering::Relaxed);
    ctx.out.ok();
    Ok(())
}

fn delay_flushes(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let micros = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let micros = u64::try_from(micros).map_err(|_| Error::OUT_OF_RANGE)?;
    ctx.engine.host.delay_flushes(micros);
    ctx.out.ok();
    Ok(())
}

fn let_scripts_call_all(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let on = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)? != 0;
    ctx.engine.scripts_call_all.store(on, std::sync::atomic::Ordering::Relaxed);
    ctx.out.ok();
    Ok(())
}

fn skip_checksums(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let on = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)? != 0;
    ctx.engine.skip_checksums.store(on, std::sync::atomic::Ordering::Relaxed);
    ctx.out.ok();
    Ok(())
}

fn packed_threshold(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let text = String::from_utf8_lossy(ctx.args.get(2)).into_owned();
    let bytes = parse_memory(&text).filter(|bytes| *bytes < 1 << 32).ok_or(Error::fixed(
        "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
    ))?;
    ctx.engine.list_apart.store(bytes as usize, std::sync::atomic::Ordering::Relaxed);
    ctx.out.ok();
    Ok(())
}

fn set_active_expire(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let on = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)? != 0;
    ctx.engine.active_expire.store(on, std::sync::atomic::Ordering::Relaxed);
    ctx.out.ok();
    Ok(())
}

/// Saves, and loads what was saved.
fn reload(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (mut how, mut flush) = (Reload { save: true, merge: false }, true);
    for option in ctx.args.iter_from(2) {
        match option.to_ascii_uppercase().as_slice() {
            b"NOSAVE" => how.save = false,
            b"NOFLUSH" => flush = false,
            b"MERGE" => how.merge = true,
            _ => {
                return Err(Error::fixed(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    let (engine, now_ms) = (ctx.engine, ctx.data.now_ms);
    let mut empty = |held: &mut Held<'_>| {
        if flush {
            empty_all(engine, held, now_ms);
            engine.scripting.libraries.flush();
        }
    };
    let loaded = engine.host.reload(engine, ctx.data.held, how, &mut empty);
    loaded.map_err(|why| Error::text(format!("ERR {why}")))?;
    ctx.out.ok();
    Ok(())
}

/// Loads the append-only file again.
fn load_log(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (engine, now_ms) = (ctx.engine, ctx.data.now_ms);
    let mut empty = |held: &mut Held<'_>| empty_all(engine, held, now_ms);
    let loaded = engine.host.reload_log(engine, ctx.data.held, &mut empty);
    loaded.map_err(|why| Error::text(format!("ERR {why}")))?;
    ctx.out.ok();
    Ok(())
}

/// Empties all databases, for what is loaded to take their place.
fn empty_all(engine: &Engine, held: &mut Held<'_>, now_ms: i64) {
    for shard in 0..engine.keyspace.shard_count() as u32 {
        for db in 0..engine.keyspace.databases() {
            let flushed = held.shard_mut(shard).flush(db, now_ms);
            engine
                .host
                .discard(Garbage { dbs: flushed.db.into_iter().collect(), ..Garbage::default() });
        }
    }
}

fn populate(ctx: &mut Ctx<'_, '_>) -> Outcome {
    const WRONG: Error = Error::fixed("ERR value is out of range, must be positive");
    let number = |i: usize, max: u64| match ctx.args.try_get(i) {
        None => Ok(0),
        Some(text) => match parse_i64(text).and_then(|n| u64::try_from(n).ok()) {
            Some(n) if n <= max => Ok(n),
            _ => Err(WRONG),
        },
    };
    // More keys than this are a mistake, not a test.
    let count = number(2, u32::MAX.into())?;
    let size = number(4, ctx.settings.proto_max_bulk_len)? as usize;
    let prefix = ctx.args.try_get(3).unwrap_or(b"key");
    let mut name = prefix.to_vec();
    name.push(b':');
    let start = name.len();
    for n in 0..count {
        name.truncate(start);
        name.extend_from_slice(n.to_string().as_bytes());
        let key = ctx.engine.keyspace.key(&name);
        let db = ctx.data.held.shard(key.shard).db(ctx.data.db);
        if db.find(&key, ctx.data.now_ms).live().is_some() {
            continue;
        }
        let mut value = format!("value:{n}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        ctx.data.set(&key, NewValue::Bytes(&value), Ttl::Clear);
    }
    ctx.out.ok();
    Ok(())
}

fn protocol(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let out = &mut *ctx.out;
    match ctx.args.get(2).to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        b"double" => out.double("3.141"),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|n| out.int(n));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|n| out.int(n));
        }
        b"map" => {
            out.map(3);
            for n in 0..3 {
                out.int(n);
                out.bool(n == 1);
            }
        }
        b"attrib" => {
            if out.proto == Proto::Resp3 {
                out.attribute(1);
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" if out.proto == Proto::Resp2 => {
            return Err(Error::fixed("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
            out.bulk(b"Some real reply following the push reply");
        }
        b"true" => out.bool(true),
        b"false" => out.bool(false),
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        b"bignum" => out.big_number("1234567999999999999999999999999999999"),
        _ => {
            return Err(Error::fixed(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

/// The longest text that a pattern is tried on.
const MATCH_MAX: usize = 16 * 1024 * 1024;

fn string_match(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let len = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= MATCH_MAX);
    let text = vec![b'a'; len.ok_or(Error::OUT_OF_RANGE)?];
    ctx.out.int(glob::matches(ctx.args.get(3), &text, false).into());
    Ok(())
}

fn table_stats(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let db = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let databases = ctx.engine.keyspace.databases();
    let db = usize::try_from(db).ok().filter(|db| *db < databases);
    let db = db.ok_or(Error::fixed("ERR Out of range database"))?;
    let full = match ctx.args.try_get(3) {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"full") => true,
        Some(_) => return Err(Error::SYNTAX),
    };
    let shards = 0..ctx.engine.keyspace.shard_count() as u32;
    let stats: Vec<(TableStats, TableStats)> =
        shards.map(|shard| ctx.data.held.shard(shard).db(db).stats()).collect();
    let mut text = String::new();
    for (title, tables) in [
        ("Dictionary HT", stats.iter().map(|(keys, _)| keys).collect::<Vec<_>>()),
        ("Expires HT", stats.iter().map(|(_, expires)| expires).collect()),
    ] {
        text.push_str(&format!("[{title}]\n"));
        let sum = |of: fn(&TableStats) -> usize| tables.iter().map(|table| of(table)).sum();
        let whole = TableStats {
            keys: sum(|t| t.keys),
            buckets: sum(|t| t.buckets),
            next_buckets: sum(|t| t.next_buckets),
            overflow_buckets: sum(|t| t.overflow_buckets),
            memory: sum(|t| t.memory),
            mapped: sum(|t| t.mapped),
        };
        text.push_str(&format!("All {} shards:\n{}", tables.len(), lines(&whole)));
        if full {
            for (i, table) in tables.iter().enumerate() {
                text.push_str(&format!("Shard {i}:\n{}", lines(table)));
            }
        }
    }
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn lines(table: &TableStats) -> String {
    if table.keys == 0 {
        return "No stats available for empty dictionaries\n".to_owned();
    }
    format!(
        " table size: {}\n number of elements: {}\n overflow buckets: {}\n rehashing target: {}\n memory: {}\n",
        table.buckets, table.keys, table.overflow_buckets, table.next_buckets, table.memory
    )
}

fn table_stats_of_key(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    let db = ctx.data.held.shard(key.shard).db(ctx.data.db);
    db.find(&key, ctx.data.now_ms).live().ok_or(Error::NO_SUCH_KEY)?;
    Err(Error::fixed(
        "ERR The value stored at the specified key is not represented using an hash table",
    ))
}

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "AOF-FLUSH-SLEEP <microseconds>",
            "    Let handing the append-only file to the system take longer.",
            "CONFIG-REWRITE-FORCE-ALL",
            "    As CONFIG REWRITE, with every setting.",
            "DIGEST",
            "    A number for all data, the same as that of Redis with the same data.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    The same for each of the keys' values.",
            "ERROR <string>",
            "    Answer this error.",
            "HTSTATS <dbid> [full]",
            "    Show figures of a database's tables, also shard by shard.",
            "HTSTATS-KEY <key> [full]",
            "    The same for the table that is the value of a key.",
            "LISTPACK <key>",
            "    Show how a value lies in its listpack, element by element.",
            "LOADAOF",
            "    Empty the databases and load the append-only file.",
            "LOG <message>",
            "    Write a message to the log.",
            "OBJECT <key>",
            "    Show how a value is stored.",
            "PANIC",
            "    Crash the server by a panic.",
            "PAUSE-CRON <0|1>",
            "    Stop (1) or resume (0) what is done in the background.",
            "POPULATE <count> [<prefix>] [<size>]",
            "    Create keys <prefix>:<number>, with values of <size> bytes, where there are none.",
            "PROTOCOL <type>",
            "    Answer a value of a type: string, integer, double, bignum, null, array, set,",
            "    map, attrib, push, verbatim, true, false.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    From which size on, such as 1mb, an element of a list is kept by itself.",
            "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
            "    Save a snapshot (not with NOSAVE), empty the databases (not with NOFLUSH) and load",
            "    it. What is there already is replaced with MERGE, and an error without.",
            "REPLYBUFFER PEAK-RESET-TIME <NEVER|RESET|milliseconds>",
            "    For how long the largest replies count in CLIENT LIST's rbp.",
            "REPLYBUFFER RESIZING <0|1>",
            "    Whether buffers for replies that have become large give memory back.",
            "SEGFAULT",
            "    Crash the server by a signal.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Stop (0) or resume (1) deleting keys whose time has passed and that nobody asks",
            "    for.",
            "SET-DISABLE-DENY-SCRIPTS <0|1>",
            "    Let scripts call what is not meant for them (1), or not (0).",
            "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
            "    Check (0) or don't check (1) the checksums of what is restored.",
            "SLEEP <seconds>",
            "    Hold the keyspace for so long.",
            "STRINGMATCH-LEN <length> <pattern>",
            "    Match a pattern against as many letters a.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::Permission;
    use crate::harness::Harness;

    fn harness() -> Harness {
        Harness::with_settings(|settings| settings.enable_debug_command = Permission::Yes)
    }

    #[test]
    fn help_tells_of_all_that_there_is() {
        let help = harness().line("DEBUG HELP");
        let known = "aof-flush-sleep config-rewrite-force-all digest digest-value error htstats htstats-key listpack loadaof \
                     log object panic pause-cron populate protocol quicklist-packed-threshold reload replybuffer \
                     segfault set-active-expire set-disable-deny-scripts set-skip-checksum-validation sleep \
                     stringmatch-len help";
        for name in known.split_whitespace() {
            let name = name.to_ascii_uppercase();
            assert!(
                help.lines().any(|line| line.split(' ').next() == Some(&format!("+{name}"))),
                "{name}"
            );
        }
    }

    #[test]
    fn replybuffer_takes_times_and_switches() {
        let mut h = harness();
        for ok in [
            "PEAK-RESET-TIME never",
            "peak-reset-time 100",
            "PEAK-RESET-TIME RESET",
            "RESIZING 0",
            "RESIZING 1",
        ] {
            assert_eq!(h.line(&format!("DEBUG REPLYBUFFER {ok}")), "+OK\r\n", "{ok}");
        }
        assert!(
            h.line("DEBUG REPLYBUFFER RESIZING no").starts_with("-ERR value is not an integer")
        );
        assert!(h.line("DEBUG REPLYBUFFER nosuch 1").starts_with("-ERR"));
    }

    #[test]
    fn an_entry_past_its_time_is_shown_until_it_is_gone() {
        let mut h = harness();
        h.line("DEBUG SET-ACTIVE-EXPIRE 0");
        h.line("SET k v PX 1");
        h.advance_ms(2);
        assert!(h.line("DEBUG OBJECT k").starts_with("+Value at:"));
        assert_eq!(h.line("EXISTS k"), ":0\r\n");
        assert_eq!(h.line("DEBUG OBJECT k"), "-ERR no such key\r\n");
    }

    #[test]
    fn attributes_are_passed_over_in_scripts() {
        let mut h = harness();
        h.line("DEBUG SET-DISABLE-DENY-SCRIPTS 1");
        let script = "redis.setresp(3) return redis.call('DEBUG', 'PROTOCOL', 'ATTRIB')";
        assert_eq!(
            h.run(&["EVAL", script, "0"]),
            "$39\r\nSome real reply following the attribute\r\n"
        );
    }

    #[test]
    fn is_refused_unless_enabled() {
        assert!(
            Harness::new().line("DEBUG SLEEP 0").starts_with("-ERR DEBUG command not allowed.")
        );
        let local = |settings: &mut crate::config::Settings| {
            settings.enable_debug_command = Permission::Local;
        };
        assert_eq!(Harness::with_settings(local).line("DEBUG SLEEP 0"), "+OK\r\n");
    }

    #[test]
    fn tells_the_nodes_of_a_long_list() {
        let mut h = harness();
        h.line("CONFIG SET list-max-listpack-size 4 list-compress-depth 2");
        h.line("RPUSH short 1 2 3");
        assert!(!h.line("DEBUG OBJECT short").contains("ql_"));
        h.line("RPUSH long 1 2 3 4 5 6 7 8 9 10");
        let told = h.line("DEBUG OBJECT long");
        assert!(told.contains(" encoding:quicklist "), "{told}");
        // Twenty bytes of elements, and seven around those of each node.
        let wanted = " ql_nodes:3 ql_avg_node:3.33 ql_listpack_max:4 ql_compressed:1 ql_uncompressed_size:41\r\n";
        assert!(told.ends_with(wanted), "{told}");
    }

    #[test]
    fn populates_what_is_not_there() {
        let mut h = harness();
        h.line("SET key:1 mine");
        assert_eq!(h.line("DEBUG POPULATE 3"), "+OK\r\n");
        assert_eq!(h.line("DBSIZE"), ":3\r\n");
        assert_eq!(h.line("MGET key:0 key:1"), "*2\r\n$7\r\nvalue:0\r\n$4\r\nmine\r\n");
        h.line("DEBUG POPULATE 1 a 3");
        h.line("DEBUG POPULATE 1 b 9");
        assert_eq!(h.line("MGET a:0 b:0"), "*2\r\n$3\r\nval\r\n$9\r\nvalue:0\0\0\r\n");
        for wrong in ["DEBUG POPULATE -1", "DEBUG POPULATE x", "DEBUG POPULATE 9999999999999"] {
            assert_eq!(h.line(wrong), "-ERR value is out of range, must be positive\r\n");
        }
    }

    #[test]
    fn answers_every_type_of_the_protocol() {
        let mut h = harness();
        assert_eq!(h.line("DEBUG PROTOCOL map"), "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n");
        assert_eq!(
            h.line("DEBUG PROTOCOL push"),
            "-ERR RESP2 is not supported by this command\r\n"
        );
        h.line("HELLO 3");
        for (name, reply) in [
            ("double", ",3.141\r\n"),
            ("null", "_\r\n"),
            ("true", "#t\r\n"),
            ("false", "#f\r\n"),
            ("bignum", "(1234567999999999999999999999999999999\r\n"),
            ("verbatim", "=29\r\ntxt:This is a verbatim\nstring\r\n"),
            ("set", "~3\r\n:0\r\n:1\r\n:2\r\n"),
            ("map", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"),
        ] {
            assert_eq!(h.line(&format!("DEBUG PROTOCOL {name}")), reply);
        }
        assert!(h.line("DEBUG PROTOCOL none").starts_with("-ERR Wrong protocol type name."));
    }

    #[test]
    fn refusals() {
        let mut h = harness();
        for (line, error) in [
            ("DEBUG SLEEP -1", "ERR value is out of range"),
            ("DEBUG SLEEP x", "ERR value is not a valid float"),
            ("DEBUG SLEEP inf", "ERR value is out of range"),
            ("DEBUG OBJECT none", "ERR no such key"),
            ("DEBUG HTSTATS 16", "ERR Out of range database"),
            ("DEBUG HTSTATS-KEY none", "ERR no such key"),
            ("DEBUG RELOAD", "ERR this program keeps nothing in files"),
            (
                "DEBUG RELOAD merge nosuch",
                "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            ),
            ("DEBUG RESTART", "ERR DEBUG RESTART is not supported yet by this version of Respire"),
            ("DEBUG ERROR CODE", "CODE"),
            (
                "DEBUG nosuch",
                "ERR unknown subcommand or wrong number of arguments for 'nosuch'. Try DEBUG HELP.",
            ),
        ] {
            assert_eq!(h.line(line), format!("-{error}\r\n"), "{line}");
        }
        h.line("SET n 5");
        assert!(h.line("DEBUG OBJECT n").contains(" encoding:int serializedlength:2 "));
        assert!(h.line("DEBUG HTSTATS 0 full").contains("Shard 0:\n"));
        assert_eq!(h.line("DEBUG STRINGMATCH-LEN 5 a*a"), ":1\r\n");
        assert_eq!(h.line("DEBUG STRINGMATCH-LEN 5 b*"), ":0\r\n");
    }
}
