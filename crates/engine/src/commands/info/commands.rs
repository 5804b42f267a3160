//! The sections on single commands: calls, times, errors.

use hdrhistogram::Histogram;

use super::Report;
use crate::command::registry;
use crate::config::Settings;

pub(super) fn commandstats(report: &mut Report<'_, '_, '_>) {
    for command in registry().all() {
        let stats = report.ctx.engine.stats.command(command.id);
        if stats.calls + stats.rejected + stats.failed == 0 {
            continue;
        }
        let micros = stats.nanos / 1000;
        let per_call = stats.nanos as f64 / 1000.0 / stats.calls.max(1) as f64;
        report.field(
            &format!("cmdstat_{}", command.full_name),
            format_args!(
                "calls={},usec={micros},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
                stats.calls, stats.rejected, stats.failed
            ),
        );
    }
}

pub(super) fn errorstats(report: &mut Report<'_, '_, '_>) {
    for (code, count) in report.ctx.engine.stats.errors() {
        let name = format!("errorstat_{}", String::from_utf8_lossy(&code));
        report.field(&name, format_args!("count={count}"));
    }
}

pub(super) fn latencystats(report: &mut Report<'_, '_, '_>) {
    for command in registry().all() {
        if let Some(histogram) = report.ctx.engine.stats.command(command.id).latency {
            let line = percentiles(&histogram, report.ctx.settings);
            report.field(&format!("latency_percentiles_usec_{}", command.full_name), line);
        }
    }
}

/// `p50=0.001,p99=1.003`: microseconds.
fn percentiles(histogram: &Histogram<u64>, settings: &Settings) -> String {
    let parts = settings.latency_tracking_info_percentiles.iter().map(|percentile| {
        let name = format!("{percentile:.6}");
        let name = name.trim_end_matches('0').trim_end_matches('.');
        let micros = histogram.value_at_percentile(*percentile) as f64 / 1000.0;
        format!("p{name}={micros:.3}")
    });
    parts.collect::<Vec<_>>().join(",")
}
