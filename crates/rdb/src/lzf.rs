//! LZF, the compression of strings in the format: copies of what came up to 8 KiB before.
//!
//! ```text
//! 000xxxxx                     x + 1 bytes follow as they are
//! xxxyyyyy yyyyyyyy            x + 2 bytes (x from 1 to 6) are those y + 1 bytes back
//! 111yyyyy xxxxxxxx yyyyyyyy   x + 9 bytes are those y + 1 bytes back
//! ```
//!
//! Any choice of copies is a valid compression. Ours follows that of servers, which look for three equal bytes by a hash
//! of them in a table of 65,536 places, and take the last place it names; so the bytes are the same as theirs.

use std::cell::RefCell;

use crate::error::RdbError;

const TABLE_BITS: u32 = 16;
const MAX_BACK: usize = 1 << 13;
const MAX_COPY: usize = 264;
const MAX_LITERALS: usize = 32;
/// How many bytes a byte of input can become, at most: three make 264.
const MAX_RATIO: u64 = 88;
const CORRUPT: RdbError = RdbError::Corrupt("compressed string");

/// The last place of each hash. Places are counted on from one text to the next, so that what an older text left behind
/// is out of reach and needs no clearing.
struct Table {
    places: Box<[u32]>,
    base: u32,
}

thread_local! {
    static TABLE: RefCell<Table> =
        RefCell::new(Table { places: Box::new([]), base: 0 });
}

#[inline]
fn hash(text: &[u8], at: usize) -> usize {
    let [a, b, c] = [text[at], text[at + 1], text[at + 2]].map(u32::from);
    let three = a << 16 | b << 8 | c;
    ((three >> (24 - TABLE_BITS)).wrapping_sub(three.wrapping_mul(5)) & ((1 << TABLE_BITS) - 1))
        as usize
}

impl Table {
    /// Prepares for a text of `len` bytes.
    fn begin(&mut self, len: usize) {
        if self.places.is_empty() {
            self.places = vec![0; 1 << TABLE_BITS].into_boxed_slice();
        }
        // Place 0 is nowhere.
        match self.base.checked_add(len as u32 + 1) {
            Some(_) => {}
            None => {
                self.places.fill(0);
                self.base = 0;
            }
        }
    }

    /// Notes that the hash of three bytes was last seen at `at`; returns where it was before.
    #[inline]
    fn swap(&mut self, text: &[u8], at: usize) -> Option<usize> {
        let place = &mut self.places[hash(text, at)];
        let before = place.checked_sub(self.base + 1);
        *place = self.base + 1 + at as u32;
        before.map(|before| before as usize)
    }
}

/// Appends the compressed text. Returns `false`, with `out` as it was, if it would not be at least four bytes shorter.
pub fn compress(text: &[u8], out: &mut Vec<u8>) -> bool {
    // A longer text would not fit the places of the table.
    if text.len() <= 4 || text.len() > u32::MAX as usize / 2 {
        return false;
    }
    TABLE.with_borrow_mut(|table| {
        table.begin(text.len());
        let start = out.len();
        let done = compress_with(table, text, out);
        table.base += text.len() as u32;
        if !done {
            out.truncate(start);
        }
        done
    })
}

fn compress_with(table: &mut Table, text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let limit = text.len() - 4;
    // Bytes that are written when those from `literals` to `at` are.
    let written = |out: &Vec<u8>, literals: usize, at: usize| {
        let run = at - literals;
        out.len() - start + run + run / MAX_LITERALS + 1
    };
    let (mut at, mut literals) = (0, 0);
    while at + 2 < text.len() {
        let from = table.swap(text, at).filter(|from| {
            *from > 0 && at - from <= MAX_BACK && text[*from..from + 3] == text[at..at + 3]
        });
        let Some(from) = from else {
            if written(out, literals, at) >= limit {
                return false;
            }
            at += 1;
            continue;
        };
        let unrun = usize::from((at - literals) % MAX_LITERALS == 0);
        if written(out, literals, at) - unrun + 4 >= limit {
            return false;
        }
        put_literals(out, &text[literals..at]);
        let most = (text.len() - at - 2).min(MAX_COPY);
        let len = copy_len(text, from, at, most);
        put_copy(out, len, at - from);
        at += len;
        literals = at;
        if at + 2 >= text.len() {
            break;
        }
        // What was copied is not looked at, but for its last two places.
        table.swap(text, at - 2);
        table.swap(text, at - 1);
    }
    if written(out, literals, at) + 3 > limit {
        return false;
    }
    put_literals(out, &text[literals..]);
    true
}

/// How many bytes at `from` and `at` are equal, where three are and `most` may be.
#[inline]
fn copy_len(text: &[u8], from: usize, at: usize, most: usize) -> usize {
    let mut len = 3;
    while len < most && text[from + len] == text[at + len] {
        len += 1;
    }
    len
}

fn put_literals(out: &mut Vec<u8>, text: &[u8]) {
    for run in text.chunks(MAX_LITERALS) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn put_copy(out: &mut Vec<u8>, len: usize, back: usize) {
    let (len, back) = (len - 2, back - 1);
    if len < 7 {
        out.push((len << 5 | back >> 8) as u8);
    } else {
        out.extend([(7 << 5 | back >> 8) as u8, (len - 7) as u8]);
    }
    out.push(back as u8);
}

/// Appends the text of `len` bytes that `input` is the compressed form of.
pub fn decompress(input: &[u8], len: u64, out: &mut Vec<u8>) -> Result<(), RdbError> {
    if len > (input.len() as u64).saturating_mul(MAX_RATIO) {
        return Err(CORRUPT);
    }
    let start = out.len();
    let end = start + len as usize;
    out.reserve(len as usize);
    let mut input = input;
    let mut take = |n: usize| input.split_off(..n).ok_or(CORRUPT);
    while out.len() < end {
        let control = take(1)?[0];
        if control < 1 << 5 {
            let run = take(usize::from(control) + 1)?;
            if run.len() > end - out.len() {
                return Err(CORRUPT);
            }
            out.extend_from_slice(run);
            continue;
        }
        let mut copy = usize::from(control >> 5) + 2;
        if copy == 9 {
            copy += usize::from(take(1)?[0]);
        }
        let back = (usize::from(control & 0x1f) << 8 | usize::from(take(1)?[0])) + 1;
        if back > out.len() - start || copy > end - out.len() {
            return Err(CORRUPT);
        }
        let from = out.len() - back;
        if back >= copy {
            out.extend_from_within(from..from + copy);
        } else {
            // What is copied overlaps with what it makes.
            for i in 0..copy {
                out.push(out[from + i]);
            }
        }
    }
    if input.is_empty() { Ok(()) } else { Err(CORRUPT) }
}
