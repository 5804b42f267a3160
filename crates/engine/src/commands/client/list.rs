//! CLIENT LIST and CLIENT INFO: a line about each client, in the fields and order of Redis 7.4, and with the thread
//! of Redis 8.0.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use respire_datatypes::integer::parse_i64;
use respire_resp::Args;

use super::kind_named;
use crate::client::{ClientInfo, ClientKind};
use crate::command::registry;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::replies::ReplyBuffers;

pub(super) fn info(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut text = Vec::new();
    describe(ctx, &ctx.session.info, &mut text);
    ctx.out.verbatim("txt", &text);
    Ok(())
}

pub(super) fn list(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let args = ctx.args;
    let option = args.try_get(2).unwrap_or_default();
    let clients = if args.len() == 2 {
        ctx.engine.clients.list()
    } else if args.len() == 4 && option.eq_ignore_ascii_case(b"type") {
        let kind = kind_named(args.get(3))?;
        let mut clients = ctx.engine.clients.list();
        clients.retain(|client| client.kind() == kind);
        clients
    } else if args.len() > 3 && option.eq_ignore_ascii_case(b"id") {
        let mut clients = Vec::new();
        for id in args.iter_from(3) {
            let id = parse_i64(id).ok_or(Error::fixed("ERR Invalid client ID"))?;
            clients.extend(u64::try_from(id).ok().and_then(|id| ctx.engine.clients.get(id)));
        }
        clients
    } else {
        return Err(Error::SYNTAX);
    };
    let mut text = Vec::new();
    for client in clients {
        describe(ctx, &client, &mut text);
    }
    ctx.out.verbatim("txt", &text);
    Ok(())
}

/// Appends the line of one client.
fn describe(ctx: &Ctx<'_, '_>, client: &ClientInfo, text: &mut Vec<u8>) {
    let asking = (client.id == ctx.session.info.id).then_some(&ctx.args);
    text.extend_from_slice(
        describe_client(client, &ctx.engine.replies, ctx.data.now_ms, asking).as_bytes(),
    );
}

/// The line of one client. One that asks is shown its own request, which lies in the thread's buffer.
///
/// Buffers that no connection here has are 0: requests are read into the thread's buffer (`argv-mem`), and replies
/// wait only if the socket does not take them (`rbs`, `obl`), then in a list.
pub(crate) fn describe_client(
    client: &ClientInfo,
    replies: &ReplyBuffers,
    now_ms: i64,
    asking: Option<&Args<'_>>,
) -> String {
    let load = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
    let usage = &client.usage;
    // What a client does at this moment is published at the end of its batch; it is not idle while it asks.
    let active_ms = asking.map_or_else(|| client.active_ms.load(Ordering::Relaxed), |_| now_ms);
    let query = asking.map_or_else(|| load(&usage.query), wire_length);
    let names = client.names.lock().clone();
    let mut line = format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} watch={} \
         qbuf={} qbuf-free={} argv-mem=0 multi-mem={} rbs=0 rbp={} obl=0 oll={} omem={} tot-mem={} events={}",
        client.id,
        client.addr,
        client.laddr,
        client.fd,
        String::from_utf8_lossy(&names.name),
        (now_ms - client.created_ms).max(0) / 1000,
        (now_ms - active_ms).max(0) / 1000,
        flags(client),
        client.db.load(Ordering::Relaxed),
        client.subscriptions[0].load(Ordering::Relaxed),
        client.subscriptions[1].load(Ordering::Relaxed),
        client.subscriptions[2].load(Ordering::Relaxed),
        client.multi.load(Ordering::Relaxed),
        client.watching.load(Ordering::Relaxed),
        query,
        load(&usage.query_free),
        load(&usage.multi),
        replies.peak(usage, now_ms),
        load(&usage.output_list),
        load(&usage.output),
        load(&usage.total),
        if load(&usage.output) > 0 { "rw" } else { "r" },
    );
    let command = match client.command.load(Ordering::Relaxed) {
        ClientInfo::NO_COMMAND => "NULL",
        number => registry().get(number as u16).full_name,
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        line,
        " cmd={command} user={} redir=-1 resp={} lib-name={} lib-ver={} io-thread={}",
        String::from_utf8_lossy(&names.user),
        client.resp.load(Ordering::Relaxed),
        String::from_utf8_lossy(&names.lib_name),
        String::from_utf8_lossy(&names.lib_ver),
        client.thread,
    );
    line
}

/// Bytes of a request as it is sent.
fn wire_length(args: &Args<'_>) -> u64 {
    let line = |number: usize| number.checked_ilog10().unwrap_or(0) as u64 + 1 + 3;
    let bulk = |arg: &[u8]| line(arg.len()) + arg.len() as u64 + 2;
    line(args.len()) + args.iter_from(0).map(bulk).sum::<u64>()
}

fn flags(client: &ClientInfo) -> String {
    let set = [
        ('O', client.monitor.load(Ordering::Relaxed)),
        ('P', client.kind() == ClientKind::Pubsub),
        ('b', client.ticket.lock().is_some()),
        ('t', client.tracking.load(Ordering::Relaxed)),
        ('x', client.multi.load(Ordering::Relaxed) >= 0),
        ('U', client.unix_socket),
        ('e', client.no_evict.load(Ordering::Relaxed)),
        ('T', client.no_touch.load(Ordering::Relaxed)),
    ];
    let flags: String = set.iter().filter(|(_, on)| *on).map(|(letter, _)| letter).collect();
    if flags.is_empty() { "N".into() } else { flags }
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    /// The value of a field in a line.
    fn field<'a>(line: &'a str, name: &str) -> &'a str {
        let fields = line.split_ascii_whitespace();
        let values = fields.filter_map(|field| field.split_once('='));
        values.into_iter().find(|(found, _)| *found == name).expect("the field is there").1
    }

    /// The lines of a bulk reply.
    fn lines(reply: &str) -> Vec<&str> {
        reply.lines().skip(1).filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn a_line_has_the_fields_of_redis_in_its_order() {
        let mut h = Harness::new();
        let reply = h.line("CLIENT INFO");
        let names: Vec<&str> = (lines(&reply)[0].split(' '))
            .map(|field| field.split_once('=').expect("every field has a value").0)
            .collect();
        assert_eq!(
            names.join(" "),
            "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs \
             rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver io-thread"
        );
    }

    #[test]
    fn a_line_says_what_the_client_is_doing() {
        let mut h = Harness::new();
        let other = h.connect();
        for line in
            ["HELLO 3 SETNAME me", "SELECT 2", "WATCH a b", "CLIENT NO-EVICT ON", "MULTI", "GET k"]
        {
            h.run_as(other, &line.split(' ').collect::<Vec<_>>());
        }
        h.advance_ms(3500);
        let reply = h.line("CLIENT LIST ID 2");
        let line = lines(&reply)[0];
        let expected = [
            ("id", "2"),
            ("addr", "127.0.0.1:50001"),
            ("laddr", "127.0.0.1:6379"),
            ("name", "me"),
            ("age", "3"),
            ("idle", "3"),
            ("flags", "xe"),
            ("db", "2"),
            ("multi", "1"),
            ("watch", "2"),
            ("cmd", "get"),
            ("user", "default"),
            ("resp", "3"),
        ];
        for (name, value) in expected {
            assert_eq!(field(line, name), value, "{name} in {line}");
        }
        let reply = h.line("CLIENT LIST");
        let own = lines(&reply)[0];
        assert_eq!(
            (field(own, "cmd"), field(own, "idle"), field(own, "flags")),
            ("client|list", "0", "N")
        );
        h.run_as(other, &["NOSUCH"]);
        assert!(h.line("CLIENT LIST").contains(" cmd=NULL "));
    }

    #[test]
    fn clients_are_chosen_by_type_and_number() {
        let mut h = Harness::new();
        let monitor = h.connect();
        h.run_as(monitor, &["MONITOR"]);
        let ids = |reply: String| -> Vec<String> {
            lines(&reply).iter().map(|line| field(line, "id").to_owned()).collect()
        };
        assert_eq!(ids(h.line("CLIENT LIST")), ["1", "2"]);
        assert_eq!(ids(h.line("CLIENT LIST TYPE normal")), ["1"]);
        assert_eq!(ids(h.line("CLIENT LIST TYPE SLAVE")), ["2"]);
        assert!(ids(h.line("CLIENT LIST TYPE pubsub")).is_empty());
        assert_eq!(ids(h.line("CLIENT LIST ID 2 9 -1 1")), ["2", "1"]);
        assert_eq!(h.line("CLIENT LIST ID 1 x"), "-ERR Invalid client ID\r\n");
        assert_eq!(h.line("CLIENT LIST TYPE x"), "-ERR Unknown client type 'x'\r\n");
        assert_eq!(h.line("CLIENT LIST ID"), "-ERR syntax error\r\n");
        assert_eq!(h.line("CLIENT LIST TYPE normal normal"), "-ERR syntax error\r\n");
    }

    #[test]
    fn resp3_gets_verbatim_text() {
        let mut h = Harness::new();
        h.line("HELLO 3");
        assert!(h.line("CLIENT INFO").contains("\r\ntxt:id=1 "));
    }
}
