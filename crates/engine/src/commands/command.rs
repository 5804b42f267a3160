//! COMMAND: what the rows of all commands say, in Redis's form.

use respire_datatypes::glob;
use respire_resp::Out;

use super::reply_help;
use crate::acl::keys::flags_in_call;
use crate::command::docs::{Argument, Kind, arguments};
use crate::command::{Command, Flags, Group, Handler, KeySpec, Place, Row, registry};
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

const FLAGS: Flags = Flags::LOADING.union(Flags::STALE);

/// A row of this group.
const fn row(
    name: &'static str,
    arity: i32,
    handler: Handler,
    since: &'static str,
    complexity: &'static str,
    text: [&'static str; 2],
) -> Row {
    Row::new(name, arity, handler).flags(FLAGS).extra_categories(&["connection"]).docs(
        Group::Server,
        since,
        complexity,
        text[0],
        text[1],
    )
}

const ALL: &str = "O(N), where N is the number of commands";
const NAMED: &str = "O(N), where N is the number of commands asked for";
const KEYS: &str = "O(N), where N is the number of arguments";
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

pub(crate) const ROWS: &[Row] =
    &[row("command", -1, all, "2.8.13", ALL, ["Describes all commands.", ""])
        .subcommands(SUBCOMMANDS)
        .tips(ANY_ORDER)];

const SUBCOMMANDS: &[Row] = &[
    row("count", 2, count, "2.8.13", "O(1)", ["Counts the commands.", ""]),
    row(
        "docs",
        -2,
        docs,
        "7.0.0",
        NAMED,
        ["Returns the documentation of commands.", "[command-name ...]"],
    )
    .tips(ANY_ORDER),
    row(
        "getkeys",
        -3,
        getkeys,
        "2.8.13",
        KEYS,
        ["Returns the keys of a call.", "command [arg ...]"],
    ),
    row(
        "getkeysandflags",
        -3,
        getkeys_and_flags,
        "7.0.0",
        KEYS,
        ["Returns the keys of a call, with what it does to each.", "command [arg ...]"],
    ),
    row("help", 2, help, "5.0.0", "O(1)", ["Describes the subcommands.", ""]),
    row("info", -2, info, "2.8.13", NAMED, ["Describes commands.", "[command-name ...]"])
        .tips(ANY_ORDER),
    row(
        "list",
        -2,
        list,
        "7.0.0",
        ALL,
        [
            "Returns the names of commands.",
            "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        ],
    )
    .tips(ANY_ORDER),
];

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "(no subcommand)",
            "    Describe all commands.",
            "COUNT",
            "    The number of commands.",
            "DOCS [<command-name> ...]",
            "    The documentation of the named commands, or of all.",
            "GETKEYS <full-command>",
            "    The keys of a call.",
            "GETKEYSANDFLAGS <full-command>",
            "    The keys of a call, with what it does to each.",
            "INFO [<command-name> ...]",
            "    Describe the named commands, or all.",
            "LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
            "    The names of all commands, or of those that fit.",
        ],
    );
    Ok(())
}

fn all(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.array(registry().top_level().count());
    for command in registry().top_level() {
        describe(ctx.out, command);
    }
    Ok(())
}

fn count(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.int(registry().top_level().count() as i64);
    Ok(())
}

fn info(ctx: &mut Ctx<'_, '_>) -> Outcome {
    if ctx.args.len() == 2 {
        return all(ctx);
    }
    ctx.out.array(ctx.args.len() - 2);
    for name in ctx.args.iter_from(2) {
        match registry().find_full(name) {
            Some(command) => describe(ctx.out, command),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

fn list(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let args = ctx.args;
    let fits: Box<dyn Fn(&Command) -> bool> = match args.len() {
        2 => Box::new(|_| true),
        5 if args.get(2).eq_ignore_ascii_case(b"filterby") => {
            let value = args.get(4);
            match &args.get(3).to_ascii_lowercase()[..] {
                // There are no modules.
                b"module" => Box::new(|_| false),
                b"aclcat" => Box::new(|command| {
                    let mut categories = command.row.categories();
                    categories.any(|name| name.as_bytes().eq_ignore_ascii_case(value))
                }),
                b"pattern" => {
                    Box::new(|command| glob::matches(value, command.full_name.as_bytes(), true))
                }
                _ => return Err(Error::SYNTAX),
            }
        }
        _ => return Err(Error::SYNTAX),
    };
    let found: Vec<&Command> = registry().all().iter().filter(|command| fits(command)).collect();
    ctx.out.array(found.len());
    for command in found {
        ctx.out.bulk(command.full_name.as_bytes());
    }
    Ok(())
}

fn getkeys(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keys = keys_of_call(ctx)?;
    ctx.out.array(keys.len());
    for (key, _) in keys {
        ctx.out.bulk(key);
    }
    Ok(())
}

fn getkeys_and_flags(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let keys = keys_of_call(ctx)?;
    ctx.out.array(keys.len());
    for (key, flags) in keys {
        ctx.out.array(2);
        ctx.out.bulk(key);
        reply_set(ctx.out, flags.split_ascii_whitespace());
    }
    Ok(())
}

/// The keys of the call in the arguments, with the flags of each.
fn keys_of_call<'a>(ctx: &Ctx<'a, '_>) -> Result<Vec<(&'a [u8], &'static str)>, Error> {
    let call = ctx.args.skip(2);
    let command = registry().called(&call).ok_or(Error::fixed("ERR Invalid command specified"))?;
    let row = command.row;
    if row.keys.is_empty() {
        return Err(Error::fixed("ERR The command has no key arguments"));
    }
    if !command.takes(call.len()) {
        return Err(Error::fixed("ERR Invalid number of arguments specified for command"));
    }
    let mut keys = Vec::new();
    for spec in row.keys {
        let flags = flags_in_call(row, spec, &call);
        let before = keys.len();
        keys.extend(spec.positions(&call).map(|at| (call.get(at), flags)));
        // A command that must have keys there and has none was called with nonsense.
        let needed = matches!(spec.place, Place::Counted { .. } | Place::HalfBehind { .. })
            && !row.has(Flags::NO_MANDATORY_KEYS);
        if needed && keys.len() == before {
            return Err(Error::fixed("ERR Invalid arguments specified for command"));
        }
    }
    Ok(keys)
}

/// A set of simple strings.
fn reply_set(out: &mut Out, names: impl Iterator<Item = &'static str> + Clone) {
    out.set(names.clone().count());
    names.for_each(|name| out.simple(name));
}

/// The row of COMMAND INFO.
fn describe(out: &mut Out, command: &Command) {
    let row = command.row;
    out.array(10);
    out.bulk(command.full_name.as_bytes());
    out.int(row.arity.into());
    reply_set(out, row.flags.names());
    let (first, last, step) = key_range(row.keys);
    out.int(first);
    out.int(last);
    out.int(step);
    out.set(row.categories().count());
    for category in row.categories() {
        out.simple(&format!("@{category}"));
    }
    out.set(row.tips.len());
    row.tips.iter().for_each(|tip| out.bulk(tip.as_bytes()));
    out.set(row.keys.len());
    row.keys.iter().for_each(|spec| describe_keys(out, spec));
    out.set(command.subcommands.len());
    for id in &command.subcommands {
        describe(out, registry().get(*id));
    }
}

/// First key, last key and step: the older way to tell where the keys are, as far as it can.
fn key_range(specs: &[KeySpec]) -> (i64, i64, i64) {
    let mut ranges = specs.iter().filter_map(|spec| match spec.place {
        Place::Range { first, last, step } => Some((first.into(), last.into(), step.into())),
        _ => None,
    });
    let Some(range @ (first, _, step)) = ranges.next() else { return (0, 0, 0) };
    ranges.next_back().map_or(range, |(_, last, _)| (first, last, step))
}

fn describe_keys(out: &mut Out, spec: &KeySpec) {
    out.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        reply_fields(out, &[("notes", spec.notes)]);
    }
    out.bulk(b"flags");
    reply_set(out, spec.flags.split_ascii_whitespace());
    out.bulk(b"begin_search");
    match spec.place {
        Place::Range { first, .. } => search(out, "index", &[("index", first.into())]),
        Place::Counted { number } => search(out, "index", &[("index", number.into())]),
        Place::Behind { word, from } | Place::HalfBehind { word, from } => {
            search_head(out, "keyword", 2);
            reply_fields(out, &[("keyword", word)]);
            out.bulk(b"startfrom");
            out.int(from.into());
        }
        Place::Unknown => search(out, "unknown", &[]),
    }
    out.bulk(b"find_keys");
    let range = |out: &mut Out, last: i64, step: i64, limit| {
        search(out, "range", &[("lastkey", last), ("keystep", step), ("limit", limit)]);
    };
    match spec.place {
        // From the first key on, unless it is counted from the end.
        Place::Range { first, last, step } if last >= 0 => {
            range(out, i64::from(last) - i64::from(first), step.into(), 0);
        }
        Place::Range { last, step, .. } => range(out, last.into(), step.into(), 0),
        Place::Counted { .. } => {
            search(out, "keynum", &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]);
        }
        Place::Behind { .. } => range(out, 0, 1, 0),
        Place::HalfBehind { .. } => range(out, -1, 1, 2),
        Place::Unknown => search(out, "unknown", &[]),
    }
}

fn search_head(out: &mut Out, kind: &str, fields: usize) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(fields);
}

fn search(out: &mut Out, kind: &str, spec: &[(&str, i64)]) {
    search_head(out, kind, spec.len());
    for (name, value) in spec {
        out.bulk(name.as_bytes());
        out.int(*value);
    }
}

fn docs(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let commands: Vec<&Command> = if ctx.args.len() == 2 {
        registry().top_level().collect()
    } else {
        ctx.args.iter_from(2).filter_map(|name| registry().find_full(name)).collect()
    };
    ctx.out.map(commands.len());
    for command in commands {
        document(ctx.out, command);
    }
    Ok(())
}

/// The name and the documentation of a command.
fn document(out: &mut Out, command: &Command) {
    let row = command.row;
    // A unit test sees to it that every syntax is understood.
    let arguments = arguments(row).unwrap_or_default();
    out.bulk(command.full_name.as_bytes());
    let fields = [
        ("summary", row.summary),
        ("since", row.since),
        ("group", row.group.name()),
        ("complexity", row.complexity),
    ];
    let more = usize::from(!arguments.is_empty()) + usize::from(!command.subcommands.is_empty());
    out.map(fields.len() + more);
    reply_fields(out, &fields);
    if !arguments.is_empty() {
        out.bulk(b"arguments");
        document_arguments(out, &arguments);
    }
    if !command.subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(command.subcommands.len());
        for id in &command.subcommands {
            document(out, registry().get(*id));
        }
    }
}

fn reply_fields(out: &mut Out, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
}

fn document_arguments(out: &mut Out, arguments: &[Argument]) {
    out.array(arguments.len());
    for argument in arguments {
        document_argument(out, argument);
    }
}

fn document_argument(out: &mut Out, argument: &Argument) {
    let is_group = matches!(argument.kind, Kind::OneOf | Kind::Block);
    let flags = argument.flags();
    let mut fields = vec![("name", &argument.name[..]), ("type", argument.kind.name())];
    if !is_group {
        fields.push(("display_text", &argument.name));
    }
    let more = [argument.key_spec.is_some(), argument.token.is_some(), !flags.is_empty(), is_group];
    out.map(fields.len() + more.iter().filter(|more| **more).count());
    reply_fields(out, &fields);
    if let Some(index) = argument.key_spec {
        out.bulk(b"key_spec_index");
        out.int(index as i64);
    }
    if let Some(token) = argument.token {
        reply_fields(out, &[("token", token)]);
    }
    if !flags.is_empty() {
        out.bulk(b"flags");
        reply_set(out, flags.iter().copied());
    }
    if is_group {
        out.bulk(b"arguments");
        document_arguments(out, &argument.arguments);
    }
}

#[cfg(test)]
mod tests {
    use crate::command::registry;
    use crate::harness::Harness;

    #[test]
    fn info_has_redis_form() {
        let mut h = Harness::new();
        assert_eq!(
            h.line("COMMAND INFO Get nosuch"),
            "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n+@string\r\n\
             +@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\n\
             type\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\n\
             range\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n$-1\r\n"
        );
        let reply = h.line("COMMAND INFO copy lcs mset client|id client|nosuch");
        assert!(
            reply.contains("$4\r\ncopy\r\n:-3\r\n*2\r\n+write\r\n+denyoom\r\n:1\r\n:2\r\n:1\r\n")
        );
        assert!(reply.contains("$3\r\nlcs\r\n:-3\r\n*1\r\n+readonly\r\n:1\r\n:2\r\n:1\r\n"));
        assert!(
            reply.contains("$4\r\nmset\r\n:-3\r\n*2\r\n+write\r\n+denyoom\r\n:1\r\n:-1\r\n:2\r\n")
        );
        assert!(reply.contains("$9\r\nclient|id\r\n:2\r\n"));
        assert!(reply.ends_with("$-1\r\n"));
    }

    #[test]
    fn command_lists_everything_with_its_subcommands() {
        let mut h = Harness::new();
        let count = registry().top_level().count();
        assert_eq!(h.line("COMMAND COUNT"), format!(":{count}\r\n"));
        let all = h.line("COMMAND");
        assert!(all.starts_with(&format!("*{count}\r\n*10\r\n")));
        assert!(all.contains("$11\r\nclient|kill\r\n"));
        assert_eq!(h.line("COMMAND INFO"), all);
        let names = h.line("COMMAND LIST");
        assert!(names.starts_with(&format!("*{}\r\n", registry().all().len())));
    }

    #[test]
    fn lists_are_filtered() {
        let mut h = Harness::new();
        assert_eq!(
            h.line("COMMAND LIST FILTERBY PATTERN CLIENT|K*"),
            "*1\r\n$11\r\nclient|kill\r\n"
        );
        assert_eq!(h.line("COMMAND LIST FILTERBY MODULE m"), "*0\r\n");
        assert_eq!(h.line("COMMAND LIST FILTERBY ACLCAT nosuch"), "*0\r\n");
        let transactions = h.line("COMMAND LIST FILTERBY ACLCAT transaction");
        assert!(transactions.starts_with("*5\r\n") && transactions.contains("unwatch"));
        for wrong in ["x", "FILTERBY", "FILTERBY x y", "FILTERBY PATTERN", "FILTERBY PATTERN a b"] {
            assert_eq!(h.line(&format!("COMMAND LIST {wrong}")), "-ERR syntax error\r\n");
        }
    }

    #[test]
    fn keys_of_a_call_are_found() {
        let mut h = Harness::new();
        assert_eq!(h.line("COMMAND GETKEYS MSET a 1 b 2"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
        assert_eq!(h.line("COMMAND GETKEYS EVAL x 0"), "*0\r\n");
        assert_eq!(h.line("COMMAND GETKEYS OBJECT ENCODING k"), "*1\r\n$1\r\nk\r\n");
        assert!(
            h.line("COMMAND GETKEYSANDFLAGS ZINTERSTORE d 1443677133621497600 a")
                .starts_with("-ERR Invalid arguments")
        );
        assert_eq!(
            h.line("COMMAND GETKEYSANDFLAGS SET a b"),
            "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+OW\r\n+update\r\n"
        );
        assert_eq!(
            h.line("COMMAND GETKEYSANDFLAGS SET a b EX 5 get"),
            "*1\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+update\r\n"
        );
        let refused = [
            ("PING", "The command has no key arguments"),
            ("CLIENT ID", "The command has no key arguments"),
            ("NOSUCH", "Invalid command specified"),
            ("OBJECT NOSUCH k", "Invalid command specified"),
            ("GET", "Invalid number of arguments specified for command"),
            ("GET a b", "Invalid number of arguments specified for command"),
        ];
        for (call, error) in refused {
            assert_eq!(h.line(&format!("COMMAND GETKEYS {call}")), format!("-ERR {error}\r\n"));
        }
    }

    #[test]
    fn docs_are_maps_that_nest() {
        let mut h = Harness::new();
        h.line("HELLO 3");
        let reply = h.line("COMMAND DOCS nosuch mget client|id");
        assert!(reply.starts_with("%2\r\n$4\r\nmget\r\n%5\r\n$7\r\nsummary\r\n"), "{reply}");
        assert!(reply.contains(
            "$9\r\narguments\r\n*1\r\n%5\r\n$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n\
             $12\r\ndisplay_text\r\n$3\r\nkey\r\n$14\r\nkey_spec_index\r\n:0\r\n\
             $5\r\nflags\r\n~1\r\n+multiple\r\n$9\r\nclient|id\r\n%4\r\n"
        ));
        let reply = h.line("COMMAND DOCS object");
        let subcommands = "$11\r\nsubcommands\r\n%5\r\n$15\r\nobject|encoding\r\n";
        assert!(reply.contains(subcommands), "{reply}");
        assert!(h.line("COMMAND DOCS").len() > 10_000);
    }
}
