//! OBJECT: how a value is kept.

use respire_datatypes::access;
use respire_keyspace::StrRef;

use crate::commands::reply_help;
use crate::ctx::{Access, Ctx};
use crate::error::{Error, Outcome};

/// Small integers are single shared objects in Redis, which shows them with this count.
const SHARED_REFERENCES: i64 = i32::MAX as i64;
const SHARED_BELOW: i64 = 10_000;

pub(super) fn encoding(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    match ctx.data.inspect(&key) {
        Some(entry) => ctx.out.bulk(entry.encoding().as_bytes()),
        None => ctx.out.null(),
    }
    Ok(())
}

pub(super) fn refcount(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    // What tells how much it is used can't be shared, as far as that matters.
    let policy = ctx.settings.maxmemory_policy;
    let shares = ctx.settings.maxmemory == 0 || !(policy.is_lru() || policy.is_lfu());
    let count = ctx.data.inspect(&key).map(|entry| match entry.string() {
        Some(StrRef::Int(value)) if shares && (0..SHARED_BELOW).contains(&value) => {
            SHARED_REFERENCES
        }
        _ => 1,
    });
    reply_or_null(ctx, count)
}

pub(super) fn idletime(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    let access = ctx.data.inspect(&key).map(|entry| entry.access());
    let idle = match (access, ctx.data.access) {
        (None, _) => None,
        (Some(then), Access::Lru { clock }) => Some(access::lru_idle_seconds(then, clock).into()),
        (Some(_), Access::Lfu { .. }) => {
            return Err(Error::fixed(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                 between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
    };
    reply_or_null(ctx, idle)
}

pub(super) fn freq(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(2);
    let access = ctx.data.inspect(&key).map(|entry| entry.access());
    let counter = match (access, ctx.data.access) {
        (None, _) => None,
        (Some(access), Access::Lfu { minutes, decay, .. }) => {
            Some(access::lfu_decayed(access, minutes, decay).into())
        }
        (Some(_), Access::Lru { .. }) => {
            return Err(Error::fixed(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
    };
    reply_or_null(ctx, counter)
}

pub(super) fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "ENCODING <key>",
            "    The name of the encoding that the value is kept in.",
            "FREQ <key>",
            "    How often the key is used, under an LFU policy.",
            "IDLETIME <key>",
            "    Seconds since the key was last used, under other policies.",
            "REFCOUNT <key>",
            "    How many references there are to the value.",
        ],
    );
    Ok(())
}

fn reply_or_null(ctx: &mut Ctx<'_, '_>, number: Option<i64>) -> Outcome {
    match number {
        Some(number) => ctx.out.int(number),
        None => ctx.out.null(),
    }
    Ok(())
}
