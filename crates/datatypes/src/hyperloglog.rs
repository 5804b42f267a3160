//! HyperLogLog: the number of different elements of a set, estimated from 16,384 registers, in the bytes that Redis keeps.
//!
//! A value is a header of 16 bytes and the registers. The header: `HYLL`, the form (0 dense, 1 sparse), three zeros, and
//! the last estimate in little-endian order, whose highest bit says that it is out of date. Dense registers have six bits
//! each, the first in the lowest bits. Sparse ones are runs:
//!
//! | bits | run |
//! |---|---|
//! | `00llllll` | `l + 1` registers of 0 |
//! | `01llllll llllllll` | `l + 1` registers of 0 |
//! | `1vvvvvll` | `l + 1` registers of `v + 1` |
//!
//! The estimator is Ertl's, from "New cardinality estimation algorithms for HyperLogLog sketches" (2017).

/// Registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 14;
/// The bits of a hash whose trailing zeros are counted.
const COUNTED_BITS: u32 = 64 - INDEX_BITS;
const HEADER: usize = 16;
const DENSE_LEN: usize = HEADER + REGISTERS * 6 / 8;
const MAGIC: &[u8; 4] = b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// The largest register of a sparse run.
const SPARSE_MAX: u8 = 32;
/// Runs of one byte are at most this long: of zeros, and of another value.
const ZERO_RUN: usize = 64;
const VALUE_RUN: usize = 4;
const HASH_SEED: u64 = 0xadc8_3b19;

/// The value is no HyperLogLog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// It doesn't look like one.
    NotOne,
    /// It begins like one, but its runs make no sense.
    Corrupt,
}

/// One value of each register.
pub type Registers = [u8; REGISTERS];

/// MurmurHash64A, by Austin Appleby, in the public domain.
fn murmur(data: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let (words, rest) = data.as_chunks::<8>();
    let mut hash = HASH_SEED ^ (data.len() as u64).wrapping_mul(M);
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0_u64, |tail, byte| tail << 8 | u64::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

/// The register of an element, and what it must at least be.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element);
    let index = hash as usize & (REGISTERS - 1);
    let counted = hash >> INDEX_BITS | 1 << COUNTED_BITS;
    (index, counted.trailing_zeros() as u8 + 1)
}

/// A value without elements: all registers in one sparse run. It has no estimate yet, as in Redis.
pub fn empty() -> Vec<u8> {
    let mut value = vec![0; HEADER];
    value[..4].copy_from_slice(MAGIC);
    value[4] = SPARSE;
    outdate(&mut value);
    push_zeros(&mut value, REGISTERS);
    value
}

/// Whether `value` looks like a HyperLogLog.
pub fn check(value: &[u8]) -> Result<(), Invalid> {
    let header = value.len() >= HEADER && value[..4] == *MAGIC && value[4] <= SPARSE;
    let dense = header && value[4] == DENSE;
    if !header || dense && value.len() != DENSE_LEN { Err(Invalid::NotOne) } else { Ok(()) }
}

/// Whether a checked value is sparse.
pub fn is_sparse(value: &[u8]) -> bool {
    value[4] == SPARSE
}

/// The estimate that a checked value keeps, if it is up to date.
pub fn cached(value: &[u8]) -> Option<u64> {
    let bytes: [u8; 8] = value[8..16].try_into().expect("eight bytes");
    let estimate = u64::from_le_bytes(bytes);
    (estimate >> 63 == 0).then_some(estimate)
}

/// Keeps an estimate in a checked value.
pub fn cache(value: &mut [u8], estimate: u64) {
    value[8..16].copy_from_slice(&estimate.to_le_bytes());
}

fn outdate(value: &mut [u8]) {
    value[15] |= 0x80;
}

/// A run of a sparse value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Zeros(usize),
    Values(u8, usize),
}

impl Run {
    /// The run at `at`, and how many bytes it has.
    fn read(runs: &[u8], at: usize) -> Result<(Self, usize), Invalid> {
        let byte = runs[at];
        Ok(match byte >> 6 {
            0 => (Self::Zeros(usize::from(byte & 0x3f) + 1), 1),
            1 => {
                let next = *runs.get(at + 1).ok_or(Invalid::Corrupt)?;
                (Self::Zeros((usize::from(byte & 0x3f) << 8 | usize::from(next)) + 1), 2)
            }
            _ => (Self::Values((byte >> 2 & 0x1f) + 1, usize::from(byte & 3) + 1), 1),
        })
    }

    fn len(self) -> usize {
        match self {
            Self::Zeros(len) | Self::Values(_, len) => len,
        }
    }
}

fn push_zeros(runs: &mut Vec<u8>, len: usize) {
    match len {
        0 => {}
        1..=ZERO_RUN => runs.push(len as u8 - 1),
        _ => {
            let bits = len - 1;
            runs.extend_from_slice(&[0x40 | (bits >> 8) as u8, bits as u8]);
        }
    }
}

fn value_run(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len as u8 - 1)
}

/// A text that shows the runs of a checked sparse value.
pub fn describe_runs(value: &[u8]) -> Result<String, Invalid> {
    let mut text = String::new();
    let mut at = HEADER;
    while at < value.len() {
        // As Redis shows it, a run that lacks its second byte has a zero there.
        let (run, bytes) = Run::read(value, at).or_else(|_| Run::read(&[value[at], 0], 0))?;
        text += &match (run, bytes) {
            (Run::Zeros(len), 1) => format!("z:{len} "),
            (Run::Zeros(len), _) => format!("Z:{len} "),
            (Run::Values(of, len), _) => format!("v:{of},{len} "),
        };
        at += bytes;
    }
    Ok(text.trim_end().to_owned())
}

/// Raises `into` to the registers of a checked value.
pub fn merge_into(value: &[u8], into: &mut Registers) -> Result<(), Invalid> {
    let runs = &value[HEADER..];
    if !is_sparse(value) {
        for (i, register) in into.iter_mut().enumerate() {
            *register = (*register).max(dense_get(runs, i));
        }
        return Ok(());
    }
    let (mut at, mut first) = (0, 0);
    while at < runs.len() {
        let (run, bytes) = Run::read(runs, at)?;
        let registers = into.get_mut(first..first + run.len()).ok_or(Invalid::Corrupt)?;
        if let Run::Values(value, _) = run {
            registers.iter_mut().for_each(|register| *register = (*register).max(value));
        }
        first += run.len();
        at += bytes;
    }
    if first == REGISTERS { Ok(()) } else { Err(Invalid::Corrupt) }
}

fn dense_get(registers: &[u8], i: usize) -> u8 {
    let (byte, shift) = (i * 6 / 8, i * 6 % 8);
    let low = u16::from(registers[byte]);
    let high = u16::from(registers.get(byte + 1).copied().unwrap_or(0));
    ((high << 8 | low) >> shift) as u8 & 0x3f
}

fn dense_set(registers: &mut [u8], i: usize, value: u8) {
    let (byte, shift) = (i * 6 / 8, i * 6 % 8);
    let (value, mask) = (u16::from(value) << shift, 0x3f_u16 << shift);
    registers[byte] = registers[byte] & !(mask as u8) | value as u8;
    if shift > 2 {
        registers[byte + 1] = registers[byte + 1] & !((mask >> 8) as u8) | (value >> 8) as u8;
    }
}

/// Makes a checked value dense.
pub fn make_dense(value: &mut Vec<u8>) -> Result<(), Invalid> {
    if !is_sparse(value) {
        return Ok(());
    }
    let mut registers = [0; REGISTERS];
    merge_into(value, &mut registers)?;
    value[4] = DENSE;
    value.truncate(HEADER);
    value.resize(DENSE_LEN, 0);
    for (i, register) in registers.into_iter().enumerate().filter(|(_, register)| *register > 0) {
        dense_set(&mut value[HEADER..], i, register);
    }
    Ok(())
}

/// Adds an element to a checked value. It becomes dense when it would have more than `sparse_max` bytes. Returns whether
/// a register was raised.
pub fn add(value: &mut Vec<u8>, element: &[u8], sparse_max: usize) -> Result<bool, Invalid> {
    let (index, count) = place(element);
    raise(value, index, count, sparse_max)
}

/// Raises registers of a checked value to those given.
pub fn raise_all(
    value: &mut Vec<u8>,
    registers: &Registers,
    sparse_max: usize,
) -> Result<(), Invalid> {
    for (i, register) in registers.iter().enumerate().filter(|(_, register)| **register > 0) {
        raise(value, i, *register, sparse_max)?;
    }
    outdate(value);
    Ok(())
}

fn raise(value: &mut Vec<u8>, i: usize, count: u8, sparse_max: usize) -> Result<bool, Invalid> {
    let raised = if is_sparse(value) && count <= SPARSE_MAX {
        raise_sparse(value, i, count, sparse_max)?
    } else {
        make_dense(value)?;
        raise_dense(value, i, count)
    };
    if raised {
        outdate(value);
    }
    Ok(raised)
}

fn raise_dense(value: &mut [u8], i: usize, count: u8) -> bool {
    let registers = &mut value[HEADER..];
    let raised = dense_get(registers, i) < count;
    if raised {
        dense_set(registers, i, count);
    }
    raised
}

/// Where the run of a register is.
struct Found {
    run: Run,
    at: usize,
    bytes: usize,
    /// The first register of the run.
    first: usize,
    /// Where the run before it is.
    before: Option<usize>,
}

fn find_run(value: &[u8], i: usize) -> Result<Found, Invalid> {
    let (mut at, mut first, mut before) = (HEADER, 0, None);
    while at < value.len() {
        let (run, bytes) = Run::read(value, at)?;
        if i < first + run.len() {
            return Ok(Found { run, at, bytes, first, before });
        }
        before = Some(at);
        first += run.len();
        at += bytes;
    }
    Err(Invalid::Corrupt)
}

fn raise_sparse(
    value: &mut Vec<u8>,
    i: usize,
    count: u8,
    sparse_max: usize,
) -> Result<bool, Invalid> {
    let Found { run, at, bytes, first, before } = find_run(value, i)?;
    let (left, right) = (i - first, first + run.len() - 1 - i);
    let mut runs = Vec::with_capacity(5);
    match run {
        Run::Values(old, _) if old >= count => return Ok(false),
        Run::Values(old, _) => {
            if left > 0 {
                runs.push(value_run(old, left));
            }
            runs.push(value_run(count, 1));
            if right > 0 {
                runs.push(value_run(old, right));
            }
        }
        Run::Zeros(_) => {
            push_zeros(&mut runs, left);
            runs.push(value_run(count, 1));
            push_zeros(&mut runs, right);
        }
    }
    if runs.len() > bytes && value.len() + runs.len() - bytes > sparse_max {
        make_dense(value)?;
        return Ok(raise_dense(value, i, count));
    }
    value.splice(at..at + bytes, runs);
    join_runs(value, before.unwrap_or(HEADER))?;
    Ok(true)
}

/// Joins equal runs among the next few from `at` on, those that a change may have made.
fn join_runs(value: &mut Vec<u8>, mut at: usize) -> Result<(), Invalid> {
    const LOOKED_AT: usize = 5;
    for _ in 0..LOOKED_AT {
        if at >= value.len() {
            break;
        }
        let (run, bytes) = Run::read(value, at)?;
        if let Run::Values(this, len) = run
            && at + 1 < value.len()
            && let (Run::Values(next, more), _) = Run::read(value, at + 1)?
            && this == next
            && len + more <= VALUE_RUN
        {
            value[at] = value_run(this, len + more);
            value.remove(at + 1);
            continue;
        }
        at += bytes;
    }
    Ok(())
}

/// The estimated number of elements of these registers.
pub fn estimate(registers: &Registers) -> u64 {
    /// 1 / (2 ln 2)
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let mut counts = [0_u32; 64];
    registers.iter().for_each(|register| counts[usize::from(*register)] += 1);
    let m = REGISTERS as f64;
    let top = COUNTED_BITS as usize + 1;
    let mut z = m * tau((m - f64::from(counts[top])) / m);
    for count in counts[1..top].iter().rev() {
        z = (z + f64::from(*count)) * 0.5;
    }
    z += m * sigma(f64::from(counts[0]) / m);
    (ALPHA * m * m / z).round() as u64
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(value: &[u8]) -> Registers {
        let mut registers = [0; REGISTERS];
        merge_into(value, &mut registers).unwrap();
        registers
    }

    #[test]
    fn sparse_and_dense_values_agree_with_plain_registers() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20 {
            let sparse_max = rng.usize(0..4000);
            let mut plain = [0; REGISTERS];
            let mut value = empty();
            for step in 0..rng.usize(1..3000) {
                let (index, count) = (rng.usize(..REGISTERS), rng.u8(1..=51).min(rng.u8(1..=51)));
                let index = if rng.bool() { index % 40 } else { index };
                let raised = raise(&mut value, index, count, sparse_max).unwrap();
                assert_eq!(raised, plain[index] < count);
                plain[index] = plain[index].max(count);
                if step % 100 == 0 {
                    check(&value).unwrap();
                    assert!(registers(&value) == plain);
                }
            }
            assert!(registers(&value) == plain);
            assert!(!is_sparse(&value) || value.len() <= sparse_max.max(24));
            make_dense(&mut value).unwrap();
            assert!(registers(&value) == plain);
        }
    }

    #[test]
    fn estimates_stay_near_the_truth() {
        let mut value = empty();
        for n in 1..=200_000_u64 {
            add(&mut value, &n.to_le_bytes(), 3000).unwrap();
            if [1, 10, 100, 1000, 10_000, 200_000].contains(&n) {
                let estimate = estimate(&registers(&value)) as f64;
                assert!((estimate / n as f64 - 1.0).abs() < 0.04, "{estimate} of {n}");
            }
        }
        assert_eq!(estimate(&[0; REGISTERS]), 0);
    }

    #[test]
    fn what_is_cut_or_changed_is_an_error_and_no_panic() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut good = empty();
        (0..200_u32).for_each(|n| assert!(add(&mut good, &n.to_le_bytes(), 3000).is_ok()));
        for _ in 0..3000 {
            let mut value = good.clone();
            value.truncate(rng.usize(..=good.len()));
            if !value.is_empty() {
                let at = rng.usize(..value.len());
                value[at] = rng.u8(..);
            }
            if check(&value).is_ok() {
                let _ = merge_into(&value, &mut [0; REGISTERS]);
                let _ = describe_runs(&value);
                let _ = add(&mut value.clone(), b"x", 3000);
                let _ = make_dense(&mut value);
            }
        }
    }

    #[test]
    fn the_cache_is_valid_until_a_register_is_raised() {
        let mut value = empty();
        assert_eq!(cached(&value), None);
        cache(&mut value, 0);
        add(&mut value, b"a", 3000).unwrap();
        assert_eq!(cached(&value), None);
        cache(&mut value, 1);
        assert!(!add(&mut value, b"a", 3000).unwrap());
        assert_eq!(cached(&value), Some(1));
    }
}
