//! Directives with a syntax of their own. Readers of kept texts get what earlier lines of a file said, `None` when
//! there were none or when CONFIG SET replaces it.

use super::directive::Origin;
use super::kind::{INT_MAX, WRONG_NUMBER, one_of, parse_integer, parse_memory};
use super::settings::{OutputLimit, Rename, Settings};
use crate::acl;
use crate::command::Renames;
use crate::notify::Classes;

/// As many addresses as Redis takes.
const MAX_BIND: usize = 16;

pub(super) fn write_bind(settings: &mut Settings, args: &[&str], _: Origin) -> Result<(), String> {
    let addresses: Vec<String> = args
        .iter()
        .filter(|address| !address.is_empty())
        .map(|&address| address.to_owned())
        .collect();
    if addresses.len() > MAX_BIND {
        return Err("Too many bind addresses specified.".into());
    }
    settings.bind = addresses;
    Ok(())
}

pub(super) fn read_output_limits(settings: &Settings) -> String {
    output_limit_classes(settings).map(|(class, limit)| print_output_limit(class, limit)).join(" ")
}

/// The classes under the names that CONFIG GET answers in Redis 7.
pub(super) fn output_limit_classes(settings: &Settings) -> [(&'static str, OutputLimit); 3] {
    let limits = settings.client_output_buffer_limit;
    [("normal", limits.normal), ("slave", limits.replica), ("pubsub", limits.pubsub)]
}

pub(super) fn print_output_limit(class: &str, limit: OutputLimit) -> String {
    let OutputLimit { hard, soft, soft_seconds } = limit;
    format!("{class} {hard} {soft} {soft_seconds}")
}

/// Classes that aren't named keep their limits.
pub(super) fn write_output_limits(
    settings: &mut Settings,
    args: &[&str],
    _: Origin,
) -> Result<(), String> {
    let mut limits = settings.client_output_buffer_limit;
    let (chunks, rest) = args.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for [class, hard, soft, seconds] in chunks {
        let slot = match class.to_ascii_lowercase().as_str() {
            "normal" => &mut limits.normal,
            "slave" | "replica" => &mut limits.replica,
            "pubsub" => &mut limits.pubsub,
            _ => {
                return Err("Invalid client class specified in buffer limit configuration.".into());
            }
        };
        let seconds = parse_integer(seconds).filter(|seconds| (0..=INT_MAX).contains(seconds));
        let (Some(hard), Some(soft), Some(seconds)) =
            (parse_memory(hard), parse_memory(soft), seconds)
        else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.".into(),
            );
        };
        *slot = OutputLimit { hard, soft, soft_seconds: seconds as u64 };
    }
    settings.client_output_buffer_limit = limits;
    Ok(())
}

pub(super) fn read_percentiles(settings: &Settings) -> String {
    let texts = settings.latency_tracking_info_percentiles.iter().map(|percentile| {
        let text = format!("{percentile:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    });
    texts.collect::<Vec<_>>().join(" ")
}

pub(super) fn write_percentiles(
    settings: &mut Settings,
    args: &[&str],
    _: Origin,
) -> Result<(), String> {
    let mut percentiles = Vec::with_capacity(args.len());
    for text in args {
        let value = respire_datatypes::float::parse_f64(text.as_bytes())
            .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&value) {
            return Err(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                    .into(),
            );
        }
        percentiles.push(value);
    }
    settings.latency_tracking_info_percentiles = percentiles;
    Ok(())
}

pub(super) fn write_title_template(
    settings: &mut Settings,
    args: &[&str],
    _: Origin,
) -> Result<(), String> {
    let [template] = args else {
        return Err(WRONG_NUMBER.into());
    };
    // `None` is bad syntax; an empty title is refused as well. Little is known of the server yet.
    let sample = fill_title(template, |name| match name {
        "title" | "server-mode" => Some(""),
        "unixsocket" => Some(&settings.unixsocket),
        "listen-addr" | "port" | "tls-port" | "config-file" => Some("1"),
        _ => None,
    });
    match sample {
        Some(title) if !title.trim().is_empty() => {
            settings.proc_title_template = (*template).to_owned();
            Ok(())
        }
        _ => Err("template format is invalid or contains unknown variables".into()),
    }
}

/// What a template comes to with values for its variables; `{{` stands for a brace. `None` if it is none.
pub(super) fn fill_title<V: AsRef<str>>(
    template: &str,
    value: impl Fn(&str) -> Option<V>,
) -> Option<String> {
    let mut title = String::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        title.push_str(literal);
        if let Some(after) = after.strip_prefix('{') {
            title.push('{');
            rest = after;
            continue;
        }
        let (name, after) = after.split_once('}')?;
        title.push_str(value(name)?.as_ref());
        rest = after;
    }
    title.push_str(rest);
    Some(title)
}

pub(super) fn read_renames(settings: &Settings) -> String {
    let renames = settings.rename_command.iter();
    renames.map(|rename| format!("{} {}", rename.from, rename.to)).collect::<Vec<_>>().join("\n")
}

/// Each line applies to what the lines before have left.
pub(super) fn write_rename(
    settings: &mut Settings,
    args: &[&str],
    _: Origin,
) -> Result<(), String> {
    let [from, to] = args else {
        return Err(WRONG_NUMBER.into());
    };
    let rename = Rename { from: (*from).to_owned(), to: (*to).to_owned() };
    Renames::new(&settings.rename_command).apply(&rename)?;
    settings.rename_command.push(rename);
    Ok(())
}

/// Pairs of seconds and changes; lines of a file add up until an empty one.
pub(super) fn save_points(before: Option<&str>, args: &[&str]) -> Result<String, String> {
    if args.is_empty() {
        return Ok(String::new());
    }
    let (pairs, rest) = args.as_chunks::<2>();
    let valid = |[seconds, changes]: &[&str; 2]| {
        let at_least =
            |text, min| parse_integer(text).is_some_and(|n| (min..=INT_MAX).contains(&n));
        at_least(seconds, 1) && at_least(changes, 0)
    };
    if !rest.is_empty() || !pairs.iter().all(valid) {
        return Err("Invalid save parameters".into());
    }
    let mut points: Vec<&str> = before.into_iter().filter(|text| !text.is_empty()).collect();
    points.extend(args);
    Ok(points.join(" "))
}

/// Lines add up, one per line.
pub(super) fn accumulate(before: Option<&str>, args: &[&str]) -> Result<String, String> {
    let mut lines: Vec<String> = before.map(str::to_owned).into_iter().collect();
    lines.push(args.join(" "));
    Ok(lines.join("\n"))
}

pub(super) fn read_users(settings: &Settings) -> String {
    settings.users.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join("\n")
}

/// A user may be declared once. What new users may listen to has to be said above it.
pub(super) fn write_user(settings: &mut Settings, args: &[&str], _: Origin) -> Result<(), String> {
    let words: Vec<String> = args.iter().map(|&word| word.to_owned()).collect();
    acl::declared_user(&words, acl::all_channels(settings))?;
    let name = &words[0];
    if settings.users.iter().any(|known| known[0] == *name) {
        return Err(format!(
            "Error in user declaration '{name}': Duplicate user found. A user can only be defined once in config files"
        ));
    }
    settings.users.push(words);
    Ok(())
}

pub(super) fn read_events(settings: &Settings) -> String {
    settings.notify_keyspace_events.letters()
}

pub(super) fn write_events(
    settings: &mut Settings,
    args: &[&str],
    _: Origin,
) -> Result<(), String> {
    let [events] = args else {
        return Err(WRONG_NUMBER.into());
    };
    settings.notify_keyspace_events = Classes::from_letters(events)
        .ok_or_else(|| format!("Invalid event class character. Use '{}'.", Classes::LETTERS))?;
    Ok(())
}

pub(super) fn replica_of(_: Option<&str>, args: &[&str]) -> Result<String, String> {
    match args {
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => {
            Ok(String::new())
        }
        [host, port] => match parse_integer(port) {
            Some(1..=65_535) => Ok(format!("{host} {port}")),
            _ => Err("Invalid master port".into()),
        },
        // The value that CONFIG GET answers when there is no master.
        [] => Ok(String::new()),
        _ => Err(WRONG_NUMBER.into()),
    }
}

pub(super) fn hostname(_: Option<&str>, args: &[&str]) -> Result<String, String> {
    let [name] = args else {
        return Err(WRONG_NUMBER.into());
    };
    if name.len() > 255 {
        return Err("Hostnames must be less than 256 characters".into());
    }
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !name.bytes().all(valid) {
        return Err("Hostnames may only contain alphanumeric characters, hyphens or dots".into());
    }
    Ok((*name).to_owned())
}

pub(super) fn shutdown_options(_: Option<&str>, args: &[&str]) -> Result<String, String> {
    const OPTIONS: [&str; 4] = ["save", "nosave", "now", "force"];
    let mut chosen = [false; OPTIONS.len()];
    let mut any = false;
    for arg in args {
        any = true;
        match OPTIONS.iter().position(|o| o.eq_ignore_ascii_case(arg)) {
            Some(index) => chosen[index] = true,
            None if arg.eq_ignore_ascii_case("default") => {}
            None => any = false,
        }
        if !any {
            break;
        }
    }
    if !any {
        return Err(one_of(&["default", "save", "nosave", "now", "force"]));
    }
    if chosen[0] && chosen[1] {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    let names = OPTIONS.iter().zip(chosen).filter(|(_, chosen)| *chosen);
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    Ok(if names.is_empty() { "default".to_owned() } else { names.join(" ") })
}

pub(super) fn oom_scores(_: Option<&str>, args: &[&str]) -> Result<String, String> {
    if args.len() != 3 {
        return Err(WRONG_NUMBER.into());
    }
    let valid = |text: &&str| parse_integer(text).is_some_and(|n| (-2000..=2000).contains(&n));
    if !args.iter().all(valid) {
        return Err("Invalid oom-score-adj-values, elements must be between -2000 and 2000.".into());
    }
    Ok(args.join(" "))
}
