//! Rows: one recording's entry in a listing, with the locations of its journal entries.
//!
//! A row is built from a record, or changed by facts after its day was closed; both ways give the
//! same row. Numbers, fields, spans, digest and history stay in the journal. `rebuild_record`
//! restores the whole record from the entries a row points to.

use crate::config::Direction;
use crate::id::RecordingId;
use crate::store::day::Locator;
use crate::store::fact::{CallFacts, Fact, JournalEntry, RecordReasons};
use crate::store::index::{
    BlackoutSpan, ClockCorrection, FETCH_ENTRIES_MAX, Index, LateFact, Record, RecordFacets,
};
use crate::time::{WallTime, ms_of_frames};

/// One recording in a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordRow {
    pub sequence: u64,
    pub id: RecordingId,
    /// Stamp of its start.
    pub at: WallTime,
    pub boot: u32,
    /// Duration from the first to the last frame; 0 while the recording runs.
    pub duration_ms: u64,
    pub agent: Option<String>,
    pub device: String,
    pub call: String,
    pub direction: Option<Direction>,
    /// Every reason for which it has been recorded.
    pub reasons: RecordReasons,
    pub schedule: Option<String>,
    pub blackouts: Vec<BlackoutSpan>,
    /// Lost frames, for any reason.
    pub lost: u64,
    /// Bytes of its media file and its screen file.
    pub size: u64,
    pub retain_until: WallTime,
    pub is_running: bool,
    pub is_protected: bool,
    pub is_deleted: bool,
    /// Locations of its entries, except those of blackouts.
    pub entries: Vec<Locator>,
    /// How its stamps are put right; a summary does not contain it.
    pub clock: ClockCorrection,
}

impl RecordRow {
    #[must_use]
    pub fn from_record(record: &Record) -> RecordRow {
        let (began, call) = (&record.began, &record.began.call);
        let ended = record.ended.as_ref();
        let frames = ended.map_or(0, |ended| ended.to.0.saturating_sub(began.from.0));
        RecordRow {
            sequence: record.sequence,
            id: began.id,
            at: record.at,
            boot: record.boot,
            duration_ms: duration_ms(frames, began.rate),
            agent: call.agent.clone(),
            device: call.device.clone(),
            call: call.call.clone(),
            direction: call.direction,
            reasons: record.reasons_ever,
            schedule: began.schedule.clone(),
            blackouts: record.blackouts.clone(),
            lost: ended.map_or(0, |ended| ended.ledger.total_lost()),
            size: record.total_bytes(),
            retain_until: began.retain_until,
            is_running: ended.is_none(),
            is_protected: record.is_protected,
            is_deleted: record.deleted.is_some(),
            entries: record.entries.clone(),
            clock: record.clock,
        }
    }

    /// Returns the properties a filter examines.
    #[must_use]
    pub fn facets(&self) -> RecordFacets<'_> {
        RecordFacets {
            id: self.id,
            sequence: self.sequence,
            at: self.started_at(),
            agent: self.agent.as_deref(),
            device: &self.device,
            call: &self.call,
            is_running: self.is_running,
            is_deleted: self.is_deleted,
        }
    }

    /// Returns the path of its media file, relative to the data directory.
    #[must_use]
    pub fn media_path(&self) -> String {
        crate::store::layout::media_path(self.at, self.id)
    }

    /// Returns when it began, with a wrong clock put right.
    #[must_use]
    pub fn started_at(&self) -> WallTime {
        self.clock.correct(self.at)
    }

    /// Whether the recording may be deleted at the proven time `now`, by the rule of
    /// `Index::expired_records`.
    #[must_use]
    pub fn is_expired(&self, now: WallTime) -> bool {
        let is_over = self.clock.retention_end(self.retain_until) <= now;
        !self.is_deleted && !self.is_protected && !self.is_running && is_over
    }

    /// Applies a fact that was appended after the day was closed, as the index would have.
    pub fn apply_late(&mut self, late: &LateFact) {
        if self.is_deleted {
            return;
        }
        match &late.entry.fact {
            Fact::RecordingChanged { call, .. } => self.change_call(call),
            Fact::RecordingReasons { reasons, .. } => self.reasons.0 |= reasons.0,
            Fact::RecordingRetention { retain_until, .. } => self.retain_until = *retain_until,
            Fact::FieldSet { .. } | Fact::RecordingWhy { .. } | Fact::ScreenBegan { .. } => {}
            Fact::BlackoutMissed { .. } | Fact::ScreenAligned { .. } => {}
            Fact::Fetched { .. } if self.entries.len() >= FETCH_ENTRIES_MAX => return,
            Fact::Fetched { .. } => {}
            Fact::ScreenEnded(ended) => self.size = self.size.saturating_add(ended.size),
            Fact::Redacted(redaction) => {
                let rest = self.size.saturating_sub(redaction.size_before);
                self.size = rest.saturating_add(redaction.file.size);
                if !redaction.is_screen {
                    self.lost = redaction.file.ledger.total_lost();
                }
            }
            Fact::Protected { on, .. } => self.is_protected = *on,
            Fact::Deleted { .. } => self.is_deleted = true,
            // A running recording is carried from day to day, so this is a repeated end.
            Fact::RecordingEnded(_) => return,
            _ => return,
        }
        self.entries.push(late.place);
    }

    fn change_call(&mut self, call: &CallFacts) {
        self.agent.clone_from(&call.agent);
        self.device.clone_from(&call.device);
        self.call.clone_from(&call.call);
        self.direction = call.direction;
    }
}

fn duration_ms(frames: u64, rate: u32) -> u64 {
    // A journal may hold any bytes: the product must not overflow.
    ms_of_frames(frames.min(u64::MAX / 1000), rate.max(1))
}

/// Rebuilds the whole record of a row from `entries`, which the row points to, in order. Returns
/// `None` if they do not describe it.
#[must_use]
pub fn rebuild_record(row: &RecordRow, entries: &[JournalEntry]) -> Option<Record> {
    let mut index = Index::for_boot(row.boot);
    for (place, entry) in row.entries.iter().zip(entries) {
        index.apply_at(row.sequence, *place, entry);
    }
    let mut record = index.take_record(row.id)?;
    record.blackouts.clone_from(&row.blackouts);
    (entries.len() == row.entries.len()).then_some(record)
}
