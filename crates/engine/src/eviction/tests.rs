//! Evictions and refusals in a single thread, with a host that pretends how much is allocated.

use crate::eviction::patience_ns;
use crate::harness::Harness;

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

/// A limit of one megabyte, and nothing in use.
fn limited(policy: &str) -> Harness {
    let mut h = Harness::new();
    h.host.pretend_allocated(0, 0);
    assert_eq!(h.line("CONFIG SET maxmemory 1mb"), "+OK\r\n");
    assert_eq!(h.line(&format!("CONFIG SET maxmemory-policy {policy}")), "+OK\r\n");
    h
}

/// More than any limit here, on top of the tables, which tests that run at the same time make larger and smaller.
const FULL: u64 = 1 << 40;

/// Above the limit until so many keys have gone. The first look decides that any go.
fn full_for(h: &Harness, keys: u64) {
    h.host.pretend_allocated((keys + 1) * FULL, FULL);
}

#[test]
fn without_eviction_commands_that_need_memory_are_refused() {
    let mut h = limited("noeviction");
    h.line("SET k v");
    h.host.pretend_allocated(FULL, 0);
    assert_eq!(h.line("SET k w"), OOM);
    assert_eq!(h.line("LPUSH list x"), OOM);
    assert_eq!(h.line("GET k"), "$1\r\nv\r\n");
    assert_eq!(h.line("DEL k"), ":1\r\n");
    h.host.pretend_allocated(0, 0);
    assert_eq!(h.line("SET k w"), "+OK\r\n");
    assert!(h.line("INFO errorstats").contains("errorstat_OOM:count=2\r\n"));
    assert!(h.line("INFO stats").contains("evicted_keys:0\r\n"));
}

#[test]
fn nothing_is_queued_while_memory_is_full() {
    let mut h = limited("noeviction");
    h.line("SET k v");
    h.line("MULTI");
    h.line("GET k");
    h.host.pretend_allocated(FULL, 0);
    assert_eq!(h.line("EXEC"), "*1\r\n$1\r\nv\r\n");
    assert_eq!(h.line("MULTI"), "+OK\r\n");
    assert_eq!(h.line("GET k"), OOM);
    assert_eq!(h.line("EXEC"), "-EXECABORT Transaction discarded because of previous errors.\r\n");
    h.line("MULTI");
    assert_eq!(h.line("DISCARD"), "+OK\r\n");
    h.host.pretend_allocated(0, 0);
    h.line("MULTI");
    h.line("SET k w");
    h.host.pretend_allocated(FULL, 0);
    let text = OOM.replace("-OOM", "-EXECABORT Transaction discarded because of: OOM");
    assert_eq!(h.line("EXEC"), text);
    assert_eq!(h.line("GET k"), "$1\r\nv\r\n");
}

#[test]
fn the_key_that_was_not_used_for_longest_goes_first() {
    let mut h = limited("allkeys-lru");
    for i in 0..10 {
        h.line(&format!("SET k{i} v"));
        h.advance_ms(2000);
    }
    h.line("GET k0");
    h.line("CONFIG SET maxmemory-samples 1000");
    full_for(&h, 3);
    h.line("PING");
    // Each look at a shard shows its keys only: several looks show more, and the best of all goes.
    assert_eq!(h.line("EXISTS k0 k9"), ":2\r\n");
    assert_eq!(h.line("DBSIZE"), ":7\r\n");
    assert!(h.line("INFO stats").contains("evicted_keys:3\r\n"));
}

#[test]
fn volatile_policies_spare_keys_that_do_not_expire() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let mut h = limited(policy);
        for i in 0..20 {
            h.line(&format!("SET kept{i} v"));
            h.line(&format!("SET going{i} v EX {}", 1000 + i));
        }
        full_for(&h, 5);
        assert_eq!(h.line("SET other v"), "+OK\r\n", "{policy}");
        assert_eq!(h.line("DBSIZE"), ":36\r\n", "{policy}");
        h.host.pretend_allocated(FULL, 0);
        assert_eq!(h.line("SET other v"), OOM, "{policy}");
        assert_eq!(h.line("DBSIZE"), ":21\r\n", "{policy}");
    }
}

#[test]
fn keys_of_every_database_go_until_nothing_is_left() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let mut h = limited(policy);
        for db in [0, 3, 15] {
            h.line(&format!("SELECT {db}"));
            (0..5).for_each(|i| drop(h.line(&format!("SET k{i} v"))));
        }
        h.host.pretend_allocated(FULL, 0);
        assert_eq!(h.line("SET k v"), OOM, "{policy}");
        assert!(!h.line("INFO keyspace").contains("keys="), "{policy}");
        assert!(h.line("INFO stats").contains("evicted_keys:15\r\n"), "{policy}");
    }
}

#[test]
fn rarely_used_keys_go_first() {
    let mut h = limited("allkeys-lfu");
    h.line("CONFIG SET lfu-log-factor 0");
    (0..20).for_each(|i| drop(h.line(&format!("SET k{i} v"))));
    for _ in 0..20 {
        (0..10).for_each(|i| drop(h.line(&format!("GET k{i}"))));
    }
    h.line("CONFIG SET maxmemory-samples 64");
    // With every shard looked at, the best of all shards are those that were used once.
    for _ in 0..4 {
        full_for(&h, 1);
        h.line("PING");
    }
    assert_eq!(h.line("DBSIZE"), ":16\r\n");
}

#[test]
fn eviction_is_told_as_a_deletion_is() {
    let mut h = limited("allkeys-random");
    h.line("CONFIG SET notify-keyspace-events Ee");
    let reader = h.engine.subscribe();
    let listener = h.connect();
    h.run_as(listener, &["SUBSCRIBE", "__keyevent@0__:evicted"]);
    let watcher = h.connect();
    h.line("SET k v");
    h.run_as(watcher, &["WATCH", "k"]);
    h.run_as(watcher, &["MULTI"]);
    h.run_as(watcher, &["PING"]);
    let mut bytes = Vec::new();
    reader.take(&mut bytes);
    bytes.clear();
    full_for(&h, 1);
    h.line("PING");
    assert_eq!(h.run_as(watcher, &["EXEC"]), "*-1\r\n");
    let published = h.published();
    assert!(published.iter().any(|(_, text)| text.ends_with("$1\r\nk\r\n")), "{published:?}");
    reader.take(&mut bytes);
    assert_eq!(String::from_utf8_lossy(&bytes), "*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n");
}

#[test]
fn tracking_clients_hear_of_evictions() {
    let mut h = limited("allkeys-random");
    let tracker = h.connect();
    h.run_as(tracker, &["HELLO", "3"]);
    h.run_as(tracker, &["CLIENT", "TRACKING", "ON"]);
    h.line("SET k v");
    h.run_as(tracker, &["GET", "k"]);
    full_for(&h, 1);
    h.line("PING");
    let told = h.deliveries();
    let text = told[0].1.as_deref().unwrap_or_default();
    assert!(text.contains("invalidate") && text.contains("k\r\n"), "{told:?}");
}

#[test]
fn a_pause_stops_evictions() {
    let mut h = limited("allkeys-random");
    h.line("SET k v");
    h.line("CLIENT PAUSE 1000 WRITE");
    h.host.pretend_allocated(FULL, 0);
    assert_eq!(h.line("GET k"), "$1\r\nv\r\n");
    h.advance_ms(1001);
    assert_eq!(h.line("GET k"), "$-1\r\n");
}

#[test]
fn patience_grows_with_tenacity() {
    assert_eq!(patience_ns(0), 0);
    assert_eq!(patience_ns(10), 500_000);
    assert_eq!(patience_ns(11), 575_000);
    assert!(patience_ns(99) > 60_000_000_000);
    assert_eq!(patience_ns(100), u64::MAX);
}

#[test]
fn the_clients_that_hold_most_are_closed() {
    let mut h = Harness::new();
    h.line("CONFIG SET maxmemory-clients 1mb");
    for (i, bytes) in [300, 700, 200].into_iter().enumerate() {
        let client = h.connect();
        assert_eq!(client, i + 1);
        let info = h.sessions[client].info.clone();
        h.engine.clients.note_memory(&info, bytes * 1024);
    }
    h.engine.limit_clients(&mut h.worker);
    assert_eq!(h.engine.clients.memory(), 1200 * 1024);
    let id = h.sessions[2].info.id;
    assert_eq!(h.deliveries(), [(id, None)]);
    assert!(h.line("INFO stats").contains("evicted_clients:1\r\n"));
    // One that is not to be closed counts all the same.
    let protected = h.connect();
    h.run_as(protected, &["CLIENT", "NO-EVICT", "ON"]);
    let info = h.sessions[protected].info.clone();
    h.engine.clients.note_memory(&info, 2 << 20);
    h.engine.limit_clients(&mut h.worker);
    let ids: Vec<u64> = h.deliveries().into_iter().map(|(id, _)| id).collect();
    assert!(!ids.contains(&info.id) && ids.len() == 3, "{ids:?}");
}

#[test]
fn integers_that_tell_how_much_they_are_used_are_not_shared() {
    let mut h = limited("allkeys-random");
    h.line("SET n 5");
    for (policy, count) in [("allkeys-lru", 1), ("volatile-lfu", 1), ("volatile-ttl", i32::MAX)] {
        h.line(&format!("CONFIG SET maxmemory-policy {policy}"));
        assert_eq!(h.line("OBJECT REFCOUNT n"), format!(":{count}\r\n"), "{policy}");
    }
    h.line("CONFIG SET maxmemory 0 maxmemory-policy allkeys-lru");
    assert_eq!(h.line("OBJECT REFCOUNT n"), format!(":{}\r\n", i32::MAX));
}

#[test]
fn watched_keys_and_prefixes_count_as_their_clients() {
    let mut h = Harness::new();
    let held = |h: &Harness| h.sessions[0].memory();
    for end in ["UNWATCH", "DISCARD", "EXEC"] {
        h.line("WATCH a b");
        let few = held(&h);
        assert!(few > 0);
        h.line("WATCH a b");
        assert_eq!(held(&h), few, "they are watched already");
        h.line(&format!("WATCH {}", "x".repeat(1000)));
        assert!(held(&h) > few + 1000);
        if end != "UNWATCH" {
            h.line("MULTI");
        }
        h.line(end);
        assert_eq!(held(&h), 0, "{end}");
    }
    h.line("HELLO 3");
    h.line("CLIENT TRACKING ON BCAST PREFIX a PREFIX b");
    let few = held(&h);
    assert!(few > 0);
    h.line("CLIENT TRACKING ON BCAST PREFIX c");
    assert!(held(&h) > few);
    h.line("CLIENT TRACKING OFF");
    assert_eq!(held(&h), 0);
}

#[test]
fn who_tracks_a_key_hears_of_its_eviction_before_the_reply() {
    let mut h = limited("volatile-random");
    h.line("HELLO 3");
    h.line("CLIENT TRACKING ON");
    h.line("SETEX k 10000 v");
    h.line("GET k");
    full_for(&h, 1);
    assert_eq!(h.line("GET other"), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n_\r\n");
    // A reply that was switched off takes nothing with it.
    h.host.pretend_allocated(0, 0);
    h.line("SETEX k 10000 v");
    h.line("GET k");
    h.line("CLIENT REPLY OFF");
    full_for(&h, 1);
    assert_eq!(h.line("GET other"), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
}
