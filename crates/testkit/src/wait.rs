//! Waiting for other programs, in real time.

#![allow(clippy::disallowed_methods, reason = "real programs live in real time")]

use std::time::{Duration, Instant};

/// Time limit for anything on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// Polls until `look` returns a value.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(TIMEOUT, what, look)
}

/// Polls with another time limit.
pub fn until_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Sleeps where time itself is the event, as for a stopped program.
pub fn let_pass(time: Duration) {
    std::thread::sleep(time);
}
