//! What a directive is: one static row with its name, what becomes of it, and how its value is read and written.

use super::kind::{Kind, Value, WRONG_NUMBER, print_memory};
use super::settings::Settings;
use super::{acting, kept};

/// What setting a directive does in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It acts.
    Acting,
    /// Kept and reported for a capability that is to come; has no effect yet.
    Remembered,
    /// Kept and reported, but about something that doesn't exist here.
    Meaningless,
    /// Would change what the server promises to its users. At these values, in canonical form, it promises
    /// nothing; any other is reported loudly at start and refused at run time.
    Promise { neutral: &'static [&'static str] },
}

/// Where a value comes from decides whether lines add up (a file) or replace each other (CONFIG SET).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    File,
    Runtime,
}

pub(super) enum Store {
    /// A typed field of the settings.
    Field { kind: Kind, read: fn(&Settings) -> Value, write: fn(&mut Settings, &Value) },
    /// A typed field with a syntax of its own.
    Special {
        read: fn(&Settings) -> String,
        write: fn(&mut Settings, &[&str], Origin) -> Result<(), String>,
    },
    /// A text beside the fields.
    Kept { kind: Kind, default: &'static str },
    /// A text beside the fields with a syntax of its own: `read` turns the arguments, and what lines before
    /// said, into the canonical text.
    KeptSpecial { default: &'static str, read: fn(Option<&str>, &[&str]) -> Result<String, String> },
}

/// A row of the directive table.
pub struct Directive {
    /// The name that is current in Redis 7.
    pub name: &'static str,
    /// The name that older configurations use.
    pub alias: Option<&'static str>,
    pub effect: Effect,
    /// Can't be changed by CONFIG SET.
    pub immutable: bool,
    /// Its value must not appear in logs.
    pub sensitive: bool,
    /// Answered only to its exact name, not to patterns.
    pub hidden: bool,
    /// Changed by CONFIG SET only as far as `enable-protected-configs` allows.
    pub protected: bool,
    /// Known in files and arguments, but not to CONFIG GET and SET.
    pub file_only: bool,
    /// Takes a list: several arguments, or one argument with blanks.
    pub list: bool,
    /// Stands for what lies in a file: setting it to what it is reads the file again.
    pub names_file: bool,
    pub(super) store: Store,
}

impl Directive {
    pub(super) const fn new(name: &'static str, effect: Effect, store: Store) -> Self {
        Self {
            name,
            alias: None,
            effect,
            immutable: false,
            sensitive: false,
            hidden: false,
            protected: false,
            file_only: false,
            list: false,
            names_file: false,
            store,
        }
    }

    pub(super) const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    pub(super) const fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }

    pub(super) const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(super) const fn protected(mut self) -> Self {
        self.protected = true;
        self
    }

    pub(super) const fn file_only(mut self) -> Self {
        self.file_only = true;
        self
    }

    pub(super) const fn list(mut self) -> Self {
        self.list = true;
        self
    }

    pub(super) const fn names_file(mut self) -> Self {
        self.names_file = true;
        self
    }

    /// The value as CONFIG GET answers it.
    pub fn get(&self, settings: &Settings) -> String {
        match &self.store {
            Store::Field { kind, read, .. } => kind.print(&read(settings)),
            Store::Special { read, .. } => read(settings),
            Store::Kept { default, .. } | Store::KeptSpecial { default, .. } => {
                settings.kept.get(self.name).map_or_else(|| (*default).to_owned(), Clone::clone)
            }
        }
    }

    /// The value as CONFIG REWRITE writes it: memory in the largest unit that divides it.
    pub(super) fn get_for_file(&self, settings: &Settings) -> String {
        let text = self.get(settings);
        match &self.store {
            Store::Field { kind: Kind::Memory { .. } | Kind::MemoryOrPercent, .. }
            | Store::Kept { kind: Kind::Memory { .. }, .. } => {
                text.parse().map_or(text, print_memory)
            }
            _ => text,
        }
    }

    /// Sets the value from arguments; the settings are unchanged on error, which is the reason for users.
    pub(super) fn set(
        &self,
        settings: &mut Settings,
        args: &[&str],
        origin: Origin,
    ) -> Result<(), String> {
        let words: Vec<&str>;
        let args: &[&str] = match args {
            [] if !self.list => return Err(WRONG_NUMBER.into()),
            // One argument with blanks is a list too; as in Redis, each blank parts two words.
            [""] if self.list => &[],
            [text] if self.list => {
                words = text.split(' ').collect();
                &words
            }
            _ => args,
        };
        match &self.store {
            Store::Field { kind, write, .. } => write(settings, &kind.parse(single(args)?)?),
            Store::Special { write, .. } => write(settings, args, origin)?,
            Store::Kept { kind, .. } => {
                let value = kind.parse(single(args)?);
                let text = kind.print(&value.map_err(|reason| self.name_in(*kind, reason))?);
                settings.kept.insert(self.name, text);
            }
            Store::KeptSpecial { read, .. } => {
                let before = settings.kept.get(self.name).map(String::as_str);
                let before = before.filter(|_| origin == Origin::File);
                let text = read(before, args)?;
                settings.kept.insert(self.name, text);
            }
        }
        settings.explicit.insert(self.name);
        Ok(())
    }

    /// Refusals of file names speak of the directive, not of its argument.
    fn name_in(&self, kind: Kind, reason: String) -> String {
        match (kind, reason.strip_prefix("argument")) {
            (Kind::FileName { .. }, Some(rest)) => format!("{}{rest}", self.name),
            _ => reason,
        }
    }

    /// Whether the present value promises something that this version doesn't keep.
    pub fn is_broken_promise(&self, settings: &Settings) -> bool {
        match self.effect {
            Effect::Promise { neutral } => !neutral.contains(&self.get(settings).as_str()),
            _ => false,
        }
    }

    pub(super) fn answers_to(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
            || self.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(name))
    }
}

fn single<'a>(args: &[&'a str]) -> Result<&'a str, String> {
    match args {
        [text] => Ok(text),
        _ => Err(WRONG_NUMBER.into()),
    }
}

/// Every directive, in the order of CONFIG GET.
pub fn directives() -> impl Iterator<Item = &'static Directive> {
    acting::ROWS.iter().chain(kept::ROWS)
}

/// The directive of this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Directive> {
    directives().find(|row| row.answers_to(name))
}

/// Directives with no effect that were set all the same, for the server to name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotActing {
    /// Set by the user; a later version will act on them.
    pub not_yet: Vec<&'static str>,
    /// Set by the user; about something that doesn't exist here.
    pub meaningless: Vec<&'static str>,
    /// Their values promise what this version doesn't keep: worth a loud warning.
    pub promises: Vec<&'static str>,
}

/// What `settings` holds that has no effect.
pub fn not_acting(settings: &Settings) -> NotActing {
    let mut found = NotActing::default();
    for row in directives() {
        let explicit = settings.explicit.contains(row.name);
        match row.effect {
            Effect::Remembered if explicit => found.not_yet.push(row.name),
            Effect::Meaningless if explicit => found.meaningless.push(row.name),
            Effect::Promise { .. } if row.is_broken_promise(settings) => {
                found.promises.push(row.name);
            }
            _ => {}
        }
    }
    found
}
