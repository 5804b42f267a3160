//! Puts requests and replies on Lua's stack as scripts see them, without a handle in Rust for each value.
//!
//! Integers are numbers, bulk strings are strings, arrays are tables; a status is a table with the field `ok`, an error one
//! with `err`; what only RESP3 has comes in tables with a field of its type's name.
//!
//! `unsafe` is here because these work on the raw stack of Lua. Lua leaves them by `longjmp` when it has no memory: they own
//! nothing that would have to be dropped.

use std::ffi::{CStr, c_int};

use mlua::ffi::{
    LUA_TNUMBER, lua_State, lua_checkstack, lua_createtable, lua_getmetatable, lua_next, lua_pop,
    lua_pushboolean, lua_pushlstring, lua_pushnil, lua_pushnumber, lua_pushstring, lua_rawset,
    lua_rawseti, lua_tonumber, lua_type,
};

/// Pushes a text. There must be room for a value on the stack.
#[inline]
unsafe fn text(state: *mut lua_State, bytes: &[u8]) {
    // SAFETY: Lua copies the bytes.
    unsafe { lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len()) };
}

/// Pushes a table of texts. There must be room for two values on the stack.
pub(super) unsafe fn list<'t>(
    state: *mut lua_State,
    texts: impl ExactSizeIterator<Item = &'t [u8]>,
) {
    // SAFETY: the table is below each text.
    unsafe {
        lua_createtable(state, texts.len() as c_int, 0);
        for (i, bytes) in texts.enumerate() {
            text(state, bytes);
            lua_rawseti(state, -2, i as i64 + 1);
        }
    }
}

/// The largest index in the table of texts on top, if there is nothing but what [`list`] and [`refill`] put there, up to
/// index `most`.
pub(super) unsafe fn len_of_list(state: *mut lua_State, most: usize) -> Option<i64> {
    // SAFETY: a table is on top; three more values fit, and a number is not turned into a text under `lua_next`.
    unsafe {
        if lua_getmetatable(state, -1) != 0 {
            lua_pop(state, 1);
            return None;
        }
        let mut last = 0;
        lua_pushnil(state);
        while lua_next(state, -2) != 0 {
            lua_pop(state, 1);
            let index =
                if lua_type(state, -1) == LUA_TNUMBER { lua_tonumber(state, -1) } else { 0.0 };
            if !(1.0..=most as f64).contains(&index) || index.fract() != 0.0 {
                lua_pop(state, 1);
                return None;
            }
            last = last.max(index as i64);
        }
        Some(last)
    }
}

/// Puts other texts into the table on top, in which there are `before`.
pub(super) unsafe fn refill<'t>(
    state: *mut lua_State,
    texts: impl ExactSizeIterator<Item = &'t [u8]>,
    before: i64,
) {
    let len = texts.len() as i64;
    // SAFETY: the table is below each value.
    unsafe {
        for (i, bytes) in texts.enumerate() {
            text(state, bytes);
            lua_rawseti(state, -2, i as i64 + 1);
        }
        for i in len + 1..=before {
            lua_pushnil(state);
            lua_rawseti(state, -2, i);
        }
    }
}

/// A reply in wire format, read from the front. It was written by this program: what is not a reply is a bug.
struct Reader<'r> {
    rest: &'r [u8],
}

impl<'r> Reader<'r> {
    #[inline]
    fn line(&mut self) -> (u8, &'r [u8]) {
        let end = memchr_cr(self.rest);
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 2..];
        (line[0], &line[1..])
    }

    #[inline]
    fn take(&mut self, len: usize) -> &'r [u8] {
        let bytes = &self.rest[..len];
        self.rest = &self.rest[len + 2..];
        bytes
    }
}

/// Where the first line ends. Lines of replies have no carriage return inside.
#[inline]
fn memchr_cr(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\r').unwrap_or_else(|| panic!("lines end"))
}

/// A number in a line. It was written by this program.
#[inline]
fn number(digits: &[u8]) -> i64 {
    let (sign, digits) = match digits {
        [b'-', rest @ ..] => (-1, rest),
        rest => (1, rest),
    };
    sign * digits.iter().fold(0_i64, |sum, digit| {
        sum.wrapping_mul(10).wrapping_add(i64::from(digit.wrapping_sub(b'0')))
    })
}

/// Pushes a reply in wire format. Returns whether it is an error.
pub(super) unsafe fn reply(state: *mut lua_State, bytes: &[u8]) -> bool {
    // SAFETY: the caller is a C function, which has room for what one value needs; deeper ones ask for more.
    unsafe { value(state, &mut Reader { rest: bytes }) };
    bytes.first() == Some(&b'-')
}

/// Pushes the next value.
unsafe fn value(state: *mut lua_State, reader: &mut Reader<'_>) {
    let (kind, line) = reader.line();
    // SAFETY: each arm leaves exactly one value, and asks for room before it goes deeper.
    unsafe {
        match kind {
            b':' => lua_pushnumber(state, number(line) as f64),
            b'$' | b'*' if line == b"-1" => lua_pushboolean(state, 0),
            b'$' => text(state, reader.take(number(line) as usize)),
            b'*' | b'>' => array(state, reader, number(line)),
            b'+' => field(state, c"ok", |state| text(state, line)),
            b'-' => field(state, c"err", |state| text(state, line)),
            b'_' => lua_pushnil(state),
            b'#' => lua_pushboolean(state, (line == b"t").into()),
            b',' => {
                let number = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
                field(state, c"double", |state| lua_pushnumber(state, number.unwrap_or(0.0)));
            }
            // An attribute is of no interest to a script.
            b'|' => {
                for _ in 0..2 * number(line) {
                    value(state, reader);
                    lua_pop(state, 1);
                }
                value(state, reader);
            }
            b'(' => field(state, c"big_number", |state| text(state, line)),
            b'=' => verbatim(state, reader.take(number(line) as usize)),
            b'%' => field(state, c"map", |state| pairs(state, reader, number(line), true)),
            b'~' => field(state, c"set", |state| pairs(state, reader, number(line), false)),
            _ => lua_pushnil(state),
        }
    }
}

/// Pushes a table with one field, whose value `push` pushes.
#[inline]
unsafe fn field(state: *mut lua_State, name: &CStr, push: impl FnOnce(*mut lua_State)) {
    // SAFETY: room for three values is there, and the name is below the value.
    unsafe {
        lua_createtable(state, 0, 1);
        lua_pushstring(state, name.as_ptr());
        push(state);
        lua_rawset(state, -3);
    }
}

unsafe fn array(state: *mut lua_State, reader: &mut Reader<'_>, len: i64) {
    // SAFETY: the room that is asked for is enough for a table, and a field's table, name and value.
    unsafe {
        lua_checkstack(state, 8);
        lua_createtable(state, len as c_int, 0);
        for i in 1..=len {
            value(state, reader);
            lua_rawseti(state, -2, i);
        }
    }
}

/// Pushes a table of pairs, or one of members, whose values are `true`.
unsafe fn pairs(state: *mut lua_State, reader: &mut Reader<'_>, len: i64, with_values: bool) {
    // SAFETY: as in `array`.
    unsafe {
        lua_checkstack(state, 8);
        lua_createtable(state, 0, len as c_int);
        for _ in 0..len {
            value(state, reader);
            if with_values {
                value(state, reader);
            } else {
                lua_pushboolean(state, 1);
            }
            lua_rawset(state, -3);
        }
    }
}

unsafe fn verbatim(state: *mut lua_State, content: &[u8]) {
    let (format, content) = content.split_at(3);
    // SAFETY: as in `array`.
    unsafe {
        lua_checkstack(state, 8);
        field(state, c"verbatim_string", |state| {
            field(state, c"format", |state| text(state, format));
            lua_pushstring(state, c"string".as_ptr());
            text(state, &content[1..]);
            lua_rawset(state, -3);
        });
    }
}
