//! The directives about files, as they are set at the moment.

use std::path::PathBuf;

use respire_engine::config::{Settings, find};

use crate::snapshot::Form;

/// How soon what is appended is safe on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fsync {
    Always,
    EverySecond,
    /// When the system likes.
    No,
}

/// One look at the settings.
pub(crate) struct Files<'a>(pub(crate) &'a Settings);

impl Files<'_> {
    fn text(&self, name: &str) -> String {
        find(name).map_or_else(String::new, |row| row.get(self.0))
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name) == "yes"
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        PathBuf::from(&self.0.dir)
    }

    /// Where snapshots are kept; `None` if nowhere.
    pub(crate) fn rdb_path(&self) -> PathBuf {
        self.dir().join(self.text("dbfilename"))
    }

    pub(crate) fn compress(&self) -> bool {
        self.flag("rdbcompression")
    }

    pub(crate) fn checksum(&self) -> bool {
        self.flag("rdbchecksum")
    }

    /// Whether a file is made safe while it is written: a snapshot, or the base of the log.
    pub(crate) fn sync_as_written(&self, base: bool) -> bool {
        self.flag(if base { "aof-rewrite-incremental-fsync" } else { "rdb-save-incremental-fsync" })
    }

    /// Whether files of the log that are no longer needed stay where they are.
    pub(crate) fn keep_history(&self) -> bool {
        self.flag("aof-disable-auto-gc")
    }

    pub(crate) fn stop_writes(&self) -> bool {
        self.flag("stop-writes-on-bgsave-error")
    }

    /// Seconds and changes after which a snapshot is due.
    pub(crate) fn save_points(&self) -> Vec<(u64, u64)> {
        let text = self.text("save");
        let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        numbers.as_chunks::<2>().0.iter().map(|[seconds, changes]| (*seconds, *changes)).collect()
    }

    /// Microseconds that each key takes longer to be saved, and loaded; if negative, the keys that take one together.
    pub(crate) fn save_delay(&self) -> i64 {
        self.text("rdb-key-save-delay").parse().unwrap_or(0)
    }

    pub(crate) fn load_delay(&self) -> i64 {
        self.text("key-load-delay").parse().unwrap_or(0)
    }

    pub(crate) fn append_only(&self) -> bool {
        self.flag("appendonly")
    }

    pub(crate) fn fsync(&self) -> Fsync {
        match self.text("appendfsync").as_str() {
            "always" => Fsync::Always,
            "no" => Fsync::No,
            _ => Fsync::EverySecond,
        }
    }

    pub(crate) fn append_dir(&self) -> PathBuf {
        self.dir().join(self.text("appenddirname"))
    }

    pub(crate) fn append_name(&self) -> String {
        self.text("appendfilename")
    }

    pub(crate) fn load_truncated(&self) -> bool {
        self.flag("aof-load-truncated")
    }

    /// What the base of the log is written as.
    pub(crate) fn base_form(&self) -> Form {
        if self.flag("aof-use-rdb-preamble") { Form::Rdb } else { Form::Requests }
    }

    pub(crate) fn timestamps(&self) -> bool {
        self.flag("aof-timestamp-enabled")
    }

    pub(crate) fn no_fsync_on_rewrite(&self) -> bool {
        self.flag("no-appendfsync-on-rewrite")
    }

    /// Growth in per cent, and size in bytes, from which the append-only file is rewritten.
    pub(crate) fn rewrite_from(&self) -> (u64, u64) {
        (self.number("auto-aof-rewrite-percentage"), self.number("auto-aof-rewrite-min-size"))
    }
}
