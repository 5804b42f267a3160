//! A user: its name, how it proves who it is, and what it may do. A user in use never changes: a change makes another one
//! of the same lineage, which takes its place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use respire_resp::Args;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::selector::{Denial, Selector};
use crate::command::Command;
use crate::dispatch::quote;

/// Only what a password hashes to is kept.
pub(super) type Digest = [u8; 32];

/// Told to deny a password that is known to nobody.
const NOBODY: Digest = [0; 32];

pub(super) fn digest(password: &[u8]) -> Digest {
    Sha256::digest(password).into()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(super) name: Box<[u8]>,
    /// The same for all that this user becomes by changes; another one for a later user of the same name.
    pub(super) lineage: u64,
    pub(super) enabled: bool,
    /// Any password will do.
    pub(super) no_password: bool,
    /// Whether RESTORE looks closely at what this user sends. There is nothing here that does it less closely: it is kept
    /// to be shown.
    pub(super) sanitize_payload: bool,
    pub(super) passwords: Vec<Digest>,
    pub(super) root: Selector,
    pub(super) selectors: Vec<Selector>,
}

impl User {
    /// A new user, who may do nothing.
    pub(crate) fn new(name: &[u8], all_channels: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            name: name.into(),
            lineage: NEXT.fetch_add(1, Ordering::Relaxed),
            enabled: false,
            no_password: false,
            sanitize_payload: true,
            passwords: Vec::new(),
            root: Selector::new(all_channels),
            selectors: Vec::new(),
        }
    }

    /// Somebody who may do everything, without a password: what the default user is before anybody changes it.
    pub(super) fn unrestricted(name: &[u8]) -> Self {
        let mut user = Self::new(name, true);
        user.enabled = true;
        user.no_password = true;
        user.root.allow_all_commands(true);
        user.root.allow_all_keys();
        user
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether a client is this user without having to prove it, if it is the default user.
    pub(crate) fn is_open(&self) -> bool {
        self.enabled && self.no_password
    }

    pub(crate) fn asks_no_password(&self) -> bool {
        self.no_password
    }

    /// Whether nothing need be checked.
    pub(crate) fn is_unrestricted(&self) -> bool {
        self.root.is_unrestricted()
    }

    /// Whether both may do the same and prove themselves in the same way.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.lineage = self.lineage;
        *self == other
    }

    /// No other password than this one will do; an empty one is none.
    pub(super) fn set_only_password(&mut self, password: &[u8]) {
        self.passwords.clear();
        self.no_password = password.is_empty();
        if !password.is_empty() {
            self.passwords.push(digest(password));
        }
    }

    /// Whether the call is allowed.
    pub(crate) fn check(&self, command: &Command, args: &Args<'_>) -> Result<(), Denial> {
        let Err(mut denial) = self.root.check(command, args) else { return Ok(()) };
        for selector in &self.selectors {
            match selector.check(command, args) {
                Ok(()) => return Ok(()),
                Err(other) => denial = denial.max(other),
            }
        }
        Err(denial)
    }

    /// Whether the command is allowed on every key there can be, for reading.
    pub(crate) fn reads_everything_with(&self, command: &Command, args: &Args<'_>) -> bool {
        self.all_selectors().any(|selector| selector.reads_everything_with(command, args))
    }

    /// Whether it may listen to a channel or pattern.
    pub(crate) fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors().any(|selector| selector.allows_channel(channel, is_pattern))
    }

    /// The root selector, then the others.
    pub(crate) fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The words that ACL GETUSER has for what the user is, without the passwords.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        let flags = [
            Some(if self.enabled { "on" } else { "off" }),
            self.no_password.then_some("nopass"),
            Some(if self.sanitize_payload { "sanitize-payload" } else { "skip-sanitize-payload" }),
        ];
        flags.into_iter().flatten()
    }

    /// What the passwords hash to, as users write it.
    pub(crate) fn passwords(&self) -> impl Iterator<Item = String> {
        self.passwords.iter().map(|digest| hex(digest))
    }

    /// The rules that make this user of a new one, behind `user` and its name.
    pub(super) fn describe(&self) -> Vec<u8> {
        let mut words: VecDeque<Vec<u8>> =
            self.flags().map(|flag| flag.as_bytes().to_vec()).collect();
        words.extend(self.passwords().map(|digest| format!("#{digest}").into_bytes()));
        words.push_back(self.root.describe());
        for selector in &self.selectors {
            let inner = selector.describe();
            let inner: Vec<Vec<u8>> = inner.split(|byte| *byte == b' ').map(quoted).collect();
            words.push_back([b"(", &inner.join(&b' ')[..], b")"].concat());
        }
        Vec::from(words).join(&b' ')
    }
}

/// A word between the parentheses of a selector, where quotes mean something, and a parenthesis at the end of a word.
fn quoted(word: &[u8]) -> Vec<u8> {
    if !word.contains(&b'"') && !word.contains(&b'\'') && !word.ends_with(b")") {
        return word.to_vec();
    }
    let mut quoted = Vec::new();
    quote(word, &mut quoted);
    quoted
}

/// Whether `password` is that of `user`. Takes as long where there is no such user, or where it is not enabled, as where
/// there is one with one password, and says nothing about which of several passwords was right.
pub(super) fn proves(user: Option<&User>, password: &[u8]) -> bool {
    let given = digest(password);
    let known = user.map_or(&[NOBODY][..], |user| &user.passwords);
    let mut right = Choice::from(0);
    for of in known {
        right |= of.ct_eq(&given);
    }
    let right = bool::from(right);
    user.is_some_and(|user| user.enabled & (user.no_password | right))
}
