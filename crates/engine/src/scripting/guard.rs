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
    LUA_MULTRET, LUA_OK, LUA_TFUNCTION, LUA_TNUMBER, LUA_TSTRING, LUA_TTABLE, lua_CFunction,
    lua_State, lua_call, lua_concat, lua_error, lua_gettop, lua_insert, lua_isstring, lua_newtable,
    lua_next, lua_pcall, lua_pop, lua_pushboolean, lua_pushcclosure, lua_pushnil, lua_pushstring,
    lua_pushvalue, lua_rawget, lua_rawgeti, lua_rawset, lua_remove, lua_replace, lua_settop,
    lua_tocfunction, lua_tointeger, lua_tolstring, lua_tonumber, lua_touserdata, lua_type,
    lua_upvalueindex, luaL_checktype, luaL_where,
};
use mlua::{Function, Lua, Table};

use respire_resp::Args;

use super::arguments::Arguments;
use super::push;

/// What a function that [`raising`] wraps returns behind its value.
pub(super) type Ending = i64;
/// The value is the result.
pub(super) const RETURNS: Ending = 0;
/// The value is raised as it is.
pub(super) const RAISES: Ending = 1;
/// The value, a text, is raised with the line of the caller in front.
pub(super) const RAISES_HERE: Ending = 2;
/// Not the value, but what is in [`Arguments::reply`], is the result, or is raised if it is an error.
pub(super) const REPLIES: Ending = 3;
/// The same, but errors are results, too.
pub(super) const REPLIES_ALWAYS: Ending = 4;

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
    // `lua_tolstring` of a string allocates nothing, so no error leaves the loop.
    unsafe {
        let arguments: *mut Arguments = lua_touserdata(state, lua_upvalueindex(2)).cast();
        let count = lua_gettop(state);
        let mut whole = true;
        (*arguments).clear();
        for i in 1..=count {
            match lua_type(state, i) {
                LUA_TSTRING => {
                    let mut len = 0;
                    let start = lua_tolstring(state, i, &mut len);
                    (*arguments).push(std::slice::from_raw_parts(start.cast(), len));
                }
                LUA_TNUMBER => (*arguments).push_number(lua_tonumber(state, i)),
                _ => {
                    whole = false;
                    break;
                }
            }
        }
        lua_settop(state, 0);
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_pushboolean(state, whole.into());
        lua_call(state, 1, 2);
        let ending = lua_tointeger(state, -1) as Ending;
        if ending != REPLIES && ending != REPLIES_ALWAYS {
            return finish(state);
        }
        let failed = push::reply(state, (*arguments).reply.bytes());
        if failed {
            // It has been counted where it happened.
            lua_pushstring(state, c"ignore_error_stats_update".as_ptr());
            lua_pushboolean(state, 1);
            lua_rawset(state, -3);
        }
        if failed && ending == REPLIES {
            lua_error(state);
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
            if lua_isstring(state, -1) != 0 {
                lua_remove(state, -2);
            } else {
                lua_pop(state, 1);
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

/// What a kept function is called with.
pub(super) struct Given<'a> {
    /// Which of the kept functions.
    pub(super) number: i64,
    pub(super) request: Args<'a>,
    /// How many arguments of the request, from the fourth on, are keys.
    pub(super) keys: usize,
}

/// A function that calls one of the functions in the table `kept`. It takes a pointer to [`Given`], and returns as
/// [`runner`] does. With `globals`, keys and arguments are put there, else they are the function's own arguments.
pub(super) fn caller(
    lua: &Lua,
    explain: Function,
    kept: &Table,
    globals: Option<&Table>,
) -> mlua::Result<Function> {
    closure(lua, (explain, kept, globals), 3, call_kept)
}

/// Calls what [`caller`] made.
pub(super) fn call_given(
    caller: &Function,
    given: &Given<'_>,
) -> mlua::Result<(mlua::Value, bool)> {
    caller.call((mlua::LightUserData(std::ptr::from_ref(given).cast_mut().cast()),))
}

unsafe extern "C-unwind" fn call_kept(state: *mut lua_State) -> c_int {
    // SAFETY: only `call_given` calls this, scripts never see it: argument 1 points to what it borrows for the call.
    // Upvalues are the handler, the kept functions, and the globals or nil.
    unsafe {
        let given: &Given<'_> = &*lua_touserdata(state, 1).cast();
        let first = 3 + given.keys;
        lua_settop(state, 0);
        lua_pushvalue(state, lua_upvalueindex(1));
        lua_rawgeti(state, lua_upvalueindex(2), given.number);
        push::list(state, (3..first).map(|i| given.request.get(i)));
        push::list(state, given.request.iter_from(first));
        let mut arguments = 2;
        if lua_type(state, lua_upvalueindex(3)) == LUA_TTABLE {
            for name in [c"ARGV", c"KEYS"] {
                lua_pushstring(state, name.as_ptr());
                lua_insert(state, -2);
                lua_rawset(state, lua_upvalueindex(3));
            }
            arguments = 0;
        }
        let status = lua_pcall(state, arguments, 1, 1);
        lua_pushboolean(state, (status == LUA_OK).into());
        2
    }
}

/// Whether a chunk is one that was compiled elsewhere: such may do anything to the interpreter.
pub(super) fn is_compiled(chunk: &[u8]) -> bool {
    chunk.first() == Some(&0x1b)
}
