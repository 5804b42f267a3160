//! Random rules and damaged files: nothing panics, what is printed makes the same user again, and a file with a mistake
//! changes nothing.

use super::*;
use crate::command::registry;
use crate::harness::Harness;

fn user_of(rules: &[&str]) -> User {
    let mut user = User::new(b"u", false);
    for rule in join_selectors(rules.iter().map(|rule| rule.as_bytes())).unwrap() {
        user.apply(&rule, false).unwrap_or_else(|error| panic!("{rules:?}: {}", error.text()));
    }
    user
}

fn text_of(rules: &[&str]) -> String {
    String::from_utf8(user_of(rules).describe()).unwrap()
}

#[test]
fn rules_are_shown_in_their_order_without_what_was_replaced() {
    let cases: [(&[&str], &str); 14] = [
        (&[], "off sanitize-payload resetchannels -@all"),
        (
            &["on", ">a", "~k", "&c"],
            "on sanitize-payload #ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb ~k resetchannels &c -@all",
        ),
        (
            &["+@all", "-@string", "-@hash", "+GET"],
            "off sanitize-payload resetchannels +@all -@string -@hash +get",
        ),
        (&["+get", "+@Read", "-get"], "off sanitize-payload resetchannels -@all +@read -get"),
        (&["+@read", "-@read"], "off sanitize-payload resetchannels -@all -@read"),
        (&["+get", "-@all", "+set"], "off sanitize-payload resetchannels -@all +set"),
        (
            &["+config|get", "-config|set", "+config"],
            "off sanitize-payload resetchannels -@all +config",
        ),
        (
            &["-config", "+config|get"],
            "off sanitize-payload resetchannels -@all -config +config|get",
        ),
        (
            &["+select|0", "+select|1", "+select|0"],
            "off sanitize-payload resetchannels -@all +select|0 +select|1",
        ),
        (&["+select|0", "-select"], "off sanitize-payload resetchannels -@all -select"),
        (&["%R~a", "%W~a", "%r~b", "%RW~c"], "off sanitize-payload ~a %R~b ~c resetchannels -@all"),
        (&["~a", "allkeys", "&x", "allchannels"], "off sanitize-payload ~* &* -@all"),
        (
            &["(+get", "~a)", "(~* &*)"],
            "off sanitize-payload resetchannels -@all (~a resetchannels -@all +get) (~* &* -@all)",
        ),
        (
            &["+cluster|info", "-role"],
            "off sanitize-payload resetchannels -@all +cluster|info -role",
        ),
    ];
    for (rules, text) in cases {
        assert_eq!(text_of(rules), text, "{rules:?}");
    }
}

#[test]
fn a_rule_that_is_refused_changes_nothing() {
    let before = user_of(&["on", ">p", "~a", "+get", "(~b +set)"]);
    for rule in [
        "+nosuch",
        "+@nosuch",
        "-get|x",
        "+get|a b",
        "%~a",
        "%RR~a",
        "%X~a",
        "~a b",
        "&a\tb",
        "!abc",
        "#abc",
        "<other",
        "(+get on)",
        "(+get",
        "nonsense",
        "+config|get|x",
        "+config|",
        "+cluster|",
        "(~\"a)",
    ] {
        let mut user = before.clone();
        assert!(user.apply(rule.as_bytes(), false).is_err(), "{rule}");
        assert_eq!(user, before, "{rule}");
    }
}

/// Words that make rules, right and wrong.
fn random_rule(rng: &mut fastrand::Rng) -> Vec<u8> {
    const WHOLE: &[&str] = &[
        "on",
        "off",
        "nopass",
        "resetpass",
        "reset",
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "+@all",
        "-@all",
        "allcommands",
        "nocommands",
        "clearselectors",
        "sanitize-payload",
        "skip-sanitize-payload",
        "",
        "ON",
        "(",
        ")",
        "()",
        "(+get)",
        "(~a",
        "+set)",
    ];
    const HEADS: &[&str] = &[
        "+", "-", "+@", "-@", "~", "&", "%R~", "%W~", "%RW~", "%", ">", "<", "#", "!", "(", "(+",
        "(~",
    ];
    const TAILS: &[&str] = &[
        "get",
        "set",
        "config",
        "config|get",
        "config|set",
        "client|kill",
        "select",
        "select|0",
        "GET|x",
        "read",
        "write",
        "fast",
        "dangerous",
        "all",
        "*",
        "a*",
        "b",
        "a)",
        "\"q\"",
        "\\x00",
        "cluster",
        "cluster|info",
        "R~x",
        "é",
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    ];
    match rng.u8(..10) {
        0..3 => rng.choice(WHOLE).expect("there are some").as_bytes().to_vec(),
        3..9 => {
            let mut rule = rng.choice(HEADS).expect("there are some").as_bytes().to_vec();
            rule.extend_from_slice(rng.choice(TAILS).expect("there are some").as_bytes());
            if rng.u8(..8) == 0 {
                rule.extend_from_slice(b")");
            }
            rule
        }
        _ => (0..rng.usize(..6)).map(|_| rng.u8(..)).collect(),
    }
}

/// A user that random rules have made; those that are refused left it as it was.
fn random_user(rng: &mut fastrand::Rng, name: &[u8]) -> User {
    let mut user = User::new(name, false);
    let rules: Vec<Vec<u8>> = (0..rng.usize(..30)).map(|_| random_rule(rng)).collect();
    let Ok(rules) = join_selectors(rules.iter().map(Vec::as_slice)) else { return user };
    for rule in rules {
        let before = user.clone();
        if user.apply(&rule, rng.bool()).is_err() {
            assert_eq!(user, before, "{rule:?} was refused, and did something");
        }
    }
    user
}

#[test]
fn what_is_printed_makes_the_same_users_again() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for round in 0..1500 {
        let mut users = Users::new();
        for name in [&b""[..], b"a", b"(b", b"#c", b"\xff)"] {
            users.insert(name.into(), Arc::new(random_user(&mut rng, name)));
        }
        let text = file::print(&users);
        let context = format!("seed {seed} round {round}: {}", String::from_utf8_lossy(&text));
        let again = file::parse(&text, "users", false)
            .unwrap_or_else(|error| panic!("{}: {context}", String::from_utf8_lossy(&error)));
        assert_eq!(again.len(), users.len(), "{context}");
        for (name, user) in &users {
            assert!(user.is_as(&again[name]), "{context}\n{user:?}\n{:?}", again[name]);
        }
    }
}

#[test]
fn no_damaged_file_panics_or_half_loads() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut refused, rounds) = (0, 3000);
    for round in 0..rounds {
        let users: Users = [&b"default"[..], b"a", b"b"]
            .map(|name| (name.into(), Arc::new(random_user(&mut rng, name))))
            .into();
        let mut text = file::print(&users);
        for _ in 0..rng.usize(1..6).min(text.len()) {
            let at = rng.usize(..text.len());
            match rng.u8(..4) {
                0 => text[at] = rng.u8(..),
                1 => drop(text.remove(at)),
                2 => text.insert(at, *rng.choice(b"()|~%&+-@#>\n \0").expect("there are some")),
                _ => text.truncate(at.max(8)),
            }
        }
        let context = format!("seed {seed} round {round}: {}", String::from_utf8_lossy(&text));
        match file::parse(&text, "users", false) {
            Ok(loaded) => {
                let again = file::parse(&file::print(&loaded), "users", false);
                assert!(again.is_ok_and(|again| again.len() == loaded.len()), "{context}");
            }
            Err(error) => {
                refused += 1;
                assert!(error.ends_with(b"rules was performed"), "{context}");
            }
        }
    }
    assert!(refused > rounds / 4, "seed {seed}: only {refused} were refused");
}

#[test]
fn every_wrong_line_of_a_file_is_named() {
    let text = b"user a on\n# no comments\nuser\n\n  user b foo\r\nuser c +nosuch ~a\nuser a off\nuser d (+get\n";
    let error = file::parse(text, "/u.acl", false).unwrap_err();
    assert_eq!(
        String::from_utf8(error).unwrap(),
        "/u.acl:2 should start with user keyword followed by the username. /u.acl:3 should start with user keyword \
         followed by the username. /u.acl:5: Syntax error. /u.acl:6: Error in applying operation '+nosuch': Unknown \
         command or category name in ACL. WARNING: Duplicate user 'a' found on line 7. /u.acl:8: Unmatched \
         parenthesis in selector definition. WARNING: ACL errors detected, no change to the previously active ACL \
         rules was performed"
    );
}

#[test]
fn passwords_prove_who_is_enabled_only() {
    let user = user_of(&["on", ">one", ">two"]);
    assert!(user::proves(Some(&user), b"one") && user::proves(Some(&user), b"two"));
    assert!(!user::proves(Some(&user), b"three") && !user::proves(Some(&user), b""));
    assert!(!user::proves(None, b"one"));
    assert!(!user::proves(Some(&user_of(&["on"])), b""));
    assert!(!user::proves(Some(&user_of(&[">one"])), b"one"));
    assert!(!user::proves(Some(&user_of(&["nopass"])), b"one"));
    assert!(user::proves(Some(&user_of(&["on", "nopass"])), b"anything"));
}

/// A call with as many arguments as the command takes at least.
fn call(command: &crate::command::Command) -> Vec<String> {
    let mut words: Vec<String> = command.full_name.split('|').map(str::to_owned).collect();
    while words.len() < command.row.arity.unsigned_abs() as usize {
        words.push("1".into());
    }
    words
}

#[test]
fn every_command_is_refused_without_its_right_and_allowed_with_nothing_else() {
    let mut h = Harness::with_settings(|settings| {
        settings.enable_debug_command = crate::config::Permission::Yes;
        let text = "enable-module-command yes";
        crate::config::parse_file(text, "a file", settings, &mut |_| Ok(Vec::new()))
            .expect("a directive");
    });
    let other = h.connect();
    h.line("ACL SETUSER u on nopass ~* &*");
    h.run_as(other, &["AUTH", "u", "x"]);
    let mut refused = 0;
    for command in registry().all() {
        let words = call(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if !command.subcommands.is_empty() && command.row.arity == -2 {
            continue; // A name only: what can be called are its subcommands.
        }
        let name = command.full_name;
        let dryrun = [&["ACL", "DRYRUN", "u"], &words[..]].concat();
        let denial = format!("User u has no permissions to run the '{name}' command");
        h.run(&["ACL", "SETUSER", "u", "-@all", &format!("+{name}")]);
        assert_eq!(h.run(&dryrun), "+OK\r\n", "{name}");
        if command.row.has(crate::command::Flags::NO_AUTH) {
            h.run(&["ACL", "SETUSER", "u", "-@all"]);
            assert_eq!(h.run(&dryrun), "+OK\r\n", "{name} is for everybody");
            continue;
        }
        for rules in [&["-@all"][..], &["+@all", &format!("-{name}")]] {
            h.run(&[&["ACL", "SETUSER", "u"], rules].concat());
            assert!(h.run(&dryrun).contains(&denial), "{name} by {rules:?}");
            let reply = h.run_as(other, &words);
            let expected =
                format!("NOPERM User u has no permissions to run the '{name}' command\r\n");
            // EXEC says that it discards the transaction, which there is none of.
            assert!(reply.ends_with(&expected), "{reply} by {rules:?}");
        }
        refused += 1;
    }
    assert!(refused > 250, "{refused}");
}

#[test]
fn a_category_gives_its_commands_and_no_others() {
    for category in crate::command::CATEGORIES {
        let user = user_of(&[&format!("+@{category}"), "~*", "&*"]);
        for command in registry().all() {
            let words = call(command);
            let parts: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            let args = respire_resp::OwnedArgs::from_parts(&parts);
            let allowed = user.check(command, &args.as_args()).is_ok();
            let mut of = vec![command];
            of.extend(command.parent.map(|parent| registry().get(parent)));
            let expected = command.row.has(crate::command::Flags::NO_AUTH)
                || of.iter().any(|of| of.row.categories().any(|name| name == *category));
            assert_eq!(allowed, expected, "{} by @{category}", command.full_name);
        }
    }
}
