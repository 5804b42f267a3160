//! Who saves, and when: the one place that knows what is being written, what was asked for, and how it ended.
//!
//! Threads: `respire-save` writes snapshots, and bases of the append-only file; `respire-aof` makes safe what has been
//! appended, every second. Both run for as long as the server.
//!
//! Locks: `state`, then `jobs`, are taken alone, or under shards by a command inside EXEC; under them only the reasons why the
//! log is not written or not safe. No shard is locked under the writer's locks.

mod log_keeper;
mod start;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};
use respire_engine::config::Settings;
use respire_engine::{Engine, PersistenceInfo, Refusal};
use respire_keyspace::{Held, Mode};

use crate::aof::writer::Writer;
use crate::disk::{Disk, RealDisk};
use crate::rdb_file::{Purpose, Writing, is_cancelled};
use crate::settings::Files;
use crate::snapshot::{Shards, Snapshot};

/// How often the threads look whether there is something to do.
const TICK: Duration = Duration::from_millis(100);
/// After a snapshot that failed, the next one is not tried earlier.
const RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Save,
    Rewrite,
}

/// Who waits for a snapshot. Whoever does hears of its failure; of one that nobody waits for it must be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Somebody,
    Nobody,
}

#[derive(Debug, Default)]
struct Jobs {
    /// What a thread is at, or will be at next.
    running: Option<Job>,
    /// `running` waits for its thread.
    fresh: bool,
    save_wanted: bool,
    rewrite_wanted: bool,
    /// The log has been found to be switched off, and is being closed.
    log_ends: bool,
    /// Files of the log that are no longer needed may go.
    tidy_wanted: bool,
    stopping: bool,
}

impl Jobs {
    /// The log is switched on: if the former one is just being closed, it is no log for that. Another one is wanted then, and
    /// known to be from now on.
    fn ask_for_another_log(&mut self) -> bool {
        self.rewrite_wanted |= self.log_ends;
        self.log_ends
    }

    /// What was asked for while something else was under way.
    fn take_wanted(&mut self) -> Option<Job> {
        if !self.log_ends && std::mem::take(&mut self.rewrite_wanted) {
            return Some(Job::Rewrite);
        }
        std::mem::take(&mut self.save_wanted).then_some(Job::Save)
    }
}

/// What became of what was written.
#[derive(Debug)]
struct State {
    last_save_s: i64,
    save_failed: bool,
    last_try: Option<Instant>,
    began: Option<Instant>,
    last_save_took_s: i64,
    saves: u64,
    rewrite_failed: bool,
    last_rewrite_took_s: i64,
    rewrites: u64,
    rewrite_failures: u64,
    /// It was said that these are many.
    limit_told: bool,
    /// Bytes of the files of the log when the last rewrite ended, and of the base alone.
    base_size: u64,
    size_at_rewrite: u64,
}

/// Figures of loading.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes: AtomicU64,
    pub(crate) total: AtomicU64,
    pub(crate) keys: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) began_s: AtomicI64,
}

/// Everything about files.
pub struct Persistence {
    disk: Arc<dyn Disk>,
    engine: OnceLock<Weak<Engine>>,
    writer: ArcSwapOption<Writer>,
    jobs: Mutex<Jobs>,
    bell: Condvar,
    state: Mutex<State>,
    saved_keys: AtomicU64,
    total_keys: AtomicU64,
    /// What is being written is not wanted any more.
    cancelled: AtomicBool,
    /// The file that is being written.
    unfinished: Mutex<Option<PathBuf>>,
    /// The increment that is appended to while the first base of its log is written.
    unnamed: Mutex<Option<PathBuf>>,
    progress: Progress,
    /// The position at which the last log that was switched off ended.
    log_ended_at: AtomicU64,
    /// The position up to which somebody waits for what was appended to be safe, if anybody does.
    sync_asked: Mutex<Option<u64>>,
    sync_bell: Condvar,
    /// Why making the log safe failed the last time, if it did.
    sync_failure: Mutex<Option<String>>,
}

impl Default for Persistence {
    fn default() -> Self {
        Self::new(Arc::new(RealDisk))
    }
}

impl Persistence {
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        let state = State {
            last_save_s: 0,
            save_failed: false,
            last_try: None,
            began: None,
            last_save_took_s: -1,
            saves: 0,
            rewrite_failed: false,
            last_rewrite_took_s: -1,
            rewrites: 0,
            rewrite_failures: 0,
            limit_told: false,
            base_size: 0,
            size_at_rewrite: 0,
        };
        Self {
            disk,
            engine: OnceLock::new(),
            writer: ArcSwapOption::empty(),
            jobs: Mutex::default(),
            bell: Condvar::new(),
            state: Mutex::new(state),
            saved_keys: AtomicU64::new(0),
            total_keys: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            unfinished: Mutex::default(),
            unnamed: Mutex::default(),
            progress: Progress::default(),
            log_ended_at: AtomicU64::new(0),
            sync_asked: Mutex::default(),
            sync_bell: Condvar::new(),
            sync_failure: Mutex::default(),
        }
    }

    /// Tells whose keyspace this is about. Once.
    pub fn attach(&self, engine: &Arc<Engine>) {
        let _ = self.engine.set(Arc::downgrade(engine));
        self.state.lock().last_save_s = unix_s(engine);
    }

    fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.get().and_then(Weak::upgrade)
    }

    /// The work of the thread `respire-save`. Returns when the server stops.
    pub fn save_loop(&self) {
        loop {
            let tidy;
            let job = {
                let mut jobs = self.jobs.lock();
                if !jobs.fresh && !jobs.stopping && !jobs.tidy_wanted {
                    self.bell.wait_for(&mut jobs, TICK);
                }
                if jobs.stopping {
                    return;
                }
                tidy = std::mem::take(&mut jobs.tidy_wanted);
                if jobs.running.is_none() {
                    let next = jobs.take_wanted();
                    (jobs.running, jobs.fresh) = (next, next.is_some());
                }
                if std::mem::take(&mut jobs.fresh) { jobs.running } else { None }
            };
            let Some(engine) = self.engine() else { return };
            if tidy {
                self.drop_history_now(&engine);
            }
            match job {
                // How it ends, is in the log and in INFO.
                Some(Job::Save) => drop(self.run_save(&engine, None, Wait::Nobody)),
                Some(Job::Rewrite) => self.run_rewrite(&engine),
                None => self.look_around(&engine),
            }
        }
    }

    /// Ends a job. What has become of it, what follows for writes, and that another may begin are so at once: whoever sees
    /// one of them counts on the others.
    fn end_job(&self, engine: &Engine, settings: &Settings, note: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        state.began = None;
        note(&mut state);
        self.refuse_as_noted(engine, settings, &state);
        let mut jobs = self.jobs.lock();
        jobs.running = None;
        self.cancelled.store(false, Ordering::Relaxed);
        self.bell.notify_all();
    }

    /// Has what is under way end without a result, if it is a `job`. Returns whether it was.
    fn cancel(&self, job: Job) -> bool {
        let jobs = self.jobs.lock();
        let found = jobs.running == Some(job);
        if found {
            self.cancelled.store(true, Ordering::Relaxed);
        }
        found
    }

    /// All databases have been emptied: what a snapshot is being written of is not wanted any more. `save` asks for one of
    /// what there is now.
    pub fn emptied(&self, save: bool) {
        if self.cancel(Job::Save) {
            log::info!("The snapshot that is being written is given up: all its keys are gone");
        }
        if save && self.begin_job(Job::Save).is_err() {
            self.jobs.lock().save_wanted = true;
        }
    }

    /// Begins what is due.
    fn look_around(&self, engine: &Engine) {
        if engine.is_loading() {
            return;
        }
        let settings = engine.config.load();
        if self.is_save_due(engine, &settings) {
            let _ = self.begin_job(Job::Save);
        } else if self.is_rewrite_due(&settings) {
            log::info!("Starting automatic rewriting of AOF");
            let _ = self.begin_job(Job::Rewrite);
        }
        self.note_refusals(engine, &settings);
    }

    fn is_save_due(&self, engine: &Engine, settings: &Settings) -> bool {
        let state = self.state.lock();
        if state.save_failed && state.last_try.is_some_and(|at| at.elapsed() < RETRY) {
            return false;
        }
        let age = (unix_s(engine) - state.last_save_s).max(0) as u64;
        drop(state);
        let points = Files(settings).save_points();
        let Some(least) = points.iter().filter(|(after, _)| age >= *after).map(|p| p.1).min()
        else {
            return false;
        };
        let changes = engine.unsaved_changes();
        let due = changes >= least.max(1);
        if due {
            log::info!("{changes} changes in {age} seconds. Saving...");
        }
        due
    }

    /// Marks a job as begun, for its thread to take up. Returns whether nothing else was under way.
    fn begin_job(&self, job: Job) -> Result<(), Job> {
        let mut jobs = self.jobs.lock();
        if let Some(running) = jobs.running {
            return Err(running);
        }
        (jobs.running, jobs.fresh) = (Some(job), true);
        self.bell.notify_all();
        Ok(())
    }

    /// BGSAVE. The reply, or the error.
    pub fn save_in_background(&self, schedule: bool) -> Result<&'static str, &'static str> {
        match self.begin_job(Job::Save) {
            Ok(()) => Ok("Background saving started"),
            Err(Job::Save) => Err("Background save already in progress"),
            Err(Job::Rewrite) if schedule => {
                self.jobs.lock().save_wanted = true;
                Ok("Background saving scheduled")
            }
            Err(Job::Rewrite) => Err(
                "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
                 schedule a BGSAVE whenever possible.",
            ),
        }
    }

    /// BGREWRITEAOF. The reply, or the error.
    pub fn rewrite_in_background(&self) -> Result<&'static str, &'static str> {
        match self.begin_job(Job::Rewrite) {
            Ok(()) => Ok("Background append only file rewriting started"),
            Err(Job::Rewrite) => Err("Background append only file rewriting already in progress"),
            Err(Job::Save) => {
                self.jobs.lock().rewrite_wanted = true;
                Ok("Background append only file rewriting scheduled")
            }
        }
    }

    /// SAVE: writes a snapshot before it returns. The calling thread holds no shard, or all of them.
    pub fn save(&self, engine: &Engine, held: Option<&mut Held<'_>>) -> Result<(), String> {
        match self.jobs.lock().running {
            Some(Job::Save) => return Err("Background save already in progress".into()),
            // A rewrite may need the shards to come to its end.
            Some(Job::Rewrite) if held.is_some() => {
                return Err("Another child process is active (AOF?): can't SAVE right now".into());
            }
            _ => {}
        }
        self.save_in_turn(engine, held)
    }

    /// Writes a snapshot when what is under way has ended: two at once there are not.
    fn save_in_turn(&self, engine: &Engine, held: Option<&mut Held<'_>>) -> Result<(), String> {
        {
            let mut jobs = self.jobs.lock();
            while jobs.running.is_some() {
                self.bell.wait(&mut jobs);
            }
            (jobs.running, jobs.fresh) = (Some(Job::Save), false);
        }
        let saved = self.run_save(engine, held, Wait::Somebody);
        saved.map_err(|error| error.to_string())
    }

    fn note_begun(&self, began: Instant) {
        let mut state = self.state.lock();
        (state.began, state.last_try) = (Some(began), Some(began));
    }

    /// Does the job of saving, and ends it.
    fn run_save(&self, engine: &Engine, held: Option<&mut Held<'_>>, wait: Wait) -> io::Result<()> {
        let began = Instant::now();
        self.note_begun(began);
        let settings = engine.config.load();
        let path = Files(&settings).rdb_path();
        let mut changes = 0;
        let saved =
            self.write_snapshot(engine, &settings, held, &path, Purpose::Snapshot, |held| {
                changes = engine.changes_held(held);
            });
        // One that nobody wants any more has not failed.
        let failed = saved.as_ref().is_err_and(|error| !is_cancelled(error));
        self.end_job(engine, &settings, |state| {
            state.save_failed &= saved.is_err();
            state.save_failed |= failed && wait == Wait::Nobody;
            state.last_save_took_s = began.elapsed().as_secs() as i64;
            match &saved {
                Ok(_) => {
                    state.saves += 1;
                    state.last_save_s = unix_s(engine);
                    engine.note_saved(changes);
                    log::info!("DB saved on disk");
                }
                Err(error) => log::error!("Error saving DB to {}: {error}", path.display()),
            }
        });
        saved.map(|_| ())
    }

    /// Writes what there is now to a file. `at_once` is called at the moment that the file is of, when all shards are held.
    fn write_snapshot(
        &self,
        engine: &Engine,
        settings: &Settings,
        held: Option<&mut Held<'_>>,
        path: &Path,
        purpose: Purpose,
        at_once: impl FnOnce(&mut Held<'_>),
    ) -> io::Result<u64> {
        let writing = Writing {
            disk: &*self.disk,
            settings,
            purpose,
            used_memory: engine.host.memory().allocated,
            progress: &self.saved_keys,
            cancelled: &self.cancelled,
            unfinished: &self.unfinished,
        };
        self.saved_keys.store(0, Ordering::Relaxed);
        match held {
            Some(held) => {
                let snapshot = Snapshot::begin(engine, held, purpose.form());
                at_once(held);
                self.total_keys.store(snapshot.keys(), Ordering::Relaxed);
                writing.write(engine, snapshot, Shards::Held(held), path)
            }
            None => {
                let mut all = engine.keyspace.hold_all(Mode::Write);
                let snapshot = Snapshot::begin(engine, &mut all, purpose.form());
                at_once(&mut all);
                drop(all);
                self.total_keys.store(snapshot.keys(), Ordering::Relaxed);
                writing.write(engine, snapshot, Shards::InTurn(engine), path)
            }
        }
    }

    /// Tells the engine whether writes have to be refused, because they could not be kept.
    fn note_refusals(&self, engine: &Engine, settings: &Settings) {
        self.refuse_as_noted(engine, settings, &self.state.lock());
    }

    /// The same where the state is held, as it must be until the engine knows: of two threads that look, the one that has
    /// seen less must not have the last word.
    fn refuse_as_noted(&self, engine: &Engine, settings: &Settings, state: &State) {
        let files = Files(settings);
        let no_snapshot =
            files.stop_writes() && !files.save_points().is_empty() && state.save_failed;
        engine.refuse_writes(Refusal::Snapshot, no_snapshot);
        match self.log_failure() {
            Some(why) => {
                engine.note_log_failure(&why);
                engine.refuse_writes(Refusal::Log, true);
            }
            None => engine.refuse_writes(Refusal::Log, false),
        }
    }

    /// Why the log can't be written, or can't be made safe, if that is so.
    fn log_failure(&self) -> Option<String> {
        let unwritten = self.writer.load().as_ref().and_then(|writer| writer.failure());
        unwritten.or_else(|| self.sync_failure.lock().clone())
    }

    /// Takes over changed settings. The threads do by themselves what begins or ends with them: see [`Self::save_loop`] and
    /// [`Self::sync_loop`]. May be called under shards.
    pub fn settings_changed(&self, new: &Settings) {
        if let Some(writer) = &*self.writer.load() {
            writer.set_fsync(Files(new).fsync());
            writer.reader.stamp(Files(new).timestamps());
        }
    }

    /// Saves before the end, if the settings or the user ask for it. Nothing may be executed any more. With `force` only what
    /// was to be saved is waited for, whatever becomes of it.
    pub fn before_end(
        &self,
        engine: &Engine,
        save: Option<bool>,
        force: bool,
    ) -> Result<(), String> {
        // What it would hold is saved now, or not wanted.
        if self.cancel(Job::Save) {
            log::warn!(
                "There is a child saving an .rdb. Killing it! (No child: its thread gives up.)"
            );
        }
        let settings = engine.config.load();
        let is_new = self.writer.load().is_none() || self.unnamed.lock().is_some();
        if is_new && Files(&settings).append_only() && !engine.is_loading() {
            // What is meant to be in the log is nowhere yet.
            if !force {
                log::warn!("Writing initial AOF, can't exit.");
                return Err("the first base of the AOF is being written".into());
            }
            log::warn!("Writing initial AOF. Exit anyway.");
        }
        if self.cancel(Job::Rewrite) {
            log::warn!(
                "There is a child rewriting the AOF. Killing it! (No child: its thread gives up.)"
            );
        }
        self.await_jobs();
        if let Some(writer) = self.writer.load_full()
            && let Err(error) = writer.sync(writer.reader.end())
        {
            log::error!("Fail to fsync the AOF file: {error}");
            return Err(error.to_string());
        }
        let wanted = save.unwrap_or(!Files(&settings).save_points().is_empty());
        if wanted && !engine.is_loading() {
            log::info!("Saving the final RDB snapshot before exiting.");
            self.save_in_turn(engine, None)?;
        }
        Ok(())
    }

    fn await_jobs(&self) {
        let mut jobs = self.jobs.lock();
        while jobs.running.is_some() {
            self.bell.wait(&mut jobs);
        }
    }

    /// Removes what is being written, as the process ends now.
    pub fn drop_unfinished(&self) {
        if let Some(path) = self.unfinished.lock().take() {
            let _ = self.disk.remove(&path);
        }
    }

    /// DEBUG AOF-FLUSH-SLEEP, for the log that is in use.
    pub fn delay_flushes(&self, micros: u64) {
        if let Some(writer) = &*self.writer.load() {
            writer.set_delay(Duration::from_micros(micros));
        }
    }

    /// Ends the threads. What was to be saved has been: nobody waits for what they may have begun by themselves since.
    pub fn stop(&self) {
        let mut jobs = self.jobs.lock();
        jobs.stopping = true;
        self.cancelled.store(jobs.running.is_some(), Ordering::Relaxed);
        self.bell.notify_all();
    }

    /// Bytes that are still to be written to the log.
    pub fn log_waiting(&self) -> u64 {
        self.writer.load().as_ref().map_or(0, |writer| writer.waiting())
    }

    /// What INFO tells.
    pub fn info(&self) -> PersistenceInfo {
        let state = self.state.lock();
        let jobs = self.jobs.lock();
        let (saving, rewriting) =
            (jobs.running == Some(Job::Save), jobs.running == Some(Job::Rewrite));
        let wanted = jobs.rewrite_wanted;
        drop(jobs);
        let enabled = self.engine().is_some_and(|e| Files(&e.config.load()).append_only());
        let writer = self.writer.load();
        let running = state.began.map_or(-1, |at| at.elapsed().as_secs() as i64);
        let busy = saving || rewriting;
        PersistenceInfo {
            last_save_s: state.last_save_s,
            saving,
            save_failed: state.save_failed,
            last_save_took_s: state.last_save_took_s,
            saving_for_s: if saving { running.max(0) } else { -1 },
            saves: state.saves,
            saved_keys: if busy { self.saved_keys.load(Ordering::Relaxed) } else { 0 },
            total_keys: if busy { self.total_keys.load(Ordering::Relaxed) } else { 0 },
            loaded_keys: self.progress.keys.load(Ordering::Relaxed),
            expired_keys: self.progress.expired.load(Ordering::Relaxed),
            load_began_s: self.progress.began_s.load(Ordering::Relaxed),
            load_total_bytes: self.progress.total.load(Ordering::Relaxed),
            load_bytes: self.progress.bytes.load(Ordering::Relaxed),
            log_enabled: enabled,
            rewriting,
            // The rewrite that begins a log is due as soon as the log is switched on.
            rewrite_scheduled: wanted || (enabled && writer.is_none() && !rewriting),
            rewrite_failed: state.rewrite_failed,
            last_rewrite_took_s: state.last_rewrite_took_s,
            rewriting_for_s: if rewriting { running.max(0) } else { -1 },
            rewrites: state.rewrites,
            rewrite_failures: state.rewrite_failures,
            log_failed: self.log_failure().is_some(),
            log_size: writer.as_ref().map_or(0, |writer| state.base_size + writer.grown()),
            log_base_size: state.size_at_rewrite,
            log_waiting: writer.as_ref().map_or(0, |writer| writer.waiting()),
        }
    }
}

fn unix_s(engine: &Engine) -> i64 {
    engine.clock.unix_us() / 1_000_000
}
