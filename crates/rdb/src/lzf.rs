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
    places: Box<[u32; 1 << TABLE_BITS]>,
    base: u32,
}

thread_local! {
    static TABLE: RefCell<Table> =
        RefCell::new(Table { places: zeros(), base: 0 });
}

fn zeros() -> Box<[u32; 1 << TABLE_BITS]> {
    let zeros = vec![0; 1 << TABLE_BITS].into_boxed_slice();
    zeros.try_into().expect("it has that length")
}

/// Three bytes of the text as a number.
#[inline(always)]
fn three(text: &[u8], at: usize) -> u32 {
    let bytes = &text[at..at + 3];
    u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2])
}

#[inline(always)]
fn hash(three: u32) -> usize {
    let mixed = (three >> (24 - TABLE_BITS)).wrapping_sub(three.wrapping_mul(5));
    (mixed & ((1 << TABLE_BITS) - 1)) as usize
}

impl Table {
    /// Prepares for a text of `len` bytes.
    fn begin(&mut self, len: usize) {
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
    #[inline(always)]
    fn swap(&mut self, three: u32, at: usize) -> Option<usize> {
        let place = &mut self.places[hash(three)];
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
        let here = three(text, at);
        let from = table
            .swap(here, at)
            .filter(|from| *from > 0 && at - from <= MAX_BACK && three(text, *from) == here);
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
        table.swap(three(text, at - 2), at - 2);
        table.swap(three(text, at - 1), at - 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &[u8]) -> Option<usize> {
        let mut packed = b"before".to_vec();
        if !compress(text, &mut packed) {
            assert_eq!(packed, b"before");
            return None;
        }
        let mut unpacked = b"other".to_vec();
        decompress(&packed[6..], text.len() as u64, &mut unpacked).unwrap();
        assert_eq!(&unpacked[5..], text);
        Some(packed.len() - 6)
    }

    #[test]
    fn what_repeats_becomes_short() {
        assert_eq!(round_trip(&[b'a'; 100]), Some(9));
        assert_eq!(round_trip(&b"abcdef".repeat(50)).map(|len| len < 20), Some(true));
        assert_eq!(round_trip(b"abcdefghijklmnopqrstuvwxyz0123456789"), None);
        assert_eq!(round_trip(b"aaaa"), None);
        assert_eq!(round_trip(b""), None);
    }

    #[test]
    fn known_bytes_are_understood() {
        let mut out = Vec::new();
        // Two letters, then a copy of 9 from 1 back, then one of 3 from 2 back.
        decompress(&[1, b'a', b'b', 0xe0, 0, 0, 0x20, 1], 14, &mut out).unwrap();
        assert_eq!(out, b"abbbbbbbbbbbbb");
    }

    #[test]
    fn texts_of_all_sorts_come_back() {
        let seed = std::env::var("RESPIRE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("RESPIRE_SEED={seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..3000 {
            let letters = rng.u8(1..=32);
            let len = rng.usize(..1 << 16) >> rng.u8(..14);
            let text: Vec<u8> = (0..len).map(|_| rng.u8(..letters)).collect();
            round_trip(&text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let mut text = Vec::new();
        for (input, len) in [
            (&[5, b'a'][..], 6),
            (&[0, b'a'], 2),
            (&[0, b'a', 0, b'b'], 1),
            (&[0x20, 0], 3),
            (&[0, b'a', 0x20, 1], 4),
            (&[0, b'a', 0xe0, 255, 0], 20),
            (&[0, b'a'], u64::MAX),
        ] {
            assert!(decompress(input, len, &mut text).is_err(), "{input:?}");
        }
        assert!(text.capacity() < 10_000);
    }
}
