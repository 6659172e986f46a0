//! The only module of the portal that reads clocks.
//!
//! Sessions and lockouts use whole Unix seconds. `Instant` serves timeouts and stops when a test
//! pauses tokio's time. Other modules take the time as an argument or call this one.

use std::time::Instant;

/// Current Unix time in seconds.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
pub fn unix_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Monotonic time for durations.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Formats the present time of day for people at the site, with the zone.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
pub fn format_local_time_of_day() -> String {
    jiff::Zoned::now().strftime("%H:%M:%S (%Z)").to_string()
}

/// Formats a Unix time for display, in UTC.
#[must_use]
pub fn format_utc(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    moment.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
