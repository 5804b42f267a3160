//! CLIENT TRACKING and what goes with it: client-side caching, as the client sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use respire_datatypes::integer::parse_i64;

use super::switch;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::tracking::TrackingMode;

pub(super) fn caching(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let Some(mode) = &mut ctx.session.tracking else {
        return Err(Error::fixed(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
             enabled",
        ));
    };
    let answer = ctx.args.get(2);
    let allowed = if answer.eq_ignore_ascii_case(b"yes") {
        mode.opt_in
            .then_some(())
            .ok_or("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
    } else if answer.eq_ignore_ascii_case(b"no") {
        mode.opt_out
            .then_some(())
            .ok_or("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
    } else {
        return Err(Error::SYNTAX);
    };
    allowed.map_err(Error::fixed)?;
    mode.caching = true;
    ctx.out.ok();
    Ok(())
}

fn parse(ctx: &Ctx<'_, '_>) -> Result<TrackingMode, Error> {
    let args = ctx.args;
    let mut mode = TrackingMode::default();
    let mut at = 3;
    while at < args.len() {
        let option = args.get(at).to_ascii_uppercase();
        let more = at + 1 < args.len();
        match &option[..] {
            b"REDIRECT" if more => {
                at += 1;
                if mode.redirect != 0 {
                    return Err(Error::fixed(
                        "ERR A client can only redirect to a single other client",
                    ));
                }
                let id = parse_i64(args.get(at)).ok_or(Error::NOT_INTEGER)?;
                let found =
                    u64::try_from(id).ok().filter(|id| ctx.engine.clients.get(*id).is_some());
                mode.redirect = found
                    .ok_or(Error::fixed("ERR The client ID you want redirect to does not exist"))?;
            }
            b"PREFIX" if more => {
                at += 1;
                mode.prefixes.push(args.get(at).into());
            }
            b"BCAST" => mode.broadcast = true,
            b"OPTIN" => mode.opt_in = true,
            b"OPTOUT" => mode.opt_out = true,
            b"NOLOOP" => mode.no_loop = true,
            _ => return Err(Error::SYNTAX),
        }
        at += 1;
    }
    Ok(mode)
}

pub(super) fn tracking(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut mode = parse(ctx)?;
    if !switch(ctx.args.get(2))? {
        ctx.session.track_no_longer(ctx.engine, ctx.data.held);
        ctx.out.ok();
        return Ok(());
    }
    check(ctx, &mode)?;
    if mode.broadcast {
        // No prefix asks for all keys, whatever prefixes there are already.
        if mode.prefixes.is_empty() {
            mode.prefixes.push(Box::default());
        }
        if let Some(before) = &mut ctx.session.tracking {
            mode.prefixes.append(&mut before.prefixes);
        }
        mode.prefixes.sort();
        mode.prefixes.dedup();
    }
    let info = Arc::clone(&ctx.session.info);
    if ctx.engine.tracking.follow(&info, &mode) {
        for shard in 0..ctx.engine.keyspace.shard_count() as u32 {
            ctx.data.held.shard_mut(shard).report_changes(true);
        }
    }
    info.tracking.store(true, Ordering::Relaxed);
    ctx.session.tracking = Some(Box::new(mode));
    ctx.out.ok();
    Ok(())
}

/// Whether the options go together, and with those before.
fn check(ctx: &Ctx<'_, '_>, mode: &TrackingMode) -> Result<(), Error> {
    if !mode.broadcast && !mode.prefixes.is_empty() {
        return Err(Error::fixed("ERR PREFIX option requires BCAST mode to be enabled"));
    }
    let before = ctx.session.tracking.as_ref();
    if before.is_some_and(|before| before.broadcast != mode.broadcast) {
        return Err(Error::fixed(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it \
             with a different mode.",
        ));
    }
    if mode.broadcast && (mode.opt_in || mode.opt_out) {
        return Err(Error::fixed("ERR OPTIN and OPTOUT are not compatible with BCAST"));
    }
    if mode.opt_in && mode.opt_out {
        return Err(Error::fixed("ERR You can't specify both OPTIN mode and OPTOUT mode"));
    }
    if before
        .is_some_and(|before| (before.opt_in && mode.opt_out) || (before.opt_out && mode.opt_in))
    {
        return Err(Error::fixed(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling \
             it with a different mode.",
        ));
    }
    check_prefixes(ctx, mode)
}

/// No prefix of a client may begin with another: it would be told twice.
fn check_prefixes(ctx: &Ctx<'_, '_>, mode: &TrackingMode) -> Result<(), Error> {
    let before: &[Box<[u8]>] = ctx.session.tracking.as_ref().map_or(&[], |mode| &mode.prefixes);
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    for (i, prefix) in mode.prefixes.iter().enumerate() {
        if let Some(other) = before.iter().find(|other| overlap(prefix, other)) {
            return Err(overlapping(prefix, "an existing prefix", other));
        }
        if let Some(other) = mode.prefixes[i + 1..].iter().find(|other| overlap(prefix, other)) {
            return Err(overlapping(prefix, "another provided prefix", other));
        }
    }
    Ok(())
}

fn overlapping(prefix: &[u8], what: &str, other: &[u8]) -> Error {
    let mut text = b"ERR Prefix '".to_vec();
    text.extend_from_slice(prefix);
    text.extend_from_slice(format!("' overlaps with {what} '").as_bytes());
    text.extend_from_slice(other);
    text.extend_from_slice(b"'. Prefixes for a single client must not overlap.");
    Error::bytes(text)
}

pub(super) fn getredir(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let redirect = ctx.session.tracking.as_ref().map_or(-1, |mode| mode.redirect as i64);
    ctx.out.int(redirect);
    Ok(())
}

pub(super) fn trackinginfo(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mode = ctx.session.tracking.as_deref();
    let target = mode.map_or(0, |mode| mode.redirect);
    let broken = target != 0 && ctx.engine.clients.get(target).is_none();
    let caching = mode.is_some_and(|mode| mode.caching);
    let has = |flag: fn(&TrackingMode) -> bool| mode.is_some_and(flag);
    let flags = [
        ("off", mode.is_none()),
        ("on", mode.is_some()),
        ("bcast", has(|mode| mode.broadcast)),
        ("optin", has(|mode| mode.opt_in)),
        ("caching-yes", caching && has(|mode| mode.opt_in)),
        ("optout", has(|mode| mode.opt_out)),
        ("caching-no", caching && has(|mode| mode.opt_out)),
        ("noloop", has(|mode| mode.no_loop)),
        ("broken_redirect", broken),
    ];
    let set: Vec<&str> = flags.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    ctx.out.map(3);
    ctx.out.bulk(b"flags");
    ctx.out.set(set.len());
    set.iter().for_each(|name| ctx.out.bulk(name.as_bytes()));
    ctx.out.bulk(b"redirect");
    ctx.out.int(mode.map_or(-1, |mode| mode.redirect as i64));
    ctx.out.bulk(b"prefixes");
    let prefixes: &[Box<[u8]>] = mode.map_or(&[], |mode| &mode.prefixes);
    ctx.out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| ctx.out.bulk(prefix));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::harness::Harness;
    use crate::worker::{Delivery, Message};

    /// Two clients; the first speaks the new protocol and tracks as told.
    fn tracked(options: &str) -> Harness {
        let mut h = Harness::new();
        h.connect();
        h.line("HELLO 3");
        assert_eq!(h.line(&format!("CLIENT TRACKING ON {options}")), "+OK\r\n");
        h
    }

    fn told(h: &mut Harness) -> Vec<(u64, String)> {
        let told = h.deliveries().into_iter();
        told.map(|(client, text)| (client, text.expect("nobody is killed"))).collect()
    }

    fn invalidated(keys: &[&str]) -> String {
        let keys: String = keys.iter().map(|key| format!("${}\r\n{key}\r\n", key.len())).collect();
        format!(">2\r\n$10\r\ninvalidate\r\n*{}\r\n{keys}", keys.matches('$').count())
    }

    #[test]
    fn however_many_are_told_there_is_one_text() {
        const READERS: usize = 10;
        let mut h = Harness::new();
        let key = "k".repeat(1000);
        h.run(&["SET", &key, "1"]);
        for _ in 0..READERS {
            let reader = h.connect();
            h.run_as(reader, &["HELLO", "3"]);
            h.run_as(reader, &["CLIENT", "TRACKING", "ON"]);
            h.run_as(reader, &["GET", &key]);
        }
        // The harness may have handed them over at once.
        h.run(&["SET", &key, "2"]);
        let handed = h.host.take_delivered().into_iter().map(|(_, message)| message);
        let left = h.worker.outbox.drain(..).map(|delivery| delivery.message);
        let texts: Vec<_> = handed
            .chain(left)
            .map(|message| match message {
                Message::Push(text) => text,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts.len(), READERS);
        assert!(texts.iter().all(|text| Arc::ptr_eq(text, &texts[0])));
        let of = |count: usize| {
            let message = Message::Push(Arc::clone(&texts[0]));
            Delivery::size_of_all(&vec![Delivery { thread: 0, client: 1, message }; count])
        };
        assert!(of(1) > 1000 && of(READERS) < 2 * of(1), "{} and {}", of(1), of(READERS));
    }

    #[test]
    fn a_key_that_was_read_is_invalidated_once() {
        let mut h = tracked("");
        h.run_as(1, &["SET", "k", "1"]);
        assert!(told(&mut h).is_empty(), "nobody has read it");
        h.line("MGET k l");
        h.run_as(1, &["SET", "k", "2"]);
        assert_eq!(told(&mut h), [(1, invalidated(&["k"]))]);
        h.run_as(1, &["SET", "k", "3"]);
        assert!(told(&mut h).is_empty());
        h.line("GET k");
        h.line("SET k 4");
        assert_eq!(told(&mut h), [(1, invalidated(&["k"]))]);
        h.line("GET k");
        h.run_as(1, &["FLUSHALL"]);
        assert_eq!(told(&mut h), [(1, ">2\r\n$10\r\ninvalidate\r\n_\r\n".to_owned())]);
    }

    #[test]
    fn options_choose_what_is_remembered() {
        let mut h = tracked("OPTIN NOLOOP");
        h.line("GET a");
        h.line("CLIENT CACHING yes");
        h.line("GET b");
        h.line("GET c");
        h.run_as(1, &["MSET", "a", "1", "b", "1", "c", "1"]);
        assert_eq!(told(&mut h), [(1, invalidated(&["b"]))]);
        h.line("CLIENT CACHING yes");
        h.line("GET b");
        h.line("SET b 2");
        assert!(told(&mut h).is_empty(), "its own change");
        assert!(h.line("CLIENT TRACKING ON OPTOUT").starts_with("-ERR You can't switch OPTIN"));
        let both = h.line("CLIENT TRACKING ON OPTIN OPTOUT");
        assert!(both.starts_with("-ERR You can't specify both"), "{both}");
        h.line("CLIENT TRACKING OFF");
        h.line("CLIENT TRACKING ON OPTOUT");
        h.line("CLIENT CACHING no");
        h.line("GET x");
        h.line("GET y");
        h.run_as(1, &["MSET", "x", "1", "y", "1"]);
        assert_eq!(told(&mut h), [(1, invalidated(&["y"]))]);
    }

    #[test]
    fn a_read_only_script_has_read_what_its_commands_have_read() {
        let mut h = tracked("");
        h.run(&["EVAL_RO", "redis.call('get', KEYS[1])", "2", "a", "b"]);
        h.run_as(1, &["MSET", "a", "1", "b", "1"]);
        assert_eq!(told(&mut h), [(1, invalidated(&["a"]))]);
    }

    #[test]
    fn broadcasting_goes_by_prefix() {
        let mut h = tracked("BCAST PREFIX user: PREFIX item:");
        h.run_as(1, &["MSET", "user:1", "x", "other", "x", "item:2", "x", "user:3", "x"]);
        let mut told = told(&mut h);
        told.sort();
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], (1, invalidated(&["item:2"])));
        assert!(told[1].1.contains("user:1") && told[1].1.contains("user:3"));
        assert!(
            h.line("CLIENT TRACKING ON BCAST PREFIX user:1")
                .contains("overlaps with an existing prefix")
        );
        assert!(h.line("CLIENT TRACKING ON").contains("You can't switch BCAST"));
    }

    #[test]
    fn caching_counts_for_the_next_command_or_transaction() {
        let mut h = tracked("OPTIN");
        let mut told_after = |lines: &[&str]| {
            lines.iter().for_each(|line| drop(h.line(line)));
            h.run_as(1, &["MSET", "a", "1", "b", "1"]);
            !told(&mut h).is_empty()
        };
        assert!(told_after(&["CLIENT CACHING yes", "CLIENT TRACKINGINFO", "GET a"]));
        assert!(!told_after(&["CLIENT CACHING yes", "GET a b", "GET a"]), "a mistake is a command");
        assert!(!told_after(&["CLIENT CACHING yes", "NOSUCH", "GET a"]));
        assert!(told_after(&["CLIENT CACHING yes", "MULTI", "PING", "GET a", "EXEC"]));
        assert!(!told_after(&["CLIENT CACHING yes", "MULTI", "EXEC", "GET a"]));
        assert!(!told_after(&["CLIENT CACHING yes", "MULTI", "DISCARD", "GET a"]));
    }

    #[test]
    fn broadcasting_without_a_prefix_is_for_all_keys() {
        let mut h = tracked("BCAST PREFIX user:");
        assert_eq!(h.line("CLIENT TRACKING ON BCAST"), "+OK\r\n");
        h.run_as(1, &["SET", "other", "x"]);
        assert_eq!(told(&mut h), [(1, invalidated(&["other"]))]);
        assert!(h.line("CLIENT TRACKINGINFO").ends_with("*2\r\n$0\r\n\r\n$5\r\nuser:\r\n"));
    }

    #[test]
    fn what_was_read_before_broadcasting_is_not_told_twice() {
        let mut h = tracked("");
        h.line("GET k");
        h.line("CLIENT TRACKING OFF");
        h.line("CLIENT TRACKING ON BCAST PREFIX other");
        h.run_as(1, &["SET", "k", "1"]);
        assert!(told(&mut h).is_empty());
    }

    #[test]
    fn expiry_and_blind_eviction_from_the_table_invalidate() {
        let mut h = tracked("");
        h.line("SET k v PX 10");
        told(&mut h);
        h.line("GET k");
        h.advance_ms(20);
        h.run_as(1, &["GET", "k"]);
        assert_eq!(told(&mut h), [(1, invalidated(&["k"]))]);
        h.run_as(1, &["CONFIG", "SET", "tracking-table-max-keys", "1"]);
        h.line("GET a");
        h.line("GET b");
        assert_eq!(told(&mut h).len(), 1);
    }

    #[test]
    fn messages_go_to_the_redirection() {
        let mut h = Harness::new();
        let other = h.connect();
        h.run_as(other, &["SUBSCRIBE", "__redis__:invalidate"]);
        assert_eq!(h.line("CLIENT TRACKING ON REDIRECT 2"), "+OK\r\n");
        assert_eq!(h.line("CLIENT GETREDIR"), ":2\r\n");
        h.line("GET k");
        h.line("SET k 1");
        let text = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n";
        assert_eq!(told(&mut h), [(2, text.to_owned())]);
        assert!(h.line("CLIENT TRACKING ON REDIRECT 99").contains("does not exist"));
    }
}
