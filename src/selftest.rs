//! The self-test's parts that need neither board nor disk: what is measured, and what is asked.
//!
//! While a self-test runs the recorder listens to every channel (`probe`), and makes a recording of
//! a test tone under a key that nobody keeps. The shell writes that where recordings lie, reads it
//! back, opens it, and looks for what was blacked out. Levels and verdicts come out of it, never
//! audio. Nothing here knows a protocol.

pub mod probe;

use crate::store::seal::{Envelope, Identity};
use crate::time::Position;

/// The tone that is to be kept, and the one that is to be blacked out: whole periods in 100 ms.
pub const CLEAR_TONE_HZ: u32 = 1000;
pub const MASKED_TONE_HZ: u32 = 1600;
/// Highest sample of both, a quarter of full scale.
pub const TONE_PEAK: i16 = 8192;
/// The same in dB of full scale.
pub const TONE_DB: i32 = -12;

/// What the test recording is sealed with; thrown away with the test.
pub struct SelfTestKeys {
    pub identity: Identity,
    pub envelope: Envelope,
    /// Whether sealing and opening works, for this key and for the box's recipients.
    pub round_trip: Result<(), String>,
}

impl std::fmt::Debug for SelfTestKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Keys({:?})", self.round_trip)
    }
}

/// A recording of the test tone, blacked out in the middle.
pub struct SelfTestRecording {
    pub identity: Identity,
    /// The media file, whole.
    pub media: Vec<u8>,
    pub from: Position,
    /// What was blacked out.
    pub masked: (Position, Position),
    pub to: Position,
    pub rate: u32,
    pub sides: u8,
}

impl std::fmt::Debug for SelfTestRecording {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Tape({} bytes)", self.media.len())
    }
}

/// What the shell found out.
#[derive(Debug)]
pub struct DiskResult {
    /// How long each write with its sync took, in microseconds, sorted; or why there was none.
    pub syncs_us: Result<Vec<u64>, String>,
    /// Of the tape, if there was one.
    pub read_back: Option<Result<ReadBackResult, String>>,
}

/// What a tape shows when it has been on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBackResult {
    /// The kept tone's amplitude, in dB of full scale.
    pub clear_tone_db: i32,
    /// Frames that were blacked out, and are.
    pub masked_frames: u64,
    /// Where the blacked out tone was found all the same.
    pub leak: Option<String>,
}

/// How long the disk took, in classes: `(up to so many ms, how often)`.
#[must_use]
pub fn latency_histogram(us: &[u64]) -> Vec<(u64, usize)> {
    const CLASSES_MS: [u64; 8] = [1, 2, 5, 10, 50, 100, 500, 5000];
    let below = |ms: u64| us.iter().filter(|us| **us <= ms * 1000).count();
    let mut before = 0;
    let class = |ms: u64| {
        let all = if ms == 5000 { us.len() } else { below(ms) };
        let count = all - before;
        before = all;
        (ms, count)
    };
    CLASSES_MS.map(class).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_every_sync_is_in_one_class() {
        let all = latency_histogram(&[10, 1000, 1001, 70_000, 9_000_000]);
        assert_eq!(all.iter().map(|(_, count)| count).sum::<usize>(), 5);
        assert_eq!(all[..2], [(1, 2), (2, 1)]);
        assert_eq!(all[5..], [(100, 1), (500, 0), (5000, 1)]);
    }
}
