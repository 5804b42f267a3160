//! How much processor time a server on this machine has used.
//!
//! Owns: finding the server's process behind an address, and reading its clock from `/proc` (Linux).
//! Refuses: guesses. The process that the server names must hold the socket that we talk to, else there is a
//! reason in words and no figure.
//!
//! `/proc/<pid>/task/*/schedstat` counts nanoseconds on a processor, user and system together; `stat` counts in
//! hundredths of a second and is the fallback where the kernel keeps no scheduler statistics.

use crate::target::{Address, Target};
use std::fs;
use std::path::{Path, PathBuf};

/// Threads of an embedded server carry names that begin so.
const SERVER_THREADS: &str = "respire-";

/// A process whose clock can be read.
#[derive(Debug, Clone)]
pub struct ServerCpu {
    pid: u32,
    /// Client and server share the process; only [`SERVER_THREADS`] count.
    embedded: bool,
}

impl ServerCpu {
    /// Asks the server for its process and checks that it is one of this machine. Else: the reason.
    pub fn find(target: &Target) -> Result<ServerCpu, String> {
        if !target.address.is_local() {
            return Err("the server is on another machine".into());
        }
        let info = target
            .connect()
            .and_then(|mut client| client.info_server())
            .map_err(|error| error.to_string())?;
        let pid = info
            .lines()
            .find_map(|line| line.trim().strip_prefix("process_id:"))
            .and_then(|pid| pid.parse().ok())
            .ok_or("the server's INFO has no process_id")?;
        let found = ServerCpu { pid, embedded: pid == std::process::id() };
        if !found.embedded && !holds_socket(pid, &target.address) {
            return Err(format!(
                "process {pid} of this machine is not seen to hold the server's socket"
            ));
        }
        match found.nanoseconds() {
            Some(0) if found.embedded => {
                Err("the embedded server's threads have other names".into())
            }
            Some(_) => Ok(found),
            None => Err(format!("process {pid} has no clock to read")),
        }
    }

    /// The clock of a process that the caller has started itself.
    pub fn of_process(pid: u32) -> ServerCpu {
        ServerCpu { pid, embedded: false }
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// User and system time so far, of all threads that are alive; `None` when the process is gone.
    pub fn nanoseconds(&self) -> Option<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?;
        let mut sum = 0;
        for task in tasks.flatten().map(|task| task.path()) {
            if self.embedded && !thread_name(&task).starts_with(SERVER_THREADS) {
                continue;
            }
            // A thread that ends while we look is no reason to fail.
            sum += task_nanoseconds(&task).unwrap_or(0);
        }
        Some(sum)
    }
}

/// Processor time of the calling thread.
pub(crate) fn own_thread_nanoseconds() -> u64 {
    task_nanoseconds(Path::new("/proc/thread-self")).unwrap_or(0)
}

fn thread_name(task: &Path) -> String {
    fs::read_to_string(task.join("comm")).unwrap_or_default()
}

fn task_nanoseconds(task: &Path) -> Option<u64> {
    if let Ok(text) = fs::read_to_string(task.join("schedstat")) {
        return text.split_ascii_whitespace().next()?.parse().ok();
    }
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    // The name in brackets may hold blanks; utime and stime are fields 14 and 15, in 1/100 s on Linux.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some((utime + stime) * 10_000_000)
}

fn holds_socket(pid: u32, address: &Address) -> bool {
    let inodes = match address {
        Address::Tcp(addr) => listening_inodes(addr.port()),
        Address::Unix(path) => unix_inodes(path),
    };
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let targets: Vec<PathBuf> =
        inodes.iter().map(|inode| format!("socket:[{inode}]").into()).collect();
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|link| targets.contains(&link))
}

fn listening_inodes(port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let local_end = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| {
            table
                .lines()
                .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
                .filter(|row| row.len() > 9 && row[1].ends_with(&local_end) && row[3] == LISTEN)
                .map(|row| row[9].to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn unix_inodes(path: &Path) -> Vec<String> {
    let absolute = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    table
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|row| row.len() > 7 && (Path::new(row[7]) == absolute || Path::new(row[7]) == path))
        .map(|row| row[6].to_owned())
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_socket_is_found_in_the_process_that_listens_and_nowhere_else() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        assert!(holds_socket(std::process::id(), &address));
        drop(listener);
        assert!(!holds_socket(std::process::id(), &address));
    }

    #[test]
    fn the_clock_of_a_busy_thread_runs() {
        let before = own_thread_nanoseconds();
        let mut sum = 0u64;
        while own_thread_nanoseconds() < before + 5_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let cpu = ServerCpu::of_process(std::process::id());
        assert!(cpu.nanoseconds().unwrap() >= 5_000_000);
    }
}
