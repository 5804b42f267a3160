//! `respire check`: from the command line to the exit code, which is 0 only if every file is good, or was made so.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use respire_persistence::check::Checking;

use crate::startup::reason;

const HELP: &str = "\
Usage: respire check [--fix] [--truncate-to-timestamp SECONDS] [--yes] FILE...

Says what is in RDB files, files of an append-only log, manifests and whole directories of a log, and where they are
damaged. Exits with 0 if all are good, with 1 if not. No server may use the files meanwhile.

  --fix  cut the last file of a log behind its last good request, and never in the middle of a transaction; write what
         can be read of a damaged RDB file to FILE.fixed. It says what is lost, and asks before.
  --truncate-to-timestamp SECONDS
         cut the last file of a log behind what was written up to this Unix time; the server must have run with
         aof-timestamp-enabled
  --yes  do not ask";

#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    fix: bool,
    until: Option<i64>,
    yes: bool,
    help: bool,
    files: Vec<PathBuf>,
}

fn read_arguments(mut args: impl Iterator<Item = OsString>) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--fix") => wanted.fix = true,
            Some("--truncate-to-timestamp") => {
                let seconds = args.next().and_then(|text| text.to_str()?.parse().ok());
                wanted.until = Some(seconds.ok_or("--truncate-to-timestamp needs a Unix time")?);
            }
            Some("--yes" | "-y") => wanted.yes = true,
            Some("--help" | "-h") => wanted.help = true,
            Some(option) if option.starts_with('-') => {
                return Err(format!("Unknown option {option}"));
            }
            _ => wanted.files.push(arg.into()),
        }
    }
    if wanted.files.is_empty() && !wanted.help {
        return Err("No file to check".into());
    }
    Ok(wanted)
}

/// Checks the files that the arguments behind `respire check` name.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let wanted = match read_arguments(args) {
        Ok(Wanted { help: true, .. }) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{why}\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    };
    let mut agree = |question: &str| wanted.yes || ask(question);
    // Whoever has closed the other end wants to hear no more; the exit code says the rest.
    let mut tell = |line: &str| drop(writeln!(io::stdout(), "{line}"));
    let mut checking =
        Checking { fix: wanted.fix, until: wanted.until, agree: &mut agree, tell: &mut tell };
    let mut good = true;
    for file in &wanted.files {
        good &= checking.check(file).unwrap_or_else(|error| {
            eprintln!("{}: {}", file.display(), reason(&error));
            false
        });
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Asks a question that only a clear yes answers.
fn ask(question: &str) -> bool {
    if !io::stdin().is_terminal() {
        println!("{question} Nobody is there to be asked: --yes agrees.");
        return false;
    }
    print!("{question} [y/N] ");
    let mut answer = String::new();
    let asked = io::stdout().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    asked.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Wanted, String> {
        read_arguments(args.iter().map(OsString::from))
    }

    #[test]
    fn options_stand_anywhere_and_are_known() {
        let wanted = read(&["a.rdb", "--fix", "b.aof", "--yes"]).unwrap();
        assert!(wanted.fix && wanted.yes && !wanted.help);
        assert_eq!(wanted.files, [PathBuf::from("a.rdb"), PathBuf::from("b.aof")]);
        assert!(read(&["--repair", "a"]).unwrap_err().contains("--repair"));
        assert!(read(&["--fix"]).is_err());
        assert!(read(&["a.aof", "--truncate-to-timestamp", "soon"]).is_err());
        assert_eq!(read(&["--truncate-to-timestamp", "7", "a"]).unwrap().until, Some(7));
        assert!(read(&["--help"]).unwrap().help);
    }
}
