//! Fates of audio: every frame of a recording is stored, masked, held or lost, and counted.
//!
//! A `Run` is a range of frames with one fate; runs follow each other without gaps. The `Ledger`
//! sums them per recording: captured = stored + masked + held + lost, exact to the frame.

use serde::{Deserialize, Serialize};

/// Why audio is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum LossReason {
    /// The capture buffer overran because the kernel or the loop was late.
    Overrun,
    /// The board was unplugged, suspended or silent.
    Board,
    /// The ring was full because the disk was slow.
    Ring,
    /// The disk failed to store the audio.
    Disk,
    /// The power failed before the audio was durable.
    Power,
}

impl LossReason {
    pub const ALL: [LossReason; 5] = [
        LossReason::Overrun,
        LossReason::Board,
        LossReason::Ring,
        LossReason::Disk,
        LossReason::Power,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LossReason::Overrun => "overrun",
            LossReason::Board => "board",
            LossReason::Ring => "ring",
            LossReason::Disk => "disk",
            LossReason::Power => "power",
        }
    }
}

/// The fate of a range of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum Fate {
    Stored,
    /// Blacked out; the audio was never written.
    Masked,
    /// On hold: the channel's audio belonged to another call.
    Held,
    Lost(LossReason),
}

/// `frames` frames with one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub fate: Fate,
    pub frames: u32,
}

/// Frame counts by fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub stored: u64,
    pub masked: u64,
    pub held: u64,
    /// Lost frames, indexed as `LossReason::ALL`.
    pub lost: [u64; 5],
}

impl Ledger {
    pub fn add_run(&mut self, run: Run) {
        let frames = u64::from(run.frames);
        match run.fate {
            Fate::Stored => self.stored += frames,
            Fate::Masked => self.masked += frames,
            Fate::Held => self.held += frames,
            Fate::Lost(loss) => self.lost[loss as usize] += frames,
        }
    }

    /// Frames lost for any reason.
    #[must_use]
    pub fn total_lost(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// Length of the timeline in frames, including frames that should have been captured.
    #[must_use]
    pub fn total_captured(&self) -> u64 {
        self.stored + self.masked + self.held + self.total_lost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_is_counted_once() {
        let mut ledger = Ledger::default();
        for (n, loss) in (1..).zip(LossReason::ALL) {
            ledger.add_run(Run { fate: Fate::Lost(loss), frames: n });
        }
        ledger.add_run(Run { fate: Fate::Stored, frames: 100 });
        ledger.add_run(Run { fate: Fate::Masked, frames: 20 });
        ledger.add_run(Run { fate: Fate::Held, frames: 7 });
        assert_eq!(ledger.lost, [1, 2, 3, 4, 5]);
        assert_eq!(ledger.total_captured(), 142);
    }
}
