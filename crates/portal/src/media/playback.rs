//! When a request for an opened recording asks the box again, and when it is a play of its own.
//!
//! A player fetches one recording in many pieces. All of them are one play, which the box has
//! journalled once; the box is asked again every few seconds whether the user may still play.
//! *Listen* is always a new play, and so is sound from its first byte, unless it belongs to a play
//! that has just begun. This is arithmetic over the time it is given; nothing here asks the box.

use std::time::{Duration, Instant};

/// A permission that is older than this is not relied on.
const FRESH: Duration = Duration::from_secs(5);
/// Browsers fetch the beginning more than once when a play begins: to look, then to play.
const BEGINNING: Duration = Duration::from_secs(10);

/// What a browser asks of an opened recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The user pressed *Listen*; the player on the page fetches the sound afterwards.
    Listen,
    /// The sound from its first byte on.
    FromStart,
    /// A later piece of the sound, or the waveform.
    Continue,
}

/// What the portal must do before it serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    Nothing,
    /// Ask the box whether the user may still play.
    Ask,
    /// Have the box journal another play, which it refuses where the user may not.
    Journal,
}

/// The plays of one opened recording in one session.
#[derive(Clone, Copy, Debug)]
pub struct Playback {
    /// When the box last permitted a play.
    permitted: Instant,
    /// A play was journalled, and its player has not fetched the sound yet.
    announced: bool,
    /// When the sound was last fetched from its first byte.
    began: Option<Instant>,
}

impl Playback {
    /// The recording was fetched at `fetched`, which the box has journalled as the first play.
    #[must_use]
    pub fn new(fetched: Instant) -> Playback {
        Playback { permitted: fetched, announced: true, began: None }
    }

    /// What `request` takes at `now`.
    #[must_use]
    pub fn duty(&self, request: Request, now: Instant) -> Duty {
        let just_began = self.began.is_some_and(|began| now.duration_since(began) < BEGINNING);
        match request {
            Request::Listen => Duty::Journal,
            Request::FromStart if !self.announced && !just_began => Duty::Journal,
            _ if now.duration_since(self.permitted) < FRESH => Duty::Nothing,
            Request::FromStart | Request::Continue => Duty::Ask,
        }
    }

    /// The box has permitted a play at `now`.
    pub fn permitted(&mut self, now: Instant) {
        self.permitted = now;
    }

    /// `request` is served at `now`, its duty done.
    pub fn served(&mut self, request: Request, now: Instant) {
        match request {
            Request::Listen => self.announced = true,
            Request::FromStart => (self.announced, self.began) = (false, Some(now)),
            Request::Continue => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playback_from_the_start_is_a_new_play_and_its_pieces_are_not() {
        let start = crate::clock::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut playback = Playback::new(at(0));
        let mut serve = |request, now| {
            let duty = playback.duty(request, now);
            if duty != Duty::Nothing {
                playback.permitted(now);
            }
            playback.served(request, now);
            duty
        };
        // The player of the page that was opened, which looks first.
        assert_eq!(serve(Request::FromStart, at(4)), Duty::Nothing);
        assert_eq!(serve(Request::FromStart, at(6)), Duty::Ask, "the answer has aged");
        assert_eq!(serve(Request::Continue, at(7)), Duty::Nothing);
        assert_eq!(serve(Request::Continue, at(11)), Duty::Ask);
        assert_eq!(serve(Request::Continue, at(300)), Duty::Ask, "a pause ends no play");
        // Played again: from the page that is open, by another page, by no page.
        assert_eq!(serve(Request::FromStart, at(301)), Duty::Journal);
        assert_eq!(serve(Request::Listen, at(302)), Duty::Journal);
        assert_eq!(serve(Request::FromStart, at(400)), Duty::Ask, "that page's player");
        assert_eq!(serve(Request::FromStart, at(401)), Duty::Nothing, "it looks first");
        assert_eq!(serve(Request::FromStart, at(420)), Duty::Journal);
    }
}
