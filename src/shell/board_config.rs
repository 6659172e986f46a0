//! Maps a board's configuration to the `board` crate, which does not know the configuration
//! format.

use crate::config;

/// Returns the settings with which to open a configured board.
#[must_use]
pub fn to_board_config(model: &config::BoardSettings) -> board::BoardConfig {
    let kind = match &model.kind {
        config::BoardKind::Sim => board::SourceKind::Sim,
        config::BoardKind::Sip(sip) => board::SourceKind::Rtp {
            bind: sip.rtp_bind_address(),
            first_port: sip.ports.0,
            slots: usize::from(sip.calls),
        },
        config::BoardKind::Alsa { pcm, period_ms } => {
            board::SourceKind::Alsa { pcm: pcm.clone(), period_ms: *period_ms }
        }
    };
    let channel = |channel: &config::ChannelSettings| board::ChannelConfig {
        id: channel.id,
        sides: channel.sides,
        slots: channel.slots.clone(),
        source: channel.source.clone(),
    };
    board::BoardConfig {
        name: model.name.clone(),
        kind,
        rate: model.rate,
        buffer_ms: model.buffer_ms,
        channels: model.channels.iter().map(channel).collect(),
    }
}
