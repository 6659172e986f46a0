//! Retention of index state across closed days.
//!
//! `RetainedState` holds everything that later entries may change: running recordings, those with
//! an open blackout, those of live calls (a restart resumes them), calls, blackouts, enrolments and
//! counters. It is part of the summary format: see `archive`.

use super::blackouts::BlackoutIndex;
use super::{
    ClockHistory, Enrolments, Index, LastRedaction, LiveCall, NotedAlarms, Record, ScreenRecord,
};
use crate::id::RecordingId;
use crate::store::day::Locator;
use crate::store::fact::{CallNumber, Fact, JournalEntry, SipDialog};
use crate::time::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of looked-up old records kept in the index.
const ADOPTED_MAX: usize = 256;

/// State at the end of a day.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RetainedState {
    /// Records in the order they began.
    records: Vec<Record>,
    calls: Vec<LiveCall>,
    blackouts: BlackoutIndex,
    enrolments: Enrolments,
    clock: ClockHistory,
    alarms: NotedAlarms,
    redaction: Option<LastRedaction>,
    boot: u32,
    is_stopped: bool,
    last_sequence: u64,
    last_call: CallNumber,
    /// Deleted recordings whose files may still exist, and their start times.
    deletions: Vec<(RecordingId, WallTime)>,
    /// SIP dialogs of the live calls.
    dialogs: Vec<SipDialog>,
}

/// A fact about a record that is not in the index.
#[derive(Clone, Debug, PartialEq)]
pub struct LateFact {
    pub sequence: u64,
    pub place: Locator,
    pub entry: JournalEntry,
}

/// Returns the record changed by a fact that changes only a record.
fn changed_record(fact: &Fact) -> Option<RecordingId> {
    match fact {
        Fact::RecordingEnded(ended) | Fact::ScreenEnded(ended) => Some(ended.id),
        Fact::Redacted(redaction) => Some(redaction.id()),
        Fact::RecordingChanged { id, .. }
        | Fact::RecordingReasons { id, .. }
        | Fact::RecordingWhy { id, .. }
        | Fact::RecordingRetention { id, .. }
        | Fact::FieldSet { id, .. }
        | Fact::Protected { id, .. }
        | Fact::ScreenBegan { id }
        | Fact::Fetched { id, .. }
        | Fact::BlackoutMissed { id, .. }
        | Fact::CallMetadata { id, .. }
        | Fact::ScreenAligned { id, .. }
        | Fact::Deleted { id, .. } => Some(*id),
        Fact::BoxStarted { .. }
        | Fact::BoxStopped
        | Fact::CallBegan { .. }
        | Fact::CallChanged { .. }
        | Fact::CallHeld { .. }
        | Fact::CallEnded { .. }
        | Fact::Enrolled(_)
        | Fact::Revoked { .. }
        | Fact::ConfigChanged { .. }
        | Fact::ClockStepped { .. }
        | Fact::ClockConfirmed { .. }
        | Fact::AlarmRaised { .. }
        | Fact::AlarmCleared { .. }
        | Fact::AlarmResolved { .. }
        | Fact::RecordingBegan(_)
        | Fact::SipDialog(_)
        | Fact::BlackoutOpened { .. }
        | Fact::BlackoutSpread { .. }
        | Fact::BlackoutShrunk { .. }
        | Fact::BlackoutHolders { .. }
        | Fact::BlackoutClosed { .. } => None,
    }
}

impl Index {
    /// Resumes from the end of a summarised day.
    #[must_use]
    pub fn from_retained(retained: RetainedState) -> Index {
        let running = retained.records.iter().filter(|record| record.is_running());
        let open = |screen: &ScreenRecord| screen.ended.is_none();
        let screens = retained.records.iter().filter(|r| r.screen.as_ref().is_some_and(open));
        let mut index = Index {
            running_records: running.map(Record::id).collect(),
            running_screens: screens.map(Record::id).collect(),
            order: retained.records.iter().map(|record| (record.sequence, record.id())).collect(),
            records: retained.records.into_iter().map(|record| (record.id(), record)).collect(),
            live_calls: retained.calls.into_iter().map(|call| (call.facts.number, call)).collect(),
            dialogs: retained.dialogs.into_iter().map(|dialog| (dialog.call, dialog)).collect(),
            open_blackouts: retained.blackouts,
            enrolments: retained.enrolments,
            clock: retained.clock,
            alarms: retained.alarms,
            last_redaction: retained.redaction,
            boot: retained.boot,
            is_stopped: retained.is_stopped,
            last_sequence: retained.last_sequence,
            last_call: retained.last_call,
            summarised_through: retained.last_sequence,
            deletions: retained.deletions.into_iter().map(|(id, at)| (id, Some(at))).collect(),
            ..Index::default()
        };
        index.correct_records();
        index
    }

    /// Creates an empty index for one daemon start, to fold a single record.
    pub(in crate::store) fn for_boot(boot: u32) -> Index {
        Index { boot, ..Index::default() }
    }

    /// Removes and returns one record.
    pub(in crate::store) fn take_record(mut self, id: RecordingId) -> Option<Record> {
        self.records.remove(&id)
    }

    /// Returns the state that the next day starts from.
    #[must_use]
    pub fn to_retained(&self) -> RetainedState {
        let wanted = self.needed_records();
        let records = self.records().filter(|record| wanted.contains(&record.id()));
        // Only of this day: a daemon that kept running has removed the files of earlier days.
        let deletions = self.deletions.iter().filter(|(id, _)| self.deleted.contains_key(id));
        RetainedState {
            records: records.cloned().collect(),
            calls: self.live_calls.values().cloned().collect(),
            blackouts: self.open_blackouts.clone(),
            enrolments: self.enrolments.clone(),
            clock: self.clock.clone(),
            alarms: self.alarms.clone(),
            redaction: self.last_redaction.clone(),
            boot: self.boot,
            is_stopped: self.is_stopped,
            last_sequence: self.last_sequence,
            last_call: self.last_call,
            deletions: deletions.filter_map(|(id, at)| Some((*id, (*at)?))).collect(),
            dialogs: self.dialogs.values().cloned().collect(),
        }
    }

    /// Returns the records that later entries may change without naming them.
    fn needed_records(&self) -> BTreeSet<RecordingId> {
        let mut wanted = self.running_records.clone();
        wanted.extend(&self.running_screens);
        wanted.extend(self.open_blackouts.open.values().flat_map(|open| &open.recordings));
        let live = |record: &&Record| self.live_calls.contains_key(&record.began.call.number);
        wanted.extend(self.records.values().filter(live).map(Record::id));
        wanted
    }

    /// Drops the records that summaries include through the entry `through`, except those still
    /// needed or changed since.
    pub fn retire_through(&mut self, through: u64) {
        assert!(self.summarised_through <= through && through <= self.last_sequence, "never back");
        let wanted = self.needed_records();
        self.summarised_through = through;
        self.current_entry = <(u64, Locator)>::default();
        self.changed.retain(|_, sequence| *sequence > through);
        self.deleted.retain(|_, sequence| *sequence > through);
        let changed = &self.changed;
        self.records.retain(|id, record| {
            record.sequence > through || wanted.contains(id) || changed.contains_key(id)
        });
        self.order.retain(|(_, id)| self.records.contains_key(id));
        self.due.retain(|(_, id)| self.records.contains_key(id));
        self.empty.retain(|id| self.records.contains_key(id));
        self.adopted.retain(|id| self.records.contains_key(id));
        self.late_facts.retain(|_, facts| {
            facts.retain(|late| late.sequence > through);
            !facts.is_empty()
        });
    }

    /// Adds an old record that was looked up, so that it can be shown and changed. It is evicted
    /// after further lookups, unless it was changed.
    pub fn adopt_record(&mut self, mut record: Record) {
        let (id, sequence) = (record.id(), record.sequence);
        record.clock = self.clock.correction(sequence);
        if self.records.contains_key(&id) || sequence > self.summarised_through {
            return;
        }
        let place = self.order.partition_point(|(earlier, _)| *earlier < sequence);
        self.order.insert(place, (sequence, id));
        self.records.insert(id, record);
        self.set_due(id);
        // The record includes its late facts, except those that arrived during the lookup.
        for late in self.late_facts.remove(&id).unwrap_or_default() {
            self.changed.insert(id, late.sequence);
            let known = self.records.get(&id).is_some_and(|r| r.entries.contains(&late.place));
            if !known {
                self.apply_at(late.sequence, late.place, &late.entry);
            }
        }
        self.adopted.push_back(id);
        if self.adopted.len() > ADOPTED_MAX {
            self.evict_adopted();
        }
    }

    fn evict_adopted(&mut self) {
        let Some(id) = self.adopted.pop_front() else { return };
        if self.changed.contains_key(&id) || self.needed_records().contains(&id) {
            return;
        }
        if let Some(record) = self.records.remove(&id) {
            self.due.remove(&(record.retention_end(), id));
            self.empty.remove(&id);
            self.order.retain(|(sequence, _)| *sequence != record.sequence);
        }
    }

    /// Keeps a fact about an old record that is not in the index.
    pub(super) fn keep_if_late(&mut self, entry: &JournalEntry) -> bool {
        let Some(id) = changed_record(&entry.fact).filter(|_| self.summarised_through > 0) else {
            return false;
        };
        if self.records.contains_key(&id) {
            return false;
        }
        let (sequence, place) = self.current_entry;
        if matches!(entry.fact, Fact::Deleted { .. }) {
            self.deleted.entry(id).or_insert(sequence);
            self.deletions.entry(id).or_insert(None);
        }
        self.late_facts.entry(id).or_default().push(LateFact {
            sequence,
            place,
            entry: entry.clone(),
        });
        true
    }

    /// Updates locations after entries were re-logged to another file. `moved` maps old to new.
    pub fn relocate_entries(&mut self, moved: BTreeMap<Locator, Locator>) {
        let new = |place: &mut Locator| *place = moved.get(place).copied().unwrap_or(*place);
        self.records.values_mut().flat_map(|record| &mut record.entries).for_each(new);
        self.late_facts.values_mut().flatten().map(|late| &mut late.place).for_each(new);
        self.relocated = moved;
    }

    /// Returns the current location of an entry that was at `place` before it was re-logged.
    #[must_use]
    pub fn current_locator(&self, place: Locator) -> Locator {
        self.relocated.get(&place).copied().unwrap_or(place)
    }

    /// Iterates over records that are in a summary and have changed since.
    pub fn changed_summarised(&self) -> impl Iterator<Item = &Record> {
        let old = |record: &&Record| record.sequence <= self.summarised_through;
        self.changed.keys().filter_map(|id| self.records.get(id)).filter(old)
    }

    /// Returns the sequence of the last entry that summaries include; 0 if there are none.
    #[must_use]
    pub fn summarised_through(&self) -> u64 {
        self.summarised_through
    }

    /// Returns the late facts about a record that is not in the index, in order.
    #[must_use]
    pub fn late_facts(&self, id: RecordingId) -> &[LateFact] {
        self.late_facts.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Iterates over all late facts, by record.
    pub fn all_late_facts(&self) -> impl Iterator<Item = (RecordingId, &[LateFact])> {
        self.late_facts.iter().map(|(id, facts)| (*id, facts.as_slice()))
    }

    /// Returns the number of records that are in no summary, without deleted ones, and the number
    /// of deleted records that summaries still count.
    #[must_use]
    pub fn unsummarised_counts(&self) -> (usize, usize) {
        let new = |record: &Record| record.sequence > self.summarised_through;
        let fresh = self.records().filter(|record| new(record) && record.deleted.is_none());
        let old = |id: &&RecordingId| !self.records.get(id).is_some_and(new);
        (fresh.count(), self.deleted.keys().filter(old).count())
    }
}
