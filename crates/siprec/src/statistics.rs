//! Counters for each peer. They never stop a message.

use crate::limits::PEERS_MAX;
use crate::message::Method;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// What was counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// At most `PEERS_MAX`: the one not seen for longest gives way to a new one.
    pub peers: BTreeMap<IpAddr, PeerStatistics>,
    /// Messages that could not be read, of all peers.
    pub unreadable: u64,
    /// Problems that were not told, because too many waited.
    pub problems_untold: u64,
    /// Sessions that exist now.
    pub sessions: usize,
    /// Server transactions that exist now.
    pub transactions: usize,
}

/// The counters of one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerStatistics {
    /// Requests by `Method::ALL`, without repetitions.
    pub requests: [u64; Method::ALL.len()],
    /// Responses of ours by class: `[0]` is 1xx, `[5]` is 6xx.
    pub responses: [u64; 6],
    /// Requests that were repeated.
    pub repeated: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// New sessions that were refused because they came too fast.
    pub rate_exceeded: u64,
    /// When the last message came, by the clock of the host.
    pub seen: Duration,
    /// Since when new sessions are counted, and how many came.
    window: (Duration, u32),
}

impl PeerStatistics {
    /// How many requests of a method came.
    #[must_use]
    pub fn requests_of(&self, method: Method) -> u64 {
        let place = Method::ALL.iter().position(|listed| *listed == method);
        place.and_then(|place| self.requests.get(place)).copied().unwrap_or(0)
    }

    /// Counts a new session. Returns how many came in this second.
    pub(crate) fn count_invite(&mut self, now: Duration) -> u32 {
        if now >= self.window.0 + Duration::from_secs(1) {
            self.window = (now, 0);
        }
        self.window.1 = self.window.1.saturating_add(1);
        self.window.1
    }
}

impl Statistics {
    /// The counters of a peer. A new peer may push out the one not seen for longest.
    pub(crate) fn peer_mut(&mut self, address: IpAddr, now: Duration) -> &mut PeerStatistics {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&address) {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.seen);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.peers.remove(&oldest);
            }
        }
        let peer = self.peers.entry(address).or_default();
        peer.seen = now;
        peer
    }

    pub(crate) fn count_request(&mut self, address: IpAddr, now: Duration, method: Method) {
        let place = Method::ALL.iter().position(|listed| *listed == method);
        let peer = self.peer_mut(address, now);
        if let Some(count) = place.and_then(|place| peer.requests.get_mut(place)) {
            *count += 1;
        }
    }

    pub(crate) fn count_response(&mut self, address: IpAddr, now: Duration, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(count) = self.peer_mut(address, now).responses.get_mut(class) {
            *count += 1;
        }
    }
}
