//! Back-off: when a failed operation is retried.
//!
//! The pause doubles with each consecutive failure, from a first up to a maximum pause. A success
//! resets it.

use crate::time::MonoTime;

/// Consecutive failures, and the pause after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first_ms: u64,
    longest_ms: u64,
    failures: u32,
    again: MonoTime,
}

impl Backoff {
    /// Creates a back-off without failures.
    #[must_use]
    pub const fn new(first_ms: u64, longest_ms: u64) -> Backoff {
        Backoff { first_ms, longest_ms, failures: 0, again: MonoTime(0) }
    }

    /// Counts a failure and starts the pause after it.
    pub fn fail(&mut self, now: MonoTime) {
        let doubled = self.first_ms.saturating_mul(1 << self.failures.min(32));
        self.failures = self.failures.saturating_add(1);
        self.again = now.after_ms(doubled.min(self.longest_ms));
    }

    /// Resets the failures and the pause.
    pub fn succeed(&mut self) {
        *self = Backoff::new(self.first_ms, self.longest_ms);
    }

    /// Number of consecutive failures.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the end of the pause; the start of time if there is none.
    #[must_use]
    pub fn again(&self) -> MonoTime {
        self.again
    }

    /// Whether there is no pause, or it is over.
    #[must_use]
    pub fn is_due(&self, now: MonoTime) -> bool {
        now >= self.again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_the_longest_until_a_success() {
        let mut backoff = Backoff::new(100, 1500);
        let mut now = MonoTime(5_000_000);
        assert!(backoff.is_due(MonoTime(0)) && backoff.failures() == 0);
        for pause_ms in [100, 200, 400, 800, 1500, 1500] {
            backoff.fail(now);
            assert_eq!(backoff.again(), now.after_ms(pause_ms));
            assert!(!backoff.is_due(MonoTime(backoff.again().0 - 1)));
            now = backoff.again();
            assert!(backoff.is_due(now));
        }
        assert_eq!(backoff.failures(), 6);
        backoff.succeed();
        assert_eq!(backoff, Backoff::new(100, 1500));
    }

    #[test]
    fn failures_for_ever_overflow_nothing() {
        let mut backoff = Backoff::new(u64::MAX / 2, u64::MAX);
        backoff.failures = u32::MAX - 1;
        for _ in 0..3 {
            backoff.fail(MonoTime(u64::MAX - 1));
        }
        assert_eq!((backoff.failures(), backoff.again()), (u32::MAX, MonoTime(u64::MAX)));
    }
}
