//! From the client's mind to what windows and scripts are shown.
//!
//! Which fields are offered follows from `can`; their labels are the box's, their values are not
//! known here (requirement F2). Nothing here sends anything.

use crate::core::Core;
use crate::ipc::Snapshot;
use crate::ui::model;
use crate::ui::model::Link;
use crate::ui::timeline::Lane;
use protocol::{Ability, ScreenMode};

/// What is known now, without what only the shell knows.
#[must_use]
pub fn of(core: &Core, now_ms: u64) -> Snapshot {
    let facts = core.facts();
    let state = facts.state.clone().unwrap_or_default();
    let label = |n: u8| core.labels().get(&n).cloned().unwrap_or_else(|| format!("Field {n}"));
    let fields = (1..=15).filter(|n| state.can.has(Ability::Update(*n)));
    let status = model::status(&facts).into_iter();
    let lanes = Lane::ALL.into_iter();
    Snapshot {
        icon: model::icon(&facts).word().to_owned(),
        headline: model::headline(&facts),
        status: status.map(|(heading, words)| (heading.to_owned(), words)).collect(),
        connected: matches!(facts.link, Link::Connected(_)),
        can: if state.can.is_empty() { String::new() } else { state.can.to_string() },
        call: state.call.is_some(),
        recording: state.recording,
        screen: state.screen == ScreenMode::On,
        blackout: state.blackout,
        blackout_ms: core.blackout_ms(now_ms).unwrap_or(0),
        unmasked: facts.unmasked.clone(),
        fields: fields.map(|n| (n, label(n))).collect(),
        timeline: lanes
            .map(|lane| (lane.word().to_owned(), core.history().spans(lane, now_ms)))
            .collect(),
        settings: Some(core.settings().clone()),
        ..Snapshot::default()
    }
}
