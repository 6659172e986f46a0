//! Records: the state of one recording, folded from its facts by `Index::apply`.

use super::{ClockCorrection, RecordFacets};
use crate::id::RecordingId;
use crate::store::day::Locator;
use crate::store::fact::{
    BlackoutEnd, BlackoutHolder, BlackoutNumber, CallFacts, FactSpan, RecordReason, RecordReasons,
    RecordingBegan, RecordingEnd, RecordingEnded, Redaction, SealedBytes,
};
use crate::time::{Position, WallTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Maximum entries of a record to which fetches are added. Later fetches are in the journal only,
/// because a listing holds the location of every entry and must stay short.
pub const FETCH_ENTRIES_MAX: usize = 500;

/// A call record: all that the journal says about one recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Journal sequence of the entry that began it.
    pub sequence: u64,
    /// Stamp of its start; together with the id it determines the media path.
    pub at: WallTime,
    /// The daemon start to which its positions refer.
    pub boot: u32,
    /// The start, with the newest call metadata, numbers and retention.
    pub began: RecordingBegan,
    /// Current reasons, or those at the end; empty if the last reason was removed.
    pub reasons: RecordReasons,
    /// Every reason it ever had.
    pub reasons_ever: RecordReasons,
    pub ended: Option<RecordingEnded>,
    /// Time at which the end was appended.
    pub ended_at: Option<WallTime>,
    pub blackouts: Vec<BlackoutSpan>,
    /// Newest value of each user-defined field, 1 to 15.
    pub fields: BTreeMap<u8, SealedBytes>,
    /// Every field update (F5), oldest first.
    pub history: Vec<FieldChange>,
    pub is_protected: bool,
    pub deleted: Option<Deletion>,
    /// Fetches of its files, oldest first.
    pub fetches: Vec<FetchEntry>,
    /// The screen recording beside its audio.
    pub screen: Option<ScreenRecord>,
    /// Ranges that a blackout should have masked, and that were stored before its press came.
    pub unmasked: Vec<UnmaskedRange>,
    /// Ranges that were removed for good, oldest first.
    pub removed: Vec<RemovedRange>,
    /// Locations of its entries, except those of blackouts.
    pub entries: Vec<Locator>,
    /// How its stamps are put right. The clock history has it, so it is not stored with the record.
    #[serde(skip)]
    pub clock: ClockCorrection,
}

/// The part of a blackout that affects one recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlackoutSpan {
    pub number: BlackoutNumber,
    /// The agent whose calls it masks.
    pub agent: String,
    /// The name and kind of the client that opened it.
    pub by: String,
    pub holder: BlackoutHolder,
    pub from: Position,
    /// `None` while it is open and the recording runs.
    pub to: Option<Position>,
    /// How the blackout ended (G4); `None` while it is open on any channel.
    pub end: Option<BlackoutEnd>,
    pub ended_by: Option<String>,
}

/// A range of a recording that was stored although the agent had pressed for a blackout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmaskedRange {
    /// When the press came.
    pub at: WallTime,
    /// The agent who pressed.
    pub by: String,
    pub from: Position,
    pub to: Position,
}

/// A range that was removed from one file of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedRange {
    pub at: WallTime,
    pub by: String,
    pub reason: String,
    /// Whether it was removed from the call's screen; then the positions are milliseconds.
    pub is_screen: bool,
    pub from: Position,
    pub to: Position,
    /// Frames that were stored before.
    pub frames: u64,
}

/// The screen recording of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenRecord {
    /// Its end, in milliseconds; `None` while it runs.
    pub ended: Option<RecordingEnded>,
    /// The same moment on the recording's channel, and in milliseconds since the daemon started;
    /// `None` for a screen that an earlier version recorded.
    pub aligned: Option<(Position, Position)>,
}

/// One update of a user-defined field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    pub at: WallTime,
    /// 1 to 15.
    pub field: u8,
    pub by: String,
    /// Empty once the recording is deleted.
    pub value: SealedBytes,
}

/// A client received a file of the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchEntry {
    pub at: WallTime,
    pub by: String,
    /// The purpose: `play`, `export`, `play-screen`, `export-screen`, `facts`.
    pub why: String,
}

/// Time, reason and author of a deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    pub at: WallTime,
    pub why: String,
    pub by: String,
}

impl BlackoutSpan {
    /// Sets how the blackout ended, unless it is set already.
    pub(super) fn set_end(&mut self, end: BlackoutEnd, by: Option<&str>) {
        if self.end.is_none() {
            self.end = Some(end);
            self.ended_by = by.map(str::to_owned);
        }
    }
}

impl Record {
    pub(super) fn new(sequence: u64, at: WallTime, boot: u32, began: RecordingBegan) -> Record {
        Record {
            sequence,
            at,
            boot,
            reasons: began.reasons,
            reasons_ever: began.reasons,
            began,
            ended: None,
            ended_at: None,
            blackouts: Vec::new(),
            fields: BTreeMap::new(),
            history: Vec::new(),
            is_protected: false,
            deleted: None,
            fetches: Vec::new(),
            screen: None,
            unmasked: Vec::new(),
            removed: Vec::new(),
            entries: Vec::new(),
            clock: ClockCorrection::default(),
        }
    }

    #[must_use]
    pub fn id(&self) -> RecordingId {
        self.began.id
    }

    /// Whether the recording has no end yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether the recording ended before its first frame, and only a schedule wanted it. A power
    /// cut or a failed disk may have lost its audio, so such a record is not called empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let lost = |end| matches!(end, RecordingEnd::Power | RecordingEnd::Storage);
        let nothing = |ended: &RecordingEnded| ended.to <= self.began.from && !lost(ended.end);
        self.ended.as_ref().is_some_and(nothing)
            && self.reasons_ever == RecordReasons::from_reason(RecordReason::Schedule)
            && self.screen.is_none()
            && self.history.is_empty()
    }

    /// Whether an agent started the recording.
    #[must_use]
    pub fn is_agent_initiated(&self) -> bool {
        self.began.reasons.contains(RecordReason::Agent)
    }

    /// Returns the properties a filter examines.
    #[must_use]
    pub fn facets(&self) -> RecordFacets<'_> {
        RecordFacets {
            id: self.began.id,
            sequence: self.sequence,
            at: self.started_at(),
            agent: self.began.call.agent.as_deref(),
            device: &self.began.call.device,
            call: &self.began.call.call,
            is_running: self.is_running(),
            is_deleted: self.deleted.is_some(),
        }
    }

    /// Returns when it began, with a wrong clock put right.
    #[must_use]
    pub fn started_at(&self) -> WallTime {
        self.correct_stamp(self.at)
    }

    /// Returns the time that one of its stamps means, with a wrong clock put right.
    #[must_use]
    pub fn correct_stamp(&self, stamp: WallTime) -> WallTime {
        self.clock.correct(stamp)
    }

    /// Returns when its retention ends, in the proven time.
    #[must_use]
    pub fn retention_end(&self) -> WallTime {
        self.clock.retention_end(self.began.retain_until)
    }

    /// Returns the path of its media file, relative to the data directory.
    #[must_use]
    pub fn media_path(&self) -> String {
        crate::store::layout::media_path(self.at, self.began.id)
    }

    /// Returns the path of its screen file, relative to the data directory.
    #[must_use]
    pub fn screen_path(&self) -> String {
        crate::store::layout::screen_path(self.at, self.began.id)
    }

    /// Returns the end of its screen, if it has one that has ended.
    #[must_use]
    pub fn screen_ended(&self) -> Option<&RecordingEnded> {
        self.screen.as_ref().and_then(|screen| screen.ended.as_ref())
    }

    /// Returns the bytes of all its complete files.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        let audio = self.ended.as_ref().map_or(0, |ended| ended.size);
        audio.saturating_add(self.screen_ended().map_or(0, |ended| ended.size))
    }

    /// Returns the bytes known to be valid if its file failed. The rest of the file is ignored.
    #[must_use]
    pub fn certain_bytes(&self) -> Option<u64> {
        let failed = self.ended.as_ref().filter(|ended| ended.end == RecordingEnd::Storage);
        failed.map(|ended| ended.size)
    }

    /// Returns masked, held and lost spans; none before the end.
    #[must_use]
    pub fn spans(&self) -> &[FactSpan] {
        self.ended.as_ref().map_or(&[], |ended| &ended.blackout_spans)
    }

    pub(super) fn change_call(&mut self, call: &CallFacts, numbers: &SealedBytes) {
        self.began.call = call.clone();
        self.began.numbers = numbers.clone();
    }

    pub(super) fn set_reasons(&mut self, reasons: RecordReasons) {
        self.reasons = reasons;
        self.reasons_ever.0 |= reasons.0;
    }

    pub(super) fn set_field(&mut self, change: FieldChange) {
        self.fields.insert(change.field, change.value.clone());
        self.history.push(change);
    }

    /// Adds the blackout. One that is already open in this recording may reach further back.
    pub(super) fn open_blackout(&mut self, mut span: BlackoutSpan) {
        span.from = span.from.max(self.began.from);
        let open = |other: &&mut BlackoutSpan| other.number == span.number && other.to.is_none();
        match self.blackouts.iter_mut().find(open) {
            Some(known) => known.from = known.from.min(span.from),
            None => self.blackouts.push(span),
        }
    }

    /// Adds a range that was not masked, joined with the one that it touches.
    pub(super) fn add_unmasked(
        &mut self,
        at: WallTime,
        by: &str,
        (from, to): (Position, Position),
    ) {
        let touches = |old: &&mut UnmaskedRange| old.by == by && old.from <= to && from <= old.to;
        match self.unmasked.iter_mut().find(touches) {
            Some(old) => (old.from, old.to) = (old.from.min(from), old.to.max(to)),
            None => self.unmasked.push(UnmaskedRange { at, by: by.to_owned(), from, to }),
        }
    }

    /// Applies the removal of a range from one of its files.
    pub(super) fn add_removed(&mut self, at: WallTime, redaction: &Redaction) {
        let Redaction { removed_from: from, removed_to: to, is_screen, .. } = *redaction;
        let ended = match is_screen {
            true => self.screen.as_mut().and_then(|screen| screen.ended.as_mut()),
            false => self.ended.as_mut(),
        };
        if let Some(ended) = ended {
            ended.clone_from(&redaction.file);
        }
        if !is_screen {
            self.unmasked = clip_unmasked(&self.unmasked, from, to);
        }
        let (by, reason) = (redaction.by.clone(), redaction.reason.clone());
        let frames = redaction.removed_frames;
        self.removed.push(RemovedRange { at, by, reason, is_screen, from, to, frames });
    }

    /// Ends the blackout's open span in this recording at `to`.
    pub(super) fn close_blackout(&mut self, number: BlackoutNumber, to: Position) {
        let open = |span: &&mut BlackoutSpan| span.number == number && span.to.is_none();
        if let Some(span) = self.blackouts.iter_mut().find(open) {
            span.to = Some(to);
        }
        self.drop_empty_blackouts();
    }

    /// Sets how the blackout ended, in all its spans for which that is not set.
    pub(super) fn set_blackout_end(
        &mut self,
        number: BlackoutNumber,
        end: BlackoutEnd,
        by: Option<&str>,
    ) {
        let spans = self.blackouts.iter_mut().filter(|span| span.number == number);
        spans.for_each(|span| span.set_end(end, by));
    }

    pub(super) fn set_ended(&mut self, at: WallTime, ended: RecordingEnded) {
        for span in &mut self.blackouts {
            span.to = Some(span.to.map_or(ended.to, |to| to.min(ended.to)));
        }
        self.drop_empty_blackouts();
        self.ended = Some(ended);
        self.ended_at = Some(at);
    }

    /// Clears the personal facts, which are unreadable once the key is deleted.
    pub(super) fn set_deleted(&mut self, deletion: Deletion) {
        self.began.numbers = SealedBytes::default();
        self.fields.clear();
        self.history.iter_mut().for_each(|change| change.value = SealedBytes::default());
        self.deleted = Some(deletion);
    }

    fn drop_empty_blackouts(&mut self) {
        self.blackouts.retain(|span| span.to.is_none_or(|to| span.from < to));
    }
}

/// Returns what is left of these ranges without `from` to `to`.
fn clip_unmasked(ranges: &[UnmaskedRange], from: Position, to: Position) -> Vec<UnmaskedRange> {
    let parts = ranges.iter().flat_map(|range| {
        let before = UnmaskedRange { to: range.to.min(from), ..range.clone() };
        let after = UnmaskedRange { from: range.from.max(to), ..range.clone() };
        [before, after]
    });
    parts.filter(|range| range.from < range.to).collect()
}
