//! Clocks: a monotonic one, a watchdog, and the box's clock as this workstation knows it.
//!
//! Times are milliseconds of a monotonic clock. A `ping` returns the box's time at some moment
//! between request and reply: the shorter the round trip, the smaller the error. The best of the
//! last few measurements counts, so that the client follows a clock that drifts. After a step of
//! the box's clock the older measurements are dropped. Only this file reads a clock.

#![allow(clippy::disallowed_methods, reason = "a client lives in real time")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// A monotonic clock.
pub struct MonotonicClock(Instant);

impl MonotonicClock {
    #[must_use]
    pub fn start() -> MonotonicClock {
        MonotonicClock(Instant::now())
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Sleeps, where no event can come.
pub fn sleep_for(time: Duration) {
    std::thread::sleep(time);
}

/// Exits the process when a call takes too long: a call to a display that does not answer cannot be
/// interrupted in any other way. The service manager starts the client again.
pub struct Watchdog(Arc<AtomicI64>);

impl Watchdog {
    const DISARMED: i64 = i64::MAX;

    /// Starts the thread of the watchdog. `failure`: the text for the log.
    ///
    /// # Errors
    /// If the thread cannot start.
    pub fn start(limit: Duration, failure: &'static str) -> std::io::Result<Watchdog> {
        let armed = Arc::new(AtomicI64::new(Watchdog::DISARMED));
        let (watched, clock) = (Arc::clone(&armed), MonotonicClock::start());
        let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        let watch = move || {
            // The call that was seen last, and when it was seen first.
            let mut seen = (Watchdog::DISARMED, 0);
            loop {
                sleep_for(limit / 10);
                let call = watched.load(Ordering::Relaxed);
                if call != seen.0 {
                    seen = (call, clock.elapsed_ms());
                }
                if call != Watchdog::DISARMED && clock.elapsed_ms() - seen.1 > limit_ms {
                    log::error!("{failure}; hushbox-screen exits, start it again");
                    std::process::exit(1);
                }
            }
        };
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
        Ok(Watchdog(armed))
    }

    /// A call starts at `now_ms`. No two calls start at the same time.
    pub fn arm(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }

    /// The call has returned.
    pub fn disarm(&self) {
        self.0.store(Watchdog::DISARMED, Ordering::Relaxed);
    }
}

/// The number of measurements that count.
const MEASUREMENTS_MAX: usize = 8;
/// How far two clocks may drift apart while measurements count.
const DRIFT_MS: i64 = 100;

/// The box's clock: measurements of its difference to the monotonic clock.
#[derive(Default)]
pub struct BoxClock {
    /// The round trip and the difference of each measurement.
    measurements: VecDeque<(i64, i64)>,
}

impl BoxClock {
    /// Adds a measurement: the request was sent at `sent_ms`, and the reply with `box_ms` came at
    /// `received_ms`.
    pub fn add_measurement(&mut self, sent_ms: i64, box_ms: i64, received_ms: i64) {
        let round_trip = received_ms.saturating_sub(sent_ms).max(0);
        let difference = box_ms.saturating_sub(sent_ms.saturating_add(round_trip / 2));
        // The error of a measurement is half of its round trip; a larger difference is a step.
        self.measurements.retain(|(other, before)| {
            let error_ms = round_trip / 2 + other / 2 + DRIFT_MS;
            difference.abs_diff(*before) <= error_ms.unsigned_abs()
        });
        self.measurements.push_back((round_trip, difference));
        if self.measurements.len() > MEASUREMENTS_MAX {
            self.measurements.pop_front();
        }
    }

    /// The box's time at `ms`; `None` before the first measurement.
    #[must_use]
    pub fn to_box_ms(&self, ms: i64) -> Option<i64> {
        let best = self.measurements.iter().min_by_key(|(round_trip, _)| *round_trip);
        best.map(|(_, difference)| ms.saturating_add(*difference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_round_trip_counts_and_steps_are_followed() {
        let mut clock = BoxClock::default();
        assert_eq!(clock.to_box_ms(5), None);
        clock.add_measurement(1000, 5100, 1400);
        assert_eq!(clock.to_box_ms(0), Some(3900));
        clock.add_measurement(2000, 6005, 2010);
        assert_eq!(clock.to_box_ms(0), Some(4000), "ten milliseconds beat four hundred");
        (0..8).for_each(|n| clock.add_measurement(3000, 7100 + n, 3100));
        assert_eq!(clock.to_box_ms(0), Some(4050));
        clock.add_measurement(4000, 9050, 4100);
        assert_eq!(clock.to_box_ms(0), Some(5000), "a step of a second is followed at once");
    }
}
