//! Keys that commands have come upon past their time: to readers they are missing, and they are deleted behind them, under the lock
//! for writing. Nothing is deleted during a pause.

use respire_keyspace::Mode;
use respire_resp::Args;

use crate::command::Row;
use crate::engine::Engine;
use crate::notify::Classes;
use crate::worker::Worker;

/// Fields that are deleted at once when a reader came upon one whose time has passed.
const EXPIRED_FIELDS: usize = 64;

impl Engine {
    /// Deletes those keys of a read-only command that it found to be past their time.
    #[cold]
    pub(crate) fn delete_expired(
        &self,
        worker: &mut Worker,
        db: usize,
        row: &Row,
        args: &Args<'_>,
    ) {
        for spec in row.keys {
            for i in spec.positions(args) {
                self.delete_if_expired(worker, db, args.get(i));
            }
        }
    }

    /// Deletes the keys past their time that a walk has come upon.
    #[cold]
    pub(crate) fn delete_met(&self, worker: &mut Worker) {
        let met = std::mem::take(&mut worker.met_expired);
        if self.pause.current(worker.now_ms).is_none() {
            met.iter().for_each(|(db, key)| self.delete_if_expired(worker, *db, key));
        }
    }

    /// Deletes a key, or those of its fields, whose time has passed. No shard may be held.
    pub(crate) fn delete_if_expired(&self, worker: &mut Worker, db: usize, key: &[u8]) {
        let key = self.keyspace.key(key);
        let Some(mut held) = self.keyspace.hold_one_unless_busy(key.shard, Mode::Write) else {
            return;
        };
        let shard = held.shard_mut(key.shard);
        if shard.expire_if_due(db, &key, worker.now_ms) {
            self.notify(Classes::EXPIRED, "expired", db, key.bytes);
        } else if let Some(thinned) =
            shard.expire_elements_of(db, &key, worker.now_ms, EXPIRED_FIELDS)
        {
            self.notify_thinned(&thinned);
        }
        self.seal(worker, &mut held);
        let leftovers = held.has_leftovers();
        drop(held);
        if leftovers {
            self.clear_up_shard(worker, key.shard);
        }
    }
}
