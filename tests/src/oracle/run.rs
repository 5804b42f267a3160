//! Runs a seeded sequence against two servers and stops at the first difference.
//!
//! Pipelines go out in lock-step: one connection sends the same pipeline to both servers and reads all replies
//! before another connection speaks. So the order of effects is the same on both sides, whatever their threads do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;

use super::compare::{Norm, equal, equal_exec, with_plain_doubles};
use super::exclusions;
use super::generate::Generator;
use super::keys::MILLIS;
use super::listen::Listener;
use super::pubsub::LISTENERS;
use super::step::Step;
use super::words::{DATABASES, Words};
use crate::client::{Client, encode};
use crate::server::Server;
use crate::value::Value;

/// How many commands of a connection a report shows.
const HISTORY: usize = 20;
/// How many commands lie between two comparisons of the whole keyspace.
const STATE_EVERY: u64 = 2_000;
/// More turns than any scan of these small keyspaces can need.
const SCAN_TURNS: usize = 100_000;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// 2 or 3.
    pub protocol: u8,
    pub commands: u64,
    pub connections: usize,
    /// Every command is printed.
    pub traced: bool,
}

/// What was run without a difference.
#[derive(Debug, Default)]
pub struct Summary {
    pub commands: u64,
    pub states: u64,
    /// How many replies were errors.
    pub errors: u64,
    pub coverage: BTreeMap<String, u64>,
}

/// The first difference, and everything needed to see it again.
#[derive(Debug)]
pub struct Difference {
    pub plan: Plan,
    pub step: u64,
    /// The step's command, or what else differs: differences of one name are likely the same.
    pub name: &'static str,
    pub connection: String,
    pub history: Vec<String>,
    pub redis: String,
    pub respire: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the servers differ at step {} on {}", self.step, self.connection)?;
        writeln!(f, "its last commands:")?;
        for line in &self.history {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "redis:   {}", self.redis)?;
        writeln!(f, "respire: {}", self.respire)?;
        writeln!(f, "replay:")?;
        writeln!(
            f,
            "    ORACLE_SEED={} ORACLE_PROTOCOL={} ORACLE_COMMANDS={} cargo test -p respire-tests --test oracle",
            self.plan.seed, self.plan.protocol, self.step
        )
    }
}

/// A connection to both servers.
struct Pair {
    redis: Client,
    respire: Client,
    /// How the replies of the queued commands are compared, while a transaction is open.
    queued: Vec<Norm>,
    history: VecDeque<String>,
}

struct Runner<'a> {
    plan: Plan,
    redis: &'a Server,
    respire: &'a Server,
    pairs: Vec<Pair>,
    /// Behind those that the generator speaks for, one that hears all notifications.
    listeners: Vec<Listener>,
    /// The ids of listeners that have left.
    gone: Vec<(i64, i64)>,
    /// What listeners said last.
    listened: VecDeque<String>,
    step: u64,
    errors: u64,
}

/// The replies of one step as text, `redis` then `respire`.
type Disagreement = (String, String);

/// Runs `plan` against two fresh servers.
pub fn run(plan: Plan, redis: &Server, respire: &Server) -> Result<Summary, Box<Difference>> {
    let listeners =
        (0..=LISTENERS).map(|_| Listener::connect(redis, respire, plan.protocol)).collect();
    let mut runner = Runner {
        plan,
        redis,
        respire,
        pairs: Vec::new(),
        listeners,
        gone: Vec::new(),
        listened: VecDeque::new(),
        step: 0,
        errors: 0,
    };
    for _ in 0..plan.connections {
        let pair = runner.connect();
        runner.pairs.push(pair);
    }
    runner.listen_to_notifications();
    let mut generator = Generator::new(plan.seed, plan.protocol, plan.connections);
    let mut summary = Summary::default();
    let mut next_state = STATE_EVERY;
    while runner.step < plan.commands {
        let connection = generator.connection();
        let steps = generator.pipeline(connection);
        if connection < plan.connections {
            runner.pipeline(connection, &steps)?;
        } else {
            runner.listeners_turn(connection - plan.connections, &steps)?;
        }
        runner.hear()?;
        if runner.step >= next_state {
            next_state += STATE_EVERY;
            runner.compare_state()?;
            summary.states += 1;
        }
    }
    runner.compare_state()?;
    summary.states += 1;
    summary.commands = runner.step;
    summary.errors = runner.errors;
    summary.coverage = generator.coverage;
    Ok(summary)
}

impl Runner<'_> {
    fn connect(&self) -> Pair {
        let protocol = self.plan.protocol.to_string();
        let open = |server: &Server| {
            let mut client = server.client();
            client.roundtrip(&["HELLO", &protocol]).expect("HELLO on a fresh connection");
            client
        };
        Pair {
            redis: open(self.redis),
            respire: open(self.respire),
            queued: Vec::new(),
            history: VecDeque::new(),
        }
    }

    /// Shows what is sent, if `ORACLE_TRACE` asks for it.
    fn trace(&self, line: impl FnOnce() -> String) {
        if self.plan.traced {
            println!("{}: {}", self.step, line());
        }
    }

    fn difference(
        &self,
        connection: usize,
        name: &'static str,
        (redis, respire): Disagreement,
    ) -> Box<Difference> {
        Box::new(Difference {
            plan: self.plan,
            step: self.step,
            name,
            connection: format!("connection {connection}"),
            history: self.pairs[connection].history.iter().cloned().collect(),
            redis,
            respire,
        })
    }

    /// Sends the steps to both servers and compares what comes back.
    fn pipeline(&mut self, connection: usize, steps: &[Step]) -> Result<(), Box<Difference>> {
        let mut bytes = Vec::new();
        for step in steps {
            encode(&mut bytes, &step.args);
        }
        let pair = &mut self.pairs[connection];
        // A server that closed the connection shows itself when its reply is missing.
        let _ = pair.redis.send_raw(&bytes);
        let _ = pair.respire.send_raw(&bytes);
        for step in steps {
            self.step += 1;
            self.trace(|| format!("connection {connection}: {}", step.text()));
            let pair = &mut self.pairs[connection];
            pair.remember(self.step, step);
            let verdict = if step.answered { pair.compare_reply(step) } else { Ok(false) };
            let refused = verdict.map_err(|found| self.difference(connection, step.name, found))?;
            self.errors += u64::from(refused);
        }
        if steps.last().is_some_and(|step| step.name == "QUIT") {
            let pair = &mut self.pairs[connection];
            let verdict = pair.compare_close();
            verdict.map_err(|found| self.difference(connection, "QUIT", found))?;
            let history = std::mem::take(&mut self.pairs[connection].history);
            self.pairs[connection] = self.connect();
            self.pairs[connection].history = history;
        }
        Ok(())
    }

    fn listen_to_notifications(&mut self) {
        for server in [self.redis, self.respire] {
            let on = ["CONFIG", "SET", "notify-keyspace-events", "KEA"];
            server.client().roundtrip(&on).expect("a reply");
        }
        let mut words = Words::new(0);
        // It tracks as well, and reads nothing: Respire forgets who has read what when nobody tracks any more.
        let track = Step::new(&mut words, "CLIENT TRACKING").arg("ON");
        let subscribe = Step::new(&mut words, "PSUBSCRIBE").arg("__key*__:*");
        self.listeners[LISTENERS].exchange(&[track, subscribe], &[]).expect("the same replies");
    }

    /// The ids of all listeners at both servers: first those that are there.
    fn ids(&self) -> Vec<(i64, i64)> {
        self.listeners.iter().map(Listener::ids).chain(self.gone.iter().copied()).collect()
    }

    /// Lets a listener say something and compares all that it is sent.
    fn listeners_turn(&mut self, at: usize, steps: &[Step]) -> Result<(), Box<Difference>> {
        self.step += steps.len() as u64;
        for step in steps {
            self.trace(|| format!("listener {at}: {}", step.text()));
        }
        let ids = self.ids();
        let (leaves, said) = match steps.split_last() {
            Some((last, before)) if last.name == "QUIT" => (true, before),
            _ => (false, steps),
        };
        let mut verdict = self.listeners[at].exchange(said, &ids);
        if leaves && verdict.is_ok() {
            verdict = self.listeners[at].quit();
            let next = Listener::connect(self.redis, self.respire, self.plan.protocol);
            self.gone.push(std::mem::replace(&mut self.listeners[at], next).ids());
        }
        self.listened.extend(steps.iter().map(|step| format!("listener {at}: {}", step.text())));
        let excess = self.listened.len().saturating_sub(HISTORY);
        self.listened.drain(..excess);
        verdict.map_err(|found| self.heard_otherwise(at, found))
    }

    /// Compares what all listeners have been sent since.
    fn hear(&mut self) -> Result<(), Box<Difference>> {
        let ids = self.ids();
        for at in 0..self.listeners.len() {
            let verdict = self.listeners[at].exchange(&[], &ids);
            verdict.map_err(|found| self.heard_otherwise(at, found))?;
        }
        Ok(())
    }

    fn heard_otherwise(&self, at: usize, (redis, respire): Disagreement) -> Box<Difference> {
        let spoken = self.pairs.iter().flat_map(|pair| pair.history.iter().cloned());
        Box::new(Difference {
            plan: self.plan,
            step: self.step,
            name: "messages",
            connection: format!("what listener {at} was sent"),
            history: self.listened.iter().cloned().chain(spoken).collect(),
            redis,
            respire,
        })
    }

    /// Compares everything that both servers hold: keys, types, values, encodings, times.
    fn compare_state(&mut self) -> Result<(), Box<Difference>> {
        let redis = dump(self.redis);
        let respire = dump(self.respire);
        let found = match (redis, respire) {
            (Ok((redis, sum)), Ok((respire, own_sum))) => {
                compare_dumps(&redis, &respire).and_then(|()| {
                    let sums = (format!("DEBUG DIGEST {sum:?}"), format!("{own_sum:?}"));
                    if sum == own_sum { Ok(()) } else { Err(sums) }
                })
            }
            (redis, respire) => Err((describe(&redis), describe(&respire))),
        };
        found.map_err(|(redis, respire)| {
            Box::new(Difference {
                plan: self.plan,
                step: self.step,
                name: "state",
                connection: "the state of the keyspace".into(),
                history: self.pairs.iter().flat_map(|pair| pair.history.iter().cloned()).collect(),
                redis,
                respire,
            })
        })
    }
}

fn describe<T: fmt::Debug>(result: &io::Result<T>) -> String {
    match result {
        Ok(value) => {
            let text = format!("{value:?}");
            if text.len() > 2000 {
                format!("{}...", text.chars().take(2000).collect::<String>())
            } else {
                text
            }
        }
        Err(error) => format!("no reply: {error}"),
    }
}

impl Pair {
    fn remember(&mut self, number: u64, step: &Step) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let silent = if step.answered { "" } else { "   (no reply)" };
        self.history.push_back(format!("{number}: {}{silent}", step.text()));
    }

    /// Compares the replies to one step; answers whether they were errors.
    fn compare_reply(&mut self, step: &Step) -> Result<bool, Disagreement> {
        let redis = self.redis.read_both();
        let respire = self.respire.read_both();
        let ((oracle, raw_oracle), (subject, raw_subject)) = match (redis, respire) {
            (Ok(redis), Ok(respire)) => (redis, respire),
            (redis, respire) => {
                let value =
                    |both: io::Result<(Value, Vec<u8>)>| describe(&both.map(|(value, _)| value));
                return Err((value(redis), value(respire)));
            }
        };
        let norms = self.transaction(step, &oracle);
        let same = raw_oracle == raw_subject
            || match norms {
                Some(norms) => equal_exec(&norms, &oracle, &subject),
                None => equal(step.norm, &oracle, &subject),
            }
            || exclusions::known(step.name, &raw_oracle, &raw_subject);
        if !same {
            return Err((describe(&Ok(oracle)), describe(&Ok(subject))));
        }
        let refused = oracle.is_error();
        match step.norm {
            Norm::Scan if !refused => self.follow_scans(step, oracle, subject)?,
            Norm::AnyKey => self.check_key(&oracle, &subject)?,
            _ => {}
        }
        Ok(refused)
    }

    /// Keeps track of queued commands; for EXEC, answers how their replies are to be compared.
    fn transaction(&mut self, step: &Step, oracle: &Value) -> Option<Vec<Norm>> {
        if *oracle == Value::Simple(b"QUEUED".to_vec()) {
            self.queued.push(step.norm);
            return None;
        }
        match (step.name, step.args.len()) {
            ("EXEC", 1) => Some(std::mem::take(&mut self.queued)),
            ("DISCARD" | "RESET", 1) => {
                self.queued.clear();
                None
            }
            _ => None,
        }
    }

    /// Runs both scans to their ends and compares the keys that they returned.
    fn follow_scans(
        &mut self,
        step: &Step,
        oracle: Value,
        subject: Value,
    ) -> Result<(), Disagreement> {
        let redis = follow_scan(&mut self.redis, step, oracle);
        let respire = follow_scan(&mut self.respire, step, subject);
        match (redis, respire) {
            (Ok(a), Ok(b)) if a == b => Ok(()),
            (a, b) => Err((describe(&a), describe(&b))),
        }
    }

    /// RANDOMKEY named a key: it must be there.
    fn check_key(&mut self, oracle: &Value, subject: &Value) -> Result<(), Disagreement> {
        let check = |client: &mut Client, reply: &Value| match reply {
            Value::Bulk(key) => client.roundtrip(&[b"EXISTS", key.as_slice()]),
            _ => Ok(Value::Integer(1)),
        };
        match (check(&mut self.redis, oracle), check(&mut self.respire, subject)) {
            (Ok(Value::Integer(1)), Ok(Value::Integer(1))) => Ok(()),
            (a, b) => Err((describe(&a), describe(&b))),
        }
    }

    /// After QUIT: nothing more comes, and the connection closes.
    fn compare_close(&mut self) -> Result<(), Disagreement> {
        match (self.redis.read_to_close(), self.respire.read_to_close()) {
            (Ok(a), Ok(b)) if a == b => Ok(()),
            (a, b) => Err((describe(&a), describe(&b))),
        }
    }
}

fn follow_scan(client: &mut Client, step: &Step, first: Value) -> io::Result<BTreeSet<Value>> {
    let wrong = |reply: &Value| {
        io::Error::new(io::ErrorKind::InvalidData, format!("not a scan's reply: {reply:?}"))
    };
    let mut found = BTreeSet::new();
    let mut reply = first;
    for _ in 0..SCAN_TURNS {
        let Some([Value::Bulk(cursor), Value::Array(keys)]) = reply.elements() else {
            return Err(wrong(&reply));
        };
        found.extend(keys.iter().map(with_plain_doubles));
        if cursor == b"0" {
            return Ok(found);
        }
        let mut args = step.args.clone();
        args[usize::from(step.name != "SCAN") + 1] = cursor.clone();
        reply = client.roundtrip(&args)?;
    }
    Err(io::Error::other("the scan does not end"))
}

/// A key as `DB/key` and the replies to the questions about it.
type Dump = BTreeMap<String, Vec<Value>>;

/// The questions asked about every key, which comes last or in the place of `{}`; times are compared loosely.
const QUESTIONS: &[(&[&str], Norm)] = &[
    (&["TYPE"], Norm::Exact),
    (&["GET"], Norm::Exact),
    (&["SMEMBERS"], Norm::Unordered),
    (&["HGETALL"], Norm::UnorderedPairs),
    (&["ZRANGE", "{}", "0", "-1", "WITHSCORES"], Norm::Doubles),
    (&["LRANGE", "{}", "0", "-1"], Norm::Exact),
    (&["XRANGE", "{}", "-", "+"], Norm::Exact),
    (&["XINFO", "STREAM", "{}", "FULL", "COUNT", "0"], Norm::StreamInfo),
    (&["OBJECT", "ENCODING"], Norm::Encoding),
    (&["PEXPIRETIME"], MILLIS),
];

/// All keys of all databases, and the DEBUG DIGEST of the whole.
fn dump(server: &Server) -> io::Result<(Dump, Value)> {
    let mut client = Client::connect(server.address())?;
    let mut out = Dump::new();
    for database in 0..DATABASES {
        client.roundtrip(&["SELECT", &database.to_string()])?;
        let keys = client.roundtrip(&["KEYS", "*"])?;
        let keys: Vec<&[u8]> =
            keys.elements().unwrap_or_default().iter().filter_map(Value::text).collect();
        let mut bytes = Vec::new();
        for key in &keys {
            for (question, _) in QUESTIONS {
                let word = |word: &&'static str| if *word == "{}" { *key } else { word.as_bytes() };
                let mut args: Vec<&[u8]> = question.iter().map(word).collect();
                if !question.contains(&"{}") {
                    args.push(key);
                }
                encode(&mut bytes, &args);
            }
        }
        client.send_raw(&bytes)?;
        for key in &keys {
            let answers =
                QUESTIONS.iter().map(|_| client.read()).collect::<io::Result<Vec<_>>>()?;
            out.insert(format!("{database}/{}", key.escape_ascii()), answers);
        }
    }
    let sum = client.roundtrip(&["DEBUG", "DIGEST"])?;
    Ok((out, sum))
}

fn compare_dumps(redis: &Dump, respire: &Dump) -> Result<(), Disagreement> {
    let names: BTreeSet<&String> = redis.keys().chain(respire.keys()).collect();
    for name in names {
        let (a, b) = (redis.get(name), respire.get(name));
        let same = match (a, b) {
            (Some(a), Some(b)) => {
                let set = Value::Simple(b"set".to_vec());
                let (kind, answers) = (&a[0], a.iter().zip(b));
                QUESTIONS.iter().zip(answers).all(|((question, norm), (a, b))| {
                    equal(*norm, a, b)
                        || question[0] == "OBJECT" && set == *kind && equal(Norm::Encoding, a, b)
                })
            }
            _ => false,
        };
        if !same {
            return Err((format!("{name}: {a:?}"), format!("{name}: {b:?}")));
        }
    }
    Ok(())
}
