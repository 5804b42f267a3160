//! Lends what a call works on to the functions that Lua calls back.
//!
//! Lua keeps its functions for as long as its state lives, while the worker, the session and the held shards of a call
//! are borrowed for that call only. [`Desk`] is where the two meet: the call leaves a pointer there for as long as the
//! script runs, and a function that is called back picks it up. The pointer is taken out while it is used, so that there
//! are never two references to the same thing, and the closure that uses it may not keep anything of it.
//!
//! `unsafe` is here because no lifetime can name "until `lend` returns" in a closure that lives longer.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

use super::running::Running;
use crate::worker::Worker;

/// A running call, with its lifetimes left out.
type Place = Cell<Option<NonNull<Running<'static, 'static>>>>;

/// Where the functions that Lua calls find the call at hand. Its clones are the same desk.
#[derive(Clone, Default)]
pub(super) struct Desk(Rc<Place>);

/// Puts back what was there before, also when unwinding.
struct Restore<'d> {
    place: &'d Place,
    before: Option<NonNull<Running<'static, 'static>>>,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.place.set(self.before);
    }
}

impl Desk {
    /// Calls `f` while functions that are called back find `running` here.
    pub(super) fn lend<R>(&self, running: &mut Running<'_, '_>, f: impl FnOnce() -> R) -> R {
        let pointer = NonNull::from(running).cast();
        let _restore = Restore { place: &self.0, before: self.0.replace(Some(pointer)) };
        f()
    }

    /// Calls `f` with the call at hand, if there is one that is not in use by a caller further out.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Running<'_, '_>) -> R) -> Option<R> {
        let mut pointer = self.0.take()?;
        let _restore = Restore { place: &self.0, before: Some(pointer) };
        // SAFETY: the pointer was made from a `&mut` in `lend`, which has not returned: it takes the pointer away when
        // it does. Nobody uses that `&mut` meanwhile, as `lend` only runs what calls this; and nobody else has the
        // pointer, as it is not on the desk while `f` runs. `f` takes any lifetimes, so it can let nothing escape.
        // Nothing of this is shared between threads: a desk is reached from the Lua state and its owner only.
        Some(f(unsafe { pointer.as_mut() }))
    }
}

/// What else a thread can do while a script of its runs for too long.
type Others = NonNull<dyn FnMut(&mut Worker)>;

thread_local! {
    /// What [`meanwhile`] was given last on this thread, while it is not in use.
    static OTHERS: Cell<Option<Others>> = const { Cell::new(None) };
}

/// Puts back what was there before, also when unwinding.
struct RestoreOthers(Option<Others>);

impl Drop for RestoreOthers {
    fn drop(&mut self) {
        OTHERS.set(self.0);
    }
}

/// Calls `f`, which may execute a script. While that runs for too long, `others` is called again and again, with the
/// worker of the script, which it must not execute anything with: it serves those who want the script to end.
pub fn meanwhile<R>(others: &mut dyn FnMut(&mut Worker), f: impl FnOnce() -> R) -> R {
    let pointer = NonNull::from(others);
    // SAFETY: only the lifetime is left out; the pointer is taken away before this returns.
    let pointer: Others = unsafe { std::mem::transmute(pointer) };
    let _restore = RestoreOthers(OTHERS.replace(Some(pointer)));
    f()
}

/// Lets the thread do what else it can.
pub(super) fn serve_others(worker: &mut Worker) {
    let Some(mut pointer) = OTHERS.take() else { return };
    let _restore = RestoreOthers(Some(pointer));
    // SAFETY: as in `Desk::with`: `meanwhile` has not returned, and nobody else has the pointer at this moment.
    unsafe { pointer.as_mut()(worker) }
}

/// Something made of `Rc`s that all are inside of it, and so may move to another thread as a whole.
pub(super) struct Whole<T>(T);

// SAFETY: what is wrapped here is a Lua state with all handles to it (see `Interpreters::new`, the only place that makes
// one): nobody outside holds a clone of any of the `Rc`s inside, so the thread that has the whole has them all.
// Interpreters keep nothing in thread-local storage.
unsafe impl<T> Send for Whole<T> {}

impl<T> Whole<T> {
    /// Everything that shares an `Rc` with `content` must be inside of `content`.
    pub(super) fn new(content: T) -> Self {
        Self(content)
    }

    pub(super) fn get(&mut self) -> &mut T {
        &mut self.0
    }
}
