//! Blackouts held by digits that somebody types during a call (DTMF).
//!
//! The board says that a digit sounds, never which. The mask covers all channels of the call from
//! shortly before the digit until some seconds after the last one, so that whoever reads the
//! recording learns neither a digit nor their rhythm. A caller's digits hold the blackout beside
//! people. An agent's stop does not end it before the digits do.

use super::{ActiveBlackout, BlackoutRequest};
use crate::audio::channel::ChannelIndex;
use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::limits;
use crate::recorder::Recorder;
use crate::recorder::blackout::pending_stop::PendingStop;
use crate::recorder::blackout::reach::PressReach;
use crate::store::fact::{BlackoutHolder, CallNumber};
use crate::time::{MonoTime, Now, Position, ms_of_frames};

/// Who opened the blackout, in its record.
const BY: &str = "digits";

/// The bit of digits in a set of holders.
const DIGITS: u8 = 1 << BlackoutHolder::Digits as u8;

impl Recorder {
    /// Masks the call of a channel on which a digit sounds from `at` on, for `frames` frames. The
    /// event may come before the digit's own audio, or after it.
    pub fn note_digit(&mut self, now: Now, channel: ChannelIndex, at: Position, frames: u64) {
        let place = &self.channels[channel.0];
        if !self.config.boards[place.board].mask_digits {
            return;
        }
        let (rate, head) = (place.rate, place.head());
        let Some(number) = self.call_of_digit(channel) else { return };
        // A part of a millisecond counts as a whole one, so that the mask never begins late.
        let ago_ms = ms_of_frames(head.frames_since(at.min(head)), rate) + u64::from(at < head);
        let ahead_ms = ms_of_frames(at.plus(frames).frames_since(head.min(at)), rate) + 1;
        let ends_ms = (ahead_ms + limits::DIGIT_TAIL_MS).saturating_sub(ago_ms);
        let until = now.mono.after_ms(ends_ms);
        let reach = PressReach {
            pressed_ms: u32::try_from(ago_ms).unwrap_or(u32::MAX),
            lead_ms: limits::DIGIT_LEAD_MS,
        };
        let stopped = |stop: &PendingStop| stop.over && stop.before.covered.contains(&channel);
        if let Some(index) = self.blackouts.stops.iter().position(stopped) {
            self.roll_back_stop(now, index);
        }
        let covers = |open: &ActiveBlackout| open.covered.contains(&channel);
        let index = match self.blackouts.open.iter().position(covers) {
            Some(index) => {
                self.add_blackout_holder(now, index, BlackoutHolder::Digits, BY);
                self.extend_blackout(now, index, reach);
                index
            }
            None => self.open_digit_blackout(now, number, reach),
        };
        let open = &mut self.blackouts.open[index];
        open.digits_until = open.digits_until.max(Some(until));
    }

    /// The call whose audio the channel carries, or else its newest.
    fn call_of_digit(&self, channel: ChannelIndex) -> Option<CallNumber> {
        let active = self.calls.active_call(channel);
        active.or(self.calls.live_on(channel).next_back()).map(|call| call.number)
    }

    /// Opens a blackout for the call's agent, or for the call alone if it has none, or one whose
    /// blackout covers another call.
    fn open_digit_blackout(&mut self, now: Now, number: CallNumber, reach: PressReach) -> usize {
        let call = self.calls.get(number);
        let press = BlackoutRequest {
            agent: call.and_then(Call::owner).filter(|agent| !self.has_open_blackout(*agent)),
            call: number,
            recording: self.recordings.running_of(number).map(|recording| recording.id),
            clip: call.map_or(Position(0), |call| call.from),
            holder: BlackoutHolder::Digits,
            by: BY,
            reach,
            woke: now.mono,
        };
        self.open_blackout(now, &press);
        self.blackouts.open.len() - 1
    }

    fn has_open_blackout(&self, agent: AgentIndex) -> bool {
        self.blackouts.active_of(agent).is_some()
    }

    /// Releases blackouts whose last digit is long enough ago. After a restart nothing is known of
    /// the last digit, so it counts as just typed. While the disk is down nothing is released,
    /// because the end could not be kept.
    pub(in crate::recorder) fn release_digit_blackouts(&mut self, now: Now) {
        if self.journal.storage.is_down() {
            return;
        }
        let mut index = 0;
        while let Some(open) = self.blackouts.open.get_mut(index) {
            let held = open.held_by(BlackoutHolder::Digits);
            let tail = now.mono.after_ms(limits::DIGIT_TAIL_MS);
            if held && *open.digits_until.get_or_insert(tail) <= now.mono {
                open.digits_until = None;
                let stop = self.release_holders(now, index, DIGITS, BY);
                index += usize::from(!stop.over);
            } else {
                index += 1;
            }
        }
    }

    /// When digits release a blackout next.
    pub(in crate::recorder) fn next_digit_release(&self) -> Option<MonoTime> {
        self.blackouts.open.iter().filter_map(|open| open.digits_until).min()
    }
}
