//! What becomes of saving and loading that takes long, when the server is to end or nobody wants the file any more.
//! `rdb-key-save-delay` and `key-load-delay` make them take long.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use respire_tests::ask::{ask, field, text, wait_until};
use respire_tests::server::{Directory, free_port, subject};
use respire_tests::{Client, Kind, Server, Value};

/// Ten seconds a key: what takes that long never ends here.
const FOREVER: &str = "10000000";
const PATIENCE: Duration = Duration::from_secs(60);

fn error(client: &mut Client, line: &str) -> String {
    match ask(client, line) {
        Value::Error(text) => String::from_utf8(text).unwrap(),
        other => panic!("{line}: {other:?}"),
    }
}

/// The names in the server's directory, and in that of its log, of files that are not finished.
fn unfinished(directory: &Directory) -> Vec<String> {
    let places = [directory.path().to_owned(), directory.path().join("appendonlydir")];
    let files = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("temp-")).collect()
}

fn signal(server: &Server, name: &str) {
    let killed = Command::new("kill").args([name, &server.pid().to_string()]).status();
    assert!(killed.unwrap().success());
}

/// A server with some keys, at which saving never ends.
fn slow(directory: &Directory, options: &[&str]) -> (Server, Client) {
    let server = Server::start_in(Kind::Respire, directory, options);
    let mut client = server.client();
    text(&mut client, "DEBUG POPULATE 100");
    text(&mut client, &format!("CONFIG SET rdb-key-save-delay {FOREVER}"));
    (server, client)
}

fn begin_save(server: &Server, client: &mut Client, directory: &Directory) {
    assert_eq!(text(client, "BGSAVE"), "Background saving started");
    wait_until("the file", PATIENCE, || !unfinished(directory).is_empty());
    assert_eq!(field(server, "rdb_bgsave_in_progress"), "1");
}

#[test]
fn shutdown_does_not_wait_for_a_snapshot() {
    let directory = Directory::new("shutdown-save");
    let (mut server, mut client) = slow(&directory, &[]);
    begin_save(&server, &mut client, &directory);
    client.send(&["SHUTDOWN", "NOSAVE"]).unwrap();
    let status = server.wait_exit(PATIENCE).expect("it ends");
    assert!(status.success());
    assert_eq!(unfinished(&directory), Vec::<String>::new());
    assert!(!directory.path().join("dump.rdb").exists());
}

#[test]
fn whoever_insists_by_a_second_signal_leaves_nothing_half_done() {
    let directory = Directory::new("insisting");
    let (mut server, _client) = slow(&directory, &["--save", "900 1"]);
    signal(&server, "-INT");
    wait_until("the file", PATIENCE, || !unfinished(&directory).is_empty());
    signal(&server, "-INT");
    let status = server.wait_exit(PATIENCE).expect("it ends");
    assert_eq!((status.code(), status.signal()), (Some(1), None));
    assert_eq!(unfinished(&directory), Vec::<String>::new());
}

#[test]
fn emptying_all_databases_ends_a_snapshot_and_begins_another() {
    let directory = Directory::new("flush-save");
    let (server, mut client) = slow(&directory, &["--save", "900 1000000"]);
    begin_save(&server, &mut client, &directory);
    text(&mut client, "FLUSHALL");
    wait_until("the end", PATIENCE, || field(&server, "rdb_bgsave_in_progress") == "0");
    // It has not failed, and the one of what there is now has come.
    assert_eq!(field(&server, "rdb_last_bgsave_status"), "ok");
    wait_until("a snapshot", PATIENCE, || field(&server, "rdb_saves") == "1");
    drop(server);
    let server = Server::start_in(Kind::Respire, &directory, &[]);
    assert_eq!(text(&mut server.client(), "DBSIZE"), "0");
}

#[test]
fn switching_the_log_off_ends_its_rewrite() {
    let directory = Directory::new("off-rewrite");
    let (server, mut client) = slow(&directory, &[]);
    // It has begun when the reply comes.
    text(&mut client, "CONFIG SET appendonly yes");
    assert_eq!(field(&server, "aof_rewrite_in_progress"), "1");
    assert!(error(&mut client, "BGREWRITEAOF").contains("already in progress"));
    text(&mut client, "CONFIG SET appendonly no");
    wait_until("the end", PATIENCE, || field(&server, "aof_rewrite_in_progress") == "0");
    assert_eq!(field(&server, "aof_last_bgrewrite_status"), "ok");
    let log = directory.path().join("appendonlydir");
    wait_until("nothing is left", PATIENCE, || fs::read_dir(&log).unwrap().count() == 0);
}

#[test]
fn a_server_does_not_end_before_the_first_base_of_its_log() {
    let directory = Directory::new("first-base");
    let (mut server, mut client) = slow(&directory, &[]);
    text(&mut client, "CONFIG SET appendonly yes");
    assert!(error(&mut client, "SHUTDOWN").contains("Errors trying to SHUTDOWN"));
    assert!(server.log().contains("Writing initial AOF, can't exit"));
    text(&mut client, "CONFIG SET shutdown-on-sigterm force");
    signal(&server, "-TERM");
    assert!(server.wait_exit(PATIENCE).expect("it ends").success());
}

#[test]
fn signals_do_what_the_directives_say() {
    for (options, name, is_saved) in [
        (["--save", "", "--shutdown-on-sigterm", "save"], "-TERM", true),
        (["--save", "900 1", "--shutdown-on-sigint", "nosave"], "-INT", false),
        (["--save", "900 1", "--shutdown-on-sigint", "nosave"], "-TERM", true),
    ] {
        let directory = Directory::new("signals");
        let mut server = Server::start_in(Kind::Respire, &directory, &options);
        text(&mut server.client(), "SET a 1");
        signal(&server, name);
        assert!(server.wait_exit(PATIENCE).expect("it ends").success());
        assert_eq!(directory.path().join("dump.rdb").exists(), is_saved, "{options:?} {name}");
    }
}

#[test]
fn a_shutdown_that_has_not_begun_can_be_aborted() {
    let server = Server::start(Kind::Respire, &[]);
    let mut client = server.client();
    text(&mut client, "DEBUG PAUSE-CRON 1");
    signal(&server, "-TERM");
    wait_until("the signal", PATIENCE, || server.log().contains("Received SIGTERM"));
    assert_eq!(text(&mut client, "SHUTDOWN ABORT"), "OK");
    text(&mut client, "DEBUG PAUSE-CRON 0");
    assert_eq!(error(&mut client, "SHUTDOWN ABORT"), "ERR No shutdown in progress.");
    assert_eq!(text(&mut client, "PING"), "PONG");
}

/// A server that never gets to the end of loading.
struct Loading {
    process: Child,
    address: SocketAddr,
}

impl Loading {
    fn start(directory: &Directory, options: &[&str]) -> Loading {
        let port = free_port();
        let process = Command::new(subject())
            .args(["--port", &port.to_string(), "--key-load-delay", FOREVER, "--dir"])
            .arg(directory.path())
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait_until("an answer", PATIENCE, || Client::connect(address).is_ok());
        Loading { process, address }
    }

    fn field(&self, name: &str) -> String {
        let info = text(&mut Client::connect(self.address).unwrap(), "INFO");
        let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("no field {name}")).to_owned()
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn loading_tells_how_far_it_is_and_ends_with_the_server() {
    for (options, files) in [(["--appendonly", "no"], "rdb"), (["--appendonly", "yes"], "log")] {
        let directory = Directory::new("slow-load");
        let server = Server::start_in(Kind::Respire, &directory, &options);
        let mut client = server.client();
        text(&mut client, "DEBUG POPULATE 3000 key 100");
        text(&mut client, if files == "rdb" { "SAVE" } else { "BGREWRITEAOF" });
        wait_until("the base", PATIENCE, || field(&server, "aof_rewrite_in_progress") == "0");
        text(&mut client, "SET one 1");
        server.crash();
        let mut loading = Loading::start(&directory, &options);
        assert_eq!(loading.field("loading"), "1", "{files}");
        assert_ne!(loading.field("loading_start_time"), "0");
        // How much there is to load is known when the file has been opened, a moment later.
        wait_until("its size", PATIENCE, || {
            loading.field("loading_total_bytes").parse::<u64>().unwrap() > 1000
        });
        let mut client = Client::connect(loading.address).unwrap();
        assert!(error(&mut client, "GET key:1").starts_with("LOADING"));
        let pid = loading.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        wait_until("the end", PATIENCE, || loading.process.try_wait().unwrap().is_some());
        assert!(loading.process.wait().unwrap().success(), "{files}");
        let server = Server::start_in(Kind::Respire, &directory, &options);
        let keys: u64 = text(&mut server.client(), "DBSIZE").parse().unwrap();
        assert!(keys >= 3000, "{keys} keys of the {files}");
    }
}

#[test]
fn a_snapshot_that_is_waited_for_refuses_no_writes_when_it_fails() {
    let directory = Directory::new("waited-for");
    let server = Server::start_in(Kind::Respire, &directory, &["--save", "900 1000000"]);
    let mut client = server.client();
    text(&mut client, "SET a 1");
    fs::create_dir(directory.path().join("dump.rdb")).unwrap();
    assert_eq!(error(&mut client, "SAVE"), "ERR");
    assert_eq!(text(&mut client, "SET a 2"), "OK");
    text(&mut client, "BGSAVE");
    wait_until("the failure", PATIENCE, || field(&server, "rdb_last_bgsave_status") == "err");
    assert!(error(&mut client, "SET a 3").starts_with("MISCONF"));
    fs::remove_dir(directory.path().join("dump.rdb")).unwrap();
    text(&mut client, "SAVE");
    assert_eq!(text(&mut client, "SET a 3"), "OK");
    assert_eq!(unfinished(&directory), Vec::<String>::new());
}

#[test]
fn saving_tells_how_far_it_is() {
    let directory = Directory::new("progress");
    let server = Server::start_in(Kind::Respire, &directory, &[]);
    let mut client = server.client();
    text(&mut client, "DEBUG POPULATE 5000");
    // All of it would take two minutes: nobody is too late to look.
    text(&mut client, "CONFIG SET rdb-key-save-delay 25000");
    text(&mut client, "BGSAVE");
    // The reply says that it is begun, not that the thread that saves has counted.
    wait_until("the number of keys", PATIENCE, || {
        field(&server, "current_save_keys_total") == "5000"
    });
    let saved = || field(&server, "current_save_keys_processed").parse::<u64>().unwrap();
    wait_until("some progress", PATIENCE, || (1..4000).contains(&saved()));
    let before = saved();
    wait_until("more", PATIENCE, || saved() > before);
    // What is set takes effect at once.
    text(&mut client, "CONFIG SET rdb-key-save-delay 0");
    wait_until("the end", PATIENCE, || field(&server, "rdb_bgsave_in_progress") == "0");
    assert_eq!(field(&server, "rdb_last_bgsave_status"), "ok");
}

#[test]
fn the_score_for_the_end_of_memory_is_told() {
    let score = |server: &Server| -> i64 {
        let path = format!("/proc/{}/oom_score_adj", server.pid());
        fs::read_to_string(path).unwrap().trim().parse().unwrap()
    };
    let server = Server::start(Kind::Respire, &[]);
    let mut client = server.client();
    let base = score(&server);
    for (line, wanted) in [
        ("CONFIG SET oom-score-adj-values", base),
        ("CONFIG SET oom-score-adj relative", base + 15),
        ("CONFIG SET oom-score-adj absolute", 15),
        ("CONFIG SET oom-score-adj no", base),
    ] {
        let mut words: Vec<&str> = line.split(' ').collect();
        if line.ends_with("values") {
            words.push("15 20 30");
        }
        let reply = client.roundtrip(&words).unwrap();
        assert!(!reply.is_error(), "{line}: {reply:?}");
        assert_eq!(score(&server), wanted, "{line}");
    }
    // With something that can't be had, nothing changes.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let both = ["CONFIG", "SET", "oom-score-adj", "absolute", "port", &port];
    assert!(client.roundtrip(&both).unwrap().is_error());
    assert_eq!(score(&server), base);
    drop(server);
    let options = ["--oom-score-adj", "absolute", "--oom-score-adj-values", "500", "500", "500"];
    assert_eq!(score(&Server::start(Kind::Respire, &options)), 500);
}
