//! What comes out of random values and random bytes: round trips hold, and nothing makes a library panic or hang.
//!
//! `LUA_LIBS_SEED` repeats the run that a failure names.

use mlua::{Function, Lua, MultiValue, Table, Value};

fn lua() -> Lua {
    let lua = Lua::new();
    respire_lua_libs::install(&lua).expect("the libraries go in");
    lua
}

/// Runs a test with a generator whose seed a failure shows.
fn seeded(test: impl FnOnce(&mut fastrand::Rng)) {
    let seed = std::env::var("LUA_LIBS_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    eprintln!("LUA_LIBS_SEED={seed}");
    test(&mut fastrand::Rng::with_seed(seed));
}

fn function(lua: &Lua, library: &str, name: &str) -> Function {
    lua.globals().get::<Table>(library).expect("a library").get(name).expect("a function")
}

fn bytes(random: &mut fastrand::Rng, most: usize) -> Vec<u8> {
    (0..random.usize(0..=most)).map(|_| random.u8(..)).collect()
}

/// A value that JSON and MessagePack both can carry and give back as it was.
fn value(lua: &Lua, random: &mut fastrand::Rng, depth: usize) -> Value {
    match random.u8(0..if depth > 0 { 7 } else { 5 }) {
        0 => Value::Boolean(random.bool()),
        1 => Value::Integer(random.i64(-5_000_000_000..5_000_000_000)),
        2 => Value::Integer(random.i64(-300..300)),
        3 => Value::Number(f64::from(random.i32(..)) / 8.0),
        4 => Value::String(lua.create_string(bytes(random, 300)).unwrap()),
        5 => {
            let table = lua.create_table().unwrap();
            for index in 1..=random.i64(1..20) {
                table.raw_set(index, value(lua, random, depth - 1)).unwrap();
            }
            Value::Table(table)
        }
        _ => {
            let table = lua.create_table().unwrap();
            for _ in 0..random.usize(0..20) {
                let key = lua.create_string(bytes(random, 10)).unwrap();
                table.raw_set(key, value(lua, random, depth - 1)).unwrap();
            }
            Value::Table(table)
        }
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    let (Value::Table(left), Value::Table(right)) = (left, right) else { return left == right };
    let contained = |left: &Table, right: &Table| {
        left.pairs::<Value, Value>().all(|pair| {
            let (key, value) = pair.unwrap();
            equal(&value, &right.raw_get(key).unwrap())
        })
    };
    contained(left, right) && contained(right, left)
}

#[test]
fn values_come_back_from_messagepack_and_from_json() {
    seeded(|random| {
        let lua = lua();
        for (library, there, back) in
            [("cmsgpack", "pack", "unpack"), ("cjson", "encode", "decode")]
        {
            let (there, back) = (function(&lua, library, there), function(&lua, library, back));
            for _ in 0..1_000 {
                let before = value(&lua, random, 4);
                let text = there.call::<Value>(before.clone()).unwrap();
                let after = back.call::<Value>(text).unwrap();
                assert!(equal(&before, &after), "{library}: {before:#?} became {after:#?}");
            }
        }
    });
}

/// Random bytes, and what was packed with some bytes changed or the end cut off: a result or an error.
#[test]
fn damaged_input_is_an_error_at_worst() {
    seeded(|random| {
        let lua = lua();
        for (library, there, back) in
            [("cmsgpack", "pack", "unpack"), ("cjson", "encode", "decode")]
        {
            let (there, back) = (function(&lua, library, there), function(&lua, library, back));
            for _ in 0..5_000 {
                let whole = there.call::<mlua::LuaString>(value(&lua, random, 3)).unwrap();
                let mut text = whole.as_bytes().to_vec();
                if random.u8(0..10) == 0 {
                    text = bytes(random, 64);
                }
                for _ in 0..random.usize(0..4) {
                    if let Some(at) = random.choice(0..text.len()) {
                        text[at] = random.u8(..);
                    }
                }
                text.truncate(random.usize(0..=text.len()));
                let _ = back.call::<MultiValue>(lua.create_string(&text).unwrap());
            }
        }
    });
}

#[test]
fn any_format_on_any_data_is_an_error_at_worst() {
    seeded(|random| {
        let lua = lua();
        let functions = ["pack", "unpack", "size"].map(|name| function(&lua, "struct", name));
        for _ in 0..20_000 {
            let format: Vec<u8> = (0..random.usize(0..12))
                .map(|_| *random.choice(b"<>!bBhHlLTiIfdsxc0123489 z").unwrap())
                .collect();
            let format = lua.create_string(format).unwrap();
            for function in &functions {
                let data = lua.create_string(bytes(random, 40)).unwrap();
                let numbers = (random.i64(..), random.f64() * 1e20, random.i64(-3..50));
                let _ =
                    function.call::<MultiValue>((&format, data, numbers.2, numbers.0, numbers.1));
            }
        }
    });
}

#[test]
fn depth_is_bounded_whatever_the_setting() {
    let lua = lua();
    let script = "
        cjson.encode_max_depth(2147483647) cjson.decode_max_depth(2147483647)
        local t = {} for i = 1, 100000 do t = {t} end
        local encoded, why = pcall(cjson.encode, t)
        local decoded, whynot = pcall(cjson.decode, string.rep('[', 100000) .. string.rep(']', 100000))
        local unpacked, what = pcall(cmsgpack.unpack, string.rep('\\145', 100000) .. '\\1')
        return encoded, why, decoded, whynot, unpacked, what";
    let (encoded, why, decoded, whynot, unpacked, what) =
        lua.load(script).eval::<(bool, String, bool, String, bool, String)>().unwrap();
    assert!(!encoded && why.contains("Cannot serialise, excessive nesting"), "{why}");
    assert!(!decoded && whynot.contains("Found too many nested data structures"), "{whynot}");
    assert!(!unpacked && what.contains("stack overflow"), "{what}");
}

#[test]
fn every_state_has_settings_of_its_own() {
    let first = lua();
    let second = lua();
    first.load("cjson.encode_number_precision(3)").exec().unwrap();
    let script = "return cjson.encode(1/3)";
    assert_eq!(first.load(script).eval::<String>().unwrap(), "0.333");
    assert_eq!(second.load(script).eval::<String>().unwrap(), "0.33333333333333");
}
