//! Codecs: cleared audio in, payload bytes out, and back again for who listens.
//!
//! Audio comes in grid frames: 20 ms each (`grid_frames`), counted from the first sample of the
//! recording; only the last one of a recording may be shorter. What is masked, held or lost is
//! never coded: it stays a typed run beside the payload, and `Decoder` puts exact zeros there. A
//! payload cannot be read without its runs. Payloads of consecutive grid frames simply follow each
//! other, so that a chunk may be cut at any grid frame.
//!
//! | kind | payload |
//! |---|---|
//! | pcm  | the stored frames only, interleaved s16le |
//! | ulaw | the stored frames only, interleaved, one G.711 byte a sample |
//! | opus | for each grid frame a length and a packet: see `opus` |
//!
//! The encoder takes nothing but `Cleared` audio. This module never decides a fate, never seals
//! and never writes.

pub mod opus;
pub mod pcm;
pub mod ulaw;

use crate::audio::ring::Cleared;
use crate::audio::span::{Fate, Run};
use crate::config::CodecKind;

/// Grid frames per second.
pub const GRID_HZ: u32 = 50;
/// The fastest sound card there is, in frames per second.
const RATE_MAX: u32 = 192_000;

/// Why audio cannot be coded, or a payload not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("a rate of {rate} Hz: no multiple of {GRID_HZ} up to {RATE_MAX}")]
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

/// Frames of a 20 ms grid frame at `rate` frames per second.
pub fn checked_grid_frames(rate: u32) -> Result<usize, CodecError> {
    if rate == 0 || rate > RATE_MAX || !rate.is_multiple_of(GRID_HZ) {
        return Err(CodecError::Grid { rate });
    }
    Ok((rate / GRID_HZ) as usize)
}

/// How samples lie: frames of `sides` samples, `frames` of them in a grid frame.
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

/// Frames of all runs together.
pub(crate) fn total_frames(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.frames as usize).sum()
}

#[derive(Debug)]
enum EncoderBackend {
    Pcm,
    Ulaw,
    Opus(opus::OpusEncoder),
}

/// Turns the cleared audio of one recording after another into payloads.
#[derive(Debug)]
pub struct Encoder {
    backend: EncoderBackend,
    layout: FrameLayout,
    /// The shorter, last grid frame was here, or `finish`: only `reset` may follow.
    ended: bool,
}

impl Encoder {
    /// `rate` in frames per second; `bitrate_per_side` in bit/s, for opus only. All memory it will
    /// ever need is taken here.
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
        Ok(Encoder { backend: coder, layout: grid, ended: false })
    }

    /// Frames of a whole grid frame.
    #[must_use]
    pub fn grid_frames(&self) -> usize {
        self.layout.frame_count
    }

    /// By how many frames the decoded audio lags (the codec's look-ahead); 0 for pcm and ulaw.
    #[must_use]
    pub fn delay_frames(&self) -> u16 {
        match &self.backend {
            EncoderBackend::Pcm | EncoderBackend::Ulaw => 0,
            EncoderBackend::Opus(opus) => opus.delay_frames(),
        }
    }

    /// Bytes that one `frame`, or `finish`, appends at most: what to reserve for.
    #[must_use]
    pub fn grid_bytes_max(&self) -> usize {
        match &self.backend {
            EncoderBackend::Pcm => self.layout.sample_count() * 2,
            EncoderBackend::Ulaw => self.layout.sample_count(),
            EncoderBackend::Opus(_) => opus::ENTRY_BYTES_MAX,
        }
    }

    /// Appends the payload of the next grid frame (or of the shorter, last one). Takes no memory
    /// as long as `payload` has `grid_bytes_max` to spare.
    pub fn encode_frame(&mut self, audio: &Cleared<'_>, payload: &mut Vec<u8>) {
        let frames = audio.frames();
        assert!(!self.ended, "audio after the end of a recording");
        assert!(
            frames > 0 && frames <= self.layout.frame_count,
            "{frames} frames in one grid frame"
        );
        assert_eq!(audio.samples().len(), frames * self.layout.sides, "sides");
        self.ended = frames < self.layout.frame_count;
        let stored = || audio.runs_with_samples().filter(|(run, _)| run.fate == Fate::Stored);
        match &mut self.backend {
            EncoderBackend::Pcm => stored().for_each(|(_, piece)| pcm::encode(piece, payload)),
            EncoderBackend::Ulaw => stored().for_each(|(_, piece)| ulaw::encode(piece, payload)),
            EncoderBackend::Opus(opus) => opus.encode_frame(audio, payload),
        }
    }

    /// Ends the recording: appends what the look-ahead still owes, often nothing.
    pub fn finish(&mut self, payload: &mut Vec<u8>) {
        self.ended = true;
        match &mut self.backend {
            EncoderBackend::Pcm | EncoderBackend::Ulaw => {}
            EncoderBackend::Opus(opus) => opus.finish(payload),
        }
    }

    /// As new, for the next recording; no trace of the last one stays.
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

/// Turns the payloads of one recording, in order, into exactly the frames that their runs tell of.
#[derive(Debug)]
pub struct Decoder {
    backend: DecoderBackend,
    layout: FrameLayout,
    ended: bool,
}

impl Decoder {
    /// What the recording's header says; `delay_frames` as `Encoder::delay_frames` gave it.
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

    /// Appends the samples of a chunk, interleaved. Opus holds the last `delay_frames` frames back
    /// until the next chunk, or `finish`. After an error nothing more can be read.
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

    /// Appends what is still held back. Frames of a recording that was cut, whose packet never
    /// became durable, are zeros: the length is exact all the same.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        self.ended = true;
        match &mut self.backend {
            DecoderBackend::Pcm | DecoderBackend::Ulaw => {}
            DecoderBackend::Opus(opus) => opus.finish(out),
        }
    }

    /// Frames that the runs call stored but that no packet held: the end of a cut recording, at
    /// most `delay_frames`. Zeros stand for them. Complete after `finish`.
    #[must_use]
    pub fn missing_frames(&self) -> u64 {
        match &self.backend {
            DecoderBackend::Pcm | DecoderBackend::Ulaw => 0,
            DecoderBackend::Opus(opus) => opus.missing_frames(),
        }
    }
}

/// A payload that holds the stored frames one by one.
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
            if run.fate != Fate::Stored {
                out.resize(out.len() + frames * self.sides, 0);
                continue;
            }
            let wanted = frames * self.frame_bytes;
            let Some((bytes, after)) = rest.split_at_checked(wanted) else {
                return Err(CodecError::Truncated { wanted, found: rest.len() });
            };
            (self.decode)(bytes, out);
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(CodecError::TrailingBytes { bytes: rest.len() }) }
    }
}

#[cfg(test)]
mod tests;
