//! How far back a press reaches, and what it comes too late to mask.
//!
//! A press may arrive late: the link stalled, or the client had to reconnect. The client says how
//! long ago the agent pressed, and the mask reaches back by that time and the lead, as far as the
//! holdback. Older audio has left the ring. What a recording keeps of it is a fact of its record
//! and an alarm. A press made before all present calls of the agent masks none of them.

use super::Recorder;
use crate::alarm::AlarmCode;
use crate::audio::channel::ChannelIndex;
use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::id::RecordingId;
use crate::recorder::Recording;
use crate::store::fact::{BlackoutHolder, ChannelPosition, Fact};
use crate::time::{MonoTime, Now, Position, WallTime, frames_of_ms, ms_of_frames};
use protocol::{Code, Refusal};

/// When the agent pressed, and how much earlier the mask should begin.
#[derive(Clone, Copy, Debug)]
pub(in crate::recorder) struct PressReach {
    /// Time since the press, in milliseconds.
    pub pressed_ms: u32,
    /// Time before the press, in milliseconds.
    pub lead_ms: u32,
}

/// A press as the loop received it.
#[derive(Clone, Copy, Debug)]
pub(in crate::recorder) struct BlackoutPress {
    pub reach: PressReach,
    /// When the loop woke up for the line, to measure how long the mask took.
    pub woke: MonoTime,
}

impl PressReach {
    /// How far back the mask should begin, in milliseconds.
    pub fn wanted_ms(self) -> u64 {
        u64::from(self.pressed_ms) + u64::from(self.lead_ms)
    }

    /// The time at which the mask should begin.
    pub fn wanted_at(self, now: Now) -> MonoTime {
        MonoTime(now.mono.0.saturating_sub(self.wanted_ms() * 1000))
    }
}

/// A part of a recording that should have been masked.
#[derive(Clone, Copy)]
struct MissedRange {
    id: RecordingId,
    from: Position,
    to: Position,
}

/// A press by which the mask of an agent should have begun earlier.
#[derive(Clone, Copy)]
pub(in crate::recorder) struct LatePress {
    /// The agent who pressed; `None` if digits were typed in a call without an agent.
    pub agent: Option<AgentIndex>,
    pub reach: PressReach,
    /// How far back earlier presses of the same blackout wanted it, in milliseconds.
    pub noted_ms: u64,
}

impl Recorder {
    /// Where a press masks a channel from: as far back as it wants and the ring holds, but not
    /// before the first call that the channel carries now.
    pub(super) fn reachable_position(&self, index: ChannelIndex, reach: PressReach) -> Position {
        let channel = &self.channels[index.0];
        let reach_ms = reach.wanted_ms().min(u64::from(self.config.audio.holdback_ms));
        let from = channel.head().saturating_sub(frames_of_ms(reach_ms, channel.rate));
        let begins = self.calls.live_on(index).map(|call| call.from).min().unwrap_or_default();
        from.max(begins.min(channel.head()))
    }

    /// The position on a channel `ms` milliseconds ago.
    fn position_before(&self, index: ChannelIndex, ms: u64) -> Position {
        let channel = &self.channels[index.0];
        channel.head().saturating_sub(frames_of_ms(ms, channel.rate))
    }

    /// Refuses a press that was made before any of the agent's present calls began: it was meant
    /// for a call that has ended.
    pub(super) fn require_pressed_call(
        &mut self,
        now: Now,
        agent: AgentIndex,
        press: LatePress,
    ) -> Result<(), Refusal> {
        let pressed_ms = u64::from(press.reach.pressed_ms);
        let had_begun = |call: &Call| call.from <= self.position_before(call.channel, pressed_ms);
        if pressed_ms == 0 || self.calls.live_of(agent).any(had_begun) {
            return Ok(());
        }
        self.note_missed(now, press);
        let text = "the call in which the agent pressed has ended; nothing of it was masked, and \
                    the present call is not masked. Press again to mask the present call";
        Err(Refusal::new(Code::NoCall, text))
    }

    /// Moves the start of an open blackout back for a press that is older than its first.
    pub(super) fn extend_blackout(&mut self, now: Now, index: usize, reach: PressReach) {
        let wanted = reach.wanted_at(now);
        let open = &mut self.blackouts.open[index];
        if reach.pressed_ms == 0 || wanted >= open.wanted_from {
            return;
        }
        let agent = open.agent;
        let noted_ms = now.mono.since_ms(open.wanted_from);
        open.wanted_from = wanted;
        let screen_from = Position(wanted.0 / 1000);
        open.screen_from = open.screen_from.min(screen_from);
        let (number, covered) = (open.number, open.covered.clone());
        let mut places = Vec::new();
        for index in covered {
            let from = self.reachable_position(index, reach);
            let channel = &mut self.channels[index.0];
            if channel.mask.open_from().is_some_and(|open| from < open) {
                channel.extend_mask(from);
                places.push(ChannelPosition { channel: channel.id, at: from });
            }
        }
        let late_ms = self.note_missed(now, LatePress { agent, reach, noted_ms });
        if let Some(open) = self.blackouts.open.iter_mut().find(|open| open.number == number) {
            open.make_receipt.move_back(&places, late_ms);
        }
        if !places.is_empty() {
            self.journal.append(now, Fact::BlackoutSpread { number, places });
        }
    }

    /// Notes what recordings keep although a press wanted it masked. Returns the longest such range
    /// that the agent may know of, in milliseconds.
    pub(super) fn note_missed(&mut self, now: Now, press: LatePress) -> u64 {
        let name = press.agent.map(|agent| self.directory.agent_at(agent).username.clone());
        let by = name.unwrap_or_else(|| BlackoutHolder::Digits.as_str().to_string());
        let mut late_ms = self.note_missed_recall(press, &by);
        let missed: Vec<MissedRange> =
            self.recordings.iter().filter_map(|r| self.missed_range(r, press)).collect();
        for MissedRange { id, from, to } in missed {
            let Some(recording) = self.recordings.get(id) else { continue };
            let index = recording.channel;
            let seen = press.agent.is_some_and(|agent| self.sees_recording(agent, recording));
            let (rate, head) = (self.channels[index.0].rate, self.channels[index.0].head());
            if seen {
                late_ms = late_ms.max(ms_of_frames(to.frames_since(from), rate));
            }
            let ago = |at: Position| ms_of_frames(head.frames_since(at.min(head)), rate);
            self.raise_late_blackout(now, (&by, id), (ago(from), ago(to)));
            // The rest was noted for an earlier press.
            let to = to.min(self.position_before(index, press.noted_ms));
            if from < to {
                let fact = Fact::BlackoutMissed { id, by: by.clone(), from, to };
                self.journal.append(now, fact);
            }
        }
        late_ms
    }

    /// The part of a recording that the press wanted masked, and that is not.
    fn missed_range(&self, recording: &Recording, press: LatePress) -> Option<MissedRange> {
        let index = recording.channel;
        let call = self.calls.get(recording.call)?;
        let ended = recording.end_recording.map(|(to, _)| to);
        let masked = self.channels[index.0].mask.open_from();
        let end = if call.is_live() {
            let covers = |open: &super::ActiveBlackout| {
                open.agent == press.agent && open.covered.contains(&index)
            };
            self.blackouts.open.iter().find(|open| covers(open))?;
            masked?.min(ended.unwrap_or(Position(u64::MAX)))
        } else {
            // A lead that reaches into the call before is no late press.
            let pressed = self.position_before(index, press.reach.pressed_ms.into());
            let own = press.agent.is_some() && call.owner() == press.agent;
            ended.filter(|end| own && pressed < *end)?
        };
        let from = self.position_before(index, press.reach.wanted_ms()).max(recording.from);
        (from < end).then_some(MissedRange { id: recording.id, from, to: end })
    }

    /// Remembers in recall buffers what a recording made from them would keep.
    fn note_missed_recall(&mut self, press: LatePress, by: &str) -> u64 {
        let mut late_ms = 0;
        let covers = |open: &&super::ActiveBlackout| open.agent == press.agent;
        let Some(open) = self.blackouts.open.iter().find(covers) else { return 0 };
        for call in open.calls.clone() {
            let Some(buffer) = self.recordings.recall.buffer_of(call) else { continue };
            let (index, start) = (buffer.stream.channel, buffer.start());
            let Some(to) = self.channels[index.0].mask.open_from() else { continue };
            let from = self.position_before(index, press.reach.wanted_ms()).max(start);
            if from < to {
                let frames = to.frames_since(from);
                late_ms = late_ms.max(ms_of_frames(frames, self.channels[index.0].rate));
                self.recordings.recall.add_missed(call, (from, to, by));
            }
        }
        late_ms
    }

    fn sees_recording(&self, agent: AgentIndex, recording: &Recording) -> bool {
        !self.sees_only_own(agent) || Self::was_started_by(recording, agent)
    }

    fn raise_late_blackout(
        &mut self,
        now: Now,
        (agent, id): (&str, RecordingId),
        (from_ms, to_ms): (u64, u64),
    ) {
        let zone = &self.config.time_zone;
        let clock = |ms: u64| {
            let ago = i64::try_from(ms).unwrap_or(i64::MAX);
            WallTime(now.wall.0.saturating_sub(ago)).to_local_clock(zone)
        };
        let (from, to) = (clock(from_ms), clock(to_ms));
        let late_s = from_ms.saturating_sub(to_ms).div_ceil(1000);
        let text = format!(
            "Blackout of {agent} began {late_s} s late: {from} to {to} may hold card data \
             (recording {id})"
        );
        self.journal.raise_alarm(now, AlarmCode::LateBlackout, &id.to_string(), text);
    }
}
