//! The tool's clock. Library code takes the time as an argument instead.

use hushbox::time::WallTime;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Returns the monotonic time.
#[allow(clippy::disallowed_methods, reason = "the tool reads the clock here only")]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the wall-clock time.
#[allow(clippy::disallowed_methods, reason = "the tool reads the clock here only")]
pub fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
