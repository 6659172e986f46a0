//! Event log lines for people: time, kind of event, description.
//!
//! Unknown events are shown with their keys. Times are RFC 3339, to the second.

use crate::output::escape::escape_text;
use crate::output::reply_format;
use protocol::client::Pairs;

/// Width of the longest event name.
const WHAT_WIDTH: usize = 15;

fn value_of<'a>(event: &'a Pairs, wanted: &str) -> &'a str {
    let found = event.0.iter().find(|(key, _)| key == wanted);
    found.map_or("", |(_, value)| value.as_str())
}

/// Whether people want to see the event. Checkpoints are for witnesses.
pub fn is_shown(event: &Pairs) -> bool {
    value_of(event, "what") != "checkpoint"
}

/// Formats an event as one line with a line end.
pub fn format_event(event: &Pairs) -> String {
    // Fractions of a second would make lines wider than a terminal.
    let time = match value_of(event, "time").split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None if value_of(event, "time").is_empty() => "-".to_owned(),
        None => value_of(event, "time").to_owned(),
    };
    let what = escape_text(&value_of(event, "what").replace('-', " "));
    let line = format!("{time:<20}  {what:<WHAT_WIDTH$}  {}", describe_event(event));
    escape_text(line.trim_end()) + "\n"
}

fn describe_event(event: &Pairs) -> String {
    let get = |key| value_of(event, key);
    match get("what") {
        "log-in" | "log-out" if get("user") == get("kind") => get("kind").to_owned(),
        "log-in" | "log-out" => format!("{} ({})", get("user"), get("kind")),
        "call-began" | "call-ended" => format!("device {}, call {}", get("device"), get("call")),
        "recording-began" => format!("device {}, recording {}", get("device"), get("recording")),
        "recording-ended" => format!("recording {}: {}", get("recording"), get("why")),
        "blackout" => format!("{} {}: {}", get("agent"), get("state"), get("why")),
        "alarm" => format!("{} {}: {}", get("alarm"), get("code"), get("text")),
        "alarm-over" => format!("{} {}", get("alarm"), get("code")),
        "lost" => {
            format!("channel {}: {} frames ({})", get("channel"), get("frames"), get("why"))
        }
        "" => format!("{} events were skipped: the line is too slow", get("lost")),
        _ => {
            let known = ["seq", "what", "time"];
            let rest = event.0.iter().filter(|(key, _)| !known.contains(&key.as_str()));
            let rest = reply_format::format_line("", &Pairs(rest.cloned().collect()));
            rest.trim().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_events_are_described_in_aligned_lines() {
        let format = |pairs: &[(&str, &str)]| {
            let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            format_event(&Pairs(pairs.iter().map(pair).collect()))
        };
        let time = ("time", "2026-11-22T16:19:11.123Z");
        assert_eq!(
            format(&[("seq", "7"), ("what", "log-in"), time, ("kind", "agent"), ("user", "a1")]),
            "2026-11-22T16:19:11Z  log in           a1 (agent)\n"
        );
        assert_eq!(
            format(&[("what", "recording-ended"), time, ("recording", "ID"), ("why", "stop")]),
            "2026-11-22T16:19:11Z  recording ended  recording ID: stop\n"
        );
        assert_eq!(
            format(&[("what", "news\u{1b}"), ("a", "b c")]),
            "-                     news\\u{1b}       a=\"b c\"\n"
        );
        assert!(format(&[("lost", "3")]).contains("3 events were skipped"));
    }
}
