//! Stub until the configuration lands.
mod settings;
use arc_swap::ArcSwap;
pub use settings::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub struct Config {
    current: ArcSwap<Settings>,
    version: AtomicU64,
}
impl Config {
    pub fn new(s: Settings) -> Self {
        Self { current: ArcSwap::from_pointee(s), version: AtomicU64::new(0) }
    }
    pub fn load(&self) -> Arc<Settings> {
        self.current.load_full()
    }
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }
}
