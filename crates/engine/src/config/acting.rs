//! The rows of the directives that have a field of the settings: all that act, and some that are to.

use super::directive::{Directive, Effect::Acting, Store};
use super::kind::{INT_MAX, Kind, Value};
use super::settings::{AclPubsubDefault, ClientMemory, LogLevel, MaxmemoryPolicy, Permission};
use super::special;

/// The values of the client-facing limits can't be set below this, so that the server stays usable.
const MIN_LIMIT: i64 = 1024 * 1024;

macro_rules! flag {
    ($($field:ident).+) => {
        Store::Field {
            kind: Kind::Bool,
            read: |settings| Value::Bool(settings.$($field).+),
            write: |settings, value| settings.$($field).+ = value.truth(),
        }
    };
}

macro_rules! number {
    ($($field:ident).+: $type:ty, $kind:expr) => {
        Store::Field {
            kind: $kind,
            read: |settings| Value::Integer(settings.$($field).+ as i64),
            write: |settings, value| settings.$($field).+ = value.integer() as $type,
        }
    };
    ($($field:ident).+: $type:ty, $min:expr => $max:expr) => {
        number!($($field).+: $type, Kind::Integer { min: $min, max: $max })
    };
}

macro_rules! text {
    ($field:ident) => {
        Store::Field {
            kind: Kind::Text,
            read: |settings| Value::Text(settings.$field.clone()),
            write: |settings, value| settings.$field = value.text().to_owned(),
        }
    };
}

macro_rules! choice {
    ($field:ident: $type:ty) => {
        Store::Field {
            kind: Kind::Choice(<$type>::NAMES),
            read: |settings| Value::Text(settings.$field.name().to_owned()),
            write: |settings, value| {
                settings.$field =
                    <$type>::from_name(value.text()).expect("the kind allows only these names");
            },
        }
    };
}

const fn row(name: &'static str, store: Store) -> Directive {
    Directive::new(name, Acting, store)
}

pub(super) static ROWS: &[Directive] = &[
    row("port", number!(port: u16, 0 => 65_535)),
    row("tls-port", number!(tls_port: u16, 0 => 65_535)),
    row(
        "bind",
        Store::Special { read: |settings| settings.bind.join(" "), write: special::write_bind },
    )
    .list(),
    row("unixsocket", text!(unixsocket)).immutable(),
    row("unixsocketperm", number!(unixsocketperm: u32, Kind::Octal)).immutable(),
    row("tcp-backlog", number!(tcp_backlog: u32, 0 => INT_MAX)).immutable(),
    row("tcp-keepalive", number!(tcp_keepalive: u32, 0 => INT_MAX)),
    row("timeout", number!(timeout: u32, 0 => INT_MAX)),
    row("maxclients", number!(maxclients: u32, 1 => u32::MAX as i64)),
    row("protected-mode", flag!(protected_mode)),
    row("requirepass", text!(requirepass)).sensitive(),
    row("aclfile", text!(aclfile)).immutable(),
    row("acllog-max-len", number!(acllog_max_len: u64, 0 => i64::MAX)),
    row("acl-pubsub-default", choice!(acl_pubsub_default: AclPubsubDefault)),
    row("user", Store::Special { read: special::read_users, write: special::write_user })
        .file_only()
        .sensitive(),
    row("databases", number!(databases: u32, 1 => INT_MAX)).immutable(),
    row("io-threads", number!(io_threads: u16, 1 => 128)).immutable(),
    row("shards", number!(shards: u16, 1 => 4096)).immutable(),
    row("metrics-port", number!(metrics_port: u16, 0 => 65_535)).immutable(),
    row("metrics-bind", text!(metrics_bind)).immutable(),
    row("proto-max-bulk-len", number!(proto_max_bulk_len: u64, Kind::Memory { min: MIN_LIMIT })),
    row(
        "client-query-buffer-limit",
        number!(client_query_buffer_limit: u64, Kind::Memory { min: MIN_LIMIT }),
    ),
    row(
        "client-output-buffer-limit",
        Store::Special { read: special::read_output_limits, write: special::write_output_limits },
    )
    .list(),
    row(
        "maxmemory-clients",
        Store::Field {
            kind: Kind::MemoryOrPercent,
            read: |settings| match settings.maxmemory_clients {
                ClientMemory::Bytes(bytes) => Value::Integer(bytes as i64),
                ClientMemory::Percent(percent) => Value::Percent(percent),
            },
            write: |settings, value| {
                settings.maxmemory_clients = match value {
                    Value::Percent(percent) => ClientMemory::Percent(*percent),
                    bytes => ClientMemory::Bytes(bytes.integer() as u64),
                };
            },
        },
    ),
    row(
        "hz",
        Store::Field {
            kind: Kind::Integer { min: 0, max: INT_MAX },
            read: |settings| Value::Integer(settings.hz.into()),
            // Redis takes any number here and keeps within these.
            write: |settings, value| settings.hz = value.integer().clamp(1, 500) as u32,
        },
    ),
    row("loglevel", choice!(loglevel: LogLevel)),
    row("logfile", text!(logfile)).immutable(),
    row("dir", text!(dir)).protected(),
    row("pidfile", text!(pidfile)).immutable(),
    row("slowlog-log-slower-than", number!(slowlog_log_slower_than: i64, -1 => i64::MAX)),
    row("slowlog-max-len", number!(slowlog_max_len: u64, 0 => i64::MAX)),
    row("latency-monitor-threshold", number!(latency_monitor_threshold: u64, 0 => i64::MAX)),
    row("latency-tracking", flag!(latency_tracking)),
    row(
        "latency-tracking-info-percentiles",
        Store::Special { read: special::read_percentiles, write: special::write_percentiles },
    )
    .list(),
    row("maxmemory", number!(maxmemory: u64, Kind::Memory { min: 0 })),
    row("maxmemory-policy", choice!(maxmemory_policy: MaxmemoryPolicy)),
    row("maxmemory-samples", number!(maxmemory_samples: u32, 1 => INT_MAX)),
    row("maxmemory-eviction-tenacity", number!(maxmemory_eviction_tenacity: u8, 0 => 100)),
    row("lfu-log-factor", number!(lfu_log_factor: u32, 0 => INT_MAX)),
    row("lfu-decay-time", number!(lfu_decay_time: u32, 0 => INT_MAX)),
    row("active-expire-effort", number!(active_expire_effort: u8, 1 => 10)),
    row("lazyfree-lazy-user-flush", flag!(lazyfree_lazy_user_flush)),
    // Large values are always freed by a thread of its own.
    row("lazyfree-lazy-eviction", flag!(lazyfree_lazy_eviction)),
    row("enable-debug-command", choice!(enable_debug_command: Permission)).immutable(),
    row("enable-protected-configs", choice!(enable_protected_configs: Permission)).immutable(),
    row("always-show-logo", flag!(always_show_logo)).immutable(),
    row("set-proc-title", flag!(set_proc_title)).immutable(),
    row(
        "proc-title-template",
        Store::Special {
            read: |settings| settings.proc_title_template.clone(),
            write: special::write_title_template,
        },
    ),
    row(
        "rename-command",
        Store::Special { read: special::read_renames, write: special::write_rename },
    )
    .file_only(),
    // The forms of the types, and what is told of them.
    row("hash-max-listpack-entries", number!(hash_max_listpack_entries: u64, 0 => i64::MAX))
        .alias("hash-max-ziplist-entries"),
    row("hash-max-listpack-value", number!(hash_max_listpack_value: u64, Kind::Memory { min: 0 }))
        .alias("hash-max-ziplist-value"),
    row("list-max-listpack-size", number!(list_max_listpack_size: i32, i32::MIN as i64 => INT_MAX))
        .alias("list-max-ziplist-size"),
    row("list-compress-depth", number!(list_compress.depth: u32, 0 => INT_MAX)),
    row("list-compress-deep", flag!(list_compress.deep)),
    row("set-max-intset-entries", number!(set_max_intset_entries: u64, 0 => i64::MAX)),
    row("set-max-listpack-entries", number!(set_max_listpack_entries: u64, 0 => i64::MAX)),
    row("set-max-listpack-value", number!(set_max_listpack_value: u64, 0 => i64::MAX)),
    row("zset-max-listpack-entries", number!(zset_max_listpack_entries: u64, 0 => i64::MAX))
        .alias("zset-max-ziplist-entries"),
    row("zset-max-listpack-value", number!(zset_max_listpack_value: u64, Kind::Memory { min: 0 }))
        .alias("zset-max-ziplist-value"),
    row("hll-sparse-max-bytes", number!(hll_sparse_max_bytes: u64, Kind::Memory { min: 0 })),
    row("stream-node-max-bytes", number!(stream_node_max_bytes: u64, Kind::Memory { min: 0 })),
    row("stream-node-max-entries", number!(stream_node_max_entries: u64, 0 => i64::MAX)),
    row("tracking-table-max-keys", number!(tracking_table_max_keys: u64, 0 => i64::MAX)),
    row(
        "notify-keyspace-events",
        Store::Special { read: special::read_events, write: special::write_events },
    ),
];
