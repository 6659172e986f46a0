//! The media file `ID.hbm`: one recording's audio, sealed, with its exact account.
//!
//! A header with the wrapped data key, chunks of at most half a second, a trailer with the ledger
//! and the digest. Positions, runs and counts stand in clear, so that a box without the private
//! key can add up ledgers, mend a file that a power cut left open, and verify; only the codec's
//! bytes are sealed. `docs/record-format.md` draws every byte.
//!
//! `write` makes the bytes, `read` checks, counts and opens them, `fold` adds runs up. Nothing here
//! touches a disk, encodes audio, or decides what a frame's fate is.

mod format;
mod read;
mod screen;
mod spans;
#[cfg(test)]
mod tests;
mod walk;
mod write;

pub use read::{MediaReader, MediaScan, TrailerInfo, chunks, scan};
pub use screen::{DERIVED_KEY_MARKER, SEGMENT_HEAD_BYTES, ScreenSegment};
pub use spans::SpanAccumulator;
pub use write::MediaWriter;

use crate::audio::span::Ledger;
use crate::config::CodecKind;
use crate::id::RecordingId;
use crate::store::fact::RecordingEnd;
use crate::store::seal::SealError;
use crate::time::{Position, WallTime};
use serde::{Deserialize, Serialize};

/// Runs in one chunk.
pub const MAX_RUNS: usize = 64;

/// Frames of one chunk, whatever their fate: what a reader takes at once.
pub const MAX_CHUNK_FRAMES: u64 = 1 << 20;

/// Bytes of one chunk, header and payload: the window that reading keeps in memory. A piece of a
/// screen's video is the longest, up to the protocol's 1 MiB.
pub const MAX_CHUNK_BYTES: usize = (1 << 20) + 4096;

/// Bytes of one chunk's payload as stored: what the largest chunk header leaves of a chunk.
pub const MAX_PAYLOAD_BYTES: usize = MAX_CHUNK_BYTES - 1024;

/// Bytes of a file's header; 32 recipients take about 4 KiB.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Spans that are listed one by one; the ledger counts the frames of all. At most 22 bytes each,
/// so that the list fits into one journal entry.
pub const MAX_SPANS: usize = 2500;

const _: () = assert!(MAX_PAYLOAD_BYTES + format::chunk_head_bytes(MAX_RUNS) <= MAX_CHUNK_BYTES);
const _: () = assert!(MAX_HEADER_BYTES <= MAX_CHUNK_BYTES);
const _: () = assert!(MAX_SPANS * 22 < crate::store::journal::MAX_BODY_BYTES - 2000);
const _: () = assert!(
    protocol::DATA_BYTES + SEGMENT_HEAD_BYTES + crate::store::seal::SEAL_TAG_BYTES
        <= MAX_PAYLOAD_BYTES
);
// Half a second of two sides at 96,000 frames/s, 16 bit, fits.
const _: () = assert!(48_000 * 2 * 2 + crate::store::seal::SEAL_TAG_BYTES <= MAX_PAYLOAD_BYTES);

/// What a media file says of itself, in clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaHeader {
    pub id: RecordingId,
    pub codec: CodecKind,
    /// Frames per second.
    pub rate: u32,
    /// 1 (mono) or 2 (agent left, customer right).
    pub sides: u8,
    /// Opus only, bit/s per side.
    pub bitrate: u32,
    pub channel: u16,
    /// Of the first frame.
    pub from: Position,
    pub began: WallTime,
    /// Which start of the daemon the positions belong to.
    pub boot: u32,
    /// Frames by which the codec's output lags behind its input.
    pub delay: u16,
    /// The data key as an age v1 file; empty when nothing is sealed.
    pub wrapped: Vec<u8>,
}

/// A file that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedFile {
    /// BLAKE3 of the whole file.
    pub digest: [u8; 32],
    /// Bytes.
    pub size: u64,
    pub ledger: Ledger,
    pub end: RecordingEnd,
    /// Position after the last frame.
    pub to: Position,
}

/// Why a media file cannot be read at all, or not any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    #[error("reading failed: {kind}")]
    Read { kind: std::io::ErrorKind },
    #[error("nothing durable: the header is torn and no audio follows in its {have} bytes")]
    HeaderTorn { have: u64 },
    #[error("the header does not match its checksum, or is no media header")]
    HeaderDamaged,
    #[error("media format version {found}; this program reads version {}", format::VERSION)]
    Version { found: u16 },
    #[error("the header is nonsense: {rate} frames/s, {sides} sides")]
    InvalidParameters { rate: u32, sides: u8 },
    #[error("the recording is sealed and no data key was given")]
    NoKey,
    #[error(transparent)]
    Seal(#[from] SealError),
}
