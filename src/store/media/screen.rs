//! A screen's video in a media file: what a chunk's payload is then.
//!
//! Frames are milliseconds since the daemon started, chunks of any length hold one piece of video
//! (WebM, decodable by itself) or none, runs say what became of each millisecond as they do for
//! audio. In front of a piece stands where in the audio it begins: the card's clock and the box's
//! are not the same, and so picture and sound stay together however long a call is.
//!
//! A call's screen lies in a file beside its audio (`ID.hbv`) whose key follows from that of the
//! audio: it is not there, not even wrapped. Nothing here looks into the video.

use crate::store::bytes::LeReader;
use crate::time::Position;

/// In place of a wrapped key: it follows from the one in `ID.hbm`.
pub const DERIVED_KEY_MARKER: &[u8] = b"hushbox: the key follows from the one in ID.hbm";

/// Bytes in front of the video.
pub const SEGMENT_HEAD_BYTES: usize = 24;

/// Milliseconds stored in one chunk, at most; a piece is shorter, and may be stretched a little.
pub const STORED_MS_MAX: u64 = 60_000;

/// Stands for a screen without audio.
const NO_AUDIO: u64 = u64::MAX;

/// What a chunk holds of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreenSegment<'a> {
    /// Of its first picture, in milliseconds since the daemon started.
    pub from: Position,
    /// How long it is to be seen.
    pub duration_ms: u32,
    /// Where on the recording's channel that is.
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

    /// A chunk's payload; `None` if it is none of these.
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
    fn a_piece_reads_back() {
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
