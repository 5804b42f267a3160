//! `cargo xtask conformance`: the public Redis Tcl test suite, run against Respire unit by unit.
//!
//! Neither the suite nor the runner is part of the project. The suite is the directory `tests` of a snapshot of the
//! repository redis/redis, beside a directory `src` with links to redis-cli, redis-benchmark, redis-check-aof and
//! redis-check-rdb. The runner is `tclconf`, which restarts the server for each unit, and compares the results with
//! those of the suite's own server.
//!
//! There are two modes. Outside, the suite talks to one server that the runner starts. Inside, it starts servers itself, with its
//! own configuration files, and reads their logs and files: that is how snapshots, the append-only file and memory limits are
//! tested. Without options both are run, one after the other; `--external` and `--internal` run one of them.
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

/// What the files, the limits of memory and the process are tested by, where the suite starts the servers.
const UNITS_INSIDE: &[&str] = &[
    "integration/aof",
    "integration/aof-multi-part",
    "integration/rdb",
    "integration/convert-ziplist-hash-on-load",
    "integration/convert-ziplist-zset-on-load",
    "integration/convert-zipmap-hash-on-load",
    "integration/corrupt-dump",
    "integration/corrupt-dump-fuzzer",
    "integration/shutdown",
    "integration/logging",
    "integration/dismiss-mem",
    "integration/redis-benchmark",
    "integration/redis-cli",
    "unit/aofrw",
    "unit/dump",
    "unit/maxmemory",
    "unit/memefficiency",
    "unit/oom-score-adj",
    "unit/shutdown",
    "unit/wait",
];

/// Where the runner's servers listen, and the first port of those that the suite starts.
const PORT: &str = "7300";
const PORTS_INSIDE: &str = "21000";

pub fn run(args: &[String]) -> Result<(), String> {
    let mut suite = None;
    let mut tools = PathBuf::from("../shared/tools");
    let mut out = PathBuf::from("target/conformance");
    let mut respire = None;
    let mut units: Vec<String> = Vec::new();
    let (mut inside, mut outside) = (true, true);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().map(PathBuf::from).ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--suite" => suite = Some(value()?),
            "--tools" => tools = value()?,
            "--out" => out = value()?,
            "--respire" => respire = Some(value()?),
            "--internal" => outside = false,
            "--external" => inside = false,
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
    if outside == inside && !units.is_empty() {
        return Err("named units are run in one mode: --external or --internal".into());
    }
    let runner = Runner { suite, tools, out, respire };
    let named = |all: &[&str]| match units.is_empty() {
        true => all.iter().map(|unit| (*unit).to_owned()).collect(),
        false => units.clone(),
    };
    let outside = if outside { runner.run_outside(&named(UNITS)) } else { Ok(()) };
    let inside = if inside { runner.run_inside(&named(UNITS_INSIDE)) } else { Ok(()) };
    outside.and(inside)
}

struct Runner {
    suite: PathBuf,
    tools: PathBuf,
    out: PathBuf,
    respire: PathBuf,
}

impl Runner {
    fn run_outside(&self, units: &[String]) -> Result<(), String> {
        let start = format!(
            "{} --port {{port}} --dir {{dir}} --save \"\" --enable-debug-command yes",
            self.respire.display()
        );
        self.tclconf("external", &["--start", &start], PORT, units)
    }

    fn run_inside(&self, units: &[String]) -> Result<(), String> {
        // The suite starts it from a directory of its own.
        let respire = std::path::absolute(&self.respire).map_err(|error| error.to_string())?;
        let respire = respire.display().to_string();
        self.tclconf("internal", &["--internal", &respire], PORTS_INSIDE, units)
    }

    /// Runs units in a mode, and compares with the results of the suite's own server in it.
    fn tclconf(
        &self,
        mode: &str,
        how: &[&str],
        port: &str,
        units: &[String],
    ) -> Result<(), String> {
        let (program, out) = (self.tools.join("tclconf"), self.out.join(mode));
        println!("{mode} mode:");
        let status = Command::new(&program)
            .args(how)
            .args(["--tags=-slow", "--baseline"])
            .arg(self.tools.join(format!("redis-suite-{mode}.tsv")))
            .arg("--out")
            .arg(&out)
            .arg(&self.suite)
            .args(["127.0.0.1", port])
            .args(units)
            .status()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        println!("every test is listed in {}", out.join("results.tsv").display());
        if status.success() { Ok(()) } else { Err(format!("tclconf: {status}")) }
    }
}
