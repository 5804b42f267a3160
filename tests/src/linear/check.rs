//! The search of Wing and Gong: take any operation that could have been first, see whether its reply is right, go on
//! with the rest; step back where nothing fits. A pair of operations done and state reached is tried only once.

use std::collections::HashSet;

use super::model::{Event, State};

/// Pairs of operations done and state after which the search gives up: a history of this project needs some hundreds.
const EFFORT: usize = 3_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An order that explains every reply: numbers of events.
    Linearizable(Vec<usize>),
    /// There is none.
    Broken,
    /// The search took too long.
    Unknown,
}

/// Decides on a history of up to 128 operations that begins with no keys.
pub fn check(history: &[Event]) -> Verdict {
    assert!(history.len() <= 128, "a set of operations is one number");
    let mut search = Search { history, seen: HashSet::new(), order: Vec::new() };
    match search.explain(0, &State::default()) {
        true => Verdict::Linearizable(search.order),
        false if search.seen.len() >= EFFORT => Verdict::Unknown,
        false => Verdict::Broken,
    }
}

struct Search<'a> {
    history: &'a [Event],
    seen: HashSet<(u128, State)>,
    order: Vec<usize>,
}

impl Search<'_> {
    /// Whether what is not `done` can follow in some order.
    fn explain(&mut self, done: u128, state: &State) -> bool {
        let left = |i: &usize| done >> i & 1 == 0;
        let Some(first_end) =
            (0..self.history.len()).filter(left).map(|i| self.history[i].end).min()
        else {
            return true;
        };
        // What began after another had ended can't have been before it.
        for i in (0..self.history.len()).filter(left) {
            let event = &self.history[i];
            if event.begin > first_end {
                continue;
            }
            let mut next = state.clone();
            if next.apply(event.client, &event.op) != event.reply {
                continue;
            }
            let done = done | 1 << i;
            if self.seen.len() >= EFFORT || !self.seen.insert((done, next.clone())) {
                continue;
            }
            self.order.push(i);
            if self.explain(done, &next) {
                return true;
            }
            self.order.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::collection::{Collection, End};
    use super::super::model::Op;
    use super::*;
    use crate::Value;

    fn event(client: usize, begin: u64, end: u64, op: Op, reply: Value) -> Event {
        Event { client, op, reply, begin, end }
    }

    fn ok() -> Value {
        Value::Simple(b"OK".to_vec())
    }

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    fn int(n: i64) -> Value {
        Value::Integer(n)
    }

    fn array(values: &[Value]) -> Value {
        Value::Array(values.to_vec())
    }

    fn is_fine(history: &[Event]) -> bool {
        match check(history) {
            Verdict::Linearizable(order) => {
                let mut state = State::default();
                assert_eq!(order.len(), history.len());
                for i in order {
                    let event = &history[i];
                    assert_eq!(state.apply(event.client, &event.op), event.reply);
                }
                true
            }
            Verdict::Broken => false,
            Verdict::Unknown => panic!("too hard"),
        }
    }

    #[test]
    fn concurrent_operations_may_have_happened_in_any_order() {
        assert!(is_fine(&[]));
        for seen in [Value::NullBulk, bulk("1"), bulk("2")] {
            assert!(is_fine(&[
                event(0, 0, 9, Op::Set(0, 1), ok()),
                event(1, 1, 8, Op::Set(0, 2), ok()),
                event(2, 2, 7, Op::Get(0), seen),
            ]));
        }
        assert!(is_fine(&[
            event(0, 0, 5, Op::Incr(0), int(2)),
            event(1, 1, 4, Op::Incr(0), int(1)),
            event(2, 2, 3, Op::Exec(vec![Op::Incr(0), Op::Get(0)]), array(&[int(3), bulk("3")])),
        ]));
    }

    #[test]
    fn a_lost_update_is_broken() {
        assert!(!is_fine(&[
            event(0, 0, 3, Op::Incr(0), int(1)),
            event(1, 1, 2, Op::Incr(0), int(1)),
        ]));
        assert!(!is_fine(&[
            event(0, 0, 3, Op::Append(0, 1), int(1)),
            event(1, 1, 2, Op::Append(0, 2), int(2)),
            event(1, 4, 5, Op::Get(0), bulk("2")),
        ]));
    }

    #[test]
    fn a_stale_read_is_broken() {
        let read_old = |begin| {
            is_fine(&[
                event(0, 0, 1, Op::Set(0, 1), ok()),
                event(0, 2, 4, Op::Set(0, 2), ok()),
                event(1, begin, 9, Op::Get(0), bulk("1")),
            ])
        };
        assert!(read_old(3));
        assert!(!read_old(5));
        // Two readers that see two writes in different orders.
        assert!(!is_fine(&[
            event(0, 0, 20, Op::Set(0, 1), ok()),
            event(1, 0, 20, Op::Set(1, 1), ok()),
            event(2, 1, 2, Op::Get(0), bulk("1")),
            event(2, 3, 4, Op::Get(1), Value::NullBulk),
            event(3, 1, 2, Op::Get(1), bulk("1")),
            event(3, 3, 4, Op::Get(0), Value::NullBulk),
        ]));
    }

    #[test]
    fn a_torn_write_is_broken() {
        let seen = |a, b| {
            is_fine(&[
                event(0, 0, 1, Op::MSet(vec![(0, 1), (1, 1)]), ok()),
                event(0, 2, 9, Op::MSet(vec![(0, 2), (1, 2)]), ok()),
                event(1, 3, 4, Op::MGet(vec![0, 1]), array(&[bulk(a), bulk(b)])),
            ])
        };
        assert!(seen("1", "1") && seen("2", "2"));
        assert!(!seen("1", "2") && !seen("2", "1"));
        // Each GET by itself is right, the two together are not.
        assert!(!is_fine(&[
            event(0, 0, 9, Op::MSet(vec![(0, 1), (1, 1)]), ok()),
            event(1, 1, 2, Op::Get(0), bulk("1")),
            event(1, 3, 4, Op::Get(1), Value::NullBulk),
        ]));
        assert!(!is_fine(&[
            event(0, 0, 1, Op::Set(0, 1), ok()),
            event(0, 2, 9, Op::Rename(0, 1), ok()),
            event(1, 3, 4, Op::MGet(vec![0, 1]), array(&[bulk("1"), bulk("1")])),
        ]));
    }

    #[test]
    fn a_read_of_several_keys_at_several_times_is_broken() {
        let history = |end_of_first| {
            is_fine(&[
                event(0, 0, end_of_first, Op::Set(0, 1), ok()),
                event(1, 4, 5, Op::Set(1, 1), ok()),
                event(2, 1, 9, Op::MGet(vec![0, 1]), array(&[Value::NullBulk, bulk("1")])),
            ])
        };
        assert!(history(8), "the two writes overlap");
        assert!(!history(2), "the second began after the first had ended");
    }

    #[test]
    fn a_member_seen_in_both_sets_or_in_none_is_broken() {
        let read = |k| Op::Collection(Collection::SMembers(k));
        let (there, gone) = (array(&[bulk("7")]), array(&[]));
        let seen = |source: &Value, destination: &Value| {
            is_fine(&[
                event(0, 0, 1, Op::Collection(Collection::SAdd(0, 7)), int(1)),
                event(0, 2, 9, Op::Collection(Collection::SMove(0, 1, 7)), int(1)),
                event(
                    1,
                    3,
                    4,
                    Op::Exec(vec![read(0), read(1)]),
                    array(&[source.clone(), destination.clone()]),
                ),
            ])
        };
        assert!(seen(&there, &gone) && seen(&gone, &there));
        assert!(!seen(&there, &there), "in both");
        assert!(!seen(&gone, &gone), "in none");
        // One read after the other: gone from the first, and not yet come to the second.
        let one_by_one = |first, second: Value| {
            is_fine(&[
                event(0, 0, 1, Op::Collection(Collection::SAdd(0, 7)), int(1)),
                event(0, 2, 9, Op::Collection(Collection::SMove(0, 1, 7)), int(1)),
                event(1, 3, 4, read(first), if first == 0 { gone.clone() } else { there.clone() }),
                event(1, 5, 6, read(1 - first), second),
            ])
        };
        assert!(one_by_one(0, there.clone()) && one_by_one(1, gone.clone()));
        assert!(!one_by_one(0, gone.clone()) && !one_by_one(1, there.clone()));
    }

    #[test]
    fn an_element_that_two_clients_moved_is_broken() {
        let history = |second: Value| {
            let lmove = Op::Collection(Collection::LMove(0, 1, End::Left, End::Right));
            let blmove = Op::Collection(Collection::BLMove(0, 2, End::Left, End::Right));
            is_fine(&[
                event(0, 0, 1, Op::Collection(Collection::Push(0, End::Right, 5)), int(1)),
                event(0, 2, 9, lmove, bulk("5")),
                event(1, 3, 8, blmove, second),
            ])
        };
        assert!(history(Value::NullBulk));
        assert!(!history(bulk("5")));
    }

    #[test]
    fn a_transaction_is_one_step() {
        let add = Op::Exec(vec![Op::Incr(0), Op::Incr(1)]);
        let done = array(&[int(1), int(1)]);
        assert!(!is_fine(&[
            event(0, 0, 9, add.clone(), done.clone()),
            event(1, 1, 2, Op::Exists(vec![0, 1]), int(1)),
        ]));
        assert!(is_fine(&[
            event(0, 0, 9, add, done),
            event(1, 1, 2, Op::Exists(vec![0, 1]), int(2)),
        ]));
    }

    #[test]
    fn a_watched_key_that_changed_stops_a_transaction_and_nothing_else_does() {
        let history = |begin, end, reply: Value| {
            is_fine(&[
                event(0, 0, 1, Op::Watch(vec![0]), ok()),
                event(1, begin, end, Op::Set(0, 7), ok()),
                event(0, 10, 11, Op::Exec(vec![Op::Set(1, 1)]), reply),
            ])
        };
        let done = array(&[ok()]);
        assert!(history(3, 4, Value::NullArray));
        assert!(!history(3, 4, done.clone()), "the change was overlooked");
        assert!(!history(12, 13, Value::NullArray), "nothing had changed");
        assert!(history(3, 20, done) && history(3, 20, Value::NullArray));
    }
}
