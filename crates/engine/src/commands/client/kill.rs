//! CLIENT KILL. Other clients are closed by the threads that own them; the caller closes after its reply.

use std::sync::atomic::Ordering;

use respire_datatypes::integer::parse_i64;

use super::kind_named;
use crate::client::{ClientInfo, ClientKind};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::worker::{Delivery, Message};

/// What a client must be to be closed; nothing that is None matters.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    kind: Option<ClientKind>,
    user: Option<&'a [u8]>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    /// Seconds since it connected, at least.
    max_age: Option<i64>,
    spares_self: bool,
}

pub(super) fn kill(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let is_old_form = ctx.args.len() == 3;
    let filter = if is_old_form {
        Filter { addr: Some(ctx.args.get(2)), ..Filter::default() }
    } else {
        Filter::parse(ctx)?
    };
    let mut killed = 0;
    for client in ctx.engine.clients.list() {
        if filter.fits(&client, ctx) {
            killed += 1;
            end(ctx, &client);
        }
    }
    match (is_old_form, killed) {
        (true, 0) => return Err(Error::fixed("ERR No such client")),
        (true, _) => ctx.out.ok(),
        (false, _) => ctx.out.int(killed),
    }
    Ok(())
}

fn end(ctx: &mut Ctx<'_, '_>, client: &ClientInfo) {
    if client.id == ctx.session.info.id {
        ctx.session.closing = true;
    } else if !client.closing.swap(true, Ordering::Relaxed) {
        let message = Message::Kill;
        ctx.worker.outbox.push(Delivery { thread: client.thread, client: client.id, message });
    }
}

impl<'a> Filter<'a> {
    fn parse(ctx: &Ctx<'a, '_>) -> Result<Self, Error> {
        let args = ctx.args;
        let mut filter = Filter { spares_self: true, ..Self::default() };
        for at in (2..args.len()).step_by(2) {
            let value = args.try_get(at + 1).ok_or(Error::SYNTAX)?;
            match &args.get(at).to_ascii_uppercase()[..] {
                b"ID" => {
                    let id = parse_i64(value).and_then(|id| u64::try_from(id).ok());
                    let id = id.filter(|id| *id > 0);
                    let error = Error::fixed("ERR client-id should be greater than 0");
                    filter.id = Some(id.ok_or(error)?);
                }
                b"TYPE" => filter.kind = Some(kind_named(value)?),
                b"USER" if ctx.engine.acl.user(value).is_some() => filter.user = Some(value),
                b"USER" => return Err(Error::quoting("ERR No such user '", value, "'")),
                b"ADDR" => filter.addr = Some(value),
                b"LADDR" => filter.laddr = Some(value),
                b"MAXAGE" => {
                    let age = parse_i64(value).ok_or(Error::NOT_INTEGER)?;
                    if age <= 0 {
                        return Err(Error::fixed("ERR maxage should be greater than 0"));
                    }
                    filter.max_age = Some(age);
                }
                b"SKIPME" if value.eq_ignore_ascii_case(b"yes") => filter.spares_self = true,
                b"SKIPME" if value.eq_ignore_ascii_case(b"no") => filter.spares_self = false,
                _ => return Err(Error::SYNTAX),
            }
        }
        Ok(filter)
    }

    fn fits(&self, client: &ClientInfo, ctx: &Ctx<'_, '_>) -> bool {
        let age = (ctx.data.now_ms - client.created_ms) / 1000;
        self.id.is_none_or(|id| client.id == id)
            && self.kind.is_none_or(|kind| client.kind() == kind)
            && self.addr.is_none_or(|addr| client.addr.as_bytes() == addr)
            && self.laddr.is_none_or(|laddr| client.laddr.as_bytes() == laddr)
            && self.max_age.is_none_or(|max| age >= max)
            && self.user.is_none_or(|user| client.names.lock().user == user)
            && !(self.spares_self && client.id == ctx.session.info.id)
    }
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    fn three() -> Harness {
        let mut h = Harness::new();
        h.connect();
        h.connect();
        h
    }

    #[test]
    fn the_old_form_names_an_address() {
        let mut h = three();
        assert_eq!(h.line("CLIENT KILL 127.0.0.1:50001"), "+OK\r\n");
        assert_eq!(h.deliveries(), [(2, None)]);
        assert_eq!(h.line("CLIENT KILL 127.0.0.1:50001"), "-ERR No such client\r\n");
        assert!(h.deliveries().is_empty());
        assert!(!h.line("CLIENT LIST").contains("id=2 "));
        assert_eq!(h.line("CLIENT KILL 127.0.0.1:50000"), "+OK\r\n");
        assert!(h.sessions[0].closing, "the old form does not spare the caller");
    }

    #[test]
    fn every_filter_must_fit() {
        let mut h = three();
        h.run_as(2, &["MONITOR"]);
        assert_eq!(h.line("CLIENT KILL ID 3 TYPE normal"), ":0\r\n");
        assert_eq!(h.line("CLIENT KILL ADDR 127.0.0.1:50002 LADDR 127.0.0.1:1"), ":0\r\n");
        assert_eq!(h.line("CLIENT KILL ID 1"), ":0\r\n", "the caller is spared");
        assert_eq!(h.line("CLIENT KILL MAXAGE 10"), ":0\r\n");
        h.deliveries();
        h.advance_ms(10_000);
        let line = "CLIENT KILL ID 3 TYPE slave USER default LADDR 127.0.0.1:6379 MAXAGE 10";
        assert_eq!(h.line(line), ":1\r\n");
        assert_eq!(h.deliveries(), [(3, None)]);
        assert_eq!(h.line("CLIENT KILL SKIPME no"), ":2\r\n");
        assert_eq!(h.deliveries(), [(2, None)]);
        assert!(h.sessions[0].closing);
    }

    #[test]
    fn filters_that_are_none_are_refused() {
        let mut h = three();
        let cases = [
            ("ID 0", "client-id should be greater than 0"),
            ("ID x", "client-id should be greater than 0"),
            ("TYPE x", "Unknown client type 'x'"),
            ("USER x", "No such user 'x'"),
            ("SKIPME maybe", "syntax error"),
            ("ID 2 TYPE", "syntax error"),
            ("FOO x", "syntax error"),
            ("MAXAGE x", "value is not an integer or out of range"),
            ("MAXAGE 0", "maxage should be greater than 0"),
        ];
        for (filter, error) in cases {
            assert_eq!(h.line(&format!("CLIENT KILL {filter}")), format!("-ERR {error}\r\n"));
        }
        assert!(h.deliveries().is_empty());
    }
}
