//! One Lua state: its sandbox, its compiled functions, and how one is called.
//!
//! A thread has one for scripts and one for functions, made when it first needs them. Nothing that a script can reach
//! outlives it: globals and libraries can't be changed, and it has no globals of its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mlua::{Function, HookTriggers, Lua, Table, Value};
use respire_resp::{Out, Proto};

use super::api;
use super::convert::{Returned, Writer, is_counted, number_of, plain, up_to_zero};
use super::guard::{self, Caller, Ended, Given, Plain, RESULT};
use super::lend::Desk;
use super::running::{Running, Stop};
use super::sandbox::{self, Sandbox};

/// Instructions between two looks at the clock.
const LOOK_EVERY: u32 = 100_000;
/// Compiled functions that a state keeps at most. When there are more, all are dropped and compiled again as needed.
const COMPILED_MAX: usize = 10_000;

/// How often the clock would have been looked at until loading a library has taken too long: about half a second's work,
/// but the same on every machine.
const LOADING_LOOKS: u32 = 500;
/// Loading has taken too long.
const SPENT: u32 = u32::MAX;

/// What a Lua state is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Scripts,
    Functions,
}

impl Purpose {
    /// The name of chunks, as errors show it.
    fn chunk(self) -> &'static str {
        match self {
            Self::Scripts => "@user_script",
            Self::Functions => "@user_function",
        }
    }
}

/// The number of a compiled function of a state.
pub(super) type Number = i64;

/// One Lua state.
pub(super) struct Interpreter {
    lua: Lua,
    purpose: Purpose,
    desk: Desk,
    sandbox: Sandbox,
    /// Compiled functions by number: a table, as handles in Rust are few.
    compiled: Table,
    compiled_count: usize,
    next_number: Number,
    runner: Function,
    /// Calls one of the compiled functions.
    caller: Caller,
    /// What `redis.register_function` has been told, while a library is loaded.
    registered: Rc<RefCell<Option<api::Registered>>>,
    /// How many looks are left for loading a library; 0 while none is loaded, [`SPENT`] when there are none left.
    patience: Rc<Cell<u32>>,
}

/// How a run ended.
pub(super) enum End {
    /// With this reply, in which there may be an error.
    Replied(Returned),
    /// With an error, its text complete. `counted` is whether it has been counted where it happened.
    Failed { text: Vec<u8>, counted: bool },
    /// At this source and line, if that is known.
    Stopped(Stop, Option<(Vec<u8>, i64)>),
}

impl Interpreter {
    pub(super) fn new(purpose: Purpose) -> mlua::Result<Self> {
        let desk = Desk::default();
        let lua = sandbox::bare_state()?;
        let registered = Rc::default();
        let sandbox = Sandbox::build(&lua, purpose, &desk, &registered)?;
        let explain = lua.create_function(explain)?;
        let runner = guard::runner(&lua, explain.clone())?;
        let compiled = lua.create_table()?;
        let globals = (purpose == Purpose::Scripts).then_some(&sandbox.globals);
        let caller = guard::caller(&lua, explain, &compiled, globals)?;
        let this = Self {
            compiled,
            caller,
            compiled_count: 0,
            next_number: 1,
            lua,
            purpose,
            desk,
            sandbox,
            runner,
            registered,
            patience: Rc::default(),
        };
        this.look(LOOK_EVERY)?;
        Ok(this)
    }

    /// Has a look at the time, and at whether to stop, every so many instructions.
    fn look(&self, every: u32) -> mlua::Result<()> {
        set_hook(&self.lua, &self.desk, &self.patience, every)
    }

    /// Compiles a chunk. An error is Lua's text.
    pub(super) fn compile(&self, body: &[u8]) -> Result<Function, Vec<u8>> {
        if guard::is_compiled(body) {
            let name = &self.purpose.chunk()[1..];
            return Err(format!("{name}:1: unexpected symbol near 'char(27)'").into_bytes());
        }
        let broken = |error: mlua::Error| error.to_string().into_bytes();
        let body = self.lua.create_string(body).map_err(broken)?;
        // Lua's own function: mlua's makes a text of what Lua says, which need not be one.
        let compiled = self.sandbox.compile.call((body, self.purpose.chunk())).map_err(broken)?;
        match compiled {
            (Value::Function(function), _) => Ok(function),
            (_, Value::String(message)) => Err(message.as_bytes().to_vec()),
            _ => Err(b"it can't be compiled".to_vec()),
        }
    }

    /// Keeps a function under a number. `None` if so many are kept that all have to be dropped first.
    pub(super) fn keep(&mut self, function: &Function) -> mlua::Result<Option<Number>> {
        if self.compiled_count >= COMPILED_MAX {
            return Ok(None);
        }
        let number = self.next_number;
        self.compiled.raw_set(number, function)?;
        self.next_number += 1;
        self.compiled_count += 1;
        Ok(Some(number))
    }

    pub(super) fn drop_kept(&mut self, number: Number) -> mlua::Result<()> {
        self.compiled_count -= 1;
        self.compiled.raw_set(number, Value::Nil)
    }

    /// Drops all functions.
    pub(super) fn drop_all(&mut self) -> mlua::Result<()> {
        self.compiled_count = 0;
        self.next_number = 1;
        self.compiled.clear()?;
        self.lua.gc_collect()
    }

    /// Bytes of memory of the state.
    pub(super) fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Calls a kept function with the keys and arguments of a request, and writes its reply. `name` is what errors call it.
    pub(super) fn call(
        &self,
        running: &mut Running<'_, '_>,
        given: &Given<'_>,
        name: &[u8],
        out: &mut Out,
    ) -> mlua::Result<End> {
        let mark = out.mark();
        let mut take = |value: Plain<'_>| {
            // The script may have chosen it only now.
            let script = self.desk.with(|running| running.session.proto);
            plain(out, script.unwrap_or(Proto::Resp2), value);
        };
        let ended = self.desk.lend(running, || self.caller.call(given, &mut take));
        if let Some(stop) = running.stop {
            self.look(LOOK_EVERY)?;
            out.rewind(mark);
            self.compiled.raw_set(RESULT, Value::Nil)?;
            return Ok(End::Stopped(stop, running.place.take()));
        }
        if ended == Ended::Taken {
            return Ok(End::Replied(Returned::default()));
        }
        let value: Value = self.compiled.raw_get(RESULT)?;
        self.compiled.raw_set(RESULT, Value::Nil)?;
        if ended == Ended::Returned {
            return self.reply(value, running.session.proto, out).map(End::Replied);
        }
        failure(&value, name).map(|(text, counted)| End::Failed { text, counted })
    }

    fn reply(&self, value: Value, script: Proto, out: &mut Out) -> mlua::Result<Returned> {
        Writer::new(out, script, &self.sandbox.next).write(value)
    }

    /// Runs the body of a library, and returns what it registers. An error is its text.
    pub(super) fn load_library(
        &self,
        body: &[u8],
    ) -> mlua::Result<Result<api::Registered, Vec<u8>>> {
        let chunk = match self.compile(body) {
            Ok(chunk) => chunk,
            Err(text) => {
                let mut error = b"ERR Error compiling function: ".to_vec();
                error.extend_from_slice(&text);
                return Ok(Err(error));
            }
        };
        self.registered.replace(Some(api::Registered::default()));
        self.sandbox.begin_loading()?;
        self.patience.set(LOADING_LOOKS);
        let result: mlua::Result<(Value, bool)> = self.runner.call(chunk);
        let timed_out = self.patience.replace(0) == SPENT;
        let registered = self.registered.take().unwrap_or_default();
        self.sandbox.end_loading()?;
        let mut error = b"ERR Error registering functions: ".to_vec();
        if timed_out {
            self.look(LOOK_EVERY)?;
            error.extend_from_slice(b"ERR FUNCTION LOAD timeout");
            return Ok(Err(error));
        }
        let (value, fine) = result?;
        if !fine {
            error.extend_from_slice(&message(&value)?);
            return Ok(Err(error));
        }
        Ok(Ok(registered))
    }
}

/// Has a look at a running script every so many instructions; when it is to stop, every instruction raises an error, so
/// that it can't go on whatever it catches.
fn set_hook(lua: &Lua, desk: &Desk, patience: &Rc<Cell<u32>>, every: u32) -> mlua::Result<()> {
    let (desk, patience) = (desk.clone(), Rc::clone(patience));
    let triggers = HookTriggers::new().every_nth_instruction(every);
    lua.set_global_hook(triggers, move |lua, debug| {
        let running = desk.with(|running| {
            running.look();
            if running.stop.is_some() && running.place.is_none() {
                let source = debug.source().source.map(|name| name.as_bytes().to_vec());
                let line = debug.current_line().map_or(-1, |line| line as i64);
                running.place = source.map(|source| (source, line));
            }
            running.stop.is_some()
        });
        let stopped = running.unwrap_or_else(|| match patience.get() {
            0 => false,
            1 | SPENT => {
                patience.set(SPENT);
                true
            }
            left => {
                patience.set(left - 1);
                false
            }
        });
        if !stopped {
            return Ok(mlua::VmState::Continue);
        }
        if every > 1 {
            set_hook(lua, &desk, &patience, 1)?;
        }
        Err(mlua::Error::runtime("the script has to stop"))
    })
}

/// Makes of what was raised a table with the text and the place: the nearest function that is written in Lua.
fn explain(lua: &Lua, raised: Value) -> mlua::Result<Value> {
    let error = match raised {
        Value::Table(table) => table,
        stop @ Value::Error(_) => return Ok(stop),
        other => {
            let mut text = b"ERR ".to_vec();
            match &other {
                Value::String(message) => text.extend_from_slice(&message.as_bytes()),
                other => text.extend_from_slice(other.to_string()?.as_bytes()),
            }
            let table = lua.create_table()?;
            table.raw_set("err", lua.create_string(&text)?)?;
            table
        }
    };
    let place = |level| {
        lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let named = source.source.map(|name| name.into_owned());
            (source.what == "C", named, debug.current_line())
        })
    };
    let found = match place(1) {
        Some((true, ..)) => place(2),
        found => found,
    };
    if let Some((_, source, line)) = found {
        error.raw_set("source", source)?;
        error.raw_set("line", line.map_or(-1, |line| line as i64))?;
    }
    Ok(Value::Table(error))
}

/// The text of what was raised.
fn message(value: &Value) -> mlua::Result<Vec<u8>> {
    match value {
        Value::Table(table) => Ok(match table.raw_get("err")? {
            Value::String(text) => text.as_bytes().to_vec(),
            _ => b"ERR unknown error".to_vec(),
        }),
        Value::String(text) => Ok([b"ERR ", &*text.as_bytes()].concat()),
        other => Ok(format!("ERR {}", other.to_string()?).into_bytes()),
    }
}

/// The reply to a script that failed, and whether the error has been counted.
fn failure(value: &Value, name: &[u8]) -> mlua::Result<(Vec<u8>, bool)> {
    let mut text = message(value)?;
    text.truncate(up_to_zero(&text).len());
    let Value::Table(table) = value else { return Ok((text, false)) };
    let counted = is_counted(table)?;
    let source: Value = table.raw_get("source")?;
    let line: Value = table.raw_get("line")?;
    if let (Value::String(source), Some(line)) = (source, number_of(&line)) {
        add_place(&mut text, name, &source.as_bytes(), line as i64);
    }
    Ok((text, counted))
}

/// Appends to the text of an error which script it comes from, and where in it.
pub(super) fn add_place(text: &mut Vec<u8>, name: &[u8], source: &[u8], line: i64) {
    text.extend_from_slice(b" script: ");
    text.extend_from_slice(name);
    text.extend_from_slice(b", on ");
    text.extend_from_slice(source);
    text.extend_from_slice(format!(":{line}.").as_bytes());
}
