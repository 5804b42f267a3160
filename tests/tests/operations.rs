//! What those who run the server rely on: reports of crashes, supervisors, the background, logs for machines, health checks,
//! the configuration file that comes with it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use respire_tests::server::{Directory, free_port};
use respire_tests::{Client, Kind, Server, Value, server};

const PATIENCE: Duration = Duration::from_secs(60);

const SEGV: i32 = 11;
const ABRT: i32 = 6;

/// Starts a server, crashes it, and returns its log, when it has ended by `signal`.
fn crashed(extra: &[&str], signal: i32, crash: impl FnOnce(&Server)) -> String {
    let mut server = Server::start(Kind::Respire, extra);
    crash(&server);
    let ended = server.wait_exit(PATIENCE).expect("it ends");
    assert_eq!(ended.signal(), Some(signal), "{ended}: {}", server.log());
    server.log()
}

fn send(server: &Server, words: &[&str]) {
    let mut client = server.client();
    client.send(words).expect("sent");
    assert_eq!(client.read_to_close().expect("closed"), b"");
}

#[test]
fn a_crash_leaves_a_report_with_the_functions_that_led_to_it() {
    for (word, signal, said) in
        [("SEGFAULT", SEGV, "crashed by signal: 11"), ("PANIC", ABRT, "DEBUG PANIC asked for it")]
    {
        let log = crashed(&[], signal, |server| send(server, &["DEBUG", word]));
        for part in [
            "RESPIRE BUG REPORT START",
            said,
            "BACKTRACE OF THREAD respire-io-",
            "commands/debug.rs",
            "used_memory_rss:",
            "RESPIRE BUG REPORT END",
        ] {
            assert_eq!(log.matches(part).count().min(1), 1, "{word}: no {part} in {log}");
        }
        assert_eq!(log.matches("BUG REPORT START").count(), 1, "{word}: {log}");
    }
    // From outside, on whatever thread it hits.
    let log = crashed(&[], SEGV, |server| {
        let status = Command::new("kill").args(["-SEGV", &server.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    });
    assert!(log.contains("RESPIRE BUG REPORT END"), "{log}");
}

#[test]
fn crash_log_enabled_no_leaves_no_report_but_ends_the_same() {
    for (word, signal) in [("SEGFAULT", SEGV), ("PANIC", ABRT)] {
        let log = crashed(&["--crash-log-enabled", "no"], signal, |server| {
            send(server, &["DEBUG", word]);
        });
        assert!(!log.contains("BUG REPORT"), "{word}: {log}");
    }
    let log = crashed(&[], SEGV, |server| {
        let mut client = server.client();
        client.roundtrip(&["CONFIG", "SET", "crash-log-enabled", "no"]).expect("a reply");
        send(server, &["DEBUG", "SEGFAULT"]);
    });
    assert!(!log.contains("BUG REPORT"), "{log}");
}

#[test]
fn a_crash_shows_what_all_threads_were_doing() {
    let log = crashed(&["--io-threads", "3"], ABRT, |server| {
        let status = Command::new("kill").args(["-ABRT", &server.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    });
    for thread in ["io-0", "io-1", "io-2", "main", "free"] {
        let (own, other) = (
            format!("BACKTRACE OF THREAD respire-{thread} "),
            format!("STACK OF THREAD respire-{thread} ("),
        );
        assert!(log.contains(&own) || log.contains(&other), "{thread}: {log}");
    }
    assert!(log.contains("RESPIRE BUG REPORT END"), "{log}");
}

#[test]
fn what_a_panic_quotes_is_hidden_where_that_is_asked_for() {
    let log = crashed(&["--hide-user-data-from-log", "yes"], ABRT, |server| {
        send(server, &["DEBUG", "PANIC"]);
    });
    assert!(log.contains("debug.rs") && log.contains("*redacted*"), "{log}");
    assert!(!log.contains("DEBUG PANIC asked for it"), "{log}");
}

#[test]
fn codes_of_errors_are_listed_unless_they_are_to_be_hidden() {
    let server = Server::start(Kind::Respire, &[]);
    let mut client = server.client();
    let make_up = |client: &mut Client, round: u32| {
        client.roundtrip(&["CONFIG", "RESETSTAT"]).expect("a reply");
        for number in 0..=128 {
            let script = format!("return redis.error_reply('SECRET{round}X{number} of a script')");
            let reply = client.roundtrip(&["EVAL", &script, "0"]).expect("a reply");
            assert!(reply.is_error(), "{reply:?}");
        }
    };
    make_up(&mut client, 1);
    assert!(server.log().contains("SECRET1X5"), "{}", server.log());
    client.roundtrip(&["CONFIG", "SET", "hide-user-data-from-log", "yes"]).expect("a reply");
    make_up(&mut client, 2);
    let log = server.log();
    assert_eq!(log.matches("Errorstats stopped adding new errors").count(), 2, "{log}");
    assert!(!log.contains("SECRET2"), "{log}");
}

#[test]
fn sigalrm_has_all_threads_shown_and_changes_nothing() {
    let server = Server::start(Kind::Respire, &["--io-threads", "2"]);
    // A server that has only just begun to serve may not have got so far.
    wait("the handler", || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid()));
        let status = status.expect("it runs");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.map(|mask| u64::from_str_radix(mask.trim(), 16).expect("a mask"));
        caught.expect("the line") & (1 << 13) != 0
    });
    let status = Command::new("kill").args(["-ALRM", &server.pid().to_string()]).status();
    assert!(status.expect("kill runs").success());
    wait("the stacks", || server.log().contains("STACK OF THREAD respire-save ("));
    let log = server.log();
    assert!(log.contains("Received SIGALRM"), "{log}");
    for thread in ["io-0", "io-1", "main"] {
        assert!(log.contains(&format!("STACK OF THREAD respire-{thread} (")), "{thread}: {log}");
    }
    assert!(log.contains("event_loop.rs"), "it is said where they are: {log}");
    let mut client = server.client();
    assert_eq!(client.roundtrip(&["PING"]).expect("a reply").text(), Some(&b"PONG"[..]));
}

#[test]
fn the_watchdog_tells_once_of_a_loop_that_hangs() {
    const EXPIRED: &str = "WATCHDOG TIMER EXPIRED";
    let server = Server::start(Kind::Respire, &["--io-threads", "1"]);
    let mut client = server.client();
    let mut other = server.client();
    let hang = |client: &mut Client| {
        let reply = client.roundtrip(&["DEBUG", "SLEEP", "2"]).expect("a reply");
        assert_eq!(reply.text(), Some(&b"OK"[..]));
    };
    hang(&mut client);
    assert!(!server.log().contains(EXPIRED), "nobody has asked for it");
    client.roundtrip(&["CONFIG", "SET", "watchdog-period", "200"]).expect("a reply");
    hang(&mut client);
    wait("the watchdog", || server.log().contains(EXPIRED));
    let log = server.log();
    assert_eq!(log.matches(EXPIRED).count(), 1, "{log}");
    let (_, shown) = log.split_once(EXPIRED).expect("just seen");
    assert!(shown.contains("commands/debug.rs") || shown.contains("debug::sleep"), "{log}");
    client.roundtrip(&["CONFIG", "SET", "watchdog-period", "0"]).expect("a reply");
    hang(&mut client);
    assert_eq!(server.log().matches(EXPIRED).count(), 1, "{}", server.log());
    assert_eq!(other.roundtrip(&["PING"]).expect("a reply").text(), Some(&b"PONG"[..]));
}

/// Runs the server under test until its directory is gone with the test.
fn command(directory: &Directory, port: u16) -> Command {
    let mut command = Command::new(server::subject());
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn ping(port: u16) -> bool {
    let ping = Command::new(server::subject())
        .args(["ping", "-p", &port.to_string()])
        .output()
        .expect("it runs");
    ping.status.success()
}

/// Waits until `done` says so.
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn systemd_is_told_of_the_start_and_the_end() {
    let directory = Directory::new("systemd");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let told = || {
        let mut text = [0; 256];
        let len = socket.recv(&mut text).expect("a message in time");
        String::from_utf8_lossy(&text[..len]).into_owned()
    };
    let port = free_port();
    let mut server = command(&directory, port)
        .args(["--supervised", "systemd", "--daemonize", "yes"])
        .env("NOTIFY_SOCKET", &path)
        .spawn()
        .expect("it runs");
    assert_eq!(told(), "STATUS=Loading the data");
    assert!(told().starts_with("READY=1\n"));
    // Under a supervisor it stays in the foreground: the process that was started is the server.
    assert!(ping(port));
    let status = Command::new("kill").arg(server.id().to_string()).status().expect("kill runs");
    assert!(status.success());
    assert!(told().starts_with("STOPPING=1\n"));
    assert!(server.wait().expect("it ends").success());
}

fn id_in(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[test]
fn daemonize_leaves_a_server_in_the_background() {
    let directory = Directory::new("daemon");
    let (pidfile, port) = (directory.path().join("pid"), free_port());
    let mut parent = command(&directory, port)
        .args(["--daemonize", "yes", "--logfile", "log", "--pidfile"])
        .arg(&pidfile)
        .spawn()
        .expect("it runs");
    assert!(parent.wait().expect("it ends").success());
    wait("the file of the process id", || id_in(&pidfile).is_some());
    let id = id_in(&pidfile).expect("just seen");
    assert_ne!(id, parent.id());
    wait("the server", || ping(port));
    // It leads a session of its own: no terminal's end ends it. The fields behind the name: state, parent, group, session.
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("a process");
    let session =
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3)).map(str::to_owned);
    assert_eq!(session, Some(id.to_string()), "{stat}");
    let status = Command::new("kill").arg(id.to_string()).status().expect("kill runs");
    assert!(status.success());
    wait("the end", || !pidfile.exists());
    wait("the end of the port", || !ping(port));
}

#[test]
fn a_json_log_is_one_object_a_line() {
    let server = Server::start(Kind::Respire, &["--log-format", "json"]);
    // Commands are served a moment before the log says so.
    wait("the start", || server.log().contains("Ready to accept connections"));
    let mut client = server.client();
    client.roundtrip(&["DEBUG", "LOG", "a \"quoted\" word"]).expect("a reply");
    let log = server.log();
    for line in log.lines() {
        assert!(line.starts_with("{\"time\":\"2") && line.ends_with("\"}"), "{line}");
    }
    assert!(log.contains(r#""message":"DEBUG LOG: a \"quoted\" word"}"#), "{log}");
    assert!(log.contains(r#""message":"Ready to accept connections"}"#), "{log}");
}

#[test]
fn ping_tells_who_serves() {
    assert!(!ping(free_port()));
    let server = Server::start(Kind::Respire, &["--requirepass", "secret"]);
    // To want a password is to serve.
    assert!(ping(server.port()));
}

#[test]
fn the_configuration_file_that_comes_with_it_starts_a_server() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../respire.conf");
    let server = Server::start_configured(Kind::Respire, Some(&file), &[]);
    let log = server.log();
    assert!(log.contains("Configuration loaded from") && !log.contains("WARNING"), "{log}");
}

/// The arguments of a process, as `ps` shows them.
fn arguments(server: &Server) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{}/cmdline", server.pid())).expect("it runs");
    bytes.split(|b| *b == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// Its title, if it has one: what is behind is room.
fn title(server: &Server) -> String {
    arguments(server).swap_remove(0)
}

#[test]
fn the_process_has_the_title_that_is_asked_for() {
    for kind in server::kinds("what title the process has") {
        let template = "{title} = {port} {tls-port}{{x {listen-addr}{unixsocket} {server-mode}";
        let server = Server::start(kind, &["--proc-title-template", template]);
        let (mut client, port) = (server.client(), server.port());
        let shown = title(&server);
        let (program, rest) = shown.split_once(" = ").expect("both parts");
        assert!(program.ends_with("respire") || program.ends_with("redis-server"), "{shown}");
        assert_eq!(rest, format!("{port} 0{{x 127.0.0.1:{port}"), "{kind:?}");
        let mut set = |template: &str| {
            let request = ["CONFIG", "SET", "proc-title-template", template];
            client.roundtrip(&request).expect("a reply")
        };
        // Longer than all arguments, and shorter again.
        let long = "as long as it gets, ".repeat(20);
        for (template, wanted) in
            [(long.as_str(), long.trim_end()), ("x {port}", &format!("x {port}"))]
        {
            assert_eq!(set(template), Value::Simple(b"OK".to_vec()));
            let shown = title(&server);
            assert!(!shown.is_empty() && wanted.starts_with(&shown), "{kind:?}: {shown:?}");
        }
        assert_eq!(title(&server), format!("x {port}"));
        assert!(matches!(set("{nosuch}"), Value::Error(_)));
        drop(server);
        let plain = Server::start(kind, &["--set-proc-title", "no"]);
        assert!(arguments(&plain).ends_with(&["--set-proc-title".into(), "no".into(), "".into()]));
    }
}
