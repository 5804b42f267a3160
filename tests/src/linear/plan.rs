//! Random operations. Everything follows from a seed, the number of the history and the client's.

use super::collection::{Collection, End};
use super::model::{KEYS, Op};

/// The type that most operations of a history are about, lest they only find each other's values of the wrong type.
#[derive(Debug, Clone, Copy)]
enum Theme {
    Strings,
    Sets,
    SortedSets,
    Lists,
}

const THEMES: [Theme; 4] = [Theme::Strings, Theme::Sets, Theme::SortedSets, Theme::Lists];

/// Members and scores are below this.
const FEW: i64 = 4;

/// What client `client` does in history `history` of a run: about `count` operations.
pub fn plan(seed: u64, history: u64, client: usize, count: usize) -> Vec<Op> {
    let mixed = seed ^ history.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (client as u64) << 56;
    let mut rng = fastrand::Rng::with_seed(mixed);
    // All clients of a history use the same few keys.
    let keys = 2 + (seed.wrapping_add(history) % (KEYS.len() as u64 - 1)) as usize;
    // Each theme comes with each number of keys.
    let theme = THEMES[seed.wrapping_add(history) as usize / (KEYS.len() - 1) % THEMES.len()];
    let mut ops = Vec::new();
    while ops.len() < count {
        match rng.u32(..10) {
            0 => {
                ops.push(Op::Watch(some(&mut rng, keys)));
                for _ in 0..rng.usize(..2) {
                    ops.push(read(&mut rng, keys, theme));
                }
                ops.push(transaction(&mut rng, keys, theme));
            }
            1 => ops.push(transaction(&mut rng, keys, theme)),
            _ => ops.push(single(&mut rng, keys, theme)),
        }
    }
    ops
}

fn transaction(rng: &mut fastrand::Rng, keys: usize, theme: Theme) -> Op {
    Op::Exec((0..rng.usize(1..4)).map(|_| single(rng, keys, theme)).collect())
}

/// One to all keys, without repetition, in any order.
fn some(rng: &mut fastrand::Rng, keys: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..keys).collect();
    rng.shuffle(&mut all);
    all.truncate(rng.usize(1..=keys));
    all
}

fn single(rng: &mut fastrand::Rng, keys: usize, theme: Theme) -> Op {
    // Now and then another type, for its value to be overwritten and refused.
    let theme = if rng.u32(..20) == 0 { THEMES[rng.usize(..THEMES.len())] } else { theme };
    match theme {
        Theme::Strings => string(rng, keys),
        _ if rng.u32(..5) == 0 => whole(rng, keys),
        Theme::Sets => Op::Collection(set(rng, keys)),
        Theme::SortedSets => Op::Collection(sorted_set(rng, keys)),
        Theme::Lists => Op::Collection(list(rng, keys)),
    }
}

fn read(rng: &mut fastrand::Rng, keys: usize, theme: Theme) -> Op {
    let k = rng.usize(..keys);
    match theme {
        Theme::Strings => Op::Get(k),
        Theme::Sets => Op::Collection(Collection::SMembers(k)),
        Theme::SortedSets => Op::Collection(Collection::ZRange(k)),
        Theme::Lists => Op::Collection(Collection::LRange(k)),
    }
}

/// What treats values of all types alike, and MSETNX, which some other has to have deleted them for.
fn whole(rng: &mut fastrand::Rng, keys: usize) -> Op {
    let list = some(rng, keys);
    let k = list[0];
    let other = (k + 1 + rng.usize(..keys - 1)) % keys;
    match rng.u32(..12) {
        0 => Op::Del(list),
        1 => Op::ExpirePast(k),
        2 | 3 => Op::Exists(list),
        4..8 => Op::Rename(k, other),
        8 => Op::RenameNx(k, other),
        9 => Op::Copy(k, other),
        10 => Op::CopyReplace(k, other),
        _ => Op::MSetNx(list.iter().map(|k| (*k, rng.i64(1..1_000_000))).collect()),
    }
}

fn set(rng: &mut fastrand::Rng, keys: usize) -> Collection {
    let (k, other, m) = (rng.usize(..keys), rng.usize(..keys), rng.i64(0..FEW));
    match rng.u32(..12) {
        0..4 => Collection::SAdd(k, m),
        4 => Collection::SRem(k, m),
        5..7 => Collection::SMembers(k),
        7 => Collection::SCard(k),
        _ => Collection::SMove(k, other, m),
    }
}

fn sorted_set(rng: &mut fastrand::Rng, keys: usize) -> Collection {
    let (k, m) = (rng.usize(..keys), rng.i64(0..FEW));
    match rng.u32(..12) {
        0..4 => Collection::ZAdd(k, rng.i64(0..FEW), m),
        4 => Collection::ZRem(k, m),
        5 => Collection::SAdd(k, m),
        6..9 => Collection::ZRange(k),
        _ => Collection::ZUnionStore(k, some(rng, keys)),
    }
}

fn list(rng: &mut fastrand::Rng, keys: usize) -> Collection {
    let (k, other) = (rng.usize(..keys), rng.usize(..keys));
    let mut end = || if rng.bool() { End::Left } else { End::Right };
    let (a, b) = (end(), end());
    match rng.u32(..12) {
        // Values tell who wrote them.
        0..4 => Collection::Push(k, a, rng.i64(1..1_000_000)),
        4..6 => Collection::LRange(k),
        6 => Collection::LLen(k),
        7..10 => Collection::LMove(k, other, a, b),
        _ => Collection::BLMove(k, other, a, b),
    }
}

fn string(rng: &mut fastrand::Rng, keys: usize) -> Op {
    let list = some(rng, keys);
    let k = list[0];
    let other = (k + 1 + rng.usize(..keys - 1)) % keys;
    // Values tell who wrote them.
    let mut value = || rng.i64(1..1_000_000);
    let pairs: Vec<(usize, i64)> = list.iter().map(|k| (*k, value())).collect();
    let v = value();
    match rng.u32(..36) {
        0..4 => Op::Set(k, v),
        4 => Op::SetNx(k, v),
        5..8 => Op::Get(k),
        8 => Op::GetSet(k, v),
        9 => Op::GetDel(k),
        10..15 => Op::Incr(k),
        15 => Op::Append(k, v % 10),
        16 => Op::Del(list),
        17 => Op::ExpirePast(k),
        18..22 => Op::MSet(pairs),
        22 => Op::MSetNx(pairs),
        23..27 => Op::MGet(list),
        27 | 28 => Op::Exists(list),
        29 | 30 => Op::Rename(k, other),
        31 => Op::RenameNx(k, other),
        32 => Op::Copy(k, other),
        33 => Op::CopyReplace(k, other),
        34 => Op::Flush,
        _ => Op::Incr(other),
    }
}
