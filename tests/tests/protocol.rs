//! The protocol at its edges: framing, inline requests, protocol errors, limits, large values, clients that misbehave.
//!
//! Every expected text was asked of redis-server 7.0.15, and is asked again by each run where there is one: the
//! tables run against both servers.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use respire_tests::ask::{field, wait_until};
use respire_tests::{Client, Kind, Server, Value, encode, server};

/// Request bytes, the whole answer, and whether the server then closes the connection.
struct Case {
    sent: Vec<u8>,
    answer: &'static str,
    closes: bool,
}

fn stays(sent: impl AsRef<[u8]>, answer: &'static str) -> Case {
    Case { sent: sent.as_ref().to_vec(), answer, closes: false }
}

fn closes(sent: impl AsRef<[u8]>, answer: &'static str) -> Case {
    Case { sent: sent.as_ref().to_vec(), answer, closes: true }
}

fn many(prefix: &str, byte: u8, count: usize) -> Vec<u8> {
    let mut out = prefix.as_bytes().to_vec();
    out.resize(out.len() + count, byte);
    out
}

fn framing_cases() -> Vec<Case> {
    let no_dollar = "-ERR Protocol error: expected '$', got 'x'\r\n";
    let bad_bulk = "-ERR Protocol error: invalid bulk length\r\n";
    let bad_multibulk = "-ERR Protocol error: invalid multibulk length\r\n";
    vec![
        stays("*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        stays("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "$0\r\n\r\n"),
        stays("*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n", "$4\r\n\r\n\r\n\r\n"),
        stays("*-1\r\nPING\r\n", "+PONG\r\n"),
        stays("*0\r\nPING\r\n", "+PONG\r\n"),
        stays("*-10\r\nPING\r\n", "+PONG\r\n"),
        stays("*1\r\n$0\r\n\r\n", "-ERR unknown command '', with args beginning with: \r\n"),
        closes("*1\r\nx\r\n", no_dollar),
        closes("*1\r\n\r\n", "-ERR Protocol error: expected '$', got ' '\r\n"),
        closes("*1\r\n\u{1}\r\n", "-ERR Protocol error: expected '$', got '\u{1}'\r\n"),
        closes(
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n:1\r\n",
            "-ERR Protocol error: expected '$', got ':'\r\n",
        ),
        closes(
            "*1\r\n$4\r\nPING\r\n*1\r\nx\r\n",
            "+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n",
        ),
        closes("*1\r\n$x\r\n", bad_bulk),
        closes("*1\r\n$-1\r\n", bad_bulk),
        closes("*1\r\n$-2\r\n", bad_bulk),
        closes("*1\r\n$1 \r\n", bad_bulk),
        closes("*1\r\n$01\r\n", bad_bulk),
        closes("*1\r\n$+4\r\n", bad_bulk),
        closes("*1\r\n$536870913\r\n", bad_bulk),
        closes("*1\r\n$18446744073709551615\r\n", bad_bulk),
        closes("*x\r\n", bad_multibulk),
        closes("*\r\n", bad_multibulk),
        closes("* 1\r\n", bad_multibulk),
        closes("*01\r\n", bad_multibulk),
        closes("*+1\r\n", bad_multibulk),
        closes("*2147483648\r\n", bad_multibulk),
        closes(many("*1", b'0', 70_000), "-ERR Protocol error: too big mbulk count string\r\n"),
        closes(many("*1\r\n$", b'1', 70_000), "-ERR Protocol error: too big bulk count string\r\n"),
    ]
}

fn inline_cases() -> Vec<Case> {
    let unbalanced = "-ERR Protocol error: unbalanced quotes in request\r\n";
    vec![
        stays("PING\r\n", "+PONG\r\n"),
        stays("PING\n", "+PONG\r\n"),
        stays("\r\nPING\r\n", "+PONG\r\n"),
        stays("\t PING\t\r\n", "+PONG\r\n"),
        stays("  PING   hello  \r\n", "$5\r\nhello\r\n"),
        stays("ECHO 'a b'\r\n", "$3\r\na b\r\n"),
        stays("ECHO 'a\\'b\\n'\r\n", "$5\r\na'b\\n\r\n"),
        stays("ECHO \"a\\x41\\n\\\"b\"\r\n", "$5\r\naA\n\"b\r\n"),
        stays("ECHO \"\"\r\n", "$0\r\n\r\n"),
        stays("'' x\r\n", "-ERR unknown command '', with args beginning with: 'x' \r\n"),
        stays(
            "nosuch a b\r\n",
            "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b' \r\n",
        ),
        stays("+PING\r\n", "-ERR unknown command '+PING', with args beginning with: \r\n"),
        stays(
            "$4\r\nPING\r\n",
            "-ERR unknown command '$4', with args beginning with: \r\n+PONG\r\n",
        ),
        closes("ECHO \"abc\r\n", unbalanced),
        closes("ECHO 'abc\r\n", unbalanced),
        closes("ECHO \"a\"b\r\n", unbalanced),
        closes("ECHO 'a'b\r\n", unbalanced),
        closes(many("", b'a', 70_000), "-ERR Protocol error: too big inline request\r\n"),
        // Web browsers are turned away, so that no web page can send commands.
        closes("POST / HTTP/1.1\r\n", ""),
        closes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
    ]
}

fn unauthenticated_cases() -> Vec<Case> {
    let refused = "-NOAUTH Authentication required.\r\n";
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    vec![
        stays("PING\r\n", refused),
        stays("MULTI\r\n", refused),
        stays("CLIENT ID\r\n", refused),
        stays("RESET\r\n", "+RESET\r\n"),
        stays("nosuch\r\n", "-ERR unknown command 'nosuch', with args beginning with: \r\n"),
        stays("GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n"),
        stays("AUTH wrong\r\n", wrong),
        stays("AUTH nobody secret\r\n", wrong),
        stays("AUTH a b c\r\n", "-ERR syntax error\r\n"),
        stays("HELLO 4\r\n", "-NOPROTO unsupported protocol version\r\n"),
        stays("HELLO 3 AUTH default wrong\r\n", wrong),
        stays("AUTH secret\r\nPING\r\n", "+OK\r\n+PONG\r\n"),
        stays(
            "AUTH default secret\r\nRESET\r\nPING\r\n",
            "+OK\r\n+RESET\r\n-NOAUTH Authentication required.\r\n",
        ),
        // What authenticates comes in the same packet as what only the authenticated may send.
        stays(
            b"AUTH secret\r\n*12\r\n$6\r\nEXISTS\r\n"
                .iter()
                .copied()
                .chain(b"$1\r\nk\r\n".repeat(11))
                .collect::<Vec<u8>>(),
            "+OK\r\n:0\r\n",
        ),
        stays(
            many("AUTH secret\r\n*2\r\n$6\r\nEXISTS\r\n$20000\r\n", b'x', 20_002),
            "+OK\r\n:0\r\n",
        ),
        closes(
            "AUTH wrong\r\n*11\r\n",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n-ERR Protocol error: unauthenticated multibulk length\r\n",
        ),
        closes("QUIT\r\n", "+OK\r\n"),
        closes("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"),
        closes("*1\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"),
    ]
}

/// Something that answers the same before and after authentication, and nothing else does.
const SENTINEL: &str = "sentinel-command\r\n";
const SENTINEL_ANSWER: &[u8] =
    b"-ERR unknown command 'sentinel-command', with args beginning with: \r\n";

fn run_case(server: &Server, case: &Case) -> (Vec<u8>, bool) {
    let mut client = server.client();
    client.set_read_timeout(Duration::from_secs(60)).expect("a timeout");
    // The server may close before all is sent.
    let _ = client.send_raw(&case.sent);
    if case.closes {
        return match client.read_to_close() {
            Ok(answer) => (answer, true),
            Err(error) => (error.to_string().into_bytes(), false),
        };
    }
    let _ = client.send_raw(SENTINEL.as_bytes());
    let mut answer = Vec::new();
    loop {
        match client.read_raw() {
            Ok(raw) if raw == SENTINEL_ANSWER => return (answer, false),
            Ok(raw) => answer.extend(raw),
            Err(error) => return (error.to_string().into_bytes(), true),
        }
    }
}

fn run_cases(cases: &[Case], arguments: &[&str]) {
    let mut wrong = Vec::new();
    for kind in server::kinds("that protocol errors are Redis's") {
        let server = Server::start(kind, arguments);
        for case in cases {
            let (answer, closed) = run_case(&server, case);
            if answer != case.answer.as_bytes() || closed != case.closes {
                wrong.push(format!(
                    "{kind:?}: {}\n  expected {:?}, closed: {}\n  got      {:?}, closed: {closed}",
                    case.sent[..case.sent.len().min(80)].escape_ascii(),
                    case.answer,
                    case.closes,
                    String::from_utf8_lossy(&answer),
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn framing() {
    run_cases(&framing_cases(), &[]);
}

#[test]
fn inline_requests() {
    run_cases(&inline_cases(), &[]);
}

#[test]
fn before_authentication() {
    run_cases(&unauthenticated_cases(), &["--requirepass", "secret"]);
}

#[test]
fn the_limit_of_bulks_is_configurable() {
    let cases = [
        closes("*1\r\n$1048577\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        stays(
            "SETRANGE k 1048576 x\r\n",
            "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
        ),
    ];
    run_cases(&cases, &["--proto-max-bulk-len", "1mb"]);
}

/// Requests of all forms, one after the other.
fn mixed_requests() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, &["FLUSHALL"]);
    encode(&mut bytes, &[&b"SET"[..], b"a\r\nb", b"\r\n$3\r\n*1\r\n"]);
    bytes.extend_from_slice(b"GET \"a\\r\\nb\"\r\n");
    bytes.extend_from_slice(b"*0\r\n\r\nPING 'in line'\n");
    encode(&mut bytes, &["INCRBY", "n", "-42"]);
    encode(&mut bytes, &["NOSUCH", ""]);
    encode(&mut bytes, &["MGET", "n", "", "a\r\nb"]);
    encode(&mut bytes, &["ECHO", "the end"]);
    bytes
}

/// Reads until the reply of the last of [`mixed_requests`].
fn read_mixed(client: &mut Client) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let raw = client.read_raw().expect("a reply");
        all.extend_from_slice(&raw);
        if raw == b"$7\r\nthe end\r\n" {
            return all;
        }
    }
}

#[test]
fn a_request_may_be_cut_anywhere() {
    for kind in server::kinds("that requests may be cut as with Redis") {
        let server = Server::start(kind, &[]);
        let bytes = mixed_requests();
        let mut whole = server.client();
        whole.send_raw(&bytes).expect("sent");
        let expected = read_mixed(&mut whole);
        let mut client = server.client();
        // Between the two parts another connection's round trip gives the server time to see the first alone.
        let mut other = server.client();
        for cut in 1..bytes.len() {
            client.send_raw(&bytes[..cut]).expect("sent");
            other.roundtrip(&["PING"]).expect("a reply");
            client.send_raw(&bytes[cut..]).expect("sent");
            let got = read_mixed(&mut client);
            assert_eq!(
                got.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{kind:?}, cut at {cut}"
            );
        }
        for byte in &bytes {
            client.send_raw(std::slice::from_ref(byte)).expect("sent");
            other.roundtrip(&["PING"]).expect("a reply");
        }
        assert_eq!(read_mixed(&mut client), expected, "{kind:?}, byte by byte");
    }
}

#[test]
fn a_long_pipeline_is_answered_in_order() {
    const REQUESTS: usize = 10_000;
    let server = Server::start(Kind::Respire, &[]);
    let mut client = server.client();
    let mut bytes = Vec::new();
    for i in 0..REQUESTS {
        match i % 3 {
            0 => encode(&mut bytes, &["ECHO", &i.to_string()]),
            1 => encode(&mut bytes, &["SET", &format!("k{}", i % 100), &i.to_string()]),
            // The key that the request before has set.
            _ => encode(&mut bytes, &["GET", &format!("k{}", (i - 1) % 100)]),
        }
    }
    let mut writer = client.writer().expect("a second handle");
    let sender = thread::spawn(move || writer.write_all(&bytes));
    for i in 0..REQUESTS {
        let expected = match i % 3 {
            0 => Value::Bulk(i.to_string().into_bytes()),
            1 => Value::Simple(b"OK".to_vec()),
            _ => Value::Bulk((i - 1).to_string().into_bytes()),
        };
        assert_eq!(client.read().expect("a reply"), expected, "request {i}");
    }
    sender.join().expect("the sender").expect("all sent");
}

#[test]
fn large_values_come_back_as_they_were() {
    let server = Server::start(Kind::Respire, &[]);
    let mut client = server.client();
    // Around the sizes of buffers, and ten megabytes.
    let sizes =
        [16_383, 16_384, 32_767, 32_769, 65_535, 65_536, 65_537, 131_072, 1_048_577, 10_485_760];
    for size in sizes {
        let value: Vec<u8> = (0..size).map(|i: usize| (i.wrapping_mul(31) >> 3) as u8).collect();
        let set = client.roundtrip(&[b"SET", &b"large"[..], &value]).expect("a reply");
        assert_eq!(set, Value::Simple(b"OK".to_vec()), "{size} bytes");
        // Requests behind a large one in the same pipeline.
        let mut bytes = Vec::new();
        encode(&mut bytes, &[b"APPEND", &b"large"[..], &value]);
        encode(&mut bytes, &["GETRANGE", "large", "0", &(size - 1).to_string()]);
        encode(&mut bytes, &["STRLEN", "large"]);
        client.send_raw(&bytes).expect("sent");
        assert_eq!(client.read().expect("a reply"), Value::Integer(2 * size as i64));
        // Not `assert_eq`: nobody wants to see ten megabytes.
        assert!(
            client.read().expect("a reply") == Value::Bulk(value),
            "{size} bytes changed on their way"
        );
        assert_eq!(client.read().expect("a reply"), Value::Integer(2 * size as i64));
    }
}

/// A field of INFO as a number.
fn info(client: &mut Client, section: &str, field: &str) -> i64 {
    let reply = client.roundtrip(&["INFO", section]).expect("a reply");
    let text = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
    let prefix = format!("{field}:");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap_or_else(|| panic!("{field} in\n{text}"));
    line.trim().parse().expect("a number")
}

/// Waits until only `count` clients are connected.
fn wait_clients(client: &mut Client, count: i64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while info(client, "clients", "connected_clients") != count {
        assert!(Instant::now() < deadline, "clients that are gone still count as connected");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn clients_that_die_in_a_request_leave_nothing_behind() {
    let server = Server::start(Kind::Respire, &[]);
    let mut client = server.client();
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nonly a part of it";
    for cut in 0..request.len() {
        let mut dying = server.client();
        dying.send_raw(&request[..cut]).expect("sent");
    }
    // These have replies under way that nobody reads.
    for _ in 0..20 {
        let mut dying = server.client();
        let mut bytes = Vec::new();
        for _ in 0..1000 {
            encode(&mut bytes, &["ECHO", "x"]);
        }
        let _ = dying.send_raw(&bytes);
    }
    wait_clients(&mut client, 1);
    assert_eq!(client.roundtrip(&["EXISTS", "k"]).expect("a reply"), Value::Integer(0));
}

#[test]
fn a_closed_half_still_gets_its_replies() {
    for kind in server::kinds("that half-closed connections are answered as by Redis") {
        let server = Server::start(kind, &[]);
        let mut client = server.client();
        client.send_raw(b"PING\r\nECHO a\r\n").expect("sent");
        assert_eq!(client.read_raw().expect("a reply"), b"+PONG\r\n");
        assert_eq!(client.read_raw().expect("a reply"), b"$1\r\na\r\n");
        client.writer().expect("a second handle").shutdown(Shutdown::Write).expect("half closed");
        assert_eq!(client.read_to_close().expect("closed"), b"", "{kind:?}");
    }
}

#[test]
fn a_slow_reader_holds_nobody_up() {
    let server = Server::start(Kind::Respire, &[]);
    let mut others: Vec<Client> = (0..4).map(|_| server.client()).collect();
    let value = vec![b'v'; 1 << 20];
    others[0].roundtrip(&[b"SET", &b"large"[..], &value]).expect("a reply");
    let mut slow = server.client();
    let mut bytes = Vec::new();
    for _ in 0..32 {
        encode(&mut bytes, &["GET", "large"]);
    }
    slow.send_raw(&bytes).expect("sent");
    for round in 0..200 {
        for other in &mut others {
            let echo = other.roundtrip(&["ECHO", &round.to_string()]).expect("a reply");
            assert_eq!(echo, Value::Bulk(round.to_string().into_bytes()));
        }
    }
    // And the slow one gets all of it in the end.
    for _ in 0..32 {
        assert!(slow.read().expect("a reply") == Value::Bulk(value.clone()));
    }
}

#[test]
fn the_output_limit_closes_a_client_that_reads_nothing() {
    for kind in server::kinds("that output limits act as in Redis") {
        let server = Server::start(kind, &["--client-output-buffer-limit", "normal 4mb 0 0"]);
        let mut client = server.client();
        client.roundtrip(&[b"SET", &b"large"[..], &vec![b'v'; 1 << 20]]).expect("a reply");
        let mut greedy = server.client();
        // It is among the clients before it is waited for not to be.
        greedy.roundtrip(&["PING"]).expect("a reply");
        let mut bytes = Vec::new();
        for _ in 0..64 {
            encode(&mut bytes, &["GET", "large"]);
        }
        greedy.send_raw(&bytes).expect("sent");
        wait_clients(&mut client, 1);
        let got = greedy.read_to_close().expect("closed");
        assert!(got.len() < 64 << 20, "{kind:?}: all of it came: {} bytes", got.len());
    }
}

#[test]
fn the_query_limit_closes_a_client_that_sends_too_much() {
    for kind in server::kinds("that query limits act as in Redis") {
        let server = Server::start(kind, &["--client-query-buffer-limit", "1mb"]);
        let mut greedy = server.client();
        let mut bytes = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n".to_vec();
        bytes.resize(4_000_000, b'v');
        let _ = greedy.send_raw(&bytes);
        assert_eq!(greedy.read_to_close().expect("closed"), b"", "{kind:?}");
        assert_eq!(
            server.client().roundtrip(&["EXISTS", "k"]).expect("a reply"),
            Value::Integer(0)
        );
    }
}

#[test]
fn the_query_limit_is_about_what_has_arrived_not_what_is_announced() {
    for kind in server::kinds("that query limits act as in Redis") {
        let server = Server::start(kind, &["--client-query-buffer-limit", "1mb"]);
        let mut slow = server.client();
        let mut bytes = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n".to_vec();
        bytes.resize(500_000, b'v');
        slow.send_raw(&bytes).expect("sent");
        let mut other = server.client();
        let arrived = |other: &mut Client| {
            let list = other.roundtrip(&["CLIENT", "LIST"]).expect("a reply");
            let list = String::from_utf8_lossy(list.text().expect("a text")).into_owned();
            let of = |line: &str| -> usize {
                let field = line.split(' ').find_map(|field| field.strip_prefix("qbuf="));
                field.expect("the field").parse().expect("a number")
            };
            assert_eq!(list.lines().count(), 2, "{kind:?}: it was closed too early");
            list.lines().map(of).max()
        };
        while arrived(&mut other) < Some(490_000) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = slow.send_raw(&bytes);
        let _ = slow.send_raw(&bytes);
        assert_eq!(slow.read_to_close().expect("closed"), b"", "{kind:?}");
    }
}

#[test]
fn too_many_clients_are_told_so() {
    for kind in server::kinds("that maxclients acts as in Redis") {
        let server = Server::start(kind, &["--maxclients", "5"]);
        let mut first = server.client();
        wait_clients(&mut first, 1);
        let mut held = Vec::new();
        for _ in 0..4 {
            let mut client = server.client();
            assert_eq!(client.roundtrip_raw(&[b"PING"]).expect("a reply"), b"+PONG\r\n");
            held.push(client);
        }
        let refused = server.client().read_to_close().expect("closed");
        assert_eq!(refused, b"-ERR max number of clients reached\r\n", "{kind:?}");
        held.pop();
        wait_clients(&mut first, 4);
        assert_eq!(
            server.client().roundtrip_raw(&[b"PING"]).expect("a reply"),
            b"+PONG\r\n",
            "{kind:?}"
        );
    }
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    for kind in server::kinds("that the timeout acts as in Redis") {
        let server = Server::start(kind, &["--timeout", "1"]);
        let mut idle = server.client();
        assert_eq!(idle.read_to_close().expect("closed"), b"", "{kind:?}");
    }
}

#[test]
fn a_unix_socket_serves_the_same_keys() {
    for kind in server::kinds("that Unix sockets act as in Redis") {
        let server =
            Server::start(kind, &["--unixsocket", "respire.sock", "--unixsocketperm", "700"]);
        server.client().roundtrip(&["SET", "k", "v"]).expect("a reply");
        let mut socket =
            UnixStream::connect(server.directory().join("respire.sock")).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        socket.write_all(b"GET k\r\nQUIT\r\n").expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("closed");
        assert_eq!(answer, "$1\r\nv\r\n+OK\r\n", "{kind:?}");
    }
}

/// A reply that is longer than a client may have waiting is not sent at all, and one without end is not made.
#[test]
fn a_reply_beyond_the_output_limit_closes_the_client() {
    let limit = ["--client-output-buffer-limit", "normal 100000 0 0"];
    let server = Server::start(Kind::Respire, &limit);
    let mut other = server.client();
    let item = "x".repeat(1000);
    for _ in 0..150 {
        other.roundtrip(&["LPUSH", "list", &item]).expect("a reply");
    }
    other.roundtrip(&["HSET", "hash", "a", "b"]).expect("a reply");
    other.roundtrip(&["SADD", "set", "a"]).expect("a reply");
    other.roundtrip(&["ZADD", "sorted", "1", "a"]).expect("a reply");
    for request in [
        &["LRANGE", "list", "0", "-1"][..],
        &["HRANDFIELD", "hash", "-999999999"],
        &["SRANDMEMBER", "set", "-999999999"],
        &["ZRANDMEMBER", "sorted", "-999999999", "WITHSCORES"],
    ] {
        let mut client = server.client();
        client.send(request).expect("it is sent");
        let answer = client.read_to_close().expect("it is closed");
        assert!(answer.is_empty(), "{request:?}: {} bytes", answer.len());
    }
    // A transaction is executed all the same.
    let mut client = server.client();
    for request in [&["MULTI"][..], &["LRANGE", "list", "0", "-1"], &["SET", "k", "v"], &["EXEC"]] {
        client.send(request).expect("it is sent");
    }
    client.read_to_close().expect("it is closed");
    assert_eq!(other.roundtrip(&["GET", "k"]).expect("a reply").text(), Some(&b"v"[..]));
    let info = other.roundtrip(&["INFO", "stats"]).expect("a reply");
    let info = String::from_utf8_lossy(info.text().expect("a text")).into_owned();
    assert!(info.contains("client_output_buffer_limit_disconnections:5"), "{info}");
    // What fits is answered, whatever came before.
    assert!(other.roundtrip(&["LRANGE", "list", "0", "98"]).expect("a reply").elements().is_some());
}

/// What follows a request that waits is read when it has ended, word for word as it was sent.
#[test]
fn requests_behind_one_that_waits_are_as_they_were_sent() {
    for kind in server::kinds("what becomes of requests behind one that waits") {
        let server = Server::start(kind, &[]);
        let mut other = server.client();
        let behind =
            b"SET \"a b\" 'x y'\r\n\r\n  '*1' \"\\x41\\n\"\r\n*2\r\n$3\r\nGET\r\n$3\r\na b\r\n\
                       ECHO \"it's\"\r\nECHO \"open\r\n";
        let answer = b"+OK\r\n-ERR unknown command '*1', with args beginning with: 'A ' \r\n\
                       $3\r\nx y\r\n$4\r\nit's\r\n-ERR Protocol error: unbalanced quotes in request\r\n";
        for waits in [&b"BLPOP \"the queue\" 0\r\n"[..], b"INCR n\r\n"] {
            let pauses = waits.starts_with(b"INCR");
            let mut client = server.client();
            if pauses {
                other.roundtrip(&["CLIENT", "PAUSE", "100000", "WRITE"]).expect("a reply");
            }
            client.send_raw(&[waits, behind].concat()).expect("it is sent");
            wait_until("it waits", Duration::from_secs(60), || {
                field(&server, "blocked_clients") == "1"
            });
            let first = if pauses {
                other.roundtrip(&["CLIENT", "UNPAUSE"]).expect("a reply");
                &b":1\r\n"[..]
            } else {
                other.roundtrip(&["RPUSH", "the queue", "x"]).expect("a reply");
                b"*2\r\n$9\r\nthe queue\r\n$1\r\nx\r\n"
            };
            let got = client.read_to_close().expect("an end");
            let wanted = [first, answer].concat();
            assert_eq!(
                got.escape_ascii().to_string(),
                wanted.escape_ascii().to_string(),
                "{kind:?}"
            );
        }
    }
}
