//! The two hashes of a key: 32-bit FNV-1a picks the shard, a keyed 64-bit hash the place inside it. FNV-1a is fixed and
//! known to everyone; the second, the datatypes' keyed hash, has a secret, so that chosen keys cannot crowd one bucket.

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
    // Cut to what they are already, which spares a check for each byte.
    let keys = keys.map(|key| &key[..len]);
    let mut hashes = [0x811c_9dc5_u32; LANES];
    #[allow(clippy::needless_range_loop)] // it is an index into all of them
    for i in 0..len {
        for lane in 0..LANES {
            hashes[lane] = (hashes[lane] ^ u32::from(keys[lane][i])).wrapping_mul(0x0100_0193);
        }
    }
    hashes
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
}
