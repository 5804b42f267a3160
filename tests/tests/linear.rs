//! Histories of concurrent clients are linearizable, whatever the number of shards: on the engine in-process, and on
//! the server over TCP. `RESPIRE_SEED` repeats the operations of a failed run, though not the moments of its threads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use respire_engine::config::{Config, Settings};
use respire_engine::{Clock, Engine, Flow, Message, NoHost, Session, Worker};
use respire_resp::{Out, OwnedArgs};
use respire_tests::linear::{self, Collection, Run, Subject};
use respire_tests::{Client, Kind, Server, Value, value};

/// One run at a time: on a machine of few cores, threads of several runs would hardly ever meet their own.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seed() -> u64 {
    match std::env::var("RESPIRE_SEED") {
        Ok(text) => text.parse().expect("RESPIRE_SEED is a number"),
        Err(_) => fastrand::u64(..),
    }
}

/// The machine's clock.
struct SystemClock(Instant);

impl Clock for SystemClock {
    fn unix_us(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Of each thread, the reply that its waiting client was given by another.
type Mailboxes = Arc<Vec<Mutex<Option<Arc<[u8]>>>>>;

/// A thread's way to the engine in-process.
struct InProcess {
    engine: Arc<Engine>,
    worker: Worker,
    session: Session,
    out: Out,
    mailboxes: Mailboxes,
    /// How often it waits for others to have had a turn before it gives up.
    patience: u32,
    /// Replies that came from other clients while it was waiting.
    served: u64,
}

fn engine(shards: u16) -> Arc<Engine> {
    let defaults = Settings::new(1, "/");
    let mut settings = defaults.clone();
    settings.shards = shards;
    let config = Config::new(defaults, settings);
    let secret = std::array::from_fn(|_| fastrand::u64(..));
    Arc::new(Engine::new(
        config,
        Box::new(SystemClock(Instant::now())),
        Box::new(NoHost::default()),
        secret,
    ))
}

impl InProcess {
    fn new(engine: &Arc<Engine>, thread: usize, mailboxes: &Mailboxes) -> Self {
        let worker = Worker::new(engine, thread, thread as u64);
        Self {
            session: Session::local(engine, &worker),
            worker,
            out: Out::default(),
            engine: Arc::clone(engine),
            mailboxes: Arc::clone(mailboxes),
            patience: 5,
            served: 0,
        }
    }

    /// Hands replies over to the clients of other threads that have waited for them.
    fn deliver(&mut self) {
        for delivery in self.worker.outbox.drain(..) {
            if let Message::Unblocked(bytes) = delivery.message {
                let mailbox = self.mailboxes[delivery.thread].lock();
                let before = mailbox.expect("no thread panicked").replace(bytes);
                assert_eq!(before, None, "a client waits for one reply");
            }
        }
    }

    /// Waits until other threads have had a few turns, and gives up.
    fn wait(&mut self) {
        let mut turns_left = self.patience;
        loop {
            let mailbox = self.mailboxes[self.worker.thread].lock();
            let reply = mailbox.expect("no thread panicked").take();
            if let Some(reply) = reply {
                self.session.unblocked();
                self.served += 1;
                self.out.raw(&reply);
                return;
            }
            if turns_left == 0
                && self.engine.time_out(&mut self.worker, &mut self.session, &mut self.out)
            {
                return;
            }
            turns_left = turns_left.saturating_sub(1);
            std::thread::yield_now();
        }
    }
}

impl Subject for InProcess {
    fn call(&mut self, request: &[String]) -> Result<Value, String> {
        let args = OwnedArgs::from_parts(request);
        let args = args.as_args();
        let mut hashes = Vec::new();
        self.worker.begin_batch(&self.engine);
        let prepared = self.engine.prepare(&args, self.session.db(), &mut hashes);
        let (worker, session, out) = (&mut self.worker, &mut self.session, &mut self.out);
        let flow = self.engine.execute(worker, session, args, &prepared, &hashes, out);
        self.worker.end_batch(&self.engine);
        self.deliver();
        match flow {
            Flow::Done => {}
            Flow::Blocked(_) => self.wait(),
            Flow::Paused(_) => return Err("nobody has asked for a pause".into()),
        }
        let reply = value::parse(self.out.bytes()).map_err(|why| why.0)?.ok_or("half a reply")?;
        self.out.clear();
        Ok(reply.0)
    }
}

fn in_process_clients(shards: u16, threads: usize) -> Vec<InProcess> {
    let engine = engine(shards);
    let mailboxes = Arc::new((0..threads).map(|_| Mutex::default()).collect());
    (0..threads).map(|t| InProcess::new(&engine, t, &mailboxes)).collect()
}

fn in_process(shards: u16, threads: usize, operations: usize, histories: u64) {
    let _turn = turn();
    let mut clients = in_process_clients(shards, threads);
    let run = Run { seed: seed(), histories, operations };
    match linear::run(run, &mut clients) {
        Ok(met) => println!("{shards} shards, {threads} threads: {met} operations met another"),
        Err(why) => panic!("{shards} shards, {threads} threads: {why}"),
    }
}

#[test]
fn one_shard() {
    in_process(1, 8, 6, 1000);
}

#[test]
fn two_shards() {
    in_process(2, 8, 6, 1000);
}

#[test]
fn three_shards() {
    in_process(3, 16, 3, 1000);
}

#[test]
fn sixteen_shards() {
    in_process(16, 8, 6, 1000);
    in_process(16, 2, 30, 1000);
}

#[test]
fn sixty_four_shards() {
    in_process(64, 12, 4, 1000);
    in_process(64, 3, 16, 1000);
}

#[test]
fn the_server_on_several_threads() {
    let _turn = turn();
    for (threads, shards) in [("2", "16"), ("4", "3")] {
        let server = Server::start(Kind::Respire, &["--io-threads", threads, "--shards", shards]);
        let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
        let run = Run { seed: seed(), histories: 300, operations: 6 };
        match linear::run(run, &mut clients) {
            Ok(met) => println!("{threads} threads: {met} operations met another"),
            Err(why) => panic!("{threads} threads, {shards} shards: {why}"),
        }
    }
}

/// A store that locks each key by itself, the way this project does not.
struct Careless(Arc<Mutex<HashMap<String, String>>>);

impl Careless {
    fn get(&self, key: &str) -> Value {
        let value = self.0.lock().expect("no thread panicked").get(key).cloned();
        std::thread::yield_now();
        value.map_or(Value::NullBulk, |value| Value::Bulk(value.into_bytes()))
    }

    fn set(&self, key: &str, value: &str) {
        self.0.lock().expect("no thread panicked").insert(key.into(), value.into());
        std::thread::yield_now();
    }
}

impl Subject for Careless {
    fn call(&mut self, request: &[String]) -> Result<Value, String> {
        let args: Vec<&str> = request.iter().map(String::as_str).collect();
        match args.as_slice() {
            ["SET", key, value] => self.set(key, value),
            ["GET", key] => return Ok(self.get(key)),
            ["MGET", keys @ ..] => {
                return Ok(Value::Array(keys.iter().map(|key| self.get(key)).collect()));
            }
            ["MSET", pairs @ ..] => pairs.chunks(2).for_each(|p| self.set(p[0], p[1])),
            ["FLUSHALL"] => self.0.lock().expect("no thread panicked").clear(),
            _ => return Err("unknown".into()),
        }
        Ok(Value::Simple(b"OK".to_vec()))
    }
}

/// The threads and the checker together find what is not atomic, if anything is to be found.
#[test]
fn a_careless_store_is_found_out() {
    let _turn = turn();
    let store = Arc::new(Mutex::default());
    let mut clients: Vec<Careless> = (0..8).map(|_| Careless(Arc::clone(&store))).collect();
    let plain = |op: &linear::Op| {
        matches!(
            op,
            linear::Op::Set(..) | linear::Op::Get(_) | linear::Op::MGet(_) | linear::Op::MSet(_)
        )
    };
    let run = Run { seed: seed(), histories: 2000, operations: 6 };
    let why = linear::run_some(run, &mut clients, plain).expect_err("it is not linearizable");
    assert!(why.starts_with("Broken"), "{why}");
}

/// A store that moves a member in two steps, each of them atomic.
struct TwoSteps(InProcess);

impl Subject for TwoSteps {
    fn call(&mut self, request: &[String]) -> Result<Value, String> {
        let [name, from, to, member] = request else { return self.0.call(request) };
        if name != "SMOVE" {
            return self.0.call(request);
        }
        let was = self.0.call(&["SREM".into(), from.clone(), member.clone()])?;
        if was == Value::Integer(1) {
            std::thread::yield_now();
            self.0.call(&["SADD".into(), to.clone(), member.clone()])?;
        }
        Ok(was)
    }
}

#[test]
fn a_move_in_two_steps_is_found_out() {
    let _turn = turn();
    let mut clients: Vec<TwoSteps> = in_process_clients(16, 8).into_iter().map(TwoSteps).collect();
    let sets_alone = |op: &linear::Op| match op {
        linear::Op::Collection(Collection::SMove(from, to, _)) => from != to,
        linear::Op::Collection(op) => {
            matches!(op, Collection::SAdd(..) | Collection::SMembers(_) | Collection::SCard(_))
        }
        _ => false,
    };
    let run = Run { seed: seed(), histories: 4000, operations: 8 };
    let why = linear::run_some(run, &mut clients, sets_alone).expect_err("it is not linearizable");
    assert!(why.starts_with("Broken"), "{why}");
}

/// Pushes, and moves that wait for them.
fn pushes_and_waiting_moves(op: &linear::Op) -> bool {
    let linear::Op::Collection(op) = op else { return false };
    matches!(
        op,
        Collection::Push(..) | Collection::BLMove(..) | Collection::LRange(_) | Collection::LLen(_)
    )
}

fn patient_clients(shards: u16) -> Vec<InProcess> {
    let mut clients = in_process_clients(shards, 8);
    clients.iter_mut().for_each(|client| client.patience = 50);
    clients
}

/// Moves that really wait are in the histories: other clients bring them their element.
#[test]
fn moves_that_wait_are_served_by_others() {
    let _turn = turn();
    for shards in [1, 16] {
        let mut clients = patient_clients(shards);
        let run = Run { seed: seed(), histories: 1000, operations: 12 };
        if let Err(why) = linear::run_some(run, &mut clients, pushes_and_waiting_moves) {
            panic!("{shards} shards: {why}");
        }
        let served: u64 = clients.iter().map(|client| client.served).sum();
        println!("{shards} shards: {served} moves waited and were served");
        assert!(served > 100, "only {served} moves waited and were served");
    }
}

/// What goes wrong when a waiting client is served.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The client is told that it has waited in vain.
    Lost,
    /// The element is put down once more.
    Doubled,
}

struct Faulty(InProcess, Fault);

impl Subject for Faulty {
    fn call(&mut self, request: &[String]) -> Result<Value, String> {
        let before = self.0.served;
        let reply = self.0.call(request)?;
        if self.0.served == before {
            return Ok(reply);
        }
        let ([_, _, to, _, end, _], Value::Bulk(element)) = (request, &reply) else {
            return Err(format!("{reply:?} to {request:?}, which had to wait"));
        };
        match self.1 {
            Fault::Lost => Ok(Value::NullArray),
            Fault::Doubled => {
                let push = if end == "LEFT" { "LPUSH" } else { "RPUSH" };
                let element = String::from_utf8_lossy(element).into_owned();
                self.0.call(&[push.into(), to.clone(), element])?;
                Ok(reply)
            }
        }
    }
}

#[test]
fn a_waiting_move_that_loses_or_doubles_its_element_is_found_out() {
    let _turn = turn();
    for fault in [Fault::Lost, Fault::Doubled] {
        let clients = patient_clients(16).into_iter();
        let mut clients: Vec<Faulty> = clients.map(|client| Faulty(client, fault)).collect();
        let run = Run { seed: seed(), histories: 4000, operations: 12 };
        let why = linear::run_some(run, &mut clients, pushes_and_waiting_moves)
            .expect_err("it is not linearizable");
        assert!(why.starts_with("Broken"), "{fault:?}: {why}");
    }
}
