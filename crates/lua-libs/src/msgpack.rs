//! `cmsgpack`: Lua values as MessagePack, and back.
//!
//! Refuses the types that the library never knew (binary strings, extensions, timestamps). Tables inside of tables are
//! packed 16 deep; unpacking goes as deep as Lua's stack does.

use std::ffi::c_int;

use mlua::{Lua, Table};

use crate::call::{Call, Failure, Kind, Level, Native};
use crate::number::to_integer;

const FUNCTIONS: &[(&str, Native)] = &[
    ("pack", pack),
    ("unpack", |call| unpack(call, 0, 0)),
    ("unpack_one", |call| {
        let offset = call.integer_or(2, 0)?;
        unpack(call, 1, offset)
    }),
    ("unpack_limit", |call| {
        let (limit, offset) = (call.integer(2)?, call.integer_or(3, 0)?);
        unpack(call, limit, offset)
    }),
];

/// Tables deeper than this are packed as nil.
const DEPTH: usize = 16;

pub fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = crate::functions(lua, FUNCTIONS)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}

fn pack(call: &mut Call<'_>) -> Result<c_int, Failure> {
    if call.arguments() == 0 {
        return Err(Failure::argument(0, "MessagePack pack needs input."));
    }
    for argument in 1..=call.arguments() {
        call.push_copy(argument)?;
        pack_value(call)?;
    }
    call.push_out()?;
    Ok(1)
}

/// Packs the value on top and takes it away.
fn pack_value(call: &mut Call<'_>) -> Result<(), Failure> {
    begin_value(call)?;
    while let Some(mut level) = call.scratch.levels.pop() {
        // On top lies the table, and for a map its last key above it. A map's keys and values are counted one by one:
        // after a key, its value lies on top.
        if level.array {
            if level.done == level.size {
                call.pop(1);
                continue;
            }
            call.push_element(level.done as c_int + 1)?;
        } else if level.done % 2 == 0 {
            if !call.next()? {
                call.pop(1);
                continue;
            }
            call.push_copy(-2)?;
        }
        level.done += 1;
        call.scratch.levels.push(level);
        begin_value(call)?;
    }
    Ok(())
}

/// Packs a value that is no table and takes it away; of a table only the head, and the table becomes a level.
fn begin_value(call: &mut Call<'_>) -> Result<(), Failure> {
    let kind = call.kind(-1);
    if kind != Kind::Table || call.scratch.levels.len() >= DEPTH {
        return pack_head(call, kind);
    }
    let shape = shape(call)?;
    let (small, wide) = if shape.array { (0x90, 0xdc) } else { (0x80, 0xde) };
    let out = &mut call.scratch.out;
    match shape.size {
        size @ 0..=15 => out.push(small | size as u8),
        size @ 16..=0xffff => {
            out.push(wide);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        size => {
            out.push(wide + 1);
            out.extend_from_slice(&(size as u32).to_be_bytes());
        }
    }
    call.scratch.levels.push(shape);
    if !shape.array {
        call.push_nil()?;
    }
    Ok(())
}

/// Packs what is no table, and takes it away; what MessagePack has no type for is nil.
fn pack_head(call: &mut Call<'_>, kind: Kind) -> Result<(), Failure> {
    match kind {
        Kind::Boolean => {
            let value = call.boolean(-1);
            call.scratch.out.push(if value { 0xc3 } else { 0xc2 });
        }
        Kind::Number => {
            let value = call.to_number(-1).unwrap_or_default();
            pack_number(&mut call.scratch.out, value);
        }
        Kind::String => {
            call.with_string(-1, |bytes, out| {
                match bytes.len() {
                    size @ 0..=31 => out.push(0xa0 | size as u8),
                    size @ 32..=0xff => out.extend_from_slice(&[0xd9, size as u8]),
                    size @ 0x100..=0xffff => {
                        out.push(0xda);
                        out.extend_from_slice(&(size as u16).to_be_bytes());
                    }
                    size => {
                        out.push(0xdb);
                        out.extend_from_slice(&(size as u32).to_be_bytes());
                    }
                }
                out.extend_from_slice(bytes);
            });
        }
        _ => call.scratch.out.push(0xc0),
    }
    call.pop(1);
    Ok(())
}

/// Whole numbers in the least integer that holds them, others as float where that loses nothing.
fn pack_number(out: &mut Vec<u8>, value: f64) {
    let whole = to_integer(value);
    let beyond = value == 9_223_372_036_854_775_808.0;
    if whole as f64 != value || beyond {
        let narrow = value as f32;
        if f64::from(narrow) == value {
            out.push(0xca);
            out.extend_from_slice(&narrow.to_bits().to_be_bytes());
        } else {
            out.push(0xcb);
            out.extend_from_slice(&value.to_bits().to_be_bytes());
        }
        return;
    }
    let bytes = whole.to_be_bytes();
    let (head, size) = match whole {
        -32..=127 => return out.push(whole as u8),
        128..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -128..=-33 => (0xd0, 1),
        -0x8000..=-129 => (0xd1, 2),
        -0x8000_0000..=-0x8001 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    out.push(head);
    out.extend_from_slice(&bytes[8 - size..]);
}

/// Whether the table on top is an array, 1 to n without a gap, and how many elements it has.
fn shape(call: &mut Call<'_>) -> Result<Level, Failure> {
    let (mut array, mut count, mut greatest) = (true, 0, 0);
    call.push_nil()?;
    while call.next()? {
        call.pop(1);
        count += 1;
        let key = if call.kind(-1) == Kind::Number { call.to_number(-1) } else { None };
        match key {
            Some(key) if key > 0.0 && key.floor() == key => {
                greatest = to_integer(key).max(greatest)
            }
            _ => array = false,
        }
    }
    Ok(Level { array: array && greatest == count, done: 0, size: count })
}

/// Unpacks `limit` values from `offset` on, or all when both are 0. Where not all were asked for, the place behind the
/// last one comes first, or -1 at the end.
fn unpack(call: &mut Call<'_>, limit: i64, offset: i64) -> Result<c_int, Failure> {
    let data = call.string(1)?;
    let (limit, offset) = (limit as c_int, offset as c_int);
    if limit < 0 || offset < 0 {
        return Err(Failure::text(format!(
            "Invalid request to unpack with offset of {offset} and limit of {}.",
            data.len()
        )));
    }
    if offset as usize > data.len() {
        let length = data.len();
        return Err(Failure::text(format!(
            "Start offset {offset} greater than input length {length}."
        )));
    }
    let all = limit == 0 && offset == 0;
    let before = call.top();
    let mut input = Input { rest: &data[offset as usize..] };
    let mut count = 0;
    while !input.rest.is_empty() && (all || count < limit) {
        unpack_value(call, &mut input)?;
        count += 1;
    }
    if !all {
        let next = data.len() - input.rest.len();
        call.push_number(if input.rest.is_empty() { -1.0 } else { next as f64 })?;
        // The place precedes the values; on the stack it came after them.
        call.move_first();
    }
    Ok(call.top() - before)
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| Failure::text("Missing bytes in input."))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number.
    fn number(&mut self, bytes: usize) -> Result<u64, Failure> {
        Ok(self.take(bytes)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}

/// Pushes the next value of the input.
fn unpack_value(call: &mut Call<'_>, input: &mut Input<'_>) -> Result<(), Failure> {
    begin_table_or_push(call, input)?;
    while let Some(mut level) = call.scratch.levels.pop() {
        // On top lies the table that is being filled.
        if level.done == level.size {
            if !settle(call)? {
                return Ok(());
            }
            continue;
        }
        level.done += 1;
        call.scratch.levels.push(level);
        begin_table_or_push(call, input)?;
    }
    Ok(())
}

/// Pushes a value; if it begins a table, its level as well. What is complete goes into the table that waits for it.
fn begin_table_or_push(call: &mut Call<'_>, input: &mut Input<'_>) -> Result<(), Failure> {
    let head = input.number(1)? as u8;
    let (array, size) = match head {
        0x80..=0x8f => (false, u64::from(head & 15)),
        0x90..=0x9f => (true, u64::from(head & 15)),
        0xdc => (true, input.number(2)?),
        0xdd => (true, input.number(4)?),
        0xde => (false, input.number(2)?),
        0xdf => (false, input.number(4)?),
        _ => {
            push_scalar(call, input, head)?;
            if !call.scratch.levels.is_empty() {
                settle(call)?;
            }
            return Ok(());
        }
    };
    // A map's keys and values are counted one by one.
    let size = size as i64 * if array { 1 } else { 2 };
    call.push_table()?;
    call.scratch.levels.push(Level { array, done: 0, size });
    Ok(())
}

/// Puts the complete value on top into the table below it, if one waits; a map's key waits for its value.
fn settle(call: &mut Call<'_>) -> Result<bool, Failure> {
    let Some(level) = call.scratch.levels.last().copied() else { return Ok(false) };
    if level.array {
        call.set_element(level.done as c_int);
    } else if level.done % 2 == 0 {
        if call.kind(-2) == Kind::Nil {
            return Err(Failure::Bare("table index is nil"));
        }
        if call.kind(-2) == Kind::Number && call.to_number(-2).is_some_and(f64::is_nan) {
            return Err(Failure::Bare("table index is NaN"));
        }
        call.set_field();
    }
    Ok(true)
}

fn push_scalar(call: &mut Call<'_>, input: &mut Input<'_>, head: u8) -> Result<(), Failure> {
    match head {
        0x00..=0x7f | 0xe0..=0xff => call.push_number((head as i8).into()),
        0xc0 => call.push_nil(),
        0xc2 | 0xc3 => call.push_boolean(head == 0xc3),
        0xcc..=0xcf => {
            // 64 bits are read as signed, whatever was packed.
            let value = input.number(1 << (head - 0xcc))?;
            call.push_number(value as i64 as f64)
        }
        0xd0..=0xd3 => {
            let bytes = 1 << (head - 0xd0);
            let spare = 64 - 8 * bytes as u32;
            let value = input.number(bytes)?;
            call.push_number(((value << spare) as i64 >> spare) as f64)
        }
        0xca => {
            let bits = input.number(4)? as u32;
            call.push_number(f32::from_bits(bits).into())
        }
        0xcb => {
            let bits = input.number(8)?;
            call.push_number(f64::from_bits(bits))
        }
        0xa0..=0xbf | 0xd9..=0xdb => {
            let size = match head {
                0xd9..=0xdb => input.number(1 << (head - 0xd9))?,
                _ => u64::from(head & 31),
            };
            call.push_string(input.take(size as usize)?)
        }
        _ => Err(Failure::text("Bad data format in input.")),
    }
}
