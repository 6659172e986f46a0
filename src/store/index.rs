//! The index: the journal's entries folded into records, and into what a restart needs.
//!
//! Fed with every entry in order, it knows each recording's newest facts, and what was going on
//! when the journal ended: calls, running recordings, open blackouts, the highest numbers given.
//! An entry that makes no sense (a recording nobody began) changes nothing and is counted.
//!
//! It need not hold the whole past: `carry` gives what a later day's entries may still change, and
//! an index that is resumed from that keeps what it hears of other old records (`Late`) for those
//! who have them (see `summary`). `retire` forgets what a summary has taken over.
//!
//! Nothing here opens sealed facts, reads files, or decides what becomes of what was cut.

mod blackouts;
mod enrolments;
mod filter;
mod record;
mod retire;
#[cfg(test)]
mod tests;

pub use blackouts::OpenBlackout;
pub use enrolments::Enrolments;
pub use filter::{Facets, Filter};
pub use record::{
    BlackoutSpan, Deletion, ENTRIES_FOR_FETCHES, Fetch, FieldChange, Record, ScreenRecord,
};
pub use retire::{Carried, Late};

use crate::id::RecordingId;
use crate::store::day::Locator;
use crate::store::fact::{
    BlackoutEnd, BlackoutNumber, CallFacts, CallNumber, Entry, Fact, Place, RecordingBegan,
    RecordingEnded, Sealed,
};
use crate::time::Wall;
use blackouts::Blackouts;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A call that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCall {
    pub facts: CallFacts,
    /// `Numbers` under the box's call key.
    pub numbers: Sealed,
    pub held: bool,
}

/// All records, and how things stood at the last entry.
#[derive(Clone, Debug, Default)]
pub struct Index {
    records: BTreeMap<RecordingId, Record>,
    /// In the order they began, by their numbers.
    order: Vec<(u64, RecordingId)>,
    running: BTreeSet<RecordingId>,
    /// Those whose screen has no end.
    screens: BTreeSet<RecordingId>,
    calls: BTreeMap<CallNumber, LiveCall>,
    blackouts: Blackouts,
    enrolments: Enrolments,
    boot: u32,
    stopped: bool,
    last_sequence: u64,
    last_call: CallNumber,
    strays: u64,
    /// Number and place of the entry that is taken in.
    step: (u64, Locator),
    /// The last entry that summaries have taken in; 0: there is no past beyond this index.
    summarised: u64,
    /// What was changed, and by which entry, since then.
    changed: BTreeMap<RecordingId, u64>,
    /// What was deleted, and by which entry, since then.
    gone: BTreeMap<RecordingId, u64>,
    /// Old records that were looked up, the first to be forgotten first.
    adopted: VecDeque<RecordingId>,
    /// What was said since then of records that are not here.
    late: BTreeMap<RecordingId, Vec<Late>>,
    /// Where entries stand that were told again, the last time that was done.
    moved: BTreeMap<Locator, Locator>,
    /// What will be deleted, and from when on: ended, neither protected nor deleted.
    due: BTreeSet<(Wall, RecordingId)>,
    /// Deleted since the last start of the daemon, and when they began, as far as that is known
    /// here: their files may still be there.
    deletions: BTreeMap<RecordingId, Option<Wall>>,
}

impl Index {
    /// Takes in the entry with this number, wherever it stands.
    pub fn apply(&mut self, sequence: u64, entry: &Entry) {
        self.apply_at(sequence, Locator::default(), entry);
    }

    /// Takes in the entry with this number that stands at `place`.
    pub fn apply_at(&mut self, sequence: u64, place: Locator, entry: &Entry) {
        self.last_sequence = self.last_sequence.max(sequence);
        self.step = (sequence, place);
        if self.is_late(entry) {
            return;
        }
        let at = entry.at;
        match &entry.fact {
            Fact::BoxStarted { boot, .. } => self.start(*boot),
            Fact::BoxStopped => self.stopped = true,
            Fact::CallBegan { call, numbers } | Fact::CallChanged { call, numbers } => {
                self.call(call, numbers);
            }
            Fact::CallHeld { number, held } => self.hold(*number, *held),
            Fact::CallEnded { number, .. } => {
                self.strays += u64::from(self.calls.remove(number).is_none());
            }
            Fact::RecordingBegan(began) => self.begin(sequence, at, began),
            Fact::RecordingEnded(ended) => self.end(at, ended),
            Fact::ScreenBegan { id } => self.screen(*id, None),
            Fact::ScreenEnded(ended) => self.screen(ended.id, Some(ended)),
            Fact::RecordingChanged { id, call, numbers } => {
                self.with(*id, |record| record.change_call(call, numbers));
            }
            Fact::RecordingReasons { id, reasons, .. } => {
                self.with(*id, |record| record.set_reasons(*reasons));
            }
            Fact::RecordingRetention { id, retain_until } => {
                self.keep(*id, |record| record.began.retain_until = *retain_until);
            }
            Fact::FieldSet { id, field, by, value } => {
                let (field, by, value) = (*field, by.clone(), value.clone());
                self.with(*id, |record| record.set_field(FieldChange { at, field, by, value }));
            }
            Fact::Fetched { id, by, why } => {
                self.fetch(*id, Fetch { at, by: by.clone(), why: why.clone() });
            }
            Fact::Protected { id, on, .. } => self.keep(*id, |record| record.protected = *on),
            Fact::Deleted { id, why, by } => {
                self.delete(*id, Deletion { at, why: why.clone(), by: by.clone() });
            }
            Fact::Enrolled(enrolment) => self.enrolments.enrol(enrolment),
            Fact::Revoked { machine, .. } => {
                self.strays += u64::from(!self.enrolments.revoke(machine));
            }
            Fact::ConfigChanged { .. } => {}
            Fact::BlackoutOpened { number, agent, call, holder, by, places } => {
                let mut blackout = OpenBlackout::new(*number, *holder, by, at);
                (blackout.agent, blackout.call) = (agent.clone(), *call);
                self.blackouts.open(blackout);
                self.spread(*number, places);
            }
            Fact::BlackoutSpread { number, places } => self.spread(*number, places),
            Fact::BlackoutShrunk { number, places } => {
                self.shrink(*number, places, BlackoutEnd::CallEnd, None);
            }
            Fact::BlackoutHolders { number, holders, .. } => {
                match self.blackouts.open.get_mut(number) {
                    Some(blackout) => blackout.holders = *holders,
                    None => self.strays += 1,
                }
            }
            Fact::BlackoutClosed { number, end, by, places } => {
                self.shrink(*number, places, *end, Some(by));
                self.close(*number, *end, by);
            }
        }
    }

    fn start(&mut self, boot: u32) {
        self.blackouts.restart(self.boot);
        self.boot = boot;
        self.stopped = false;
        self.deletions.clear();
    }

    fn call(&mut self, facts: &CallFacts, numbers: &Sealed) {
        self.last_call = self.last_call.max(facts.number);
        let held = self.calls.get(&facts.number).is_some_and(|call| call.held);
        let call = LiveCall { facts: facts.clone(), numbers: numbers.clone(), held };
        self.calls.insert(facts.number, call);
    }

    fn hold(&mut self, number: CallNumber, held: bool) {
        match self.calls.get_mut(&number) {
            Some(call) => call.held = held,
            None => self.strays += 1,
        }
    }

    fn begin(&mut self, sequence: u64, at: Wall, began: &RecordingBegan) {
        if self.records.contains_key(&began.id) {
            self.strays += 1;
            return;
        }
        let mut record = Record::new(sequence, at, self.boot, began.clone());
        record.blackouts = self.blackouts.reaching(began);
        self.last_call = self.last_call.max(began.call.number);
        record.entries.push(self.step.1);
        self.records.insert(began.id, record);
        self.order.push((sequence, began.id));
        self.running.insert(began.id);
    }

    fn end(&mut self, at: Wall, ended: &RecordingEnded) {
        let known = self.records.get_mut(&ended.id).filter(|record| record.is_running());
        let Some(record) = known else {
            self.strays += 1;
            return;
        };
        self.blackouts.witness(record, ended, self.boot);
        record.end(at, ended.clone());
        record.entries.push(self.step.1);
        self.running.remove(&ended.id);
        self.changed.insert(ended.id, self.step.0);
        self.set_due(ended.id);
    }

    /// Changes a record in what decides when it will be deleted.
    fn keep(&mut self, id: RecordingId, change: impl FnOnce(&mut Record)) {
        let until = self.records.get(&id).map(|record| record.began.retain_until);
        until.map(|until| self.due.remove(&(until, id)));
        self.with(id, change);
        self.set_due(id);
    }

    /// Remembers when a record will be deleted, if it will be.
    fn set_due(&mut self, id: RecordingId) {
        let Some(record) = self.records.get(&id) else { return };
        if record.deleted.is_none() && !record.protected && !record.is_running() {
            self.due.insert((record.began.retain_until, id));
        }
    }

    fn delete(&mut self, id: RecordingId, deletion: Deletion) {
        let known = self.records.get(&id).filter(|record| record.deleted.is_none());
        if let Some(at) = known.map(|record| record.at) {
            self.gone.insert(id, self.step.0);
            self.deletions.insert(id, Some(at));
        }
        self.keep(id, |record| record.delete(deletion));
    }

    /// Changes a record that is there and not deleted.
    fn with(&mut self, id: RecordingId, change: impl FnOnce(&mut Record)) {
        match self.records.get_mut(&id).filter(|record| record.deleted.is_none()) {
            Some(record) => {
                change(record);
                record.entries.push(self.step.1);
                self.changed.insert(id, self.step.0);
            }
            None => self.strays += 1,
        }
    }

    /// Somebody was given a file of a record.
    fn fetch(&mut self, id: RecordingId, fetch: Fetch) {
        let entries = self.records.get(&id).map_or(0, |record| record.entries.len());
        if entries < ENTRIES_FOR_FETCHES {
            self.with(id, |record| record.fetched.push(fetch));
        }
    }

    /// A record has a screen, or its account.
    fn screen(&mut self, id: RecordingId, ended: Option<&RecordingEnded>) {
        let screen = ScreenRecord { ended: ended.cloned() };
        self.with(id, |record| record.screen = Some(screen));
        let known = self.records.contains_key(&id);
        if known && ended.is_none() {
            self.screens.insert(id)
        } else {
            self.screens.remove(&id)
        };
    }

    /// Changes what runs on a channel since the present start of the daemon.
    fn on_channel(&mut self, channel: u16, mut change: impl FnMut(&mut Record)) {
        for id in &self.running {
            let boot = self.boot;
            let here =
                |record: &&mut Record| record.boot == boot && record.began.channel == channel;
            if let Some(record) = self.records.get_mut(id).filter(here) {
                change(record);
                self.changed.insert(*id, self.step.0);
            }
        }
    }

    fn spread(&mut self, number: BlackoutNumber, places: &[Place]) {
        let mut reached = Vec::new();
        for (channel, span) in self.blackouts.spread(number, places) {
            self.on_channel(channel, |record| {
                reached.push(record.id());
                record.open_blackout(span.clone());
            });
        }
        match self.blackouts.open.get_mut(&number) {
            Some(blackout) => blackout.reached.extend(reached),
            None => self.strays += 1,
        }
    }

    fn shrink(
        &mut self,
        number: BlackoutNumber,
        places: &[Place],
        end: BlackoutEnd,
        by: Option<&str>,
    ) {
        self.blackouts.shrink(number, places);
        for place in places {
            self.on_channel(place.channel, |record| {
                record.close_blackout(number, place.at);
                record.explain(number, end, by);
            });
        }
        self.blackouts.explain(number, end, by);
    }

    fn close(&mut self, number: BlackoutNumber, end: BlackoutEnd, by: &str) {
        let Some(blackout) = self.blackouts.open.remove(&number) else {
            self.strays += 1;
            return;
        };
        for id in blackout.reached {
            if let Some(record) = self.records.get_mut(&id).filter(|r| r.deleted.is_none()) {
                record.explain(number, end, Some(by));
                self.changed.insert(id, self.step.0);
            }
        }
    }
}

/// What has been folded.
impl Index {
    /// The records that `filter` admits, newest first.
    pub fn list(&self, filter: &Filter) -> impl Iterator<Item = &Record> {
        let last = filter.before.unwrap_or(u64::MAX);
        let older = self.order.partition_point(|(sequence, _)| *sequence < last);
        let newest_first = self.order[..older].iter().rev();
        let records = newest_first.filter_map(|(_, id)| self.records.get(id));
        records.filter(move |record| filter.admits(&record.facets()))
    }

    /// The newest record that `filter` admits and no summary knows.
    #[must_use]
    pub fn newest(&self, filter: &Filter) -> Option<&Record> {
        let last = filter.before.unwrap_or(u64::MAX);
        let older = self.order.partition_point(|(sequence, _)| *sequence < last);
        let old = self.order.partition_point(|(sequence, _)| *sequence <= self.summarised);
        let new = self.order.get(old..older)?.iter().rev();
        let mut records = new.filter_map(|(_, id)| self.records.get(id));
        records.find(|record| filter.admits(&record.facets()))
    }

    /// Every record here, deleted ones too, in the order they began.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.order.iter().filter_map(|(_, id)| self.records.get(id))
    }

    /// How many records there are here, deleted ones not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.values().filter(|record| record.deleted.is_none()).count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the oldest record here began.
    #[must_use]
    pub fn oldest(&self) -> Option<Wall> {
        let mut kept = self.records().filter(|record| record.deleted.is_none());
        kept.next().map(|record| record.at)
    }

    /// One record, deleted or not.
    #[must_use]
    pub fn record(&self, id: RecordingId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// Records without an end; those of an earlier `boot` than the present one were cut.
    pub fn running(&self) -> impl Iterator<Item = &Record> {
        self.running.iter().filter_map(|id| self.records.get(id))
    }

    /// Records whose screen has no end.
    pub fn screens(&self) -> impl Iterator<Item = &Record> {
        self.screens.iter().filter_map(|id| self.records.get(id))
    }

    /// What may be deleted at `now`, the longest overdue first: ended, past its retention, not
    /// protected.
    pub fn expired(&self, now: Wall) -> impl Iterator<Item = &Record> {
        let due = self.due.iter().take_while(move |(until, _)| *until <= now);
        due.filter_map(|(_, id)| self.records.get(id))
    }

    /// What was deleted since the last start of the daemon, as far as it is known when it began:
    /// files that may still be there.
    pub fn deletions(&self) -> impl Iterator<Item = (RecordingId, Option<Wall>)> {
        self.deletions.iter().map(|(id, at)| (*id, *at))
    }

    /// When records began, for those of them that were deleted.
    pub fn deleted_began_all(&mut self, known: &[(RecordingId, Wall)]) {
        for (id, at) in known {
            if let Some(unknown) = self.deletions.get_mut(id) {
                *unknown = Some(*at);
            }
        }
    }

    /// All those files are gone.
    pub fn forget_deletions(&mut self) {
        self.deletions.clear();
    }

    /// Calls that have not ended.
    pub fn calls(&self) -> impl Iterator<Item = &LiveCall> {
        self.calls.values()
    }

    /// Workstations that may come in.
    #[must_use]
    pub fn enrolments(&self) -> &Enrolments {
        &self.enrolments
    }

    /// Blackouts that have not ended.
    pub fn blackouts(&self) -> impl Iterator<Item = &OpenBlackout> {
        self.blackouts.open.values()
    }

    /// Number of the last start of the daemon, 0 before the first.
    #[must_use]
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// The last run ended in order.
    #[must_use]
    pub fn stopped_in_order(&self) -> bool {
        self.stopped
    }

    /// Journal number of the last entry, 0 before the first.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// The highest call number given so far.
    #[must_use]
    pub fn last_call(&self) -> CallNumber {
        self.last_call
    }

    /// The highest blackout number given so far.
    #[must_use]
    pub fn last_blackout(&self) -> BlackoutNumber {
        self.blackouts.last
    }

    /// Entries that made no sense.
    #[must_use]
    pub fn strays(&self) -> u64 {
        self.strays
    }
}
