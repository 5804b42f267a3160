//! Asking a server in one line: requests as people type them, and replies as the text that they hold.

use std::time::{Duration, Instant};

use crate::{Client, Server, Value};

/// The reply to a request whose words are separated by blanks.
pub fn ask(client: &mut Client, line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    client.roundtrip(&words).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The text, or the number, that is the reply. Panics at anything else.
pub fn text(client: &mut Client, line: &str) -> String {
    match ask(client, line) {
        Value::Bulk(text) | Value::Simple(text) => String::from_utf8(text).unwrap(),
        Value::Integer(n) => n.to_string(),
        other => panic!("{line}: {other:?}"),
    }
}

/// A field of INFO.
pub fn field(server: &Server, name: &str) -> String {
    let info = text(&mut server.client(), "INFO");
    let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no field {name}")).to_owned()
}

/// Waits until something is so, for `patience` at most.
pub fn wait_until(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}
