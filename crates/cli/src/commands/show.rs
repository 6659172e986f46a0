//! `hushbox show ID`: shows everything about one recording, and which parts are sealed.

use crate::Outcome;
use crate::cli::ShowArgs;
use crate::commands::records::scan_running_media;
use crate::error::Error;
use crate::output::escape::escape_text;
use crate::site_time::to_site_text;
use crate::store::record_json::{BlackoutJson, RecordJson, RemovedJson, SpanJson, UnmaskedJson};
use crate::store::store_dir::StoreDir;
use crate::store::unseal::IdentityKeyring;
use jiff::tz::TimeZone;
use protocol::text::format_duration;
use std::fmt::Write as _;
use std::io::Write as _;

pub fn run(args: &ShowArgs) -> Result<Outcome, Error> {
    let store = StoreDir::open(&args.config)?;
    let keyring = IdentityKeyring::open(&store, args.identity.as_deref())?;
    let record = store.find_record(&args.id)?;
    let personal = keyring.open_personal_facts(&store, &record);
    let scan = scan_running_media(&store, &record);
    let document = RecordJson::from_record(&store, &record, &personal, scan.as_ref());
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &document)
            .map_err(|error| Error::Stdout(error.into()))?;
        writeln!(out).map_err(Error::Stdout)?;
    } else {
        let text = format_text(&document, &store.config.time_zone);
        out.write_all(text.as_bytes()).map_err(Error::Stdout)?;
    }
    Ok(Outcome::Done)
}

/// Formats the document as text, with times of the site.
fn format_text(document: &RecordJson, zone: &TimeZone) -> String {
    let mut page = TextPage { text: String::new(), zone };
    write_facts(&mut page, document);
    write_personal(&mut page, document);
    page.add_title("fetched", document.fetched.is_empty());
    for fetch in &document.fetched {
        let at = page.time(&fetch.at);
        page.add_item(&format!("{at} by {} for {}", fetch.by, fetch.r#for));
    }
    page.add_title("blackouts", document.blackouts.is_empty());
    document.blackouts.iter().for_each(|blackout| page.add_item(&format_blackout(blackout)));
    page.add_title("should have been masked, and is stored", document.unmasked.is_empty());
    document.unmasked.iter().for_each(|range| page.add_item(&format_unmasked(range)));
    page.add_title("removed for good", document.removed.is_empty());
    for range in &document.removed {
        let RemovedJson { part, from, to, by, reason, .. } = range;
        let at = page.time(&range.at);
        page.add_item(&format!("{part} {from} to {to}, at {at} by {by}: {reason}"));
    }
    page.add_title("not stored", document.spans.is_empty());
    document.spans.iter().for_each(|span| page.add_item(&format_span(span)));
    write_ledger(&mut page, document);
    page.text
}

fn write_facts(page: &mut TextPage<'_>, document: &RecordJson) {
    let state = match (document.state, document.end) {
        ("ended", Some(end)) => format!("ended ({end})"),
        ("running", _) => "running; counted up to the last durable audio".to_owned(),
        (state, _) => state.to_owned(),
    };
    page.add_pair("recording", &document.recording);
    page.add_pair("state", &state);
    let stamped = document.clock.zip(document.stamped.as_ref());
    let note = stamped.map(|(word, at)| format!(" ({word}; the clock of the box said {at})"));
    let started = page.time(&document.started);
    page.add_pair("started", &format!("{started}{}", note.unwrap_or_default()));
    page.add_optional("ended", &document.ended.as_ref().map(|at| page.time(at)));
    page.add_pair(
        "length",
        &format!("{} ({} ms)", format_duration(document.duration_ms), document.duration_ms),
    );
    page.add_optional("agent", &document.agent);
    page.add_pair("device", &document.device);
    page.add_pair(
        "call",
        &format!("{}, since {}", document.call.id, page.time(&document.call.began)),
    );
    page.add_optional("consult of", &document.call.of);
    page.add_optional("direction", &document.call.direction.map(str::to_owned));
    page.add_optional("group", &document.call.group);
    page.add_optional("gate", &document.call.gate);
    page.add_pair("reasons", &document.reasons.join(", "));
    page.add_optional("schedule", &document.schedule);
    page.add_optional("why", &Some(document.why.clone()).filter(|why| !why.is_empty()));
    let held = if document.protected { ", under legal hold" } else { "" };
    page.add_pair("kept until", &format!("{}{held}", page.time(&document.retain_until)));
    page.add_optional("continues", &document.continues);
    let audio = &document.audio;
    let sides = if audio.sides == 2 { "two sides" } else { "one side" };
    let (codec, rate, channel) = (audio.codec, audio.rate, audio.channel);
    page.add_pair("audio", &format!("{codec}, {rate} Hz, {sides}, channel {channel}"));
    let (from, to, boot) = (audio.from, audio.to, audio.boot);
    page.add_pair("positions", &format!("{from} to {to}, in daemon start {boot}"));
    page.add_pair("file", &format!("{}, {} bytes", document.media.file, document.media.size));
    page.add_optional("digest", &document.media.digest);
    if let Some(deleted) = &document.deleted {
        page.add_pair(
            "deleted",
            &format!("{}, {}, by {}", page.time(&deleted.at), deleted.why, deleted.by),
        );
    }
}

fn write_personal(page: &mut TextPage<'_>, document: &RecordJson) {
    if let Some(why) = &document.sealed {
        page.add_pair("personal", &format!("phone numbers and fields not shown: {why}"));
    }
    page.add_optional("ani", &document.ani);
    page.add_optional("dnis", &document.dnis);
    page.add_title("fields", document.fields.is_empty());
    for (number, field) in &document.fields {
        let label = field.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
        page.add_item(&format!("user{number}{label}: {}", field.value));
    }
    page.add_title("history", document.history.is_empty());
    for change in &document.history {
        let value = change.value.as_deref().unwrap_or("sealed");
        let at = page.time(&change.at);
        page.add_item(&format!("{at} user{} by {}: {value}", change.field, change.by));
    }
}

fn write_ledger(page: &mut TextPage<'_>, document: &RecordJson) {
    let ledger = &document.ledger;
    page.add_title("ledger, in samples", false);
    page.add_item(&format!(
        "captured {} = stored {} + masked {} + held {} + lost {}",
        ledger.captured, ledger.stored, ledger.masked, ledger.held, ledger.lost
    ));
    for (reason, frames) in ledger.lost_by.iter().filter(|(_, frames)| **frames > 0) {
        page.add_item(&format!("lost {frames}: {reason}"));
    }
    for (side, counts) in &ledger.side_lost_by {
        for (reason, frames) in counts.iter().filter(|(_, frames)| **frames > 0) {
            page.add_item(&format!("{side}'s side lost in {frames} of the stored: {reason}"));
        }
    }
}

fn format_blackout(blackout: &BlackoutJson) -> String {
    let to = blackout.to.map_or("still open".to_owned(), |to| to.to_string());
    let to_ms = blackout.to_ms.map_or("…".to_owned(), |ms| ms.to_string());
    let mut line = format!(
        "{} to {to} ({} to {to_ms} ms), of {}, by {} as {}",
        blackout.from, blackout.from_ms, blackout.agent, blackout.by, blackout.holder
    );
    if let Some(ended) = blackout.ended {
        let by = blackout.ended_by.as_deref().unwrap_or("-");
        let _ = write!(line, ", ended by {ended} ({by})");
    }
    line
}

fn format_unmasked(range: &UnmaskedJson) -> String {
    let UnmaskedJson { from, to, from_ms, to_ms, by, at } = range;
    format!("{from} to {to} ({from_ms} to {to_ms} ms): {by} pressed, and the press came at {at}")
}

fn format_span(span: &SpanJson) -> String {
    let why = span.reason.map_or(String::new(), |reason| format!(" ({reason})"));
    let SpanJson { from, to, from_ms, to_ms, .. } = span;
    let fate = span.side.map_or(span.fate.to_owned(), |side| format!("{side}'s side lost"));
    format!("{fate}{why}: {from} to {to} ({from_ms} to {to_ms} ms)")
}

/// A text page under construction, with escaped values.
struct TextPage<'a> {
    text: String,
    zone: &'a TimeZone,
}

impl TextPage<'_> {
    /// Formats a time of the document for people at the site.
    fn time(&self, text: &str) -> String {
        to_site_text(text, self.zone)
    }

    fn add_pair(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.text, "{name:<12} {}", escape_text(value));
    }

    fn add_optional(&mut self, name: &str, value: &Option<String>) {
        if let Some(value) = value {
            self.add_pair(name, value);
        }
    }

    fn add_title(&mut self, name: &str, empty: bool) {
        if !empty {
            let _ = writeln!(self.text, "{name}:");
        }
    }

    fn add_item(&mut self, text: &str) {
        let _ = writeln!(self.text, "  {}", escape_text(text));
    }
}
