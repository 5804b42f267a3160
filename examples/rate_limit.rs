//! A rate limit over a sliding window: each user may do so many things in any three seconds, counted in one atomic step.
//!
//! `cargo run -p respire-tests --example rate_limit [redis://127.0.0.1:6379/]`

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Commands, Connection, RedisResult};

const LIMIT: usize = 5;
const WINDOW: Duration = Duration::from_secs(3);

/// Whether a user may do one more thing now. What was refused counts, too: who hammers waits longer.
fn allowed(connection: &mut Connection, user: &str, request: usize) -> RedisResult<bool> {
    let key = format!("example:rate:{user}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
    let (count,): (usize,) = redis::pipe()
        .atomic()
        .zrembyscore(&key, "-inf", format!("({}", now - WINDOW.as_millis()))
        .ignore()
        .zadd(&key, format!("{now}:{request}"), now as u64)
        .ignore()
        .zcard(&key)
        .pexpire(&key, WINDOW.as_millis() as i64)
        .ignore()
        .query(connection)?;
    Ok(count <= LIMIT)
}

fn main() -> RedisResult<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379/".into());
    let mut connection = redis::Client::open(url)?.get_connection()?;
    connection.del::<_, ()>("example:rate:ann")?;
    let answers = (0..LIMIT + 3)
        .map(|request| allowed(&mut connection, "ann", request))
        .collect::<RedisResult<Vec<bool>>>()?;
    let granted = answers.iter().filter(|granted| **granted).count();
    println!("{granted} of {} requests at once were allowed", answers.len());
    assert_eq!(granted, LIMIT);
    thread::sleep(WINDOW + Duration::from_millis(50));
    assert!(allowed(&mut connection, "ann", 100)?, "the window has moved on");
    println!("and one more after the window had passed");
    Ok(())
}
