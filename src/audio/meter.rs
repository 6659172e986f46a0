//! Level meter of one channel: RMS and peak of recent audio, in dBFS.
//!
//! It receives only audio that no mask covers (G6); the meter of a masked channel shows silence.
//! It averages over `WINDOW_MS`, so no samples can be recovered from it.

/// Length of one measuring window, in milliseconds.
pub const WINDOW_MS: u32 = 200;

/// Windows for which a peak is held: 2 s.
const HOLD_WINDOWS: u32 = 2000 / WINDOW_MS;

/// Meter reading for digital silence, in dBFS.
pub const SILENCE_DB: i32 = -96;

/// Square sums of the current window and levels of the last one.
#[derive(Clone, Debug)]
pub struct Meter {
    window_samples: u32,
    seen: u32,
    sum: u64,
    top: u16,
    level_db: i32,
    peak_db: i32,
    hold_db: i32,
    /// Windows since the held peak.
    held: u32,
}

impl Meter {
    /// Creates a meter for `sides` interleaved samples per frame at `rate` frames per second.
    #[must_use]
    pub fn new(rate: u32, sides: u8) -> Meter {
        let window_samples = (rate * WINDOW_MS / 1000).max(1) * u32::from(sides);
        let silent = SILENCE_DB;
        Meter {
            window_samples,
            seen: 0,
            sum: 0,
            top: 0,
            level_db: silent,
            peak_db: silent,
            hold_db: silent,
            held: 0,
        }
    }

    /// Measures samples that may be heard.
    pub fn push_samples(&mut self, samples: &[i16]) {
        for sample in samples {
            let size = sample.unsigned_abs();
            self.sum += u64::from(size) * u64::from(size);
            self.top = self.top.max(size);
            self.seen += 1;
            if self.seen == self.window_samples {
                self.close_window();
            }
        }
    }

    /// Clears all levels at once: following audio is masked, and recent audio may be too.
    pub fn reset(&mut self) {
        (self.seen, self.sum, self.top) = (0, 0, 0);
        (self.level_db, self.peak_db) = (SILENCE_DB, SILENCE_DB);
        (self.hold_db, self.held) = (SILENCE_DB, 0);
    }

    fn close_window(&mut self) {
        let full = f64::from(1 << 15);
        let mean = self.sum as f64 / f64::from(self.window_samples);
        self.level_db = ratio_to_db(mean.sqrt() / full);
        self.peak_db = ratio_to_db(f64::from(self.top) / full);
        (self.seen, self.sum, self.top) = (0, 0, 0);
        self.held += 1;
        if self.peak_db >= self.hold_db || self.held >= HOLD_WINDOWS {
            (self.hold_db, self.held) = (self.peak_db, 0);
        }
    }

    /// RMS level of the last window in dBFS, `SILENCE_DB` to 0.
    #[must_use]
    pub fn level_db(&self) -> i32 {
        self.level_db
    }

    /// Peak of the last window in dBFS, `SILENCE_DB` to 0.
    #[must_use]
    pub fn peak_db(&self) -> i32 {
        self.peak_db
    }

    /// Highest peak of about the last 2 s, for clients that poll less often than once a window.
    #[must_use]
    pub fn hold_db(&self) -> i32 {
        self.hold_db
    }
}

#[expect(clippy::cast_possible_truncation, reason = "within -96..=0 by the clamp, so exact")]
pub(crate) fn ratio_to_db(ratio: f64) -> i32 {
    let db = (20.0 * ratio.log10()).round();
    if db.is_finite() { db.clamp(f64::from(SILENCE_DB), 0.0) as i32 } else { SILENCE_DB }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_wave_reads_its_own_level() {
        let mut meter = Meter::new(8000, 1);
        meter.push_samples(&[16384; 1600]);
        assert_eq!((meter.level_db(), meter.peak_db()), (-6, -6));
        meter.push_samples(&[i16::MIN; 1600]);
        assert_eq!((meter.level_db(), meter.peak_db()), (0, 0));
        meter.reset();
        assert_eq!((meter.level_db(), meter.peak_db()), (SILENCE_DB, SILENCE_DB));
    }

    #[test]
    fn g6_a_peak_is_held_for_a_while_but_not_into_a_blackout() {
        let mut meter = Meter::new(8000, 1);
        meter.push_samples(&[i16::MIN; 1600]);
        for _ in 1..HOLD_WINDOWS {
            meter.push_samples(&[0; 1600]);
            assert_eq!((meter.peak_db(), meter.hold_db()), (SILENCE_DB, 0));
        }
        meter.push_samples(&[0; 1600]);
        assert_eq!(meter.hold_db(), SILENCE_DB);
        meter.push_samples(&[16384; 1600]);
        assert_eq!(meter.hold_db(), -6);
        meter.reset();
        assert_eq!(meter.hold_db(), SILENCE_DB);
    }
}
