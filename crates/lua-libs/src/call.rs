//! One call of a library function by a script: its arguments, its results, and how it fails.
//!
//! mlua's own callbacks fit neither numbers nor errors here: they hand over numbers close to a whole one as that whole
//! number, and raise errors as objects, where scripts expect texts that name the script's line. So the functions are
//! plain C functions, and this file is the only one that touches Lua's stack.
//!
//! Invariants: a [`Call`] never pops its arguments, so what it borrows from them lives as long as the call. Whatever a
//! call allocates is in [`Scratch`], which nothing on the stack owns: should Lua run out of memory and jump over the
//! call, no destructor is passed over.

use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;
use std::slice;

use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua, Value};

use crate::json::Settings;

/// A library function: takes its arguments from the call, pushes results and says how many.
pub type Native = fn(&mut Call<'_>) -> Result<c_int, Failure>;

/// Why a function failed. The texts are part of what scripts rely on.
pub enum Failure {
    /// `SCRIPT:LINE: bad argument #N to 'NAME' (TEXT)`
    Argument(c_int, Cow<'static, str>),
    /// `SCRIPT:LINE: TEXT`
    Text(Cow<'static, str>),
    /// `TEXT`, as Lua itself raises errors inside of C functions.
    Bare(&'static str),
}

impl Failure {
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    pub fn argument(number: c_int, text: impl Into<Cow<'static, str>>) -> Self {
        Self::Argument(number, text.into())
    }
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    None,
    Nil,
    Boolean,
    Number,
    String,
    Table,
    LightUserdata,
    Other,
}

/// Buffers of a thread, reused from call to call.
#[derive(Default)]
pub struct Scratch {
    pub out: Vec<u8>,
    pub levels: Vec<Level>,
}

/// A table that is being walked or built; what the fields mean is up to who walks.
#[derive(Clone, Copy)]
pub struct Level {
    pub array: bool,
    pub done: i64,
    pub size: i64,
}

/// A buffer beyond this is given back after the call.
const KEPT: usize = 1 << 20;

/// Free slots that Lua promises to a C function.
const PROMISED: c_int = ffi::LUA_MINSTACK;

pub struct Call<'call> {
    state: *mut lua_State,
    arguments: c_int,
    top: c_int,
    /// How far `top` may go before Lua has to be asked for more.
    room: c_int,
    pub scratch: &'call mut Scratch,
}

impl<'call> Call<'call> {
    pub fn arguments(&self) -> c_int {
        self.arguments
    }

    pub fn kind(&self, index: c_int) -> Kind {
        // SAFETY: the state is that of the running call; any index may be asked about.
        match unsafe { ffi::lua_type(self.state, index) } {
            ffi::LUA_TNONE => Kind::None,
            ffi::LUA_TNIL => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::String,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TLIGHTUSERDATA => Kind::LightUserdata,
            _ => Kind::Other,
        }
    }

    pub fn type_name(&self, index: c_int) -> &'static str {
        match self.kind(index) {
            Kind::None => "no value",
            Kind::Nil => "nil",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Table => "table",
            Kind::LightUserdata => "userdata",
            // SAFETY: as in `kind`.
            Kind::Other => match unsafe { ffi::lua_type(self.state, index) } {
                ffi::LUA_TFUNCTION => "function",
                ffi::LUA_TTHREAD => "thread",
                _ => "userdata",
            },
        }
    }

    pub fn boolean(&self, index: c_int) -> bool {
        // SAFETY: any index and any type may be asked.
        unsafe { ffi::lua_toboolean(self.state, index) != 0 }
    }

    /// The number at the index; strings that read as numbers count as such.
    pub fn to_number(&self, index: c_int) -> Option<f64> {
        // SAFETY: any index and any type may be asked; neither call changes the value.
        unsafe {
            (ffi::lua_isnumber(self.state, index) != 0)
                .then(|| ffi::lua_tonumber(self.state, index))
        }
    }

    pub fn is_null_pointer(&self, index: c_int) -> bool {
        // SAFETY: any index and any type may be asked.
        unsafe { ffi::lua_touserdata(self.state, index).is_null() }
    }

    fn wrong_type(&self, number: c_int, expected: &str) -> Failure {
        Failure::argument(number, format!("{expected} expected, got {}", self.type_name(number)))
    }

    pub fn number(&self, argument: c_int) -> Result<f64, Failure> {
        self.to_number(argument).ok_or_else(|| self.wrong_type(argument, "number"))
    }

    pub fn integer(&self, argument: c_int) -> Result<i64, Failure> {
        self.number(argument).map(crate::number::to_integer)
    }

    pub fn integer_or(&self, argument: c_int, otherwise: i64) -> Result<i64, Failure> {
        match self.kind(argument) {
            Kind::None | Kind::Nil => Ok(otherwise),
            _ => self.integer(argument),
        }
    }

    /// The bytes of an argument; a number's are its text.
    pub fn string(&mut self, argument: c_int) -> Result<&'call [u8], Failure> {
        if !matches!(self.kind(argument), Kind::String | Kind::Number) {
            return Err(self.wrong_type(argument, "string"));
        }
        assert!(argument > 0 && argument <= self.arguments, "only arguments stay for the call");
        let mut length = 0;
        // SAFETY: the index holds a string, or a number that becomes one in its place. Arguments are never popped or
        // replaced afterwards, so the bytes, which Lua neither moves nor changes, outlive the call.
        unsafe {
            let start = ffi::lua_tolstring(self.state, argument, &mut length);
            Ok(slice::from_raw_parts(start.cast(), length))
        }
    }

    /// Calls `f` with the bytes of the string at an index and the scratch's buffer.
    pub fn with_string(&mut self, index: c_int, f: impl FnOnce(&[u8], &mut Vec<u8>)) {
        let Self { state, scratch, .. } = self;
        f(string_at(*state, index), &mut scratch.out);
    }

    /// How many entries lie on the stack, arguments included.
    pub fn top(&self) -> c_int {
        self.top
    }

    /// Makes room for a few more values; `false` where Lua's stack ends.
    pub fn make_room(&mut self, values: c_int) -> bool {
        debug_assert!(values <= PROMISED);
        if self.room - self.top < values {
            // SAFETY: asks Lua for slots above the top; on success they are ours.
            if unsafe { ffi::lua_checkstack(self.state, PROMISED) } == 0 {
                return false;
            }
            self.room = self.top + PROMISED;
        }
        true
    }

    /// Takes the slot for one more value.
    fn reserve(&mut self) -> Result<(), Failure> {
        if !self.make_room(1) {
            return Err(Failure::text("stack overflow (too many results)"));
        }
        self.top += 1;
        Ok(())
    }

    pub fn push_nil(&mut self) -> Result<(), Failure> {
        self.reserve()?;
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnil(self.state) };
        Ok(())
    }

    pub fn push_boolean(&mut self, value: bool) -> Result<(), Failure> {
        self.reserve()?;
        // SAFETY: there is room.
        unsafe { ffi::lua_pushboolean(self.state, value.into()) };
        Ok(())
    }

    pub fn push_number(&mut self, value: f64) -> Result<(), Failure> {
        self.reserve()?;
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnumber(self.state, value) };
        Ok(())
    }

    /// The light userdata that stands for JSON's null.
    pub fn push_null_pointer(&mut self) -> Result<(), Failure> {
        self.reserve()?;
        // SAFETY: there is room, and nobody follows the pointer.
        unsafe { ffi::lua_pushlightuserdata(self.state, std::ptr::null_mut()) };
        Ok(())
    }

    pub fn push_string(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.reserve()?;
        // SAFETY: there is room, and Lua copies the bytes.
        unsafe { ffi::lua_pushlstring(self.state, bytes.as_ptr().cast(), bytes.len()) };
        Ok(())
    }

    /// Pushes what is in the scratch's buffer.
    pub fn push_out(&mut self) -> Result<(), Failure> {
        self.reserve()?;
        let out = &self.scratch.out;
        // SAFETY: there is room, and Lua copies the bytes.
        unsafe { ffi::lua_pushlstring(self.state, out.as_ptr().cast(), out.len()) };
        Ok(())
    }

    pub fn push_table(&mut self) -> Result<(), Failure> {
        self.reserve()?;
        // SAFETY: there is room.
        unsafe { ffi::lua_createtable(self.state, 0, 0) };
        Ok(())
    }

    /// Pushes a copy of the value at an index.
    pub fn push_copy(&mut self, index: c_int) -> Result<(), Failure> {
        assert!(self.kind(index) != Kind::None, "a value to copy");
        self.reserve()?;
        // SAFETY: there is room, and a value at the index.
        unsafe { ffi::lua_pushvalue(self.state, index) };
        Ok(())
    }

    pub fn pop(&mut self, count: c_int) {
        assert!(self.top - count >= self.arguments, "the arguments stay");
        self.top -= count;
        // SAFETY: that many values of ours lie on top.
        unsafe { ffi::lua_settop(self.state, self.top) };
    }

    /// Moves the topmost value below all others that the call pushed.
    pub fn move_first(&mut self) {
        assert!(self.top > self.arguments, "a value to move");
        // SAFETY: both places are on the stack.
        unsafe { ffi::lua_insert(self.state, self.arguments + 1) };
    }

    /// Replaces the key on top by the table's next key and value, or takes it away after the last.
    ///
    /// The table lies right below, is not changed while it is walked, and the first key is nil.
    pub fn next(&mut self) -> Result<bool, Failure> {
        assert!(self.kind(-2) == Kind::Table, "a table to walk");
        self.reserve()?;
        // SAFETY: a table lies below the key, which came from it; there is room for one value more than before.
        let more = unsafe { ffi::lua_next(self.state, -2) } != 0;
        if !more {
            self.top -= 2;
        }
        Ok(more)
    }

    /// Pushes the element of the table on top.
    pub fn push_element(&mut self, index: c_int) -> Result<(), Failure> {
        assert!(self.kind(-1) == Kind::Table, "a table to index");
        self.reserve()?;
        // SAFETY: there is room, and a table on top.
        unsafe { ffi::lua_rawgeti(self.state, -1, index.into()) };
        Ok(())
    }

    /// Takes a value off the top and makes it an element of the table below.
    pub fn set_element(&mut self, index: c_int) {
        assert!(self.kind(-2) == Kind::Table, "a table to fill");
        self.top -= 1;
        // SAFETY: a table lies below the value.
        unsafe { ffi::lua_rawseti(self.state, -2, index.into()) };
    }

    /// Takes a key and a value off the top and puts them into the table below; the key is neither nil nor NaN.
    pub fn set_field(&mut self) {
        assert!(self.kind(-3) == Kind::Table, "a table to fill");
        self.top -= 2;
        // SAFETY: a table lies below key and value.
        unsafe { ffi::lua_rawset(self.state, -3) };
    }

    /// The settings that the function was made with.
    pub fn settings(&self) -> &'call Settings {
        // SAFETY: only functions made with settings ask for them, and these are in their second upvalue: a block that
        // `push_settings` filled, and that lives as long as the function. They are cells, of one thread at a time.
        unsafe {
            let block = ffi::lua_touserdata(self.state, ffi::lua_upvalueindex(2));
            NonNull::new(block.cast::<Settings>()).expect("a function with settings").as_ref()
        }
    }
}

/// The bytes of the string at an index, for use before the stack changes.
fn string_at<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    // SAFETY: the value is a string, which keeps its place while it is on the stack; the one caller uses the bytes only
    // until it returns, and touches nothing of the stack before.
    unsafe {
        assert!(ffi::lua_type(state, index) == ffi::LUA_TSTRING, "a string");
        let mut length = 0;
        let start = ffi::lua_tolstring(state, index, &mut length);
        slice::from_raw_parts(start.cast(), length)
    }
}

thread_local! {
    /// The scratch of this thread while no call has it.
    static SCRATCH: Cell<Option<NonNull<Scratch>>> = const { Cell::new(None) };
}

/// An error on its way to Lua: plain bytes, so that nothing is left behind when Lua jumps.
struct Raised {
    argument: Option<c_int>,
    located: bool,
    text: [u8; 256],
}

/// The C function behind every library function; its first upvalue is the [`Native`].
unsafe extern "C-unwind" fn enter(state: *mut lua_State) -> c_int {
    let mut raised = Raised { argument: None, located: false, text: [0; 256] };
    match run(state, &mut raised) {
        Some(results) => results,
        // SAFETY: the state is in a call, and has the free slots that Lua promises; the text ends in a zero byte, and
        // nothing in this frame has a destructor.
        None => unsafe {
            ffi::lua_settop(state, 0);
            let text = raised.text.as_ptr().cast::<c_char>();
            if let Some(argument) = raised.argument {
                return ffi::luaL_argerror(state, argument, text);
            }
            if raised.located {
                ffi::luaL_where(state, 1);
                ffi::lua_pushstring(state, text);
                ffi::lua_concat(state, 2);
            } else {
                ffi::lua_pushstring(state, text);
            }
            ffi::lua_error(state)
        },
    }
}

fn run(state: *mut lua_State, raised: &mut Raised) -> Option<c_int> {
    let kept = SCRATCH.take().unwrap_or_else(|| NonNull::from(Box::leak(Box::default())));
    // SAFETY: the scratch was taken out of its cell, so nobody else has it. The first upvalue is a `Native`, put there
    // by `function`, the only maker of such functions.
    let (scratch, native, arguments) = unsafe {
        let pointer: *mut c_void = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1));
        let native = std::mem::transmute::<*mut c_void, Native>(pointer);
        (&mut *kept.as_ptr(), native, ffi::lua_gettop(state))
    };
    scratch.out.clear();
    scratch.levels.clear();
    let mut call = Call { state, arguments, top: arguments, room: arguments + PROMISED, scratch };
    let outcome = native(&mut call);
    if call.scratch.out.capacity() > KEPT {
        call.scratch.out = Vec::new();
    }
    SCRATCH.set(Some(kept));
    outcome.map_err(|failure| raised.fill(failure)).ok()
}

impl Raised {
    fn fill(&mut self, failure: Failure) {
        let (argument, located, text): (_, _, Cow<'static, str>) = match failure {
            Failure::Argument(number, text) => (Some(number), true, text),
            Failure::Text(text) => (None, true, text),
            Failure::Bare(text) => (None, false, text.into()),
        };
        (self.argument, self.located) = (argument, located);
        // The last byte stays zero.
        let length = text.len().min(self.text.len() - 1);
        self.text[..length].copy_from_slice(&text.as_bytes()[..length]);
    }
}

/// Makes a function that Lua can call.
pub fn function(lua: &Lua, native: Native, settings: Option<&Value>) -> mlua::Result<Function> {
    // SAFETY: the closure pushes at most two values, within what is promised, and leaves one. The second upvalue, if
    // any, is what `settings` made.
    unsafe {
        lua.exec_raw(settings, |state| {
            let upvalues = 1 + ffi::lua_gettop(state);
            ffi::lua_pushlightuserdata(state, native as *mut c_void);
            ffi::lua_insert(state, 1);
            ffi::lua_pushcclosure(state, enter, upvalues);
        })
    }
}

/// A block with settings as they are at first, for the functions of one library to share.
pub fn settings(lua: &Lua) -> mlua::Result<Value> {
    const { assert!(!std::mem::needs_drop::<Settings>(), "Lua frees the block as it is") }
    // SAFETY: Lua's blocks are aligned for any type of C's, and the whole of it is written before anyone reads.
    unsafe {
        lua.exec_raw((), |state| {
            let block = ffi::lua_newuserdata(state, size_of::<Settings>());
            block.cast::<Settings>().write(Settings::default());
        })
    }
}
