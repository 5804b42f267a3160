//! A log of events that a group of consumers shares: each event goes to one of them, is acknowledged when it has been
//! handled, and is taken over by another if its consumer has died.
//!
//! `cargo run -p respire-tests --example stream_workers [redis://127.0.0.1:6379/]`

use std::collections::HashMap;

use redis::{Connection, RedisResult, Value};

const STREAM: &str = "example:events";
const GROUP: &str = "mailers";
const EVENTS: usize = 50;

/// The numbers of the events in a list of entries.
fn ids(entries: Vec<(String, HashMap<String, String>)>) -> Vec<String> {
    entries.into_iter().map(|(id, _)| id).collect()
}

/// What a consumer is given that nobody has had yet.
fn next(connection: &mut Connection, consumer: &str, count: usize) -> RedisResult<Vec<String>> {
    type Streams = Vec<(String, Vec<(String, HashMap<String, String>)>)>;
    let reply: Option<Streams> = redis::cmd("XREADGROUP")
        .arg(&["GROUP", GROUP, consumer, "COUNT"])
        .arg(count)
        .arg(&["BLOCK", "100", "STREAMS", STREAM, ">"])
        .query(connection)?;
    Ok(reply.into_iter().flatten().flat_map(|(_, entries)| ids(entries)).collect())
}

fn acknowledge(connection: &mut Connection, ids: &[String]) -> RedisResult<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    redis::cmd("XACK").arg(STREAM).arg(GROUP).arg(ids).query(connection)
}

/// Takes over what others have had for too long.
fn take_over(connection: &mut Connection, consumer: &str) -> RedisResult<Vec<String>> {
    type Claimed = (String, Vec<(String, HashMap<String, String>)>, Value);
    let (_, entries, _): Claimed =
        redis::cmd("XAUTOCLAIM").arg(&[STREAM, GROUP, consumer, "0", "0-0"]).query(connection)?;
    Ok(ids(entries))
}

fn main() -> RedisResult<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379/".into());
    let mut connection = redis::Client::open(url)?.get_connection()?;
    redis::cmd("DEL").arg(STREAM).exec(&mut connection)?;
    redis::cmd("XGROUP").arg(&["CREATE", STREAM, GROUP, "$", "MKSTREAM"]).exec(&mut connection)?;
    for n in 0..EVENTS {
        redis::cmd("XADD")
            .arg(&[STREAM, "MAXLEN", "~", "1000", "*", "user"])
            .arg(n)
            .arg(&["event", "signed up"])
            .exec(&mut connection)?;
    }
    // One consumer takes ten events and is never heard of again.
    let lost = next(&mut connection, "unlucky", 10)?;
    let mut handled = 0;
    loop {
        let events = next(&mut connection, "lucky", 7)?;
        if events.is_empty() {
            break;
        }
        handled += acknowledge(&mut connection, &events)?;
    }
    let taken = take_over(&mut connection, "lucky")?;
    assert_eq!(taken, lost, "what was lost is found");
    handled += acknowledge(&mut connection, &taken)?;
    println!("{handled} events handled, {} of them taken over", taken.len());
    let (pending, ..): (usize, Value, Value, Value) =
        redis::cmd("XPENDING").arg(STREAM).arg(GROUP).query(&mut connection)?;
    assert_eq!((handled, pending), (EVENTS, 0));
    Ok(())
}
