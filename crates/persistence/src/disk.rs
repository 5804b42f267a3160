//! Files as persistence sees them: few operations, each of which may fail, so that a test can make every one fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};

/// Bytes of a file that are forgotten at once: some tens of microseconds.
const PIECE: u64 = 256 * 1024;

/// A file that is written to.
pub trait Output: Send {
    /// Writes some of `bytes`, at the end; returns how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts what is behind the first `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// What makes sure that all that has been written survives a crash of the machine; may be used by another thread.
    fn syncer(&self) -> Arc<dyn Sync>;
}

/// Makes written bytes safe.
pub trait Sync: Send + std::marker::Sync {
    fn sync(&self) -> io::Result<()>;
}

/// A place for files.
pub trait Disk: Send + std::marker::Sync {
    /// An empty file, in place of one of that name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>>;
    /// The file, to be written on; made if there is none.
    fn append(&self, path: &Path) -> io::Result<Box<dyn Output>>;
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;
    /// Bytes in the file; `None` if there is none.
    fn size(&self, path: &Path) -> io::Result<Option<u64>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes it quick to remove the file, or to rename another one over it: what the system keeps of it in memory goes, a
    /// piece at a time, and `pause` is called in between.
    fn forget(&self, path: &Path, pause: &mut dyn FnMut());
    /// The names of what is in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes sure that names of files that came, went or changed survive a crash of the machine.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

struct RealFile(Arc<RealSync>);

struct RealSync(File);

impl Sync for RealSync {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Output for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0.0).write(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.0.set_len(len)
    }

    fn syncer(&self) -> Arc<dyn Sync> {
        Arc::clone(&self.0) as _
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(0)?;
        Ok(Box::new(RealFile(Arc::new(RealSync(file)))))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Box::new(RealFile(Arc::new(RealSync(file)))))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn forget(&self, path: &Path, pause: &mut dyn FnMut()) {
        // What fails here takes longer later.
        let Ok(file) = File::open(path) else { return };
        let len = file.metadata().map_or(0, |metadata| metadata.len());
        for at in (0..len).step_by(PIECE as usize) {
            let _ = fadvise(&file, at, NonZeroU64::new(PIECE), Advice::DontNeed);
            pause();
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // Nothing of ours has a name that is no text.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// Writes all of `bytes`.
pub(crate) fn write_all(out: &mut dyn Output, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes a file that may be large. Where the system frees what it kept of it all at once, it takes the core for milliseconds,
/// and whoever is woken there meanwhile waits.
pub(crate) fn remove_gently(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.forget(path, &mut std::thread::yield_now);
    disk.remove(path)
}

/// Renames a file over one that may be large: see [`remove_gently`].
pub(crate) fn replace_gently(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    disk.forget(to, &mut std::thread::yield_now);
    disk.rename(from, to)
}

/// What a file is to become that is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temporary {
    Snapshot,
    /// The base of a log.
    Base,
    Manifest,
}

impl Temporary {
    /// What stands around the id of the process: the names that Redis gives to such files, so that whoever cleans up after
    /// it cleans up here, too.
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Snapshot, "temp-", ".rdb"),
        (Self::Base, "temp-rewriteaof-bg-", ".aof"),
        (Self::Manifest, "temp-manifest-", ".tmp"),
    ];
}

/// The name of a file of this process that is not finished: at most one of a kind is written at a time.
pub(crate) fn temporary(dir: &Path, what: Temporary) -> PathBuf {
    let (_, before, behind) = Temporary::ALL[what as usize];
    dir.join(format!("{before}{}{behind}", std::process::id()))
}

/// The process that a temporary file is of.
fn owner(name: &str) -> Option<u32> {
    Temporary::ALL.iter().find_map(|(_, before, behind)| {
        let id = name.strip_prefix(before)?.strip_suffix(behind)?;
        id.parse().ok()
    })
}

/// Removes what [`temporary`] has named for a process that did not come to finish it.
pub(crate) fn remove_temporary(disk: &dyn Disk, dir: &Path) {
    // Another server may be at work in the same directory.
    let is_left = |name: &&String| {
        owner(name).is_some_and(|id| {
            id == std::process::id() || !Path::new(&format!("/proc/{id}")).exists()
        })
    };
    // Where nothing can be listed, what is to be loaded tells why.
    for name in disk.list(dir).unwrap_or_default().iter().filter(is_left) {
        match disk.remove(&dir.join(name)) {
            Ok(()) => log::info!("Removed {name}, which was never finished"),
            Err(error) => log::warn!("Could not remove {name}, which was never finished: {error}"),
        }
    }
}
