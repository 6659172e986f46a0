//! The account: where a card's frames belong, and how many never came.
//!
//! Position 0 is the first frame that ever comes. From then on a pace says what is due. After a
//! card was started again nothing is known until frames come; those belong to the time they come
//! at, and what was due before them is lost. Only an overrun can be known at once, from the
//! card's own stamps, and those are believed only if they agree with the clock.
//!
//! Pure arithmetic: no card and no clock is touched here. Positions never go back.

use crate::LostWhy;
use crate::pace::{Pace, us_of_frames};

/// How far stamps may be from the clock and still be believed, besides one buffer.
const STAMP_DOUBT_US: u64 = 100_000;

/// A stretch that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// How many frames.
    pub frames: u64,
    /// Of the first of them.
    pub position: u64,
    /// For the record.
    pub why: LostWhy,
}

/// Frames given and frames lost by one card.
#[derive(Clone, Debug)]
pub(super) struct Account {
    rate: u32,
    buffer_us: u64,
    /// Known since the first frame.
    pace: Option<Pace>,
    position: u64,
    lost: u64,
    /// Frames that come next must first be placed; what is missing before them has this reason.
    owed: Option<LostWhy>,
}

impl Account {
    pub(super) fn new(rate: u32, buffer_ms: u32) -> Account {
        let buffer_us = u64::from(buffer_ms) * 1000;
        Account { rate, buffer_us, pace: None, position: 0, lost: 0, owed: None }
    }

    /// Position of the next frame.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Frames lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether frames that come must be placed first.
    pub(super) fn waits(&self) -> bool {
        self.pace.is_none() || self.owed.is_some()
    }

    /// The card was started again or went away. The gravest reason stands until frames come.
    pub(super) fn owe(&mut self, why: LostWhy) {
        if self.owed != Some(LostWhy::Board) {
            self.owed = Some(why);
        }
    }

    /// The first frames after a start are there, `unread` of them at `now_us`.
    pub(super) fn place(&mut self, now_us: u64, unread: u64) -> Option<Loss> {
        assert!(unread > 0, "only frames that came can be placed");
        let owed = self.owed.take();
        let Some(pace) = &self.pace else {
            self.pace = Some(Pace::new(self.rate, now_us, self.position + unread));
            return None;
        };
        let missing = pace.due(now_us).saturating_sub(self.position + unread);
        owed.and_then(|why| self.lose(missing, why))
    }

    /// `frames` frames were given.
    pub(super) fn give(&mut self, frames: u64) {
        assert!(!self.waits(), "frames that were not placed");
        self.position += frames;
    }

    /// All that came was given, at `now_us`. Answers how late the audio is, in frames.
    pub(super) fn emptied(&mut self, now_us: u64) -> u64 {
        self.pace.as_mut().map_or(0, |pace| pace.learn(now_us, self.position))
    }

    /// The card overran and was started again; by its stamps that cost `stamped` frames.
    pub(super) fn overran(&mut self, now_us: u64, stamped: Option<u64>) -> Option<Loss> {
        if !self.waits()
            && let (Some(frames), Some(pace)) = (stamped, &self.pace)
        {
            let clock = pace.due(now_us).saturating_sub(self.position);
            let doubt_us = us_of_frames(frames.abs_diff(clock), self.rate);
            if doubt_us <= self.buffer_us + STAMP_DOUBT_US {
                return self.lose(frames, LostWhy::Overrun);
            }
        }
        self.owe(LostWhy::Overrun);
        None
    }

    fn lose(&mut self, frames: u64, why: LostWhy) -> Option<Loss> {
        let loss = Loss { frames, position: self.position, why };
        self.position += frames;
        self.lost += frames;
        (frames > 0).then_some(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One second of a card at 8 kHz that was first heard at 2 s with 160 frames.
    fn running() -> Account {
        let mut account = Account::new(8000, 200);
        assert_eq!(account.place(2_000_000, 160), None);
        account.give(160);
        for n in 1..=50 {
            account.give(160);
            assert_eq!(account.emptied(2_000_000 + n * 20_000), 0);
        }
        assert_eq!((account.position(), account.lost()), (8160, 0));
        account
    }

    #[test]
    fn an_overrun_costs_what_the_stamps_say_when_they_agree_with_the_clock() {
        let mut account = running();
        let loss = Loss { frames: 4099, position: 8160, why: LostWhy::Overrun };
        assert_eq!(account.overran(3_500_000, Some(4099)), Some(loss));
        assert_eq!((account.position(), account.lost()), (12_259, 4099));
        assert!(!account.waits(), "the next frame is known to belong here");
        account.give(160);
    }

    #[test]
    fn stamps_that_disagree_are_not_believed_and_the_clock_decides_when_frames_come() {
        for stamped in [None, Some(40_000), Some(0)] {
            let mut account = running();
            assert_eq!(account.overran(3_500_000, stamped), None);
            assert!(account.waits());
            // 0.52 s after the last frame; the last 20 ms of them are here.
            let loss = Loss { frames: 4000, position: 8160, why: LostWhy::Overrun };
            assert_eq!(account.place(3_520_000, 160), Some(loss));
            account.give(160);
            assert_eq!(account.emptied(3_520_000), 0, "in step again");
        }
    }

    #[test]
    fn what_was_due_while_the_card_was_away_is_lost_when_it_is_back() {
        let mut account = running();
        account.owe(LostWhy::Board);
        // It overruns before it gives anything: still for the board's absence.
        assert_eq!(account.overran(63_000_000, Some(5)), None);
        let loss = Loss { frames: 60 * 8000 - 80, position: 8160, why: LostWhy::Board };
        assert_eq!(account.place(63_000_000, 80), Some(loss));
        assert_eq!(account.lost(), 479_920);
    }

    #[test]
    fn the_first_frames_set_the_pace_with_all_that_is_unread() {
        let mut account = Account::new(8000, 200);
        account.place(2_000_000, 160);
        account.give(100);
        account.owe(LostWhy::Board);
        let loss = Loss { frames: 7980, position: 100, why: LostWhy::Board };
        assert_eq!(account.place(3_000_000, 80), Some(loss));
    }

    #[test]
    fn a_card_that_comes_back_early_moves_nothing_back() {
        let mut account = running();
        account.owe(LostWhy::Board);
        assert_eq!(account.place(3_000_000, 500), None);
        account.give(500);
        assert_eq!((account.position(), account.lost()), (8660, 0));
        assert_eq!(account.emptied(3_000_000), 0);
    }

    #[test]
    fn an_overrun_before_the_first_frame_costs_nothing() {
        let mut account = Account::new(8000, 200);
        assert_eq!(account.overran(5_000_000, Some(9000)), None);
        assert_eq!(account.place(6_000_000, 160), None);
        assert_eq!((account.position(), account.lost()), (0, 0));
    }
}
