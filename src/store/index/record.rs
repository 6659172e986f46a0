//! What is known of one recording, folded from its facts.
//!
//! Nothing here reads the journal; `Index::apply` does and keeps these up to date.

use super::RecordFacets;
use crate::id::RecordingId;
use crate::store::day::Locator;
use crate::store::fact::{
    BlackoutEnd, BlackoutHolder, BlackoutNumber, CallFacts, FactSpan, RecordReason, RecordReasons,
    RecordingBegan, RecordingEnd, RecordingEnded, SealedBytes,
};
use crate::time::{Position, WallTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Of a record with so many facts no further fetch is noted in it, only in the journal: a listing
/// names the place of each, and has to stay short.
pub const FETCH_ENTRIES_MAX: usize = 500;

/// A call record: everything the journal says of one recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Journal number of the fact that began it.
    pub sequence: u64,
    /// When it began; with the id it gives the media path.
    pub at: WallTime,
    /// The start of the daemon that its positions belong to.
    pub boot: u32,
    /// As it began, but with the newest call facts, numbers and retention.
    pub began: RecordingBegan,
    /// Why it runs now, or ran until its end; none when its last reason was taken away.
    pub reasons: RecordReasons,
    /// Why it ever ran.
    pub reasons_ever: RecordReasons,
    pub ended: Option<RecordingEnded>,
    /// When the end was noted.
    pub ended_at: Option<WallTime>,
    pub blackouts: Vec<BlackoutSpan>,
    /// Newest value of each user-defined field, 1 to 15.
    pub fields: BTreeMap<u8, SealedBytes>,
    /// Every field update (F5), oldest first.
    pub history: Vec<FieldChange>,
    pub is_protected: bool,
    pub deleted: Option<Deletion>,
    /// Who was given its files, oldest first.
    pub fetches: Vec<FetchEntry>,
    /// Of a call's recording: the screen beside its audio.
    pub screen: Option<ScreenRecord>,
    /// Where the facts stand that it is folded from, but for those of blackouts.
    pub entries: Vec<Locator>,
}

/// A blackout as far as it reaches one recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlackoutSpan {
    pub number: BlackoutNumber,
    /// Whose blackout it is.
    pub agent: String,
    /// Who opened it, and as what.
    pub by: String,
    pub holder: BlackoutHolder,
    pub from: Position,
    /// `None` while it is open and the recording runs.
    pub to: Option<Position>,
    /// How the blackout ended (G4); `None` while it is open somewhere.
    pub end: Option<BlackoutEnd>,
    pub ended_by: Option<String>,
}

/// The screen of a call's recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenRecord {
    /// Its account, in milliseconds; `None` while it goes on.
    pub ended: Option<RecordingEnded>,
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

/// Somebody was given a file of the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchEntry {
    pub at: WallTime,
    pub by: String,
    /// What for: `play`, `export`, `play-screen`, `export-screen`, `facts`.
    pub why: String,
}

/// When, why and by whom a recording was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    pub at: WallTime,
    pub why: String,
    pub by: String,
}

impl BlackoutSpan {
    /// Says how the blackout ended here, unless that is said already.
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
            entries: Vec::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> RecordingId {
        self.began.id
    }

    /// No end is noted yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// It began by an agent's press.
    #[must_use]
    pub fn is_agent_initiated(&self) -> bool {
        self.began.reasons.contains(RecordReason::Agent)
    }

    /// What a filter looks at.
    #[must_use]
    pub fn facets(&self) -> RecordFacets<'_> {
        RecordFacets {
            sequence: self.sequence,
            at: self.at,
            agent: self.began.call.agent.as_deref(),
            device: &self.began.call.device,
            call: &self.began.call.call,
            is_running: self.is_running(),
            is_deleted: self.deleted.is_some(),
        }
    }

    /// Its media file, relative to the data directory.
    #[must_use]
    pub fn media_path(&self) -> String {
        crate::store::layout::media_path(self.at, self.began.id)
    }

    /// The file of its screen, relative to the data directory.
    #[must_use]
    pub fn screen_path(&self) -> String {
        crate::store::layout::screen_path(self.at, self.began.id)
    }

    /// How its screen ended, if it has one and that is known.
    #[must_use]
    pub fn screen_ended(&self) -> Option<&RecordingEnded> {
        self.screen.as_ref().and_then(|screen| screen.ended.as_ref())
    }

    /// Bytes of all its files that are complete.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        let audio = self.ended.as_ref().map_or(0, |ended| ended.size);
        audio.saturating_add(self.screen_ended().map_or(0, |ended| ended.size))
    }

    /// Of a recording whose file failed: so many bytes of it are certain, and no more count.
    #[must_use]
    pub fn certain_bytes(&self) -> Option<u64> {
        let failed = self.ended.as_ref().filter(|ended| ended.end == RecordingEnd::Storage);
        failed.map(|ended| ended.size)
    }

    /// Masked, held and lost stretches; none before the end.
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

    /// The blackout reaches this recording, if it does not already.
    pub(super) fn open_blackout(&mut self, mut span: BlackoutSpan) {
        let open = |other: &BlackoutSpan| other.number == span.number && other.to.is_none();
        if !self.blackouts.iter().any(open) {
            span.from = span.from.max(self.began.from);
            self.blackouts.push(span);
        }
    }

    /// The blackout leaves this recording at `to`.
    pub(super) fn close_blackout(&mut self, number: BlackoutNumber, to: Position) {
        let open = |span: &&mut BlackoutSpan| span.number == number && span.to.is_none();
        if let Some(span) = self.blackouts.iter_mut().find(open) {
            span.to = Some(to);
        }
        self.drop_empty_blackouts();
    }

    /// Says how the blackout ended, in every span of it that does not say so yet.
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

    /// With the key gone, the personal facts are only noise.
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
