//! Mirror port of a switch: calls of others, listened to.
//!
//! The board reads every frame of an interface. It passes signalling on as bytes, and RTP to the
//! slots: a leg is what goes to one address, as the SDP of the call names it. Nothing is sent.
//! Slots, legs and their events are those of an `RtpBoard`. What the mirror port's socket drops is
//! lost with the reason `Mirror`.
//!
//! The interface must be promiscuous, unless the switch mirrors by VXLAN or ERSPAN to this
//! machine's address. The socket needs CAP_NET_RAW.

mod capture;
mod fragments;
mod frame;
mod tcp_streams;

use crate::config::{BoardConfig, SourceKind};
use crate::error::{BoardConfigError, BoardError};
use crate::rtp::{LEGS_MAX, LegConfig, LegConfigError, LegStatistics, Slots};
use crate::sample_clock::frames_of_us;
use crate::{BoardState, CaptureEvent, GapReason};
use capture::{Capture, FRAME_MAX};
use frame::{FrameReader, Segment, SegmentKind};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use tcp_streams::{TcpSegment, TcpStreams};
use zeroize::{Zeroize, Zeroizing};

/// How often the socket is emptied, in microseconds.
const DRAIN_US: u64 = 10_000;

/// Frames that one `read` handles.
const FRAMES_PER_READ: usize = 4096;

/// Pieces of signalling that wait to be fetched. One more, and the oldest is dropped.
const SIGNALLING_MAX: usize = 1024;

/// Leg of a call that is listened to.
#[derive(Clone)]
pub struct MirroredLeg {
    /// Address that the leg's packets go to: what the listener of the audio announced in its SDP.
    pub destination: SocketAddr,
    pub config: LegConfig,
}

/// Bytes of signalling that the mirror port saw. Wiped when dropped.
///
/// Deliberately without `Debug`: they have numbers, and may have digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Signalling {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// None: a datagram. Some: the next bytes of one direction of a connection, by its number.
    pub stream: Option<u64>,
    /// The bytes of a connection do not follow those before.
    pub is_start: bool,
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Counters of a mirror port since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorStatistics {
    pub frames: u64,
    /// Frames that the kernel dropped because the socket was full.
    pub dropped: u64,
    /// Frames that could not be read.
    pub malformed: u64,
    /// Packets whose fragments did not all come.
    pub incomplete: u64,
    /// Gaps in connections of signalling.
    pub gaps: u64,
    /// Pieces of signalling that were not fetched in time.
    pub unfetched: u64,
}

pub struct SpanBoard {
    rate: u32,
    started_us: u64,
    now_us: u64,
    state: BoardState,
    capture: Capture,
    reader: FrameReader,
    calls: MirroredCalls,
    frames: u64,
    dropped: u64,
    next_drain_us: u64,
    buffer: Vec<u8>,
}

/// What is done with segments: all state behind the frames.
struct MirroredCalls {
    slots: Slots,
    /// Slot and leg by the address that packets go to.
    places: BTreeMap<SocketAddr, (usize, usize)>,
    signalling_ports: Vec<u16>,
    streams: TcpStreams,
    signalling: VecDeque<Signalling>,
    unfetched: u64,
}

impl SpanBoard {
    /// Opens the interface; no slot is open.
    pub(crate) fn open(model: &BoardConfig, now_us: u64) -> Result<SpanBoard, BoardError> {
        let SourceKind::Span { interface, signalling_ports, slots } = &model.kind else {
            let (board, wrong) = (model.name.clone(), BoardConfigError::NoChannels);
            return Err(BoardError::Config { board, wrong });
        };
        Ok(SpanBoard {
            rate: model.rate,
            started_us: now_us,
            now_us,
            state: BoardState::Running,
            capture: Capture::open(&model.name, interface)?,
            reader: FrameReader::new(),
            calls: MirroredCalls::new(model.rate, *slots, signalling_ports),
            frames: 0,
            dropped: 0,
            next_drain_us: now_us,
            buffer: vec![0; FRAME_MAX],
        })
    }

    /// Opens a slot for a call with one or two legs, in the order of the channel's sides.
    ///
    /// # Errors
    /// What is wrong; the slot then stays closed.
    pub fn open_slot(
        &mut self,
        now_us: u64,
        slot: usize,
        legs: &[MirroredLeg],
    ) -> Result<(), LegConfigError> {
        self.calls.open_slot(now_us, slot, legs)
    }

    /// Changes the legs of an open slot.
    ///
    /// # Errors
    /// What is wrong; legs before the wrong one are changed.
    pub fn change_slot(&mut self, slot: usize, legs: &[MirroredLeg]) -> Result<(), LegConfigError> {
        self.calls.change_slot(slot, legs)
    }

    /// Closes a slot, as `RtpBoard::close_slot` does.
    pub fn close_slot(&mut self, slot: usize, visit: &mut dyn FnMut(CaptureEvent<'_>)) {
        self.calls.places.retain(|_, (place, _)| *place != slot);
        self.calls.slots.close(slot, visit);
    }

    /// The next signalling, oldest first. Fetch all of it after each `read`.
    pub fn next_signalling(&mut self) -> Option<Signalling> {
        self.calls.signalling.pop_front()
    }

    /// Counters of a leg of an open slot, or of its last call. None if there is no such leg.
    #[must_use]
    pub fn leg_statistics(&self, slot: usize, leg: usize) -> Option<LegStatistics> {
        self.calls.slots.statistics(slot, leg)
    }

    #[must_use]
    pub fn statistics(&self) -> MirrorStatistics {
        MirrorStatistics {
            frames: self.frames,
            dropped: self.dropped,
            malformed: self.reader.malformed,
            incomplete: self.reader.incomplete(),
            gaps: self.calls.streams.gaps,
            unfetched: self.calls.unfetched,
        }
    }

    /// Whether the interface takes frames for other machines. If not, it hears only tunnels to
    /// this one: `ip link set INTERFACE promisc on`.
    #[must_use]
    pub fn is_promiscuous(&self) -> bool {
        self.capture.is_promiscuous
    }

    pub(crate) fn read(
        &mut self,
        now_us: u64,
        budget_frames: u32,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) -> bool {
        self.now_us = self.now_us.max(now_us);
        if now_us < self.next_drain_us {
            return false;
        }
        let mut has_more = true;
        for _ in 0..FRAMES_PER_READ {
            let frame = match self.capture.receive(&mut self.buffer) {
                Ok(Some(frame)) => frame,
                // An interface that is down comes back; the error is cleared by being read.
                Ok(None) | Err(_) => {
                    has_more = false;
                    break;
                }
            };
            self.frames += 1;
            if frame.dropped > 0 {
                self.dropped += u64::from(frame.dropped);
                self.calls.note_dropped();
            }
            let bytes = &mut self.buffer[..frame.bytes.min(FRAME_MAX)];
            if !frame.is_outgoing {
                let calls = &mut self.calls;
                self.reader.read(now_us, bytes, &mut |segment| {
                    calls.receive(now_us, segment, visit);
                });
            }
            bytes.zeroize();
        }
        has_more |= self.calls.slots.advance(now_us, budget_frames, visit);
        if !has_more {
            self.next_drain_us = now_us - now_us % DRAIN_US + DRAIN_US;
        }
        has_more
    }

    pub(crate) fn deadline_us(&self) -> Option<u64> {
        Some(self.next_drain_us)
    }

    /// Frames of the board's clock since its start.
    pub(crate) fn position(&self) -> u64 {
        frames_of_us(self.now_us.saturating_sub(self.started_us), self.rate)
    }

    pub(crate) fn state(&self) -> &BoardState {
        &self.state
    }

    pub(crate) fn lost_frames(&self) -> u64 {
        self.calls.slots.lost_frames()
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }
}

impl MirroredCalls {
    fn new(rate: u32, slots: usize, signalling_ports: &[u16]) -> MirroredCalls {
        MirroredCalls {
            slots: Slots::new(rate, slots),
            places: BTreeMap::new(),
            signalling_ports: signalling_ports.to_vec(),
            streams: TcpStreams::new(),
            signalling: VecDeque::with_capacity(SIGNALLING_MAX),
            unfetched: 0,
        }
    }

    fn open_slot(
        &mut self,
        now_us: u64,
        slot: usize,
        legs: &[MirroredLeg],
    ) -> Result<(), LegConfigError> {
        self.slots.open(now_us, slot, &configs_of(legs))?;
        self.place(slot, legs);
        Ok(())
    }

    fn change_slot(&mut self, slot: usize, legs: &[MirroredLeg]) -> Result<(), LegConfigError> {
        self.slots.change(slot, &configs_of(legs))?;
        self.places.retain(|_, (place, _)| *place != slot);
        self.place(slot, legs);
        Ok(())
    }

    fn place(&mut self, slot: usize, legs: &[MirroredLeg]) {
        for (leg, mirrored) in legs.iter().enumerate().take(LEGS_MAX) {
            self.places.insert(mirrored.destination, (slot, leg));
        }
    }

    fn receive(
        &mut self,
        now_us: u64,
        segment: Segment<'_>,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) {
        let Segment { source, destination, kind, payload } = segment;
        if let (SegmentKind::Udp, Some(place)) = (kind, self.places.get(&destination)) {
            self.slots.receive(now_us, *place, payload, visit);
            return;
        }
        let ports = [source.port(), destination.port()];
        if !self.signalling_ports.iter().any(|port| ports.contains(port)) {
            return;
        }
        let MirroredCalls { streams, signalling, unfetched, .. } = self;
        let mut keep = |stream, is_start, bytes: &[u8]| {
            if signalling.len() == SIGNALLING_MAX {
                signalling.pop_front();
                *unfetched += 1;
            }
            let bytes = Zeroizing::new(bytes.to_vec());
            signalling.push_back(Signalling { source, destination, stream, is_start, bytes });
        };
        match kind {
            SegmentKind::Udp => keep(None, true, payload),
            SegmentKind::Tcp { sequence, is_first, is_last } => {
                let segment = TcpSegment { sequence, is_first, is_last, payload };
                streams.receive(now_us, (source, destination), segment, &mut |found| {
                    keep(Some(found.stream), found.is_start, found.bytes);
                });
            }
        }
    }

    /// Whatever is missing before the next packet of each leg may have been dropped here.
    fn note_dropped(&mut self) {
        for (slot, leg) in self.places.values() {
            if let Some(leg) = self.slots.leg_mut(*slot, *leg) {
                leg.note_dropped(0, GapReason::Mirror);
            }
        }
    }
}

fn configs_of(legs: &[MirroredLeg]) -> Vec<LegConfig> {
    legs.iter().map(|leg| leg.config.clone()).collect()
}

#[cfg(test)]
mod tests;
