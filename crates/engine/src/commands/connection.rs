//! What a client says about its connection: who it is, how it wants to be spoken to, and that it goes.

use std::sync::atomic::Ordering;

use respire_datatypes::integer::parse_i64;
use respire_resp::{Args, Proto};

use crate::acl::{Context, Reason};
use crate::client::DEFAULT_USER;
use crate::command::{Flags, Group, Row};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

/// The version of Redis that clients take us for, when they decide what to send.
pub(crate) const COMPATIBLE_VERSION: &str = "7.4.0";

const FAST: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);
/// Allowed to everyone at any time.
const FREE: Flags = FAST.union(Flags::NOSCRIPT).union(Flags::NO_AUTH).union(Flags::ALLOW_BUSY);

/// Completes a row of this group with its documentation.
const fn docs(row: Row, since: &'static str, summary: &'static str, syntax: &'static str) -> Row {
    row.docs(Group::Connection, since, "O(1)", summary, syntax)
}

pub(crate) const ROWS: &[Row] = &[
    docs(
        Row::new("auth", -2, auth).flags(FREE).secret(after_name),
        "1.0.0",
        "Tells who the client is, by password.",
        "[username] password",
    ),
    docs(Row::new("echo", 2, echo).flags(FAST), "1.0.0", "Answers the given message.", "message"),
    docs(
        Row::new("exit", -1, quit)
            .flags(FREE.union(Flags::NOT_QUEUED).union(Flags::WHILE_LISTENING)),
        "respire",
        "Closes the connection, as QUIT does.",
        "",
    ),
    docs(
        Row::new("hello", -1, hello).flags(FREE).secret(behind_auth),
        "6.0.0",
        "Chooses the version of the protocol, and may tell who the client is.",
        "[protover [AUTH username password] [SETNAME clientname]]",
    ),
    docs(
        Row::new("ping", -1, ping)
            .flags(Flags::FAST.union(Flags::WHILE_LISTENING))
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
        "1.0.0",
        "Answers PONG, or the given message.",
        "[message]",
    ),
    docs(
        Row::new("quit", -1, quit)
            .flags(FREE.union(Flags::NOT_QUEUED).union(Flags::WHILE_LISTENING)),
        "1.0.0",
        "Closes the connection.",
        "",
    ),
    docs(
        Row::new("reset", 1, reset)
            .flags(FREE.union(Flags::NOT_QUEUED).union(Flags::WHILE_LISTENING)),
        "6.2.0",
        "Brings the connection back to the state that it began in.",
        "",
    ),
    docs(
        Row::new("select", 2, select).flags(FAST),
        "1.0.0",
        "Chooses the database that the commands to come work on.",
        "index",
    ),
];

fn after_name(_: &Args<'_>, i: usize) -> bool {
    i > 0
}

/// The user and password of HELLO.
fn behind_auth(args: &Args<'_>, i: usize) -> bool {
    let is_auth = |at: usize| at >= 2 && args.get(at).eq_ignore_ascii_case(b"AUTH");
    (i >= 1 && is_auth(i - 1)) || (i >= 2 && is_auth(i - 2))
}

fn ping(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() > 2 {
        return Err(Error::arity(ctx.name()));
    }
    if ctx.session.only_listens() {
        // Such clients expect messages, which are arrays.
        ctx.out.array(2);
        ctx.out.bulk(b"pong");
        ctx.out.bulk(ctx.args.try_get(1).unwrap_or_default());
        return Ok(());
    }
    match (ctx.args.try_get(1), ctx.args.len()) {
        (Some(message), 2) => ctx.out.bulk(message),
        _ => ctx.out.simple("PONG"),
    }
    Ok(())
}

fn echo(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.bulk(ctx.args.get(1));
    Ok(())
}

fn select(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let index = parse_i64(ctx.args.get(1)).ok_or(Error::NOT_INTEGER)?;
    if i32::try_from(index).is_err() {
        return Err(Error::NOT_32_BITS);
    }
    let count = ctx.settings.databases as usize;
    let index = usize::try_from(index).ok().filter(|index| *index < count);
    ctx.session.select(index.ok_or(Error::DB_INDEX)?);
    ctx.out.ok();
    Ok(())
}

fn quit(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.session.closing = true;
    // Who has read the reply may rely on nobody finding the client any more.
    ctx.session.info.closing.store(true, Ordering::Relaxed);
    ctx.out.ok();
    Ok(())
}

fn reset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.session.reset(ctx.engine, ctx.worker.listeners);
    ctx.out.proto = ctx.session.proto;
    ctx.out.simple("RESET");
    Ok(())
}

fn auth(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (user, password) = match ctx.args.len() {
        2 if ctx.engine.acl.default_user().asks_no_password() => {
            return Err(Error::fixed(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        2 => (DEFAULT_USER, ctx.args.get(1)),
        3 => (ctx.args.get(1), ctx.args.get(2)),
        _ => return Err(Error::SYNTAX),
    };
    authenticate(ctx, user, password)?;
    ctx.out.ok();
    Ok(())
}

/// The client is `user` from now on, if the password is the user's.
fn authenticate(ctx: &mut Ctx<'_, '_>, user: &[u8], password: &[u8]) -> Outcome {
    let engine = ctx.engine;
    match engine.acl.prove(user, password) {
        Some(user) => {
            ctx.session.become_user(user);
            Ok(())
        }
        None => {
            let context = if ctx.session.in_exec { Context::Multi } else { Context::Toplevel };
            let (stats, object) = (ctx.worker.stats, ctx.args.get(0));
            engine.log_refusal(stats, ctx.session, context, Reason::Auth, object, user);
            Err(Error::WRONG_PASSWORD)
        }
    }
}

/// Whether a text may stand in a line of CLIENT LIST.
pub(super) fn is_printable(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

fn hello(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let args = ctx.args;
    let mut proto = ctx.session.proto;
    if let Some(version) = args.try_get(1) {
        proto = match parse_i64(version) {
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            Some(_) => return Err(Error::NO_PROTOCOL),
            None => {
                return Err(Error::fixed("ERR Protocol version is not an integer or out of range"));
            }
        };
    }
    let (mut login, mut name) = (None, None);
    let mut at = 2;
    while at < args.len() {
        let option = args.get(at);
        let left = args.len() - at - 1;
        if option.eq_ignore_ascii_case(b"AUTH") && left >= 2 {
            login = Some((args.get(at + 1), args.get(at + 2)));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"SETNAME") && left >= 1 {
            let given = args.get(at + 1);
            if !is_printable(given) {
                return Err(Error::not_printable(b"Client names"));
            }
            name = Some(given);
            at += 2;
        } else {
            return Err(Error::quoting("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = login {
        authenticate(ctx, user, password)?;
    }
    if !ctx.session.authenticated && !ctx.engine.acl.is_open() {
        return Err(Error::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
             option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        ctx.session.info.names.lock().name = name.to_vec();
    }
    ctx.session.set_proto(proto);
    ctx.out.proto = proto;
    introduce(ctx);
    Ok(())
}

/// The reply of HELLO.
fn introduce(ctx: &mut Ctx<'_, '_>) {
    let out = &mut *ctx.out;
    out.map(7);
    for (field, value) in [("server", "redis"), ("version", COMPATIBLE_VERSION)] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.int(ctx.session.proto.number());
    out.bulk(b"id");
    out.int(ctx.session.info.id as i64);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"modules");
    out.array(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Harness;
    use crate::session::ReplyMode;

    fn locked() -> Harness {
        Harness::with_settings(|settings| settings.requirepass = "sesame".into())
    }

    #[test]
    fn ping_and_echo_answer() {
        let mut h = Harness::new();
        assert_eq!(h.line("PING"), "+PONG\r\n");
        assert_eq!(h.line("PING hi"), "$2\r\nhi\r\n");
        assert_eq!(h.line("PING a b"), "-ERR wrong number of arguments for 'ping' command\r\n");
        assert_eq!(h.run(&["ECHO", ""]), "$0\r\n\r\n");
    }

    #[test]
    fn select_takes_existing_databases_only() {
        let mut h = Harness::new();
        assert_eq!(h.line("SELECT 15"), "+OK\r\n");
        assert_eq!(h.sessions[0].db(), 15);
        assert_eq!(h.line("SELECT 16"), "-ERR DB index is out of range\r\n");
        assert_eq!(h.line("SELECT -1"), "-ERR DB index is out of range\r\n");
        assert_eq!(h.line("SELECT x"), "-ERR value is not an integer or out of range\r\n");
        assert!(h.line("SELECT 4294967296").contains("must between -2147483648 and 2147483647"));
        assert_eq!(h.sessions[0].db(), 15);
    }

    #[test]
    fn quit_closes_even_inside_a_transaction() {
        let mut h = locked();
        assert_eq!(h.line("QUIT now"), "+OK\r\n");
        assert!(h.sessions[0].closing);
        let mut h = Harness::new();
        h.line("MULTI");
        assert_eq!(h.line("EXIT"), "+OK\r\n");
        assert!(h.sessions[0].closing);
    }

    #[test]
    fn nobody_finds_a_client_that_has_quit() {
        let mut h = Harness::new();
        let id = h.sessions[0].info.id;
        assert!(h.engine.clients.get(id).is_some());
        h.line("QUIT");
        assert!(h.engine.clients.get(id).is_none());
    }

    #[test]
    fn auth_without_a_password_to_be_had() {
        let mut h = Harness::new();
        assert!(h.line("AUTH x").starts_with("-ERR AUTH <password> called without any password"));
        assert_eq!(h.line("AUTH default x"), "+OK\r\n");
        assert!(h.line("AUTH other x").starts_with("-WRONGPASS "));
        assert_eq!(h.line("AUTH a b c"), "-ERR syntax error\r\n");
    }

    #[test]
    fn a_password_locks_all_but_the_way_in() {
        let mut h = locked();
        assert_eq!(h.line("PING"), "-NOAUTH Authentication required.\r\n");
        for wrong in [
            "AUTH sesam",
            "AUTH sesame2",
            "AUTH sesamesesame",
            "AUTH default x",
            "AUTH Default sesame",
        ] {
            assert!(h.line(wrong).starts_with("-WRONGPASS "), "{wrong}");
        }
        assert!(h.run(&["AUTH", ""]).starts_with("-WRONGPASS "));
        assert_eq!(h.engine.stats.totals().acl_denied_auth, 6);
        assert_eq!(h.line("AUTH sesame"), "+OK\r\n");
        assert_eq!(h.line("PING"), "+PONG\r\n");
        h.line("AUTH wrong");
        assert_eq!(h.line("PING"), "+PONG\r\n", "a failed AUTH takes nothing away");
        assert_eq!(h.line("RESET"), "+RESET\r\n");
        assert_eq!(h.line("PING"), "-NOAUTH Authentication required.\r\n");
    }

    #[test]
    fn taking_the_password_away_lets_everybody_in() {
        let mut h = locked();
        let admin = h.connect();
        h.run_as(admin, &["AUTH", "sesame"]);
        assert_eq!(h.run_as(admin, &["CONFIG", "SET", "requirepass", ""]), "+OK\r\n");
        assert_eq!(h.line("PING"), "+PONG\r\n");
        assert!(h.line("HELLO 3").starts_with("%7\r\n"));
    }

    #[test]
    fn hello_switches_the_protocol() {
        let mut h = Harness::new();
        let reply = h.line("HELLO 3 SETNAME me");
        assert!(
            reply.starts_with(
                "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n"
            )
        );
        assert!(reply.contains("$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n"), "{reply}");
        assert_eq!(h.line("GET nothing"), "_\r\n");
        assert!(h.line("HELLO").starts_with("%7\r\n"), "without a version it changes none");
        assert!(h.line("HELLO 2").starts_with("*14\r\n"));
        assert_eq!(h.line("GET nothing"), "$-1\r\n");
        assert_eq!(h.sessions[0].info.names.lock().name, b"me");
    }

    #[test]
    fn hello_refuses_what_it_does_not_know() {
        let mut h = Harness::new();
        assert_eq!(h.line("HELLO 4"), "-NOPROTO unsupported protocol version\r\n");
        assert_eq!(
            h.line("HELLO x"),
            "-ERR Protocol version is not an integer or out of range\r\n"
        );
        assert_eq!(h.line("HELLO 3 AUTH a"), "-ERR Syntax error in HELLO option 'AUTH'\r\n");
        assert!(h.run(&["HELLO", "3", "SETNAME", "a b"]).starts_with("-ERR Client names cannot"));
        assert!(h.line("HELLO 3 SETNAME me AUTH x y").starts_with("-WRONGPASS "));
        assert_eq!(h.sessions[0].info.names.lock().name, b"", "all of it or nothing");
        assert_eq!(h.sessions[0].proto, Proto::Resp2);
        let mut h = locked();
        assert!(h.line("HELLO 3 SETNAME me").starts_with("-NOAUTH HELLO must be called"));
        assert!(h.line("HELLO 3 AUTH default sesame").starts_with("%7\r\n"));
    }

    #[test]
    fn errors_quote_up_to_a_zero_byte() {
        let mut h = Harness::new();
        assert_eq!(
            h.run(&["NO\0SUCH", "a\0b", "c"]),
            "-ERR unknown command 'NO', with args beginning with: 'a' 'c' \r\n"
        );
        assert_eq!(h.run(&["HELLO", "3", "x\0y"]), "-ERR Syntax error in HELLO option 'x'\r\n");
    }

    #[test]
    fn reset_leaves_nothing_but_the_library() {
        let mut h = Harness::new();
        h.line("HELLO 3 SETNAME me");
        for line in [
            "CLIENT SETINFO lib-name lib",
            "CLIENT NO-TOUCH ON",
            "CLIENT NO-EVICT ON",
            "SELECT 4",
            "WATCH k",
            "MULTI",
            "SET k v",
        ] {
            h.line(line);
        }
        h.sessions[0].reply = ReplyMode::Off;
        assert_eq!(h.line("RESET"), "+RESET\r\n");
        let session = &h.sessions[0];
        assert_eq!((session.db(), session.proto, session.no_touch), (0, Proto::Resp2, false));
        assert!(!session.transaction.is_open());
        assert_eq!(session.transaction.watching(), 0);
        let names = session.info.names.lock().clone();
        assert_eq!((&names.name[..], &names.lib_name[..]), (&b""[..], &b"lib"[..]));
    }

    #[test]
    fn passwords_are_not_shown() {
        let mut h = Harness::with_settings(|settings| settings.slowlog_log_slower_than = 0);
        h.line("AUTH default secret");
        h.line("HELLO 3 AUTH default secret SETNAME me");
        let entries = h.engine.slowlog.newest(2);
        assert_eq!(entries[1].args, [&b"AUTH"[..], b"(redacted)", b"(redacted)"]);
        let hello: [&[u8]; 7] =
            [b"HELLO", b"3", b"AUTH", b"(redacted)", b"(redacted)", b"SETNAME", b"me"];
        assert_eq!(entries[0].args, hello);
    }
}
