//! The random numbers of scripts: the 48-bit linear congruential generator of POSIX's `drand48` family, so that a script
//! gets the same numbers whenever and wherever it runs.

/// The generator. It starts as one that was never seeded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Random(u64);

/// Numbers are below this: 2^31 - 1.
const MOST: u64 = 0x7fff_ffff;

#[cfg(test)]
impl Default for Random {
    fn default() -> Self {
        Self(0x1234_abcd_330e)
    }
}

impl Random {
    pub(super) fn seeded(seed: i32) -> Self {
        Self(u64::from(seed as u32) << 16 | 0x330e)
    }

    /// The next number from 0 to 1, 1 excluded.
    pub(super) fn next(&mut self) -> f64 {
        self.0 = (self.0.wrapping_mul(0x5_deec_e66d) + 0xb) & 0xffff_ffff_ffff;
        ((self.0 >> 17) % MOST) as f64 / MOST as f64
    }
}

#[test]
fn the_numbers_are_those_of_redis() {
    let mut random = Random::default();
    let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-14, "{got}");
    near(random.next(), 0.39646477363839);
    near(random.next(), 0.84048536971234);
    near(Random::seeded(77).next(), 0.22260580315376);
    near(Random::seeded(-5).next(), 0.8168164928522);
    near(Random::seeded(10_000_000_000_i64 as i32).next(), 0.82671301757298);
}
