//! Random histories of one shard against plain maps: tables of every size, crowded and ordinary ones, growing and
//! shrinking, with expiry, walks, samples, watches and shared values in between. After every step the shard has to say
//! what the model says.
//!
//! `RESPIRE_SEED` replays a failure (its number is printed), `RESPIRE_STEPS` sets the steps of each history. The same
//! tests run under valgrind: `cargo xtask test memcheck`.

mod model;
mod sampling;
mod snapshot;
mod steps;

use model::Run;

use respire_datatypes::hash::Hasher;

/// Steps of a history unless `RESPIRE_STEPS` says otherwise.
const STEPS: usize = 100_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn steps() -> usize {
    number("RESPIRE_STEPS").map_or(STEPS, |n| n as usize)
}

/// Prints the seed if the test that it was made in fails.
struct Seed(u64);

impl Seed {
    fn new() -> Self {
        Self(number("RESPIRE_SEED").unwrap_or_else(|| fastrand::u64(..)))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with RESPIRE_SEED={} RESPIRE_STEPS={}", self.0, steps());
        }
    }
}

/// One history over `keys` different keys per database, whose hashes have only the bits of `kept`.
fn history(keys: usize, kept: u64) {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let hasher = Hasher::crowding(std::array::from_fn(|_| rng.u64(..)), kept);
    let mut run = Run::new(hasher, keys, rng);
    for _ in 0..steps() {
        run.step();
    }
    run.finish();
}

#[test]
fn one_key() {
    history(1, u64::MAX);
}

#[test]
fn few_keys() {
    history(5, u64::MAX);
}

#[test]
fn hundreds_of_keys() {
    history(300, u64::MAX);
}

#[test]
fn thousands_of_keys() {
    history(8000, u64::MAX);
}

/// Four different places in the whole hash range, with different tags: long chains.
#[test]
fn keys_of_few_buckets() {
    history(300, 0xc000_0000_0000_ffff);
}

/// Every key has the same place and the same tag.
#[test]
fn keys_of_one_hash() {
    history(100, 0);
}

/// A table too large for the allocator: its array is mapped and given back in parts.
#[test]
fn two_hundred_thousand_keys() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.0);
    let hasher = Hasher::new(std::array::from_fn(|_| rng.u64(..)));
    let keys = steps().min(200_000);
    let mut run = Run::new(hasher, keys, rng);
    run.fill_and_empty(keys);
    run.finish();
}
