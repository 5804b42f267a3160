//! Appends what the journal has to the file, before anybody hears of it.
//!
//! Whoever executed commands calls [`Writer::flush`] before it sends the replies. With `always` that returns when all that
//! happened before is safe: one thread makes it so for all that came until then, and the others find their part done. Who has
//! more to do than to wait asks with [`Writer::flush_or_ask`], and a thread of its own makes safe, one time after the other,
//! all that has come meanwhile.
//! Otherwise it hands the bytes to the system, and a thread of its own makes them safe every second.
//!
//! Locks: `file`, then `cuts` or `why`; no shard is locked under either. `cuts` alone is taken under shards.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use respire_journal::Reader;

use crate::disk::{Output, Sync};
use crate::error::reason;
use crate::settings::Fsync;

/// Bytes of a buffer that are kept for the next time.
const KEPT: usize = 1 << 20;
/// Bytes that may wait while the file is being made safe, and writing to it would wait, too.
const POSTPONED_MAX: u64 = 8 << 20;

/// From which position on another file is written to.
struct Cut {
    position: u64,
    out: Box<dyn Output>,
}

struct File {
    out: Box<dyn Output>,
    /// Bytes in the file, and the journal's position that they end at.
    size: u64,
    position: u64,
    /// Taken from the journal and not written yet.
    pending: Vec<u8>,
    spare: Vec<u8>,
}

pub(crate) struct Writer {
    pub(crate) reader: Reader,
    /// What is added to positions where they are told, so that they go on from the log before.
    pub(crate) first: u64,
    file: Mutex<File>,
    cuts: Mutex<VecDeque<Cut>>,
    /// Positions of the journal up to which all is written, and safe.
    written: AtomicU64,
    synced: AtomicU64,
    fsync: AtomicU8,
    syncing: AtomicBool,
    failing: AtomicBool,
    /// Why, while that is set.
    why: Mutex<Option<String>>,
    /// Bytes written since the base was.
    grown: AtomicU64,
    /// Microseconds that writing takes longer than it has to, for tests.
    delay_us: AtomicU64,
}

impl Writer {
    /// Goes on with a file of `size` bytes.
    pub(crate) fn new(reader: Reader, out: Box<dyn Output>, size: u64, first: u64) -> Self {
        let file = File { out, size, position: 0, pending: Vec::new(), spare: Vec::new() };
        Self {
            reader,
            first,
            file: Mutex::new(file),
            cuts: Mutex::default(),
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            fsync: AtomicU8::new(Fsync::EverySecond as u8),
            syncing: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            why: Mutex::default(),
            grown: AtomicU64::new(size),
            delay_us: AtomicU64::new(0),
        }
    }

    pub(crate) fn set_fsync(&self, fsync: Fsync) {
        self.fsync.store(fsync as u8, Ordering::Relaxed);
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        self.delay_us.store(delay.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn is_always(&self) -> bool {
        self.fsync.load(Ordering::Relaxed) == Fsync::Always as u8
    }

    /// Why the last attempt to write failed, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        if self.is_failing() { self.why.lock().clone() } else { None }
    }

    fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// Bytes in the file that is appended to.
    pub(crate) fn size(&self) -> u64 {
        // A cut that nobody has come to yet is taken into account.
        let _ = self.write(self.reader.end());
        self.file.lock().size
    }

    /// Bytes that have been appended since the base was written.
    pub(crate) fn grown(&self) -> u64 {
        self.grown.load(Ordering::Relaxed)
    }

    pub(crate) fn set_grown(&self, bytes: u64) {
        self.grown.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting(&self) -> u64 {
        self.reader.end().saturating_sub(self.written.load(Ordering::Acquire))
    }

    /// Does with all that was appended so far what the settings ask for before anybody is told of it.
    #[inline]
    pub(crate) fn flush(&self) -> io::Result<()> {
        let end = self.reader.end();
        if self.is_always() {
            return if self.synced.load(Ordering::Acquire) >= end {
                Ok(())
            } else {
                self.sync(end)
            };
        }
        let written = self.written.load(Ordering::Acquire);
        // While the file is being made safe, writing would wait for that: its thread writes afterwards.
        let postponed =
            self.syncing.load(Ordering::Relaxed) && end - written.min(end) < POSTPONED_MAX;
        if written >= end || postponed || self.is_failing() { Ok(()) } else { self.write(end) }
    }

    /// As [`Self::flush`], but does not wait for what is being made safe: then it returns the position up to which that has
    /// to come before anybody is told.
    #[inline]
    pub(crate) fn flush_or_ask(&self) -> io::Result<Option<u64>> {
        if !self.is_always() {
            return self.flush().map(|()| None);
        }
        let end = self.reader.end();
        Ok((self.safe_to() < end).then_some(end))
    }

    /// The position up to which all is safe.
    pub(crate) fn safe_to(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Where somebody waits for what was appended to be safe, makes it so. Returns whether there was anything.
    pub(crate) fn sync_if_asked(&self) -> io::Result<bool> {
        let end = self.reader.end();
        if !self.is_always() || self.safe_to() >= end {
            return Ok(false);
        }
        self.sync(end).map(|()| true)
    }

    /// Writes all up to `end`.
    pub(crate) fn write(&self, end: u64) -> io::Result<()> {
        let mut file = self.file.lock();
        if self.written.load(Ordering::Acquire) >= end {
            return Ok(());
        }
        self.write_locked(&mut file)
    }

    /// Writes all up to `end` and makes it safe.
    pub(crate) fn sync(&self, end: u64) -> io::Result<()> {
        let mut file = self.file.lock();
        if self.synced.load(Ordering::Acquire) >= end {
            return Ok(());
        }
        self.write_locked(&mut file)?;
        file.out.syncer().sync()?;
        self.synced.fetch_max(file.position, Ordering::Release);
        Ok(())
    }

    /// Makes safe what has been written, without keeping others from writing; then writes what they have left.
    pub(crate) fn sync_in_background(&self) -> io::Result<()> {
        let (syncer, position): (Arc<dyn Sync>, u64) = {
            let file = self.file.lock();
            (file.out.syncer(), file.position)
        };
        if self.synced.load(Ordering::Acquire) < position {
            self.syncing.store(true, Ordering::Relaxed);
            let synced = syncer.sync();
            self.syncing.store(false, Ordering::Relaxed);
            synced?;
            self.synced.fetch_max(position, Ordering::Release);
        }
        self.write(self.reader.end())
    }

    /// What is appended from here on goes to another file. All shards are held.
    pub(crate) fn cut(&self, out: Box<dyn Output>) {
        let position = self.reader.cut();
        self.cuts.lock().push_back(Cut { position, out });
    }

    fn write_locked(&self, file: &mut File) -> io::Result<()> {
        if file.pending.is_empty() {
            let mut taken = std::mem::take(&mut file.spare);
            self.reader.take(&mut taken);
            file.pending = taken;
        } else {
            // What could not be written comes first.
            let mut more = Vec::new();
            self.reader.take(&mut more);
            file.pending.append(&mut more);
        }
        let delay_us = self.delay_us.load(Ordering::Relaxed);
        if delay_us > 0 && !file.pending.is_empty() {
            std::thread::sleep(Duration::from_micros(delay_us));
        }
        let written = self.write_pending(file);
        if let Err(error) = &written {
            *self.why.lock() = Some(reason(error));
        }
        self.failing.store(written.is_err(), Ordering::Release);
        self.written.fetch_max(file.position, Ordering::Release);
        written
    }

    fn write_pending(&self, file: &mut File) -> io::Result<()> {
        loop {
            let cut = self.cuts.lock().front().map(|cut| cut.position);
            let until = match cut {
                Some(position) => (position - file.position) as usize,
                None => file.pending.len(),
            };
            let until = until.min(file.pending.len());
            if until > 0 {
                let (kept, done) = append(&mut *file.out, &file.pending[..until], file.size);
                file.size += kept as u64;
                file.position += kept as u64;
                self.grown.fetch_add(kept as u64, Ordering::Relaxed);
                file.pending.drain(..kept);
                done?;
            }
            if cut != Some(file.position) {
                break;
            }
            // The old file is complete, and has to be safe before anything in the new one counts.
            file.out.syncer().sync()?;
            let Some(Cut { out, .. }) = self.cuts.lock().pop_front() else { break };
            (file.out, file.size) = (out, 0);
        }
        if file.pending.is_empty() {
            file.spare = std::mem::take(&mut file.pending);
            file.spare.shrink_to(KEPT);
        }
        Ok(())
    }
}

/// Appends `bytes` to a file of `size` bytes, or leaves it as it was. Returns how many of them are in it afterwards: where
/// it can't be cut back, either, that may be some, and those that are missing have to follow.
fn append(out: &mut dyn Output, bytes: &[u8], size: u64) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        let error = match out.write(&bytes[written..]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(more) => {
                written += more;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        log::error!("Error writing to the AOF file: {error}");
        if written > 0 {
            // Half a request must not stay there if the server ends before it can write the rest.
            match out.truncate(size) {
                Ok(()) => written = 0,
                Err(error) => log::error!("Could not remove what was written of it: {error}"),
            }
        }
        return (written, Err(error));
    }
    (written, Ok(()))
}
