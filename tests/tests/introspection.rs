//! What the server tells about itself: the fields of INFO, CLIENT LIST, MEMORY STATS, SLOWLOG, LATENCY, DEBUG OBJECT.
//!
//! The oracle test can't compare these byte by byte, since the values are the server's own. Here their names and shapes
//! are compared with redis-server's: monitoring tools read them by name.

use std::collections::BTreeSet;

use respire_tests::{Client, Kind, Server, Value, server};

/// INFO fields of Redis 7.0 that aren't asked for, with the reason.
const INFO_LEFT_OUT: &[(&str, &str)] = &[
    ("gcc_version", "names the C compiler"),
    ("redis_git_sha1", "the build of Redis"),
    ("redis_git_dirty", "the build of Redis"),
    ("redis_build_id", "the build of Redis"),
    ("monotonic_clock", "the build of Redis"),
    ("mem_cluster_links", "a link of Redis's own cluster bus"),
];

/// The fields and sections of an INFO text, as `section` and `section field`.
fn info_names(client: &mut Client) -> BTreeSet<String> {
    let reply = client.roundtrip(&["INFO", "everything"]).expect("a reply");
    let text = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
    let mut section = String::new();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            section = name.to_string();
            names.insert(section.clone());
        } else if let Some((field, _)) = line.split_once(':') {
            names.insert(format!("{section} {field}"));
        }
    }
    names
}

/// Some traffic, so that fields which only exist once there is something to count do exist.
fn warm_up(server: &Server) -> Client {
    let mut client = server.client();
    for request in
        [&["SET", "k", "1"][..], &["GET", "k"], &["EXPIRE", "k", "100"], &["NOSUCH"], &["GET"]]
    {
        client.roundtrip(request).expect("a reply");
    }
    client
}

#[test]
fn info_has_the_fields_of_redis() {
    let Some((respire, redis)) = Server::start_pair(&[], "that INFO has Redis's fields") else {
        return;
    };
    let theirs = info_names(&mut warm_up(&redis));
    let ours = info_names(&mut warm_up(&respire));
    let left_out =
        |name: &String| INFO_LEFT_OUT.iter().any(|(field, _)| name.ends_with(&format!(" {field}")));
    let missing: Vec<&String> = theirs.difference(&ours).filter(|name| !left_out(name)).collect();
    assert!(missing.is_empty(), "INFO lacks {missing:#?}");
    assert!(INFO_LEFT_OUT.iter().all(|(_, reason)| !reason.is_empty()));
}

/// The names of `name=value name=value`.
fn names(line: &str, separator: char) -> Vec<String> {
    line.split_whitespace()
        .filter_map(|word| Some(word.split_once(separator)?.0.to_string()))
        .collect()
}

fn text_of(client: &mut Client, request: &[&str]) -> String {
    let reply = client.roundtrip(request).expect("a reply");
    String::from_utf8_lossy(reply.text().unwrap_or_else(|| panic!("{request:?}: {reply:?}")))
        .into_owned()
}

#[test]
fn client_list_has_the_fields_of_redis_in_their_order() {
    let Some((respire, redis)) = Server::start_pair(&[], "that CLIENT LIST has Redis's fields")
    else {
        return;
    };
    let [mut subject, mut oracle] = [respire.client(), redis.client()];
    for request in [&["CLIENT", "INFO"][..], &["CLIENT", "LIST"]] {
        let ours = names(text_of(&mut subject, request).lines().next().expect("a line"), '=');
        let theirs = names(text_of(&mut oracle, request).lines().next().expect("a line"), '=');
        // Newer versions have added fields between the old ones.
        let shared: Vec<&String> = ours.iter().filter(|name| theirs.contains(name)).collect();
        assert_eq!(shared, theirs.iter().collect::<Vec<_>>(), "{request:?}: Respire, then Redis");
    }
}

#[test]
fn debug_object_has_the_fields_of_redis() {
    let Some((respire, redis)) = Server::start_pair(&[], "that DEBUG OBJECT has Redis's fields")
    else {
        return;
    };
    let fields =
        |server: &Server| names(&text_of(&mut warm_up(server), &["DEBUG", "OBJECT", "k"]), ':');
    // `Value at:0x...` splits into a word without a separator and `at`.
    assert_eq!(fields(&respire), fields(&redis), "Respire, then Redis");
}

/// The names in a flat list of pairs, or a map.
fn keys_of(value: &Value) -> BTreeSet<String> {
    let name =
        |value: &Value| String::from_utf8_lossy(value.text().unwrap_or_default()).into_owned();
    match value {
        Value::Map(pairs) => pairs.iter().map(|(key, _)| name(key)).collect(),
        other => other.elements().unwrap_or_default().iter().step_by(2).map(name).collect(),
    }
}

#[test]
fn memory_stats_has_the_fields_of_redis() {
    let Some((respire, redis)) = Server::start_pair(&[], "that MEMORY STATS has Redis's fields")
    else {
        return;
    };
    let fields = |server: &Server| {
        keys_of(&warm_up(server).roundtrip(&["MEMORY", "STATS"]).expect("a reply"))
    };
    let (ours, theirs) = (fields(&respire), fields(&redis));
    // What only a link of Redis's own cluster bus can fill.
    let missing: Vec<_> =
        theirs.difference(&ours).filter(|name| *name != "cluster.links").collect();
    assert!(missing.is_empty(), "MEMORY STATS lacks {missing:?}");
}

/// A reply with its numbers, addresses and times replaced by their types.
fn shape(value: &Value) -> String {
    match value {
        Value::Integer(_) => "integer".into(),
        Value::Map(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(k, v)| format!("{k:?}: {}", shape(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Bulk(text) if text.starts_with(b"127.0.0.1:") => "address".into(),
        other => match other.elements() {
            Some(elements) => {
                format!("[{}]", elements.iter().map(shape).collect::<Vec<_>>().join(", "))
            }
            None => format!("{other:?}"),
        },
    }
}

#[test]
fn the_slow_log_records_requests() {
    for kind in server::kinds("that SLOWLOG answers as Redis's") {
        let server = Server::start(kind, &[]);
        let mut client = server.client();
        let long = "v".repeat(200);
        let many: Vec<String> = (0..40).map(|i| format!("k{i}")).collect();
        let del: Vec<&str> =
            std::iter::once("DEL").chain(many.iter().map(String::as_str)).collect();
        let requests: &[&[&str]] = &[
            &["CLIENT", "SETNAME", "me"],
            &["CONFIG", "SET", "slowlog-log-slower-than", "0"],
            &["SET", "k", &long],
            &del,
            &["CONFIG", "SET", "slowlog-log-slower-than", "-1"],
        ];
        for request in requests {
            client.roundtrip(request).expect("a reply");
        }
        let reply = client.roundtrip(&["SLOWLOG", "GET", "-1"]).expect("a reply");
        let entries: Vec<String> = reply.elements().expect("entries").iter().map(shape).collect();
        let cut = format!("\"{}... (72 more bytes)\"", "v".repeat(128));
        let keys: Vec<String> = (0..30).map(|i| format!("\"k{i}\"")).collect();
        // The newest first. Of 41 arguments 31 are kept, and the last says how many are not.
        let expected = [
            format!(
                "[integer, integer, integer, [\"DEL\", {}, \"... (10 more arguments)\"], address, \"me\"]",
                keys.join(", ")
            ),
            format!("[integer, integer, integer, [\"SET\", \"k\", {cut}], address, \"me\"]"),
            "[integer, integer, integer, [\"CONFIG\", \"SET\", \"slowlog-log-slower-than\", \"0\"], address, \"me\"]"
                .to_string(),
        ];
        assert_eq!(entries, expected, "{kind:?}");
        assert_eq!(
            client.roundtrip(&["SLOWLOG", "LEN"]).expect("a reply"),
            Value::Integer(3),
            "{kind:?}"
        );
        client.roundtrip(&["SLOWLOG", "RESET"]).expect("a reply");
        assert_eq!(
            client.roundtrip(&["SLOWLOG", "LEN"]).expect("a reply"),
            Value::Integer(0),
            "{kind:?}"
        );
    }
}

#[test]
fn latency_is_monitored() {
    for kind in server::kinds("that LATENCY answers as Redis's") {
        let server = Server::start(kind, &[]);
        let mut client = server.client();
        let mut ask = |request: &[&str]| shape(&client.roundtrip(request).expect("a reply"));
        ask(&["CONFIG", "SET", "latency-monitor-threshold", "50"]);
        ask(&["DEBUG", "SLEEP", "0.1"]);
        // From here on nothing takes that long; before, a busy machine may have stopped us anywhere for a while.
        ask(&["CONFIG", "SET", "latency-monitor-threshold", "3600000"]);
        let latest = ask(&["LATENCY", "LATEST"]);
        let event = "[\"command\", integer, integer, integer]";
        assert!(latest.contains(event), "{kind:?}: {latest}");
        let history = ask(&["LATENCY", "HISTORY", "command"]);
        assert!(history.starts_with("[[integer, integer]"), "{kind:?}: {history}");
        assert!(ask(&["LATENCY", "GRAPH", "command"]).contains("command - high"), "{kind:?}");
        assert_eq!(ask(&["LATENCY", "RESET", "command"]), "integer", "{kind:?}");
        assert!(!ask(&["LATENCY", "LATEST"]).contains("command"), "{kind:?}");
        ask(&["LATENCY", "RESET"]);
        assert_eq!(ask(&["LATENCY", "LATEST"]), "[]", "{kind:?}");
        ask(&["HELLO", "3"]);
        ask(&["SET", "k", "v"]);
        let histogram = ask(&["LATENCY", "HISTOGRAM", "set", "nosuch"]);
        let expected = "{\"set\": {\"calls\": integer, \"histogram_usec\": {";
        assert!(histogram.starts_with(expected), "{kind:?}: {histogram}");
    }
}

/// Whoever has read a key and asks something else when another client knows that it has changed, is told first.
#[test]
fn who_has_read_a_key_hears_of_its_change_before_the_next_reply() {
    let server = Server::start(Kind::Respire, &["--io-threads", "2"]);
    // One on each thread at least.
    let mut readers: Vec<Client> = (0..2).map(|_| server.client()).collect();
    let mut writer = server.client();
    for reader in &mut readers {
        reader.roundtrip(&["HELLO", "3"]).expect("a reply");
        reader.roundtrip(&["CLIENT", "TRACKING", "ON"]).expect("a reply");
    }
    let word = |text: &str| Value::Bulk(text.into());
    let told = |key: Value| Value::Push(vec![word("invalidate"), key]);
    for round in 0..1000 {
        // What all are told of goes another way than what is known of a key.
        let (change, key) = match round % 2 {
            0 => (&["SET", "k", "v"][..], Value::Array(vec![word("k")])),
            _ => (&["FLUSHALL"][..], Value::Null),
        };
        for reader in &mut readers {
            reader.roundtrip(&["GET", "k"]).expect("a reply");
        }
        writer.roundtrip(change).expect("a reply");
        for reader in &mut readers {
            reader.send(&["PING"]).expect("it is sent");
        }
        for reader in &mut readers {
            assert_eq!(reader.read().expect("a message"), told(key.clone()), "round {round}");
            assert_eq!(reader.read().expect("a reply"), Value::Simple(b"PONG".to_vec()));
        }
    }
}

#[test]
fn monitor_shows_who_waits_before_those_who_see_that() {
    let server = Server::start(Kind::Respire, &["--io-threads", "2"]);
    for round in 0..40 {
        // They are spread over the threads, each round in another way.
        let mut clients: Vec<Client> = (0..3 + round % 2).map(|_| server.client()).collect();
        let [monitor, waiting, asking, ..] = &mut clients[..] else { unreachable!() };
        monitor.roundtrip(&["MONITOR"]).expect("a reply");
        let key = format!("list{round}");
        waiting.send(&["BLPOP", &key, "0"]).expect("it is sent");
        let blocked = |client: &mut Client| {
            let reply = client.roundtrip(&["INFO", "clients"]).expect("a reply");
            let text = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
            text.contains("blocked_clients:1")
        };
        while !blocked(asking) {}
        asking.roundtrip(&["LPUSH", &key, "1"]).expect("a reply");
        waiting.read().expect("what it waited for");
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|line: &String| line.contains("\"LPUSH\"")) {
            let line = monitor.read().expect("a line");
            seen.push(String::from_utf8_lossy(line.text().expect("a text")).into_owned());
        }
        let at =
            |what: &str| seen.iter().rposition(|line| line.contains(what)).expect("it is shown");
        assert!(at("\"BLPOP\"") < at("\"INFO\""), "round {round}: {seen:#?}");
    }
}
