//! When a box that cannot be reached is tried again (requirements A7 to A9).
//!
//! The first attempt comes at launch; after a failure, or when the link drops, there is a retry
//! every 10 s. After ten failed retries the client is in *standby*. With `RetryMode::SelfHealing`
//! it then keeps probing quietly, ever more rarely and spread by jitter, so that a thousand clients
//! do not come back in one second; with `RetryMode::Strict` only a person's *Reconnect* tries
//! again. One attempt is all servers in order.
//!
//! This is arithmetic: no clock, no socket, and the random bits of the jitter are passed in.

/// Between two retries, milliseconds.
pub const RETRY_MS: u64 = 10_000;
/// So many failed retries lead to standby.
pub const RETRIES: u32 = 10;

/// The first pause between probes in standby, in pauses between retries; each is twice the last.
const PROBE_FIRST: u64 = 2;
/// The longest, but for jitter: with retries every 10 s, ten minutes.
const PROBE_LAST: u64 = 60;
/// Jitter takes away or adds at most a quarter.
const JITTER_PART: u64 = 4;

const _: () = assert!(PROBE_FIRST - PROBE_FIRST / JITTER_PART > 1);
const _: () = assert!(PROBE_FIRST < PROBE_LAST);

/// What happens in standby (A9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryMode {
    /// It comes back by itself.
    #[default]
    SelfHealing,
    /// *Reconnect* is the only way.
    Strict,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Retry number `retry` of `RETRIES` comes in so many milliseconds; say so.
    Retry {
        /// From 1.
        retry: u32,
        /// Milliseconds from now.
        in_ms: u64,
    },
    /// Standby; a quiet probe comes in so many milliseconds.
    Probe {
        /// Milliseconds from now.
        in_ms: u64,
    },
    /// Standby, until somebody asks for *Reconnect*.
    Standby,
}

/// How often it has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    mode: RetryMode,
    /// Between two retries, milliseconds.
    every_ms: u64,
    /// Attempts that failed since the last success or *Reconnect*, the first one included.
    failed: u32,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry::new(RetryMode::default())
    }
}

impl Retry {
    /// Before the first attempt.
    #[must_use]
    pub fn new(mode: RetryMode) -> Retry {
        Retry::every(mode, RETRY_MS)
    }

    /// The same with another pause between retries, milliseconds; those in standby go with it.
    #[must_use]
    pub fn every(mode: RetryMode, every_ms: u64) -> Retry {
        Retry { mode, every_ms, failed: 0 }
    }

    /// An attempt failed, or the link dropped. `random`: any 32 random bits.
    pub fn failed(&mut self, random: u32) -> Next {
        self.failed = self.failed.saturating_add(1);
        if self.failed <= RETRIES {
            return Next::Retry { retry: self.failed, in_ms: self.every_ms };
        }
        match self.mode {
            RetryMode::Strict => Next::Standby,
            RetryMode::SelfHealing => {
                Next::Probe { in_ms: probe_ms(self.every_ms, self.probes(), random) }
            }
        }
    }

    /// The box said hello: all is forgotten.
    pub fn connected(&mut self) {
        self.failed = 0;
    }

    /// Somebody asked for *Reconnect*: try now; a failure starts ten retries anew.
    pub fn reconnect(&mut self) {
        self.failed = 0;
    }

    /// Whether ten retries have failed.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.failed > RETRIES
    }

    /// Probes that failed.
    fn probes(&self) -> u32 {
        self.failed.saturating_sub(RETRIES + 1)
    }
}

/// The pause before the next probe, after `probes` failed ones.
fn probe_ms(every_ms: u64, probes: u32, random: u32) -> u64 {
    let doubled = 1_u64.checked_shl(probes).and_then(|times| PROBE_FIRST.checked_mul(times));
    let middle = every_ms.saturating_mul(doubled.map_or(PROBE_LAST, |n| n.min(PROBE_LAST)));
    let spread = middle / JITTER_PART;
    middle - spread + u64::from(random) % (2 * spread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a8_a_failure_is_retried_every_ten_seconds() {
        let mut retry = Retry::new(RetryMode::SelfHealing);
        for n in 1..=RETRIES {
            assert!(!retry.is_standby());
            assert_eq!(retry.failed(n), Next::Retry { retry: n, in_ms: 10_000 });
        }
        retry.connected();
        assert_eq!(retry.failed(0), Next::Retry { retry: 1, in_ms: 10_000 }, "the link dropped");
    }

    #[test]
    fn a9_after_ten_failed_retries_strict_waits_for_reconnect() {
        let mut retry = Retry::new(RetryMode::Strict);
        for _ in 0..RETRIES {
            assert!(matches!(retry.failed(0), Next::Retry { .. }));
        }
        assert_eq!((retry.failed(0), retry.is_standby()), (Next::Standby, true));
        assert_eq!(retry.failed(0), Next::Standby);
        retry.reconnect();
        assert!(!retry.is_standby());
        assert_eq!(retry.failed(0), Next::Retry { retry: 1, in_ms: RETRY_MS });
    }

    #[test]
    fn a9_self_healing_probes_ever_more_rarely() {
        let mut retry = Retry::new(RetryMode::SelfHealing);
        for _ in 0..RETRIES {
            assert!(matches!(retry.failed(0), Next::Retry { .. }));
        }
        let mut middles = Vec::new();
        for _ in 0..100 {
            let Next::Probe { in_ms } = retry.failed(0) else { panic!("no probe") };
            assert!(retry.is_standby());
            middles.push(in_ms * 4 / 3);
        }
        assert_eq!(middles[..6], [20_000, 40_000, 80_000, 160_000, 320_000, 600_000]);
        assert_eq!(middles[99], 600_000);
    }

    #[test]
    fn all_pauses_go_with_that_between_retries() {
        let mut retry = Retry::every(RetryMode::SelfHealing, 100);
        assert_eq!(retry.failed(0), Next::Retry { retry: 1, in_ms: 100 });
        for _ in 1..RETRIES {
            retry.failed(0);
        }
        assert_eq!(retry.failed(0), Next::Probe { in_ms: 150 });
    }

    #[test]
    fn a9_jitter_spreads_over_half_the_pause() {
        let pauses: Vec<u64> = (0..=10_000).map(|random| probe_ms(RETRY_MS, 0, random)).collect();
        assert_eq!(pauses.iter().min(), Some(&15_000));
        assert_eq!(pauses.iter().max(), Some(&25_000));
        assert_eq!(probe_ms(RETRY_MS, u32::MAX, 0), 450_000);
    }
}
