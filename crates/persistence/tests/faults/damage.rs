//! Damaged logs: bits flipped, bytes lost, inserted and repeated, files cut anywhere, lengths out of all proportion. Loading
//! one ends, in an error or in a keyspace that can be used, and takes no more memory than such a log may take.
//!
//! `RESPIRE_FUZZ=100` looks a hundred times longer, `RESPIRE_FUZZ_SECONDS=60` for that long at least; `FAULT_SEED` replays a
//! failure. What is damaged was written just before, or is kept in `tests/corpus`: logs of redis-server 7.0.15, and
//! every one that once did harm.

use super::Life;
use super::disk::MemoryDisk;

const DIRECTIVES: &str = "appendonly yes\naof-timestamp-enabled yes\nproto-max-bulk-len 1mb";
/// The files of the log that is damaged, and how often out of ten each is.
const FILES: [(&str, u32); 3] = [
    ("/d/appendonlydir/appendonly.aof.2.incr.aof", 7),
    ("/d/appendonlydir/appendonly.aof.2.base.rdb", 2),
    ("/d/appendonlydir/appendonly.aof.manifest", 1),
];
/// The file of a log that is kept.
const KEPT: &str = "/d/appendonlydir/appendonly.aof";
/// Damaged logs, if nothing else is asked for.
const ROUNDS: u64 = 1500;
/// Kilobytes by which the process may have grown at its peak.
const GROWTH_MAX: u64 = 400_000;

/// A log with values of all types, some of it in its base.
fn write_log(disk: &MemoryDisk) {
    let mut life = Life::begin(disk, DIRECTIVES).unwrap();
    for round in 0..2 {
        for i in 0..6 {
            for line in [
                format!("SET text{i} {}", "word".repeat(i * 9)),
                format!("SETEX timed{i} 1000 {i}"),
                format!("RPUSH list a{i} b c {round}"),
                format!("SADD set a{i} {i} {round}"),
                format!("ZADD zset {i}.5 a{i}"),
                format!("HSET hash f{i} v{i} g {i}"),
                format!("XADD stream {round}-{} f v{i}", i + 1),
                format!("PFADD hll {i}"),
                format!("SETBIT bits {} 1", i * 100),
            ] {
                assert!(!life.ask(&line).starts_with('-'), "{line}");
            }
            for line in ["MULTI", "INCR one", "LPOP list", "SPOP set", "SELECT 1", "INCR other"] {
                life.ask(line);
            }
            for line in ["EXEC", "SELECT 0"] {
                assert!(!life.ask(line).starts_with('-'), "{line}");
            }
        }
        life.files.flush_log().unwrap();
        if round == 0 {
            life.rewrite();
        }
    }
}

/// Disks with a log of one file, which is kept.
fn kept_logs() -> Vec<MemoryDisk> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = std::fs::read_dir(dir).expect("there is a corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("it can be read").path()).collect();
    paths.sort();
    let log = |path: &std::path::PathBuf| {
        let disk = MemoryDisk::new("/d");
        // A log of the time before manifests is taken over.
        let text = std::fs::read(path).expect("it can be read");
        disk.put("/d/appendonly.aof", &text);
        let life = Life::begin(&disk, DIRECTIVES).expect("a kept log is sound");
        life.files.flush_log().unwrap();
        drop(life);
        disk
    };
    paths.iter().map(log).collect()
}

/// Does damage in one place.
fn damage(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    const WORDS: [&[u8]; 12] = [
        b"*1048576\r\n",
        b"*9223372036854775807\r\n",
        b"$9223372036854775807\r\n",
        b"$4294967295\r\n",
        b"$-1\r\n",
        b"*0\r\n",
        b"*1\r\n$5\r\nMULTI\r\n",
        b"*1\r\n$4\r\nEXEC\r\n",
        b"#TS:99999999999999999999\r\n",
        b"#",
        b"\r\n",
        b"FLUSHALL\r\n",
    ];
    if bytes.is_empty() {
        return;
    }
    let at = rng.usize(..bytes.len());
    let some = rng.usize(1..40).min(bytes.len() - at);
    match rng.u8(..7) {
        0 => bytes.truncate(at),
        1 | 2 => bytes[at] ^= 1 << rng.u8(..8),
        3 => drop(bytes.drain(at..at + some)),
        4 => drop(bytes.splice(at..at, WORDS[rng.usize(..WORDS.len())].iter().copied())),
        5 => {
            let again = bytes[at..at + some].to_vec();
            drop(bytes.splice(at..at, again));
        }
        _ => bytes[at] = rng.u8(..),
    }
}

/// Starts on what is there, twice if it is accepted.
fn look_at(disk: &MemoryDisk, loaded: &mut u64, refused: &mut u64) {
    match Life::begin(disk, DIRECTIVES) {
        Ok(mut life) => {
            *loaded += 1;
            assert!(life.ask("DBSIZE").starts_with(':'));
            assert!(!life.ask("SET after 1").starts_with('-'));
            life.files.flush_log().unwrap();
            drop(life);
            // What was cut off is gone, and what follows can be read.
            let mut again = Life::begin(disk, DIRECTIVES).expect("what was loaded once");
            assert_eq!(again.ask("GET after"), "$1\r\n1\r\n");
        }
        Err(why) => {
            *refused += 1;
            assert!(!why.is_empty());
        }
    }
}

/// Kilobytes that the process had in memory at its peak, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn a_damaged_log_is_refused_or_loaded_and_nothing_else() {
    let seed = std::env::var("FAULT_SEED").map(|text| text.parse().expect("a number"));
    let seed: u64 = seed.unwrap_or_else(|_| fastrand::u64(..));
    let times = std::env::var("RESPIRE_FUZZ").map_or(1, |text| text.parse().expect("a number"));
    println!("FAULT_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let whole = MemoryDisk::new("/d");
    write_log(&whole);
    let before = peak();
    let (mut loaded, mut refused) = (0, 0);
    let kept = kept_logs();
    let seconds = std::env::var("RESPIRE_FUZZ_SECONDS");
    let seconds = seconds.map_or(0, |text| text.parse().expect("a number"));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut rounds = 0;
    while rounds < ROUNDS * times || std::time::Instant::now() < end {
        rounds += 1;
        if rounds.is_multiple_of(4) {
            let disk = kept[rng.usize(..kept.len())].copy();
            disk.edit(KEPT, |bytes| damage(&mut rng, bytes));
            look_at(&disk, &mut loaded, &mut refused);
            continue;
        }
        let disk = whole.copy();
        let mut choice = rng.u32(..10);
        let chosen = FILES.iter().find(|(_, weight)| {
            let found = choice < *weight;
            choice = choice.saturating_sub(*weight);
            found
        });
        let (path, _) = chosen.unwrap_or(&FILES[0]);
        disk.edit(path, |bytes| {
            for _ in 0..rng.usize(1..4) {
                damage(&mut rng, bytes);
            }
        });
        look_at(&disk, &mut loaded, &mut refused);
    }
    assert!(loaded > 0 && refused > 0, "{loaded} loaded, {refused} refused");
    if let (Some(before), Some(after)) = (before, peak()) {
        assert!(after - before < GROWTH_MAX, "{before} kB grew to {after} kB");
    }
}
