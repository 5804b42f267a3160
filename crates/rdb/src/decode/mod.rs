//! Values of every encoding. Each is checked from the first byte to the last and kept in the encoding that the limits of
//! the server ask for, as if it had been built by commands.

mod stream;

use std::borrow::Cow;

use respire_datatypes::collection::Collection;
use respire_datatypes::float::parse_f64;
use respire_datatypes::hash::Hasher;
use respire_datatypes::hashes::{FieldTtl, Hash, HashLimits};
use respire_datatypes::integer;
use respire_datatypes::intset::Intset;
use respire_datatypes::list::{End, List, ListLimits, NewElement};
use respire_datatypes::listpack::{Corrupt, Listpack};
use respire_datatypes::set::{Set, SetLimits};
use respire_datatypes::zset::{ZSet, ZSetLimits};

use crate::Loaded;
use crate::cursor::{Cursor, Text};
use crate::error::RdbError;
use crate::format::{Family, container, kind};
use crate::legacy::{ziplist, zipmap};
use crate::skip::module_name;

/// What is used to make a value.
#[derive(Debug, Clone, Copy)]
pub struct DecodeOptions<'a> {
    pub list: ListLimits,
    pub set: SetLimits<'a>,
    pub hash: HashLimits<'a>,
    pub zset: ZSetLimits<'a>,
}

impl<'a> DecodeOptions<'a> {
    /// The limits that Redis has by default, for tools that have no settings.
    pub fn with_default_limits(hasher: &'a Hasher) -> Self {
        Self {
            list: ListLimits::new(-2),
            set: SetLimits {
                intset_entries: 512,
                listpack_entries: 128,
                listpack_value: 64,
                hasher,
            },
            hash: HashLimits { listpack_entries: 128, listpack_value: 64, hasher },
            zset: ZSetLimits { listpack_entries: 128, listpack_value: 64, hasher },
        }
    }
}

/// The earliest time at which a field may expire, Unix milliseconds: 0 stands for none where a hash is kept, and written, as
/// a listpack.
const EARLIEST: i64 = 1;
/// The latest.
const MAX_EXPIRY: i64 = (1 << 48) - 2;

/// Decodes a value that is exactly `payload`.
pub fn decode<'a>(
    kind: u8,
    family: Family,
    payload: &'a [u8],
    options: &DecodeOptions<'_>,
) -> Result<Loaded<'a>, RdbError> {
    let mut cursor = Cursor::new(payload);
    let value = decode_from(&mut cursor, kind, family, options).map_err(|error| match error {
        RdbError::Truncated => RdbError::Corrupt("value: it ends too early"),
        error => error,
    })?;
    if !cursor.is_empty() {
        return Err(RdbError::Corrupt("value: something follows it"));
    }
    match value {
        Loaded::Collection(collection) if collection.is_gone() => Err(RdbError::Empty),
        value => Ok(value),
    }
}

fn decode_from<'a>(
    cursor: &mut Cursor<'a>,
    kind: u8,
    family: Family,
    options: &DecodeOptions<'_>,
) -> Result<Loaded<'a>, RdbError> {
    Ok(Loaded::Collection(match kind {
        kind::STRING => return string(cursor),
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
            Collection::List(list(cursor, kind, options.list)?)
        }
        kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => {
            Collection::Set(set(cursor, kind, &options.set)?)
        }
        kind::ZSET | kind::ZSET_2 => Collection::ZSet(zset(cursor, kind, &options.zset)?),
        kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK => {
            let pack = match kind {
                kind::ZSET_ZIPLIST => pack(cursor, true, "Zset ziplist"),
                _ => pack(cursor, false, "Zset listpack"),
            }?;
            let zset = ZSet::from_listpack(pack, &options.zset);
            Collection::ZSet(zset.map_err(|_| RdbError::Corrupt("Zset"))?)
        }
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => {
            Collection::Stream(stream::decode(cursor, kind)?)
        }
        kind::MODULE => return Err(RdbError::Module("(before Redis 4.0)".into())),
        kind::MODULE_2 => return Err(RdbError::Module(module_name(cursor.length()?))),
        _ => Collection::Hash(hash(cursor, kind, family, &options.hash)?),
    }))
}

fn string<'a>(cursor: &mut Cursor<'a>) -> Result<Loaded<'a>, RdbError> {
    let text = cursor.text()?;
    if let Text::Int(value) = text {
        return Ok(Loaded::Int(value));
    }
    let bytes = text.into_bytes()?;
    Ok(match integer::parse_i64(&bytes) {
        Some(value) => Loaded::Int(value),
        None => Loaded::Bytes(bytes),
    })
}

/// A listpack, or what stands for it in older files. `what` is what an error calls it.
fn pack(cursor: &mut Cursor<'_>, old: bool, what: &'static str) -> Result<Listpack, RdbError> {
    let bytes = cursor.bytes()?;
    if old { ziplist(&bytes, what) } else { listpack(&bytes, what) }
}

fn listpack(bytes: &[u8], what: &'static str) -> Result<Listpack, RdbError> {
    Listpack::from_bytes(bytes).map_err(|Corrupt| RdbError::Corrupt(what))
}

fn list(cursor: &mut Cursor<'_>, kind: u8, limits: ListLimits) -> Result<List, RdbError> {
    let mut list = List::new();
    if kind == kind::LIST_ZIPLIST {
        list.append_listpack(&pack(cursor, true, "List ziplist")?, limits);
        return Ok(list);
    }
    let mut scratch = Vec::new();
    for _ in 0..cursor.length()? {
        let kind_of_node = match kind {
            kind::LIST => container::PLAIN,
            kind::LIST_QUICKLIST => container::PACKED,
            _ => cursor.length()?,
        };
        let text = cursor.text()?;
        let bytes = text.as_bytes(&mut scratch)?;
        match (kind_of_node, kind) {
            (container::PLAIN, kind::LIST_QUICKLIST_2) if bytes.is_empty() => {
                return Err(RdbError::Corrupt("Quicklist node"));
            }
            (container::PLAIN, _) => list.push(End::Back, NewElement::Bytes(bytes), limits),
            (container::PACKED, kind::LIST_QUICKLIST) => {
                append(&mut list, &ziplist(bytes, "Quicklist ziplist")?, limits);
            }
            (container::PACKED, _) => {
                append(&mut list, &listpack(bytes, "Quicklist listpack")?, limits)
            }
            _ => return Err(RdbError::Corrupt("Quicklist")),
        }
    }
    Ok(list)
}

fn append(list: &mut List, pack: &Listpack, limits: ListLimits) {
    if !pack.is_empty() {
        list.append_listpack(pack, limits);
    }
}

fn set(cursor: &mut Cursor<'_>, kind: u8, limits: &SetLimits<'_>) -> Result<Set, RdbError> {
    const CORRUPT: RdbError = RdbError::Corrupt("Set");
    match kind {
        kind::SET_INTSET => {
            let ints = Intset::from_bytes(&cursor.bytes()?);
            return Ok(Set::from_intset(ints.map_err(|_| RdbError::Corrupt("Intset"))?, limits));
        }
        kind::SET_LISTPACK => {
            let pack = pack(cursor, false, "Set listpack")?;
            return Set::from_listpack(pack, limits).map_err(|_| CORRUPT);
        }
        _ => {}
    }
    let count = cursor.length()?;
    let mut set: Option<Set> = None;
    let mut scratch = Vec::new();
    for _ in 0..count {
        let text = cursor.text()?;
        let member = text.as_bytes(&mut scratch)?;
        let set = set.get_or_insert_with(|| {
            Set::with_expected(member, usize::try_from(count).unwrap_or(usize::MAX), limits)
        });
        if !set.add(member, limits) {
            return Err(CORRUPT);
        }
    }
    Ok(set.unwrap_or_default())
}

fn zset(cursor: &mut Cursor<'_>, kind: u8, limits: &ZSetLimits<'_>) -> Result<ZSet, RdbError> {
    const CORRUPT: RdbError = RdbError::Corrupt("Zset");
    let mut entries: Vec<(Cow<'_, [u8]>, f64)> = Vec::new();
    for _ in 0..cursor.length()? {
        let member = cursor.bytes()?;
        let score = match kind {
            kind::ZSET_2 => f64::from_le_bytes(cursor.array()?),
            _ => match cursor.byte()? {
                255 => f64::NEG_INFINITY,
                254 => f64::INFINITY,
                253 => f64::NAN,
                len => parse_f64(cursor.take(len.into())?).ok_or(CORRUPT)?,
            },
        };
        entries.push((member, score));
    }
    ZSet::try_from_entries(&mut entries, limits).map_err(|_| CORRUPT)
}

fn hash(
    cursor: &mut Cursor<'_>,
    kind: u8,
    family: Family,
    limits: &HashLimits<'_>,
) -> Result<Hash, RdbError> {
    const CORRUPT: RdbError = RdbError::Corrupt("Hash");
    let hash = match (kind, family) {
        (kind::HASH, _)
        | (kind::HASH_META, Family::Redis)
        | (kind::HASH_META_PRE_GA_OR_VALKEY_HASH, _) => {
            return fields(cursor, kind, family, limits);
        }
        (kind::HASH_ZIPMAP, _) => Hash::from_listpack(zipmap(&cursor.bytes()?)?, limits),
        (kind::HASH_ZIPLIST, _) => Hash::from_listpack(pack(cursor, true, "Hash ziplist")?, limits),
        (kind::HASH_LISTPACK, _) => {
            Hash::from_listpack(pack(cursor, false, "Hash listpack")?, limits)
        }
        (kind::HASH_LISTPACK_EX_PRE_GA, Family::Redis) => {
            Hash::from_timed_listpack(pack(cursor, false, "Hash listpack")?, limits)
        }
        (kind::HASH_LISTPACK_EX, Family::Redis) => {
            cursor.i64()?;
            Hash::from_timed_listpack(pack(cursor, false, "Hash listpack")?, limits)
        }
        _ => return Err(RdbError::Unknown { what: "kind of value", number: kind }),
    };
    hash.map_err(|Corrupt| CORRUPT)
}

/// A hash that is written field by field.
fn fields(
    cursor: &mut Cursor<'_>,
    kind: u8,
    family: Family,
    limits: &HashLimits<'_>,
) -> Result<Hash, RdbError> {
    const CORRUPT: RdbError = RdbError::Corrupt("Hash");
    let min = if kind == kind::HASH_META { cursor.i64()? } else { 1 };
    // What is told from the earliest expiry is one more than that, as 0 is none.
    let expiry_of = |stored: u64| match stored {
        0 => Ok(FieldTtl::Clear),
        _ => i64::try_from(stored)
            .ok()
            .and_then(|stored| min.checked_add(stored - 1))
            .filter(|at| (0..=MAX_EXPIRY).contains(at))
            .map(|at| FieldTtl::At(at.max(EARLIEST)))
            .ok_or(CORRUPT),
    };
    let mut hash = Hash::new();
    let (mut field_scratch, mut value_scratch) = (Vec::new(), Vec::new());
    for _ in 0..cursor.length()? {
        let mut ttl = FieldTtl::Clear;
        if kind != kind::HASH && family == Family::Redis {
            ttl = expiry_of(cursor.length()?)?;
        }
        let (field, value) = (cursor.text()?, cursor.text()?);
        if kind != kind::HASH && family == Family::Valkey {
            ttl = match cursor.i64()? {
                -1 => FieldTtl::Clear,
                // Beyond, in nine thousand years, no field can live here.
                at @ 0.. => FieldTtl::At(at.clamp(EARLIEST, MAX_EXPIRY)),
                _ => return Err(CORRUPT),
            };
        }
        let field = field.as_bytes(&mut field_scratch)?;
        let value = value.as_bytes(&mut value_scratch)?;
        if !hash.set(field, value, ttl, i64::MIN, limits) {
            return Err(CORRUPT);
        }
    }
    Ok(hash)
}
