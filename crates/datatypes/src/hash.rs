//! The keyed hash that places keys in tables: it has a secret, so that chosen keys cannot crowd one bucket.

use std::hash::{BuildHasher, Hasher as _};

/// The keyed hash of one keyspace and its collections.
#[derive(Debug, Clone)]
pub struct Hasher {
    state: ahash::RandomState,
    /// Bits that a hash may have; tests clear some to crowd many keys into few buckets.
    #[cfg(feature = "crowding")]
    kept: u64,
}

impl Hasher {
    /// A hash keyed by `secret`.
    pub fn new(secret: [u64; 4]) -> Self {
        let [a, b, c, d] = secret;
        Self {
            state: ahash::RandomState::with_seeds(a, b, c, d),
            #[cfg(feature = "crowding")]
            kept: u64::MAX,
        }
    }

    /// A hash with only the bits of `kept`.
    #[cfg(feature = "crowding")]
    pub fn crowding(secret: [u64; 4], kept: u64) -> Self {
        Self { kept, ..Self::new(secret) }
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        #[cfg(feature = "crowding")]
        let hash = hash & self.kept;
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_matters() {
        let (a, b) = (Hasher::new([1, 2, 3, 4]), Hasher::new([5, 6, 7, 8]));
        assert_ne!(a.hash(b"key"), b.hash(b"key"));
        assert_eq!(a.hash(b"key"), a.clone().hash(b"key"));
    }
}
