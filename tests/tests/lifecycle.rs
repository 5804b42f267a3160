//! How the server starts and ends: configuration files, mistakes in them, signals, SHUTDOWN.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use respire_tests::ask::wait_until;
use respire_tests::{Server, Value, outside, server};

/// A configuration file that is gone with the value.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let path =
            std::env::temp_dir().join(format!("respire-test-{}-{name}.conf", std::process::id()));
        fs::write(&path, text).expect("a configuration file");
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn signals_and_shutdown_end_it_cleanly() {
    for signal in ["-INT", "-TERM"] {
        for kind in server::kinds("that signals end the server as they do Redis") {
            let mut server = Server::start(kind, &[]);
            let mut client = server.client();
            client.roundtrip(&["SET", "k", "v"]).expect("a reply");
            let status = Command::new("kill")
                .args([signal, &server.pid().to_string()])
                .status()
                .expect("kill runs");
            assert!(status.success());
            let ended =
                server.wait_exit(PATIENCE).unwrap_or_else(|| panic!("{kind:?} ignores {signal}"));
            assert_eq!(ended.code(), Some(0), "{kind:?}, {signal}");
            assert_eq!(client.read_to_close().expect("closed"), b"");
        }
    }
    for kind in server::kinds("that SHUTDOWN ends the server as it does Redis") {
        let mut server = Server::start(kind, &[]);
        let mut client = server.client();
        client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
        assert_eq!(client.read_to_close().expect("closed"), b"", "{kind:?}");
        let ended =
            server.wait_exit(PATIENCE).unwrap_or_else(|| panic!("{kind:?} goes on after SHUTDOWN"));
        assert_eq!(ended.code(), Some(0), "{kind:?}");
    }
}

#[test]
fn it_says_when_it_is_ready() {
    for kind in server::kinds("that the log says what Redis's says") {
        let server = Server::start(kind, &[]);
        // Commands are served a moment before the log says so.
        wait_until("the line", PATIENCE, || server.log().contains("Ready to accept connections"));
    }
}

#[test]
fn a_file_is_read_and_arguments_win_over_it() {
    let text = "# a comment\n\ntimeout 100\nMaxMemory-Policy allkeys-lru\nrequirepass \"with space\"\nmaxmemory 100mb\n";
    let file = File::new("plain", text);
    for kind in server::kinds("that configuration files mean what they mean to Redis") {
        let server = Server::start_configured(kind, Some(&file.0), &["--timeout", "200"]);
        let mut client = server.client();
        let refused = client.roundtrip(&["PING"]).expect("a reply");
        assert!(refused.is_error(), "{kind:?} needs no password");
        client.roundtrip(&["AUTH", "with space"]).expect("a reply");
        for (name, expected) in
            [("timeout", "200"), ("maxmemory-policy", "allkeys-lru"), ("maxmemory", "104857600")]
        {
            let reply = client.roundtrip(&["CONFIG", "GET", name]).expect("a reply");
            let pair = [Value::Bulk(name.into()), Value::Bulk(expected.into())];
            assert_eq!(reply, Value::Array(pair.to_vec()), "{kind:?}");
        }
    }
}

/// The file that Debian's package installs: all sections, real comments, quotes.
#[test]
fn the_packaged_redis_conf_is_accepted() {
    let Ok(text) = fs::read_to_string("/etc/redis/redis.conf") else {
        if !outside::must_check() {
            outside::skip(
                "there is no readable /etc/redis/redis.conf",
                "that Debian's redis.conf is accepted",
            );
        }
        return;
    };
    // These would take it out of the test's hands, or write to the package's directories.
    let unwanted =
        ["daemonize", "logfile", "pidfile", "dir", "supervised", "port", "bind", "unixsocket"];
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !unwanted.contains(&line.split_whitespace().next().unwrap_or_default()))
        .collect();
    let file = File::new("packaged", &kept.join("\n"));
    for kind in server::kinds("that Redis accepts its own file") {
        let server = Server::start_configured(kind, Some(&file.0), &[]);
        assert_eq!(
            server.client().roundtrip_raw(&[b"PING"]).expect("a reply"),
            b"+PONG\r\n",
            "{kind:?}"
        );
    }
}

/// Runs the server under test with a file that must stop it.
fn refused(file: &Path) -> Output {
    let output =
        Command::new(server::subject()).arg(file).args(["--port", "0"]).output().expect("it runs");
    assert_ne!(output.status.code(), Some(0), "{} was accepted", file.display());
    output
}

#[test]
fn mistakes_stop_the_start_with_line_and_reason() {
    for (name, text, line, word) in [
        ("misspelt", "timeout 10\n\ntimeuot 20\n", 3, "timeuot"),
        ("not-a-number", "timeout abc\n", 1, "timeout"),
        ("too-few", "port 0\nrequirepass\n", 2, "requirepass"),
        ("not-a-policy", "maxmemory-policy newest-first\n", 1, "maxmemory-policy"),
        ("quotes", "requirepass \"open\n", 1, "requirepass"),
    ] {
        let file = File::new(name, text);
        let output = refused(&file.0);
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains(word), "{name}: {said}");
        assert!(
            said.contains(&format!("line {line}")) || said.contains(&format!(":{line}")),
            "{name}: {said}"
        );
    }
}

#[test]
fn a_rewritten_file_keeps_its_comments() {
    let file = File::new("rewritten", "# the first line\ntimeout 10\n# between\nmaxclients 100\n");
    for kind in server::kinds("that CONFIG REWRITE does what Redis's does") {
        fs::write(&file.0, "# the first line\ntimeout 10\n# between\nmaxclients 100\n")
            .expect("written");
        let mut server = Server::start_configured(kind, Some(&file.0), &[]);
        let mut client = server.client();
        client
            .roundtrip(&["CONFIG", "SET", "timeout", "77", "slowlog-max-len", "55"])
            .expect("a reply");
        assert_eq!(
            client.roundtrip_raw(&[b"CONFIG", b"REWRITE"]).expect("a reply"),
            b"+OK\r\n",
            "{kind:?}"
        );
        let text = fs::read_to_string(&file.0).expect("the file");
        let kept: Vec<&str> = text.lines().take(4).collect();
        let expected = ["# the first line", "timeout 77", "# between", "maxclients 100"];
        assert_eq!(kept, expected, "{kind:?}: {text}");
        assert!(text.lines().any(|line| line == "slowlog-max-len 55"), "{kind:?}: {text}");
        client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
        server.wait_exit(PATIENCE).expect("an end");
        // And it is a file to start from, while the directory that it now names is there.
        let again = Server::start_configured(kind, Some(&file.0), &[]);
        let reply = again.client().roundtrip(&["CONFIG", "GET", "timeout"]).expect("a reply");
        assert_eq!(reply.elements().expect("a pair")[1], Value::Bulk(b"77".to_vec()), "{kind:?}");
    }
}
