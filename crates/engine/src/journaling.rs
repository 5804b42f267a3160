//! What the journal is told: the effect of each change, in the order of the changes, before the shards are unlocked.
//!
//! The effect of a command is the command itself, word by word, if it changed anything. A handler whose command would do
//! something else when it is executed again (at another time, with other random numbers, with nobody waiting) names its
//! effects with [`Ctx::effect`]. Time stands still where effects are executed again: what goes because its time has passed
//! is an effect of its own, and comes before the effects of the command that found it.

use respire_datatypes::integer::{MAX_LEN, format_i64};
use respire_journal::{Effects, Reader};
use respire_keyspace::{Gone, Held, Key, Mode, Ttl};
use respire_resp::Args;

use crate::ctx::Ctx;
use crate::engine::Engine;
use crate::worker::Worker;

impl Ctx<'_, '_> {
    /// Names an effect of the command, in place of the command itself. One command may have several.
    #[inline]
    pub(crate) fn effect(&mut self, parts: &[&[u8]]) {
        if self.journaled {
            self.tell_effect(parts);
        }
    }

    #[cold]
    fn tell_effect(&mut self, parts: &[&[u8]]) {
        let (effects, db) = (&mut *self.worker.effects, self.data.db);
        note_gone(effects, self.data.held);
        effects.tell();
        effects.add(db, parts.iter().copied());
    }

    /// The command has no effects but those that are named.
    #[inline]
    pub(crate) fn no_effect(&mut self) {
        self.worker.effects.tell();
    }

    /// The effect is the command word by word, though nobody is told of a change.
    #[inline]
    pub(crate) fn effect_as_asked(&mut self) {
        if self.journaled {
            let args: Vec<&[u8]> = self.args.iter_from(0).collect();
            self.tell_effect(&args);
        }
    }

    /// The effect is that a key is deleted.
    #[inline]
    pub(crate) fn effect_del(&mut self, key: &Key<'_>) {
        self.effect(&[b"DEL", key.bytes]);
    }

    /// The effect is that a key expires at a Unix time in milliseconds.
    #[inline]
    pub(crate) fn effect_expire(&mut self, key: &Key<'_>, at: i64) {
        if self.journaled {
            self.tell_effect(&[b"PEXPIREAT", key.bytes, decimal(at, &mut [0; MAX_LEN])]);
        }
    }

    /// The effect is that a key holds a string.
    #[inline]
    pub(crate) fn effect_set(&mut self, key: &Key<'_>, value: &[u8], ttl: Ttl) {
        if !self.journaled {
            return;
        }
        match ttl {
            Ttl::Clear => self.tell_effect(&[b"SET", key.bytes, value]),
            Ttl::Keep => self.tell_effect(&[b"SET", key.bytes, value, b"KEEPTTL"]),
            Ttl::At(at) => {
                let at = decimal(at, &mut [0; MAX_LEN]).to_vec();
                self.tell_effect(&[b"SET", key.bytes, value, b"PXAT", &at]);
            }
        }
    }

    /// The effect is a command with a key and a count.
    #[inline]
    pub(crate) fn effect_counted(&mut self, command: &'static str, key: &Key<'_>, count: usize) {
        if self.journaled {
            let count = count.to_string();
            self.tell_effect(&[command.as_bytes(), key.bytes, count.as_bytes()]);
        }
    }

    /// The effect is a command with `head` in front of many `items`, in several requests if there are very many.
    pub(crate) fn effect_on_each(&mut self, head: &[&[u8]], items: &[&[u8]]) {
        /// Items of one request.
        const MOST: usize = 4096;
        if !self.journaled {
            return;
        }
        for items in items.chunks(MOST) {
            self.tell_effect(&[head, items].concat());
        }
    }

    /// The effect is one on fields of a hash: `head`, the word FIELDS, their number and `fields`.
    pub(crate) fn effect_on_fields(&mut self, head: &[&[u8]], number: usize, fields: &[&[u8]]) {
        if self.journaled && number > 0 {
            let number = number.to_string();
            let behind: [&[u8]; 2] = [b"FIELDS", number.as_bytes()];
            self.tell_effect(&[head, &behind, fields].concat());
        }
    }
}

/// Decimal text.
pub(crate) fn decimal(value: i64, buffer: &mut [u8; MAX_LEN]) -> &[u8] {
    format_i64(value, buffer)
}

/// Notes what a command has changed, after it.
pub(crate) fn note_effects(
    effects: &mut Effects,
    held: &mut Held<'_>,
    before: u64,
    db: usize,
    args: Args<'_>,
) {
    note_gone(effects, held);
    if !effects.told() && held.changes() != before {
        match args.as_sent() {
            Some(written) => effects.add_written(db, args.len(), written),
            None => effects.add(db, args.iter_from(0)),
        }
    }
}

/// Notes what has gone because of its time.
fn note_gone(effects: &mut Effects, held: &mut Held<'_>) {
    for gone in held.take_gone() {
        match gone {
            Gone::Key { db, key } => effects.add(db, [b"DEL".as_slice(), &key].into_iter()),
            Gone::Elements { db, key, elements } => {
                let mut parts = vec![b"HDEL".as_slice(), &key];
                parts.extend(elements.iter().map(Vec::as_slice));
                effects.add(db, parts.into_iter());
            }
        }
    }
}

impl Engine {
    /// Adds a reader to the journal, who hears of every change from now on.
    pub fn subscribe(&self) -> Reader {
        let mut held = self.keyspace.hold_all(Mode::Write);
        self.subscribe_held(&mut held)
    }

    /// As [`Self::subscribe`], with all shards held for writing.
    pub fn subscribe_held(&self, held: &mut Held<'_>) -> Reader {
        for shard in 0..self.keyspace.shard_count() as u32 {
            held.shard_mut(shard).note_gone(true);
        }
        self.journal.subscribe()
    }

    /// Takes a reader away. All shards are held for writing.
    pub fn unsubscribe_held(&self, held: &mut Held<'_>, reader: &Reader) {
        self.journal.unsubscribe(reader);
        if !self.journal.is_on() {
            for shard in 0..self.keyspace.shard_count() as u32 {
                held.shard_mut(shard).note_gone(false);
            }
        }
    }

    /// Appends what the worker has noted to the journal. The shards that were changed must still be held.
    #[inline]
    pub(crate) fn seal(&self, worker: &mut Worker, held: &mut Held<'_>) {
        if self.journal.is_on() {
            self.seal_noted(worker, held);
        }
    }

    fn seal_noted(&self, worker: &mut Worker, held: &mut Held<'_>) {
        note_gone(&mut worker.effects, held);
        if !worker.effects.is_empty() {
            self.journal.append(&mut worker.effects, worker.now_ms / 1000);
        }
    }
}
