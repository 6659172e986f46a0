//! A test tone: what a board that can loop back feeds into one of its inputs.
//!
//! A frame's position alone says its value, so that a tone goes on in phase wherever it is read.
//! Nothing here is heard by anybody.

/// A sine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestTone {
    pub hz: u32,
    /// Its highest sample.
    pub peak: i16,
}

impl TestTone {
    /// Its value at a position, at `rate` frames a second.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most `peak`, which is an i16")]
    pub fn sample_at(&self, position: u64, rate: u32) -> i16 {
        let phase = u128::from(position) * u128::from(self.hz) % u128::from(rate.max(1));
        let phase = f64::from(u32::try_from(phase).unwrap_or(0)) / f64::from(rate.max(1));
        (f64::from(self.peak) * (std::f64::consts::TAU * phase).sin()).round() as i16
    }
}
