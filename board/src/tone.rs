//! Test tone that a loop-back board feeds into one of its inputs.
//!
//! Samples depend on the position only, so the phase is continuous across reads.

/// A sine tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestTone {
    pub hz: u32,
    /// Peak sample.
    pub peak: i16,
}

impl TestTone {
    /// Returns the sample at a position, at `rate` frames per second.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most `peak`, which is an i16")]
    pub fn sample_at(&self, position: u64, rate: u32) -> i16 {
        let phase = u128::from(position) * u128::from(self.hz) % u128::from(rate.max(1));
        let phase = f64::from(u32::try_from(phase).unwrap_or(0)) / f64::from(rate.max(1));
        (f64::from(self.peak) * (std::f64::consts::TAU * phase).sin()).round() as i16
    }
}
