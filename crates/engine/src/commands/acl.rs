//! ACL: users, what they may do, and what they were refused. The rules themselves are in `crate::acl`.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use respire_datatypes::float::format_f64;
use respire_datatypes::integer::parse_i64;
use respire_resp::{Args, Out};

use crate::acl::{RuleError, Selector, User, Users, is_user_name, join_selectors, line};
use crate::client::DEFAULT_USER;
use crate::command::{CATEGORIES, Command, Flags, Group, Handler, Row, registry};
use crate::commands::reply_help;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome, shown};
use crate::worker::{Delivery, Message};

const EVERYBODY: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::NOSCRIPT);
const ADMIN: Flags = EVERYBODY.union(Flags::ADMIN);

/// A row of this group.
const fn row(
    name: &'static str,
    arity: i32,
    handler: Handler,
    complexity: &'static str,
    text: [&'static str; 2],
) -> Row {
    let row = Row::new(name, arity, handler).flags(ADMIN);
    row.docs(Group::Server, "6.0.0", complexity, text[0], text[1])
}

const USERS: &str = "O(N) with the number of users";

// None that changes users may be called O(1): only what is measured singly is noticed by what follows it at once.
pub(crate) const ROWS: &[Row] = &[Row::container(
    "acl",
    &[
        row("cat", -2, cat, "O(1)", ["Lists categories, or the commands of one.", "[category]"])
            .flags(EVERYBODY),
        row(
            "deluser",
            -3,
            deluser,
            USERS,
            ["Removes users, and disconnects who is logged in as one.", "username [username ...]"],
        )
        .secret(behind_subcommand),
        row(
            "dryrun",
            -4,
            dryrun,
            "O(N) with the number of rules",
            ["Says whether a user may make a call.", "username command [arg ...]"],
        ),
        row("genpass", -2, genpass, "O(1)", ["Makes up a password.", "[bits]"]).flags(EVERYBODY),
        row(
            "getuser",
            3,
            getuser,
            "O(N) with the number of rules",
            ["Describes a user, field by field.", "username"],
        )
        .secret(behind_subcommand),
        row("help", 2, help, "O(1)", ["Describes the subcommands.", ""])
            .flags(Flags::LOADING.union(Flags::STALE)),
        row("list", 2, list, USERS, ["Describes all users, as an ACL file does.", ""]),
        row("load", 2, load, USERS, ["Reads the users from the ACL file.", ""]),
        row(
            "log",
            -2,
            log,
            "O(N) with the number of entries shown",
            ["Shows what was refused.", "[count | RESET]"],
        ),
        row("save", 2, save, USERS, ["Writes the users to the ACL file.", ""]),
        row(
            "setuser",
            -3,
            setuser,
            "O(N) with the number of rules",
            ["Changes a user, or makes a new one.", "username [rule ...]"],
        )
        .secret(behind_subcommand),
        row("users", 2, users, USERS, ["Lists the names of the users.", ""]),
        row("whoami", 2, whoami, "O(1)", ["Returns the name of the client's user.", ""])
            .flags(EVERYBODY),
    ],
)
.docs(
    Group::Server,
    "6.0.0",
    "Depends on the subcommand",
    "Container of the commands about users.",
    "",
)];

/// The name and the rules, which may be passwords.
fn behind_subcommand(_: &Args<'_>, i: usize) -> bool {
    i > 1
}

fn cat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let args = ctx.args;
    match args.len() {
        2 => {
            ctx.out.array(CATEGORIES.len());
            CATEGORIES.iter().for_each(|name| ctx.out.bulk(name.as_bytes()));
        }
        3 => {
            let mut all = CATEGORIES.iter();
            let asked = all.find(|name| name.as_bytes().eq_ignore_ascii_case(args.get(2)));
            let asked =
                asked.ok_or_else(|| Error::quoting("ERR Unknown category '", args.get(2), "'"))?;
            let is_in = |command: &&Command| command.row.categories().any(|name| name == *asked);
            let found: Vec<&Command> = registry().all().iter().filter(is_in).collect();
            ctx.out.array(found.len());
            found.iter().for_each(|command| ctx.out.bulk(command.full_name.as_bytes()));
        }
        _ => return Err(Error::subcommand_syntax("acl", args.get(1))),
    }
    Ok(())
}

fn whoami(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.bulk(ctx.session.user.name());
    Ok(())
}

fn users(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let users = ctx.engine.acl.users();
    ctx.out.array(users.len());
    users.keys().for_each(|name| ctx.out.bulk(name));
    Ok(())
}

fn list(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let users = ctx.engine.acl.users();
    ctx.out.array(users.len());
    users.values().for_each(|user| ctx.out.bulk(&line(user)));
    Ok(())
}

fn getuser(ctx: &mut Ctx<'_, '_>) -> Outcome {
    match ctx.engine.acl.user(ctx.args.get(2)) {
        Some(user) => reply_user(ctx.out, &user),
        None => ctx.out.null(),
    }
    Ok(())
}

fn reply_user(out: &mut Out, user: &User) {
    out.map(6);
    out.bulk(b"flags");
    let flags = user.flags();
    out.set(flags.clone().count());
    flags.for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    let passwords: Vec<String> = user.passwords().collect();
    out.array(passwords.len());
    passwords.iter().for_each(|digest| out.bulk(digest.as_bytes()));
    let mut selectors = user.all_selectors();
    selectors.by_ref().take(1).for_each(|root| reply_selector(out, root));
    out.bulk(b"selectors");
    let selectors: Vec<&Selector> = selectors.collect();
    out.array(selectors.len());
    for selector in selectors {
        out.map(3);
        reply_selector(out, selector);
    }
}

fn reply_selector(out: &mut Out, selector: &Selector) {
    let fields = [
        ("commands", selector.describe_commands().into_bytes()),
        ("keys", selector.describe_keys()),
        ("channels", selector.describe_channels()),
    ];
    for (name, text) in fields {
        out.bulk(name.as_bytes());
        out.bulk(&text);
    }
}

fn setuser(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let name = ctx.args.get(2);
    if !is_user_name(name) {
        return Err(Error::fixed("ERR Usernames can't contain spaces or null characters"));
    }
    let rules = join_selectors(ctx.args.iter_from(3)).map_err(|opened| {
        Error::quoting("ERR Unmatched parenthesis in acl selector starting at '", &opened, "'.")
    })?;
    let all_channels = crate::acl::all_channels(ctx.settings);
    let changing = ctx.engine.acl.change();
    let mut users = Users::clone(&ctx.engine.acl.users());
    let known = users.get(name).map(|user| User::clone(user));
    let mut user = known.unwrap_or_else(|| User::new(name, all_channels));
    for rule in rules {
        user.apply(&rule, all_channels).map_err(|error| refused(&rule, error))?;
    }
    users.insert(name.into(), Arc::new(user));
    changing.replace(users);
    for_clients_of(ctx, &[name.into()], Message::Recheck);
    ctx.out.ok();
    Ok(())
}

fn refused(rule: &[u8], error: RuleError) -> Error {
    let rule: Vec<u8> = shown(rule, rule.len()).to_vec();
    Error::quoting("ERR Error in ACL SETUSER modifier '", &rule, &format!("': {}", error.text()))
}

fn deluser(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let names: Vec<Box<[u8]>> = ctx.args.iter_from(2).map(Box::from).collect();
    if names.iter().any(|name| **name == *DEFAULT_USER) {
        return Err(Error::fixed("ERR The 'default' user cannot be removed"));
    }
    let changing = ctx.engine.acl.change();
    let mut users = Users::clone(&ctx.engine.acl.users());
    let before = users.len();
    names.iter().for_each(|name| drop(users.remove(name)));
    let removed = before - users.len();
    changing.replace(users);
    drop(changing);
    for_clients_of(ctx, &names, Message::Kill);
    ctx.out.int(removed as i64);
    Ok(())
}

fn load(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let gone =
        ctx.engine.reload_users().map_err(|text| Error::bytes([b"ERR ", &text[..]].concat()))?;
    for_clients_of(ctx, &gone, Message::Kill);
    for_clients_of(ctx, &[DEFAULT_USER.into()], Message::Recheck);
    ctx.out.ok();
    Ok(())
}

fn save(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.engine.save_users().map_err(|text| Error::text(format!("ERR {text}")))?;
    ctx.out.ok();
    Ok(())
}

/// Tells the clients of some users that these have changed, or are gone.
fn for_clients_of(ctx: &mut Ctx<'_, '_>, users: &[Box<[u8]>], message: Message) {
    // Who begins to listen at this moment either is seen below or sees the change: see `Engine::may_listen_still`.
    fence(Ordering::SeqCst);
    for client in ctx.engine.clients.list() {
        let listens = || client.subscriptions.iter().any(|of| of.load(Ordering::Relaxed) > 0);
        if matches!(message, Message::Recheck) && !listens() {
            continue;
        }
        if !users.iter().any(|user| **user == *client.names.lock().user) {
            continue;
        }
        if client.id == ctx.session.info.id {
            ctx.session.closing |= match message {
                Message::Kill => true,
                _ => !ctx.engine.may_listen(ctx.session),
            };
        } else {
            let (thread, message) = (client.thread, message.clone());
            ctx.worker.outbox.push(Delivery { thread, client: client.id, message });
        }
    }
}

fn dryrun(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let args = ctx.args;
    let user = ctx.engine.acl.user(args.get(2));
    let user = user.ok_or_else(|| Error::quoting("ERR User '", args.get(2), "' not found"))?;
    let call = args.skip(3);
    let command = registry().called(&call);
    let command =
        command.ok_or_else(|| Error::quoting("ERR Command '", call.get(0), "' not found"))?;
    if !command.takes(call.len()) {
        return Err(Error::arity(command.full_name));
    }
    match user.check(command, &call) {
        Ok(()) => ctx.out.ok(),
        Err(denial) => ctx.out.bulk(&denial.explanation(&user, command, &call)),
    }
    Ok(())
}

/// As many hexadecimal digits as hold the bits that were asked for.
fn genpass(ctx: &mut Ctx<'_, '_>) -> Outcome {
    const BITS: i64 = 256;
    const BITS_MAX: i64 = 4096;
    let bits = match ctx.args.len() {
        2 => BITS,
        3 => parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?,
        _ => return Err(Error::subcommand_syntax("acl", ctx.args.get(1))),
    };
    if !(1..=BITS_MAX).contains(&bits) {
        return Err(Error::text(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to \
             {BITS_MAX}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    let mut bytes = vec![0; digits.div_ceil(2)];
    let filled = ctx.engine.host.random(&mut bytes);
    filled.map_err(|reason| Error::text(format!("ERR {reason}")))?;
    let mut text = crate::acl::hex(&bytes);
    text.truncate(digits);
    ctx.out.bulk(text.as_bytes());
    Ok(())
}

fn log(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let log = &ctx.engine.acl.log;
    let count = match (ctx.args.len(), ctx.args.try_get(2)) {
        (2, _) => 10,
        (3, Some(word)) if word.eq_ignore_ascii_case(b"reset") => {
            log.reset();
            ctx.out.ok();
            return Ok(());
        }
        (3, Some(count)) => parse_i64(count).ok_or(Error::NOT_INTEGER)?,
        _ => return Err(Error::subcommand_syntax("acl", ctx.args.get(1))),
    };
    let entries = log.newest(usize::try_from(count).unwrap_or(0));
    let now_ms = ctx.engine.clock.unix_us() / 1000;
    let out = &mut *ctx.out;
    out.array(entries.len());
    for entry in entries {
        out.map(10);
        out.bulk(b"count");
        out.int(entry.count as i64);
        let texts: [(&str, &[u8]); 4] = [
            ("reason", entry.reason.name().as_bytes()),
            ("context", entry.context.name().as_bytes()),
            ("object", &entry.object),
            ("username", &entry.user),
        ];
        for (name, text) in texts {
            out.bulk(name.as_bytes());
            out.bulk(text);
        }
        out.bulk(b"age-seconds");
        out.double(&format_f64((now_ms - entry.updated_ms) as f64 / 1000.0));
        out.bulk(b"client-info");
        out.bulk(&entry.client);
        let numbers = [
            ("entry-id", entry.id as i64),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", entry.updated_ms),
        ];
        for (name, number) in numbers {
            out.bulk(name.as_bytes());
            out.int(number);
        }
    }
    Ok(())
}

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "CAT [<category>]",
            "    The categories, or the commands of one of them.",
            "DELUSER <username> [<username> ...]",
            "    Remove users, and disconnect who is logged in as one of them.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Say whether the user may make that call, and make it not.",
            "GETUSER <username>",
            "    What a user may do, field by field.",
            "GENPASS [<bits>]",
            "    Make up a password that can't be guessed, of 256 bits unless told otherwise.",
            "LIST",
            "    All users, in the form of an ACL file.",
            "LOAD",
            "    Put the users of the ACL file in force.",
            "LOG [<count> | RESET]",
            "    The newest refusals, 10 unless told otherwise; or forget them.",
            "SAVE",
            "    Write the users to the ACL file.",
            "SETUSER <username> <rule> [<rule> ...]",
            "    Change a user by rules, or make a new one.",
            "USERS",
            "    The names of all users.",
            "WHOAMI",
            "    The name of the user that this connection is logged in as.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    const NO_KEY: &str = "-NOPERM No permissions to access a key\r\n";

    /// A harness in which client 1 is the user `u`, who may do what `rules` say.
    fn with_user(rules: &str) -> Harness {
        let mut h = Harness::new();
        assert_eq!(h.line(&format!("ACL SETUSER u on >p {rules}")), "+OK\r\n");
        let other = h.connect();
        assert_eq!(h.run_as(other, &["AUTH", "u", "p"]), "+OK\r\n");
        h
    }

    fn as_user(h: &mut Harness, line: &str) -> String {
        h.run_as(1, &line.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn keys_are_allowed_for_what_is_done_to_them() {
        let mut h = with_user("+@all ~k* %R~r* %W~w*");
        for allowed in [
            "GET r",
            "SET w 1",
            "COPY r w",
            "RENAME k1 w",
            "EXISTS w",
            "BITFIELD r GET u8 0",
            "SORT r STORE w",
            "GEORADIUS r 0 0 1 m STORE w",
            "DEL w",
            "LLEN w",
            "PING",
            "KEYS *",
            "XREAD STREAMS r 0",
        ] {
            let reply = as_user(&mut h, allowed);
            assert!(!reply.starts_with("-NOPERM"), "{allowed}: {reply}");
        }
        for refused in [
            "GET w",
            "SET r 1",
            "SET w 1 GET",
            "COPY w r",
            "RENAME r k",
            "BITFIELD r SET u8 0 1",
            "EXISTS z",
            "SORT r STORE r",
            "MGET r z",
            "INCR w",
            "XREAD STREAMS r w 0 0",
            "GETDEL w",
            "ZUNIONSTORE w 1 w",
        ] {
            assert_eq!(as_user(&mut h, refused), NO_KEY, "{refused}");
        }
    }

    #[test]
    fn a_selector_allows_as_a_whole() {
        let mut h = with_user("+get ~a (+set ~b) (+mget ~a ~b)");
        for allowed in ["GET a", "SET b 1", "MGET a b"] {
            assert!(!as_user(&mut h, allowed).starts_with('-'), "{allowed}");
        }
        assert_eq!(as_user(&mut h, "GET b"), NO_KEY);
        assert_eq!(as_user(&mut h, "SET a 1"), NO_KEY);
        assert_eq!(
            as_user(&mut h, "DEL a"),
            "-NOPERM User u has no permissions to run the 'del' command\r\n"
        );
    }

    #[test]
    fn sorting_by_other_keys_needs_all_of_them() {
        let mut h = with_user("+@all ~k");
        assert!(as_user(&mut h, "SORT k BY x*").starts_with("-ERR BY option of SORT denied"));
        assert!(as_user(&mut h, "SORT k GET #").starts_with("-ERR GET option of SORT denied"));
        assert_eq!(as_user(&mut h, "SORT k BY nosort"), "*0\r\n");
        h.line("ACL SETUSER u (%R~* +sort)");
        assert_eq!(as_user(&mut h, "SORT k BY x* GET #"), "*0\r\n");
    }

    #[test]
    fn a_change_acts_on_the_very_next_command() {
        let mut h = Harness::new();
        assert_eq!(h.line("GET k"), "$-1\r\n");
        h.line("MULTI");
        h.line("ACL SETUSER default -get");
        h.line("GET k");
        let reply = h.line("EXEC");
        assert!(reply.contains("-NOPERM ACLs rules changed between"), "{reply}");
        assert!(
            reply.ends_with("no permission to execute the command or subcommand\r\n"),
            "{reply}"
        );
        assert!(h.line("GET k").starts_with("-NOPERM"));
        h.line("ACL SETUSER default +get");
        assert_eq!(h.line("GET k"), "$-1\r\n");
        h.line("CONFIG SET requirepass x");
        assert_eq!(h.line("GET k"), "$-1\r\n", "who is in stays in");
    }

    #[test]
    fn transactions_are_checked_when_queued_and_when_run() {
        let mut h = with_user("+get +set +multi +exec ~a");
        as_user(&mut h, "MULTI");
        assert_eq!(as_user(&mut h, "GET b"), NO_KEY);
        assert!(as_user(&mut h, "EXEC").starts_with("-EXECABORT"));
        as_user(&mut h, "MULTI");
        assert_eq!(as_user(&mut h, "SET a 1"), "+QUEUED\r\n");
        assert_eq!(as_user(&mut h, "GET a"), "+QUEUED\r\n");
        h.line("ACL SETUSER u resetkeys -get");
        let reply = as_user(&mut h, "EXEC");
        assert!(reply.starts_with("*2\r\n-NOPERM ACLs rules changed"), "{reply}");
        assert_eq!(
            reply.matches("no permission to touch the specified keys").count(),
            1,
            "{reply}"
        );
        assert_eq!(h.line("EXISTS a"), ":0\r\n");
        let totals = h.engine.stats.totals();
        assert_eq!((totals.acl_denied_key, totals.acl_denied_cmd), (2, 1));
    }

    #[test]
    fn who_is_removed_is_disconnected_and_does_not_come_back_as_a_namesake() {
        let mut h = with_user("+@all ~*");
        assert_eq!(h.line("ACL DELUSER default"), "-ERR The 'default' user cannot be removed\r\n");
        assert_eq!(h.line("ACL DELUSER u nosuch"), ":1\r\n");
        assert_eq!(h.deliveries(), [(2, None)]);
        h.line("ACL SETUSER u on nopass +@all ~*");
        assert_eq!(as_user(&mut h, "GET a"), "", "it learns nothing");
        assert!(h.sessions[1].closing && !h.sessions[1].authenticated);
    }

    #[test]
    fn who_removes_itself_gets_the_reply_and_goes() {
        let mut h = with_user("+@all ~*");
        assert_eq!(as_user(&mut h, "ACL DELUSER u"), ":1\r\n");
        assert!(h.sessions[1].closing);
    }

    #[test]
    fn a_disabled_user_stays_in_but_nobody_becomes_it() {
        let mut h = with_user("+@all ~*");
        h.line("ACL SETUSER u off");
        assert_eq!(as_user(&mut h, "ACL WHOAMI"), "$1\r\nu\r\n");
        assert!(as_user(&mut h, "AUTH u p").starts_with("-WRONGPASS"));
        assert_eq!(as_user(&mut h, "RESET"), "+RESET\r\n");
        assert_eq!(as_user(&mut h, "ACL WHOAMI"), "$7\r\ndefault\r\n");
        h.line("ACL SETUSER default off");
        let newcomer = h.connect();
        assert_eq!(h.run_as(newcomer, &["PING"]), "-NOAUTH Authentication required.\r\n");
    }

    #[test]
    fn listeners_go_when_they_may_listen_no_longer() {
        let mut h = with_user("+@all ~* &news &p*");
        assert!(as_user(&mut h, "SUBSCRIBE other").starts_with("-NOPERM"));
        assert!(as_user(&mut h, "PSUBSCRIBE pa*").starts_with("-NOPERM"), "patterns are literal");
        assert!(as_user(&mut h, "PSUBSCRIBE p*").contains(":1\r\n"));
        assert!(as_user(&mut h, "SUBSCRIBE news").contains(":2\r\n"));
        h.line("ACL SETUSER u >other");
        assert_eq!(h.deliveries(), [(2, Some("recheck".into()))]);
        assert!(h.engine.may_listen(&h.sessions[1]));
        h.line("ACL SETUSER u resetchannels &news &pa*");
        assert!(!h.engine.may_listen(&h.sessions[1]));
    }

    #[test]
    fn refusals_are_logged() {
        let mut h = with_user("+get +config|get ~a");
        for line in ["GET b", "MGET a", "CONFIG SET x y", "GET b", "AUTH u wrong"] {
            as_user(&mut h, line);
            h.advance_ms(1000);
        }
        let reply = h.line("ACL LOG");
        let entries: Vec<&str> = reply.split("$5\r\ncount\r\n").skip(1).collect();
        let heads: Vec<String> = (entries.iter())
            .map(|entry| entry.split("\r\n").step_by(2).take(5).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(entries.len(), 4, "{reply}");
        assert!(entries[0].starts_with(":1\r\n$6\r\nreason\r\n$4\r\nauth\r\n"), "{heads:?}");
        assert!(entries[0].contains("object\r\n$4\r\nAUTH\r\n$8\r\nusername\r\n$1\r\nu\r\n"));
        assert!(entries[1].starts_with(":2\r\n$6\r\nreason\r\n$3\r\nkey\r\n"), "{heads:?}");
        assert!(entries[1].contains("age-seconds\r\n$1\r\n2\r\n"), "{reply}");
        assert!(entries[2].contains("object\r\n$10\r\nconfig|set\r\n"), "{reply}");
        assert!(entries[1].contains(" cmd=get user=u "), "{reply}");
        assert!(h.line("ACL LOG 1").starts_with("*1\r\n"));
        assert_eq!(h.line("ACL LOG -1"), "*0\r\n");
        assert_eq!(h.line("ACL LOG RESET"), "+OK\r\n");
        assert_eq!(h.line("ACL LOG"), "*0\r\n");
        let info = h.line("INFO stats");
        for field in ["auth:1", "cmd:2", "key:2", "channel:0"] {
            assert!(info.contains(&format!("acl_access_denied_{field}\r\n")), "{field}");
        }
    }

    #[test]
    fn setuser_is_all_or_nothing_and_shows_no_password() {
        let mut h = Harness::with_settings(|settings| settings.slowlog_log_slower_than = 0);
        let before = h.line("ACL LIST");
        assert_eq!(
            h.line("ACL SETUSER u on >secret +nosuch"),
            "-ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL\r\n"
        );
        assert_eq!(
            h.line("ACL SETUSER u on (+get"),
            "-ERR Unmatched parenthesis in acl selector starting at '(+get'.\r\n"
        );
        assert_eq!(h.line("ACL LIST"), before);
        h.line("ACL SETUSER u on >secret");
        assert!(!h.line("SLOWLOG GET").contains("secret"));
        // Names, too, may be passwords that were typed in the wrong place.
        h.line("ACL GETUSER typed");
        h.line("ACL DELUSER typed");
        assert!(!h.line("SLOWLOG GET").contains("typed"));
        assert!(!h.line("ACL LIST").contains("secret"));
        assert!(h.run(&["ACL", "SETUSER", "a b"]).starts_with("-ERR Usernames can't contain"));
    }

    #[test]
    fn without_a_file_there_is_none_to_load_or_save() {
        let mut h = Harness::new();
        for line in ["ACL LOAD", "ACL SAVE"] {
            assert!(
                h.line(line).starts_with("-ERR This Redis instance is not configured to use an")
            );
        }
        assert!(h.line("ACL GENPASS 0").contains("a positive number up to 4096"));
        assert!(h.line("ACL GENPASS 4097").contains("a positive number up to 4096"));
    }

    #[test]
    fn the_password_of_requirepass_is_the_default_users() {
        let mut h = Harness::new();
        h.line("CONFIG SET requirepass foo");
        assert!(h.line("ACL LIST").contains("user default on sanitize-payload #2c26b46b68ff"));
        h.line("ACL SETUSER default >bar");
        let newcomer = h.connect();
        for (password, reply) in [("baz", "-WRONGPASS"), ("foo", "+OK"), ("bar", "+OK")] {
            assert!(h.run_as(newcomer, &["AUTH", password]).starts_with(reply), "{password}");
        }
        h.line("CONFIG SET requirepass new");
        assert!(h.run_as(newcomer, &["AUTH", "bar"]).starts_with("-WRONGPASS"));
        h.run(&["CONFIG", "SET", "requirepass", ""]);
        assert!(h.line("ACL LIST").contains("user default on nopass sanitize-payload ~* &* +@all"));
    }

    #[test]
    fn who_waits_needs_the_rights_when_served() {
        let mut h = Harness::new();
        h.line("ACL SETUSER u on nopass +@all ~a* ~b*");
        let waiting = h.connect();
        h.run_as(waiting, &["AUTH", "u", "x"]);
        for (rule, reply) in
            [("~a* ~b*", "*2\r\n$1\r\nb\r\n$1\r\nx\r\n"), ("resetkeys ~a*", NO_KEY)]
        {
            h.attempt(waiting, &[b"BLPOP", b"b", b"0"]);
            h.line(&format!("ACL SETUSER u {rule}"));
            h.line("RPUSH b x");
            let told: Vec<_> = h.deliveries().into_iter().map(|(_, text)| text).collect();
            assert_eq!(told, [Some(reply.to_owned())]);
        }
        assert_eq!(h.line("LLEN b"), ":1\r\n");
        assert!(h.line("ACL LOG").contains("$1\r\nb\r\n"));
    }
}
