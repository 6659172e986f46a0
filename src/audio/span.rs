//! What became of audio: every frame of a recording is stored, masked, held, or lost, and counted.
//!
//! A `Run` is a stretch of frames with one fate; runs follow each other without gaps. The `Ledger`
//! adds them up per recording: captured = stored + masked + held + lost, exact to the frame.
//!
//! This module decides no fate (see `recorder`), it only names and counts them.

use serde::{Deserialize, Serialize};

/// Why audio is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum Loss {
    /// The card ran over: the kernel or the loop was late.
    Overrun,
    /// The board was unplugged, suspended or silent.
    Board,
    /// The ring was full because the disk was slow.
    Ring,
    /// The disk refused the audio.
    Disk,
    /// The power was cut before it was durable.
    Power,
}

impl Loss {
    pub const ALL: [Loss; 5] = [Loss::Overrun, Loss::Board, Loss::Ring, Loss::Disk, Loss::Power];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Loss::Overrun => "overrun",
            Loss::Board => "board",
            Loss::Ring => "ring",
            Loss::Disk => "disk",
            Loss::Power => "power",
        }
    }
}

/// The fate of a stretch of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum Fate {
    Stored,
    /// Blacked out; silence that was never written.
    Masked,
    /// The call was held: the channel's audio belonged to another call.
    Held,
    Lost(Loss),
}

/// `frames` frames with one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub fate: Fate,
    pub frames: u32,
}

/// How many frames met which fate. All counts are frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub stored: u64,
    pub masked: u64,
    pub held: u64,
    /// Indexed as `Loss::ALL`.
    pub lost: [u64; 5],
}

impl Ledger {
    pub fn add(&mut self, run: Run) {
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
    pub fn lost_all(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// Length of the timeline: everything that was, or should have been, captured.
    #[must_use]
    pub fn captured(&self) -> u64 {
        self.stored + self.masked + self.held + self.lost_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_is_counted_once() {
        let mut ledger = Ledger::default();
        for (n, loss) in (1..).zip(Loss::ALL) {
            ledger.add(Run { fate: Fate::Lost(loss), frames: n });
        }
        ledger.add(Run { fate: Fate::Stored, frames: 100 });
        ledger.add(Run { fate: Fate::Masked, frames: 20 });
        ledger.add(Run { fate: Fate::Held, frames: 7 });
        assert_eq!(ledger.lost, [1, 2, 3, 4, 5]);
        assert_eq!(ledger.captured(), 142);
    }
}
