//! One string: GETBIT, SETBIT, BITCOUNT, BITPOS.

use respire_datatypes::bits;
use respire_datatypes::integer::parse_i64;
use respire_keyspace::{NewValue, Ttl};

use super::offset_at;
use crate::ctx::{Ctx, text_of};
use crate::error::{Error, Outcome};
use crate::notify::Classes;

pub(super) fn getbit(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let offset = offset_at(ctx, 2)?;
    let key = ctx.key(1);
    let bit = match ctx.data.read(&key) {
        Some(entry) => text_of(entry)?.with_bytes(|bytes| bits::get(bytes, offset)),
        None => false,
    };
    ctx.out.int(i64::from(bit));
    Ok(())
}

pub(super) fn setbit(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let offset = offset_at(ctx, 2)?;
    let on = match parse_i64(ctx.args.get(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(Error::fixed("ERR bit is not an integer or out of range")),
    };
    let key = ctx.key(1);
    let needed = (offset / 8) as usize + 1;
    let mut before = false;
    let mut changed = true;
    match ctx.data.write(&key) {
        Some(mut entry) => {
            let (bit, len) =
                text_of(entry.get())?.with_bytes(|bytes| (bits::get(bytes, offset), bytes.len()));
            before = bit;
            changed = before != on || len < needed;
            if changed {
                entry.modify(|bytes| {
                    grow(bytes, needed);
                    bits::set(bytes, offset, on);
                });
            }
        }
        None => {
            let mut bytes = vec![0; needed];
            bits::set(&mut bytes, offset, on);
            ctx.data.insert(&key, new_string(bytes), Ttl::Clear);
        }
    }
    if changed {
        ctx.notify(Classes::STRING, "setbit", &key);
    }
    ctx.out.int(i64::from(before));
    Ok(())
}

/// Fills a string up with zero bytes.
pub(super) fn grow(bytes: &mut Vec<u8>, len: usize) {
    if bytes.len() < len {
        bytes.resize(len, 0);
    }
}

/// A string that was made by changing bits.
pub(super) fn new_string(bytes: Vec<u8>) -> NewValue<'static> {
    NewValue::Shared(std::sync::Arc::new(bytes))
}

/// A part of a string, as clients give it.
struct Range {
    start: i64,
    /// `None` for the end of the string.
    end: Option<i64>,
    /// In bits, not in bytes.
    bits: bool,
}

impl Range {
    /// Reads the arguments from `first` on.
    fn parse(ctx: &Ctx<'_, '_>, first: usize) -> Result<Self, Error> {
        if ctx.args.len() > first + 3 {
            return Err(Error::SYNTAX);
        }
        let number =
            |i: usize| ctx.args.try_get(i).map(|arg| parse_i64(arg).ok_or(Error::NOT_INTEGER));
        let (start, end) = (number(first).transpose()?, number(first + 1).transpose()?);
        let bits = match ctx.args.try_get(first + 2) {
            None => false,
            Some(unit) if unit.eq_ignore_ascii_case(b"bit") => true,
            Some(unit) if unit.eq_ignore_ascii_case(b"byte") => false,
            Some(_) => return Err(Error::SYNTAX),
        };
        Ok(Self { start: start.unwrap_or(0), end, bits })
    }

    /// Whether both ends count from the string's end, and the second lies before the first: to BITCOUNT that is an empty
    /// range even where both lie before the string, and BITPOS still looks at the first byte.
    fn is_backwards(&self) -> bool {
        self.start < 0 && self.end.is_some_and(|end| end < self.start)
    }

    /// The first and the last bit, in a string of `len` bytes. `None` for an empty range.
    fn in_bits(&self, len: usize) -> Option<(u64, u64)> {
        let total = if self.bits { len as i64 * 8 } else { len as i64 };
        let end = self.end.unwrap_or(total - 1);
        let at = |place: i64| if place < 0 { place.saturating_add(total).max(0) } else { place };
        let (start, end) = (at(self.start), at(end).min(total - 1));
        if start > end {
            return None;
        }
        let (start, end) = (start as u64, end as u64);
        Some(if self.bits { (start, end) } else { (start * 8, end * 8 + 7) })
    }
}

pub(super) fn bitcount(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() == 3 {
        return Err(Error::SYNTAX);
    }
    let range = Range::parse(ctx, 2)?;
    let key = ctx.key(1);
    let count = match ctx.data.read(&key) {
        Some(entry) => text_of(entry)?.with_bytes(|bytes| match range.in_bits(bytes.len()) {
            Some((from, to)) if !range.is_backwards() => bits::count_range(bytes, from, to),
            _ => 0,
        }),
        None => 0,
    };
    ctx.out.int(count as i64);
    Ok(())
}

pub(super) fn bitpos(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let on = match parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)? {
        0 => false,
        1 => true,
        _ => return Err(Error::fixed("ERR The bit argument must be 1 or 0.")),
    };
    // The first number, then the unit, then the second; BITCOUNT looks at both numbers first.
    if ctx.args.len() > 6 {
        return Err(Error::SYNTAX);
    }
    if ctx.args.try_get(3).is_some_and(|start| parse_i64(start).is_none()) {
        return Err(Error::NOT_INTEGER);
    }
    let unit = ctx.args.try_get(5).unwrap_or(b"bit").to_ascii_lowercase();
    if unit != b"bit" && unit != b"byte" {
        return Err(Error::SYNTAX);
    }
    let range = Range::parse(ctx, 3)?;
    let key = ctx.key(1);
    let place = match ctx.data.read(&key) {
        // A missing key is an endless row of zeros.
        None if on => None,
        None => Some(0),
        Some(entry) => text_of(entry)?.with_bytes(|bytes| {
            let (from, to) = range.in_bits(bytes.len())?;
            let beyond = (!on && range.end.is_none()).then_some(bytes.len() as u64 * 8);
            bits::find(bytes, on, from, to).or(beyond)
        }),
    };
    ctx.out.int(place.map_or(-1, |place| place as i64));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn bits_are_set_and_read() {
        let mut h = Harness::new();
        assert_eq!(h.line("SETBIT k 7 1"), ":0\r\n");
        assert_eq!(h.line("SETBIT k 7 0"), ":1\r\n");
        assert_eq!(h.line("SETBIT k 17 1"), ":0\r\n");
        assert_eq!(h.line("STRLEN k"), ":3\r\n");
        assert_eq!(h.line("GETBIT k 17"), ":1\r\n");
        assert_eq!(h.line("GETBIT k 1000"), ":0\r\n");
        assert!(h.line("SETBIT k 4294967296 1").contains("bit offset is not an integer"));
        assert!(h.line("SETBIT k -1 1").contains("bit offset is not an integer"));
        assert!(h.line("SETBIT k 1 2").contains("bit is not an integer"));
    }

    #[test]
    fn ranges_count_from_both_ends() {
        let mut h = Harness::new();
        h.run(&["SET", "k", "foobar"]);
        assert_eq!(h.line("BITPOS k 1 -9 -166"), ":1\r\n");
        assert!(h.line("BITPOS k 1 x y z").contains("not an integer"));
        assert!(h.line("BITPOS k 1 0 y z").contains("syntax error"));
        assert_eq!(h.line("BITCOUNT k -9 -166"), ":0\r\n");
        for (range, count) in [
            ("", 26),
            ("0 0", 4),
            ("1 1", 6),
            ("5 30 BIT", 17),
            ("-2 -1", 7),
            ("0 -10", 4),
            ("3 1", 0),
        ] {
            assert_eq!(h.line(&format!("BITCOUNT k {range}")), format!(":{count}\r\n"), "{range}");
        }
        assert_eq!(h.line("BITCOUNT k 0"), "-ERR syntax error\r\n");
        assert_eq!(h.line("BITCOUNT none 0 5 hello"), "-ERR syntax error\r\n");
    }

    #[test]
    fn the_row_of_zeros_behind_a_string_is_found_unless_an_end_is_given() {
        let mut h = Harness::new();
        h.run_bytes(0, &[b"SET", b"k", b"\xff\xff"]);
        assert_eq!(h.line("BITPOS k 0"), ":16\r\n");
        assert_eq!(h.line("BITPOS k 0 0 -1"), ":-1\r\n");
        assert_eq!(h.line("BITPOS k 1 1"), ":8\r\n");
        assert_eq!(h.line("BITPOS k 1 3 15 BIT"), ":3\r\n");
        assert_eq!(h.line("BITPOS none 0"), ":0\r\n");
        assert_eq!(h.line("BITPOS none 1"), ":-1\r\n");
        assert!(h.line("BITPOS k 2").contains("must be 1 or 0"));
    }
}
