//! The two hashes of a key: 32-bit FNV-1a picks the shard, a keyed 64-bit hash the place inside it. FNV-1a is fixed and
//! known to everyone; the second, the datatypes' keyed hash, has a secret, so that chosen keys cannot crowd one bucket.
//!
//! `unsafe` is here because what only some processors can do must not be called on others.

const OFFSET: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// The 32-bit FNV-1a hash.
#[inline]
pub fn fnv1a(bytes: &[u8]) -> u32 {
    go_on(OFFSET, bytes)
}

/// The hash of what comes before, continued with `bytes`.
#[inline]
fn go_on(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(PRIME))
}

/// How many keys are hashed side by side.
pub(crate) const LANES: usize = 8;
/// Bytes of each key that are taken at a time.
const STEP: usize = 8;

/// [`fnv1a`] of several keys. The hash of one is a chain in which each multiplication waits for the one before; as far as
/// all keys have bytes, their chains run side by side.
#[inline]
pub(crate) fn fnv1a_lanes(keys: [&[u8]; LANES]) -> [u32; LANES] {
    let common = keys.iter().fold(usize::MAX, |least, key| least.min(key.len())) / STEP * STEP;
    let begun = begin(&keys, common);
    std::array::from_fn(|lane| go_on(begun[lane], &keys[lane][common..]))
}

/// The hashes of the first `len` bytes of each key; each has as many, and they are whole steps.
#[inline]
fn begin(keys: &[&[u8]; LANES], len: usize) -> [u32; LANES] {
    #[cfg(target_arch = "x86_64")]
    if len > 0 && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what it needs.
        return unsafe { begin_in_vectors(keys, len) };
    }
    begin_in_turn(keys, len)
}

/// A byte of each key in turn: while the multiplication of one waits, those of the others go on.
fn begin_in_turn(keys: &[&[u8]; LANES], len: usize) -> [u32; LANES] {
    // Cut to what is taken, which spares a check for each byte.
    let keys = keys.map(|key| &key[..len]);
    let mut hashes = [OFFSET; LANES];
    for i in 0..len {
        for (hash, key) in hashes.iter_mut().zip(&keys) {
            *hash = (*hash ^ u32::from(key[i])).wrapping_mul(PRIME);
        }
    }
    hashes
}

/// As [`begin_in_turn`], with all keys in one register: their bytes, eight of each key, are turned from rows into columns.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn begin_in_vectors(keys: &[&[u8]; LANES], len: usize) -> [u32; LANES] {
    use std::arch::x86_64::{
        __m256i, _mm_cvtsi64_si128, _mm_unpackhi_epi16, _mm_unpackhi_epi32, _mm_unpackhi_epi64,
        _mm_unpacklo_epi8, _mm_unpacklo_epi16, _mm_unpacklo_epi32, _mm256_cvtepu8_epi32,
        _mm256_mullo_epi32, _mm256_set1_epi32, _mm256_xor_si256,
    };
    let (mut hashes, prime) = (_mm256_set1_epi32(OFFSET as i32), _mm256_set1_epi32(PRIME as i32));
    for at in (0..len).step_by(STEP) {
        let row = |lane: usize| {
            let bytes = keys[lane][at..at + STEP].try_into().expect("as many as a step has");
            _mm_cvtsi64_si128(i64::from_le_bytes(bytes))
        };
        let pairs: [_; LANES / 2] =
            std::array::from_fn(|i| _mm_unpacklo_epi8(row(2 * i), row(2 * i + 1)));
        let fours = [
            [_mm_unpacklo_epi16(pairs[0], pairs[1]), _mm_unpacklo_epi16(pairs[2], pairs[3])],
            [_mm_unpackhi_epi16(pairs[0], pairs[1]), _mm_unpackhi_epi16(pairs[2], pairs[3])],
        ];
        for [first, second] in fours {
            for two in [_mm_unpacklo_epi32(first, second), _mm_unpackhi_epi32(first, second)] {
                for column in [two, _mm_unpackhi_epi64(two, two)] {
                    let mixed = _mm256_xor_si256(hashes, _mm256_cvtepu8_epi32(column));
                    hashes = _mm256_mullo_epi32(mixed, prime);
                }
            }
        }
    }
    // SAFETY: both are 32 bytes, of which any are valid.
    unsafe { std::mem::transmute::<__m256i, [u32; LANES]>(hashes) }
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
        let text: Vec<u8> = (0..200u8).map(|b| b.wrapping_mul(151) ^ 0x5a).collect();
        for common in 0..=40 {
            // Of different lengths, from different places.
            let keys = std::array::from_fn(|i| &text[i * 7..i * 7 + common + i * i % 13]);
            assert_eq!(fnv1a_lanes(keys), keys.map(fnv1a), "{common}");
            let len = common / STEP * STEP;
            let begun = keys.map(|key| fnv1a(&key[..len]));
            assert_eq!(begin(&keys, len), begun, "{common}");
            assert_eq!(begin_in_turn(&keys, len), begun, "{common}");
        }
    }
}
