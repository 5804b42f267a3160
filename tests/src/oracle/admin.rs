//! Generators for the server commands, as far as their replies can be foretold.

use super::compare::Norm;
use super::step::{Damage, Row, Step, row};
use super::words::Words;

pub const ROWS: &[Row] = &[
    row!(1, None, "COMMAND COUNT", |w, s| if w.chance(1, 3) {
        s.arg("x")
    } else {
        s.norm(Norm::SameShape)
    }),
    row!(1, None, "COMMAND DOCS", |w, s| {
        let forms: &[&[&str]] = &[&["get"], &["nosuch"], &["set", "GETEX"], &["client|id"]];
        s.args(w.pick(forms)).norm(Norm::SameShape)
    }),
    row!(1, None, "COMMAND INFO", |w, s| {
        let forms: &[&[&str]] =
            &[&["get"], &["nosuch"], &["set", "GETEX", "nosuch"], &["client|id"]];
        s.args(w.pick(forms)).norm(Norm::SameShape)
    }),
    row!(1, None, "COMMAND LIST", |w, s| {
        let forms: &[&[&str]] = &[
            &[],
            &["FILTERBY", "PATTERN", "getr*"],
            &["FILTERBY", "FOO", "x"],
            &["FILTERBY"],
            &["FOO"],
            &["FILTERBY", "MODULE", "nosuch"],
            &["filterby", "aclcat", "nosuch"],
        ];
        s.args(w.pick(forms)).norm(Norm::SameShape)
    }),
    Row {
        weight: 4,
        names: &["COMMAND GETKEYS"],
        damage: Damage::None,
        make: |w| getkeys(w, "COMMAND GETKEYS"),
    },
    Row {
        weight: 3,
        names: &["COMMAND GETKEYSANDFLAGS"],
        damage: Damage::None,
        make: |w| getkeys(w, "COMMAND GETKEYSANDFLAGS"),
    },
    row!(1, None, "COMMAND HELP", |_w, s| s.norm(Norm::SameShape)),
    Row { weight: 4, names: &["CONFIG GET"], damage: Damage::None, make: config_get },
    Row { weight: 5, names: &["CONFIG SET"], damage: Damage::None, make: config_set },
    row!(1, None, "CONFIG REWRITE", |w, s| if w.chance(1, 3) { s.arg("x") } else { s }),
    row!(1, None, "CONFIG RESETSTAT", |w, s| if w.chance(1, 3) { s.arg("x") } else { s }),
    row!(1, None, "CONFIG HELP", |_w, s| s.norm(Norm::SameShape)),
    row!(5, Any, "DBSIZE", |_w, s| s),
    Row { weight: 5, names: &["DEBUG"], damage: Damage::None, make: debug },
    Row { weight: 3, names: &["CLUSTER"], damage: Damage::None, make: cluster },
    row!(1, Any, "READONLY", |_w, s| s),
    row!(1, Any, "READWRITE", |_w, s| s),
    row!(1, Any, "ASKING", |_w, s| s),
    Row { weight: 1, names: &["MODULE"], damage: Damage::None, make: module },
    Row { weight: 2, names: &["FLUSHALL"], damage: Damage::None, make: |w| flush(w, "FLUSHALL") },
    Row { weight: 3, names: &["FLUSHDB"], damage: Damage::None, make: |w| flush(w, "FLUSHDB") },
    row!(1, None, "INFO", |w, s| {
        let forms: &[&[&str]] =
            &[&[], &["server"], &["nosuch"], &["clients", "MEMORY"], &["everything"], &["default"]];
        s.args(w.pick(forms)).norm(Norm::SameShape)
    }),
    Row { weight: 2, names: &["LATENCY"], damage: Damage::None, make: latency },
    row!(1, None, "LOLWUT", |_w, s| s.norm(Norm::SameShape)),
    Row { weight: 2, names: &["MEMORY"], damage: Damage::None, make: memory },
    row!(1, None, "SHUTDOWN", |w, s| {
        // Only forms that fail.
        let forms: &[&[&str]] = &[
            &["foo"],
            &["ABORT"],
            &["NOSAVE", "SAVE"],
            &["ABORT", "NOW"],
            &["NOSAVE", "foo"],
            &["abort", "abort"],
        ];
        s.args(w.pick(forms))
    }),
    Row { weight: 2, names: &["SLOWLOG"], damage: Damage::None, make: slowlog },
    row!(3, None, "SWAPDB", |w, s| if w.chance(1, 20) {
        s
    } else {
        s.arg(w.database()).arg(w.database())
    }),
    row!(1, Any, "TIME", |_w, s| s.norm(Norm::SameShape)),
];

fn getkeys(w: &mut Words, name: &'static str) -> Vec<Step> {
    let forms: &[&[&str]] = &[
        &["get", "a"],
        &["SET", "a", "b", "EX", "1"],
        &["set", "a", "b", "GET"],
        &["mset", "a", "1", "b", "2"],
        &["MSETNX", "a", "1", "b", "2"],
        &["mget", "a", "b", "c"],
        &["rename", "a", "b"],
        &["copy", "a", "b"],
        &["lcs", "a", "b", "IDX"],
        &["del", "a", "b"],
        &["object", "encoding", "a"],
        &["touch", "a"],
        &["getex", "a", "PERSIST"],
        &["incrbyfloat", "a", "1"],
        &["expire", "a", "1"],
        &["setrange", "a", "0", "x"],
        &["watch", "a", "b"],
        &["memory", "usage", "a"],
        &["debug", "object", "a"],
        &["append", "a", "b"],
        &["getdel", "a"],
        &["move", "a", "1"],
        &["unlink", "a"],
        &["type", "a"],
        &["psetex", "a", "1", "b"],
        // No keys, too few arguments, no such command.
        &["select", "1"],
        &["mset", "a"],
        &["nosuch", "a"],
        &["get", "a", "b"],
        &["config", "get", "x"],
        &["keys", "*"],
        &["scan", "0"],
    ];
    vec![Step::new(w, name).args(w.pick(forms))]
}

fn config_get(w: &mut Words) -> Vec<Step> {
    let forms: &[&[&str]] = &[
        &["timeout"],
        &["TIMEOUT"],
        &["maxmemory"],
        &["maxmemory-policy"],
        &["maxmemory", "timeout"],
        &["nosuch"],
        &["maxmemory-s*"],
        &["databases"],
        &["proto-max-bulk-len"],
        &["lfu-*"],
        &["slowlog-max-len", "slowlog-max-l*"],
        &[],
        &["requirepass"],
        &["latency-monitor-threshold"],
        &["save"],
        &["lazyfree-lazy-*"],
        &["maxclients"],
        &["tcp-keepalive"],
        &[""],
        &["client-output-buffer-limit"],
        &["client-query-buffer-limit"],
        &["tcp-backlog"],
        &["list-max-listpack-size"],
        &["hash-max-*"],
        &["notify-keyspace-events"],
        &["appendonly"],
        &["loglevel"],
        &["active-expire-effort"],
        &["t[io]meout"],
        &["maxmemory-clients"],
    ];
    vec![Step::new(w, "CONFIG GET").args(w.pick(forms)).norm(Norm::Unordered)]
}

/// Values that don't change what other steps see.
fn config_set(w: &mut Words) -> Vec<Step> {
    let forms: &[&[&str]] = &[
        &["timeout", "0"],
        &["timeout", "3600"],
        &["TIMEOUT", "abc"],
        &["timeout", "-1"],
        &["timeout", "2147483648"],
        &["slowlog-max-len", "64"],
        &["slowlog-max-len", "128"],
        &["slowlog-max-len", "-1"],
        &["lfu-log-factor", "5"],
        &["lfu-log-factor", "-1"],
        &["lfu-decay-time", "2"],
        &["maxmemory-samples", "5"],
        &["maxmemory-samples", "0"],
        &["lazyfree-lazy-expire", "yes"],
        &["lazyfree-lazy-expire", "no"],
        &["lazyfree-lazy-expire", "maybe"],
        &["proto-max-bulk-len", "512mb"],
        &["proto-max-bulk-len", "536870912"],
        &["proto-max-bulk-len", "1"],
        &["proto-max-bulk-len", "12xb"],
        &["maxmemory-policy", ""],
        &["maxmemory-policy", "foo"],
        &["loglevel", "notice"],
        &["loglevel", "foo"],
        &["databases", "4"],
        &["nosuch", "1"],
        &["timeout"],
        &[],
        &["timeout", "1", "nosuch", "2"],
        &["timeout", "10", "timeout", "20"],
        &["timeout", "0", "tcp-keepalive", "abc"],
        &["tcp-keepalive", "300", "timeout", "0"],
        &["maxmemory", "0"],
        &["maxmemory", "-1"],
        &["maxmemory", "abc"],
        &["maxmemory", "1.5gb"],
        &["maxclients", "0"],
        &["client-query-buffer-limit", "1gb"],
        &["client-query-buffer-limit", "1kb"],
        &["latency-monitor-threshold", "0"],
        &["latency-monitor-threshold", "-1"],
        &["client-output-buffer-limit", "normal 0 0 0"],
        &["client-output-buffer-limit", "foo 0 0 0"],
        &["client-output-buffer-limit", "normal 0 0"],
        &["port", "abc"],
        &["slowlog-log-slower-than", "-1"],
        &["slowlog-log-slower-than", "1 "],
        &["", ""],
    ];
    vec![Step::new(w, "CONFIG SET").args(w.pick(forms))]
}

/// Neither server is one of a cluster.
fn cluster(w: &mut Words) -> Vec<Step> {
    let forms: &[&str] = &[
        "ADDSLOTS 1",
        "ADDSLOTSRANGE 1 2",
        "BUMPEPOCH",
        "COUNT-FAILURE-REPORTS x",
        "COUNTKEYSINSLOT 1",
        "DELSLOTS 1 2",
        "DELSLOTSRANGE 1 2",
        "FAILOVER",
        "FLUSHSLOTS",
        "FORGET x",
        "GETKEYSINSLOT 1 1",
        "HELP",
        "INFO",
        "KEYSLOT k",
        "LINKS",
        "MEET 127.0.0.1 1",
        "MYID",
        "NODES",
        "REPLICAS x",
        "REPLICATE x",
        "RESET",
        "SAVECONFIG",
        "SET-CONFIG-EPOCH 1",
        "SETSLOT 1 STABLE",
        "SHARDS",
        "SLAVES x",
        "SLOTS",
        "NOSUCH",
    ];
    let step = Step::new(w, "CLUSTER").args(w.pick(forms).split(' '));
    vec![if w.chance(1, 8) { step.arg("more") } else { step }]
}

fn module(w: &mut Words) -> Vec<Step> {
    let forms: &[&[&str]] =
        &[&["LIST"], &["LOAD", "/x.so"], &["LOADEX", "/x.so"], &["UNLOAD", "x"], &["NOSUCH"], &[]];
    let step = Step::new(w, "MODULE");
    vec![match w.below(7) {
        0 => step.arg("HELP").norm(Norm::SameShape),
        _ => step.args(w.pick(forms)),
    }]
}

fn debug(w: &mut Words) -> Vec<Step> {
    let forms: &[&[&str]] = &[
        &["SLEEP", "0"],
        &["sleep", "0.001"],
        &["PROTOCOL", "string"],
        &["PROTOCOL", "integer"],
        &["PROTOCOL", "double"],
        &["PROTOCOL", "null"],
        &["PROTOCOL", "array"],
        &["PROTOCOL", "set"],
        &["PROTOCOL", "map"],
        &["PROTOCOL", "verbatim"],
        &["PROTOCOL", "true"],
        &["PROTOCOL", "false"],
        &["PROTOCOL", "bignum"],
        &["PROTOCOL", "foo"],
        &["PROTOCOL"],
        &["ERROR", "ERR one"],
        &["ERROR", "a\r\nb"],
        &["ERROR", ""],
        &["ERROR"],
        &["LOG", "a line"],
        &["POPULATE", "4"],
        &["POPULATE", "3", "pop"],
        &["POPULATE", "3", "pop", "20"],
        &["POPULATE", "abc"],
        &["POPULATE"],
        &["OBJECT", "no such key"],
        &["OBJECT"],
        &["NOSUCH"],
        &["set-active-expire", "1"],
        &["set-active-expire"],
    ];
    let step = Step::new(w, "DEBUG");
    // What only RESP3 has is an error before it; both servers have to agree on that as well.
    let step = match w.below(12) {
        0 => step.args(["PROTOCOL", "attrib"]),
        1 => step.args(["OBJECT"]).arg(w.key()).norm(Norm::SameShape),
        2 => step
            .args(w.pick(&[&["HELP"][..], &["HTSTATS", "0"], &["HTSTATS", "99"]]))
            .norm(Norm::SameShape),
        _ => step.args(w.pick(forms)),
    };
    vec![step]
}

fn flush(w: &mut Words, name: &'static str) -> Vec<Step> {
    let forms: &[&[&str]] =
        &[&[], &["ASYNC"], &["sync"], &["foo"], &["ASYNC", "SYNC"], &["foo"], &["0"]];
    vec![Step::new(w, name).args(w.pick(forms))]
}

fn latency(w: &mut Words) -> Vec<Step> {
    let exact: &[&[&str]] = &[
        &["LATEST"],
        &["HISTORY", "nosuch"],
        &["HISTORY"],
        &["GRAPH", "nosuch"],
        &["RESET"],
        &["RESET", "nosuch"],
        &["NOSUCH"],
        &[],
        &["HISTOGRAM", "nosuch"],
        &["LATEST", "x"],
    ];
    let shape: &[&[&str]] = &[&["DOCTOR"], &["HELP"], &["HISTOGRAM"], &["HISTOGRAM", "get"]];
    let step = Step::new(w, "LATENCY");
    vec![if w.chance(1, 3) {
        step.args(w.pick(shape)).norm(Norm::SameShape)
    } else {
        step.args(w.pick(exact))
    }]
}

fn memory(w: &mut Words) -> Vec<Step> {
    let step = Step::new(w, "MEMORY");
    vec![match w.below(6) {
        0 => step.args(w.pick(&[&["DOCTOR"][..], &["STATS"], &["HELP"]])).norm(Norm::SameShape),
        1 => step.args(w.pick(&[&["PURGE"][..], &["PURGE", "x"], &[], &["NOSUCH"]])),
        2 => step.arg("USAGE").arg(w.key()).args(w.pick(&[
            &["SAMPLES"][..],
            &["SAMPLES", "-1"],
            &["FOO", "1"],
        ])),
        3 => step.args(["USAGE", "no such key"]),
        _ => step
            .arg("USAGE")
            .arg(w.key())
            .args(w.pick(&[&[][..], &["SAMPLES", "5"]]))
            .norm(Norm::SameShape),
    }]
}

/// Both servers run with the slow log switched off, so it is always empty.
fn slowlog(w: &mut Words) -> Vec<Step> {
    let forms: &[&[&str]] = &[
        &["GET"],
        &["GET", "5"],
        &["GET", "-1"],
        &["GET", "-2"],
        &["GET", "abc"],
        &["LEN"],
        &["RESET"],
        &["NOSUCH"],
        &[],
        &["LEN", "x"],
    ];
    let step = Step::new(w, "SLOWLOG");
    vec![if w.chance(1, 10) {
        step.arg("HELP").norm(Norm::SameShape)
    } else {
        step.args(w.pick(forms))
    }]
}
