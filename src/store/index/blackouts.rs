//! Blackouts folded from the journal: which are open, on which channels, and in which recordings.
//!
//! Positions restart at 0 with the daemon. An open blackout stays open (G5) and masks new
//! recordings from position 0. Ended spans are kept for a while, because a recording may start in
//! the past (preroll, recall). The recorder does the masking.

use super::record::BlackoutSpan;
use super::{Index, Record};
use crate::id::RecordingId;
use crate::store::fact::{
    BlackoutEnd, BlackoutHolder, BlackoutNumber, CallNumber, ChannelPosition, Fact, RecordingBegan,
    RecordingEnded,
};
use crate::time::{Position, WallTime, ms_of_frames};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Ended spans kept for recordings that start in the past.
const MAX_ENDED_SPANS: usize = 1024;

/// Returns the holder's bit in `holders`.
fn holder_bit(holder: BlackoutHolder) -> u8 {
    match holder {
        BlackoutHolder::Agent => 1,
        BlackoutHolder::Supervisor => 2,
        BlackoutHolder::Cti => 4,
        BlackoutHolder::Digits => 8,
    }
}

/// A blackout that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBlackout {
    pub number: BlackoutNumber,
    pub agent: String,
    pub call: Option<CallNumber>,
    /// Bits of `BlackoutHolder`.
    pub holders: u8,
    /// The kind and name of the client that opened it.
    pub holder: BlackoutHolder,
    pub by: String,
    pub opened: WallTime,
    /// Channels and start positions, in positions of the current daemon start.
    pub places: Vec<ChannelPosition>,
    /// Channels and positions in earlier starts with their numbers, and the duration in each.
    earlier_places: Vec<(u32, ChannelPosition)>,
    duration_ms: BTreeMap<u32, u64>,
    /// Recordings to update when the blackout ends.
    pub(super) recordings: BTreeSet<RecordingId>,
}

impl OpenBlackout {
    /// Creates a blackout opened by `by` at `opened`, on no channel yet.
    pub(super) fn new(
        number: BlackoutNumber,
        holder: BlackoutHolder,
        by: &str,
        opened: WallTime,
    ) -> Self {
        OpenBlackout {
            number,
            agent: String::new(),
            call: None,
            holders: holder_bit(holder),
            holder,
            by: by.to_owned(),
            opened,
            places: Vec::new(),
            earlier_places: Vec::new(),
            duration_ms: BTreeMap::new(),
            recordings: BTreeSet::new(),
        }
    }

    /// Whether `holder` holds it now.
    #[must_use]
    pub fn is_held_by(&self, holder: BlackoutHolder) -> bool {
        self.holders & holder_bit(holder) != 0
    }

    /// Returns the milliseconds of captured audio it masked before the current daemon start. They
    /// count towards `max_s`, and are known only as far as ended recordings show them.
    #[must_use]
    pub fn earlier_ms(&self) -> u64 {
        let starts: BTreeSet<u32> = self.earlier_places.iter().map(|(boot, _)| *boot).collect();
        starts.iter().filter_map(|boot| self.duration_ms.get(boot)).sum()
    }

    fn span_from(&self, from: Position) -> BlackoutSpan {
        BlackoutSpan {
            number: self.number,
            agent: self.agent.clone(),
            by: self.by.clone(),
            holder: self.holder,
            from,
            to: None,
            end: None,
            ended_by: None,
        }
    }
}

/// All blackouts that can still affect a recording.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct BlackoutIndex {
    pub open: BTreeMap<BlackoutNumber, OpenBlackout>,
    /// Ended spans, with their channels.
    ended_spans: VecDeque<(u16, BlackoutSpan)>,
    pub last: BlackoutNumber,
}

impl BlackoutIndex {
    /// Moves open blackouts to a new daemon start. `boot` is the start that ended.
    pub fn apply_restart(&mut self, boot: u32) {
        self.ended_spans.clear();
        for blackout in self.open.values_mut() {
            blackout.earlier_places.extend(blackout.places.iter().map(|place| (boot, *place)));
            blackout.places.iter_mut().for_each(|place| place.at = Position(0));
        }
    }

    /// Adds a blackout, on no channel yet.
    pub fn add_open(&mut self, blackout: OpenBlackout) {
        self.last = self.last.max(blackout.number);
        self.open.insert(blackout.number, blackout);
    }

    /// Extends the blackout to `places`, or further back where it is already. Returns the spans
    /// that begin there.
    pub fn extend_to(
        &mut self,
        number: BlackoutNumber,
        places: &[ChannelPosition],
    ) -> Vec<(u16, BlackoutSpan)> {
        let Some(blackout) = self.open.get_mut(&number) else { return Vec::new() };
        let mut spans = Vec::new();
        for place in places {
            match blackout.places.iter_mut().find(|old| old.channel == place.channel) {
                Some(old) if old.at <= place.at => continue,
                Some(old) => old.at = place.at,
                None => blackout.places.push(*place),
            }
            spans.push((place.channel, blackout.span_from(place.at)));
        }
        spans
    }

    /// Removes the blackout from `places`.
    pub fn remove_from(&mut self, number: BlackoutNumber, places: &[ChannelPosition]) {
        let Some(blackout) = self.open.get_mut(&number) else { return };
        for place in places {
            let here = |old: &ChannelPosition| old.channel == place.channel;
            let Some(index) = blackout.places.iter().position(here) else { continue };
            let mut span = blackout.span_from(blackout.places[index].at);
            blackout.places.swap_remove(index);
            span.to = Some(place.at);
            self.ended_spans.push_back((place.channel, span));
        }
        while self.ended_spans.len() > MAX_ENDED_SPANS {
            self.ended_spans.pop_front();
        }
    }

    /// Sets how the blackout ended in its ended spans.
    pub fn set_end(&mut self, number: BlackoutNumber, end: BlackoutEnd, by: Option<&str>) {
        let ended = self.ended_spans.iter_mut().filter(|(_, span)| span.number == number);
        ended.for_each(|(_, span)| span.set_end(end, by));
    }

    /// Returns the blackout spans, ended and open, that affect a new recording, in order.
    pub fn spans_for(&mut self, began: &RecordingBegan) -> Vec<BlackoutSpan> {
        let ended = self.ended_spans.iter().filter(|(channel, _)| *channel == began.channel);
        let mut spans: Vec<BlackoutSpan> = ended.map(|(_, span)| span.clone()).collect();
        spans.retain(|span| span.to.is_some_and(|to| to > began.from));
        for blackout in self.open.values_mut() {
            let here = |place: &&ChannelPosition| place.channel == began.channel;
            if let Some(place) = blackout.places.iter().find(here) {
                spans.push(blackout.span_from(place.at));
                blackout.recordings.insert(began.id);
            }
        }
        spans.iter_mut().for_each(|span| span.from = span.from.max(began.from));
        spans.sort_by_key(|span| span.from);
        spans
    }

    /// Derives from an ended recording how long the open blackouts lasted in its daemon start.
    /// `current` is the number of the current start.
    pub fn record_duration(&mut self, record: &Record, ended: &RecordingEnded, current: u32) {
        for blackout in self.open.values_mut() {
            let now = blackout.places.iter().map(|place| (current, *place));
            let all = now.chain(blackout.earlier_places.iter().copied());
            let here = all.filter(|(boot, place)| {
                *boot == record.boot && place.channel == record.began.channel
            });
            let frames = here.map(|(_, place)| ended.to.0.saturating_sub(place.at.0)).max();
            let frames = frames.unwrap_or(0).min(u64::MAX / 1000);
            let lasted_ms = ms_of_frames(frames, record.began.rate.max(1));
            let known = blackout.duration_ms.entry(record.boot).or_default();
            *known = lasted_ms.max(*known);
        }
    }
}

impl Index {
    /// Applies a fact about a blackout; other facts change nothing here.
    pub(super) fn apply_blackout_fact(&mut self, at: WallTime, fact: &Fact) {
        match fact {
            Fact::BlackoutOpened { number, agent, call, holder, by, places } => {
                let mut blackout = OpenBlackout::new(*number, *holder, by, at);
                (blackout.agent, blackout.call) = (agent.clone(), *call);
                self.open_blackouts.add_open(blackout);
                self.extend_blackout(*number, places);
            }
            Fact::BlackoutSpread { number, places } => self.extend_blackout(*number, places),
            Fact::BlackoutShrunk { number, places } => {
                self.reduce_blackout(*number, places, BlackoutEnd::CallEnd, None);
            }
            Fact::BlackoutHolders { number, holders, .. } => {
                match self.open_blackouts.open.get_mut(number) {
                    Some(blackout) => blackout.holders = *holders,
                    None => self.stray_count += 1,
                }
            }
            Fact::BlackoutClosed { number, end, by, places } => {
                self.reduce_blackout(*number, places, *end, Some(by));
                self.close_blackout(*number, *end, by);
            }
            _ => {}
        }
    }
}
