//! Random keys, values, numbers and nonsense.
//!
//! The pools are small on purpose: keys have to collide, and boundary numbers have to be common.
//! Invariant: no word may make a key expire while the test runs. Every time to live is either hours away or over.

/// Sixteen databases, as in Redis' default.
pub const DATABASES: i64 = 16;

/// Shortest relative time to live that is ever sent, in seconds; also the step between two of them.
pub const FAR_SECONDS: u64 = 10_000;

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, and good enough to pick words.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    /// True in `a` of `b` cases.
    pub fn chance(&mut self, a: u64, b: u64) -> bool {
        self.below(b) < a
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

const KEYS: &[&[u8]] = &[
    b"k0",
    b"k1",
    b"k2",
    b"k3",
    b"k4",
    b"k5",
    b"k6",
    b"k7",
    b"K0",
    b"{k0}x",
    b"",
    b"\x00\r\n\xff",
    b"key:1",
    b"a longer key with spaces, beyond the short ones",
    b"s0",
    b"s1",
    b"h0",
    b"h1",
];

const VALUES: &[&[u8]] = &[
    b"",
    b"x",
    b"hello",
    b"foobared",
    b"ohmytext",
    b"mynewtext",
    b"\x00",
    b"\xff\xfe\r\n\x00",
    b"  ",
    b"3.0",
    b"5.0e3",
    b"value of fortytwo bytes, of embstr's length",
    b"value of forty-five bytes, one above the limit",
    b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "10",
    "42",
    "100",
    "-100",
    "9999",
    "10000",
    "9223372036854775807",
    "9223372036854775806",
    "-9223372036854775808",
    "-9223372036854775807",
    "4611686018427387904",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967296",
    "1000000",
];

/// Texts that look like numbers and are not valid integers.
const BAD_INTEGERS: &[&str] = &[
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "007",
    "-0",
    "-",
    "+5",
    " 5",
    "5 ",
    "",
    "abc",
    "1.5",
    "1e3",
    "0x10",
    "1\0",
    "99999999999999999999999999",
    "--1",
    "nan",
];

const FLOATS: &[&str] = &[
    "0",
    "1",
    "-1",
    "0.1",
    "0.2",
    "1.5",
    "-2.25",
    "3.14159",
    "5.0e3",
    "1e10",
    "-1e10",
    "1e-5",
    "100.001",
    ".5",
    "5.",
    "10.50",
    "0.0000001",
    "123456789.125",
    "3.0e-3",
    "-0.0",
    "00.5",
];

/// Floats at the edges of what a long double takes, and texts that are none.
const BAD_FLOATS: &[&str] = &[
    "inf", "-inf", "+inf", "infinity", "nan", "NaN", "-nan", "", " 1", "1 ", "abc", "1.5x", "1,5",
    "0x1p3x", "--1", "1e", "e5", ".", "+", "1\0",
];

const WIDE_FLOATS: &[&str] =
    &["1e17", "1e18", "9007199254740993", "1e-17", "123456789012345678", "0x10", "1e300"];

/// Options and nonsense to throw into a command. `PX` is missing, because it would turn far seconds into near
/// milliseconds.
const NONSENSE: &[&[u8]] = &[
    b"NX",
    b"XX",
    b"GT",
    b"LT",
    b"GET",
    b"EX",
    b"EXAT",
    b"PXAT",
    b"KEEPTTL",
    b"PERSIST",
    b"MATCH",
    b"COUNT",
    b"TYPE",
    b"LEN",
    b"IDX",
    b"REPLACE",
    b"DB",
    b"ASYNC",
    b"foo",
    b"",
    b"\x00",
    b"\r\n",
    b"\xff",
    b"*",
    b"-1",
    b"0",
    b"nx",
    b"Ex",
    b"1.5",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"(1",
    b"[a",
    b"'\"",
];

const PATTERNS: &[&[u8]] = &[
    b"*",
    b"k*",
    b"k?",
    b"k[0-3]",
    b"k[^0-3]",
    b"k[1",
    b"k[",
    b"[",
    b"\\k0",
    b"k\\",
    b"K*",
    b"?",
    b"??",
    b"",
    b"**",
    b"*0",
    b"*k*0*",
    b"k[3-0]",
    b"k[a-z0-9]",
    b"{k0}*",
    b"k[\\0]",
    b"[kK]0",
    b"*\r\n*",
    b"key:*",
    b"k[-1]",
    b"k[]0]",
    b"k[^]",
];

/// Absolute times in the far future (seconds).
const FAR_UNIX: &[u64] =
    &[4_102_444_800, 4_102_444_801, 5_000_000_000, 9_999_999_999, 253_402_300_799];

/// A source of words with the state that keeps them harmless.
#[derive(Debug)]
pub struct Words {
    pub random: Random,
    /// The connection that the next step is for has a transaction open.
    pub in_multi: bool,
    unique: u64,
    rising: u64,
}

impl Words {
    pub fn new(seed: u64) -> Words {
        Words { random: Random::new(seed), in_multi: false, unique: 0, rising: 1000 }
    }

    pub fn chance(&mut self, a: u64, b: u64) -> bool {
        self.random.chance(a, b)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.random.below(n)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        self.random.pick(from)
    }

    pub fn key(&mut self) -> Vec<u8> {
        // The first eight half of the time, so that commands meet.
        if self.chance(1, 2) { self.pick(&KEYS[..8]).to_vec() } else { self.pick(KEYS).to_vec() }
    }

    /// A number that never falls.
    pub fn rising(&mut self) -> u64 {
        self.rising += self.below(3);
        self.rising
    }

    /// The last number of [`Self::rising`].
    pub fn last_rising(&self) -> u64 {
        self.rising
    }

    pub fn value(&mut self) -> Vec<u8> {
        match self.below(10) {
            0..=3 => self.pick(VALUES).to_vec(),
            4..=6 => self.integer(),
            7 => self.float(),
            8 => {
                let letters = b"abc\x00\xff ";
                let len = self.below(80);
                (0..len).map(|_| self.pick(letters)).collect()
            }
            _ => vec![b'y'; self.below(300) as usize],
        }
    }

    pub fn integer(&mut self) -> Vec<u8> {
        match self.below(8) {
            0..=3 => self.pick(INTEGERS).into(),
            4..=6 => (self.below(2000) as i64 - 1000).to_string().into_bytes(),
            _ => self.pick(BAD_INTEGERS).into(),
        }
    }

    pub fn float(&mut self) -> Vec<u8> {
        match self.below(10) {
            0..=6 => self.pick(FLOATS).into(),
            7 => self.pick(BAD_FLOATS).into(),
            8 => self.pick(WIDE_FLOATS).into(),
            _ => self.integer(),
        }
    }

    /// A position in a string: mostly near its ends, at times absurd.
    pub fn index(&mut self) -> Vec<u8> {
        match self.below(6) {
            0..=3 => (self.below(24) as i64 - 12).to_string().into_bytes(),
            4 => self.integer(),
            _ => self
                .pick(&["536870911", "536870912", "-536870912", "4294967295", "-4294967297"])
                .into(),
        }
    }

    pub fn pattern(&mut self) -> Vec<u8> {
        self.pick(PATTERNS).to_vec()
    }

    pub fn nonsense(&mut self) -> Vec<u8> {
        self.pick(NONSENSE).to_vec()
    }

    pub fn bad_integer(&mut self) -> Vec<u8> {
        self.pick(BAD_INTEGERS).into()
    }

    /// A database number: four of them are much used, one is beyond the end.
    pub fn database(&mut self) -> Vec<u8> {
        match self.below(12) {
            0..=8 => self.below(4).to_string().into_bytes(),
            9 => self.pick(&["15", "16", "-1", "65536"]).into(),
            10 => self.below(DATABASES as u64).to_string().into_bytes(),
            _ => self.integer(),
        }
    }

    /// A relative time to live in seconds, no two alike: what GT and LT decide then never hangs on milliseconds.
    pub fn far_seconds(&mut self) -> u64 {
        self.unique += 1;
        // Steps of seven visit the values out of order.
        FAR_SECONDS * (1 + self.unique * 7 % 100_003)
    }

    /// An absolute time in seconds: in the far future, or long over. The latter are still far when damage to the
    /// command makes them relative.
    pub fn unix_seconds(&mut self) -> Vec<u8> {
        if self.chance(1, 5) {
            self.pick(&["100000", "1000000000"]).into()
        } else {
            self.pick(FAR_UNIX).to_string().into_bytes()
        }
    }

    /// An absolute time in milliseconds, likewise.
    pub fn unix_millis(&mut self) -> Vec<u8> {
        if self.chance(1, 5) {
            self.pick(&["1000000000", "1000000000000"]).into()
        } else {
            (self.pick(FAR_UNIX) * 1000 + 1).to_string().into_bytes()
        }
    }

    /// A time that is no valid time to live, or one at the very end of the range.
    pub fn odd_time(&mut self) -> Vec<u8> {
        self.pick(&[
            "0",
            "-1",
            "-10000",
            "9223372036854775807",
            "9223372036854775806",
            "9223372036854775",
            "9223372036854776",
            "-9223372036854775808",
            "-9223372036854775",
            "-9223372036854776",
            "9223372036854775808",
            "abc",
            "",
            "1.5",
            " 5",
            "+5",
            "007",
        ])
        .into()
    }

    /// `text` in random case.
    pub fn cased(&mut self, text: &str) -> Vec<u8> {
        match self.below(4) {
            0 => text.to_ascii_lowercase().into_bytes(),
            1 => text
                .bytes()
                .map(|b| {
                    if self.chance(1, 2) { b.to_ascii_lowercase() } else { b.to_ascii_uppercase() }
                })
                .collect(),
            _ => text.as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_words() {
        let run = |seed| {
            let mut words = Words::new(seed);
            (0..100).map(|_| (words.key(), words.value())).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn relative_times_never_repeat_soon() {
        let mut words = Words::new(1);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100_000 {
            let seconds = words.far_seconds();
            assert!(seconds >= FAR_SECONDS);
            assert!(seen.insert(seconds), "{seconds} twice");
        }
    }
}
