//! The sections on the process and its clients, and those on what is not there yet.

use std::sync::atomic::Ordering;

use super::Report;
use crate::REDIS_VERSION;
use crate::client::ClientKind;
use crate::saving::PersistenceInfo;
use respire_datatypes::access;

pub(super) fn server(report: &mut Report<'_, '_, '_>) {
    let (engine, settings) = (report.ctx.engine, report.ctx.settings);
    let host = report.host.clone();
    let now_us = engine.clock.unix_us();
    let uptime = (now_us / 1000 - engine.started_ms).max(0) / 1000;
    report.field("redis_version", REDIS_VERSION);
    report.field("respire_version", env!("CARGO_PKG_VERSION"));
    report.field("redis_git_sha1", "00000000");
    report.field("redis_git_dirty", 0);
    report.field("redis_build_id", 0);
    report.field("redis_mode", "standalone");
    report.field("os", host.os);
    report.field("arch_bits", usize::BITS);
    report.field("monotonic_clock", "POSIX clock_gettime");
    report.field("multiplexing_api", "epoll");
    report.field("atomicvar_api", "rust-std");
    report.field("process_id", host.pid);
    report.field("process_supervised", "no");
    report.field("run_id", &host.run_id);
    report.field("tcp_port", settings.port);
    report.field("server_time_usec", now_us);
    report.field("uptime_in_seconds", uptime);
    report.field("uptime_in_days", uptime / 86_400);
    report.field("hz", settings.hz);
    report.field("configured_hz", settings.hz);
    report.field("lru_clock", access::lru_clock((now_us / 1_000_000) as u64));
    report.field("executable", host.executable);
    report.field("config_file", host.config_file);
    report.field("io_threads_active", u8::from(settings.io_threads > 1));
    report.field("io_threads", settings.io_threads);
    report.field("shards", settings.shards);
    for (i, listener) in host.listeners.iter().enumerate() {
        report.field(&format!("listener{i}"), listener);
    }
}

pub(super) fn clients(report: &mut Report<'_, '_, '_>) {
    let clients = report.ctx.engine.clients.list();
    let most = |of: fn(&crate::client::Usage) -> u64| {
        clients.iter().map(|client| of(&client.usage)).max().unwrap_or(0)
    };
    let watching = clients.iter().filter(|c| c.watching.load(Ordering::Relaxed) > 0).count();
    let keys: u64 = clients.iter().map(|c| u64::from(c.watching.load(Ordering::Relaxed))).sum();
    report.field("connected_clients", clients.len());
    report.field("cluster_connections", 0);
    report.field("maxclients", report.ctx.settings.maxclients);
    report.field("client_recent_max_input_buffer", most(|u| u.query.load(Ordering::Relaxed)));
    report.field("client_recent_max_output_buffer", most(|u| u.output.load(Ordering::Relaxed)));
    let engine = report.ctx.engine;
    let paused = engine.pause.waiting.load(Ordering::Relaxed);
    report.field("blocked_clients", engine.blocked.load(Ordering::Relaxed) + paused);
    report.field("tracking_clients", report.ctx.engine.tracking.clients());
    let listening = clients.iter().filter(|client| client.kind() == ClientKind::Pubsub).count();
    report.field("pubsub_clients", listening);
    report.field("watching_clients", watching);
    report.field("clients_in_timeout_table", 0);
    report.field("total_watched_keys", keys);
    let held = &*report.ctx.data.held;
    let waited_for = engine.sum_shards(held, |shard| shard.waited_for().0 as u64);
    let on_no_key = engine.sum_shards(held, |shard| shard.waited_for().1 as u64);
    report.field("total_blocking_keys", waited_for);
    report.field("total_blocking_keys_on_nokey", on_no_key);
}

pub(super) fn persistence(report: &mut Report<'_, '_, '_>) {
    let engine = report.ctx.engine;
    let changes = engine.sum_shards(report.ctx.data.held, |shard| shard.weighed_changes());
    let changes = engine.unsaved_of(changes);
    let files = engine.host.persistence();
    let status = |failed: bool| if failed { "err" } else { "ok" };
    report.field("loading", u8::from(engine.is_loading()));
    report.fields(&["async_loading", "current_cow_peak", "current_cow_size"], 0);
    report.field("current_cow_size_age", 0);
    let part = files.saved_keys as f64 * 100.0 / files.total_keys.max(1) as f64;
    report.field("current_fork_perc", format!("{part:.2}"));
    report.field("current_save_keys_processed", files.saved_keys);
    report.field("current_save_keys_total", files.total_keys);
    report.field("rdb_changes_since_last_save", changes);
    report.field("rdb_bgsave_in_progress", u8::from(files.saving));
    report.field("rdb_last_save_time", files.last_save_s);
    report.field("rdb_last_bgsave_status", status(files.save_failed));
    report.field("rdb_last_bgsave_time_sec", files.last_save_took_s);
    report.field("rdb_current_bgsave_time_sec", files.saving_for_s);
    report.field("rdb_saves", files.saves);
    report.field("rdb_last_cow_size", 0);
    report.field("rdb_last_load_keys_expired", files.expired_keys);
    report.field("rdb_last_load_keys_loaded", files.loaded_keys);
    report.field("aof_enabled", u8::from(files.log_enabled));
    report.field("aof_rewrite_in_progress", u8::from(files.rewriting));
    report.field("aof_rewrite_scheduled", u8::from(files.rewrite_scheduled));
    report.field("aof_last_rewrite_time_sec", files.last_rewrite_took_s);
    report.field("aof_current_rewrite_time_sec", files.rewriting_for_s);
    report.field("aof_last_bgrewrite_status", status(files.rewrite_failed));
    report.field("aof_rewrites", files.rewrites);
    report.field("aof_rewrites_consecutive_failures", files.rewrite_failures);
    report.field("aof_last_write_status", status(files.log_failed));
    report.field("aof_last_cow_size", 0);
    report.fields(&["module_fork_in_progress", "module_fork_last_cow_size"], 0);
    if files.log_enabled {
        report.field("aof_current_size", files.log_size);
        report.field("aof_base_size", files.log_base_size);
        report.fields(&["aof_pending_rewrite"], u8::from(files.rewrite_scheduled));
        report.field("aof_buffer_length", files.log_waiting);
        report.fields(&["aof_pending_bio_fsync", "aof_delayed_fsync"], 0);
    }
    if engine.is_loading() {
        loading(report, &files);
    }
}

fn loading(report: &mut Report<'_, '_, '_>, files: &PersistenceInfo) {
    let now_s = report.ctx.engine.clock.unix_us() / 1_000_000;
    let (done, total) = (files.load_bytes, files.load_total_bytes.max(1));
    let took = (now_s - files.load_began_s).max(0) as u64;
    let eta = (took * total.saturating_sub(done)).checked_div(done).unwrap_or(1);
    report.field("loading_start_time", files.load_began_s);
    report.field("loading_total_bytes", files.load_total_bytes);
    report.field("loading_rdb_used_mem", 0);
    report.field("loading_loaded_bytes", done);
    report.field("loading_loaded_perc", format!("{:.2}", done as f64 * 100.0 / total as f64));
    report.field("loading_eta_seconds", eta);
}

pub(super) fn replication(report: &mut Report<'_, '_, '_>) {
    let run_id = report.host.run_id.clone();
    report.field("role", "master");
    report.field("connected_slaves", 0);
    report.field("master_failover_state", "no-failover");
    report.field("master_replid", run_id);
    report.field("master_replid2", "0".repeat(40));
    report.field("master_repl_offset", 0);
    report.field("second_repl_offset", -1);
    report.field("repl_backlog_active", 0);
    let size = report.ctx.engine.config.get(&[b"repl-backlog-size"]);
    report.field("repl_backlog_size", size.first().map_or("0", |(_, size)| size));
    report.fields(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"], 0);
}

pub(super) fn cpu(report: &mut Report<'_, '_, '_>) {
    let host = report.host.clone();
    for (name, seconds) in [
        ("used_cpu_sys", host.cpu_sys),
        ("used_cpu_user", host.cpu_user),
        ("used_cpu_sys_children", 0.0),
        ("used_cpu_user_children", 0.0),
        ("used_cpu_sys_main_thread", host.cpu_sys_main),
        ("used_cpu_user_main_thread", host.cpu_user_main),
    ] {
        report.field(name, format_args!("{seconds:.6}"));
    }
}

pub(super) fn cluster(report: &mut Report<'_, '_, '_>) {
    report.field("cluster_enabled", 0);
}
