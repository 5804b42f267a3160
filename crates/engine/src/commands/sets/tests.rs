//! Tests of the commands on sets: encodings, events, and what random choices and stored results leave behind.

use std::collections::BTreeSet;

use crate::harness::Harness;
use crate::notify::Classes;

/// The bulk strings of a reply that is a flat list of them.
fn bulks(reply: &str) -> BTreeSet<String> {
    reply.split("\r\n").skip(2).step_by(2).map(str::to_string).collect()
}

#[test]
fn encodings_follow_the_settings() {
    let mut h = Harness::with_settings(|settings| {
        settings.set_max_intset_entries = 3;
        settings.set_max_listpack_entries = 2;
        settings.set_max_listpack_value = 4;
    });
    for (members, encoding) in [
        ("1 2 3", "intset"),
        ("1 2 3 4", "hashtable"),
        ("a b", "listpack"),
        ("a 1", "listpack"),
        ("a b c", "hashtable"),
        ("abcd", "listpack"),
        ("abcde", "hashtable"),
    ] {
        h.line("DEL k");
        h.line(&format!("SADD k {members}"));
        let reply = h.line("OBJECT ENCODING k");
        assert!(reply.contains(encoding), "{members}: {reply}");
        assert_eq!(h.line("TYPE k"), "+set\r\n");
    }
}

#[test]
fn copies_are_independent() {
    let mut h = Harness::new();
    h.line("SADD a x y");
    h.line("COPY a b");
    h.line("SREM b x");
    assert_eq!(h.line("SCARD a"), ":2\r\n");
    h.line("RENAME a c");
    assert_eq!(h.line("SISMEMBER c x"), ":1\r\n");
    assert_eq!(h.line("EXISTS a"), ":0\r\n");
}

#[test]
fn algebra_over_every_encoding_agrees() {
    let mut h = Harness::new();
    let numbers: Vec<String> = (0..600).map(|i| i.to_string()).collect();
    let mut large = vec!["SADD", "large"];
    large.extend(numbers.iter().map(String::as_str));
    h.run(&large);
    h.line("SADD ints 5 6 7 1000");
    h.line("SADD words 6 7 x 599");
    for (line, expected) in [
        ("SINTER large ints", "5 6 7"),
        ("SINTER ints large words", "6 7"),
        ("SINTER words large", "6 7 599"),
        ("SDIFF ints large", "1000"),
        ("SDIFF words large ints", "x"),
        ("SUNION ints words", "5 6 7 1000 x 599"),
        ("SINTER large nothing", ""),
    ] {
        let expected = expected.split_ascii_whitespace().map(str::to_string).collect();
        assert_eq!(bulks(&h.line(line)), expected, "{line}");
    }
    assert_eq!(h.line("SINTERCARD 2 large words LIMIT 2"), ":2\r\n");
    assert_eq!(h.line("SUNIONSTORE large ints words"), ":6\r\n");
    assert!(h.line("OBJECT ENCODING large").contains("listpack"));
    assert_eq!(h.line("SDIFFSTORE ints ints ints"), ":0\r\n");
    assert_eq!(h.line("EXISTS ints"), ":0\r\n");
}

#[test]
fn what_is_popped_is_gone() {
    for limit in [0, 1000] {
        let mut h = Harness::with_settings(|settings| settings.set_max_listpack_entries = limit);
        let members: Vec<String> = (0..200).map(|i| format!("m{i}")).collect();
        let mut command = vec!["SADD", "k"];
        command.extend(members.iter().map(String::as_str));
        h.run(&command);
        let mut all: BTreeSet<String> = members.iter().cloned().collect();
        for line in ["SPOP k 10", "SPOP k 150"] {
            for member in bulks(&h.line(line)) {
                assert!(all.remove(&member), "{member} twice");
            }
        }
        let one = h.line("SPOP k");
        assert!(all.remove(one.split("\r\n").nth(1).unwrap()), "{one}");
        assert_eq!(bulks(&h.line("SRANDMEMBER k 1000")), all);
        assert_eq!(bulks(&h.line("SPOP k 1000")), all);
        assert_eq!(h.line("EXISTS k"), ":0\r\n");
    }
}

#[test]
fn a_scan_sees_what_stays() {
    let mut h = Harness::with_settings(|settings| settings.set_max_listpack_entries = 0);
    for i in 0..1000 {
        h.line(&format!("SADD k stays{i} goes{i}"));
    }
    let (mut seen, mut cursor, mut turn) = (BTreeSet::new(), "0".to_string(), 0);
    loop {
        let reply = h.line(&format!("SSCAN k {cursor} MATCH stays* COUNT 7"));
        let mut lines = reply.split("\r\n");
        cursor = lines.nth(2).unwrap().to_string();
        seen.extend(lines.filter(|line| line.starts_with("stays")).map(str::to_string));
        if cursor == "0" {
            break;
        }
        h.line(&format!("SREM k goes{turn} goes{}", 999 - turn));
        h.line(&format!("SADD k new{turn}"));
        turn += 1;
    }
    assert_eq!(seen.len(), 1000);
}

#[test]
fn events_come_as_in_redis() {
    let mut h = Harness::with_settings(|settings| {
        settings.notify_keyspace_events = Classes::from_letters("AE").unwrap();
    });
    let other = h.connect();
    h.run_as(other, &["PSUBSCRIBE", "__key*"]);
    for (line, expected) in [
        ("SADD k a b c", "sadd k"),
        ("SADD k a", ""),
        ("SREM k x", ""),
        ("SREM k a", "srem k"),
        ("SMOVE k l b", "srem k, sadd l"),
        ("SMOVE k l c", "srem k, del k, sadd l"),
        ("SMOVE l l b", ""),
        ("SPOP l", "spop l"),
        ("SPOP l 5", "spop l, del l"),
        ("SPOP l 5", ""),
        ("SADD a 1 2", "sadd a"),
        ("SINTERSTORE d a a", "sinterstore d"),
        ("SUNIONSTORE d a a", "sunionstore d"),
        ("SDIFFSTORE d a none", "sdiffstore d"),
        ("SINTERSTORE d a none", "del d"),
        ("SINTERSTORE d a none", ""),
        ("SREM a 1 2", "srem a, del a"),
    ] {
        h.line(line);
        let told: Vec<String> = h
            .published()
            .iter()
            .map(|(_, push)| {
                let parts: Vec<&str> = push.split("\r\n").collect();
                format!("{} {}", parts[6].rsplit(':').next().unwrap(), parts[8])
            })
            .collect();
        assert_eq!(told.join(", "), expected, "{line}");
    }
}
