//! `cjson`: Lua values as JSON, and back, with the settings that scripts can change.
//!
//! Each instance, the global one and those made by `new`, has settings of its own, shared by its functions.

mod decode;
mod encode;

use std::cell::Cell;
use std::ffi::c_int;

use mlua::{LightUserData, Lua, Table, Value};

use crate::call::{self, Call, Failure, Kind, Native};

/// What scripts can change about an instance.
pub struct Settings {
    sparse: Cell<bool>,
    sparse_ratio: Cell<i32>,
    sparse_safe: Cell<i32>,
    encode_depth: Cell<i32>,
    decode_depth: Cell<i32>,
    precision: Cell<i32>,
    /// Kept for scripts that ask: the buffer is the thread's in any case.
    keep_buffer: Cell<bool>,
    encode_invalid: Cell<Invalid>,
    decode_invalid: Cell<bool>,
}

/// What becomes of numbers that JSON has no text for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refused,
    Named,
    Null,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
            encode_depth: Cell::new(1000),
            decode_depth: Cell::new(1000),
            precision: Cell::new(14),
            keep_buffer: Cell::new(true),
            encode_invalid: Cell::new(Invalid::Refused),
            decode_invalid: Cell::new(true),
        }
    }
}

const FUNCTIONS: &[(&str, Native)] = &[
    ("encode", encode::encode),
    ("decode", decode::decode),
    ("encode_sparse_array", sparse_array),
    ("encode_max_depth", |call| integer_setting(call, |settings| &settings.encode_depth, i32::MAX)),
    ("decode_max_depth", |call| integer_setting(call, |settings| &settings.decode_depth, i32::MAX)),
    ("encode_number_precision", |call| integer_setting(call, |settings| &settings.precision, 14)),
    ("encode_keep_buffer", |call| switch_setting(call, |settings| &settings.keep_buffer)),
    ("encode_invalid_numbers", invalid_numbers),
    ("decode_invalid_numbers", |call| switch_setting(call, |settings| &settings.decode_invalid)),
];

/// Where `new` is kept for the instances that it makes.
const NEW: &str = "respire.cjson.new";

pub fn library(lua: &Lua) -> mlua::Result<Table> {
    lua.set_named_registry_value(NEW, lua.create_function(|lua, ()| instance(lua))?)?;
    instance(lua)
}

fn instance(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let settings = call::settings(lua)?;
    for (name, native) in FUNCTIONS {
        table.raw_set(*name, call::function(lua, *native, Some(&settings))?)?;
    }
    table.raw_set("new", lua.named_registry_value::<Value>(NEW)?)?;
    table.raw_set("null", Value::LightUserData(LightUserData(std::ptr::null_mut())))?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}

/// Up to `most` arguments, each of which may be left out.
fn at_most(call: &Call<'_>, most: c_int) -> Result<(), Failure> {
    if call.arguments() > most {
        return Err(Failure::argument(most + 1, "found too many arguments"));
    }
    Ok(())
}

fn given(call: &Call<'_>, argument: c_int) -> bool {
    !matches!(call.kind(argument), Kind::None | Kind::Nil)
}

/// Sets what the argument says, if it is there, and pushes what holds now. Ranges are complaints about the first one.
fn integer(
    call: &mut Call<'_>,
    argument: c_int,
    setting: &Cell<i32>,
    (least, most): (i32, i32),
) -> Result<(), Failure> {
    if given(call, argument) {
        let value = call.integer(argument)? as i32;
        if !(least..=most).contains(&value) {
            let text = format!("expected integer between {least} and {most}");
            return Err(Failure::argument(1, text));
        }
        setting.set(value);
    }
    call.push_number(setting.get().into())
}

/// The choice that an argument names, `true` and `false` being the first two.
fn choice(call: &mut Call<'_>, argument: c_int, options: &[&str]) -> Result<usize, Failure> {
    if call.kind(argument) == Kind::Boolean {
        return Ok(call.boolean(argument).into());
    }
    let text = call.string(argument)?;
    options.iter().position(|option| option.as_bytes() == text).ok_or_else(|| {
        let text = String::from_utf8_lossy(text);
        Failure::argument(argument, format!("invalid option '{text}'"))
    })
}

fn switch(call: &mut Call<'_>, argument: c_int, setting: &Cell<bool>) -> Result<(), Failure> {
    if given(call, argument) {
        setting.set(choice(call, argument, &["off", "on"])? == 1);
    }
    call.push_boolean(setting.get())
}

fn integer_setting(
    call: &mut Call<'_>,
    setting: fn(&Settings) -> &Cell<i32>,
    most: i32,
) -> Result<c_int, Failure> {
    at_most(call, 1)?;
    let settings = call.settings();
    integer(call, 1, setting(settings), (1, most))?;
    Ok(1)
}

fn switch_setting(
    call: &mut Call<'_>,
    setting: fn(&Settings) -> &Cell<bool>,
) -> Result<c_int, Failure> {
    at_most(call, 1)?;
    let settings = call.settings();
    switch(call, 1, setting(settings))?;
    Ok(1)
}

fn sparse_array(call: &mut Call<'_>) -> Result<c_int, Failure> {
    at_most(call, 3)?;
    let settings = call.settings();
    switch(call, 1, &settings.sparse)?;
    // The results are pushed behind the arguments, so that a missing argument must not be looked up there.
    let before = call.arguments();
    for (argument, setting) in [(2, &settings.sparse_ratio), (3, &settings.sparse_safe)] {
        if argument <= before {
            integer(call, argument, setting, (0, i32::MAX))?;
        } else {
            call.push_number(setting.get().into())?;
        }
    }
    Ok(3)
}

fn invalid_numbers(call: &mut Call<'_>) -> Result<c_int, Failure> {
    at_most(call, 1)?;
    let setting = &call.settings().encode_invalid;
    if given(call, 1) {
        setting.set(match choice(call, 1, &["off", "on", "null"])? {
            0 => Invalid::Refused,
            1 => Invalid::Named,
            _ => Invalid::Null,
        });
    }
    match setting.get() {
        Invalid::Refused => call.push_boolean(false)?,
        Invalid::Named => call.push_boolean(true)?,
        Invalid::Null => call.push_string(b"null")?,
    }
    Ok(1)
}
