//! `cargo xtask test`: installs what the checks need and passes them all, in order, with a heading and the time
//! of each.
//!
//! Invariant: no check is skipped here. What a plain `cargo test` only warns about is a failure (`RESPIRE_CHECKS=1`).

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{memcheck, tidy};

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<(), String>,
}

/// The cheap ones first. One profile for everything, so that nothing is built twice.
const STEPS: &[Step] = &[
    Step { name: "tools", what: "the programs that the checks need", run: tools },
    Step {
        name: "fmt",
        what: "cargo fmt --all --check",
        run: || cargo(&["fmt", "--all", "--check"]),
    },
    Step { name: "tidy", what: "the rules on the text of the sources", run: || tidy::run(&[]) },
    Step {
        name: "clippy",
        what: "cargo clippy --workspace --all-targets -- -D warnings",
        run: || {
            cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
        },
    },
    Step {
        name: "tests",
        what: "cargo test --workspace: unit, integration, compatibility and doc tests",
        run: || cargo(&["test", "--workspace", "--no-fail-fast"]),
    },
    Step {
        name: "fuzz",
        what: "the loaders of RDB files and of the log look at damaged ones for a minute",
        run: fuzz,
    },
    Step { name: "memcheck", what: "the keyspace's tests under valgrind", run: memcheck::run },
];

/// Programs that apt-get can bring, with the package of each.
const INSTALLED: &[(&str, &str)] = &[
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("redis-benchmark", "redis-tools"),
    ("valgrind", "valgrind"),
    ("openssl", "openssl"),
];

/// Programs that have to be here: which version of them, and from where, is the developer's choice.
const EXPECTED: &[(&str, &str)] = &[
    ("python3", "Python 3.9 or newer with venv (Debian: python3 python3-venv)"),
    ("node", "Node.js 18 or newer (Debian: nodejs)"),
    ("npm", "npm (Debian: npm)"),
];

pub fn run(args: &[String]) -> Result<(), String> {
    let steps: Vec<&Step> = if args.is_empty() {
        STEPS.iter().collect()
    } else {
        args.iter().map(|name| find_step(name)).collect::<Result<_, _>>()?
    };
    let start = Instant::now();
    let mut failed = Vec::new();
    for step in &steps {
        println!("\n=== {}: {} ===", step.name, step.what);
        flush();
        let begun = Instant::now();
        let result = (step.run)();
        let verdict = if result.is_ok() { "passed" } else { "FAILED" };
        println!("=== {} {verdict} in {} ===", step.name, seconds(begun.elapsed()));
        flush();
        if let Err(why) = result {
            eprintln!("{why}");
            failed.push(step.name);
            // Without the tools the rest would fail for a reason that has just been given.
            if step.name == "tools" {
                break;
            }
        }
    }
    println!("\n=== {} steps in {} ===", steps.len(), seconds(start.elapsed()));
    flush();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn find_step(name: &str) -> Result<&'static Step, String> {
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        format!("there is no step '{name}'; there are: {}", names.join(", "))
    })
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Headings must stand before the output of the programs that they announce.
fn flush() {
    let _ = io::stdout().flush();
}

fn cargo(args: &[&str]) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).env("RESPIRE_CHECKS", "1").current_dir(tidy::root());
    succeed(&mut command)
}

/// A minute in all: the tests of one program run side by side.
/// Looks at damaged files for a minute, from a fixed seed, so that a change is judged by what it does and not by the draw.
/// `FUZZ_SEED` takes another one.
fn fuzz() -> Result<(), String> {
    let seconds = "30";
    let seed = std::env::var("FUZZ_SEED").unwrap_or_else(|_| "20261127".into());
    for (package, test, name) in [
        ("respire-rdb", "damage", "do_no_harm"),
        ("respire-persistence", "faults", "a_damaged_log"),
    ] {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["test", "-p", package, "--test", test, name]);
        command.envs([("RESPIRE_SEED", &seed), ("FAULT_SEED", &seed)]);
        command.env("RESPIRE_FUZZ_SECONDS", seconds).current_dir(tidy::root());
        succeed(&mut command)?;
    }
    Ok(())
}

fn succeed(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// The path of a program, where there is one.
fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian keeps what is meant for administrators off the path of ordinary users.
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// The distinct packages of the programs that `have` doesn't know.
fn missing_packages(have: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<&str> = Vec::new();
    for (program, package) in INSTALLED {
        if !have(program) && !packages.contains(package) {
            packages.push(package);
        }
    }
    packages
}

fn tools() -> Result<(), String> {
    let missing = missing_packages(|program| path_of(program).is_some());
    if !missing.is_empty() {
        install(&missing)?;
        let still = missing_packages(|program| path_of(program).is_some());
        if !still.is_empty() {
            return Err(format!(
                "installed {}, but {} is still missing",
                missing.join(" "),
                still.join(" ")
            ));
        }
    }
    let absent: Vec<&str> = EXPECTED
        .iter()
        .filter(|(program, _)| path_of(program).is_none())
        .map(|(_, what)| *what)
        .collect();
    if !absent.is_empty() {
        return Err(format!("please install:\n  {}", absent.join("\n  ")));
    }
    let venv = Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(Stdio::null())
        .status();
    if !venv.is_ok_and(|status| status.success()) {
        return Err("python3 lacks venv; please install it (Debian: python3-venv)".into());
    }
    println!(
        "redis-server, redis-cli, redis-benchmark, valgrind, openssl, python3, node and npm are here"
    );
    Ok(())
}

/// Installs Debian packages, as root or by sudo where that asks no password.
fn install(packages: &[&str]) -> Result<(), String> {
    let wish = format!(
        "please install {} (redis-server 7.0 or newer, with its tools)",
        packages.join(" ")
    );
    if path_of("apt-get").is_none() {
        return Err(format!("there is no apt-get here; {wish}"));
    }
    let Some(prefix) = privileges() else {
        return Err(format!("apt-get needs root, and sudo wants a password; {wish}"));
    };
    println!("installing {}", packages.join(" "));
    flush();
    // A server that was there before is the user's and stays; one that the package starts is stopped.
    let ran_before = runs_as_service();
    let apt = |args: &[&str]| {
        let mut command = privileged(prefix, "apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        succeed(&mut command)
    };
    let want: Vec<&str> = ["install", "-y", "-q", "--no-install-recommends"]
        .iter()
        .chain(packages)
        .copied()
        .collect();
    // With fresh lists this saves a minute; with none or old ones it fails and they are fetched.
    if apt(&want).is_err() {
        apt(&["update", "-q"])?;
        apt(&want).map_err(|why| format!("{why}; {wish}"))?;
    }
    if packages.contains(&"redis-server") && !ran_before {
        stop_service(prefix);
    }
    Ok(())
}

/// What stands before a command that needs root, or `None` when this user can't be root.
fn privileges() -> Option<&'static [&'static str]> {
    let answer = |program: &str, args: &[&str]| {
        Command::new(program)
            .args(args)
            .stderr(Stdio::null())
            .output()
            .ok()
            .filter(|out| out.status.success())
    };
    if answer("id", &["-u"]).is_some_and(|out| out.stdout.trim_ascii() == b"0") {
        return Some(&[]);
    }
    answer("sudo", &["-n", "true"]).map(|_| &["sudo", "-n"][..])
}

fn privileged(prefix: &[&str], program: &str) -> Command {
    let mut words = prefix.iter().copied().chain([program]);
    let mut command = Command::new(words.next().expect("at least the program"));
    command.args(words);
    command
}

/// Whether something answers on the port that Debian's service takes.
fn runs_as_service() -> bool {
    std::net::TcpStream::connect(("127.0.0.1", 6379)).is_ok()
}

/// Debian's package starts a server on port 6379 where it can; it would be in the way of ours. Which of these work
/// depends on the machine's init, so failures are normal and silent.
fn stop_service(prefix: &[&str]) {
    let attempts: &[(&str, &[&str])] = &[
        ("systemctl", &["disable", "--now", "redis-server"]),
        ("service", &["redis-server", "stop"]),
        ("update-rc.d", &["redis-server", "disable"]),
    ];
    for (program, args) in attempts {
        if path_of(program).is_some() {
            let mut command = privileged(prefix, program);
            let _ = command.args(*args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_once_and_only_for_what_is_missing() {
        assert_eq!(missing_packages(|_| true), Vec::<&str>::new());
        assert_eq!(
            missing_packages(|_| false),
            ["redis-server", "redis-tools", "valgrind", "openssl"]
        );
        assert_eq!(
            missing_packages(|program| program == "redis-server"),
            ["redis-tools", "valgrind", "openssl"]
        );
    }

    #[test]
    fn an_unknown_step_names_the_known_ones() {
        let error = find_step("nosuch").err().expect("no such step");
        assert!(error.contains("nosuch") && error.contains("clippy"), "{error}");
        assert!(find_step("tidy").is_ok());
    }

    #[test]
    fn privileged_commands_keep_their_order() {
        let command = privileged(&["sudo", "-n"], "apt-get");
        assert_eq!(command.get_program(), "sudo");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["-n", "apt-get"]);
        assert_eq!(privileged(&[], "apt-get").get_program(), "apt-get");
    }
}
