//! The functions of the sandbox that must be C functions to Lua: those that raise values other than strings, those that
//! look like the library function that they stand in for, and the protected call around a script.
//!
//! Lua reports an error at the function that *called* a C function; were these written in Lua, scripts would be told of
//! lines that are not theirs. And an error of a script is a table, which a function of Rust can't raise.
//!
//! `unsafe` is here because these run on the raw stack of Lua. Errors leave them by `longjmp`, so none of them owns
//! anything that would have to be dropped at that moment: what has to be done in Rust is done by a function of mlua,
//! which they call.

use std::cell::RefCell;
use std::ffi::{CStr, c_int};

use mlua::ffi::{
    LUA_MULTRET, LUA_OK, LUA_REGISTRYINDEX, LUA_TBOOLEAN, LUA_TFUNCTION, LUA_TNIL, LUA_TNUMBER,
    LUA_TSTRING, LUA_TTABLE, lua_CFunction, lua_State, lua_call, lua_concat, lua_error, lua_gettop,
    lua_insert, lua_isstring, lua_newtable, lua_next, lua_pcall, lua_pop, lua_pushboolean,
    lua_pushcclosure, lua_pushlightuserdata, lua_pushnil, lua_pushstring, lua_pushvalue,
    lua_rawget, lua_rawgeti, lua_rawset, lua_rawseti, lua_remove, lua_replace, lua_settop,
    lua_toboolean, lua_tocfunction, lua_tointeger, lua_tolstring, lua_tonumber, lua_touserdata,
    lua_type, lua_upvalueindex, luaL_checktype, luaL_ref, luaL_where,
};
use mlua::{Function, Lua, Table};

use respire_resp::Args;

use super::arguments::Arguments;
use super::calling::Calls;
use super::push;

/// What a function that [`raising`] wraps returns behind its value.
pub(super) type Ending = i64;
/// The value is the result.
pub(super) const RETURNS: Ending = 0;
/// The value is raised as it is.
pub(super) const RAISES: Ending = 1;
/// The value, a text, is raised with the line of the caller in front.
pub(super) const RAISES_HERE: Ending = 2;
/// There is no result, not even nil.
pub(super) const NOTHING: Ending = 3;

const READ_ONLY: &CStr = c"Attempt to modify a readonly table";

/// Makes a C function with the values on the stack as its upvalues.
fn closure(
    lua: &Lua,
    upvalues: impl mlua::IntoLuaMulti,
    count: c_int,
    function: lua_CFunction,
) -> mlua::Result<Function> {
    // SAFETY: mlua calls this under a protected call with exactly `upvalues` on the stack, of which there are `count`.
    unsafe { lua.exec_raw(upvalues, |state| lua_pushcclosure(state, function, count)) }
}

/// A function that calls `inner`, which returns a value and its [`Ending`].
pub(super) fn raising(lua: &Lua, inner: Function) -> mlua::Result<Function> {
    closure(lua, (inner,), 1, call_raising)
}

unsafe extern "C-unwind" fn call_raising(state: *mut lua_State) -> c_int {
    // SAFETY: upvalue 1 is the function; C functions have room for 20 more values on the stack.
    unsafe {
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_insert(state, 1);
        lua_call(state, lua_gettop(state) - 1, 2);
        finish(state)
    }
}

/// Returns or raises the value below the ending that is on top.
unsafe fn finish(state: *mut lua_State) -> c_int {
    // SAFETY: the two results of a function are on top of the stack.
    unsafe {
        let ending = lua_tointeger(state, -1) as Ending;
        lua_settop(state, -2);
        match ending {
            RETURNS => return 1,
            NOTHING => return 0,
            RAISES_HERE => {
                luaL_where(state, 1);
                lua_insert(state, -2);
                lua_concat(state, 2);
            }
            _ => {}
        }
        lua_error(state)
    }
}

/// A function that notes its arguments in `arguments`, then calls `inner`, which returns a value and its [`Ending`].
/// `inner` is given whether all arguments were strings or numbers. It must own `arguments`, which so live as long as the
/// function does, and may not borrow them while Lua code runs.
pub(super) fn collecting(
    lua: &Lua,
    arguments: &RefCell<Arguments>,
    inner: Function,
) -> mlua::Result<Function> {
    let arguments = mlua::LightUserData(arguments.as_ptr().cast());
    closure(lua, (inner, arguments), 2, call_collecting)
}

unsafe extern "C-unwind" fn call_collecting(state: *mut lua_State) -> c_int {
    // SAFETY: upvalue 2 points to arguments that upvalue 1 owns and that nobody borrows at this moment: see `collecting`.
    unsafe {
        let arguments: *mut Arguments = lua_touserdata(state, lua_upvalueindex(2)).cast();
        let whole = gather(state, &mut *arguments);
        explain_call(state, whole)
    }
}

/// Notes the arguments of a function. Returns whether all of them were strings or numbers.
unsafe fn gather(state: *mut lua_State, arguments: &mut Arguments) -> bool {
    // SAFETY: these are the function's arguments. `lua_tolstring` of a string allocates nothing, so no error leaves this.
    unsafe {
        let count = lua_gettop(state);
        arguments.clear();
        let mut i = 1;
        while i <= count {
            match lua_type(state, i) {
                LUA_TSTRING => {
                    let mut len = 0;
                    let start = lua_tolstring(state, i, &mut len);
                    arguments.push(std::slice::from_raw_parts(start.cast(), len));
                }
                LUA_TNUMBER => arguments.push_number(lua_tonumber(state, i)),
                _ => return false,
            }
            i += 1;
        }
        true
    }
}

/// Ends a function with what upvalue 1 makes of it.
unsafe fn explain_call(state: *mut lua_State, whole: bool) -> c_int {
    // SAFETY: upvalue 1 is a function that returns a value and its ending; the arguments are not needed any more.
    unsafe {
        lua_settop(state, 0);
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_pushboolean(state, whole.into());
        lua_call(state, 1, 2);
        finish(state)
    }
}

/// `redis.call` or `redis.pcall`. `inner` returns what to say of a call that was refused, as those that [`collecting`] takes.
/// It must own `calls`, which so live as long as the function does, and may not borrow them while Lua code runs.
pub(super) fn calling(
    lua: &Lua,
    calls: &RefCell<Calls>,
    inner: Function,
) -> mlua::Result<Function> {
    let calls = mlua::LightUserData(calls.as_ptr().cast());
    closure(lua, (inner, calls), 2, call_command)
}

unsafe extern "C-unwind" fn call_command(state: *mut lua_State) -> c_int {
    // SAFETY: upvalue 2 points to what upvalue 1 owns and nobody borrows at this moment: see `calling`. It is not used
    // while Lua code runs, and when Lua leaves this by an error nothing here has to be dropped.
    unsafe {
        let calls: *mut Calls = lua_touserdata(state, lua_upvalueindex(2)).cast();
        let whole = gather(state, &mut (*calls).arguments);
        if !(*calls).execute(whole) {
            return explain_call(state, whole);
        }
        let failed = push::reply(state, (*calls).reply.bytes());
        if failed {
            // It has been counted where it happened.
            lua_pushstring(state, c"ignore_error_stats_update".as_ptr());
            lua_pushboolean(state, 1);
            lua_rawset(state, -3);
            if (*calls).raises {
                lua_error(state);
            }
        }
        1
    }
}

/// Stands in for `original`, which reads its first argument: one of the keys of `protected` is replaced by a copy of its
/// value. `upvalue` is what the original has as its own.
pub(super) fn seeing_through(
    lua: &Lua,
    original: &Function,
    upvalue: mlua::Value,
    protected: &Table,
) -> mlua::Result<Function> {
    closure(lua, (upvalue, protected, original), 3, call_seeing_through)
}

unsafe extern "C-unwind" fn call_seeing_through(state: *mut lua_State) -> c_int {
    // SAFETY: upvalue 1 is the original's, 2 a table, 3 the original. It runs on this very stack frame, so that it
    // raises what it would raise by itself.
    unsafe {
        if push_protected(state) {
            push_copy(state);
            lua_replace(state, 1);
            lua_pop(state, 1);
        }
        original(state)
    }
}

/// Pushes the table that stands behind argument 1, if that is protected. Returns whether it is.
unsafe fn push_protected(state: *mut lua_State) -> bool {
    // SAFETY: upvalue 2 is the table of what is protected.
    unsafe {
        if lua_gettop(state) == 0 || lua_type(state, 1) != LUA_TTABLE {
            return false;
        }
        lua_pushvalue(state, 1);
        lua_rawget(state, lua_upvalueindex(2));
        let found = lua_type(state, -1) == LUA_TTABLE;
        if !found {
            lua_pop(state, 1);
        }
        found
    }
}

/// Pushes a copy of the table on top, which stays below: whoever gets at the copy can't change the original.
unsafe fn push_copy(state: *mut lua_State) {
    // SAFETY: a table is on top; five more values fit.
    unsafe {
        lua_newtable(state);
        lua_pushnil(state);
        while lua_next(state, -3) != 0 {
            lua_pushvalue(state, -2);
            lua_insert(state, -2);
            lua_rawset(state, -4);
        }
        // The metatable is all that `getmetatable` looks for.
        if mlua::ffi::lua_getmetatable(state, -2) != 0 {
            mlua::ffi::lua_setmetatable(state, -2);
        }
    }
}

unsafe fn original(state: *mut lua_State) -> c_int {
    // SAFETY: upvalue 3 is a C function of Lua's library.
    unsafe {
        match lua_tocfunction(state, lua_upvalueindex(3)) {
            Some(function) => function(state),
            None => 0,
        }
    }
}

/// Stands in for `original`, which changes its first argument: what is a key of `protected` is refused.
pub(super) fn refusing(
    lua: &Lua,
    original: &Function,
    protected: &Table,
) -> mlua::Result<Function> {
    closure(lua, (mlua::Value::Nil, protected, original), 3, call_refusing)
}

unsafe extern "C-unwind" fn call_refusing(state: *mut lua_State) -> c_int {
    // SAFETY: as in `call_seeing_through`.
    unsafe {
        if push_protected(state) {
            lua_pushstring(state, READ_ONLY.as_ptr());
            lua_error(state);
        }
        original(state)
    }
}

/// What a script calls when it assigns to a field of a protected table.
pub(super) fn read_only(lua: &Lua) -> mlua::Result<Function> {
    closure(lua, (), 0, raise_read_only)
}

unsafe extern "C-unwind" fn raise_read_only(state: *mut lua_State) -> c_int {
    // SAFETY: room for two values is there.
    unsafe {
        luaL_where(state, 1);
        lua_pushstring(state, READ_ONLY.as_ptr());
        lua_concat(state, 2);
        lua_error(state)
    }
}

/// `pcall` as scripts know it: of an error that is a table, they get the text.
pub(super) fn protected_call(lua: &Lua) -> mlua::Result<Function> {
    closure(lua, (), 0, call_protected)
}

unsafe extern "C-unwind" fn call_protected(state: *mut lua_State) -> c_int {
    // SAFETY: the function and its arguments are on the stack; a flag goes below the results.
    unsafe {
        if lua_gettop(state) == 0 {
            lua_pushboolean(state, 0);
            lua_pushstring(state, c"attempt to call a boolean value".as_ptr());
            return 2;
        }
        let status = lua_pcall(state, lua_gettop(state) - 1, LUA_MULTRET, 0);
        if status != LUA_OK && lua_type(state, -1) == LUA_TTABLE {
            lua_pushstring(state, c"err".as_ptr());
            lua_rawget(state, -2);
            // Where there is no text, scripts get a nil behind the table.
            if lua_isstring(state, -1) != 0 {
                lua_remove(state, -2);
            }
        }
        lua_pushboolean(state, (status == LUA_OK).into());
        lua_insert(state, 1);
        lua_gettop(state)
    }
}

/// A function that calls its first argument with the others, and returns the first result and whether it went well. What
/// was raised goes through `explain` where it was raised.
pub(super) fn runner(lua: &Lua, explain: Function) -> mlua::Result<Function> {
    closure(lua, (explain,), 1, call_run)
}

unsafe extern "C-unwind" fn call_run(state: *mut lua_State) -> c_int {
    // SAFETY: the function and its arguments are on the stack, the handler goes below them.
    unsafe {
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_insert(state, 1);
        let status = lua_pcall(state, lua_gettop(state) - 2, 1, 1);
        lua_pushboolean(state, (status == LUA_OK).into());
        2
    }
}

/// Stands in for `loadstring`: what is not text is refused as text that makes no sense.
pub(super) fn compiling(lua: &Lua, original: &Function) -> mlua::Result<Function> {
    closure(lua, (mlua::Value::Nil, mlua::Value::Nil, original), 3, call_compiling)
}

unsafe extern "C-unwind" fn call_compiling(state: *mut lua_State) -> c_int {
    // SAFETY: a string is looked at where it lies on the stack; upvalue 3 is the original.
    unsafe {
        if lua_type(state, 1) == LUA_TSTRING {
            let mut len = 0;
            let start = lua_tolstring(state, 1, &mut len);
            if is_compiled(std::slice::from_raw_parts(start.cast(), len)) {
                lua_pushnil(state);
                lua_pushstring(
                    state,
                    c"[string \"\x1bLuaQ\"]:1: unexpected symbol near 'char(27)'".as_ptr(),
                );
                return 2;
            }
        }
        original(state)
    }
}

/// Stands in front of `inner`, whose first argument must be a function.
pub(super) fn taking_function(lua: &Lua, inner: Function) -> mlua::Result<Function> {
    closure(lua, (inner,), 1, call_taking_function)
}

unsafe extern "C-unwind" fn call_taking_function(state: *mut lua_State) -> c_int {
    // SAFETY: upvalue 1 is the function.
    unsafe {
        luaL_checktype(state, 1, LUA_TFUNCTION);
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_insert(state, 1);
        lua_call(state, lua_gettop(state) - 1, LUA_MULTRET);
        lua_gettop(state)
    }
}

/// What a kept function is called with, and what it ends with.
pub(super) struct Given<'a> {
    /// Which of the kept functions.
    pub(super) number: i64,
    pub(super) request: Args<'a>,
    /// How many arguments of the request, from the fourth on, are keys.
    pub(super) keys: usize,
}

/// A result that is no table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plain<'l> {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(&'l [u8]),
}

/// How a kept function ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its result was taken.
    Taken,
    /// Its result is under [`RESULT`] among the kept functions.
    Returned,
    /// What it raised is there.
    Raised,
}

/// Where a result waits that was not taken.
pub(super) const RESULT: i64 = 0;

/// What calls kept functions, and where they are.
pub(super) struct Caller {
    /// Lua's main stack.
    state: *mut lua_State,
    /// Where the registry has the function that calls them.
    function: c_int,
}

/// What one call of a kept function is about.
struct Call<'c, 'a> {
    given: &'c Given<'a>,
    take: &'c mut dyn FnMut(Plain<'_>),
    ended: Ended,
}

/// Makes what calls the functions in the table `kept`. With `globals`, keys and arguments are put there, else they are the
/// functions' own arguments. What is raised goes through `explain` where it was raised.
pub(super) fn caller(
    lua: &Lua,
    explain: Function,
    kept: &Table,
    globals: Option<&Table>,
) -> mlua::Result<Caller> {
    let lists = globals.map(|_| lua.create_table()).transpose()?;
    let function = closure(lua, (explain, kept, globals, lists), 4, call_kept)?;
    let mut caller = Caller { state: std::ptr::null_mut(), function: 0 };
    // SAFETY: mlua calls this on the main stack with exactly the function there. The registry keeps it for as long as the
    // state lives.
    unsafe {
        lua.exec_raw::<()>(function, |state| {
            caller.state = state;
            caller.function = luaL_ref(state, LUA_REGISTRYINDEX);
        })?;
    }
    Ok(caller)
}

impl Caller {
    /// Calls a kept function, and gives `take` its result if that is no table. The state must live, and its main stack be
    /// what runs; as [`Caller`]s are kept with their state, and used from outside of Lua only, they do.
    pub(super) fn call(&self, given: &Given<'_>, take: &mut dyn FnMut(Plain<'_>)) -> Ended {
        let mut call = Call { given, take, ended: Ended::Raised };
        // SAFETY: as above. Two values fit on the main stack, on which nothing is left from call to call. Neither of the two
        // pushes needs memory, which here nobody would catch; errors inside end at `lua_pcall`. `call_kept` gets a pointer to
        // what is borrowed for longer than it runs.
        unsafe {
            let top = lua_gettop(self.state);
            lua_rawgeti(self.state, LUA_REGISTRYINDEX, self.function.into());
            lua_pushlightuserdata(self.state, std::ptr::from_mut(&mut call).cast());
            if lua_pcall(self.state, 1, 0, 0) != LUA_OK {
                // Not the function's error, which is caught further in, but that there was no memory to call it.
                call.ended = Ended::Raised;
            }
            lua_settop(self.state, top);
        }
        call.ended
    }
}

unsafe extern "C-unwind" fn call_kept(state: *mut lua_State) -> c_int {
    // SAFETY: only `Caller::call` calls this, scripts never see it: argument 1 points to what it borrows for the call.
    // Upvalues are the handler, the kept functions, the globals or nil, and where lists are kept that are used again.
    unsafe {
        let call: &mut Call<'_, '_> = &mut *lua_touserdata(state, 1).cast();
        let given = call.given;
        let first = 3 + given.keys;
        let keys = (3..first).map(|i| given.request.get(i));
        let rest = (first..given.request.len()).map(|i| given.request.get(i));
        lua_settop(state, 0);
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_rawgeti(state, lua_upvalueindex(2), given.number);
        let mut arguments = 2;
        if lua_type(state, lua_upvalueindex(3)) == LUA_TTABLE {
            global_list(state, c"KEYS", 1, keys);
            global_list(state, c"ARGV", 2, rest);
            arguments = 0;
        } else {
            push::list(state, keys);
            push::list(state, rest);
        }
        let status = lua_pcall(state, arguments, 1, 1);
        let plain = match lua_type(state, -1) {
            LUA_TNIL => Plain::Nil,
            LUA_TBOOLEAN => Plain::Boolean(lua_toboolean(state, -1) != 0),
            LUA_TNUMBER => Plain::Number(lua_tonumber(state, -1)),
            LUA_TSTRING => {
                let mut len = 0;
                let start = lua_tolstring(state, -1, &mut len);
                Plain::Text(std::slice::from_raw_parts(start.cast(), len))
            }
            _ => {
                lua_rawseti(state, lua_upvalueindex(2), RESULT);
                call.ended = if status == LUA_OK { Ended::Returned } else { Ended::Raised };
                return 0;
            }
        };
        if status == LUA_OK {
            (call.take)(plain);
            call.ended = Ended::Taken;
        } else {
            lua_rawseti(state, lua_upvalueindex(2), RESULT);
            call.ended = Ended::Raised;
        }
        0
    }
}

/// Sets a global to a table of texts: the one of the call before, if that is small and holds nothing else. When a script
/// has ended nothing of it is left, so nobody can have that table any more.
unsafe fn global_list<'t>(
    state: *mut lua_State,
    name: &CStr,
    slot: i64,
    texts: impl ExactSizeIterator<Item = &'t [u8]> + Clone,
) {
    /// Tables with more texts, or longer ones, are not kept.
    const KEPT: usize = 16;
    const KEPT_BYTES: usize = 4096;
    // SAFETY: upvalue 3 is the table of globals, 4 that of kept tables; there is room for five more values.
    unsafe {
        let is_small =
            texts.len() <= KEPT && texts.clone().map(<[u8]>::len).sum::<usize>() <= KEPT_BYTES;
        lua_rawgeti(state, lua_upvalueindex(4), slot);
        if is_small
            && lua_type(state, -1) == LUA_TTABLE
            && let Some(before) = push::len_of_list(state, KEPT)
        {
            // The global still is this table: scripts can't assign to it.
            push::refill(state, texts, before);
            return lua_pop(state, 1);
        }
        lua_pop(state, 1);
        push::list(state, texts);
        if is_small {
            lua_pushvalue(state, -1);
        } else {
            lua_pushnil(state);
        }
        lua_rawseti(state, lua_upvalueindex(4), slot);
        lua_pushstring(state, name.as_ptr());
        lua_insert(state, -2);
        lua_rawset(state, lua_upvalueindex(3));
    }
}

/// Whether a chunk is one that was compiled elsewhere: such may do anything to the interpreter.
pub(super) fn is_compiled(chunk: &[u8]) -> bool {
    chunk.first() == Some(&0x1b)
}
