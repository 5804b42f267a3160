//! The start of a server: what is on disk is loaded, and the log goes on behind it. And the same again at run time, for
//! DEBUG.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use respire_engine::config::Settings;
use respire_engine::{Engine, Reload};
use respire_keyspace::{Held, Mode};

use super::{Job, Persistence, unix_s};
use crate::aof::load::{Extent, Replay};
use crate::aof::manifest::{Kind, Manifest, Part};
use crate::aof::writer::Writer;
use crate::disk::remove_temporary;
use crate::error::Failure;
use crate::rdb_file::{LoadedFile, Loading};
use crate::settings::Files;

impl Persistence {
    /// Loads what is on disk into the empty keyspace, and opens the log if there is to be one. Commands are answered with
    /// an error meanwhile, if they would notice.
    pub fn load(&self, engine: &Engine) -> Result<(), Failure> {
        self.begin_loading(engine);
        let loaded = self.load_all(engine);
        engine.distrust_times();
        engine.note_saved(engine.changes());
        // Nobody is to see what was read of a damaged file, not even until the server has ended.
        engine.set_loading(loaded.is_err());
        loaded
    }

    /// From now on all are told that the data is loaded, and since when.
    pub fn begin_loading(&self, engine: &Engine) {
        self.progress.began_s.store(unix_s(engine), Ordering::Relaxed);
        engine.set_loading(true);
    }

    fn load_all(&self, engine: &Engine) -> Result<(), Failure> {
        let settings = engine.config.load();
        let files = Files(&settings);
        let began = Instant::now();
        remove_temporary(&*self.disk, &files.dir());
        remove_temporary(&*self.disk, &files.append_dir());
        if files.append_only() {
            let manifest = self.find_log(&settings)?;
            match &manifest {
                Some(manifest) => self.load_log(engine, &settings, manifest, None)?,
                None => {
                    // The log begins with what the last snapshot holds.
                    if self.load_rdb_file(engine, &files.rdb_path(), None, false)? {
                        log::warn!("There is no append only file yet: it begins with the snapshot");
                    }
                }
            }
            self.open_log(engine, &settings, manifest.unwrap_or_default())?;
        } else {
            self.load_rdb_file(engine, &files.rdb_path(), None, false)?;
        }
        let keys = self.progress.keys.load(Ordering::Relaxed);
        log::info!(
            "DB loaded from disk: {keys} keys, {:.3} seconds",
            began.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Loads a file if it is there. What is in memory already is replaced with `merge`, and an error without. Returns
    /// whether the file was there.
    fn load_rdb_file(
        &self,
        engine: &Engine,
        path: &Path,
        held: Option<&mut Held<'_>>,
        merge: bool,
    ) -> Result<bool, Failure> {
        let size = self.disk.size(path).map_err(|e| Failure::io("Can't find", path, &e))?;
        let Some(size) = size else { return Ok(false) };
        self.progress.total.store(size, Ordering::Relaxed);
        let file = self.disk.read(path).map_err(|e| Failure::io("Can't open", path, &e))?;
        let at_start = held.is_none();
        let loading = Loading { merge, ..self.loading(engine, path, size, true) };
        let (loaded, _) = loading.load(file, held).inspect_err(|error| {
            if at_start {
                log::error!("Internal error in RDB reading: {error}");
                log::error!("Terminating server after rdb file reading failure.");
            }
        })?;
        self.take_over(engine, loaded, merge)?;
        Ok(true)
    }

    fn loading<'a>(
        &'a self,
        engine: &'a Engine,
        path: &'a Path,
        size: u64,
        drop_expired: bool,
    ) -> Loading<'a> {
        Loading {
            engine,
            path,
            size,
            drop_expired,
            merge: false,
            threads: engine.config.load().io_threads.max(1) as usize,
            progress: &self.progress.bytes,
            loaded_keys: &self.progress.keys,
            cancelled: AtomicBool::new(false),
        }
    }

    /// Takes over what a file held besides keys; returns what of that which follows it was read already, and
    /// where that is.
    fn take_over(
        &self,
        engine: &Engine,
        loaded: LoadedFile,
        merge: bool,
    ) -> Result<(Vec<u8>, u64), Failure> {
        engine.load_functions(&loaded.functions, merge).map_err(|error| {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Failure::new(format!("A library of functions can't be loaded: {text}"))
        })?;
        self.progress.expired.fetch_add(loaded.expired, Ordering::Relaxed);
        Ok((loaded.rest, loaded.end))
    }

    /// The manifest of the log, if there is one. A log of the time before there were manifests is taken over as the base.
    fn find_log(&self, settings: &Settings) -> Result<Option<Manifest>, Failure> {
        let files = Files(settings);
        let (dir, name) = (files.append_dir(), files.append_name());
        let old = files.dir().join(&name);
        let found = Manifest::load(&*self.disk, &Manifest::path(&dir, &name))?;
        let size = |path: &Path| {
            self.disk.size(path).map_err(|error| Failure::io("Can't find", path, &error))
        };
        let taken = dir.join(&name);
        // Taking it over may have been interrupted between the manifest and the move.
        let begun = match &found {
            None => true,
            Some(Manifest { parts }) => {
                matches!(&parts[..], [only] if only.name == name) && size(&taken)?.is_none()
            }
        };
        if !begun || size(&old)?.is_none() {
            return Ok(found);
        }
        log::info!("Taking over the append only file {} of an older version", old.display());
        let base = Part { name: name.clone(), seq: 1, kind: Kind::Base };
        let manifest = Manifest { parts: vec![base] };
        let moved = self
            .make_dir(&dir)
            .and_then(|()| manifest.store(&*self.disk, &dir, &name))
            .and_then(|()| self.disk.rename(&old, &taken))
            .and_then(|()| self.disk.sync_dir(&dir))
            .and_then(|()| self.disk.sync_dir(&files.dir()));
        moved.map_err(|error| Failure::io("Can't take over", &old, &error))?;
        Ok(Some(manifest))
    }

    fn load_log<'e>(
        &self,
        engine: &'e Engine,
        settings: &Settings,
        manifest: &Manifest,
        held: Option<&mut Held<'e>>,
    ) -> Result<(), Failure> {
        let dir = Files(settings).append_dir();
        let parts: Vec<&Part> = manifest.base().into_iter().chain(manifest.increments()).collect();
        let (mut total, mut last) = (0, 0);
        for (i, part) in parts.iter().enumerate() {
            let path = dir.join(&part.name);
            let size = self.disk.size(&path).map_err(|e| Failure::io("Can't find", &path, &e))?;
            let size = size.ok_or_else(|| {
                Failure::new(format!(
                    "Can't find {} of the AOF manifest: No such file or directory",
                    path.display()
                ))
            })?;
            total += size;
            // Behind a file that a crash of the machine cut there may be an empty one, begun before the cut was safe.
            last = if size > 0 { i } else { last };
        }
        self.progress.total.store(total, Ordering::Relaxed);
        let mut replay = Replay::new(engine, held);
        for (i, part) in parts.iter().enumerate() {
            let path = dir.join(&part.name);
            self.load_part(engine, settings, &path, &mut replay, i >= last)?;
        }
        replay.end();
        Ok(())
    }

    /// Loads one file of the log: an RDB file, requests, or one behind the other.
    fn load_part(
        &self,
        engine: &Engine,
        settings: &Settings,
        path: &Path,
        replay: &mut Replay<'_, '_>,
        is_last: bool,
    ) -> Result<(), Failure> {
        let mut source =
            self.disk.read(path).map_err(|error| Failure::io("Can't open", path, &error))?;
        let mut head = Vec::new();
        let read = source.by_ref().take(respire_rdb::MAGIC_LEN).read_to_end(&mut head);
        read.map_err(|error| Failure::io("Can't read", path, &error))?;
        let size = self.disk.size(path).ok().flatten().unwrap_or(0);
        let (mut source, rest, offset) = if respire_rdb::is_rdb(&head) {
            let whole = Cursor::new(head).chain(source);
            let (loaded, whole) =
                self.loading(engine, path, size, false).load(whole, replay.lent())?;
            let (rest, end) = self.take_over(engine, loaded, true)?;
            (whole, rest, end)
        } else {
            (Cursor::new(Vec::new()).chain(source), head, 0)
        };
        let extent = replay.run(path, &mut source, rest, offset, &self.progress.bytes)?;
        let Extent::CutAt(good) = extent else { return Ok(()) };
        let lost = size.saturating_sub(good);
        if !is_last {
            return Err(Failure::new(format!(
                "{} ends in the middle of something, and is not the last file of the log",
                path.display()
            )));
        }
        if !Files(settings).load_truncated() {
            return Err(Failure::new(format!(
                "Unexpected end of file reading the append only file {}. You can: 1) Make a backup of your AOF file, \
                 then use respire check --fix FILE. 2) Alternatively you can set the 'aof-load-truncated' \
                 configuration option to yes and restart the server.",
                path.display()
            )));
        }
        log::warn!("!!! Warning: short read while loading the AOF file {} !!!", path.display());
        log::warn!("AOF {} was truncated: its last {lost} bytes are removed", path.display());
        let cut = self.disk.append(path).and_then(|mut out| {
            out.truncate(good)?;
            out.syncer().sync()
        });
        cut.map_err(|error| Failure::io("Can't truncate", path, &error))
    }

    /// Begins to append: to the last file of the log, or to the first one of a new log, whose base is what there is now.
    fn open_log(
        &self,
        engine: &Engine,
        settings: &Settings,
        mut manifest: Manifest,
    ) -> Result<(), Failure> {
        let files = Files(settings);
        let (dir, name) = (files.append_dir(), files.append_name());
        let failed = |error: std::io::Error| Failure::io("Can't open the log in", &dir, &error);
        if manifest.base().is_none() && manifest.increments().next().is_none() {
            // The same as switching the log on at run time.
            let _ = self.begin_job(Job::Rewrite);
            self.jobs.lock().fresh = false;
            self.run_rewrite(engine);
            let failed = self.state.lock().rewrite_failed;
            return if failed {
                Err(Failure::new("The append only file could not be begun"))
            } else {
                Ok(())
            };
        }
        let last = manifest.increments().last().map(|part| part.name.clone());
        let path: PathBuf = match last {
            Some(last) => dir.join(last),
            None => {
                let added = manifest.add_increment(&name);
                self.disk.create(&dir.join(&added)).map_err(failed)?;
                self.disk.sync_dir(&dir).map_err(failed)?;
                manifest.store(&*self.disk, &dir, &name).map_err(failed)?;
                dir.join(added)
            }
        };
        let size_of = |path: &Path| self.disk.size(path).ok().flatten().unwrap_or(0);
        let base_size = manifest.base().map_or(0, |base| size_of(&dir.join(&base.name)));
        let grown = manifest.increments().map(|part| size_of(&dir.join(&part.name))).sum();
        let out = self.disk.append(&path).map_err(failed)?;
        let mut held = engine.keyspace.hold_all(Mode::Write);
        let reader = engine.subscribe_held(&mut held);
        drop(held);
        reader.stamp(files.timestamps());
        let writer =
            Writer::new(reader, out, size_of(&path), self.log_ended_at.load(Ordering::Relaxed));
        writer.set_fsync(files.fsync());
        writer.set_grown(grown);
        let mut state = self.state.lock();
        (state.base_size, state.size_at_rewrite) = (base_size, base_size + grown);
        drop(state);
        self.writer.store(Some(Arc::new(writer)));
        Ok(())
    }

    /// DEBUG LOADAOF: empties and loads the log again, with all shards held for writing.
    pub fn reload_log<'e>(
        &self,
        engine: &'e Engine,
        held: &mut Held<'e>,
        flush: &mut dyn FnMut(&mut Held<'e>),
    ) -> Result<(), String> {
        let failed = |error: Failure| {
            log::error!("{error}");
            "Error trying to load the AOF files, check server logs.".to_owned()
        };
        let settings = engine.config.load();
        if let Some(Err(error)) = self.sync_log() {
            return Err(error.to_string());
        }
        let manifest = self.find_log(&settings).map_err(failed)?.unwrap_or_default();
        let loaded = self.load_again(engine, held, flush, |held| {
            self.load_log(engine, &settings, &manifest, Some(held))
        });
        loaded.map_err(failed)
    }

    /// Empties and loads. Others are told meanwhile that the server is loading, rather than that they wait for shards.
    fn load_again<'e>(
        &self,
        engine: &'e Engine,
        held: &mut Held<'e>,
        flush: &mut dyn FnMut(&mut Held<'e>),
        load: impl FnOnce(&mut Held<'e>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.begin_loading(engine);
        flush(held);
        let loaded = load(held);
        engine.distrust_times_held(held);
        engine.set_loading(false);
        loaded
    }

    /// DEBUG RELOAD: saves, empties and loads again, with all shards held for writing.
    pub fn reload<'e>(
        &self,
        engine: &'e Engine,
        held: &mut Held<'e>,
        how: Reload,
        flush: &mut dyn FnMut(&mut Held<'e>),
    ) -> Result<(), String> {
        if how.save {
            self.save(engine, Some(held))
                .map_err(|_| "Error trying to save the DB, can't exit.")?;
        }
        let path = Files(&engine.config.load()).rdb_path();
        let loaded = self.load_again(engine, held, flush, |held| {
            self.load_rdb_file(engine, &path, Some(held), how.merge).map(drop)
        });
        loaded.map_err(|error| {
            log::error!("{error}");
            "Error trying to load the RDB dump, check server logs.".into()
        })
    }
}
