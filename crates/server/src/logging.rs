//! The log: lines as Redis writes them (`pid:role date mark text`), or JSON objects, to standard output or a file; and to
//! syslog as well, where that is asked for.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::time::SystemTime;

use env_logger::{Builder, Target};
use log::{Level, LevelFilter};
use respire_engine::config::{LogLevel, Settings};

use crate::crash;
use crate::syslog::Syslog;

/// Starts logging as the settings say. Once per process: a second call has no effect.
pub(crate) fn start(settings: &Settings) -> Result<(), String> {
    let json = settings.text("log-format") == "json";
    let syslog = Syslog::of(settings).map_err(|e| format!("Can't log to syslog: {e}"))?;
    let mut builder = Builder::new();
    builder.filter_level(LevelFilter::Trace).format(move |out, record| {
        if let Some(syslog) = &syslog {
            syslog.log(record.level(), record.args());
        }
        let write = if json { write_json } else { write_plain };
        write(out, record.level(), record.args())
    });
    builder.target(target(&settings.logfile)?);
    // A second server in the same process (a test, a benchmark) shares the first one's log.
    let _ = builder.try_init();
    set_level(settings.loglevel);
    set_reports(settings);
    Ok(())
}

/// What reports of crashes, and the log, tell.
pub(crate) fn set_reports(settings: &Settings) {
    crash::set_enabled(settings.text("crash-log-enabled") == "yes");
    respire_engine::hide_user_data(settings.text("hide-user-data-from-log") == "yes");
}

/// Where the log goes; reports of crashes go there, too.
fn target(logfile: &str) -> Result<Target, String> {
    if logfile.is_empty() {
        crash::report_to(None);
        return Ok(Target::Stdout);
    }
    let opened = OpenOptions::new().append(true).create(true).open(logfile);
    let both = opened.and_then(|file| Ok((file.try_clone()?, file)));
    let (again, file): (File, File) =
        both.map_err(|e: io::Error| format!("Can't open the log file {logfile}: {e}"))?;
    crash::report_to(Some(again));
    Ok(Target::Pipe(Box::new(file)))
}

fn write_plain(out: &mut dyn Write, level: Level, text: &fmt::Arguments<'_>) -> io::Result<()> {
    let mark = match level {
        Level::Error | Level::Warn => '#',
        Level::Info => '*',
        Level::Debug => '-',
        Level::Trace => '.',
    };
    let time = Time::now();
    writeln!(out, "{}:M {} {mark} {text}", std::process::id(), time.plain())
}

fn write_json(out: &mut dyn Write, level: Level, text: &fmt::Arguments<'_>) -> io::Result<()> {
    // A JSON string: quotes, backslashes and controls are escaped.
    let text = serde_json::Value::String(text.to_string());
    let (time, pid, level) = (Time::now(), std::process::id(), redis_name(level));
    writeln!(
        out,
        r#"{{"time":"{}","level":"{level}","pid":{pid},"role":"master","message":{text}}}"#,
        time.rfc3339()
    )
}

/// What `loglevel` calls a level.
fn redis_name(level: Level) -> &'static str {
    match level {
        Level::Error | Level::Warn => "warning",
        Level::Info => "notice",
        Level::Debug => "verbose",
        Level::Trace => "debug",
    }
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

/// A moment, in universal time, to the millisecond.
struct Time {
    date: time::OffsetDateTime,
    ms: u32,
}

impl Time {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let date = time::OffsetDateTime::from_unix_timestamp(since.as_secs() as i64)
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        Self { date, ms: since.subsec_millis() }
    }

    /// `22 Nov 2026 12:34:56.789`.
    fn plain(&self) -> String {
        let Self { date, ms } = self;
        let month = &date.month().to_string()[..3];
        let (day, year, (hour, minute, second)) = (date.day(), date.year(), date.to_hms());
        format!("{day:02} {month} {year} {hour:02}:{minute:02}:{second:02}.{ms:03}")
    }

    /// `2026-11-22T12:34:56.789Z`.
    fn rfc3339(&self) -> String {
        let Self { date, ms } = self;
        let (year, month, day) = date.to_calendar_date();
        let (month, (hour, minute, second)) = (u8::from(month), date.to_hms());
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_is_one_object_whatever_the_text() {
        let mut line = Vec::new();
        let text = "a \"quote\", a \\, a\nline, \u{1} and ü";
        write_json(&mut line, Level::Warn, &format_args!("{text}")).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let object: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(object["message"], text);
        assert_eq!(object["level"], "warning");
        assert_eq!(object["pid"], std::process::id());
        assert_eq!(object["time"].as_str().unwrap().len(), "2026-11-22T12:34:56.789Z".len());
    }
}
