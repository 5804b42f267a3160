//! Which key the next request names.
//!
//! Owns: the three distributions over `0..keyspace` and how such a number is written into a key.
//! Invariant: the same seed draws the same keys, and every key of a key space has the same length.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution as _, Zipf};
use std::ops::Range;

/// How often each key of the key space is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KeyDistribution {
    /// Every key equally often.
    Uniform,
    /// Key number `k` (from 0) in proportion to `1 / (k + 1)^theta`; 0.99 is what YCSB draws. The hot keys are
    /// the low numbers: a server hashes its keys, so that spreading them here would change nothing.
    Zipfian { theta: f64 },
    /// Each thread walks its own part of the key space in order, again and again.
    Sequential,
}

/// Draws key numbers; one per thread.
#[derive(Debug)]
pub(crate) struct KeySource {
    rng: SmallRng,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Uniform { keyspace: u64 },
    Zipfian(Zipf<f64>),
    Sequential { part: Range<u64>, next: u64 },
}

impl KeySource {
    /// `part` is this thread's share of `0..keyspace`, walked by [`KeyDistribution::Sequential`].
    pub(crate) fn new(
        distribution: KeyDistribution,
        keyspace: u64,
        part: Range<u64>,
        seed: u64,
    ) -> Result<KeySource, String> {
        let kind = match distribution {
            KeyDistribution::Uniform => Kind::Uniform { keyspace },
            KeyDistribution::Zipfian { theta } => Kind::Zipfian(
                Zipf::new(keyspace as f64, theta)
                    .map_err(|error| format!("no Zipfian keys with theta {theta}: {error}"))?,
            ),
            KeyDistribution::Sequential => Kind::Sequential { next: part.start, part },
        };
        Ok(KeySource { rng: SmallRng::seed_from_u64(seed), kind })
    }

    #[inline]
    pub(crate) fn draw(&mut self) -> u64 {
        match &mut self.kind {
            Kind::Uniform { keyspace } => {
                ((u128::from(self.rng.next_u64()) * u128::from(*keyspace)) >> 64) as u64
            }
            Kind::Zipfian(zipf) => zipf.sample(&mut self.rng) as u64 - 1,
            Kind::Sequential { part, next } => {
                let key = *next;
                *next = if key + 1 < part.end { key + 1 } else { part.start };
                key
            }
        }
    }

    /// A number below `bound`, from the same seed.
    #[inline]
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.rng.next_u32()) * u64::from(bound)) >> 32) as u32
    }
}

/// How a key number becomes a key: a prefix, then the number with zeros in front.
#[derive(Debug, Clone)]
pub(crate) struct KeyShape {
    /// The key of number 0.
    pub(crate) zero: Vec<u8>,
    /// How many of the last bytes differ between keys.
    pub(crate) digits: usize,
}

impl KeyShape {
    pub(crate) fn new(prefix: &str, size: usize, keyspace: u64) -> Result<KeyShape, String> {
        let digits = keyspace.saturating_sub(1).max(1).ilog10() as usize + 1;
        if size < digits {
            return Err(format!("keys of {size} bytes cannot name {keyspace} keys"));
        }
        let prefix = &prefix.as_bytes()[..prefix.len().min(size - digits)];
        let mut zero = prefix.to_vec();
        zero.resize(size, b'0');
        Ok(KeyShape { zero, digits })
    }
}

static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

/// Fills all of `out` with the decimal digits of `value`, zeros in front.
#[inline]
pub(crate) fn write_digits(out: &mut [u8], mut value: u64) {
    let mut end = out.len();
    while end >= 2 {
        out[end - 2..end].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
        end -= 2;
    }
    if end == 1 {
        out[0] = b'0' + (value % 10) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(distribution: KeyDistribution, keyspace: u64, count: usize) -> Vec<u64> {
        let mut source = KeySource::new(distribution, keyspace, 0..keyspace, 1).unwrap();
        (0..count).map(|_| source.draw()).collect()
    }

    #[test]
    fn every_distribution_stays_inside_the_key_space() {
        for distribution in [
            KeyDistribution::Uniform,
            KeyDistribution::Zipfian { theta: 0.99 },
            KeyDistribution::Zipfian { theta: 1.0 },
            KeyDistribution::Sequential,
        ] {
            for keyspace in [1, 2, 10, 1_000] {
                let keys = draw(distribution, keyspace, 5_000);
                assert!(keys.iter().all(|&key| key < keyspace), "{distribution:?} {keyspace}");
                assert_eq!(keys, draw(distribution, keyspace, 5_000));
            }
        }
    }

    #[test]
    fn uniform_is_even_and_zipfian_is_not() {
        let count = |keys: &[u64], key| keys.iter().filter(|&&drawn| drawn == key).count();
        let uniform = draw(KeyDistribution::Uniform, 10, 100_000);
        for key in 0..10 {
            assert!((9_000..11_000).contains(&count(&uniform, key)), "key {key}");
        }
        let zipfian = draw(KeyDistribution::Zipfian { theta: 1.0 }, 10, 100_000);
        // The harmonic number of 10 is 2.929: key 0 gets 34.1 %, key 9 3.4 %.
        assert!((33_000..35_500).contains(&count(&zipfian, 0)));
        assert!((3_000..3_900).contains(&count(&zipfian, 9)));
    }

    #[test]
    fn sequential_walks_its_part_again_and_again() {
        let mut source = KeySource::new(KeyDistribution::Sequential, 100, 3..6, 1).unwrap();
        let keys: Vec<u64> = (0..7).map(|_| source.draw()).collect();
        assert_eq!(keys, [3, 4, 5, 3, 4, 5, 3]);
    }

    #[test]
    fn keys_have_their_size_and_are_refused_when_too_short() {
        let shape = KeyShape::new("key:", 16, 1_000_000).unwrap();
        assert_eq!((&shape.zero[..], shape.digits), (&b"key:000000000000"[..], 6));
        assert_eq!(KeyShape::new("key:", 4, 1_000).unwrap().zero, b"k000");
        assert_eq!(KeyShape::new("key:", 1, 1).unwrap().zero, b"0");
        assert_eq!(KeyShape::new("key:", 2, 11).unwrap().digits, 2);
        assert!(KeyShape::new("key:", 1, 11).is_err());
    }

    #[test]
    fn digits_are_written_like_format_does() {
        for value in [0u64, 7, 10, 99, 100, 12_345, 999_999] {
            for width in 6..10 {
                let mut out = vec![b'x'; width];
                write_digits(&mut out, value);
                assert_eq!(String::from_utf8(out).unwrap(), format!("{value:0width$}"));
            }
        }
    }
}
