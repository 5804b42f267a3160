//! Memory of the process: what the allocator says and what the system says.

use std::cell::Cell;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use respire_engine::Memory;
use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
use tikv_jemalloc_ctl::{epoch, stats, stats_print};

/// The allocator and its version.
pub(crate) fn allocator() -> String {
    let version = tikv_jemalloc_ctl::version::read().unwrap_or_default();
    // The rest tells the commit.
    let version = version.split('-').next().unwrap_or_default();
    format!("jemalloc-{version}")
}

/// Bytes that are allocated, as far as threads have made known what they did, put right by the allocator's own figure
/// ten times a second.
static ALLOCATED: AtomicI64 = AtomicI64::new(0);

/// What a thread has allocated and freed, as the allocator counts it, and how much of it is in [`ALLOCATED`].
struct Own {
    allocated: ThreadLocal<u64>,
    deallocated: ThreadLocal<u64>,
    known: Cell<i64>,
}

thread_local! {
    static OWN: Option<Own> = Own::new();
}

impl Own {
    fn new() -> Option<Self> {
        let (allocated, deallocated) = (allocatedp::read().ok()?, deallocatedp::read().ok()?);
        let own = Self { allocated, deallocated, known: Cell::new(0) };
        own.known.set(own.net());
        Some(own)
    }

    fn net(&self) -> i64 {
        self.allocated.get().wrapping_sub(self.deallocated.get()) as i64
    }

    /// Makes known what the thread did since the last call.
    fn tell(&self) {
        let net = self.net();
        let new = net.wrapping_sub(self.known.replace(net));
        if new != 0 {
            ALLOCATED.fetch_add(new, Ordering::Relaxed);
        }
    }
}

/// Bytes that are allocated: all that this thread did, and what others did until they last called this.
pub(crate) fn allocated() -> u64 {
    // A thread that is ending has nothing to tell any more.
    let _ = OWN.try_with(|own| own.as_ref().map(Own::tell));
    ALLOCATED.load(Ordering::Relaxed).max(0) as u64
}

/// What is known of the difference between the allocator's figure and [`ALLOCATED`].
enum Drift {
    Unknown,
    Last(i64),
}

static DRIFT: Mutex<Drift> = Mutex::new(Drift::Unknown);

/// Puts [`ALLOCATED`] right. A thread that is in the middle of something makes a difference that it will make up for
/// itself: only a difference that was there the last time, too, is one that nobody would.
fn put_right(truth: u64) {
    let mut drift = DRIFT.lock();
    let now = truth as i64 - ALLOCATED.load(Ordering::Relaxed);
    let lasting = match *drift {
        Drift::Unknown => now,
        Drift::Last(before) if before.signum() == now.signum() => {
            before.abs().min(now.abs()) * now.signum()
        }
        Drift::Last(_) => 0,
    };
    ALLOCATED.fetch_add(lasting, Ordering::Relaxed);
    *drift = Drift::Last(now - lasting);
}

/// Reads all figures. Those that cannot be read are 0.
pub(crate) fn read() -> Memory {
    // The allocator's figures are a snapshot, taken when its epoch advances.
    let _ = epoch::advance();
    let allocated = stats::allocated::read().unwrap_or(0) as u64;
    put_right(allocated.saturating_sub(cached()));
    Memory {
        allocated,
        active: stats::active::read().unwrap_or(0) as u64,
        resident: stats::resident::read().unwrap_or(0) as u64,
        rss: resident_set(),
        system_total: system_total(),
    }
}

/// Bytes that threads have freed and keep, to allocate them again: the allocator counts them as allocated. As of when its
/// epoch last advanced.
fn cached() -> u64 {
    // MALLCTL_ARENAS_ALL: the pseudo-arena that stands for all of them.
    const CACHED: [&std::ffi::CStr; 2] =
        [c"stats.arenas.4096.tcache_bytes", c"stats.arenas.4096.tcache_stashed_bytes"];
    let read = |name: &std::ffi::CStr| {
        let (mut bytes, mut size) = (0usize, size_of::<usize>());
        // SAFETY: the control writes a number of that size, and is given nothing.
        let failed = unsafe {
            let value = (&raw mut bytes).cast();
            tikv_jemalloc_sys::mallctl(name.as_ptr(), value, &raw mut size, std::ptr::null_mut(), 0)
        };
        if failed == 0 { bytes as u64 } else { 0 }
    };
    CACHED.into_iter().map(read).sum()
}

/// Resident set size, bytes.
fn resident_set() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Memory of the machine, bytes.
fn system_total() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram * u64::from(info.mem_unit)
}

/// What the allocator tells about itself.
pub(crate) fn report() -> io::Result<String> {
    let mut text = Vec::new();
    stats_print::stats_print(&mut text, stats_print::Options::default())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What the allocator tells of a block: how many of the places around it in its slab are free, how many there are, and how
/// large the slab is. All 0 if the address is none of a block.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Utilization {
    free: usize,
    places: usize,
    _size: usize,
}

/// Of addresses of blocks, which lie in slabs of which more than a fifth is free. Blocks with pages of their own never do.
pub(crate) fn lie_thinly(blocks: &[usize]) -> Vec<bool> {
    const QUERY: &std::ffi::CStr = c"experimental.utilization.batch_query";
    let mut found = vec![Utilization::default(); blocks.len()];
    let mut size = size_of_val(&found[..]);
    // SAFETY: the control reads an array of addresses, which it only looks up, and writes one of three numbers for each,
    // as jemalloc documents; both are as long as is said.
    let failed = unsafe {
        tikv_jemalloc_sys::mallctl(
            QUERY.as_ptr(),
            found.as_mut_ptr().cast(),
            &raw mut size,
            blocks.as_ptr().cast_mut().cast(),
            size_of_val(blocks),
        )
    };
    if failed != 0 {
        return vec![false; blocks.len()];
    }
    found.iter().map(|block| block.places > 1 && block.free * 5 > block.places).collect()
}

/// Lets this thread allocate and free past a cache of its own, so that what it frees is not what it gets next.
pub(crate) fn go_past_cache() {
    const CACHE: &std::ffi::CStr = c"thread.tcache.enabled";
    let mut enabled = false;
    // SAFETY: the control reads a boolean and is asked for nothing.
    let failed = unsafe {
        let (nothing, no_size) = (std::ptr::null_mut(), std::ptr::null_mut());
        let value = (&raw mut enabled).cast();
        tikv_jemalloc_sys::mallctl(CACHE.as_ptr(), nothing, no_size, value, size_of::<bool>())
    };
    if failed != 0 {
        log::warn!("A thread has to allocate through its cache: error {failed}");
    }
}

/// Gives pages that hold nothing back to the system.
pub(crate) fn purge() {
    // MALLCTL_ARENAS_ALL: the pseudo-arena that stands for all of them.
    const PURGE_ALL: &std::ffi::CStr = c"arena.4096.purge";
    // SAFETY: the name is a valid one, and of a control that neither takes nor returns anything.
    let failed = unsafe {
        let (nothing, no_size) = (std::ptr::null_mut(), std::ptr::null_mut());
        tikv_jemalloc_sys::mallctl(PURGE_ALL.as_ptr(), nothing, no_size, nothing, 0)
    };
    if failed != 0 {
        log::warn!("Purging memory failed with error {failed}");
    }
}

/// Starts the allocator's background thread again, which a fork leaves behind.
pub(crate) fn run_in_background() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        log::warn!("The allocator has no background thread: {error}");
    }
}
