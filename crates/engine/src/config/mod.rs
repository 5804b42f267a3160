//! The configuration: what can be set, how texts become settings, and how settings change while the server runs.
//!
//! Plain data and pure functions: no files, sockets or threads. Texts of files come in and go out as strings, and
//! whoever applies a change, or refuses it, comes in as a function. The invariant: the current [`Settings`] are
//! always valid and whole; a change that fails in any part changes nothing.
//!
//! - `settings`: the typed fields, and their defaults
//! - `kind`: the kinds of values and how they are refused
//! - `directive`: what a row of the table is; `acting` and `kept` hold the rows; `special` their odd syntaxes
//! - `file`: the syntax of redis.conf and of arguments
//! - `rewrite`: CONFIG REWRITE

mod acting;
mod directive;
mod file;
mod kept;
mod kind;
mod rewrite;
mod settings;
mod special;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use respire_datatypes::glob;

pub use directive::{Directive, Effect, NotActing, directives, find, not_acting};
pub(crate) use file::split_bytes;
pub use file::{ConfigError, Includer, parse_args, parse_file};
pub use kind::parse_memory;
pub(crate) use rewrite::replace_users;
pub use settings::{
    AclPubsubDefault, ClientMemory, LogLevel, MaxmemoryPolicy, OutputLimit, OutputLimits,
    Permission, Rename, Settings,
};

use directive::Origin;

/// Directives that only we have and that can't be changed while the server runs.
const OURS: &[&str] =
    &["shards", "list-compress-deep", "metrics-port", "metrics-bind", "log-format"];

const NOT_SUPPORTED: &str = "not supported yet by this version of Respire";

/// The settings in force, shared by all threads.
pub struct Config {
    defaults: Settings,
    current: ArcSwap<Settings>,
    /// Raised after each change, so that a thread sees with one load that its copy is old.
    version: AtomicU64,
    /// Held while a change is checked and applied: changes happen one after another.
    changing: Mutex<()>,
}

/// A thread's own view of the settings: one relaxed load per use as long as nothing changes.
pub struct Reader {
    version: u64,
    settings: Arc<Settings>,
}

impl Reader {
    pub fn new(config: &Config) -> Self {
        let version = config.version.load(Ordering::Acquire);
        Self { version, settings: config.load() }
    }

    /// The settings in force at some time after the last call returned.
    #[inline]
    pub fn get(&mut self, config: &Config) -> &Arc<Settings> {
        let version = config.version.load(Ordering::Relaxed);
        if version != self.version {
            // Settings are stored before the version is raised, so they are at least as new as it.
            fence(Ordering::Acquire);
            self.version = version;
            self.settings = config.load();
        }
        &self.settings
    }
}

/// Why CONFIG SET changed nothing. Displays as the whole error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    Unknown { name: String },
    Failed { name: String, reason: String },
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Failed { name, reason } => write!(
                f,
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
            ),
        }
    }
}

impl std::error::Error for SetError {}

/// Applies a change from old to new settings outside the configuration, or refuses it with the name of the
/// directive and a reason, having undone what it did. It may put a value of the new ones into another form.
pub type Apply<'a> = dyn FnMut(&Settings, &mut Settings) -> Result<(), (String, String)> + 'a;

impl Config {
    /// `defaults` are the settings before any file or argument: what CONFIG REWRITE need not write.
    pub fn new(defaults: Settings, settings: Settings) -> Self {
        Self {
            defaults,
            current: ArcSwap::from_pointee(settings),
            version: AtomicU64::new(1),
            changing: Mutex::new(()),
        }
    }

    pub fn load(&self) -> Arc<Settings> {
        self.current.load_full()
    }

    /// Differs after each change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// CONFIG GET: names and values, each name once. A name without wildcards is answered as it was asked, alias or
    /// not and in any case; a pattern answers all matching names and aliases.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let settings = self.load();
        let mut found: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, row: &Directive| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                found.push((name.to_owned(), row.get(&settings)));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|byte| b"*?[".contains(byte)) {
                let name = str::from_utf8(pattern).unwrap_or_default();
                if let Some(row) = find(name).filter(|row| !row.file_only) {
                    add(name, row);
                }
                continue;
            }
            for row in directives().filter(|row| !row.file_only && !row.hidden) {
                for name in [Some(row.name), row.alias].into_iter().flatten() {
                    if glob::matches(pattern, name.as_bytes(), true) {
                        add(name, row);
                    }
                }
            }
        }
        found
    }

    /// Whether the client may set these directives, whatever the values.
    pub(crate) fn may_set(
        &self,
        pairs: &[(&[u8], &[u8])],
        client_is_local: bool,
    ) -> Result<(), SetError> {
        self.check_names(pairs, &self.load(), client_is_local).map(drop)
    }

    /// CONFIG SET of names and values, all or nothing. `apply` is asked when anything changes; `client_is_local`
    /// matters where directives may be changed by local clients only. Returns the names of what changed.
    pub fn set(
        &self,
        pairs: &[(&[u8], &[u8])],
        client_is_local: bool,
        apply: &mut Apply<'_>,
    ) -> Result<Vec<&'static str>, SetError> {
        // A panic elsewhere can't have left the settings torn: they are replaced as a whole.
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.load();
        let rows = self.check_names(pairs, &old, client_is_local)?;

        let mut new = Settings::clone(&old);
        let failed = |name: &[u8], reason: String| SetError::Failed {
            name: String::from_utf8_lossy(name).to_ascii_lowercase(),
            reason,
        };
        for (row, (name, value)) in rows.iter().zip(pairs) {
            set_one(row, &mut new, value).map_err(|reason| failed(name, reason))?;
        }
        for (row, (name, _)) in rows.iter().zip(pairs) {
            if row.is_broken_promise(&new) {
                return Err(failed(name, NOT_SUPPORTED.into()));
            }
        }
        let mut changed: Vec<&'static str> = Vec::new();
        for row in rows {
            new.files_named += u64::from(row.names_file);
            if (row.names_file || row.get(&old) != row.get(&new)) && !changed.contains(&row.name) {
                changed.push(row.name);
            }
        }
        if !changed.is_empty() {
            apply(&old, &mut new).map_err(|(name, reason)| SetError::Failed { name, reason })?;
        }
        self.current.store(Arc::new(new));
        self.version.fetch_add(1, Ordering::Release);
        Ok(changed)
    }

    /// The rows that the names stand for, when each may be set and none is named twice.
    fn check_names(
        &self,
        pairs: &[(&[u8], &[u8])],
        settings: &Settings,
        client_is_local: bool,
    ) -> Result<Vec<&'static Directive>, SetError> {
        let mut rows: Vec<&'static Directive> = Vec::with_capacity(pairs.len());
        for (index, (bytes, value)) in pairs.iter().enumerate() {
            let name = String::from_utf8_lossy(bytes).into_owned();
            let Some(row) = find(&name).filter(|row| !row.file_only) else {
                return Err(SetError::Unknown { name });
            };
            // A tool that sets every value to what it is must not fail for a directive that only we have.
            let idle = OURS.contains(&row.name) && row.get(settings).as_bytes() == *value;
            let reason = if row.immutable && !idle {
                "can't set immutable config"
            } else if row.protected && !settings.enable_protected_configs.allows(client_is_local) {
                "can't set protected config"
            } else if (pairs[..index].iter()).any(|(known, _)| known.eq_ignore_ascii_case(bytes)) {
                // A name and its alias are no duplicates in Redis: the later one wins.
                "duplicate parameter"
            } else {
                rows.push(row);
                continue;
            };
            return Err(SetError::Failed { name, reason: reason.into() });
        }
        Ok(rows)
    }

    /// CONFIG REWRITE: the text of the file brought up to the settings in force. Comments, blank lines, the
    /// order and `include` lines stay; rewriting again changes nothing. Users are left as they are: see `replace_users`.
    pub fn rewrite(&self, old_text: &str) -> String {
        rewrite::rewrite(&self.load(), &self.defaults, old_text, false)
    }

    /// As [`Self::rewrite`], with every setting, those at their defaults too.
    pub(crate) fn rewrite_all(&self, old_text: &str) -> String {
        rewrite::rewrite(&self.load(), &self.defaults, old_text, true)
    }
}

fn set_one(row: &Directive, settings: &mut Settings, value: &[u8]) -> Result<(), String> {
    let value = str::from_utf8(value).map_err(|_| "argument must be valid UTF-8")?;
    row.set(settings, &[value], Origin::Runtime)
}

#[cfg(test)]
mod tests;
