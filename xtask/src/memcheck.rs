//! The `memcheck` step: the keyspace's tests under valgrind, with shorter histories than in the daily run.
//!
//! The keyspace is where raw memory is. Its tests use the system's allocator, so that valgrind sees every read of freed
//! or unset memory, every wrong free, and what is never freed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::tidy;

/// Steps of each random history: about a minute, and enough for tables whose arrays are mapped.
const STEPS: &str = "20000";

pub fn run() -> Result<(), String> {
    let program = build()?;
    let status = Command::new("valgrind")
        .args(["--quiet", "--error-exitcode=9", "--leak-check=full"])
        // The test runner keeps some memory for good, and still points to it.
        .args(["--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"])
        .arg(&program)
        .args(["--quiet", "--test-threads=1"])
        .env("RESPIRE_STEPS", STEPS)
        .current_dir(tidy::root())
        .status()
        .map_err(|error| format!("valgrind: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("valgrind {}: {status}", program.display())) }
}

/// Builds the keyspace's unit tests. Returns the program.
fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--package", "respire-keyspace", "--lib", "--no-run"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(tidy::root())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err("the keyspace's tests don't build".into());
    }
    executable(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| "cargo names no test program".into())
}

/// The last program that cargo's messages name, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let last = messages.lines().rev().find_map(|line| line.split_once("\"executable\":\""))?;
    let path = last.1.split('"').next()?;
    Some(PathBuf::from(path.replace("\\\\", "\\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_the_messages() {
        let messages = "{\"executable\":null}\n{\"a\":1,\"executable\":\"/t/deps/x-1\",\"b\":2}\n{\"success\":true}\n";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/deps/x-1")));
        assert_eq!(executable("{\"executable\":null}\n"), None);
    }
}
