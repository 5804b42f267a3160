//! INFO: sections of `name:value` lines. Fields about capabilities that are not there yet say what a Redis says that
//! does not use them.

mod commands;
mod memory;
mod process;
mod traffic;

use std::fmt::{self, Write};

use crate::command::{Flags, Group, Lock, Row};
use crate::ctx::Ctx;
use crate::error::Outcome;
use crate::host::HostInfo;

pub(super) use memory::{MemoryFigures, Tables};

pub(crate) const ROWS: &[Row] = &[Row::new("info", -1, info)
    .flags(Flags::LOADING.union(Flags::STALE).union(Flags::DANGEROUS))
    .lock(Lock::Walk)
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
    .docs(
        Group::Server,
        "1.0.0",
        "O(1)",
        "Tells about the server and counts what it does.",
        "[section ...]",
    )];

/// What a section is written from.
struct Report<'c, 'a, 'e> {
    ctx: &'c Ctx<'a, 'e>,
    host: HostInfo,
    /// Bytes that were in use before the report was begun, if it tells of memory.
    used: u64,
    text: String,
}

impl Report<'_, '_, '_> {
    fn field(&mut self, name: &str, value: impl fmt::Display) {
        // Writing to a string never fails.
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    fn fields(&mut self, names: &[&str], value: impl fmt::Display) {
        names.iter().for_each(|name| self.field(name, &value));
    }
}

/// In which requests a section is included that does not name it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Included {
    Always,
    InAll,
    Never,
}

struct Section {
    /// As in requests, lower case.
    name: &'static str,
    title: &'static str,
    included: Included,
    write: fn(&mut Report<'_, '_, '_>),
}

const fn section(
    name: &'static str,
    title: &'static str,
    write: fn(&mut Report<'_, '_, '_>),
) -> Section {
    Section { name, title, included: Included::Always, write }
}

const fn on_request(
    name: &'static str,
    title: &'static str,
    write: fn(&mut Report<'_, '_, '_>),
) -> Section {
    Section { name, title, included: Included::InAll, write }
}

/// In the order in which they are told.
const SECTIONS: &[Section] = &[
    section("server", "Server", process::server),
    section("clients", "Clients", process::clients),
    section("memory", "Memory", memory::memory),
    section("persistence", "Persistence", process::persistence),
    section("stats", "Stats", traffic::stats),
    section("replication", "Replication", process::replication),
    section("cpu", "CPU", process::cpu),
    section("modules", "Modules", |_| {}),
    on_request("commandstats", "Commandstats", commands::commandstats),
    section("errorstats", "Errorstats", commands::errorstats),
    on_request("latencystats", "Latencystats", commands::latencystats),
    section("cluster", "Cluster", process::cluster),
    section("keyspace", "Keyspace", traffic::keyspace),
    Section { name: "debug", title: "Debug", included: Included::Never, write: traffic::debug },
];

fn info(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let wanted: Vec<String> = ctx
        .args
        .iter_from(1)
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
        .collect();
    let asks_for = |name: &str| wanted.iter().any(|wanted| wanted == name);
    let all = asks_for("all") || asks_for("everything");
    let default = wanted.is_empty() || all || asks_for("default");
    let tells_memory = default || asks_for("memory");
    let used = if tells_memory { ctx.engine.used_memory() } else { 0 };
    let mut report = Report { ctx, host: ctx.engine.host.info(), used, text: String::new() };
    for section in SECTIONS {
        let included = match section.included {
            Included::Always => default,
            Included::InAll => all,
            Included::Never => false,
        };
        let by_other_name = section.name == "modules" && asks_for("module_list");
        if included || by_other_name || asks_for(section.name) {
            if !report.text.is_empty() {
                report.text.push_str("\r\n");
            }
            let _ = write!(report.text, "# {}\r\n", section.title);
            (section.write)(&mut report);
        }
    }
    let text = report.text;
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// A number of bytes as people read it.
struct Human(u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
        if self.0 < 1024 {
            return write!(f, "{}B", self.0);
        }
        let mut size = self.0 as f64 / 1024.0;
        let mut units = UNITS.iter();
        let mut unit = units.next();
        while size >= 1024.0
            && let Some(next) = units.next()
        {
            size /= 1024.0;
            unit = Some(next);
        }
        write!(f, "{size:.2}{}", unit.unwrap_or(&""))
    }
}

/// `part` of `whole`, 0 where there is no whole.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Harness;

    fn titles(reply: &str) -> Vec<&str> {
        reply.split("\r\n").filter_map(|line| line.strip_prefix("# ")).collect()
    }

    #[test]
    fn sections_come_as_asked_in_their_own_order() {
        let mut h = Harness::new();
        let all = SECTIONS.iter().filter(|section| section.included != Included::Never);
        let all: Vec<&str> = all.map(|section| section.title).collect();
        assert_eq!(titles(&h.line("INFO everything")), all);
        assert_eq!(titles(&h.line("INFO keyspace ALL")), all);
        assert_eq!(titles(&h.line("INFO debug")), ["Debug"]);
        assert_eq!(titles(&h.line("INFO Keyspace server nothing")), ["Server", "Keyspace"]);
        let default = h.line("INFO");
        assert!(!titles(&default).contains(&"Commandstats"), "{default}");
        assert_eq!(titles(&default), titles(&h.line("INFO default")));
        assert_eq!(h.line("INFO nothing"), "$0\r\n\r\n");
    }

    #[test]
    fn every_line_is_a_field() {
        let mut h = Harness::new();
        h.line("SET k v EX 10");
        let reply = h.line("INFO everything");
        let (_, body) = reply.split_once("\r\n").unwrap();
        for line in body.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
            assert!(!name.contains(' '), "{line}");
        }
    }

    #[test]
    fn hashes_whose_fields_expire_are_counted() {
        let mut h = Harness::new();
        let subexpiry = |h: &mut Harness| {
            let info = h.line("INFO keyspace");
            info.split_once("subexpiry=").expect("a number").1.trim_end().to_owned()
        };
        h.line("HSET a f 1 g 2 h 3");
        h.line("HSET b f 1");
        assert_eq!(subexpiry(&mut h), "0");
        h.line("HEXPIRE a 100 FIELDS 2 f g");
        h.line("HEXPIRE b 100 FIELDS 1 f");
        assert_eq!(subexpiry(&mut h), "2");
        h.line("HPERSIST a FIELDS 1 f");
        h.line("HDEL b f");
        assert_eq!(subexpiry(&mut h), "1");
        h.line("HPERSIST a FIELDS 1 g");
        assert_eq!(subexpiry(&mut h), "0");
    }

    #[test]
    fn turns_and_what_they_took_are_told() {
        let mut h = Harness::new();
        let figure = |h: &mut Harness, name: &str| -> u64 {
            let info = h.line("INFO stats debug");
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.expect("the field").parse().expect("a number")
        };
        // Time stands still in this engine: all that a turn took is what is said here.
        h.line("CONFIG RESETSTAT");
        h.worker.begin_batch(&h.engine);
        let now = h.worker.turn_began_ns.expect("a turn has begun");
        h.worker.settle_timing_at(now + 3_000_000);
        h.worker.end_turn(now + 5_000_000);
        h.worker.end_upkeep(2_000_000);
        h.worker.end_turn(now + 9_000_000);
        assert_eq!(figure(&mut h, "eventloop_cycles"), 2);
        assert_eq!(figure(&mut h, "eventloop_duration_sum"), 7000);
        assert_eq!(figure(&mut h, "eventloop_duration_cmd_sum"), 3000);
        assert_eq!(figure(&mut h, "eventloop_duration_cron_sum"), 2000);
        assert_eq!(figure(&mut h, "eventloop_duration_aof_sum"), 0);
        assert_eq!(figure(&mut h, "eventloop_duration_max"), 7000, "upkeep is part of its turn");
        h.line("PING");
        h.line("PING");
        h.worker.end_turn(now);
        let busiest = figure(&mut h, "eventloop_cmd_per_cycle_max");
        assert!(busiest >= 2, "{busiest}");
        h.line("CONFIG RESETSTAT");
        assert_eq!(figure(&mut h, "eventloop_cycles"), 0);
        assert_eq!(figure(&mut h, "eventloop_duration_max"), 0);
    }

    #[test]
    fn sizes_as_people_read_them() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (916_408, "894.93K"),
            (25_276_514_304, "23.54G"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(Human(bytes).to_string(), text);
        }
    }

    #[test]
    fn keyspace_and_commands_are_counted() {
        let mut h = Harness::new();
        h.line("SET a 1");
        h.line("SET b 1 PX 1000");
        h.line("SET c 1 PX 3000");
        h.line("GET a");
        h.line("GET none");
        h.line("INCRBY a x");
        h.line("SET a");
        let info = h.line("INFO everything");
        for line in [
            "db0:keys=3,expires=2,avg_ttl=2000,subexpiry=0\r",
            "cmdstat_set:calls=3,",
            "rejected_calls=1,failed_calls=0\r",
            "rejected_calls=0,failed_calls=1\r",
            "errorstat_ERR:count=2\r",
            "keyspace_hits:1\r",
            "rdb_changes_since_last_save:3\r",
            "redis_version:7.4.0\r",
            "latency_percentiles_usec_set:p50=",
        ] {
            assert!(info.contains(line), "{line} is not in {info}");
        }
    }
}
