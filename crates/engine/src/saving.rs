//! What the engine knows of files: whether it is being filled from one, whether writes have to be refused because they
//! could not be kept, and how much has changed since the last snapshot. The files themselves are the host's.

use std::sync::atomic::Ordering;

use respire_keyspace::{Held, Mode};

use crate::command::{Command, Flags, Lock};
use crate::engine::Engine;
use crate::error::Error;
use crate::session::Session;

/// Why commands that write are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The last snapshot could not be written.
    Snapshot,
    /// The append-only file can't be written.
    Log,
}

impl Refusal {
    fn bit(self) -> u8 {
        match self {
            Self::Snapshot => 2,
            Self::Log => 4,
        }
    }
}

const LOADING: u8 = 1;
/// A script, or a function, runs for longer than `busy-reply-threshold`.
pub(crate) const BUSY_SCRIPT: u8 = 8;
pub(crate) const BUSY_FUNCTION: u8 = 16;
/// Fewer replicas are there than `min-replicas-to-write` asks for.
const FEW_REPLICAS: u8 = 32;

/// What INFO tells about files.
#[derive(Debug, Clone, Default)]
pub struct PersistenceInfo {
    /// Unix time, seconds.
    pub last_save_s: i64,
    pub saving: bool,
    pub save_failed: bool,
    /// Seconds; -1 for never.
    pub last_save_took_s: i64,
    pub saving_for_s: i64,
    pub saves: u64,
    pub saved_keys: u64,
    pub total_keys: u64,
    pub loaded_keys: u64,
    pub expired_keys: u64,
    /// Unix time, seconds.
    pub load_began_s: i64,
    pub load_total_bytes: u64,
    pub load_bytes: u64,
    pub log_enabled: bool,
    pub rewriting: bool,
    pub rewrite_scheduled: bool,
    pub rewrite_failed: bool,
    /// Seconds; -1 for never.
    pub last_rewrite_took_s: i64,
    pub rewriting_for_s: i64,
    pub rewrites: u64,
    pub rewrite_failures: u64,
    pub log_failed: bool,
    /// Bytes: all files of the log, what they were after the last rewrite, and what is not written yet.
    pub log_size: u64,
    pub log_base_size: u64,
    pub log_waiting: u64,
}

impl Engine {
    /// Whether the keyspace is being filled from a file.
    pub fn is_loading(&self) -> bool {
        self.condition.load(Ordering::Acquire) & LOADING != 0
    }

    pub fn set_loading(&self, on: bool) {
        self.set_condition(LOADING, on);
    }

    /// Whether DEBUG PAUSE-CRON has halted what is done in the background.
    pub fn is_cron_paused(&self) -> bool {
        self.cron_paused.load(Ordering::Relaxed)
    }

    /// Notes why the append-only file can't be written, for those whose writes are refused.
    pub fn note_log_failure(&self, why: &str) {
        let mut noted = self.log_failure.lock();
        if *noted != why {
            *noted = why.to_owned();
        }
    }

    /// Whether writes are refused for this reason from now on.
    pub fn refuse_writes(&self, why: Refusal, on: bool) {
        self.set_condition(why.bit(), on);
    }

    pub(crate) fn set_condition(&self, bit: u8, on: bool) {
        if on {
            self.condition.fetch_or(bit, Ordering::Release);
        } else {
            self.condition.fetch_and(!bit, Ordering::Release);
        }
    }

    /// Refuses what can't be done in the present condition, if that is not the usual one.
    #[inline]
    pub(crate) fn check_condition(
        &self,
        session: &Session,
        command: &Command,
    ) -> Result<(), Error> {
        match self.condition.load(Ordering::Relaxed) {
            0 => Ok(()),
            condition => self.refused(session, command, condition),
        }
    }

    #[cold]
    fn refused(&self, session: &Session, command: &Command, condition: u8) -> Result<(), Error> {
        if condition & LOADING != 0 && !command.row.has(Flags::LOADING) {
            return Err(Error::fixed("LOADING Redis is loading the dataset in memory"));
        }
        let busy = condition & (BUSY_SCRIPT | BUSY_FUNCTION) != 0;
        if busy && !session.in_script && !command.row.has(Flags::ALLOW_BUSY) {
            return Err(self.busy_error());
        }
        let writes = command.row.has(Flags::WRITE)
            || (command.row.lock == Lock::Exec && session.transaction.writes(self));
        match command.full_name {
            "ping" => self.refuse_writing(condition & !FEW_REPLICAS),
            _ if writes => self.refuse_writing(condition),
            _ => Ok(()),
        }
    }

    /// Takes notice of settings that say when writes are refused. There are no replicas yet.
    pub(crate) fn note_condition(&self) {
        let settings = self.config.load();
        let number = |name| settings.text(name).parse::<i64>().unwrap_or(0);
        let wanted = number("min-replicas-to-write") > 0 && number("min-replicas-max-lag") > 0;
        self.set_condition(FEW_REPLICAS, wanted);
    }

    /// Refuses what writes if it could not be kept.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        self.refuse_writing(self.condition.load(Ordering::Relaxed))
    }

    /// Whether checksums of files and dumps are not looked at: DEBUG SET-SKIP-CHECKSUM-VALIDATION.
    pub fn skips_checksums(&self) -> bool {
        self.skip_checksums.load(Ordering::Relaxed)
    }

    /// Changes since the start. Each shard is locked for a moment.
    pub fn changes(&self) -> u64 {
        self.sum_shards(&self.keyspace.hold_nothing(), |shard| shard.weighed_changes())
    }

    /// As [`Self::changes`], where all shards are held.
    pub fn changes_held(&self, held: &Held<'_>) -> u64 {
        self.sum_shards(held, |shard| shard.weighed_changes())
    }

    /// Changes since the last snapshot.
    pub fn unsaved_changes(&self) -> u64 {
        self.unsaved_of(self.changes())
    }

    /// How many of `changes` came after the last snapshot. Shards that are looked at one after the other may seem to have
    /// fewer.
    pub(crate) fn unsaved_of(&self, changes: u64) -> u64 {
        let more = changes.wrapping_sub(self.clean_changes.load(Ordering::Relaxed));
        more.cast_signed().max(0).cast_unsigned()
    }

    /// Notes that a snapshot holds all but what comes after so many changes.
    pub fn note_saved(&self, changes: u64) {
        self.clean_changes.store(changes, Ordering::Relaxed);
    }

    /// What is known of when keys expire was written down while time stood still: the next round looks at all.
    pub fn distrust_times(&self) {
        self.distrust_times_held(&mut self.keyspace.hold_all(Mode::Write));
    }

    /// As [`Self::distrust_times`], with all shards held for writing.
    pub fn distrust_times_held(&self, held: &mut Held<'_>) {
        for shard in 0..self.keyspace.shard_count() as u32 {
            held.shard_mut(shard).distrust_times();
        }
    }

    fn refuse_writing(&self, condition: u8) -> Result<(), Error> {
        if condition & Refusal::Snapshot.bit() != 0 {
            return Err(Error::fixed(
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
                 Commands that may modify the data set are disabled, because this instance is configured to report \
                 errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check \
                 the Redis logs for details about the RDB error.",
            ));
        }
        if condition & Refusal::Log.bit() != 0 {
            let why = self.log_failure.lock();
            return Err(Error::text(format!("MISCONF Errors writing to the AOF file: {why}")));
        }
        if condition & FEW_REPLICAS != 0 {
            return Err(Error::fixed("NOREPLICAS Not enough good replicas to write."));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn without_the_replicas_that_are_asked_for_nothing_is_written() {
        const REFUSED: &str = "-NOREPLICAS Not enough good replicas to write.\r\n";
        let mut h = Harness::new();
        h.line("SET k v");
        h.line("CONFIG SET min-slaves-to-write 1");
        assert_eq!(h.line("SET k w"), REFUSED);
        assert_eq!((h.line("GET k"), h.line("PING")), ("$1\r\nv\r\n".into(), "+PONG\r\n".into()));
        for (script, reply) in [
            ("return redis.call('GET', KEYS[1])", "$1\r\nv\r\n"),
            ("#!lua flags=no-writes\nreturn redis.call('GET', KEYS[1])", "$1\r\nv\r\n"),
            ("#!lua\nreturn redis.call('GET', KEYS[1])", REFUSED),
        ] {
            assert_eq!(h.run(&["EVAL", script, "1", "k"]), reply, "{script}");
        }
        let refused = h.run(&["EVAL", "return redis.call('SET', KEYS[1], 'w')", "1", "k"]);
        assert!(refused.starts_with("-NOREPLICAS "), "{refused}");
        h.line("MULTI");
        assert_eq!(h.line("SET k w"), REFUSED);
        assert!(h.line("EXEC").starts_with("-EXECABORT"));
        h.line("CONFIG SET min-replicas-max-lag 0");
        assert_eq!(h.line("SET k w"), "+OK\r\n");
    }
}
