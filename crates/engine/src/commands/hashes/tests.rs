//! Tests of the commands on hashes: encodings, fields that expire, and events.

use std::collections::BTreeMap;

use crate::harness::{Harness, START_MS};
use crate::notify::Classes;

/// Runs lines, and compares each reply with line ends written as blanks.
fn check(h: &mut Harness, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        assert_eq!(h.line(line).trim_end().replace("\r\n", " "), *expected, "{line}");
    }
}

#[test]
fn encodings_follow_the_settings() {
    let mut h = Harness::with_settings(|settings| {
        settings.hash_max_listpack_entries = 2;
        settings.hash_max_listpack_value = 4;
    });
    for (fields, encoding) in [
        ("a 1 b 2", "listpack"),
        ("a 1 b 2 c 3", "hashtable"),
        ("a abcd", "listpack"),
        ("a abcde", "hashtable"),
        ("abcde a", "hashtable"),
    ] {
        h.line("DEL k");
        h.line(&format!("HSET k {fields}"));
        assert!(h.line("OBJECT ENCODING k").contains(encoding), "{fields}");
        assert_eq!(
            h.line("HEXPIRE k 100 FIELDS 1 a"),
            if fields.starts_with("a ") { "*1\r\n:1\r\n" } else { "*1\r\n:-2\r\n" }
        );
    }
    h.line("DEL k");
    h.line("HSET k a 1");
    h.line("HEXPIRE k 100 FIELDS 1 a");
    assert!(h.line("OBJECT ENCODING k").contains("listpackex"));
    h.line("COPY k l");
    h.line("HDEL k a");
    check(&mut h, &[("HTTL l FIELDS 1 a", "*1 :100"), ("EXISTS k", ":0")]);
}

/// Small limits make the same lines run on hash tables.
fn both_encodings(test: fn(&mut Harness)) {
    for entries in [128, 0] {
        test(&mut Harness::with_settings(|settings| settings.hash_max_listpack_entries = entries));
    }
}

#[test]
fn conditions_decide_about_expiry() {
    both_encodings(|h| {
        check(
            h,
            &[
                ("HSET k a 1 b 2 c 3", ":3"),
                ("HEXPIRE k 100 XX FIELDS 2 a x", "*2 :0 :-2"),
                ("HEXPIRE k 100 GT FIELDS 1 a", "*1 :0"),
                ("HEXPIRE k 100 LT FIELDS 1 a", "*1 :1"),
                ("HEXPIRE k 200 LT FIELDS 1 a", "*1 :0"),
                ("HEXPIRE k 200 GT FIELDS 1 a", "*1 :1"),
                ("HEXPIRE k 300 NX FIELDS 2 a b", "*2 :0 :1"),
                ("HPEXPIRE k 1500 XX FIELDS 2 b c", "*2 :1 :0"),
                ("HTTL k FIELDS 4 a b c x", "*4 :200 :2 :-1 :-2"),
                ("HPTTL k FIELDS 2 a b", "*2 :200000 :1500"),
                ("HEXPIRETIME k FIELDS 1 b", &format!("*1 :{}", START_MS / 1000 + 2)),
                ("HPEXPIRETIME k FIELDS 1 b", &format!("*1 :{}", START_MS + 1500)),
                ("HPERSIST k FIELDS 3 a c x", "*3 :1 :-1 :-2"),
                ("HPTTL k FIELDS 1 a", "*1 :-1"),
                ("HEXPIREAT k 1 FIELDS 1 a", "*1 :2"),
                ("HPEXPIRE k 0 FIELDS 2 b c", "*2 :2 :2"),
                ("EXISTS k", ":0"),
                ("HEXPIRE k 1 FIELDS 2 a b", "*2 :-2 :-2"),
                ("HTTL k FIELDS 2 a b", "*2 :-2 :-2"),
                ("HPERSIST k FIELDS 2 a b", "*2 :-2 :-2"),
            ],
        );
    });
}

#[test]
fn a_field_past_its_time_is_seen_by_nobody() {
    both_encodings(|h| {
        check(h, &[("HSET k a 1 b 2", ":2"), ("HPEXPIRE k 10 FIELDS 1 a", "*1 :1")]);
        h.advance_ms(10);
        check(
            h,
            &[
                ("HGET k a", "$-1"),
                ("HMGET k a b", "*2 $-1 $1 2"),
                ("HGETALL k", "*2 $1 b $1 2"),
                ("HKEYS k", "*1 $1 b"),
                ("HVALS k", "*1 $1 2"),
                ("HLEN k", ":1"),
                ("HSTRLEN k a", ":0"),
                ("HEXISTS k a", ":0"),
                ("HRANDFIELD k", "$1 b"),
                ("HRANDFIELD k 5", "*1 $1 b"),
                ("HSCAN k 0", "*2 $1 0 *2 $1 b $1 2"),
                ("HSCAN k 0 NOVALUES", "*2 $1 0 *1 $1 b"),
                ("HTTL k FIELDS 1 a", "*1 :-2"),
                ("HINCRBY k a 5", ":5"),
                ("HTTL k FIELDS 1 a", "*1 :-1"),
                ("HPEXPIRE k 10 FIELDS 1 a", "*1 :1"),
                ("HINCRBY k a 1", ":6"),
                ("HPTTL k FIELDS 1 a", "*1 :10"),
                ("HSET k a 1", ":0"),
                ("HTTL k FIELDS 1 a", "*1 :-1"),
            ],
        );
    });
}

#[test]
fn expired_fields_are_removed_without_being_asked_for() {
    both_encodings(|h| {
        h.line("SELECT 3");
        for i in 0..500 {
            h.line(&format!("HSET k{} f{i} v keep{i} v", i % 7));
            h.line(&format!("HPEXPIRE k{} {} FIELDS 1 f{i}", i % 7, 1 + i % 50));
            h.line(&format!("HSETEX only{i} PX {} FIELDS 1 f v", 1 + i % 50));
        }
        h.line("RENAME k0 k9");
        h.line("HPERSIST k9 FIELDS 1 f0");
        h.line("MOVE k1 4");
        h.advance_ms(50);
        h.line("PING");
        for shard in 0..h.engine.keyspace.shard_count() as u32 {
            while h.engine.upkeep(&mut h.worker, shard, u64::MAX) {}
        }
        check(h, &[("DBSIZE", ":6"), ("EXISTS k0 k2 k9 only1", ":2"), ("HGET k9 f0", "$1 v")]);
    });
}

#[test]
fn values_and_expiry_in_one_command() {
    both_encodings(|h| {
        check(
            h,
            &[
                ("HSETEX k EX 10 FIELDS 2 a 1 b 2", ":1"),
                ("HSETEX k FNX FIELDS 2 b 9 c 9", ":0"),
                ("HSETEX k FXX FIELDS 2 b 9 c 9", ":0"),
                ("HSETEX k FXX KEEPTTL FIELDS 2 a 5 b 6", ":1"),
                ("HTTL k FIELDS 2 a b", "*2 :10 :10"),
                ("HSETEX k FIELDS 1 a 7", ":1"),
                ("HTTL k FIELDS 2 a b", "*2 :-1 :10"),
                ("HGETEX k FIELDS 3 a b x", "*3 $1 7 $1 6 $-1"),
                ("HGETEX k EX 20 FIELDS 2 a x", "*2 $1 7 $-1"),
                ("HGETEX k PERSIST FIELDS 1 b", "*1 $1 6"),
                ("HTTL k FIELDS 2 a b", "*2 :20 :-1"),
                ("HGETDEL k FIELDS 3 a a x", "*3 $1 7 $-1 $-1"),
                ("HGETEX k PXAT 1 FIELDS 1 b", "*1 $1 6"),
                ("EXISTS k", ":0"),
                ("HSETEX k FXX FIELDS 1 a 1", ":0"),
                ("EXISTS k", ":0"),
                ("HSETEX k PXAT 1 FIELDS 1 a 1", ":1"),
                ("EXISTS k", ":0"),
                ("HGETDEL k FIELDS 1 a", "*1 $-1"),
                ("HGETEX k FIELDS 1 a", "*1 $-1"),
            ],
        );
    });
}

#[test]
fn mistakes_are_named() {
    let mut h = Harness::new();
    check(
        &mut h,
        &[
            ("SET s 1", "+OK"),
            ("HSET k a 1", ":1"),
            (
                "HEXPIRE k 10 FIELD 1 a",
                "-ERR Mandatory argument FIELDS is missing or not at the right position",
            ),
            ("HEXPIRE k 10 FIELDS 0 a", "-ERR Parameter `numFields` should be greater than 0"),
            (
                "HEXPIRE k 10 FIELDS 2 a",
                "-ERR The `numfields` parameter must match the number of arguments",
            ),
            ("HEXPIRE k -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0"),
            ("HEXPIRE k x FIELDS 1 a", "-ERR value is not an integer or out of range"),
            (
                "HEXPIRE k 9223372036854775807 FIELDS 1 a",
                "-ERR invalid expire time in 'hexpire' command",
            ),
            (
                "HPEXPIREAT k 70368744177664 FIELDS 1 a",
                "-ERR invalid expire time in 'hpexpireat' command",
            ),
            ("HPEXPIREAT k 70368744177663 FIELDS 1 a", "*1 :1"),
            ("HTTL k FIELDS 0 a", "-ERR Number of fields must be a positive integer"),
            (
                "HSETEX k EX 1 PX 1 FIELDS 1 a 1",
                "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
            ),
            (
                "HSETEX k FNX FXX FIELDS 1 a 1",
                "-ERR Only one of FXX or FNX arguments can be specified",
            ),
            ("HSETEX k FIELDS 2 a 1 b", "-ERR wrong number of arguments for 'hsetex' command"),
            (
                "HEXPIRE s 1 FIELDS 1 a",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            (
                "HTTL s FIELDS 1 a",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ],
    );
}

#[test]
fn events_come_as_in_redis() {
    let mut h = Harness::with_settings(|settings| {
        settings.notify_keyspace_events = Classes::from_letters("AE").unwrap();
    });
    let other = h.connect();
    h.run_as(other, &["PSUBSCRIBE", "__key*"]);
    for (line, expected) in [
        ("HSET k a 1 b 2 c 3", "hset"),
        ("HSETNX k a 1", ""),
        ("HSETNX k d 1", "hset"),
        ("HMSET k a 1", "hset"),
        ("HINCRBY k a 1", "hincrby"),
        ("HINCRBYFLOAT k a 1", "hincrbyfloat"),
        ("HDEL k x", ""),
        ("HDEL k d", "hdel"),
        ("HEXPIRE k 10 FIELDS 1 a", "hexpire"),
        ("HEXPIRE k 10 NX FIELDS 1 a", ""),
        ("HPERSIST k FIELDS 1 a", "hpersist"),
        ("HPERSIST k FIELDS 1 a", ""),
        ("HEXPIREAT k 1 FIELDS 1 a", "hdel"),
        ("HGETEX k EX 5 FIELDS 1 b", "hexpire"),
        ("HSETEX k EX 5 FIELDS 1 b 1", "hset, hexpire"),
        ("HGETDEL k FIELDS 1 b", "hdel"),
        ("HPEXPIRE k 1 FIELDS 1 c", "hexpire"),
        ("+1", ""),
        ("HSET k z 1", "hexpired, del, hset"),
        ("HGETDEL k FIELDS 1 z", "hdel, del"),
    ] {
        match line.strip_prefix('+') {
            Some(ms) => h.advance_ms(ms.parse().unwrap()),
            None => drop(h.line(line)),
        }
        let told: Vec<String> = h
            .published()
            .iter()
            .map(|(_, push)| {
                push.split("\r\n").nth(6).and_then(|c| c.rsplit(':').next()).unwrap().to_string()
            })
            .collect();
        assert_eq!(told.join(", "), expected, "{line}");
    }
}

type Model = BTreeMap<String, BTreeMap<String, Option<i64>>>;

/// Changes a hash in a random way, in the engine and in the model.
fn step(h: &mut Harness, model: &mut Model, rng: &mut fastrand::Rng, now: i64) {
    let (key, other) = (format!("k{}", rng.u32(..4)), format!("k{}", rng.u32(..4)));
    let (field, ms) = (format!("f{}", rng.u32(..5)), rng.i64(1..30));
    match rng.u32(..12) {
        0..3 => {
            h.line(&format!("HSET {key} {field} v"));
            model.entry(key).or_default().insert(field, None);
        }
        3..6 => {
            h.line(&format!("HPEXPIRE {key} {ms} FIELDS 1 {field}"));
            if let Some(at) = model.get_mut(&key).and_then(|hash| hash.get_mut(&field)) {
                *at = Some(now + ms);
            }
        }
        6 => {
            h.line(&format!("HPERSIST {key} FIELDS 1 {field}"));
            if let Some(at) = model.get_mut(&key).and_then(|hash| hash.get_mut(&field)) {
                *at = None;
            }
        }
        7 => {
            h.line(&format!("HDEL {key} {field}"));
            model.entry(key).or_default().remove(&field);
        }
        8 => {
            h.line(&format!("RENAME {key} {other}"));
            if let Some(hash) = model.remove(&key) {
                model.insert(other, hash);
            }
        }
        9 => {
            h.line(&format!("COPY {key} {other} REPLACE"));
            if let Some(hash) = model.get(&key).cloned() {
                model.insert(other, hash);
            }
        }
        10 => {
            let line = rng.choice(["DEL", "UNLINK"]).unwrap_or("DEL");
            h.line(&format!("{line} {key}"));
            model.remove(&key);
        }
        _ => {
            // A string takes the hash's place, and goes again.
            h.line(&format!("SET {key} text"));
            h.line(&format!("GETDEL {key}"));
            model.remove(&key);
        }
    }
    model.retain(|_, hash| !hash.is_empty());
}

#[test]
fn expired_fields_are_counted() {
    let mut h = Harness::new();
    h.line("HSET h a 1 b 2 c 3");
    h.line("HPEXPIRE h 10 FIELDS 2 a b");
    h.advance_ms(20);
    // One is met by a command, the other one by the upkeep.
    assert_eq!(h.line("HSET h a 4"), ":1\r\n");
    for shard in 0..h.engine.keyspace.shard_count() as u32 {
        while h.engine.upkeep(&mut h.worker, shard, u64::MAX) {}
    }
    assert!(h.line("INFO stats").contains("expired_subkeys:2\r"));
    h.line("CONFIG RESETSTAT");
    assert!(h.line("INFO stats").contains("expired_subkeys:0\r"));
}

#[test]
fn upkeep_finds_every_hash_with_expired_fields() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for entries in [128, 3, 0].repeat(20) {
        let mut h = Harness::with_settings(|settings| settings.hash_max_listpack_entries = entries);
        let (mut model, mut now) = (Model::new(), START_MS);
        for _ in 0..200 {
            step(&mut h, &mut model, &mut rng, now);
            let pass = rng.i64(0..6);
            h.advance_ms(pass);
            now += pass;
            h.line("PING");
            for shard in 0..h.engine.keyspace.shard_count() as u32 {
                while h.engine.upkeep(&mut h.worker, shard, u64::MAX) {}
            }
            model.values_mut().for_each(|hash| hash.retain(|_, at| at.is_none_or(|at| at > now)));
            model.retain(|_, hash| !hash.is_empty());
            assert_eq!(h.line("DBSIZE"), format!(":{}\r\n", model.len()));
            for (key, hash) in &model {
                assert_eq!(h.line(&format!("HLEN {key}")), format!(":{}\r\n", hash.len()));
                for (field, at) in hash {
                    let left = at.map_or(-1, |at| at - now);
                    let reply = h.line(&format!("HPTTL {key} FIELDS 1 {field}"));
                    assert_eq!(reply, format!("*1\r\n:{left}\r\n"));
                }
            }
        }
    }
}
