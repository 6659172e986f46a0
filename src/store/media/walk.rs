//! Walking over a media file element by element, with bounded memory, whatever its bytes are.
//!
//! What is not a valid element is searched through byte by byte for the next valid one: if there
//! is one, that was damage; if not, a torn tail. A valid element that does not fit in (sequence,
//! position) is damage too, and skipped. Keeps a digest over everything, and one as of the last
//! valid element, where a cut file may go on. Nothing here adds up frames or opens payloads.

use super::format::{self, ChunkHead, SYNC_START, TRAILER_BYTES, Trailer};
use super::{MAX_CHUNK_BYTES, MediaError, MediaHeader};
use crate::store::bytes::wide;
use crate::store::damage::{Damage, Tail};
use crate::store::window::Window;
use crate::time::Position;
use std::io::Read;

pub struct Walker<R> {
    window: Window<R>,
    /// Over all bytes before the window.
    hasher: blake3::Hasher,
    pub header: MediaHeader,
    /// As of the end of the last valid element.
    pub good: Mark,
    pub tail: Tail,
    /// The next sequence number: chunks so far, missing ones included.
    pub sequence: u32,
    to: Position,
}

/// A place in the file and the digest of all bytes before it.
#[derive(Clone, Debug)]
pub struct Mark {
    pub offset: u64,
    pub hasher: blake3::Hasher,
}

/// The next valid element, and how many frames are missing before it.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub enum Step {
    /// `payload` is still in sight: see `Walker::payload`.
    Chunk {
        gap: u32,
        head: ChunkHead,
    },
    Trailer {
        gap: u32,
        trailer: Trailer,
    },
    End,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum Element {
    Chunk(ChunkHead),
    Trailer(Trailer),
}

fn element(bytes: &[u8]) -> Option<Element> {
    let chunk = format::take_chunk(bytes).map(Element::Chunk);
    chunk.or_else(|| format::take_trailer(bytes).map(Element::Trailer))
}

impl Element {
    fn length(&self) -> usize {
        match self {
            Element::Chunk(head) => head.chunk_bytes(),
            Element::Trailer(_) => TRAILER_BYTES,
        }
    }

    /// Sequence number and position.
    fn place(&self) -> (u32, Position) {
        match self {
            Element::Chunk(head) => (head.sequence, head.from),
            Element::Trailer(trailer) => (trailer.chunks, trailer.to),
        }
    }
}

/// How far to go to where the next element could start, at least one byte.
fn to_next_sync(bytes: &[u8]) -> usize {
    let found = bytes.windows(SYNC_START.len()).skip(1).position(|window| window == SYNC_START);
    found.map_or(bytes.len().saturating_sub(SYNC_START.len() - 1), |at| at + 1).max(1)
}

fn read_failed(kind: std::io::ErrorKind) -> MediaError {
    MediaError::Read { kind }
}

impl<R: Read> Walker<R> {
    /// Reads the header and stands before the first chunk.
    pub fn open(source: R) -> Result<Walker<R>, MediaError> {
        let mut window = Window::new(source, MAX_CHUNK_BYTES);
        window.refill().map_err(read_failed)?;
        let Some(taken) = format::take_header(window.bytes()) else {
            return Err(without_header(window)?);
        };
        let (header, length) = taken?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&window.bytes()[..length]);
        window.pass(length);
        let good = Mark { offset: window.offset(), hasher: hasher.clone() };
        let to = header.from;
        Ok(Walker { window, hasher, header, good, tail: Tail::Clean, sequence: 0, to })
    }

    /// The next valid element; the caller goes past it before the next step.
    pub fn step(&mut self) -> Result<Step, MediaError> {
        let mut bad_from = None;
        loop {
            self.window.refill().map_err(read_failed)?;
            let offset = self.window.offset();
            if self.window.bytes().is_empty() {
                if let (Some(at), Tail::Clean) = (bad_from, self.tail) {
                    self.tail = Tail::Torn { at };
                }
                return Ok(Step::End);
            }
            let Some(found) = element(self.window.bytes()) else {
                bad_from = bad_from.or(Some(offset));
                self.pass(to_next_sync(self.window.bytes()));
                continue;
            };
            if let Some(at) = bad_from.take() {
                self.damage(at, Damage::Checksum);
            }
            if let Some(gap) = self.gap_before(&found) {
                return Ok(self.take(found, gap));
            }
            self.pass(found.length());
            self.keep();
        }
    }

    /// Frames missing before `found`, 0 if it fits; `None`, and damage, if it cannot be used.
    fn gap_before(&mut self, found: &Element) -> Option<u32> {
        let (sequence, from) = found.place();
        let offset = self.window.offset();
        let gap = from.0.checked_sub(self.to.0).and_then(|gap| u32::try_from(gap).ok());
        if sequence != self.sequence {
            let (expected, found) = (u64::from(self.sequence), u64::from(sequence));
            self.damage(offset, Damage::Sequence { expected, found });
        }
        if gap != Some(0) {
            self.damage(offset, Damage::Position { expected: self.to.0, found: from.0 });
        }
        gap.filter(|_| sequence >= self.sequence)
    }

    fn take(&mut self, found: Element, gap: u32) -> Step {
        let offset = self.window.offset();
        match found {
            Element::Chunk(head) => {
                self.sequence = head.sequence.saturating_add(1);
                self.to = head.from.plus(head.frames());
                Step::Chunk { gap, head }
            }
            Element::Trailer(trailer) => {
                if trailer.digest != format::digest(&self.hasher) {
                    self.damage(offset, Damage::Digest);
                }
                Step::Trailer { gap, trailer }
            }
        }
    }

    /// The payload of the chunk that the last step found.
    pub fn payload(&self, head: &ChunkHead) -> &[u8] {
        let start = format::chunk_head_bytes(head.runs.len());
        &self.window.bytes()[start..head.chunk_bytes()]
    }

    /// The part of the chunk that the last step found that its seal binds in.
    pub fn clear(&self, head: &ChunkHead) -> &[u8] {
        &self.window.bytes()[..format::chunk_clear_bytes(head.runs.len())]
    }

    /// Goes past the chunk that the last step found.
    pub fn pass_chunk(&mut self, head: &ChunkHead) {
        self.pass(head.chunk_bytes());
        self.keep();
    }

    /// Goes past the trailer, after which nothing may come.
    pub fn pass_trailer(&mut self) -> Result<(), MediaError> {
        self.pass(TRAILER_BYTES);
        self.keep();
        self.window.refill().map_err(read_failed)?;
        if !self.window.bytes().is_empty() {
            self.damage(self.window.offset(), Damage::AfterTrailer);
        }
        Ok(())
    }

    /// Notes what is wrong; the first counts.
    pub fn damage(&mut self, at: u64, why: Damage) {
        if self.tail == Tail::Clean {
            self.tail = Tail::Damaged { at, why };
        }
    }

    fn pass(&mut self, count: usize) {
        self.hasher.update(&self.window.bytes()[..count]);
        self.window.pass(count);
    }

    fn keep(&mut self) {
        self.good = Mark { offset: self.window.offset(), hasher: self.hasher.clone() };
    }
}

/// What a file without a valid header is: damaged if any audio follows, else torn.
fn without_header<R: Read>(mut window: Window<R>) -> Result<MediaError, MediaError> {
    let mut have = wide(0);
    while !window.bytes().is_empty() {
        if element(window.bytes()).is_some() {
            return Ok(MediaError::HeaderDamaged);
        }
        window.pass(to_next_sync(window.bytes()));
        have = window.offset();
        window.refill().map_err(read_failed)?;
    }
    Ok(MediaError::HeaderTorn { have })
}
