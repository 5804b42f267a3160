//! DUMP and RESTORE: a value as bytes that other servers take, too.

use std::sync::atomic::Ordering;

use respire_datatypes::access;
use respire_datatypes::integer::parse_i64;
use respire_keyspace::{EntryRef, NewValue, StrRef, Ttl};
use respire_rdb::write::Options;
use respire_rdb::{DecodeOptions, Loaded, RdbError, ValueRef};

use crate::commands::{hashes, lists, sets, zsets};
use crate::config::Settings;
use crate::ctx::{Access, Ctx};
use crate::engine::Engine;
use crate::error::{Error, Outcome};
use crate::notify::Classes;

/// What values that are read are made with: the limits of the encodings as they are set.
pub fn decode_options<'a>(settings: &Settings, engine: &'a Engine) -> DecodeOptions<'a> {
    DecodeOptions {
        list: lists::limits_of(settings, engine),
        set: sets::limits(settings, engine),
        hash: hashes::limits(settings, engine),
        zset: zsets::limits_of(settings, engine),
    }
}

/// The value of an entry, to be written.
pub fn value_of(entry: EntryRef<'_>) -> ValueRef<'_> {
    match (entry.string(), entry.collection()) {
        (Some(StrRef::Int(value)), _) => ValueRef::Int(value),
        (Some(StrRef::Bytes(text)), _) => ValueRef::Bytes(text),
        (None, Some(collection)) => ValueRef::Collection(collection),
        (None, None) => unreachable!("what is no string is a collection"),
    }
}

/// Calls `store` with a value that was read.
pub fn with_new_value<R>(loaded: Loaded<'_>, store: impl FnOnce(NewValue<'_>) -> R) -> R {
    match loaded {
        Loaded::Int(value) => store(NewValue::Int(value)),
        Loaded::Bytes(text) => store(NewValue::Bytes(&text)),
        Loaded::Collection(collection) => store(NewValue::Collection(Box::new(collection))),
    }
}

pub(super) fn dump(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let options = Options { compress: true };
    let payload = ctx.data.read(&key).map(|entry| respire_rdb::dump(value_of(entry), options));
    match payload {
        Some(payload) => ctx.out.bulk(&payload),
        None => ctx.out.null(),
    }
    Ok(())
}

#[derive(Default)]
struct RestoreOptions {
    replace: bool,
    absolute: bool,
    idle: Option<u64>,
    freq: Option<u8>,
}

impl RestoreOptions {
    fn parse(ctx: &Ctx<'_, '_>) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut i = 4;
        while i < ctx.args.len() {
            let (option, next) = (ctx.args.get(i), ctx.args.try_get(i + 1));
            let number = |text| parse_i64(text).ok_or(Error::NOT_INTEGER);
            match (option, next) {
                (option, _) if option.eq_ignore_ascii_case(b"REPLACE") => options.replace = true,
                (option, _) if option.eq_ignore_ascii_case(b"ABSTTL") => options.absolute = true,
                (option, Some(text))
                    if option.eq_ignore_ascii_case(b"IDLETIME") && options.freq.is_none() =>
                {
                    let idle = u64::try_from(number(text)?);
                    options.idle = Some(idle.map_err(|_| Error::INVALID_IDLE_TIME)?);
                    i += 1;
                }
                (option, Some(text))
                    if option.eq_ignore_ascii_case(b"FREQ") && options.idle.is_none() =>
                {
                    let freq = u8::try_from(number(text)?);
                    options.freq = Some(freq.map_err(|_| Error::INVALID_FREQ)?);
                    i += 1;
                }
                _ => return Err(Error::SYNTAX),
            }
            i += 1;
        }
        Ok(options)
    }

    /// The access data that the key gets; `None` leaves it at that of a new key.
    fn access(&self, policy: Access) -> Option<u32> {
        match (policy, self.idle, self.freq) {
            (Access::Lru { clock }, Some(idle), _) => Some(access::lru_clock_before(clock, idle)),
            (Access::Lfu { minutes, .. }, _, Some(freq)) => Some(access::lfu_pack(minutes, freq)),
            _ => None,
        }
    }
}

pub(super) fn restore(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let options = RestoreOptions::parse(ctx)?;
    let key = ctx.key(1);
    if !options.replace && ctx.data.write(&key).is_some() {
        return Err(Error::BUSY_KEY);
    }
    let ttl = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    if ttl < 0 {
        return Err(Error::INVALID_TTL);
    }
    let verify = !ctx.engine.skip_checksums.load(Ordering::Relaxed);
    let made_with = decode_options(ctx.settings, ctx.engine);
    let loaded = respire_rdb::restore(ctx.args.get(3), verify, &made_with);
    let loaded = loaded.map_err(|error| match error {
        RdbError::Truncated | RdbError::Version(_) | RdbError::Checksum { .. } => {
            Error::DUMP_PAYLOAD
        }
        error => {
            log::warn!("Bad data format in the payload of RESTORE: {error}");
            Error::BAD_DATA
        }
    })?;
    let at = match ttl {
        0 => None,
        ttl if options.absolute => Some(ttl),
        ttl => Some(ttl.wrapping_add(ctx.data.clock_ms())),
    };
    if at.is_some_and(|at| at <= ctx.data.now_ms) {
        if options.replace && ctx.data.remove(&key) {
            ctx.effect_del(&key);
            ctx.notify(Classes::GENERIC, "del", &key);
        }
        ctx.out.ok();
        return Ok(());
    }
    let ttl = at.map_or(Ttl::Clear, Ttl::At);
    // The key is a new one, whatever was there: its use and what it was counts for nothing.
    let replaced = ctx.data.remove(&key);
    with_new_value(loaded, |value| ctx.data.set(&key, value, ttl));
    if replaced {
        ctx.weigh(&key, 0);
    }
    if let (Some(access), Some(entry)) = (options.access(ctx.data.access), ctx.data.peek(&key)) {
        entry.set_access(access);
    }
    if let Some(at) = at {
        // As it was said, but for the time.
        let at = at.to_string();
        let mut parts: Vec<&[u8]> = ctx.args.iter_from(0).collect();
        parts[2] = at.as_bytes();
        if !options.absolute {
            parts.push(b"ABSTTL");
        }
        ctx.effect(&parts);
    }
    ctx.notify(Classes::GENERIC, "restore", &key);
    ctx.out.ok();
    Ok(())
}

#[cfg(test)]
#[path = "dump_tests.rs"]
mod tests;
