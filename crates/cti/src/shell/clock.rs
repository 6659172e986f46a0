//! The only place of this program that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, or 0 for an earlier clock.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
