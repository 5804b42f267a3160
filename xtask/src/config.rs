//! `respire.conf` at the root: every directive that acts, commented out, at its default, with what it does.
//!
//! Made from the tables in docs/configuration.md, which a test of the engine holds to the table of directives; `tidy`
//! refuses a file that is not what would be made.

use std::fs;

use crate::tidy::root;

pub const SOURCE: &str = "docs/configuration.md";
pub const TARGET: &str = "respire.conf";

const HEAD: &str = "\
# The configuration of Respire: every directive that acts. As it stands, this file changes nothing: each line
# is commented out and says the default. Start with it by
#
#     respire /path/to/respire.conf
#
# What is on the command line wins over it. Sizes may have units: 1k is 1000 bytes, 1kb is 1024; likewise m, mb,
# g, gb. A redis.conf of Redis 7 is accepted in its place: docs/configuration.md says what becomes of the directives
# that are not here.
#
# Written by `cargo xtask config` from docs/configuration.md, which is the place for changes.
";

/// Writes the file.
pub fn run(args: &[String]) -> Result<(), String> {
    if let Some(extra) = args.first() {
        return Err(format!("config takes no argument, but got '{extra}'"));
    }
    let path = root().join(TARGET);
    let text =
        fs::read_to_string(root().join(SOURCE)).map_err(|error| format!("{SOURCE}: {error}"))?;
    fs::write(path, make(&text)?).map_err(|error| format!("{TARGET}: {error}"))
}

/// What is wrong with the file, given what is there.
pub fn check(documentation: Option<&str>, written: Option<&str>) -> Option<String> {
    match make(documentation.unwrap_or_default()) {
        Ok(made) if Some(made.as_str()) == written => None,
        Ok(_) => Some(format!("{TARGET}: not what {SOURCE} says; run cargo xtask config")),
        Err(why) => Some(why),
    }
}

fn make(documentation: &str) -> Result<String, String> {
    let mut made = HEAD.to_owned();
    let mut acting = false;
    for line in documentation.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            acting = heading == "Directives that act";
        } else if acting && let Some(heading) = line.strip_prefix("### ") {
            let rule = "#".repeat(78);
            made += &format!("\n{rule}\n# {heading}\n{rule}\n");
        } else if acting && line.starts_with("| `") {
            made += &directive(line).ok_or_else(|| format!("{SOURCE}: not a row: {line}"))?;
        }
    }
    Ok(made)
}

/// What becomes of `| name (alias) | default | CONFIG SET | what it does |`.
fn directive(row: &str) -> Option<String> {
    // A bar within a text has a backslash before it.
    let row = row.replace("\\|", "\u{0}");
    let cells: Vec<String> =
        row.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect();
    let [name, default, change, text] = cells.as_slice() else { return None };
    let name = name.split('`').nth(1)?;
    let when = match change.as_str() {
        "no" => " Read at the start only.",
        "protected" => " Changed by CONFIG SET only where enable-protected-configs allows.",
        _ => "",
    };
    let stop = if text.ends_with('.') { "" } else { "." };
    let said = wrap(&format!("{}{stop}{when}", capitalized(&unlinked(&text.replace('`', "")))));
    let value = match (name, default.as_str()) {
        // What has no default that could stand in a file is shown by an example.
        ("user", _) => "alice on >secret ~cache:* +@read".to_owned(),
        ("rename-command", _) => "FLUSHALL \"\"".to_owned(),
        ("io-threads", _) => "4".to_owned(),
        ("dir", _) => "./".to_owned(),
        // One argument with blanks.
        ("metrics-bind" | "proc-title-template", default) => default.replace('`', "\""),
        (_, "empty") => "\"\"".to_owned(),
        (_, default) => default.strip_prefix('`')?.strip_suffix('`')?.to_owned(),
    };
    Some(format!("\n{said}# {name} {value}\n"))
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

/// `[text](page)` as `text (docs/page)`.
fn unlinked(text: &str) -> String {
    let parts = text.split_once('[').and_then(|(before, rest)| {
        let (said, rest) = rest.split_once("](")?;
        let (page, after) = rest.split_once(')')?;
        Some(format!("{before}{said} (docs/{page}){}", unlinked(after)))
    });
    parts.unwrap_or_else(|| text.to_owned())
}

/// Comment lines of at most 78 characters.
fn wrap(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), "#".to_owned());
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > 78 {
            lines += &(line + "\n");
            line = "#".to_owned();
        }
        line += " ";
        line += word;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directives_that_act_are_taken() {
        let made = make(
            "## Directives that act\n### Net\n| directive | default |\n|---|---|\n| `port` (`p`) | `1` | no | a `port`, [see](b.md) |\n\
             ## Remembered\n| `other` | `2` | yes |\n",
        )
        .unwrap();
        assert!(
            made.ends_with("\n# A port, see (docs/b.md). Read at the start only.\n# port 1\n"),
            "{made}"
        );
        assert!(made.contains("\n# Net\n"));
        assert!(make("## Directives that act\n| `port` | `1` | no |\n").is_err());
    }
}
