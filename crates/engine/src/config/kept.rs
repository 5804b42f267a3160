//! The rows of the directives that are only kept: read and refused as Redis does and answered by CONFIG GET, for a
//! capability that is to come, or about something that doesn't exist here.

use super::directive::{
    Directive,
    Effect::{Acting, Meaningless, Promise, Remembered},
    Store,
};
use super::kind::{INT_MAX, Kind};
use super::special;

const fn kept(kind: Kind, default: &'static str) -> Store {
    Store::Kept { kind, default }
}

const fn later(name: &'static str, kind: Kind, default: &'static str) -> Directive {
    Directive::new(name, Remembered, kept(kind, default))
}

/// Acts, but is so rarely asked for that it is read by its name.
const fn read(name: &'static str, kind: Kind, default: &'static str) -> Directive {
    Directive::new(name, Acting, kept(kind, default))
}

const fn none(name: &'static str, kind: Kind, default: &'static str) -> Directive {
    Directive::new(name, Meaningless, kept(kind, default))
}

const fn promise(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    neutral: &'static [&'static str],
) -> Directive {
    Directive::new(name, Promise { neutral }, kept(kind, default))
}

const fn int(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const BOOL: Kind = Kind::Bool;
const TEXT: Kind = Kind::Text;
const MEMORY: Kind = Kind::Memory { min: 0 };
const NATURAL: Kind = int(0, INT_MAX);
const POSITIVE: Kind = int(1, INT_MAX);
const LONG: Kind = int(0, i64::MAX);
const PORT: Kind = int(0, 65_535);
const PERMISSION: Kind = Kind::Choice(&["no", "yes", "local"]);

pub(super) static ROWS: &[Directive] = &[
    // Gone since Redis 3.2, but still accepted.
    none("list-max-ziplist-entries", TEXT, "").file_only(),
    none("list-max-ziplist-value", TEXT, "").file_only(),
    later("sanitize-dump-payload", Kind::Choice(&["no", "yes", "clients"]), "no"),
    // Scripts.
    read("busy-reply-threshold", LONG, "5000").alias("lua-time-limit"),
    later("locale-collate", TEXT, ""),
    // Snapshots and the append-only file.
    Directive::new(
        "save",
        Acting,
        Store::KeptSpecial { default: "3600 1 300 100 60 10000", read: special::save_points },
    )
    .list(),
    read("appendonly", BOOL, "no"),
    read("dbfilename", Kind::FileName { may_be_empty: true }, "dump.rdb").protected(),
    read("rdbcompression", BOOL, "yes"),
    read("rdbchecksum", BOOL, "yes").immutable(),
    later("rdb-del-sync-files", BOOL, "no"),
    read("rdb-save-incremental-fsync", BOOL, "yes"),
    read("stop-writes-on-bgsave-error", BOOL, "yes"),
    read("appendfilename", Kind::FileName { may_be_empty: false }, "appendonly.aof").immutable(),
    read("appenddirname", Kind::FileName { may_be_empty: false }, "appendonlydir").immutable(),
    read("appendfsync", Kind::Choice(&["everysec", "always", "no"]), "everysec"),
    read("no-appendfsync-on-rewrite", BOOL, "no"),
    read("auto-aof-rewrite-percentage", NATURAL, "100"),
    read("auto-aof-rewrite-min-size", MEMORY, "67108864"),
    read("aof-load-truncated", BOOL, "yes"),
    read("aof-use-rdb-preamble", BOOL, "yes"),
    read("aof-timestamp-enabled", BOOL, "no"),
    read("aof-rewrite-incremental-fsync", BOOL, "yes"),
    read("aof-disable-auto-gc", BOOL, "no"),
    // Replication.
    Directive::new(
        "replicaof",
        Promise { neutral: &[""] },
        Store::KeptSpecial { default: "", read: special::replica_of },
    )
    .alias("slaveof")
    .immutable()
    .list(),
    later("masteruser", TEXT, "").sensitive(),
    later("masterauth", TEXT, "").sensitive(),
    later("bind-source-addr", TEXT, ""),
    later("replica-serve-stale-data", BOOL, "yes").alias("slave-serve-stale-data"),
    later("replica-read-only", BOOL, "yes").alias("slave-read-only"),
    later("replica-announced", BOOL, "yes"),
    later("replica-announce-ip", TEXT, "").alias("slave-announce-ip"),
    later("replica-announce-port", PORT, "0").alias("slave-announce-port"),
    later("replica-priority", NATURAL, "100").alias("slave-priority"),
    later("replica-lazy-flush", BOOL, "no").alias("slave-lazy-flush"),
    later("replica-ignore-maxmemory", BOOL, "yes").alias("slave-ignore-maxmemory"),
    later("replica-ignore-disk-write-errors", BOOL, "no"),
    later("repl-diskless-sync", BOOL, "yes"),
    later("repl-diskless-sync-delay", NATURAL, "5"),
    later("repl-diskless-sync-max-replicas", NATURAL, "0"),
    later("repl-diskless-load", Kind::Choice(&["disabled", "on-empty-db", "swapdb"]), "disabled"),
    later("repl-ping-replica-period", POSITIVE, "10").alias("repl-ping-slave-period"),
    later("repl-timeout", POSITIVE, "60"),
    later("repl-disable-tcp-nodelay", BOOL, "no"),
    later("repl-backlog-size", Kind::Memory { min: 1 }, "1048576"),
    later("repl-backlog-ttl", LONG, "3600"),
    read("min-replicas-to-write", NATURAL, "0").alias("min-slaves-to-write"),
    read("min-replicas-max-lag", NATURAL, "10").alias("min-slaves-max-lag"),
    later(
        "propagation-error-behavior",
        Kind::Choice(&["ignore", "panic", "panic-on-replicas"]),
        "ignore",
    ),
    // Shutdown.
    Directive::new(
        "shutdown-on-sigint",
        Acting,
        Store::KeptSpecial { default: "default", read: special::shutdown_options },
    )
    .list(),
    Directive::new(
        "shutdown-on-sigterm",
        Acting,
        Store::KeptSpecial { default: "default", read: special::shutdown_options },
    )
    .list(),
    later("shutdown-timeout", NATURAL, "10"),
    // TLS.
    promise("tls-replication", BOOL, "no", &["no"]),
    promise("tls-cluster", BOOL, "no", &["no"]),
    read("tls-cert-file", TEXT, "").names_file(),
    read("tls-key-file", TEXT, "").names_file(),
    read("tls-key-file-pass", TEXT, "").sensitive().names_file(),
    later("tls-client-cert-file", TEXT, ""),
    later("tls-client-key-file", TEXT, ""),
    later("tls-client-key-file-pass", TEXT, "").sensitive(),
    // There is no finite-field Diffie-Hellman.
    none("tls-dh-params-file", TEXT, ""),
    read("tls-ca-cert-file", TEXT, "").names_file(),
    read("tls-ca-cert-dir", TEXT, "").names_file(),
    read("tls-auth-clients", Kind::Choice(&["no", "yes", "optional"]), "yes"),
    read("tls-protocols", TEXT, ""),
    read("tls-ciphers", TEXT, ""),
    read("tls-ciphersuites", TEXT, ""),
    read("tls-prefer-server-ciphers", BOOL, "no"),
    read("tls-session-caching", BOOL, "yes"),
    read("tls-session-cache-size", NATURAL, "20480"),
    read("tls-session-cache-timeout", NATURAL, "300"),
    // The cluster.
    promise("cluster-enabled", BOOL, "no", &["no"]).immutable(),
    later("cluster-port", PORT, "0").immutable(),
    later("cluster-announce-ip", TEXT, ""),
    Directive::new(
        "cluster-announce-hostname",
        Remembered,
        Store::KeptSpecial { default: "", read: special::hostname },
    ),
    later("cluster-announce-human-nodename", TEXT, ""),
    later("cluster-announce-port", PORT, "0"),
    later("cluster-announce-tls-port", PORT, "0"),
    later("cluster-announce-bus-port", PORT, "0"),
    later(
        "cluster-preferred-endpoint-type",
        Kind::Choice(&["ip", "hostname", "unknown-endpoint"]),
        "ip",
    ),
    later("cluster-require-full-coverage", BOOL, "yes"),
    later("cluster-allow-reads-when-down", BOOL, "no"),
    later("cluster-allow-pubsubshard-when-down", BOOL, "yes"),
    later("cluster-node-timeout", LONG, "15000"),
    later("cluster-replica-validity-factor", NATURAL, "10").alias("cluster-slave-validity-factor"),
    later("cluster-replica-no-failover", BOOL, "no").alias("cluster-slave-no-failover"),
    later("cluster-allow-replica-migration", BOOL, "yes"),
    later("cluster-migration-barrier", NATURAL, "1"),
    none("cluster-config-file", TEXT, "nodes.conf").immutable(),
    none("cluster-link-sendbuf-limit", MEMORY, "0"),
    // How the process runs.
    read("daemonize", BOOL, "no").immutable(),
    read("supervised", Kind::Choice(&["upstart", "systemd", "auto", "no"]), "no").immutable(),
    read("syslog-enabled", BOOL, "no").immutable(),
    read("syslog-ident", TEXT, "redis").immutable(),
    read(
        "syslog-facility",
        Kind::Choice(&[
            "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
        ]),
        "local0",
    )
    .immutable(),
    read("log-format", Kind::Choice(&["plain", "json"]), "plain").immutable(),
    later("max-new-connections-per-cycle", int(1, 1000), "10"),
    // Handshakes are work of the event loops, where each connection has its turn.
    none("max-new-tls-connections-per-cycle", int(1, 1000), "1"),
    later("socket-mark-id", int(0, u32::MAX as i64), "0").immutable(),
    read("hide-user-data-from-log", BOOL, "no"),
    Directive::new(
        "loadmodule",
        Promise { neutral: &[""] },
        Store::KeptSpecial { default: "", read: special::accumulate },
    )
    .file_only(),
    none("enable-module-command", PERMISSION, "no").immutable(),
    none("io-threads-do-reads", BOOL, "no").immutable(),
    none("activerehashing", BOOL, "yes"),
    read("activedefrag", BOOL, "no"),
    read("active-defrag-ignore-bytes", Kind::Memory { min: 1 }, "104857600"),
    read("active-defrag-threshold-lower", int(0, 1000), "10"),
    read("active-defrag-threshold-upper", int(0, 1000), "100"),
    read("active-defrag-cycle-min", int(1, 99), "1"),
    read("active-defrag-cycle-max", int(1, 99), "25"),
    none("dynamic-hz", BOOL, "yes"),
    none("lazyfree-lazy-user-del", BOOL, "no"),
    none("lazyfree-lazy-expire", BOOL, "no"),
    none("lazyfree-lazy-server-del", BOOL, "no"),
    none("active-defrag-max-scan-fields", int(1, i64::MAX), "1000"),
    none("jemalloc-bg-thread", BOOL, "yes"),
    none("disable-thp", BOOL, "yes").immutable(),
    read("oom-score-adj", Kind::Choice(&["no", "yes", "relative", "absolute"]), "no"),
    Directive::new(
        "oom-score-adj-values",
        Acting,
        Store::KeptSpecial { default: "0 200 800", read: special::oom_scores },
    )
    .list(),
    read("crash-log-enabled", BOOL, "yes"),
    none("crash-memcheck-enabled", BOOL, "yes"),
    none("use-exit-on-panic", BOOL, "no").immutable().hidden(),
    none("server_cpulist", TEXT, "").immutable(),
    none("bio_cpulist", TEXT, "").immutable(),
    none("aof_rewrite_cpulist", TEXT, "").immutable(),
    none("bgsave_cpulist", TEXT, "").immutable(),
    none("ignore-warnings", TEXT, ""),
    read("watchdog-period", NATURAL, "0").hidden(),
    read("key-load-delay", int(i32::MIN as i64, INT_MAX), "0").hidden(),
    read("rdb-key-save-delay", int(i32::MIN as i64, INT_MAX), "0").hidden(),
    none("loading-process-events-interval-bytes", Kind::Memory { min: 1024 }, "2097152").hidden(),
];
