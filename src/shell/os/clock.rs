//! The one place that reads clocks.
//!
//! `MonoTime` counts from the clock's making and never goes back; `WallTime` may step. Nobody else asks
//! what time it is: it is passed down.

use crate::time::{MonoTime, Now, WallTime};
use std::time::Instant;

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// What time it is.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
    pub fn now(&self) -> Now {
        let us = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { mono: MonoTime(us), wall: WallTime(jiff::Timestamp::now().as_millisecond()) }
    }
}
