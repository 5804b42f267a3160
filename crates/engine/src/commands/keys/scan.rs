//! Commands that walk over all shards: KEYS, SCAN, RANDOMKEY. Each shard is locked for itself, and for one bucket at a
//! time where that is enough, so that a walk over millions of keys holds nobody up.

use respire_datatypes::glob;
use respire_datatypes::integer::parse_i64;
use respire_keyspace::{Cursor, EntryRef};

use crate::commands::parse_cursor;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

/// Buckets that KEYS visits under one lock.
const KEYS_BUCKETS: usize = 64;
/// What SCAN takes as a type.
const TYPES: [&str; 6] = ["string", "list", "set", "zset", "hash", "stream"];
/// How often RANDOMKEY tries again when it comes upon a key past its time.
const RANDOM_TRIES: usize = 100;

fn is_live(entry: EntryRef<'_>, now_ms: i64) -> bool {
    entry.expire().is_none_or(|at| at > now_ms)
}

pub(super) fn keys(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let pattern = ctx.args.get(1);
    let all = pattern == b"*";
    let now_ms = ctx.data.now_ms;
    let mut found: Vec<Box<[u8]>> = Vec::new();
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        cursor = walk(ctx, at, KEYS_BUCKETS, |entry| {
            if is_live(entry, now_ms) && (all || glob::matches(pattern, entry.key(), false)) {
                found.push(entry.key().into());
            }
            true
        });
    }
    ctx.out.array(found.len());
    for key in &found {
        ctx.out.bulk(key);
    }
    Ok(())
}

/// Visits up to `buckets` buckets of one shard, or fewer if `f` says that it has enough. Returns where to go on.
fn walk(
    ctx: &mut Ctx<'_, '_>,
    start: Cursor,
    buckets: usize,
    mut f: impl FnMut(EntryRef<'_>) -> bool,
) -> Option<Cursor> {
    let (db, shards) = (ctx.data.db, ctx.data.held.shard_count());
    ctx.data.held.with(start.shard(), |shard| {
        let mut at = start;
        for _ in 0..buckets {
            let mut wants_more = true;
            let next = at.visit(shard, shards, db, |entry| wants_more &= f(entry));
            match next {
                Some(next) if wants_more && next.shard() == start.shard() => at = next,
                next => return next,
            }
        }
        Some(at)
    })
}

struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    type_name: Option<&'static str>,
}

pub(super) fn scan(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let number = parse_cursor(ctx.args.get(1))?;
    let options = scan_options(ctx)?;
    let now_ms = ctx.data.now_ms;
    let mut found: Vec<Box<[u8]>> = Vec::new();
    let mut expired: Vec<(usize, Box<[u8]>)> = Vec::new();
    let db = ctx.data.db;
    let mut seen = 0;
    let mut buckets = options.count.saturating_mul(10);
    let mut cursor = Some(Cursor::from_number(number));
    if cursor.is_some_and(|c| c.shard() as usize >= ctx.data.held.shard_count()) {
        // Not a cursor that this server gave: there is nothing behind it.
        cursor = None;
    }
    while let Some(at) = cursor
        && seen < options.count
        && buckets > 0
    {
        let visit = buckets.min(KEYS_BUCKETS);
        buckets -= visit;
        cursor = walk(ctx, at, visit, |entry| {
            seen += 1;
            // Nothing is done about keys that are not asked for, not even if their time has passed.
            if options.want(entry) {
                match is_live(entry, now_ms) {
                    true => found.push(entry.key().into()),
                    false => expired.push((db, entry.key().into())),
                }
            }
            seen < options.count
        });
    }
    ctx.worker.met_expired.append(&mut expired);
    ctx.out.array(2);
    let mut digits = [0; 20];
    let next = cursor.map_or(0, Cursor::number);
    ctx.out.bulk(respire_datatypes::integer::format_u64(next, &mut digits));
    ctx.out.array(found.len());
    for key in &found {
        ctx.out.bulk(key);
    }
    Ok(())
}

impl ScanOptions<'_> {
    fn want(&self, entry: EntryRef<'_>) -> bool {
        let matches = |pattern| glob::matches(pattern, entry.key(), false);
        self.pattern.is_none_or(matches)
            && self.type_name.is_none_or(|name| entry.type_name() == name)
    }
}

fn scan_options<'a>(ctx: &Ctx<'a, '_>) -> Result<ScanOptions<'a>, Error> {
    let mut options = ScanOptions { pattern: None, count: 10, type_name: None };
    for i in (2..ctx.args.len()).step_by(2) {
        let value = ctx.args.try_get(i + 1).ok_or(Error::SYNTAX)?;
        match ctx.args.get(i).to_ascii_uppercase().as_slice() {
            b"COUNT" => {
                let count = parse_i64(value).ok_or(Error::NOT_INTEGER)?;
                options.count =
                    usize::try_from(count).ok().filter(|c| *c > 0).ok_or(Error::SYNTAX)?;
            }
            b"MATCH" => options.pattern = (value != b"*").then_some(value),
            b"TYPE" => {
                let known = TYPES.iter().find(|name| name.as_bytes().eq_ignore_ascii_case(value));
                let known =
                    known.ok_or_else(|| Error::quoting("ERR unknown type name '", value, "'"))?;
                options.type_name = Some(known);
            }
            _ => return Err(Error::SYNTAX),
        }
    }
    Ok(options)
}

pub(super) fn randomkey(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (db, now_ms) = (ctx.data.db, ctx.data.now_ms);
    let shards = ctx.data.held.shard_count() as u32;
    let sizes: Vec<u64> =
        (0..shards).map(|i| ctx.data.held.with(i, |shard| shard.db(db).len() as u64)).collect();
    let total: u64 = sizes.iter().sum();
    for _ in 0..if total > 0 { RANDOM_TRIES } else { 0 } {
        let mut pick = ctx.data.rng.u64(..total);
        let chosen = sizes.iter().position(|size| match pick.checked_sub(*size) {
            Some(rest) => {
                pick = rest;
                false
            }
            None => true,
        });
        let chosen = chosen.expect("the pick is below the sum") as u32;
        let rng = &mut *ctx.data.rng;
        let found = ctx.data.held.with(chosen, |shard| {
            let entry = shard.db(db).sample(|| rng.u64(..))?;
            is_live(entry, now_ms).then(|| entry.key().to_vec())
        });
        if let Some(key) = found {
            ctx.out.bulk(&key);
            return Ok(());
        }
    }
    // Hardly any key is live, or none: look through all of them.
    let mut found = None;
    let mut cursor = if total > 0 { Some(Cursor::START) } else { None };
    while let Some(at) = cursor
        && found.is_none()
    {
        cursor = walk(ctx, at, KEYS_BUCKETS, |entry| {
            if is_live(entry, now_ms) {
                found = Some(entry.key().to_vec());
            }
            found.is_none()
        });
    }
    match found {
        Some(key) => ctx.out.bulk(&key),
        None => ctx.out.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn types_are_known_ones() {
        let mut h = Harness::new();
        h.line("SET text v");
        h.line("ZADD sorted 1 m");
        assert_eq!(h.line("SCAN 0 COUNT 100 TYPE ZSET"), "*2\r\n$1\r\n0\r\n*1\r\n$6\r\nsorted\r\n");
        assert_eq!(h.line("SCAN 0 TYPE strings"), "-ERR unknown type name 'strings'\r\n");
    }

    #[test]
    fn expired_keys_that_are_not_asked_for_are_left_alone() {
        let mut h = Harness::new();
        for line in ["SET text v PX 5", "SET other v PX 5", "HSET hash f v", "PEXPIRE hash 5"] {
            h.line(line);
        }
        h.advance_ms(10);
        assert_eq!(h.line("SCAN 0 COUNT 100 TYPE string MATCH t*"), "*2\r\n$1\r\n0\r\n*0\r\n");
        assert_eq!(h.line("DBSIZE"), ":2\r\n");
        assert_eq!(h.line("SCAN 0 COUNT 100 TYPE hash"), "*2\r\n$1\r\n0\r\n*0\r\n");
        assert_eq!(h.line("DBSIZE"), ":1\r\n");
        assert_eq!(h.line("SCAN 0 COUNT 100"), "*2\r\n$1\r\n0\r\n*0\r\n");
        assert_eq!(h.line("DBSIZE"), ":0\r\n");
    }
}
