//! Codecs: encode cleared audio to payload bytes, and decode them for playback.
//!
//! Audio is encoded in grid frames of 20 ms (`grid_frames`), counted from the first sample of the
//! recording; only the last one may be shorter. Masked, held and lost frames are never encoded:
//! they are typed runs beside the payload, and `Decoder` outputs exact zeros for them. Frames of
//! which one side is lost are encoded with silence there, and decoded to exact zeros. A payload can
//! only be decoded with its runs. Payloads of consecutive grid frames are concatenated, so a
//! chunk may end after any grid frame.
//!
//! | kind | payload |
//! |---|---|
//! | pcm  | the stored frames only, interleaved s16le |
//! | ulaw | the stored frames only, interleaved, one G.711 byte a sample |
//! | opus | for each grid frame a length and a packet: see `opus` |
//!
//! The encoder accepts only `Cleared` audio.

pub mod opus;
pub mod pcm;
pub mod ulaw;

use crate::audio::ring::{Cleared, silence_lost_side};
use crate::audio::span::Run;
use crate::config::CodecKind;
use crate::limits::{RATE_MAX, RATE_MIN};

pub const GRID_HZ: u32 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("a rate of {rate} Hz: allowed are {RATE_MIN} to {RATE_MAX}")]
    Grid { rate: u32 },
    #[error("opus codes 8000, 12000, 16000, 24000 or 48000 Hz, not {rate}")]
    Rate { rate: u32 },
    #[error("a screen has no audio to code")]
    NoAudio,
    #[error("a recording has 1 or 2 sides, not {sides}")]
    Sides { sides: u8 },
    #[error("opus takes {min} to {max} bit/s per side, not {bitrate}")]
    Bitrate { bitrate: u32, min: u32, max: u32 },
    #[error("a delay of {delay_frames} frames, the codec allows less than {grid_frames}")]
    Delay { delay_frames: u16, grid_frames: usize },
    #[error("libopus refused its settings: {}", .code.message())]
    Settings { code: opusic_c::ErrorCode },
    #[error("the payload ends early: {wanted} bytes expected, {found} there")]
    Truncated { wanted: usize, found: usize },
    #[error("{bytes} bytes of payload belong to no frame")]
    TrailingBytes { bytes: usize },
    #[error("grid frame {grid_frame} is called stored but has no packet")]
    MissingPacket { grid_frame: u64 },
    #[error("the packet of grid frame {grid_frame} is damaged: {}", .code.message())]
    Packet { grid_frame: u64, code: opusic_c::ErrorCode },
    #[error("the packet of grid frame {grid_frame} holds {found} frames instead of {wanted}")]
    Length { grid_frame: u64, wanted: usize, found: usize },
    #[error("audio after the end: only the last grid frame may be shorter than {grid_frames}")]
    AfterEnd { grid_frames: usize },
}

/// Frames in a 20 ms grid frame at `rate` frames per second. Where 20 ms are no whole number of
/// frames (11,025 Hz), it is the largest whole number below.
pub fn checked_grid_frames(rate: u32) -> Result<usize, CodecError> {
    if !(RATE_MIN..=RATE_MAX).contains(&rate) {
        return Err(CodecError::Grid { rate });
    }
    Ok((rate / GRID_HZ) as usize)
}

/// Frame layout: `sides` samples per frame, `frames` frames per grid frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameLayout {
    pub frame_count: usize,
    pub sides: usize,
}

impl FrameLayout {
    pub fn new(rate: u32, sides: u8) -> Result<FrameLayout, CodecError> {
        let frames = checked_grid_frames(rate)?;
        if sides == 1 || sides == 2 {
            Ok(FrameLayout { frame_count: frames, sides: usize::from(sides) })
        } else {
            Err(CodecError::Sides { sides })
        }
    }

    pub fn sample_count(self) -> usize {
        self.frame_count * self.sides
    }
}

/// Maximum number of bytes that a grid frame becomes.
fn grid_bytes_max(kind: CodecKind, layout: FrameLayout) -> usize {
    match kind {
        CodecKind::Pcm => layout.sample_count() * 2,
        CodecKind::Ulaw => layout.sample_count(),
        CodecKind::Opus => opus::ENTRY_BYTES_MAX,
        CodecKind::Screen => 0,
    }
}

/// Maximum number of bytes that a grid frame becomes with any codec.
///
/// # Errors
/// The rate or the number of sides is not supported.
pub fn any_grid_bytes_max(rate: u32, sides: u8) -> Result<usize, CodecError> {
    let layout = FrameLayout::new(rate, sides)?;
    let kinds = [CodecKind::Pcm, CodecKind::Ulaw, CodecKind::Opus];
    Ok(kinds.into_iter().map(|kind| grid_bytes_max(kind, layout)).max().unwrap_or(0))
}

/// Total number of frames in the runs.
pub(crate) fn total_frames(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.frames as usize).sum()
}

#[derive(Debug)]
enum EncoderBackend {
    Pcm,
    Ulaw,
    Opus(opus::OpusEncoder),
}

/// Encodes the cleared audio of one recording at a time into payloads.
#[derive(Debug)]
pub struct Encoder {
    backend: EncoderBackend,
    layout: FrameLayout,
    bitrate_per_side: u32,
    /// The recording has ended with a short grid frame or `finish`; only `reset` may follow.
    ended: bool,
}

impl Encoder {
    /// Creates an encoder and allocates all its memory. `rate` is in frames per second;
    /// `bitrate_per_side` is in bit/s and for opus only.
    pub fn new(
        kind: CodecKind,
        rate: u32,
        sides: u8,
        bitrate_per_side: u32,
    ) -> Result<Encoder, CodecError> {
        let grid = FrameLayout::new(rate, sides)?;
        let coder = match kind {
            CodecKind::Pcm => EncoderBackend::Pcm,
            CodecKind::Ulaw => EncoderBackend::Ulaw,
            CodecKind::Opus => {
                EncoderBackend::Opus(opus::OpusEncoder::new(rate, grid, bitrate_per_side)?)
            }
            CodecKind::Screen => return Err(CodecError::NoAudio),
        };
        Ok(Encoder { backend: coder, layout: grid, bitrate_per_side, ended: false })
    }

    #[must_use]
    pub fn kind(&self) -> CodecKind {
        match &self.backend {
            EncoderBackend::Pcm => CodecKind::Pcm,
            EncoderBackend::Ulaw => CodecKind::Ulaw,
            EncoderBackend::Opus(_) => CodecKind::Opus,
        }
    }

    /// Bitrate in bit/s per side, as passed to `new`.
    #[must_use]
    pub fn bitrate_per_side(&self) -> u32 {
        self.bitrate_per_side
    }

    #[must_use]
    pub fn grid_frames(&self) -> usize {
        self.layout.frame_count
    }

    /// Delay of the decoded audio in frames (the codec's look-ahead); 0 for pcm and ulaw.
    #[must_use]
    pub fn delay_frames(&self) -> u16 {
        match &self.backend {
            EncoderBackend::Pcm | EncoderBackend::Ulaw => 0,
            EncoderBackend::Opus(opus) => opus.delay_frames(),
        }
    }

    /// Memory that the encoder takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let state = match &self.backend {
            EncoderBackend::Pcm | EncoderBackend::Ulaw => 0,
            EncoderBackend::Opus(_) => opus::ENCODER_BYTES * self.layout.sides,
        };
        (size_of::<Encoder>() + state) as u64
    }

    /// Time that a grid frame of this codec takes on a small box, in microseconds: reading the
    /// ring, encoding and its part of sealing a chunk (`benches/turn`). The recorder has no clock,
    /// so it shares out its turns by this.
    #[must_use]
    pub fn grid_cost_us(&self) -> u32 {
        match &self.backend {
            EncoderBackend::Pcm | EncoderBackend::Ulaw => 6,
            EncoderBackend::Opus(_) => 70,
        }
    }

    /// Maximum number of bytes that one `encode_frame` or `finish` appends.
    #[must_use]
    pub fn grid_bytes_max(&self) -> usize {
        grid_bytes_max(self.kind(), self.layout)
    }

    /// Appends the payload of the next grid frame. Does not allocate while `payload` has
    /// `grid_bytes_max` spare capacity.
    pub fn encode_frame(&mut self, audio: &Cleared<'_>, payload: &mut Vec<u8>) {
        let frames = audio.frames();
        assert!(!self.ended, "audio after the end of a recording");
        assert!(
            frames > 0 && frames <= self.layout.frame_count,
            "{frames} frames in one grid frame"
        );
        assert_eq!(audio.samples().len(), frames * self.layout.sides, "sides");
        self.ended = frames < self.layout.frame_count;
        let stored = || audio.runs_with_samples().filter(|(run, _)| run.fate.is_stored());
        match &mut self.backend {
            EncoderBackend::Pcm => stored().for_each(|(_, piece)| pcm::encode(piece, payload)),
            EncoderBackend::Ulaw => stored().for_each(|(_, piece)| ulaw::encode(piece, payload)),
            EncoderBackend::Opus(opus) => opus.encode_frame(audio, payload),
        }
    }

    /// Ends the recording: appends the audio still in the look-ahead, if any.
    pub fn finish(&mut self, payload: &mut Vec<u8>) {
        self.ended = true;
        match &mut self.backend {
            EncoderBackend::Pcm | EncoderBackend::Ulaw => {}
            EncoderBackend::Opus(opus) => opus.finish(payload),
        }
    }

    /// Resets the encoder for the next recording, and wipes the last one's audio.
    pub fn reset(&mut self) {
        self.ended = false;
        match &mut self.backend {
            EncoderBackend::Pcm | EncoderBackend::Ulaw => {}
            EncoderBackend::Opus(opus) => opus.reset(),
        }
    }
}

#[derive(Debug)]
enum DecoderBackend {
    Pcm,
    Ulaw,
    Opus(opus::OpusDecoder),
}

/// Decodes the payloads of one recording, in order, into exactly the frames that their runs
/// describe.
#[derive(Debug)]
pub struct Decoder {
    backend: DecoderBackend,
    layout: FrameLayout,
    ended: bool,
}

impl Decoder {
    /// Creates a decoder from the recording's header; `delay_frames` is `Encoder::delay_frames`.
    pub fn new(
        kind: CodecKind,
        rate: u32,
        sides: u8,
        delay_frames: u16,
    ) -> Result<Decoder, CodecError> {
        let grid = FrameLayout::new(rate, sides)?;
        let reader = match kind {
            CodecKind::Pcm => DecoderBackend::Pcm,
            CodecKind::Ulaw => DecoderBackend::Ulaw,
            CodecKind::Opus => {
                DecoderBackend::Opus(opus::OpusDecoder::new(rate, grid, delay_frames)?)
            }
            CodecKind::Screen => return Err(CodecError::NoAudio),
        };
        Ok(Decoder { backend: reader, layout: grid, ended: false })
    }

    /// Appends the samples of a chunk, interleaved. Opus delays the last `delay_frames` frames
    /// until the next chunk or `finish`. After an error the decoder cannot continue.
    pub fn decode_chunk(
        &mut self,
        runs: &[Run],
        payload: &[u8],
        out: &mut Vec<i16>,
    ) -> Result<(), CodecError> {
        let frames = total_frames(runs);
        if self.ended && frames > 0 {
            return Err(CodecError::AfterEnd { grid_frames: self.layout.frame_count });
        }
        self.ended |= !frames.is_multiple_of(self.layout.frame_count);
        let sides = self.layout.sides;
        match &mut self.backend {
            DecoderBackend::Pcm => {
                PlainDecoder { frame_bytes: 2 * sides, sides, decode: pcm::decode }
                    .decode_chunk(runs, payload, out)
            }
            DecoderBackend::Ulaw => {
                PlainDecoder { frame_bytes: sides, sides, decode: ulaw::decode }
                    .decode_chunk(runs, payload, out)
            }
            DecoderBackend::Opus(opus) => {
                self.ended |= opus.decode_chunk(runs, payload, out)?;
                Ok(())
            }
        }
    }

    /// Appends the delayed frames. In an interrupted recording, frames whose packet never became
    /// durable are zeros, so the length stays exact.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        self.ended = true;
        match &mut self.backend {
            DecoderBackend::Pcm | DecoderBackend::Ulaw => {}
            DecoderBackend::Opus(opus) => opus.finish(out),
        }
    }

    /// Frames that the runs call stored but no packet contained: the end of an interrupted
    /// recording, at most `delay_frames`. They decode to zeros. Complete after `finish`.
    #[must_use]
    pub fn missing_frames(&self) -> u64 {
        match &self.backend {
            DecoderBackend::Pcm | DecoderBackend::Ulaw => 0,
            DecoderBackend::Opus(opus) => opus.missing_frames(),
        }
    }
}

/// Decoder for payloads that hold the stored frames one by one.
struct PlainDecoder {
    frame_bytes: usize,
    sides: usize,
    decode: fn(&[u8], &mut Vec<i16>),
}

impl PlainDecoder {
    fn decode_chunk(
        &self,
        runs: &[Run],
        payload: &[u8],
        out: &mut Vec<i16>,
    ) -> Result<(), CodecError> {
        let mut rest = payload;
        for run in runs {
            let frames = run.frames as usize;
            if !run.fate.is_stored() {
                out.resize(out.len() + frames * self.sides, 0);
                continue;
            }
            let wanted = frames * self.frame_bytes;
            let Some((bytes, after)) = rest.split_at_checked(wanted) else {
                return Err(CodecError::Truncated { wanted, found: rest.len() });
            };
            let start = out.len();
            (self.decode)(bytes, out);
            silence_lost_side(run.fate, &mut out[start..]);
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(CodecError::TrailingBytes { bytes: rest.len() }) }
    }
}

#[cfg(test)]
mod tests;
