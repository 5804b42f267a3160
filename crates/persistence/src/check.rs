//! `respire check`: says what is in an RDB file, a file of the log, a manifest or a whole directory of a log, where the
//! damage is, and what would be lost; mends what can be mended, if that is wanted.
//!
//! Nothing is changed but the length of the last file of a log, and that only where the user agreed. What can be read
//! of a damaged RDB file goes to another file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use respire_datatypes::hash::Hasher;
use respire_rdb::write::{self, Options};
use respire_rdb::{
    Access, Batch, Checksum, DecodeOptions, Item, Loaded, RawEntry, RdbError, Scanner, decode,
    format, needs_version,
};

use crate::aof::manifest::{Manifest, Part};
use crate::aof::records::{Records, Step};
use crate::disk::{Disk, RealDisk, Temporary, temporary, write_all};

/// What was asked for, and who is told.
pub struct Checking<'a> {
    /// Mend what can be mended.
    pub fix: bool,
    /// Cut the log behind what was written up to this Unix time, seconds.
    pub until: Option<i64>,
    /// Asks the user.
    pub agree: &'a mut dyn FnMut(&str) -> bool,
    /// Tells the user a line.
    pub tell: &'a mut dyn FnMut(&str),
}

/// What an RDB file, or the part of a file that is one, holds.
#[derive(Default)]
struct Snapshot {
    /// By database and type: keys, and of these the ones with an expiry.
    keys: BTreeMap<(u64, &'static str), (u64, u64)>,
    /// Entries whose values can't be read.
    broken: u64,
    /// The version that a file with these values needs.
    version: u16,
    damaged: bool,
}

/// How far the requests of a file of the log are good.
#[derive(Default)]
struct Requests {
    requests: u64,
    transactions: u64,
    /// Behind the last request that is whole, and in no transaction that is not; bytes.
    good: u64,
    size: u64,
    /// What is wrong behind that.
    wrong: Option<String>,
    /// It tells when requests were written.
    is_stamped: bool,
    /// Where what was written later than the moment that was asked for begins.
    later: Option<u64>,
}

impl Checking<'_> {
    /// Checks what is at `path`. Returns whether it is good, or was made so.
    pub fn check(&mut self, path: &Path) -> io::Result<bool> {
        if path.is_dir() {
            return self.directory(path);
        }
        let mut head = Vec::new();
        RealDisk.read(path)?.take(64).read_to_end(&mut head)?;
        if path.extension().is_some_and(|extension| extension == "manifest")
            || head.starts_with(b"file ")
        {
            return self.manifest(path);
        }
        // A log may begin with an RDB file, or be empty still.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(".aof") || head.starts_with(b"*") || head.starts_with(b"#") {
            return self.part(path, true);
        }
        self.rdb(path)
    }

    fn say(&mut self, text: impl AsRef<str>) {
        (self.tell)(text.as_ref());
    }

    /// All manifests of a directory.
    fn directory(&mut self, dir: &Path) -> io::Result<bool> {
        let mut names = RealDisk.list(dir)?;
        names.retain(|name| name.ends_with(".manifest") && !name.starts_with("temp-"));
        names.sort();
        if names.is_empty() {
            self.say(format!("{}: there is no manifest in it", dir.display()));
            return Ok(false);
        }
        let mut good = true;
        for name in names {
            good &= self.manifest(&dir.join(name))?;
        }
        Ok(good)
    }

    fn manifest(&mut self, path: &Path) -> io::Result<bool> {
        let shown = path.display().to_string();
        let manifest = match Manifest::load(&RealDisk, path) {
            Ok(manifest) => manifest.unwrap_or_default(),
            Err(why) => {
                self.say(format!("{why}: DAMAGED"));
                return Ok(false);
            }
        };
        self.say(format!("{shown}: manifest, {} files", manifest.parts.len()));
        let dir = path.parent().unwrap_or(Path::new("."));
        let parts: Vec<&Part> = manifest.base().into_iter().chain(manifest.increments()).collect();
        let (mut good, mut sizes) = (!parts.is_empty(), Vec::new());
        for part in &parts {
            let size = RealDisk.size(&dir.join(&part.name))?;
            if size.is_none() {
                self.say(format!("{}: MISSING, though the manifest names it", part.name));
                good = false;
            }
            sizes.push(size.unwrap_or(0));
        }
        // Only the last one that holds anything may be cut.
        let last = sizes.iter().rposition(|size| *size > 0).unwrap_or(0);
        for (i, part) in parts.iter().enumerate() {
            let file: PathBuf = dir.join(&part.name);
            if RealDisk.size(&file)?.is_some() {
                good &= self.part(&file, i >= last)?;
            }
        }
        self.say(format!("{shown}: {}", verdict(good)));
        Ok(good)
    }

    /// A file of the log: an RDB file, requests, or one behind the other.
    fn part(&mut self, path: &Path, may_cut: bool) -> io::Result<bool> {
        let shown = path.display().to_string();
        let mut source = RealDisk.read(path)?;
        let mut head = Vec::new();
        source.by_ref().take(respire_rdb::MAGIC_LEN).read_to_end(&mut head)?;
        let (rest, offset): (Vec<u8>, u64) = if respire_rdb::is_rdb(&head) {
            let mut scanner = match Scanner::new(RealDisk.read(path)?, true) {
                Ok(scanner) => scanner,
                Err(error) => return Ok(self.unreadable(&shown, &error)),
            };
            let snapshot = self.scan(&shown, &mut scanner, |_| Ok(()))?;
            if snapshot.damaged {
                self.say(format!("{shown}: DAMAGED"));
                return Ok(false);
            }
            let offset = scanner.offset();
            let rest;
            (source, rest) = scanner.into_rest();
            (rest, offset)
        } else {
            (head, 0)
        };
        let found = scan_requests(&mut *source, rest, offset, self.until)?;
        self.say(format!(
            "{shown}: {} bytes, {} requests, {} transactions",
            found.size, found.requests, found.transactions
        ));
        let Some(wrong) = &found.wrong else {
            self.say(format!("{shown}: good"));
            return self.go_back(path, &found, may_cut);
        };
        let lost = found.size - found.good;
        self.say(format!("{shown}: {wrong}"));
        self.say(format!("{shown}: good up to offset {}; {lost} bytes follow", found.good));
        if !self.fix {
            self.say(format!("{shown}: DAMAGED; --fix cuts it to {} bytes", found.good));
            return Ok(false);
        }
        if !may_cut {
            self.say(format!(
                "{shown}: DAMAGED, and not cut: what later files of the log say builds on what would be lost"
            ));
            return Ok(false);
        }
        if !self.cut(path, found.size, found.good)? {
            self.say(format!("{shown}: DAMAGED, and left as it is"));
            return Ok(false);
        }
        self.say(format!("{shown}: good"));
        Ok(true)
    }

    /// Cuts a good file of the log behind what was written up to the moment that was asked for, if any was.
    fn go_back(&mut self, path: &Path, found: &Requests, may_cut: bool) -> io::Result<bool> {
        let shown = path.display();
        let Some(until) = self.until else { return Ok(true) };
        match found.later {
            None if !found.is_stamped && found.requests > 0 => {
                self.say(format!(
                    "{shown}: it does not tell when requests were written; aof-timestamp-enabled makes it"
                ));
                Ok(false)
            }
            None => {
                self.say(format!("{shown}: nothing in it is later than {until}"));
                Ok(true)
            }
            Some(_) if !may_cut => {
                self.say(format!(
                    "{shown}: not cut: later files of the log go on where it ends. Take them out of the manifest first"
                ));
                Ok(false)
            }
            Some(later) => self.cut(path, found.size, later),
        }
    }

    /// Cuts a file if the user agrees. Returns whether it is cut.
    fn cut(&mut self, path: &Path, from: u64, to: u64) -> io::Result<bool> {
        let (shown, lost) = (path.display(), from - to);
        let question = format!(
            "This cuts {shown} from {from} to {to} bytes; {lost} bytes are lost. Continue?"
        );
        if !(self.agree)(&question) {
            return Ok(false);
        }
        let mut file = RealDisk.append(path)?;
        file.truncate(to)?;
        file.syncer().sync()?;
        self.say(format!("{shown}: cut to {to} bytes"));
        Ok(true)
    }

    fn unreadable(&mut self, shown: &str, error: &RdbError) -> bool {
        self.say(format!("{shown}: {error}"));
        self.say(format!("{shown}: DAMAGED, nothing of it can be read"));
        false
    }

    fn rdb(&mut self, path: &Path) -> io::Result<bool> {
        let shown = path.display().to_string();
        let mut scanner = match Scanner::new(RealDisk.read(path)?, true) {
            Ok(scanner) => scanner,
            Err(error) => return Ok(self.unreadable(&shown, &error)),
        };
        let mut found = self.scan(&shown, &mut scanner, |_| Ok(()))?;
        let size = RealDisk.size(path)?.unwrap_or(0);
        if !found.damaged {
            let (mut source, rest) = scanner.into_rest();
            let behind = rest.len() as u64 + io::copy(&mut source, &mut io::sink())?;
            if behind > 0 {
                self.say(format!("{shown}: {behind} bytes follow the end"));
                found.damaged = true;
            }
        }
        self.say(format!("{shown}: {size} bytes, {}", verdict(!found.damaged)));
        if found.damaged && self.fix {
            self.rescue(path, found.version)?;
        }
        Ok(!found.damaged)
    }

    /// Writes what can be read of a damaged file to another one beside it.
    fn rescue(&mut self, path: &Path, version: u16) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".fixed");
        let target = PathBuf::from(name);
        if target.exists() {
            self.say(format!("{}: is there already, and not replaced", target.display()));
            return Ok(());
        }
        let question = format!("This writes the keys that can be read to {}.", target.display());
        if !(self.agree)(&(question + " Continue?")) {
            return Ok(());
        }
        let Ok(mut scanner) = Scanner::new(RealDisk.read(path)?, false) else { return Ok(()) };
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let temp = temporary(dir, Temporary::Snapshot);
        let written = (|| {
            let mut out = RealDisk.create(&temp)?;
            let mut sum = Checksum::new();
            let mut put = |bytes: &[u8]| {
                sum.update(bytes);
                write_all(&mut *out, bytes)
            };
            let mut head = Vec::new();
            write::header(&mut head, version);
            put(&head)?;
            let mut quiet =
                Checking { fix: false, until: None, agree: &mut |_| false, tell: &mut |_| {} };
            quiet.scan("", &mut scanner, |bytes| put(bytes))?;
            let mut end = Vec::new();
            write::eof(&mut end, Some(sum));
            write_all(&mut *out, &end)?;
            out.syncer().sync()?;
            RealDisk.rename(&temp, &target)?;
            RealDisk.sync_dir(dir)
        })();
        match written {
            Ok(()) => self.say(format!("{}: holds what can be read", target.display())),
            Err(_) => drop(RealDisk.remove(&temp)),
        }
        written
    }

    /// Reads all that can be read, tells about it, and hands each item, as it is to be written again, to `keep`.
    fn scan<R: Read>(
        &mut self,
        shown: &str,
        scanner: &mut Scanner<R>,
        mut keep: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Snapshot> {
        let mut found = Snapshot { version: format::VERSION, ..Snapshot::default() };
        self.say(format!("{shown}: RDB version {}", scanner.version()));
        let hasher = Hasher::new([1, 2, 3, 4]);
        let mut batch = Batch::new();
        let mut db = None;
        loop {
            match scanner.fill(&mut batch) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.say(format!("{shown}: {error}; nothing behind it can be read"));
                    found.damaged = true;
                    break;
                }
            }
            for item in batch.items() {
                let mut bytes = Vec::new();
                match item {
                    Ok(Item::Entry(raw)) => {
                        if db.replace(raw.db) != Some(raw.db) {
                            write::select_db(&mut bytes, raw.db);
                        }
                        let family = batch.family();
                        let value = read_entry(&raw, family, &hasher, &mut found, &mut bytes);
                        if let Err(error) = value {
                            found.damaged = true;
                            found.broken += 1;
                            let key = raw.key().unwrap_or_default();
                            let (key, offset) = (key.escape_ascii().to_string(), raw.offset);
                            self.say(format!("{shown}: offset {offset}, key '{key}': {error}"));
                        }
                    }
                    Ok(Item::Aux { name, value }) => {
                        let (name, value) = (name.escape_ascii(), value.escape_ascii());
                        self.say(format!("{shown}: {name} = {value}"));
                    }
                    Ok(Item::Function(code)) => {
                        write::function(&mut bytes, &code, Options { compress: false });
                        self.say(format!("{shown}: a library of functions"));
                    }
                    Ok(Item::ModuleAux { module }) => {
                        self.say(format!("{shown}: data of module '{module}', which is left out"));
                    }
                    Ok(Item::Eof { checksum: Some((stored, computed)) }) if stored != computed => {
                        found.damaged = true;
                        self.say(format!("{shown}: {}", RdbError::Checksum { stored, computed }));
                    }
                    Ok(Item::Eof { checksum }) => {
                        let which = if checksum.is_some() { "a right" } else { "no" };
                        self.say(format!("{shown}: the file has {which} checksum"));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        found.damaged = true;
                        self.say(format!("{shown}: {error}"));
                    }
                }
                keep(&bytes)?;
            }
        }
        self.tell_keys(shown, &found);
        Ok(found)
    }

    fn tell_keys(&mut self, shown: &str, found: &Snapshot) {
        for ((db, kind), (keys, expiring)) in &found.keys {
            let mut line = format!("{shown}: database {db}, {kind}: {keys} keys");
            if *expiring > 0 {
                let _ = write!(line, ", {expiring} of them with an expiry");
            }
            self.say(line);
        }
        if found.broken > 0 {
            self.say(format!("{shown}: {} keys can't be read", found.broken));
        }
    }
}

fn verdict(good: bool) -> &'static str {
    if good { "good" } else { "DAMAGED" }
}

/// Reads an entry, counts it and writes it again.
fn read_entry(
    raw: &RawEntry<'_>,
    family: format::Family,
    hasher: &Hasher,
    found: &mut Snapshot,
    out: &mut Vec<u8>,
) -> Result<(), RdbError> {
    let key = raw.key()?;
    // Any limits do: values are written in a form that every server makes its own of.
    let options = DecodeOptions::with_default_limits(hasher);
    let loaded = decode(raw.kind, family, raw.payload, &options)?;
    let kind = match &loaded {
        Loaded::Int(_) | Loaded::Bytes(_) => "string",
        Loaded::Collection(collection) => collection.type_name(),
    };
    let value = loaded.as_ref();
    found.version = found.version.max(needs_version(value));
    let counts = found.keys.entry((raw.db, kind)).or_default();
    counts.0 += 1;
    counts.1 += u64::from(raw.expire_ms.is_some());
    let access = raw.idle.map(Access::Idle).or(raw.freq.map(Access::Freq));
    write::entry(out, &key, value, raw.expire_ms, access, Options { compress: true });
    Ok(())
}

/// Reads requests to the end, or to the first thing that is none. `buffer` has been read already, and is at `start`.
fn scan_requests(
    source: &mut dyn Read,
    buffer: Vec<u8>,
    start: u64,
    until: Option<i64>,
) -> io::Result<Requests> {
    let mut found = Requests { good: start, ..Requests::default() };
    let mut records = Records::new(source, buffer, start);
    let mut open = false;
    while found.wrong.is_none() {
        match records.step() {
            Ok(Step::Request) => {
                let place = records.place();
                let args = records.args();
                let is = |text| args.len() == 1 && args.get(0).eq_ignore_ascii_case(text);
                let (begins, ends) = (is(b"MULTI"), is(b"EXEC"));
                if begins && open || ends && !open {
                    found.wrong = Some(format!("offset {place}: a transaction out of place"));
                    break;
                }
                found.transactions += u64::from(ends);
                found.requests += u64::from(!begins && !ends);
                open = begins || open && !ends;
            }
            Ok(Step::Comment) => {
                let time = records.timestamp();
                found.is_stamped |= time.is_some();
                if !open && found.later.is_none() && time > until {
                    found.later = until.map(|_| records.place());
                }
            }
            Ok(Step::Used) => {
                if records.refill()? {
                    continue;
                }
                if records.unfinished() > 0 {
                    let place = records.position();
                    found.wrong =
                        Some(format!("offset {place}: it ends in the middle of a request"));
                } else if open {
                    let place = found.good;
                    found.wrong = Some(format!("offset {place}: a transaction that does not end"));
                }
                break;
            }
            Err(why) => found.wrong = Some(format!("offset {}: {why}", records.place())),
        }
        if !open && found.wrong.is_none() {
            found.good = records.position();
        }
    }
    found.size = records.size()?;
    Ok(found)
}
