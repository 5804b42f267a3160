//! One value with the version of the format and a checksum: what DUMP gives and RESTORE takes.
//!
//! ```text
//! kind (u8) | value | version (u16) | checksum of all before (u64)
//! ```

use crate::checksum::Checksum;
use crate::decode::{DecodeOptions, decode};
use crate::error::RdbError;
use crate::format::Family;
use crate::value::{needs_version, put_value};
use crate::write::Options;
use crate::{Loaded, ValueRef};

/// A value as DUMP gives it.
pub fn dump(value: ValueRef<'_>, options: Options) -> Vec<u8> {
    let mut out = vec![0];
    out[0] = put_value(&mut out, value, options);
    out.extend_from_slice(&needs_version(value).to_le_bytes());
    let checksum = Checksum::of(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// A value as RESTORE takes it. The version and, if `verify` says so, the checksum are looked at first: errors
/// [`RdbError::Version`] and [`RdbError::Checksum`], or [`RdbError::Truncated`] without room for them.
pub fn restore<'a>(
    payload: &'a [u8],
    verify: bool,
    options: &DecodeOptions<'_>,
) -> Result<Loaded<'a>, RdbError> {
    let (covered, checksum) = payload.split_last_chunk::<8>().ok_or(RdbError::Truncated)?;
    let (body, version) = covered.split_last_chunk::<2>().ok_or(RdbError::Truncated)?;
    let version = u16::from_le_bytes(*version);
    // Version 0 is older than any that was ever released, but servers take it.
    let family = Family::of_version(version.max(1)).ok_or(RdbError::Version(version))?;
    let stored = u64::from_le_bytes(*checksum);
    let computed = if verify { Checksum::of(covered) } else { stored };
    if stored != computed {
        return Err(RdbError::Checksum { stored, computed });
    }
    let (kind, value) = body.split_first().ok_or(RdbError::Corrupt("dump"))?;
    decode(*kind, family, value, options)
}
