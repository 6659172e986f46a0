//! The part of a window's snapshot that the state machine knows.
//!
//! The box's `can` decides which fields are offered. The labels come from the box; the client never
//! knows the values (requirement F2).

use super::Core;
use crate::ipc::Snapshot;
use crate::ui::client_state::LinkState;
use crate::ui::status_rows::build_status_rows;
use crate::ui::timeline::TimelineRow;
use crate::ui::tray_view::Icon;
use protocol::{Ability, ScreenMode};

impl Core {
    /// Builds a snapshot. The caller adds what only the shell knows.
    #[must_use]
    pub fn build_snapshot(&self, now_ms: u64) -> Snapshot {
        let client_state = self.client_state();
        let state = client_state.agent_state.clone().unwrap_or_default();
        let label = |n: u8| self.field_labels.get(&n).cloned();
        let fields = (1..=15).filter(|n| state.can.contains(Ability::Update(*n)));
        let status = build_status_rows(&client_state).into_iter();
        let timeline = TimelineRow::ALL
            .into_iter()
            .map(|row| (row.heading().to_owned(), self.timeline.active_spans(row, now_ms)));
        Snapshot {
            icon: Icon::for_state(&client_state).as_str().to_owned(),
            headline: client_state.headline(),
            status: status.map(|(heading, text)| (heading.to_owned(), text)).collect(),
            connected: matches!(client_state.link, LinkState::Connected(_)),
            can: if state.can.is_empty() { String::new() } else { state.can.to_string() },
            call: state.call.is_some(),
            recording: state.recording,
            screen: state.screen == ScreenMode::On,
            blackout: state.blackout,
            blackout_ms: self.blackout_ms(now_ms).unwrap_or(0),
            blackout_counts: super::counts_blackout(&state),
            carried: state.carried,
            unmasked: client_state.unmasked.clone(),
            late: client_state.late.clone(),
            update_call: state.update_call,
            fields: fields.map(|n| (n, label(n).unwrap_or_else(|| format!("Field {n}")))).collect(),
            timeline: timeline.collect(),
            settings: Some(self.settings.clone()),
            ..Snapshot::default()
        }
    }
}
