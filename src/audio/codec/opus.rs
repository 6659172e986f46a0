//! Opus at the board's own rate: 20 ms packets on the grid, with silence never coded.
//!
//! Payload: for each grid frame a length, laced as in Ogg (255 = 255 and the next byte too), then
//! the packet. Length 0: nothing was coded.
//!
//! Opus looks ahead: packet k decodes to the frames from k × grid − delay on, so the last `delay`
//! frames of a grid frame come out of the packet after it. Three rules keep secrets and samples
//! apart, and both sides derive them from the runs alone:
//!
//! 1. A grid frame with nothing stored has no packet, but for a *flush* (coded zeros) where the
//!    frame before it left stored frames in the look-ahead.
//! 2. The first grid frame with stored audio after one without starts from a reset coder, with
//!    prediction off, so that nothing bleeds across a masked stretch, and that a player that
//!    knows nothing of resets goes on from silence as well.
//! 3. Whatever is not stored goes in as zeros and comes out as exact zeros.
//!
//! A cut recording lacks the packet that holds its last `delay` frames; recovery counts them as
//! lost, and here they are zeros.

mod decoder;

pub(super) use decoder::OpusDecoder;

use super::{CodecError, Grid};
use crate::audio::ring::Cleared;
use crate::audio::span::{Fate, Run};
use opusic_c::{Application, Bitrate, Channels, ErrorCode, SampleRate};

/// Least and most bit/s per side.
const BITRATE_MIN: u32 = 6_000;
const BITRATE_MAX: u32 = 255_000;
/// RFC 6716, 3.2.1: one frame in a packet has at most 1275 bytes; one more for its header.
const PACKET_BYTES_MAX: usize = 1276;
/// A packet and its length.
pub(super) const ENTRY_BYTES_MAX: usize = PACKET_BYTES_MAX + PACKET_BYTES_MAX / 255 + 1;
/// Feasibility: at 5 one core codes some 300 channels of telephone speech.
const COMPLEXITY: u8 = 5;

/// The rate as libopus names it.
pub(crate) fn sample_rate(rate: u32) -> Result<SampleRate, CodecError> {
    match rate {
        8_000 => Ok(SampleRate::Hz8000),
        12_000 => Ok(SampleRate::Hz12000),
        16_000 => Ok(SampleRate::Hz16000),
        24_000 => Ok(SampleRate::Hz24000),
        48_000 => Ok(SampleRate::Hz48000),
        _ => Err(CodecError::Rate { rate }),
    }
}

fn channels(grid: Grid) -> Channels {
    if grid.sides == 1 { Channels::Mono } else { Channels::Stereo }
}

/// One libopus encoder; both sides of a channel are one stereo stream.
pub(crate) struct OpusEncoder {
    inner: opusic_c::Encoder,
    grid: Grid,
    delay_frames: u16,
    /// The grid frame that is coded: the bits of its samples, zeros where there are none.
    samples: Vec<u16>,
    packet: Vec<u8>,
    /// `inner` has coded nothing since its reset.
    fresh: bool,
    /// The last grid frame had stored audio.
    running: bool,
    /// The look-ahead holds stored frames.
    owing: bool,
}

impl std::fmt::Debug for OpusEncoder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "OpusEncoder({:?}, delay {})", self.grid, self.delay_frames)
    }
}

impl OpusEncoder {
    /// `rate` in frames per second, `bitrate` in bit/s per side.
    pub fn new(rate: u32, grid: Grid, bitrate: u32) -> Result<OpusEncoder, CodecError> {
        let (min, max) = (BITRATE_MIN, BITRATE_MAX);
        if !(min..=max).contains(&bitrate) {
            return Err(CodecError::Bitrate { bitrate, min, max });
        }
        let total = if grid.sides == 1 { bitrate } else { 2 * bitrate };
        let (inner, delay) = set_up(sample_rate(rate)?, channels(grid), total)
            .map_err(|code| CodecError::Settings { code })?;
        let delay_frames = u16::try_from(delay).unwrap_or(u16::MAX);
        check_delay(delay_frames, grid)?;
        Ok(OpusEncoder {
            inner,
            grid,
            delay_frames,
            samples: vec![0; grid.samples()],
            packet: vec![0; PACKET_BYTES_MAX],
            fresh: true,
            running: false,
            owing: false,
        })
    }

    /// The look-ahead in frames.
    pub fn delay_frames(&self) -> u16 {
        self.delay_frames
    }

    /// Appends the entry of one grid frame.
    pub fn frame(&mut self, audio: &Cleared<'_>, payload: &mut Vec<u8>) {
        if audio.any_stored() {
            if !self.running {
                self.forget();
            }
            self.running = true;
            self.owing = stored_from(audio.runs(), self.grid.frames - self.delay());
            let packet = self.packet_of(audio.samples());
            push_entry(packet, payload);
        } else if self.owing {
            self.flush(payload);
        } else {
            self.running = false;
            push_entry(&[], payload);
        }
    }

    /// Appends one more entry if the look-ahead owes stored frames.
    pub fn finish(&mut self, payload: &mut Vec<u8>) {
        if self.owing {
            self.flush(payload);
        }
    }

    /// As new.
    pub fn reset(&mut self) {
        (self.running, self.owing) = (false, false);
        self.samples.fill(0);
        self.packet.fill(0);
        self.forget();
    }

    /// The packet of up to a grid frame of samples (zeros follow), coded in one stream with the
    /// packets before: for silence, and for audio that comes out of the store.
    pub fn packet_of(&mut self, samples: &[i16]) -> &[u8] {
        assert!(samples.len() <= self.samples.len());
        for (slot, sample) in self.samples.iter_mut().zip(samples) {
            *slot = sample.cast_unsigned();
        }
        self.samples[samples.len()..].fill(0);
        let packet = self.code();
        assert!(packet.is_ok(), "libopus refused a grid frame: {packet:?}");
        &self.packet[..packet.unwrap_or(0)]
    }

    /// Length of the packet. The first one after a reset leans on nothing before it.
    fn code(&mut self) -> Result<usize, ErrorCode> {
        if self.fresh {
            self.inner.set_prediction_disabled(true)?;
        }
        let bytes = self.inner.encode_to_slice(&self.samples, &mut self.packet)?;
        if self.fresh {
            self.inner.set_prediction_disabled(false)?;
        }
        self.fresh = false;
        assert!(bytes > 0 && bytes <= PACKET_BYTES_MAX, "a packet of {bytes} bytes");
        Ok(bytes)
    }

    fn flush(&mut self, payload: &mut Vec<u8>) {
        (self.running, self.owing) = (false, false);
        let packet = self.packet_of(&[]);
        push_entry(packet, payload);
    }

    fn forget(&mut self) {
        if !self.fresh {
            let done = self.inner.reset();
            assert!(done.is_ok(), "libopus cannot reset: {done:?}");
            self.fresh = true;
        }
    }

    fn delay(&self) -> usize {
        usize::from(self.delay_frames)
    }
}

fn set_up(
    rate: SampleRate,
    channels: Channels,
    bitrate: u32,
) -> Result<(opusic_c::Encoder, u32), ErrorCode> {
    let mut inner = opusic_c::Encoder::new(channels, rate, Application::Voip)?;
    inner.set_bitrate(Bitrate::Value(bitrate))?;
    inner.set_vbr(true)?;
    inner.set_vbr_constraint(true)?;
    inner.set_complexity(COMPLEXITY)?;
    inner.set_dtx(false)?;
    let delay = inner.get_look_ahead()?;
    Ok((inner, delay))
}

fn check_delay(delay_frames: u16, grid: Grid) -> Result<(), CodecError> {
    if usize::from(delay_frames) < grid.frames {
        return Ok(());
    }
    Err(CodecError::Delay { delay_frames, grid_frames: grid.frames })
}

/// Whether any frame from `from` on is stored.
fn stored_from(runs: &[Run], from: usize) -> bool {
    let mut end = 0;
    runs.iter().any(|run| {
        end += run.frames as usize;
        run.fate == Fate::Stored && run.frames > 0 && end > from
    })
}

pub(super) fn push_entry(packet: &[u8], payload: &mut Vec<u8>) {
    let mut left = packet.len();
    while left >= 255 {
        payload.push(255);
        left -= 255;
    }
    payload.extend(u8::try_from(left));
    payload.extend_from_slice(packet);
}

/// Takes one entry of a payload.
type Take = for<'a> fn(&mut &'a [u8]) -> Result<&'a [u8], CodecError>;

/// How the packets of a chunk are taken, one a grid frame. What damage has cost is a chunk without
/// a byte, of which nothing is stored: all its packets are empty.
pub(crate) fn packets(runs: &[Run], payload: &[u8]) -> Take {
    let gap = payload.is_empty() && runs.iter().all(|run| run.fate != Fate::Stored);
    if gap { |_| Ok(&[]) } else { take_entry }
}

/// Takes the first packet off `payload`; empty: nothing was coded.
pub(crate) fn take_entry<'a>(payload: &mut &'a [u8]) -> Result<&'a [u8], CodecError> {
    let mut length = 0;
    loop {
        let Some((byte, rest)) = payload.split_first() else {
            return Err(CodecError::Short { wanted: 1, found: 0 });
        };
        (length, *payload) = (length + usize::from(*byte), rest);
        if *byte < 255 {
            break;
        }
    }
    let Some((packet, rest)) = payload.split_at_checked(length) else {
        return Err(CodecError::Short { wanted: length, found: payload.len() });
    };
    *payload = rest;
    Ok(packet)
}
