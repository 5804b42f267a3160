//! What the engine knows of files: whether it is being filled from one, whether writes have to be refused because they
//! could not be kept, and how much has changed since the last snapshot. The files themselves are the host's.

use std::sync::atomic::Ordering;

use respire_keyspace::{Held, Mode};

use respire_resp::Args;

use crate::command::{Command, Flags, Lock, Row};
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
            return Err(Error::LOADING);
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

    /// Whether a command has to wait until a snapshot lets go of what it is about to change: it is to be executed again, and
    /// the shards are free meanwhile.
    #[cold]
    pub(crate) fn must_wait(
        &self,
        held: &mut Held<'_>,
        row: &Row,
        args: &Args<'_>,
        db: usize,
    ) -> bool {
        let mut waits = false;
        for spec in row.keys.iter().filter(|spec| !spec.flags.starts_with("RO")) {
            for i in spec.positions(args) {
                let key = self.keyspace.key(args.get(i));
                // All that is large is handed over at once.
                waits |= held.holds(key.shard) && held.shard_mut(key.shard).must_wait(db, &key);
            }
        }
        waits
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
    use std::sync::Arc;

    use parking_lot::Mutex;
    use respire_keyspace::{EntryRef, Keeper, Pinned, Unsaved};

    use super::*;
    use crate::dispatch::Flow;
    use crate::harness::{Harness, START_MS};

    /// A snapshot that saves nothing by itself.
    #[derive(Default)]
    struct Snapshot {
        kept: Mutex<Vec<Vec<u8>>>,
        pinned: Mutex<Vec<Pinned>>,
    }

    impl Keeper for Snapshot {
        fn keep(&self, _: usize, entry: EntryRef<'_>) {
            self.kept.lock().push(entry.key().to_vec());
        }

        fn take(&self, pinned: Pinned) {
            self.pinned.lock().push(pinned);
        }

        fn adopt(&self, _: Unsaved) {
            panic!("no database is emptied");
        }
    }

    impl Snapshot {
        fn begin(h: &Harness) -> Arc<Self> {
            let snapshot = Arc::<Self>::default();
            let keeper: Arc<dyn Keeper> = Arc::clone(&snapshot) as _;
            let mut held = h.engine.keyspace.hold_all(Mode::Write);
            for shard in 0..h.engine.keyspace.shard_count() as u32 {
                held.shard_mut(shard).begin_snapshot(&keeper);
            }
            snapshot
        }

        /// The keys of the large collections that it was handed, which it lets go.
        fn let_go(&self) -> Vec<String> {
            let pinned = std::mem::take(&mut *self.pinned.lock());
            pinned.iter().map(|p| String::from_utf8_lossy(&p.key).into_owned()).collect()
        }
    }

    fn add_large(h: &mut Harness, key: &str) {
        let members: Vec<String> = (0..1000).map(|i| format!("member {i}")).collect();
        let mut parts = vec!["SADD", key];
        parts.extend(members.iter().map(String::as_str));
        assert_eq!(h.run(&parts), ":1000\r\n");
    }

    #[test]
    fn who_changes_what_a_snapshot_reads_comes_again() {
        const PAUSED: Flow = Flow::Paused(START_MS);
        let mut h = Harness::new();
        add_large(&mut h, "large");
        add_large(&mut h, "other");
        h.line("SADD small a b c");
        let snapshot = Snapshot::begin(&h);
        let refused = |h: &mut Harness, line: &str| {
            let parts: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            assert_eq!(h.attempt(0, &parts), (Vec::new(), PAUSED), "{line}");
        };
        refused(&mut h, "SADD large x");
        assert_eq!(snapshot.pinned.lock().len(), 1, "handed over when somebody wants to change it");
        for line in ["SREM large x", "DEL small large", "SET large x", "EVAL return(1) 1 large"] {
            refused(&mut h, line);
        }
        // Who reads it, and who changes anything else, is not kept waiting.
        assert_eq!(h.line("SCARD large"), ":1000\r\n");
        assert_eq!(h.line("SADD small d"), ":1\r\n");
        assert_eq!(h.line("SUNIONSTORE new large small"), ":1004\r\n");
        assert_eq!(*snapshot.kept.lock(), [b"small".to_vec()]);
        // Nothing of a transaction happens before all of it can.
        h.line("MULTI");
        h.line("SADD small e");
        h.line("SADD other x");
        refused(&mut h, "EXEC");
        assert_eq!(snapshot.let_go(), ["large", "other"]);
        assert_eq!(h.line("EXEC"), "*2\r\n:1\r\n:1\r\n");
        assert_eq!(h.line("SREM large x"), ":0\r\n");
        assert_eq!(h.line("DEL small large"), ":2\r\n");
        assert!(snapshot.let_go().is_empty(), "the snapshot has got them");
    }

    #[test]
    fn what_a_snapshot_reads_does_not_expire_under_it() {
        let mut h = Harness::new();
        add_large(&mut h, "large");
        h.line("PEXPIRE large 10");
        let snapshot = Snapshot::begin(&h);
        h.advance_ms(20);
        assert_eq!(h.line("EXISTS large"), ":0\r\n");
        assert_eq!(h.line("DBSIZE"), ":1\r\n", "it is still there");
        assert_eq!(snapshot.let_go(), ["large"]);
        assert_eq!(h.line("EXISTS large"), ":0\r\n");
        assert_eq!(h.line("DBSIZE"), ":0\r\n");
    }

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
