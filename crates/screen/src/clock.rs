//! The box's clock, as this workstation knows it.
//!
//! Time here is milliseconds of a clock that never steps. A `ping` tells what the box's is at some
//! moment between asking and hearing: the shorter the way, the better the measure. The best of the
//! last few counts, so that a clock that drifts is followed; one that stepped begins anew. The
//! only file here that reads a clock.

#![allow(clippy::disallowed_methods, reason = "a client lives in real time")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// A clock that never steps.
pub struct Steady(Instant);

impl Steady {
    #[must_use]
    pub fn start() -> Steady {
        Steady(Instant::now())
    }

    /// Milliseconds since it was started.
    #[must_use]
    pub fn ms(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Lets time pass, where nothing can happen meanwhile.
pub fn rest(time: Duration) {
    std::thread::sleep(time);
}

/// Measures that are kept.
const KEPT: usize = 8;

/// Ends the program when something that was begun is not done in time: a display that does not
/// answer cannot be waited for in any other way. Whoever started it starts it again.
pub struct Patience(Arc<AtomicI64>);

impl Patience {
    const NOTHING: i64 = i64::MAX;

    /// Starts a thread that watches.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn start(limit: Duration, what: &'static str) -> std::io::Result<Patience> {
        let since = Arc::new(AtomicI64::new(Patience::NOTHING));
        let (watched, steady) = (Arc::clone(&since), Steady::start());
        let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        let watch = move || {
            let mut begun = (Patience::NOTHING, 0);
            loop {
                rest(limit / 10);
                let which = watched.load(Ordering::Relaxed);
                if which != begun.0 {
                    begun = (which, steady.ms());
                }
                if which != Patience::NOTHING && steady.ms() - begun.1 > limit_ms {
                    log::error!("{what}; this ends, start it again");
                    std::process::exit(1);
                }
            }
        };
        std::thread::Builder::new().name("patience".to_owned()).spawn(watch)?;
        Ok(Patience(since))
    }

    /// Something begins, at `now`; no two at the same moment.
    pub fn begin(&self, now: i64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// It is done.
    pub fn end(&self) {
        self.0.store(Patience::NOTHING, Ordering::Relaxed);
    }
}

/// What clocks may drift apart while measures are kept.
const DRIFT_MS: i64 = 100;

/// Measures of the difference.
#[derive(Default)]
pub struct BoxClock {
    /// The way there and back, and the difference.
    measures: VecDeque<(i64, i64)>,
}

impl BoxClock {
    /// Asked at `asked`, answered with `said` at `heard`.
    pub fn measured(&mut self, asked: i64, said: i64, heard: i64) {
        let way = heard.saturating_sub(asked).max(0);
        let difference = said.saturating_sub(asked.saturating_add(way / 2));
        // Half of the way there and back is the error; more than both together is a step.
        self.measures.retain(|(other, before)| {
            difference.abs_diff(*before) <= (way / 2 + other / 2 + DRIFT_MS).unsigned_abs()
        });
        self.measures.push_back((way, difference));
        if self.measures.len() > KEPT {
            self.measures.pop_front();
        }
    }

    /// What the box's clock shows at `at`; `None` before the first measure.
    #[must_use]
    pub fn at(&self, at: i64) -> Option<i64> {
        let best = self.measures.iter().min_by_key(|(way, _)| *way);
        best.map(|(_, difference)| at.saturating_add(*difference))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_way_counts_and_old_measures_go() {
        let mut clock = BoxClock::default();
        assert_eq!(clock.at(5), None);
        clock.measured(1000, 5100, 1400);
        assert_eq!(clock.at(0), Some(3900));
        clock.measured(2000, 6005, 2010);
        assert_eq!(clock.at(0), Some(4000), "ten milliseconds beat four hundred");
        (0..8).for_each(|n| clock.measured(3000, 7100 + n, 3100));
        assert_eq!(clock.at(0), Some(4050));
        clock.measured(4000, 9050, 4100);
        assert_eq!(clock.at(0), Some(5000), "a step of a second is taken at once");
    }
}
