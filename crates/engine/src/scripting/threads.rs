//! The Lua states of one thread, and what it has compiled of the scripts and libraries that all threads share.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use mlua::Function;

use super::cache::{Cache, Script, Sha, sha_of};
use super::interpreter::{Interpreter, Number, Purpose};
use super::lend::Whole;
use super::libraries::{Found, Libraries, Library, Registration};
use super::random::Random;
use super::shebang::{self, ScriptFlags};
use crate::error::Error;

/// The states of a thread, each made when it is first needed.
pub(crate) struct Interpreters {
    scripts: Option<Box<Whole<Scripts>>>,
    functions: Option<Box<Whole<Functions>>>,
    /// Where the random numbers of the last script ended.
    pub(super) random: Option<Random>,
}

impl Interpreters {
    pub(crate) const NONE: Self = Self { scripts: None, functions: None, random: None };

    pub(super) fn scripts(&mut self) -> Result<&mut Scripts, Error> {
        if self.scripts.is_none() {
            let scripts = Scripts {
                interpreter: Interpreter::new(Purpose::Scripts).map_err(broken)?,
                known: HashMap::default(),
                last: None,
                version: 0,
            };
            self.scripts = Some(Box::new(Whole::new(scripts)));
        }
        Ok(self.scripts.as_mut().expect("it was just made").get())
    }

    pub(super) fn functions(&mut self) -> Result<&mut Functions, Error> {
        if self.functions.is_none() {
            let functions = Functions {
                interpreter: Interpreter::new(Purpose::Functions).map_err(broken)?,
                known: HashMap::default(),
                version: 0,
            };
            self.functions = Some(Box::new(Whole::new(functions)));
        }
        Ok(self.functions.as_mut().expect("it was just made").get())
    }

    /// Whether a script is known to reach out, and what it says of itself.
    #[inline]
    pub(super) fn peek_script(&mut self, cache: &Cache, sha: &Sha) -> Option<(bool, ScriptFlags)> {
        let about =
            |script: &Script| (script.class.reaches_out(), script.flags.unwrap_or_default());
        let own = self.scripts.as_mut().and_then(|own| own.get().recall(sha));
        match own {
            Some(known) if !known.script.is_gone() => Some(about(&known.script)),
            _ => cache.find(sha).map(|script| about(&script)),
        }
    }

    /// The same of a function.
    #[inline]
    pub(super) fn peek_function(
        &mut self,
        libraries: &Libraries,
        name: &[u8],
    ) -> Option<(bool, ScriptFlags)> {
        let about = |found: &Found| (found.function.class.reaches_out(), found.function.flags);
        let own = self.functions.as_mut().map(|own| &*own.get());
        let own = own.filter(|own| own.version == libraries.version());
        match own.and_then(|own| own.known.get(name)) {
            Some((_, found)) => Some(about(found)),
            None => libraries.find(name).map(|found| about(&found)),
        }
    }

    /// Bytes of memory of the states of scripts and of functions.
    pub(super) fn memory(&mut self) -> (u64, u64) {
        let scripts = self.scripts.as_mut().map_or(0, |own| own.get().interpreter.memory());
        let functions = self.functions.as_mut().map_or(0, |own| own.get().interpreter.memory());
        (scripts as u64, functions as u64)
    }

    /// SCRIPT LOAD, or an EVAL of a text that was not seen before: checks and compiles a script, and adds it for all threads.
    pub(crate) fn add_script(
        &mut self,
        cache: &Cache,
        sha: Sha,
        source: &[u8],
        now_ms: i64,
    ) -> Result<Arc<Script>, Error> {
        if let Some(script) = cache.find(&sha) {
            return Ok(script);
        }
        let flags = shebang::of_script(source)?.map(|(flags, _)| flags);
        let script = Script::new(sha, source, flags);
        let scripts = self.scripts()?;
        let compiled = scripts.compile(&script)?;
        let script = cache.add(script, now_ms);
        scripts.keep(Arc::clone(&script), &compiled)?;
        Ok(script)
    }

    /// SCRIPT LOAD.
    pub(crate) fn load_script(
        &mut self,
        cache: &Cache,
        source: &[u8],
        now_ms: i64,
    ) -> Result<Sha, Error> {
        let sha = sha_of(source);
        let script = self.add_script(cache, sha, source, now_ms)?;
        cache.keep(&script);
        Ok(sha)
    }

    /// Runs the code of a library to learn what it registers, unless `refuse` has something against its name.
    pub(crate) fn inspect_library(
        &mut self,
        code: &[u8],
        refuse: impl FnOnce(&[u8]) -> Result<(), Error>,
    ) -> Result<Library, Error> {
        let (name, body) = shebang::of_library(code)?;
        refuse(&name)?;
        let registered = self.functions()?.load(body)?;
        if registered.is_empty() {
            return Err(Error::fixed("ERR No functions registered"));
        }
        let mut functions: Vec<_> =
            registered.into_iter().map(|(function, _)| Arc::new(function)).collect();
        functions.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Library { name, code: code.into(), functions })
    }
}

/// What Lua could not do, most likely for want of memory.
pub(super) fn broken(error: mlua::Error) -> Error {
    let text = error.to_string();
    Error::text(format!("ERR Lua: {}", text.lines().next().unwrap_or_default()))
}

/// A script that this thread has compiled.
pub(super) struct Known {
    pub(super) number: Number,
    pub(super) script: Arc<Script>,
}

/// The scripts of a thread.
pub(super) struct Scripts {
    pub(super) interpreter: Interpreter,
    known: HashMap<Sha, Rc<Known>, ahash::RandomState>,
    /// The one that was looked for last: it is looked for more than once in a call, and most often in the next one, too.
    last: Option<Rc<Known>>,
    /// That of the cache when `known` was last cleaned up.
    version: u64,
}

impl Scripts {
    /// A script that is compiled already. It may be gone.
    #[inline]
    fn recall(&mut self, sha: &Sha) -> Option<&Rc<Known>> {
        if self.last.as_ref().is_none_or(|last| last.script.sha != *sha) {
            self.last = Some(Rc::clone(self.known.get(sha)?));
        }
        self.last.as_ref()
    }

    /// A script by its digest.
    pub(super) fn find(&mut self, cache: &Cache, sha: &Sha) -> Result<Option<Rc<Known>>, Error> {
        if cache.version() != self.version {
            self.forget_gone(cache)?;
        }
        if let Some(known) = self.recall(sha) {
            return Ok(Some(Rc::clone(known)));
        }
        let Some(script) = cache.find(sha) else { return Ok(None) };
        let compiled = self.compile(&script)?;
        self.keep(script, &compiled).map(Some)
    }

    #[cold]
    fn forget_gone(&mut self, cache: &Cache) -> Result<(), Error> {
        self.version = cache.version();
        self.last = None;
        let interpreter = &mut self.interpreter;
        let mut result = Ok(());
        self.known.retain(|_, known| {
            if known.script.is_gone() && result.is_ok() {
                result = interpreter.drop_kept(known.number);
            }
            !known.script.is_gone()
        });
        result.map_err(broken)
    }

    fn compile(&self, script: &Script) -> Result<Function, Error> {
        self.interpreter.compile(script.body()).map_err(|message| {
            let mut text = b"ERR Error compiling script (new function): ".to_vec();
            text.extend_from_slice(&message);
            Error::bytes(text)
        })
    }

    fn keep(&mut self, script: Arc<Script>, compiled: &Function) -> Result<Rc<Known>, Error> {
        let mut number = self.interpreter.keep(compiled).map_err(broken)?;
        if number.is_none() {
            self.known.clear();
            self.last = None;
            self.interpreter.drop_all().map_err(broken)?;
            number = self.interpreter.keep(compiled).map_err(broken)?;
        }
        let number = number.expect("there is room when all are dropped");
        let sha = script.sha;
        let known = Rc::new(Known { number, script });
        self.known.insert(sha, Rc::clone(&known));
        Ok(known)
    }
}

/// The functions of a thread.
pub(super) struct Functions {
    pub(super) interpreter: Interpreter,
    /// By name in lower case.
    known: HashMap<Vec<u8>, (Number, Found), ahash::RandomState>,
    version: u64,
}

impl Functions {
    /// A function by its name in any case, and the number of its compiled form.
    pub(super) fn find(
        &mut self,
        libraries: &Libraries,
        name: &[u8],
    ) -> Result<Option<(Number, Found)>, Error> {
        if libraries.version() != self.version {
            self.version = libraries.version();
            self.known.clear();
            self.interpreter.drop_all().map_err(broken)?;
        }
        let lower = name.to_ascii_lowercase();
        if let Some((number, found)) = self.known.get(&lower) {
            return Ok(Some((*number, found.clone())));
        }
        let Some(found) = libraries.find(name) else { return Ok(None) };
        self.take_in(&found.library)?;
        Ok(self.known.get(&lower).cloned())
    }

    /// Loads a library into this thread's state.
    #[cold]
    fn take_in(&mut self, library: &Arc<Library>) -> Result<(), Error> {
        let (_, body) = shebang::of_library(&library.code)?;
        for (function, callback) in self.load(body)? {
            let known = library.functions.iter().find(|known| known.name == function.name);
            // A library may register something else each time, but what it says of a function was said when it was loaded.
            let Some(known) = known else { continue };
            let number = self.interpreter.keep(&callback).map_err(broken)?;
            let number = number.ok_or(Error::fixed("ERR Too many functions"))?;
            let found = Found { library: Arc::clone(library), function: Arc::clone(known) };
            self.known.insert(known.name.to_ascii_lowercase(), (number, found));
        }
        Ok(())
    }

    fn load(&self, body: &[u8]) -> Result<Vec<(Registration, Function)>, Error> {
        let loaded = self.interpreter.load_library(body).map_err(broken)?;
        let registered = loaded.map_err(Error::bytes)?;
        let split = registered.0.into_iter().map(|function| {
            let registration =
                Registration::new(function.name, function.description, function.flags);
            (registration, function.callback)
        });
        Ok(split.collect())
    }
}
