//! Integers inside a string: BITFIELD and BITFIELD_RO.

use respire_datatypes::bits::{Field, Overflow};
use respire_datatypes::integer::parse_i64;
use respire_keyspace::Ttl;

use super::single::{grow, new_string};
use super::{BAD_OFFSET, offset};
use crate::ctx::{Ctx, text_of};
use crate::error::{Error, Outcome};
use crate::notify::Classes;

#[derive(Debug, Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Increase(i64),
}

/// One operation.
#[derive(Debug, Clone, Copy)]
struct Step {
    field: Field,
    offset: u64,
    action: Action,
    overflow: Overflow,
}

impl Step {
    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// Bytes that a string must have for it.
    fn needs(&self) -> usize {
        ((self.offset + u64::from(self.field.bits)).div_ceil(8)) as usize
    }

    /// Does it, and returns what is replied; `None` where the number does not fit.
    fn apply(&self, bytes: &mut [u8]) -> Option<i64> {
        let before = self.field.get(bytes, self.offset);
        match self.action {
            Action::Get => Some(before),
            Action::Set(value) => {
                // The bits of a negative number are a large one to a field without a sign.
                let value = match self.field.signed {
                    true => i128::from(value),
                    false => i128::from(value as u64),
                };
                let stored = self.fit(value)?;
                self.field.set(bytes, self.offset, stored);
                Some(before)
            }
            Action::Increase(by) => {
                let stored = self.fit(i128::from(before) + i128::from(by))?;
                self.field.set(bytes, self.offset, stored);
                Some(stored)
            }
        }
    }

    fn fit(&self, value: i128) -> Option<i64> {
        self.field.fit(value, self.overflow)
    }
}

fn parse(ctx: &Ctx<'_, '_>) -> Result<Vec<Step>, Error> {
    let args = ctx.args;
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut i = 2;
    while i < args.len() {
        let name = args.get(i).to_ascii_lowercase();
        let left = args.len() - i - 1;
        if name == b"overflow" && left >= 1 {
            overflow = match &args.get(i + 1).to_ascii_lowercase()[..] {
                b"wrap" => Overflow::Wrap,
                b"sat" => Overflow::Saturate,
                b"fail" => Overflow::Fail,
                _ => return Err(Error::fixed("ERR Invalid OVERFLOW type specified")),
            };
            i += 2;
            continue;
        }
        let operands = match &name[..] {
            b"get" => 2,
            b"set" | b"incrby" => 3,
            _ => return Err(Error::SYNTAX),
        };
        if left < operands {
            return Err(Error::SYNTAX);
        }
        let field = Field::parse(args.get(i + 1)).ok_or(Error::fixed(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
        let offset = place(ctx, i + 2, field)?;
        let action = match &name[..] {
            b"get" => Action::Get,
            _ => {
                let number = parse_i64(args.get(i + 3)).ok_or(Error::NOT_INTEGER)?;
                if name == b"set" { Action::Set(number) } else { Action::Increase(number) }
            }
        };
        steps.push(Step { field, offset, action, overflow });
        i += operands + 1;
    }
    Ok(steps)
}

/// Argument `i` as a bit's number; behind `#`, as the number of a field.
fn place(ctx: &Ctx<'_, '_>, i: usize, field: Field) -> Result<u64, Error> {
    let text = ctx.args.get(i);
    let number = match text.strip_prefix(b"#") {
        Some(number) => parse_i64(number)
            .map(|number| number.checked_mul(i64::from(field.bits)).ok_or(BAD_OFFSET))
            .transpose()?,
        None => parse_i64(text),
    };
    offset(ctx, number)
}

pub(super) fn bitfield(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let steps = parse(ctx)?;
    let writes = steps.iter().filter(|step| step.writes());
    match writes.map(Step::needs).max() {
        Some(needed) => write(ctx, &steps, needed),
        None => read(ctx, &steps),
    }
}

pub(super) fn bitfield_ro(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let steps = parse(ctx)?;
    if steps.iter().any(Step::writes) {
        return Err(Error::fixed("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(ctx, &steps)
}

fn read(ctx: &mut Ctx<'_, '_>, steps: &[Step]) -> Outcome {
    let key = ctx.key(1);
    let answer = |bytes: &[u8]| -> Vec<i64> {
        steps.iter().map(|step| step.field.get(bytes, step.offset)).collect()
    };
    let numbers = match ctx.data.read(&key) {
        Some(entry) => text_of(entry)?.with_bytes(answer),
        None => answer(b""),
    };
    ctx.out.array(numbers.len());
    numbers.into_iter().for_each(|number| ctx.out.int(number));
    Ok(())
}

fn write(ctx: &mut Ctx<'_, '_>, steps: &[Step], needed: usize) -> Outcome {
    let key = ctx.key(1);
    let mut replies = Vec::with_capacity(steps.len());
    // A step that takes back what one before it did is a change, too; a string that was made only to find that its field
    // would overflow is none.
    let mut changes = 0;
    let mut apply = |bytes: &mut Vec<u8>| {
        let grows = bytes.len() < needed;
        grow(bytes, needed);
        for step in steps {
            let before = step.field.get(bytes, step.offset);
            let reply = step.apply(bytes);
            let writes = step.writes() && reply.is_some();
            let changed = writes && (grows || step.field.get(bytes, step.offset) != before);
            changes += usize::from(changed);
            replies.push(reply);
        }
        grows
    };
    match ctx.data.write(&key) {
        Some(mut entry) => {
            let mut bytes = text_of(entry.get())?.with_bytes(<[u8]>::to_vec);
            let grows = apply(&mut bytes);
            if changes > 0 || grows {
                entry.modify(|old| *old = bytes);
                ctx.weigh(&key, changes);
            }
        }
        None => {
            let mut bytes = Vec::new();
            apply(&mut bytes);
            ctx.data.insert(&key, new_string(bytes), Ttl::Clear);
            ctx.weigh(&key, changes);
        }
    }
    if changes > 0 {
        ctx.notify(Classes::STRING, "setbit", &key);
    }
    ctx.out.array(replies.len());
    for reply in replies {
        match reply {
            Some(number) => ctx.out.int(number),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn a_change_that_is_taken_back_is_told() {
        let mut h = Harness::new();
        h.line("SET k abc");
        let before = h.changes();
        assert_eq!(h.line("BITFIELD k SET u8 0 97"), "*1\r\n:97\r\n");
        assert_eq!(h.changes(), before, "it was 97 already");
        assert_eq!(h.line("BITFIELD k INCRBY u8 0 1 SET u8 0 97"), "*2\r\n:98\r\n:98\r\n");
        assert_eq!(h.changes(), before + 1);
        assert_eq!(h.line("BITFIELD k OVERFLOW FAIL INCRBY u8 0 200"), "*1\r\n$-1\r\n");
        assert_eq!(h.changes(), before + 1);
    }

    #[test]
    fn steps_see_what_those_before_them_did() {
        let mut h = Harness::new();
        assert_eq!(
            h.line(
                "BITFIELD k SET u8 #0 200 INCRBY u8 0 100 GET u8 0 OVERFLOW SAT INCRBY i8 #1 200"
            ),
            "*4\r\n:0\r\n:44\r\n:44\r\n:127\r\n"
        );
        assert_eq!(
            h.line("BITFIELD k OVERFLOW FAIL INCRBY u2 100 4 GET u4 4"),
            "*2\r\n$-1\r\n:12\r\n"
        );
        assert_eq!(h.line("STRLEN k"), ":13\r\n");
        h.line("BITFIELD k OVERFLOW SAT SET u8 0 -1 OVERFLOW WRAP SET u8 8 -2");
        assert_eq!(h.line("BITFIELD k GET u8 0 GET u8 8"), "*2\r\n:255\r\n:254\r\n");
        h.line("SETBIT k 2 1");
        h.line("BITFIELD k SET u8 0 44");
        assert_eq!(h.line("BITFIELD none GET i64 5"), "*1\r\n:0\r\n");
        assert_eq!(h.line("EXISTS none"), ":0\r\n");
        assert_eq!(h.line("BITFIELD_RO k GET u8 0"), "*1\r\n:44\r\n");
        assert!(h.line("BITFIELD_RO k SET u8 0 1").contains("only supports the GET subcommand"));
        assert!(h.line("BITFIELD k GET u64 0").contains("Invalid bitfield type"));
        assert!(h.line("BITFIELD k GET u8 -1").contains("bit offset is not an integer"));
        assert_eq!(h.line("BITFIELD k GET u8"), "-ERR syntax error\r\n");
        assert_eq!(h.line("BITFIELD k"), "*0\r\n");
    }
}
