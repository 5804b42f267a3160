//! The scripts of EVAL and SCRIPT LOAD, by the SHA-1 of their text, for all threads. Each thread compiles for itself what
//! it runs.
//!
//! What came with EVAL is forgotten when it is one of too many, the one that was not used for longest first; what SCRIPT
//! LOAD brought stays until SCRIPT FLUSH.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;
use sha1::{Digest as _, Sha1};

use super::class::Class;
use super::shebang::ScriptFlags;

/// Scripts that came with EVAL are kept up to this number.
const EVALUATED_MAX: usize = 500;

/// The SHA-1 of a script in lower-case hexadecimal digits.
pub(crate) type Sha = [u8; 40];

/// The digest of a text in hexadecimal digits.
pub(crate) fn sha_of(source: &[u8]) -> Sha {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha1::digest(source);
    let mut hex = [0; 40];
    for (i, byte) in digest.iter().enumerate() {
        hex[2 * i] = DIGITS[usize::from(byte >> 4)];
        hex[2 * i + 1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

/// What a client sent as a SHA, if it has the length of one.
pub(crate) fn read_sha(text: &[u8]) -> Option<Sha> {
    let mut sha: Sha = text.try_into().ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}

/// A script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(super) sha: Sha,
    pub(super) source: Box<[u8]>,
    /// What its shebang says; `None` without one.
    pub(super) flags: Option<ScriptFlags>,
    pub(super) class: Class,
    /// It came with SCRIPT LOAD.
    loaded: AtomicBool,
    /// Unix time in milliseconds.
    used: AtomicI64,
    /// It is not in the cache any more.
    gone: AtomicBool,
}

impl Script {
    pub(super) fn new(sha: Sha, source: &[u8], flags: Option<ScriptFlags>) -> Self {
        Self {
            sha,
            source: source.into(),
            flags,
            class: Class::default(),
            loaded: AtomicBool::new(false),
            used: AtomicI64::new(0),
            gone: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Notes that it is used. Written at most once in a millisecond, so that threads don't contend.
    #[inline]
    pub(super) fn touch(&self, now_ms: i64) {
        if self.used.load(Ordering::Relaxed) < now_ms {
            self.used.store(now_ms, Ordering::Relaxed);
        }
    }

    /// What compiling starts from: the text, without its shebang.
    pub(super) fn body(&self) -> &[u8] {
        match self.flags {
            None => &self.source,
            Some(_) => {
                let end = self.source.iter().position(|byte| *byte == b'\n');
                &self.source[end.unwrap_or(0)..]
            }
        }
    }
}

/// All scripts.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    scripts: RwLock<Scripts>,
    evicted: AtomicU64,
    /// Raised when scripts go.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Scripts {
    by_sha: HashMap<Sha, Arc<Script>, ahash::RandomState>,
    /// Those that did not come with SCRIPT LOAD.
    evaluated: usize,
    /// Bytes of memory of texts and entries.
    bytes: usize,
}

impl Scripts {
    fn remove(&mut self, sha: &Sha) {
        if let Some(script) = self.by_sha.remove(sha) {
            script.gone.store(true, Ordering::Relaxed);
            self.bytes -= memory_of(&script);
            self.evaluated -= usize::from(!script.loaded.load(Ordering::Relaxed));
        }
    }
}

fn memory_of(script: &Script) -> usize {
    size_of::<Script>() + script.source.len() + size_of::<(Sha, Arc<Script>)>()
}

impl Cache {
    pub(super) fn find(&self, sha: &Sha) -> Option<Arc<Script>> {
        self.scripts.read().by_sha.get(sha).cloned()
    }

    pub(crate) fn contains(&self, sha: &Sha) -> bool {
        self.scripts.read().by_sha.contains_key(sha)
    }

    /// A number that changes when scripts go.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Adds a script, unless it is there. Returns the one that is.
    pub(super) fn add(&self, script: Script, now_ms: i64) -> Arc<Script> {
        let mut scripts = self.scripts.write();
        if let Some(there) = scripts.by_sha.get(&script.sha) {
            return Arc::clone(there);
        }
        while scripts.evaluated >= EVALUATED_MAX {
            let evaluated = scripts.by_sha.values().filter(|s| !s.loaded.load(Ordering::Relaxed));
            let oldest = evaluated.min_by_key(|script| script.used.load(Ordering::Relaxed));
            let Some(oldest) = oldest.map(|script| script.sha) else { break };
            scripts.remove(&oldest);
            self.evicted.fetch_add(1, Ordering::Relaxed);
            self.version.fetch_add(1, Ordering::Release);
        }
        script.touch(now_ms);
        scripts.bytes += memory_of(&script);
        scripts.evaluated += 1;
        let script = Arc::new(script);
        scripts.by_sha.insert(script.sha, Arc::clone(&script));
        script
    }

    /// Keeps a script until SCRIPT FLUSH. If it went meanwhile, it comes back.
    pub(super) fn keep(&self, script: &Arc<Script>) {
        let mut scripts = self.scripts.write();
        let there = scripts.by_sha.get(&script.sha).cloned();
        let there = there.unwrap_or_else(|| {
            script.gone.store(false, Ordering::Relaxed);
            scripts.bytes += memory_of(script);
            scripts.evaluated += usize::from(!script.loaded.load(Ordering::Relaxed));
            scripts.by_sha.insert(script.sha, Arc::clone(script));
            Arc::clone(script)
        });
        if !there.loaded.swap(true, Ordering::Relaxed) {
            scripts.evaluated -= 1;
        }
    }

    /// Forgets all scripts.
    pub(crate) fn flush(&self) {
        let mut scripts = std::mem::take(&mut *self.scripts.write());
        for script in scripts.by_sha.drain() {
            script.1.gone.store(true, Ordering::Relaxed);
        }
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn len(&self) -> usize {
        self.scripts.read().by_sha.len()
    }

    /// Bytes of memory of the texts and what is known of them.
    pub(crate) fn memory(&self) -> usize {
        self.scripts.read().bytes
    }

    /// How many were forgotten because there were too many.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(crate) fn reset_statistics(&self) {
        self.evicted.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(cache: &Cache, number: i64) -> Arc<Script> {
        let source = format!("return {number}");
        cache.add(Script::new(sha_of(source.as_bytes()), source.as_bytes(), None), number)
    }

    #[test]
    fn the_oldest_evaluated_scripts_go_and_loaded_ones_stay() {
        let cache = Cache::default();
        let first = add(&cache, 0);
        cache.keep(&first);
        let scripts: Vec<_> = (1..=600).map(|number| add(&cache, number)).collect();
        assert_eq!((cache.len(), cache.evicted()), (501, 100));
        assert!(!first.is_gone());
        assert!(scripts[99].is_gone() && !scripts[100].is_gone());
        let before = cache.version();
        cache.flush();
        assert_eq!((cache.len(), cache.memory()), (0, 0));
        assert!(first.is_gone() && cache.version() != before);
    }

    #[test]
    fn digests_are_hexadecimal() {
        let sha = sha_of(b"return 1");
        assert_eq!(&sha, b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(read_sha(b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB"), Some(sha));
        assert_eq!(read_sha(b"e0"), None);
    }
}
