//! DUMP and RESTORE: the bytes, the options, what is refused, and who hears of it.

use crate::config::Permission;
use crate::harness::{Harness, START_MS};

fn dumped(h: &mut Harness, key: &str) -> Vec<u8> {
    let reply = h.run_bytes(0, &[b"DUMP", key.as_bytes()]);
    let start = reply.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    reply[start..reply.len() - 2].to_vec()
}

fn restored(h: &mut Harness, payload: &[u8], rest: &[&str]) -> String {
    let mut parts: Vec<&[u8]> = vec![b"RESTORE", rest[0].as_bytes(), rest[1].as_bytes(), payload];
    parts.extend(rest[2..].iter().map(|part| part.as_bytes()));
    String::from_utf8_lossy(&h.run_bytes(0, &parts)).into_owned()
}

#[test]
fn the_bytes_are_those_of_redis() {
    let mut h = Harness::new();
    // What redis-server 7.0.15 answers.
    let known: [(&str, &[u8]); 4] = [
        ("SET k v", b"\x00\x01v\x0a\x00\x91\x08\xce\xb2\x198\x8a\xce"),
        ("SET k 12", b"\x00\xc0\x0c\x0a\x00<*\xf8Q\x5c\x04\xbc\xd5"),
        ("RPUSH k a b 3", b"\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x81b\x02\x03\x01\xff\x0a\x00\xdc\xa1\xe6}P\x05PH"),
        ("HSET k f v g 2", b"\x10\x12\x12\x00\x00\x00\x04\x00\x81f\x02\x81v\x02\x81g\x02\x02\x01\xff\x0a\x00\x01\xa6NO\xc1\xd4\xe5C"),
    ];
    for (line, bytes) in known {
        h.line("DEL k");
        h.line(line);
        assert_eq!(dumped(&mut h, "k"), bytes, "{line}");
    }
    assert_eq!(h.line("DUMP nothing"), "$-1\r\n");
}

#[test]
fn every_type_comes_back_with_its_encoding() {
    let mut h = Harness::new();
    for line in [
        "SET string text",
        "SET int 123456789012",
        "RPUSH list a b 3 -4",
        "SADD ints 1 2 70000",
        "SADD set a b 3",
        "HSET hash f v g 2",
        "ZADD zset 1 a 2.5 b -inf c",
        "XADD stream 5-1 f v",
        "HSET timed f v g 2",
        "HPEXPIREAT timed 1800000000000 FIELDS 1 f",
    ] {
        assert!(!h.line(line).starts_with('-'), "{line}");
    }
    for i in 0..300 {
        h.line(&format!("HSET big-hash field{i} {i}"));
        h.line(&format!("ZADD big-zset {i} member{i}"));
        h.line(&format!("SADD big-set member{i}"));
    }
    let mut elsewhere = Harness::new();
    for key in [
        "string", "int", "list", "ints", "set", "hash", "zset", "stream", "timed", "big-hash",
        "big-zset", "big-set",
    ] {
        let payload = dumped(&mut h, key);
        assert_eq!(restored(&mut elsewhere, &payload, &[key, "0"]), "+OK\r\n", "{key}");
        let encoding = format!("OBJECT ENCODING {key}");
        assert_eq!(elsewhere.line(&encoding), h.line(&encoding), "{key}");
        assert_eq!(restored(&mut h, &payload, &["copy", "0", "REPLACE"]), "+OK\r\n");
        h.line("COPY copy other REPLACE");
        let (a, b) = (dumped(&mut h, "other"), dumped(&mut h, "copy"));
        assert_eq!(a.len(), b.len(), "{key}");
    }
    assert_eq!(
        elsewhere.line("HPEXPIRETIME timed FIELDS 2 f g"),
        "*2\r\n:1800000000000\r\n:-1\r\n"
    );
    assert_eq!(elsewhere.line("ZRANGE zset 0 -1"), "*3\r\n$1\r\nc\r\n$1\r\na\r\n$1\r\nb\r\n");
}

#[test]
fn bad_payloads_are_refused_and_change_nothing() {
    let mut h = Harness::new();
    h.line("RPUSH list a b c");
    let sound = dumped(&mut h, "list");
    h.line("SET k v");
    let wrong = "-ERR DUMP payload version or checksum are wrong\r\n";
    for len in 0..sound.len() {
        assert_eq!(restored(&mut h, &sound[..len], &["k", "0", "REPLACE"]), wrong);
    }
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        assert_eq!(restored(&mut h, &bytes, &["k", "0", "REPLACE"]), wrong);
    }
    // A list without elements, with a checksum that is right.
    let body = [1, 0, 10, 0];
    let payload = [&body[..], &respire_rdb::Checksum::of(&body).to_le_bytes()].concat();
    assert_eq!(restored(&mut h, &payload, &["k", "0", "REPLACE"]), "-ERR Bad data format\r\n");
    assert_eq!(h.line("GET k"), "$1\r\nv\r\n");
}

#[test]
fn options_of_restore() {
    let mut h = Harness::new();
    h.line("SET k v");
    let payload = dumped(&mut h, "k");
    assert_eq!(
        restored(&mut h, &payload, &["k", "0"]),
        "-BUSYKEY Target key name already exists.\r\n"
    );
    assert_eq!(restored(&mut h, &payload, &["k", "5000", "REPLACE"]), "+OK\r\n");
    assert_eq!(h.line("PEXPIRETIME k"), format!(":{}\r\n", START_MS + 5000));
    let at = (START_MS + 7).to_string();
    assert_eq!(restored(&mut h, &payload, &["k", &at, "absttl", "replace"]), "+OK\r\n");
    assert_eq!(h.line("PTTL k"), ":7\r\n");
    // A time that has passed deletes what was there.
    assert_eq!(restored(&mut h, &payload, &["k", "1", "ABSTTL", "REPLACE"]), "+OK\r\n");
    assert_eq!(h.line("EXISTS k"), ":0\r\n");
    assert_eq!(restored(&mut h, &payload, &["k", "0", "IDLETIME", "100"]), "+OK\r\n");
    assert_eq!(h.line("OBJECT IDLETIME k"), ":100\r\n");
    for (rest, error) in [
        (&["x", "0", "SOON"][..], "-ERR syntax error\r\n"),
        (&["x", "0", "IDLETIME"], "-ERR syntax error\r\n"),
        (&["x", "0", "IDLETIME", "1", "FREQ", "1"], "-ERR syntax error\r\n"),
        (&["x", "0", "IDLETIME", "-1"], "-ERR Invalid IDLETIME value, must be >= 0\r\n"),
        (&["x", "0", "FREQ", "256"], "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n"),
        (&["x", "-1"], "-ERR Invalid TTL value, must be >= 0\r\n"),
        (&["x", "soon"], "-ERR value is not an integer or out of range\r\n"),
    ] {
        assert_eq!(restored(&mut h, &payload, rest), error, "{rest:?}");
    }
}

#[test]
fn the_frequency_is_that_of_the_policy() {
    let mut h = Harness::new();
    h.line("SET k v");
    let payload = dumped(&mut h, "k");
    assert_eq!(h.line("CONFIG SET maxmemory-policy allkeys-lfu"), "+OK\r\n");
    assert_eq!(restored(&mut h, &payload, &["f", "0", "FREQ", "77"]), "+OK\r\n");
    assert_eq!(h.line("OBJECT FREQ f"), ":77\r\n");
}

#[test]
fn checksums_may_be_skipped() {
    let mut h = Harness::with_settings(|s| s.enable_debug_command = Permission::Yes);
    h.line("SET k v");
    let mut payload = dumped(&mut h, "k");
    *payload.last_mut().unwrap() ^= 1;
    assert!(restored(&mut h, &payload, &["x", "0"]).starts_with("-ERR DUMP"));
    assert_eq!(h.line("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1"), "+OK\r\n");
    assert_eq!(restored(&mut h, &payload, &["x", "0"]), "+OK\r\n");
    assert_eq!(h.line("DEBUG SET-SKIP-CHECKSUM-VALIDATION 0"), "+OK\r\n");
    assert!(restored(&mut h, &payload, &["y", "0"]).starts_with("-ERR DUMP"));
}

#[test]
fn who_waits_for_the_key_is_served() {
    let mut h = Harness::new();
    h.line("RPUSH list a b");
    let payload = dumped(&mut h, "list");
    let waiting = h.connect();
    h.attempt(waiting, &[b"BLPOP", b"wanted", b"0"]);
    assert_eq!(restored(&mut h, &payload, &["wanted", "0"]), "+OK\r\n");
    let told = h.deliveries();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.as_deref(), Some("*2\r\n$6\r\nwanted\r\n$1\r\na\r\n"));
    assert_eq!(h.line("LLEN wanted"), ":1\r\n");
}

#[test]
fn restoring_is_an_event() {
    let mut h = Harness::new();
    h.line("CONFIG SET notify-keyspace-events EA");
    let listener = h.connect();
    h.run_as(listener, &["PSUBSCRIBE", "__key*"]);
    h.line("SET k v");
    let payload = dumped(&mut h, "k");
    h.published();
    restored(&mut h, &payload, &["k", "0", "REPLACE"]);
    let told = h.published();
    assert_eq!(told.len(), 1);
    assert!(told[0].1.contains("__keyevent@0__:restore"), "{told:?}");
}
