//! Categories of commands, as access control names them, and the names of flags. Both in Redis's order, which clients
//! see in COMMAND INFO.

use super::{Flags, Group, Row};

const NAMES: &[(Flags, &str)] = &[
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::BLOCKING, "blocking"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::ASKING, "asking"),
    (Flags::FAST, "fast"),
    (Flags::NO_ASYNC_LOADING, "no_async_loading"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (Flags::MOVABLE_KEYS, "movablekeys"),
    (Flags::ALLOW_BUSY, "allow_busy"),
];

impl Flags {
    /// The names of those flags that clients are told of.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        NAMES.iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| *name)
    }
}

impl Group {
    /// The category of the group's commands.
    fn category(self) -> Option<&'static str> {
        match self {
            Self::String => Some("string"),
            Self::Generic => Some("keyspace"),
            Self::Connection => Some("connection"),
            Self::Transactions => Some("transaction"),
            Self::List => Some("list"),
            Self::Set => Some("set"),
            Self::Hash => Some("hash"),
            Self::SortedSet => Some("sortedset"),
            Self::Stream => Some("stream"),
            Self::Geo => Some("geo"),
            Self::Bitmap => Some("bitmap"),
            Self::Hyperloglog => Some("hyperloglog"),
            Self::Scripting => Some("scripting"),
            // By their flag, and not by their group.
            Self::Pubsub | Self::Server | Self::GenericData | Self::Cluster => None,
        }
    }
}

/// All categories, without their `@`.
pub(crate) const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

impl Row {
    /// The categories of the command, without their `@`.
    pub(crate) fn categories(&self) -> impl Iterator<Item = &'static str> + Clone {
        CATEGORIES.iter().copied().filter(|category| self.is_in(category))
    }

    fn is_in(&self, category: &str) -> bool {
        let of_group = self.group.category() == Some(category) && !self.is_container();
        of_group
            || self.extra_categories.contains(&category)
            || match category {
                "read" => self.has(Flags::READONLY),
                "write" => self.has(Flags::WRITE),
                "pubsub" => self.has(Flags::PUBSUB),
                "admin" => self.has(Flags::ADMIN),
                "dangerous" => self.flags.intersects(Flags::ADMIN | Flags::DANGEROUS),
                "fast" => self.has(Flags::FAST),
                "slow" => !self.has(Flags::FAST),
                "blocking" => self.has(Flags::BLOCKING),
                _ => false,
            }
    }

    /// Whether it is but a name for its subcommands.
    fn is_container(&self) -> bool {
        !self.subcommands.is_empty() && self.arity == -2
    }
}

#[cfg(test)]
mod tests {
    use crate::command::lookup;

    fn categories(name: &str) -> Vec<&'static str> {
        lookup(name.as_bytes()).expect("it exists").row.categories().collect()
    }

    #[test]
    fn categories_follow_from_flags_and_group() {
        assert_eq!(categories("get"), ["read", "string", "fast"]);
        assert_eq!(categories("del"), ["keyspace", "write", "slow"]);
        assert_eq!(categories("keys"), ["keyspace", "read", "slow", "dangerous"]);
        assert_eq!(categories("client"), ["slow"]);
        assert_eq!(categories("command"), ["slow", "connection"]);
        assert_eq!(categories("monitor"), ["admin", "slow", "dangerous"]);
        assert_eq!(categories("exec"), ["slow", "transaction"]);
    }
}
