//! The index: journal entries folded into records and into the state that a restart needs.
//!
//! The index receives every entry in order. It knows each recording's newest facts and the state at
//! the last entry: calls, running recordings, open blackouts, highest numbers. An inconsistent
//! entry (such as one for an unknown recording) changes nothing and is counted.
//!
//! The index need not hold the whole archive. `to_retained` returns what later entries may still
//! change, and `from_retained` resumes from that. Facts about other old records are kept as
//! `LateFact` for the summaries (see `archive`). `retire_through` drops what a summary includes.

mod alarms;
mod blackouts;
mod clock;
mod enrolments;
mod filter;
mod record;
mod redactions;
mod retire;
#[cfg(test)]
mod tests;

pub use alarms::{NotedAlarm, NotedAlarms};
pub use blackouts::OpenBlackout;
pub use clock::{ClockCorrection, ClockHistory};
pub use enrolments::Enrolments;
pub use filter::{RecordFacets, RecordFilter, number_matches};
pub use record::{
    BlackoutSpan, Deletion, FETCH_ENTRIES_MAX, FetchEntry, FieldChange, Record, RemovedRange,
    ScreenRecord, UnmaskedRange,
};
pub use redactions::LastRedaction;
pub use retire::{LateFact, RetainedState};

use crate::id::RecordingId;
use crate::store::day::Locator;
use crate::store::fact::{
    BlackoutEnd, BlackoutNumber, CallFacts, CallNumber, ChannelPosition, Fact, JournalEntry,
    RecordingBegan, RecordingEnded, SealedBytes, SipDialog,
};
use crate::time::{Position, WallTime};
use blackouts::BlackoutIndex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A call that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCall {
    pub facts: CallFacts,
    /// `PhoneNumbers` under the daemon's call key.
    pub numbers: SealedBytes,
    pub is_held: bool,
}

/// All records, and the state at the last entry.
#[derive(Clone, Debug, Default)]
pub struct Index {
    records: BTreeMap<RecordingId, Record>,
    /// Sequence and id, in the order in which the recordings began.
    order: Vec<(u64, RecordingId)>,
    running_records: BTreeSet<RecordingId>,
    /// Records whose screen recording has not ended.
    running_screens: BTreeSet<RecordingId>,
    live_calls: BTreeMap<CallNumber, LiveCall>,
    /// SIP dialogs of live calls.
    dialogs: BTreeMap<CallNumber, SipDialog>,
    open_blackouts: BlackoutIndex,
    enrolments: Enrolments,
    clock: ClockHistory,
    alarms: NotedAlarms,
    /// The newest removal of a range; only its new file may still wait to replace the old one.
    last_redaction: Option<LastRedaction>,
    boot: u32,
    is_stopped: bool,
    last_sequence: u64,
    last_call: CallNumber,
    stray_count: u64,
    /// Sequence and location of the entry that is being applied.
    current_entry: (u64, Locator),
    /// The last entry included in summaries; 0 if there are no summaries.
    summarised_through: u64,
    /// Records changed since then, and the last entry that changed them.
    changed: BTreeMap<RecordingId, u64>,
    /// Records deleted since then, and the entry that deleted them.
    deleted: BTreeMap<RecordingId, u64>,
    /// Old records that were looked up, in eviction order.
    adopted: VecDeque<RecordingId>,
    /// Later facts about records that are not in the index.
    late_facts: BTreeMap<RecordingId, Vec<LateFact>>,
    /// New locations of the entries that were re-logged last.
    relocated: BTreeMap<Locator, Locator>,
    /// Retention ends, in the proven time, of the records that may be deleted: ended, not
    /// protected, not deleted.
    due: BTreeSet<(WallTime, RecordingId)>,
    /// Those of them that have no audio and that nobody asked for.
    empty: BTreeSet<RecordingId>,
    /// Records deleted since the daemon started, with their start times if known. Their files may
    /// still exist.
    deletions: BTreeMap<RecordingId, Option<WallTime>>,
}

impl Index {
    /// Applies the entry with this sequence, at an unknown location.
    pub fn apply(&mut self, sequence: u64, entry: &JournalEntry) {
        self.apply_at(sequence, Locator::default(), entry);
    }

    /// Applies the entry with this sequence, located at `place`.
    pub fn apply_at(&mut self, sequence: u64, place: Locator, entry: &JournalEntry) {
        // Looking up a record applies old entries, which the clock history already includes.
        if sequence > self.last_sequence {
            if self.clock.apply(sequence, entry) {
                self.correct_records();
            }
            self.note_redaction(&entry.fact);
        }
        self.last_sequence = self.last_sequence.max(sequence);
        self.current_entry = (sequence, place);
        if self.keep_if_late(entry) {
            return;
        }
        let at = entry.at;
        match &entry.fact {
            Fact::BoxStarted { boot, .. } => self.apply_started(*boot),
            Fact::BoxStopped => self.is_stopped = true,
            Fact::CallBegan { call, numbers } | Fact::CallChanged { call, numbers } => {
                self.apply_call(call, numbers);
            }
            Fact::CallHeld { number, held } => self.apply_held(*number, *held),
            Fact::CallEnded { number, .. } => {
                self.dialogs.remove(number);
                self.stray_count += u64::from(self.live_calls.remove(number).is_none());
            }
            Fact::RecordingBegan(began) => self.apply_began(sequence, at, began),
            Fact::RecordingEnded(ended) => self.apply_ended(at, ended),
            Fact::ScreenBegan { id } => self.apply_screen(*id, None),
            Fact::ScreenEnded(ended) => self.apply_screen(ended.id, Some(ended)),
            Fact::SipDialog(dialog) => self.apply_dialog(dialog),
            Fact::RecordingChanged { .. }
            | Fact::RecordingReasons { .. }
            | Fact::RecordingRetention { .. }
            | Fact::FieldSet { .. }
            | Fact::Fetched { .. }
            | Fact::BlackoutMissed { .. }
            | Fact::RecordingWhy { .. }
            | Fact::CallMetadata { .. }
            | Fact::ScreenAligned { .. }
            | Fact::Redacted(_)
            | Fact::Protected { .. }
            | Fact::Deleted { .. } => self.apply_record_fact(at, &entry.fact),
            Fact::Enrolled(enrolment) => self.enrolments.enrol(enrolment),
            Fact::Revoked { machine, .. } => {
                self.stray_count += u64::from(!self.enrolments.revoke(machine));
            }
            Fact::AlarmRaised { number, subject, text } => {
                self.alarms.raise(at, *number, subject, text);
            }
            Fact::AlarmCleared { number, .. } => self.alarms.clear(*number),
            Fact::AlarmResolved { number, subject } => self.alarms.resolve(*number, subject),
            Fact::ConfigChanged { .. }
            | Fact::ClockStepped { .. }
            | Fact::ClockConfirmed { .. } => {}
            Fact::BlackoutOpened { .. }
            | Fact::BlackoutSpread { .. }
            | Fact::BlackoutShrunk { .. }
            | Fact::BlackoutHolders { .. }
            | Fact::BlackoutClosed { .. } => self.apply_blackout_fact(at, &entry.fact),
        }
    }

    /// Applies a fact about a record that exists; other facts change nothing here.
    fn apply_record_fact(&mut self, at: WallTime, fact: &Fact) {
        match fact {
            Fact::RecordingChanged { id, call, numbers } => {
                self.change_record(*id, |record| record.change_call(call, numbers));
            }
            Fact::RecordingReasons { id, reasons, .. } => {
                self.change_record(*id, |record| record.set_reasons(*reasons));
            }
            Fact::RecordingRetention { id, retain_until } => {
                self.change_retention(*id, |record| record.began.retain_until = *retain_until);
            }
            Fact::FieldSet { id, field, by, value } => {
                let change =
                    FieldChange { at, field: *field, by: by.clone(), value: value.clone() };
                self.change_record(*id, |record| record.set_field(change));
            }
            Fact::Fetched { id, by, why } => {
                self.apply_fetched(*id, FetchEntry { at, by: by.clone(), why: why.clone() });
            }
            Fact::BlackoutMissed { id, by, from, to } => {
                self.apply_missed(*id, at, by, (*from, *to))
            }
            Fact::RecordingWhy { id, why } => self.apply_why(*id, why),
            // Only the journal holds the document; the record knows where it is.
            Fact::CallMetadata { id, .. } => self.change_record(*id, |_| {}),
            Fact::ScreenAligned { id, audio, screen } => {
                self.apply_alignment(*id, (*audio, *screen))
            }
            Fact::Redacted(redaction) => {
                self.change_record(redaction.id(), |record| record.add_removed(at, redaction));
            }
            Fact::Protected { id, on, .. } => {
                self.change_retention(*id, |record| record.is_protected = *on)
            }
            Fact::Deleted { id, why, by } => {
                self.apply_deleted(*id, Deletion { at, why: why.clone(), by: by.clone() });
            }
            _ => {}
        }
    }

    fn apply_started(&mut self, boot: u32) {
        self.open_blackouts.apply_restart(self.boot);
        self.boot = boot;
        self.is_stopped = false;
        self.deletions.clear();
    }

    fn apply_call(&mut self, facts: &CallFacts, numbers: &SealedBytes) {
        self.last_call = self.last_call.max(facts.number);
        let held = self.live_calls.get(&facts.number).is_some_and(|call| call.is_held);
        let call = LiveCall { facts: facts.clone(), numbers: numbers.clone(), is_held: held };
        self.live_calls.insert(facts.number, call);
    }

    fn apply_dialog(&mut self, dialog: &SipDialog) {
        if self.live_calls.contains_key(&dialog.call) {
            self.dialogs.insert(dialog.call, dialog.clone());
        } else {
            self.stray_count += 1;
        }
    }

    fn apply_held(&mut self, number: CallNumber, held: bool) {
        match self.live_calls.get_mut(&number) {
            Some(call) => call.is_held = held,
            None => self.stray_count += 1,
        }
    }

    fn apply_began(&mut self, sequence: u64, at: WallTime, began: &RecordingBegan) {
        if self.records.contains_key(&began.id) {
            self.stray_count += 1;
            return;
        }
        let mut record = Record::new(sequence, at, self.boot, began.clone());
        record.blackouts = self.open_blackouts.spans_for(began);
        record.clock = self.clock.correction(sequence);
        self.last_call = self.last_call.max(began.call.number);
        record.entries.push(self.current_entry.1);
        self.records.insert(began.id, record);
        self.order.push((sequence, began.id));
        self.running_records.insert(began.id);
    }

    fn apply_ended(&mut self, at: WallTime, ended: &RecordingEnded) {
        let known = self.records.get_mut(&ended.id).filter(|record| record.is_running());
        let Some(record) = known else {
            self.stray_count += 1;
            return;
        };
        self.open_blackouts.record_duration(record, ended, self.boot);
        record.set_ended(at, ended.clone());
        record.entries.push(self.current_entry.1);
        self.running_records.remove(&ended.id);
        self.changed.insert(ended.id, self.current_entry.0);
        self.set_due(ended.id);
    }

    /// Changes a property of a record that affects when it may be deleted.
    fn change_retention(&mut self, id: RecordingId, change: impl FnOnce(&mut Record)) {
        let until = self.records.get(&id).map(Record::retention_end);
        until.map(|until| self.due.remove(&(until, id)));
        self.empty.remove(&id);
        self.change_record(id, change);
        self.set_due(id);
    }

    /// Adds a record to `due` if it may be deleted later.
    fn set_due(&mut self, id: RecordingId) {
        let Some(record) = self.records.get(&id) else { return };
        if record.deleted.is_none() && !record.is_protected && !record.is_running() {
            self.due.insert((record.retention_end(), id));
            if record.is_empty() {
                self.empty.insert(id);
            }
        }
    }

    /// Applies the clock's corrections to all records.
    fn correct_records(&mut self) {
        self.due.clear();
        let ids: Vec<RecordingId> = self.records.keys().copied().collect();
        for id in ids {
            if let Some(record) = self.records.get_mut(&id) {
                record.clock = self.clock.correction(record.sequence);
            }
            self.set_due(id);
        }
    }

    fn apply_why(&mut self, id: RecordingId, why: &str) {
        self.change_record(id, |record| why.clone_into(&mut record.began.why));
    }

    fn apply_deleted(&mut self, id: RecordingId, deletion: Deletion) {
        let known = self.records.get(&id).filter(|record| record.deleted.is_none());
        if let Some(at) = known.map(|record| record.at) {
            self.deleted.insert(id, self.current_entry.0);
            self.deletions.insert(id, Some(at));
        }
        self.change_retention(id, |record| record.set_deleted(deletion));
    }

    /// Changes a record that is in the index and not deleted.
    fn change_record(&mut self, id: RecordingId, change: impl FnOnce(&mut Record)) {
        match self.records.get_mut(&id).filter(|record| record.deleted.is_none()) {
            Some(record) => {
                change(record);
                record.entries.push(self.current_entry.1);
                self.changed.insert(id, self.current_entry.0);
            }
            None => self.stray_count += 1,
        }
    }

    /// Adds a range of a record that a blackout should have masked.
    fn apply_missed(
        &mut self,
        id: RecordingId,
        at: WallTime,
        by: &str,
        range: (Position, Position),
    ) {
        self.change_record(id, |record| record.add_unmasked(at, by, range));
    }

    /// Adds a fetch of one of a record's files.
    fn apply_fetched(&mut self, id: RecordingId, fetch: FetchEntry) {
        let entries = self.records.get(&id).map_or(0, |record| record.entries.len());
        if entries < FETCH_ENTRIES_MAX {
            self.change_record(id, |record| record.fetches.push(fetch));
        }
    }

    /// Sets a record's screen, or the end of its screen.
    fn apply_screen(&mut self, id: RecordingId, ended: Option<&RecordingEnded>) {
        self.change_record(id, |record| {
            record.screen.get_or_insert_default().ended = ended.cloned();
        });
        let known = self.records.contains_key(&id);
        if known && ended.is_none() {
            self.running_screens.insert(id)
        } else {
            self.running_screens.remove(&id)
        };
    }

    /// Changes the recordings that this start of the daemon runs on a channel.
    fn change_running_on(&mut self, channel: u16, mut change: impl FnMut(&mut Record)) {
        for id in &self.running_records {
            let boot = self.boot;
            let here =
                |record: &&mut Record| record.boot == boot && record.began.channel == channel;
            if let Some(record) = self.records.get_mut(id).filter(here) {
                change(record);
                self.changed.insert(*id, self.current_entry.0);
            }
        }
    }

    fn extend_blackout(&mut self, number: BlackoutNumber, places: &[ChannelPosition]) {
        let mut reached = Vec::new();
        for (channel, span) in self.open_blackouts.extend_to(number, places) {
            self.change_running_on(channel, |record| {
                reached.push(record.id());
                record.open_blackout(span.clone());
            });
        }
        match self.open_blackouts.open.get_mut(&number) {
            Some(blackout) => blackout.recordings.extend(reached),
            None => self.stray_count += 1,
        }
    }

    fn reduce_blackout(
        &mut self,
        number: BlackoutNumber,
        places: &[ChannelPosition],
        end: BlackoutEnd,
        by: Option<&str>,
    ) {
        self.open_blackouts.remove_from(number, places);
        for place in places {
            self.change_running_on(place.channel, |record| {
                record.close_blackout(number, place.at);
                record.set_blackout_end(number, end, by);
            });
        }
        self.open_blackouts.set_end(number, end, by);
    }

    fn close_blackout(&mut self, number: BlackoutNumber, end: BlackoutEnd, by: &str) {
        let Some(blackout) = self.open_blackouts.open.remove(&number) else {
            self.stray_count += 1;
            return;
        };
        for id in blackout.recordings {
            if let Some(record) = self.records.get_mut(&id).filter(|r| r.deleted.is_none()) {
                record.set_blackout_end(number, end, Some(by));
                self.changed.insert(id, self.current_entry.0);
            }
        }
    }
}

// Queries.
impl Index {
    /// Iterates over the records that match `filter`, newest first.
    pub fn list_records(&self, filter: &RecordFilter) -> impl Iterator<Item = &Record> {
        let last = filter.before.unwrap_or(u64::MAX);
        let older = self.order.partition_point(|(sequence, _)| *sequence < last);
        let newest_first = self.order[..older].iter().rev();
        let records = newest_first.filter_map(|(_, id)| self.records.get(id));
        records.filter(move |record| filter.matches(&record.facets()))
    }

    /// Returns the newest record that matches `filter` and is in no summary.
    #[must_use]
    pub fn newest_unsummarised(&self, filter: &RecordFilter) -> Option<&Record> {
        let last = filter.before.unwrap_or(u64::MAX);
        let older = self.order.partition_point(|(sequence, _)| *sequence < last);
        let old = self.order.partition_point(|(sequence, _)| *sequence <= self.summarised_through);
        let new = self.order.get(old..older)?.iter().rev();
        let mut records = new.filter_map(|(_, id)| self.records.get(id));
        records.find(|record| filter.matches(&record.facets()))
    }

    /// Iterates over every record in the index, deleted ones included, in start order.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.order.iter().filter_map(|(_, id)| self.records.get(id))
    }

    /// Returns the number of records in the index, without deleted ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.values().filter(|record| record.deleted.is_none()).count()
    }

    /// Whether the index has no records that are not deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the start time of the oldest record in the index.
    #[must_use]
    pub fn oldest_record(&self) -> Option<WallTime> {
        let mut kept = self.records().filter(|record| record.deleted.is_none());
        kept.next().map(Record::started_at)
    }

    /// Returns a record, deleted or not.
    #[must_use]
    pub fn record(&self, id: RecordingId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// Iterates over records without an end. Those of an earlier `boot` were interrupted.
    pub fn running_records(&self) -> impl Iterator<Item = &Record> {
        self.running_records.iter().filter_map(|id| self.records.get(id))
    }

    /// Iterates over records whose screen has no end.
    pub fn running_screens(&self) -> impl Iterator<Item = &Record> {
        self.running_screens.iter().filter_map(|id| self.records.get(id))
    }

    /// Iterates over the records that may be deleted at the proven time `now`, longest overdue
    /// first.
    pub fn expired_records(&self, now: WallTime) -> impl Iterator<Item = &Record> {
        let due = self.due.iter().take_while(move |(until, _)| *until <= now);
        due.filter_map(|(_, id)| self.records.get(id))
    }

    /// Iterates over the records without audio that nobody asked for.
    pub fn empty_records(&self) -> impl Iterator<Item = &Record> {
        let records = self.empty.iter().filter_map(|id| self.records.get(id));
        records.filter(|record| record.is_empty())
    }

    /// Iterates over the records deleted since the daemon started, with their start times if known.
    /// Their files may still exist.
    pub fn deletions(&self) -> impl Iterator<Item = (RecordingId, Option<WallTime>)> {
        self.deletions.iter().map(|(id, at)| (*id, *at))
    }

    /// Sets the start times of deleted records.
    pub fn set_deleted_start_times(&mut self, known: &[(RecordingId, WallTime)]) {
        for (id, at) in known {
            if let Some(unknown) = self.deletions.get_mut(id) {
                *unknown = Some(*at);
            }
        }
    }

    /// Clears the deletions after their files were removed.
    pub fn forget_deletions(&mut self) {
        self.deletions.clear();
    }

    /// Iterates over the calls that have not ended.
    pub fn live_calls(&self) -> impl Iterator<Item = &LiveCall> {
        self.live_calls.values()
    }

    /// The SIP dialog of a live call, if a recording client brought the call.
    #[must_use]
    pub fn dialog_of(&self, call: CallNumber) -> Option<&SipDialog> {
        self.dialogs.get(&call)
    }

    /// Returns the enrolled workstations.
    #[must_use]
    pub fn enrolments(&self) -> &Enrolments {
        &self.enrolments
    }

    /// Iterates over the blackouts that have not ended.
    pub fn open_blackouts(&self) -> impl Iterator<Item = &OpenBlackout> {
        self.open_blackouts.open.values()
    }

    /// Returns the event alarms that no technician has cleared.
    #[must_use]
    pub fn alarms(&self) -> &NotedAlarms {
        &self.alarms
    }

    /// Returns what the journal says about the clock.
    #[must_use]
    pub fn clock(&self) -> &ClockHistory {
        &self.clock
    }

    /// Returns the number of the last daemon start, 0 before the first.
    #[must_use]
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// Whether the daemon's last run ended cleanly.
    #[must_use]
    pub fn has_clean_stop(&self) -> bool {
        self.is_stopped
    }

    /// Returns the journal sequence of the last entry, 0 before the first.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Returns the highest call number assigned so far.
    #[must_use]
    pub fn last_call(&self) -> CallNumber {
        self.last_call
    }

    /// Returns the highest blackout number assigned so far.
    #[must_use]
    pub fn last_blackout(&self) -> BlackoutNumber {
        self.open_blackouts.last
    }

    /// Returns the number of inconsistent entries.
    #[must_use]
    pub fn stray_count(&self) -> u64 {
        self.stray_count
    }
}
