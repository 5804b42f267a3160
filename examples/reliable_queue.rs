//! A queue that loses no job: a worker moves a job to a list of its own in the same step that takes it, and removes it
//! from there when it is done. What a worker that died has left there is put back.
//!
//! `cargo run -p respire-tests --example reliable_queue [redis://127.0.0.1:6379/]`

use std::thread;

use redis::{Commands, Connection, RedisResult};

const QUEUE: &str = "example:jobs";
const DONE: &str = "example:jobs:done";
const JOBS: usize = 100;

fn connect(url: &str) -> RedisResult<Connection> {
    redis::Client::open(url)?.get_connection()
}

/// The list of the jobs that a worker is at.
fn own_list(worker: usize) -> String {
    format!("example:jobs:of:{worker}")
}

/// Takes jobs until none has come for a while. A worker that is to die does so with a job in its hands.
fn work(url: &str, worker: usize, dies: bool) -> RedisResult<()> {
    let mut connection = connect(url)?;
    let own = own_list(worker);
    loop {
        let job: Option<String> = redis::cmd("BLMOVE")
            .arg(&[QUEUE, &own, "RIGHT", "LEFT", "0.3"])
            .query(&mut connection)?;
        let Some(job) = job else { return Ok(()) };
        if dies {
            return Ok(());
        }
        // The job is done: both facts in one step.
        redis::pipe()
            .atomic()
            .lrem(&own, 1, &job)
            .rpush(DONE, &job)
            .query::<()>(&mut connection)?;
    }
}

/// Puts the jobs back that a worker has left.
fn recover(connection: &mut Connection, worker: usize) -> RedisResult<usize> {
    let mut recovered = 0;
    loop {
        let job: Option<String> = redis::cmd("LMOVE")
            .arg(&[&own_list(worker), QUEUE, "LEFT", "RIGHT"])
            .query(connection)?;
        match job {
            Some(_) => recovered += 1,
            None => return Ok(recovered),
        }
    }
}

fn main() -> RedisResult<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379/".into());
    let mut connection = connect(&url)?;
    connection.del::<_, ()>(&[QUEUE, DONE])?;
    let run = |worker, dies| {
        let url = url.clone();
        thread::spawn(move || work(&url, worker, dies))
    };
    let unlucky = run(0, true);
    let workers: Vec<_> = (1..4).map(|worker| run(worker, false)).collect();
    for job in 0..JOBS {
        connection.lpush::<_, _, ()>(QUEUE, format!("job {job}"))?;
    }
    unlucky.join().expect("the worker does not panic")?;
    let recovered = recover(&mut connection, 0)?;
    for worker in workers {
        worker.join().expect("the worker does not panic")?;
    }
    // A job that was put back after the last worker had gone home.
    work(&url, 1, false)?;
    let done: Vec<String> = connection.lrange(DONE, 0, -1)?;
    let different: std::collections::HashSet<&String> = done.iter().collect();
    println!("{} jobs done, {recovered} of them at the second attempt", done.len());
    assert_eq!((done.len(), different.len()), (JOBS, JOBS), "each job is done once");
    Ok(())
}
