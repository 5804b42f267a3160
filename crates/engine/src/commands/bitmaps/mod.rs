//! Commands on strings as arrays of bits: the rows, and what their handlers share.

mod field;
mod operations;
mod single;

use respire_datatypes::integer::parse_i64;

use crate::command::{Flags, Group, KeySpec, Row};
use crate::ctx::Ctx;
use crate::error::Error;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);

const READS: &[KeySpec] = &[KeySpec::one(1, "RO access")];

const fn docs(row: Row, since: &'static str, cost: &'static str, text: [&'static str; 2]) -> Row {
    row.docs(Group::Bitmap, since, cost, text[0], text[1])
}

const PER_OPERATION: &str = "O(1) for each operation";

pub(crate) const ROWS: &[Row] = &[
    docs(
        Row::new("bitcount", -2, single::bitcount).flags(READ).keys(READS),
        "2.6.0",
        "O(N) with the bytes looked at",
        ["Counts the bits that are set.", "key [start end [BYTE | BIT]]"],
    ),
    docs(
        Row::new("bitfield", -2, field::bitfield).flags(WRITE).keys(&[KeySpec::one(
            1,
            "RW access update variable_flags",
        )
        .notes("It writes only where SET or INCRBY is given")]),
        "3.2.0",
        PER_OPERATION,
        [
            "Reads and changes integers of any width inside a string.",
            "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset \
             increment> [...]]",
        ],
    ),
    docs(
        Row::new("bitfield_ro", -2, field::bitfield_ro).flags(READ_FAST).keys(READS),
        "6.0.0",
        PER_OPERATION,
        [
            "Reads integers of any width inside a string.",
            "key [GET encoding offset [GET encoding offset ...]]",
        ],
    ),
    docs(
        Row::new("bitop", -4, operations::bitop)
            .flags(WRITE)
            .keys(&[KeySpec::one(2, "OW update"), KeySpec::rest(3, 1, "RO access")]),
        "2.6.0",
        "O(N) with the bytes of the strings",
        [
            "Stores the combination of the bits of several strings.",
            "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
        ],
    ),
    docs(
        Row::new("bitpos", -3, single::bitpos).flags(READ).keys(READS),
        "2.8.7",
        "O(N) with the bytes looked at",
        ["Finds the first bit that is set, or clear.", "key bit [start [end [BYTE | BIT]]]"],
    ),
    docs(
        Row::new("getbit", 3, single::getbit).flags(READ_FAST).keys(READS),
        "2.2.0",
        "O(1)",
        ["Returns a bit.", "key offset"],
    ),
    docs(
        Row::new("setbit", 4, single::setbit)
            .flags(WRITE)
            .keys(&[KeySpec::one(1, "RW access update")]),
        "2.2.0",
        "O(1)",
        ["Sets or clears a bit, and returns what it was.", "key offset value"],
    ),
];

const BAD_OFFSET: Error = Error::fixed("ERR bit offset is not an integer or out of range");

/// A bit's number as far as strings may grow.
fn offset(ctx: &Ctx<'_, '_>, number: Option<i64>) -> Result<u64, Error> {
    let offset = number.and_then(|number| u64::try_from(number).ok());
    offset.filter(|offset| offset / 8 < ctx.settings.proto_max_bulk_len).ok_or(BAD_OFFSET)
}

/// Argument `i` as a bit's number.
fn offset_at(ctx: &Ctx<'_, '_>, i: usize) -> Result<u64, Error> {
    offset(ctx, parse_i64(ctx.args.get(i)))
}
