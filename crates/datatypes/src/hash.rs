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

/// Whether two byte strings are the same: for keys, most of which have the length of a word or a few.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let word = |text: &[u8], at: usize| {
        u64::from_le_bytes(text[at..at + 8].try_into().expect("eight bytes"))
    };
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        // The words overlap.
        len @ 8..=16 => (word(a, 0) ^ word(b, 0)) | (word(a, len - 8) ^ word(b, len - 8)) == 0,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_the_same_only_if_all_bytes_are() {
        for len in 0..40 {
            let text: Vec<u8> = (0..len).collect();
            assert!(same(&text, &text.clone()));
            assert!(!same(&text, &[&text[..], b"x"].concat()));
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 1;
                assert!(!same(&text, &other), "{len} bytes, {at}");
            }
        }
    }

    #[test]
    fn the_secret_matters() {
        let (a, b) = (Hasher::new([1, 2, 3, 4]), Hasher::new([5, 6, 7, 8]));
        assert_ne!(a.hash(b"key"), b.hash(b"key"));
        assert_eq!(a.hash(b"key"), a.clone().hash(b"key"));
    }
}
