//! Snapshots in between: what one saves is what was there when it began, each entry once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::model::{DATABASES, Run};
use crate::entry::EntryRef;
use crate::snapshot::{Keeper, Pinned, Unsaved};

type Saved = HashMap<(usize, Vec<u8>), (Vec<u8>, Option<i64>)>;

#[derive(Default)]
struct Kept {
    saved: Mutex<Saved>,
    rest: Mutex<Vec<Unsaved>>,
}

impl Kept {
    fn save(&self, db: usize, entry: EntryRef<'_>) {
        let text = entry.string().expect("a string").with_bytes(<[u8]>::to_vec);
        let before =
            self.saved.lock().unwrap().insert((db, entry.key().to_vec()), (text, entry.expire()));
        assert!(before.is_none(), "{:?} of database {db} was saved twice", entry.key());
    }
}

impl Keeper for Kept {
    fn keep(&self, db: usize, entry: EntryRef<'_>) {
        self.save(db, entry);
    }

    fn take(&self, pinned: Pinned) {
        panic!("{:?} is no large collection", pinned.key);
    }

    fn adopt(&self, rest: Unsaved) {
        self.rest.lock().unwrap().push(rest);
    }
}

/// A snapshot under way.
pub(super) struct Snapshot {
    wanted: Saved,
    kept: Arc<Kept>,
    /// The latest time since it began: what has expired by then may be missing.
    pub latest: i64,
}

impl Run {
    /// Begins a snapshot, or goes on with the one under way.
    pub fn save_some(&mut self) {
        let Some(snapshot) = &self.snapshot else { return self.begin_snapshot() };
        let kept = Arc::clone(&snapshot.kept);
        let entries = self.rng.usize(1..(self.keys / 4).min(500) + 2);
        if !self.shard.save_step(entries, |db, entry| kept.save(db, entry)).more {
            self.end_snapshot();
        }
    }

    fn begin_snapshot(&mut self) {
        let kept = Arc::new(Kept::default());
        let keeper: Arc<dyn Keeper> = Arc::clone(&kept) as _;
        self.shard.begin_snapshot(&keeper);
        let wanted = (0..DATABASES).flat_map(|db| {
            let all = self.want[db].iter();
            all.map(move |(key, want)| ((db, key.clone()), (want.text.clone(), want.expire)))
        });
        self.snapshot = Some(Snapshot { wanted: wanted.collect(), kept, latest: self.now });
    }

    pub fn end_snapshot(&mut self) {
        let Some(Snapshot { mut wanted, kept, latest }) = self.snapshot.take() else { return };
        for rest in kept.rest.lock().unwrap().drain(..) {
            drop(rest.save(|db, entry| kept.save(db, entry)));
        }
        for (key, (text, expire)) in kept.saved.lock().unwrap().drain() {
            let want = wanted.remove(&key).unwrap_or_else(|| panic!("{key:?} was not there"));
            assert!(want == (text, expire), "{key:?} was saved as it was at another time");
        }
        for (key, (_, expire)) in wanted {
            assert!(expire.is_some_and(|at| at <= latest), "{key:?} was not saved");
        }
    }
}
