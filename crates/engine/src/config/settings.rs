//! The settings that act: one typed field for each directive that has an effect, and the texts of those that are
//! only remembered. Fields are always within the ranges of their directives.

use std::collections::{BTreeMap, BTreeSet};

use super::special::fill_title;
use crate::client::ClientKind;
use crate::notify::Classes;

const MB: u64 = 1024 * 1024;

/// Declares an enumeration with the names that its directive accepts and prints.
macro_rules! choices {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($variant),+ }

        impl $name {
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The inverse of `name`, for exactly the texts of `NAMES`.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

choices! {
    /// How much the log says.
    LogLevel { Debug = "debug", Verbose = "verbose", Notice = "notice", Warning = "warning" }
}

choices! {
    /// What new users, and new selectors, may listen to.
    AclPubsubDefault { AllChannels = "allchannels", ResetChannels = "resetchannels" }
}

choices! {
    /// What is evicted, and so whether entries keep LRU or LFU access data.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        NoEviction = "noeviction",
    }
}

impl MaxmemoryPolicy {
    /// Whether entries count accesses instead of stamping the time of the last one.
    pub fn is_lru(self) -> bool {
        matches!(self, Self::VolatileLru | Self::AllkeysLru)
    }

    pub fn is_lfu(self) -> bool {
        matches!(self, Self::VolatileLfu | Self::AllkeysLfu)
    }

    /// Whether only keys that expire are evicted.
    pub fn is_volatile(self) -> bool {
        use MaxmemoryPolicy::{VolatileLfu, VolatileLru, VolatileRandom, VolatileTtl};
        matches!(self, VolatileLru | VolatileLfu | VolatileRandom | VolatileTtl)
    }
}

choices! {
    /// Who may use a guarded command or directive.
    Permission { No = "no", Yes = "yes", Local = "local" }
}

impl Permission {
    pub fn allows(self, client_is_local: bool) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Local => client_is_local,
        }
    }
}

/// When a client that reads too slowly is closed. Zero switches a limit off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which the client is closed at once.
    pub hard: u64,
    /// Bytes at which it is closed once it stayed above them for `soft_seconds`.
    pub soft: u64,
    pub soft_seconds: u64,
}

impl OutputLimit {
    pub const NONE: Self = Self { hard: 0, soft: 0, soft_seconds: 0 };
}

/// `client-output-buffer-limit`, by class of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    /// Replies up to this size are free, as they are in Redis, which has a buffer of this size for them.
    const FREE: u64 = 16 * 1024;

    /// That of a class of clients.
    pub fn of(&self, kind: ClientKind) -> OutputLimit {
        match kind {
            ClientKind::Normal | ClientKind::Master => self.normal,
            ClientKind::Pubsub => self.pubsub,
            ClientKind::Replica => self.replica,
        }
    }

    /// Bytes of replies with which a client is closed before any of them is sent; more than there can be without a limit.
    pub fn longest_reply(&self, kind: ClientKind) -> u64 {
        match self.of(kind).hard {
            0 => u64::MAX,
            hard => hard.saturating_add(Self::FREE),
        }
    }

    const DEFAULT: Self = Self {
        normal: OutputLimit::NONE,
        replica: OutputLimit { hard: 256 * MB, soft: 64 * MB, soft_seconds: 60 },
        pubsub: OutputLimit { hard: 32 * MB, soft: 8 * MB, soft_seconds: 60 },
    };
}

/// `maxmemory-clients`; zero bytes or zero per cent is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMemory {
    Bytes(u64),
    /// Of `maxmemory`, 0 to 100.
    Percent(u8),
}

/// One `rename-command`; an empty `to` takes the command away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    pub from: String,
    pub to: String,
}

/// Which nodes of lists are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCompress {
    /// Those deeper than so many from either end; 0 leaves it to `deep`.
    pub depth: u32,
    /// Those deep inside of long lists.
    pub deep: bool,
}

impl ListCompress {
    /// Nodes at each end that stay as they are where nothing else is said: 128 KiB, as nodes are by default.
    const OPEN_NODES: usize = 16;

    /// How many nodes at each end are not compressed.
    #[inline]
    pub fn open_nodes(self) -> usize {
        match self.depth {
            0 if self.deep => Self::OPEN_NODES,
            0 => usize::MAX,
            nodes => nodes as usize,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// TCP port; 0 listens on none.
    pub port: u16,
    /// 0 for no TLS.
    pub tls_port: u16,
    /// Addresses in Redis's notation: `*` all IPv4, `::*` all IPv6, a leading `-` for one that may be missing.
    pub bind: Vec<String>,
    /// Path of the Unix socket, empty for none.
    pub unixsocket: String,
    /// Mode bits of the Unix socket; 0 leaves the default.
    pub unixsocketperm: u32,
    pub tcp_backlog: u32,
    /// Seconds between TCP keep-alive probes; 0 is off.
    pub tcp_keepalive: u32,
    /// Seconds after which an idle client is closed; 0 is never.
    pub timeout: u32,
    pub maxclients: u32,
    pub protected_mode: bool,
    /// Empty for none.
    pub requirepass: String,
    /// Empty for none.
    pub aclfile: String,
    pub acllog_max_len: u64,
    pub acl_pubsub_default: AclPubsubDefault,
    /// The `user` lines: of each the name and the rules, which have been checked.
    pub users: Vec<Vec<String>>,
    pub databases: u32,
    /// Event-loop threads.
    pub io_threads: u16,
    /// Shards of the keyspace.
    pub shards: u16,
    /// Where figures are served over HTTP; 0 is nowhere.
    pub metrics_port: u16,
    /// Addresses between blanks.
    pub metrics_bind: String,
    pub proto_max_bulk_len: u64,
    pub client_query_buffer_limit: u64,
    pub client_output_buffer_limit: OutputLimits,
    pub maxmemory_clients: ClientMemory,
    /// Turns of the background work per second, 1 to 500.
    pub hz: u32,
    pub loglevel: LogLevel,
    /// Empty for standard output.
    pub logfile: String,
    pub dir: String,
    /// Empty for none.
    pub pidfile: String,
    /// Microseconds; negative switches the slow log off, 0 logs everything.
    pub slowlog_log_slower_than: i64,
    pub slowlog_max_len: u64,
    /// Milliseconds; 0 switches the monitor off.
    pub latency_monitor_threshold: u64,
    pub latency_tracking: bool,
    /// Per cent, 0 to 100.
    pub latency_tracking_info_percentiles: Vec<f64>,
    /// Bytes; 0 is no limit.
    pub maxmemory: u64,
    pub maxmemory_policy: MaxmemoryPolicy,
    /// Keys that are compared for each that is evicted.
    pub maxmemory_samples: u32,
    /// How long one command may be held up by evictions, 0 to 100.
    pub maxmemory_eviction_tenacity: u8,
    pub lfu_log_factor: u32,
    /// Minutes.
    pub lfu_decay_time: u32,
    /// 1 to 10.
    pub active_expire_effort: u8,
    pub lazyfree_lazy_user_flush: bool,
    pub lazyfree_lazy_eviction: bool,
    pub enable_debug_command: Permission,
    pub enable_protected_configs: Permission,
    pub always_show_logo: bool,
    pub set_proc_title: bool,
    pub proc_title_template: String,
    pub rename_command: Vec<Rename>,
    /// Up to how many elements, and of how many bytes each, a collection keeps its compact form.
    pub hash_max_listpack_entries: u64,
    pub hash_max_listpack_value: u64,
    /// Elements of a list's node; negative: -1 to -5 for nodes of 4, 8, 16, 32 or 64 KiB.
    pub list_max_listpack_size: i32,
    pub list_compress: ListCompress,
    pub set_max_intset_entries: u64,
    pub set_max_listpack_entries: u64,
    pub set_max_listpack_value: u64,
    pub zset_max_listpack_entries: u64,
    pub zset_max_listpack_value: u64,
    /// Bytes up to which a HyperLogLog is kept sparse.
    pub hll_sparse_max_bytes: u64,
    /// Bytes and entries of a stream's node; 0 is no limit.
    pub stream_node_max_bytes: u64,
    pub stream_node_max_entries: u64,
    /// Which changes of keys are published.
    pub notify_keyspace_events: Classes,
    /// Keys that clients are tracked for; 0 is no limit.
    pub tracking_table_max_keys: u64,
    /// How often CONFIG SET has named a directive that stands for a file.
    pub files_named: u64,
    /// Values given to directives that have no field of their own, in canonical form.
    pub(super) kept: BTreeMap<&'static str, String>,
    /// Directives that a file, an argument or CONFIG SET named.
    pub(super) explicit: BTreeSet<&'static str>,
}

impl Settings {
    /// What the process is to be called, after `proc-title-template`: `program` is what it was called with.
    pub fn process_title(&self, program: &str, config_file: &str) -> String {
        let port = if self.port == 0 { self.tls_port } else { self.port };
        let address = match self.bind.first() {
            _ if port == 0 => self.unixsocket.clone(),
            Some(first) => format!("{first}:{port}"),
            None => format!("*:{port}"),
        };
        let title = fill_title(&self.proc_title_template, |name| {
            Some(match name {
                "title" => program.to_owned(),
                "listen-addr" => address.clone(),
                // It is told of sentinels and of members of a cluster.
                "server-mode" => String::new(),
                "port" => self.port.to_string(),
                "tls-port" => self.tls_port.to_string(),
                "unixsocket" => self.unixsocket.clone(),
                "config-file" => config_file.to_owned(),
                _ => return None,
            })
        });
        title.expect("the template was judged when it was set")
    }

    /// What the clients may hold together, bytes; `None` is no limit. A small limit is raised, so that the server can
    /// still be told of a better one.
    pub fn client_memory_limit(&self) -> Option<u64> {
        const LEAST: u64 = 128 * 1024;
        match self.maxmemory_clients {
            ClientMemory::Bytes(0) | ClientMemory::Percent(0) => None,
            ClientMemory::Bytes(bytes) => Some(bytes.max(LEAST)),
            // A share of no limit is none.
            ClientMemory::Percent(_) if self.maxmemory == 0 => None,
            ClientMemory::Percent(percent) => {
                let share = u128::from(self.maxmemory) * u128::from(percent) / 100;
                Some((share as u64).max(LEAST))
            }
        }
    }

    /// A setting that has no field of its own, unless it is at its default.
    pub(crate) fn kept(&self, name: &str) -> Option<&str> {
        self.kept.get(name).map(String::as_str)
    }

    /// No snapshots, neither now and then nor at the end.
    pub fn set_unsaved(&mut self) {
        self.kept.insert("save", String::new());
    }

    /// The defaults. What depends on the machine comes from the caller: the number of event-loop threads when none
    /// is configured (cut to 1..=128), and the working directory.
    pub fn new(threads: usize, dir: impl Into<String>) -> Self {
        Self {
            port: 6379,
            tls_port: 0,
            bind: vec!["*".into(), "-::*".into()],
            unixsocket: String::new(),
            unixsocketperm: 0,
            tcp_backlog: 511,
            tcp_keepalive: 300,
            timeout: 0,
            maxclients: 10_000,
            protected_mode: true,
            requirepass: String::new(),
            aclfile: String::new(),
            acllog_max_len: 128,
            acl_pubsub_default: AclPubsubDefault::ResetChannels,
            users: Vec::new(),
            databases: 16,
            io_threads: threads.clamp(1, 128) as u16,
            shards: 16,
            metrics_port: 0,
            metrics_bind: "127.0.0.1 -::1".into(),
            proto_max_bulk_len: 512 * MB,
            client_query_buffer_limit: 1024 * MB,
            client_output_buffer_limit: OutputLimits::DEFAULT,
            maxmemory_clients: ClientMemory::Bytes(0),
            hz: 10,
            loglevel: LogLevel::Notice,
            logfile: String::new(),
            dir: dir.into(),
            pidfile: String::new(),
            slowlog_log_slower_than: 10_000,
            slowlog_max_len: 128,
            latency_monitor_threshold: 0,
            latency_tracking: true,
            latency_tracking_info_percentiles: vec![50.0, 99.0, 99.9],
            maxmemory: 0,
            maxmemory_policy: MaxmemoryPolicy::NoEviction,
            maxmemory_samples: 5,
            maxmemory_eviction_tenacity: 10,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            active_expire_effort: 1,
            lazyfree_lazy_user_flush: false,
            lazyfree_lazy_eviction: false,
            enable_debug_command: Permission::No,
            enable_protected_configs: Permission::No,
            always_show_logo: false,
            set_proc_title: true,
            proc_title_template: "{title} {listen-addr} {server-mode}".into(),
            rename_command: Vec::new(),
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            list_max_listpack_size: -2,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            hll_sparse_max_bytes: 3000,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
            tracking_table_max_keys: 1_000_000,
            list_compress: ListCompress { depth: 0, deep: true },
            notify_keyspace_events: Classes::empty(),
            files_named: 0,
            kept: BTreeMap::new(),
            explicit: BTreeSet::new(),
        }
    }

    /// The value of the directive of this name, as CONFIG GET answers it; for those that are rarely asked for.
    pub fn text(&self, name: &str) -> String {
        super::find(name).map_or_else(String::new, |row| row.get(self))
    }

    /// Whether a file, an argument or CONFIG SET named this directive (by its own name, not an alias).
    pub fn is_explicit(&self, name: &str) -> bool {
        self.explicit.contains(name)
    }
}
