//! Screen video in a media file: the layout of a chunk's payload.
//!
//! Frames are milliseconds since the daemon started. A chunk holds one video segment (WebM,
//! decodable by itself) or none. Runs state the fate of each millisecond, as for audio. Each
//! segment starts with its position in the audio: the sound card and the system have different
//! clocks, and this keeps picture and sound in sync during long calls.
//!
//! The screen of a call is in a file beside its audio (`ID.hbv`). Its key is derived from the
//! audio's key and not stored, not even wrapped.

use crate::store::bytes::LeReader;
use crate::time::Position;

/// Placeholder for the wrapped key, which is derived from the key in `ID.hbm`.
pub const DERIVED_KEY_MARKER: &[u8] = b"hushbox: the key follows from the one in ID.hbm";

/// Bytes before the video.
pub const SEGMENT_HEAD_BYTES: usize = 24;

/// Maximum milliseconds stored in one chunk. A segment is shorter, but may be extended a little.
pub const STORED_MS_MAX: u64 = 60_000;

/// Marks a screen segment without audio.
const NO_AUDIO: u64 = u64::MAX;

/// A screen segment in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreenSegment<'a> {
    /// Position of its first picture, in milliseconds since the daemon started.
    pub from: Position,
    /// Display duration.
    pub duration_ms: u32,
    /// Position of its first picture on the recording's channel.
    pub audio: Option<Position>,
    /// WebM.
    pub video: &'a [u8],
}

impl<'a> ScreenSegment<'a> {
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.from.0.to_le_bytes());
        let audio = self.audio.map_or(NO_AUDIO, |at| at.0);
        out.extend_from_slice(&audio.to_le_bytes());
        out.extend_from_slice(&self.duration_ms.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(self.video);
    }

    /// Decodes a chunk's payload; `None` if it is not a segment.
    #[must_use]
    pub fn from_payload(payload: &'a [u8]) -> Option<ScreenSegment<'a>> {
        let mut fields = LeReader(payload);
        let (from, audio) = (Position(fields.read_u64()?), fields.read_u64()?);
        let duration_ms = fields.read_u32()?;
        fields.expect_zeros(4)?;
        let audio = (audio != NO_AUDIO).then_some(Position(audio));
        Some(ScreenSegment { from, duration_ms, audio, video: fields.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_round_trips() {
        for audio in [None, Some(Position(8000))] {
            let piece =
                ScreenSegment { from: Position(7), duration_ms: 2000, audio, video: b"webm" };
            let mut out = vec![0xa5; 3];
            piece.append_to(&mut out);
            assert_eq!(out.len(), 3 + SEGMENT_HEAD_BYTES + 4);
            assert_eq!(ScreenSegment::from_payload(&out[3..]), Some(piece));
            assert_eq!(ScreenSegment::from_payload(&out[3..3 + SEGMENT_HEAD_BYTES - 1]), None);
        }
    }
}
