//! What the commands on streams reply, in-process.

use crate::harness::Harness;

fn lines(h: &mut Harness, steps: &[(&str, &str)]) {
    for (line, reply) in steps {
        assert_eq!(h.line(line), reply.replace(' ', "\r\n") + "\r\n", "{line}");
    }
}

#[test]
fn entries_are_added_read_and_trimmed() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("XADD s NOMKSTREAM 1-1 a b", "$-1"),
            ("XADD s 1-1 a 1", "$3 1-1"),
            ("XADD s 1-* a 2", "$3 1-2"),
            ("XADD s * a 3", "$15 1700000000000-0"),
            ("XADD s * a 4", "$15 1700000000000-1"),
            ("XLEN s", ":4"),
            ("XRANGE s 1 1", "*2 *2 $3 1-1 *2 $1 a $1 1 *2 $3 1-2 *2 $1 a $1 2"),
            ("XREVRANGE s + - COUNT 1", "*1 *2 $15 1700000000000-1 *2 $1 a $1 4"),
            ("XRANGE s (1-1 2", "*1 *2 $3 1-2 *2 $1 a $1 2"),
            ("XRANGE s - + COUNT 0", "*-1"),
            ("XDEL s 1-1 9-9", ":1"),
            ("XTRIM s MAXLEN 2", ":1"),
            ("XADD s MAXLEN = 1 * a 5", "$15 1700000000000-2"),
            ("XLEN s", ":1"),
            ("XREAD STREAMS s 1700000000000-2", "*-1"),
            ("XREAD STREAMS s +", "*1 *2 $1 s *1 *2 $15 1700000000000-2 *2 $1 a $1 5"),
        ],
    );
    assert!(h.line("XADD s 5-5 a b").starts_with("-ERR The ID specified in XADD is equal"));
    assert!(h.line("XADD s 5-5 a").starts_with("-ERR wrong number of arguments for 'xadd'"));
}

#[test]
fn groups_share_what_is_new() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("XGROUP CREATE s g $ MKSTREAM", "+OK"),
            ("XADD s 1-1 a 1", "$3 1-1"),
            ("XADD s 2-1 a 2", "$3 2-1"),
            (
                "XREADGROUP GROUP g alice COUNT 1 STREAMS s >",
                "*1 *2 $1 s *1 *2 $3 1-1 *2 $1 a $1 1",
            ),
            ("XREADGROUP GROUP g bob STREAMS s >", "*1 *2 $1 s *1 *2 $3 2-1 *2 $1 a $1 2"),
            ("XREADGROUP GROUP g bob STREAMS s >", "*-1"),
            ("XPENDING s g", "*4 :2 $3 1-1 $3 2-1 *2 *2 $5 alice $1 1 *2 $3 bob $1 1"),
            ("XACK s g 1-1 7-7", ":1"),
            ("XCLAIM s g alice 0 2-1", "*1 *2 $3 2-1 *2 $1 a $1 2"),
            ("XPENDING s g - + 9 alice", "*1 *4 $3 2-1 $5 alice :0 :2"),
            ("XDEL s 2-1", ":1"),
            ("XREADGROUP GROUP g alice STREAMS s 0", "*1 *2 $1 s *1 *2 $3 2-1 *-1"),
            ("XAUTOCLAIM s g bob 0 -", "*3 $3 0-0 *0 *1 $3 2-1"),
            ("XGROUP DELCONSUMER s g bob", ":0"),
            ("XGROUP DESTROY s g", ":1"),
        ],
    );
    assert!(h.line("XREADGROUP GROUP g bob STREAMS s >").starts_with("-NOGROUP No such key 's'"));
}

#[test]
fn a_group_or_consumer_may_be_called_streams() {
    let mut h = Harness::new();
    h.line("XGROUP CREATE s STREAMS $ MKSTREAM");
    h.line("XADD s 1-1 a 1");
    let reply = h.line("XREADGROUP COUNT 1 GROUP STREAMS STREAMS STREAMS s >");
    assert_eq!(
        reply,
        "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"
    );
}

#[test]
fn readers_wait_for_what_comes() {
    let mut h = Harness::new();
    let (reader, member) = (h.connect(), h.connect());
    h.line("XGROUP CREATE t g $ MKSTREAM");
    h.line("XADD s 1-1 a old");
    h.attempt(reader, &[b"XREAD", b"BLOCK", b"0", b"STREAMS", b"s", b"t", b"$", b"$"]);
    h.attempt(
        member,
        &[b"XREADGROUP", b"GROUP", b"g", b"c", b"BLOCK", b"0", b"STREAMS", b"t", b">"],
    );
    assert!(h.deliveries().is_empty());
    h.line("XADD t 5-5 a new");
    let reply = "*1\r\n*2\r\n$1\r\nt\r\n*1\r\n*2\r\n$3\r\n5-5\r\n*2\r\n$1\r\na\r\n$3\r\nnew\r\n";
    let replies: Vec<Option<String>> = h.deliveries().into_iter().map(|(_, text)| text).collect();
    assert_eq!(replies, [Some(reply.into()), Some(reply.into())]);
    assert_eq!(h.line("XACK t g 5-5"), ":1\r\n");
    h.attempt(
        member,
        &[b"XREADGROUP", b"GROUP", b"g", b"c", b"BLOCK", b"0", b"STREAMS", b"t", b">"],
    );
    h.line("XGROUP DESTROY t g");
    let replies = h.deliveries();
    assert!(replies[0].1.as_deref().unwrap_or_default().starts_with("-NOGROUP"), "{replies:?}");
}

#[test]
fn a_member_of_a_group_learns_that_its_stream_was_swapped_away() {
    let mut h = Harness::new();
    let member = h.connect();
    h.line("XGROUP CREATE s g $ MKSTREAM");
    let wait: &[&[u8]] =
        &[b"XREADGROUP", b"GROUP", b"g", b"c", b"BLOCK", b"0", b"STREAMS", b"s", b">"];
    h.attempt(member, wait);
    h.line("SWAPDB 0 7");
    let replies = h.deliveries();
    assert!(replies[0].1.as_deref().unwrap_or_default().starts_with("-NOGROUP"), "{replies:?}");
}

/// Changes of groups wake no watcher, but are to be saved.
#[test]
fn changes_of_groups_are_counted() {
    let mut h = Harness::new();
    for line in ["XADD s 1-0 a b", "XADD s 2-0 a b", "XADD s 3-0 a b", "XGROUP CREATE s g 0"] {
        h.line(line);
    }
    let mut changes = h.changes();
    for (line, counted) in [
        ("XGROUP CREATECONSUMER s g ann", 1),
        ("XGROUP CREATECONSUMER s g ann", 0),
        ("XREADGROUP GROUP g ann COUNT 2 STREAMS s >", 1),
        ("XREADGROUP GROUP g ann NOACK STREAMS s >", 1),
        ("XREADGROUP GROUP g ann STREAMS s >", 0),
        ("XREADGROUP GROUP g ann STREAMS s 0", 0),
        ("XREADGROUP GROUP g bob STREAMS s 0", 1),
        ("XCLAIM s g bob 0 1-0", 1),
        ("XCLAIM s g bob 0 9-0", 0),
        ("XACK s g 1-0 9-0", 1),
        ("XACK s g 1-0", 0),
        ("XGROUP SETID s g 0", 1),
        ("XGROUP DELCONSUMER s g bob", 1),
        ("XSETID s 5-0", 1),
        ("XGROUP DESTROY s g", 1),
    ] {
        h.line(line);
        assert_eq!(h.changes() - changes, counted, "{line}");
        changes = h.changes();
    }
}
