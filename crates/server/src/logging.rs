//! The log: lines as Redis writes them (`pid:role date mark text`), to standard output or a file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::time::SystemTime;

use env_logger::{Builder, Target};
use log::{Level, LevelFilter};
use respire_engine::config::{LogLevel, Settings};

/// Starts logging as the settings say. Once per process: a second call has no effect.
pub(crate) fn start(settings: &Settings) -> Result<(), String> {
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Trace).format(|out, record| {
        let mark = match record.level() {
            Level::Error | Level::Warn => '#',
            Level::Info => '*',
            Level::Debug => '-',
            Level::Trace => '.',
        };
        writeln!(out, "{}:M {} {mark} {}", std::process::id(), timestamp(), record.args())
    });
    builder.target(target(&settings.logfile)?);
    // A second server in the same process (a test, a benchmark) shares the first one's log.
    let _ = builder.try_init();
    set_level(settings.loglevel);
    Ok(())
}

fn target(logfile: &str) -> Result<Target, String> {
    if logfile.is_empty() {
        return Ok(Target::Stdout);
    }
    let opened = OpenOptions::new().append(true).create(true).open(logfile);
    let file = opened.map_err(|e: io::Error| format!("Can't open the log file {logfile}: {e}"))?;
    Ok(Target::Pipe(Box::new(file)))
}

/// Sets how much is logged.
pub(crate) fn set_level(level: LogLevel) {
    log::set_max_level(match level {
        LogLevel::Debug => LevelFilter::Trace,
        LogLevel::Verbose => LevelFilter::Debug,
        LogLevel::Notice => LevelFilter::Info,
        LogLevel::Warning => LevelFilter::Warn,
    });
}

/// `22 Nov 2026 12:34:56.789`, in universal time.
fn timestamp() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = time::OffsetDateTime::from_unix_timestamp(since.as_secs() as i64)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let month = &time.month().to_string()[..3];
    let (hour, minute, second) = time.to_hms();
    let (day, year, ms) = (time.day(), time.year(), since.subsec_millis());
    format!("{day:02} {month} {year} {hour:02}:{minute:02}:{second:02}.{ms:03}")
}
