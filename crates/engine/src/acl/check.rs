//! Sessions and their calls: the check before a command, and what becomes of a refusal.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use respire_resp::Args;

use super::User;
use super::log::{Context, LogEntry, Reason};
use super::selector::{Denial, Missing};
use crate::command::{Command, Flags};
use crate::commands::describe_client;
use crate::engine::Engine;
use crate::error::Error;
use crate::pubsub::Topic;
use crate::session::Session;
use crate::stats::{Counters, ThreadStats};
use crate::worker::Worker;

/// As much of a key, or of a name, is kept in the log: it is for people, and clients decide how long these are.
const LOGGED_BYTES: usize = 4096;

impl Denial {
    fn reason(self) -> Reason {
        match self.missing {
            Missing::Command => Reason::Command,
            Missing::Key => Reason::Key,
            Missing::Channel => Reason::Channel,
        }
    }

    /// The reply to a client that made the call as `user`.
    fn error(self, user: &User, command: &Command) -> Error {
        match self.missing {
            Missing::Command => Error::no_command_permission(user.name(), command.full_name),
            Missing::Key => Error::NO_KEY_PERMISSION,
            Missing::Channel => Error::NO_CHANNEL_PERMISSION,
        }
    }

    /// The reply of EXEC for a command that was allowed when it was queued.
    pub(crate) fn error_in_exec(self) -> Error {
        Error::rules_changed(match self.missing {
            Missing::Command => "no permission to execute the command or subcommand",
            Missing::Key => "no permission to touch the specified keys",
            Missing::Channel => "no permission to access one of the channels used as arguments",
        })
    }

    /// What ACL DRYRUN says.
    pub(crate) fn explanation(self, user: &User, command: &Command, args: &Args<'_>) -> Vec<u8> {
        let object = args.get(self.position);
        let (before, object, behind) = match self.missing {
            Missing::Command => ("run the '", command.full_name.as_bytes(), "' command"),
            Missing::Key => ("access the '", object, "' key"),
            Missing::Channel => ("access the '", object, "' channel"),
        };
        let parts: [&[u8]; 6] = [
            b"User ",
            crate::error::shown(user.name(), user.name().len()),
            b" has no permissions to ",
            before.as_bytes(),
            crate::error::shown(object, object.len()),
            behind.as_bytes(),
        ];
        parts.concat()
    }
}

impl Engine {
    /// Whether the user of `session` may make a call, whose number of arguments fits the command. Nothing is noted of a
    /// refusal: see [`Self::note_denial`].
    pub fn acl_check(
        &self,
        session: &Session,
        command: &'static Command,
        args: &Args<'_>,
    ) -> Result<(), Denial> {
        if session.user.is_unrestricted() {
            return Ok(());
        }
        session.user.check(command, args)
    }

    /// Counts a refusal, and enters it in the log.
    pub fn note_denial(
        &self,
        stats: &ThreadStats,
        session: &Session,
        context: Context,
        command: &'static Command,
        args: &Args<'_>,
        denial: Denial,
    ) {
        let object = match denial.missing {
            Missing::Command => command.full_name.as_bytes(),
            Missing::Key | Missing::Channel => args.get(denial.position),
        };
        let (reason, user) = (denial.reason(), session.user.name());
        self.log_refusal(stats, session, context, reason, object, user);
    }

    /// Counts and logs a refusal of `user`, who may not be the user of the session: it may have failed to become that.
    pub(crate) fn log_refusal(
        &self,
        stats: &ThreadStats,
        session: &Session,
        context: Context,
        reason: Reason,
        object: &[u8],
        user: &[u8],
    ) {
        let Counters {
            acl_denied_auth, acl_denied_cmd, acl_denied_key, acl_denied_channel, ..
        } = &stats.counters;
        let counter = match reason {
            Reason::Command => acl_denied_cmd,
            Reason::Key => acl_denied_key,
            Reason::Channel => acl_denied_channel,
            Reason::Auth => acl_denied_auth,
        };
        counter.add(1);
        let now_ms = self.clock.unix_us() / 1000;
        let mut client = describe_client(&session.info, &self.replies, now_ms, None).into_bytes();
        client.truncate(client.trim_ascii_end().len());
        let entry = LogEntry {
            id: 0,
            count: 0,
            reason,
            context,
            object: object[..object.len().min(LOGGED_BYTES)].to_vec(),
            user: user[..user.len().min(LOGGED_BYTES)].to_vec(),
            client,
            created_ms: now_ms,
            updated_ms: now_ms,
        };
        let max = self.config.load().acllog_max_len;
        self.acl.log.add(entry, max as usize);
    }

    /// Whether a new client is let in as the default user without a password.
    pub fn is_open(&self) -> bool {
        self.acl.is_open()
    }

    /// Whether the default user needs a password, which is what protected mode asks for.
    pub fn is_protected(&self) -> bool {
        self.acl.is_protected()
    }

    /// Checks a call of a session of which it is not known that it may do everything. Finds out whether it may from now
    /// on. An error after which the session is closing is not to be replied: the user is gone.
    #[cold]
    pub(crate) fn check_rights(
        &self,
        worker: &Worker,
        session: &mut Session,
        command: &'static Command,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        self.renew_user(worker, session)?;
        let known = session.authenticated || self.acl.is_open();
        if !known && !command.row.has(Flags::NO_AUTH) {
            return Err(Error::NO_AUTH);
        }
        if session.transaction.is_open() && command.row.has(Flags::NO_MULTI) {
            return Err(Error::NOT_IN_MULTI);
        }
        if known && session.user.is_unrestricted() {
            session.free_at = worker.users_version;
            return Ok(());
        }
        let context =
            if session.transaction.is_open() { Context::Multi } else { Context::Toplevel };
        self.acl_check(session, command, args).map_err(|denial| {
            self.note_denial(&worker.stats, session, context, command, args, denial);
            denial.error(&session.user, command)
        })
    }

    /// Checks a queued command again, if anything has changed since it was queued.
    #[inline]
    pub(crate) fn check_in_exec(
        &self,
        worker: &Worker,
        session: &mut Session,
        command: &'static Command,
        args: &Args<'_>,
    ) -> Result<(), Error> {
        if session.free_at == worker.users_version {
            return Ok(());
        }
        self.renew_user(worker, session)?;
        self.acl_check(session, command, args).map_err(|denial| {
            self.note_denial(&worker.stats, session, Context::Multi, command, args, denial);
            denial.error_in_exec()
        })
    }

    /// Sees to it that the session's user is what the user of that name is now. A client whose user is gone is nobody, and is
    /// to be closed.
    fn renew_user(&self, worker: &Worker, session: &mut Session) -> Result<(), Error> {
        if session.user_version == worker.users_version {
            return Ok(());
        }
        session.user_version = worker.users_version;
        match self.acl.user(session.user.name()) {
            Some(user) if user.lineage == session.user.lineage => {
                session.user = user;
                Ok(())
            }
            _ => {
                session.become_nobody(self);
                session.closing = true;
                Err(Error::NO_AUTH)
            }
        }
    }

    /// As [`Self::may_listen`], for a client that has just begun to listen to something and has published so: its rights may
    /// have changed since they were checked, and who changed them may not have seen that it listens.
    pub(crate) fn may_listen_still(&self, session: &Session) -> bool {
        fence(Ordering::SeqCst);
        let now = self.acl.version();
        session.free_at == now || session.user_version == now || self.may_listen(session)
    }

    /// Whether a client may go on listening to what it listens to. Asked for when the users have changed.
    pub fn may_listen(&self, session: &Session) -> bool {
        let Some(own) = &session.subscriptions else { return true };
        let user = match self.acl.user(session.user.name()) {
            Some(user) if user.lineage == session.user.lineage => user,
            _ => return false,
        };
        Topic::ALL.iter().all(|topic| {
            let is_pattern = *topic == Topic::Pattern;
            own.names(*topic).iter().all(|name| user.allows_channel(name, is_pattern))
        })
    }
}

impl Session {
    /// The default user, whom it has not proved to be.
    pub(crate) fn become_nobody(&mut self, engine: &Engine) {
        self.user = engine.acl.default_user();
        self.authenticated = false;
        self.user_version = 0;
        self.free_at = 0;
        self.info.names.lock().user = self.user.name().to_vec();
    }

    /// As a client that has just come.
    pub(crate) fn become_newcomer(&mut self, engine: &Engine) {
        self.become_nobody(engine);
        self.authenticated = self.user.is_open();
    }

    /// The session is that of `user` from now on.
    pub(crate) fn become_user(&mut self, user: Arc<super::User>) {
        self.info.names.lock().user = user.name().to_vec();
        self.user = user;
        self.authenticated = true;
        self.user_version = 0;
        self.free_at = 0;
    }
}
