//! Channels whose device follows the call: a call seizes one and releases it.
//!
//! A board for IP telephony has slots instead of lines. The configuration gives their channels no
//! device. A call *seizes* a free slot and brings its device. After the call the slot is
//! *released*: as soon as nothing of the ring has to be written any more, the recorder wipes it,
//! and mask, meter and detector are new. Positions go on, so what records say of them stays true.

use super::Recorder;
use crate::audio::channel::ChannelIndex;

/// Why a call gets no channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeizeError {
    #[error("board {board} has no slot {slot}: it has {slots}")]
    NoSuchSlot { board: usize, slot: usize, slots: usize },
    #[error("slot {slot} of board {board} records device {device}; take a free slot")]
    Taken { board: usize, slot: usize, device: String },
    #[error(
        "slot {slot} of board {board} still holds audio of its last call; take another slot, or \
         try again in a moment"
    )]
    Draining { board: usize, slot: usize },
    #[error("a call needs the name of a device to seize slot {slot} of board {board}")]
    NoDevice { board: usize, slot: usize },
}

impl Recorder {
    /// Gives the slot of a board to a call of `device`. Slots count from 0.
    ///
    /// # Errors
    ///
    /// When the slot does not exist or is not free. Nothing has changed then.
    pub fn seize_channel(
        &mut self,
        board: usize,
        slot: usize,
        device: &str,
    ) -> Result<ChannelIndex, SeizeError> {
        let slots = self.config.boards.get(board).map_or(0, |board| board.channels.len());
        let first = self.first_channel(board).filter(|_| slot < slots);
        let Some(ChannelIndex(first)) = first else {
            return Err(SeizeError::NoSuchSlot { board, slot, slots });
        };
        let index = ChannelIndex(first + slot);
        if device.is_empty() {
            return Err(SeizeError::NoDevice { board, slot });
        }
        if self.released.contains(&index) {
            return Err(SeizeError::Draining { board, slot });
        }
        let channel = &mut self.channels[index.0];
        if !channel.device.is_empty() {
            return Err(SeizeError::Taken { board, slot, device: channel.device.clone() });
        }
        channel.device.push_str(device);
        self.calls.add_device(device, index);
        Ok(index)
    }

    /// Takes a slot back from its call, which has ended. The slot is free again when
    /// `is_channel_free` says so.
    pub fn release_channel(&mut self, index: ChannelIndex) {
        let channel = &self.channels[index.0];
        assert!(channel.follows_calls, "channel {} belongs to its device", channel.id);
        if channel.device.is_empty() || self.released.contains(&index) {
            return;
        }
        let device = channel.device.clone();
        self.calls.remove_device(&device, index);
        self.released.push(index);
    }

    /// Whether a call can seize this slot now.
    #[must_use]
    pub fn is_channel_free(&self, index: ChannelIndex) -> bool {
        let channel = &self.channels[index.0];
        channel.follows_calls && channel.device.is_empty()
    }

    /// Wipes released slots whose audio is written, or not wanted. A live call keeps its slot, and
    /// so does a blackout until its end is durable.
    pub(super) fn clear_released_channels(&mut self) {
        let Recorder { released, channels, recordings, calls, .. } = self;
        released.retain(|index| {
            let channel = &mut channels[index.0];
            let used = recordings.oldest_unread(*index).is_some()
                || calls.live_on(*index).next().is_some()
                || channel.is_hidden();
            if !used {
                channel.clear();
            }
            used
        });
    }
}
