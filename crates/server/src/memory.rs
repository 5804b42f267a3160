//! Memory of the process: what the allocator says and what the system says.

use std::fs;

use respire_engine::Memory;
use tikv_jemalloc_ctl::{epoch, raw, stats};

/// The allocator and its version.
pub(crate) fn allocator() -> String {
    let version = tikv_jemalloc_ctl::version::read().unwrap_or_default();
    // The rest tells the commit.
    let version = version.split('-').next().unwrap_or_default();
    format!("jemalloc-{version}")
}

/// Reads all figures. Those that cannot be read are 0.
pub(crate) fn read() -> Memory {
    // The allocator's figures are a snapshot, taken when its epoch advances.
    let _ = epoch::advance();
    Memory {
        allocated: stats::allocated::read().unwrap_or(0) as u64,
        active: stats::active::read().unwrap_or(0) as u64,
        resident: stats::resident::read().unwrap_or(0) as u64,
        rss: resident_set(),
        system_total: system_total(),
    }
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
    u64::from(info.totalram) * u64::from(info.mem_unit)
}

/// Gives pages that hold nothing back to the system.
pub(crate) fn purge() {
    // MALLCTL_ARENAS_ALL: the pseudo-arena that stands for all of them.
    const PURGE_ALL: &[u8] = b"arena.4096.purge\0";
    // SAFETY: the name is a valid mallctl name that takes and returns nothing; the unit type carries no data.
    if let Err(error) = unsafe { raw::write(PURGE_ALL, ()) } {
        log::warn!("Purging memory failed: {error}");
    }
}
