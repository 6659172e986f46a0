//! One leg: RTP packets of one sender in, samples at positions out.
//!
//! Packets wait in the jitter buffer until their time on the board's clock has come. Positions
//! without samples are then reported as lost, except while the sender is silent by choice
//! (comfort noise, DTX, digits), before its first packet, and on hold. A packet that comes later
//! is reported as late audio for what was lost of its place.
//!
//! Telephone events end here: their payload is dropped, and only their time is reported.

mod decoders;

use super::codec::{Decoded, PACKET_FRAMES_MAX};
use super::leg_config::{LegConfig, LegConfigError, RtpCodec};
use super::lost_ranges::LostRanges;
use super::reorder::is_before;
use super::sample_buffer::SampleBuffer;
use super::statistics::LegStatistics;
use super::stream::{SequenceOrder, Stream, to_signed};
use super::telephone_event::{EventTracker, duration_of};
use super::tone_detector::ToneDetector;
use crate::GapReason;
use decoders::Decoders;
use rtp_types::RtpPacket;
use std::ops::Range;
use zeroize::Zeroize;

/// How long a packet may come after its neighbours, in milliseconds.
pub(crate) const REORDER_WINDOW_MS: u32 = 60;

/// How long a sender may take to begin, in milliseconds. Until then silence is not lost.
const START_GRACE_MS: u32 = 1000;

/// How long lost ranges are remembered for late audio, in seconds.
const LOST_MEMORY_S: u64 = 10;

/// How long packets of the former SSRC are stragglers, in microseconds.
const STRAGGLER_US: u64 = 1_000_000;

/// Skew that is corrected in silence, in milliseconds.
const SKEW_MS: i64 = 20;
/// Skew that is corrected at once: packets would soon come too late.
const SKEW_SLOW_MAX_MS: i64 = 45;
/// Skew that is corrected at once: packets would soon come too early for the buffer.
const SKEW_FAST_MAX_MS: i64 = 500;

/// Peak below which audio counts as silence for a correction: -42 dBFS.
const QUIET_PEAK: u16 = 256;

/// What a leg reports.
#[derive(Clone, Copy)]
pub(crate) enum LegEvent<'a> {
    /// No audio for a range that is being taken.
    Lost {
        position: u64,
        frames: u64,
        why: GapReason,
    },
    /// Audio for a range that was lost.
    Late {
        position: u64,
        samples: &'a [i16],
    },
    Digit {
        position: u64,
        frames: u64,
    },
}

/// Where decoded audio and events go.
pub(crate) struct Sink<'s> {
    /// Room for one decoded packet: `PACKET_FRAMES_MAX` samples.
    pub scratch: &'s mut [i16],
    pub report: &'s mut (dyn FnMut(LegEvent<'_>) + 's),
}

/// When a packet came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub now_us: u64,
    /// Position that the board's clock had reached.
    pub position: u64,
}

pub(crate) struct Leg {
    rate: u32,
    config: LegConfig,
    decoders: Decoders,
    buffer: SampleBuffer,
    lost: LostRanges,
    stream: Option<Stream>,
    /// The SSRC before the present one, and when it changed.
    former: Option<(u32, u64)>,
    events: EventTracker,
    tones: Option<ToneDetector>,
    /// The sender is silent by choice from here on.
    silence_from: Option<u64>,
    /// End of the newest packet.
    newest_end: u64,
    /// Frames of the last audio packet.
    packet_frames: u64,
    /// Position of the first packet.
    begins_at: Option<u64>,
    grace_end: u64,
    /// Whether packets were dropped on this box before the next packet, and why they are missing.
    dropped: Option<GapReason>,
    /// What is missing before this position was dropped on this box.
    dropped_until: (u64, GapReason),
    pub statistics: LegStatistics,
}

/// What a packet carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Payload {
    Audio,
    ComfortNoise,
    Event,
}

impl Leg {
    /// Creates a leg that is closed. It has all the memory it needs, except for decoders.
    pub fn new(rate: u32) -> Leg {
        Leg {
            rate,
            config: LegConfig {
                payloads: Vec::new(),
                telephone_events: Vec::new(),
                crypto: None,
                expects_audio: false,
                sender: None,
                detects_tones: false,
            },
            decoders: Decoders::empty(),
            buffer: SampleBuffer::new(u64::from(rate) * 3 / 2),
            lost: LostRanges::new(),
            stream: None,
            former: None,
            events: EventTracker::default(),
            tones: None,
            silence_from: None,
            newest_end: 0,
            packet_frames: 0,
            begins_at: None,
            grace_end: 0,
            dropped: None,
            dropped_until: (0, GapReason::Overrun),
            statistics: LegStatistics::default(),
        }
    }

    /// Opens the leg: its first frame is `position`.
    pub fn open(
        &mut self,
        leg: usize,
        position: u64,
        config: &LegConfig,
    ) -> Result<(), LegConfigError> {
        self.configure(leg, position, config)?;
        self.begin(position);
        self.statistics = LegStatistics::default();
        Ok(())
    }

    /// Changes the settings while audio goes on. Nothing changes if they are refused.
    pub fn configure(
        &mut self,
        leg: usize,
        position: u64,
        config: &LegConfig,
    ) -> Result<(), LegConfigError> {
        config.validate(leg)?;
        if self.config.payloads != config.payloads {
            self.decoders = Decoders::new(&config.payloads, self.rate)
                .map_err(|reason| LegConfigError::Decoder { leg, reason })?;
        }
        if config.expects_audio && !self.config.expects_audio {
            self.begins_at = None;
            self.grace_end = position + self.frames_of_ms(START_GRACE_MS);
        }
        if config.detects_tones != self.tones.is_some() {
            self.tones = config.detects_tones.then(|| ToneDetector::new(self.rate));
        }
        // The key stays with the receiver of SRTP only.
        self.config = LegConfig { crypto: None, ..config.clone() };
        Ok(())
    }

    /// Closes the leg and wipes its audio.
    pub fn close(&mut self) {
        self.begin(self.buffer.start());
        self.decoders = Decoders::empty();
        self.tones = None;
        self.config.payloads.clear();
        self.config.telephone_events.clear();
        self.config.expects_audio = false;
    }

    /// Forgets stream and audio; the next frame is `position`.
    pub fn begin(&mut self, position: u64) {
        self.buffer.reset(position);
        self.decoders.forget();
        self.lost.clear();
        (self.stream, self.former, self.begins_at) = (None, None, None);
        (self.silence_from, self.newest_end, self.packet_frames) = (None, position, 0);
        self.events = EventTracker::default();
        if let Some(tones) = &mut self.tones {
            tones.reset();
        }
        self.grace_end = position + self.frames_of_ms(START_GRACE_MS);
        (self.dropped, self.dropped_until.0) = (None, 0);
    }

    /// Records that packets were dropped on this box before the one that comes next.
    pub fn note_dropped(&mut self, packets: u64, why: GapReason) {
        self.statistics.kernel_dropped += packets;
        self.dropped = Some(why);
    }

    /// Receives one RTP packet, decrypted.
    pub fn receive(&mut self, arrival: Arrival, bytes: &[u8], sink: &mut Sink<'_>) {
        let Ok(packet) = RtpPacket::parse(bytes) else {
            self.statistics.malformed += 1;
            return;
        };
        let payload_type = packet.payload_type();
        let (payload, clock_rate) = match self.config.codec_of(payload_type) {
            _ if self.config.telephone_events.contains(&payload_type) => (Payload::Event, None),
            Some(RtpCodec::ComfortNoise) => (Payload::ComfortNoise, None),
            Some(codec) => (Payload::Audio, Some(codec.clock_rate())),
            None => {
                self.statistics.unknown_payload += 1;
                return;
            }
        };
        let Some(order) = self.follow_stream(arrival, &packet, clock_rate, sink) else { return };
        let is_newer = matches!(order, SequenceOrder::Newer { .. } | SequenceOrder::Restart);
        self.statistics.packets += 1;
        self.statistics.bytes += crate::to_count(bytes.len());
        self.statistics.last_packet_us = Some(arrival.now_us);
        match payload {
            Payload::Event => self.receive_event(&packet, order, sink),
            Payload::ComfortNoise => self.begin_pause(packet.timestamp(), order),
            Payload::Audio => self.receive_audio(&packet, is_newer, sink),
        }
        if payload != Payload::Audio {
            self.decoders.skip(packet.sequence_number());
        }
    }

    /// Finds the packet's place in its stream, and anchors the stream anew where it must be. None
    /// if the packet is not to be used; `Restart` if the stream was anchored.
    fn follow_stream(
        &mut self,
        arrival: Arrival,
        packet: &RtpPacket<'_>,
        clock_rate: Option<u32>,
        sink: &mut Sink<'_>,
    ) -> Option<SequenceOrder> {
        let rate = clock_rate.unwrap_or_else(|| self.clock_rate());
        let Some(stream) = &mut self.stream else {
            self.anchor(arrival, packet, rate, sink);
            return Some(SequenceOrder::Restart);
        };
        if stream.ssrc != packet.ssrc() {
            if self.former.is_some_and(|(ssrc, changed_us)| {
                ssrc == packet.ssrc() && arrival.now_us.saturating_sub(changed_us) < STRAGGLER_US
            }) {
                self.statistics.stragglers += 1;
                return None;
            }
            self.former = Some((stream.ssrc, arrival.now_us));
            self.statistics.ssrc_changes += 1;
            self.silence_from = None;
            self.anchor(arrival, packet, rate, sink);
            return Some(SequenceOrder::Restart);
        }
        let order = stream.compare_sequence(packet.sequence_number());
        let expected = to_signed(arrival.position + frames_of_ms(self.rate, REORDER_WINDOW_MS));
        let deviation = stream.position_of(packet.timestamp()) - expected;
        let is_credible = deviation.abs() <= i64::from(self.rate) && rate == stream.clock_rate;
        let order = match order {
            SequenceOrder::Duplicate | SequenceOrder::Older
                if !is_credible && stream.follows_stray(packet.sequence_number()) =>
            {
                SequenceOrder::Restart
            }
            order => order,
        };
        match order {
            SequenceOrder::Duplicate => {
                self.statistics.duplicates += 1;
                return None;
            }
            SequenceOrder::Older if !is_credible => {
                self.statistics.late += 1;
                self.statistics.late_dropped += 1;
                return None;
            }
            SequenceOrder::Older => {
                self.statistics.reordered += 1;
                self.statistics.lost = self.statistics.lost.saturating_sub(1);
                stream.note_packet(packet.sequence_number(), packet.timestamp());
                return Some(order);
            }
            SequenceOrder::Newer { missing } if is_credible => {
                self.statistics.lost += u64::from(missing);
                stream.note_packet(packet.sequence_number(), packet.timestamp());
                stream.note_deviation(arrival.now_us, deviation);
                self.statistics.skew_frames = stream.skew().unwrap_or(0);
                self.statistics.jitter_us = stream.jitter_us();
                if clock_rate.is_some() {
                    self.end_pause(packet.timestamp(), missing, sink);
                }
            }
            SequenceOrder::Newer { missing } => {
                self.statistics.lost += u64::from(missing);
                self.statistics.jumps += 1;
                self.anchor(arrival, packet, rate, sink);
                if clock_rate.is_some() {
                    self.end_pause(packet.timestamp(), missing, sink);
                }
            }
            SequenceOrder::Restart => {
                self.statistics.jumps += 1;
                self.anchor(arrival, packet, rate, sink);
            }
        }
        Some(order)
    }

    /// Anchors the stream at a packet: it plays one reorder window after its arrival, and not
    /// before what is there.
    fn anchor(
        &mut self,
        arrival: Arrival,
        packet: &RtpPacket<'_>,
        clock_rate: u32,
        sink: &mut Sink<'_>,
    ) {
        while self.decode_waiting(sink) {}
        let earliest = arrival.position + self.frames_of_ms(REORDER_WINDOW_MS);
        let position = earliest.max(self.newest_end);
        let key = (packet.sequence_number(), packet.timestamp());
        self.stream = Some(Stream::new(packet.ssrc(), (clock_rate, self.rate), key, position));
        self.decoders.forget();
        self.statistics.ssrc = Some(packet.ssrc());
        self.begins_at.get_or_insert(position);
        self.note_dropped_until(position);
    }

    /// Notes that the sender is silent by choice from a packet without audio on, and before it if
    /// no packet is missing.
    fn begin_pause(&mut self, timestamp: u32, order: SequenceOrder) {
        let position = self.position_of(timestamp);
        let from = match order {
            SequenceOrder::Newer { missing: 0 } => position.min(self.newest_end),
            SequenceOrder::Newer { .. } | SequenceOrder::Restart => position,
            SequenceOrder::Older | SequenceOrder::Duplicate => return,
        };
        self.silence_from.get_or_insert(from);
    }

    /// Fills what the sender left out by choice before a packet with audio: the silence that it
    /// announced, or a pause in which no packet is missing.
    fn end_pause(&mut self, timestamp: u32, missing: u16, sink: &mut Sink<'_>) {
        let start = self.position_of(timestamp);
        self.note_dropped_until(start);
        let lost = u64::from(missing) * self.packet_frames;
        match self.silence_from.take() {
            Some(from) => self.fill_silence(from..start.saturating_sub(lost), sink),
            None if missing == 0 => self.fill_silence(self.newest_end..start, sink),
            None => {}
        }
    }

    /// Puts silence where the sender had none. What was already reported as lost is repaired.
    fn fill_silence(&mut self, range: Range<u64>, sink: &mut Sink<'_>) {
        const ZEROS: [i16; 960] = [0; 960];
        if range.start >= range.end {
            return;
        }
        while let Some(lost) = self.lost.take_first(&range) {
            let mut at = lost.start;
            while at < lost.end {
                let count = crate::to_index(lost.end - at).min(ZEROS.len());
                (sink.report)(LegEvent::Late { position: at, samples: &ZEROS[..count] });
                at += crate::to_count(count);
            }
            self.statistics.repaired_frames += lost.end - lost.start;
        }
        self.buffer.insert_silence(range);
    }

    fn receive_event(&mut self, packet: &RtpPacket<'_>, order: SequenceOrder, sink: &mut Sink<'_>) {
        let Some(duration) = duration_of(packet.payload()) else {
            self.statistics.malformed += 1;
            return;
        };
        let clock_rate = u64::from(self.clock_rate().max(1));
        let frames = u64::from(duration) * u64::from(self.rate) / clock_rate;
        let position = self.position_of(packet.timestamp());
        let event = (packet.ssrc(), packet.timestamp());
        if let Some(digit) = self.events.note(event, position, frames, self.rate) {
            self.statistics.digits += u64::from(digit.is_new);
            (sink.report)(LegEvent::Digit { position: digit.position, frames: digit.frames });
        }
        self.begin_pause(packet.timestamp(), order);
    }

    /// Decodes a packet, now or when its turn has come.
    fn receive_audio(&mut self, packet: &RtpPacket<'_>, is_newer: bool, sink: &mut Sink<'_>) {
        let payload = packet.payload();
        let key = (packet.sequence_number(), packet.timestamp(), packet.payload_type());
        if is_newer && let Some(frames) = self.decoders.frames_of(key.2, payload) {
            self.newest_end = self.newest_end.max(self.position_of(key.1) + frames);
        }
        if self.decoders.is_stateless(key.2) {
            let decoded = self.decoders.decode(key.2, payload, sink.scratch);
            self.place(key.1, is_newer, decoded, sink);
            return;
        }
        let last = self.decoders.last_sequence();
        if last.is_some_and(|last| is_before(key.0, last)) {
            let decoded = self.decoders.decode_late(key, payload, sink.scratch);
            self.place(key.1, false, decoded, sink);
            return;
        }
        if last.is_none_or(|last| key.0 == last.wrapping_add(1)) {
            let decoded = self.decoders.decode_next(key, payload, sink.scratch);
            self.place(key.1, is_newer, decoded, sink);
        } else {
            if self.decoders.waiting.is_full() {
                self.decode_waiting(sink);
            }
            if !self.decoders.waiting.push(key, payload) {
                self.statistics.malformed += 1;
            }
        }
        while self.decoders.is_next_waiting() && self.decode_waiting(sink) {}
    }

    /// Decodes the oldest waiting packet. Returns false if there is none.
    fn decode_waiting(&mut self, sink: &mut Sink<'_>) -> bool {
        let Some(waiting) = self.decoders.waiting.pop_first() else { return false };
        let key = (waiting.sequence, waiting.timestamp, waiting.payload_type);
        let decoded = self.decoders.decode_next(key, &waiting.payload, sink.scratch);
        self.decoders.waiting.recycle(waiting);
        self.place(key.1, true, decoded, sink);
        true
    }

    /// Puts decoded audio at its position.
    fn place(&mut self, timestamp: u32, is_newer: bool, decoded: Decoded, sink: &mut Sink<'_>) {
        let (frames, is_silent_after) = match decoded {
            Decoded::Audio { frames, is_silent_after } => (frames, is_silent_after),
            Decoded::Silence => {
                if is_newer {
                    self.silence_from = Some(self.position_of(timestamp));
                }
                return;
            }
            Decoded::Malformed => {
                self.statistics.malformed += 1;
                return;
            }
        };
        let frames = frames.min(PACKET_FRAMES_MAX);
        if is_newer {
            self.correct_skew(timestamp, frames, sink);
        }
        let samples = &sink.scratch[..frames];
        let start = self.position_of(timestamp);
        let end = start + crate::to_count(frames);
        if is_newer {
            self.packet_frames = end - start;
            self.newest_end = self.newest_end.max(end);
            self.silence_from = is_silent_after.then_some(end);
        }
        if start < self.buffer.start() {
            self.statistics.late += 1;
            let passed = start..end.min(self.buffer.start());
            while let Some(lost) = self.lost.take_first(&passed) {
                let from = crate::to_index(lost.start - start);
                let upto = crate::to_index(lost.end - start);
                let samples = &samples[from..upto];
                (sink.report)(LegEvent::Late { position: lost.start, samples });
                self.statistics.repaired_frames += lost.end - lost.start;
            }
        }
        let done = self.buffer.insert(start, samples);
        self.statistics.overlapped_frames += done.overlapped + done.beyond;
        sink.scratch[..frames].zeroize();
    }

    /// Corrects the drift of the sender's clock: in silence, or at once if it is urgent.
    fn correct_skew(&mut self, timestamp: u32, frames: usize, sink: &mut Sink<'_>) {
        let Some(stream) = &mut self.stream else { return };
        let Some(skew) = stream.skew() else { return };
        let ms = |ms: i64| ms * i64::from(self.rate) / 1000;
        let is_urgent = skew < -ms(SKEW_SLOW_MAX_MS) || skew > ms(SKEW_FAST_MAX_MS);
        let samples = &sink.scratch[..frames];
        let is_quiet = || samples.iter().all(|sample| sample.unsigned_abs() < QUIET_PEAK);
        if skew.abs() <= ms(SKEW_MS) || !(is_urgent || is_quiet()) {
            return;
        }
        let frames = skew.abs().min(to_signed(crate::to_count(frames)));
        stream.shift(if skew < 0 { frames } else { -frames });
        self.statistics.skew_frames = 0;
        if skew < 0 {
            self.statistics.skew_inserted_frames += frames.unsigned_abs();
            let start = self.position_of(timestamp);
            let inserted = start.saturating_sub(frames.unsigned_abs())..start;
            self.fill_silence(inserted, sink);
        } else {
            self.statistics.skew_dropped_frames += frames.unsigned_abs();
        }
    }

    /// Takes the next `out.len()` frames, whose time has come.
    pub fn take(&mut self, out: &mut [i16], sink: &mut Sink<'_>) {
        let start = self.buffer.start();
        let end = start + crate::to_count(out.len());
        while let Some(waiting) = self.decoders.waiting.first() {
            if self.position_of(waiting.timestamp) >= end {
                break;
            }
            self.decode_waiting(sink);
        }
        let silence_from = self.silence_from.unwrap_or(u64::MAX);
        let begins_at = self.begins_at.unwrap_or(u64::MAX).min(self.grace_end);
        let is_expected = self.config.expects_audio;
        let (dropped_until, dropped_why) = self.dropped_until;
        let Leg { buffer, lost, statistics, .. } = self;
        buffer.take(out, &mut |missing| {
            let range = missing.start.max(begins_at)..missing.end.min(silence_from);
            if !is_expected || range.start >= range.end {
                return;
            }
            lost.push(range.clone());
            statistics.lost_frames += range.end - range.start;
            let middle = dropped_until.clamp(range.start, range.end);
            let network = GapReason::Network;
            for (part, why) in [(range.start..middle, dropped_why), (middle..range.end, network)] {
                let frames = part.end - part.start;
                if frames > 0 {
                    (sink.report)(LegEvent::Lost { position: part.start, frames, why });
                }
            }
        });
        lost.forget_before(start.saturating_sub(LOST_MEMORY_S * u64::from(self.rate)));
        self.listen_for_tones(start, out, sink);
    }

    fn listen_for_tones(&mut self, position: u64, samples: &[i16], sink: &mut Sink<'_>) {
        let Leg { tones, statistics, .. } = self;
        let Some(tones) = tones else { return };
        tones.listen(position, samples, &mut |digit| {
            statistics.digits += u64::from(digit.is_new);
            (sink.report)(LegEvent::Digit { position: digit.position, frames: digit.frames });
        });
    }

    /// Decodes everything that waits. Returns the end of the last frame that is there.
    pub fn finish(&mut self, sink: &mut Sink<'_>) -> u64 {
        while self.decode_waiting(sink) {}
        self.buffer.filled_end()
    }

    /// Rate of the timestamps: the stream's, or that of the first codec before it begins.
    fn clock_rate(&self) -> u32 {
        let first = self.config.payloads.first().map_or(8000, |(_, codec)| codec.clock_rate());
        self.stream.as_ref().map_or(first, |stream| stream.clock_rate)
    }

    fn note_dropped_until(&mut self, position: u64) {
        if let Some(why) = self.dropped.take() {
            self.dropped_until = (position, why);
        }
    }

    fn position_of(&self, timestamp: u32) -> u64 {
        let position = self.stream.as_ref().map_or(0, |stream| stream.position_of(timestamp));
        u64::try_from(position).unwrap_or(0)
    }

    fn frames_of_ms(&self, ms: u32) -> u64 {
        frames_of_ms(self.rate, ms)
    }
}

fn frames_of_ms(rate: u32, ms: u32) -> u64 {
    u64::from(rate) * u64::from(ms) / 1000
}
