//! One value with the version of the format and a checksum: what DUMP gives and RESTORE takes.
//!
//! ```text
//! kind (u8) | value | version (u16) | checksum of all before (u64)
//! ```

use crate::checksum::Checksum;
use crate::cursor::Cursor;
use crate::decode::{DecodeOptions, decode};
use crate::error::RdbError;
use crate::format::{Family, opcode};
use crate::value::{needs_version, put_value};
use crate::write::{self, Options};
use crate::{Loaded, ValueRef};

/// A value as DUMP gives it.
pub fn dump(value: ValueRef<'_>, options: Options) -> Vec<u8> {
    let mut out = vec![0];
    out[0] = put_value(&mut out, value, options);
    seal(out, needs_version(value))
}

/// Appends the version and the checksum.
fn seal(mut out: Vec<u8>, version: u16) -> Vec<u8> {
    out.extend_from_slice(&version.to_le_bytes());
    let checksum = Checksum::of(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// The version that brought libraries of functions.
const FUNCTIONS_SINCE: u16 = 10;

/// Libraries of functions as FUNCTION DUMP gives them: one behind the other, as in a file.
pub fn dump_functions<'a>(codes: impl Iterator<Item = &'a [u8]>, options: Options) -> Vec<u8> {
    let mut out = Vec::new();
    codes.for_each(|code| write::function(&mut out, code, options));
    seal(out, FUNCTIONS_SINCE)
}

/// The code of the libraries that FUNCTION RESTORE is given. What is looked at first, and its errors, are as in
/// [`restore`].
pub fn restore_functions(payload: &[u8], verify: bool) -> Result<Vec<Vec<u8>>, RdbError> {
    let (body, _) = verified(payload, verify)?;
    let mut cursor = Cursor::new(body);
    let mut codes = Vec::new();
    while !cursor.is_empty() {
        if cursor.byte()? != opcode::FUNCTION {
            return Err(RdbError::Corrupt("function"));
        }
        codes.push(cursor.bytes()?.into_owned());
    }
    Ok(codes)
}

/// A value as RESTORE takes it. The version and, if `verify` says so, the checksum are looked at first: errors
/// [`RdbError::Version`] and [`RdbError::Checksum`], or [`RdbError::Truncated`] without room for them.
pub fn restore<'a>(
    payload: &'a [u8],
    verify: bool,
    options: &DecodeOptions<'_>,
) -> Result<Loaded<'a>, RdbError> {
    let (body, family) = verified(payload, verify)?;
    let (kind, value) = body.split_first().ok_or(RdbError::Corrupt("dump"))?;
    decode(*kind, family, value, options)
}

/// What stands in front of version and checksum, if they are right.
fn verified(payload: &[u8], verify: bool) -> Result<(&[u8], Family), RdbError> {
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
    Ok((body, family))
}

#[test]
fn libraries_come_back_as_they_were() {
    let codes: [&[u8]; 2] = [b"#!lua name=a", b"#!lua name=b"];
    let dumped = dump_functions(codes.into_iter(), Options { compress: true });
    assert_eq!(restore_functions(&dumped, true).expect("it is whole"), codes);
    assert!(restore_functions(&dumped[1..], true).is_err());
    assert_eq!(
        dump_functions(std::iter::empty(), Options { compress: true }),
        b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda"
    );
}
