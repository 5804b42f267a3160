//! Random histories of a sorted set against a sorted vector: limits of every size, so that each form is crossed, few
//! scores and many, members of all kinds. After every step the set has to say what the vector says.

use super::*;
use crate::seed::Seed;

/// Members and scores in order.
#[derive(Default)]
struct Model(Vec<(Vec<u8>, f64)>);

impl Model {
    fn place(&self, member: &[u8]) -> Option<usize> {
        self.0.iter().position(|(other, _)| other == member)
    }

    fn put(&mut self, member: &[u8], score: f64) {
        if let Some(at) = self.place(member) {
            self.0.remove(at);
        }
        let at = self.0.partition_point(|(other, other_score)| {
            *other_score < score || *other_score == score && other.as_slice() < member
        });
        self.0.insert(at, (member.to_vec(), score));
    }
}

struct Run {
    rng: fastrand::Rng,
    hasher: Hasher,
    set: ZSet,
    model: Model,
    entries: usize,
    value: usize,
    /// How many different members there are.
    members: u32,
    scores: u32,
}

impl Run {
    fn new(mut rng: fastrand::Rng) -> Self {
        let hasher = Hasher::new(std::array::from_fn(|_| rng.u64(..)));
        let entries = *rng.choice(&[0, 1, 3, 16, 128, 512]).expect("a choice");
        let value = *rng.choice(&[0, 4, 64, 300]).expect("a choice");
        let members = *rng.choice(&[4, 40, 400, 3000]).expect("a choice");
        let scores = *rng.choice(&[1, 5, 100_000]).expect("a choice");
        let (set, model) = (ZSet::new(), Model::default());
        Self { rng, hasher, set, model, entries, value, members, scores }
    }

    fn member(&mut self) -> Vec<u8> {
        let number = self.rng.u32(..self.members);
        match number % 8 {
            0 => number.to_string().into_bytes(),
            1 => (-i64::from(number)).to_string().into_bytes(),
            2 => format!("{number}.5").into_bytes(),
            3 => format!("{}{number}", "long ".repeat(number as usize % 70)).into_bytes(),
            4 if number == 4 => Vec::new(),
            _ => format!("m{number}").into_bytes(),
        }
    }

    fn score(&mut self) -> f64 {
        let number = f64::from(self.rng.u32(..self.scores));
        match self.rng.u8(..40) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => number * 1e300,
            3 => -number / 3.0,
            4 => -0.0,
            5 => 9_007_199_254_740_993.0 + number,
            6..=12 => number / 8.0,
            13..=20 => -number,
            _ => number,
        }
    }

    fn step(&mut self) {
        let (entries, value, hasher) = (self.entries, self.value, self.hasher.clone());
        let limits =
            ZSetLimits { listpack_entries: entries, listpack_value: value, hasher: &hasher };
        let member = self.member();
        let place = self.model.place(&member);
        let old = place.map(|at| self.model.0[at].1);
        match self.rng.u8(..100) {
            0..=54 => {
                let score = self.score();
                let (before, after) = self.set.update(&member, &limits, |was| {
                    assert_eq!(was, old);
                    Some(score)
                });
                assert_eq!((before, after), (old, Some(score)));
                if old != Some(score) {
                    self.model.put(&member, score);
                }
            }
            55..=59 => {
                let done = self.set.update(&member, &limits, |_| None);
                assert_eq!(done, (old, old));
            }
            60..=64 => {
                // A little more, as counters do.
                let (_, after) = self.set.update(&member, &limits, |was| Some(was? + 1.0));
                if let Some(score) = after {
                    self.model.put(&member, score);
                }
            }
            65..=92 => {
                assert_eq!(self.set.remove(&member), old);
                if let Some(at) = place {
                    self.model.0.remove(at);
                }
            }
            93 if self.rng.u8(..8) == 0 => {
                let (start, end) = self.ranks();
                self.set.remove_ranks(start..end);
                self.model.0.drain(start..end);
            }
            94 if self.rng.u8(..8) == 0 => {
                let mut entries = self.model.0.clone();
                self.rng.shuffle(&mut entries);
                self.set = ZSet::from_entries(&mut entries, &limits);
            }
            96 => {
                self.set.prune(self.rng.usize(..20));
            }
            95 if self.rng.u8(..8) == 0 => self.set = self.set.clone(),
            _ => self.check_scan(),
        }
        self.check(&member);
    }

    fn ranks(&mut self) -> (usize, usize) {
        let len = self.model.0.len();
        let (a, b) = (self.rng.usize(..=len), self.rng.usize(..=len));
        let most = *self.rng.choice(&[5, 200, usize::MAX]).expect("a choice");
        (a.min(b), a.max(b).min(a.min(b).saturating_add(most)))
    }

    fn check(&mut self, member: &[u8]) {
        let model = &self.model.0;
        assert_eq!(self.set.len(), model.len());
        assert_eq!(self.set.is_empty(), model.is_empty());
        let place = self.model.place(member);
        assert_eq!(self.set.rank(member), place.map(|at| (at, model[at].1)));
        assert_eq!(self.set.score(member), place.map(|at| model[at].1));
        let (start, end) = self.ranks();
        let wanted = &self.model.0[start..end];
        let found = self.set.range(start..end);
        assert_eq!(found.len(), wanted.len());
        let found: Vec<_> = found.map(|(item, score)| (item.to_vec(), score)).collect();
        assert_eq!(found, wanted);
        let found: Vec<_> =
            self.set.range(start..end).rev().map(|(item, score)| (item.to_vec(), score)).collect();
        assert!(found.iter().eq(wanted.iter().rev()));
        self.check_bounds();
    }

    fn check_bounds(&mut self) {
        let range = ScoreRange {
            min: self.score(),
            min_excluded: self.rng.bool(),
            max: self.score(),
            max_excluded: self.rng.bool(),
        };
        let ranks = self.set.ranks_by_score(&range);
        let inside = |score: f64| {
            (score > range.min || score == range.min && !range.min_excluded)
                && (score < range.max || score == range.max && !range.max_excluded)
        };
        let model = &self.model.0;
        assert_eq!(ranks.len(), model.iter().filter(|(_, score)| inside(*score)).count());
        assert!(model[ranks].iter().all(|(_, score)| inside(*score)));

        if self.model.0.first().map(|(_, score)| *score) != self.model.0.last().map(|(_, s)| *s) {
            return;
        }
        let (mut min, mut max) = (self.member(), self.member());
        min.insert(0, b'[');
        max.insert(0, b'(');
        let range = LexRange::parse(&min, &max).expect("a range");
        let inside = |member: &[u8]| member >= &min[1..] && member < &max[1..];
        let model = &self.model.0;
        let wanted = model.iter().filter(|(member, _)| inside(member)).count();
        for reversed in [false, true] {
            let ranks = self.set.ranks_by_lex(&range, reversed);
            assert_eq!(ranks.len(), wanted);
            assert!(model[ranks].iter().all(|(member, _)| inside(member)));
        }
    }

    fn check_scan(&self) {
        let mut found = Vec::new();
        let mut position = Some(0);
        while let Some(at) = position {
            position = self.set.scan(at, |item, score| found.push((item.to_vec(), score)));
        }
        found.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
        let mut wanted = self.model.0.clone();
        wanted.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
        assert_eq!(found, wanted);
    }
}

#[test]
fn histories() {
    let seed = Seed::new();
    let mut rng = fastrand::Rng::with_seed(seed.number());
    for _ in 0..60 {
        let mut run = Run::new(rng.fork());
        let steps = run.rng.usize(..3000);
        for _ in 0..steps {
            run.step();
        }
    }
}

#[test]
fn encodings_follow_the_limits() {
    let hasher = Hasher::new([1, 2, 3, 4]);
    let limits = ZSetLimits { listpack_entries: 2, listpack_value: 3, hasher: &hasher };
    let mut set = ZSet::new();
    for member in ["a", "b", "a"] {
        set.update(member.as_bytes(), &limits, |_| Some(1.0));
        assert_eq!(set.encoding(), "listpack");
    }
    set.update(b"c", &limits, |_| Some(1.0));
    assert_eq!(set.encoding(), "skiplist");
    let mut set = ZSet::new();
    set.update(b"abc", &limits, |_| Some(1.0));
    assert_eq!(set.encoding(), "listpack");
    set.update(b"abcd", &limits, |_| Some(1.0));
    assert_eq!(set.encoding(), "skiplist");
    let mut entries = vec![(b"b".to_vec(), 1.0), (b"a".to_vec(), 1.0)];
    assert_eq!(ZSet::from_entries(&mut entries, &limits).encoding(), "listpack");
    entries.push((b"abcd".to_vec(), 0.0));
    assert_eq!(ZSet::from_entries(&mut entries[1..], &limits).encoding(), "skiplist");
    assert_eq!(ZSet::from_entries(&mut entries, &limits).encoding(), "skiplist");
}

/// Fits the room that an entry of the keyspace has for a collection.
#[test]
fn a_sorted_set_is_small_where_it_is_named() {
    assert!(size_of::<ZSet>() <= 24);
}

/// The figures of docs/decisions/0012.
#[test]
fn bytes_per_member() {
    let hasher = Hasher::new([1, 2, 3, 4]);
    let limits = ZSetLimits { listpack_entries: 128, listpack_value: 64, hasher: &hasher };
    let mut rng = fastrand::Rng::with_seed(1);
    for (members, most) in [(100_u32, 26), (300_000, 80)] {
        let mut set = ZSet::new();
        for i in 0..members {
            let score = f64::from(rng.u32(..1_000_000));
            set.update(format!("member:{i:09}").as_bytes(), &limits, |_| Some(score));
        }
        let each = set.memory() as f64 / f64::from(members);
        println!("{members} members: {each:.1} bytes each, {}", set.encoding());
        assert!(each <= f64::from(most), "{each} bytes per member of {members}");
    }
}
