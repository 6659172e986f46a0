//! The one place of the portal that reads clocks.
//!
//! Whole seconds since 1970 are enough for sessions and locks; `Instant` serves pauses, and stands
//! still where a test of tokio's pauses the time. Everybody else takes the time as an argument or
//! asks here.

use std::time::Instant;

/// Seconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
pub fn seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// For durations.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A moment for people, in UTC.
#[must_use]
pub fn text(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    moment.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
