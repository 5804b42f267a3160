//! The numbers of the format: versions, opcodes, the kinds of values and the encodings of strings.

/// What redis-server 7.0 writes, and this crate unless a value needs more.
pub const VERSION: u16 = 10;
/// What fields with an expiry need: the version of Redis 7.4.
pub const VERSION_FIELD_EXPIRY: u16 = 12;
/// The newest version of Redis that is read; its newest kinds of values are not.
pub const VERSION_MAX: u16 = 14;
/// The versions from which on Valkey counts its own.
pub const VERSION_VALKEY: u16 = 80;
/// The newest version of Valkey that is read.
pub const VERSION_VALKEY_MAX: u16 = 80;
/// From this version on a checksum follows the end.
pub const VERSION_CHECKSUM: u16 = 5;

/// Whose kinds of values they are: from kind 22 on, Redis and Valkey differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Redis,
    Valkey,
}

impl Family {
    /// Who writes this version; `None` if nobody known does.
    pub fn of_version(version: u16) -> Option<Self> {
        match version {
            1..=VERSION_MAX => Some(Self::Redis),
            VERSION_VALKEY..=VERSION_VALKEY_MAX => Some(Self::Valkey),
            _ => None,
        }
    }
}

pub(crate) mod opcode {
    /// Redis: what modules keep of a key. Valkey: slots that are being imported.
    pub const KEY_META_OR_SLOT_IMPORT: u8 = 243;
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = 245;
    pub const FUNCTION_PRE_GA: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const EXPIRE_MS: u8 = 252;
    pub const EXPIRE_SECONDS: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const EOF: u8 = 255;
}

/// Kinds of values: type and encoding.
pub(crate) mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    /// Scores in binary.
    pub const ZSET_2: u8 = 5;
    /// Of modules before Redis 4.0, without a way to find its end.
    pub const MODULE: u8 = 6;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_3: u8 = 21;
    /// Redis: expiries as they are, before Redis 7.4 was released. Valkey: its own form.
    pub const HASH_META_PRE_GA_OR_VALKEY_HASH: u8 = 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
    pub const HASH_META: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
}

/// The encodings of a string that is not just its bytes.
pub(crate) mod encoding {
    pub const INT8: u8 = 0;
    pub const INT16: u8 = 1;
    pub const INT32: u8 = 2;
    pub const LZF: u8 = 3;
}

/// What the nodes of a quicklist are.
pub(crate) mod container {
    pub const PLAIN: u64 = 1;
    pub const PACKED: u64 = 2;
}

/// What modules write: each value with what it is in front.
pub(crate) mod module {
    pub const EOF: u64 = 0;
    pub const SINT: u64 = 1;
    pub const UINT: u64 = 2;
    pub const FLOAT: u64 = 3;
    pub const DOUBLE: u64 = 4;
    pub const STRING: u64 = 5;
}

/// Flags of an entry in a node of a stream.
pub(crate) mod stream_flag {
    pub const DELETED: i64 = 1;
    pub const SAME_NAMES: i64 = 2;
}
