//! What is sent: the tests by name, and batches of their requests.
//!
//! Owns: request templates and the one write buffer of a thread, in which only the keys' digits change between
//! batches.
//! Invariant: a batch of `n` requests is `n` complete requests, each drawing its own keys.

use crate::keys::{KeyShape, KeySource, write_digits};
use rand::{RngExt as _, SeedableRng, rngs::SmallRng};

/// Which requests a load sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Workload {
    Ping,
    Set,
    Get,
    /// On keys of its own (`ctr:`), which hold numbers and not the values of `Set`.
    Incr,
    /// MGET of this many keys per request.
    MGet(usize),
    /// MSET of this many keys per request.
    MSet(usize),
    /// GET and SET in the proportion `reads : writes`, drawn per request.
    Mixed {
        reads: u32,
        writes: u32,
    },
    /// A command line; `__key__` becomes a key, `__number__` the digits of one, and `__data__` the value, in any argument
    /// and any number of times.
    Custom(String),
}

impl Workload {
    /// The name in tables, as users write it.
    pub fn name(&self) -> String {
        match self {
            Workload::Ping => "PING".into(),
            Workload::Set => "SET".into(),
            Workload::Get => "GET".into(),
            Workload::Incr => "INCR".into(),
            Workload::MGet(keys) => format!("MGET ({keys} keys)"),
            Workload::MSet(keys) => format!("MSET ({keys} keys)"),
            Workload::Mixed { reads, writes } => format!("GET:SET {reads}:{writes}"),
            Workload::Custom(line) => line.clone(),
        }
    }

    /// The kinds of requests and their weights.
    fn requests(&self) -> Result<Vec<(u32, Vec<Argument>)>, String> {
        let text = |word: &str| vec![Piece::Text(word.as_bytes().to_vec())];
        let key = || vec![Piece::Key];
        let data = || vec![Piece::Data];
        let repeat = |name, count, pair: &[Argument]| {
            let mut arguments = vec![text(name)];
            (0..count).for_each(|_| arguments.extend_from_slice(pair));
            arguments
        };
        Ok(match self {
            Workload::Ping => vec![(1, vec![text("PING")])],
            Workload::Set => vec![(1, vec![text("SET"), key(), data()])],
            Workload::Get => vec![(1, vec![text("GET"), key()])],
            Workload::Incr => vec![(1, vec![text("INCR"), key()])],
            Workload::MGet(keys) => vec![(1, repeat("MGET", *keys, &[key()]))],
            Workload::MSet(keys) => vec![(1, repeat("MSET", *keys, &[key(), data()]))],
            Workload::Mixed { reads, writes } => {
                let mut requests = vec![
                    (*reads, vec![text("GET"), key()]),
                    (*writes, vec![text("SET"), key(), data()]),
                ];
                requests.retain(|&(weight, _)| weight > 0);
                requests
            }
            Workload::Custom(line) => vec![(1, parse_command(line)?)],
        })
    }

    fn key_prefix(&self) -> &'static str {
        if *self == Workload::Incr { "ctr:" } else { "key:" }
    }
}

type Argument = Vec<Piece>;

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    Key,
    Number,
    Data,
}

/// Splits a command line at blanks; `'` and `"` hold an argument together, with no escapes inside.
fn parse_command(line: &str) -> Result<Vec<Argument>, String> {
    let mut arguments: Vec<Argument> = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let mut word = String::new();
        while let Some(first) = rest.chars().next().filter(|first| !first.is_whitespace()) {
            if first == '\'' || first == '"' {
                let end = rest[1..]
                    .find(first)
                    .ok_or_else(|| format!("{first} has no partner in the command {line:?}"))?;
                word.push_str(&rest[1..=end]);
                rest = &rest[end + 2..];
            } else {
                word.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        arguments.push(parse_argument(&word));
        rest = rest.trim_start();
    }
    if arguments.is_empty() {
        return Err("the command is empty".into());
    }
    Ok(arguments)
}

fn parse_argument(word: &str) -> Argument {
    let mut pieces = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let next =
            [("__key__", Piece::Key), ("__number__", Piece::Number), ("__data__", Piece::Data)]
                .into_iter()
                .filter_map(|(mark, piece)| rest.find(mark).map(|at| (at, mark.len(), piece)))
                .min_by_key(|&(at, ..)| at);
        let text_end = next.as_ref().map_or(rest.len(), |&(at, ..)| at);
        if text_end > 0 {
            pieces.push(Piece::Text(rest.as_bytes()[..text_end].to_vec()));
        }
        rest = match next {
            Some((at, len, piece)) => {
                pieces.push(piece);
                &rest[at + len..]
            }
            None => "",
        };
    }
    pieces
}

/// One request as bytes, and where the changing digits of its keys begin.
#[derive(Debug, Clone)]
struct Template {
    weight: u32,
    bytes: Vec<u8>,
    keys: Vec<usize>,
}

/// Builds batches in one buffer; one per thread.
#[derive(Debug)]
pub(crate) struct Batches {
    templates: Vec<Template>,
    total_weight: u32,
    digits: usize,
    /// With one template: that template `pipeline` times. Else the last batch.
    buffer: Vec<u8>,
    /// With one template: where the digits begin in `buffer`, in order.
    slots: Vec<usize>,
}

impl Batches {
    pub(crate) fn new(
        workload: &Workload,
        pipeline: usize,
        keyspace: u64,
        key_size: usize,
        value_size: usize,
    ) -> Result<Batches, String> {
        let shape = KeyShape::new(workload.key_prefix(), key_size, keyspace)?;
        let value = value(value_size);
        let templates: Vec<Template> = workload
            .requests()?
            .iter()
            .map(|(weight, arguments)| render(*weight, arguments, &shape, &value))
            .collect();
        let total_weight = templates.iter().map(|template| template.weight).sum();
        if total_weight == 0 {
            return Err("a mix of 0:0 has no requests".into());
        }
        let (mut buffer, mut slots) = (Vec::new(), Vec::new());
        if let [only] = &templates[..] {
            for _ in 0..pipeline {
                slots.extend(only.keys.iter().map(|at| buffer.len() + at));
                buffer.extend_from_slice(&only.bytes);
            }
        }
        Ok(Batches { templates, total_weight, digits: shape.digits, buffer, slots })
    }

    /// The next `count` requests; `count` is at most the pipeline of `new`.
    #[inline]
    pub(crate) fn next(&mut self, count: usize, keys: &mut KeySource) -> &[u8] {
        if let [only] = &self.templates[..] {
            for &slot in &self.slots[..count * only.keys.len()] {
                write_digits(&mut self.buffer[slot..slot + self.digits], keys.draw());
            }
            return &self.buffer[..count * only.bytes.len()];
        }
        self.buffer.clear();
        for _ in 0..count {
            let mut ticket = keys.below(self.total_weight);
            let template = self
                .templates
                .iter()
                .find(|template| match ticket.checked_sub(template.weight) {
                    None => true,
                    Some(rest) => {
                        ticket = rest;
                        false
                    }
                })
                .expect("the ticket is below the sum of the weights");
            let start = self.buffer.len();
            self.buffer.extend_from_slice(&template.bytes);
            for at in &template.keys {
                let slot = start + at;
                write_digits(&mut self.buffer[slot..slot + self.digits], keys.draw());
            }
        }
        &self.buffer
    }
}

fn render(weight: u32, arguments: &[Argument], shape: &KeyShape, value: &[u8]) -> Template {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    let mut keys = Vec::new();
    for argument in arguments {
        let len: usize = argument
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.len(),
                Piece::Key => shape.zero.len(),
                Piece::Number => shape.digits,
                Piece::Data => value.len(),
            })
            .sum();
        bytes.extend_from_slice(format!("${len}\r\n").as_bytes());
        for piece in argument {
            match piece {
                Piece::Text(text) => bytes.extend_from_slice(text),
                Piece::Key => {
                    bytes.extend_from_slice(&shape.zero);
                    keys.push(bytes.len() - shape.digits);
                }
                Piece::Number => {
                    keys.push(bytes.len());
                    bytes.resize(bytes.len() + shape.digits, b'0');
                }
                Piece::Data => bytes.extend_from_slice(value),
            }
        }
        bytes.extend_from_slice(b"\r\n");
    }
    Template { weight, bytes, keys }
}

/// Letters and digits in no order, so that nothing on the way can pack them; always the same ones.
fn value(size: usize) -> Vec<u8> {
    let mut rng = SmallRng::seed_from_u64(0x5eed);
    let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    (0..size).map(|_| letters[rng.random_range(0..letters.len())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyDistribution;

    fn batch(workload: Workload, pipeline: usize, count: usize) -> String {
        let mut keys = KeySource::new(KeyDistribution::Sequential, 1_000, 7..1_000, 1).unwrap();
        let mut batches = Batches::new(&workload, pipeline, 1_000, 8, 3).unwrap();
        batches.next(count, &mut keys);
        keys = KeySource::new(KeyDistribution::Sequential, 1_000, 7..1_000, 1).unwrap();
        String::from_utf8(batches.next(count, &mut keys).to_vec()).unwrap().replace("\r\n", " ")
    }

    #[test]
    fn batches_are_whole_requests_with_their_own_keys() {
        assert_eq!(batch(Workload::Get, 3, 2), "*2 $3 GET $8 key:0007 *2 $3 GET $8 key:0008 ");
        let mget = batch(Workload::MGet(2), 2, 2);
        assert_eq!(mget, "*3 $4 MGET $8 key:0007 $8 key:0008 *3 $4 MGET $8 key:0009 $8 key:0010 ");
        assert_eq!(batch(Workload::Incr, 1, 1), "*2 $4 INCR $8 ctr:0007 ");
        assert_eq!(batch(Workload::Ping, 2, 2), "*1 $4 PING *1 $4 PING ");
        let mset = batch(Workload::MSet(2), 1, 1);
        assert!(mset.starts_with("*5 $4 MSET $8 key:0007 $3 "), "{mset}");
    }

    #[test]
    fn custom_commands_put_keys_and_data_anywhere() {
        let line = "HSET h:__key__:x 'a field' \"\" __key____key__";
        assert_eq!(
            batch(Workload::Custom(line.into()), 1, 1),
            "*5 $4 HSET $12 h:key:0007:x $7 a field $0  $16 key:0008key:0009 "
        );
        let line = "ZADD z __number__ __key__";
        assert_eq!(
            batch(Workload::Custom(line.into()), 1, 1),
            "*4 $4 ZADD $1 z $3 007 $8 key:0008 "
        );
        assert!(parse_command("SET 'a").is_err());
        assert!(parse_command("  ").is_err());
    }

    #[test]
    fn a_mix_keeps_its_proportion() {
        let mixed = Workload::Mixed { reads: 3, writes: 1 };
        let text = batch(mixed, 4_000, 4_000);
        let reads = text.matches("GET").count();
        assert_eq!(reads + text.matches("SET").count(), 4_000);
        assert!((2_800..3_200).contains(&reads), "{reads} of 4000 are reads");
        assert!(!batch(Workload::Mixed { reads: 1, writes: 0 }, 50, 50).contains("SET"));
    }
}
