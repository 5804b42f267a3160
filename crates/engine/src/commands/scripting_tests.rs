//! EVAL and SCRIPT in-process: values both ways, errors, locks, effects.

use crate::harness::Harness;

fn eval(h: &mut Harness, script: &str, keys: &[&str]) -> String {
    let number = keys.len().to_string();
    let head = ["EVAL", script, &number];
    h.run(&[&head, keys].concat())
}

#[test]
fn values_go_both_ways() {
    let mut h = Harness::new();
    for (script, expected) in [
        ("return 1.9", ":1\r\n"),
        ("return {1, {2, 'x'}, nil, 3}", "*2\r\n:1\r\n*2\r\n:2\r\n$1\r\nx\r\n"),
        ("return {ok='fine'}", "+fine\r\n"),
        ("return {err='MY way'}", "-MY way\r\n"),
        ("return {double=0.1}", "$19\r\n0.10000000000000001\r\n"),
        ("return {map={a=1}}", "*2\r\n$1\r\na\r\n:1\r\n"),
        ("return {set={a=true}}", "*1\r\n$1\r\na\r\n"),
        ("return redis.call('SET', 'k', 1.5)", "+OK\r\n"),
        ("return redis.call('GET', 'k')", "$3\r\n1.5\r\n"),
        ("return redis.call('GET', 'none') == false", ":1\r\n"),
        (
            "redis.call('HSET', 'h', 'f', 'v') return redis.call('HGETALL', 'h')",
            "*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
        ),
        ("redis.setresp(3) return redis.call('HGETALL', 'h').map.f", "$1\r\nv\r\n"),
        ("redis.setresp(3) return redis.call('GET', 'none') == nil", ":1\r\n"),
        ("return {KEYS, ARGV}", "*2\r\n*0\r\n*0\r\n"),
        ("return {err='a\\0b'}", "-a\r\n"),
        ("return {ok='a\\0b'}", "+a\r\n"),
        ("return redis.error_reply('\\n\\na\\nb\\r\\n')", "-ERR a b\r\n"),
        ("return redis.error_reply('\\nA \\nb\\n')", "- A b\r\n"),
        ("return redis.error_reply('a\\0b')", "-ERR a\r\n"),
        ("return {big_number='1\\n2'}", "$3\r\n1 2\r\n"),
        ("return {verbatim_string={string='s', format='x'}}", "$1\r\ns\r\n"),
        ("return select('#', redis.set_repl(redis.REPL_ALL))", ":0\r\n"),
        ("return select('#', redis.log('1', 'x'))", ":0\r\n"),
        ("return select('#', redis.setresp(2))", ":0\r\n"),
        ("return select('#', pcall(error, {}))", ":3\r\n"),
        ("return select('#', pcall(error, {err='x'}))", ":2\r\n"),
    ] {
        assert_eq!(eval(&mut h, script, &[]), expected, "{script}");
    }
    h.line("HELLO 3");
    assert_eq!(eval(&mut h, "return {map={a={double=1.5}}}", &[]), "%1\r\n$1\r\na\r\n,1.5\r\n");
    assert_eq!(eval(&mut h, "return {big_number='12'}", &[]), "(12\r\n");
    let verbatim = "return {verbatim_string={string='s', format='x'}}";
    assert_eq!(eval(&mut h, verbatim, &[]), "=5\r\nx  :s\r\n");
}

#[test]
fn a_reply_may_be_nested_as_deep_as_scripts_can() {
    let mut h = Harness::new();
    let nest = "local t = {} local all = t for _ = 1, tonumber(ARGV[1]) do t[1] = {} t = t[1] end return all";
    let deep = h.run(&["EVAL", nest, "0", "6000"]);
    assert_eq!(deep.matches("*1\r\n").count(), 6000);
    let endless = eval(&mut h, "local t = {} t[1] = t return t", &[]);
    assert!(endless.ends_with("-ERR reached lua stack limit\r\n"));
}

#[test]
fn errors_name_the_script_and_the_line() {
    let mut h = Harness::new();
    h.line("SET text x");
    let sha = "d276885e30e8c5419e54c47c095a71bd21307234";
    assert_eq!(
        eval(&mut h, "local a=1\nlocal b=2\nredis.call(\"incr\",\"str\")", &[]),
        ":1\r\n".replace(":1\r\n", "$-1\r\n")
    );
    h.line("SET str x");
    assert_eq!(
        eval(&mut h, "local a=1\nlocal b=2\nredis.call(\"incr\",\"str\")", &[]),
        format!(
            "-ERR value is not an integer or out of range script: {sha}, on @user_script:3.\r\n"
        )
    );
    assert_eq!(
        eval(&mut h, "return redis.pcall('incr', 'text')", &[]),
        "-ERR value is not an integer or out of range\r\n"
    );
    assert_eq!(h.worker.stats.command(crate::lookup(b"eval").expect("there").id).failed.get(), 2);
}

#[test]
fn nothing_that_scripts_share_can_be_changed() {
    let mut h = Harness::new();
    for script in [
        "redis.call = 1",
        "string.x = 1",
        "KEYS = 1",
        "x = 1",
        "rawset(redis, 'x', 1)",
        "setmetatable(_G, {})",
        "table.insert(redis, 1)",
        "getmetatable('').__index.x = 1",
        "getmetatable(_G).__index = 1",
        "local _, all = pairs(redis) all.call = 1 return redis.call.x",
        "rawget(_G, '_G').x = 1",
    ] {
        let reply = eval(&mut h, script, &[]);
        assert!(reply.starts_with("-ERR "), "{script}: {reply}");
    }
    assert_eq!(eval(&mut h, "return redis.call('PING')", &[]), "+PONG\r\n");
    assert!(eval(&mut h, "return x", &[]).contains("nonexistent global variable 'x'"));
    for gone in ["dofile", "loadfile", "require", "io", "print", "setfenv", "newproxy", "debug"] {
        let reply = eval(&mut h, &format!("return {gone}"), &[]);
        assert!(reply.contains("nonexistent global variable"), "{gone}: {reply}");
    }
    let compiled = "local f, why = loadstring(string.dump(function() end)) return {f == nil, why}";
    assert!(eval(&mut h, compiled, &[]).contains("char(27)"));
}

#[test]
fn scripts_are_known_by_their_digest() {
    let mut h = Harness::new();
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    let none = "-NOSCRIPT No matching script. Please use EVAL.\r\n";
    assert_eq!(h.line(&format!("EVALSHA {sha} 0")), none);
    assert_eq!(h.run(&["SCRIPT", "LOAD", "return 1"]), format!("$40\r\n{sha}\r\n"));
    assert_eq!(h.line(&format!("EVALSHA {sha} 0")), ":1\r\n");
    assert_eq!(h.line(&format!("SCRIPT EXISTS {sha} x")), "*2\r\n:1\r\n:0\r\n");
    h.line("SCRIPT FLUSH");
    assert_eq!(h.line(&format!("EVALSHA {sha} 0")), none);
}

#[test]
fn only_what_may_write_writes() {
    let mut h = Harness::new();
    let refused = "Write commands are not allowed from read-only scripts.";
    assert!(h.run(&["EVAL_RO", "return redis.call('SET', 'k', 'v')", "1", "k"]).contains(refused));
    let flagged = "#!lua flags=no-writes\nreturn redis.call('SET', KEYS[1], 'v')";
    assert!(eval(&mut h, flagged, &["k"]).contains(refused));
    assert_eq!(h.run(&["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "k"]), "$-1\r\n");
    assert!(eval(&mut h, "return redis.call('MULTI')", &[]).contains("not allowed from script"));
    // What would wait elsewhere answers at once.
    let waiting =
        ["'XREAD', 'BLOCK', 0, 'STREAMS', 's', '$'", "'BLPOP', 'l', 0", "'BZPOPMIN', 'z', 0"];
    for call in waiting {
        assert_eq!(eval(&mut h, &format!("return redis.call({call})"), &[]), "$-1\r\n", "{call}");
    }
}

#[test]
fn scripts_reach_keys_that_they_did_not_declare() {
    let mut h = Harness::with_settings(|settings| settings.shards = 8);
    let fill = "for i = 1, 50 do redis.call('SET', 'k' .. i, i) end return redis.call('DBSIZE')";
    assert_eq!(eval(&mut h, fill, &[]), ":50\r\n");
    assert_eq!(eval(&mut h, "return #redis.call('KEYS', '*')", &["k1"]), ":50\r\n");
    assert_eq!(h.run(&["EVAL_RO", "return redis.call('GET', 'k9')", "1", "k1"]), "$1\r\n9\r\n");
}

#[test]
fn scripts_run_inside_transactions_and_wake_who_waits() {
    let mut h = Harness::new();
    h.line("MULTI");
    assert_eq!(eval(&mut h, "return redis.call('INCR', KEYS[1])", &["n"]), "+QUEUED\r\n");
    assert_eq!(h.line("EXEC"), "*1\r\n:1\r\n");
    let waiter = h.connect();
    let parts: Vec<&[u8]> = vec![b"BLPOP", b"list", b"0"];
    h.attempt(waiter, &parts);
    eval(&mut h, "redis.call('RPUSH', 'list', 'a') return redis.call('LLEN', 'list')", &[]);
    let told = h.deliveries();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.as_deref(), Some("*2\r\n$4\r\nlist\r\n$1\r\na\r\n"));
}

#[test]
fn databases_and_protocols_of_scripts_are_their_own() {
    let mut h = Harness::new();
    eval(&mut h, "redis.setresp(3) redis.call('SELECT', 5) redis.call('SET', 'k', 'v')", &[]);
    assert_eq!(h.line("EXISTS k"), ":0\r\n");
    assert_eq!(eval(&mut h, "return redis.call('EXISTS', 'k')", &[]), ":0\r\n");
    assert_eq!(eval(&mut h, "return redis.call('GET', 'none') == false", &[]), ":1\r\n");
    h.line("SELECT 5");
    assert_eq!(h.line("GET k"), "$1\r\nv\r\n");
}

#[test]
fn random_numbers_go_on_and_start_anew_with_a_seed() {
    let mut h = Harness::new();
    let script = "return tostring(math.random()) .. ' ' .. math.random(1000000)";
    let first = eval(&mut h, script, &[]);
    assert_ne!(eval(&mut h, script, &[]), first);
    let seeded = "math.randomseed(77) return tostring(math.random())";
    for _ in 0..2 {
        assert_eq!(eval(&mut h, seeded, &[]), "$16\r\n0.22260580315376\r\n");
    }
}

/// A script may do what its client may do, and no more.
#[test]
fn scripts_have_the_rights_of_their_client() {
    let mut h = Harness::new();
    h.line("ACL SETUSER bob on nopass +@all ~a* resetchannels &ok* -set");
    h.line("AUTH bob x");
    let mut told = |script: &str| h.run(&["EVAL", script, "0"]);
    const WHO: &str = "-ERR The user executing the script can't";
    assert_eq!(
        told("return redis.pcall('publish','no','x')"),
        format!("{WHO} publish to the channel mentioned in the command\r\n")
    );
    assert_eq!(
        told("return redis.pcall('get','b')"),
        format!("{WHO} access at least one of the keys mentioned in the command arguments\r\n")
    );
    assert_eq!(
        told("return redis.pcall('set','a','b')"),
        format!("{WHO} run this command or subcommand\r\n")
    );
    assert_eq!(told("return redis.call('incr','a')"), ":1\r\n");
    assert_eq!(
        told("return {redis.acl_check_cmd('get','a'), redis.acl_check_cmd('set','a','1')}"),
        "*2\r\n:1\r\n$-1\r\n"
    );
    let log = h.line("ACL LOG");
    assert!(log.contains("$3\r\nlua\r\n") && log.contains("$3\r\nset\r\n"), "{log}");
}

/// A client that tracks is told of the keys that its scripts have read, and not of those that it only named.
#[test]
fn clients_that_track_remember_what_their_scripts_read() {
    let mut h = Harness::new();
    let writer = h.connect();
    h.line("HELLO 3");
    h.line("CLIENT TRACKING ON");
    let id = h.sessions[0].info.id;
    for (script, command, reads) in [
        ("return redis.call('GET', KEYS[1])", "EVAL", true),
        ("return redis.call('GET', KEYS[1])", "EVAL_RO", true),
        ("#!lua flags=no-writes\nreturn redis.call('MGET', KEYS[1], KEYS[2])", "EVAL", true),
        ("return redis.call('PING')", "EVAL_RO", false),
        ("return redis.call('SET', 'other', 'x')", "EVAL", false),
    ] {
        h.run_as(writer, &["SET", "a", "1"]);
        h.deliveries();
        let reply = h.run(&[command, script, "2", "a", "b"]);
        assert!(!reply.starts_with('-'), "{command} {script}: {reply}");
        h.run_as(writer, &["SET", "a", "2"]);
        let told = h.deliveries();
        assert_eq!(!told.is_empty(), reads, "{command} {script}: {told:?}");
        assert!(told.iter().all(|(to, text)| {
            *to == id && text.as_deref().is_some_and(|text| text.contains("invalidate"))
        }));
    }
}

/// The tables of keys and arguments are used again: whatever a script does to them is gone in the next one.
#[test]
fn nothing_is_left_in_keys_and_arguments() {
    let mut h = Harness::new();
    let look = "local seen = {} for _, list in ipairs({KEYS, ARGV}) do for k, v in pairs(list) do \
                seen[#seen + 1] = tostring(k) .. '=' .. tostring(v) end seen[#seen + 1] = tostring(getmetatable(list)) end \
                return table.concat(seen, ' ')";
    let long = "x".repeat(5000);
    for damage in [
        "return 0",
        "KEYS.name = 1 ARGV[100] = 2",
        "KEYS[0] = 1 ARGV[-1] = 2 ARGV[1.5] = 3",
        "KEYS[true] = 1 ARGV[KEYS] = ARGV",
        "for i = 1, 40 do KEYS[i] = i ARGV[i] = i end",
        "KEYS[1] = nil ARGV[2] = nil",
        "table.insert(KEYS, 'more') table.remove(ARGV)",
        "setmetatable(KEYS, {__index = function() return 'other' end}) setmetatable(ARGV, {})",
        "error('ends here')",
        "local co = coroutine.wrap(function() local own = KEYS coroutine.yield() own[9] = 9 end) co()",
    ] {
        for (keys, args) in [
            (&["k"][..], &[][..]),
            (&[], &["a", "b", "c"]),
            (&["k", "l", "m"], &["a"]),
            (&[], &[]),
            (&["k"], &[long.as_str()]),
            (&["k"; 20], &["a"; 17]),
        ] {
            let number = keys.len().to_string();
            h.run(&[&["EVAL", damage, &number], keys, args].concat());
            h.run(&["EVAL", damage, "2", "x", "y", "z"]);
            let seen = h.run(&[&["EVAL", look, &number], keys, args].concat());
            let list = |texts: &[&str]| {
                let pairs = texts.iter().zip(1..).map(|(text, i)| format!("{i}={text}"));
                pairs.chain(["nil".to_owned()]).collect::<Vec<_>>().join(" ")
            };
            let expected = format!("{} {}", list(keys), list(args));
            assert_eq!(seen, format!("${}\r\n{expected}\r\n", expected.len()), "{damage}");
        }
    }
}
