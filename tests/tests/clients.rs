//! Client libraries and frameworks that programs use, run unmodified against the server: redis-py, ioredis, node-redis, the
//! `redis` crate, BullMQ, Celery and RQ.
//!
//! The scripts are in `tests/clients/`, with their versions pinned. The libraries are installed once, into
//! `client-libraries` under Cargo's target directory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use redis::Commands;
use respire_tests::{Kind, Server, outside};

/// The directory of the scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Where the libraries for one language live.
fn libraries(language: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the path of the test program");
    // target/<profile>/deps/<test>
    let target = this.ancestors().nth(3).expect("a target directory");
    let directory = target.join("client-libraries").join(language);
    fs::create_dir_all(&directory).expect("a directory for the libraries");
    directory
}

/// Runs a command to its end; answers what it wrote when it fails.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    Err(format!("{command:?}: {}\n{out}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Runs `install` unless it has already been done for just these files.
fn once_per_version(
    directory: &Path,
    files: &[PathBuf],
    install: impl FnOnce() -> Result<(), String>,
) -> bool {
    let wanted: String =
        files.iter().map(|file| fs::read_to_string(file).expect("a list of versions")).collect();
    let stamp = directory.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == wanted) {
        return true;
    }
    match install() {
        Ok(()) => {
            fs::write(stamp, wanted).expect("a stamp");
            true
        }
        Err(why) => {
            outside::skip("the client libraries can't be installed", "client libraries");
            eprintln!("{why}");
            false
        }
    }
}

/// The Python with the libraries, or `None` after a loud message. All tests of Python libraries share one installation.
fn python() -> Option<PathBuf> {
    static DONE: OnceLock<Option<PathBuf>> = OnceLock::new();
    DONE.get_or_init(|| {
        let python = outside::find("python3", "python3, python3-venv", "that redis-py works")?;
        let directory = libraries("python");
        let requirements = scripts().join("python/requirements.txt");
        let inside = directory.join("bin/python");
        let done = once_per_version(&directory, std::slice::from_ref(&requirements), || {
            run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&directory))?;
            run(Command::new(&inside)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(["--require-hashes", "-r"])
                .arg(&requirements))?;
            Ok(())
        });
        done.then_some(inside)
    })
    .clone()
}

/// The program `node` and the directory with the libraries and copies of the scripts, or `None` after a loud
/// message. Both tests of Node libraries share one installation.
fn node() -> Option<(PathBuf, PathBuf)> {
    static DONE: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();
    DONE.get_or_init(|| {
        let node = outside::find("node", "nodejs", "that ioredis and node-redis work")?;
        let npm = outside::find("npm", "npm", "that ioredis and node-redis work")?;
        let directory = libraries("node");
        for entry in fs::read_dir(scripts().join("node")).expect("the scripts") {
            let path = entry.expect("a script").path();
            if path.is_file() {
                fs::copy(&path, directory.join(path.file_name().expect("its name")))
                    .expect("a copy of it");
            }
        }
        let files = [directory.join("package.json"), directory.join("package-lock.json")];
        let done = once_per_version(&directory, &files, || {
            // Not `ci`: the lock names optional parts for other systems, which no registry has to have.
            run(Command::new(npm)
                .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"])
                .current_dir(&directory))
            .map(drop)
        });
        done.then_some((node, directory))
    })
    .clone()
}

/// A script has passed when it says so: an event loop that ran dry also ends with status 0.
fn expect_ok(result: Result<String, String>) {
    match result {
        Ok(out) => assert!(out.trim_end().ends_with("ok"), "the script ended early:\n{out}"),
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn redis_py() {
    let Some(python) = python() else { return };
    let server = Server::start(Kind::Respire, &[]);
    let script = scripts().join("python/redis_py.py");
    expect_ok(run(Command::new(python).arg("-B").arg(script).arg(server.port().to_string())));
}

/// What is served for Prometheus, as Prometheus reads it.
#[test]
fn prometheus() {
    let Some(python) = python() else { return };
    let port = respire_tests::server::free_port().to_string();
    let server = Server::start(Kind::Respire, &["--metrics-port", &port]);
    let mut client = server.client();
    for i in 0..100 {
        client.roundtrip(&["SET", &format!("key:{i}"), "1"]).expect("a reply");
    }
    client.roundtrip(&["LPUSH", "key:1", "1"]).expect("a reply");
    let script = scripts().join("python/prometheus.py");
    let own = server.port().to_string();
    expect_ok(run(Command::new(python).arg("-B").arg(script).args([port, own])));
}

#[test]
fn ioredis() {
    let Some((node, directory)) = node() else {
        return;
    };
    let server = Server::start(Kind::Respire, &[]);
    expect_ok(run(Command::new(node)
        .args(["ioredis.mjs", &server.port().to_string()])
        .current_dir(directory)));
}

/// A queue of BullMQ, worked off: all of it is Lua.
#[test]
fn bullmq() {
    let Some((node, directory)) = node() else { return };
    let server = Server::start(Kind::Respire, &[]);
    expect_ok(run(Command::new(node)
        .args(["bullmq.mjs", &server.port().to_string()])
        .current_dir(directory)));
}

/// Workers of Celery and RQ, and what redis-py builds on scripts and messages.
#[test]
fn frameworks() {
    let Some(python) = python() else { return };
    let server = Server::start(Kind::Respire, &[]);
    let script = scripts().join("python/frameworks.py");
    expect_ok(run(Command::new(python).arg("-B").arg(script).arg(server.port().to_string())));
}

#[test]
fn node_redis() {
    let Some((node, directory)) = node() else {
        return;
    };
    let server = Server::start(Kind::Respire, &[]);
    expect_ok(run(Command::new(node)
        .args(["node-redis.mjs", &server.port().to_string()])
        .current_dir(directory)));
}

#[test]
fn redis_crate_resp2() {
    let server = Server::start(Kind::Respire, &[]);
    redis_crate(&format!("redis://127.0.0.1:{}/", server.port()))
        .expect("every command to succeed");
}

#[test]
fn redis_crate_resp3() {
    let server = Server::start(Kind::Respire, &[]);
    redis_crate(&format!("redis://127.0.0.1:{}/?protocol=resp3", server.port()))
        .expect("every command to succeed");
}

fn redis_crate(url: &str) -> redis::RedisResult<()> {
    let client = redis::Client::open(url)?;
    let mut con = client.get_connection()?;
    redis::cmd("FLUSHALL").exec(&mut con)?;
    crate_values(&mut con)?;
    crate_collections(&mut con)?;
    crate_blocking(&client, &mut con)?;
    crate_expiry(&mut con)?;
    crate_pipelines(&mut con)?;
    crate_transactions(&client, &mut con)?;
    crate_connection(&mut con)
}

fn crate_values(con: &mut redis::Connection) -> redis::RedisResult<()> {
    let every_byte: Vec<u8> = (0..=255).collect();
    con.set::<_, _, ()>(&every_byte, &every_byte)?;
    assert_eq!(con.get::<_, Vec<u8>>(&every_byte)?, every_byte);
    assert_eq!(con.get::<_, Option<String>>("missing")?, None);
    assert_eq!(con.incr::<_, _, i64>("n", 42)?, 42);
    assert_eq!(con.incr::<_, _, f64>("f", 0.5)?, 0.5);
    assert_eq!(con.append::<_, _, usize>("s", "abc")?, 3);
    con.mset::<_, _, ()>(&[("a", 1), ("b", 2)])?;
    assert_eq!(con.mget::<_, Vec<Option<i64>>>(&["a", "missing", "b"])?, [Some(1), None, Some(2)]);
    assert!(!con.set_nx::<_, _, bool>("a", 9)?);
    assert_eq!(con.get_del::<_, i64>("a")?, 1);
    assert_eq!(con.del::<_, usize>(&["a", "b"])?, 1);
    Ok(())
}

/// Every type but strings, whose replies differ most between the two protocols.
fn crate_collections(con: &mut redis::Connection) -> redis::RedisResult<()> {
    assert_eq!(con.rpush::<_, _, i64>("l", &["a", "b", "c"])?, 3);
    assert_eq!(con.lrange::<_, Vec<String>>("l", 0, -1)?, ["a", "b", "c"]);
    con.hset_multiple::<_, _, _, ()>("h", &[("a", 1), ("b", 2)])?;
    let fields = con.hgetall::<_, BTreeMap<String, i64>>("h")?;
    assert_eq!(fields, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
    con.sadd::<_, _, ()>("s1", &[1, 2, 3])?;
    con.sadd::<_, _, ()>("s2", &[2, 3, 4])?;
    assert_eq!(con.sinter::<_, BTreeSet<i64>>(&["s1", "s2"])?, BTreeSet::from([2, 3]));
    con.zadd_multiple::<_, _, _, ()>("z", &[(1.0, "a"), (2.5, "b")])?;
    let ranked = con.zrange_withscores::<_, Vec<(String, f64)>>("z", 0, -1)?;
    assert_eq!(ranked, [("a".into(), 1.0), ("b".into(), 2.5)]);
    assert_eq!(con.zscore::<_, _, Option<f64>>("z", "none")?, None);
    let mut ask = |line: &str| {
        redis::cmd(line.split(' ').next().unwrap_or_default())
            .arg(line.split(' ').skip(1).collect::<Vec<_>>())
            .query::<redis::Value>(con)
    };
    ask("XADD x 1-1 f v")?;
    ask("XGROUP CREATE x g 0")?;
    let read = format!("{:?}", ask("XREADGROUP GROUP g worker STREAMS x >")?);
    assert!(read.contains("1-1"), "{read}");
    assert_eq!(ask("XACK x g 1-1")?, redis::Value::Int(1));
    ask("GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania")?;
    let near = format!("{:?}", ask("GEOSEARCH g FROMMEMBER Palermo BYRADIUS 200 km ASC WITHDIST")?);
    assert!(near.contains("Catania") && near.contains("166.27"), "{near}");
    assert_eq!(ask("SETBIT bits 7 1")?, redis::Value::Int(0));
    assert_eq!(ask("BITCOUNT bits")?, redis::Value::Int(1));
    assert_eq!(ask("PFADD hll a b c")?, redis::Value::Int(1));
    assert_eq!(ask("PFCOUNT hll")?, redis::Value::Int(3));
    Ok(())
}

/// A blocking command that another connection serves, and a message.
fn crate_blocking(client: &redis::Client, con: &mut redis::Connection) -> redis::RedisResult<()> {
    let mut other = client.get_connection()?;
    let waiter = thread::spawn(move || other.blpop::<_, (String, String)>("queue", 20.0));
    assert_eq!(con.rpush::<_, _, i64>("queue", "job")?, 1);
    let served = waiter.join().expect("a thread that ends")?;
    assert_eq!(served, ("queue".into(), "job".into()));
    let mut listening = client.get_connection()?;
    let mut listener = listening.as_pubsub();
    listener.subscribe("news")?;
    assert_eq!(con.publish::<_, _, i64>("news", "hello")?, 1);
    assert_eq!(listener.get_message()?.get_payload::<String>()?, "hello");
    Ok(())
}

fn crate_expiry(con: &mut redis::Connection) -> redis::RedisResult<()> {
    con.set_ex::<_, _, ()>("e", 1, 100)?;
    assert!((90..=100).contains(&con.ttl::<_, i64>("e")?));
    assert!(con.persist::<_, bool>("e")?);
    assert!(con.pexpire::<_, bool>("e", 1)?);
    while con.exists::<_, bool>("e")? {
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn crate_pipelines(con: &mut redis::Connection) -> redis::RedisResult<()> {
    let mut pipe = redis::pipe();
    for i in 0..1000 {
        pipe.set(format!("p:{i}"), i).ignore();
    }
    let (last,): (i64,) = pipe.get("p:999").query(con)?;
    assert_eq!(last, 999);
    let seen: HashSet<String> =
        con.scan_match::<_, String>("p:*")?.collect::<redis::RedisResult<_>>()?;
    assert_eq!(seen.len(), 1000);
    Ok(())
}

fn crate_transactions(
    client: &redis::Client,
    con: &mut redis::Connection,
) -> redis::RedisResult<()> {
    let (one, two): (i64, i64) = redis::pipe().atomic().incr("t", 1).incr("t", 1).query(con)?;
    assert_eq!((one, two), (1, 2));
    // The first attempt finds the watched key changed, the second succeeds.
    let mut other = client.get_connection()?;
    let mut attempts = 0;
    let (result,): (i64,) = redis::transaction(con, &["t"], |con, pipe| {
        attempts += 1;
        let old: i64 = con.get("t")?;
        if attempts == 1 {
            other.set::<_, _, ()>("t", 100)?;
        }
        pipe.incr("t", old).query(con)
    })?;
    assert_eq!((attempts, result), (2, 200));
    Ok(())
}

fn crate_connection(con: &mut redis::Connection) -> redis::RedisResult<()> {
    redis::cmd("CLIENT").arg("SETNAME").arg("renamed").exec(con)?;
    let info: String = redis::cmd("CLIENT").arg("INFO").query(con)?;
    assert!(info.contains("name=renamed"), "{info}");
    let config: HashMap<String, String> =
        redis::cmd("CONFIG").arg("GET").arg("maxmemory-policy").query(con)?;
    assert_eq!(config["maxmemory-policy"], "noeviction");
    let error = con.incr::<_, _, i64>("s", 1).expect_err("a string is no number");
    assert!(error.to_string().contains("not an integer"), "{error}");
    let error = redis::cmd("NOSUCH").arg("a").exec(con).expect_err("there is no such command");
    assert!(error.to_string().contains("unknown command 'NOSUCH'"), "{error}");
    Ok(())
}
