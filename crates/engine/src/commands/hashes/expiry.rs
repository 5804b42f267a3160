//! When fields expire: the HEXPIRE and HTTL families, HPERSIST, HGETEX and HSETEX.

use std::ops::Range;

use respire_datatypes::hashes::{FieldTtl, Hash};
use respire_datatypes::integer::{MAX_LEN, parse_i64};
use respire_keyspace::Key;

use super::fields::reply_or_null;
use super::{limits, notify_removal, purge};
use crate::ctx::Ctx;
use crate::editing::Editing;
use crate::error::{Error, Outcome};
use crate::expiry::ExpiryForm;
use crate::journaling::decimal;
use crate::notify::Classes;

/// The latest moment at which a field may expire, milliseconds: Redis keeps 46 bits.
const LATEST: i64 = (1 << 46) - 1;

const NO_FIELDS: Error =
    Error::fixed("ERR Mandatory argument FIELDS is missing or not at the right position");
const NO_NUMBER: Error = Error::fixed("ERR Number of fields must be a positive integer");
const NO_NUMBER_TO_EXPIRE: Error =
    Error::fixed("ERR Parameter `numFields` should be greater than 0");
const WRONG_NUMBER: Error =
    Error::fixed("ERR The `numfields` parameter must match the number of arguments");

/// What these commands reply for a field.
const MISSING: i64 = -2;
const NO_EXPIRY: i64 = -1;
const CONDITION_FAILED: i64 = 0;
const DONE: i64 = 1;
const DELETED: i64 = 2;

/// The positions of the fields behind FIELDS and their number, which begin at argument `at`.
pub(super) fn named_fields(ctx: &Ctx<'_, '_>, at: usize) -> Result<Range<usize>, Error> {
    fields_behind(ctx, at, NO_NUMBER)
}

fn fields_behind(ctx: &Ctx<'_, '_>, at: usize, no_number: Error) -> Result<Range<usize>, Error> {
    if !ctx.args.try_get(at).is_some_and(|word| word.eq_ignore_ascii_case(b"FIELDS")) {
        return Err(NO_FIELDS);
    }
    let number = ctx.args.try_get(at + 1).and_then(parse_i64).filter(|n| *n > 0);
    let number = number.ok_or(no_number)?;
    let fields = at + 2..ctx.args.len();
    if number as usize != fields.len() {
        return Err(WRONG_NUMBER);
    }
    Ok(fields)
}

/// The Unix time in milliseconds that argument `at` stands for.
fn expiry_time(ctx: &Ctx<'_, '_>, form: ExpiryForm, at: usize) -> Result<i64, Error> {
    let text = ctx.args.get(at);
    if parse_i64(text).ok_or(Error::NOT_INTEGER)? < 0 {
        return Err(Error::fixed("ERR invalid expire time, must be >= 0"));
    }
    match form.at(text, ctx.data.clock_ms(), ctx.name())? {
        moment if moment <= LATEST => Ok(moment),
        _ => Err(Error::invalid_expire(ctx.name())),
    }
}

/// When HEXPIRE and its kin act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    /// Only a field without expiry.
    Missing,
    /// Only a field with one.
    Existing,
    Later,
    Earlier,
}

impl Condition {
    fn named(word: &[u8]) -> Option<Self> {
        match word.to_ascii_uppercase().as_slice() {
            b"NX" => Some(Self::Missing),
            b"XX" => Some(Self::Existing),
            b"GT" => Some(Self::Later),
            b"LT" => Some(Self::Earlier),
            _ => None,
        }
    }

    /// Whether an expiry may become `new`. A field without one counts as expiring never.
    fn allows(self, current: Option<i64>, new: i64) -> bool {
        match self {
            Self::Always => true,
            Self::Missing => current.is_none(),
            Self::Existing => current.is_some(),
            Self::Later => current.is_some_and(|at| new > at),
            Self::Earlier => current.is_none_or(|at| new < at),
        }
    }
}

/// The expiry of a field that is there.
fn expiry_of(hash: &Option<Editing<'_, Hash>>, field: &[u8], now_ms: i64) -> Option<Option<i64>> {
    Some(hash.as_ref()?.field(field, now_ms)?.expiry)
}

pub(super) fn hexpire(ctx: &mut Ctx<'_, '_>) -> Outcome {
    expire(ctx, ExpiryForm::Seconds)
}

pub(super) fn hpexpire(ctx: &mut Ctx<'_, '_>) -> Outcome {
    expire(ctx, ExpiryForm::Millis)
}

pub(super) fn hexpireat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    expire(ctx, ExpiryForm::UnixSeconds)
}

pub(super) fn hpexpireat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    expire(ctx, ExpiryForm::UnixMillis)
}

fn expire(ctx: &mut Ctx<'_, '_>, form: ExpiryForm) -> Outcome {
    ctx.no_effect();
    let key = ctx.key(1);
    let moment = expiry_time(ctx, form, 2)?;
    let condition = Condition::named(ctx.args.get(3));
    let fields = fields_behind(ctx, if condition.is_some() { 4 } else { 3 }, NO_NUMBER_TO_EXPIRE)?;
    let condition = condition.unwrap_or(Condition::Always);
    purge(ctx, &key)?;
    let now_ms = ctx.data.now_ms;
    let mut hash = ctx.data.edit::<Hash>(&key)?;
    let out = &mut *ctx.out;
    out.array(fields.len());
    let (mut set, mut deleted) = (Vec::new(), Vec::new());
    for i in fields {
        let field = ctx.args.get(i);
        let current = expiry_of(&hash, field, now_ms);
        let result = match (current, &mut hash) {
            (Some(current), _) if !condition.allows(current, moment) => CONDITION_FAILED,
            (Some(_), Some(hash)) if moment <= now_ms => {
                hash.remove(field, now_ms);
                deleted.push(field);
                DELETED
            }
            (Some(_), Some(hash)) => {
                hash.set_expiry(field, Some(moment), now_ms);
                set.push(field);
                DONE
            }
            _ => MISSING,
        };
        out.int(result);
    }
    let changed = !set.is_empty() || !deleted.is_empty();
    let gone = hash.is_some_and(|hash| hash.finish(changed).removed);
    effect_expire(ctx, &key, moment, &set);
    ctx.effect_on_each(&[b"HDEL", key.bytes], &deleted);
    if !deleted.is_empty() {
        notify_removal(ctx, "hdel", &key, gone);
    } else if changed {
        ctx.notify(Classes::HASH, "hexpire", &key);
    }
    Ok(())
}

/// The effect is that fields expire.
fn effect_expire(ctx: &mut Ctx<'_, '_>, key: &Key<'_>, moment: i64, fields: &[&[u8]]) {
    let mut buffer = [0; MAX_LEN];
    let head: [&[u8]; 3] = [b"HPEXPIREAT", key.bytes, decimal(moment, &mut buffer)];
    ctx.effect_on_fields(&head, fields.len(), fields);
}

pub(super) fn hpersist(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let fields = named_fields(ctx, 2)?;
    purge(ctx, &key)?;
    let now_ms = ctx.data.now_ms;
    let mut hash = ctx.data.edit::<Hash>(&key)?;
    ctx.out.array(fields.len());
    let mut changed = false;
    for i in fields {
        let field = ctx.args.get(i);
        let result = match (expiry_of(&hash, field, now_ms), &mut hash) {
            (Some(Some(_)), Some(hash)) => {
                hash.set_expiry(field, None, now_ms);
                changed = true;
                DONE
            }
            (Some(_), _) => NO_EXPIRY,
            (None, _) => MISSING,
        };
        ctx.out.int(result);
    }
    hash.map(|hash| hash.finish(changed));
    if changed {
        ctx.notify(Classes::HASH, "hpersist", &key);
    }
    Ok(())
}

pub(super) fn httl(ctx: &mut Ctx<'_, '_>) -> Outcome {
    tell_expiry(ctx, |at, now| in_seconds(at - now))
}

pub(super) fn hpttl(ctx: &mut Ctx<'_, '_>) -> Outcome {
    tell_expiry(ctx, |at, now| at - now)
}

pub(super) fn hexpiretime(ctx: &mut Ctx<'_, '_>) -> Outcome {
    tell_expiry(ctx, |at, _| in_seconds(at))
}

pub(super) fn hpexpiretime(ctx: &mut Ctx<'_, '_>) -> Outcome {
    tell_expiry(ctx, |at, _| at)
}

/// Milliseconds as seconds, rounded up.
fn in_seconds(ms: i64) -> i64 {
    (ms + 999) / 1000
}

/// Replies with `f` of the expiry and the time, for each field.
fn tell_expiry(ctx: &mut Ctx<'_, '_>, f: fn(i64, i64) -> i64) -> Outcome {
    let key = ctx.key(1);
    let fields = named_fields(ctx, 2)?;
    let now_ms = ctx.data.now_ms;
    let hash = ctx.data.read_as::<Hash>(&key)?;
    ctx.out.array(fields.len());
    for i in fields {
        let found = hash.and_then(|hash| hash.field(ctx.args.get(i), now_ms));
        ctx.out.int(match found.map(|field| field.expiry) {
            None => MISSING,
            Some(None) => NO_EXPIRY,
            Some(Some(at)) => f(at, now_ms),
        });
    }
    Ok(())
}

pub(super) fn hgetex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.no_effect();
    let key = ctx.key(1);
    let option = ctx.args.get(2);
    // Outer: whether anything is to be set; inner: an expiry, or that there be none.
    let (change, at) = match ExpiryForm::from_option(option) {
        Some(form) => (Some(Some(expiry_time(ctx, form, 3)?)), 4),
        None if option.eq_ignore_ascii_case(b"PERSIST") => (Some(None), 3),
        None => (None, 2),
    };
    let fields = named_fields(ctx, at)?;
    purge(ctx, &key)?;
    let now_ms = ctx.data.now_ms;
    let mut hash = ctx.data.edit::<Hash>(&key)?;
    let out = &mut *ctx.out;
    out.array(fields.len());
    let (mut set, mut deleted) = (Vec::new(), Vec::new());
    for i in fields {
        let field = ctx.args.get(i);
        let found = hash.as_ref().and_then(|hash| hash.field(field, now_ms));
        reply_or_null(out, found.map(|found| found.value));
        let expiry = found.map(|found| found.expiry);
        if let (Some(current), Some(wanted), Some(hash)) = (expiry, change, &mut hash) {
            match wanted {
                Some(moment) if moment <= now_ms => {
                    hash.remove(field, now_ms);
                    deleted.push(field);
                }
                _ if wanted == current => {}
                _ => {
                    hash.set_expiry(field, wanted, now_ms);
                    set.push(field);
                }
            }
        }
    }
    let changed = !set.is_empty() || !deleted.is_empty();
    let gone = hash.is_some_and(|hash| hash.finish(changed).removed);
    match change {
        Some(Some(moment)) => effect_expire(ctx, &key, moment, &set),
        _ => ctx.effect_on_fields(&[b"HPERSIST", key.bytes], set.len(), &set),
    }
    ctx.effect_on_each(&[b"HDEL", key.bytes], &deleted);
    if !deleted.is_empty() {
        notify_removal(ctx, "hdel", &key, gone);
    } else if changed {
        let event = if change == Some(None) { "hpersist" } else { "hexpire" };
        ctx.notify(Classes::HASH, event, &key);
    }
    Ok(())
}

/// Which fields HSETEX asks to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whatever,
    NoneOfThem,
    AllOfThem,
}

struct SetOptions {
    wanted: Wanted,
    ttl: FieldTtl,
    /// The positions of fields and values.
    pairs: Range<usize>,
}

fn set_options(ctx: &Ctx<'_, '_>) -> Result<SetOptions, Error> {
    let (mut wanted, mut ttl) = (Wanted::Whatever, None);
    let mut i = 2;
    loop {
        let option = ctx.args.try_get(i).ok_or(NO_FIELDS)?;
        if option.eq_ignore_ascii_case(b"FIELDS") {
            break;
        } else if option.eq_ignore_ascii_case(b"FNX") || option.eq_ignore_ascii_case(b"FXX") {
            if wanted != Wanted::Whatever {
                let why = "ERR Only one of FXX or FNX arguments can be specified";
                return Err(Error::fixed(why));
            }
            let none = option.eq_ignore_ascii_case(b"FNX");
            wanted = if none { Wanted::NoneOfThem } else { Wanted::AllOfThem };
        } else if let Some(new) = ttl_option(ctx, i)? {
            if ttl.is_some() {
                return Err(Error::fixed(
                    "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
                ));
            }
            ttl = Some(new);
            i += usize::from(new != FieldTtl::Keep);
        } else {
            return Err(Error::quoting("ERR unknown argument: ", option, ""));
        }
        i += 1;
    }
    let number = ctx.args.try_get(i + 1).and_then(parse_i64).filter(|n| *n > 0);
    let number = number.ok_or(Error::fixed("ERR invalid number of fields"))? as usize;
    let pairs = i + 2..ctx.args.len();
    if pairs.len() % 2 == 1 || pairs.len() / 2 != number {
        return Err(Error::arity(ctx.name()));
    }
    Ok(SetOptions { wanted, ttl: ttl.unwrap_or(FieldTtl::Clear), pairs })
}

/// What the option at `i` makes of the expiry, if it is such an option.
fn ttl_option(ctx: &Ctx<'_, '_>, i: usize) -> Result<Option<FieldTtl>, Error> {
    let option = ctx.args.get(i);
    if option.eq_ignore_ascii_case(b"KEEPTTL") {
        return Ok(Some(FieldTtl::Keep));
    }
    let Some(form) = ExpiryForm::from_option(option) else { return Ok(None) };
    if i + 1 >= ctx.args.len() {
        return Err(Error::fixed("ERR missing expire time"));
    }
    expiry_time(ctx, form, i + 1).map(|at| Some(FieldTtl::At(at)))
}

pub(super) fn hsetex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.no_effect();
    let key = ctx.key(1);
    let SetOptions { wanted, ttl, pairs } = set_options(ctx)?;
    purge(ctx, &key)?;
    let (now_ms, args) = (ctx.data.now_ms, ctx.args);
    let limits = limits(ctx.settings, ctx.engine);
    let mut hash = ctx.data.edit_or_create(&key, Hash::new)?;
    let mut fields = pairs.clone().step_by(2).map(|i| args.get(i));
    let go = match wanted {
        Wanted::Whatever => true,
        Wanted::NoneOfThem => fields.all(|field| hash.get(field, now_ms).is_none()),
        Wanted::AllOfThem => fields.all(|field| hash.get(field, now_ms).is_some()),
    };
    let past = matches!(ttl, FieldTtl::At(at) if at <= now_ms);
    let mut changed = go && !past;
    for i in pairs.clone().step_by(2).filter(|_| go) {
        if past {
            changed |= hash.remove(args.get(i), now_ms);
        } else {
            hash.set(args.get(i), args.get(i + 1), ttl, now_ms, &limits);
        }
    }
    let gone = hash.finish(changed).removed;
    if changed {
        effect_set(ctx, &key, ttl, past, pairs);
    }
    if past && changed {
        notify_removal(ctx, "hdel", &key, gone);
    } else if changed {
        ctx.notify(Classes::HASH, "hset", &key);
        if matches!(ttl, FieldTtl::At(_)) {
            ctx.notify(Classes::HASH, "hexpire", &key);
        }
    }
    ctx.out.int(i64::from(go));
    Ok(())
}

/// The effect is that fields have the values at the positions `pairs`, or, if that time is past, that they are gone.
fn effect_set(
    ctx: &mut Ctx<'_, '_>,
    key: &Key<'_>,
    ttl: FieldTtl,
    past: bool,
    pairs: Range<usize>,
) {
    let args = ctx.args;
    let number = pairs.len() / 2;
    if past {
        let fields: Vec<&[u8]> = pairs.step_by(2).map(|i| args.get(i)).collect();
        return ctx.effect_on_each(&[b"HDEL", key.bytes], &fields);
    }
    let pairs: Vec<&[u8]> = pairs.map(|i| args.get(i)).collect();
    let mut buffer = [0; MAX_LEN];
    let mut head: Vec<&[u8]> = vec![b"HSETEX", key.bytes];
    match ttl {
        FieldTtl::Clear => {}
        FieldTtl::Keep => head.push(b"KEEPTTL"),
        FieldTtl::At(at) => head.extend([b"PXAT".as_slice(), decimal(at, &mut buffer)]),
    }
    ctx.effect_on_fields(&head, number, &pairs);
}
