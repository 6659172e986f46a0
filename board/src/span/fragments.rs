//! IP packets that were sent in fragments, put together again.
//!
//! A SIP INVITE with metadata is longer than a frame, so a mirror port sees it in pieces. At most
//! `PACKETS_MAX` packets wait, each for `WAIT_US` at most; the oldest gives way.

use etherparse::defrag::IpDefragBuf;
use etherparse::{IpFragOffset, IpNumber};
use std::net::IpAddr;

/// Packets that wait for fragments. Each needs at most 64 KiB.
const PACKETS_MAX: usize = 64;

/// How long a packet waits for its fragments, in microseconds.
const WAIT_US: u64 = 2_000_000;

/// What the fragments of one packet have in common (RFC 791, RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FragmentKey {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub identification: u32,
    pub ip_number: IpNumber,
}

/// One fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub offset: IpFragOffset,
    pub has_more: bool,
    pub payload: &'a [u8],
}

pub(super) struct FragmentTable {
    /// Oldest first.
    waiting: Vec<(FragmentKey, u64, IpDefragBuf)>,
    /// Packets that were given up.
    pub given_up: u64,
}

impl FragmentTable {
    pub fn new() -> FragmentTable {
        FragmentTable { waiting: Vec::with_capacity(PACKETS_MAX), given_up: 0 }
    }

    /// Adds a fragment. Returns the payload of its packet if that is complete.
    pub fn add(
        &mut self,
        now_us: u64,
        key: FragmentKey,
        fragment: Fragment<'_>,
    ) -> Option<Vec<u8>> {
        let old = |began_us: u64| now_us.saturating_sub(began_us) > WAIT_US;
        let expired = self.waiting.iter().take_while(|(_, began_us, _)| old(*began_us)).count();
        self.waiting.drain(..expired);
        self.given_up += crate::to_count(expired);
        let found = self.waiting.iter().position(|(waiting, _, _)| *waiting == key);
        let index = found.unwrap_or_else(|| {
            if self.waiting.len() == PACKETS_MAX {
                self.waiting.remove(0);
                self.given_up += 1;
            }
            let empty = IpDefragBuf::new(key.ip_number, Vec::new(), Vec::new());
            self.waiting.push((key, now_us, empty));
            self.waiting.len() - 1
        });
        let buffer = &mut self.waiting[index].2;
        if buffer.add(fragment.offset, fragment.has_more, fragment.payload).is_err() {
            // Fragments that contradict each other make no packet.
            self.waiting.remove(index);
            self.given_up += 1;
            return None;
        }
        if !buffer.is_complete() {
            return None;
        }
        Some(self.waiting.remove(index).2.take_bufs().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(identification: u32) -> FragmentKey {
        let ip = IpAddr::from([192, 0, 2, 1]);
        FragmentKey { source: ip, destination: ip, identification, ip_number: IpNumber::UDP }
    }

    fn fragment(offset: u16, has_more: bool, payload: &[u8]) -> Fragment<'_> {
        let offset = IpFragOffset::try_new(offset / 8).unwrap();
        Fragment { offset, has_more, payload }
    }

    #[test]
    fn fragments_in_any_order_make_one_packet() {
        let mut table = FragmentTable::new();
        let (a, b, c) = ([1; 16], [2; 8], [3; 5]);
        assert_eq!(table.add(0, key(1), fragment(16, true, &b)), None);
        assert_eq!(table.add(0, key(2), fragment(0, true, &b)), None, "another packet");
        assert_eq!(table.add(0, key(1), fragment(24, false, &c)), None);
        assert_eq!(table.add(0, key(1), fragment(24, false, &c)), None, "twice");
        let whole = table.add(0, key(1), fragment(0, true, &a)).unwrap();
        assert_eq!(whole, [&a[..], &b, &c].concat());
        assert_eq!(table.waiting.len(), 1);
    }

    #[test]
    fn incomplete_packets_are_given_up_by_age_and_number() {
        let mut table = FragmentTable::new();
        (0..100).for_each(|n| drop(table.add(0, key(n), fragment(0, true, &[0; 8]))));
        assert_eq!((table.waiting.len(), table.given_up), (PACKETS_MAX, 36));
        assert_eq!(table.add(3_000_000, key(99), fragment(8, false, &[0; 8])), None, "too late");
        assert_eq!((table.waiting.len(), table.given_up), (1, 100));
    }

    #[test]
    fn fragments_that_contradict_each_other_are_dropped() {
        let mut table = FragmentTable::new();
        table.add(0, key(1), fragment(8, false, &[0; 8]));
        assert_eq!(table.add(0, key(1), fragment(24, false, &[0; 8])), None);
        assert_eq!((table.waiting.len(), table.given_up), (0, 1));
    }
}
