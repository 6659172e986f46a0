//! Self-test parts that need neither board nor disk: requests, results and constants.
//!
//! During a self-test the recorder measures every channel (`probe`) and makes a recording of a
//! test tone under a temporary key. The shell writes it to the data directory, reads it back,
//! decrypts it, and searches it for the masked tone. The results are levels and verdicts, never
//! audio.

pub mod probe;

use crate::store::seal::{Envelope, Identity};
use crate::time::Position;

/// Frequencies of the stored tone and of the masked tone; both have whole periods in 100 ms.
pub const CLEAR_TONE_HZ: u32 = 1000;
pub const MASKED_TONE_HZ: u32 = 1600;
/// Peak sample of both tones, a quarter of full scale.
pub const TONE_PEAK: i16 = 8192;
/// The same in dBFS.
pub const TONE_DB: i32 = -12;

/// Temporary key of the test recording.
pub struct SelfTestKeys {
    pub identity: Identity,
    pub envelope: Envelope,
    /// Whether sealing and opening works for this key and for the box's recipients.
    pub round_trip: Result<(), String>,
}

impl std::fmt::Debug for SelfTestKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Keys({:?})", self.round_trip)
    }
}

/// A recording of the test tone, masked in the middle.
pub struct SelfTestRecording {
    pub identity: Identity,
    /// The complete media file.
    pub media: Vec<u8>,
    pub from: Position,
    /// The masked range.
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

/// Results from the shell.
#[derive(Debug)]
pub struct DiskResult {
    /// Duration of each write with its sync in microseconds, sorted, or an error.
    pub syncs_us: Result<Vec<u64>, String>,
    /// Check of the test recording, if there was one.
    pub read_back: Option<Result<ReadBackResult, String>>,
}

/// Result of reading the test recording back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBackResult {
    /// Amplitude of the stored tone, in dBFS.
    pub clear_tone_db: i32,
    /// Frames that should be masked, and are.
    pub masked_frames: u64,
    /// Where the masked tone was found, which is a failure.
    pub leak: Option<String>,
}

/// Histogram of disk latencies: `(upper bound in ms, count)`.
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
