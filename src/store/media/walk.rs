//! Iterates over the elements of a media file with bounded memory, whatever its bytes are.
//!
//! After an invalid element the walker searches byte by byte for the next valid one. If it finds
//! one, the bytes between were damage; otherwise they are a torn tail. A valid element with a wrong
//! sequence or position is damage too, and skipped. The walker keeps a digest of all bytes, and one
//! up to the last valid element, where an interrupted file may continue.

use super::format::{self, ChunkHead, SYNC_START, TakenHeader, Trailer};
use super::{MAX_CHUNK_BYTES, MediaError, MediaHeader};
use crate::store::bytes::len_to_u64;
use crate::store::damage::{Damage, Tail};
use crate::store::sliding_buffer::SlidingBuffer;
use crate::time::Position;
use std::io::Read;

pub struct MediaWalker<R> {
    window: SlidingBuffer<R>,
    /// Digest of all bytes before the window.
    hasher: blake3::Hasher,
    pub header: MediaHeader,
    /// Version of the trailer in a file of this version.
    pub version: u16,
    /// The end of the last valid element.
    pub good: DigestPoint,
    pub tail: Tail,
    /// The next sequence: number of chunks so far, missing ones included.
    pub sequence: u32,
    to: Position,
}

/// A file offset and the digest of all bytes before it.
#[derive(Clone, Debug)]
pub struct DigestPoint {
    pub offset: u64,
    pub hasher: blake3::Hasher,
}

/// The next valid element, and the number of frames missing before it.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub enum WalkStep {
    /// A chunk. Its payload is still buffered: see `MediaWalker::payload`.
    Chunk { gap: u32, head: ChunkHead },
    /// The trailer.
    Trailer { gap: u32, trailer: Trailer },
    /// The file has ended.
    End,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum MediaElement {
    Chunk(ChunkHead),
    Trailer(Trailer),
}

fn parse_element(bytes: &[u8]) -> Option<MediaElement> {
    let chunk = format::take_chunk(bytes).map(MediaElement::Chunk);
    chunk.or_else(|| format::take_trailer(bytes).map(MediaElement::Trailer))
}

impl MediaElement {
    fn byte_length(&self) -> usize {
        match self {
            MediaElement::Chunk(head) => head.chunk_bytes(),
            MediaElement::Trailer(trailer) => format::trailer_bytes(trailer.version),
        }
    }

    /// Returns sequence and position.
    fn sequence_and_position(&self) -> (u32, Position) {
        match self {
            MediaElement::Chunk(head) => (head.sequence, head.from),
            MediaElement::Trailer(trailer) => (trailer.chunks, trailer.to),
        }
    }
}

/// Returns the distance to the next possible start of an element, at least 1 byte.
fn bytes_to_next_sync(bytes: &[u8]) -> usize {
    let found = bytes.windows(SYNC_START.len()).skip(1).position(|window| window == SYNC_START);
    found.map_or(bytes.len().saturating_sub(SYNC_START.len() - 1), |at| at + 1).max(1)
}

fn read_failed(kind: std::io::ErrorKind) -> MediaError {
    MediaError::Read { kind }
}

impl<R: Read> MediaWalker<R> {
    /// Opens a file and reads its header.
    pub fn open(source: R) -> Result<MediaWalker<R>, MediaError> {
        let mut window = SlidingBuffer::new(source, MAX_CHUNK_BYTES);
        window.fill_buffer().map_err(read_failed)?;
        let Some(taken) = format::take_header(window.buffered()) else {
            return Err(classify_headerless(window)?);
        };
        let TakenHeader { header, version, length } = taken?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&window.buffered()[..length]);
        window.consume(length);
        let good = DigestPoint { offset: window.offset(), hasher: hasher.clone() };
        let to = header.from;
        let tail = Tail::Clean;
        let version = format::trailer_version(version);
        Ok(MediaWalker { window, hasher, header, version, good, tail, sequence: 0, to })
    }

    /// Returns the next valid element. The caller skips it before the next call.
    pub fn next_element(&mut self) -> Result<WalkStep, MediaError> {
        let mut bad_from = None;
        loop {
            self.window.fill_buffer().map_err(read_failed)?;
            let offset = self.window.offset();
            if self.window.buffered().is_empty() {
                if let (Some(at), Tail::Clean) = (bad_from, self.tail) {
                    self.tail = Tail::Torn { at };
                }
                return Ok(WalkStep::End);
            }
            let Some(found) = parse_element(self.window.buffered()) else {
                bad_from = bad_from.or(Some(offset));
                self.skip_bytes(bytes_to_next_sync(self.window.buffered()));
                continue;
            };
            if let Some(at) = bad_from.take() {
                self.report_damage(at, Damage::Checksum);
            }
            if let Some(gap) = self.gap_before(&found) {
                return Ok(self.accept_element(found, gap));
            }
            self.skip_bytes(found.byte_length());
            self.mark_good();
        }
    }

    /// Returns the number of frames missing before `found`; `None` if the element must be skipped.
    /// Reports damage unless the number is 0.
    fn gap_before(&mut self, found: &MediaElement) -> Option<u32> {
        let (sequence, from) = found.sequence_and_position();
        let offset = self.window.offset();
        let gap = from.0.checked_sub(self.to.0).and_then(|gap| u32::try_from(gap).ok());
        if sequence != self.sequence {
            let (expected, found) = (u64::from(self.sequence), u64::from(sequence));
            self.report_damage(offset, Damage::Sequence { expected, found });
        }
        if gap != Some(0) {
            self.report_damage(offset, Damage::Position { expected: self.to.0, found: from.0 });
        }
        gap.filter(|_| sequence >= self.sequence)
    }

    fn accept_element(&mut self, found: MediaElement, gap: u32) -> WalkStep {
        let offset = self.window.offset();
        match found {
            MediaElement::Chunk(head) => {
                self.sequence = head.sequence.saturating_add(1);
                self.to = head.from.plus(head.frame_count());
                WalkStep::Chunk { gap, head }
            }
            MediaElement::Trailer(trailer) => {
                // A trailer of the other version belongs to another file, and so does its digest.
                let digest = format::finalize_digest(&self.hasher);
                if trailer.digest != digest || trailer.version != self.version {
                    self.report_damage(offset, Damage::Digest);
                }
                WalkStep::Trailer { gap, trailer }
            }
        }
    }

    /// Returns the payload of the current chunk.
    pub fn payload(&self, head: &ChunkHead) -> &[u8] {
        let start = format::chunk_head_bytes(head.runs.len());
        &self.window.buffered()[start..head.chunk_bytes()]
    }

    /// Returns the part of the current chunk that its seal authenticates.
    pub fn associated_data(&self, head: &ChunkHead) -> &[u8] {
        &self.window.buffered()[..format::chunk_clear_bytes(head.runs.len())]
    }

    /// Skips the current chunk.
    pub fn skip_chunk(&mut self, head: &ChunkHead) {
        self.skip_bytes(head.chunk_bytes());
        self.mark_good();
    }

    /// Skips the trailer, after which the file must end.
    pub fn skip_trailer(&mut self, trailer: &Trailer) -> Result<(), MediaError> {
        self.skip_bytes(format::trailer_bytes(trailer.version));
        self.mark_good();
        self.window.fill_buffer().map_err(read_failed)?;
        if !self.window.buffered().is_empty() {
            self.report_damage(self.window.offset(), Damage::AfterTrailer);
        }
        Ok(())
    }

    /// Records damage; only the first report counts.
    pub fn report_damage(&mut self, at: u64, why: Damage) {
        if self.tail == Tail::Clean {
            self.tail = Tail::Damaged { at, why };
        }
    }

    fn skip_bytes(&mut self, count: usize) {
        self.hasher.update(&self.window.buffered()[..count]);
        self.window.consume(count);
    }

    fn mark_good(&mut self) {
        self.good = DigestPoint { offset: self.window.offset(), hasher: self.hasher.clone() };
    }
}

/// Classifies a file without a valid header: damaged if audio follows, otherwise torn.
fn classify_headerless<R: Read>(mut window: SlidingBuffer<R>) -> Result<MediaError, MediaError> {
    let mut have = len_to_u64(0);
    while !window.buffered().is_empty() {
        if parse_element(window.buffered()).is_some() {
            return Ok(MediaError::HeaderDamaged);
        }
        window.consume(bytes_to_next_sync(window.buffered()));
        have = window.offset();
        window.fill_buffer().map_err(read_failed)?;
    }
    Ok(MediaError::HeaderTorn { have })
}
