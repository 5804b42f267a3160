//! What commands on the elements of sets and hashes have in common: replies, counts, and iteration by cursor.

use respire_datatypes::glob;
use respire_datatypes::integer::{self, MAX_LEN, parse_i64};
use respire_datatypes::listpack::Item;
use respire_resp::{Args, Out};

use crate::error::Error;

/// Cursors from here on are beyond all positions.
const CURSOR_END: u64 = 1 << 48;
/// Empty places that a scan visits for each element that it is to return.
const VISITS_PER_ELEMENT: usize = 10;

pub(super) fn reply(out: &mut Out, item: Item<'_>) {
    match item {
        Item::Int(value) => out.bulk_int(value),
        Item::Bytes(text) => out.bulk(text),
    }
}

/// The count of a command that chooses elements at random: how many, and whether they may come again.
pub(super) fn random_count(text: &[u8]) -> Result<(usize, bool), Error> {
    match parse_i64(text).ok_or(Error::NOT_INTEGER)? {
        i64::MIN => Err(Error::OUT_OF_LONG_RANGE),
        count => Ok((count.unsigned_abs() as usize, count < 0)),
    }
}

/// The options of SSCAN and HSCAN.
pub(super) struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    pub(super) novalues: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads the options behind the cursor. NOVALUES is one of them only if `values` can be left out.
    pub(super) fn parse(args: &Args<'a>, values: bool) -> Result<Self, Error> {
        let mut options = Self { pattern: None, count: 10, novalues: false };
        let mut i = 3;
        while let Some(option) = args.try_get(i) {
            if values && option.eq_ignore_ascii_case(b"NOVALUES") {
                options.novalues = true;
                i += 1;
                continue;
            }
            let value = args.try_get(i + 1).ok_or(Error::SYNTAX)?;
            if option.eq_ignore_ascii_case(b"COUNT") {
                let count = parse_i64(value).ok_or(Error::NOT_INTEGER)?;
                options.count =
                    usize::try_from(count).ok().filter(|n| *n > 0).ok_or(Error::SYNTAX)?;
            } else if option.eq_ignore_ascii_case(b"MATCH") {
                options.pattern = (value != b"*").then_some(value);
            } else {
                return Err(Error::SYNTAX);
            }
            i += 2;
        }
        Ok(options)
    }

    pub(super) fn wants(&self, name: Item<'_>) -> bool {
        self.pattern.is_none_or(|p| name.with_bytes(|text| glob::matches(p, text, false)))
    }

    /// Visits positions from `cursor` on until there are elements enough. `visit` returns the position behind the one
    /// that it is given, and how many elements it found. Returns the next cursor, 0 at the end.
    pub(super) fn walk(
        &self,
        cursor: u64,
        mut visit: impl FnMut(u64) -> (Option<u64>, usize),
    ) -> u64 {
        // What is kept in one piece is returned as a whole, whatever the cursor.
        let mut position = Some(cursor % CURSOR_END);
        let (mut seen, mut visits) = (0, self.count.saturating_mul(VISITS_PER_ELEMENT));
        while let Some(at) = position
            && seen < self.count
            && visits > 0
        {
            let (next, found) = visit(at);
            position = next;
            seen += found;
            visits -= 1;
        }
        position.unwrap_or(0)
    }
}

/// Replies with the next cursor and what was found.
pub(super) fn reply_scan(out: &mut Out, next: u64, found: &[Vec<u8>]) {
    out.array(2);
    out.bulk(integer::format_u64(next, &mut [0; MAX_LEN]));
    out.array(found.len());
    for text in found {
        out.bulk(text);
    }
}

pub(super) fn reply_empty_scan(out: &mut Out) {
    reply_scan(out, 0, &[]);
}
