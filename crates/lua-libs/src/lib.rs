//! The libraries that Redis gives to scripts: `cjson`, `cmsgpack`, `bit` and `struct`, for any Lua 5.1 that mlua runs.
//!
//! Owns what they compute and what their errors say, byte for byte as scripts know them. Knows nothing of commands,
//! keys or sandboxes: whoever installs them may make the tables read-only afterwards, since no function writes to them.
//! Invariant: no input makes a function panic, hang or recurse; depth is bounded by settings and by Lua's stack.

mod bit;
mod call;
mod json;
mod msgpack;
mod number;
mod packing;

use mlua::{Lua, Table};

/// Sets the globals `cjson`, `cmsgpack`, `bit` and `struct`.
///
/// # Errors
/// Those of Lua when its memory is used up.
pub fn install(lua: &Lua) -> mlua::Result<()> {
    let globals = lua.globals();
    globals.raw_set("cjson", json::library(lua)?)?;
    globals.raw_set("cmsgpack", msgpack::library(lua)?)?;
    globals.raw_set("bit", functions(lua, bit::FUNCTIONS)?)?;
    globals.raw_set("struct", functions(lua, packing::FUNCTIONS)?)
}

/// A table of functions that share nothing.
fn functions(lua: &Lua, list: &[(&str, call::Native)]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, native) in list {
        table.raw_set(*name, call::function(lua, *native, None)?)?;
    }
    Ok(table)
}
