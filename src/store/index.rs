//! The index: the journal's entries folded into records, and into what a restart needs.
//!
//! Fed with every entry in order, it knows each recording's newest facts, and what was going on
//! when the journal ended: calls, running recordings, open blackouts, the highest numbers given.
//! An entry that makes no sense (a recording nobody began) changes nothing and is counted.
//!
//! Nothing here opens sealed facts, reads files, or decides what becomes of what was cut.

mod blackouts;
mod doors;
mod record;
#[cfg(test)]
mod tests;

pub use blackouts::OpenBlackout;
pub use doors::Enrolments;
pub use record::{BlackoutSpan, Deletion, FieldChange, Record};

use crate::id::RecordingId;
use crate::store::fact::{
    BlackoutEnd, BlackoutNumber, CallFacts, CallNumber, Entry, Fact, Place, RecordingBegan,
    RecordingEnded, Sealed,
};
use crate::time::Wall;
use blackouts::Blackouts;
use std::collections::{BTreeMap, BTreeSet};

/// A call that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// In the order they began.
    order: Vec<RecordingId>,
    running: BTreeSet<RecordingId>,
    calls: BTreeMap<CallNumber, LiveCall>,
    blackouts: Blackouts,
    enrolments: Enrolments,
    boot: u32,
    stopped: bool,
    last_sequence: u64,
    last_call: CallNumber,
    strays: u64,
    deleted: usize,
    /// What will be deleted, and from when on: ended, neither protected nor deleted.
    due: BTreeSet<(Wall, RecordingId)>,
    /// Deleted since the last start of the daemon: their files may still be there.
    deletions: Vec<RecordingId>,
}

/// Which records are wanted. `Default` is all that are not deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Username, whatever its case.
    pub agent: Option<String>,
    pub device: Option<String>,
    /// Began at this time or later.
    pub from: Option<Wall>,
    /// Began before this time.
    pub until: Option<Wall>,
    pub running: Option<bool>,
    /// Deleted ones too.
    pub deleted: bool,
    /// Only records whose sequence number is lower: to go on where a page ended.
    pub before: Option<u64>,
}

impl Filter {
    /// Whether `record` is wanted.
    #[must_use]
    pub fn admits(&self, record: &Record) -> bool {
        let call = &record.began.call;
        let agent = |wanted: &String| {
            call.agent.as_ref().is_some_and(|agent| agent.eq_ignore_ascii_case(wanted))
        };
        self.agent.as_ref().is_none_or(agent)
            && self.device.as_ref().is_none_or(|device| *device == call.device)
            && self.from.is_none_or(|from| record.at >= from)
            && self.until.is_none_or(|until| record.at < until)
            && self.running.is_none_or(|running| record.is_running() == running)
            && (self.deleted || record.deleted.is_none())
            && self.before.is_none_or(|before| record.sequence < before)
    }
}

impl Index {
    /// Takes in the entry with this number.
    pub fn apply(&mut self, sequence: u64, entry: &Entry) {
        self.last_sequence = self.last_sequence.max(sequence);
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
            Fact::Protected { id, on, .. } => self.keep(*id, |record| record.protected = *on),
            Fact::Deleted { id, why, by } => {
                self.delete(*id, Deletion { at, why: why.clone(), by: by.clone() });
            }
            Fact::Enrolled(enrolment) => self.enrolments.enrol(enrolment),
            Fact::Revoked { machine, .. } => {
                self.strays += u64::from(!self.enrolments.revoke(machine));
            }
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
        self.records.insert(began.id, record);
        self.order.push(began.id);
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
        self.running.remove(&ended.id);
        self.keep(ended.id, |_| {});
    }

    /// Changes a record in what decides when it will be deleted.
    fn keep(&mut self, id: RecordingId, change: impl FnOnce(&mut Record)) {
        let until = self.records.get(&id).map(|record| record.began.retain_until);
        until.map(|until| self.due.remove(&(until, id)));
        self.with(id, change);
        let Some(record) = self.records.get(&id) else { return };
        if record.deleted.is_none() && !record.protected && !record.is_running() {
            self.due.insert((record.began.retain_until, id));
        }
    }

    fn delete(&mut self, id: RecordingId, deletion: Deletion) {
        if self.records.get(&id).is_some_and(|record| record.deleted.is_none()) {
            self.deleted += 1;
            self.deletions.push(id);
        }
        self.keep(id, |record| record.delete(deletion));
    }

    /// Changes a record that is there and not deleted.
    fn with(&mut self, id: RecordingId, change: impl FnOnce(&mut Record)) {
        match self.records.get_mut(&id).filter(|record| record.deleted.is_none()) {
            Some(record) => change(record),
            None => self.strays += 1,
        }
    }

    /// Changes what runs on a channel since the present start of the daemon.
    fn on_channel(&mut self, channel: u16, mut change: impl FnMut(&mut Record)) {
        for id in &self.running {
            let boot = self.boot;
            let here =
                |record: &&mut Record| record.boot == boot && record.began.channel == channel;
            if let Some(record) = self.records.get_mut(id).filter(here) {
                change(record);
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
            if let Some(record) = self.records.get_mut(&id) {
                record.explain(number, end, Some(by));
            }
        }
    }
}

/// What has been folded.
impl Index {
    /// The records that `filter` admits, newest first.
    pub fn list(&self, filter: &Filter) -> impl Iterator<Item = &Record> {
        let newest_first = self.order.iter().rev().filter_map(|id| self.records.get(id));
        newest_first.filter(move |record| filter.admits(record))
    }

    /// How many records there are, deleted ones not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len() - self.deleted
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the oldest record began.
    #[must_use]
    pub fn oldest(&self) -> Option<Wall> {
        let kept = self.order.iter().filter_map(|id| self.records.get(id));
        kept.filter(|record| record.deleted.is_none()).map(|record| record.at).next()
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

    /// What may be deleted at `now`, the longest overdue first: ended, past its retention, not
    /// protected.
    pub fn expired(&self, now: Wall) -> impl Iterator<Item = &Record> {
        let due = self.due.iter().take_while(move |(until, _)| *until <= now);
        due.filter_map(|(_, id)| self.records.get(id))
    }

    /// What was deleted since the last start of the daemon: files that may still be there.
    pub fn deletions(&self) -> impl Iterator<Item = &Record> {
        self.deletions.iter().filter_map(|id| self.records.get(id))
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
