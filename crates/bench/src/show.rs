//! How results look: the table, the notes under it, and the JSON document.

use crate::args::Args;
use crate::load::Report;
use crate::target::Target;
use serde_json::{Value, json};
use std::io::{self, Write as _};

/// One test's results: of the server, and with `--against` of the other one.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) first: Report,
    pub(crate) second: Option<Report>,
}

impl Comparison {
    pub(crate) fn reports(&self) -> impl Iterator<Item = &Report> {
        std::iter::once(&self.first).chain(&self.second)
    }

    /// How many times as many requests per second the first server answers.
    fn speed_ratio(&self) -> Option<f64> {
        Some(self.first.requests_per_second / self.second.as_ref()?.requests_per_second)
    }

    /// How many times the first server's processor time the second one takes.
    fn cpu_ratio(&self) -> Option<f64> {
        let second = self.second.as_ref()?.server_cpu_us_per_request?;
        let first = self.first.server_cpu_us_per_request?;
        (first > 0.0).then(|| second / first)
    }
}

/// What is measured, in a line or two.
pub(crate) fn title(
    args: &Args,
    first: &Target,
    second: Option<&Target>,
    embedded: bool,
) -> String {
    let mut title = match embedded {
        true => "An embedded server, in the client's own process".to_owned(),
        false => format!("Server {}", first.address),
    };
    if let Some(second) = second {
        title.push_str(&format!(" (A) against {} (B)", second.address));
    }
    let amount = match (args.requests, args.duration) {
        (None, Some(duration)) => format!("{} s", duration.as_secs_f64()),
        (Some(requests), Some(duration)) => {
            format!("{} requests or {} s", grouped(requests), duration.as_secs_f64())
        }
        (requests, None) => format!("{} requests", grouped(requests.unwrap_or(100_000))),
    };
    title.push_str(&format!(
        ": {} connections, {amount}, {} keys of {} bytes, values of {} bytes",
        args.connections,
        grouped(args.keyspace),
        args.key_size,
        args.value_size
    ));
    if let Some(rate) = args.rate {
        title.push_str(&format!("; open loop, {rate} requests/s"));
    }
    title
}

/// Prints the table row by row, so that the first results show while the next test runs.
#[derive(Debug)]
pub(crate) struct Printer {
    silent: bool,
    quiet: bool,
    title: Option<String>,
}

impl Printer {
    pub(crate) fn new(args: &Args, title: String) -> Printer {
        Printer { silent: args.json, quiet: args.quiet, title: Some(title) }
    }

    pub(crate) fn row(&mut self, comparison: &Comparison) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let sides = comparison.second.is_some();
        if let Some(title) = self.title.take() {
            if !self.quiet {
                writeln!(out, "{title}\n")?;
            }
            let side = if sides { "   " } else { "" };
            writeln!(
                out,
                "{:<28}{side}{:>12}{:>10}{:>10}{:>10}{:>10}{:>12}",
                "test", "requests/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "CPU µs/req"
            )?;
        }
        for (report, side) in comparison.reports().zip(["A", "B"]) {
            let side = if sides { format!("  {side}") } else { String::new() };
            writeln!(
                out,
                "{:<28}{side}{:>12}{:>10.1}{:>10.1}{:>10.1}{:>10.1}{:>12}",
                label(report),
                grouped(report.requests_per_second as u64),
                report.latency_us(0.5),
                report.latency_us(0.99),
                report.latency_us(0.999),
                report.max_latency_us(),
                figure(report.server_cpu_us_per_request),
            )?;
        }
        if let Some(speed) = comparison.speed_ratio() {
            let cpu = comparison.cpu_ratio().map_or("n/a".into(), |ratio| format!("{ratio:.2}x"));
            writeln!(out, "{:<28}   {:>11.2}x{:>52}", "  A is better by", speed, cpu)?;
        }
        Ok(())
    }

    /// What a reader of the table should know: errors, misses, why a figure is missing.
    pub(crate) fn notes(&self, all: &[Comparison]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for report in all.iter().flat_map(Comparison::reports).filter(|report| report.errors > 0) {
            let text = report.first_error.as_deref().unwrap_or_default();
            writeln!(
                out,
                "\n{}: {} errors, the first: {text}",
                label(report),
                grouped(report.errors)
            )?;
        }
        if self.quiet {
            return Ok(());
        }
        for report in all.iter().flat_map(Comparison::reports).filter(|report| report.nulls > 0) {
            writeln!(
                out,
                "\n{}: {} of {} requests found no key (--load fills the key space first)",
                label(report),
                grouped(report.nulls),
                grouped(report.requests)
            )?;
        }
        let reasons = all.iter().flat_map(Comparison::reports);
        if let Some(reason) = reasons.filter_map(|report| report.no_cpu_because.as_ref()).next() {
            writeln!(out, "\nThe server's CPU per request is unknown: {reason}")?;
        }
        Ok(())
    }
}

fn label(report: &Report) -> String {
    match report.pipeline {
        1 => report.name.clone(),
        pipeline => format!("{}, batches of {pipeline}", report.name),
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or("n/a".into(), |value| format!("{value:.3}"))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn json(
    args: &Args,
    first: &Target,
    second: Option<&Target>,
    all: &[Comparison],
) -> Value {
    let tests: Vec<Value> = all
        .iter()
        .map(|comparison| {
            let mut test = report_json(&comparison.first);
            if let Some(second) = &comparison.second {
                test["against"] = report_json(second);
                test["requests_per_second_ratio"] = json!(comparison.speed_ratio());
                test["server_cpu_ratio"] = json!(comparison.cpu_ratio());
            }
            test
        })
        .collect();
    json!({
        "server": first.address.to_string(),
        "against": second.map(|second| second.address.to_string()),
        "connections": args.connections,
        "keyspace": args.keyspace,
        "key_size": args.key_size,
        "value_size": args.value_size,
        "distribution": format!("{:?}", args.distribution).to_lowercase(),
        "rate": args.rate,
        "rounds": args.rounds(),
        "seed": args.seed,
        "tests": tests,
    })
}

fn report_json(report: &Report) -> Value {
    json!({
        "test": report.name,
        "pipeline": report.pipeline,
        "requests": report.requests,
        "errors": report.errors,
        "first_error": report.first_error,
        "nulls": report.nulls,
        "seconds": report.seconds,
        "requests_per_second": report.requests_per_second,
        "latency_us": {
            "mean": report.mean_latency_us(),
            "p50": report.latency_us(0.5),
            "p99": report.latency_us(0.99),
            "p99.9": report.latency_us(0.999),
            "max": report.max_latency_us(),
        },
        "server_cpu_us_per_request": report.server_cpu_us_per_request,
        "no_server_cpu_because": report.no_cpu_because,
        "client_cpu_us_per_request": report.client_cpu_us_per_request,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let texts: Vec<String> = [0, 999, 1_000, 1_234_567].map(grouped).into();
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }
}
