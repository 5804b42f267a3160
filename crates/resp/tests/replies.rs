//! Replies of every type in both protocols, byte by byte.

use std::sync::Arc;

use respire_resp::{Out, Proto};

/// The bytes that `write` leaves behind, spliced values included.
fn written(proto: Proto, write: impl FnOnce(&mut Out)) -> Vec<u8> {
    let mut out = Out::default();
    out.proto = proto;
    write(&mut out);
    let bytes = out.to_vec();
    assert_eq!(bytes.len(), out.len());
    bytes
}

type Write = fn(&mut Out);

#[test]
fn every_type_is_written_as_the_protocol_has_it() {
    let table: &[(Write, &str, &str)] = &[
        (|o| o.ok(), "+OK\r\n", "+OK\r\n"),
        (|o| o.simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
        (|o| o.error(b"ERR no\r\nway"), "-ERR no  way\r\n", "-ERR no  way\r\n"),
        (|o| o.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
        (|o| o.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
        (|o| o.bulk_int(-12), "$3\r\n-12\r\n", "$3\r\n-12\r\n"),
        (|o| o.null(), "$-1\r\n", "_\r\n"),
        (|o| o.null_array(), "*-1\r\n", "_\r\n"),
        (|o| o.array(0), "*0\r\n", "*0\r\n"),
        (|o| o.array(3), "*3\r\n", "*3\r\n"),
        (|o| o.map(12), "*24\r\n", "%12\r\n"),
        (|o| o.set(1000), "*1000\r\n", "~1000\r\n"),
        (|o| o.push(2), "*2\r\n", ">2\r\n"),
        (|o| o.bool(true), ":1\r\n", "#t\r\n"),
        (|o| o.bool(false), ":0\r\n", "#f\r\n"),
        (|o| o.double("1.5"), "$3\r\n1.5\r\n", ",1.5\r\n"),
        (
            |o| o.big_number("-99999999999999999999"),
            "$21\r\n-99999999999999999999\r\n",
            "(-99999999999999999999\r\n",
        ),
        (|o| o.verbatim("txt", b"a\nb"), "$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n"),
        (|o| o.raw(b"+x\r\n"), "+x\r\n", "+x\r\n"),
    ];
    for (write, resp2, resp3) in table {
        assert_eq!(
            written(Proto::Resp2, write).escape_ascii().to_string(),
            resp2.as_bytes().escape_ascii().to_string()
        );
        assert_eq!(
            written(Proto::Resp3, write).escape_ascii().to_string(),
            resp3.as_bytes().escape_ascii().to_string()
        );
    }
    assert_eq!(written(Proto::Resp3, |o| o.attribute(1)), b"|1\r\n");
}

#[test]
fn integers_of_every_length_are_written_out() {
    let mut numbers: Vec<i64> = (-120..1200).collect();
    numbers.extend((0..63).flat_map(|bit| [1 << bit, -(1 << bit), (1 << bit) - 1]));
    numbers.extend([i64::MIN, i64::MAX]);
    for number in numbers {
        assert_eq!(written(Proto::Resp2, |o| o.int(number)), format!(":{number}\r\n").as_bytes());
        let text = number.to_string();
        let bulk = format!("${}\r\n{text}\r\n", text.len());
        assert_eq!(written(Proto::Resp3, |o| o.bulk_int(number)), bulk.as_bytes());
    }
    for len in [0, 9, 10, 99, 100, 1_048_576] {
        assert_eq!(written(Proto::Resp2, |o| o.array(len)), format!("*{len}\r\n").as_bytes());
    }
}

/// A shared value is copied up to a size and spliced in from there; the client sees no difference.
#[test]
fn shared_values_read_the_same_spliced_or_copied() {
    let value: Arc<Vec<u8>> = Arc::new((0..Out::SPLICE as u32 * 2).map(|i| i as u8).collect());
    for (start, end) in [(0, 0), (5, 5 + Out::SPLICE - 1), (0, Out::SPLICE), (7, value.len())] {
        let shared = written(Proto::Resp2, |o| {
            o.int(1);
            o.bulk_shared(&value, start, end);
            o.bulk_shared(&value, start, end);
            o.ok();
        });
        let copied = written(Proto::Resp2, |o| {
            o.int(1);
            o.bulk(&value[start..end]);
            o.bulk(&value[start..end]);
            o.ok();
        });
        assert!(shared == copied, "{start}..{end}");
    }
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn rewinding_takes_back_all_that_was_written_since() {
    let value = Arc::new(vec![b'x'; Out::SPLICE]);
    let mut out = Out::default();
    out.ok();
    out.bulk_shared(&value, 0, value.len());
    let before = out.to_vec();
    let mark = out.mark();
    out.array(2);
    out.bulk_shared(&value, 0, value.len());
    out.error(b"ERR no");
    assert_eq!(Arc::strong_count(&value), 3);
    out.rewind(mark);
    assert!(out.to_vec() == before);
    assert_eq!((out.len(), out.splices().len()), (before.len(), 1));
    assert_eq!(Arc::strong_count(&value), 2);
    out.clear();
    assert!(out.is_empty() && out.splices().is_empty());
    assert_eq!((out.len(), Arc::strong_count(&value)), (0, 1));
}
