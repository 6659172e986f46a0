//! Writing a media file: header, chunks, trailer, appended to a buffer that the caller owns.
//!
//! On the audio path: `chunk` allocates nothing while payload and output have room. The digest and
//! the ledger run along. One `MediaWriter` is one file under one data key. Nothing here syncs.

use super::format::{self, ChunkHead, Trailer};
use super::{FinishedFile, MAX_CHUNK_FRAMES, MAX_PAYLOAD_BYTES, MAX_RUNS, MediaHeader, screen};
use crate::audio::span::{Fate, Ledger, Run};
use crate::config::CodecKind;
use crate::store::fact::RecordingEnd;
use crate::store::seal::{ChunkSealer, DataKey, SEAL_TAG_BYTES};
use crate::time::Position;

/// A media file that is being written.
#[derive(Debug)]
pub struct MediaWriter {
    sealer: Option<ChunkSealer>,
    hasher: blake3::Hasher,
    ledger: Ledger,
    /// Of the next chunk.
    sequence: u32,
    to: Position,
    size: u64,
    /// Frames stored in one chunk, at most.
    stored_max: u64,
}

impl MediaWriter {
    /// Begins a file: appends the header to `out`. `key` is there if and only if the header holds
    /// it wrapped.
    pub fn create(header: &MediaHeader, key: Option<DataKey>, out: &mut Vec<u8>) -> MediaWriter {
        assert_eq!(key.is_some(), !header.wrapped.is_empty(), "the key and its wrapped copy");
        let start = out.len();
        format::put_header(header, out);
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

    /// Appends one chunk to `out`: the next frames with their fates, and the codec's bytes for
    /// them. `payload` is sealed in place and left empty, its room kept for the next chunk. A
    /// chunk without runs is allowed: the last bytes of a codec that lags behind.
    pub fn append_chunk(&mut self, runs: &[Run], payload: &mut Vec<u8>, out: &mut Vec<u8>) {
        let stored = runs.iter().filter(|run| run.fate == Fate::Stored);
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

    /// Ends the file in order: appends the trailer. The codec must have been flushed.
    pub fn finish(&mut self, end: RecordingEnd, out: &mut Vec<u8>) -> FinishedFile {
        let trailer = Trailer {
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

    /// Frames per fate, of all chunks so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Position after the last frame of all chunks so far.
    #[must_use]
    pub fn to(&self) -> Position {
        self.to
    }

    /// BLAKE3 of the file so far.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        format::finalize_digest(&self.hasher)
    }

    /// Bytes of the file so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes into account what `out` got since `start`.
    fn account_bytes(&mut self, start: usize, out: &[u8]) {
        self.hasher.update(&out[start..]);
        self.size += format::bytes_since(start, out);
    }
}
