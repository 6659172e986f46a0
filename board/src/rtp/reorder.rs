//! Packets that wait for an earlier one, for codecs that must be decoded in order.
//!
//! The list is short, sorted by sequence number, and reuses its buffers.

use zeroize::Zeroize;

/// Packets that wait. One more, and the gap before them is accepted.
const PACKETS_MAX: usize = 16;

/// Bytes of a payload that may wait: what fits an Ethernet frame.
const PAYLOAD_MAX: usize = 1500;

/// A packet that waits.
pub(crate) struct WaitingPacket {
    pub sequence: u16,
    pub timestamp: u32,
    pub payload_type: u8,
    pub payload: Vec<u8>,
}

/// Waiting packets of one leg.
pub(crate) struct ReorderQueue {
    /// Oldest first.
    waiting: Vec<WaitingPacket>,
    /// Buffers that are not in use.
    spare: Vec<WaitingPacket>,
}

impl ReorderQueue {
    /// Creates a queue for legs with stateful codecs; without memory if it is not needed.
    pub fn new(is_needed: bool) -> ReorderQueue {
        let packets = if is_needed { PACKETS_MAX } else { 0 };
        let create = || WaitingPacket {
            sequence: 0,
            timestamp: 0,
            payload_type: 0,
            payload: Vec::with_capacity(PAYLOAD_MAX),
        };
        ReorderQueue {
            waiting: Vec::with_capacity(packets),
            spare: std::iter::repeat_with(create).take(packets).collect(),
        }
    }

    pub fn is_full(&self) -> bool {
        self.spare.is_empty()
    }

    /// Adds a packet. Returns false if the payload is too long or the queue is full.
    pub fn push(&mut self, packet: (u16, u32, u8), payload: &[u8]) -> bool {
        if payload.len() > PAYLOAD_MAX {
            return false;
        }
        let Some(mut slot) = self.spare.pop() else { return false };
        (slot.sequence, slot.timestamp, slot.payload_type) = packet;
        slot.payload.extend_from_slice(payload);
        let is_older = |queued: &WaitingPacket| is_before(queued.sequence, slot.sequence);
        let place = self.waiting.iter().take_while(|queued| is_older(queued)).count();
        self.waiting.insert(place, slot);
        true
    }

    /// The oldest waiting packet.
    pub fn first(&self) -> Option<&WaitingPacket> {
        self.waiting.first()
    }

    /// Removes the oldest packet. Give it back with `recycle`.
    pub fn pop_first(&mut self) -> Option<WaitingPacket> {
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }

    /// Takes a packet's buffer back, wiped.
    pub fn recycle(&mut self, mut packet: WaitingPacket) {
        packet.payload.as_mut_slice().zeroize();
        packet.payload.clear();
        self.spare.push(packet);
    }

    pub fn clear(&mut self) {
        while let Some(packet) = self.pop_first() {
            self.recycle(packet);
        }
    }
}

impl Drop for ReorderQueue {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whether sequence number `a` is before `b`, modulo 2^16.
pub(crate) fn is_before(a: u16, b: u16) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_in_order_over_the_wrap() {
        let mut queue = ReorderQueue::new(true);
        for sequence in [1_u16, 65_534, 0, 65_535] {
            assert!(queue.push((sequence, 0, 0), &[7; 10]));
        }
        let mut order = Vec::new();
        while let Some(packet) = queue.pop_first() {
            order.push(packet.sequence);
            queue.recycle(packet);
        }
        assert_eq!(order, [65_534, 65_535, 0, 1]);
        assert_eq!(queue.spare.len(), PACKETS_MAX);
        assert!(queue.spare.iter().all(|packet| packet.payload.is_empty()));
    }

    #[test]
    fn a_full_queue_and_a_huge_payload_are_refused() {
        let mut queue = ReorderQueue::new(true);
        assert!(!queue.push((0, 0, 0), &[0; 1501]));
        for sequence in 0..16 {
            assert!(!queue.is_full());
            assert!(queue.push((sequence, 0, 0), &[0; 1500]));
        }
        assert!(queue.is_full());
        assert!(!queue.push((16, 0, 0), &[0]));
        assert!(!ReorderQueue::new(false).push((0, 0, 0), &[0]), "not needed, so no memory");
    }
}
