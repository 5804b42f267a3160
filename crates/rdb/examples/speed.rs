//! How fast files are written and read: `cargo run --release -p respire-rdb --example speed -- [keys]`.
//!
//! Prints nanoseconds of one thread for each key, of small strings and of small collections: writing, finding the items,
//! and decoding them.

use std::time::Instant;

use respire_datatypes::collection::Collection;
use respire_datatypes::hash::Hasher;
use respire_datatypes::hashes::{FieldTtl, Hash};
use respire_datatypes::list::{End, List, NewElement};
use respire_datatypes::set::Set;
use respire_datatypes::zset::ZSet;
use respire_rdb::write::{self, Options};
use respire_rdb::{Batch, Checksum, DecodeOptions, Item, Loaded, Scanner, ValueRef, decode};

fn main() {
    let keys: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let hasher = Hasher::new([1, 2, 3, 4]);
    let options = DecodeOptions::with_default_limits(&hasher);
    let mut rng = fastrand::Rng::with_seed(1);
    let texts: Vec<Vec<u8>> =
        (0..1000).map(|_| (0..32).map(|_| rng.alphanumeric() as u8).collect()).collect();
    for (what, n) in [
        ("strings of 32 bytes", 1),
        ("lists of 10", 10),
        ("sets of 10", 10),
        ("sets of 1000", 1000),
        ("hashes of 10", 10),
        ("hashes of 1000", 1000),
        ("sorted sets of 10", 10),
        ("sorted sets of 1000", 1000),
    ] {
        let values: Vec<Option<Collection>> =
            (0..64).map(|at| collection(what, n, &texts[at..], &options)).collect();
        measure(what, keys / n, &values, &texts, &options);
    }
}

fn collection(
    what: &str,
    n: u32,
    texts: &[Vec<u8>],
    options: &DecodeOptions<'_>,
) -> Option<Collection> {
    let element = |i: u32| format!("{i}:{}", String::from_utf8_lossy(&texts[i as usize % 64][..8]));
    Some(match what.split(' ').next()? {
        "lists" => {
            let mut list = List::new();
            for i in 0..n {
                let text = element(i);
                list.push(End::Back, NewElement::Bytes(text.as_bytes()), options.list);
            }
            Collection::List(list)
        }
        "sets" => {
            let mut set = Set::new();
            (0..n).for_each(|i| assert!(set.add(element(i).as_bytes(), &options.set)));
            Collection::Set(set)
        }
        "hashes" => {
            let mut hash = Hash::new();
            for i in 0..n {
                let text = element(i);
                hash.set(text.as_bytes(), b"some value", FieldTtl::Clear, 0, &options.hash);
            }
            Collection::Hash(hash)
        }
        "sorted" => {
            let mut zset = ZSet::new();
            for i in 0..n {
                zset.update(element(i).as_bytes(), &options.zset, |_| Some(f64::from(i * 7 % 100)));
            }
            Collection::ZSet(zset)
        }
        _ => return None,
    })
}

fn measure(
    what: &str,
    keys: u32,
    values: &[Option<Collection>],
    texts: &[Vec<u8>],
    options: &DecodeOptions<'_>,
) {
    let mut bytes = Vec::new();
    write::header(&mut bytes, respire_rdb::format::VERSION);
    let begin = Instant::now();
    let mut key = *b"key:00000000";
    for i in 0..keys {
        let mut rest = i;
        for digit in key[4..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let value = match &values[i as usize % values.len()] {
            Some(collection) => ValueRef::Collection(collection),
            None => ValueRef::Bytes(&texts[i as usize % texts.len()]),
        };
        write::entry(&mut bytes, &key, value, None, None, Options { compress: true });
    }
    let written = begin.elapsed();
    let mut checksum = Checksum::new();
    checksum.update(&bytes);
    write::eof(&mut bytes, Some(checksum));

    let each = |time: std::time::Duration| time.as_nanos() / u128::from(keys);
    let begin = Instant::now();
    assert_eq!(read(&bytes, |_, _| ()), keys);
    let scanned = begin.elapsed();
    let begin = Instant::now();
    read(&bytes, |kind, payload| {
        let value = decode(kind, respire_rdb::Family::Redis, payload, options).expect("sound");
        assert!(!matches!(std::hint::black_box(value), Loaded::Int(_)));
    });
    let decoded = begin.elapsed() - scanned;
    println!(
        "{what:24} {keys:9} keys, {:6} bytes a key: write {:7} ns, scan {:5} ns, decode {:7} ns",
        bytes.len() / keys as usize,
        each(written),
        each(scanned),
        each(decoded)
    );
}

/// Calls `f` with the kind and the bytes of each value. Returns their number.
fn read(bytes: &[u8], mut f: impl FnMut(u8, &[u8])) -> u32 {
    let mut scanner = Scanner::new(bytes, true).expect("a head");
    let mut batch = Batch::new();
    let mut entries = 0;
    while scanner.fill(&mut batch).expect("sound") {
        for item in batch.items() {
            match item.expect("sound") {
                Item::Entry(entry) => {
                    f(entry.kind, entry.payload);
                    entries += 1;
                }
                Item::Eof { checksum } => {
                    assert!(checksum.is_none_or(|(stored, computed)| stored == computed));
                }
                _ => {}
            }
        }
    }
    entries
}
