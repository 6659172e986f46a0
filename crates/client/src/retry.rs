//! The retry policy: when a client connects again after a failure (requirements A7 to A9).
//!
//! The first attempt is made at launch. After a failed attempt, or when the connection is lost, the
//! client retries every 10 s. After ten failed retries it enters *standby*. In
//! `RetryMode::SelfHealing` the client then probes without notifying the user. The interval grows
//! and has jitter, so that a thousand clients do not reconnect in the same second. In
//! `RetryMode::Strict` the client waits for the user's *Reconnect*. One attempt tries every server
//! of the list.
//!
//! This module has no clock and no socket; the random bits for the jitter are arguments.

/// Time between two retries, in milliseconds.
pub const RETRY_INTERVAL_MS: u64 = 10_000;
/// The number of failed retries that leads to standby.
pub const RETRIES_MAX: u32 = 10;

/// The first probe interval in standby, as a multiple of the retry interval. It doubles with every
/// failed probe.
const PROBE_FIRST: u64 = 2;
/// The longest probe interval without jitter: ten minutes, if the retry interval is 10 s.
const PROBE_LAST: u64 = 60;
/// Jitter is at most this fraction of the interval: a quarter, up or down.
const JITTER_PART: u64 = 4;

const _: () = assert!(PROBE_FIRST - PROBE_FIRST / JITTER_PART > 1);
const _: () = assert!(PROBE_FIRST < PROBE_LAST);

/// What a client does in standby (A9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryMode {
    /// Probe at growing intervals.
    #[default]
    SelfHealing,
    /// Wait for *Reconnect*.
    Strict,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAction {
    /// Retry, and tell the user.
    Retry {
        /// The number of this retry, 1 to `RETRIES_MAX`.
        retry: u32,
        /// Milliseconds from now.
        in_ms: u64,
    },
    /// Enter or stay in standby, and probe without telling the user.
    Probe {
        /// Milliseconds from now.
        in_ms: u64,
    },
    /// Enter or stay in standby until the user chooses *Reconnect*.
    Standby,
}

/// Counts failed attempts and decides when to make the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    mode: RetryMode,
    /// Time between two retries, in milliseconds.
    interval_ms: u64,
    /// Failed attempts since the last success or *Reconnect*, with the first attempt.
    failed: u32,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy::new(RetryMode::default())
    }
}

impl RetryPolicy {
    /// The policy before the first attempt.
    #[must_use]
    pub fn new(mode: RetryMode) -> RetryPolicy {
        RetryPolicy::with_interval(mode, RETRY_INTERVAL_MS)
    }

    /// A policy with another retry interval, in milliseconds. Probe intervals are multiples of it.
    #[must_use]
    pub fn with_interval(mode: RetryMode, interval_ms: u64) -> RetryPolicy {
        RetryPolicy { mode, interval_ms, failed: 0 }
    }

    /// Counts a failed attempt or a lost connection and says what to do next. `random` is 32 random
    /// bits.
    pub fn record_failure(&mut self, random: u32) -> RetryAction {
        self.failed = self.failed.saturating_add(1);
        if self.failed <= RETRIES_MAX {
            return RetryAction::Retry { retry: self.failed, in_ms: self.interval_ms };
        }
        match self.mode {
            RetryMode::Strict => RetryAction::Standby,
            RetryMode::SelfHealing => RetryAction::Probe {
                in_ms: probe_interval_ms(self.interval_ms, self.failed_probes(), random),
            },
        }
    }

    /// Forgets earlier failures, because the box accepted `hello`.
    pub fn record_success(&mut self) {
        self.failed = 0;
    }

    /// Forgets earlier failures, because the user chose *Reconnect*: ten more retries follow.
    pub fn restart(&mut self) {
        self.failed = 0;
    }

    /// Whether all retries have failed.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.failed > RETRIES_MAX
    }

    /// The number of failed probes.
    fn failed_probes(&self) -> u32 {
        self.failed.saturating_sub(RETRIES_MAX + 1)
    }
}

/// The interval before the next probe, after `failed_probes`.
fn probe_interval_ms(interval_ms: u64, failed_probes: u32, random: u32) -> u64 {
    let doubled = 1_u64.checked_shl(failed_probes).and_then(|times| PROBE_FIRST.checked_mul(times));
    let middle = interval_ms.saturating_mul(doubled.map_or(PROBE_LAST, |n| n.min(PROBE_LAST)));
    let spread = middle / JITTER_PART;
    middle - spread + u64::from(random) % (2 * spread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a8_failed_attempts_are_retried_every_ten_seconds() {
        let mut retry = RetryPolicy::new(RetryMode::SelfHealing);
        for n in 1..=RETRIES_MAX {
            assert!(!retry.is_standby());
            assert_eq!(retry.record_failure(n), RetryAction::Retry { retry: n, in_ms: 10_000 });
        }
        retry.record_success();
        assert_eq!(
            retry.record_failure(0),
            RetryAction::Retry { retry: 1, in_ms: 10_000 },
            "after a lost connection"
        );
    }

    #[test]
    fn a9_strict_client_after_ten_retries_waits_for_reconnect() {
        let mut retry = RetryPolicy::new(RetryMode::Strict);
        for _ in 0..RETRIES_MAX {
            assert!(matches!(retry.record_failure(0), RetryAction::Retry { .. }));
        }
        assert_eq!((retry.record_failure(0), retry.is_standby()), (RetryAction::Standby, true));
        assert_eq!(retry.record_failure(0), RetryAction::Standby);
        retry.restart();
        assert!(!retry.is_standby());
        assert_eq!(
            retry.record_failure(0),
            RetryAction::Retry { retry: 1, in_ms: RETRY_INTERVAL_MS }
        );
    }

    #[test]
    fn a9_self_healing_client_doubles_its_probe_interval() {
        let mut retry = RetryPolicy::new(RetryMode::SelfHealing);
        for _ in 0..RETRIES_MAX {
            assert!(matches!(retry.record_failure(0), RetryAction::Retry { .. }));
        }
        let mut middles = Vec::new();
        for _ in 0..100 {
            let RetryAction::Probe { in_ms } = retry.record_failure(0) else { panic!("no probe") };
            assert!(retry.is_standby());
            middles.push(in_ms * 4 / 3);
        }
        assert_eq!(middles[..6], [20_000, 40_000, 80_000, 160_000, 320_000, 600_000]);
        assert_eq!(middles[99], 600_000);
    }

    #[test]
    fn probe_intervals_are_multiples_of_the_retry_interval() {
        let mut retry = RetryPolicy::with_interval(RetryMode::SelfHealing, 100);
        assert_eq!(retry.record_failure(0), RetryAction::Retry { retry: 1, in_ms: 100 });
        for _ in 1..RETRIES_MAX {
            retry.record_failure(0);
        }
        assert_eq!(retry.record_failure(0), RetryAction::Probe { in_ms: 150 });
    }

    #[test]
    fn a9_probe_interval_jitter_is_a_quarter_up_or_down() {
        let pauses: Vec<u64> =
            (0..=10_000).map(|random| probe_interval_ms(RETRY_INTERVAL_MS, 0, random)).collect();
        assert_eq!(pauses.iter().min(), Some(&15_000));
        assert_eq!(pauses.iter().max(), Some(&25_000));
        assert_eq!(probe_interval_ms(RETRY_INTERVAL_MS, u32::MAX, 0), 450_000);
    }
}
