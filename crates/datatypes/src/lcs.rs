//! The longest common subsequence of two strings, for LCS.
//!
//! Where several subsequences are equally long, the one found is the one that clients of Redis get: walking back
//! from the ends, the first string gives way only when that keeps a strictly longer subsequence. The
//! walk needs one bit per pair of positions instead of a length, so the table takes a thirty-second of the memory
//! that [`table_bytes`] states.

use std::ops::Range;

/// A stretch that both strings have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub a: Range<usize>,
    pub b: Range<usize>,
}

impl Match {
    /// Bytes in the stretch, the same for both strings and never zero.
    pub fn length(&self) -> usize {
        self.a.len()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lcs {
    /// The subsequence itself; its length is the LCS length.
    pub subsequence: Vec<u8>,
    /// The stretches it is made of, from the ends of the strings to their starts.
    pub matches: Vec<Match>,
}

/// Bytes of a classic table of 32-bit lengths for strings of these lengths: the documented measure that callers
/// hold against `proto-max-bulk-len` before they ask for the subsequence.
pub fn table_bytes(a_len: usize, b_len: usize) -> u128 {
    (a_len as u128 + 1) * (b_len as u128 + 1) * 4
}

/// Only the length of the longest common subsequence, in memory proportional to `b`.
pub fn length(a: &[u8], b: &[u8]) -> usize {
    let mut row = vec![0_u32; b.len() + 1];
    for &byte in a {
        next_row(byte, b, &mut row, |_| {});
    }
    row[b.len()] as usize
}

/// The longest common subsequence with its stretches. Time is the product of the lengths: callers bound it
/// through [`table_bytes`].
pub fn lcs(a: &[u8], b: &[u8]) -> Lcs {
    let words_per_row = b.len().div_ceil(64);
    // Bit (i, j): dropping a[i] keeps a longer subsequence than dropping b[j].
    let mut drop_a = vec![0_u64; a.len() * words_per_row];
    let mut row = vec![0_u32; b.len() + 1];
    for (i, &byte) in a.iter().enumerate() {
        let bits = &mut drop_a[i * words_per_row..][..words_per_row];
        next_row(byte, b, &mut row, |j| bits[j / 64] |= 1 << (j % 64));
    }

    let mut subsequence = Vec::with_capacity(row[b.len()] as usize);
    let mut matches: Vec<Match> = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            match matches.last_mut() {
                Some(open) if open.a.start == i && open.b.start == j => {
                    open.a.start -= 1;
                    open.b.start -= 1;
                }
                _ => matches.push(Match { a: i - 1..i, b: j - 1..j }),
            }
            subsequence.push(a[i - 1]);
            i -= 1;
            j -= 1;
        } else if drop_a[(i - 1) * words_per_row + (j - 1) / 64] >> ((j - 1) % 64) & 1 == 1 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    subsequence.reverse();
    Lcs { subsequence, matches }
}

/// Turns the lengths for a prefix of `a` into those for the prefix that is longer by `byte`, and reports each
/// `j` where the old row is the strictly better neighbour.
fn next_row(byte: u8, b: &[u8], row: &mut [u32], mut above_is_better: impl FnMut(usize)) {
    let mut diagonal = 0;
    for (j, &other) in b.iter().enumerate() {
        let above = row[j + 1];
        let left = row[j];
        row[j + 1] = if byte == other {
            diagonal + 1
        } else if above > left {
            above_is_better(j);
            above
        } else {
            left
        };
        diagonal = above;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, subsequence: &str, matches: &[(Range<usize>, Range<usize>)]) {
        let found = lcs(a.as_bytes(), b.as_bytes());
        assert_eq!(found.subsequence, subsequence.as_bytes(), "{a} {b}");
        let ranges: Vec<_> = found.matches.into_iter().map(|m| (m.a, m.b)).collect();
        assert_eq!(ranges, matches, "{a} {b}");
        assert_eq!(length(a.as_bytes(), b.as_bytes()), subsequence.len());
    }

    #[test]
    fn finds_the_documented_example() {
        check("ohmytext", "mynewtext", "mytext", &[(4..8, 5..9), (2..4, 0..2)]);
    }

    #[test]
    fn handles_nothing_in_common() {
        check("", "", "", &[]);
        check("abc", "", "", &[]);
        check("", "abc", "", &[]);
        check("abc", "xyz", "", &[]);
        check("a", "a", "a", &[(0..1, 0..1)]);
    }

    #[test]
    fn lengths_agree_with_a_recursive_model() {
        fn model(a: &[u8], b: &[u8]) -> usize {
            match (a, b) {
                ([x, a_rest @ ..], [y, b_rest @ ..]) if x == y => 1 + model(a_rest, b_rest),
                ([_, a_rest @ ..], [_, b_rest @ ..]) => model(a_rest, b).max(model(a, b_rest)),
                _ => 0,
            }
        }
        let seed = 0x5eed_1234_u64;
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for round in 0..300 {
            let mut string = || {
                let len = next() % 9;
                (0..len).map(|_| b'a' + (next() % 3) as u8).collect::<Vec<_>>()
            };
            let (a, b) = (string(), string());
            let found = lcs(&a, &b);
            let context = format!("seed {seed} round {round} {a:?} {b:?}");
            assert_eq!(found.subsequence.len(), model(&a, &b), "{context}");
            assert_eq!(length(&a, &b), model(&a, &b), "{context}");
            let mut joined = Vec::new();
            for stretch in found.matches.iter().rev() {
                assert_eq!(a[stretch.a.clone()], b[stretch.b.clone()], "{context}");
                joined.extend_from_slice(&a[stretch.a.clone()]);
            }
            assert_eq!(joined, found.subsequence, "{context}");
        }
    }

    #[test]
    fn states_the_memory_of_the_classic_table() {
        assert_eq!(table_bytes(0, 0), 4);
        assert_eq!(table_bytes(10, 20), 11 * 21 * 4);
        assert!(table_bytes(1 << 40, 1 << 40) > u128::from(u64::MAX));
    }
}
