//! The section on memory, and the figures that MEMORY STATS and MEMORY DOCTOR share with it.

use std::sync::atomic::Ordering;

use respire_keyspace::Held;

use super::{Human, Report, ratio};
use crate::engine::Engine;
use crate::host::Memory;

/// All tables of keys and of keys that expire.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tables {
    /// Bytes.
    pub(crate) memory: u64,
    /// Bytes of arrays that resizes are moving to.
    pub(crate) growing: u64,
    /// Resizes under way.
    pub(crate) resizes: u64,
}

impl Tables {
    pub(crate) fn of(engine: &Engine, held: &Held<'_>) -> Self {
        const BUCKET: u64 = 64;
        let mut all = Self::default();
        for shard in 0..engine.keyspace.shard_count() as u32 {
            held.with(shard, |shard| {
                for db in 0..engine.keyspace.databases() {
                    let (keys, expires) = shard.db(db).stats();
                    for table in [keys, expires] {
                        all.memory += table.memory as u64;
                        all.growing += table.next_buckets as u64 * BUCKET;
                        all.resizes += u64::from(table.next_buckets > 0);
                    }
                }
            });
        }
        all
    }
}

/// Where the server's memory is, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryFigures {
    pub used: u64,
    pub startup: u64,
    pub peak: u64,
    /// Everything that is no key and no value.
    pub overhead: u64,
    pub clients: u64,
    pub keys: u64,
    pub process: Memory,
}

impl MemoryFigures {
    /// With so many bytes in use.
    pub(crate) fn of(engine: &Engine, held: &Held<'_>, used: u64) -> Self {
        let process = engine.host.memory();
        let (startup, peak) = engine.samples.note_memory(used);
        let clients = engine.clients.list();
        let clients = clients.iter().map(|c| c.usage.total.load(Ordering::Relaxed)).sum();
        let databases = 0..engine.keyspace.databases();
        let tables = engine.sum_shards(held, |shard| {
            let stats = databases.clone().map(|db| shard.db(db).stats());
            stats.map(|(keys, expires)| (keys.memory + expires.memory) as u64).sum()
        });
        let keys = engine
            .sum_shards(held, |shard| databases.clone().map(|db| shard.db(db).len() as u64).sum());
        let overhead = startup + clients + tables;
        Self { used, startup, peak, overhead, clients, keys, process }
    }

    /// Bytes of keys and values.
    pub(crate) fn dataset(&self) -> u64 {
        self.used.saturating_sub(self.overhead)
    }

    /// Keys' and values' share of what was not there at the start, per cent.
    pub(crate) fn dataset_percentage(&self) -> f64 {
        ratio(self.dataset(), self.used.saturating_sub(self.startup)) * 100.0
    }
}

fn difference(a: u64, b: u64) -> i64 {
    a as i64 - b as i64
}

pub(super) fn memory(report: &mut Report<'_, '_, '_>) {
    let figures = MemoryFigures::of(report.ctx.engine, report.ctx.data.held, report.used);
    let MemoryFigures { used, startup, peak, overhead, clients, process, .. } = figures;
    let Memory { allocated, active, resident, rss, system_total } = process;
    let settings = report.ctx.settings;
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let with_human = |report: &mut Report<'_, '_, '_>, name: &str, bytes: u64| {
        report.field(name, bytes);
        report.field(&format!("{name}_human"), Human(bytes));
    };
    with_human(report, "used_memory", used);
    with_human(report, "used_memory_rss", rss);
    with_human(report, "used_memory_peak", peak);
    report.field("used_memory_peak_perc", percent(ratio(used, peak)));
    report.field("used_memory_overhead", overhead);
    report.field("used_memory_startup", startup);
    report.field("used_memory_dataset", figures.dataset());
    report.field("used_memory_dataset_perc", format_args!("{:.2}%", figures.dataset_percentage()));
    report.field("allocator_allocated", allocated);
    report.field("allocator_active", active);
    report.field("allocator_resident", resident);
    with_human(report, "total_system_memory", system_total);
    scripts(report);
    with_human(report, "maxmemory", settings.maxmemory);
    report.field("maxmemory_policy", settings.maxmemory_policy.name());
    report.field("allocator_frag_ratio", format_args!("{:.2}", ratio(active, allocated)));
    report.field("allocator_frag_bytes", difference(active, allocated));
    report.field("allocator_rss_ratio", format_args!("{:.2}", ratio(resident, active)));
    report.field("allocator_rss_bytes", difference(resident, active));
    report.field("rss_overhead_ratio", format_args!("{:.2}", ratio(rss, resident)));
    report.field("rss_overhead_bytes", difference(rss, resident));
    report.field("mem_fragmentation_ratio", format_args!("{:.2}", ratio(rss, used)));
    report.field("mem_fragmentation_bytes", difference(rss, used));
    report.field("mem_not_counted_for_evict", report.ctx.engine.host.memory_apart());
    report.field("mem_replication_backlog", 0);
    report.fields(&["mem_total_replication_buffers", "mem_clients_slaves"], 0);
    report.field("mem_clients_normal", clients);
    report.fields(&["mem_cluster_links", "mem_aof_buffer"], 0);
    let allocator = report.host.allocator.clone();
    report.field("mem_allocator", allocator);
    let tables = Tables::of(report.ctx.engine, report.ctx.data.held);
    report.field("mem_overhead_db_hashtable_rehashing", tables.growing);
    let effort = report.ctx.engine.compaction.effort.load(Ordering::Relaxed);
    report.field("active_defrag_running", effort);
    report.field("lazyfree_pending_objects", 0);
    let freed = report.ctx.engine.lazily_freed.load(Ordering::Relaxed);
    report.field("lazyfreed_objects", freed);
}

/// What scripts and functions use: the Lua states of all threads, and the texts that they share.
fn scripts(report: &mut Report<'_, '_, '_>) {
    let engine = report.ctx.engine;
    let (cache, libraries) = (&engine.scripting.cache, &engine.scripting.libraries);
    let (eval, functions) = engine.stats.lua_memory();
    let (texts, codes) = (cache.memory() as u64, libraries.memory() as u64);
    let (library_count, function_count) = libraries.count();
    report.fields(&["used_memory_lua", "used_memory_vm_eval"], eval);
    report.field("used_memory_lua_human", Human(eval));
    report.field("used_memory_scripts_eval", texts);
    report.field("number_of_cached_scripts", cache.len());
    report.field("number_of_functions", function_count);
    report.field("number_of_libraries", library_count);
    report.field("used_memory_vm_functions", functions);
    report.field("used_memory_vm_total", eval + functions);
    report.field("used_memory_vm_total_human", Human(eval + functions));
    report.field("used_memory_functions", codes);
    report.field("used_memory_scripts", texts + codes);
    report.field("used_memory_scripts_human", Human(texts + codes));
}
