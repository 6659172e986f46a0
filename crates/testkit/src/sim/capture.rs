//! What the boards of the simulated box capture, and what they lose.

use super::SimBox;
use super::audio::sample;
use super::network::Place;
use hushbox::audio::channel::ChannelIndex;
use hushbox::audio::span::LossReason;

impl SimBox {
    pub(super) fn capture_audio(&mut self, ms: u64) {
        self.capture_audio_except(ms, None);
    }

    pub(super) fn capture_audio_except(&mut self, ms: u64, unplugged: Option<usize>) {
        // Wiped as a board wipes its scratch buffer, and never reallocated: tests search memory for
        // captured audio.
        let room = usize::try_from(2 * 96 * ms).unwrap();
        let mut samples = zeroize::Zeroizing::new(Vec::with_capacity(room));
        for (board, model) in self.config.boards.iter().enumerate() {
            if unplugged == Some(board) {
                continue;
            }
            let first = self.recorder.first_channel(board).unwrap().0;
            let frames = u64::from(model.rate) * ms / 1000;
            for (index, channel) in (first..).zip(&model.channels) {
                if model.sip().is_some() && !self.telephony.is_open(board, index - first) {
                    continue;
                }
                let head = self.heads[index];
                samples.clear();
                if self.silent {
                    self.silences.extend((head..head + frames).map(|at| (self.boot, at)));
                }
                for position in head..head + frames {
                    let sound = |side| match &self.wave {
                        Some(wave) => wave(index, position),
                        None => self.heard(self.boot, channel.id, position, side),
                    };
                    samples.extend((0..usize::from(channel.sides)).map(sound));
                }
                assert!(samples.len() <= room);
                let (boot, sides) = (self.boot, usize::from(channel.sides));
                let (index, channel) = (ChannelIndex(index), channel.id);
                let place = Place { boot, index, channel, sides, head };
                self.network.lose((&mut self.recorder, self.now), place, &mut samples);
                self.recorder.capture(self.now, index, &samples);
                self.heads[index.0] += frames;
                let place = Place { head: head + frames, ..place };
                self.network.bring_late(&mut self.recorder, place);
            }
        }
    }

    /// The sample that a board captured or will capture.
    pub fn heard(&self, boot: u32, channel: u16, position: u64, side: usize) -> i16 {
        let silent = self.silences.contains(&(boot, position));
        if silent { 0 } else { sample(boot, channel, position, side) }
    }

    /// Reports frames that a board lost.
    pub fn lose(&mut self, board: usize, frames: u64, why: LossReason) {
        self.recorder.skip_lost_on_board(self.now, board, frames, why);
        let first = self.recorder.first_channel(board).unwrap().0;
        let count = self.config.boards[board].channels.len();
        self.heads[first..first + count].iter_mut().for_each(|head| *head += frames);
    }
}
