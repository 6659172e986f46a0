//! Rate limits: a token bucket for each address or account.
//!
//! Login attempts are limited by network, e-mails by account. An IPv6 network (/64) counts as one
//! address, because its hosts choose the rest freely. Account lockouts are in `lockout`.
//! The caller passes the time. The table is bounded and drops the least recently used bucket first.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Parameters of a token bucket.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Attempts allowed in a burst.
    pub burst: u32,
    /// Seconds until one more attempt is allowed.
    pub refill_s: i64,
}

/// Limit of login and token attempts per address.
pub const GUESS_LIMIT: RateLimit = RateLimit { burst: 20, refill_s: 6 };
/// Limit of e-mails per account. A flood would hide the e-mail that the user asked for.
pub const MAIL_LIMIT: RateLimit = RateLimit { burst: 1, refill_s: 60 };
/// Bits of an IPv6 address that identify the network.
const NETWORK_BITS: u32 = 64;
/// Number of buckets kept.
const BUCKETS_MAX: usize = 4096;

/// The address to count: of IPv6, the first of its network.
#[must_use]
pub fn counted_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX << (128 - NETWORK_BITS)))
        }
        v4 => v4,
    }
}

#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    tokens: u32,
    /// Time of the last refill.
    refilled_at: i64,
}

/// Token buckets by key.
#[derive(Debug)]
pub struct Throttle<K> {
    limit: RateLimit,
    buckets: BTreeMap<K, TokenBucket>,
}

impl<K: Clone + Ord> Throttle<K> {
    #[must_use]
    pub fn new(limit: RateLimit) -> Throttle<K> {
        Throttle { limit, buckets: BTreeMap::new() }
    }

    /// Takes one attempt of `key`. Returns false if its bucket is empty.
    pub fn try_acquire(&mut self, key: K, now: i64) -> bool {
        if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&key) {
            let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.refilled_at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.buckets.remove(&oldest);
            }
        }
        let RateLimit { burst: at_once, refill_s: seconds_each } = self.limit;
        let bucket =
            self.buckets.entry(key).or_insert(TokenBucket { tokens: at_once, refilled_at: now });
        let more = (now - bucket.refilled_at).max(0) / seconds_each;
        bucket.refilled_at += more * seconds_each;
        bucket.tokens = bucket.tokens.saturating_add(u32::try_from(more).unwrap_or(at_once));
        if bucket.tokens >= at_once {
            // A full bucket does not accumulate more.
            (bucket.tokens, bucket.refilled_at) = (at_once, bucket.refilled_at.max(now));
        }
        let may = bucket.tokens > 0;
        bucket.tokens = bucket.tokens.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn c5_an_address_that_tries_too_often_waits() {
        let mut throttle = Throttle::new(GUESS_LIMIT);
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        let each = GUESS_LIMIT.refill_s;
        assert!((0..GUESS_LIMIT.burst).all(|_| throttle.try_acquire(address(1), 100)));
        assert!(!throttle.try_acquire(address(1), 100) && throttle.try_acquire(address(2), 100));
        assert!(throttle.try_acquire(address(1), 100 + each));
        assert!(!throttle.try_acquire(address(1), 100 + each));
        assert!(!throttle.try_acquire(address(1), 50), "a clock that steps back gives nothing");
        for n in 3..10_000 {
            throttle.try_acquire(address(n), 200);
        }
        assert!(throttle.buckets.len() <= BUCKETS_MAX);
    }

    #[test]
    fn c5_all_addresses_of_an_ipv6_network_share_one_bucket() {
        let counted = |text: &str| counted_address(text.parse().expect("an address")).to_string();
        assert_eq!(counted("2001:db8:1:2:aaaa::1"), counted("2001:db8:1:2:bbbb::2"));
        assert_ne!(counted("2001:db8:1:2::1"), counted("2001:db8:1:3::1"));
        assert_eq!(counted("::ffff:192.0.2.1"), "192.0.2.1");
        assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
    }

    #[test]
    fn c4_an_account_gets_one_letter_a_minute() {
        let mut letters = Throttle::new(MAIL_LIMIT);
        assert!(letters.try_acquire("jdoe", 100) && letters.try_acquire("asmith", 100));
        assert!((101..160).all(|now| !letters.try_acquire("jdoe", now)));
        assert!(letters.try_acquire("jdoe", 160) && !letters.try_acquire("jdoe", 161));
        assert!(
            letters.try_acquire("jdoe", 499) && !letters.try_acquire("jdoe", 520),
            "a full minute again"
        );
        assert!(!letters.try_acquire("jdoe", 558) && letters.try_acquire("jdoe", 559));
    }
}
