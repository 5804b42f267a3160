//! Connections that listen: everything that the two servers send them is compared, in its order.
//!
//! Whenever somebody has spoken, each listener is asked for a PONG with a number. What came before that is what the
//! oracle had to say; the server under test, whose threads pass messages on, may let a few come after it.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use super::compare::{Norm, equal};
use super::step::Step;
use crate::client::{Client, encode};
use crate::server::Server;
use crate::value::Value;

/// How many exchanges later a key may be told of once more.
const LATE: usize = 3;

/// What a listener was sent by `redis` and by `respire`, where it differs.
type Disagreement = (String, String);

/// One server's side of a listener.
#[derive(Debug)]
struct Side {
    client: Client,
    id: i64,
}

#[derive(Debug)]
pub struct Listener {
    redis: Side,
    respire: Side,
    pongs: u64,
    /// The keys that the last exchanges made invalid.
    before: VecDeque<BTreeSet<Value>>,
    /// Keys made invalid by what the listener did itself, as `redis` and `respire` have told so far: to be compared when
    /// it is asked the next time.
    owed: (BTreeSet<Value>, BTreeSet<Value>),
}

impl Side {
    fn connect(server: &Server, protocol: u8) -> Side {
        let mut client = server.client();
        client.roundtrip(&["HELLO", &protocol.to_string()]).expect("HELLO on a fresh connection");
        match client.roundtrip(&["CLIENT", "ID"]).expect("a reply") {
            Value::Integer(id) => Side { client, id },
            other => panic!("CLIENT ID: {other:?}"),
        }
    }

    /// All that comes before the PONG, and then until there is as much as `expected`; and what went wrong, if something
    /// did.
    fn hear(&mut self, token: &[u8], expected: &Heard) -> (Heard, Option<io::Error>) {
        let mut heard = Vec::new();
        let mut answered = false;
        loop {
            let value = match self.client.read() {
                Ok(value) => value,
                Err(error) => return (Heard::new(&heard), Some(error)),
            };
            let pong = match &value {
                Value::Bulk(text) => text == token,
                Value::Array(parts) => parts.len() == 2 && parts[1].text() == Some(token),
                _ => false,
            };
            answered |= pong;
            if !pong {
                heard.push(value);
            }
            if answered {
                let heard = Heard::new(&heard);
                if heard.is_complete(expected) {
                    return (heard, None);
                }
            }
        }
    }
}

impl Listener {
    pub fn connect(redis: &Server, respire: &Server, protocol: u8) -> Listener {
        let (redis, respire) = (Side::connect(redis, protocol), Side::connect(respire, protocol));
        Listener { redis, respire, pongs: 0, before: VecDeque::new(), owed: Default::default() }
    }

    /// The connection's id at both servers.
    pub fn ids(&self) -> (i64, i64) {
        (self.redis.id, self.respire.id)
    }

    /// Sends `steps` and compares all that has come by the time that they are done. `ids` are those of all listeners,
    /// by which an argument `{id 0}` is filled in.
    pub fn exchange(&mut self, steps: &[Step], ids: &[(i64, i64)]) -> Result<(), Disagreement> {
        self.pongs += 1;
        let token = format!("pong {}", self.pongs).into_bytes();
        let mut bytes = (Vec::new(), Vec::new());
        for step in steps {
            let fill = |id: fn(&(i64, i64)) -> i64| -> Vec<Vec<u8>> {
                step.args.iter().map(|arg| with_id(arg, ids, id)).collect()
            };
            encode(&mut bytes.0, &fill(|both| both.0));
            encode(&mut bytes.1, &fill(|both| both.1));
        }
        for bytes in [&mut bytes.0, &mut bytes.1] {
            encode(bytes, &[b"PING".as_slice(), &token]);
        }
        // A server that closed the connection shows itself when its reply is missing.
        let _ = self.redis.client.send_raw(&bytes.0);
        let _ = self.respire.client.send_raw(&bytes.1);
        let (mut oracle, broken) = self.redis.hear(&token, &Heard::default());
        if let Some(error) = broken {
            return Err((format!("{error}, after {oracle:?}"), String::new()));
        }
        // Redis tells clients by prefix when it has executed all that it has read, the PING included.
        oracle.invalid.append(&mut self.owed.0);
        let mut expected = oracle.clone();
        if !steps.is_empty() {
            expected.invalid.clear();
        }
        expected.invalid.retain(|key| !self.owed.1.contains(key));
        let (mut subject, broken) = self.respire.hear(&token, &expected);
        subject.invalid.append(&mut self.owed.1);
        if !steps.is_empty() && broken.is_none() {
            self.owed = (std::mem::take(&mut oracle.invalid), std::mem::take(&mut subject.invalid));
            return oracle.compare(&subject, &self.before, ids);
        }
        let verdict = oracle.compare(&subject, &self.before, ids);
        self.before.push_back(oracle.invalid);
        if self.before.len() > LATE {
            self.before.pop_front();
        }
        match broken {
            // Fewer messages than expected, or none at all any more.
            Some(error) => verdict.map_err(|(a, b)| (a, format!("{error}, after {b}"))),
            None => verdict,
        }
    }

    /// Closes the connection with QUIT.
    pub fn quit(&mut self) -> Result<(), Disagreement> {
        let [redis, respire] = [&mut self.redis, &mut self.respire].map(|side| {
            let _ = side.client.send(&["QUIT"]);
            side.client.read_to_close()
        });
        match (redis, respire) {
            (Ok(oracle), Ok(subject)) if oracle == subject => Ok(()),
            (oracle, subject) => Err((format!("{oracle:?}"), format!("{subject:?}"))),
        }
    }
}

fn with_id(arg: &[u8], ids: &[(i64, i64)], id: fn(&(i64, i64)) -> i64) -> Vec<u8> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let at: Option<usize> =
        arg.strip_prefix(b"{id ").and_then(|rest| rest.strip_suffix(b"}")).and_then(number);
    match at.and_then(|at| ids.get(at)) {
        Some(both) => id(both).to_string().into_bytes(),
        None => arg.to_vec(),
    }
}

/// What came, sorted by what has an order in Redis: replies, messages, and keys that became invalid. A message that a
/// client has caused itself stands before the reply in Redis 7.0, even inside that of EXEC, and behind it since 7.2. The
/// patterns that one message matches and the channels that are left all at once have no order.
#[derive(Debug, Clone, Default)]
struct Heard {
    replies: Vec<Value>,
    messages: Vec<Value>,
    invalid: BTreeSet<Value>,
}

impl Heard {
    fn new(heard: &[Value]) -> Heard {
        let mut own = Heard::default();
        for value in heard {
            match invalidated(value) {
                Some(Value::Array(keys)) => own.invalid.extend(keys.iter().cloned()),
                Some(all) => {
                    own.invalid.insert(all.clone());
                }
                // One for all keys, or one for each.
                None if is_broken_redirection(value) => {
                    own.invalid.insert(Value::Bulk(b"(nobody to tell)".to_vec()));
                }
                // When a key is found to be past its time depends on the moment.
                None if tells_of_expiry(value) => {}
                None if is_message(value) => own.messages.push(value.clone()),
                None => own.replies.push(value.clone()),
            }
        }
        sort_runs(&mut own.messages, |frame| match frame.elements() {
            Some([kind, _, channel, text]) if kind.text() == Some(b"pmessage") => {
                Some(Value::Array(vec![channel.clone(), text.clone()]))
            }
            _ => None,
        });
        sort_departures(&mut own.replies);
        own
    }

    /// Whether there is as much as there has to be.
    fn is_complete(&self, expected: &Heard) -> bool {
        self.replies.len() >= expected.replies.len()
            && self.messages.len() >= expected.messages.len()
            && self.invalid.is_superset(&expected.invalid)
    }

    /// Compares what both servers sent. Invalidations of keys in `before` may come late once more: Redis gathers those
    /// for clients that get them by prefix.
    fn compare(
        &self,
        subject: &Heard,
        before: &VecDeque<BTreeSet<Value>>,
        ids: &[(i64, i64)],
    ) -> Result<(), Disagreement> {
        let alike = |a: &Value, b: &Value| {
            let plain = with_plain_ids(a, ids, |both| both.0);
            plain == with_plain_ids(b, ids, |both| both.1) || equal(Norm::Hello, a, b)
        };
        for (a, b) in [(&self.replies, &subject.replies), (&self.messages, &subject.messages)] {
            let same = a.iter().zip(b).take_while(|(a, b)| alike(a, b)).count();
            if same < a.len().max(b.len()) {
                return Err((format!("... {:?}", &a[same..]), format!("... {:?}", &b[same..])));
            }
        }
        let missing = self.invalid.difference(&subject.invalid).next();
        let late = |key: &&Value| !before.iter().any(|keys| keys.contains(key));
        let excess = subject.invalid.difference(&self.invalid).find(late);
        if missing.is_some() || excess.is_some() {
            return Err((
                format!("invalid {:?}", self.invalid),
                format!("invalid {:?}", subject.invalid),
            ));
        }
        Ok(())
    }
}

fn is_broken_redirection(value: &Value) -> bool {
    value.elements().and_then(|parts| parts.first()?.text()) == Some(b"tracking-redir-broken")
}

fn tells_of_expiry(value: &Value) -> bool {
    let Some(parts) = value.elements().filter(|parts| is_message(value) && parts.len() >= 3) else {
        return false;
    };
    let [.., channel, text] = parts else { return false };
    channel.text().is_some_and(|channel| channel.ends_with(b"__:expired"))
        || text.text() == Some(b"expired")
}

fn is_message(value: &Value) -> bool {
    let kinds: &[&[u8]] = &[b"message", b"pmessage", b"smessage"];
    let kind = value.elements().and_then(|parts| parts.first()?.text());
    kind.is_some_and(|kind| kinds.contains(&kind))
}

/// The keys of an invalidation, or the null that stands for all of them.
fn invalidated(value: &Value) -> Option<&Value> {
    match value.elements()? {
        [kind, keys] if kind.text() == Some(b"invalidate") && matches!(value, Value::Push(_)) => {
            Some(keys)
        }
        [kind, channel, keys]
            if kind.text() == Some(b"message")
                && channel.text() == Some(b"__redis__:invalidate")
                && keys.text().is_none() =>
        {
            Some(keys)
        }
        _ => None,
    }
}

/// Connections' ids as their places among the listeners.
fn with_plain_ids(value: &Value, ids: &[(i64, i64)], id: fn(&(i64, i64)) -> i64) -> Value {
    let plain = |value: &Value| with_plain_ids(value, ids, id);
    match value {
        Value::Integer(n) => match ids.iter().position(|both| id(both) == *n) {
            Some(at) => Value::Bulk(format!("listener {at}").into_bytes()),
            None => value.clone(),
        },
        // Redis only notices that a redirection is broken when it has something to tell.
        Value::Set(flags) => Value::Set(
            flags.iter().filter(|flag| flag.text() != Some(b"broken_redirect")).cloned().collect(),
        ),
        Value::Array(values) => Value::Array(values.iter().map(plain).collect()),
        Value::Map(pairs) => Value::Map(pairs.iter().map(|(k, v)| (plain(k), plain(v))).collect()),
        other => other.clone(),
    }
}

/// Sorts each run of neighbours for which `group` answers the same.
fn sort_runs(frames: &mut [Value], group: impl Fn(&Value) -> Option<Value>) {
    let mut start = 0;
    while start < frames.len() {
        let of = group(&frames[start]);
        let mut end = start + 1;
        while of.is_some() && end < frames.len() && group(&frames[end]) == of {
            end += 1;
        }
        frames[start..end].sort();
        start = end;
    }
}

/// Sorts the names of channels that are left one after another; the counts that stand beside them stay in place.
fn sort_departures(frames: &mut [Value]) {
    let left = |frame: &Value| match frame.elements() {
        Some([kind, name, Value::Integer(_)])
            if kind.text().is_some_and(|kind| kind.ends_with(b"unsubscribe")) =>
        {
            Some((kind.clone(), name.clone()))
        }
        _ => None,
    };
    let mut start = 0;
    while start < frames.len() {
        let mut names = Vec::new();
        for frame in &frames[start..] {
            match left(frame) {
                Some((kind, name)) if names.first().is_none_or(|(first, _)| *first == kind) => {
                    names.push((kind, name));
                }
                _ => break,
            }
        }
        let count = names.len();
        names.sort();
        for (frame, (_, name)) in frames[start..start + count].iter_mut().zip(names) {
            if let Value::Array(parts) | Value::Push(parts) = frame {
                parts[1] = name;
            }
        }
        start += count.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(a: &[Value], b: &[Value], ids: &[(i64, i64)]) -> Result<(), Disagreement> {
        Heard::new(a).compare(&Heard::new(b), &VecDeque::new(), ids)
    }

    fn push(parts: &[&str]) -> Value {
        Value::Push(parts.iter().map(|part| Value::Bulk(part.as_bytes().to_vec())).collect())
    }

    #[test]
    fn only_what_has_no_order_may_come_in_any() {
        let one = push(&["pmessage", "c*", "c0", "x"]);
        let other = push(&["pmessage", "*", "c0", "x"]);
        assert!(compare(&[one.clone(), other.clone()], &[other.clone(), one.clone()], &[]).is_ok());
        assert!(
            compare(&[one.clone(), other.clone()], &[other.clone(), other.clone()], &[]).is_err()
        );
        assert!(compare(std::slice::from_ref(&one), &[one.clone(), other], &[]).is_err());
        let (a, b) = (push(&["message", "c0", "1"]), push(&["message", "c0", "2"]));
        assert!(compare(&[a.clone(), b.clone()], &[b, a], &[]).is_err());
    }

    #[test]
    fn a_missing_invalidation_is_a_difference() {
        let keys = |names: &[&str]| {
            let names = names.iter().map(|name| Value::Bulk(name.as_bytes().to_vec())).collect();
            Value::Push(vec![Value::Bulk(b"invalidate".to_vec()), Value::Array(names)])
        };
        assert!(compare(&[keys(&["a", "b"])], &[keys(&["b"]), keys(&["a"])], &[]).is_ok());
        assert!(compare(&[keys(&["a", "b"])], &[keys(&["a"])], &[]).is_err());
        assert!(compare(&[keys(&["a"])], &[keys(&["a"]), keys(&["b"])], &[]).is_err());
        let all = Value::Push(vec![Value::Bulk(b"invalidate".to_vec()), Value::Null]);
        assert!(compare(&[all], &[keys(&["a"])], &[]).is_err());
    }

    #[test]
    fn ids_are_compared_as_the_connections_that_they_name() {
        let ids = [(5, 7), (6, 8)];
        assert!(compare(&[Value::Integer(5)], &[Value::Integer(7)], &ids).is_ok());
        assert!(compare(&[Value::Integer(5)], &[Value::Integer(8)], &ids).is_err());
    }
}
