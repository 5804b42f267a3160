//! Generators for scripts and functions: commands called from Lua, values both ways, errors.
//!
//! What a script calls comes as its arguments, so that a few scripts call anything. Tables with several fields have no order
//! that could be compared, so none is returned.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    Row { weight: 60, names: &["EVAL"], damage: Damage::KeepTimes, make: |w| calling(w, "EVAL") },
    Row { weight: 20, names: &["EVAL"], damage: Damage::KeepTimes, make: |w| returning(w, "EVAL") },
    Row { weight: 20, names: &["EVAL"], damage: Damage::None, make: failing },
    Row {
        weight: 15,
        names: &["EVAL_RO"],
        damage: Damage::KeepTimes,
        make: |w| calling(w, "EVAL_RO"),
    },
    Row {
        weight: 15,
        names: &["SCRIPT LOAD", "EVALSHA"],
        damage: Damage::None,
        make: |w| by_digest(w, "EVALSHA"),
    },
    Row {
        weight: 6,
        names: &["SCRIPT LOAD", "EVALSHA_RO"],
        damage: Damage::None,
        make: |w| by_digest(w, "EVALSHA_RO"),
    },
    Row {
        weight: 25,
        names: &["FUNCTION LOAD", "FCALL"],
        damage: Damage::None,
        make: |w| function(w, "FCALL"),
    },
    Row {
        weight: 8,
        names: &["FUNCTION LOAD", "FCALL_RO"],
        damage: Damage::None,
        make: |w| function(w, "FCALL_RO"),
    },
    row!(5, None, "FUNCTION LOAD", |w, s| s.arg(w.pick(LIBRARIES))),
    row!(4, None, "FUNCTION LIST", |w, s| match w.below(3) {
        0 => s.arg("LIBRARYNAME").arg("lib0"),
        1 => s.arg("LIBRARYNAME").arg("LIB*").arg("WITHCODE"),
        _ => s.arg(w.pick(&["WITHCODE", "x", "LIBRARYNAME"])).arg("LIBRARYNAME").arg("none"),
    }
    .norm(Norm::Unordered)),
    row!(2, None, "FUNCTION STATS", |_w, s| s),
    row!(3, Any, "FUNCTION DELETE", |w, s| s.arg(w.pick(&["lib0", "none", "LIB0"]))),
    row!(1, Any, "FUNCTION FLUSH", |w, s| s.arg(w.pick(&["ASYNC", "SYNC", "x"]))),
    row!(1, Any, "FUNCTION KILL", |_w, s| s),
    row!(1, None, "FUNCTION HELP", |_w, s| s.norm(Norm::SameShape)),
    row!(1, None, "SCRIPT HELP", |_w, s| s.norm(Norm::SameShape)),
    row!(1, Any, "SCRIPT KILL", |_w, s| s),
    row!(1, Any, "SCRIPT FLUSH", |w, s| s.arg(w.pick(&["ASYNC", "SYNC", "x"]))),
    row!(4, Any, "SCRIPT EXISTS", |w, s| {
        s.arg("e0e1f9fabfc9d4800c877a703b823ac0578ff8db").arg(w.nonsense())
    }),
];

/// Scripts that call the command in their arguments.
const CALLERS: &[&str] = &[
    "return redis.call(unpack(ARGV))",
    "return redis.call(unpack(ARGV))",
    "return redis.pcall(unpack(ARGV))",
    "redis.setresp(3) return redis.call(unpack(ARGV))",
    "redis.setresp(3) return {redis.pcall(unpack(ARGV)), true, false, 1.5, 'x'}",
    "local fine, reply = pcall(redis.call, unpack(ARGV)) return {fine, type(reply), reply}",
    "local r = redis.pcall(unpack(ARGV)) if type(r) == 'table' and r.err then return r.err end return type(r)",
    "local a = redis.pcall(unpack(ARGV))\nlocal b = redis.call(unpack(ARGV))\nreturn {a, b}",
    "#!lua\nreturn redis.call(unpack(ARGV))",
    "#!lua flags=no-writes\nreturn redis.call(unpack(ARGV))",
    "#!lua flags=allow-oom,no-writes\nreturn redis.pcall(unpack(ARGV))",
    "local co = coroutine.wrap(function() return redis.call(unpack(ARGV)) end) return co()",
    "redis.call('select', 3) return redis.call(unpack(ARGV))",
    "return {redis.call(unpack(ARGV)), #KEYS, #ARGV, KEYS[1], ARGV[#ARGV]}",
];

/// Values that scripts return.
const VALUES: &[&str] = &[
    "nil",
    "true",
    "false",
    "1",
    "-1.9",
    "3.99",
    "1e18",
    "'text'",
    "''",
    "'a\\0b'",
    "{}",
    "{1, 2, nil, 3}",
    "{1, {2, {3, 'x'}}, false}",
    "{ok='fine'}",
    "{ok='fi\\r\\nne'}",
    "{ok=1}",
    "{err='ERR mine'}",
    "{err='mine'}",
    "{err='MY own'}",
    "{err=1}",
    "{double=1.5}",
    "{double=0.1}",
    "{double=1e100}",
    "{double=3}",
    "{double='x'}",
    "{map={a=1}}",
    "{map={[1]={2}}}",
    "{map=1}",
    "{set={a=true}}",
    "{set={}}",
    "{big_number='123'}",
    "{big_number='a\\nb'}",
    "{verbatim_string={string='s', format='txt'}}",
    "{verbatim_string={string='s', format='longer'}}",
    "{verbatim_string={string='s'}}",
    "{err='a', ok='b'}",
    "redis.error_reply('x')",
    "redis.error_reply('MY x')",
    "redis.error_reply('-MY x')",
    "redis.error_reply()",
    "redis.status_reply('x')",
    "redis.status_reply()",
    "redis.sha1hex('x')",
    "redis.sha1hex(1)",
    "redis.replicate_commands()",
    "tostring(1e15)",
    "string.format('%5.1f', 3.14159)",
    "string.rep('ab', 3)",
    "tostring(#ARGV)",
    "table.concat({1, 2, 3}, ',')",
    "math.floor(3.7)",
    "math.max(1, 5)",
    "type(redis.call)",
    "redis.LOG_WARNING",
    "redis.REPL_ALL",
    "select('#', 1, 2)",
    "tonumber('0x10')",
    "loadstring('return 5')()",
    "_VERSION",
    "redis.acl_check_cmd('get', 'x')",
    "function() end",
    "KEYS",
    "ARGV",
    "{KEYS, ARGV}",
];

/// Scripts that fail, or whose failure is caught.
const FAILING: &[&str] = &[
    "return nosuch",
    "nosuch = 1",
    "KEYS = 1",
    "redis.call = 1",
    "redis.x = 1",
    "string.x = 1",
    "rawset(redis, 'x', 1)",
    "setmetatable(_G, {})",
    "table.insert(redis, 1)",
    "getmetatable('').__index = 1",
    "getmetatable(_G).__index = 1",
    "error('boom')",
    "error('boom', 0)",
    "local f = function()\n error('deep', 2)\nend\nf()",
    "error({err='MY own'})",
    "error()",
    "error(true)",
    "assert(false)",
    "assert(nil, 'm')",
    "local x = nil\nx.y = 1",
    "return nil .. 1",
    "return #nil",
    "return 1 < 'x'",
    "return ('x'):nosuch()",
    "x x",
    "return 1 +",
    "return 'open",
    "redis.call()",
    "return redis.pcall()",
    "redis.call({})",
    "redis.call('nosuch')",
    "redis.call('get')",
    "return redis.pcall('get')",
    "redis.call('get', true)",
    "redis.call('multi')",
    "redis.call('eval', 'return 1', 0)",
    "redis.call('subscribe', 'c')",
    "redis.call('client', 'nosuch')",
    "redis.log(1)",
    "redis.log('a', 'b')",
    "redis.log(9, 'b')",
    "redis.setresp()",
    "redis.setresp(4)",
    "redis.set_repl(9)",
    "redis.set_repl()",
    "redis.sha1hex()",
    "return pairs(nil)",
    "return next(nil)",
    "return setmetatable(1)",
    "return unpack(1)",
    "return tonumber()",
    "return load(1)",
    "return string.format('%d', 'x')",
    "math.random(0)",
    "math.random(1, 2, 3)",
    "math.random(5, 1)",
    "math.randomseed()",
    "return print",
    "local function f() f() end f()",
    "local function f() return f() + 1 end f()",
    "return {pcall(error, {err='x'})}",
    "return {pcall(error, 'x')}",
    "return {pcall()}",
    "return {pcall(function() return nosuch end)}",
    "return {xpcall(function() error('x') end, function(e) return e .. '!' end)}",
    "local f, why = loadstring('x x') return {tostring(f), why}",
    "local f, why = loadstring(string.dump(function() end)) return {tostring(f), why}",
    "redis.acl_check_cmd('nosuch')",
    "redis.register_function('f', function() end)",
    "redis.call('hello')",
    "#!lua flags=nosuch\nreturn 1",
    "#!lua name=x\nreturn 1",
    "#!lua",
    "#!js\nreturn 1",
    "#!lua\nreturn nosuch",
    "#!lua flags=\nreturn 1",
    "#!lua 'x\nreturn 1",
    "local t = {} local r = t for i = 1, 500 do t[1] = {} t = t[1] end return r",
];

/// Whole libraries, most of them wrong.
const LIBRARIES: &[&str] = &[
    "",
    "x",
    "#!lua",
    "#!lua\n",
    "#!lua name=\nx",
    "#!lua name=lib0\n",
    "#!lua name=lib0\nx x",
    "#!lua name=a-b\nx",
    "#!js name=a\nx",
    "#!lua name=a name=b\nx",
    "#!lua desc=a name=b\nx",
    "#!lua name=lib1\nreturn redis.call('ping')",
    "#!lua name=lib1\nx = 1",
    "#!lua name=lib1\nredis.register_function('a b', function() end)",
    "#!lua name=lib1\nredis.register_function('a')",
    "#!lua name=lib1\nredis.register_function('a', 1)",
    "#!lua name=lib1\nredis.register_function{function_name='a', callback=function() end, x=1}",
    "#!lua name=lib1\nredis.register_function{function_name='a', callback=function() end, flags={'x'}}",
    // One function only: of several, redis-server lists them in the order of a randomly keyed hash.
    "#!lua name=lib1\nredis.register_function('A', function() end)",
    "#!lua name=lib1\nredis.register_function()",
    "#!lua name=lib1\nlocal x = nil; x.y = 1",
];

/// Commands that scripts call. None of them makes a key expire.
const COMMANDS: &[(&str, usize)] = &[
    ("get", 0),
    ("set", 1),
    ("getset", 1),
    ("append", 1),
    ("strlen", 0),
    ("incr", 0),
    ("decrby", 1),
    ("getbit", 1),
    ("setrange", 2),
    ("exists", 0),
    ("type", 0),
    ("del", 0),
    ("ttl", 0),
    ("persist", 0),
    ("lpush", 1),
    ("rpush", 2),
    ("lpop", 0),
    ("rpop", 1),
    ("llen", 0),
    ("lrange", 2),
    ("lindex", 1),
    ("lset", 2),
    ("sadd", 1),
    ("scard", 0),
    ("sismember", 1),
    ("hset", 2),
    ("hget", 1),
    ("hlen", 0),
    ("hexists", 1),
    ("hincrby", 2),
    ("zadd", 2),
    ("zcard", 0),
    ("setbit", 2),
    ("getbit", 1),
    ("xlen", 0),
    ("pfadd", 1),
    ("pfcount", 0),
    ("echo", 0),
    ("ping", 0),
    ("object", 1),
    ("rename", 1),
    ("mget", 2),
    ("select", 0),
    ("dbsize", 0),
];

/// A command for a script, its words appended.
fn command(w: &mut Words, mut step: Step) -> Step {
    let (name, more) = w.pick(COMMANDS);
    step = step.arg(w.cased(name));
    if name == "dbsize" {
        return step;
    }
    step = step.arg(w.key());
    for _ in 0..more {
        let word = match w.below(3) {
            0 => w.below(30).to_string().into_bytes(),
            1 => w.key(),
            _ => w.value(),
        };
        step = step.arg(word);
    }
    step
}

fn calling(w: &mut Words, name: &'static str) -> Vec<Step> {
    let step = Step::new(w, name).arg(w.pick(CALLERS));
    vec![with_keys(w, step)]
}

/// Some keys, which have nothing to do with the command, and the command.
fn with_keys(w: &mut Words, mut step: Step) -> Step {
    let keys = w.below(3);
    step = step.arg(keys.to_string());
    for _ in 0..keys {
        step = step.arg(w.key());
    }
    command(w, step)
}

fn returning(w: &mut Words, name: &'static str) -> Vec<Step> {
    let before = w.pick(&["", "", "redis.setresp(3) "]);
    let script = format!("{before}return {}", w.pick(VALUES));
    let mut step = Step::new(w, name).arg(script).arg("1").arg(w.key());
    if w.chance(1, 2) {
        step = step.arg(w.value());
    }
    vec![step]
}

fn failing(w: &mut Words) -> Vec<Step> {
    vec![Step::new(w, "EVAL").arg(w.pick(FAILING)).arg("0")]
}

/// The digests of some of the scripts above, and of one that nobody loads.
const DIGESTS: &[(&str, &str)] = &[
    ("return 1", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
    ("return 1", "E0E1f9fabfc9d4800c877a703b823ac0578ff8db"),
    ("return {KEYS,ARGV}", "ffffffffffffffffffffffffffffffffffffffff"),
    ("return 2", "xyz"),
];

fn by_digest(w: &mut Words, name: &'static str) -> Vec<Step> {
    let (script, digest) = w.pick(DIGESTS);
    let load = Step::new(w, "SCRIPT LOAD").arg(script);
    let call = Step::new(w, name).arg(digest);
    vec![load, with_keys(w, call)]
}

fn function(w: &mut Words, name: &'static str) -> Vec<Step> {
    let flags =
        w.pick(&["", "", ", flags={'no-writes'}", ", flags={'allow-oom'}, description='d'"]);
    let body = w.pick(&[
        "function(keys, args) return redis.call(unpack(args)) end",
        "function(keys, args) return redis.pcall(unpack(args)) end",
        "function(keys, args) return {keys, args} end",
        "function() return nosuch end",
        "function() nosuch = 1 end",
        "function() error('boom') end",
        "function() return KEYS end",
        "function() return redis.register_function end",
        "function() return redis.error_reply('MY own') end",
    ]);
    let code = format!(
        "#!lua name=lib0\nredis.register_function{{function_name='f0', callback={body}{flags}}}"
    );
    let load = Step::new(w, "FUNCTION LOAD").arg("REPLACE").arg(code);
    let called = w.pick(&["f0", "F0", "f0", "f0", "none"]);
    let call = Step::new(w, name).arg(called);
    vec![load, with_keys(w, call)]
}
