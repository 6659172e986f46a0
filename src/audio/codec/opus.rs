//! Opus at the board's own rate: 20 ms packets on the grid; silence is never encoded.
//!
//! Payload: for each grid frame a length, laced as in Ogg (255 = 255 plus the next byte), then
//! the packet. Length 0 means no packet.
//!
//! Opus has look-ahead: packet k decodes to the frames from k × grid − delay on. The last `delay`
//! frames of a grid frame are in the next packet. Three rules keep audio from leaking across a
//! mask. Encoder and decoder both derive them from the runs alone:
//!
//! 1. A grid frame without stored frames has no packet, except a *flush* (encoded zeros) if the
//!    previous frame left stored frames in the look-ahead.
//! 2. The first grid frame with stored audio after one without starts with a reset encoder and
//!    prediction off. Nothing bleeds across a masked range, and a player that does not reset also
//!    continues from silence.
//! 3. Frames that are not stored are encoded as zeros and decoded as exact zeros.
//!
//! An interrupted recording lacks the packet with its last `delay` frames. Recovery counts them
//! as lost, and they decode to zeros.

mod decoder;

pub(super) use decoder::OpusDecoder;

use super::{CodecError, FrameLayout};
use crate::audio::ring::Cleared;
use crate::audio::span::Run;
use opusic_c::{Application, Bitrate, Channels, ErrorCode, SampleRate};

/// Minimum and maximum bitrate in bit/s per side.
const BITRATE_MIN: u32 = 6_000;
const BITRATE_MAX: u32 = 255_000;
/// RFC 6716, 3.2.1: at most 1275 bytes for one frame, plus one header byte.
const PACKET_BYTES_MAX: usize = 1276;

/// Memory of libopus for one side of an encoder, about.
pub(super) const ENCODER_BYTES: usize = 28 << 10;
/// Maximum size of a packet and its length.
pub(super) const ENTRY_BYTES_MAX: usize = PACKET_BYTES_MAX + PACKET_BYTES_MAX / 255 + 1;
/// At complexity 5 one core encodes about 300 channels of telephone speech.
const COMPLEXITY: u8 = 5;

/// Converts the rate to libopus's type.
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

fn opus_channels(grid: FrameLayout) -> Channels {
    if grid.sides == 1 { Channels::Mono } else { Channels::Stereo }
}

/// One libopus encoder; both sides of a channel share one stereo stream.
pub(crate) struct OpusEncoder {
    inner: opusic_c::Encoder,
    layout: FrameLayout,
    delay_frames: u16,
    /// Samples of the current grid frame, with zeros where none are stored.
    samples: Vec<u16>,
    packet: Vec<u8>,
    /// `inner` has encoded nothing since its reset.
    is_reset: bool,
    /// The last grid frame had stored audio.
    had_audio: bool,
    /// The look-ahead holds stored frames.
    has_pending_tail: bool,
}

impl std::fmt::Debug for OpusEncoder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "OpusEncoder({:?}, delay {})", self.layout, self.delay_frames)
    }
}

impl OpusEncoder {
    /// Creates an encoder: `rate` in frames per second, `bitrate` in bit/s per side.
    pub fn new(rate: u32, grid: FrameLayout, bitrate: u32) -> Result<OpusEncoder, CodecError> {
        let (min, max) = (BITRATE_MIN, BITRATE_MAX);
        if !(min..=max).contains(&bitrate) {
            return Err(CodecError::Bitrate { bitrate, min, max });
        }
        let total = if grid.sides == 1 { bitrate } else { 2 * bitrate };
        let (inner, delay) = open_encoder(sample_rate(rate)?, opus_channels(grid), total)
            .map_err(|code| CodecError::Settings { code })?;
        let delay_frames = u16::try_from(delay).unwrap_or(u16::MAX);
        check_delay(delay_frames, grid)?;
        Ok(OpusEncoder {
            inner,
            layout: grid,
            delay_frames,
            samples: vec![0; grid.sample_count()],
            packet: vec![0; PACKET_BYTES_MAX],
            is_reset: true,
            had_audio: false,
            has_pending_tail: false,
        })
    }

    /// Look-ahead in frames.
    pub fn delay_frames(&self) -> u16 {
        self.delay_frames
    }

    /// Appends the entry of one grid frame.
    pub fn encode_frame(&mut self, audio: &Cleared<'_>, payload: &mut Vec<u8>) {
        if audio.has_stored() {
            if !self.had_audio {
                self.reset_if_used();
            }
            self.had_audio = true;
            self.has_pending_tail =
                has_stored_from(audio.runs(), self.layout.frame_count - self.look_ahead());
            let packet = self.encode_samples(audio.samples());
            push_entry(packet, payload);
        } else if self.has_pending_tail {
            self.flush_look_ahead(payload);
        } else {
            self.had_audio = false;
            push_entry(&[], payload);
        }
    }

    /// Appends one more entry if stored frames remain in the look-ahead.
    pub fn finish(&mut self, payload: &mut Vec<u8>) {
        if self.has_pending_tail {
            self.flush_look_ahead(payload);
        }
    }

    /// Resets the encoder for the next recording.
    pub fn reset(&mut self) {
        (self.had_audio, self.has_pending_tail) = (false, false);
        self.samples.fill(0);
        self.packet.fill(0);
        self.reset_if_used();
    }

    /// Encodes up to one grid frame of samples, padded with zeros, in one stream with the
    /// previous packets. Used for silence and for audio read from the store.
    pub fn encode_samples(&mut self, samples: &[i16]) -> &[u8] {
        assert!(samples.len() <= self.samples.len());
        for (slot, sample) in self.samples.iter_mut().zip(samples) {
            *slot = sample.cast_unsigned();
        }
        self.samples[samples.len()..].fill(0);
        let packet = self.encode_packet();
        assert!(packet.is_ok(), "libopus refused a grid frame: {packet:?}");
        &self.packet[..packet.unwrap_or(0)]
    }

    /// Encodes a packet and returns its length. The first packet after a reset uses no
    /// prediction.
    fn encode_packet(&mut self) -> Result<usize, ErrorCode> {
        if self.is_reset {
            self.inner.set_prediction_disabled(true)?;
        }
        let bytes = self.inner.encode_to_slice(&self.samples, &mut self.packet)?;
        if self.is_reset {
            self.inner.set_prediction_disabled(false)?;
        }
        self.is_reset = false;
        assert!(bytes > 0 && bytes <= PACKET_BYTES_MAX, "a packet of {bytes} bytes");
        Ok(bytes)
    }

    fn flush_look_ahead(&mut self, payload: &mut Vec<u8>) {
        (self.had_audio, self.has_pending_tail) = (false, false);
        let packet = self.encode_samples(&[]);
        push_entry(packet, payload);
    }

    fn reset_if_used(&mut self) {
        if !self.is_reset {
            let done = self.inner.reset();
            assert!(done.is_ok(), "libopus cannot reset: {done:?}");
            self.is_reset = true;
        }
    }

    fn look_ahead(&self) -> usize {
        usize::from(self.delay_frames)
    }
}

fn open_encoder(
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

fn check_delay(delay_frames: u16, grid: FrameLayout) -> Result<(), CodecError> {
    if usize::from(delay_frames) < grid.frame_count {
        return Ok(());
    }
    Err(CodecError::Delay { delay_frames, grid_frames: grid.frame_count })
}

/// Whether any frame from `from` on is stored.
fn has_stored_from(runs: &[Run], from: usize) -> bool {
    let mut end = 0;
    runs.iter().any(|run| {
        end += run.frames as usize;
        run.fate.is_stored() && run.frames > 0 && end > from
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

/// Function that takes one entry off a payload.
type TakeEntry = for<'a> fn(&mut &'a [u8]) -> Result<&'a [u8], CodecError>;

/// Returns how to take the packets of a chunk, one per grid frame. A damaged chunk has no bytes
/// and no stored frames, so all its packets are empty.
pub(crate) fn entry_reader(runs: &[Run], payload: &[u8]) -> TakeEntry {
    let gap = payload.is_empty() && !runs.iter().any(|run| run.fate.is_stored());
    if gap { |_| Ok(&[]) } else { take_entry }
}

/// Takes the first packet off `payload`; empty if that grid frame has none.
pub(crate) fn take_entry<'a>(payload: &mut &'a [u8]) -> Result<&'a [u8], CodecError> {
    let mut length = 0;
    loop {
        let Some((byte, rest)) = payload.split_first() else {
            return Err(CodecError::Truncated { wanted: 1, found: 0 });
        };
        (length, *payload) = (length + usize::from(*byte), rest);
        if *byte < 255 {
            break;
        }
    }
    let Some((packet, rest)) = payload.split_at_checked(length) else {
        return Err(CodecError::Truncated { wanted: length, found: payload.len() });
    };
    *payload = rest;
    Ok(packet)
}
