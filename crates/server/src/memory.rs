//! Memory of the process: what the allocator says and what the system says.

use std::fs;
use std::io;

use respire_engine::Memory;
use tikv_jemalloc_ctl::{epoch, stats, stats_print};

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
    info.totalram * u64::from(info.mem_unit)
}

/// What the allocator tells about itself.
pub(crate) fn report() -> io::Result<String> {
    let mut text = Vec::new();
    stats_print::stats_print(&mut text, stats_print::Options::default())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
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
