//! Access control: who the users are, how clients prove to be one of them, and what each may do.
//!
//! The users are one immutable map that is replaced as a whole: whoever checks something reads it without a lock. Each
//! change raises a version. A thread takes note of the version once per batch, and a session that may do everything
//! remembers the version at which that was so: as long as both are equal, a command costs one comparison
//! (`Engine::admit`). Everything else goes through [`Engine::acl_check`].
//!
//! - `user`: a user, and its passwords
//! - `selector`: commands, keys and channels that go together; `keys`: what a call does to its keys
//! - `rules`: the language in which users are described
//! - `file`: the text of an ACL file
//! - `check`: sessions and their calls
//! - `log`: what was refused

mod check;
mod file;
pub(crate) mod keys;
mod log;
mod rules;
mod selector;
#[cfg(test)]
mod tests;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use crate::client::DEFAULT_USER;
use crate::config::{AclPubsubDefault, Settings};
use crate::engine::Engine;

pub use self::log::Context;
pub(crate) use file::line;
pub(crate) use log::{AclLog, Reason};
pub(crate) use rules::{RuleError, is_user_name, join_selectors};
pub(crate) use selector::Selector;
pub use selector::{Denial, Missing};
pub(crate) use user::User;
pub(crate) use user::hex;

/// All users by name; the default user is always among them.
pub(crate) type Users = BTreeMap<Box<[u8]>, Arc<User>>;

/// The users, and what they were refused.
pub(crate) struct Acl {
    users: ArcSwap<Users>,
    /// Raised after each change, never 0.
    version: AtomicU64,
    /// A copy of what the default user says, for those who ask often.
    open: AtomicBool,
    protected: AtomicBool,
    /// Held while a change is made: changes happen one after another.
    changing: Mutex<()>,
    pub(crate) log: AclLog,
}

/// The right to replace the users.
pub(crate) struct Changing<'a> {
    acl: &'a Acl,
    _alone: MutexGuard<'a, ()>,
}

impl Acl {
    /// Nobody but the default user, with the password that the settings have for it.
    pub(crate) fn new(settings: &Settings) -> Self {
        let default = default_user(&settings.requirepass);
        Self {
            open: AtomicBool::new(default.is_open()),
            protected: AtomicBool::new(!default.no_password),
            users: ArcSwap::from_pointee(Users::from([(DEFAULT_USER.into(), Arc::new(default))])),
            version: AtomicU64::new(1),
            changing: Mutex::default(),
            log: AclLog::default(),
        }
    }

    pub(crate) fn users(&self) -> Arc<Users> {
        self.users.load_full()
    }

    pub(crate) fn user(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.load().get(name).cloned()
    }

    pub(crate) fn default_user(&self) -> Arc<User> {
        self.user(DEFAULT_USER).expect("the default user is always there")
    }

    /// The user with this name, if the password is right.
    pub(crate) fn prove(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let user = self.user(name);
        if user::proves(user.as_deref(), password) { user } else { None }
    }

    /// Differs after each change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether clients are the default user without having to prove it.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether the default user has to prove itself, so that the server is safe where strangers can reach it.
    pub(crate) fn is_protected(&self) -> bool {
        self.protected.load(Ordering::Relaxed)
    }

    pub(crate) fn change(&self) -> Changing<'_> {
        Changing { acl: self, _alone: self.changing.lock() }
    }

    /// The default user gets this password and no other.
    pub(crate) fn set_default_password(&self, password: &str) {
        let changing = self.change();
        let mut users = Users::clone(&self.users());
        let mut default = User::clone(&users[DEFAULT_USER]);
        default.set_only_password(password.as_bytes());
        users.insert(DEFAULT_USER.into(), Arc::new(default));
        changing.replace(users);
    }
}

impl Changing<'_> {
    /// Puts these users in force.
    pub(crate) fn replace(&self, users: Users) {
        let default = &users[DEFAULT_USER];
        self.acl.open.store(default.is_open(), Ordering::Relaxed);
        self.acl.protected.store(!default.no_password, Ordering::Relaxed);
        self.acl.users.store(Arc::new(users));
        // Who sees the version sees the users.
        self.acl.version.fetch_add(1, Ordering::Release);
    }
}

/// What a new user, or a new selector, may listen to.
pub(crate) fn all_channels(settings: &Settings) -> bool {
    settings.acl_pubsub_default == AclPubsubDefault::AllChannels
}

/// The default user as nobody has changed it, with a password if there is one.
fn default_user(password: &str) -> User {
    let mut user = User::unrestricted(DEFAULT_USER);
    user.set_only_password(password.as_bytes());
    user
}

/// The users of `requirepass` and of the `user` lines.
fn configured_users(settings: &Settings) -> Result<Users, String> {
    let default = default_user(&settings.requirepass);
    let mut users = Users::from([(default.name.clone(), Arc::new(default))]);
    for words in &settings.users {
        let declared = declared_user(words, all_channels(settings))?;
        users.insert(declared.name.clone(), Arc::new(declared));
    }
    Ok(users)
}

/// How a program without an ACL file is told so.
const NO_FILE: &str = "This Redis instance is not configured to use an ACL file. You may want to specify users via \
                       the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis \
                       configuration file set) in order to store users in the Redis configuration.";

impl Engine {
    /// Puts the users in force that the settings declare, or that the ACL file holds. To be called before clients come.
    pub fn load_users(&self) -> Result<(), String> {
        let settings = self.config.load();
        if settings.aclfile.is_empty() {
            self.acl.change().replace(configured_users(&settings)?);
            return Ok(());
        }
        if !settings.users.is_empty() {
            return Err(
                "Configuring users in the configuration file and at the same setting an ACL file path is invalid. \
                 This setup is very likely to lead to configuration errors and security holes, please define either \
                 an ACL file or declare users directly in your configuration file, but not both."
                    .into(),
            );
        }
        if !settings.requirepass.is_empty() {
            ::log::warn!(
                "requirepass is ignored: the users are those of the ACL file {}",
                settings.aclfile
            );
        }
        self.reload_users().map(drop).map_err(|error| {
            let error = String::from_utf8_lossy(&error);
            format!("Aborting startup because of ACL errors: {error}")
        })
    }

    /// ACL LOAD: the users of the ACL file, all or none. Returns the names of those that lose their clients.
    pub(crate) fn reload_users(&self) -> Result<Vec<Box<[u8]>>, Vec<u8>> {
        let settings = self.config.load();
        let file = &settings.aclfile;
        if file.is_empty() {
            return Err(NO_FILE.into());
        }
        let changing = self.acl.change();
        let text = self.host.read_users(file).map_err(|reason| {
            format!("Error loading ACLs, opening file '{file}': {reason}").into_bytes()
        })?;
        let mut users = file::parse(&text, file, all_channels(&settings))?;
        users.entry(DEFAULT_USER.into()).or_insert_with(|| Arc::new(default_user("")));
        let gone = succeed(&self.acl.users(), &mut users);
        changing.replace(users);
        Ok(gone)
    }

    /// ACL SAVE: the users into the ACL file, in one step.
    pub(crate) fn save_users(&self) -> Result<(), &'static str> {
        let settings = self.config.load();
        let file = &settings.aclfile;
        if file.is_empty() {
            return Err(NO_FILE);
        }
        // Of two at once, the file must not get the older users last.
        let _changing = self.acl.change();
        self.host.write_users(file, &file::print(&self.acl.users())).map_err(|reason| {
            ::log::warn!("Saving the users to {file} failed: {reason}");
            "There was an error trying to save the ACLs. Please check the server logs for more information"
        })
    }
}

/// The user that a line of the configuration declares: its name and its rules.
pub(crate) fn declared_user(words: &[String], all_channels: bool) -> Result<User, String> {
    let Some((name, rules)) = words.split_first() else {
        return Err("wrong number of arguments".into());
    };
    let failed = |reason: &str| format!("Error in user declaration '{name}': {reason}");
    if !is_user_name(name.as_bytes()) {
        return Err(failed("Usernames can't contain spaces or null characters"));
    }
    let rules = join_selectors(rules.iter().map(String::as_bytes)).map_err(|opened| {
        let opened = String::from_utf8_lossy(&opened);
        failed(&format!("Unmatched parenthesis in selector starting at '{opened}'"))
    })?;
    let mut user = User::new(name.as_bytes(), all_channels);
    if name.as_bytes() == DEFAULT_USER {
        user.apply(b"reset", all_channels).expect("it is a rule");
    }
    for rule in rules {
        user.apply(&rule, all_channels).map_err(|error| match error {
            RuleError::Unknown => {
                let rule = String::from_utf8_lossy(&rule);
                failed(&format!("{} ('{rule}')", error.text()))
            }
            _ => failed(error.text()),
        })?;
    }
    Ok(user)
}

/// The lines of a configuration that declare the users, without `user` in front; none if `requirepass` says it all. An error
/// names a user that such a file can't hold.
pub(crate) fn configuration_lines(
    users: &Users,
    settings: &Settings,
) -> Result<Vec<String>, String> {
    let alone = users.len() == 1 && users[DEFAULT_USER].is_as(&default_user(&settings.requirepass));
    if alone && settings.users.is_empty() {
        return Ok(Vec::new());
    }
    let lines = users.values().map(|user| {
        let line = file::line(user)["user ".len()..].to_vec();
        String::from_utf8(line).map_err(|_| {
            let name = String::from_utf8_lossy(&user.name);
            format!("user '{name}' has texts that are not UTF-8; use an ACL file")
        })
    });
    lines.collect()
}

/// Puts `new` users in the place of `old` ones. A user that stays what it was keeps its clients; so does the default user
/// whatever becomes of it. Returns the names of those who lose theirs.
fn succeed(old: &Users, new: &mut Users) -> Vec<Box<[u8]>> {
    let mut gone = Vec::new();
    for (name, before) in old {
        match new.get_mut(name) {
            Some(after) if **name == *DEFAULT_USER || before.is_as(after) => {
                Arc::make_mut(after).lineage = before.lineage;
            }
            _ => gone.push(name.clone()),
        }
    }
    gone
}
