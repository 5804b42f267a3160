//! SLOWLOG: the log of slow commands.

use respire_datatypes::integer::parse_i64;

use crate::command::{Flags, Group, Row};
use crate::commands::reply_help;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

const ADMIN: Flags = Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE);

pub(crate) const ROWS: &[Row] = &[Row::container(
    "slowlog",
    &[
        Row::new("get", -2, get)
            .flags(ADMIN)
            .tips(&["request_policy:all_nodes", "nondeterministic_output"])
            .docs(
                Group::Server,
                "2.2.12",
                "O(N), where N is the number of entries",
                "Returns the newest entries of the slow log.",
                "[count]",
            ),
        Row::new("help", 2, help).flags(Flags::LOADING.union(Flags::STALE)).docs(
            Group::Server,
            "6.2.0",
            "O(1)",
            "Explains the subcommands.",
            "",
        ),
        Row::new("len", 2, len)
            .flags(ADMIN)
            .tips(&[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ])
            .docs(Group::Server, "2.2.12", "O(1)", "Counts the entries of the slow log.", ""),
        Row::new("reset", 2, reset)
            .flags(ADMIN)
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .docs(Group::Server, "2.2.12", "O(N) with the entries", "Empties the slow log.", ""),
    ],
)
.docs(Group::Server, "2.2.12", "Depends on the subcommand", "Shows which commands were slow.", "")];

fn get(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() > 3 {
        return Err(Error::subcommand_syntax("slowlog", ctx.args.get(1)));
    }
    let count = match ctx.args.try_get(2) {
        None => 10,
        Some(count) => parse_i64(count)
            .filter(|count| *count >= -1)
            .ok_or(Error::fixed("ERR count should be greater than or equal to -1"))?,
    };
    let entries = ctx.engine.slowlog.newest(usize::try_from(count).unwrap_or(usize::MAX));
    ctx.out.array(entries.len());
    for entry in entries {
        ctx.out.array(6);
        ctx.out.int(entry.id as i64);
        ctx.out.int(entry.time);
        ctx.out.int(entry.micros as i64);
        ctx.out.array(entry.args.len());
        entry.args.iter().for_each(|arg| ctx.out.bulk(arg));
        ctx.out.bulk(entry.addr.as_bytes());
        ctx.out.bulk(&entry.name);
    }
    Ok(())
}

fn len(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.int(ctx.engine.slowlog.len() as i64);
    Ok(())
}

fn reset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.engine.slowlog.reset();
    ctx.out.ok();
    Ok(())
}

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "GET [<count>]",
            "    Show the newest entries: 10 unless told, all for -1. Each has its number, its",
            "    time, how many microseconds the command took, its arguments, and the client's",
            "    address and name.",
            "LEN",
            "    Count the entries.",
            "RESET",
            "    Forget all entries.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn entries_come_newest_first_and_can_be_forgotten() {
        let mut h = Harness::new();
        assert_eq!(h.line("SLOWLOG GET"), "*0\r\n");
        h.line("CONFIG SET slowlog-log-slower-than 0");
        h.line("SLOWLOG RESET");
        h.line("SET k v");
        h.line("CONFIG SET requirepass secret");
        assert_eq!(h.line("SLOWLOG LEN"), ":3\r\n");
        let newest = h.line("SLOWLOG GET 2");
        assert!(newest.starts_with("*2\r\n*6\r\n"), "{newest}");
        let entries = h.line("SLOWLOG GET -1");
        assert!(
            entries.contains(
                "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$15\r\n127.0.0.1:50000\r\n$0\r\n"
            ),
            "{entries}"
        );
        assert!(entries.contains("requirepass\r\n$10\r\n(redacted)\r\n"), "{entries}");
        for wrong in ["SLOWLOG GET x", "SLOWLOG GET -2"] {
            assert_eq!(h.line(wrong), "-ERR count should be greater than or equal to -1\r\n");
        }
        h.line("CONFIG SET slowlog-log-slower-than -1");
        h.line("SLOWLOG RESET");
        assert_eq!(h.line("SLOWLOG LEN"), ":0\r\n");
    }
}
