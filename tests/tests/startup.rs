//! What the command line and the configuration do to a process: `--version`, notices, renamed commands, the file of
//! the process id, listeners that move.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use respire_tests::ask::wait_until;
use respire_tests::{Client, Kind, Server, Value, server};

const PATIENCE: Duration = Duration::from_secs(60);

fn text(value: Value) -> String {
    format!("{value:?}")
}

#[test]
fn help_and_version_are_printed() {
    for (arg, part) in [("--version", "Respire server v="), ("-h", "Usage: respire")] {
        let output = Command::new(server::subject()).arg(arg).output().expect("it runs");
        assert!(output.status.success());
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(printed.contains(part), "{printed}");
    }
}

#[test]
fn the_log_tells_what_has_no_effect_and_who_runs() {
    let server = Server::start(
        Kind::Respire,
        &["--tls-replication", "yes", "--dynamic-hz", "no", "--rdb-del-sync-files", "yes"],
    );
    // Commands are served a moment before the log says so.
    wait_until("the start", PATIENCE, || server.log().contains("Ready to accept connections"));
    let log = server.log();
    for part in [
        "WARNING: 'tls-replication' IS CONFIGURED BUT NOT SUPPORTED".to_owned(),
        "mean nothing here: dynamic-hz".to_owned(),
        "no effect yet: rdb-del-sync-files".to_owned(),
        format!(" PID: {}\n", server.pid()),
        "Server initialized\n".to_owned(),
    ] {
        assert!(log.contains(&part), "{part:?} is not in {log}");
    }
    assert_eq!(log.matches("Ready to accept connections").count(), 1, "{log}");
    let info = text(server.client().roundtrip(&["INFO", "server"]).expect("a reply"));
    assert!(info.contains(&format!("process_id:{}", server.pid())), "{info}");
}

#[test]
fn the_process_id_is_in_a_file_until_the_end() {
    let directory = std::env::temp_dir().join(format!("respire-pid-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("respire.pid");
    let mut server =
        Server::start(Kind::Respire, &["--pidfile", path.to_str().expect("a path in UTF-8")]);
    assert_eq!(fs::read_to_string(&path).expect("the file"), format!("{}\n", server.pid()));
    server.client().send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    assert_eq!(server.wait_exit(PATIENCE).and_then(|status| status.code()), Some(0));
    assert!(!path.exists());
    fs::remove_dir_all(&directory).expect("the directory goes");
}

#[test]
fn renamed_commands_answer_to_their_new_names() {
    let file = std::env::temp_dir().join(format!("respire-rename-{}.conf", std::process::id()));
    fs::write(&file, "rename-command FLUSHALL \"\"\nrename-command GET fetch\n").expect("a file");
    let server = Server::start_configured(Kind::Respire, Some(&file), &[]);
    let mut client = server.client();
    client.roundtrip(&["SET", "k", "v"]).expect("a reply");
    assert!(text(client.roundtrip(&["FETCH", "k"]).expect("a reply")).contains('v'));
    for gone in ["GET", "FLUSHALL"] {
        let reply = text(client.roundtrip(&[gone]).expect("a reply"));
        assert!(reply.contains("unknown command"), "{reply}");
    }
    fs::write(&file, "hz 10\nrename-command NOSUCH x\n").expect("a file");
    let output = Command::new(server::subject()).arg(&file).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("at line 2") && error.contains("No such command"), "{error}");
    fs::remove_file(&file).expect("the file goes");
}

#[test]
fn listeners_move_while_it_runs() {
    let server = Server::start(Kind::Respire, &["--bind", "127.0.0.1"]);
    let other = Server::start(Kind::Respire, &["--bind", "127.0.0.1"]);
    let mut client = server.client();
    let taken = other.port().to_string();
    let refused = text(client.roundtrip(&["CONFIG", "SET", "port", &taken]).expect("a reply"));
    assert!(refused.contains("Unable to listen on this port"), "{refused}");
    let moved = SocketAddr::from(([127, 0, 0, 1], server::free_port()));
    // The old port is still served after the refusal, until the change that succeeds.
    let mut second = server.client();
    let port = moved.port().to_string();
    let set = text(second.roundtrip(&["CONFIG", "SET", "port", &port]).expect("a reply"));
    assert!(set.contains("OK"), "{set}");
    Client::connect(moved).expect("the new port").roundtrip(&["PING"]).expect("a reply");
    assert!(Client::connect(server.address()).is_err(), "the old port is closed");
    client.roundtrip(&["PING"]).expect("connections stay");
}

#[test]
fn a_port_in_use_and_a_missing_directory_stop_the_start() {
    let server = Server::start(Kind::Respire, &[]);
    for (args, part) in [
        (["--port", &server.port().to_string()], "Address already in use"),
        (["--dir", "/no/such/directory"], "Can't chdir to '/no/such/directory'"),
    ] {
        let output = Command::new(server::subject()).args(args).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(part), "{error}");
    }
}
