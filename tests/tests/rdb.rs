//! The RDB format, against redis-server: values by DUMP and RESTORE, and whole files, in both directions.

use std::fs::{self, File};

use respire_datatypes::hash::Hasher;
use respire_rdb::write::{self, Options};
use respire_rdb::{Access, Batch, Checksum, DecodeOptions, Item, Scanner, ValueRef, decode, dump};
use respire_tests::server::redis_path;
use respire_tests::{Client, Kind, Server, Value};

const COMPRESSED: Options = Options { compress: true };

type Request = Vec<Vec<u8>>;

fn request(words: &[&str]) -> Request {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// A text as values have them: numbers at the edges of the encodings, short and long texts, any bytes.
fn text(rng: &mut fastrand::Rng) -> Vec<u8> {
    match rng.u8(..6) {
        0 => {
            let edge = (1_i64 << rng.u8(..63)) - rng.i64(0..2);
            (if rng.bool() { edge } else { -edge }).to_string().into()
        }
        1 => rng.choice(["", "0", "-1", "007", "-0", "+1", "12", "13", "1.5"]).unwrap().into(),
        2 => (0..rng.usize(..80)).map(|_| rng.u8(..)).collect(),
        3 => b"abc".repeat(rng.usize(1..60)),
        _ => format!("v{}", rng.u32(..1000)).into(),
    }
}

/// What makes the key `name` a value of some type. The bytes of its DUMP are given by the requests unless it is a set or
/// hash in a table, or tells of the time.
fn value(rng: &mut fastrand::Rng, name: &str) -> (Vec<Request>, bool) {
    let n = *rng.choice(&[1, 2, 5, 30, 127, 300]).unwrap();
    let with = |head: &str, parts: Vec<Vec<u8>>| [request(&[head, name]), parts].concat();
    match rng.u8(..8) {
        0 => (vec![with("SET", vec![text(rng)])], true),
        1 => {
            let len = rng.usize(..60_000);
            let long = (0..len).map(|_| *rng.choice(b"abcdefgh ").unwrap()).collect();
            (vec![with("SET", vec![long])], true)
        }
        2 => {
            let element = |rng: &mut fastrand::Rng| match rng.u8(..40) {
                0 => vec![b'x'; rng.usize(..20_000)],
                _ => text(rng),
            };
            // Where the nodes of a long one end, is ours to choose.
            let requests: Vec<_> = (0..n).map(|_| with("RPUSH", vec![element(rng)])).collect();
            let bytes: usize = requests.iter().map(|parts| parts[2].len() + 11).sum();
            (requests, bytes < 8000)
        }
        3 => {
            let shift = rng.u32(..63);
            let numbers = (0..n).map(|_| (rng.i64(..) >> shift).to_string().into_bytes());
            (vec![with("SADD", numbers.collect())], true)
        }
        4 => (vec![with("SADD", (0..n).map(|_| text(rng)).collect())], false),
        5 => {
            let pairs = (0..n).flat_map(|i| [format!("f{i}").into_bytes(), text(rng)]).collect();
            (vec![with("HSET", pairs)], false)
        }
        6 => {
            let scores = (0..n).flat_map(|i| {
                let score = match rng.u8(..10) {
                    0 => "inf".into(),
                    1 => "-inf".into(),
                    _ => rng.i32(-1000..1000).to_string(),
                };
                [score.into_bytes(), format!("member{i}").into_bytes()]
            });
            (vec![with("ZADD", scores.collect())], true)
        }
        _ => (stream(rng, name, n), true),
    }
}

fn stream(rng: &mut fastrand::Rng, name: &str, n: usize) -> Vec<Request> {
    let mut requests = Vec::new();
    let (mut ms, mut ids) = (rng.u64(1..1 << 40), Vec::new());
    for seq in 1..=n {
        ms += u64::from(rng.u8(..3)) * 100;
        ids.push(format!("{ms}-{seq}"));
        let mut parts = request(&["XADD", name, ids.last().unwrap(), "a"]);
        parts.push(text(rng));
        if rng.u8(..4) == 0 {
            parts.extend([text(rng), text(rng)]);
        }
        requests.push(parts);
    }
    for id in &ids {
        if rng.u8(..10) == 0 {
            requests.push(request(&["XDEL", name, id]));
        }
    }
    requests.push(request(&["XGROUP", "CREATE", name, "group", "0", "ENTRIESREAD", "7"]));
    requests
}

fn ask(client: &mut Client, parts: &[Vec<u8>]) -> Value {
    client.roundtrip(parts).expect("a reply")
}

fn bytes_of(value: Value) -> Vec<u8> {
    value.text().unwrap_or_else(|| panic!("a text, not {value:?}")).to_vec()
}

/// What DEBUG DIGEST-VALUE says of a key.
fn digest(client: &mut Client, key: &str) -> Value {
    let digest = ask(client, &request(&["DEBUG", "DIGEST-VALUE", key]));
    assert!(!digest.is_error(), "{digest:?}");
    digest
}

fn restore(client: &mut Client, key: &str, payload: &[u8]) {
    let parts = [&request(&["RESTORE", key, "0"])[..], &[payload.to_vec()]].concat();
    assert_eq!(ask(client, &parts), Value::Simple(b"OK".to_vec()), "{key}");
}

/// A seed that is printed if the test fails.
fn seeded() -> fastrand::Rng {
    let seed = std::env::var("RESPIRE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    // Shown for a test that fails.
    println!("RESPIRE_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

#[test]
fn values_go_both_ways() {
    let mut rng = seeded();
    let Some((subject, redis)) = Server::start_pair(&[], "DUMP and RESTORE") else { return };
    let mut clients = [subject.client(), redis.client()];
    for round in 0..150 {
        let key = format!("key{round}");
        let (requests, given) = value(&mut rng, &key);
        for parts in &requests {
            let [ours, theirs] = clients.each_mut().map(|client| ask(client, parts));
            assert_eq!(ours, theirs);
        }
        let [ours, theirs] =
            clients.each_mut().map(|client| bytes_of(ask(client, &request(&["DUMP", &key]))));
        assert!(!given || ours == theirs, "{key} is dumped otherwise: {:?}", requests[0]);
        let [ours_key, theirs_key] = ["ours", "theirs"].map(|whose| format!("{key}:{whose}"));
        let expected = digest(&mut clients[1], &key);
        for client in &mut clients {
            restore(client, &ours_key, &ours);
            restore(client, &theirs_key, &theirs);
            for key in [&key, &ours_key, &theirs_key] {
                assert_eq!(digest(client, key), expected, "{key}");
            }
        }
    }
}

/// redis-server writes a file; the codec reads it, compares each value with the server's, and writes a file of them;
/// another redis-server loads that and has the same data.
#[test]
fn files_go_both_ways() {
    let mut rng = seeded();
    if redis_path("RDB files").is_none() {
        return;
    }
    let writer = Server::start(Kind::Redis, &[]);
    let mut client = writer.client();
    for round in 0..120 {
        if round == 60 {
            ask(&mut client, &request(&["SELECT", "3"]));
        }
        let key = format!("key{round}");
        for parts in value(&mut rng, &key).0 {
            assert!(!ask(&mut client, &parts).is_error());
        }
        if rng.bool() {
            ask(&mut client, &request(&["PEXPIREAT", &key, "33000000000000"]));
        }
    }
    ask(&mut client, &request(&["FUNCTION", "LOAD", LIBRARY]));
    let before = ask(&mut client, &request(&["DEBUG", "DIGEST"]));
    assert_eq!(ask(&mut client, &request(&["SAVE"])), Value::Simple(b"OK".to_vec()));
    let file = File::open(writer.directory().join("dump.rdb")).expect("SAVE has written it");
    let rewritten = rewrite(file, &mut client);

    let directory = writer.directory().join("again");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("dump.rdb"), rewritten).unwrap();
    let reader =
        Server::start(Kind::Redis, &["--dir", directory.to_str().expect("a path of letters")]);
    let mut client = reader.client();
    assert_eq!(ask(&mut client, &request(&["DEBUG", "DIGEST"])), before);
    let code = ask(&mut client, &request(&["FUNCTION", "DUMP"]));
    assert!(bytes_of(code).windows(LIBRARY.len()).any(|part| part == LIBRARY.as_bytes()));
}

const LIBRARY: &str = "#!lua name=x\nredis.register_function('f', function() return 1 end)";

/// Reads a file of the server behind `client`, compares the values, and writes them to another.
fn rewrite(file: File, client: &mut Client) -> Vec<u8> {
    let hasher = Hasher::new([1, 2, 3, 4]);
    let mut out = Vec::new();
    write::header(&mut out, respire_rdb::format::VERSION);
    let mut scanner = Scanner::new(file, true).unwrap();
    let mut batch = Batch::new();
    let (mut keys, mut ended) = (0, false);
    while scanner.fill(&mut batch).unwrap() {
        for item in batch.items() {
            match item.unwrap() {
                Item::Aux { name, value } => write::aux(&mut out, &name, &value),
                Item::SelectDb(db) => write::select_db(&mut out, db),
                Item::ResizeDb { keys, expires } => write::resize_db(&mut out, keys, expires),
                Item::Function(code) => write::function(&mut out, &code, COMPRESSED),
                Item::Entry(entry) => {
                    let (key, options) =
                        (entry.key().unwrap(), DecodeOptions::with_default_limits(&hasher));
                    let value = decode(entry.kind, batch.family(), entry.payload, &options);
                    let value = value.unwrap();
                    compare(client, entry.db, &key, entry.expire_ms, value.as_ref());
                    let (at, access) = (entry.expire_ms, entry.idle.map(Access::Idle));
                    write::entry(&mut out, &key, value.as_ref(), at, access, COMPRESSED);
                    keys += 1;
                }
                Item::Eof { checksum } => {
                    let (stored, computed) = checksum.expect("redis-server computes one");
                    assert_eq!(stored, computed);
                    ended = true;
                }
                other => panic!("{other:?} in a file of redis-server"),
            }
        }
    }
    assert!(keys > 100 && ended);
    let mut checksum = Checksum::new();
    checksum.update(&out);
    write::eof(&mut out, Some(checksum));
    out
}

/// The value that was read is what the server has, as it says itself when it is given the value under another key.
fn compare(client: &mut Client, db: u64, key: &[u8], at: Option<i64>, value: ValueRef<'_>) {
    let key = std::str::from_utf8(key).unwrap();
    ask(client, &request(&["SELECT", &db.to_string()]));
    restore(client, "read", &dump(value, COMPRESSED));
    // The digest of a key that expires tells so.
    let expiry = ask(client, &request(&["PEXPIRETIME", key]));
    assert_eq!(expiry, Value::Integer(at.unwrap_or(-1)));
    if let Some(at) = at {
        ask(client, &request(&["PEXPIREAT", "read", &at.to_string()]));
    }
    assert_eq!(digest(client, "read"), digest(client, key), "{key}");
    ask(client, &request(&["DEL", "read"]));
}
