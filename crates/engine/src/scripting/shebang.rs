//! The first line of a script or library: `#!lua name=value ...`. It names the engine, a library's name and a script's
//! flags.

use bitflags::bitflags;

use crate::error::Error;

bitflags! {
    /// What a script or function says about itself.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(crate) struct ScriptFlags: u8 {
        const NO_WRITES = 1;
        const ALLOW_OOM = 1 << 1;
        const ALLOW_STALE = 1 << 2;
        const NO_CLUSTER = 1 << 3;
        const ALLOW_CROSS_SLOT_KEYS = 1 << 4;
    }
}

const NAMES: [(ScriptFlags, &str); 5] = [
    (ScriptFlags::NO_WRITES, "no-writes"),
    (ScriptFlags::ALLOW_OOM, "allow-oom"),
    (ScriptFlags::ALLOW_STALE, "allow-stale"),
    (ScriptFlags::NO_CLUSTER, "no-cluster"),
    (ScriptFlags::ALLOW_CROSS_SLOT_KEYS, "allow-cross-slot-keys"),
];

impl ScriptFlags {
    pub(crate) fn of_name(name: &[u8]) -> Option<Self> {
        NAMES.iter().find(|(_, text)| text.as_bytes() == name).map(|(flag, _)| *flag)
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        NAMES.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

/// Splits a line into words as Redis's configuration does: quotes keep blanks together. `None` if a quote is not closed.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.iter().copied().peekable();
    loop {
        while rest.next_if(u8::is_ascii_whitespace).is_some() {}
        if rest.peek().is_none() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some(byte) = rest.next_if(|byte| !byte.is_ascii_whitespace()) {
            if byte != b'"' && byte != b'\'' {
                word.push(byte);
                continue;
            }
            loop {
                match rest.next()? {
                    end if end == byte => break,
                    b'\\' => word.push(rest.next()?),
                    inside => word.push(inside),
                }
            }
        }
        words.push(word);
    }
}

/// The first line and what follows it, with the line's end still in front, so that lines keep their numbers.
fn split(source: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = source.iter().position(|byte| *byte == b'\n')?;
    Some(source.split_at(end))
}

/// Reads the shebang of a script of EVAL, if it has one. Returns its flags and what is to be compiled.
pub(super) fn of_script(source: &[u8]) -> Result<Option<(ScriptFlags, &[u8])>, Error> {
    if !source.starts_with(b"#!") {
        return Ok(None);
    }
    let (line, body) = split(source).ok_or(Error::fixed("ERR Invalid script shebang"))?;
    let words = words(line).unwrap_or_default();
    let Some((engine, options)) = words.split_first() else {
        return Err(Error::fixed("ERR Invalid engine in script shebang"));
    };
    if engine != b"#!lua" {
        return Err(Error::quoting("ERR Unexpected engine in script shebang: ", engine, ""));
    }
    let mut flags = ScriptFlags::default();
    for option in options {
        let Some(list) = option.strip_prefix(b"flags=") else {
            return Err(Error::quoting("ERR Unknown lua shebang option: ", option, ""));
        };
        if list.is_empty() {
            continue;
        }
        for name in list.split(|byte| *byte == b',') {
            flags |= ScriptFlags::of_name(name).ok_or_else(|| {
                Error::quoting("ERR Unexpected flag in script shebang: ", name, "")
            })?;
        }
    }
    Ok(Some((flags, body)))
}

/// Reads the first line of a library. Returns its name and what is to be compiled.
pub(super) fn of_library(source: &[u8]) -> Result<(Vec<u8>, &[u8]), Error> {
    if !source.starts_with(b"#!") {
        return Err(Error::fixed("ERR Missing library metadata"));
    }
    const INVALID: Error = Error::fixed("ERR Invalid library metadata");
    let (line, body) = split(source).ok_or(INVALID)?;
    let words = words(line).ok_or(INVALID)?;
    let (engine, options) = words.split_first().ok_or(INVALID)?;
    let engine = &engine[2..];
    let mut name: Option<&[u8]> = None;
    for option in options {
        let Some(given) = option.strip_prefix(b"name=") else {
            return Err(Error::quoting("ERR Invalid metadata value given: ", option, ""));
        };
        if name.replace(given).is_some() {
            return Err(Error::fixed(
                "ERR Invalid metadata value, name argument was given multiple times",
            ));
        }
    }
    let name = name.ok_or(Error::fixed("ERR Library name was not given"))?;
    check_name(name)?;
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(Error::quoting("ERR Engine '", engine, "' not found"));
    }
    Ok((name.to_vec(), body))
}

/// Whether a library or function may be called so.
pub(super) fn check_name(name: &[u8]) -> Result<(), Error> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if !name.is_empty() && name.iter().all(fits) {
        return Ok(());
    }
    Err(Error::fixed(
        "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T>(result: Result<T, Error>) -> String {
        let Err(error) = result else { return "fine".into() };
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    }

    #[test]
    fn scripts_name_their_flags() {
        let flags = |source: &str| of_script(source.as_bytes()).expect("fine").map(|(f, _)| f);
        assert_eq!(flags("return 1"), None);
        assert_eq!(flags("#!lua\nx"), Some(ScriptFlags::empty()));
        assert_eq!(flags("#!lua\r\nx"), Some(ScriptFlags::empty()));
        let both = ScriptFlags::NO_WRITES | ScriptFlags::ALLOW_OOM;
        assert_eq!(flags("#!lua \"flags=no-writes,allow-oom\"\nx"), Some(both));
        let (_, body) = of_script(b"#!lua\nreturn 1").expect("fine").expect("there");
        assert_eq!(body, b"\nreturn 1");
        for (source, expected) in [
            ("#!lua", "ERR Invalid script shebang"),
            ("#!lua 'x\n", "ERR Invalid engine in script shebang"),
            ("#!js\n", "ERR Unexpected engine in script shebang: #!js"),
            ("#!lua x\n", "ERR Unknown lua shebang option: x"),
            ("#!lua flags=a\n", "ERR Unexpected flag in script shebang: a"),
        ] {
            assert_eq!(text(of_script(source.as_bytes())), expected);
        }
    }

    #[test]
    fn libraries_name_themselves() {
        let (name, body) = of_library(b"#!LUA name=a_1\nx").expect("fine");
        assert_eq!((&name[..], body), (&b"a_1"[..], &b"\nx"[..]));
        for (source, expected) in [
            ("x", "ERR Missing library metadata"),
            ("#!lua name=a", "ERR Invalid library metadata"),
            ("#!lua\n", "ERR Library name was not given"),
            ("#!js name=a\n", "ERR Engine 'js' not found"),
            ("#!lua name=a desc=b\n", "ERR Invalid metadata value given: desc=b"),
        ] {
            assert_eq!(text(of_library(source.as_bytes())), expected);
        }
    }
}
