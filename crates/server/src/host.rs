//! What the engine asks of the process around it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use nix::sys::resource::UsageWho;
use parking_lot::Mutex;
use respire_engine::config::Settings;
use respire_engine::{Garbage, Host, HostInfo, Message, ShutdownRequest};

use crate::net::{Mail, Mailbox};
use crate::{logging, memory, process};

/// The server's side of the engine's [`Host`].
pub(crate) struct ServerHost {
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    /// To the thread that frees what takes long to free.
    pub(crate) garbage: Mutex<Sender<Garbage>>,
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) listeners: Vec<String>,
    pub(crate) run_id: String,
    pub(crate) stop: Arc<Stop>,
}

/// The request to end, and the bell of the main thread.
pub(crate) struct Stop {
    requested: AtomicBool,
    waker: mio::Waker,
}

impl Stop {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self { requested: AtomicBool::new(false), waker }
    }

    pub(crate) fn request(&self) {
        self.requested.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            log::error!("Waking the main thread failed: {error}");
        }
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

impl Host for ServerHost {
    fn shutdown(&self, request: ShutdownRequest) -> Result<(), String> {
        if request.save {
            return Err("there is no persistence yet, so nothing can be saved".into());
        }
        log::warn!("User requested shutdown...");
        self.stop.request();
        Ok(())
    }

    fn apply(&self, old: &Settings, new: &Settings) -> Result<(), (String, String)> {
        if new.maxclients > old.maxclients {
            let wanted = u64::from(new.maxclients);
            let possible = process::raise_file_limit(wanted);
            if possible < wanted {
                return Err((
                    "maxclients".into(),
                    format!(
                        "The operating system is not able to handle the specified number of clients, try with {possible}"
                    ),
                ));
            }
        }
        if new.loglevel != old.loglevel {
            logging::set_level(new.loglevel);
        }
        Ok(())
    }

    fn rewrite_config(&self) -> Result<(), String> {
        Err("The server is running without a config file".into())
    }

    fn deliver(&self, thread: usize, client: u64, message: Message) {
        if let Some(mailbox) = self.mailboxes.get(thread)
            && let Err(error) = mailbox.post(Mail::Message { client, message })
        {
            log::error!("Waking an event loop failed: {error}");
        }
    }

    fn discard(&self, garbage: Garbage) {
        // The other end is gone only when the process ends, and then the garbage goes with it.
        let _ = self.garbage.lock().send(garbage);
    }

    fn purge_memory(&self) {
        memory::purge();
    }

    fn info(&self) -> HostInfo {
        let (cpu_user, cpu_sys) = process::cpu_times(UsageWho::RUSAGE_SELF);
        let (cpu_user_main, cpu_sys_main) = process::cpu_times(UsageWho::RUSAGE_THREAD);
        let executable = std::env::current_exe().unwrap_or_default();
        let config_file = self.config_file.clone().unwrap_or_default();
        HostInfo {
            executable: executable.display().to_string(),
            config_file: config_file.display().to_string(),
            os: process::os(),
            pid: std::process::id(),
            run_id: self.run_id.clone(),
            cpu_user,
            cpu_sys,
            cpu_user_main,
            cpu_sys_main,
            memory: memory::read(),
            allocator: "jemalloc-5.3.0",
            listeners: self.listeners.clone(),
        }
    }
}
