//! The seed of a random test: printed if the test fails, taken from `RESPIRE_SEED` to replay it.

/// Prints its number when the test that it was made in fails.
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new() -> Self {
        let given = std::env::var("RESPIRE_SEED").ok();
        Self(given.map_or_else(
            || fastrand::u64(..),
            |text| text.parse().unwrap_or_else(|_| panic!("RESPIRE_SEED is no number: {text}")),
        ))
    }

    pub(crate) fn number(&self) -> u64 {
        self.0
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with RESPIRE_SEED={}", self.0);
        }
    }
}
