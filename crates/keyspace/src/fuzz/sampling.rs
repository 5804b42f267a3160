//! Sampling: every key has the same chance, also in the middle of a resize, and even the last of a long chain is
//! reached.

use std::collections::HashMap;

use super::Seed;
use super::model::name;
use crate::entry::NewValue;
use crate::hash::Key;
use crate::shard::{Shard, Ttl};
use respire_datatypes::hash::Hasher;

fn add(shard: &mut Shard, hasher: &Hasher, i: usize) {
    let bytes = name(i);
    let key = Key { bytes: &bytes, hash: hasher.hash(&bytes), shard: 0 };
    shard.set(0, &key, NewValue::Int(i as i64), Ttl::Clear, 0, 0);
}

fn drop_key(shard: &mut Shard, hasher: &Hasher, i: usize) {
    let bytes = name(i);
    let key = Key { bytes: &bytes, hash: hasher.hash(&bytes), shard: 0 };
    assert!(shard.remove(0, &key, 0));
}

fn draws(shard: &Shard, rng: &mut fastrand::Rng, count: usize) -> HashMap<Vec<u8>, u64> {
    let mut seen: HashMap<Vec<u8>, u64> = HashMap::new();
    for _ in 0..count {
        let entry = shard.db(0).sample(|| rng.u64(..)).expect("there are keys");
        *seen.entry(entry.key().to_vec()).or_default() += 1;
    }
    seen
}

/// Draws `each` times the number of keys. The sum of squared deviations over its expectation has the mean `keys - 1`
/// and the standard deviation `sqrt(2 * keys)`: six of those away happen once in 10^8 fair tests.
fn assert_fair(shard: &Shard, rng: &mut fastrand::Rng, each: usize) {
    let keys = shard.db(0).len();
    let seen = draws(shard, rng, keys * each);
    let expected = each as f64;
    let unseen = (keys - seen.len()) as f64 * expected;
    let chi: f64 =
        seen.values().map(|n| (*n as f64 - expected).powi(2) / expected).sum::<f64>() + unseen;
    let bound = keys as f64 + 6.0 * (2.0 * keys as f64).sqrt();
    assert!(chi < bound, "{keys} keys, {:?}: {chi} over {bound}", shard.db(0).stats().0);
}

/// Stops in the middle of resizes in both directions, where half of the table is in one array and half in the other.
#[test]
fn every_key_has_the_same_chance() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let hasher = Hasher::new(std::array::from_fn(|_| rng.u64(..)));
    let mut shard = Shard::new(1, &hasher);
    let (mut growing, mut shrinking) = (0, 0);
    let size = 3000.min(super::steps() / 4);
    for i in 0..size {
        add(&mut shard, &hasher, i);
        if matches!(i, 0 | 6 | 9 | 60 | 450 | 700 | 1700 | 2999) {
            growing += usize::from(shard.db(0).is_resizing());
            assert_fair(&shard, &mut rng, 30);
        }
    }
    for i in 0..size - 3 {
        drop_key(&mut shard, &hasher, i);
        let left = size - i - 1;
        if shard.db(0).is_resizing() && rng.u32(..left as u32 / 8 + 1) == 0 || left == 3 {
            shrinking += usize::from(shard.db(0).is_resizing());
            assert_fair(&shard, &mut rng, 30);
        }
    }
    assert!(size < 3000 || growing > 0 && shrinking > 0, "no resize was met");
}

/// Chains longer than the usual range of positions: no longer fair, but every key is reached.
#[test]
fn every_key_of_a_long_chain_is_reached() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let hasher = Hasher::crowding([1, 2, 3, 4], 0x8000_0000_0000_ffff);
    let mut shard = Shard::new(1, &hasher);
    for i in 0..100 {
        add(&mut shard, &hasher, i);
    }
    assert_eq!(draws(&shard, &mut rng, 20_000).len(), 100);
}
