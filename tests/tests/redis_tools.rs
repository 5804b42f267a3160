//! redis-cli and redis-benchmark, unmodified, against the server.
//!
//! Where the output can be foretold it is compared with what the same tool prints for redis-server.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use respire_tests::{Client, Kind, Server, encode, outside, server};

fn cli_path() -> Option<PathBuf> {
    outside::find("redis-cli", "redis-tools", "that redis-cli works")
}

fn benchmark_path() -> Option<PathBuf> {
    outside::find("redis-benchmark", "redis-tools", "that redis-benchmark works")
}

/// The servers to run against: the one under test, and Redis where there is one.
fn servers(unchecked: &str) -> Vec<(Kind, Server)> {
    let mut servers = vec![(Kind::Respire, Server::start(Kind::Respire, &[]))];
    if server::redis_path(unchecked).is_some() {
        servers.push((Kind::Redis, Server::start(Kind::Redis, &[])));
    }
    servers
}

/// Runs a tool against `server` with `input`; answers its status and output.
fn run(tool: &PathBuf, server: &Server, args: &[&str], input: &[u8]) -> Output {
    let mut child = spawn(tool, server, args);
    let mut stdin = child.stdin.take().expect("an input");
    // A tool that doesn't read its input has closed it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("the tool ends")
}

fn spawn(tool: &PathBuf, server: &Server, args: &[&str]) -> Child {
    Command::new(tool)
        .args(["-h", "127.0.0.1", "-p", &server.port().to_string()])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Calls of redis-cli, in order, with their inputs. The output of each is the same for both servers.
const CALLS: &[(&[&str], &str)] = &[
    (&["FLUSHALL"], ""),
    (&["SET", "k", "a value"], ""),
    (&["GET", "k"], ""),
    (&["GET", "missing"], ""),
    (&["--no-raw", "GET", "k"], ""),
    (&["--no-raw", "GET", "missing"], ""),
    (&["--no-raw", "MGET", "k", "missing"], ""),
    (&["--csv", "MGET", "k", "missing"], ""),
    (&["--json", "MGET", "k", "missing"], ""),
    (&["-3", "--json", "CONFIG", "GET", "maxmemory-policy"], ""),
    (&["-3", "--no-raw", "CONFIG", "GET", "maxmemory-policy"], ""),
    (&["-3", "--no-raw", "DEBUG", "PROTOCOL", "double"], ""),
    (&["-3", "--no-raw", "DEBUG", "PROTOCOL", "set"], ""),
    (&["-3", "--no-raw", "DEBUG", "PROTOCOL", "verbatim"], ""),
    (&["-2", "--no-raw", "DEBUG", "PROTOCOL", "map"], ""),
    (&["-n", "3", "SET", "there", "1"], ""),
    (&["-n", "3", "DBSIZE"], ""),
    (&["-n", "99", "DBSIZE"], ""),
    (&["-r", "5", "INCR", "n"], ""),
    (&["-x", "SET", "from-input"], "a value\nof two lines\n"),
    (&["GET", "from-input"], ""),
    (&["-e", "INCR", "k"], ""),
    (&["NOSUCH", "a"], ""),
    (&["--scan", "--pattern", "from*"], ""),
    (&["--scan", "--count", "1", "--pattern", "?"], ""),
    (&[], "SET b 1\nINCR b\nGET \"b\"\nMULTI\nINCR b\nEXEC\nSELECT 2\nDBSIZE\nNOSUCH\n"),
    (&["RPUSH", "l", "a", "b", "c"], ""),
    (&["--no-raw", "LRANGE", "l", "0", "-1"], ""),
    (&["HSET", "h", "f", "1", "g", "2"], ""),
    (&["-3", "--no-raw", "HGETALL", "h"], ""),
    (&["SADD", "s", "1", "2"], ""),
    (&["-3", "--no-raw", "SMEMBERS", "s"], ""),
    (&["ZADD", "z", "1", "a", "2.5", "b"], ""),
    (&["-3", "--no-raw", "ZRANGE", "z", "0", "-1", "WITHSCORES"], ""),
    (&["--csv", "ZRANGE", "z", "0", "-1", "WITHSCORES"], ""),
    (&["XADD", "x", "1-1", "f", "v"], ""),
    (&["XGROUP", "CREATE", "x", "g", "0"], ""),
    (&["--no-raw", "XREADGROUP", "GROUP", "g", "c", "STREAMS", "x", ">"], ""),
    (&["-3", "--json", "XRANGE", "x", "-", "+"], ""),
    (&["GEOADD", "g", "13.361389", "38.115556", "p", "15.087269", "37.502669", "c"], ""),
    (&["--no-raw", "GEOSEARCH", "g", "FROMMEMBER", "p", "BYRADIUS", "200", "km", "WITHDIST"], ""),
    (&["SETBIT", "bits", "7", "1"], ""),
    (&["--no-raw", "BITFIELD", "bits", "GET", "u8", "0"], ""),
    (&["PFADD", "hll", "a", "b", "c"], ""),
    (&["PFCOUNT", "hll"], ""),
    (&["--no-raw", "BLPOP", "l", "1"], ""),
    (&["PUBLISH", "news", "hello"], ""),
    (&["--quoted-input", "SET", "\"\\x00\\xff\"", "1"], ""),
    (&["--user", "default", "--pass", "any", "--no-auth-warning", "PING"], ""),
];

#[test]
fn redis_cli_prints_the_same() {
    let Some(cli) = cli_path() else { return };
    let servers = servers("that redis-cli prints the same for both servers");
    for (args, input) in CALLS {
        let outputs: Vec<Output> =
            servers.iter().map(|(_, server)| run(&cli, server, args, input.as_bytes())).collect();
        for output in &outputs[1..] {
            let show = |output: &Output| {
                // Scans may come in any order.
                let mut out = text(&output.stdout);
                if args.contains(&"--scan") {
                    let mut lines: Vec<&str> = out.lines().collect();
                    lines.sort_unstable();
                    out = lines.join("\n");
                }
                (output.status.code(), out, text(&output.stderr))
            };
            assert_eq!(show(&outputs[0]), show(output), "redis-cli {args:?}: Respire, then Redis");
        }
    }
    let output = run(&cli, &servers[0].1, &["GET", "n"], b"");
    assert_eq!(text(&output.stdout), "5\n");
}

#[test]
fn redis_cli_pipe_loads_and_counts() {
    let Some(cli) = cli_path() else { return };
    let server = Server::start(Kind::Respire, &[]);
    let mut bytes = Vec::new();
    for i in 0..20_000 {
        encode(&mut bytes, &["SET", &format!("key:{i}"), &"v".repeat(i % 200)]);
    }
    encode(&mut bytes, &["INCR", "key:1"]);
    let output = run(&cli, &server, &["--pipe"], &bytes);
    let out = text(&output.stdout);
    assert!(out.contains("errors: 1, replies: 20001"), "{out}{}", text(&output.stderr));
    assert_eq!(text(&run(&cli, &server, &["DBSIZE"], b"").stdout), "20000\n");
    let scanned = text(&run(&cli, &server, &["--scan"], b"").stdout);
    let mut keys: Vec<&str> = scanned.lines().collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 20_000);
}

#[test]
fn redis_cli_finds_big_keys() {
    let Some(cli) = cli_path() else { return };
    let server = Server::start(Kind::Respire, &["--maxmemory-policy", "allkeys-lfu"]);
    let mut client = server.client();
    for i in 0..500 {
        client.roundtrip(&["SET", &format!("key:{i}"), "small"]).expect("a reply");
    }
    client.roundtrip(&["SET", "the-big-one", &"v".repeat(100_000)]).expect("a reply");
    for mode in ["--bigkeys", "--memkeys", "--hotkeys"] {
        let output = run(&cli, &server, &[mode], b"");
        let out = text(&output.stdout);
        assert!(output.status.success(), "{mode}: {out}{}", text(&output.stderr));
        assert!(out.contains("Sampled 501 keys"), "{mode}: {out}");
        if mode != "--hotkeys" {
            assert!(out.contains("the-big-one"), "{mode}: {out}");
        }
    }
}

#[test]
fn redis_cli_watches_the_server() {
    let Some(cli) = cli_path() else { return };
    let server = Server::start(Kind::Respire, &[]);
    // Without a terminal it measures for a moment, prints and ends.
    let output = run(&cli, &server, &["--latency", "-i", "1"], b"");
    let numbers: Vec<f64> =
        text(&output.stdout).split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(
        output.status.success() && numbers.len() == 4 && numbers[3] > 0.0,
        "{}",
        text(&output.stdout)
    );
    // A heading of two lines, then one line per interval for ever.
    let mut stat = spawn(&cli, &server, &["--stat", "-i", "0.1"]);
    let lines = BufReader::new(stat.stdout.take().expect("an output")).lines();
    let lines: Vec<String> = lines.take(4).map(|line| line.expect("a line")).collect();
    stat.kill().expect("it still ran");
    stat.wait().expect("it ended");
    assert!(lines[1].starts_with("keys"), "{lines:?}");
    assert!(lines[3].trim().starts_with('0'), "no keys yet: {lines:?}");
}

/// A line of MONITOR behind its time: `[db address] "command" ...`.
fn monitored(line: &str) -> &str {
    let (time, rest) = line.split_once(' ').expect("a time and more");
    let (seconds, micros) = time.split_once('.').expect("seconds and microseconds");
    assert!(
        seconds.len() >= 10 && micros.len() == 6 && time.replace('.', "").parse::<u64>().is_ok(),
        "{line}"
    );
    rest
}

#[test]
fn redis_cli_monitors() {
    let Some(cli) = cli_path() else { return };
    for (kind, server) in servers("that MONITOR prints the same for both servers") {
        let mut monitor = spawn(&cli, &server, &["MONITOR"]);
        let mut lines = BufReader::new(monitor.stdout.take().expect("an output")).lines();
        assert_eq!(lines.next().expect("a line").expect("text"), "OK");
        let mut client: Client = server.client();
        let requests: &[&[&[u8]]] = &[
            &[b"SET", b"k", b"a \"b\"\r\n\x00\xff\\"],
            &[b"select", b"3"],
            &[b"GET", b"k"],
            &[b"MULTI"],
            &[b"INCR", b"n"],
            &[b"EXEC"],
            // A secret is shown without its text, what never ran not at all.
            &[b"AUTH", b"default", b"secret"],
            &[b"NOSUCH", b"x"],
            &[b"ECHO", b"the end"],
        ];
        for request in requests {
            client.roundtrip(request).expect("a reply");
        }
        let mut seen = Vec::new();
        for line in lines {
            let line = line.expect("text");
            let rest = monitored(&line).to_string();
            let (origin, command) = rest.split_once("] ").expect("an origin and a command");
            let database = origin.split(' ').next().expect("a database").to_string();
            assert!(origin.contains(" 127.0.0.1:"), "{line}");
            seen.push(format!("{database} {command}"));
            if command.contains("the end") {
                break;
            }
        }
        monitor.kill().expect("it still ran");
        monitor.wait().expect("it ended");
        let expected = [
            r#"[0 "SET" "k" "a \"b\"\r\n\x00\xff\\""#,
            // Shown with the database that it led to.
            r#"[3 "select" "3""#,
            r#"[3 "GET" "k""#,
            r#"[3 "MULTI""#,
            r#"[3 "INCR" "n""#,
            r#"[3 "EXEC""#,
            r#"[3 "AUTH" "(redacted)" "(redacted)""#,
            r#"[3 "ECHO" "the end""#,
        ];
        assert_eq!(seen, expected, "{kind:?}");
    }
}

/// Runs redis-benchmark and checks that every named test was measured and nothing went wrong.
fn benchmark(args: &[&str], measured: &[&str]) {
    let Some(tool) = benchmark_path() else { return };
    let server = Server::start(Kind::Respire, &[]);
    let output = run(&tool, &server, args, b"");
    let out = text(&output.stdout);
    let err = text(&output.stderr);
    assert!(output.status.success(), "{args:?}\n{out}{err}");
    assert!(err.trim().is_empty(), "{args:?}\n{err}");
    for bad in ["ERR", "Error", "WARN"] {
        assert!(!out.contains(bad), "{args:?}\n{out}");
    }
    for test in measured {
        let line = out.split(['\n', '\r']).rfind(|line| line.starts_with(test));
        assert!(
            line.is_some_and(|line| line.contains("requests per second")),
            "{test} in {args:?}\n{out}"
        );
    }
}

#[test]
fn redis_benchmark_set_and_get() {
    benchmark(&["-t", "set,get", "-n", "100000", "-c", "50", "-q"], &["SET", "GET"]);
}

#[test]
fn redis_benchmark_default_tests() {
    let measured = [
        "PING_INLINE",
        "PING_MBULK",
        "SET",
        "GET",
        "INCR",
        "LPUSH",
        "RPUSH",
        "LPOP",
        "RPOP",
        "SADD",
        "HSET",
        "SPOP",
        "ZADD",
        "ZPOPMIN",
        "LPUSH (needed to benchmark LRANGE)",
        "LRANGE_100 (first 100 elements)",
        "LRANGE_300 (first 300 elements)",
        "LRANGE_500 (first 500 elements)",
        "LRANGE_600 (first 600 elements)",
        "MSET (10 keys)",
    ];
    benchmark(&["-n", "20000", "-q"], &measured);
}

#[test]
fn redis_benchmark_pipelined_with_threads() {
    benchmark(
        &[
            "-t",
            "set,get",
            "-n",
            "100000",
            "-P",
            "16",
            "-r",
            "10000",
            "-d",
            "100",
            "--threads",
            "2",
            "-q",
        ],
        &["SET", "GET"],
    );
}
