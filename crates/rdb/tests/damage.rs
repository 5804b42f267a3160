//! Damaged files: bits flipped, bytes lost, inserted and repeated, files cut anywhere, lengths out of all proportion.
//! Reading one ends, in an error or in values that are whole, and takes no more memory than a file of that size can
//! need.
//!
//! `RESPIRE_FUZZ=100 cargo test -p respire-rdb --release --test damage` looks a hundred times longer, and
//! `RESPIRE_FUZZ_SECONDS=60` for that long at least. What is damaged is made up, or kept in `tests/corpus`: files of
//! redis-server 7.0.15, and every one that once did harm.

mod samples;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use respire_datatypes::hash::Hasher;
use respire_rdb::write::{self, Options};
use respire_rdb::{Batch, Checksum, DecodeOptions, Family, Item, Scanner, decode, dump, restore};
use samples::*;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// Counts the bytes that each thread holds.
struct Counting;

// SAFETY: everything is done by the system's allocator; the counters are plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

fn count(bytes: isize) {
    // A thread that ends has no cells any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get().saturating_add_signed(bytes));
        PEAK.with(|peak| peak.set(peak.get().max(now.get())));
    });
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `f`, and asserts that it took no more memory than what comes from `input` bytes may take: a compressed byte may
/// become 88, and small elements are several times as large in memory.
fn bounded<R>(input: usize, f: impl FnOnce() -> R) -> R {
    let before = NOW.get();
    PEAK.set(before);
    let result = f();
    let taken = PEAK.get().saturating_sub(before);
    let allowed = (2 << 20) + input * 2500;
    assert!(taken <= allowed, "{taken} bytes of memory for {input} bytes of input");
    result
}

/// Reads a file to its end or the first error. Returns how many values there were.
fn read(bytes: &[u8], hasher: &Hasher) -> usize {
    let Ok(mut scanner) = Scanner::new(bytes, true) else { return 0 };
    let mut batch = Batch::new();
    let mut values = 0;
    while let Ok(true) = scanner.fill(&mut batch) {
        for item in batch.items() {
            if let Ok(Item::Entry(entry)) = item {
                let _ = entry.key();
                let value = decode(
                    entry.kind,
                    batch.family(),
                    entry.payload,
                    &DecodeOptions::with_default_limits(hasher),
                );
                if let Ok(value) = value {
                    examine(&value, hasher);
                    values += 1;
                }
            }
        }
    }
    values
}

/// A value that was accepted can be seen, written and read again.
fn examine(value: &respire_rdb::Loaded<'_>, hasher: &Hasher) {
    let seen = describe(value.as_ref());
    let payload = dump(value.as_ref(), Options { compress: true });
    let again = restore(&payload, true, &DecodeOptions::with_default_limits(hasher))
        .expect("what is written can be read");
    assert_eq!(describe(again.as_ref()), seen);
    if let respire_rdb::Loaded::Collection(collection) = value {
        let _ = (collection.memory(), collection.effort());
    }
}

/// Files that are sound: what we write, of all types, and what was written before.
fn corpus(rng: &mut fastrand::Rng, hasher: &Hasher) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for _ in 0..6 {
        let mut bytes = Vec::new();
        write::header(&mut bytes, respire_rdb::format::VERSION_FIELD_EXPIRY);
        write::aux(&mut bytes, b"redis-ver", b"7.4.0");
        write::select_db(&mut bytes, 0);
        let compress = rng.bool();
        for n in 0..rng.usize(1..4) {
            let key = format!("key{n}");
            let value = value(rng, hasher);
            let expire = rng.bool().then_some(1_700_000_000_000);
            let options = Options { compress };
            write::entry(&mut bytes, key.as_bytes(), value.as_ref(), expire, None, options);
        }
        let mut checksum = Checksum::new();
        checksum.update(&bytes);
        write::eof(&mut bytes, Some(checksum));
        if bytes.len() < 20_000 {
            files.push(bytes);
        }
    }
    files.extend(old_files());
    files.extend(kept_files());
    files
}

/// The files that are kept.
fn kept_files() -> Vec<Vec<u8>> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = std::fs::read_dir(dir).expect("there is a corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("it can be read").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("it can be read")).collect()
}

/// Calls `round` as often as asked for, and for as long.
fn rounds(count: usize, mut round: impl FnMut()) {
    let seconds = std::env::var("RESPIRE_FUZZ_SECONDS");
    let seconds = seconds.map_or(0, |text| text.parse().expect("a number"));
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut done = 0;
    while done < count || std::time::Instant::now() < end {
        round();
        done += 1;
    }
}

fn old_files() -> Vec<Vec<u8>> {
    let pairs =
        &["a", "1", "b", "-5", "c", "70000", "long", "some longer text", "x", "-9000000000"];
    let numbered = &["a", "1", "b", "2.5", "c", "300"];
    let timed = &["a", "1", "500", "b", "2", "0"];
    let node = [vec![2, 2], listpack(pairs), vec![1], string(b"plain")].concat();
    let fields = |family: Family| match family {
        Family::Redis => [vec![2, 1], strings(&["a", "1"]), vec![0], strings(&["b", "2"])].concat(),
        Family::Valkey => {
            let expiry = 500_i64.to_le_bytes().to_vec();
            [vec![2], strings(&["a", "1"]), expiry, strings(&["b", "2"]), vec![0xff; 8]].concat()
        }
    };
    let min = 500_i64.to_le_bytes().to_vec();
    let entries = [
        entry(1, "list", &[vec![3], strings(&["a", "b", "c"])].concat()),
        entry(3, "zset", &[vec![2], string(b"a"), vec![1, b'1'], string(b"b"), vec![254]].concat()),
        entry(9, "zipmap", &zipmap(pairs)),
        entry(10, "ziplist", &ziplist(pairs)),
        entry(11, "intset", &intset(&[1, 2, 70_000], 4)),
        entry(12, "zset", &ziplist(numbered)),
        entry(13, "hash", &ziplist(pairs)),
        entry(14, "quicklist", &[vec![2], ziplist(pairs), ziplist(numbered)].concat()),
        entry(18, "quicklist", &node),
        entry(20, "set", &listpack(&["a", "b", "7"])),
        entry(22, "hash", &fields(Family::Redis)),
        entry(23, "hash", &listpack(timed)),
        entry(24, "hash", &[min.clone(), fields(Family::Redis)].concat()),
        entry(25, "hash", &[min, listpack(timed)].concat()),
    ];
    let mut files: Vec<Vec<u8>> =
        entries.iter().map(|entry| file("REDIS0012", std::slice::from_ref(entry))).collect();
    files.push(file("VALKEY080", &[entry(22, "hash", &fields(Family::Valkey))]));
    files.push(file("REDIS0012", &entries));
    files
}

fn damage(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    for _ in 0..1 + rng.usize(..4) * rng.usize(..2) {
        let at = rng.usize(..bytes.len());
        match rng.u8(..8) {
            0 => bytes[at] ^= 1 << rng.u8(..8),
            1 => bytes[at] = rng.u8(..),
            2 => bytes[at] = *rng.choice(&[0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xfe, 0xff]).unwrap(),
            3 => bytes[at] = bytes[at].wrapping_add(*rng.choice(&[1, 255]).unwrap()),
            4 => {
                bytes.remove(at);
            }
            5 => bytes.insert(at, rng.u8(..)),
            6 => {
                let end = (at + rng.usize(1..20)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = rng.usize(..=bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => {
                // A length beyond everything.
                let huge = [0x81, rng.u8(..), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
                bytes.splice(at..at + 1, huge);
            }
        }
        if bytes.is_empty() {
            return;
        }
    }
}

#[test]
fn damaged_files_do_no_harm() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let hasher = hasher();
    let (mut values, mut files) = (0, 0);
    rounds(10 * effort(), || {
        for sound in corpus(&mut rng, &hasher) {
            assert!(read(&sound, &hasher) > 0);
            for _ in 0..60 {
                let mut bytes = sound.clone();
                damage(&mut rng, &mut bytes);
                values += bounded(bytes.len(), || read(&bytes, &hasher));
                files += 1;
            }
        }
    });
    // Damage must not be so heavy that nothing is left to look at.
    assert!(values > files / 4, "{values} values in {files} files");
}

#[test]
fn files_may_be_cut_anywhere() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let hasher = hasher();
    for sound in corpus(&mut rng, &hasher) {
        let step = (sound.len() / 400).max(1);
        for len in (0..sound.len()).step_by(step) {
            let bytes = &sound[..len];
            bounded(len, || read(bytes, &hasher));
            if let Ok(mut scanner) = Scanner::new(bytes, true) {
                let mut batch = Batch::new();
                let last = loop {
                    match scanner.fill(&mut batch) {
                        Ok(true) => {}
                        other => break other,
                    }
                };
                assert!(last.is_err(), "cut to {len} of {} bytes", sound.len());
            }
        }
    }
}

#[test]
fn damaged_dumps_do_no_harm() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let hasher = hasher();
    let (mut accepted, mut refused) = (0, 0);
    rounds(200 * effort(), || {
        let value = value(&mut rng, &hasher);
        let sound = dump(value.as_ref(), Options { compress: rng.u8(..4) == 0 });
        if sound.len() > 20_000 {
            return;
        }
        for _ in 0..20 {
            let mut bytes = sound.clone();
            damage(&mut rng, &mut bytes);
            // With a checksum almost all damage would be found by that alone.
            let restored = bounded(bytes.len(), || {
                restore(&bytes, false, &DecodeOptions::with_default_limits(&hasher))
            });
            match restored {
                Ok(value) => {
                    examine(&value, &hasher);
                    accepted += 1;
                }
                Err(_) => refused += 1,
            }
            let passes =
                restore(&bytes, true, &DecodeOptions::with_default_limits(&hasher)).is_ok();
            // Bytes that are moved about may by chance have a right checksum again: zeros in front do not change it, and
            // a text with its checksum behind it counts as zeros.
            let (text, checksum) = bytes.split_at(bytes.len().saturating_sub(8));
            let right = Checksum::of(text).to_le_bytes() == checksum;
            assert!(right || !passes, "{} became {}", sound.escape_ascii(), bytes.escape_ascii());
        }
    });
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}
