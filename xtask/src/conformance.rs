//! `cargo xtask conformance`: the public Redis Tcl test suite, run against Respire unit by unit.
//!
//! Neither the suite nor the runner is part of the project. The suite is the directory `tests` of a snapshot of the
//! repository redis/redis, beside a directory `src` with links to redis-cli, redis-benchmark, redis-check-aof and
//! redis-check-rdb. The runner is `tclconf`, which restarts the server for each unit, and compares the results with
//! those of the suite's own server.
//!
//! Options: `--suite DIR` (needed), `--tools DIR` (`../shared/tools`, where `tclconf` and the reference results are),
//! `--out DIR` (`target/conformance`), `--respire PATH` (tests this binary and builds none), and the names of units (all
//! that this version promises).

use std::path::PathBuf;
use std::process::Command;

use crate::bench;

/// What the commands so far are tested by.
const UNITS: &[&str] = &[
    "unit/type/string",
    "unit/type/incr",
    "unit/type/list",
    "unit/type/list-2",
    "unit/type/list-3",
    "unit/type/set",
    "unit/type/hash",
    "unit/type/zset",
    "unit/type/stream",
    "unit/type/stream-cgroups",
    "unit/keyspace",
    "unit/expire",
    "unit/scan",
    "unit/sort",
    "unit/pubsub",
    "unit/pubsubshard",
    "unit/multi",
    "unit/bitops",
    "unit/bitfield",
    "unit/geo",
    "unit/hyperloglog",
    "unit/tracking",
    "unit/querybuf",
    "unit/protocol",
    "unit/info",
    "unit/info-command",
    "unit/introspection",
    "unit/introspection-2",
    "unit/slowlog",
    "unit/latency-monitor",
    "unit/lazyfree",
    "unit/other",
    "unit/quit",
    "unit/limits",
    "unit/pause",
    "unit/replybufsize",
    "unit/scripting",
    "unit/functions",
    "unit/acl",
    "unit/acl-v2",
    "unit/auth",
    "unit/dump",
    "unit/violations",
];

/// Where the runner's servers listen.
const PORT: &str = "7300";

pub fn run(args: &[String]) -> Result<(), String> {
    let mut suite = None;
    let mut tools = PathBuf::from("../shared/tools");
    let mut out = PathBuf::from("target/conformance");
    let mut respire = None;
    let mut units = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().map(PathBuf::from).ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--suite" => suite = Some(value()?),
            "--tools" => tools = value()?,
            "--out" => out = value()?,
            "--respire" => respire = Some(value()?),
            unit => units.push(unit.to_owned()),
        }
    }
    let suite = suite.ok_or(
        "where is the suite? Check redis/redis out, link the redis-tools into its src/, and pass --suite DIR",
    )?;
    let respire = match respire {
        Some(path) => path,
        None => bench::build()?,
    };
    if units.is_empty() {
        units.extend(UNITS.iter().map(|unit| (*unit).to_owned()));
    }
    let start = format!(
        "{} --port {{port}} --dir {{dir}} --save \"\" --enable-debug-command yes",
        respire.display()
    );
    let status = Command::new(tools.join("tclconf"))
        .args(["--start", &start, "--tags=-slow", "--baseline"])
        .arg(tools.join("redis-suite-external.tsv"))
        .arg("--out")
        .arg(&out)
        .arg(&suite)
        .args(["127.0.0.1", PORT])
        .args(&units)
        .status()
        .map_err(|error| format!("{}: {error}", tools.join("tclconf").display()))?;
    println!("every test is listed in {}", out.join("results.tsv").display());
    if status.success() { Ok(()) } else { Err(format!("tclconf: {status}")) }
}
