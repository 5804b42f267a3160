//! What may stand in a source or document.
//!
//! The forbidden words are put together from halves, so that this file doesn't break its own rules.

/// Files that may contain the keyword, and why. A file comes off the list with its last block.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("crates/keyspace/src/compact.rs", "moves entries under the tables that name them"),
    (
        "crates/keyspace/src/db.rs",
        "turns the table's words into references to entries that it keeps alive",
    ),
    ("crates/keyspace/src/entry.rs", "lays header, expiry, key and value out in one allocation"),
    ("crates/keyspace/src/expire.rs", "looks at entries that the table of expiring keys names"),
    (
        "crates/keyspace/src/lock.rs",
        "holds any number of shards, which the borrow checker can't follow",
    ),
    (
        "crates/engine/src/scripting/guard.rs",
        "functions that must be C functions to Lua, on its raw stack",
    ),
    (
        "crates/engine/src/scripting/lend.rs",
        "lends a call's worker, session and shards to the functions that Lua calls back",
    ),
    ("crates/engine/src/scripting/push.rs", "puts requests and replies on Lua's raw stack"),
    ("crates/datatypes/src/elements.rs", "lays a key and a value out in one allocation"),
    ("crates/datatypes/src/region.rs", "allocates and maps zeroed arrays of buckets"),
    ("crates/lua-libs/src/call.rs", "reads arguments from Lua's stack and pushes results on it"),
    ("crates/rdb/tests/damage.rs", "counts what each thread allocates, to bound it"),
    (
        "crates/keyspace/src/snapshot.rs",
        "marks entries ahead of a walk, and reads large collections that nobody may change meanwhile",
    ),
    (
        "crates/keyspace/src/shard.rs",
        "reads and changes entries in place while their table is borrowed",
    ),
    ("crates/datatypes/src/table.rs", "packs pointers and hash tags into words"),
    (
        "crates/keyspace/src/hash.rs",
        "calls what only some processors have, once it is known that this one does",
    ),
    (
        "crates/datatypes/src/zset/member.rs",
        "lays a member and its score out in one allocation, which tree and index point to",
    ),
    ("crates/server/src/allocator.rs", "hands allocations on to jemalloc, with their alignment"),
    (
        "crates/server/src/crash.rs",
        "handles the signals of faults, on stacks of its own, and writes to the log's descriptor",
    ),
    (
        "crates/server/src/title.rs",
        "copies the environment away from where the title of the process goes, before there are threads",
    ),
    (
        "crates/server/src/slice.rs",
        "asks the scheduler for short slices, which no crate has a call for",
    ),
    (
        "crates/server/src/stacks.rs",
        "interrupts threads by a signal, whose handler notes return addresses and nothing else",
    ),
    ("crates/server/src/supervise.rs", "forks, to go into the background"),
    ("crates/server/src/main.rs", "names the allocator's options, which it finds by symbol"),
    (
        "crates/server/src/memory.rs",
        "talks to the allocator through its control interface: gives unused pages back, asks which blocks lie thinly",
    ),
];

const FORBIDDEN_MACROS: &[&str] =
    &[concat!("to", "do!"), concat!("db", "g!"), concat!("unimple", "mented!")];

/// Directories that only exist on somebody's machine.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

const LATER: &str = concat!("TO", "DO");
const KEYWORD: &str = concat!("un", "safe");

/// Everything that is wrong with the text of one file.
pub fn check(path: &str, text: &str) -> Vec<String> {
    let source = path.ends_with(".rs");
    let spaced = source || path.ends_with(".md") || path.ends_with(".toml");
    let mut findings = Vec::new();
    if source && !text.starts_with("//!") {
        findings
            .push(format!("{path}:1: opens without a `//!` comment that says what the file owns"));
    }
    for (number, line) in text.lines().enumerate() {
        let mut complain = |what: String| findings.push(format!("{path}:{}: {what}", number + 1));
        if spaced && line.ends_with([' ', '\t']) {
            complain("white space at the end of the line".into());
        }
        if spaced && line.contains('\t') {
            complain("a tab".into());
        }
        if let Some(found) = MACHINE_PATHS.iter().find(|machine| has_path(line, machine)) {
            complain(format!("a path of one machine, {found}"));
        }
        if source {
            check_source_line(line, &mut complain);
        }
    }
    if source {
        findings.extend(check_keyword(path, text));
    }
    if path.ends_with("package-lock.json") && text.contains("\"resolved\"") {
        findings.push(format!(
            "{path}: names registry hosts; make it with omit-lockfile-registry-resolved=true"
        ));
    }
    if path.ends_with("Cargo.lock") {
        let crates_io = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        for line in text.lines().filter(|line| line.starts_with("source =") && *line != crates_io) {
            findings.push(format!("{path}: a package that is not from crates.io: {line}"));
        }
    }
    findings
}

fn check_source_line(line: &str, complain: &mut impl FnMut(String)) {
    for name in FORBIDDEN_MACROS {
        if line.contains(name) {
            complain(format!("`{name}`"));
        }
    }
    if let Some(at) = line.find(LATER)
        && !line[at + LATER.len()..].starts_with('(')
    {
        complain(format!("`{LATER}` without a reason in parentheses"));
    }
}

/// Said once per file: the list is of files. One that needs its place no longer gives it up.
fn check_keyword(path: &str, text: &str) -> Option<String> {
    let code = |line: &str| has_word(line.split("//").next().unwrap_or_default(), KEYWORD);
    let listed = UNSAFE_ALLOWED.iter().any(|(allowed, _)| *allowed == path);
    match text.lines().position(code) {
        Some(number) if !listed => Some(format!(
            "{path}:{}: `{KEYWORD}` in a file that is not on the list in xtask/src/tidy/text.rs",
            number + 1
        )),
        None if listed => Some(format!(
            "{path}: has no `{KEYWORD}` left; take it off the list in xtask/src/tidy/text.rs"
        )),
        _ => None,
    }
}

/// Whether `machine` starts a path here, rather than continuing one.
fn has_path(line: &str, machine: &str) -> bool {
    line.match_indices(machine).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./~}".contains(c))
    })
}

fn has_word(code: &str, word: &str) -> bool {
    let part_of_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        !part_of_name(code[..at].chars().next_back())
            && !part_of_name(code[at + word.len()..].chars().next())
    })
}

/// Links of a Markdown file to other files that `exists` (given a path from the root) doesn't know.
pub fn broken_links(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut findings = Vec::new();
    let mut in_fence = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            continue;
        }
        if in_fence {
            continue;
        }
        // Every second piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("` `");
        for piece in prose.split("](").skip(1) {
            let target = piece.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let from_root = match file.strip_prefix('/') {
                Some(absolute) => absolute.to_string(),
                None if directory.is_empty() => file.to_string(),
                None => format!("{directory}/{file}"),
            };
            if !exists(&from_root) {
                findings.push(format!("{path}:{}: the link to {target} leads nowhere", number + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_source_passes() {
        assert_eq!(check("a.rs", "//! Owns a.\n\nfn a() {}\n"), Vec::<String>::new());
    }

    #[test]
    fn every_rule_finds_its_breach() {
        let later = concat!("//! A.\n// TO", "DO later\n");
        let macros = concat!("//! A.\nfn a() { to", "do!() }\n");
        let keyword = concat!("//! A.\nfn a() { un", "safe { b() } }\n");
        let machine = concat!("//! A.\nconst A: &str = \"/ro", "ot/x\";\n");
        for (path, text, expected) in [
            ("a.rs", "fn a() {}\n", "a.rs:1: opens without"),
            ("a.rs", "//! A. \n", "white space"),
            ("a.md", "a\tb\n", "a.md:1: a tab"),
            ("a.rs", later, "without a reason"),
            ("a.rs", macros, "a.rs:2: `to"),
            ("a.rs", keyword, "not on the list"),
            ("crates/datatypes/src/table.rs", "//! A.\n", "take it off the list"),
            ("a.sh", concat!("cd /wo", "rk/x\n"), "path of one machine"),
            ("a.rs", machine, "path of one machine"),
            ("x/package-lock.json", "{\"resolved\": \"x\"}", "registry hosts"),
            ("Cargo.lock", "source = \"registry+https://example.org\"\n", "not from crates.io"),
        ] {
            let findings = check(path, text);
            assert_eq!(findings.len(), 1, "{text:?}: {findings:?}");
            assert!(findings[0].contains(expected), "{findings:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_breach_passes() {
        for text in [
            concat!("//! A.\n// TO", "DO(issue 7) later\n"),
            concat!("//! A.\n#![deny(", "un", "safe_op_in_", "un", "safe_fn)]\n"),
            concat!("//! A.\n// ", "un", "safe is a word in a comment\n"),
            concat!("//! A.\n// target/ro", "ot/x and ./wo", "rk/y\n"),
        ] {
            assert_eq!(check("a.rs", text), Vec::<String>::new());
        }
    }

    #[test]
    fn links_are_followed_from_the_file_that_has_them() {
        let exists = |path: &str| path == "docs/a.md" || path == "README.md";
        let good = "[a](a.md#part) [web](https://example.org/x) [here](#x) `[code](nowhere.md)` [top](/README.md)";
        assert_eq!(broken_links("docs/b.md", good, exists), Vec::<String>::new());
        assert_eq!(broken_links("docs/b.md", "```\n[a](no.md)\n```", exists), Vec::<String>::new());
        assert_eq!(broken_links("README.md", "x\n[a](a.md)", exists).len(), 1);
        assert!(broken_links("README.md", "x\n[a](a.md)", exists)[0].starts_with("README.md:2:"));
    }
}
