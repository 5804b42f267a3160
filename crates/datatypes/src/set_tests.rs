//! Tests of the set: when it changes its encoding, random histories against a `BTreeSet`, and fair choices.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::seed::Seed;

fn hasher() -> Hasher {
    Hasher::new([1, 2, 3, 4])
}

fn limits(hasher: &Hasher) -> SetLimits<'_> {
    SetLimits { intset_entries: 6, listpack_entries: 4, listpack_value: 8, hasher }
}

fn set_of(members: &[&str]) -> Set {
    let hasher = hasher();
    let limits = limits(&hasher);
    let mut set = Set::with_expected(members[0].as_bytes(), 1, &limits);
    for member in members {
        set.add(member.as_bytes(), &limits);
    }
    set
}

#[test]
fn it_is_at_most_three_words() {
    assert!(size_of::<Set>() <= 24);
}

#[test]
fn encodings_change_at_their_limits() {
    for (members, encoding) in [
        (&["1"][..], "intset"),
        (&["1", "2", "3", "4", "5", "6"], "intset"),
        (&["1", "2", "3", "4", "5", "6", "7"], "hashtable"),
        (&["a"], "listpack"),
        (&["1", "2", "3", "a"], "listpack"),
        (&["1", "2", "3", "4", "a"], "hashtable"),
        (&["a", "b", "c", "d"], "listpack"),
        (&["a", "b", "c", "d", "a", "b", "c"], "listpack"),
        (&["a", "b", "c", "d", "e"], "hashtable"),
        (&["12345678"], "intset"),
        (&["a", "12345678"], "listpack"),
        (&["a", "123456789"], "hashtable"),
        (&["123456789"], "intset"),
        (&["123456789", "a"], "hashtable"),
        (&["-12345678", "a"], "hashtable"),
        (&["abcdefgh"], "listpack"),
        (&["abcdefghi"], "hashtable"),
        (&["01"], "listpack"),
    ] {
        assert_eq!(set_of(members).encoding(), encoding, "{members:?}");
    }
}

#[test]
fn what_is_expected_decides_too() {
    let hasher = hasher();
    let limits = limits(&hasher);
    for (first, count, encoding) in
        [("1", 6, "intset"), ("1", 7, "hashtable"), ("a", 4, "listpack"), ("a", 5, "hashtable")]
    {
        assert_eq!(Set::with_expected(first.as_bytes(), count, &limits).encoding(), encoding);
        let mut set = set_of(&[first]);
        set.expect(count, &limits);
        assert_eq!(set.encoding(), encoding);
        assert!(set.contains(first.as_bytes()));
    }
    let none = SetLimits { intset_entries: 0, ..limits };
    assert_eq!(Set::with_expected(b"1", 1, &none).encoding(), "listpack");
}

fn random_member(rng: &mut fastrand::Rng, range: i64) -> Vec<u8> {
    match rng.u32(..10) {
        0..6 => rng.i64(-range..range).to_string().into_bytes(),
        6 => rng.i64(..).to_string().into_bytes(),
        7 => format!("{:012}", rng.i64(0..range)).into_bytes(),
        _ => format!("m{}", rng.i64(0..range)).into_bytes(),
    }
}

fn members(set: &Set) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    set.each(|item| assert!(all.insert(item.to_vec())));
    all
}

#[test]
fn random_histories_match_a_set() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.number());
    let mut encodings = BTreeSet::new();
    for _ in 0..300 {
        let hasher = Hasher::new([rng.u64(..); 4]);
        let limits = SetLimits {
            intset_entries: rng.usize(..20),
            listpack_entries: rng.usize(..20),
            listpack_value: rng.usize(..20),
            hasher: &hasher,
        };
        let range = 1 << rng.u32(2..7);
        let (mut set, mut model) = (Set::new(), BTreeSet::new());
        for _ in 0..100 {
            let member = random_member(&mut rng, range);
            assert_eq!(set.contains(&member), model.contains(&member));
            let mut probe = Probe::new(Item::of(&member), &member);
            assert_eq!(set.contains_probe(&mut probe), model.contains(&member));
            match rng.u32(..20) {
                0..7 => assert_eq!(set.remove(&member), model.remove(&member)),
                7 => set.expect(rng.usize(..30), &limits),
                _ => assert_eq!(set.add(&member, &limits), model.insert(member)),
            }
            assert_eq!(members(&set), model);
            assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
            encodings.insert(set.encoding());
        }
        assert_eq!(members(&set.clone()), model);
        let mut scanned = BTreeSet::new();
        let mut position = Some(0);
        while let Some(at) = position {
            position = set.scan(at, |item| assert!(scanned.insert(item.to_vec())));
        }
        assert_eq!(scanned, model);
        let count = rng.usize(..model.len() + 2);
        let mut chosen = BTreeSet::new();
        set.sample_many(count, &mut rng, |item| assert!(chosen.insert(item.to_vec())));
        assert_eq!(chosen.len(), count.min(model.len()));
        assert!(chosen.is_subset(&model));
    }
    assert_eq!(encodings.len(), 3, "{encodings:?}");
}

/// Counts how often each member is chosen and compares with the fair share, by the chi-squared statistic.
#[test]
fn choices_are_fair() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.number());
    let hasher = hasher();
    for (prefix, count, limit) in [("", 50, 1000), ("m", 50, 1000), ("m", 50, 0), ("m", 50, 0)] {
        let limits = SetLimits {
            intset_entries: limit,
            listpack_entries: limit,
            listpack_value: 64,
            hasher: &hasher,
        };
        let mut set = Set::new();
        for i in 0..count {
            set.add(format!("{prefix}{i}").as_bytes(), &limits);
        }
        let mut singles = BTreeMap::<Vec<u8>, u32>::new();
        let mut tens = BTreeMap::<Vec<u8>, u32>::new();
        for _ in 0..10_000 {
            let one = set.sample(&mut rng).expect("not empty").to_vec();
            *singles.entry(one).or_default() += 1;
            set.sample_many(10, &mut rng, |item| *tens.entry(item.to_vec()).or_default() += 1);
        }
        for (counts, total) in [(singles, 10_000.0), (tens, 100_000.0)] {
            let fair = total / f64::from(count);
            let chi = counts.values().map(|n| (f64::from(*n) - fair).powi(2) / fair).sum::<f64>();
            // 49 degrees of freedom: beyond 110 comes once in a million runs.
            assert!(counts.len() == count as usize && chi < 110.0, "{}: {chi}", set.encoding());
        }
    }
}
