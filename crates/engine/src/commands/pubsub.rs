//! Pub/Sub: subscriptions, messages, and questions about both.

use std::sync::atomic::Ordering;

use respire_datatypes::glob;

use crate::command::{Channels, Flags, Group, KeySpec, Row};
use crate::commands::reply_help;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::pubsub::{Subscriptions, Topic};

const ANY_TIME: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);
const SUBSCRIBING: Flags = ANY_TIME.union(Flags::NOSCRIPT).union(Flags::WHILE_LISTENING);

const SHARD_CHANNEL: &[KeySpec] = &[KeySpec::one(1, "not_key")];
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::rest(1, 1, "not_key")];

const fn docs(row: Row, since: &'static str, cost: &'static str, text: [&'static str; 2]) -> Row {
    row.docs(Group::Pubsub, since, cost, text[0], text[1])
}

const BY_NAMES: &str = "O(N) with the number of names";

pub(crate) const ROWS: &[Row] = &[
    docs(
        Row::new("psubscribe", -2, psubscribe).flags(SUBSCRIBING).channels(Channels::Patterns),
        "2.0.0",
        BY_NAMES,
        ["Listens to all channels that match patterns.", "pattern [pattern ...]"],
    ),
    docs(
        Row::new("publish", 3, publish)
            .flags(ANY_TIME.union(Flags::FAST).union(Flags::MAY_REPLICATE))
            .channels(Channels::First),
        "2.0.0",
        "O(N+M) with the listeners of the channel and the patterns of all clients",
        ["Sends a message to the listeners of a channel.", "channel message"],
    ),
    docs(
        Row::container(
            "pubsub",
            &[
                docs(
                    Row::new("channels", -2, channels).flags(ANY_TIME),
                    "2.8.0",
                    "O(N) with the number of channels",
                    ["Lists the channels that somebody listens to.", "[pattern]"],
                ),
                docs(
                    Row::new("help", 2, help).flags(Flags::LOADING.union(Flags::STALE)),
                    "6.2.0",
                    "O(1)",
                    ["Describes the subcommands.", ""],
                ),
                docs(
                    Row::new("numpat", 2, numpat).flags(ANY_TIME),
                    "2.8.0",
                    "O(1)",
                    ["Counts the patterns that somebody listens to.", ""],
                ),
                docs(
                    Row::new("numsub", -2, numsub).flags(ANY_TIME),
                    "2.8.0",
                    BY_NAMES,
                    ["Counts the listeners of channels.", "[channel ...]"],
                ),
                docs(
                    Row::new("shardchannels", -2, shard_channels).flags(ANY_TIME),
                    "7.0.0",
                    "O(N) with the number of channels",
                    ["Lists the sharded channels that somebody listens to.", "[pattern]"],
                ),
                docs(
                    Row::new("shardnumsub", -2, shard_numsub).flags(ANY_TIME),
                    "7.0.0",
                    BY_NAMES,
                    ["Counts the listeners of sharded channels.", "[shardchannel ...]"],
                ),
            ],
        ),
        "2.8.0",
        "Depends on the subcommand.",
        ["Questions about Pub/Sub.", ""],
    ),
    docs(
        Row::new("punsubscribe", -1, punsubscribe).flags(SUBSCRIBING),
        "2.0.0",
        BY_NAMES,
        ["Listens to patterns no longer.", "[pattern ...]"],
    ),
    docs(
        Row::new("spublish", 3, spublish)
            .flags(ANY_TIME.union(Flags::FAST).union(Flags::MAY_REPLICATE))
            .keys(SHARD_CHANNEL)
            .channels(Channels::First),
        "7.0.0",
        "O(N) with the number of listeners",
        ["Sends a message to the listeners of a sharded channel.", "shardchannel message"],
    ),
    docs(
        Row::new("ssubscribe", -2, ssubscribe)
            .flags(SUBSCRIBING)
            .keys(SHARD_CHANNELS)
            .channels(Channels::All),
        "7.0.0",
        BY_NAMES,
        ["Listens to sharded channels.", "shardchannel [shardchannel ...]"],
    ),
    docs(
        Row::new("subscribe", -2, subscribe).flags(SUBSCRIBING).channels(Channels::All),
        "2.0.0",
        BY_NAMES,
        ["Listens to channels.", "channel [channel ...]"],
    ),
    docs(
        Row::new("sunsubscribe", -1, sunsubscribe).flags(SUBSCRIBING).keys(SHARD_CHANNELS),
        "7.0.0",
        BY_NAMES,
        ["Listens to sharded channels no longer.", "[shardchannel ...]"],
    ),
    docs(
        Row::new("unsubscribe", -1, unsubscribe).flags(SUBSCRIBING),
        "2.0.0",
        BY_NAMES,
        ["Listens to channels no longer.", "[channel ...]"],
    ),
];

fn subscribe(ctx: &mut Ctx<'_, '_>) -> Outcome {
    listen(ctx, Topic::Channel, b"subscribe")
}

fn psubscribe(ctx: &mut Ctx<'_, '_>) -> Outcome {
    listen(ctx, Topic::Pattern, b"psubscribe")
}

fn ssubscribe(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.session.in_exec {
        return Err(Error::fixed("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    listen(ctx, Topic::Shard, b"ssubscribe")
}

fn listen(ctx: &mut Ctx<'_, '_>, topic: Topic, word: &[u8]) -> Outcome {
    for i in 1..ctx.args.len() {
        let name = ctx.args.get(i);
        let subscriptions = ctx.session.subscriptions.get_or_insert_default();
        if subscriptions.add(topic, name) {
            let info = &ctx.session.info;
            ctx.worker.listeners.add(topic, name, info.id);
            ctx.engine.pubsub.add(topic, name, info.thread);
        }
        reply(ctx, topic, word, Some(name));
    }
    ctx.session.publish_subscriptions();
    ctx.session.closing |= !ctx.engine.may_listen_still(ctx.session);
    Ok(())
}

fn unsubscribe(ctx: &mut Ctx<'_, '_>) -> Outcome {
    listen_no_longer(ctx, Topic::Channel, b"unsubscribe")
}

fn punsubscribe(ctx: &mut Ctx<'_, '_>) -> Outcome {
    listen_no_longer(ctx, Topic::Pattern, b"punsubscribe")
}

fn sunsubscribe(ctx: &mut Ctx<'_, '_>) -> Outcome {
    listen_no_longer(ctx, Topic::Shard, b"sunsubscribe")
}

fn listen_no_longer(ctx: &mut Ctx<'_, '_>, topic: Topic, word: &[u8]) -> Outcome {
    let all = ctx.args.len() == 1;
    let names: Vec<Box<[u8]>> = if all {
        ctx.session.subscriptions.as_ref().map_or_else(Vec::new, |own| own.names(topic))
    } else {
        ctx.args.iter_from(1).map(Box::from).collect()
    };
    for name in &names {
        ctx.session.unsubscribe(ctx.engine, ctx.worker.listeners, topic, name);
        reply(ctx, topic, word, Some(name));
    }
    if names.is_empty() {
        reply(ctx, topic, word, None);
    }
    ctx.session.publish_subscriptions();
    Ok(())
}

/// Confirms a subscription, or its end.
fn reply(ctx: &mut Ctx<'_, '_>, topic: Topic, word: &[u8], name: Option<&[u8]>) {
    let subscriptions = ctx.session.subscriptions.as_ref();
    let count = subscriptions.map_or(0, |own| Subscriptions::counted(own, topic));
    ctx.out.push(3);
    ctx.out.bulk(word);
    match name {
        Some(name) => ctx.out.bulk(name),
        None => ctx.out.null(),
    }
    ctx.out.int(count as i64);
}

fn publish(ctx: &mut Ctx<'_, '_>) -> Outcome {
    send(ctx, Topic::Channel)
}

fn spublish(ctx: &mut Ctx<'_, '_>) -> Outcome {
    send(ctx, Topic::Shard)
}

fn send(ctx: &mut Ctx<'_, '_>, topic: Topic) -> Outcome {
    let (channel, message) = (ctx.args.get(1), ctx.args.get(2));
    let engine = ctx.engine;
    let receivers = engine.pubsub.publish(&*engine.host, topic, channel, message);
    ctx.out.int(receivers as i64);
    Ok(())
}

fn channels(ctx: &mut Ctx<'_, '_>) -> Outcome {
    list(ctx, Topic::Channel)
}

fn shard_channels(ctx: &mut Ctx<'_, '_>) -> Outcome {
    list(ctx, Topic::Shard)
}

fn list(ctx: &mut Ctx<'_, '_>, topic: Topic) -> Outcome {
    if ctx.args.len() > 3 {
        return Err(Error::subcommand_syntax("pubsub", ctx.args.get(1)));
    }
    let pattern = ctx.args.try_get(2);
    let mut names = ctx.engine.pubsub.names(topic);
    names.retain(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name, false)));
    ctx.out.array(names.len());
    names.iter().for_each(|name| ctx.out.bulk(name));
    Ok(())
}

fn numsub(ctx: &mut Ctx<'_, '_>) -> Outcome {
    count(ctx, Topic::Channel)
}

fn shard_numsub(ctx: &mut Ctx<'_, '_>) -> Outcome {
    count(ctx, Topic::Shard)
}

fn count(ctx: &mut Ctx<'_, '_>, topic: Topic) -> Outcome {
    ctx.out.array((ctx.args.len() - 2) * 2);
    for name in ctx.args.iter_from(2) {
        ctx.out.bulk(name);
        ctx.out.int(ctx.engine.pubsub.listeners(topic, name) as i64);
    }
    Ok(())
}

fn numpat(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.int(ctx.engine.pubsub.len(Topic::Pattern) as i64);
    Ok(())
}

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "CHANNELS [<pattern>]",
            "    The channels that somebody listens to, and that match the pattern.",
            "NUMPAT",
            "    How many patterns somebody listens to.",
            "NUMSUB [<channel> ...]",
            "    How many clients listen to each channel, those with patterns left out.",
            "SHARDCHANNELS [<pattern>]",
            "    The sharded channels that somebody listens to, and that match the pattern.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    How many clients listen to each sharded channel.",
        ],
    );
    Ok(())
}

impl crate::session::Session {
    /// Shows the others how much the client listens to.
    pub(crate) fn publish_subscriptions(&mut self) {
        let count = |topic| self.subscriptions.as_ref().map_or(0, |own| own.len(topic)) as u32;
        for topic in Topic::ALL {
            self.info.subscriptions[topic as usize].store(count(topic), Ordering::Relaxed);
        }
        self.subscriptions.take_if(|own| own.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn messages_reach_channels_and_patterns_in_both_protocols() {
        let mut h = Harness::new();
        let (two, three) = (h.connect(), h.connect());
        h.run_as(three, &["HELLO", "3"]);
        assert_eq!(
            h.run_as(two, &["SUBSCRIBE", "news", "news"]),
            "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n".repeat(2)
        );
        assert_eq!(
            h.run_as(three, &["PSUBSCRIBE", "n*"]),
            ">3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n"
        );
        assert_eq!(h.run(&["PUBLISH", "news", "hi"]), ":2\r\n");
        assert_eq!(h.run(&["PUBLISH", "old", "hi"]), ":0\r\n");
        assert_eq!(
            h.published(),
            [
                (2, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n".to_owned()),
                (3, ">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n".to_owned()),
            ]
        );
    }

    #[test]
    fn subscribed_clients_of_the_old_protocol_are_restricted() {
        let mut h = Harness::new();
        h.line("SUBSCRIBE a b");
        assert_eq!(
            h.line("GET k"),
            "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context\r\n"
        );
        assert_eq!(h.line("PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        assert_eq!(h.line("PING x"), "*2\r\n$4\r\npong\r\n$1\r\nx\r\n");
        assert!(h.line("UNSUBSCRIBE a").ends_with(":1\r\n"));
        assert!(h.line("UNSUBSCRIBE").ends_with(":0\r\n"));
        assert_eq!(h.line("UNSUBSCRIBE"), "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
        assert_eq!(h.line("PING"), "+PONG\r\n");
    }

    #[test]
    fn the_registry_counts_clients_and_forgets_those_that_go() {
        let mut h = Harness::new();
        let other = h.connect();
        h.run_as(other, &["SUBSCRIBE", "a", "b"]);
        h.run_as(other, &["PSUBSCRIBE", "x*"]);
        h.run_as(other, &["SSUBSCRIBE", "s"]);
        assert_eq!(h.line("PUBSUB NUMSUB a c"), "*4\r\n$1\r\na\r\n:1\r\n$1\r\nc\r\n:0\r\n");
        assert_eq!(h.line("PUBSUB CHANNELS"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
        assert_eq!(h.line("PUBSUB CHANNELS a*"), "*1\r\n$1\r\na\r\n");
        assert_eq!(h.line("PUBSUB NUMPAT"), ":1\r\n");
        assert_eq!(h.line("PUBSUB SHARDCHANNELS"), "*1\r\n$1\r\ns\r\n");
        assert_eq!(h.line("SPUBLISH s x"), ":1\r\n");
        assert_eq!(h.run_as(other, &["RESET"]), "+RESET\r\n");
        assert_eq!(h.line("PUBSUB CHANNELS"), "*0\r\n");
        assert_eq!(h.line("SPUBLISH s x"), ":0\r\n");
    }

    #[test]
    fn events_of_keys_are_published_as_configured() {
        let mut h = Harness::new();
        h.run(&["CONFIG", "SET", "notify-keyspace-events", "KEA"]);
        let other = h.connect();
        h.run_as(other, &["PSUBSCRIBE", "__key*"]);
        h.line("SET k v EX 10");
        let told: Vec<String> = h.published().into_iter().map(|(_, text)| text).collect();
        assert_eq!(told.len(), 4);
        assert!(told[0].contains("__keyspace@0__:k\r\n$3\r\nset\r\n"), "{}", told[0]);
        assert!(told[1].contains("__keyevent@0__:set\r\n$1\r\nk\r\n"), "{}", told[1]);
        assert!(told[2].contains("__keyspace@0__:k\r\n$6\r\nexpire\r\n"), "{}", told[2]);
        h.advance_ms(20_000);
        h.line("GET k");
        let told: Vec<String> = h.published().into_iter().map(|(_, text)| text).collect();
        assert!(told[0].contains("__keyspace@0__:k\r\n$7\r\nexpired\r\n"), "{told:?}");
    }
}
