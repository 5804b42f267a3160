//! Commands that count different elements: PFADD and its kin.

use respire_datatypes::hyperloglog::{self as hll, Invalid, REGISTERS, Registers};
use respire_keyspace::{EntryRef, NewValue, Ttl};

use crate::command::{Flags, Group, KeySpec, Lock, Row};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);

const fn docs(row: Row, since: &'static str, cost: &'static str, text: [&'static str; 2]) -> Row {
    row.docs(Group::Hyperloglog, since, cost, text[0], text[1])
}

pub(crate) const ROWS: &[Row] = &[
    docs(
        Row::new("pfadd", -2, pfadd)
            .flags(WRITE.union(Flags::FAST))
            .keys(&[KeySpec::one(1, "RW insert")]),
        "2.8.9",
        "O(1) for each element",
        ["Adds elements to a HyperLogLog.", "key [element ...]"],
    ),
    // It writes the estimate into the value, where it is kept until something is added.
    docs(
        Row::new("pfcount", -2, pfcount)
            .flags(Flags::READONLY.union(Flags::MAY_REPLICATE))
            .keys(&[KeySpec::rest(1, 1, "RW access")
                .notes("The estimate that the value keeps may be renewed")])
            .lock(Lock::KeysExclusive),
        "2.8.9",
        "O(1) for one key, O(N) for several",
        ["Estimates how many elements HyperLogLogs have together.", "key [key ...]"],
    ),
    docs(
        Row::new("pfdebug", 3, pfdebug)
            .flags(WRITE.union(Flags::ADMIN))
            .keys(&[KeySpec::one(2, "RW access")]),
        "2.8.9",
        "Depends on the subcommand.",
        ["Shows how a HyperLogLog is kept.", "subcommand key"],
    ),
    docs(
        Row::new("pfmerge", -2, pfmerge)
            .flags(WRITE)
            .keys(&[KeySpec::one(1, "RW access insert"), KeySpec::rest(2, 1, "RO access")]),
        "2.8.9",
        "O(N) with the number of HyperLogLogs",
        ["Stores the union of HyperLogLogs.", "destkey [sourcekey ...]"],
    ),
    docs(
        Row::new("pfselftest", 1, pfselftest).flags(Flags::ADMIN),
        "2.8.9",
        "O(1), some tens of milliseconds",
        ["Checks the counting of different elements.", ""],
    ),
];

const NOT_ONE: Error = Error::fixed("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPT: Error = Error::fixed("INVALIDOBJ Corrupted HLL object detected");

fn refused(invalid: Invalid) -> Error {
    match invalid {
        Invalid::NotOne => NOT_ONE,
        Invalid::Corrupt => CORRUPT,
    }
}

/// Calls `f` with the bytes of an entry that looks like a HyperLogLog.
fn with_value<R>(entry: EntryRef<'_>, f: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
    let text = entry.string().ok_or(Error::WRONG_TYPE)?;
    text.with_bytes(|value| hll::check(value).map(|()| f(value)).map_err(refused))
}

/// Calls `f` with the bytes of the value at argument `i`, which is made if it is missing. Returns what `f` does, and
/// whether the value is new.
fn modify(
    ctx: &mut Ctx<'_, '_>,
    i: usize,
    f: impl FnOnce(&mut Vec<u8>) -> Result<bool, Invalid>,
) -> Result<(bool, bool), Error> {
    let key = ctx.key(i);
    let found = match ctx.data.write(&key) {
        Some(mut entry) => {
            // Changed in a copy: a value that proves to be corrupt stays as it is, and so does one that needs no change.
            let mut value = with_value(entry.get(), <[u8]>::to_vec)?;
            let changed = f(&mut value).map_err(refused)?;
            if changed {
                entry.modify(|bytes| *bytes = value);
            }
            (changed, false)
        }
        None => {
            let mut value = hll::empty();
            let changed = f(&mut value).map_err(refused)?;
            ctx.data.insert(&key, NewValue::Modified(&value), Ttl::Clear);
            (changed, true)
        }
    };
    Ok(found)
}

fn pfadd(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let (args, sparse_max) = (ctx.args, ctx.settings.hll_sparse_max_bytes as usize);
    let mut count = 0;
    let (raised, new) = modify(ctx, 1, |value| {
        for element in args.iter_from(2) {
            count += usize::from(hll::add(value, element, sparse_max)?);
        }
        Ok(count > 0)
    })?;
    if raised || new {
        ctx.weigh(&key, count + usize::from(new));
        ctx.notify(Classes::STRING, "pfadd", &key);
    }
    ctx.out.int(i64::from(raised || new));
    Ok(())
}

/// Raises `registers` to those of the value at argument `i`. Returns whether the value is dense.
fn merge(ctx: &mut Ctx<'_, '_>, i: usize, registers: &mut Registers) -> Result<bool, Error> {
    let key = ctx.key(i);
    let Some(entry) = ctx.data.read(&key) else { return Ok(false) };
    let merged = with_value(entry, |value| {
        hll::merge_into(value, registers).map(|()| !hll::is_sparse(value))
    })?;
    merged.map_err(refused)
}

fn pfcount(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut registers = [0; REGISTERS];
    let key = ctx.key(1);
    let single = ctx.args.len() == 2;
    if single {
        let cached = match ctx.data.read(&key) {
            Some(entry) => with_value(entry, hll::cached)?,
            None => Some(0),
        };
        if let Some(estimate) = cached {
            ctx.out.int(estimate as i64);
            return Ok(());
        }
    }
    for i in 1..ctx.args.len() {
        merge(ctx, i, &mut registers)?;
    }
    let estimate = hll::estimate(&registers);
    if single && let Some(mut entry) = ctx.data.write(&key) {
        entry.modify(|value| hll::cache(value, estimate));
    }
    ctx.out.int(estimate as i64);
    Ok(())
}

fn pfmerge(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut registers = [0; REGISTERS];
    let mut dense = false;
    for i in 1..ctx.args.len() {
        dense |= merge(ctx, i, &mut registers)?;
    }
    let sparse_max = ctx.settings.hll_sparse_max_bytes as usize;
    modify(ctx, 1, |value| {
        if dense {
            hll::make_dense(value)?;
        }
        hll::raise_all(value, &registers, sparse_max)?;
        Ok(true)
    })?;
    let key = ctx.key(1);
    ctx.notify(Classes::STRING, "pfadd", &key);
    ctx.out.ok();
    Ok(())
}

fn pfdebug(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    let Some(entry) = ctx.data.write(&key) else {
        return Err(Error::fixed("ERR The specified key does not exist"));
    };
    let value = with_value(entry.get(), <[u8]>::to_vec)?;
    match &ctx.args.get(1).to_ascii_lowercase()[..] {
        b"getreg" => {
            let mut registers = [0; REGISTERS];
            hll::merge_into(&value, &mut registers).map_err(refused)?;
            modify(ctx, 2, make_dense)?;
            ctx.out.array(REGISTERS);
            registers.iter().for_each(|register| ctx.out.int(i64::from(*register)));
        }
        b"decode" if !hll::is_sparse(&value) => {
            return Err(Error::fixed("ERR HLL encoding is not sparse"));
        }
        b"decode" => {
            let runs = hll::describe_runs(&value).map_err(refused)?;
            ctx.out.bulk(runs.as_bytes());
        }
        b"encoding" => ctx.out.simple(if hll::is_sparse(&value) { "sparse" } else { "dense" }),
        b"todense" => {
            let (changed, _) = modify(ctx, 2, make_dense)?;
            ctx.out.int(i64::from(changed));
        }
        _ => {
            let mut text = b"ERR Unknown PFDEBUG subcommand '".to_vec();
            text.extend_from_slice(ctx.args.get(1));
            text.push(b'\'');
            return Err(Error::bytes(text));
        }
    }
    Ok(())
}

/// Makes a value dense. Returns whether it was not.
fn make_dense(value: &mut Vec<u8>) -> Result<bool, Invalid> {
    let sparse = hll::is_sparse(value);
    hll::make_dense(value)?;
    Ok(sparse)
}

/// Counts numbers in a sparse and in a dense value, and compares the two with each other and with the truth.
fn pfselftest(ctx: &mut Ctx<'_, '_>) -> Outcome {
    /// Several times the standard error of 16,384 registers, 0.81 %.
    const TOLERATED: f64 = 0.05;
    let failed = |n: u64| Error::text(format!("ERR TESTFAILED Too high error for cardinality {n}"));
    let estimate = |value: &[u8]| {
        let mut registers = [0; REGISTERS];
        hll::merge_into(value, &mut registers).map(|()| hll::estimate(&registers)).ok()
    };
    let (mut sparse, mut dense) = (hll::empty(), hll::empty());
    hll::make_dense(&mut dense).map_err(refused)?;
    let seed = ctx.data.rng.u64(..);
    for n in 1..=100_000_u64 {
        let element = (seed ^ n).to_le_bytes();
        hll::add(&mut sparse, &element, usize::MAX).map_err(refused)?;
        hll::add(&mut dense, &element, 0).map_err(refused)?;
        if hll::is_sparse(&sparse) && n > 10_000 {
            hll::make_dense(&mut sparse).map_err(refused)?;
        }
        if n % 10_000 == 0 || n < 1000 && n % 100 == 0 {
            let found = estimate(&dense).ok_or(CORRUPT)?;
            let off = (found as f64 / n as f64 - 1.0).abs() > TOLERATED;
            if off || estimate(&sparse) != Some(found) {
                return Err(failed(n));
            }
        }
    }
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn elements_are_counted_and_united() {
        let mut h = Harness::new();
        assert_eq!(h.line("PFADD a 1 2 3"), ":1\r\n");
        assert_eq!(h.line("PFADD a 1"), ":0\r\n");
        assert_eq!(h.line("PFADD b"), ":1\r\n");
        assert_eq!(h.line("PFADD b"), ":0\r\n");
        h.line("PFADD b 3 4");
        assert_eq!(h.line("PFCOUNT a"), ":3\r\n");
        assert_eq!(h.line("PFCOUNT a b none"), ":4\r\n");
        assert_eq!(h.line("PFMERGE c a b"), "+OK\r\n");
        assert_eq!(h.line("PFCOUNT c"), ":4\r\n");
        assert_eq!(h.line("PFDEBUG ENCODING c"), "+sparse\r\n");
        assert_eq!(h.line("PFDEBUG TODENSE c"), ":1\r\n");
        assert_eq!(h.line("PFCOUNT c"), ":4\r\n");
        assert_eq!(h.line("STRLEN c"), ":12304\r\n");
    }

    #[test]
    fn other_strings_are_refused_and_left_alone() {
        let mut h = Harness::new();
        h.line("SET k HYLLxxxx");
        assert!(h.line("PFADD k x").starts_with("-WRONGTYPE Key is not a valid HyperLogLog"));
        assert!(h.line("PFCOUNT k").starts_with("-WRONGTYPE Key is not a valid HyperLogLog"));
        assert_eq!(h.line("GET k"), "$8\r\nHYLLxxxx\r\n");
        let runs = b"HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f";
        h.run_bytes(0, &[b"SET", b"k", runs]);
        assert!(h.line("PFADD k x").starts_with("-INVALIDOBJ"));
        assert!(h.line("PFMERGE d k").starts_with("-INVALIDOBJ"));
        assert_eq!(h.line("PFSELFTEST"), "+OK\r\n");
    }
}
