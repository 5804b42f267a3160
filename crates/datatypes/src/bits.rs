//! Strings as arrays of bits, the first bit being the highest of the first byte: counting, searching, combining, and
//! integers of any width at any place.

/// The bit at `offset`; 0 behind the end.
pub fn get(bytes: &[u8], offset: u64) -> bool {
    let byte = bytes.get((offset / 8) as usize).copied().unwrap_or(0);
    byte >> (7 - offset % 8) & 1 == 1
}

/// Sets the bit at `offset`, which must be inside.
pub fn set(bytes: &mut [u8], offset: u64, on: bool) {
    let mask = 0x80 >> (offset % 8);
    let byte = &mut bytes[(offset / 8) as usize];
    *byte = if on { *byte | mask } else { *byte & !mask };
}

/// How many bits are set.
pub fn count(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 =
        words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// How many bits are set from bit `from` to bit `to`, both inclusive and inside.
pub fn count_range(bytes: &[u8], from: u64, to: u64) -> u64 {
    let (first, last) = ((from / 8) as usize, (to / 8) as usize);
    let before = bytes[first] & !(0xff_u8 >> (from % 8));
    let after = bytes[last] & !(0xff_u8 << (7 - to % 8));
    count(&bytes[first..=last]) - u64::from(before.count_ones()) - u64::from(after.count_ones())
}

/// The first bit that is `on`, from bit `from` to bit `to`, both inclusive and inside.
pub fn find(bytes: &[u8], on: bool, from: u64, to: u64) -> Option<u64> {
    let flip = if on { 0 } else { 0xff };
    let (first, last) = ((from / 8) as usize, (to / 8) as usize);
    let wanted = |i: usize| {
        let mut byte = bytes[i] ^ flip;
        if i == first {
            byte &= 0xff >> (from % 8);
        }
        if i == last {
            byte &= 0xff << (7 - to % 8);
        }
        byte
    };
    let found = |i: usize| {
        let byte = wanted(i);
        (byte != 0).then(|| i as u64 * 8 + u64::from(byte.leading_zeros()))
    };
    let mut i = first;
    while i <= last {
        // Whole words without a candidate are passed over.
        if i > first && i + 8 <= last {
            let word: [u8; 8] = bytes[i..i + 8].try_into().expect("eight bytes");
            if u64::from_ne_bytes(word) == u64::from_ne_bytes([flip; 8]) {
                i += 8;
                continue;
            }
        }
        if let Some(at) = found(i) {
            return Some(at);
        }
        i += 1;
    }
    None
}

/// How BITOP combines strings. Where one stands apart, it is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// In the first and in no other.
    Diff,
    /// In another and not in the first.
    Diff1,
    /// In the first and in another.
    AndOr,
    /// In exactly one.
    One,
}

/// The combination of `sources`, as long as the longest of them; the others end in zeros.
pub fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let padded = |source: &[u8]| {
        let mut bytes = source.to_vec();
        bytes.resize(len, 0);
        bytes
    };
    let Some((first, others)) = sources.split_first() else { return Vec::new() };
    let union = || {
        let mut union = vec![0; len];
        others.iter().for_each(|other| merge(&mut union, other, |a, b| a | b));
        union
    };
    let mut result = padded(first);
    match operation {
        Operation::Not => result.iter_mut().for_each(|byte| *byte = !*byte),
        Operation::Or => others.iter().for_each(|other| merge(&mut result, other, |a, b| a | b)),
        Operation::Xor => others.iter().for_each(|other| merge(&mut result, other, |a, b| a ^ b)),
        Operation::And => {
            for other in others {
                merge(&mut result, other, |a, b| a & b);
                result[other.len()..].fill(0);
            }
        }
        Operation::Diff => merge(&mut result, &union(), |a, b| a & !b),
        Operation::Diff1 => merge(&mut result, &union(), |a, b| b & !a),
        Operation::AndOr => merge(&mut result, &union(), |a, b| a & b),
        Operation::One => {
            let mut twice = vec![0; len];
            for other in others {
                let both = twice.iter_mut().zip(&result).zip(other.iter());
                both.for_each(|((twice, seen), byte)| *twice |= seen & byte);
                merge(&mut result, other, |a, b| a | b);
            }
            merge(&mut result, &twice, |a, b| a & !b);
        }
    }
    result
}

fn merge(into: &mut [u8], from: &[u8], f: impl Fn(u8, u8) -> u8) {
    into.iter_mut().zip(from).for_each(|(a, b)| *a = f(*a, *b));
}

/// The type of an integer inside a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub signed: bool,
    /// 1 to 64, to 63 where there is no sign.
    pub bits: u32,
}

/// What becomes of a number that does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits stay.
    Wrap,
    /// It becomes the nearest number that fits.
    Saturate,
    /// Nothing is stored.
    Fail,
}

impl Field {
    /// The type that a name such as `u8` or `i64` stands for.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (letter, digits) = name.split_first()?;
        let signed = match letter {
            b'i' => true,
            b'u' => false,
            _ => return None,
        };
        let bits = u32::try_from(crate::integer::parse_i64(digits)?).ok()?;
        let most = if signed { 64 } else { 63 };
        (1..=most).contains(&bits).then_some(Self { signed, bits })
    }

    fn range(self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// Reads the number at a bit; what is behind the end is zeros.
    pub fn get(self, bytes: &[u8], offset: u64) -> i64 {
        let raw = (0..u64::from(self.bits))
            .fold(0_u64, |raw, i| raw << 1 | u64::from(get(bytes, offset + i)));
        let unused = 64 - self.bits;
        if self.signed { (raw << unused) as i64 >> unused } else { raw as i64 }
    }

    /// Writes a number that fits at a bit. All its bits must be inside.
    pub fn set(self, bytes: &mut [u8], offset: u64, value: i64) {
        for i in 0..self.bits {
            let on = value >> (self.bits - 1 - i) & 1 == 1;
            set(bytes, offset + u64::from(i), on);
        }
    }

    /// What is stored for `value`; `None` if it must not be.
    pub fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = self.range();
        if (least..=most).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(value.clamp(least, most) as i64),
            Overflow::Wrap => {
                let width = 1_i128 << self.bits;
                let low = value.rem_euclid(width);
                Some(if low > most { low - width } else { low } as i64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rng: &mut fastrand::Rng) -> Vec<u8> {
        let fill = *rng.choice(&[0, 0xff, 0x10]).unwrap();
        let len = rng.usize(1..60);
        (0..len).map(|_| if rng.u8(..8) == 0 { rng.u8(..) } else { fill }).collect()
    }

    #[test]
    fn ranges_agree_with_single_bits() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..3000 {
            let bytes = random(&mut rng);
            let bits = bytes.len() as u64 * 8;
            let from = rng.u64(..bits);
            let to = rng.u64(from..bits);
            let ones = (from..=to).filter(|at| get(&bytes, *at)).count() as u64;
            assert_eq!(count_range(&bytes, from, to), ones);
            for on in [false, true] {
                let first = (from..=to).find(|at| get(&bytes, *at) == on);
                assert_eq!(find(&bytes, on, from, to), first, "{bytes:x?} {on} {from} {to}");
            }
        }
    }

    #[test]
    fn combinations_agree_with_their_definition() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..2000 {
            let sources: Vec<Vec<u8>> = (0..rng.usize(1..5)).map(|_| random(&mut rng)).collect();
            let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let bits = sources.iter().map(|source| source.len()).max().unwrap() as u64 * 8;
            use Operation::*;
            for operation in [And, Or, Xor, Not, Diff, Diff1, AndOr, One] {
                let result = combine(operation, &sources);
                for at in 0..bits {
                    let of = |i: usize| get(sources[i], at);
                    let first = of(0);
                    let others = (1..sources.len()).filter(|i| of(*i)).count();
                    let all = others + usize::from(first);
                    let expected = match operation {
                        And => all == sources.len(),
                        Or => all > 0,
                        Xor => all % 2 == 1,
                        Not => !first,
                        Diff => first && others == 0,
                        Diff1 => !first && others > 0,
                        AndOr => first && others > 0,
                        One => all == 1,
                    };
                    assert_eq!(get(&result, at), expected, "{operation:?} {at} {sources:x?}");
                }
            }
        }
    }

    #[test]
    fn fields_keep_what_fits() {
        let mut bytes = [0; 12];
        let (u5, i64) = (Field::parse(b"u5").unwrap(), Field::parse(b"i64").unwrap());
        u5.set(&mut bytes, 3, 21);
        i64.set(&mut bytes, 13, i64::MIN + 5);
        assert_eq!((u5.get(&bytes, 3), i64.get(&bytes, 13)), (21, i64::MIN + 5));
        assert_eq!(u5.get(&[], 100), 0);
        for wrong in ["u64", "i65", "u0", "i0", "x8", "u", "", "u-1", "u 8"] {
            assert_eq!(Field::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_wrap_saturate_or_fail() {
        let (u8, i8) = (Field::parse(b"u8").unwrap(), Field::parse(b"i8").unwrap());
        assert_eq!(u8.fit(256 + 7, Overflow::Wrap), Some(7));
        assert_eq!(u8.fit(-1, Overflow::Wrap), Some(255));
        assert_eq!(u8.fit(-1, Overflow::Saturate), Some(0));
        assert_eq!(u8.fit(1000, Overflow::Saturate), Some(255));
        assert_eq!(i8.fit(128, Overflow::Wrap), Some(-128));
        assert_eq!(i8.fit(-129, Overflow::Wrap), Some(127));
        assert_eq!(i8.fit(-129, Overflow::Fail), None);
        assert_eq!(i8.fit(-128, Overflow::Fail), Some(-128));
        let i64 = Field::parse(b"i64").unwrap();
        let over = i128::from(i64::MAX) + 1;
        assert_eq!(i64.fit(over, Overflow::Wrap), Some(i64::MIN));
        assert_eq!(i64.fit(over, Overflow::Saturate), Some(i64::MAX));
    }
}
