//! What the log says first: which server this is, where it listens, with how many threads.

use std::io::{IsTerminal, stdout};
use std::process;

use respire_engine::REDIS_VERSION;
use respire_engine::config::Settings;

/// The line that tells what starts here; with the logo above it on a terminal, or where `always-show-logo` asks.
pub(crate) fn text(settings: &Settings) -> String {
    let on_terminal = settings.logfile.is_empty() && stdout().is_terminal();
    let line = line(settings);
    if settings.always_show_logo || on_terminal { format!("{LOGO}\n{line}") } else { line }
}

fn line(settings: &Settings) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let Settings { port, io_threads, shards, .. } = settings;
    let threads = if *io_threads == 1 { "thread" } else { "threads" };
    format!(
        "Respire {version} (compatible with Redis {REDIS_VERSION}) starting: port {port}, {io_threads} {threads}, \
         {shards} shards, PID: {}",
        process::id()
    )
}

const LOGO: &str = r"
        .-~~-.
      (        )-~~-.
    .-~~-.   (        )     R E S P I R E
   (       )-~-.  _.-'
    `-.__.(      )            breathe in, breathe out
           `-~~-'
";
