//! `cargo xtask <step>`: every check of the project, the same here and in CI.
//!
//! Owns nothing but the list of subcommands: each is a module with `run(args) -> Result<(), String>`.

mod bench;
mod config;
mod conformance;
mod memcheck;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  test [step ...]   install what the checks need, then pass them all, or only the named steps
  conformance       the public Redis test suite, which you bring, and how much of it passes
  config            write respire.conf from docs/configuration.md
  bench             the figures of docs/benchmarks.md, measured against redis-server
  tidy              the rules on the text of the sources
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    let result = match command.as_str() {
        "bench" => bench::run(&args),
        "config" => config::run(&args),
        "conformance" => conformance::run(&args),
        "test" => test::run(&args),
        "tidy" => tidy::run(&args),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("there is no command '{other}'\n\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
