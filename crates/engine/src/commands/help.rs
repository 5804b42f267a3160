//! The replies of HELP subcommands: lines of text as simple strings.

use crate::ctx::Ctx;
use crate::error::Outcome;

/// Answers the help of `container`: each of `entries` is a subcommand with its arguments, and the lines that explain it.
pub(crate) fn reply(
    ctx: &mut Ctx<'_, '_>,
    container: &str,
    entries: &[(&str, &[&str])],
) -> Outcome {
    let lines: usize = entries.iter().map(|(_, text)| 1 + text.len()).sum();
    ctx.out.array(lines + 3);
    let usage = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    ctx.out.simple(&usage);
    for (subcommand, text) in entries {
        ctx.out.simple(subcommand);
        for line in *text {
            ctx.out.simple(&format!("    {line}"));
        }
    }
    ctx.out.simple("HELP");
    ctx.out.simple("    Prints this help.");
    Ok(())
}
