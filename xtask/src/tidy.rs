//! `cargo xtask tidy`: the house rules that a machine can check, on the text of the files that git knows.
//!
//! | module | owns |
//! |---|---|
//! | `text` | what may stand in a source or document |
//! | `length` | files up to 1,000 lines, functions up to 70, and the ratchet for those that are longer |
//! | `manifest` | which crate may depend on which, and that every dependency says why |
//!
//! Invariant: the rules are functions from text to findings; only this file reads the disk.

mod length;
mod manifest;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config;
use length::Ratchet;

const RATCHET: &str = "xtask/tidy-ratchet.txt";

/// The top of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_path_buf()
}

/// `--update` lowers the ratchet to what the files have become; nothing raises it but an editor.
pub fn run(args: &[String]) -> Result<(), String> {
    let update = match args {
        [] => false,
        [flag] if flag == "--update" => true,
        _ => return Err("usage: cargo xtask tidy [--update]".into()),
    };
    let files = files()?;
    let ratchet_text = fs::read_to_string(root().join(RATCHET)).unwrap_or_default();
    let mut ratchet = Ratchet::parse(&ratchet_text).map_err(|why| format!("{RATCHET}: {why}"))?;
    if update {
        ratchet.lower(&long_things(&files));
        fs::write(root().join(RATCHET), ratchet.to_text())
            .map_err(|e| format!("{RATCHET}: {e}"))?;
    }
    let findings = check(&files, &ratchet);
    if findings.is_empty() {
        println!("tidy: {} files, nothing to complain about", files.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    Err(format!("tidy: {} findings", findings.len()))
}

/// Path from the root, and text.
type Files = BTreeMap<String, String>;

/// Every text file that git tracks or would track.
fn files() -> Result<Files, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("git: {e}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let mut files = Files::new();
    for name in output.stdout.split(|byte| *byte == 0) {
        let name = String::from_utf8_lossy(name).into_owned();
        // Deleted but still tracked, or not text: nothing to check.
        if let Ok(text) = fs::read_to_string(root().join(&name)) {
            files.insert(name, text);
        }
    }
    Ok(files)
}

fn long_things(files: &Files) -> BTreeMap<String, usize> {
    files
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .flat_map(|(path, text)| length::long(path, text))
        .collect()
}

fn check(files: &Files, ratchet: &Ratchet) -> Vec<String> {
    let mut findings = ratchet.check(&long_things(files));
    let text = |path| files.get(path).map(String::as_str);
    findings.extend(config::check(text(config::SOURCE), text(config::TARGET)));
    for (path, text) in files {
        findings.extend(text::check(path, text));
        if path.ends_with(".md") {
            findings.extend(text::broken_links(path, text, |target| root().join(target).exists()));
        }
        if path.ends_with("Cargo.toml") {
            findings.extend(manifest::check(path, text));
        }
    }
    findings
}
