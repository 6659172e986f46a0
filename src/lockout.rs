//! Lockouts against guessing: wrong PINs and wrong enrolment codes, per source.
//!
//! Consecutive wrong guesses lock out their source for one minute, then two, then four, up to an
//! hour. A correct guess resets the count. Lockouts are per source, so an attacker cannot lock
//! out other clients. This module does not compare secrets: see `enrolment_code`, and the worker
//! that checks PINs.

use crate::limits;
use crate::time::MonoTime;
use heapless::LinearMap;
use std::net::{IpAddr, Ipv6Addr};

/// Bits of an IPv6 address that identify the network; a host chooses the rest freely.
const NETWORK_BITS: u32 = 64;

/// Source network of an address: the IPv4 address, or the IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpAddr);

impl Network {
    #[must_use]
    pub fn of(address: IpAddr) -> Network {
        Network(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & u128::MAX << (128 - NETWORK_BITS);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            v4 => v4,
        })
    }

    /// The IPv4 address, or the first address of the IPv6 network.
    #[must_use]
    pub fn first_address(self) -> IpAddr {
        self.0
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(out, "{v4}"),
            IpAddr::V6(v6) => write!(out, "{v6}/{NETWORK_BITS}"),
        }
    }
}

/// Wrong guesses of one source.
#[derive(Clone, Copy, Debug, Default)]
struct Lockout {
    failures: u32,
    lock_count: u32,
    locked_until: MonoTime,
    last: MonoTime,
}

impl Lockout {
    /// Time since which the source has neither guessed wrong nor been locked out; in the future
    /// during a lockout.
    fn quiet_since(&self) -> MonoTime {
        self.last.max(self.locked_until)
    }
}

/// Counts wrong guesses per source and locks sources out. When it is full, the source that has
/// been quiet longest is dropped.
#[derive(Debug)]
pub struct Lockouts<S: Eq> {
    sources: LinearMap<S, Lockout, { limits::GUESSERS_MAX }>,
}

impl<S: Eq> Default for Lockouts<S> {
    fn default() -> Lockouts<S> {
        Lockouts { sources: LinearMap::new() }
    }
}

impl<S: Clone + Eq> Lockouts<S> {
    /// Whether the source is locked out, so that no guess is compared.
    #[must_use]
    pub fn is_locked(&self, now: MonoTime, source: &S) -> bool {
        self.sources.get(source).is_some_and(|guesses| now < guesses.locked_until)
    }

    /// Wrong guesses of this source since its last correct one or its last lockout.
    #[must_use]
    pub fn failure_count(&self, source: &S) -> u32 {
        self.sources.get(source).map_or(0, |guesses| guesses.failures)
    }

    /// Counts a wrong guess. Returns the lockout in milliseconds if it causes one.
    pub fn count_failure(&mut self, now: MonoTime, source: &S) -> Option<u64> {
        let is_old = |guesses: &Lockout| now.since_ms(guesses.quiet_since()) >= limits::GUESSER_MS;
        self.sources.retain(|_, guesses| !is_old(guesses));
        if self.sources.is_full() && !self.sources.contains_key(source) {
            let quietest = self.sources.iter().min_by_key(|(_, guesses)| guesses.quiet_since());
            if let Some(quietest) = quietest.map(|(source, _)| source.clone()) {
                self.sources.remove(&quietest);
            }
        }
        if !self.sources.contains_key(source) {
            drop(self.sources.insert(source.clone(), Lockout::default()));
        }
        let guesses = self.sources.get_mut(source)?;
        guesses.last = now;
        guesses.failures += 1;
        if guesses.failures < limits::LOCKOUT_ATTEMPTS {
            return None;
        }
        let ms = limits::LOCKOUT_MS.saturating_mul(1 << guesses.lock_count.min(16));
        let ms = ms.min(limits::LOCKOUT_MS_MAX);
        guesses.lock_count = guesses.lock_count.saturating_add(1);
        guesses.failures = 0;
        guesses.locked_until = now.after_ms(ms);
        Some(ms)
    }

    /// Records a correct guess and resets its source.
    pub fn reset(&mut self, source: &S) {
        self.sources.remove(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h4_any_number_of_networks_guess_and_the_worst_stay_locked() {
        let mut lockouts = Lockouts::default();
        let mut now = MonoTime(1);
        let worst = "worst".to_owned();
        let guess = |lockouts: &mut Lockouts<String>, now, source: &String| {
            (0..limits::LOCKOUT_ATTEMPTS).filter_map(|_| lockouts.count_failure(now, source)).last()
        };
        for minutes in [1, 2, 4, 8, 16, 32, 60] {
            assert_eq!(guess(&mut lockouts, now, &worst), Some(minutes * 60_000));
            now = now.after_ms(minutes * 60_000);
        }
        assert_eq!(guess(&mut lockouts, now, &worst), Some(3_600_000));
        for number in 0..4 * limits::GUESSERS_MAX {
            now = MonoTime(now.0 + 1);
            assert_eq!(lockouts.count_failure(now, &format!("passer-by {number}")), None);
        }
        assert_eq!(lockouts.sources.len(), limits::GUESSERS_MAX);
        assert!(lockouts.is_locked(now, &worst), "a source that is locked out keeps its place");
        assert_eq!(lockouts.failure_count(&"passer-by 0".to_owned()), 0, "forgotten");
    }

    #[test]
    fn a_source_is_forgotten_after_a_day_of_quiet() {
        let mut lockouts = Lockouts::default();
        assert_eq!(lockouts.count_failure(MonoTime(0), &1), None);
        let day = MonoTime(0).after_ms(limits::GUESSER_MS);
        assert_eq!(lockouts.count_failure(MonoTime(day.0 - 1), &2), None);
        assert_eq!(lockouts.failure_count(&1), 1);
        assert_eq!(lockouts.count_failure(day, &2), None);
        assert_eq!((lockouts.failure_count(&1), lockouts.failure_count(&2)), (0, 2));
    }

    #[test]
    fn addresses_count_by_network() {
        for (text, shown) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("fe80::1", "fe80::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(Network::of(text.parse().unwrap()).to_string(), shown);
        }
    }
}
