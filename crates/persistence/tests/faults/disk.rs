//! A disk in memory that fails when it is told to, and knows what a loss of power would leave of it.
//!
//! Every file is kept twice: as it is read, and as far as it is safe. So are names: those that came, went or changed
//! are safe once their directory has been synced; what a loss of power spares of the others is a prefix, as on a file
//! system with a journal.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use respire_persistence::disk::{Disk, Output, Sync};

/// What happens at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and the next one works again.
    Once,
    /// There is no room any more: it fails, and so does everything that needs room.
    Full,
    /// A write stops half way, and the disk is full for a moment: cutting the file fails, too.
    Short,
    /// Nothing works any more.
    PowerLoss,
}

/// A change of names.
#[derive(Debug, Clone)]
enum Change {
    Made(PathBuf, usize),
    Moved(PathBuf, PathBuf),
    Gone(PathBuf),
    Directory(PathBuf),
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Made(path, file) => drop(names.files.insert(path.clone(), *file)),
            Self::Moved(from, to) => {
                let file = names.files.remove(from).expect("it is there");
                names.files.insert(to.clone(), file);
            }
            Self::Gone(path) => drop(names.files.remove(path)),
            Self::Directory(path) => drop(names.directories.insert(path.clone())),
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Made(path, _) | Self::Moved(_, path) | Self::Gone(path) | Self::Directory(path)) =
            self;
        path.parent() == Some(dir)
    }
}

#[derive(Debug, Clone, Default)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    directories: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    safe: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    names: Names,
    safe_names: Names,
    changes: Vec<Change>,
    contents: Vec<Content>,
    operations: usize,
    fault: Option<(usize, Fault)>,
    short: bool,
    full: bool,
    dead: bool,
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    /// Counts an operation, and fails it if its time has come.
    fn operate(&mut self, needs_room: bool) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        let fault = self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        match fault {
            Some(Fault::PowerLoss) => self.dead = true,
            Some(Fault::Full) => self.full = true,
            Some(Fault::Short) => self.short = true,
            Some(Fault::Once) => return Err(io::Error::from_raw_os_error(5)),
            None => {}
        }
        self.look()?;
        if self.full && needs_room { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn look(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

impl MemoryDisk {
    pub fn new(dir: &str) -> Self {
        let disk = Self::default();
        disk.state().names.directories.insert(dir.into());
        disk.state().safe_names.directories.insert(dir.into());
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Another disk with the same files.
    pub fn copy(&self) -> Self {
        let state = self.state();
        let names = state.names.clone();
        let copy = |content: &Content| Content {
            bytes: content.bytes.clone(),
            safe: content.bytes.clone(),
        };
        let contents = state.contents.iter().map(copy).collect();
        let safe_names = names.clone();
        Self(Arc::new(Mutex::new(State { names, safe_names, contents, ..State::default() })))
    }

    /// Puts a file there.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let mut out = Disk::create(self, Path::new(path)).expect("the disk works");
        assert_eq!(out.write(bytes).expect("the disk works"), bytes.len());
    }

    /// What is in a file, to be changed.
    pub fn edit(&self, path: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.names.files[Path::new(path)];
        edit(&mut state.contents[file].bytes);
    }

    /// Lets the fault happen at an operation, counted from now.
    pub fn fail_at(&self, operation: usize, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.operations + operation, fault));
    }

    pub fn operations(&self) -> usize {
        self.state().operations
    }

    /// There is room again.
    pub fn heal(&self) {
        let mut state = self.state();
        (state.full, state.short, state.fault) = (false, false, None);
    }

    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.files.keys().map(|path| path.display().to_string()).collect()
    }

    /// What the next start finds: after a loss of power only what is safe, and by chance some of the rest.
    pub fn restart(&self, power_lost: bool, rng: &mut fastrand::Rng) {
        let mut state = self.state();
        let State { names, safe_names, changes, contents, .. } = &mut *state;
        if power_lost {
            let spared = if changes.is_empty() { 0 } else { rng.usize(..=changes.len()) };
            changes[..spared].iter().for_each(|change| change.apply(safe_names));
            let directories = safe_names.directories.clone();
            safe_names.files.retain(|path, _| directories.contains(path.parent().unwrap()));
            *names = safe_names.clone();
            for content in contents {
                let Content { bytes, safe } = content;
                let spared = bytes.strip_prefix(&safe[..]).map(<[u8]>::to_vec);
                match spared {
                    Some(more) if !more.is_empty() => {
                        safe.extend_from_slice(&more[..rng.usize(..=more.len())]);
                    }
                    None if rng.bool() => safe.clone_from(bytes),
                    _ => {}
                }
                bytes.clone_from(safe);
            }
        }
        changes.clear();
        *safe_names = names.clone();
        (state.full, state.short, state.dead, state.fault) = (false, false, false, None);
    }
}

/// A file that is open.
struct Open {
    disk: MemoryDisk,
    file: usize,
}

impl Output for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let was_short = state.short;
        state.operate(true)?;
        if was_short {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let count = if state.short { bytes.len() / 2 } else { bytes.len() };
        state.contents[self.file].bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate(false)?;
        if std::mem::take(&mut state.short) {
            return Err(io::Error::from_raw_os_error(5));
        }
        state.contents[self.file].bytes.truncate(len as usize);
        Ok(())
    }

    fn syncer(&self) -> Arc<dyn Sync> {
        Arc::new(Open { disk: self.disk.clone(), file: self.file })
    }
}

impl Sync for Open {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate(false)?;
        let content = &mut state.contents[self.file];
        content.safe.clone_from(&content.bytes);
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let file = self.append(path)?;
        let mut state = self.state();
        let number = state.names.files[path];
        state.contents[number].bytes.clear();
        Ok(file)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let mut state = self.state();
        state.operate(true)?;
        if !state.names.directories.contains(path.parent().unwrap()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = match state.names.files.get(path) {
            Some(file) => *file,
            None => {
                state.contents.push(Content::default());
                let file = state.contents.len() - 1;
                state.change(Change::Made(path.into(), file));
                file
            }
        };
        Ok(Box::new(Open { disk: self.clone(), file }))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let state = self.state();
        state.look()?;
        let file = state.names.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(state.contents[*file].bytes.clone())))
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        let state = self.state();
        state.look()?;
        Ok(state.names.files.get(path).map(|file| state.contents[*file].bytes.len() as u64))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate(false)?;
        if !state.names.files.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Change::Moved(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate(false)?;
        if !state.names.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Change::Gone(path.into()));
        Ok(())
    }

    fn forget(&self, path: &Path, pause: &mut dyn FnMut()) {
        // It may happen at any moment anyway, and changes nothing.
        if self.state().names.files.contains_key(path) {
            pause();
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        state.look()?;
        let files = state.names.files.keys().filter(|path| path.parent() == Some(dir));
        Ok(files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate(true)?;
        if !state.names.directories.contains(path) {
            state.change(Change::Directory(path.into()));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate(false)?;
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.changes).into_iter().partition(|change| change.is_in(path));
        here.iter().for_each(|change| change.apply(&mut state.safe_names));
        state.changes = elsewhere;
        Ok(())
    }
}
