//! What scripts find: Lua's own libraries as far as they reach nothing outside, the `redis` table, and nothing that they
//! could change.
//!
//! A protected table is an empty one that stands in front of the real one: reading goes through, assigning raises an
//! error. The functions that would go around it (`rawset`, `pairs` and their like) know what is protected.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value};

use super::api;
use super::guard::{self, RAISES_HERE};
use super::interpreter::Purpose;
use super::lend::Desk;

/// Globals of Lua's base library that scripts have.
const BASE: &[&str] = &[
    "_VERSION",
    "assert",
    "collectgarbage",
    "error",
    "gcinfo",
    "getmetatable",
    "ipairs",
    "load",
    "loadstring",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "select",
    "setmetatable",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "xpcall",
];

/// Libraries that scripts have.
const LIBRARIES: &[&str] = &["string", "table", "math", "coroutine"];

/// Libraries that Redis adds to Lua's.
const ADDED: &[&str] = &["bit", "cjson", "cmsgpack", "struct"];

/// A new Lua state with the libraries that scripts have a part of.
pub(super) fn bare_state() -> mlua::Result<Lua> {
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
    Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))
}

/// The environment of the scripts of one state.
pub(super) struct Sandbox {
    /// The real globals.
    pub(super) globals: Table,
    /// Lua's own `next`.
    pub(super) next: Function,
    /// Lua's own `loadstring`.
    pub(super) compile: Function,
    /// The metatable of the globals as scripts see them.
    front: Table,
    /// What a library finds while it is loaded.
    loading: Option<Table>,
}

impl Sandbox {
    pub(super) fn build(
        lua: &Lua,
        purpose: Purpose,
        desk: &Desk,
        registered: &Rc<RefCell<Option<api::Registered>>>,
    ) -> mlua::Result<Self> {
        let builtin = lua.globals();
        let builder = Builder {
            lua,
            protected: lua.create_table()?,
            read_only: guard::read_only(lua)?,
            missing: missing_global(lua)?,
        };
        let next: Function = builtin.get("next")?;
        let compile: Function = builtin.get("loadstring")?;
        let globals = lua.create_table()?;
        for name in BASE {
            globals.raw_set(*name, builtin.get::<Value>(*name)?)?;
        }
        builder.replace_base(&globals, &builtin)?;
        for name in LIBRARIES {
            let library: Table = builtin.get(*name)?;
            builder.restrict(name, &library, desk)?;
            globals.raw_set(*name, builder.protect(&library)?)?;
        }
        respire_lua_libs::install(lua)?;
        for name in ADDED {
            globals.raw_set(*name, builder.protect(&builtin.get::<Table>(*name)?)?)?;
        }
        let os = lua.create_table()?;
        os.raw_set("clock", builtin.get::<Table>("os")?.get::<Value>("clock")?)?;
        globals.raw_set("os", builder.protect(&os)?)?;
        builder.protect_strings(&globals)?;
        let redis = builder.protect(&api::table(lua, purpose, desk)?)?;
        globals.raw_set("redis", &redis)?;
        globals.raw_set("server", redis)?;
        let front = lua.create_table()?;
        let seen = lua.create_table()?;
        globals.raw_set("_G", &seen)?;
        builder.stand_in_front(&seen, &front, &globals)?;
        builder.report_missing(&globals)?;
        let loading = match purpose {
            Purpose::Scripts => None,
            Purpose::Functions => Some(builder.loading(desk, registered)?),
        };
        lua.set_globals(seen)?;
        Ok(Self { globals, next, compile, front, loading })
    }

    /// A library is loaded from now on: it finds little more than what it registers itself with.
    pub(super) fn begin_loading(&self) -> mlua::Result<()> {
        match &self.loading {
            Some(loading) => self.front.raw_set("__index", loading),
            None => Ok(()),
        }
    }

    pub(super) fn end_loading(&self) -> mlua::Result<()> {
        self.front.raw_set("__index", &self.globals)
    }
}

/// What a script runs into that reads a global which is not there.
fn missing_global(lua: &Lua) -> mlua::Result<Function> {
    let raise = lua.create_function(|lua, (_, name): (Value, Value)| {
        let mut text = b"Script attempted to access nonexistent global variable '".to_vec();
        match lua.coerce_string(name)? {
            Some(name) => text.extend_from_slice(&name.as_bytes()),
            None => text.extend_from_slice(b"(null)"),
        }
        text.push(b'\'');
        Ok((lua.create_string(&text)?, RAISES_HERE))
    })?;
    guard::raising(lua, raise)
}

struct Builder<'l> {
    lua: &'l Lua,
    /// The real tables by what stands in front of them.
    protected: Table,
    read_only: Function,
    missing: Function,
}

impl Builder<'_> {
    /// A protected table for a real one.
    fn protect(&self, real: &Table) -> mlua::Result<Table> {
        let seen = self.lua.create_table()?;
        self.stand_in_front(&seen, &self.lua.create_table()?, real)?;
        Ok(seen)
    }

    /// Makes `seen` stand in front of `real`, with `front` as its metatable.
    fn stand_in_front(&self, seen: &Table, front: &Table, real: &Table) -> mlua::Result<()> {
        front.raw_set("__index", real)?;
        front.raw_set("__newindex", &self.read_only)?;
        seen.set_metatable(Some(front.clone()))?;
        self.protected.raw_set(seen, real)
    }

    /// Makes reading what is not there an error.
    fn report_missing(&self, real: &Table) -> mlua::Result<()> {
        let meta = self.lua.create_table()?;
        meta.raw_set("__index", &self.missing)?;
        meta.raw_set("__metatable", self.protect(&meta)?)?;
        real.set_metatable(Some(meta))
    }

    /// The functions of the base library that have to know what is protected, or what may be compiled.
    fn replace_base(&self, globals: &Table, builtin: &Table) -> mlua::Result<()> {
        let next: Value = builtin.get("next")?;
        for (name, upvalue) in [
            ("next", Value::Nil),
            ("pairs", next),
            ("rawget", Value::Nil),
            ("getmetatable", Value::Nil),
        ] {
            let original: Function = builtin.get(name)?;
            let seeing = guard::seeing_through(self.lua, &original, upvalue, &self.protected)?;
            globals.raw_set(name, seeing)?;
        }
        for name in ["rawset", "setmetatable"] {
            let original: Function = builtin.get(name)?;
            globals.raw_set(name, guard::refusing(self.lua, &original, &self.protected)?)?;
        }
        globals.raw_set("pcall", guard::protected_call(self.lua)?)?;
        let compile: Function = builtin.get("loadstring")?;
        globals.raw_set("loadstring", api::text_only_loadstring(self.lua, &compile)?)?;
        globals.raw_set("load", api::text_only_load(self.lua, &compile)?)
    }

    /// Takes out of a library what scripts don't get, and replaces what has to be deterministic.
    fn restrict(&self, name: &str, library: &Table, desk: &Desk) -> mlua::Result<()> {
        match name {
            "math" => api::add_random(self.lua, library, desk),
            "table" => {
                let insert: Function = library.get("insert")?;
                library.raw_set("insert", guard::refusing(self.lua, &insert, &self.protected)?)
            }
            _ => Ok(()),
        }
    }

    /// Methods of strings find the protected library.
    fn protect_strings(&self, globals: &Table) -> mlua::Result<()> {
        let library: Table = globals.raw_get("string")?;
        let Some(meta) = self.lua.type_metatable::<mlua::LuaString>() else { return Ok(()) };
        meta.raw_set("__index", library)?;
        meta.raw_set("__metatable", self.protect(&meta)?)
    }

    /// What a library finds while it is loaded.
    fn loading(
        &self,
        desk: &Desk,
        registered: &Rc<RefCell<Option<api::Registered>>>,
    ) -> mlua::Result<Table> {
        let redis = api::loading_table(self.lua, desk, registered)?;
        self.report_missing(&redis)?;
        let redis = self.protect(&redis)?;
        let globals = self.lua.create_table()?;
        globals.raw_set("redis", &redis)?;
        globals.raw_set("server", redis)?;
        self.report_missing(&globals)?;
        Ok(globals)
    }
}
