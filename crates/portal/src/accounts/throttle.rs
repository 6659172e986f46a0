//! What guessing costs: a bucket of attempts for each address.
//!
//! An address may try so many times at once, and so often again. Locks of accounts are `tries`, in
//! the database. This is arithmetic over the time it is given; the table is bounded, and whoever
//! was not heard for longest is forgotten first.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Attempts that an address may make at once.
const AT_ONCE: u32 = 20;
/// One more after so many seconds.
const SECONDS_EACH: i64 = 6;
/// Addresses that are remembered.
const ADDRESSES: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    /// When the last one was added.
    since: i64,
}

/// Every address that tried lately.
#[derive(Debug, Default)]
pub struct Throttle(BTreeMap<IpAddr, Bucket>);

impl Throttle {
    /// Takes one attempt of this address; false: it has none left.
    pub fn take(&mut self, address: IpAddr, now: i64) -> bool {
        if self.0.len() >= ADDRESSES && !self.0.contains_key(&address) {
            let oldest = self.0.iter().min_by_key(|(_, bucket)| bucket.since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.0.remove(&oldest);
            }
        }
        let bucket = self.0.entry(address).or_insert(Bucket { left: AT_ONCE, since: now });
        let more = (now - bucket.since).max(0) / SECONDS_EACH;
        bucket.since += more * SECONDS_EACH;
        bucket.left = bucket.left.saturating_add(u32::try_from(more).unwrap_or(AT_ONCE));
        bucket.left = bucket.left.min(AT_ONCE);
        let may = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn c5_an_address_that_tries_too_often_waits() {
        let mut throttle = Throttle::default();
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        assert!((0..AT_ONCE).all(|_| throttle.take(address(1), 100)));
        assert!(!throttle.take(address(1), 100) && throttle.take(address(2), 100));
        assert!(throttle.take(address(1), 100 + SECONDS_EACH));
        assert!(!throttle.take(address(1), 100 + SECONDS_EACH));
        assert!(!throttle.take(address(1), 50), "a clock that steps back gives nothing");
        for n in 3..10_000 {
            throttle.take(address(n), 200);
        }
        assert!(throttle.0.len() <= ADDRESSES);
    }
}
