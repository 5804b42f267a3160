//! Every operation on the disk fails in turn, in every way, while a log and snapshots are written; then a server starts on
//! what is left. What was acknowledged must be there, transactions whole, and the server must start.
//!
//! `FAULT_SEED` replays a failure.

#[path = "faults/damage.rs"]
mod damage;
#[path = "faults/disk.rs"]
mod disk;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use disk::{Fault, MemoryDisk};
use respire_engine::config::{Config, Settings, parse_file};
use respire_engine::{Clock, Engine, NoHost, Session, Worker};
use respire_persistence::Persistence;
use respire_resp::{Out, OwnedArgs};

struct FixedClock;

impl Clock for FixedClock {
    fn unix_us(&self) -> i64 {
        1_700_000_000_000_000
    }

    fn monotonic_ns(&self) -> u64 {
        0
    }
}

/// A server without sockets.
struct Life {
    files: Arc<Persistence>,
    engine: Arc<Engine>,
    worker: Worker,
    session: Session,
    saver: Option<JoinHandle<()>>,
}

impl Life {
    fn begin(disk: &MemoryDisk, directives: &str) -> Result<Self, String> {
        let mut settings = Settings::new(1, "/d");
        parse_file(directives, "", &mut settings, &mut |_: &str| unreachable!()).unwrap();
        let config = Config::new(settings.clone(), settings);
        let engine = Engine::new(config, Box::new(FixedClock), Box::new(NoHost::default()), [7; 4]);
        let engine = Arc::new(engine);
        let files = Arc::new(Persistence::new(Arc::new(disk.clone())));
        files.attach(&engine);
        files.load(&engine).map_err(|failure| failure.to_string())?;
        let saving = Arc::clone(&files);
        let saver = Some(std::thread::spawn(move || saving.save_loop()));
        let worker = Worker::new(&engine, 0, 1);
        let session = Session::local(&engine, &worker);
        Ok(Self { files, engine, worker, session, saver })
    }

    fn ask(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let args = OwnedArgs::from_parts(&words);
        let args = args.as_args();
        let (mut out, mut hashes) = (Out::default(), Vec::new());
        self.worker.begin_batch(&self.engine);
        let prepared = self.engine.prepare(&args, self.session.db(), &mut hashes);
        let (worker, session) = (&mut self.worker, &mut self.session);
        self.engine.execute(worker, session, args, &prepared, &hashes, &mut out);
        self.worker.end_batch(&self.engine);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn number(&mut self, line: &str) -> u64 {
        let reply = self.ask(line);
        let digits = reply.trim_end().rsplit([':', '\n']).next().unwrap();
        if reply == "$-1\r\n" { 0 } else { digits.parse().unwrap_or_else(|_| panic!("{reply}")) }
    }

    /// Writes for the `number`th time. Returns whether it was accepted.
    fn write(&mut self, number: u64) -> bool {
        let reply = self.ask("INCR counter");
        if reply.starts_with("-MISCONF") {
            return false;
        }
        assert!(reply.starts_with(':'), "{reply}");
        self.ask(&format!("RPUSH list {number}"));
        for line in ["MULTI", "INCR one", "INCR other", "EXEC"] {
            assert!(!self.ask(line).starts_with('-'), "{line}");
        }
        true
    }

    /// How often was written. Panics if something is there by halves.
    fn written(&mut self) -> u64 {
        let counter = self.number("GET counter");
        let items = self.ask("LRANGE list 0 -1");
        let items: Vec<&str> = items.split("\r\n").skip(1).collect();
        let items: Vec<&str> = items.chunks_exact(2).map(|pair| pair[1]).collect();
        for (i, item) in items.iter().enumerate() {
            assert_eq!(*item, i.to_string());
        }
        let (one, other) = (self.number("GET one"), self.number("GET other"));
        assert_eq!(one, other, "half a transaction");
        assert!(counter - one <= 1 && (one..=counter).contains(&(items.len() as u64)));
        one
    }

    fn rewrite(&self) {
        self.files.rewrite_in_background().unwrap();
        wait_until("the rewrite", || !self.files.info().rewriting);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.files.stop();
        if let Some(saver) = self.saver.take() {
            let _ = saver.join();
        }
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come about");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// What is known of what was written.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// What the next start must find if only the process ended, and if the power was lost.
    kept: u64,
    safe: u64,
    sent: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Always,
    EverySecond,
    Snapshots,
}

impl Mode {
    fn directives(self) -> &'static str {
        match self {
            Self::Always => "appendonly yes\nappendfsync always",
            Self::EverySecond => "appendonly yes\nappendfsync everysec",
            Self::Snapshots => "appendonly no",
        }
    }
}

/// Writes a few times. Returns whether the server goes on.
fn write_some(life: &mut Life, mode: Mode, known: &mut Known) -> bool {
    for _ in 0..3 {
        if !life.write(known.sent) {
            break;
        }
        known.sent += 1;
        if mode == Mode::Snapshots {
            continue;
        }
        match life.files.flush_log() {
            Ok(()) if !life.files.info().log_failed => {
                known.kept = known.sent;
                if mode == Mode::Always {
                    known.safe = known.sent;
                }
            }
            Ok(()) => {
                assert_eq!(mode, Mode::EverySecond);
                assert!(
                    life.ask("SET refused 1").starts_with("-MISCONF Errors writing to the AOF")
                );
            }
            // Nobody is told of it: the server ends.
            Err(_) => return false,
        }
    }
    if mode == Mode::EverySecond && matches!(life.files.sync_log(), Some(Ok(()))) {
        (known.kept, known.safe) = (known.sent, known.sent);
        let refused = |reply: String| reply.starts_with("-MISCONF Errors");
        wait_until("the end of the refusal", || !refused(life.ask("DEL nothing")));
    }
    true
}

/// Saves, with somebody waiting for it or nobody.
fn save(life: &mut Life, mode: Mode, known: &mut Known) {
    let was_failing = life.files.info().save_failed;
    let (saved, should_refuse) = if known.sent.is_multiple_of(2) {
        let saved = life.files.save(&life.engine, None).is_ok();
        // Who waits is told, and that is enough.
        (saved, was_failing && !saved)
    } else {
        life.files.save_in_background(false).unwrap();
        wait_until("the snapshot", || !life.files.info().saving);
        let saved = !life.files.info().save_failed;
        (saved, !saved)
    };
    if saved && mode == Mode::Snapshots {
        (known.kept, known.safe) = (known.sent, known.sent);
    }
    let refused = life.ask("DEL nothing").starts_with("-MISCONF Redis is configured to save");
    assert_eq!(refused, should_refuse, "saved: {saved}");
}

/// One server, from its start until it ends. What it does is the same each time, up to the fault.
fn live(disk: &MemoryDisk, mode: Mode, known: &mut Known) {
    let Ok(mut life) = Life::begin(disk, mode.directives()) else { return };
    for round in 0..3 {
        if !write_some(&mut life, mode, known) {
            return;
        }
        if mode != Mode::Snapshots && round != 1 {
            life.rewrite();
        }
        if !write_some(&mut life, mode, known) {
            return;
        }
        if mode == Mode::Snapshots || round == 1 {
            save(&mut life, mode, known);
        }
        if !disk.is_dead() && disk.operations() > 0 && round == 1 {
            // There is room again: everything has to work as before.
            disk.heal();
            save(&mut life, mode, known);
        }
    }
    if !write_some(&mut life, mode, known) {
        return;
    }
    disk.heal();
    if !disk.is_dead() {
        save(&mut life, mode, known);
        assert!(write_some(&mut life, mode, known));
        assert_eq!(life.ask("DEL nothing"), ":0\r\n", "it recovers");
    }
}

/// Starts on what is left, with a disk that works. Returns how often was written.
fn recover(disk: &MemoryDisk, mode: Mode) -> u64 {
    let mut life = Life::begin(disk, mode.directives()).unwrap_or_else(|why| panic!("{why}"));
    let unfinished = |name: &String| name.starts_with("temp-");
    assert!(!disk.names().iter().any(unfinished), "{:?}", disk.names());
    let found = life.written();
    // What was written last may have come half of its way, which is no transaction: the next one begins anew.
    life.ask(&format!("SET counter {found}"));
    let trim = if found == 0 { "DEL list".into() } else { format!("LTRIM list 0 {}", found - 1) };
    life.ask(&trim);
    match mode {
        Mode::Snapshots => life.files.save(&life.engine, None).unwrap(),
        _ => life.files.sync_log().expect("there is a log").unwrap(),
    }
    found
}

/// Tells which case a panic was in.
struct Case(String);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the case {}", self.0);
        }
    }
}

fn check(seed: u64, mode: Mode, at: usize, fault: Fault, power_lost: bool) {
    let case = format!("{mode:?}, {fault:?} at {at}, power lost: {power_lost}, FAULT_SEED={seed}");
    let _shown = Case(case);
    let mut rng = fastrand::Rng::with_seed(seed);
    let disk = MemoryDisk::new("/d");
    let mut known = Known::default();
    disk.fail_at(at, fault);
    live(&disk, mode, &mut known);
    disk.restart(power_lost || disk.is_dead(), &mut rng);
    let power_lost = power_lost || fault == Fault::PowerLoss;
    let least = if power_lost { known.safe } else { known.kept };
    let found = recover(&disk, mode);
    assert!((least..=known.sent).contains(&found), "{found} of {known:?}");
    // And once more: what was found is there for good.
    disk.restart(true, &mut rng);
    assert!(recover(&disk, mode) >= least, "the second start");
}

fn check_all(mode: Mode) {
    let seed = std::env::var("FAULT_SEED").map(|text| text.parse().expect("a number"));
    let seed = seed.unwrap_or_else(|_| fastrand::u64(..));
    let disk = MemoryDisk::new("/d");
    let mut known = Known::default();
    live(&disk, mode, &mut known);
    let operations = disk.operations();
    assert!(operations > 20 && known.sent > 10);
    assert_eq!(recover(&disk, mode), if mode == Mode::Snapshots { known.kept } else { known.sent });
    for at in 0..operations {
        for fault in [Fault::Once, Fault::Full, Fault::Short, Fault::PowerLoss] {
            for power_lost in [false, true] {
                check(seed, mode, at, fault, power_lost);
            }
        }
    }
}

#[test]
fn what_was_acknowledged_with_always_is_there() {
    check_all(Mode::Always);
}

#[test]
fn what_was_acknowledged_with_everysec_is_there() {
    check_all(Mode::EverySecond);
}

#[test]
fn a_snapshot_that_fails_leaves_the_one_before() {
    check_all(Mode::Snapshots);
}

/// Whoever sees that a snapshot has ended, and how, may have the next one begun, and is refused what is to be refused.
#[test]
fn how_a_snapshot_ended_is_told_when_it_has_ended() {
    let disk = MemoryDisk::new("/d");
    let mut life = Life::begin(&disk, "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    for round in 0..300 {
        let fails = round % 3 == 2;
        if fails {
            disk.fail_at(0, Fault::Full);
        }
        let saves = life.files.info().saves;
        assert!(life.files.save_in_background(false).is_ok(), "the last one goes on: {round}");
        // No pause between two looks: it is about the very moment.
        while life.files.info().saves == saves && !(fails && life.files.info().save_failed) {
            assert!(Instant::now() < deadline, "the snapshot does not end");
        }
        let refused = life.ask("DEL nothing").starts_with("-MISCONF Redis is configured to save");
        assert_eq!(refused, fails, "{round}");
        disk.heal();
    }
}

/// Ten seconds a key would be a long time to wait for a snapshot that has begun by itself as the server ends.
#[test]
fn the_end_waits_for_no_snapshot() {
    let disk = MemoryDisk::new("/d");
    let mut life = Life::begin(&disk, "rdb-key-save-delay 10000000").unwrap();
    for i in 0..3 {
        life.ask(&format!("SET key:{i} 1"));
    }
    life.files.save_in_background(false).unwrap();
    wait_until("the file", || !disk.names().is_empty());
    drop(life);
    assert_eq!(disk.names(), Vec::<String>::new());
}

/// One server after the other on the same disk, each with a fault of its own, also at its start.
fn live_on(seed: u64, mode: Mode) {
    let _shown = Case(format!("{mode:?}, one after the other, FAULT_SEED={seed}"));
    let mut rng = fastrand::Rng::with_seed(seed);
    let disk = MemoryDisk::new("/d");
    let mut known = Known::default();
    for _ in 0..4 {
        let faults = [Fault::Once, Fault::Full, Fault::Short, Fault::PowerLoss];
        let (at, fault) = (rng.usize(..90), faults[rng.usize(..faults.len())]);
        disk.fail_at(at, fault);
        live(&disk, mode, &mut known);
        let power_lost = rng.bool() || disk.is_dead();
        disk.restart(power_lost, &mut rng);
        let least = if power_lost { known.safe } else { known.kept };
        let found = recover(&disk, mode);
        assert!((least..=known.sent).contains(&found), "{found} of {known:?}");
        known = Known { kept: found, safe: found, sent: found };
    }
}

#[test]
fn servers_that_follow_each_other_find_what_was_acknowledged() {
    let seed = std::env::var("FAULT_SEED").map(|text| text.parse().expect("a number"));
    let first = seed.clone().unwrap_or_else(|_| fastrand::u64(..));
    let rounds = std::env::var("FAULT_ROUNDS").map_or(60, |text| text.parse().expect("a number"));
    for round in 0..if seed.is_ok() { 1 } else { rounds } {
        for mode in [Mode::Always, Mode::EverySecond, Mode::Snapshots] {
            live_on(first.wrapping_add(round), mode);
        }
    }
}
