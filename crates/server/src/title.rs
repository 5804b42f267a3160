//! What `ps` shows of the server: `set-proc-title` and `proc-title-template`.
//!
//! Linux shows the memory in which it put the arguments when the program began; where the last byte of that is no zero any
//! more, what follows belongs to it up to the next zero, and what follows is the environment. So there is room for a title as long
//! as both, once the environment has been copied elsewhere. It is written through the file that shows a process its own
//! memory.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use respire_engine::config::Settings;

/// The room for a title, and what the title tells.
#[derive(Debug, Clone)]
pub struct Title {
    /// Addresses.
    room: Range<u64>,
    /// As the program was called.
    program: String,
}

impl Title {
    /// Makes room. `None` where that can't be done, or the settings don't ask for it. No other thread may run yet.
    pub fn prepare(settings: &Settings) -> Option<Self> {
        if !settings.set_proc_title {
            return None;
        }
        let program = std::env::args().next()?;
        let room = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| room(&stat))?;
        for (name, value) in std::env::vars_os() {
            // SAFETY: no other thread runs that could read the environment: the caller answers for that. The allocator has a
            // thread, which does not.
            unsafe { std::env::set_var(name, value) };
        }
        Some(Self { room, program })
    }

    /// Shows the title that the settings ask for.
    pub(crate) fn show(&self, settings: &Settings, config_file: Option<&Path>) {
        let file = config_file.map(|path| path.to_string_lossy().into_owned());
        let title = settings.process_title(&self.program, &file.unwrap_or_default());
        if let Err(error) = self.write(title.trim_end().as_bytes()) {
            log::warn!("The title of the process can't be set: {error}");
        }
    }

    /// Fills the room with a title, as much of it as fits, and zeros.
    fn write(&self, title: &[u8]) -> io::Result<()> {
        let mut bytes = vec![0; (self.room.end - self.room.start) as usize];
        let len = title.len().min(bytes.len() - 1);
        bytes[..len].copy_from_slice(&title[..len]);
        File::options().write(true).open("/proc/self/mem")?.write_all_at(&bytes, self.room.start)
    }
}

/// Where the arguments and the environment lie, from the text of `/proc/self/stat`.
fn room(stat: &str) -> Option<Range<u64>> {
    /// The numbers of `arg_start`, `arg_end`, `env_start` and `env_end` among the fields behind the name, which are counted
    /// from 3.
    const FIELDS: Range<usize> = 48 - 3..52 - 3;
    let behind = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<u64> = behind
        .split_whitespace()
        .skip(FIELDS.start)
        .map_while(|field| field.parse().ok())
        .collect();
    match fields[..] {
        [start, end, behind, last, ..] if start < end && end == behind && behind <= last => {
            Some(start..last)
        }
        [start, end, ..] if start < end => Some(start..end),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_where_the_system_says() {
        let fields = |ends: &str| format!("7 (a) b (c) S{} {ends} 0", " 1".repeat(44));
        assert_eq!(room(&fields("100 120 120 200")), Some(100..200));
        assert_eq!(room(&fields("100 120 128 200")), Some(100..120), "a gap");
        assert_eq!(room(&fields("0 0 0 0")), None, "not to be known");
        assert_eq!(room("7 (a) S 1 2"), None);
        let own = fs::read_to_string("/proc/self/stat").expect("Linux has it");
        assert!(room(&own).is_some(), "{own}");
    }
}
