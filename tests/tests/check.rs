//! `respire check` on files that are whole, cut, flipped and missing: what it says, how it exits, and what it mends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use respire_tests::ask::ask;
use respire_tests::server::{Directory, subject};
use respire_tests::{Kind, Server, Value};

fn check(args: &[&str], path: &Path) -> (bool, String) {
    let mut command = Command::new(subject());
    let done = command.arg("check").args(args).arg(path).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap() + &String::from_utf8_lossy(&done.stderr);
    (done.status.success(), text)
}

/// A server that is to start on what was mended.
fn count_keys(directory: &Directory, arguments: &[&str]) -> Value {
    let server = Server::start_in(Kind::Respire, directory, arguments);
    let count = ask(&mut server.client(), "DBSIZE");
    server.crash();
    count
}

/// A snapshot, and the keys in it.
fn snapshot(directory: &Directory) -> PathBuf {
    let server = Server::start_in(Kind::Respire, directory, &["--rdbcompression", "no"]);
    let mut client = server.client();
    for i in 0..50 {
        ask(&mut client, &format!("SET text{i} value{i}"));
        ask(&mut client, &format!("RPUSH list{i} a b c"));
    }
    ask(&mut client, "EXPIRE text1 100000");
    ask(&mut client, "SELECT 3");
    ask(&mut client, "SADD set a b c");
    ask(&mut client, "SAVE");
    server.crash();
    directory.path().join("dump.rdb")
}

#[test]
fn a_snapshot_is_told_and_what_can_be_read_of_a_damaged_one_is_kept() {
    let directory = Directory::new("check");
    let path = snapshot(&directory);
    let (good, text) = check(&[], &path);
    assert!(good, "{text}");
    for part in [
        "RDB version 10",
        "redis-ver = ",
        "database 0, string: 50 keys, 1 of them with an expiry",
        "database 0, list: 50 keys",
        "database 3, set: 1 keys",
        "a right checksum",
        "bytes, good",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let whole = fs::read(&path).unwrap();
    // One byte of a value: only the checksum tells.
    let mut flipped = whole.clone();
    let at = whole.windows(7).position(|text| text == b"value17").unwrap();
    flipped[at] ^= 1;
    // Half of the file: what is in front can be kept.
    for (damaged, part) in [
        (flipped, "CRC error"),
        (whole[..whole.len() / 2].to_vec(), "nothing behind it can be read"),
        ([&whole[..], b"more"].concat(), "4 bytes follow the end"),
    ] {
        fs::write(&path, &damaged).unwrap();
        let (good, text) = check(&[], &path);
        assert!(!good && text.contains(part) && text.contains("DAMAGED"), "{text}");
        let fixed = path.with_extension("rdb.fixed");
        // Nobody agrees: nothing is written.
        check(&["--fix"], &path);
        assert!(!fixed.exists());
        let (good, text) = check(&["--fix", "--yes"], &path);
        assert!(!good && text.contains("holds what can be read"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "the original is left alone");
        assert!(check(&[], &fixed).0);
        let other = Directory::new("fixed");
        fs::rename(&fixed, other.path().join("dump.rdb")).unwrap();
        let Value::Integer(keys) = count_keys(&other, &[]) else { panic!("no count") };
        assert!((30..=100).contains(&keys), "{keys} keys");
    }
    fs::write(&path, b"REDIS9999").unwrap();
    assert!(!check(&[], &path).0);
    fs::write(&path, b"").unwrap();
    assert!(!check(&[], &directory.path().join("dump.rdb")).0);
    assert!(!check(&[], &directory.path().join("nothing.rdb")).0);
}

#[test]
fn a_log_is_cut_behind_its_last_good_request() {
    let append = ["--appendonly", "yes"];
    let directory = Directory::new("check-log");
    let server = Server::start_in(Kind::Respire, &directory, &append);
    let mut client = server.client();
    ask(&mut client, "SET a 1");
    for line in ["MULTI", "SET b 1", "SET c 1", "EXEC", "SET d 1"] {
        ask(&mut client, line);
    }
    server.crash();
    let logs = directory.path().join("appendonlydir");
    let (good, text) = check(&[], &logs);
    assert!(good && text.contains("5 requests, 1 transactions"), "{text}");
    let path = logs.join("appendonly.aof.1.incr.aof");
    let whole = fs::read(&path).unwrap();
    let find = |what: &[u8]| whole.windows(what.len()).position(|part| part == what).unwrap();
    let transaction = find(b"*1\r\n$5\r\nMULTI");
    let last = find(b"*3\r\n$3\r\nSET\r\n$1\r\nd");
    let mut flipped = whole.clone();
    flipped[find(b"$1\r\nc")] ^= 4;
    let cases: [(&str, Vec<u8>, usize, i64); 4] = [
        ("in a request", whole[..whole.len() - 3].to_vec(), last, 3),
        ("in a transaction", whole[..last - 14].to_vec(), transaction, 1),
        ("a byte in a transaction", flipped, transaction, 1),
        ("garbage behind it", [&whole[..], b"garbage\r\n"].concat(), whole.len(), 4),
    ];
    for (what, damaged, kept, keys) in cases {
        fs::write(&path, &damaged).unwrap();
        let (good, text) = check(&["--fix"], &logs);
        assert!(!good && text.contains("DAMAGED"), "{what}: {text}");
        assert!(text.contains(&format!("good up to offset {kept}")), "{what}: {text}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "{what}: nobody has agreed");
        let (good, text) = check(&["--fix", "--yes"], &logs);
        assert!(
            good && text.contains("bytes are lost") == text.contains("Continue"),
            "{what}: {text}"
        );
        assert_eq!(fs::read(&path).unwrap(), whole[..kept], "{what}");
        let arguments = ["--appendonly", "yes", "--aof-load-truncated", "no"];
        assert_eq!(count_keys(&directory, &arguments), Value::Integer(keys), "{what}");
    }
}

#[test]
fn a_manifest_must_make_sense_and_its_files_must_be_there() {
    let directory = Directory::new("check-manifest");
    let server = Server::start_in(Kind::Respire, &directory, &["--appendonly", "yes"]);
    ask(&mut server.client(), "SET a 1");
    server.crash();
    let logs = directory.path().join("appendonlydir");
    let manifest = logs.join("appendonly.aof.manifest");
    let text = fs::read_to_string(&manifest).unwrap();
    // A cut in front of another file that holds something is not mended.
    let first = logs.join("appendonly.aof.1.incr.aof");
    let bytes = fs::read(&first).unwrap();
    fs::write(&first, &bytes[..bytes.len() - 1]).unwrap();
    fs::write(logs.join("appendonly.aof.2.incr.aof"), &bytes).unwrap();
    fs::write(&manifest, format!("{text}file appendonly.aof.2.incr.aof seq 2 type i\n")).unwrap();
    let (good, told) = check(&["--fix", "--yes"], &manifest);
    assert!(!good && told.contains("not cut"), "{told}");
    assert_eq!(fs::read(&first).unwrap().len(), bytes.len() - 1);
    fs::remove_file(&first).unwrap();
    let (good, told) = check(&[], &manifest);
    assert!(!good && told.contains("appendonly.aof.1.incr.aof: MISSING"), "{told}");
    fs::write(&manifest, "file nothing\n").unwrap();
    let (good, told) = check(&[], &logs);
    assert!(!good && told.contains("line 1"), "{told}");
    fs::remove_file(&manifest).unwrap();
    assert!(!check(&[], &logs).0);
    assert!(!check(&["--mend"], &logs).0);
}

/// What was written up to a moment is there again, and nothing later.
#[test]
fn a_log_with_times_goes_back_to_a_moment() {
    let directory = Directory::new("moment");
    let options = ["--appendonly", "yes", "--aof-timestamp-enabled", "yes"];
    let server = Server::start_in(Kind::Respire, &directory, &options);
    let mut client = server.client();
    for i in 0..3 {
        ask(&mut client, "MULTI");
        ask(&mut client, &format!("SET first{i} 1"));
        ask(&mut client, &format!("SET second{i} 1"));
        ask(&mut client, "EXEC");
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    server.crash();
    let dir = directory.path().join("appendonlydir");
    let log = fs::read_to_string(dir.join("appendonly.aof.1.incr.aof")).unwrap();
    let times: Vec<i64> =
        log.lines().filter_map(|line| line.strip_prefix("#TS:")?.parse().ok()).collect();
    assert!(times.len() >= 3, "{log}");
    let check = |options: &[&str]| check(options, &dir);
    let (good, text) = check(&["--yes", "--truncate-to-timestamp", &times[2].to_string()]);
    assert!(good && text.contains(&format!("nothing in it is later than {}", times[2])), "{text}");
    let (good, text) = check(&["--truncate-to-timestamp", &times[1].to_string()]);
    assert!(!good && text.contains("Nobody is there to be asked"), "{text}");
    let (good, text) = check(&["--yes", "--truncate-to-timestamp", &times[1].to_string()]);
    assert!(good && text.contains(": cut to "), "{text}");
    assert_eq!(count_keys(&directory, &options), Value::Integer(4));
    // A log without times can't tell.
    let plain = Directory::new("timeless");
    let server = Server::start_in(Kind::Respire, &plain, &options[..2]);
    ask(&mut server.client(), "SET a 1");
    server.crash();
    let (good, text) = self::check(
        &["--yes", "--truncate-to-timestamp", "1"],
        &plain.path().join("appendonlydir/appendonly.aof.1.incr.aof"),
    );
    assert!(!good && text.contains("does not tell when"), "{text}");
}
