//! The tool's clocks: what time it is, asked here and nowhere else.
//!
//! The tool is outside of the box, where time is an argument.

use hushbox::time::WallTime;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// For durations.
#[allow(clippy::disallowed_methods, reason = "the tool is outside of the box: it has its clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// For people.
#[allow(clippy::disallowed_methods, reason = "the tool is outside of the box: it has its clock")]
pub fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
