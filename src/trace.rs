//! Trace: the most recent events as a fixed ring, and a counter per event kind.
//!
//! `watch` shows the events to technicians and supervisors. An event names device, agent and
//! recording, but never a phone number, a field value or a sample.

use crate::id::RecordingId;
use crate::limits;
use crate::time::WallTime;

/// Kind and subject of an event.
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

#[derive(Clone, Debug)]
pub struct TraceEntry {
    pub sequence: u64,
    pub at: WallTime,
    pub event: TraceEvent,
}

/// The event ring and the counters.
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

    /// Records lost frames of a channel. Consecutive losses merge into one event, so that a
    /// missing card does not push other events out of the ring.
    pub fn push_lost(&mut self, at: WallTime, channel: u16, frames: u64, why: &'static str) {
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

    /// Marks all events before this number as delivered; they no longer change.
    pub fn mark_delivered(&mut self, sequence: u64) {
        self.delivered = self.delivered.max(sequence);
    }

    /// Number of the next event.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Returns the event numbered `from`, or the oldest later one still in the ring.
    #[must_use]
    pub fn first_since(&self, from: u64) -> Option<&TraceEntry> {
        self.events.iter().find(|traced| traced.sequence >= from)
    }
}
