//! Hashes: fields with values, each of which may expire at a time of its own. A listpack while they are few and short, a
//! hash table otherwise.
//!
//! | encoding | holds |
//! |---|---|
//! | `listpack` | field and value in turn |
//! | `listpackex` | field, value and expiry in turn, in the order of expiry; 0 for none, and those last |
//! | `hashtable` | elements that carry their expiry, and the expiries in order |
//!
//! A field whose time has passed is invisible to everything that is given the present time, and is a missing field to
//! those who write it; [`Hash::expire_due`] removes such fields. Invariant: the expiries in order are exactly those of the
//! elements.

use std::collections::{BTreeSet, HashSet};

use crate::collection::Ahead;
use crate::elements::{Elements, View};
use crate::hash::Hasher;
use crate::listpack::{Corrupt, Item, Listpack, Pos};
use crate::set::Choice;

/// Listpacks get no more fields than this, whatever the settings say: each change moves half of one.
const COMPACT_MAX: usize = 1 << 18;
/// Bytes of an expiry in a `BTreeSet`, about: its nodes are two thirds full.
const DUE_BYTES: usize = 26;
/// How often a random element is drawn in the hope that it has not expired.
const DRAWS: usize = 64;

/// Up to which size a hash is kept in a listpack.
#[derive(Debug, Clone, Copy)]
pub struct HashLimits<'a> {
    /// Fields of a listpack.
    pub listpack_entries: usize,
    /// Bytes of a field or value in a listpack.
    pub listpack_value: usize,
    /// The hash of large hashes.
    pub hasher: &'a Hasher,
}

/// What becomes of a field's expiry when its value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldTtl {
    Keep,
    Clear,
    /// Unix time in milliseconds.
    At(i64),
}

impl FieldTtl {
    fn of(self, present: Option<i64>) -> Option<i64> {
        match self {
            Self::Keep => present,
            Self::Clear => None,
            Self::At(at) => Some(at),
        }
    }
}

/// A field that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    pub value: Item<'a>,
    /// When the field expires, Unix time in milliseconds.
    pub expiry: Option<i64>,
}

/// Fields with values.
#[derive(Debug, Clone)]
pub struct Hash(Repr);

#[derive(Debug, Clone)]
enum Repr {
    Pack(Listpack),
    Timed(Listpack),
    Table(Box<Fields>),
}

#[derive(Debug, Clone)]
struct Fields {
    elements: Elements,
    /// Expiry and hash of each element that expires. Elements that agree in both share one.
    due: BTreeSet<(i64, u64)>,
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

/// What a hash is made of, for those who write it down.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// Field and value in turn.
    Pack(&'a Listpack),
    /// Field, value and expiry in turn, 0 for none.
    Timed(&'a Listpack),
    Table,
}

fn passed(expiry: Option<i64>, now: i64) -> bool {
    expiry.is_some_and(|at| at <= now)
}

impl Hash {
    pub fn new() -> Self {
        Self(Repr::Pack(Listpack::new()))
    }

    /// A hash of the fields and values that come in turn in a listpack.
    pub fn from_listpack(mut pack: Listpack, limits: &HashLimits<'_>) -> Result<Self, Corrupt> {
        if !pack.len().is_multiple_of(2) || pack.has_twice(1) {
            return Err(Corrupt);
        }
        pack.tag_pairs();
        let mut hash = Self(Repr::Pack(pack));
        hash.settle(limits);
        Ok(hash)
    }

    /// A hash of the fields, values and expiries (0 for none) that come in turn in a listpack, in any order.
    pub fn from_timed_listpack(pack: Listpack, limits: &HashLimits<'_>) -> Result<Self, Corrupt> {
        if !pack.len().is_multiple_of(3) || pack.has_twice(2) {
            return Err(Corrupt);
        }
        /// The latest time that a field may have.
        const MAX_EXPIRY: i64 = (1 << 48) - 2;
        let mut expiries = pack.iter().skip(2).step_by(3);
        let key = |t: Triple<'_>| (t.expiry.is_none(), t.expiry);
        // What expires first comes first, and what does not expire last.
        let is_sound = expiries.all(|item| matches!(item, Item::Int(0..=MAX_EXPIRY)))
            && triples(&pack).map(key).is_sorted();
        if !is_sound {
            return Err(Corrupt);
        }
        let mut hash = Self(Repr::Timed(pack));
        hash.settle(limits);
        Ok(hash)
    }

    /// Makes a hash table of a listpack that is beyond the limits.
    fn settle(&mut self, limits: &HashLimits<'_>) {
        let (Repr::Pack(pack) | Repr::Timed(pack)) = &self.0 else { return };
        let longest = pack.iter().map(|item| item.text_len()).max();
        if longest > Some(limits.listpack_value)
            || self.len() > limits.listpack_entries.min(COMPACT_MAX)
        {
            self.become_table(limits);
        }
    }

    pub fn form(&self) -> Form<'_> {
        match &self.0 {
            Repr::Pack(pack) => Form::Pack(pack),
            Repr::Timed(pack) => Form::Timed(pack),
            Repr::Table(_) => Form::Table,
        }
    }

    /// Calls `f` with every field, those that have expired included, its value and its expiry.
    pub fn each_field<'a>(&'a self, mut f: impl FnMut(Item<'a>, Item<'a>, Option<i64>)) {
        match &self.0 {
            Repr::Pack(_) => self.each(i64::MIN, |field, value| f(field, value, None)),
            Repr::Timed(pack) => triples(pack).for_each(|t| f(t.field, t.value, t.expiry)),
            Repr::Table(fields) => fields.elements.each_while(|view| {
                f(Item::Bytes(view.key), Item::Bytes(view.value), view.stamp);
                true
            }),
        }
    }

    /// Fields, expired ones that are still there included.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Pack(pack) => pack.len() / 2,
            Repr::Timed(pack) => pack.len() / 3,
            Repr::Table(fields) => fields.elements.len(),
        }
    }

    /// The address of its only block, or of its head.
    pub(crate) fn block(&self) -> usize {
        match &self.0 {
            Repr::Pack(pack) | Repr::Timed(pack) => pack.as_bytes().as_ptr().addr(),
            Repr::Table(fields) => std::ptr::from_ref(&**fields).addr(),
        }
    }

    pub(crate) fn elements_mut(&mut self) -> Option<&mut Elements> {
        match &mut self.0 {
            Repr::Table(fields) => Some(&mut fields.elements),
            Repr::Pack(_) | Repr::Timed(_) => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Repr::Pack(pack) | Repr::Timed(pack) => pack.is_empty(),
            Repr::Table(fields) => fields.elements.is_empty(),
        }
    }

    /// Fields that have not expired.
    pub fn live_len(&self, now: i64) -> usize {
        let expired = match &self.0 {
            Repr::Pack(_) => 0,
            Repr::Timed(pack) => {
                triples(pack).take_while(|field| passed(field.expiry, now)).count()
            }
            Repr::Table(fields) => fields.due.range(..=(now, u64::MAX)).count(),
        };
        self.len() - expired
    }

    /// What OBJECT ENCODING calls the encoding.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Pack(_) => "listpack",
            Repr::Timed(_) => "listpackex",
            Repr::Table(_) => "hashtable",
        }
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        match &self.0 {
            Repr::Pack(pack) | Repr::Timed(pack) => pack.memory(),
            Repr::Table(fields) => {
                let due = size_of::<BTreeSet<(i64, u64)>>() + fields.due.len() * DUE_BYTES;
                fields.elements.memory() + due
            }
        }
    }

    /// Takes a step towards loading the element with `hash` into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, step: Ahead, hash: Option<u64>) {
        match (&self.0, step) {
            // What reads all fields has no use for their tags.
            (Repr::Pack(pack), step) if hash.is_some() => pack.prefetch_pairs(step),
            (Repr::Pack(pack) | Repr::Timed(pack), step) => pack.prefetch(step),
            (Repr::Table(fields), step) => fields.elements.prefetch(step, hash),
        }
    }

    /// How many allocations there are to free.
    pub fn effort(&self) -> usize {
        match &self.0 {
            Repr::Pack(_) | Repr::Timed(_) => 1,
            Repr::Table(fields) => fields.elements.len() + fields.due.len() / 8 + 2,
        }
    }

    /// When the first field expires, or did.
    pub fn next_due(&self) -> Option<i64> {
        match &self.0 {
            Repr::Pack(_) => None,
            Repr::Timed(pack) => triples(pack).next()?.expiry,
            Repr::Table(fields) => fields.due.first().map(|(at, _)| *at),
        }
    }

    /// A field that has not expired.
    #[inline]
    pub fn field(&self, field: &[u8], now: i64) -> Option<Field<'_>> {
        let found = match &self.0 {
            Repr::Pack(pack) => {
                let pos = pack.next(pack.find_pair(field)?)?;
                Field { value: pack.get(pos), expiry: None }
            }
            Repr::Timed(pack) => triple(pack, pack.find(field, 2)?).as_field(),
            Repr::Table(fields) => {
                let view = fields.elements.get(field)?;
                Field { value: Item::Bytes(view.value), expiry: view.stamp }
            }
        };
        (!passed(found.expiry, now)).then_some(found)
    }

    /// The value of a field that has not expired.
    #[inline]
    pub fn get(&self, field: &[u8], now: i64) -> Option<Item<'_>> {
        self.field(field, now).map(|found| found.value)
    }

    /// Calls `f` with every field that has not expired and its value, until it says `false`.
    pub fn each_while<'a>(&'a self, now: i64, mut f: impl FnMut(Item<'a>, Item<'a>) -> bool) {
        match &self.0 {
            Repr::Pack(pack) => {
                let mut items = pack.iter();
                while let (Some(field), Some(value)) = (items.next(), items.next()) {
                    if !f(field, value) {
                        return;
                    }
                }
            }
            Repr::Timed(pack) => {
                triples(pack)
                    .skip_while(|field| passed(field.expiry, now))
                    .all(|triple| f(triple.field, triple.value));
            }
            Repr::Table(fields) => fields.elements.each_while(|view| {
                passed(view.stamp, now) || f(Item::Bytes(view.key), Item::Bytes(view.value))
            }),
        }
    }

    /// Calls `f` with every field that has not expired and its value.
    pub fn each<'a>(&'a self, now: i64, mut f: impl FnMut(Item<'a>, Item<'a>)) {
        self.each_while(now, |field, value| {
            f(field, value);
            true
        });
    }

    /// Visits the fields at `position` that have not expired; returns the next position, `None` after the last. A hash
    /// that is not a hash table is visited all at once.
    pub fn scan(
        &self,
        position: u64,
        now: i64,
        mut f: impl FnMut(Item<'_>, Item<'_>),
    ) -> Option<u64> {
        if let Repr::Table(fields) = &self.0 {
            return fields.elements.visit(position, |view| {
                if !passed(view.stamp, now) {
                    f(Item::Bytes(view.key), Item::Bytes(view.value));
                }
            });
        }
        self.each(now, f);
        None
    }

    /// A field chosen at random, with its value, every one that has not expired with the same chance.
    pub fn sample(&self, now: i64, rng: &mut fastrand::Rng) -> Option<(Item<'_>, Item<'_>)> {
        match &self.0 {
            Repr::Pack(pack) if !pack.is_empty() => {
                let pos = pack.seek(2 * rng.usize(..pack.len() / 2) as isize)?;
                return Some((pack.get(pos), pack.get(pack.next(pos)?)));
            }
            Repr::Table(fields) => {
                for _ in 0..DRAWS {
                    let view = fields.elements.sample(rng)?;
                    if !passed(view.stamp, now) {
                        return Some((Item::Bytes(view.key), Item::Bytes(view.value)));
                    }
                }
            }
            _ => {}
        }
        let mut chosen = None;
        let mut seen = 0;
        self.each(now, |field, value| {
            seen += 1;
            if rng.usize(..seen) == 0 {
                chosen = Some((field, value));
            }
        });
        chosen
    }

    /// `count` different fields chosen at random of those that have not expired, every choice with the same chance; all
    /// of them if there are no more.
    pub fn sample_many<'a>(
        &'a self,
        count: usize,
        now: i64,
        rng: &mut fastrand::Rng,
        mut f: impl FnMut(Item<'a>, Item<'a>),
    ) {
        let live = self.live_len(now);
        match &self.0 {
            Repr::Table(fields) if count < live / 3 && live > self.len() / 2 => {
                let mut seen = HashSet::with_capacity(count);
                while seen.len() < count {
                    let Some(view) = fields.elements.sample(rng) else { return };
                    if !passed(view.stamp, now) && seen.insert(view.key.as_ptr()) {
                        f(Item::Bytes(view.key), Item::Bytes(view.value));
                    }
                }
            }
            _ => {
                let mut choice = Choice { wanted: count.min(live), left: live };
                self.each_while(now, |field, value| {
                    if choice.take(rng) {
                        f(field, value);
                    }
                    choice.wanted > 0
                });
            }
        }
    }

    /// Makes sure that fields and values of up to `longest` bytes may be stored: a listpack becomes a hash table if it
    /// may not hold such.
    pub fn expect(&mut self, longest: usize, limits: &HashLimits<'_>) {
        if longest > limits.listpack_value {
            self.become_table(limits);
        }
    }

    /// Sets a field. Returns whether it is new, as one whose time has passed is.
    pub fn set(
        &mut self,
        field: &[u8],
        value: &[u8],
        ttl: FieldTtl,
        now: i64,
        limits: &HashLimits<'_>,
    ) -> bool {
        self.expect(field.len().max(value.len()), limits);
        if let Repr::Pack(pack) | Repr::Timed(pack) = &self.0
            && !pack.fits(field.len() + value.len(), 3)
        {
            self.become_table(limits);
        }
        if let (Repr::Pack(_), FieldTtl::At(_)) = (&self.0, ttl) {
            self.become_timed();
        }
        let new = match &mut self.0 {
            Repr::Pack(pack) => match pack.find_pair(field) {
                Some(pos) => {
                    let pos = pack.next(pos).expect("a value follows each field");
                    pack.replace_second(pos, value);
                    false
                }
                None => {
                    pack.push_pair(field, value);
                    true
                }
            },
            Repr::Timed(pack) => {
                let had = pack.find(field, 2).map(|pos| take_triple(pack, pos));
                let there = had.filter(|expiry| !passed(*expiry, now));
                insert_triple(pack, field, value, ttl.of(there.flatten()));
                there.is_none()
            }
            Repr::Table(fields) => fields.set(field, value, ttl, now),
        };
        if new && self.len() > limits.listpack_entries.min(COMPACT_MAX) {
            self.become_table(limits);
        }
        new
    }

    /// Removes a field. Returns whether it was there, and its time had not passed.
    pub fn remove(&mut self, field: &[u8], now: i64) -> bool {
        let had = match &mut self.0 {
            Repr::Pack(pack) => pack.find_pair(field).map(|pos| {
                pack.remove_range(pos, 2);
                None
            }),
            Repr::Timed(pack) => pack.find(field, 2).map(|pos| take_triple(pack, pos)),
            Repr::Table(fields) => fields.remove(field),
        };
        had.is_some_and(|expiry| !passed(expiry, now))
    }

    /// Gives a field that has not expired another expiry, or none. Returns whether there is such a field.
    pub fn set_expiry(&mut self, field: &[u8], expiry: Option<i64>, now: i64) -> bool {
        if self.field(field, now).is_none() {
            return false;
        }
        if expiry.is_some() {
            self.become_timed();
        }
        match &mut self.0 {
            Repr::Pack(_) => {}
            Repr::Timed(pack) => {
                let pos = pack.find(field, 2).expect("found above");
                let value = triple(pack, pos).value.to_vec();
                take_triple(pack, pos);
                insert_triple(pack, field, &value, expiry);
            }
            Repr::Table(fields) => fields.set_expiry(field, expiry),
        }
        true
    }

    /// Removes up to `max` fields whose time has passed. Returns their names.
    pub fn expire_due(&mut self, now: i64, max: usize) -> Vec<Vec<u8>> {
        match &mut self.0 {
            Repr::Pack(_) => Vec::new(),
            Repr::Timed(pack) => {
                let due = triples(pack).take(max).take_while(|f| passed(f.expiry, now));
                let names: Vec<_> = due.map(|f| f.field.with_bytes(<[u8]>::to_vec)).collect();
                if let (Some(first), false) = (pack.first(), names.is_empty()) {
                    pack.remove_range(first, names.len() * 3);
                }
                names
            }
            Repr::Table(fields) => fields.expire_due(now, max),
        }
    }

    fn become_timed(&mut self) {
        if let Repr::Pack(pack) = &self.0 {
            let mut timed = Listpack::with_capacity(pack.bytes() + pack.len());
            let mut items = pack.iter();
            while let (Some(field), Some(value)) = (items.next(), items.next()) {
                push_item(&mut timed, field);
                push_item(&mut timed, value);
                timed.push_back_int(0);
            }
            self.0 = Repr::Timed(timed);
        }
    }

    fn become_table(&mut self, limits: &HashLimits<'_>) {
        if matches!(self.0, Repr::Table(_)) {
            return;
        }
        let mut fields =
            Fields { elements: Elements::of_pairs(limits.hasher), due: BTreeSet::new() };
        fields.elements.make_room(self.len());
        let mut put = |field: Item<'_>, value: Item<'_>, expiry: Option<i64>| {
            let ttl = expiry.map_or(FieldTtl::Clear, FieldTtl::At);
            field.with_bytes(|field| {
                value.with_bytes(|value| fields.set(field, value, ttl, i64::MIN))
            });
        };
        match &self.0 {
            Repr::Pack(_) => self.each(i64::MIN, |field, value| put(field, value, None)),
            Repr::Timed(pack) => triples(pack).for_each(|t| put(t.field, t.value, t.expiry)),
            Repr::Table(_) => return,
        }
        self.0 = Repr::Table(Box::new(fields));
    }
}

impl Fields {
    fn set(&mut self, field: &[u8], value: &[u8], ttl: FieldTtl, now: i64) -> bool {
        let hash = self.elements.hash(field);
        let live = |expiry: Option<i64>| expiry.filter(|at| *at > now);
        let had = self.elements.update(hash, field, value, |present| ttl.of(live(present)));
        if had.is_none() {
            self.elements.insert(hash, field, value, ttl.of(None));
        }
        let old = had.flatten();
        self.redue(hash, old, ttl.of(live(old)));
        had.is_none() || passed(old, now)
    }

    /// Returns the expiry that the field had, if it was there.
    fn remove(&mut self, field: &[u8]) -> Option<Option<i64>> {
        let hash = self.elements.hash(field);
        let had = self.elements.remove(hash, field);
        self.redue(hash, had.flatten(), None);
        had
    }

    fn set_expiry(&mut self, field: &[u8], expiry: Option<i64>) {
        let hash = self.elements.hash(field);
        if let Some(had) = self.elements.restamp(hash, field, expiry) {
            self.redue(hash, had, expiry);
        }
    }

    /// Follows the change of an element's expiry.
    fn redue(&mut self, hash: u64, old: Option<i64>, new: Option<i64>) {
        if old == new {
            return;
        }
        if let Some(at) = old
            && !self.elements.any(hash, |view| view.stamp == Some(at))
        {
            self.due.remove(&(at, hash));
        }
        if let Some(at) = new {
            self.due.insert((at, hash));
        }
    }

    fn expire_due(&mut self, now: i64, max: usize) -> Vec<Vec<u8>> {
        let mut removed = Vec::new();
        while removed.len() < max
            && let Some(&(at, hash)) = self.due.first()
            && at <= now
        {
            let stamped = |view: View<'_>| view.stamp == Some(at);
            let found = self.elements.take_where(hash, stamped);
            debug_assert!(found.is_some(), "expiries are those of elements");
            removed.extend(found);
            if !self.elements.any(hash, stamped) {
                self.due.pop_first();
            }
        }
        removed
    }
}

/// One field of a timed listpack.
struct Triple<'a> {
    field: Item<'a>,
    value: Item<'a>,
    expiry: Option<i64>,
}

impl<'a> Triple<'a> {
    fn as_field(&self) -> Field<'a> {
        Field { value: self.value, expiry: self.expiry }
    }
}

fn expiry_of(item: Item<'_>) -> Option<i64> {
    match item {
        Item::Int(0) | Item::Bytes(_) => None,
        Item::Int(at) => Some(at),
    }
}

fn triples(pack: &Listpack) -> impl Iterator<Item = Triple<'_>> {
    let mut items = pack.iter();
    std::iter::from_fn(move || {
        let (field, value) = (items.next()?, items.next()?);
        Some(Triple { field, value, expiry: expiry_of(items.next()?) })
    })
}

fn triple(pack: &Listpack, pos: Pos) -> Triple<'_> {
    let mut items = pack.iter_from(Some(pos));
    let mut next = || items.next().expect("three elements a field");
    let (field, value) = (next(), next());
    Triple { field, value, expiry: expiry_of(next()) }
}

/// Removes the field at `pos`, and returns its expiry.
fn take_triple(pack: &mut Listpack, pos: Pos) -> Option<i64> {
    let expiry = triple(pack, pos).expiry;
    pack.remove_range(pos, 3);
    expiry
}

/// Adds a field behind those that expire no later.
fn insert_triple(pack: &mut Listpack, field: &[u8], value: &[u8], expiry: Option<i64>) {
    let key = |expiry: Option<i64>| (expiry.is_none(), expiry);
    let before = triples(pack).take_while(|t| key(t.expiry) <= key(expiry)).count();
    let expiry = crate::integer::format_i64(expiry.unwrap_or(0), &mut [0; 20]).to_vec();
    let parts = [field, value, &expiry];
    match pack.seek(before as isize * 3) {
        None => parts.iter().for_each(|part| {
            pack.push_back(part);
        }),
        Some(pos) => parts.iter().rev().for_each(|part| {
            pack.insert_before(pos, part);
        }),
    }
}

fn push_item(pack: &mut Listpack, item: Item<'_>) {
    item.with_bytes(|text| pack.push_back(text));
}

#[cfg(test)]
#[path = "hashes_tests.rs"]
mod tests;
