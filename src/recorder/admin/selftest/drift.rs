//! Drift of a board's clock against the system clock, from the delay of its frames.
//!
//! A reading may be late but never early, so the least delayed reading of each second is the most
//! exact. The estimate compares the first second with the last. Lost frames count in positions and
//! cause no error.

use crate::audio::channel::ChannelIndex;
use crate::time::{MonoTime, Position};

/// Length of one measurement, in microseconds.
const LOOK_US: u64 = 1_000_000;
/// Combined error of both measurements on a busy machine, in microseconds.
const WRONG_US: u64 = 5000;
/// Offset added to delays to keep them positive, in microseconds.
const BEFORE_US: u64 = 1 << 40;

/// The least delayed reading of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClockReading {
    at_us: u64,
    late_us: u64,
}

/// The clock of one board.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockDrift {
    leader: Option<ChannelIndex>,
    first: Option<ClockReading>,
    last: Option<ClockReading>,
    /// Start of the current second, and its best reading so far.
    looking: Option<(u64, ClockReading)>,
}

impl ClockDrift {
    /// Adds a reading: a channel's next frame is `head`. One channel stands for its board.
    pub fn add_reading(&mut self, now: MonoTime, channel: ChannelIndex, head: Position, rate: u32) {
        if *self.leader.get_or_insert(channel) != channel {
            return;
        }
        let played_us = head.0.saturating_mul(1_000_000) / u64::from(rate.max(1));
        let late_us = (now.0 + BEFORE_US).saturating_sub(played_us);
        let look = ClockReading { at_us: now.0, late_us };
        self.looking = match self.looking {
            Some((began, least)) if now.0 < began + LOOK_US => {
                Some((began, if late_us < least.late_us { look } else { least }))
            }
            Some((_, least)) => {
                match self.first {
                    None => self.first = Some(least),
                    Some(_) => self.last = Some(least),
                }
                Some((now.0, look))
            }
            None => Some((now.0, look)),
        };
    }

    /// How fast the clock is in parts per million, and the possible error. `None` before two
    /// seconds of audio.
    #[must_use]
    pub fn estimate_ppm(&self) -> Option<(i64, u64)> {
        let (first, last) = (self.first?, self.last?);
        let us = last.at_us.checked_sub(first.at_us).filter(|us| *us > 0)?;
        let slower = i64::try_from(last.late_us).ok()? - i64::try_from(first.late_us).ok()?;
        let ppm = -slower.saturating_mul(1_000_000) / i64::try_from(us).ok()?;
        Some((ppm, WRONG_US * 1_000_000 / us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card with seconds of `second_us` microseconds, read every 20 ms and up to 15 ms late.
    fn heard(second_us: u64, seconds: u64) -> Option<(i64, u64)> {
        let mut drift = ClockDrift::default();
        for period in 1..=seconds * 50 {
            let late_us = period * 7919 % 15_000 * u64::from(period % 10 != 0);
            let at = MonoTime(period * second_us / 50 + late_us);
            drift.add_reading(at, ChannelIndex(3), Position(period * 160), 8000);
            // Another channel of the same board adds no information.
            drift.add_reading(at, ChannelIndex(4), Position(0), 8000);
        }
        drift.estimate_ppm()
    }

    #[test]
    fn h2_a_clock_that_is_off_is_measured_through_late_readings() {
        for ppm in [-300_i64, -20, 0, 100] {
            let second_us = u64::try_from(1_000_000 - ppm).unwrap();
            let (found, within) = heard(second_us, 1000).unwrap();
            assert!((found - ppm).unsigned_abs() <= within, "{found} within {within}, not {ppm}");
            assert!(within <= 6, "{within}");
        }
        assert_eq!(heard(1_000_000, 1), None);
    }
}
