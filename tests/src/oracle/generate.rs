//! Which command comes next: rows drawn by weight, transactions opened and closed, valid commands damaged.
//!
//! Owns what is known about each connection (an open transaction, its protocol) and keeps that knowledge true
//! without looking at a single reply.

use std::collections::BTreeMap;

use super::compare::Norm;
use super::step::{Damage, Row, Step};
use super::words::Words;
use super::{
    acl, admin, bitmaps, connection, geo, hashes, hyperloglog, keys, lists, pubsub, scripts, sets,
    sort, streams, strings, zsets,
};

#[derive(Debug)]
pub struct Generator {
    words: Words,
    speaking: Table,
    listening: Table,
    /// How many of the connections speak. Those behind them listen.
    speakers: usize,
    protocol: u8,
    /// Per connection: a transaction is open.
    in_multi: Vec<bool>,
    /// How often each command was generated, by its first word and by its first two, as `CLIENT|KILL`.
    pub coverage: BTreeMap<String, u64>,
}

/// Rows to draw from.
#[derive(Debug)]
struct Table {
    rows: Vec<Row>,
    total_weight: u64,
}

impl Table {
    fn new(rows: Vec<Row>) -> Table {
        let total_weight = rows.iter().map(|row| u64::from(row.weight)).sum();
        Table { rows, total_weight }
    }

    fn draw(&self, words: &mut Words) -> Row {
        let mut at = words.below(self.total_weight);
        for row in &self.rows {
            match at.checked_sub(u64::from(row.weight)) {
                Some(rest) => at = rest,
                None => return *row,
            }
        }
        unreachable!("the weights add up to the total")
    }
}

/// All rows of all groups.
pub fn rows() -> Vec<Row> {
    [
        strings::ROWS,
        keys::ROWS,
        connection::ROWS,
        admin::ROWS,
        sets::ROWS,
        hashes::ROWS,
        zsets::ROWS,
        lists::ROWS,
        streams::ROWS,
        geo::ROWS,
        sort::ROWS,
        bitmaps::ROWS,
        hyperloglog::ROWS,
        pubsub::ROWS,
        acl::ROWS,
        scripts::ROWS,
    ]
    .concat()
}

impl Generator {
    /// For `connections` that speak; [`pubsub::LISTENERS`] more listen.
    pub fn new(seed: u64, protocol: u8, connections: usize) -> Generator {
        let rows = rows();
        let asked = rows.iter().filter(|row| pubsub::ASKED.contains(&row.names[0])).copied();
        let listening = [pubsub::LISTENING.to_vec(), asked.collect()].concat();
        Generator {
            words: Words::new(seed),
            speaking: Table::new(rows),
            listening: Table::new(listening),
            speakers: connections,
            protocol,
            in_multi: vec![false; connections + pubsub::LISTENERS],
            coverage: BTreeMap::new(),
        }
    }

    /// Which connection speaks next.
    pub fn connection(&mut self) -> usize {
        self.words.below(self.in_multi.len() as u64) as usize
    }

    /// A pipeline for `connection`. It ends early where a reply has to be looked at before the next request.
    pub fn pipeline(&mut self, connection: usize) -> Vec<Step> {
        let length = match self.words.below(4) {
            0 => 1,
            1 => 1 + self.words.below(5),
            _ => 1 + self.words.below(60),
        };
        let mut steps = Vec::new();
        while (steps.len() as u64) < length {
            let scene = self.scene(connection);
            // Redis gathers what it tells by prefix while it executes what it has read: who is told what there depends
            // on all of it. So nothing else is read with these.
            if connection >= self.speakers
                && scene.iter().any(|step| self.decides_who_is_told(step))
            {
                return if steps.is_empty() { scene } else { steps };
            }
            let last = scene.iter().any(|step| step.last);
            steps.extend(scene);
            if last {
                break;
            }
        }
        steps
    }

    /// Whether a step decides who is told of changes: what the connection tracks, and, in RESP2, whether it listens to
    /// messages at all.
    fn decides_who_is_told(&self, step: &Step) -> bool {
        let listens = self.protocol == 2 && step.name.ends_with("SUBSCRIBE");
        listens || matches!(step.name, "CLIENT TRACKING" | "RESET" | "QUIT")
    }

    /// The steps of one row, and what has to follow them so that the connection stays known.
    fn scene(&mut self, connection: usize) -> Vec<Step> {
        self.words.in_multi = self.in_multi[connection];
        let listens = connection >= self.speakers;
        let mut steps = if self.words.in_multi && self.words.chance(1, 7) {
            vec![Step::new(&mut self.words, "EXEC")]
        } else {
            self.draw(listens, |_| true)
        };
        let first = &steps[0];
        let restored = match first.name {
            "RESET" if first.args.len() == 1 => true,
            "HELLO" if !self.words.in_multi => {
                // Some commands in whichever protocol it is now, then back.
                for _ in 0..3 {
                    steps.extend(self.draw(listens, |row| row.damage != Damage::None));
                }
                true
            }
            _ => false,
        };
        if restored {
            let version = self.protocol.to_string();
            steps.push(Step::new(&mut self.words, "HELLO").arg(version).norm(Norm::Hello));
        }
        for step in &steps {
            self.count(step);
            if listens {
                // Whoever listens tracks most of the time: what it reads and writes, it is told of.
                *self.coverage.entry("(of listeners)".into()).or_default() += 1;
            }
            // With an argument too many these commands fail and change nothing; QUIT takes them.
            match (step.name, step.args.len()) {
                ("MULTI", 1) => self.in_multi[connection] = true,
                ("EXEC" | "DISCARD" | "RESET", 1) | ("QUIT", _) => {
                    self.in_multi[connection] = false
                }
                _ => {}
            }
        }
        steps
    }

    fn count(&mut self, step: &Step) {
        let word = |at: usize| {
            let text = step.args.get(at).and_then(|arg| str::from_utf8(arg).ok())?;
            let plain = text.len() <= 24
                && text.bytes().all(|b| b.is_ascii_alphabetic() || b"_-".contains(&b));
            (plain && !text.is_empty()).then(|| text.to_ascii_uppercase())
        };
        let Some(first) = word(0) else { return };
        if let Some(second) = word(1) {
            *self.coverage.entry(format!("{first}|{second}")).or_default() += 1;
        }
        *self.coverage.entry(first).or_default() += 1;
    }

    /// The steps of a random row among the wanted ones, damaged at times.
    fn draw(&mut self, listens: bool, wanted: fn(&Row) -> bool) -> Vec<Step> {
        let table = if listens { &self.listening } else { &self.speaking };
        let row = loop {
            let row = table.draw(&mut self.words);
            if wanted(&row) {
                break row;
            }
        };
        let mut steps = (row.make)(&mut self.words);
        if row.damage != Damage::None && self.words.chance(1, 6) {
            damage(&mut self.words, row.damage, &mut steps[0].args);
            // Whatever key the command has now, both servers look at it.
            if steps.len() == 2 {
                match steps[0].args.get(1).cloned() {
                    Some(key) => steps[1].args[1] = key,
                    None => steps.truncate(1),
                }
            }
        }
        if let "SORT" | "SORT_RO" = steps[0].name {
            sort::settle(&mut steps[0]);
        }
        steps
    }
}

/// How often each command comes among the first `commands` of a run.
pub fn coverage(seed: u64, commands: usize) -> BTreeMap<String, u64> {
    let mut generator = Generator::new(seed, 3, 3);
    let mut made = 0;
    while made < commands {
        let connection = generator.connection();
        made += generator.pipeline(connection).len();
    }
    generator.coverage
}

/// Makes a valid command wrong, or at least unusual. The command's name stays.
fn damage(words: &mut Words, kind: Damage, args: &mut Vec<Vec<u8>>) {
    let count = args.len() as u64;
    if count < 2 {
        args.push(words.nonsense());
        return;
    }
    let at = 1 + words.below(count - 1) as usize;
    match words.below(6) {
        0 => {
            args.remove(at);
        }
        1 => args.push(words.nonsense()),
        2 => args.insert(at, words.nonsense()),
        3 => args[at] = words.nonsense(),
        // Swapping could put a small number where a time is expected.
        4 if kind == Damage::Any => {
            let other = 1 + words.below(count - 1) as usize;
            args.swap(at, other);
        }
        _ => args.truncate(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_makes_a_key_expire_soon() {
        let mut generator = Generator::new(2, 3, 2);
        for _ in 0..20_000 {
            let connection = generator.connection();
            for step in generator.pipeline(connection) {
                for (at, time) in step.args.iter().enumerate().skip(2) {
                    let before = step.args[at - 1].to_ascii_uppercase();
                    let shortest = match (step.name, before.as_slice()) {
                        ("SETEX", _) if at == 2 && step.args.len() == 4 => 10_000,
                        ("PSETEX", _) if at == 2 && step.args.len() == 4 => 10_000_000,
                        ("EXPIRE", _) if at == 2 => 10_000,
                        ("PEXPIRE", _) if at == 2 => 10_000_000,
                        ("SET", b"EX") if at >= 4 => 10_000,
                        ("SET", b"PX") if at >= 4 => 10_000_000,
                        ("GETEX", b"EX") if at >= 3 => 10_000,
                        ("GETEX", b"PX") if at >= 3 => 10_000_000,
                        _ => continue,
                    };
                    let time = String::from_utf8_lossy(time);
                    // Redis takes no sign and no leading zeros, so these never become times.
                    let taken = !time.starts_with(['+', '0']);
                    let time = time.parse::<i64>().unwrap_or(0);
                    assert!(!taken || time <= 0 || time >= shortest, "{step:?}");
                }
            }
        }
    }

    #[test]
    fn damage_keeps_the_name() {
        let mut words = Words::new(3);
        for _ in 0..1000 {
            let mut args = vec![b"SET".to_vec(), b"k".to_vec(), b"v".to_vec()];
            damage(&mut words, Damage::Any, &mut args);
            assert_eq!(args[0], b"SET");
        }
    }
}
