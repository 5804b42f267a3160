//! From the command line to the options of a server, as redis-server reads it:
//! `respire [FILE] [-] [--directive value ...]`. Reads the configuration file, what it includes and standard input;
//! starts nothing.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use respire_engine::config::{Settings, parse_args, parse_file};
pub(crate) use respire_persistence::reason;

use crate::Options;

/// What the command line asks for.
pub enum Action {
    /// Print this and end.
    Print(String),
    /// Run a server.
    Serve(Box<Options>),
}

/// Reads the arguments after the program's name. An error is the whole text for the user.
pub fn read_command_line(args: &[String]) -> Result<Action, String> {
    match args {
        [only] if only == "--help" || only == "-h" => return Ok(Action::Print(help())),
        [only] if only == "--version" || only == "-v" => return Ok(Action::Print(version())),
        _ => {}
    }
    let directory = std::env::current_dir()
        .map_err(|error| format!("The working directory can't be found out: {error}"))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let defaults = Settings::new(threads, directory.to_string_lossy());
    let mut settings = defaults.clone();

    let (file, rest) = match args {
        [first, rest @ ..] if !first.starts_with('-') => (Some(first), rest),
        rest => (None, rest),
    };
    // A lone dash, first or last, stands for standard input; it is read after the file and before the directives.
    let (stdin, rest) = match rest {
        [first, rest @ ..] if first == "-" => (true, rest),
        [rest @ .., last] if last == "-" => (true, rest),
        rest => (false, rest),
    };
    let mut config_file = None;
    if let Some(name) = file {
        let text = fs::read_to_string(name).map_err(|error| {
            format!("Fatal error, can't open config file '{name}': {}", reason(&error))
        })?;
        let path = fs::canonicalize(name).unwrap_or_else(|_| directory.join(name));
        parse(&text, &path.to_string_lossy(), &mut settings)?;
        config_file = Some(path);
    }
    if stdin {
        let mut text = String::new();
        let read = io::stdin().read_to_string(&mut text);
        read.map_err(|error| format!("Standard input can't be read: {}", reason(&error)))?;
        parse(&text, "standard input", &mut settings)?;
    }
    parse_args(rest, &mut settings, &mut include).map_err(|error| error.to_string())?;
    Ok(Action::Serve(Box::new(Options::new(defaults, settings, config_file))))
}

fn parse(text: &str, name: &str, settings: &mut Settings) -> Result<(), String> {
    parse_file(text, name, settings, &mut include).map_err(|error| error.to_string())
}

/// The files that an `include` names: one, or those that match a pattern, in alphabetical order. A pattern may match
/// nothing; a plain name must exist.
fn include(pattern: &str) -> Result<Vec<(String, String)>, String> {
    let paths: Vec<PathBuf> = if pattern.contains(['*', '?', '[']) {
        let found = glob::glob(pattern).map_err(|error| error.to_string())?;
        found.filter_map(Result::ok).collect()
    } else {
        vec![PathBuf::from(pattern)]
    };
    let read = |path: PathBuf| {
        let name = path.to_string_lossy().into_owned();
        match fs::read_to_string(&path) {
            Ok(text) => Ok((name, text)),
            Err(error) => {
                Err(format!("Fatal error, can't open config file '{name}': {}", reason(&error)))
            }
        }
    };
    paths.into_iter().map(read).collect()
}

fn version() -> String {
    format!(
        "Respire server v={} redis={} malloc={} bits={}",
        env!("CARGO_PKG_VERSION"),
        respire_engine::REDIS_VERSION,
        crate::memory::allocator(),
        usize::BITS,
    )
}

fn help() -> String {
    "\
Usage: respire [/path/to/redis.conf] [-] [--directive value ...]
       respire bench [options]
       respire check [--fix] FILE...
       respire ping [-h HOST] [-p PORT] [-s SOCKET] [-t SECONDS]
       respire -v | --version
       respire -h | --help

A lone dash reads the configuration from standard input. Directives are those of redis.conf; the ones on the command
line win over those in the file.

Examples:
       respire
       respire /etc/redis/redis.conf
       respire --port 7777 --io-threads 4
       respire /etc/redis/redis.conf --loglevel verbose
       echo 'maxclients 128' | respire -
       respire bench --help
       respire check --help"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(args: &[&str]) -> Result<Options, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        match read_command_line(&args)? {
            Action::Serve(options) => Ok(*options),
            Action::Print(text) => panic!("only prints {text}"),
        }
    }

    #[test]
    fn arguments_win_over_the_file_and_its_includes() {
        let dir = std::env::temp_dir().join(format!("respire-startup-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        fs::write(path("a-1.inc"), "timeout 1\nhz 11\n").unwrap();
        fs::write(path("a-2.inc"), "timeout 2\n").unwrap();
        fs::write(path("main.conf"), format!("include {}\nport 7801\n", path("a-*.inc"))).unwrap();
        let options = serve(&[&path("main.conf"), "--port", "7802"]).unwrap();
        assert_eq!(options.settings.port, 7802);
        assert_eq!((options.settings.timeout, options.settings.hz), (2, 11));
        assert_eq!(options.defaults.port, 6379);
        assert_eq!(options.config_file, Some(fs::canonicalize(path("main.conf")).unwrap()));

        fs::write(path("bad.conf"), "port 1\n\nprot 2\n").unwrap();
        let error = serve(&[&path("bad.conf")]).err().unwrap();
        for part in ["bad.conf", "at line 3", ">>> 'prot 2'", "Bad directive"] {
            assert!(error.contains(part), "{error}");
        }
        fs::write(path("lost.conf"), format!("include {}\n", path("nowhere"))).unwrap();
        assert!(serve(&[&path("lost.conf")]).err().unwrap().contains("No such file"));
        fs::remove_dir_all(&dir).unwrap();
        assert!(serve(&[&path("main.conf")]).err().unwrap().contains("No such file"));
    }

    #[test]
    fn help_and_version_are_printed() {
        for (arg, part) in [("-v", "Respire server v="), ("--help", "Usage: respire")] {
            match read_command_line(&[arg.to_owned()]) {
                Ok(Action::Print(text)) => assert!(text.contains(part), "{text}"),
                _ => panic!("{arg} does not print"),
            }
        }
    }
}
