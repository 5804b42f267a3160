//! Programs that are not part of the project, and what happens when one is missing.
//!
//! Under `cargo xtask test` (`RESPIRE_CHECKS=1`) a missing program fails the test. Under a plain `cargo test` the
//! test passes, and says in a box that can't be overlooked what it couldn't check.

use std::io::Write;
use std::path::PathBuf;

/// Set by `cargo xtask test`: nothing may be skipped.
pub const CHECKS: &str = "RESPIRE_CHECKS";

/// Whether this run has to check everything.
pub fn must_check() -> bool {
    std::env::var_os(CHECKS).is_some_and(|v| v == "1")
}

/// The path of `program`, or `None` after saying that `unchecked` couldn't be checked.
///
/// Panics instead under `cargo xtask test`.
pub fn find(program: &str, package: &str, unchecked: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file())
    });
    if found.is_none() {
        skip(&format!("`{program}` is missing (package: {package})"), unchecked);
    }
    found
}

/// Says why `unchecked` isn't checked; under `cargo xtask test` this is a failure.
pub fn skip(why: &str, unchecked: &str) {
    assert!(!must_check(), "{why}; it is needed to check {unchecked}");
    let lines = [
        "NOT CHECKED".to_string(),
        unchecked.to_string(),
        format!("because {why}"),
        "`cargo xtask test` installs what the checks need".to_string(),
    ];
    let width = lines.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let mut text = format!("\n{}\n", "#".repeat(width + 6));
    for line in &lines {
        text.push_str(&format!("## {line:width$} ##\n"));
    }
    text.push_str(&format!("{}\n", "#".repeat(width + 6)));
    // Not `eprintln`: the test runner swallows that for tests that pass.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
