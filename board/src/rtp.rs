//! RTP board: audio of telephone calls from the network, one slot a call.
//!
//! All ports are bound at the start. The recorder opens a slot when it accepts a call, and closes
//! it when the call ends. An open slot delivers a period every 20 ms, whatever the network does.
//!
//! The sockets are read every 10 ms until they are empty, within a budget. They have an epoll set
//! of their own, and wake nobody: `deadline_us` does. So this board uses no token.
//!
//! RTCP is read only: sender reports and BYE are counted. The board sends nothing.

mod codec;
mod leg;
mod leg_config;
mod lost_ranges;
mod ports;
mod reorder;
mod sample_buffer;
mod slots;
mod srtp;
mod statistics;
mod stream;
mod telephone_event;
mod tone_detector;
mod upsample;

pub use leg_config::{LegConfig, LegConfigError, PAYLOADS_MAX, RtpCodec, SrtpKey, SrtpSuite};
pub use ports::rtp_port;
pub use slots::LEGS_MAX;
pub(crate) use slots::Slots;
pub use statistics::LegStatistics;

use crate::config::{BoardConfig, SourceKind};
use crate::error::BoardError;
use crate::sample_clock::frames_of_us;
use crate::{BoardState, CaptureEvent, GapReason};
use ports::{DATAGRAM_MAX, Datagram, PortPlace, Ports};
use rtcp_types::{Compound, Packet};
use srtp::SrtpReceiver;
use std::net::SocketAddr;
use zeroize::Zeroize;

/// How often the sockets are emptied, in microseconds.
const DRAIN_US: u64 = 10_000;

/// Packets that one `read` handles: 40 ms of 2,000 legs.
const PACKETS_PER_READ: usize = 4096;

/// Packets of one leg that are read when its slot is closed.
const CLOSE_PACKETS_MAX: usize = 256;

pub struct RtpBoard {
    rate: u32,
    started_us: u64,
    now_us: u64,
    state: BoardState,
    slots: Slots,
    ports: Ports,
    /// Two for each slot.
    receivers: Vec<LegReceiver>,
    next_drain_us: u64,
    /// One datagram. Decryption may replace it.
    datagram: Vec<u8>,
}

/// What a leg's packets pass before they are audio: sender and SRTP.
#[derive(Default)]
struct LegReceiver {
    announced: Option<SocketAddr>,
    sender: Option<SocketAddr>,
    srtp: Option<SrtpReceiver>,
    /// What the socket's counter of dropped packets was at the last packet of this call.
    dropped_total: Option<u32>,
}

impl RtpBoard {
    /// Binds all ports; no slot is open.
    pub(crate) fn open(model: &BoardConfig, now_us: u64) -> Result<RtpBoard, BoardError> {
        let SourceKind::Rtp { bind, first_port, slots } = model.kind else {
            return Err(BoardError::Config {
                board: model.name.clone(),
                wrong: crate::error::BoardConfigError::NoChannels,
            });
        };
        let ports = Ports::bind(&model.name, bind, first_port, slots)?;
        Ok(RtpBoard {
            rate: model.rate,
            started_us: now_us,
            now_us,
            state: BoardState::Running,
            slots: Slots::new(model.rate, slots),
            ports,
            receivers: std::iter::repeat_with(LegReceiver::default)
                .take(slots * LEGS_MAX)
                .collect(),
            next_drain_us: now_us,
            datagram: Vec::with_capacity(DATAGRAM_MAX),
        })
    }

    /// Opens a slot for a call with one or two legs, in the order of the channel's sides. Packets
    /// that came before are thrown away.
    ///
    /// # Errors
    /// What is wrong; the slot then stays closed.
    pub fn open_slot(
        &mut self,
        now_us: u64,
        slot: usize,
        legs: &[LegConfig],
    ) -> Result<(), LegConfigError> {
        self.slots.open(now_us, slot, legs)?;
        for (leg, config) in legs.iter().enumerate() {
            *self.receiver(slot, leg) = LegReceiver::default();
            if let Err(errno) = self.ports.watch(slot, leg) {
                self.close_slot(now_us, slot, &mut |_| {});
                return Err(LegConfigError::Socket { leg, errno });
            }
            self.receiver(slot, leg).configure(config);
        }
        self.next_drain_us = self.next_drain_us.min(now_us + DRAIN_US);
        Ok(())
    }

    /// Changes the legs of an open slot, as a re-INVITE does. Audio goes on; contexts of SRTP stay
    /// if the key does.
    ///
    /// # Errors
    /// What is wrong; legs before the wrong one are changed.
    pub fn change_slot(
        &mut self,
        now_us: u64,
        slot: usize,
        legs: &[LegConfig],
    ) -> Result<(), LegConfigError> {
        let before = self.slots.leg_count(slot);
        self.slots.change(slot, legs)?;
        for leg in legs.len()..before {
            self.ports.unwatch(slot, leg);
        }
        for (leg, config) in legs.iter().enumerate() {
            if leg >= before {
                *self.receiver(slot, leg) = LegReceiver::default();
                self.ports
                    .watch(slot, leg)
                    .map_err(|errno| LegConfigError::Socket { leg, errno })?;
            }
            self.receiver(slot, leg).configure(config);
        }
        self.next_drain_us = self.next_drain_us.min(now_us + DRAIN_US);
        Ok(())
    }

    /// Closes a slot. `visit` first gets the audio that has arrived, even if its time has not
    /// come. Keys and audio are wiped. Nothing happens if the slot is closed.
    pub fn close_slot(
        &mut self,
        now_us: u64,
        slot: usize,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) {
        for leg in 0..self.slots.leg_count(slot) {
            let place = PortPlace { slot, leg, is_rtcp: false };
            for _ in 0..CLOSE_PACKETS_MAX {
                self.datagram.resize(DATAGRAM_MAX, 0);
                let Some(datagram) = self.ports.receive_from(place, &mut self.datagram) else {
                    break;
                };
                self.handle_datagram(now_us, place, datagram, visit);
            }
            self.ports.unwatch(slot, leg);
            *self.receiver(slot, leg) = LegReceiver::default();
        }
        self.slots.close(slot, visit);
    }

    /// Counters of a leg of an open slot, or of its last call. None if there is no such leg.
    #[must_use]
    pub fn leg_statistics(&self, slot: usize, leg: usize) -> Option<LegStatistics> {
        self.slots.statistics(slot, leg)
    }

    /// Position of a slot's next period.
    #[must_use]
    pub fn slot_position(&self, slot: usize) -> u64 {
        self.slots.position(slot)
    }

    /// Number of slots, open or not.
    #[must_use]
    pub fn slot_count(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn read(
        &mut self,
        now_us: u64,
        budget_frames: u32,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) -> bool {
        self.now_us = self.now_us.max(now_us);
        if now_us < self.next_drain_us || !self.slots.has_open() {
            return false;
        }
        let mut has_more = true;
        for _ in 0..PACKETS_PER_READ {
            self.datagram.resize(DATAGRAM_MAX, 0);
            let Some((place, datagram)) = self.ports.receive(&mut self.datagram) else {
                has_more = false;
                break;
            };
            self.handle_datagram(now_us, place, datagram, visit);
        }
        has_more |= self.slots.advance(now_us, budget_frames, visit);
        if !has_more {
            self.next_drain_us = now_us - now_us % DRAIN_US + DRAIN_US;
        }
        has_more
    }

    pub(crate) fn deadline_us(&self) -> Option<u64> {
        self.slots.has_open().then_some(self.next_drain_us)
    }

    /// Frames of the board's clock since its start.
    pub(crate) fn position(&self) -> u64 {
        frames_of_us(self.now_us.saturating_sub(self.started_us), self.rate)
    }

    pub(crate) fn state(&self) -> &BoardState {
        &self.state
    }

    pub(crate) fn lost_frames(&self) -> u64 {
        self.slots.lost_frames()
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    /// Handles the datagram that was read into `self.datagram`, and wipes it.
    fn handle_datagram(
        &mut self,
        now_us: u64,
        place: PortPlace,
        datagram: Datagram,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) {
        self.datagram.truncate(datagram.bytes);
        let PortPlace { slot, leg, is_rtcp } = place;
        let Some(receiver) = self.receivers.get_mut(slot * LEGS_MAX + leg) else { return };
        let Some(entry) = self.slots.leg_mut(slot, leg) else { return };
        let statistics = &mut entry.statistics;
        let is_rtcp = is_rtcp || is_rtcp_packet(&self.datagram);
        if datagram.is_truncated {
            statistics.malformed += 1;
        } else if !receiver.accepts(datagram.sender, is_rtcp) {
            statistics.foreign += 1;
        } else if !receiver.unprotect(&mut self.datagram, is_rtcp) {
            statistics.srtp_failures += 1;
        } else if is_rtcp {
            count_rtcp(&self.datagram, statistics);
        } else {
            receiver.latch(datagram.sender);
            let before = receiver.dropped_total.replace(datagram.dropped_total);
            let dropped = before.map_or(0, |before| datagram.dropped_total.wrapping_sub(before));
            if dropped > 0 {
                entry.note_dropped(u64::from(dropped), GapReason::Overrun);
            }
            self.slots.receive(now_us, (slot, leg), &self.datagram, visit);
        }
        self.datagram.as_mut_slice().zeroize();
    }

    fn receiver(&mut self, slot: usize, leg: usize) -> &mut LegReceiver {
        &mut self.receivers[slot * LEGS_MAX + leg]
    }
}

impl LegReceiver {
    fn configure(&mut self, config: &LegConfig) {
        if self.announced != config.sender {
            (self.announced, self.sender) = (config.sender, None);
        }
        match (&config.crypto, &self.srtp) {
            (Some(key), Some(srtp)) if srtp.has_key(key) => {}
            (key, _) => self.srtp = key.as_ref().and_then(SrtpReceiver::new),
        }
    }

    /// Whether a packet comes from this leg's sender: the announced one, or the first one. RTCP
    /// may come from another port of the same address.
    fn accepts(&self, sender: Option<SocketAddr>, is_rtcp: bool) -> bool {
        let Some(sender) = sender else { return false };
        if self.announced == Some(sender) {
            return true;
        }
        match self.sender {
            Some(latched) if is_rtcp => latched.ip() == sender.ip(),
            Some(latched) => latched == sender,
            None => true,
        }
    }

    /// Makes the sender of a packet that was accepted this leg's sender. The announced sender
    /// replaces another one.
    fn latch(&mut self, sender: Option<SocketAddr>) {
        if self.sender.is_none() || (sender.is_some() && self.announced == sender) {
            self.sender = sender;
        }
    }

    fn unprotect(&mut self, packet: &mut Vec<u8>, is_rtcp: bool) -> bool {
        match &mut self.srtp {
            None => true,
            Some(srtp) if is_rtcp => srtp.unprotect_rtcp(packet),
            Some(srtp) => srtp.unprotect(packet),
        }
    }
}

/// Whether a datagram on the RTP port is RTCP (RFC 5761, 4).
fn is_rtcp_packet(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

fn count_rtcp(bytes: &[u8], statistics: &mut LegStatistics) {
    let Ok(compound) = Compound::parse(bytes) else {
        statistics.malformed += 1;
        return;
    };
    for packet in compound {
        match packet {
            Ok(Packet::Sr(_)) => statistics.rtcp_sender_reports += 1,
            Ok(Packet::Bye(_)) => statistics.rtcp_byes += 1,
            Ok(_) => {}
            Err(_) => statistics.malformed += 1,
        }
    }
}

#[cfg(test)]
mod tests;
