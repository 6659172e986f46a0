//! The trace: the last things that happened, as a fixed ring of typed events, each counted.
//!
//! `watch` tells them to technicians and supervisors; every kind is counted for ever. An event says
//! which device, agent and recording; never a number, a field's value, or a sample.

use crate::id::RecordingId;
use crate::limits;
use crate::time::WallTime;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    LogIn { user: String, kind: protocol::Kind },
    LogOut { user: String, kind: protocol::Kind },
    CallBegan { device: String, call: String },
    CallEnded { device: String, call: String },
    RecordingBegan { recording: RecordingId, device: String },
    RecordingEnded { recording: RecordingId, why: &'static str },
    Blackout { agent: String, on: bool, why: &'static str },
    AlarmRaised { number: u16, word: &'static str, text: String },
    AlarmResolved { number: u16, word: &'static str },
    Fetched { recording: RecordingId, by: String, why: &'static str },
    Lost { channel: u16, frames: u64, why: &'static str },
}

/// A remembered event.
#[derive(Clone, Debug)]
pub struct TraceEntry {
    pub sequence: u64,
    pub at: WallTime,
    pub event: TraceEvent,
}

/// The ring.
#[derive(Debug)]
pub struct Trace {
    events: std::collections::VecDeque<TraceEntry>,
    next_sequence: u64,
    delivered: u64,
}

impl Default for Trace {
    fn default() -> Trace {
        let events = std::collections::VecDeque::with_capacity(limits::EVENTS_MAX);
        Trace { events, next_sequence: 1, delivered: 0 }
    }
}

impl Trace {
    pub fn push_event(&mut self, at: WallTime, event: TraceEvent) {
        if self.events.len() == limits::EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(TraceEntry { sequence: self.next_sequence, at, event });
        self.next_sequence += 1;
    }

    /// Notes lost frames of a channel. Losses that follow each other are one event: a card that is
    /// away must not push everything else out of the ring.
    pub fn push_lost(&mut self, at: WallTime, (channel, frames, why): (u16, u64, &'static str)) {
        let last = self.events.back_mut().filter(|last| last.sequence >= self.delivered);
        if let Some(TraceEvent::Lost { channel: same, frames: sum, why: reason }) =
            last.map(|last| &mut last.event)
            && (*same, *reason) == (channel, why)
        {
            *sum += frames;
            return;
        }
        self.push_event(at, TraceEvent::Lost { channel, frames, why });
    }

    /// Everything before this event has been told to somebody and must not change any more.
    pub fn mark_delivered(&mut self, sequence: u64) {
        self.delivered = self.delivered.max(sequence);
    }

    /// The number the next event will have.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The event numbered `from` or the oldest one after it that is still remembered.
    #[must_use]
    pub fn first_since(&self, from: u64) -> Option<&TraceEntry> {
        self.events.iter().find(|traced| traced.sequence >= from)
    }
}
