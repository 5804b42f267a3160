//! The oracle test: 200,000 seeded commands, half of them in RESP2 and half in RESP3, against Respire and against
//! redis-server 7.0.15, every reply compared byte by byte.
//!
//! | variable | meaning |
//! |---|---|
//! | `ORACLE_SEED` | the seed; `random` draws one and prints it |
//! | `ORACLE_PROTOCOL` | only RESP2 (`2`) or only RESP3 (`3`) |
//! | `ORACLE_COMMANDS` | how many commands per protocol |

use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use respire_tests::oracle::{self, Plan};
use respire_tests::{Kind, Server};

const SEED: u64 = 20_240_611;
const COMMANDS: u64 = 100_000;
const CONNECTIONS: usize = 3;

/// The slow log must stay empty, however slow the machine.
const ARGUMENTS: &[&str] = &["--slowlog-log-slower-than", "-1"];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

fn seed() -> u64 {
    if std::env::var("ORACLE_SEED").is_ok_and(|v| v == "random") {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock after 1970");
        return now.as_nanos() as u64;
    }
    number("ORACLE_SEED").unwrap_or(SEED)
}

#[test]
fn replies_equal_those_of_redis() {
    if respire_tests::server::redis_path("that replies equal Redis's").is_none() {
        return;
    }
    let seed = seed();
    let commands = number("ORACLE_COMMANDS").unwrap_or(COMMANDS);
    let protocols = match number("ORACLE_PROTOCOL") {
        None => vec![2, 3],
        Some(one @ (2 | 3)) => vec![one as u8],
        Some(other) => panic!("ORACLE_PROTOCOL={other}: there are only 2 and 3"),
    };
    println!("oracle: seed {seed}, {commands} commands each in protocols {protocols:?}");
    let differences: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = protocols
            .iter()
            .map(|&protocol| {
                scope.spawn(move || {
                    shard(Plan {
                        seed,
                        protocol,
                        commands,
                        connections: CONNECTIONS,
                    })
                })
            })
            .collect();
        runs.into_iter()
            .filter_map(|run| run.join().expect("a shard that ends"))
            .collect()
    });
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

/// One protocol on its own pair of servers; answers the report of the first difference.
fn shard(plan: Plan) -> Option<String> {
    let (respire, redis) = Server::start_pair(ARGUMENTS, "that replies equal Redis's")?;
    let start = Instant::now();
    match oracle::run(plan, &redis, &respire) {
        Ok(done) => {
            assert!(done.commands >= plan.commands);
            println!(
                "oracle: RESP{}: {} commands, {} keyspace comparisons, no difference, {:.1} s",
                plan.protocol,
                done.commands,
                done.states,
                start.elapsed().as_secs_f64()
            );
            None
        }
        Err(difference) => Some(format!(
            "{difference}\n--- respire's log ---\n{}",
            respire.log()
        )),
    }
}

/// The oracle itself is tested: two servers that really differ must not pass.
#[test]
fn a_server_that_differs_is_caught() {
    if respire_tests::server::redis_path("that the oracle test catches differences").is_none() {
        return;
    }
    let plan = Plan {
        seed: 1,
        protocol: 3,
        commands: 20_000,
        connections: CONNECTIONS,
    };
    // Fewer databases: some SELECT, MOVE, COPY or SWAPDB fails on one side only.
    let redis = Server::start(Kind::Redis, ARGUMENTS);
    let broken = Server::start(Kind::Redis, &[ARGUMENTS, &["--databases", "3"]].concat());
    let difference =
        oracle::run(plan, &redis, &broken).expect_err("a server with 3 databases must be caught");
    assert!(
        difference.step < 2_000,
        "caught late, at step {}",
        difference.step
    );
    let report = difference.to_string();
    assert!(
        report.contains("ORACLE_SEED=1") && report.contains("ORACLE_PROTOCOL=3"),
        "{report}"
    );
    assert!(report.contains("out of range"), "{report}");
}

/// What no reply shows is found by comparing the keyspaces.
#[test]
fn a_difference_in_the_keyspace_is_caught() {
    if respire_tests::server::redis_path("that the oracle test catches differences").is_none() {
        return;
    }
    let redis = Server::start(Kind::Redis, ARGUMENTS);
    let broken = Server::start(Kind::Redis, ARGUMENTS);
    // A key in a database that one seeded command will not visit.
    let mut client = broken.client();
    client.roundtrip(&["SELECT", "13"]).expect("a reply");
    client.roundtrip(&["SET", "stray", "1"]).expect("a reply");
    let plan = Plan {
        seed: 5,
        protocol: 2,
        commands: 1,
        connections: 1,
    };
    let difference = oracle::run(plan, &redis, &broken).expect_err("a stray key must be caught");
    assert!(difference.to_string().contains("13/stray"), "{difference}");
}
