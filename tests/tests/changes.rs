//! `rdb_changes_since_last_save`, by which save points go, counts what redis-server counts: one for each element that was
//! added or removed, one for a key that got another name, and so on.

use respire_tests::ask::ask;
use respire_tests::{Client, Server};

/// What the commands find.
const SETUP: &[&str] = &[
    "FLUSHALL",
    "SET s abc",
    "SET n 5",
    "RPUSH l a b c d e f",
    "RPUSH l2 x",
    "SADD st a b c d e",
    "SADD st2 c d z",
    "HSET h a 1 b 2 c 3",
    "ZADD z 1 a 2 b 3 c 4 d",
    "ZADD z2 5 a 9 q",
    "XADD x 1-1 f v",
    "XADD x 2-1 f v",
    "XADD x 3-1 f v",
    "XGROUP CREATE x g 0",
    "XREADGROUP GROUP g c STREAMS x >",
    "PFADD p a b c",
    "PFADD p2 d e",
    "GEOADD g 1 1 p 2 2 q",
    "SET bits abc",
];

const COMMANDS: &[&str] = &[
    "SET s x",
    "SET s x NX",
    "SET q x EX 100",
    "MSET s 1 b 2 c 3",
    "MSETNX q1 1 q2 2",
    "APPEND s x",
    "INCR n",
    "GETDEL s",
    "GETEX s PERSIST",
    "SETRANGE s 1 zz",
    "SETBIT bits 3 1",
    "BITFIELD bits SET u8 0 1 INCRBY u8 8 1",
    "BITFIELD bits SET u8 0 97",
    "BITOP NOT bb bits",
    "DEL s n none",
    "EXPIRE s 100",
    "EXPIRE s -1",
    "PERSIST s",
    "RENAME s s2",
    "RENAME s n",
    "RENAMENX s q",
    "RENAMENX s n",
    "COPY s n REPLACE",
    "MOVE s 3",
    "SWAPDB 5 6",
    "RPUSH l g h i",
    "RPUSH new g h i",
    "LPUSHX l g h",
    "LPUSHX none g h",
    "LINSERT l BEFORE c zz",
    "LPOP l",
    "LPOP l 3",
    "RPOP l 99",
    "LREM l 0 a",
    "LSET l 0 q",
    "LTRIM l 1 2",
    "LTRIM l 10 20",
    "LTRIM l 0 -1",
    "LMOVE l l2 LEFT RIGHT",
    "LMOVE l l LEFT RIGHT",
    "RPOPLPUSH l l2",
    "LMPOP 1 l LEFT COUNT 2",
    "BLPOP l 1",
    "BLMOVE l l2 LEFT RIGHT 1",
    "BLMPOP 1 1 l LEFT COUNT 3",
    "SADD st q w a",
    "SADD st a",
    "SREM st a b none",
    "SPOP st",
    "SPOP st 2",
    "SPOP st 99",
    "SMOVE st st2 a",
    "SMOVE st st2 c",
    "SINTERSTORE ss st st2",
    "SUNIONSTORE st2 st st2",
    "SDIFFSTORE st st st",
    "HSET h a 5 d 6",
    "HMSET h a 1 b 2",
    "HINCRBY h a 1",
    "HDEL h a b none",
    "HDEL h a b c",
    "ZADD z 9 a 8 n 7 m",
    "ZADD z 1 a",
    "ZINCRBY z 1 a",
    "ZREM z a b none",
    "ZREMRANGEBYRANK z 0 1",
    "ZREMRANGEBYSCORE z 0 2",
    "ZPOPMIN z 2",
    "ZMPOP 1 z MIN COUNT 2",
    "BZMPOP 1 1 z MIN COUNT 2",
    "ZRANGESTORE zz z 0 -1",
    "ZUNIONSTORE zz 2 z z2",
    "GEORADIUS g 1 1 1000 km STORE gs",
    "GEORADIUS g 50 50 1 km STORE g",
    "GEOSEARCHSTORE gs g FROMLONLAT 1 1 BYRADIUS 1000 km",
    "XADD x 4-1 f v",
    "XADD x MAXLEN 2 5-1 f v",
    "XDEL x 1-1 2-1",
    "XTRIM x MAXLEN 1",
    "XTRIM x MAXLEN 10",
    "XSETID x 9-9",
    "XGROUP CREATE x g3 0",
    "XGROUP CREATE new g3 0 MKSTREAM",
    "XGROUP CREATECONSUMER x g other",
    "XGROUP SETID x g 0",
    "XGROUP DESTROY x g",
    "XACK x g 1-1 2-1",
    "XACK x g 7-7",
    "XCLAIM x g c 0 1-1 2-1",
    "PFADD p a",
    "PFADD p zz yy",
    "PFADD new zz yy",
    "PFMERGE p p2",
    "PFCOUNT p",
    "SORT l ALPHA STORE l3",
    "SORT none STORE l",
    "FLUSHDB",
    "FLUSHALL",
    "PUBLISH a b",
    "EVAL return(redis.call('rpush','l','b','c')) 0",
];

fn changes(client: &mut Client) -> i64 {
    let info = ask(client, "INFO persistence");
    let info = String::from_utf8_lossy(info.text().expect("a text")).into_owned();
    let line = info.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
    line.and_then(|number| number.parse().ok()).expect("a number")
}

/// How many changes a command counts as.
fn counted(client: &mut Client, command: &str) -> i64 {
    SETUP.iter().for_each(|line| drop(ask(client, line)));
    let before = changes(client);
    ask(client, command);
    changes(client) - before
}

#[test]
fn changes_are_counted_as_redis_counts_them() {
    let Some((respire, redis)) = Server::start_pair(&[], "that changes are counted as by Redis")
    else {
        return;
    };
    let (mut redis, mut respire) = (redis.client(), respire.client());
    let mut differ = |command: &str| {
        let (theirs, ours) = (counted(&mut redis, command), counted(&mut respire, command));
        (theirs != ours).then(|| format!("{command}: redis {theirs}, respire {ours}"))
    };
    let found: Vec<String> = COMMANDS.iter().filter_map(|command| differ(command)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn who_is_served_counts_once_more() {
    let server = Server::start(respire_tests::Kind::Respire, &[]);
    let (mut waiting, mut other) = (server.client(), server.client());
    for blocked in ["BLPOP l 0", "BLMOVE l l2 LEFT RIGHT 0"] {
        let before = changes(&mut other);
        waiting.send(&blocked.split(' ').collect::<Vec<_>>()).expect("it is sent");
        while !String::from_utf8_lossy(ask(&mut other, "INFO clients").text().expect("a text"))
            .contains("blocked_clients:1")
        {
            std::thread::yield_now();
        }
        ask(&mut other, "LPUSH l a");
        waiting.read().expect("it is served");
        assert_eq!(changes(&mut other) - before, 2, "{blocked}");
    }
}
