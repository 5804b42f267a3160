//! What a call does to each of its keys: the one place where the flags of key specifications become permissions. COMMAND
//! GETKEYSANDFLAGS answers from it as well.

use bitflags::bitflags;
use respire_resp::Args;

use crate::command::{KeySpec, Row};

bitflags! {
    /// What may be done to a key. Nothing at all is what commands ask for that only look whether there is one.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Permission: u8 {
        const READ = 1;
        const WRITE = 2;
    }
}

impl Permission {
    /// What the flags of a key specification ask for: the value read, or changed.
    fn asked_by(flags: &str) -> Self {
        flags.split(' ').fold(Self::empty(), |all, flag| match flag {
            "access" => all | Self::READ,
            "insert" | "delete" | "update" => all | Self::WRITE,
            _ => all,
        })
    }
}

/// The flags of a specification in a call: those of SET and BITFIELD depend on the other arguments.
pub(crate) fn flags_in_call(row: &Row, spec: &KeySpec, args: &Args<'_>) -> &'static str {
    let has = |word: &[u8], from| args.iter_from(from).any(|arg| arg.eq_ignore_ascii_case(word));
    match spec.flags.strip_suffix(" variable_flags") {
        None => spec.flags,
        Some(_) if row.name == "bitfield" => {
            if has(b"SET", 2) || has(b"INCRBY", 2) {
                "RW access update"
            } else {
                "RO access"
            }
        }
        // SET reads where it is asked to GET.
        Some(most) if has(b"GET", 3) => most,
        Some(_) => "OW update",
    }
}

/// The positions of a call's keys, with what the call needs to be allowed to do to each.
pub(super) fn keys_of_call(
    row: &Row,
    args: &Args<'_>,
) -> impl Iterator<Item = (usize, Permission)> {
    let specs = row.keys.iter().filter(|spec| spec.flags != "not_key");
    specs.flat_map(move |spec| {
        let permission = Permission::asked_by(flags_in_call(row, spec, args));
        spec.positions(args).map(move |position| (position, permission))
    })
}
