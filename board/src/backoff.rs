//! Back-off for reopening a failed board: 0.5 s, doubling up to 10 s. Success resets it.
//!
//! There is no jitter: a box has few boards, and their retries disturb no other machine.

const FIRST_US: u64 = 500_000;
const LAST_US: u64 = 10_000_000;

/// The next pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    next_us: u64,
}

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff { next_us: FIRST_US }
    }

    /// Returns the time of the next retry in microseconds, later than `now_us`.
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
