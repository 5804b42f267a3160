//! MODULE: there are no modules, and none can be loaded.

use crate::command::{Flags, Group, Row};
use crate::commands::reply_help;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);
/// `enable-module-command` says who may try.
const LOADED: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING).union(Flags::PROTECTED);

pub(crate) const ROWS: &[Row] = &[Row::container(
    "module",
    &[
        Row::new("help", 2, help).flags(Flags::LOADING.union(Flags::STALE)).docs(
            Group::Server,
            "5.0.0",
            "O(1)",
            "Describes the subcommands.",
            "",
        ),
        Row::new("list", 2, list).flags(ADMIN).tips(&["nondeterministic_output_order"]).docs(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Lists the modules: there are none.",
            "",
        ),
        Row::new("load", -3, load).flags(LOADED).docs(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Would load a module; there are none for this server.",
            "path [arg ...]",
        ),
        Row::new("loadex", -3, load).flags(LOADED).docs(
            Group::Server,
            "7.0.0",
            "O(1)",
            "Would load a module; there are none for this server.",
            "path [CONFIG name value [name value ...]] [ARGS arg [arg ...]]",
        ),
        Row::new("unload", 3, unload).flags(LOADED).docs(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Would unload a module; there are none.",
            "name",
        ),
    ],
)
.docs(
    Group::Server,
    "4.0.0",
    "Depends on the subcommand",
    "Container of the commands about modules.",
    "",
)];

fn list(ctx: &mut Ctx<'_, '_>) -> Outcome {
    ctx.out.array(0);
    Ok(())
}

fn load(_: &mut Ctx<'_, '_>) -> Outcome {
    log::warn!("MODULE LOAD is refused: Respire has no modules");
    Err(Error::fixed("ERR Error loading the extension. Please check the server logs."))
}

fn unload(_: &mut Ctx<'_, '_>) -> Outcome {
    Err(Error::fixed("ERR Error unloading module: no such module with that name"))
}

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(ctx, &["LIST", "    List the modules: there are none."]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::parse_file;
    use crate::harness::Harness;

    #[test]
    fn there_are_no_modules() {
        let mut h = Harness::new();
        assert_eq!(h.line("MODULE LIST"), "*0\r\n");
        assert!(h.line("MODULE LOAD /x.so").starts_with("-ERR MODULE command not allowed."));
        h.line("MULTI");
        assert!(h.line("MODULE UNLOAD x").starts_with("-ERR MODULE command not allowed."));
        h.line("DISCARD");
        let mut h = Harness::with_settings(|settings| {
            let text = "enable-module-command local";
            parse_file(text, "a file", settings, &mut |_| Ok(Vec::new())).expect("a directive");
        });
        assert!(h.line("MODULE LOAD /x.so").starts_with("-ERR Error loading the extension."));
        assert!(h.line("MODULE UNLOAD x").contains("no such module with that name"));
    }
}
