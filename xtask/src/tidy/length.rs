//! Files up to 1,000 lines, functions up to 70, and the ratchet for those that are longer.
//!
//! A test function may be long: most of it is a table, and cutting a table in two helps nobody.
//!
//! The ratchet lists what was longer when it was written down, with that length. Invariant: an entry may only
//! shrink. What has become shorter must be lowered in the list too, so that it can't grow back.

use std::collections::BTreeMap;

const FILE_LINES: usize = 1_000;
const FUNCTION_LINES: usize = 70;

/// The long things of one source file: `path` or `path fn name`, and the lines.
pub fn long(path: &str, text: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > FILE_LINES {
        found.insert(path.to_string(), lines.len());
    }
    let tests_start = if is_test_file(path) {
        0
    } else {
        lines.iter().position(|line| *line == "#[cfg(test)]").unwrap_or(lines.len())
    };
    for (start, line) in lines[..tests_start].iter().enumerate() {
        let Some((indent, name)) = function(line) else {
            continue;
        };
        // The sources are formatted: a function ends with a brace in the column in which it starts.
        let end = format!("{}}}", &line[..indent]);
        let Some(length) = lines[start..].iter().position(|line| *line == end) else {
            continue;
        };
        let one_line = line.ends_with(['}', ';']);
        if !one_line && length + 1 > FUNCTION_LINES {
            // Two of one name in one file share an entry, the longer one's.
            let entry = found.entry(format!("{path} fn {name}")).or_default();
            *entry = (*entry).max(length + 1);
        }
    }
    found
}

/// Integration tests, and unit tests that have a file of their own.
fn is_test_file(path: &str) -> bool {
    path.contains("tests/tests/") || path.ends_with("tests.rs") || path.contains("/src/tests/")
}

/// Indentation and name of the function that starts on this line.
fn function(line: &str) -> Option<(usize, &str)> {
    let code = line.trim_start();
    let (before, after) = match code.strip_prefix("fn ") {
        Some(after) => ("", after),
        None => code.split_once(" fn ")?,
    };
    let words_before = before.split(' ').filter(|word| !word.is_empty()).all(|word| {
        word.starts_with("pub")
            || word.ends_with(')')
            || ["const", "async", "extern", "\"C\"", concat!("un", "safe")].contains(&word)
    });
    let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (words_before && !name.is_empty()).then_some((line.len() - code.len(), name))
}

/// What may be longer, and by how much.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ratchet(BTreeMap<String, usize>);

impl Ratchet {
    /// Lines of `<length> <path>` or `<length> <path> fn <name>`; `#` starts a comment.
    pub fn parse(text: &str) -> Result<Ratchet, String> {
        let mut entries = BTreeMap::new();
        for line in
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let entry =
                line.split_once(' ').and_then(|(length, what)| Some((length.parse().ok()?, what)));
            let (length, what) =
                entry.ok_or_else(|| format!("'{line}' is not '<length> <path>'"))?;
            entries.insert(what.trim().to_string(), length);
        }
        Ok(Ratchet(entries))
    }

    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# Files over 1,000 lines and functions over 70, with their lengths. The numbers only go down:\n\
             # `cargo xtask tidy --update` lowers them.\n",
        );
        for (what, length) in &self.0 {
            text.push_str(&format!("{length} {what}\n"));
        }
        text
    }

    /// Lowers the entries to the present lengths and drops those that are long no more.
    pub fn lower(&mut self, present: &BTreeMap<String, usize>) {
        self.0.retain(|what, _| present.contains_key(what));
        for (what, length) in &mut self.0 {
            *length = (*length).min(present[what]);
        }
    }

    pub fn check(&self, present: &BTreeMap<String, usize>) -> Vec<String> {
        let mut findings = Vec::new();
        for (what, length) in present {
            let limit = if what.contains(" fn ") { FUNCTION_LINES } else { FILE_LINES };
            match self.0.get(what) {
                None => findings.push(format!("{what}: {length} lines, the limit is {limit}")),
                Some(allowed) if length > allowed => {
                    findings.push(format!(
                        "{what}: grew from {allowed} to {length} lines, the limit is {limit}"
                    ));
                }
                Some(allowed) if length < allowed => {
                    findings.push(format!(
                        "{what}: shrank to {length}; run `cargo xtask tidy --update`"
                    ));
                }
                Some(_) => {}
            }
        }
        for what in self.0.keys().filter(|what| !present.contains_key(*what)) {
            findings.push(format!("{what}: no longer long; run `cargo xtask tidy --update`"));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(lines: usize) -> String {
        "    x();\n".repeat(lines)
    }

    #[test]
    fn long_functions_are_found_wherever_they_stand() {
        let short = format!("fn a() {{\n{}}}\n", body(68));
        assert!(long("a.rs", &short).is_empty());
        let free = format!("pub(crate) async fn b(\n    x: u8,\n) -> u8 {{\n{}}}\n", body(70));
        assert_eq!(long("a.rs", &free), BTreeMap::from([("a.rs fn b".to_string(), 74)]));
        let method = format!("impl A {{\n    const fn c<T>() {{\n{}    }}\n}}\n", body(70));
        assert!(long("a.rs", &method).contains_key("a.rs fn c"), "{method}");
    }

    #[test]
    fn one_line_functions_and_declarations_don_t_reach_for_the_next_brace() {
        let text = format!(
            "trait A {{\n    fn a();\n    fn b() {{}}\n{}    fn c() {{\n    }}\n}}\n",
            body(100)
        );
        assert!(long("a.rs", &text).is_empty());
        assert!(
            long("a.rs", &format!("// some fn here\nlet f: fn a;\n{}}}\n", body(100))).is_empty()
        );
    }

    #[test]
    fn tests_may_have_long_tables() {
        let long_one = format!("fn b() {{\n{}}}\n", body(100));
        assert_eq!(long("a.rs", &long_one).len(), 1);
        assert!(long("crates/a/src/b/tests.rs", &long_one).is_empty());
        assert!(long("a.rs", &format!("#[cfg(test)]\nmod tests {{}}\n{long_one}")).is_empty());
    }

    #[test]
    fn long_files_are_found() {
        assert!(long("a.rs", &"\n".repeat(1000)).is_empty());
        assert_eq!(long("a.rs", &"\n".repeat(1001)), BTreeMap::from([("a.rs".to_string(), 1001)]));
    }

    #[test]
    fn the_ratchet_only_goes_down() {
        let present = |n| BTreeMap::from([("a.rs".to_string(), n)]);
        let mut ratchet = Ratchet::parse("# why\n1200 a.rs\n").unwrap();
        assert!(ratchet.check(&present(1200)).is_empty());
        assert!(ratchet.check(&present(1201))[0].contains("grew"));
        assert!(ratchet.check(&present(1100))[0].contains("shrank"));
        ratchet.lower(&present(1201));
        assert_eq!(ratchet, Ratchet::parse("1200 a.rs").unwrap());
        ratchet.lower(&present(1100));
        assert_eq!(
            Ratchet::parse(&ratchet.to_text()).unwrap(),
            Ratchet::parse("1100 a.rs").unwrap()
        );
        assert!(ratchet.check(&BTreeMap::new())[0].contains("no longer"));
        ratchet.lower(&BTreeMap::new());
        assert_eq!(ratchet, Ratchet::default());
        assert!(ratchet.check(&present(1001))[0].contains("limit"));
        assert!(Ratchet::parse("a.rs").is_err());
    }
}
