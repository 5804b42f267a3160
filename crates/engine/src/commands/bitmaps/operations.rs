//! Several strings: BITOP.

use respire_datatypes::bits::{self, Operation};
use respire_keyspace::Ttl;

use super::single::new_string;
use crate::ctx::{Ctx, text_of};
use crate::error::{Error, Outcome};
use crate::notify::Classes;

/// The operation of an argument, and how many sources it needs at least.
fn operation(name: &[u8]) -> Option<(Operation, usize)> {
    Some(match &name.to_ascii_lowercase()[..] {
        b"and" => (Operation::And, 1),
        b"or" => (Operation::Or, 1),
        b"xor" => (Operation::Xor, 1),
        b"not" => (Operation::Not, 1),
        b"diff" => (Operation::Diff, 2),
        b"diff1" => (Operation::Diff1, 2),
        b"andor" => (Operation::AndOr, 2),
        b"one" => (Operation::One, 1),
        _ => return None,
    })
}

pub(super) fn bitop(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let name = ctx.args.get(1);
    let (operation, least) = operation(name).ok_or(Error::SYNTAX)?;
    let sources = ctx.args.len() - 3;
    if operation == Operation::Not && sources != 1 {
        return Err(Error::fixed("ERR BITOP NOT must be called with a single source key."));
    }
    if sources < least {
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        return Err(Error::text(format!(
            "ERR BITOP {name} must be called with at least two source keys."
        )));
    }
    let mut strings: Vec<Vec<u8>> = Vec::with_capacity(sources);
    for i in 3..ctx.args.len() {
        let key = ctx.key(i);
        strings.push(match ctx.data.read(&key) {
            Some(entry) => text_of(entry)?.with_bytes(<[u8]>::to_vec),
            None => Vec::new(),
        });
    }
    let strings: Vec<&[u8]> = strings.iter().map(Vec::as_slice).collect();
    let result = bits::combine(operation, &strings);
    let key = ctx.key(2);
    let len = result.len();
    if len > 0 {
        ctx.data.set(&key, new_string(result), Ttl::Clear);
        ctx.notify(Classes::STRING, "set", &key);
    } else if ctx.data.remove(&key) {
        ctx.notify(Classes::GENERIC, "del", &key);
    }
    ctx.out.int(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn results_are_as_long_as_the_longest_source() {
        let mut h = Harness::new();
        h.run_bytes(0, &[b"SET", b"a", b"\x0f\xff"]);
        h.run_bytes(0, &[b"SET", b"b", b"\x3c"]);
        assert_eq!(h.line("BITOP AND d a b"), ":2\r\n");
        assert_eq!(h.run_bytes(0, &[b"GET", b"d"]), b"$2\r\n\x0c\x00\r\n");
        assert_eq!(h.line("BITOP DIFF d b a"), ":2\r\n");
        assert_eq!(h.run_bytes(0, &[b"GET", b"d"]), b"$2\r\n\x30\x00\r\n");
        assert_eq!(h.line("BITOP NOT d none"), ":0\r\n");
        assert_eq!(h.line("EXISTS d"), ":0\r\n");
        assert!(h.line("BITOP NOT d a b").contains("single source key"));
        assert!(h.line("BITOP ANDOR d a").contains("BITOP ANDOR must be called with at least two"));
        assert_eq!(h.line("BITOP NAND d a"), "-ERR syntax error\r\n");
        h.line("ZADD z 1 x");
        assert!(h.line("BITOP OR d a z").starts_with("-WRONGTYPE"));
    }
}
