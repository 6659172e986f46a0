//! The only module that reads clocks.
//!
//! `MonoTime` counts from the clock's creation and never decreases; `WallTime` may step. All
//! other code takes the time as an argument.

use crate::time::{MonoTime, Now, WallTime};
use std::time::Instant;

/// The monotonic and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Creates a clock whose monotonic time starts now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
    pub fn now(&self) -> Now {
        let us = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { mono: MonoTime(us), wall: WallTime(jiff::Timestamp::now().as_millisecond()) }
    }
}
