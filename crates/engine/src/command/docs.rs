//! The arguments of a command as COMMAND DOCS gives them, made from the row's `syntax`.
//!
//! The notation: words in capitals and `=`, `~`, `*`, `$` are tokens, others are arguments; `[...]` is optional, `<...>` is not, `|` stands
//! between alternatives inside either. A token belongs to the words behind it. `[key ...]` behind `key` says that it
//! may be repeated, with its token if that stands in the brackets too; `[...]` repeats the group before it; and
//! `[key ...]` with nothing like it before is a list that may be empty.

use super::Row;

/// Types of arguments, as COMMAND DOCS names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }

    fn of(command: &Row, name: &str) -> Self {
        const INTEGERS: &[&str] = &[
            "client-id",
            "count",
            "cursor",
            "db",
            "db1",
            "db2",
            "decrement",
            "destination-db",
            "end",
            "increment",
            "index",
            "index1",
            "index2",
            "maxage",
            "milliseconds",
            "min-match-len",
            "numkeys",
            "offset",
            "protover",
            "seconds",
            "start",
            "timeout",
        ];
        const DOUBLES: &[&str] = &["height", "latitude", "longitude", "radius", "score", "width"];
        match name {
            "key" | "key1" | "key2" | "newkey" | "source" | "destination"
                if !command.keys.is_empty() =>
            {
                Self::Key
            }
            "increment" if command.name == "incrbyfloat" => Self::Double,
            "pattern" => Self::Pattern,
            name if name.starts_with("unix-time") => Self::UnixTime,
            name if INTEGERS.contains(&name) => Self::Integer,
            name if DOUBLES.contains(&name) => Self::Double,
            _ => Self::String,
        }
    }
}

/// One argument, or a group of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) token: Option<&'static str>,
    /// Of a key: the number of the key specification that finds it.
    pub(crate) key_spec: Option<usize>,
    pub(crate) optional: bool,
    pub(crate) multiple: bool,
    /// Its token is repeated with it.
    pub(crate) multiple_token: bool,
    /// What a group is made of.
    pub(crate) arguments: Vec<Argument>,
}

impl Argument {
    fn new(name: String, kind: Kind, arguments: Vec<Self>) -> Self {
        Self {
            name,
            kind,
            token: None,
            key_spec: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            arguments,
        }
    }

    /// A group that must be given whole; a group of one is that one.
    fn block(mut arguments: Vec<Self>) -> Self {
        if arguments.len() == 1 {
            return arguments.remove(0);
        }
        let name = joined(&arguments, "-");
        Self::new(name, Kind::Block, arguments)
    }

    fn with_token(mut self, token: &'static str) -> Self {
        if !self.arguments.is_empty() {
            self.name = token.to_ascii_lowercase();
        }
        self.token = Some(token);
        self
    }

    /// The flags, as COMMAND DOCS names them.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let flags = [
            ("optional", self.optional),
            ("multiple", self.multiple),
            ("multiple_token", self.multiple_token),
        ];
        flags.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect()
    }
}

fn joined(arguments: &[Argument], separator: &str) -> String {
    let names: Vec<&str> = arguments.iter().map(|argument| &argument.name[..]).collect();
    names.join(separator)
}

/// The arguments of a command. `Err` says where its syntax breaks the notation: a mistake in the row.
pub(crate) fn arguments(row: &Row) -> Result<Vec<Argument>, String> {
    let mut parser = Parser { row, words: words(row.syntax), keys: 0 };
    let arguments = parser.sequence()?;
    match parser.words.pop() {
        None => Ok(arguments),
        Some(word) => Err(format!("`{word}` is too much")),
    }
}

/// Words and signs, last first.
fn words(syntax: &'static str) -> Vec<&'static str> {
    let is_sign = |c: char| matches!(c, '[' | ']' | '<' | '>' | '|');
    let mut words = Vec::new();
    for chunk in syntax.split_ascii_whitespace() {
        let mut rest = chunk;
        while let Some(at) = rest.find(is_sign) {
            if at > 0 {
                words.push(&rest[..at]);
            }
            words.push(&rest[at..at + 1]);
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            words.push(rest);
        }
    }
    words.reverse();
    words
}

fn is_token(word: &str) -> bool {
    if matches!(word, "=" | "~" | "*" | "$") {
        return true;
    }
    word.bytes().any(|b| b.is_ascii_uppercase()) && !word.bytes().any(|b| b.is_ascii_lowercase())
}

struct Parser<'a> {
    row: &'a Row,
    /// What is still to be read, last first.
    words: Vec<&'static str>,
    /// Keys met so far.
    keys: usize,
}

impl Parser<'_> {
    /// Arguments up to a closing sign, a bar, dots or the end, which are left.
    fn sequence(&mut self) -> Result<Vec<Argument>, String> {
        let mut done = Vec::new();
        while let Some(word) = self.words.pop() {
            match word {
                "]" | ">" | "|" | "..." => {
                    self.words.push(word);
                    break;
                }
                "[" => self.brackets(&mut done)?,
                "<" => done.push(self.alternatives(">")?),
                word if is_token(word) => done.push(self.token(word)?),
                word => done.push(self.leaf(word)),
            }
        }
        Ok(done)
    }

    fn leaf(&mut self, word: &'static str) -> Argument {
        let kind = Kind::of(self.row, word);
        let mut leaf = Argument::new(word.into(), kind, Vec::new());
        if kind == Kind::Key {
            leaf.key_spec = Some(self.keys.min(self.row.keys.len() - 1));
            self.keys += 1;
        }
        leaf
    }

    /// A token with what belongs to it.
    fn token(&mut self, token: &'static str) -> Result<Argument, String> {
        let mut behind = Vec::new();
        if self.words.last() == Some(&"<") {
            self.words.pop();
            behind.push(self.alternatives(">")?);
        }
        while let Some(word) = self.words.pop() {
            if matches!(word, "[" | "]" | "<" | ">" | "|" | "...") || is_token(word) {
                self.words.push(word);
                break;
            }
            behind.push(self.leaf(word));
        }
        if behind.is_empty() {
            let name = token.to_ascii_lowercase();
            return Ok(Argument::new(name, Kind::PureToken, Vec::new()).with_token(token));
        }
        Ok(Argument::block(behind).with_token(token))
    }

    /// The inside of `<...>` or `[...]` up to the closing sign, which is taken.
    fn alternatives(&mut self, close: &str) -> Result<Argument, String> {
        let mut found = Vec::new();
        loop {
            let sequence = self.sequence()?;
            if sequence.is_empty() {
                return Err("an alternative is empty".into());
            }
            found.push(Argument::block(sequence));
            match self.words.pop() {
                Some("|") => {}
                Some(word) if word == close => break,
                Some(word) => return Err(format!("`{word}` instead of `{close}`")),
                None => return Err(format!("`{close}` is missing")),
            }
        }
        if found.len() == 1 {
            return Ok(found.remove(0));
        }
        let name = joined(&found, "-or-");
        Ok(Argument::new(name, Kind::OneOf, found))
    }

    /// What follows an opening bracket: something optional, or the repetition of what stands before.
    fn brackets(&mut self, done: &mut Vec<Argument>) -> Result<(), String> {
        if !self.is_repetition() {
            let mut argument = self.alternatives("]")?;
            argument.optional = true;
            done.push(argument);
            return Ok(());
        }
        // The keys inside are those before.
        let keys = self.keys;
        let inside = self.sequence()?;
        let (dots, close) = (self.words.pop(), self.words.pop());
        if (dots, close) != (Some("..."), Some("]")) {
            return Err("`...` must be the last in its brackets".into());
        }
        let count = inside.len().max(1);
        let before = &done[done.len().saturating_sub(count)..];
        if before.len() == count && repeats(before, &inside) {
            self.keys = keys;
            let mut argument = Argument::block(done.split_off(done.len() - count));
            argument.multiple = true;
            argument.multiple_token = inside.iter().any(|argument| argument.token.is_some());
            done.push(argument);
        } else {
            let mut argument = Argument::block(inside);
            argument.optional = true;
            argument.multiple = true;
            done.push(argument);
        }
        Ok(())
    }

    /// Whether the brackets that have been opened end with dots.
    fn is_repetition(&self) -> bool {
        let mut depth = 0;
        let mut last = "";
        for word in self.words.iter().rev() {
            match *word {
                "]" | ">" if depth == 0 => return last == "...",
                "]" | ">" => depth -= 1,
                "[" | "<" => depth += 1,
                _ => {}
            }
            last = word;
        }
        false
    }
}

/// Whether `inside` is what stands before it, perhaps without the token; nothing at all stands for anything.
fn repeats(before: &[Argument], inside: &[Argument]) -> bool {
    let is_same = |(before, inside): (&Argument, &Argument)| {
        before.name == inside.name && (inside.token.is_none() || inside.token == before.token)
    };
    before.iter().zip(inside).all(is_same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::registry;

    /// Writes arguments in the notation that they were read from.
    fn render(arguments: &[Argument]) -> String {
        arguments.iter().map(render_one).collect::<Vec<_>>().join(" ")
    }

    fn render_one(argument: &Argument) -> String {
        let list = |separator: &str| {
            argument.arguments.iter().map(render_one).collect::<Vec<_>>().join(separator)
        };
        let is_group = argument.kind == Kind::OneOf;
        let body = match argument.kind {
            Kind::PureToken => String::new(),
            Kind::OneOf => list(" | "),
            Kind::Block => list(" "),
            _ => argument.name.clone(),
        };
        let needs_signs = is_group && (!argument.optional || argument.token.is_some());
        let body = if needs_signs { format!("<{body}>") } else { body };
        let token = argument.token.unwrap_or_default();
        let mut text = format!("{token} {body}").trim().to_owned();
        if argument.multiple && argument.optional && argument.token.is_none() && !is_group {
            return format!("[{text} ...]");
        }
        if argument.multiple {
            let again = if argument.multiple_token { text.clone() } else { body };
            let again = if is_group { "...".into() } else { format!("{again} ...") };
            text = format!("{text} [{again}]");
        }
        if argument.optional { format!("[{text}]") } else { text }
    }

    #[test]
    fn hints_know_numbers_and_alternatives() {
        let row = registry().all().iter().find(|command| command.full_name == "georadius");
        let all = arguments(row.expect("a command").row).expect("its notation is right");
        for name in ["longitude", "latitude", "radius"] {
            let argument = all.iter().find(|argument| argument.name == name);
            assert_eq!(argument.map(|argument| argument.kind), Some(Kind::Double), "{name}");
        }
        let last = all.last().expect("several");
        assert_eq!((last.kind, last.optional), (Kind::OneOf, true), "{last:?}");
        assert_eq!(last.arguments.len(), 2, "where to store scores, or distances");
    }

    #[test]
    fn every_row_is_understood() {
        for command in registry().all() {
            let row = command.row;
            match arguments(row) {
                Ok(found) => assert_eq!(render(&found), row.syntax, "{}", command.full_name),
                Err(error) => panic!("{}: {error} in {}", command.full_name, row.syntax),
            }
            assert!(!row.summary.is_empty(), "{} has no summary", command.full_name);
            assert!(row.summary.ends_with('.'), "{}: {}", command.full_name, row.summary);
        }
    }

    fn parse(syntax: &'static str) -> Result<Vec<Argument>, String> {
        let row = registry().top_level().find(|command| command.row.name == "mset");
        let row = Row { syntax, ..*row.expect("MSET exists").row };
        arguments(&row)
    }

    #[test]
    fn tokens_take_what_follows_them() {
        let found = parse("key [AUTH user password] [EX seconds | KEEPTTL] GET").expect("fine");
        assert_eq!((found[0].kind, found[0].key_spec), (Kind::Key, Some(0)));
        let auth = &found[1];
        assert_eq!((auth.kind, auth.token, auth.optional), (Kind::Block, Some("AUTH"), true));
        assert_eq!(joined(&auth.arguments, " "), "user password");
        let expiry = &found[2];
        assert_eq!((expiry.kind, &expiry.name[..]), (Kind::OneOf, "seconds-or-keepttl"));
        assert_eq!(expiry.arguments[0].kind, Kind::Integer);
        assert_eq!(expiry.arguments[1].kind, Kind::PureToken);
        assert_eq!((found[3].kind, found[3].optional), (Kind::PureToken, false));
    }

    #[test]
    fn repetitions_are_told_from_lists() {
        let found = parse("key value [key value ...]").expect("fine");
        assert_eq!((found.len(), found[0].kind, found[0].multiple), (1, Kind::Block, true));
        assert_eq!(found[0].arguments[0].key_spec, Some(0));
        let found = parse("[name ...]").expect("fine");
        assert_eq!(found[0].flags(), ["optional", "multiple"]);
        let found = parse("[PREFIX prefix [PREFIX prefix ...]] [ID id [id ...]]").expect("fine");
        assert_eq!(found[0].flags(), ["optional", "multiple", "multiple_token"]);
        assert_eq!(found[1].flags(), ["optional", "multiple"]);
        let found = parse("<A | B> [...]").expect("fine");
        assert_eq!((found[0].kind, found[0].multiple), (Kind::OneOf, true));
    }

    #[test]
    fn broken_notation_is_refused() {
        for broken in ["[a", "a]", "[a | ]", "<a]", "[]", "[a ... b]", "a | b", "...", "<"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
