//! Scripts and functions: Lua 5.1 that calls commands, atomic over the shards that it touches.
//!
//! | file | owns |
//! |---|---|
//! | `shebang` | the first line of scripts and libraries |
//! | `cache` | the texts of scripts, shared by all threads |
//! | `libraries` | the libraries of functions, shared by all threads |
//! | `busy` | scripts that run for too long |
//! | `class` | what is known of where a script reaches |
//! | `interpreter` | one Lua state: compiled functions, calls, errors |
//! | `sandbox`, `guard`, `api` | what scripts find there |
//! | `arguments`, `calling`, `push`, `convert`, `random` | values between Lua and commands; random numbers |
//! | `lend` | how functions that Lua calls back get at the call |
//! | `running` | a script while it runs: how the commands that it calls are checked and executed |
//! | `run` | EVAL, EVALSHA and FCALL, from request to reply |
//!
//! Each thread has Lua states of its own, so scripts on disjoint shards run side by side. Texts are shared, and compiled
//! by each thread when it first runs them.

mod api;
mod arguments;
mod busy;
mod cache;
mod calling;
mod class;
mod convert;
mod guard;
mod interpreter;
mod lend;
mod libraries;
mod push;
mod random;
mod run;
mod running;
mod sandbox;
mod shebang;
mod threads;

pub(crate) use busy::{Busy, Forgotten};
pub(crate) use cache::{Cache, Sha, read_sha};
pub use lend::meanwhile;
pub(crate) use libraries::{Libraries, Library, Policy};
pub(crate) use threads::Interpreters;

/// What all threads share of scripts and functions.
#[derive(Debug, Default)]
pub(crate) struct Scripting {
    pub(crate) cache: Cache,
    pub(crate) libraries: Libraries,
    pub(crate) busy: Busy,
}
