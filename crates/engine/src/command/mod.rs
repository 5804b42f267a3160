//! A command's row: everything that is known of a command but how it is done. COMMAND and its docs, access control,
//! locking, transactions and statistics are all derived from it, so that adding a command is one edit in one file.

mod category;
pub(crate) mod docs;
mod registry;
mod renames;

use bitflags::bitflags;
use respire_datatypes::integer::parse_i64;
use respire_keyspace::Mode;
use respire_resp::Args;

use crate::ctx::Ctx;
use crate::error::Outcome;

pub(crate) use category::CATEGORIES;
pub(crate) use registry::Simple;
pub use registry::{Command, lookup, registry};
pub use renames::Renames;

bitflags! {
    /// Properties of a command, with the names that COMMAND INFO gives them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Flags: u32 {
        const WRITE = 1;
        const READONLY = 1 << 1;
        const DENYOOM = 1 << 2;
        const ADMIN = 1 << 3;
        const PUBSUB = 1 << 4;
        const NOSCRIPT = 1 << 5;
        const BLOCKING = 1 << 6;
        const LOADING = 1 << 7;
        const STALE = 1 << 8;
        const SKIP_MONITOR = 1 << 9;
        const SKIP_SLOWLOG = 1 << 10;
        const ASKING = 1 << 11;
        const FAST = 1 << 12;
        const NO_AUTH = 1 << 13;
        const MAY_REPLICATE = 1 << 14;
        const SENTINEL = 1 << 15;
        const NO_MULTI = 1 << 16;
        const ALLOW_BUSY = 1 << 17;
        /// Ours: needs `enable-debug-command`, or `enable-module-command`.
        const PROTECTED = 1 << 18;
        /// Ours: belongs to the category `@dangerous` without being an administrator's command.
        const DANGEROUS = 1 << 19;
        /// Ours: acts at once even where a transaction is being queued.
        const NOT_QUEUED = 1 << 21;
        /// Allowed to clients of RESP2 that listen to channels.
        const WHILE_LISTENING = 1 << 22;
        const MOVABLE_KEYS = 1 << 20;
        const NO_ASYNC_LOADING = 1 << 23;
        const NO_MANDATORY_KEYS = 1 << 24;
    }
}

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    String,
    Generic,
    /// Generic, but in the categories of the data that it works on and not in `@keyspace`.
    GenericData,
    Connection,
    Server,
    Transactions,
    List,
    Set,
    Hash,
    SortedSet,
    Stream,
    Geo,
    Bitmap,
    Hyperloglog,
    Pubsub,
    Scripting,
    Cluster,
}

impl Group {
    /// Whether the commands work on collections.
    #[inline]
    pub fn is_of_collections(self) -> bool {
        use Group::{Geo, Hash, List, Set, SortedSet, Stream};
        matches!(self, Geo | Hash | List | Set | SortedSet | Stream)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Generic | Self::GenericData => "generic",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Transactions => "transactions",
            Self::List => "list",
            Self::Set => "set",
            Self::Hash => "hash",
            Self::SortedSet => "sorted-set",
            Self::Stream => "stream",
            Self::Geo => "geo",
            Self::Bitmap => "bitmap",
            Self::Hyperloglog => "hyperloglog",
            Self::Pubsub => "pubsub",
            Self::Scripting => "scripting",
            Self::Cluster => "cluster",
        }
    }
}

/// Where a command's keys are and what it does to them, as in COMMAND INFO's key specifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    pub place: Place,
    /// Flags of the specification, in Redis's words, separated by blanks: `RO access`, `RW access update` and so on.
    pub flags: &'static str,
    /// Why the flags are what they are, where they surprise; else empty.
    pub notes: &'static str,
}

/// Where a command's channels are among the arguments, as far as access to them is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    None,
    /// The first argument.
    First,
    /// All arguments.
    All,
    /// All arguments, and they are patterns.
    Patterns,
}

/// Where keys are among the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From position `first` to `last` (negative counts from the end), every `step`.
    Range { first: u32, last: i32, step: u32 },
    /// Behind their number, which is at this position.
    Counted { number: u32 },
    /// One, behind a word that is at `from` or later. If the word comes again, the last one counts.
    Behind { word: &'static str, from: u32 },
    /// The first half of all that is behind a word, which comes after options as those of XREAD; clients that look for
    /// the word are told to start at `from`.
    HalfBehind { word: &'static str, from: u32 },
    /// Only the data tell. The command's lock must be one that covers them.
    Unknown,
}

/// How a command holds the keyspace while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// The shards of its keys, for writing if it is flagged so; nothing if it has no keys.
    Keys,
    /// As [`Self::Keys`], but all shards, in the same way, if the row's `reaches_out` says that the arguments name
    /// keys that only the data tell.
    KeysOrAll,
    /// The shards of its keys, for writing, though it changes no key.
    KeysExclusive,
    /// As [`Self::KeysExclusive`] if the row's `reaches_out` says that the arguments may make the client wait; else as
    /// [`Self::Keys`].
    KeysToWait,
    /// One shard after the other; all of them inside a transaction.
    Walk,
    /// All shards, for writing.
    All,
    /// All shards, for reading: what is counted is true of one moment.
    AllShared,
    /// What the queued commands need. Only EXEC.
    Exec,
    /// What the script is known to need. Only commands that run one.
    Script,
}

/// A handler: writes its reply, or returns the error to be written.
pub type Handler = fn(&mut Ctx<'_, '_>) -> Outcome;

/// One command, or one subcommand.
#[derive(Debug)]
pub struct Row {
    /// Lower case; of a subcommand, its own name only.
    pub name: &'static str,
    /// As in Redis: the exact number of arguments, name included, or the negated minimum.
    pub arity: i32,
    pub handler: Handler,
    pub flags: Flags,
    pub keys: &'static [KeySpec],
    pub channels: Channels,
    pub lock: Lock,
    /// Whether a command with [`Lock::KeysOrAll`] needs all shards, or one with [`Lock::KeysToWait`] may wait.
    pub reaches_out: fn(&Args<'_>) -> bool,
    pub group: Group,
    /// The version of Redis that introduced it; `respire` for what only we have.
    pub since: &'static str,
    pub complexity: &'static str,
    /// One sentence, our own words.
    pub summary: &'static str,
    /// The arguments as in `key value [NX | XX] [EX seconds | PX milliseconds]`; see `command::docs`.
    pub syntax: &'static str,
    pub subcommands: &'static [Row],
    /// Whether argument `i` must not be shown in the slow log or to monitors: a password, say.
    pub secret: fn(&Args<'_>, i: usize) -> bool,
    /// Categories that follow neither from the flags nor from the group.
    pub extra_categories: &'static [&'static str],
    /// Hints for clients that COMMAND INFO gives, in Redis's words.
    pub tips: &'static [&'static str],
    /// The argument that is looked up among the elements of the first key, so that it can be loaded ahead; 0 is none.
    pub element: u8,
}

/// What is shown in place of a secret argument.
pub(crate) const REDACTED: &[u8] = b"(redacted)";

fn nothing_secret(_: &Args<'_>, _: usize) -> bool {
    false
}

impl Row {
    /// A row with nothing but a name, an arity and a handler; the rest is added by the methods below.
    pub const fn new(name: &'static str, arity: i32, handler: Handler) -> Self {
        Self {
            name,
            arity,
            handler,
            flags: Flags::empty(),
            keys: &[],
            channels: Channels::None,
            lock: Lock::Keys,
            reaches_out: |_| false,
            group: Group::Generic,
            since: "1.0.0",
            complexity: "O(1)",
            summary: "",
            syntax: "",
            subcommands: &[],
            secret: nothing_secret,
            extra_categories: &[],
            tips: &[],
            element: 0,
        }
    }

    /// A command that has only subcommands.
    pub const fn container(name: &'static str, subcommands: &'static [Row]) -> Self {
        Self::new(name, -2, crate::dispatch::unreachable_container).subcommands(subcommands)
    }

    /// Subcommands of a command that may also stand alone.
    pub const fn subcommands(mut self, subcommands: &'static [Row]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// For rows whose `docs` say another version, as that of a whole table.
    pub const fn since(mut self, since: &'static str) -> Self {
        self.since = since;
        self
    }

    pub const fn secret(mut self, secret: fn(&Args<'_>, usize) -> bool) -> Self {
        self.secret = secret;
        self
    }

    pub const fn extra_categories(mut self, categories: &'static [&'static str]) -> Self {
        self.extra_categories = categories;
        self
    }

    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub const fn element(mut self, position: u8) -> Self {
        self.element = position;
        self
    }

    pub const fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self
    }

    pub const fn channels(mut self, channels: Channels) -> Self {
        self.channels = channels;
        self
    }

    pub const fn lock(mut self, lock: Lock) -> Self {
        self.lock = lock;
        self
    }

    /// A command with [`Lock::KeysOrAll`].
    pub const fn reaches_out(mut self, reaches_out: fn(&Args<'_>) -> bool) -> Self {
        self.lock = Lock::KeysOrAll;
        self.reaches_out = reaches_out;
        self
    }

    /// A command with [`Lock::KeysToWait`].
    pub const fn waits(mut self, waits: fn(&Args<'_>) -> bool) -> Self {
        self.lock = Lock::KeysToWait;
        self.reaches_out = waits;
        self
    }

    /// How a call with these arguments holds the keyspace.
    #[inline]
    pub(crate) fn lock_for(&self, args: &Args<'_>) -> Lock {
        match self.lock {
            Lock::KeysOrAll if !(self.reaches_out)(args) => Lock::Keys,
            Lock::KeysOrAll if self.has(Flags::WRITE) => Lock::All,
            Lock::KeysOrAll => Lock::AllShared,
            Lock::KeysToWait if (self.reaches_out)(args) => Lock::KeysExclusive,
            Lock::KeysToWait => Lock::Keys,
            lock => lock,
        }
    }

    pub const fn docs(
        mut self,
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
        syntax: &'static str,
    ) -> Self {
        self.group = group;
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self.syntax = syntax;
        self
    }

    /// Whether every request of the right length has an argument at `position`.
    pub(crate) fn takes_key_at(&self, position: usize) -> bool {
        (self.arity.unsigned_abs() as usize) > position
    }

    /// How the shards of its keys are held, if nothing more is needed.
    pub(crate) fn mode(&self) -> Mode {
        if self.has(Flags::WRITE) { Mode::Write } else { Mode::Read }
    }

    #[inline]
    pub fn has(&self, flag: Flags) -> bool {
        self.flags.contains(flag)
    }
}

impl KeySpec {
    /// One key at `position`.
    pub const fn one(position: u32, flags: &'static str) -> Self {
        Self::range(position, position as i32, 1, flags)
    }

    /// Keys from `first` to the last argument, every `step`.
    pub const fn rest(first: u32, step: u32, flags: &'static str) -> Self {
        Self::range(first, -1, step, flags)
    }

    /// Keys from `first` to `last`, every `step`.
    pub const fn range(first: u32, last: i32, step: u32, flags: &'static str) -> Self {
        Self::at(Place::Range { first, last, step }, flags)
    }

    /// Keys behind their number, which is at `position`.
    pub const fn counted(position: u32, flags: &'static str) -> Self {
        Self::at(Place::Counted { number: position }, flags)
    }

    /// Keys anywhere.
    pub const fn at(place: Place, flags: &'static str) -> Self {
        Self { place, flags, notes: "" }
    }

    /// The same with a reason for its flags.
    pub const fn notes(self, notes: &'static str) -> Self {
        Self { notes, ..self }
    }

    /// Whether the keys follow each other from a position on that is the same in every call, and how far apart.
    #[inline]
    pub(crate) fn fixed_start(&self) -> Option<(usize, usize)> {
        match self.place {
            Place::Range { first, step, .. } => Some((first as usize, step as usize)),
            Place::Counted { number } => Some((number as usize + 1, 1)),
            Place::Behind { .. } | Place::HalfBehind { .. } | Place::Unknown => None,
        }
    }

    /// The position of the key, if there is always just one, and in one place.
    #[inline]
    pub(crate) fn only(&self) -> Option<usize> {
        match self.place {
            Place::Range { first, last, .. } if i64::from(first) == i64::from(last) => {
                Some(first as usize)
            }
            _ => None,
        }
    }

    /// The positions of the keys among `args`. None where the arguments make no sense.
    #[inline]
    pub fn positions(&self, args: &Args<'_>) -> impl Iterator<Item = usize> + use<> {
        let (first, last, step) = match self.place {
            Place::Range { first, last, step } => {
                let last = if last < 0 { args.len() as i64 + i64::from(last) } else { last.into() };
                (first.into(), last.min(args.len() as i64 - 1), step as usize)
            }
            Place::Counted { number } => counted(args, number as usize),
            Place::Behind { word, from } => {
                let mut starts = words(args, word, from).rev();
                starts.next().map_or((1, 0, 1), |at| (at as i64 + 1, at as i64 + 1, 1))
            }
            Place::HalfBehind { word, .. } => {
                let half = |at: usize| (args.len() - 1 - at) / 2;
                let found = behind_options(args, word);
                found.map_or((1, 0, 1), |at| (at as i64 + 1, (at + half(at)) as i64, 1))
            }
            Place::Unknown => (1, 0, 1),
        };
        (first..=last).step_by(step).map(|i| i as usize)
    }
}

/// First and last position and step of keys that follow their number, which is at `at`.
fn counted(args: &Args<'_>, at: usize) -> (i64, i64, usize) {
    let number = args.try_get(at).and_then(parse_i64).unwrap_or(0);
    let first = at as i64 + 1;
    if number <= args.len() as i64 - first { (first, at as i64 + number, 1) } else { (1, 0, 1) }
}

/// The position of a word behind options of XREAD and XREADGROUP: it may also be an option's value.
fn behind_options(args: &Args<'_>, word: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        let option = args.try_get(at)?;
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        at += match () {
            () if is(word) => return Some(at),
            () if is("COUNT") || is("BLOCK") => 2,
            () if is("GROUP") => 3,
            () if is("NOACK") => 1,
            () => return None,
        };
    }
}

/// The positions of a word from `from` on, the end excepted.
fn words<'a>(
    args: &'a Args<'_>,
    word: &'a str,
    from: u32,
) -> impl DoubleEndedIterator<Item = usize> + 'a {
    let end = args.len().saturating_sub(1);
    (from as usize..end).filter(|at| args.get(*at).eq_ignore_ascii_case(word.as_bytes()))
}
