//! The sections on what has been done: requests, bytes, keys.

use std::sync::atomic::Ordering;

use super::Report;
use crate::pubsub::Topic;

pub(super) fn stats(report: &mut Report<'_, '_, '_>) {
    let engine = report.ctx.engine;
    let totals = engine.stats.totals();
    let rates = engine.samples.rates();
    let kilo = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    let expired = engine.sum_shards(report.ctx.data.held, |shard| shard.expired());
    let expired = expired.saturating_sub(engine.expired_before.load(Ordering::Relaxed));
    let elements = engine.sum_shards(report.ctx.data.held, |shard| shard.expired_elements());
    let elements = elements.saturating_sub(engine.expired_elements_before.load(Ordering::Relaxed));
    report.field("total_connections_received", totals.connections);
    report.field("total_commands_processed", totals.commands);
    report.field("instantaneous_ops_per_sec", rates.commands);
    report.field("total_net_input_bytes", totals.net_in);
    report.field("total_net_output_bytes", totals.net_out);
    report.fields(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"], 0);
    report.field("instantaneous_input_kbps", kilo(rates.net_in));
    report.field("instantaneous_output_kbps", kilo(rates.net_out));
    report.fields(&["instantaneous_input_repl_kbps", "instantaneous_output_repl_kbps"], "0.00");
    report.field("rejected_connections", engine.rejected_connections.load(Ordering::Relaxed));
    report.fields(&["sync_full", "sync_partial_ok", "sync_partial_err"], 0);
    report.field("expired_subkeys", elements);
    report.field("expired_keys", expired);
    // The cycle looks at every key that is due; none is left over to be estimated.
    report.field("expired_stale_perc", "0.00");
    report.field("expired_time_cap_reached_count", totals.expire_cycle_capped);
    report.field("expire_cycle_cpu_milliseconds", totals.expire_cycle_ns / 1_000_000);
    report.field("evicted_keys", totals.evicted_keys);
    report.field("evicted_clients", totals.evicted_clients);
    report.field("evicted_scripts", report.ctx.engine.scripting.cache.evicted());
    let (total, current) = engine.eviction.exceeded_ms(engine.clock.monotonic_ns());
    report.field("total_eviction_exceeded_time", total);
    report.field("current_eviction_exceeded_time", current);
    report.field("keyspace_hits", totals.hits);
    report.field("keyspace_misses", totals.misses);
    report.field("pubsub_channels", engine.pubsub.len(Topic::Channel));
    report.field("pubsub_patterns", engine.pubsub.len(Topic::Pattern));
    report.field("pubsubshard_channels", engine.pubsub.len(Topic::Shard));
    report.fields(&["latest_fork_usec", "total_forks", "migrate_cached_sockets"], 0);
    report.field("slave_expires_tracked_keys", 0);
    report.field("active_defrag_hits", engine.compaction.moved.load(Ordering::Relaxed));
    report.field("active_defrag_misses", engine.compaction.stayed.load(Ordering::Relaxed));
    report.fields(&["active_defrag_key_hits", "active_defrag_key_misses"], 0);
    let (total, current) = engine.compaction_ms();
    report.field("total_active_defrag_time", total);
    report.field("current_active_defrag_time", current);
    report.field("tracking_total_keys", engine.tracking.keys());
    report.field("tracking_total_items", engine.tracking.items());
    report.field("tracking_total_prefixes", engine.tracking.prefixes());
    report.field("unexpected_error_replies", totals.unexpected_errors);
    report.field("total_error_replies", totals.error_replies);
    report.field("dump_payload_sanitizations", 0);
    report.field("total_reads_processed", totals.reads);
    report.field("total_writes_processed", totals.writes);
    report.field("io_threaded_reads_processed", totals.reads);
    report.field("io_threaded_writes_processed", totals.writes);
    report.field("client_query_buffer_limit_disconnections", totals.query_buffer_disconnections);
    report.field("client_output_buffer_limit_disconnections", totals.output_buffer_disconnections);
    report.fields(&["reply_buffer_shrinks", "reply_buffer_expands"], 0);
    report.field("eventloop_cycles", totals.turns);
    report.field("eventloop_duration_sum", totals.turn_ns / 1000);
    report.field("eventloop_duration_cmd_sum", totals.command_ns / 1000);
    report.field("instantaneous_eventloop_cycles_per_sec", rates.turns);
    let mean_ns = rates.turn_ns / rates.turns.max(1);
    report.field("instantaneous_eventloop_duration_usec", mean_ns / 1000);
    report.field("acl_access_denied_auth", totals.acl_denied_auth);
    report.field("acl_access_denied_cmd", totals.acl_denied_cmd);
    report.field("acl_access_denied_key", totals.acl_denied_key);
    report.field("acl_access_denied_channel", totals.acl_denied_channel);
}

/// What is told only to who asks for it by its name.
pub(super) fn debug(report: &mut Report<'_, '_, '_>) {
    let stats = &report.ctx.engine.stats;
    let (totals, (longest_ns, busiest)) = (stats.totals(), stats.extreme_turns());
    report.field("eventloop_duration_aof_sum", totals.flush_ns / 1000);
    report.field("eventloop_duration_cron_sum", totals.upkeep_ns / 1000);
    report.field("eventloop_duration_max", longest_ns / 1000);
    report.field("eventloop_cmd_per_cycle_max", busiest);
}

/// Buckets of expiring keys of each shard that the average is estimated from. Keys lie in them by a hash, at random.
const TTL_BUCKETS: usize = 16;

#[derive(Default)]
struct DbFigures {
    keys: usize,
    expires: usize,
    /// Hashes with fields that expire.
    with_timed: usize,
    ttl_sum: i128,
    ttl_count: i128,
}

pub(super) fn keyspace(report: &mut Report<'_, '_, '_>) {
    let (engine, held) = (report.ctx.engine, &report.ctx.data.held);
    let now_ms = report.ctx.data.now_ms;
    for db in 0..engine.keyspace.databases() {
        let mut figures = DbFigures::default();
        for shard in 0..engine.keyspace.shard_count() as u32 {
            held.with(shard, |shard| {
                let db = shard.db(db);
                figures.keys += db.len();
                figures.expires += db.expiring();
                figures.with_timed += db.timed();
                let mut position = (db.expiring() > 0).then_some(0);
                for _ in 0..TTL_BUCKETS {
                    let Some(at) = position else { break };
                    position = db.visit_expiring(at, |entry| {
                        let left = entry.expire().unwrap_or(now_ms) - now_ms;
                        figures.ttl_sum += i128::from(left.max(0));
                        figures.ttl_count += 1;
                    });
                }
            });
        }
        if figures.keys > 0 {
            let DbFigures { keys, expires, with_timed, ttl_sum, ttl_count } = figures;
            let average = ttl_sum / ttl_count.max(1);
            report.field(
                &format!("db{db}"),
                format_args!(
                    "keys={keys},expires={expires},avg_ttl={average},subexpiry={with_timed}"
                ),
            );
        }
    }
}
