//! FUNCTION and FCALL in-process.

use crate::harness::Harness;

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('set', function(keys, args) return redis.call('SET', keys[1], args[1]) end)\n\
    redis.register_function{function_name='get', flags={'no-writes'}, description='reads',\n\
      callback=function(keys) return redis.call('GET', keys[1]) end}";

fn with_library() -> Harness {
    let mut h = Harness::new();
    assert_eq!(h.run(&["FUNCTION", "LOAD", LIBRARY]), "$3\r\nlib\r\n");
    h
}

#[test]
fn functions_are_called_by_name() {
    let mut h = with_library();
    assert_eq!(h.line("FCALL set 1 k v"), "+OK\r\n");
    assert_eq!(h.line("FCALL_RO GET 1 k"), "$1\r\nv\r\n");
    assert_eq!(
        h.line("FCALL_RO set 1 k v"),
        "-ERR Can not execute a script with write flag using *_ro command.\r\n"
    );
    assert_eq!(h.line("FCALL none 0"), "-ERR Function not found\r\n");
    assert_eq!(h.line("FCALL get x"), "-ERR Bad number of keys provided\r\n");
    assert_eq!(h.line("FUNCTION DELETE lib"), "+OK\r\n");
    assert_eq!(h.line("FCALL set 1 k v"), "-ERR Function not found\r\n");
}

#[test]
fn libraries_are_listed_dumped_and_restored() {
    let mut h = with_library();
    let list = h.line("FUNCTION LIST LIBRARYNAME L*");
    assert!(list.contains("description\r\n$5\r\nreads") && list.contains("+no-writes"), "{list}");
    let dump = h.run_bytes(0, &[b"FUNCTION", b"DUMP"]);
    let start = dump.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    let payload = dump[start..dump.len() - 2].to_vec();
    let restore = |h: &mut Harness, policy: &[u8]| {
        let reply = h.run_bytes(0, &[b"FUNCTION", b"RESTORE", &payload, policy]);
        String::from_utf8_lossy(&reply).into_owned()
    };
    assert_eq!(restore(&mut h, b"APPEND"), "-ERR Library lib already exists\r\n");
    assert_eq!(restore(&mut h, b"REPLACE"), "+OK\r\n");
    h.line("FUNCTION FLUSH");
    assert_eq!(restore(&mut h, b"FLUSH"), "+OK\r\n");
    assert_eq!(h.line("FCALL set 1 k w"), "+OK\r\n");
    let stats = h.line("FUNCTION STATS");
    assert!(
        stats.ends_with("libraries_count\r\n:1\r\n$15\r\nfunctions_count\r\n:2\r\n"),
        "{stats}"
    );
}

#[test]
fn a_library_that_cannot_take_the_place_of_another_leaves_it_as_it_was() {
    let mut h = Harness::new();
    let library = |name: &str, functions: &[&str]| {
        let one =
            |f: &&str| format!("redis.register_function('{f}', function() return '{name}' end)");
        format!("#!lua name={name}\n{}", functions.iter().map(one).collect::<Vec<_>>().join("\n"))
    };
    let mut load = |name: &str, functions: &[&str]| {
        h.run(&["FUNCTION", "LOAD", "REPLACE", &library(name, functions)])
    };
    assert_eq!(load("one", &["a", "b"]), "$3\r\none\r\n");
    assert_eq!(load("two", &["c"]), "$3\r\ntwo\r\n");
    assert_eq!(load("one", &["a", "C"]), "-ERR Function C already exists\r\n");
    for (function, library) in [("a", "one"), ("b", "one"), ("c", "two")] {
        assert_eq!(h.line(&format!("FCALL {function} 0")), format!("$3\r\n{library}\r\n"));
    }
    // What only the old one has goes with it.
    assert_eq!(h.run(&["FUNCTION", "LOAD", "REPLACE", &library("one", &["b"])]), "$3\r\none\r\n");
    assert_eq!(h.line("FCALL a 0"), "-ERR Function not found\r\n");
    assert_eq!(h.line("FCALL b 0"), "$3\r\none\r\n");
}

#[test]
fn loading_a_library_finds_little_and_ends() {
    let mut h = with_library();
    let mut load = |body: &str| {
        let code = format!("#!lua name=other\n{body}");
        h.run(&["FUNCTION", "LOAD", "REPLACE", &code])
    };
    assert!(load("redis.call('PING')").contains("nonexistent global variable 'call'"));
    assert!(load("return math").contains("nonexistent global variable 'math'"));
    assert!(load("x = 1").contains("Attempt to modify a readonly table"));
    assert_eq!(load("return 1"), "-ERR No functions registered\r\n");
    assert!(load("redis.register_function('get', function() end)").contains("get already exists"));
    assert_eq!(
        load("while true do end"),
        "-ERR Error registering functions: ERR FUNCTION LOAD timeout\r\n"
    );
    assert_eq!(
        load("redis.register_function('f', function() return math.pi end)"),
        "$5\r\nother\r\n"
    );
    assert_eq!(h.line("FCALL f 0"), ":3\r\n");
}

/// What a library keeps from the time when it was loaded is of no use to its functions.
#[test]
fn functions_register_no_functions() {
    let mut h = Harness::new();
    let code = "#!lua name=lib\n\
        local kept = redis\n\
        kept.register_function('late', function() kept.register_function('more', function() end) end)\n\
        kept.register_function('change', function() kept.redis = redis end)";
    h.run(&["FUNCTION", "LOAD", code]);
    assert_eq!(
        h.line("FCALL late 0"),
        "-ERR redis.register_function can only be called on FUNCTION LOAD command script: late, on @user_function:3.\r\n"
    );
    assert!(h.line("FCALL change 0").contains("Attempt to modify a readonly table"));
    assert!(!h.line("FUNCTION LIST").contains("more"));
}
