//! How soon a thread that wakes gets a core on which another one computes.
//!
//! Linux lets that one go on for the rest of its slice, milliseconds, unless who wakes has asked for shorter slices (since
//! 6.12; before, the wish is ignored). A thread that answers clients works for some tens of microseconds at a time, and should
//! get a core at once: whether a snapshot is written there, something large freed, or whatever else the machine does.

/// The shortest slice that may be asked for, nanoseconds.
#[cfg(target_os = "linux")]
const SHORTEST: u64 = 100_000;

/// Asks for short slices for the calling thread. It works without them, too: only the worst latencies are longer.
#[cfg(target_os = "linux")]
pub(crate) fn shorten() {
    use nix::libc::{
        SCHED_OTHER, SYS_sched_getattr, SYS_sched_setattr, c_int, c_uint, sched_attr, syscall,
    };

    const OWN: c_int = 0;
    const NO_FLAGS: c_uint = 0;
    let size = size_of::<sched_attr>() as c_uint;
    // SAFETY: it consists of numbers, for which zeros are values.
    let mut attributes: sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the system writes at most `size` bytes to the structure, which has as many.
    let got = unsafe { syscall(SYS_sched_getattr, OWN, &raw mut attributes, size, NO_FLAGS) };
    // Whoever started the server under another policy has better reasons.
    if got != 0 || attributes.sched_policy != SCHED_OTHER as u32 {
        return;
    }
    attributes.size = size;
    attributes.sched_runtime = SHORTEST;
    // SAFETY: the system reads `size` bytes of the structure, which has as many.
    let set = unsafe { syscall(SYS_sched_setattr, OWN, &raw const attributes, NO_FLAGS) };
    if set != 0 {
        log::debug!("No short slices: {}", std::io::Error::last_os_error());
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn shorten() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    /// The nice value and the policy stay; elsewhere than in the slice nothing changes. Line `policy` of `sched` needs a debugging
    /// kernel, `stat` does not.
    #[test]
    fn nothing_else_changes() {
        let fields = || {
            let text = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux has it");
            let behind = text.rsplit(')').next().expect("the name is in parentheses").to_owned();
            let fields: Vec<String> = behind.split_whitespace().map(str::to_owned).collect();
            // Priority, nice value, real-time priority, policy: fields 18, 19, 40 and 41, of which two stand in front.
            [15, 16, 37, 38].map(|i| fields[i].clone())
        };
        let before = fields();
        super::shorten();
        assert_eq!(fields(), before);
    }
}
