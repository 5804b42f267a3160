//! GET and SET with their kin: whole strings, read and replaced.

use respire_keyspace::Ttl;

use super::{reply_value, value_of};
use crate::ctx::{Ctx, text_of};
use crate::error::{Error, Outcome};
use crate::expiry::ExpiryForm;
use crate::notify::Classes;

/// When SET sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    Missing,
    Existing,
    /// The string equals this argument.
    Equals(usize),
}

struct SetOptions {
    condition: Condition,
    /// Reply with the string before.
    get: bool,
    ttl: Ttl,
}

pub(super) fn get(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    match ctx.data.read(&key) {
        Some(entry) => reply_value(ctx.out, entry),
        None => {
            ctx.out.null();
            Ok(())
        }
    }
}

pub(super) fn set(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let value = value_of(&ctx.args, 2);
    if ctx.args.len() == 3 {
        ctx.data.set(&key, value, Ttl::Clear);
        ctx.notify(Classes::STRING, "set", &key);
        ctx.out.ok();
        return Ok(());
    }
    let options = set_options(ctx)?;
    let condition_arg = match options.condition {
        Condition::Equals(i) => ctx.args.get(i),
        _ => &[],
    };
    let (done, existed) = match ctx.data.write(&key) {
        Some(mut entry) => {
            let wanted = match options.condition {
                Condition::Always | Condition::Existing => true,
                Condition::Missing => false,
                Condition::Equals(_) => text_of(entry.get())?.with_bytes(|v| v == condition_arg),
            };
            if options.get {
                reply_value(ctx.out, entry.get())?;
            }
            if wanted {
                entry.set(value, options.ttl);
            }
            (wanted, true)
        }
        None => {
            let wanted = matches!(options.condition, Condition::Always | Condition::Missing);
            if wanted {
                ctx.data.insert(&key, value, options.ttl);
            }
            (wanted, false)
        }
    };
    if done {
        ctx.effect_set(&key, ctx.args.get(2), options.ttl);
        ctx.notify(Classes::STRING, "set", &key);
        if matches!(options.ttl, Ttl::At(_)) {
            ctx.notify(Classes::GENERIC, "expire", &key);
        }
    }
    match (options.get, done) {
        (true, _) if existed => {}
        (true, _) | (false, false) => ctx.out.null(),
        (false, true) => ctx.out.ok(),
    }
    Ok(())
}

fn set_options(ctx: &Ctx<'_, '_>) -> Result<SetOptions, Error> {
    let mut options = SetOptions { condition: Condition::Always, get: false, ttl: Ttl::Clear };
    // The expiry is read last: a syntax error behind it comes first.
    let mut expiry = None;
    let mut i = 3;
    while i < ctx.args.len() {
        let option = ctx.args.get(i);
        let value = i + 1;
        let has_value = value < ctx.args.len();
        let free = options.condition == Condition::Always;
        if option.eq_ignore_ascii_case(b"NX") && (free || options.condition == Condition::Missing) {
            options.condition = Condition::Missing;
        } else if option.eq_ignore_ascii_case(b"XX")
            && (free || options.condition == Condition::Existing)
        {
            options.condition = Condition::Existing;
        } else if option.eq_ignore_ascii_case(b"IFEQ") && free && has_value {
            options.condition = Condition::Equals(value);
            i += 1;
        } else if option.eq_ignore_ascii_case(b"GET") {
            options.get = true;
        } else if option.eq_ignore_ascii_case(b"KEEPTTL") && expiry.is_none() {
            options.ttl = Ttl::Keep;
        } else if let Some(form) = ExpiryForm::from_option(option)
            && has_value
            && expiry.is_none_or(|(before, _)| before == form)
            && options.ttl == Ttl::Clear
        {
            expiry = Some((form, value));
            i += 1;
        } else {
            return Err(Error::SYNTAX);
        }
        i += 1;
    }
    if let Some((form, value)) = expiry {
        let at = form.at_positive(ctx.args.get(value), ctx.data.clock_ms(), ctx.name())?;
        options.ttl = Ttl::At(at);
    }
    Ok(options)
}

pub(super) fn setnx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let value = value_of(&ctx.args, 2);
    let missing = ctx.data.write(&key).is_none();
    if missing {
        ctx.data.insert(&key, value, Ttl::Clear);
        ctx.notify(Classes::STRING, "set", &key);
    }
    ctx.out.int(i64::from(missing));
    Ok(())
}

pub(super) fn setex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_with_expiry(ctx, ExpiryForm::Seconds)
}

pub(super) fn psetex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_with_expiry(ctx, ExpiryForm::Millis)
}

fn set_with_expiry(ctx: &mut Ctx<'_, '_>, form: ExpiryForm) -> Outcome {
    let key = ctx.key(1);
    let at = form.at_positive(ctx.args.get(2), ctx.data.clock_ms(), ctx.name())?;
    let value = value_of(&ctx.args, 3);
    ctx.data.set(&key, value, Ttl::At(at));
    ctx.effect_set(&key, ctx.args.get(3), Ttl::At(at));
    ctx.notify(Classes::STRING, "set", &key);
    ctx.notify(Classes::GENERIC, "expire", &key);
    ctx.out.ok();
    Ok(())
}

pub(super) fn getset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let value = value_of(&ctx.args, 2);
    match ctx.data.write(&key) {
        Some(mut entry) => {
            reply_value(ctx.out, entry.get())?;
            entry.set(value, Ttl::Clear);
        }
        None => {
            ctx.out.null();
            ctx.data.insert(&key, value, Ttl::Clear);
        }
    }
    ctx.notify(Classes::STRING, "set", &key);
    Ok(())
}

pub(super) fn getdel(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    match ctx.data.write(&key) {
        Some(entry) => {
            reply_value(ctx.out, entry.get())?;
            entry.remove();
            ctx.effect_del(&key);
            ctx.notify(Classes::GENERIC, "del", &key);
        }
        None => ctx.out.null(),
    }
    Ok(())
}

/// What GETEX does with the expiry.
enum NewExpiry {
    Leave,
    Remove,
    /// To the time in this argument.
    Set(ExpiryForm, usize),
}

fn getex_options(ctx: &Ctx<'_, '_>) -> Result<NewExpiry, Error> {
    let mut expiry = NewExpiry::Leave;
    let mut i = 2;
    while i < ctx.args.len() {
        let option = ctx.args.get(i);
        expiry = match (ExpiryForm::from_option(option), expiry) {
            (None, NewExpiry::Leave | NewExpiry::Remove)
                if option.eq_ignore_ascii_case(b"PERSIST") =>
            {
                NewExpiry::Remove
            }
            (Some(form), NewExpiry::Leave) if i + 1 < ctx.args.len() => NewExpiry::Set(form, i + 1),
            (Some(form), NewExpiry::Set(before, _)) if form == before && i + 1 < ctx.args.len() => {
                NewExpiry::Set(form, i + 1)
            }
            _ => return Err(Error::SYNTAX),
        };
        i += if matches!(expiry, NewExpiry::Set(..)) { 2 } else { 1 };
    }
    Ok(expiry)
}

pub(super) fn getex(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let expiry = getex_options(ctx)?;
    let (now_ms, clock_ms, name) = (ctx.data.now_ms, ctx.data.clock_ms(), ctx.name());
    let Some(mut entry) = ctx.data.write(&key) else {
        ctx.out.null();
        return Ok(());
    };
    text_of(entry.get())?;
    // An invalid time is an error only where there is a key.
    let at = match expiry {
        NewExpiry::Set(form, i) => Some(form.at_positive(ctx.args.get(i), clock_ms, name)?),
        _ => None,
    };
    reply_value(ctx.out, entry.get())?;
    let event = match (expiry, at) {
        (_, Some(at)) if at <= now_ms => {
            entry.remove();
            "del"
        }
        (_, Some(at)) => {
            entry.set_expire(Some(at));
            "expire"
        }
        (NewExpiry::Remove, _) if entry.get().expire().is_some() => {
            entry.set_expire(None);
            "persist"
        }
        _ => return Ok(()),
    };
    match (event, at) {
        ("expire", Some(at)) => ctx.effect_expire(&key, at),
        ("persist", _) => ctx.effect(&[b"PERSIST", key.bytes]),
        _ => ctx.effect_del(&key),
    }
    ctx.notify(Classes::GENERIC, event, &key);
    Ok(())
}

pub(super) fn delifeq(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let key = ctx.key(1);
    let wanted = ctx.args.get(2);
    let found = match ctx.data.write(&key) {
        Some(entry) => {
            let equal = text_of(entry.get())?.with_bytes(|value| value == wanted);
            if equal {
                entry.remove();
            }
            equal
        }
        None => false,
    };
    if found {
        ctx.effect_del(&key);
        ctx.notify(Classes::GENERIC, "del", &key);
    }
    ctx.out.int(i64::from(found));
    Ok(())
}

pub(super) fn mget(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.array(ctx.args.len() - 1);
    for i in 1..ctx.args.len() {
        let key = ctx.key(i);
        match ctx.data.read(&key) {
            Some(entry) if entry.is_string() => reply_value(ctx.out, entry)?,
            _ => ctx.out.null(),
        }
    }
    Ok(())
}

pub(super) fn mset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    set_all(ctx)?;
    ctx.out.ok();
    Ok(())
}

pub(super) fn msetnx(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len().is_multiple_of(2) {
        return Err(Error::arity(ctx.name()));
    }
    for i in (1..ctx.args.len()).step_by(2) {
        let key = ctx.key(i);
        if ctx.data.write(&key).is_some() {
            ctx.out.int(0);
            return Ok(());
        }
    }
    set_all(ctx)?;
    ctx.out.int(1);
    Ok(())
}

fn set_all(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len().is_multiple_of(2) {
        return Err(Error::arity(ctx.name()));
    }
    for i in (1..ctx.args.len()).step_by(2) {
        let key = ctx.key(i);
        let value = value_of(&ctx.args, i + 1);
        ctx.data.set(&key, value, Ttl::Clear);
        ctx.notify(Classes::STRING, "set", &key);
    }
    Ok(())
}
