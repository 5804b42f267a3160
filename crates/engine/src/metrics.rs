//! The figures of INFO, and what it does not show, as OpenMetrics text: what a monitoring system reads.
//!
//! Every field of INFO that is a number becomes a metric by its name, with `respire_` in front, so that what is added there
//! is here, too. A state (`ok` or `err`) is 1 or 0. Counts that only grow end in `_total`, as the format has it.

use std::fmt::{self, Write};
use std::sync::Arc;

use hdrhistogram::Histogram;
use respire_resp::{Out, OwnedArgs, Proto};

use crate::REDIS_VERSION;
use crate::client::ClientInfo;
use crate::command::{Command, lookup, registry};
use crate::dispatch::{KeyHashes, run};
use crate::engine::Engine;
use crate::session::Session;
use crate::stats::CommandTotals;
use crate::worker::Worker;

/// Fields of INFO that only grow, besides those that begin with `total_`.
const COUNTERS: &[&str] = &[
    "acl_access_denied_auth",
    "acl_access_denied_channel",
    "acl_access_denied_cmd",
    "acl_access_denied_key",
    "active_defrag_hits",
    "active_defrag_misses",
    "aof_rewrites",
    "client_output_buffer_limit_disconnections",
    "client_query_buffer_limit_disconnections",
    "evicted_clients",
    "evicted_keys",
    "evicted_scripts",
    "expire_cycle_cpu_milliseconds",
    "expired_keys",
    "expired_subkeys",
    "expired_time_cap_reached_count",
    "io_threaded_reads_processed",
    "io_threaded_writes_processed",
    "keyspace_hits",
    "keyspace_misses",
    "lazyfreed_objects",
    "rdb_saves",
    "rejected_connections",
    "unexpected_error_replies",
    "used_cpu_sys",
    "used_cpu_user",
];

/// Bounds of the buckets of latencies: these powers of two, nanoseconds. From a microsecond to half a minute.
const BOUNDS: std::ops::RangeInclusive<u32> = 10..=35;

/// The text on its way.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string never fails.
        let _ = writeln!(self.0, "# TYPE respire_{name} {kind}\n# HELP respire_{name} {help}");
    }

    /// `labels` are in their written form, braces included, or empty.
    fn sample(&mut self, name: &str, labels: &str, value: impl fmt::Display) {
        let _ = writeln!(self.0, "respire_{name}{labels} {value}");
    }

    /// A family of one sample, of a field of INFO.
    fn field(&mut self, name: &str, value: f64) {
        let counted = name.strip_prefix("total_");
        let help = format!("INFO: {name}");
        if counted.is_some() || COUNTERS.contains(&name) {
            let name = counted.unwrap_or(name);
            self.family(name, "counter", &help);
            self.sample(&format!("{name}_total"), "", value);
        } else {
            self.family(name, "gauge", &help);
            self.sample(name, "", value);
        }
    }
}

/// `{name="value"}`, escaped.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{{{name}=\"{value}\"}}")
}

/// The number that a field of INFO tells, if it tells one.
fn number(value: &str) -> Option<f64> {
    match value {
        "ok" => Some(1.0),
        "err" => Some(0.0),
        _ => value.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

impl Engine {
    /// All figures. `worker` is the calling thread's.
    pub fn metrics(&self, worker: &mut Worker) -> String {
        worker.begin_batch(self);
        let mut text = Exposition(String::new());
        text.family("build", "info", "what runs");
        let version = env!("CARGO_PKG_VERSION");
        let labels = format!("{{version=\"{version}\",redis_version=\"{REDIS_VERSION}\"}}");
        text.sample("build_info", &labels, 1);
        let info = self.info_text(worker);
        let (mut dbs, mut errors) = (Vec::new(), Vec::new());
        for line in info.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            if let Some(code) = name.strip_prefix("errorstat_") {
                errors.push((code, value));
            } else if let Some(db) = name.strip_prefix("db")
                && db.bytes().all(|byte| byte.is_ascii_digit())
            {
                dbs.push((db, value));
            } else if let Some(value) = number(value) {
                text.field(name, value);
            }
        }
        text.family("errors", "counter", "error replies by their code");
        for (code, value) in errors {
            let count = value.strip_prefix("count=").unwrap_or(value);
            text.sample("errors_total", &label("code", code), count);
        }
        databases(&mut text, &dbs);
        self.shards(&mut text);
        self.commands(&mut text);
        text.0.push_str("# EOF\n");
        text.0
    }

    /// The text of INFO, without the sections that are about single commands. It counts as no call.
    fn info_text(&self, worker: &mut Worker) -> String {
        let info = ClientInfo::new(0, String::new(), String::new(), -1, false, worker.now_ms);
        let user = self.acl.default_user();
        let mut session = Session::standing_in(Arc::new(info), Proto::Resp2, 0, user);
        let command: &'static Command = lookup(b"info").expect("INFO is a command");
        let args = OwnedArgs::from_parts(["info"]);
        let (mut out, mut held) = (Out::default(), self.keyspace.hold_nothing());
        let (args, keys) = (args.as_args(), KeyHashes::NONE);
        let _ = run(self, worker, &mut session, &mut held, command, args, keys, &mut out);
        String::from_utf8_lossy(&out.to_vec()).into_owned()
    }

    fn shards(&self, text: &mut Exposition) {
        let shards: Vec<[u64; 4]> = (0..self.keyspace.shard_count() as u32)
            .map(|number| {
                self.keyspace.hold_nothing().with(number, |shard| {
                    let dbs = (0..self.keyspace.databases()).map(|db| shard.db(db));
                    let sum = dbs.fold((0, 0), |sum, db| {
                        (sum.0 + db.len() as u64, sum.1 + db.expiring() as u64)
                    });
                    [sum.0, sum.1, shard.changes(), self.keyspace.lock_waits(number)]
                })
            })
            .collect();
        let mut each = |name: &str, kind: &str, help: &str, of: usize| {
            text.family(name, kind, help);
            let suffix = if kind == "counter" { "_total" } else { "" };
            for (number, shard) in shards.iter().enumerate() {
                let labels = label("shard", &number.to_string());
                text.sample(&format!("{name}{suffix}"), &labels, shard[of]);
            }
        };
        each("shard_keys", "gauge", "keys of a shard, of all databases", 0);
        each("shard_expires", "gauge", "keys of a shard that expire", 1);
        each("shard_changes", "counter", "changes of a shard", 2);
        each("shard_lock_waits", "counter", "how often one had to wait for a shard", 3);
    }

    fn commands(&self, text: &mut Exposition) {
        let found: Vec<(String, CommandTotals)> = registry()
            .all()
            .iter()
            .map(|command| (label("command", command.full_name), self.stats.command(command.id)))
            .filter(|(_, totals)| totals.calls + totals.rejected + totals.failed > 0)
            .collect();
        let mut each = |name: &str, help: &str, of: fn(&CommandTotals) -> f64| {
            text.family(name, "counter", help);
            for (labels, totals) in &found {
                text.sample(&format!("{name}_total"), labels, of(totals));
            }
        };
        each("command_calls", "calls of a command", |totals| totals.calls as f64);
        each("command_seconds", "time that calls took", |totals| totals.nanos as f64 / 1e9);
        each("command_failures", "calls that ended in an error", |totals| totals.failed as f64);
        each("command_rejections", "calls that were refused", |totals| totals.rejected as f64);
        text.family("command_duration_seconds", "histogram", "how long calls took");
        for (labels, totals) in &found {
            if let Some(latency) = &totals.latency {
                histogram(text, labels.trim_matches(['{', '}']), latency, totals.nanos);
            }
        }
    }
}

fn databases(text: &mut Exposition, dbs: &[(&str, &str)]) {
    for (field, name) in [("keys", "db_keys"), ("expires", "db_expires"), ("avg_ttl", "db_avg_ttl")]
    {
        text.family(name, "gauge", &format!("INFO: {field} of a database"));
        for (db, value) in dbs {
            let mut pairs = value.split(',').filter_map(|pair| pair.split_once('='));
            if let Some((_, value)) = pairs.find(|(name, _)| *name == field) {
                text.sample(name, &label("db", db), value);
            }
        }
    }
}

/// `label` is that of the command; `nanos` what all calls took together.
fn histogram(text: &mut Exposition, label: &str, latency: &Histogram<u64>, nanos: u64) {
    const NAME: &str = "command_duration_seconds";
    let bucket = format!("{NAME}_bucket");
    for power in BOUNDS {
        let bound = 1u64 << power;
        let calls = latency.count_between(0, latency.highest_equivalent(bound));
        let seconds = bound as f64 / 1e9;
        text.sample(&bucket, &format!("{{{label},le=\"{seconds}\"}}"), calls);
    }
    text.sample(&bucket, &format!("{{{label},le=\"+Inf\"}}"), latency.len());
    text.sample(&format!("{NAME}_count"), &format!("{{{label}}}"), latency.len());
    text.sample(&format!("{NAME}_sum"), &format!("{{{label}}}"), nanos as f64 / 1e9);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Harness;

    #[test]
    fn everything_is_there_once() {
        let mut h = Harness::new();
        h.line("SET a 1 EX 100");
        h.line("SELECT 3");
        h.line("SET b 1");
        h.line("INCR");
        h.line("LPUSH b x");
        let mut worker = Worker::new(&h.engine, 0, 1);
        let text = h.engine.metrics(&mut worker);
        for line in [
            "respire_db_keys{db=\"0\"} 1",
            "respire_db_keys{db=\"3\"} 1",
            "respire_db_expires{db=\"0\"} 1",
            "respire_errors_total{code=\"WRONGTYPE\"} 1",
            "respire_command_calls_total{command=\"set\"} 2",
            "respire_command_rejections_total{command=\"incr\"} 1",
            "respire_command_failures_total{command=\"lpush\"} 1",
            "respire_command_duration_seconds_bucket{command=\"set\",le=\"+Inf\"} 2",
            "respire_command_duration_seconds_count{command=\"set\"} 2",
            "# TYPE respire_commands_processed counter",
            "respire_shard_lock_waits_total{shard=\"0\"} 0",
            "respire_rdb_last_bgsave_status 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("command=\"info\""), "asking is no call");
        let keys = text.lines().filter(|line| line.starts_with("respire_shard_keys{"));
        let sum: u64 =
            keys.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(sum, 2);
        assert!(text.ends_with("# EOF\n"));
        let mut families: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let count = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), count, "no family comes twice");
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(label("a", "b\"c\\d\ne"), r#"{a="b\"c\\d\ne"}"#);
        assert_eq!((number("ok"), number("err"), number("7.5")), (Some(1.0), Some(0.0), Some(7.5)));
        assert_eq!((number("nan"), number("12%"), number("")), (None, None, None));
    }
}
