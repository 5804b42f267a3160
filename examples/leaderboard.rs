//! A leaderboard: points are added as they are won, and any part of the ranking is read at once.
//!
//! `cargo run -p respire-tests --example leaderboard [redis://127.0.0.1:6379/]`

use redis::{Commands, RedisResult};

const BOARD: &str = "example:leaderboard";
const PLAYERS: u64 = 1000;

fn main() -> RedisResult<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379/".into());
    let mut connection = redis::Client::open(url)?.get_connection()?;
    connection.del::<_, ()>(BOARD)?;
    let mut wins = redis::pipe();
    for round in 0..10 {
        for player in 0..PLAYERS {
            // Each player wins as much as there is chance in this formula.
            let points = player.wrapping_mul(2_654_435_761).rotate_left(round * 3) % 100;
            wins.zincr(BOARD, format!("player {player}"), points).ignore();
        }
    }
    wins.query::<()>(&mut connection)?;
    let best: Vec<(String, u64)> = connection.zrevrange_withscores(BOARD, 0, 2)?;
    for (place, (player, points)) in best.iter().enumerate() {
        println!("{}. {player}: {points} points", place + 1);
    }
    let (leader, points) = &best[0];
    let rank: usize = connection.zrevrank(BOARD, leader)?;
    let with_as_many: usize = connection.zcount(BOARD, *points, "+inf")?;
    assert_eq!(rank, 0);
    assert!(with_as_many >= 1 && best.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    // The neighbours of somebody in the middle.
    let rank: isize = connection.zrevrank(BOARD, "player 500")?;
    let around: Vec<String> = connection.zrevrange(BOARD, (rank - 2).max(0), rank + 2)?;
    assert!(around.contains(&"player 500".to_owned()));
    println!("around place {}: {}", rank + 1, around.join(", "));
    Ok(())
}
