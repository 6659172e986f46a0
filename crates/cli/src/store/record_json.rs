//! A call record as JSON, for `show`, `records --json` and export manifests.
//!
//! It is built from the journal, the opened facts and, for a running recording, the durable part of
//! its media file. Positions are samples on the channel since the daemon started, from `from`
//! (inclusive) to `to` (exclusive). Milliseconds count from the start of the recording.

use crate::error::UnsealError;
use crate::store::store_dir::StoreDir;
use crate::store::unseal::PersonalFacts;
use data_encoding::HEXLOWER;
use hushbox::audio::span::{Ledger, LossCounts, LossReason, Side};
use hushbox::config::{CodecKind, Direction};
use hushbox::store::fact::{FactSpan, RecordReason, RecordReasons};
use hushbox::store::index::{BlackoutSpan, FetchEntry, Record, RemovedRange, UnmaskedRange};
use hushbox::store::media::MediaScan;
use hushbox::time::{Position, ms_of_frames};
use serde::Serialize;
use std::collections::BTreeMap;

/// The complete description of one recording.
#[derive(Debug, Serialize)]
pub struct RecordJson {
    pub recording: String,
    /// `running`, `ended` or `deleted`.
    pub state: &'static str,
    /// Whether the recording has ended.
    pub complete: bool,
    pub started: String,
    pub ended: Option<String>,
    /// The reason why it ended.
    pub end: Option<&'static str>,
    pub duration_ms: u64,
    pub agent: Option<String>,
    pub device: String,
    pub call: CallJson,
    /// Every reason it ever had.
    pub reasons: Vec<&'static str>,
    pub schedule: Option<String>,
    pub why: String,
    pub retain_until: String,
    /// `corrected` or `unconfirmed`, if the box's clock was wrong or may have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<&'static str>,
    /// The start by that clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stamped: Option<String>,
    pub protected: bool,
    pub continues: Option<String>,
    pub audio: AudioJson,
    /// The reason why phone numbers and fields are missing; `null` if they are present.
    pub sealed: Option<String>,
    pub ani: Option<String>,
    pub dnis: Option<String>,
    /// By number, `1` to `15`.
    pub fields: BTreeMap<u8, FieldJson>,
    pub history: Vec<FieldChangeJson>,
    pub blackouts: Vec<BlackoutJson>,
    /// Ranges that were stored before a press for a blackout reached the box.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmasked: Vec<UnmaskedJson>,
    /// Ranges that were removed for good.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<RemovedJson>,
    pub spans: Vec<SpanJson>,
    pub ledger: LedgerJson,
    pub media: MediaJson,
    /// The screen recording of the call.
    pub screen: Option<ScreenJson>,
    /// Fetches of its files or sealed facts over the line protocol.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<FetchJson>,
    pub deleted: Option<DeletionJson>,
}

#[derive(Debug, Serialize)]
pub struct FetchJson {
    pub at: String,
    pub by: String,
    /// `play`, `export`, `play-screen`, `export-screen`, `facts`.
    pub r#for: String,
}

#[derive(Debug, Serialize)]
pub struct CallJson {
    pub id: String,
    pub began: String,
    pub of: Option<String>,
    pub direction: Option<&'static str>,
    pub group: Option<String>,
    pub gate: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct AudioJson {
    pub channel: u16,
    pub codec: &'static str,
    /// Samples per second.
    pub rate: u32,
    pub sides: u8,
    /// The daemon start to which the positions refer.
    pub boot: u32,
    pub from: u64,
    pub to: u64,
}

#[derive(Debug, Serialize)]
pub struct FieldJson {
    pub label: Option<String>,
    pub value: String,
}

#[derive(Debug, Serialize)]
pub struct FieldChangeJson {
    pub at: String,
    pub field: u8,
    pub by: String,
    /// `null` while sealed.
    pub value: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct BlackoutJson {
    pub from: u64,
    pub to: Option<u64>,
    pub from_ms: u64,
    pub to_ms: Option<u64>,
    pub agent: String,
    pub by: String,
    /// Kind of the holder: `agent`, `supervisor` or `cti`.
    pub holder: &'static str,
    /// The reason why it ended.
    pub ended: Option<&'static str>,
    pub ended_by: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct UnmaskedJson {
    pub from: u64,
    pub to: u64,
    pub from_ms: u64,
    pub to_ms: u64,
    /// The agent who pressed, and when the press reached the box.
    pub by: String,
    pub at: String,
}

#[derive(Debug, Serialize)]
pub struct RemovedJson {
    pub at: String,
    pub by: String,
    pub reason: String,
    /// `sound`, or `screen` with positions in milliseconds.
    pub part: &'static str,
    pub from: u64,
    pub to: u64,
    /// Frames that were stored before.
    pub frames: u64,
}

#[derive(Debug, Serialize)]
pub struct SpanJson {
    /// `masked`, `held`, `lost`, or `side-lost` if the other side is stored.
    pub fate: &'static str,
    /// The reason why it was lost.
    pub reason: Option<&'static str>,
    /// The side that was lost: `agent` or `customer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    pub from: u64,
    pub to: u64,
    pub from_ms: u64,
    pub to_ms: u64,
}

/// Sample counts: `captured` = `stored` + `masked` + `held` + `lost`.
#[derive(Debug, Serialize)]
pub struct LedgerJson {
    pub captured: u64,
    pub stored: u64,
    pub masked: u64,
    pub held: u64,
    pub lost: u64,
    pub lost_by: BTreeMap<&'static str, u64>,
    /// Stored samples of which one side is lost, by side and reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub side_lost_by: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

#[derive(Debug, Serialize)]
pub struct MediaJson {
    /// Path in the data directory.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 from the journal; `null` while the recording runs.
    pub digest: Option<String>,
}

/// Counts in milliseconds of the system clock since the daemon started.
#[derive(Debug, Serialize)]
pub struct ScreenJson {
    pub complete: bool,
    pub spans: Vec<SpanJson>,
    pub ledger: LedgerJson,
    pub media: MediaJson,
}

#[derive(Debug, Serialize)]
pub struct DeletionJson {
    pub at: String,
    pub why: String,
    pub by: String,
}

impl RecordJson {
    /// Builds the document. `scan`: the media file of a running recording.
    pub fn from_record(
        store: &StoreDir,
        record: &Record,
        personal: &Result<PersonalFacts, UnsealError>,
        scan: Option<&MediaScan>,
    ) -> RecordJson {
        let (began, rate) = (&record.began, record.began.rate.max(1));
        let ended = record.ended.as_ref();
        let scan = scan.filter(|_| ended.is_none());
        let ledger = ended.map(|e| e.ledger).or(scan.map(|s| s.ledger)).unwrap_or_default();
        let to = ended.map(|e| e.to).or(scan.map(|s| s.to)).unwrap_or(began.from);
        let spans = scan.map_or(record.spans(), |scan| scan.spans.as_slice());
        let ms = |at: Position| ms_of_frames(at.0.saturating_sub(began.from.0), rate);
        let open = personal.as_ref().ok();
        let call = &began.call;
        RecordJson {
            recording: record.id().to_string(),
            state: state_name(record),
            complete: ended.is_some(),
            started: record.started_at().to_string(),
            ended: record.ended_at.map(|at| record.correct_stamp(at).to_string()),
            end: ended.map(|ended| ended.end.as_str()),
            duration_ms: ms_of_frames(ledger.total_captured(), rate),
            agent: call.agent.clone(),
            device: call.device.clone(),
            call: CallJson {
                id: call.call.clone(),
                began: record.correct_stamp(call.began).to_string(),
                of: call.consult_of.clone(),
                direction: direction_name(call.direction),
                group: call.group.clone(),
                gate: call.gate.clone(),
            },
            reasons: reason_names(record.reasons_ever),
            schedule: began.schedule.clone(),
            why: began.why.clone(),
            retain_until: record.retention_end().to_string(),
            clock: record.clock.as_str(),
            stamped: record.clock.as_str().map(|_| record.at.to_string()),
            protected: record.is_protected,
            continues: began.continues.map(|id| id.to_string()),
            audio: audio_json(record, to),
            sealed: personal.as_ref().err().map(UnsealError::to_string),
            ani: open.and_then(|open| open.numbers.ani.clone()),
            dnis: open.and_then(|open| open.numbers.dnis.clone()),
            fields: open.map(|open| fields_json(store, open)).unwrap_or_default(),
            history: history_json(record, open),
            blackouts: record.blackouts.iter().map(|span| blackout_json(span, ms)).collect(),
            unmasked: record.unmasked.iter().map(|range| unmasked_json(range, ms)).collect(),
            removed: record.removed.iter().map(|range| removed_json(record, range)).collect(),
            spans: spans.iter().map(|span| span_json(span, ms)).collect(),
            ledger: ledger_json(&ledger),
            media: MediaJson {
                file: record.media_path(),
                size: ended.map(|e| e.size).or(scan.map(|s| s.good_bytes)).unwrap_or(0),
                digest: ended.map(|ended| HEXLOWER.encode(&ended.digest)),
            },
            screen: screen_json(record),
            fetched: record.fetches.iter().map(|fetch| fetch_json(record, fetch)).collect(),
            deleted: record.deleted.as_ref().map(|deletion| DeletionJson {
                at: record.correct_stamp(deletion.at).to_string(),
                why: deletion.why.clone(),
                by: deletion.by.clone(),
            }),
        }
    }
}

fn screen_json(record: &Record) -> Option<ScreenJson> {
    let ended = record.screen.as_ref()?.ended.as_ref();
    let spans = ended.map_or(&[][..], |ended| &ended.blackout_spans);
    let from = ended.map_or(0, |e| e.to.0.saturating_sub(e.ledger.total_captured()));
    let ms = |at: Position| at.0.saturating_sub(from);
    Some(ScreenJson {
        complete: ended.is_some(),
        spans: spans.iter().map(|span| span_json(span, ms)).collect(),
        ledger: ledger_json(&ended.map(|ended| ended.ledger).unwrap_or_default()),
        media: MediaJson {
            file: record.screen_path(),
            size: ended.map_or(0, |ended| ended.size),
            digest: ended.map(|ended| HEXLOWER.encode(&ended.digest)),
        },
    })
}

/// Returns `running`, `ended` or `deleted`.
fn state_name(record: &Record) -> &'static str {
    match (&record.deleted, &record.ended) {
        (Some(_), _) => "deleted",
        (None, Some(_)) => "ended",
        (None, None) => "running",
    }
}

fn direction_name(of: Option<Direction>) -> Option<&'static str> {
    of.map(|direction| match direction {
        Direction::In => "in",
        Direction::Out => "out",
    })
}

fn reason_names(reasons: RecordReasons) -> Vec<&'static str> {
    RecordReason::ALL
        .into_iter()
        .filter(|reason| reasons.contains(*reason))
        .map(RecordReason::as_str)
        .collect()
}

fn audio_json(record: &Record, to: Position) -> AudioJson {
    let began = &record.began;
    let codec = began.codec.as_str();
    let (channel, rate, sides) = (began.channel, began.rate, began.sides);
    AudioJson { channel, codec, rate, sides, boot: record.boot, from: began.from.0, to: to.0 }
}

fn fields_json(store: &StoreDir, open: &PersonalFacts) -> BTreeMap<u8, FieldJson> {
    let labels = &store.config.fields;
    let label = |field: u8| labels.get(usize::from(field.saturating_sub(1))).cloned().flatten();
    let all = open.fields.iter();
    all.map(|(n, value)| (*n, FieldJson { label: label(*n), value: value.clone() })).collect()
}

fn fetch_json(record: &Record, fetch: &FetchEntry) -> FetchJson {
    let at = record.correct_stamp(fetch.at).to_string();
    FetchJson { at, by: fetch.by.clone(), r#for: fetch.why.clone() }
}

fn history_json(record: &Record, open: Option<&PersonalFacts>) -> Vec<FieldChangeJson> {
    let change = |(index, change): (usize, &hushbox::store::index::FieldChange)| FieldChangeJson {
        at: record.correct_stamp(change.at).to_string(),
        field: change.field,
        by: change.by.clone(),
        value: open.and_then(|open| open.history.get(index).cloned()),
    };
    record.history.iter().enumerate().map(change).collect()
}

fn blackout_json(span: &BlackoutSpan, ms: impl Fn(Position) -> u64) -> BlackoutJson {
    BlackoutJson {
        from: span.from.0,
        to: span.to.map(|to| to.0),
        from_ms: ms(span.from),
        to_ms: span.to.map(&ms),
        agent: span.agent.clone(),
        by: span.by.clone(),
        holder: span.holder.as_str(),
        ended: span.end.map(|end| end.as_str()),
        ended_by: span.ended_by.clone(),
    }
}

fn unmasked_json(range: &UnmaskedRange, ms: impl Fn(Position) -> u64) -> UnmaskedJson {
    let (from_ms, to_ms) = (ms(range.from), ms(range.to));
    let (by, at) = (range.by.clone(), range.at.to_string());
    UnmaskedJson { from: range.from.0, to: range.to.0, from_ms, to_ms, by, at }
}

fn removed_json(record: &Record, range: &RemovedRange) -> RemovedJson {
    let is_screen = range.is_screen || record.began.codec == CodecKind::Screen;
    RemovedJson {
        at: record.correct_stamp(range.at).to_string(),
        by: range.by.clone(),
        reason: range.reason.clone(),
        part: if is_screen { "screen" } else { "sound" },
        from: range.from.0,
        to: range.to.0,
        frames: range.frames,
    }
}

fn span_json(of: &FactSpan, ms: impl Fn(Position) -> u64) -> SpanJson {
    SpanJson {
        fate: of.fate.as_str(),
        reason: of.fate.loss_reason().map(LossReason::as_str),
        side: of.fate.lost_side().map(Side::as_str),
        from: of.from.0,
        to: of.to.0,
        from_ms: ms(of.from),
        to_ms: ms(of.to),
    }
}

fn loss_counts(counts: LossCounts) -> BTreeMap<&'static str, u64> {
    LossReason::ALL.into_iter().map(LossReason::as_str).zip(counts).collect()
}

fn ledger_json(ledger: &Ledger) -> LedgerJson {
    let sides = Side::ALL.into_iter().filter(|side| ledger.total_side_lost(*side) > 0);
    let side_lost_by =
        sides.map(|side| (side.as_str(), loss_counts(ledger.side_lost[side.index()]))).collect();
    LedgerJson {
        captured: ledger.total_captured(),
        stored: ledger.stored,
        masked: ledger.masked,
        held: ledger.held,
        lost: ledger.total_lost(),
        lost_by: loss_counts(ledger.lost),
        side_lost_by,
    }
}
