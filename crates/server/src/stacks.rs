//! The stacks of all threads of the process at a moment, for the log: what a server is doing that does not answer.
//!
//! A thread is interrupted by a signal, and its handler notes the return addresses in memory that is there already: it
//! neither allocates nor locks, whatever it interrupts. Their names are found afterwards, by the thread that asks. Threads
//! are asked one after the other; one that blocks all signals does not answer, and is passed over.

use std::ffi::c_void;
use std::fmt::Write;
use std::fs;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::{self, c_int};
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use parking_lot::Mutex;

/// What threads are interrupted by. Whoever else sends it changes nothing.
const INTERRUPT: Signal = Signal::SIGUSR2;

/// How much of a stack is told, from its innermost function.
const FRAMES_MAX: usize = 100;

/// The innermost functions, which are those of the answer itself: the handler, and what the system puts below it.
const OWN_FRAMES: usize = 2;

/// How long a thread has to answer: it may have to wait for a core.
const PATIENCE: Duration = Duration::from_millis(500);

/// The number of the thread that is asked; 0 if none is, and negative while it answers.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// The answer.
static FRAMES: [AtomicUsize; FRAMES_MAX] = [const { AtomicUsize::new(0) }; FRAMES_MAX];
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Held by who asks.
static ASKING: Mutex<()> = Mutex::new(());

fn thread_id() -> c_int {
    // SAFETY: the call takes nothing and can't fail.
    unsafe { libc::gettid() }
}

extern "C" fn answer(_: c_int) {
    let own = thread_id();
    if ASKED.compare_exchange(own, -own, Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return;
    }
    let mut count = 0;
    // SAFETY: on Linux this walks the stack by tables that are there already. Nobody else walks at the same time through this
    // library but who asks for backtraces of crashes, and these share nothing with it.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            FRAMES[count].store(frame.ip() as usize, Ordering::Relaxed);
            count += 1;
            count < FRAMES_MAX
        });
    }
    COUNT.store(count, Ordering::Relaxed);
    ASKED.store(0, Ordering::SeqCst);
}

/// The return addresses of another thread of this process, the innermost first; `None` if it does not answer.
fn ask(id: c_int) -> Option<Vec<usize>> {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        let action =
            SigAction::new(SigHandler::Handler(answer), SaFlags::SA_RESTART, SigSet::all());
        // SAFETY: the handler does nothing that a handler may not do; see there.
        if let Err(error) = unsafe { signal::sigaction(INTERRUPT, &action) } {
            log::warn!("{INTERRUPT} can't be handled: {error}");
        }
    });
    ASKED.store(id, Ordering::SeqCst);
    // SAFETY: a signal is sent to a thread of this process, which has a handler for it; a number that is no thread's is refused.
    let sent =
        unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), id, INTERRUPT as c_int) == 0 };
    let began = Instant::now();
    while ASKED.load(Ordering::SeqCst) != 0 {
        let given_up = !sent || began.elapsed() > PATIENCE;
        // Who has begun to answer will be done in a moment.
        if given_up && ASKED.compare_exchange(id, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return None;
        }
        thread::sleep(Duration::from_micros(200));
    }
    let count = COUNT.load(Ordering::Relaxed);
    Some(FRAMES[..count].iter().map(|frame| frame.load(Ordering::Relaxed)).collect())
}

/// Whether a thread lets signals through. One that does not would be waited for in vain.
fn may_answer(id: c_int) -> bool {
    let status = fs::read_to_string(format!("/proc/self/task/{id}/status")).unwrap_or_default();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = blocked.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    blocked.is_some_and(|mask| mask & (1 << (INTERRUPT as c_int - 1)) == 0)
}

/// The number and the name of every thread but the calling one.
fn others() -> Vec<(c_int, String)> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let of = |task: fs::DirEntry| -> Option<(c_int, String)> {
        let id = task.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        (id != thread_id()).then(|| (id, name.trim_end().to_owned()))
    };
    let mut all: Vec<_> = tasks.flatten().filter_map(of).collect();
    all.sort_unstable();
    all
}

/// The stacks of all threads but the calling one, in words.
pub(crate) fn of_all_threads() -> String {
    let _asking = ASKING.lock();
    let mut text = String::new();
    // Names take far longer than stacks: these are to be of one moment, as nearly as may be.
    let stacks: Vec<_> = others()
        .into_iter()
        .map(|(id, name)| {
            let frames = if may_answer(id) { ask(id) } else { None };
            (id, name, frames)
        })
        .collect();
    for (id, name, frames) in stacks {
        // Writing to a string never fails.
        let _ = writeln!(text, "------ STACK OF THREAD {name} ({id}) ------");
        match frames {
            Some(frames) => describe(&frames, &mut text),
            None => text.push_str("It does not answer: it blocks signals, or has ended.\n"),
        }
    }
    text
}

/// What is outside of this is how a thread begins.
const OUTERMOST: &str = "__rust_begin_short_backtrace";

fn describe(frames: &[usize], text: &mut String) {
    for (number, frame) in frames.iter().skip(OWN_FRAMES).enumerate() {
        // Functions that were put into others are symbols of one frame.
        let (mut known, mut ends) = (false, false);
        backtrace::resolve(*frame as *mut c_void, |symbol| {
            let Some(name) = symbol.name() else { return };
            let name = format!("{name:#}");
            ends |= name.contains(OUTERMOST);
            let _ = match known {
                false => write!(text, "{number:4}: {name}"),
                true => write!(text, "      {name}"),
            };
            if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
                let _ = write!(text, " at {}:{line}", file.display());
            }
            text.push('\n');
            known = true;
        });
        if !known {
            let _ = writeln!(text, "{number:4}: {frame:#x}");
        }
        if ends {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[inline(never)]
    fn waits_here(go_on: &mpsc::Receiver<()>) {
        go_on.recv().expect("it is told to");
    }

    #[test]
    fn a_thread_that_waits_is_shown_where_it_does_and_goes_on() {
        let (tell, told) = mpsc::channel();
        let (begin, began) = mpsc::channel();
        let waiting = thread::Builder::new().name("waiting".into()).spawn(move || {
            begin.send(()).expect("somebody waits for it");
            waits_here(&told);
            5
        });
        let waiting = waiting.expect("a thread");
        began.recv().expect("it begins");
        // It may not have got there yet.
        let shown = (0..200).find_map(|_| {
            thread::sleep(Duration::from_millis(5));
            let text = of_all_threads();
            let from = text.find("------ STACK OF THREAD waiting (")?;
            let stack = text[from + 1..].split("------ STACK").next()?.to_owned();
            stack.contains("waits_here").then_some(stack)
        });
        assert!(shown.is_some(), "{}", of_all_threads());
        tell.send(()).expect("it waits");
        assert_eq!(waiting.join().expect("it goes on"), 5);
    }
}
