//! LATENCY: the spikes that the latency monitor has seen, and how long each command takes.

use hdrhistogram::Histogram;

use crate::command::{Command, Flags, Group, Row, registry};
use crate::commands::reply_help;
use crate::ctx::Ctx;
use crate::error::{Error, Outcome};
use crate::latency::LatencyEvent;

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);
const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

pub(crate) const ROWS: &[Row] = &[Row::container(
    "latency",
    &[
        row(
            "doctor",
            2,
            doctor,
            "2.8.13",
            ["Says in words what the latency monitor has seen.", ""],
        ),
        row("graph", 3, graph, "2.8.13", ["Draws the latencies of an event.", "event"]),
        Row::new("help", 2, help).flags(Flags::LOADING.union(Flags::STALE)).docs(
            Group::Server,
            "2.8.13",
            "O(1)",
            "Explains the subcommands.",
            "",
        ),
        row(
            "histogram",
            -2,
            histogram,
            "7.0.0",
            ["Returns how the times of commands are distributed.", "[command ...]"],
        ),
        row("history", 3, history, "2.8.13", ["Returns the latencies of an event.", "event"]),
        row("latest", 2, latest, "2.8.13", ["Returns the last latency of every event.", ""]),
        row("reset", -2, reset, "2.8.13", ["Forgets the latencies of events.", "[event ...]"])
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    ],
)
.docs(Group::Server, "2.8.13", "Depends on the subcommand", "Shows what took long.", "")];

const fn row(
    name: &'static str,
    arity: i32,
    handler: crate::command::Handler,
    since: &'static str,
    text: [&'static str; 2],
) -> Row {
    Row::new(name, arity, handler).flags(ADMIN).tips(TIPS).docs(
        Group::Server,
        since,
        "O(N), where N is the number of samples",
        text[0],
        text[1],
    )
}

fn history(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let event = ctx.engine.latency.event(ctx.args.get(2)).unwrap_or_default();
    ctx.out.array(event.samples.len());
    for (time, ms) in event.samples {
        ctx.out.array(2);
        ctx.out.int(time);
        ctx.out.int(ms as i64);
    }
    Ok(())
}

fn latest(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let events = ctx.engine.latency.events();
    ctx.out.array(events.len());
    for (name, event) in events {
        let (time, ms) = event.samples.back().copied().unwrap_or_default();
        ctx.out.array(4);
        ctx.out.bulk(name.as_bytes());
        ctx.out.int(time);
        ctx.out.int(ms as i64);
        ctx.out.int(event.max as i64);
    }
    Ok(())
}

fn reset(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let monitor = &ctx.engine.latency;
    let forgotten: usize = match ctx.args.len() {
        2 => monitor.reset(None),
        _ => ctx.args.iter_from(2).map(|name| monitor.reset(Some(name))).sum(),
    };
    ctx.out.int(forgotten as i64);
    Ok(())
}

fn histogram(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let registry = registry();
    let mut wanted: Vec<&Command> = Vec::new();
    if ctx.args.len() == 2 {
        wanted.extend(registry.all());
    }
    for name in ctx.args.iter_from(2) {
        if let Some(command) = registry.find_full(name) {
            wanted.push(command);
            wanted.extend(command.subcommands.iter().map(|id| registry.get(*id)));
        }
    }
    let found: Vec<(&str, Histogram<u64>)> = wanted
        .into_iter()
        .filter_map(|command| {
            let latency = ctx.engine.stats.command(command.id).latency?;
            Some((command.full_name, latency))
        })
        .collect();
    ctx.out.map(found.len());
    for (name, latency) in found {
        ctx.out.bulk(name.as_bytes());
        ctx.out.map(2);
        ctx.out.bulk(b"calls");
        ctx.out.int(latency.len() as i64);
        ctx.out.bulk(b"histogram_usec");
        let buckets = cumulative(&latency);
        ctx.out.map(buckets.len());
        for (micros, calls) in buckets {
            ctx.out.int(micros as i64);
            ctx.out.int(calls as i64);
        }
    }
    Ok(())
}

/// How many calls took at most so many microseconds, at powers of two, without repetitions.
fn cumulative(latency: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut buckets = Vec::new();
    let mut before = 0;
    for power in 10..63 {
        // As in Redis, a bound is the highest time, in nanoseconds, that the histogram can't tell from it.
        let bound = latency.highest_equivalent(1 << power);
        let calls = latency.count_between(0, bound);
        if calls > before {
            buckets.push((bound / 1000, calls));
            before = calls;
        }
        if calls == latency.len() {
            break;
        }
    }
    buckets
}

const GRAPH_WIDTH: usize = 80;
const GRAPH_HEIGHT: u64 = 4;

fn graph(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let name = ctx.args.get(2);
    let event = ctx.engine.latency.event(name).ok_or_else(|| {
        let mut text = b"ERR No samples available for event '".to_vec();
        text.extend_from_slice(name);
        text.push(b'\'');
        Error::bytes(text)
    })?;
    let name = String::from_utf8_lossy(name);
    let text = draw(&name, &event, ctx.engine.clock.unix_us() / 1_000_000);
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The newest samples as columns, with their age written downwards below each.
fn draw(name: &str, event: &LatencyEvent, now: i64) -> String {
    let skipped = event.samples.len().saturating_sub(GRAPH_WIDTH);
    let shown: Vec<(i64, u64)> = event.samples.iter().skip(skipped).copied().collect();
    let high = shown.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
    let low = shown.iter().map(|(_, ms)| *ms).min().unwrap_or(0);
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.max,
        "-".repeat(GRAPH_WIDTH)
    );
    for row in (0..GRAPH_HEIGHT).rev() {
        text.extend(shown.iter().map(|(_, ms)| {
            // Half steps, so that the lowest sample is still seen.
            let steps = ((ms - low) * (GRAPH_HEIGHT * 2 - 1)).checked_div(high - low).unwrap_or(1);
            match steps {
                steps if steps > row * 2 => '#',
                steps if steps == row * 2 => '_',
                _ => ' ',
            }
        }));
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<String> = shown.iter().map(|(time, _)| age((now - time).max(0))).collect();
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        text.extend(
            ages.iter().map(|age| age.as_bytes().get(line).map_or(' ', |b| char::from(*b))),
        );
        text.push('\n');
    }
    text
}

fn age(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn doctor(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let threshold = ctx.settings.latency_monitor_threshold;
    let events = ctx.engine.latency.events();
    let mut text = String::new();
    if threshold == 0 && events.is_empty() {
        text.push_str(
            "The latency monitor is off, so there is nothing to say. \"CONFIG SET latency-monitor-threshold \
             <milliseconds>\" turns it on: events that take at least so long are noted from then on.\n",
        );
    } else if events.is_empty() {
        text.push_str(&format!("No event has taken {threshold} milliseconds or more so far.\n"));
    }
    for (name, event) in &events {
        let count = event.samples.len().max(1) as u64;
        let sum: u64 = event.samples.iter().map(|(_, ms)| ms).sum();
        text.push_str(&format!(
            "{name}: {count} spikes, {} ms on average, the worst {} ms. {}\n",
            sum / count,
            event.max,
            advice(name)
        ));
    }
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn advice(event: &str) -> &'static str {
    match event {
        "command" => {
            "SLOWLOG GET tells which commands these were; SCAN in steps what KEYS does at once."
        }
        "fast-command" => {
            "Such commands take no time of their own: look at how many runnable threads share the processor, and \
             for swapping."
        }
        _ => "LATENCY GRAPH shows when they happened.",
    }
}

fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    reply_help(
        ctx,
        &[
            "DOCTOR",
            "    Say in words what the monitor has seen.",
            "GRAPH <event>",
            "    Draw the samples of an event.",
            "HISTOGRAM [<command> ...]",
            "    Show, for each command, how many calls took at most so many microseconds.",
            "HISTORY <event>",
            "    Show the samples of an event: time and milliseconds.",
            "LATEST",
            "    Show each event's last sample and its worst.",
            "RESET [<event> ...]",
            "    Forget the samples of these events, or of all.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{Harness, START_MS};

    #[test]
    fn histograms_take_what_is_short_and_what_is_long() {
        let mut h = Harness::new();
        let id = crate::command::lookup(b"set").expect("it is there").id;
        h.worker.record(id, 0, 1);
        let small = h.engine.stats.command(id).latency.expect("it was recorded");
        h.worker.record(id, 5_000_000_000, 2);
        h.worker.record(id, 200_000_000_000, 1);
        let all = h.engine.stats.command(id).latency.expect("it was recorded");
        assert_eq!((small.len(), all.len()), (1, 4));
        assert!(all.distinct_values() > small.distinct_values(), "it has grown");
        let near = |at: f64, wanted: f64| {
            let seconds = all.value_at_quantile(at) as f64 / 1e9;
            assert!((seconds / wanted - 1.0).abs() < 0.01, "{seconds} at {at}");
        };
        near(0.5, 5.0);
        near(1.0, 100.0);
    }

    #[test]
    fn bounds_are_the_histograms_powers_of_two() {
        let mut latency = Histogram::<u64>::new_with_bounds(1, 100_000_000_000, 2).unwrap();
        for nanos in [1, 1031, 1032, 32_768, 33_023, 33_024] {
            latency.record(nanos).unwrap();
        }
        assert_eq!(cumulative(&latency), [(1, 2), (2, 3), (33, 5), (66, 6)]);
    }

    #[test]
    fn histograms_of_commands_and_containers() {
        let mut h = Harness::new();
        h.line("SET k v");
        h.line("CONFIG GET hz");
        let set =
            "$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:1\r\n:1\r\n";
        assert_eq!(h.line("LATENCY HISTOGRAM set nosuch get"), format!("*2\r\n{set}"));
        assert!(h.line("LATENCY HISTOGRAM config").starts_with("*2\r\n$10\r\nconfig|get\r\n"));
        assert!(h.line("LATENCY HISTOGRAM").contains(set));
    }

    #[test]
    fn events_are_shown_and_forgotten() {
        let mut h = Harness::new();
        let now = START_MS / 1000;
        assert_eq!(h.line("LATENCY LATEST"), "*0\r\n");
        assert!(h.line("LATENCY DOCTOR").contains("monitor is off"));
        h.engine.latency.add("command", now - 100, 30);
        h.engine.latency.add("command", now, 20);
        let latest = format!("*1\r\n*4\r\n$7\r\ncommand\r\n:{now}\r\n:20\r\n:30\r\n");
        assert_eq!(h.line("LATENCY LATEST"), latest);
        let history = format!("*2\r\n*2\r\n:{}\r\n:30\r\n*2\r\n:{now}\r\n:20\r\n", now - 100);
        assert_eq!(h.line("LATENCY HISTORY command"), history);
        assert_eq!(h.line("LATENCY HISTORY none"), "*0\r\n");
        let graph = h.line("LATENCY GRAPH command");
        assert!(
            graph.contains("command - high 30 ms, low 20 ms (all time high 30 ms)\n"),
            "{graph}"
        );
        assert!(graph.contains("\n# \n# \n# \n#_\n\n10\nms\n"), "{graph}");
        assert_eq!(h.line("LATENCY GRAPH none"), "-ERR No samples available for event 'none'\r\n");
        assert!(h.line("LATENCY DOCTOR").contains("command: 2 spikes, 25 ms on average"));
        assert_eq!(h.line("LATENCY RESET none"), ":0\r\n");
        assert_eq!(h.line("LATENCY RESET command fork"), ":1\r\n");
    }
}
