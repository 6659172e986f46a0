//! The history of a recording: what happened when, in the time of the site, sorted by moment.

use super::records::{SEALED_TEXT, value_or_empty};
use super::waveform;
use crate::media::sealed_facts;
use crate::site_time::{SiteZone, after_ms};
use jiff::Timestamp;
use protocol::client::Pairs;

/// An event of a recording.
pub struct TimelineEvent {
    /// The moment by which events are sorted; what has none comes last.
    moment: Timestamp,
    /// The moment as people at the site read it.
    pub at: String,
    pub by: String,
    pub what: String,
}

/// A range that a blackout came too late to mask.
pub struct RemovableRange {
    pub from_ms: u64,
    pub to_ms: u64,
    /// The range as people at the site read it.
    pub text: String,
}

/// Sorted rows of a `show` reply.
pub struct RecordInfo {
    pub record: Pairs,
    pub rate: u64,
    pub from: u64,
    pub frames: u64,
    start: Timestamp,
    pub zone: SiteZone,
}

impl Drop for RecordInfo {
    fn drop(&mut self) {
        sealed_facts::zeroize_row(&mut self.record);
    }
}

impl RecordInfo {
    pub fn from_rows(rows: &[Pairs], zone: &SiteZone) -> Option<RecordInfo> {
        let mut record = rows.iter().find(|row| row.get("what") == Some("record"))?.clone();
        // A detail that is too long for the row of the record has a row of its own.
        for row in rows.iter().filter(|row| row.get("what") == Some("detail")) {
            let place = record.0.iter_mut().find(|(key, _)| row.get("key") == Some(key.as_str()));
            if let (Some((_, value)), Some(whole)) = (place, row.get("value")) {
                whole.clone_into(value);
            }
        }
        let number = |key| record.get(key).and_then(|v| v.parse::<u64>().ok());
        let (rate, from) = (number("rate")?.max(1), number("from")?);
        let start: Timestamp = record.get("start")?.parse().ok()?;
        let frames = number("to").unwrap_or(from).saturating_sub(from);
        Some(RecordInfo { rate, from, frames, start, record, zone: zone.clone() })
    }

    /// Moment of a position on the recording's own clock.
    fn moment_at(&self, position: u64) -> Timestamp {
        after_ms(self.start, position.saturating_sub(self.from).saturating_mul(1000) / self.rate)
    }

    /// Time of a position, as people at the site read it.
    pub fn time_at(&self, position: u64) -> String {
        self.zone.format(self.moment_at(position))
    }

    /// An event at a position of the recording.
    fn event_at(&self, position: u64, by: String, what: String) -> TimelineEvent {
        let moment = self.moment_at(position);
        TimelineEvent { moment, at: self.zone.format(moment), by, what }
    }

    /// An event at a time that the row has.
    fn timed_event(&self, row: &Pairs, key: &str, what: String) -> TimelineEvent {
        let text = value_or_empty(row, key);
        let (moment, by) = (text.parse().unwrap_or(Timestamp::MAX), value_or_empty(row, "by"));
        TimelineEvent { moment, at: self.zone.format_text(&text), by, what }
    }

    /// Whether the recording has no end yet.
    pub fn is_running(&self) -> bool {
        value_or_empty(&self.record, "ended").is_empty()
    }

    pub fn is_under_legal_hold(&self) -> bool {
        self.record.get("protected") == Some("on")
    }

    pub fn duration_ms(&self) -> u64 {
        self.frames * 1000 / self.rate
    }
}

pub fn parse_position(row: &Pairs, key: &str) -> Option<u64> {
    row.get(key).and_then(|value| value.parse().ok())
}

/// Describes a fetch by its journalled purpose.
fn describe_fetch(purpose: Option<&str>) -> &'static str {
    match purpose {
        Some("play") => "Listened to",
        Some("export") => "Exported",
        Some("play-screen") => "Screen watched",
        Some("export-screen") => "Screen exported",
        Some("facts") => "Given numbers and fields, sealed",
        _ => "Fetched",
    }
}

/// A press for a blackout that came too late to mask a range.
fn unmasked_event(info: &RecordInfo, row: &Pairs) -> TimelineEvent {
    let at = |key| parse_position(row, key).unwrap_or(0);
    let until = info.time_at(at("to"));
    let what = format!("NOT MASKED until {until}: a press for a blackout came too late");
    info.event_at(at("from"), value_or_empty(row, "by"), what)
}

/// A range that was removed later.
fn removed_event(info: &RecordInfo, row: &Pairs) -> TimelineEvent {
    let reason = value_or_empty(row, "reason");
    let what = if row.get("part") == Some("screen") {
        format!("A part of the screen was removed for good: {reason}")
    } else {
        let at = |key| info.time_at(parse_position(row, key).unwrap_or(0));
        format!("{} to {} was removed for good: {reason}", at("from"), at("to"))
    };
    info.timed_event(row, "at", what)
}

/// The ranges that late blackouts left, for a supervisor who may remove them.
pub fn removable_ranges(
    info: &RecordInfo,
    rows: &[Pairs],
    is_allowed: bool,
) -> Vec<RemovableRange> {
    let rows = rows.iter().filter(|row| is_allowed && row.get("what") == Some("unmasked"));
    let range = |row: &Pairs| {
        let (from, to) = (parse_position(row, "from")?, parse_position(row, "to")?);
        let scaled = |at: u64| at.saturating_sub(info.from).saturating_mul(1000);
        let text = format!("{} to {}", info.time_at(from), info.time_at(to));
        let (from_ms, to_ms) = (scaled(from) / info.rate, scaled(to).div_ceil(info.rate));
        Some(RemovableRange { from_ms, to_ms, text })
    };
    rows.filter_map(range).collect()
}

/// The beginning and the end of a blackout.
fn blackout_events(info: &RecordInfo, row: &Pairs) -> impl Iterator<Item = TimelineEvent> {
    let by = || value_or_empty(row, "by");
    let began = format!("Blackout began ({})", value_or_empty(row, "holder"));
    let began = info.event_at(parse_position(row, "from").unwrap_or(0), by(), began);
    let ended = parse_position(row, "to").map(|to| {
        let what = format!("Blackout ended ({})", value_or_empty(row, "ended"));
        info.event_at(to, by(), what)
    });
    [began].into_iter().chain(ended)
}

pub fn timeline_events(info: &RecordInfo, rows: &[Pairs]) -> Vec<TimelineEvent> {
    let began = "Recording began".to_owned();
    let mut steps = vec![info.event_at(info.from, value_or_empty(&info.record, "reasons"), began)];
    for row in rows {
        match row.get("what") {
            Some("blackout") => steps.extend(blackout_events(info, row)),
            Some("unmasked") => steps.push(unmasked_event(info, row)),
            Some("removed") => steps.push(removed_event(info, row)),
            Some("fetched") => {
                let what = describe_fetch(row.get("for")).to_owned();
                steps.push(info.timed_event(row, "time", what));
            }
            Some("history") => {
                let sealed = info.record.get("sealed") == Some("yes");
                let value =
                    if sealed { SEALED_TEXT.to_owned() } else { value_or_empty(row, "value") };
                let what = format!("Field {}: {value}", value_or_empty(row, "n"));
                steps.push(info.timed_event(row, "time", what));
            }
            Some("span") if row.get("fate") != Some("masked") => {
                let what = waveform::describe_span(row, info.rate);
                let at = parse_position(row, "from").unwrap_or(0);
                steps.push(info.event_at(at, String::new(), what));
            }
            _ => {}
        }
    }
    let ended = value_or_empty(&info.record, "ended");
    if !ended.is_empty() {
        let what = format!("Recording ended ({ended})");
        steps.push(info.event_at(info.from + info.frames, String::new(), what));
    }
    steps.sort_by_key(|step| step.moment);
    if let Some(more) = rows.iter().find(|row| row.get("what") == Some("more")) {
        let what =
            format!("{} more, which `hushbox show` on the box tells", value_or_empty(more, "rows"));
        let (at, by) = (String::new(), String::new());
        steps.push(TimelineEvent { moment: Timestamp::MAX, at, by, what });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lines: &[&str]) -> Vec<Pairs> {
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.replace('_', " "));
        let row = |line: &&str| {
            Pairs(line.split(' ').filter_map(|word| word.split_once('=')).map(pair).collect())
        };
        lines.iter().map(row).collect()
    }

    #[test]
    fn timeline_is_sorted_by_time_in_the_hour_that_happens_twice() {
        let zone = SiteZone::from_name("Europe/Berlin");
        let rows = rows(&[
            "what=record start=2026-10-25T00:59:50Z rate=8000 from=0 to=320000 ended=stop",
            "what=unmasked from=40000 to=88000 by=jdoe",
            "what=blackout from=88000 to=160000 by=jdoe holder=agent ended=stop",
            "what=removed part=sound from=40000 to=88000 by=boss at=2026-10-25T07:00:00Z \
             reason=card_data",
        ]);
        let info = RecordInfo::from_rows(&rows, &zone).unwrap();
        let steps = timeline_events(&info, &rows);
        let told: Vec<(&str, &str)> =
            steps.iter().map(|step| (&step.at[11..], &step.what[..9])).collect();
        assert_eq!(
            told,
            [
                ("02:59:50 +02:00", "Recording"),
                ("02:59:55 +02:00", "NOT MASKE"),
                ("02:00:01 +01:00", "Blackout "),
                ("02:00:10 +01:00", "Blackout "),
                ("02:00:30 +01:00", "Recording"),
                ("08:00:00", "2026-10-2"),
            ]
        );
        assert!(steps[5].what.ends_with("was removed for good: card data"), "{}", steps[5].what);
        let ranges = removable_ranges(&info, &rows, true);
        let found: Vec<_> = ranges.iter().map(|range| (range.from_ms, range.to_ms)).collect();
        assert_eq!(found, [(5000, 11_000)]);
        assert!(removable_ranges(&info, &rows, false).is_empty());
    }
}
