//! Sets: an intset while all members are integers, a listpack while they are few and short, a hash table otherwise.
//!
//! A set only moves towards the larger encodings, as in Redis; a set that is made anew, such as the result of SINTERSTORE,
//! starts from the smallest.

use std::collections::HashSet;

use crate::collection::Ahead;
use crate::elements::Elements;
use crate::hash::Hasher;
use crate::integer;
use crate::intset::Intset;
use crate::listpack::{Corrupt, Item, Listpack};
use crate::table::prefetch;

/// Intsets and listpacks get no larger than this, whatever the settings say: each change moves half of one.
const COMPACT_MAX: usize = 1 << 20;

/// Up to which size a set is kept in which encoding.
#[derive(Debug, Clone, Copy)]
pub struct SetLimits<'a> {
    /// Members of an intset.
    pub intset_entries: usize,
    /// Members of a listpack.
    pub listpack_entries: usize,
    /// Bytes of a member of a listpack.
    pub listpack_value: usize,
    /// The hash of large sets.
    pub hasher: &'a Hasher,
}

impl SetLimits<'_> {
    fn intset_entries(&self) -> usize {
        self.intset_entries.min(COMPACT_MAX)
    }

    /// Whether a listpack may hold `count` members of up to `longest` bytes.
    fn packs(&self, count: usize, longest: usize) -> bool {
        count <= self.listpack_entries.min(COMPACT_MAX)
            && longest <= self.listpack_value
            && count.saturating_mul(longest) <= Listpack::MAX_BYTES / 2
    }
}

/// A set of strings.
#[derive(Debug, Clone)]
pub struct Set(Repr);

#[derive(Debug, Clone)]
enum Repr {
    Ints(Intset),
    Pack(Listpack),
    Table(Box<Elements>),
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Set {
    pub fn new() -> Self {
        Self(Repr::Ints(Intset::new()))
    }

    /// Empty, for `count` members of which `first` is one.
    pub fn with_expected(first: &[u8], count: usize, limits: &SetLimits<'_>) -> Self {
        if count <= limits.intset_entries() && integer::parse_i64(first).is_some() {
            Self::new()
        } else if limits.packs(count, 0) {
            Self(Repr::Pack(Listpack::new()))
        } else {
            Self(Repr::Table(Box::new(Elements::of_keys(limits.hasher))))
        }
    }

    pub fn from_intset(ints: Intset, limits: &SetLimits<'_>) -> Self {
        let beyond = ints.len() > limits.intset_entries();
        let mut set = Self(Repr::Ints(ints));
        if beyond {
            set.become_table(limits);
        }
        set
    }

    /// A set of the elements of a listpack.
    pub fn from_listpack(pack: Listpack, limits: &SetLimits<'_>) -> Result<Self, Corrupt> {
        if pack.has_twice(0) {
            return Err(Corrupt);
        }
        let longest = pack.iter().map(|item| item.text_len()).max().unwrap_or(0);
        let beyond = !limits.packs(pack.len(), longest);
        let mut set = Self(Repr::Pack(pack));
        if beyond {
            set.become_table(limits);
        }
        Ok(set)
    }

    /// The integers, if that is how the set is kept.
    pub fn as_intset(&self) -> Option<&Intset> {
        match &self.0 {
            Repr::Ints(ints) => Some(ints),
            _ => None,
        }
    }

    /// The listpack, if that is how the set is kept.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Repr::Pack(pack) => Some(pack),
            _ => None,
        }
    }

    /// Prepares for `count` members more, which may all be there already.
    pub fn expect(&mut self, count: usize, limits: &SetLimits<'_>) {
        let too_many = match &self.0 {
            Repr::Ints(_) => count > limits.intset_entries(),
            Repr::Pack(_) => !limits.packs(count, 0),
            Repr::Table(_) => false,
        };
        if too_many {
            self.become_table(limits);
        }
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Ints(ints) => ints.len(),
            Repr::Pack(pack) => pack.len(),
            Repr::Table(table) => table.len(),
        }
    }

    /// The address of its only block, or of its head.
    pub(crate) fn block(&self) -> usize {
        match &self.0 {
            Repr::Ints(ints) => ints.as_bytes().as_ptr().addr(),
            Repr::Pack(pack) => pack.as_bytes().as_ptr().addr(),
            Repr::Table(table) => std::ptr::from_ref(&**table).addr(),
        }
    }

    pub(crate) fn elements_mut(&mut self) -> Option<&mut Elements> {
        match &mut self.0 {
            Repr::Table(table) => Some(table),
            Repr::Ints(_) | Repr::Pack(_) => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Repr::Ints(ints) => ints.is_empty(),
            Repr::Pack(pack) => pack.is_empty(),
            Repr::Table(table) => table.is_empty(),
        }
    }

    /// What OBJECT ENCODING calls the encoding.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Ints(_) => "intset",
            Repr::Pack(_) => "listpack",
            Repr::Table(_) => "hashtable",
        }
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        match &self.0 {
            Repr::Ints(ints) => ints.memory(),
            Repr::Pack(pack) => pack.memory(),
            Repr::Table(table) => table.memory(),
        }
    }

    /// Takes a step towards loading the element with `hash` into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, step: Ahead, hash: Option<u64>) {
        match (&self.0, step) {
            (Repr::Ints(ints), Ahead::Content) => prefetch(ints.as_ptr()),
            (Repr::Pack(pack), step) => pack.prefetch(step),
            (Repr::Ints(_), _) => {}
            (Repr::Table(table), step) => table.prefetch(step, hash),
        }
    }

    /// How many allocations there are to free.
    pub fn effort(&self) -> usize {
        match &self.0 {
            Repr::Ints(_) | Repr::Pack(_) => 1,
            Repr::Table(table) => table.len() + 2,
        }
    }

    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.0 {
            Repr::Ints(ints) => integer::parse_i64(member).is_some_and(|n| ints.contains(n)),
            Repr::Pack(pack) => pack.find(member, 0).is_some(),
            Repr::Table(table) => table.get(member).is_some(),
        }
    }

    /// As [`Self::contains`], for a member of another set of the same keyspace.
    pub fn contains_probe(&self, probe: &mut Probe<'_, '_>) -> bool {
        match (&self.0, probe.item) {
            (Repr::Ints(ints), Item::Int(value)) => ints.contains(value),
            (Repr::Table(table), _) => {
                let hash = *probe.hash.get_or_insert_with(|| table.hash(probe.text));
                table.get_hashed(hash, probe.text).is_some()
            }
            _ => self.contains(probe.text),
        }
    }

    /// Returns whether the member is new.
    pub fn add(&mut self, member: &[u8], limits: &SetLimits<'_>) -> bool {
        let number = match &self.0 {
            Repr::Ints(_) => integer::parse_i64(member),
            _ => None,
        };
        match &mut self.0 {
            Repr::Ints(ints) => {
                if let Some(number) = number {
                    let new = ints.insert(number);
                    if ints.len() > limits.intset_entries() {
                        self.become_table(limits);
                    }
                    return new;
                }
                let longest = longest(ints).max(member.len());
                if limits.packs(ints.len() + 1, longest) {
                    let mut pack = pack_of(ints);
                    pack.push_back(member);
                    self.0 = Repr::Pack(pack);
                    return true;
                }
            }
            Repr::Pack(pack) => {
                if pack.find(member, 0).is_some() {
                    return false;
                }
                if limits.packs(pack.len() + 1, member.len()) && pack.fits(member.len(), 1) {
                    pack.push_back(member);
                    return true;
                }
            }
            Repr::Table(table) => {
                let hash = table.hash(member);
                let new = table.get_hashed(hash, member).is_none();
                if new {
                    table.insert(hash, member, &[], None);
                }
                return new;
            }
        }
        self.become_table(limits);
        self.add(member, limits)
    }

    /// Returns whether the member was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Ints(ints) => integer::parse_i64(member).is_some_and(|n| ints.remove(n)),
            Repr::Pack(pack) => {
                let found = pack.find(member, 0);
                if let Some(pos) = found {
                    pack.remove(pos);
                }
                found.is_some()
            }
            Repr::Table(table) => table.remove(table.hash(member), member).is_some(),
        }
    }

    fn become_table(&mut self, limits: &SetLimits<'_>) {
        let mut table = Elements::of_keys(limits.hasher);
        table.make_room(self.len());
        self.each(|item| {
            item.with_bytes(|text| table.insert(table.hash(text), text, &[], None));
        });
        self.0 = Repr::Table(Box::new(table));
    }

    /// Calls `f` with every member, until it says `false`.
    pub fn each_while<'a>(&'a self, mut f: impl FnMut(Item<'a>) -> bool) {
        match &self.0 {
            Repr::Ints(ints) => {
                ints.iter().all(|value| f(Item::Int(value)));
            }
            Repr::Pack(pack) => {
                pack.iter().all(f);
            }
            Repr::Table(table) => table.each_while(|view| f(Item::Bytes(view.key))),
        }
    }

    /// Calls `f` with every member.
    pub fn each<'a>(&'a self, mut f: impl FnMut(Item<'a>)) {
        self.each_while(|item| {
            f(item);
            true
        });
    }

    /// Visits the members at `position`; returns the next position, `None` after the last. A set that is not a hash table
    /// is visited all at once.
    pub fn scan(&self, position: u64, mut f: impl FnMut(Item<'_>)) -> Option<u64> {
        if let Repr::Table(table) = &self.0 {
            return table.visit(position, |view| f(Item::Bytes(view.key)));
        }
        self.each(f);
        None
    }

    /// A member chosen at random, every one with the same chance.
    pub fn sample(&self, rng: &mut fastrand::Rng) -> Option<Item<'_>> {
        match &self.0 {
            _ if self.is_empty() => None,
            Repr::Ints(ints) => Some(Item::Int(ints.get(rng.usize(..ints.len())))),
            Repr::Pack(pack) => {
                let pos = pack.seek(rng.usize(..pack.len()) as isize)?;
                Some(pack.get(pos))
            }
            Repr::Table(table) => table.sample(rng).map(|view| Item::Bytes(view.key)),
        }
    }

    /// `count` different members chosen at random, every choice with the same chance; all of them if there are no more.
    pub fn sample_many<'a>(
        &'a self,
        count: usize,
        rng: &mut fastrand::Rng,
        mut f: impl FnMut(Item<'a>),
    ) {
        let len = self.len();
        match &self.0 {
            Repr::Table(table) if count < len / 3 => {
                let mut seen = HashSet::with_capacity(count);
                while seen.len() < count {
                    let Some(view) = table.sample(rng) else { return };
                    if seen.insert(view.key.as_ptr()) {
                        f(Item::Bytes(view.key));
                    }
                }
            }
            _ => {
                let mut choice = Choice { wanted: count.min(len), left: len };
                self.each_while(|item| {
                    if choice.take(rng) {
                        f(item);
                    }
                    choice.wanted > 0
                });
            }
        }
    }
}

/// A member of one set that is looked up in others.
#[derive(Debug)]
pub struct Probe<'i, 't> {
    item: Item<'i>,
    text: &'t [u8],
    hash: Option<u64>,
}

impl<'i, 't> Probe<'i, 't> {
    /// `text` is that of `item`.
    pub fn new(item: Item<'i>, text: &'t [u8]) -> Self {
        Self { item, text, hash: None }
    }
}

/// Chooses `wanted` of `left` things that come one after the other, every choice with the same chance.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) wanted: usize,
    pub(crate) left: usize,
}

impl Choice {
    /// Whether to take the next one.
    pub(crate) fn take(&mut self, rng: &mut fastrand::Rng) -> bool {
        let taken = self.wanted > 0 && rng.usize(..self.left) < self.wanted;
        self.left -= 1;
        self.wanted -= usize::from(taken);
        taken
    }
}

/// The length of the longest text among the numbers.
fn longest(ints: &Intset) -> usize {
    let len = |value| Item::Int(value).with_bytes(<[u8]>::len);
    match ints.len() {
        0 => 0,
        n => len(ints.get(0)).max(len(ints.get(n - 1))),
    }
}

fn pack_of(ints: &Intset) -> Listpack {
    let mut pack = Listpack::with_capacity(ints.memory());
    for value in ints.iter() {
        pack.push_back_int(value);
    }
    pack
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
