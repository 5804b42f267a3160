//! The language of rules: `on`, `>password`, `~pattern`, `+@category`, `(selector)` and so on, as in ACL SETUSER and in
//! files. One rule changes a user or is refused; it never does half of it.

use super::keys::Permission;
use super::selector::Selector;
use super::user::{Digest, User, digest};
use crate::command::registry;
use crate::config::split_bytes;

/// Why a rule is refused. Displays as Redis says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleError {
    Syntax,
    Unknown,
    KeysAlreadyAll,
    ChannelsAlreadyAll,
    NoSuchPassword,
    NoDigest,
    ArgumentOfSubcommand,
}

impl RuleError {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Syntax => "Syntax error",
            Self::Unknown => "Unknown command or category name in ACL",
            Self::KeysAlreadyAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::ChannelsAlreadyAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Self::NoDigest => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::ArgumentOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        }
    }
}

/// Whether a text may be a user's name: it has to stand as one word in a file.
pub(crate) fn is_user_name(name: &[u8]) -> bool {
    !name.iter().any(|byte| is_blank(*byte))
}

/// What parts words, with the zero byte and the vertical tabulator that C counts among it.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0)
}

/// Joins the words of selectors that were written with blanks. An error is the word that opens one that is never closed.
pub(crate) fn join_selectors<'a>(
    words: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let mut rules = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for word in words {
        match &mut open {
            Some((_, rule)) => {
                rule.push(b' ');
                rule.extend_from_slice(word);
                if word.ends_with(b")") {
                    rules.extend(open.take().map(|(_, rule)| rule));
                }
            }
            None if word.starts_with(b"(") && !word.ends_with(b")") => {
                open = Some((word, word.to_vec()));
            }
            None => rules.push(word.to_vec()),
        }
    }
    match open {
        Some((first, _)) => Err(first.to_vec()),
        None => Ok(rules),
    }
}

impl User {
    /// Applies one rule. `all_channels` says what new selectors begin with.
    pub(crate) fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match &rule.to_ascii_lowercase()[..] {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"nopass" => {
                self.no_password = true;
                self.passwords.clear();
            }
            b"resetpass" => {
                self.no_password = false;
                self.passwords.clear();
            }
            b"sanitize-payload" => self.sanitize_payload = true,
            b"skip-sanitize-payload" => self.sanitize_payload = false,
            b"clearselectors" => self.selectors.clear(),
            b"reset" => {
                let new = Self::new(&self.name, all_channels);
                *self = Self { lineage: self.lineage, ..new };
            }
            _ => return self.apply_with_value(rule, all_channels),
        }
        Ok(())
    }

    fn apply_with_value(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match rule {
            [b'>', password @ ..] => self.add_password(digest(password)),
            [b'#', text @ ..] => self.add_password(parse_digest(text)?),
            [b'<', password @ ..] => self.remove_password(digest(password))?,
            [b'!', text @ ..] => self.remove_password(parse_digest(text)?)?,
            [b'(', inner @ .., b')'] => {
                let mut selector = Selector::new(all_channels);
                for word in split_bytes(inner).ok_or(RuleError::Syntax)? {
                    selector.apply(&word)?;
                }
                self.selectors.push(selector);
            }
            _ => self.root.apply(rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, password: Digest) {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, password: Digest) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| *known == password);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }
}

fn parse_digest(text: &[u8]) -> Result<Digest, RuleError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(RuleError::NoDigest),
    };
    let mut parsed = Digest::default();
    if text.len() != parsed.len() * 2 {
        return Err(RuleError::NoDigest);
    }
    for (byte, pair) in parsed.iter_mut().zip(text.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(parsed)
}

impl Selector {
    /// Applies a rule about commands, keys or channels.
    fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match &rule.to_ascii_lowercase()[..] {
            b"allkeys" | b"~*" => self.allow_all_keys(),
            b"resetkeys" => self.reset_keys(),
            b"allchannels" | b"&*" => self.allow_all_channels(),
            b"resetchannels" => self.reset_channels(),
            b"allcommands" | b"+@all" => self.allow_all_commands(true),
            b"nocommands" | b"-@all" => self.allow_all_commands(false),
            _ => match rule {
                [b'~' | b'%', ..] if self.has_all_keys() => return Err(RuleError::KeysAlreadyAll),
                [b'&', ..] if self.has_all_channels() => return Err(RuleError::ChannelsAlreadyAll),
                [b'~', pattern @ ..] => {
                    self.add_keys(as_pattern(pattern)?, Permission::READ | Permission::WRITE);
                }
                [b'%', rest @ ..] => {
                    let (permission, pattern) = parse_permission(rest)?;
                    self.add_keys(as_pattern(pattern)?, permission);
                }
                [b'&', pattern @ ..] => self.add_channels(as_pattern(pattern)?),
                [sign @ (b'+' | b'-'), b'@', category @ ..] => {
                    self.apply_category(category, *sign == b'+')?;
                }
                [b'+', name @ ..] => self.allow(name)?,
                [b'-', name @ ..] => match (registry().find_full(name), absent(name)) {
                    (Some(command), _) => self.allow_command(command, false),
                    (None, Some(name)) => self.note_command(&name, false),
                    (None, None) => return Err(RuleError::Unknown),
                },
                _ => return Err(RuleError::Syntax),
            },
        }
        Ok(())
    }

    fn apply_category(&mut self, category: &[u8], on: bool) -> Result<(), RuleError> {
        let known = |name: &&str| name.as_bytes().eq_ignore_ascii_case(category);
        let mut categories = crate::command::CATEGORIES.iter().copied();
        let category = categories.find(known).ok_or(RuleError::Unknown)?;
        self.allow_category(category, on);
        Ok(())
    }

    /// `+command`, `+command|subcommand`, or `+command|argument` where the command has no subcommands.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        if let Some(command) = registry().find_full(name) {
            self.allow_command(command, true);
            return Ok(());
        }
        if let Some(name) = absent(name) {
            self.note_command(&name, true);
            return Ok(());
        }
        let bar = name.iter().position(|byte| *byte == b'|').ok_or(RuleError::Unknown)?;
        let (parent, argument) = (&name[..bar], &name[bar + 1..]);
        let parent = registry().find_full(parent).ok_or(RuleError::Unknown)?;
        if let Some(second) = argument.iter().position(|byte| *byte == b'|') {
            let is_subcommand = registry().subcommand(parent, &argument[..second]).is_some();
            let refused = RuleError::ArgumentOfSubcommand;
            return Err(if is_subcommand { refused } else { RuleError::Unknown });
        }
        if argument.is_empty() {
            return Err(RuleError::Syntax);
        }
        if !parent.subcommands.is_empty() {
            return Err(RuleError::Unknown);
        }
        if argument.iter().any(|byte| is_blank(*byte)) || str::from_utf8(argument).is_err() {
            // It could not be written to a file and read back.
            return Err(RuleError::Syntax);
        }
        log::warn!(
            "Deprecation warning: Allowing a first arg of an otherwise blocked command is a misuse of ACL and may get \
             disabled in the future (offender: +{})",
            String::from_utf8_lossy(name)
        );
        self.allow_first_argument(parent, argument);
        Ok(())
    }
}

/// Commands of Redis 7 that are not here. Rules may name them, so that files that were made for Redis load: there is
/// nothing to allow or to forbid as long as there is no such command, and the rule is kept for when there is.
const ABSENT: &[&str] = &[
    "asking",
    "cluster",
    "eval",
    "eval_ro",
    "evalsha",
    "evalsha_ro",
    "failover",
    "fcall",
    "fcall_ro",
    "function",
    "migrate",
    "module",
    "psync",
    "readonly",
    "readwrite",
    "replconf",
    "replicaof",
    "restore-asking",
    "role",
    "script",
    "slaveof",
    "sync",
    "wait",
];

/// The name of such a command, with its subcommand if there is one.
fn absent(name: &[u8]) -> Option<String> {
    let name = str::from_utf8(name).ok()?.to_ascii_lowercase();
    let (command, subcommand) = name.split_once('|').unwrap_or((&name, "help"));
    let is_word = subcommand.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let known = is_word && !subcommand.is_empty() && ABSENT.contains(&command);
    (known && registry().find_full(command.as_bytes()).is_none()).then_some(name)
}

/// What stands between `%` and `~`, and the pattern behind. As in Redis, an empty pattern needs no `~`.
fn parse_permission(rest: &[u8]) -> Result<(Permission, &[u8]), RuleError> {
    let mut permission = Permission::empty();
    for (i, byte) in rest.iter().enumerate() {
        let more = match byte {
            b'R' | b'r' => Permission::READ,
            b'W' | b'w' => Permission::WRITE,
            b'~' if !permission.is_empty() => return Ok((permission, &rest[i + 1..])),
            _ => return Err(RuleError::Syntax),
        };
        if permission.contains(more) {
            return Err(RuleError::Syntax);
        }
        permission |= more;
    }
    if permission.is_empty() { Err(RuleError::Syntax) } else { Ok((permission, b"")) }
}

/// A pattern has to stand as one word in a file.
fn as_pattern(pattern: &[u8]) -> Result<&[u8], RuleError> {
    if pattern.iter().any(|byte| is_blank(*byte)) { Err(RuleError::Syntax) } else { Ok(pattern) }
}
