//! Decides when a request for an opened recording asks the recorder, and when it is a new play.
//!
//! A player fetches one recording in many ranges. All of them are one play, which the recorder
//! journals once. During a play the recorder is asked every few seconds whether the user may
//! continue.
//!
//! *Listen* always starts a new play. So does a request for the first byte, unless it belongs to a
//! play that has just started. The caller passes the time and asks the recorder.

use std::time::{Duration, Instant};

/// Maximum age of a permission.
const PERMISSION_AGE_MAX: Duration = Duration::from_secs(5);
/// Browsers fetch the beginning more than once at the start of a play: to probe, then to play.
const START_WINDOW: Duration = Duration::from_secs(10);

/// What a browser asks of an opened recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaybackRequest {
    /// The user pressed *Listen*; the page's player fetches the audio afterwards.
    Listen,
    /// The audio from its first byte.
    FromStart,
    /// A later range of the audio, or the waveform.
    Continue,
}

/// What the portal must do before it serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredAction {
    NoAction,
    /// Ask the recorder whether the user may still play.
    CheckAccess,
    /// Have the recorder journal another play, which it refuses if the user may not play.
    JournalPlay,
}

/// The plays of one opened recording in one session.
#[derive(Clone, Copy, Debug)]
pub struct PlaybackState {
    /// When the recorder last permitted a play.
    permitted_at: Instant,
    /// Whether a play was journalled whose player has not fetched the audio yet.
    is_announced: bool,
    /// When the audio was last fetched from its first byte.
    started_at: Option<Instant>,
}

impl PlaybackState {
    /// State after a fetch at `fetched`, which the recorder journalled as the first play.
    #[must_use]
    pub fn new(fetched: Instant) -> PlaybackState {
        PlaybackState { permitted_at: fetched, is_announced: true, started_at: None }
    }

    /// Returns what `request` requires at `now`.
    #[must_use]
    pub fn required_action(&self, request: PlaybackRequest, now: Instant) -> RequiredAction {
        let just_began =
            self.started_at.is_some_and(|began| now.duration_since(began) < START_WINDOW);
        match request {
            PlaybackRequest::Listen => RequiredAction::JournalPlay,
            PlaybackRequest::FromStart if !self.is_announced && !just_began => {
                RequiredAction::JournalPlay
            }
            _ if now.duration_since(self.permitted_at) < PERMISSION_AGE_MAX => {
                RequiredAction::NoAction
            }
            PlaybackRequest::FromStart | PlaybackRequest::Continue => RequiredAction::CheckAccess,
        }
    }

    /// Records that the recorder permitted a play at `now`.
    pub fn on_permitted(&mut self, now: Instant) {
        self.permitted_at = now;
    }

    /// Records that `request` was served at `now`.
    pub fn on_served(&mut self, request: PlaybackRequest, now: Instant) {
        match request {
            PlaybackRequest::Listen => self.is_announced = true,
            PlaybackRequest::FromStart => (self.is_announced, self.started_at) = (false, Some(now)),
            PlaybackRequest::Continue => {}
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
        let mut playback = PlaybackState::new(at(0));
        let mut serve = |request, now| {
            let duty = playback.required_action(request, now);
            if duty != RequiredAction::NoAction {
                playback.on_permitted(now);
            }
            playback.on_served(request, now);
            duty
        };
        // The player of the opened page, which probes first.
        assert_eq!(serve(PlaybackRequest::FromStart, at(4)), RequiredAction::NoAction);
        assert_eq!(
            serve(PlaybackRequest::FromStart, at(6)),
            RequiredAction::CheckAccess,
            "the answer has aged"
        );
        assert_eq!(serve(PlaybackRequest::Continue, at(7)), RequiredAction::NoAction);
        assert_eq!(serve(PlaybackRequest::Continue, at(11)), RequiredAction::CheckAccess);
        assert_eq!(
            serve(PlaybackRequest::Continue, at(300)),
            RequiredAction::CheckAccess,
            "a pause ends no play"
        );
        // Played again from the open page, from another page, and without a page.
        assert_eq!(serve(PlaybackRequest::FromStart, at(301)), RequiredAction::JournalPlay);
        assert_eq!(serve(PlaybackRequest::Listen, at(302)), RequiredAction::JournalPlay);
        assert_eq!(
            serve(PlaybackRequest::FromStart, at(400)),
            RequiredAction::CheckAccess,
            "that page's player"
        );
        assert_eq!(
            serve(PlaybackRequest::FromStart, at(401)),
            RequiredAction::NoAction,
            "it looks first"
        );
        assert_eq!(serve(PlaybackRequest::FromStart, at(420)), RequiredAction::JournalPlay);
    }
}
