//! The append-only file in use: flushed, made safe, rewritten, switched on and off.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use respire_engine::Engine;
use respire_engine::config::Settings;
use respire_keyspace::Mode;

use super::{Job, Persistence, RETRY, State, TICK};
use crate::aof::manifest::{Kind, Manifest};
use crate::aof::writer::Writer;
use crate::disk::remove_gently;
use crate::error::reason;
use crate::rdb_file::{Purpose, is_cancelled};
use crate::settings::{Files, Fsync};

/// How often what was appended is made safe.
const SYNC_EVERY: Duration = Duration::from_secs(1);

impl Persistence {
    /// Does with what was appended what the settings ask for before anybody is told of it. A failure means that it must
    /// not be told.
    #[inline]
    pub fn flush_log(&self) -> io::Result<()> {
        match &*self.writer.load() {
            Some(writer) => writer.flush().or_else(|error| self.after_failure(writer, error)),
            None => Ok(()),
        }
    }

    /// What could not be handed to the system waits, and nothing more is accepted until it is. Where it was to be safe by
    /// now, that is no way out.
    #[cold]
    fn after_failure(&self, writer: &Writer, error: io::Error) -> io::Result<()> {
        if writer.is_always() {
            return Err(error);
        }
        if let Some(engine) = self.engine() {
            self.note_refusals(&engine, &engine.config.load());
        }
        Ok(())
    }

    /// As [`Self::flush_log`], but where that would wait, it returns the position that [`Self::safe_to`] has to reach before
    /// anybody is told. The work of [`Self::sync_loop`] brings it there.
    #[inline]
    pub fn flush_or_ask(&self) -> io::Result<Option<u64>> {
        let Some(writer) = &*self.writer.load() else { return Ok(None) };
        match writer.flush_or_ask() {
            Ok(None) => Ok(None),
            Ok(Some(position)) => {
                *self.sync_asked.lock() = Some(position);
                self.sync_bell.notify_one();
                Ok(Some(writer.first + position))
            }
            Err(error) => self.after_failure(writer, error).map(|()| None),
        }
    }

    /// The position up to which what was appended is safe. Without a log, nobody has to wait.
    pub fn safe_to(&self) -> u64 {
        self.writer.load().as_ref().map_or(u64::MAX, |writer| writer.first + writer.safe_to())
    }

    /// Makes safe all that was appended so far.
    pub fn sync_log(&self) -> Option<io::Result<()>> {
        let writer = self.writer.load_full()?;
        let was_failing = writer.failure().is_some();
        let synced = writer.sync(writer.reader.end());
        if was_failing
            && synced.is_ok()
            && let Some(engine) = self.engine()
        {
            self.note_refusals(&engine, &engine.config.load());
        }
        Some(synced)
    }

    /// The work of the thread `respire-aof`: calls `told` whenever more is safe that somebody waits for, and `lost` if it
    /// can't be made so. Returns when the server stops.
    pub fn sync_loop(&self, told: &dyn Fn(), lost: &dyn Fn(&io::Error)) {
        let mut next = Instant::now() + SYNC_EVERY;
        let mut took = Duration::ZERO;
        while !self.jobs.lock().stopping {
            {
                let mut asked = self.sync_asked.lock();
                if asked.is_none() {
                    self.sync_bell.wait_for(&mut asked, TICK);
                }
                // Who has appended behind that is at work on another thread, and will ask in a moment: one sync for both.
                let patience = Instant::now() + took / 4;
                while asked.is_some_and(|position| self.is_appended_behind(position))
                    && !self.sync_bell.wait_until(&mut asked, patience).timed_out()
                {
                }
                *asked = None;
            }
            let Some(engine) = self.engine() else { return };
            let Some(writer) = self.log_in_use(&engine) else {
                // The log may have been switched off while somebody waited for it.
                told();
                continue;
            };
            let began = Instant::now();
            let synced = writer.sync_if_asked();
            took = began.elapsed();
            match synced {
                Ok(true) => told(),
                Ok(false) => {}
                Err(error) => lost(&error),
            }
            if Instant::now() < next {
                continue;
            }
            next = Instant::now() + SYNC_EVERY;
            self.care_for(&engine, &writer);
        }
    }

    fn is_appended_behind(&self, position: u64) -> bool {
        self.writer.load().as_ref().is_some_and(|writer| writer.reader.end() > position)
    }

    /// What is appended to. A log that has been switched off is ended here, where nothing is locked.
    fn log_in_use(&self, engine: &Engine) -> Option<Arc<Writer>> {
        let writer = self.writer.load_full()?;
        {
            let mut jobs = self.jobs.lock();
            if Files(&engine.config.load()).append_only() {
                return Some(writer);
            }
            jobs.log_ends = true;
        }
        self.close_log(engine);
        self.jobs.lock().log_ends = false;
        self.bell.notify_all();
        None
    }

    fn care_for(&self, engine: &Engine, writer: &Writer) {
        let settings = engine.config.load();
        let files = Files(&settings);
        let rests = files.no_fsync_on_rewrite() && self.jobs.lock().running.is_some();
        let done = match files.fsync() {
            Fsync::EverySecond if !rests => writer.sync_in_background(),
            _ => writer.write(writer.reader.end()),
        };
        let failure = done.err().map(|error| reason(&error));
        let before = std::mem::replace(&mut *self.sync_failure.lock(), failure.clone());
        if let (Some(why), None) = (failure, before) {
            log::error!("Fail to keep the AOF file: {why}");
        }
        self.note_refusals(engine, &settings);
    }

    pub(super) fn is_rewrite_due(&self, settings: &Settings) -> bool {
        let mut state = self.state.lock();
        if state.rewrite_failed && state.last_try.is_some_and(|at| at.elapsed() < state.patience())
        {
            return false;
        }
        let Some(writer) = self.writer.load_full() else {
            // The log was switched on, and begins with a base.
            return Files(settings).append_only();
        };
        let (percentage, least) = Files(settings).rewrite_from();
        let size = state.base_size + writer.grown();
        let before = state.size_at_rewrite.max(1);
        percentage > 0
            && size >= least
            && size.saturating_sub(before).saturating_mul(100) / before >= percentage
    }

    /// Does the job of rewriting the log, and ends it.
    pub(super) fn run_rewrite(&self, engine: &Engine) {
        let began = Instant::now();
        self.note_begun(began);
        let rewritten = self.rewrite(engine);
        self.end_job(engine, &engine.config.load(), |state| {
            state.last_rewrite_took_s = began.elapsed().as_secs() as i64;
            match rewritten {
                Ok(()) => {
                    state.rewrites += 1;
                    (state.rewrite_failed, state.rewrite_failures) = (false, 0);
                    log::info!("Background AOF rewrite finished successfully");
                }
                Err(error) if is_cancelled(&error) => {
                    log::info!("Background AOF rewrite given up");
                }
                Err(error) => {
                    state.rewrite_failures += 1;
                    (state.rewrite_failed, state.limit_told) = (true, false);
                    log::error!("Background AOF rewrite failed: {error}");
                }
            }
        });
    }

    /// Writes a new base, and begins a new increment at the same moment. If that fails, the log goes on as it was, or is off
    /// if it was off before.
    fn rewrite(&self, engine: &Engine) -> io::Result<()> {
        let was_on = self.writer.load().is_some();
        let rewritten = self.write_base(engine);
        if rewritten.is_err() && !was_on {
            // No manifest names the increment: nothing that goes there would be found again.
            self.close_log(engine);
            self.drop_unnamed(engine);
        }
        rewritten
    }

    fn write_base(&self, engine: &Engine) -> io::Result<()> {
        let settings = engine.config.load();
        let files = Files(&settings);
        let (dir, name) = (files.append_dir(), files.append_name());
        self.make_dir(&dir)?;
        let path = Manifest::path(&dir, &name);
        let loaded = Manifest::load(&*self.disk, &path);
        let mut manifest =
            loaded.map_err(|error| io::Error::other(error.to_string()))?.unwrap_or_default();
        let before = self.writer.load_full();
        let increment = files.append_only().then(|| manifest.add_increment(&name));
        let first = increment.clone().unwrap_or_default();
        let mut out = match &increment {
            Some(increment) => Some(self.disk.create(&dir.join(increment))?),
            None => None,
        };
        *self.unnamed.lock() = match (&increment, &before) {
            (Some(increment), None) => Some(dir.join(increment)),
            _ => None,
        };
        if before.is_some() {
            // Should the machine end while the base is written, what is appended meanwhile is part of the log. The
            // file is there before a manifest names it.
            self.disk.sync_dir(&dir)?;
            manifest.store(&*self.disk, &dir, &name)?;
        }
        let form = files.base_form();
        let base = manifest.next_base(&name, form);
        let base_path = dir.join(&base.name);
        let size = self.write_snapshot(
            engine,
            &settings,
            None,
            &base_path,
            Purpose::Base(form),
            |held| {
                let Some(out) = out.take() else { return };
                match &before {
                    Some(writer) => writer.cut(out),
                    None => {
                        let reader = engine.subscribe_held(held);
                        reader.stamp(files.timestamps());
                        let writer =
                            Writer::new(reader, out, 0, self.log_ended_at.load(Ordering::Relaxed));
                        writer.set_fsync(files.fsync());
                        self.writer.store(Some(Arc::new(writer)));
                    }
                }
            },
        )?;
        manifest.rebase(base, &first);
        manifest.store(&*self.disk, &dir, &name)?;
        *self.unnamed.lock() = None;
        if !files.keep_history() {
            self.drop_history(manifest, &dir, &name);
        }
        self.note_base(size);
        Ok(())
    }

    /// Removes the increment of a log whose first base has failed, unless the manifest has come so far as to name it.
    fn drop_unnamed(&self, engine: &Engine) {
        let Some(path) = self.unnamed.lock().take() else { return };
        let settings = engine.config.load();
        let (dir, name) = (Files(&settings).append_dir(), Files(&settings).append_name());
        let names_it =
            |manifest: &Manifest| manifest.parts.iter().any(|p| dir.join(&p.name) == path);
        match Manifest::load(&*self.disk, &Manifest::path(&dir, &name)) {
            Ok(manifest) if !manifest.as_ref().is_some_and(names_it) => {
                log::info!("Removing the temp incr aof file {}: it has no base", path.display());
                let _ = self.disk.remove(&path);
            }
            _ => {}
        }
    }

    /// Makes the directory of the log, if it is not there.
    pub(super) fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)?;
        // What is in it is safe only if it is itself.
        self.disk.sync_dir(dir.parent().unwrap_or(Path::new(".")))
    }

    /// Settings have changed, and are in force. May be called under shards.
    pub fn settings_in_force(&self, changed: &[&str]) {
        let Some(engine) = self.engine() else { return };
        let settings = engine.config.load();
        let files = Files(&settings);
        if changed.contains(&"appendonly") && !engine.is_loading() {
            if !files.append_only() {
                if self.cancel(Job::Rewrite) {
                    log::info!(
                        "Killing AOF child: the AOF is off. (No child: its thread gives up.)"
                    );
                }
                self.jobs.lock().rewrite_wanted = false;
            } else if self.jobs.lock().ask_for_another_log() {
                log::info!("AOF was enabled while the former one ends: another begins in a moment");
            } else if self.writer.load().is_none() && self.begin_job(Job::Rewrite).is_err() {
                // Even if that is a rewrite: it is one for a log that is off.
                log::info!(
                    "AOF was enabled but there is already another background operation. An AOF background was scheduled to start when possible."
                );
                self.jobs.lock().rewrite_wanted = true;
            }
        }
        if changed.contains(&"aof-disable-auto-gc") && !files.keep_history() {
            self.jobs.lock().tidy_wanted = true;
            self.bell.notify_all();
        }
    }

    /// Removes the files that are no longer needed, as they are to go from now on.
    pub(super) fn drop_history_now(&self, engine: &Engine) {
        let settings = engine.config.load();
        let (dir, name) = (Files(&settings).append_dir(), Files(&settings).append_name());
        if let Ok(Some(manifest)) = Manifest::load(&*self.disk, &Manifest::path(&dir, &name)) {
            self.drop_history(manifest, &dir, &name);
        }
    }

    /// Removes the files that are no longer needed. What can't be removed stays in the manifest, for the next time.
    fn drop_history(&self, mut manifest: Manifest, dir: &Path, name: &str) {
        manifest.parts.retain(|part| {
            let path = dir.join(&part.name);
            part.kind != Kind::History
                || match remove_gently(&*self.disk, &path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        log::warn!("Could not remove {}: {error}", path.display());
                        true
                    }
                    _ => false,
                }
        });
        if let Err(error) = manifest.store(&*self.disk, dir, name) {
            log::warn!("The manifest still names files that are gone: {error}");
        }
    }

    /// A new base was written: what is appended counts from it.
    fn note_base(&self, size: u64) {
        let writer = self.writer.load();
        let grown = writer.as_ref().map_or(0, |writer| writer.size());
        if let Some(writer) = &*writer {
            writer.set_grown(grown);
        }
        let mut state = self.state.lock();
        state.base_size = size;
        state.size_at_rewrite = size + grown;
    }

    /// Ends the log, as far as it got.
    fn close_log(&self, engine: &Engine) {
        let Some(writer) = self.writer.swap(None) else { return };
        {
            let mut held = engine.keyspace.hold_all(Mode::Write);
            engine.unsubscribe_held(&mut held, &writer.reader);
        }
        // Who waits for a position of this log must not be compared with the next one's.
        self.log_ended_at.store(writer.first + writer.reader.end(), Ordering::Relaxed);
        if let Err(error) = writer.sync(writer.reader.end()) {
            log::error!("Fail to fsync the AOF file: {error}");
        }
    }
}

impl State {
    /// How long no rewrite begins by itself after one that has failed: each leaves one more file to the log.
    fn patience(&mut self) -> Duration {
        /// Failures that are met with patience.
        const MANY: u64 = 3;
        const MINUTE: Duration = Duration::from_secs(60);
        let Some(more) = self.rewrite_failures.checked_sub(MANY) else { return RETRY };
        let minutes = 1 << more.min(6);
        if !std::mem::replace(&mut self.limit_told, true) {
            log::warn!(
                "Background AOF rewrite has repeatedly failed {} times and triggered the limit, will retry in {} minutes",
                self.rewrite_failures,
                minutes.min(60)
            );
        }
        MINUTE * minutes.min(60)
    }
}
