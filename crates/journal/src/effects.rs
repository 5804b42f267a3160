//! The effects that one thread has yet to append: requests that make the same change again, whenever they are executed.
//!
//! Effects come in units. A unit is what nobody may see half of: one command with all that it did, or one transaction.

/// Appends a request in RESP.
#[inline]
pub fn request<'a>(out: &mut Vec<u8>, parts: impl ExactSizeIterator<Item = &'a [u8]>) {
    let mut number = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(number.format(parts.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for part in parts {
        out.push(b'$');
        out.extend_from_slice(number.format(part.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// One request of a unit.
#[derive(Debug, Clone, Copy)]
struct Record {
    db: u32,
    /// Where it ends in the bytes of all.
    end: usize,
    /// It is the last of its unit.
    last: bool,
}

/// Effects that have not been appended yet.
#[derive(Debug, Default)]
pub struct Effects {
    bytes: Vec<u8>,
    records: Vec<Record>,
    /// What the command at hand has said about its effect.
    told: bool,
}

/// More room than this is not kept for the next unit.
const KEPT: usize = 1 << 20;

impl Effects {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A command begins. Until it says otherwise, its effect is what was asked for, word by word.
    #[inline]
    pub fn begin(&mut self) {
        self.told = false;
    }

    /// Whether the command at hand has said what its effect is.
    #[inline]
    pub fn told(&self) -> bool {
        self.told
    }

    /// The command at hand has no effect but those that it names.
    #[inline]
    pub fn tell(&mut self) {
        self.told = true;
    }

    /// Adds a request to the unit at hand.
    #[inline]
    pub fn add<'a>(&mut self, db: usize, parts: impl ExactSizeIterator<Item = &'a [u8]>) {
        request(&mut self.bytes, parts);
        self.records.push(Record { db: db as u32, end: self.bytes.len(), last: false });
    }

    /// Adds a request of so many parts to the unit at hand, each written already with its length in front of it.
    #[inline]
    pub fn add_written(&mut self, db: usize, parts: usize, written: &[u8]) {
        self.bytes.reserve(written.len() + 16);
        match u8::try_from(parts) {
            Ok(parts @ ..10) => self.bytes.extend_from_slice(&[b'*', b'0' + parts, b'\r', b'\n']),
            _ => {
                self.bytes.push(b'*');
                self.bytes.extend_from_slice(itoa::Buffer::new().format(parts).as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
        self.bytes.extend_from_slice(written);
        self.records.push(Record { db: db as u32, end: self.bytes.len(), last: false });
    }

    /// Ends the unit at hand.
    #[inline]
    pub fn end_unit(&mut self) {
        if let Some(last) = self.records.last_mut() {
            last.last = true;
        }
    }

    /// The requests, each with its database, and whether it ends its unit.
    pub(crate) fn records(&self) -> impl Iterator<Item = (usize, &[u8], bool)> {
        let mut start = 0;
        self.records.iter().map(move |record| {
            let bytes = &self.bytes[std::mem::replace(&mut start, record.end)..record.end];
            (record.db as usize, bytes, record.last)
        })
    }

    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.records.shrink_to(KEPT / size_of::<Record>());
    }
}
