//! What the commands on lists reply, in-process.

use crate::harness::Harness;

fn lines(h: &mut Harness, steps: &[(&str, &str)]) {
    for (line, reply) in steps {
        assert_eq!(h.line(line), reply.replace(' ', "\r\n") + "\r\n", "{line}");
    }
}

#[test]
fn lists_grow_and_shrink_at_both_ends() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("LPUSHX l a", ":0"),
            ("RPUSH l b c", ":2"),
            ("LPUSH l a z", ":4"),
            ("LRANGE l 0 -1", "*4 $1 z $1 a $1 b $1 c"),
            ("LRANGE l -2 99", "*2 $1 b $1 c"),
            ("LRANGE l 2 1", "*0"),
            ("LPOP l", "$1 z"),
            ("RPOP l 2", "*2 $1 c $1 b"),
            ("LPOP l 0", "*0"),
            ("RPOP l 5", "*1 $1 a"),
            ("EXISTS l", ":0"),
            ("RPOP l", "$-1"),
            ("RPOP l 1", "*-1"),
        ],
    );
}

#[test]
fn elements_are_found_by_position_and_by_what_they_are() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("RPUSH l a b 3 a 3 a", ":6"),
            ("LINDEX l -1", "$1 a"),
            ("LINDEX l 6", "$-1"),
            ("LSET l 2 x", "+OK"),
            ("LPOS l a", ":0"),
            ("LPOS l a RANK 2", ":3"),
            ("LPOS l a RANK -1", ":5"),
            ("LPOS l a COUNT 0", "*3 :0 :3 :5"),
            ("LPOS l a COUNT 0 RANK -2", "*2 :3 :0"),
            ("LPOS l 3 MAXLEN 4", "$-1"),
            ("LINSERT l BEFORE x w", ":7"),
            ("LINSERT l AFTER none w", ":-1"),
            ("LREM l -2 a", ":2"),
            ("LRANGE l 0 -1", "*5 $1 a $1 b $1 w $1 x $1 3"),
            ("LTRIM l 1 -2", "+OK"),
            ("LRANGE l 0 -1", "*3 $1 b $1 w $1 x"),
            ("LTRIM l 5 9", "+OK"),
            ("TYPE l", "+none"),
        ],
    );
}

#[test]
fn elements_move_between_lists() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("RPUSH a 1 2 3", ":3"),
            ("RPOPLPUSH a a", "$1 3"),
            ("LMOVE a b LEFT RIGHT", "$1 3"),
            ("LMOVE a b RIGHT LEFT", "$1 2"),
            ("LRANGE b 0 -1", "*2 $1 2 $1 3"),
            ("LMPOP 2 none b RIGHT COUNT 5", "*2 $1 b *2 $1 3 $1 2"),
            ("LMPOP 1 b LEFT", "*-1"),
            ("LMOVE b a LEFT LEFT", "$-1"),
            ("LLEN a", ":1"),
        ],
    );
}

#[test]
fn a_wrong_type_changes_nothing() {
    let mut h = Harness::new();
    h.line("SET s x");
    h.line("RPUSH l a");
    for line in [
        "LPUSH s a",
        "LPOP s",
        "LRANGE s 0 1",
        "LMOVE s l LEFT LEFT",
        "LMOVE l s LEFT LEFT",
        "LMPOP 1 s LEFT",
        "LTRIM s 0 1",
    ] {
        assert!(h.line(line).starts_with("-WRONGTYPE"), "{line}");
    }
    assert_eq!(h.line("LLEN l"), ":1\r\n");
}

#[test]
fn long_lists_keep_their_order() {
    let mut h = Harness::new();
    for i in 0..5_000 {
        h.line(&format!("RPUSH l element:{i}"));
    }
    assert_eq!(h.line("OBJECT ENCODING l"), "$9\r\nquicklist\r\n");
    assert_eq!(h.line("LINDEX l 2500"), "$12\r\nelement:2500\r\n");
    assert_eq!(h.line("LPOS l element:4000"), ":4000\r\n");
    h.line("LTRIM l 2000 2001");
    assert_eq!(h.line("LRANGE l 0 -1"), "*2\r\n$12\r\nelement:2000\r\n$12\r\nelement:2001\r\n");
    assert_eq!(h.line("OBJECT ENCODING l"), "$8\r\nlistpack\r\n");
}

#[test]
fn waiting_in_a_transaction_is_no_waiting() {
    let mut h = Harness::new();
    lines(
        &mut h,
        &[
            ("MULTI", "+OK"),
            ("BLPOP a b 0", "+QUEUED"),
            ("BLMOVE a b LEFT LEFT 0", "+QUEUED"),
            ("BLMPOP 0 1 a LEFT", "+QUEUED"),
            ("EXEC", "*3 *-1 $-1 *-1"),
            ("RPUSH b 1 2 3", ":3"),
            ("BLPOP a b 0", "*2 $1 b $1 1"),
            ("BRPOPLPUSH b a 0", "$1 3"),
            ("BLMPOP 0 2 none b LEFT COUNT 9", "*2 $1 b *1 $1 2"),
        ],
    );
    assert!(h.line("BLPOP a -1").starts_with("-ERR timeout is negative"));
    assert!(h.line("BLPOP a x").starts_with("-ERR timeout is not a float"));
    assert!(h.line("BLPOP a 1e30").starts_with("-ERR timeout is out of range"));
}

#[test]
fn the_longest_waiter_is_served_first() {
    let mut h = Harness::new();
    let (first, second) = (h.connect(), h.connect());
    h.attempt(first, &[b"BLPOP", b"a", b"b", b"0"]);
    h.attempt(second, &[b"BLMOVE", b"b", b"c", b"LEFT", b"LEFT", b"0"]);
    h.line("RPUSH b 1 2 3");
    let replies: Vec<Option<String>> = h.deliveries().into_iter().map(|(_, text)| text).collect();
    assert_eq!(replies, [Some("*2\r\n$1\r\nb\r\n$1\r\n1\r\n".into()), Some("$1\r\n2\r\n".into())]);
    assert_eq!(h.line("LRANGE b 0 -1"), "*1\r\n$1\r\n3\r\n");
    assert_eq!(h.line("LRANGE c 0 -1"), "*1\r\n$1\r\n2\r\n");
}

/// As in Redis, LSET and LINSERT look for room for one more element before they do anything.
#[test]
fn a_full_listpack_becomes_a_quicklist_when_an_element_is_set() {
    let mut h = Harness::new();
    h.line("CONFIG SET list-max-listpack-size 3");
    for step in ["RPUSH l d", "LINSERT l after b d", "LSET l 0 d", "LPUSH l d"] {
        h.line("DEL l");
        h.line("RPUSH l a b c");
        assert_eq!(h.line("OBJECT ENCODING l"), "$8\r\nlistpack\r\n");
        h.line(step);
        assert_eq!(h.line("OBJECT ENCODING l"), "$9\r\nquicklist\r\n", "{step}");
    }
    h.line("CONFIG SET list-max-listpack-size 8");
    h.line("DEL l");
    h.line("RPUSH l a b c");
    h.line("LSET l 0 d");
    assert_eq!(h.line("OBJECT ENCODING l"), "$8\r\nlistpack\r\n");
}
