//! The client's monotonic clock.

use std::time::{Duration, Instant};

/// The shortest timeout of a socket call; sockets take zero for "without limit".
pub(crate) const WAIT_MIN: Duration = Duration::from_millis(1);

#[allow(clippy::disallowed_methods, reason = "clients run outside the recorder: they read a clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Time until `deadline`; zero if it is past.
pub(crate) fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(now())
}
