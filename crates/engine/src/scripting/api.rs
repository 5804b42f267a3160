//! What scripts call: the functions of the `redis` table, random numbers, and the compilation of text.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Table, Value};
use respire_resp::Proto;

use super::arguments::Arguments;
use super::cache::sha_of;
use super::calling::{self, Calls, Unanswered};
use super::convert::field;
use super::guard::{self, Ending, NOTHING, RAISES, RAISES_HERE, RETURNS};
use super::interpreter::Purpose;
use super::lend::Desk;
use super::running::Refusal;
use super::shebang::{ScriptFlags, check_name};
use crate::dispatch::Lookup;
use crate::error::Error;

/// The version whose scripts run here, as `redis.REDIS_VERSION_NUM` has it: a byte for each part.
const VERSION_NUMBER: i64 = 0x0007_0400;

type Returned = mlua::Result<(Value, Ending)>;

/// A function that a library registers.
pub(super) struct NewFunction {
    pub(super) name: Vec<u8>,
    pub(super) description: Option<Vec<u8>>,
    pub(super) flags: ScriptFlags,
    pub(super) callback: Function,
}

/// What a library has registered so far.
#[derive(Default)]
pub(super) struct Registered(pub(super) Vec<NewFunction>);

/// The value of an error: a table with its text.
fn error_value(lua: &Lua, error: &Error) -> mlua::Result<Value> {
    field(lua, "err", Value::String(lua.create_string(error.as_bytes())?))
}

/// Ends a function by raising an error's table.
fn raise(lua: &Lua, error: &Error) -> Returned {
    Ok((error_value(lua, error)?, RAISES))
}

fn nothing() -> Returned {
    Ok((Value::Nil, NOTHING))
}

/// The `redis` table of scripts, or of functions when they are called.
pub(super) fn table(lua: &Lua, purpose: Purpose, desk: &Desk) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    add_constants(lua, &redis, desk)?;
    redis.raw_set("call", calling(lua, desk, true)?)?;
    redis.raw_set("pcall", calling(lua, desk, false)?)?;
    redis.raw_set("acl_check_cmd", acl_check(lua, desk)?)?;
    add(lua, &redis, "sha1hex", sha1hex)?;
    add(lua, &redis, "error_reply", error_reply)?;
    add(lua, &redis, "status_reply", status_reply)?;
    let own = desk.clone();
    add(lua, &redis, "set_repl", move |lua, args| set_repl(lua, &own, &args))?;
    let own = desk.clone();
    add(lua, &redis, "setresp", move |lua, args| set_resp(lua, &own, &args))?;
    if purpose == Purpose::Scripts {
        add(lua, &redis, "replicate_commands", |_, _| Ok((Value::Boolean(true), RETURNS)))?;
        // There is no debugger: nobody is there to stop for, or to tell.
        add(lua, &redis, "breakpoint", |_, _| Ok((Value::Boolean(false), RETURNS)))?;
        add(lua, &redis, "debug", |_, _| nothing())?;
    }
    for (name, value) in
        [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)]
    {
        redis.raw_set(name, value)?;
    }
    Ok(redis)
}

/// The `redis` table while a library is loaded.
pub(super) fn loading_table(
    lua: &Lua,
    desk: &Desk,
    registered: &Rc<RefCell<Option<Registered>>>,
) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    add_constants(lua, &redis, desk)?;
    let registered = Rc::clone(registered);
    add(lua, &redis, "register_function", move |lua, args| {
        let mut registered = registered.borrow_mut();
        // A function of a library may have kept this from when it was loaded.
        let Some(registered) = registered.as_mut() else {
            return raise(
                lua,
                &Error::fixed(
                    "ERR redis.register_function can only be called on FUNCTION LOAD command",
                ),
            );
        };
        match register(&args, registered) {
            Ok(()) => nothing(),
            Err(error) => raise(lua, &error),
        }
    })?;
    Ok(redis)
}

/// What is there at any time: the log and the version.
fn add_constants(lua: &Lua, redis: &Table, _: &Desk) -> mlua::Result<()> {
    redis.raw_set("REDIS_VERSION", crate::REDIS_VERSION)?;
    redis.raw_set("REDIS_VERSION_NUM", VERSION_NUMBER)?;
    for (name, level) in
        [("LOG_DEBUG", 0), ("LOG_VERBOSE", 1), ("LOG_NOTICE", 2), ("LOG_WARNING", 3)]
    {
        redis.raw_set(name, level)?;
    }
    add(lua, redis, "log", log)
}

/// Adds a function of the given name.
fn add(
    lua: &Lua,
    table: &Table,
    name: &str,
    function: impl Fn(&Lua, MultiValue) -> Returned + 'static,
) -> mlua::Result<()> {
    let function = lua.create_function(function)?;
    table.raw_set(name, guard::raising(lua, function)?)
}

/// `redis.acl_check_cmd`: whether the user may call this command.
fn acl_check(lua: &Lua, desk: &Desk) -> mlua::Result<Function> {
    let shelf = Rc::new(RefCell::new(Arguments::default()));
    let (desk, own) = (desk.clone(), Rc::clone(&shelf));
    let inner = lua.create_function(move |lua, whole: bool| {
        let arguments = own.borrow();
        if let Err(error) = calling::check(&arguments, whole) {
            return raise(lua, &error);
        }
        let may = desk.with(|running| {
            let args = arguments.args();
            match running.engine.resolve(&args) {
                Lookup::Known(command) => Some(running.may(command, &args).is_ok()),
                _ => None,
            }
        });
        match may.flatten() {
            Some(may) => Ok((Value::Boolean(may), RETURNS)),
            None => {
                raise(lua, &Error::fixed("ERR Invalid command passed to redis.acl_check_cmd()"))
            }
        }
    })?;
    guard::collecting(lua, &shelf, inner)
}

/// `redis.call` and `redis.pcall`: the first raises errors, the second returns them.
fn calling(lua: &Lua, desk: &Desk, raises: bool) -> mlua::Result<Function> {
    let calls = Rc::new(RefCell::new(Calls::new(desk, raises)));
    let own = Rc::clone(&calls);
    let ending = if raises { RAISES } else { RETURNS };
    let inner = lua.create_function(move |lua, _: bool| {
        let unanswered = own.borrow_mut().unanswered.take();
        let (error, counted) = match unanswered {
            Some(Unanswered::Wrong(error)) => (error, false),
            // It has been counted where it happened.
            Some(Unanswered::Refused(Refusal::Error(error))) => (error, true),
            Some(Unanswered::Refused(Refusal::Stop)) => {
                return Err(mlua::Error::runtime("the script has to stop"));
            }
            Some(Unanswered::Idle) | None => {
                return Err(mlua::Error::runtime("no script is running"));
            }
        };
        let value = error_value(lua, &error)?;
        if let Value::Table(table) = &value
            && counted
        {
            table.raw_set("ignore_error_stats_update", true)?;
        }
        Ok((value, ending))
    })?;
    guard::calling(lua, &calls, inner)
}

/// A text, or a number as Lua writes it.
fn text_of(lua: &Lua, value: Option<&Value>) -> mlua::Result<Option<mlua::LuaString>> {
    match value {
        Some(value @ (Value::String(_) | Value::Number(_) | Value::Integer(_))) => {
            lua.coerce_string(value.clone())
        }
        _ => Ok(None),
    }
}

fn sha1hex(lua: &Lua, args: MultiValue) -> Returned {
    if args.len() != 1 {
        return raise(lua, &Error::fixed("ERR wrong number of arguments"));
    }
    let text = text_of(lua, args.front())?;
    let sha = sha_of(&text.map_or_else(Vec::new, |text| text.as_bytes().to_vec()));
    Ok((Value::String(lua.create_string(sha)?), RETURNS))
}

/// The one string that `error_reply` and `status_reply` take.
fn only_string(args: &MultiValue) -> Option<&mlua::LuaString> {
    match (args.len(), args.front()) {
        (1, Some(Value::String(text))) => Some(text),
        _ => None,
    }
}

const WRONG_ARGUMENTS: Error = Error::fixed("ERR wrong number or type of arguments");

fn error_reply(lua: &Lua, args: MultiValue) -> Returned {
    let Some(given) = only_string(&args) else {
        return Ok((error_value(lua, &WRONG_ARGUMENTS)?, RETURNS));
    };
    let given = given.as_bytes();
    let text = super::convert::up_to_zero(given.strip_prefix(b"-").unwrap_or(&given));
    // Behind the code, or in all where there is none, ends of lines at both ends don't count.
    let (code, message) = match text.iter().position(|byte| *byte == b' ') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (&b"ERR"[..], text),
    };
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = message.iter().position(|byte| !is_end(byte)).unwrap_or(message.len());
    let end = message.iter().rposition(|byte| !is_end(byte)).map_or(start, |last| last + 1);
    let text = [code, b" ", &message[start..end]].concat();
    Ok((field(lua, "err", Value::String(lua.create_string(&text)?))?, RETURNS))
}

fn status_reply(lua: &Lua, args: MultiValue) -> Returned {
    match only_string(&args) {
        Some(text) => Ok((field(lua, "ok", Value::String(text.clone()))?, RETURNS)),
        None => Ok((error_value(lua, &WRONG_ARGUMENTS)?, RETURNS)),
    }
}

/// What Lua takes for a number.
fn number_of(lua: &Lua, value: Option<&Value>) -> mlua::Result<Option<f64>> {
    value.map_or(Ok(None), |value| lua.coerce_number(value.clone()))
}

fn log(lua: &Lua, args: MultiValue) -> Returned {
    if args.len() < 2 {
        return raise(lua, &Error::fixed("ERR redis.log() requires two arguments or more."));
    }
    let Some(level) = number_of(lua, args.front())? else {
        return raise(lua, &Error::fixed("ERR First argument must be a number (log level)."));
    };
    let level = match level as i64 {
        0 => log::Level::Debug,
        1 => log::Level::Debug,
        2 => log::Level::Info,
        3 => log::Level::Warn,
        _ => return raise(lua, &Error::fixed("ERR Invalid debug level.")),
    };
    let mut line = Vec::new();
    for value in args.iter().skip(1) {
        let Some(text) = text_of(lua, Some(value))? else { continue };
        if !line.is_empty() {
            line.push(b' ');
        }
        line.extend_from_slice(&text.as_bytes());
    }
    log::log!(level, "{}", String::from_utf8_lossy(&line));
    nothing()
}

/// `redis.set_repl`: whether what follows goes to the append-only file. Of the flags, `REPL_AOF` says so.
fn set_repl(lua: &Lua, desk: &Desk, args: &MultiValue) -> Returned {
    const TO_FILE: i64 = 1;
    if args.len() != 1 {
        return raise(lua, &Error::fixed("ERR redis.set_repl() requires two arguments."));
    }
    let flags = number_of(lua, args.front())?.unwrap_or(0.0) as i64;
    if flags & !3 != 0 {
        return raise(
            lua,
            &Error::fixed(
                "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
            ),
        );
    }
    desk.with(|running| running.session.unlogged = flags & TO_FILE == 0);
    nothing()
}

fn set_resp(lua: &Lua, desk: &Desk, args: &MultiValue) -> Returned {
    if args.len() != 1 {
        return raise(lua, &Error::fixed("ERR redis.setresp() requires one argument."));
    }
    let proto = match number_of(lua, args.front())?.map(|number| number as i64) {
        Some(2) => Proto::Resp2,
        Some(3) => Proto::Resp3,
        _ => return raise(lua, &Error::fixed("ERR RESP version must be 2 or 3.")),
    };
    desk.with(|running| running.session.proto = proto);
    nothing()
}

/// `redis.register_function`, in either form.
fn register(args: &MultiValue, registered: &mut Registered) -> Result<(), Error> {
    let function = match (args.len(), args.front(), args.get(1)) {
        (1, Some(Value::Table(named)), _) => named_function(named)?,
        (1, ..) => {
            return Err(Error::fixed(
                "ERR calling redis.register_function with a single argument is only applicable to Lua table \
                 (representing named arguments).",
            ));
        }
        (2, Some(name), Some(callback)) => {
            let name = name_text(name).ok_or(Error::fixed(
                "ERR first argument to redis.register_function must be a string",
            ))?;
            let Value::Function(callback) = callback else {
                return Err(Error::fixed(
                    "ERR second argument to redis.register_function must be a function",
                ));
            };
            let callback = callback.clone();
            NewFunction { name, description: None, flags: ScriptFlags::empty(), callback }
        }
        _ => {
            return Err(Error::fixed("ERR wrong number of arguments to redis.register_function"));
        }
    };
    check_name(&function.name)?;
    let same = |other: &NewFunction| other.name == function.name;
    if registered.0.iter().any(same) {
        return Err(Error::fixed("ERR Function already exists in the library"));
    }
    registered.0.push(function);
    Ok(())
}

/// A text, or a number as text: names and descriptions may be given as either.
fn name_text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Number(_) | Value::Integer(_) => value.to_string().ok().map(String::into_bytes),
        _ => None,
    }
}

fn named_function(named: &Table) -> Result<NewFunction, Error> {
    const UNKNOWN: Error = Error::fixed("ERR unknown argument given to redis.register_function");
    let broken = |error: mlua::Error| Error::text(format!("ERR {error}"));
    let (mut name, mut description, mut callback) = (None, None, None);
    let mut flags = ScriptFlags::empty();
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(broken)?;
        let Value::String(key) = key else { return Err(UNKNOWN) };
        match &*key.as_bytes() {
            b"function_name" => {
                name = Some(name_text(&value).ok_or(Error::fixed(
                    "ERR function_name argument given to redis.register_function must be a string",
                ))?);
            }
            b"description" => {
                description = Some(name_text(&value).ok_or(Error::fixed(
                    "ERR description argument given to redis.register_function must be a string",
                ))?);
            }
            b"callback" => {
                let Value::Function(function) = value else {
                    return Err(Error::fixed(
                        "ERR callback argument given to redis.register_function must be a function",
                    ));
                };
                callback = Some(function);
            }
            b"flags" => {
                let Value::Table(list) = value else {
                    return Err(Error::fixed(
                        "ERR flags argument to redis.register_function must be a table representing function flags",
                    ));
                };
                flags = flags_of(&list)?;
            }
            _ => return Err(UNKNOWN),
        }
    }
    let name =
        name.ok_or(Error::fixed("ERR redis.register_function must get a function name argument"))?;
    let callback =
        callback.ok_or(Error::fixed("ERR redis.register_function must get a callback argument"))?;
    Ok(NewFunction { name, description, flags, callback })
}

fn flags_of(list: &Table) -> Result<ScriptFlags, Error> {
    const UNKNOWN: Error = Error::fixed("ERR unknown flag given");
    let mut flags = ScriptFlags::empty();
    for value in list.sequence_values::<Value>() {
        let Ok(Value::String(name)) = value else { return Err(UNKNOWN) };
        flags |= ScriptFlags::of_name(&name.as_bytes()).ok_or(UNKNOWN)?;
    }
    Ok(flags)
}

/// `math.random` and `math.randomseed`: the same numbers in every run.
pub(super) fn add_random(lua: &Lua, math: &Table, desk: &Desk) -> mlua::Result<()> {
    let own = desk.clone();
    add(lua, math, "random", move |lua, args| {
        let share = own.with(|running| running.random.next()).unwrap_or(0.0);
        let (low, high) = match args.len() {
            0 => return Ok((Value::Number(share), RETURNS)),
            1 => (1, integer(lua, &args, 0, "random")),
            2 => match integer(lua, &args, 0, "random") {
                Ok(low) => (low, integer(lua, &args, 1, "random")),
                Err(wrong) => return here(lua, &wrong),
            },
            _ => return here(lua, "wrong number of arguments"),
        };
        let high = match high {
            Ok(high) if low <= high => high,
            Ok(_) => {
                let number = args.len();
                let wrong = format!("bad argument #{number} to 'random' (interval is empty)");
                return here(lua, &wrong);
            }
            Err(wrong) => return here(lua, &wrong),
        };
        let range = (f64::from(high) - f64::from(low)) + 1.0;
        Ok((Value::Number((share * range).floor() + f64::from(low)), RETURNS))
    })?;
    let own = desk.clone();
    add(lua, math, "randomseed", move |lua, args| match integer(lua, &args, 0, "randomseed") {
        Ok(seed) => {
            own.with(|running| running.random = super::random::Random::seeded(seed));
            nothing()
        }
        Err(wrong) => here(lua, &wrong),
    })
}

/// Ends a function by raising a text with the caller's line.
fn here(lua: &Lua, text: &str) -> Returned {
    Ok((Value::String(lua.create_string(text)?), RAISES_HERE))
}

/// Argument `i` as C's `int`, or what is wrong with it.
fn integer(lua: &Lua, args: &MultiValue, i: usize, function: &str) -> Result<i32, String> {
    let number = number_of(lua, args.get(i)).ok().flatten();
    number.map(|number| number as i64 as i32).ok_or_else(|| {
        let got = args.get(i).map_or("no value", Value::type_name);
        format!("bad argument #{} to '{function}' (number expected, got {got})", i + 1)
    })
}

/// `loadstring`, of text only: what was compiled elsewhere could do anything.
pub(super) fn text_only_loadstring(lua: &Lua, original: &Function) -> mlua::Result<Function> {
    guard::compiling(lua, original)
}

/// `load`, on `loadstring`: the pieces are put together first.
pub(super) fn text_only_load(lua: &Lua, original: &Function) -> mlua::Result<Function> {
    let compile = guard::compiling(lua, original)?;
    let chunk = lua.load(
        "local compile, concat, type, pcall = ...\n\
         return function(reader, name)\n\
           local pieces = {}\n\
           while true do\n\
             local fine, piece = pcall(reader)\n\
             if not fine then return nil, piece end\n\
             if piece == nil or piece == '' then break end\n\
             if type(piece) ~= 'string' then return nil, 'reader function must return a string' end\n\
             pieces[#pieces + 1] = piece\n\
           end\n\
           return compile(concat(pieces), name or '=(load)')\n\
         end",
    );
    let globals = lua.globals();
    let concat: Value = globals.get::<Table>("table")?.get("concat")?;
    let (kind, pcall): (Value, Value) = (globals.get("type")?, globals.get("pcall")?);
    let load: Function = chunk.set_name("=load").call((compile, concat, kind, pcall))?;
    guard::taking_function(lua, load)
}
