//! The figures of the collection types and of Pub/Sub.

use super::{Bench, Bound, Figure, Server, text};
use respire_bench::{Load, ServerCpu, Workload, median};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Elements that one command of a filler adds.
const CHUNK: usize = 500;
const SUBSCRIBERS: usize = 100;
/// What a subscriber is answered, and what its messages begin with.
const CONFIRMATION: &str = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
const MESSAGE_HEAD: &str = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$32\r\n";
const MESSAGE_BYTES: usize = 32;
/// After a load, for the last subscriber to get the last message.
const DELIVERY_LIMIT: Duration = Duration::from_secs(60);

/// How a collection is filled: its command, and what it takes for element `n`.
#[derive(Clone, Copy)]
struct Filler {
    command: &'static str,
    element: fn(usize) -> Vec<String>,
}

const LIST: Filler = Filler { command: "RPUSH", element: |n| vec![format!("element:{n:08}")] };
const SET: Filler = Filler { command: "SADD", element: |n| vec![format!("member:{n:08}")] };
const HASH: Filler = Filler {
    command: "HSET",
    element: |n| vec![format!("field:{n:08}"), format!("value of {n:08}")],
};
const ZSET: Filler = Filler {
    command: "ZADD",
    element: |n| vec![format!("{}.5", n * 7 % 1_000_003), format!("member:{n:08}")],
};

impl Filler {
    /// Adds the elements of `numbers` to `key`.
    fn fill(
        self,
        server: &Server,
        key: &str,
        numbers: impl Iterator<Item = usize>,
    ) -> Result<(), String> {
        let mut client = server.target().connect().map_err(text)?;
        let mut words: Vec<String> = Vec::new();
        let mut send = |words: &mut Vec<String>| {
            let mut request = vec![self.command, key];
            request.extend(words.iter().map(String::as_str));
            let sent = client.call(&request).map(drop).map_err(text);
            words.clear();
            sent
        };
        for n in numbers {
            words.extend((self.element)(n));
            if words.len() >= CHUNK {
                send(&mut words)?;
            }
        }
        if words.is_empty() { Ok(()) } else { send(&mut words) }
    }

    fn fill_many(
        self,
        server: &Server,
        prefix: &str,
        keys: u64,
        each: usize,
    ) -> Result<(), String> {
        (0..keys).try_for_each(|key| self.fill(server, &format!("{prefix}key:{key:012}"), 0..each))
    }
}

/// A command whose processor time is compared.
struct Row {
    what: &'static str,
    bound: f64,
    line: &'static str,
    /// Keys that the command draws from.
    keys: u64,
    requests: u64,
    prepare: fn(&Server) -> Result<(), String>,
}

const NOTHING: fn(&Server) -> Result<(), String> = |_| Ok(());

/// A counter that ends after a while, as rate limiters have it; and its digest, which EVALSHA takes.
const SCRIPT: &str =
    "redis.call('INCR',KEYS[1]) redis.call('EXPIRE',KEYS[1],100) return redis.call('GET',KEYS[1])";

const ROWS: &[Row] = &[
    Row {
        what: "EVALSHA of three commands",
        bound: 2.0,
        line: "EVALSHA dca3f758c8e1824bf21c3b1d1d8c04f0d1416308 1 e:__key__",
        keys: 10_000,
        requests: 200_000,
        prepare: |server| {
            let mut client = server.target().connect().map_err(text)?;
            client.call(&["SCRIPT", "LOAD", SCRIPT]).map(drop).map_err(text)
        },
    },
    Row {
        what: "LPUSH",
        bound: 3.0,
        line: "LPUSH l:__key__ __data__",
        keys: 10_000,
        requests: 500_000,
        prepare: NOTHING,
    },
    Row {
        what: "RPOP",
        bound: 3.0,
        line: "RPOP l:__key__",
        keys: 10_000,
        requests: 300_000,
        prepare: NOTHING,
    },
    Row {
        what: "HSET",
        bound: 3.0,
        line: "HSET h:__key__ __key__ __data__",
        keys: 10_000,
        requests: 500_000,
        prepare: NOTHING,
    },
    Row {
        what: "SADD",
        bound: 3.0,
        line: "SADD s:__key__ __key__",
        keys: 10_000,
        requests: 500_000,
        prepare: NOTHING,
    },
    Row {
        what: "ZADD",
        bound: 3.0,
        line: "ZADD z:__key__ __number__ __key__",
        keys: 10_000,
        requests: 500_000,
        prepare: NOTHING,
    },
    Row {
        what: "XADD",
        bound: 3.0,
        line: "XADD x:__key__ * field __data__",
        keys: 10_000,
        requests: 500_000,
        prepare: NOTHING,
    },
    Row {
        what: "ZRANGE 0 9 of 1,000",
        bound: 1.5,
        line: "ZRANGE r:__key__ 0 9",
        keys: 200,
        requests: 200_000,
        prepare: |server| ZSET.fill_many(server, "r:", 200, 1000),
    },
    Row {
        what: "LRANGE 0 99",
        bound: 1.5,
        line: "LRANGE lr:__key__ 0 99",
        keys: 1000,
        requests: 100_000,
        prepare: |server| LIST.fill_many(server, "lr:", 1000, 100),
    },
    Row {
        what: "HGETALL of 20",
        bound: 1.5,
        line: "HGETALL hr:__key__",
        keys: 2000,
        requests: 200_000,
        prepare: |server| HASH.fill_many(server, "hr:", 2000, 20),
    },
    Row {
        what: "SINTER of two sets of 1,000",
        bound: 1.5,
        line: "SINTER sa:__key__ sb:__key__",
        keys: 50,
        requests: 10_000,
        prepare: |server| {
            for key in 0..50 {
                SET.fill(server, &format!("sa:key:{key:012}"), 0..1000)?;
                SET.fill(server, &format!("sb:key:{key:012}"), 500..1500)?;
            }
            Ok(())
        },
    },
];

impl Bench {
    /// The processor time of commands on collections.
    pub(super) fn collections(&self) -> Result<Vec<Figure>, String> {
        if !ROWS.iter().any(|row| self.wanted(row.what)) {
            return Ok(Vec::new());
        }
        let servers = [self.redis()?, self.respire()?];
        let mut figures = Vec::new();
        for row in ROWS.iter().filter(|row| self.wanted(row.what)) {
            servers.iter().try_for_each(row.prepare)?;
            let load = |server: &Server| Load {
                connections: 10,
                pipeline: 100,
                requests: Some(self.scaled(row.requests)),
                keyspace: row.keys,
                ..Load::new(server.target(), Workload::Custom(row.line.into()))
            };
            let [redis, respire] = self.alternate(&servers, load)?;
            figures.push(Figure {
                what: row.what,
                bound: Bound::AtLeast(row.bound),
                measured: redis.cpu / respire.cpu,
                redis: redis.text(),
                respire: respire.text(),
            });
        }
        Ok(figures)
    }

    /// Resident memory of collections, small and large.
    pub(super) fn memory_of_collections(&self) -> Result<Vec<Figure>, String> {
        const SMALL: usize = 100;
        const LARGE: usize = 1_000_000;
        const WARM_UP: usize = 1_000;
        let rows: [(&str, Option<Filler>, usize); 9] = [
            ("memory of lists of 100", Some(LIST), SMALL),
            ("memory of a list of 1,000,000", Some(LIST), LARGE),
            ("memory of sets of 100", Some(SET), SMALL),
            ("memory of a set of 1,000,000", Some(SET), LARGE),
            ("memory of hashes of 100", Some(HASH), SMALL),
            ("memory of a hash of 1,000,000", Some(HASH), LARGE),
            ("memory of sorted sets of 100", Some(ZSET), SMALL),
            ("memory of a sorted set of 1,000,000", Some(ZSET), LARGE),
            ("memory of a stream of 1,000,000", None, LARGE),
        ];
        let mut figures = Vec::new();
        for (what, filler, size) in rows {
            if !self.wanted(what) {
                continue;
            }
            let keys = if size == SMALL { self.scaled(10_000) } else { 1 };
            let elements = if size == SMALL { size } else { self.scaled(size as u64) as usize };
            let cost = |server: Server| -> Result<f64, String> {
                let fill = |prefix: &str, keys: u64, elements: usize| match filler {
                    Some(filler) => filler.fill_many(&server, prefix, keys, elements),
                    None => fill_stream(&server, elements),
                };
                // What the server needs for its clients, and for itself, is there before it is measured.
                fill("first ", 1, WARM_UP)?;
                let before = server.resident_bytes()?;
                fill("", keys, elements)?;
                let grown = server.resident_bytes()? - before;
                Ok(grown / (keys as f64 * elements as f64))
            };
            let (redis, respire) = (cost(self.redis()?)?, cost(self.respire()?)?);
            figures.push(Figure {
                what,
                bound: Bound::AtMost(0.8),
                measured: respire / redis,
                redis: format!("{redis:.1} bytes an element"),
                respire: format!("{respire:.1} bytes an element"),
            });
        }
        Ok(figures)
    }

    /// PUBLISH with many subscribers.
    pub(super) fn publishing(&self) -> Result<Vec<Figure>, String> {
        let what = "PUBLISH to 100 subscribers";
        if !self.wanted(what) {
            return Ok(Vec::new());
        }
        let servers = [self.redis()?, self.respire()?];
        let listening = AtomicBool::new(true);
        let received = [AtomicU64::new(0), AtomicU64::new(0)];
        let cost = thread::scope(|scope| {
            let listeners = servers.iter().map(subscribe).collect::<Result<Vec<_>, _>>()?;
            for (own, received) in listeners.into_iter().zip(&received) {
                scope.spawn(|| drain(own, &listening, received));
            }
            let cost = self.publish_to_all(&servers, &received);
            listening.store(false, Ordering::Relaxed);
            cost
        });
        let [redis, respire] = cost?;
        Ok(vec![Figure {
            what,
            bound: Bound::AtLeast(2.0),
            measured: redis / respire,
            redis: format!("{redis:.3} µs"),
            respire: format!("{respire:.3} µs"),
        }])
    }

    /// Processor time of a server for each message, µs, until the last subscriber has got the last of them: a server may
    /// well take messages in faster than they are read from it. Medians of rounds that alternate.
    fn publish_to_all(
        &self,
        servers: &[Server; 2],
        received: &[AtomicU64; 2],
    ) -> Result<[f64; 2], String> {
        let messages = self.scaled(30_000);
        let each = MESSAGE_HEAD.len() + MESSAGE_BYTES + "\r\n".len();
        let bytes = messages * (each * SUBSCRIBERS) as u64;
        let mut rounds = [Vec::new(), Vec::new()];
        for round in 0..=self.options.rounds {
            for ((server, received), costs) in servers.iter().zip(received).zip(&mut rounds) {
                let load = Load {
                    seed: round as u64,
                    connections: 10,
                    pipeline: 100,
                    requests: Some(messages),
                    ..Load::new(server.target(), Workload::Custom("PUBLISH news __data__".into()))
                };
                let clock = ServerCpu::of_process(server.child.id());
                let now = || clock.nanoseconds().ok_or("a server's clock can't be read");
                let (start, before) = (now()?, received.load(Ordering::Relaxed));
                super::no_errors(&load.run().map_err(text)?)?;
                let deadline = Instant::now() + DELIVERY_LIMIT;
                while received.load(Ordering::Relaxed) < before + bytes {
                    if Instant::now() > deadline {
                        return Err("messages were lost on the way to subscribers".into());
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                if round > 0 {
                    costs.push((now()? - start) as f64 / 1e3 / messages as f64);
                }
            }
        }
        let [redis, respire] = rounds.map(|costs| median(costs).ok_or("no rounds"));
        Ok([redis?, respire?])
    }
}

fn fill_stream(server: &Server, entries: usize) -> Result<(), String> {
    let load = Load {
        connections: 1,
        pipeline: 100,
        requests: Some(entries as u64),
        keyspace: 1,
        ..Load::new(
            server.target(),
            Workload::Custom("XADD stream * sensor 17 value __data__".into()),
        )
    };
    super::no_errors(&load.run().map_err(text)?)
}

/// Connections that listen to the channel.
fn subscribe(server: &Server) -> Result<Vec<TcpStream>, String> {
    let failed = |error: std::io::Error| format!("a subscriber: {error}");
    let one = || -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(server.addr)?;
        stream.write_all(b"SUBSCRIBE news\r\n")?;
        stream.read_exact(&mut [0; CONFIRMATION.len()])?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    (0..SUBSCRIBERS).map(|_| one().map_err(failed)).collect()
}

/// Reads what subscribers are sent, and counts the bytes of messages.
fn drain(mut streams: Vec<TcpStream>, listening: &AtomicBool, received: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while listening.load(Ordering::Relaxed) {
        for stream in &mut streams {
            match stream.read(&mut buffer) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return,
                Err(_) => {}
                Ok(bytes) => {
                    received.fetch_add(bytes as u64, Ordering::Relaxed);
                }
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}
