//! The table against the oracle's defaults, CONFIG GET, SET and REWRITE, and the syntax of files.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Names and defaults as Redis 7.0.15 answers them to CONFIG GET *, without `dir` and `port`, which the
/// recording had set.
const REDIS_DEFAULTS: &str = include_str!("defaults-redis-7.0.15.txt");

/// Defaults that differ on purpose.
const DIFFERENT: &[(&str, &str)] = &[
    // One event loop per core.
    ("io-threads", "4"),
];

fn defaults() -> Settings {
    Settings::new(4, "/data")
}

fn config() -> Config {
    Config::new(defaults(), defaults())
}

fn no_include(pattern: &str) -> Result<Vec<(String, String)>, String> {
    Err(format!("no file {pattern}"))
}

fn parsed(text: &str) -> Result<Settings, ConfigError> {
    let mut settings = defaults();
    parse_file(text, "test.conf", &mut settings, &mut no_include)?;
    Ok(settings)
}

fn get(config: &Config, patterns: &[&str]) -> Vec<(String, String)> {
    let patterns: Vec<&[u8]> = patterns.iter().map(|p| p.as_bytes()).collect();
    config.get(&patterns)
}

fn get_one(config: &Config, name: &str) -> String {
    match get(config, &[name]).as_slice() {
        [(_, value)] => value.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
    let pairs: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    config.set(&pairs, true, &mut |_, _| Ok(())).map_err(|error| error.to_string())
}

#[test]
fn every_default_of_redis_is_ours_or_listed() {
    let config = config();
    for line in REDIS_DEFAULTS.lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        let expected = DIFFERENT
            .iter()
            .find(|(different, _)| *different == name)
            .map_or(value, |(_, ours)| ours);
        assert_eq!(get(&config, &[name]), [(name.to_owned(), expected.to_owned())]);
    }
    assert_eq!(get_one(&config, "port"), "6379");
    assert_eq!(get_one(&config, "dir"), "/data");
}

#[test]
fn every_value_can_be_set_back() {
    let mut settings = defaults();
    for row in directives().filter(|row| !row.file_only) {
        let value = row.get(&settings);
        let line = format!("{} {}", row.name, file::quote(&value));
        parse_file(&line, "test.conf", &mut settings, &mut no_include)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(row.get(&settings), value, "{line}");
    }
    // Said explicitly, the defaults are still no broken promises.
    assert_eq!(not_acting(&settings).promises, [""; 0]);
}

#[test]
fn names_are_unique_and_lower_case() {
    let mut seen = BTreeSet::new();
    for row in directives() {
        for name in [Some(row.name), row.alias].into_iter().flatten() {
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }
}

#[test]
fn promises_are_neutral_by_default() {
    let settings = defaults();
    assert_eq!(not_acting(&settings), NotActing::default());
    let settings = parsed(
        "appendonly yes\nsave 60 1\nmaxmemory 1gb\nrdb-del-sync-files yes\nactive-defrag-max-scan-fields 10\nhz 20\n",
    )
    .unwrap();
    let found = not_acting(&settings);
    assert!(found.promises.is_empty(), "{:?}", found.promises);
    assert_eq!(found.not_yet, ["rdb-del-sync-files"]);
    assert_eq!(found.meaningless, ["active-defrag-max-scan-fields"]);
}

#[test]
fn get_answers_names_as_asked() {
    let config = config();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(get(&config, &["SAVE"]), [pair("SAVE", "3600 1 300 100 60 10000")]);
    assert_eq!(
        get(&config, &["HASH-max-ZIPLIST-entries", "hash-max-listpack-entries"]),
        [pair("HASH-max-ZIPLIST-entries", "512"), pair("hash-max-listpack-entries", "512")]
    );
    assert_eq!(
        get(&config, &["hz", "timeout", "h?", "hz"]),
        [pair("hz", "10"), pair("timeout", "0")]
    );
    assert_eq!(
        get(&config, &["repl-ping-*"]),
        [pair("repl-ping-replica-period", "10"), pair("repl-ping-slave-period", "10")]
    );
    for nothing in ["nosuch", "rename-command", "user", "include", "\\hz", "", "watchdog*"] {
        assert_eq!(get(&config, &[nothing]), [], "{nothing}");
    }
    assert_eq!(get_one(&config, "watchdog-period"), "0");
}

#[test]
fn set_refuses_as_redis_does() {
    let config = config();
    let before = config.load();
    let failed = |name: &str, reason: &str| {
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
    };
    for (pairs, message) in [
        (
            vec![("nosuch", "1")],
            "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'".to_owned(),
        ),
        (
            vec![("rename-command", "a b")],
            "ERR Unknown option or number of arguments for CONFIG SET - 'rename-command'"
                .to_owned(),
        ),
        (vec![("databases", "3")], failed("databases", "can't set immutable config")),
        (vec![("hz", "20"), ("HZ", "10")], failed("HZ", "duplicate parameter")),
        (vec![("dir", "/tmp")], failed("dir", "can't set protected config")),
        (
            vec![("hz", "20"), ("maxclients", "0")],
            failed("maxclients", "argument must be between 1 and 4294967295 inclusive"),
        ),
        (
            vec![("loglevel", "foo")],
            failed(
                "loglevel",
                "argument(s) must be one of the following: debug, verbose, notice, warning",
            ),
        ),
        (
            vec![("client-output-buffer-limit", "normal 0 0")],
            failed(
                "client-output-buffer-limit",
                "Wrong number of arguments in buffer limit configuration.",
            ),
        ),
        (
            vec![("client-output-buffer-limit", "foo 0 0 0")],
            failed(
                "client-output-buffer-limit",
                "Invalid client class specified in buffer limit configuration.",
            ),
        ),
        (
            vec![("client-output-buffer-limit", "pubsub 1 1 1 normal a 0 0")],
            failed(
                "client-output-buffer-limit",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
        ),
        (
            vec![("latency-tracking-info-percentiles", "50 101")],
            failed(
                "latency-tracking-info-percentiles",
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            ),
        ),
        (
            vec![("latency-tracking-info-percentiles", "50 a")],
            failed(
                "latency-tracking-info-percentiles",
                "Invalid latency-tracking-info-percentiles parameters",
            ),
        ),
        (
            vec![("proc-title-template", "{bad}")],
            failed(
                "proc-title-template",
                "template format is invalid or contains unknown variables",
            ),
        ),
        (vec![("save", "10 1 20")], failed("save", "Invalid save parameters")),
        (vec![("save", "0 0")], failed("save", "Invalid save parameters")),
        (
            vec![("tls-replication", "yes")],
            failed("tls-replication", "not supported yet by this version of Respire"),
        ),
        (
            vec![("notify-keyspace-events", "KEAy")],
            failed(
                "notify-keyspace-events",
                "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
            ),
        ),
        (
            vec![("shutdown-on-sigint", "now nosave save")],
            failed(
                "shutdown-on-sigint",
                "shutdown options SAVE and NOSAVE can't be used simultaneously",
            ),
        ),
        (
            vec![("shutdown-on-sigint", "")],
            failed(
                "shutdown-on-sigint",
                "argument(s) must be one of the following: default, save, nosave, now, force",
            ),
        ),
        (
            vec![("oom-score-adj-values", "1 2")],
            failed("oom-score-adj-values", "wrong number of arguments"),
        ),
    ] {
        assert_eq!(set(&config, &pairs), Err(message), "{pairs:?}");
        assert_eq!(config.load(), before, "{pairs:?} changed something");
    }
}

#[test]
fn titles_are_checked_as_in_redis() {
    let config = config();
    for title in ["{port}", "{{x", "{{title}}", "a}", "}", "a{{b}", "{title}}", "{listen-addr}"] {
        assert!(set(&config, &[("proc-title-template", title)]).is_ok(), "{title}");
    }
    for title in
        ["", " ", "{title}", "{title} ", "{unixsocket}", "{", "{}", "{x}", "{server-mode}", "{port"]
    {
        assert!(set(&config, &[("proc-title-template", title)]).is_err(), "{title}");
    }
}

#[test]
fn set_changes_all_and_names_what_changed() {
    let config = config();
    let mut reader = Reader::new(&config);
    assert_eq!(reader.get(&config).hz, 10);
    let changed = set(
        &config,
        &[
            ("hz", "1000"),
            ("TIMEOUT", "0"),
            ("maxmemory-clients", "5%"),
            ("slave-priority", "7"),
            ("hash-max-ziplist-entries", "5"),
            ("hash-max-listpack-entries", "6"),
            ("appendonly", "no"),
            ("save", ""),
            ("client-output-buffer-limit", "normal 1kb 2mb 0 replica 1 1 1"),
            ("latency-tracking-info-percentiles", "50.123456789 99.9"),
            ("notify-keyspace-events", "g$lshzxedtKEm"),
            ("bind", ""),
        ],
    );
    assert_eq!(
        changed,
        Ok(vec![
            "hz",
            "maxmemory-clients",
            "replica-priority",
            "hash-max-listpack-entries",
            "save",
            "client-output-buffer-limit",
            "latency-tracking-info-percentiles",
            "notify-keyspace-events",
            "bind"
        ])
    );
    let settings = reader.get(&config);
    assert_eq!(settings.hz, 500);
    assert_eq!(settings.maxmemory_clients, ClientMemory::Percent(5));
    assert_eq!(settings.client_output_buffer_limit.normal.soft, 2 << 20);
    assert!(settings.bind.is_empty());
    for (name, value) in [
        ("slave-priority", "7"),
        ("hash-max-ziplist-entries", "6"),
        ("maxmemory-clients", "5%"),
        ("notify-keyspace-events", "AKEm"),
        ("latency-tracking-info-percentiles", "50.123457 99.9"),
        (
            "client-output-buffer-limit",
            "normal 1024 2097152 0 slave 1 1 1 pubsub 33554432 8388608 60",
        ),
    ] {
        assert_eq!(get_one(&config, name), value);
    }
}

#[test]
fn a_refused_application_rolls_everything_back() {
    let config = config();
    let before = config.load();
    let version = config.version();
    let pairs: [(&[u8], &[u8]); 2] = [(b"hz", b"50"), (b"maxclients", b"100000")];
    let mut seen = None;
    let result = config.set(&pairs, false, &mut |old, new| {
        seen = Some((old.maxclients, new.maxclients, new.hz));
        Err(("maxclients".into(), "too many".into()))
    });
    assert_eq!(seen, Some((10_000, 100_000, 50)));
    assert_eq!(
        result.map_err(|e| e.to_string()),
        Err("ERR CONFIG SET failed (possibly related to argument 'maxclients') - too many".into())
    );
    assert_eq!(config.load(), before);
    assert_eq!(config.version(), version);
    // Nothing to apply when nothing changes.
    let same: [(&[u8], &[u8]); 1] = [(b"hz", b"10")];
    let unasked = config.set(&same, false, &mut |_, _| panic!("asked to apply nothing"));
    assert_eq!(unasked, Ok(vec![]));
}

#[test]
fn protected_directives_open_to_whom_they_may() {
    let local = parsed("enable-protected-configs local").unwrap();
    let config = Config::new(defaults(), local);
    let pairs: [(&[u8], &[u8]); 1] = [(b"dir", b"/tmp")];
    assert!(config.set(&pairs, false, &mut |_, _| Ok(())).is_err());
    assert_eq!(config.set(&pairs, true, &mut |_, _| Ok(())), Ok(vec!["dir"]));
    let bytes: [(&[u8], &[u8]); 1] = [(b"requirepass", b"\xff")];
    assert!(config.set(&bytes, true, &mut |_, _| Ok(())).is_err());
}

#[test]
fn a_file_is_read_line_by_line() {
    let settings = parsed(
        "# a comment\r\n\n  \tHZ 20\n\nbind 127.0.0.1 -::1\nrequirepass \"a \\\"b\\x21\\n\"\n\
         client-output-buffer-limit normal 1mb 0 0\nclient-output-buffer-limit pubsub 1 2 3\n\
         rename-command FLUSHALL ''\nrename-command CONFIG 'it\\'s'\nsave 60 1\nsave 300 10 900 1\n\
         timeout 5\ntimeout 6\nunixsocketperm 755\nslave-read-only no\nuser a on\nuser b off (+get ~x)\n",
    )
    .unwrap();
    assert_eq!(settings.hz, 20);
    assert_eq!(settings.bind, ["127.0.0.1", "-::1"]);
    assert_eq!(settings.requirepass, "a \"b!\n");
    assert_eq!(settings.client_output_buffer_limit.normal.hard, 1 << 20);
    assert_eq!(settings.client_output_buffer_limit.pubsub.soft_seconds, 3);
    assert_eq!(settings.client_output_buffer_limit.replica.hard, 256 << 20);
    assert_eq!(settings.rename_command.len(), 2);
    assert_eq!(settings.rename_command[0].to, "");
    assert_eq!(settings.rename_command[1].to, "it's");
    assert_eq!(settings.timeout, 6);
    assert_eq!(settings.unixsocketperm, 0o755);
    assert!(settings.is_explicit("replica-read-only"));
    assert_eq!(find("save").unwrap().get(&settings), "60 1 300 10 900 1");
    assert_eq!(find("user").unwrap().get(&settings), "a on\nb off (+get ~x)");
    assert!(not_acting(&settings).promises.is_empty());
    for none in ["bind", "bind \"\"", "save", "dbfilename \"\"", "list-max-ziplist-entries 5"] {
        assert!(parsed(none).is_ok(), "{none}");
    }
    let cleared = parsed("save 60 1\nsave \"\"\n").unwrap();
    assert_eq!(find("save").unwrap().get(&cleared), "");
}

#[test]
fn a_bad_line_stops_with_its_place_and_reason() {
    for (text, line, reason) in [
        ("port 1\nprot 1", 2, "Bad directive or wrong number of arguments"),
        ("hz abc", 1, "argument couldn't be parsed into an integer"),
        ("hz 10 20", 1, "wrong number of arguments"),
        ("hz", 1, "wrong number of arguments"),
        ("dbfilename a/b", 1, "dbfilename can't be a path, just a filename"),
        ("appendfilename \"\"", 1, "appendfilename can't be empty"),
        (
            "cluster-announce-hostname a_b",
            1,
            "Hostnames may only contain alphanumeric characters, hyphens or dots",
        ),
        ("\n\nhz 10 # no comment", 3, "wrong number of arguments"),
        ("oom-score-adj-values", 1, "wrong number of arguments"),
        ("save 1", 1, "Invalid save parameters"),
        ("requirepass \"abc", 1, "Unbalanced quotes in configuration line"),
        ("requirepass \"abc\"d", 1, "Unbalanced quotes in configuration line"),
        ("requirepass 'abc", 1, "Unbalanced quotes in configuration line"),
        ("requirepass \"\\", 1, "Unbalanced quotes in configuration line"),
        ("port 99999", 1, "argument must be between 0 and 65535 inclusive"),
        ("shards 0", 1, "argument must be between 1 and 4096 inclusive"),
        ("unixsocketperm 999", 1, "argument couldn't be parsed as an octal number"),
        ("bind 1 2 3 4 5 6 7 8 9 a b c d e f g h", 1, "Too many bind addresses specified."),
        ("include a.conf", 1, "no file a.conf"),
        ("replicaof localhost 0", 1, "Invalid master port"),
    ] {
        let error = parsed(text).unwrap_err();
        assert_eq!((error.line, error.reason.as_str()), (line, reason), "{text}");
        assert_eq!(error.text, text.lines().last().unwrap());
    }
    let shown = parsed("prot 1").unwrap_err().to_string();
    assert!(
        shown.ends_with(
            "Reading the configuration (test.conf), at line 1\n>>> 'prot 1'\n\
             Bad directive or wrong number of arguments"
        ),
        "{shown}"
    );
}

#[test]
fn included_files_act_in_place_and_end() {
    let mut settings = defaults();
    let mut files = |pattern: &str| match pattern {
        "conf.d/*" => Ok(vec![
            ("conf.d/a".to_owned(), "hz 30\ntimeout 1".to_owned()),
            ("conf.d/b".to_owned(), "timeout 2".to_owned()),
        ]),
        "bad" => Ok(vec![("bad".to_owned(), "\nnosuch 1".to_owned())]),
        "loop" => Ok(vec![("loop".to_owned(), "include loop\n".repeat(9))]),
        "wide" => Ok(vec![("wide".to_owned(), String::new()); 600]),
        other => Err(format!("no file {other}")),
    };
    parse_file("hz 20\ninclude conf.d/*\nhz 40", "main", &mut settings, &mut files).unwrap();
    assert_eq!((settings.hz, settings.timeout), (40, 2));
    let error = parse_file("include bad", "main", &mut settings, &mut files).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("bad", 2));
    for text in ["include loop", "include wide\ninclude wide"] {
        let error = parse_file(text, "main", &mut settings, &mut files).unwrap_err();
        assert_eq!(error.reason, "Files include each other too deeply");
    }
}

#[test]
fn arguments_are_directives() {
    let parse = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let mut settings = defaults();
        parse_args(&args, &mut settings, &mut no_include).map(|()| settings)
    };
    let settings = parse(&[
        "--port",
        "7000",
        "--save",
        "--bind",
        "a",
        "b",
        "--requirepass",
        "x # y",
        "--save",
        "",
        "--client-output-buffer-limit",
        "normal 1 2 3",
    ])
    .unwrap();
    assert_eq!((settings.port, settings.requirepass.as_str()), (7000, "x # y"));
    assert_eq!(settings.bind, ["a", "b"]);
    assert_eq!(settings.client_output_buffer_limit.normal.soft_seconds, 3);
    // A directive and its values in one argument, one without `--`, and values that begin with it.
    let settings = parse(&[
        "hz",
        "20",
        "--maxmemory '700mb'",
        "--proc-title-template",
        "--save",
        "--save",
        "--loglevel verbose",
        "--shutdown-on-sigint",
        "nosave",
        "force",
    ])
    .unwrap();
    assert_eq!((settings.hz, settings.maxmemory), (20, 700 << 20));
    assert_eq!(settings.proc_title_template, "--save");
    for (args, line, text) in [
        (&["--port=7000"][..], 1, "port=7000"),
        (&["--hz", "5", "--hz", "abc"], 2, r#"hz "abc""#),
        (&["--hz", "10", "abc"], 1, r#"hz "10" "abc""#),
        (&["--hz", "--port", "abc"], 1, r#"hz "--port" "abc""#),
        (&["--replicaof", "--a", "--b"], 1, r#"replicaof "--a""#),
        (&["--hz '10"], 1, "hz '10"),
        (&["--"], 1, ""),
        (&["--hz"], 1, "hz"),
    ] {
        let error = parse(args).unwrap_err();
        assert_eq!((error.line, error.text.as_str()), (line, text));
        assert_eq!(error.file, "command line");
    }
}

#[test]
fn quoting_is_the_inverse_of_splitting() {
    for word in
        ["", "a", "a b", "#", "it's", "\"", "\\", "\n\r\t", "\u{7}\u{1}", "é", "{a} {b}", "a#b"]
    {
        let line = format!("name {}", file::quote(word));
        assert_eq!(file::split_words(&line), Some(vec!["name".into(), word.into()]), "{line}");
    }
    assert_eq!(file::quote("plain"), "plain");
}

#[test]
fn rewrite_keeps_what_it_can() {
    let old = "# comment one\nport 7603\n\n   hz 20\ninclude other.conf\nsave \"\"\nmaxmemory-clients 100mb\n\
               timeout 5\ntimeout 6\nclient-output-buffer-limit normal 1mb 1024kb 1\n\
               rename-command FLUSHALL \"\"\nslave-read-only yes\nunknown line\n# tail\n";
    let mut settings = defaults();
    let mut other = |_: &str| Ok(vec![("other.conf".into(), "tcp-keepalive 100".into())]);
    let known = old.replace("unknown line\n", "");
    parse_file(&known, "main", &mut settings, &mut other).unwrap();
    let config = Config::new(defaults(), settings);

    let untouched = config.rewrite(old);
    assert_eq!(
        untouched,
        old.replace("timeout 5\n", "") + "# Generated by CONFIG REWRITE\ntcp-keepalive 100\n"
    );

    set(
        &config,
        &[
            ("hz", "33"),
            ("requirepass", "a \"b"),
            ("maxmemory-clients", "1gb"),
            ("replica-read-only", "no"),
            ("client-output-buffer-limit", "normal 0 0 0 pubsub 3mb 1000 1"),
            ("bind", "127.0.0.1 ::1"),
        ],
    )
    .unwrap();
    let rewritten = config.rewrite(old);
    assert_eq!(
        rewritten,
        "# comment one\nport 7603\n\nhz 33\ninclude other.conf\nsave \"\"\nmaxmemory-clients 1gb\n\
         timeout 6\nclient-output-buffer-limit normal 0 0 0\n\
         rename-command FLUSHALL \"\"\nreplica-read-only no\nunknown line\n# tail\n\
         # Generated by CONFIG REWRITE\nbind 127.0.0.1 ::1\ntcp-keepalive 100\n\
         requirepass \"a \\\"b\"\nclient-output-buffer-limit pubsub 3mb 1000 1\n"
    );
    assert_eq!(config.rewrite(&rewritten), rewritten);
    assert_eq!(config.rewrite(&config.rewrite("")), config.rewrite(""));

    // What was written is what is read.
    let mut again = defaults();
    let readable = rewritten.replace("unknown line\n", "");
    parse_file(&readable, "main", &mut again, &mut other).unwrap();
    let again = Config::new(defaults(), again);
    assert_eq!(get(&again, &["*"]), get(&config, &["*"]));
}

#[test]
fn rewrite_merges_and_splits_lines_of_a_key() {
    let old = "save 60 1\nclient-output-buffer-limit normal 1 1 1 replica 2 2 2\nsave 300 10 900 1\n\
               client-output-buffer-limit slave 3 3 3\n";
    let config = Config::new(defaults(), parsed(old).unwrap());
    let rewritten = config.rewrite(old);
    assert_eq!(
        rewritten,
        "save 60 1\nsave 300 10\nsave 900 1\nclient-output-buffer-limit normal 1 1 1\n\
         client-output-buffer-limit slave 3 3 3\n"
    );
    assert_eq!(config.rewrite(&rewritten), rewritten);
    set(&config, &[("save", "")]).unwrap();
    assert_eq!(config.rewrite("save 60 1\nsave 300 10\nhz 10\n").lines().next(), Some("save \"\""));
}

#[test]
fn no_text_panics_or_breaks_rewriting() {
    const PIECES: &[&str] = &[
        "save",
        "bind",
        "hz",
        "client-output-buffer-limit",
        "normal",
        "replica",
        "user",
        "include",
        " ",
        " ",
        " ",
        "\n",
        "\n",
        "\"",
        "'",
        "\\",
        "\\x",
        "41",
        "#",
        "1",
        "10 1",
        "0 0 0",
        "1mb",
        "yes",
        "é",
        "\t",
        "\0",
        "maxmemory",
        "requirepass",
        "rename-command",
        "slave-priority",
        "# Generated by CONFIG REWRITE",
    ];
    const LINES: &[&str] = &[
        "save 10 1\n",
        "save 20 2 30 3\n",
        "save \"\"\n",
        "bind a b\n",
        "bind\n",
        "hz 20\n",
        " HZ  30 \n",
        "client-output-buffer-limit normal 1kb 1 1\n",
        "client-output-buffer-limit pubsub 0 0 0 slave 1mb 2 3\n",
        "client-output-buffer-limit \"replica 5 5 5\"\n",
        "\n",
        "# comment\n",
        "user a on\n",
        "slave-priority 5\n",
        "replica-priority 6\n",
        "maxmemory 1mb\n",
        "requirepass \"a b\\\\\"\n",
        "requirepass ''\n",
        "latency-tracking-info-percentiles \"\"\n",
        "shutdown-on-sigint now force\n",
        "replicaof a 1\n",
        "slaveof no one\n",
        "# Generated by CONFIG REWRITE\n",
        "maxmemory-clients 7%\n",
    ];
    let seed = 0xc0f1_u64;
    let mut state = seed;
    let mut accepted = 0;
    let mut next = |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for round in 0..2_000 {
        let from = if round % 2 == 0 { PIECES } else { LINES };
        let text: String = (0..next(30)).map(|_| from[next(from.len())]).collect();
        let mut settings = defaults();
        let mut include = |_: &str| Ok(Vec::new());
        let parsed = parse_file(&text, "fuzz", &mut settings, &mut include);
        let config = Config::new(defaults(), settings);
        let rewritten = config.rewrite(&text);
        let context = format!("seed {seed} round {round}: {text:?} -> {rewritten:?}");
        assert_eq!(config.rewrite(&rewritten), rewritten, "{context}");
        if parsed.is_ok() {
            accepted += 1;
            let mut again = defaults();
            parse_file(&rewritten, "fuzz", &mut again, &mut include)
                .unwrap_or_else(|error| panic!("{error}: {context}"));
            let again = Config::new(defaults(), again);
            assert_eq!(get(&again, &["*"]), get(&config, &["*"]), "{context}");
        }
    }
    assert!(accepted >= 900, "only {accepted} texts were accepted");
}

/// The documentation of all directives, by kind.
const DOCUMENTATION: &str = include_str!("../../../../docs/configuration.md");

/// Defaults that the machine decides, as the documentation names them.
const BY_MACHINE: &[(&str, &str)] =
    &[("io-threads", "the number of cores"), ("dir", "the working directory")];

/// How a directive's row in the documentation begins: name, older name, default, whether CONFIG SET may change it.
fn documented(row: &Directive, settings: &Settings) -> String {
    let alias = row.alias.map(|alias| format!(" (`{alias}`)")).unwrap_or_default();
    let value = match BY_MACHINE.iter().find(|(name, _)| *name == row.name) {
        Some((_, words)) => (*words).to_owned(),
        None if row.get(settings).is_empty() => "empty".to_owned(),
        None => format!("`{}`", row.get(settings)),
    };
    let change = match row {
        row if row.immutable || row.file_only => "no",
        row if row.protected => "protected",
        _ => "yes",
    };
    format!("| `{}`{alias} | {value} | {change} |", row.name)
}

#[test]
fn the_documentation_lists_every_directive() {
    let settings = defaults();
    let mut expected: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in directives() {
        let heading = match row.effect {
            Effect::Acting => "Directives that act",
            Effect::Promise { .. } => "Promises not kept yet",
            Effect::Remembered => "Remembered",
            Effect::Meaningless => "Meaningless here",
        };
        expected.entry(heading).or_default().push(documented(row, &settings));
    }
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut heading = "";
    for line in DOCUMENTATION.lines() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text;
        } else if line.starts_with("| `") {
            found.entry(heading).or_default().push(line);
        }
    }
    let mut wrong = Vec::new();
    for (heading, rows) in &expected {
        let lines = found.remove(heading).unwrap_or_default();
        let missing = rows.iter().filter(|row| !lines.iter().any(|line| line.starts_with(*row)));
        wrong.extend(missing.map(|row| format!("missing under '{heading}': {row}")));
        let surplus = lines.iter().filter(|line| !rows.iter().any(|row| line.starts_with(row)));
        wrong.extend(surplus.map(|line| format!("wrong under '{heading}': {line}")));
        if lines.len() > rows.len() {
            wrong.push(format!("a directive twice under '{heading}'"));
        }
    }
    wrong.extend(found.keys().map(|heading| format!("directives under '{heading}'")));
    assert!(wrong.is_empty(), "docs/configuration.md:\n{}", wrong.join("\n"));
}

/// `respire.conf`, which is made from the documentation.
const CONFIGURATION: &str = include_str!("../../../../respire.conf");

#[test]
fn the_configuration_file_holds_every_directive_that_acts_at_its_default() {
    assert_eq!(parsed(CONFIGURATION).unwrap().explicit.len(), 0, "every line is commented out");
    // A directive is the last line of its paragraph.
    let lines: Vec<&str> = CONFIGURATION
        .split("\n\n")
        .filter_map(|paragraph| paragraph.lines().last()?.strip_prefix("# "))
        .collect();
    let (settings, machine) = (defaults(), ["io-threads", "dir", "user", "rename-command"]);
    for row in directives().filter(|row| row.effect == Effect::Acting) {
        let starts = format!("{} ", row.name);
        let line = lines.iter().find(|line| line.starts_with(&starts));
        let line = line.unwrap_or_else(|| panic!("{} is missing", row.name));
        let uncommented = parsed(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        if !machine.contains(&row.name) {
            assert_eq!(row.get(&uncommented), row.get(&settings), "{line}");
        }
    }
}
