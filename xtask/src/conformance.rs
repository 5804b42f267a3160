//! `cargo xtask conformance`: the public Redis Tcl test suite, run against Respire unit by unit.
//!
//! Neither the suite nor the runner is part of the project. The suite is the directory `tests` of a snapshot of the
//! repository redis/redis, beside a directory `src` with links to redis-cli, redis-benchmark, redis-check-aof and
//! redis-check-rdb. They are to be of the same snapshot: `make -C src redis-server redis-cli redis-benchmark redis-check-aof
//! redis-check-rdb MALLOC=libc` makes them. The runner is `tclconf`, which restarts the server for each unit, and compares the results with
//! those of the suite's own server.
//!
//! There are two modes. Outside, the suite talks to one server that the runner starts. Inside, it starts servers itself, with its
//! own configuration files, and reads their logs and files: that is how snapshots, the append-only file and memory limits are
//! tested. Without options both are run, one after the other; `--external` and `--internal` run one of them.
//!
//! Options: `--suite DIR` (needed), `--tools DIR` (`../shared/tools`, where `tclconf` and the reference results are),
//! `--out DIR` (`target/conformance`), `--respire PATH` (tests this binary and builds none), `--port N` and
//! `--ports-inside N` (where servers listen), and the names of units (all but [`LEFT_OUT`]).
//!
//! Beside the runner's rows stands what counts: of the tests that the suite's own server passes, how many pass here, and the
//! names of those that do not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench;

/// What begins so is about replication and clusters, which this version does not have.
const LEFT_OUT: &[&str] = &[
    "integration/block-repl",
    "integration/failover",
    "integration/psync2",
    "integration/replication",
];

/// The tests that are run, by the suite's own marks. Those that need replicas or a cluster are not tried: some would wait for
/// them in vain, and take those behind them along. They count as not passed.
const TAGS: &str = "--tags=-slow -needs:repl -cluster";

/// Where the runner's servers listen, and the first port of those that the suite starts.
const PORT: &str = "7300";
const PORTS_INSIDE: &str = "21000";

pub fn run(args: &[String]) -> Result<(), String> {
    let mut suite = None;
    let mut tools = PathBuf::from("../shared/tools");
    let mut out = PathBuf::from("target/conformance");
    let mut respire = None;
    let (mut port, mut ports_inside) = (PORT.to_owned(), PORTS_INSIDE.to_owned());
    let mut units: Vec<String> = Vec::new();
    let (mut inside, mut outside) = (true, true);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().cloned().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--suite" => suite = Some(PathBuf::from(value()?)),
            "--tools" => tools = value()?.into(),
            "--out" => out = value()?.into(),
            "--respire" => respire = Some(PathBuf::from(value()?)),
            "--port" => port = value()?,
            "--ports-inside" => ports_inside = value()?,
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
    let runner = Runner { suite, tools, out, respire, port, ports_inside, units };
    let outside = if outside { runner.run_outside() } else { Ok(()) };
    let inside = if inside { runner.run_inside() } else { Ok(()) };
    outside.and(inside)
}

struct Runner {
    suite: PathBuf,
    tools: PathBuf,
    out: PathBuf,
    respire: PathBuf,
    port: String,
    ports_inside: String,
    /// Those asked for; none means all.
    units: Vec<String>,
}

impl Runner {
    fn run_outside(&self) -> Result<(), String> {
        let start = format!(
            "{} --port {{port}} --dir {{dir}} --save \"\" --enable-debug-command yes",
            self.respire.display()
        );
        self.tclconf("external", &["--start", &start], &self.port)
    }

    fn run_inside(&self) -> Result<(), String> {
        // The suite starts it from a directory of its own.
        let respire = std::path::absolute(&self.respire).map_err(|error| error.to_string())?;
        let respire = respire.display().to_string();
        self.tclconf("internal", &["--internal", &respire], &self.ports_inside)
    }

    /// Runs units in a mode, and compares with the results of the suite's own server in it.
    fn tclconf(&self, mode: &str, how: &[&str], port: &str) -> Result<(), String> {
        let (program, out) = (self.tools.join("tclconf"), self.out.join(mode));
        let reference = self.tools.join(format!("redis-suite-{mode}.tsv"));
        let mut expected = passed(&reference)?;
        let is_wanted = |unit: &String| match self.units.is_empty() {
            true => !LEFT_OUT.iter().any(|prefix| unit.starts_with(prefix)),
            false => self.units.contains(unit),
        };
        expected.retain(|unit, _| is_wanted(unit));
        println!("{mode} mode:");
        // The runner ends with a failure when any test does. What counts is in its results.
        Command::new(&program)
            .args(how)
            // A test that waits in vain is left out when the unit is run again, as often as that takes.
            .args([TAGS, "--retries", "12", "--baseline"])
            .arg(&reference)
            .arg("--out")
            .arg(&out)
            .arg(&self.suite)
            .args(["127.0.0.1", port])
            .args(if self.units.is_empty() {
                expected.keys().collect()
            } else {
                self.units.iter().collect::<Vec<_>>()
            })
            .status()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let results = out.join("results.tsv");
        let left = compare(&expected, &passed(&results)?);
        println!("every test is listed in {}", results.display());
        if left == 0 { Ok(()) } else { Err(format!("{left} tests do not pass in {mode} mode")) }
    }
}

/// The tests that passed, by unit, of a file of results.
type Passed = BTreeMap<String, BTreeSet<String>>;

fn passed(results: &Path) -> Result<Passed, String> {
    let text = std::fs::read(results).map_err(|error| format!("{}: {error}", results.display()))?;
    let mut passed = Passed::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let mut fields = line.split('\t');
        if let (Some(unit), Some(test), Some("ok")) = (fields.next(), fields.next(), fields.next())
        {
            passed.entry(unit.to_owned()).or_default().insert(test.to_owned());
        }
    }
    Ok(passed)
}

/// Prints how many of the reference's tests pass, by unit, and which do not; answers how many do not.
fn compare(expected: &Passed, passed: &Passed) -> usize {
    let none = BTreeSet::new();
    let (mut all, mut ours) = (0, 0);
    println!("\n| unit | Respire | reference |\n|---|---|---|");
    for (unit, tests) in expected {
        let here = tests.intersection(passed.get(unit).unwrap_or(&none)).count();
        println!("| {unit} | {here} | {} |", tests.len());
        all += tests.len();
        ours += here;
    }
    println!("| all | {ours} | {all} |\n");
    for (unit, tests) in expected {
        for test in tests.difference(passed.get(unit).unwrap_or(&none)) {
            println!("not passed: {unit}: {test}");
        }
    }
    all - ours
}
