//! Users on whole servers: random rules and calls beside redis-server 7.0.15, files of users, and what becomes of clients
//! on other threads when their user changes.

use std::fs;
use std::time::Duration;

use respire_tests::client::Client;
use respire_tests::oracle::acl::{call, rules};
use respire_tests::oracle::words::Words;
use respire_tests::server::{Directory, Kind, Server};
use respire_tests::value::Value;

/// The seed of the random tests: `ORACLE_SEED`, or a fixed one.
fn seed() -> u64 {
    match std::env::var("ORACLE_SEED").as_deref() {
        Ok("random") => u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        Ok(text) => text.parse().expect("ORACLE_SEED is a number or `random`"),
        Err(_) => 17,
    }
}

fn run(client: &mut Client, line: &str) -> Value {
    client.roundtrip(&line.split(' ').collect::<Vec<_>>()).expect("a reply")
}

fn text(value: &Value) -> String {
    match value {
        Value::Error(text) => String::from_utf8_lossy(text).into_owned(),
        other => String::from_utf8_lossy(other.text().unwrap_or_default()).into_owned(),
    }
}

/// The lines of ACL LIST.
fn users(client: &mut Client) -> Vec<String> {
    let reply = run(client, "ACL LIST");
    reply.elements().expect("a list").iter().map(text).collect()
}

fn shown(args: &[Vec<u8>]) -> String {
    let args: Vec<String> = args.iter().map(|arg| arg.escape_ascii().to_string()).collect();
    args.join(" ")
}

/// A refusal by Redis 7.0 as Redis 7.2 words it, which says who it was that may not.
fn in_newer_words(text: &str, user: &str) -> String {
    let text = text
        .replace("NOPERM this user has", &format!("NOPERM User {user} has"))
        .replace("This user has", &format!("User {user} has"));
    for (one, several) in [("key", "keys"), ("channel", "channels")] {
        let older = format!(
            "NOPERM User {user} has no permissions to access one of the {several} used as arguments"
        );
        if text == older {
            return format!("NOPERM No permissions to access a {one}");
        }
    }
    text
}

#[test]
fn rules_mean_what_they_mean_to_redis() {
    let unchecked = "that rules mean the same as in Redis";
    let Some((respire, redis)) = Server::start_pair(&[], unchecked) else { return };
    let (mut subject, mut oracle) = (respire.client(), redis.client());
    let seed = seed();
    let mut words = Words::new(seed);
    let mut users_made = 0;
    for round in 0..1500 {
        for client in [&mut subject, &mut oracle] {
            run(client, "ACL DELUSER u v");
        }
        // Redis 7.0 does not show what a new user begins with, and Respire, as 7.2, does.
        let begin = ["ACL", "SETUSER", "u", "sanitize-payload"];
        let mut given = begin.map(|word| word.as_bytes().to_vec()).to_vec();
        given.extend(rules(&mut words));
        let context = format!("ORACLE_SEED={seed} round {round}: {}", shown(&given));
        let (ours, theirs) =
            (subject.roundtrip(&given).unwrap(), oracle.roundtrip(&given).unwrap());
        assert_eq!(ours, theirs, "{context}");
        if ours.is_error() {
            continue;
        }
        users_made += 1;
        // What Respire shows, given to Redis, must make the user that the rules made there.
        let line =
            users(&mut subject).into_iter().find(|line| line.starts_with("user u ")).unwrap();
        let described = line.replacen("user u ", "ACL SETUSER v ", 1);
        let described = described.split(' ').map(|word| word.as_bytes().to_vec());
        let described: Vec<Vec<u8>> = described.collect();
        let context = format!("{context}\n  is shown as {line}");
        assert_eq!(text(&oracle.roundtrip(&described).unwrap()), "OK", "{context}");
        let (u, v) = (run(&mut oracle, "ACL GETUSER u"), run(&mut oracle, "ACL GETUSER v"));
        assert_eq!(u, v, "{context}");
        for _ in 0..20 {
            let call = call(&mut words);
            let mut dryrun = vec![b"ACL".to_vec(), b"DRYRUN".to_vec(), b"u".to_vec()];
            dryrun.extend(call);
            let (ours, theirs) =
                (subject.roundtrip(&dryrun).unwrap(), oracle.roundtrip(&dryrun).unwrap());
            let theirs = in_newer_words(&text(&theirs), "u");
            assert_eq!(text(&ours), theirs, "{context}\n  {}", shown(&dryrun));
        }
    }
    assert!(users_made > 800, "{users_made}");
}

/// Calls that end the connection, make it wait or listen, or stop the server.
const NOT_SENT: [&str; 15] = [
    "quit",
    "monitor",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "blpop",
    "blmpop",
    "shutdown",
    "hello",
    "reset",
    "auth",
    "client",
    "acl",
    "debug",
];

#[test]
fn refusals_are_those_of_redis() {
    let unchecked = "that refusals are those of Redis";
    let Some((respire, redis)) = Server::start_pair(&[], unchecked) else { return };
    let (mut subject, mut oracle) = (respire.client(), redis.client());
    let seed = seed();
    let mut words = Words::new(seed);
    let (mut refused, mut allowed) = (0, 0);
    for round in 0..120 {
        let rules = rules(&mut words);
        let mut given =
            vec![b"ACL".to_vec(), b"SETUSER".to_vec(), b"u".to_vec(), b"reset".to_vec()];
        given.extend(rules);
        given.extend([&b"on"[..], b"nopass", b"+multi", b"+exec", b"+discard"].map(Vec::from));
        let context = format!("ORACLE_SEED={seed} round {round}: {}", shown(&given));
        assert_eq!(subject.roundtrip(&given).unwrap(), oracle.roundtrip(&given).unwrap());
        let (mut ours, mut theirs) = (respire.client(), redis.client());
        for client in [&mut ours, &mut theirs] {
            let reply = text(&run(client, "AUTH u x"));
            assert!(reply == "OK" || reply.starts_with("WRONGPASS"), "{context}: {reply}");
        }
        for _ in 0..60 {
            let call = call(&mut words);
            let name = String::from_utf8_lossy(&call[0]).to_ascii_lowercase();
            if NOT_SENT.contains(&&*name) {
                continue;
            }
            let (ours, theirs) = (ours.roundtrip(&call).unwrap(), theirs.roundtrip(&call).unwrap());
            let denied = |reply: &Value| {
                let text = text(reply);
                let ours = ["NOPERM", "EXECABORT", "ERR BY option", "ERR GET option"];
                ours.iter().any(|start| text.starts_with(start)).then_some(text)
            };
            let theirs = denied(&theirs).map(|text| in_newer_words(&text, "u"));
            assert_eq!(denied(&ours), theirs, "{context}\n  {}", shown(&call));
            match denied(&ours) {
                Some(_) => refused += 1,
                None => allowed += 1,
            }
        }
    }
    assert!(refused > 1000 && allowed > 300, "{refused} refused, {allowed} allowed");
}

#[test]
fn clients_of_other_threads_feel_a_change_at_once() {
    let server = Server::start(Kind::Respire, &["--io-threads", "4"]);
    let mut admin = server.client();
    run(&mut admin, "ACL SETUSER u on nopass +@all ~* &*");
    let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(text(&run(client, "AUTH u x")), "OK");
        assert_eq!(text(&run(client, "SET k v")), "OK");
    }
    run(&mut admin, "ACL SETUSER u -set");
    for client in &mut clients {
        assert_eq!(
            text(&run(client, "SET k v")),
            "NOPERM User u has no permissions to run the 'set' command"
        );
    }
    for client in &mut clients {
        run(client, "SUBSCRIBE news");
    }
    run(&mut admin, "ACL SETUSER u resetchannels &news");
    run(&mut clients[0], "PING");
    run(&mut admin, "ACL SETUSER u resetchannels &other");
    for client in &mut clients {
        client.read_to_close().expect("it is closed");
    }
    let mut last = server.client();
    run(&mut last, "AUTH u x");
    assert_eq!(run(&mut admin, "ACL DELUSER u"), Value::Integer(1));
    last.set_read_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(last.read_to_close().expect("it is closed"), b"");
    assert!(text(&run(&mut admin, "CLIENT LIST")).lines().count() == 1);
}

#[test]
fn who_waits_is_disconnected_as_well() {
    let server = Server::start(Kind::Respire, &[]);
    let mut admin = server.client();
    run(&mut admin, "ACL SETUSER u on nopass +@all ~*");
    let mut client = server.client();
    run(&mut client, "AUTH u x");
    client.send(&["BLPOP", "k", "0"]).unwrap();
    while !text(&run(&mut admin, "INFO clients")).contains("blocked_clients:1") {}
    assert_eq!(run(&mut admin, "ACL DELUSER u"), Value::Integer(1));
    assert_eq!(client.read_to_close().expect("it is closed"), b"");
    assert_eq!(run(&mut admin, "RPUSH k a"), Value::Integer(1));
    assert_eq!(run(&mut admin, "LLEN k"), Value::Integer(1), "nobody has taken it");
}

#[test]
fn a_file_of_users_is_loaded_saved_and_refused_as_a_whole() {
    let directory = Directory::new("aclfile");
    let path = directory.path().join("users.acl");
    let file = path.to_str().unwrap();
    fs::write(&path, "user alice on >p ~a* +get\nuser bob on nopass +@all ~* &*\n").unwrap();
    let mut server = Server::start(Kind::Respire, &["--aclfile", file, "--requirepass", "ignored"]);
    let mut admin = server.client();
    let loaded = users(&mut admin);
    assert_eq!(loaded.len(), 3, "{loaded:?}");
    assert!(loaded[0].starts_with("user alice on sanitize-payload #148de9c5a7a4"), "{loaded:?}");
    assert_eq!(loaded[2], "user default on nopass sanitize-payload ~* &* +@all");
    let (mut alice, mut bob) = (server.client(), server.client());
    assert_eq!(text(&run(&mut alice, "AUTH alice p")), "OK");
    assert_eq!(text(&run(&mut bob, "AUTH bob x")), "OK");
    run(&mut admin, "ACL SETUSER carl on >secret (+set ~c)");
    assert_eq!(text(&run(&mut admin, "ACL SAVE")), "OK");
    let saved = fs::read_to_string(&path).unwrap();
    assert_eq!(saved.lines().collect::<Vec<_>>(), users(&mut admin));
    assert!(!saved.contains("secret"));

    fs::write(&path, "user alice on nopass\nuser bob on +nosuch\nnonsense\n").unwrap();
    let before = users(&mut admin);
    let refusal = text(&run(&mut admin, "ACL LOAD"));
    for part in [":2: Error in applying operation '+nosuch'", ":3 should start with user keyword"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert_eq!(users(&mut admin), before);
    assert_eq!(text(&run(&mut bob, "PING")), "PONG");

    // Alice stays what she was, and Bob becomes somebody else.
    let lines: Vec<&str> = saved.lines().filter(|line| line.starts_with("user alice")).collect();
    fs::write(&path, format!("{}\nuser bob on nopass +ping\n", lines[0])).unwrap();
    assert_eq!(text(&run(&mut admin, "ACL LOAD")), "OK");
    assert_eq!(run(&mut alice, "GET a"), Value::NullBulk);
    assert_eq!(bob.read_to_close().expect("it is closed"), b"");
    assert_eq!(users(&mut admin).len(), 3);
    fs::remove_file(&path).unwrap();
    assert!(text(&run(&mut admin, "ACL LOAD")).contains("No such file or directory"));
    assert_eq!(users(&mut admin).len(), 3);
    fs::create_dir(&path).unwrap();
    assert!(
        text(&run(&mut admin, "ACL SAVE")).starts_with("ERR There was an error trying to save")
    );
    admin.send(&["SHUTDOWN", "NOSAVE"]).unwrap();
    assert!(server.wait_exit(Duration::from_secs(60)).is_some());
}

#[test]
fn a_server_does_not_start_with_users_that_are_wrong() {
    let directory = Directory::new("aclstart");
    let path = directory.path().join("users.acl");
    let file = path.to_str().unwrap();
    fs::write(&path, "user alice on >p ~a* +get\nuser alice on\nuser bob (+get\n").unwrap();
    let cases: [(&[&str], &[&str]); 6] = [
        (
            &["--aclfile", file],
            &["Duplicate user 'alice' found on line 2", "users.acl:3: Unmatched"],
        ),
        (&["--aclfile", "nowhere.acl"], &["opening file 'nowhere.acl': No such file or directory"]),
        (&["--aclfile", file, "--user", "carl", "on"], &["please define either an ACL file or"]),
        (&["--user", "carl", "on", "+nosuch"], &["'carl'", "Unknown command or category name"]),
        (&["--user", "carl", "on", "--user", "carl", "off"], &["Duplicate user found"]),
        (&["--user", "carl", "(+get"], &["Unmatched parenthesis"]),
    ];
    for (args, parts) in cases {
        let why = Server::try_start_in(Kind::Respire, &directory, args).err();
        let why = why.unwrap_or_else(|| panic!("it started with {args:?}"));
        assert!(parts.iter().all(|part| why.contains(part)), "{args:?}: {why}");
    }
}

#[test]
fn users_of_the_configuration_survive_a_rewrite() {
    let directory = Directory::new("aclconf");
    let path = directory.path().join("c.conf");
    let text_before = "# users\nuser alice on >p ~a +get\nrequirepass foo\nuser bob nopass \"~a\\\"b\" (+get ~x) on\n";
    fs::write(&path, text_before).unwrap();
    let server = Server::start_configured(Kind::Respire, Some(&path), &[]);
    let mut admin = server.client();
    assert_eq!(text(&run(&mut admin, "AUTH foo")), "OK");
    run(&mut admin, "ACL SETUSER alice +set");
    run(&mut admin, "ACL SETUSER carl on >x &c");
    let before = users(&mut admin);
    assert_eq!(text(&run(&mut admin, "CONFIG REWRITE")), "OK");
    let once = fs::read_to_string(&path).unwrap();
    assert_eq!(once.matches("\nuser ").count(), 4, "{once}");
    assert_eq!(text(&run(&mut admin, "CONFIG REWRITE")), "OK");
    assert_eq!(fs::read_to_string(&path).unwrap(), once);
    let again = Server::start_configured(Kind::Respire, Some(&path), &[]);
    let mut admin = again.client();
    assert_eq!(text(&run(&mut admin, "AUTH foo")), "OK");
    assert_eq!(users(&mut admin).len(), before.len());
    for (line, old) in users(&mut admin).iter().zip(&before) {
        assert_eq!(line, old);
    }
}

#[test]
fn passwords_are_made_up_at_random() {
    let server = Server::start(Kind::Respire, &[]);
    let mut client = server.client();
    let first = text(&run(&mut client, "ACL GENPASS"));
    assert!(first.len() == 64 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    assert_ne!(first, text(&run(&mut client, "ACL GENPASS")));
    for (bits, digits) in [("1", 1), ("5", 2), ("8", 2), ("4096", 1024)] {
        assert_eq!(text(&run(&mut client, &format!("ACL GENPASS {bits}"))).len(), digits);
    }
}

#[test]
fn a_default_user_with_a_password_ends_protected_mode_and_the_welcome() {
    let server = Server::start(Kind::Respire, &[]);
    let mut admin = server.client();
    run(&mut admin, "ACL SETUSER default >p");
    let mut newcomer = server.client();
    assert_eq!(text(&run(&mut newcomer, "PING")), "NOAUTH Authentication required.");
    assert_eq!(text(&run(&mut admin, "PING")), "PONG", "who is in stays in");
    // What is sent before a password must not take much memory.
    newcomer.send_raw(b"*11\r\n").unwrap();
    let reply = newcomer.read_to_close().expect("it is closed");
    assert_eq!(reply, b"-ERR Protocol error: unauthenticated multibulk length\r\n");
    let mut third = server.client();
    assert_eq!(text(&run(&mut third, "AUTH p")), "OK");
    assert_eq!(text(&run(&mut third, "ACL WHOAMI")), "default");
    run(&mut admin, "ACL SETUSER default nopass");
    assert_eq!(text(&run(&mut server.client(), "PING")), "PONG");
}
