//! The manifest of an append-only file: which files it consists of, in which order.
//!
//! One line a file: `file NAME seq NUMBER type TYPE`, where the type is `b` for the base, `i` for what was appended since,
//! and `h` for what is no longer needed but still there. Names with blanks or quotes are in double quotes. The format is
//! that of Redis 7.

use std::fmt::Write;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::disk::{Disk, Temporary, temporary, write_all};
use crate::error::Failure;
use crate::snapshot::Form;

/// Bytes that a line may have.
const LINE_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Base,
    Increment,
    History,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
}

/// The files, the base first, then what was appended, in the order in which that was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) parts: Vec<Part>,
}

impl Manifest {
    pub(crate) fn path(dir: &Path, name: &str) -> PathBuf {
        dir.join(format!("{name}.manifest"))
    }

    /// Reads a manifest; `None` if there is none.
    pub(crate) fn load(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, Failure> {
        let failed = |error: &io::Error| Failure::io("Can't read", path, error);
        if disk.size(path).map_err(|error| failed(&error))?.is_none() {
            return Ok(None);
        }
        let mut text = String::new();
        let mut file = disk.read(path).map_err(|error| failed(&error))?;
        file.read_to_string(&mut text).map_err(|error| failed(&error))?;
        let parsed = Self::parse(&text);
        parsed.map(Some).map_err(|why| Failure::new(format!("{}: {why}", path.display())))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut manifest = Self::default();
        if text.is_empty() {
            return Err("Found an empty AOF manifest".into());
        }
        for (number, line) in text.split_terminator('\n').enumerate() {
            let wrong = |why: &str| format!("line {}: {why}", number + 1);
            let line = line.trim_end_matches('\r');
            if line.starts_with('#') {
                continue;
            }
            if line.len() > LINE_MAX {
                return Err(wrong("The AOF manifest file contains too long line"));
            }
            let part = parse_line(line).map_err(wrong)?;
            let (last_seq, has_base) =
                (manifest.increments().last().map(|part| part.seq), manifest.base().is_some());
            match part.kind {
                Kind::Base if has_base => {
                    return Err(wrong("Found duplicate base file information"));
                }
                Kind::Increment if last_seq.is_some_and(|seq| seq >= part.seq) => {
                    return Err(wrong("Found a non-monotonic sequence number"));
                }
                _ => manifest.parts.push(part),
            }
        }
        Ok(manifest)
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Increments come last, so that one can be added to the text.
        let of_kinds = [Kind::Base, Kind::History, Kind::Increment].map(|kind| self.of_kind(kind));
        for Part { name, seq, kind } in of_kinds.into_iter().flatten() {
            let kind = match kind {
                Kind::Base => 'b',
                Kind::Increment => 'i',
                Kind::History => 'h',
            };
            let _ = writeln!(text, "file {} seq {seq} type {kind}", quoted(name));
        }
        text
    }

    /// Puts the manifest on disk, in place of the one before, in one step.
    pub(crate) fn store(&self, disk: &dyn Disk, dir: &Path, name: &str) -> io::Result<()> {
        let temp = temporary(dir, Temporary::Manifest);
        let stored = (|| {
            let mut out = disk.create(&temp)?;
            write_all(&mut *out, self.text().as_bytes())?;
            out.syncer().sync()?;
            disk.rename(&temp, &Self::path(dir, name))?;
            disk.sync_dir(dir)
        })();
        if stored.is_err() {
            let _ = disk.remove(&temp);
        }
        stored
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.kind == kind)
    }

    pub(crate) fn base(&self) -> Option<&Part> {
        self.of_kind(Kind::Base).next()
    }

    pub(crate) fn increments(&self) -> impl Iterator<Item = &Part> {
        self.of_kind(Kind::Increment)
    }

    /// Adds an increment; returns its name.
    pub(crate) fn add_increment(&mut self, name: &str) -> String {
        let seq = self.parts.iter().filter(|part| part.kind != Kind::Base).map(|part| part.seq);
        let seq = seq.max().unwrap_or(0) + 1;
        let name = format!("{name}.{seq}.incr.aof");
        self.parts.push(Part { name: name.clone(), seq, kind: Kind::Increment });
        name
    }

    /// The next base.
    pub(crate) fn next_base(&self, name: &str, form: Form) -> Part {
        let seq =
            self.parts.iter().filter(|part| part.name.contains(".base.")).map(|part| part.seq);
        let seq = seq.max().unwrap_or(0).max(self.base().map_or(0, |base| base.seq)) + 1;
        let suffix = if form == Form::Rdb { "rdb" } else { "aof" };
        Part { name: format!("{name}.{seq}.base.{suffix}"), seq, kind: Kind::Base }
    }

    /// Everything up to `base`, which holds all that is older than the increment called `first`, is history.
    pub(crate) fn rebase(&mut self, base: Part, first: &str) {
        let was_history: Vec<String> =
            self.of_kind(Kind::History).map(|part| part.name.clone()).collect();
        let is_first = |part: &Part| part.name == first;
        let newer = self.parts.iter().position(is_first).unwrap_or(self.parts.len());
        let mut history: Vec<Part> = self.parts.drain(..newer).collect();
        history.iter_mut().for_each(|part| part.kind = Kind::History);
        // What has become history last is named first, as in Redis.
        let (older, mut old): (Vec<_>, Vec<_>) =
            history.into_iter().partition(|part| was_history.contains(&part.name));
        old.reverse();
        self.parts.splice(0..0, [vec![base], old, older].concat());
    }
}

/// A line. An error is Redis's text for it.
fn parse_line(line: &str) -> Result<Part, &'static str> {
    const MALFORMED: &str = "Invalid AOF manifest file format";
    let words = words(line).ok_or(MALFORMED)?;
    let (mut name, mut seq, mut kind) = (None, None, None);
    for pair in words.chunks(2) {
        let [key, value] = pair else { return Err(MALFORMED) };
        match key.as_str() {
            "file" => name = Some(value.clone()),
            "seq" => seq = value.parse().ok(),
            "type" => {
                kind = Some(match value.as_str() {
                    "b" => Kind::Base,
                    "i" => Kind::Increment,
                    "h" => Kind::History,
                    _ => return Err("Unknown AOF file type"),
                });
            }
            // What newer versions have to say.
            _ => {}
        }
    }
    let name = name.filter(|name| !name.is_empty() && !name.contains('/')).ok_or(MALFORMED)?;
    let seq = seq.filter(|seq| *seq > 0).ok_or(MALFORMED)?;
    Ok(Part { name, seq, kind: kind.ok_or(MALFORMED)? })
}

/// Words between blanks; one in double quotes may hold blanks, and anything behind a backslash.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.bytes().peekable();
    loop {
        while rest.next_if_eq(&b' ').is_some() {}
        let Some(first) = rest.next() else { return Some(words) };
        let mut word = Vec::new();
        if first == b'"' {
            loop {
                match rest.next()? {
                    b'"' => break,
                    b'\\' => word.push(escaped(&mut rest)?),
                    other => word.push(other),
                }
            }
            if rest.peek().is_some_and(|next| *next != b' ') {
                return None;
            }
        } else {
            word.push(first);
            while let Some(next) = rest.next_if(|next| *next != b' ') {
                word.push(next);
            }
        }
        words.push(String::from_utf8(word).ok()?);
    }
}

/// What stands behind a backslash.
fn escaped(rest: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match rest.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 0x07,
        b'b' => 0x08,
        b'x' => {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        }
        other => other,
    })
}

/// A name as the manifest holds it: in quotes if it is more than letters, digits and signs.
fn quoted(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if name.bytes().all(is_plain) {
        return name.to_owned();
    }
    let mut text = String::from('"');
    for byte in name.bytes() {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            b' ' => text.push(' '),
            _ if is_plain(byte) => text.push(byte.into()),
            b'"' | b'\\' => text.extend(['\\', byte.into()]),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        let text = "file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n";
        let mut manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.text(), text);
        assert_eq!(manifest.add_increment("a"), "a.3.incr.aof");
        let base = manifest.next_base("a", Form::Rdb);
        assert_eq!((base.name.as_str(), base.seq), ("a.2.base.rdb", 2));
        manifest.rebase(base, "a.3.incr.aof");
        let names = |parts: Vec<&Part>| parts.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(manifest.increments().collect()), ["a.3.incr.aof"]);
        assert_eq!(manifest.of_kind(Kind::History).count(), 3);
        let order = |manifest: &Manifest| {
            let parsed = Manifest::parse(&manifest.text()).unwrap();
            parsed.parts.iter().map(|part| part.name.clone()).collect::<Vec<_>>()
        };
        let history = ["a.2.incr.aof", "a.1.incr.aof", "a.1.base.rdb"];
        assert_eq!(order(&manifest)[0], "a.2.base.rdb");
        assert_eq!(order(&manifest)[1..4], history);
        assert_eq!(order(&manifest)[4], "a.3.incr.aof");
        assert_eq!(manifest.base().unwrap().name, "a.2.base.rdb");
        assert_eq!(Manifest::parse(&manifest.text()).unwrap(), manifest);
        manifest.parts.retain(|part| part.kind != Kind::History);
        assert_eq!(manifest.parts.len(), 2);
    }

    #[test]
    fn names_may_hold_anything() {
        for name in ["a \"b\" \\c", " lines\n\r\tand bells\u{7}\u{8} ", "naïve \u{1}"] {
            let mut manifest = Manifest::default();
            manifest.add_increment(name);
            assert_eq!(manifest.text().lines().count(), 1, "{}", manifest.text());
            assert_eq!(Manifest::parse(&manifest.text()).unwrap(), manifest);
        }
        assert_eq!(quoted("a\nb é"), "\"a\\nb \\xc3\\xa9\"");
        let other = Manifest::parse("# made by hand\nseq 7 more x type i file \"x y\"\n").unwrap();
        assert_eq!(other.parts[0], Part { name: "x y".into(), seq: 7, kind: Kind::Increment });
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for text in [
            "",
            "\n",
            "file a seq 1\n",
            "file a seq x type b\n",
            "file a seq 0 type b\n",
            "file ../a seq 1 type b\n",
            "file a seq 1 type z\n",
            "file \"a seq 1 type b\n",
            "file a seq 1 type b\nfile b seq 2 type b\n",
            "file a seq 2 type i\nfile b seq 2 type i\n",
            "file a seq 1 type\n",
        ] {
            assert!(Manifest::parse(text).is_err(), "{text:?}");
        }
    }
}
