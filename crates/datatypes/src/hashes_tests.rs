//! Tests of the hash: when it changes its encoding, and random histories with expiring fields against a `BTreeMap`.

use std::collections::BTreeMap;

use super::*;
use crate::seed::Seed;

fn limits(hasher: &Hasher) -> HashLimits<'_> {
    HashLimits { listpack_entries: 4, listpack_value: 8, hasher }
}

#[test]
fn it_is_at_most_three_words() {
    assert!(size_of::<Hash>() <= 24);
}

#[test]
fn encodings_change_at_their_limits() {
    let hasher = Hasher::new([1, 2, 3, 4]);
    let limits = limits(&hasher);
    let mut hash = Hash::new();
    for i in 0..4 {
        assert!(hash.set(&[b'a' + i], b"12345678", FieldTtl::Clear, 0, &limits));
    }
    assert!(!hash.set(b"a", b"1", FieldTtl::Clear, 0, &limits));
    assert_eq!(hash.encoding(), "listpack");
    let mut timed = hash.clone();
    assert!(!timed.set_expiry(b"nothing", Some(100), 0));
    assert_eq!(timed.encoding(), "listpack");
    assert!(timed.set_expiry(b"b", Some(100), 0));
    assert!(timed.set_expiry(b"b", None, 0));
    assert_eq!(timed.encoding(), "listpackex");
    for mut grown in [hash.clone(), timed.clone()] {
        grown.set(b"e", b"", FieldTtl::Clear, 0, &limits);
        assert_eq!((grown.encoding(), grown.len()), ("hashtable", 5));
    }
    for mut grown in [hash.clone(), timed] {
        grown.set(b"a", b"123456789", FieldTtl::Clear, 0, &limits);
        assert_eq!((grown.encoding(), grown.len()), ("hashtable", 4));
    }
    hash.expect(8, &limits);
    assert_eq!(hash.encoding(), "listpack");
    hash.expect(9, &limits);
    assert_eq!(hash.encoding(), "hashtable");
}

#[test]
fn a_timed_listpack_is_ordered_by_expiry() {
    let hasher = Hasher::new([1, 2, 3, 4]);
    let limits = HashLimits { listpack_entries: 10, ..limits(&hasher) };
    let mut hash = Hash::new();
    for (field, at) in [("a", None), ("b", Some(30)), ("c", Some(10)), ("d", None), ("e", Some(20))]
    {
        let ttl = at.map_or(FieldTtl::Clear, FieldTtl::At);
        hash.set(field.as_bytes(), b"v", ttl, 0, &limits);
    }
    let order = |hash: &Hash, now| {
        let mut text = String::new();
        hash.each(now, |field, _| field.with_bytes(|f| text += &String::from_utf8_lossy(f)));
        text
    };
    assert_eq!(order(&hash, 0), "cebad");
    assert_eq!((order(&hash, 20), hash.live_len(20), hash.next_due()), ("bad".into(), 3, Some(10)));
    assert_eq!((hash.expire_due(20, 1).len(), order(&hash, 0)), (1, "ebad".into()));
    hash.set_expiry(b"a", Some(5), 0);
    assert_eq!((order(&hash, 0), hash.next_due()), ("aebd".into(), Some(5)));
}

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

fn live(model: &Model, now: i64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let live = model.iter().filter(|(_, (_, at))| !passed(*at, now));
    live.map(|(field, (value, _))| (field.clone(), value.clone())).collect()
}

fn assert_same(hash: &Hash, model: &Model, now: i64, rng: &mut fastrand::Rng) {
    assert_eq!((hash.len(), hash.is_empty()), (model.len(), model.is_empty()));
    assert_eq!(hash.next_due(), model.values().filter_map(|(_, at)| *at).min());
    let live = live(model, now);
    assert_eq!(hash.live_len(now), live.len());
    let mut seen = BTreeMap::new();
    hash.each(now, |field, value| {
        assert!(seen.insert(field.to_vec(), value.to_vec()).is_none());
    });
    assert_eq!(seen, live);
    let mut scanned = BTreeMap::new();
    let mut position = Some(0);
    while let Some(at) = position {
        position = hash.scan(at, now, |field, value| {
            scanned.insert(field.to_vec(), value.to_vec());
        });
    }
    assert_eq!(scanned, live);
    match hash.sample(now, rng) {
        None => assert!(live.is_empty()),
        Some((field, value)) => assert!(value.eq_bytes(&live[&field.to_vec()])),
    }
    let count = rng.usize(..live.len() + 2);
    let mut chosen = BTreeSet::new();
    hash.sample_many(count, now, rng, |field, _| assert!(chosen.insert(field.to_vec())));
    assert_eq!(chosen.len(), count.min(live.len()));
    assert!(chosen.iter().all(|field| live.contains_key(field)));
}

fn random_text(rng: &mut fastrand::Rng, range: u32) -> Vec<u8> {
    match rng.u32(..12) {
        0..6 => rng.u32(..range).to_string().into_bytes(),
        6..11 => format!("f{}", rng.u32(..range)).into_bytes(),
        _ => format!("{:020}", rng.u32(..range)).into_bytes(),
    }
}

fn step(
    rng: &mut fastrand::Rng,
    hash: &mut Hash,
    model: &mut Model,
    now: i64,
    limits: &HashLimits<'_>,
) {
    let field = random_text(rng, 30);
    let value = random_text(rng, 3000);
    let at = now + rng.i64(1..20);
    let expected = model.get(&field).filter(|(_, at)| !passed(*at, now));
    let found = hash.field(&field, now).map(|field| (field.value.to_vec(), field.expiry));
    assert_eq!(found.as_ref(), expected);
    match rng.u32(..10) {
        0..4 => {
            let there = expected.is_some();
            let had = expected.and_then(|(_, at)| *at);
            let (ttl, expiry) = match rng.u32(..4) {
                0..2 => (FieldTtl::Clear, None),
                2 => (FieldTtl::Keep, had),
                _ => (FieldTtl::At(at), Some(at)),
            };
            assert_eq!(hash.set(&field, &value, ttl, now, limits), !there);
            model.insert(field, (value, expiry));
        }
        4..6 => {
            assert_eq!(hash.remove(&field, now), expected.is_some());
            model.remove(&field);
        }
        6..9 => {
            let expiry = if rng.u32(..3) == 0 { None } else { Some(at) };
            assert_eq!(hash.set_expiry(&field, expiry, now), expected.is_some());
            if expected.is_some() {
                model.entry(field).and_modify(|(_, at)| *at = expiry);
            }
        }
        _ => {
            let max = rng.usize(..5);
            let due = model.values().filter(|(_, at)| passed(*at, now)).count();
            assert_eq!(hash.expire_due(now, max).len(), max.min(due));
            let mut left = BTreeSet::new();
            hash.each(i64::MIN, |field, _| {
                left.insert(field.to_vec());
            });
            model.retain(|field, _| left.contains(field));
        }
    }
}

#[test]
fn random_histories_match_a_map() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.number());
    let mut encodings = BTreeSet::new();
    for _ in 0..150 {
        let hasher = Hasher::new([rng.u64(..); 4]);
        let limits = HashLimits {
            listpack_entries: rng.usize(..40),
            listpack_value: rng.usize(1..30),
            hasher: &hasher,
        };
        let (mut hash, mut model, mut now) = (Hash::new(), Model::new(), 1000);
        for _ in 0..200 {
            step(&mut rng, &mut hash, &mut model, now, &limits);
            assert_same(&hash, &model, now, &mut rng);
            now += rng.i64(0..2);
            encodings.insert(hash.encoding());
        }
        assert_same(&hash.clone(), &model, now, &mut rng);
    }
    assert_eq!(encodings.len(), 3, "{encodings:?}");
}

#[test]
fn choices_are_fair() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.number());
    let hasher = Hasher::new([1, 2, 3, 4]);
    for (entries, expiring) in [(100, 0), (100, 30), (0, 0), (0, 30)] {
        let limits = HashLimits { listpack_entries: entries, listpack_value: 64, hasher: &hasher };
        let mut hash = Hash::new();
        for i in 0..50 + expiring {
            let ttl = if i < 50 { FieldTtl::Clear } else { FieldTtl::At(5) };
            hash.set(format!("f{i}").as_bytes(), b"v", ttl, 0, &limits);
        }
        let mut counts = BTreeMap::<Vec<u8>, u32>::new();
        for _ in 0..10_000 {
            let (field, _) = hash.sample(10, &mut rng).expect("not empty");
            *counts.entry(field.to_vec()).or_default() += 1;
        }
        let chi = counts.values().map(|n| (f64::from(*n) - 200.0).powi(2) / 200.0).sum::<f64>();
        // 49 degrees of freedom: beyond 110 comes once in a million runs.
        assert!(counts.len() == 50 && chi < 110.0, "{}: {chi}", hash.encoding());
    }
}

/// A hash that was a table already was once made one again, for nothing, with every new field: the larger it was, the longer
/// each took, so that this test did not come to its end.
#[test]
fn a_large_hash_takes_fields_as_quickly_as_a_small_one() {
    const FIELDS: usize = 200_000;
    let hasher = Hasher::new([1, 2, 3, 4]);
    let limits = HashLimits { listpack_entries: 16, listpack_value: 64, hasher: &hasher };
    let mut hash = Hash::new();
    for i in 0..FIELDS {
        let field = i.to_string();
        assert!(hash.set(field.as_bytes(), b"value", FieldTtl::Clear, 0, &limits));
    }
    assert_eq!(hash.len(), FIELDS);
}
