//! `bit`: operations on the low 32 bits of numbers, as LuaBitOp defines them. Results are signed.

use std::ffi::c_int;

use crate::call::{Call, Failure, Native};

pub const FUNCTIONS: &[(&str, Native)] = &[
    ("tobit", |call| unary(call, |bits| bits)),
    ("bnot", |call| unary(call, |bits| !bits)),
    ("bswap", |call| unary(call, u32::swap_bytes)),
    ("band", |call| fold(call, |left, right| left & right)),
    ("bor", |call| fold(call, |left, right| left | right)),
    ("bxor", |call| fold(call, |left, right| left ^ right)),
    ("lshift", |call| shift(call, u32::wrapping_shl)),
    ("rshift", |call| shift(call, u32::wrapping_shr)),
    ("arshift", |call| shift(call, |bits, by| (bits as i32).wrapping_shr(by) as u32)),
    ("rol", |call| shift(call, |bits, by| bits.rotate_left(by & 31))),
    ("ror", |call| shift(call, |bits, by| bits.rotate_right(by & 31))),
    ("tohex", tohex),
];

/// The sum's low bits are the number's, rounded to the nearest whole one: so it is defined, also where it is odd.
fn bits(call: &Call<'_>, argument: c_int) -> Result<u32, Failure> {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    Ok((call.number(argument)? + MAGIC).to_bits() as u32)
}

fn push(call: &mut Call<'_>, bits: u32) -> Result<c_int, Failure> {
    call.push_number((bits as i32).into())?;
    Ok(1)
}

fn unary(call: &mut Call<'_>, f: fn(u32) -> u32) -> Result<c_int, Failure> {
    let result = f(bits(call, 1)?);
    push(call, result)
}

fn fold(call: &mut Call<'_>, f: fn(u32, u32) -> u32) -> Result<c_int, Failure> {
    let mut result = bits(call, 1)?;
    // From the last on: of several that are wrong, that is the one to be named.
    for argument in (2..=call.arguments()).rev() {
        result = f(result, bits(call, argument)?);
    }
    push(call, result)
}

fn shift(call: &mut Call<'_>, f: fn(u32, u32) -> u32) -> Result<c_int, Failure> {
    let result = f(bits(call, 1)?, bits(call, 2)?);
    push(call, result)
}

/// As many hexadecimal digits as asked for, from the right; a negative count asks for capitals.
fn tohex(call: &mut Call<'_>) -> Result<c_int, Failure> {
    let value = bits(call, 1)?;
    let count = if call.arguments() < 2 { 8 } else { bits(call, 2)? as i32 };
    let digits = if count < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    let shown = count.unsigned_abs().min(8) as usize;
    call.push_string(&digits.as_bytes()[8 - shown..])?;
    Ok(1)
}
