//! Configuration of a board, as this crate needs it.
//!
//! It is validated when a board is opened, because it may come from any caller.

use crate::error::{BoardConfigError, BoardError};
use std::net::IpAddr;
use std::path::PathBuf;

/// Maximum slots of a card; bounds the scratch buffer.
pub(crate) const SLOTS_MAX: u16 = 256;

/// UDP ports of an RTP slot: RTP and RTCP of two legs.
pub const PORTS_PER_SLOT: usize = 4;

/// One channel of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Channel number in the configuration, for messages only.
    pub id: u16,
    /// 1 (mono) or 2 (agent left, customer right).
    pub sides: u8,
    /// The card's slots (from 0), one per side, for an `AlsaBoard`.
    pub slots: Vec<u16>,
    /// The WAV file to play, for a `SimBoard`.
    pub source: Option<PathBuf>,
}

/// Audio source of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// An ALSA PCM by name (`hw:1,0`, `plughw:…`, any name of `asound.conf`), with a wake-up
    /// about every `period_ms` milliseconds.
    Alsa { pcm: String, period_ms: u32 },
    /// WAV files in a loop.
    Sim,
    /// Calls from the network: one slot a channel, each with two legs. The ports are bound on
    /// `bind`, `PORTS_PER_SLOT` for each slot from `first_port` on (see `rtp_port`).
    Rtp { bind: IpAddr, first_port: u16, slots: usize },
    /// Calls that the mirror port of a switch shows, one slot a channel. UDP and TCP from or to
    /// `signalling_ports` is passed on as signalling.
    Span { interface: String, signalling_ports: Vec<u16>, slots: usize },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardConfig {
    /// Board name in the configuration, for messages only.
    pub name: String,
    pub kind: SourceKind,
    /// Exact sample rate in frames per second.
    pub rate: u32,
    /// How long audio may stay unread before it is lost, in milliseconds; approximate for a card.
    pub buffer_ms: u32,
    /// Channels, in the order of `Period::channel`.
    pub channels: Vec<ChannelConfig>,
}

impl BoardConfig {
    /// Frames in `ms` milliseconds, at least one.
    pub(crate) fn frames_of_ms(&self, ms: u32) -> u64 {
        (u64::from(ms) * u64::from(self.rate) / 1000).max(1)
    }

    /// Slots that a card needs for these channels.
    pub(crate) fn slots_needed(&self) -> u16 {
        let last = self.channels.iter().flat_map(|channel| &channel.slots).max();
        last.map_or(1, |slot| slot.saturating_add(1))
    }

    pub(crate) fn validate(&self) -> Result<(), BoardError> {
        self.find_error()
            .map_or(Ok(()), |wrong| Err(BoardError::Config { board: self.name.clone(), wrong }))
    }

    fn find_error(&self) -> Option<BoardConfigError> {
        if self.channels.is_empty() {
            return Some(BoardConfigError::NoChannels);
        }
        if !(4_000..=192_000).contains(&self.rate) {
            return Some(BoardConfigError::Rate { rate: self.rate });
        }
        if !(20..=10_000).contains(&self.buffer_ms) {
            return Some(BoardConfigError::Buffer { buffer_ms: self.buffer_ms });
        }
        if let SourceKind::Alsa { period_ms, .. } = self.kind
            && !(1..=self.buffer_ms / 2).contains(&period_ms)
        {
            return Some(BoardConfigError::Period { period_ms, buffer_ms: self.buffer_ms });
        }
        let of_calls = match self.kind {
            SourceKind::Rtp { first_port, slots, .. } => {
                self.find_slots_error(slots).or_else(|| find_ports_error(first_port, slots))
            }
            SourceKind::Span { slots, .. } => self.find_slots_error(slots),
            SourceKind::Alsa { .. } | SourceKind::Sim => None,
        };
        if of_calls.is_some() {
            return of_calls;
        }
        self.channels.iter().find_map(|channel| self.find_channel_error(channel))
    }

    fn find_slots_error(&self, slots: usize) -> Option<BoardConfigError> {
        if ![8000, 16_000].contains(&self.rate) {
            return Some(BoardConfigError::RtpRate { rate: self.rate });
        }
        let channels = self.channels.len();
        (slots != channels).then_some(BoardConfigError::RtpSlots { slots, channels })
    }

    fn find_channel_error(&self, channel: &ChannelConfig) -> Option<BoardConfigError> {
        let (id, sides) = (channel.id, channel.sides);
        if !(1..=2).contains(&sides) {
            return Some(BoardConfigError::Sides { channel: id, sides });
        }
        match self.kind {
            SourceKind::Sim if channel.source.is_none() => {
                Some(BoardConfigError::NoSource { channel: id })
            }
            SourceKind::Sim => None,
            SourceKind::Rtp { .. } | SourceKind::Span { .. } if sides != 2 => {
                Some(BoardConfigError::RtpSides { channel: id, sides })
            }
            SourceKind::Rtp { .. } | SourceKind::Span { .. } => None,
            SourceKind::Alsa { .. } if channel.slots.len() != usize::from(sides) => {
                Some(BoardConfigError::Slots { channel: id, sides, slots: channel.slots.len() })
            }
            SourceKind::Alsa { .. } => {
                channel.slots.iter().find(|slot| **slot >= SLOTS_MAX).map(|slot| {
                    BoardConfigError::Slot { channel: id, slot: *slot, max: SLOTS_MAX - 1 }
                })
            }
        }
    }
}

fn find_ports_error(first_port: u16, slots: usize) -> Option<BoardConfigError> {
    let last = slots.saturating_mul(PORTS_PER_SLOT).saturating_add(usize::from(first_port));
    let is_wrong = first_port == 0 || !first_port.is_multiple_of(2) || last > 65_536;
    is_wrong.then_some(BoardConfigError::RtpPorts { first_port, slots })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_config(slots: Vec<u16>, sides: u8) -> BoardConfig {
        BoardConfig {
            name: "b".to_owned(),
            kind: SourceKind::Alsa { pcm: "hw:1,0".to_owned(), period_ms: 20 },
            rate: 8000,
            buffer_ms: 200,
            channels: vec![ChannelConfig { id: 7, sides, slots, source: None }],
        }
    }

    #[test]
    fn a_sensible_model_passes_and_needs_as_many_slots_as_its_last() {
        let good = test_config(vec![5, 2], 2);
        assert_eq!(good.find_error(), None);
        assert_eq!(good.slots_needed(), 6);
        assert_eq!(good.frames_of_ms(20), 160);
    }

    #[test]
    fn nonsense_is_named_with_its_channel() {
        assert_eq!(
            test_config(vec![0], 2).find_error(),
            Some(BoardConfigError::Slots { channel: 7, sides: 2, slots: 1 })
        );
        assert_eq!(
            test_config(vec![0], 3).find_error(),
            Some(BoardConfigError::Sides { channel: 7, sides: 3 })
        );
        assert_eq!(
            test_config(vec![256], 1).find_error(),
            Some(BoardConfigError::Slot { channel: 7, slot: 256, max: 255 })
        );
        let mut late = test_config(vec![0], 1);
        late.kind = SourceKind::Alsa { pcm: String::new(), period_ms: 101 };
        assert_eq!(
            late.find_error(),
            Some(BoardConfigError::Period { period_ms: 101, buffer_ms: 200 })
        );
        late.kind = SourceKind::Sim;
        assert_eq!(late.find_error(), Some(BoardConfigError::NoSource { channel: 7 }));
        let rtp = |first_port, slots| SourceKind::Rtp {
            bind: IpAddr::from([127, 0, 0, 1]),
            first_port,
            slots,
        };
        let mut calls = test_config(Vec::new(), 2);
        for (kind, wrong) in [
            (rtp(20_000, 1), None),
            (rtp(20_001, 1), Some(BoardConfigError::RtpPorts { first_port: 20_001, slots: 1 })),
            (rtp(65_534, 1), Some(BoardConfigError::RtpPorts { first_port: 65_534, slots: 1 })),
            (rtp(65_532, 1), None),
            (rtp(20_000, 2), Some(BoardConfigError::RtpSlots { slots: 2, channels: 1 })),
        ] {
            calls.kind = kind;
            assert_eq!(calls.find_error(), wrong);
        }
        calls.kind = rtp(20_000, 1);
        calls.rate = 11_025;
        assert_eq!(calls.find_error(), Some(BoardConfigError::RtpRate { rate: 11_025 }));
        calls.rate = 16_000;
        calls.channels[0].sides = 1;
        assert_eq!(calls.find_error(), Some(BoardConfigError::RtpSides { channel: 7, sides: 1 }));
        late.channels.clear();
        assert_eq!(late.find_error(), Some(BoardConfigError::NoChannels));
    }
}
