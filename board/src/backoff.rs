//! Back-off: how long to wait before a failed board is opened again.
//!
//! 0.5 s, then twice as long each time, at most 10 s. Success starts over. No jitter: a box has a
//! handful of boards, and nobody else is hurt by their trying.

const FIRST_US: u64 = 500_000;
const LAST_US: u64 = 10_000_000;

/// The next wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    next_us: u64,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { next_us: FIRST_US }
    }

    /// When to try again, in microseconds; lies after `now_us`.
    pub(crate) fn next_retry_us(&mut self, now_us: u64) -> u64 {
        let retry_us = now_us.saturating_add(self.next_us);
        self.next_us = (self.next_us * 2).min(LAST_US);
        retry_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_seconds() {
        let mut backoff = Backoff::new();
        let waits: Vec<u64> = (0..7).map(|_| backoff.next_retry_us(1_000_000) / 100_000).collect();
        assert_eq!(waits, [15, 20, 30, 50, 90, 110, 110]);
    }
}
