//! A call record as a document: what `show`, `records --json` and the manifest of an export say.
//!
//! One shape for all, made once from the journal, the opened facts and, while a recording runs,
//! from what is durable of its media. Positions are samples on the channel since the daemon
//! started, from `from` inclusive to `to` exclusive; milliseconds count from the start of the
//! recording. Nothing here decides who may see it.

use crate::store::store_dir::StoreDir;
use crate::store::unseal::{Closed, Personal};
use data_encoding::HEXLOWER;
use hushbox::audio::span::{Fate, Ledger, Loss};
use hushbox::config::Direction;
use hushbox::store::fact::{FactSpan, Reason, Reasons};
use hushbox::store::index::{BlackoutSpan, Fetch, Record};
use hushbox::store::media::Scan;
use hushbox::time::{Position, ms_of_frames};
use serde::Serialize;
use std::collections::BTreeMap;

/// All about one recording.
#[derive(Debug, Serialize)]
pub struct Document {
    pub recording: String,
    /// `running`, `ended` or `deleted`.
    pub state: &'static str,
    /// It has its end, and nothing of it is only on its way to the disk.
    pub complete: bool,
    pub started: String,
    pub ended: Option<String>,
    /// Why it ended.
    pub end: Option<&'static str>,
    pub duration_ms: u64,
    pub agent: Option<String>,
    pub device: String,
    pub call: Call,
    /// Every reason it ever had.
    pub reasons: Vec<&'static str>,
    pub schedule: Option<String>,
    pub why: String,
    pub retain_until: String,
    pub protected: bool,
    pub continues: Option<String>,
    pub audio: Audio,
    /// Why numbers and fields are not here; `null` if they are.
    pub sealed: Option<String>,
    pub ani: Option<String>,
    pub dnis: Option<String>,
    /// By number, `1` to `15`.
    pub fields: BTreeMap<u8, Field>,
    pub history: Vec<Change>,
    pub blackouts: Vec<Blackout>,
    pub spans: Vec<Span>,
    pub ledger: Account,
    pub media: Media,
    /// What of its call's screen is beside it.
    pub screen: Option<Screen>,
    /// Who was given its files, or what is sealed of it, over the line protocol.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<Fetched>,
    pub deleted: Option<Deleted>,
}

#[derive(Debug, Serialize)]
pub struct Fetched {
    pub at: String,
    pub by: String,
    /// `play`, `export`, `play-screen`, `export-screen`, `facts`.
    pub r#for: String,
}

#[derive(Debug, Serialize)]
pub struct Call {
    pub id: String,
    pub began: String,
    pub of: Option<String>,
    pub direction: Option<&'static str>,
    pub group: Option<String>,
    pub gate: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Audio {
    pub channel: u16,
    pub codec: &'static str,
    /// Samples a second.
    pub rate: u32,
    pub sides: u8,
    /// The start of the daemon that positions belong to.
    pub boot: u32,
    pub from: u64,
    pub to: u64,
}

#[derive(Debug, Serialize)]
pub struct Field {
    pub label: Option<String>,
    pub value: String,
}

#[derive(Debug, Serialize)]
pub struct Change {
    pub at: String,
    pub field: u8,
    pub by: String,
    /// `null` while sealed.
    pub value: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Blackout {
    pub from: u64,
    pub to: Option<u64>,
    pub from_ms: u64,
    pub to_ms: Option<u64>,
    pub agent: String,
    pub by: String,
    /// As what: `agent`, `supervisor` or `cti`.
    pub holder: &'static str,
    /// Why it ended.
    pub ended: Option<&'static str>,
    pub ended_by: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Span {
    /// `masked`, `held` or `lost`.
    pub fate: &'static str,
    /// Why it was lost.
    pub reason: Option<&'static str>,
    pub from: u64,
    pub to: u64,
    pub from_ms: u64,
    pub to_ms: u64,
}

/// Samples: `captured` = `stored` + `masked` + `held` + `lost`.
#[derive(Debug, Serialize)]
pub struct Account {
    pub captured: u64,
    pub stored: u64,
    pub masked: u64,
    pub held: u64,
    pub lost: u64,
    pub lost_by: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
pub struct Media {
    /// In the data directory.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3, as the journal has it; `null` while it runs.
    pub digest: Option<String>,
}

/// Milliseconds, of the box's clock since the daemon started.
#[derive(Debug, Serialize)]
pub struct Screen {
    pub complete: bool,
    pub spans: Vec<Span>,
    pub ledger: Account,
    pub media: Media,
}

#[derive(Debug, Serialize)]
pub struct Deleted {
    pub at: String,
    pub why: String,
    pub by: String,
}

impl Document {
    /// `scan`: of the media file, while the recording runs.
    pub fn make(
        store: &StoreDir,
        record: &Record,
        personal: &Result<Personal, Closed>,
        scan: Option<&Scan>,
    ) -> Document {
        let (began, rate) = (&record.began, record.began.rate.max(1));
        let ended = record.ended.as_ref();
        let scan = scan.filter(|_| ended.is_none());
        let ledger = ended.map(|e| e.ledger).or(scan.map(|s| s.ledger)).unwrap_or_default();
        let to = ended.map(|e| e.to).or(scan.map(|s| s.to)).unwrap_or(began.from);
        let spans = scan.map_or(record.spans(), |scan| scan.spans.as_slice());
        let ms = |at: Position| ms_of_frames(at.0.saturating_sub(began.from.0), rate);
        let open = personal.as_ref().ok();
        let call = &began.call;
        Document {
            recording: record.id().to_string(),
            state: state(record),
            complete: ended.is_some(),
            started: record.at.to_string(),
            ended: record.ended_at.map(|at| at.to_string()),
            end: ended.map(|ended| ended.end.word()),
            duration_ms: ms_of_frames(ledger.captured(), rate),
            agent: call.agent.clone(),
            device: call.device.clone(),
            call: Call {
                id: call.call.clone(),
                began: call.began.to_string(),
                of: call.of.clone(),
                direction: direction(call.direction),
                group: call.group.clone(),
                gate: call.gate.clone(),
            },
            reasons: words(record.reasons_ever),
            schedule: began.schedule.clone(),
            why: began.why.clone(),
            retain_until: began.retain_until.to_string(),
            protected: record.protected,
            continues: began.continues.map(|id| id.to_string()),
            audio: audio(record, to),
            sealed: personal.as_ref().err().map(Closed::to_string),
            ani: open.and_then(|open| open.numbers.ani.clone()),
            dnis: open.and_then(|open| open.numbers.dnis.clone()),
            fields: open.map(|open| fields(store, open)).unwrap_or_default(),
            history: history(record, open),
            blackouts: record.blackouts.iter().map(|span| blackout(span, ms)).collect(),
            spans: spans.iter().map(|one| span(one, ms)).collect(),
            ledger: account(&ledger),
            media: Media {
                file: record.media_path(),
                size: ended.map(|e| e.size).or(scan.map(|s| s.good_bytes)).unwrap_or(0),
                digest: ended.map(|ended| HEXLOWER.encode(&ended.digest)),
            },
            screen: screen(record),
            fetched: record.fetched.iter().map(fetched).collect(),
            deleted: record.deleted.as_ref().map(|deletion| Deleted {
                at: deletion.at.to_string(),
                why: deletion.why.clone(),
                by: deletion.by.clone(),
            }),
        }
    }
}

fn screen(record: &Record) -> Option<Screen> {
    let ended = record.screen.as_ref()?.ended.as_ref();
    let spans = ended.map_or(&[][..], |ended| &ended.spans);
    let from = ended.map_or(0, |e| e.to.0.saturating_sub(e.ledger.captured()));
    let ms = |at: Position| at.0.saturating_sub(from);
    Some(Screen {
        complete: ended.is_some(),
        spans: spans.iter().map(|one| span(one, ms)).collect(),
        ledger: account(&ended.map(|ended| ended.ledger).unwrap_or_default()),
        media: Media {
            file: record.screen_path(),
            size: ended.map_or(0, |ended| ended.size),
            digest: ended.map(|ended| HEXLOWER.encode(&ended.digest)),
        },
    })
}

/// `running`, `ended` or `deleted`.
fn state(record: &Record) -> &'static str {
    match (&record.deleted, &record.ended) {
        (Some(_), _) => "deleted",
        (None, Some(_)) => "ended",
        (None, None) => "running",
    }
}

fn direction(of: Option<Direction>) -> Option<&'static str> {
    of.map(|direction| match direction {
        Direction::In => "in",
        Direction::Out => "out",
    })
}

fn words(reasons: Reasons) -> Vec<&'static str> {
    Reason::ALL.into_iter().filter(|reason| reasons.has(*reason)).map(Reason::word).collect()
}

fn audio(record: &Record, to: Position) -> Audio {
    let began = &record.began;
    let codec = began.codec.word();
    let (channel, rate, sides) = (began.channel, began.rate, began.sides);
    Audio { channel, codec, rate, sides, boot: record.boot, from: began.from.0, to: to.0 }
}

fn fields(store: &StoreDir, open: &Personal) -> BTreeMap<u8, Field> {
    let labels = &store.config.fields;
    let label = |field: u8| labels.get(usize::from(field.saturating_sub(1))).cloned().flatten();
    let all = open.fields.iter();
    all.map(|(n, value)| (*n, Field { label: label(*n), value: value.clone() })).collect()
}

fn fetched(fetch: &Fetch) -> Fetched {
    Fetched { at: fetch.at.to_string(), by: fetch.by.clone(), r#for: fetch.why.clone() }
}

fn history(record: &Record, open: Option<&Personal>) -> Vec<Change> {
    let change = |(index, change): (usize, &hushbox::store::index::FieldChange)| Change {
        at: change.at.to_string(),
        field: change.field,
        by: change.by.clone(),
        value: open.and_then(|open| open.history.get(index).cloned()),
    };
    record.history.iter().enumerate().map(change).collect()
}

fn blackout(span: &BlackoutSpan, ms: impl Fn(Position) -> u64) -> Blackout {
    Blackout {
        from: span.from.0,
        to: span.to.map(|to| to.0),
        from_ms: ms(span.from),
        to_ms: span.to.map(&ms),
        agent: span.agent.clone(),
        by: span.by.clone(),
        holder: span.holder.word(),
        ended: span.end.map(|end| end.word()),
        ended_by: span.ended_by.clone(),
    }
}

fn span(of: &FactSpan, ms: impl Fn(Position) -> u64) -> Span {
    let (fate, reason) = match of.fate {
        Fate::Stored => ("stored", None),
        Fate::Masked => ("masked", None),
        Fate::Held => ("held", None),
        Fate::Lost(loss) => ("lost", Some(loss.word())),
    };
    let (from_ms, to_ms) = (ms(of.from), ms(of.to));
    Span { fate, reason, from: of.from.0, to: of.to.0, from_ms, to_ms }
}

fn account(ledger: &Ledger) -> Account {
    let lost_by = Loss::ALL.into_iter().map(Loss::word).zip(ledger.lost).collect();
    Account {
        captured: ledger.captured(),
        stored: ledger.stored,
        masked: ledger.masked,
        held: ledger.held,
        lost: ledger.lost_all(),
        lost_by,
    }
}
