//! Scripts and functions on a whole server: those that run for too long, those that run side by side, what files keep of
//! them, and payloads of functions to and from redis-server.

use std::time::{Duration, Instant};

use respire_tests::server::Directory;
use respire_tests::{Client, Kind, Server, Value};

fn say(client: &mut Client, parts: &[&str]) -> String {
    match client.roundtrip(parts).expect("a reply") {
        Value::Bulk(text) | Value::Simple(text) | Value::Error(text) => {
            String::from_utf8_lossy(&text).into_owned()
        }
        Value::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// Waits until the server says that it is busy.
fn wait_until_busy(client: &mut Client) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let reply = say(client, &["PING"]);
        if reply.starts_with("BUSY") {
            return reply;
        }
        assert!(Instant::now() < deadline, "still {reply}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const PATIENCE: &[&str] = &["--busy-reply-threshold", "100", "--io-threads", "2"];

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('spin', function() while true do end end)\n\
    redis.register_function('set', function(keys, args) return redis.call('SET', keys[1], args[1]) end)";

/// What a script keeps out of the log is not there after a restart; what it does before and after is.
#[test]
fn a_script_keeps_changes_out_of_the_log() {
    let directory = Directory::new("set-repl");
    let options = ["--appendonly", "yes"];
    let server = Server::start_in(Kind::Respire, &directory, &options);
    let script = "redis.call('SET','a',1) redis.set_repl(redis.REPL_NONE) redis.call('SET','b',1) \
                  redis.set_repl(redis.REPL_ALL) redis.call('SET','c',1)";
    server.client().roundtrip(&["EVAL", script, "0"]).expect("a reply");
    server.client().roundtrip(&["SET", "d", "1"]).expect("a reply");
    server.crash();
    let server = Server::start_in(Kind::Respire, &directory, &options);
    let mut client = server.client();
    let there = ["a", "b", "c", "d"]
        .map(|key| client.roundtrip(&["EXISTS", key]).expect("a reply") == Value::Integer(1));
    assert_eq!(there, [true, false, true, true]);
}

#[test]
fn a_script_that_runs_for_too_long_can_be_killed_from_every_thread() {
    let server = Server::start(Kind::Respire, PATIENCE);
    // On both threads: that of the script, and the other.
    let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
    say(&mut clients[0], &["FUNCTION", "LOAD", LIBRARY]);
    for (request, kill, wrong) in [
        (&["EVAL", "while true do end", "0"][..], "SCRIPT", "FUNCTION"),
        (
            &["EVAL", "while true do pcall(function() while true do end end) end", "1", "k"],
            "SCRIPT",
            "FUNCTION",
        ),
        (
            &["EVAL_RO", "while true do redis.call('GET', KEYS[1]) end", "1", "k"],
            "SCRIPT",
            "FUNCTION",
        ),
        (&["FCALL", "spin", "0"], "FUNCTION", "SCRIPT"),
    ] {
        let mut runner = server.client();
        runner.send(request).expect("it is sent");
        for client in &mut clients {
            let busy = wait_until_busy(client);
            assert!(busy.contains(&format!("{kill} KILL")), "{busy}");
            assert!(say(client, &["GET", "k"]).starts_with("BUSY"));
            assert_eq!(say(client, &["MULTI"]), "OK");
            assert!(say(client, &["SET", "k", "v"]).starts_with("BUSY"));
            assert!(say(client, &["EXEC"]).starts_with("EXECABORT"));
            assert!(say(client, &["SHUTDOWN"]).starts_with("BUSY"));
            assert!(say(client, &[wrong, "KILL"]).starts_with("BUSY"));
        }
        // One that comes now is served, too.
        assert!(say(&mut server.client(), &["PING"]).starts_with("BUSY"));
        assert_eq!(say(&mut clients[1], &[kill, "KILL"]), "OK");
        let reply = runner.read().expect("a reply");
        assert!(
            matches!(&reply, Value::Error(text) if text.starts_with(b"ERR Script killed by user")),
            "{reply:?}"
        );
        for client in &mut clients {
            let deadline = Instant::now() + Duration::from_secs(60);
            while say(client, &["PING"]) != "PONG" {
                assert!(Instant::now() < deadline);
            }
            assert_eq!(say(client, &["SET", "k", "v"]), "OK");
        }
    }
    assert!(say(&mut clients[0], &["SCRIPT", "KILL"]).starts_with("NOTBUSY"));
}

/// One thread reads a script and what others have sent in the same turn; those are not kept waiting for the script's end.
#[test]
fn what_is_read_together_with_a_script_does_not_wait_for_its_end() {
    let server =
        Server::start(Kind::Respire, &["--busy-reply-threshold", "100", "--io-threads", "1"]);
    let mut sleeper = server.client();
    let mut runner = server.client();
    let mut others: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let mut killer = server.client();
    say(&mut others[0], &["SET", "k", "v"]);
    for round in 0..5 {
        // While it sleeps, the rest comes together.
        sleeper.send(&["DEBUG", "SLEEP", "0.3"]).expect("it is sent");
        std::thread::sleep(Duration::from_millis(50));
        let endless: &[&str] = &["EVAL", "while true do redis.call('GET', 'k') end", "1", "k"];
        runner.send_raw(b"PING\r\n").expect("it is sent");
        runner.send(endless).expect("it is sent");
        runner.send_raw(b"ECHO 'after \"it\"'\r\n").expect("it is sent");
        // Whole requests, with the beginning of another one; quoted ones; and what is no request.
        others[0].send_raw(b"GET k\r\n*2\r\n$3\r\nGET\r\n$1").expect("it is sent");
        others[1].send_raw(b"ECHO \"\\x41\"\r\nGET 'k'\r\n").expect("it is sent");
        others[2].send_raw(b"GET k\r\n*1\r\nx\r\n").expect("it is sent");
        assert_eq!(sleeper.read().expect("a reply"), Value::Simple(b"OK".to_vec()));
        // The system may have named one that came later first: then it is served before the script.
        for (i, early) in [(0, "v"), (1, "A"), (1, "v"), (2, "v")] {
            let reply = others[i].read().expect("a reply");
            let is_early = reply == Value::Bulk(early.into());
            assert!(is_early || format!("{reply:?}").contains("BUSY"), "{round}: {reply:?}");
        }
        let refused = others[2].read_to_close().expect("an end");
        assert_eq!(refused, b"-ERR Protocol error: expected '$', got 'x'\r\n");
        assert_eq!(say(&mut killer, &["SCRIPT", "KILL"]), "OK");
        assert_eq!(runner.read().expect("a reply"), Value::Simple(b"PONG".to_vec()));
        let reply = format!("{:?}", runner.read().expect("a reply"));
        assert!(reply.contains("Script killed"), "{round}: {reply}");
        assert_eq!(runner.read().expect("a reply"), Value::Bulk(b"after \"it\"".to_vec()));
        others[0].send_raw(b"\r\nk\r\n").expect("it is sent");
        assert_eq!(others[0].read().expect("a reply"), Value::Bulk(b"v".to_vec()));
        others[2] = server.client();
        for client in &mut others {
            // No request has been answered twice.
            assert_eq!(say(client, &["ECHO", "in step"]), "in step");
        }
    }
}

#[test]
fn a_script_that_has_written_only_ends_with_the_server() {
    let mut server = Server::start(Kind::Respire, PATIENCE);
    let mut runner = server.client();
    let spin = "redis.call('SET', KEYS[1], 'v') while true do end";
    runner.send(&["EVAL", spin, "1", "k"]).expect("it is sent");
    let mut client = server.client();
    wait_until_busy(&mut client);
    assert!(say(&mut client, &["SCRIPT", "KILL"]).starts_with("UNKILLABLE"));
    client.send(&["SHUTDOWN", "NOSAVE"]).expect("it is sent");
    assert!(server.wait_exit(Duration::from_secs(60)).is_some(), "it has not ended");
}

#[test]
fn who_goes_while_a_script_runs_leaves_nothing_behind() {
    let server = Server::start(Kind::Respire, PATIENCE);
    let mut client = server.client();
    let mut waiter = server.client();
    waiter.send(&["BLPOP", "list", "0"]).expect("it is sent");
    let mut watcher = server.client();
    say(&mut watcher, &["WATCH", "k", "list"]);
    let mut runner = server.client();
    runner
        .send(&["EVAL", "while true do redis.call('GET', 'k') end", "2", "k", "list"])
        .expect("sent");
    wait_until_busy(&mut client);
    drop((waiter, watcher));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(say(&mut client, &["SCRIPT", "KILL"]), "OK");
    runner.read().expect("a reply");
    // The one that waited is gone: the element stays.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !say(&mut client, &["INFO", "clients"]).contains("blocked_clients:0") {
        assert!(Instant::now() < deadline, "a client still waits");
    }
    assert_eq!(say(&mut client, &["RPUSH", "list", "a"]), "1");
    assert_eq!(say(&mut client, &["LLEN", "list"]), "1");
}

#[test]
fn functions_are_kept_in_files() {
    for mode in [&["--appendonly", "yes"][..], &["--save", "3600 1"]] {
        let directory = Directory::new("functions");
        let start = || Server::start_in(Kind::Respire, &directory, mode);
        let mut server = start();
        let mut client = server.client();
        say(&mut client, &["FUNCTION", "LOAD", LIBRARY]);
        say(
            &mut client,
            &["FUNCTION", "LOAD", "#!lua name=gone\nredis.register_function('g', function() end)"],
        );
        say(&mut client, &["FUNCTION", "DELETE", "gone"]);
        assert_eq!(say(&mut client, &["FCALL", "set", "1", "k", "one"]), "OK");
        client.send(&["SHUTDOWN"]).expect("it is sent");
        assert!(server.wait_exit(Duration::from_secs(60)).is_some());
        drop(server);
        let server = start();
        let mut client = server.client();
        assert_eq!(say(&mut client, &["GET", "k"]), "one");
        assert_eq!(say(&mut client, &["FCALL", "set", "1", "k", "two"]), "OK");
        assert!(say(&mut client, &["FCALL", "g", "0"]).contains("not found"));
    }
}

#[test]
fn payloads_of_functions_go_to_redis_and_back() {
    let Some((respire, redis)) = Server::start_pair(&[], "that FUNCTION DUMP can be exchanged")
    else {
        return;
    };
    for (from, to) in [(&respire, &redis), (&redis, &respire)] {
        let (mut from, mut to) = (from.client(), to.client());
        for client in [&mut from, &mut to] {
            say(client, &["FUNCTION", "FLUSH"]);
        }
        say(&mut from, &["FUNCTION", "LOAD", LIBRARY]);
        let Value::Bulk(payload) = from.roundtrip(&["FUNCTION", "DUMP"]).expect("a reply") else {
            panic!("FUNCTION DUMP is a bulk string");
        };
        let reply = to.roundtrip(&[b"FUNCTION".as_slice(), b"RESTORE", &payload]);
        assert_eq!(reply.expect("a reply"), Value::Simple(b"OK".to_vec()));
        assert_eq!(say(&mut to, &["FCALL", "set", "1", "k", "v"]), "OK");
    }
}

#[test]
fn scripts_that_reach_out_are_atomic_and_end() {
    let server = Server::start(Kind::Respire, &["--io-threads", "2", "--shards", "4"]);
    // Moves one from a key to another that is not declared, so that threads want each other's shards all the time.
    const MOVE: &str = "redis.call('DECR', KEYS[1]) redis.call('INCR', ARGV[1]) return 1";
    const SUM: &str = "local sum = 0 for i = 0, 7 do sum = sum + (redis.call('GET', 'n' .. i) or 0) end return sum";
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let mut client = server.client();
            scope.spawn(move || {
                for i in 0..300 {
                    let (a, b) =
                        (format!("n{}", (i + thread) % 8), format!("n{}", (i * 5 + 3) % 8));
                    // A different text each time, so that what is learned of one says nothing of the next.
                    let script = format!("{MOVE} -- {thread} {}", i / 4);
                    let reply = say(&mut client, &["EVAL", &script, "1", &a, &b]);
                    assert!(reply == "1" || reply.contains("Two scripts"), "{reply}");
                    if reply != "1" {
                        // It stopped in the middle: what it took is given back.
                        assert_eq!(
                            say(
                                &mut client,
                                &["EVAL", "redis.call('INCR', KEYS[1]) return 1", "1", &a]
                            ),
                            "1"
                        );
                    }
                    if i % 50 == 0 && thread % 2 == 0 {
                        say(&mut client, &["EVAL_RO", SUM, "0"]);
                    }
                }
            });
        }
    });
    assert_eq!(say(&mut server.client(), &["EVAL_RO", SUM, "0"]), "0");
}
