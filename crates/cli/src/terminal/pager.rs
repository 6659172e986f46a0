//! Replies on a terminal: tables that fit the screen, paged, in colour if supported.
//!
//! `NO_COLOR` and dumb terminals are respected. For alarms the pager adds whether each is a state
//! or an event, and what to do.

use crate::commands::report;
use crate::error::Error;
use crate::output::escape::escape_text;
use crate::output::reply_format;
use crate::output::table::wrap_text;
use crate::terminal::raw_mode::{KeyAction, RawMode};
use crate::terminal::stdin;
use hushbox::alarm;
use protocol::client::{Pairs, Reply};
use protocol::text::format_duration;
use std::io::Write;
use std::time::Duration;

/// A pager for one screen size.
pub struct Pager {
    columns: usize,
    rows: usize,
    has_colour: bool,
}

/// Interval of keep-alives while a page is shown.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Maximum number of keep-alives: 15 minutes in total.
const KEEP_ALIVES_MAX: u32 = 30;
/// Commands whose empty reply is shown as `none`.
const LIST_COMMANDS: [&str; 4] = ["alarms", "calls", "clients", "records"];
/// Columns of `records` shown if not all fit.
const BRIEF_COLUMNS: [&str; 6] = ["recording", "start", "duration_ms", "agent", "device", "lost"];
/// The console's own commands, added to the recorder's list.
const CONSOLE_COMMAND_HELP: [(&str, &str); 2] = [
    ("exit", "ends the session, like quit"),
    ("setup", "prompts for name, time zone, address and PINs"),
];
const RED: &str = "\u{1b}[31m";
const RESET: &str = "\u{1b}[0m";

impl Pager {
    pub fn with_size((columns, rows): (usize, usize)) -> Pager {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty());
        Pager {
            columns: columns.max(20),
            rows: rows.max(4),
            has_colour: !is_set("NO_COLOR") && !dumb,
        }
    }

    /// Shows a reply, paged if it is long. `meanwhile` runs regularly while a page is shown.
    pub fn show_reply<E: From<Error>>(
        &self,
        (command, reply): (&str, &Reply),
        meanwhile: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut text = match command {
            _ if command.starts_with("help ") => {
                reply_format::format_lists_within(reply, self.columns)
            }
            _ if reply.rows.is_empty()
                && LIST_COMMANDS.contains(&command)
                && reply.outcome.is_ok() =>
            {
                "none\n".to_owned()
            }
            "help" => {
                reply_format::format_tables_within(&with_console_commands(reply), self.columns)
            }
            "status" => {
                reply_format::format_tables_within(&with_readable_sizes(reply), self.columns)
            }
            "alarms" => format_alarms(reply, self.columns),
            "selftest" => report::format_passed_page(reply)
                .unwrap_or_else(|| reply_format::format_tables_within(reply, self.columns)),
            _ if command.split(' ').next() == Some("records") => {
                format_records(reply, self.columns)
            }
            _ => reply_format::format_tables_within(reply, self.columns),
        };
        text.push_str(&self.format_outcome(reply));
        self.print_pages(&text, meanwhile)
    }

    fn format_outcome(&self, reply: &Reply) -> String {
        let line = reply_format::format_outcome(&with_readable_sizes(reply).outcome);
        let line = wrap_text(&escape_text(line.trim_end()), self.columns).join("\n");
        match reply.outcome.is_err() && self.has_colour {
            true => format!("{RED}{line}{RESET}\n"),
            false => line + "\n",
        }
    }

    fn print_pages<E: From<Error>>(
        &self,
        text: &str,
        meanwhile: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let lines: Vec<&str> = text.lines().collect();
        let mut left = lines.as_slice();
        while !left.is_empty() {
            let last = left.len() < self.rows;
            let count = if last { left.len() } else { self.rows - 1 };
            let (now, later) = left.split_at(count);
            print_text(&(now.join("\n") + "\n"))?;
            left = later;
            if !last && !ask_for_more(left.len(), meanwhile)? {
                break;
            }
        }
        Ok(())
    }
}

fn print_text(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Stdout)
}

/// Asks with a single key whether to show more, and then removes the question.
fn ask_for_more<E: From<Error>>(
    lines: usize,
    meanwhile: &mut dyn FnMut() -> Result<(), E>,
) -> Result<bool, E> {
    let of = if lines == 1 { "line" } else { "lines" };
    let question = format!("-- {lines} more {of}: space or Enter; q quits -- ");
    // Echo is disabled before the question, so that an early key press is not lost.
    let keys = RawMode::enable()?;
    stdin::print_question(&question);
    let mut answer = false;
    for _ in 0..KEEP_ALIVES_MAX {
        match keys.parse_key(KEEP_ALIVE_INTERVAL)? {
            Some(KeyAction::Next) => {
                answer = true;
                break;
            }
            Some(KeyAction::Stop) => break,
            Some(KeyAction::Back | KeyAction::Other) => {}
            None => meanwhile()?,
        }
    }
    stdin::print_question(&format!("\r{}\r", " ".repeat(question.len())));
    Ok(answer)
}

/// Adds the console's own commands to the list of commands.
fn with_console_commands(reply: &Reply) -> Reply {
    let mut whole = reply.clone();
    let keys = whole.rows.first().map(|row| row.0.clone()).unwrap_or_default();
    let own = |(usage, help): (&str, &str)| {
        let value = |key: &str| match key {
            "usage" => usage.to_owned(),
            "help" => help.to_owned(),
            _ => "-".to_owned(),
        };
        Pairs(keys.iter().map(|(key, _)| (key.clone(), value(key))).collect())
    };
    whole.rows.extend(CONSOLE_COMMAND_HELP.map(own).into_iter().filter(|_| reply.outcome.is_ok()));
    whole.rows.sort_by(|a, b| of(a, "usage").cmp(of(b, "usage")));
    whole
}

/// Replaces byte counts by readable sizes.
fn with_readable_sizes(reply: &Reply) -> Reply {
    let mut shown = reply.clone();
    let rows = shown.rows.iter_mut().chain(shown.outcome.as_mut().ok());
    for (key, value) in rows.flat_map(|row| row.0.iter_mut()) {
        let bytes = value.parse::<u64>().ok();
        let bytes = bytes.filter(|_| ["free", "total", "used"].contains(&key.as_str()));
        if let Some(bytes) = bytes {
            *value = format_size(bytes);
        }
    }
    shown
}

fn format_size(bytes: u64) -> String {
    match bytes {
        0..10_000_000 => format!("{}kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{}MB", bytes / 1_000_000),
        _ => format!("{}GB", bytes / 1_000_000_000),
    }
}

/// Formats a table without the `text` column, and the text below each row.
fn format_list(reply: &Reply, columns: usize) -> String {
    let mut heads = reply.clone();
    heads.rows.iter_mut().for_each(|row| row.0.retain(|(key, _)| key != "text"));
    let table = reply_format::format_tables_within(&heads, columns);
    let lines: Vec<&str> = table.lines().collect();
    if lines.len() != reply.rows.len() + 1 {
        return reply_format::format_tables_within(reply, columns);
    }
    let mut text = String::new();
    let texts = std::iter::once("").chain(reply.rows.iter().map(|row| of(row, "text")));
    for (line, text_below) in lines.iter().zip(texts) {
        text.push_str(&format!("{line}\n"));
        for part in wrap_text(&escape_text(text_below), columns.saturating_sub(7).max(20)) {
            let part = if part.is_empty() { part } else { format!("       {part}\n") };
            text.push_str(&part);
        }
    }
    text
}

/// Formats one line per recording: all columns if they fit, else the main ones.
fn format_records(reply: &Reply, columns: usize) -> String {
    let whole = reply_format::format_tables_within(reply, columns);
    if whole.lines().count() <= reply.rows.len() + 1 {
        return whole;
    }
    let mut brief = reply.clone();
    for row in &mut brief.rows {
        row.0.retain(|(key, _)| BRIEF_COLUMNS.contains(&key.as_str()));
        for (key, value) in row.0.iter_mut().filter(|(key, _)| key == "duration_ms") {
            if let Ok(ms) = value.parse::<u64>() {
                (*key, *value) = ("length".to_owned(), format_duration(ms));
            }
        }
    }
    reply_format::format_tables_within(&brief, columns)
}

/// Formats the alarms, and what to do about the active ones.
fn format_alarms(reply: &Reply, columns: usize) -> String {
    let number =
        |row: &Pairs| of(row, "alarm").parse().ok().and_then(alarm::AlarmCode::from_number);
    let mut known = reply.clone();
    for row in &mut known.rows {
        let kind = number(row).map_or("-", |code| if code.is_state() { "state" } else { "event" });
        let at = row.0.iter().position(|(key, _)| key == "severity").unwrap_or(row.0.len());
        row.0.insert(at, ("kind".to_owned(), kind.to_owned()));
    }
    let mut text = format_list(&known, columns);
    let active = reply.rows.iter().filter(|row| of(row, "state") == "active");
    let mut codes: Vec<alarm::AlarmCode> = active.filter_map(number).collect();
    codes.sort();
    codes.dedup();
    for code in codes {
        let number = code.number();
        let clear = format!("; then: alarm clear {number}");
        let advice = code.advice().to_owned() + if code.is_state() { "" } else { &clear };
        for (nth, line) in wrap_text(&advice, columns.saturating_sub(5).max(20)).iter().enumerate()
        {
            let head = if nth == 0 { format!("{number}: ") } else { " ".repeat(5) };
            text.push_str(&format!("{head}{line}\n"));
        }
    }
    text
}

fn of<'a>(row: &'a Pairs, wanted: &str) -> &'a str {
    let found = row.0.iter().find(|(key, _)| key == wanted);
    found.map_or("", |(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_alarms_show_advice_and_fit_80_columns() {
        let row = |number: &str, state: &str| {
            let text = "board demo: the card was unplugged; plug it in again and check its cable";
            let pairs = [
                ("alarm", number),
                ("code", "board-down"),
                ("severity", "critical"),
                ("since", "2026-11-22T16:19:11.123Z"),
                ("state", state),
                ("text", text),
            ];
            Pairs(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec())
        };
        let rows = vec![row("101", "active"), row("102", "resolved"), row("102", "active")];
        let reply = Reply { rows, data: Vec::new(), outcome: Ok(Pairs::default()) };
        let text = format_alarms(&reply, 80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("101: A sound card delivers no audio"), "{text}");
        assert!(text.contains("state") && text.contains("event"), "{text}");
        assert!(text.contains("\n       board demo: the card was unplugged; plug it"), "{text}");
        assert!(text.ends_with("then: alarm clear 102\n"), "{text}");
        assert_eq!(text.matches("alarm clear").count(), 1, "a state cannot be cleared: {text}");
    }

    #[test]
    fn h2_sizes_are_readable_and_help_lists_console_commands() {
        let pairs = |of: &[(&str, &str)]| {
            Pairs(of.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect())
        };
        let rows = vec![pairs(&[("usage", "quit"), ("help", "ends")])];
        let ok = Ok(pairs(&[("free", "26754539520"), ("used", "9999999"), ("oldest", "-")]));
        let reply = Reply { rows, data: Vec::new(), outcome: ok };
        let shown = reply_format::format_outcome(&with_readable_sizes(&reply).outcome);
        assert_eq!(shown, "ok free=26GB used=9999kB oldest=-\n");
        let usages = with_console_commands(&reply)
            .rows
            .iter()
            .map(|row| of(row, "usage").to_owned())
            .collect();
        let usages: Vec<String> = usages;
        assert_eq!(usages, ["exit", "quit", "setup"]);
    }
    #[test]
    fn h2_recordings_take_one_line_at_80_columns() {
        let row = [
            ("recording", "5z5jqh2qfcecfana"),
            ("start", "2026-11-22T16:19:11.123Z"),
            ("duration_ms", "3723999"),
            ("agent", "jane"),
            ("device", "1001"),
            ("call", "0123456789abcdef"),
            ("schedule", "everything"),
            ("lost", "0"),
        ];
        let row = Pairs(row.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec());
        let rows = vec![row.clone(), row];
        let reply = Reply { rows, data: Vec::new(), outcome: Ok(Pairs::default()) };
        let brief = format_records(&reply, 80);
        assert_eq!(brief.lines().count(), 3, "{brief}");
        assert!(brief.contains("1:02:03") && brief.contains("lost"), "{brief}");
        assert!(brief.lines().all(|line| line.chars().count() <= 80), "{brief}");
        assert!(format_records(&reply, 120).contains("everything"));
    }
}
