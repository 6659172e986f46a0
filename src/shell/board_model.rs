//! What a board of the configuration is to the crate `board`, which knows no configuration.
//!
//! Nothing here opens anything.

use crate::config;

/// What to open for a board of the configuration.
#[must_use]
pub fn of(model: &config::Board) -> board::Model {
    let kind = match &model.kind {
        config::BoardKind::Sim => board::Kind::Sim,
        config::BoardKind::Alsa { pcm, period_ms } => {
            board::Kind::Alsa { pcm: pcm.clone(), period_ms: *period_ms }
        }
    };
    let channel = |channel: &config::Channel| board::ChannelModel {
        id: channel.id,
        sides: channel.sides,
        slots: channel.slots.clone(),
        source: channel.source.clone(),
    };
    board::Model {
        name: model.name.clone(),
        kind,
        rate: model.rate,
        buffer_ms: model.buffer_ms,
        channels: model.channels.iter().map(channel).collect(),
    }
}
