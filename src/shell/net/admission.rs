//! How many may come: sessions in all and per address, and how fast handshakes begin.
//!
//! Loopback may have as many as there are in all. TLS handshakes begin at most so many a second;
//! who comes too fast waits in the kernel's queue, which costs nothing, and no address but loopback
//! has more than a quarter of them. Nothing here accepts or closes anything.

use crate::config::Limits;
use crate::recorder::TurnedAway;
use crate::time::Mono;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// An address may have so many connections more, while they are no sessions yet: whoever is one too
/// many is told so after the handshake.
const HANDSHAKES_PER_ADDRESS: u32 = 8;
/// Kept for the unix socket: the PBX's feed and the technician come in however many have come over
/// the network.
const LOCAL_SESSIONS: usize = 32;
/// Handshakes may come in bursts of a quarter of a second.
const BURSTS_A_SECOND: u64 = 4;
/// No address has more than this part of the handshakes of a second.
const ADDRESS_PART: u32 = 4;
const SECOND_US: u64 = 1_000_000;

/// Who holds what.
#[derive(Debug, Default)]
pub struct Admission {
    /// Connections by address, but for loopback.
    held: BTreeMap<IpAddr, u32>,
    /// When the next handshake would be due if they came evenly.
    even: Mono,
    /// Handshakes by address since `second` began; never more than fit into a second.
    begun: BTreeMap<IpAddr, u32>,
    second: Mono,
}

/// Whether an address is counted.
#[must_use]
pub fn counted(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    (!address.is_loopback()).then_some(address)
}

impl Admission {
    /// When the next handshake may begin, if not now.
    #[must_use]
    pub fn wait(&self, limits: &Limits, now: Mono) -> Option<Mono> {
        let at = Mono(self.even.0.saturating_sub(SECOND_US / BURSTS_A_SECOND));
        (limits.handshakes_per_s > 0 && at > now).then_some(at)
    }

    /// A connection that wants TLS came.
    ///
    /// # Errors
    /// It is to be closed.
    pub fn begin(
        &mut self,
        limits: &Limits,
        now: Mono,
        address: Option<IpAddr>,
    ) -> Result<(), TurnedAway> {
        if let Some(address) = address {
            let held = self.held.get(&address).copied().unwrap_or(0);
            if held >= limits.sessions_per_address.saturating_add(HANDSHAKES_PER_ADDRESS) {
                return Err(TurnedAway::Address);
            }
            if now.since_us(self.second) >= SECOND_US {
                self.second = now;
                self.begun.clear();
            }
            let begun = self.begun.entry(address).or_default();
            if *begun >= (limits.handshakes_per_s / ADDRESS_PART).max(1) {
                return Err(TurnedAway::Rate);
            }
            *begun += 1;
        }
        let apart = SECOND_US / u64::from(limits.handshakes_per_s.max(1));
        self.even = Mono(self.even.max(now).0 + apart);
        Ok(())
    }

    /// Whether it may become a session, while there are so many. `local`: it came over the unix
    /// socket.
    ///
    /// # Errors
    /// It is to be told so, and closed.
    pub fn admit(
        &self,
        limits: &Limits,
        sessions: usize,
        (address, local): (Option<IpAddr>, bool),
    ) -> Result<(), TurnedAway> {
        let most = usize::try_from(limits.sessions).unwrap_or(usize::MAX);
        if sessions >= if local { most.saturating_add(LOCAL_SESSIONS) } else { most } {
            return Err(TurnedAway::Sessions);
        }
        let held = address.and_then(|address| self.held.get(&address));
        if held.is_some_and(|held| *held > limits.sessions_per_address) {
            return Err(TurnedAway::Address);
        }
        Ok(())
    }

    /// A connection is kept.
    pub fn enter(&mut self, address: Option<IpAddr>) {
        if let Some(address) = address {
            *self.held.entry(address).or_default() += 1;
        }
    }

    /// A connection that was kept is over.
    pub fn leave(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        if let Some(held) = self.held.get_mut(&address) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const LIMITS: Limits = Limits { sessions: 100, sessions_per_address: 3, handshakes_per_s: 40 };

    fn address(last: u8) -> Option<IpAddr> {
        counted(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)))
    }

    #[test]
    fn h4_an_address_has_so_many_sessions_and_loopback_as_many_as_all() {
        let mut admission = Admission::default();
        for _ in 0..3 {
            admission.enter(address(1));
            assert_eq!(admission.admit(&LIMITS, 0, (address(1), false)), Ok(()));
        }
        admission.enter(address(1));
        assert_eq!(admission.admit(&LIMITS, 0, (address(1), false)), Err(TurnedAway::Address));
        assert_eq!(admission.admit(&LIMITS, 0, (address(2), false)), Ok(()));
        assert_eq!(admission.admit(&LIMITS, 100, (address(2), false)), Err(TurnedAway::Sessions));
        assert_eq!(admission.admit(&LIMITS, 131, (None, true)), Ok(()));
        assert_eq!(admission.admit(&LIMITS, 132, (None, true)), Err(TurnedAway::Sessions));
        admission.leave(address(1));
        assert_eq!(admission.admit(&LIMITS, 0, (address(1), false)), Ok(()));
        assert_eq!(counted("::ffff:127.0.0.1".parse().unwrap()), None);
        for _ in 0..3 {
            admission.leave(address(1));
        }
        assert!(admission.held.is_empty());
    }

    #[test]
    fn h4_handshakes_come_no_faster_than_they_may() {
        let mut admission = Admission::default();
        let (mut now, mut begun) = (Mono(SECOND_US), 0);
        while now.0 < 11 * SECOND_US {
            match admission.wait(&LIMITS, now) {
                Some(at) => {
                    assert!(at > now && at.since_ms(now) <= 1000 / 40 + 1);
                    now = at;
                }
                None => {
                    admission.begin(&LIMITS, now, None).unwrap();
                    begun += 1;
                }
            }
        }
        assert!((400..=411).contains(&begun), "{begun} in ten seconds");
    }

    #[test]
    fn h4_one_address_does_not_use_up_what_is_for_all() {
        let mut admission = Admission::default();
        let now = Mono(SECOND_US);
        let all: Vec<_> = (0..20).map(|_| admission.begin(&LIMITS, now, address(1))).collect();
        assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 10);
        assert_eq!(all[19], Err(TurnedAway::Rate));
        assert_eq!(admission.begin(&LIMITS, now, address(2)), Ok(()));
        assert_eq!(admission.begin(&LIMITS, now.after_ms(1000), address(1)), Ok(()));
    }
}
