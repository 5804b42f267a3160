//! Random operations. Everything follows from a seed, the number of the history and the client's.

use super::model::{KEYS, Op};

/// What client `client` does in history `history` of a run: about `count` operations.
pub fn plan(seed: u64, history: u64, client: usize, count: usize) -> Vec<Op> {
    let mixed = seed ^ history.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (client as u64) << 56;
    let mut rng = fastrand::Rng::with_seed(mixed);
    // All clients of a history use the same few keys.
    let keys = 2 + (seed.wrapping_add(history) % (KEYS.len() as u64 - 1)) as usize;
    let mut ops = Vec::new();
    while ops.len() < count {
        match rng.u32(..10) {
            0 => {
                ops.push(Op::Watch(some(&mut rng, keys)));
                for _ in 0..rng.usize(..2) {
                    ops.push(Op::Get(rng.usize(..keys)));
                }
                ops.push(transaction(&mut rng, keys));
            }
            1 => ops.push(transaction(&mut rng, keys)),
            _ => ops.push(single(&mut rng, keys)),
        }
    }
    ops
}

fn transaction(rng: &mut fastrand::Rng, keys: usize) -> Op {
    Op::Exec((0..rng.usize(1..4)).map(|_| single(rng, keys)).collect())
}

/// One to all keys, without repetition, in any order.
fn some(rng: &mut fastrand::Rng, keys: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..keys).collect();
    rng.shuffle(&mut all);
    all.truncate(rng.usize(1..=keys));
    all
}

fn single(rng: &mut fastrand::Rng, keys: usize) -> Op {
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
