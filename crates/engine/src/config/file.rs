//! The syntax of redis.conf and of command-line arguments: one directive per line, words in quotes where needed,
//! comments on lines of their own. Text comes in from the caller, included files too, and ends up in settings;
//! a line that can't be used stops with its file, number, text and reason.

use std::fmt;

use super::directive::{Origin, find};
use super::settings::Settings;

/// Files that include each other endlessly stop here.
const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 1_000;

/// What the name of the source is for arguments.
const COMMAND_LINE: &str = "command line";

/// The texts of the files that an `include` pattern stands for, by name, in order; an error is the reason that
/// users see.
pub type Includer<'a> = dyn FnMut(&str) -> Result<Vec<(String, String)>, String> + 'a;

/// A line that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub file: String,
    /// From 1; for arguments the number of the directive.
    pub line: usize,
    pub text: String,
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "*** FATAL CONFIG FILE ERROR (Respire {}) ***\nReading the configuration ({}), at line {}\n>>> '{}'\n{}",
            env!("CARGO_PKG_VERSION"),
            self.file,
            self.line,
            self.text,
            self.reason
        )
    }
}

impl std::error::Error for ConfigError {}

/// Reads the text of a configuration file into `settings`. Included files take effect where they are named; later
/// lines win. On error some lines before may have taken effect.
pub fn parse_file(
    text: &str,
    name: &str,
    settings: &mut Settings,
    include: &mut Includer<'_>,
) -> Result<(), ConfigError> {
    Files { include, read: 0 }.parse(text, name, settings, 0)
}

/// A file and what it includes.
struct Files<'a, 'b> {
    include: &'a mut Includer<'b>,
    read: usize,
}

impl Files<'_, '_> {
    fn parse(
        &mut self,
        text: &str,
        name: &str,
        settings: &mut Settings,
        depth: usize,
    ) -> Result<(), ConfigError> {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_matches([' ', '\t', '\r']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fail = |reason: String| ConfigError {
                file: name.to_owned(),
                line: index + 1,
                text: line.to_owned(),
                reason,
            };
            let words = split_words(line)
                .ok_or_else(|| fail("Unbalanced quotes in configuration line".into()))?;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words[..] {
                [] => {}
                [directive, pattern] if directive.eq_ignore_ascii_case("include") => {
                    self.include(pattern, settings, depth, fail)?;
                }
                [directive, ref args @ ..] => apply(settings, directive, args).map_err(fail)?,
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        pattern: &str,
        settings: &mut Settings,
        depth: usize,
        fail: impl Fn(String) -> ConfigError,
    ) -> Result<(), ConfigError> {
        for (name, text) in (self.include)(pattern).map_err(&fail)? {
            self.read += 1;
            if depth == MAX_DEPTH || self.read > MAX_FILES {
                return Err(fail("Files include each other too deeply".into()));
            }
            self.parse(&text, &name, settings, depth + 1)?;
        }
        Ok(())
    }
}

/// Reads `--directive value ...` into `settings`. A word that starts with `--` names a directive, and those up to the next
/// are its values. The first value may begin with `--` itself, but for that of `save`, which stands for `--save ""` where
/// none follows. Directive and values may also come in one argument, as a line of a file does; and what comes before the
/// first `--` is one, too.
pub fn parse_args(
    args: &[String],
    settings: &mut Settings,
    include: &mut Includer<'_>,
) -> Result<(), ConfigError> {
    let mut files = Files { include, read: 0 };
    for (index, line) in lines_of(args)?.into_iter().enumerate() {
        let mut values: Vec<&str> = line.values.iter().map(String::as_str).collect();
        if values.is_empty() && line.directive.eq_ignore_ascii_case("save") {
            values.push("");
        }
        let fail = |reason: String| ConfigError {
            file: COMMAND_LINE.to_owned(),
            line: index + 1,
            text: line.text(),
            reason,
        };
        match values[..] {
            [pattern] if line.directive.eq_ignore_ascii_case("include") => {
                files.include(pattern, settings, 0, fail)?;
            }
            _ => apply(settings, &line.directive, &values).map_err(fail)?,
        }
    }
    Ok(())
}

/// A directive of the command line.
#[derive(Debug)]
struct Line {
    directive: String,
    values: Vec<String>,
}

impl Line {
    /// As errors show it.
    fn text(&self) -> String {
        let values = self.values.iter().map(|value| format!(" {value:?}"));
        std::iter::once(self.directive.clone()).chain(values).collect()
    }
}

fn lines_of(args: &[String]) -> Result<Vec<Line>, ConfigError> {
    let mut lines: Vec<Line> = Vec::new();
    // The next word is a value, whatever it begins with.
    let mut wants_value = false;
    for arg in args {
        let named = arg.strip_prefix("--").filter(|_| !wants_value);
        wants_value = false;
        match (named, lines.last_mut()) {
            (None, Some(line)) => line.values.push(arg.clone()),
            (text, _) => {
                let text = text.unwrap_or(arg);
                let unbalanced = || ConfigError {
                    file: COMMAND_LINE.to_owned(),
                    line: lines.len() + 1,
                    text: text.to_owned(),
                    reason: "Unbalanced quotes in configuration line".into(),
                };
                let mut words = split_words(text).ok_or_else(unbalanced)?.into_iter();
                let directive = words.next().unwrap_or_default();
                let values: Vec<String> = words.collect();
                wants_value = values.is_empty() && !directive.eq_ignore_ascii_case("save");
                lines.push(Line { directive, values });
            }
        }
    }
    Ok(lines)
}

fn apply(settings: &mut Settings, directive: &str, args: &[&str]) -> Result<(), String> {
    match find(directive) {
        Some(row) => row.set(settings, args, Origin::File),
        None => Err("Bad directive or wrong number of arguments".into()),
    }
}

/// Splits a line in words. Double quotes know the escapes `\n \r \t \b \a \xHH` and `\` before any other byte;
/// single quotes only `\'`. `None` when a quote isn't closed, or closed within a word, or escapes spell bytes
/// that aren't UTF-8.
pub(super) fn split_words(line: &str) -> Option<Vec<String>> {
    let words = split_bytes(line.as_bytes())?;
    words.into_iter().map(|word| String::from_utf8(word).ok()).collect()
}

/// As [`split_words`], of any bytes.
pub(crate) fn split_bytes(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        rest = split_word(rest, &mut word)?;
        words.push(word);
    }
}

/// Reads one word and returns what follows it.
fn split_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [b' ' | b'\t' | b'\r' | b'\n' | b'\0', ..] => return Some(&rest[1..]),
            [quote @ (b'"' | b'\''), after @ ..] => {
                rest = split_quoted(*quote, after, word)?;
                return match rest {
                    [] => Some(rest),
                    [next, ..] if next.is_ascii_whitespace() => Some(rest),
                    _ => None,
                };
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

fn split_quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'\\', b'x', high, low, after @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
                (digit(*high) << 4 | digit(*low), after)
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => {
                let byte = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                };
                (byte, after)
            }
            [b'\\', b'\'', after @ ..] if quote == b'\'' => (b'\'', after),
            [byte, after @ ..] if *byte == quote => return Some(after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        word.push(byte);
        rest = after;
    }
}

/// Writes a word so that `split_words` reads it back, in quotes only where they are needed.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '\\');
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('#') {
        return word.to_owned();
    }
    let mut quoted = String::from('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
