//! Encodes a media file: header, chunks and trailer, appended to a buffer that the caller owns.
//!
//! The audio path calls `append_chunk`, which does not allocate while payload and output have room.
//! Digest and ledger are updated as chunks are appended. One `MediaWriter` is one file under one
//! data key.

use super::format::{self, ChunkHead, Trailer};
use super::{FinishedFile, MAX_CHUNK_FRAMES, MAX_PAYLOAD_BYTES, MAX_RUNS, MediaHeader, screen};
use crate::audio::span::{Ledger, Run};
use crate::config::CodecKind;
use crate::store::fact::RecordingEnd;
use crate::store::seal::{ChunkSealer, DataKey, SEAL_TAG_BYTES};
use crate::time::Position;

/// A media file being written.
#[derive(Debug)]
pub struct MediaWriter {
    sealer: Option<ChunkSealer>,
    hasher: blake3::Hasher,
    ledger: Ledger,
    /// Sequence of the next chunk.
    sequence: u32,
    to: Position,
    size: u64,
    /// Maximum frames stored in one chunk.
    stored_max: u64,
}

impl MediaWriter {
    /// Begins a file by appending the header to `out`.
    ///
    /// # Panics
    /// If `key` is given without a wrapped copy in the header, or the reverse.
    pub fn create(header: &MediaHeader, key: Option<DataKey>, out: &mut Vec<u8>) -> MediaWriter {
        assert_eq!(key.is_some(), !header.wrapped.is_empty(), "the key and its wrapped copy");
        let start = out.len();
        format::put_header(header, format::VERSION, out);
        let mut writer = MediaWriter {
            sealer: key.as_ref().map(ChunkSealer::new),
            hasher: blake3::Hasher::new(),
            ledger: Ledger::default(),
            sequence: 0,
            to: header.from,
            size: 0,
            stored_max: match header.codec {
                CodecKind::Screen => screen::STORED_MS_MAX,
                CodecKind::Opus | CodecKind::Ulaw | CodecKind::Pcm => u64::from(header.rate) / 2,
            },
        };
        writer.account_bytes(start, out);
        writer
    }

    /// Appends one chunk to `out`: the next frames with their fates, and their codec bytes.
    /// `payload` is sealed in place and emptied, keeping its capacity. A chunk without runs is
    /// allowed: the last bytes of a codec with delay.
    pub fn append_chunk(&mut self, runs: &[Run], payload: &mut Vec<u8>, out: &mut Vec<u8>) {
        let stored = runs.iter().filter(|run| run.fate.is_stored());
        let stored_frames: u64 = stored.map(|run| u64::from(run.frames)).sum();
        assert!(stored_frames <= self.stored_max, "{stored_frames} frames in one chunk");
        assert!(runs.len() <= MAX_RUNS, "{} runs in one chunk", runs.len());
        let seal_bytes = if self.sealer.is_some() { SEAL_TAG_BYTES } else { 0 };
        let bytes = payload.len() + seal_bytes;
        assert!(bytes <= MAX_PAYLOAD_BYTES, "{bytes} bytes in one chunk");
        let head = ChunkHead {
            sequence: self.sequence,
            payload_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            from: self.to,
            runs: heapless::Vec::from_slice(runs).unwrap_or_default(),
        };
        assert!(
            head.frame_count() <= MAX_CHUNK_FRAMES,
            "{} frames in one chunk",
            head.frame_count()
        );
        let start = out.len();
        format::put_chunk_clear(&head, out);
        if let Some(sealer) = &self.sealer {
            sealer.seal(self.sequence, &out[start..], payload);
        }
        assert_eq!(payload.len(), bytes);
        format::put_chunk_sums(start, payload, out);
        out.extend_from_slice(payload);
        payload.clear();
        self.account_bytes(start, out);
        runs.iter().for_each(|run| self.ledger.add_run(*run));
        self.to = self.to.plus(head.frame_count());
        self.sequence += 1;
    }

    /// Ends the file by appending the trailer. The codec must have been flushed.
    pub fn finish(&mut self, end: RecordingEnd, out: &mut Vec<u8>) -> FinishedFile {
        let trailer = Trailer {
            version: format::VERSION,
            chunks: self.sequence,
            end,
            is_interrupted: false,
            to: self.to,
            ledger: self.ledger,
            digest: format::finalize_digest(&self.hasher),
        };
        let start = out.len();
        format::put_trailer(&trailer, out);
        self.account_bytes(start, out);
        let digest = format::finalize_digest(&self.hasher);
        FinishedFile { digest, size: self.size, ledger: self.ledger, end, to: self.to }
    }

    /// Returns the frames per fate of all chunks so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Returns the position after the last frame of all chunks so far.
    #[must_use]
    pub fn to(&self) -> Position {
        self.to
    }

    /// Returns the BLAKE3 digest of the file so far.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        format::finalize_digest(&self.hasher)
    }

    /// Returns the bytes of the file so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the bytes of `out` since `start` to digest and size.
    fn account_bytes(&mut self, start: usize, out: &[u8]) {
        self.hasher.update(&out[start..]);
        self.size += format::bytes_since(start, out);
    }
}
