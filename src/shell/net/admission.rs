//! Admission limits: sessions in total and per address, and the handshake rate.
//!
//! Loopback is limited only by the total. TLS handshakes are rate-limited; connections above the
//! rate wait in the kernel's queue, which costs the daemon nothing. Each address but loopback
//! gets at most a quarter of the rate.
//!
//! A host chooses the last 64 bits of its IPv6 address freely. So an IPv6 network (/64) gets no
//! more of the rate than an address, and at most half of all sessions: a whole office may be in it.
//!
//! This module only counts: `accept` opens and closes
//! connections.

use crate::config::SessionLimits;
use crate::lockout::Network;
use crate::recorder::RejectReason;
use crate::time::MonoTime;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Pending connections that an address may have above its session limit. Such a connection is
/// rejected with a reason after its handshake.
const HANDSHAKES_PER_ADDRESS: u32 = 8;
/// Sessions reserved for the unix socket, so that network clients and unprivileged processes
/// cannot lock out the call feed and the technician.
const LOCAL_SESSIONS_RESERVED: usize = 32;
/// A burst of handshakes is a quarter of a second's allowance.
const BURSTS_PER_SECOND: u64 = 4;
/// Each address gets at most one in this many of the handshakes per second.
const ADDRESS_SHARE_DIVISOR: u32 = 4;
/// An IPv6 network gets at most one in this many of all sessions.
const NETWORK_SHARE_DIVISOR: u32 = 2;
const SECOND_US: u64 = 1_000_000;

/// Connection and handshake counters.
#[derive(Debug, Default)]
pub struct Admission {
    /// Connections by address, except loopback.
    connections: BTreeMap<IpAddr, u32>,
    /// Connections by IPv6 network.
    network_connections: BTreeMap<IpAddr, u32>,
    /// Arrival time of the next handshake at an even rate.
    theoretical_arrival: MonoTime,
    /// Handshakes by IPv4 address or IPv6 network since `second_start`. Bounded by the handshakes
    /// per second.
    handshakes: BTreeMap<IpAddr, u32>,
    second_start: MonoTime,
}

/// Returns the address to count; `None` for loopback.
#[must_use]
pub fn counted_address(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    (!address.is_loopback()).then_some(address)
}

/// The first address of an address's IPv6 network; `None` for IPv4.
fn ipv6_network(address: IpAddr) -> Option<IpAddr> {
    let network = Network::of(address).first_address();
    network.is_ipv6().then_some(network)
}

/// Sessions that an IPv6 network may have.
fn network_sessions_max(limits: &SessionLimits) -> u32 {
    (limits.sessions / NETWORK_SHARE_DIVISOR).max(limits.sessions_per_address)
}

impl Admission {
    /// Returns when the next handshake may begin; `None` means now.
    #[must_use]
    pub fn next_handshake_at(&self, limits: &SessionLimits, now: MonoTime) -> Option<MonoTime> {
        let at = MonoTime(self.theoretical_arrival.0.saturating_sub(SECOND_US / BURSTS_PER_SECOND));
        (limits.handshakes_per_s > 0 && at > now).then_some(at)
    }

    /// Registers a new TLS connection.
    ///
    /// # Errors
    /// The connection exceeds a limit and must be closed.
    pub fn begin_handshake(
        &mut self,
        limits: &SessionLimits,
        now: MonoTime,
        address: Option<IpAddr>,
    ) -> Result<(), RejectReason> {
        if let Some(address) = address {
            let (held, held_by_network) = self.count_held(address);
            let over = |held: u32, most: u32| held >= most.saturating_add(HANDSHAKES_PER_ADDRESS);
            if over(held, limits.sessions_per_address)
                || over(held_by_network, network_sessions_max(limits))
            {
                return Err(RejectReason::Address);
            }
            if now.since_us(self.second_start) >= SECOND_US {
                self.second_start = now;
                self.handshakes.clear();
            }
            let begun = self.handshakes.entry(Network::of(address).first_address()).or_default();
            if *begun >= (limits.handshakes_per_s / ADDRESS_SHARE_DIVISOR).max(1) {
                return Err(RejectReason::Rate);
            }
            *begun += 1;
        }
        let apart = SECOND_US / u64::from(limits.handshakes_per_s.max(1));
        self.theoretical_arrival = MonoTime(self.theoretical_arrival.max(now).0 + apart);
        Ok(())
    }

    /// Checks whether a connection may become a session. `local`: it came over the unix socket
    /// from a process that may say hello.
    ///
    /// # Errors
    /// The limit reached; the client must be told and closed.
    pub fn admit_session(
        &self,
        limits: &SessionLimits,
        sessions: usize,
        (address, local): (Option<IpAddr>, bool),
    ) -> Result<(), RejectReason> {
        let most = usize::try_from(limits.sessions).unwrap_or(usize::MAX);
        if sessions >= if local { most.saturating_add(LOCAL_SESSIONS_RESERVED) } else { most } {
            return Err(RejectReason::Sessions);
        }
        let (held, held_by_network) = address.map_or((0, 0), |address| self.count_held(address));
        let is_over =
            held > limits.sessions_per_address || held_by_network > network_sessions_max(limits);
        if is_over { Err(RejectReason::Address) } else { Ok(()) }
    }

    /// Connections of an address and of its IPv6 network.
    fn count_held(&self, address: IpAddr) -> (u32, u32) {
        let network =
            ipv6_network(address).and_then(|network| self.network_connections.get(&network));
        let own = self.connections.get(&address);
        (own.copied().unwrap_or(0), network.copied().unwrap_or(0))
    }

    /// Counts an accepted connection.
    pub fn add_connection(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        *self.connections.entry(address).or_default() += 1;
        if let Some(network) = ipv6_network(address) {
            *self.network_connections.entry(network).or_default() += 1;
        }
    }

    /// Uncounts a closed connection.
    pub fn remove_connection(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        decrement(&mut self.connections, address);
        if let Some(network) = ipv6_network(address) {
            decrement(&mut self.network_connections, network);
        }
    }
}

fn decrement(counts: &mut BTreeMap<IpAddr, u32>, address: IpAddr) {
    if let Some(held) = counts.get_mut(&address) {
        *held = held.saturating_sub(1);
        if *held == 0 {
            counts.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const LIMITS: SessionLimits =
        SessionLimits { sessions: 100, sessions_per_address: 3, handshakes_per_s: 40 };

    fn test_address(last: u8) -> Option<IpAddr> {
        counted_address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)))
    }

    #[test]
    fn h4_an_address_has_so_many_sessions_and_loopback_as_many_as_all() {
        let mut admission = Admission::default();
        for _ in 0..3 {
            admission.add_connection(test_address(1));
            assert_eq!(admission.admit_session(&LIMITS, 0, (test_address(1), false)), Ok(()));
        }
        admission.add_connection(test_address(1));
        assert_eq!(
            admission.admit_session(&LIMITS, 0, (test_address(1), false)),
            Err(RejectReason::Address)
        );
        assert_eq!(admission.admit_session(&LIMITS, 0, (test_address(2), false)), Ok(()));
        assert_eq!(
            admission.admit_session(&LIMITS, 100, (test_address(2), false)),
            Err(RejectReason::Sessions)
        );
        assert_eq!(admission.admit_session(&LIMITS, 131, (None, true)), Ok(()));
        assert_eq!(
            admission.admit_session(&LIMITS, 132, (None, true)),
            Err(RejectReason::Sessions)
        );
        admission.remove_connection(test_address(1));
        assert_eq!(admission.admit_session(&LIMITS, 0, (test_address(1), false)), Ok(()));
        assert_eq!(counted_address("::ffff:127.0.0.1".parse().unwrap()), None);
        for _ in 0..3 {
            admission.remove_connection(test_address(1));
        }
        assert!(admission.connections.is_empty());
    }

    #[test]
    fn h4_one_ipv6_network_takes_neither_all_sessions_nor_more_handshakes_than_an_address() {
        let mut admission = Admission::default();
        let host = |n: u32| counted_address(format!("2001:db8:1:2:{n:x}::{n:x}").parse().unwrap());
        let neighbour = counted_address("2001:db8:1:3::1".parse().unwrap());
        let admitted = (1..=200).filter(|n| {
            admission.add_connection(host(*n));
            admission.admit_session(&LIMITS, 0, (host(*n), false)).is_ok()
        });
        assert_eq!(admitted.count(), 50, "half of all, though each address has one");
        assert_eq!(admission.admit_session(&LIMITS, 50, (neighbour, false)), Ok(()));
        (1..=200).for_each(|n| admission.remove_connection(host(n)));
        assert!(admission.connections.is_empty() && admission.network_connections.is_empty());
        let now = MonoTime(SECOND_US);
        let begun = (1..=30).filter(|n| admission.begin_handshake(&LIMITS, now, host(*n)).is_ok());
        assert_eq!(begun.count(), 10, "a quarter of the rate");
        assert_eq!(admission.begin_handshake(&LIMITS, now, neighbour), Ok(()));
    }

    #[test]
    fn h4_handshakes_come_no_faster_than_they_may() {
        let mut admission = Admission::default();
        let (mut now, mut begun) = (MonoTime(SECOND_US), 0);
        while now.0 < 11 * SECOND_US {
            match admission.next_handshake_at(&LIMITS, now) {
                Some(at) => {
                    assert!(at > now && at.since_ms(now) <= 1000 / 40 + 1);
                    now = at;
                }
                None => {
                    admission.begin_handshake(&LIMITS, now, None).unwrap();
                    begun += 1;
                }
            }
        }
        assert!((400..=411).contains(&begun), "{begun} in ten seconds");
    }

    #[test]
    fn h4_one_address_does_not_use_up_what_is_for_all() {
        let mut admission = Admission::default();
        let now = MonoTime(SECOND_US);
        let all: Vec<_> =
            (0..20).map(|_| admission.begin_handshake(&LIMITS, now, test_address(1))).collect();
        assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 10);
        assert_eq!(all[19], Err(RejectReason::Rate));
        assert_eq!(admission.begin_handshake(&LIMITS, now, test_address(2)), Ok(()));
        assert_eq!(admission.begin_handshake(&LIMITS, now.after_ms(1000), test_address(1)), Ok(()));
    }
}
