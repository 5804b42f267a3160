//! `struct`: numbers and strings laid out as in C's structures, described by a format.

use std::ffi::c_int;

use crate::call::{Call, Failure, Native};
use crate::number;

pub const FUNCTIONS: &[(&str, Native)] = &[("pack", pack), ("unpack", unpack), ("size", size)];

/// Where C would put the most demanding type, and what `!` alone stands for.
const NATIVE_ALIGNMENT: usize = 8;
const MAX_INTEGER: usize = 32;

/// Walks through a format; big-endian and aligned as its directions say.
struct Format<'a> {
    rest: &'a [u8],
    big_endian: bool,
    alignment: usize,
}

/// An option and the size of what it stands for: 0 where the value decides.
struct Item {
    option: u8,
    size: usize,
}

impl<'a> Format<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest, big_endian: false, alignment: 1 }
    }

    fn number(&mut self, otherwise: usize) -> Result<usize, Failure> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Ok(otherwise);
        }
        let mut value = 0usize;
        while let Some(digit) = self.rest.first().filter(|byte| byte.is_ascii_digit()) {
            value = value * 10 + usize::from(digit - b'0');
            if value > i32::MAX as usize {
                return Err(Failure::text("integral size overflow"));
            }
            self.rest = &self.rest[1..];
        }
        Ok(value)
    }

    fn next(&mut self) -> Result<Option<Item>, Failure> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => match self.number(4)? {
                size if size > MAX_INTEGER => {
                    return Err(Failure::text(format!(
                        "integral size {size} is larger than limit of {MAX_INTEGER}"
                    )));
                }
                size => size,
            },
            _ => 0,
        };
        Ok(Some(Item { option, size }))
    }

    /// How many bytes of padding the item needs at a place.
    fn padding(&self, item: &Item, at: usize) -> usize {
        if item.size == 0 || item.option == b'c' {
            return 0;
        }
        let size = item.size.min(self.alignment);
        size.wrapping_sub(at & (size - 1)) & (size - 1)
    }

    /// Follows a direction, which is what no value belongs to.
    fn direct(&mut self, option: u8) -> Result<(), Failure> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number(NATIVE_ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    let text = format!("alignment {alignment} is not a power of 2");
                    return Err(Failure::text(text));
                }
                self.alignment = alignment;
            }
            other => {
                let text = format!("invalid format option '{}'", char::from(other));
                return Err(Failure::argument(1, text));
            }
        }
        Ok(())
    }
}

fn pack(call: &mut Call<'_>) -> Result<c_int, Failure> {
    let mut format = Format::new(call.string(1)?);
    // Behind the last argument lies nil, and errors about a missing one say so.
    let missing = call.arguments() + 1;
    call.push_nil()?;
    let mut argument = 1;
    while let Some(item) = format.next()? {
        let padding = format.padding(&item, call.scratch.out.len());
        let padded = call.scratch.out.len() + padding;
        call.scratch.out.resize(padded, 0);
        if matches!(item.option, b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I') {
            argument = (argument + 1).min(missing);
            let value = number::to_unsigned(call.number(argument)?);
            put_integer(&mut call.scratch.out, value, item.size, format.big_endian);
            continue;
        }
        match item.option {
            b'x' => call.scratch.out.push(0),
            b'f' | b'd' => {
                argument = (argument + 1).min(missing);
                let value = call.number(argument)?;
                put_float(&mut call.scratch.out, value, &item, format.big_endian);
            }
            b's' | b'c' => {
                argument = (argument + 1).min(missing);
                let text = call.string(argument)?;
                let size = if item.size == 0 { text.len() } else { item.size };
                if size > text.len() {
                    return Err(Failure::argument(argument + 1, "string too short"));
                }
                call.scratch.out.extend_from_slice(&text[..size]);
                if item.option == b's' {
                    call.scratch.out.push(0);
                }
            }
            direction => format.direct(direction)?,
        }
    }
    call.push_out()?;
    Ok(1)
}

/// What is wider than the value is filled with zeros.
fn put_integer(out: &mut Vec<u8>, value: u64, size: usize, big_endian: bool) {
    let byte = |place: usize| if place < 8 { (value >> (8 * place)) as u8 } else { 0 };
    if big_endian {
        out.extend((0..size).rev().map(byte));
    } else {
        out.extend((0..size).map(byte));
    }
}

fn put_float(out: &mut Vec<u8>, value: f64, item: &Item, big_endian: bool) {
    let bits = if item.option == b'f' { (value as f32).to_bits().into() } else { value.to_bits() };
    put_integer(out, bits, item.size, big_endian);
}

fn unpack(call: &mut Call<'_>) -> Result<c_int, Failure> {
    let mut format = Format::new(call.string(1)?);
    let data = call.string(2)?;
    // A negative place is a very large one.
    let mut at = match call.integer_or(3, 1)? {
        0 => return Err(Failure::argument(3, "offset must be 1 or greater")),
        at => (at as usize).wrapping_sub(1),
    };
    let before = call.top();
    while let Some(item) = format.next()? {
        at = at.wrapping_add(format.padding(&item, at));
        if item.size > data.len() || at > data.len() - item.size {
            return Err(too_short());
        }
        let bytes = &data[at..at + item.size];
        let mut used = item.size;
        match item.option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let signed = item.option.is_ascii_lowercase();
                call.push_number(integer(bytes, signed, format.big_endian))?;
            }
            b'x' => {}
            b'f' => {
                let bits = unsigned(bytes, format.big_endian) as u32;
                call.push_number(f32::from_bits(bits).into())?;
            }
            b'd' => call.push_number(f64::from_bits(unsigned(bytes, format.big_endian)))?,
            b'c' if item.size == 0 => {
                used = previous_size(call, before)?;
                let rest = &data[at..];
                call.push_string(rest.get(..used).ok_or_else(too_short)?)?;
            }
            b'c' => call.push_string(bytes)?,
            b's' => {
                let text = data[at..].split(|byte| *byte == 0).next().unwrap_or_default();
                if at + text.len() == data.len() {
                    return Err(Failure::text("unfinished string in data"));
                }
                call.push_string(text)?;
                used = text.len() + 1;
            }
            direction => format.direct(direction)?,
        }
        at += used;
    }
    call.push_number(at.wrapping_add(1) as i64 as f64)?;
    Ok(call.top() - before)
}

fn too_short() -> Failure {
    Failure::argument(2, "data string too short")
}

/// Takes back the number that was unpacked last: it is the length of what follows.
fn previous_size(call: &mut Call<'_>, before: c_int) -> Result<usize, Failure> {
    let size = (call.top() > before).then(|| call.to_number(-1)).flatten();
    let size = size.ok_or_else(|| Failure::text("format 'c0' needs a previous size"))?;
    call.pop(1);
    Ok(number::to_unsigned(size) as usize)
}

/// The low 64 bits.
fn unsigned(bytes: &[u8], big_endian: bool) -> u64 {
    let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
}

fn integer(bytes: &[u8], signed: bool, big_endian: bool) -> f64 {
    let value = unsigned(bytes, big_endian);
    if !signed {
        return value as f64;
    }
    // Beyond eight bytes the place of the sign wraps around, as processors shift: that is what Redis answers.
    let sign = u64::MAX << ((8 * bytes.len()).wrapping_sub(1) & 63);
    let value = if value & sign == 0 { value } else { value | sign };
    value as i64 as f64
}

fn size(call: &mut Call<'_>) -> Result<c_int, Failure> {
    let mut format = Format::new(call.string(1)?);
    let mut total = 0usize;
    while let Some(item) = format.next()? {
        total = total.wrapping_add(format.padding(&item, total)).wrapping_add(item.size);
        match item.option {
            b's' => return Err(Failure::argument(1, "option 's' has no fixed size")),
            b'c' if item.size == 0 => {
                return Err(Failure::argument(1, "option 'c0' has no fixed size"));
            }
            option if option.is_ascii_alphanumeric() => {}
            direction => format.direct(direction)?,
        }
    }
    call.push_number(total as f64)?;
    Ok(1)
}
