//! A selector: commands, keys and channels that go together. A user may do what one of its selectors allows in full.
//!
//! What a selector says of commands is kept twice: as a set of command numbers, which is what checks look at, and as the
//! rules that made it, in their order, which is what users are shown and what files keep. The invariant: applying the rules
//! to a new selector gives the set.

use respire_datatypes::glob;
use respire_resp::Args;

use crate::acl::keys::{Permission, keys_of_call};
use crate::command::{Channels, Command, Flags, registry};

/// What is missing, the lesser first: where several selectors refuse, users are told of the one that got furthest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    Command,
    Key,
    Channel,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    pub missing: Missing,
    /// The argument that it is about; 0 for the command itself.
    pub position: usize,
}

/// A set of commands and subcommands, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CommandSet(Box<[u64]>);

impl CommandSet {
    fn of_none() -> Self {
        Self(vec![0; registry().all().len().div_ceil(64)].into())
    }

    fn fill(&mut self, on: bool) {
        self.0.fill(if on { u64::MAX } else { 0 });
    }

    fn set(&mut self, id: u16, on: bool) {
        let (word, bit) = (usize::from(id) / 64, 1 << (id % 64));
        if on {
            self.0[word] |= bit;
        } else {
            self.0[word] &= !bit;
        }
    }

    fn contains(&self, id: u16) -> bool {
        self.0[usize::from(id) / 64] >> (id % 64) & 1 == 1
    }
}

/// A key pattern, with what may be done to the keys that match.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyPattern {
    pattern: Box<[u8]>,
    permission: Permission,
}

/// A command that is allowed with one first argument only, which Redis has deprecated.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FirstArgument {
    id: u16,
    argument: Box<[u8]>,
}

/// One selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The rules begin with `+@all`, and with `-@all` otherwise.
    from_all: bool,
    /// The rules behind that, with their signs, no two about the same.
    rules: Vec<(bool, String)>,
    commands: CommandSet,
    first_arguments: Vec<FirstArgument>,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Box<[u8]>>,
}

impl Selector {
    /// A selector that allows nothing, but perhaps all channels.
    pub(super) fn new(all_channels: bool) -> Self {
        Self {
            from_all: false,
            rules: Vec::new(),
            commands: CommandSet::of_none(),
            first_arguments: Vec::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
        }
    }

    /// Whether it allows everything, so that nothing need be checked.
    pub(super) fn is_unrestricted(&self) -> bool {
        self.from_all && self.rules.is_empty() && self.all_keys && self.all_channels
    }

    pub(super) fn allow_all_commands(&mut self, on: bool) {
        self.from_all = on;
        self.rules.clear();
        self.commands.fill(on);
        self.first_arguments.clear();
    }

    /// Allows or forbids a command with its subcommands.
    pub(super) fn allow_command(&mut self, command: &Command, on: bool) {
        self.set(command, on);
        self.note_command(command.full_name, on);
    }

    /// Keeps a rule about a command, in place of what was said before about it or its subcommands.
    pub(super) fn note_command(&mut self, name: &str, on: bool) {
        let is_about = |rule: &str| {
            rule.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        };
        self.rules.retain(|(_, rule)| !is_about(rule));
        self.rules.push((on, name.to_owned()));
    }

    fn set(&mut self, command: &Command, on: bool) {
        self.commands.set(command.id, on);
        self.first_arguments.retain(|first| first.id != command.id);
        command.subcommands.iter().for_each(|id| self.commands.set(*id, on));
    }

    /// Allows or forbids the commands of a category, named in lower case.
    pub(super) fn allow_category(&mut self, category: &str, on: bool) {
        for command in registry().all() {
            if command.row.categories().any(|of| of == category) {
                self.set(command, on);
            }
        }
        self.add_rule(on, format!("@{category}"));
    }

    /// Allows a command with this first argument.
    pub(super) fn allow_first_argument(&mut self, command: &Command, argument: &[u8]) {
        let known = |first: &FirstArgument| {
            first.id == command.id && first.argument.eq_ignore_ascii_case(argument)
        };
        if !self.first_arguments.iter().any(known) {
            self.first_arguments.push(FirstArgument { id: command.id, argument: argument.into() });
            self.add_rule(
                true,
                format!("{}|{}", command.full_name, String::from_utf8_lossy(argument)),
            );
        }
    }

    fn add_rule(&mut self, on: bool, rule: String) {
        self.rules.retain(|(_, known)| *known != rule);
        self.rules.push((on, rule));
    }

    pub(super) fn allow_all_keys(&mut self) {
        self.keys.clear();
        self.all_keys = true;
    }

    pub(super) fn reset_keys(&mut self) {
        self.keys.clear();
        self.all_keys = false;
    }

    /// A pattern that is known already gets the permission as well. Every key for both is all keys.
    pub(super) fn add_keys(&mut self, pattern: &[u8], permission: Permission) {
        match self.keys.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => known.permission |= permission,
            None => self.keys.push(KeyPattern { pattern: pattern.into(), permission }),
        }
        if self.keys.iter().any(|keys| *keys.pattern == *b"*" && keys.permission.is_all()) {
            self.allow_all_keys();
        }
    }

    pub(super) fn allow_all_channels(&mut self) {
        self.channels.clear();
        self.all_channels = true;
    }

    pub(super) fn reset_channels(&mut self) {
        self.channels.clear();
        self.all_channels = false;
    }

    pub(super) fn add_channels(&mut self, pattern: &[u8]) {
        if !self.channels.iter().any(|known| **known == *pattern) {
            self.channels.push(pattern.into());
        }
    }

    /// Whether all keys are allowed, for everything: a pattern would add nothing.
    pub(super) fn has_all_keys(&self) -> bool {
        self.all_keys
    }

    pub(super) fn has_all_channels(&self) -> bool {
        self.all_channels
    }

    /// Whether it allows the call, whose number of arguments fits the command.
    pub(super) fn check(&self, command: &Command, args: &Args<'_>) -> Result<(), Denial> {
        if !self.allows_command(command, args) {
            return Err(Denial { missing: Missing::Command, position: 0 });
        }
        if !self.all_keys {
            for (position, permission) in keys_of_call(command.row, args) {
                if !self.allows_key(args.get(position), permission) {
                    return Err(Denial { missing: Missing::Key, position });
                }
            }
        }
        if !self.all_channels {
            let (positions, is_pattern) = match command.row.channels {
                Channels::None => return Ok(()),
                Channels::First => (1..2, false),
                Channels::All => (1..args.len(), false),
                Channels::Patterns => (1..args.len(), true),
            };
            for position in positions {
                if !self.allows_channel(args.get(position), is_pattern) {
                    return Err(Denial { missing: Missing::Channel, position });
                }
            }
        }
        Ok(())
    }

    fn allows_command(&self, command: &Command, args: &Args<'_>) -> bool {
        self.commands.contains(command.id)
            || command.row.has(Flags::NO_AUTH)
            || self.first_arguments.iter().any(|first| {
                let given = args.try_get(1);
                first.id == command.id
                    && given.is_some_and(|given| first.argument.eq_ignore_ascii_case(given))
            })
    }

    /// Whether it allows the command with every key there can be, to be read.
    pub(super) fn reads_everything_with(&self, command: &Command, args: &Args<'_>) -> bool {
        let matches_all = |keys: &KeyPattern| {
            *keys.pattern == *b"*" && keys.permission.contains(Permission::READ)
        };
        self.allows_command(command, args) && (self.all_keys || self.keys.iter().any(matches_all))
    }

    fn allows_key(&self, key: &[u8], permission: Permission) -> bool {
        self.keys.iter().any(|keys| {
            keys.permission.contains(permission) && glob::matches(&keys.pattern, key, false)
        })
    }

    /// A pattern is allowed only if it is one of those that were named: what it matches can't be told.
    pub(super) fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|pattern| {
                if is_pattern {
                    **pattern == *channel
                } else {
                    glob::matches(pattern, channel, false)
                }
            })
    }

    /// The rules about commands, as users write them.
    pub(crate) fn describe_commands(&self) -> String {
        let mut text = String::from(if self.from_all { "+@all" } else { "-@all" });
        for (on, rule) in &self.rules {
            text.push_str(if *on { " +" } else { " -" });
            text.push_str(rule);
        }
        text
    }

    /// The key patterns, as users write them.
    pub(crate) fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let patterns = self.keys.iter().map(|keys| {
            let sign: &[u8] = match keys.permission {
                Permission::READ => b"%R~",
                Permission::WRITE => b"%W~",
                _ => b"~",
            };
            [sign, &keys.pattern].concat()
        });
        patterns.collect::<Vec<_>>().join(&b' ')
    }

    /// The channel patterns, as users write them.
    pub(crate) fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let patterns = self.channels.iter().map(|pattern| [b"&", &**pattern].concat());
        patterns.collect::<Vec<_>>().join(&b' ')
    }

    /// All of it, as it is written in a file.
    pub(super) fn describe(&self) -> Vec<u8> {
        let mut words = vec![self.describe_keys(), self.describe_channels()];
        if !self.all_channels {
            words.insert(1, b"resetchannels".to_vec());
        }
        words.push(self.describe_commands().into_bytes());
        words.retain(|word| !word.is_empty());
        words.join(&b' ')
    }
}
