//! The media file `ID.hbm`: one recording's sealed audio with exact frame counts.
//!
//! The file has a header with the wrapped data key, chunks of at most half a second, and a trailer
//! with ledger and digest. Positions, runs and counts are in clear. The daemon can therefore add up
//! ledgers, complete interrupted files and verify without the private key; only the codec's bytes
//! are sealed. `docs/record-format.md` draws every byte.
//!
//! `write` encodes, `read` checks, counts and opens, `spans` adds runs up, `expected` compares with
//! the journal.

mod expected;
mod format;
mod read;
mod redact;
mod screen;
mod spans;
#[cfg(test)]
mod tests;
mod walk;
mod write;

pub use expected::{ExpectedMedia, MediaMismatch};
pub use read::{MediaReader, MediaScan, TrailerInfo, chunks, scan};
pub use redact::{MediaRedactor, RedactError, RedactedFile};
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

/// Maximum runs in one chunk.
pub const MAX_RUNS: usize = 64;

/// Maximum frames of one chunk, of any fate.
pub const MAX_CHUNK_FRAMES: u64 = 1 << 20;

/// Maximum bytes of one chunk, header and payload: the reader's window. The longest are screen
/// video segments, up to the protocol's 1 MiB.
pub const MAX_CHUNK_BYTES: usize = (1 << 20) + 4096;

/// Maximum bytes of one chunk's stored payload, after the largest chunk header.
pub const MAX_PAYLOAD_BYTES: usize = MAX_CHUNK_BYTES - 1024;

/// Maximum bytes of a file's header; 32 recipients take about 4 KiB.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Maximum number of spans listed; the ledger counts the frames of all. A span takes at most 23
/// bytes, so that the list fits into one journal entry.
pub const MAX_SPANS: usize = 2500;

/// Maximum number of losses of packets among them. A network that loses 2 % of the packets of two
/// legs loses two a second: the spans of every record of a busy day are in memory.
pub const MAX_PACKET_SPANS: usize = 32;

const _: () = assert!(MAX_PAYLOAD_BYTES + format::chunk_head_bytes(MAX_RUNS) <= MAX_CHUNK_BYTES);
const _: () = assert!(MAX_HEADER_BYTES <= MAX_CHUNK_BYTES);
const _: () = assert!(MAX_SPANS * 23 < crate::store::journal::MAX_BODY_BYTES - 2000);
const _: () = assert!(
    protocol::DATA_BYTES + SEGMENT_HEAD_BYTES + crate::store::seal::SEAL_TAG_BYTES
        <= MAX_PAYLOAD_BYTES
);
// Half a second of 16-bit audio with two sides at 96,000 frames/s fits.
const _: () = assert!(48_000 * 2 * 2 + crate::store::seal::SEAL_TAG_BYTES <= MAX_PAYLOAD_BYTES);

/// Header of a media file, in clear.
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
    /// Position of the first frame.
    pub from: Position,
    pub began: WallTime,
    /// The daemon start to which the positions refer.
    pub boot: u32,
    /// Encoder delay in frames.
    pub delay: u16,
    /// The data key as an age v1 file; empty if the recording is not sealed.
    pub wrapped: Vec<u8>,
}

/// Totals of a complete file.
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

/// The reason why a media file cannot be read, or not any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    #[error("reading failed: {kind}")]
    Read { kind: std::io::ErrorKind },
    #[error("no durable audio: the header is torn and none of the {have} bytes is audio")]
    HeaderTorn { have: u64 },
    #[error("the header does not match its checksum or is not a media header")]
    HeaderDamaged,
    #[error(
        "media format version {found}; this program reads versions {} to {}",
        format::VERSION_1,
        format::VERSION_REDACTED
    )]
    Version { found: u16 },
    #[error("the header has invalid values: {rate} frames/s, {sides} sides")]
    InvalidParameters { rate: u32, sides: u8 },
    #[error("the recording is sealed, but no data key was given")]
    NoKey,
    #[error(transparent)]
    Seal(#[from] SealError),
}
