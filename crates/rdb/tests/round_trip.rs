//! Values come back as they were, whatever their type, size and history.

mod samples;

use respire_rdb::write::{self, Options};
use respire_rdb::{
    Access, Batch, Checksum, DecodeOptions, Family, Item, Loaded, Scanner, decode, dump,
    needs_version, restore,
};
use samples::{Seed, describe, effort, hasher, text, value};

const COMPRESSED: Options = Options { compress: true };

#[test]
fn what_is_dumped_is_restored() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let hasher = hasher();
    for _ in 0..600 * effort() {
        let value = value(&mut rng, &hasher);
        let compress = rng.bool();
        let payload = dump(value.as_ref(), Options { compress });
        let loaded = restore(&payload, true, &DecodeOptions::with_default_limits(&hasher)).unwrap();
        assert_eq!(describe(loaded.as_ref()), describe(value.as_ref()));
        if let (Loaded::Collection(before), Loaded::Collection(after)) = (&value, &loaded) {
            assert_eq!(before.len(), after.len());
            // What had been larger may have become small again: a list by its history, a hash whose long value was replaced
            // by a short one.
            let shrinks = matches!(before.type_name(), "list" | "hash");
            assert!(before.encoding() == after.encoding() || shrinks, "{before:?}");
        }
        // The encoding of a small value is given by the value, and so are its bytes.
        let again = dump(loaded.as_ref(), Options { compress });
        let reloaded = restore(&again, true, &DecodeOptions::with_default_limits(&hasher)).unwrap();
        assert_eq!(describe(reloaded.as_ref()), describe(value.as_ref()));
    }
}

#[test]
fn files_come_back() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let hasher = hasher();
    for _ in 0..30 * effort() {
        let (bytes, expected) = random_file(&mut rng, &hasher);
        // However the file arrives: whole, or in pieces of any size.
        for piece in [usize::MAX, 1 + rng.usize(..100), 4096] {
            if piece < 100 && bytes.len() > 100_000 {
                continue;
            }
            let source = Pieces { bytes: &bytes, piece };
            assert_eq!(read(source, &hasher), expected);
        }
    }
}

/// A source that gives no more than a piece at a time.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl std::io::Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = buffer.len().min(self.piece).min(self.bytes.len());
        buffer[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

fn random_file(
    rng: &mut fastrand::Rng,
    hasher: &respire_datatypes::hash::Hasher,
) -> (Vec<u8>, Vec<String>) {
    let mut body = Vec::new();
    let mut expected = Vec::new();
    let mut version = respire_rdb::format::VERSION;
    write::aux(&mut body, b"redis-ver", b"7.0.15");
    write::aux(&mut body, b"used-mem", b"123456");
    expected.push("redis-ver=7.0.15".into());
    expected.push("used-mem=123456".into());
    write::function(&mut body, b"#!lua name=x", COMPRESSED);
    expected.push("function #!lua name=x".into());
    for db in [0, 3, 70_000] {
        write::select_db(&mut body, db);
        write::resize_db(&mut body, 12, 3);
        expected.extend([format!("db {db}"), "size 12 3".into()]);
        for _ in 0..rng.usize(1..20) {
            let (key, value) = (text(rng), value(rng, hasher));
            let expire = rng.bool().then(|| rng.i64(..));
            let access = match rng.u8(..3) {
                0 => Some(Access::Idle(rng.u64(..) >> rng.u8(..64))),
                1 => Some(Access::Freq(rng.u8(..))),
                _ => None,
            };
            version = version.max(needs_version(value.as_ref()));
            write::entry(&mut body, &key, value.as_ref(), expire, access, COMPRESSED);
            expected.push(shown(db, &key, expire, access, &describe(value.as_ref())));
        }
    }
    let mut bytes = Vec::new();
    write::header(&mut bytes, version);
    bytes.append(&mut body);
    let mut checksum = Checksum::new();
    checksum.update(&bytes);
    write::eof(&mut bytes, rng.bool().then_some(checksum));
    (bytes, expected)
}

fn shown(
    db: u64,
    key: &[u8],
    expire: Option<i64>,
    access: Option<Access>,
    value: &[String],
) -> String {
    format!("{db} {} {expire:?} {access:?} {value:?}", key.escape_ascii())
}

fn read(source: impl std::io::Read, hasher: &respire_datatypes::hash::Hasher) -> Vec<String> {
    let mut scanner = Scanner::new(source, true).unwrap();
    let mut batch = Batch::new();
    let mut seen = Vec::new();
    while scanner.fill(&mut batch).unwrap() {
        for item in batch.items() {
            match item.unwrap() {
                Item::Aux { name, value } => {
                    let [name, value] = [name, value].map(|text| text.escape_ascii().to_string());
                    seen.push(format!("{name}={value}"));
                }
                Item::SelectDb(db) => seen.push(format!("db {db}")),
                Item::ResizeDb { keys, expires } => seen.push(format!("size {keys} {expires}")),
                Item::Function(code) => seen.push(format!("function {}", code.escape_ascii())),
                Item::Entry(entry) => {
                    let key = entry.key().unwrap();
                    let options = DecodeOptions::with_default_limits(hasher);
                    let value = decode(entry.kind, batch.family(), entry.payload, &options);
                    let idle = entry.idle.map(Access::Idle);
                    let access = idle.or(entry.freq.map(Access::Freq));
                    let value = describe(value.unwrap().as_ref());
                    seen.push(shown(entry.db, &key, entry.expire_ms, access, &value));
                }
                Item::Eof { checksum } => {
                    assert!(checksum.is_none_or(|(stored, computed)| stored == computed));
                }
                other => panic!("{other:?} was not written"),
            }
        }
    }
    assert_eq!(scanner.family(), Family::Redis);
    assert!(scanner.into_rest().1.is_empty());
    seen
}

#[test]
fn what_follows_the_end_is_left() {
    let mut bytes = Vec::new();
    write::header(&mut bytes, respire_rdb::format::VERSION);
    write::eof(&mut bytes, None);
    let end = bytes.len() as u64;
    bytes.extend(b"*1\r\n");
    let mut scanner = Scanner::new(&bytes[..], true).unwrap();
    let mut batch = Batch::new();
    assert!(scanner.fill(&mut batch).unwrap());
    assert!(!scanner.fill(&mut batch).unwrap());
    assert_eq!(scanner.offset(), end);
    assert_eq!(scanner.into_rest().1, b"*1\r\n");
}

#[test]
fn a_large_item_is_read_as_it_arrives() {
    let text = vec![b'x'; 3_000_000];
    let mut bytes = Vec::new();
    write::header(&mut bytes, respire_rdb::format::VERSION);
    let value = respire_rdb::ValueRef::Bytes(&text);
    write::entry(&mut bytes, b"large", value, None, None, Options { compress: false });
    write::entry(&mut bytes, b"small", respire_rdb::ValueRef::Int(1), None, None, COMPRESSED);
    write::eof(&mut bytes, None);
    let seen = read(Pieces { bytes: &bytes, piece: 1000 }, &hasher());
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1], "0 small None None [\"\\\"1\\\"\"]");
}
