//! The timeline of *Check status*: what was active when (requirement A12).
//!
//! A timeline stores one entry for each change, at most `ENTRIES_MAX`. It has no sound level,
//! because the box sends agents none.

use super::client_state::{ClientState, LinkState};
use protocol::ScreenMode;
use std::collections::VecDeque;

/// The most entries; the oldest entry is dropped first.
pub const ENTRIES_MAX: usize = 200;

/// A row of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimelineRow {
    Connected,
    Call,
    Recording,
    Blackout,
    Screen,
}

impl TimelineRow {
    /// Every row, from top to bottom.
    pub const ALL: [TimelineRow; 5] = [
        TimelineRow::Connected,
        TimelineRow::Call,
        TimelineRow::Recording,
        TimelineRow::Blackout,
        TimelineRow::Screen,
    ];

    /// The heading of the row.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            TimelineRow::Connected => "Connection",
            TimelineRow::Call => "Call",
            TimelineRow::Recording => "Recording",
            TimelineRow::Blackout => "Blackout",
            TimelineRow::Screen => "Screen",
        }
    }

    fn is_active(self, client_state: &ClientState) -> bool {
        let state = client_state.agent_state.as_ref();
        match self {
            TimelineRow::Connected => matches!(client_state.link, LinkState::Connected(_)),
            TimelineRow::Call => state.is_some_and(|state| state.call.is_some()),
            TimelineRow::Recording => state.is_some_and(|state| state.recording),
            TimelineRow::Blackout => state.is_some_and(|state| state.blackout),
            TimelineRow::Screen => state.is_some_and(|state| state.screen == ScreenMode::On),
        }
    }
}

/// The recent changes, oldest first: when, and which rows are active from then on.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    entries: VecDeque<(u64, [bool; 5])>,
}

impl Timeline {
    /// Adds an entry if a row has changed.
    pub fn record_change(&mut self, now_ms: u64, client_state: &ClientState) {
        let active = TimelineRow::ALL.map(|row| row.is_active(client_state));
        if self.entries.back().is_some_and(|(_, last)| *last == active) {
            return;
        }
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back((now_ms, active));
    }

    /// The spans in which a row was active: from and to in milliseconds ago, oldest first.
    #[must_use]
    pub fn active_spans(&self, row: TimelineRow, now_ms: u64) -> Vec<(u64, u64)> {
        let index = TimelineRow::ALL.iter().position(|other| *other == row).unwrap_or(0);
        let mut spans: Vec<(u64, u64)> = Vec::new();
        let ends = self.entries.iter().skip(1).map(|(ms, _)| *ms).chain([now_ms]);
        let entries = self.entries.iter().zip(ends);
        for ((from, active), to) in entries.filter(|((_, active), _)| active[index]) {
            debug_assert!(active[index]);
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
    use crate::ui::client_state::Endpoint;
    use protocol::AgentState;

    fn client_state(recording: bool, blackout: bool) -> ClientState {
        let state = AgentState { recording, blackout, ..AgentState::default() };
        let link = LinkState::Connected(Endpoint::default());
        ClientState {
            link,
            agent_state: Some(state),
            unmasked: None,
            late: None,
            refused: false,
            bar_open: false,
        }
    }

    #[test]
    fn a12_timeline_shows_what_was_active_when() {
        let mut timeline = Timeline::default();
        for (ms, recording, blackout) in [
            (0, false, false),
            (10, true, false),
            (20, true, true),
            (25, true, true),
            (30, true, false),
            (40, false, false),
        ] {
            timeline.record_change(ms, &client_state(recording, blackout));
        }
        assert_eq!(timeline.active_spans(TimelineRow::Recording, 100), [(90, 60)]);
        assert_eq!(timeline.active_spans(TimelineRow::Blackout, 100), [(80, 70)]);
        assert_eq!(timeline.active_spans(TimelineRow::Connected, 100), [(100, 0)]);
        assert_eq!(timeline.active_spans(TimelineRow::Call, 100), []);
    }

    #[test]
    fn the_oldest_entries_are_dropped() {
        let mut timeline = Timeline::default();
        for ms in 0..1000 {
            timeline.record_change(ms, &client_state(ms % 2 == 0, false));
        }
        assert_eq!(timeline.entries.len(), ENTRIES_MAX);
    }
}
