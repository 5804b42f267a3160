//! The journal itself: where the threads' effects come together in one order, and each reader's part of it.
//!
//! Lock order: the lock inside is taken under shards, and nothing is locked under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::effects::{Effects, request};

/// What one reader has yet to take.
#[derive(Debug)]
struct Stream {
    bytes: Vec<u8>,
    /// The database that the stream has selected; `None` if it is not known to whoever reads on from here.
    db: Option<usize>,
    /// Where timestamps are asked for: the second of the last one.
    stamped: Option<i64>,
}

#[derive(Debug)]
struct Shared {
    stream: Mutex<Stream>,
    /// Bytes appended since the reader exists.
    end: AtomicU64,
}

/// The journal of one engine.
#[derive(Debug, Default)]
pub struct Journal {
    on: AtomicBool,
    readers: Mutex<Vec<Arc<Shared>>>,
}

impl Journal {
    /// Whether anybody reads. Changes only while all shards are held for writing.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Adds a reader, who gets everything from here on. All shards must be held for writing.
    pub fn subscribe(&self) -> Reader {
        let stream = Stream { bytes: Vec::new(), db: None, stamped: None };
        let shared = Arc::new(Shared { stream: Mutex::new(stream), end: AtomicU64::new(0) });
        self.readers.lock().push(Arc::clone(&shared));
        self.on.store(true, Ordering::Relaxed);
        Reader { shared }
    }

    /// Takes a reader away. All shards must be held for writing.
    pub fn unsubscribe(&self, reader: &Reader) {
        let mut readers = self.readers.lock();
        readers.retain(|shared| !Arc::ptr_eq(shared, &reader.shared));
        self.on.store(!readers.is_empty(), Ordering::Relaxed);
    }

    /// Appends the effects of a thread, and empties them. The shards that they changed must still be held. `now_s` is
    /// Unix time, for readers that want to know it.
    pub fn append(&self, effects: &mut Effects, now_s: i64) {
        effects.end_unit();
        // Held over all readers: their streams have the same order.
        for shared in self.readers.lock().iter() {
            let mut stream = shared.stream.lock();
            let before = stream.bytes.len();
            stream.append(effects, now_s);
            let added = stream.bytes.len() - before;
            shared.end.fetch_add(added as u64, Ordering::Release);
        }
        effects.clear();
    }
}

impl Stream {
    fn append(&mut self, effects: &Effects, now_s: i64) {
        if let Some(stamped) = &mut self.stamped
            && *stamped != now_s
        {
            *stamped = now_s;
            self.bytes.extend_from_slice(format!("#TS:{now_s}\r\n").as_bytes());
        }
        let mut inside = false;
        for (db, bytes, last) in effects.records() {
            if self.db != Some(db) {
                // Selecting is not part of the change, but must not come between its parts.
                let mut number = itoa::Buffer::new();
                let parts = [b"SELECT", number.format(db).as_bytes()];
                request(&mut self.bytes, parts.into_iter());
                self.db = Some(db);
            }
            if !last && !inside {
                request(&mut self.bytes, [b"MULTI".as_slice()].into_iter());
                inside = true;
            }
            self.bytes.extend_from_slice(bytes);
            if last && inside {
                request(&mut self.bytes, [b"EXEC".as_slice()].into_iter());
                inside = false;
            }
        }
    }
}

/// One reader's end of the journal.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    /// The number of bytes that have been appended since the reader exists.
    #[inline]
    pub fn end(&self) -> u64 {
        self.shared.end.load(Ordering::Acquire)
    }

    /// Exchanges what has been appended since the last call for an empty `into`. Returns the position behind it.
    pub fn take(&self, into: &mut Vec<u8>) -> u64 {
        debug_assert!(into.is_empty());
        let mut stream = self.shared.stream.lock();
        std::mem::swap(&mut stream.bytes, into);
        self.shared.end.load(Ordering::Acquire)
    }

    /// What is appended from here on can be read without what came before: it begins with the database it is about. All
    /// shards must be held. Returns the position.
    pub fn cut(&self) -> u64 {
        let mut stream = self.shared.stream.lock();
        stream.db = None;
        stream.stamped = stream.stamped.map(|_| i64::MIN);
        self.shared.end.load(Ordering::Acquire)
    }

    /// Whether the second is noted, as a comment, wherever it changes.
    pub fn stamp(&self, on: bool) {
        self.shared.stream.lock().stamped = on.then_some(i64::MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(effects: &mut Effects, db: usize, text: &str) {
        let parts: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        effects.add(db, parts.into_iter());
    }

    fn text(reader: &Reader) -> String {
        let mut bytes = Vec::new();
        let end = reader.take(&mut bytes);
        assert_eq!(end, reader.end());
        let text = String::from_utf8(bytes).unwrap();
        let words = text.split("\r\n").filter(|line| !line.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    }

    #[test]
    fn a_unit_of_several_requests_is_a_transaction() {
        let journal = Journal::default();
        assert!(!journal.is_on());
        let reader = journal.subscribe();
        assert!(journal.is_on());
        let mut effects = Effects::default();
        add(&mut effects, 3, "SET a 1");
        effects.end_unit();
        add(&mut effects, 3, "DEL b");
        add(&mut effects, 3, "DEL c");
        effects.end_unit();
        add(&mut effects, 3, "DEL d");
        journal.append(&mut effects, 0);
        assert!(effects.is_empty());
        assert_eq!(text(&reader), "SELECT 3 SET a 1 MULTI DEL b DEL c EXEC DEL d");
    }

    #[test]
    fn the_database_is_selected_where_it_changes_and_after_a_cut() {
        let journal = Journal::default();
        let (reader, other) = (journal.subscribe(), journal.subscribe());
        let mut effects = Effects::default();
        for (db, request) in [(0, "DEL a"), (0, "DEL b"), (9, "DEL c")] {
            add(&mut effects, db, request);
            journal.append(&mut effects, 0);
        }
        let at = reader.cut();
        assert_eq!(at, reader.end());
        add(&mut effects, 9, "DEL d");
        journal.append(&mut effects, 0);
        assert_eq!(text(&reader), "SELECT 0 DEL a DEL b SELECT 9 DEL c SELECT 9 DEL d");
        journal.unsubscribe(&reader);
        add(&mut effects, 9, "DEL e");
        journal.append(&mut effects, 0);
        assert_eq!(text(&reader), "");
        assert_eq!(text(&other), "SELECT 0 DEL a DEL b SELECT 9 DEL c DEL d DEL e");
        journal.unsubscribe(&other);
        assert!(!journal.is_on());
    }

    #[test]
    fn seconds_are_noted_where_that_is_asked_for() {
        let journal = Journal::default();
        let reader = journal.subscribe();
        reader.stamp(true);
        let mut effects = Effects::default();
        for now in [5, 5, 6] {
            add(&mut effects, 0, "DEL a");
            journal.append(&mut effects, now);
        }
        assert_eq!(text(&reader), "#TS:5 SELECT 0 DEL a DEL a #TS:6 DEL a");
        let mut bytes = Vec::new();
        add(&mut effects, 0, "DEL");
        journal.append(&mut effects, 7);
        reader.take(&mut bytes);
        assert_eq!(bytes, b"#TS:7\r\n*1\r\n$3\r\nDEL\r\n");
    }
}
