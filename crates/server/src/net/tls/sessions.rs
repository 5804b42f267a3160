//! The sessions that clients may resume: rustls's bounded cache, and an age beyond which they are forgotten.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// Each value is preceded by when it ends, eight bytes of Unix seconds.
#[derive(Debug)]
pub(super) struct Sessions {
    cache: std::sync::Arc<ServerSessionMemoryCache>,
    lifetime: Duration,
}

impl Sessions {
    pub(super) fn new(size: usize, lifetime: Duration) -> Self {
        Self { cache: ServerSessionMemoryCache::new(size), lifetime }
    }

    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// The value, unless it has ended.
fn live(value: Vec<u8>, now: u64) -> Option<Vec<u8>> {
    let (end, value) = value.split_first_chunk::<8>()?;
    (now < u64::from_be_bytes(*end)).then(|| value.to_vec())
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let end = Self::now().saturating_add(self.lifetime.as_secs());
        self.cache.put(key, [&end.to_be_bytes()[..], &value].concat())
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        live(self.cache.get(key)?, Self::now())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        live(self.cache.take(key)?, Self::now())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_when_their_time_is_over() {
        let sessions = Sessions::new(10, Duration::from_secs(300));
        assert!(sessions.put(vec![1], vec![7, 8]));
        assert_eq!(sessions.get(&[1]), Some(vec![7, 8]));
        assert_eq!(sessions.take(&[1]), Some(vec![7, 8]));
        assert_eq!(sessions.take(&[1]), None);
        let sessions = Sessions::new(10, Duration::ZERO);
        assert!(sessions.put(vec![1], vec![7, 8]));
        assert_eq!(sessions.get(&[1]), None);
    }
}
