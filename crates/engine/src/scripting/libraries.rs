//! Libraries of functions, for all threads: their code, and what each function says about itself. Each thread loads for
//! itself the libraries whose functions it calls.
//!
//! Changes come one after the other, with all shards held (see the rows in `commands/functions.rs`), so that the journal
//! and snapshots have them in their order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::class::Class;
use super::shebang::ScriptFlags;
use super::threads::Interpreters;
use crate::engine::Engine;
use crate::error::Error;

/// A function as its library registered it.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) name: Vec<u8>,
    pub(crate) description: Option<Vec<u8>>,
    pub(crate) flags: ScriptFlags,
    pub(super) class: Class,
}

impl Registration {
    pub(super) fn new(name: Vec<u8>, description: Option<Vec<u8>>, flags: ScriptFlags) -> Self {
        Self { name, description, flags, class: Class::default() }
    }
}

/// A library.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) name: Vec<u8>,
    pub(crate) code: Box<[u8]>,
    /// Ascending by name.
    pub(crate) functions: Vec<Arc<Registration>>,
}

impl Library {
    fn memory(&self) -> usize {
        let functions = self.functions.iter().map(|function| {
            let description = function.description.as_ref().map_or(0, Vec::len);
            size_of::<Registration>() + function.name.len() + description
        });
        size_of::<Self>() + self.name.len() + self.code.len() + functions.sum::<usize>()
    }
}

/// What FUNCTION RESTORE does with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Flush,
    Append,
    Replace,
}

/// A function with its library.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) library: Arc<Library>,
    pub(super) function: Arc<Registration>,
}

/// The libraries at one moment. Names of functions are looked up in lower case.
#[derive(Debug, Default, Clone)]
struct State {
    libraries: BTreeMap<Vec<u8>, Arc<Library>>,
    functions: HashMap<Vec<u8>, Found, ahash::RandomState>,
}

impl State {
    fn remove(&mut self, name: &[u8]) -> Option<Arc<Library>> {
        let library = self.libraries.remove(name)?;
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        Some(library)
    }

    /// Changes nothing if it fails.
    fn add(&mut self, library: Arc<Library>, replace: bool) -> Result<(), Error> {
        if !replace && self.libraries.contains_key(&library.name) {
            return Err(Error::quoting("ERR Library '", &library.name, "' already exists"));
        }
        for function in &library.functions {
            let there = self.functions.get(&function.name.to_ascii_lowercase());
            // Its own functions go with the library that it replaces.
            if there.is_some_and(|found| found.library.name != library.name) {
                return Err(Error::quoting("ERR Function ", &function.name, " already exists"));
            }
        }
        self.remove(&library.name);
        for function in &library.functions {
            let found = Found { library: Arc::clone(&library), function: Arc::clone(function) };
            self.functions.insert(function.name.to_ascii_lowercase(), found);
        }
        self.libraries.insert(library.name.clone(), library);
        Ok(())
    }
}

/// All libraries.
#[derive(Debug, Default)]
pub(crate) struct Libraries {
    state: RwLock<State>,
    version: AtomicU64,
}

impl Libraries {
    /// A number that changes with the libraries.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn find(&self, function: &[u8]) -> Option<Found> {
        self.state.read().functions.get(&function.to_ascii_lowercase()).cloned()
    }

    /// Refuses a library of a name that is taken.
    pub(crate) fn refuse_taken(&self, name: &[u8]) -> Result<(), Error> {
        if self.state.read().libraries.contains_key(name) {
            return Err(Error::quoting("ERR Library '", name, "' already exists"));
        }
        Ok(())
    }

    pub(crate) fn add(&self, library: Library, replace: bool) -> Result<(), Error> {
        self.state.write().add(Arc::new(library), replace)?;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Returns whether it was there.
    pub(crate) fn delete(&self, name: &[u8]) -> bool {
        let was_there = self.state.write().remove(name).is_some();
        self.version.fetch_add(1, Ordering::Release);
        was_there
    }

    pub(crate) fn flush(&self) {
        *self.state.write() = State::default();
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Adds libraries that were written by FUNCTION DUMP: all of them or, if one can't be added, none.
    pub(crate) fn restore(&self, libraries: Vec<Library>, policy: Policy) -> Result<(), Error> {
        let mut state = self.state.write();
        let mut next = if policy == Policy::Flush { State::default() } else { state.clone() };
        for library in libraries {
            if policy == Policy::Append && next.libraries.contains_key(&library.name) {
                return Err(Error::quoting("ERR Library ", &library.name, " already exists"));
            }
            next.add(Arc::new(library), policy == Policy::Replace)?;
        }
        *state = next;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// All libraries, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Library>> {
        self.state.read().libraries.values().cloned().collect()
    }

    /// How many libraries and functions there are.
    pub(crate) fn count(&self) -> (usize, usize) {
        let state = self.state.read();
        (state.libraries.len(), state.functions.len())
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.state.read().libraries.values().map(|library| library.memory()).sum()
    }
}

impl Engine {
    /// The code of all libraries of functions, for a file. With all shards held, it is that of one moment with the keyspace.
    pub fn function_codes(&self) -> Vec<Box<[u8]>> {
        self.scripting.libraries.all().iter().map(|library| library.code.clone()).collect()
    }

    /// Adds libraries of functions that a file holds, in place of those of the same names.
    pub fn load_functions(&self, codes: &[Vec<u8>], replace: bool) -> Result<(), Error> {
        if codes.is_empty() {
            return Ok(());
        }
        let mut interpreters = Interpreters::NONE;
        let libraries: Result<Vec<_>, Error> =
            codes.iter().map(|code| interpreters.inspect_library(code, |_| Ok(()))).collect();
        let policy = if replace { Policy::Replace } else { Policy::Append };
        self.scripting.libraries.restore(libraries?, policy)
    }
}
