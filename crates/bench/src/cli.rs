//! `respire bench`: from the command line to the exit code.
//!
//! Invariant: the exit code is 0 only if every request was answered and no answer was an error. With `--json`
//! standard output holds one JSON document and nothing else.

use crate::args::Args;
use crate::cpu::ServerCpu;
use crate::load::{Load, Report};
use crate::show::{self, Comparison};
use crate::target::{Address, Error, Target};
use clap::Parser as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

/// A server that was started in this process. Its threads' names begin with `respire-`, so that their processor time
/// can be told from the client's.
pub struct Embedded {
    pub addr: SocketAddr,
    /// Stops the server; called after the last test.
    pub stop: Box<dyn FnOnce()>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// Runs the benchmark with the arguments after `respire bench`. `embedded` starts a server in this process; it is
/// called when the arguments name no server.
pub fn run(
    args: impl Iterator<Item = OsString>,
    embedded: &dyn Fn() -> io::Result<Embedded>,
) -> ExitCode {
    let args = match Args::try_parse_from(std::iter::once("respire bench".into()).chain(args)) {
        Ok(args) => args,
        Err(error) => {
            // Help and version come this way, too; nobody is left to tell when this fails.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match measure_all(&args, embedded) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("respire bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Calls a server's `stop` however the run ends.
struct StopOnDrop(Option<Embedded>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(embedded) = self.0.take() {
            (embedded.stop)();
        }
    }
}

/// A server under test and its process, or the reason why that is unknown.
struct Side {
    target: Target,
    cpu: Result<ServerCpu, String>,
}

impl Side {
    fn new(target: Target) -> Result<Side, Error> {
        // So that a server that can't be reached is an error now and not a missing CPU figure.
        target.connect()?;
        let cpu = ServerCpu::find(&target);
        Ok(Side { target, cpu })
    }
}

/// Runs every test; returns how many replies were errors.
fn measure_all(args: &Args, embedded: &dyn Fn() -> io::Result<Embedded>) -> Result<u64, Error> {
    let server = match args.wants_embedded() {
        true => Some(embedded().map_err(|error| Error(format!("no embedded server: {error}")))?),
        false => None,
    };
    let server = StopOnDrop(server);
    let address = match &server.0 {
        Some(embedded) => Address::Tcp(embedded.addr),
        None => args.address()?,
    };
    let mut sides = vec![Side::new(args.target(address)?)?];
    if let Some(address) = args.against_address()? {
        sides.push(Side::new(args.target(address)?)?);
    }
    if args.load {
        for side in &sides {
            let report = measure(args, side, args.fill(&side.target), "loading")?;
            if let Some(text) = report.first_error {
                return Err(Error(format!("loading {}: {text}", side.target.address)));
            }
        }
    }
    let title = show::title(
        args,
        &sides[0].target,
        sides.get(1).map(|side| &side.target),
        server.0.is_some(),
    );
    let mut printer = show::Printer::new(args, title);
    let mut all = Vec::new();
    for load in args.loads(&sides[0].target) {
        let comparison = compare(args, &sides, &load)?;
        printer.row(&comparison).map_err(cannot_print)?;
        all.push(comparison);
    }
    drop(server);
    if args.json {
        let document =
            show::json(args, &sides[0].target, sides.get(1).map(|side| &side.target), &all);
        writeln!(io::stdout(), "{document:#}").map_err(cannot_print)?;
    } else {
        printer.notes(&all).map_err(cannot_print)?;
    }
    Ok(all.iter().flat_map(Comparison::reports).map(|report| report.errors).sum())
}

fn cannot_print(error: io::Error) -> Error {
    Error(format!("cannot print: {error}"))
}

/// Runs one test on each side in turns.
fn compare(args: &Args, sides: &[Side], load: &Load) -> Result<Comparison, Error> {
    let mut rounds: Vec<Vec<Report>> = vec![Vec::new(); sides.len()];
    for round in 0..args.rounds() {
        for (side, reports) in sides.iter().zip(&mut rounds) {
            let load = Load {
                target: side.target.clone(),
                // Rounds draw other keys, both sides the same ones.
                seed: load.seed.wrapping_add(u64::from(round)),
                ..load.clone()
            };
            let label = match sides.len() {
                1 => load.workload.name(),
                _ => format!("{} on {}", load.workload.name(), side.target.address),
            };
            reports.push(measure(args, side, load, &label)?);
        }
    }
    let mut joined = rounds.iter().filter_map(|rounds| Report::join(rounds));
    let first = joined.next().expect("there is a side, and at least one round of it");
    Ok(Comparison { first, second: joined.next() })
}

/// One run with a progress bar on standard error.
fn measure(args: &Args, side: &Side, load: Load, label: &str) -> Result<Report, Error> {
    let drawn = match args.quiet || args.json {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let bar = ProgressBar::with_draw_target(load.requests, drawn);
    let template = match load.requests {
        Some(_) => "{msg} {wide_bar} {percent:>3} % {per_sec}",
        None => "{msg} {spinner} {elapsed} {per_sec}",
    };
    bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant"));
    bar.set_message(label.to_owned());
    let report = load.run_measured(&side.cpu, &|replies| bar.set_position(replies));
    bar.finish_and_clear();
    report
}
