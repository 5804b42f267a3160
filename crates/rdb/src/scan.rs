//! Reads a file item by item: finds where each ends, and leaves values as they are, to be decoded by other threads.
//!
//! A [`Scanner`] fills a [`Batch`] of the caller with a piece of the file and the places of the items in it, so that
//! nothing is copied or allocated for each of them; an item that is larger than a piece makes the batch grow as its bytes
//! arrive. Invariant: the bytes of an item are never reserved before they were read, whatever lengths they claim.

use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::Range;

use crate::checksum::Checksum;
use crate::cursor::Cursor;
use crate::error::RdbError;
use crate::format::{Family, VERSION_CHECKSUM, opcode};
use crate::skip::{each, module_name, skip_module, skip_value};

/// Bytes of a batch, unless an item is larger.
const PIECE: usize = 256 * 1024;
/// "REDIS" and four digits, or "VALKEY" and three.
const HEADER: usize = 9;

/// A key with its value, the value as it is in the file.
#[derive(Debug, Clone, Copy)]
pub struct RawEntry<'a> {
    pub db: u64,
    /// A string in the encoding of the format: see [`RawEntry::key`].
    key: &'a [u8],
    /// Unix time in milliseconds.
    pub expire_ms: Option<i64>,
    /// Seconds since it was used.
    pub idle: Option<u64>,
    pub freq: Option<u8>,
    /// To be given to [`crate::decode`] with `payload`.
    pub kind: u8,
    pub payload: &'a [u8],
    /// Where in the file it starts, bytes.
    pub offset: u64,
}

impl<'a> RawEntry<'a> {
    pub fn key(&self) -> Result<Cow<'a, [u8]>, RdbError> {
        Cursor::new(self.key).bytes().map_err(|error| error.at(self.offset))
    }
}

/// What a file consists of.
#[derive(Debug, Clone)]
pub enum Item<'a> {
    Aux {
        name: Cow<'a, [u8]>,
        value: Cow<'a, [u8]>,
    },
    /// The entries that follow are of this database; they say so themselves.
    SelectDb(u64),
    /// How many keys the database has, and how many of them expire, to make room for them. Nobody has checked it.
    ResizeDb {
        keys: u64,
        expires: u64,
    },
    /// As [`Item::ResizeDb`], for a slot of a cluster.
    SlotInfo {
        slot: u64,
        keys: u64,
        expires: u64,
    },
    /// Slots that the server was importing when it wrote the file.
    SlotImport {
        job: Cow<'a, [u8]>,
    },
    /// The code of a library of functions.
    Function(Cow<'a, [u8]>),
    /// A library of functions as it was written before Redis 7.0 was released, which no server loads.
    FunctionPreGa {
        name: Cow<'a, [u8]>,
    },
    /// Something that a module keeps outside of keys; it was skipped.
    ModuleAux {
        module: String,
    },
    Entry(RawEntry<'a>),
    /// The end. The checksums stored and computed, if the file has one.
    Eof {
        checksum: Option<(u64, u64)>,
    },
}

/// Where the parts of an item are in the bytes of its batch.
#[derive(Debug, Clone)]
enum Place {
    Entry {
        db: u64,
        at: usize,
        key: Range<usize>,
        kind: u8,
        payload: Range<usize>,
        expire_ms: Option<i64>,
        idle: Option<u64>,
        freq: Option<u8>,
    },
    /// Anything else, to be read again when it is asked for.
    Other(Range<usize>),
    Eof(Option<(u64, u64)>),
}

/// A piece of a file, and its items.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// Where in the file `bytes` start.
    offset: u64,
    family: Option<Family>,
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whose kinds of values the entries have.
    pub fn family(&self) -> Family {
        self.family.unwrap_or(Family::Redis)
    }

    /// The items, in the order of the file.
    pub fn items(&self) -> impl Iterator<Item = Result<Item<'_>, RdbError>> {
        self.places.iter().map(|place| match place {
            Place::Entry { db, at, key, kind, payload, expire_ms, idle, freq } => {
                Ok(Item::Entry(RawEntry {
                    db: *db,
                    key: &self.bytes[key.clone()],
                    expire_ms: *expire_ms,
                    idle: *idle,
                    freq: *freq,
                    kind: *kind,
                    payload: &self.bytes[payload.clone()],
                    offset: self.offset + *at as u64,
                }))
            }
            Place::Other(range) => {
                let mut cursor = Cursor::new(&self.bytes[range.clone()]);
                other(&mut cursor, self.family())
                    .map_err(|error| error.at(self.offset + range.start as u64))
            }
            Place::Eof(checksum) => Ok(Item::Eof { checksum: *checksum }),
        })
    }
}

/// Reads a file.
#[derive(Debug)]
pub struct Scanner<R> {
    source: R,
    /// What was read behind the last batch.
    rest: Vec<u8>,
    /// Bytes in front of `rest`.
    offset: u64,
    checksum: Option<Checksum>,
    version: u16,
    family: Family,
    db: u64,
    done: bool,
}

/// Bytes that tell a file of the format.
pub const MAGIC_LEN: u64 = 5;

/// Whether a file that begins with these bytes is one of the format.
pub fn is_rdb(head: &[u8]) -> bool {
    head.starts_with(b"REDIS") || head.starts_with(b"VALKE")
}

impl<R: Read> Scanner<R> {
    /// Reads the head of a file. Without `verify` no checksum is computed.
    pub fn new(mut source: R, verify: bool) -> Result<Self, RdbError> {
        let mut head = [0; HEADER];
        source.read_exact(&mut head).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => RdbError::Truncated,
            _ => RdbError::Io(error),
        })?;
        let digits = match &head {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => &digits[..],
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => &digits[..],
            _ => return Err(RdbError::NotRdb),
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(RdbError::NotRdb);
        }
        let version = digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        let family = Family::of_version(version)
            .filter(|family| (*family == Family::Valkey) == (digits.len() == 3))
            .ok_or(RdbError::Version(version))?;
        let checksum = (verify && version >= VERSION_CHECKSUM).then(|| {
            let mut checksum = Checksum::new();
            checksum.update(&head);
            checksum
        });
        Ok(Self {
            source,
            rest: Vec::new(),
            offset: HEADER as u64,
            checksum,
            version,
            family,
            db: 0,
            done: false,
        })
    }

    pub fn version(&self) -> u16 {
        self.version
    }

    pub fn family(&self) -> Family {
        self.family
    }

    /// Bytes of the file up to the end of the last batch.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The source, and what was read of it behind the end of the file.
    pub fn into_rest(self) -> (R, Vec<u8>) {
        (self.source, self.rest)
    }

    /// Fills a batch with the next items, at least one; what it held before is dropped. Returns `false` behind the end, and
    /// an error only when everything in front of it has been given.
    pub fn fill(&mut self, batch: &mut Batch) -> Result<bool, RdbError> {
        batch.places.clear();
        batch.bytes.clear();
        batch.offset = self.offset;
        batch.family = Some(self.family);
        if self.done {
            return Ok(false);
        }
        batch.bytes.append(&mut self.rest);
        let mut at = 0;
        loop {
            let missing;
            (at, missing) = self.scan(batch, at);
            let missing = match missing {
                Ok(_) if self.done || at > 0 && batch.bytes.len() >= PIECE => break,
                Ok(missing) => missing,
                // What is in front of it goes ahead; it will be met again.
                Err(_) if at > 0 => break,
                Err(error) => return Err(error.at(self.offset)),
            };
            let had = batch.bytes.len();
            let full = self.read(batch, missing)?;
            // What does not wait for more bytes goes ahead when the source has no more of them now.
            if at > 0 && !full {
                break;
            }
            if batch.bytes.len() == had {
                return Err(RdbError::Truncated.at(self.offset + had as u64));
            }
        }
        self.rest.extend_from_slice(&batch.bytes[at..]);
        batch.bytes.truncate(at);
        self.offset += at as u64;
        if !self.done
            && let Some(checksum) = &mut self.checksum
        {
            checksum.update(&batch.bytes);
        }
        Ok(true)
    }

    /// Reads at least `missing` bytes more, unless the source ends before, or has nothing to go on with while there are
    /// items to go ahead with. Returns whether it may have more at once.
    fn read(&mut self, batch: &mut Batch, missing: u64) -> Result<bool, RdbError> {
        let bytes = &mut batch.bytes;
        let had = bytes.len();
        loop {
            let start = bytes.len();
            // No more than twice what there is, as nobody has seen yet whether there is more.
            let left = missing.saturating_sub((start - had) as u64);
            let most = start.max(PIECE);
            let wanted = usize::try_from(left).unwrap_or(most).clamp(PIECE - start % PIECE, most);
            bytes.resize(start + wanted, 0);
            let read = self.source.read(&mut bytes[start..]);
            bytes.truncate(start + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => return Ok(false),
                Ok(read) if (bytes.len() - had) as u64 >= missing => return Ok(read == wanted),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(RdbError::from(error).at(self.offset + start as u64)),
            }
        }
    }

    /// Finds the items that are complete, from `at` on. Returns where they end, and how many bytes the next one misses at
    /// least.
    fn scan(&mut self, batch: &mut Batch, mut at: usize) -> (usize, Result<u64, RdbError>) {
        while !self.done {
            let mut cursor = Cursor::new(&batch.bytes[at..]);
            match self.scan_one(&batch.bytes, at, &mut cursor) {
                Ok((place, end)) => {
                    batch.places.push(place);
                    at = end;
                }
                Err(RdbError::Truncated) => return (at, Ok(cursor.missing.max(1))),
                Err(error) => return (at, Err(error)),
            }
        }
        (at, Ok(0))
    }

    /// The item at `at`, and where it ends.
    #[inline]
    fn scan_one<'b>(
        &mut self,
        bytes: &'b [u8],
        at: usize,
        cursor: &mut Cursor<'b>,
    ) -> Result<(Place, usize), RdbError> {
        let here = |cursor: &Cursor<'_>| bytes.len() - cursor.rest.len();
        let (mut expire_ms, mut idle, mut freq) = (None, None, None);
        loop {
            let start = here(cursor);
            match cursor.byte()? {
                opcode::EXPIRE_MS => expire_ms = Some(cursor.i64()?),
                opcode::EXPIRE_SECONDS => {
                    expire_ms = Some(i64::from(i32::from_le_bytes(cursor.array()?)) * 1000);
                }
                opcode::IDLE => idle = Some(cursor.length()?),
                opcode::FREQ => freq = Some(cursor.byte()?),
                opcode::KEY_META_OR_SLOT_IMPORT if self.family == Family::Redis => {
                    skip_key_meta(cursor)?;
                }
                kind @ ..opcode::KEY_META_OR_SLOT_IMPORT => {
                    let key_at = here(cursor);
                    cursor.skip_text()?;
                    let payload_at = here(cursor);
                    skip_value(cursor, kind, self.family)?;
                    let end = here(cursor);
                    let (key, payload) = (key_at..payload_at, payload_at..end);
                    let db = self.db;
                    let entry = Place::Entry { db, at, key, kind, payload, expire_ms, idle, freq };
                    return Ok((entry, end));
                }
                _ if start > at => return Err(RdbError::Corrupt("item: expiry without a key")),
                opcode::EOF => return self.scan_eof(bytes, cursor, at),
                _ => {
                    cursor.rest = &bytes[at..];
                    if let Item::SelectDb(db) = other(cursor, self.family)? {
                        self.db = db;
                    }
                    let end = here(cursor);
                    return Ok((Place::Other(at..end), end));
                }
            }
        }
    }

    /// The end of the file, and the checksum behind it.
    fn scan_eof(
        &mut self,
        bytes: &[u8],
        cursor: &mut Cursor<'_>,
        at: usize,
    ) -> Result<(Place, usize), RdbError> {
        let mut sums = None;
        if self.version >= VERSION_CHECKSUM {
            let stored = u64::from_le_bytes(cursor.array()?);
            if let Some(checksum) = &mut self.checksum {
                checksum.update(&bytes[..=at]);
                sums = (stored != 0).then(|| (stored, checksum.value()));
            }
        }
        self.done = true;
        Ok((Place::Eof(sums), bytes.len() - cursor.rest.len()))
    }
}

/// What modules keep of a key: for each class a name and the module's values.
fn skip_key_meta(cursor: &mut Cursor<'_>) -> Result<(), RdbError> {
    each(cursor, |cursor| {
        cursor.take(4)?;
        skip_module(cursor)
    })
}

/// An item that is neither an entry nor the end.
fn other<'a>(cursor: &mut Cursor<'a>, family: Family) -> Result<Item<'a>, RdbError> {
    Ok(match cursor.byte()? {
        opcode::AUX => Item::Aux { name: cursor.bytes()?, value: cursor.bytes()? },
        opcode::SELECT_DB => Item::SelectDb(cursor.length()?),
        opcode::RESIZE_DB => Item::ResizeDb { keys: cursor.length()?, expires: cursor.length()? },
        opcode::SLOT_INFO => Item::SlotInfo {
            slot: cursor.length()?,
            keys: cursor.length()?,
            expires: cursor.length()?,
        },
        opcode::KEY_META_OR_SLOT_IMPORT if family == Family::Valkey => {
            let job = cursor.bytes()?;
            each(cursor, |cursor| {
                cursor.length()?;
                cursor.length().map(drop)
            })?;
            Item::SlotImport { job }
        }
        opcode::FUNCTION => Item::Function(cursor.bytes()?),
        opcode::FUNCTION_PRE_GA => {
            let name = cursor.bytes()?;
            cursor.skip_text()?;
            if cursor.length()? != 0 {
                cursor.skip_text()?;
            }
            cursor.skip_text()?;
            Item::FunctionPreGa { name }
        }
        opcode::MODULE_AUX => {
            let module = module_name(cursor.length()?);
            skip_module(cursor)?;
            Item::ModuleAux { module }
        }
        number => return Err(RdbError::Unknown { what: "item", number }),
    })
}
