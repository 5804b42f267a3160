//! Commands under other names than their own, as `rename-command` has it.

use std::collections::HashMap;

use super::{Command, lookup};
use crate::config::Rename;

/// What names stand for where that differs from the table of commands. Empty nearly always, and then never consulted.
#[derive(Debug, Default)]
pub struct Renames {
    /// By name in lower case; `None` for a name that stands for nothing any more.
    names: HashMap<Vec<u8>, Option<&'static Command>>,
}

impl Renames {
    /// The outcome of renames that [`Self::apply`] accepts one after the other; others are passed over.
    pub fn new(renames: &[Rename]) -> Self {
        let mut this = Self::default();
        for rename in renames {
            // Refused when the configuration was read.
            let _ = this.apply(rename);
        }
        this
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The command that a name stands for, in any case.
    pub fn find(&self, name: &[u8]) -> Option<&'static Command> {
        match self.names.get(name.to_ascii_lowercase().as_slice()) {
            Some(command) => *command,
            None => lookup(name),
        }
    }

    /// Takes a command's name away and gives it another, unless that is empty. The error is the reason.
    pub(crate) fn apply(&mut self, rename: &Rename) -> Result<(), &'static str> {
        let command =
            self.find(rename.from.as_bytes()).ok_or("No such command in rename-command")?;
        let to = rename.to.to_ascii_lowercase().into_bytes();
        let from = rename.from.to_ascii_lowercase().into_bytes();
        if !to.is_empty() && to != from && self.find(&to).is_some() {
            return Err("Target command name already exists");
        }
        self.names.insert(from, None);
        if !to.is_empty() {
            self.names.insert(to, Some(command));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Harness;

    fn rename(from: &str, to: &str) -> Rename {
        Rename { from: from.into(), to: to.into() }
    }

    #[test]
    fn a_command_is_called_by_its_new_name_only() {
        let mut h = Harness::with_settings(|settings| {
            settings.rename_command =
                vec![rename("SET", "put"), rename("put", "Store"), rename("config", "")];
        });
        assert_eq!(h.line("STORE k v"), "+OK\r\n");
        assert_eq!(h.line("GET k"), "$1\r\nv\r\n");
        for gone in ["SET k v", "PUT k v", "CONFIG GET hz"] {
            assert!(h.line(gone).starts_with("-ERR unknown command"), "{gone}");
        }
        assert!(h.line("INFO commandstats").contains("cmdstat_set:calls=1,"));
    }

    #[test]
    fn names_must_exist_and_be_free() {
        let mut renames = Renames::default();
        assert_eq!(renames.apply(&rename("nosuch", "x")), Err("No such command in rename-command"));
        assert_eq!(renames.apply(&rename("get", "SET")), Err("Target command name already exists"));
        assert_eq!(renames.apply(&rename("set", "")), Ok(()));
        assert_eq!(renames.apply(&rename("get", "SET")), Ok(()));
        assert_eq!(renames.find(b"Set").map(|command| command.full_name), Some("get"));
        assert!(renames.find(b"get").is_none());
    }
}
