//! What happened lately: the timeline of *Check status*.
//!
//! One entry per change, at most `ENTRIES`, each holding what was so from then on. The client knows
//! no sound level: a box does not tell agents one. Nothing here draws.

use crate::ui::model::{Facts, Link};
use protocol::ScreenMode;
use std::collections::VecDeque;

/// The oldest go first.
pub const ENTRIES: usize = 200;

/// What is shown in a lane of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    Connected,
    Call,
    Recording,
    Blackout,
    Screen,
}

impl Lane {
    /// Each of them, from top to bottom.
    pub const ALL: [Lane; 5] =
        [Lane::Connected, Lane::Call, Lane::Recording, Lane::Blackout, Lane::Screen];

    /// Its heading.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Lane::Connected => "Connection",
            Lane::Call => "Call",
            Lane::Recording => "Recording",
            Lane::Blackout => "Blackout",
            Lane::Screen => "Screen",
        }
    }

    fn is_on(self, facts: &Facts) -> bool {
        let state = facts.state.as_ref();
        match self {
            Lane::Connected => matches!(facts.link, Link::Connected(_)),
            Lane::Call => state.is_some_and(|state| state.call.is_some()),
            Lane::Recording => state.is_some_and(|state| state.recording),
            Lane::Blackout => state.is_some_and(|state| state.blackout),
            Lane::Screen => state.is_some_and(|state| state.screen == ScreenMode::On),
        }
    }
}

/// The changes, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: VecDeque<(u64, [bool; 5])>,
}

impl History {
    /// Notes how it stands, if that is new.
    pub fn note(&mut self, now_ms: u64, facts: &Facts) {
        let on = Lane::ALL.map(|lane| lane.is_on(facts));
        if self.entries.back().is_some_and(|(_, last)| *last == on) {
            return;
        }
        if self.entries.len() == ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back((now_ms, on));
    }

    /// When a lane was on: from and to, in milliseconds before now, oldest first.
    #[must_use]
    pub fn spans(&self, lane: Lane, now_ms: u64) -> Vec<(u64, u64)> {
        let at = Lane::ALL.iter().position(|other| *other == lane).unwrap_or(0);
        let mut spans: Vec<(u64, u64)> = Vec::new();
        let ends = self.entries.iter().skip(1).map(|(ms, _)| *ms).chain([now_ms]);
        for ((from, on), to) in self.entries.iter().zip(ends).filter(|((_, on), _)| on[at]) {
            debug_assert!(on[at]);
            let (from, to) = (now_ms.saturating_sub(*from), now_ms.saturating_sub(to));
            match spans.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => spans.push((from, to)),
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::model::Place;
    use protocol::AgentState;

    fn facts(recording: bool, blackout: bool) -> Facts {
        let state = AgentState { recording, blackout, ..AgentState::default() };
        let link = Link::Connected(Place::default());
        Facts { link, state: Some(state), unmasked: None, bar: false }
    }

    #[test]
    fn a12_the_timeline_tells_when_what_was_so() {
        let mut history = History::default();
        for (ms, recording, blackout) in [
            (0, false, false),
            (10, true, false),
            (20, true, true),
            (25, true, true),
            (30, true, false),
            (40, false, false),
        ] {
            history.note(ms, &facts(recording, blackout));
        }
        assert_eq!(history.spans(Lane::Recording, 100), [(90, 60)]);
        assert_eq!(history.spans(Lane::Blackout, 100), [(80, 70)]);
        assert_eq!(history.spans(Lane::Connected, 100), [(100, 0)]);
        assert_eq!(history.spans(Lane::Call, 100), []);
    }

    #[test]
    fn it_forgets_what_is_old() {
        let mut history = History::default();
        for ms in 0..1000 {
            history.note(ms, &facts(ms % 2 == 0, false));
        }
        assert_eq!(history.entries.len(), ENTRIES);
    }
}
