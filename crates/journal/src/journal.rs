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
    /// Bytes appended since the reader exists. Changed under the lock alone.
    end: Arc<AtomicU64>,
    /// Nothing is appended any more.
    is_over: bool,
}

/// The readers' streams, by the readers' numbers. One lock for all: they have the same order.
#[derive(Debug, Default)]
struct Streams {
    streams: Vec<(u64, Stream)>,
    next: u64,
}

impl Streams {
    fn of(&mut self, reader: u64) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|(number, _)| *number == reader).map(|(_, stream)| stream)
    }
}

/// The journal of one engine.
#[derive(Debug, Default)]
pub struct Journal {
    on: AtomicBool,
    shared: Arc<Mutex<Streams>>,
}

impl Journal {
    /// Whether anybody reads. Changes only while all shards are held for writing.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Adds a reader, who gets everything from here on. All shards must be held for writing.
    pub fn subscribe(&self) -> Reader {
        let mut shared = self.shared.lock();
        let (number, end) = (shared.next, Arc::new(AtomicU64::new(0)));
        let stream = Stream {
            bytes: Vec::new(),
            db: None,
            stamped: None,
            end: Arc::clone(&end),
            is_over: false,
        };
        shared.next += 1;
        shared.streams.push((number, stream));
        self.on.store(true, Ordering::Relaxed);
        Reader { shared: Arc::clone(&self.shared), number, end }
    }

    /// Takes a reader away, who can still take what was appended until now. All shards must be held for writing.
    pub fn unsubscribe(&self, reader: &Reader) {
        let mut shared = self.shared.lock();
        if let Some(stream) = shared.of(reader.number) {
            stream.is_over = true;
        }
        let is_read = shared.streams.iter().any(|(_, stream)| !stream.is_over);
        self.on.store(is_read, Ordering::Relaxed);
    }

    /// Appends the effects of a thread, and empties them. The shards that they changed must still be held. `now_s` is
    /// Unix time, for readers that want to know it.
    pub fn append(&self, effects: &mut Effects, now_s: i64) {
        effects.end_unit();
        let mut shared = self.shared.lock();
        for (_, stream) in shared.streams.iter_mut().filter(|(_, stream)| !stream.is_over) {
            let before = stream.bytes.len();
            stream.append(effects, now_s);
            let added = (stream.bytes.len() - before) as u64;
            stream.end.store(stream.end.load(Ordering::Relaxed) + added, Ordering::Release);
        }
        drop(shared);
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
    shared: Arc<Mutex<Streams>>,
    number: u64,
    end: Arc<AtomicU64>,
}

impl Reader {
    /// The number of bytes that have been appended since the reader exists.
    #[inline]
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Exchanges what has been appended since the last call for an empty `into`. Returns the position behind it.
    pub fn take(&self, into: &mut Vec<u8>) -> u64 {
        debug_assert!(into.is_empty());
        self.with(|stream| std::mem::swap(&mut stream.bytes, into))
    }

    /// What is appended from here on can be read without what came before: it begins with the database it is about. All
    /// shards must be held. Returns the position.
    pub fn cut(&self) -> u64 {
        self.with(|stream| {
            stream.db = None;
            stream.stamped = stream.stamped.map(|_| i64::MIN);
        })
    }

    /// Whether the second is noted, as a comment, wherever it changes.
    pub fn stamp(&self, on: bool) {
        self.with(|stream| stream.stamped = on.then_some(i64::MIN));
    }

    /// Works on the reader's stream. Returns the position behind it.
    fn with(&self, f: impl FnOnce(&mut Stream)) -> u64 {
        let mut shared = self.shared.lock();
        if let Some(stream) = shared.of(self.number) {
            f(stream);
        }
        self.end()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.lock().streams.retain(|(number, _)| *number != self.number);
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
