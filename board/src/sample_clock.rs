//! Sample clock: how many frames a card should have captured by now.
//!
//! A card counts frames by its own clock, which cannot be read directly, and audio arrives late
//! but never early. The read with the least delay is therefore the best known point of that
//! clock. `SampleClock` keeps it and replaces it every few seconds, because the two clocks drift
//! (100 ppm is 8.6 s a day).

/// How long a point is used before it is replaced.
const WINDOW_US: u64 = 10_000_000;

/// Frames in `us` microseconds at `rate` frames per second, rounded down.
pub(crate) fn frames_of_us(us: u64, rate: u32) -> u64 {
    let rate = u64::from(rate);
    (us / 1_000_000) * rate + (us % 1_000_000) * rate / 1_000_000
}

/// Microseconds in `frames` frames, rounded down.
pub(crate) fn us_of_frames(frames: u64, rate: u32) -> u64 {
    let rate = u64::from(rate);
    (frames / rate) * 1_000_000 + (frames % rate) * 1_000_000 / rate
}

/// Number of frames captured at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClockPoint {
    at_us: u64,
    position: u64,
}

/// The card's clock, as estimated from reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SampleClock {
    rate: u32,
    best: ClockPoint,
    /// Point with the least delay in the current window, with its delay in frames.
    candidate: Option<(u64, ClockPoint)>,
    window_us: u64,
}

impl SampleClock {
    /// Creates a clock: at `now_us` the card had captured `position` frames.
    pub(crate) fn new(rate: u32, now_us: u64, position: u64) -> SampleClock {
        let best = ClockPoint { at_us: now_us, position };
        SampleClock { rate, best, candidate: None, window_us: now_us }
    }

    /// Frames that the card should have captured by `now_us`.
    pub(crate) fn frames_due(&self, now_us: u64) -> u64 {
        let us = now_us.saturating_sub(self.best.at_us);
        self.best.position + frames_of_us(us, self.rate)
    }

    /// Observes a read at `now_us` that drained the card; the next frame is `position`. Returns
    /// how late the audio is, in frames.
    pub(crate) fn observe_read(&mut self, now_us: u64, position: u64) -> u64 {
        let here = ClockPoint { at_us: now_us, position };
        let late = self.frames_due(now_us).saturating_sub(position);
        if late == 0 {
            *self = SampleClock { best: here, candidate: None, window_us: now_us, ..*self };
            return 0;
        }
        match self.candidate {
            Some((least, _)) if least <= late => {}
            _ => self.candidate = Some((late, here)),
        }
        if now_us.saturating_sub(self.window_us) >= WINDOW_US {
            if let Some((_, point)) = self.candidate.take() {
                self.best = point;
            }
            self.window_us = now_us;
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_time_convert_without_overflow_or_loss() {
        assert_eq!(frames_of_us(1_999_999, 8000), 15_999);
        assert_eq!(us_of_frames(8001, 8000), 1_000_125);
        let year_us = 365 * 86_400 * 1_000_000;
        assert_eq!(frames_of_us(100 * year_us, 192_000), 100 * 365 * 86_400 * 192_000);
    }

    #[test]
    fn the_least_late_read_sets_the_pace() {
        let mut pace = SampleClock::new(8000, 1_000_000, 0);
        assert_eq!(pace.frames_due(2_000_000), 8000);
        assert_eq!(pace.observe_read(2_000_000, 7840), 160);
        assert_eq!(pace.frames_due(2_000_000), 8000, "a late read changes nothing at once");
        assert_eq!(pace.observe_read(3_000_000, 16_080), 0);
        assert_eq!(pace.frames_due(3_000_000), 16_080, "an early one does");
    }

    #[test]
    fn a_slow_card_is_followed_and_not_called_late() {
        // 100 ppm slow for an hour is 2880 frames, more than a 200 ms buffer.
        let mut pace = SampleClock::new(8000, 0, 0);
        let mut worst = 0;
        for n in 1..=180_000_u64 {
            let position = n * 160 - n * 160 / 10_000;
            worst = worst.max(pace.observe_read(n * 20_000, position));
        }
        assert!(worst <= 32, "late by {worst} frames");
    }
}
