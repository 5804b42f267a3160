//! A cache inside the program that is never out of date for long: the server remembers what the program has read, and
//! tells when it changes.
//!
//! `cargo run -p respire-tests --example cached_reads [redis://127.0.0.1:6379/]`

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};

use redis::{Commands, Connection, FromRedisValue, PushInfo, PushKind, RedisResult};

/// Values that have been read, and the messages that say which of them are out of date.
struct Cache {
    connection: Connection,
    messages: Receiver<PushInfo>,
    values: HashMap<String, String>,
    /// How often the server was asked.
    asked: usize,
}

impl Cache {
    fn new(url: &str) -> RedisResult<Self> {
        let separator = if url.contains('?') { '&' } else { '?' };
        let client = redis::Client::open(format!("{url}{separator}protocol=resp3"))?;
        let mut connection = client.get_connection()?;
        let (sender, messages) = channel();
        connection.set_push_sender(sender);
        redis::cmd("CLIENT").arg(&["TRACKING", "ON"]).exec(&mut connection)?;
        Ok(Self { connection, messages, values: HashMap::new(), asked: 0 })
    }

    fn get(&mut self, key: &str) -> RedisResult<String> {
        self.drop_outdated()?;
        if let Some(value) = self.values.get(key) {
            return Ok(value.clone());
        }
        self.asked += 1;
        let value: String = self.connection.get(key)?;
        self.values.insert(key.to_owned(), value.clone());
        Ok(value)
    }

    /// Forgets what the server says to have changed.
    fn drop_outdated(&mut self) -> RedisResult<()> {
        while let Ok(message) = self.messages.try_recv() {
            if message.kind != PushKind::Invalidate {
                continue;
            }
            for keys in message.data {
                for key in Vec::<String>::from_redis_value(keys)? {
                    self.values.remove(&key);
                }
            }
        }
        Ok(())
    }

    /// Lets messages come in that are on their way: those of changes that are known of come before the next reply.
    fn wait_for_messages(&mut self) -> RedisResult<()> {
        redis::cmd("PING").exec(&mut self.connection)
    }
}

fn main() -> RedisResult<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379/".into());
    let mut writer = redis::Client::open(url.as_str())?.get_connection()?;
    writer.set::<_, _, ()>("example:greeting", "hello")?;
    let mut cache = Cache::new(&url)?;
    for _ in 0..1000 {
        assert_eq!(cache.get("example:greeting")?, "hello");
    }
    println!("1000 reads, the server was asked {} time", cache.asked);
    assert_eq!(cache.asked, 1);
    writer.set::<_, _, ()>("example:greeting", "good morning")?;
    cache.wait_for_messages()?;
    assert_eq!(cache.get("example:greeting")?, "good morning");
    println!("after a change it was asked again: {} times in all", cache.asked);
    assert_eq!(cache.asked, 2);
    Ok(())
}
