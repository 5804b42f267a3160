//! `metrics-port`: what is answered over HTTP, to those who ask well and to those who do not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use respire_tests::server::{Directory, free_port};
use respire_tests::{Kind, Server};

/// Sends bytes to the port of the figures; returns all that comes back.
fn send(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    // What is too long is not read to its end.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // A connection that is closed with something unread is reset.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

fn get(port: u16, path: &str) -> String {
    send(port, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
}

fn start(port: u16, options: &[&str]) -> Server {
    let port = port.to_string();
    Server::start(Kind::Respire, &[&["--metrics-port", &port], options].concat())
}

#[test]
fn every_path_has_its_answer() {
    let port = free_port();
    let _server = start(port, &[]);
    let metrics = get(port, "/metrics?name=x");
    let (head, body) = metrics.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    assert!(body.contains("\nrespire_uptime_in_seconds ") && body.ends_with("# EOF\n"));
    for path in ["/healthz", "/readyz"] {
        assert!(get(port, path).ends_with("\r\n\r\nok\n"), "{path}");
    }
    assert!(get(port, "/").starts_with("HTTP/1.1 404 "));
    let head = send(port, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(send(port, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(send(port, b"\x16\x03\x01\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert_eq!(send(port, &[b'x'; 100_000]), "", "what never ends is not answered");
}

/// Whoever connects and is silent keeps the others waiting for two seconds, not for ever.
#[test]
fn the_silent_are_left() {
    let port = free_port();
    let _server = start(port, &[]);
    let silent: Vec<TcpStream> =
        (0..2).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("a connection")).collect();
    assert!(get(port, "/healthz").ends_with("ok\n"));
    drop(silent);
}

#[test]
fn a_port_that_is_taken_stops_the_start() {
    let port = free_port();
    let _server = start(port, &[]);
    let directory = Directory::new("taken");
    let options = ["--metrics-port", &port.to_string()];
    let refused = Server::try_start_in(Kind::Respire, &directory, &options);
    let Err(why) = refused else { panic!("it starts without the port") };
    assert!(why.contains(&format!("Can't serve figures on 127.0.0.1:{port}")), "{why}");
}
