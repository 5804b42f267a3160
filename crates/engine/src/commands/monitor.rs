//! MONITOR. The dispatcher feeds those who asked for it.

use crate::command::{Flags, Group, Row};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

pub(crate) const ROWS: &[Row] = &[Row::new("monitor", 1, monitor)
    .flags(Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE))
    .docs(
        Group::Server,
        "1.0.0",
        "O(1) to begin with, then a part of the cost of every command",
        "Shows all commands of all clients as they are executed.",
        "",
    )];

fn monitor(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.session.in_exec {
        return Err(Error::fixed("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    // A client that monitors already gets no reply, as in Redis.
    if !ctx.session.is_monitor() {
        ctx.engine.clients.set_monitor(&ctx.session.info, true);
        ctx.out.ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    /// What the monitor, client 2, is shown of `lines` by client 1, without the time.
    fn shown(h: &mut Harness, lines: &[&str]) -> Vec<String> {
        for line in lines {
            h.line(line);
        }
        let told = h.deliveries().into_iter().map(|(client, text)| {
            assert_eq!(client, 2);
            let text = text.expect("nobody is killed");
            text.strip_prefix("+1700000000.000000 ").expect("the time stands still").to_owned()
        });
        told.collect()
    }

    fn watched() -> Harness {
        let mut h = Harness::new();
        let monitor = h.connect();
        assert_eq!(h.run_as(monitor, &["MONITOR"]), "+OK\r\n");
        assert!(h.deliveries().is_empty(), "it does not see itself begin");
        h
    }

    #[test]
    fn commands_are_shown_after_they_ran() {
        let mut h = watched();
        assert_eq!(
            shown(&mut h, &["set k v", "SELECT 3", "GET k", "NOSUCH", "GET"]),
            [
                "[0 127.0.0.1:50000] \"set\" \"k\" \"v\"\r\n",
                "[3 127.0.0.1:50000] \"SELECT\" \"3\"\r\n",
                "[3 127.0.0.1:50000] \"GET\" \"k\"\r\n",
            ]
        );
        h.run_bytes(0, &[b"ECHO", b"\x01\xff\"\\\r\n\x07\x08"]);
        let told = h.deliveries().remove(0).1.expect("a line");
        assert!(told.ends_with("\"\\x01\\xff\\\"\\\\\\r\\n\\a\\b\"\r\n"), "{told}");
    }

    #[test]
    fn a_transaction_is_shown_before_its_exec() {
        let mut h = watched();
        let told = shown(&mut h, &["MULTI", "SET k v", "INCR k", "EXEC"]);
        let commands: Vec<&str> = told.iter().filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(commands, ["MULTI", "SET", "INCR", "EXEC"]);
    }

    #[test]
    fn secrets_and_administration_are_not_shown() {
        let mut h = watched();
        assert_eq!(
            shown(&mut h, &["AUTH default x", "CLIENT LIST", "HELLO 2 AUTH default x"]),
            [
                "[0 127.0.0.1:50000] \"AUTH\" \"(redacted)\" \"(redacted)\"\r\n",
                "[0 127.0.0.1:50000] \"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\"\r\n",
            ]
        );
    }

    #[test]
    fn a_monitor_may_look_but_not_touch() {
        let mut h = watched();
        assert_eq!(h.run_as(1, &["GET", "k"]), "-ERR Replica can't interact with the keyspace\r\n");
        assert_eq!(h.run_as(1, &["PING"]), "+PONG\r\n");
        assert_eq!(h.run_as(1, &["MONITOR"]), "");
        assert_eq!(h.run_as(1, &["RESET"]), "+RESET\r\n");
        assert_eq!(h.run_as(1, &["GET", "k"]), "$-1\r\n");
        assert!(!h.engine.clients.has_monitors());
        h.line("MULTI");
        h.line("MONITOR");
        assert!(h.line("EXEC").contains("-ERR MONITOR isn't allowed"));
    }
}
