//! What a board should be: the `[[board]]` part of the configuration as this crate wants it.
//!
//! A model is checked when a board is opened, because it may come from anywhere. Nothing here
//! touches a file or a device.

use crate::error::{BoardError, ModelWrong};
use std::path::PathBuf;

/// Slots a card may have; bounds the scratch.
pub(crate) const SLOTS_MAX: u16 = 256;

/// One channel of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelModel {
    /// The channel's number in the configuration, for messages only.
    pub id: u16,
    /// 1 (mono) or 2 (agent left, customer right).
    pub sides: u8,
    /// `Alsa`: the card's slots (from 0), one per side.
    pub slots: Vec<u16>,
    /// `Sim`: the WAV file to play.
    pub source: Option<PathBuf>,
}

/// How a board gets its audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An ALSA PCM by name (`hw:1,0`, `plughw:…`, any name of `asound.conf`), woken every
    /// `period_ms` milliseconds or near.
    Alsa { pcm: String, period_ms: u32 },
    /// WAV files in a loop.
    Sim,
}

/// One board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name in the configuration, for messages only.
    pub name: String,
    /// Where the audio comes from.
    pub kind: Kind,
    /// Frames per second, exactly.
    pub rate: u32,
    /// How long audio may wait unread before it is lost, in milliseconds (or near, for a card).
    pub buffer_ms: u32,
    /// In the order of `Period::channel`.
    pub channels: Vec<ChannelModel>,
}

impl Model {
    /// Frames in `ms` milliseconds, at least one.
    pub(crate) fn frames_of_ms(&self, ms: u32) -> u64 {
        (u64::from(ms) * u64::from(self.rate) / 1000).max(1)
    }

    /// Slots a card must have for these channels.
    pub(crate) fn slots_wanted(&self) -> u16 {
        let last = self.channels.iter().flat_map(|channel| &channel.slots).max();
        last.map_or(1, |slot| slot.saturating_add(1))
    }

    pub(crate) fn check(&self) -> Result<(), BoardError> {
        self.wrong()
            .map_or(Ok(()), |wrong| Err(BoardError::Model { board: self.name.clone(), wrong }))
    }

    fn wrong(&self) -> Option<ModelWrong> {
        if self.channels.is_empty() {
            return Some(ModelWrong::NoChannels);
        }
        if !(4_000..=192_000).contains(&self.rate) {
            return Some(ModelWrong::Rate { rate: self.rate });
        }
        if !(20..=10_000).contains(&self.buffer_ms) {
            return Some(ModelWrong::Buffer { buffer_ms: self.buffer_ms });
        }
        if let Kind::Alsa { period_ms, .. } = self.kind
            && !(1..=self.buffer_ms / 2).contains(&period_ms)
        {
            return Some(ModelWrong::Period { period_ms, buffer_ms: self.buffer_ms });
        }
        self.channels.iter().find_map(|channel| self.channel_wrong(channel))
    }

    fn channel_wrong(&self, channel: &ChannelModel) -> Option<ModelWrong> {
        let (id, sides) = (channel.id, channel.sides);
        if !(1..=2).contains(&sides) {
            return Some(ModelWrong::Sides { channel: id, sides });
        }
        match self.kind {
            Kind::Sim if channel.source.is_none() => Some(ModelWrong::NoSource { channel: id }),
            Kind::Sim => None,
            Kind::Alsa { .. } if channel.slots.len() != usize::from(sides) => {
                Some(ModelWrong::Slots { channel: id, sides, slots: channel.slots.len() })
            }
            Kind::Alsa { .. } => channel
                .slots
                .iter()
                .find(|slot| **slot >= SLOTS_MAX)
                .map(|slot| ModelWrong::Slot { channel: id, slot: *slot, max: SLOTS_MAX - 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(slots: Vec<u16>, sides: u8) -> Model {
        Model {
            name: "b".to_owned(),
            kind: Kind::Alsa { pcm: "hw:1,0".to_owned(), period_ms: 20 },
            rate: 8000,
            buffer_ms: 200,
            channels: vec![ChannelModel { id: 7, sides, slots, source: None }],
        }
    }

    #[test]
    fn a_sensible_model_passes_and_needs_as_many_slots_as_its_last() {
        let good = model(vec![5, 2], 2);
        assert_eq!(good.wrong(), None);
        assert_eq!(good.slots_wanted(), 6);
        assert_eq!(good.frames_of_ms(20), 160);
    }

    #[test]
    fn nonsense_is_named_with_its_channel() {
        assert_eq!(
            model(vec![0], 2).wrong(),
            Some(ModelWrong::Slots { channel: 7, sides: 2, slots: 1 })
        );
        assert_eq!(model(vec![0], 3).wrong(), Some(ModelWrong::Sides { channel: 7, sides: 3 }));
        assert_eq!(
            model(vec![256], 1).wrong(),
            Some(ModelWrong::Slot { channel: 7, slot: 256, max: 255 })
        );
        let mut late = model(vec![0], 1);
        late.kind = Kind::Alsa { pcm: String::new(), period_ms: 101 };
        assert_eq!(late.wrong(), Some(ModelWrong::Period { period_ms: 101, buffer_ms: 200 }));
        late.kind = Kind::Sim;
        assert_eq!(late.wrong(), Some(ModelWrong::NoSource { channel: 7 }));
        late.channels.clear();
        assert_eq!(late.wrong(), Some(ModelWrong::NoChannels));
    }
}
