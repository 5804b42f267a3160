//! From a Lua value to JSON, without recursion.
//!
//! Invariant of the walk: for each level there is a table on Lua's stack, and above an object's the last key.

use std::ffi::c_int;

use super::{Invalid, Settings};
use crate::call::{Call, Failure, Kind, Level};
use crate::number::append_general;

/// More than any reply may hold; a sparse array could otherwise fill the memory with `null`.
const LIMIT: usize = 1 << 30;

pub fn encode(call: &mut Call<'_>) -> Result<c_int, Failure> {
    if call.arguments() != 1 {
        return Err(Failure::argument(1, "expected 1 argument"));
    }
    let settings = call.settings();
    call.push_copy(1)?;
    begin(call, settings)?;
    while let Some(mut level) = call.scratch.levels.pop() {
        if call.scratch.out.len() > LIMIT {
            return Err(Failure::text("Cannot serialise, result is too large"));
        }
        let first = level.done == 0;
        level.done += 1;
        if level.array {
            if level.done > level.size {
                close(call, b']');
                continue;
            }
            if !first {
                call.scratch.out.push(b',');
            }
            call.push_element(level.done as c_int)?;
        } else {
            if !call.next()? {
                close(call, b'}');
                continue;
            }
            if !first {
                call.scratch.out.push(b',');
            }
            key(call, settings)?;
        }
        call.scratch.levels.push(level);
        begin(call, settings)?;
    }
    call.push_out()?;
    Ok(1)
}

/// Ends the table on top.
fn close(call: &mut Call<'_>, bracket: u8) {
    call.scratch.out.push(bracket);
    call.pop(1);
}

/// Writes the value on top and takes it away; of a table only the bracket, and the table becomes a level.
fn begin(call: &mut Call<'_>, settings: &Settings) -> Result<(), Failure> {
    match call.kind(-1) {
        Kind::String => string(call, -1),
        Kind::Number => {
            let value = call.to_number(-1).unwrap_or_default();
            number(&mut call.scratch.out, value, settings)?;
        }
        Kind::Boolean => {
            let text: &[u8] = if call.boolean(-1) { b"true" } else { b"false" };
            call.scratch.out.extend_from_slice(text);
        }
        Kind::Nil => call.scratch.out.extend_from_slice(b"null"),
        Kind::LightUserdata if call.is_null_pointer(-1) => {
            call.scratch.out.extend_from_slice(b"null");
        }
        Kind::Table => return begin_table(call, settings),
        _ => return Err(refused(call.type_name(-1), "type not supported")),
    }
    call.pop(1);
    Ok(())
}

fn refused(what: &str, why: &str) -> Failure {
    Failure::text(format!("Cannot serialise {what}: {why}"))
}

fn begin_table(call: &mut Call<'_>, settings: &Settings) -> Result<(), Failure> {
    let depth = call.scratch.levels.len() as i64 + 1;
    // A level takes a key, a value and what is looked at meanwhile.
    if depth > settings.encode_depth.get().into() || !call.make_room(4) {
        return Err(Failure::text(format!("Cannot serialise, excessive nesting ({depth})")));
    }
    let size = array_size(call, settings)?;
    let array = size > 0;
    call.scratch.out.push(if array { b'[' } else { b'{' });
    call.scratch.levels.push(Level { array, done: 0, size });
    if !array {
        call.push_nil()?;
    }
    Ok(())
}

/// The size of the table on top as an array; 0 if it is empty or an object.
fn array_size(call: &mut Call<'_>, settings: &Settings) -> Result<i64, Failure> {
    let (mut count, mut greatest) = (0, 0);
    call.push_nil()?;
    while call.next()? {
        call.pop(1);
        let key = if call.kind(-1) == Kind::Number { call.to_number(-1) } else { None };
        match key {
            Some(key) if (1.0..=f64::from(i32::MAX)).contains(&key) && key.floor() == key => {
                greatest = greatest.max(key as i64);
                count += 1;
            }
            _ => {
                call.pop(1);
                return Ok(0);
            }
        }
    }
    let ratio = i64::from(settings.sparse_ratio.get());
    let safe = i64::from(settings.sparse_safe.get());
    if ratio > 0 && greatest > count * ratio && greatest > safe {
        if !settings.sparse.get() {
            return Err(refused("table", "excessively sparse array"));
        }
        return Ok(0);
    }
    Ok(greatest)
}

/// Writes the key of the pair on top.
fn key(call: &mut Call<'_>, settings: &Settings) -> Result<(), Failure> {
    match call.kind(-2) {
        Kind::String => string(call, -2),
        Kind::Number => {
            let value = call.to_number(-2).unwrap_or_default();
            call.scratch.out.push(b'"');
            number(&mut call.scratch.out, value, settings)?;
            call.scratch.out.push(b'"');
        }
        _ => return Err(refused(call.type_name(-2), "table key must be a number or string")),
    }
    call.scratch.out.push(b':');
    Ok(())
}

fn number(out: &mut Vec<u8>, value: f64, settings: &Settings) -> Result<(), Failure> {
    if value.is_finite() {
        append_general(out, value, settings.precision.get() as usize);
        return Ok(());
    }
    out.extend_from_slice(match settings.encode_invalid.get() {
        Invalid::Refused => return Err(refused("number", "must not be NaN or Inf")),
        Invalid::Null => b"null",
        Invalid::Named if value.is_nan() => b"nan",
        Invalid::Named if value > 0.0 => b"inf",
        Invalid::Named => b"-inf",
    });
    Ok(())
}

fn string(call: &mut Call<'_>, index: c_int) {
    call.with_string(index, |bytes, out| {
        out.push(b'"');
        let mut plain = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let short = match byte {
                b'"' | b'\\' | b'/' => *byte,
                8 => b'b',
                9 => b't',
                10 => b'n',
                12 => b'f',
                13 => b'r',
                0..=31 | 127 => b'u',
                _ => continue,
            };
            out.extend_from_slice(&bytes[plain..at]);
            plain = at + 1;
            out.extend_from_slice(&[b'\\', short]);
            if short == b'u' {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'0', b'0', DIGITS[high], DIGITS[low]]);
            }
        }
        out.extend_from_slice(&bytes[plain..]);
        out.push(b'"');
    });
}
