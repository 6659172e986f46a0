//! The journal: what happened at the box, as facts, events and alarms.
//!
//! `Journal` has the storage (the journal's bytes and all disk jobs), the index that the facts
//! make, the events of `watch`, and the alarms. It decides nothing about calls or recordings.
//! `retention` and `expiry` delete old records, `redaction` removes ranges of them.

mod checkpoints;
pub(super) mod clock;
pub(super) mod expiry;
pub(super) mod redaction;
pub(super) mod retention;
pub mod storage;
mod unsynced;

pub use storage::{Storage, StorageEvent};

use crate::alarm::{AlarmCode, Alarms};
use crate::job::Ticket;
use crate::store::fact::Fact;
use crate::store::index::{Index, NotedAlarm};
use crate::time::Now;
use crate::trace::{Trace, TraceEvent};
use clock::ClockSegment;

/// The record of what happened.
pub(super) struct Journal {
    pub storage: Storage,
    pub index: Index,
    pub trace: Trace,
    pub alarms: Alarms,
    clock: ClockSegment,
}

impl Journal {
    pub fn new(now: Now, storage: Storage, index: Index) -> Journal {
        let mut alarms = Alarms::default();
        index.alarms().iter().for_each(|noted| alarms.restore(noted));
        Journal { storage, index, trace: Trace::default(), alarms, clock: ClockSegment::new(now) }
    }

    /// Appends a fact. Returns the ticket of the sync that makes it durable.
    pub fn append(&mut self, now: Now, fact: Fact) -> Ticket {
        self.note_clock_step(now);
        self.storage.append(&mut self.index, now, fact)
    }

    /// Appends the stop, once all files are closed. Called every turn; returns true when it is
    /// durable.
    pub fn close(&mut self, now: Now) -> bool {
        self.storage.close(&mut self.index, now)
    }

    pub fn raise_alarm(&mut self, now: Now, code: AlarmCode, subject: &str, text: String) {
        if self.alarms.raise(now.wall, code, subject, text.clone()) {
            self.note_alarm(now, code, subject, &text);
            log::warn!("alarm {} {}: {text}", code.number(), code.as_str());
            let (number, word) = (code.number(), code.as_str());
            self.trace.push_event(now.wall, TraceEvent::AlarmRaised { number, word, text });
        }
    }

    /// Notes an event alarm, so that it outlives a restart.
    fn note_alarm(&mut self, now: Now, code: AlarmCode, subject: &str, text: &str) {
        if code.is_state() || self.index.alarms().is_full() || self.storage.is_closing() {
            return;
        }
        let (number, subject, text) = (code.number(), subject.to_owned(), text.to_owned());
        self.append(now, Fact::AlarmRaised { number, subject, text });
    }

    /// Clears an event alarm about one subject, because its cause is over.
    pub fn resolve_event_alarm(&mut self, now: Now, code: AlarmCode, subject: &str) {
        self.clear_alarm(now, code, subject);
        let (number, subject) = (code.number(), subject.to_owned());
        let same = |noted: &NotedAlarm| (noted.number, &noted.subject) == (number, &subject);
        if self.index.alarms().iter().any(same) {
            self.append(now, Fact::AlarmResolved { number, subject });
        }
    }

    /// Clears a state alarm.
    pub fn clear_alarm(&mut self, now: Now, code: AlarmCode, subject: &str) {
        if self.alarms.resolve(code, subject) {
            log::info!("alarm {} {} is over", code.number(), code.as_str());
            let (number, word) = (code.number(), code.as_str());
            self.trace.push_event(now.wall, TraceEvent::AlarmResolved { number, word });
        }
    }
}
