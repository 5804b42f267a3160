//! What redis-server answers to scripts that use the libraries, case by case.
//!
//! The files in `golden/` hold pairs of lines: a script, and behind `-> ` what redis-server 7.0.15 made of it.
//! `GOLDEN_ASK=127.0.0.1:6379 cargo test -p respire-lua-libs --test golden` asks the server there and writes the files anew;
//! new cases are added as scripts without an answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use mlua::Lua;

const FILES: &[&str] = &["cjson.txt", "cmsgpack.txt", "bit.txt", "struct.txt"];

#[test]
fn scripts_get_what_redis_server_gives_them() {
    let mut wrong = Vec::new();
    for file in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
        if let Ok(address) = std::env::var("GOLDEN_ASK") {
            ask_again(&path, &address);
        }
        let cases = read(&path);
        assert!(cases.len() > 10, "{file} has hardly any case");
        for (script, expected) in cases {
            let expected = expected.unwrap_or_else(|| panic!("{file}: no answer to {script}"));
            let got = run(&script);
            if got != expected {
                wrong.push(format!("{script}\n  expected {expected}\n  got      {got}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The script in a wrapper, all in one line, that shows its results or error as text.
fn wrapped(script: &str) -> String {
    let show = r#"local function show(v) local t = type(v) if t == 'number' then return string.format('%.17g', v) end if t == 'string' then return '"' .. string.gsub(v, '[%c%z"\\\128-\255]', function(c) return string.format('\\%03d', string.byte(c)) end) .. '"' end if t == 'table' then local r = {} for k, w in pairs(v) do r[#r + 1] = '[' .. show(k) .. ']=' .. show(w) end table.sort(r) return '{' .. table.concat(r, ',') .. '}' end if t == 'userdata' then return tostring(v == cjson.null) end if t == 'nil' or t == 'boolean' then return tostring(v) end return t end"#;
    format!(
        "{show} local f = function() {script} end local function all(...) local r = {{}} \
         for i = 1, select('#', ...) do r[i] = show((select(i, ...))) end \
         return table.concat(r, ' ') end return all(pcall(f))"
    )
}

fn run(script: &str) -> String {
    let lua = Lua::new();
    respire_lua_libs::install(&lua).expect("the libraries go in");
    let shown = lua.load(wrapped(script)).set_name("@user_script").eval::<String>();
    shown.unwrap_or_else(|error| format!("no text: {error}"))
}

fn read(path: &Path) -> Vec<(String, Option<String>)> {
    let text = std::fs::read_to_string(path).expect("the cases");
    let mut cases: Vec<(String, Option<String>)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("-> ") {
            Some(answer) => {
                cases.last_mut().expect("an answer to something").1 = Some(answer.into())
            }
            None if line.is_empty() => {}
            None => cases.push((line.into(), None)),
        }
    }
    cases
}

fn ask_again(path: &PathBuf, address: &str) {
    let mut server = BufReader::new(TcpStream::connect(address).expect("a server at GOLDEN_ASK"));
    let mut text = String::new();
    for (script, _) in read(path) {
        let answer = eval(&mut server, &wrapped(&script));
        text.push_str(&format!("{script}\n-> {answer}\n"));
    }
    std::fs::write(path, text).expect("the cases are written");
}

fn eval(server: &mut BufReader<TcpStream>, script: &str) -> String {
    let request = format!("*3\r\n$4\r\nEVAL\r\n${}\r\n{script}\r\n$1\r\n0\r\n", script.len());
    server.get_mut().write_all(request.as_bytes()).expect("a request sent");
    let mut line = String::new();
    server.read_line(&mut line).expect("a reply");
    let length = line.strip_prefix('$').unwrap_or_else(|| panic!("{script}\nanswered {line}"));
    let length: usize = length.trim_end().parse().expect("a length");
    let mut body = vec![0; length + 2];
    server.read_exact(&mut body).expect("the reply");
    body.truncate(length);
    String::from_utf8(body).expect("the wrapper shows in ASCII")
}
