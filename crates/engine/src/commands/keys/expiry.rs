//! When keys expire: the EXPIRE and TTL families, and PERSIST.

use crate::ctx::Ctx;
use crate::error::{self, Error, Outcome};
use crate::expiry::ExpiryForm;
use crate::notify::Classes;

pub(super) fn expire(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_expiry(ctx, ExpiryForm::Seconds)
}

pub(super) fn pexpire(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_expiry(ctx, ExpiryForm::Millis)
}

pub(super) fn expireat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_expiry(ctx, ExpiryForm::UnixSeconds)
}

pub(super) fn pexpireat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_expiry(ctx, ExpiryForm::UnixMillis)
}

/// When the EXPIRE family acts.
#[derive(Debug, Clone, Copy, Default)]
struct Conditions {
    /// Only a key without expiry.
    nx: bool,
    /// Only a key with one.
    xx: bool,
    /// Only if the new expiry is later.
    gt: bool,
    /// Only if the new expiry is earlier.
    lt: bool,
}

impl Conditions {
    fn parse(ctx: &Ctx<'_, '_>) -> Result<Self, Error> {
        let mut conditions = Self::default();
        for option in ctx.args.iter_from(3) {
            match option.to_ascii_uppercase().as_slice() {
                b"NX" => conditions.nx = true,
                b"XX" => conditions.xx = true,
                b"GT" => conditions.gt = true,
                b"LT" => conditions.lt = true,
                _ => {
                    let mut text = b"ERR Unsupported option ".to_vec();
                    text.extend_from_slice(error::shown(option, option.len()));
                    return Err(Error::bytes(text));
                }
            }
        }
        let Self { nx, xx, gt, lt } = conditions;
        if nx && (xx || gt || lt) {
            return Err(Error::fixed(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if gt && lt {
            return Err(Error::fixed("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether an expiry may become `new`. A key without one counts as expiring never.
    fn allow(self, current: Option<i64>, new: i64) -> bool {
        let refused = (self.nx && current.is_some())
            || (self.xx && current.is_none())
            || (self.gt && current.is_none_or(|at| new <= at))
            || (self.lt && current.is_some_and(|at| new >= at));
        !refused
    }
}

fn set_expiry(ctx: &mut Ctx<'_, '_>, form: ExpiryForm) -> Outcome {
    let conditions = Conditions::parse(ctx)?;
    let now_ms = ctx.data.now_ms;
    let at = form.at(ctx.args.get(2), ctx.data.clock_ms(), ctx.name())?;
    let key = ctx.key(1);
    let event = match ctx.data.write(&key) {
        Some(entry) if !conditions.allow(entry.get().expire(), at) => None,
        Some(entry) if at <= now_ms => {
            entry.remove();
            Some("del")
        }
        Some(mut entry) => {
            entry.set_expire(Some(at));
            Some("expire")
        }
        None => None,
    };
    match event {
        Some("expire") => ctx.effect_expire(&key, at),
        Some(_) => ctx.effect_del(&key),
        None => {}
    }
    if let Some(event) = event {
        ctx.notify(Classes::GENERIC, event, &key);
    }
    ctx.out.int(i64::from(event.is_some()));
    Ok(())
}

pub(super) fn persist(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let done = match ctx.data.write(&key) {
        Some(mut entry) if entry.get().expire().is_some() => {
            entry.set_expire(None);
            true
        }
        _ => false,
    };
    if done {
        ctx.notify(Classes::GENERIC, "persist", &key);
    }
    ctx.out.int(i64::from(done));
    Ok(())
}

pub(super) fn ttl(ctx: &mut Ctx<'_, '_>) -> Outcome {
    tell_expiry(ctx, |at, now| in_seconds(at - now))
}

pub(super) fn pttl(ctx: &mut Ctx<'_, '_>) -> Outcome {
    tell_expiry(ctx, |at, now| at - now)
}

pub(super) fn expiretime(ctx: &mut Ctx<'_, '_>) -> Outcome {
    tell_expiry(ctx, |at, _| in_seconds(at))
}

pub(super) fn pexpiretime(ctx: &mut Ctx<'_, '_>) -> Outcome {
    tell_expiry(ctx, |at, _| at)
}

/// Milliseconds as seconds, rounded to the nearest.
fn in_seconds(ms: i64) -> i64 {
    ms.saturating_add(500) / 1000
}

/// Replies with `f` of the expiry and the time; -1 for a key without expiry, -2 without a key.
fn tell_expiry(ctx: &mut Ctx<'_, '_>, f: fn(i64, i64) -> i64) -> Outcome {
    let key = ctx.key(1);
    let now_ms = ctx.data.now_ms;
    let told = match ctx.data.inspect(&key) {
        Some(entry) => entry.expire().map_or(-1, |at| f(at, now_ms)),
        None => -2,
    };
    ctx.out.int(told);
    Ok(())
}
