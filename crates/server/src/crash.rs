//! The report of a crash: what the log says when a thread panics, or a signal tells of a fault.
//!
//! The report of a signal has two parts. The first is written with nothing but system calls and numbers, so that it comes
//! whatever is broken. The second is best effort: the backtrace and the figures allocate and take locks, and may wait for
//! one that the broken thread holds. An alarm bounds that. However the report goes, the process ends by the signal that
//! began it. Nothing of this runs, and nothing is counted, before there is a crash.

use std::backtrace::Backtrace;
use std::fmt::{self, Write};
use std::fs::File;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::libc::{self, c_int, c_void, siginfo_t};
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::unistd::{Pid, alarm};
use respire_engine::REDIS_VERSION;

use crate::{memory, process, stacks};

/// Signals that tell of a fault of the program.
const FAULTS: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT];

/// Seconds that the best-effort part of a report may take.
const PATIENCE: u32 = 10;

/// Bytes of the stack that the report of a signal runs on: that of a thread which overflowed has no room left, and to
/// find the names of functions takes some.
const REPORT_STACK: usize = 256 * 1024;

/// `crash-log-enabled`.
static ENABLED: AtomicBool = AtomicBool::new(true);
/// Where the log goes; standard error before there is one.
static LOG: AtomicI32 = AtomicI32::new(libc::STDERR_FILENO);
/// The signal that is being reported; 0 if none.
static REPORTING: AtomicI32 = AtomicI32::new(0);
/// A panic has been reported: the abort that follows it is no news.
static PANICKED: AtomicBool = AtomicBool::new(false);
static STARTED: OnceLock<Instant> = OnceLock::new();

/// Makes every panic end the process, and panics and faults leave a report in the log: a thread that has lost its way must
/// not leave a server behind that half works.
pub fn report_crashes() {
    let _ = STARTED.set(Instant::now());
    std::panic::set_hook(Box::new(|panic| {
        report_panic(panic);
        std::process::abort();
    }));
    prepare_thread();
    let flags = SaFlags::SA_SIGINFO
        | SaFlags::SA_ONSTACK
        // A fault within the report ends the process by the default action.
        | SaFlags::SA_RESETHAND
        | SaFlags::SA_NODEFER;
    let action = SigAction::new(SigHandler::SigAction(on_fault), flags, SigSet::empty());
    for fault in FAULTS {
        // SAFETY: the handler is one for three arguments, as the flags say. Its first part only makes system calls; what
        // the second does beyond that it does in a process that is lost already, and not for longer than the alarm.
        if let Err(error) = unsafe { signal::sigaction(fault, &action) } {
            log::warn!("{fault} can't be handled: {error}");
        }
    }
}

/// Gives the calling thread, for as long as the process lives, a stack for reports. It is mapped, past the allocator: it
/// takes no memory until it is used, and does not count as what the data need.
pub(crate) fn prepare_thread() {
    // SAFETY: a new private mapping of a fixed size, which is never unmapped and belongs to this thread alone. If the
    // system refuses either, the thread keeps the small stack that it has.
    unsafe {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let start = libc::mmap(std::ptr::null_mut(), REPORT_STACK, access, kind, -1, 0);
        if start != libc::MAP_FAILED {
            let stack = libc::stack_t { ss_sp: start, ss_flags: 0, ss_size: REPORT_STACK };
            libc::sigaltstack(&raw const stack, std::ptr::null_mut());
        }
    }
}

/// Has later reports written to `file`, or to standard output.
pub(crate) fn report_to(file: Option<File>) {
    let fd = file.map_or(libc::STDOUT_FILENO, IntoRawFd::into_raw_fd);
    LOG.store(fd, Ordering::Relaxed);
}

/// Sets whether crashes are reported; panics always leave a line.
pub(crate) fn set_enabled(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// Raises the fault of a bad address, as DEBUG SEGFAULT asks.
pub(crate) fn segfault() -> ! {
    let _ = signal::raise(Signal::SIGSEGV);
    // Not reached: the report ends the process.
    std::process::abort()
}

/// The log, past the logger and its buffers.
struct Out;

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the descriptor of the log is never closed.
        let log = unsafe { BorrowedFd::borrow_raw(LOG.load(Ordering::Relaxed)) };
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match nix::unistd::write(log, rest) {
                Ok(written) if written > 0 => rest = &rest[written..],
                Err(nix::errno::Errno::EINTR) => {}
                _ => return Err(fmt::Error),
            }
        }
        Ok(())
    }
}

/// What a panic says, which may quote what a client has sent.
struct Shown<'a>(&'a PanicHookInfo<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.location() {
            Some(location) if respire_engine::user_data_is_hidden() => {
                write!(f, "panicked at {location}: *redacted*")
            }
            _ => self.0.fmt(f),
        }
    }
}

fn report_panic(panic: &PanicHookInfo<'_>) {
    let panic = Shown(panic);
    let again = PANICKED.swap(true, Ordering::SeqCst);
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    if LOG.load(Ordering::Relaxed) != libc::STDERR_FILENO {
        eprintln!("Thread {name}: {panic}");
    }
    if again || !ENABLED.load(Ordering::Relaxed) {
        let _ = writeln!(Out, "Thread {name}: {panic}");
        return;
    }
    let _ = head(format_args!("Respire crashed by a panic of thread {name}: {panic}"));
    let _ = rest();
}

extern "C" fn on_fault(number: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let first = REPORTING.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    let panicked = number == libc::SIGABRT && PANICKED.load(Ordering::SeqCst);
    if first && !panicked && ENABLED.load(Ordering::Relaxed) {
        // SAFETY: the system hands a valid structure to a handler with SA_SIGINFO; the address in it is only printed.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr()) };
        let crashed = format_args!("Respire crashed by signal: {number}, si_code: {code}");
        let _ = if code > 0 {
            head(format_args!("{crashed}\nAccessing address: {address:p}"))
        } else {
            head(crashed)
        };
        let action =
            SigAction::new(SigHandler::Handler(on_alarm), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler only makes one system call.
        let bounded = unsafe { signal::sigaction(Signal::SIGALRM, &action) }.is_ok();
        if bounded {
            alarm::set(PATIENCE);
            let _ = rest();
        }
    }
    // The default action is in force again since this handler was entered.
    let _ = Signal::try_from(number).and_then(signal::raise);
}

/// The report does not come to its end: the process does.
extern "C" fn on_alarm(_: c_int) {
    if let Ok(fault) = Signal::try_from(REPORTING.load(Ordering::Relaxed)) {
        let _ = signal::kill(Pid::this(), fault);
    }
}

/// The part that needs nothing but a place to write to.
fn head(crashed: fmt::Arguments<'_>) -> fmt::Result {
    let uptime = STARTED.get().map_or(Duration::ZERO, Instant::elapsed);
    write!(
        Out,
        "\n=== RESPIRE BUG REPORT START: cut and paste from here ===\n\
         {crashed}\n\
         Respire {} (compatible with Redis {REDIS_VERSION}), process {}, up for {} seconds\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        uptime.as_secs(),
    )
}

/// The part that may fail.
fn rest() -> fmt::Result {
    let thread = std::thread::current();
    write!(
        Out,
        "\n------ BACKTRACE OF THREAD {} ------\n{}\n",
        thread.name().unwrap_or("unnamed"),
        Backtrace::force_capture()
    )?;
    let memory = memory::read();
    write!(
        Out,
        "------ PROCESS ------\n\
         os:{}\nallocator:{}\nused_memory:{}\nused_memory_rss:{}\ntotal_system_memory:{}\n{}\
         === RESPIRE BUG REPORT END: please report this, with what is above it in the log ===\n",
        process::os(),
        memory::allocator(),
        memory.allocated,
        memory.rss,
        memory.system_total,
        stacks::of_all_threads(),
    )
}
