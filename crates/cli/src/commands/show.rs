//! `hushbox show ID`: everything that is known of one recording.
//!
//! What is sealed and cannot be opened is said to be so. Nothing here opens audio.

use crate::Outcome;
use crate::cli::ShowArgs;
use crate::commands::records::{length, running_scan};
use crate::error::Failure;
use crate::output::table::plain;
use crate::store::record_json::{Blackout, Document, Span};
use crate::store::store_dir::StoreDir;
use crate::store::unseal::Keyring;
use std::fmt::Write as _;
use std::io::Write as _;

pub fn run(args: &ShowArgs) -> Result<Outcome, Failure> {
    let store = StoreDir::open(&args.config)?;
    let keyring = Keyring::open(&store, args.identity.as_deref())?;
    let record = store.record(&args.id)?;
    let personal = keyring.personal(&store, &record);
    let scan = running_scan(&store, &record);
    let document = Document::make(&store, &record, &personal, scan.as_ref());
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &document)
            .map_err(|error| Failure::Output(error.into()))?;
        writeln!(out).map_err(Failure::Output)?;
    } else {
        out.write_all(text(&document).as_bytes()).map_err(Failure::Output)?;
    }
    Ok(Outcome::Done)
}

/// The document for people.
fn text(document: &Document) -> String {
    let mut page = Page(String::new());
    facts(&mut page, document);
    personal(&mut page, document);
    page.title("fetched", document.fetched.is_empty());
    for fetch in &document.fetched {
        page.item(&format!("{} by {} for {}", fetch.at, fetch.by, fetch.r#for));
    }
    page.title("blackouts", document.blackouts.is_empty());
    document.blackouts.iter().for_each(|blackout| page.item(&blackout_line(blackout)));
    page.title("not stored", document.spans.is_empty());
    document.spans.iter().for_each(|span| page.item(&span_line(span)));
    ledger(&mut page, document);
    page.0
}

fn facts(page: &mut Page, document: &Document) {
    let state = match (document.state, document.end) {
        ("ended", Some(end)) => format!("ended ({end})"),
        ("running", _) => "running; what follows is what is durable so far".to_owned(),
        (state, _) => state.to_owned(),
    };
    page.pair("recording", &document.recording);
    page.pair("state", &state);
    page.pair("started", &document.started);
    page.maybe("ended", &document.ended);
    page.pair("length", &format!("{} ({} ms)", length(document.duration_ms), document.duration_ms));
    page.maybe("agent", &document.agent);
    page.pair("device", &document.device);
    page.pair("call", &format!("{}, since {}", document.call.id, document.call.began));
    page.maybe("consult of", &document.call.of);
    page.maybe("direction", &document.call.direction.map(str::to_owned));
    page.maybe("group", &document.call.group);
    page.maybe("gate", &document.call.gate);
    page.pair("reasons", &document.reasons.join(", "));
    page.maybe("schedule", &document.schedule);
    page.maybe("why", &Some(document.why.clone()).filter(|why| !why.is_empty()));
    let held = if document.protected { ", under legal hold" } else { "" };
    page.pair("kept until", &format!("{}{held}", document.retain_until));
    page.maybe("continues", &document.continues);
    let audio = &document.audio;
    let sides = if audio.sides == 2 { "two sides" } else { "one side" };
    let (codec, rate, channel) = (audio.codec, audio.rate, audio.channel);
    page.pair("audio", &format!("{codec}, {rate} Hz, {sides}, channel {channel}"));
    let (from, to, boot) = (audio.from, audio.to, audio.boot);
    page.pair("positions", &format!("{from} to {to}, since start {boot} of the box"));
    page.pair("file", &format!("{}, {} bytes", document.media.file, document.media.size));
    page.maybe("digest", &document.media.digest);
    if let Some(deleted) = &document.deleted {
        page.pair("deleted", &format!("{}, {}, by {}", deleted.at, deleted.why, deleted.by));
    }
}

fn personal(page: &mut Page, document: &Document) {
    if let Some(why) = &document.sealed {
        page.pair("personal", &format!("numbers and fields are not shown: {why}"));
    }
    page.maybe("ani", &document.ani);
    page.maybe("dnis", &document.dnis);
    page.title("fields", document.fields.is_empty());
    for (number, field) in &document.fields {
        let label = field.label.as_ref().map_or(String::new(), |label| format!(" ({label})"));
        page.item(&format!("user{number}{label}: {}", field.value));
    }
    page.title("history", document.history.is_empty());
    for change in &document.history {
        let value = change.value.as_deref().unwrap_or("sealed");
        page.item(&format!("{} user{} by {}: {value}", change.at, change.field, change.by));
    }
}

fn ledger(page: &mut Page, document: &Document) {
    let ledger = &document.ledger;
    page.title("ledger, in samples", false);
    page.item(&format!(
        "captured {} = stored {} + masked {} + held {} + lost {}",
        ledger.captured, ledger.stored, ledger.masked, ledger.held, ledger.lost
    ));
    for (reason, frames) in ledger.lost_by.iter().filter(|(_, frames)| **frames > 0) {
        page.item(&format!("lost {frames} to: {reason}"));
    }
}

fn blackout_line(blackout: &Blackout) -> String {
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

fn span_line(span: &Span) -> String {
    let why = span.reason.map_or(String::new(), |reason| format!(" ({reason})"));
    let Span { fate, from, to, from_ms, to_ms, .. } = span;
    format!("{fate}{why}: {from} to {to} ({from_ms} to {to_ms} ms)")
}

/// Text in the making; no control character gets into it.
struct Page(String);

impl Page {
    fn pair(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name:<12} {}", plain(value));
    }

    fn maybe(&mut self, name: &str, value: &Option<String>) {
        if let Some(value) = value {
            self.pair(name, value);
        }
    }

    fn title(&mut self, name: &str, empty: bool) {
        if !empty {
            let _ = writeln!(self.0, "{name}:");
        }
    }

    fn item(&mut self, text: &str) {
        let _ = writeln!(self.0, "  {}", plain(text));
    }
}
