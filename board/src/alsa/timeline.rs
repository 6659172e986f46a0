//! Frame timeline: the position of a card's frames, and how many were lost.
//!
//! Position 0 is the first frame received; from then on a sample clock tells how many frames are
//! due. After a restart, the next frames are placed at their arrival time, and frames due before
//! them are lost. Only an overrun's loss can be known at once, from the card's timestamps, if
//! they agree with the clock.
//!
//! This is pure arithmetic. Positions never decrease.

use crate::GapReason;
use crate::sample_clock::{SampleClock, us_of_frames};

/// Maximum difference between timestamps and clock, in addition to one buffer.
const STAMP_DOUBT_US: u64 = 100_000;

/// A range of lost frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Number of frames.
    pub frames: u64,
    /// Position of the first.
    pub position: u64,
    /// Why they are missing.
    pub reason: GapReason,
}

/// Delivered and lost frames of one card.
#[derive(Clone, Debug)]
pub(super) struct FrameTimeline {
    rate: u32,
    buffer_us: u64,
    /// Sample clock, known since the first frame.
    clock: Option<SampleClock>,
    position: u64,
    lost_frames: u64,
    /// Reason for the gap before the next frames, which must be placed first.
    discontinuity: Option<GapReason>,
}

impl FrameTimeline {
    pub(super) fn new(rate: u32, buffer_ms: u32) -> FrameTimeline {
        let buffer_us = u64::from(buffer_ms) * 1000;
        FrameTimeline {
            rate,
            buffer_us,
            clock: None,
            position: 0,
            lost_frames: 0,
            discontinuity: None,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn lost_frames(&self) -> u64 {
        self.lost_frames
    }

    /// Whether the next frames must be placed first.
    pub(super) fn needs_placement(&self) -> bool {
        self.clock.is_none() || self.discontinuity.is_some()
    }

    /// Marks a restart or loss of the card. The most serious reason stands until frames arrive.
    pub(super) fn mark_discontinuity(&mut self, why: GapReason) {
        if self.discontinuity != Some(GapReason::Board) {
            self.discontinuity = Some(why);
        }
    }

    /// Places the first frames after a start: `unread` of them are available at `now_us`.
    pub(super) fn place_frames(&mut self, now_us: u64, unread: u64) -> Option<Gap> {
        assert!(unread > 0, "only frames that came can be placed");
        let owed = self.discontinuity.take();
        let Some(pace) = &self.clock else {
            self.clock = Some(SampleClock::new(self.rate, now_us, self.position + unread));
            return None;
        };
        let missing = pace.frames_due(now_us).saturating_sub(self.position + unread);
        owed.and_then(|why| self.skip_lost(missing, why))
    }

    /// Advances by `frames` delivered frames.
    pub(super) fn advance_by(&mut self, frames: u64) {
        assert!(!self.needs_placement(), "frames that were not placed");
        self.position += frames;
    }

    /// Updates the clock when the card is drained at `now_us`. Returns how late the audio is, in
    /// frames.
    pub(super) fn observe_drained(&mut self, now_us: u64) -> u64 {
        self.clock.as_mut().map_or(0, |pace| pace.observe_read(now_us, self.position))
    }

    /// Records an overrun and restart that lost `stamped` frames according to the card's
    /// timestamps.
    pub(super) fn record_overrun(&mut self, now_us: u64, stamped: Option<u64>) -> Option<Gap> {
        if !self.needs_placement()
            && let (Some(frames), Some(pace)) = (stamped, &self.clock)
        {
            let clock = pace.frames_due(now_us).saturating_sub(self.position);
            let doubt_us = us_of_frames(frames.abs_diff(clock), self.rate);
            if doubt_us <= self.buffer_us + STAMP_DOUBT_US {
                return self.skip_lost(frames, GapReason::Overrun);
            }
        }
        self.mark_discontinuity(GapReason::Overrun);
        None
    }

    fn skip_lost(&mut self, frames: u64, why: GapReason) -> Option<Gap> {
        let loss = Gap { frames, position: self.position, reason: why };
        self.position += frames;
        self.lost_frames += frames;
        (frames > 0).then_some(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One second of a card at 8 kHz that delivered its first 160 frames at 2 s.
    fn running_timeline() -> FrameTimeline {
        let mut account = FrameTimeline::new(8000, 200);
        assert_eq!(account.place_frames(2_000_000, 160), None);
        account.advance_by(160);
        for n in 1..=50 {
            account.advance_by(160);
            assert_eq!(account.observe_drained(2_000_000 + n * 20_000), 0);
        }
        assert_eq!((account.position(), account.lost_frames()), (8160, 0));
        account
    }

    #[test]
    fn an_overrun_costs_what_the_stamps_say_when_they_agree_with_the_clock() {
        let mut account = running_timeline();
        let loss = Gap { frames: 4099, position: 8160, reason: GapReason::Overrun };
        assert_eq!(account.record_overrun(3_500_000, Some(4099)), Some(loss));
        assert_eq!((account.position(), account.lost_frames()), (12_259, 4099));
        assert!(!account.needs_placement(), "the next frame is known to belong here");
        account.advance_by(160);
    }

    #[test]
    fn stamps_that_disagree_are_not_believed_and_the_clock_decides_when_frames_come() {
        for stamped in [None, Some(40_000), Some(0)] {
            let mut account = running_timeline();
            assert_eq!(account.record_overrun(3_500_000, stamped), None);
            assert!(account.needs_placement());
            // 0.52 s after the last frame; the last 20 ms of them have arrived.
            let loss = Gap { frames: 4000, position: 8160, reason: GapReason::Overrun };
            assert_eq!(account.place_frames(3_520_000, 160), Some(loss));
            account.advance_by(160);
            assert_eq!(account.observe_drained(3_520_000), 0, "in step again");
        }
    }

    #[test]
    fn what_was_due_while_the_card_was_away_is_lost_when_it_is_back() {
        let mut account = running_timeline();
        account.mark_discontinuity(GapReason::Board);
        // An overrun before the first frames keeps the reason of the board's absence.
        assert_eq!(account.record_overrun(63_000_000, Some(5)), None);
        let loss = Gap { frames: 60 * 8000 - 80, position: 8160, reason: GapReason::Board };
        assert_eq!(account.place_frames(63_000_000, 80), Some(loss));
        assert_eq!(account.lost_frames(), 479_920);
    }

    #[test]
    fn the_first_frames_set_the_pace_with_all_that_is_unread() {
        let mut account = FrameTimeline::new(8000, 200);
        account.place_frames(2_000_000, 160);
        account.advance_by(100);
        account.mark_discontinuity(GapReason::Board);
        let loss = Gap { frames: 7980, position: 100, reason: GapReason::Board };
        assert_eq!(account.place_frames(3_000_000, 80), Some(loss));
    }

    #[test]
    fn a_card_that_comes_back_early_moves_nothing_back() {
        let mut account = running_timeline();
        account.mark_discontinuity(GapReason::Board);
        assert_eq!(account.place_frames(3_000_000, 500), None);
        account.advance_by(500);
        assert_eq!((account.position(), account.lost_frames()), (8660, 0));
        assert_eq!(account.observe_drained(3_000_000), 0);
    }

    #[test]
    fn an_overrun_before_the_first_frame_costs_nothing() {
        let mut account = FrameTimeline::new(8000, 200);
        assert_eq!(account.record_overrun(5_000_000, Some(9000)), None);
        assert_eq!(account.place_frames(6_000_000, 160), None);
        assert_eq!((account.position(), account.lost_frames()), (0, 0));
    }
}
