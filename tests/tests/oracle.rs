//! The oracle test: 200,000 seeded commands in RESP2 and as many in RESP3, run against Respire and against redis-server
//! 7.0.15, every reply compared byte by byte.
//!
//! | variable | meaning |
//! |---|---|
//! | `ORACLE_SEED` | the seed; `random` draws one and prints it |
//! | `ORACLE_PROTOCOL` | only RESP2 (`2`) or only RESP3 (`3`) |
//! | `ORACLE_COMMANDS` | how many commands per protocol |
//! | `ORACLE_SURVEY` | collect that many different differences instead of stopping at the first |
//! | `ORACLE_TRACE` | print every command |

use std::collections::{BTreeMap, HashSet};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use respire_tests::oracle::{self, Difference, Plan};
use respire_tests::{Kind, Server};

const SEED: u64 = 20_240_611;
const COMMANDS: u64 = 200_000;
const CONNECTIONS: usize = 3;

/// The slow log must stay empty, however slow the machine.
const ARGUMENTS: &[&str] = &["--slowlog-log-slower-than", "-1"];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn seed() -> u64 {
    if std::env::var("ORACLE_SEED").is_ok_and(|v| v == "random") {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        return now.as_nanos() as u64;
    }
    number("ORACLE_SEED").unwrap_or(SEED)
}

/// A pair of servers and what is asked of it.
#[derive(Clone, Copy)]
struct Shard {
    protocol: u8,
    /// In hundredths of the commands of a run.
    share: u64,
    /// Both servers get these as well.
    arguments: &'static [&'static str],
}

const SHARDS: &[Shard] = &[
    Shard { protocol: 2, share: 100, arguments: &[] },
    Shard { protocol: 3, share: 100, arguments: &[] },
    // OBJECT answers differently when keys are aged by use; small limits make collections change their encoding often.
    Shard {
        protocol: 3,
        share: 20,
        arguments: &[
            "--maxmemory-policy",
            "allkeys-lfu",
            "--list-max-listpack-size",
            "5",
            "--stream-node-max-entries",
            "7",
            "--stream-node-max-bytes",
            "300",
            "--set-max-intset-entries",
            "16",
            "--hash-max-listpack-entries",
            "8",
            "--hash-max-listpack-value",
            "20",
        ],
    },
];

#[test]
fn replies_equal_those_of_redis() {
    if respire_tests::server::redis_path("that replies equal Redis's").is_none() {
        return;
    }
    let seed = seed();
    let commands = number("ORACLE_COMMANDS").unwrap_or(COMMANDS);
    let protocol = number("ORACLE_PROTOCOL");
    println!("oracle: seed {seed}, {commands} commands per protocol");
    let shards =
        SHARDS.iter().filter(|shard| protocol.is_none_or(|one| one == u64::from(shard.protocol)));
    let differences: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = shards
            .map(|shard| {
                let commands = (commands * shard.share).div_ceil(100);
                let plan = Plan {
                    seed,
                    protocol: shard.protocol,
                    commands,
                    connections: CONNECTIONS,
                    traced: std::env::var_os("ORACLE_TRACE").is_some(),
                };
                scope.spawn(move || match number("ORACLE_SURVEY") {
                    Some(wanted) => survey(plan, shard, wanted),
                    None => run(plan, shard).err().map(|(_, report)| report).into_iter().collect(),
                })
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().expect("a shard that ends")).collect()
    });
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

/// Runs one shard on its own pair of servers. The error is the first difference, and all that helps to find its cause.
fn run(plan: Plan, shard: &Shard) -> Result<(), (Box<Difference>, String)> {
    let arguments = [ARGUMENTS, shard.arguments].concat();
    let (respire, redis) =
        Server::start_pair(&arguments, "that replies equal Redis's").expect("a Redis, as before");
    let start = Instant::now();
    match oracle::run(plan, &redis, &respire) {
        Ok(done) => {
            assert!(done.commands >= plan.commands);
            // A generator that mostly makes mistakes would test little but error texts.
            let refused = 100 * done.errors / done.commands;
            assert!(refused < 50, "{refused} % of the commands were refused");
            println!(
                "oracle: RESP{} {:?}: {} commands, {refused} % refused, {} keyspace comparisons, no difference, {:.1} s",
                plan.protocol,
                shard.arguments,
                done.commands,
                done.states,
                start.elapsed().as_secs_f64()
            );
            Ok(())
        }
        Err(difference) => {
            let report = format!(
                "{difference}both servers were started with {arguments:?}\n--- respire's log ---\n{}",
                respire.log()
            );
            Err((difference, report))
        }
    }
}

/// Collects differences instead of stopping at the first: after each it goes on with fresh servers and the next seed,
/// until it has as many as `wanted` that are not alike, or a run without any, or finds nothing new for long.
fn survey(mut plan: Plan, shard: &Shard, wanted: u64) -> Vec<String> {
    let mut alike = HashSet::new();
    let mut reports = Vec::new();
    while (reports.len() as u64) < wanted {
        let Err((found, report)) = run(plan, shard) else {
            break;
        };
        plan.seed += 1;
        if alike.insert((found.name, found.redis, found.respire)) {
            reports.push(report);
        }
    }
    reports
}

/// Whatever commands the server has, the generators make them, or a list says why not.
#[test]
fn every_command_is_generated_or_left_out_with_a_reason() {
    let server = Server::start(Kind::Respire, ARGUMENTS);
    let all = ["COMMAND", "LIST", "FILTERBY", "PATTERN", "*"];
    let commands = server.client().roundtrip(&all).expect("a reply");
    let names: Vec<String> = commands
        .elements()
        .expect("a list")
        .iter()
        .filter_map(|name| Some(String::from_utf8_lossy(name.text()?).to_ascii_uppercase()))
        .collect();
    assert!(names.len() > 200, "{names:?}");
    let coverage = oracle::coverage(1, 1_000_000);
    let mut missing = Vec::new();
    for name in &names {
        let times = coverage.get(name).copied().unwrap_or(0);
        // A container is its subcommands.
        let container = names.iter().any(|other| other.starts_with(&format!("{name}|")));
        if times < 10 && !container && !oracle::left_out(name) {
            missing.push(format!("{name}: generated {times} times"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    for left_out in oracle::commands_left_out() {
        let there = names.iter().any(|name| name == left_out);
        assert!(there, "{left_out} is left out, and no command of the server");
    }
}

/// Each group of commands gets its share of a run.
#[test]
fn every_group_is_generated_often() {
    const LEAST: u64 = 20_000;
    let server = Server::start(Kind::Respire, ARGUMENTS);
    let docs = server.client().roundtrip(&["COMMAND", "DOCS"]).expect("a reply");
    let docs = docs.elements().expect("a list");
    let total: u64 = SHARDS.iter().map(|shard| (COMMANDS * shard.share).div_ceil(100)).sum();
    let coverage = oracle::coverage(SEED, total as usize);
    let times = |name: &str| coverage.get(name).copied().unwrap_or(0);
    let mut groups: BTreeMap<String, u64> = BTreeMap::new();
    for pair in docs.chunks(2) {
        let name = String::from_utf8_lossy(pair[0].text().expect("a name")).to_ascii_uppercase();
        let facts = pair[1].elements().expect("a list of facts");
        let group = facts.chunks(2).find(|fact| fact[0].text() == Some(b"group"));
        let group = group.and_then(|fact| fact[1].text()).expect("every command is of a group");
        let group = match &name[..] {
            "SORT" | "SORT_RO" => "sort".into(),
            _ => String::from_utf8_lossy(group).into_owned(),
        };
        *groups.entry(group).or_default() += times(&name);
    }
    groups.insert("tracking".into(), coverage["(of listeners)"]);
    println!("{groups:?}");
    for group in [
        "string",
        "generic",
        "list",
        "hash",
        "set",
        "sorted-set",
        "stream",
        "geo",
        "bitmap",
        "hyperloglog",
        "sort",
        "pubsub",
        "tracking",
        "scripting",
        "connection",
    ] {
        let times = groups.get(group).copied().unwrap_or(0);
        assert!(times >= LEAST, "{group}: {times} commands");
    }
}

/// The oracle itself is tested: two servers that really differ must not pass.
#[test]
fn a_server_that_differs_is_caught() {
    if respire_tests::server::redis_path("that the oracle test catches differences").is_none() {
        return;
    }
    let plan =
        Plan { seed: 1, protocol: 3, commands: 20_000, connections: CONNECTIONS, traced: false };
    // Fewer databases: some SELECT, MOVE, COPY or SWAPDB fails on one side only.
    let redis = Server::start(Kind::Redis, ARGUMENTS);
    let broken = Server::start(Kind::Redis, &[ARGUMENTS, &["--databases", "3"]].concat());
    let difference =
        oracle::run(plan, &redis, &broken).expect_err("a server with 3 databases must be caught");
    assert!(difference.step < 2_000, "caught late, at step {}", difference.step);
    let report = difference.to_string();
    assert!(report.contains("ORACLE_SEED=1") && report.contains("ORACLE_PROTOCOL=3"), "{report}");
    // Some number that is out of range on one side, unless CONFIG GET told the difference itself before.
    assert!(report.contains("out of range") || report.contains("databases"), "{report}");
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
    let plan = Plan { seed: 5, protocol: 2, commands: 1, connections: 1, traced: false };
    let difference = oracle::run(plan, &redis, &broken).expect_err("a stray key must be caught");
    assert!(difference.to_string().contains("13/stray"), "{difference}");
}
