//! Limits on attempts: a bucket of them for each address, or for each account.
//!
//! An address may guess so many times at once, and so often again; an account gets so many letters.
//! Locks of accounts are `tries`, in the database. This is arithmetic over the time it is given;
//! the table is bounded, and the bucket that was not used for longest is forgotten first.

use std::collections::BTreeMap;

/// How many attempts there are.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// So many at once.
    pub at_once: u32,
    /// One more after so many seconds.
    pub seconds_each: i64,
}

/// What one address may try that could be guessed.
pub const GUESSES: Limit = Limit { at_once: 20, seconds_each: 6 };
/// Letters to one account. A flood would hide the one that the user asked for.
pub const LETTERS: Limit = Limit { at_once: 1, seconds_each: 60 };
/// Buckets that are remembered.
const BUCKETS: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    /// When the last one was added.
    since: i64,
}

/// Everyone who tried lately, by what names them.
#[derive(Debug)]
pub struct Throttle<K> {
    limit: Limit,
    buckets: BTreeMap<K, Bucket>,
}

impl<K: Clone + Ord> Throttle<K> {
    #[must_use]
    pub fn new(limit: Limit) -> Throttle<K> {
        Throttle { limit, buckets: BTreeMap::new() }
    }

    /// Takes one attempt of `key`; false: it has none left.
    pub fn take(&mut self, key: K, now: i64) -> bool {
        if self.buckets.len() >= BUCKETS && !self.buckets.contains_key(&key) {
            let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.since);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.buckets.remove(&oldest);
            }
        }
        let Limit { at_once, seconds_each } = self.limit;
        let bucket = self.buckets.entry(key).or_insert(Bucket { left: at_once, since: now });
        let more = (now - bucket.since).max(0) / seconds_each;
        bucket.since += more * seconds_each;
        bucket.left = bucket.left.saturating_add(u32::try_from(more).unwrap_or(at_once));
        if bucket.left >= at_once {
            // Nothing is saved up beyond that.
            (bucket.left, bucket.since) = (at_once, bucket.since.max(now));
        }
        let may = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn c5_an_address_that_tries_too_often_waits() {
        let mut throttle = Throttle::new(GUESSES);
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        let each = GUESSES.seconds_each;
        assert!((0..GUESSES.at_once).all(|_| throttle.take(address(1), 100)));
        assert!(!throttle.take(address(1), 100) && throttle.take(address(2), 100));
        assert!(throttle.take(address(1), 100 + each));
        assert!(!throttle.take(address(1), 100 + each));
        assert!(!throttle.take(address(1), 50), "a clock that steps back gives nothing");
        for n in 3..10_000 {
            throttle.take(address(n), 200);
        }
        assert!(throttle.buckets.len() <= BUCKETS);
    }

    #[test]
    fn c4_an_account_gets_one_letter_a_minute() {
        let mut letters = Throttle::new(LETTERS);
        assert!(letters.take("jdoe", 100) && letters.take("asmith", 100));
        assert!((101..160).all(|now| !letters.take("jdoe", now)));
        assert!(letters.take("jdoe", 160) && !letters.take("jdoe", 161));
        assert!(letters.take("jdoe", 499) && !letters.take("jdoe", 520), "a full minute again");
        assert!(!letters.take("jdoe", 558) && letters.take("jdoe", 559));
    }
}
