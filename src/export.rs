//! Export: a recording as a standard media file (H7).
//!
//! The chunks of a recording (runs and payload) are written in order to the caller's writer.
//! Memory is bounded by one chunk. Masked, held and lost audio is silent, and the length is exact
//! to the sample. Unsealing and the manifest are the caller's work.

pub mod ogg;
mod resample;
pub mod wav;
pub mod waveform;
pub mod webm;

use crate::audio::codec::{CodecError, Decoder};
use crate::config::CodecKind;

/// Audio format of a recording, from the header of its media file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    pub codec: CodecKind,
    /// Sample rate in frames per second.
    pub rate: u32,
    /// 1 or 2.
    pub sides: u8,
    /// The codec's look-ahead, in frames at `rate`.
    pub delay_frames: u16,
}

impl AudioFormat {
    fn new_decoder(&self) -> Result<Decoder, CodecError> {
        Decoder::new(self.codec, self.rate, self.sides, self.delay_frames)
    }
}

/// Error from an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("reading the recording: {0}")]
    Codec(#[from] CodecError),
    #[error("writing the file: {0}")]
    Io(#[from] std::io::Error),
    #[error("resampling the audio: {0}")]
    Resample(String),
    #[error("the recording is longer than its file says: a .wav file ends at {limit} bytes")]
    WavTooLarge { limit: u64 },
    #[error("no black picture is known for {codec}, which a masked or lost span needs")]
    NoBlackFrame { codec: String },
    #[error("{name:?} cannot be the name of a tag")]
    TagName { name: String },
    #[error("tags of {bytes} bytes, at most {limit} are allowed")]
    TagsTooLong { bytes: usize, limit: usize },
}
