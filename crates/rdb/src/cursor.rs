//! A place in some bytes, from which lengths and strings are read.

use std::borrow::Cow;

use respire_datatypes::integer::{self, MAX_LEN};

use crate::error::RdbError;
use crate::format::encoding;
use crate::lzf;

/// What is left to be read. Every read says [`RdbError::Truncated`] when there is too little, so that who has only the
/// beginning of something can come again with more.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    pub rest: &'a [u8],
    /// Once something was truncated: how many bytes are missing at least.
    pub missing: u64,
}

/// A string as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text<'a> {
    Int(i64),
    Plain(&'a [u8]),
    Compressed { bytes: &'a [u8], len: u64 },
}

enum Length {
    Plain(u64),
    Encoded(u8),
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, missing: 0 }
    }

    #[cold]
    fn truncated(&mut self, wanted: u64) -> RdbError {
        self.missing = wanted - self.rest.len() as u64;
        RdbError::Truncated
    }

    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], RdbError> {
        self.take_long(n as u64)
    }

    /// As [`Self::take`], of a length that need not fit the memory.
    #[inline]
    pub(crate) fn take_long(&mut self, n: u64) -> Result<&'a [u8], RdbError> {
        let here = usize::try_from(n).ok().and_then(|n| self.rest.split_at_checked(n));
        let Some((taken, rest)) = here else { return Err(self.truncated(n)) };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(self.truncated(N as u64));
        };
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, RdbError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn i64(&mut self) -> Result<i64, RdbError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn any_length(&mut self) -> Result<Length, RdbError> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Plain(first.into()),
            1 => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            2 if first == 0x80 => Length::Plain(u32::from_be_bytes(self.array()?).into()),
            2 if first == 0x81 => Length::Plain(u64::from_be_bytes(self.array()?)),
            2 => return Err(RdbError::Corrupt("length")),
            _ => Length::Encoded(first & 0x3f),
        })
    }

    #[inline]
    pub(crate) fn length(&mut self) -> Result<u64, RdbError> {
        match self.any_length()? {
            Length::Plain(value) => Ok(value),
            Length::Encoded(_) => Err(RdbError::Corrupt("length")),
        }
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<Text<'a>, RdbError> {
        Ok(match self.any_length()? {
            Length::Plain(len) => Text::Plain(self.take_long(len)?),
            Length::Encoded(encoding::INT8) => Text::Int(i8::from_le_bytes(self.array()?).into()),
            Length::Encoded(encoding::INT16) => Text::Int(i16::from_le_bytes(self.array()?).into()),
            Length::Encoded(encoding::INT32) => Text::Int(i32::from_le_bytes(self.array()?).into()),
            Length::Encoded(encoding::LZF) => {
                let (compressed, len) = (self.length()?, self.length()?);
                Text::Compressed { bytes: self.take_long(compressed)?, len }
            }
            Length::Encoded(_) => return Err(RdbError::Corrupt("string encoding")),
        })
    }

    /// The bytes of a string.
    pub(crate) fn bytes(&mut self) -> Result<Cow<'a, [u8]>, RdbError> {
        self.text()?.into_bytes()
    }

    /// Moves behind a string.
    #[inline]
    pub(crate) fn skip_text(&mut self) -> Result<(), RdbError> {
        self.text().map(drop)
    }
}

impl<'a> Text<'a> {
    pub(crate) fn into_bytes(self) -> Result<Cow<'a, [u8]>, RdbError> {
        Ok(match self {
            Self::Plain(bytes) => Cow::Borrowed(bytes),
            Self::Int(value) => Cow::Owned(integer::format_i64(value, &mut [0; MAX_LEN]).to_vec()),
            Self::Compressed { bytes, len } => {
                let mut text = Vec::new();
                lzf::decompress(bytes, len, &mut text)?;
                Cow::Owned(text)
            }
        })
    }

    /// The bytes, for which `scratch` is used where they are not there as they are.
    #[inline]
    pub(crate) fn as_bytes<'b>(&self, scratch: &'b mut Vec<u8>) -> Result<&'b [u8], RdbError>
    where
        'a: 'b,
    {
        match *self {
            Self::Plain(bytes) => return Ok(bytes),
            Self::Int(value) => {
                scratch.clear();
                scratch.extend_from_slice(integer::format_i64(value, &mut [0; MAX_LEN]));
            }
            Self::Compressed { bytes, len } => {
                scratch.clear();
                lzf::decompress(bytes, len, scratch)?;
            }
        }
        Ok(scratch)
    }
}
