//! CONFIG: the settings as clients see and change them, and the statistics as they reset them.

use std::sync::atomic::Ordering;

use respire_resp::Args;

use crate::acl;
use crate::command::{Flags, Group, Lock, Row};
use crate::commands::reply_help;
use crate::config::replace_users;
use crate::config::{Config, find};
use crate::ctx::Ctx;
use crate::dispatch::is_local;
use crate::error::{Error, Outcome};
use crate::host::RewriteError;

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

pub(crate) const ROWS: &[Row] = &[Row::container(
    "config",
    &[
        Row::new("get", -3, get).flags(ADMIN).docs(
            Group::Server,
            "2.0.0",
            "O(N), where N is the number of directives asked for",
            "Returns the values of directives.",
            "parameter [parameter ...]",
        ),
        Row::new("help", 2, show_help).flags(Flags::LOADING.union(Flags::STALE)).docs(
            Group::Server,
            "5.0.0",
            "O(1)",
            "Explains the subcommands.",
            "",
        ),
        Row::new("resetstat", 2, reset_statistics).flags(ADMIN).lock(Lock::Walk).docs(
            Group::Server,
            "2.0.0",
            "O(1)",
            "Sets the server's statistics back to zero.",
            "",
        ),
        Row::new("rewrite", 2, rewrite).flags(ADMIN).docs(
            Group::Server,
            "2.8.0",
            "O(1)",
            "Writes the settings in force to the configuration file.",
            "",
        ),
        Row::new("set", -4, set).flags(ADMIN).secret(is_secret).tips(ALL_NODES).docs(
            Group::Server,
            "2.0.0",
            "O(N), where N is the number of directives",
            "Sets directives, all of them or none.",
            "parameter value [parameter value ...]",
        ),
    ],
)
.docs(
    Group::Server,
    "2.0.0",
    "Depends on the subcommand",
    "Reads and changes the configuration.",
    "",
)];

/// Whether argument `i` of CONFIG SET is the value of a directive that logs must not show.
fn is_secret(args: &Args<'_>, i: usize) -> bool {
    let is_value = i >= 3 && i % 2 == 1;
    is_value
        && str::from_utf8(args.get(i - 1)).is_ok_and(|name| find(name).is_some_and(|d| d.sensitive))
}

fn get(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let patterns: Vec<&[u8]> = ctx.args.iter_from(2).collect();
    let found = ctx.engine.config.get(&patterns);
    ctx.out.map(found.len());
    for (name, value) in found {
        ctx.out.bulk(name.as_bytes());
        ctx.out.bulk(value.as_bytes());
    }
    Ok(())
}

/// What can't be changed while data are loaded. Redis 7.0 refuses `appendonly` as well, newer versions don't.
const NOT_WHILE_LOADING: &[&str] = &["dir", "repl-diskless-load"];

fn set(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let words: Vec<&[u8]> = ctx.args.iter_from(2).collect();
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    let host = &ctx.engine.host;
    let local = is_local(&ctx.session.info);
    let waits = |name: &&[u8]| {
        NOT_WHILE_LOADING.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    if ctx.engine.is_loading() && pairs.iter().any(|(name, _)| waits(name)) {
        let may = ctx.engine.config.may_set(&pairs, local);
        return Err(may.map_or_else(|error| Error::text(error.to_string()), |()| Error::LOADING));
    }
    let set = ctx.engine.config.set(&pairs, local, &mut |old, new| host.apply(old, new));
    let changed = set.map_err(|error| Error::text(error.to_string()))?;
    ctx.engine.note_condition();
    if changed.contains(&"requirepass") {
        ctx.engine.acl.set_default_password(&ctx.engine.config.load().requirepass);
    }
    if changed.contains(&"maxmemory") {
        ctx.engine.warn_of_limit(ctx.engine.config.load().maxmemory);
    }
    ctx.engine.host.settings_in_force(&changed);
    // Fewer keys may be remembered from now on. Clients are told before the reply to whatever they do next.
    ctx.engine.limit_tracking(ctx.worker.outbox);
    ctx.out.ok();
    Ok(())
}

fn rewrite(ctx: &mut Ctx<'_, '_>) -> Outcome {
    rewrite_with(ctx, Config::rewrite)
}

/// DEBUG CONFIG-REWRITE-FORCE-ALL: the file gets every setting.
pub(crate) fn rewrite_all(ctx: &mut Ctx<'_, '_>) -> Outcome {
    rewrite_with(ctx, Config::rewrite_all)
}

fn rewrite_with(ctx: &mut Ctx<'_, '_>, text: fn(&Config, &str) -> String) -> Outcome {
    let engine = ctx.engine;
    let settings = engine.config.load();
    let users = if settings.aclfile.is_empty() {
        let lines = acl::configuration_lines(&engine.acl.users(), &settings);
        Some(lines.map_err(|reason| Error::text(format!("ERR Rewriting config file: {reason}")))?)
    } else {
        None
    };
    let new_text = |old: &str| match &users {
        Some(users) => replace_users(&text(&engine.config, old), users),
        None => text(&engine.config, old),
    };
    match engine.host.rewrite_config(&new_text) {
        Ok(()) => {
            log::info!("CONFIG REWRITE executed with success.");
            ctx.out.ok();
            Ok(())
        }
        Err(RewriteError::NoFile) => {
            Err(Error::fixed("ERR The server is running without a config file"))
        }
        Err(RewriteError::Failed(reason)) => {
            log::warn!("CONFIG REWRITE failed: {reason}");
            Err(Error::text(format!("ERR Rewriting config file: {reason}")))
        }
    }
}

fn reset_statistics(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let engine = ctx.engine;
    let expired = engine.sum_shards(ctx.data.held, |shard| shard.expired());
    engine.expired_before.store(expired, Ordering::Relaxed);
    let elements = engine.sum_shards(ctx.data.held, |shard| shard.expired_elements());
    engine.expired_elements_before.store(elements, Ordering::Relaxed);
    engine.rejected_connections.store(0, Ordering::Relaxed);
    engine.lazily_freed.store(0, Ordering::Relaxed);
    engine.stats.reset();
    engine.samples.reset();
    engine.eviction.reset();
    engine.scripting.cache.reset_statistics();
    ctx.out.ok();
    Ok(())
}

fn show_help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "GET <pattern> [<pattern> ...]",
            "    Show the directives whose names match, with their values.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Change directives; if one of them can't be, none is.",
            "RESETSTAT",
            "    Start the statistics that INFO shows from zero.",
            "REWRITE",
            "    Bring the configuration file up to what is in force.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::Permission;
    use crate::harness::Harness;

    #[test]
    fn some_settings_wait_until_data_are_loaded() {
        let allow = |settings: &mut crate::config::Settings| {
            settings.enable_protected_configs = Permission::Yes;
        };
        let mut h = Harness::with_settings(allow);
        h.engine.set_loading(true);
        let loading = "-LOADING Redis is loading the dataset in memory\r\n";
        for line in ["dir /", "DIR .", "hz 20 repl-diskless-load disabled"] {
            assert_eq!(h.line(&format!("CONFIG SET {line}")), loading, "{line}");
        }
        assert_eq!(h.line("CONFIG SET loglevel notice appendonly no"), "+OK\r\n");
        // What may not be set at all is told first.
        assert!(h.line("CONFIG SET dir / nosuch 1").starts_with("-ERR Unknown option"));
        let mut h = Harness::new();
        h.engine.set_loading(true);
        assert!(h.line("CONFIG SET dir /").ends_with("can't set protected config\r\n"));
    }

    #[test]
    fn sets_all_or_nothing_and_tells_what_it_has() {
        let mut h = Harness::new();
        assert_eq!(h.line("CONFIG SET hz 20 timeout 5"), "+OK\r\n");
        assert_eq!(h.line("CONFIG GET hz"), "*2\r\n$2\r\nhz\r\n$2\r\n20\r\n");
        assert_eq!(
            h.line("CONFIG SET hz 30 timeout x"),
            "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an \
             integer\r\n"
        );
        assert_eq!(
            h.line("CONFIG GET hz TIMEOUT no-such hz"),
            "*4\r\n$2\r\nhz\r\n$2\r\n20\r\n$7\r\nTIMEOUT\r\n$1\r\n5\r\n"
        );
        assert_eq!(h.line("CONFIG SET hz 30 timeout"), "-ERR syntax error\r\n");
        assert_eq!(
            h.line("CONFIG SET hz"),
            "-ERR wrong number of arguments for 'config|set' command\r\n"
        );
        assert_eq!(
            h.line("CONFIG REWRITE"),
            "-ERR The server is running without a config file\r\n"
        );
        assert_eq!(h.line("CONFIG NONE"), "-ERR unknown subcommand 'NONE'. Try CONFIG HELP.\r\n");
        assert!(h.line("CONFIG HELP").contains("\r\n+RESETSTAT\r\n"));
    }

    #[test]
    fn a_password_set_at_run_time_asks_only_newcomers() {
        let mut h = Harness::new();
        assert_eq!(h.line("CONFIG SET requirepass secret"), "+OK\r\n");
        assert_eq!(h.line("PING"), "+PONG\r\n");
        let newcomer = h.connect();
        assert_eq!(h.run_as(newcomer, &["PING"]), "-NOAUTH Authentication required.\r\n");
    }

    #[test]
    fn settings_act_on_the_commands_that_follow_at_once() {
        let mut h = Harness::new();
        h.line("MULTI");
        h.line("CONFIG SET maxmemory-policy allkeys-lfu");
        h.line("SET k v");
        h.line("EXEC");
        assert!(h.worker.settings.maxmemory_policy.is_lfu());
    }

    #[test]
    fn statistics_start_from_zero() {
        let mut h = Harness::new();
        h.line("SET k v PX 1");
        h.advance_ms(5);
        h.line("GET k");
        h.line("NOSUCH");
        let before = h.line("INFO stats errorstats");
        for line in ["expired_keys:1\r", "keyspace_misses:1\r", "errorstat_ERR:count=1\r"] {
            assert!(before.contains(line), "{line} in {before}");
        }
        assert_eq!(h.line("CONFIG RESETSTAT"), "+OK\r\n");
        let after = h.line("INFO stats errorstats");
        for line in ["expired_keys:0\r", "keyspace_misses:0\r", "total_error_replies:0\r"] {
            assert!(after.contains(line), "{line} in {after}");
        }
        assert!(!after.contains("errorstat_ERR"), "{after}");
    }
}
