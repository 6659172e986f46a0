//! Waiting for other programs, in real time.

#![allow(clippy::disallowed_methods, reason = "real programs live in real time")]

use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait before the next look at something that tells no event.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until there is something to see.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(TIMEOUT, what, look)
}

/// The same with another time limit.
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

/// Lets real time pass where time itself is the event: a stopped program tells nothing.
pub fn let_pass(time: Duration) {
    std::thread::sleep(time);
}
