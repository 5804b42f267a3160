//! All commands, found by name.

use std::sync::LazyLock;

use respire_keyspace::Mode;
use respire_resp::Args;

use super::{Channels, Flags, KeySpec, Lock, Place, Row};

/// A row with what the registry knows about it.
#[derive(Debug)]
pub struct Command {
    pub row: &'static Row,
    /// Its number: commands and subcommands are counted through, for statistics.
    pub id: u16,
    /// `client|kill` for a subcommand.
    pub full_name: &'static str,
    /// The numbers of its subcommands.
    pub subcommands: Vec<u16>,
    pub parent: Option<u16>,
    /// Takes so little time that measuring it would take as much: it shares the time of its batch.
    pub quick: bool,
    /// The position of its only key, if it is a plain command: see `plain.rs`.
    pub plain: Option<u8>,
    /// May be executed in a row with others: see `rows.rs`.
    pub(crate) simple: Option<Simple>,
    /// The least and the greatest number of arguments, name included.
    least: u32,
    greatest: u32,
    /// How its shards are held.
    pub mode: Mode,
    /// Works on a collection, which can be loaded ahead.
    pub of_collections: bool,
}

impl Command {
    /// Whether a request with `count` arguments, name included, is of the right length.
    #[inline]
    pub fn takes(&self, count: usize) -> bool {
        (self.least as usize..=self.greatest as usize).contains(&count)
    }
}

/// A command that is executed in rows, in its shortest form: see `rows.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Simple {
    Get,
    Set,
    Incr,
}

impl Simple {
    fn named(full_name: &str) -> Option<Self> {
        match full_name {
            "get" => Some(Self::Get),
            "set" => Some(Self::Set),
            "incr" => Some(Self::Incr),
            _ => None,
        }
    }

    /// Whether a request with `count` arguments, name included, has this form.
    #[inline]
    pub(crate) fn takes(self, count: usize) -> bool {
        count == if self == Self::Set { 3 } else { 2 }
    }
}

/// The position of the only key of a command that does nothing but read or write the value at that key.
fn plain_key(row: &Row) -> Option<u8> {
    let other = Flags::all()
        .difference(Flags::READONLY.union(Flags::WRITE).union(Flags::DENYOOM).union(Flags::FAST));
    let [KeySpec { place: Place::Range { first, last, step: 1 }, .. }] = row.keys else {
        return None;
    };
    let plain = !row.flags.intersects(other)
        && row.lock == Lock::Keys
        && row.channels == Channels::None
        && row.subcommands.is_empty()
        && *last == *first as i32
        && row.takes_key_at(*first as usize);
    plain.then_some(*first as u8)
}

/// The table of commands.
#[derive(Debug)]
pub struct Registry {
    commands: Vec<Command>,
    /// Open addressing by a hash of the name; 0 is empty, else the number plus one.
    slots: Vec<u16>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::build);

/// The table of all commands.
#[inline]
pub fn registry() -> &'static Registry {
    &REGISTRY
}

/// Finds a command by its name, in any case.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    registry().find(name)
}

/// A hash that does not tell upper from lower case.
#[inline]
fn name_hash(name: &[u8]) -> usize {
    name.iter().fold(name.len(), |h, b| h.wrapping_mul(31).wrapping_add(usize::from(b | 0x20)))
}

impl Registry {
    fn build() -> Self {
        let mut this = Self { commands: Vec::new(), slots: vec![0; 2048] };
        for group in crate::commands::GROUPS {
            for row in *group {
                let id = this.add(row, None, row.name);
                let subs = row.subcommands.iter().map(|sub| {
                    let name = format!("{}|{}", row.name, sub.name);
                    this.add(sub, Some(id), Box::leak(name.into_boxed_str()))
                });
                let subs = subs.collect();
                this.commands[usize::from(id)].subcommands = subs;
            }
        }
        this
    }

    fn add(&mut self, row: &'static Row, parent: Option<u16>, full_name: &'static str) -> u16 {
        let id = self.commands.len() as u16;
        let quick = row.has(Flags::FAST) || row.complexity.starts_with("O(1)");
        self.commands.push(Command {
            row,
            id,
            full_name,
            subcommands: Vec::new(),
            parent,
            quick,
            plain: plain_key(row).filter(|_| parent.is_none()),
            simple: Simple::named(full_name),
            least: row.arity.unsigned_abs(),
            greatest: u32::try_from(row.arity).unwrap_or(u32::MAX),
            mode: row.mode(),
            of_collections: row.group.is_of_collections(),
        });
        if parent.is_none() {
            assert!(self.find(row.name.as_bytes()).is_none(), "two rows for {}", row.name);
            let mask = self.slots.len() - 1;
            let mut at = name_hash(row.name.as_bytes()) & mask;
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = id + 1;
        }
        id
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<&Command> {
        let mask = self.slots.len() - 1;
        let mut at = name_hash(name) & mask;
        loop {
            let id = self.slots[at].checked_sub(1)?;
            let command = &self.commands[usize::from(id)];
            if command.row.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(command);
            }
            at = (at + 1) & mask;
        }
    }

    /// A subcommand of `parent`, by its name in any case.
    pub fn subcommand(&self, parent: &Command, name: &[u8]) -> Option<&Command> {
        let mut subs = parent.subcommands.iter().map(|id| &self.commands[usize::from(*id)]);
        subs.find(|sub| sub.row.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The command that `args` call, or the subcommand; None if either does not exist.
    pub fn called(&self, args: &Args<'_>) -> Option<&Command> {
        let command = self.find(args.get(0))?;
        match args.try_get(1) {
            Some(name) if !command.subcommands.is_empty() => self.subcommand(command, name),
            _ => Some(command),
        }
    }

    /// Finds `get` as well as `client|kill`.
    pub fn find_full(&self, name: &[u8]) -> Option<&Command> {
        match name.iter().position(|b| *b == b'|') {
            None => self.find(name),
            Some(at) => self.subcommand(self.find(&name[..at])?, &name[at + 1..]),
        }
    }

    pub fn get(&self, id: u16) -> &Command {
        &self.commands[usize::from(id)]
    }

    /// All commands and subcommands, in the order of their numbers.
    pub fn all(&self) -> &[Command] {
        &self.commands
    }

    /// The commands without the subcommands.
    pub fn top_level(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter().filter(|command| command.parent.is_none())
    }
}
