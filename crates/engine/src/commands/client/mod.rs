//! CLIENT: what clients are connected, and what they and others may change about them.
//!
//! - `list`: CLIENT LIST and INFO
//! - `kill`: CLIENT KILL

mod kill;
mod list;
mod tracking;

pub(crate) use list::describe_client;

use std::sync::atomic::Ordering;

use respire_datatypes::integer::parse_i64;

use super::connection::is_printable;
use super::reply_help;
use crate::blocking::GivenUp;
use crate::client::ClientKind;
use crate::command::{Flags, Group, Handler, Lock, Row};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::pause::PauseKind;
use crate::session::ReplyMode;

const SHOWN: Flags = Flags::LOADING.union(Flags::STALE);
const OWN: Flags = SHOWN.union(Flags::NOSCRIPT);
const ADMIN: Flags = OWN.union(Flags::ADMIN);

/// A subcommand of CLIENT.
const fn row(
    name: &'static str,
    arity: i32,
    handler: Handler,
    flags: Flags,
    since: &'static str,
    text: [&'static str; 2],
) -> Row {
    let row = Row::new(name, arity, handler).flags(flags);
    row.docs(Group::Connection, since, "O(1)", text[0], text[1])
}

/// The complexity of what looks at every client.
const fn over_all(row: Row, text: [&'static str; 2]) -> Row {
    let since = row.since;
    let complexity = "O(N), where N is the number of clients";
    row.docs(Group::Connection, since, complexity, text[0], text[1])
}

pub(crate) const ROWS: &[Row] = &[Row::container("client", SUBCOMMANDS).docs(
    Group::Connection,
    "2.4.0",
    "Depends on the subcommand",
    "Container of the commands about clients.",
    "",
)];

const SUBCOMMANDS: &[Row] = &[
    row(
        "caching",
        3,
        tracking::caching,
        OWN,
        "6.0.0",
        ["Says whether the keys of the next command are to be tracked.", "<YES | NO>"],
    ),
    row("getname", 2, getname, OWN, "2.6.9", ["Returns the name of the connection.", ""]),
    row(
        "getredir",
        2,
        tracking::getredir,
        OWN,
        "6.0.0",
        ["Returns the client that gets this one's invalidations.", ""],
    ),
    row("help", 2, help, SHOWN, "5.0.0", ["Describes the subcommands.", ""]),
    row("id", 2, id, OWN, "5.0.0", ["Returns the number of the connection.", ""]),
    row("info", 2, list::info, OWN, "6.2.0", ["Describes the connection.", ""])
        .tips(&["nondeterministic_output"]),
    over_all(
        row("kill", -3, kill::kill, ADMIN, "2.4.0", ["", ""]),
        [
            "Closes connections.",
            "<ip:port | <ID client-id | TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB> | USER username | \
         ADDR ip:port | LADDR ip:port | SKIPME <YES | NO> | MAXAGE maxage> [...]>",
        ],
    ),
    over_all(
        row("list", -2, list::list, ADMIN, "2.4.0", ["", ""]),
        [
            "Describes the connections, each in a line.",
            "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
        ],
    )
    .tips(&["nondeterministic_output"]),
    row(
        "no-evict",
        3,
        no_evict,
        ADMIN,
        "7.0.0",
        ["Keeps the connection when memory for clients runs short.", "<ON | OFF>"],
    ),
    row(
        "no-touch",
        3,
        no_touch,
        OWN,
        "7.2.0",
        ["Says whether this client's commands count as uses of keys.", "<ON | OFF>"],
    ),
    row(
        "pause",
        -3,
        pause,
        ADMIN,
        "3.0.0",
        ["Makes the commands of all clients, or those that write, wait.", "timeout [WRITE | ALL]"],
    ),
    row(
        "reply",
        3,
        reply,
        OWN,
        "3.2.0",
        ["Says whether the connection gets replies.", "<ON | OFF | SKIP>"],
    ),
    row(
        "setinfo",
        4,
        setinfo,
        OWN,
        "7.2.0",
        ["Tells the library that the client uses.", "<LIB-NAME libname | LIB-VER libver>"],
    ),
    row("setname", 3, setname, OWN, "2.6.9", ["Names the connection.", "connection-name"]),
    row(
        "tracking",
        -3,
        tracking::tracking,
        OWN,
        "6.0.0",
        [
            "Switches the tracking of keys for client-side caches.",
            "<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
        ],
    )
    .lock(Lock::All),
    row(
        "trackinginfo",
        2,
        tracking::trackinginfo,
        OWN,
        "6.2.0",
        ["Describes how the connection's keys are tracked.", ""],
    ),
    row(
        "unblock",
        -3,
        unblock,
        ADMIN,
        "5.0.0",
        ["Ends the wait of a blocked client.", "client-id [TIMEOUT | ERROR]"],
    )
    .lock(Lock::Walk),
    over_all(
        row("unpause", 2, unpause, ADMIN, "6.2.0", ["", ""]),
        ["Ends a pause: waiting commands go on.", ""],
    ),
];

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(ctx, HELP);
    Ok(())
}

const HELP: &[&str] = &[
    "CACHING (YES|NO)",
    "    Track, or do not track, the keys of the next command.",
    "GETNAME",
    "    The name of this connection.",
    "GETREDIR",
    "    The number of the client that gets this one's invalidations.",
    "ID",
    "    The number of this connection.",
    "INFO",
    "    What CLIENT LIST says of this connection.",
    "KILL <ip:port>",
    "    Close the connection from that address.",
    "KILL <option> <value> [<option> <value> ...]",
    "    Close all connections that fit every option:",
    "    * ID <client-id>",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "    * USER <username>",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "    * MAXAGE <seconds>: at least this old",
    "    * SKIPME (YES|NO): whether this connection is spared, which it is by default",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> ...]",
    "    A line about each connection, or about those of the given kind or numbers.",
    "NO-EVICT (ON|OFF)",
    "    Keep this connection when memory for clients runs short.",
    "NO-TOUCH (ON|OFF)",
    "    Leave the last use of keys as it is when this connection reads them.",
    "PAUSE <milliseconds> [WRITE|ALL]",
    "    Make all commands wait, or those that write.",
    "REPLY (ON|OFF|SKIP)",
    "    Answer this connection's commands, none of them, or not the next one.",
    "SETINFO (LIB-NAME|LIB-VER) <text>",
    "    Tell the client library and its version.",
    "SETNAME <name>",
    "    Name this connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> ...] [OPTIN] [OPTOUT] [NOLOOP]",
    "    Track keys for a client-side cache.",
    "TRACKINGINFO",
    "    How this connection's keys are tracked.",
    "UNBLOCK <client-id> [TIMEOUT|ERROR]",
    "    End the wait of a blocked client.",
    "UNPAUSE",
    "    End a pause.",
];

fn id(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.int(ctx.session.info.id as i64);
    Ok(())
}

fn getname(ctx: &mut Ctx<'_, '_>) -> Outcome {
    match &ctx.session.info.names.lock().name[..] {
        b"" => ctx.out.null(),
        name => ctx.out.bulk(name),
    }
    Ok(())
}

fn setname(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let name = ctx.args.get(2);
    if !is_printable(name) {
        return Err(Error::not_printable(b"Client names"));
    }
    ctx.session.info.names.lock().name = name.to_vec();
    ctx.out.ok();
    Ok(())
}

fn setinfo(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let (option, value) = (ctx.args.get(2), ctx.args.get(3));
    let is_name = option.eq_ignore_ascii_case(b"lib-name");
    if !is_name && !option.eq_ignore_ascii_case(b"lib-ver") {
        return Err(Error::quoting("ERR Unrecognized option '", option, "'"));
    }
    if !is_printable(value) {
        return Err(Error::not_printable(option));
    }
    let mut names = ctx.session.info.names.lock();
    *(if is_name { &mut names.lib_name } else { &mut names.lib_ver }) = value.to_vec();
    ctx.out.ok();
    Ok(())
}

/// `ON` or `OFF`.
fn switch(arg: &[u8]) -> Result<bool, Error> {
    if arg.eq_ignore_ascii_case(b"on") {
        Ok(true)
    } else if arg.eq_ignore_ascii_case(b"off") {
        Ok(false)
    } else {
        Err(Error::SYNTAX)
    }
}

fn no_evict(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let on = switch(ctx.args.get(2))?;
    ctx.session.info.no_evict.store(on, Ordering::Relaxed);
    ctx.out.ok();
    Ok(())
}

fn no_touch(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let on = switch(ctx.args.get(2))?;
    ctx.session.set_no_touch(on);
    ctx.out.ok();
    Ok(())
}

fn reply(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mode = ctx.args.get(2);
    if mode.eq_ignore_ascii_case(b"on") {
        ctx.session.reply = ReplyMode::On;
        ctx.out.ok();
    } else if mode.eq_ignore_ascii_case(b"off") {
        ctx.session.reply = ReplyMode::Off;
    } else if mode.eq_ignore_ascii_case(b"skip") {
        if ctx.session.reply != ReplyMode::Off {
            ctx.session.reply = ReplyMode::SkipNext;
        }
    } else {
        return Err(Error::SYNTAX);
    }
    Ok(())
}

fn pause(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let kind = match ctx.args.len() {
        3 => PauseKind::All,
        4 if ctx.args.get(3).eq_ignore_ascii_case(b"write") => PauseKind::Write,
        4 if ctx.args.get(3).eq_ignore_ascii_case(b"all") => PauseKind::All,
        4 => return Err(Error::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(Error::subcommand_syntax("client", ctx.args.get(1))),
    };
    let timeout = parse_i64(ctx.args.get(2))
        .ok_or(Error::fixed("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err(Error::fixed("ERR timeout is negative"));
    }
    let now_ms = ctx.data.now_ms;
    let until = timeout.checked_add(now_ms).ok_or(Error::fixed("ERR timeout is out of range"))?;
    ctx.engine.pause.begin(kind, until, now_ms);
    ctx.out.ok();
    Ok(())
}

fn unpause(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.engine.pause.end();
    ctx.out.ok();
    Ok(())
}

fn unblock(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() > 4 {
        return Err(Error::subcommand_syntax("client", ctx.args.get(1)));
    }
    let how = match ctx.args.try_get(3) {
        None => GivenUp::TimedOut,
        Some(reason) if reason.eq_ignore_ascii_case(b"timeout") => GivenUp::TimedOut,
        Some(reason) if reason.eq_ignore_ascii_case(b"error") => GivenUp::Unblocked,
        Some(_) => {
            return Err(Error::fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
        }
    };
    let id = parse_i64(ctx.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let engine = ctx.engine;
    let client = u64::try_from(id).ok().and_then(|id| engine.clients.get(id));
    let (outbox, stats) = (&mut *ctx.worker.outbox, ctx.worker.stats);
    let done =
        client.is_some_and(|client| engine.unblock(ctx.data.held, outbox, stats, &client, how));
    ctx.out.int(i64::from(done));
    Ok(())
}

/// The kind of clients that a `TYPE` names.
fn kind_named(name: &[u8]) -> Result<ClientKind, Error> {
    match &name.to_ascii_lowercase()[..] {
        b"normal" => Ok(ClientKind::Normal),
        b"slave" | b"replica" => Ok(ClientKind::Replica),
        b"pubsub" => Ok(ClientKind::Pubsub),
        b"master" => Ok(ClientKind::Master),
        _ => Err(Error::quoting("ERR Unknown client type '", name, "'")),
    }
}

#[cfg(test)]
mod tests {
    use crate::dispatch::Flow;
    use crate::harness::{Harness, START_MS};

    #[test]
    fn names_and_libraries_are_checked() {
        let mut h = Harness::new();
        assert_eq!(h.line("CLIENT GETNAME"), "$-1\r\n");
        assert_eq!(h.line("CLIENT SETNAME me"), "+OK\r\n");
        assert_eq!(h.line("CLIENT GETNAME"), "$2\r\nme\r\n");
        for bad in ["a b", "a\n", "é", "\u{7f}"] {
            assert_eq!(
                h.run(&["CLIENT", "SETNAME", bad]),
                "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
            );
        }
        assert_eq!(h.run(&["CLIENT", "SETNAME", ""]), "+OK\r\n");
        assert_eq!(h.line("CLIENT GETNAME"), "$-1\r\n");
        assert_eq!(h.line("CLIENT SETINFO Lib-Ver 1.2"), "+OK\r\n");
        assert_eq!(h.line("CLIENT SETINFO lib x"), "-ERR Unrecognized option 'lib'\r\n");
        assert_eq!(
            h.run(&["CLIENT", "SETINFO", "lib-name", "a b"]),
            "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"
        );
        assert!(h.line("CLIENT INFO").contains(" lib-name= lib-ver=1.2 "));
    }

    #[test]
    fn replies_are_held_back_as_asked() {
        let mut h = Harness::new();
        assert_eq!(h.line("CLIENT REPLY SKIP"), "");
        assert_eq!(h.line("PING"), "");
        assert_eq!(h.line("PING"), "+PONG\r\n");
        assert_eq!(h.line("CLIENT REPLY OFF"), "");
        assert_eq!(h.line("CLIENT REPLY SKIP"), "");
        assert_eq!(h.line("NOSUCH"), "");
        assert_eq!(h.line("SET k v"), "");
        assert_eq!(h.line("CLIENT REPLY ON"), "+OK\r\n");
        assert_eq!(h.line("GET k"), "$1\r\nv\r\n");
        assert_eq!(h.line("CLIENT REPLY MAYBE"), "-ERR syntax error\r\n");
    }

    #[test]
    fn a_pause_holds_commands_back_until_its_time() {
        let mut h = Harness::new();
        assert_eq!(h.line("CLIENT PAUSE 100 WRITE"), "+OK\r\n");
        assert_eq!(h.line("GET k"), "$-1\r\n");
        let until = Flow::Paused(START_MS + 100);
        assert_eq!(h.attempt(0, &[b"SET", b"k", b"v"]), (Vec::new(), until));
        assert_eq!(h.line("CLIENT UNPAUSE"), "+OK\r\n");
        assert_eq!(h.line("SET k v"), "+OK\r\n");
        assert_eq!(h.line("CLIENT PAUSE 100"), "+OK\r\n");
        assert_eq!(h.attempt(0, &[b"PING"]).1, until);
        // A mistake has no effect that the pause would have to keep back.
        assert!(h.line("SET k").starts_with("-ERR wrong number of arguments"));
        assert!(h.line("NOSUCH").starts_with("-ERR unknown command"));
        h.advance_ms(100);
        assert_eq!(h.line("PING"), "+PONG\r\n");
    }

    #[test]
    fn pause_refuses_what_is_no_time() {
        let mut h = Harness::new();
        let refused = |line, text: &str| {
            assert_eq!(Harness::new().line(line), format!("-ERR {text}\r\n"), "{line}");
        };
        refused("CLIENT PAUSE x", "timeout is not an integer or out of range");
        refused("CLIENT PAUSE -1", "timeout is negative");
        refused("CLIENT PAUSE 9223372036854775807", "timeout is out of range");
        refused("CLIENT PAUSE x SOME", "CLIENT PAUSE mode must be WRITE or ALL");
        assert!(h.line("CLIENT PAUSE 1 ALL x").contains("wrong number of arguments for 'PAUSE'"));
        assert_eq!(h.line("CLIENT PAUSE 0"), "+OK\r\n");
        assert_eq!(h.line("PING"), "+PONG\r\n");
    }

    #[test]
    fn at_first_nobody_is_blocked_and_nothing_is_tracked() {
        let mut h = Harness::new();
        assert_eq!(h.line("CLIENT UNBLOCK 1"), ":0\r\n");
        assert_eq!(h.line("CLIENT UNBLOCK 1 error"), ":0\r\n");
        assert_eq!(h.line("CLIENT UNBLOCK x"), "-ERR value is not an integer or out of range\r\n");
        assert!(h.line("CLIENT UNBLOCK 1 never").contains("reason should be TIMEOUT or ERROR"));
        assert!(h.line("CLIENT CACHING YES").starts_with("-ERR CLIENT CACHING can be called only"));
        assert_eq!(h.line("CLIENT GETREDIR"), ":-1\r\n");
        assert_eq!(h.line("CLIENT TRACKING off"), "+OK\r\n");
        assert_eq!(h.line("CLIENT TRACKING on PREFIX"), "-ERR syntax error\r\n");
        h.line("HELLO 3");
        assert_eq!(
            h.line("CLIENT TRACKINGINFO"),
            "%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n"
        );
    }

    #[test]
    fn a_client_that_touches_nothing_leaves_idle_times_alone() {
        let mut h = Harness::new();
        h.line("SET k v");
        assert_eq!(h.line("CLIENT NO-TOUCH ON"), "+OK\r\n");
        h.advance_ms(20_000);
        h.line("GET k");
        assert_eq!(h.line("OBJECT IDLETIME k"), ":20\r\n");
        h.line("CLIENT NO-TOUCH OFF");
        h.line("GET k");
        assert_eq!(h.line("OBJECT IDLETIME k"), ":0\r\n");
        assert_eq!(h.line("CLIENT NO-TOUCH MAYBE"), "-ERR syntax error\r\n");
    }
}
