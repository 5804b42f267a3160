//! The two hashes of a key: 32-bit FNV-1a picks the shard, a keyed 64-bit hash the place inside it. FNV-1a is fixed and
//! known to everyone; the second hash has a secret, so that chosen keys cannot crowd one bucket.

use std::hash::{BuildHasher, Hasher as _};

/// The 32-bit FNV-1a hash.
#[inline]
pub fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

/// How many keys are hashed side by side.
pub(crate) const LANES: usize = 4;

/// [`fnv1a`] of several keys. The hash of one is a chain in which each multiplication waits for the one before; chains
/// of keys of the same length, as they are in most batches, run side by side.
#[inline]
pub(crate) fn fnv1a_lanes(keys: [&[u8]; LANES]) -> [u32; LANES] {
    let len = keys[0].len();
    if keys.iter().any(|key| key.len() != len) {
        return keys.map(fnv1a);
    }
    let mut hashes = [0x811c_9dc5_u32; LANES];
    for i in 0..len {
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = (*hash ^ u32::from(key[i])).wrapping_mul(0x0100_0193);
        }
    }
    hashes
}

/// The keyed hash of one keyspace.
#[derive(Debug, Clone)]
pub struct Hasher {
    state: ahash::RandomState,
    /// Bits that a hash may have; tests clear some to crowd many keys into few buckets.
    #[cfg(test)]
    kept: u64,
}

impl Hasher {
    /// A hash keyed by `secret`.
    pub fn new(secret: [u64; 4]) -> Self {
        let [a, b, c, d] = secret;
        Self {
            state: ahash::RandomState::with_seeds(a, b, c, d),
            #[cfg(test)]
            kept: u64::MAX,
        }
    }

    /// A hash with only the bits of `kept`.
    #[cfg(test)]
    pub(crate) fn crowding(secret: [u64; 4], kept: u64) -> Self {
        Self { kept, ..Self::new(secret) }
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        #[cfg(test)]
        let hash = hash & self.kept;
        hash
    }
}

/// A key with its hashes.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
    /// The shard that the key is in.
    pub shard: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_has_the_published_values() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn lanes_agree_with_single_hashes() {
        for keys in [[&b"a"[..], b"b", b"", b"dd"], [b"abcd", b"efgh", b"\xff\0\x80x", b"    "]] {
            assert_eq!(fnv1a_lanes(keys), keys.map(fnv1a));
        }
    }

    #[test]
    fn the_secret_matters() {
        let (a, b) = (Hasher::new([1, 2, 3, 4]), Hasher::new([5, 6, 7, 8]));
        assert_ne!(a.hash(b"key"), b.hash(b"key"));
        assert_eq!(a.hash(b"key"), a.clone().hash(b"key"));
    }
}
