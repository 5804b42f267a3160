//! The checksum of files and dumps: CRC-64 with the polynomial of Jones, reflected, starting from zero.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of the bytes so far.
#[derive(Debug, Clone)]
pub struct Checksum(Digest);

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

impl Checksum {
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Redis))
    }

    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn value(&self) -> u64 {
        self.0.finalize()
    }

    /// The checksum of some bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        crc_fast::checksum(CrcAlgorithm::Crc64Redis, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_have_the_known_checksum() {
        assert_eq!(Checksum::of(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(Checksum::new().value(), 0);
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        let bytes: Vec<u8> = (0..5000_u32).map(|i| ((i * i) >> 3) as u8).collect();
        for size in [1, 7, 64, 1000, 4999] {
            let mut checksum = Checksum::new();
            bytes.chunks(size).for_each(|piece| checksum.update(piece));
            assert_eq!(checksum.value(), Checksum::of(&bytes), "{size}");
        }
    }
}
